//! The state of one field in every slot, and how values get into it.

use tidestone_format::codec::stats::{ValueStats, VectorStats};
use tidestone_format::column::{Bitmap, Column, Strings, Values};
use tidestone_format::{FieldType, SeriesId, TimeRange, Timestamp};

use super::edges::Edges;
use super::number::Number;

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

/// The state of one field.
#[derive(Debug)]
pub(super) enum FieldState {
    F64(Numbers<f64>),
    I64(Numbers<i64>),
    U64(Numbers<u64>),
    Bool(Numbers<bool>),
    String(Texts),
}

/// Numbers: one entry a slot in each part that is wanted, none in the others.
#[derive(Debug)]
pub(super) struct Numbers<T: Number> {
    wants: Wants,
    pub(super) count: Vec<u64>,
    pub(super) sum: Vec<T::Sum>,
    pub(super) extremes: Vec<(T, T)>,
    pub(super) edges: Edges<T>,
    packed: Packed<T>,
}

/// Strings, of which there is neither sum nor order.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) count: Vec<u64>,
    pub(super) edges: Edges<Box<str>>,
}

impl<T: Number> Numbers<T> {
    fn new(wants: Wants) -> Self {
        Self {
            wants,
            count: Vec::new(),
            sum: Vec::new(),
            extremes: Vec::new(),
            edges: Edges::new(wants),
            packed: Packed::default(),
        }
    }

    fn grow(&mut self, slots: usize) {
        self.count.resize(slots, 0);
        if self.wants.sum {
            self.sum.resize(slots, T::Sum::default());
        }
        if self.wants.extremes {
            self.extremes.resize(slots, T::NONE);
        }
        self.edges.grow(slots);
    }

    /// Folds values that are not null: one loop for each part that is wanted.
    fn fold(&mut self, runs: &[Run], values: &[T], times: &[Timestamp]) {
        for run in runs {
            self.count[run.slot] += (run.end - run.start) as u64;
        }
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

    fn fold_valid(
        &mut self,
        runs: &[Run],
        values: &[T],
        times: &[Timestamp],
        valid: Option<(&Bitmap, usize)>,
    ) {
        let Some((bits, from)) = valid else {
            return self.fold(runs, values, times);
        };
        let mut packed = std::mem::take(&mut self.packed);
        packed.fill(runs, values, times, |row| bits.get(from + row));
        self.fold(&packed.runs, &packed.values, &packed.times);
        self.packed = packed;
    }

    fn take(&mut self, stats: &VectorStats, of: Whole<'_, T>, slot: usize) {
        self.count[slot] += stats.values();
        if stats.values() == 0 {
            return;
        }
        if self.wants.sum {
            self.sum[slot] = T::add(self.sum[slot], of.sum);
        }
        if self.wants.extremes && stats.numbers() > 0 {
            self.extremes[slot] = T::widen(self.extremes[slot], of.extremes);
        }
        if self.wants.first {
            let at = (of.times.start, of.series);
            self.edges.first(slot, at, || *of.first);
        }
        if self.wants.last {
            let at = (of.times.end, of.series);
            self.edges.last(slot, at, || *of.last);
        }
    }

    fn combine(&mut self, slots: &[usize], other: &Self) {
        for (count, &slot) in other.count.iter().zip(slots) {
            self.count[slot] += count;
        }
        for (sum, &slot) in other.sum.iter().zip(slots) {
            self.sum[slot] = T::add(self.sum[slot], *sum);
        }
        for (extremes, &slot) in other.extremes.iter().zip(slots) {
            self.extremes[slot] = T::widen(self.extremes[slot], *extremes);
        }
        self.edges.combine(slots, &other.edges);
    }
}

/// What the statistics say of a vector of one bucket and group.
struct Whole<'a, T: Number> {
    sum: T::Sum,
    extremes: (T, T),
    first: &'a T,
    last: &'a T,
    times: TimeRange,
    series: SeriesId,
}

/// The values of a block that are not null.
#[derive(Debug, Default)]
struct Packed<T> {
    runs: Vec<Run>,
    values: Vec<T>,
    times: Vec<Timestamp>,
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

impl Texts {
    fn fold(
        &mut self,
        runs: &[Run],
        values: &Strings,
        from: usize,
        times: &[Timestamp],
        valid: impl Fn(usize) -> bool,
    ) {
        for run in runs {
            let rows = || (run.start..run.end).filter(|row| valid(*row));
            self.count[run.slot] += rows().count() as u64;
            if self.edges.wants.first
                && let Some(row) = rows().next()
            {
                let at = (times[row], run.series);
                self.edges
                    .first(run.slot, at, || values.get(from + row).into());
            }
            if self.edges.wants.last
                && let Some(row) = rows().next_back()
            {
                let at = (times[row], run.series);
                self.edges
                    .last(run.slot, at, || values.get(from + row).into());
            }
        }
    }
}

impl FieldState {
    pub(super) fn new(field_type: FieldType, wants: Wants) -> Self {
        match field_type {
            FieldType::F64 => Self::F64(Numbers::new(wants)),
            FieldType::I64 => Self::I64(Numbers::new(wants)),
            FieldType::U64 => Self::U64(Numbers::new(wants)),
            FieldType::Bool => Self::Bool(Numbers::new(wants)),
            FieldType::String => Self::String(Texts {
                count: Vec::new(),
                edges: Edges::new(wants),
            }),
        }
    }

