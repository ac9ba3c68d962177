//! Whether the wall clock is to be believed before something is deleted because of it.

use rustc_hash::FxHashMap;
use tidestone_format::{TableId, Timestamp};

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
    pub(crate) fn allow(
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

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
