//! Whether the wall clock is to be believed before something is deleted because of it.
//!
//! A wall clock can be wrong by years, at the first boot or after any other, and nothing says so. What can be
//! had is *time that was watched*: while a process runs, the monotonic clock says how much time passed. It
//! says nothing about the time between two runs.
//!
//! So two things are kept, across runs, in the manifest:
//! - what is **believed**: a time that has passed for certain. While a process runs it moves on as the
//!   monotonic clock does, whatever the wall clock shows. Nothing is believed at first.
//! - a **claim**: the wall clock showed `since`, and `steady` of time was watched after that. If the clock was
//!   right then, it is now at least `since + steady`. A claim that was watched for 24 hours in which the
//!   clock did not take it back is believed, and a new one begins. The hours may come from any number of runs:
//!   an application that runs four hours a day believes a claim after six days.
//!
//! # Why a jump does not delete
//! - *Ahead while running*: what is believed moves with the monotonic clock only.
//! - *Ahead at a start, or at the very first one*: the claim from before goes on, and says nothing about the
//!   jump; one that begins at the wrong time needs 24 watched hours. When the clock is set right before
//!   that, it shows less than the claim says, and each moment in which it does takes back
//!   [`DOUBT`] times as much: an hour refutes any claim, a quarter of a minute what five wrong minutes at
//!   each of many starts gathered.
//! - *Back*: nothing is deleted because of less time, and what is believed stays.
//! - A clock that is wrong for 24 watched hours and never set right is believed. That is the bound.
//!
//! # Why it goes on
//! Every 24 watched hours a claim is believed, however they are spread, so what is believed lags behind the
//! wall clock by the time between at most 48 watched hours, and not at all while one process runs for long. A
//! clock that starts behind for a moment (set from the network later) takes back 24 such moments, no more.

use tidestone_format::Timestamp;
use tidestone_format::manifest::ClockTrust;

/// How long a claim is watched before it is believed, nanoseconds.
const WATCHED: u64 = 24 * 3600 * 1_000_000_000;
/// How far the clock may fall behind a claim without speaking against it: clocks drift apart.
const TOLERANCE: i64 = 600 * 1_000_000_000;
/// How much time in favour of a claim is taken back by time against it.
const DOUBT: u64 = 24;
/// How much watched time is lost at most when a process dies.
const SAVE_EVERY: u64 = 600 * 1_000_000_000;

/// Watches the wall clock against the monotonic one.
#[derive(Debug)]
pub(crate) struct Steadiness {
    /// When the clocks were last looked at, monotonic.
    looked: u64,
    /// When what is known was last saved, monotonic.
    saved: u64,
    trust: Option<ClockTrust>,
}

impl Steadiness {
    /// Begins to watch at the given monotonic time.
    pub(crate) fn new(monotonic: u64) -> Self {
        Self {
            looked: monotonic,
            saved: monotonic,
            trust: None,
        }
    }

    /// Looks at the clocks. `kept` is what an earlier run knew.
    pub(crate) fn look(&mut self, kept: Option<ClockTrust>, wall: Timestamp, monotonic: u64) {
        let passed = monotonic.saturating_sub(self.looked);
        self.looked = self.looked.max(monotonic);
        let fresh = |believed| ClockTrust {
            believed,
            since: wall,
            steady_ns: 0,
        };
        let Some(mut trust) = self.trust.or(kept) else {
            self.trust = Some(fresh(Timestamp::MIN));
            return;
        };
        if trust.believed != Timestamp::MIN {
            trust.believed = later(trust.believed, passed);
        }
        let claimed = later(trust.since, trust.steady_ns.saturating_add(passed));
        if wall.saturating_add(TOLERANCE) >= claimed {
            trust.steady_ns = trust.steady_ns.saturating_add(passed);
            if trust.steady_ns >= WATCHED {
                trust = fresh(trust.believed.max(claimed.min(wall)));
            }
        } else {
            trust = match trust.steady_ns.checked_sub(passed.saturating_mul(DOUBT)) {
                Some(left) if left > 0 => ClockTrust {
                    steady_ns: left,
                    ..trust
                },
                _ => fresh(trust.believed),
            };
        }
        self.trust = Some(trust);
    }

    /// The time it is, as far as it is certain, but for one partition: the lowest one if nothing is.
    pub(crate) fn certain(&self, wall: Timestamp, partition: i64) -> Timestamp {
        match self.trust {
            Some(trust) if trust.believed != Timestamp::MIN => {
                wall.min(trust.believed.saturating_add(partition))
            }
            _ => Timestamp::MIN,
        }
    }

    /// What is to be saved, if it is worth it by now or the run ends.
    pub(crate) fn to_save(&self, ends: bool) -> Option<ClockTrust> {
        let due = ends || self.looked.saturating_sub(self.saved) >= SAVE_EVERY;
        self.trust.filter(|_| due)
    }

    /// Notes that what is known was saved.
    pub(crate) fn note_saved(&mut self) {
        self.saved = self.looked;
    }
}

