//! From states to columns.

use std::cmp::Reverse;

use tidestone_format::column::{Bitmap, Column, Strings, Values};

use super::edges::Edges;
use super::fold::{FieldState, Numbers};
use super::number::Number;
use super::plan::{Output, Plan};
use super::unit::Partial;
use super::{Agg, AggregateResult};
use crate::error::{Error, Result};
use crate::query::{Order, Query};

/// The answer that states make.
pub(super) fn finish(query: &Query, plan: Plan, states: Partial) -> Result<AggregateResult> {
    let keys = &states.slots.keys;
    let mut order = by_group(keys, &states.rows, plan.groups.values.len());
    match query.order {
        Order::SeriesTime => {}
        Order::Time => order.sort_by_key(|&s| keys[s].1),
        Order::TimeDescending => order.sort_by_key(|&s| Reverse(keys[s].1)),
    }
    order.truncate(query.limit.unwrap_or(usize::MAX));
    let columns = plan
        .outputs
        .iter()
        .map(|output| column(output, &plan, &states, &order))
        .collect::<Result<_>>()?;
    let start = |slot: usize| match query.every {
        Some(_) => plan.buckets.times(keys[slot].1).start,
        None => query.range.start,
    };
    Ok(AggregateResult {
        tags: query.group_by.clone(),
        group_of_row: order.iter().map(|&s| keys[s].0).collect(),
        buckets: order.iter().map(|&s| start(s)).collect(),
        names: plan.outputs.iter().map(|o| o.name.clone()).collect(),
        columns,
        groups: plan.groups.values,
        profile: states.profile,
    })
}

/// The slots that have rows, by (group, bucket).
fn by_group(keys: &[(u32, i64)], rows: &[u64], groups: usize) -> Vec<usize> {
    let with_rows = || (0..keys.len()).filter(|&slot| rows[slot] > 0);
    let mut ends = vec![0; groups + 1];
    for slot in with_rows() {
        ends[keys[slot].0 as usize + 1] += 1;
    }
    for group in 0..groups {
        ends[group + 1] += ends[group];
    }
    let mut order = vec![0; ends[groups]];
    let starts = ends.clone();
    for slot in with_rows() {
        let at = &mut ends[keys[slot].0 as usize];
        order[*at] = slot;
        *at += 1;
    }
    for group in starts.windows(2) {
        // Units come by time where they can: mostly this only looks.
        order[group[0]..group[1]].sort_by_key(|&slot| keys[slot].1);
    }
    order
}

