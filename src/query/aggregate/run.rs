//! Answering a query for aggregates.

use std::sync::Arc;

use parking_lot::Mutex;
use tidestone_format::schema::DuplicatePolicy;
use tidestone_format::{SeriesId, TimeRange};

use super::plan::Plan;
use super::slots::{Grid, Slots};
use super::unit::{Partial, fold};
use super::{AggregateResult, finish};
use crate::error::Result;
use crate::query::plan::{self, Unit, expected_rows, window};
use crate::query::{Cancellation, Order, Profile, Query};
use crate::scan::Input;
use crate::worker::Team;

/// The answer to a query for aggregates.
pub(in crate::query) fn run(query: &Query) -> Result<AggregateResult> {
    let snapshot = query.snapshot()?;
    let wanted = query.series()?;
    let plan = Plan::new(query, &snapshot, wanted.as_ref())?;
    let mut profile = Profile {
        series_selected: wanted.as_ref().map_or(0, |w| w.len() as u64),
        ..Profile::default()
    };
    let inputs = plan::inputs(&snapshot, query.range, &mut profile);
    let fold = Fold {
        plan: &plan,
        policy: snapshot.table.schema.settings.policy,
        wanted,
        team: query.team(),
        cancellation: query.cancellation.clone(),
    };
    let mut states = match (query.limit, query.order, query.every) {
        (Some(limit), Order::Time | Order::TimeDescending, Some(_)) => {
            fold.first_buckets(&inputs, limit, query.order == Order::TimeDescending)?
        }
        _ => fold.states(&inputs)?,
    };
    states.profile.add(&profile);
    finish::finish(query, plan, states)
}

/// Some span, where there are no rows.
const NOTHING: TimeRange = TimeRange { start: 0, end: 0 };

/// How to fold inputs.
struct Fold<'a> {
    plan: &'a Plan,
    policy: DuplicatePolicy,
    wanted: Option<Arc<[SeriesId]>>,
    team: Team,
    cancellation: Cancellation,
}

impl Fold<'_> {
    /// The states of every wanted row of `inputs`.
    fn states(&self, inputs: &[Input]) -> Result<Partial<Slots>> {
        self.cancellation.check()?;
        let units = plan::units(inputs, self.policy, self.wanted.as_ref())?;
        if let [only] = &units[..] {
            return Ok(fold(self.plan, inputs, self.policy, only, None)?.whole());
        }
        let span = window::span(inputs).unwrap_or(NOTHING);
        let (first, last) = self.plan.buckets.numbers(span);
        let groups = self.plan.groups.values.len();
        let mut all = match Grid::new(groups, first, last, expected_rows(&units, inputs)) {
            Some(grid) => Partial::grid(self.plan, grid),
            None => Partial::met(self.plan, span).whole(),
        };
        self.fold_into(&mut all, inputs, &units)?;
        Ok(all)
    }

    /// Adds units, in their order.
    fn fold_into(&self, all: &mut Partial<Slots>, inputs: &[Input], units: &[Unit]) -> Result<()> {
        // Memory is handed on from unit to unit: getting it anew costs more than filling it.
        let spare = Mutex::new(Vec::new());
        let fold = |unit: usize| {
            self.cancellation.check()?;
            let before = spare.lock().pop();
            fold(self.plan, inputs, self.policy, &units[unit], before)
        };
        self.team.share(units.len(), fold, |unit| {
            let unit = unit?;
            all.combine(&unit)?;
            spare.lock().push(unit);
            Ok(())
        })
    }

    /// The states of enough whole buckets, from the one end of time on, for `limit` of them to have
    /// rows: windows of more and more buckets are folded until then.
    fn first_buckets(
        &self,
        inputs: &[Input],
        limit: usize,
        descending: bool,
    ) -> Result<Partial<Slots>> {
        let mut left = window::span(inputs);
        let mut all = Partial::met(self.plan, left.unwrap_or(NOTHING)).whole();
        let mut count = i64::try_from(limit).unwrap_or(i64::MAX).max(1);
        while all.slots.len() < limit {
            let some = left.and_then(|left| window::skip_gap(inputs, left, descending));
            let Some(span) = some else {
                break;
            };
            let (now, rest) = self.window(span, count, descending);
            left = rest;
            let inputs = window::narrowed(inputs, now);
            let units = plan::units(&inputs, self.policy, self.wanted.as_ref())?;
            self.fold_into(&mut all, &inputs, &units)?;
            count = count.saturating_mul(4);
        }
        Ok(all)
    }

    /// The times of `count` buckets at the one end of `span`, and what is left of it.
    fn window(
        &self,
        span: TimeRange,
        count: i64,
        descending: bool,
    ) -> (TimeRange, Option<TimeRange>) {
        let TimeRange { start, end } = span;
        let buckets = self.plan.buckets;
        if descending {
            let first = buckets.number(end).saturating_sub(count - 1);
            let from = buckets
                .times(first.max(buckets.number(start)))
                .start
                .max(start);
            let before = from.checked_sub(1).filter(|before| *before >= start);
            let rest = before.map(|end| TimeRange { start, end });
            (TimeRange { start: from, end }, rest)
        } else {
            let last = buckets.number(start).saturating_add(count - 1);
            let to = buckets.times(last.min(buckets.number(end))).end.min(end);
            let after = to.checked_add(1).filter(|after| *after <= end);
            let rest = after.map(|start| TimeRange { start, end });
            (TimeRange { start, end: to }, rest)
        }
    }
}
