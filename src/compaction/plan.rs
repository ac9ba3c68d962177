//! Which segments to merge: a pure function of what there is.

use tidestone_format::manifest::SegmentEntry;
use tidestone_format::{Lsn, TimeRange};

use crate::store::TableVersion;

/// Segments of similar size that are merged at once, at least.
const FAN_IN: usize = 4;
/// Segments merged at once, at most.
const MAX_INPUTS: usize = 32;
/// Sizes are similar within this factor of rows.
const SIZE_RATIO: u64 = 4;
/// Segments of fewer rows count as if they had so many.
const SMALL_ROWS: u64 = 65_536;

/// A segment, as far as the decision needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) partition: TimeRange,
    pub(super) times: TimeRange,
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    pub(super) rows: u64,
    /// It spans more than one partition.
    pub(super) late: bool,
    /// A tombstone hides rows of it, or the horizon has passed some of them.
    pub(super) stale: bool,
}

/// How much it takes for a merge to be worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eagerness {
    Worthwhile,
    Everything,
}

impl Candidate {
    pub(super) fn of(entry: &SegmentEntry, table: &TableVersion) -> Self {
        let length = table.schema.settings.partition_ns;
        let (_, end) = crate::catalog::partition_of(entry.partition.start, length);
        let hidden = table.tombstones.iter().any(|(lsn, tombstone)| {
            *lsn > entry.last_lsn && tombstone.range.overlaps(&entry.times)
        });
        Self {
            partition: entry.partition,
            times: entry.times,
            first: entry.first_lsn,
            last: entry.last_lsn,
            rows: entry.rows,
            late: entry.partition.end > end,
            stale: hidden || entry.times.start < table.horizon,
        }
    }
}

/// The segments to rewrite or merge next, oldest first; `None` if nothing is worth it.
pub(super) fn choose(segments: &[Candidate], eagerness: Eagerness) -> Option<Vec<usize>> {
    // A late segment stands between the segments of every partition it spans: split it first.
    if let Some(late) = segments.iter().position(|s| s.late) {
        return Some(vec![late]);
    }
    let mut partitions: Vec<TimeRange> = segments.iter().map(|s| s.partition).collect();
    partitions.sort_by_key(|p| p.start);
    partitions.dedup();
    for partition in partitions.iter().rev() {
        let mut of: Vec<usize> = (0..segments.len())
            .filter(|&i| segments[i].partition == *partition)
            .collect();
        of.sort_by_key(|&i| segments[i].first);
        if let Some(run) = run_of(segments, &of, eagerness) {
            return Some(run);
        }
    }
    match eagerness {
        Eagerness::Worthwhile => None,
        Eagerness::Everything => segments.iter().position(|s| s.stale).map(|i| vec![i]),
    }
}

/// A run of neighbours of one partition, given oldest first.
fn run_of(segments: &[Candidate], of: &[usize], eagerness: Eagerness) -> Option<Vec<usize>> {
    if eagerness == Eagerness::Everything {
        let count = of.len().min(MAX_INPUTS);
        return (count > 1).then(|| of[..count].to_vec());
    }
    // The longest run, from the newest on, whose sizes are similar to what is gathered so far: each
    // row is then rewritten about log_4 of the number of flushes of its partition.
    let mut run: Vec<usize> = Vec::new();
    let mut gathered = 0;
    for &i in of.iter().rev().take(MAX_INPUTS) {
        let rows = segments[i].rows.max(SMALL_ROWS);
        if !run.is_empty() && rows > gathered * SIZE_RATIO {
            break;
        }
        gathered += rows;
        run.push(i);
    }
    run.reverse();
    (run.len() >= FAN_IN).then_some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(partition: i64, first: u64, last: u64, rows: u64) -> Candidate {
        let range = TimeRange {
            start: partition * 10,
            end: partition * 10 + 9,
        };
        Candidate {
            partition: range,
            times: range,
            first: Lsn(first),
            last: Lsn(last),
            rows,
            late: false,
            stale: false,
        }
    }

    #[test]
    fn four_similar_neighbours_are_merged_and_a_large_one_is_left() {
        let mut segments = vec![segment(0, 1, 10, 100_000_000)];
        for i in 0..3 {
            segments.push(segment(0, 20 + i * 10, 25 + i * 10, 1_000));
        }
        assert_eq!(choose(&segments, Eagerness::Worthwhile), None);
        segments.push(segment(0, 60, 65, 1_000));
        assert_eq!(
            choose(&segments, Eagerness::Worthwhile),
            Some(vec![1, 2, 3, 4])
        );
        assert_eq!(
            choose(&segments, Eagerness::Everything),
            Some(vec![0, 1, 2, 3, 4])
        );
    }

    #[test]
    fn partitions_do_not_mix() {
        let segments: Vec<_> = (0..8)
            .map(|i| segment(i64::from(i % 4 != 0), 1 + i as u64, 1 + i as u64, 10))
            .collect();
        let chosen = choose(&segments, Eagerness::Worthwhile).unwrap();
        assert!(
            chosen
                .iter()
                .all(|&i| segments[i].partition == segments[chosen[0]].partition)
        );
    }

    #[test]
    fn a_late_segment_is_split_before_anything_else() {
        let mut segments: Vec<_> = (0..5).map(|i| segment(0, 1 + i, 1 + i, 10)).collect();
        segments[2].late = true;
        assert_eq!(choose(&segments, Eagerness::Worthwhile), Some(vec![2]));
    }

    #[test]
    fn a_stale_segment_is_rewritten_on_demand_only() {
        let mut segments = vec![segment(0, 1, 1, 10)];
        assert_eq!(choose(&segments, Eagerness::Everything), None);
        segments[0].stale = true;
        assert_eq!(choose(&segments, Eagerness::Worthwhile), None);
        assert_eq!(choose(&segments, Eagerness::Everything), Some(vec![0]));
    }
}
