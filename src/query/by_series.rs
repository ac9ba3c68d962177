//! Rows by (series, time).
//!
//! The parts of a series that no other input's rows stand between are decoded straight into the
//! batch; others go through a merge ([`Scan`]).

use std::sync::Arc;

use tidestone_format::SeriesId;
use tidestone_format::column::Column;
use tidestone_format::schema::{DuplicatePolicy, Field};

use super::plan::{Part, Walk, has_deletes, interleave};
use super::read::{SegmentReader, Wanted};
use super::{Profile, RowBatch};
use crate::error::Result;
use crate::rows::Rows;
use crate::scan::{Input, InputRun, Request, Scan, Source};

/// Goes through inputs by (series, time).
#[derive(Debug)]
pub(super) struct BySeries {
    inputs: Vec<Input>,
    fields: Arc<[Field]>,
    policy: DuplicatePolicy,
    walk: Walk,
    readers: Vec<Option<SegmentReader>>,
    scan: Option<Scan>,
    series: SeriesId,
    /// Of the series, still to be read, the earliest last; read from the scan if `merging`.
    parts: Vec<Part>,
    merging: bool,
}

impl BySeries {
    pub(super) fn new(
        inputs: Vec<Input>,
        fields: Arc<[Field]>,
        policy: DuplicatePolicy,
        wanted: Option<Arc<[SeriesId]>>,
    ) -> Self {
        Self {
            walk: Walk::new(&inputs, 0..inputs.len(), wanted),
            readers: inputs.iter().map(|_| None).collect(),
            inputs,
            fields,
            policy,
            scan: None,
            series: SeriesId::default(),
            parts: Vec::new(),
            merging: false,
        }
    }

    /// Appends rows until the batch has `target` of them, or a few more, or there are none.
    pub(super) fn fill(
        &mut self,
        batch: &mut RowBatch,
        target: usize,
        profile: &mut Profile,
    ) -> Result<()> {
        while batch.len() < target {
            if self.merging {
                match self.next_merged()? {
                    Some(rows) => {
                        profile.rows_merged += rows.len() as u64;
                        append(batch, &rows);
                    }
                    None => self.merging = false,
                }
            } else if let Some(mut part) = self.parts.pop() {
                self.read(&mut part, batch, target, profile)?;
                batch.close_run(self.series);
                if !part.rows.is_empty() {
                    self.parts.push(part);
                }
            } else if !self.next_series()? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Goes to the next series; `false` at the end.
    fn next_series(&mut self) -> Result<bool> {
        let mut parts = std::mem::take(&mut self.parts);
        let found = self.walk.next(&mut parts)?;
        let Some(series) = found else {
            return Ok(false);
        };
        self.series = series;
        let deletes = |p: &Part| has_deletes(&self.inputs[p.input], series, &p.times);
        if interleave(&mut parts) || parts.iter().any(deletes) {
            parts.clear();
            self.go_to(series)?;
            self.merging = true;
        }
        parts.reverse();
        self.parts = parts;
        Ok(true)
    }

    fn go_to(&mut self, series: SeriesId) -> Result<()> {
        let scan = self.scan.get_or_insert_with(|| {
            let mut ascending = self.fields.to_vec();
            ascending.sort_by_key(|f| f.id);
            let request = Request {
                fields: ascending.into(),
                range: tidestone_format::TimeRange::ALL,
                series: None,
            };
            let sources = self.inputs.iter().map(Source::new).collect();
            Scan::new(sources, self.policy, request)
        });
        scan.go_to(series)
    }

    fn next_merged(&mut self) -> Result<Option<Rows>> {
        match &mut self.scan {
            Some(scan) => scan.next_of_series(),
            None => Ok(None),
        }
    }

    /// Appends rows of a part, and moves its start behind what was looked at.
    fn read(
        &mut self,
        part: &mut Part,
        batch: &mut RowBatch,
        target: usize,
        profile: &mut Profile,
    ) -> Result<()> {
        let input = &self.inputs[part.input];
        match &input.run {
            InputRun::Chunk(rows) => {
                let number = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
                let (start, end) = (number(part.rows.start), number(part.rows.end));
                let times = &rows.times[start..end];
                let from = start + times.partition_point(|t| *t < input.range.start);
                let last = start + times.partition_point(|t| *t <= input.range.end);
                let room = target.saturating_sub(batch.len());
                let to = last.min(from.saturating_add(room));
                part.rows = to as u64..last.max(to) as u64;
                append_columns(batch, rows, from, to.max(from));
            }
            InputRun::Segment(open) => {
                let reader = match &mut self.readers[part.input] {
                    Some(reader) => reader,
                    none => none.insert(SegmentReader::new(open.clone(), &self.fields)?),
                };
                let wanted = Wanted {
                    range: input.range,
                    all: part.all,
                    target,
                };
                reader.append(&mut part.rows, &wanted, batch, profile)?;
            }
        }
        Ok(())
    }
}

/// Appends the rows `from..to` of one series.
fn append_columns(batch: &mut RowBatch, rows: &Rows, from: usize, to: usize) {
    batch.times.extend_from_slice(&rows.times[from..to]);
    for at in 0..batch.columns.len() {
        let field = &batch.fields()[at];
        let (id, field_type) = (field.id, field.field_type);
        let column = &mut batch.columns[at];
        match rows.column(id) {
            Some(values) => column.extend_from(values, from, to),
            None => column.extend_from(&Column::nulls(field_type, to - from), 0, to - from),
        }
    }
}

/// Appends all rows, of any series.
fn append(batch: &mut RowBatch, rows: &Rows) {
    let mut from = 0;
    for same in rows.series.chunk_by(|a, b| a == b) {
        append_columns(batch, rows, from, from + same.len());
        batch.close_run(same[0]);
        from += same.len();
    }
}
