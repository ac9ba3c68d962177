//! The command line.

use clap::{Parser, Subcommand};

use crate::inspect::InspectArgs;

/// Tidestone: import, query, plot and inspect time-series databases.
///
/// Exit codes: 0 sound or done, 1 damage found or lines refused, 2 could not run.
#[derive(Debug, Parser)]
#[command(name = "tidestone", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what is in one file: a segment, a log file, a manifest or an identity file
    Inspect(InspectArgs),
    #[cfg(feature = "engine")]
    #[command(flatten)]
    Engine(crate::engine::EngineCommand),
}
