//! Random histories of tables that drop rows by age and by bytes, and of readers of the log, with power cuts
//! and failing calls in between.
//!
//! What was acknowledged and is not past what a table keeps is there; what was dropped does not come back;
//! the log has every frame that a registered reader still needs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use common::{Dice, contents, quiet, seeds};
use tidestone::io::{Disk, Fault, SimDisk, read_all};
use tidestone::{
    Clock, ClockWatcher, DuplicatePolicy, Error, ErrorKind, FieldType, Lsn, Options, SeededRandom,
    TableOptions, Tidestone, Value,
};
use tidestone_format::header::{FileHeader, Specific};

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
/// The time when a history begins.
const START: i64 = 20_000 * DAY;
/// What the table `aged` keeps.
const AGE: i64 = 2 * DAY;
/// What the table `sized` keeps.
const BYTES: u64 = 12_000;
const TABLES: [&str; 2] = ["aged", "sized"];
const STEPS: usize = 90;

/// A clock that is right, and stands still between steps.
#[derive(Debug)]
struct Now(AtomicI64);

impl Clock for Now {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
    fn monotonic(&self) -> u64 {
        (self.now() - START).cast_unsigned()
    }
    fn sleep_until(&self, _due: u64) -> Option<Duration> {
        None
    }
    /// It tells nobody: a step is not joined by what is due at its time.
    fn watch(&self, _watcher: Weak<dyn ClockWatcher>) {}
}

/// A row: its time and a value that no other row has.
type Row = (i64, i64);

/// What was done, and what of it must survive.
#[derive(Debug)]
struct World {
    clock: Arc<Now>,
    /// Batches in the order of their LSNs; rows by table.
    batches: Vec<[Vec<Row>; 2]>,
    acknowledged: usize,
    next: i64,
    /// Rows that were seen to be dropped.
    gone: [BTreeSet<Row>; 2],
    /// The LSN above which a registered reader needs the log.
    cursors: BTreeMap<String, u64>,
}

impl World {
    /// The rows that a table may not drop are those from here on.
    fn kept_from(&self, table: usize, upto: usize) -> i64 {
        if table == 0 {
            return self.clock.now() - AGE;
        }
        let rows = self.batches[..upto].iter().flat_map(|b| &b[1]);
        let newest = rows.map(|(time, _)| *time).max().unwrap_or(i64::MAX);
        newest - newest.rem_euclid(HOUR)
    }

    /// Whether a table holds the first `upto` batches, but for rows that it may drop.
    fn difference(&self, there: &BTreeSet<Row>, table: usize, upto: usize) -> Option<String> {
        let oldest = there.first().map_or(i64::MAX, |(time, _)| *time);
        let from = oldest.min(self.kept_from(table, upto));
        let rows = self.batches[..upto].iter().flat_map(|b| &b[table]);
        let expected: BTreeSet<Row> = rows.filter(|(t, _)| *t >= from).copied().collect();
        let name = TABLES[table];
        if let Some(missing) = expected.difference(there).next() {
            return Some(format!("{name}: {missing:?} is missing, {from} is kept"));
        }
        if let Some(extra) = there.difference(&expected).next() {
            return Some(format!("{name}: {extra:?} should not be there"));
        }
        let back = there.intersection(&self.gone[table]).next();
        back.map(|row| format!("{name}: {row:?} came back"))
    }

    /// Checks a database against some prefix of what was done, and takes over what survived.
    fn settle(&mut self, db: &Tidestone, least: usize, what: &str) {
        let there: Vec<BTreeSet<Row>> = TABLES.iter().map(|name| rows_of(db, name)).collect();
        let mut first = None;
        for upto in (least..=self.batches.len()).rev() {
            let wrong = (0..2).find_map(|t| self.difference(&there[t], t, upto));
            if wrong.is_none() {
                self.batches.truncate(upto);
                self.acknowledged = self.acknowledged.min(upto);
                for (table, there) in there.iter().enumerate() {
                    let rows = self.batches.iter().flat_map(|b| &b[table]);
                    let gone = rows.filter(|row| !there.contains(row));
                    self.gone[table].extend(gone);
                }
                return;
            }
            first = wrong;
        }
        panic!("{what}: {}", first.unwrap());
    }

