//! Databases on a simulated disk that are closed, opened and written to at awkward moments.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::config::Backpressure;
use crate::io::{Call, Disk, SimDisk};
use crate::random::SeededRandom;
use crate::{DuplicatePolicy, Durability, FieldType, Ticket, TimeRange, Value};

fn options() -> Options {
    Options {
        memory_budget_bytes: 32 << 20,
        flush_after: None,
        log_file_bytes: 64 << 10,
        log_retained_bytes: 128 << 10,
        auto_compact: false,
        backpressure: Backpressure::Fail,
        ..Options::default()
    }
}

fn builder(disk: Arc<dyn Disk>) -> Builder {
    Tidestone::builder("/db")
        .options(options())
        .disk(disk)
        .clock(Arc::new(ManualClock::new(0)))
}

fn create(disk: impl Disk + 'static) -> Tidestone {
    let random = Arc::new(SeededRandom::new(1));
    builder(Arc::new(disk)).random(random).create().unwrap()
}

fn table(db: &Tidestone) -> Table {
    let options = TableOptions::new()
        .field("v", FieldType::I64)
        .future_bound(None);
    db.table_or_create("t", options).unwrap()
}

/// Commits a batch of `rows` rows, which are written to the log and not synced.
fn write(db: &Tidestone, rows: i64) {
    let series = table(db).series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    for time in 0..rows {
        writer.append(&series, time, &[Value::I64(time)]).unwrap();
    }
    let ticket = writer.commit_as(Durability::Os).unwrap();
    ticket.wait().unwrap();
}

fn log_files(disk: &SimDisk) -> usize {
    let paths = disk.paths().into_iter();
    paths
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .count()
}

/// Waits for what a background thread does, however busy the machine is: whoever runs the test ends it
/// when it takes too long.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    println!("waits for {what}");
    while !done() {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Every one of them left a log file that held a note and nothing else.
#[test]
fn opening_and_closing_again_and_again_keeps_few_log_files() {
    let disk = SimDisk::new();
    let db = create(disk.clone());
    write(&db, 10);
    db.close().unwrap();
    let mut version = 0;
    for cycle in 0..20 {
        let db = builder(Arc::new(disk.clone())).open().unwrap();
        assert_eq!(db.open_report().replayed, 0);
        assert!(db.open_report().log_tail.is_none());
        // Nothing is written down that lets no log file go.
        db.flush().unwrap();
        let before = db.status().unwrap().manifest_version;
        (0..3).for_each(|_| db.flush().unwrap());
        version = db.status().unwrap().manifest_version;
        assert_eq!(version, before);
        // The file thread comes to it: the current one, one with the last note, and two that it keeps.
        until("recycling", || db.status().unwrap().log.files <= 4);
        db.close().unwrap();
        // Beside these, the next one, and one more where the file thread was just making it.
        assert!(log_files(&disk) <= 6, "{cycle}: {:?}", disk.paths());
    }
    // A cycle writes down what was flushed, and how long the clock was watched.
    assert!(version < 2 * 20 + 10, "{version}");
    let db = builder(Arc::new(disk)).open().unwrap();
    assert_eq!(db.status().unwrap().tables[0].rows, 10);
}

#[test]
fn rows_of_dropped_tables_do_not_hold_the_log() {
    let disk = SimDisk::new();
    let db = create(disk.clone());
    for _ in 0..20 {
        write(&db, 2_000);
        db.drop_table("t").unwrap();
        db.flush().unwrap();
    }
    let log = db.engine().log().unwrap();
    let (current, complete) = (log.file_infos().pop().unwrap(), log.file_infos());
    assert!(current.number > 10, "{current:?}");
    let flushed = db.engine().store.version().flushed;
    let held = |f: &crate::wal::LogFileInfo| f.number < current.number && f.last > flushed;
    assert!(!complete.iter().any(held), "{flushed}, {complete:?}");
    until("recycling", || db.status().unwrap().log.files <= 4);
    drop(db);
    builder(Arc::new(disk)).open().unwrap();
}

/// The cursors that the manifest knows.
fn cursors(db: &Tidestone) -> Vec<String> {
    let editor = db.engine().store.edit();
    editor.state().cursors().keys().cloned().collect()
}

/// It was taken for the one that had been dropped, and removed.
#[test]
fn a_cursor_set_anew_after_it_was_dropped_stays() {
    let db = create(SimDisk::new());
    let engine = db.engine();
    for name in ["a", "b", "c"] {
        db.set_log_cursor(name, Lsn(0)).unwrap();
    }
    let log = engine.log().unwrap();
    for _ in 0..20 {
        write(&db, 2_000);
        db.flush().unwrap();
    }
    let all_gone = || ["a", "b", "c"].iter().all(|n| log.consumer(n).is_none());
    until("dropping", all_gone);
    let last = log.last_lsn();
    db.set_log_cursor("b", last).unwrap();
    let error = engine.drop_slow_cursors().unwrap_err();
    assert!(error.to_string().contains("\"a\""), "{error}");
    assert_eq!(
        (cursors(&db), log.consumer("b")),
        (vec!["b".to_owned()], Some(last))
    );
    engine.drop_slow_cursors().unwrap();
    assert_eq!(cursors(&db), ["b"]);
}

#[test]
fn removing_a_cursor_that_is_not_there_names_those_that_are() {
    let db = create(SimDisk::new());
    let error = db.remove_log_cursor("mirror").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    db.set_log_cursor("backup", Lsn(0)).unwrap();
    let error = db.remove_log_cursor("mirror").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("\"backup\""), "{error}");
    db.remove_log_cursor("backup").unwrap();
    write(&db, 1);
    assert!(cursors(&db).is_empty());
}

