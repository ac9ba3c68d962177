//! `verify`: every byte of a database's files, and whether they belong together.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tidestone::maintenance::{VerifyReport, verify};

use crate::outcome::{Failure, Outcome, Run};

/// A database to be checked.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The folder of the database
    dir: PathBuf,
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
    if !args.dir.is_dir() {
        let dir = args.dir.display();
        return Err(Failure::new(format_args!("{dir} is no folder")));
    }
    let report = &verify(&args.dir)?;
    let sound = report.damage.is_empty();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &Json { sound, report })?;
        writeln!(out)?;
    } else {
        print(report, &args.dir, out)?;
    }
    Ok(Outcome::sound(sound))
}

fn print(report: &VerifyReport, dir: &Path, out: &mut dyn Write) -> io::Result<()> {
    for kind in ["identity", "manifest", "log", "segment"] {
        let of_kind = || report.files.iter().filter(|f| f.kind == kind);
        let (files, bytes) = (of_kind().count(), of_kind().map(|f| f.bytes).sum::<u64>());
        let rows = match kind {
            "segment" => format!(", {} rows", report.rows),
            _ => String::new(),
        };
        let is_bad = |path: &Path| report.damage.iter().any(|d| d.path == path);
        let verdict = match of_kind().filter(|f| is_bad(&f.path)).count() {
            0 => "VALID".to_owned(),
            bad => format!("BAD: {bad} of them"),
        };
        writeln!(
            out,
            "{kind:<9} {files} files, {bytes} bytes{rows}: {verdict}"
        )?;
    }
    for damage in &report.damage {
        let path = damage.path.strip_prefix(dir).unwrap_or(&damage.path);
        writeln!(out, "damage    {}: {}", path.display(), damage.what)?;
    }
    for note in &report.notes {
        writeln!(out, "note      {note}")?;
    }
    let verdict = if report.damage.is_empty() {
        "VALID"
    } else {
        "BAD"
    };
    writeln!(out, "{verdict}")
}
