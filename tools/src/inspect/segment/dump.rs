//! The values of one vector, of one column or of all.

use std::io::{self, Write};

use serde::Serialize;
use tidestone_format::FieldId;
use tidestone_format::column::Column;
use tidestone_format::version::{GROUP_VECTORS, VECTOR_ROWS};

use super::super::check::{Damage, merge};
use super::block::VectorReport;
use super::contents::{Contents, PlacedBlock};
use crate::outcome::{Failure, Run};
use crate::scalar::Scalar;
use crate::text::{TextTable, one_line};
use crate::time::rfc3339;

/// The rows of a vector.
#[derive(Debug, Serialize)]
pub(in crate::inspect) struct VectorDump {
    vector: u64,
    first_row: u64,
    columns: Vec<ColumnDump>,
    /// The series of each row; empty where no readable page says it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    series: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::inspect) damage: Vec<Damage>,
}

#[derive(Debug, Serialize)]
struct ColumnDump {
    field: u32,
    column: String,
    r#type: &'static str,
    #[serde(flatten)]
    vector: VectorReport,
    values: Vec<Scalar>,
}

/// Vector `number` of the segment: of the column called `column`, or of all.
pub(in crate::inspect) fn dump_vector(
    bytes: &[u8],
    number: u64,
    column: Option<&str>,
) -> Run<VectorDump> {
    let contents = Contents::read(bytes);
    let group = number / GROUP_VECTORS as u64;
    let in_group = |b: &&PlacedBlock<'_>| u64::from(b.group) == group;
    let blocks: Vec<&PlacedBlock<'_>> = contents.blocks().filter(in_group).collect();
    let named = |b: &&PlacedBlock<'_>| column.is_none_or(|c| c == b.name);
    let chosen: Vec<&PlacedBlock<'_>> = blocks.iter().copied().filter(named).collect();
    if let (Some(column), false, true) = (column, blocks.is_empty(), chosen.is_empty()) {
        let names: Vec<&str> = blocks.iter().map(|b| b.name.as_str()).collect();
        return Err(Failure::new(format_args!(
            "there is no column {column:?}; there are {names:?}"
        )));
    }
    let dump = VectorDump::of(&contents, number, &chosen);
    if dump.columns.is_empty() {
        let rows = contents.root.as_ref().map(|r| r.rows);
        let known = rows.map_or(String::new(), |rows| {
            let vectors = rows.div_ceil(VECTOR_ROWS as u64);
            format!("; the segment has {vectors}, of {rows} rows")
        });
        return Err(Failure::new(format_args!(
            "there is no readable vector {number}{known}"
        )));
    }
    Ok(dump)
}

impl VectorDump {
    /// The vectors with that number of the given blocks.
    pub(super) fn of(contents: &Contents<'_>, number: u64, blocks: &[&PlacedBlock<'_>]) -> Self {
        let index = usize::try_from(number % GROUP_VECTORS as u64).unwrap_or_default();
        let mut dump = Self {
            vector: number,
            first_row: number.saturating_mul(VECTOR_ROWS as u64),
            columns: Vec::new(),
            series: Vec::new(),
            damage: Vec::new(),
        };
        for block in blocks {
            let Some(vector) = VectorReport::of(block, contents, index) else {
                merge(&mut dump.damage, block.damage.iter().cloned());
                continue;
            };
            merge(&mut dump.damage, block.damage.iter().cloned());
            merge(&mut dump.damage, vector.damage().cloned());
            let mut values = Column::new(block.field_type);
            if let Some(opened) = &block.block {
                // Why it does not decode is in the report.
                let _ = opened.decode(index, contents.dictionary(block.field), &mut values);
            }
            dump.columns.push(ColumnDump {
                field: block.field.0,
                column: block.name.clone(),
                r#type: block.field_type.name(),
                vector,
                values: (0..values.len())
                    .map(|row| Scalar::of_column(&values, row))
                    .collect(),
            });
        }
        let rows = dump.columns.iter().map(|c| c.values.len() as u64).max();
        let rows = dump.first_row..dump.first_row + rows.unwrap_or(0);
        let series = rows
            .map(|row| series_of(contents, row))
            .collect::<Option<_>>();
        dump.series = series.unwrap_or_default();
        dump
    }

    pub(in crate::inspect) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (vector, row) = (self.vector, self.first_row);
        writeln!(out, "vector {vector}: rows from {row} on")?;
        for column in &self.columns {
            let name = one_line(&column.column);
            writeln!(out, "{name}, field {}, {}", column.field, column.r#type)?;
            super::block::print_vectors(std::slice::from_ref(&column.vector), "  ", out)?;
        }
        writeln!(out)?;
        self.print_rows(out)?;
        for damage in &self.damage {
            writeln!(out, "BAD  {damage}")?;
        }
        Ok(())
    }

    fn print_rows(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows = self
            .columns
            .iter()
            .map(|c| c.values.len())
            .max()
            .unwrap_or(0);
        let names = self.columns.iter().map(|c| one_line(&c.column));
        let mut head = vec!["row".to_owned()];
        if !self.series.is_empty() {
            head.push("series".to_owned());
        }
        let mut table = TextTable::new(head.into_iter().chain(names));
        for row in 0..rows {
            let mut cells = vec![(self.first_row + row as u64).to_string()];
            cells.extend(self.series.get(row).map(u64::to_string));
            cells.extend(self.columns.iter().map(|c| c.cell(row)));
            table.row(cells);
        }
        table.print("", out)
    }
}

impl ColumnDump {
    fn cell(&self, row: usize) -> String {
        match self.values.get(row) {
            None => "unreadable".to_owned(),
            Some(Scalar::Null) => "-".to_owned(),
            Some(Scalar::Int(ns)) if self.field == FieldId::TIME.0 => {
                i64::try_from(*ns).map_or_else(|_| ns.to_string(), rfc3339)
            }
            Some(value) => one_line(&value.to_string()),
        }
    }
}

fn series_of(contents: &Contents<'_>, row: u64) -> Option<u64> {
    let mut pages = contents.series_pages.iter().filter_map(|p| p.page.as_ref());
    pages.find_map(|page| {
        let series = page
            .row_range()
            .contains(&row)
            .then(|| page.series_of_row(row))??;
        page.id(series).map(|id| id.0)
    })
}
