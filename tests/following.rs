//! Readers that follow a writer: what they see is what was durable, whatever the writer does, and
//! what they still need stays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Dice, Row, Step, Val, contents, difference, quiet, replay, seeds, try_contents};
use tidestone::io::{Call, Disk, SimDisk};
use tidestone::{
    DuplicatePolicy, Durability, ErrorKind, FieldType, ManualClock, SeededRandom, Table,
    TableOptions, Tidestone, TimeRange, Value,
};

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_000_000 * SECOND;

fn builder(disk: &SimDisk, seed: u64) -> tidestone::Builder {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(NOW)))
        .random(Arc::new(SeededRandom::new(seed)))
}

fn table_options(policy: DuplicatePolicy) -> TableOptions {
    TableOptions::new()
        .field("n", FieldType::I64)
        .open_schema()
        .policy(policy)
        .partition(Duration::from_secs(10))
}

/// A database with one table and its writer's handle.
fn database(disk: &SimDisk) -> (Tidestone, Table) {
    let db = builder(disk, 1).create().unwrap();
    let table = db
        .create_table("t", table_options(DuplicatePolicy::All))
        .unwrap();
    (db, table)
}

fn append(db: &Tidestone, table: &Table, host: &str, time: i64) {
    let series = table.series(&[("host", host)]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, time, &[Value::I64(time)]).unwrap();
    writer.commit_and_wait().unwrap();
}

fn times(table: &Table) -> Vec<i64> {
    contents(table).into_iter().map(|row| row.1).collect()
}

fn segment_files(disk: &SimDisk) -> Vec<PathBuf> {
    let mut paths = disk.paths();
    paths.retain(|path| path.starts_with("/db/segments"));
    paths
}

#[test]
fn only_what_is_durable_is_seen() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    append(&db, &table, "a", 1);
    let reader = builder(&disk, 2).open_read_only().unwrap();
    let seen = reader.table("t").unwrap();
    assert_eq!(times(&seen), [1]);
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 2, &[Value::I64(2)]).unwrap();
    let written = writer.commit_as(Durability::Os).unwrap();
    written.wait().unwrap();
    reader.refresh().unwrap();
    assert_eq!(times(&seen), [1], "the next power loss may take it");
    let opened = builder(&disk, 3).open_read_only().unwrap();
    assert_eq!(times(&opened.table("t").unwrap()), [1]);
    db.sync().unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(times(&seen), [1, 2]);
    assert_eq!(reader.durable_lsn(), db.durable_lsn());
    assert!(!reader.refresh().unwrap(), "nothing is new");
    db.close().unwrap();
}

#[test]
fn a_segment_stays_as_long_as_a_reader_may_open_it() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    for time in 1..4 {
        append(&db, &table, "a", time);
        db.flush().unwrap();
    }
    let before = segment_files(&disk);
    assert_eq!(before.len(), 3);
    let reader = builder(&disk, 2).open_read_only().unwrap();
    assert_eq!(reader.open_report().unleased, None);
    let seen = reader.table("t").unwrap();
    db.compact().unwrap();
    let status = db.status().unwrap().readers;
    assert_eq!((status.leases, status.kept_files), (1, 3));
    assert!(status.kept_bytes > 0);
    // They are opened now, for the first time.
    assert_eq!(times(&seen), [1, 2, 3]);
    let mut old = seen.query().scan().unwrap();
    reader.refresh().unwrap();
    assert_eq!(times(&seen), [1, 2, 3]);
    append(&db, &table, "a", 4);
    db.flush().unwrap();
    let status = db.status().unwrap().readers;
    assert_eq!(
        (status.leases, status.kept_files),
        (2, 3),
        "a query of the older version is under way"
    );
    assert_eq!(old.next().unwrap().unwrap().len(), 3);
    drop(old);
    append(&db, &table, "a", 5);
    db.flush().unwrap();
    db.enforce_retention().unwrap();
    let status = db.status().unwrap().readers;
    assert_eq!((status.leases, status.kept_files), (1, 0));
    assert!(before.iter().all(|old| !segment_files(&disk).contains(old)));
    reader.close().unwrap();
    assert_eq!(db.status().unwrap().readers.leases, 0);
    db.close().unwrap();
}

