//! Questions to a table: rows in order, last rows, aggregates by group and bucket of time.
//!
//! | file | what |
//! |---|---|
//! | `builder` | what is asked, and how it is answered |
//! | `plan` | which runs of the snapshot may have rows, and whose are where |
//! | `by_series`, `ahead`, `by_time`, `stream` | rows in order, a batch at a time; `ahead` on several threads |
//! | `last` | the last row of each series |
//! | `aggregate` | aggregates |
//! | `read` | vectors of a segment, decoded |
//! | `cancel` | stopping from another thread |
//!
//! # Invariants
//! 1. Every answer is of one snapshot and does not depend on where a row lies: in memory, in one
//!    segment or in several. Where another run may have rows among those of a series, or a delete
//!    hides some, they go through [`crate::scan`]; only the others are read directly.
//! 2. Nothing here writes, and nothing holds all rows of an answer: rows by series are held a batch
//!    at a time (on several threads a few a thread), rows by time a window, aggregates a state for each group and bucket.
//! 3. Which tags and fields there are is checked before anything is read.
//! 4. Between two looks at the cancellation a thread reads a batch of rows, a unit of an aggregate or the
//!    last rows of one series.

mod aggregate;
mod ahead;
mod batch;
mod builder;
mod by_series;
mod by_time;
mod cancel;
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
pub use cancel::Cancellation;
pub use last::LastRows;
pub use profile::Profile;
pub use stream::RowStream;
