//! Buckets of time.

use tidestone_format::{TimeRange, Timestamp};

/// Spans of equal length, aligned to 1970; or one span that is all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Buckets {
    /// Positive.
    width: Option<i64>,
}

impl Buckets {
    /// Buckets of `width` nanoseconds, which is positive; `None`: one for everything.
    pub(super) fn new(width: Option<i64>) -> Self {
        debug_assert!(width.is_none_or(|w| w > 0));
        Self { width }
    }

    /// The number of the bucket that has `time`.
    #[inline]
    pub(super) fn number(self, time: Timestamp) -> i64 {
        self.width.map_or(0, |width| time.div_euclid(width))
    }

    /// The times of a bucket.
    #[inline]
    pub(super) fn times(self, number: i64) -> TimeRange {
        let Some(width) = self.width else {
            return TimeRange::ALL;
        };
        match number.checked_mul(width) {
            Some(start) => TimeRange {
                start,
                end: start.saturating_add(width - 1),
            },
            // The first bucket is cut short by the start of time.
            None => TimeRange {
                start: i64::MIN,
                end: (number + 1).saturating_mul(width) - 1,
            },
        }
    }

    /// Where the first rows of `times`, which ascend and are not empty, leave the bucket they start
    /// in: its number, and how many rows.
    #[inline]
    pub(super) fn leading(self, times: &[Timestamp]) -> (i64, usize) {
        /// So many rows are looked at one by one before steps are taken.
        const STEP: usize = 16;
        let number = self.number(times[0]);
        let end = self.times(number).end;
        let near = times.len().min(STEP);
        let count = times[..near].iter().take_while(|t| **t <= end).count();
        if count < near || near == times.len() {
            return (number, count);
        }
        if times[times.len() - 1] <= end {
            return (number, times.len());
        }
        (number, near + times[near..].partition_point(|t| *t <= end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_all_time_without_overflow() {
        for width in [1, 2, 7, 60_000_000_000, i64::MAX - 1, i64::MAX] {
            let buckets = Buckets::new(Some(width));
            let near = [i64::MIN, -width, -1, 0, 1, width, i64::MAX];
            let times = near
                .iter()
                .flat_map(|t| (-2..=2).map(|d| t.saturating_add(d)));
            for time in times {
                let span = buckets.times(buckets.number(time));
                assert!(span.contains(time), "{time} in {span:?} of {width}");
                let before = span.start.checked_sub(1);
                let after = span.end.checked_add(1);
                for other in before.into_iter().chain(after) {
                    assert_ne!(buckets.number(other), buckets.number(time));
                }
            }
        }
        assert_eq!(Buckets::new(Some(10)).times(-1).start, -10);
        assert_eq!(Buckets::new(None).times(0), TimeRange::ALL);
    }

    #[test]
    fn leading_rows_end_with_their_bucket() {
        let buckets = Buckets::new(Some(100));
        for step in [1, 3, 99, 100, 101, 1000] {
            let times: Vec<i64> = (0..500).map(|i| i * step - 777).collect();
            for from in 0..times.len() {
                let number = times[from].div_euclid(100);
                let same = times[from..].iter().filter(|t| t.div_euclid(100) == number);
                assert_eq!(buckets.leading(&times[from..]), (number, same.count()));
            }
        }
    }
}
