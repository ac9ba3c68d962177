//! What the edits of a manifest add up to.

use std::collections::BTreeMap;
use std::fmt;

use super::edit::{
    EDIT_HEADER_LEN, EDITS_START, EditCursor, ManifestIdentity, Stop, find_later_edit,
};
use super::entry::{ClockTrust, Entry};
use super::undo::{Before, WholeTable};
use crate::bytes::Reader;
use crate::header::HEADER_LEN;
use crate::log::record::{SeriesDefinition, Tombstone};
use crate::schema::TableSchema;
use crate::segment_entry::SegmentEntry;
use crate::{FileUuid, FormatError, FormatErrorKind, Lsn, Result, SeriesId, TableId, Timestamp};

const WHAT: &str = "manifest";
const BEHIND: &str = "space behind the edits of a manifest";

/// Everything a manifest holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    next_series: SeriesId,
    next_table: TableId,
    incarnation: FileUuid,
    flushed: Lsn,
    tables: BTreeMap<TableId, TableSchema>,
    segments: BTreeMap<FileUuid, SegmentEntry>,
    tombstones: BTreeMap<Lsn, Tombstone>,
    series: BTreeMap<SeriesId, SeriesDefinition>,
    horizons: BTreeMap<TableId, Timestamp>,
    cursors: BTreeMap<String, Lsn>,
    clock: Option<ClockTrust>,
    forgetting: FileUuid,
}

impl Default for State {
    fn default() -> Self {
        Self {
            next_series: SeriesId(1),
            next_table: TableId(1),
            incarnation: FileUuid::default(),
            flushed: Lsn(0),
            tables: BTreeMap::new(),
            segments: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            series: BTreeMap::new(),
            horizons: BTreeMap::new(),
            cursors: BTreeMap::new(),
            clock: None,
            forgetting: FileUuid::default(),
        }
    }
}

impl State {
    /// The state before a snapshot: nothing, and the next ids are 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id the next new series gets.
    pub fn next_series(&self) -> SeriesId {
        self.next_series
    }

    /// The id the next new table gets.
    pub fn next_table(&self) -> TableId {
        self.next_table
    }

    /// The incarnation; zero before there is one.
    pub fn incarnation(&self) -> FileUuid {
        self.incarnation
    }

    /// Every row at or below this LSN is in segments or dropped.
    pub fn flushed(&self) -> Lsn {
        self.flushed
    }

    /// The tables.
    pub fn tables(&self) -> &BTreeMap<TableId, TableSchema> {
        &self.tables
    }

    /// The live segments.
    pub fn segments(&self) -> &BTreeMap<FileUuid, SegmentEntry> {
        &self.segments
    }

    /// The deletes that some segment may still need, by LSN.
    pub fn tombstones(&self) -> &BTreeMap<Lsn, Tombstone> {
        &self.tombstones
    }

    /// The series that may be in no live segment.
    pub fn series(&self) -> &BTreeMap<SeriesId, SeriesDefinition> {
        &self.series
    }

    /// The first timestamp that is kept, of tables that have dropped some.
    pub fn horizons(&self) -> &BTreeMap<TableId, Timestamp> {
        &self.horizons
    }

    /// The consumers of the log and how far they have come.
    pub fn cursors(&self) -> &BTreeMap<String, Lsn> {
        &self.cursors
    }

    /// How far the wall clock is believed; nothing if it was never watched.
    pub fn clock(&self) -> Option<ClockTrust> {
        self.clock
    }

    /// The name of the last forgetting of series; zero before there is one.
    pub fn forgetting(&self) -> FileUuid {
        self.forgetting
    }

    /// Makes a change.
    ///
    /// # Errors
    /// The change contradicts the state: it names a table, segment, tombstone, series or cursor that
    /// is not there, adds one that is, takes an id that was not given out, or turns back what only
    /// grows. The state is then as it was.
    pub fn apply(&mut self, entry: &Entry) -> Result<()> {
        self.change(entry).map(drop)
    }

