//! The manifest, as it was, where damage of it cost nothing.
//!
//! Its header says what other files say too: the database is that of IDENTITY, the number that of the file's name,
//! and the incarnation is that of the log, unless the header still says which one. The checksum of every edit
//! starts with these three: the first edit proves them, or they are not believed.

use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN};
use tidestone_format::manifest::{EditCursor, ManifestIdentity, Mended, mend as mend_edits};
use tidestone_format::{FileUuid, FormatErrorKind};

use super::identity::{header_of, log_files};
use crate::error::Result;
use crate::io::Disk;
use crate::store::Folders;

/// What the bytes of manifest `number` should be, if what is damaged of them can be told.
pub(super) fn mend(
    disk: &dyn Disk,
    folders: &Folders,
    database: FileUuid,
    number: u64,
    bytes: &[u8],
) -> Result<Option<Mended>> {
    let error = match FileHeader::decode_kind(bytes, FileKind::Manifest) {
        Ok(header) => return Ok(mend_edits(bytes, ManifestIdentity::of(&header))),
        Err(error) if error.kind == FormatErrorKind::Unsupported => return Ok(None),
        Err(error) => error,
    };
    let Some(mut said) = bytes.first_chunk::<HEADER_LEN>().copied() else {
        return Ok(None);
    };
    said[..8].copy_from_slice(&FileKind::Manifest.magic());
    let mut candidates = incarnations_of_log(disk, folders)?;
    candidates.extend(FileHeader::peek(&said).map(|header| header.file));
    let is_it = |incarnation: &FileUuid| {
        let identity = ManifestIdentity {
            database,
            incarnation: *incarnation,
            number,
        };
        EditCursor::new(bytes, identity).next().is_some()
    };
    let Some(incarnation) = candidates.into_iter().find(is_it) else {
        return Ok(None);
    };
    let header = FileHeader::manifest(database, incarnation, number);
    let mut bytes = bytes.to_vec();
    bytes[..HEADER_LEN].copy_from_slice(&header.encode());
    if let Some(mended) = mend_edits(&bytes, ManifestIdentity::of(&header)) {
        bytes = mended.bytes;
    }
    Ok(Some(Mended { bytes, error }))
}

fn incarnations_of_log(disk: &dyn Disk, folders: &Folders) -> Result<Vec<FileUuid>> {
    let mut found = Vec::new();
    for path in log_files(disk, &folders.wal())? {
        if let Ok(header) = header_of(disk, &path, FileKind::Log)?
            && !found.contains(&header.file)
        {
            found.push(header.file);
        }
    }
    Ok(found)
}