/// It was told that the database is closed while its lock was held.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the second one closes beside the first"
)]
fn who_closes_second_waits_for_the_first() {
    let disk = SimDisk::new();
    let db = create(disk.clone());
    write(&db, 1);
    let second = Arc::new(Mutex::new(None));
    let (handle, other, shared) = (second.clone(), db.clone(), Arc::new(disk.clone()));
    disk.at_syncs_of_the_log(vec![Box::new(move || {
        let closing = std::thread::spawn(move || {
            other.close().unwrap();
            builder(shared).open().map(drop)
        });
        // One that does not wait is through by then.
        for _ in 0..20 {
            if !closing.is_finished() {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        *handle.lock() = Some(closing);
    })]);
    db.close().unwrap();
    let second = second.lock().take().unwrap();
    second.join().unwrap().unwrap();
}

#[test]
fn rows_past_the_limit_are_flushed_when_the_database_is_opened() {
    let disk = SimDisk::new();
    let larger = Options {
        memory_budget_bytes: 256 << 20,
        ..options()
    };
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let db = builder(shared.clone()).options(larger).create().unwrap();
    (0..5).for_each(|_| write(&db, 50_000));
    assert_eq!(db.status().unwrap().flushes, 0);
    drop(db);
    let db = builder(shared).open().unwrap();
    until("a flush", || db.status().unwrap().flushes == 1);
    assert!(db.engine().signals.head_bytes() < options().flush_bytes());
}

/// Does something when it is woken: what an executor does that polls, or drops, at once.
struct AtOnce<F: FnOnce() + Send>(Mutex<Option<F>>);

impl<F: FnOnce() + Send + 'static> AtOnce<F> {
    fn waker(act: F) -> Waker {
        Waker::from(Arc::new(Self(Mutex::new(Some(act)))))
    }
}

impl<F: FnOnce() + Send> Wake for AtOnce<F> {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().take();
        if let Some(act) = act {
            act();
        }
    }
}

/// Commits a row.
fn commit(db: &Tidestone, durability: Durability) -> Ticket {
    let series = table(db).series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 0, &[Value::I64(1)]).unwrap();
    writer.commit_as(durability).unwrap()
}

/// Commits a row that nobody asked to be synced, and gives what awaits that.
fn unsynced(db: &Tidestone) -> WhenDurable {
    db.when_durable(commit(db, Durability::Memory).lsn())
}

