//! Copying picked rows, column by column.

use tidestone_format::column::{Bitmap, Column, Strings, Values};
use tidestone_format::{FieldId, FieldType};

use super::{Pick, Rows};

/// Runs of consecutive rows at least this long are copied as slices.
const COPY_RUN: usize = 8;

/// The picked rows of the sources, in the order of the picks. `older` names, for rows that had
/// duplicates, the picks they replaced, oldest first: a field that is null in the pick takes the
/// newest value that is not.
pub(super) fn rows(sources: &[&Rows], picks: &[Pick], older: &[(usize, Pick)]) -> Rows {
    let mut fields: Vec<(FieldId, FieldType)> = sources
        .iter()
        .flat_map(|s| s.columns.iter().map(|(id, c)| (*id, c.values.field_type())))
        .collect();
    fields.sort_unstable();
    fields.dedup();
    let columns = fields
        .into_iter()
        .map(|(id, field_type)| (id, column(sources, id, field_type, picks, older)))
        .collect();
    Rows {
        series: picks
            .iter()
            .map(|&(s, r)| sources[s as usize].series[r as usize])
            .collect(),
        times: picks
            .iter()
            .map(|&(s, r)| sources[s as usize].times[r as usize])
            .collect(),
        columns,
    }
}

/// What [`rows`] has in the column of a field.
pub(super) fn column(
    sources: &[&Rows],
    id: FieldId,
    field_type: FieldType,
    picks: &[Pick],
    older: &[(usize, Pick)],
) -> Column {
    let of_field: Vec<Option<&Column>> = sources.iter().map(|s| s.column(id)).collect();
    match fill_nulls(&of_field, picks, older) {
        Some(filled) => copied(&of_field, &filled, field_type),
        None => copied(&of_field, picks, field_type),
    }
}

/// The picks of one field, where they differ from those of the rows.
fn fill_nulls(
    sources: &[Option<&Column>],
    picks: &[Pick],
    older: &[(usize, Pick)],
) -> Option<Vec<Pick>> {
    let valid = |(s, r): Pick| sources[s as usize].is_some_and(|c| c.is_valid(r as usize));
    let mut filled: Option<Vec<Pick>> = None;
    // Newest first: the first value found for a row stays.
    for &(row, pick) in older.iter().rev() {
        let current = filled.as_ref().map_or(picks[row], |f| f[row]);
        if !valid(current) && valid(pick) {
            filled.get_or_insert_with(|| picks.to_vec())[row] = pick;
        }
    }
    filled
}

fn copied(sources: &[Option<&Column>], picks: &[Pick], field_type: FieldType) -> Column {
    let validity = validity(sources, picks);
    let values = match field_type {
        FieldType::F64 => Values::F64(numbers(sources, picks, |v| match v {
            Values::F64(v) => v,
            _ => &[],
        })),
        FieldType::I64 => Values::I64(numbers(sources, picks, |v| match v {
            Values::I64(v) => v,
            _ => &[],
        })),
        FieldType::U64 => Values::U64(numbers(sources, picks, |v| match v {
            Values::U64(v) => v,
            _ => &[],
        })),
        FieldType::Bool => Values::Bool(numbers(sources, picks, |v| match v {
            Values::Bool(v) => v,
            _ => &[],
        })),
        FieldType::String => {
            let mut out = Strings::new();
            for &(s, r) in picks {
                match sources[s as usize].map(|c| &c.values) {
                    Some(Values::String(v)) => out.push(v.get(r as usize)),
                    _ => out.push(""),
                }
            }
            Values::String(out)
        }
    };
    Column { values, validity }
}

fn validity(sources: &[Option<&Column>], picks: &[Pick]) -> Option<Bitmap> {
    if sources
        .iter()
        .all(|c| c.is_some_and(|c| c.validity.is_none()))
    {
        return None;
    }
    let mut bits = Bitmap::new();
    for &(s, r) in picks {
        bits.push(sources[s as usize].is_some_and(|c| c.is_valid(r as usize)));
    }
    (bits.count_ones() < bits.len()).then_some(bits)
}

fn numbers<'a, T: Copy + Default + 'a>(
    sources: &[Option<&'a Column>],
    picks: &[Pick],
    values: impl Fn(&'a Values) -> &'a [T],
) -> Vec<T> {
    let slices: Vec<Option<&[T]>> = sources
        .iter()
        .map(|c| c.map(|c| values(&c.values)))
        .collect();
    let mut out = Vec::with_capacity(picks.len());
    let mut at = 0;
    while at < picks.len() {
        let (source, row) = picks[at];
        let from = row as usize;
        let consecutive = picks[at..]
            .iter()
            .zip(from..)
            .take_while(|&(&(s, r), expected)| s == source && r as usize == expected)
            .take(1 << 16)
            .count();
        match slices[source as usize] {
            Some(slice) if consecutive >= COPY_RUN => {
                out.extend_from_slice(&slice[from..from + consecutive]);
            }
            Some(slice) => out.extend(slice[from..from + consecutive].iter().copied()),
            None => out.resize(out.len() + consecutive, T::default()),
        }
        at += consecutive;
    }
    out
}
