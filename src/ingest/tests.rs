//! What a commit refuses or waits for because no segment could hold it, and what it leaves where it ends
//! in its midst.

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tidestone_format::checksum;
use tidestone_format::log::FrameKind;

use crate::clock::{Clock, ClockWatcher, ManualClock};
use crate::head::Head;
use crate::io::{Call, SimDisk};
use crate::rows::Rows;
use crate::wal::{Frame, encode_batch};
use crate::{
    Backpressure, Batch, Column, ErrorKind, FieldType, Options, Table, TableOptions, Tidestone,
    TimeRange, Value,
};

fn database() -> (Tidestone, Table) {
    let db = Tidestone::builder("/db")
        .disk(Arc::new(SimDisk::new()))
        // Room in the log is waited for, however long this machine takes for it.
        .clock(Arc::new(ManualClock::new(0)))
        .options(Options {
            auto_compact: false,
            flush_after: None,
            backpressure: Backpressure::Fail,
            ..Options::default()
        })
        .create()
        .unwrap();
    let options = TableOptions::new().field("note", FieldType::String);
    let table = db.create_table("t", options).unwrap();
    (db, table)
}

#[test]
fn a_key_that_no_segment_can_hold_is_refused_when_it_is_resolved() {
    let (db, table) = database();
    let value = "v".repeat(65_535);
    let tags: Vec<(String, &str)> = (0..260).map(|i| (format!("tag {i}"), &*value)).collect();
    let error = table.series(&tags).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    // The longest there may be: a number of tags, and for each the lengths of name and value.
    let rest = (16 << 20) - 2 - 255 * (4 + 5 + 65_535) - (4 + 5);
    let mut tags: Vec<(String, &str)> = (0..256).map(|i| (format!("t{i:4}"), &*value)).collect();
    tags[255].1 = &value[..rest];
    let series = table.series(&tags).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 1, &[Value::from("x")]).unwrap();
    drop(writer.commit().unwrap());
    db.flush().unwrap();
    db.close().unwrap();
}

#[test]
fn text_that_one_flush_cannot_write_waits_or_is_refused() {
    let (db, table) = database();
    db.engine().text_max.store(1_000, Ordering::Relaxed);
    let series = table.series(&[("host", "a")]).unwrap();
    let note = "n".repeat(100);
    let mut writer = db.writer();
    let stage = |writer: &mut crate::Writer, rows: i64| {
        for time in 0..rows {
            writer
                .append(&series, time, &[Value::from(note.as_str())])
                .unwrap();
        }
    };
    // In one batch it never fits.
    stage(&mut writer, 11);
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    writer.clear();
    // What other batches leave no room for fits after a flush.
    stage(&mut writer, 4);
    drop(writer.commit().unwrap());
    stage(&mut writer, 7);
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(writer.staged_rows(), 7, "they stay staged");
    db.flush().unwrap();
    drop(writer.commit().unwrap());
    // As many rows as make a batch that is handed over and not copied.
    stage(&mut writer, 600);
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(writer.staged_rows(), 600, "they stay staged");
    db.close().unwrap();
}

#[test]
fn a_batch_with_series_of_two_databases_is_refused() {
    let (db, table) = database();
    let (_other, twin) = database();
    let series = vec![
        table.series(&[("host", "a")]).unwrap(),
        // Of a table of the same name and id.
        twin.series(&[("host", "b")]).unwrap(),
    ];
    let batch = Batch::of_many(series, vec![0, 1], vec![1, 2]).string("note", &["x", "y"]);
    let mut writer = db.writer();
    let error = writer.append_batch(batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(writer.staged_rows(), 0);
}

#[test]
fn a_commit_that_meets_a_dropped_table_says_how_to_go_on() {
    let (db, table) = database();
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 1, &[Value::from("x")]).unwrap();
    db.drop_table("t").unwrap();
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("`clear` the writer"), "{error}");
    writer.clear();
    drop(writer.commit().unwrap());
}

#[test]
fn rows_that_stay_staged_after_an_error_stay_with_their_table() {
    let (db, table) = database();
    let (_other, twin) = database();
    let mut writer = db.writer();
    // Of a table of the same name and id.
    let stranger = twin.series(&[("host", "b")]).unwrap();
    writer.append(&stranger, 1, &[Value::from("x")]).unwrap();
    writer.clear();
    let series = table.series(&[("host", "a")]).unwrap();
    for time in 0..600 {
        writer.append(&series, time, &[Value::from("x")]).unwrap();
    }
    db.engine().text_max.store(500, Ordering::Relaxed);
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    db.engine().text_max.store(5_000, Ordering::Relaxed);
    drop(writer.commit().unwrap());
    assert_eq!(db.status().unwrap().rows_committed, 600);
}

const SECOND: i64 = 1_000_000_000;

/// A clock that is moved by hand, and knows until when threads have begun to wait.
#[derive(Debug, Default)]
struct Noted {
    clock: ManualClock,
    dues: Mutex<Vec<u64>>,
}

impl Noted {
    /// How often a thread has begun to wait until one of these seconds.
    fn waits_until(&self, seconds: RangeInclusive<i64>) -> usize {
        let is_one = |due: &u64| seconds.contains(&(due.cast_signed() / SECOND));
        self.dues.lock().iter().filter(|due| is_one(due)).count()
    }
}

impl Clock for Noted {
    fn now(&self) -> i64 {
        self.clock.now()
    }
    fn monotonic(&self) -> u64 {
        self.clock.monotonic()
    }
    fn sleep_until(&self, due: u64) -> Option<Duration> {
        self.dues.lock().push(due);
        self.clock.sleep_until(due)
    }
    fn watch(&self, watcher: Weak<dyn ClockWatcher>) {
        self.clock.watch(watcher);
    }
}

