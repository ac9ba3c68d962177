//! Folding one unit of the work.

use std::sync::Arc;

use tidestone_format::column::Values;
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::version::VECTOR_ROWS;
use tidestone_format::{SeriesId, TimeRange, Timestamp};

use super::counts;
use super::fold::{Block, FieldState, Run, Vector};
use super::plan::Plan;
use super::slots::{Grid, GroupPlace, Met, Slots};
use super::vectors::{Part, SeriesAt, Vectors};
use crate::error::Result;
use crate::query::Profile;
use crate::query::plan::Unit;
use crate::rows::{AtOnce, Rows};
use crate::scan::{Input, InputRun, Request, Scan, Source};
use crate::store::{Holding, OpenSegment};

/// States of some of the work: of a unit in the slots it met, of all in either kind.
#[derive(Debug)]
pub(super) struct Partial<S> {
    pub(super) slots: S,
    /// Rows of each slot.
    pub(super) rows: Vec<u64>,
    pub(super) states: Vec<FieldState>,
    pub(super) profile: Profile,
}

impl<S> Partial<S> {
    fn new(plan: &Plan, slots: S) -> Self {
        Self {
            slots,
            rows: Vec::new(),
            states: plan.states(),
            profile: Profile::default(),
        }
    }

    /// Makes room for `slots` slots.
    fn grow(&mut self, slots: usize) {
        self.rows.resize(slots, 0);
        self.states.iter_mut().for_each(|state| state.grow(slots));
    }
}

impl Partial<Met> {
    /// Nothing; times of `span` are to be expected.
    pub(super) fn met(plan: &Plan, span: TimeRange) -> Self {
        let (first, last) = plan.buckets.numbers(span);
        Self::new(plan, Met::new(first, last))
    }

    /// Forgets everything and keeps the memory; times of `span` are to be expected now.
    fn reset(&mut self, plan: &Plan, span: TimeRange) {
        let (first, last) = plan.buckets.numbers(span);
        self.slots.reset(first, last);
        self.rows.clear();
        self.states.iter_mut().for_each(FieldState::clear);
        self.profile = Profile::default();
    }

    /// Makes room for the slots that have been added.
    fn grow_to_slots(&mut self) {
        self.grow(self.slots.len());
    }

    /// As states of all of the work.
    pub(super) fn whole(self) -> Partial<Slots> {
        Partial {
            slots: Slots::Met(self.slots),
            rows: self.rows,
            states: self.states,
            profile: self.profile,
        }
    }
}

impl Partial<Slots> {
    /// Nothing yet, in a grid.
    pub(super) fn grid(plan: &Plan, grid: Grid) -> Self {
        let mut partial = Self::new(plan, Slots::Grid(grid));
        partial.grow(partial.slots.len());
        partial
    }

    /// Takes in a unit.
    ///
    /// # Errors
    /// The unit has rows where a grid has none.
    pub(super) fn combine(&mut self, unit: &Partial<Met>) -> Result<()> {
        let spans = self.slots.place(&unit.slots)?;
        self.grow(self.slots.len());
        for (state, of_unit) in self.states.iter_mut().zip(&unit.states) {
            state.combine(&spans, of_unit, &self.rows, &unit.rows);
        }
        counts::add(&spans, &mut self.rows, &unit.rows);
        self.profile.add(&unit.profile);
        Ok(())
    }
}

/// Folds a unit, in the memory that one folded before has, if there is one.
pub(super) fn fold(
    plan: &Plan,
    inputs: &[Input],
    policy: DuplicatePolicy,
    unit: &Unit,
    before: Option<Partial<Met>>,
) -> Result<Partial<Met>> {
    match unit {
        Unit::Clean { input, runs } => {
            let input = &inputs[*input];
            let mut folder = Folder::new(plan, input.times, input.range, before);
            match &input.run {
                InputRun::Segment(segment) => folder.segment(&segment.open()?, runs)?,
                InputRun::Chunk(rows) => {
                    for run in runs {
                        let from = usize::try_from(run.start).unwrap_or(usize::MAX);
                        let to = usize::try_from(run.end).unwrap_or(usize::MAX);
                        folder.rows(rows, from, to);
                    }
                }
            }
            Ok(folder.partial)
        }
        Unit::Merged {
            inputs: numbers,
            series,
            ..
        } => {
            let of_unit = || numbers.iter().map(|&i| &inputs[i]);
            let span = of_unit().map(|i| i.times).reduce(|a, b| TimeRange {
                start: a.start.min(b.start),
                end: a.end.max(b.end),
            });
            let span = span.unwrap_or(TimeRange::ALL);
            let mut folder = Folder::new(plan, span, TimeRange::ALL, before);
            let fields: Vec<Field> = plan.fields.iter().map(|(f, _)| f.clone()).collect();
            let request = Request {
                fields: fields.into(),
                range: TimeRange::ALL,
                series: Some(series.clone()),
                at_once: AtOnce::default(),
            };
            let holding = Holding::default();
            let source = |input| Source::new(input, &holding);
            let sources = of_unit().map(source).collect();
            let mut scan = Scan::new(sources, policy, request);
            while let Some(rows) = scan.next()? {
                folder.partial.profile.rows_merged += rows.len() as u64;
                folder.rows(&rows, 0, rows.len());
            }
            Ok(folder.partial)
        }
    }
}