#[test]
fn what_a_reader_needs_survives_the_next_open_for_writing() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    for time in 1..4 {
        append(&db, &table, "a", time);
        db.flush().unwrap();
    }
    let reader = builder(&disk, 2).open_read_only().unwrap();
    db.compact().unwrap();
    db.close().unwrap();
    drop((table, db));
    let db = builder(&disk, 3).open().unwrap();
    let report = db.open_report();
    assert_eq!((report.strays_removed, report.strays_kept), (0, 3));
    assert_eq!(times(&reader.table("t").unwrap()), [1, 2, 3]);
    reader.close().unwrap();
    drop(reader);
    db.enforce_retention().unwrap();
    assert_eq!(segment_files(&disk).len(), 1);
    db.close().unwrap();
}

#[test]
fn the_lease_of_a_reader_that_was_killed_keeps_nothing() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    for time in 1..4 {
        append(&db, &table, "a", time);
        db.flush().unwrap();
    }
    let reader = builder(&disk, 2).open_read_only().unwrap();
    let leases = |disk: &SimDisk| {
        let paths = disk.paths();
        let leases = paths
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "lease"));
        leases.count()
    };
    assert_eq!(leases(&disk), 1);
    db.compact().unwrap();
    let killed = disk.after_kill();
    assert_eq!((leases(&killed), segment_files(&killed).len()), (1, 4));
    let next = builder(&killed, 3).open().unwrap();
    assert_eq!(next.open_report().strays_removed, 3);
    assert_eq!((leases(&killed), segment_files(&killed).len()), (0, 1));
    drop(reader);
    db.close().unwrap();
}

#[test]
fn a_reader_without_a_lease_says_so_and_is_told_when_a_segment_is_gone() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    for time in 1..4 {
        append(&db, &table, "a", time);
        db.flush().unwrap();
    }
    // The lock of the lease is the first call that changes the folder.
    disk.inject(tidestone::io::Fault::OnceIn("/db/readers", 0));
    let reader = builder(&disk, 2).open_read_only().unwrap();
    let why = reader.open_report().unleased.clone().unwrap();
    assert!(
        why.contains("/db/readers") && why.contains("lease"),
        "{why}"
    );
    let seen = reader.table("t").unwrap();
    db.compact().unwrap();
    let error = try_contents(&seen).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("refresh"), "{error}");
    assert!(reader.refresh().unwrap());
    assert_eq!(times(&seen), [1, 2, 3]);
    db.close().unwrap();
}

#[test]
fn durable_rows_that_are_not_readable_are_an_error_and_not_fewer_rows() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    append(&db, &table, "a", 1);
    let reader = builder(&disk, 2).open_read_only().unwrap();
    append(&db, &table, "a", 2);
    append(&db, &table, "a", 3);
    let mut log = disk.paths();
    log.retain(|path| path.extension().is_some_and(|e| e == "log"));
    let sound = |disk: &SimDisk, path: &PathBuf| {
        tidestone::io::read_all(&*tidestone::io::Disk::open(disk, path).unwrap()).unwrap()
    };
    let log = log
        .iter()
        .rfind(|p| sound(&disk, p)[4096..].iter().any(|b| *b != 0));
    let log = log.unwrap().clone();
    let before = sound(&disk, &log);
    // The last group but one: the frame of the row at 2.
    let groups = (4096..before.len()).step_by(4096);
    let groups: Vec<usize> = groups.filter(|at| before[*at] != 0).collect();
    let at = groups[groups.len() - 2];
    disk.damage(&log, |bytes| bytes[at + 90] ^= 1).unwrap();
    for error in [
        reader.refresh().unwrap_err(),
        builder(&disk, 3).open_read_only().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(error.path(), Some(log.as_path()));
        assert!(
            error.to_string().contains("published as durable"),
            "{error}"
        );
    }
    assert_eq!(
        times(&reader.table("t").unwrap()),
        [1],
        "what was seen stays"
    );
    disk.damage(&log, |bytes| *bytes = before).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(times(&reader.table("t").unwrap()), [1, 2, 3]);
    db.close().unwrap();
}

