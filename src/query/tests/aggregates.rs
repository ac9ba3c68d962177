//! Aggregates where the model does not reach: edges of time, errors, what statistics answer.

use std::time::Duration;

use super::*;

fn values(result: &AggregateResult, column: usize) -> Vec<Value<'_>> {
    (0..result.len()).map(|r| result.value(r, column)).collect()
}

#[test]
fn buckets_reach_both_ends_of_time() {
    let (db, table) = table(DuplicatePolicy::Replace);
    let times = [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX];
    write(&db, &table, &times.map(|t| ("a", t, 1.0, 1)));
    for flushed in [false, true] {
        if flushed {
            db.flush().unwrap();
        }
        let minutes = table
            .query()
            .every(Duration::from_secs(60))
            .aggregate([Aggregate::rows()])
            .buckets()
            .unwrap();
        let starts = [i64::MIN, -60 * S, 0, i64::MAX.div_euclid(60 * S) * 60 * S];
        assert_eq!(minutes.buckets(), starts);
        let counts = [2, 1, 1, 1].map(Value::U64);
        assert_eq!(values(&minutes, 0), counts);
    }
}

#[test]
fn no_rows_give_no_buckets() {
    let (db, table) = table(DuplicatePolicy::Replace);
    let count = |query: Query| {
        query
            .aggregate([Aggregate::rows()])
            .buckets()
            .unwrap()
            .len()
    };
    assert_eq!(count(table.query()), 0);
    assert_eq!(count(table.query().group_by(&["host"])), 0);
    write(&db, &table, &[("a", 5, 1.0, 1)]);
    assert_eq!(count(table.query().to(4)), 0);
    assert_eq!(count(table.query()), 1);
    assert_eq!(count(table.query().filter(TagMatch::equal("host", "b"))), 0);
}

#[test]
fn no_series_cost_no_memory_however_many_buckets_there_might_be() {
    let (db, table) = table(DuplicatePolicy::Replace);
    for flushed in [false, true] {
        write(
            &db,
            &table,
            &[("a", 0, 1.0, 1), ("a", i64::MAX / 2, 1.0, 1)],
        );
        if flushed {
            db.flush().unwrap();
        }
        for order in [Order::Time, Order::TimeDescending, Order::SeriesTime] {
            let nobody = table.query().filter(TagMatch::equal("host", "nobody"));
            let counts = nobody
                .group_by(&["host"])
                .every(Duration::from_nanos(1))
                .order(order)
                .aggregate([Aggregate::rows()])
                .buckets()
                .unwrap();
            assert_eq!(counts.len(), 0, "{order:?}");
        }
    }
}

#[test]
fn what_cannot_be_answered_is_an_error_that_says_why() {
    let (db, table) = table(DuplicatePolicy::Replace);
    write(&db, &table, &[("a", 0, 1.0, i64::MAX), ("a", 1, 1.0, 1)]);
    let check = |query: Query, kind: ErrorKind, says: &str| {
        let error = query.buckets().unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(says), "{error}");
    };
    let rows = || table.query().aggregate([Aggregate::rows()]);
    let of = |agg, field| table.query().aggregate([Aggregate::new(agg, field)]);
    check(table.query(), ErrorKind::Invalid, "no aggregate");
    check(
        rows().every(Duration::ZERO),
        ErrorKind::Invalid,
        "1 nanosecond",
    );
    check(rows().every(Duration::MAX), ErrorKind::Invalid, "292 years");
    check(rows().group_by(&["hots"]), ErrorKind::NotFound, "host");
    check(
        rows().aggregate([Aggregate::rows()]),
        ErrorKind::Invalid,
        "count",
    );
    check(of(Agg::Mean, "prize"), ErrorKind::NotFound, "price");
    check(of(Agg::Max, "note"), ErrorKind::Invalid, "string");
    check(
        of(Agg::Sum, "size"),
        ErrorKind::Invalid,
        "9223372036854775808",
    );
    let mean = of(Agg::Mean, "size").buckets().unwrap();
    assert_eq!(mean.value(0, 0), Value::F64(4_611_686_018_427_387_904.0));
}

