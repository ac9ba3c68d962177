//! Bugs that were found, each as small as it gets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{contents, quiet};
use tidestone::io::SimDisk;
use tidestone::{
    DuplicatePolicy, ErrorKind, FieldType, Options, SeededRandom, Table, TableOptions, TagMatch,
    Tidestone, TimeRange, Value,
};

const SECOND: i64 = 1_000_000_000;

fn database() -> (Tidestone, Table) {
    let db = Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(SimDisk::new()))
        .random(Arc::new(SeededRandom::new(1)))
        .create()
        .unwrap();
    let options = TableOptions::new()
        .field("v", FieldType::I64)
        .policy(DuplicatePolicy::All)
        .partition(Duration::from_secs(1))
        .future_bound(None);
    let table = db.create_table("t", options).unwrap();
    (db, table)
}

fn write(db: &Tidestone, table: &Table, host: &str, times: impl IntoIterator<Item = i64>) {
    let series = table.series(&[("host", host)]).unwrap();
    let mut writer = db.writer();
    for time in times {
        writer.append(&series, time, &[Value::I64(time)]).unwrap();
    }
    writer.commit_and_wait().unwrap();
}

/// Merging rewrote the first partition for ever.
#[test]
fn a_delete_across_partitions_is_applied_once() {
    let (db, table) = database();
    for host in ["a", "b"] {
        write(&db, &table, host, [1, 2, SECOND, SECOND + 1]);
    }
    db.flush().unwrap();
    let all = TimeRange {
        start: 0,
        end: 2 * SECOND,
    };
    table
        .delete(&[TagMatch::equal("host", "a")], all)
        .unwrap()
        .wait()
        .unwrap();
    assert!(db.compact().unwrap() <= 4);
    assert_eq!(db.compact().unwrap(), 0);
    assert_eq!(contents(&table).len(), 4);
    assert_eq!(
        db.status().unwrap().tables[0].tombstones,
        0,
        "every segment has applied it"
    );
}

/// The partitions between the first row and the last were counted off one by one.
#[test]
fn rows_at_both_ends_of_time_are_merged_in_time() {
    let (db, table) = database();
    write(
        &db,
        &table,
        "a",
        (0..20).map(|i| i * SECOND).chain([i64::MIN, i64::MAX]),
    );
    db.compact().unwrap();
    assert_eq!(contents(&table).len(), 22);
}

/// A table that keeps duplicates gave rows twice that were flushed while others came.
#[test]
fn reading_and_writing_between_flushes_gives_each_row_once() {
    let (db, table) = database();
    for n in 0..40 {
        write(&db, &table, "a", [n]);
        assert_eq!(contents(&table).len() as i64, n + 1);
        if n % 7 == 0 {
            db.flush().unwrap();
        }
    }
}

/// A closed database kept the lock of its index while a handle lived.
#[test]
fn a_closed_database_can_be_opened_while_handles_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let db = Tidestone::create(&path, quiet()).unwrap();
    let table = db.create_table("t", TableOptions::new()).unwrap();
    db.close().unwrap();
    Tidestone::open(&path, quiet()).unwrap();
    assert_eq!(table.name(), "t");
}

/// What stood behind the end of a recycled log file was reported as a tail that was cut.
#[test]
fn an_orderly_end_in_a_recycled_log_file_reports_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut db = Tidestone::create(&path, quiet()).unwrap();
    let options = TableOptions::new()
        .field("v", FieldType::I64)
        .future_bound(None);
    db.create_table("t", options).unwrap();
    for _ in 0..4 {
        for part in 0..6 {
            let table = db.table("t").unwrap();
            write(&db, &table, "a", (0..3_000).map(|i| part * 10_000 + i));
            db.flush().unwrap();
        }
        db.close().unwrap();
        db = Tidestone::open(&path, quiet()).unwrap();
        let report = db.open_report();
        assert_eq!((report.replayed, &report.log_tail), (0, &None));
    }
}

/// A handle that outlives its table used to bring the table back when it added a field.
#[test]
fn a_dropped_table_stays_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let db = Tidestone::create(dir.path().join("db"), Options::default()).unwrap();
    let table = db
        .create_table("t", TableOptions::new().field("a", FieldType::F64))
        .unwrap();
    db.drop_table("t").unwrap();
    let error = table.add_field("b", FieldType::F64).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(db.tables().is_empty());
    db.close().unwrap();
}

/// Rows of a dropped table used to count as memory in use until the database was opened anew.
#[test]
fn rows_of_a_dropped_table_free_their_memory() {
    let dir = tempfile::tempdir().unwrap();
    let db = Tidestone::create(dir.path().join("db"), Options::default()).unwrap();
    let table = db
        .create_table("t", TableOptions::new().field("a", FieldType::F64))
        .unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    for time in 0..1000 {
        writer.append(&series, time, &[Value::F64(0.5)]).unwrap();
    }
    writer.commit_and_wait().unwrap();
    assert!(db.status().unwrap().memory_rows_bytes > 0);
    db.drop_table("t").unwrap();
    assert_eq!(db.status().unwrap().memory_rows_bytes, 0);
    db.close().unwrap();
}

/// Only the folder right above a new database was synced.
#[test]
fn a_database_below_new_folders_survives_a_power_loss() {
    let disk = SimDisk::new();
    let builder = |disk: &SimDisk| {
        Tidestone::builder("/a/new/path/db")
            .options(quiet())
            .disk(Arc::new(disk.clone()))
    };
    builder(&disk).create().unwrap().close().unwrap();
    let after = disk.after_power_loss(|_| false);
    builder(&after).open().unwrap();
}

/// Merging made a file for each partition that had a row.
#[test]
fn scattered_rows_stay_in_one_segment() {
    let (db, table) = database();
    let files = |expected| {
        let segments = db.status().unwrap().tables[0].segments;
        assert_eq!(segments, expected);
    };
    // The newest sixteen partitions get a segment each when they are flushed.
    write(&db, &table, "a", (0..300).map(|i| i * SECOND));
    db.compact().unwrap();
    files(17);
    // What lies over it is merged with it.
    write(&db, &table, "b", (0..280).map(|i| i * SECOND + 1));
    db.flush().unwrap();
    files(34);
    db.compact().unwrap();
    let few = db.status().unwrap().tables[0].segments;
    assert!(few <= 40, "{few} segments");
    assert_eq!(contents(&table).len(), 580);
    // A partition with rows enough is split off.
    write(&db, &table, "c", (0..140_000).map(|i| 100 * SECOND + i));
    write(&db, &table, "c", (200..220).map(|i| i * SECOND + 2));
    db.compact().unwrap();
    assert_eq!(contents(&table).len(), 140_600);
    let status = db.status().unwrap();
    assert_eq!(status.tables[0].rows, 140_600);
    assert!(
        status.tables[0].segments <= 56,
        "{}",
        status.tables[0].segments
    );
    assert_eq!(db.compact().unwrap(), 0);
}
