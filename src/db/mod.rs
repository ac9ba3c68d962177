//! The database and its tables, as applications use them.

mod builder;
mod status;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidestone_format::manifest::Entry;
use tidestone_format::{FileUuid, Lsn, TableId};

pub use builder::Builder;
pub use status::{ColumnStatus, LogStatus, ReaderStatus, Status, TableStatus};
pub use table::Table;

use crate::catalog::{self, TableOptions};
use crate::clock::Deadline;
use crate::compaction;
use crate::config::Options;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::flush;
use crate::forgetting;
use crate::ingest::{WhenDurable, Writer};
use crate::io::Lock;
use crate::read_only::Reader;
use crate::recover::OpenReport;
use crate::retention;
use crate::signals::Work;
use crate::wal::Log;
use crate::worker::{Workers, guarded};

/// An open database. Clones share it.
///
/// One process at a time writes to a database; others may read beside it
/// ([`Tidestone::open_read_only`]). Close it with [`close`](Tidestone::close); when the last clone
/// is dropped without that, everything committed is made durable, as after a crash nothing that was
/// acknowledged is lost, and the next open reads the log.
///
/// A process that was forked off must not use the database of the one it comes from, nor drop it: it
/// has none of its threads, and shares its lock.
#[derive(Debug, Clone)]
pub struct Tidestone(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Arc<Engine>,
    path: PathBuf,
    report: OpenReport,
    running: Mutex<Option<Running>>,
    /// Of a database opened for reading only: what goes on reading it.
    reader: Option<Mutex<Reader>>,
}

/// What an open database holds until it is closed.
struct Running {
    workers: Workers,
    /// Held, not read: the right to write.
    _lock: Option<Lock>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl Tidestone {
    /// Makes a database in a folder that is empty or not there, and opens it.
    ///
    /// # Errors
    /// The folder holds something, settings are out of bounds, or the disk refuses.
    pub fn create(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::builder(path).options(options).create()
    }

    /// Opens a database for writing.
    ///
    /// # Errors
    /// There is none, another process writes to it, settings are out of bounds, or its files are
    /// damaged.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::builder(path).options(options).open()
    }

    /// Opens a database for writing, or makes it if the folder is empty or not there: what a program
    /// does that starts again and again.
    ///
    /// ```
    /// # use tidestone::{Options, Tidestone};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("db");
    /// let db = Tidestone::open_or_create(&path, Options::default())?;
    /// let uuid = db.uuid();
    /// db.close()?;
    /// assert_eq!(Tidestone::open_or_create(&path, Options::default())?.uuid(), uuid);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tidestone::open`] and [`Tidestone::create`].
    pub fn open_or_create(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::builder(path).options(options).open_or_create()
    }

    /// Opens a database for reading, beside a process that may be writing to it. It sees what is
    /// durable at this moment; [`refresh`](Tidestone::refresh) to see more. Where no process writes, it
    /// sees what one that opened it would find.
    ///
    /// A *lease*, a small file in the folder `readers` of the database, keeps the writer from
    /// removing what is being read. Where it cannot be made (a folder that may not be written to),
    /// [`OpenReport::unleased`] says so.
    ///
    /// # Errors
    /// There is none, settings are out of bounds, or its files are damaged.
    pub fn open_read_only(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::builder(path).options(options).open_read_only()
    }

    /// Lets a database that was opened for reading see what has become durable since. Returns whether
    /// there was anything: in rows, tables or segments. Queries that are under way go on with what they
    /// saw. Without news it costs one read of a hundred or two hundred bytes, and where no process writes a
    /// look at the names of log files and manifests, so it may be called often. A database that was opened
    /// for writing has no need of it: `false`.
    ///
    /// ```
    /// # use tidestone::{FieldType, Options, TableOptions, Tidestone, Value};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("db");
    /// let db = Tidestone::create(&path, Options::default())?;
    /// let table = db.create_table("t", TableOptions::new().field("v", FieldType::F64))?;
    /// // Most likely in another process:
    /// let reader = Tidestone::open_read_only(&path, Options::default())?;
    /// let mut writer = db.writer();
    /// writer.append(&table.series(&[("host", "a")])?, 1, &[Value::F64(0.5)])?;
    /// writer.commit_and_wait()?;
    /// assert!(reader.refresh()?);
    /// assert_eq!(reader.durable_lsn(), db.durable_lsn());
    /// assert!(!reader.refresh()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Files are damaged or cannot be read. [`ErrorKind::Busy`]: the writer was too quick, try again.
    /// [`ErrorKind::Closed`]: the database was closed here, or it was repaired or restored: open it
    /// again.
    pub fn refresh(&self) -> Result<bool> {
        let Some(reader) = &self.0.reader else {
            return Ok(false);
        };
        let mut reader = reader.lock();
        if self.0.running.lock().is_none() {
            return Err(Error::closed());
        }
        reader.refresh(self.engine())
    }

