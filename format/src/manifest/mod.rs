//! Edits of the manifest: which segments live, tables, tombstones, next ids.

mod segment_entry;

pub use segment_entry::{SegmentEntry, Tier};
