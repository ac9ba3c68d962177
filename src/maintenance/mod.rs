//! Looking for damage in the files of a closed database, and cutting it out.
//!
//! All of it is done by a [`Builder`], which may name a disk other than the machine's own.
//! [`verify()`] reads every byte and changes nothing. [`repair()`] first tells what it would drop; told to
//! go on, it keeps everything that is readable, keeps the files of the rest in `lost/`, and gives the database
//! a new incarnation (unless only row groups of segments go, or nothing does), so that indexes and followers of
//! the old one are not mistaken for this one's.

mod identity;
mod keys;
mod manifest;
mod repair;
mod verify;

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::config::Options;
use crate::db::{Builder, Tidestone};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Folders;
pub use crate::wal::LostFrames;
pub use repair::{RepairPlan, Step, UnnamedSegment};

/// [`Builder::verify`], on the machine's own disk.
///
/// ```
/// # use tidestone::{Options, Tidestone};
/// use tidestone::maintenance::verify;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("db");
/// # Tidestone::create(&path, Options::default())?.close()?;
///
/// let report = verify(&path)?;
/// for damage in &report.damage {
///     println!("{}: {}", damage.path.display(), damage.what);
/// }
/// assert!(!report.is_damaged());
/// // Nobody writes to it: everything was read.
/// assert!(report.not_read.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`Builder::verify`].
pub fn verify(path: &Path) -> Result<VerifyReport> {
    Tidestone::builder(path).verify()
}

/// [`Builder::plan_repair`], on the machine's own disk. [`repair()`] has an example.
///
/// # Errors
/// As [`Builder::plan_repair`].
pub fn plan_repair(path: &Path) -> Result<RepairPlan> {
    Tidestone::builder(path).plan_repair()
}

/// [`Builder::repair`], on the machine's own disk.
///
/// ```
/// # use tidestone::{FieldType, Options, TableOptions, Tidestone, Value};
/// use tidestone::maintenance::{Step, plan_repair, repair, verify};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("db");
/// # let db = Tidestone::create(&path, Options::default())?;
/// # let table = db.create_table("cpu", TableOptions::new().field("usage", FieldType::F64))?;
/// # let mut writer = db.writer();
/// # for time in 0..3 {
/// #     writer.append(&table.series(&[("host", "a")])?, time, &[Value::F64(0.5)])?;
/// # }
/// # writer.commit_and_wait()?;
/// # db.flush()?;
/// # db.close()?;
/// # drop((writer, table, db));
/// # let segment = verify(&path)?.files.into_iter().find(|file| file.kind == "segment");
/// # let segment = segment.unwrap().path;
///
/// // A bit flips in the only segment of a database, in a block of its three rows.
/// let mut bytes = std::fs::read(&segment)?;
/// bytes[200] ^= 1;
/// std::fs::write(&segment, bytes)?;
/// assert!(verify(&path)?.is_damaged());
///
/// // What mending it would drop; nothing is changed.
/// let plan = plan_repair(&path)?;
/// assert!(matches!(plan.steps[..], [Step::DropRows { rows: 3, .. }]));
///
/// // The same, done; the damaged segment is kept in `lost/`.
/// assert_eq!(repair(&path)?, plan);
/// assert!(!verify(&path)?.is_damaged());
/// assert!(path.join("lost").is_dir());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`Builder::repair`].
pub fn repair(path: &Path) -> Result<RepairPlan> {
    Tidestone::builder(path).repair()
}

/// Opens a database for writing with an index made anew from the files, whatever state the old one
/// is in; nobody else can open it for writing meanwhile.
///
/// # Errors
/// As [`Tidestone::open`]; or the index cannot be removed. A database that does not open keeps its
/// index.
pub fn rebuild_index(path: &Path, options: Options) -> Result<Tidestone> {
    Tidestone::builder(path)
        .options(options)
        .open_writable(true)
}

