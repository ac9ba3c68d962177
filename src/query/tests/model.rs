//! Queries against a model that keeps every row in a vector.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{Batch, Bitmap, SeriesHandle, Values};

const HOSTS: usize = 5;

#[derive(Debug, Clone, PartialEq)]
struct Row {
    host: usize,
    time: Timestamp,
    price: Option<f64>,
    size: Option<i64>,
    seen: Option<u64>,
    up: Option<bool>,
    note: Option<String>,
}

/// What happens to the table.
#[derive(Debug, Clone)]
enum Step {
    /// A batch: rows of a host from a time on, a value of every kind worked out from a seed.
    Write {
        host: usize,
        start: Timestamp,
        step: i64,
        rows: usize,
        seed: u64,
    },
    Delete {
        host: Option<usize>,
        start: Timestamp,
        length: i64,
    },
    Flush,
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let start = prop_oneof![0..4 * HOUR, (0..4i64).prop_map(|h| h * HOUR), -HOUR..0i64];
    let length = prop_oneof![Just(0), 0..HOUR, 0..4 * HOUR];
    let stride = prop_oneof![Just(S), Just(10 * S), Just(0), 1..40 * S];
    let rows = prop_oneof![3 => 1..20usize, 1 => 1000..3000usize];
    let write = (0..HOSTS, start.clone(), stride, rows, any::<u64>()).prop_map(
        |(host, start, step, rows, seed)| Step::Write {
            host,
            start,
            step,
            rows,
            seed,
        },
    );
    let delete = (prop::option::of(0..HOSTS), start, length).prop_map(|(host, start, length)| {
        Step::Delete {
            host,
            start,
            length,
        }
    });
    prop_oneof![8 => write, 1 => delete, 3 => Just(Step::Flush), 1 => Just(Step::Compact)]
}

/// A database and what should be in it.
struct Model {
    db: Tidestone,
    table: Table,
    series: Vec<SeriesHandle>,
    policy: DuplicatePolicy,
    /// By (host, time); of equal ones, in the order they were written.
    rows: Vec<Row>,
}