    /// Makes a change and says what was there before.
    pub(super) fn change(&mut self, entry: &Entry) -> Result<Before> {
        Ok(match entry {
            Entry::NextIds { series, table } => {
                grows("next series id", self.next_series, *series)?;
                grows("next table id", self.next_table, *table)?;
                Before::NextIds(
                    std::mem::replace(&mut self.next_series, *series),
                    std::mem::replace(&mut self.next_table, *table),
                )
            }
            Entry::Incarnation(uuid) => {
                Before::Incarnation(std::mem::replace(&mut self.incarnation, *uuid))
            }
            Entry::Table(table) => Before::Table(table.id, self.put_table(table)?),
            Entry::TableDropped(table) => Before::WholeTable(Box::new(self.drop_table(*table)?)),
            Entry::SegmentAdded(segment) => {
                self.known_table(segment.table)?;
                if let Some(there) = self.segments.get(&segment.uuid) {
                    let actual = format_args!("{}, live in table {}", there.uuid, there.table);
                    return Err(contradiction("a segment that is not live", actual));
                }
                let before = self.segments.insert(segment.uuid, segment.clone());
                Before::Segment(segment.uuid, before)
            }
            Entry::SegmentDropped { table, uuid } => {
                if self.segments.get(uuid).is_none_or(|s| s.table != *table) {
                    let actual = format_args!("{uuid}, which is none of table {table}");
                    return Err(contradiction("a live segment", actual));
                }
                Before::Segment(*uuid, self.segments.remove(uuid))
            }
            Entry::Flushed(lsn) => {
                grows("flushed LSN", self.flushed, *lsn)?;
                Before::Flushed(std::mem::replace(&mut self.flushed, *lsn))
            }
            Entry::Tombstone { lsn, tombstone } => {
                self.known_table(tombstone.table)?;
                if self.tombstones.contains_key(lsn) {
                    let actual = format_args!("one more of LSN {lsn}");
                    return Err(contradiction("one tombstone an LSN", actual));
                }
                Before::Tombstone(*lsn, self.tombstones.insert(*lsn, tombstone.clone()))
            }
            Entry::TombstoneDropped(lsn) => {
                let before = self.tombstones.remove(lsn);
                if before.is_none() {
                    return Err(contradiction("a tombstone that is there", lsn));
                }
                Before::Tombstone(*lsn, before)
            }
            Entry::SeriesDefined(definition) => {
                Before::Series(definition.id, self.define_series(definition)?)
            }
            Entry::Horizon { table, from } => {
                self.known_table(*table)?;
                let known = self.horizons.get(table).copied();
                grows("horizon", known.unwrap_or(i64::MIN), *from)?;
                Before::Horizon(*table, self.horizons.insert(*table, *from))
            }
            Entry::Cursor { name, lsn } => {
                Before::Cursor(name.clone(), self.cursors.insert(name.clone(), *lsn))
            }
            Entry::CursorDropped { name } => {
                let before = self.cursors.remove(name);
                if before.is_none() {
                    let actual = format_args!("{name:?}");
                    return Err(contradiction("a cursor that is there", actual));
                }
                Before::Cursor(name.clone(), before)
            }
            Entry::SeriesForgotten(id) => {
                let before = self.series.remove(id);
                if before.is_none() {
                    return Err(contradiction("a series that is defined", id));
                }
                Before::Series(*id, before)
            }
            Entry::ClockTrust(trust) => Before::Clock(self.clock.replace(*trust)),
            Entry::Forgetting(name) => {
                Before::Forgetting(std::mem::replace(&mut self.forgetting, *name))
            }
        })
    }

    /// Puts back what a change replaced or removed.
    pub(super) fn put_back(&mut self, before: Before) {
        match before {
            Before::NextIds(series, table) => (self.next_series, self.next_table) = (series, table),
            Before::Incarnation(uuid) => self.incarnation = uuid,
            Before::Table(id, table) => put(&mut self.tables, id, table),
            Before::WholeTable(whole) => {
                let id = whole.table.id;
                self.tables.insert(id, whole.table);
                self.segments.extend(whole.segments);
                self.tombstones.extend(whole.tombstones);
                self.series.extend(whole.series);
                put(&mut self.horizons, id, whole.horizon);
            }
            Before::Segment(uuid, segment) => put(&mut self.segments, uuid, segment),
            Before::Flushed(lsn) => self.flushed = lsn,
            Before::Tombstone(lsn, tombstone) => put(&mut self.tombstones, lsn, tombstone),
            Before::Series(id, definition) => put(&mut self.series, id, definition),
            Before::Horizon(table, from) => put(&mut self.horizons, table, from),
            Before::Cursor(name, lsn) => put(&mut self.cursors, name, lsn),
            Before::Clock(trust) => self.clock = trust,
            Before::Forgetting(name) => self.forgetting = name,
        }
    }

