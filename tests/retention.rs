//! Retention by age over many runs, with a clock that is right and with one that is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use common::wrong::check;
use common::{contents, quiet};
use tidestone::io::{Call, SimDisk};
use tidestone::{
    Batch, Clock, ClockWatcher, ErrorKind, FieldType, SeededRandom, Table, TableOptions,
    TableSettings, TagMatch, Tidestone, TimeRange, Value,
};

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// The time at which the machine was first switched on.
const START: i64 = 50 * YEAR;

/// A machine: how long it has been running, and what its wall clock shows.
#[derive(Debug, Default)]
struct Machine {
    ran: AtomicI64,
    wall: AtomicI64,
}

impl Clock for Machine {
    fn now(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }
    fn monotonic(&self) -> u64 {
        self.ran.load(Ordering::SeqCst).cast_unsigned()
    }
    fn sleep_until(&self, _due: u64) -> Option<Duration> {
        None
    }
    /// It tells nobody: a step is not joined by what is due at its time.
    fn watch(&self, _watcher: Weak<dyn ClockWatcher>) {}
}

impl Machine {
    fn set(&self, wall: i64) {
        self.wall.store(wall, Ordering::SeqCst);
    }

    fn run(&self, db: &Tidestone, hours: i64) {
        for _ in 0..6 * hours {
            self.wall.fetch_add(HOUR / 6, Ordering::SeqCst);
            self.ran.fetch_add(HOUR / 6, Ordering::SeqCst);
            db.enforce_retention().unwrap();
        }
    }
}

fn open(disk: &SimDisk, clock: &Arc<Machine>) -> Tidestone {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .clock(clock.clone())
        .random(Arc::new(SeededRandom::new(disk.changes())))
        .open_or_create()
        .unwrap()
}

/// Writes a row of the time that the clock shows.
fn write(db: &Tidestone, table: &Table, time: i64) {
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, time, &[Value::I64(0)]).unwrap();
    writer.commit_and_wait().unwrap();
}

fn make(db: &Tidestone) -> Table {
    let options = TableOptions::new()
        .field("v", FieldType::I64)
        .partition(Duration::from_secs(3600))
        .future_bound(None)
        .retention_age(Some(Duration::from_secs(2 * 86_400)));
    db.create_table("t", options).unwrap()
}

fn rows(db: &Tidestone) -> Vec<i64> {
    let table = db.table("t").unwrap();
    contents(&table).into_iter().map(|(_, t, _)| t).collect()
}

#[test]
fn runs_of_a_few_hours_drop_what_is_old() {
    let (disk, clock) = (SimDisk::new(), Arc::new(Machine::default()));
    for day in 0..30 {
        clock.set(START + day * DAY);
        let db = open(&disk, &clock);
        if day == 0 {
            make(&db);
        }
        let table = db.table("t").unwrap();
        clock.run(&db, 4);
        write(&db, &table, START + day * DAY + 4 * HOUR);
        let all = rows(&db);
        if day < 6 {
            assert_eq!(all.len() as i64, day + 1, "24 hours were not watched yet");
        } else {
            // Two days, and at most as many as hold 48 watched hours.
            let days = all.len() as i64;
            assert!((3..=15).contains(&days), "day {day}: {days} days are kept");
            assert!(day < 15 || days < day, "day {day}: nothing was dropped");
        }
        db.close().unwrap();
    }
}

#[test]
fn a_clock_that_starts_years_ahead_drops_nothing() {
    let (disk, clock) = (SimDisk::new(), Arc::new(Machine::default()));
    // At the first start of all.
    clock.set(START + 10 * YEAR);
    let db = open(&disk, &clock);
    let table = make(&db);
    write(&db, &table, START);
    clock.run(&db, 20);
    assert_eq!(rows(&db), [START]);
    // Set right, the table goes on as any other.
    clock.set(START);
    clock.run(&db, 5 * 24);
    assert_eq!(rows(&db), []);
    let now = START + 5 * DAY;
    write(&db, &table, now);
    db.close().unwrap();
    // At a later start, after a run in which it was right.
    clock.set(now + 3 * YEAR);
    let db = open(&disk, &clock);
    clock.run(&db, 20);
    assert_eq!(rows(&db), [now]);
    write(&db, &db.table("t").unwrap(), now + HOUR);
    // While it runs, further ahead.
    clock.set(now + 30 * YEAR);
    clock.run(&db, 2);
    assert_eq!(rows(&db), [now, now + HOUR]);
    db.close().unwrap();
}

#[test]
fn what_was_watched_survives_the_death_of_the_process() {
    let (mut disk, clock) = (SimDisk::new(), Arc::new(Machine::default()));
    clock.set(START);
    let db = open(&disk, &clock);
    let table = make(&db);
    write(&db, &table, START - 10 * DAY);
    drop(db);
    for day in 0..9 {
        clock.set(START + day * DAY);
        let db = open(&disk, &clock);
        clock.run(&db, 4);
        let left = disk.after_power_loss(|_| false);
        drop(db);
        disk = left;
    }
    let db = open(&disk, &clock);
    db.enforce_retention().unwrap();
    assert_eq!(rows(&db), []);
    db.close().unwrap();
}

