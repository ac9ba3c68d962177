//! Rows of a range.

use super::*;
use crate::{Batch, SeriesId};

fn sample() -> (Tidestone, Table) {
    let (db, table) = table(DuplicatePolicy::Replace);
    write(
        &db,
        &table,
        &[("a", 0, 1.0, 1), ("b", 1, 2.0, 1), ("a", HOUR, 3.0, 1)],
    );
    db.flush().unwrap();
    write(
        &db,
        &table,
        &[("a", 5, 4.0, 1), ("a", 0, 1.5, 1), ("b", HOUR, 5.0, 1)],
    );
    (db, table)
}

fn row(host: &str, time: Timestamp, price: f64) -> (String, Timestamp, f64) {
    (host.to_owned(), time, price)
}

#[test]
fn a_scan_gives_the_rows_of_the_range_by_series_and_time() {
    let (_db, table) = sample();
    let all = [
        row("a", 0, 1.5),
        row("a", 5, 4.0),
        row("a", HOUR, 3.0),
        row("b", 1, 2.0),
        row("b", HOUR, 5.0),
    ];
    assert_eq!(prices(&table.query()), all);
    assert_eq!(
        prices(&table.query().from(1).to(5)),
        [all[1].clone(), all[3].clone()]
    );
    assert_eq!(prices(&table.query().limit(2)), all[..2]);
    assert_eq!(prices(&table.query().limit(0)), []);
    let of_b = table.query().filter(TagMatch::equal("host", "b"));
    assert_eq!(prices(&of_b), all[3..]);
    let nobody = table.query().filter(TagMatch::equal("host", "c"));
    assert_eq!(prices(&nobody), []);
}

#[test]
fn columns_come_in_the_order_asked_for() -> Result<()> {
    let (_db, table) = sample();
    let mut rows = table.query().fields(&["size", "price"]).scan()?;
    let batch = rows.next().unwrap()?;
    let names: Vec<&str> = batch.fields().iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["size", "price"]);
    assert_eq!(batch.value(0, 0), Value::I64(1));
    assert_eq!(batch.value(0, 1), Value::F64(1.5));
    let none: [&str; 0] = [];
    let batch = table.query().fields(&none).scan()?.next().unwrap()?;
    assert_eq!((batch.len(), batch.columns().len()), (5, 0));
    Ok(())
}

#[test]
fn series_of_an_answer_have_their_tags() {
    let (_db, table) = sample();
    let last = table.query().last().unwrap();
    let ids: Vec<SeriesId> = last.runs().iter().map(|r| r.series).collect();
    let keys = table.keys_of(&ids).unwrap();
    let hosts: Vec<_> = keys.iter().map(|k| k.get("host").unwrap()).collect();
    assert_eq!(hosts, ["a", "b"]);
    let error = table.keys_of(&[SeriesId(99)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn what_is_not_there_is_an_error_that_names_what_is() {
    let (_db, table) = sample();
    let check = |query: Query, kind: ErrorKind, says: &str| {
        let error = query.scan().unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(says), "{error}");
    };
    check(
        table.query().fields(&["prize"]),
        ErrorKind::NotFound,
        "price",
    );
    check(
        table.query().fields(&["size", "size"]),
        ErrorKind::Invalid,
        "twice",
    );
    check(
        table.query().from(2).to(1),
        ErrorKind::Invalid,
        "starts at 2",
    );
    let typo = TagMatch::not_equal("hots", "a");
    check(table.query().filter(typo), ErrorKind::NotFound, "host");
}

#[test]
fn an_answer_is_of_the_moment_it_was_asked() {
    let (db, table) = sample();
    let stream = table.query().scan().unwrap();
    write(&db, &table, &[("a", 7, 9.0, 1)]);
    drop(table.delete(&[], TimeRange::ALL).unwrap());
    db.flush().unwrap();
    let rows: usize = stream.map(|b| b.unwrap().len()).sum();
    assert_eq!(rows, 5);
    assert_eq!(prices(&table.query()), []);
}

#[test]
fn series_are_not_sought_for_a_snapshot_of_a_table_that_was_dropped_since() {
    let (db, table) = sample();
    let of_b = table.query().filter(TagMatch::equal("host", "b"));
    let snapshot = of_b.snapshot().unwrap();
    let stream = of_b.scan().unwrap();
    db.drop_table("t").unwrap();
    assert_eq!(snapshot.table.segments.len(), 2);
    let by_host = of_b.clone().group_by(&["host"]);
    for error in [
        of_b.series().unwrap_err(),
        by_host.while_there(|| Ok(())).unwrap_err(),
        of_b.scan().unwrap_err(),
        of_b.last().unwrap_err(),
        stream.key(SeriesId(1)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().contains(r#"table "t" was dropped"#),
            "{error}"
        );
    }
    let rows: usize = stream.map(|b| b.unwrap().len()).sum();
    assert_eq!(rows, 2, "what was asked before is answered");
}

#[test]
fn a_table_that_is_dropped_is_whole_or_gone() {
    let (db, _table) = sample();
    for round in 0..40 {
        let name = format!("t{round}");
        let options = TableOptions::new().field("price", FieldType::F64);
        let table = db.create_table(&name, options).unwrap();
        write_prices(&db, &table, 0..5);
        db.flush().unwrap();
        write_prices(&db, &table, 5..10);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let by_host = table
                    .query()
                    .group_by(&["host"])
                    .filter(TagMatch::not_equal("host", ""))
                    .aggregate([Aggregate::rows()]);
                loop {
                    match by_host.buckets() {
                        Ok(answer) => {
                            assert_eq!((answer.len(), answer.value(0, 0)), (1, Value::U64(10)))
                        }
                        Err(error) => return error,
                    }
                }
            });
            db.drop_table(&name).unwrap();
            let error = reader.join().unwrap();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            assert!(error.to_string().contains("was dropped"), "{error}");
        });
    }
}

