//! One damaged part, a full disk or a foreign handle does not stop the work on everything else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::{contents, quiet};
use tidestone::io::{Disk, Fault, SimDisk, read_all};
use tidestone::{
    Batch, ErrorKind, FieldType, ManualClock, SeededRandom, Table, TableOptions, Tidestone, Value,
};

const HOUR: i64 = 3_600_000_000_000;

fn open(disk: &SimDisk) -> Tidestone {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(1_000 * HOUR)))
        .random(Arc::new(SeededRandom::new(disk.changes())))
        .open_or_create()
        .unwrap()
}

fn options() -> TableOptions {
    TableOptions::new()
        .field("v", FieldType::I64)
        .partition(Duration::from_secs(3600))
}

/// Writes a row of a series and flushes.
fn write(db: &Tidestone, table: &Table, host: &str, time: i64) {
    let series = table.series(&[("host", host)]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, time, &[Value::I64(time)]).unwrap();
    writer.commit_and_wait().unwrap();
    db.flush().unwrap();
}

fn segments(db: &Tidestone, table: &str) -> usize {
    let status = db.status().unwrap();
    let of = status.tables.iter().find(|t| t.name == table).unwrap();
    of.segments
}

fn segment_files(disk: &SimDisk) -> Vec<PathBuf> {
    let mut paths = disk.paths();
    paths.retain(|p| p.extension().is_some_and(|e| e == "seg"));
    paths
}

/// The segment file that came last.
fn write_and_find(disk: &SimDisk, db: &Tidestone, table: &Table, host: &str, time: i64) -> PathBuf {
    let before = segment_files(disk);
    write(db, table, host, time);
    let mut after = segment_files(disk);
    after.retain(|p| !before.contains(p));
    assert_eq!(after.len(), 1);
    after.remove(0)
}

#[test]
fn a_damaged_segment_does_not_keep_others_from_being_merged() {
    let disk = SimDisk::new();
    let db = open(&disk);
    let first = db.create_table("a", options()).unwrap();
    let second = db.create_table("b", options()).unwrap();
    write(&db, &first, "x", 0);
    write(&db, &first, "x", 1);
    let damaged = write_and_find(&disk, &db, &first, "x", 2);
    for time in 3..6 {
        write(&db, &first, "x", time);
        write(&db, &second, "x", time);
    }
    db.close().unwrap();
    // A byte of the block of the times, which is the first thing behind the header.
    disk.damage(&damaged, |b| b[192 + 20] ^= 1).unwrap();
    let db = open(&disk);
    for _ in 0..2 {
        let error = db.compact().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(error.path(), Some(&*damaged), "{error}");
        // What is older and what is newer is merged apart: rows must not change their order.
        assert_eq!((segments(&db, "a"), segments(&db, "b")), (3, 1));
    }
    assert_eq!(contents(&db.table("b").unwrap()).len(), 3);
    db.close().unwrap();
}

#[test]
fn a_damaged_expired_segment_does_not_stop_retention_elsewhere() {
    let disk = SimDisk::new();
    let db = open(&disk);
    let make = |name: &str| {
        let options = options().retention_bytes(Some(1));
        db.create_table(name, options).unwrap()
    };
    let (first, second, third) = (make("a"), make("b"), make("c"));
    let damaged = write_and_find(&disk, &db, &first, "only here", 0);
    let missing = write_and_find(&disk, &db, &second, "only here", 0);
    write(&db, &third, "x", 0);
    for table in [&first, &second, &third] {
        write(&db, table, "x", 2 * HOUR);
    }
    // None of them was opened yet.
    let len = read_all(&*disk.open(&damaged).unwrap()).unwrap().len();
    disk.damage(&damaged, |b| b[len - 10] ^= 1).unwrap();
    disk.remove(&missing).unwrap();
    // A series of what is dropped that has rows in memory keeps its key.
    for name in ["a", "b"] {
        let series = db.table(name).unwrap();
        let series = series.series(&[("host", "only here")]).unwrap();
        let mut writer = db.writer();
        writer.append(&series, 2 * HOUR, &[Value::I64(0)]).unwrap();
        writer.commit_and_wait().unwrap();
    }
    db.enforce_retention().unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(segments(&db, name), 1, "{name}");
    }
    // As after a crash: the index is made anew from what else there is.
    let left = disk.after_kill();
    drop(db);
    let db = open(&left);
    for (name, rows) in [("a", 2), ("b", 2), ("c", 1)] {
        assert_eq!(contents(&db.table(name).unwrap()).len(), rows, "{name}");
    }
    db.close().unwrap();
}

#[test]
fn retention_frees_a_full_disk_whatever_the_number_of_series() {
    const SERIES: u32 = 4_000;
    let disk = SimDisk::new();
    let db = open(&disk);
    let options = options().retention_bytes(Some(1));
    let table = db.create_table("t", options).unwrap();
    // Their keys take more than the manifest keeps ready.
    let long = "x".repeat(300);
    let series: Vec<_> = (0..SERIES)
        .map(|i| table.series(&[("host", format!("{i} {long}"))]).unwrap())
        .collect();
    for hour in 0..3 {
        let times = vec![hour * HOUR; SERIES as usize];
        let values = vec![hour; SERIES as usize];
        let batch = Batch::of_many(series.clone(), (0..SERIES).collect(), times)
            .column("v", tidestone::Values::I64(values));
        let mut writer = db.writer();
        writer.append_batch(batch).unwrap();
        writer.commit_and_wait().unwrap();
        db.flush().unwrap();
    }
    assert_eq!(segments(&db, "t"), 3);
    let len = |path: &PathBuf| disk.open(path).unwrap().len().unwrap();
    let used: u64 = disk.paths().iter().map(len).sum();
    disk.inject(Fault::Capacity(used));
    db.enforce_retention().unwrap();
    assert_eq!(segments(&db, "t"), 1);
    assert_eq!(segment_files(&disk).len(), 1, "the files are gone");
    assert_eq!(contents(&table).len(), SERIES as usize);
    db.close().unwrap();
}

#[test]
fn a_handle_of_another_database_changes_no_schema() {
    let (ours, theirs) = (SimDisk::new(), SimDisk::new());
    let (ours, theirs) = (open(&ours), open(&theirs));
    let table = ours.create_table("ours", options().open_schema()).unwrap();
    let foreign = options().open_schema().field("w", FieldType::F64);
    let foreign = theirs.create_table("theirs", foreign).unwrap();
    assert_eq!(table.id(), foreign.id());
    let handle = foreign.series(&[("host", "a")]).unwrap();
    let before = table.schema();
    let mut writer = ours.writer();
    let error = writer
        .append_fields(&handle, 0, &[("new", Value::F64(1.0))])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let batch = Batch::of_series(&handle, vec![0]).f64("new", vec![1.0]);
    let error = writer.append_batch(batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(table.schema(), before);
    assert_eq!(ours.tables()[0].name(), "ours");
    ours.close().unwrap();
    theirs.close().unwrap();
}

#[test]
fn a_dropped_table_gets_no_series() {
    let disk = SimDisk::new();
    let db = open(&disk);
    let table = db.create_table("t", options()).unwrap();
    write(&db, &table, "a", 0);
    db.drop_table("t").unwrap();
    let error = table.series(&[("host", "b")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let error = table.series(&[("host", "a")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    db.close().unwrap();
}
