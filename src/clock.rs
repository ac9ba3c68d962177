//! The one source of time, and the one place where threads wait for a time.
//!
//! # Invariants
//! 1. Nobody else asks the machine for the time, and nobody else waits with a limit of time.
//! 2. A wait for a time ends when the clock has come to it, or when its condition is notified. With a
//!    clock that is moved by hand, the time of the machine ends none.
//! 3. No move of such a clock is missed: it is moved first, then each waiter is notified under its own
//!    lock, under which it had looked at the clock.

use std::fmt::Debug;
use std::sync::Weak;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tidestone_format::Timestamp;

/// Tells the time, and says how to wait for one. The engine asks nobody else, so that it can be
/// simulated.
pub trait Clock: Send + Sync + Debug {
    /// Wall-clock time, nanoseconds since 1970 UTC. It may jump.
    fn now(&self) -> Timestamp;

    /// Nanoseconds since some fixed moment; never goes back.
    fn monotonic(&self) -> u64;

    /// How long a thread is to sleep that waits until [`monotonic`](Clock::monotonic) is `due`, before it
    /// looks again. `None`: until it is woken, as those are that [`watch`](Clock::watch) the clock. It is
    /// asked each time a thread begins to wait.
    fn sleep_until(&self, due: u64) -> Option<Duration>;

    /// Has a watcher told of every move of the clock from here on, as long as it lives. A clock that
    /// never answers `None` above has nothing to tell.
    fn watch(&self, watcher: Weak<dyn ClockWatcher>);
}

/// Who has threads that wait for a time.
pub trait ClockWatcher: Send + Sync + Debug {
    /// The clock was moved: threads that wait for a time are to look again. It is called without a lock
    /// of the clock.
    fn clock_moved(&self);
}

/// A time of a clock until which something is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline<'a> {
    clock: &'a dyn Clock,
    /// Monotonic nanoseconds.
    due: u64,
}

impl<'a> Deadline<'a> {
    /// The time when `clock.monotonic()` is `due`.
    pub(crate) fn at(clock: &'a dyn Clock, due: u64) -> Self {
        Self { clock, due }
    }

    /// `timeout` from now.
    pub(crate) fn after(clock: &'a dyn Clock, timeout: Duration) -> Self {
        Self::at(clock, clock.monotonic().saturating_add(nanos(timeout)))
    }

    pub(crate) fn has_passed(self) -> bool {
        self.clock.monotonic() >= self.due
    }

    /// Waits until the condition is notified or the deadline has passed; it may end sooner. `false`: it
    /// has passed, and nothing was waited for.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the seam the rule points to"
    )]
    pub(crate) fn wait<T>(self, condition: &Condvar, guard: &mut MutexGuard<'_, T>) -> bool {
        if self.has_passed() {
            return false;
        }
        match self.clock.sleep_until(self.due) {
            None => condition.wait(guard),
            Some(left) => drop(condition.wait_for(guard, left)),
        }
        true
    }

    /// Waits while `waits` says so, at most until the deadline, however often the condition is notified.
    pub(crate) fn wait_while<T>(
        self,
        condition: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        mut waits: impl FnMut(&mut T) -> bool,
    ) {
        while waits(&mut *guard) && self.wait(condition, guard) {}
    }
}

/// Waits for a moment that nothing ends early, before something is tried again. With a clock that is moved by
/// hand it returns at once.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the seam the rule points to"
)]
pub(crate) fn pause(clock: &dyn Clock, moment: Duration) {
    if let Some(left) = clock.sleep_until(clock.monotonic().saturating_add(nanos(moment))) {
        // Nobody else has them.
        let (never, condition) = (Mutex::new(()), Condvar::new());
        condition.wait_for(&mut never.lock(), left);
    }
}

