//! `tables` and `series`: what there is.

use std::io::Write;

use clap::Args;
use serde::Serialize;
use tidestone::{DuplicatePolicy, SchemaMode, Table, TableStatus};

use super::folder::DbArgs;
use super::maintain::tell_unreadable;
use super::query::{Format, FormatArgs, Output, check_tags};
use crate::outcome::{Outcome, Run};
use crate::scalar::Scalar;
use crate::text::{TextTable, one_line};

/// All tables.
#[derive(Debug, Args)]
pub(crate) struct TablesArgs {
    #[command(flatten)]
    db: DbArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The series of a table.
#[derive(Debug, Args)]
pub(crate) struct SeriesArgs {
    #[command(flatten)]
    db: DbArgs,
    /// The table
    #[arg(long)]
    table: String,
    /// Only series that pass: tag=value, tag!=value, or tag=~pattern; several must all pass
    #[arg(long = "where", value_name = "TEST", value_parser = super::query::tag_test)]
    tests: Vec<tidestone::TagMatch>,
    /// At most this many
    #[arg(long)]
    limit: Option<usize>,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Serialize)]
struct TableReport {
    name: String,
    id: u32,
    duplicates: &'static str,
    schema: &'static str,
    partition_ns: i64,
    series: u64,
    segments: usize,
    unreadable_segments: usize,
    rows_in_segments: u64,
    rows_in_log: u64,
    bytes: u64,
    fields: Vec<FieldReport>,
}

#[derive(Debug, Serialize)]
struct FieldReport {
    name: String,
    r#type: &'static str,
}

/// Carries out `tidestone tables`.
pub(crate) fn tables(args: &TablesArgs, out: &mut dyn Write) -> Run {
    let db = args.db.open()?;
    let status = db.status()?;
    let of = |table: &Table| status.tables.iter().find(|s| s.name == table.name());
    let mut tables: Vec<TableReport> = db.tables().iter().map(|t| report(t, of(t))).collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let outcome = tell_unreadable(&status);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &tables)?;
        writeln!(out)?;
        return Ok(outcome);
    }
    let head = [
        "table",
        "series",
        "rows in segments",
        "rows in log",
        "bytes",
        "segments",
        "duplicates",
        "fields",
    ];
    let mut text = TextTable::new(head);
    for table in &tables {
        let fields: Vec<String> = table
            .fields
            .iter()
            .map(|f| format!("{} {}", one_line(&f.name), f.r#type))
            .collect();
        text.row([
            one_line(&table.name),
            table.series.to_string(),
            table.rows_in_segments.to_string(),
            table.rows_in_log.to_string(),
            table.bytes.to_string(),
            table.segments.to_string(),
            table.duplicates.to_owned(),
            shortened(&fields),
        ]);
    }
    text.print("", out)?;
    Ok(outcome)
}

/// Carries out `tidestone series`.
pub(crate) fn series(args: &SeriesArgs, out: &mut dyn Write) -> Run {
    let db = args.db.open()?;
    let table = db.table(&args.table)?;
    check_tags("--where", args.tests.iter().map(|t| t.tag.as_str()), &table)?;
    let keys = table.series_keys(&args.tests)?;
    let mut names: Vec<&str> = keys
        .iter()
        .flat_map(|k| k.tags())
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() && args.format.format() == Format::Table {
        writeln!(out, "{} series, without tags", keys.len())?;
        return Ok(Outcome::Sound);
    }
    let columns = names.iter().map(|&n| n.to_owned()).collect();
    let mut output = Output::new(args.format.format(), columns, out)?;
    for key in keys.iter().take(args.limit.unwrap_or(usize::MAX)) {
        let value = |name: &&str| match key.get(name) {
            Some(value) => Scalar::Text(value.to_owned()),
            None => Scalar::Null,
        };
        output.row(names.iter().map(value))?;
    }
    output.finish()?;
    Ok(Outcome::Sound)
}

fn report(table: &Table, status: Option<&TableStatus>) -> TableReport {
    let schema = table.schema();
    TableReport {
        name: schema.name.clone(),
        id: schema.id.0,
        duplicates: match schema.settings.policy {
            DuplicatePolicy::Replace => "replace",
            DuplicatePolicy::All => "all",
            DuplicatePolicy::First => "first",
        },
        schema: match schema.settings.mode {
            SchemaMode::Fixed => "fixed",
            SchemaMode::Open => "open",
        },
        partition_ns: schema.settings.partition_ns,
        series: status.map_or(0, |s| s.series),
        segments: status.map_or(0, |s| s.segments),
        unreadable_segments: status.map_or(0, |s| s.unreadable_segments),
        rows_in_segments: status.map_or(0, |s| s.rows),
        rows_in_log: status.map_or(0, |s| s.memory_rows),
        bytes: status.map_or(0, |s| s.bytes),
        fields: schema
            .fields
            .iter()
            .map(|f| FieldReport {
                name: f.name.clone(),
                r#type: f.field_type.name(),
            })
            .collect(),
    }
}

/// The first names of many; `--json` has them all.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
