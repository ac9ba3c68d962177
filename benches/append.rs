//! Latency and rate of writing: append through a handle, commit at each durability, bulk.
//!
//! `cargo bench --bench append` prints a table. Latencies are open-loop (each operation has a time
//! it was due, and is measured from that moment, so that a stall counts for every operation it
//! delayed) and kept in an HDR histogram. Every figure that depends on the machine has a yardstick of
//! the same run beside it: an empty loop, or a bare `pwrite` + `fdatasync`.
//!
//! `cargo bench --bench append -- NAME` runs the sections whose name contains NAME.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures with the machine's clock"
)]
#![expect(clippy::unwrap_used, reason = "a benchmark ends at the first failure")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tidestone::{
    Batch, Durability, FieldType, Options, SeriesHandle, Table, TableOptions, Tidestone, Value,
};

/// Counts allocations, so that "none in steady state" is a measurement.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
#[expect(unsafe_code, reason = "an allocator cannot be counted without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const START: i64 = 1_700_000_000_000_000_000;

struct Bench {
    _dir: tempfile::TempDir,
    db: Tidestone,
    table: Table,
}

/// A database in the folder for temporary files (`TMPDIR`), which should be on the disk of interest.
fn open(fields: usize, options: Options) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let db = Tidestone::create(dir.path().join("db"), options).unwrap();
    let mut table = TableOptions::new();
    for i in 0..fields {
        table = table.field(format!("f{i}"), FieldType::F64);
    }
    let table = db.create_table("bench", table).unwrap();
    Bench {
        _dir: dir,
        db,
        table,
    }
}

