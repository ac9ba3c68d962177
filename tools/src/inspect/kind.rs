//! Which kind of file it is, whatever of it is damaged.

use std::path::Path;

use tidestone_format::header::FileKind;
use tidestone_format::log::frame::FRAME_MAGIC;
use tidestone_format::manifest::{EDIT_MAGIC, EDITS_START};
use tidestone_format::version::{LOG_PAGE, SEGMENT_END_MAGIC};

use super::segment::BLOCK_MAGIC;

/// The kind, by the first bytes; where they say nothing, by the last ones, by what stands where
/// frames, edits and blocks start; and by the name only if all that says nothing.
pub(super) fn of(bytes: &[u8], path: &Path) -> Option<FileKind> {
    let magic = bytes.first_chunk().and_then(FileKind::from_magic);
    magic
        .or_else(|| by_content(bytes))
        .or_else(|| by_name(path))
}

/// A word for people and for JSON.
pub(super) fn name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Identity => "identity",
        FileKind::Log => "log",
        FileKind::Manifest => "manifest",
        FileKind::Segment => "segment",
    }
}

fn by_content(bytes: &[u8]) -> Option<FileKind> {
    let at = |offset: usize, magic: &[u8]| {
        bytes
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(magic))
    };
    if bytes.ends_with(&SEGMENT_END_MAGIC) || at(192, &BLOCK_MAGIC) {
        Some(FileKind::Segment)
    } else if at(LOG_PAGE, &FRAME_MAGIC) {
        Some(FileKind::Log)
    } else if at(EDITS_START, &EDIT_MAGIC) {
        Some(FileKind::Manifest)
    } else {
        None
    }
}

fn by_name(path: &Path) -> Option<FileKind> {
    // There are files of RocksDB, some of which are called like ours.
    if path
        .parent()
        .is_some_and(|folder| folder.ends_with("index"))
    {
        return None;
    }
    match path.extension().and_then(|e| e.to_str()) {
        Some("seg") => Some(FileKind::Segment),
        Some("log") => Some(FileKind::Log),
        Some("manifest") => Some(FileKind::Manifest),
        None if path.file_name().is_some_and(|n| n == "IDENTITY") => Some(FileKind::Identity),
        _ => None,
    }
}
