//! The child process that samples this machine, and its killing.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tidestone::{Options, SeriesHandle, TableOptions, Tidestone};

use super::counters::{SOURCES, fields, values};
use crate::outcome::{Failure, Run};
use crate::time::now;

/// The table that the child writes to.
pub(super) const TABLE: &str = "live";
const INTERVAL: Duration = Duration::from_millis(100);
/// How long the child may live once it has acknowledged its first commit; not a multiple of the
/// interval.
const LIFE: Duration = Duration::from_millis(4037);
/// How long it may take to its first commit.
const START: Duration = Duration::from_secs(60);

/// What the child acknowledged before it was killed.
pub(super) struct Killed {
    pub(super) acknowledged: Vec<Acknowledged>,
}

/// A commit that the child said was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acknowledged {
    lsn: u64,
    time: i64,
    rows: u64,
    /// What commit and sync took.
    micros: u64,
}

impl Killed {
    /// Rows of all commits.
    pub(super) fn rows(&self) -> u64 {
        self.acknowledged.iter().map(|a| a.rows).sum()
    }

    /// The latency that `percent` of the commits did not exceed, in microseconds.
    pub(super) fn latency(&self, percent: usize) -> u64 {
        let mut all: Vec<u64> = self.acknowledged.iter().map(|a| a.micros).collect();
        all.sort_unstable();
        let at = (all.len() * percent).div_ceil(100).saturating_sub(1);
        all.get(at).copied().unwrap_or(0)
    }
}

/// Samples this machine ten times a second until it is killed. Each line on stdout acknowledges a
/// commit: LSN, timestamp, rows, microseconds.
pub(super) fn sample(dir: &Path, out: &mut dyn Write) -> Run {
    let db = Tidestone::open(dir, Options::default())?;
    let options = fields().fold(TableOptions::new(), |o, (name, t)| o.field(name, t));
    let table = db.table_or_create(TABLE, options)?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "localhost",
        host => host,
    };
    let series = SOURCES
        .iter()
        .map(|s| table.series(&[("host", host), ("source", s.name)]));
    let series: Vec<SeriesHandle> = series.collect::<tidestone::Result<_>>()?;
    let mut writer = db.writer();
    let mut due = Instant::now();
    loop {
        let time = now();
        for (source, handle) in series.iter().enumerate() {
            if let Some(values) = values(source) {
                writer.append(handle, time, &values)?;
            }
        }
        let rows = writer.staged_rows();
        if rows == 0 {
            return Err(Failure::new("this system has no /proc to sample"));
        }
        let started = Instant::now();
        let lsn = writer.commit_and_wait()?;
        let micros = started.elapsed().as_micros();
        writeln!(out, "{lsn} {time} {rows} {micros}")?;
        out.flush()?;
        due += INTERVAL;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Starts the child, listens to it for a few seconds, and kills it.
pub(super) fn run_and_kill(dir: &Path, out: &mut dyn Write) -> Run<Killed> {
    let program = std::env::current_exe();
    let program = program.map_err(|e| Failure::new(format_args!("cannot find myself: {e}")))?;
    let child = Command::new(&program)
        .args(["demo", "--sample", "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|e| Failure::file("start", &program, &e))?;
    let acknowledged = match child.stdout.take() {
        Some(stdout) => listen_and_kill(&mut child, stdout),
        None => Err(Failure::new("the child has no stdout")),
    };
    // Whatever happened, the child does not outlive this.
    let _ = child.kill();
    let _ = child.wait();
    let killed = Killed {
        acknowledged: acknowledged?,
    };
    writeln!(
        out,
        "sampled this machine for {:.1} s, {} commits acknowledged, then SIGKILL",
        LIFE.as_secs_f64(),
        killed.acknowledged.len()
    )?;
    Ok(killed)
}

fn listen_and_kill(child: &mut Child, stdout: ChildStdout) -> Run<Vec<Acknowledged>> {
    let (sender, receiver) = mpsc::channel();
    let listener = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut deadline = Instant::now() + START;
    let mut all = Vec::new();
    let ended = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(line) => {
                if all.is_empty() {
                    deadline = Instant::now() + LIFE;
                }
                all.push(parse(&line)?);
            }
            Err(RecvTimeoutError::Timeout) => break false,
            Err(RecvTimeoutError::Disconnected) => break true,
        }
    };
    if ended {
        return Err(Failure::new("the child ended before it was killed"));
    }
    child
        .kill()
        .map_err(|e| Failure::new(format_args!("cannot kill the child: {e}")))?;
    // What it had said before is still in the pipe. A last line may be cut off.
    for line in receiver {
        all.extend(parse(&line).ok());
    }
    let _ = listener.join();
    if all.is_empty() {
        return Err(Failure::new("the child acknowledged nothing"));
    }
    Ok(all)
}

fn parse(line: &str) -> Run<Acknowledged> {
    let mut words = line.split(' ');
    let mut parsed = || {
        Some(Acknowledged {
            lsn: words.next()?.parse().ok()?,
            time: words.next()?.parse().ok()?,
            rows: words.next()?.parse().ok()?,
            micros: words.next()?.parse().ok()?,
        })
    };
    parsed().ok_or_else(|| Failure::new(format_args!("the child said {line:?}")))
}

/// Whether every row of every acknowledged commit is there.
pub(super) fn check(db: &Tidestone, killed: &Killed, out: &mut dyn Write) -> Run<bool> {
    let mut times: Vec<i64> = Vec::new();
    for batch in db.table(TABLE)?.query().scan()? {
        times.extend_from_slice(batch?.times());
    }
    times.sort_unstable();
    let mut kept = true;
    for commit in &killed.acknowledged {
        let from = times.partition_point(|&t| t < commit.time);
        let to = times.partition_point(|&t| t <= commit.time);
        let there = (to - from) as u64;
        if there != commit.rows {
            kept = false;
            let Acknowledged {
                lsn, time, rows, ..
            } = commit;
            writeln!(
                out,
                "LOST: of LSN {lsn}, time {time}, {there} of {rows} rows are there"
            )?;
        }
    }
    let (acknowledged, there) = (killed.rows(), times.len());
    if kept {
        writeln!(
            out,
            "all {acknowledged} acknowledged rows are there ({there} rows in all)"
        )?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_read_and_latencies_ranked() {
        let commit = parse("7 123 4 250").unwrap();
        assert_eq!(
            commit,
            Acknowledged {
                lsn: 7,
                time: 123,
                rows: 4,
                micros: 250
            }
        );
        assert!(parse("7 123 4").is_err());
        let acknowledged = (1..=100)
            .map(|micros| Acknowledged { micros, ..commit })
            .collect();
        let killed = Killed { acknowledged };
        assert_eq!(
            (killed.latency(50), killed.latency(99), killed.rows()),
            (50, 99, 400)
        );
        let none = Killed {
            acknowledged: Vec::new(),
        };
        assert_eq!(none.latency(99), 0);
    }
}
