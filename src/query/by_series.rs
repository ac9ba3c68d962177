//! Rows by (series, time).
//!
//! [`Steps`] says what to read, in order; a [`Reader`] reads it, step by step. The parts of a series
//! that no other input's rows stand between are decoded straight into the batch; others go through
//! a merge ([`Scan`]).

use std::sync::Arc;

use tidestone_format::SeriesId;
use tidestone_format::column::Column;
use tidestone_format::schema::{DuplicatePolicy, Field};

use super::batch::Enough;
use super::plan::{Part, Walk, has_deletes, interleave};
use super::read::{Readers, Wanted};
use super::{Cancellation, Profile, RowBatch};
use crate::catalog::TableCore;
use crate::error::Result;
use crate::rows::{AtOnce, Rows};
use crate::scan::{Input, InputRun, Request, Scan, Source};
use crate::store::Holding;

/// With more inputs than this, what was decoded of them for a merge is not kept for the next series.
const KEPT_SOURCES: usize = 64;

/// What is to be read of which inputs.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) table: Arc<TableCore>,
    pub(super) inputs: Arc<[Input]>,
    pub(super) fields: Arc<[Field]>,
    pub(super) policy: DuplicatePolicy,
    /// The series wanted, ascending; `None`: every one.
    pub(super) wanted: Option<Arc<[SeriesId]>>,
    pub(super) cancellation: Cancellation,
}

impl Wish {
    /// A batch for what is read.
    pub(super) fn batch(&self) -> RowBatch {
        RowBatch::new(self.table.clone(), self.fields.clone())
    }
}

/// Goes through inputs by (series, time).
#[derive(Debug)]
pub(super) struct BySeries {
    steps: Steps,
    reader: Reader,
    /// Not yet read to its end.
    step: Option<Step>,
}

impl BySeries {
    pub(super) fn new(wish: Wish) -> Self {
        Self {
            steps: Steps::new(&wish),
            reader: Reader::new(wish),
            step: None,
        }
    }

    /// Appends rows until the batch has `target` of them, or a few more, or there are none.
    pub(super) fn fill(
        &mut self,
        batch: &mut RowBatch,
        target: Enough,
        profile: &mut Profile,
    ) -> Result<()> {
        while !batch.is_full(target) {
            let step = match &mut self.step {
                Some(step) => step,
                none => match self.steps.next()? {
                    Some(step) => none.insert(step),
                    None => return Ok(()),
                },
            };
            if self.reader.read(step, batch, target, profile)? {
                self.step = None;
            }
        }
        Ok(())
    }
}

/// Rows of one series that are read in one way.
#[derive(Debug)]
pub(super) struct Step {
    series: SeriesId,
    what: What,
}

#[derive(Debug)]
enum What {
    /// What is left of rows of one input.
    Part(Part),
    /// All rows of the series, merged; the merge may have begun.
    Merge { parts: Vec<Part>, begun: bool },
}

impl Step {
    /// About how many rows are to be looked at.
    pub(super) fn rows(&self) -> u64 {
        match &self.what {
            What::Part(part) => part.rows.end - part.rows.start,
            What::Merge { parts, .. } => parts.iter().map(|p| p.rows.end - p.rows.start).sum(),
        }
    }

    /// Leaves about the first `rows` rows in this step and gives one with the others, if there are
    /// any and they can be read by themselves. They start with a row that is a multiple of `unit`.
    pub(super) fn split(&mut self, rows: u64, unit: u64) -> Option<Self> {
        let What::Part(part) = &mut self.what else {
            return None;
        };
        let at = (part.rows.start + rows).next_multiple_of(unit);
        if at >= part.rows.end {
            return None;
        }
        let mut rest = part.clone();
        (part.rows.end, rest.rows.start) = (at, at);
        Some(Self {
            series: self.series,
            what: What::Part(rest),
        })
    }
}

/// Says what is to be read, by (series, time).
#[derive(Debug)]
pub(super) struct Steps {
    inputs: Arc<[Input]>,
    cancellation: Cancellation,
    walk: Walk,
    series: SeriesId,
    /// Of the series, still to be read, the earliest last.
    parts: Vec<Part>,
}

