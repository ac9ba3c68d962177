//! `flush`, `compact`, `delete`, `rebuild-index`.

use std::io::Write;
use std::path::Path;

use clap::Args;
use tidestone::{ErrorKind, Options, Status, Tidestone};

use super::files::DbFiles;
use super::folder::{DbArgs, DirArgs};
use super::query::WhichArgs;
use super::report_open;
use crate::outcome::{Failure, Outcome, Run};
use crate::stderr::tell;
use crate::text::one_line;

const AFTER_DELETE_HELP: &str = "\
Deleted rows are gone from every answer at once; the space they take on the disk is free after
`tidestone compact` at the latest. A table all of whose rows are deleted stays, with its fields.";

/// Rows that are deleted.
#[derive(Debug, Args)]
#[command(after_help = AFTER_DELETE_HELP)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    db: DbArgs,
    /// The table
    #[arg(long)]
    table: String,
    #[command(flatten)]
    which: WhichArgs,
    /// Delete every row of the table; neither --where, --from nor --to is given then
    #[arg(long)]
    all: bool,
}

/// Carries out `tidestone flush`.
pub(crate) fn flush(args: &DirArgs, out: &mut dyn Write) -> Run {
    let db = open(args.path())?;
    db.flush()?;
    let status = db.status()?;
    db.close()?;
    let segments: usize = status.tables.iter().map(|t| t.segments).sum();
    writeln!(
        out,
        "flushed up to LSN {}; {segments} segments",
        status.flushed_lsn
    )?;
    Ok(tell_unreadable(&status))
}

/// Tells of segments that cannot be read, which is damage.
pub(super) fn tell_unreadable(status: &Status) -> Outcome {
    let mut outcome = Outcome::Sound;
    for table in &status.tables {
        if let Some(first) = &table.first_unreadable {
            let (name, count) = (one_line(&table.name), table.unreadable_segments);
            tell(format_args!(
                "tidestone: segments of table {name} that cannot be read: {count}; the first: {first}"
            ));
            outcome = Outcome::Damaged;
        }
    }
    outcome
}

/// Carries out `tidestone compact`.
pub(crate) fn compact(args: &DirArgs, out: &mut dyn Write) -> Run {
    let db = open(args.path())?;
    let sum = |status: &Status| {
        let tables = status.tables.iter();
        tables.fold((0, 0), |s, t| (s.0 + t.segments, s.1 + t.bytes))
    };
    let before = sum(&db.status()?);
    db.compact()?;
    let status = db.status()?;
    let after = sum(&status);
    db.close()?;
    writeln!(
        out,
        "{} segments of {} bytes became {} of {} bytes",
        before.0, before.1, after.0, after.1
    )?;
    Ok(tell_unreadable(&status))
}

/// Carries out `tidestone delete`.
pub(crate) fn delete(args: &DeleteArgs, out: &mut dyn Write) -> Run {
    let which = &args.which;
    let everything = which.tests.is_empty() && which.from.is_none() && which.to.is_none();
    if everything != args.all {
        return Err(Failure::new(
            "say which rows: give --where, --from or --to, or --all and none of these",
        ));
    }
    let db = open(args.db.path())?;
    let table = db.table(&args.table)?;
    which.check_tags(&table)?;
    let series = table.series_keys(&which.tests)?.len();
    let ticket = table.delete(&which.tests, which.range()?)?;
    ticket.wait()?;
    let lsn = ticket.lsn();
    writeln!(out, "deleted from {series} series; durable as LSN {lsn}")?;
    unless_full(db.close())?;
    Ok(Outcome::Sound)
}

/// Makes a warning of it that a full disk had no room for the last flush: what was asked for is done and
/// durable, and the next open flushes it.
fn unless_full(closed: tidestone::Result<()>) -> Run<()> {
    match closed {
        Err(error) if error.kind() == ErrorKind::DiskFull => {
            tell(format_args!(
                "tidestone: the disk is too full to flush what is in memory; it is in the log and not lost: \
                 {error}"
            ));
            Ok(())
        }
        closed => Ok(closed?),
    }
}

/// Carries out `tidestone rebuild-index`.
pub(crate) fn rebuild_index(args: &DirArgs, out: &mut dyn Write) -> Run {
    is_database(args.path())?;
    let db = tidestone::maintenance::rebuild_index(args.path(), Options::default())?;
    report_open(&db);
    let why = db.open_report().index_rebuilt.clone();
    let status = db.status()?;
    db.close()?;
    let tables = &status.tables;
    let series: u64 = tables.iter().map(|t| t.series).sum();
    match why {
        Some(_) => writeln!(out, "rebuilt: {series} series of {} tables", tables.len())?,
        None => {
            return Err(Failure::new(
                "the index was not rebuilt though it was removed",
            ));
        }
    }
    Ok(tell_unreadable(&status))
}

fn open(dir: &Path) -> Run<Tidestone> {
    is_database(dir)?;
    let db = Tidestone::open(dir, Options::default())?;
    report_open(&db);
    Ok(db)
}

fn is_database(dir: &Path) -> Run<()> {
    if DbFiles::new(dir).is_database() {
        return Ok(());
    }
    let dir = dir.display();
    Err(Failure::new(format_args!(
        "{dir} is no database: it has no IDENTITY; name the folder of one"
    )))
}

#[cfg(test)]
mod tests {
    use tidestone::Error;

    use super::*;

    #[test]
    fn a_full_disk_at_the_end_is_no_failure_and_all_else_is() {
        let outcome = |kind| unless_full(Err(Error::new(kind, "x")));
        assert!(unless_full(Ok(())).is_ok());
        assert!(outcome(ErrorKind::DiskFull).is_ok());
        let io = outcome(ErrorKind::Io);
        assert!(matches!(io, Err(Failure::CouldNotRun(_))), "{io:?}");
        let corrupt = outcome(ErrorKind::Corrupt);
        assert!(matches!(corrupt, Err(Failure::Damaged(_))), "{corrupt:?}");
    }
}