    /// A builder, for components other than the machine's own: a simulated disk, a set clock.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    /// The folder of the database.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The database's uuid.
    pub fn uuid(&self) -> FileUuid {
        self.engine().store.database()
    }

    /// What opening it found and did.
    pub fn open_report(&self) -> &OpenReport {
        &self.0.report
    }

    /// Makes a table.
    ///
    /// # Errors
    /// There is a table of that name, or the options are out of bounds.
    pub fn create_table(&self, name: &str, options: TableOptions) -> Result<Table> {
        self.make_table(name, &options)
    }

    fn make_table(&self, name: &str, options: &TableOptions) -> Result<Table> {
        let engine = self.engine();
        engine.writable()?;
        let mut editor = engine.store.edit();
        if engine.tables().by_name(name).is_ok() {
            let message = format!(
                "there is a table {name:?} already; open it with `table`, or choose another name"
            );
            return Err(Error::new(ErrorKind::Exists, message));
        }
        let id = editor.state().next_table();
        let schema = options.schema(id, name)?;
        let next = Entry::NextIds {
            series: engine.series.next_id(),
            table: TableId(id.0 + 1),
        };
        let version = editor.commit(vec![next, Entry::Table(schema.clone())])?;
        engine.publish(&mut editor, version, None);
        let core = engine.tables().put(schema);
        Ok(Table::new(engine.clone(), core))
    }

    /// The table of that name.
    ///
    /// # Errors
    /// There is none; the message names those there are.
    pub fn table(&self, name: &str) -> Result<Table> {
        Ok(Table::new(
            self.engine().clone(),
            self.engine().tables().by_name(name)?,
        ))
    }

    /// The table of that name, made with these options if it is not there. One that is there stays as
    /// it is and must be as they ask for; it may have more fields. They ask for nothing that they leave at
    /// its default: a table whose retention was changed since is taken by options without one.
    ///
    /// ```
    /// # use tidestone::*;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// let first = TableOptions::new().field("price", FieldType::F64).policy(DuplicatePolicy::First);
    /// db.table_or_create("trades", first.clone())?;
    /// db.table_or_create("trades", first)?;
    /// db.table_or_create("trades", TableOptions::new())?;
    /// let all = TableOptions::new().policy(DuplicatePolicy::All);
    /// let error = db.table_or_create("trades", all).unwrap_err();
    /// assert!(error.to_string().contains("policy is First, asked for is All"));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// The table differs from what the options ask for ([`ErrorKind::Exists`]; what differs is named), they
    /// are out of bounds, or the database was closed or opened for reading only
    /// ([`table`](Tidestone::table) serves there).
    pub fn table_or_create(&self, name: &str, options: TableOptions) -> Result<Table> {
        match self.make_table(name, &options) {
            Err(error) if error.kind() == ErrorKind::Exists => {
                let table = self.table(name)?;
                options.check(&table.schema())?;
                Ok(table)
            }
            made => made,
        }
    }

    /// All tables, by name.
    pub fn tables(&self) -> Vec<Table> {
        let all = self.engine().tables().all();
        all.into_iter()
            .map(|core| Table::new(self.engine().clone(), core))
            .collect()
    }

    /// Drops a table with all its rows. Its name may be used again; its id is not.
    ///
    /// # Errors
    /// There is no such table, or the manifest cannot be written. Where it is not known whether it was,
    /// the table takes no rows any more, and the next open tells whether it is there.
    pub fn drop_table(&self, name: &str) -> Result<()> {
        let engine = self.engine();
        engine.writable()?;
        let mut editor = engine.store.edit();
        let core = engine.tables().by_name(name)?;
        editor.check()?;
        let committed = editor.commit(vec![Entry::TableDropped(core.id)]);
        if committed.is_ok() || editor.check().is_err() {
            // Also where the edit may hold: rows acknowledged from here on could be gone at the next open.
            engine.tables().remove(core.id);
        }
        let version = committed?;
        let applied = crate::index::Applied {
            // Definitions of a flush may still be on their way to the index: it must not claim them.
            lsn: Lsn(0),
            ..catalog::applied(&version)
        };
        // In this order, so that a query sees all of the table's rows and series, or that it is gone.
        engine.publish(&mut editor, version, None);
        engine.drop_rows(core.id);
        engine.series.drop_table(core.id, applied)
    }

