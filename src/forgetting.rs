//! Forgetting series whose rows are all gone.
//!
//! A series that is in no live segment, not in the head, not in the part of the log that anybody reads, and
//! held by no handle, needs its definition no more. In bounded batches: the series start to leave
//! ([`crate::catalog::Pins`] tells when nobody can write or read them any more), then the index forgets them, durably,
//! then the manifest.
//!
//! # Invariants
//! 1. The index forgets before the manifest: what the index gives out as a series is defined in the
//!    ground state. After a crash in between the manifest still has the series, and it is forgotten
//!    then; its key may have got a new id meanwhile, which counts.
//!    Both note the name of the forgetting: an index from before, put back, is not believed.
//! 2. An id is never given again.
//! 3. Nothing is forgotten while a reader of the log has yet to read what is flushed.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;
use tidestone_format::log::SeriesDefinition;
use tidestone_format::manifest::Entry;
use tidestone_format::{SeriesId, TableId};

use crate::catalog::leave_out_living;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::index::Forgetting;
use crate::store::Editor;

/// Series that are looked at, and forgotten by one edit, at a time.
const BATCH: usize = 4_096;

/// Forgets what can be forgotten now, and says how many series that are.
pub(crate) fn run(engine: &Engine) -> Result<u64> {
    engine.writable()?;
    let mut forgotten = 0;
    while engine.series.has_suspects() {
        let _no_flush = engine.flushing.lock();
        let mut editor = engine.store.edit();
        if !engine.pins.is_quiet() {
            break;
        }
        // Nobody is left who learnt of the batch before the last from the index.
        let known = editor.state().series();
        engine.series.clear_gone(|id| known.contains_key(&id));
        forgotten += finish(engine, &mut editor)?;
        if !begin(engine, &editor)? {
            break;
        }
        engine.pins.advance();
    }
    Ok(forgotten)
}

/// Lets a batch of series leave. Returns whether there is more to do.
fn begin(engine: &Engine, editor: &Editor<'_>) -> Result<bool> {
    let state = editor.state();
    if state.cursors().values().any(|lsn| *lsn < state.flushed()) {
        return Ok(false);
    }
    let Some((table, from)) = engine.series.next_suspects() else {
        return Ok(false);
    };
    let suspects = state.series().range(from..).map(|(_, d)| d);
    let suspects = suspects.filter(|d| d.table == table).take(BATCH);
    let suspects: Vec<&SeriesDefinition> = suspects.collect();
    let next = suspects.last().map(|d| SeriesId(d.id.0 + 1));
    engine.series.go_on_with_suspects(table, next);
    let ids = suspects.iter().map(|d| d.id).collect();
    let ids = without_rows(engine, table, ids)?;
    let leaving = suspects.into_iter().filter(|d| ids.contains(&d.id));
    engine.series.let_leave(leaving.cloned().collect());
    Ok(true)
}

/// Those of a table's series that have no rows, neither in a live segment nor in the head.
pub(crate) fn without_rows(
    engine: &Engine,
    table: TableId,
    mut ids: BTreeSet<SeriesId>,
) -> Result<BTreeSet<SeriesId>> {
    if ids.is_empty() {
        return Ok(ids);
    }
    let view = engine.lock_head().view(table);
    for chunk in &view.chunks {
        for id in &chunk.sorted().series {
            ids.remove(id);
        }
    }
    if let Some(of) = engine.store.version().tables.get(&table) {
        match leave_out_living(of.segments.iter(), &mut ids) {
            // Who reads the segment is told; until it can be read all are kept.
            Err(error) if error.is_unreadable() => ids.clear(),
            outcome => outcome?,
        }
    }
    Ok(ids)
}

/// Forgets the series that have been leaving: first in the index, then in the manifest.
fn finish(engine: &Engine, editor: &mut Editor<'_>) -> Result<u64> {
    let leaving = engine.series.leaving();
    // Rows that were staged when a series began to leave may have been committed, and flushed.
    let mut stay: FxHashSet<SeriesId> = leaving.iter().map(|d| d.id).collect();
    let mut tables: Vec<TableId> = leaving.iter().map(|d| d.table).collect();
    tables.sort_unstable();
    tables.dedup();
    for table in tables {
        let of_table = leaving.iter().filter(|d| d.table == table);
        for id in without_rows(engine, table, of_table.map(|d| d.id).collect())? {
            stay.remove(&id);
        }
    }
    let mut gone = engine.series.finish_leaving(&stay);
    // The rest was forgotten before, or with its table.
    gone.retain(|d| editor.state().series().contains_key(&d.id));
    if gone.is_empty() {
        return Ok(0);
    }
    let name = engine.random.uuid().map_err(|e| {
        let folders = engine.store.folders();
        Error::io("get a random name for a forgetting", &folders.manifest(), e)
    })?;
    let forgetting = Forgetting {
        last: editor.state().forgetting(),
        next: name,
    };
    engine.series.remove_from_index(&gone, forgetting)?;
    let forgotten = gone.iter().map(|d| Entry::SeriesForgotten(d.id));
    let entries = std::iter::once(Entry::Forgetting(name)).chain(forgotten);
    let entries = entries.collect();
    let version = editor.commit(entries)?;
    engine.publish(editor, version, None);
    // Their keys are told until those are gone who may have learnt of them from the index.
    engine.pins.advance();
    Ok(gone.len() as u64)
}
