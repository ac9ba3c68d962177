//! From the head to segments.
//!
//! `head -> segments -> manifest -> publish -> index -> trim log`. Before the manifest's edit is
//! durable everything is as it was (segments that no manifest names are removed when a flush fails, or
//! at the next open); after it the log is no longer needed. Only what is durable in the log is flushed.
//!
//! While segments are written the manifest may be edited by others: tables are made, get fields, and are
//! dropped, horizons rise, segments are merged. There is one flush at a time, and no series is
//! forgotten during it: those of its rows are in no segment yet.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidestone_format::column::Column;
use tidestone_format::log::Tombstone;
use tidestone_format::manifest::{Entry, Tier};
use tidestone_format::schema::Field;
use tidestone_format::segment::SegmentMeta;
use tidestone_format::{Lsn, SeriesId, SeriesKey, TimeRange, Timestamp};

use crate::catalog::{self, partition_of};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::head::HeadView;
use crate::rows::{AtOnce, Merged, Rows};
use crate::scan::hides;
use crate::store::{Expected, NewSegment, NewSegments, Passes, TableVersion};
use crate::wal::Log;

/// Segments one table gets from one flush; rows of further, older partitions share one more.
const MAX_PARTITIONS: usize = 16;

/// Flushes everything in the head. Returns whether there was anything. Where there is nothing, because
/// the log behind what is flushed has but notes and rows of dropped tables, that is written down once
/// it lets log files go: an edit for each flush of a database at rest would be for nothing.
pub(crate) fn flush(engine: &Engine) -> Result<bool> {
    engine.writable()?;
    flush_with(engine, Vec::new())
}

/// As [`flush`], with more entries in the same edit; also of a database that is repaired, whose log is only
/// read.
pub(crate) fn flush_with(engine: &Engine, more: Vec<Entry>) -> Result<bool> {
    let log = engine.log();
    let _one_at_a_time = engine.flushing.lock();
    let taken_at = engine.clock().monotonic();
    // A series whose definition has an LSN is known by then: none is being defined.
    let (views, upto) = engine.series.while_none_is_defined(|| {
        let mut head = engine.lock_head();
        let upto = engine.visible_lsn();
        (head.take_for_flush(upto), upto)
    });
    if let Some(cause) = log.and_then(Log::poisoned) {
        // Where a panic was the cause, the log has perhaps more than the head.
        return Err(cause.poisoned());
    }
    let definitions = engine.series.pending_upto(upto);
    let nothing = views.is_empty() && definitions.is_empty();
    if nothing && more.is_empty() && !log.is_some_and(Log::awaits_flush) {
        engine.count_head();
        engine.signals.note_flushed(taken_at);
        return Ok(false);
    }
    if let Some(log) = log {
        log.sync_to(upto)?;
    }
    engine.store.edit().check()?;

    // It has the fields of all rows that were taken.
    let version = engine.store.version();
    let mut added = engine.store.new_segments();
    let mut written: Vec<SeriesId> = Vec::new();
    let mut left_out: Vec<(&TableVersion, usize)> = Vec::new();
    for (id, view) in &views {
        let Some(table) = version.tables.get(id) else {
            continue;
        };
        match write_table(engine, table, view, &mut added, &mut written) {
            // The series of a table that was dropped meanwhile have no keys any more.
            Err(_) if engine.tables().by_id(*id).is_none() => {}
            outcome => left_out.push((table, outcome?)),
        }
    }
    written.sort_unstable();
    written.dedup();

    let mut editor = engine.store.edit();
    // What is of a table that was dropped meanwhile went with it, and no other is dropped from here on.
    let tables = editor.state().tables();
    added.retain(|segment| tables.contains_key(&segment.table));
    let (living, orphans): (Vec<_>, Vec<_>) = definitions
        .into_iter()
        .partition(|definition| tables.contains_key(&definition.table));
    let mut entries = vec![Entry::NextIds {
        series: engine.series.next_id(),
        table: editor.state().next_table(),
    }];
    for (_, view) in views.iter().filter(|(id, _)| tables.contains_key(id)) {
        let tombstones = view.tombstones.iter();
        entries.extend(tombstones.map(|(lsn, t)| Entry::Tombstone {
            lsn: *lsn,
            tombstone: Tombstone::clone(t),
        }));
    }
    let lone = living
        .iter()
        .filter(|d| written.binary_search(&d.id).is_err());
    entries.extend(lone.map(|d| Entry::SeriesDefined(d.clone())));
    entries.extend(added.entries().iter().cloned().map(Entry::SegmentAdded));
    entries.push(Entry::Flushed(upto));
    entries.extend(more);
    let version = editor.commit_segments(entries, added)?;
    let applied = catalog::applied(&version);
    engine.publish(&mut editor, version, Some(upto));
    // Manifest and segments have everything; an index that cannot be written catches up from them.
    if let Some(log) = log {
        log.trim(upto);
    }
    engine.signals.note_flushed(taken_at);
    for (table, rows) in left_out {
        engine.count_left_out(table, rows);
    }
    if !nothing {
        engine.counters.flushes.fetch_add(1, Ordering::Relaxed);
        if engine.options.auto_compact {
            engine.signals.want_merge();
        }
    }
    engine.series.forget(&orphans);
    engine.series.take_into_index(&living, applied)?;
    drop(editor);
    Ok(!nothing)
}

