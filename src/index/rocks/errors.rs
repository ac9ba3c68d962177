//! Errors of RocksDB, told as ours.

use std::path::Path;

use crate::error::{Error, ErrorKind};

const DENIED: &str = "Permission denied";

/// The errors of the operating system that making the index anew would not mend, or that would
/// take it away from another process. RocksDB gives them as text only.
const REFUSALS: [(&str, ErrorKind); 7] = [
    ("No space left on device", ErrorKind::DiskFull),
    ("Disk quota exceeded", ErrorKind::DiskFull),
    ("lock file", ErrorKind::Locked),
    ("lock hold by current process", ErrorKind::Locked),
    ("Too many open files", ErrorKind::Io),
    (DENIED, ErrorKind::Io),
    ("Read-only file system", ErrorKind::Io),
];

/// Whether an error, in RocksDB's words, says that the disk is full.
pub(super) fn is_full(error: &str) -> bool {
    let mut full = REFUSALS
        .iter()
        .filter(|(_, kind)| *kind == ErrorKind::DiskFull);
    full.any(|(text, _)| error.contains(text))
}

pub(super) fn is_refusal(error: &rocksdb::Error) -> bool {
    REFUSALS
        .iter()
        .any(|(text, _)| error.as_ref().contains(text))
}

/// Whether an error of the index says that it, or its place on the disk, is damaged: making it anew
/// would mend it.
pub(in crate::index) fn is_damage(error: &Error) -> bool {
    let refused = || {
        let text = error.to_string();
        REFUSALS.iter().any(|(refusal, _)| text.contains(refusal))
    };
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io) && !refused()
}

/// An error of an index that is there.
pub(super) fn rocks_error(path: &Path, error: rocksdb::Error) -> Error {
    let damaged = "the index is derived: `tidestone rebuild-index` makes it anew";
    let other = "see that its folder can be read and written; if it can, `tidestone rebuild-index` makes it anew";
    tell(path, error, damaged, other)
}

/// An error of an index that is being made: to make it is no advice.
pub(super) fn creation_error(path: &Path, error: rocksdb::Error) -> Error {
    let advice = "see that its folder can be read and written";
    tell(path, error, advice, advice)
}

fn tell(path: &Path, error: rocksdb::Error, damaged: &'static str, other: &'static str) -> Error {
    let refusal = REFUSALS
        .iter()
        .find(|(text, _)| error.as_ref().contains(text));
    let kind = match (refusal, error.kind()) {
        (Some((_, kind)), _) => *kind,
        (None, rocksdb::ErrorKind::IOError) => ErrorKind::Io,
        (None, rocksdb::ErrorKind::Corruption | rocksdb::ErrorKind::NotFound) => ErrorKind::Corrupt,
        (None, rocksdb::ErrorKind::InvalidArgument) => ErrorKind::Invalid,
        (None, _) => ErrorKind::Io,
    };
    let advice = match kind {
        ErrorKind::DiskFull => "free space, or drop a table or shorten what it keeps",
        ErrorKind::Locked => "another process has it open: close the database there",
        ErrorKind::Corrupt | ErrorKind::Invalid => damaged,
        _ if error.as_ref().contains(DENIED) => {
            "the user this process runs as needs permission to read and to write it"
        }
        _ => other,
    };
    let error = Error::new(kind, format!("index: {}", error.as_ref()));
    error.with_path(path).advising(advice)
}