/// A span as nanoseconds; what is longer than 584 years is that.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the seam the rule points to"
    )]
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the seam the rule points to"
    )]
    fn now(&self) -> Timestamp {
        let now = SystemTime::now();
        let nanos = match now.duration_since(UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
        };
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    fn monotonic(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    fn sleep_until(&self, due: u64) -> Option<Duration> {
        Some(Duration::from_nanos(due.saturating_sub(self.monotonic())))
    }

    fn watch(&self, _watcher: Weak<dyn ClockWatcher>) {}
}

/// A clock that a test sets. Who waits for a time of it waits until it was moved there, however long
/// that takes.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicI64,
    watchers: Mutex<Vec<Weak<dyn ClockWatcher>>>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            now: AtomicI64::new(now),
            watchers: Mutex::default(),
        }
    }

    /// Moves the clock forward, and wakes who waits for a time.
    pub fn advance(&self, nanos: i64) {
        self.now.fetch_add(nanos, Ordering::SeqCst);
        self.tell();
    }

    /// Sets the clock, and wakes who waits for a time.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now, Ordering::SeqCst);
        self.tell();
    }

    fn tell(&self) {
        // Told without the lock: who begins to watch may hold one that the others take.
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| watcher.strong_count() > 0);
        let told: Vec<_> = watchers.iter().filter_map(Weak::upgrade).collect();
        drop(watchers);
        for watcher in told {
            watcher.clock_moved();
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.now.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> u64 {
        self.now.load(Ordering::SeqCst).max(0).cast_unsigned()
    }

    fn sleep_until(&self, _due: u64) -> Option<Duration> {
        None
    }

    fn watch(&self, watcher: Weak<dyn ClockWatcher>) {
        self.watchers.lock().push(watcher);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread::scope;

    use super::*;

    /// Counts wishes, and notifies when the clock is moved.
    #[derive(Debug, Default)]
    struct Waiter {
        wishes: Mutex<u32>,
        changed: Condvar,
    }

    impl ClockWatcher for Waiter {
        fn clock_moved(&self) {
            let _wishes = self.wishes.lock();
            self.changed.notify_all();
        }
    }

    fn watched() -> (ManualClock, Arc<Waiter>) {
        let (clock, waiter) = (ManualClock::new(0), Arc::new(Waiter::default()));
        let watcher: Weak<Waiter> = Arc::downgrade(&waiter);
        clock.watch(watcher);
        (clock, waiter)
    }

    #[test]
    fn a_wait_ends_when_the_clock_was_moved_there() {
        let (clock, waiter) = watched();
        scope(|scope| {
            let waits = scope.spawn(|| {
                let deadline = Deadline::at(&clock, 1_000);
                let mut wishes = waiter.wishes.lock();
                deadline.wait_while(&waiter.changed, &mut wishes, |wishes| *wishes == 0);
                assert!(deadline.has_passed());
                clock.monotonic()
            });
            // However the two meet, it ends at the time and not before.
            for _ in 0..1_000 {
                clock.advance(1);
            }
            assert_eq!(waits.join().unwrap(), 1_000);
        });
    }

    #[test]
    fn a_wait_ends_when_its_condition_says_so() {
        for clock in [&ManualClock::new(0) as &dyn Clock, &SystemClock::default()] {
            let waiter = Waiter::default();
            scope(|scope| {
                scope.spawn(|| {
                    *waiter.wishes.lock() += 1;
                    waiter.changed.notify_all();
                });
                let mut wishes = waiter.wishes.lock();
                let deadline = Deadline::after(clock, Duration::MAX);
                deadline.wait_while(&waiter.changed, &mut wishes, |wishes| *wishes == 0);
                assert!(*wishes == 1 && !deadline.has_passed());
            });
        }
    }

    #[test]
    fn the_clock_of_the_machine_ends_waits_by_itself() {
        let (clock, waiter) = (SystemClock::default(), Waiter::default());
        let deadline = Deadline::after(&clock, Duration::from_millis(1));
        let mut wishes = waiter.wishes.lock();
        deadline.wait_while(&waiter.changed, &mut wishes, |_| true);
        assert!(deadline.has_passed());
        assert_eq!(clock.sleep_until(0), Some(Duration::ZERO));
    }

    #[test]
    fn watchers_that_are_gone_are_forgotten() {
        let (clock, waiter) = watched();
        clock.advance(1);
        assert_eq!(clock.watchers.lock().len(), 1);
        drop(waiter);
        clock.advance(1);
        assert!(clock.watchers.lock().is_empty());
    }
}
