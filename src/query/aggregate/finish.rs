//! From states to columns.

use std::cmp::Reverse;

use tidestone_format::Timestamp;
use tidestone_format::column::{Bitmap, Column, Strings, Values};

use super::buckets::Buckets;
use super::edges::{Edge, Edges};
use super::fold::FieldState;
use super::number::Number;
use super::numbers::Numbers;
use super::plan::{Output, Plan};
use super::slots::{Grid, Slots};
use super::texts::Texts;
use super::unit::Partial;
use super::{Agg, AggregateResult};
use crate::error::{Error, Result};
use crate::query::{Order, Query};

/// The answer that states make.
pub(super) fn finish(
    query: &Query,
    plan: Plan,
    mut states: Partial<Slots>,
) -> Result<AggregateResult> {
    let (buckets, limit) = (plan.buckets, query.limit.unwrap_or(usize::MAX));
    let (chosen, group_of_row) = match &states.slots {
        Slots::Grid(grid) => of_grid(grid, &states.rows, query.order, limit),
        Slots::Met(met) => {
            let keys: Vec<(u32, i64)> = met.keys().collect();
            of_met(&keys, plan.groups.values.len(), query.order, limit)
        }
    };
    let mut columns = Vec::with_capacity(plan.outputs.len());
    for at in 0..plan.outputs.len() {
        columns.push(column(&plan, at, &mut states, &chosen)?);
    }
    // After the columns: the memory of the rows becomes that of the buckets.
    let rows = std::mem::take(&mut states.rows);
    let mut starts = match &states.slots {
        Slots::Grid(grid) => starts_of_grid(grid, rows, &chosen, buckets),
        Slots::Met(met) => {
            let starts: Vec<Timestamp> = met.keys().map(|(_, b)| buckets.times(b).start).collect();
            chosen.map(|slot| starts[slot])
        }
    };
    if query.every.is_none() {
        starts.fill(query.range.start);
    }
    Ok(AggregateResult {
        tags: query.group_by.clone(),
        group_of_row,
        buckets: starts,
        names: plan.outputs.iter().map(|o| o.name.clone()).collect(),
        columns,
        groups: plan.groups.values,
        profile: states.profile,
    })
}

/// The slots whose states the rows of an answer are, in its order.
enum Chosen {
    /// The first so many.
    First(usize),
    These(Vec<usize>),
}

impl Chosen {
    /// What `of` gives for each.
    fn map<T>(&self, of: impl Fn(usize) -> T) -> Vec<T> {
        match self {
            Self::First(count) => (0..*count).map(of).collect(),
            Self::These(slots) => slots.iter().map(|&slot| of(slot)).collect(),
        }
    }

    /// The chosen ones of `entries`, which are left empty where they need not be copied.
    fn take<T: Copy>(&self, entries: &mut Vec<T>) -> Vec<T> {
        match self {
            Self::First(count) => {
                let mut taken = std::mem::take(entries);
                taken.truncate(*count);
                taken
            }
            Self::These(slots) => slots.iter().map(|&slot| entries[slot]).collect(),
        }
    }

    fn all(&self, mut test: impl FnMut(usize) -> bool) -> bool {
        match self {
            Self::First(count) => (0..*count).all(test),
            Self::These(slots) => slots.iter().all(|&slot| test(slot)),
        }
    }
}

/// All slots, which have rows, by (group, bucket).
fn by_group(keys: &[(u32, i64)], groups: usize) -> Vec<usize> {
    let mut ends = vec![0; groups + 1];
    for (group, _) in keys {
        ends[*group as usize + 1] += 1;
    }
    for group in 0..groups {
        ends[group + 1] += ends[group];
    }
    let mut order = vec![0; keys.len()];
    let starts = ends.clone();
    for (slot, (group, _)) in keys.iter().enumerate() {
        let at = &mut ends[*group as usize];
        order[*at] = slot;
        *at += 1;
    }
    for group in starts.windows(2) {
        // Units come by time where they can: mostly this only looks.
        order[group[0]..group[1]].sort_by_key(|&slot| keys[slot].1);
    }
    order
}

/// The slots, which all have rows, in the order asked for, and their groups.
fn of_met(keys: &[(u32, i64)], groups: usize, order: Order, limit: usize) -> (Chosen, Vec<u32>) {
    let mut slots = by_group(keys, groups);
    match order {
        Order::SeriesTime => {}
        Order::Time => slots.sort_by_key(|&s| keys[s].1),
        Order::TimeDescending => slots.sort_by_key(|&s| Reverse(keys[s].1)),
    }
    slots.truncate(limit);
    let groups = slots.iter().map(|&s| keys[s].0).collect();
    (Chosen::These(slots), groups)
}

/// The slots of a grid that have rows, in the order asked for, and their groups.
fn of_grid(grid: &Grid, rows: &[u64], order: Order, limit: usize) -> (Chosen, Vec<u32>) {
    let groups = (0u32..).take(grid.groups);
    if order == Order::SeriesTime && rows.iter().all(|rows| *rows > 0) {
        let count = rows.len().min(limit);
        let mut of_rows = Vec::with_capacity(count);
        for group in groups {
            let end = count.min(of_rows.len() + grid.buckets);
            of_rows.resize(end, group);
        }
        return (Chosen::First(count), of_rows);
    }
    let (mut slots, mut of_rows) = (Vec::new(), Vec::new());
    let mut add = |group: u32, at: usize| {
        let slot = group as usize * grid.buckets + at;
        if rows[slot] > 0 && slots.len() < limit {
            slots.push(slot);
            of_rows.push(group);
        }
    };
    let add_bucket = |at: usize| groups.clone().for_each(|group| add(group, at));
    match order {
        Order::Time => (0..grid.buckets).for_each(add_bucket),
        Order::TimeDescending => (0..grid.buckets).rev().for_each(add_bucket),
        Order::SeriesTime => {
            groups.for_each(|group| (0..grid.buckets).for_each(|at| add(group, at)));
        }
    }
    (Chosen::These(slots), of_rows)
}