/// Writes one batch of rows of host `a`.
fn write_prices(db: &Tidestone, table: &Table, times: std::ops::Range<Timestamp>) {
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    for time in times {
        writer.append(&series, time, &[Value::from(1.0)]).unwrap();
    }
    drop(writer.commit().unwrap());
}

#[test]
fn of_many_names_an_error_tells_the_nearest() {
    let (_db, table) = sample();
    for i in 0..100 {
        table
            .add_field(&format!("extra-{i}"), FieldType::F64)
            .unwrap();
    }
    let error = table
        .query()
        .fields(&["prize"])
        .scan()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(r#"["price", "#) && error.contains("and 97 more: correct the name"),
        "{error}"
    );
    for i in 0..20 {
        table.series(&[(format!("tag-{i}"), "x")]).unwrap();
    }
    let typo = table.query().filter(TagMatch::equal("hots", "a"));
    let error = typo.scan().unwrap_err().to_string();
    assert!(
        error.contains(r#"["host", "#) && error.contains("and 13 more: correct the name"),
        "{error}"
    );
}

/// Five hosts of 40,000 rows each in several segments, some of them written again, deleted, or
/// still in memory.
fn many_rows() -> (Tidestone, Table) {
    let (db, table) = table(DuplicatePolicy::Replace);
    let mut writer = db.writer();
    let mut write = |host: usize, times: std::ops::Range<i64>, price: f64| {
        let series = table.series(&[("host", format!("h{host}"))]).unwrap();
        let values = times.clone().map(|t| price + t as f64).collect();
        let batch = Batch::of_series(&series, times.map(|t| t * S).collect()).f64("price", values);
        writer.append_batch(batch).unwrap();
        drop(writer.commit().unwrap());
    };
    for part in 0..4 {
        for host in 0..5 {
            write(host, part * 10_000..(part + 1) * 10_000, 0.25);
        }
        if part < 3 {
            db.flush().unwrap();
        }
    }
    write(1, 5_000..15_000, 0.75);
    let tests = [TagMatch::equal("host", "h3")];
    let deleted = TimeRange {
        start: 100 * S,
        end: 25_000 * S,
    };
    drop(table.delete(&tests, deleted).unwrap());
    (db, table)
}

/// Every row of an answer: series, time, price.
fn flat(query: &Query) -> Vec<(SeriesId, Timestamp, Option<u64>)> {
    let mut rows = Vec::new();
    for batch in query.scan().unwrap() {
        let batch = batch.unwrap();
        let bits = |row| match batch.value(row, 0) {
            Value::F64(price) => Some(price.to_bits()),
            _ => None,
        };
        let of_run = |run: &SeriesRun| {
            let times = &batch.times()[run.rows.clone()];
            let values = run.rows.clone().map(bits);
            let rows = times
                .iter()
                .zip(values)
                .map(|(time, value)| (run.series, *time, value));
            rows.collect::<Vec<_>>()
        };
        rows.extend(batch.runs().iter().flat_map(of_run));
    }
    rows
}

#[test]
fn rows_come_in_the_same_order_on_any_number_of_threads() {
    let (_db, table) = many_rows();
    let ranges = [
        TimeRange::ALL,
        TimeRange {
            start: 9_999 * S,
            end: 30_001 * S,
        },
    ];
    for range in ranges {
        let query = table.query().fields(&["price"]).range(range);
        let some = query.clone().filter(TagMatch::one_of("host", ["h1", "h4"]));
        for query in [query.clone(), some, query.limit(77_777)] {
            let one = flat(&query.clone().threads(1));
            for threads in [2, 5] {
                assert!(
                    flat(&query.clone().threads(threads)) == one,
                    "{threads} threads"
                );
            }
            let mut visited = 0;
            let mut stream = query.threads(3).scan().unwrap();
            stream
                .visit(|batch| {
                    visited += batch.len();
                    Ok(())
                })
                .unwrap();
            assert_eq!(visited, one.len());
            assert_eq!(stream.profile().rows, one.len() as u64);
        }
    }
}

#[test]
fn an_error_on_any_thread_ends_a_stream_after_the_rows_before_it() {
    let disk = Arc::new(SimDisk::new());
    let (db, table) = table_on(disk.clone(), DuplicatePolicy::Replace);
    let mut writer = db.writer();
    for host in 0..8 {
        let series = table.series(&[("host", format!("h{host}"))]).unwrap();
        // So irregular that they take most of the file.
        let price =
            |i: i64| f64::from_bits(i.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2);
        let batch = Batch::of_series(&series, (0..20_000).collect());
        let batch = batch.f64("price", (0..20_000).map(price).collect());
        writer.append_batch(batch).unwrap();
    }
    drop(writer.commit().unwrap());
    db.flush().unwrap();
    let segment = disk
        .paths()
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "seg"));
    let damage = |bytes: &mut Vec<u8>| {
        // In the last row group.
        let at = bytes.len() / 10 * 9;
        bytes[at..at + 64].fill(0xa5);
    };
    disk.damage(&segment.unwrap(), damage).unwrap();
    let before_error = |threads: usize| {
        let mut stream = table
            .query()
            .fields(&["price"])
            .threads(threads)
            .scan()
            .unwrap();
        let mut rows = 0;
        loop {
            match stream.next().unwrap() {
                Ok(batch) => rows += batch.len(),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    assert!(stream.next().is_none());
                    return rows;
                }
            }
        }
    };
    // A batch that could not be filled is not given: of those on one thread, which are larger, less.
    let one = before_error(1);
    assert!(one > 0);
    for threads in [2, 4] {
        let several = before_error(threads);
        assert!(several >= one && several < 160_000, "{several} {one}");
    }
}

