//! `verify`: every byte of a database's files, and whether they belong together.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use serde::Serialize;
use tidestone::maintenance::{VerifyReport, verify};

use super::folder::DirArgs;
use crate::outcome::{Failure, Outcome, Run};

/// A database to be checked.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    dir: DirArgs,
    /// Print JSON, with a line for every file
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    sound: bool,
    #[serde(flatten)]
    report: &'a VerifyReport,
}

/// Carries out `tidestone verify`.
pub(crate) fn run(args: &VerifyArgs, out: &mut dyn Write) -> Run {
    let dir = args.dir.path();
    if !dir.is_dir() {
        let dir = dir.display();
        return Err(Failure::new(format_args!("{dir} is no folder")));
    }
    let report = &verify(dir)?;
    let sound = report.damage.is_empty();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &Json { sound, report })?;
        writeln!(out)?;
    } else {
        print(report, dir, out)?;
    }
    Ok(match report.is_damaged() {
        true => Outcome::Damaged,
        false if sound => Outcome::Sound,
        false => Outcome::Newer,
    })
}

fn print(report: &VerifyReport, dir: &Path, out: &mut dyn Write) -> io::Result<()> {
    for kind in ["identity", "manifest", "log", "segment"] {
        let of_kind = || report.files.iter().filter(|f| f.kind == kind);
        let (files, bytes) = (of_kind().count(), of_kind().map(|f| f.bytes).sum::<u64>());
        if files == 0 && report.not_read.iter().any(|part| part.kind == kind) {
            writeln!(out, "{kind:<9} not read")?;
            continue;
        }
        let rows = match kind {
            "segment" => format!(", {} rows", report.rows),
            _ => String::new(),
        };
        let count = |newer: bool| {
            let is_one = |path: &Path| {
                let mut damage = report.damage.iter();
                damage.any(|d| d.path == path && d.newer == newer)
            };
            of_kind().filter(|f| is_one(&f.path)).count()
        };
        let verdict = match (count(false), count(true)) {
            (0, 0) => "VALID".to_owned(),
            (0, newer) => format!("NEWER: {newer} of them"),
            (bad, _) => format!("BAD: {bad} of them"),
        };
        writeln!(
            out,
            "{kind:<9} {files} files, {bytes} bytes{rows}: {verdict}"
        )?;
    }
    for damage in &report.damage {
        let path = damage.path.strip_prefix(dir).unwrap_or(&damage.path);
        let what = if damage.newer { "newer" } else { "damage" };
        writeln!(out, "{what:<9} {}: {}", path.display(), damage.what)?;
    }
    for part in &report.not_read {
        writeln!(out, "not read  {}: {}", part.kind, part.why)?;
    }
    for note in &report.notes {
        writeln!(out, "note      {note}")?;
    }
    let index = dir.join("index");
    let mut damaged = report.damage.iter().filter(|damage| !damage.newer);
    let verdict = match report.is_damaged() {
        // The line about an index says what mends it.
        true if damaged.all(|damage| damage.path.starts_with(&index)) => "BAD",
        true => {
            "BAD: restore what is damaged from a backup, or run `tidestone repair` to see what going on \
             without it would lose"
        }
        false if report.damage.is_empty() && report.not_read.is_empty() => "VALID",
        false if report.damage.is_empty() => "VALID, as far as it was read",
        false => {
            "NEWER: not all could be checked; verify it with the version that wrote it or a newer one"
        }
    };
    writeln!(out, "{verdict}")
}
