//! How commits and background threads tell each other.
//!
//! Two threads work in the background: one flushes and drops what is past retention, one merges. Each has
//! wishes of its own here, and a wish for one is nothing that the other waits behind.
//!
//! # Invariants
//! 1. What is due by time is due at an absolute time: wishes that come earlier do not put it off.
//! 2. How one kind of work ended says nothing about another: a merge that fails does not fail who waits
//!    for a flush, and one that succeeds does not hide that flushing fails.
//! 3. Commits that wait for memory and threads that wait for work are woken apart.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::clock::{Clock, Deadline, nanos};
use crate::config::Options;
use crate::error::{Error, ErrorKind, Result};

/// How often retention is looked at, where rows are not flushed by age.
const RETENTION_EVERY: Duration = Duration::from_secs(600);

/// What threads of a database want of each other.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    state: Mutex<SignalState>,
    /// Something is wanted of a background thread.
    wanted: Condvar,
    /// There may be memory, or none will come.
    memory: Condvar,
    /// Rows in memory, in bytes.
    pub(crate) head_bytes: AtomicUsize,
    /// Strings among them, in bytes.
    pub(crate) head_text: AtomicUsize,
    /// Beside the state, so that a merge can look often.
    closing: AtomicBool,
}

#[derive(Debug, Default)]
struct SignalState {
    flush_wanted: bool,
    merge_wanted: bool,
    /// When the last flush took what was in memory, monotonic nanoseconds.
    flushed_at: u64,
    /// Why the last work of each kind failed.
    failures: [Option<Error>; Work::KINDS],
    /// How many flushes in the background have ended.
    flushes_ended: u64,
    space_wanted: bool,
    /// How often space was looked for on a full disk.
    space_sought: u64,
    /// Whether some was made when it was last looked for.
    space_made: bool,
}

/// What a background thread is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Rows go from memory to segments.
    Flush,
    /// The disk is full, and what may be dropped then is.
    MakeSpace,
    /// What is past retention is dropped, and readers of the log that are too slow.
    Retain,
    /// Segments are merged.
    Merge,
}

impl Work {
    const KINDS: usize = 4;
}

/// When the flush thread acts without being asked. All times are monotonic nanoseconds.
#[derive(Debug)]
pub(crate) struct Timetable {
    /// How long rows may stay in memory.
    flush_every: Option<u64>,
    retain_every: u64,
    flush_tried: u64,
    retain_tried: u64,
}

impl Timetable {
    /// The timetable of a database that is opened `now`.
    pub(crate) fn new(options: &Options, now: u64) -> Self {
        Self {
            flush_every: options.flush_after.map(nanos),
            retain_every: nanos(options.flush_after.unwrap_or(RETENTION_EVERY)),
            flush_tried: now,
            retain_tried: now,
        }
    }

    /// Notes that work is begun `now`.
    pub(crate) fn begin(&mut self, work: Work, now: u64) {
        match work {
            Work::Flush => self.flush_tried = now,
            Work::Retain => self.retain_tried = now,
            Work::MakeSpace | Work::Merge => {}
        }
    }

    /// What is due next, and when; `flushed_at` is when somebody flushed last.
    fn next(&self, flushed_at: u64) -> (Work, u64) {
        let retain = self.retain_tried.saturating_add(self.retain_every);
        // After one that failed, flushing is tried again as if it had worked.
        let flushed = self.flush_tried.max(flushed_at);
        match self.flush_every.map(|every| flushed.saturating_add(every)) {
            Some(flush) if flush <= retain => (Work::Flush, flush),
            _ => (Work::Retain, retain),
        }
    }
}

impl Signals {
    /// Rows in memory, in bytes.
    pub(crate) fn head_bytes(&self) -> usize {
        self.head_bytes.load(Ordering::Relaxed)
    }

    /// Asks for a flush in the background.
    pub(crate) fn want_flush(&self) {
        self.state.lock().flush_wanted = true;
        self.wanted.notify_all();
    }

    /// Asks the background to look for segments to merge.
    pub(crate) fn want_merge(&self) {
        self.state.lock().merge_wanted = true;
        self.wanted.notify_all();
    }

    /// Tells the background threads to end, and merges to stop.
    pub(crate) fn close(&self) {
        let state = self.state.lock();
        self.closing.store(true, Ordering::Release);
        drop(state);
        self.wanted.notify_all();
        self.memory.notify_all();
    }

    /// Whether the database closes.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Notes that everything that was in memory `at` that time, monotonic nanoseconds, is flushed,
    /// whoever did it: that flushing failed in the background is over.
    pub(crate) fn note_flushed(&self, at: u64) {
        let mut state = self.state.lock();
        state.failures[Work::Flush as usize] = None;
        state.flushed_at = state.flushed_at.max(at);
    }

    /// Notes how background work ended.
    pub(crate) fn note(&self, work: Work, outcome: &Result<()>) {
        let mut state = self.state.lock();
        state.failures[work as usize] = outcome.as_ref().err().cloned();
        if work == Work::Flush {
            state.flushes_ended += 1;
            drop(state);
            self.memory.notify_all();
        }
    }

