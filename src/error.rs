//! What went wrong, said so that the caller knows what to do next.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestone_format::{FormatError, FormatErrorKind};

/// The result of every fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do about damage, unless an error knows better.
const MEND: &str = "run `tidestone verify` to see all damage, and restore the file from a backup or run \
                    `tidestone repair`";

/// An error of the engine: a [kind](ErrorKind) to act on, a sentence for people, and, where a
/// file is concerned, which one and where in it.
///
/// Errors are cheap to clone: a failed sync is handed to every thread that waited for it.
///
/// `{}` is the sentence, with the file and what to do. `{:?}`, which a `main` that returns the error prints, and
/// `unwrap` too, is kind and sentence; `{:#?}` shows every part, with the causes.
///
/// ```
/// # use tidestone::*;
/// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
/// let error = db.table("trades").unwrap_err();
/// assert_eq!(format!("{error:?}"), format!("NotFound: {error}"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    /// What to do, where that is not the same wherever the error is met, and so not in the message.
    advice: Option<&'static str>,
    path: Option<PathBuf>,
    offset: Option<u64>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is wrong: a name, a type, a range, a setting. Nothing was changed; correct it.
    Invalid,
    /// There is no such database, table, field or file.
    NotFound,
    /// It is there already.
    Exists,
    /// Another process writes to this database. Close it there, or open read-only here.
    Locked,
    /// The memory budget is spent, or the log has no room, and the deadline passed: nothing was
    /// changed, try again later. Or this process reads beside one that writes, which has moved on:
    /// reopen the database and ask again.
    Busy,
    /// The disk is full. Reads go on; writing goes on once there is space.
    DiskFull,
    /// A write to log or manifest failed earlier, or a thread panicked; the cause is named. Reads go on;
    /// to write again, close the database and open it anew.
    Poisoned,
    /// The database was closed, or opened for reading only.
    Closed,
    /// Bytes on disk are damaged. The path, the offset, expected and actual are named; `verify`
    /// lists all damage and `repair` says what mending would drop.
    Corrupt,
    /// A newer version wrote the file, or it uses a feature this version does not know.
    Unsupported,
    /// The operating system refused: permission, a missing device, a failed read.
    Io,
    /// A query was stopped by its [`Cancellation`](crate::Cancellation).
    Cancelled,
    /// The engine contradicts itself, which is a bug of it and nothing the caller gave: report it, with the message.
    Internal,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::build(kind, message.into(), None, None, None)
    }

    /// Wrong input.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The database was closed.
    pub(crate) fn closed() -> Self {
        let message = "the database was closed, and this needs an open one; open it again";
        Self::new(ErrorKind::Closed, message)
    }

    /// The database was opened for reading only.
    pub(crate) fn read_only() -> Self {
        let message = "the database was opened for reading only; to change it, open it for writing";
        Self::new(ErrorKind::Closed, message)
    }

    /// A call of the operating system on `path` failed; `action` says what was tried.
    pub(crate) fn io(action: &str, path: &Path, error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                ErrorKind::DiskFull
            }
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        let advice = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "; the user this process runs as needs permission to read it, and to write it and its \
                 folder unless the database is opened for reading only"
            }
            std::io::ErrorKind::NotFound => {
                "; if the path is right, restore what is missing from a backup"
            }
            std::io::ErrorKind::NotADirectory => {
                "; a file is where a folder should be: move it away"
            }
            std::io::ErrorKind::IsADirectory => {
                "; a folder is where a file should be: move it away"
            }
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                "; free space, or drop a table or shorten what it keeps"
            }
            _ => "",
        };
        let message = format!("cannot {action}: {error}{advice}");
        Self::build(
            kind,
            message,
            Some(path.to_owned()),
            None,
            Some(Box::new(error)),
        )
    }

    /// Bytes of `path` are not what the format says.
    pub(crate) fn format(path: &Path, error: FormatError) -> Self {
        let kind = match error.kind {
            FormatErrorKind::Unsupported => ErrorKind::Unsupported,
            FormatErrorKind::Limit => ErrorKind::Invalid,
            _ => ErrorKind::Corrupt,
        };
        let offset = Some(error.offset);
        let message = match kind {
            ErrorKind::Unsupported => {
                format!("{error}; open it with the version that wrote it or a newer one")
            }
            _ => error.to_string(),
        };
        let error = Self::build(
            kind,
            message,
            Some(path.to_owned()),
            offset,
            Some(Box::new(error)),
        );
        match kind {
            ErrorKind::Corrupt => error.advising(MEND),
            _ => error,
        }
    }

    /// A file contradicts another, or what the engine knows of it; with the advice that fits most damage.
    pub(crate) fn corrupt(path: &Path, offset: u64, message: impl Into<String>) -> Self {
        let (path, offset) = (Some(path.to_owned()), Some(offset));
        Self::build(ErrorKind::Corrupt, message.into(), path, offset, None).advising(MEND)
    }

    fn build(
        kind: ErrorKind,
        message: String,
        path: Option<PathBuf>,
        offset: Option<u64>,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            message,
            advice: None,
            path,
            offset,
            source,
        }))
    }

    /// The same error about `path`.
    pub(crate) fn with_path(self, path: &Path) -> Self {
        Self(Arc::new(Inner {
            path: Some(path.to_owned()),
            ..self.within()
        }))
    }

    /// The same error with this advice in place of its own.
    pub(crate) fn advising(mut self, advice: &'static str) -> Self {
        match Arc::get_mut(&mut self.0) {
            Some(inner) => {
                inner.advice = Some(advice);
                self
            }
            None => Self(Arc::new(Inner {
                advice: Some(advice),
                ..self.within()
            })),
        }
    }

    /// One that says the same, and has this one as its source.
    fn within(self) -> Inner {
        let Inner {
            kind,
            message,
            advice,
            path,
            offset,
            ..
        } = &*self.0;
        Inner {
            kind: *kind,
            message: message.clone(),
            advice: *advice,
            path: path.clone(),
            offset: *offset,
            source: Some(Box::new(self)),
        }
    }

    /// Whether a file cannot be read, for its own sake or the disk's. Work on other files is not to wait for it
    /// where it can do without: who reads the file is told. One of a newer version is not among them: where such
    /// are, this version is not to go on.
    pub(crate) fn is_unreadable(&self) -> bool {
        use ErrorKind::{Corrupt, Io, NotFound};
        matches!(self.kind(), Corrupt | Io | NotFound)
    }

    /// The error that every later write gets once this one has poisoned the log.
    pub(crate) fn poisoned(&self) -> Self {
        let message = format!(
            "writing stopped after an earlier failure ({self}); close the database and open it again"
        );
        Self::build(
            ErrorKind::Poisoned,
            message,
            self.0.path.clone(),
            None,
            Some(Box::new(self.clone())),
        )
    }

    /// `what` panicked. What the message of the panic says is on standard error.
    pub(crate) fn panicked(what: &str) -> Self {
        let message = format!(
            "{what} panicked, which is a bug; standard error says where; close the database and open it again"
        );
        Self::new(ErrorKind::Poisoned, message)
    }

    /// What went wrong, and where, without what to do: for a report of whoever does it.
    pub(crate) fn what(&self) -> String {
        let message = &self.0.message;
        match &self.0.path {
            Some(path) => format!("{}: {message}", path.display()),
            None => message.clone(),
        }
    }

    /// What can be done about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file concerned, if one is.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The byte offset in that file, if there is one.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        match self.0.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.alternate() {
            true => f.debug_tuple("Error").field(&self.0).finish(),
            false => write!(f, "{:?}: {self}", self.0.kind),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

impl From<FormatError> for Error {
    /// For values of the caller that the format cannot hold.
    fn from(error: FormatError) -> Self {
        let message = match error.kind {
            FormatErrorKind::Limit => format!("{error}; make it smaller"),
            // There is no file, and no offset in it.
            _ => {
                let FormatError {
                    what,
                    expected,
                    actual,
                    ..
                } = &error;
                format!("{what}: expected {expected}, found {actual}; correct it")
            }
        };
        Self::build(
            ErrorKind::Invalid,
            message,
            None,
            None,
            Some(Box::new(error)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It printed the parts of the structure, among them those that are not there.
    #[test]
    fn a_main_that_returns_an_error_prints_a_sentence() {
        let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Error::io("open", Path::new("db/IDENTITY"), cause);
        let expected = "NotFound: db/IDENTITY: cannot open: entity not found; if the path is right, restore \
                        what is missing from a backup";
        assert_eq!(format!("{error:?}"), expected);
        let boxed: Box<dyn std::error::Error> = Box::new(error.clone());
        assert_eq!(format!("{boxed:?}"), expected);
        let all = format!("{error:#?}");
        for part in [
            "kind: NotFound",
            "path: Some",
            "offset: None",
            "source: Some",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }
}
