//! Dropping what is too old, or too much.
//!
//! [`plan`] decides (segments, settings and time in, a horizon out); the horizon goes to the manifest
//! and hides older rows at once, physically dropped or not. Segments wholly behind it are dropped
//! in the same edit.
//!
//! Retention waits for no merge: a merge whose inputs it drops stops by itself and leaves nothing. Nobody who
//! edits the manifest waits while it looks in segments for what deletes hide.
//!
//! # Invariants
//! 1. A horizon never goes back.
//! 2. A clock that is wrong must not delete: a horizon goes only as far as time is certain, and one partition
//!    further ([`crate::steadiness`]).
//! 3. Where the disk is full, one partition at a time is dropped of tables that are to lose it, and no
//!    further one before the files of the last are gone: what is being read takes its space until then.
//! 4. What deletes hide wholly is dropped first, where bytes are to go as on a full disk: it costs nobody a row.
//! 5. A series that is in no live segment is defined in the manifest before its last segment is dropped.
//!    One that is needs no definition: a drop takes little space in the manifest, which a full disk may not have.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tidestone_format::log::{Selection, SeriesDefinition, Tombstone};
use tidestone_format::manifest::Entry;
use tidestone_format::schema::TableSettings;
use tidestone_format::{FileUuid, Lsn, SeriesId, TableId, TimeRange, Timestamp};

use crate::catalog::leave_out_living;
use crate::engine::Engine;
use crate::error::{ErrorKind, Result};
use crate::store::{Editor, Segment, TableVersion};

/// Raises the horizons of all tables as their settings say, and drops segments behind them. A table for
/// which that fails does not keep it from the others; the first error is returned.
pub(crate) fn enforce(engine: &Engine) -> Result<()> {
    engine.writable()?;
    let mut outcome = watch_clock(engine, false);
    let tables: Vec<TableId> = engine.store.version().tables.keys().copied().collect();
    for table in tables {
        outcome = outcome.and(enforce_table(engine, table));
    }
    outcome
}

/// Saves how far the clock is believed, before the database closes: runs that are short add up.
pub(crate) fn close(engine: &Engine) -> Result<()> {
    watch_clock(engine, true)
}

/// Compares the clocks, if a table keeps rows by age.
fn watch_clock(engine: &Engine, closes: bool) -> Result<()> {
    let by_age = |table: &TableVersion| table.schema.settings.retention_age_ns.is_some();
    if !engine.store.version().tables.values().any(by_age) {
        return Ok(());
    }
    let mut editor = engine.store.edit();
    let mut steadiness = engine.steadiness.lock();
    let (wall, monotonic) = (engine.clock.now(), engine.clock.monotonic());
    steadiness.look(editor.state().clock(), wall, monotonic);
    let Some(trust) = steadiness.to_save(closes) else {
        return Ok(());
    };
    let version = editor.commit(vec![Entry::ClockTrust(trust)])?;
    engine.publish(&mut editor, version, None);
    steadiness.note_saved();
    Ok(())
}

/// The series of a segment that is to be dropped; those of the whole table, as the index knows them, if
/// they cannot be read: some may be nowhere else but there, and have rows in memory or a handle.
fn definitions_of(engine: &Engine, segment: &Segment) -> Result<Vec<SeriesDefinition>> {
    let mut definitions = Vec::new();
    let read = segment.each_series(|definition| {
        definitions.push(definition);
        Ok(())
    });
    match read {
        Err(error) if error.is_unreadable() => {}
        outcome => return outcome.map(|()| definitions),
    }
    let table = segment.entry.table;
    let ids = engine.series.select(table, &[])?;
    let keys = engine.series.keys(table, &ids)?;
    let known = ids.into_iter().zip(keys);
    Ok(known
        .filter_map(|(id, key)| {
            Some(SeriesDefinition {
                table,
                id,
                key: key?,
            })
        })
        .collect())
}

/// The partitions of a table's segments and their lengths.
fn sizes_of(table: &TableVersion) -> Vec<(TimeRange, u64)> {
    let segments = table.segments.iter();
    segments
        .map(|s| (s.entry.partition, s.entry.file_len))
        .collect()
}

