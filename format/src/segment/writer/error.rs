//! Why a segment could not be written.

use std::fmt;

use crate::{FormatError, SeriesId, Timestamp};

/// Why a segment could not be written.
#[derive(Debug)]
pub enum WriteError {
    /// The sink failed. The writer is of no more use.
    Io(std::io::Error),
    /// The sink failed before.
    Broken,
    /// Rows that do not ascend by series and time; nothing was taken.
    Order {
        /// The last row that was sound.
        before: (SeriesId, Timestamp),
        /// The row after it.
        next: (SeriesId, Timestamp),
    },
    /// Input that the segment cannot hold, or not this segment; nothing was taken.
    Input(FormatError),
}

impl From<FormatError> for WriteError {
    fn from(error: FormatError) -> Self {
        Self::Input(error)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "writing a segment: {error}"),
            Self::Broken => f.write_str("writing a segment: it failed before"),
            Self::Order { before, next } => write!(
                f,
                "rows of a segment must ascend: series {} at {} after series {} at {}",
                next.0, next.1, before.0, before.1
            ),
            Self::Input(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Input(error) => Some(error),
            Self::Broken | Self::Order { .. } => None,
        }
    }
}
