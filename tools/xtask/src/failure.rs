//! Why a task stopped, and the exit code that says so.

use std::fmt;
use std::io;
use std::path::Path;

/// The result of a task or of one of its steps.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Why a task stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The command line cannot be understood.
    Usage(String),
    /// A step failed; the text says what, where and what to do.
    Failed(String),
    /// A program that the task only stands for ended with this code and gave its own reasons.
    Exit(u8),
}

impl Failure {
    /// A failed step, told in `text`.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// Says what could not be done with `path`; for `map_err`.
    pub(crate) fn at(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Failed(format!("cannot {what} {}: {error}", path.display()))
    }

    /// The exit code of the process: 2 for a wrong command line, as documented in the usage text.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
            Self::Exit(code) => *code,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Exit(code) => write!(f, "the program ended with exit code {code}"),
        }
    }
}
