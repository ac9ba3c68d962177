//! The tasks, each a list of steps.

use std::ffi::OsString;

use crate::args::{Task, USAGE};
use crate::build_folder;
use crate::check;
use crate::demo;
use crate::environment;
use crate::failure::Result;
use crate::places::{Places, is_ci};
use crate::rocksdb;
use crate::setup::{self, NEXTEST, Need};
use crate::shell::{self, Shell};

/// Carries out a task.
pub(crate) fn run(task: Task) -> Result<()> {
    if task == Task::Help {
        return shell::print(USAGE);
    }
    let places = Places::find()?;
    build_folder::tidy(&places.build_folders(), &places.target, is_ci())?;
    match task {
        Task::Help => Ok(()),
        Task::Setup => setup::provide(&places, Need::ALL),
        Task::Check => check::run(&places, &prepare(&places, Need::CHECK)?),
        Task::Test { nextest } => test(&places, &prepare(&places, Need::TEST)?, &nextest),
        Task::Demo { dir } => demo::run(&places, &prepare(&places, Need::RUN)?, dir),
        Task::Bench { name, args } => bench(&prepare(&places, Need::RUN)?, name, &args),
        Task::Env => environment::print(&prepare(&places, Need::RUN)?),
    }
}

/// Makes the machine ready for a task; the shell that is returned runs cargo for it.
fn prepare(places: &Places, needs: &[Need]) -> Result<Shell> {
    setup::provide(places, needs)?;
    let mut shell = environment::shell(places);
    rocksdb::provide(places, &mut shell)?;
    Ok(shell)
}

/// The programs that the README shows.
const EXAMPLES: [&str; 2] = ["market", "host_metrics"];

/// All tests; the documentation's, the corpora, the inspector's alone and the examples first, so that the run closes on the count of the others.
fn test(places: &Places, shell: &Shell, args: &[OsString]) -> Result<()> {
    let profile = if is_ci() { "ci" } else { "default" };
    if args.is_empty() {
        shell::run(
            shell
                .cargo()
                .args(["test", "--doc", "--workspace", "--locked"]),
        )?;
        // The saved corpora through the bodies of the fuzz targets, a workspace of their own.
        let corpora = ["--manifest-path", "fuzz/Cargo.toml", "--test", "corpus"];
        shell::run(shell.cargo().args(["test", "--locked"]).args(corpora))?;
        examples(places, shell)?;
        // The inspector as it is without the engine: a build of seconds, free of RocksDB.
        let mut inspector = NEXTEST.command(places, shell)?;
        inspector.args(["run", "--locked", "--profile", profile]);
        let package = ["--package", "tidestone-cli", "--no-default-features"];
        shell::run(inspector.args(package))?;
    }
    let mut nextest = NEXTEST.command(places, shell)?;
    nextest.args(["run", "--locked"]);
    if !choose_packages(args) {
        nextest.arg("--workspace");
    }
    nextest.args(["--profile", profile]);
    shell::run(nextest.args(args))
}

/// Runs the examples, which end by themselves. They are built with the features of the whole
/// workspace, as the tests are, so that nothing is built twice.
fn examples(places: &Places, shell: &Shell) -> Result<()> {
    let build = ["build", "--locked", "--workspace", "--examples"];
    shell::run(shell.cargo().args(build))?;
    let folder = places.target.join("debug").join("examples");
    for name in EXAMPLES {
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        shell::run_quiet(&mut shell.command(folder.join(name)))?;
    }
    Ok(())
}

/// Whether arguments for nextest choose packages, which `--workspace` would override.
fn choose_packages(args: &[OsString]) -> bool {
    args.iter()
        .map(|arg| arg.to_string_lossy())
        .take_while(|arg| arg != "--")
        .any(|arg| arg.starts_with("-p") || arg == "--package" || arg.starts_with("--package="))
}

fn bench(shell: &Shell, name: Option<OsString>, args: &[OsString]) -> Result<()> {
    let mut bench = shell.cargo();
    bench.args(["bench", "--locked", "--package", "tidestone", "--bench"]);
    // Cargo takes a pattern here; all benchmarks, but not the unit tests.
    bench.arg(name.unwrap_or_else(|| "*".into()));
    shell::run(bench.arg("--").args(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_chosen_by_arguments() {
        for (line, expected) in [
            ("", false),
            ("wal", false),
            ("--profile ci", false),
            ("-p tidestone", true),
            ("-ptidestone", true),
            ("--package tidestone wal", true),
            ("--package=tidestone", true),
            ("wal -- -p", false),
        ] {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(choose_packages(&args), expected, "{line}");
        }
    }
}
