//! `demo`: the engine at work on real data, and through a kill.
//!
//! | module | what |
//! |---|---|
//! | `live` | the child process that samples this machine, and its killing |
//! | `counters` | what `/proc` says |
//! | `show` | queries, a chart, a segment |

mod counters;
mod live;
mod show;

use std::cell::OnceCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use tidestone::{Options, Tidestone};

use super::files::DbFiles;
use super::import::{ImportArgs, Signals, import};
use super::stats::bits_per_value;
use crate::outcome::{Failure, Outcome, Run};
use crate::text::TextTable;

/// The length of the partitions of old data: a quarter of a year.
const PARTITION_NS: i64 = 90 * 24 * 3600 * 1_000_000_000;

/// Where the data lies and where the database goes.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The folder of the demo data
    #[arg(long, required_unless_present = "sample")]
    data: Option<PathBuf>,
    /// The folder in which the database is made
    #[arg(long)]
    dir: PathBuf,
    /// Be the child process that samples this machine until it is killed
    #[arg(long, hide = true)]
    sample: bool,
}

/// Carries out `tidestone demo`.
pub(crate) fn run(args: &DemoArgs, out: &mut dyn Write) -> Run {
    let db = args.dir.join("db");
    if args.sample {
        return live::sample(&db, out);
    }
    let Some(data) = &args.data else {
        return Err(Failure::new("--data is missing"));
    };
    if db.exists() {
        return Err(Failure::new(format_args!(
            "{} is there already; remove it",
            db.display()
        )));
    }
    let imported = import_all(data, &db, out)?;
    writeln!(out, "\n# A process that writes, killed in the middle")?;
    out.flush()?;
    let killed = live::run_and_kill(&args.dir, out)?;
    let started = Instant::now();
    let open = Tidestone::open(&db, Options::default())?;
    let took = started.elapsed();
    let report = open.open_report();
    writeln!(
        out,
        "reopened in {:.1} ms: {} entries of the log replayed{}",
        took.as_secs_f64() * 1e3,
        report.replayed,
        match &report.log_tail {
            Some(tail) => format!("; an unsynced tail was cut ({tail})"),
            None => String::new(),
        }
    )?;
    let kept = live::check(&open, &killed, out)?;
    show::queries(&open, out)?;
    show::chart(&open, out)?;
    open.close()?;
    show::segment(&DbFiles::new(&db), out)?;
    summary(&imported, &killed, kept, &DbFiles::new(&db), out)?;
    Ok(Outcome::sound(kept))
}

/// What an import took.
struct Imported {
    table: &'static str,
    files: usize,
    rows: u64,
    values: u64,
    seconds: f64,
}

fn import_all(data: &Path, dir: &Path, out: &mut dyn Write) -> Run<Vec<Imported>> {
    writeln!(out, "# Importing real data into {}", dir.display())?;
    out.flush()?;
    let db = Tidestone::create(dir, Options::default())?;
    let nab: Vec<ImportArgs> = nab_files(&data.join("nab"))?
        .into_iter()
        .map(|(group, name, path)| {
            let tags = [("group", group), ("file", name)];
            let mut args = ImportArgs::of_csv("nab", "timestamp", path, PARTITION_NS);
            args.tag = tags.map(|(n, v)| (n.to_owned(), v)).to_vec();
            args
        })
        .collect();
    let host = data.join("hostmetrics").join("host_metrics_100ms_a.csv.gz");
    let mut host = ImportArgs::of_csv("hostmetrics", "time_ns", host, PARTITION_NS);
    host.time_format = Some("ns".parse().map_err(Failure::new)?);
    let mut all = Vec::new();
    for (table, files) in [("nab", nab), ("hostmetrics", vec![host])] {
        let started = Instant::now();
        let mut sum = Imported {
            table,
            files: files.len(),
            rows: 0,
            values: 0,
            seconds: 0.0,
        };
        for args in &files {
            let imported = import(&OnceCell::from(db.clone()), args, &Signals::default());
            imported.result?;
            sum.rows += imported.summary.rows();
            sum.values += imported.summary.values();
        }
        db.sync()?;
        sum.seconds = started.elapsed().as_secs_f64();
        writeln!(
            out,
            "{table}: {} rows, {} values from {} files in {:.2} s",
            sum.rows, sum.values, sum.files, sum.seconds
        )?;
        all.push(sum);
    }
    db.close()?;
    Ok(all)
}

/// Group, name without extension, and path of each file.
fn nab_files(dir: &Path) -> Run<Vec<(String, String, PathBuf)>> {
    let list = |dir: &Path| -> Run<Vec<PathBuf>> {
        let entries = std::fs::read_dir(dir).map_err(|e| Failure::file("list", dir, &e))?;
        let paths: Result<Vec<PathBuf>, _> = entries.map(|e| e.map(|e| e.path())).collect();
        let mut paths = paths.map_err(|e| Failure::file("list", dir, &e))?;
        paths.sort();
        Ok(paths)
    };
    let mut files = Vec::new();
    for folder in list(dir)?.into_iter().filter(|p| p.is_dir()) {
        let group = file_name(&folder);
        for path in list(&folder)? {
            let name = file_name(&path);
            let name = name.trim_end_matches(".gz").trim_end_matches(".csv");
            files.push((group.clone(), name.to_owned(), path));
        }
    }
    Ok(files)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or(String::new(), |n| n.to_string_lossy().into_owned())
}

fn summary(
    imported: &[Imported],
    killed: &live::Killed,
    kept: bool,
    files: &DbFiles,
    out: &mut dyn Write,
) -> Run<()> {
    writeln!(out, "\n# In short")?;
    let mut table = TextTable::new(["table", "rows", "values/s imported", "bits/value on disk"]);
    for sum in imported {
        let bits = bits_per_value(files, sum.table)?;
        table.row([
            sum.table.to_owned(),
            sum.rows.to_string(),
            format!("{:.0}", sum.values as f64 / sum.seconds.max(1e-9)),
            bits.map_or("-".to_owned(), |b| format!("{b:.2}")),
        ]);
    }
    let bits = bits_per_value(files, live::TABLE)?;
    table.row([
        live::TABLE.to_owned(),
        killed.rows().to_string(),
        "-".to_owned(),
        bits.map_or("-".to_owned(), |b| format!("{b:.2}")),
    ]);
    table.print("", out)?;
    let (median, high) = (killed.latency(50), killed.latency(99));
    writeln!(
        out,
        "{} commits, each synced before it was acknowledged: p50 {median} us, p99 {high} us; {}",
        killed.acknowledged.len(),
        fate(kept)
    )?;
    Ok(())
}

/// What became of the acknowledged commits.
fn fate(kept: bool) -> &'static str {
    if kept {
        "none was lost by the kill"
    } else {
        "NOT ALL OF THEM ARE THERE after the kill"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_does_not_deny_a_loss() {
        assert!(fate(true).contains("none was lost"));
        assert!(!fate(false).contains("none"));
        assert!(fate(false).contains("NOT ALL"));
    }
}
