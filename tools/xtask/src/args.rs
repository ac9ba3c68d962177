//! The command line: which task is asked for.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::{Failure, Result};

/// What `cargo xtask --help` prints.
pub(crate) const USAGE: &str = "\
cargo xtask TASK: the project's own tasks

  setup                  install what is missing on this machine for all the tasks below
  check                  formatting, lints, documentation, dependencies
  test [-- ARGS]         all tests; with ARGS, which go to nextest, no documentation tests
  demo [--dir DIR]       build the release program and run its demo; DIR keeps its database
  bench [NAME] [-- ARGS] the benchmark NAME, or all; ARGS go to the benchmark
  env                    print shell lines: after eval \"$(cargo xtask env)\", plain cargo
                         uses the same build folder and the same built RocksDB

RocksDB is compiled once and kept, with all other build results, in the cache folder:
$TIDESTONE_CACHE if set, else $HOME/.cache/tidestone, else the checkout's target folder.

Exit code: 0 done, 1 a step failed, 2 wrong command line; demo has the exit code of the demo.
";

/// A task with its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Print the usage text.
    Help,
    /// Install what any task needs.
    Setup,
    /// Formatting, lints, documentation, dependencies.
    Check,
    /// All tests, or those that the arguments for nextest choose.
    Test {
        /// Arguments for nextest.
        nextest: Vec<OsString>,
    },
    /// The demo of the command line program.
    Demo {
        /// Where its database goes; none for a temporary folder.
        dir: Option<PathBuf>,
    },
    /// Benchmarks of the engine.
    Bench {
        /// One benchmark, or all.
        name: Option<OsString>,
        /// Arguments for the benchmark program.
        args: Vec<OsString>,
    },
    /// Print the environment of the other tasks as shell lines.
    Env,
}

/// Reads the arguments after the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Task> {
    let mut args = args.into_iter();
    let name = args
        .next()
        .ok_or_else(|| usage("no task given"))?
        .into_string()
        .map_err(|name| usage(&format!("unknown task {}", name.display())))?;
    let (own, passed) = split_at_dashes(args);
    let mut own = own.into_iter();
    let task = match name.as_str() {
        "help" | "-h" | "--help" => Task::Help,
        "setup" => Task::Setup,
        "check" => Task::Check,
        "env" => Task::Env,
        "test" => Task::Test {
            nextest: passed.clone().unwrap_or_default(),
        },
        "bench" => Task::Bench {
            name: benchmark_name(own.next())?,
            args: passed.clone().unwrap_or_default(),
        },
        "demo" => Task::Demo {
            dir: demo_dir(&mut own)?,
        },
        other => return Err(usage(&format!("unknown task {other}"))),
    };
    if let Some(extra) = own.next() {
        return Err(usage(&format!(
            "{name} does not understand {}",
            extra.display()
        )));
    }
    let passes_on = matches!(task, Task::Test { .. } | Task::Bench { .. });
    if passed.is_some() && !passes_on {
        return Err(usage(&format!("{name} takes nothing after --")));
    }
    Ok(task)
}

fn usage(what: &str) -> Failure {
    Failure::Usage(format!("{what}\n\n{USAGE}"))
}

/// The arguments before `--`, and those after it if it is there.
fn split_at_dashes(
    mut args: impl Iterator<Item = OsString>,
) -> (Vec<OsString>, Option<Vec<OsString>>) {
    let mut own = Vec::new();
    while let Some(arg) = args.next() {
        if arg == "--" {
            return (own, Some(args.collect()));
        }
        own.push(arg);
    }
    (own, None)
}

fn benchmark_name(arg: Option<OsString>) -> Result<Option<OsString>> {
    match arg {
        Some(name) if name.as_encoded_bytes().starts_with(b"-") => Err(usage(&format!(
            "bench does not understand {}",
            name.display()
        ))),
        name => Ok(name),
    }
}

fn demo_dir(args: &mut impl Iterator<Item = OsString>) -> Result<Option<PathBuf>> {
    let Some(arg) = args.next() else {
        return Ok(None);
    };
    let dir = if arg == "--dir" {
        args.next()
    } else {
        arg.to_str()
            .and_then(|arg| arg.strip_prefix("--dir="))
            .map(OsString::from)
    };
    match dir {
        Some(dir) if !dir.is_empty() => Ok(Some(PathBuf::from(dir))),
        _ => Err(usage(&format!(
            "demo understands --dir DIR only, not {}",
            arg.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn tasks_are_read() {
        for (line, expected) in [
            ("setup", Task::Setup),
            ("check", Task::Check),
            ("env", Task::Env),
            ("help", Task::Help),
            ("--help", Task::Help),
            ("test", Task::Test { nextest: vec![] }),
            ("test --", Task::Test { nextest: vec![] }),
            (
                "test -- -p tidestone a::b",
                Task::Test {
                    nextest: words("-p tidestone a::b"),
                },
            ),
            (
                "test -- -- --nocapture",
                Task::Test {
                    nextest: words("-- --nocapture"),
                },
            ),
            ("demo", Task::Demo { dir: None }),
            (
                "demo --dir d",
                Task::Demo {
                    dir: Some("d".into()),
                },
            ),
            (
                "demo --dir=d",
                Task::Demo {
                    dir: Some("d".into()),
                },
            ),
            (
                "bench",
                Task::Bench {
                    name: None,
                    args: vec![],
                },
            ),
            (
                "bench scan",
                Task::Bench {
                    name: Some("scan".into()),
                    args: vec![],
                },
            ),
            (
                "bench -- --quick",
                Task::Bench {
                    name: None,
                    args: words("--quick"),
                },
            ),
            (
                "bench scan -- --quick",
                Task::Bench {
                    name: Some("scan".into()),
                    args: words("--quick"),
                },
            ),
        ] {
            assert_eq!(parse(words(line)).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn wrong_command_lines_exit_with_2_and_say_what_is_wrong() {
        for (line, expected) in [
            ("", "no task given"),
            ("tset", "unknown task tset"),
            ("check --fast", "check does not understand --fast"),
            ("test wal", "test does not understand wal"),
            ("setup -- x", "setup takes nothing after --"),
            ("demo --dir", "demo understands --dir DIR only, not --dir"),
            ("demo --dir=", "demo understands --dir DIR only, not --dir="),
            ("demo d", "demo understands --dir DIR only, not d"),
            ("demo --dir a b", "demo does not understand b"),
            ("bench --quick", "bench does not understand --quick"),
            ("bench a b", "bench does not understand b"),
        ] {
            let failure = parse(words(line)).unwrap_err();
            assert_eq!(failure.code(), 2, "{line}");
            assert_eq!(failure.to_string().lines().next(), Some(expected), "{line}");
        }
    }
}