#[test]
fn a_page_from_before_a_power_loss_hides_nothing() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    append(&db, &table, "a", 1);
    let page = Path::new("/db/readers/published");
    let old = tidestone::io::read_all(&*tidestone::io::Disk::open(&disk, page).unwrap()).unwrap();
    append(&db, &table, "a", 2);
    let after = disk.after_power_loss(|_| false);
    if after.paths().iter().all(|path| path != page) {
        tidestone::io::Disk::create_dir_all(&after, Path::new("/db/readers")).unwrap();
        tidestone::io::Disk::create(&after, page).unwrap();
    }
    after.damage(page, |bytes| *bytes = old).unwrap();
    let reader = builder(&after, 2).open_read_only().unwrap();
    assert_eq!(times(&reader.table("t").unwrap()), [1, 2]);
    assert!(!reader.refresh().unwrap(), "nobody writes");
    let next = builder(&after, 3).open().unwrap();
    let table = next.table("t").unwrap();
    append(&next, &table, "a", 3);
    assert!(reader.refresh().unwrap(), "somebody does");
    assert_eq!(times(&reader.table("t").unwrap()), [1, 2, 3]);
    next.close().unwrap();
    drop(db);
}

/// Manifest and log were read anew each time.
#[test]
fn where_nobody_writes_nothing_is_read_again() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    append(&db, &table, "a", 1);
    let reader = builder(&disk, 2).open_read_only().unwrap();
    let seen = reader.table("t").unwrap();
    drop((db, table));
    // The one that wrote is gone; what it left is read.
    reader.refresh().unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = calls.clone();
    disk.watch(move |call, _| {
        noted.lock().unwrap().push(call);
        Ok(())
    });
    assert!(!reader.refresh().unwrap());
    // One header, and names.
    let calls = std::mem::take(&mut *calls.lock().unwrap());
    let one = [
        Call::List,
        Call::Open,
        Call::Read,
        Call::List,
        Call::IsLocked,
    ];
    assert_eq!(calls, one);
    // Whoever writes in between is noticed, however little is left of that.
    for time in 2..12 {
        let db = builder(&disk, time).open().unwrap();
        let table = db.table("t").unwrap();
        append(&db, &table, "a", time.cast_signed());
        match time % 3 {
            0 => db.close().unwrap(),
            1 => db.flush().unwrap(),
            _ => {}
        }
        drop((db, table));
        assert!(reader.refresh().unwrap(), "{time}");
        assert_eq!(times(&seen).len() as u64, time);
        assert!(!reader.refresh().unwrap(), "{time}");
    }
}

#[test]
fn what_a_writer_that_was_killed_had_only_written_is_seen() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    let write = |db: &Tidestone, table: &Table, time: i64| {
        let series = table.series(&[("host", "a")]).unwrap();
        let mut writer = db.writer();
        writer.append(&series, time, &[Value::I64(time)]).unwrap();
        writer.commit_as(Durability::Os).unwrap().wait().unwrap();
    };
    append(&db, &table, "a", 1);
    write(&db, &table, 2);
    let killed = disk.after_kill();
    db.close().unwrap();

    let reader = Arc::new(builder(&killed, 2).open_read_only().unwrap());
    let seen = reader.table("t").unwrap();
    assert_eq!(times(&seen), [1, 2]);
    assert!(!reader.refresh().unwrap(), "nothing is new");

    // The next writer has the lock before it has published that it recovered the same.
    let asked = Arc::new(AtomicUsize::new(0));
    let (beside, count) = (reader.clone(), asked.clone());
    killed.watch(move |call, path| {
        if call == Call::Write && path.starts_with("/db/readers/published") {
            count.fetch_add(1, Ordering::SeqCst);
            beside.refresh().unwrap();
            let seen = beside.table("t").unwrap();
            assert_eq!(times(&seen)[..2], [1, 2], "what was seen is gone");
        }
        Ok(())
    });
    let db = builder(&killed, 3).open().unwrap();
    assert!(asked.load(Ordering::SeqCst) > 0);
    let table = db.table("t").unwrap();
    append(&db, &table, "a", 3);
    assert!(reader.refresh().unwrap());
    assert_eq!(times(&seen), [1, 2, 3]);
    write(&db, &table, 4);
    assert!(!reader.refresh().unwrap());
    assert_eq!(times(&seen), [1, 2, 3], "a writer lives");
    drop((db, table));
    assert!(reader.refresh().unwrap());
    assert_eq!(times(&seen), [1, 2, 3, 4]);
}

