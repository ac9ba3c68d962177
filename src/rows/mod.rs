//! Sorted rows, and how several runs of them become one.
//!
//! A *run* is rows of one table sorted by (series, time). Chunks of the head, flushes, segments
//! being compacted and query sources are all runs; [`merge`] is the one place where duplicates on
//! (series, time) are resolved, so the answer cannot depend on where a row lies.
//!
//! # Invariants
//! 1. A run is sorted by (series, time). Unless the policy is `All`, no key stands in it twice.
//! 2. Sources are given oldest first: their LSN ranges are disjoint and ascending.
//! 3. Merging is associative: merging any neighbours first gives the same result.

mod gather;
mod merged;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tidestone_format::column::Column;
use tidestone_format::schema::DuplicatePolicy;
use tidestone_format::{FieldId, SeriesId, TimeRange, Timestamp};

pub(crate) use merged::Merged;

/// Bytes of strings that a query reads at a time: rows of long strings come in few, so that what is
/// held of them does not grow with their length.
pub(crate) const TEXT_AT_ONCE: usize = 4 << 20;
/// Rows that a query reads at a time.
const ROWS_AT_ONCE: usize = 8_192;

/// How much is read at a time, about: so many rows, or so many bytes of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AtOnce {
    pub(crate) rows: usize,
    pub(crate) text: usize,
}

impl Default for AtOnce {
    fn default() -> Self {
        Self {
            rows: ROWS_AT_ONCE,
            text: TEXT_AT_ONCE,
        }
    }
}

/// Rows of one table. Sorted by (series, time) where a function says so.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rows {
    pub(crate) series: Vec<SeriesId>,
    pub(crate) times: Vec<Timestamp>,
    /// Ascending by field id; a field that is missing is null in every row.
    pub(crate) columns: Vec<(FieldId, Column)>,
}

/// The next row of a source: its key, then the source, so that the oldest comes first.
type Next = Reverse<((SeriesId, Timestamp), u32, u32)>;

/// A row of a source: the number of the source and of the row in it.
pub(super) type Pick = (u32, u32);

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    fn key(&self, row: usize) -> (SeriesId, Timestamp) {
        (self.series[row], self.times[row])
    }

    /// The column of a field, if the run has it.
    pub(crate) fn column(&self, field: FieldId) -> Option<&Column> {
        let at = self
            .columns
            .binary_search_by_key(&field, |(id, _)| *id)
            .ok()?;
        Some(&self.columns[at].1)
    }

    /// The column of a field; one of nulls is added where the run has none.
    pub(crate) fn column_mut(
        &mut self,
        field: FieldId,
        empty: impl FnOnce() -> Column,
    ) -> &mut Column {
        let at = match self.columns.binary_search_by_key(&field, |(id, _)| *id) {
            Ok(at) => at,
            Err(at) => {
                self.columns.insert(at, (field, empty()));
                at
            }
        };
        &mut self.columns[at].1
    }

    /// First and last timestamp; `None` if there are no rows.
    pub(crate) fn time_range(&self) -> Option<TimeRange> {
        let start = *self.times.iter().min()?;
        let end = *self.times.iter().max()?;
        Some(TimeRange { start, end })
    }

    /// Whether these are as many rows as are read at a time, or their strings as long.
    pub(crate) fn are_enough(&self, at_once: AtOnce) -> bool {
        self.len() >= at_once.rows || self.text() >= at_once.text
    }

    /// Memory the rows take, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let columns: usize = self
            .columns
            .iter()
            .map(|(_, c)| c.values.memory() + c.validity.as_ref().map_or(0, |v| v.len() / 8))
            .sum();
        self.series.capacity() * 8 + self.times.capacity() * 8 + columns
    }

    /// Bytes of all strings together.
    pub(crate) fn text(&self) -> usize {
        let text = self.columns.iter().map(|(_, c)| c.values.text_len());
        text.sum()
    }

    /// Forgets all rows and keeps the columns and their memory.
    pub(crate) fn clear(&mut self) {
        self.series.clear();
        self.times.clear();
        self.columns.iter_mut().for_each(|(_, c)| c.clear());
    }

    /// The rows `from..to`.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Rows {
        let columns = self
            .columns
            .iter()
            .map(|(id, column)| {
                let mut part = Column::new(column.values.field_type());
                part.extend_from(column, from, to);
                (*id, part)
            })
            .collect();
        Rows {
            series: self.series[from..to].to_vec(),
            times: self.times[from..to].to_vec(),
            columns,
        }
    }

    /// Adds rows at the end; fields that one side lacks are null there.
    pub(crate) fn append(&mut self, rows: &Rows) {
        let before = self.len();
        self.series.extend_from_slice(&rows.series);
        self.times.extend_from_slice(&rows.times);
        for (field, column) in &rows.columns {
            let field_type = column.values.field_type();
            let own = self.column_mut(*field, || Column::nulls(field_type, before));
            own.extend_from(column, 0, column.len());
        }
        if self.columns.len() > rows.columns.len() {
            let after = self.len();
            for (_, column) in &mut self.columns {
                for _ in column.len()..after {
                    column.push_null();
                }
            }
        }
    }

    /// Keeps the rows for which `keep(series, time)` holds.
    pub(crate) fn retain(self, mut keep: impl FnMut(SeriesId, Timestamp) -> bool) -> Rows {
        let mut picks: Vec<Pick> = Vec::with_capacity(self.len());
        for row in 0..self.len() {
            if keep(self.series[row], self.times[row]) {
                picks.push((0, row_number(row)));
            }
        }
        if picks.len() == self.len() {
            return self;
        }
        gather::rows(&[&self], &picks, &[])
    }

    /// The rows of `series`, in a sorted run.
    pub(crate) fn range_of(&self, series: SeriesId) -> std::ops::Range<usize> {
        let start = self.series.partition_point(|s| *s < series);
        let len = self.series[start..].partition_point(|s| *s == series);
        start..start + len
    }
}

