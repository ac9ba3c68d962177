//! Edits of the manifest: which segments live, tables, tombstones, next ids.

pub use crate::segment_entry::{SegmentEntry, Tier};
