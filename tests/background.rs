//! Work in the background while a merge is held in the middle: nobody waits for it, and it stops when
//! it is no longer wanted.
//!
//! The disk is a simulated one with a gate, at which the merge thread waits to make a file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::gate::Gate;
use common::{contents, quiet};
use tidestone::io::{Call, SimDisk};
use tidestone::{
    ErrorKind, FieldType, ManualClock, Options, SeededRandom, Table, TableOptions, TagMatch,
    Tidestone, TimeRange, Value,
};

const HOUR: i64 = 3_600_000_000_000;

/// A simulated disk with a gate at which the merge thread waits to make the file it merges to.
struct Held {
    disk: SimDisk,
    gate: Arc<Gate>,
}

impl Held {
    fn new() -> Self {
        let disk = SimDisk::new();
        let gate = Gate::before(&disk);
        let held = Self { disk, gate };
        held.hold_merges();
        held
    }

    fn hold_merges(&self) {
        self.gate.hold(|call, _| {
            call == Call::Create && std::thread::current().name() == Some("tidestone-merge")
        });
    }

    fn open(&self, options: Options, clock: &Arc<ManualClock>) -> Tidestone {
        Tidestone::builder("/db")
            .options(options)
            .disk(Arc::new(self.disk.clone()))
            .clock(clock.clone())
            // Names of segments differ each time the database is opened.
            .random(Arc::new(SeededRandom::new(self.disk.changes())))
            .open_or_create()
            .unwrap()
    }

    /// Files below `segments/` and `tmp/`.
    fn data_files(&self) -> usize {
        let paths = self.disk.paths();
        let data =
            |p: &&std::path::PathBuf| p.starts_with("/db/segments") || p.starts_with("/db/tmp");
        paths.iter().filter(data).count()
    }
}

fn options() -> Options {
    Options {
        auto_compact: true,
        ..quiet()
    }
}

fn write(db: &Tidestone, table: &Table, time: i64) {
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, time, &[Value::I64(time)]).unwrap();
    writer.commit_and_wait().unwrap();
}

fn segments(db: &Tidestone) -> usize {
    let status = db.status().unwrap();
    status.tables.iter().map(|t| t.segments).sum()
}

/// A database whose merge of four segments, of rows at the times 0 to 3, is held.
fn held() -> (Held, Arc<ManualClock>, Tidestone, Table) {
    let (disk, clock) = (Held::new(), Arc::new(ManualClock::new(HOUR)));
    let db = disk.open(options(), &clock);
    let kept = TableOptions::new()
        .field("v", FieldType::I64)
        .partition(Duration::from_secs(3600))
        .retention_bytes(Some(1));
    let table = db.create_table("t", kept).unwrap();
    for time in 0..4 {
        write(&db, &table, time);
        db.flush().unwrap();
    }
    disk.gate.wait_until_held();
    assert_eq!(segments(&db), 4);
    (disk, clock, db, table)
}

#[test]
fn a_flush_completes_while_a_merge_is_held() {
    let (disk, _, db, table) = held();
    for time in 4..6 {
        write(&db, &table, time);
        db.flush().unwrap();
    }
    let status = db.status().unwrap();
    assert_eq!((status.flushes, status.compactions), (6, 0));
    assert_eq!(contents(&table).len(), 6);
    disk.gate.open();
    db.compact().unwrap();
    assert_eq!((segments(&db), contents(&table).len()), (1, 6));
    db.close().unwrap();
}

#[test]
fn commits_beyond_the_memory_budget_go_on_while_a_merge_is_held() {
    let (disk, _, db, _) = held();
    let table = TableOptions::new()
        .field("s", FieldType::String)
        .future_bound(None);
    let table = db.create_table("wide", table).unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    let text = "x".repeat(1 << 20);
    let mut writer = db.writer();
    // Three times what may wait in memory: only flushes in the background make room.
    for time in 0..24 {
        writer
            .append(&series, time, &[Value::String(&text)])
            .unwrap();
        writer.commit_and_wait().unwrap();
    }
    assert_eq!(contents(&table).len(), 24);
    assert_eq!(db.status().unwrap().compactions, 0);
    disk.gate.open();
    db.close().unwrap();
}

/// While a flush is held in the middle of a segment, what the closure does completes.
fn while_a_flush_is_held(work: impl FnOnce(&Tidestone)) -> (Held, Arc<ManualClock>, Tidestone) {
    let (disk, clock) = (Held::new(), Arc::new(ManualClock::new(HOUR)));
    let db = disk.open(quiet(), &clock);
    for name in ["t", "u"] {
        let fields = TableOptions::new().field("v", FieldType::I64);
        let table = db.create_table(name, fields).unwrap();
        write(&db, &table, 1);
    }
    // The segment of `t` is there by then.
    let first = OnceLock::new();
    disk.gate.hold(move |call, path| {
        let is_new = call == Call::Create && path.starts_with("/db/tmp");
        is_new && first.get_or_init(|| path.to_owned()) != path
    });
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| db.flush());
        disk.gate.wait_until_held();
        work(&db);
        disk.gate.open();
        flush.join().unwrap().unwrap();
    });
    (disk, clock, db)
}