/// Row numbers within a run fit 32 bits: runs are bounded far below that.
pub(super) fn row_number(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}

/// Sorts rows that are in the order they were written, and resolves duplicates. Rows that are a
/// run already are returned as they are.
pub(crate) fn sort(rows: &Arc<Rows>, policy: DuplicatePolicy) -> Arc<Rows> {
    let keys = || (0..rows.len()).map(|i| rows.key(i));
    let sorted = match policy {
        DuplicatePolicy::All => keys().is_sorted(),
        _ => keys().is_sorted_by(|a, b| a < b),
    };
    if sorted {
        return rows.clone();
    }
    let mut order: Vec<(SeriesId, Timestamp, u32)> = keys()
        .enumerate()
        .map(|(i, (s, t))| (s, t, row_number(i)))
        .collect();
    order.sort_unstable();
    let picks = order.into_iter().map(|(_, _, row)| (0, row));
    Arc::new(resolve(&[rows], picks, policy))
}

/// Merges sorted runs, oldest first, into one.
pub(crate) fn merge(sources: &[&Rows], policy: DuplicatePolicy) -> Rows {
    match sources {
        [] => Rows::default(),
        [only] => (*only).clone(),
        _ if follow_each_other(sources) => concatenate(sources),
        _ => resolve(sources, merge_order(sources).into_iter(), policy),
    }
}

/// Whether every key of a source is above every key of the source before.
fn follow_each_other(sources: &[&Rows]) -> bool {
    let keys = sources.iter().filter(|s| !s.is_empty());
    keys.map(|s| (s.key(0), s.key(s.len() - 1)))
        .is_sorted_by(|a, b| a.1 < b.0)
}

/// The rows of all sources, one source behind the other: columns are copied as wholes.
pub(crate) fn concatenate(sources: &[&Rows]) -> Rows {
    let mut out = Rows::default();
    let total = sources.iter().map(|s| s.len()).sum();
    out.series.reserve(total);
    out.times.reserve(total);
    for source in sources {
        for (field, column) in &source.columns {
            let (field_type, left) = (column.values.field_type(), total - out.len());
            let before = out.len();
            let own = out.column_mut(*field, || Column::nulls(field_type, before));
            // Only what is new is allocated: the second source finds the room of the first.
            own.values.reserve(left);
        }
        out.append(source);
    }
    out
}

/// All rows of all sources by (series, time, source, row).
fn merge_order(sources: &[&Rows]) -> Vec<Pick> {
    let total = sources.iter().map(|s| s.len()).sum();
    let mut order = Vec::with_capacity(total);
    let mut heap: BinaryHeap<Next> = sources
        .iter()
        .enumerate()
        .filter(|(_, s)| !s.is_empty())
        .map(|(i, s)| Reverse((s.key(0), row_number(i), 0)))
        .collect();
    while let Some(Reverse((_, source, row))) = heap.pop() {
        let rows = sources[source as usize];
        let limit = heap.peek().map(|Reverse((key, other, _))| (*key, *other));
        let mut at = row as usize;
        loop {
            order.push((source, row_number(at)));
            at += 1;
            if at == rows.len() {
                break;
            }
            if limit.is_some_and(|limit| (rows.key(at), source) > limit) {
                heap.push(Reverse((rows.key(at), source, row_number(at))));
                break;
            }
        }
    }
    order
}

/// Resolves duplicates among picks that come sorted by key and, within a key, oldest first.
fn resolve(sources: &[&Rows], sorted: impl Iterator<Item = Pick>, policy: DuplicatePolicy) -> Rows {
    let (picks, older) = resolve_picks(sources, sorted, policy);
    gather::rows(sources, &picks, &older)
}

/// The picks that stay, and by row, oldest first, those that they replaced.
fn resolve_picks(
    sources: &[&Rows],
    sorted: impl Iterator<Item = Pick>,
    policy: DuplicatePolicy,
) -> (Vec<Pick>, Vec<(usize, Pick)>) {
    let key = |(source, row): Pick| sources[source as usize].key(row as usize);
    let mut picks: Vec<Pick> = Vec::with_capacity(sources.iter().map(|s| s.len()).sum());
    let mut older: Vec<(usize, Pick)> = Vec::new();
    let mut last = None;
    for pick in sorted {
        let this = Some(key(pick));
        if this != last || policy == DuplicatePolicy::All {
            picks.push(pick);
        } else if policy == DuplicatePolicy::Replace {
            let row = picks.len() - 1;
            older.push((row, std::mem::replace(&mut picks[row], pick)));
        }
        last = this;
    }
    (picks, older)
}
