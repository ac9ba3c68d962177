//! Power losses, kills and failing calls at every change of a simulated disk.
//!
//! A random history runs until the disk fails it; the database is opened from what is left and
//! compared with a model: what was acknowledged is there, the rest is a prefix of whole batches.
//! The seed and the number of the call are in every message; `TIDESTONE_TEST_SEEDS=10` runs ten
//! times as many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{Dice, FIELDS, Fields, Row, Step, Val, check, quiet, replay, seeds};
use tidestone::io::{Fault, SimDisk};
use tidestone::{
    DuplicatePolicy, Durability, Error, ErrorKind, FieldType, ManualClock, Options, SeededRandom,
    TableOptions, TagMatch, Tidestone, TimeRange, Value,
};

const PATH: &str = "/db";

#[derive(Debug, Clone)]
struct TableModel {
    id: u64,
    policy: DuplicatePolicy,
}

/// What was done, and what of it must survive.
#[derive(Debug, Clone, Default)]
struct World {
    tables: BTreeMap<String, TableModel>,
    /// Tables that may be there or not: making or dropping them failed halfway.
    maybe_made: Option<(String, TableModel)>,
    maybe_dropped: Option<String>,
    /// Batches and deletes in the order of their LSNs, each of any number of tables.
    log: Vec<Vec<(u64, Step)>>,
    /// How many of them were acknowledged as durable.
    acknowledged: usize,
    made: u64,
}

impl World {
    fn rows(&self, table: &TableModel, upto: usize) -> Vec<Row> {
        let steps = self.log[..upto].iter().flatten();
        replay(
            table.policy,
            steps.filter(|(of, _)| *of == table.id).map(|(_, s)| s),
        )
    }

    fn expected(&self, upto: usize) -> BTreeMap<String, Vec<Row>> {
        let tables = self.tables.iter();
        tables
            .map(|(name, t)| (name.clone(), self.rows(t, upto)))
            .collect()
    }

    /// Checks a database that was opened after a crash, and takes over what survived.
    fn settle(&mut self, db: &Tidestone, what: &str) {
        if let Some((name, table)) = self.maybe_made.take()
            && db.table(&name).is_ok()
        {
            self.tables.insert(name, table);
        }
        if let Some(name) = self.maybe_dropped.take()
            && db.table(&name).is_err()
        {
            self.tables.remove(&name);
        }
        let mut first = None;
        for upto in (self.acknowledged..=self.log.len()).rev() {
            match check(db, &self.expected(upto)) {
                Ok(()) => {
                    self.log.truncate(upto);
                    self.acknowledged = upto;
                    return;
                }
                Err(difference) => first = Some(difference),
            }
        }
        panic!(
            "{what}: none of the prefixes {}..={} is there; report {:?}; against the shortest: {}",
            self.acknowledged,
            self.log.len(),
            db.open_report(),
            first.unwrap_or_default()
        );
    }
}

fn open(disk: &SimDisk, seed: u64, options: Options) -> Result<Tidestone, Error> {
    Tidestone::builder(PATH)
        .options(options)
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(1_000_000_000_000)))
        .random(Arc::new(SeededRandom::new(seed)))
        .open_or_create()
}

fn random_time(dice: &mut Dice) -> i64 {
    match dice.roll(12) {
        0 => i64::MIN,
        1 => -dice.roll(1 << 50).cast_signed(),
        2..6 => dice.roll(60).cast_signed() * 1_000_000_000,
        _ => dice.roll(25).cast_signed(),
    }
}

fn random_row(dice: &mut Dice) -> Row {
    let mut fields = Fields::new();
    for (name, of) in FIELDS {
        if dice.roll(2) == 0 {
            fields.insert(name.to_owned(), Val::random(of, dice));
        }
    }
    (format!("host=h{}", dice.roll(6)), random_time(dice), fields)
}

