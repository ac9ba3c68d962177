//! Carrying out a merge.
//!
//! What is durable: before the edit the inputs live and the output is a file no manifest names;
//! after it the output lives and the inputs are removed when their last reader lets go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidestone_format::column::Column;
use tidestone_format::log::SeriesDefinition;
use tidestone_format::manifest::Entry;
use tidestone_format::{Lsn, SeriesId, TableId, TimeRange, Timestamp};

use super::Step;
use super::plan;
use super::watch::Watch;
use crate::catalog::{leave_out_living, partition_of};
use crate::config::ReadMode;
use crate::engine::Engine;
use crate::error::Result;
use crate::flush::{Keyed, segment_meta};
use crate::head::HeadView;
use crate::rows::{AtOnce, Rows};
use crate::scan::{self, Request, Scan};
use crate::store::{Expected, NewSegments, Passes, Segment, TableVersion, Version};

/// Merges segments of one table, neighbours, oldest first, into those that [`plan::pieces`] says.
pub(super) fn merge(
    engine: &Engine,
    version: &Version,
    table: TableId,
    inputs: &[Arc<Segment>],
    cuts: &[TimeRange],
) -> Result<Step> {
    let watch = Watch::new(engine, version, table, inputs);
    match watched_merge(engine, version, inputs, cuts, &watch) {
        Err(_) if watch.overtaken() => Ok(Step::Overtaken),
        Err(error) => Err(error),
        Ok(()) => Ok(Step::Merged),
    }
}

fn watched_merge(
    engine: &Engine,
    version: &Version,
    inputs: &[Arc<Segment>],
    cuts: &[TimeRange],
    watch: &Watch<'_>,
) -> Result<()> {
    let table = watch.table();
    let Some(of) = version.tables.get(&table) else {
        return Ok(());
    };
    let first = inputs
        .iter()
        .map(|s| s.entry.first_lsn)
        .min()
        .unwrap_or_default();
    let last = inputs
        .iter()
        .map(|s| s.entry.last_lsn)
        .max()
        .unwrap_or_default();
    let mut outputs = engine.store.new_segments();
    let mut kept: Vec<SeriesId> = Vec::new();
    let merging = Merging {
        engine,
        table: of,
        inputs,
        watch,
        lsns: (first, last),
    };
    let mut left_out = 0;
    for piece in plan::pieces(&partitions(of, inputs, watch)?, cuts) {
        left_out += write(&merging, piece, &mut outputs, &mut kept)?;
    }
    kept.sort_unstable();
    kept.dedup();
    let mut lost = lost_series(inputs, &kept, watch)?;
    let rows_are_gone = !lost.is_empty();

    let mut editor = engine.store.edit();
    // Nobody drops an input from here on.
    watch.check()?;
    let known = editor.state().series();
    lost.retain(|id, _| !known.contains_key(id));
    leave_out_others(&engine.store.version(), table, inputs, &mut lost)?;
    let mut entries: Vec<Entry> = lost.into_values().map(Entry::SeriesDefined).collect();
    for input in inputs {
        entries.push(Entry::SegmentDropped {
            table,
            uuid: input.entry.uuid,
        });
    }
    entries.extend(outputs.entries().iter().cloned().map(Entry::SegmentAdded));
    let done = spent_tombstones(&engine.store.version(), table, &entries);
    entries.extend(done.into_iter().map(Entry::TombstoneDropped));
    let version = editor.commit_segments(entries, outputs)?;
    engine.publish(&mut editor, version, None);
    if rows_are_gone {
        engine.series.suspect(table);
    }
    engine.counters.compactions.fetch_add(1, Ordering::Relaxed);
    engine.count_left_out(of, left_out);
    Ok(())
}

