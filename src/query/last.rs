//! The last row of each series.
//!
//! The series are shared out; of each share the last rows are found by themselves, on any thread,
//! and put one after another.

use std::cmp::Reverse;
use std::ops::Deref;
use std::sync::Arc;

use tidestone_format::column::Column;
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::{SeriesId, TimeRange, Timestamp};

use super::plan::{self, Part, Walk};
use super::read::Readers;
use super::{Cancellation, Order, Profile, Query, RowBatch};
use crate::error::Result;
use crate::scan::{Input, InputRun};
use crate::store::Holding;

/// Shares of the series, at most about: enough that threads end at about the same time.
const SHARES_MAX: usize = 64;

/// The last row of each series: a [`RowBatch`], and what was read for it.
#[derive(Debug, Clone, PartialEq)]
pub struct LastRows {
    rows: RowBatch,
    profile: Profile,
}

impl LastRows {
    /// What the query read.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The rows alone.
    pub fn into_rows(self) -> RowBatch {
        self.rows
    }
}

impl Deref for LastRows {
    type Target = RowBatch;

    fn deref(&self) -> &RowBatch {
        &self.rows
    }
}

/// A row of an input.
#[derive(Debug, Clone, Copy)]
struct Place {
    input: usize,
    row: u64,
}

/// The last row of each series in the query's range.
pub(super) fn last(query: &Query) -> Result<LastRows> {
    let snapshot = query.snapshot()?;
    let schema = &snapshot.table.schema;
    let fields = query.fields_of(schema)?;
    let wanted = query.series()?;
    let mut profile = Profile {
        series_selected: wanted.as_ref().map_or(0, |w| w.len() as u64),
        ..Profile::default()
    };
    let inputs = plan::inputs(&snapshot, query.range, &mut profile);
    let most = if query.threads > 1 { SHARES_MAX } else { 1 };
    let shares = plan::shares(&inputs, wanted.as_ref(), most)?;
    let no_rows = || RowBatch::new(query.table.clone(), fields.clone());
    let mut all = no_rows();
    let of_share = |share: usize| {
        let walk = Walk::of_share(&inputs, wanted.clone(), &shares[share])?;
        let finder = Finder::new(&inputs, fields.clone(), schema.settings.policy);
        finder.find(walk, no_rows(), &query.cancellation)
    };
    query.team().share(shares.len(), of_share, |found| {
        let (rows, read) = found?;
        profile.add(&read);
        if all.is_empty() {
            all = rows;
        } else {
            all.extend_from(&rows, 0..rows.len());
        }
        Ok(())
    })?;
    let rows = arrange(all, query);
    profile.rows = rows.len() as u64;
    Ok(LastRows { rows, profile })
}

struct Finder<'a> {
    inputs: &'a [Input],
    readers: Readers,
    policy: DuplicatePolicy,
    profile: Profile,
}

impl<'a> Finder<'a> {
    fn new(inputs: &'a [Input], fields: Arc<[Field]>, policy: DuplicatePolicy) -> Self {
        Self {
            readers: Readers::new(inputs.len(), fields, &Holding::default()),
            inputs,
            policy,
            profile: Profile::default(),
        }
    }

    /// Adds the last rows of the series of a walk to a batch, and tells what was read for them.
    fn find(
        mut self,
        mut walk: Walk,
        mut batch: RowBatch,
        cancellation: &Cancellation,
    ) -> Result<(RowBatch, Profile)> {
        let (mut parts, mut places) = (Vec::new(), Vec::new());
        while let Some(series) = walk.next(&mut parts)? {
            cancellation.check()?;
            let found = self.newest(series, &mut parts, &mut places)?;
            if let Some(time) = found {
                batch.times.push(time);
                batch.close_run(series);
                self.push(&places, &mut batch)?;
            }
        }
        Ok((batch, self.profile))
    }

