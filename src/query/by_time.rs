//! Rows by (time, series).
//!
//! The range is cut into windows of about as many rows as are wanted; each is read by series and
//! sorted. How long a window has to be is a guess, from how dense rows are on average; one that turns
//! out to have many more rows is read no further and cut shorter. So the memory is that of a window,
//! [`MOST_OF_PLANNED`] times as many rows as planned at most, wherever the rows lie.
//!
//! A window of one timestamp cannot be cut, and need not be sorted: its rows come by series. They are
//! passed on as they are read.

use std::cmp::Reverse;

use tidestone_format::{TimeRange, Timestamp};

use super::batch::Enough;
use super::by_series::{BySeries, Wish};
use super::plan::window::{cut, narrowed, skip_gap, span};
use super::{Order, Profile, RowBatch};
use crate::error::Result;
use crate::rows::TEXT_AT_ONCE;
use crate::scan::{Input, InputRun};

/// Rows of a window, at least and at most, about.
const WINDOW_ROWS: (usize, usize) = (4_096, 262_144);

/// A window has at most this many times the rows it should have (and those of a vector or slice
/// that was begun).
pub(super) const MOST_OF_PLANNED: usize = 2;

/// Bytes of strings at which a window is cut shorter. More than a batch has: each window decodes the
/// vectors it touches, and vectors of long strings are touched by many windows.
const WINDOW_TEXT: usize = 8 * TEXT_AT_ONCE;

/// Goes through inputs by time.
#[derive(Debug)]
pub(super) struct ByTime {
    wish: Wish,
    descending: bool,
    /// What is still to be read.
    left: Option<TimeRange>,
    /// Rows a window should have.
    rows: usize,
    /// How much longer windows are made than those rows should take, as a power of two: grows while
    /// they have few, and falls where they have many.
    stretch: i32,
    /// The rows of a window of one timestamp, being read.
    moment: Option<BySeries>,
    /// A window, sorted, and how much of it was given.
    window: RowBatch,
    given: usize,
}

impl ByTime {
    pub(super) fn new(wish: Wish, order: Order, limit: Option<usize>) -> Self {
        let (least, most) = WINDOW_ROWS;
        Self {
            left: span(&wish.inputs),
            window: wish.batch(),
            wish,
            descending: order == Order::TimeDescending,
            rows: limit.unwrap_or(most).clamp(least, most),
            stretch: 0,
            moment: None,
            given: 0,
        }
    }

    /// Appends rows until the batch has `target` of them or there are none.
    pub(super) fn fill(
        &mut self,
        batch: &mut RowBatch,
        target: Enough,
        profile: &mut Profile,
    ) -> Result<()> {
        while !batch.is_full(target) {
            if self.given < self.window.len() {
                let to = self
                    .window
                    .len()
                    .min(self.given + target.rows - batch.len());
                batch.extend_from(&self.window, self.given..to);
                self.given = to;
            } else if let Some(rows) = &mut self.moment {
                rows.fill(batch, target, profile)?;
                if !batch.is_full(target) {
                    self.moment = None;
                }
            } else if !self.next_window(profile)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the next window; `false` if there is none.
    fn next_window(&mut self, profile: &mut Profile) -> Result<bool> {
        let Some(left) = self
            .left
            .and_then(|left| skip_gap(&self.wish.inputs, left, self.descending))
        else {
            return Ok(false);
        };
        self.given = 0;
        self.window.clear();
        let planned = window_length(&self.wish.inputs, left, self.descending, self.rows);
        let most = Enough {
            rows: MOST_OF_PLANNED * self.rows,
            text: WINDOW_TEXT,
        };
        let mut length = stretched(planned, self.stretch);
        let mut shortened = false;
        let mut unsorted = self.wish.batch();
        loop {
            let (window, rest) = cut(left, length, self.descending);
            self.left = rest;
            let mut rows = self.rows_of(window);
            if window.start == window.end {
                self.moment = Some(rows);
                return Ok(true);
            }
            rows.fill(&mut unsorted, most, profile)?;
            profile.most_rows_sorted = profile.most_rows_sorted.max(unsorted.len() as u64);
            if !unsorted.is_full(most) {
                break;
            }
            length = shorter(window, &mut unsorted.times, self.descending);
            unsorted.clear();
            shortened = true;
        }
        let text = unsorted.text_len() / (WINDOW_TEXT / self.rows);
        match unsorted.len().max(text) {
            // The next window may lie behind what made this one short.
            few if few < self.rows / 4 => self.stretch += i32::from(!shortened),
            _ if shortened => self.stretch = stretch_of(planned, length, self.stretch),
            many if many > self.rows => self.stretch -= 1,
            _ => {}
        }
        self.sort(&unsorted);
        Ok(true)
    }

    /// The rows of a window, by series.
    fn rows_of(&self, window: TimeRange) -> BySeries {
        BySeries::new(Wish {
            inputs: narrowed(&self.wish.inputs, window).into(),
            ..self.wish.clone()
        })
    }

    /// Makes rows that are sorted by series the window. Within a series and a time, they stay as they
    /// are.
    fn sort(&mut self, unsorted: &RowBatch) {
        let times = unsorted.times();
        let mut order: Vec<usize> = (0..times.len()).collect();
        if self.descending {
            order.sort_by_key(|&row| Reverse(times[row]));
        } else {
            order.sort_by_key(|&row| times[row]);
        }
        self.window.pick(unsorted, &order);
    }
}

/// `planned`, times two to the power of `stretch`.
fn stretched(planned: u128, stretch: i32) -> u128 {
    let power = stretch.unsigned_abs().min(127);
    if stretch >= 0 {
        planned.saturating_mul(1 << power)
    } else {
        (planned >> power).max(1)
    }
}

/// The stretch, `from` at most, that makes `planned` no longer than `length`.
fn stretch_of(planned: u128, length: u128, from: i32) -> i32 {
    let mut stretch = from;
    while stretched(planned, stretch) > length.max(1) {
        stretch -= 1;
    }
    stretch
}

/// The length of a window to try instead of `window`, shorter than it: `times`, of rows that were read
/// of it, say where its rows lie.
fn shorter(window: TimeRange, times: &mut [Timestamp], descending: bool) -> u128 {
    let at = if descending {
        times.len() - 1 - times.len() / 4
    } else {
        times.len() / 4
    };
    let (_, quarter, _) = times.select_nth_unstable(at);
    let length = if descending {
        quarter.abs_diff(window.end)
    } else {
        quarter.abs_diff(window.start)
    };
    let whole = window.end.abs_diff(window.start);
    // Both count timestamps but one.
    u128::from(length.min(whole - 1)) + 1
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
