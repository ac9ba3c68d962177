//! The promise that a commit becomes durable.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tidestone_format::Lsn;

use crate::engine::Engine;
use crate::error::Result;

/// A commit on its way to the disk: wait for it, await it, or let it go.
///
/// Tickets of one database resolve in the order of their LSNs. Dropping one changes nothing about
/// its commit.
#[derive(Debug, Clone)]
#[must_use = "the commit is not durable before the ticket says so"]
pub struct Ticket {
    engine: Arc<Engine>,
    lsn: Lsn,
}

impl Ticket {
    pub(crate) fn new(engine: Arc<Engine>, lsn: Lsn) -> Self {
        Self { engine, lsn }
    }

    /// The commit's position in the log.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Whether the commit survives a power loss by now.
    pub fn is_durable(&self) -> bool {
        self.engine
            .log()
            .is_some_and(|log| log.durable_lsn() >= self.lsn)
    }

    /// Waits until the commit survives a power loss.
    ///
    /// # Errors
    /// The log could not be written or synced: then it is not known whether the commit survives,
    /// and the database must be opened anew.
    pub fn wait(&self) -> Result<()> {
        if self.is_durable() {
            return Ok(());
        }
        self.engine.writable()?.sync_to(self.lsn)
    }

    /// Waits until the commit survives a power loss, at most `timeout`; says whether it does.
    ///
    /// # Errors
    /// As [`Ticket::wait`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        if self.is_durable() {
            return Ok(true);
        }
        let log = self.engine.writable()?;
        log.request(self.lsn, true);
        log.wait_durable(self.lsn, Some(timeout))
    }
}

impl Future for Ticket {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_durable() {
            return Poll::Ready(Ok(()));
        }
        let log = match self.engine.writable() {
            Ok(log) => log,
            Err(error) => return Poll::Ready(Err(error)),
        };
        match log.poll_durable(self.lsn, cx.waker()) {
            Some(done) => Poll::Ready(done),
            None => {
                log.request(self.lsn, true);
                Poll::Pending
            }
        }
    }
}
