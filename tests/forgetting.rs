//! Series whose rows are all gone are forgotten, and nothing else is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::sync::Arc;

use common::quiet;
use tidestone::io::{Disk, Fault, SimDisk, read_all};
use tidestone::{
    Agg, Aggregate, ErrorKind, FieldType, Lsn, ManualClock, Result, SeededRandom, SeriesHandle,
    Table, TableOptions, TagMatch, Tidestone, TimeRange, Value,
};
use tidestone_format::header::FileHeader;
use tidestone_format::manifest::{ManifestIdentity, replay};

fn open(disk: &SimDisk) -> Result<Tidestone> {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(1_000_000_000_000)))
        .random(Arc::new(SeededRandom::new(disk.changes())))
        .open_or_create()
}

fn database() -> (SimDisk, Tidestone, Table) {
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    let options = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", options).unwrap();
    (disk, db, table)
}

fn series(table: &Table, host: &str) -> SeriesHandle {
    table.series(&[("host", host)]).unwrap()
}

fn write(db: &Tidestone, series: &SeriesHandle, time: i64) {
    let mut writer = db.writer();
    writer.append(series, time, &[Value::I64(time)]).unwrap();
    writer.commit_and_wait().unwrap();
}

/// Deletes all rows and merges the segments, so that none is left.
fn delete_all(db: &Tidestone, table: &Table) {
    table.delete(&[], TimeRange::ALL).unwrap().wait().unwrap();
    db.compact().unwrap();
}

fn hosts(table: &Table) -> Vec<String> {
    let keys = table.series_keys(&[]).unwrap();
    let hosts = keys.iter().map(|key| key.get("host").unwrap().to_owned());
    let mut hosts: Vec<String> = hosts.collect();
    hosts.sort();
    hosts
}

/// The rows by host and time, as the database tells them.
fn rows(table: &Table) -> Vec<(String, i64)> {
    let rows = common::contents(table).into_iter();
    rows.map(|(series, time, _)| (series, time)).collect()
}

/// How many series the manifest defines.
fn defined(disk: &SimDisk) -> usize {
    let mut paths = disk.paths();
    paths.retain(|p| p.extension().is_some_and(|e| e == "manifest"));
    let bytes = read_all(&*disk.open(paths.last().unwrap()).unwrap()).unwrap();
    let identity = ManifestIdentity::of(&FileHeader::decode(&bytes).unwrap());
    replay(&bytes, identity).unwrap().state.series().len()
}

#[test]
fn hosts_that_come_and_go_leave_nothing_behind() {
    let (disk, db, table) = database();
    let mut last = 0;
    for round in 0..12 {
        for host in 0..300 {
            let series = series(&table, &format!("round {round} host {host}"));
            assert!(series.id().0 > last, "an id is given once");
            last = series.id().0;
            write(&db, &series, round);
        }
        db.flush().unwrap();
        delete_all(&db, &table);
        db.enforce_retention().unwrap();
        assert_eq!(table.series_count().unwrap(), 0, "round {round}");
        assert!(table.tag_values("host").unwrap().is_empty());
        assert_eq!(defined(&disk), 0, "round {round}");
        // Opened anew, it is the same.
        let left = disk.after_power_loss(|_| false);
        let again = open(&left).unwrap();
        let table = again.table("t").unwrap();
        assert_eq!(table.series_count().unwrap(), 0, "round {round}");
        assert!(series(&table, "new").id().0 > last);
    }
}

/// What had been answered with no rows was an error, once a thread in the background had forgotten them.
#[test]
fn who_asks_by_a_tag_of_series_that_were_forgotten_is_answered_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let db = Tidestone::create(&path, quiet()).unwrap();
    let options = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", options).unwrap();
    let check = |table: &Table| {
        let by = |tag: &str| table.query().filter(TagMatch::equal(tag, "x"));
        assert_eq!(by("dc").scan().unwrap().count(), 0);
        assert!(by("dc").last().unwrap().is_empty());
        let sum = [Aggregate::new(Agg::Sum, "v")];
        let sums = table.query().group_by(&["dc"]).aggregate(sum).buckets();
        assert!(sums.unwrap().len() <= 1);
        let of_dc = [TagMatch::equal("dc", "x")];
        assert!(table.series_keys(&of_dc).unwrap().len() <= 1);
        drop(table.delete(&of_dc, TimeRange::ALL).unwrap());
        let error = by("dcs").scan().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    };
    write(&db, &series(&table, "a"), 1);
    write(&db, &table.series(&[("dc", "x")]).unwrap(), 1);
    db.flush().unwrap();
    let of_dc = [TagMatch::equal("dc", "x")];
    table
        .delete(&of_dc, TimeRange::ALL)
        .unwrap()
        .wait()
        .unwrap();
    check(&table);
    db.compact().unwrap();
    db.enforce_retention().unwrap();
    assert_eq!(table.series_count().unwrap(), 1);
    assert_eq!(table.tag_names().unwrap(), ["host"]);
    check(&table);
    // Where it was the last one, too.
    delete_all(&db, &table);
    db.enforce_retention().unwrap();
    assert_eq!(table.series_count().unwrap(), 0);
    check(&table);
    db.close().unwrap();
    let db = Tidestone::open(&path, quiet()).unwrap();
    check(&db.table("t").unwrap());
}

