//! Tidestone: an embedded time-series storage engine.

mod catalog;
mod clock;
mod compaction;
mod config;
mod db;
mod engine;
mod error;
mod flush;
mod head;
mod index;
mod ingest;
pub mod io;
pub mod maintenance;
mod query;
mod random;
mod read_only;
mod recover;
mod retention;
mod rows;
mod scan;
mod steadiness;
mod store;
mod value;
mod wal;
mod worker;

pub use catalog::{DEFAULT_FUTURE_BOUND, DEFAULT_PARTITION, TableOptions};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{
    Backpressure, DEFAULT_BACKPRESSURE, DEFAULT_FLUSH_AFTER, DEFAULT_LOG_FILE,
    DEFAULT_LOG_RETAINED, DEFAULT_MAPPED_SEGMENTS, DEFAULT_MEMORY_BUDGET, Options,
};
pub use db::{Builder, ColumnStatus, LogStatus, Status, Table, TableStatus, Tidestone};
pub use error::{Error, ErrorKind, Result};
pub use index::{TagMatch, TagPattern, TagTest};
pub use ingest::{Batch, Durability, SeriesHandle, Ticket, Writer};
pub use query::{Order, Profile, Query, RowBatch, RowStream, SeriesRun};
pub use random::{OsRandom, Random, SeededRandom};
pub use recover::OpenReport;
pub use tidestone_format::column::{Bitmap, Column, Values};
pub use tidestone_format::schema::{DuplicatePolicy, Field, SchemaMode, TableSchema};
pub use tidestone_format::{
    FieldId, FieldType, FileUuid, Lsn, SeriesId, SeriesKey, TableId, TimeRange, Timestamp,
};
pub use value::Value;
