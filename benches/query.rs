//! Speed of queries, on files in the page cache: values a second of a scan and of buckets, time of
//! last rows and of a short question.
//!
//! `cargo bench --bench query -- NAME` runs those whose name contains NAME. Answers are checked once
//! before they are timed.
#![expect(clippy::unwrap_used, reason = "a benchmark ends at the first failure")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidestone::{
    Agg, Aggregate, Batch, FieldType, Options, Query, Table, TableOptions, TagMatch, Tidestone,
    Values,
};

const START: i64 = 1_700_006_400_000_000_000;
const SECOND: i64 = 1_000_000_000;
const HOSTS: usize = 100;
const DAYS: i64 = 10;
/// Rows of a host a day: one every ten seconds.
const DAY_ROWS: i64 = 8_640;
const ROWS: u64 = HOSTS as u64 * (DAYS * DAY_ROWS) as u64;
const MANY: usize = 100_000;

struct Data {
    _dir: tempfile::TempDir,
    _db: Tidestone,
    hosts: Table,
    many: Table,
}

fn data() -> Data {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        auto_compact: false,
        flush_after: None,
        ..Options::default()
    };
    let db = Tidestone::create(dir.path().join("db"), options).unwrap();
    let data = Data {
        hosts: hosts(&db),
        many: many(&db),
        _db: db,
        _dir: dir,
    };
    data._db.compact().unwrap();
    data
}

/// 100 hosts for ten days; two fields with two decimals, as gauges have, one whole number.
fn hosts(db: &Tidestone) -> Table {
    let options = TableOptions::new()
        .field("usage", FieldType::F64)
        .field("load", FieldType::F64)
        .field("requests", FieldType::I64)
        .future_bound(None);
    let table = db.create_table("hosts", options).unwrap();
    let mut writer = db.writer();
    let mut random = 1u64;
    for day in 0..DAYS {
        for host in 0..HOSTS {
            let series = table.series(&[("host", format!("host-{host}"))]).unwrap();
            let first = START + day * DAY_ROWS * 10 * SECOND;
            let times = (0..DAY_ROWS).map(|i| first + i * 10 * SECOND).collect();
            let mut level = 5_000i64;
            let mut walk = |_| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                level = (level + i64::from((random >> 56) as u8) - 127).clamp(0, 10_000);
                level as f64 / 100.0
            };
            let usage: Vec<f64> = (0..DAY_ROWS).map(&mut walk).collect();
            let load: Vec<f64> = (0..DAY_ROWS).map(&mut walk).collect();
            let requests = (0..DAY_ROWS).map(|i| i * i % 997).collect();
            let batch = Batch::of_series(&series, times)
                .f64("usage", usage)
                .f64("load", load)
                .i64("requests", requests);
            writer.append_batch(batch).unwrap();
        }
        writer.commit_and_wait().unwrap();
        db.flush().unwrap();
    }
    table
}

/// 100,000 series of ten rows.
fn many(db: &Tidestone) -> Table {
    let options = TableOptions::new()
        .field("value", FieldType::F64)
        .future_bound(None);
    let table = db.create_table("many", options).unwrap();
    let mut writer = db.writer();
    for sensor in 0..MANY {
        let series = table.series(&[("sensor", format!("s{sensor}"))]).unwrap();
        let times = (0..10).map(|i| START + i * 60 * SECOND).collect();
        let values = (0..10).map(|i| (sensor + i) as f64 / 10.0).collect();
        writer
            .append_batch(Batch::of_series(&series, times).f64("value", values))
            .unwrap();
        if sensor % 10_000 == 9_999 {
            writer.commit_and_wait().unwrap();
        }
    }
    db.flush().unwrap();
    table
}

fn sum(query: &Query) -> (f64, u64) {
    let (mut sum, mut rows) = (0.0, 0);
    let mut stream = query.scan().unwrap();
    stream
        .visit(|batch| {
            rows += batch.len() as u64;
            if let Values::F64(values) = &batch.columns()[0].values {
                sum += values[values.len() - 1];
            }
            Ok(())
        })
        .unwrap();
    (sum, rows)
}

