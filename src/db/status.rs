//! How a database is doing.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde::Serialize;
use tidestone_format::FieldId;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::store::{Segment, TableVersion};

/// How a database is doing; see [`Tidestone::status`](super::Tidestone::status).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The last LSN given.
    pub last_lsn: u64,
    /// The highest LSN that survives a power loss.
    pub durable_lsn: u64,
    /// The highest LSN whose rows are in segments.
    pub flushed_lsn: u64,
    /// The version of the manifest.
    pub manifest_version: u64,
    /// Length of the manifest file, bytes.
    pub manifest_bytes: u64,
    /// Rows in memory, bytes.
    pub memory_rows_bytes: usize,
    /// RocksDB's memory, bytes.
    pub index_memory_bytes: u64,
    /// RocksDB's files, bytes.
    pub index_disk_bytes: u64,
    /// The log.
    pub log: LogStatus,
    /// Commits since the database was opened.
    pub commits: u64,
    /// Rows committed since the database was opened.
    pub rows_committed: u64,
    /// Flushes since the database was opened.
    pub flushes: u64,
    /// Merges of segments since the database was opened.
    pub compactions: u64,
    /// Rebuilds of the index since the database was opened.
    pub index_rebuilds: u64,
    /// Series that the index lacked when the database was opened, and took in then.
    pub index_caught_up: u64,
    /// Oldest partitions dropped since the database was opened because the disk was full
    /// ([`TableOptions::drop_oldest_when_full`](crate::TableOptions::drop_oldest_when_full)).
    pub partitions_dropped_when_full: u64,
    /// Rows of tables with [`DuplicatePolicy::First`](crate::DuplicatePolicy::First) that came after
    /// another one of their series and time: counted when a flush or a merge leaves them out, since the
    /// database was opened.
    pub later_rows_left_out: u64,
    /// Readers in other processes.
    pub readers: ReaderStatus,
    /// Why the last work in the background failed, if it did. Of each kind (flush, retention, merge)
    /// it is gone once that was done without failing, by hand too but for retention.
    pub failure: Option<String>,
    /// Why nothing can be written any more, if that is so.
    pub poisoned: Option<String>,
    /// The tables, by name.
    pub tables: Vec<TableStatus>,
}

/// The log's part of a [`Status`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LogStatus {
    /// Files.
    pub files: usize,
    /// Their length together, bytes.
    pub bytes: u64,
    /// Groups that were synced.
    pub syncs: u64,
}

/// Readers in other processes, in a [`Status`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ReaderStatus {
    /// Leases that are held: a reader holds one, and one more for each older version that a query of it
    /// still reads.
    pub leases: usize,
    /// The oldest version of the manifest that one of them pins; 0: everything.
    pub oldest_version: Option<u64>,
    /// Segment files that are kept for them alone.
    pub kept_files: usize,
    /// Their length together, bytes.
    pub kept_bytes: u64,
}

/// One table's part of a [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// Rows in segments; duplicates among segments not yet merged count each time.
    pub rows: u64,
    /// Rows in memory and log, not yet in segments; duplicates count each time.
    pub memory_rows: u64,
    /// Series in the index.
    pub series: u64,
    /// Live segments.
    pub segments: usize,
    /// Those of them that could not be read just now: they are damaged or gone, or the disk failed.
    pub unreadable_segments: usize,
    /// The error of the first of them; [`maintenance::verify`](crate::maintenance::verify) has those of all.
    pub first_unreadable: Option<String>,
    /// Their length together, bytes.
    pub bytes: u64,
    /// Deletes not yet applied to every segment.
    pub tombstones: usize,
    /// Segment bytes by column: time first, then the fields in their order, then what the segments
    /// need beside (index pages, headers), and the whole of those that could not be read.
    pub columns: Vec<ColumnStatus>,
}

/// One column's part of a [`TableStatus`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ColumnStatus {
    /// Name of the field; `time`, or `(index)` for what is no column's.
    pub name: String,
    /// Type of its values.
    pub field_type: String,
    /// Bytes in segments.
    pub bytes: u64,
    /// Bits a row.
    pub bits_per_row: f64,
}

