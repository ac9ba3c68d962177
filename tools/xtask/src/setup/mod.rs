//! Installing what a task needs and this machine lacks, and nothing else.

mod debian;
mod libclang;
mod tools;

pub(crate) use tools::{DENY, NEXTEST};

use self::tools::Tool;
use crate::environment;
use crate::failure::{Failure, Result};
use crate::places::{Places, set};
use crate::shell::{self, Shell};

/// Something that a task needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A C++ compiler, libclang for the bindings of RocksDB.
    Build,
    /// ccache: builds are quicker with it, none fails without.
    Ccache,
    /// `cargo fmt` and `cargo clippy`.
    Lints,
    /// One of the cargo tools.
    Tool(&'static Tool),
}

impl Need {
    /// Everything that any task needs.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Build,
        Self::Ccache,
        Self::Lints,
        Self::Tool(&NEXTEST),
        Self::Tool(&DENY),
    ];
    /// What `check` needs.
    pub(crate) const CHECK: &'static [Self] = &[Self::Build, Self::Lints, Self::Tool(&DENY)];
    /// What `test` needs.
    pub(crate) const TEST: &'static [Self] = &[Self::Build, Self::Tool(&NEXTEST)];
    /// What tasks need that only build and run.
    pub(crate) const RUN: &'static [Self] = &[Self::Build];
}

/// Makes sure that all of `needs` is there.
pub(crate) fn provide(places: &Places, needs: &[Need]) -> Result<()> {
    let shell = Shell::new(places.checkout.clone());
    let packages = missing_packages(&shell, needs);
    if !packages.is_empty() {
        debian::install(&shell, &packages)?;
        let left = missing_packages(&shell, needs);
        if !left.is_empty() {
            return Err(Failure::new(format!(
                "what the packages {} hold is still not found after their installation: see that \
                 g++ and clang are on PATH, and set LIBCLANG_PATH to the folder of libclang.so",
                left.join(", ")
            )));
        }
    }
    for need in needs {
        match need {
            Need::Build | Need::Ccache => {}
            Need::Lints => lints(&shell)?,
            Need::Tool(tool) => tool.provide(places)?,
        }
    }
    Ok(())
}

/// The Debian packages that hold what is missing.
fn missing_packages(shell: &Shell, needs: &[Need]) -> Vec<&'static str> {
    let answers = |program: &str| shell::probe(shell.command(program).arg("--version")).is_some();
    let mut missing = Vec::new();
    if needs.contains(&Need::Build) {
        if (set("CXX").is_none() && !answers("g++")) || (set("CC").is_none() && !answers("gcc")) {
            missing.push("g++");
        }
        // The program brings the headers that libclang reads, and says where they are.
        if !answers("clang") {
            missing.push("clang");
        }
        if libclang::find(shell).is_none() {
            missing.push("libclang-dev");
        }
    }
    if needs.contains(&Need::Ccache) && !answers(environment::CCACHE) {
        missing.push("ccache");
    }
    missing
}

/// Makes sure of the parts of the Rust tool chain that `check` runs.
fn lints(shell: &Shell) -> Result<()> {
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if shell::probe(shell.cargo().args([command, "--version"])).is_some() {
            continue;
        }
        if shell::probe(shell.command("rustup").arg("--version")).is_none() {
            return Err(Failure::new(format!(
                "`cargo {command}` is missing and there is no rustup to install it: install the \
                 {component} of this Rust tool chain the way the tool chain was installed"
            )));
        }
        shell::run_quiet(
            shell
                .command("rustup")
                .args(["component", "add", component]),
        )?;
    }
    Ok(())
}
