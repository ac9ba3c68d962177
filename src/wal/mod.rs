//! The write-ahead log: what makes a commit survive.
//!
//! Commits append *frames*; frames that are written together form a *group*; one `fdatasync` per
//! group makes them durable. Groups go to *log files* of a fixed length that were filled with
//! zeros beforehand, so that a sync writes data and no metadata.
//!
//! # Invariants
//! 1. LSNs are given in the order frames are appended and have no gaps between two openings.
//! 2. A group starts at a multiple of 4,096: no byte that was synced is written again before its
//!    file is recycled, but for the last groups before a crash: what replay finds and nothing proves
//!    to be durable is written again as it is, whether or not it was synced. The same bytes over
//!    themselves are the same bytes, however much of the write a power loss lets through.
//! 3. Groups are written and synced in LSN order; `durable` never names an LSN whose bytes, or
//!    the bytes of any lower LSN, were not synced.
//! 4. A failed write or sync poisons the log with its cause. Nothing is retried.
//! 5. A file is recycled only when every LSN in it is flushed to segments, no registered consumer
//!    needs it, and a frame of the file behind it is durable: a file's header becomes durable with its
//!    first frame, and a log of which a power loss leaves no header is refused.
//! 6. Replay never appends to a file it read: a new file names the cut.
//!
//! | file | what |
//! |---|---|
//! | `mod` | appending, group commit, waiting |
//! | `batch` | rows whose frame is encoded by whoever writes it |
//! | `group` | frames on their way to the disk |
//! | `turns` | who writes them, and where the others wait |
//! | `files` | the fixed-length files: made ahead, rotated, recycled |
//! | `found` | the files that there are when it is opened, and what is wrong with them |
//! | `replay` | reading the log at open: where it ends, what is damage |
//! | `follow` | reading the log while another process writes it |

mod batch;
mod files;
mod follow;
mod found;
mod group;
mod replay;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tidestone_format::log::FrameKind;
use tidestone_format::{FileUuid, Lsn};

pub(crate) use batch::{BatchRows, encode_batch};
pub(crate) use files::{LONGEST_FILE, LogFileInfo, Start};
pub(crate) use files::{number_of, path_of};
pub(crate) use follow::{Followed, Follower};
pub(crate) use found::too_long;
pub(crate) use group::Frame;
pub use replay::LostFrames;
pub(crate) use replay::{
    Flaw, LogFiles, Lost, Missing, SteppedOver, make_durable, remove_unused, replay,
};

use group::{Buffers, Group};
use turns::{Turn, Turns};

use crate::clock::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{Disk, File};
use crate::sharing::Publisher;

/// What the log needs to know of its database.
#[derive(Debug, Clone)]
pub(crate) struct LogSettings {
    pub(crate) dir: PathBuf,
    pub(crate) database: FileUuid,
    pub(crate) incarnation: FileUuid,
    /// Length of a log file; a larger frame gets a file of its own.
    pub(crate) file_len: u64,
    /// Appended bytes that are written without being asked for.
    pub(crate) write_behind: usize,
    /// Appended bytes not yet written at which appending waits.
    pub(crate) pending_max: usize,
    /// Bytes of complete log files at which the slowest consumer is dropped.
    pub(crate) retained_max: u64,
}

/// The log of an open database.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    settings: LogSettings,
    state: Mutex<State>,
    /// Something was written, synced, prepared or poisoned: for those who wait neither for a turn nor
    /// for work.
    progress: Condvar,
    /// Where threads wait for the turn at writing that is for them.
    turns: Turns,
    /// The log thread may have something to do. Apart from the file thread's: commits that ask for a
    /// sync would wake that for nothing, each of them.
    work: Condvar,
    /// The file thread may have something to do.
    file_work: Condvar,
    /// Copy of `State::durable` that is read without the lock.
    durable: AtomicU64,
    syncs: AtomicU64,
    /// The log thread, once it runs.
    own_thread: OnceLock<std::thread::ThreadId>,
    /// Tells readers in other processes what is durable.
    publisher: OnceLock<Arc<Publisher>>,
}

