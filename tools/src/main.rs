//! The `tidestone` command: looks into Tidestone's files and works with databases.
//!
//! Results go to stdout; progress, logs and errors to stderr. Exit codes: 0 sound or done, 1 damage
//! found or lines refused, 2 could not run; an `import` that a signal ended has 128 and its number. A
//! closed pipe is success.
#![expect(
    clippy::disallowed_methods,
    reason = "a command reads the files its user names and the clock; the engine's seams are not for it"
)]
#![deny(
    clippy::print_stderr,
    reason = "it panics where stderr is closed; `stderr::tell` does not"
)]

mod args;
#[cfg(feature = "engine")]
mod engine;
mod inspect;
mod outcome;
mod scalar;
mod stderr;
mod text;
mod time;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;
use outcome::{Failure, Outcome, Run};

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let result = run(&args.command, &mut out).and_then(|outcome| {
        out.flush()?;
        Ok(outcome)
    });
    match result {
        Ok(Outcome::Sound) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Ok(Outcome::Damaged) => ExitCode::from(1),
        Ok(Outcome::Newer) => ExitCode::from(2),
        #[cfg(feature = "engine")]
        Err(Failure::Damaged(message)) => failed(&mut out, &message, 1),
        #[cfg(feature = "engine")]
        Err(Failure::Signalled(signal)) => {
            let message = format!("ended by {}", signal.name);
            failed(&mut out, &message, signal.code())
        }
        Err(Failure::CouldNotRun(message)) => failed(&mut out, &message, 2),
    }
}

/// What was found before a failure is still worth printing.
fn failed(out: &mut dyn Write, message: &str, code: u8) -> ExitCode {
    let _ = out.flush();
    stderr::tell(format_args!("tidestone: {message}"));
    ExitCode::from(code)
}

fn run(command: &Command, out: &mut dyn Write) -> Run {
    match command {
        Command::Inspect(args) => inspect::run(args, out),
        #[cfg(feature = "engine")]
        Command::Engine(command) => engine::run(command, out),
    }
}
