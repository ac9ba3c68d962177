//! The project's own tasks: `cargo xtask --help` lists them.
//!
//! This program uses the standard library only and never links the engine, so that it starts
//! within seconds on a fresh machine and can prepare it for the rest. Results go to stdout; what
//! is being done, notes and errors go to stderr.
//!
//! `args` reads the command line, `tasks` lists the steps of each task, `check` and `demo` hold
//! those that are more than a command or two. Below them `setup` installs what is missing,
//! `rocksdb` builds that library once, `environment` is the one place that says how cargo is
//! called, `places` and `build_folder` say where everything lies.
#![expect(
    clippy::disallowed_methods,
    reason = "a build tool works on files and programs directly; the seams are the engine's"
)]

mod args;
mod build_folder;
mod check;
mod demo;
mod environment;
mod failure;
mod hash;
mod lock;
mod places;
mod rocksdb;
mod setup;
mod shell;
mod tasks;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1)).and_then(tasks::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