#[test]
fn a_stream_that_is_left_ends_its_threads() {
    let (_db, table) = many_rows();
    let mut stream = table.query().threads(4).scan().unwrap();
    for _ in 0..3 {
        assert!(!stream.next().unwrap().unwrap().is_empty());
    }
    let segments = table.query().snapshot().unwrap().table.segments;
    let open: Vec<_> = segments.iter().map(|s| s.open().unwrap()).collect();
    drop(stream);
    for segment in open {
        assert_eq!(
            Arc::strong_count(&segment),
            2,
            "the segment's own, and this one"
        );
    }
}

#[test]
fn last_rows_are_the_same_on_any_number_of_threads() {
    let (_db, table) = many_rows();
    let query = table.query().fields(&["price"]);
    let one = query.clone().threads(1).last_at(20_000 * S).unwrap();
    assert_eq!(one.times()[2..4], [20_000 * S, 99 * S]);
    for threads in [2, 5] {
        let query = query.clone().threads(threads);
        assert_eq!(
            query.last_at(20_000 * S).unwrap().into_rows(),
            one.clone().into_rows()
        );
    }
}

#[test]
fn last_rows_say_what_was_read_for_them() {
    let (_db, table) = many_rows();
    let of = |host: &str| {
        let query = table.query().fields(&["price"]).threads(1);
        query.filter(TagMatch::equal("host", host))
    };
    let last = of("h0").last().unwrap();
    let profile = *last.profile();
    assert_eq!((profile.rows, profile.series_selected), (1, 1));
    assert_eq!(
        (profile.vectors_decoded, profile.rows_merged),
        (0, 0),
        "it is in memory"
    );
    let flushed = of("h0").last_at(5_000 * S).unwrap();
    let profile = *flushed.profile();
    assert_eq!(profile.rows, 1);
    assert!(
        profile.vectors_decoded >= 2 && profile.block_bytes > 0,
        "{profile:?}"
    );
    assert!(profile.vectors_skipped > 0, "{profile:?}");
    let merged = of("h3").last_at(20_000 * S).unwrap();
    assert_eq!(merged.profile().rows_merged, 1);
}

#[test]
fn a_chunk_is_sorted_once_for_all_who_read_it() {
    let (_db, table) = many_rows();
    let snapshot = table.query().snapshot().unwrap();
    let chunks = &snapshot.head.chunks;
    let sorted = || chunks.iter().map(|c| c.sorted()).collect::<Vec<_>>();
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(sorted);
        (sorted(), other.join().unwrap())
    });
    assert!(!one.is_empty());
    for (one, other) in one.iter().zip(&other) {
        assert!(Arc::ptr_eq(one, other));
    }
}
