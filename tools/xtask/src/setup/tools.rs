//! Cargo tools: found on PATH, or installed into the cache at a pinned version.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::lock;
use crate::places::Places;
use crate::shell::{self, Shell};

/// The test runner.
pub(crate) static NEXTEST: Tool = Tool {
    program: "cargo-nextest",
    subcommand: "nextest",
    pinned: "0.9.143",
    accepted: "0.9.",
    // It is not to replace itself: the version is pinned, and there is less to compile.
    features: &["--no-default-features", "--features", "default-no-update"],
};

/// The checker of dependencies: licences, sources, bans.
pub(crate) static DENY: Tool = Tool {
    program: "cargo-deny",
    subcommand: "deny",
    pinned: "0.20.2",
    accepted: "0.20.",
    features: &[],
};

/// A subcommand of cargo that is a program of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Name of the program and of its package.
    program: &'static str,
    /// Name that the program expects as its first argument, as from cargo.
    subcommand: &'static str,
    /// The version to install.
    pinned: &'static str,
    /// How the version of one that was found must start.
    accepted: &'static str,
    /// Arguments of the installation that choose features.
    features: &'static [&'static str],
}

impl Tool {
    /// A command that runs the tool, installed before by `provide`.
    pub(crate) fn command(&self, places: &Places, shell: &Shell) -> Result<Command> {
        let program = self.find(places, shell).ok_or_else(|| {
            Failure::new(format!("{} {} is not installed", self.program, self.pinned))
        })?;
        Ok(self.call(&program, shell))
    }

    /// Installs the tool if it is not there.
    pub(super) fn provide(&self, places: &Places) -> Result<()> {
        let shell = Shell::new(places.checkout.clone());
        if self.find(places, &shell).is_some() {
            return Ok(());
        }
        let _lock = lock::hold(&places.cache, self.program)?;
        if self.find(places, &shell).is_some() {
            return Ok(());
        }
        let root = places.tools();
        let scratch = root.join("build").join(self.program);
        let mut install = shell.cargo();
        install.args([
            "install",
            self.program,
            "--version",
            self.pinned,
            "--locked",
        ]);
        install.args(self.features).arg("--root").arg(&root);
        shell::run_quiet(install.env("CARGO_TARGET_DIR", &scratch))?;
        self.command(places, &shell).map(drop)?;
        fs::remove_dir_all(&scratch).map_err(Failure::at("remove", &scratch))
    }

    /// The program: the one in the cache, else the one on PATH, if its version is accepted.
    fn find(&self, places: &Places, shell: &Shell) -> Option<OsString> {
        let ours = places.tools().join("bin").join(self.program);
        [ours, PathBuf::from(self.program)]
            .into_iter()
            .map(OsString::from)
            .find(|program| {
                shell::probe(self.call(program, shell).arg("--version"))
                    .is_some_and(|answer| self.accepts(&answer))
            })
    }

    fn call(&self, program: &OsString, shell: &Shell) -> Command {
        let mut command = shell.command(program);
        command.arg(self.subcommand);
        command
    }

    /// Whether the answer to `--version`, "cargo-NAME VERSION ...", is of an accepted version.
    fn accepts(&self, answer: &str) -> bool {
        answer
            .split_whitespace()
            .nth(1)
            .is_some_and(|version| version.starts_with(self.accepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (tool, answer, expected) in [
            (
                &NEXTEST,
                "cargo-nextest 0.9.143 (60fa45f63 2026-08-04)\nrelease: 0.9.143\n",
                true,
            ),
            (&NEXTEST, "cargo-nextest 0.10.0\n", false),
            (&DENY, "cargo-deny 0.20.2\n", true),
            (&DENY, "cargo-deny 0.14.2\n", false),
            (&DENY, "cargo-deny\n", false),
            (&DENY, "", false),
        ] {
            assert_eq!(tool.accepts(answer), expected, "{answer}");
        }
    }

    #[test]
    fn the_pinned_versions_are_accepted() {
        for tool in [&NEXTEST, &DENY] {
            assert!(tool.accepts(&format!("{} {}", tool.program, tool.pinned)));
        }
    }
}
