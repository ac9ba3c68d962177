//! The commands that open a database.

use std::io::Write;

use clap::Subcommand;

use crate::outcome::{Outcome, Run};

#[derive(Debug, Subcommand)]
pub(crate) enum EngineCommand {
    /// Say nothing
    Nothing,
}

/// Carries out a command.
pub(crate) fn run(_command: &EngineCommand, _out: &mut dyn Write) -> Run {
    Ok(Outcome::Sound)
}
