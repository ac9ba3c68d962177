//! Cutting the work of an aggregate into units.
//!
//! # Invariants
//! 1. Every wanted row is in exactly one unit.
//! 2. Units depend on snapshot and query only, not on how many threads there are.
//! 3. The rows of a clean unit need no look at any other input, and no delete hides one.

use std::ops::Range;
use std::sync::Arc;

use tidestone_format::schema::DuplicatePolicy;
use tidestone_format::version::GROUP_ROWS;
use tidestone_format::{SeriesId, Timestamp};

use super::{Part, Walk, has_deletes, interleave};
use crate::error::Result;
use crate::scan::{Input, InputRun};

/// Rows of a unit, about.
const UNIT_ROWS: u64 = 8 * GROUP_ROWS as u64;

/// A part of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) enum Unit {
    /// Rows of one input, in ascending runs.
    Clean { input: usize, runs: Vec<Range<u64>> },
    /// Series whose rows are merged from several inputs, or looked at one by one.
    Merged {
        inputs: Arc<[usize]>,
        series: Arc<[SeriesId]>,
        /// Rows of all inputs.
        rows: u64,
    },
}

/// The units of a query over `inputs`.
pub(in crate::query) fn units(
    inputs: &[Input],
    policy: DuplicatePolicy,
    wanted: Option<&Arc<[SeriesId]>>,
) -> Result<Vec<Unit>> {
    let mut units = Vec::new();
    for component in components(inputs, policy) {
        match component[..] {
            [only] if wanted.is_none() && inputs[only].tombstones.is_empty() => {
                let mut clean = Clean::new(only);
                clean.push(&inputs[only], 0..rows_of(&inputs[only]), &mut units)?;
                clean.finish(&mut units);
            }
            _ => by_series(inputs, &component, wanted, &mut units)?,
        }
    }
    Ok(units)
}

/// How many rows units have, about: those they read, and no more of an input than it would have in
/// the times that are wanted if its rows were spread evenly.
pub(in crate::query) fn expected_rows(units: &[Unit], inputs: &[Input]) -> u64 {
    let mut read = vec![0u64; inputs.len()];
    for unit in units {
        match unit {
            Unit::Clean { input, runs } => {
                read[*input] += runs.iter().map(|r| r.end - r.start).sum::<u64>();
            }
            // From which of the inputs they come does not matter.
            Unit::Merged { inputs, rows, .. } => {
                for &input in inputs.iter() {
                    read[input] += rows / inputs.len() as u64;
                }
            }
        }
    }
    let of_inputs = inputs.iter().zip(read).map(|(input, read)| {
        let (range, times) = (input.range, input.times);
        let wanted = length(range.start.max(times.start), range.end.min(times.end));
        let even = u128::from(rows_of(input)) * wanted / length(times.start, times.end).max(1);
        read.min(u64::try_from(even).unwrap_or(u64::MAX))
    });
    of_inputs.sum()
}

/// How many times there are from `start` to `end`.
fn length(start: Timestamp, end: Timestamp) -> u128 {
    match start <= end {
        true => u128::from(end.abs_diff(start)) + 1,
        false => 0,
    }
}

/// The inputs, in sets such that no series has rows of the same time in two of them, unless the
/// policy keeps both.
fn components(inputs: &[Input], policy: DuplicatePolicy) -> Vec<Vec<usize>> {
    if policy == DuplicatePolicy::All {
        return (0..inputs.len()).map(|i| vec![i]).collect();
    }
    let mut by_start: Vec<usize> = (0..inputs.len()).collect();
    by_start.sort_by_key(|&i| inputs[i].times.start);
    let mut components: Vec<Vec<usize>> = Vec::new();
    let mut end = None;
    for i in by_start {
        let times = inputs[i].times;
        match components.last_mut() {
            Some(last) if end.is_some_and(|end| times.start <= end) => last.push(i),
            _ => components.push(vec![i]),
        }
        end = end.max(Some(times.end));
    }
    for component in &mut components {
        component.sort_unstable();
    }
    components
}

fn by_series(
    inputs: &[Input],
    component: &[usize],
    wanted: Option<&Arc<[SeriesId]>>,
    units: &mut Vec<Unit>,
) -> Result<()> {
    let mut clean: Vec<Clean> = component.iter().map(|&i| Clean::new(i)).collect();
    let mut merged = Vec::new();
    let mut merged_rows = 0;
    let numbers: Arc<[usize]> = component.into();
    let merged_unit = |series: &mut Vec<SeriesId>, rows: &mut u64| Unit::Merged {
        inputs: numbers.clone(),
        series: std::mem::take(series).into(),
        rows: std::mem::take(rows),
    };
    let mut walk = Walk::new(inputs, component.iter().copied(), wanted.cloned());
    let mut parts: Vec<Part> = Vec::new();
    while let Some(series) = walk.next(&mut parts)? {
        if parts.is_empty() {
            continue;
        }
        let deletes = |p: &Part| has_deletes(&inputs[p.input], series, &p.times);
        if interleave(&mut parts) || parts.iter().any(deletes) {
            merged.push(series);
            merged_rows += parts.iter().map(|p| p.rows.end - p.rows.start).sum::<u64>();
            if merged_rows >= UNIT_ROWS {
                units.push(merged_unit(&mut merged, &mut merged_rows));
            }
            continue;
        }
        for part in &parts {
            let at = component.partition_point(|&i| i < part.input);
            clean[at].push(&inputs[part.input], part.rows.clone(), units)?;
        }
    }
    for clean in &mut clean {
        clean.finish(units);
    }
    if !merged.is_empty() {
        units.push(merged_unit(&mut merged, &mut merged_rows));
    }
    Ok(())
}

fn rows_of(input: &Input) -> u64 {
    match &input.run {
        InputRun::Segment(segment) => segment.entry.rows,
        InputRun::Chunk(rows) => rows.len() as u64,
    }
}

/// A clean unit in the making.
struct Clean {
    input: usize,
    runs: Vec<Range<u64>>,
    rows: u64,
}

impl Clean {
    fn new(input: usize) -> Self {
        Self {
            input,
            runs: Vec::new(),
            rows: 0,
        }
    }

    /// Adds rows; row groups without a wanted time are left out.
    fn push(&mut self, input: &Input, rows: Range<u64>, units: &mut Vec<Unit>) -> Result<()> {
        let open = match &input.run {
            InputRun::Segment(segment) if !input.range.covers(&input.times) => {
                Some(segment.open()?)
            }
            _ => None,
        };
        let may_have = |group: u64| {
            let pages = open.as_ref().map(|open| &open.root().group_pages);
            let group = usize::try_from(group).ok();
            let page = pages.and_then(|pages| pages.get(group?));
            page.is_none_or(|page| page.times.overlaps(&input.range))
        };
        let mut at = rows.start;
        while at < rows.end {
            let group = at / GROUP_ROWS as u64;
            let end = rows.end.min((group + 1) * GROUP_ROWS as u64);
            if may_have(group) {
                self.rows += end - at;
                match self.runs.last_mut() {
                    Some(last) if last.end == at => last.end = end,
                    _ => self.runs.push(at..end),
                }
            }
            at = end;
            if self.rows >= UNIT_ROWS {
                self.finish(units);
            }
        }
        Ok(())
    }

    fn finish(&mut self, units: &mut Vec<Unit>) {
        if !self.runs.is_empty() {
            units.push(Unit::Clean {
                input: self.input,
                runs: std::mem::take(&mut self.runs),
            });
        }
        self.rows = 0;
    }
}
