//! Stopping questions from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Stops questions that are being answered: those it was given to with
/// [`Query::cancelled_by`](super::Query::cancelled_by). Clones are one.
///
/// ```
/// # use tidestone::*;
/// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
/// # let table = db.create_table("cpu", TableOptions::new().field("usage", FieldType::F64))?;
/// let cancellation = Cancellation::new();
/// let mut rows = table.query().cancelled_by(&cancellation).scan()?;
/// // On whatever thread notices that nobody waits for the answer any more:
/// cancellation.cancel();
/// let error = rows.next().unwrap().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Cancelled);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// One that has not been asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the questions, soon and for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if it was asked for.
    pub(super) fn check(&self) -> Result<()> {
        match self.is_cancelled() {
            false => Ok(()),
            true => Err(Error::new(
                ErrorKind::Cancelled,
                "the query was cancelled before it was answered; ask again for an answer",
            )),
        }
    }
}
