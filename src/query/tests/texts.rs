//! Rows of long strings.

use super::*;
use crate::rows::TEXT_AT_ONCE;
use crate::{Order, RowBatch};

/// Bytes of a string.
const LONG: usize = 10_000;
/// Rows of each host.
const ROWS: i64 = 7_000;

/// Two hosts, whose rows lie in two segments that overlap, and in the head.
fn long_strings() -> (Tidestone, Table) {
    let (db, table) = table(DuplicatePolicy::Replace);
    for part in 0..3 {
        for host in ["a", "b"] {
            let series = table.series(&[("host", host)]).unwrap();
            let mut writer = db.writer();
            for time in (part..ROWS).step_by(3) {
                let note = format!("{host} {time} {}", "x".repeat(LONG));
                let values = [("note", Value::String(&note))];
                writer.append_fields(&series, time, &values).unwrap();
            }
            drop(writer.commit().unwrap());
        }
        if part < 2 {
            db.flush().unwrap();
        }
    }
    (db, table)
}

fn text(batch: &RowBatch) -> usize {
    let lens = batch.columns().iter().map(|c| c.values.text_len());
    lens.sum()
}

#[test]
fn rows_of_long_strings_come_in_small_batches_in_any_order() {
    let (_db, table) = long_strings();
    // Of each of the three runs that are merged, and what was begun of a vector.
    let most = 4 * TEXT_AT_ONCE + 3 * 1_024 * LONG;
    for (order, threads) in [
        (Order::SeriesTime, 1),
        (Order::SeriesTime, 3),
        (Order::Time, 1),
        (Order::TimeDescending, 1),
    ] {
        let query = table.query().fields(&["note"]).order(order);
        let mut seen = Vec::new();
        for batch in query.threads(threads).scan().unwrap() {
            let batch = batch.unwrap();
            assert!(text(&batch) <= most, "{} bytes, {order:?}", text(&batch));
            for row in 0..batch.len() {
                let Value::String(note) = batch.value(row, 0) else {
                    panic!("no note")
                };
                let (host, time) = (&note[..1], batch.times()[row]);
                assert!(note.starts_with(&format!("{host} {time} x")));
                seen.push((host.to_owned(), time));
            }
        }
        let hosts = ["a", "b"].map(str::to_owned);
        let all = hosts.iter().flat_map(|h| (0..ROWS).map(|t| (h.clone(), t)));
        let mut all: Vec<_> = all.collect();
        match order {
            Order::SeriesTime => {}
            Order::Time => all.sort_by_key(|(_, time)| *time),
            Order::TimeDescending => all.sort_by_key(|(_, time)| std::cmp::Reverse(*time)),
        }
        assert_eq!(seen, all, "{order:?}, {threads} threads");
    }
}

#[test]
fn segments_of_long_strings_are_merged() {
    let (db, table) = long_strings();
    db.flush().unwrap();
    assert!(db.compact().unwrap() > 0);
    let rows = table.query().fields(&["note"]).scan().unwrap();
    let rows: usize = rows.map(|batch| batch.unwrap().len()).sum();
    assert_eq!(rows, 2 * usize::try_from(ROWS).unwrap());
}