fn poll(future: &mut WhenDurable, waker: &Waker) -> Poll<Result<()>> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// A flush syncs the log while it holds the manifest, and woke them itself: it waited for itself.
#[test]
fn who_is_woken_by_a_flush_may_change_a_table_at_once() {
    let db = create(SimDisk::new());
    let mut awaited = unsynced(&db);
    let (told, done) = channel();
    let other = table(&db);
    let waker = AtOnce::waker(move || told.send(other.add_field("w", FieldType::I64)).unwrap());
    assert!(poll(&mut awaited, &waker).is_pending());
    db.flush().unwrap();
    done.recv().unwrap().unwrap();
    assert!(poll(&mut awaited, &waker).is_ready());
    assert_eq!(table(&db).schema().fields.len(), 2);
    db.close().unwrap();
}

/// The log's thread waited for its own end, panicked, and left the database half closed.
#[test]
fn the_last_handle_may_go_with_a_task_that_is_woken() {
    let disk = SimDisk::new();
    let db = create(disk.clone());
    let mut awaited = unsynced(&db);
    let mut writer = db.writer();
    let series = table(&db).series(&[("host", "a")]).unwrap();
    let (told, done) = channel();
    let waker = AtOnce::waker(move || {
        drop(db);
        told.send(()).unwrap();
    });
    assert!(poll(&mut awaited, &waker).is_pending());
    writer.append(&series, 1, &[Value::I64(2)]).unwrap();
    let ticket = writer.commit().unwrap();
    done.recv().unwrap();
    assert!(ticket.is_durable());
    drop((writer, ticket, awaited, waker));
    let db = builder(Arc::new(disk)).open().unwrap();
    assert_eq!(rows(&db), 2);
    db.close().unwrap();
}

/// It waited for the one that closed, which waited for the thread that it was woken on.
#[test]
fn a_task_that_is_woken_by_a_close_may_close_too() {
    let disk = SimDisk::new();
    let db = create(disk.clone());
    write(&db, 10);
    let mut never = db.when_durable(Lsn(1_000_000));
    let (told, done) = channel();
    let other = db.clone();
    let waker = AtOnce::waker(move || told.send(other.close()).unwrap());
    assert!(poll(&mut never, &waker).is_pending());
    db.close().unwrap();
    let error = done.recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let text = error.to_string();
    assert!(text.contains("another thread is closing"), "{text}");
    db.close().unwrap();
    let db = builder(Arc::new(disk)).open().unwrap();
    assert_eq!(rows(&db), 10);
}

#[test]
fn a_task_that_is_woken_may_be_the_one_that_closes() {
    let disk = SimDisk::new();
    let db = create(disk.clone());
    let mut awaited = unsynced(&db);
    let (told, done) = channel();
    let other = db.clone();
    let waker = AtOnce::waker(move || told.send(other.close()).unwrap());
    assert!(poll(&mut awaited, &waker).is_pending());
    db.sync().unwrap();
    done.recv().unwrap().unwrap();
    db.close().unwrap();
    let db = builder(Arc::new(disk)).open().unwrap();
    assert_eq!(rows(&db), 1);
}

/// It waited for the thread that it was woken on.
#[test]
fn a_task_that_is_woken_may_wait_for_what_is_not_durable() {
    let db = create(SimDisk::new());
    let mut awaited = unsynced(&db);
    let (told, done) = channel();
    let other = db.clone();
    let waker = AtOnce::waker(move || {
        let last = other.wait_durable(unsynced(&other).lsn(), None);
        let written = commit(&other, Durability::Os);
        assert!(!written.wait_timeout(Duration::ZERO).unwrap());
        let written = written.wait_timeout(Duration::MAX);
        let never = other.wait_durable(Lsn(1_000_000), None);
        told.send((last, written, never)).unwrap();
    });
    assert!(poll(&mut awaited, &waker).is_pending());
    db.sync().unwrap();
    let (last, written, never) = done.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!((last.unwrap(), written.unwrap()), (true, true));
    let error = never.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("on another thread"), "{error}");
    db.close().unwrap();
}

/// Of every task that had waited for an LSN far off, and waited no more, the waker was kept.
#[test]
fn who_waits_no_more_is_not_kept() {
    let db = create(SimDisk::new());
    let task = Arc::new(AtOnce(Mutex::new(Some(|| {}))));
    let mut never = db.when_durable(Lsn(1_000_000));
    let other = never.clone();
    for _ in 0..3 {
        let waker = Waker::from(task.clone());
        assert!(poll(&mut never.clone(), &waker).is_pending());
        assert!(poll(&mut never, &waker).is_pending());
    }
    assert_eq!(
        Arc::strong_count(&task),
        2,
        "the test's and the one that waits"
    );
    drop(never);
    assert_eq!(Arc::strong_count(&task), 1);
    drop(other);
    db.close().unwrap();
}