/// A row of ten doubles.
type Row = [Value<'static>; 10];

fn row(i: u64) -> Row {
    std::array::from_fn(|f| Value::F64((i % 1000) as f64 / 100.0 + f as f64))
}

fn print(what: &str, histogram: &Histogram<u64>) {
    let at = |q| histogram.value_at_quantile(q) as f64 / 1000.0;
    println!(
        "  {what:<44} p50 {:>9.3}  p99 {:>9.3}  p99.9 {:>9.3}  max {:>9.3} us",
        at(0.5),
        at(0.99),
        at(0.999),
        histogram.max() as f64 / 1000.0
    );
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Rate of appends of rows of ten doubles, committed every thousand.
fn append_rate() {
    println!("append through a handle, 10 f64 fields, a commit every 1,000 rows, one thread");
    for durability in [Durability::Memory, Durability::Os] {
        let options = Options {
            memory_budget_bytes: 4 << 30,
            ..Options::default()
        };
        let bench = open(10, options);
        let series = bench.table.series(&[("host", "a")]).unwrap();
        let mut writer = bench.db.writer();
        const ROWS: u64 = 5_000_000;
        let mut in_append = 0;
        let started = Instant::now();
        for i in 0..ROWS {
            if i % 1000 == 0 && i >= 500_000 {
                in_append = ALLOCATIONS.load(Ordering::Relaxed);
            }
            writer
                .append(&series, START + i.cast_signed() * 1000, &row(i))
                .unwrap();
            if i % 1000 == 999 {
                if i > 500_000 {
                    let now = ALLOCATIONS.load(Ordering::Relaxed);
                    // Other threads (the log's) allocate too; appending itself must not.
                    in_append = now - in_append;
                }
                let _ticket = writer.commit_as(durability).unwrap();
            }
        }
        let elapsed = started.elapsed();
        println!(
            "  {durability:<44?} {:>9.2} million rows/s; {in_append} allocations in the last 1,000 appends",
            ROWS as f64 / elapsed.as_secs_f64() / 1e6,
        );
    }
}

/// What took longer than this is a stall: neither an append nor a look at the clock does.
const STALL_NS: u64 = 1_000;

/// How often the machine interrupted this thread or took its core away, as it counts them itself.
#[derive(Clone, Copy, Default)]
struct Interruptions {
    timer: u64,
    switches: u64,
}

impl Interruptions {
    fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let numbers =
            |line: &str| -> u64 { line.split_whitespace().flat_map(str::parse::<u64>).sum() };
        let sum = |text: &str, name: &str| {
            let mut lines = text.lines();
            lines
                .find(|l| l.trim_start().starts_with(name))
                .map_or(0, numbers)
        };
        Self {
            timer: sum(&read("/proc/interrupts"), "LOC:"),
            switches: sum(
                &read("/proc/thread-self/status"),
                "nonvoluntary_ctxt_switches:",
            ),
        }
    }
}

/// Stalls of the loop that offers appends: while it looked at the clock, and within appends.
#[derive(Default)]
struct Stalls {
    outside: (u64, u64),
    inside: (u64, u64),
}

impl Stalls {
    fn note(of: &mut (u64, u64), took: u64) {
        if took > STALL_NS {
            of.0 += 1;
            of.1 += took;
        }
    }

    fn print(&self, seconds: u64, before: Interruptions, inside_ns: u64) {
        let after = Interruptions::now();
        let rate = |n: u64| n as f64 / seconds as f64;
        let mean = |(count, ns): (u64, u64)| ns as f64 / count.max(1) as f64 / 1000.0;
        println!(
            "  {:<44} stalls over 1 us: {:.0}/s between appends (mean {:.1} us), {:.0}/s within (mean {:.1} us), \
             which are {:.0} % of the time; timer interrupts {:.0}/s, switched out {:.0}/s",
            "",
            rate(self.outside.0),
            mean(self.outside),
            rate(self.inside.0),
            mean(self.inside),
            inside_ns as f64 / seconds as f64 / 1e7,
            rate(after.timer - before.timer),
            rate(after.switches - before.switches),
        );
    }
}

/// Latency of single appends at an offered rate. Where a machine takes its cores away for
/// milliseconds the tail of the whole run is the machine's; that of short windows shows the engine, and so
/// do the stalls: those that fall between appends are none of the engine's.
fn append_latency() {
    const RATE: u64 = 500_000;
    const SECONDS: u64 = 6;
    const WINDOW: u64 = RATE / 5;
    println!("append through a handle at an offered {RATE} rows/s, 10 f64 fields");
    let gap = 1_000_000_000 / RATE;
    let measure = |what: &str, operation: &mut dyn FnMut(u64, &Row)| {
        let empty = || Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        let (mut whole, mut windows) = (empty(), Vec::new());
        let (mut stalls, mut inside) = (Stalls::default(), 0);
        let before = Interruptions::now();
        let started = Instant::now();
        let mut now = 0;
        for i in 0..RATE * SECONDS {
            if i % WINDOW == 0 {
                windows.push(empty());
            }
            // The row is there before it is due: only what the engine does with it is measured.
            let row = std::hint::black_box(row(i));
            let due = i * gap;
            loop {
                let last = std::mem::replace(&mut now, nanos(started.elapsed()));
                Stalls::note(&mut stalls.outside, now - last);
                if now >= due {
                    break;
                }
                std::hint::spin_loop();
            }
            operation(i, &row);
            let done = nanos(started.elapsed());
            Stalls::note(&mut stalls.inside, done - now);
            inside += done - now;
            now = done;
            let late = now.saturating_sub(due).max(1);
            whole.saturating_record(late);
            windows.last_mut().unwrap().saturating_record(late);
        }
        print(what, &whole);
        // The first window fills buffers.
        let mut tails: Vec<u64> = windows[1..]
            .iter()
            .map(|w| w.value_at_quantile(0.999))
            .collect();
        tails.sort_unstable();
        println!(
            "  {:<44} p99.9 of 0.2 s: median {:>9.3}, lowest {:>9.3} us",
            "",
            tails[tails.len() / 2] as f64 / 1000.0,
            tails[0] as f64 / 1000.0
        );
        stalls.print(SECONDS, before, inside);
    };
    measure("empty loop", &mut |_, _| {});
    for (durability, commit_every) in [
        (Durability::Memory, 1_000),
        (Durability::Os, 1_000),
        (Durability::Memory, 16),
        (Durability::Os, 16),
        (Durability::Memory, u64::MAX),
    ] {
        let options = Options {
            memory_budget_bytes: 2 << 30,
            ..Options::default()
        };
        let bench = open(10, options);
        let series = bench.table.series(&[("host", "a")]).unwrap();
        let mut writer = bench.db.writer();
        let what = match commit_every {
            u64::MAX => "append alone, nothing committed".to_owned(),
            rows => format!("{durability:?}, commit every {rows} rows included"),
        };
        measure(&what, &mut |i, row| {
            writer
                .append(&series, START + i.cast_signed() * 2000, row)
                .unwrap();
            if i % commit_every == commit_every - 1 {
                let _ticket = writer.commit_as(durability).unwrap();
            } else if commit_every == u64::MAX && i % 100_000 == 99_999 {
                writer.clear();
            }
        });
    }
}

/// One committer, each commit waited for, beside a bare overwrite and sync of one page.
fn synced_latency() {
    const COMMITS: u64 = 2_000;
    println!("a lone committer, one row of 10 f64 fields a commit, durable, five interleaved runs");
    let bench = open(10, Options::default());
    let series = bench.table.series(&[("host", "a")]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bare = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(dir.path().join("bare"));
    let bare = bare.unwrap();
    let file_len = 64u64 << 20;
    let zeros = vec![0u8; 1 << 20];
    for i in 0..64 {
        bare.write_all_at(&zeros, i << 20).unwrap();
    }
    bare.sync_all().unwrap();
    let page = vec![7u8; 4096];
    let mut writer = bench.db.writer();
    let (mut at, mut i) = (0u64, 0u64);
    let mut ratios = Vec::new();
    for run in 0..5 {
        let mut ours = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        let mut theirs = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for _ in 0..COMMITS / 5 {
            for _ in 0..5 {
                let started = Instant::now();
                bare.write_all_at(&page, at).unwrap();
                bare.sync_data().unwrap();
                theirs.saturating_record(nanos(started.elapsed()));
                at = (at + 4096) % file_len;
            }
            for _ in 0..5 {
                let started = Instant::now();
                writer
                    .append(&series, START + i.cast_signed(), &row(i))
                    .unwrap();
                writer.commit_and_wait().unwrap();
                ours.saturating_record(nanos(started.elapsed()));
                i += 1;
            }
        }
        let ratio = |q| ours.value_at_quantile(q) as f64 / theirs.value_at_quantile(q) as f64;
        print(
            &format!("run {run}: bare 4 KiB overwrite + fdatasync"),
            &theirs,
        );
        print(&format!("run {run}: commit_and_wait"), &ours);
        ratios.push((ratio(0.5), ratio(0.99)));
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let p50 = ratios[2].0;
    ratios.sort_by(|a, b| a.1.total_cmp(&b.1));
    println!(
        "  median ratio to the bare sync: p50 {p50:.2}, p99 {:.2}",
        ratios[2].1
    );
}

/// Group commit: many tickets on their way, many threads waiting.
fn group_commit() {
    /// Commits of each of the threads.
    const EACH: i64 = 5_000;
    println!("group commit, one row of 10 f64 fields a commit, durable");
    let bench = open(10, Options::default());
    let series = bench.table.series(&[("host", "a")]).unwrap();
    let alone = {
        let mut writer = bench.db.writer();
        let started = Instant::now();
        for i in 0..3_000 {
            writer
                .append(&series, START + i, &row(i.cast_unsigned()))
                .unwrap();
            writer.commit_and_wait().unwrap();
        }
        3_000.0 / started.elapsed().as_secs_f64()
    };
    println!("  one thread, one at a time                    {alone:>12.0} commits/s");
    let tickets = {
        let mut writer = bench.db.writer();
        let mut outstanding = VecDeque::new();
        let started = Instant::now();
        for i in 0..200_000i64 {
            writer
                .append(&series, START + i, &row(i.cast_unsigned()))
                .unwrap();
            outstanding.push_back(writer.commit().unwrap());
            if outstanding.len() == 64 {
                outstanding.pop_front().unwrap().wait().unwrap();
            }
        }
        outstanding.into_iter().for_each(|t| t.wait().unwrap());
        200_000.0 / started.elapsed().as_secs_f64()
    };
    println!(
        "  one thread, 64 tickets outstanding           {tickets:>12.0} commits/s, {:.1} times",
        tickets / alone
    );
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..64i64 {
            let (db, series) = (&bench.db, &series);
            scope.spawn(move || {
                let mut writer = db.writer();
                for i in 0..EACH {
                    let time = START + thread * 1_000_000 + i;
                    writer
                        .append(series, time, &row(i.cast_unsigned()))
                        .unwrap();
                    writer.commit_and_wait().unwrap();
                }
            });
        }
    });
    let blocked = (64 * EACH) as f64 / started.elapsed().as_secs_f64();
    println!(
        "  64 threads, each waiting                     {blocked:>12.0} commits/s, {:.1} times",
        blocked / alone
    );
}

/// Whole columns, durable at the end.
fn bulk() {
    const ROWS: usize = 100_000;
    const BATCHES: usize = 20;
    println!(
        "bulk append_batch, 10 f64 fields, batches of {ROWS} rows of one series, durable at the end"
    );
    let bench = open(
        10,
        Options {
            memory_budget_bytes: 1 << 30,
            ..Options::default()
        },
    );
    let series = bench.table.series(&[("host", "a")]).unwrap();
    let batches: Vec<Batch> = (0..BATCHES)
        .map(|b| {
            let time = |i: usize| START + i64::try_from(b * ROWS + i).unwrap() * 1_000_000;
            let mut batch = Batch::of_series(&series, (0..ROWS).map(time).collect());
            for f in 0..10 {
                let value = |i: usize| ((i * 7 + f) % 1000) as f64 / 100.0;
                batch = batch.f64(format!("f{f}"), (0..ROWS).map(value).collect());
            }
            batch
        })
        .collect();
    let mut writer = bench.db.writer();
    let started = Instant::now();
    for batch in batches {
        writer.append_batch(batch).unwrap();
        let _ticket = writer.commit_as(Durability::Memory).unwrap();
    }
    bench.db.sync().unwrap();
    let elapsed = started.elapsed().as_secs_f64();
    let values = (ROWS * BATCHES * 10) as f64;
    println!(
        "  durable in the log                           {:>12.1} million values/s",
        values / elapsed / 1e6
    );
    bench.db.flush().unwrap();
    let elapsed = started.elapsed().as_secs_f64();
    println!(
        "  and flushed to segments                      {:>12.1} million values/s",
        values / elapsed / 1e6
    );
}

/// One-field rows interleaved over many series.
fn interleaved() {
    const SERIES: usize = 100_000;
    const ROUNDS: usize = 40;
    println!(
        "one-field rows through handles, interleaved over {SERIES} series, commits of 10,000 rows (Os), \
         durable at the end"
    );
    let bench = open(
        1,
        Options {
            memory_budget_bytes: 1 << 30,
            ..Options::default()
        },
    );
    let started = Instant::now();
    let handles: Vec<SeriesHandle> = (0..SERIES)
        .map(|i| bench.table.series(&[("host", i.to_string())]).unwrap())
        .collect();
    println!(
        "  new series                                   {:>12.0} a second",
        SERIES as f64 / started.elapsed().as_secs_f64()
    );
    let mut writer = bench.db.writer();
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
    let started = Instant::now();
    let mut batch_started = Instant::now();
    let mut staged = 0;
    for round in 0..ROUNDS {
        for (i, handle) in handles.iter().enumerate() {
            let time = START + i64::try_from(round).unwrap() * 1_000_000_000;
            writer
                .append(handle, time, &[Value::F64((i % 100) as f64)])
                .unwrap();
            staged += 1;
            if staged == 10_000 {
                let _ticket = writer.commit_as(Durability::Os).unwrap();
                histogram.saturating_record(nanos(batch_started.elapsed()));
                (staged, batch_started) = (0, Instant::now());
            }
        }
    }
    bench.db.sync().unwrap();
    let rate = (SERIES * ROUNDS) as f64 / started.elapsed().as_secs_f64() / 1e6;
    println!("  rows                                         {rate:>12.2} million/s");
    print("a batch of 10,000, staging included", &histogram);
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let sections: [(&str, fn()); 6] = [
        ("append_rate", append_rate),
        ("append_latency", append_latency),
        ("synced_latency", synced_latency),
        ("group_commit", group_commit),
        ("bulk", bulk),
        ("interleaved", interleaved),
    ];
    for (name, section) in sections {
        if wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str())) {
            section();
        }
    }
}
