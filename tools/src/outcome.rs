//! How a command ends.

use std::fmt;
use std::io;
use std::path::Path;

/// The result of a command.
pub(crate) type Run<T = Outcome> = Result<T, Failure>;

/// A command that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well: exit code 0.
    Sound,
    /// Damage was found, or input was refused: exit code 1.
    Damaged,
    /// A newer version wrote it, so it could not be checked: exit code 2.
    Newer,
}

impl Outcome {
    /// Sound, if nothing speaks against it.
    pub(crate) fn sound(sound: bool) -> Self {
        if sound { Self::Sound } else { Self::Damaged }
    }
}

/// A command that did not run to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads the output any more: success.
    ClosedPipe,
    /// Damage was met that did not let it go on: exit code 1.
    #[cfg(feature = "engine")]
    Damaged(String),
    /// A signal asked it to end, which it did in good order: the exit code of the signal.
    #[cfg(feature = "engine")]
    Signalled(Signal),
    /// Exit code 2.
    CouldNotRun(String),
}

/// A signal that asks a process to end.
#[cfg(feature = "engine")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) name: &'static str,
    pub(crate) number: i32,
}

#[cfg(feature = "engine")]
impl Signal {
    /// The exit code of a process that the signal ended, as shells tell it.
    pub(crate) fn code(self) -> u8 {
        u8::try_from(128 + self.number).unwrap_or(u8::MAX)
    }
}

impl Failure {
    /// Could not run, for this reason.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self::CouldNotRun(message.to_string())
    }

    /// The same failure, with what it means for the caller.
    #[cfg(feature = "engine")]
    pub(crate) fn about(self, meaning: &str) -> Self {
        match self {
            Self::ClosedPipe => Self::ClosedPipe,
            Self::Signalled(signal) => Self::Signalled(signal),
            Self::Damaged(message) => Self::Damaged(format!("{meaning}: {message}")),
            Self::CouldNotRun(message) => Self::CouldNotRun(format!("{meaning}: {message}")),
        }
    }

    /// A file could not be used; `action` says for what.
    pub(crate) fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "; correct the name",
            io::ErrorKind::PermissionDenied => {
                "; the user this process runs as needs permission to read it"
            }
            _ => "",
        };
        Self::new(format_args!(
            "cannot {action} {}: {error}{advice}",
            path.display()
        ))
    }
}

/// Errors of writing results.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::new(format_args!("cannot write results: {error}")),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::from(io::Error::from(error))
    }
}

#[cfg(feature = "engine")]
impl From<tidestone::Error> for Failure {
    fn from(error: tidestone::Error) -> Self {
        match error.kind() {
            tidestone::ErrorKind::Corrupt => Self::Damaged(error.to_string()),
            _ => Self::new(error),
        }
    }
}
