//! Crashes between the two places that forget: the index, which is a real one here, and the manifest,
//! which is on a simulated disk.
#![expect(
    clippy::disallowed_methods,
    reason = "RocksDB's folder does not go through `io`, and these tests replace it"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tidestone_format::FileUuid;

use crate::index::{Index, Opened};
use crate::io::{Fault, SimDisk};
use crate::{
    FieldType, ManualClock, Options, SeededRandom, Table, TableOptions, Tidestone, TimeRange, Value,
};

/// A database of which every series but `h4` is to be forgotten. Beside it lies its index as it is.
fn prepare() -> (TempDir, SimDisk, Tidestone) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("db")).unwrap();
    let disk = SimDisk::new();
    let db = open(&folder, &disk);
    let options = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", options).unwrap();
    for host in 0..5 {
        write(&db, &table, &format!("h{host}"), 1);
    }
    db.flush().unwrap();
    table.delete(&[], TimeRange::ALL).unwrap().wait().unwrap();
    db.compact().unwrap();
    drop(table);
    db.close().unwrap();
    drop(db);
    keep(&folder, "before");
    let db = open(&folder, &disk);
    write(&db, &db.table("t").unwrap(), "h4", 2);
    (folder, disk, db)
}

/// Copies the index of a database that nobody has open.
fn keep(folder: &TempDir, name: &str) {
    copy(&folder.path().join("db/index"), &folder.path().join(name));
}

fn put_back(folder: &TempDir, name: &str) {
    let index = folder.path().join("db/index");
    fs::remove_dir_all(&index).unwrap();
    copy(&folder.path().join(name), &index);
}

fn open(folder: &TempDir, disk: &SimDisk) -> Tidestone {
    let options = Options {
        memory_budget_bytes: 32 << 20,
        flush_after: None,
        log_file_bytes: 64 << 10,
        auto_compact: false,
        ..Options::default()
    };
    Tidestone::builder(folder.path().join("db"))
        .options(options)
        .disk(Arc::new(disk.clone()))
        .index_in_its_folder()
        .clock(Arc::new(ManualClock::new(1_000_000_000_000)))
        .random(Arc::new(SeededRandom::new(disk.changes())))
        .open_or_create()
        .unwrap()
}

fn write(db: &Tidestone, table: &Table, host: &str, time: i64) {
    let series = table.series(&[("host", host)]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, time, &[Value::I64(time)]).unwrap();
    writer.commit_and_wait().unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

fn hosts(table: &Table) -> Vec<String> {
    let keys = table.series_keys(&[]).unwrap();
    let mut hosts: Vec<_> = keys.iter().filter_map(|key| key.get("host")).collect();
    hosts.sort_unstable();
    hosts.into_iter().map(str::to_owned).collect()
}

fn rows(table: &Table) -> Vec<(String, i64)> {
    let mut rows = Vec::new();
    let mut stream = table.query().scan().unwrap();
    while let Some(batch) = stream.next() {
        let batch = batch.unwrap();
        for row in 0..batch.len() {
            let key = stream.key(batch.series(row)).unwrap();
            let host = key.get("host").unwrap().to_owned();
            rows.push((host, batch.times()[row]));
        }
    }
    rows.sort_unstable();
    rows
}

/// The last forgetting that an index knows of.
fn known_to(index: &Path, database: FileUuid) -> FileUuid {
    match Index::open_read_only(index, 4 << 20, database).unwrap() {
        Opened::Ready(_, has) => has.forgetting.next,
        Opened::Unusable { why } => panic!("{why}"),
    }
}

/// Goes on with what a crash has left: whatever the index was, the same series are there in the end.
fn check(what: &str, folder: &TempDir, disk: &SimDisk, has_forgotten: bool) {
    let db = open(folder, disk);
    let table = db.table("t").unwrap();
    assert_eq!(rows(&table), [("h4".to_owned(), 2)], "{what}");
    write(&db, &table, "h0", 3);
    if has_forgotten {
        assert_eq!(hosts(&table), ["h0", "h4"], "{what}");
        let id = table.series(&[("host", "h0")]).unwrap().id();
        assert!(id.0 > 5, "{what}: {id} is given again");
    }
    db.enforce_retention().unwrap();
    assert_eq!(hosts(&table), ["h0", "h4"], "{what}");
    db.close().unwrap();
    drop((db, table));
    let db = open(folder, disk);
    assert_eq!(db.open_report().index_rebuilt, None, "{what}");
    let table = db.table("t").unwrap();
    let expected = [("h0".to_owned(), 3), ("h4".to_owned(), 2)];
    assert_eq!(rows(&table), expected, "{what}, opened again");
    assert_eq!(hosts(&table), ["h0", "h4"], "{what}, opened again");
}

#[test]
fn an_index_that_forgot_before_a_crash_is_used_and_one_from_before_it_is_not() {
    let (mut made_anew, mut ahead) = (0, 0);
    // Background threads make calls too: how many it takes differs.
    for call in 0.. {
        let (folder, disk, db) = prepare();
        disk.inject(Fault::FromCall(call));
        let is_done = db.enforce_retention().is_ok();
        let images = [
            disk.after_kill(),
            disk.after_power_loss(|_| false),
            disk.after_power_loss(|_| true),
        ];
        drop(db);
        keep(&folder, "after");
        for (number, image) in images.iter().enumerate() {
            for index in ["before", "after"] {
                let what = format!("call {call}, image {number}, index from {index} it");
                put_back(&folder, index);
                let db = open(&folder, &image.after_kill());
                let why = db.open_report().index_rebuilt.clone();
                let manifest = db.engine().store.edit().state().forgetting();
                let known = known_to(&folder.path().join(index), db.uuid());
                drop(db);
                let has_forgotten = manifest != FileUuid::default();
                let is_stale = has_forgotten && index == "before";
                assert_eq!(why.is_some(), is_stale, "{what}: {why:?}");
                made_anew += u64::from(is_stale);
                ahead += u64::from(known != manifest && !is_stale);
                put_back(&folder, index);
                check(&what, &folder, &image.after_kill(), has_forgotten);
            }
        }
        if is_done {
            break;
        }
    }
    assert!(made_anew > 0 && ahead > 0, "{made_anew}, {ahead}");
}
