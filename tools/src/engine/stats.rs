//! `stats`: rows, bytes and bits per value, by table, tier and column. It reads the manifest and
//! the tails of segments, and opens nothing; rows that are still in the log are not replayed to be
//! counted, which `tables` does.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use serde::Serialize;
use tidestone::TableSchema;
use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN};
use tidestone_format::manifest::{Replay, SegmentEntry, State, Tier};
use tidestone_format::segment::{GroupPage, Region, Root, TRAILER_LEN, Trailer};
use tidestone_format::{FieldId, FileUuid, FormatError, TableId};

use super::files::{DbFiles, Unusable, read_head, read_tail};
use super::folder::DirArgs;
use crate::outcome::{Failure, Outcome, Run};
use crate::text::{TextTable, one_line, ratio};

/// What a database holds.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    dir: DirArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct StatsReport {
    manifest_version: u64,
    flushed_lsn: u64,
    log_files: usize,
    log_bytes: u64,
    tables: Vec<TableReport>,
}

/// A table, or what of it lies in one tier.
#[derive(Debug, Serialize)]
struct TableReport {
    table: String,
    tier: &'static str,
    segments: u64,
    rows: u64,
    bytes: u64,
    /// Values that are not null, those of the time column among them.
    values: u64,
    bits_per_value: f64,
    columns: Vec<ColumnReport>,
}

#[derive(Debug, Serialize)]
struct ColumnReport {
    column: String,
    r#type: &'static str,
    bytes: u64,
    values: u64,
    bits_per_value: Option<f64>,
}

/// Bytes and values of one column.
#[derive(Debug, Default)]
struct Sum {
    bytes: u64,
    values: u64,
}

/// What lies in one tier of one table.
#[derive(Debug, Default)]
struct Group {
    segments: u64,
    rows: u64,
    bytes: u64,
    columns: BTreeMap<FieldId, Sum>,
}

/// What lies in each tier of each table.
type Groups = BTreeMap<(TableId, Tier), Group>;

/// Carries out `tidestone stats`.
pub(crate) fn run(args: &StatsArgs, out: &mut dyn Write) -> Run {
    let report = report(&DbFiles::new(args.dir.path()))?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        report.print(out)?;
    }
    Ok(Outcome::Sound)
}

/// Bytes of segments and values in them, of one table.
pub(crate) fn bits_per_value(files: &DbFiles, table: &str) -> Run<Option<f64>> {
    let report = report(files)?;
    let of_table = report.tables.iter().filter(|t| t.table == table);
    let (bytes, values) = of_table.fold((0, 0), |sum, t| (sum.0 + t.bytes, sum.1 + t.values));
    Ok((values > 0).then(|| bytes as f64 * 8.0 / values as f64))
}

fn report(files: &DbFiles) -> Run<StatsReport> {
    report_from(files, files.state()?)
}

/// The report of a manifest that was just read.
fn report_from(files: &DbFiles, mut replay: Replay) -> Run<StatsReport> {
    let groups = loop {
        let missing = match groups(files, &replay.state)? {
            Ok(groups) => break groups,
            Err(missing) => missing,
        };
        // A process that writes may have merged or dropped it meanwhile.
        replay = files.state()?;
        if let Some(entry) = replay.state.segments().get(&missing) {
            return Err(Failure::Damaged(format!(
                "{}: the manifest names this segment and it is not there; restore it from a \
                 backup, or run `tidestone repair` to see what going on without it would lose",
                files.segment(entry).display()
            )));
        }
    };
    let logs = files.log_files();
    let logs = logs.map_err(|e| Failure::file("list the log of", &files.root, &e))?;
    let bytes = logs
        .iter()
        .map(|p| std::fs::metadata(p).map_or(0, |m| m.len()));
    let mut tables: Vec<TableReport> = groups
        .iter()
        .map(|((table, tier), group)| group.report(&replay.state, *table, *tier))
        .collect();
    tables.sort_by(|a, b| (&a.table, a.tier).cmp(&(&b.table, b.tier)));
    Ok(StatsReport {
        manifest_version: replay.version,
        flushed_lsn: replay.state.flushed().0,
        log_files: logs.len(),
        log_bytes: bytes.sum(),
        tables,
    })
}

/// What lies in the segments of a manifest, or one of them that is not there.
fn groups(files: &DbFiles, state: &State) -> Run<Result<Groups, FileUuid>> {
    let mut groups = Groups::new();
    for entry in state.segments().values() {
        let group = groups.entry((entry.table, entry.tier)).or_default();
        match add(group, entry, files) {
            Ok(()) => {}
            Err(error) if error.is_missing() => return Ok(Err(entry.uuid)),
            Err(error) => return Err(error.of(&files.segment(entry))),
        }
    }
    Ok(Ok(groups))
}