/// It saw nothing but what the writer that was killed had published: what it had synced.
#[test]
fn a_reader_that_opens_while_the_next_writer_recovers_sees_all_of_the_log() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    append(&db, &table, "a", 1);
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 2, &[Value::I64(2)]).unwrap();
    writer.commit_as(Durability::Os).unwrap().wait().unwrap();
    let killed = disk.after_kill();
    db.close().unwrap();

    let (opened, opening) = (Arc::new(AtomicUsize::new(0)), AtomicBool::new(false));
    let (count, beside) = (opened.clone(), killed.clone());
    killed.watch(move |_, _| {
        // Those of the reader itself are none of the writer's calls.
        if !opening.swap(true, Ordering::SeqCst) {
            let reader = builder(&beside, 2).open_read_only().unwrap();
            assert_eq!(times(&reader.table("t").unwrap()), [1, 2]);
            drop(reader);
            count.fetch_add(1, Ordering::SeqCst);
            opening.store(false, Ordering::SeqCst);
        }
        Ok(())
    });
    let next = builder(&killed, 3).open().unwrap();
    killed.watch(|_, _| Ok(()));
    assert!(opened.load(Ordering::SeqCst) > 20, "at each of its calls");
    let reader = builder(&killed, 2).open_read_only().unwrap();
    assert_eq!(times(&reader.table("t").unwrap()), [1, 2]);
    next.close().unwrap();
}

#[test]
fn tables_fields_and_series_come_and_go() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    append(&db, &table, "a", 1);
    let reader = builder(&disk, 2).open_read_only().unwrap();
    let seen = reader.table("t").unwrap();
    let hosts = |table: &Table| table.tag_values("host").unwrap();
    let options = table_options(DuplicatePolicy::All);
    let other = db.create_table("other", options).unwrap();
    append(&db, &other, "x", 7);
    append(&db, &table, "b", 2);
    table.add_field("more", FieldType::F64).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(times(&reader.table("other").unwrap()), [7]);
    assert_eq!(hosts(&seen), ["a", "b"]);
    assert_eq!(seen.schema().fields.len(), 2);
    let there = reader.table("other").unwrap();
    db.drop_table("other").unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(
        reader.table("other").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let error = try_contents(&there).unwrap_err();
    assert!(error.to_string().contains("was dropped"), "{error}");
    // A series whose rows are all gone is forgotten here as it is there.
    db.flush().unwrap();
    table
        .delete(
            &[tidestone::TagMatch::equal("host", "a")],
            TimeRange { start: 0, end: 1 },
        )
        .unwrap()
        .wait()
        .unwrap();
    db.compact().unwrap();
    drop((other, there));
    for _ in 0..3 {
        db.enforce_retention().unwrap();
    }
    assert_eq!(hosts(&table), ["b"]);
    assert!(reader.refresh().unwrap());
    assert_eq!(times(&seen), [2]);
    assert_eq!(hosts(&seen), ["b"]);
    db.close().unwrap();
}

/// What was done to the tables, and behind which LSN.
#[derive(Default)]
struct History {
    steps: Vec<(u64, String, Step)>,
    /// From which manifest on a table is there, or is no more.
    tables: BTreeMap<String, DuplicatePolicy>,
}

impl History {
    /// The rows of a table as of an LSN.
    fn rows(&self, table: &str, policy: DuplicatePolicy, upto: u64) -> Vec<Row> {
        let steps = self.steps.iter();
        let steps = steps.filter(|(lsn, of, _)| *lsn <= upto && of == table);
        replay(policy, steps.map(|(_, _, step)| step))
    }
}

struct Writing {
    disk: SimDisk,
    db: Tidestone,
    history: History,
    dice: Dice,
    runs: u64,
}

