//! Background threads: the log's two, the head's, one that flushes and drops what is past retention, and
//! one that merges. So a flush never waits for a merge, however long that takes.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::nanos;
use crate::compaction;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::flush;
use crate::forgetting;
use crate::retention;
use crate::signals::{Timetable, Work};
use crate::threads::{Started, Threads};
use crate::wal::Log;

/// How long no flush is tried after one that a full disk refused, if nothing else changes.
const PAUSE_WHEN_FULL: Duration = Duration::from_secs(1);

/// The threads of an open database.
#[derive(Debug, Default)]
pub(crate) struct Workers(Vec<Box<dyn Started>>);

impl Workers {
    /// Starts the threads of a database that may be written to. Those that were started before one
    /// that cannot be are there to be joined.
    pub(crate) fn start(&mut self, engine: &Arc<Engine>) -> Result<()> {
        self.spawn("tidestone-log", engine, |e| {
            with_log(e, Log::run_log_thread)
        })?;
        self.spawn("tidestone-files", engine, |e| {
            with_log(e, Log::run_file_thread)
        })?;
        self.spawn("tidestone-head", engine, |e| {
            while e.head_work.wait() {
                e.merge_head();
            }
        })?;
        self.spawn("tidestone-flush", engine, flush_in_background)?;
        self.spawn("tidestone-merge", engine, merge_in_background)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        engine: &Arc<Engine>,
        body: impl FnOnce(&Engine) + Send + 'static,
    ) -> Result<()> {
        let shared = engine.clone();
        let work = move || {
            let _watch = Watch {
                engine: &shared,
                name,
            };
            body(&shared);
        };
        let thread = engine.threads.spawn(name, Box::new(work)).map_err(|e| {
            let message = format!("cannot start thread {name}: {e}");
            Error::new(ErrorKind::Io, message)
        })?;
        self.0.push(thread);
        Ok(())
    }

    /// Waits until the threads have ended. Somebody told them to. One of them may be the one that
    /// waits: it wakes who awaits a commit, with whom the last handle may go.
    pub(crate) fn join(self) {
        for thread in self.0.into_iter().filter(|t| !t.is_current()) {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

/// The threads that a query may use.
#[derive(Debug, Clone)]
pub(crate) struct Team {
    threads: Arc<dyn Threads>,
    size: usize,
}

impl Team {
    /// The name of its threads.
    const NAME: &str = "tidestone-query";

    /// At most `size` threads, the caller's among them.
    pub(crate) fn new(engine: &Engine, size: usize) -> Self {
        Self {
            threads: engine.threads.clone(),
            size,
        }
    }

    /// How many threads it is at most, with the caller's.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Runs tasks `0..tasks`, on the caller's thread too, and hands what each gave to `take`, in
    /// order. After an error, which is returned, no further task is started. Where threads cannot
    /// be started, there are fewer.
    pub(crate) fn share<T: Send>(
        &self,
        tasks: usize,
        run: impl Fn(usize) -> T + Sync,
        take: impl FnMut(T) -> Result<()> + Send,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let taken = Mutex::new(Taken {
            waiting: BTreeMap::new(),
            next: 0,
            take,
            outcome: Ok(()),
        });
        let work = || {
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    return;
                }
                let outcome = run(task);
                if !taken.lock().put(task, outcome) {
                    next.store(tasks, Ordering::Relaxed);
                }
            }
        };
        match self.size.min(tasks) {
            0 | 1 => work(),
            threads => self.threads.together(Self::NAME, threads - 1, &work),
        }
        taken.into_inner().outcome
    }

    /// Starts a thread beside the caller's, if one can be started.
    pub(crate) fn start(&self, work: impl FnOnce() + Send + 'static) -> Option<Box<dyn Started>> {
        self.threads.spawn(Self::NAME, Box::new(work)).ok()
    }
}

/// Lets everybody know if the thread that holds it panics: others would wait for it for ever.
struct Watch<'a> {
    engine: &'a Engine,
    name: &'static str,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.engine.fail(Error::panicked(self.name));
        }
    }
}

/// Does work of a thread that goes on with other work if this panics.
pub(crate) fn guarded(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(Error::panicked(name)))
}

/// What tasks gave, on its way to whoever takes it.
struct Taken<T, F> {
    /// Done before their turn.
    waiting: BTreeMap<usize, T>,
    next: usize,
    take: F,
    outcome: Result<()>,
}