    /// The entries that make this state out of a new one.
    pub fn snapshot_entries(&self) -> Vec<Entry> {
        let mut entries = vec![
            Entry::NextIds {
                series: self.next_series,
                table: self.next_table,
            },
            Entry::Incarnation(self.incarnation),
            Entry::Flushed(self.flushed),
        ];
        entries.extend(self.tables.values().cloned().map(Entry::Table));
        let horizons = self.horizons.iter();
        entries.extend(horizons.map(|(&table, &from)| Entry::Horizon { table, from }));
        entries.extend(self.series.values().cloned().map(Entry::SeriesDefined));
        entries.extend(self.segments.values().cloned().map(Entry::SegmentAdded));
        let tombstones = self.tombstones.iter();
        entries.extend(tombstones.map(|(&lsn, tombstone)| Entry::Tombstone {
            lsn,
            tombstone: tombstone.clone(),
        }));
        let cursors = self.cursors.iter();
        entries.extend(cursors.map(|(name, &lsn)| Entry::Cursor {
            name: name.clone(),
            lsn,
        }));
        entries.extend(self.clock.map(Entry::ClockTrust));
        if self.forgetting != FileUuid::default() {
            entries.push(Entry::Forgetting(self.forgetting));
        }
        entries
    }

    fn known_table(&self, table: TableId) -> Result<()> {
        match self.tables.contains_key(&table) {
            true => Ok(()),
            false => Err(contradiction("a table that is there", table)),
        }
    }

    fn put_table(&mut self, table: &TableSchema) -> Result<Option<TableSchema>> {
        if table.id >= self.next_table {
            let expected = format_args!("a table id below the next one, {}", self.next_table);
            return Err(contradiction(expected, table.id));
        }
        let mut others = self.tables.values().filter(|t| t.id != table.id);
        if let Some(other) = others.find(|t| t.name == table.name) {
            let actual = format_args!("tables {} and {}: {:?}", other.id, table.id, table.name);
            return Err(contradiction("each table name once", actual));
        }
        if let Some(before) = self.tables.get(&table.id) {
            grows("next field id", before.next_field_id, table.next_field_id)?;
            for old in &before.fields {
                let new = table.field(old.id).map_or(old.field_type, |f| f.field_type);
                if new != old.field_type {
                    let expected =
                        format_args!("field {} as {}, as before", old.id, old.field_type);
                    return Err(contradiction(expected, new));
                }
            }
        }
        Ok(self.tables.insert(table.id, table.clone()))
    }

    fn drop_table(&mut self, id: TableId) -> Result<WholeTable> {
        let Some(table) = self.tables.remove(&id) else {
            return Err(contradiction("a table that is there", id));
        };
        let segments = self.segments.extract_if(.., |_, s| s.table == id);
        let tombstones = self.tombstones.extract_if(.., |_, t| t.table == id);
        let series = self.series.extract_if(.., |_, d| d.table == id);
        Ok(WholeTable {
            table,
            segments: segments.collect(),
            tombstones: tombstones.collect(),
            series: series.collect(),
            horizon: self.horizons.remove(&id),
        })
    }

