//! What failed leaves no files behind: `segments/` and `tmp/` hold what the manifest names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{contents, quiet};
use tidestone::io::{Disk, Fault, SimDisk, read_all};
use tidestone::{
    ErrorKind, FieldType, ManualClock, Result, SeededRandom, TableOptions, Tidestone, Value,
};
use tidestone_format::Lsn;
use tidestone_format::header::FileHeader;
use tidestone_format::manifest::{ManifestIdentity, replay};

const SECOND: i64 = 1_000_000_000;
const PARTITIONS: i64 = 4;
const ROWS: usize = 3 * 4;
/// Where a flush and a merge write. Beside them the log's thread makes files as it finds time.
const FOLDERS: [&str; 3] = ["/db/tmp", "/db/segments", "/db/manifest"];

fn open(disk: &SimDisk, seed: u64) -> Tidestone {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(1_000 * SECOND)))
        .random(Arc::new(SeededRandom::new(seed)))
        .open_or_create()
        .unwrap()
}

/// A database with segments of four partitions, two each, and as many rows in memory.
fn filled() -> (SimDisk, Tidestone) {
    let disk = SimDisk::new();
    let db = open(&disk, 1);
    let table = TableOptions::new()
        .field("v", FieldType::I64)
        .partition(Duration::from_secs(1));
    let table = db.create_table("t", table).unwrap();
    for round in 0..3 {
        let series = table.series(&[("host", format!("h{round}"))]).unwrap();
        let mut writer = db.writer();
        for partition in 0..PARTITIONS {
            let row = [Value::I64(round)];
            writer.append(&series, partition * SECOND, &row).unwrap();
        }
        writer.commit_and_wait().unwrap();
        if round < 2 {
            db.flush().unwrap();
        }
    }
    (disk, db)
}

/// The files below `segments/` and `tmp/`.
fn files(disk: &SimDisk) -> BTreeSet<PathBuf> {
    let data = |p: &PathBuf| p.starts_with("/db/segments") || p.starts_with("/db/tmp");
    disk.paths().into_iter().filter(data).collect()
}

/// The files of the segments that the manifest names, as it can be read now.
fn named(disk: &SimDisk) -> BTreeSet<PathBuf> {
    let list = disk.list(Path::new("/db/manifest")).unwrap();
    let newest = list.into_iter().map(|e| e.name).max().unwrap();
    let file = disk.open(&Path::new("/db/manifest").join(newest)).unwrap();
    let bytes = read_all(&*file).unwrap();
    let identity = ManifestIdentity::of(&FileHeader::decode(&bytes).unwrap());
    let state = replay(&bytes, identity).unwrap().state;
    let path = |e: &tidestone_format::manifest::SegmentEntry| {
        let folder = format!("/db/segments/{}/{}", e.table, e.partition.start);
        Path::new(&folder).join(format!("{}.seg", e.uuid))
    };
    state.segments().values().map(path).collect()
}

/// Lets one call after the other fail in a piece of work, and looks at what is left each time.
fn fail_each_call(work: impl Fn(&Tidestone) -> Result<()>) {
    let changes = |disk: &SimDisk| FOLDERS.map(|folder| disk.changes_in(folder));
    let (disk, db) = filled();
    let before = changes(&disk);
    work(&db).unwrap();
    assert_eq!(files(&disk), named(&disk), "no fault");
    let after = changes(&disk);
    drop(db);
    let calls = |at: usize| (0..after[at] - before[at]).map(move |call| (FOLDERS[at], call));
    let (mut failed, mut poisoned) = (0, 0);
    for call in (0..FOLDERS.len()).flat_map(calls) {
        let (disk, db) = filled();
        disk.inject(Fault::OnceIn(call.0, call.1));
        let Err(error) = work(&db) else {
            continue;
        };
        failed += 1;
        disk.heal();
        let (there, named) = (files(&disk), named(&disk));
        // An edit that failed may hold all the same.
        let takes_edits = db.set_log_cursor("probe", Lsn(u64::MAX));
        match takes_edits.map_err(|e| e.kind()) {
            Ok(()) => assert_eq!(there, named, "call {call:?}: {error}"),
            Err(ErrorKind::Poisoned) => {
                poisoned += 1;
                let missing: Vec<_> = named.difference(&there).collect();
                assert!(missing.is_empty(), "call {call:?}: {error}: {missing:?}");
                // What is tried again is of no use, and leaves nothing more.
                work(&db).unwrap_err();
                assert_eq!(files(&disk), there, "call {call:?}, again: {error}");
            }
            Err(kind) => panic!("call {call:?}: {kind:?}"),
        }
        let left = disk.after_kill();
        drop(db);
        let db = open(&left, 2);
        work(&db).unwrap();
        let rows = contents(&db.table("t").unwrap()).len();
        assert_eq!(rows, ROWS, "call {call:?}: {error}");
        assert_eq!(
            files(&left),
            self::named(&left),
            "call {call:?}, opened again"
        );
    }
    // A write and a sync of the manifest, at least.
    assert!(failed > poisoned && poisoned >= 2, "{failed}, {poisoned}");
}

#[test]
fn a_flush_that_fails_leaves_no_files() {
    fail_each_call(Tidestone::flush);
}

#[test]
fn a_merge_that_fails_leaves_no_files() {
    fail_each_call(|db| db.compact().map(drop));
}

#[test]
fn a_full_disk_is_not_filled_further_by_trying_again() {
    let (disk, db) = filled();
    // The log's thread makes a file ahead: one that it gave up would leave room. Until that one is begun it has
    // no header of its number. There are one or two beside it, as the thread and the flushes take turns.
    let log = Path::new("/db/wal");
    let is_ahead = |name: &str| {
        // It may have got another number since it was listed.
        let Ok(file) = disk.open(&log.join(name)) else {
            return false;
        };
        let bytes = read_all(&*file).unwrap();
        FileHeader::decode(&bytes)
            .map_or(true, |header| name != format!("{:020}.log", header.number))
    };
    let is_made = || {
        let files = disk.list(log).unwrap().into_iter();
        let mut logs = files.map(|e| e.name).filter(|name| name.ends_with(".log"));
        logs.any(|name| is_ahead(&name))
    };
    common::until("the next log file", is_made);
    let room = disk.used() + 2_000;
    disk.inject(Fault::Capacity(room));
    for _ in 0..5 {
        let error = db.flush().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        assert_eq!(files(&disk), named(&disk));
    }
    disk.heal();
    db.flush().unwrap();
    assert_eq!(contents(&db.table("t").unwrap()).len(), ROWS);
}