fn enforce_table(engine: &Engine, id: TableId) -> Result<()> {
    let keeps_all = |settings: &TableSettings| {
        settings.retention_age_ns.is_none() && settings.retention_bytes.is_none()
    };
    let too_large = |table: &TableVersion| {
        let limit = table.schema.settings.retention_bytes?;
        plan::horizon_of_bytes(&sizes_of(table), limit)
    };
    let version = engine.store.version();
    let deleted = match version.tables.get(&id) {
        Some(table) if keeps_all(&table.schema.settings) => return Ok(()),
        Some(table) if too_large(table).is_some() => Some(find_deleted(engine, id)?),
        Some(_) => None,
        None => return Ok(()),
    };
    drop(version);
    let mut editor = engine.store.edit();
    let mut version = engine.store.version();
    if let (Some(table), Some(deleted)) = (version.tables.get(&id), &deleted)
        && too_large(table).is_some()
        && !drop_deleted(engine, &mut editor, table, deleted)?.is_empty()
    {
        version = engine.store.version();
    }
    let Some(table) = version.tables.get(&id) else {
        return Ok(());
    };
    let settings = &table.schema.settings;
    let mut target = table.horizon;
    if let Some(age) = settings.retention_age_ns {
        let wall = engine.clock.now();
        let now = engine
            .steadiness
            .lock()
            .certain(wall, settings.partition_ns);
        target = target.max(now.saturating_sub(age));
    }
    // Of a table that became too large in between no deletes were looked at: that is for the next time.
    if deleted.is_some() {
        target = target.max(too_large(table).unwrap_or(target));
    }
    let step = target.saturating_sub(table.horizon);
    // Small steps of the horizon are not worth an edit each.
    if behind(table, target).next().is_none() && step < settings.partition_ns / 16 {
        return Ok(());
    }
    raise_horizon(engine, &mut editor, table, target)
}

/// Does work that writes; where the disk is too full for it, drops what may be dropped then and tries again.
pub(crate) fn with_space<T>(engine: &Engine, work: impl Fn() -> Result<T>) -> Result<T> {
    loop {
        match work() {
            Err(error) if error.kind() == ErrorKind::DiskFull && make_space(engine)? => {}
            outcome => return outcome,
        }
    }
}

/// Drops the segments of which nothing is left behind the deletes, or else the oldest partition among the
/// tables that are to lose it where the disk is full. Returns whether it is gone: `false` if there is
/// none but the newest, or if what was dropped before is still being read and takes its space.
pub(crate) fn make_space(engine: &Engine) -> Result<bool> {
    engine.writable()?;
    engine.store.remove_kept();
    let tables: Vec<TableId> = engine.store.version().tables.keys().copied().collect();
    let mut found = Vec::new();
    for id in tables {
        found.push((id, find_deleted(engine, id)?));
    }
    let mut editor = engine.store.edit();
    let mut dropped = engine.dropped_when_full.lock();
    dropped.retain(|segment| segment.strong_count() > 0);
    let version = engine.store.version();
    let mut deleted = Vec::new();
    for (id, segments) in &found {
        if let Some(table) = version.tables.get(id) {
            deleted.extend(drop_deleted(engine, &mut editor, table, segments)?);
        }
    }
    drop(version);
    if deleted.is_empty() {
        if !dropped.is_empty() || engine.store.kept()?.0.files > 0 {
            return Ok(false);
        }
        if !drop_oldest(engine, &mut editor, &mut dropped)? {
            return Ok(false);
        }
    }
    dropped.append(&mut deleted);
    dropped.retain(|segment| segment.strong_count() > 0);
    Ok(dropped.is_empty() && engine.store.kept()?.0.files == 0)
}

/// The segments of a table of which deletes hide every row, once those deletes are sure to stay. A merge would
/// drop them, but for the deletes that wait in memory for a flush, for which a full disk has no space.
///
/// It reads segments and may wait for the disk, so it is called before anybody has to wait for the manifest.
/// What it finds holds as long as the segments live: they do not change, and a delete goes only when no
/// segment needs it.
fn find_deleted(engine: &Engine, id: TableId) -> Result<BTreeSet<FileUuid>> {
    let (table, view) = {
        // A flush moves deletes from one to the other.
        let mut head = engine.lock_head();
        let table = engine.store.version().tables.get(&id).cloned();
        (table, head.view(id))
    };
    let Some(table) = table else {
        return Ok(BTreeSet::new());
    };
    let tombstones = || view.tombstones.iter().chain(&table.tombstones);
    let mut deleted = BTreeSet::new();
    for segment in &table.segments {
        if is_deleted(segment, tombstones())? {
            deleted.insert(segment.entry.uuid);
        }
    }
    if deleted.is_empty() {
        return Ok(deleted);
    }
    let newest = view.tombstones.last().map(|(lsn, _)| *lsn);
    if let (Some(log), Some(lsn)) = (engine.log(), newest) {
        log.sync_to(lsn)?;
    }
    Ok(deleted)
}

/// Drops those of the segments that are [`deleted`](find_deleted) which still live, and returns them.
fn drop_deleted(
    engine: &Engine,
    editor: &mut Editor<'_>,
    table: &TableVersion,
    deleted: &BTreeSet<FileUuid>,
) -> Result<Vec<Weak<Segment>>> {
    let is_one = |s: &Segment| deleted.contains(&s.entry.uuid);
    let live = table.segments.iter().filter(|s| is_one(s));
    let live: Vec<Weak<Segment>> = live.map(Arc::downgrade).collect();
    if !live.is_empty() {
        drop_segments(engine, editor, table, is_one, None)?;
    }
    Ok(live)
}

