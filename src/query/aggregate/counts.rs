//! How many values slots have.

use super::fold::Run;
use super::slots::Span;

/// How many values of a field each slot has. Most fields have one in every row: as long as that is
/// so, the numbers are those of the rows, and nothing is kept here.
#[derive(Debug, Default)]
pub(super) struct Counts(Option<Vec<u64>>);

impl Counts {
    /// Makes room for `slots` slots.
    pub(super) fn grow(&mut self, slots: usize) {
        if let Some(counts) = &mut self.0 {
            counts.resize(slots, 0);
        }
    }

    /// Counts rows that all have a value.
    pub(super) fn add_rows(&mut self, runs: &[Run]) {
        if let Some(counts) = &mut self.0 {
            for run in runs {
                counts[run.slot] += (run.end - run.start) as u64;
            }
        }
    }

    /// Counts values of one slot.
    pub(super) fn add(&mut self, slot: usize, values: u64) {
        if let Some(counts) = &mut self.0 {
            counts[slot] += values;
        }
    }

    /// The counts, to add to; from now on they are other than those of `rows`, which are the rows
    /// counted so far.
    pub(super) fn apart(&mut self, rows: &[u64]) -> &mut [u64] {
        self.0.get_or_insert_with(|| rows.to_vec())
    }

    /// The counts, where `rows` are those of the rows.
    pub(super) fn of<'a>(&'a self, rows: &'a [u64]) -> &'a [u64] {
        self.0.as_deref().unwrap_or(rows)
    }

    /// Whether every row had a value.
    pub(super) fn are_rows(&self) -> bool {
        self.0.is_none()
    }

    /// Adds the counts of another unit, which has `theirs` rows, to those of `rows`.
    pub(super) fn combine(&mut self, spans: &[Span], other: &Self, rows: &[u64], theirs: &[u64]) {
        if self.are_rows() && other.are_rows() {
            return;
        }
        add(spans, self.apart(rows), other.of(theirs));
    }
}

/// Adds numbers of another unit's slots.
pub(super) fn add(spans: &[Span], to: &mut [u64], from: &[u64]) {
    for span in spans {
        let from = &from[span.from..span.from + span.len];
        for (to, from) in to[span.to..span.to + span.len].iter_mut().zip(from) {
            *to += from;
        }
    }
}
