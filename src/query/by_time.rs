//! Rows by (time, series).
//!
//! The range is cut into windows of about as many rows as are wanted; each is read by series and
//! sorted. Memory is that of a window.

use std::cmp::Reverse;
use std::sync::Arc;

use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::{SeriesId, TimeRange, Timestamp};

use super::by_series::BySeries;
use super::{Order, Profile, RowBatch};
use crate::error::Result;
use crate::scan::{Input, InputRun};

/// Rows of a window, at least and at most, about.
const WINDOW_ROWS: (usize, usize) = (4_096, 262_144);

/// Goes through inputs by time.
#[derive(Debug)]
pub(super) struct ByTime {
    inputs: Vec<Input>,
    fields: Arc<[Field]>,
    policy: DuplicatePolicy,
    wanted: Option<Arc<[SeriesId]>>,
    descending: bool,
    /// What is still to be read.
    left: Option<TimeRange>,
    /// Rows a window should have.
    rows: usize,
    /// A window, sorted, and how much of it was given.
    window: RowBatch,
    given: usize,
}

impl ByTime {
    pub(super) fn new(
        inputs: Vec<Input>,
        fields: Arc<[Field]>,
        policy: DuplicatePolicy,
        wanted: Option<Arc<[SeriesId]>>,
        order: Order,
        limit: Option<usize>,
    ) -> Self {
        let (least, most) = WINDOW_ROWS;
        Self {
            left: span(&inputs),
            inputs,
            window: RowBatch::new(fields.clone()),
            fields,
            policy,
            wanted,
            descending: order == Order::TimeDescending,
            rows: limit.unwrap_or(most).clamp(least, most),
            given: 0,
        }
    }

    /// Appends rows until the batch has `target` of them or there are none.
    pub(super) fn fill(
        &mut self,
        batch: &mut RowBatch,
        target: usize,
        profile: &mut Profile,
    ) -> Result<()> {
        while batch.len() < target {
            if self.given < self.window.len() {
                let to = self.window.len().min(self.given + target - batch.len());
                batch.extend_from(&self.window, self.given..to);
                self.given = to;
            } else if !self.next_window(profile)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn next_window(&mut self, profile: &mut Profile) -> Result<bool> {
        let Some(left) = self.left else {
            return Ok(false);
        };
        let length = window_length(&self.inputs, left, self.descending, self.rows);
        let (window, rest) = cut(left, length, self.descending);
        self.left = rest;
        self.given = 0;
        self.window = RowBatch::new(self.fields.clone());
        let inputs = self.inputs.iter().filter_map(|input| {
            let range = intersection(input.range, window)?;
            input.times.overlaps(&range).then(|| Input {
                range,
                ..input.clone()
            })
        });
        let mut rows = BySeries::new(
            inputs.collect(),
            self.fields.clone(),
            self.policy,
            self.wanted.clone(),
        );
        let mut unsorted = RowBatch::new(self.fields.clone());
        rows.fill(&mut unsorted, usize::MAX, profile)?;
        // Within a series and a time, rows stay as they are.
        let times = unsorted.times();
        let mut order: Vec<usize> = (0..times.len()).collect();
        if self.descending {
            order.sort_by_key(|&row| Reverse(times[row]));
        } else {
            order.sort_by_key(|&row| times[row]);
        }
        self.window.pick(&unsorted, &order);
        Ok(true)
    }
}

/// The times that inputs may have and are wanted.
fn span(inputs: &[Input]) -> Option<TimeRange> {
    let spans = inputs.iter().filter_map(|i| intersection(i.range, i.times));
    spans.reduce(|a, b| TimeRange {
        start: a.start.min(b.start),
        end: a.end.max(b.end),
    })
}

fn intersection(a: TimeRange, b: TimeRange) -> Option<TimeRange> {
    let range = TimeRange {
        start: a.start.max(b.start),
        end: a.end.min(b.end),
    };
    (range.start <= range.end).then_some(range)
}

/// Timestamps of a window at the one end of `left` that should have about `rows` rows, if those of
/// each input are spread evenly.
fn window_length(inputs: &[Input], left: TimeRange, descending: bool, rows: usize) -> u128 {
    let length = |r: TimeRange| r.end.abs_diff(r.start);
    let near = if descending { left.end } else { left.start };
    // The density where the window starts; where there is nothing, of all.
    let density = |here: bool| -> f64 {
        let counted = inputs.iter().filter(|i| !here || i.times.contains(near));
        counted
            .map(|i| {
                let rows = match &i.run {
                    InputRun::Segment(open) => open.root().rows,
                    InputRun::Chunk(rows) => rows.len() as u64,
                };
                rows as f64 / (length(i.times) as f64 + 1.0)
            })
            .sum()
    };
    let here = density(true);
    let density = if here > 0.0 { here } else { density(false) };
    let wanted = (rows as f64 / density.max(f64::MIN_POSITIVE)).min(1.0e20);
    // Not negative, and bounded above.
    (wanted as u128).max(1)
}

/// A window at the one end of a range, and what is left of it.
fn cut(left: TimeRange, length: u128, descending: bool) -> (TimeRange, Option<TimeRange>) {
    let reach = i64::try_from(length - 1).unwrap_or(i64::MAX);
    let (window, rest): (TimeRange, (Option<Timestamp>, Option<Timestamp>)) = if descending {
        let start = left.end.saturating_sub(reach).max(left.start);
        let window = TimeRange {
            start,
            end: left.end,
        };
        (window, (Some(left.start), start.checked_sub(1)))
    } else {
        let end = left.start.saturating_add(reach).min(left.end);
        let window = TimeRange {
            start: left.start,
            end,
        };
        (window, (end.checked_add(1), Some(left.end)))
    };
    let rest = match rest {
        (Some(start), Some(end)) if start <= end => Some(TimeRange { start, end }),
        _ => None,
    };
    (window, rest)
}
