//! Frames of the write-ahead log and what they carry.
//!
//! | module | what |
//! |---|---|
//! | [`frame`] | one frame: header, payload, padding; is it whole, and does it belong here |
//! | [`scan`] | the frames of a file in order, where they stop, and what stands behind that |
//! | [`batch`] | payload of a batch: rows of any number of tables, column by column |
//! | [`record`] | the other payloads, and a payload decoded by its kind |

pub mod batch;
pub mod frame;
pub mod record;
pub mod scan;

pub use batch::{
    BatchSection, SectionSeries, SeriesIds, append_section, decode_batch, section_len,
};
pub use frame::{
    FRAME_HEADER_LEN, Frame, FrameHeader, FrameKind, LogIdentity, append_frame,
    append_frame_with_crc, record_durable,
};
pub use record::{
    Record, Selection, SeriesDefinition, Tombstone, encode_segment_references,
    encode_series_definitions,
};
pub use scan::{Evidence, FrameCursor, Stop, find_later_evidence, highest_lsn};
