//! Questions to a table: rows in order, last rows, aggregates by group and bucket of time.
//!
//! Every answer is of one snapshot and does not depend on where a row lies: in memory, in one
//! segment or in several.

mod batch;
mod builder;
mod profile;
mod stream;
#[cfg(test)]
mod tests;

pub use batch::{RowBatch, SeriesRun};
pub use builder::{Order, Query};
pub use profile::Profile;
pub use stream::RowStream;