pub(super) fn of(engine: &Engine) -> Result<Status> {
    let version = engine.store.version();
    let index = engine.series.index_stats()?;
    let mut tables = Vec::new();
    for table in version.tables.values() {
        let bytes: u64 = table.segments.iter().map(|s| s.entry.file_len).sum();
        let rows: u64 = table.segments.iter().map(|s| s.entry.rows).sum();
        let (columns, unreadable) = columns(table, rows, bytes)?;
        tables.push(TableStatus {
            name: table.schema.name.clone(),
            rows,
            memory_rows: engine.lock_head().rows(table.schema.id) as u64,
            series: engine.series.select(table.schema.id, &[])?.len() as u64,
            segments: table.segments.len(),
            unreadable_segments: unreadable.len(),
            first_unreadable: unreadable.first().map(Error::to_string),
            bytes,
            tombstones: table.tombstones.len(),
            columns,
        });
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let (log, last, durable) = match engine.log() {
        None => {
            let seen = engine.visible_lsn();
            (LogStatus::default(), seen, seen)
        }
        Some(log) => {
            let infos = log.file_infos();
            let bytes = infos.iter().map(|f| f.len).sum();
            let status = LogStatus {
                files: infos.len(),
                bytes,
                syncs: log.syncs(),
            };
            (status, log.last_lsn(), log.durable_lsn())
        }
    };
    let (kept, pinned) = engine.store.kept()?;
    let readers = ReaderStatus {
        leases: pinned.len(),
        oldest_version: pinned.first().copied(),
        kept_files: kept.files,
        kept_bytes: kept.bytes,
    };
    let unpublished = || engine.log().and_then(|log| log.publisher_failure());
    let counter = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
    Ok(Status {
        last_lsn: last.0,
        durable_lsn: durable.0,
        flushed_lsn: version.flushed.0,
        manifest_version: version.number,
        manifest_bytes: engine.store.manifest_len(),
        memory_rows_bytes: engine.signals.head_bytes(),
        index_memory_bytes: index.memory_bytes,
        index_disk_bytes: index.disk_bytes,
        log,
        commits: counter(&engine.counters.commits),
        rows_committed: counter(&engine.counters.rows),
        flushes: counter(&engine.counters.flushes),
        compactions: counter(&engine.counters.compactions),
        index_rebuilds: counter(&engine.counters.index_rebuilds) + engine.series.rebuilds(),
        index_caught_up: counter(&engine.counters.index_caught_up),
        partitions_dropped_when_full: counter(&engine.counters.partitions_dropped_when_full),
        later_rows_left_out: counter(&engine.counters.later_rows_left_out),
        readers,
        failure: engine
            .signals
            .failure()
            .or_else(unpublished)
            .map(|e| e.to_string()),
        poisoned: engine
            .log()
            .and_then(|l| l.poisoned())
            .map(|e| e.to_string()),
        tables,
    })
}

/// Bytes of a table's segments by column, and the errors of those that cannot be read.
fn columns(table: &TableVersion, rows: u64, bytes: u64) -> Result<(Vec<ColumnStatus>, Vec<Error>)> {
    let mut by_field: BTreeMap<FieldId, u64> = BTreeMap::new();
    let mut unreadable = Vec::new();
    for segment in &table.segments {
        match columns_of(segment) {
            Ok(of_segment) => {
                for (field, bytes) in of_segment {
                    *by_field.entry(field).or_default() += bytes;
                }
            }
            // A status is asked for most where something is wrong.
            Err(error) if error.is_unreadable() => unreadable.push(error),
            Err(error) => return Err(error),
        }
    }
    let bits = |bytes: u64| {
        if rows == 0 {
            0.0
        } else {
            bytes as f64 * 8.0 / rows as f64
        }
    };
    let status = |name: &str, field_type: &str, bytes: u64| ColumnStatus {
        name: name.to_owned(),
        field_type: field_type.to_owned(),
        bytes,
        bits_per_row: bits(bytes),
    };
    let of = |field| by_field.get(&field).copied().unwrap_or(0);
    let mut columns = vec![status("time", "time", of(FieldId::TIME))];
    for field in &table.schema.fields {
        columns.push(status(&field.name, field.field_type.name(), of(field.id)));
    }
    let data: u64 = by_field.values().sum();
    columns.push(status("(index)", "", bytes.saturating_sub(data)));
    Ok((columns, unreadable))
}

/// Bytes of a segment by column.
fn columns_of(segment: &Segment) -> Result<BTreeMap<FieldId, u64>> {
    let mut by_field: BTreeMap<FieldId, u64> = BTreeMap::new();
    let open = segment.open()?;
    for dictionary in &open.root().dictionaries {
        *by_field.entry(dictionary.field).or_default() += u64::from(dictionary.region.stored_len);
    }
    for group in 0..open.root().group_pages.len() {
        for column in open.group_page(group)?.columns() {
            *by_field.entry(column.field).or_default() += u64::from(column.block.stored_len);
        }
    }
    Ok(by_field)
}