/// Adds a segment.
fn add(group: &mut Group, entry: &SegmentEntry, files: &DbFiles) -> Result<(), Unusable> {
    group.segments += 1;
    group.rows += entry.rows;
    group.bytes += entry.file_len;
    if entry.tier == Tier::Archive {
        return Ok(());
    }
    let path = files.segment(entry);
    // It says whether a newer version wrote the rest.
    FileHeader::decode_kind(&read_head(&path, HEADER_LEN)?, FileKind::Segment)?;
    let tail = read_tail(&path, u64::from(entry.tail_len))?;
    let start = tail.len().saturating_sub(TRAILER_LEN);
    let trailer = Trailer::decode(&tail[start..], entry.file_len)?;
    let bytes = |region: &Region| -> Result<&[u8], FormatError> {
        let at = region.offset.checked_sub(trailer.tail_offset());
        let found = at.and_then(|at| {
            let at = usize::try_from(at).ok()?;
            tail.get(at..at.checked_add(region.stored_len as usize)?)
        });
        let found = found.unwrap_or_default();
        region.check(trailer.file, found)?;
        Ok(found)
    };
    let root = Root::decode(bytes(&trailer.root_region())?, &trailer)?;
    for dictionary in &root.dictionaries {
        let column = group.columns.entry(dictionary.field).or_default();
        column.bytes += u64::from(dictionary.region.stored_len);
    }
    for (i, reference) in root.group_pages.iter().enumerate() {
        let page = GroupPage::decode(bytes(&reference.region)?, &root, i)?;
        for entry in page.columns() {
            let column = group.columns.entry(entry.field).or_default();
            column.bytes += u64::from(entry.block.stored_len);
            column.values += page.stats(entry)?.total().map_or(0, |t| t.values());
        }
    }
    Ok(())
}

impl Group {
    fn report(&self, state: &State, table: TableId, tier: Tier) -> TableReport {
        let schema = state.tables().get(&table);
        let column = |(field, sum): (&FieldId, &Sum)| {
            let (name, field_type) = name_of(schema, *field);
            ColumnReport {
                column: name,
                r#type: field_type,
                bytes: sum.bytes,
                values: sum.values,
                bits_per_value: (sum.values > 0)
                    .then(|| sum.bytes as f64 * 8.0 / sum.values as f64),
            }
        };
        let mut columns: Vec<ColumnReport> = self.columns.iter().map(column).collect();
        let in_columns: u64 = columns.iter().map(|c| c.bytes).sum();
        let values: u64 = columns.iter().map(|c| c.values).sum();
        columns.push(ColumnReport {
            column: "(index, headers)".to_owned(),
            r#type: "",
            bytes: self.bytes.saturating_sub(in_columns),
            values: 0,
            bits_per_value: None,
        });
        TableReport {
            table: schema.map_or_else(|| format!("(table {table})"), |s| s.name.clone()),
            tier: match tier {
                Tier::Hot => "hot",
                Tier::Cold => "cold",
                Tier::Archive => "archive",
            },
            segments: self.segments,
            rows: self.rows,
            bytes: self.bytes,
            values,
            bits_per_value: self.bytes as f64 * 8.0 / values.max(1) as f64,
            columns,
        }
    }
}

fn name_of(schema: Option<&TableSchema>, field: FieldId) -> (String, &'static str) {
    if field == FieldId::TIME {
        return ("time".to_owned(), "time");
    }
    match schema.and_then(|s| s.field(field)) {
        Some(field) => (field.name.clone(), field.field_type.name()),
        None => (format!("(field {field})"), ""),
    }
}

impl StatsReport {
    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(
            out,
            "manifest version {}, flushed up to LSN {}; log: {} files, {} bytes (`tables` counts the rows in it)",
            self.manifest_version, self.flushed_lsn, self.log_files, self.log_bytes
        )?;
        let head = [
            "table",
            "tier",
            "segments",
            "rows",
            "bytes",
            "values",
            "bits/value",
        ];
        let mut table = TextTable::new(head);
        for t in &self.tables {
            table.row([
                one_line(&t.table),
                t.tier.to_owned(),
                t.segments.to_string(),
                t.rows.to_string(),
                t.bytes.to_string(),
                t.values.to_string(),
                ratio(t.bytes as f64 * 8.0, t.values),
            ]);
        }
        writeln!(out)?;
        table.print("", out)?;
        for t in &self.tables {
            writeln!(out, "\n{}, {}", one_line(&t.table), t.tier)?;
            let mut table = TextTable::new(["column", "type", "bytes", "values", "bits/value"]);
            for c in &t.columns {
                table.row([
                    one_line(&c.column),
                    c.r#type.to_owned(),
                    c.bytes.to_string(),
                    c.values.to_string(),
                    ratio(c.bytes as f64 * 8.0, c.values),
                ]);
            }
            table.print("  ", out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidestone::{Options, TableOptions, Tidestone};

    use super::*;

    #[test]
    fn segments_that_were_merged_while_they_were_counted_are_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let db = Tidestone::create(dir.path(), Options::default()).unwrap();
        let table = db
            .create_table("t", TableOptions::new().open_schema())
            .unwrap();
        let series = table.series::<&str, &str>(&[]).unwrap();
        let mut writer = db.writer();
        for time in [1, 2] {
            let values = [("v", tidestone::Value::I64(time))];
            writer.append_fields(&series, time, &values).unwrap();
            writer.commit().unwrap().wait().unwrap();
            db.flush().unwrap();
        }
        let files = DbFiles::new(dir.path());
        let before = files.state().unwrap();
        let sound = report(&files).unwrap();
        assert_eq!((sound.tables[0].segments, sound.tables[0].rows), (2, 2));
        db.compact().unwrap();
        let first = before.state.segments().values().next().unwrap();
        assert!(!files.segment(first).exists());
        let merged = report_from(&files, before).unwrap();
        assert_eq!((merged.tables[0].segments, merged.tables[0].rows), (1, 2));
    }
}
