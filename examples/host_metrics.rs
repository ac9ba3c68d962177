//! Host metrics: sample this machine's load and memory, commit each sample durably, ask for what was
//! kept.
//!
//! `cargo run --example host_metrics -- DIR` keeps the database in DIR; without it, it is gone afterwards.
#![expect(
    clippy::disallowed_methods,
    reason = "an example uses the machine's clock and files"
)]

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidestone::{Agg, Aggregate, FieldType, Options, TableOptions, Tidestone, Value};

type Failure = Box<dyn std::error::Error>;

fn now() -> Result<i64, Failure> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos(),
    )?)
}

/// The one-minute load and the free memory, kB.
fn sample() -> Result<(f64, i64), Failure> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load
        .split(' ')
        .next()
        .ok_or("no load in /proc/loadavg")?
        .parse()?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let free = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .ok_or("no MemAvailable in /proc/meminfo")?;
    Ok((load, free.trim().trim_end_matches(" kB").parse()?))
}

fn main() -> Result<(), Failure> {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args()
        .nth(1)
        .map_or(temporary.path().join("db"), PathBuf::from);
    let db = Tidestone::open_or_create(&dir, Options::default())?;
    let host = TableOptions::new()
        .field("load1", FieldType::F64)
        .field("available_kb", FieldType::I64)
        .retention_age(Some(Duration::from_secs(30 * 24 * 3600)));
    let table = db.table_or_create("host", host)?;
    let series = table.series(&[("host", "this")])?;

    let mut writer = db.writer();
    let first = now()?;
    for _ in 0..20 {
        let (load, free) = sample()?;
        writer.append(&series, now()?, &[Value::F64(load), Value::I64(free)])?;
        writer.commit_and_wait()?;
    }

    let kept = table
        .query()
        .from(first)
        .aggregate([
            Aggregate::rows(),
            Aggregate::new(Agg::Mean, "load1"),
            Aggregate::new(Agg::Min, "available_kb"),
        ])
        .buckets()?;
    for row in 0..kept.len() {
        println!(
            "{} samples, mean load {:.2}, least memory available {} kB",
            kept.value(row, 0),
            kept.value(row, 1),
            kept.value(row, 2)
        );
    }
    for table in &db.status()?.tables {
        println!(
            "table {}: {} rows in segments and {} in memory and log, {} series",
            table.name, table.rows, table.memory_rows, table.series
        );
    }
    db.close()?;
    Ok(())
}
