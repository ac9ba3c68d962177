//! Tidestone: an embedded time-series storage engine.
//!
//! A [`Tidestone`] is an open database: a folder of files that one process writes and others may read. It
//! has [tables](Table); a table has series, each with a set of tags, and every row is of one series, at
//! one timestamp (`i64`, nanoseconds since 1970 UTC), with fields of the table's schema.
//!
//! ```
//! use tidestone::{FieldType, Options, TableOptions, TagMatch, Tidestone, Value};
//!
//! # fn main() -> tidestone::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("db");
//! let db = Tidestone::create(&path, Options::default())?;
//! let cpu = db.create_table("cpu", TableOptions::new().field("user", FieldType::F64))?;
//!
//! // Resolve a series once, append to it often; what is staged is one batch when committed.
//! let host = cpu.series(&[("host", "a"), ("rack", "7")])?;
//! let mut writer = db.writer();
//! writer.append(&host, 1_000_000_000, &[Value::F64(0.25)])?;
//! writer.append(&host, 2_000_000_000, &[Value::F64(0.5)])?;
//! writer.commit()?.wait()?; // from here on it survives a power loss
//!
//! let mut rows = 0;
//! for batch in cpu.query().filter(TagMatch::equal("rack", "7")).from(2_000_000_000).scan()? {
//!     let batch = batch?;
//!     rows += batch.len();
//!     assert_eq!(batch.value(0, 0), Value::F64(0.5));
//! }
//! assert_eq!(rows, 1);
//! db.close()
//! # }
//! ```
//!
//! # How the types fit together
//!
//! [`Tidestone`] gives [`Table`]s and [`Writer`]s. [`Table::series`] resolves tags to a [`SeriesHandle`];
//! [`Writer::append`] stages rows of handles, [`Writer::append_batch`] whole columns ([`Batch`]);
//! [`Writer::commit`] gives a [`Ticket`] to wait for or to await. [`Table::query`] builds a [`Query`],
//! which answers as a stream of [`RowBatch`]es, the last rows, or aggregates by time and tags. [`Table::delete`] deletes
//! rows of some series, of a span of time, or all of them; [`Tidestone::drop_table`] drops a table.
//! [`maintenance`] looks for damage in a closed database and cuts it out. With the cargo feature `arrow`, rows also
//! come and go as Arrow record batches (module `arrow`).
//!
//! # Quirks
//!
//! - A row is visible to readers when its commit returns, durable when its ticket says so.
//! - Under the default policy a row with the series and time of another replaces it field by field; a null
//!   never overwrites.
//! - Both ends of a [`TimeRange`] belong to it.
//! - Segments are mapped: a foreign program that truncates one ends the process, and so does a disk that cannot
//!   read again what it could read before. With [`ReadMode::Pread`] both are errors.

#[cfg(feature = "arrow")]
pub mod arrow;
mod catalog;
mod clock;
mod compaction;
mod config;
mod db;
mod engine;
mod error;
mod flush;
mod forgetting;
mod head;
mod index;
mod ingest;
pub mod io;
pub mod maintenance;
mod nudge;
mod query;
mod random;
mod read_only;
mod recover;
mod retention;
mod rows;
mod scan;
mod sharing;
mod signals;
mod steadiness;
mod store;
mod threads;
mod value;
mod wal;
mod worker;

pub use catalog::{DEFAULT_FUTURE_BOUND, DEFAULT_PARTITION, TableOptions};
pub use clock::{Clock, ClockWatcher, ManualClock, SystemClock};
pub use config::{
    Backpressure, DEFAULT_BACKPRESSURE, DEFAULT_FLUSH_AFTER, DEFAULT_LOG_FILE,
    DEFAULT_LOG_RETAINED, DEFAULT_MEMORY_BUDGET, DEFAULT_OPEN_SEGMENTS, LOG_ROOM_WAIT, Options,
    ReadMode,
};
pub use db::{
    Builder, ColumnStatus, LogStatus, ReaderStatus, Status, Table, TableStatus, Tidestone,
};
pub use error::{Error, ErrorKind, Result};
pub use index::{TagMatch, TagPattern, TagTest};
pub use ingest::{Batch, Durability, SeriesHandle, Ticket, WhenDurable, Writer};
pub use query::{
    Agg, Aggregate, AggregateResult, Cancellation, LastRows, Order, Profile, Query, RowBatch,
    RowStream, SeriesRun,
};
pub use random::{OsRandom, Random, SeededRandom};
pub use recover::OpenReport;
pub use threads::{OsThreads, Started, Threads};
pub use tidestone_format::column::{Bitmap, Column, Strings, Values};
pub use tidestone_format::schema::{
    DuplicatePolicy, Field, SchemaMode, TableSchema, TableSettings,
};
pub use tidestone_format::{
    FieldId, FieldType, FileUuid, FormatError, FormatErrorKind, Lsn, SeriesId, SeriesKey, TableId,
    TimeRange, Timestamp,
};
pub use value::Value;

/// The programs of the README run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
