//! Threads and times are those that a test gives: every thread of the engine is started through one
//! seam and ended, and what is due by time waits for the clock it was given.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and waits for other threads"
)]

mod common;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use common::gate::Gate;
use common::quiet;
use tidestone::io::{Call, SimDisk};
use tidestone::{
    Agg, Aggregate, Backpressure, Batch, Builder, Clock, ClockWatcher, Durability, Error,
    ErrorKind, FieldType, LOG_ROOM_WAIT, Lsn, ManualClock, Options, OsThreads, SeededRandom,
    Started, Table, TableOptions, Threads, Tidestone, Value,
};

const NOW: i64 = 1_000_000_000_000;
const HOSTS: [&str; 4] = ["a", "b", "c", "d"];
/// Rows of a host and a flush: enough that queries share their work.
const ROWS: i64 = 20_000;
/// Those of all hosts and six flushes.
const ALL_ROWS: usize = 24 * 20_000;
/// The threads of an open database.
const OWN: [&str; 5] = [
    "tidestone-files",
    "tidestone-flush",
    "tidestone-head",
    "tidestone-log",
    "tidestone-merge",
];

thread_local! {
    /// Whether the thread is a test's, or was started through the seam.
    static KNOWN: Cell<bool> = const { Cell::new(false) };
}

/// The threads of the machine, counted.
#[derive(Debug, Clone, Default)]
struct Counted(Arc<Mutex<Count>>);

#[derive(Debug, Default)]
struct Count {
    /// How many of each name were started.
    started: BTreeMap<String, usize>,
    running: usize,
    /// Those that somebody is to join.
    unjoined: usize,
    /// How many more may be started, if not any number.
    left: Option<usize>,
}

impl Counted {
    fn refuse_after(&self, more: usize) {
        self.0.lock().unwrap().left = Some(more);
    }

    fn started(&self, name: &str) -> usize {
        let count = self.0.lock().unwrap();
        count.started.get(name).copied().unwrap_or_default()
    }

    /// Checks that all threads have ended, and that whoever started one has waited for that.
    #[track_caller]
    fn check_all_ended(&self) {
        let count = self.0.lock().unwrap();
        assert_eq!((count.running, count.unjoined), (0, 0), "{count:?}");
    }

    fn begin(&self, name: &str) -> io::Result<()> {
        let mut count = self.0.lock().unwrap();
        if let Some(left) = &mut count.left {
            let less = left.checked_sub(1);
            *left = less.ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))?;
        }
        *count.started.entry(name.to_owned()).or_default() += 1;
        count.running += 1;
        Ok(())
    }

    fn run(&self, body: impl FnOnce()) {
        KNOWN.set(true);
        body();
        self.0.lock().unwrap().running -= 1;
    }
}

impl Threads for Counted {
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Started>> {
        self.begin(name)?;
        self.0.lock().unwrap().unjoined += 1;
        let counted = self.clone();
        let thread = OsThreads.spawn(name, Box::new(move || counted.run(body)))?;
        Ok(Box::new(Joined(thread, self.clone())))
    }

    fn together(&self, name: &str, others: usize, body: &(dyn Fn() + Sync)) {
        let others = (0..others).take_while(|_| self.begin(name).is_ok()).count();
        // The caller's is a known one, and not counted.
        let caller = std::thread::current().id();
        let body = || match std::thread::current().id() == caller {
            true => body(),
            false => self.run(body),
        };
        OsThreads.together(name, others, &body);
    }
}

#[derive(Debug)]
struct Joined(Box<dyn Started>, Counted);

impl Started for Joined {
    fn join(self: Box<Self>) -> std::thread::Result<()> {
        self.1.0.lock().unwrap().unjoined -= 1;
        self.0.join()
    }

    fn is_current(&self) -> bool {
        self.0.is_current()
    }
}

fn builder(disk: &SimDisk, options: Options) -> Builder {
    Tidestone::builder("/db")
        .options(options)
        .disk(Arc::new(disk.clone()))
        .random(Arc::new(SeededRandom::new(disk.changes())))
}

fn make_table(db: &Tidestone) -> Table {
    let options = TableOptions::new().field("v", FieldType::I64);
    db.create_table("t", options).unwrap()
}

