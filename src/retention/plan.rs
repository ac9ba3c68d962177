//! Where a table's horizon should be: pure functions.

use tidestone_format::{TimeRange, Timestamp};

/// The horizon that drops the oldest partitions until at most `limit` bytes are left; `None` if there
/// are no more. The newest partition always stays.
pub(super) fn horizon_of_bytes(segments: &[(TimeRange, u64)], limit: u64) -> Option<Timestamp> {
    let mut by_age: Vec<_> = segments.to_vec();
    by_age.sort_by_key(|(partition, _)| partition.end);
    let newest = by_age.last()?.0.end;
    let mut total: u64 = by_age.iter().map(|(_, bytes)| bytes).sum();
    let mut horizon = None;
    for (partition, bytes) in by_age {
        if total <= limit || partition.end == newest {
            break;
        }
        total -= bytes;
        horizon = Some(partition.end.saturating_add(1));
    }
    horizon
}

/// The horizon that drops the oldest partition; `None` if there is but the newest.
pub(super) fn horizon_behind_oldest(segments: &[(TimeRange, u64)]) -> Option<Timestamp> {
    let all: u64 = segments.iter().map(|(_, bytes)| bytes).sum();
    horizon_of_bytes(segments, all.saturating_sub(1))
}

/// Whether some ranges, ascending by their starts, leave none of the times of `span` out.
pub(super) fn covers(ranges: impl Iterator<Item = TimeRange>, span: TimeRange) -> bool {
    let mut next = span.start;
    for range in ranges {
        if range.start > next {
            return false;
        }
        if range.end >= span.end {
            return true;
        }
        next = next.max(range.end.saturating_add(1));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_drop_the_oldest_partitions_and_never_the_newest() {
        let part = |i: i64| TimeRange {
            start: i * 10,
            end: i * 10 + 9,
        };
        let segments = [(part(2), 50), (part(0), 50), (part(1), 50)];
        assert_eq!(horizon_of_bytes(&segments, 150), None);
        assert_eq!(horizon_of_bytes(&segments, 120), Some(10));
        assert_eq!(horizon_of_bytes(&segments, 1), Some(20));
        assert_eq!(horizon_of_bytes(&[], 1), None);
        assert_eq!(horizon_behind_oldest(&segments), Some(10));
        assert_eq!(horizon_behind_oldest(&segments[..1]), None);
        assert_eq!(horizon_behind_oldest(&[]), None);
    }

    #[test]
    fn ranges_cover_a_span_together_or_leave_something_out() {
        let check = |ranges: &[(i64, i64)], span: (i64, i64), expected: bool| {
            let range = |&(start, end): &(i64, i64)| TimeRange { start, end };
            let covered = covers(ranges.iter().map(range), range(&span));
            assert_eq!(covered, expected, "{ranges:?} of {span:?}");
        };
        check(&[], (3, 3), false);
        check(&[(3, 3)], (3, 3), true);
        check(&[(0, 9)], (3, 5), true);
        check(&[(0, 4)], (3, 5), false);
        check(&[(4, 9)], (3, 5), false);
        check(&[(0, 3), (4, 5)], (3, 5), true);
        check(&[(0, 3), (5, 9)], (3, 5), false);
        check(&[(0, 1), (1, 2), (2, 9)], (3, 5), true);
        check(&[(0, 4), (1, 2), (5, 5)], (3, 5), true);
        check(&[(i64::MIN, i64::MAX)], (i64::MIN, i64::MAX), true);
        check(
            &[(i64::MIN, 0), (1, i64::MAX - 1)],
            (i64::MIN, i64::MAX),
            false,
        );
    }
}