    /// Checks that every registered reader finds what it needs in the log.
    fn check_log(&self, disk: &SimDisk, what: &str) {
        let disk = disk.after_kill();
        // Number, the LSN behind which it begins, and the file it was cut from.
        let mut files: Vec<(u64, u64, Option<u64>)> = Vec::new();
        for entry in disk.list(Path::new("/db/wal")).unwrap() {
            let file = disk.open(&Path::new("/db/wal").join(&entry.name)).unwrap();
            // One that is made in advance has no header yet, or that of its earlier life.
            let Ok(header) = FileHeader::decode(&read_all(&*file).unwrap()) else {
                continue;
            };
            let Specific::Log(log) = header.specific else {
                panic!("{what}: {} is no log file", entry.name);
            };
            if entry.name == format!("{:020}.log", header.number) {
                // What was given between the cut and the first LSN is of nothing.
                let before = log.cut.map_or(log.first_lsn.0 - 1, |c| c.last_lsn.0);
                files.push((header.number, before, log.cut.map(|c| c.file_number)));
            }
        }
        files.sort_unstable();
        for pair in files.windows(2) {
            // Numbers of files that were never used may be left out; the cut names the file before.
            let follows = pair[0].0 + 1 == pair[1].0 || pair[1].2 == Some(pair[0].0);
            assert!(follows, "{what}: a log file is missing: {files:?}");
        }
        let before = files.first().map_or(0, |(_, lsn, _)| *lsn);
        for (name, lsn) in &self.cursors {
            assert!(
                before <= *lsn,
                "{what}: {name} is at {lsn}, the log begins behind {before}"
            );
        }
    }
}

fn rows_of(db: &Tidestone, table: &str) -> BTreeSet<Row> {
    let rows = contents(&db.table(table).unwrap());
    let value = |fields: &common::Fields| match fields["v"] {
        common::Val::I64(v) => v,
        _ => panic!("no integer"),
    };
    rows.iter()
        .map(|(_, time, fields)| (*time, value(fields)))
        .collect()
}

fn open(disk: &SimDisk, world: &World) -> Result<Tidestone, Error> {
    let options = Options {
        // No reader is too slow.
        log_retained_bytes: 1 << 30,
        ..quiet()
    };
    Tidestone::builder("/db")
        .options(options)
        .disk(Arc::new(disk.clone()))
        .clock(world.clock.clone())
        .random(Arc::new(SeededRandom::new(
            disk.changes() + world.next.cast_unsigned() * 1_000,
        )))
        .open_or_create()
}

fn begin() -> (SimDisk, Tidestone, World) {
    let world = World {
        clock: Arc::new(Now(AtomicI64::new(START))),
        batches: Vec::new(),
        acknowledged: 0,
        next: 0,
        gone: [BTreeSet::new(), BTreeSet::new()],
        cursors: BTreeMap::new(),
    };
    let disk = SimDisk::new();
    let db = open(&disk, &world).unwrap();
    let options = || {
        TableOptions::new()
            .field("v", FieldType::I64)
            .field("s", FieldType::String)
            .policy(DuplicatePolicy::All)
            .partition(Duration::from_secs(3600))
    };
    let age = Duration::from_nanos(AGE.cast_unsigned());
    db.create_table("aged", options().retention_age(Some(age)))
        .unwrap();
    db.create_table("sized", options().retention_bytes(Some(BYTES)))
        .unwrap();
    (disk, db, world)
}

/// Commits rows of the last hours and days.
fn commit(db: &Tidestone, world: &mut World, dice: &mut Dice) -> Result<(), Error> {
    let (mut writer, mut batch) = (db.writer(), [Vec::new(), Vec::new()]);
    for _ in 0..=dice.roll(8) {
        let table = dice.index(2);
        let longest = if dice.roll(3) == 0 { 100 } else { 3 };
        let ago = dice.roll(longest).cast_signed();
        let row = (world.clock.now() - ago * HOUR / 2, world.next);
        world.next += 1;
        let series = db.table(TABLES[table])?.series(&[("host", "a")])?;
        // Different for each row, so that log and segments grow.
        let text: String = (0..dice.roll(60) * 20)
            .map(|_| char::from(*dice.pick(b"abcdefghijklmnopqrstuvwxyz")))
            .collect();
        match writer.append(&series, row.0, &[Value::I64(row.1), Value::String(&text)]) {
            Ok(()) => batch[table].push(row),
            // It is past what the table keeps.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
        }
    }
    if writer.staged_rows() == 0 {
        return Ok(());
    }
    let _in_memory = writer.commit_as(tidestone::Durability::Memory)?;
    world.batches.push(batch);
    if dice.roll(2) == 0 {
        db.sync()?;
        world.acknowledged = world.batches.len();
    }
    Ok(())
}

/// Registers a reader of the log, moves or removes it.
fn move_cursor(db: &Tidestone, world: &mut World, dice: &mut Dice) -> Result<(), Error> {
    let name = format!("reader {}", dice.roll(3));
    let last = db.sync()?.0;
    world.acknowledged = world.batches.len();
    match world.cursors.get(&name).copied() {
        // Until it is certain that it is removed or moved, it needs the least of what may be.
        Some(_) if dice.roll(4) == 0 => {
            world.cursors.remove(&name);
            db.remove_log_cursor(&name)
        }
        before => {
            let from = before.unwrap_or(last);
            let to = from + dice.roll(last - from + 1);
            if before.is_some() {
                world.cursors.insert(name.clone(), to);
            }
            db.set_log_cursor(&name, Lsn(to))?;
            world.cursors.insert(name, to);
            Ok(())
        }
    }
}