/// Writes rows of all hosts from a time on and flushes them.
fn fill(db: &Tidestone, table: &Table, from: i64) {
    let mut writer = db.writer();
    for host in HOSTS {
        let series = table.series(&[("host", host)]).unwrap();
        let times: Vec<i64> = (from..from + ROWS).collect();
        let batch = Batch::of_series(&series, times.clone()).i64("v", times);
        writer.append_batch(batch).unwrap();
    }
    writer.commit_and_wait().unwrap();
    db.flush().unwrap();
}

fn count(table: &Table) -> usize {
    let batches = table.query().scan().unwrap();
    batches.map(|batch| batch.unwrap().len()).sum()
}

/// Asks everything that is answered on several threads; the first scan is dropped at its start.
fn ask(table: &Table, rows: usize) {
    let mut dropped = table.query().scan().unwrap();
    (0..4).for_each(|_| drop(dropped.next().unwrap().unwrap()));
    drop(dropped);
    assert_eq!(count(table), rows);
    assert_eq!(table.query().last().unwrap().len(), HOSTS.len());
    let sum = [Aggregate::new(Agg::Count, "v")];
    let counted = table.query().statistics(false).aggregate(sum).buckets();
    assert_eq!(counted.unwrap().value(0, 0), Value::U64(rows as u64));
}

fn threaded() -> Options {
    Options {
        auto_compact: true,
        query_threads: 3,
        ..quiet()
    }
}

#[test]
fn every_thread_is_started_through_the_seam_and_has_ended_at_close() {
    KNOWN.set(true);
    let (disk, threads) = (SimDisk::new(), Counted::default());
    let unknown = Arc::new(Mutex::new(Vec::new()));
    let seen = unknown.clone();
    disk.watch(move |call, path| {
        if !KNOWN.get() {
            seen.lock().unwrap().push((call, path.to_owned()));
        }
        Ok(())
    });
    let open = || builder(&disk, threaded()).threads(Arc::new(threads.clone()));
    let db = open().create().unwrap();
    let table = make_table(&db);
    for part in 0..6 {
        fill(&db, &table, part * ROWS);
    }
    ask(&table, ALL_ROWS);
    assert!(threads.started("tidestone-query") > 0);
    // What was started for queries has ended with them; the others are those of the database.
    assert_eq!(threads.0.lock().unwrap().running, OWN.len());
    db.close().unwrap();
    threads.check_all_ended();
    let reader = open().open_read_only().unwrap();
    ask(&reader.table("t").unwrap(), ALL_ROWS);
    reader.close().unwrap();
    // One that is dropped ends its threads too.
    drop(open().open().unwrap());
    threads.check_all_ended();
    let mut started = threads.0.lock().unwrap().started.clone();
    started.remove("tidestone-query");
    let twice = OWN.map(|name| (name.to_owned(), 2));
    assert_eq!(started, BTreeMap::from(twice));
    assert_eq!(*unknown.lock().unwrap(), []);
}

#[test]
fn an_open_that_cannot_start_a_thread_ends_the_others_and_lets_go() {
    let disk = SimDisk::new();
    builder(&disk, quiet()).create().unwrap().close().unwrap();
    for started in 0..OWN.len() {
        let threads = Counted::default();
        threads.refuse_after(started);
        let refused = builder(&disk, quiet()).threads(Arc::new(threads.clone()));
        let error = refused.open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        let text = error.to_string();
        assert!(text.contains("cannot start thread tidestone-"), "{text}");
        threads.check_all_ended();
        builder(&disk, quiet()).open().unwrap();
    }
}

#[test]
fn queries_that_can_start_no_thread_answer_the_same() {
    let (disk, threads) = (SimDisk::new(), Counted::default());
    let open = builder(&disk, threaded()).threads(Arc::new(threads.clone()));
    let db = open.create().unwrap();
    let table = make_table(&db);
    for part in 0..6 {
        fill(&db, &table, part * ROWS);
    }
    for more in [0, 1] {
        threads.refuse_after(more);
        ask(&table, ALL_ROWS);
        assert_eq!(threads.started("tidestone-query"), more);
    }
    db.close().unwrap();
    threads.check_all_ended();
}

/// A clock that is moved by hand, and knows who waits for which time.
#[derive(Debug)]
struct Told {
    clock: ManualClock,
    /// When a thread began to wait, and until when.
    waits: Mutex<Vec<(u64, u64)>>,
    changed: Condvar,
}

