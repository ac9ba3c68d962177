//! The files of a database, found and read without opening it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN};
use tidestone_format::manifest::{ManifestIdentity, Replay, SegmentEntry, replay};
use tidestone_format::{FormatError, FormatErrorKind};

use crate::outcome::{Failure, Run};

/// The folder of a database.
#[derive(Debug, Clone)]
pub(crate) struct DbFiles {
    pub(crate) root: PathBuf,
}

/// Why a file could not be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// The system refused.
    Io(std::io::Error),
    /// Its bytes are wrong.
    Format(FormatError),
}

impl From<std::io::Error> for Unusable {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FormatError> for Unusable {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl Unusable {
    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == ErrorKind::NotFound)
    }

    /// What it means for a command that needs the file.
    pub(crate) fn of(&self, path: &Path) -> Failure {
        let error = match self {
            Self::Io(error) => return Failure::file("read", path, error),
            Self::Format(error) => error,
        };
        let message = format!("{}: {error}", path.display());
        match error.kind {
            FormatErrorKind::Unsupported => Failure::CouldNotRun(format!(
                "{message}; use the version that wrote it or a newer one"
            )),
            _ => Failure::Damaged(format!(
                "{message}; run `tidestone verify` to see all damage, and restore the file from a \
                 backup or run `tidestone repair`"
            )),
        }
    }
}

impl DbFiles {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Whether there is a database, maybe one that has lost its identity: whoever opens it says so.
    pub(crate) fn is_database(&self) -> bool {
        self.identity().exists() || self.root.join("manifest").exists()
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.root.join("IDENTITY")
    }

    /// Where the segment of an entry lies.
    pub(crate) fn segment(&self, entry: &SegmentEntry) -> PathBuf {
        self.root
            .join("segments")
            .join(entry.table.to_string())
            .join(entry.partition.start.to_string())
            .join(format!("{}.seg", entry.uuid))
    }

    /// The manifest files, by number.
    pub(crate) fn manifests(&self) -> std::io::Result<Vec<PathBuf>> {
        numbered(&self.root.join("manifest"), "manifest")
    }

    /// The log files, by number.
    pub(crate) fn log_files(&self) -> std::io::Result<Vec<PathBuf>> {
        numbered(&self.root.join("wal"), "log")
    }

    /// The manifest that holds, read.
    pub(crate) fn state(&self) -> Run<Replay> {
        let no_database = || {
            let root = self.root.display();
            Failure::new(format_args!(
                "{root} is no database: there is no manifest in it; name the folder of one"
            ))
        };
        let list = self.manifests().map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => no_database(),
            _ => Failure::file("list the manifests of", &self.root, &e),
        })?;
        let path = list.last().ok_or_else(no_database)?;
        // Without a sound one the files are still worth looking at; a newer one is of another layout.
        let identity = self.identity();
        let bytes = read_head(&identity, HEADER_LEN).unwrap_or_default();
        match FileHeader::decode_kind(&bytes, FileKind::Identity) {
            Err(error) if error.kind == FormatErrorKind::Unsupported => {
                return Err(Unusable::Format(error).of(&identity));
            }
            _ => {}
        }
        read_manifest(path).map_err(|e| e.of(path))
    }
}

/// What a manifest holds.
pub(crate) fn read_manifest(path: &Path) -> Result<Replay, Unusable> {
    let bytes = fs::read(path)?;
    let header = FileHeader::decode_kind(&bytes, FileKind::Manifest)?;
    let replay = replay(&bytes, ManifestIdentity::of(&header))?;
    match replay.cut_short(bytes.len() as u64) {
        Some(error) => Err(error.into()),
        None => Ok(replay),
    }
}

/// The last `len` bytes of a file.
pub(crate) fn read_tail(path: &Path, len: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(end.saturating_sub(len)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The first bytes of a file, at most `len`.
pub(crate) fn read_head(path: &Path, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Files called `<20 digits>.<extension>`, by number.
fn numbered(dir: &Path, extension: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let digits = path
            .file_stem()
            .and_then(|s| s.to_str())
            .unwrap_or_default();
        let named = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
        if named && path.extension().is_some_and(|e| e == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
