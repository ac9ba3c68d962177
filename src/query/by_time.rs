//! Rows by (time, series).
//!
//! The range is cut into windows of about as many rows as are wanted; each is read by series and
//! sorted. Memory is that of a window.

use std::cmp::Reverse;
use std::sync::Arc;

use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::{SeriesId, TimeRange};

use super::by_series::BySeries;
use super::plan::window::{cut, narrowed, skip_gap, span};
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
    /// How much longer windows are made than those rows should take: grows while they have few.
    stretch: u128,
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
            stretch: 1,
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
        let Some(left) = self
            .left
            .and_then(|left| skip_gap(&self.inputs, left, self.descending))
        else {
            return Ok(false);
        };
        let length = window_length(&self.inputs, left, self.descending, self.rows);
        let (window, rest) = cut(left, length.saturating_mul(self.stretch), self.descending);
        self.left = rest;
        self.given = 0;
        self.window = RowBatch::new(self.fields.clone());
        let mut rows = BySeries::new(
            narrowed(&self.inputs, window),
            self.fields.clone(),
            self.policy,
            self.wanted.clone(),
        );
        let mut unsorted = RowBatch::new(self.fields.clone());
        rows.fill(&mut unsorted, usize::MAX, profile)?;
        self.stretch = match unsorted.len() {
            few if few < self.rows / 4 => self.stretch.saturating_mul(2),
            many if many > self.rows => (self.stretch / 2).max(1),
            _ => self.stretch,
        };
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

/// Timestamps of a window at the one end of `left` that should have about `rows` rows, if those of
/// each input are spread evenly. Some input has rows there.
fn window_length(inputs: &[Input], left: TimeRange, descending: bool, rows: usize) -> u128 {
    let near = if descending { left.end } else { left.start };
    // Length of a window, were the input alone; together they have fewer times for as many rows.
    let lengths = inputs.iter().filter(|i| i.times.contains(near)).map(|i| {
        let of_input = match &i.run {
            InputRun::Segment(segment) => segment.entry.rows,
            InputRun::Chunk(rows) => rows.len() as u64,
        };
        let length = u128::from(i.times.end.abs_diff(i.times.start)) + 1;
        (length * rows as u128 / u128::from(of_input.max(1))).max(1)
    });
    let lengths: Vec<u128> = lengths.collect();
    let shortest = lengths.iter().copied().min().unwrap_or(1);
    // At least one, and at most as many as there are inputs, share the shortest one.
    let share: u128 = lengths.iter().map(|l| shortest * 1024 / l).sum();
    (shortest * 1024 / share.max(1)).max(1)
}