#[test]
fn bars_have_open_high_low_close_and_volume() {
    let (db, table) = table(DuplicatePolicy::All);
    let trades = [(3, 9.0), (0, 5.0), (2, 4.0), (0, 6.0), (3, 8.0)];
    write(
        &db,
        &table,
        &trades.map(|(t, price)| ("a", t * S, price, 10)),
    );
    let bars = table
        .query()
        .every(Duration::from_secs(60))
        .aggregate(Aggregate::ohlcv("price", "size"))
        .buckets()
        .unwrap();
    assert_eq!(bars.names(), ["open", "high", "low", "close", "volume"]);
    let bar: Vec<Value<'_>> = (0..5).map(|c| bars.value(0, c)).collect();
    let [open, high, low, close] = [5.0, 9.0, 4.0, 8.0].map(Value::F64);
    assert_eq!(bar, [open, high, low, close, Value::I64(50)]);
}

#[test]
fn rows_come_by_time_if_asked_and_no_more_than_asked() {
    let (db, table) = table(DuplicatePolicy::Replace);
    for host in ["a", "b"] {
        let rows: Vec<_> = (0..200).map(|i| (host, i * S, i as f64, i)).collect();
        write(&db, &table, &rows);
    }
    let query = table
        .query()
        .every(Duration::from_secs(60))
        .group_by(&["host"])
        .aggregate([Aggregate::new(Agg::Max, "price")]);
    let result = query
        .clone()
        .order(Order::TimeDescending)
        .limit(3)
        .buckets()
        .unwrap();
    assert_eq!(result.buckets(), [180 * S, 180 * S, 120 * S]);
    let hosts: Vec<_> = (0..3).map(|r| result.tag(r, "host").unwrap()).collect();
    assert_eq!(hosts, ["a", "b", "a"]);
    let result = query.order(Order::Time).limit(1).buckets().unwrap();
    assert_eq!(result.value(0, 0), Value::F64(59.0));
}

/// 20,480 rows of one series and as many of another, a second apart: 20 vectors each.
fn flushed() -> (Tidestone, Table) {
    let (db, table) = table(DuplicatePolicy::Replace);
    for host in ["a", "b"] {
        let rows: Vec<_> = (0..20_480)
            .map(|i| (host, i * S / 8, i as f64, i))
            .collect();
        write(&db, &table, &rows);
    }
    db.compact().unwrap();
    (db, table)
}

#[test]
fn statistics_answer_whole_vectors_and_skip_those_outside_the_range() {
    let (_db, table) = flushed();
    let query = || table.query().aggregate([Aggregate::new(Agg::Sum, "size")]);
    let all = query().buckets().unwrap();
    let profile = all.profile();
    assert_eq!((profile.vectors_decoded, profile.block_bytes), (0, 0));
    assert_eq!(profile.vectors_from_statistics, 2 * 40);
    assert_eq!(all.value(0, 0), Value::I64(20_479 * 20_480));
    // 1.5 vectors of one series: one from statistics, one decoded, the others skipped.
    let part = query()
        .filter(TagMatch::equal("host", "b"))
        .from(1024 * S / 8)
        .to((2048 + 511) * S / 8);
    let part = part.buckets().unwrap();
    let profile = part.profile();
    assert_eq!(profile.vectors_from_statistics, 2);
    assert_eq!(profile.vectors_decoded, 2);
    assert_eq!(profile.vectors_skipped, 2 * 18);
    assert_eq!(part.value(0, 0), Value::I64((1024..2560).sum()));
    let by_host = query().group_by(&["host"]).every(Duration::from_secs(128));
    let profile = *by_host.buckets().unwrap().profile();
    assert_eq!(
        (profile.vectors_from_statistics, profile.vectors_decoded),
        (80, 0)
    );
}

#[test]
fn statistics_do_not_answer_where_rows_were_deleted_or_replaced() {
    let (db, table) = flushed();
    let sum = || {
        let query = table.query().aggregate([Aggregate::new(Agg::Sum, "size")]);
        query.group_by(&["host"]).buckets().unwrap()
    };
    write(&db, &table, &[("a", 0, 0.0, 1_000_000)]);
    let result = sum();
    assert_eq!(result.value(0, 0), Value::I64(20_479 * 10_240 + 1_000_000));
    assert_eq!(result.value(1, 0), Value::I64(20_479 * 10_240));
    assert_eq!(result.profile().vectors_from_statistics, 40, "those of b");
    let first = TimeRange { start: 0, end: 0 };
    drop(
        table
            .delete(&[TagMatch::equal("host", "a")], first)
            .unwrap(),
    );
    assert_eq!(sum().value(0, 0), Value::I64(20_479 * 10_240));
}
