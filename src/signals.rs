//! How commits and background threads tell each other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, ErrorKind, Result};

/// What threads of a database want of each other.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    state: Mutex<SignalState>,
    changed: Condvar,
    /// Rows in memory, in bytes.
    pub(crate) head_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct SignalState {
    flush_wanted: bool,
    compaction_wanted: bool,
    closing: bool,
    /// Why the last background work failed.
    failure: Option<Error>,
    /// How much background work has ended.
    finished: u64,
}

impl Signals {
    /// Rows in memory, in bytes.
    pub(crate) fn head_bytes(&self) -> usize {
        self.head_bytes.load(Ordering::Relaxed)
    }

    /// Asks the background thread for a flush.
    pub(crate) fn want_flush(&self) {
        self.state.lock().flush_wanted = true;
        self.changed.notify_all();
    }

    /// Asks the background thread to look for segments to merge.
    pub(crate) fn want_compaction(&self) {
        self.state.lock().compaction_wanted = true;
        self.changed.notify_all();
    }

    /// Tells the background thread to end.
    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.changed.notify_all();
    }

    /// Whether the background thread should leave what it is at: the database closes, or a flush
    /// is wanted, which others may wait for.
    pub(crate) fn is_urgent(&self) -> bool {
        let state = self.state.lock();
        state.closing || state.flush_wanted
    }

    /// Notes how background work ended.
    pub(crate) fn note(&self, outcome: &Result<()>) {
        let mut state = self.state.lock();
        state.failure = outcome.as_ref().err().cloned();
        state.finished += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Why the last background work failed, if it did.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.state.lock().failure.clone()
    }

    /// Waits for something to do: `None` once the database closes.
    pub(crate) fn next_work(&self, longest: Option<Duration>) -> Option<Work> {
        let mut state = self.state.lock();
        loop {
            if state.closing {
                return None;
            }
            if std::mem::take(&mut state.flush_wanted) {
                return Some(Work::Flush);
            }
            if std::mem::take(&mut state.compaction_wanted) {
                return Some(Work::Compact);
            }
            match longest {
                None => self.changed.wait(&mut state),
                Some(longest) => {
                    if self.changed.wait_for(&mut state, longest).timed_out() {
                        return Some(Work::Flush);
                    }
                }
            }
        }
    }

    /// Sets how many bytes of rows are in memory, and wakes who waits for fewer.
    pub(crate) fn set_head_bytes(&self, bytes: usize) {
        self.head_bytes.store(bytes, Ordering::Relaxed);
        let _state = self.state.lock();
        self.changed.notify_all();
    }

    /// Waits until fewer than `max` bytes of rows are in memory: `longest`, or not at all.
    pub(crate) fn wait_for_memory(&self, max: usize, longest: Option<Duration>) -> Result<()> {
        let mut state = self.state.lock();
        state.flush_wanted = true;
        self.changed.notify_all();
        if let Some(longest) = longest {
            // What failed earlier says nothing about now: only a new failure ends the wait.
            let before = state.finished;
            let waits = |state: &mut SignalState| {
                let failed = state.finished > before && state.failure.is_some();
                self.head_bytes() >= max && !state.closing && !failed
            };
            self.changed.wait_while_for(&mut state, waits, longest);
        }
        if self.head_bytes() < max {
            return Ok(());
        }
        if state.closing {
            return Err(Error::new(ErrorKind::Closed, "the database was closed"));
        }
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let message = format!(
            "{} bytes of rows wait to be flushed, {max} are allowed; commit again later, or raise \
             memory_budget_bytes",
            self.head_bytes()
        );
        Err(Error::new(ErrorKind::Busy, message))
    }
}

/// What the background thread is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Flush,
    Compact,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn full() -> Signals {
        let signals = Signals::default();
        signals.head_bytes.store(100, Ordering::Relaxed);
        signals
    }

    fn disk_full() -> Error {
        Error::new(ErrorKind::DiskFull, "no space")
    }

    #[test]
    fn a_failure_of_the_past_does_not_end_a_wait() {
        let signals = full();
        signals.note(&Err(disk_full()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(signals.next_work(None), Some(Work::Flush));
                signals.set_head_bytes(0);
                signals.note(&Ok(()));
            });
            let longest = Some(Duration::from_secs(60));
            signals.wait_for_memory(100, longest).unwrap();
        });
        let signals = full();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(signals.next_work(None), Some(Work::Flush));
                signals.note(&Err(disk_full()));
            });
            let longest = Some(Duration::from_secs(60));
            let error = signals.wait_for_memory(100, longest).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DiskFull);
        });
    }

    #[test]
    fn a_wait_for_memory_ends_in_time_whatever_else_happens() {
        let signals = full();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    signals.note(&Ok(()));
                    std::thread::yield_now();
                }
            });
            let error = signals.wait_for_memory(100, Some(Duration::from_millis(20)));
            done.store(true, Ordering::SeqCst);
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Busy);
        });
        assert_eq!(
            signals.wait_for_memory(100, None).unwrap_err().kind(),
            ErrorKind::Busy
        );
    }
}
