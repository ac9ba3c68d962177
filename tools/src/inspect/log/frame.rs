//! One frame and what it carries.

use std::io::{self, Write};

use serde::Serialize;
use tidestone_format::TimeRange;
use tidestone_format::column::Column;
use tidestone_format::log::{BatchSection, Frame, Record};

use super::super::check::{Damage, Verdict};
use super::super::entries::{DefinitionReport, SegmentEntryReport, TombstoneReport, range};
use super::frame_table;
use crate::scalar::Scalar;
use crate::text::{TextTable, one_line};
use crate::time::rfc3339;

/// A frame in a list.
#[derive(Debug, Serialize)]
pub(super) struct FrameReport {
    offset: u64,
    /// Of frame and padding.
    length: u64,
    lsn: u64,
    durable_lsn: u64,
    kind: String,
    payload_length: u32,
    payload_crc: u32,
    verdict: Verdict,
    pub(super) rows: u64,
    holds: String,
    /// The payload is whole and not what the format says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) damage: Option<Damage>,
}

/// A frame and everything in it.
#[derive(Debug, Serialize)]
pub(in crate::inspect) struct FrameInFull {
    #[serde(flatten)]
    frame: FrameReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<RecordReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum RecordReport {
    Batch(Vec<SectionReport>),
    SeriesDefinitions(Vec<DefinitionReport>),
    Delete(TombstoneReport),
    SegmentReferences(Vec<SegmentEntryReport>),
    Note,
}

#[derive(Debug, Serialize)]
struct SectionReport {
    table: u32,
    columns: Vec<ColumnOfBatch>,
    /// Series, time, values.
    rows: Vec<(u64, i64, Vec<Scalar>)>,
}

#[derive(Debug, Serialize)]
struct ColumnOfBatch {
    field: u32,
    r#type: &'static str,
}

impl FrameReport {
    pub(super) fn of(frame: &Frame<'_>) -> Self {
        Self::with_record(frame).0
    }

    fn with_record(frame: &Frame<'_>) -> (Self, Option<Record>) {
        let header = &frame.header;
        let record = Record::decode(header.kind, frame.payload);
        let (rows, holds, damage) = match &record {
            Ok(record) => (rows_of(record), holds(record), None),
            Err(error) => {
                let error = error.clone().at_base(frame.payload_offset());
                (0, "a payload that is not readable".to_owned(), Some(error))
            }
        };
        let damage = damage.map(Damage::from);
        let report = Self {
            offset: frame.offset,
            length: frame.end() - frame.offset,
            lsn: header.lsn.0,
            durable_lsn: header.durable_lsn.0,
            kind: header.kind.to_string(),
            payload_length: header.stored_len,
            payload_crc: header.payload_crc,
            verdict: Verdict::of(damage.as_slice()),
            rows,
            holds,
            damage,
        };
        (report, record.ok())
    }

    fn cells(&self) -> [String; 7] {
        let word = self.verdict.word();
        [
            self.offset.to_string(),
            self.length.to_string(),
            self.lsn.to_string(),
            self.durable_lsn.to_string(),
            self.kind.clone(),
            format!("{:#010x} {word}", self.payload_crc),
            self.holds.clone(),
        ]
    }
}

pub(super) fn print_list(frames: &[FrameReport], out: &mut dyn Write) -> io::Result<()> {
    let mut table = frame_table();
    frames.iter().for_each(|f| table.row(f.cells()));
    if table.is_empty() {
        return Ok(());
    }
    table.print("  ", out)
}

fn rows_of(record: &Record) -> u64 {
    match record {
        Record::Batch(sections) => sections.iter().map(|s| s.times.len() as u64).sum(),
        Record::SegmentReferences(entries) => entries.iter().map(|e| e.rows).sum(),
        _ => 0,
    }
}

fn holds(record: &Record) -> String {
    match record {
        Record::Batch(sections) => {
            let parts: Vec<String> = sections.iter().map(section_in_a_word).collect();
            parts.join("; ")
        }
        Record::SeriesDefinitions(list) => match list.as_slice() {
            [one] => DefinitionReport::from(one).to_string(),
            list => format!("{} series", list.len()),
        },
        Record::Delete(tombstone) => TombstoneReport::from(tombstone).to_string(),
        Record::SegmentReferences(entries) => format!(
            "{} segments, {} rows",
            entries.len(),
            entries.iter().map(|e| e.rows).sum::<u64>()
        ),
        Record::Note => "its durable LSN".to_owned(),
    }
}

fn section_in_a_word(section: &BatchSection) -> String {
    let times = section.times.iter();
    let times = TimeRange {
        start: times.clone().min().copied().unwrap_or_default(),
        end: times.max().copied().unwrap_or_default(),
    };
    format!(
        "table {}: {} rows, {} columns, {}",
        section.table,
        section.times.len(),
        section.columns.len(),
        range(times)
    )
}

impl FrameInFull {
    pub(super) fn of(frame: &Frame<'_>) -> Self {
        let (frame, record) = FrameReport::with_record(frame);
        Self {
            frame,
            record: record.as_ref().map(RecordReport::of),
        }
    }

