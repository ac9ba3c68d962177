//! A database of many more segments than a process may have files open: opened, asked and merged by
//! the one that writes, and read beside it.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::quiet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidestone::{
    Agg, Aggregate, FieldType, Options, Order, ReadMode, Table, TableOptions, TagMatch, Tidestone,
    TimeRange, Value,
};

/// Seconds with rows; each is a partition that has two segments.
const SECONDS: i64 = 1_500;
/// Partitions that one flush writes.
const AT_ONCE: i64 = 15;
const HOSTS: i64 = 3;
const S: i64 = 1_000_000_000;

/// Files a process may have open in this test. The writer's index may keep 64 of its own.
const FILES: u64 = 96;
/// Segments that a database keeps open, each with its map, and those that the two threads of a query use at
/// a time.
const OPEN: usize = 64;
const IN_USE: usize = 2 * 66;

fn options() -> Options {
    Options {
        open_segments: OPEN,
        log_file_bytes: 256 << 10,
        query_threads: 2,
        ..quiet()
    }
}

/// Two rows a second of each host, the second one in a later segment.
fn fill(path: &Path) {
    let db = Tidestone::create(path, options()).unwrap();
    let table = TableOptions::new()
        .field("n", FieldType::I64)
        .partition(Duration::from_secs(1));
    let table = db.create_table("t", table).unwrap();
    let hosts: Vec<_> = (0..HOSTS)
        .map(|h| table.series(&[("host", h.to_string())]).unwrap())
        .collect();
    for half in 0..2 {
        for first in (0..SECONDS).step_by(usize::try_from(AT_ONCE).unwrap()) {
            let mut writer = db.writer();
            for second in first..first + AT_ONCE {
                for host in &hosts {
                    let time = second * S + half * (S / 2);
                    writer
                        .append(host, time, &[Value::I64(2 * second + half)])
                        .unwrap();
                }
            }
            drop(writer.commit().unwrap());
            db.flush().unwrap();
        }
    }
    assert_eq!(segments(&db), 2 * usize::try_from(SECONDS).unwrap());
    db.close().unwrap();
}

fn segments(db: &Tidestone) -> usize {
    db.status().unwrap().tables[0].segments
}

/// Segments this process has mapped.
fn mapped() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.ends_with(".seg")).count()
}

/// Every question, each over all segments; `databases` are open in this process.
fn ask(table: &Table, databases: usize) {
    let kept = OPEN * databases;
    let rows = 2 * SECONDS * HOSTS;
    for order in [Order::SeriesTime, Order::Time, Order::TimeDescending] {
        let mut sum = 0;
        let mut times = Vec::new();
        let mut stream = table.query().order(order).scan().unwrap();
        stream
            .visit(|batch| {
                times.extend_from_slice(batch.times());
                for row in 0..batch.len() {
                    match batch.value(row, 0) {
                        Value::I64(n) => sum += n,
                        other => panic!("{other:?}"),
                    }
                }
                let mapped = mapped();
                assert!(mapped <= kept + IN_USE, "{mapped} segments are mapped");
                Ok(())
            })
            .unwrap();
        assert_eq!(times.len() as i64, rows);
        assert_eq!(sum, rows * (2 * SECONDS - 1) / 2);
        match order {
            Order::Time => assert!(times.is_sorted()),
            Order::TimeDescending => assert!(times.is_sorted_by(|a, b| a >= b)),
            Order::SeriesTime => {}
        }
    }
    let of_host = table.query().filter(TagMatch::equal("host", "1"));
    assert_eq!(
        of_host
            .scan()
            .unwrap()
            .map(|b| b.unwrap().len())
            .sum::<usize>() as i64,
        rows / HOSTS
    );
    assert_eq!(table.query().last().unwrap().times().len() as i64, HOSTS);
    let range = TimeRange {
        start: 1,
        end: SECONDS * S - S,
    };
    for (query, expected) in [
        (table.query(), rows),
        (of_host, rows / HOSTS),
        (table.query().range(range), rows - 2 * HOSTS),
    ] {
        for statistics in [false, true] {
            let query = query.clone().statistics(statistics);
            let all = query.aggregate([Aggregate::rows()]).buckets().unwrap();
            assert_eq!(all.value(0, 0), Value::U64(expected.unsigned_abs()));
        }
    }
    let by_minute = table
        .query()
        .every(Duration::from_secs(60))
        .group_by(&["host"]);
    let by_minute = by_minute.aggregate([Aggregate::new(Agg::Max, "n")]);
    assert_eq!(
        by_minute.buckets().unwrap().len() as i64,
        HOSTS * SECONDS / 60
    );
    assert!(mapped() <= kept, "{} segments are mapped", mapped());
}

#[test]
fn a_database_has_more_segments_than_a_process_has_files() {
    // Where there is a disk in memory: thousands of synced files take minutes on a busy one.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    let path = folder.path().join("db");
    fill(&path);
    // The only test of its process: no other needs more files.
    let limit = Rlimit {
        current: Some(FILES),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let db = Tidestone::open(&path, options()).unwrap();
    ask(&db.table("t").unwrap(), 1);
    let reader = Tidestone::open_read_only(&path, options()).unwrap();
    ask(&reader.table("t").unwrap(), 2);
    drop(reader);
    let options_of_pread = Options {
        read_mode: ReadMode::Pread,
        ..options()
    };
    let reader = Tidestone::open_read_only(&path, options_of_pread).unwrap();
    ask(&reader.table("t").unwrap(), 1);
    drop(reader);
    db.compact().unwrap();
    assert_eq!(segments(&db), usize::try_from(SECONDS).unwrap());
    ask(&db.table("t").unwrap(), 1);
    db.close().unwrap();
}