    /// The time of the last row among the parts of a series, and where that row is: several places,
    /// newest first, where they make one row together.
    fn newest(
        &mut self,
        series: SeriesId,
        parts: &mut [Part],
        places: &mut Vec<Place>,
    ) -> Result<Option<Timestamp>> {
        places.clear();
        parts.sort_by_key(|p| (Reverse(p.times.end), Reverse(p.input)));
        let mut best = None;
        let mut looked_at_deletes = false;
        for part in &*parts {
            if best.is_some_and(|best| part.times.end < best) {
                break;
            }
            let input = &self.inputs[part.input];
            looked_at_deletes |= plan::has_deletes(input, series, &part.times);
            let Some((time, row)) = self.last_of(series, part)? else {
                continue;
            };
            if best.is_some_and(|best| time < best) {
                continue;
            }
            if best != Some(time) {
                places.clear();
                best = Some(time);
            }
            places.push(Place {
                input: part.input,
                row,
            });
        }
        let merged = best.is_some() && (looked_at_deletes || places.len() > 1);
        self.profile.rows_merged += u64::from(merged);
        places.sort_by_key(|p| Reverse(p.input));
        match self.policy {
            DuplicatePolicy::All => places.truncate(1),
            DuplicatePolicy::First => drop(places.drain(..places.len().saturating_sub(1))),
            DuplicatePolicy::Replace => {}
        }
        Ok(best)
    }

    /// The last row of a part that is wanted and not deleted.
    fn last_of(&mut self, series: SeriesId, part: &Part) -> Result<Option<(Timestamp, u64)>> {
        let input = &self.inputs[part.input];
        let mut bound = part.times.end;
        loop {
            match plan::visible_at(input, series, bound) {
                Some(visible) if visible >= part.times.start => bound = visible,
                _ => return Ok(None),
            }
            let found = if part.all && bound == part.times.end {
                Some((bound, part.rows.end - 1))
            } else {
                self.at_or_before(part, bound)?
            };
            match found {
                Some((time, _)) if time < part.times.start => return Ok(None),
                Some((time, _)) if plan::visible_at(input, series, time) != Some(time) => {
                    bound = time;
                }
                other => return Ok(other),
            }
        }
    }

    /// The last row of a part with a time of at most `bound`.
    fn at_or_before(&mut self, part: &Part, bound: Timestamp) -> Result<Option<(Timestamp, u64)>> {
        match &self.inputs[part.input].run {
            InputRun::Chunk(rows) => {
                let start = usize::try_from(part.rows.start).unwrap_or(usize::MAX);
                let end = usize::try_from(part.rows.end).unwrap_or(usize::MAX);
                let below = rows.times[start..end].partition_point(|t| *t <= bound);
                Ok(below
                    .checked_sub(1)
                    .map(|at| (rows.times[start + at], (start + at) as u64)))
            }
            InputRun::Segment(segment) => {
                let reader = self.readers.of(part.input, segment)?;
                reader.at_or_before(&part.rows, bound, &mut self.profile)
            }
        }
    }

    /// Appends the values of a row: of each field, the first that is not null.
    fn push(&mut self, places: &[Place], batch: &mut RowBatch) -> Result<()> {
        for at in 0..batch.columns.len() {
            let field = batch.fields()[at].id;
            let before = batch.columns[at].len();
            for place in places {
                let out = &mut batch.columns[at];
                match &self.inputs[place.input].run {
                    InputRun::Chunk(rows) => {
                        let row = usize::try_from(place.row).unwrap_or(usize::MAX);
                        push_value(rows.column(field), row, out);
                    }
                    InputRun::Segment(segment) => {
                        let reader = self.readers.of(place.input, segment)?;
                        let (values, row) = reader.value(at + 1, place.row, &mut self.profile)?;
                        push_value(Some(values), row, out);
                    }
                }
                if out.len() > before {
                    break;
                }
            }
            if batch.columns[at].len() == before {
                batch.columns[at].push_null();
            }
        }
        Ok(())
    }
}

/// Appends a value that is not null.
fn push_value(column: Option<&Column>, row: usize, out: &mut Column) {
    if let Some(column) = column.filter(|c| c.is_valid(row)) {
        out.push_from(column, row);
    }
}

/// The rows in the order asked for, at most as many as were asked for.
fn arrange(batch: RowBatch, query: &Query) -> RowBatch {
    let limit = query.limit.unwrap_or(usize::MAX);
    let mut order: Vec<usize> = (0..batch.len()).collect();
    match query.order {
        Order::SeriesTime if batch.len() <= limit => return batch,
        Order::SeriesTime => {}
        Order::Time => order.sort_by_key(|&row| batch.times[row]),
        Order::TimeDescending => order.sort_by_key(|&row| Reverse(batch.times[row])),
    }
    order.truncate(limit);
    let mut out = batch.without_rows();
    out.pick(&batch, &order);
    out
}

/// The range up to `time`; `None` if it is empty.
pub(super) fn until(range: TimeRange, time: Timestamp) -> Option<TimeRange> {
    let end = range.end.min(time);
    (range.start <= end).then_some(TimeRange { end, ..range })
}