#[test]
fn a_row_from_before_what_is_kept_is_refused_also_once_more_is_kept() {
    let (disk, clock) = (SimDisk::new(), Arc::new(Machine::default()));
    clock.set(START);
    let db = open(&disk, &clock);
    let table = make(&db);
    clock.run(&db, 30);
    db.enforce_retention().unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    let early = START - 10 * DAY;
    let says = [
        "from where on table \"t\" keeps rows",
        &format!("time {early} is before"),
        "write newer rows, or these to another table",
    ];
    let one = writer.append(&series, early, &[Value::I64(0)]);
    check("a row", one, ErrorKind::Invalid, says);
    let named = writer.append_fields(&series, early, &[("v", Value::I64(0))]);
    check("by name", named, ErrorKind::Invalid, says);
    let batch = Batch::of_series(&series, vec![START, early]).i64("v", vec![1, 2]);
    let batch = writer.append_batch(batch);
    check("a batch", batch, ErrorKind::Invalid, says);
    assert_eq!(writer.staged_rows(), 0);

    // What was let go of is not taken again: a horizon never goes back.
    table.set_retention(None, None).unwrap();
    let one = writer.append(&series, early, &[Value::I64(0)]);
    check("all is kept", one, ErrorKind::Invalid, says);
    let other = TableOptions::new().field("v", FieldType::I64);
    let other = db.create_table("other", other).unwrap();
    write(&db, &other, early);
    assert_eq!(contents(&other).len(), 1);
    db.close().unwrap();
}

