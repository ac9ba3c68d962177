//! Many threads at once: writers, tickets waited for and awaited, deletes, flushes, merges, readers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{Dice, Fields, Row, Step, Val, contents, difference, quiet, replay, seeds};
use tidestone::io::{Fault, SimDisk};
use tidestone::{
    DuplicatePolicy, Durability, ErrorKind, FieldType, Lsn, Options, TableOptions, TagMatch,
    Tidestone, TimeRange, Value,
};

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// One writer: rows and deletes of series of its own, so that its history is the model's.
fn write(db: &Tidestone, thread: u64, seed: u64, batches: u64) -> Vec<Step> {
    let table = db.table("t").unwrap();
    let (mut dice, mut steps) = (Dice(seed * 100 + thread), Vec::new());
    let mut writer = db.writer();
    let mut last = None;
    for batch in 0..batches {
        let mut rows: Vec<Row> = Vec::new();
        // A batch of many rows goes another way into log and head than one of a few.
        let count = match dice.roll(20) {
            0 => 400,
            _ => 1 + dice.roll(20),
        };
        for _ in 0..count {
            // New series all the time: each is defined while others commit and flush.
            let host = format!("{thread}-{}", dice.roll(batch + 1));
            let series = table.series(&[("host", &host)]).unwrap();
            let time = dice.roll(40).cast_signed() * 100_000_000;
            let value = dice.roll(1_000).cast_signed();
            writer.append(&series, time, &[Value::I64(value)]).unwrap();
            let fields = Fields::from([("v".to_owned(), Val::I64(value))]);
            rows.push((format!("host={host}"), time, fields));
        }
        steps.push(Step::Rows(rows));
        let lsn = match dice.roll(5) {
            0 => writer.commit_and_wait().unwrap(),
            1 => {
                let ticket = writer.commit().unwrap();
                block_on(ticket.clone()).unwrap();
                assert!(ticket.is_durable());
                ticket.lsn()
            }
            2 => {
                let ticket = writer.commit().unwrap();
                assert!(ticket.wait_timeout(Duration::from_secs(60)).unwrap());
                ticket.lsn()
            }
            3 => writer.commit_as(Durability::Os).unwrap().lsn(),
            _ => writer.commit().unwrap().lsn(),
        };
        assert!(last < Some(lsn), "{last:?}, then {lsn}");
        last = Some(lsn);
        if dice.roll(6) == 0 {
            let host = format!("{thread}-{}", dice.roll(batch + 1));
            let start = dice.roll(30).cast_signed() * 100_000_000;
            let range = TimeRange {
                start,
                end: start + 1_500_000_000,
            };
            let test = TagMatch::equal("host", host.clone());
            drop(table.delete(&[test], range).unwrap());
            steps.push(Step::Delete(Some(format!("host={host}")), range));
        }
    }
    steps
}

fn run(policy: DuplicatePolicy, seed: u64, real: bool) {
    const THREADS: u64 = 4;
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        auto_compact: true,
        ..quiet()
    };
    let path = folder.path().join("db");
    let mut builder = Tidestone::builder(&path).options(options.clone());
    if !real {
        builder = builder.disk(Arc::new(tidestone::io::SimDisk::new()));
    }
    let db = builder.create().unwrap();
    let table = TableOptions::new()
        .field("v", FieldType::I64)
        .policy(policy)
        .partition(Duration::from_secs(1));
    let table = db.create_table("t", table).unwrap();
    let done = AtomicBool::new(false);
    let mut expected: Vec<Row> = Vec::new();
    std::thread::scope(|scope| {
        let (db, done) = (&db, &done);
        let others = [
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    db.flush().unwrap();
                }
            }),
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    db.compact().unwrap();
                }
            }),
            scope.spawn(move || {
                let table = db.table("t").unwrap();
                while !done.load(Ordering::SeqCst) {
                    contents(&table);
                    db.status().unwrap();
                }
            }),
        ];
        let writers: Vec<_> = (0..THREADS)
            .map(|t| scope.spawn(move || write(db, t, seed, 60)))
            .collect();
        let histories: Vec<_> = writers.into_iter().map(|w| w.join()).collect();
        done.store(true, Ordering::SeqCst);
        others.into_iter().for_each(|o| o.join().unwrap());
        for history in histories {
            expected.extend(replay(policy, &history.unwrap()));
        }
    });
    expected.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let check = |what: &str, rows: &[Row]| {
        if let Some(difference) = difference(rows, &expected) {
            panic!("seed {seed}, {policy:?}, real {real}, {what}: {difference}");
        }
    };
    check("live", &contents(&table));
    db.compact().unwrap();
    check("merged", &contents(&table));
    db.close().unwrap();
    if real {
        let db = Tidestone::open(&path, options).unwrap();
        assert_eq!(db.open_report().index_rebuilt, None);
        check("opened again", &contents(&db.table("t").unwrap()));
    }
}

