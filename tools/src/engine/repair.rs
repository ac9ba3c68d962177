//! `repair`: says what cutting out the damage of a database would drop, and does it when told to.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use tidestone::maintenance::{RepairPlan, Step, plan_repair, repair};

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
                        "{verb} the last {lost} versions of the manifest, back to version {version}: {path} at \
                         offset {offset}: {what}"
                    )?,
                }
                print_unnamed(unnamed, out)?;
            }
            Step::CutLog {
                path,
                offset,
                first_lost,
                last_acknowledged,
                what,
            } => {
                let known = match last_acknowledged < first_lost {
                    true => "nothing tells whether it had more".to_owned(),
                    false => format!("acknowledged up to at least {last_acknowledged}"),
                };
                writeln!(
                    out,
                    "{verb} the log from LSN {first_lost} on ({known}): {} at offset {offset}: {what}",
                    path.display()
                )?;
            }
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

/// Names segments that no manifest names, and that are moved aside.
fn print_unnamed(unnamed: &[PathBuf], out: &mut dyn Write) -> std::io::Result<()> {
    unnamed
        .iter()
        .try_for_each(|segment| writeln!(out, "  and so segment {}", segment.display()))
}
