//! Tables that lose their oldest partition where the disk is full.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod common;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{Dice, contents, quiet, until};
use tidestone::io::{Call, Disk, Fault, SimDisk};
use tidestone::{
    Error, ErrorKind, FieldType, ManualClock, Options, Result, SeededRandom, Table, TableOptions,
    TagMatch, Tidestone, TimeRange, Value,
};

const SECOND: i64 = 1_000_000_000;

fn open(disk: &SimDisk) -> Tidestone {
    open_at(disk, Arc::new(ManualClock::new(1_000 * SECOND)))
}

fn open_at(disk: &SimDisk, clock: Arc<ManualClock>) -> Tidestone {
    try_open_at(disk, clock).unwrap()
}

fn try_open_at(disk: &SimDisk, clock: Arc<ManualClock>) -> Result<Tidestone> {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .clock(clock)
        .random(Arc::new(SeededRandom::new(disk.changes())))
        .open_or_create()
}

fn options() -> TableOptions {
    TableOptions::new()
        .field("text", FieldType::String)
        .partition(Duration::from_secs(1))
}

/// Writes a row of some 10,000 bytes that no codec makes smaller into partition `n`.
fn write(db: &Tidestone, table: &Table, n: i64) -> Result<()> {
    write_at(db, table, n, 0)
}

fn write_at(db: &Tidestone, table: &Table, n: i64, ns: i64) -> Result<()> {
    let mut dice = Dice((1_000 * n + ns).cast_unsigned());
    let text: String = (0..10_000)
        .map(|_| char::from(b'!' + u8::try_from(dice.roll(90)).unwrap()))
        .collect();
    let series = table.series(&[("host", format!("h{n}"))])?;
    let mut writer = db.writer();
    writer.append(&series, n * SECOND + ns, &[Value::String(&text)])?;
    writer.commit_and_wait().map(drop)
}

fn partitions(table: &Table) -> Vec<i64> {
    let rows = contents(table);
    let mut times: Vec<i64> = rows.iter().map(|(_, time, _)| time / SECOND).collect();
    times.sort_unstable();
    times
}

/// A database on a disk that is full, with a table that drops its oldest partition and one that does
/// not, with `rows` and one row in each of the partitions 0 to 9.
fn full(rows: i64) -> (SimDisk, Tidestone, Table, Table) {
    let disk = SimDisk::new();
    let db = open(&disk);
    let drops = db
        .create_table("drops", options().drop_oldest_when_full())
        .unwrap();
    let keeps = db.create_table("keeps", options()).unwrap();
    for n in 0..10 {
        for ns in 0..rows {
            write_at(&db, &drops, n, ns).unwrap();
        }
        write(&db, &keeps, n).unwrap();
        db.flush().unwrap();
    }
    disk.inject(Fault::Capacity(disk.used()));
    (disk, db, drops, keeps)
}

#[test]
fn writing_goes_on_while_the_oldest_partitions_go() {
    let (disk, db, drops, keeps) = full(1);
    for n in 10..60 {
        write(&db, &drops, n).unwrap_or_else(|e| panic!("{n}: {e}"));
        if n % 3 == 0 {
            db.flush().unwrap_or_else(|e| panic!("flush at {n}: {e}"));
        }
    }
    let left = partitions(&drops);
    let oldest = left[0];
    assert!(oldest > 40, "no more than ten fit: {left:?}");
    assert!(oldest < 59, "no more go than have to: {left:?}");
    assert!(left.iter().copied().eq(oldest..60), "{left:?}");
    assert_eq!(partitions(&keeps), (0..10).collect::<Vec<_>>());
    let status = db.status().unwrap();
    assert!(status.partitions_dropped_when_full >= 30, "{status:?}");

    let image = disk.after_power_loss(|_| false);
    drop(db);
    image.inject(Fault::Capacity(image.used()));
    let db = open(&image);
    assert_eq!(partitions(&db.table("drops").unwrap()), left);
    assert_eq!(
        partitions(&db.table("keeps").unwrap()),
        (0..10).collect::<Vec<_>>()
    );
}