#[derive(Debug)]
struct State {
    next_lsn: Lsn,
    written: Lsn,
    durable: Lsn,
    /// Highest LSN somebody wants in the page cache, and on the disk.
    wanted_write: Lsn,
    wanted_sync: Lsn,
    /// Groups not yet written, oldest first; the last one grows with each frame.
    pending: VecDeque<Group>,
    pending_bytes: usize,
    /// Bytes of the groups that somebody is writing.
    writing_bytes: usize,
    /// Who is writing or syncing groups, and how many were before.
    turn: Turn,
    turns_over: u64,
    /// Frames that were synced together last.
    last_group: u64,
    /// Highest LSN of the group before.
    last_synced: Lsn,
    /// Files with bytes that were written and not yet synced, oldest first.
    unsynced: Vec<Arc<dyn File>>,
    buffers: Buffers,
    files: files::Files,
    poisoned: Option<Error>,
    /// The database closes: no frame is appended any more, but for the note of an orderly end.
    sealed: bool,
    /// The threads are to end, and nothing is reached any more.
    closing: bool,
    /// Who awaits an LSN, by [`Place`].
    wakers: BTreeMap<u64, Waiting>,
    next_place: u64,
}

/// Where the waker of one future is kept; nowhere, as long as it was not polled.
#[derive(Debug, Default)]
pub(crate) struct Place(Option<u64>);

/// Who awaits that an LSN is written, or synced.
#[derive(Debug)]
struct Waiting {
    lsn: Lsn,
    sync: bool,
    waker: Waker,
}