fn commit(db: &Tidestone, world: &mut World, dice: &mut Dice) -> Result<(), Error> {
    let mut writer = db.writer();
    let mut batch: BTreeMap<u64, Vec<Row>> = BTreeMap::new();
    let names: Vec<String> = world.tables.keys().cloned().collect();
    // A batch of many rows goes another way into log and head than one of a few.
    let rows = match dice.roll(12) {
        0 => 250,
        _ => 1 + dice.roll(6),
    };
    for _ in 0..rows {
        let name = dice.pick(&names);
        let row = random_row(dice);
        let table = db.table(name)?;
        let (tag, value) = row.0.split_once('=').unwrap();
        let series = table.series(&[(tag, value)])?;
        let values: Vec<(&str, Value<'_>)> =
            row.2.iter().map(|(f, v)| (f.as_str(), v.value())).collect();
        writer.append_fields(&series, row.1, &values)?;
        batch.entry(world.tables[name].id).or_default().push(row);
    }
    let durability = match dice.roll(4) {
        0 => Durability::Memory,
        1 => Durability::Os,
        _ => Durability::Synced,
    };
    let ticket = match writer.commit_as(Durability::Memory) {
        Ok(ticket) => ticket,
        Err(error) => {
            assert!(writer.staged_rows() > 0, "a refused batch stays staged");
            return Err(error);
        }
    };
    let steps = batch.into_iter().map(|(id, rows)| (id, Step::Rows(rows)));
    world.log.push(steps.collect());
    match durability {
        Durability::Memory => {}
        // The next commit takes it along; an empty one waits for the last.
        Durability::Os => writer.commit_as(Durability::Os)?.wait()?,
        Durability::Synced => {
            writer.commit()?.wait()?;
            assert!(ticket.is_durable());
            world.acknowledged = world.log.len();
        }
    }
    Ok(())
}

fn step(db: &Tidestone, world: &mut World, dice: &mut Dice) -> Result<(), Error> {
    match dice.roll(30) {
        0 | 1 if world.tables.len() < 3 => make_table(db, world, dice),
        2 if world.tables.len() > 1 => {
            let names: Vec<String> = world.tables.keys().cloned().collect();
            let name = dice.pick(&names).clone();
            world.maybe_dropped = Some(name.clone());
            db.drop_table(&name)?;
            world.maybe_dropped = None;
            world.tables.remove(&name);
            Ok(())
        }
        3..6 => {
            db.flush()?;
            world.acknowledged = world.log.len();
            Ok(())
        }
        6 => {
            db.compact()?;
            world.acknowledged = world.log.len();
            Ok(())
        }
        7..10 => {
            let names: Vec<String> = world.tables.keys().cloned().collect();
            let name = dice.pick(&names);
            let (a, b) = (random_time(dice), random_time(dice));
            let range = TimeRange {
                start: a.min(b),
                end: a.max(b),
            };
            let host = (dice.roll(2) == 0).then(|| format!("h{}", dice.roll(6)));
            let tests: Vec<TagMatch> = host
                .iter()
                .map(|h| TagMatch::equal("host", h.clone()))
                .collect();
            let ticket = db.table(name)?.delete(&tests, range)?;
            let of = host.map(|h| format!("host={h}"));
            world
                .log
                .push(vec![(world.tables[name].id, Step::Delete(of, range))]);
            if dice.roll(2) == 0 {
                ticket.wait()?;
                world.acknowledged = world.log.len();
            }
            Ok(())
        }
        10 => {
            db.sync()?;
            world.acknowledged = world.log.len();
            Ok(())
        }
        _ => commit(db, world, dice),
    }
}

fn make_table(db: &Tidestone, world: &mut World, dice: &mut Dice) -> Result<(), Error> {
    world.made += 1;
    let table = TableModel {
        id: world.made,
        policy: *dice.pick(&[
            DuplicatePolicy::Replace,
            DuplicatePolicy::All,
            DuplicatePolicy::First,
        ]),
    };
    let name = format!("table {}", world.made % 4);
    if world.tables.contains_key(&name) {
        return Ok(());
    }
    let options = TableOptions::new()
        .policy(table.policy)
        .open_schema()
        .field("f", FieldType::F64)
        .partition(Duration::from_secs(*dice.pick(&[1, 20, 86_400])))
        .future_bound(None);
    world.maybe_made = Some((name.clone(), table.clone()));
    db.create_table(&name, options)?;
    world.maybe_made = None;
    world.tables.insert(name, table);
    Ok(())
}

/// Makes a database with one table.
fn begin(seed: u64) -> (SimDisk, Tidestone, World, Dice) {
    let (disk, mut world, mut dice) = (SimDisk::new(), World::default(), Dice(seed));
    let db = open(&disk, seed, quiet()).unwrap();
    make_table(&db, &mut world, &mut dice).unwrap();
    (disk, db, world, dice)
}

const STEPS: usize = 60;

/// How many changes of the disk a history makes.
fn changes_of(seed: u64) -> u64 {
    let (disk, db, mut world, mut dice) = begin(seed);
    let before = disk.changes();
    for n in 0..STEPS {
        step(&db, &mut world, &mut dice)
            .unwrap_or_else(|e| panic!("seed {seed}, step {n}, no fault: {e}"));
    }
    check(&db, &world.expected(world.log.len()))
        .unwrap_or_else(|e| panic!("seed {seed}, no fault: {e}"));
    disk.changes() - before
}

/// Goes on with a database that was opened after a crash, closes it and opens it again.
fn go_on(disk: &SimDisk, seed: u64, mut world: World, what: &str) {
    let db = open(disk, seed, quiet()).unwrap_or_else(|e| panic!("{what}: {e}"));
    world.settle(&db, what);
    let mut dice = Dice(seed ^ 0xabcd);
    for n in 0..15 {
        step(&db, &mut world, &mut dice)
            .unwrap_or_else(|e| panic!("{what}, step {n} behind it: {e}"));
    }
    check(&db, &world.expected(world.log.len())).unwrap_or_else(|e| panic!("{what}, live: {e}"));
    db.close().unwrap();
    let db = open(disk, seed ^ 0x77, quiet()).unwrap();
    check(&db, &world.expected(world.log.len()))
        .unwrap_or_else(|e| panic!("{what}, closed and opened: {e}"));
}

#[test]
fn after_a_power_loss_what_was_acknowledged_is_there_and_the_rest_is_a_prefix() {
    for seed in seeds(8) {
        let changes = changes_of(seed);
        let mut calls = Dice(seed + 99);
        for _ in 0..25 {
            let call = calls.roll(changes);
            let (disk, db, mut world, mut dice) = begin(seed);
            disk.inject(Fault::FromCall(call));
            let mut error = None;
            for _ in 0..STEPS {
                error = step(&db, &mut world, &mut dice).err();
                if error.is_some() {
                    break;
                }
            }
            let odds = calls.roll(5);
            let left = disk.after_torn_power_loss(|| calls.roll(4) < odds);
            // What was lost is gone; what is live is all there, but for a table that was perhaps dropped.
            if error.is_some() && world.maybe_dropped.is_none() {
                check(&db, &world.expected(world.log.len()))
                    .unwrap_or_else(|e| panic!("seed {seed}, call {call}, reads go on: {e}"));
            }
            drop(db);
            go_on(
                &left,
                seed + 1_000 + call,
                world,
                &format!("seed {seed}, call {call}"),
            );
        }
    }
}

#[test]
fn a_kill_and_a_power_loss_right_after_reopening_lose_nothing_that_was_seen() {
    for seed in seeds(20) {
        let (disk, db, mut world, mut dice) = begin(seed);
        for _ in 0..dice.roll(STEPS as u64) {
            step(&db, &mut world, &mut dice).unwrap();
        }
        let killed = disk.after_kill();
        drop(db);
        let what = format!("seed {seed}, killed");
        let db = open(&killed, seed + 1, quiet()).unwrap_or_else(|e| panic!("{what}: {e}"));
        world.settle(&db, &what);
        let left = killed.after_power_loss(|_| false);
        drop(db);
        let what = format!("seed {seed}, power lost behind the kill");
        let db = open(&left, seed + 2, quiet()).unwrap_or_else(|e| panic!("{what}: {e}"));
        world.settle(&db, &what);
        drop(db);
        go_on(&left, seed + 3, world, &what);
    }
}

#[test]
fn kills_in_the_middle_of_calls_lose_nothing_that_was_seen() {
    for seed in seeds(6) {
        let changes = changes_of(seed);
        let mut calls = Dice(seed + 7);
        for _ in 0..20 {
            let call = calls.roll(changes);
            let (disk, db, mut world, mut dice) = begin(seed);
            disk.inject(Fault::FromCall(call));
            while step(&db, &mut world, &mut dice).is_ok() {}
            // The process dies with calls half done; the next one opens and loses power.
            let killed = disk.after_kill();
            drop(db);
            let what = format!("seed {seed}, killed in call {call}");
            let db = open(&killed, seed + 1, quiet()).unwrap_or_else(|e| panic!("{what}: {e}"));
            world.settle(&db, &what);
            let left = killed.after_torn_power_loss(|| calls.roll(3) == 0);
            drop(db);
            go_on(&left, seed + 2, world, &format!("{what}, then power lost"));
        }
    }
}

#[test]
fn a_power_loss_at_any_step_of_opening_loses_nothing_acknowledged() {
    for seed in seeds(2) {
        let changes = changes_of(seed);
        let mut calls = Dice(seed + 31);
        for round in 0..4 {
            let (disk, db, mut world, mut dice) = begin(seed);
            disk.inject(Fault::FromCall(calls.roll(changes)));
            for _ in 0..STEPS {
                if step(&db, &mut world, &mut dice).is_err() {
                    break;
                }
            }
            let left = match round % 2 {
                0 => disk.after_torn_power_loss(|| calls.roll(2) == 0),
                _ => disk.after_kill(),
            };
            drop(db);
            let whole = left.after_kill();
            drop(open(&whole, seed + 1, quiet()).unwrap());
            for call in 0..whole.changes() {
                let what = format!("seed {seed}, round {round}, call {call}");
                let disk = left.after_kill();
                disk.inject(Fault::FromCall(call));
                let opened = open(&disk, seed + 1, quiet());
                let left = disk.after_torn_power_loss(|| calls.roll(2) == 0);
                drop(opened);
                let db = open(&left, seed + 2, quiet()).unwrap_or_else(|e| panic!("{what}: {e}"));
                world.clone().settle(&db, &what);
                db.close().unwrap();
            }
        }
    }
}

/// Runs a history in which one call fails, and opens what is left.
fn one_failure(seed: u64, fault: Fault) {
    let (disk, db, mut world, mut dice) = begin(seed);
    let what = format!("seed {seed}, {fault:?}");
    disk.inject(fault);
    for _ in 0..STEPS {
        let Err(error) = step(&db, &mut world, &mut dice) else {
            continue;
        };
        let known = matches!(error.kind(), ErrorKind::Io | ErrorKind::Poisoned);
        assert!(known, "{what}: {:?}, {error}", error.kind());
        let text = error.to_string();
        assert!(
            text.contains("injected failure"),
            "{what}: the cause is not named: {text}"
        );
        if world.maybe_made.is_some() || world.maybe_dropped.is_some() {
            break;
        }
    }
    if world.maybe_dropped.is_none() && world.maybe_made.is_none() {
        check(&db, &world.expected(world.log.len()))
            .unwrap_or_else(|e| panic!("{what}, reads go on: {e}"));
    }
    let left = disk.after_torn_power_loss(|| dice.roll(2) == 0);
    drop(db);
    go_on(&left, seed + 5_000, world, &what);
}

#[test]
fn an_error_in_any_call_loses_nothing_acknowledged() {
    for seed in seeds(6) {
        let changes = changes_of(seed);
        let mut calls = Dice(seed + 17);
        for _ in 0..25 {
            one_failure(seed, Fault::OnceAtCall(calls.roll(changes)));
        }
        for _ in 0..10 {
            one_failure(seed, Fault::OnceAtSync(calls.roll(changes / 3)));
        }
    }
}

#[test]
fn a_crash_while_a_database_is_made_leaves_a_place_to_make_it_in() {
    let whole = SimDisk::new();
    open(&whole, 1, quiet()).unwrap().close().unwrap();
    for call in 0..whole.changes() {
        for round in 0..4 {
            let disk = SimDisk::new();
            disk.inject(Fault::FromCall(call));
            let made = open(&disk, 1, quiet());
            let killed = disk.after_kill();
            let mut dice = Dice(4 * call + round);
            let left = disk.after_torn_power_loss(|| dice.roll(3) < round);
            drop(made);
            for (how, disk) in [("power lost", left), ("killed", killed)] {
                let db = open(&disk, 2, quiet())
                    .unwrap_or_else(|e| panic!("call {call}, round {round}, {how}: {e}"));
                assert!(db.tables().is_empty());
                let mut world = World::default();
                make_table(&db, &mut world, &mut Dice(3)).unwrap();
                commit(&db, &mut world, &mut Dice(3)).unwrap();
                db.sync().unwrap();
                let left = disk.after_power_loss(|_| false);
                drop(db);
                let what = format!("call {call}, round {round}, {how}, then power lost");
                let db = open(&left, 3, quiet()).unwrap_or_else(|e| panic!("{what}: {e}"));
                check(&db, &world.expected(1)).unwrap_or_else(|e| panic!("{what}: {e}"));
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_and_lets_go_on_when_there_is_space() {
    for seed in seeds(6) {
        let (disk, db, mut world, mut dice) = begin(seed);
        for _ in 0..10 {
            step(&db, &mut world, &mut dice).unwrap();
        }
        disk.inject(Fault::Capacity(0));
        let mut refused = 0;
        for n in 0..80 {
            match step(&db, &mut world, &mut dice) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::DiskFull => refused += 1,
                Err(error) => panic!("seed {seed}, step {n}: {:?} {error}", error.kind()),
            }
        }
        assert!(refused > 5, "seed {seed}: {refused}");
        (world.maybe_made, world.maybe_dropped) = (None, None);
        check(&db, &world.expected(world.log.len()))
            .unwrap_or_else(|e| panic!("seed {seed}, full: {e}"));
        disk.heal();
        for n in 0..40 {
            step(&db, &mut world, &mut dice)
                .unwrap_or_else(|e| panic!("seed {seed}, step {n} with space again: {e}"));
        }
        check(&db, &world.expected(world.log.len())).unwrap();
        let left = disk.after_power_loss(|_| false);
        drop(db);
        go_on(&left, seed + 9, world, &format!("seed {seed}"));
    }
}

#[test]
fn a_database_on_a_full_disk_opens_and_drops_a_table() {
    let (disk, db, mut world, mut dice) = begin(1);
    for n in 0..30 {
        let options = TableOptions::new().field("text", FieldType::String);
        let table = db.table_or_create("large", options).unwrap();
        let series = table.series(&[("host", "a")]).unwrap();
        let mut writer = db.writer();
        let text: String = (0..40_000)
            .map(|_| char::from(b'a' + u8::try_from(dice.roll(26)).unwrap()))
            .collect();
        writer.append(&series, n, &[Value::String(&text)]).unwrap();
        writer.commit_and_wait().unwrap();
    }
    db.flush().unwrap();
    // Until no log file is ready and none can be made.
    disk.inject(Fault::Capacity(0));
    let mut refused = 0;
    while refused < 20 {
        match step(&db, &mut world, &mut dice) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::DiskFull => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    drop(db);
    let disk = disk.after_power_loss(|_| false);
    let used = disk.used();
    disk.inject(Fault::Capacity(used));
    let mut full = 0;
    // However often: what lets it open is there again once there is space.
    for seed in 0..3 {
        let db = open(&disk, seed, quiet()).unwrap();
        match db.drop_table("large") {
            Ok(()) => {}
            Err(error) => assert_eq!((error.kind(), seed > 0), (ErrorKind::NotFound, true)),
        }
        full += u64::from(disk.used() >= used);
        drop(db);
    }
    assert_eq!(full, 0, "what was dropped is free");
    disk.heal();
    (world.maybe_made, world.maybe_dropped) = (None, None);
    go_on(&disk, 9, world, "with space again");
}

#[test]
fn a_manifest_written_anew_with_failures_does_not_fork_history() {
    // The eighteenth edit of this length makes the manifest be written anew. One of the calls for
    // that fails, and power a few calls later.
    for failing in 0..12 {
        for end in failing + 1..failing + 7 {
            let (disk, db, mut world, _) = begin(1);
            let field = "x".repeat(60_000);
            for _ in 0..17 {
                let options = TableOptions::new().field(&field, FieldType::F64);
                db.create_table("big", options).unwrap();
                db.drop_table("big").unwrap();
            }
            disk.inject(Fault::OnceAtCall(failing));
            disk.inject(Fault::FromCall(end));
            let (start, mut possible) = (disk.changes(), vec![false]);
            // Once power has failed nothing more is tried: what was answered before is certain.
            while disk.changes() - start <= end {
                let options = TableOptions::new().field(&field, FieldType::F64);
                match db.create_table("big", options) {
                    Ok(_) => possible = vec![true],
                    Err(_) => {
                        possible.push(true);
                        break;
                    }
                }
                if disk.changes() - start > end {
                    break;
                }
                match db.drop_table("big") {
                    Ok(()) => possible = vec![false],
                    Err(_) => {
                        possible.push(false);
                        break;
                    }
                }
            }
            for keep in [false, true] {
                for (how, left) in [
                    ("power", disk.after_power_loss(|_| keep)),
                    ("kill", disk.after_kill()),
                ] {
                    let what = format!("call {failing}, end {end}, keep {keep}, {how}");
                    let db = open(&left, 5, quiet()).unwrap_or_else(|e| panic!("{what}: {e}"));
                    let there = db.table("big").is_ok();
                    assert!(
                        possible.contains(&there),
                        "{what}: {there}, not in {possible:?}"
                    );
                    if there {
                        db.drop_table("big").unwrap();
                    }
                    world.settle(&db, &what);
                }
            }
        }
    }
}

#[test]
fn a_table_that_was_perhaps_dropped_takes_no_rows_that_could_be_lost() {
    // The first three changes of the disk that dropping a table makes fail; then nothing does.
    for call in 0..3 {
        let (disk, db, mut world, mut dice) = begin(1);
        commit(&db, &mut world, &mut dice).unwrap();
        let table = db.tables().remove(0);
        let series = table.series(&[("host", "h1")]).unwrap();
        disk.inject(Fault::OnceAtCall(call));
        let dropped = db.drop_table(table.name());
        let mut writer = db.writer();
        writer.append(&series, 7, &[Value::F64(1.0)]).unwrap();
        let committed = writer.commit_and_wait();
        assert!(
            dropped.is_err() || committed.is_err(),
            "call {call}: it is gone"
        );
        for keep in [false, true] {
            let left = disk.after_power_loss(|_| keep);
            let db = open(&left, 2, quiet()).unwrap();
            if committed.is_ok() {
                let table = db.table(table.name());
                let table = table.unwrap_or_else(|e| panic!("call {call}, keep {keep}: {e}"));
                let rows = common::contents(&table);
                let has = rows
                    .iter()
                    .any(|(name, time, _)| (name.as_str(), *time) == ("host=h1", 7));
                assert!(has, "call {call}, keep {keep}: {rows:?}");
            }
        }
    }
}

#[test]
fn a_manifest_on_a_full_disk_refuses_and_goes_on_when_there_is_space() {
    let (disk, db, mut world, mut dice) = begin(1);
    disk.inject(Fault::Capacity(0));
    let field = "x".repeat(60_000);
    let options = || TableOptions::new().field(&field, FieldType::F64);
    let error = loop {
        match db.create_table("big", options()) {
            Ok(_) => db.drop_table("big").unwrap(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    disk.heal();
    db.create_table("big", options()).unwrap();
    db.drop_table("big").unwrap();
    commit(&db, &mut world, &mut dice).unwrap();
    db.flush().unwrap();
    world.acknowledged = world.log.len();
    let left = disk.after_power_loss(|_| false);
    drop(db);
    go_on(&left, 7, world, "after a full disk");
}