impl<T, F: FnMut(T) -> Result<()>> Taken<T, F> {
    /// Takes what a task gave, or keeps it for its turn; `false` after an error.
    fn put(&mut self, task: usize, outcome: T) -> bool {
        self.waiting.insert(task, outcome);
        while self.outcome.is_ok() {
            let Some(ready) = self.waiting.remove(&self.next) else {
                break;
            };
            self.next += 1;
            self.outcome = (self.take)(ready);
        }
        self.outcome.is_ok()
    }
}

fn with_log(engine: &Engine, body: impl FnOnce(&Log)) {
    if let Some(log) = engine.log() {
        body(log);
    }
}

/// Flushes when asked or when rows get old, drops what is past retention. A failure is kept for whoever
/// waits, and the work is tried again at the next occasion.
fn flush_in_background(engine: &Engine) {
    let clock = engine.clock();
    let mut timetable = Timetable::new(&engine.options, clock.monotonic());
    let mut flushing = Flushing::default();
    while let Some(work) = engine.signals.next_flush(clock, &timetable) {
        timetable.begin(work, clock.monotonic());
        match work {
            Work::Flush => {
                let flush = || flushing.flush(engine).map(drop);
                engine.signals.note(work, &guarded("a flush", flush));
                // What was flushed may be too much for a table that keeps so many bytes.
                timetable.begin(Work::Retain, clock.monotonic());
            }
            Work::MakeSpace => {
                let mut made = false;
                let outcome = guarded("making space", || {
                    made = make_space(engine, &mut flushing)?;
                    Ok(())
                });
                engine.signals.note(work, &outcome);
                engine.signals.note_space(made);
            }
            Work::Retain | Work::Merge => {}
        }
        let retained = guarded("retention", || retain(engine));
        engine.signals.note(Work::Retain, &retained);
    }
}

/// Flushes in the background. One that a full disk refuses has written what fitted, in vain: it is not
/// tried again at each commit that is refused, but after a pause, or once something has changed.
#[derive(Debug, Default)]
struct Flushing {
    refused: Option<Refused>,
}

/// How a full disk refused a flush.
#[derive(Debug)]
struct Refused {
    error: Error,
    /// When the pause ends, monotonic nanoseconds.
    until: u64,
    /// What there was before.
    found: Found,
}

/// What of the database decides whether there may be space, as far as it can be told at once.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    manifest_version: u64,
    deletes: u64,
    /// Segments that were dropped and take their space as long as they are read.
    read: usize,
}

impl Found {
    fn now(engine: &Engine) -> Self {
        let dropped = engine.dropped_when_full.lock();
        Self {
            manifest_version: engine.store.version().number,
            deletes: engine.counters.deletes.load(Ordering::Relaxed),
            read: dropped.iter().filter(|s| s.strong_count() > 0).count(),
        }
    }
}

impl Flushing {
    fn flush(&mut self, engine: &Engine) -> Result<bool> {
        let (clock, found) = (engine.clock(), Found::now(engine));
        let refused = self.refused.take();
        if let Some(refused) = refused.filter(|r| r.found == found && clock.monotonic() < r.until) {
            let error = refused.error.clone();
            self.refused = Some(refused);
            return Err(error);
        }
        let outcome = retention::with_space(engine, || flush::flush(engine));
        self.refused = match &outcome {
            Err(error) if error.kind() == ErrorKind::DiskFull => Some(Refused {
                error: error.clone(),
                until: clock.monotonic().saturating_add(nanos(PAUSE_WHEN_FULL)),
                found,
            }),
            _ => None,
        };
        outcome
    }
}

/// Makes space on a full disk: what a flush lets go of the log, or else the oldest partition.
fn make_space(engine: &Engine, flushing: &mut Flushing) -> Result<bool> {
    let flushed = flushing.flush(engine)?;
    Ok(flushed || retention::make_space(engine)?)
}

fn retain(engine: &Engine) -> Result<()> {
    // None of these keeps the others from being done; the first error is told.
    let dropped = retention::enforce(engine);
    let forgotten = forgetting::run(engine).map(drop);
    engine.store.remove_kept();
    dropped.and(forgotten).and(engine.drop_slow_cursors())
}

/// Merges segments when something was flushed, and when the database was opened: what is due may be left
/// from before.
fn merge_in_background(engine: &Engine) {
    if engine.options.auto_compact {
        engine.signals.want_merge();
    }
    while engine.signals.next_merge() {
        let outcome = guarded("a merge", || merge(engine));
        // One that was stopped because the database closes has not failed.
        if !engine.signals.is_closing() {
            engine.signals.note(Work::Merge, &outcome);
        }
    }
}

fn merge(engine: &Engine) -> Result<()> {
    while compaction::step(engine)? != compaction::Step::Nothing {}
    Ok(())
}