/// What the manifest held in memory then was not what it held on the disk: segments that were gone.
#[test]
fn nothing_is_built_on_an_edit_in_whose_midst_a_thread_panicked() {
    let hooked = SimDisk::new();
    let db = create(hooked.clone());
    write(&db, 10);
    let panics = || panic!("it is meant to");
    hooked.at_next(Call::Sync, "manifest", panics);
    let flush = std::panic::AssertUnwindSafe(|| db.flush());
    std::panic::catch_unwind(flush).unwrap_err();
    let error = db.flush().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    assert_eq!(rows(&db), 10);
    drop(db);
    let db = builder(Arc::new(hooked.after_kill())).open().unwrap();
    assert_eq!(rows(&db), 10);
    db.flush().unwrap();
    assert_eq!(rows(&db), 10);
    db.close().unwrap();
}

fn rows(db: &Tidestone) -> usize {
    let rows = table(db).query().scan().unwrap();
    rows.map(|batch| batch.unwrap().len()).sum()
}

/// They waited for as long as they would, and nobody said why.
#[test]
fn a_thread_that_is_no_more_is_told_to_who_waits_for_it() {
    let hooked = SimDisk::new();
    let waits = Options {
        backpressure: Backpressure::Wait(Duration::MAX),
        ..options()
    };
    let db = builder(Arc::new(hooked.clone()));
    let db = db.options(waits).create().unwrap();
    write(&db, 10);
    // The file thread makes log files under this name.
    hooked.at_next(Call::Sync, "tmp", || panic!("it is meant to"));
    let series = table(&db).series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    let error = loop {
        writer.append(&series, 0, &[Value::I64(1)]).unwrap();
        if let Err(error) = writer.commit() {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    assert!(error.to_string().contains("tidestone-files"), "{error}");
    // Neither does who waits for memory.
    let max = options().head_max();
    db.engine().signals.set_head_bytes(max, 0);
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    db.close().unwrap_err();
}

/// The thread that panicked woke them, with whatever it held.
#[test]
fn who_awaits_a_commit_is_told_of_a_panic_by_the_thread_of_the_log() {
    let hooked = SimDisk::new();
    let db = create(hooked.clone());
    let mut never = db.when_durable(Lsn(1_000_000));
    let (told, woken) = channel();
    let waker = AtOnce::waker(move || {
        let thread = std::thread::current();
        told.send(thread.name().map(str::to_owned)).unwrap();
    });
    assert!(poll(&mut never, &waker).is_pending());
    hooked.at_next(Call::Sync, "tmp", || panic!("it is meant to"));
    let series = table(&db).series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    until("the panic", || {
        writer.append(&series, 0, &[Value::I64(1)]).unwrap();
        writer.commit().is_err()
    });
    assert_eq!(woken.recv().unwrap().as_deref(), Some("tidestone-log"));
    db.close().unwrap_err();
}

/// It went on with a version, and its lease, until the last handle was dropped.
#[test]
fn a_reader_that_is_closed_while_it_refreshes_keeps_no_lease() {
    let hooked = SimDisk::new();
    let db = create(hooked.clone());
    write(&db, 10);
    db.flush().unwrap();
    let reader = builder(Arc::new(hooked.clone())).open_read_only().unwrap();
    write(&db, 10);
    db.flush().unwrap();
    let closes = reader.clone();
    // It reads the log once it has read the manifest.
    hooked.at_next(Call::Open, "log", move || closes.close().unwrap());
    let error = reader.refresh().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let leases = hooked.paths().into_iter();
    let leases = leases.filter(|p| p.extension().is_some_and(|e| e == "lease"));
    assert_eq!(leases.count(), 0);
    db.close().unwrap();
}

#[test]
fn handles_print_what_they_are_and_not_the_rows() {
    let db = create(SimDisk::new());
    write(&db, 1_000);
    let table = table(&db);
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer
        .append(&series, 1, &[Value::I64(123_456_789)])
        .unwrap();
    let staged = format!("{writer:?}");
    let ticket = writer.commit().unwrap();
    let printed = [
        staged,
        format!("{db:?}"),
        format!("{table:?}"),
        format!("{series:?}"),
        format!("{ticket:?}"),
        format!("{:?}", table.query()),
        format!("{:?}", table.query().scan().unwrap()),
        format!("{:?}", db.when_durable(ticket.lsn())),
    ];
    for printed in printed {
        assert!(printed.len() < 1_500, "{printed}");
        assert!(!printed.contains("123456789"), "{printed}");
    }
}

#[test]
fn a_field_given_twice_is_told_whichever_call_makes_the_table() {
    let db = create(SimDisk::new());
    let options = TableOptions::new()
        .field("v", FieldType::I64)
        .field("v", FieldType::F64);
    for made in [
        db.create_table("twice", options.clone()),
        db.table_or_create("twice", options),
    ] {
        let error = made.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert_eq!(
            error.to_string(),
            "table \"twice\" is given field \"v\" twice: as i64, and as f64; give it once"
        );
    }
}

/// Whatever was asked for, the table was given as it was.
#[test]
fn a_table_that_is_not_as_asked_for_is_told_and_what_differs() {
    let db = create(SimDisk::new());
    let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(24 * 3_600));
    let plain = || TableOptions::new().field("v", FieldType::I64);
    let made = plain()
        .field("w", FieldType::F64)
        .policy(DuplicatePolicy::First)
        .partition(hour)
        .retention_age(Some(day));
    let table = db.table_or_create("t", made.clone()).unwrap();
    let check = |asked: TableOptions, told: &str| {
        let given = db.table_or_create("t", asked);
        let Err(error) = given else {
            return assert_eq!(told, "");
        };
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        let start = "table \"t\" is there and is not as asked for: ";
        let text = error.to_string();
        let rest = text.strip_prefix(start).unwrap_or_default();
        assert!(
            !told.is_empty() && rest.starts_with(&format!("{told}; ask")),
            "{text}"
        );
    };
    check(made.clone(), "");
    check(plain(), "");
    check(TableOptions::new(), "");
    check(
        plain().policy(DuplicatePolicy::Replace),
        "policy is First, asked for is Replace",
    );
    check(
        plain().partition(day),
        "partition is 3600s, asked for is 86400s",
    );
    check(plain().open_schema(), "mode is Fixed, asked for is Open");
    let told = "retention_age is Some(86400s), asked for is Some(3600s)";
    check(plain().retention_age(Some(hour)), told);
    let told = "retention_bytes is None, asked for is Some(9)";
    check(plain().retention_bytes(Some(9)), told);
    let told = "future_bound is Some(86400s), asked for is None";
    check(plain().future_bound(None), told);
    let told = "drop_oldest_when_full is false, asked for is true";
    check(plain().drop_oldest_when_full(), told);
    check(
        plain().field("x", FieldType::I64),
        "there is no field \"x\"",
    );
    let told = "policy is First, asked for is All; field \"w\" is f64, asked for is i64";
    check(
        plain()
            .field("w", FieldType::I64)
            .policy(DuplicatePolicy::All),
        told,
    );
    // What was changed since is what counts.
    table.set_retention(Some(hour), None).unwrap();
    check(plain().retention_age(Some(hour)), "");
    let told = "retention_age is Some(3600s), asked for is Some(86400s)";
    check(made, told);
}

#[test]
fn a_delete_in_a_table_that_was_dropped_is_refused() {
    let db = create(SimDisk::new());
    write(&db, 1);
    let table = table(&db);
    db.drop_table("t").unwrap();
    let error = table.delete(&[], crate::TimeRange::ALL).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(
        error.to_string().starts_with("table \"t\" was dropped"),
        "{error}"
    );
}

#[test]
fn retention_that_would_keep_nothing_is_refused() {
    let db = create(SimDisk::new());
    let age = TableOptions::new().retention_age(Some(Duration::ZERO));
    let bytes = TableOptions::new().retention_bytes(Some(0));
    for (options, what) in [
        (age, "retention age of 0ns"),
        (bytes, "retention of 0 bytes"),
    ] {
        let error = db.create_table("t", options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().starts_with(what), "{error}");
    }
}

#[test]
fn a_log_reader_without_a_name_is_refused_in_words_of_the_call() {
    let db = create(SimDisk::new());
    let error = db.set_log_cursor("", Lsn(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let expected = "name of a log reader of 0 bytes: 1 to 65535 are allowed; choose another";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn status_tells_no_failure_of_what_was_done_by_hand_since() {
    let db = create(SimDisk::new());
    write(&db, 10);
    let failed = || Err(Error::new(ErrorKind::DiskFull, "no space"));
    let failure = || db.status().unwrap().failure;
    db.engine().signals.note(Work::Flush, &failed());
    assert!(failure().is_some());
    db.flush().unwrap();
    assert_eq!(failure(), None);
    db.engine().signals.note(Work::Merge, &failed());
    db.flush().unwrap();
    assert!(failure().is_some(), "that was other work");
    db.compact().unwrap();
    assert_eq!(failure(), None);
}

#[test]
fn what_became_durable_before_a_close_is_told_after_it() {
    let db = create(SimDisk::new());
    write(&db, 10);
    let lsn = db.sync().unwrap();
    db.close().unwrap();
    assert!(db.wait_durable(lsn, None).unwrap());
    let never = db.wait_durable(Lsn(lsn.0 + 100), None);
    assert_eq!(never.unwrap_err().kind(), ErrorKind::Closed);
}

/// The panic went on through the rest: threads were left, and writers that could still commit, when
/// the lock was gone.
#[test]
fn a_panic_while_it_closes_leaves_no_half_of_a_database() {
    let hooked = SimDisk::new();
    let db = create(hooked.clone());
    let series = table(&db).series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    write(&db, 10);
    hooked.at_next(Call::Sync, "log", || panic!("it is meant to"));
    let error = db.close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    writer.append(&series, 11, &[Value::I64(1)]).unwrap();
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    drop(writer);
    let next = builder(Arc::new(hooked)).open().unwrap();
    assert_eq!(rows(&next), 10);
    next.close().unwrap();
}

fn rows_of(table: &Table) -> usize {
    let batches = table.query().scan().unwrap();
    batches.map(|batch| batch.unwrap().len()).sum()
}

/// Wherever they meet: in a batch, in memory, in a segment.
#[test]
fn rows_that_the_first_one_keeps_out_are_counted_once() {
    let db = create(SimDisk::new());
    let policies = [
        ("first", DuplicatePolicy::First),
        ("replace", DuplicatePolicy::Replace),
    ];
    let tables = policies.map(|(name, policy)| {
        let options = TableOptions::new()
            .field("v", FieldType::I64)
            .policy(policy)
            .future_bound(None);
        db.create_table(name, options).unwrap()
    });
    let write = |rows: i64| {
        for table in &tables {
            let series = table.series(&[("host", "a")]).unwrap();
            let mut writer = db.writer();
            for time in (0..rows).chain([0]) {
                writer.append(&series, time, &[Value::I64(time)]).unwrap();
            }
            writer.commit_and_wait().unwrap();
            assert_eq!(rows_of(table), 100);
        }
    };
    let left_out = || db.status().unwrap().later_rows_left_out;
    write(100);
    write(10);
    // Small neighbours are put together before they are flushed.
    write(10);
    assert_eq!(left_out(), 0, "nothing is written yet");
    db.flush().unwrap();
    assert_eq!(left_out(), 1 + 11 + 11);
    tables[0]
        .delete(&[], TimeRange { start: 50, end: 99 })
        .unwrap()
        .wait()
        .unwrap();
    db.flush().unwrap();
    assert_eq!(rows_of(&tables[1]), 100);
    let series = tables[0].series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    for time in 40..60 {
        writer.append(&series, time, &[Value::I64(-1)]).unwrap();
    }
    writer.commit_and_wait().unwrap();
    db.flush().unwrap();
    assert_eq!(left_out(), 23, "what is in another segment is not met yet");
    db.compact().unwrap();
    assert_eq!(left_out(), 23 + 10, "a row that was deleted keeps none out");
    db.compact().unwrap();
    assert_eq!(left_out(), 33);
}
