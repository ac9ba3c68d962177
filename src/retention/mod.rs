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

mod plan;

use std::collections::BTreeMap;

use tidestone_format::log::SeriesDefinition;
use tidestone_format::manifest::Entry;
use tidestone_format::{SeriesId, TableId};

use crate::engine::Engine;
use crate::error::Result;
use crate::store::TableVersion;

/// Raises the horizons of all tables as their settings say, and drops segments behind them.
pub(crate) fn enforce(engine: &Engine) -> Result<()> {
    engine.writable()?;
    watch_clock(engine, false)?;
    let tables: Vec<TableId> = engine.store.version().tables.keys().copied().collect();
    for table in tables {
        enforce_table(engine, table)?;
    }
    Ok(())
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
        segment.each_series(|definition| {
            if !known.contains_key(&definition.id) {
                definitions.insert(definition.id, definition);
            }
            Ok(())
        })?;
    }
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
