//! Running other programs: always from the root of the checkout, always with their result checked.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use crate::failure::{Failure, Result};

/// Starts programs with one folder and one set of environment variables.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    dir: PathBuf,
    vars: Vec<(&'static str, OsString)>,
}

impl Shell {
    /// A shell that runs programs in `dir`.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            vars: Vec::new(),
        }
    }

    /// Sets a variable for all programs started from now on.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.vars.retain(|(known, _)| *known != name);
        self.vars.push((name, value.into()));
    }

    /// The variables set so far, in the order of setting.
    pub(crate) fn vars(&self) -> &[(&'static str, OsString)] {
        &self.vars
    }

    /// A command for the program, to be completed and then run.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir);
        // `cargo run` tells the program it runs about that program's package. Build scripts that
        // watch such variables would see them change between this way and plain cargo.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(is_about_package) {
                command.env_remove(name);
            }
        }
        command.envs(self.vars.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A command for cargo: the one that runs this program.
    pub(crate) fn cargo(&self) -> Command {
        self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }
}

fn is_about_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}

/// Shows the command on stderr and runs it; anything but success is a failure.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "`{}` ended with {status}",
        text(command)
    )))
}

/// As [`run`], with the program's standard output sent to stderr: for steps that come before the
/// one whose output is asked for.
pub(crate) fn run_quiet(command: &mut Command) -> Result<()> {
    run(command.stdout(Stdio::from(io::stderr())))
}

/// Shows the command on stderr, runs it and returns how it ended.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    eprintln!("xtask: {}", text(command));
    command
        .status()
        .map_err(|error| Failure::new(cannot_start(command, &error)))
}

/// Runs the command and returns its standard output, which must be text.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::new(cannot_start(command, &error)))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "`{}` ended with {}",
            text(command),
            output.status
        )));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format!("the output of `{}` is not text", text(command))))
}

/// Prints the text on stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))
}

/// What the command prints, or none if there is no such program or it fails: for asking whether
/// something is installed.
pub(crate) fn probe(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cannot_start(command: &Command, error: &io::Error) -> String {
    format!(
        "cannot start `{}`: {error}",
        command.get_program().display()
    )
}

fn text(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    if let Some(name) = PathBuf::from(&text).file_name() {
        text = name.to_string_lossy().into_owned();
    }
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Shell {
        Shell::new(env::temp_dir())
    }

    #[test]
    fn a_later_value_replaces_an_earlier_one() {
        let mut shell = shell();
        shell.set("A", "1");
        shell.set("B", "2");
        shell.set("A", "3");
        assert_eq!(
            shell.vars(),
            [("B", OsString::from("2")), ("A", OsString::from("3"))]
        );
        let text = output(shell.command("sh").args(["-c", "echo $A$B"])).unwrap();
        assert_eq!(text, "32\n");
    }

    #[test]
    fn failures_name_the_command_and_its_end() {
        let failure = run(shell().command("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "`sh -c exit 3` ended with exit status: 3"
        );
        let failure = output(&mut shell().command("no-such-program"))
            .unwrap_err()
            .to_string();
        assert!(
            failure.starts_with("cannot start `no-such-program`: "),
            "{failure}"
        );
        assert_eq!(probe(&mut shell().command("no-such-program")), None);
        assert_eq!(probe(shell().command("sh").args(["-c", "exit 3"])), None);
    }

    #[test]
    fn programs_do_not_see_the_package_of_this_one() {
        let text = output(shell().command("sh").args(["-c", "echo x$CARGO_PKG_NAME"])).unwrap();
        assert_eq!(text, "x\n");
    }
}
