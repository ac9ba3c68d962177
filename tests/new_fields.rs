//! Fields that writes add to a table with an open schema: those of a batch or row are added together, in
//! one edit of the manifest, or none is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and start threads"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use common::{contents, quiet};
use tidestone::io::{Call, Fault, SimDisk};
use tidestone::{Batch, ErrorKind, Result, Table, TableOptions, Tidestone, Value, Writer};

fn open(disk: &SimDisk) -> Tidestone {
    let builder = Tidestone::builder("/db").options(quiet());
    builder
        .disk(Arc::new(disk.clone()))
        .open_or_create()
        .unwrap()
}

fn open_table(db: &Tidestone) -> Table {
    db.table_or_create("t", TableOptions::new().open_schema())
        .unwrap()
}

fn names(table: &Table) -> Vec<String> {
    let schema = table.schema();
    schema.fields.iter().map(|f| f.name.clone()).collect()
}

/// A way to write a row that names fields.
type Write = fn(&mut Writer, &Table, &[String]) -> Result<()>;

fn write_batch(writer: &mut Writer, table: &Table, fields: &[String]) -> Result<()> {
    let series = table.series(&[("host", "a")])?;
    let batch = Batch::of_series(&series, vec![1]);
    let with = |batch: Batch, field: &String| batch.f64(field, vec![1.0]);
    writer.append_batch(fields.iter().fold(batch, with))
}

fn write_row(writer: &mut Writer, table: &Table, fields: &[String]) -> Result<()> {
    let series = table.series(&[("host", "a")])?;
    let row: Vec<(&str, Value<'_>)> = fields.iter().map(|f| (&**f, Value::F64(1.0))).collect();
    writer.append_fields(&series, 1, &row)
}

const WAYS: [(&str, Write); 2] = [("batch", write_batch), ("row", write_row)];

/// Syncs of the manifest from now on.
fn count_syncs(disk: &SimDisk) -> Arc<AtomicU64> {
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = syncs.clone();
    disk.watch(move |call, path| {
        if call == Call::Sync && path.extension().is_some_and(|e| e == "manifest") {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    syncs
}

#[test]
fn many_new_fields_are_one_edit() {
    for (way, write) in WAYS {
        let disk = SimDisk::new();
        let db = open(&disk);
        let table = open_table(&db);
        let fields: Vec<String> = (0..4_000).map(|i| format!("f{i}")).collect();
        let mut writer = db.writer();
        let syncs = count_syncs(&disk);
        write(&mut writer, &table, &fields).unwrap();
        assert_eq!(syncs.load(Ordering::Relaxed), 1, "{way}");
        assert_eq!(names(&table), fields, "{way}");
        write(&mut writer, &table, &fields).unwrap();
        assert_eq!(syncs.load(Ordering::Relaxed), 1, "{way}: they are there");
        writer.commit_and_wait().unwrap();
        let rows = contents(&table);
        assert_eq!(rows[0].2.len(), fields.len(), "{way}");
        db.close().unwrap();
    }
}

#[test]
fn a_full_disk_refuses_all_new_fields_of_a_write() {
    for (way, write) in WAYS {
        let disk = SimDisk::new();
        let db = open(&disk);
        let table = open_table(&db);
        write(&mut db.writer(), &table, &["first".to_owned()]).unwrap();
        // More than the manifest has room for, and each but a part of it.
        let fields: Vec<String> = (0..20).map(|i| format!("{i:050000}")).collect();
        disk.inject(Fault::Capacity(disk.used()));
        let mut writer = db.writer();
        let error = write(&mut writer, &table, &fields).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{way}: {error}");
        assert_eq!(names(&table).len(), 1, "{way}");
        assert_eq!(writer.staged_rows(), 0, "{way}");
        disk.heal();
        write(&mut writer, &table, &fields).unwrap();
        assert_eq!(names(&table).len(), 21, "{way}");
        db.close().unwrap();
    }
}

/// Whichever call fails: what is left has all of the new fields or none, and those that a writer was told
/// are there.
#[test]
fn new_fields_survive_a_failing_disk_together() {
    let fields: Vec<String> = (0..5).map(|i| format!("f{i}")).collect();
    for (way, write) in WAYS {
        let mut outcomes = BTreeSet::new();
        let mut calls = 1;
        let mut fails_at = 0;
        while fails_at <= calls {
            let disk = SimDisk::new();
            let db = open(&disk);
            let table = open_table(&db);
            write(&mut db.writer(), &table, &["first".to_owned()]).unwrap();
            let before = disk.changes_in("/db/manifest");
            disk.inject(Fault::OnceIn("/db/manifest", fails_at));
            let written = write(&mut db.writer(), &table, &fields);
            calls = disk.changes_in("/db/manifest") - before;
            let what = format!("{way}, call {fails_at}: {written:?}");
            let there = if written.is_ok() { 6 } else { 1 };
            assert_eq!(names(&table).len(), there, "{what}");
            for image in [disk.after_power_loss(|_| false), disk.after_kill()] {
                let left = names(&open_table(&open(&image))).len();
                outcomes.insert((written.is_ok(), left));
            }
            fails_at += 1;
        }
        let all = BTreeSet::from([(false, 1), (false, 6), (true, 6)]);
        assert_eq!(outcomes, all, "{way}");
    }
}

/// Writers that know nothing of each other name the same new fields: those whose types agree are all
/// served; of those whose types do not, one, and nothing is added for the others.
#[test]
fn writers_that_add_the_same_fields_at_once_agree_or_are_refused() {
    const THREADS: usize = 4;
    let disk = SimDisk::new();
    let db = open(&disk);
    let table = open_table(&db);
    let series = table.series(&[("host", "a")]).unwrap();
    let at_once = Barrier::new(THREADS);
    for round in 0..50 {
        let before = names(&table).len();
        let shared = format!("shared-{round}");
        let write = |thread: usize| {
            let mut writer = db.writer();
            let own = format!("own-{round}-{thread}");
            let batch = Batch::of_series(&series, vec![1]).bool(&own, vec![true]);
            // In every other round no two are of one mind.
            let batch = match (round % 2, thread) {
                (0, _) | (1, 0) => batch.f64(&shared, vec![1.0]),
                (_, 1) => batch.i64(&shared, vec![1]),
                (_, 2) => batch.u64(&shared, vec![1]),
                _ => batch.bool(&shared, vec![true]),
            };
            at_once.wait();
            (own, writer.append_batch(batch))
        };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let threads = (0..THREADS).map(|n| scope.spawn(move || write(n)));
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let served = outcomes.iter().filter(|(_, written)| written.is_ok());
        let expected = if round % 2 == 0 { THREADS } else { 1 };
        assert_eq!(served.count(), expected, "round {round}");
        for (own, written) in &outcomes {
            assert_eq!(table.field(own).is_ok(), written.is_ok(), "{own}");
            if let Err(error) = written {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                assert!(error.to_string().contains(&shared), "{error}");
            }
        }
        assert_eq!(names(&table).len(), before + expected + 1, "round {round}");
    }
    db.close().unwrap();
}