    /// Why background work failed when it was last done, if it did.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.state.lock().failures.iter().flatten().next().cloned()
    }

    /// Waits until a flush is asked for, or something of the timetable is due: `None` once the
    /// database closes.
    pub(crate) fn next_flush(&self, clock: &dyn Clock, timetable: &Timetable) -> Option<Work> {
        let mut state = self.state.lock();
        loop {
            if self.is_closing() {
                return None;
            }
            if std::mem::take(&mut state.space_wanted) {
                return Some(Work::MakeSpace);
            }
            if std::mem::take(&mut state.flush_wanted) {
                return Some(Work::Flush);
            }
            let (work, due) = timetable.next(state.flushed_at);
            if !Deadline::at(clock, due).wait(&self.wanted, &mut state) {
                return Some(work);
            }
        }
    }

    /// The clock was moved: what is due by time may be due.
    pub(crate) fn clock_moved(&self) {
        let _state = self.state.lock();
        self.wanted.notify_all();
        self.memory.notify_all();
    }

    /// Waits until a merge is asked for: `false` once the database closes.
    pub(crate) fn next_merge(&self) -> bool {
        let mut state = self.state.lock();
        while !self.is_closing() && !state.merge_wanted {
            self.wanted.wait(&mut state);
        }
        state.merge_wanted = false;
        !self.is_closing()
    }

    /// Sets how many bytes of rows are in memory, and of strings among them, and wakes who waits for
    /// fewer.
    pub(crate) fn set_head_bytes(&self, bytes: usize, text: usize) {
        self.head_bytes.store(bytes, Ordering::Relaxed);
        self.head_text.store(text, Ordering::Relaxed);
        let _state = self.state.lock();
        self.memory.notify_all();
    }

    /// Bytes of the strings in memory.
    pub(crate) fn head_text(&self) -> usize {
        self.head_text.load(Ordering::Relaxed)
    }

    /// Notes whether space was made on a full disk.
    pub(crate) fn note_space(&self, made: bool) {
        let mut state = self.state.lock();
        state.space_sought += 1;
        state.space_made = made;
        drop(state);
        self.memory.notify_all();
    }

    /// Asks for space on a full disk to be made and waits until that was tried: until the deadline, or not at
    /// all. Returns whether some was made.
    pub(crate) fn wait_for_space(&self, deadline: Option<Deadline<'_>>) -> bool {
        let mut state = self.state.lock();
        state.space_wanted = true;
        self.wanted.notify_all();
        let Some(deadline) = deadline else {
            return false;
        };
        let before = state.space_sought;
        let waits = |state: &mut SignalState| state.space_sought == before && !self.is_closing();
        deadline.wait_while(&self.memory, &mut state, waits);
        state.space_sought > before && state.space_made
    }

    /// Waits until fewer than `max` bytes of rows are in memory: until the deadline, or not at all.
    pub(crate) fn wait_for_memory(&self, max: usize, deadline: Option<Deadline<'_>>) -> Result<()> {
        let is_room = || self.head_bytes() < max;
        self.wait_for_room(deadline, is_room, || {
            format!(
                "{} bytes of rows wait to be flushed, {max} are allowed; commit again later, or raise \
                 memory_budget_bytes",
                self.head_bytes()
            )
        })
    }

    /// Waits until `added` bytes of strings more are at most `max`: until the deadline, or
    /// not at all.
    pub(crate) fn wait_for_text(
        &self,
        added: usize,
        max: usize,
        deadline: Option<Deadline<'_>>,
    ) -> Result<()> {
        let fits = || self.head_text().saturating_add(added) <= max;
        self.wait_for_room(deadline, fits, || {
            format!(
                "{} bytes of strings wait to be flushed; with the {added} of the batch they are more \
                 than the {max} that one flush can write; commit again later",
                self.head_text()
            )
        })
    }

    /// Asks for a flush and waits until there is room: until the deadline, or not at all.
    fn wait_for_room(
        &self,
        deadline: Option<Deadline<'_>>,
        is_room: impl Fn() -> bool,
        message: impl Fn() -> String,
    ) -> Result<()> {
        let mut state = self.state.lock();
        state.flush_wanted = true;
        self.wanted.notify_all();
        if let Some(deadline) = deadline {
            // What failed earlier says nothing about now: only a new failure ends the wait.
            let before = state.flushes_ended;
            let waits = |state: &mut SignalState| {
                let failed = state.flushes_ended > before && state.flush_failure().is_some();
                !is_room() && !self.is_closing() && !failed
            };
            deadline.wait_while(&self.memory, &mut state, waits);
        }
        if is_room() {
            return Ok(());
        }
        if self.is_closing() {
            return Err(Error::closed());
        }
        if let Some(failure) = state.flush_failure() {
            return Err(failure.clone());
        }
        Err(Error::new(ErrorKind::Busy, message()))
    }
}

