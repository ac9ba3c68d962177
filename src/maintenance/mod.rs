//! Looking for damage in the files of a closed database, and cutting it out.
//!
//! [`verify()`] reads every byte and changes nothing. [`repair()`] first tells what it would drop; told to
//! go on, it keeps everything that is readable, moves what is not to `lost/`, and gives the database
//! a new incarnation, so that indexes and followers of the old one are not mistaken for this one's.

mod repair;
mod verify;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::Options;
use crate::db::Tidestone;
use crate::error::Result;
pub use repair::{RepairPlan, Step, plan_repair, repair};
pub use verify::verify;

/// Opens a database for writing with an index made anew from the files, whatever state the old one
/// is in; nobody else can open it for writing meanwhile.
///
/// # Errors
/// As [`Tidestone::open`]; or the index cannot be removed. A database that does not open keeps its
/// index.
pub fn rebuild_index(path: &Path, options: Options) -> Result<Tidestone> {
    Tidestone::builder(path)
        .options(options)
        .open_and_rebuild_index()
}

/// What [`verify()`] found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The files that were read.
    pub files: Vec<FileReport>,
    /// Regions of segments whose checksums and content were checked.
    pub regions: u64,
    /// Frames of the log that are readable.
    pub frames: u64,
    /// Rows in segments.
    pub rows: u64,
    /// What is damaged; empty if the database is sound.
    pub damage: Vec<Damage>,
    /// What is worth knowing and is no damage.
    pub notes: Vec<String>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// What it is: `identity`, `manifest`, `log` or `segment`.
    pub kind: &'static str,
    /// Its length; 0 if it could not be read.
    pub bytes: u64,
    /// The rows of a segment, as the manifest says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// A damaged file, or part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in it, if that is known.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl Damage {
    fn of(error: &crate::Error, path: &Path) -> Self {
        Self {
            path: error.path().unwrap_or(path).to_owned(),
            offset: error.offset(),
            what: error.to_string(),
        }
    }
}
