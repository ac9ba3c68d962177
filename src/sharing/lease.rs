//! Leases of readers: files of segments that they may still open stay.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestone_format::FileUuid;
use tidestone_format::sharing::{LEASE_LEN, LeaseRecord};

use crate::error::{Error, Result};
use crate::io::{Disk, File, Lock};
use crate::random::Random;

/// How often another name is tried when a lease was taken for one that nobody holds.
const ATTEMPTS: usize = 8;
/// The end of the name of a lease in force, and of one that does not count yet.
const LEASE: &str = ".lease";
const NEW: &str = ".new";

/// A lease of this process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Lease {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn File>,
    database: FileUuid,
    _lock: Held,
}

struct Held(#[expect(dead_code, reason = "held, not read")] Lock);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

impl Lease {
    /// Takes a lease that pins every file there is.
    ///
    /// # Errors
    /// No file can be made in the folder.
    pub(crate) fn take(
        disk: &Arc<dyn Disk>,
        random: &dyn Random,
        folder: &Path,
        database: FileUuid,
    ) -> Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::WouldBlock);
        for _ in 0..ATTEMPTS {
            let uuid = random.uuid();
            let uuid = uuid.map_err(|e| Error::io("get a random name for a lease", folder, e))?;
            match Self::try_take(disk, folder, uuid, database) {
                Ok(lease) => return Ok(lease),
                // A writer that is just opening the database took it for one left behind.
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotFound
                    ) =>
                {
                    last = e;
                }
                Err(e) => return Err(Error::io("take a reader's lease", folder, e)),
            }
        }
        Err(Error::io("take a reader's lease", folder, last))
    }

    fn try_take(
        disk: &Arc<dyn Disk>,
        folder: &Path,
        uuid: FileUuid,
        database: FileUuid,
    ) -> io::Result<Self> {
        let new = folder.join(format!("{uuid}{NEW}"));
        let path = folder.join(format!("{uuid}{LEASE}"));
        let lock = disk.lock(&new)?;
        let give = || {
            let file = disk.open_write(&new)?;
            let record = LeaseRecord {
                database,
                version: 0,
            };
            file.write_all_at(&record.encode(), 0)?;
            disk.rename(&new, &path)?;
            Ok(file)
        };
        let file = give().inspect_err(|_: &io::Error| {
            // If it stays, the next open for writing removes it.
            let _ = disk.remove(&new);
        })?;
        Ok(Self {
            disk: disk.clone(),
            path,
            file,
            database,
            _lock: Held(lock),
        })
    }

    /// Lets go of what only versions before this one name.
    pub(crate) fn pin(&self, version: u64) -> Result<()> {
        let database = self.database;
        let record = LeaseRecord { database, version };
        let written = self.file.write_all_at(&record.encode(), 0);
        written.map_err(|e| Error::io("write a reader's lease", &self.path, e))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that stays is held by nobody: the writer removes it.
        let _ = self.disk.remove(&self.path);
    }
}

/// The leases of a database, as the writer sees them.
#[derive(Debug, Clone)]
pub(crate) struct Leases {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl Leases {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        Self { disk, folder }
    }

    /// The versions that readers pin, ascending. Leases of readers that are no more are removed.
    pub(crate) fn pinned(&self) -> Result<Vec<u64>> {
        let io = |path: &Path, e| Error::io("look at the leases of readers", path, e);
        let names = match self.disk.list(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.map_err(|e| io(&self.folder, e))?,
        };
        let mut pinned = Vec::new();
        for entry in names.iter().filter(|e| e.name.ends_with(LEASE)) {
            let path = self.folder.join(&entry.name);
            let version = self.version(&path).map_err(|e| io(&path, e))?;
            pinned.extend(version);
        }
        pinned.sort_unstable();
        Ok(pinned)
    }

    /// What a lease pins, if somebody holds it.
    fn version(&self, path: &Path) -> io::Result<Option<u64>> {
        let gone = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
        match self.disk.is_locked(path) {
            Ok(true) => {}
            Ok(false) => {
                return match self.disk.remove(path) {
                    Err(e) if !gone(&e) => Err(e),
                    _ => Ok(None),
                };
            }
            Err(e) if gone(&e) => return Ok(None),
            Err(e) => return Err(e),
        }
        let mut bytes = [0; LEASE_LEN];
        let read = self
            .disk
            .open(path)
            .and_then(|file| file.read_exact_at(&mut bytes, 0));
        match read {
            Err(e) if gone(&e) => Ok(None),
            // It is being written, or damaged: everything may be needed.
            _ => Ok(Some(LeaseRecord::decode(&bytes).map_or(0, |l| l.version))),
        }
    }

    /// Removes what readers left behind that ended before their lease was in force. For whoever
    /// opens the database for writing.
    pub(crate) fn remove_unfinished(&self) -> Result<()> {
        let names = self.disk.list(&self.folder);
        let names = names.map_err(|e| Error::io("list the leases of readers", &self.folder, e))?;
        for entry in names.iter().filter(|e| e.name.ends_with(NEW)) {
            let path = self.folder.join(&entry.name);
            let removed = match self.disk.is_locked(&path) {
                Ok(true) => Ok(()),
                Ok(false) => self.disk.remove(&path),
                Err(e) => Err(e),
            };
            match removed {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove a lease nobody holds", &path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