/// Folds rows into states.
struct Folder<'a> {
    plan: &'a Plan,
    range: TimeRange,
    partial: Partial<Met>,
    /// Runs of the block being folded.
    runs: Vec<Run>,
    /// Where the group of the last series was found.
    near: usize,
    group: Option<(u32, GroupPlace)>,
}

impl<'a> Folder<'a> {
    fn new(
        plan: &'a Plan,
        times: TimeRange,
        range: TimeRange,
        before: Option<Partial<Met>>,
    ) -> Self {
        let span = TimeRange {
            start: times.start.max(range.start),
            end: times.end.min(range.end).max(times.start.max(range.start)),
        };
        let partial = match before {
            Some(mut before) => {
                before.reset(plan, span);
                before
            }
            None => Partial::met(plan, span),
        };
        Self {
            plan,
            range,
            partial,
            runs: Vec::new(),
            near: 0,
            group: None,
        }
    }

    /// The group of a series.
    fn group(&mut self, series: SeriesId) -> GroupPlace {
        let group = self.plan.groups.of(series, &mut self.near);
        match self.group {
            Some((known, place)) if known == group => place,
            _ => {
                let place = self.partial.slots.group(group);
                self.group = Some((group, place));
                place
            }
        }
    }

    /// Adds the runs of the rows `from..to` of a block, which are of one series and wanted.
    fn push(&mut self, series: SeriesId, times: &[Timestamp], from: usize, to: usize) {
        if from >= to {
            return;
        }
        let place = self.group(series);
        let buckets = self.plan.buckets;
        let mut bucket = buckets.of(times[from]);
        let mut start = from;
        loop {
            let end = start + bucket.leading(&times[start..to]);
            self.runs.push(Run {
                start,
                end,
                slot: self.partial.slots.slot(place, bucket.number),
                series,
            });
            if end == to {
                return;
            }
            bucket = buckets.after(bucket, times[end]);
            start = end;
        }
    }

    /// Counts the rows of the block's runs, after they were folded.
    fn count(&mut self) {
        for run in &self.runs {
            let rows = (run.end - run.start) as u64;
            self.partial.rows[run.slot] += rows;
            self.partial.profile.rows += rows;
        }
    }

    /// Folds the rows `from..to` of a sorted run.
    fn rows(&mut self, rows: &Rows, from: usize, to: usize) {
        let mut start = from;
        while start < to {
            let end = to.min(start + VECTOR_ROWS);
            let times = &rows.times[start..end];
            self.runs.clear();
            let mut at = 0;
            for same in rows.series[start..end].chunk_by(|a, b| a == b) {
                let (first, last) = (at, at + same.len());
                let of_series = &times[first..last];
                let low = first + of_series.partition_point(|t| *t < self.range.start);
                let high = first + of_series.partition_point(|t| *t <= self.range.end);
                self.push(same[0], times, low, high.max(low));
                at = last;
            }
            self.partial.grow_to_slots();
            for (state, (field, _)) in self.partial.states.iter_mut().zip(&self.plan.fields) {
                match rows.column(field.id) {
                    Some(column) => state.fold(Block {
                        runs: &self.runs,
                        times,
                        column,
                        from: start,
                        rows: &self.partial.rows,
                    }),
                    None => state.lack(&self.partial.rows),
                }
            }
            self.count();
            start = end;
        }
    }

