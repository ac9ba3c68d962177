//! From the head to segments.
//!
//! `head -> segments -> manifest -> publish -> index -> trim log`. Before the manifest's edit is
//! durable everything is as it was (segments that no manifest names are removed when a flush fails, or
//! at the next open); after it the log is no longer needed. Only what is durable in the log is flushed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidestone_format::column::Column;
use tidestone_format::log::{SeriesDefinition, Tombstone};
use tidestone_format::manifest::{Entry, Tier};
use tidestone_format::segment::SegmentMeta;
use tidestone_format::{FieldId, Lsn, SeriesId, SeriesKey, TimeRange, Timestamp};

use crate::catalog::{self, partition_of};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::head::HeadView;
use crate::rows::{self, Rows};
use crate::scan::hides;
use crate::store::{NewSegments, TableVersion};

/// Segments one table gets from one flush; rows of further, older partitions share one more.
const MAX_PARTITIONS: usize = 16;

/// Flushes everything in the head. Returns whether there was anything. Where there is nothing, because
/// the log behind what is flushed has but notes and rows of dropped tables, that is written down once
/// it lets log files go: an edit for each flush of a database at rest would be for nothing.
pub(crate) fn flush(engine: &Engine) -> Result<bool> {
    let log = engine.writable()?;
    let mut editor = engine.store.edit();
    let before = engine.store.version();
    let taken_at = engine.clock().monotonic();
    // A series whose definition has an LSN is known by then: none is being defined.
    let (views, upto) = engine.series.while_none_is_defined(|| {
        let mut head = engine.lock_head();
        let upto = log.last_lsn();
        (head.take_for_flush(upto), upto)
    });
    let definitions = engine.series.pending_upto(upto);
    let nothing = views.is_empty() && definitions.is_empty();
    if nothing && !log.awaits_flush() {
        engine.count_head();
        engine.signals.note_flushed(taken_at);
        return Ok(false);
    }
    log.sync_to(upto)?;
    editor.check()?;

    let mut entries = vec![Entry::NextIds {
        series: engine.series.next_id(),
        table: editor.state().next_table(),
    }];
    let mut added = engine.store.new_segments();
    let mut written: Vec<SeriesId> = Vec::new();
    for (table, view) in &views {
        // Rows of a table that was dropped meanwhile go with it.
        let Some(table) = before.tables.get(table) else {
            continue;
        };
        write_table(engine, table, view, &mut added, &mut written)?;
        let tombstones = view.tombstones.iter();
        entries.extend(tombstones.map(|(lsn, t)| Entry::Tombstone {
            lsn: *lsn,
            tombstone: Tombstone::clone(t),
        }));
    }
    written.sort_unstable();
    let lone = definitions
        .iter()
        .filter(|d| before.tables.contains_key(&d.table))
        .filter(|d| written.binary_search(&d.id).is_err());
    entries.extend(lone.map(|d| Entry::SeriesDefined(d.clone())));
    entries.extend(added.entries().iter().cloned().map(Entry::SegmentAdded));
    entries.push(Entry::Flushed(upto));
    let version = editor.commit_segments(entries, added)?;
    let applied = catalog::applied(&version);
    engine.publish(&mut editor, version, Some(upto));
    // Manifest and segments have everything; an index that cannot be written catches up from them.
    log.trim(upto);
    engine.signals.note_flushed(taken_at);
    if !nothing {
        engine.counters.flushes.fetch_add(1, Ordering::Relaxed);
        if engine.options.auto_compact {
            engine.signals.want_merge();
        }
    }
    // A definition may have been on its way when its table was dropped.
    let has_table = |d: &SeriesDefinition| before.tables.contains_key(&d.table);
    let (living, orphans): (Vec<_>, Vec<_>) = definitions.into_iter().partition(has_table);
    engine.series.forget(&orphans);
    engine.series.take_into_index(&living, applied)?;
    drop(editor);
    Ok(!nothing)
}