impl Model {
    fn new(read_mode: ReadMode, policy: DuplicatePolicy) -> Self {
        let (db, table) = table_read(read_mode, Arc::new(SimDisk::new()), policy);
        let series = (0..HOSTS).map(|h| {
            let (host, dc) = (format!("h{h}"), format!("dc{}", h % 2));
            table.series(&[("host", host), ("dc", dc)]).unwrap()
        });
        Self {
            series: series.collect(),
            db,
            table,
            policy,
            rows: Vec::new(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Write {
                host,
                start,
                step,
                rows,
                seed,
            } => {
                let rows = (0..*rows).map(|i| {
                    let mut h = seed
                        .wrapping_add(i as u64)
                        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    h ^= h >> 29;
                    let some = |bit: u32| seed.is_multiple_of(3) || h >> bit & 3 != 0;
                    let price = match h % 97 {
                        0 => f64::NAN,
                        1 => -0.0,
                        n => n as f64 / 4.0 - 5.0,
                    };
                    Row {
                        host: *host,
                        time: start + i64::try_from(i).unwrap() * step,
                        price: some(10).then_some(price),
                        size: some(12).then_some((h % 1000).cast_signed() - 300),
                        seen: some(14).then_some(h % 11),
                        up: some(16).then_some(h % 2 == 0),
                        note: some(18).then(|| format!("n{}", h % 7)),
                    }
                });
                self.write(rows.collect());
            }
            Step::Delete {
                host,
                start,
                length,
            } => {
                let range = TimeRange {
                    start: *start,
                    end: start + length,
                };
                let tests = host.map(|h| TagMatch::equal("host", format!("h{h}")));
                let tests: Vec<TagMatch> = tests.into_iter().collect();
                drop(self.table.delete(&tests, range).unwrap());
                self.rows
                    .retain(|r| host.is_some_and(|h| h != r.host) || !range.contains(r.time));
            }
            Step::Flush => self.db.flush().unwrap(),
            Step::Compact => drop(self.db.compact().unwrap()),
        }
    }

    fn write(&mut self, rows: Vec<Row>) {
        let times = rows.iter().map(|r| r.time).collect();
        let valid = |is: fn(&Row) -> bool| {
            let mut bits = Bitmap::new();
            rows.iter().for_each(|r| bits.push(is(r)));
            bits
        };
        let price = rows.iter().map(|r| r.price.unwrap_or(7.0)).collect();
        let size = rows.iter().map(|r| r.size.unwrap_or(7)).collect();
        let seen = rows.iter().map(|r| r.seen.unwrap_or(7)).collect();
        let up = rows.iter().map(|r| r.up.unwrap_or(true)).collect();
        let note = rows.iter().map(|r| r.note.as_deref().unwrap_or("x"));
        let batch = Batch::of_series(&self.series[rows[0].host], times)
            .nullable("price", Values::F64(price), valid(|r| r.price.is_some()))
            .nullable("size", Values::I64(size), valid(|r| r.size.is_some()))
            .nullable("seen", Values::U64(seen), valid(|r| r.seen.is_some()))
            .nullable("up", Values::Bool(up), valid(|r| r.up.is_some()))
            .nullable(
                "note",
                Values::String(note.collect()),
                valid(|r| r.note.is_some()),
            );
        let mut writer = self.db.writer();
        writer.append_batch(batch).unwrap();
        drop(writer.commit().unwrap());
        for row in rows {
            let at = |r: &Row| (r.host, r.time);
            let end = self.rows.partition_point(|r| at(r) <= at(&row));
            let known = end
                .checked_sub(1)
                .filter(|&i| at(&self.rows[i]) == at(&row));
            match (known, self.policy) {
                (Some(_), DuplicatePolicy::First) => {}
                (Some(known), DuplicatePolicy::Replace) => {
                    let old = self.rows[known].clone();
                    self.rows[known] = Row {
                        price: row.price.or(old.price),
                        size: row.size.or(old.size),
                        seen: row.seen.or(old.seen),
                        up: row.up.or(old.up),
                        note: row.note.or(old.note),
                        ..old
                    };
                }
                _ => self.rows.insert(end, row),
            }
        }
    }

    fn rows_in(&self, range: TimeRange, hosts: &[usize]) -> Vec<Row> {
        let wanted = |r: &&Row| range.contains(r.time) && hosts.contains(&r.host);
        self.rows.iter().filter(wanted).cloned().collect()
    }

    fn query(&self, range: TimeRange, hosts: &[usize]) -> Query {
        let query = self.table.query().range(range);
        if hosts.len() == HOSTS {
            return query;
        }
        let names = hosts.iter().map(|h| format!("h{h}"));
        query.filter(TagMatch::one_of("host", names))
    }

    fn of_batch(&self, batch: &RowBatch, row: usize) -> Row {
        let id = batch.series(row);
        let host = self.series.iter().position(|s| s.id() == id).unwrap();
        Row {
            host,
            time: batch.times()[row],
            price: match batch.value(row, 0) {
                Value::F64(v) => Some(v),
                _ => None,
            },
            size: match batch.value(row, 1) {
                Value::I64(v) => Some(v),
                _ => None,
            },
            seen: match batch.value(row, 2) {
                Value::U64(v) => Some(v),
                _ => None,
            },
            up: match batch.value(row, 3) {
                Value::Bool(v) => Some(v),
                _ => None,
            },
            note: match batch.value(row, 4) {
                Value::String(v) => Some(v.to_owned()),
                _ => None,
            },
        }
    }

    fn check(&self, range: TimeRange, hosts: &[usize]) {
        let rows = self.rows_in(range, hosts);
        let query = self.query(range, hosts);
        for order in [Order::SeriesTime, Order::Time, Order::TimeDescending] {
            let mut expected = rows.clone();
            match order {
                Order::SeriesTime => {}
                Order::Time => expected.sort_by_key(|r| r.time),
                Order::TimeDescending => expected.sort_by_key(|r| std::cmp::Reverse(r.time)),
            }
            for limit in [usize::MAX, rows.len() / 3, 5] {
                let expected = &expected[..limit.min(expected.len())];
                let query = query.clone().order(order).limit(limit);
                let batches = query.scan().unwrap().map(Result::unwrap);
                let got: Vec<Row> = batches
                    .flat_map(|b| {
                        (0..b.len())
                            .map(|r| self.of_batch(&b, r))
                            .collect::<Vec<_>>()
                    })
                    .collect();
                assert_same(&got, expected);
            }
        }
        let parallel = query.clone().threads(3).scan().unwrap();
        let got = parallel.map(Result::unwrap).flat_map(|b| {
            let row = |r| self.of_batch(&b, r);
            (0..b.len()).map(row).collect::<Vec<_>>()
        });
        assert_same(&got.collect::<Vec<_>>(), &rows);
        self.check_last(&rows, &query.last().unwrap());
        self.check_last(&rows, &query.clone().threads(3).last().unwrap());
        let middle = range.start / 2 + range.end / 2;
        let until: Vec<Row> = rows.iter().filter(|r| r.time <= middle).cloned().collect();
        self.check_last(&until, &query.last_at(middle).unwrap());
        for every in [
            None,
            Some(60 * S),
            Some(HOUR),
            Some(7 * S + 1),
            Some(i64::MAX),
        ] {
            for group_by in [&[][..], &["dc"], &["dc", "host"]] {
                self.check_buckets(&rows, &query, every, group_by);
            }
        }
    }

    fn check_last(&self, rows: &[Row], last: &RowBatch) {
        let mut expected: Vec<Row> = Vec::new();
        for row in rows {
            match expected.last_mut() {
                Some(known) if known.host == row.host => *known = row.clone(),
                _ => expected.push(row.clone()),
            }
        }
        let got: Vec<Row> = (0..last.len()).map(|r| self.of_batch(last, r)).collect();
        assert_same(&got, &expected);
    }

    fn check_buckets(&self, rows: &[Row], query: &Query, every: Option<i64>, group_by: &[&str]) {
        let mut groups: BTreeMap<(Vec<String>, i64), Vec<Row>> = BTreeMap::new();
        for row in rows {
            let tags = group_by.iter().map(|tag| match *tag {
                "dc" => format!("dc{}", row.host % 2),
                _ => format!("h{}", row.host),
            });
            let bucket = every.map_or(0, |every| row.time.div_euclid(every));
            let group = groups.entry((tags.collect(), bucket)).or_default();
            group.push(row.clone());
        }
        let mut query = query
            .clone()
            .group_by(group_by)
            .aggregate([Aggregate::rows()]);
        for field in ["price", "size", "seen", "up"] {
            query = query.aggregate(NUMERIC.map(|agg| Aggregate::new(agg, field)));
        }
        let of_notes = [Agg::Count, Agg::First, Agg::Last];
        query = query.aggregate(of_notes.map(|agg| Aggregate::new(agg, "note")));
        if let Some(every) = every {
            query = query.every(Duration::from_nanos(every.cast_unsigned()));
        }
        let one = query.clone().threads(1).buckets().unwrap();
        for order in [Order::Time, Order::TimeDescending] {
            let rows = |result: AggregateResult| -> Vec<String> {
                let row = |at| (result.buckets()[at], result.group(at), result.value(at, 0));
                (0..result.len())
                    .map(|at| format!("{:?}", row(at)))
                    .collect()
            };
            let query = query.clone().order(order);
            let mut all = rows(query.buckets().unwrap());
            assert_eq!(all.len(), one.len());
            all.truncate(3);
            assert_eq!(rows(query.limit(3).buckets().unwrap()), all);
        }
        for statistics in [true, false] {
            for threads in [1, 4] {
                let query = query.clone().statistics(statistics).threads(threads);
                let result = query.buckets().unwrap();
                let from_statistics = result.profile().vectors_from_statistics;
                assert!(statistics || from_statistics == 0);
                assert_eq!(result.profile().rows, rows.len() as u64);
                if statistics {
                    // To the last bit, whatever the number of threads.
                    assert_eq!(format!("{result:?}"), format!("{one:?}"));
                }
                check_groups(&result, &groups, every);
            }
        }
    }
}

const NUMERIC: [Agg; 7] = [
    Agg::Count,
    Agg::Sum,
    Agg::Min,
    Agg::Max,
    Agg::Mean,
    Agg::First,
    Agg::Last,
];

fn check_groups(
    result: &AggregateResult,
    groups: &BTreeMap<(Vec<String>, i64), Vec<Row>>,
    every: Option<i64>,
) {
    assert_eq!(result.len(), groups.len());
    for (at, ((tags, bucket), rows)) in groups.iter().enumerate() {
        assert_eq!(result.group(at), tags);
        if let Some(every) = every {
            let start = i128::from(*bucket) * i128::from(every);
            let start = start.max(i128::from(i64::MIN));
            assert_eq!(i128::from(result.buckets()[at]), start);
        }
        assert_eq!(result.value(at, 0), Value::U64(rows.len() as u64));
        // First and last by time, then series, then as written: the order of the model.
        let mut rows: Vec<&Row> = rows.iter().collect();
        rows.sort_by_key(|r| r.time);
        let price: Vec<f64> = rows.iter().filter_map(|r| r.price).collect();
        let numbers = || price.iter().copied().filter(|v| !v.is_nan());
        let sum: f64 = price.iter().sum();
        let expected = [
            Value::U64(price.len() as u64),
            or_null(&price, Value::F64(sum)),
            numbers().min_by(f64::total_cmp).into(),
            numbers().max_by(f64::total_cmp).into(),
            or_null(&price, Value::F64(sum / price.len() as f64)),
            price.first().copied().into(),
            price.last().copied().into(),
        ];
        check_values(result, at, 1, &expected);
        let size: Vec<i64> = rows.iter().filter_map(|r| r.size).collect();
        let sum: i64 = size.iter().sum();
        let expected = [
            Value::U64(size.len() as u64),
            or_null(&size, Value::I64(sum)),
            size.iter().min().copied().into(),
            size.iter().max().copied().into(),
            or_null(&size, Value::F64(sum as f64 / size.len() as f64)),
            size.first().copied().into(),
            size.last().copied().into(),
        ];
        check_values(result, at, 8, &expected);
        let seen: Vec<u64> = rows.iter().filter_map(|r| r.seen).collect();
        let sum: u64 = seen.iter().sum();
        let expected = [
            Value::U64(seen.len() as u64),
            or_null(&seen, Value::U64(sum)),
            seen.iter().min().copied().into(),
            seen.iter().max().copied().into(),
            or_null(&seen, Value::F64(sum as f64 / seen.len() as f64)),
            seen.first().copied().into(),
            seen.last().copied().into(),
        ];
        check_values(result, at, 15, &expected);
        let up: Vec<bool> = rows.iter().filter_map(|r| r.up).collect();
        let sum = up.iter().filter(|v| **v).count() as u64;
        let expected = [
            Value::U64(up.len() as u64),
            or_null(&up, Value::U64(sum)),
            up.iter().min().copied().into(),
            up.iter().max().copied().into(),
            or_null(&up, Value::F64(sum as f64 / up.len() as f64)),
            up.first().copied().into(),
            up.last().copied().into(),
        ];
        check_values(result, at, 22, &expected);
        let note: Vec<&str> = rows.iter().filter_map(|r| r.note.as_deref()).collect();
        let expected = [
            Value::U64(note.len() as u64),
            note.first().copied().into(),
            note.last().copied().into(),
        ];
        check_values(result, at, 29, &expected);
    }
}

fn or_null<'a, T>(values: &[T], value: Value<'a>) -> Value<'a> {
    if values.is_empty() {
        Value::Null
    } else {
        value
    }
}

