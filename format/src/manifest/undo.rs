//! Taking back changes of a manifest's state that did not become durable.
//!
//! The cost is that of the changes, not of the state: what an entry replaces or removes is kept, and
//! put back.

use super::entry::{ClockTrust, Entry};
use super::state::State;
use crate::log::record::{SeriesDefinition, Tombstone};
use crate::schema::TableSchema;
use crate::segment_entry::SegmentEntry;
use crate::{FileUuid, Lsn, Result, SeriesId, TableId, Timestamp};

/// What [`State::take_back`] needs to undo what [`State::apply_all`] did.
#[derive(Debug)]
#[must_use = "without it the changes cannot be taken back"]
pub struct Undo(Vec<Before>);

/// What stood where an entry changed something.
#[derive(Debug)]
pub(super) enum Before {
    NextIds(SeriesId, TableId),
    Incarnation(FileUuid),
    Table(TableId, Option<TableSchema>),
    WholeTable(Box<WholeTable>),
    Segment(FileUuid, Option<SegmentEntry>),
    Flushed(Lsn),
    Tombstone(Lsn, Option<Tombstone>),
    Series(SeriesId, Option<SeriesDefinition>),
    Horizon(TableId, Option<Timestamp>),
    Cursor(String, Option<Lsn>),
    Clock(Option<ClockTrust>),
    Forgetting(FileUuid),
}

/// A table that was dropped, and what went with it.
#[derive(Debug)]
pub(super) struct WholeTable {
    pub(super) table: TableSchema,
    pub(super) segments: Vec<(FileUuid, SegmentEntry)>,
    pub(super) tombstones: Vec<(Lsn, Tombstone)>,
    pub(super) series: Vec<(SeriesId, SeriesDefinition)>,
    pub(super) horizon: Option<Timestamp>,
}

impl State {
    /// Makes changes, all or none, in the time they take each.
    ///
    /// # Errors
    /// As [`State::apply`], of the first one that contradicts the state and those before it. The
    /// state is then as it was.
    pub fn apply_all(&mut self, entries: &[Entry]) -> Result<Undo> {
        let mut undo = Undo(Vec::with_capacity(entries.len()));
        for entry in entries {
            match self.change(entry) {
                Ok(before) => undo.0.push(before),
                Err(error) => {
                    self.take_back(undo);
                    return Err(error);
                }
            }
        }
        Ok(undo)
    }

    /// Takes back the last changes made by [`State::apply_all`].
    pub fn take_back(&mut self, undo: Undo) {
        undo.0
            .into_iter()
            .rev()
            .for_each(|before| self.put_back(before));
    }
}
