//! Series of which a repair drops all segments: they are gone, or go on under their ids; index and files
//! agree, and no id is given twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and changes the machine's own files"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{contents, copy_tree, quiet};
use tempfile::TempDir;
use tidestone::maintenance::{Step, plan_repair, repair, verify};
use tidestone::{Batch, FieldType, SeriesId, Table, TableOptions, Tidestone, Value};

/// A time that no row had before the damage.
const NEW: i64 = 1_000_000;

fn make(path: &Path) -> (Tidestone, Table) {
    let db = Tidestone::create(path, quiet()).unwrap();
    let options = TableOptions::new()
        .field("v", FieldType::I64)
        .field("text", FieldType::String)
        .future_bound(None);
    let table = db.create_table("t", options).unwrap();
    (db, table)
}

fn write(db: &Tidestone, table: &Table, host: &str, times: std::ops::Range<i64>) -> SeriesId {
    let series = table.series(&[("host", host)]).unwrap();
    let mut writer = db.writer();
    for time in times {
        writer
            .append(&series, time, &[Value::I64(time), Value::String("text")])
            .unwrap();
    }
    writer.commit_and_wait().unwrap();
    series.id()
}

/// Hosts, and times of their rows.
type Rows = Vec<(String, i64)>;

fn rows_of(host: &str, times: std::ops::Range<i64>) -> Rows {
    times.map(|time| (format!("host={host}"), time)).collect()
}

fn rows(table: &Table) -> Rows {
    let rows = contents(table).into_iter();
    let mut rows: Rows = rows.map(|(series, time, _)| (series, time)).collect();
    rows.sort();
    rows
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(segments(&path)),
            false => found.push(path),
        }
    }
    found
}

fn flip(path: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// A database with a segment of series a and b, one of b, and rows of both in the log, that was not closed.
/// The ids of the two.
fn make_two(path: &Path) -> (PathBuf, [SeriesId; 2]) {
    let (db, table) = make(path);
    let ids = ["a", "b"].map(|host| write(&db, &table, host, 0..3));
    db.flush().unwrap();
    let first = segments(&path.join("segments")).remove(0);
    write(&db, &table, "b", 3..6);
    db.flush().unwrap();
    write(&db, &table, "a", 6..9);
    write(&db, &table, "b", 6..9);
    (first, ids)
}

/// What is left of series a and b.
struct Left {
    rows: Rows,
    /// The ids they had.
    ids: [SeriesId; 2],
    /// Whether they go on under them.
    keep: [bool; 2],
}

impl Left {
    fn has_rows_of(&self, table: &Table, what: &str) {
        let (found, expected) = (rows(table), self.rows.len());
        assert!(
            found == self.rows,
            "{what}: {} rows, not {expected}",
            found.len()
        );
    }

    /// Checks that a repaired database is sound and has this left, and goes on with it.
    fn check(mut self, path: &Path, what: &str) {
        assert_eq!(verify(path).unwrap().damage, [], "{what}");
        assert_eq!(plan_repair(path).unwrap().steps, [], "{what}");
        let db = Tidestone::open(path, quiet()).unwrap();
        let table = db.table("t").unwrap();
        self.rows.sort();
        self.has_rows_of(&table, what);
        let last = self.ids[1];
        for (host, (before, keep)) in ["a", "b"]
            .into_iter()
            .zip(self.ids.into_iter().zip(self.keep))
        {
            let id = write(&db, &table, host, NEW..NEW + 1);
            let new = id != before;
            assert_eq!(!new, keep, "{what}: {host} was {before}, is {id}");
            assert!(!new || id > last, "{what}: {id} was given before");
        }
        let new = write(&db, &table, "c", NEW..NEW + 1);
        assert!(new > last, "{what}: {new} was given before");
        for host in ["a", "b", "c"] {
            self.rows.extend(rows_of(host, NEW..NEW + 1));
        }
        self.rows.sort();
        db.flush().unwrap();
        db.compact().unwrap();
        self.has_rows_of(&table, what);
        db.close().unwrap();
        drop((db, table));
        assert_eq!(verify(path).unwrap().damage, [], "{what}");
        let db = Tidestone::open(path, quiet()).unwrap();
        assert_eq!(db.open_report().index_rebuilt, None, "{what}");
        let table = db.table("t").unwrap();
        assert_eq!(table.series_count().unwrap(), 3, "{what}");
        self.has_rows_of(&table, what);
    }
}

#[test]
fn a_series_that_only_a_dropped_segment_had_is_gone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    let a = write(&db, &table, "a", 0..3);
    db.flush().unwrap();
    let first = segments(&path.join("segments")).remove(0);
    let b = write(&db, &table, "b", 3..6);
    db.close().unwrap();
    drop((db, table));
    flip(&first, |len| len - 20);
    let plan = repair(&path).unwrap();
    assert!(
        matches!(plan.steps[..], [Step::DropSegment { rows: 3, .. }]),
        "{plan:?}"
    );
    let left = Left {
        rows: rows_of("b", 3..6),
        ids: [a, b],
        keep: [false, true],
    };
    left.check(&path, "");
}

