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
use tidestone::io::{SimDisk};
use tidestone::{
    ErrorKind, FieldType, ManualClock, SeededRandom, Table, TableOptions, Tidestone, Value,
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