/// It failed where a flush before it would have made the space.
#[test]
fn closing_makes_space_as_a_flush_does() {
    let (disk, db, drops, _keeps) = full(1);
    write(&db, &drops, 10).unwrap();
    write(&db, &drops, 11).unwrap();
    disk.inject(Fault::Capacity(disk.used()));
    db.close().unwrap();
    drop(db);
    let left = partitions(&open(&disk).table("drops").unwrap());
    assert!(left[0] > 0, "the oldest made space: {left:?}");
    assert!(left.ends_with(&[10, 11]), "{left:?}");
}

#[test]
fn what_is_being_read_takes_its_space_and_nothing_more_is_dropped_for_it() {
    let (_disk, db, drops, _) = full(10);
    let stream = drops.query().scan().unwrap();
    let mut refused = 0;
    for n in 10..60 {
        match write(&db, &drops, n) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    assert_eq!(db.status().unwrap().partitions_dropped_when_full, 1);
    let rows: usize = stream.map(|batch| batch.unwrap().len()).sum();
    assert_eq!(rows, 100, "a snapshot stays whole");
    for n in 60..100 {
        write(&db, &drops, n).unwrap_or_else(|e| panic!("{n}: {e}"));
    }
}

#[test]
fn a_table_with_one_partition_keeps_it() {
    let disk = SimDisk::new();
    let db = open(&disk);
    let table = db
        .create_table("t", options().drop_oldest_when_full())
        .unwrap();
    write(&db, &table, 1).unwrap();
    db.flush().unwrap();
    disk.inject(Fault::Capacity(disk.used()));
    let refused = (0..20).any(|_| match write(&db, &table, 1) {
        Ok(()) => false,
        Err(error) => error.kind() == ErrorKind::DiskFull,
    });
    assert!(refused);
    assert_eq!(db.status().unwrap().partitions_dropped_when_full, 0);
    assert_eq!(partitions(&table), [1]);
}

fn is_refused(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
}

const DELETED: TimeRange = TimeRange {
    start: 0,
    end: 100 * SECOND - 1,
};

/// A database whose disk refuses writes and flushes, with a row in each of the partitions 0 to 99 in a
/// segment, and some more rows in memory.
fn refusing() -> (SimDisk, Tidestone, Table) {
    let disk = SimDisk::new();
    let db = open(&disk);
    let table = db.create_table("t", options()).unwrap();
    for n in 0..100 {
        write(&db, &table, n).unwrap();
    }
    db.flush().unwrap();
    disk.inject(Fault::Capacity(disk.used()));
    // A flush that the refusals ask for may let go of log files: it, too, comes to an end.
    let mut refused_in_a_row = 0;
    // However many of them are taken before, they fit where the first hundred were.
    for n in (100..160).cycle().take(1_000) {
        match write(&db, &table, n) {
            Ok(()) => refused_in_a_row = 0,
            Err(error) => {
                is_refused(&error);
                refused_in_a_row += 1;
            }
        }
        if refused_in_a_row == 20 {
            break;
        }
    }
    assert_eq!(refused_in_a_row, 20, "the disk never fills");
    is_refused(&db.flush().unwrap_err());
    (disk, db, table)
}

/// Flushes once nobody has the segments any more that deletes hide: a thread in the background may have
/// looked at what there was.
fn makes_space(db: &Tidestone) {
    until("space", || match db.flush() {
        Ok(()) => true,
        Err(error) => {
            is_refused(&error);
            false
        }
    });
}

#[test]
fn a_delete_makes_space_where_every_write_was_refused() {
    let (disk, db, table) = refusing();
    let before = partitions(&table);
    table.delete(&[], DELETED).unwrap().wait().unwrap();
    assert_eq!(partitions(&table), before[100..]);
    makes_space(&db);
    for n in 200..210 {
        write(&db, &table, n).unwrap();
    }
    let after = partitions(&table);
    assert_eq!(after.len(), before.len() - 100 + 10);
    let image = disk.after_power_loss(|_| false);
    drop(db);
    assert_eq!(partitions(&open(&image).table("t").unwrap()), after);
}

/// The pause after a flush that was refused would have kept it from being seen.
#[test]
fn a_delete_makes_space_at_once_for_writes_that_are_tried_again() {
    let (_disk, db, table) = refusing();
    table.delete(&[], DELETED).unwrap().wait().unwrap();
    until("a write", || match write(&db, &table, 200) {
        Ok(()) => true,
        Err(error) => {
            is_refused(&error);
            false
        }
    });
}

/// Counts the files that flushes begin, and refuses them for want of space as long as it is full.
#[derive(Debug, Default)]
struct Segments {
    begun: AtomicUsize,
    full: AtomicBool,
}

impl Segments {
    fn of(disk: &SimDisk) -> Arc<Self> {
        let segments = Arc::new(Self::default());
        let asked = segments.clone();
        disk.watch(move |call, path| {
            if call != Call::Create || !path.starts_with("/db/tmp") {
                return Ok(());
            }
            asked.begun.fetch_add(1, Ordering::SeqCst);
            match asked.full.load(Ordering::SeqCst) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        });
        segments
    }

    /// How many flushes were tried while a hundred writes were refused.
    fn tried(&self, write: impl Fn() -> Result<()>) -> usize {
        let before = self.begun.load(Ordering::SeqCst);
        (0..100).for_each(|_| is_refused(&write().unwrap_err()));
        self.begun.load(Ordering::SeqCst) - before
    }
}

/// Each write that was refused had what is in memory written to the full disk, in vain.
#[test]
fn a_full_disk_that_refuses_writes_is_not_tried_by_a_flush_at_each_of_them() {
    let (disk, clock) = (SimDisk::new(), Arc::new(ManualClock::new(1_000 * SECOND)));
    let db = open_at(&disk, clock.clone());
    let segments = Segments::of(&disk);
    // Its one partition stays, and each write waits until space was looked for.
    let table = db
        .create_table("t", options().drop_oldest_when_full())
        .unwrap();
    disk.inject(Fault::Capacity(disk.used()));
    let write = || write(&db, &table, 1);
    let refused = (0..100).find_map(|_| write().err());
    is_refused(&refused.unwrap());
    assert_eq!(segments.tried(write), 0);
    clock.advance(SECOND - 1);
    assert_eq!(segments.tried(write), 0);
    clock.advance(1);
    assert_eq!(segments.tried(write), 1);
    disk.heal();
    write().unwrap();
}

/// As many flushes were tried in vain as writes were refused for want of memory.
#[test]
fn where_memory_is_spent_because_the_disk_is_full_space_is_found_within_a_second() {
    let (disk, clock) = (SimDisk::new(), Arc::new(ManualClock::new(1_000 * SECOND)));
    let db = open_at(&disk, clock.clone());
    let segments = Segments::of(&disk);
    let table = db.create_table("t", options()).unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    let text = "x".repeat(100_000);
    let write = || {
        let mut writer = db.writer();
        writer.append(&series, SECOND, &[Value::String(&text)])?;
        writer.commit_and_wait().map(drop)
    };
    segments.full.store(true, Ordering::SeqCst);
    let refused = (0..1_000).find_map(|_| write().err());
    is_refused(&refused.unwrap());
    assert_eq!(segments.tried(write), 0);
    segments.full.store(false, Ordering::SeqCst);
    clock.advance(SECOND);
    write().unwrap();
    assert_eq!(db.status().unwrap().flushes, 1);
}

/// The reserve of the log was used by the first of them and never made again, and without one no short file
/// was tried.
#[test]
fn a_database_on_a_full_disk_opens_again_and_again() {
    const SHORT: u64 = 64 << 10;
    let open = |disk: &SimDisk| {
        let options = Options {
            log_file_bytes: 4 << 20,
            log_retained_bytes: 64 << 20,
            ..quiet()
        };
        Tidestone::builder("/db")
            .options(options)
            .disk(Arc::new(disk.clone()))
            .random(Arc::new(SeededRandom::new(disk.changes())))
            .open_or_create()
    };
    let left = |table: &Table| {
        let mut left = partitions(table);
        left.dedup();
        left
    };
    let has_reserve = |disk: &SimDisk| disk.paths().iter().any(|p| p.ends_with("reserve"));
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    let table = db.create_table("t", options()).unwrap();
    for n in 0..160 {
        write_at(&db, &table, n / 8, n % 8).unwrap();
    }
    // Killed: its rows are in the log, and the disk has no room to flush them, nor for a log file of that
    // length.
    let disk = disk.after_kill();
    drop(db);
    for path in disk.paths() {
        // One that was made ready would be used.
        if path.extension().is_some_and(|end| end == "log") && !has_frames(&disk, &path) {
            disk.remove(&path).unwrap();
        }
    }
    let capacity = disk.used() + 10 * SHORT + SHORT / 2;
    disk.inject(Fault::Capacity(capacity));
    for n in 0..11 {
        assert!(has_reserve(&disk), "open {n}");
        let db = open(&disk).unwrap_or_else(|e| panic!("open {n}: {e}"));
        let range = TimeRange {
            start: 0,
            end: n * SECOND + 7,
        };
        let table = db.table("t").unwrap();
        table.delete(&[], range).unwrap().wait().unwrap();
        assert_eq!(left(&table), (n + 1..20).collect::<Vec<_>>());
    }
    assert!(disk.used() <= capacity && !has_reserve(&disk));
    is_refused(&open(&disk).unwrap_err());
    disk.heal();
    let db = open(&disk).unwrap();
    assert_eq!(left(&db.table("t").unwrap()), (11..20).collect::<Vec<_>>());
    assert!(has_reserve(&disk));
}

fn has_frames(disk: &SimDisk, log: &Path) -> bool {
    let mut has_frames = false;
    disk.damage(log, |bytes| has_frames = bytes[4096] != 0)
        .unwrap();
    has_frames
}

#[test]
fn a_power_loss_while_deletes_make_space_loses_no_row_and_brings_none_back() {
    let (disk, db, table) = refusing();
    table.delete(&[], DELETED).unwrap().wait().unwrap();
    let expected = partitions(&table);
    let full = || {
        let image = disk.after_power_loss(|_| false);
        image.inject(Fault::Capacity(image.used()));
        image
    };
    let whole = full();
    let deleted = || {
        let is_deleted = |path: &Path| {
            let folder = path.parent().and_then(Path::file_name).unwrap();
            DELETED.contains(folder.to_str().unwrap().parse().unwrap())
        };
        let mut paths = whole.paths();
        paths.retain(|p| p.extension().is_some_and(|e| e == "seg") && is_deleted(p));
        paths.len()
    };
    assert_ne!(deleted(), 0);
    // A flush in the background may make space as soon as the database is open.
    let before = whole.changes();
    let again = open(&whole);
    makes_space(&again);
    // They go with the last thread that looked at them.
    until("the segments to go", || deleted() == 0);
    let calls = whole.changes() - before;
    let mut dice = Dice(5);
    for call in 0..calls {
        let image = full();
        image.inject(Fault::FromCall(call));
        let again = try_open_at(&image, Arc::new(ManualClock::new(1_000 * SECOND)));
        if let Ok(again) = &again {
            let _ = again.flush();
        }
        let left = image.after_torn_power_loss(|| dice.roll(2) == 0);
        drop(again);
        let again = open(&left);
        let there = partitions(&again.table("t").unwrap());
        assert_eq!(there, expected, "call {call} of {calls}");
    }
    drop((db, table));
}

#[test]
fn a_damaged_segment_that_a_delete_may_hide_keeps_no_space_from_being_made() {
    let (disk, db, drops, keeps) = full(1);
    // Nothing of them was read so far.
    let mut segments = disk.paths();
    segments.retain(|p| p.starts_with(format!("/db/segments/{}", keeps.schema().id)));
    assert_eq!(segments.len(), 10);
    for path in segments {
        disk.damage(&path, |bytes| bytes[192..].fill(0xaa)).unwrap();
    }
    let one = [TagMatch::equal("host", "h3")];
    keeps.delete(&one, TimeRange::ALL).unwrap().wait().unwrap();
    for n in 10..40 {
        write(&db, &drops, n).unwrap_or_else(|e| panic!("{n}: {e}"));
        if n % 3 == 0 {
            db.flush().unwrap_or_else(|e| panic!("flush at {n}: {e}"));
        }
    }
    assert!(partitions(&drops)[0] > 10);
}
