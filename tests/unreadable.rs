//! Calls that read and fail: an error where the answer needs them, never another answer, and nothing is
//! lost by it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail, and its helpers too"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use common::wrong::{builder, fill, open};
use common::{Row, quiet, try_contents};
use tidestone::io::{Call, SimDisk};
use tidestone::{Agg, Aggregate, ErrorKind, Options, ReadMode, Result, SeededRandom};

const UNREADABLE: &str = "unreadable sector";

/// What a database says to questions of all kinds, before and after its segments are merged.
struct Answers {
    rows: Vec<Row>,
    /// Of each bucket: how many rows, and their text.
    buckets: Vec<String>,
    last: usize,
    merged: Vec<Row>,
}

fn ask(disk: &SimDisk, read_mode: ReadMode) -> Result<Answers> {
    // No name is given twice, whatever the disk is a copy of.
    static OPENINGS: AtomicU64 = AtomicU64::new(1_000);
    let random = SeededRandom::new(OPENINGS.fetch_add(1, Ordering::Relaxed));
    let options = Options {
        read_mode,
        ..quiet()
    };
    let builder = builder(disk).options(options);
    let db = builder.random(Arc::new(random)).open()?;
    let table = db.table("t")?;
    let rows = try_contents(&table)?;
    let mut buckets = Vec::new();
    for statistics in [true, false] {
        let query = table.query().statistics(statistics);
        let query = query.every(Duration::from_nanos(100)).group_by(&["host"]);
        let aggregates = [Agg::Count, Agg::Min, Agg::Max].map(|agg| Aggregate::new(agg, "v"));
        let answer = query.aggregate(aggregates).buckets()?;
        let values = (0..answer.len()).map(|row| [0, 1, 2].map(|c| answer.value(row, c)));
        buckets.extend(values.map(|values| format!("{values:?}")));
    }
    let last = table.query().last()?.into_rows().len();
    db.compact()?;
    let merged = try_contents(&table)?;
    db.close()?;
    Ok(Answers {
        rows,
        buckets,
        last,
        merged,
    })
}

#[track_caller]
fn check(answers: &Answers, expected: &Answers, what: &str) {
    // They are long.
    assert!(answers.rows == expected.rows, "{what}: rows");
    assert!(answers.buckets == expected.buckets, "{what}: buckets");
    assert!(answers.last == expected.last, "{what}: last rows");
    assert!(answers.merged == expected.merged, "{what}: merged rows");
}

#[test]
fn a_call_that_reads_and_fails_is_an_error_or_makes_no_difference() {
    check_each_call(ReadMode::Mmap);
}

#[test]
fn a_call_that_reads_and_fails_is_an_error_or_makes_no_difference_with_pread() {
    check_each_call(ReadMode::Pread);
}

fn check_each_call(read_mode: ReadMode) {
    let sound = SimDisk::new();
    fill(&open(&sound).unwrap());
    let expected = ask(&sound.after_kill(), read_mode).unwrap();
    assert!(expected.rows == expected.merged);
    let (mut failed, mut made_no_difference) = (0, 0);
    for fails in 0.. {
        let disk = sound.after_kill();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        disk.watch(move |call, _| {
            let reads = matches!(
                call,
                Call::Open | Call::Read | Call::Map | Call::Len | Call::List
            );
            if reads && count.fetch_add(1, Ordering::SeqCst) == fails {
                return Err(std::io::Error::other(UNREADABLE));
            }
            Ok(())
        });
        let answers = ask(&disk, read_mode);
        disk.watch(|_, _| Ok(()));
        if calls.load(Ordering::SeqCst) <= fails {
            check(&answers.unwrap(), &expected, "none fails");
            break;
        }
        match answers {
            Ok(answers) => {
                check(&answers, &expected, &format!("call {fails}"));
                made_no_difference += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io, "call {fails}: {error}");
                let says = error.to_string();
                assert!(says.contains(UNREADABLE), "call {fails}: {says}");
                assert!(error.path().is_some(), "call {fails}: {says}");
                failed += 1;
            }
        }
        let after = ask(&disk.after_kill(), read_mode).unwrap();
        check(&after, &expected, &format!("after {fails}"));
    }
    assert!(failed > 20, "{failed} errors, {made_no_difference} others");
}