/// The answer to "minutes by host" as nobody can do without: as many rows of bucket, group and mean.
fn pushed() -> (Vec<i64>, Vec<u32>, Vec<f64>) {
    let (mut buckets, mut groups, mut means) = (Vec::new(), Vec::new(), Vec::new());
    for host in (0u32..).take(HOSTS) {
        for minute in 0..DAYS * 1_440 {
            buckets.push(black_box(START + minute * 60 * SECOND));
            groups.push(host);
            means.push(minute as f64);
        }
    }
    (buckets, groups, means)
}

fn queries(c: &mut Criterion) {
    let data = data();
    let hosts = || data.hosts.query().threads(1);
    let minutes = || hosts().every(Duration::from_secs(60));
    let one = || hosts().filter(TagMatch::equal("host", "host-42"));
    let hour = || {
        let from = START + 5 * 86_400 * SECOND;
        one().from(from).to(from + 3_600 * SECOND - 1)
    };
    let mean = || [Aggregate::new(Agg::Mean, "usage")];

    let usage = hosts().fields(&["usage"]);
    assert_eq!(sum(&usage).1, ROWS);
    let buckets = minutes().aggregate(mean()).buckets().unwrap();
    assert_eq!(buckets.len() as i64, DAYS * 1_440);
    assert_eq!(
        hour()
            .fields(&["usage"])
            .scan()
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .len(),
        360
    );
    assert_eq!(data.many.query().last().unwrap().len(), MANY);

    let mut rows = c.benchmark_group("rows");
    rows.sample_size(20).throughput(Throughput::Elements(ROWS));
    rows.bench_function("scan of one f64 field", |b| {
        b.iter(|| sum(black_box(&usage)))
    });
    let plain = |query: Query| move || query.clone().statistics(false).buckets().unwrap();
    for (name, query) in [
        ("minutes of all, mean", minutes().aggregate(mean())),
        (
            "minutes by host, mean",
            minutes().aggregate(mean()).group_by(&["host"]),
        ),
        (
            "minutes by host, five of each field",
            minutes()
                .group_by(&["host"])
                .aggregate(Aggregate::ohlcv("usage", "requests")),
        ),
        ("hours by host, max", {
            let max = [Aggregate::new(Agg::Max, "usage")];
            hosts()
                .every(Duration::from_secs(3_600))
                .group_by(&["host"])
                .aggregate(max)
        }),
        ("all in one, sum", {
            hosts().aggregate([Aggregate::new(Agg::Sum, "usage")])
        }),
    ] {
        rows.bench_function(name, |b| b.iter(plain(query.clone())));
    }
    rows.bench_function("yardstick: rows of minutes by host, pushed", |b| {
        b.iter(pushed)
    });
    let two = minutes().aggregate(mean()).threads(2);
    rows.bench_function("minutes of all, mean, two threads", |b| {
        b.iter(plain(two.clone()))
    });
    let threads = [1, 2].map(|threads| (threads, usage.clone().threads(threads)));
    for (threads, query) in &threads {
        rows.bench_function(format!("scan of one f64 field, {threads} threads"), |b| {
            b.iter(|| sum(black_box(query)))
        });
    }
    rows.finish();

    let mut short = c.benchmark_group("answers");
    short.sample_size(20);
    let total = hosts().aggregate([Aggregate::new(Agg::Sum, "usage")]);
    short.bench_function("sum of all, from statistics", |b| {
        b.iter(|| total.buckets().unwrap())
    });
    short.bench_function("rows of one host's hour", |b| b.iter(|| sum(&hour())));
    let of_hour = || hour().every(Duration::from_secs(60)).aggregate(mean());
    short.bench_function("minutes of one host's hour", |b| {
        b.iter(|| of_hour().buckets().unwrap())
    });
    short.bench_function("last of one host", |b| b.iter(|| one().last().unwrap()));
    short.bench_function("last of 100 hosts", |b| b.iter(|| hosts().last().unwrap()));
    let many = data.many.query().threads(1);
    short.bench_function("last of 100,000 series", |b| {
        b.iter(|| many.last().unwrap())
    });
    let two = many.clone().threads(2);
    short.bench_function("last of 100,000 series, two threads", |b| {
        b.iter(|| two.last().unwrap())
    });
    let by_sensor = many
        .clone()
        .group_by(&["sensor"])
        .aggregate([Aggregate::rows()]);
    short.bench_function("count by 100,000 series", |b| {
        b.iter(|| by_sensor.buckets().unwrap())
    });
    short.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