impl Told {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: ManualClock::new(NOW),
            waits: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Waits until a thread has begun to wait until `due`, now.
    #[track_caller]
    fn until_somebody_waits_for(&self, due: u64) {
        let wanted = (self.monotonic(), due);
        let waits = self.waits.lock().unwrap();
        let minute = Duration::from_secs(60);
        let none = |waits: &mut Vec<_>| !waits.contains(&wanted);
        let (waits, waited) = self
            .changed
            .wait_timeout_while(waits, minute, none)
            .unwrap();
        assert!(!waited.timed_out(), "{wanted:?} is not of {waits:?}");
    }
}

impl Clock for Told {
    fn now(&self) -> i64 {
        self.clock.now()
    }
    fn monotonic(&self) -> u64 {
        self.clock.monotonic()
    }
    fn sleep_until(&self, due: u64) -> Option<Duration> {
        let waits = (self.monotonic(), due);
        self.waits.lock().unwrap().push(waits);
        self.changed.notify_all();
        self.clock.sleep_until(due)
    }
    fn watch(&self, watcher: Weak<dyn ClockWatcher>) {
        self.clock.watch(watcher);
    }
}

#[test]
fn rows_are_flushed_by_age_when_the_clock_is_moved_and_not_before() {
    const AGE: i64 = 1_000_000_000;
    let (disk, clock) = (SimDisk::new(), Told::new());
    let options = Options {
        flush_after: Some(Duration::from_nanos(AGE as u64)),
        ..quiet()
    };
    let db = builder(&disk, options).clock(clock.clone());
    let db = db.create().unwrap();
    let table = make_table(&db);
    let mut writer = db.writer();
    let series = table.series(&[("host", "a")]).unwrap();
    writer.append(&series, 1, &[Value::I64(1)]).unwrap();
    writer.commit_and_wait().unwrap();
    let flushes = || db.status().unwrap().flushes;
    let due = NOW + AGE;
    clock.until_somebody_waits_for(due as u64);
    clock.clock.set(due - 1);
    clock.until_somebody_waits_for(due as u64);
    assert_eq!(flushes(), 0);
    clock.clock.set(due);
    clock.until_somebody_waits_for((due + AGE) as u64);
    assert_eq!(flushes(), 1);
    db.close().unwrap();
}

#[test]
fn waits_with_a_limit_end_when_the_clock_is_moved() {
    const SECOND: u64 = 1_000_000_000;
    let (disk, clock) = (SimDisk::new(), Told::new());
    let gate = Gate::before(&disk);
    let options = Options {
        backpressure: Backpressure::Wait(Duration::from_secs(2)),
        // Room for all rows, so that memory is what is waited for.
        log_file_bytes: 32 << 20,
        log_retained_bytes: 64 << 20,
        ..quiet()
    };
    let db = builder(&disk, options).clock(clock.clone());
    let db = db.create().unwrap();
    let table = TableOptions::new().field("s", FieldType::String);
    let table = db.create_table("t", table).unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    let (never, second) = (Lsn(99), Some(Duration::from_secs(1)));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| db.wait_durable(never, second));
        clock.until_somebody_waits_for(NOW as u64 + SECOND);
        clock.clock.advance(SECOND as i64);
        assert!(!waits.join().unwrap().unwrap());
    });
    gate.hold(|call, path| call == Call::Create && path.starts_with("/db/tmp"));
    std::thread::scope(|scope| {
        let commits = scope.spawn(|| {
            let (mut writer, text) = (db.writer(), "x".repeat(1 << 20));
            (0..).find_map(|time| {
                let values = [Value::String(&text)];
                writer.append(&series, time, &values).unwrap();
                writer.commit_and_wait().err()
            })
        });
        clock.until_somebody_waits_for(NOW as u64 + 3 * SECOND);
        clock.clock.advance(2 * SECOND as i64);
        let error = commits.join().unwrap().unwrap();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    });
    gate.open();
    db.close().unwrap();
}

const TWO_SECONDS: Duration = Duration::from_secs(2);

/// A database with a table of strings, on a disk behind a gate.
fn gated(
    backpressure: Backpressure,
    log_file_bytes: u64,
) -> (Arc<Told>, Arc<Gate>, Tidestone, Table) {
    let (disk, clock) = (SimDisk::new(), Told::new());
    let gate = Gate::before(&disk);
    let options = Options {
        backpressure,
        log_file_bytes,
        log_retained_bytes: 4 * log_file_bytes,
        ..quiet()
    };
    let db = builder(&disk, options).clock(clock.clone());
    let db = db.create().unwrap();
    let options = TableOptions::new().field("s", FieldType::String);
    let table = db.create_table("t", options).unwrap();
    (clock, gate, db, table)
}

