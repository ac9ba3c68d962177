//! Dropping what is too old, or too much.
//!
//! [`plan`] decides (segments, settings and time in, a horizon out); the horizon goes to the manifest
//! and hides older rows at once, physically dropped or not. Segments wholly behind it are dropped
//! in the same edit.
//!
//! Retention waits for no merge: a merge whose inputs it drops stops by itself and leaves nothing.
//!
//! # Invariants
//! 1. A horizon never goes back.
//! 2. A clock that is wrong must not delete: a horizon goes only as far as time is certain, and one partition
//!    further ([`crate::steadiness`]).
//! 3. A series that is in no live segment is defined in the manifest before its last segment is dropped.
//!    One that is needs no definition: a drop takes little space in the manifest, which a full disk may not have.

mod plan;

use std::collections::{BTreeMap, BTreeSet};

use tidestone_format::log::SeriesDefinition;
use tidestone_format::manifest::Entry;
use tidestone_format::{SeriesId, TableId};

use crate::catalog::leave_out_living;
use crate::engine::Engine;
use crate::error::{ErrorKind, Result};
use crate::store::{Segment, TableVersion};

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
        Err(error) if error.kind() == ErrorKind::Corrupt => {}
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

fn enforce_table(engine: &Engine, id: TableId) -> Result<()> {
    let version = engine.store.version();
    let Some(table) = version.tables.get(&id) else {
        return Ok(());
    };
    let settings = &table.schema.settings;
    if settings.retention_age_ns.is_none() && settings.retention_bytes.is_none() {
        return Ok(());
    }
    let mut editor = engine.store.edit();
    let version = engine.store.version();
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
    if let Some(limit) = settings.retention_bytes {
        let sizes: Vec<_> = table
            .segments
            .iter()
            .map(|s| (s.entry.partition, s.entry.file_len))
            .collect();
        target = target.max(plan::horizon_of_bytes(&sizes, limit).unwrap_or(target));
    }
    let behind: Vec<_> = table
        .segments
        .iter()
        .filter(|s| s.entry.times.end < target)
        .cloned()
        .collect();
    let step = target.saturating_sub(table.horizon);
    // Small steps of the horizon are not worth an edit each.
    if behind.is_empty() && step < settings.partition_ns / 16 {
        return Ok(());
    }
    let mut entries = Vec::new();
    let known = editor.state().series();
    let mut definitions: BTreeMap<SeriesId, SeriesDefinition> = BTreeMap::new();
    for segment in &behind {
        let of_segment = definitions_of(engine, segment)?.into_iter();
        let unknown = of_segment.filter(|d| !known.contains_key(&d.id));
        definitions.extend(unknown.map(|d| (d.id, d)));
    }
    let mut last: BTreeSet<SeriesId> = definitions.keys().copied().collect();
    let stay = table.segments.iter();
    let stay = stay.filter(|s| s.entry.times.end >= target);
    match leave_out_living(stay, &mut last) {
        // Who reads the segment is told of its damage. A definition too many does no harm.
        Err(error) if error.kind() == ErrorKind::Corrupt => {}
        outcome => outcome?,
    }
    definitions.retain(|id, _| last.contains(id));
    entries.extend(definitions.into_values().map(Entry::SeriesDefined));
    entries.extend(behind.iter().map(|s| Entry::SegmentDropped {
        table: id,
        uuid: s.entry.uuid,
    }));
    if target > table.horizon {
        entries.push(Entry::Horizon {
            table: id,
            from: target,
        });
    }
    let version = editor.commit(entries)?;
    engine.publish(&mut editor, version, None);
    if !behind.is_empty() {
        engine.series.suspect(id);
    }
    if let Some(core) = engine.tables().by_id(id) {
        core.raise_horizon(target);
    }
    Ok(())
}
