//! The bytes of Tidestone's files: what stands where, how it is encoded, how it is checked.
//!
//! This crate turns values into bytes and bytes into values. It knows no paths, files, clocks,
//! threads or settings; it is what the engine, the inspector and the fuzz targets share, and it
//! builds without RocksDB. `FORMAT.md` beside this crate describes every byte. Tests compare its tables
//! with the code, and `tests/second_reader` is a reader written from it that reads what this one reads.
//!
//! | module | what |
//! |---|---|
//! | [`header`] | the 192 bytes that open every file: identity, log file, manifest, segment |
//! | [`log`] | frames of the write-ahead log and what they carry |
//! | [`schema`] | tables: settings, fields, types |
//! | [`manifest`] | edits: which segments live, tables, tombstones, next ids |
//! | [`segment`] | blocks, dictionaries, index pages, root and trailer of a data file |
//! | [`sharing`] | what processes that use one database tell each other |
//! | [`codec`] | how 1,024 values become few bytes |
//! | [`mod@column`] | values in memory, before encoding and after decoding |
//!
//! Decoders take bytes nobody vouches for. They never panic, never read out of bounds and never
//! allocate more than the input could fill; what they refuse they refuse with a [`FormatError`]
//! that says what, at which offset, expected and actual.

pub mod bytes;
pub mod checksum;
pub mod codec;
pub mod column;
mod error;
pub mod header;
pub mod log;
pub mod manifest;
pub mod schema;
pub mod segment;
mod segment_entry;
pub mod sharing;
mod tags;
mod types;
pub mod version;

pub use error::{FormatError, FormatErrorKind, Result};
pub use types::{
    FieldId, FieldType, FileUuid, Lsn, SeriesId, SeriesKey, TableId, TimeRange, Timestamp,
};