/// The partitions that the inputs have rows of, by time, and how many; of a lone partition the number is
/// not needed. Rows may lie centuries apart, so partitions are found by the rows and not counted off.
fn partitions(
    table: &TableVersion,
    inputs: &[Arc<Segment>],
    watch: &Watch<'_>,
) -> Result<Vec<(TimeRange, u64)>> {
    let length = table.schema.settings.partition_ns;
    let span = |time| {
        let (start, end) = partition_of(time, length);
        TimeRange { start, end }
    };
    let spans = inputs.iter().map(|s| s.entry.times);
    let start = spans.clone().map(|t| t.start).min().unwrap_or_default();
    let end = spans.map(|t| t.end).max().unwrap_or_default();
    let last = span(start);
    if last.contains(end) {
        return Ok(vec![(last, 0)]);
    }
    let request = Request {
        fields: Arc::default(),
        range: TimeRange::ALL,
        series: None,
        at_once: AtOnce::default(),
    };
    let sources = scan::sources(table, inputs, &HeadView::default(), &request);
    let mut scan = Scan::new(sources, table.schema.settings.policy, request);
    let mut partitions: BTreeMap<Timestamp, (TimeRange, u64)> = BTreeMap::new();
    while let Some(rows) = scan.next()? {
        watch.check()?;
        let mut from = 0;
        while from < rows.len() {
            let partition = span(rows.times[from]);
            // Another series begins at a time of its own, which may lie in the same partition.
            let run = rows.times[from..]
                .iter()
                .take_while(|t| partition.contains(**t));
            let count = run.count();
            partitions
                .entry(partition.start)
                .or_insert((partition, 0))
                .1 += count as u64;
            from += count;
        }
    }
    Ok(partitions.into_values().collect())
}

/// The last LSN of a piece of what is merged, whose inputs end with `last`. It has applied every tombstone
/// of the manifest, so its LSNs reach up to the highest of them, but not into those of a newer segment of what
/// it spans.
fn covered(table: &TableVersion, piece: &TimeRange, last: Lsn) -> Lsn {
    let applied = table.tombstones.iter().map(|(lsn, _)| *lsn).max();
    let segments = table.segments.iter().map(|s| &s.entry);
    let newer = segments.filter(|s| s.first_lsn > last && s.partition.overlaps(piece));
    let below = newer.map(|s| Lsn(s.first_lsn.0 - 1)).min();
    let reach = last.max(applied.unwrap_or(last));
    below.map_or(reach, |below| reach.min(below))
}

/// A merge under way.
struct Merging<'a> {
    engine: &'a Engine,
    table: &'a TableVersion,
    inputs: &'a [Arc<Segment>],
    watch: &'a Watch<'a>,
    /// The LSNs of the inputs.
    lsns: (Lsn, Lsn),
}

/// Writes the rows of some partitions as a segment. Returns how many duplicates left out.
fn write(
    merging: &Merging<'_>,
    partition: TimeRange,
    outputs: &mut NewSegments<'_>,
    kept: &mut Vec<SeriesId>,
) -> Result<usize> {
    let Merging {
        engine,
        table,
        inputs,
        watch,
        lsns: (first, last),
    } = *merging;
    let of_piece: Vec<Arc<Segment>> = inputs
        .iter()
        .filter(|s| s.entry.times.overlaps(&partition))
        .cloned()
        .collect();
    if of_piece.is_empty() {
        return Ok(0);
    }
    let expected = Expected {
        rows: of_piece.iter().map(|s| s.entry.rows).sum(),
        sources: of_piece.len(),
        text: None,
        blocks: blocks_of(engine.options.read_mode, &of_piece)?,
    };
    let memory = engine.options.writing_memory();
    let passes = Passes::of(&table.schema.fields, expected, memory);
    let lsns = (first, covered(table, &partition, last));
    let meta = segment_meta(engine, table, partition, lsns)?;
    let mut keyed = Keyed::new(engine, table, kept);
    let mut left_out = 0;
    // Every pass reads the same rows: segments, deletes and horizon are those of one version.
    outputs.write(meta, &passes, |segment, fields| {
        let request = Request {
            fields: fields.into(),
            range: partition,
            series: None,
            at_once: passes.at_once,
        };
        let sources = scan::sources(table, &of_piece, &HeadView::default(), &request);
        let mut scan = Scan::new(sources, table.schema.settings.policy, request);
        while let Some(rows) = scan.next()? {
            watch.check()?;
            let Rows {
                series,
                times,
                columns,
            } = rows;
            let columns: Vec<Column> = columns.into_iter().map(|(_, column)| column).collect();
            match segment.is_first_pass() {
                true => keyed.push(segment, &series, &times, &columns)?,
                false => segment.push_values(&columns)?,
            }
        }
        left_out = scan.left_out();
        Ok(())
    })?;
    Ok(left_out)
}

