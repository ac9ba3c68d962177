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

    /// The numbers of the first and last bucket of some times.
    pub(super) fn numbers(self, times: TimeRange) -> (i64, i64) {
        (self.number(times.start), self.number(times.end))
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

    /// The bucket that has `time`.
    #[inline]
    pub(super) fn of(self, time: Timestamp) -> Bucket {
        let number = self.number(time);
        let end = self.times(number).end;
        Bucket { number, end }
    }

    /// The bucket that has `time`, which is after `earlier`: mostly the next one, which takes no
    /// division to find.
    #[inline]
    pub(super) fn after(self, earlier: Bucket, time: Timestamp) -> Bucket {
        match self.width.and_then(|width| earlier.end.checked_add(width)) {
            Some(end) if time <= end => Bucket {
                number: earlier.number + 1,
                end,
            },
            _ => self.of(time),
        }
    }
}

/// A bucket: its number, and the last time it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) number: i64,
    pub(super) end: Timestamp,
}

impl Bucket {
    /// How many of the first of `times`, which ascend, are not after the bucket.
    #[inline]
    pub(super) fn leading(self, times: &[Timestamp]) -> usize {
        /// So many rows are looked at one by one before steps are taken.
        const STEP: usize = 16;
        let near = times.len().min(STEP);
        let count = times[..near].iter().take_while(|t| **t <= self.end).count();
        if count < near || near == times.len() {
            return count;
        }
        if times[times.len() - 1] <= self.end {
            return times.len();
        }
        near + times[near..].partition_point(|t| *t <= self.end)
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
                let bucket = buckets.of(times[from]);
                assert_eq!(bucket.number, times[from].div_euclid(100));
                let same = times[from..]
                    .iter()
                    .filter(|t| t.div_euclid(100) == bucket.number);
                assert_eq!(bucket.leading(&times[from..]), same.count());
            }
        }
    }

    #[test]
    fn a_bucket_is_the_same_however_it_is_found() {
        for width in [None, Some(1), Some(7), Some(i64::MAX - 1), Some(i64::MAX)] {
            let buckets = Buckets::new(width);
            let near = [i64::MIN, -7, 0, 7, i64::MAX - 7, i64::MAX];
            let mut times: Vec<i64> = near
                .iter()
                .flat_map(|t| (-8..=8).map(|d| t.saturating_add(d)))
                .collect();
            times.sort_unstable();
            let mut bucket = buckets.of(times[0]);
            for time in times {
                if time > bucket.end {
                    bucket = buckets.after(bucket, time);
                }
                assert_eq!(bucket, buckets.of(time), "{time} of {width:?}");
            }
        }
    }
}
