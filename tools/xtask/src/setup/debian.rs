//! Debian packages, through apt-get.

use std::io::{self, IsTerminal as _};

use crate::failure::{Failure, Result};
use crate::shell::{self, Shell};

/// Installs the packages: as root, else through sudo.
///
/// # Errors
///
/// If this is no Debian-like system or there is no right to install; the text lists the packages.
pub(crate) fn install(shell: &Shell, packages: &[&str]) -> Result<()> {
    let found = |program: &str, arg: &str| shell::probe(shell.command(program).arg(arg));
    if found("apt-get", "--version").is_none() {
        return Err(by_hand(packages, "there is no apt-get"));
    }
    let root = found("id", "-u").is_some_and(|id| id.trim() == "0");
    let sudo: &[&str] = match (root, io::stdin().is_terminal()) {
        (true, _) => &[],
        (false, true) => &["sudo"],
        // Nobody is there to type a password.
        (false, false) => &["sudo", "--non-interactive"],
    };
    if !root && found("sudo", "--version").is_none() {
        return Err(by_hand(
            packages,
            "this user is not root and there is no sudo",
        ));
    }
    let install = ["install", "--yes", "--no-install-recommends"];
    for args in [&["update"][..], &[&install[..], packages].concat()] {
        let words = [
            sudo,
            &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"],
            args,
        ]
        .concat();
        let (program, args) = words
            .split_first()
            .ok_or_else(|| Failure::new("no command"))?;
        shell::run_quiet(shell.command(program).args(args))
            .map_err(|failure| by_hand(packages, &failure.to_string()))?;
    }
    Ok(())
}

fn by_hand(packages: &[&str], why: &str) -> Failure {
    Failure::new(format!(
        "cannot install what is missing ({why}): install the Debian packages {}, or what \
         corresponds to them on this system, and start again",
        packages.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_are_named_where_they_cannot_be_installed() {
        assert_eq!(
            by_hand(&["g++", "clang"], "there is no apt-get").to_string(),
            "cannot install what is missing (there is no apt-get): install the Debian packages \
             g++ clang, or what corresponds to them on this system, and start again"
        );
    }
}