#[test]
fn tables_and_fields_are_made_while_a_flush_is_held() {
    let (disk, clock, db) = while_a_flush_is_held(|db| {
        let fields = TableOptions::new().field("w", FieldType::F64);
        db.create_table("new", fields).unwrap();
        let table = db.table("u").unwrap();
        table.add_field("late", FieldType::Bool).unwrap();
        write(db, &table, 2);
        db.set_log_cursor("mirror", db.durable_lsn()).unwrap();
        assert_eq!(contents(&table).len(), 2);
        assert_eq!(db.status().unwrap().flushes, 0);
    });
    let check = |db: &Tidestone| {
        assert_eq!(contents(&db.table("t").unwrap()).len(), 1);
        let table = db.table("u").unwrap();
        assert_eq!(contents(&table).len(), 2);
        assert_eq!(table.schema().fields.len(), 2);
        assert!(contents(&db.table("new").unwrap()).is_empty());
    };
    check(&db);
    assert_eq!(db.status().unwrap().flushes, 1);
    db.close().unwrap();
    let db = disk.open(quiet(), &clock);
    check(&db);
    db.close().unwrap();
}

#[test]
fn a_table_that_is_dropped_while_a_flush_is_held_leaves_nothing() {
    // The segment of one is written by then, that of the other is not.
    let (disk, clock, db) = while_a_flush_is_held(|db| {
        db.drop_table("t").unwrap();
        db.drop_table("u").unwrap();
        let table = db.create_table("u", TableOptions::new().field("v", FieldType::I64));
        write(db, &table.unwrap(), 5);
    });
    let check = |db: &Tidestone| {
        assert_eq!(db.tables().len(), 1);
        assert_eq!(contents(&db.table("u").unwrap()).len(), 1);
        assert_eq!(db.status().unwrap().failure, None);
    };
    assert_eq!(disk.data_files(), 0, "{:?}", disk.disk.paths());
    check(&db);
    db.flush().unwrap();
    check(&db);
    db.close().unwrap();
    let db = disk.open(quiet(), &clock);
    assert_eq!(db.open_report().strays_removed, 0);
    check(&db);
    db.close().unwrap();
}

#[test]
fn closing_stops_a_merge_and_the_next_open_does_it() {
    let (disk, clock, db, table) = held();
    std::thread::scope(|scope| {
        scope.spawn(|| db.close().unwrap());
        // Closing waits for the merge thread last of all.
        loop {
            match db.sync() {
                Err(error) => break assert_eq!(error.kind(), ErrorKind::Closed),
                Ok(_) => std::thread::yield_now(),
            }
        }
        disk.gate.open();
    });
    drop((db, table));
    assert_eq!(disk.data_files(), 4, "{:?}", disk.disk.paths());
    disk.hold_merges();
    let db = disk.open(options(), &clock);
    assert_eq!(db.open_report().strays_removed, 0);
    disk.gate.wait_until_held();
    assert_eq!(segments(&db), 4);
    disk.gate.open();
    db.compact().unwrap();
    assert_eq!(contents(&db.table("t").unwrap()).len(), 4);
    assert_eq!(disk.data_files(), 1);
    db.close().unwrap();
}

#[test]
fn dropping_a_table_stops_its_merge() {
    let (disk, _, db, table) = held();
    db.drop_table("t").unwrap();
    drop(table);
    disk.gate.open();
    // This waits for the merge to end.
    assert_eq!(db.compact().unwrap(), 0);
    let status = db.status().unwrap();
    assert_eq!((status.compactions, status.failure), (0, None));
    db.close().unwrap();
    assert_eq!(disk.data_files(), 0, "{:?}", disk.disk.paths());
}

#[test]
fn retention_does_not_wait_for_a_merge_of_what_it_drops() {
    let (disk, clock, db, table) = held();
    clock.advance(5 * HOUR);
    // The newest partition stays.
    write(&db, &table, 5 * HOUR);
    db.flush().unwrap();
    db.enforce_retention().unwrap();
    assert_eq!((segments(&db), contents(&table).len()), (1, 1));
    disk.gate.open();
    assert_eq!(db.compact().unwrap(), 0);
    let status = db.status().unwrap();
    assert_eq!((status.compactions, status.failure), (0, None));
    assert_eq!(contents(&table).len(), 1);
    db.close().unwrap();
    // Until then the flush thread, which looks at retention by itself, may have the old version.
    assert_eq!(disk.data_files(), 1, "{:?}", disk.disk.paths());
}

/// It held the manifest while it read them, and whoever made a table waited for the disk.
#[test]
fn tables_are_made_while_retention_looks_in_segments() {
    let disk = Held::new();
    let db = disk.open(quiet(), &Arc::new(ManualClock::new(HOUR)));
    let fields = TableOptions::new()
        .field("v", FieldType::I64)
        .partition(Duration::from_secs(3600));
    let table = db.create_table("t", fields.clone()).unwrap();
    for hour in 0..2 {
        write(&db, &table, hour * HOUR);
        db.flush().unwrap();
    }
    // Whether it hides all of a segment is in the segment.
    let host = [TagMatch::equal("host", "a")];
    table.delete(&host, TimeRange::ALL).unwrap().wait().unwrap();
    // None of them was opened yet.
    disk.gate
        .hold(|call, path| call == Call::Read && path.extension().is_some_and(|e| e == "seg"));
    table.set_retention(None, Some(1)).unwrap();
    std::thread::scope(|scope| {
        let retention = scope.spawn(|| db.enforce_retention());
        disk.gate.wait_until_held();
        let (made, is_made) = std::sync::mpsc::channel();
        let db = &db;
        scope.spawn(move || made.send(db.create_table("new", fields).is_ok()));
        let is_made = is_made.recv_timeout(Duration::from_secs(60));
        disk.gate.open();
        assert_eq!(is_made, Ok(true));
        retention.join().unwrap().unwrap();
    });
    assert_eq!(segments(&db), 0);
    db.close().unwrap();
}