#[test]
fn what_has_rows_or_a_handle_stays() {
    let (disk, db, table) = database();
    for host in ["flushed", "held", "gone", "written"] {
        write(&db, &series(&table, host), 1);
    }
    let held = series(&table, "held");
    let gone = series(&table, "gone").id();
    db.flush().unwrap();
    delete_all(&db, &table);
    write(&db, &series(&table, "flushed"), 2);
    db.flush().unwrap();
    write(&db, &series(&table, "written"), 2);
    db.enforce_retention().unwrap();
    assert_eq!(hosts(&table), ["flushed", "held", "written"]);
    // The handle outlived the rows, and goes on.
    write(&db, &held, 3);
    db.flush().unwrap();
    let back = series(&table, "gone");
    assert!(back.id() > gone);
    write(&db, &back, 4);
    let expected: Vec<(String, i64)> = [("flushed", 2), ("gone", 4), ("held", 3), ("written", 2)]
        .map(|(host, time)| (format!("host={host}"), time))
        .to_vec();
    assert_eq!(rows(&table), expected);
    let left = disk.after_power_loss(|_| false);
    let db = open(&left).unwrap();
    assert_eq!(rows(&db.table("t").unwrap()), expected);
}

#[test]
fn a_row_that_is_staged_keeps_its_series_without_a_handle() {
    for flush in [false, true] {
        let (disk, db, table) = database();
        write(&db, &series(&table, "a"), 1);
        write(&db, &series(&table, "b"), 1);
        db.flush().unwrap();
        let mut writer = db.writer();
        writer
            .append(&series(&table, "a"), 2, &[Value::I64(2)])
            .unwrap();
        delete_all(&db, &table);
        db.enforce_retention().unwrap();
        assert_eq!(hosts(&table), ["a", "b"], "somebody is staging rows");
        writer.commit_and_wait().unwrap();
        if flush {
            db.flush().unwrap();
        }
        db.enforce_retention().unwrap();
        assert_eq!(hosts(&table), ["a"]);
        let left = disk.after_power_loss(|_| false);
        let db = open(&left).unwrap();
        let table = db.table("t").unwrap();
        assert_eq!(rows(&table), [("host=a".to_owned(), 2)]);
    }
}

#[test]
fn a_series_that_is_asked_for_while_it_leaves_keeps_its_id() {
    let (_disk, db, table) = database();
    let id = series(&table, "a").id();
    write(&db, &series(&table, "a"), 1);
    db.flush().unwrap();
    let stream = table.query().scan().unwrap();
    delete_all(&db, &table);
    db.enforce_retention().unwrap();
    let back = series(&table, "a");
    assert_eq!(back.id(), id);
    drop(stream);
    db.enforce_retention().unwrap();
    write(&db, &back, 2);
    assert_eq!(rows(&table), [("host=a".to_owned(), 2)]);
}

#[test]
fn a_stream_knows_the_keys_of_what_it_reads() {
    let (_disk, db, table) = database();
    write(&db, &series(&table, "a"), 1);
    db.flush().unwrap();
    let mut stream = table.query().scan().unwrap();
    delete_all(&db, &table);
    db.enforce_retention().unwrap();
    let batch = stream.next().unwrap().unwrap();
    let key = stream.key(batch.series(0)).unwrap();
    assert_eq!(key.get("host"), Some("a"));
    drop((stream, batch));
    db.enforce_retention().unwrap();
    assert!(hosts(&table).is_empty());
}

#[test]
fn nothing_is_forgotten_before_readers_of_the_log_have_read_it() {
    let (_disk, db, table) = database();
    let behind = db.durable_lsn();
    db.set_log_cursor("mirror", behind).unwrap();
    write(&db, &series(&table, "a"), 1);
    db.flush().unwrap();
    delete_all(&db, &table);
    db.enforce_retention().unwrap();
    assert_eq!(hosts(&table), ["a"]);
    db.set_log_cursor("mirror", Lsn(db.durable_lsn().0))
        .unwrap();
    db.enforce_retention().unwrap();
    assert!(hosts(&table).is_empty());
}

#[test]
fn a_crash_at_any_step_of_forgetting_is_harmless() {
    let prepare = || {
        let (disk, db, table) = database();
        for host in 0..5 {
            write(&db, &series(&table, &format!("h{host}")), 1);
        }
        db.flush().unwrap();
        delete_all(&db, &table);
        write(&db, &series(&table, "h4"), 2);
        (disk, db, table)
    };
    let (disk, db, _) = prepare();
    let before = disk.changes();
    db.enforce_retention().unwrap();
    let calls = disk.changes() - before;
    assert!(calls >= 2, "an edit is written and synced");
    drop(db);
    for call in 0..=calls {
        let (disk, db, table) = prepare();
        disk.inject(Fault::FromCall(call));
        let outcome = db.enforce_retention();
        let images = [
            disk.after_kill(),
            disk.after_power_loss(|_| false),
            disk.after_power_loss(|_| true),
        ];
        drop((db, table));
        for (image, disk) in images.into_iter().enumerate() {
            let what = format!("call {call}, image {image}");
            let db = open(&disk).unwrap_or_else(|e| panic!("{what}: {e}"));
            let table = db.table("t").unwrap();
            assert_eq!(rows(&table), [("host=h4".to_owned(), 2)], "{what}");
            if outcome.is_ok() {
                assert_eq!(hosts(&table), ["h4"], "{what}");
            }
            // A key that may be forgotten or not: what is written to it is found under it.
            write(&db, &series(&table, "h0"), 3);
            db.enforce_retention().unwrap();
            let expected = [("host=h0".to_owned(), 3), ("host=h4".to_owned(), 2)];
            assert_eq!(rows(&table), expected, "{what}");
            assert_eq!(hosts(&table), ["h0", "h4"], "{what}");
            db.close().unwrap();
            drop((db, table));
            let db = open(&disk.after_power_loss(|_| false)).unwrap();
            let table = db.table("t").unwrap();
            assert_eq!(rows(&table), expected, "{what}, opened again");
        }
    }
}