impl Writing {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new();
        let db = builder(&disk, seed).create().unwrap();
        let mut history = History::default();
        for (name, policy) in [
            ("all", DuplicatePolicy::All),
            ("first", DuplicatePolicy::First),
            ("replace", DuplicatePolicy::Replace),
        ] {
            db.create_table(name, table_options(policy)).unwrap();
            history.tables.insert(name.to_owned(), policy);
        }
        Self {
            disk,
            db,
            history,
            dice: Dice(seed),
            runs: 1,
        }
    }

    fn step(&mut self) {
        match self.dice.roll(24) {
            0..=13 => self.commit(),
            14 => self.delete(),
            15..=17 => self.db.flush().unwrap(),
            18 | 19 => drop(self.db.compact().unwrap()),
            20 => self.db.enforce_retention().unwrap(),
            21 => drop(self.db.sync().unwrap()),
            22 => {
                self.db.close().unwrap();
                self.reopen();
            }
            // A writer that ends without closing: what it committed is in the log.
            _ => self.reopen(),
        }
    }

    fn reopen(&mut self) {
        self.runs += 1;
        let seed = self.runs * 1_000 + self.dice.roll(1_000);
        // The old one lets go of its lock before the new one takes it.
        let nobody = builder(&SimDisk::new(), 1).create().unwrap();
        drop(std::mem::replace(&mut self.db, nobody));
        self.db = builder(&self.disk, seed).open().unwrap();
    }

    fn commit(&mut self) {
        let tables: Vec<String> = self.history.tables.keys().cloned().collect();
        let mut writer = self.db.writer();
        let mut batch: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        let rows = match self.dice.roll(6) {
            0 => 200,
            _ => 1 + self.dice.roll(6),
        };
        for _ in 0..rows {
            let name = self.dice.pick(&tables).clone();
            let table = self.db.table(&name).unwrap();
            let host = format!("h{}", self.dice.roll(4));
            let series = table.series(&[("host", host.clone())]).unwrap();
            let time = self.dice.roll(40).cast_signed() * SECOND;
            let value = self.dice.roll(1_000).cast_signed();
            let field = ["n", "m"][self.dice.index(2)];
            writer
                .append_fields(&series, time, &[(field, Value::I64(value))])
                .unwrap();
            let fields = [(field.to_owned(), Val::I64(value))].into_iter().collect();
            let row = (format!("host={host}"), time, fields);
            batch.entry(name).or_default().push(row);
        }
        let how = *self
            .dice
            .pick(&[Durability::Memory, Durability::Os, Durability::Synced]);
        let ticket = writer.commit_as(how).unwrap();
        ticket.wait().unwrap();
        for (table, rows) in batch {
            let step = Step::Rows(rows);
            self.history.steps.push((ticket.lsn().0, table, step));
        }
    }

    fn delete(&mut self) {
        let tables: Vec<String> = self.history.tables.keys().cloned().collect();
        let name = self.dice.pick(&tables).clone();
        let table = self.db.table(&name).unwrap();
        let start = self.dice.roll(30).cast_signed() * SECOND;
        let end = start + self.dice.roll(10).cast_signed() * SECOND;
        let range = TimeRange { start, end };
        let host = format!("h{}", self.dice.roll(4));
        let one = self.dice.roll(2) == 0;
        let tests = [tidestone::TagMatch::equal("host", host.clone())];
        let tests = if one { &tests[..] } else { &[] };
        let ticket = table.delete(tests, range).unwrap();
        ticket.wait().unwrap();
        let of = one.then(|| format!("host={host}"));
        let step = Step::Delete(of, range);
        self.history.steps.push((ticket.lsn().0, name, step));
    }

    fn check(&self, reader: &Tidestone, what: &str) {
        let upto = reader.durable_lsn().0;
        for (name, policy) in &self.history.tables {
            let expected = self.history.rows(name, *policy, upto);
            let actual = contents(&reader.table(name).unwrap());
            if let Some(difference) = difference(&actual, &expected) {
                panic!("{what}, table {name} as of LSN {upto}: {difference}");
            }
        }
    }
}

#[test]
fn readers_that_follow_see_what_was_durable_whatever_the_writer_does() {
    for seed in seeds(40) {
        let mut writing = Writing::new(seed);
        let open = |disk: &SimDisk, seed| builder(disk, seed).open_read_only().unwrap();
        let often = open(&writing.disk, seed + 100_000);
        let mut now_and_then = open(&writing.disk, seed + 200_000);
        let mut last = 0;
        for step in 0..80 {
            writing.step();
            let what = format!("seed {seed}, step {step}");
            often.refresh().unwrap_or_else(|e| panic!("{what}: {e}"));
            let seen = often.durable_lsn().0;
            assert!(seen >= last, "{what}: {seen} after {last}");
            assert_eq!(seen, writing.db.durable_lsn().0, "{what}");
            last = seen;
            writing.check(&often, &what);
            match writing.dice.roll(40) {
                0 => now_and_then = open(&writing.disk, seed * 100 + step),
                1..=6 => drop(now_and_then.refresh().unwrap()),
                _ => {}
            }
            writing.check(&now_and_then, &format!("{what}, the other reader"));
        }
        // The same series as who opens it now.
        let fresh = open(&writing.disk, 7);
        for name in writing.history.tables.keys() {
            let hosts = |db: &Tidestone| db.table(name).unwrap().tag_values("host").unwrap();
            assert_eq!(hosts(&often), hosts(&fresh), "seed {seed}");
        }
        drop((often, now_and_then, fresh));
        writing.db.enforce_retention().unwrap();
        let status = writing.db.status().unwrap();
        assert_eq!(status.readers.kept_files, 0, "seed {seed}");
        let live: usize = status.tables.iter().map(|t| t.segments).sum();
        assert_eq!(segment_files(&writing.disk).len(), live, "seed {seed}");
        writing.db.close().unwrap();
    }
}

