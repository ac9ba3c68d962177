//! Questions that are stopped.

use std::sync::Arc;

use crate::io::SimDisk;
use crate::{
    Agg, Aggregate, Cancellation, Error, ErrorKind, FieldType, Options, Order, Query, Result,
    Table, TableOptions, Tidestone, Value,
};

/// Four segments of two series each, not yet opened.
fn database() -> (SimDisk, Tidestone, Table) {
    let disk = SimDisk::new();
    let open = || {
        let options = Options {
            auto_compact: false,
            flush_after: None,
            ..Options::default()
        };
        let builder = Tidestone::builder("/db").options(options);
        builder.disk(Arc::new(disk.clone())).open_or_create()
    };
    let db = open().unwrap();
    let table = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", table).unwrap();
    let mut writer = db.writer();
    for part in 0..4 {
        for host in 2 * part..2 * part + 2 {
            let series = table.series(&[("host", format!("h{host}"))]).unwrap();
            for time in 0..20_000 {
                writer.append(&series, time, &[Value::I64(time)]).unwrap();
            }
        }
        writer.commit_and_wait().unwrap();
        db.flush().unwrap();
    }
    drop(writer);
    db.close().unwrap();
    drop((db, table));
    let db = open().unwrap();
    let table = db.table("t").unwrap();
    (disk, db, table)
}

/// A way to answer, and how many rows it gives.
type Answer = fn(Query) -> Result<usize>;

/// Answers in every way there is.
fn answers() -> [(&'static str, Answer); 5] {
    fn rows(query: Query, order: Order) -> Result<usize> {
        let batches: Result<Vec<_>> = query.order(order).scan()?.collect();
        Ok(batches?.iter().map(|batch| batch.len()).sum())
    }
    [
        ("by series", |q| rows(q, Order::SeriesTime)),
        ("by time", |q| rows(q, Order::Time)),
        ("latest first", |q| rows(q, Order::TimeDescending)),
        ("last", |q| Ok(q.last()?.len())),
        ("aggregate", |q| {
            let sum = q
                .statistics(false)
                .aggregate([Aggregate::new(Agg::Sum, "v")]);
            Ok(sum.group_by(&["host"]).buckets()?.len())
        }),
    ]
}

fn assert_cancelled(what: &str, error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{what}: {error}");
}

#[test]
fn what_was_cancelled_is_not_answered() {
    let (_disk, db, table) = database();
    for (what, answer) in answers() {
        for threads in [1, 2] {
            let query = table.query().threads(threads);
            let cancellation = Cancellation::new();
            let sound = answer(query.clone().cancelled_by(&cancellation)).unwrap();
            assert_eq!(answer(query.clone()).unwrap(), sound);
            cancellation.cancel();
            assert!(cancellation.is_cancelled());
            let error = answer(query.cancelled_by(&cancellation)).unwrap_err();
            assert_cancelled(what, &error);
        }
    }
    db.close().unwrap();
}

#[test]
fn a_question_that_is_being_answered_stops() {
    for (what, answer) in answers() {
        let (disk, _db, table) = database();
        let cancellation = Cancellation::new();
        let query = table.query().threads(1).cancelled_by(&cancellation);
        // When something of a segment is read for the first time.
        disk.watch(move |_, path| {
            if path.starts_with("/db/segments") {
                cancellation.cancel();
            }
            Ok(())
        });
        assert_cancelled(what, &answer(query).unwrap_err());
    }
}

#[test]
fn a_stream_that_is_cancelled_has_ended() {
    let (_disk, _db, table) = database();
    for threads in [1, 2] {
        let cancellation = Cancellation::new();
        let query = table.query().threads(threads).cancelled_by(&cancellation);
        let mut rows = query.scan().unwrap();
        assert!(!rows.next().unwrap().unwrap().is_empty());
        cancellation.cancel();
        assert_cancelled("scan", &rows.next().unwrap().unwrap_err());
        assert!(rows.next().is_none());
    }
}
