//! Where a table's horizon should be: pure functions.

use rustc_hash::FxHashMap;
use tidestone_format::{TableId, TimeRange, Timestamp};

/// How long the clock must have been steady before a large step is believed, nanoseconds.
const STEADY_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Watches how the wanted horizon of each table moves against the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Steadiness {
    seen: FxHashMap<TableId, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    wanted: Timestamp,
    monotonic: u64,
    /// Since when the wanted horizon has moved as the monotonic clock did.
    steady_since: u64,
}

impl Steadiness {
    /// The horizon to set now: `wanted`, or `known` while the step is not to be believed.
    pub(super) fn allow(
        &mut self,
        table: TableId,
        known: Timestamp,
        wanted: Timestamp,
        partition: i64,
        monotonic: u64,
    ) -> Timestamp {
        let before = self.seen.get(&table).copied();
        let elapsed =
            |since: u64| i64::try_from(monotonic.saturating_sub(since)).unwrap_or(i64::MAX);
        let jumped = before.is_none_or(|b| {
            let step = wanted.saturating_sub(b.wanted);
            step > elapsed(b.monotonic).saturating_add(partition) || step < -partition
        });
        let steady_since = match before {
            Some(b) if !jumped => b.steady_since,
            _ => monotonic,
        };
        self.seen.insert(
            table,
            Seen {
                wanted,
                monotonic,
                steady_since,
            },
        );
        let small = before.is_some_and(|b| {
            wanted.saturating_sub(known) <= elapsed(b.monotonic).saturating_add(partition)
        });
        let first_ever = known == Timestamp::MIN && before.is_none();
        let steady = monotonic.saturating_sub(steady_since) >= STEADY_NS;
        // A table that never had a horizon has nothing to compare the clock with; what it would
        // drop was written under the same clock.
        if wanted > known && (first_ever || (small && !jumped) || steady) {
            wanted
        } else {
            known
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

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
    }

    #[test]
    fn a_clock_jump_does_not_delete() {
        let mut steadiness = Steadiness::default();
        let table = TableId(1);
        let hour = HOUR.cast_unsigned();
        assert_eq!(
            steadiness.allow(table, Timestamp::MIN, 0, HOUR, 0),
            0,
            "the first horizon"
        );
        assert_eq!(
            steadiness.allow(table, 0, HOUR, HOUR, hour),
            HOUR,
            "time passes"
        );
        let jump = 1000 * HOUR;
        assert_eq!(
            steadiness.allow(table, HOUR, jump, HOUR, 2 * hour),
            HOUR,
            "a jump"
        );
        for h in 1..24 {
            let now = 2 * hour + h * hour;
            let wanted = jump + h.cast_signed() * HOUR;
            assert_eq!(
                steadiness.allow(table, HOUR, wanted, HOUR, now),
                HOUR,
                "hour {h}"
            );
        }
        let wanted = jump + 25 * HOUR;
        assert_eq!(
            steadiness.allow(table, HOUR, wanted, HOUR, 27 * hour),
            wanted,
            "a steady day"
        );
    }
}
