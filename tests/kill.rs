//! A process that is killed at a random moment loses nothing it has acknowledged.
//!
//! The test starts itself again as the victim, which prints each batch it was told survives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Dice, Val, contents, quiet, seeds};
use tidestone::{DuplicatePolicy, Durability, FieldType, Options, TableOptions, Tidestone, Value};

const ROWS: i64 = 7;

fn options() -> Options {
    Options {
        auto_compact: true,
        ..quiet()
    }
}

/// Commits batches for ever: batch `n` has [`ROWS`] rows at time `n`, each with the value `n`.
#[test]
#[ignore = "a part of a_killed_writer_loses_nothing_acknowledged"]
fn victim() {
    let Ok(path) = std::env::var("TIDESTONE_TEST_VICTIM") else {
        return;
    };
    let db = Tidestone::open(path, options()).unwrap();
    let table = db.table("t").unwrap();
    let next = contents(&table).last().map_or(0, |row| row.1 + 1);
    println!("opened");
    let series: Vec<_> = (0..ROWS)
        .map(|s| table.series(&[("host", s.to_string())]).unwrap())
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                db.flush().unwrap();
                db.compact().unwrap();
            }
        });
        let mut writer = db.writer();
        for n in next.. {
            for one in &series {
                writer.append(one, n, &[Value::I64(n)]).unwrap();
            }
            // What survives a crash of the process is enough here, however it got there.
            match n % 3 {
                0 => {
                    writer.commit_and_wait().unwrap();
                }
                1 => writer.commit().unwrap().wait().unwrap(),
                _ => writer.commit_as(Durability::Os).unwrap().wait().unwrap(),
            }
            println!("acknowledged {n}");
            std::io::stdout().flush().unwrap();
        }
    });
}

/// Runs a victim, kills it after a while and gives the last batch it acknowledged.
fn run_victim(path: &Path, lines: usize, pause: Duration) -> Option<i64> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["victim", "--exact", "--ignored", "--nocapture"])
        .env("TIDESTONE_TEST_VICTIM", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(victim.stdout.take().unwrap()).lines();
    let mut last = None;
    let mut note = |line: &str| {
        if let Some(n) = line.strip_prefix("acknowledged ") {
            last = Some(n.parse::<i64>().unwrap());
        }
    };
    for line in output.by_ref().take(lines) {
        note(&line.unwrap());
    }
    // Nothing to wait for: the moment is to be a random one.
    std::thread::park_timeout(pause);
    victim.kill().unwrap();
    // What it had printed before it died counts too; the last line may be cut.
    for line in output.map_while(std::result::Result::ok) {
        note(&line);
    }
    victim.wait().unwrap();
    last
}

#[test]
fn a_killed_writer_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let db = Tidestone::create(&path, options()).unwrap();
    let table = TableOptions::new()
        .field("n", FieldType::I64)
        .policy(DuplicatePolicy::All)
        .partition(Duration::from_secs(1));
    db.create_table("t", table).unwrap();
    db.close().unwrap();
    drop(db);
    let mut dice = Dice(std::process::id().into());
    let mut acknowledged = None;
    for round in seeds(8) {
        let (lines, pause) = (8 + dice.index(300), Duration::from_micros(dice.roll(3_000)));
        acknowledged = run_victim(&path, lines, pause).or(acknowledged);
        let db = Tidestone::open(&path, options()).unwrap_or_else(|e| panic!("round {round}: {e}"));
        let mut batches: BTreeMap<i64, i64> = BTreeMap::new();
        for (_, time, fields) in contents(&db.table("t").unwrap()) {
            assert_eq!(fields["n"], Val::I64(time), "round {round}");
            *batches.entry(time).or_default() += 1;
        }
        let there = batches.keys().next_back().copied();
        assert!(
            there >= acknowledged,
            "round {round}: {there:?} of {acknowledged:?}"
        );
        let whole = batches.values().all(|rows| *rows == ROWS);
        assert!(whole, "round {round}: a batch is not whole");
        assert!(
            batches.keys().copied().eq(0..batches.len() as i64),
            "round {round}: a gap"
        );
        if round % 2 == 0 {
            db.close().unwrap();
        }
    }
    assert!(acknowledged > Some(100), "{acknowledged:?}");
}