    /// Makes room for `slots` slots.
    pub(super) fn grow(&mut self, slots: usize) {
        match self {
            Self::F64(state) => state.grow(slots),
            Self::I64(state) => state.grow(slots),
            Self::U64(state) => state.grow(slots),
            Self::Bool(state) => state.grow(slots),
            Self::String(state) => {
                state.count.resize(slots, 0);
                state.edges.grow(slots);
            }
        }
    }

    /// Folds rows of a column: row `i` of runs and times is row `from + i` of it.
    pub(super) fn fold(&mut self, runs: &[Run], column: &Column, from: usize, times: &[Timestamp]) {
        let valid = column.validity.as_ref().map(|bits| (bits, from));
        let to = from + times.len();
        match (self, &column.values) {
            (Self::F64(state), Values::F64(v)) => {
                state.fold_valid(runs, &v[from..to], times, valid);
            }
            (Self::I64(state), Values::I64(v)) => {
                state.fold_valid(runs, &v[from..to], times, valid);
            }
            (Self::U64(state), Values::U64(v)) => {
                state.fold_valid(runs, &v[from..to], times, valid);
            }
            (Self::Bool(state), Values::Bool(v)) => {
                state.fold_valid(runs, &v[from..to], times, valid);
            }
            (Self::String(state), Values::String(v)) => {
                state.fold(runs, v, from, times, |row| column.is_valid(from + row));
            }
            // A field has one type for ever.
            _ => {}
        }
    }

    /// Whether [`FieldState::take`] can answer for a vector with these statistics. `alone`: it is
    /// of one series.
    pub(super) fn answered_by(&self, stats: &VectorStats, alone: bool) -> bool {
        // Whose a first or last value is, and when it was, statistics say only where every row has
        // one.
        let edges = stats.values() == 0 || (alone && stats.nulls == 0);
        match self {
            Self::F64(state) => edges || !state.edges.any(),
            Self::I64(state) => edges || !state.edges.any(),
            Self::U64(state) => edges || !state.edges.any(),
            Self::Bool(state) => edges || !state.edges.any(),
            Self::String(state) => stats.values() == 0 || !state.edges.any(),
        }
    }

    /// Takes a whole vector from its statistics.
    pub(super) fn take(
        &mut self,
        stats: &VectorStats,
        slot: usize,
        times: TimeRange,
        series: SeriesId,
    ) {
        macro_rules! whole {
            ($state:expr, $sum:expr, $extremes:expr, $first:expr, $last:expr) => {{
                let of = Whole {
                    sum: $sum,
                    extremes: $extremes,
                    first: $first,
                    last: $last,
                    times,
                    series,
                };
                $state.take(stats, of, slot);
            }};
        }
        match (self, &stats.of) {
            (
                Self::F64(state),
                ValueStats::F64 {
                    min,
                    max,
                    first,
                    last,
                    sum,
                },
            ) => whole!(state, *sum, (*min, *max), first, last),
            (
                Self::I64(state),
                ValueStats::I64 {
                    min,
                    max,
                    first,
                    last,
                    sum,
                },
            ) => whole!(state, *sum, (*min, *max), first, last),
            (
                Self::U64(state),
                ValueStats::U64 {
                    min,
                    max,
                    first,
                    last,
                    sum,
                },
            ) => whole!(state, *sum, (*min, *max), first, last),
            (Self::Bool(state), ValueStats::Bool { trues, first, last }) => {
                let extremes = (*trues == stats.values(), *trues > 0);
                whole!(state, u128::from(*trues), extremes, first, last);
            }
            (Self::String(state), _) => state.count[slot] += stats.values(),
            _ => {}
        }
    }

    /// Takes in the state of another unit; `slots` says which slot of this each of its slots is.
    pub(super) fn combine(&mut self, slots: &[usize], other: &Self) {
        match (self, other) {
            (Self::F64(state), Self::F64(other)) => state.combine(slots, other),
            (Self::I64(state), Self::I64(other)) => state.combine(slots, other),
            (Self::U64(state), Self::U64(other)) => state.combine(slots, other),
            (Self::Bool(state), Self::Bool(other)) => state.combine(slots, other),
            (Self::String(state), Self::String(other)) => {
                for (count, &slot) in other.count.iter().zip(slots) {
                    state.count[slot] += count;
                }
                state.edges.combine(slots, &other.edges);
            }
            _ => {}
        }
    }
}