    pub(in crate::inspect) fn verdict(&self) -> Verdict {
        self.frame.verdict
    }

    pub(in crate::inspect) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let frame = &self.frame;
        writeln!(
            out,
            "{} at {}, {} bytes",
            frame.kind, frame.offset, frame.length
        )?;
        writeln!(out, "  LSN          {}", frame.lsn)?;
        writeln!(out, "  durable LSN  {}", frame.durable_lsn)?;
        writeln!(out, "  payload      {} bytes", frame.payload_length)?;
        writeln!(
            out,
            "  CRC-32       {:#010x} {}",
            frame.payload_crc,
            frame.verdict.word()
        )?;
        if let Some(damage) = &frame.damage {
            writeln!(out, "  BAD          {damage}")?;
        }
        match &self.record {
            None | Some(RecordReport::Note) => Ok(()),
            Some(RecordReport::Batch(sections)) => sections.iter().try_for_each(|s| s.print(out)),
            Some(RecordReport::SeriesDefinitions(list)) => {
                list.iter().try_for_each(|d| writeln!(out, "  {d}"))
            }
            Some(RecordReport::Delete(tombstone)) => writeln!(out, "  {tombstone}"),
            Some(RecordReport::SegmentReferences(list)) => {
                list.iter().try_for_each(|e| writeln!(out, "  {e}"))
            }
        }
    }
}

impl RecordReport {
    fn of(record: &Record) -> Self {
        match record {
            Record::Batch(sections) => {
                Self::Batch(sections.iter().map(SectionReport::of).collect())
            }
            Record::SeriesDefinitions(list) => {
                Self::SeriesDefinitions(list.iter().map(DefinitionReport::from).collect())
            }
            Record::Delete(tombstone) => Self::Delete(tombstone.into()),
            Record::SegmentReferences(list) => {
                Self::SegmentReferences(list.iter().map(SegmentEntryReport::from).collect())
            }
            Record::Note => Self::Note,
        }
    }
}

impl SectionReport {
    fn of(section: &BatchSection) -> Self {
        let values = |row: usize| {
            let of = |(_, column): &(_, Column)| Scalar::of_column(column, row);
            section.columns.iter().map(of).collect()
        };
        let row = |(i, time): (usize, &i64)| (section.series.get(i).0, *time, values(i));
        Self {
            table: section.table.0,
            columns: section
                .columns
                .iter()
                .map(|(field, column)| ColumnOfBatch {
                    field: field.0,
                    r#type: column.values.field_type().name(),
                })
                .collect(),
            rows: section.times.iter().enumerate().map(row).collect(),
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\ntable {}: {} rows", self.table, self.rows.len())?;
        let fields = self
            .columns
            .iter()
            .map(|c| format!("field {} {}", c.field, c.r#type));
        let head = ["series".to_owned(), "time".to_owned()];
        let mut table = TextTable::new(head.into_iter().chain(fields));
        for (series, time, values) in &self.rows {
            let values = values.iter().map(|v| match v {
                Scalar::Null => "-".to_owned(),
                value => one_line(&value.to_string()),
            });
            table.row(
                [series.to_string(), rfc3339(*time)]
                    .into_iter()
                    .chain(values),
            );
        }
        table.print("  ", out)
    }
}