fn later(time: Timestamp, nanos: u64) -> Timestamp {
    time.saturating_add_unsigned(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    /// The right time when a test begins.
    const START: i64 = 50 * YEAR;

    /// A machine whose clock is wrong by something.
    struct Machine {
        now: i64,
        wrong_by: i64,
        monotonic: u64,
        kept: Option<ClockTrust>,
        run: Steadiness,
    }

    impl Machine {
        fn new(wrong_by: i64) -> Self {
            Self {
                now: START,
                wrong_by,
                monotonic: 0,
                kept: None,
                run: Steadiness::new(0),
            }
        }

        /// Runs for a while, and looks every ten minutes.
        fn run(&mut self, nanos: i64) {
            let mut left = nanos;
            while left > 0 {
                let step = left.min(10 * MINUTE);
                self.now += step;
                self.monotonic += step.cast_unsigned();
                let wall = self.now + self.wrong_by;
                self.run.look(self.kept, wall, self.monotonic);
                left -= step;
            }
        }

        /// Is off for a while; everything was saved.
        fn off(&mut self, nanos: i64) {
            self.kept = self.run.to_save(true).or(self.kept);
            self.now += nanos;
            self.monotonic = 77;
            self.run = Steadiness::new(self.monotonic);
        }

        /// The time of which a table with partitions of an hour is certain.
        fn certain(&self) -> i64 {
            self.run.certain(self.now + self.wrong_by, HOUR)
        }

        fn is_never_ahead(&self) {
            let ahead = self.certain().saturating_sub(self.now);
            assert!(ahead <= HOUR, "believes a time {ahead} ns ahead");
        }
    }

    #[test]
    fn a_steady_clock_is_believed_after_a_day_and_to_the_moment() {
        let mut machine = Machine::new(0);
        machine.run(23 * HOUR);
        assert_eq!(machine.certain(), i64::MIN);
        machine.run(2 * HOUR);
        assert_eq!(machine.certain(), machine.now);
        machine.run(3 * DAY);
        assert_eq!(machine.certain(), machine.now);
    }

    #[test]
    fn a_clock_jump_does_not_delete() {
        let mut machine = Machine::new(0);
        machine.run(2 * DAY);
        machine.wrong_by = YEAR;
        for _ in 0..23 {
            machine.run(HOUR);
            machine.is_never_ahead();
        }
        // Set right: what was believed goes on as if nothing had been.
        machine.wrong_by = 0;
        machine.run(HOUR);
        assert_eq!(machine.certain(), machine.now);
        for _ in 0..100 {
            machine.run(HOUR);
            assert_eq!(machine.certain(), machine.now);
        }
    }

    #[test]
    fn a_clock_that_is_years_ahead_at_the_first_start_is_not_believed() {
        let mut machine = Machine::new(10 * YEAR);
        machine.run(20 * HOUR);
        assert_eq!(machine.certain(), i64::MIN);
        machine.wrong_by = 0;
        machine.run(30 * HOUR);
        assert_eq!(machine.certain(), machine.now);
    }

    #[test]
    fn a_jump_at_a_start_is_not_believed_because_of_the_runs_before() {
        let mut machine = Machine::new(0);
        for _ in 0..30 {
            machine.run(4 * HOUR);
            machine.off(20 * HOUR);
        }
        machine.wrong_by = YEAR;
        for _ in 0..5 {
            machine.run(4 * HOUR);
            machine.is_never_ahead();
            machine.off(20 * HOUR);
        }
        machine.wrong_by = 0;
        for _ in 0..30 {
            machine.run(4 * HOUR);
            machine.is_never_ahead();
            machine.off(20 * HOUR);
        }
    }

    #[test]
    fn a_clock_that_is_ahead_for_a_while_at_each_start_is_never_believed() {
        let mut machine = Machine::new(0);
        for _ in 0..1_000 {
            machine.wrong_by = YEAR;
            machine.run(5 * MINUTE);
            machine.wrong_by = 0;
            machine.run(30 * MINUTE);
            machine.is_never_ahead();
            machine.off(HOUR);
        }
    }

    #[test]
    fn a_few_hours_a_day_are_enough_to_go_on() {
        // The clock may be behind for a minute until it is set.
        for behind in [0, MINUTE] {
            let mut machine = Machine::new(0);
            let mut before = i64::MIN;
            for day in 0..60 {
                machine.wrong_by = -DAY;
                machine.run(behind);
                machine.wrong_by = 0;
                machine.run(3 * HOUR);
                let certain = machine.certain();
                assert!(certain >= before, "day {day}");
                assert!(certain <= machine.now);
                if day > 20 {
                    let lag = (machine.now - certain) / DAY;
                    assert!(lag < 20, "day {day}: {lag} days behind");
                }
                before = certain;
                machine.off(21 * HOUR);
            }
        }
    }

    #[test]
    fn a_clock_that_falls_back_takes_nothing_back() {
        let mut machine = Machine::new(0);
        machine.run(2 * DAY);
        machine.wrong_by = -YEAR;
        machine.run(DAY);
        assert_eq!(machine.certain(), machine.now - YEAR);
        machine.wrong_by = 0;
        machine.run(10 * MINUTE);
        assert_eq!(machine.certain(), machine.now);
    }
}
