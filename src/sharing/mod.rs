//! What processes that use one database tell each other: the writer how far it has come, readers
//! which files they still need.
//!
//! ```text
//! <db>/readers/
//!   published      by the writer, locked while it lives: durable LSN, version of the manifest
//!   <uuid>.lease   by a reader, locked while it lives: the version it pins
//!   <uuid>.new     a lease before it counts
//! ```
//!
//! | file | what |
//! |---|---|
//! | `published` | the writer's page, and what a reader believes of it |
//! | `lease` | a reader's lease, and what all of them pin |
//! | `tries` | how long a reader tries again where the writer was quicker |
//!
//! # Invariants
//! 1. Nothing here is ground state: all of it can be removed while the database is closed.
//! 2. What is published as durable was synced before, and is published before anybody is told that
//!    it is durable. A page of another start of the machine, another incarnation or another database
//!    is not believed, nor one that nobody holds: the next writer takes it once it has recovered.
//! 3. A lease that is in force was locked, and pinned everything, before its reader looked at the
//!    manifest. So whoever removes a file after an edit no longer names it finds the lease of every
//!    reader that may have seen it named.
//! 4. The lock, not the file, is the lease: of a reader that was killed none is left.
//! 5. What cannot be told counts as needed: a lease that cannot be read pins everything.

mod lease;
mod published;
#[cfg(test)]
mod tests;
mod tries;

pub(crate) use lease::{Lease, Leases};
pub(crate) use published::{Publisher, look};
pub(crate) use tries::Tries;
