//! The page on which the writer says how far it has come.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tidestone_format::sharing::{PUBLISHED_LEN, Published};
use tidestone_format::{FileUuid, Lsn};

use crate::error::{Error, Result};
use crate::io::{Disk, File, Lock};

/// How often a page is read that is being written.
const ATTEMPTS: usize = 64;

fn path_of(folder: &Path) -> PathBuf {
    folder.join("published")
}

/// The writer's side. One record is written over itself, without a sync: by one call of a few
/// hundred nanoseconds, beside a sync of the log that takes a hundred times as long. The page is locked
/// as long as it is kept up: one that is not says what a writer published that is no more.
pub(crate) struct Publisher {
    file: Arc<dyn File>,
    path: PathBuf,
    state: Mutex<State>,
    /// Held, not read: the page is kept up.
    held: Mutex<Option<Lock>>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("path", &self.path)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    published: Published,
    /// Why what is on the page is older than this, if it is.
    failure: Option<Error>,
}

impl Publisher {
    /// Publishes where a database stands that was just opened. The file is written over, not made
    /// anew: readers may have it open.
    pub(crate) fn start(
        disk: &dyn Disk,
        folder: &Path,
        (database, incarnation): (FileUuid, FileUuid),
        durable: Lsn,
        version: u64,
    ) -> Result<Self> {
        let path = path_of(folder);
        let file = match disk.open_write(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => disk.create(&path),
            opened => opened,
        };
        let published = Published {
            database,
            incarnation,
            // A page that names no start of the machine is believed by nobody.
            boot: disk.boot().unwrap_or_default(),
            durable,
            version,
        };
        let written = file.and_then(|file| {
            file.write_all_at(&published.encode(), 0)?;
            // Only now: what stood there before is never believed.
            let held = disk.lock(&path)?;
            Ok((file, held))
        });
        let (file, held) = written.map_err(|e| Error::io(WRITE, &path, e))?;
        let state = State {
            published,
            failure: None,
        };
        Ok(Self {
            file,
            path,
            state: Mutex::new(state),
            held: Mutex::new(Some(held)),
        })
    }

    /// The page is kept up no more: the database is closed, and another process may publish on it.
    pub(crate) fn let_go(&self) {
        *self.held.lock() = None;
    }

    /// Everything up to `durable` is synced.
    pub(crate) fn durable(&self, durable: Lsn) {
        self.change(|published| published.durable = published.durable.max(durable));
    }

    /// Queries see this version of the manifest.
    pub(crate) fn version(&self, version: u64) {
        self.change(|published| published.version = published.version.max(version));
    }

    /// Why readers are not told of what came last, if they are not: the next change tries again.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.state.lock().failure.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Published)) {
        let mut state = self.state.lock();
        change(&mut state.published);
        let written = self.file.write_all_at(&state.published.encode(), 0);
        state.failure = written.err().map(|e| Error::io(WRITE, &self.path, e));
    }
}

const WRITE: &str = "tell readers how far the database has come";

/// What the process published that writes to this database; `None` if none does, or none has come so far:
/// what one left that was killed is less than what is in the log, and the next one keeps all of that.
pub(crate) fn look(
    disk: &dyn Disk,
    folder: &Path,
    database: FileUuid,
) -> Result<Option<Published>> {
    let path = path_of(folder);
    let io = |e| Error::io("read how far the writer has come", &path, e);
    // Asked first: whoever holds the lock then had written the page. Where it cannot be told, as if somebody
    // did: the log has what is published at least.
    if let Ok(false) = disk.is_locked(&path) {
        return Ok(None);
    }
    let file = match disk.open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    let boot = disk.boot();
    for _ in 0..ATTEMPTS {
        let mut bytes = [0; PUBLISHED_LEN];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            // It was made and not yet written.
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(io(e)),
        }
        if let Ok(published) = Published::decode(&bytes) {
            let ours = published.database == database && Some(published.boot) == boot;
            return Ok(ours.then_some(published));
        }
    }
    Ok(None)
}
