//! Answering a query for aggregates.

use std::sync::Arc;

use tidestone_format::schema::DuplicatePolicy;
use tidestone_format::{SeriesId, TimeRange};

use super::plan::Plan;
use super::unit::{Partial, fold};
use super::{AggregateResult, finish};
use crate::error::Result;
use crate::query::{Profile, Query, plan};
use crate::scan::Input;
use crate::worker::in_parallel;

/// The answer to a query for aggregates.
pub(in crate::query) fn run(query: &Query) -> Result<AggregateResult> {
    let snapshot = query.snapshot()?;
    let wanted = query.series()?;
    let plan = Plan::new(query, &snapshot, wanted.as_ref())?;
    let mut profile = Profile {
        series_selected: wanted.as_ref().map_or(0, |w| w.len() as u64),
        ..Profile::default()
    };
    let inputs = plan::inputs(&snapshot, query.range, &mut profile)?;
    let policy = snapshot.table.schema.settings.policy;
    let mut states = states(&plan, &inputs, policy, wanted.as_ref(), query.threads)?;
    states.profile.add(&profile);
    finish::finish(query, plan, states)
}

/// The states of every wanted row of `inputs`.
fn states(
    plan: &Plan,
    inputs: &[Input],
    policy: DuplicatePolicy,
    wanted: Option<&Arc<[SeriesId]>>,
    threads: usize,
) -> Result<Partial> {
    let units = plan::units(inputs, policy, wanted)?;
    let folded = in_parallel(threads, units.len(), |unit| {
        fold(plan, inputs, policy, &units[unit])
    });
    let spans = inputs.iter().map(|i| TimeRange {
        start: i.times.start.max(i.range.start),
        end: i.times.end.min(i.range.end),
    });
    let span = spans.reduce(|a, b| TimeRange {
        start: a.start.min(b.start),
        end: a.end.max(b.end),
    });
    let mut folded = folded.into_iter();
    if folded.len() == 1
        && let Some(only) = folded.next()
    {
        return only;
    }
    let mut all = Partial::new(plan, span.unwrap_or(TimeRange { start: 0, end: 0 }));
    for partial in folded {
        all.combine(&partial?);
    }
    Ok(all)
}
