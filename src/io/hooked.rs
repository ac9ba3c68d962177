//! A simulated disk on which a test does something in the midst of a sync of the log.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tidestone_format::FileUuid;

use super::{DirEntry, Disk, File, Lock, Mapping, SimDisk};

type Hook = Box<dyn FnOnce() + Send>;

/// A disk in memory that calls back. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct HookedDisk {
    pub(crate) disk: SimDisk,
    hooks: Arc<Mutex<VecDeque<Hook>>>,
}

impl HookedDisk {
    /// Calls `hook` at the next sync of a log file that has no hook yet, before anything is durable.
    pub(crate) fn at_next_sync(&self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.lock().push_back(Box::new(hook));
    }
}

impl fmt::Debug for HookedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Disk for HookedDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.open(path)
    }
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open_write(path)?;
        if path.extension().is_none_or(|e| e != "log") {
            return Ok(file);
        }
        let hooks = self.hooks.clone();
        Ok(Arc::new(HookedFile { file, hooks }))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.create(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.disk.lock(path)
    }
    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_locked(path)
    }
    fn boot(&self) -> Option<FileUuid> {
        self.disk.boot()
    }
}

struct HookedFile {
    file: Arc<dyn File>,
    hooks: Arc<Mutex<VecDeque<Hook>>>,
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl File for HookedFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        let hook = self.hooks.lock().pop_front();
        if let Some(hook) = hook {
            hook();
        }
        self.file.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
    fn map(&self, len: usize) -> io::Result<Mapping> {
        self.file.map(len)
    }
}