#[test]
fn threads_that_write_delete_flush_merge_and_read_agree_with_the_model() {
    for seed in seeds(4) {
        for policy in [
            DuplicatePolicy::All,
            DuplicatePolicy::Replace,
            DuplicatePolicy::First,
        ] {
            run(policy, seed, seed % 4 == 3);
        }
    }
}

#[test]
fn who_waits_for_an_lsn_is_told_when_it_is_durable_and_that_it_never_will_be() {
    let db = Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(SimDisk::new()))
        .create()
        .unwrap();
    let fields = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", fields).unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 1, &[Value::I64(1)]).unwrap();
    let lsn = writer.commit_as(Durability::Memory).unwrap().lsn();
    // Nothing syncs what asked for no sync, and waiting does not either.
    assert!(!db.wait_durable(lsn, Some(Duration::ZERO)).unwrap());
    let mut polled = pin!(db.when_durable(lsn));
    let mut context = Context::from_waker(Waker::noop());
    assert!(polled.as_mut().poll(&mut context).is_pending());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| db.wait_durable(lsn, None));
        let awaits = scope.spawn(|| block_on(db.when_durable(lsn)));
        assert!(db.sync().unwrap() >= lsn);
        assert!(waits.join().unwrap().unwrap());
        awaits.join().unwrap().unwrap();
    });
    assert!(db.durable_lsn() >= lsn);
    assert!(db.wait_durable(lsn, Some(Duration::ZERO)).unwrap());
    assert!(polled.as_mut().poll(&mut context).is_ready());

    // Nobody committed this, and nobody will.
    let never = Lsn(lsn.0 + 1_000);
    assert!(!db.wait_durable(never, Some(Duration::ZERO)).unwrap());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| db.wait_durable(never, None));
        let awaits = scope.spawn(|| block_on(db.when_durable(never)));
        db.close().unwrap();
        let closed = [
            waits.join().unwrap().map(drop),
            awaits.join().unwrap(),
            block_on(db.when_durable(never)),
        ];
        for told in closed {
            assert_eq!(told.unwrap_err().kind(), ErrorKind::Closed);
        }
    });
    block_on(db.when_durable(lsn)).unwrap();
}

#[test]
fn who_waits_for_an_lsn_is_told_when_the_log_fails() {
    let disk = SimDisk::new();
    let db = Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .create()
        .unwrap();
    let never = Lsn(db.sync().unwrap().0 + 1);
    let fields = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", fields).unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 1, &[Value::I64(1)]).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| db.wait_durable(never, None));
        let awaits = scope.spawn(|| block_on(db.when_durable(never)));
        disk.inject(Fault::FromCall(0));
        assert!(writer.commit_and_wait().is_err());
        for told in [waits.join().unwrap().map(drop), awaits.join().unwrap()] {
            assert_eq!(told.unwrap_err().kind(), ErrorKind::Poisoned);
        }
    });
}
