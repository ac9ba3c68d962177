//! What all handles to an open database share.
//!
//! # Locks, in the order they are taken
//! 1. [`Engine::compacting`]: whoever merges segments, all the while. Nobody else takes it;
//! 2. the manifest ([`Store::edit`]): flush, schema changes, compaction, retention;
//! 3. the giving of series ids (in [`SeriesRegistry`]);
//! 4. the commit lock ([`Engine::head`]): commits, deletes, snapshots, publication of a version;
//! 5. the log's own.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashMap;
use tidestone_format::log::{FrameKind, SeriesDefinition, Tombstone, encode_series_definitions};
use tidestone_format::manifest::Entry;
use tidestone_format::schema::{DuplicatePolicy, TableSchema};
use tidestone_format::version::{MAX_GROUP_TEXT, MAX_PAGE_KEYS};
use tidestone_format::{FileUuid, Lsn, SeriesId, SeriesKey, TableId, checksum};

use crate::catalog::{Hold, Known, Pins, SeriesRegistry, TableCore, Tables};
use crate::clock::{Clock, ClockWatcher, Deadline};
use crate::config::{Backpressure, LOG_ROOM_WAIT, Options};
use crate::error::{Error, ErrorKind, Result};
use crate::head::{self, Head};
use crate::nudge::Nudge;
use crate::random::Random;
use crate::scan;
pub(crate) use crate::scan::Snapshot;
use crate::signals::{Signals, Work};
use crate::steadiness::Steadiness;
use crate::store::{Editor, Segment, Store, TableVersion, Version};
use crate::threads::Threads;
use crate::wal::{Frame, Log};

/// An open database.
pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) threads: Arc<dyn Threads>,
    pub(crate) store: Arc<Store>,
    pub(crate) series: SeriesRegistry,
    tables: Tables,
    /// None: opened for reading only.
    log: Option<Log>,
    /// The last LSN that was read, where the database was opened for reading only. Changed under the
    /// commit lock.
    read_upto: AtomicU64,
    head: Mutex<Head>,
    pub(crate) signals: Signals,
    pub(crate) counters: Counters,
    /// Wakes the thread that puts small chunks of the head together.
    pub(crate) head_work: Nudge,
    /// Bytes of strings in the head, at most: in whatever way they fall on tables, columns and
    /// partitions, a segment can hold them. A test may lower it.
    pub(crate) text_max: AtomicUsize,
    /// Held by a flush, from the rows it takes to the edit that names them, and while series are
    /// forgotten. It is taken before the manifest.
    pub(crate) flushing: Mutex<()>,
    /// Held while segments are merged: two merges might choose the same ones.
    pub(crate) compacting: Mutex<Unmergeable>,
    pub(crate) steadiness: Mutex<Steadiness>,
    /// Segments last dropped because the disk was full, while somebody reads them.
    pub(crate) dropped_when_full: Mutex<Vec<Weak<Segment>>>,
    /// Batches being staged and snapshots being read.
    pub(crate) pins: Pins,
    closed: AtomicBool,
}

/// Live segments that merging has given up since the database was opened, and why: what is wrong with
/// one, or `None` where what it would become is more than a segment can hold.
pub(crate) type Unmergeable = FxHashMap<FileUuid, Option<Error>>;

/// What happened since the database was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) deletes: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) index_rebuilds: AtomicU64,
    pub(crate) index_caught_up: AtomicU64,
    pub(crate) partitions_dropped_when_full: AtomicU64,
    pub(crate) later_rows_left_out: AtomicU64,
}

/// What [`Engine::new`] takes.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) threads: Arc<dyn Threads>,
    pub(crate) store: Store,
    pub(crate) series: SeriesRegistry,
    pub(crate) tables: Tables,
    pub(crate) log: Option<Log>,
    pub(crate) head: Head,
    pub(crate) index_rebuilt: bool,
    pub(crate) read_upto: Lsn,
}