#[test]
fn a_series_that_loses_its_rows_and_not_their_segment_is_as_it_was() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    let mut writer = db.writer();
    let ids = ["a", "b"].map(|host| {
        let series = table.series(&[("host", host)]).unwrap();
        let times: Vec<i64> = (0..65_536).collect();
        // Values that take more bytes than their index.
        let values = times.iter().map(|i| i.wrapping_mul(0x1e37_79b9_7f4a_7c15));
        let batch = Batch::of_series(&series, times.clone()).i64("v", values.collect());
        writer.append_batch(batch).unwrap();
        series.id()
    });
    writer.commit_and_wait().unwrap();
    db.close().unwrap();
    drop((writer, db, table));
    let segment = segments(&path.join("segments")).remove(0);
    flip(&segment, |len| len * 3 / 4);
    let plan = repair(&path).unwrap();
    let [
        Step::DropRows {
            rows: 65_536,
            groups,
            ..
        },
    ] = &plan.steps[..]
    else {
        panic!("{plan:?}");
    };
    let kept = if groups[0] == 0 { "b" } else { "a" };
    let left = Left {
        rows: rows_of(kept, 0..65_536),
        ids,
        keep: [true, true],
    };
    left.check(&path, "");
}

/// Wherever a segment is damaged that has the only definition of a series of which the log has rows: they are
/// kept where index or segment still tell the key; where nothing does, the plan says so.
#[test]
fn rows_in_the_log_are_kept_as_long_as_anything_tells_their_series() {
    let dir = TempDir::new().unwrap();
    let made = dir.path().join("made");
    let (first, ids) = make_two(&made);
    let len = fs::read(&first).unwrap().len();
    let name = first.strip_prefix(&made).unwrap();
    let path = dir.path().join("db");
    let (mut nameless, mut told_by_segment) = (0, 0);
    let places = (0..len).step_by(len / 16).map(|at| (at, false));
    for (at, with_index) in places.chain([(len - 20, true), (len - 20, false)]) {
        let what = format!("damaged at {at} of {len}, with index: {with_index}");
        let _ = fs::remove_dir_all(&path);
        copy_tree(&made, &path);
        flip(&path.join(name), |_| at);
        if !with_index {
            fs::remove_dir_all(path.join("index")).unwrap();
        }
        let plan = plan_repair(&path).unwrap();
        assert_eq!(repair(&path).unwrap(), plan, "{what}");
        let mut rows = [rows_of("b", 3..9), rows_of("a", 6..9)].concat();
        let mut keep = [true, true];
        match &plan.steps[..] {
            // Nothing of what is read, or what lies between.
            [] | [Step::RewriteSegment { rows: 6, .. }] => continue,
            [Step::DropRows { rows: 6, .. }] => {}
            [Step::DropSegment { rows: 6, .. }] => told_by_segment += u64::from(!with_index),
            [
                Step::DropSegment { .. },
                Step::DropNameless {
                    series: 1, rows: 3, ..
                },
            ] => {
                assert!(!with_index, "{what}");
                nameless += 1;
                rows.retain(|(host, _)| host == "host=b");
                keep = [false, true];
            }
            other => panic!("{what}: {other:?}"),
        }
        let left = Left { rows, ids, keep };
        left.check(&path, &what);
    }
    assert!(
        nameless > 0 && told_by_segment > 0,
        "{nameless}, {told_by_segment}"
    );
}
