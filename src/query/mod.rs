//! Questions to a table: rows in order, last rows, aggregates by group and bucket of time.
//!
//! Every answer is of one snapshot and does not depend on where a row lies: in memory, in one
//! segment or in several.

mod aggregate;
mod batch;
mod builder;
mod by_series;
mod by_time;
mod last;
mod plan;
mod profile;
mod read;
mod stream;
#[cfg(test)]
mod tests;

pub use aggregate::{Agg, Aggregate, AggregateResult};
pub use batch::{RowBatch, SeriesRun};
pub use builder::{Order, Query};
pub use profile::Profile;
pub use stream::RowStream;
