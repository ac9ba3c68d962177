//! The promise that a commit becomes as durable as was asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tidestone_format::Lsn;

use super::Durability;
use crate::clock::Deadline;
use crate::engine::Engine;
use crate::error::Result;
use crate::wal::Place;

/// A commit on its way to the durability it was made with: wait for it, await it, or let it go.
///
/// Tickets of one database and durability resolve in the order of their LSNs. Dropping one changes
/// nothing about its commit.
#[derive(Debug, Clone)]
#[must_use = "what was asked for is not reached before the ticket says so"]
pub struct Ticket {
    engine: Arc<Engine>,
    lsn: Lsn,
    durability: Durability,
    waker: OwnPlace,
}

/// A future's place among those that await an LSN, which it leaves when it is dropped: what waits for
/// something that is far off is not kept because somebody has once waited.
#[derive(Debug)]
struct OwnPlace {
    engine: Arc<Engine>,
    place: Place,
}

impl OwnPlace {
    fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            place: Place::default(),
        }
    }
}

impl Clone for OwnPlace {
    fn clone(&self) -> Self {
        Self::new(self.engine.clone())
    }
}

impl Drop for OwnPlace {
    fn drop(&mut self) {
        if let Some(log) = self.engine.log() {
            log.leave(&mut self.place);
        }
    }
}

impl Ticket {
    pub(crate) fn new(engine: Arc<Engine>, lsn: Lsn, durability: Durability) -> Self {
        Self {
            waker: OwnPlace::new(engine.clone()),
            engine,
            lsn,
            durability,
        }
    }

    /// The commit's position in the log.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The durability that waiting for the ticket reaches.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Whether the commit survives a power loss by now, whatever it was made with.
    pub fn is_durable(&self) -> bool {
        self.engine
            .log()
            .is_some_and(|log| log.durable_lsn() >= self.lsn)
    }

    /// Waits until the commit's durability is reached: for `Memory` not at all, for `Os` until it
    /// survives a crash of the process, for `Synced` until it survives a power loss.
    ///
    /// # Errors
    /// The log could not be written or synced: then it is not known whether the commit survives,
    /// and the database must be opened anew.
    pub fn wait(&self) -> Result<()> {
        if self.is_durable() {
            return Ok(());
        }
        let log = self.engine.log_of_commits()?;
        match self.durability {
            Durability::Memory => Ok(()),
            Durability::Os => log.write_to(self.lsn),
            Durability::Synced => log.sync_to(self.lsn),
        }
    }

    /// Waits until the commit's durability is reached, at most `timeout`; says whether it is. A task that is
    /// being woken, on the thread that wakes it, reaches it by itself, however long that takes.
    ///
    /// # Errors
    /// As [`Ticket::wait`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        let Some(sync) = self.sync() else {
            return Ok(true);
        };
        if self.is_durable() {
            return Ok(true);
        }
        let log = self.engine.log_of_commits()?;
        log.request(self.lsn, sync);
        let deadline = Deadline::after(self.engine.clock(), timeout);
        log.wait_to(self.lsn, sync, Some(deadline))
    }

    /// Whether a sync is needed, or only a write; `None`: neither.
    fn sync(&self) -> Option<bool> {
        match self.durability {
            Durability::Memory => None,
            Durability::Os => Some(false),
            Durability::Synced => Some(true),
        }
    }
}

impl Future for Ticket {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(sync) = this.sync() else {
            return Poll::Ready(Ok(()));
        };
        if this.is_durable() {
            return Poll::Ready(Ok(()));
        }
        let log = match this.engine.log_of_commits() {
            Ok(log) => log,
            Err(error) => return Poll::Ready(Err(error)),
        };
        match log.poll(this.lsn, sync, &mut this.waker.place, cx.waker()) {
            Some(done) => Poll::Ready(done),
            None => {
                log.request(this.lsn, sync);
                Poll::Pending
            }
        }
    }
}

/// What [`Tidestone::when_durable`](crate::Tidestone::when_durable) gives: everything up to an LSN on its
/// way to surviving a power loss. Dropping it changes nothing.
#[derive(Debug, Clone)]
#[must_use = "it says nothing before it is awaited"]
pub struct WhenDurable {
    engine: Arc<Engine>,
    lsn: Lsn,
    waker: OwnPlace,
}

impl WhenDurable {
    pub(crate) fn new(engine: Arc<Engine>, lsn: Lsn) -> Self {
        Self {
            waker: OwnPlace::new(engine.clone()),
            engine,
            lsn,
        }
    }

    /// The LSN that is waited for.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
}

impl Future for WhenDurable {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Of a database that was closed the log says what became durable.
        let polled = match this.engine.log() {
            Some(log) => log.poll(this.lsn, true, &mut this.waker.place, cx.waker()),
            None => Some(this.engine.writable().map(drop)),
        };
        polled.map_or(Poll::Pending, Poll::Ready)
    }
}
