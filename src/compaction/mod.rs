//! Fewer, larger segments: what overlaps is merged, what was deleted goes.
//!
//! [`plan`] decides (segments in, a choice out, no disk); [`run`] carries it out. Answers are the same
//! before, during and after: a merge resolves duplicates as a query would, and readers change
//! over to the new segment in one step.
//!
//! # Invariants
//! 1. Only neighbours are merged: no other segment whose partitions overlap what the inputs span has an
//!    LSN between theirs.
//! 2. The output has applied every tombstone of the manifest whose LSN is above that of the input
//!    the row came from, and every one up to its own last LSN.
//! 3. A tombstone is dropped once no live segment it could hide rows of is older.
//! 4. A merge holds no lock that a flush, a commit or a reader takes, but for the moment of its edit;
//!    and in memory a row group of some of the columns it writes and a slice of each input, which are
//!    a part of the budget however many fields there are and however long strings are
//!    ([`Passes`](crate::store::Passes)).
//! 5. A segment that a merge failed because of is left alone until the database is opened anew, and so
//!    are inputs that turned out to be more than a segment can hold, which the plan avoids; everything
//!    else is merged, but not across them.
//! 6. A merge stops soon after the database closes or its inputs are dropped ([`watch`]).

mod plan;
mod run;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use tidestone_format::FileUuid;

use crate::engine::{Engine, Unmergeable};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Segment;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is nothing to merge.
    Nothing,
    /// What was being merged was dropped meanwhile. There may be something else.
    Overtaken,
    Merged,
}

/// Does the most useful merge, if one is worth it now.
pub(crate) fn step(engine: &Engine) -> Result<Step> {
    choose_and_run(engine, plan::Eagerness::Worthwhile)
}

/// Does a merge if anything can be merged at all.
pub(crate) fn full_step(engine: &Engine) -> Result<Step> {
    choose_and_run(engine, plan::Eagerness::Everything)
}

/// Writes a segment anew without the rows of some row groups, which are damaged. Returns whether it
/// still lives.
pub(crate) fn give_up(engine: &Engine, uuid: FileUuid, groups: Vec<usize>) -> Result<bool> {
    let _only_one = engine.compacting.lock();
    let version = engine.store.version();
    for table in version.tables.values() {
        if let Some(segment) = table.segments.iter().find(|s| s.entry.uuid == uuid) {
            segment.give_up(groups.into());
            let (id, inputs) = (table.schema.id, std::slice::from_ref(segment));
            let step = run::merge(engine, &version, id, inputs, &[])?;
            return Ok(step == Step::Merged);
        }
    }
    Ok(false)
}

fn choose_and_run(engine: &Engine, eagerness: plan::Eagerness) -> Result<Step> {
    engine.writable()?;
    let mut given_up = engine.compacting.lock();
    let version = engine.store.version();
    if !given_up.is_empty() {
        let live = version.segments();
        given_up.retain(|uuid, _| live.contains_key(uuid));
    }
    for table in version.tables.values() {
        let limits = plan::Limits::of(&table.schema.fields, engine.options.writing_memory());
        let last_delete = table.tombstones.iter().map(|(lsn, _)| *lsn).max();
        loop {
            let segments: Vec<plan::Candidate> = table
                .segments
                .iter()
                .map(|s| {
                    let given_up = given_up.contains_key(&s.entry.uuid);
                    plan::Candidate::of(&s.entry, table, given_up)
                })
                .collect();
            let Some(choice) = plan::choose(&segments, last_delete, eagerness, limits) else {
                break;
            };
            let inputs = choice.inputs.iter().map(|&i| table.segments[i].clone());
            let inputs: Vec<_> = inputs.collect();
            engine.store.edit().check()?;
            match run::merge(engine, &version, table.schema.id, &inputs, &choice.cuts) {
                Err(error) => give_up_on(&inputs, error, &mut given_up)?,
                done => return done,
            }
        }
    }
    // The first of what stands in the way, once everything else is merged.
    let segments = version.tables.values().flat_map(|table| &table.segments);
    let mut errors = segments.filter_map(|s| given_up.get(&s.entry.uuid)?.as_ref());
    match errors.next() {
        Some(error) => Err(error.clone()),
        None => Ok(Step::Nothing),
    }
}

/// Takes note of the inputs that a merge failed because of; the error is returned if it was because of
/// none.
fn give_up_on(inputs: &[Arc<Segment>], error: Error, given_up: &mut Unmergeable) -> Result<()> {
    let damaged = |error: &Error| {
        let kind = error.kind();
        matches!(
            kind,
            ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Unsupported
        )
    };
    let named = inputs.iter().find(|s| error.path() == Some(s.path()));
    match named {
        Some(input) if damaged(&error) => {
            given_up.insert(input.entry.uuid, Some(error));
        }
        None if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid) => {
            // Invalid: each of them is sound, and all of them are more than a segment can hold.
            let error = (error.kind() == ErrorKind::Corrupt).then_some(error);
            given_up.extend(inputs.iter().map(|s| (s.entry.uuid, error.clone())));
        }
        _ => return Err(error),
    }
    Ok(())
}
