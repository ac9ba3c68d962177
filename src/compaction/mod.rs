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
//!    and in memory about a row group of what it writes and a slice of each input.
//! 5. A merge stops soon after the database closes or its inputs are dropped ([`watch`]).

mod plan;
mod run;
mod watch;

use tidestone_format::FileUuid;

use crate::engine::Engine;
use crate::error::Result;

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
            let (id, split) = (table.schema.id, plan::Split::At(Vec::new()));
            let step = run::merge(engine, &version, id, std::slice::from_ref(segment), &split)?;
            return Ok(step == Step::Merged);
        }
    }
    Ok(false)
}

fn choose_and_run(engine: &Engine, eagerness: plan::Eagerness) -> Result<Step> {
    engine.writable()?;
    let _only_one = engine.compacting.lock();
    let version = engine.store.version();
    for table in version.tables.values() {
        let segments: Vec<plan::Candidate> = table
            .segments
            .iter()
            .map(|s| plan::Candidate::of(&s.entry, table))
            .collect();
        if let Some(choice) = plan::choose(&segments, eagerness) {
            let inputs = choice.inputs.iter().map(|&i| table.segments[i].clone());
            let inputs: Vec<_> = inputs.collect();
            engine.store.edit().check()?;
            return run::merge(engine, &version, table.schema.id, &inputs, &choice.split);
        }
    }
    Ok(Step::Nothing)
}
