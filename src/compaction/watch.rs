//! Whether a merge is still wanted.

use std::cell::Cell;
use std::sync::Arc;

use tidestone_format::TableId;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Segment, Version};

/// Watches what would make a merge useless. Looking costs little: a merge does it for every few thousand
/// rows, so that nobody waits for it.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    engine: &'a Engine,
    table: TableId,
    inputs: &'a [Arc<Segment>],
    /// The last version that was seen to have the inputs.
    seen: Cell<u64>,
    overtaken: Cell<bool>,
}

impl<'a> Watch<'a> {
    /// Watches over inputs that `version` has.
    pub(super) fn new(
        engine: &'a Engine,
        version: &Version,
        table: TableId,
        inputs: &'a [Arc<Segment>],
    ) -> Self {
        Self {
            engine,
            table,
            inputs,
            seen: Cell::new(version.number),
            overtaken: Cell::new(false),
        }
    }

    /// Fails if the database closes, or an input was dropped (with its table, or by retention).
    pub(super) fn check(&self) -> Result<()> {
        if self.engine.signals.is_closing() {
            return Err(Error::closed());
        }
        let version = self.engine.store.version();
        if version.number == self.seen.get() {
            return Ok(());
        }
        let table = version.tables.get(&self.table);
        let lives = |input: &Arc<Segment>| {
            table.is_some_and(|t| t.segments.iter().any(|s| Arc::ptr_eq(s, input)))
        };
        if !self.inputs.iter().all(lives) {
            self.overtaken.set(true);
            let message =
                "segments that were being merged were dropped meanwhile; nothing is to be done";
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        self.seen.set(version.number);
        Ok(())
    }

    /// The table of the merge.
    pub(super) fn table(&self) -> TableId {
        self.table
    }

    /// Whether a check has failed because an input was dropped.
    pub(super) fn overtaken(&self) -> bool {
        self.overtaken.get()
    }
}