    /// Folds runs of rows of a segment, vector by vector.
    fn segment(&mut self, open: &Arc<OpenSegment>, runs: &[std::ops::Range<u64>]) -> Result<()> {
        let mut vectors = Vectors::new(open, self.plan)?;
        let mut parts = Vec::new();
        for run in runs {
            let mut series = SeriesAt::find(open, run.start)?;
            let mut row = run.start;
            while row < run.end {
                let vector = row / VECTOR_ROWS as u64;
                let first = vector * VECTOR_ROWS as u64;
                let end = run.end.min(first + VECTOR_ROWS as u64);
                series.parts(row, end, first, &mut parts)?;
                let full =
                    row == first && end == (first + VECTOR_ROWS as u64).min(open.root().rows);
                row = end;
                vectors.go_to(vector);
                self.vector(&mut vectors, &parts, full)?;
            }
        }
        Ok(())
    }

    /// Folds parts of a vector; `full`: all of it.
    fn vector(&mut self, vectors: &mut Vectors<'_>, parts: &[Part], full: bool) -> Result<()> {
        let columns = self.plan.fields.len() as u64 + 1;
        if !parts.iter().any(|p| p.times.overlaps(&self.range)) {
            self.partial.profile.vectors_skipped += columns;
            return Ok(());
        }
        if self.plan.statistics && full {
            let times = vectors.times()?;
            if !times.overlaps(&self.range) {
                self.partial.profile.vectors_skipped += columns;
                return Ok(());
            }
            if self.range.covers(&times) && self.take(vectors, parts, times)? {
                self.partial.profile.vectors_from_statistics += columns;
                return Ok(());
            }
        }
        vectors.decode(0, &mut self.partial.profile)?;
        let column = vectors.take_column(0);
        if let Values::I64(times) = &column.values {
            self.decoded(vectors, parts, times)?;
        }
        vectors.put_column(0, column);
        Ok(())
    }

    /// Folds parts of a vector whose times were decoded.
    fn decoded(
        &mut self,
        vectors: &mut Vectors<'_>,
        parts: &[Part],
        times: &[Timestamp],
    ) -> Result<()> {
        self.runs.clear();
        for part in parts {
            let (from, to) = if self.range.covers(&part.times) {
                (part.from, part.to)
            } else {
                let of_part = &times[part.from..part.to];
                let from = of_part.partition_point(|t| *t < self.range.start);
                let to = of_part.partition_point(|t| *t <= self.range.end);
                (part.from + from, part.from + to.max(from))
            };
            self.push(part.series, times, from, to);
        }
        if self.runs.is_empty() {
            self.partial.profile.vectors_skipped += self.plan.fields.len() as u64;
            return Ok(());
        }
        self.partial.grow_to_slots();
        for (at, state) in self.partial.states.iter_mut().enumerate() {
            if vectors.decode(at + 1, &mut self.partial.profile)? {
                state.fold(Block {
                    runs: &self.runs,
                    times,
                    column: vectors.column(at + 1),
                    from: 0,
                    rows: &self.partial.rows,
                });
            } else {
                state.lack(&self.partial.rows);
            }
        }
        self.count();
        Ok(())
    }

    /// Takes a whole vector from its statistics, if they say all there is to know.
    fn take(
        &mut self,
        vectors: &mut Vectors<'_>,
        parts: &[Part],
        times: TimeRange,
    ) -> Result<bool> {
        let bucket = self.plan.buckets.number(times.start);
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return Ok(false);
        };
        if bucket != self.plan.buckets.number(times.end) {
            return Ok(false);
        }
        let group = self.plan.groups.of(first.series, &mut self.near);
        let mut others = parts[1..].iter();
        if !others.all(|p| self.plan.groups.of(p.series, &mut self.near) == group) {
            return Ok(false);
        }
        let states = &self.partial.states;
        let alone = parts.len() == 1;
        for (at, state) in states.iter().enumerate() {
            let stats = vectors.stats(at)?;
            if stats.is_some_and(|stats| !state.answered_by(&stats, alone)) {
                return Ok(false);
            }
        }
        let place = self.group(first.series);
        let slot = self.partial.slots.slot(place, bucket);
        self.partial.grow_to_slots();
        let partial = &mut self.partial;
        for (at, state) in partial.states.iter_mut().enumerate() {
            match vectors.stats(at)? {
                Some(stats) => state.take(Vector {
                    stats: &stats,
                    slot,
                    times,
                    series: first.series,
                    rows: &partial.rows,
                }),
                None => state.lack(&partial.rows),
            }
        }
        let rows = (last.to - first.from) as u64;
        partial.rows[slot] += rows;
        partial.profile.rows += rows;
        Ok(true)
    }
}