/// Where the buckets of the chosen slots of a grid start, in the memory of its rows.
fn starts_of_grid(
    grid: &Grid,
    mut rows: Vec<u64>,
    chosen: &Chosen,
    buckets: Buckets,
) -> Vec<Timestamp> {
    let start = |at: usize| {
        let number = grid.first.saturating_add_unsigned(at as u64);
        buckets.times(number).start.cast_unsigned()
    };
    let starts: Vec<u64> = (0..grid.buckets).map(start).collect();
    match chosen {
        Chosen::First(count) => {
            rows.truncate(*count);
            for of_group in rows.chunks_mut(grid.buckets.max(1)) {
                of_group.copy_from_slice(&starts[..of_group.len()]);
            }
        }
        Chosen::These(slots) => {
            rows.clear();
            rows.extend(slots.iter().map(|slot| starts[slot % grid.buckets]));
        }
    }
    rows.into_iter().map(u64::cast_signed).collect()
}

/// Column number `at` of the answer.
fn column(plan: &Plan, at: usize, states: &mut Partial<Slots>, chosen: &Chosen) -> Result<Column> {
    let Output { agg, field, .. } = plan.outputs[at];
    let Some(field) = field else {
        return Ok(whole(Values::U64(chosen.map(|slot| states.rows[slot]))));
    };
    let later = &plan.outputs[at + 1..];
    let of = Of {
        agg,
        rows: &states.rows,
        chosen,
        sums_are_done: !later
            .iter()
            .any(|o| o.field == Some(field) && o.agg.is_of_sum()),
    };
    let found = match &mut states.states[field] {
        FieldState::F64(state) => of.numbers(state),
        FieldState::I64(state) => of.numbers(state),
        FieldState::U64(state) => of.numbers(state),
        FieldState::Bool(state) => of.numbers(state),
        FieldState::String(state) => Ok(of.texts(state)),
    };
    found.map_err(|sum| {
        let field = &plan.fields[field].0;
        Error::invalid(format!(
            "the sum of field {:?}, {sum}, does not fit into {}; ask for a shorter span, or for the mean",
            field.name, field.field_type
        ))
    })
}

/// What is wanted of the state of a field.
struct Of<'a> {
    agg: Agg,
    rows: &'a [u64],
    chosen: &'a Chosen,
    /// Nobody wants the sums after this: their memory becomes the answer's.
    sums_are_done: bool,
}

impl Of<'_> {
    /// A column of a field of numbers; or a sum that does not fit.
    fn numbers<T: Number>(&self, state: &mut Numbers<T>) -> std::result::Result<Column, String> {
        let (chosen, counts) = (self.chosen, state.counts.of(self.rows));
        let mut sums = || match self.sums_are_done {
            true => chosen.take(&mut state.sum),
            false => chosen.map(|slot| state.sum[slot]),
        };
        Ok(match self.agg {
            Agg::Sum => {
                let sums = T::sums(sums()).map_err(|sum| sum.to_string())?;
                with_nulls(counts, chosen, sums)
            }
            Agg::Mean => {
                let means = match chosen {
                    Chosen::First(_) => T::means(sums(), counts.iter().copied()),
                    Chosen::These(slots) => T::means(sums(), slots.iter().map(|&s| counts[s])),
                };
                with_nulls(counts, chosen, Values::F64(means))
            }
            Agg::Min | Agg::Max => {
                let pick = |(min, max)| if self.agg == Agg::Min { min } else { max };
                let values = T::values(chosen.map(|slot| pick(state.extremes[slot])));
                // Of nothing but NaN there is no least value.
                valid_where(chosen, values, |slot| {
                    let (min, max) = state.extremes[slot];
                    counts[slot] > 0 && min <= max
                })
            }
            Agg::Count | Agg::First | Agg::Last => self.edge(counts, &state.edges, |edges| {
                T::values(chosen.map(|slot| edges[slot].value))
            }),
        })
    }

    /// A column of a field of strings.
    fn texts(&self, state: &Texts) -> Column {
        let counts = state.counts.of(self.rows);
        self.edge(counts, &state.edges, |edges| {
            let texts = self.chosen.map(|slot| &*edges[slot].value);
            Values::String(texts.into_iter().collect::<Strings>())
        })
    }

    /// First or last values; their count, if neither is asked for.
    fn edge<T>(
        &self,
        counts: &[u64],
        edges: &Edges<T>,
        values: impl Fn(&[Edge<T>]) -> Values,
    ) -> Column {
        match self.agg {
            Agg::First => with_nulls(counts, self.chosen, values(&edges.first)),
            Agg::Last => with_nulls(counts, self.chosen, values(&edges.last)),
            _ => whole(Values::U64(self.chosen.map(|slot| counts[slot]))),
        }
    }
}

fn whole(values: Values) -> Column {
    Column {
        values,
        validity: None,
    }
}

/// A column whose rows are null where nothing was counted.
fn with_nulls(counts: &[u64], chosen: &Chosen, values: Values) -> Column {
    valid_where(chosen, values, |slot| counts[slot] > 0)
}

fn valid_where(chosen: &Chosen, values: Values, valid: impl Fn(usize) -> bool) -> Column {
    if chosen.all(&valid) {
        return whole(values);
    }
    let mut bits = Bitmap::new();
    chosen.map(valid).into_iter().for_each(|bit| bits.push(bit));
    Column {
        values,
        validity: Some(bits),
    }
}