/// Bytes of the blocks that a merge holds of a field of segments, about.
fn blocks_of(read_mode: ReadMode, segments: &[Arc<Segment>]) -> Result<usize> {
    if read_mode.maps() {
        return Ok(0);
    }
    let mut blocks = 0;
    for segment in segments {
        // The table may have got fields since.
        let fields = segment.open()?.root().columns.len();
        blocks += Expected::block_of(segment.entry.rows, segment.entry.file_len, fields);
    }
    Ok(blocks)
}

/// The series of the inputs that no output has: their definitions must stay known.
fn lost_series(
    inputs: &[Arc<Segment>],
    kept: &[SeriesId],
    watch: &Watch<'_>,
) -> Result<BTreeMap<SeriesId, SeriesDefinition>> {
    let mut lost: BTreeMap<SeriesId, SeriesDefinition> = BTreeMap::new();
    for input in inputs {
        watch.check()?;
        input.each_series(|definition| {
            if kept.binary_search(&definition.id).is_err() {
                lost.insert(definition.id, definition);
            }
            Ok(())
        })?;
    }
    Ok(lost)
}

/// Leaves out the series that a live segment beside the inputs has.
fn leave_out_others(
    version: &Version,
    table: TableId,
    inputs: &[Arc<Segment>],
    lost: &mut BTreeMap<SeriesId, SeriesDefinition>,
) -> Result<()> {
    let Some(of) = version.tables.get(&table) else {
        return Ok(());
    };
    let is_input = |s: &Arc<Segment>| inputs.iter().any(|input| Arc::ptr_eq(input, s));
    let others = of.segments.iter().filter(|s| !is_input(s));
    let mut ids: BTreeSet<SeriesId> = lost.keys().copied().collect();
    match leave_out_living(others, &mut ids) {
        // It is no matter of this merge; a definition too many does no harm.
        Err(error) if error.is_unreadable() => {}
        outcome => outcome?,
    }
    lost.retain(|id, _| ids.contains(id));
    Ok(())
}

/// The tombstones of a table that hide nothing in any segment that lives after the entries.
fn spent_tombstones(version: &Version, table: TableId, entries: &[Entry]) -> Vec<Lsn> {
    let Some(of) = version.tables.get(&table) else {
        return Vec::new();
    };
    let dropped = |uuid| {
        entries
            .iter()
            .any(|e| matches!(e, Entry::SegmentDropped { uuid: u, .. } if *u == uuid))
    };
    let added = entries.iter().filter_map(|e| match e {
        Entry::SegmentAdded(entry) => Some(entry),
        _ => None,
    });
    // A segment has applied every tombstone up to its last LSN. One that was added while the merge
    // ran is above the outputs', and stays.
    let living: Vec<_> = of
        .segments
        .iter()
        .map(|s| &s.entry)
        .filter(|e| !dropped(e.uuid))
        .chain(added)
        .collect();
    of.tombstones
        .iter()
        .filter(|(lsn, tombstone)| {
            !living
                .iter()
                .any(|e| e.last_lsn < *lsn && e.times.overlaps(&tombstone.range))
        })
        .map(|(lsn, _)| *lsn)
        .collect()
}