    fn define_series(&mut self, definition: &SeriesDefinition) -> Result<Option<SeriesDefinition>> {
        self.known_table(definition.table)?;
        let id = definition.id;
        if id >= self.next_series {
            let expected = format_args!("a series id below the next one, {}", self.next_series);
            return Err(contradiction(expected, id));
        }
        match self.series.get(&id) {
            Some(there) if there != definition => {
                let expected =
                    format_args!("series {id} as {:?} of table {}", there.key, there.table);
                let actual = format_args!("{:?} of table {}", definition.key, definition.table);
                Err(contradiction(expected, actual))
            }
            _ => Ok(self.series.insert(id, definition.clone())),
        }
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn contradiction(expected: impl fmt::Display, actual: impl fmt::Display) -> FormatError {
    FormatError::invalid(WHAT, 0, expected, actual)
}

fn grows<T: Ord + fmt::Display>(what: &str, before: T, after: T) -> Result<()> {
    if after >= before {
        return Ok(());
    }
    let expected = format_args!("a {what} of {before} or more");
    Err(contradiction(expected, after))
}

/// What a manifest file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The state after the last edit.
    pub state: State,
    /// The version the last edit made.
    pub version: u64,
    /// Offset of the first byte behind the last edit.
    pub end: u64,
    /// Up to here every byte was synced when it was followed by another edit. What stands between here
    /// and `end` may have been in the page cache alone.
    pub proven: u64,
    /// The last edit is empty, or the snapshot: there is no change that could be taken for a torn one.
    pub sealed: bool,
    /// What stands there, if it is neither nothing nor zeros: an edit that was never synced.
    pub torn: Option<FormatError>,
}

impl Replay {
    /// What tells that a file of `len` bytes was cut short, if it was: its last edit runs past its end, or
    /// less stands behind the edits than [`EDIT_HEADER_LEN`] bytes. A writer has that much synced behind an
    /// edit and its seal before it writes the edit, so that no power loss leaves such a file.
    pub fn cut_short(&self, len: u64) -> Option<FormatError> {
        let left = len.saturating_sub(self.end);
        match &self.torn {
            Some(error) if error.kind == FormatErrorKind::Truncated => Some(error.clone()),
            None if left < EDIT_HEADER_LEN as u64 => {
                let expected = EDIT_HEADER_LEN as u64;
                Some(FormatError::truncated(BEHIND, self.end, expected, left))
            }
            _ => None,
        }
    }
}

/// An edit of a manifest that was synced and is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedEdit {
    /// What is wrong, and where in the file.
    pub error: FormatError,
    /// The version of the last whole edit behind it.
    pub last_version: u64,
}

/// Replays the edits of a manifest file; its header has been decoded before and says `file`.
///
/// # Errors
/// The bytes between header and edits are not zero, there is no snapshot, an edit that was synced
/// is damaged (a whole one of a higher version stands behind it), an edit is whole and unknown to
/// this version, or one contradicts those before. Offsets are those in the file.
pub fn replay(file_bytes: &[u8], file: ManifestIdentity) -> Result<Replay> {
    match replay_up_to_damage(file_bytes, file)? {
        (replay, None) => Ok(replay),
        (_, Some(damage)) => Err(damage.error),
    }
}

/// As [`replay`], but for an edit that was synced and is damaged: it, and all behind it, count as
/// not there, and it is told. For a repair.
///
/// # Errors
/// As [`replay`].
pub fn replay_up_to_damage(
    file_bytes: &[u8],
    file: ManifestIdentity,
) -> Result<(Replay, Option<DamagedEdit>)> {
    let mut r = Reader::new(file_bytes, WHAT);
    r.take(HEADER_LEN)?;
    r.zeros(EDITS_START - HEADER_LEN)?;
    let mut state = State::new();
    let mut cursor = EditCursor::new(file_bytes, file);
    let mut proven = EDITS_START as u64;
    let mut last = None;
    for located in cursor.by_ref() {
        proven = last.take().unwrap_or(proven);
        if proven == EDITS_START as u64 {
            // The snapshot: it was synced before its file got its name.
            proven = located.end;
        } else if !located.edit.entries.is_empty() {
            last = Some(located.end);
        }
        for entry in &located.edit.entries {
            state.apply(entry).map_err(|e| e.at_base(located.offset))?;
        }
    }
    let end = cursor.offset();
    let torn = match cursor.stop() {
        None | Some(Stop::End) => None,
        Some(Stop::Refused(error)) => return Err(error.clone()),
        Some(Stop::Invalid(error)) => Some(error.clone()),
    };
    let version = cursor.version().unwrap_or(0);
    let damage = torn.as_ref().and_then(|error| {
        Some(DamagedEdit {
            error: error.clone(),
            last_version: last_later_edit(file_bytes, file, end, version)?,
        })
    });
    if version == 0 {
        let actual = torn.map_or("nothing".to_string(), |e| e.to_string());
        return Err(FormatError::invalid(WHAT, end, "a snapshot", actual));
    }
    let replay = Replay {
        state,
        version,
        end,
        proven,
        sealed: last.is_none(),
        torn,
    };
    Ok((replay, damage))
}

/// The version of the last whole edit behind `from`, if there is one above `version`.
fn last_later_edit(
    bytes: &[u8],
    file: ManifestIdentity,
    mut from: u64,
    version: u64,
) -> Option<u64> {
    let mut last = None;
    while let Some((at, found)) = find_later_edit(bytes, file, from, last.unwrap_or(version)) {
        last = Some(found);
        from = at + 1;
    }
    last
}

#[cfg(test)]
mod tests;
