//! Whose turn it is to write the log, and where those wait whom it concerns.
//!
//! One thread at a time takes what is pending, writes it, syncs it where somebody wants that, and says
//! so: that is a *turn*. With many threads that commit and wait, most of what a commit costs is putting
//! a thread to sleep and waking it, so:
//!
//! # Invariants
//! 1. Who waits sleeps until the turn has ended that its frame is written in: the one on its way, or the
//!    next one, where that came too late for it.
//! 2. The end of a turn wakes all who waited for it and one of those who wait for the next, to take it:
//!    so a turn that somebody waits for is taken.
//! 3. Those who are woken get no lock handed over that they would take one behind the other. (That is
//!    why they wait at std's `Condvar`: the other moves those it wakes to its lock.)

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tidestone_format::Lsn;

/// Who is at it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    Nobody,
    /// Somebody is about to take what is pending, with whatever comes until then.
    Gathers,
    /// Somebody writes everything up to `last`, and syncs it if `sync`.
    Writes {
        last: Lsn,
        sync: bool,
    },
}

impl Turn {
    pub(super) fn is_taken(self) -> bool {
        !matches!(self, Self::Nobody)
    }

    /// Whether the turn ends with `lsn` written, and synced if `sync`, unless it fails.
    fn is_for(self, lsn: Lsn, sync: bool) -> bool {
        match self {
            Self::Nobody => false,
            Self::Gathers => true,
            Self::Writes { last, sync: syncs } => lsn <= last && (syncs || !sync),
        }
    }
}

/// Threads that wait for a turn to end.
#[derive(Debug, Default)]
struct Bench {
    /// Held by who is about to sleep, so that it is not told before.
    sitting: Mutex<()>,
    told: Condvar,
}

impl Bench {
    fn sit(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that a panic could leave half done.
        self.sitting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place on a bench: nobody is missed from here on.
#[derive(Debug)]
#[must_use = "it is taken to wait there"]
pub(super) struct Seat<'a> {
    bench: &'a Bench,
    sitting: MutexGuard<'a, ()>,
}

impl Seat<'_> {
    /// Sleeps until woken, or for no reason at all: whoever calls looks again. The lock of the log is to be
    /// released before.
    pub(super) fn wait(self) {
        let woken = self.bench.told.wait(self.sitting);
        drop(woken.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The benches of the turn on its way and of the next one, which take turns too.
#[derive(Debug, Default)]
pub(super) struct Turns {
    benches: [Bench; 2],
}

impl Turns {
    /// A place to wait until turn `number`, which is `turn`, is over, or the next one, if that is the one
    /// for `lsn`. Called under the lock of the log.
    pub(super) fn seat(&self, number: u64, turn: Turn, lsn: Lsn, sync: bool) -> Seat<'_> {
        let number = match turn.is_for(lsn, sync) {
            true => number,
            false => number + 1,
        };
        let bench = self.bench(number);
        Seat {
            bench,
            sitting: bench.sit(),
        }
    }

    /// Turn `number` is over. Called without the lock of the log, which those that are woken need.
    pub(super) fn ended(&self, number: u64) {
        let (over, next) = (self.bench(number), self.bench(number + 1));
        drop(next.sit());
        next.told.notify_one();
        drop(over.sit());
        over.told.notify_all();
    }

    /// No turn may come any more that somebody waits for: all are to look.
    pub(super) fn wake_all(&self) {
        for bench in &self.benches {
            drop(bench.sit());
            bench.told.notify_all();
        }
    }

    fn bench(&self, number: u64) -> &Bench {
        &self.benches[usize::from(number % 2 == 1)]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread::{scope, yield_now};

    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn a_turn_is_for_what_it_writes_and_syncs() {
        let (early, late) = (Lsn(5), Lsn(6));
        let writes = |sync| Turn::Writes { last: early, sync };
        for (turn, lsn, sync, is_for) in [
            (Turn::Nobody, early, false, false),
            (Turn::Gathers, late, true, true),
            (writes(true), early, true, true),
            (writes(true), early, false, true),
            (writes(true), late, false, false),
            (writes(false), early, false, true),
            (writes(false), early, true, false),
        ] {
            assert_eq!(turn.is_for(lsn, sync), is_for, "{turn:?}, {lsn}, {sync}");
        }
    }

    /// A log that writes nothing: what is left of it is who waits for whom.
    #[derive(Debug, Default)]
    struct Log {
        state: Mutex<State>,
        turns: Turns,
    }

    #[derive(Debug)]
    struct State {
        appended: u64,
        written: u64,
        turn: Turn,
        over: u64,
    }

    impl Default for State {
        fn default() -> Self {
            Self {
                appended: 0,
                written: 0,
                turn: Turn::Nobody,
                over: 0,
            }
        }
    }

    impl Log {
        fn append(&self) -> Lsn {
            let mut state = self.state.lock();
            state.appended += 1;
            Lsn(state.appended)
        }

        /// Takes a turn, in which `meanwhile` happens, or waits for one.
        fn go_on(&self, lsn: Lsn, meanwhile: impl FnOnce()) {
            let mut state = self.state.lock();
            if state.written >= lsn.0 {
                return;
            }
            if state.turn.is_taken() {
                let seat = self.turns.seat(state.over, state.turn, lsn, true);
                drop(state);
                return seat.wait();
            }
            let last = Lsn(state.appended);
            state.turn = Turn::Writes { last, sync: true };
            drop(state);
            meanwhile();
            let mut state = self.state.lock();
            (state.written, state.turn) = (last.0, Turn::Nobody);
            let number = state.over;
            state.over += 1;
            drop(state);
            self.turns.ended(number);
        }

        fn is_written(&self, lsn: Lsn) -> bool {
            self.state.lock().written >= lsn.0
        }
    }

    /// Nobody comes by who would take the next turn: one of those that wait for it has to.
    #[test]
    fn who_waits_for_the_next_turn_takes_it() {
        const THREADS: usize = 8;
        let (log, all_wait) = (Log::default(), Barrier::new(THREADS + 1));
        let first = log.append();
        scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    all_wait.wait();
                    let lsn = log.append();
                    all_wait.wait();
                    while !log.is_written(lsn) {
                        log.go_on(lsn, yield_now);
                    }
                });
            }
            log.go_on(first, || {
                // They append while this turn is on its way, so none of them is in it.
                all_wait.wait();
                all_wait.wait();
            });
        });
        assert_eq!(log.state.lock().written, 1 + THREADS as u64);
    }

    #[test]
    fn nobody_sleeps_on_however_turns_and_waits_meet() {
        const THREADS: u64 = 16;
        const EACH: u64 = 500;
        let log = Log::default();
        scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let lsn = log.append();
                        while !log.is_written(lsn) {
                            log.go_on(lsn, yield_now);
                        }
                    }
                });
            }
        });
        let state = log.state.lock();
        assert_eq!(state.written, THREADS * EACH);
        assert!(state.over <= state.written, "a turn for nobody");
    }
}
