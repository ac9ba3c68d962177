//! The environment in which cargo runs: the same for every task and for `cargo xtask env`, so
//! that no build result made by one is stale for another.

use crate::failure::Result;
use crate::places::{Places, is_ci, set};
use crate::shell::{self, Shell};

/// The compiler cache, and the first word of a compiler variable that goes through it.
pub(crate) const CCACHE: &str = "ccache";

/// The names of the C and C++ compilers, with the variables that override them.
const COMPILERS: [(&str, &str); 2] = [("CC", "gcc"), ("CXX", "g++")];

/// A shell whose cargo builds into the build folder, through ccache where it is installed.
pub(crate) fn shell(places: &Places) -> Shell {
    let mut shell = Shell::new(places.checkout.clone());
    shell.set("CARGO_TARGET_DIR", &places.target);
    if is_ci() {
        // Nothing is built twice there, and incremental data is most of a build folder.
        shell.set("CARGO_INCREMENTAL", "0");
    }
    let ccache = shell::probe(shell.command(CCACHE).arg("--version")).is_some();
    for (variable, compiler) in COMPILERS {
        match set(variable) {
            Some(chosen) => shell.set(variable, chosen),
            None if ccache => shell.set(variable, format!("{CCACHE} {compiler}")),
            None => shell.set(variable, compiler),
        }
    }
    if let Some(folder) = places
        .ccache
        .as_ref()
        .filter(|_| set("CCACHE_DIR").is_none())
    {
        shell.set("CCACHE_DIR", folder);
    }
    shell
}

/// The words that call the C++ compiler itself, without ccache.
pub(crate) fn cxx(shell: &Shell) -> Vec<String> {
    let words = shell
        .vars()
        .iter()
        .find(|(name, _)| *name == "CXX")
        .map(|(_, words)| words);
    let words = words
        .map(|words| words.to_string_lossy())
        .unwrap_or_default();
    let mut words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
    if words
        .first()
        .is_some_and(|word| word == CCACHE || word.ends_with("/ccache"))
    {
        words.remove(0);
    }
    words
}

/// Prints the environment as shell lines.
pub(crate) fn print(shell: &Shell) -> Result<()> {
    let mut text = String::new();
    for (name, value) in shell.vars() {
        text += &format!("export {name}={}\n", quoted(&value.to_string_lossy()));
    }
    shell::print(&text)
}

/// The text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_found_behind_the_cache() {
        let mut shell = Shell::new(std::env::temp_dir());
        for (variable, expected) in [
            ("g++", vec!["g++"]),
            ("ccache g++", vec!["g++"]),
            ("/usr/bin/ccache clang++ -m64", vec!["clang++", "-m64"]),
        ] {
            shell.set("CXX", variable);
            assert_eq!(cxx(&shell), expected);
        }
    }

    #[test]
    fn any_value_is_one_word() {
        for text in ["", "/a b/c", "it's", "$HOME `x` \"y\" \\", "a\nb"] {
            let script = format!("printf %s {}", quoted(text));
            let mut command = Shell::new(std::env::temp_dir()).command("sh");
            assert_eq!(shell::output(command.args(["-c", &script])).unwrap(), text);
        }
    }
}
