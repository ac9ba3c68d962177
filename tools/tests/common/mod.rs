//! A folder of a test, and the command run in it.
#![allow(dead_code, reason = "each test file needs a part of it")]

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder with input files and a database.
pub(crate) struct Place(pub(crate) tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Runs a command in the folder.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tidestone"))
            .current_dir(self.0.path())
            .args(args)
            .output()
            .unwrap()
    }

    /// Runs a command that is to end with `code`; gives what it printed on stdout and stderr.
    pub(crate) fn check(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.run(args);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{error}");
        (out, error)
    }

    /// Runs a command whose stderr nobody reads, which is to end with `code`; gives its stdout.
    pub(crate) fn unheard(&self, code: i32, args: &[&str]) -> String {
        let (reader, stderr) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_tidestone"))
            .current_dir(self.0.path())
            .args(args)
            .stderr(stderr)
            .output()
            .unwrap();
        let out = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}");
        out
    }

    /// Runs a command that is to be refused with code 2: nothing on stdout, and on stderr what was
    /// expected, what there was instead, and what to do, in words of their own.
    pub(crate) fn refused(&self, args: &[&str], says: [&str; 3]) {
        let (out, error) = self.check(2, args);
        assert_eq!(out, "", "{args:?}");
        check_error(&format!("{args:?}"), &error, says);
    }

    /// The stdout of a command that is to succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.check(0, args).0
    }

    /// A database `db` with a small table `weather`.
    pub(crate) fn with_weather() -> Self {
        let place = Self::new();
        place.file("weather.csv", WEATHER);
        place.ok(&[
            "import",
            "--db",
            "db",
            "--table",
            "weather",
            "--time",
            "time",
            "--tags",
            "city",
            "weather.csv",
        ]);
        place
    }
}

pub(crate) const WEATHER: &str = "\
time,city,degrees,sky
2026-01-01 00:00:00,Bern,-1.5,clear
2026-01-01 00:00:00,Zürich,0.5,
2026-01-01 01:00:00,Bern,-2,\"snow, fog\"
2026-01-01 01:00:00,Zürich,,clouds
2026-01-02 00:00:00,Bern,3,rain
";

/// Checks that an error says what was expected, what there was instead, and what to do, in words of
/// their own.
pub(crate) fn check_error(what: &str, error: &str, [expected, actual, advice]: [&str; 3]) {
    let mut rest = error.to_owned();
    for (name, words) in [
        ("advice", advice),
        ("expected", expected),
        ("actual", actual),
    ] {
        assert!(!words.is_empty(), "{what}: the test names no {name}");
        assert!(
            rest.contains(words),
            "{what}: {name} {words:?} is missing: {error}"
        );
        // The same words do not count for two of them.
        rest = rest.replacen(words, "\n", 1);
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
