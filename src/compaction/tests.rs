//! What merging makes of scattered rows, what it gives up, and what it says of it.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::io::SimDisk;
use crate::{
    FieldType, Options, ReadMode, Table, TableOptions, TagMatch, Tidestone, TimeRange, Value,
};

const SECOND: i64 = 1_000_000_000;

fn database(read_mode: ReadMode) -> Tidestone {
    Tidestone::builder("/db")
        .disk(Arc::new(SimDisk::new()))
        .options(Options {
            auto_compact: false,
            flush_after: None,
            read_mode,
            ..Options::default()
        })
        .create()
        .unwrap()
}

fn write(db: &Tidestone, table: &Table, time: i64) {
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, time, &[Value::I64(time)]).unwrap();
    drop(writer.commit().unwrap());
    db.flush().unwrap();
}

fn segments(db: &Tidestone) -> Vec<Arc<Segment>> {
    let version = db.engine().store.version();
    let all = version.tables.values().flat_map(|t| &t.segments);
    all.cloned().collect()
}

#[test]
fn what_is_too_much_for_one_segment_is_left_as_it_is_and_is_no_failure() {
    let db = database(ReadMode::default());
    let options = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", options).unwrap();
    (0..3).for_each(|time| write(&db, &table, time));
    let large = segments(&db);
    let refused = Error::new(ErrorKind::Invalid, "more than a segment can hold");
    give_up_on(&large, refused, &mut db.engine().compacting.lock()).unwrap();
    assert_eq!(db.compact().unwrap(), 0);
    // What comes later is merged beside them.
    (3..6).for_each(|time| write(&db, &table, time));
    assert_eq!(db.compact().unwrap(), 1);
    let uuids =
        |segments: &[Arc<Segment>]| -> Vec<_> { segments.iter().map(|s| s.entry.uuid).collect() };
    let after = segments(&db);
    assert_eq!(after.len(), 4);
    assert!(uuids(&large).iter().all(|u| uuids(&after).contains(u)));
    // What says nothing about the inputs is returned, and gives up nothing.
    let full = Error::new(ErrorKind::DiskFull, "no space");
    let mut given_up = Unmergeable::default();
    assert!(give_up_on(&after, full, &mut given_up).is_err() && given_up.is_empty());
    db.close().unwrap();
}

/// Rows of two series in turn, each in a partition of its own, by some flushes out of order.
fn scatter(db: &Tidestone, rows: i64, flushes: i64) -> Table {
    let options = TableOptions::new()
        .field("v", FieldType::I64)
        .partition(Duration::from_secs(1));
    let table = db.create_table("t", options).unwrap();
    let series = ["a", "b"].map(|host| table.series(&[("host", host)]).unwrap());
    for flush in 0..flushes {
        let mut writer = db.writer();
        // A prime, so that each flush has rows of all times.
        for at in (0..rows).filter(|at| at * 7_919 % rows * flushes / rows == flush) {
            let of = &series[usize::from(at % 2 == 1)];
            writer.append(of, at * SECOND, &[Value::I64(at)]).unwrap();
        }
        drop(writer.commit().unwrap());
        db.flush().unwrap();
    }
    table
}

fn times(table: &Table) -> Vec<i64> {
    let mut times = Vec::new();
    let mut rows = table.query().scan().unwrap();
    rows.visit(|batch| {
        times.extend_from_slice(batch.times());
        Ok(())
    })
    .unwrap();
    times.sort_unstable();
    times
}

/// Each row got a segment, by thousands of merges.
#[test]
fn a_delete_of_scattered_rows_is_applied_without_a_segment_for_each() {
    const ROWS: i64 = 3_000;
    let half = TimeRange {
        start: 0,
        end: ROWS / 2 * SECOND - 1,
    };
    for read_mode in [ReadMode::Mmap, ReadMode::Pread] {
        for (flushes, tests, range) in [
            (2, vec![TagMatch::equal("host", "a")], TimeRange::ALL),
            (3, vec![TagMatch::equal("host", "a")], TimeRange::ALL),
            (3, vec![], half),
        ] {
            let db = database(read_mode);
            let table = scatter(&db, ROWS, flushes);
            let before = segments(&db).len();
            assert_eq!(before as i64, 17 * flushes);
            table.delete(&tests, range).unwrap().wait().unwrap();
            let left = times(&table);
            assert_eq!(left.len() as i64, ROWS / 2);
            let merges = db.compact().unwrap();
            let after = segments(&db).len();
            let few = before + before / 2;
            assert!(after <= few, "{before} before, {after} after");
            assert!(merges < 300, "{merges} merges");
            assert_eq!(times(&table), left);
            let status = db.status().unwrap();
            assert_eq!(
                status.tables[0].tombstones, 0,
                "all segments have applied it"
            );
            assert_eq!(db.compact().unwrap(), 0);
            db.close().unwrap();
        }
    }
}