    /// A writer; each thread has its own.
    pub fn writer(&self) -> Writer {
        Writer::new(self.engine().clone())
    }

    /// The highest LSN that survives a power loss; of a database opened for reading, the highest that
    /// it sees.
    pub fn durable_lsn(&self) -> Lsn {
        match self.engine().log() {
            Some(log) => log.durable_lsn(),
            None => self.engine().visible_lsn(),
        }
    }

    /// Waits until everything up to `lsn` survives a power loss, at most `timeout` (`None`: as long as
    /// it takes); says whether it does. It starts no sync: commits do. An LSN that was not given yet
    /// is waited for.
    ///
    /// A task that is being woken, on the thread that wakes it, keeps that thread from syncing: there it
    /// syncs by itself, however long that takes, and waits for nothing that was not given yet.
    ///
    /// # Errors
    /// The log could not be written or synced, or the database is closed before. Or a task on the thread that
    /// wakes it names an LSN that was not given yet ([`ErrorKind::Invalid`]): await
    /// [`when_durable`](Tidestone::when_durable).
    pub fn wait_durable(&self, lsn: Lsn, timeout: Option<Duration>) -> Result<bool> {
        let log = self.engine().log_of_commits()?;
        let deadline = timeout.map(|timeout| Deadline::after(self.engine().clock(), timeout));
        log.wait_to(lsn, true, deadline)
    }

    /// Resolves once everything up to `lsn` survives a power loss, whoever committed it. It starts no
    /// sync: commits do.
    ///
    /// ```
    /// # use tidestone::*;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// # let table = db.create_table("cpu", TableOptions::new().field("usage", FieldType::F64))?;
    /// # let host = table.series(&[("host", "a")])?;
    /// # let mut writer = db.writer();
    /// # writer.append(&host, 1, &[Value::from(0.5)])?;
    /// let lsn = writer.commit_as(Durability::Memory)?.lsn();
    /// let told = {
    ///     let db = db.clone();
    ///     async move { db.when_durable(lsn).await }
    /// };
    /// db.sync()?;
    /// # let mut told = std::pin::pin!(told);
    /// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// # assert!(std::future::Future::poll(told.as_mut(), &mut context).is_ready());
    /// assert!(db.durable_lsn() >= lsn);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// The log could not be written or synced; the database was closed before it got that far, or was
    /// opened for reading only.
    pub fn when_durable(&self, lsn: Lsn) -> WhenDurable {
        WhenDurable::new(self.engine().clone(), lsn)
    }

    /// Makes everything committed so far durable.
    ///
    /// # Errors
    /// The log could not be written or synced.
    pub fn sync(&self) -> Result<Lsn> {
        let log = self.engine().writable()?;
        let last = log.last_lsn();
        log.sync_to(last)?;
        Ok(last)
    }

    /// Moves all rows in memory to segments. Answers do not change. Segments that are worth it are then
    /// merged in the background ([`Options::auto_compact`]).
    ///
    /// # Errors
    /// The disk refuses; the rows stay in memory and log.
    pub fn flush(&self) -> Result<()> {
        retention::with_space(self.engine(), || flush::flush(self.engine())).map(drop)
    }

    /// Merges segments as far as that goes, and applies deletes. A partition has one segment then, beside
    /// those that span partitions and hold the rows of many that have few. Answers do not change.
    /// Returns how many merges were made.
    ///
    /// # Errors
    /// The disk refuses, or the database is closed meanwhile: a merge under way stops. The segments
    /// stay as they are. Or a segment is damaged: then everything else was merged.
    pub fn compact(&self) -> Result<u64> {
        self.flush()?;
        let mut merges = 0;
        loop {
            match compaction::full_step(self.engine())? {
                compaction::Step::Nothing => {
                    // That merging failed in the background is over.
                    self.engine().signals.note(Work::Merge, &Ok(()));
                    return Ok(merges);
                }
                compaction::Step::Overtaken => {}
                compaction::Step::Merged => merges += 1,
            }
        }
    }

    /// Drops what is past the tables' retention, forgets series whose rows are all gone and that no
    /// handle holds, and removes files that were kept for readers which have ended. The background
    /// thread does it too. By age, only what is too old by a clock that was watched for 24 hours, in
    /// any number of runs, and not set back: one that is wrong must not delete.
    ///
    /// # Errors
    /// The disk refuses. What failed for one table was done for the others.
    pub fn enforce_retention(&self) -> Result<()> {
        self.engine().store.remove_kept();
        let dropped = retention::enforce(self.engine());
        dropped.and(forgetting::run(self.engine()).map(drop))
    }

