//! Sorted runs as one, of which columns are copied some rows at a time.

use std::ops::Range;

use tidestone_format::column::{Column, Values};
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::{FieldType, SeriesId, Timestamp};

use super::{Pick, Rows, gather, merge_order, resolve_picks};

/// What [`merge`](super::merge) makes of sorted runs: which rows, and in which order.
#[derive(Debug)]
pub(crate) struct Merged<'a> {
    sources: Vec<&'a Rows>,
    picks: Vec<Pick>,
    /// By row, oldest first: what a row replaced.
    older: Vec<(usize, Pick)>,
    hidden: usize,
}

impl<'a> Merged<'a> {
    /// Merges sorted runs, oldest first, without the rows for which `keep(run, series, time)` does not
    /// hold.
    pub(crate) fn of(
        sources: Vec<&'a Rows>,
        policy: DuplicatePolicy,
        keep: impl Fn(usize, SeriesId, Timestamp) -> bool,
    ) -> Self {
        let order = merge_order(&sources).into_iter();
        let mut hidden = 0;
        let kept = order.filter(|&(source, row)| {
            let (series, time) = sources[source as usize].key(row as usize);
            let stays = keep(source as usize, series, time);
            hidden += usize::from(!stays);
            stays
        });
        let (picks, older) = resolve_picks(&sources, kept, policy);
        Self {
            sources,
            picks,
            older,
            hidden,
        }
    }

    /// How many rows were not kept; duplicates of rows that were are not among them.
    pub(crate) fn hidden(&self) -> usize {
        self.hidden
    }

    pub(crate) fn len(&self) -> usize {
        self.picks.len()
    }

    /// Series and time of a row.
    pub(crate) fn key(&self, row: usize) -> (SeriesId, Timestamp) {
        let (source, row) = self.picks[row];
        self.sources[source as usize].key(row as usize)
    }

    /// The values that the rows of some ranges, ascending, have of a field, one range behind the other.
    pub(crate) fn column(&self, field: &Field, ranges: &[Range<usize>]) -> Column {
        let mut picks: Vec<Pick> = Vec::with_capacity(ranges.iter().map(Range::len).sum());
        let mut older: Vec<(usize, Pick)> = Vec::new();
        for range in ranges {
            let start = self.older.partition_point(|(row, _)| *row < range.start);
            let replaced = self.older[start..].iter();
            let replaced = replaced.take_while(|(row, _)| *row < range.end);
            let shift = |row: usize| row - range.start + picks.len();
            older.extend(replaced.map(|&(row, pick)| (shift(row), pick)));
            picks.extend_from_slice(&self.picks[range.clone()]);
        }
        gather::column(&self.sources, field.id, field.field_type, &picks, &older)
    }

    /// How many of the rows, at least the first of them, have at most `text` bytes of strings in some
    /// fields, and how many bytes they have.
    pub(crate) fn within_text(
        &self,
        fields: &[Field],
        rows: Range<usize>,
        text: usize,
    ) -> (usize, usize) {
        let strings = fields.iter().filter(|f| f.field_type == FieldType::String);
        let columns: Vec<Vec<Option<&Column>>> = strings
            .map(|f| self.sources.iter().map(|s| s.column(f.id)).collect())
            .collect();
        if columns.is_empty() {
            return (rows.len(), 0);
        }
        let (start, mut taken) = (rows.start, 0);
        for row in rows.clone() {
            let (source, at) = self.picks[row];
            let len = |of: &Vec<Option<&Column>>| match of[source as usize].map(|c| &c.values) {
                Some(Values::String(strings)) => strings.get(at as usize).len(),
                _ => 0,
            };
            let more: usize = columns.iter().map(len).sum();
            if row > start && taken + more > text {
                return (row - start, taken);
            }
            taken += more;
        }
        (rows.len(), taken)
    }
}