#[test]
fn a_reader_is_told_that_the_database_was_closed_under_it() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    append(&db, &table, "a", 1);
    let reader = builder(&disk, 2).open_read_only().unwrap();
    let seen = reader.table("t").unwrap();
    let rows = seen.query().scan().unwrap();
    let series = seen.series(&[("host", "a")]).unwrap();
    reader.close().unwrap();
    assert_eq!(reader.refresh().unwrap_err().kind(), ErrorKind::Closed);
    // It is not told that the table was dropped: nobody did that.
    let asked = [
        rows.key(series.id()).map(drop),
        seen.query().scan().map(drop),
        seen.query().last().map(drop),
        seen.tag_values("host").map(drop),
    ];
    for (i, answer) in asked.into_iter().enumerate() {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{i}: {error}");
    }
    assert!(!db.refresh().unwrap(), "who writes sees everything");
    db.close().unwrap();
}

/// It held the lock until it had read the last segment: nobody could open the database for hours.
#[test]
fn a_writer_opens_and_merges_while_verify_reads_segments() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    for time in 0..3 {
        append(&db, &table, "a", time * SECOND);
        db.flush().unwrap();
    }
    append(&db, &table, "a", 3 * SECOND);
    db.close().unwrap();
    let opened = Arc::new(AtomicUsize::new(0));
    let (within, count) = (disk.clone(), opened.clone());
    disk.watch(move |call, path| {
        let is_segment = path.extension().is_some_and(|e| e == "seg");
        if matches!(call, Call::Read | Call::Map | Call::Open)
            && is_segment
            && count.fetch_add(1, Ordering::SeqCst) == 0
        {
            let db = builder(&within, 2).open().unwrap();
            let table = db.table("t").unwrap();
            append(&db, &table, "a", 4 * SECOND);
            db.compact().unwrap();
            db.close().unwrap();
        }
        Ok(())
    });
    let report = builder(&disk, 3).verify().unwrap();
    assert!(opened.load(Ordering::SeqCst) > 0);
    assert_eq!(report.damage, [], "{report:?}");
    assert_eq!(report.rows, 4, "{report:?}");
    let db = builder(&disk, 4).open().unwrap();
    assert_eq!(times(&db.table("t").unwrap()).len(), 5);
}

#[test]
fn verify_waits_a_moment_for_a_lock_behind_which_nothing_is_published() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    append(&db, &table, "a", 0);
    db.close().unwrap();
    let held = Mutex::new(Some(disk.lock(Path::new("/db/LOCK")).unwrap()));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    disk.watch(move |call, path| {
        if call == Call::Lock && path.ends_with("LOCK") && count.fetch_add(1, Ordering::SeqCst) == 2
        {
            held.lock().unwrap().take();
        }
        Ok(())
    });
    let report = builder(&disk, 3).verify().unwrap();
    assert_eq!((report.damage, report.rows), (Vec::new(), 1));
    // Where it is not let go of it is an error, after a while.
    let _held = disk.lock(Path::new("/db/LOCK")).unwrap();
    let error = builder(&disk, 3).verify().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert!(asked.load(Ordering::SeqCst) > 20);
}

/// Writers that live for a moment each make the file of a number and remove it again.
#[test]
fn a_reader_looks_again_where_writers_that_come_and_go_remove_a_log_file() {
    let disk = SimDisk::new();
    let (db, table) = database(&disk);
    append(&db, &table, "a", 0);
    db.close().unwrap();
    let failed = Arc::new(AtomicUsize::new(0));
    let (count, within) = (failed.clone(), disk.clone());
    let writer = Mutex::new(Some(within.lock(Path::new("/db/LOCK")).unwrap()));
    disk.watch(move |call, path| {
        let is_log = path.extension().is_some_and(|e| e == "log");
        if call == Call::Open && is_log {
            if count.fetch_add(1, Ordering::SeqCst) < 20 {
                return Err(std::io::ErrorKind::NotFound.into());
            }
            writer.lock().unwrap().take();
        }
        Ok(())
    });
    let reader = builder(&disk, 3).open_read_only().unwrap();
    assert!(failed.load(Ordering::SeqCst) > 20);
    assert_eq!(times(&reader.table("t").unwrap()), [0]);
}