impl SignalState {
    fn flush_failure(&self) -> Option<&Error> {
        self.failures[Work::Flush as usize].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

    use super::*;
    use crate::clock::{ClockWatcher, ManualClock};

    const SECOND: i64 = 1_000_000_000;

    fn full() -> Signals {
        let signals = Signals::default();
        signals.head_bytes.store(100, Ordering::Relaxed);
        signals
    }

    fn disk_full() -> Error {
        Error::new(ErrorKind::DiskFull, "no space")
    }

    /// A clock that stands still, and a timetable in which nothing is due.
    fn idle() -> (ManualClock, Timetable) {
        let clock = ManualClock::new(0);
        let timetable = timetable(None, 0);
        (clock, timetable)
    }

    fn timetable(flush_after: Option<Duration>, now: u64) -> Timetable {
        let options = Options {
            flush_after,
            ..Options::default()
        };
        Timetable::new(&options, now)
    }

    #[test]
    fn a_failure_of_the_past_does_not_end_a_wait() {
        let signals = full();
        let (clock, timetable) = idle();
        let patient = Some(Deadline::after(&clock, Duration::from_secs(60)));
        signals.note(Work::Flush, &Err(disk_full()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let work = signals.next_flush(&clock, &timetable);
                assert_eq!(work, Some(Work::Flush));
                signals.set_head_bytes(0, 0);
                signals.note(Work::Flush, &Ok(()));
            });
            signals.wait_for_memory(100, patient).unwrap();
        });
        let signals = full();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let work = signals.next_flush(&clock, &timetable);
                assert_eq!(work, Some(Work::Flush));
                // Neither does one of other work.
                signals.note(Work::Merge, &Err(Error::new(ErrorKind::Corrupt, "a merge")));
                signals.note(Work::Flush, &Err(disk_full()));
                signals.note(Work::Merge, &Ok(()));
            });
            let error = signals.wait_for_memory(100, patient).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DiskFull);
        });
        let kept = signals.failure().map(|e| e.kind());
        assert_eq!(
            kept,
            Some(ErrorKind::DiskFull),
            "a merge that works hides nothing"
        );
    }

    impl ClockWatcher for Signals {
        fn clock_moved(&self) {
            self.clock_moved();
        }
    }

    #[test]
    fn a_wait_for_memory_ends_in_time_whatever_else_happens() {
        let (clock, signals) = (ManualClock::new(0), Arc::new(full()));
        let watcher: Weak<Signals> = Arc::downgrade(&signals);
        clock.watch(watcher);
        let second = Some(Deadline::after(&clock, Duration::from_secs(1)));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    signals.note(Work::Flush, &Ok(()));
                    std::thread::yield_now();
                }
            });
            let waits = scope.spawn(|| signals.wait_for_memory(100, second));
            clock.advance(SECOND);
            let error = waits.join().unwrap().unwrap_err();
            done.store(true, Ordering::SeqCst);
            assert_eq!(error.kind(), ErrorKind::Busy);
        });
        assert_eq!(
            signals.wait_for_memory(100, None).unwrap_err().kind(),
            ErrorKind::Busy
        );
    }

    #[test]
    fn what_is_due_by_time_is_not_put_off_by_flushes_by_hand() {
        let signals = Signals::default();
        let clock = ManualClock::new(0);
        let mut timetable = timetable(Some(Duration::from_secs(60)), 0);
        let mut done = Vec::new();
        for second in 1..=200 {
            clock.advance(SECOND);
            let now = clock.monotonic();
            if second < 130 {
                signals.note_flushed(now);
            }
            while timetable.next(signals.state.lock().flushed_at).1 <= now {
                let work = signals.next_flush(&clock, &timetable).unwrap();
                timetable.begin(work, now);
                done.push((second, work));
            }
        }
        // Retention every minute; a flush a minute after the last one by hand.
        let retained = [60, 120, 180].map(|second| (second, Work::Retain));
        let mut expected = retained.to_vec();
        expected.push((189, Work::Flush));
        assert_eq!(done, expected);
    }

    #[test]
    fn a_failure_is_over_once_the_work_was_done_by_hand() {
        let signals = Signals::default();
        signals.note(Work::Flush, &Err(disk_full()));
        signals.note_flushed(1);
        assert!(signals.failure().is_none());
        signals.note(Work::Merge, &Err(disk_full()));
        signals.note_flushed(2);
        assert!(signals.failure().is_some(), "that was other work");
        signals.note(Work::Merge, &Ok(()));
        assert!(signals.failure().is_none());
    }

    #[test]
    fn a_wish_for_one_thread_is_not_taken_by_the_other() {
        let signals = Signals::default();
        let (clock, timetable) = idle();
        signals.want_merge();
        signals.want_flush();
        assert_eq!(signals.next_flush(&clock, &timetable), Some(Work::Flush));
        assert!(signals.next_merge());
        signals.want_merge();
        signals.close();
        assert_eq!(signals.next_flush(&clock, &timetable), None);
        assert!(!signals.next_merge());
    }
}