fn column(output: &Output, plan: &Plan, states: &Partial, order: &[usize]) -> Result<Column> {
    let Some(field) = output.field else {
        let rows = order.iter().map(|&s| states.rows[s]);
        return Ok(whole(Values::U64(rows.collect())));
    };
    let agg = output.agg;
    let state = &states.states[field];
    let too_large = |sum: String| {
        let field = &plan.fields[field].0;
        Error::invalid(format!(
            "the sum of field {:?}, {sum}, does not fit into {}; its mean can be had",
            field.name, field.field_type
        ))
    };
    Ok(match state {
        FieldState::F64(state) => match agg {
            Agg::Sum => nullable(&state.count, order, |s| state.sum[s], Values::F64),
            Agg::Min | Agg::Max => extremes(state, agg, order, Values::F64),
            Agg::Mean => mean(state, order, |sum| sum),
            _ => count_or_edge(&state.count, &state.edges, agg, order, |v| *v, Values::F64),
        },
        FieldState::I64(state) => match agg {
            Agg::Sum => {
                let sums = order.iter().map(|&s| {
                    i64::try_from(state.sum[s]).map_err(|_| too_large(state.sum[s].to_string()))
                });
                with_nulls(
                    &state.count,
                    order,
                    Values::I64(sums.collect::<Result<_>>()?),
                )
            }
            Agg::Min | Agg::Max => extremes(state, agg, order, Values::I64),
            Agg::Mean => mean(state, order, |sum| sum as f64),
            _ => count_or_edge(&state.count, &state.edges, agg, order, |v| *v, Values::I64),
        },
        FieldState::U64(state) => match agg {
            Agg::Sum => {
                let sums = order.iter().map(|&s| {
                    u64::try_from(state.sum[s]).map_err(|_| too_large(state.sum[s].to_string()))
                });
                with_nulls(
                    &state.count,
                    order,
                    Values::U64(sums.collect::<Result<_>>()?),
                )
            }
            Agg::Min | Agg::Max => extremes(state, agg, order, Values::U64),
            Agg::Mean => mean(state, order, |sum| sum as f64),
            _ => count_or_edge(&state.count, &state.edges, agg, order, |v| *v, Values::U64),
        },
        FieldState::Bool(state) => match agg {
            // There are fewer than 2^64 rows.
            Agg::Sum => {
                let trues = |s: usize| u64::try_from(state.sum[s]).unwrap_or(u64::MAX);
                nullable(&state.count, order, trues, Values::U64)
            }
            Agg::Min | Agg::Max => extremes(state, agg, order, Values::Bool),
            Agg::Mean => mean(state, order, |sum| sum as f64),
            _ => count_or_edge(&state.count, &state.edges, agg, order, |v| *v, Values::Bool),
        },
        FieldState::String(state) => {
            let text = |values: Vec<&str>| Values::String(values.into_iter().collect::<Strings>());
            count_or_edge(&state.count, &state.edges, agg, order, |v| &**v, text)
        }
    })
}

fn whole(values: Values) -> Column {
    Column {
        values,
        validity: None,
    }
}

/// A column whose rows are null where nothing was counted.
fn with_nulls(count: &[u64], order: &[usize], values: Values) -> Column {
    valid_where(order, values, |slot| count[slot] > 0)
}

fn valid_where(order: &[usize], values: Values, valid: impl Fn(usize) -> bool) -> Column {
    let mut bits = Bitmap::new();
    order.iter().for_each(|&slot| bits.push(valid(slot)));
    Column {
        values,
        validity: (bits.count_ones() < bits.len()).then_some(bits),
    }
}

fn nullable<T>(
    count: &[u64],
    order: &[usize],
    value: impl Fn(usize) -> T,
    values: impl FnOnce(Vec<T>) -> Values,
) -> Column {
    let of_rows = order.iter().map(|&slot| value(slot)).collect();
    with_nulls(count, order, values(of_rows))
}

fn extremes<T: Number + PartialOrd>(
    state: &Numbers<T>,
    agg: Agg,
    order: &[usize],
    values: impl FnOnce(Vec<T>) -> Values,
) -> Column {
    let pick = |(min, max)| if agg == Agg::Min { min } else { max };
    let of_rows = order.iter().map(|&s| pick(state.extremes[s])).collect();
    // Of nothing but NaN there is no least value.
    valid_where(order, values(of_rows), |slot| {
        let (min, max) = state.extremes[slot];
        state.count[slot] > 0 && min <= max
    })
}

fn mean<T: Number>(state: &Numbers<T>, order: &[usize], sum: impl Fn(T::Sum) -> f64) -> Column {
    let mean = |s: usize| sum(state.sum[s]) / state.count[s].max(1) as f64;
    nullable(&state.count, order, mean, Values::F64)
}

fn count_or_edge<'a, T, V>(
    count: &[u64],
    edges: &'a Edges<T>,
    agg: Agg,
    order: &[usize],
    value: impl Fn(&'a T) -> V,
    values: impl FnOnce(Vec<V>) -> Values,
) -> Column {
    match agg {
        Agg::First => nullable(count, order, |s| value(&edges.first[s].value), values),
        Agg::Last => nullable(count, order, |s| value(&edges.last[s].value), values),
        _ => whole(Values::U64(order.iter().map(|&s| count[s]).collect())),
    }
}