/// Where calls of a disk wait until they are let through.
#[derive(Debug, Default)]
struct Held {
    state: Mutex<HeldState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct HeldState {
    waiting: usize,
    is_open: bool,
}

impl Held {
    fn open(&self) {
        self.state.lock().is_open = true;
        self.changed.notify_all();
    }

    fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    fn pass(&self) {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.wait_while(&mut state, |state| !state.is_open);
        state.waiting -= 1;
    }
}

/// Waits for what other threads do, however busy the machine is: whoever runs the test ends it when it
/// takes too long.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    println!("waits for {what}");
    while !done() {
        std::thread::yield_now();
    }
}

/// Its time began anew where others took room while it waited for other room.
#[test]
#[expect(clippy::disallowed_methods, reason = "a commit waits beside the test")]
fn a_commit_whose_room_others_take_is_refused_in_its_own_time() {
    const TEXT_MAX: usize = 1_000_000;
    let (disk, clock) = (SimDisk::new(), Arc::new(Noted::default()));
    let db = Tidestone::builder("/db")
        .disk(Arc::new(disk.clone()))
        .clock(clock.clone())
        .options(Options {
            auto_compact: false,
            flush_after: None,
            log_file_bytes: 64 << 10,
            backpressure: Backpressure::Wait(Duration::from_secs(2)),
            ..Options::default()
        })
        .create()
        .unwrap();
    let options = TableOptions::new().field("note", FieldType::String);
    let table = db.create_table("t", options).unwrap();
    db.engine().text_max.store(TEXT_MAX, Ordering::Relaxed);
    let (logs, flushes) = (Arc::new(Held::default()), Arc::new(Held::default()));
    let (held_logs, held_flushes) = (logs.clone(), flushes.clone());
    disk.watch(move |call, path| {
        match call == Call::Create {
            true if path.starts_with("/db/wal") => held_logs.pass(),
            true if path.starts_with("/db/tmp") => held_flushes.pass(),
            _ => {}
        }
        Ok(())
    });
    let series = table.series(&[("host", "a")]).unwrap();
    let (mut writer, note) = (db.writer(), "n".repeat(30_000));
    let commits = std::thread::spawn(move || {
        (0..10).find_map(|time| {
            let note = [Value::from(note.as_str())];
            writer.append(&series, time, &note).unwrap();
            writer.commit().err()
        })
    });
    until("the making of a log file", || logs.waiting() > 0);
    let before = clock.waits_until(2..=2);
    until("a wait for that file", || {
        // Who waits looks again.
        clock.clock.advance(0);
        clock.waits_until(2..=2) > before
    });
    clock.clock.advance(SECOND);
    // As if others had committed so many strings.
    db.engine().signals.set_head_bytes(0, TEXT_MAX);
    logs.open();
    until("a wait for room for strings", || flushes.waiting() > 0);
    clock.clock.advance(SECOND);
    until("the end of its time", || {
        commits.is_finished() || clock.waits_until(3..=9) > 0
    });
    let too_long = clock.waits_until(3..=9);
    flushes.open();
    clock.clock.advance(9 * SECOND);
    let error = commits.join().unwrap();
    assert_eq!(too_long, 0, "it waits for longer than it was to");
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    let text = error.to_string();
    assert!(text.contains("bytes of strings wait"), "{text}");
    db.close().unwrap();
}

/// What came behind it was acknowledged, and a flush counted as flushed what the head did not have.
#[test]
fn nothing_is_built_on_a_commit_in_whose_midst_a_thread_panicked() {
    let disk = SimDisk::new();
    let open = || {
        let builder = Tidestone::builder("/db").disk(Arc::new(disk.clone()));
        builder.clock(Arc::new(ManualClock::new(0)))
    };
    let db = open().create().unwrap();
    let options = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", options).unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 1, &[Value::I64(1)]).unwrap();
    writer.commit_and_wait().unwrap();
    let rows = Rows {
        series: vec![series.id()],
        times: vec![2],
        columns: vec![(
            table.schema().fields[0].id,
            Column::nulls(FieldType::I64, 1),
        )],
    };
    let mut payload = Vec::new();
    encode_batch(&mut payload, [(table.id(), &rows)].into_iter()).unwrap();
    let frame = Frame::Encoded {
        kind: FrameKind::Batch,
        payload: &payload,
        payload_crc: checksum::crc32(&payload),
    };
    let engine = db.engine();
    // It is durable in the log by then, and not in the head.
    let put = |_: &mut Head, lsn| {
        engine.log().unwrap().sync_to(lsn).unwrap();
        panic!("it is meant to")
    };
    let commit = AssertUnwindSafe(|| engine.commit(frame, (1, 0), put).map(drop));
    catch_unwind(commit).unwrap_err();
    writer.append(&series, 3, &[Value::I64(3)]).unwrap();
    let deleted = table.delete(&[], TimeRange::ALL).map(drop);
    for refused in [writer.commit().map(drop), deleted, db.flush(), db.close()] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
        let text = error.to_string();
        assert!(text.contains("held the commit lock panicked"), "{text}");
    }
    drop((writer, series, table, db));
    let db = open().open().unwrap();
    let batches = db.table("t").unwrap().query().scan().unwrap();
    let times: Vec<i64> = batches.flat_map(|b| b.unwrap().times().to_vec()).collect();
    assert_eq!(times, [1, 2]);
    db.close().unwrap();
}
