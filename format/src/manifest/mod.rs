//! Edits of the manifest: which segments live, tables, tombstones, next ids.
//!
//! A manifest file is a header and, from offset 256, edits; the first one is a snapshot. An
//! [`Edit`] is a list of [`Entry`]s, and [`State`] is what they add up to. [`replay`] turns a file
//! into a state and decides where the file ends.

mod edit;
mod entry;
mod mend;
mod state;
mod undo;

pub use crate::segment_entry::{SegmentEntry, Tier};
pub use edit::{
    EDIT_ALIGN, EDIT_HEADER_LEN, EDIT_MAGIC, EDITS_START, Edit, EditCursor, LocatedEdit,
    ManifestIdentity, Stop, append_edit, find_later_edit,
};
pub use entry::{ClockTrust, Entry, EntryTag};
pub use mend::{Mended, mend};
pub use state::{DamagedEdit, Replay, State, replay, replay_up_to_damage};
pub use undo::Undo;
