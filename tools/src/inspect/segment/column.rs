//! What the blocks of a column add up to.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use tidestone_format::codec::stats::VectorStats;

use super::block::{BlockReport, encodings_text};
use super::contents::Contents;
use super::stats::StatsReport;
use crate::text::{TextTable, one_line, ratio};

/// A column of the whole segment.
#[derive(Debug, Serialize)]
pub(super) struct ColumnReport {
    field: u32,
    name: String,
    r#type: &'static str,
    blocks: u64,
    /// Of its blocks and its dictionary.
    bytes: u64,
    values: u64,
    bits_per_value: Option<f64>,
    encodings: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<StatsReport>,
}

/// All columns, time first. `blocks` are the reports of all blocks of `contents`.
pub(super) fn columns(contents: &Contents<'_>, blocks: &[&BlockReport]) -> Vec<ColumnReport> {
    let mut columns: BTreeMap<u32, ColumnReport> = BTreeMap::new();
    for block in blocks {
        let column = columns.entry(block.field).or_insert_with(|| ColumnReport {
            field: block.field,
            name: block.column.clone(),
            r#type: block.r#type,
            blocks: 0,
            bytes: 0,
            values: 0,
            bits_per_value: None,
            encodings: BTreeMap::new(),
            stats: None,
        });
        column.blocks += 1;
        column.bytes += u64::from(block.length);
        column.values += block.values;
        for (name, n) in &block.encodings {
            *column.encodings.entry(name).or_insert(0) += n;
        }
    }
    for dictionary in &contents.dictionaries {
        if let Some(column) = columns.get_mut(&dictionary.reference.field.0) {
            column.bytes += u64::from(dictionary.reference.region.stored_len);
        }
    }
    for (field, total) in totals(contents) {
        if let Some(column) = columns.get_mut(&field) {
            column.stats = Some(StatsReport::from(&total));
        }
    }
    for column in columns.values_mut() {
        let bits = column.bytes as f64 * 8.0;
        column.bits_per_value = (column.values > 0).then(|| bits / column.values as f64);
    }
    columns.into_values().collect()
}

fn totals(contents: &Contents<'_>) -> BTreeMap<u32, VectorStats> {
    let mut totals: BTreeMap<u32, VectorStats> = BTreeMap::new();
    for block in contents.blocks() {
        let Some(total) = block.stats.as_ref().and_then(|s| s.total()) else {
            continue;
        };
        totals
            .entry(block.field.0)
            .and_modify(|before| *before = before.then(&total))
            .or_insert(total);
    }
    totals
}

/// The columns as a table.
pub(super) fn print(columns: &[ColumnReport], out: &mut dyn Write) -> io::Result<()> {
    if columns.is_empty() {
        return Ok(());
    }
    let head = [
        "field",
        "column",
        "type",
        "bytes",
        "values",
        "bits/value",
        "codecs",
    ];
    let mut table = TextTable::new(head.into_iter().chain(StatsReport::NAMES));
    for column in columns {
        let own = [
            column.field.to_string(),
            one_line(&column.name),
            column.r#type.to_owned(),
            column.bytes.to_string(),
            column.values.to_string(),
            ratio(column.bytes as f64 * 8.0, column.values),
            encodings_text(&column.encodings),
        ];
        let stats = column.stats.as_ref().map(|s| s.cells());
        let stats = stats.unwrap_or_else(|| std::array::from_fn(|_| "-".to_owned()));
        table.row(own.into_iter().chain(stats));
    }
    writeln!(out, "\ncolumns")?;
    table.print("  ", out)
}
