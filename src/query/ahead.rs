//! Rows by (series, time), read on several threads.
//!
//! The steps of a scan are handed out as *tasks*, in their order, each of about a batch of rows. Who
//! has one reads it; what it gives waits until all before it was given. The caller reads too,
//! whenever the next batch is not there yet.
//!
//! # Invariants
//! 1. Batches come in the order of the steps, and an error where it was met.
//! 2. No more than [`AHEAD`] tasks a thread are under way or waiting, each with at most
//!    [`WAITING_MAX`] batches: memory is bounded.
//! 3. Whoever reads the task whose turn it is never waits for room, so that somebody always goes on.
//! 4. The threads have ended when this is dropped: after the batch each is at.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tidestone_format::version::VECTOR_ROWS;

use super::batch::Enough;
use super::by_series::{Reader, Step, Steps, Wish};
use super::stream::BATCH_ROWS;
use super::{Profile, RowBatch};
use crate::error::{Error, Result};
use crate::threads::Started;
use crate::worker::Team;

/// Tasks that may be under way or wait, for each thread.
const AHEAD: usize = 2;
/// Batches of one task that may wait. Most tasks have one; a long merge has many.
const WAITING_MAX: usize = 2;
/// Rows of a task, about. In tests few, so that there are many tasks.
const TASK_ROWS: u64 = if cfg!(test) { 2_048 } else { BATCH_ROWS as u64 };
/// Tasks that the caller reads before threads are started: short scans need none.
const ALONE: u64 = 2;

/// Reads on several threads.
#[derive(Debug)]
pub(super) struct Ahead {
    shared: Arc<Shared>,
    team: Team,
    started: Vec<Box<dyn Started>>,
    reader: Reader,
    /// What the caller is at.
    own: Option<Work>,
}

#[derive(Debug)]
struct Shared {
    wish: Wish,
    state: Mutex<State>,
    changed: Condvar,
    tasks_max: usize,
}

#[derive(Debug)]
struct State {
    steps: Steps,
    /// What was left of the last step when a task was full.
    rest: Option<Step>,
    /// What ends the steps; it is given after those before it.
    failed: Option<Error>,
    /// No task is left to be handed out.
    ended: bool,
    /// Nobody wants any more.
    cancelled: bool,
    /// A thread did.
    panicked: bool,
    /// Tasks handed out and not given to their end.
    tasks: VecDeque<Task>,
    /// The number of the first of them.
    first: u64,
    /// Batches to be filled again.
    spare: Vec<RowBatch>,
}

/// What a task has given so far.
#[derive(Debug, Default)]
struct Task {
    ready: VecDeque<(RowBatch, Profile)>,
    outcome: Option<Result<()>>,
}

/// A task, for whoever reads it.
#[derive(Debug)]
struct Work {
    number: u64,
    steps: VecDeque<Step>,
}

impl Ahead {
    pub(super) fn new(wish: Wish, team: Team) -> Self {
        let state = State {
            steps: Steps::new(&wish),
            rest: None,
            failed: None,
            ended: false,
            cancelled: false,
            panicked: false,
            tasks: VecDeque::new(),
            first: 0,
            spare: Vec::new(),
        };
        let shared = Shared {
            wish: wish.clone(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            tasks_max: team.size().saturating_mul(AHEAD),
        };
        Self {
            shared: Arc::new(shared),
            team,
            started: Vec::new(),
            reader: Reader::new(wish),
            own: None,
        }
    }

    /// Puts the next rows into a batch, which is empty; it stays empty at the end.
    pub(super) fn fill(&mut self, batch: &mut RowBatch, profile: &mut Profile) -> Result<()> {
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        loop {
            if let Some(ready) = state.take(&shared.changed, profile)? {
                state.spare.push(std::mem::replace(batch, ready));
                return Ok(());
            }
            if state.panicked {
                drop(state);
                return self.pass_on_panic();
            }
            if state.ended && state.tasks.is_empty() {
                return Ok(());
            }
            if self.own.is_none() && !state.ended {
                self.own = state.hand_out(&shared);
                if self.own.is_none() && state.ended {
                    continue;
                }
            }
            match &mut self.own {
                Some(work) if state.has_room(work.number) => {
                    if work.number >= ALONE && self.started.is_empty() {
                        MutexGuard::unlocked(&mut state, || {
                            start(&shared, &self.team, &mut self.started);
                        });
                    }
                    if shared.go_on(&mut state, work, &mut self.reader) {
                        self.own = None;
                    }
                }
                _ => shared.changed.wait(&mut state),
            }
        }
    }
}

impl Ahead {
    fn cancel(&self) {
        self.shared.state.lock().cancelled = true;
        self.shared.changed.notify_all();
    }

