//! IDENTITY, written anew from what the other files say.
//!
//! It says which database this is, which the header of every other file says too, and when that was made,
//! which nothing else says. The header of the manifest is believed if all other sound ones agree with it. With
//! the right database in it the damaged file may prove by its checksum what it was: then it is mended to the
//! byte. Otherwise the time is lost, and 0 is written in its place.

use std::path::{Path, PathBuf};

use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN, Specific};
use tidestone_format::version::FORMAT_VERSION;
use tidestone_format::{FileUuid, FormatError, FormatErrorKind};

use super::repair::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::io::Disk;
use crate::recover;
use crate::store::{Folders, newest_manifest, segment_files};
use crate::wal;

/// Which database is in a folder.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) database: FileUuid,
    /// What mends IDENTITY, if it is not sound.
    pub(super) mended: Option<Mended>,
}

/// IDENTITY as it should be.
#[derive(Debug)]
pub(super) struct Mended {
    pub(super) step: Step,
    pub(super) bytes: Vec<u8>,
}

/// Looks for what IDENTITY says, or should say.
///
/// # Errors
/// There is no database, or a newer version wrote IDENTITY; or it is damaged or gone, and the other files do
/// not agree on what it should say, or a newer version wrote one of them.
pub(super) fn find(disk: &dyn Disk, folders: &Folders) -> Result<Identity> {
    let path = folders.identity();
    let (database, bytes, created_at, what) = match recover::identity(disk, folders) {
        Ok((database, created_at)) => {
            let mut bytes = read(disk, &path, usize::MAX)?;
            let Some(error) = bytes_behind(&bytes) else {
                let mended = None;
                return Ok(Identity { database, mended });
            };
            bytes.truncate(HEADER_LEN);
            refuse_newer(&path, &FileHeader::decode(&bytes))?;
            (
                database,
                bytes,
                Some(created_at),
                Error::format(&path, error),
            )
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            let database = named_by_others(disk, folders)?;
            let damaged = match read(disk, &path, HEADER_LEN) {
                Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
                bytes => bytes?,
            };
            let proven = proven(&damaged, database);
            let created_at = proven.as_ref().map(|(_, created_at)| *created_at);
            let header = proven.map_or(FileHeader::identity(database, 0), |(header, _)| header);
            (database, header.encode().to_vec(), created_at, error)
        }
        Err(error) => return Err(error),
    };
    let step = Step::WriteIdentity {
        path,
        database,
        created_at,
        what: what.what(),
    };
    let mended = Some(Mended { step, bytes });
    Ok(Identity { database, mended })
}

/// What is wrong with an identity file that is longer than its header.
pub(super) fn bytes_behind(bytes: &[u8]) -> Option<FormatError> {
    (bytes.len() > HEADER_LEN).then(|| {
        let expected = format_args!("{HEADER_LEN} bytes");
        FormatError::invalid("identity file", 0, expected, bytes.len())
    })
}

/// The database that the manifest is of, and every other file whose header is sound.
fn named_by_others(disk: &dyn Disk, folders: &Folders) -> Result<FileUuid> {
    let unnamed = |found: String| {
        let message = format!(
            "expected a manifest whose header says what to write into a new IDENTITY, found {found}"
        );
        let advice = "restore IDENTITY and manifest from a backup of this database";
        Error::corrupt(&folders.identity(), 0, message).advising(advice)
    };
    let (_, manifest) = newest_manifest(disk, &folders.manifest()).map_err(|e| match e.kind() {
        ErrorKind::Corrupt | ErrorKind::NotFound => unnamed("none".to_owned()),
        _ => e,
    })?;
    let database = match header_of(disk, &manifest, FileKind::Manifest)? {
        Ok(header) => header.database,
        Err(error) => return Err(unnamed(format!("{}: {error}", manifest.display()))),
    };
    let logs = log_files(disk, &folders.wal())?.into_iter();
    let segments = match segment_files(disk, &folders.segments()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    let others = logs.map(|log| (log, FileKind::Log));
    let others = others.chain(segments.into_iter().map(|s| (s, FileKind::Segment)));
    for (path, kind) in others {
        // What is damaged, or was made ahead of its use, says nothing.
        let Ok(FileHeader { database: of, .. }) = header_of(disk, &path, kind)? else {
            continue;
        };
        if of != database {
            let message = format!(
                "expected files of one database, to write IDENTITY anew as they say, found {} of {database} and \
                 {} of {of}",
                manifest.display(),
                path.display()
            );
            let advice =
                "move the one that does not belong here away, or restore IDENTITY from a backup";
            return Err(Error::corrupt(&folders.identity(), 24, message).advising(advice));
        }
    }
    Ok(database)
}

pub(super) fn log_files(disk: &dyn Disk, folder: &Path) -> Result<Vec<PathBuf>> {
    let list = match disk.list(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        list => list.map_err(|e| Error::io("list the log folder", folder, e))?,
    };
    let logs = list
        .into_iter()
        .filter(|e| wal::number_of(&e.name).is_some());
    Ok(logs.map(|e| folder.join(e.name)).collect())
}

/// The header of a file, or what is wrong with it.
///
/// # Errors
/// It cannot be read, or is of a newer version.
pub(super) fn header_of(
    disk: &dyn Disk,
    path: &Path,
    kind: FileKind,
) -> Result<std::result::Result<FileHeader, FormatError>> {
    let header = FileHeader::decode_kind(&read(disk, path, HEADER_LEN)?, kind);
    refuse_newer(path, &header)?;
    Ok(header)
}

/// Fails for a header of a newer version, also one that this version can read: what that one writes into
/// IDENTITY is not known.
fn refuse_newer(path: &Path, header: &std::result::Result<FileHeader, FormatError>) -> Result<()> {
    match header {
        Err(error) if error.kind == FormatErrorKind::Unsupported => {
            Err(Error::format(path, error.clone()))
        }
        Ok(header) if header.version > FORMAT_VERSION => {
            let error = FormatError::new(
                FormatErrorKind::Unsupported,
                "file header",
                8,
                format_args!(
                    "format version {FORMAT_VERSION} where IDENTITY is to be written anew"
                ),
                format_args!("version {}", header.version),
            );
            Err(Error::format(path, error))
        }
        _ => Ok(()),
    }
}

/// The first bytes of a file, at most `len`.
fn read(disk: &dyn Disk, path: &Path, len: usize) -> Result<Vec<u8>> {
    let read = || {
        let file = disk.open(path)?;
        let len = file.len()?.min(len as u64);
        let mut bytes = vec![0; usize::try_from(len).map_err(std::io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    read().map_err(|e| Error::io("read the header of the file", path, e))
}

/// What a damaged identity file was, and the time in it, if its checksum is that of one of this database.
fn proven(damaged: &[u8], database: FileUuid) -> Option<(FileHeader, i64)> {
    let mut bytes: [u8; HEADER_LEN] = *damaged.first_chunk()?;
    bytes[..8].copy_from_slice(&FileKind::Identity.magic());
    let said = FileHeader::peek(&bytes).ok()?;
    let Specific::Identity { created_at } = said.specific else {
        return None;
    };
    let by_this_version = FileHeader::identity(database, created_at);
    let by_another = FileHeader {
        writer_version: said.writer_version,
        ..by_this_version.clone()
    };
    let stored = &bytes[HEADER_LEN - 4..];
    let was = [by_this_version, by_another]
        .into_iter()
        .find(|header| header.encode().ends_with(stored));
    was.map(|header| (header, created_at))
}