/// Writes one table's part of the head as segments, at most one a partition. Returns how many rows
/// duplicates left out.
fn write_table(
    engine: &Engine,
    table: &TableVersion,
    view: &HeadView,
    added: &mut NewSegments<'_>,
    written: &mut Vec<SeriesId>,
) -> Result<usize> {
    let (Some(first), Some(last)) = (view.chunks.first(), view.chunks.last()) else {
        return Ok(0);
    };
    let lsns = (first.first_lsn(), last.last_lsn());
    let sorted: Vec<Arc<Rows>> = view.chunks.iter().map(|chunk| chunk.sorted()).collect();
    let rows = live_rows(table, view, &sorted);
    let key = |row| rows.key(row);
    for (partition, runs) in split(rows.len(), key, table.schema.settings.partition_ns) {
        let meta = segment_meta(engine, table, partition, lsns)?;
        let passes = passes_of(engine, table, &rows, &runs);
        let mut keyed = Keyed::new(engine, table, written);
        added.write(meta, &passes, |segment, fields| {
            in_pieces(&rows, &runs, fields, passes.at_once, |piece| {
                let columns: Vec<Column> = fields.iter().map(|f| rows.column(f, piece)).collect();
                if !segment.is_first_pass() {
                    return segment.push_values(&columns);
                }
                let keys = || piece.iter().cloned().flatten().map(key);
                let series: Vec<SeriesId> = keys().map(|(series, _)| series).collect();
                let times: Vec<Timestamp> = keys().map(|(_, time)| time).collect();
                keyed.push(segment, &series, &times, &columns)
            })
        })?;
    }
    let committed: usize = view.chunks.iter().map(|chunk| chunk.committed()).sum();
    Ok(committed - rows.hidden() - rows.len())
}

/// The rows of a head that no delete and no horizon hides, merged into one run.
fn live_rows<'a>(table: &TableVersion, view: &HeadView, sorted: &'a [Arc<Rows>]) -> Merged<'a> {
    let hiding: Vec<Vec<&Tombstone>> = view
        .chunks
        .iter()
        .map(|chunk| {
            let tombstones = view.tombstones.iter();
            let later = tombstones.filter(|(lsn, _)| *lsn > chunk.last_lsn());
            later.map(|(_, tombstone)| &**tombstone).collect()
        })
        .collect();
    let sources = sorted.iter().map(|rows| &**rows).collect();
    let policy = table.schema.settings.policy;
    Merged::of(sources, policy, |source, series, time| {
        time >= table.horizon && !hiding[source].iter().any(|t| hides(t, series, time))
    })
}

/// How the rows of some runs become a segment.
fn passes_of(
    engine: &Engine,
    table: &TableVersion,
    rows: &Merged<'_>,
    runs: &[Range<usize>],
) -> Passes {
    let fields = &table.schema.fields;
    let text = |run: &Range<usize>| rows.within_text(fields, run.clone(), usize::MAX).1;
    let expected = Expected {
        rows: runs.iter().map(|run| run.len() as u64).sum(),
        sources: 1,
        text: Some(runs.iter().map(text).sum()),
        blocks: 0,
    };
    Passes::of(fields, expected, engine.options.writing_memory())
}

/// Hands over the rows of some runs in pieces that are about as large as `at_once` says, of the
/// strings of some fields.
fn in_pieces(
    rows: &Merged<'_>,
    runs: &[Range<usize>],
    fields: &[Field],
    at_once: AtOnce,
    mut take: impl FnMut(&[Range<usize>]) -> Result<()>,
) -> Result<()> {
    let mut piece: Vec<Range<usize>> = Vec::new();
    let mut room = at_once;
    for run in runs {
        let mut from = run.start;
        while from < run.end {
            let most = run.end.min(from + room.rows);
            let (count, text) = rows.within_text(fields, from..most, room.text);
            piece.push(from..from + count);
            from += count;
            room.rows -= count;
            room.text = room.text.saturating_sub(text);
            if from < most || room.rows == 0 || room.text == 0 {
                take(&piece)?;
                piece.clear();
                room = at_once;
            }
        }
    }
    match piece.is_empty() {
        true => Ok(()),
        false => take(&piece),
    }
}

/// Pushes rows of many series to a segment, in its first pass.
pub(crate) struct Keyed<'a> {
    engine: &'a Engine,
    table: &'a TableVersion,
    /// The series that rows were pushed of.
    seen: &'a mut Vec<SeriesId>,
    /// The last of them.
    last: Option<(SeriesId, SeriesKey)>,
}

impl<'a> Keyed<'a> {
    /// For the segment of a table; the series are added to `seen`.
    pub(crate) fn new(
        engine: &'a Engine,
        table: &'a TableVersion,
        seen: &'a mut Vec<SeriesId>,
    ) -> Self {
        Self {
            engine,
            table,
            seen,
            last: None,
        }
    }