/// Whether deletes, together, hide every row of a segment.
fn is_deleted<'a>(
    segment: &Segment,
    tombstones: impl Iterator<Item = &'a (Lsn, Arc<Tombstone>)>,
) -> Result<bool> {
    let (last, times) = (segment.entry.last_lsn, segment.entry.times);
    let mut later: Vec<&Tombstone> = tombstones
        .filter(|(lsn, tombstone)| *lsn > last && tombstone.range.overlaps(&times))
        .map(|(_, tombstone)| &**tombstone)
        .collect();
    later.sort_unstable_by_key(|tombstone| tombstone.range.start);
    let ranges = || later.iter().map(|tombstone| tombstone.range);
    if !plan::covers(ranges(), times) {
        return Ok(false);
    }
    let of_all = later.iter().filter(|t| t.selection == Selection::All);
    if plan::covers(of_all.map(|t| t.range), times) {
        return Ok(true);
    }
    let mut all = true;
    let read = segment.each_series(|definition| {
        let selecting = later.iter().filter(|t| t.selects(definition.id));
        all = all && plan::covers(selecting.map(|t| t.range), times);
        Ok(())
    });
    match read {
        // Whose rows it has is not known. It keeps space from being made nowhere else.
        Err(error) if error.is_unreadable() => Ok(false),
        outcome => outcome.map(|()| all),
    }
}

/// Drops the oldest partition among the tables that are to lose it; `false`: there is none.
fn drop_oldest(
    engine: &Engine,
    editor: &mut Editor<'_>,
    dropped: &mut Vec<Weak<Segment>>,
) -> Result<bool> {
    let version = engine.store.version();
    let tables = version.tables.values();
    let oldest = tables
        .filter(|table| table.schema.settings.drops_when_full)
        .filter_map(|table| Some((plan::horizon_behind_oldest(&sizes_of(table))?, table)))
        .min_by_key(|(horizon, table)| (*horizon, table.schema.id));
    let Some((horizon, table)) = oldest else {
        return Ok(false);
    };
    dropped.extend(behind(table, horizon).map(Arc::downgrade));
    raise_horizon(engine, editor, table, horizon)?;
    let partitions = &engine.counters.partitions_dropped_when_full;
    partitions.fetch_add(1, Ordering::Relaxed);
    Ok(true)
}

/// The segments of a table wholly behind a horizon.
fn behind(table: &TableVersion, horizon: Timestamp) -> impl Iterator<Item = &Arc<Segment>> {
    let segments = table.segments.iter();
    segments.filter(move |s| s.entry.times.end < horizon)
}

/// Raises the horizon of a table, and drops the segments behind it.
fn raise_horizon(
    engine: &Engine,
    editor: &mut Editor<'_>,
    table: &TableVersion,
    target: Timestamp,
) -> Result<()> {
    let id = table.schema.id;
    let horizon = (target > table.horizon).then_some(Entry::Horizon {
        table: id,
        from: target,
    });
    let is_behind = |s: &Segment| s.entry.times.end < target;
    drop_segments(engine, editor, table, is_behind, horizon)?;
    if let Some(core) = engine.tables().by_id(id) {
        core.raise_horizon(target);
    }
    Ok(())
}

/// Drops segments of a table, with one more entry in the same edit.
fn drop_segments(
    engine: &Engine,
    editor: &mut Editor<'_>,
    table: &TableVersion,
    goes: impl Fn(&Segment) -> bool,
    more: Option<Entry>,
) -> Result<()> {
    let id = table.schema.id;
    let (gone, stay): (Vec<_>, Vec<_>) = table.segments.iter().partition(|s| goes(s));
    let known = editor.state().series();
    let mut definitions: BTreeMap<SeriesId, SeriesDefinition> = BTreeMap::new();
    for segment in &gone {
        let of_segment = definitions_of(engine, segment)?.into_iter();
        let unknown = of_segment.filter(|d| !known.contains_key(&d.id));
        definitions.extend(unknown.map(|d| (d.id, d)));
    }
    let mut last: BTreeSet<SeriesId> = definitions.keys().copied().collect();
    match leave_out_living(stay.into_iter(), &mut last) {
        // Who reads the segment is told. A definition too many does no harm.
        Err(error) if error.is_unreadable() => {}
        outcome => outcome?,
    }
    definitions.retain(|id, _| last.contains(id));
    let mut entries: Vec<Entry> = definitions
        .into_values()
        .map(Entry::SeriesDefined)
        .collect();
    entries.extend(gone.iter().map(|s| Entry::SegmentDropped {
        table: id,
        uuid: s.entry.uuid,
    }));
    entries.extend(more);
    let version = editor.commit(entries)?;
    engine.publish(editor, version, None);
    if !gone.is_empty() {
        engine.series.suspect(id);
    }
    Ok(())
}
