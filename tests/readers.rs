//! Readers that open a database again and again beside a busy writer, and such that follow it: always
//! a prefix, never an error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use common::{Val, contents, quiet, seeds};
use tidestone::{DuplicatePolicy, FieldType, Options, TableOptions, Tidestone, TimeRange, Value};

const HOSTS: i64 = 3;

fn options() -> Options {
    Options {
        log_file_bytes: 64 << 10,
        ..quiet()
    }
}

/// Checks that what a reader sees is a prefix of the writer's batches, at least `atleast` of them.
/// Returns how many.
fn read(db: &Tidestone, atleast: i64) -> i64 {
    assert_eq!(db.open_report().unleased, None);
    let table = db.table("t").unwrap_or_else(|e| panic!("table: {e}"));
    let rows = contents(&table);
    let batches = rows.iter().map(|r| r.1 + 1).max().unwrap_or(0);
    assert!(
        batches >= atleast,
        "{batches} batches, {atleast} were durable before"
    );
    assert_eq!(
        rows.len() as i64,
        batches * HOSTS,
        "a prefix of whole batches"
    );
    for (host, of_host) in rows.chunk_by(|a, b| a.0 == b.0).enumerate() {
        assert!(of_host.iter().map(|r| r.1).eq(0..batches), "host {host}");
        assert!(of_host.iter().all(|r| r.2["n"] == Val::I64(r.1)));
    }
    batches
}

fn open(path: &Path) -> Tidestone {
    Tidestone::open_read_only(path, options()).unwrap_or_else(|e| panic!("open: {e}"))
}

/// Started by the test below in another process.
#[test]
#[ignore = "a part of readers_beside_a_busy_writer_see_a_prefix"]
fn reader() {
    let Ok(path) = std::env::var("TIDESTONE_TEST_READ") else {
        return;
    };
    let mut seen = 0;
    for round in 0..8 {
        let db = open(Path::new(&path));
        for _ in 0..8 {
            seen = read(&db, seen);
            db.refresh().unwrap();
        }
        // Every other reader ends without a word, as one that is killed.
        match round % 2 {
            0 => std::mem::forget(db),
            _ => db.close().unwrap(),
        }
    }
    println!("seen {seen}");
    std::io::stdout().flush().unwrap();
}

#[test]
fn readers_beside_a_busy_writer_see_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let db = Tidestone::create(&path, options()).unwrap();
    let table = TableOptions::new()
        .field("n", FieldType::I64)
        .field("text", FieldType::String)
        .policy(DuplicatePolicy::All)
        .partition(Duration::from_secs(1));
    let table = db.create_table("t", table).unwrap();
    let side = db
        .create_table("side", TableOptions::new().field("n", FieldType::I64))
        .unwrap();
    let (done, durable) = (AtomicBool::new(false), AtomicI64::new(0));
    let reads = i64::try_from(seeds(60).end).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let hosts: Vec<_> = (0..HOSTS)
                .map(|h| table.series(&[("host", h.to_string())]).unwrap())
                .collect();
            let other = side.series(&[("host", "x")]).unwrap();
            let mut writer = db.writer();
            let text = "t".repeat(200);
            for n in 0.. {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                for host in &hosts {
                    writer
                        .append(host, n, &[Value::I64(n), Value::String(&text)])
                        .unwrap();
                }
                writer.append(&other, n, &[Value::I64(n)]).unwrap();
                writer.commit_and_wait().unwrap();
                durable.store(n + 1, Ordering::SeqCst);
                match n % 50 {
                    10 | 30 | 40 => db.flush().unwrap(),
                    45 => drop(db.compact().unwrap()),
                    20 => drop(
                        side.delete(
                            &[],
                            TimeRange {
                                start: 0,
                                end: n - 5,
                            },
                        )
                        .unwrap(),
                    ),
                    _ => {}
                }
            }
        });
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _done = Done(&done);
        let start = |_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["reader", "--exact", "--ignored", "--nocapture"])
                .env("TIDESTONE_TEST_READ", &path)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let others: Vec<_> = (0..2).map(start).collect();
        let follower = open(&path);
        for _ in 0..reads {
            let before = durable.load(Ordering::SeqCst);
            follower.refresh().unwrap();
            read(&follower, before);
            let before = durable.load(Ordering::SeqCst);
            read(&open(&path), before);
        }
        for other in others {
            let output = other.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() && text.contains("seen"),
                "{text}\n{errors}"
            );
        }
    });
    db.close().unwrap();
    let written = durable.load(Ordering::SeqCst);
    assert_eq!(read(&open(&path), written), written);
    // Neither the readers' leases nor the files they kept are left.
    let db = Tidestone::open(&path, options()).unwrap();
    let status = db.status().unwrap();
    assert_eq!(status.readers, tidestone::ReaderStatus::default());
    db.close().unwrap();
}
