//! The command line.

#[cfg(feature = "engine")]
use clap::CommandFactory;
#[cfg(feature = "engine")]
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::inspect::InspectArgs;

#[cfg_attr(
    feature = "engine",
    doc = "Tidestone: import, query, plot and inspect time-series databases.

Exit codes: 0 sound or done, 1 damage found or lines refused, 2 could not run."
)]
#[cfg_attr(
    not(feature = "engine"),
    doc = "Tidestone: inspect the files of time-series databases.

Exit codes: 0 sound, 1 damage found, 2 could not run."
)]
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

/// An argument that a command needs and did not get, told as clap tells it.
#[cfg(feature = "engine")]
pub(crate) fn missing(command: &str, argument: &str) -> clap::Error {
    let mut args = Args::command();
    args.build();
    let mut error = clap::Error::new(ErrorKind::MissingRequiredArgument);
    let missing = ContextValue::Strings(vec![argument.to_owned()]);
    error.insert(ContextKind::InvalidArg, missing);
    if let Some(command) = args.find_subcommand_mut(command) {
        let usage = ContextValue::StyledStr(command.render_usage());
        error.insert(ContextKind::Usage, usage);
        error = error.with_cmd(command);
    }
    error
}