impl Steps {
    pub(super) fn new(wish: &Wish) -> Self {
        let inputs = wish.inputs.clone();
        Self {
            walk: Walk::new(&inputs, 0..inputs.len(), wish.wanted.clone()),
            inputs,
            cancellation: wish.cancellation.clone(),
            series: SeriesId::default(),
            parts: Vec::new(),
        }
    }

    /// The next step; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Step>> {
        self.cancellation.check()?;
        loop {
            if let Some(part) = self.parts.pop() {
                return Ok(Some(Step {
                    series: self.series,
                    what: What::Part(part),
                }));
            }
            let Some(series) = self.walk.next(&mut self.parts)? else {
                return Ok(None);
            };
            self.series = series;
            let deletes = |p: &Part| has_deletes(&self.inputs[p.input], series, &p.times);
            if interleave(&mut self.parts) || self.parts.iter().any(deletes) {
                let what = What::Merge {
                    parts: std::mem::take(&mut self.parts),
                    begun: false,
                };
                return Ok(Some(Step { series, what }));
            }
            self.parts.reverse();
        }
    }
}

/// Reads steps, which come in their order, though some may be left out.
#[derive(Debug)]
pub(super) struct Reader {
    wish: Wish,
    readers: Readers,
    /// Merges; only until the end of a series where there are many inputs.
    scan: Option<Scan>,
    /// Of the blocks of both.
    holding: Holding,
}

impl Reader {
    pub(super) fn new(wish: Wish) -> Self {
        let holding = Holding::default();
        Self {
            readers: Readers::new(wish.inputs.len(), wish.fields.clone(), &holding),
            wish,
            scan: None,
            holding,
        }
    }

    /// Appends rows of a step until the batch has `target` of them, or a few more; `true` at the
    /// end of the step.
    pub(super) fn read(
        &mut self,
        step: &mut Step,
        batch: &mut RowBatch,
        target: Enough,
        profile: &mut Profile,
    ) -> Result<bool> {
        self.wish.cancellation.check()?;
        let series = step.series;
        match &mut step.what {
            What::Part(part) => {
                self.read_part(part, batch, target, profile)?;
                batch.close_run(series);
                Ok(part.rows.is_empty())
            }
            What::Merge { parts, begun } => {
                let scan = self.scan();
                if !std::mem::replace(begun, true) {
                    let rows = |part: &Part| (part.input, part.rows.clone(), part.times.start);
                    scan.go_to(series, parts.iter().map(rows));
                }
                while !batch.is_full(target) {
                    let Some(rows) = scan.next_of_series()? else {
                        if self.wish.inputs.len() > KEPT_SOURCES {
                            self.scan = None;
                        }
                        return Ok(true);
                    };
                    profile.rows_merged += rows.len() as u64;
                    append(batch, &rows);
                }
                Ok(false)
            }
        }
    }

    fn scan(&mut self) -> &mut Scan {
        let wish = &self.wish;
        self.scan.get_or_insert_with(|| {
            let mut ascending = wish.fields.to_vec();
            ascending.sort_by_key(|f| f.id);
            let request = Request {
                fields: ascending.into(),
                range: tidestone_format::TimeRange::ALL,
                series: None,
                at_once: AtOnce::default(),
            };
            let source = |input| Source::new(input, &self.holding);
            let sources = wish.inputs.iter().map(source).collect();
            Scan::new(sources, wish.policy, request)
        })
    }

    /// Appends rows of a part, and moves its start behind what was looked at.
    fn read_part(
        &mut self,
        part: &mut Part,
        batch: &mut RowBatch,
        target: Enough,
        profile: &mut Profile,
    ) -> Result<()> {
        let input = &self.wish.inputs[part.input];
        match &input.run {
            InputRun::Chunk(rows) => {
                let number = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
                let (start, end) = (number(part.rows.start), number(part.rows.end));
                let times = &rows.times[start..end];
                let from = start + times.partition_point(|t| *t < input.range.start);
                let last = start + times.partition_point(|t| *t <= input.range.end);
                let room = target.rows.saturating_sub(batch.len());
                let to = last.min(from.saturating_add(room));
                part.rows = to as u64..last.max(to) as u64;
                append_columns(batch, rows, from, to.max(from));
            }
            InputRun::Segment(segment) => {
                let reader = self.readers.of(part.input, segment)?;
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