/// Writes one table's part of the head as segments, at most one a partition.
fn write_table(
    engine: &Engine,
    table: &TableVersion,
    view: &HeadView,
    added: &mut NewSegments<'_>,
    written: &mut Vec<SeriesId>,
) -> Result<()> {
    let (Some(first), Some(last)) = (view.chunks.first(), view.chunks.last()) else {
        return Ok(());
    };
    let lsns = (first.first_lsn(), last.last_lsn());
    let mut rows = live_rows(table, view);
    if rows.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<SeriesId> = rows.series.clone();
    ids.dedup();
    let keys = keys_of(engine, table, &ids)?;
    let parts = split(&rows, table.schema.settings.partition_ns);
    let columns = columns_of(table, std::mem::take(&mut rows.columns), rows.len());
    for (partition, runs) in parts {
        let meta = segment_meta(engine, table, partition, lsns)?;
        added.write(meta, |writer| {
            for &(from, to) in &runs {
                let series = rows.series[from];
                let at = ids.partition_point(|id| *id < series);
                writer.push(series, &keys[at], &rows.times, &columns, from..to)?;
            }
            Ok(())
        })?;
    }
    written.extend(ids);
    Ok(())
}

/// The rows of a head that no delete and no horizon hides, merged into one run.
fn live_rows(table: &TableVersion, view: &HeadView) -> Rows {
    let mut sources: Vec<Arc<Rows>> = Vec::new();
    for chunk in &view.chunks {
        let rows = chunk.sorted();
        let hiding: Vec<&Tombstone> = view
            .tombstones
            .iter()
            .filter(|(lsn, _)| *lsn > chunk.last_lsn())
            .map(|(_, t)| &**t)
            .collect();
        let hidden = !hiding.is_empty() || chunk.time_range().start < table.horizon;
        sources.push(match hidden {
            false => rows,
            true => Arc::new(Rows::clone(&rows).retain(|series, time| {
                time >= table.horizon && !hiding.iter().any(|t| hides(t, series, time))
            })),
        });
    }
    let sources: Vec<&Rows> = sources.iter().map(|s| &**s).collect();
    rows::merge(&sources, table.schema.settings.policy)
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
                "series {id} of table {:?} has rows and no key in index and log; \
                 run `tidestone rebuild-index`",
                table.schema.name
            );
            Error::corrupt(&engine.store.folders().index(), 0, message)
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

/// The columns of all fields of a table, those that the rows lack as nulls.
pub(crate) fn columns_of(
    table: &TableVersion,
    mut columns: Vec<(FieldId, Column)>,
    rows: usize,
) -> Vec<Column> {
    let fields = table.schema.fields.iter();
    fields
        .map(
            |field| match columns.iter().position(|(id, _)| *id == field.id) {
                Some(at) => std::mem::replace(&mut columns[at].1, Column::new(field.field_type)),
                None => Column::nulls(field.field_type, rows),
            },
        )
        .collect()
}

/// Runs of rows (one series each) by partition. Beyond [`MAX_PARTITIONS`] the oldest ones share an
/// entry that spans them.
fn split(rows: &Rows, length: i64) -> Vec<(TimeRange, Vec<(usize, usize)>)> {
    let mut parts: BTreeMap<Timestamp, (TimeRange, Vec<(usize, usize)>)> = BTreeMap::new();
    let mut from = 0;
    while from < rows.len() {
        let (series, (start, end)) = (rows.series[from], partition_of(rows.times[from], length));
        let mut to = from + 1;
        while to < rows.len() && rows.series[to] == series && rows.times[to] <= end {
            to += 1;
        }
        let part = parts
            .entry(start)
            .or_insert((TimeRange { start, end }, Vec::new()));
        part.1.push((from, to));
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
        let mut runs: Vec<(usize, usize)> = parts.into_iter().flat_map(|(_, r)| r).collect();
        runs.sort_unstable();
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
        let rows = Rows {
            series: [1, 1, 1, 2, 2].map(SeriesId).to_vec(),
            times: vec![5, 9, 10, 3, 25],
            columns: Vec::new(),
        };
        let parts = split(&rows, 10);
        let plain: Vec<_> = parts
            .iter()
            .map(|(p, runs)| (p.start, p.end, runs.clone()))
            .collect();
        assert_eq!(
            plain,
            [
                (0, 9, vec![(0, 2), (3, 4)]),
                (10, 19, vec![(2, 3)]),
                (20, 29, vec![(4, 5)])
            ]
        );
    }

    #[test]
    fn many_old_partitions_share_one_segment() {
        let times: Vec<i64> = (0..40).map(|i| i * 10).collect();
        let rows = Rows {
            series: vec![SeriesId(1); 40],
            times,
            columns: Vec::new(),
        };
        let parts = split(&rows, 10);
        assert_eq!(parts.len(), MAX_PARTITIONS + 1);
        let (span, runs) = &parts[MAX_PARTITIONS];
        assert_eq!((span.start, span.end), (0, 239));
        assert_eq!(runs.len(), 24);
    }
}
