//! Notes and errors, on stderr.

use std::fmt;
use std::io::{self, Write};

/// Says something on a line of its own.
///
/// What stderr refuses is dropped: where its reader is gone or its disk is full, the work that the
/// message is about goes on all the same, and the exit code tells how it ended.
pub(crate) fn tell(message: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}