    /// Ends as the caller would have, had it met the panic of a thread itself.
    fn pass_on_panic(&mut self) -> Result<()> {
        self.cancel();
        for thread in self.started.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        Ok(())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.cancel();
        for thread in self.started.drain(..) {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

/// Starts threads beside the caller's; where they cannot be started, there are fewer.
fn start(shared: &Arc<Shared>, team: &Team, started: &mut Vec<Box<dyn Started>>) {
    for _ in 1..team.size() {
        let shared = shared.clone();
        match team.start(move || shared.work()) {
            Some(thread) => started.push(thread),
            None => return,
        }
    }
}

impl Shared {
    /// What a thread does: reads tasks until there are none.
    fn work(&self) {
        // Before the lock, so that it is let go of first.
        let _watch = Watch(self);
        let mut reader = Reader::new(self.wish.clone());
        let mut state = self.state.lock();
        let mut own: Option<Work> = None;
        loop {
            if state.cancelled || (own.is_none() && state.ended) {
                return;
            }
            if own.is_none() {
                own = state.hand_out(self);
                if own.is_none() && state.ended {
                    return;
                }
            }
            match &mut own {
                Some(work) if state.has_room(work.number) => {
                    if self.go_on(&mut state, work, &mut reader) {
                        own = None;
                    }
                }
                _ => self.changed.wait(&mut state),
            }
        }
    }

    /// Reads a batch of a task; `true` at its end.
    fn go_on(
        &self,
        state: &mut MutexGuard<'_, State>,
        work: &mut Work,
        reader: &mut Reader,
    ) -> bool {
        let spare = state.spare.pop();
        let mut batch = spare.unwrap_or_else(|| self.wish.batch());
        let mut read = Profile::default();
        let outcome = MutexGuard::unlocked(state, || {
            batch.clear();
            work.read(reader, &mut batch, &mut read)
        });
        let done = outcome.is_err() || work.steps.is_empty();
        if let Some(task) = state.task(work.number) {
            if outcome.is_ok() {
                task.ready.push_back((batch, read));
            }
            task.outcome = done.then_some(outcome);
        }
        self.changed.notify_all();
        done
    }
}

impl State {
    /// The next batch that has rows, if it is there; what was read up to it is added to `profile`.
    fn take(&mut self, changed: &Condvar, profile: &mut Profile) -> Result<Option<RowBatch>> {
        while let Some(task) = self.tasks.front_mut() {
            if let Some((batch, read)) = task.ready.pop_front() {
                changed.notify_all();
                profile.add(&read);
                if !batch.is_empty() {
                    return Ok(Some(batch));
                }
                self.spare.push(batch);
                continue;
            }
            let Some(outcome) = task.outcome.take() else {
                break;
            };
            self.tasks.pop_front();
            self.first += 1;
            changed.notify_all();
            outcome?;
        }
        Ok(None)
    }

    fn task(&mut self, number: u64) -> Option<&mut Task> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.tasks.get_mut(at)
    }

    /// Whether one more batch of a task may wait.
    fn has_room(&mut self, number: u64) -> bool {
        let task = self.task(number);
        task.is_some_and(|task| task.ready.len() < WAITING_MAX)
    }

    /// The next task, if there is one and as many may be under way.
    fn hand_out(&mut self, shared: &Shared) -> Option<Work> {
        if self.ended || self.tasks.len() >= shared.tasks_max {
            return None;
        }
        let mut task = Task::default();
        let mut steps = VecDeque::new();
        let mut rows = 0;
        while rows < TASK_ROWS {
            let step = match self.rest.take() {
                Some(rest) => Ok(Some(rest)),
                None => self.failed.take().map_or_else(|| self.steps.next(), Err),
            };
            match step {
                Ok(Some(mut step)) => {
                    self.rest = step.split(TASK_ROWS - rows, VECTOR_ROWS as u64);
                    rows += step.rows();
                    steps.push_back(step);
                    continue;
                }
                // What comes before it is given before it.
                Err(error) if !steps.is_empty() => self.failed = Some(error),
                Err(error) => {
                    self.ended = true;
                    task.outcome = Some(Err(error));
                }
                Ok(None) => self.ended = true,
            }
            break;
        }
        if self.ended {
            shared.changed.notify_all();
        }
        let number = self.first + self.tasks.len() as u64;
        if !steps.is_empty() || task.outcome.is_some() {
            self.tasks.push_back(task);
        }
        (!steps.is_empty()).then_some(Work { number, steps })
    }
}

impl Work {
    /// Reads rows until a batch is full or the task is at its end.
    fn read(
        &mut self,
        reader: &mut Reader,
        batch: &mut RowBatch,
        profile: &mut Profile,
    ) -> Result<()> {
        let enough = Enough::rows(BATCH_ROWS);
        while !batch.is_full(enough)
            && let Some(step) = self.steps.front_mut()
        {
            if reader.read(step, batch, enough, profile)? {
                self.steps.pop_front();
            }
        }
        Ok(())
    }
}

/// Lets the caller know if the thread that holds it panics.
struct Watch<'a>(&'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state.lock().panicked = true;
            self.0.changed.notify_all();
        }
    }
}
