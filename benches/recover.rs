//! Time and memory of opening, and memory while rows go in.
//!
//! `cargo bench --bench recover` prints a table; `-- NAME` runs the sections whose name contains NAME.
//! Each figure comes from a process of its own (this program starts itself), so that its memory is that of
//! one database: `RssAnon` and `VmHWM` of `/proc/self/status`.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures with the machine's clock"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark ends at the first failure"
)]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tidestone::{
    Agg, Aggregate, Batch, Durability, FieldType, Options, Order, SeriesHandle, Table,
    TableOptions, Tidestone, Value,
};

const START: i64 = 1_700_000_000_000_000_000;
const DAY: i64 = 86_400_000_000_000;

/// A figure of this process in `/proc/self/status`, kB.
fn status_kb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
    line.trim_start_matches(':')
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// Runs this program again as `task DIR`, and prints what it prints.
fn child(task: &str, dir: &Path) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .arg("--task")
        .arg(task)
        .arg(dir)
        .output()
        .unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    let aborted = task.starts_with("kill");
    if !aborted && !output.status.success() {
        eprintln!("{task} failed: {}", String::from_utf8_lossy(&output.stderr));
        std::process::exit(1);
    }
}

fn options() -> Options {
    Options {
        auto_compact: false,
        flush_after: None,
        ..Options::default()
    }
}

/// 100,000 series in 1,000 segments, closed.
fn fill_many(dir: &Path) {
    let db = Tidestone::create(dir, options()).unwrap();
    let table = TableOptions::new().field("value", FieldType::F64);
    let table = db.create_table("many", table).unwrap();
    let series: Vec<SeriesHandle> = (0..100_000)
        .map(|i| {
            table
                .series(&[
                    ("host", format!("host_{i}")),
                    ("rack", format!("{}", i % 100)),
                ])
                .unwrap()
        })
        .collect();
    let mut writer = db.writer();
    let mut partition = 0i64;
    while partition < 1_000 {
        for _ in 0..16.min(1_000 - partition) {
            let first = usize::try_from(partition).unwrap() * 100;
            for handle in &series[first..first + 100] {
                for i in 0..10 {
                    let time = START - partition * DAY + i * 60_000_000_000;
                    writer
                        .append(handle, time, &[Value::F64(i as f64)])
                        .unwrap();
                }
            }
            partition += 1;
        }
        writer.commit_and_wait().unwrap();
        db.flush().unwrap();
    }
    let status = db.status().unwrap();
    println!(
        "  {} series in {} segments",
        status.tables[0].series, status.tables[0].segments
    );
    db.close().unwrap();
}

fn open_many(dir: &Path) {
    let mut times = Vec::new();
    for _ in 0..7 {
        let started = Instant::now();
        let db = Tidestone::open(dir, options()).unwrap();
        times.push(started.elapsed());
        db.close().unwrap();
    }
    times.sort();
    println!(
        "  open after a clean close: median {:.1} ms, min {:.1}, max {:.1}",
        times[3].as_secs_f64() * 1e3,
        times[0].as_secs_f64() * 1e3,
        times[6].as_secs_f64() * 1e3
    );
}

/// Edits of a manifest that holds few and many series: they take the time the edit takes.
fn edits(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    for count in [1, 100_000] {
        let path = dir.join(count.to_string());
        let db = Tidestone::create(&path, options()).unwrap();
        let table = TableOptions::new().field("value", FieldType::F64);
        let table = db.create_table("many", table).unwrap();
        let series: Vec<SeriesHandle> = (0..count)
            .map(|i| table.series(&[("host", format!("host_{i}"))]).unwrap())
            .collect();
        // Series without rows are defined in the manifest.
        db.sync().unwrap();
        db.flush().unwrap();
        let mut times = Vec::new();
        for _ in 0..101 {
            let started = Instant::now();
            db.set_log_cursor("reader", db.durable_lsn()).unwrap();
            times.push(started.elapsed());
        }
        times.sort();
        println!(
            "  an edit with {count} series in the manifest: median {:.3} ms",
            times[50].as_secs_f64() * 1e3
        );
        drop(series);
        db.close().unwrap();
    }
}