impl Log {
    /// A log whose next frame gets `next_lsn`, in a new file behind those that `old` names. All of
    /// what stands before `next_lsn` counts as durable.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        settings: LogSettings,
        start: files::Start,
    ) -> Result<Self> {
        let next_lsn = start.next_lsn;
        let files = files::Files::start(&*disk, &settings, start)?;
        let before = Lsn(next_lsn.0 - 1);
        let mut state = State {
            next_lsn,
            written: before,
            durable: before,
            wanted_write: before,
            wanted_sync: before,
            pending: VecDeque::new(),
            pending_bytes: 0,
            writing_bytes: 0,
            turn: Turn::Nobody,
            turns_over: 0,
            last_group: 0,
            last_synced: before,
            unsynced: Vec::new(),
            buffers: Buffers::default(),
            files,
            poisoned: None,
            sealed: false,
            closing: false,
            wakers: BTreeMap::new(),
            next_place: 0,
        };
        // The header with the cut is on the disk before anything is built on it.
        let header = state.files.first_group(&settings, next_lsn);
        let (file, path) = (header.file.clone(), state.files.current_path(&settings));
        header
            .write(before, &mut state.buffers)
            .map_err(|e| Error::io("write the header of a log file", &path, e))?;
        file.sync()
            .map_err(|e| Error::io("sync the header of a log file", &path, e))?;
        Ok(Self {
            disk,
            settings,
            state: Mutex::new(state),
            progress: Condvar::new(),
            turns: Turns::default(),
            work: Condvar::new(),
            file_work: Condvar::new(),
            durable: AtomicU64::new(before.0),
            syncs: AtomicU64::new(0),
            own_thread: OnceLock::new(),
            publisher: OnceLock::new(),
        })
    }

    /// Tells readers in other processes what is durable from here on.
    pub(crate) fn publish_to(&self, publisher: Arc<Publisher>) {
        publisher.durable(self.durable_lsn());
        let _first = self.publisher.set(publisher);
    }

    /// Appends a frame and gives it its LSN. Nothing is written yet.
    ///
    /// Waits while more is pending than allowed, or no file is ready for a frame that does not fit
    /// the current one: as [`Log::wait_for_room`] does.
    pub(crate) fn append(&self, frame: Frame<'_>, deadline: Option<Deadline<'_>>) -> Result<Lsn> {
        loop {
            if let Some(lsn) = self.try_append(frame)? {
                return Ok(lsn);
            }
            self.wait_for_room(frame, deadline)?;
        }
    }

    /// Appends a frame, if that can be done without waiting: for callers that hold a lock. `None`:
    /// [`Log::wait_for_room`] first.
    pub(crate) fn try_append(&self, frame: Frame<'_>) -> Result<Option<Lsn>> {
        let frame_len = frame.len()?;
        let mut state = self.state.lock();
        state.check_appendable(frame)?;
        if state.is_full(&self.settings) {
            return Ok(None);
        }
        let appended = AssertUnwindSafe(|| self.append_where_it_fits(&mut state, frame, frame_len));
        catch_unwind(appended).unwrap_or_else(|panic| {
            // Half a frame may wait to be written: nobody appends behind it.
            state.fail(Error::panicked("an append to the log"));
            self.notify_all();
            resume_unwind(panic)
        })
    }

    fn append_where_it_fits(
        &self,
        state: &mut State,
        frame: Frame<'_>,
        frame_len: u64,
    ) -> Result<Option<Lsn>> {
        loop {
            match state.fit(frame_len, frame.may_fill(), false)? {
                files::Fit::Here => break,
                files::Fit::Rotate => {
                    state.rotate(&self.settings);
                    self.file_work.notify_all();
                }
                files::Fit::Wait => return Ok(None),
            }
        }
        // A frame that is refused leaves nothing behind and takes no LSN.
        let lsn = state.next_lsn;
        let added = state.push(&self.settings, frame, lsn)?;
        state.next_lsn = Lsn(lsn.0 + 1);
        state.pending_bytes += added;
        if state.pending_bytes >= self.settings.write_behind && !state.turn.is_taken() {
            state.wanted_write = lsn;
            self.work.notify_all();
        }
        Ok(Some(lsn))
    }

    /// Waits until a frame could be appended, which others may then be the first to do. With a deadline
    /// it writes nothing itself, as a write has none.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] after the deadline, the log is poisoned or closed, or there is no space.
    pub(crate) fn wait_for_room(
        &self,
        frame: Frame<'_>,
        deadline: Option<Deadline<'_>>,
    ) -> Result<()> {
        let frame_len = frame.len()?;
        let mut state = self.state.lock();
        let mut waited = false;
        loop {
            state.check_appendable(frame)?;
            if state.is_full(&self.settings) {
                state.wanted_write = Lsn(state.next_lsn.0 - 1);
                // Who is woken by the log's thread would wait for itself.
                let may_write = deadline.is_none() || self.is_own_thread();
                if !state.turn.is_taken() && may_write {
                    self.take_turn(state)?;
                    state = self.state.lock();
                    continue;
                }
                self.work.notify_all();
                if !self.wait_for_progress(&mut state, deadline) {
                    let waiting = state.pending_bytes + state.writing_bytes;
                    let message = format!(
                        "{waiting} bytes wait to be written to the log, {} are allowed; try again \
                         later, or raise memory_budget_bytes",
                        self.settings.pending_max
                    );
                    return Err(Error::new(ErrorKind::Busy, message));
                }
                continue;
            }
            match state.fit(frame_len, frame.may_fill(), waited)? {
                files::Fit::Here | files::Fit::Rotate => return Ok(()),
                files::Fit::Wait => {
                    self.file_work.notify_all();
                    if !self.wait_for_progress(&mut state, deadline) {
                        let message = format!(
                            "the log's file has no room for {frame_len} bytes, and the next one is \
                             not ready; try again later"
                        );
                        let path = state.files.current_path(&self.settings);
                        return Err(Error::new(ErrorKind::Busy, message).with_path(&path));
                    }
                    waited = true;
                }
            }
        }
    }

    /// Waits until something was written or prepared, or went wrong; `false`: the deadline has passed.
    fn wait_for_progress(
        &self,
        state: &mut MutexGuard<'_, State>,
        deadline: Option<Deadline<'_>>,
    ) -> bool {
        match deadline {
            Some(deadline) => deadline.wait(&self.progress, state),
            None => {
                self.progress.wait(state);
                true
            }
        }
    }

    /// Asks for everything up to `lsn` to be written, and synced if `sync`, by the log thread.
    pub(crate) fn request(&self, lsn: Lsn, sync: bool) {
        let mut state = self.state.lock();
        let asked = if sync {
            &mut state.wanted_sync
        } else {
            &mut state.wanted_write
        };
        if *asked < lsn {
            *asked = lsn;
            self.work.notify_all();
        }
    }

    /// Returns once everything up to `lsn` is durable. The caller writes and syncs the group
    /// itself if nobody else is at it.
    pub(crate) fn sync_to(&self, lsn: Lsn) -> Result<()> {
        // Who was woken because it is needs no lock to see that.
        while self.durable_lsn() < lsn {
            let mut state = self.state.lock();
            if state.durable >= lsn {
                break;
            }
            state.check()?;
            state.wanted_sync = state.wanted_sync.max(lsn);
            self.take_turn_or_wait(state, lsn, true)?;
        }
        Ok(())
    }

    /// Returns once everything up to `lsn` is in the page cache. The caller writes the group itself
    /// if nobody else is at it.
    pub(crate) fn write_to(&self, lsn: Lsn) -> Result<()> {
        loop {
            let mut state = self.state.lock();
            if state.written >= lsn {
                return Ok(());
            }
            state.check()?;
            state.wanted_write = state.wanted_write.max(lsn);
            self.take_turn_or_wait(state, lsn, false)?;
        }
    }

    /// Waits until somebody has written everything up to `lsn`, and synced it if `sync`; `false`
    /// after the deadline. Who is woken by the log's thread, for which others wait, does it himself.
    ///
    /// # Errors
    /// The log is poisoned, or it was closed before that: then it does not come. Or the log's thread would
    /// wait for what is yet to be appended.
    pub(crate) fn wait_to(
        &self,
        lsn: Lsn,
        sync: bool,
        deadline: Option<Deadline<'_>>,
    ) -> Result<bool> {
        let mut state = self.state.lock();
        if self.is_own_thread() && state.reached(sync) < lsn {
            state.check_open()?;
            if deadline.is_some_and(Deadline::has_passed) {
                return Ok(false);
            }
            if lsn >= state.next_lsn {
                let last = state.next_lsn.0 - 1;
                let message = format!(
                    "LSN {lsn} was not given yet, the last one is {last}, and a task cannot wait for it on the \
                     thread that wakes it, for which others wait; await it, or wait on another thread"
                );
                return Err(Error::invalid(message));
            }
            drop(state);
            let reached = match sync {
                true => self.sync_to(lsn),
                false => self.write_to(lsn),
            };
            return reached.map(|()| true);
        }
        let waits = |state: &mut State| state.reached(sync) < lsn && state.check_open().is_ok();
        match deadline {
            None => self.progress.wait_while(&mut state, waits),
            Some(deadline) => deadline.wait_while(&self.progress, &mut state, waits),
        }
        match state.reached(sync) >= lsn {
            true => Ok(true),
            false => state.check_open().map(|()| false),
        }
    }

    /// The clock was moved: who waits for a time is to look again.
    pub(crate) fn clock_moved(&self) {
        let _state = self.state.lock();
        self.progress.notify_all();
    }

    /// Whether everything up to `lsn` is written, and synced if `sync`; if not, `waker` is woken
    /// when it is, or when the log is poisoned or closed. It takes the place of the one that was kept
    /// at `place` before.
    pub(crate) fn poll(
        &self,
        lsn: Lsn,
        sync: bool,
        place: &mut Place,
        waker: &Waker,
    ) -> Option<Result<()>> {
        // Wakers are foreign code: they are cloned and dropped without the lock.
        let waker = waker.clone();
        let mut state = self.state.lock();
        if state.reached(sync) >= lsn {
            return Some(Ok(()));
        }
        if let Err(error) = state.check_open() {
            return Some(Err(error));
        }
        let at = *place.0.get_or_insert(state.next_place);
        state.next_place = state.next_place.max(at + 1);
        let before = state.wakers.insert(at, Waiting { lsn, sync, waker });
        drop(state);
        drop(before);
        None
    }

    /// Lets go of the waker of a future that is no more.
    pub(crate) fn leave(&self, place: &mut Place) {
        let Some(at) = place.0.take() else { return };
        let waiting = self.state.lock().wakers.remove(&at);
        drop(waiting);
    }

    /// The highest LSN that survives a power loss.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    /// The highest LSN that survives a crash of the process.
    pub(crate) fn written_lsn(&self) -> Lsn {
        self.state.lock().written
    }

    /// The LSN of the last frame appended.
    pub(crate) fn last_lsn(&self) -> Lsn {
        Lsn(self.state.lock().next_lsn.0 - 1)
    }

    /// How many groups were synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Why readers in other processes are not told what is durable, if they are not.
    pub(crate) fn publisher_failure(&self) -> Option<Error> {
        self.publisher.get()?.failure()
    }

    /// Why nothing can be written any more, if that is so.
    pub(crate) fn poisoned(&self) -> Option<Error> {
        self.state.lock().poisoned.clone()
    }

    /// Everything up to `flushed` is in segments: files that hold nothing else may be recycled.
    pub(crate) fn trim(&self, flushed: Lsn) {
        self.state.lock().files.set_flushed(flushed);
        self.file_work.notify_all();
    }

    /// Whether complete files are kept because not all of what they hold is known to be flushed.
    pub(crate) fn awaits_flush(&self) -> bool {
        self.state.lock().files.await_flush()
    }

    /// Registers a reader of the log, which has read everything up to `lsn`, or moves it.
    ///
    /// # Errors
    /// The log no longer has what follows `lsn`.
    pub(crate) fn set_consumer(&self, name: &str, lsn: Lsn) -> Result<()> {
        let set = self.state.lock().files.set_consumer(name, lsn);
        self.file_work.notify_all();
        set.map_err(|oldest| {
            Error::invalid(format!(
                "log reader {name:?} has read up to LSN {lsn}, and the log no longer has all that follows: \
                 it starts behind LSN {oldest}. Start over from a snapshot, with the cursor at {oldest} or later"
            ))
        })
    }

    /// How far a reader of the log has read, if it is registered.
    pub(crate) fn consumer(&self, name: &str) -> Option<Lsn> {
        self.state.lock().files.consumer(name)
    }

    /// Forgets a reader of the log.
    pub(crate) fn remove_consumer(&self, name: &str) {
        self.state.lock().files.remove_consumer(name);
        self.file_work.notify_all();
    }

    /// The first of the readers that were dropped because they held back more log than allowed, and that
    /// were not registered anew since: how far it had read.
    pub(crate) fn dropped_consumer(&self) -> Option<(String, Lsn)> {
        self.state.lock().files.dropped()
    }

    /// Forgets that a reader was dropped: whoever is to know was told.
    pub(crate) fn forget_dropped_consumer(&self, name: &str) {
        self.state.lock().files.forget_dropped(name);
    }

    /// Complete log files and the current one, oldest first.
    pub(crate) fn file_infos(&self) -> Vec<LogFileInfo> {
        self.state.lock().files.infos()
    }

    /// Stops writing: what went wrong is told to everybody, to those who await an LSN by the log thread.
    /// The first cause counts.
    pub(crate) fn fail(&self, cause: Error) {
        self.state.lock().fail(cause);
        self.notify_all();
    }

    /// The body of the log thread: writes and syncs groups nobody waits for in person, and wakes those
    /// who await an LSN. Nobody else does that: wakers are foreign code, which may ask the database
    /// anything at once, or drop it, and here no lock is held.
    pub(crate) fn run_log_thread(&self) {
        let _first = self.own_thread.set(std::thread::current().id());
        let ended = catch_unwind(AssertUnwindSafe(|| self.write_and_wake()));
        if let Err(panic) = ended {
            self.fail(Error::panicked("the thread of the log"));
            let ready = self.state.lock().take_ready();
            wake(ready);
            resume_unwind(panic);
        }
    }

    fn write_and_wake(&self) {
        let mut state = self.state.lock();
        loop {
            let ready = state.take_ready();
            if !ready.is_empty() {
                MutexGuard::unlocked(&mut state, || wake(ready));
                continue;
            }
            let wanted = state.wanted_sync > state.durable || state.wanted_write > state.written;
            if state.poisoned.is_some() || (state.closing && !wanted) {
                return;
            }
            if wanted && !state.turn.is_taken() {
                // The log keeps the cause of a failure and hands it to every caller.
                let _kept = self.take_turn(state);
                state = self.state.lock();
            } else if wanted {
                self.progress.wait(&mut state);
            } else {
                self.work.wait(&mut state);
            }
        }
    }

    /// Whether it is the log thread that asks: that, or a waker.
    pub(crate) fn is_own_thread(&self) -> bool {
        self.own_thread.get() == Some(&std::thread::current().id())
    }

    /// The body of the file thread: makes the next file ahead of need, recycles and removes.
    pub(crate) fn run_file_thread(&self) {
        let mut state = self.state.lock();
        loop {
            if state.closing || state.poisoned.is_some() {
                self.progress.notify_all();
                return;
            }
            let durable = state.durable;
            let Some(job) = state.files.next_job(&self.settings, durable) else {
                self.file_work.wait(&mut state);
                continue;
            };
            let outcome = MutexGuard::unlocked(&mut state, || {
                files::run_job(&*self.disk, &self.settings, job)
            });
            state.files.finish_job(outcome);
            self.progress.notify_all();
        }
    }

    /// Makes everything durable, notes that it is, and ends the threads. Further appends fail.
    pub(crate) fn close(&self) -> Result<()> {
        // A frame in the note's group would not be proven by it, and one behind it never be synced.
        self.state.lock().sealed = true;
        self.progress.notify_all();
        let result = self.sync_to(self.last_lsn()).and_then(|()| {
            let note = Frame::Encoded {
                kind: FrameKind::Note,
                payload: &[],
                payload_crc: files::EMPTY_CRC,
            };
            let note = self.append(note, None)?;
            self.sync_to(note)
        });
        let mut state = self.state.lock();
        state.closing = true;
        self.notify_all();
        result
    }

    /// Wakes all threads that wait for the log, or for work.
    fn notify_all(&self) {
        self.work.notify_all();
        self.file_work.notify_all();
        self.progress.notify_all();
        self.turns.wake_all();
    }

    /// Takes the turn if nobody has it; or else waits for the one that is for `lsn`, or for its own.
    fn take_turn_or_wait(&self, state: MutexGuard<'_, State>, lsn: Lsn, sync: bool) -> Result<()> {
        if !state.turn.is_taken() {
            return self.take_turn(state);
        }
        let seat = self.turns.seat(state.turns_over, state.turn, lsn, sync);
        drop(state);
        seat.wait();
        Ok(())
    }

    /// Writes what is pending, and syncs it where that is wanted. Nobody else is at it.
    fn take_turn(&self, mut state: MutexGuard<'_, State>) -> Result<()> {
        state.turn = Turn::Gathers;
        if state.last_group > 1 {
            // Others committed together with this thread last time, and the sync has just woken them:
            // let those that are ready to run append first. With nobody else ready it is a no-op.
            MutexGuard::unlocked(&mut state, std::thread::yield_now);
        }
        let sync = state.wanted_sync > state.durable;
        let last = state.pending.back().map_or(state.written, |g| g.last);
        let durable = state.durable;
        state.turn = Turn::Writes { last, sync };
        let groups = state.take_groups();
        let mut unsynced = std::mem::take(&mut state.unsynced);
        let mut buffers = std::mem::take(&mut state.buffers);
        let write = || {
            write_groups(groups, durable, &mut buffers, &mut unsynced, sync)?;
            if let Some(publisher) = self.publisher.get().filter(|_| sync) {
                publisher.durable(last);
            }
            Ok(())
        };
        // Others wait for this thread: if it panics, they are told first.
        let outcome = MutexGuard::unlocked(&mut state, || catch_unwind(AssertUnwindSafe(write)));
        let (outcome, panic) = match outcome {
            Ok(outcome) => (outcome, None),
            Err(panic) => (Err(std::io::Error::other("a panic")), Some(panic)),
        };
        state.turn = Turn::Nobody;
        let number = state.turns_over;
        state.turns_over += 1;
        state.writing_bytes = 0;
        state.unsynced = unsynced;
        state.buffers.take_over(buffers);
        match outcome {
            Ok(()) => {
                state.written = last;
                if sync {
                    self.syncs.fetch_add(1, Ordering::Relaxed);
                    state.last_group = last.0 - state.last_synced.0;
                    state.last_synced = last;
                    state.durable = last;
                    self.durable.store(last.0, Ordering::Release);
                }
            }
            Err(cause) => {
                let path = state.files.current_path(&self.settings);
                let action = if sync {
                    "write and sync the log"
                } else {
                    "write the log"
                };
                state.fail(Error::io(action, &path, cause));
                self.notify_all();
            }
        }
        if !state.wakers.is_empty() {
            self.work.notify_all();
        }
        let result = state.check();
        drop(state);
        self.progress.notify_all();
        self.turns.ended(number);
        match panic {
            Some(panic) => resume_unwind(panic),
            None => result,
        }
    }
}

