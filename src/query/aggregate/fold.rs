//! The state of one field in every slot, and how values get into it.

use tidestone_format::codec::stats::VectorStats;
use tidestone_format::column::Column;
use tidestone_format::{FieldType, SeriesId, TimeRange, Timestamp};

use super::numbers::Numbers;
use super::slots::Span;
use super::texts::Texts;

/// Consecutive rows of a block that belong to one slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) slot: usize,
    pub(super) series: SeriesId,
}

/// What is kept of a field besides the count.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wants {
    pub(super) sum: bool,
    pub(super) extremes: bool,
    pub(super) first: bool,
    pub(super) last: bool,
}

/// Rows of a block, to be folded: row `i` of runs and times is row `from + i` of the column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) runs: &'a [Run],
    pub(super) times: &'a [Timestamp],
    pub(super) column: &'a Column,
    pub(super) from: usize,
    /// Rows counted so far, without those of the block.
    pub(super) rows: &'a [u64],
}

/// A whole vector, of one slot, to be taken from its statistics.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector<'a> {
    pub(super) stats: &'a VectorStats,
    pub(super) slot: usize,
    pub(super) times: TimeRange,
    /// The series of all its rows, if first and last values are wanted.
    pub(super) series: SeriesId,
    /// Rows counted so far, without those of the vector.
    pub(super) rows: &'a [u64],
}

/// The state of one field.
#[derive(Debug)]
pub(super) enum FieldState {
    F64(Numbers<f64>),
    I64(Numbers<i64>),
    U64(Numbers<u64>),
    Bool(Numbers<bool>),
    String(Texts),
}

/// Does the same to the state of any type.
macro_rules! each {
    ($self:expr, $state:ident => $do:expr) => {
        match $self {
            FieldState::F64($state) => $do,
            FieldState::I64($state) => $do,
            FieldState::U64($state) => $do,
            FieldState::Bool($state) => $do,
            FieldState::String($state) => $do,
        }
    };
}

impl FieldState {
    pub(super) fn new(field_type: FieldType, wants: Wants) -> Self {
        match field_type {
            FieldType::F64 => Self::F64(Numbers::new(wants)),
            FieldType::I64 => Self::I64(Numbers::new(wants)),
            FieldType::U64 => Self::U64(Numbers::new(wants)),
            FieldType::Bool => Self::Bool(Numbers::new(wants)),
            FieldType::String => Self::String(Texts::new(wants)),
        }
    }

    /// Makes room for `slots` slots.
    pub(super) fn grow(&mut self, slots: usize) {
        each!(self, state => state.grow(slots));
    }

    /// Forgets all slots and keeps the memory.
    pub(super) fn clear(&mut self) {
        each!(self, state => state.clear());
    }

    /// Folds rows.
    pub(super) fn fold(&mut self, block: Block<'_>) {
        each!(self, state => state.fold(block));
    }

    /// Takes note of rows that lack the field; `rows` as in [`Block`].
    pub(super) fn lack(&mut self, rows: &[u64]) {
        each!(self, state => drop(state.counts.apart(rows)));
    }

    /// Whether [`FieldState::take`] can answer for a vector with these statistics. `alone`: it is
    /// of one series.
    pub(super) fn answered_by(&self, stats: &VectorStats, alone: bool) -> bool {
        if stats.values() == 0 {
            return true;
        }
        // Whose a first or last value is, and when it was, statistics say only where every row has
        // one. Of strings they say neither.
        let told = alone && stats.nulls == 0 && !matches!(self, Self::String(_));
        told || each!(self, state => !state.edges.any())
    }

    /// Takes a whole vector from its statistics.
    pub(super) fn take(&mut self, vector: Vector<'_>) {
        each!(self, state => state.take(vector));
    }

    /// Takes in the state of another unit; `spans` say which slots of this its slots are, `rows`
    /// and `theirs` how many rows either had.
    pub(super) fn combine(&mut self, spans: &[Span], other: &Self, rows: &[u64], theirs: &[u64]) {
        match (self, other) {
            (Self::F64(state), Self::F64(other)) => state.combine(spans, other, rows, theirs),
            (Self::I64(state), Self::I64(other)) => state.combine(spans, other, rows, theirs),
            (Self::U64(state), Self::U64(other)) => state.combine(spans, other, rows, theirs),
            (Self::Bool(state), Self::Bool(other)) => state.combine(spans, other, rows, theirs),
            (Self::String(state), Self::String(other)) => {
                state.combine(spans, other, rows, theirs);
            }
            // A field has one type for ever.
            _ => {}
        }
    }
}