    /// Pushes rows, sorted by series and time; the first may go on with the last series.
    pub(crate) fn push(
        &mut self,
        segment: &mut NewSegment<'_>,
        series: &[SeriesId],
        times: &[Timestamp],
        columns: &[Column],
    ) -> Result<()> {
        let mut ids: Vec<SeriesId> = series.to_vec();
        ids.dedup();
        let last = self
            .last
            .take()
            .filter(|(last, _)| ids.first() == Some(last));
        let new = &ids[usize::from(last.is_some())..];
        let keys = keys_of(self.engine, self.table, new)?;
        self.seen.extend_from_slice(new);
        let keys = last.into_iter().map(|(_, key)| key).chain(keys);
        let mut from = 0;
        for ((id, key), run) in ids.iter().zip(keys).zip(series.chunk_by(|a, b| a == b)) {
            let rows = from..from + run.len();
            from = rows.end;
            segment.push(*id, &key, times, columns, rows)?;
            self.last = Some((*id, key));
        }
        Ok(())
    }
}

/// The keys of series that rows are of.
pub(crate) fn keys_of(
    engine: &Engine,
    table: &TableVersion,
    ids: &[SeriesId],
) -> Result<Vec<SeriesKey>> {
    let keys = engine.series.keys(table.schema.id, ids)?;
    let keys = keys.into_iter().zip(ids).map(|(key, id)| {
        key.ok_or_else(|| {
            let message = format!(
                "series {id} of table {:?} has rows and no key in index and log",
                table.schema.name
            );
            let error = Error::corrupt(&engine.store.folders().index(), 0, message);
            error.advising("run `tidestone rebuild-index`")
        })
    });
    keys.collect()
}

/// A new segment of a table.
pub(crate) fn segment_meta(
    engine: &Engine,
    table: &TableVersion,
    partition: TimeRange,
    (first_lsn, last_lsn): (Lsn, Lsn),
) -> Result<SegmentMeta> {
    let uuid = engine.random.uuid().map_err(|e| {
        Error::io(
            "get a random name for a segment",
            &engine.store.folders().segments(),
            e,
        )
    })?;
    Ok(SegmentMeta {
        database: engine.store.database(),
        uuid,
        table: table.schema.id,
        partition,
        fields: table.schema.fields.clone(),
        policy: table.schema.settings.policy,
        tier: Tier::Hot,
        first_lsn,
        last_lsn,
    })
}

/// Runs of rows (one series each) by partition. Beyond [`MAX_PARTITIONS`] the oldest ones share an
/// entry that spans them.
fn split(
    rows: usize,
    key: impl Fn(usize) -> (SeriesId, Timestamp),
    length: i64,
) -> Vec<(TimeRange, Vec<Range<usize>>)> {
    let mut parts: BTreeMap<Timestamp, (TimeRange, Vec<Range<usize>>)> = BTreeMap::new();
    let mut from = 0;
    while from < rows {
        let (series, time) = key(from);
        let (start, end) = partition_of(time, length);
        let goes_on = |row| matches!(key(row), (of, time) if of == series && time <= end);
        let mut to = from + 1;
        while to < rows && goes_on(to) {
            to += 1;
        }
        let part = parts
            .entry(start)
            .or_insert((TimeRange { start, end }, Vec::new()));
        part.1.push(from..to);
        from = to;
    }
    let mut parts: Vec<_> = parts.into_values().collect();
    if parts.len() > MAX_PARTITIONS {
        let newest = parts.split_off(parts.len() - MAX_PARTITIONS);
        let span = TimeRange {
            start: parts
                .iter()
                .map(|(p, _)| p.start)
                .min()
                .unwrap_or(Timestamp::MIN),
            end: parts
                .iter()
                .map(|(p, _)| p.end)
                .max()
                .unwrap_or(Timestamp::MAX),
        };
        let mut runs: Vec<Range<usize>> = parts.into_iter().flat_map(|(_, r)| r).collect();
        runs.sort_unstable_by_key(|run| run.start);
        parts = newest;
        parts.push((span, runs));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_by_partition_and_series() {
        let keys = [(1, 5), (1, 9), (1, 10), (2, 3), (2, 25)];
        let key = |row: usize| (SeriesId(keys[row].0), keys[row].1);
        let parts = split(keys.len(), key, 10);
        let plain: Vec<_> = parts
            .iter()
            .map(|(p, runs)| (p.start, p.end, runs.clone()))
            .collect();
        assert_eq!(
            plain,
            [
                (0, 9, vec![0..2, 3..4]),
                (10, 19, std::iter::once(2..3).collect()),
                (20, 29, std::iter::once(4..5).collect())
            ]
        );
    }

    #[test]
    fn many_old_partitions_share_one_segment() {
        let time = |row: usize| i64::try_from(row).unwrap() * 10;
        let parts = split(40, |row| (SeriesId(1), time(row)), 10);
        assert_eq!(parts.len(), MAX_PARTITIONS + 1);
        let (span, runs) = &parts[MAX_PARTITIONS];
        assert_eq!((span.start, span.end), (0, 239));
        assert_eq!(runs.len(), 24);
    }
}