fn write_groups(
    groups: Vec<Group>,
    durable: Lsn,
    buffers: &mut Buffers,
    unsynced: &mut Vec<Arc<dyn File>>,
    sync: bool,
) -> std::io::Result<()> {
    for group in groups {
        let file = group.file.clone();
        group.write(durable, buffers)?;
        if unsynced.last().is_none_or(|f| !Arc::ptr_eq(f, &file)) {
            unsynced.push(file);
        }
    }
    if sync {
        for file in unsynced.drain(..) {
            file.sync()?;
        }
    }
    Ok(())
}

/// Wakes all of them; one that panics keeps no other from it.
fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        // It has said so on standard error.
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

impl State {
    fn fail(&mut self, cause: Error) {
        self.poisoned.get_or_insert(cause);
    }

    fn check(&self) -> Result<()> {
        match &self.poisoned {
            None => Ok(()),
            Some(cause) => Err(cause.poisoned()),
        }
    }

    fn check_open(&self) -> Result<()> {
        self.check()?;
        match self.closing {
            true => Err(Error::closed()),
            false => Ok(()),
        }
    }

    fn check_appendable(&self, frame: Frame<'_>) -> Result<()> {
        self.check_open()?;
        match self.sealed && !frame.is_note() {
            true => Err(Error::closed()),
            false => Ok(()),
        }
    }