    /// Registers a reader of the log by name, or moves it: log files above `lsn` are kept for it, across
    /// restarts, until it moves on, is removed, or holds back more than
    /// [`Options::log_retained_bytes`]; then it is dropped, which [`Status::failure`] tells once.
    ///
    /// # Errors
    /// The name is empty or longer than 65,535 bytes, the log files behind `lsn` were recycled (the message says which LSN is the
    /// oldest that can be named), or the manifest cannot be written.
    pub fn set_log_cursor(&self, name: &str, lsn: Lsn) -> Result<()> {
        let log = self.engine().writable()?;
        if name.is_empty() || name.len() > usize::from(u16::MAX) {
            let message = format!(
                "name of a log reader of {} bytes: 1 to 65535 are allowed; choose another",
                name.len()
            );
            return Err(Error::invalid(message));
        }
        let mut editor = self.engine().store.edit();
        // Until the edit is durable the log keeps what either cursor needs.
        let before = log.consumer(name);
        log.set_consumer(name, before.map_or(lsn, |before| before.min(lsn)))?;
        let committed = editor.commit(vec![Entry::Cursor {
            name: name.to_owned(),
            lsn,
        }]);
        match (committed, before) {
            (Ok(version), _) => {
                self.engine().publish(&mut editor, version, None);
                log.set_consumer(name, lsn)
            }
            (Err(error), Some(before)) => log.set_consumer(name, before).and(Err(error)),
            (Err(error), None) => {
                log.remove_consumer(name);
                Err(error)
            }
        }
    }

    /// Forgets a reader of the log.
    ///
    /// # Errors
    /// There is none of that name, or the manifest cannot be written.
    pub fn remove_log_cursor(&self, name: &str) -> Result<()> {
        self.engine().remove_cursor(name)
    }

    /// How the database is doing.
    ///
    /// # Errors
    /// A segment could not be read.
    pub fn status(&self) -> Result<Status> {
        status::of(self.engine())
    }

    /// [Flushes](Tidestone::flush), makes everything durable and ends the background threads; a merge under way is
    /// stopped.
    /// From then on commits, deletes and all else that would change something get
    /// [`ErrorKind::Closed`]; so does [`status`](Tidestone::status). To close a database that is
    /// closed does nothing.
    ///
    /// # Errors
    /// Something could not be written. The database is closed all the same; nothing that was
    /// acknowledged is lost: what a full disk has no room to flush ([`ErrorKind::DiskFull`]) is in the log, which
    /// the next open reads. Or the one that calls is a task that is being woken, on the thread that wakes it,
    /// while another thread closes the database, which waits for that one ([`ErrorKind::Closed`]): leave it
    /// to the other.
    pub fn close(&self) -> Result<()> {
        self.0.shut_down(true)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }
}

impl Inner {
    fn shut_down(&self, flush_first: bool) -> Result<()> {
        let engine = &self.engine;
        // Held to the end: who closes second is told that the database is closed when it is.
        let mut current = match self.running.try_lock() {
            Some(current) => current,
            // Who closes first waits for the end of this thread.
            None if engine.log().is_some_and(Log::is_own_thread) => {
                let message = "another thread is closing the database, and waits for this one, which wakes \
                               who awaits a commit; leave it to the other";
                return Err(Error::new(ErrorKind::Closed, message));
            }
            None => self.running.lock(),
        };
        let Some(running) = current.take() else {
            return Ok(());
        };
        let Some(log) = engine.log() else {
            engine.see_nothing_more();
            engine.series.close();
            return Ok(());
        };
        engine.signals.close();
        // Whatever panics, the threads end before the lock goes.
        let flushed = guarded("the last flush", || match flush_first {
            true => {
                let kept = retention::close(engine);
                let flushed = retention::with_space(engine, || flush::flush(engine));
                flushed.map(drop).and(kept)
            }
            false => Ok(()),
        });
        engine.mark_closed();
        let closed = guarded("the end of the log", || log.close());
        running.workers.join();
        // A merge that a caller has under way must not reach the manifest once the lock is gone.
        let sealed = engine.store.close();
        let index = if flush_first {
            engine.series.flush_index()
        } else {
            Ok(())
        };
        engine.series.close();
        flushed.and(closed).and(sealed).and(index)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`. What was acknowledged is safe either way.
        let _ = self.shut_down(false);
    }
}