/// Commits rows of 30,000 bytes that nobody waits for, until one is refused.
fn commit_until_refused(db: &Tidestone, table: &Table) -> Error {
    let series = table.series(&[("host", "a")]).unwrap();
    let (mut writer, text) = (db.writer(), "x".repeat(30_000));
    let refused = (0..).find_map(|time| {
        writer
            .append(&series, time, &[Value::String(&text)])
            .unwrap();
        writer.commit_as(Durability::Memory).err()
    });
    assert_eq!(writer.staged_rows(), 1, "what was refused stays staged");
    refused.unwrap()
}

/// Moves the clock on whenever a thread waits for that long from now, until this one has ended: a file
/// of the log that was being made when the gate was closed lets it go on for once.
fn let_pass<T>(clock: &Told, longest: Duration, thread: &ScopedJoinHandle<'_, T>) {
    while !thread.is_finished() {
        let now = clock.monotonic();
        let due = now + u64::try_from(longest.as_nanos()).unwrap();
        let waits = clock.waits.lock().unwrap().contains(&(now, due));
        match waits {
            true => clock.clock.set(due.cast_signed()),
            false => std::thread::yield_now(),
        }
    }
}

/// Fails unless this is a refusal after a wait that says what was waited for.
fn is_busy(error: &Error, says: &str) {
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

/// It waited for as long as it took.
#[test]
fn a_commit_does_not_wait_for_a_log_file_longer_than_it_is_to() {
    let (clock, gate, db, table) = gated(Backpressure::Wait(TWO_SECONDS), 64 << 10);
    let tag = "v".repeat(60_000);
    gate.hold(|call, path| call == Call::Create && path.starts_with("/db/wal"));
    std::thread::scope(|scope| {
        let commits = scope.spawn(|| commit_until_refused(&db, &table));
        let_pass(&clock, TWO_SECONDS, &commits);
        is_busy(&commits.join().unwrap(), "the next one is not ready");
        // Neither does a series that is made.
        let makes = scope.spawn(|| table.series(&[("host", &tag)]).map(drop));
        let_pass(&clock, TWO_SECONDS, &makes);
        let error = makes.join().unwrap().unwrap_err();
        is_busy(&error, "the next one is not ready");
    });
    gate.open();
    db.close().unwrap();
}

/// It waited for as long as the write took.
#[test]
fn a_commit_does_not_wait_for_a_write_of_the_log_longer_than_it_is_to() {
    let (clock, gate, db, table) = gated(Backpressure::Wait(TWO_SECONDS), 8 << 20);
    gate.hold(|call, path| call == Call::Write && path.extension().is_some_and(|e| e == "log"));
    std::thread::scope(|scope| {
        let commits = scope.spawn(|| commit_until_refused(&db, &table));
        let_pass(&clock, TWO_SECONDS, &commits);
        let says = "bytes wait to be written to the log";
        is_busy(&commits.join().unwrap(), says);
    });
    gate.open();
    db.close().unwrap();
}

/// It waited for as long as it took, though it was to wait for nothing.
#[test]
fn a_commit_that_is_to_fail_at_once_does_not_wait_for_the_log_either() {
    for (log_file_bytes, held, says) in [
        (64 << 10, Call::Create, "the next one is not ready"),
        (8 << 20, Call::Write, "bytes wait to be written to the log"),
    ] {
        let (clock, gate, db, table) = gated(Backpressure::Fail, log_file_bytes);
        let series = table.series(&[("host", "a")]).unwrap();
        let tag = "v".repeat(60_000);
        gate.hold(move |call, path| call == held && path.starts_with("/db/wal"));
        std::thread::scope(|scope| {
            let commits = scope.spawn(|| commit_until_refused(&db, &table));
            let_pass(&clock, LOG_ROOM_WAIT, &commits);
            is_busy(&commits.join().unwrap(), says);
            // Neither does a series that is made.
            let makes = scope.spawn(|| table.series(&[("host", &tag)]).map(drop));
            let_pass(&clock, LOG_ROOM_WAIT, &makes);
            is_busy(&makes.join().unwrap().unwrap_err(), says);
        });
        // What it was refused for was asked for all the same.
        gate.open();
        let mut writer = db.writer();
        let row = [Value::String("x")];
        writer.append(&series, 0, &row).unwrap();
        writer.commit_and_wait().unwrap();
        db.close().unwrap();
    }
}
