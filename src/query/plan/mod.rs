//! What a query has to read: the runs of a snapshot, and whose rows are where in them.

mod units;
mod walk;
pub(super) mod window;

use tidestone_format::{SeriesId, TimeRange};

pub(super) use units::{Unit, expected_rows, units};
pub(super) use walk::{Part, Walk, shares};

use super::Profile;
use crate::engine::Snapshot;
use crate::scan::hides;
use crate::scan::{self, Input, InputRun};

/// The runs of a snapshot that may have rows of the range, oldest first.
pub(super) fn inputs(snapshot: &Snapshot, range: TimeRange, profile: &mut Profile) -> Vec<Input> {
    let segments = &snapshot.table.segments;
    let inputs = scan::inputs(&snapshot.table, segments, &snapshot.head, range);
    for input in &inputs {
        match input.run {
            InputRun::Segment(_) => profile.segments += 1,
            InputRun::Chunk(_) => profile.chunks += 1,
        }
    }
    inputs
}

/// Whether a delete hides rows that the part of a series may have.
pub(super) fn has_deletes(input: &Input, series: SeriesId, times: &TimeRange) -> bool {
    let mut deletes = input.tombstones.iter();
    deletes.any(|t| t.range.overlaps(times) && t.selects(series))
}

/// The latest time at or before `time` that no delete of the input hides.
pub(super) fn visible_at(input: &Input, series: SeriesId, mut time: i64) -> Option<i64> {
    while let Some(hiding) = input.tombstones.iter().find(|t| hides(t, series, time)) {
        time = hiding.range.start.checked_sub(1)?;
    }
    Some(time)
}

/// Whether rows of one part may stand between, or on, those of another. Leaves the parts sorted
/// by time.
pub(super) fn interleave(parts: &mut [Part]) -> bool {
    parts.sort_by_key(|p| (p.times.start, p.input));
    parts.windows(2).any(|w| w[0].times.end >= w[1].times.start)
}