/// Until when a call waits.
#[derive(Debug, Clone, Copy)]
struct Patience<'a> {
    /// For a flush; `None`: not at all.
    flush: Option<Deadline<'a>>,
    /// For room in the log.
    log: Deadline<'a>,
}

/// The head, under the commit lock.
pub(crate) struct LockedHead<'a> {
    engine: &'a Engine,
    head: MutexGuard<'a, Head>,
    /// The thread panicked before it got this.
    panicking: bool,
}

impl Deref for LockedHead<'_> {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

impl DerefMut for LockedHead<'_> {
    fn deref_mut(&mut self) -> &mut Head {
        &mut self.head
    }
}

impl Drop for LockedHead<'_> {
    fn drop(&mut self) {
        // A batch may be in the log and not, or half, in the head: nothing is built on it, and it is told
        // before another gets the lock.
        if std::thread::panicking() && !self.panicking {
            let cause = Error::panicked("a thread that held the commit lock");
            self.engine.fail(cause);
        }
    }
}

impl std::fmt::Debug for Engine {
    /// Every handle has an engine in it, and programs print handles: no rows, and no lock is taken.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("database", &self.store.database())
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            options,
            clock,
            random,
            threads,
            store,
            series,
            tables,
            log,
            head,
            index_rebuilt,
            read_upto,
        } = parts;
        let store = Arc::new(store);
        series.set_store(store.clone());
        let signals = Signals::default();
        let steadiness = Steadiness::new(clock.monotonic());
        let counters = Counters::default();
        counters
            .index_rebuilds
            .store(u64::from(index_rebuilt), Ordering::Relaxed);
        let engine = Self {
            options,
            clock,
            random,
            threads,
            store,
            series,
            tables,
            log,
            read_upto: AtomicU64::new(read_upto.0),
            head: Mutex::new(head),
            signals,
            counters,
            head_work: Nudge::default(),
            text_max: AtomicUsize::new(MAX_GROUP_TEXT),
            flushing: Mutex::default(),
            compacting: Mutex::default(),
            steadiness: Mutex::new(steadiness),
            dropped_when_full: Mutex::default(),
            pins: Pins::default(),
            closed: AtomicBool::new(false),
        };
        engine.count_head();
        engine
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Whether it is a table of this database: a handle may be of another, with a table of the same id, or of
    /// one that was dropped.
    pub(crate) fn has_table(&self, table: &TableCore) -> bool {
        let known = self.tables.by_id(table.id);
        known.is_some_and(|known| std::ptr::eq(&*known, table))
    }

    /// Fails if it is not a table of this database ([`Engine::has_table`]).
    pub(crate) fn check_has_table(&self, table: &TableCore) -> Result<()> {
        match self.has_table(table) {
            true => Ok(()),
            false => Err(not_of_this(table)),
        }
    }

    /// The log, if the database was opened for writing.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// The log of a database that may be written to.
    pub(crate) fn writable(&self) -> Result<&Log> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        self.log_of_commits()
    }

    /// The log of a database that was opened for writing, also once it closes: what was committed
    /// before is made durable all the same, and whoever committed it is told so.
    pub(crate) fn log_of_commits(&self) -> Result<&Log> {
        self.log.as_ref().ok_or_else(Error::read_only)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn mark_closed(&self) {
        self.closed.store(true, Ordering::Release);
        self.head_work.close();
    }

    /// Stops writing, because of a thread that panicked: nobody is to wait for it, or to build on what it
    /// left half done.
    pub(crate) fn fail(&self, cause: Error) {
        if let Some(log) = &self.log {
            log.fail(cause.clone());
        }
        self.signals.note(Work::Flush, &Err(cause));
    }

    /// Makes a batch: a frame of the log, and its `rows` rows with `text` bytes of strings in the
    /// head, which `put` hands over under the commit lock. Nothing was done if this fails.
    pub(crate) fn commit<R>(
        &self,
        frame: Frame<'_>,
        (rows, text): (usize, usize),
        put: impl FnOnce(&mut Head, Lsn) -> R,
    ) -> Result<(Lsn, R)> {
        let patience = self.patience();
        self.wait_for_memory(patience.flush)?;
        let log = self.writable()?;
        let (mut head, lsn) = self.append_to_log(log, frame, text, patience)?;
        let put = put(&mut head, lsn);
        // The payload holds the same values and ids, so it is as large as the rows in memory. It is
        // counted under the lock: a flush that takes the rows sets the count anew under it.
        let added = frame.payload_len();
        let before = self.signals.head_bytes.fetch_add(added, Ordering::Relaxed);
        let text_before = self.signals.head_text.fetch_add(text, Ordering::Relaxed);
        let merge = head.wants_merge();
        drop(head);
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.counters.rows.fetch_add(rows as u64, Ordering::Relaxed);
        if merge {
            self.head_work.nudge();
        }
        self.want_flush_at(before, added);
        let half = self.text_max.load(Ordering::Relaxed) / 2;
        if text_before < half && text_before + text >= half {
            self.signals.want_flush();
        }
        Ok((lsn, put))
    }

    /// Adds a delete to log and head. It does not wait for memory: it may be what makes room on a
    /// disk that is too full for a flush.
    pub(crate) fn delete(&self, table: &TableCore, tombstone: Tombstone) -> Result<Lsn> {
        let patience = self.patience();
        let log = self.writable()?;
        let mut payload = Vec::new();
        tombstone.encode(&mut payload)?;
        let frame = Frame::Encoded {
            kind: FrameKind::Delete,
            payload: &payload,
            payload_crc: checksum::crc32(&payload),
        };
        let (mut head, lsn) = self.append_to_log(log, frame, 0, patience)?;
        head.delete(table.id, table.policy, lsn, tombstone);
        let before = self
            .signals
            .head_bytes
            .fetch_add(payload.len(), Ordering::Relaxed);
        drop(head);
        self.counters.deletes.fetch_add(1, Ordering::Relaxed);
        self.want_flush_at(before, payload.len());
        Ok(lsn)
    }

    /// Appends a frame, whose rows have `text` bytes of strings, under the commit lock, which is
    /// returned. Waiting for the log or for a flush, if need be, is done without it: meanwhile others
    /// read. However often others take the room that was waited for, the deadline stays.
    fn append_to_log(
        &self,
        log: &Log,
        frame: Frame<'_>,
        text: usize,
        patience: Patience<'_>,
    ) -> Result<(LockedHead<'_>, Lsn)> {
        let max = self.text_max.load(Ordering::Relaxed);
        if text > max {
            return Err(Error::invalid(format!(
                "a batch with {text} bytes of strings; at most {max} fit: split it into smaller ones"
            )));
        }
        loop {
            let head = self.lock_head();
            if text > 0 && self.signals.head_text() + text > max {
                drop(head);
                self.signals.wait_for_text(text, max, patience.flush)?;
                continue;
            }
            if let Some(lsn) = log.try_append(frame)? {
                return Ok((head, lsn));
            }
            drop(head);
            log.wait_for_room(frame, Some(patience.log))
                .or_else(|e| self.wait_for_space(e, patience.flush))?;
        }
    }

    /// Asks for a flush where the rows in memory, `before` and the bytes `added` to them, have
    /// just become enough for one.
    fn want_flush_at(&self, before: usize, added: usize) {
        let limit = self.options.flush_bytes();
        if before < limit && before + added >= limit {
            self.signals.want_flush();
        }
    }

    /// Puts small chunks of the head together, as long as there are any.
    pub(crate) fn merge_head(&self) {
        let Some(log) = &self.log else { return };
        loop {
            let written = log.written_lsn();
            let Some(merge) = self.lock_head().plan_merge(written) else {
                return;
            };
            let Some(merged) = merge.run() else { return };
            let Some((table, chunks)) = self.lock_head().take_in(merged) else {
                continue;
            };
            let emptied = head::emptied(chunks);
            self.lock_head().keep_spare(table, emptied);
        }
    }

    /// The id of a series, held, defined if it is new.
    pub(crate) fn resolve(
        &self,
        table: &TableCore,
        key: &SeriesKey,
    ) -> Result<(SeriesId, Arc<Hold>)> {
        check_key(key)?;
        let patience = self.patience();
        loop {
            match self.resolve_once(table, key, patience) {
                Err(error) => self.wait_for_space(error, patience.flush)?,
                resolved => return resolved,
            }
        }
    }

    fn resolve_once(
        &self,
        table: &TableCore,
        key: &SeriesKey,
        patience: Patience<'_>,
    ) -> Result<(SeriesId, Arc<Hold>)> {
        // An id that is found is not forgotten before it is held.
        let _pin = self.pins.pin();
        self.series
            .resolve(table.id, key, |definition: &SeriesDefinition| {
                let log = self.writable()?;
                // It may be dropped all the same before the definition is known: a flush leaves it out.
                self.check_is_there(table)?;
                let mut payload = Vec::new();
                encode_series_definitions(&mut payload, std::slice::from_ref(definition))?;
                let frame = Frame::Encoded {
                    kind: FrameKind::SeriesDefinition,
                    payload: &payload,
                    payload_crc: checksum::crc32(&payload),
                };
                log.append(frame, Some(patience.log))
            })
    }

    /// Changes a table, unless the change makes no difference.
    pub(crate) fn change_table(
        &self,
        table: &TableCore,
        change: impl FnOnce(&TableSchema) -> Result<TableSchema>,
    ) -> Result<()> {
        self.writable()?;
        let mut editor = self.store.edit();
        self.check_has_table(table)?;
        let before = editor.state().tables().get(&table.id);
        let before = before.ok_or_else(|| not_of_this(table))?;
        let schema = change(before)?;
        if schema == *before {
            return Ok(());
        }
        let version = editor.commit(vec![Entry::Table(schema.clone())])?;
        self.publish(&mut editor, version, None);
        self.tables.put(schema);
        Ok(())
    }

    /// Forgets a reader of the log.
    pub(crate) fn remove_cursor(&self, name: &str) -> Result<()> {
        let log = self.writable()?;
        let mut editor = self.store.edit();
        let cursors = editor.state().cursors();
        if !cursors.contains_key(name) {
            let known = Known::near(name, cursors.keys().map(String::as_str));
            let message = match cursors.is_empty() {
                true => format!(
                    "there is no log reader {name:?}, and no other; nothing is to be removed"
                ),
                false => {
                    format!("there is no log reader {name:?}; there are {known}: correct the name")
                }
            };
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        self.remove_cursor_with(&mut editor, log, name)
    }

    fn remove_cursor_with(&self, editor: &mut Editor<'_>, log: &Log, name: &str) -> Result<()> {
        let version = editor.commit(vec![Entry::CursorDropped {
            name: name.to_owned(),
        }])?;
        self.publish(editor, version, None);
        log.remove_consumer(name);
        log.forget_dropped_consumer(name);
        Ok(())
    }

    /// Takes note of readers of the log that were dropped because they held back too much.
    pub(crate) fn drop_slow_cursors(&self) -> Result<()> {
        let log = self.writable()?;
        let mut first = None;
        let outcome = loop {
            // Cursors are set under this lock: one that is dropped now is not set anew meanwhile.
            let mut editor = self.store.edit();
            let Some((name, lsn)) = log.dropped_consumer() else {
                break Ok(());
            };
            if !editor.state().cursors().contains_key(&name) {
                // Setting it had failed.
                log.forget_dropped_consumer(&name);
                continue;
            }
            if let Err(error) = self.remove_cursor_with(&mut editor, log, &name) {
                // It is tried again the next time.
                break Err(error);
            }
            first.get_or_insert((name, lsn));
        };
        match first {
            None => outcome,
            Some((name, lsn)) => {
                let message = format!(
                    "log reader {name:?} was dropped at LSN {lsn}: it held back more than {} bytes of \
                     log; it must start over from a snapshot",
                    self.options.log_retained_bytes
                );
                Err(Error::new(ErrorKind::Busy, message))
            }
        }
    }

    /// The last LSN that queries see.
    pub(crate) fn visible_lsn(&self) -> Lsn {
        let read = || Lsn(self.read_upto.load(Ordering::Relaxed));
        self.log.as_ref().map_or_else(read, Log::last_lsn)
    }

    /// Lets queries see what was read of the log since: `add` puts it into the head, and says up to
    /// which LSN. For a database opened for reading only.
    pub(crate) fn see_more(&self, add: impl FnOnce(&mut Head) -> Result<Lsn>) -> Result<()> {
        let mut head = self.lock_head();
        let upto = add(&mut head)?;
        self.read_upto.fetch_max(upto.0, Ordering::Relaxed);
        Ok(())
    }

    /// Lets queries see a version of the manifest that was read since, and, where given, another head
    /// with everything up to an LSN. For a database opened for reading only.
    pub(crate) fn see_version(
        &self,
        version: Arc<Version>,
        head: Option<(Head, Lsn)>,
    ) -> Result<()> {
        let mut current = self.lock_head();
        if self.is_closed() {
            return Err(Error::closed());
        }
        let before = match head {
            None => None,
            Some((head, upto)) => {
                self.signals.set_head_bytes(head.memory(), head.text());
                self.read_upto.fetch_max(upto.0, Ordering::Relaxed);
                Some(std::mem::replace(&mut *current, head))
            }
        };
        let version = self.store.go_on_with(version);
        drop(current);
        drop((before, version));
        Ok(())
    }

    /// Lets go of what queries see, and with it of its lease: of a database opened for reading only that
    /// is closed.
    pub(crate) fn see_nothing_more(&self) {
        self.mark_closed();
        // Who sees a version behind this meets the mark.
        let current = self.lock_head();
        let nothing = Arc::new(self.store.version().without_tables());
        let version = self.store.go_on_with(nothing);
        drop(current);
        drop(version);
    }

    /// One table as of now.
    pub(crate) fn snapshot(&self, table: TableId) -> Result<Snapshot> {
        let pin = self.pins.pin();
        let mut head = self.lock_head();
        let version = self.store.version();
        let view = head.view(table);
        let lsn = self.visible_lsn();
        let merge = head.wants_merge();
        drop(head);
        if merge {
            self.head_work.nudge();
        }
        let table = match version.tables.get(&table) {
            Some(table) => table.clone(),
            None if self.is_closed() => return Err(Error::closed()),
            None => return Err(dropped(table)),
        };
        let hold = scan::Hold {
            series: pin,
            files: table.lease.clone(),
        };
        Ok(Snapshot {
            table,
            head: view,
            lsn,
            hold,
        })
    }

    /// Fails if the table was dropped. Its series are forgotten after it is gone from here: what
    /// was looked up of them before this succeeds was all there.
    pub(crate) fn check_is_there(&self, table: &TableCore) -> Result<()> {
        if self.store.version().tables.contains_key(&table.id) {
            return Ok(());
        }
        // Who has let go of everything sees no tables, dropped or not.
        if self.is_closed() {
            return Err(Error::closed());
        }
        Err(dropped(format_args!("{:?}", table.name)))
    }

    /// The head, under the commit lock.
    pub(crate) fn lock_head(&self) -> LockedHead<'_> {
        LockedHead {
            engine: self,
            head: self.head.lock(),
            panicking: std::thread::panicking(),
        }
    }

    /// Counts the rows in memory anew.
    pub(crate) fn count_head(&self) {
        self.recount(&self.lock_head());
    }

    /// Sets the count of rows in memory, and asks for a flush where they are enough for one all the
    /// same: commits ask only when they become enough.
    fn recount(&self, head: &Head) {
        let bytes = head.memory();
        self.signals.set_head_bytes(bytes, head.text());
        if self.log.is_some() && bytes >= self.options.flush_bytes() {
            self.signals.want_flush();
        }
    }

    /// Forgets the rows of a table that was dropped.
    pub(crate) fn drop_rows(&self, table: TableId) {
        let mut head = self.lock_head();
        head.drop_table(table);
        self.recount(&head);
    }

    /// Counts rows that a flush or a merge left out because of duplicates, where the table's policy
    /// refuses them.
    pub(crate) fn count_left_out(&self, table: &TableVersion, rows: usize) {
        if table.schema.settings.policy == DuplicatePolicy::First {
            let counter = &self.counters.later_rows_left_out;
            counter.fetch_add(rows as u64, Ordering::Relaxed);
        }
    }

    /// Publishes a version and forgets the part of the head that it has in segments.
    pub(crate) fn publish(
        &self,
        editor: &mut Editor<'_>,
        version: Arc<Version>,
        flushed: Option<Lsn>,
    ) {
        let mut head = self.lock_head();
        if let Some(flushed) = flushed {
            head.forget(flushed);
            self.recount(&head);
        }
        let before = editor.publish(version);
        drop(head);
        self.store.tell_readers();
        // Unmapping and unlinking what only that version had waits for nobody's commit.
        drop(before);
    }

    /// Waits, as configured, while the memory budget is spent.
    fn wait_for_memory(&self, patience: Option<Deadline<'_>>) -> Result<()> {
        let max = self.options.head_max();
        if self.signals.head_bytes.load(Ordering::Relaxed) < max {
            return Ok(());
        }
        // Nobody flushes any more.
        if let Some(cause) = self.log.as_ref().and_then(Log::poisoned) {
            return Err(cause.poisoned());
        }
        self.signals.wait_for_memory(max, patience)
    }

    /// What to do after an error: where it is a full disk, space is asked for, which a flush may make; where
    /// a table is to lose its oldest partition then, that is waited for. Otherwise the error is returned.
    fn wait_for_space(&self, error: Error, patience: Option<Deadline<'_>>) -> Result<()> {
        if error.kind() != ErrorKind::DiskFull {
            return Err(error);
        }
        let version = self.store.version();
        let mut tables = version.tables.values();
        let may_drop = tables.any(|table| table.schema.settings.drops_when_full);
        drop(version);
        let patience = patience.filter(|_| may_drop);
        match self.signals.wait_for_space(patience) {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// The patience of a call that starts now.
    fn patience(&self) -> Patience<'_> {
        let after = |longest| Deadline::after(self.clock(), longest);
        match self.options.backpressure {
            Backpressure::Wait(longest) => {
                let deadline = after(longest);
                Patience {
                    flush: Some(deadline),
                    log: deadline,
                }
            }
            Backpressure::Fail => Patience {
                flush: None,
                log: after(LOG_ROOM_WAIT),
            },
        }
    }
}

/// Refuses a key that no segment can hold.
pub(crate) fn check_key(key: &SeriesKey) -> Result<()> {
    let len = key.as_bytes().len();
    if len > MAX_PAGE_KEYS {
        return Err(Error::invalid(format!(
            "the tags of a series take {len} bytes together; at most {MAX_PAGE_KEYS} fit: shorten them, or make a field of a long one"
        )));
    }
    Ok(())
}

fn not_of_this(table: &TableCore) -> Error {
    let message = format!(
        "table {:?} is not one of this database, or was dropped",
        table.name
    );
    Error::new(ErrorKind::NotFound, message).advising("take a new handle with `table`")
}

fn dropped(table: impl fmt::Display) -> Error {
    let message =
        format!("table {table} was dropped, and this needs it; create it again, or name another");
    Error::new(ErrorKind::NotFound, message)
}

impl ClockWatcher for Engine {
    fn clock_moved(&self) {
        self.signals.clock_moved();
        if let Some(log) = &self.log {
            log.clock_moved();
        }
    }
}