#[test]
fn what_a_table_keeps_can_be_changed() {
    let (disk, clock) = (SimDisk::new(), Arc::new(Machine::default()));
    clock.set(START);
    let db = open(&disk, &clock);
    let keeps_all = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", keeps_all).unwrap();
    for day in [3, 2, 1] {
        write(&db, &table, START - day * DAY);
        db.flush().unwrap();
    }
    let settings = || table.schema().settings.clone();
    let before = settings();
    let all = "or `None` to keep all";
    let shorter = "choose a shorter one";
    for (age, bytes, says) in [
        (
            Some(Duration::from_millis(999)),
            None,
            ["at least one second", "retention age of 999ms", all],
        ),
        (
            Some(Duration::MAX),
            None,
            ["at most 292 years", "retention age of", shorter],
        ),
        (None, Some(0), ["at least one", "retention of 0 bytes", all]),
    ] {
        let set = table.set_retention(age, bytes);
        check("what is kept", set, ErrorKind::Invalid, says);
    }
    let set = table.set_future_bound(Some(Duration::MAX));
    let says = [
        "at most 292 years",
        "future bound of",
        "choose a shorter one",
    ];
    check("a bound", set, ErrorKind::Invalid, says);
    assert_eq!(settings(), before);
    db.enforce_retention().unwrap();
    assert_eq!(contents(&table).len(), 3);

    table.set_retention(None, Some(1)).unwrap();
    table.set_future_bound(None).unwrap();
    table.set_drop_oldest_when_full(true).unwrap();
    let changed = settings();
    let expected = TableSettings {
        future_bound_ns: None,
        retention_bytes: Some(1),
        drops_when_full: true,
        ..before
    };
    assert_eq!(changed, expected);
    write(&db, &table, START + 10 * YEAR);
    db.enforce_retention().unwrap();
    assert_eq!(
        contents(&table).len(),
        2,
        "the newest partition, and memory"
    );
    let age = Duration::from_secs(3600);
    table.set_retention(Some(age), None).unwrap();
    drop((db, table));

    let db = open(&disk.after_power_loss(|_| false), &clock);
    let table = db.table("t").unwrap();
    let settings = table.schema().settings.clone();
    assert_eq!(settings.retention_age_ns, Some(HOUR));
    assert_eq!(settings.retention_bytes, None);
    assert!(settings.drops_when_full);
    clock.run(&db, 30);
    assert_eq!(contents(&table).len(), 1, "the one of the future");
    db.drop_table("t").unwrap();
    let error = table.set_retention(None, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// A table that keeps two partitions of an hour, with rows of two series in the first one and, a day later,
/// in another, and deletes. Retention leaves so many rows, and the first partition goes or not.
#[track_caller]
fn check_deleted(
    what: &str,
    deletes: &[(Option<&str>, i64, i64)],
    rows_left: usize,
    first_goes: bool,
) {
    const ROWS: usize = 300;
    let disk = SimDisk::new();
    let clock = Arc::new(Machine::default());
    clock.set(START);
    let db = open(&disk, &clock);
    let options = TableOptions::new()
        .field("text", FieldType::String)
        .partition(Duration::from_secs(3_600))
        .future_bound(None);
    let table = db.create_table("t", options).unwrap();
    let mut writer = db.writer();
    for hour in [0, 24] {
        for host in ["a", "b"] {
            let series = table.series(&[("host", host)]).unwrap();
            for i in 0..ROWS as i64 {
                let text = format!("{:x}", (i + 1).wrapping_mul(0x1e37_79b9_7f4a_7c15));
                let time = hour * HOUR + i;
                writer
                    .append(&series, time, &[Value::String(&text)])
                    .unwrap();
            }
        }
        writer.commit_and_wait().unwrap();
        db.flush().unwrap();
    }
    let bytes = db.status().unwrap().tables[0].bytes;
    for (host, from, to) in deletes {
        let of: Vec<TagMatch> = host
            .map(|host| TagMatch::equal("host", host))
            .into_iter()
            .collect();
        let range = TimeRange {
            start: *from,
            end: *to,
        };
        table.delete(&of, range).unwrap().wait().unwrap();
    }
    table.set_retention(None, Some(bytes * 3 / 4)).unwrap();
    for time in ["with the deletes in memory", "again", "with them flushed"] {
        db.enforce_retention().unwrap();
        assert_eq!(contents(&table).len(), rows_left, "{what}: {time}");
        db.flush().unwrap();
    }
    let db = {
        drop((writer, table));
        drop(db);
        open(&disk, &clock)
    };
    let table = db.table("t").unwrap();
    assert_eq!(contents(&table).len(), rows_left, "{what}: opened again");
    // Of the first hour rows are still taken where nothing of it was dropped.
    let mut writer = db.writer();
    let series = table.series(&[("host", "a")]).unwrap();
    let taken = writer.append(&series, 5 * 60, &[Value::String("late")]);
    assert_eq!(taken.is_err(), first_goes, "{what}: {taken:?}");
}

#[test]
fn what_deletes_hide_goes_before_what_is_there_where_bytes_are_too_many() {
    let day = 24 * HOUR;
    let everything = (i64::MIN, i64::MAX);
    check_deleted("the later rows", &[(None, day, i64::MAX)], 600, false);
    let halves = [(None, day, day + 99), (None, day + 100, day + 299)];
    check_deleted("in two ranges", &halves, 600, false);
    let hosts = [
        (Some("a"), day, i64::MAX),
        (Some("b"), day, day + 10),
        (Some("b"), day + 8, day + 2 * HOUR),
    ];
    check_deleted("by hosts", &hosts, 600, false);
    check_deleted("the earlier rows", &[(None, 0, HOUR - 1)], 600, false);
    // A row that is left makes it the newest partition, which stays, and the others go.
    check_deleted("all but one", &[(None, day + 1, i64::MAX)], 2, true);
    check_deleted("one host", &[(Some("a"), day, i64::MAX)], 300, true);
    check_deleted("all", &[(None, everything.0, everything.1)], 0, false);
}

/// The error of the disk ended it, each time it was tried: the table grew on.
#[test]
fn a_segment_that_cannot_be_read_stops_no_retention_by_bytes() {
    let (disk, clock) = (SimDisk::new(), Arc::new(Machine::default()));
    clock.set(START);
    let db = open(&disk, &clock);
    let options = TableOptions::new()
        .field("v", FieldType::I64)
        .partition(Duration::from_secs(3_600))
        .future_bound(None);
    let table = db.create_table("t", options).unwrap();
    for hour in [0, 24, 48] {
        write(&db, &table, hour * HOUR);
        db.flush().unwrap();
    }
    // Whether it hides all of a segment is in the segment.
    let host = [TagMatch::equal("host", "a")];
    let range = TimeRange {
        start: 24 * HOUR,
        end: i64::MAX,
    };
    table.delete(&host, range).unwrap().wait().unwrap();
    // None of them was opened yet.
    let fails = Arc::new(AtomicBool::new(true));
    let failing = fails.clone();
    disk.watch(move |call, path| {
        let hour = path.parent().and_then(Path::file_name);
        let is_one = hour.is_some_and(|name| name == (24 * HOUR).to_string().as_str());
        if call == Call::Read && is_one && failing.load(Ordering::SeqCst) {
            return Err(io::Error::other("unreadable sector"));
        }
        Ok(())
    });
    table.set_retention(None, Some(1)).unwrap();
    db.enforce_retention().unwrap();
    // What it has is not known, so it counts as the newest with rows, which stays.
    let left = |db: &Tidestone| db.status().unwrap().tables[0].segments;
    assert_eq!(left(&db), 1);
    let unreadable = |db: &Tidestone| db.status().unwrap().tables[0].unreadable_segments;
    assert_eq!(unreadable(&db), 1);
    fails.store(false, Ordering::SeqCst);
    assert_eq!(unreadable(&db), 0);
    assert_eq!(contents(&table), []);
    let mut writer = db.writer();
    let series = table.series(&[("host", "a")]).unwrap();
    writer.append(&series, 50 * HOUR, &[Value::I64(1)]).unwrap();
    writer.commit_and_wait().unwrap();
    db.flush().unwrap();
    db.enforce_retention().unwrap();
    assert_eq!((left(&db), rows(&db)), (1, vec![50 * HOUR]));
    db.close().unwrap();
}