fn check_values(result: &AggregateResult, row: usize, column: usize, expected: &[Value<'_>]) {
    for (at, expected) in expected.iter().enumerate() {
        let got = result.value(row, column + at);
        let same = match (got, *expected) {
            (Value::F64(a), Value::F64(b)) => {
                let name = &result.names()[column + at];
                let rounded = name.starts_with("sum") || name.starts_with("mean");
                a.to_bits() == b.to_bits()
                    || (a.is_nan() && b.is_nan())
                    || (rounded && (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs())))
            }
            (a, b) => a == b,
        };
        let name = &result.names()[column + at];
        assert!(same, "{name} of row {row}: {got:?} instead of {expected:?}");
    }
}

fn assert_same(got: &[Row], expected: &[Row]) {
    assert_eq!(got.len(), expected.len());
    for (at, (a, b)) in got.iter().zip(expected).enumerate() {
        assert_eq!(format!("{a:?}"), format!("{b:?}"), "row {at}");
    }
}

fn check(
    read_mode: ReadMode,
    policy: DuplicatePolicy,
    steps: &[Step],
    range: TimeRange,
    hosts: &[usize],
) {
    let mut model = Model::new(read_mode, policy);
    for step in steps {
        model.apply(step);
    }
    model.check(TimeRange::ALL, &[0, 1, 2, 3, 4]);
    model.check(range, hosts);
    model.apply(&Step::Flush);
    model.check(range, hosts);
    model.apply(&Step::Compact);
    model.check(TimeRange::ALL, &[0, 1, 2, 3, 4]);
    model.check(range, hosts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn answers_are_those_of_the_model_wherever_rows_lie(
        read_mode in prop::sample::select(vec![ReadMode::Mmap, ReadMode::Pread]),
        policy in prop::sample::select(vec![
            DuplicatePolicy::Replace,
            DuplicatePolicy::First,
            DuplicatePolicy::All,
        ]),
        steps in prop::collection::vec(step(), 1..14),
        start in -HOUR..4 * HOUR,
        length in 0..3 * HOUR,
        hosts in prop::sample::subsequence(vec![0, 1, 2, 3, 4], 1..4),
    ) {
        check(read_mode, policy, &steps, TimeRange { start, end: start + length }, &hosts);
    }
}
