//! The state of a field of numbers.

use tidestone_format::Timestamp;

use super::counts::Counts;
use super::edges::Edges;
use super::fold::{Block, Run, Vector, Wants};
use super::number::Number;
use super::slots::Span;

/// Numbers: one entry a slot in each part that is wanted, none in the others.
#[derive(Debug)]
pub(super) struct Numbers<T: Number> {
    wants: Wants,
    pub(super) counts: Counts,
    pub(super) sum: Vec<T::Sum>,
    pub(super) extremes: Vec<(T, T)>,
    pub(super) edges: Edges<T>,
    packed: Packed<T>,
}

/// The values of a block that are not null.
#[derive(Debug, Default)]
struct Packed<T> {
    runs: Vec<Run>,
    values: Vec<T>,
    times: Vec<Timestamp>,
}

impl<T: Number> Numbers<T> {
    pub(super) fn new(wants: Wants) -> Self {
        Self {
            wants,
            counts: Counts::default(),
            sum: Vec::new(),
            extremes: Vec::new(),
            edges: Edges::new(wants),
            packed: Packed::default(),
        }
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.counts.grow(slots);
        if self.wants.sum {
            self.sum.resize(slots, T::Sum::default());
        }
        if self.wants.extremes {
            self.extremes.resize(slots, T::NONE);
        }
        self.edges.grow(slots);
    }

    /// Forgets all slots and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.counts = Counts::default();
        self.sum.clear();
        self.extremes.clear();
        self.edges.clear();
    }

    pub(super) fn fold(&mut self, block: Block<'_>) {
        // A field has one type for ever.
        let Some(values) = T::of(&block.column.values) else {
            return;
        };
        let Block {
            runs, times, from, ..
        } = block;
        let values = &values[from..from + times.len()];
        let Some(valid) = &block.column.validity else {
            self.counts.add_rows(runs);
            return self.fold_values(runs, values, times);
        };
        let mut packed = std::mem::take(&mut self.packed);
        packed.fill(runs, values, times, |row| valid.get(from + row));
        self.counts.apart(block.rows);
        self.counts.add_rows(&packed.runs);
        self.fold_values(&packed.runs, &packed.values, &packed.times);
        self.packed = packed;
    }

    /// Folds values that are not null: one loop for each part that is wanted.
    fn fold_values(&mut self, runs: &[Run], values: &[T], times: &[Timestamp]) {
        if self.wants.sum {
            for run in runs {
                let sum = &mut self.sum[run.slot];
                *sum = T::add(*sum, T::sum(&values[run.start..run.end]));
            }
        }
        if self.wants.extremes {
            for run in runs {
                let extremes = &mut self.extremes[run.slot];
                *extremes = T::widen(*extremes, T::extremes(&values[run.start..run.end]));
            }
        }
        if self.wants.first {
            for run in runs {
                let at = (times[run.start], run.series);
                self.edges.first(run.slot, at, || values[run.start]);
            }
        }
        if self.wants.last {
            for run in runs {
                let at = (times[run.end - 1], run.series);
                self.edges.last(run.slot, at, || values[run.end - 1]);
            }
        }
    }

    pub(super) fn take(&mut self, vector: Vector<'_>) {
        let Vector { stats, slot, .. } = vector;
        if stats.nulls > 0 {
            self.counts.apart(vector.rows);
        }
        self.counts.add(slot, stats.values());
        let Some(of) = T::whole(stats).filter(|_| stats.values() > 0) else {
            return;
        };
        if self.wants.sum {
            self.sum[slot] = T::add(self.sum[slot], of.sum);
        }
        if self.wants.extremes && stats.numbers() > 0 {
            self.extremes[slot] = T::widen(self.extremes[slot], of.extremes);
        }
        if self.wants.first {
            let at = (vector.times.start, vector.series);
            self.edges.first(slot, at, || of.first);
        }
        if self.wants.last {
            let at = (vector.times.end, vector.series);
            self.edges.last(slot, at, || of.last);
        }
    }

    pub(super) fn combine(&mut self, spans: &[Span], other: &Self, rows: &[u64], theirs: &[u64]) {
        self.counts.combine(spans, &other.counts, rows, theirs);
        if self.wants.sum {
            pairwise(spans, &mut self.sum, &other.sum, T::add);
        }
        if self.wants.extremes {
            pairwise(spans, &mut self.extremes, &other.extremes, T::widen);
        }
        self.edges.combine(spans, &other.edges);
    }
}

/// Puts the entries of another unit's slots into those they belong to.
fn pairwise<S: Copy>(spans: &[Span], to: &mut [S], from: &[S], add: impl Fn(S, S) -> S) {
    for span in spans {
        let from = &from[span.from..span.from + span.len];
        for (to, from) in to[span.to..span.to + span.len].iter_mut().zip(from) {
            *to = add(*to, *from);
        }
    }
}

impl<T: Copy> Packed<T> {
    fn fill(
        &mut self,
        runs: &[Run],
        values: &[T],
        times: &[Timestamp],
        valid: impl Fn(usize) -> bool,
    ) {
        self.runs.clear();
        self.values.clear();
        self.times.clear();
        for run in runs {
            let start = self.values.len();
            for row in (run.start..run.end).filter(|row| valid(*row)) {
                self.values.push(values[row]);
                self.times.push(times[row]);
            }
            let end = self.values.len();
            if end > start {
                self.runs.push(Run { start, end, ..*run });
            }
        }
    }
}
