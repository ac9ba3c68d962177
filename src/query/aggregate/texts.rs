//! The state of a field of strings.

use tidestone_format::column::Values;

use super::counts::Counts;
use super::edges::Edges;
use super::fold::{Block, Vector, Wants};
use super::slots::Span;

/// Strings, of which there is neither sum nor order.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) counts: Counts,
    pub(super) edges: Edges<Box<str>>,
}

impl Texts {
    pub(super) fn new(wants: Wants) -> Self {
        Self {
            counts: Counts::default(),
            edges: Edges::new(wants),
        }
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.counts.grow(slots);
        self.edges.grow(slots);
    }

    /// Forgets all slots and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.counts = Counts::default();
        self.edges.clear();
    }

    pub(super) fn fold(&mut self, block: Block<'_>) {
        // A field has one type for ever.
        let Values::String(values) = &block.column.values else {
            return;
        };
        let Block {
            runs,
            times,
            column,
            from,
            ..
        } = block;
        if column.validity.is_some() {
            self.counts.apart(block.rows);
        }
        for run in runs {
            let mut rows = (run.start..run.end).filter(|row| column.is_valid(from + row));
            if !self.counts.are_rows() {
                self.counts.add(run.slot, rows.clone().count() as u64);
            }
            let text = |row: usize| values.get(from + row).into();
            if self.edges.wants.first
                && let Some(row) = rows.clone().next()
            {
                let at = (times[row], run.series);
                self.edges.first(run.slot, at, || text(row));
            }
            if self.edges.wants.last
                && let Some(row) = rows.next_back()
            {
                let at = (times[row], run.series);
                self.edges.last(run.slot, at, || text(row));
            }
        }
    }

    pub(super) fn take(&mut self, vector: Vector<'_>) {
        if vector.stats.nulls > 0 {
            self.counts.apart(vector.rows);
        }
        self.counts.add(vector.slot, vector.stats.values());
    }

    pub(super) fn combine(&mut self, spans: &[Span], other: &Self, rows: &[u64], theirs: &[u64]) {
        self.counts.combine(spans, &other.counts, rows, theirs);
        self.edges.combine(spans, &other.edges);
    }
}