/// Fills the log with 256 MiB of rows that are not flushed, and dies. With the default budget the log never
/// comes to that: rows are flushed once they take an eighth of the budget, so this one is eight times 256 MiB.
fn kill_with_full_log(dir: &Path) {
    let options = Options {
        memory_budget_bytes: 2 << 30,
        ..options()
    };
    let db = Tidestone::create(dir, options).unwrap();
    let mut table = TableOptions::new();
    for i in 0..10 {
        table = table.field(format!("f{i}"), FieldType::F64);
    }
    let table = db.create_table("wide", table).unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    let mut bytes = 0usize;
    let mut i = 0i64;
    while bytes < 256 << 20 {
        for _ in 0..1000 {
            let row: [Value<'_>; 10] =
                std::array::from_fn(|f| Value::F64((i % 977) as f64 + f as f64));
            writer.append(&series, START + i * 1_000_000, &row).unwrap();
            i += 1;
        }
        let _ticket = writer.commit_as(Durability::Os).unwrap();
        // A time and ten values; frames and padding come on top.
        bytes += 1000 * 88;
    }
    db.sync().unwrap();
    println!(
        "  {i} rows in the log; peak memory when killed {} MiB",
        status_kb("VmHWM") >> 10
    );
    std::process::abort();
}

fn open_after_kill(dir: &Path) {
    let options = Options {
        memory_budget_bytes: 2 << 30,
        ..options()
    };
    let started = Instant::now();
    let db = Tidestone::open(dir, options).unwrap();
    let elapsed = started.elapsed();
    println!(
        "  open after a kill: {:.0} ms for {} frames; peak memory {} MiB",
        elapsed.as_secs_f64() * 1e3,
        db.open_report().replayed,
        status_kb("VmHWM") >> 10
    );
    std::process::exit(0);
}

const ROWS: u64 = 100_000_000;

/// Prints how long something took, and the most anonymous memory meanwhile, kB.
fn print_peak(what: &str, seconds: f64, peak: u64, budget: usize) {
    let budget = budget as u64 >> 10;
    println!(
        "  {what}: {seconds:.1} s, peak anonymous memory {} MiB, budget {} MiB: {:.2} times",
        peak >> 10,
        budget >> 10,
        peak as f64 / budget as f64
    );
}

/// 100 million rows through a budget of 256 MiB, and questions that look into every segment.
fn memory(dir: &Path) {
    const SERIES: usize = 1_000;
    let options = Options {
        memory_budget_bytes: 256 << 20,
        ..Options::default()
    };
    let budget = options.memory_budget_bytes;
    let db = Tidestone::create(dir, options).unwrap();
    let table = TableOptions::new().field("value", FieldType::F64);
    let table = db.create_table("t", table).unwrap();
    let handles: Vec<SeriesHandle> = (0..SERIES)
        .map(|i| table.series(&[("host", i.to_string())]).unwrap())
        .collect();
    let (seconds, peak) = peak_of(|| {
        let mut writer = db.writer();
        let mut round = 0i64;
        let mut rows = 0u64;
        while rows < ROWS {
            let of_row: Vec<u32> = (0..10_000u32).map(|i| i % 1000).collect();
            let times: Vec<i64> = (0..10_000i64)
                .map(|i| START + (round * 10 + i / 1000) * 1_000_000_000)
                .collect();
            let values: Vec<f64> = (0..10_000i64)
                .map(|i| ((round + i) % 500) as f64 / 10.0)
                .collect();
            writer
                .append_batch(Batch::of_many(handles.clone(), of_row, times).f64("value", values))
                .unwrap();
            let _ticket = writer.commit_as(Durability::Os).unwrap();
            round += 1;
            rows += 10_000;
        }
        db.sync().unwrap();
    });
    let what = "writing 100 million rows over 1,000 series";
    print_peak(what, seconds, peak, budget);
    db.flush().unwrap();
    look_into_everything(&db, budget);
    db.close().unwrap();
}

/// The same questions to the same database, with a small budget.
fn memory_small(dir: &Path) {
    let options = Options {
        memory_budget_bytes: 64 << 20,
        ..options()
    };
    let budget = options.memory_budget_bytes;
    let db = Tidestone::open(dir, options).unwrap();
    look_into_everything(&db, budget);
    db.close().unwrap();
}

/// Asks twice for what needs all statistics, pages and blocks, and prints the memory meanwhile.
fn look_into_everything(db: &Tidestone, budget: usize) {
    let table = db.table("t").unwrap();
    let (seconds, peak) = peak_of(|| (0..2).for_each(|_| ask(db, &table)));
    let segments = db.status().unwrap().tables[0].segments;
    let what = format!("asking all of {segments} segments");
    print_peak(&what, seconds, peak, budget);
}

/// Reads statistics, pages and blocks of every segment, for small answers.
fn ask(db: &Tidestone, table: &Table) {
    let by_host = table.query().group_by(&["host"]);
    for statistics in [true, false] {
        let aggregates = [Aggregate::rows(), Aggregate::new(Agg::Max, "value")];
        let query = by_host.clone().statistics(statistics);
        let answer = query.aggregate(aggregates).buckets().unwrap();
        let counted = (0..answer.len()).map(|row| match answer.value(row, 0) {
            Value::U64(count) => count,
            other => panic!("{other:?}"),
        });
        assert_eq!(counted.sum::<u64>(), ROWS);
    }
    assert_eq!(table.query().last().unwrap().len(), 1_000);
    for order in [Order::SeriesTime, Order::Time] {
        let mut scanned = 0;
        let mut scan = table.query().order(order).limit(20_000_000).scan().unwrap();
        scan.visit(|batch| {
            scanned += batch.len();
            Ok(())
        })
        .unwrap();
        assert_eq!(scanned, 20_000_000);
    }
    assert_eq!(db.status().unwrap().tables[0].rows, ROWS);
}

/// How long something takes, and the most anonymous memory meanwhile, kB.
fn peak_of(work: impl FnOnce()) -> (f64, u64) {
    const SAMPLE_EVERY: Duration = Duration::from_millis(20);
    let peak = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        // It is dropped when the work is done, which ends the wait for it.
        let (working, done) = mpsc::channel::<()>();
        scope.spawn(|| {
            let done = done;
            while done.recv_timeout(SAMPLE_EVERY) == Err(RecvTimeoutError::Timeout) {
                peak.fetch_max(status_kb("RssAnon"), Ordering::Relaxed);
            }
        });
        work();
        drop(working);
    });
    (started.elapsed().as_secs_f64(), peak.into_inner())
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, task, dir] = &args[..]
        && flag == "--task"
    {
        let dir = Path::new(dir);
        match task.as_str() {
            "fill_many" => fill_many(dir),
            "open_many" => open_many(dir),
            "edits" => edits(dir),
            "kill_with_full_log" => kill_with_full_log(dir),
            "open_after_kill" => open_after_kill(dir),
            "memory_small" => memory_small(dir),
            _ => memory(dir),
        }
        return;
    }
    let sections: [(&str, &[&str]); 4] = [
        (
            "open: 100,000 series, 1,000 segments",
            &["fill_many", "open_many"],
        ),
        ("edit: 100,000 series in the manifest", &["edits"]),
        (
            "kill: a log of 256 MiB, nothing flushed",
            &["kill_with_full_log", "open_after_kill"],
        ),
        ("memory: 100 million rows", &["memory", "memory_small"]),
    ];
    let wanted: Vec<&String> = args.iter().filter(|a| !a.starts_with('-')).collect();
    for (title, tasks) in sections {
        if !wanted.is_empty() && !wanted.iter().any(|w| title.contains(w.as_str())) {
            continue;
        }
        println!("{title}");
        let dir = tempfile::tempdir().unwrap();
        for task in tasks {
            child(task, &dir.path().join("db"));
        }
    }
}
