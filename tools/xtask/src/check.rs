//! What must hold of the code besides its tests.

use crate::failure::{Failure, Result};
use crate::places::Places;
use crate::setup::DENY;
use crate::shell::{self, Shell};

/// Builds that must stay free of RocksDB, as arguments of cargo: they take seconds, not minutes.
const LIGHT: [&[&str]; 3] = [
    &["--package", "tidestone-format"],
    &["--package", "tidestone-cli", "--no-default-features"],
    &["--package", "xtask"],
];

/// Formatting, lints, documentation, dependencies; ends at the first step that fails.
pub(crate) fn run(places: &Places, shell: &Shell) -> Result<()> {
    shell::run(shell.cargo().args(["fmt", "--all", "--check"]))?;
    // The fuzz targets are a workspace of their own, so small that its lints cost seconds.
    let fuzz = ["--manifest-path", "fuzz/Cargo.toml"];
    shell::run(shell.cargo().arg("fmt").args(fuzz).arg("--check"))?;
    let mut clippy = shell.cargo();
    clippy.args(["clippy", "--locked", "--all-targets"]);
    shell::run(clippy.args(fuzz).args(["--", "-D", "warnings"]))?;
    for package in LIGHT {
        without_rocksdb(shell, package)?;
    }
    let inspector = ["--package", "tidestone-cli", "--no-default-features"];
    for packages in [&["--workspace"][..], &inspector] {
        let mut clippy = shell.cargo();
        clippy
            .args(["clippy", "--locked", "--all-targets"])
            .args(packages);
        shell::run(clippy.args(["--", "-D", "warnings"]))?;
    }
    // What tests build has every feature of the engine; most programs have none.
    let mut plain = shell.cargo();
    plain.args(["clippy", "--locked", "--package", "tidestone"]);
    shell::run(plain.args(["--", "-D", "warnings"]))?;
    // Library and program have one name, so that one page would overwrite the other's: the
    // library's comes last and stays.
    for kind in ["--bins", "--lib"] {
        let mut doc = shell.cargo();
        doc.args(["doc", "--locked", "--workspace", "--no-deps", kind]);
        doc.args(["--features", "tidestone/arrow"]);
        doc.arg("--document-private-items")
            .env("RUSTDOCFLAGS", "-D warnings");
        shell::run(&mut doc)?;
    }
    let checks = ["--locked", "check", "bans", "licenses", "sources"];
    shell::run(DENY.command(places, shell)?.args(checks))
}

fn without_rocksdb(shell: &Shell, package: &[&str]) -> Result<()> {
    let mut tree = shell.cargo();
    tree.args([
        "tree",
        "--locked",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
    ]);
    let dependencies = shell::output(tree.args(package))?;
    let rocksdb = |line: &&str| line.starts_with("librocksdb-sys ");
    match dependencies.lines().find(rocksdb) {
        None => Ok(()),
        Some(line) => Err(Failure::new(format!(
            "the build of {} has come to need {line}; see `cargo tree {} --invert librocksdb-sys`",
            package.join(" "),
            package.join(" "),
        ))),
    }
}
