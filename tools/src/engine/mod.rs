//! The commands that open a database.
//!
//! | module | commands |
//! |---|---|
//! | `import` | `import` |
//! | `query` | `query`, `last`, `export`, `plot` |
//! | `tables` | `tables`, `series` |
//! | `stats` | `stats` |
//! | `maintain` | `flush`, `compact`, `delete`, `rebuild-index` |
//! | `repair` | `repair` |
//! | `verify` | `verify` |
//! | `demo` | `demo` |
//!
//! `folder` is where the database lies on the command line; `csv`, `line_reader` and `files` are what more than
//! one of them reads and writes.
//!
//! Those that only read open the database read-only, beside whoever writes to it.

mod csv;
mod demo;
mod files;
mod folder;
mod import;
mod line_reader;
mod maintain;
mod query;
mod repair;
mod stats;
mod tables;
mod verify;

use std::fmt;
use std::io::Write;

use clap::Subcommand;
use tidestone::Tidestone;

use crate::outcome::Run;
use crate::stderr::tell;

#[derive(Debug, Subcommand)]
pub(crate) enum EngineCommand {
    /// Import CSV (also gzip) or InfluxDB line protocol
    Import(import::ImportArgs),
    /// Print rows of a table, or aggregates of them
    Query(query::QueryArgs),
    /// Print the last row of each series
    Last(query::LastArgs),
    /// Print all rows of a table as CSV
    Export(query::ExportArgs),
    /// Draw rows of a table as a chart
    Plot(query::PlotArgs),
    /// List the tables
    Tables(tables::TablesArgs),
    /// List the series of a table
    Series(tables::SeriesArgs),
    /// Show rows, bytes and bits per value by table, tier and column
    Stats(stats::StatsArgs),
    /// Delete rows of a table: of some series, of a span of time, or all of them (--all)
    Delete(maintain::DeleteArgs),
    /// Move all rows in memory and log to segments
    Flush(folder::DirArgs),
    /// Merge segments until no partition has more than one, and apply deletes
    Compact(folder::DirArgs),
    /// Check every byte of a database: identity, manifest, log and segments
    ///
    /// Beside a process that writes to it, what is durable is checked; what was not read is said.
    Verify(verify::VerifyArgs),
    /// Remove the index and build it anew from segments and log
    RebuildIndex(folder::DirArgs),
    /// Cut damage out of a closed database; says what it would drop, and does it with --yes
    Repair(repair::RepairArgs),
    /// Show the engine at work on real data
    #[command(hide = true)]
    Demo(demo::DemoArgs),
}

/// Carries out a command.
pub(crate) fn run(command: &EngineCommand, out: &mut dyn Write) -> Run {
    match command {
        EngineCommand::Import(args) => import::run(args, out),
        EngineCommand::Query(args) => query::query(args, out),
        EngineCommand::Last(args) => query::last(args, out),
        EngineCommand::Export(args) => query::export(args, out),
        EngineCommand::Plot(args) => query::plot(args, out),
        EngineCommand::Tables(args) => tables::tables(args, out),
        EngineCommand::Series(args) => tables::series(args, out),
        EngineCommand::Stats(args) => stats::run(args, out),
        EngineCommand::Delete(args) => maintain::delete(args, out),
        EngineCommand::Flush(args) => maintain::flush(args, out),
        EngineCommand::Compact(args) => maintain::compact(args, out),
        EngineCommand::Verify(args) => verify::run(args, out),
        EngineCommand::RebuildIndex(args) => maintain::rebuild_index(args, out),
        EngineCommand::Repair(args) => repair::run(args, out),
        EngineCommand::Demo(args) => demo::run(args, out),
    }
}

/// Says on stderr what opening the database found and did, if it is more than usual.
pub(crate) fn report_open(db: &Tidestone) {
    let report = db.open_report();
    let say = |what: fmt::Arguments<'_>| tell(format_args!("tidestone: {what}"));
    if let Some(why) = &report.index_rebuilt {
        say(format_args!("the index was rebuilt: {why}"));
    } else if report.index_caught_up > 0 {
        let n = report.index_caught_up;
        say(format_args!(
            "the index was older than the manifest: it took in {n} series that it lacked"
        ));
    }
    if let Some(tail) = &report.log_tail {
        say(format_args!("an unsynced tail of the log was cut: {tail}"));
    }
    if let Some(tail) = &report.manifest_tail {
        say(format_args!(
            "an unsynced edit of the manifest was dropped: {tail}"
        ));
    }
    for damage in &report.log_damage {
        say(format_args!(
            "damage in the log that costs nothing: {damage}"
        ));
    }
    for cursor in &report.cursors_dropped {
        say(format_args!("a reader of the log was dropped: {cursor}"));
    }
    for segment in &report.segments_missing {
        let segment = segment.display();
        say(format_args!(
            "{segment} is missing; files that no manifest names are kept"
        ));
    }
    if report.strays_removed > 0 {
        let n = report.strays_removed;
        say(format_args!(
            "{n} segment files that no manifest named were removed"
        ));
    }
    if report.strays_kept > 0 {
        let n = report.strays_kept;
        say(format_args!(
            "{n} segment files stay until the readers that need them end"
        ));
    }
    if let Some(why) = &report.unpublished {
        say(format_args!(
            "readers in other processes cannot follow: {why}"
        ));
    }
    if let Some(why) = &report.unleased {
        say(format_args!(
            "a writer may remove what is being read: {why}"
        ));
    }
}