impl Builder {
    /// Checks every file of a database: each by itself, whether they belong together, and whether the
    /// index says what the segments say. Nothing is changed, not a byte of any file.
    ///
    /// Beside a process that writes, what is durable is read under a reader's lease (a file that is there
    /// as long as that takes): the manifest, its segments, and the log behind them; not the index. What was
    /// not read is in [`VerifyReport::not_read`].
    ///
    /// Where nobody writes it keeps the lock while it reads the manifest, the log and the index, and a lease
    /// while it reads the segments: who wants to write then can. Where no lease can be had, as on a disk that
    /// may only be read, a lock that can is kept to the end.
    ///
    /// # Errors
    /// There is no database, its folders cannot be listed, or another process has the lock and no
    /// lease can be had, or lets nobody know for two seconds how far it has come. Damage is no error: it is in the report.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.list_minor_folders()?;
        verify::verify(self)
    }

    /// Fails where opening the database would, because a file lies where a folder should be whose content
    /// is of no account.
    fn list_minor_folders(&self) -> Result<()> {
        let folders = Folders::new(&self.path);
        for folder in [folders.tmp(), folders.readers()] {
            match self.components.disk.list(&folder) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("list the folder", &folder, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Says what [`repair`](Builder::repair) would drop. Nothing is changed.
    ///
    /// Every byte of every segment is read. A damaged block costs the rows of its row group (65,536 at
    /// most), a damaged index page or dictionary the segment. Where the zeros between them are damaged, the
    /// segment is written anew and nothing is dropped.
    ///
    /// Of the log every frame is kept that can be read, before damage and behind it, also where a log file is short,
    /// too long, of another database, gone, or its header is damaged: where nothing is lost the log is begun anew.
    /// Where nothing tells that a frame had been acknowledged the log ends there, as it does for an open.
    /// If the header and the first frames of the oldest file are damaged, nothing tells where the log begins, and
    /// all of it is dropped.
    ///
    /// An IDENTITY that is damaged or gone is written anew: the header of the manifest says which database
    /// this is, and that of every log file and segment has to agree. When the database was made is lost, unless
    /// what is left of the file proves it by its checksum.
    ///
    /// # Errors
    /// There is no database; the first edit of its manifest is damaged; or IDENTITY is, or is gone, and so is the header
    /// of the manifest, or the others do not agree with it (restore what is damaged from a backup). A newer
    /// version wrote a file, which may be sound: repair it with that version. Or another process has it open for writing.
    pub fn plan_repair(&self) -> Result<RepairPlan> {
        self.list_minor_folders()?;
        repair::plan(self)
    }

    /// Does what [`plan_repair`](Builder::plan_repair) says: cuts the manifest before its damage, drops
    /// damaged segments, keeps what the log still gives, keeps the damaged files in `lost/`,
    /// starts a new log in a new incarnation. Where only rows of segments are dropped, or segments or IDENTITY
    /// written anew, the log stays.
    ///
    /// In a new incarnation the index is made anew at the next open: series of which nothing is left are
    /// gone. Their ids are not given again.
    ///
    /// # Errors
    /// As [`plan_repair`](Builder::plan_repair), or the disk refuses. A repair that was interrupted, at
    /// whatever moment, is run again: nothing is lost by that.
    pub fn repair(&self) -> Result<RepairPlan> {
        self.list_minor_folders()?;
        repair::repair(self)
    }
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
    /// What is damaged, or cannot be read because a newer version wrote it; empty if the database is sound.
    pub damage: Vec<Damage>,
    /// What is worth knowing and is no damage.
    pub notes: Vec<String>,
    /// What was not read, or not all of it, where something kept it from being read.
    pub not_read: Vec<NotRead>,
}

/// A part of a database that was not read, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NotRead {
    /// What it is: `log`, `segment` or `index`.
    pub kind: &'static str,
    /// What of it was not read, and why.
    pub why: String,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileReport {
    /// The file.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// What it is: `identity`, `manifest`, `log` or `segment`.
    pub kind: &'static str,
    /// Its length; 0 if it could not be read. Of a log file beside a process that writes: the bytes of
    /// the frames that were read.
    pub bytes: u64,
    /// The rows of a segment, as the manifest says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

impl VerifyReport {
    /// Whether something is damaged, and not merely written by a newer version.
    pub fn is_damaged(&self) -> bool {
        self.damage.iter().any(|damage| !damage.newer)
    }
}

/// A damaged file, or part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// Where in it, if that is known.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// A newer version wrote it, or it uses a feature that this version does not know: it was not checked
    /// and may be sound.
    pub newer: bool,
}

impl Damage {
    fn of(error: &crate::Error, path: &Path) -> Self {
        Self {
            path: error.path().unwrap_or(path).to_owned(),
            offset: error.offset(),
            what: error.what(),
            newer: error.kind() == ErrorKind::Unsupported,
        }
    }
}

/// Serializes a path as it is shown. One that is not UTF-8 would otherwise be an error, and end a
/// document in its middle.
fn shown<S: Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