    /// Whether as much waits to be written as may.
    fn is_full(&self, settings: &LogSettings) -> bool {
        let waiting = self.pending_bytes + self.writing_bytes;
        waiting >= settings.pending_max && waiting > 0
    }

    /// Whether a frame fits the current file, behind what is pending for it.
    fn fit(&mut self, frame_len: u64, may_fill: bool, waited: bool) -> Result<files::Fit> {
        let pending = self.pending.back().map_or(0, Group::len);
        self.files.fit(frame_len, may_fill, pending, waited)
    }

    /// Adds a frame to the group of the current file that is not written yet.
    fn push(&mut self, settings: &LogSettings, frame: Frame<'_>, lsn: Lsn) -> Result<usize> {
        let current = self.files.current_file();
        let joins = self
            .pending
            .back()
            .is_some_and(|g| Arc::ptr_eq(&g.file, current));
        if !joins {
            let identity = self.files.current_identity(settings);
            let (file, offset) = (current.clone(), self.files.position());
            let group = Group::new(file, identity, offset, self.buffers.take());
            self.pending.push_back(group);
        }
        let last = self.pending.len() - 1;
        self.pending[last].push(frame, lsn, self.durable)
    }

    /// Closes the current file and goes on in the one that is ready.
    fn rotate(&mut self, settings: &LogSettings) {
        let last = Lsn(self.next_lsn.0 - 1);
        self.files.rotate(last);
        let mut group = self.files.first_group(settings, self.next_lsn);
        group.last = last;
        self.pending_bytes += group.len();
        self.pending.push_back(group);
    }

    /// Takes what is pending.
    fn take_groups(&mut self) -> Vec<Group> {
        self.writing_bytes = std::mem::take(&mut self.pending_bytes);
        let groups: Vec<Group> = std::mem::take(&mut self.pending).into();
        if let Some(group) = groups.last() {
            // The last group is always one of the current file: frames go nowhere else.
            self.files
                .advance_to(group.offset + group.padded_len() as u64);
        }
        groups
    }

    /// The highest LSN that is written, or synced.
    fn reached(&self, sync: bool) -> Lsn {
        match sync {
            true => self.durable,
            false => self.written,
        }
    }

    /// Takes the async waiters whose LSN is reached, or all of them if none is reached any more: to be
    /// woken without the lock.
    fn take_ready(&mut self) -> Vec<Waker> {
        let (written, durable) = (self.written, self.durable);
        let ended = self.poisoned.is_some() || self.closing;
        let ready =
            |_: &u64, w: &mut Waiting| ended || w.lsn <= if w.sync { durable } else { written };
        let ready = self.wakers.extract_if(.., ready);
        ready.map(|(_, w)| w.waker).collect()
    }
}
