//! The command line.

use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};

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

impl Args {
    /// The command line; where it is wrong the process ends here, and says what is.
    pub(crate) fn read() -> Self {
        Self::try_parse().unwrap_or_else(|mut error| {
            if let Some(tip) = tip(&error) {
                let tips = ContextValue::StyledStrs(vec![tip.into()]);
                error.insert(ContextKind::Suggested, tips);
            }
            error.exit()
        })
    }
}

/// What to do where the folder of a database is named in the way of another command.
fn tip(error: &clap::Error) -> Option<&'static str> {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let args = Args::command();
    let command = args.find_subcommand(std::env::args_os().nth(1)?)?;
    let has = |name: &str| command.get_arguments().any(|arg| arg.get_id() == name);
    if has("db") && Path::new(wrong).is_dir() {
        return Some("this command takes the folder of the database as `--db DIR`");
    }
    if has("dir") && wrong == "--db" {
        return Some("this command takes the folder of the database without `--db`");
    }
    None
}
