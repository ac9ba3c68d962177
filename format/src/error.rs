//! What a decoder says of bytes it refuses.

use std::fmt;

/// The result of decoding.
pub type Result<T, E = FormatError> = std::result::Result<T, E>;

/// Bytes that are not what the format says they must be.
///
/// The offset is relative to the slice the decoder was given unless [`FormatError::at_base`]
/// moved it to a position in the file. The layer that knows the path adds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    /// What kind of trouble it is.
    pub kind: FormatErrorKind,
    /// The thing being decoded, in words: `"log frame header"`, `"vector directory"`.
    pub what: &'static str,
    /// Byte offset of the thing.
    pub offset: u64,
    /// What was expected there, in words or numbers.
    pub expected: String,
    /// What was found.
    pub actual: String,
}

/// The kinds of [`FormatError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatErrorKind {
    /// The bytes end before the thing does.
    Truncated,
    /// A checksum does not match: the bytes are damaged, or belong elsewhere.
    Checksum,
    /// A magic number is wrong: this is a foreign file, or not the thing that should be here.
    Magic,
    /// A newer version of the format, or a required feature this reader does not know.
    Unsupported,
    /// A length, count, tag or other value is out of the bounds the format sets.
    Invalid,
    /// The input of an encoder exceeds what the format can hold.
    Limit,
}

impl FormatError {
    /// An error of `kind` on `what` at `offset`.
    pub fn new(
        kind: FormatErrorKind,
        what: &'static str,
        offset: u64,
        expected: impl fmt::Display,
        actual: impl fmt::Display,
    ) -> Self {
        Self {
            kind,
            what,
            offset,
            expected: expected.to_string(),
            actual: actual.to_string(),
        }
    }

    /// `needed` bytes were to be read where only `available` are left.
    pub fn truncated(what: &'static str, offset: u64, needed: u64, available: u64) -> Self {
        Self::new(
            FormatErrorKind::Truncated,
            what,
            offset,
            format_args!("{needed} bytes"),
            format_args!("{available} bytes"),
        )
    }

    /// A value out of bounds.
    pub fn invalid(
        what: &'static str,
        offset: u64,
        expected: impl fmt::Display,
        actual: impl fmt::Display,
    ) -> Self {
        Self::new(FormatErrorKind::Invalid, what, offset, expected, actual)
    }

    /// A checksum that does not match.
    pub fn checksum(what: &'static str, offset: u64, expected: u32, actual: u32) -> Self {
        Self::new(
            FormatErrorKind::Checksum,
            what,
            offset,
            format_args!("checksum {expected:#010x}"),
            format_args!("{actual:#010x}"),
        )
    }

    /// An encoder's input is larger than the format allows.
    pub fn limit(what: &'static str, limit: impl fmt::Display, actual: impl fmt::Display) -> Self {
        Self::new(
            FormatErrorKind::Limit,
            what,
            0,
            format_args!("at most {limit}"),
            actual,
        )
    }

    /// The same error with `base` added to its offset: for a decoder that was given a slice
    /// which starts at `base` of the file.
    #[must_use]
    pub fn at_base(mut self, base: u64) -> Self {
        self.offset = self.offset.saturating_add(base);
        self
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            what,
            offset,
            expected,
            actual,
        } = self;
        match kind {
            FormatErrorKind::Truncated => {
                write!(
                    f,
                    "{what} at offset {offset} is cut short: needs {expected}, has {actual}"
                )
            }
            FormatErrorKind::Limit => write!(f, "{what} too large: {expected}, got {actual}"),
            FormatErrorKind::Unsupported => write!(
                f,
                "{what} at offset {offset} needs a newer version: this one reads {expected}, the file has {actual}"
            ),
            _ => write!(
                f,
                "{what} at offset {offset}: expected {expected}, found {actual}"
            ),
        }
    }
}

impl std::error::Error for FormatError {}
