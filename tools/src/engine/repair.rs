//! `repair`: says what cutting out the damage of a database would drop, and does it when told to.

use std::io::Write;

use clap::Args;
use tidestone::maintenance::{LostFrames, RepairPlan, Step, UnnamedSegment, plan_repair, repair};

use super::folder::DirArgs;
use crate::outcome::{Outcome, Run};
use crate::time::rfc3339;

/// A damaged database.
#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    dir: DirArgs,
    /// Do it; without this, only say what would be dropped
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Carries out `tidestone repair`. Exit code 1 says that there is damage that was not repaired.
pub(crate) fn run(args: &RepairArgs, out: &mut dyn Write) -> Run {
    let plan = if args.yes {
        repair(args.dir.path())?
    } else {
        plan_repair(args.dir.path())?
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &plan)?;
        writeln!(out)?;
    } else {
        print(&plan, args, out)?;
    }
    Ok(Outcome::sound(plan.steps.is_empty() || args.yes))
}

fn print(plan: &RepairPlan, args: &RepairArgs, out: &mut dyn Write) -> std::io::Result<()> {
    let done = args.yes;
    if plan.steps.is_empty() {
        return writeln!(out, "nothing to repair");
    }
    let verb = if done { "dropped" } else { "would drop" };
    let begins = if done { "began" } else { "would begin" };
    let writes = if done { "wrote" } else { "would write" };
    let ends = if done { "ended" } else { "would end" };
    let moves = if done { "moved" } else { "would move" };
    for step in &plan.steps {
        match step {
            Step::WriteIdentity {
                path,
                database,
                created_at,
                what,
            } => {
                let made = match created_at {
                    Some(at) => format!("made {}", rfc3339(*at)),
                    None => {
                        "when it was made is lost, unless a backup of the file has it".to_owned()
                    }
                };
                writeln!(
                    out,
                    "{writes} {} anew, of database {database}, {made}: {what}",
                    path.display()
                )?;
            }
            Step::MendManifest { path, offset, what } => writeln!(
                out,
                "{writes} the manifest as it was, no change is lost: {} at offset {offset}: {what}; run `tidestone \
                 repair` again to see whether there is more damage",
                path.display()
            )?,
            Step::CutManifest {
                path,
                offset,
                version,
                lost,
                unnamed,
                what,
            } => {
                let path = path.display();
                match lost {
                    0 => writeln!(
                        out,
                        "what followed version {version} of the manifest is lost: {path} at offset {offset}: \
                         {what}"
                    )?,
                    _ => writeln!(
                        out,
                        "{verb} the last {lost} versions of the manifest, back to version {version}, so that what they \
                         deleted may be there again: {path} at offset {offset}: {what}"
                    )?,
                }
                print_unnamed(unnamed, out)?;
            }
            Step::DropFrames {
                path,
                offset,
                first_lost,
                last_lost,
                frames,
                what,
            } => writeln!(
                out,
                "{verb} LSN {first_lost} to {last_lost} of the log (frames: {}) and keep what follows: {} at offset \
                 {offset}: {what}",
                in_words(frames),
                path.display()
            )?,
            Step::CutLog {
                path,
                offset,
                first_lost,
                what,
            } => writeln!(
                out,
                "{ends} the log before LSN {first_lost} (nothing tells whether it had more): {} at offset \
                 {offset}: {what}",
                path.display()
            )?,
            Step::RenewLog { what } => writeln!(
                out,
                "{begins} the log anew, with nothing of it dropped: {what}"
            )?,
            Step::NewLog {
                flushed,
                unnamed,
                what,
            } => {
                writeln!(
                    out,
                    "{verb} the whole log, everything behind LSN {flushed}: {what}"
                )?;
                print_unnamed(unnamed, out)?;
            }
            Step::DropRows {
                path,
                rows,
                kept,
                table,
                what,
                ..
            } => writeln!(
                out,
                "{verb} {rows} rows of table {table} and keep {kept} of the same segment, {}: {what}",
                path.display()
            )?,
            Step::RewriteSegment {
                path,
                rows,
                table,
                what,
                ..
            } => writeln!(
                out,
                "{writes} a segment of {rows} rows of table {table} anew, with all of them, {}: {what}",
                path.display()
            )?,
            Step::DropSegment {
                path,
                rows,
                table,
                what,
            } => writeln!(
                out,
                "{verb} a segment of {rows} rows of table {table}, {}: {what}",
                path.display()
            )?,
            Step::SetAside { unnamed } => {
                writeln!(
                    out,
                    "{moves} segments that no manifest names to lost/: they may have the rows of one that is missing"
                )?;
                print_unnamed(unnamed, out)?;
            }
            Step::DropNameless {
                table,
                series,
                rows,
            } => writeln!(
                out,
                "{verb} {rows} rows in the log of {series} series of table {table}: nothing tells their keys any more"
            )?,
        }
    }
    match done {
        false => writeln!(out, "nothing was changed; `--yes` does it"),
        true if args.dir.path().join("lost").is_dir() => {
            writeln!(out, "damaged files are in lost/")
        }
        // What was mended was not there.
        true => Ok(()),
    }
}

/// What was lost with frames, as far as that is known.
fn in_words(frames: &LostFrames) -> String {
    let kinds = [
        (frames.batches, "batches of rows"),
        (frames.definitions, "definitions of series"),
        (frames.deletes, "deletes, whose rows are there again"),
        (frames.notes, "notes, which hold nothing"),
        (frames.unknown, "of which nothing can be read"),
    ];
    let there = kinds.into_iter().filter(|(count, _)| *count > 0);
    let words = there.map(|(count, what)| format!("{count} {what}"));
    words.collect::<Vec<_>>().join("; ")
}

/// Names segments that no manifest names, and that are moved aside.
fn print_unnamed(unnamed: &[UnnamedSegment], out: &mut dyn Write) -> std::io::Result<()> {
    unnamed.iter().try_for_each(|segment| {
        let path = segment.path.display();
        match segment.rows {
            Some(rows) => writeln!(out, "  and so segment {path} of {rows} rows"),
            None => writeln!(out, "  and so segment {path}, which cannot be read"),
        }
    })
}