fn step(db: &Tidestone, world: &mut World, dice: &mut Dice) -> Result<(), Error> {
    match dice.roll(20) {
        0..3 => {
            db.flush()?;
            world.acknowledged = world.batches.len();
        }
        3 => {
            db.compact()?;
            world.acknowledged = world.batches.len();
        }
        4..8 => {
            world
                .clock
                .0
                .fetch_add(dice.roll(6).cast_signed() * HOUR, Ordering::SeqCst);
            let small = |db: &Tidestone| {
                let status = db.status().unwrap();
                status
                    .tables
                    .iter()
                    .all(|t| t.name != "sized" || t.bytes <= BYTES)
            };
            let (little, before) = (small(db), rows_of(db, "sized"));
            db.enforce_retention()?;
            if little {
                assert_eq!(rows_of(db, "sized"), before, "nothing was too much");
            }
        }
        8..11 => move_cursor(db, world, dice)?,
        _ => commit(db, world, dice)?,
    }
    Ok(())
}

/// Runs a history until a step fails, and checks what the open database shows.
fn run(
    disk: &SimDisk,
    db: &Tidestone,
    world: &mut World,
    dice: &mut Dice,
    steps: usize,
    what: &str,
) -> bool {
    for _ in 0..steps {
        if step(db, world, dice).is_err() {
            return false;
        }
        let all = world.batches.len();
        world.settle(db, all, what);
        world.check_log(disk, what);
    }
    true
}

/// Opens what is left of a database, checks it, and goes on with it for a while.
fn go_on(disk: &SimDisk, world: &mut World, dice: &mut Dice, what: &str) {
    let db = open(disk, world).unwrap_or_else(|e| panic!("{what}: {e}"));
    world.settle(&db, world.acknowledged, what);
    world.acknowledged = world.batches.len();
    world.check_log(disk, what);
    assert!(
        run(disk, &db, world, dice, 20, what),
        "{what}: a step failed behind it"
    );
    db.close().unwrap();
    let db = open(disk, world).unwrap();
    let all = world.batches.len();
    world.settle(&db, all, what);
    world.check_log(disk, what);
    db.close().unwrap();
}

#[test]
fn what_is_to_be_kept_survives_power_losses() {
    for seed in seeds(25) {
        let (mut disk, mut db, mut world) = begin();
        let mut dice = Dice(seed);
        for cut in 0..4 {
            let what = format!("seed {seed}, power loss {cut}");
            disk.inject(Fault::FromCall(dice.roll(400)));
            run(&disk, &db, &mut world, &mut dice, STEPS, &what);
            let odds = dice.roll(4);
            let left = disk.after_torn_power_loss(|| dice.roll(3) < odds);
            drop(db);
            disk = left;
            go_on(&disk, &mut world, &mut dice, &what);
            db = open(&disk, &world).unwrap();
        }
        db.close().unwrap();
    }
}

#[test]
fn what_is_to_be_kept_survives_failing_calls() {
    for seed in seeds(60) {
        let (disk, db, mut world) = begin();
        let mut dice = Dice(seed + 1_000);
        let what = format!("seed {seed}, a failing call");
        disk.inject(Fault::OnceAtCall(dice.roll(400)));
        run(&disk, &db, &mut world, &mut dice, STEPS, &what);
        let left = disk.after_kill();
        drop(db);
        go_on(&left, &mut world, &mut dice, &what);
    }
}

#[test]
fn both_tables_drop_what_they_need_not_keep() {
    for seed in seeds(10) {
        let (disk, db, mut world) = begin();
        let mut dice = Dice(seed + 2_000);
        let what = format!("seed {seed}");
        assert!(
            run(&disk, &db, &mut world, &mut dice, STEPS, &what),
            "{what}"
        );
        for _ in 0..49 {
            world.clock.0.fetch_add(HOUR, Ordering::SeqCst);
            db.enforce_retention().unwrap();
        }
        commit(&db, &mut world, &mut dice).unwrap();
        db.flush().unwrap();
        db.enforce_retention().unwrap();
        world.settle(&db, world.batches.len(), &what);
        let oldest = rows_of(&db, "aged")
            .first()
            .map_or(i64::MAX, |(time, _)| *time);
        // Small steps of a horizon are put off.
        assert!(oldest >= world.clock.now() - AGE - HOUR, "{what}");
        assert!(
            world.gone.iter().all(|gone| !gone.is_empty()),
            "{what}: nothing was dropped"
        );
        let status = db.status().unwrap();
        let sized = status.tables.iter().find(|t| t.name == "sized").unwrap();
        assert!(
            sized.bytes <= BYTES || sized.segments == 1,
            "{what}: {} bytes",
            sized.bytes
        );
        db.close().unwrap();
    }
}
