//! Writing rows: staging, commit, tickets.
//!
//! A [`Writer`] stages rows of any number of tables in memory of its own: no lock, no allocation
//! once its buffers have grown, no system call. [`Writer::commit`] makes what is staged one batch,
//! which gets an LSN and a place in log and head under the commit lock, so that what readers see is
//! always a prefix of the log.
//!
//! A small batch is encoded by the committing thread, and copied to log and head. The rows of a
//! large one are handed over: log and head share them, the thread that writes the log encodes them,
//! and the writer goes on in other buffers, emptied ones of the head where there are some. So a
//! commit of a thousand rows takes little longer than one of a few.
//!
//! # Invariants
//! 1. A batch is in the log and the head whole, or in neither.
//! 2. Everything that can be refused is refused when it is staged or before the commit lock is
//!    taken; behind it only the log itself can fail, and then the head is not touched.
//! 3. The head takes batches in the order of their LSNs.

mod batch;
#[cfg(test)]
mod tests;
mod ticket;
mod writer;

pub use batch::Batch;
pub use ticket::{Ticket, WhenDurable};
pub use writer::{SeriesHandle, Writer};

/// What of a commit survives, from the moment its [`Ticket`] resolved.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing but the process: a crash of the process may lose it. It is visible at once, as with
    /// every durability, and is written in the background.
    Memory,
    /// It survives a crash of the process, not a power loss.
    Os,
    /// It survives a power loss.
    #[default]
    Synced,
}
