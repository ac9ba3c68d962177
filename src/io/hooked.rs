//! A simulated disk on which a test does something in the midst of a call.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tidestone_format::FileUuid;

use super::{DirEntry, Disk, File, Lock, Mapping, SimDisk};

type Hook = Box<dyn FnOnce() + Send>;

/// A call that can have a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Of a file, for reading.
    Open,
    /// Before anything is durable.
    Sync,
}

/// Hooks by call and extension of the file, in the order they are called.
type Hooks = Arc<Mutex<VecDeque<(Call, &'static str, Hook)>>>;

/// A disk in memory that calls back. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct HookedDisk {
    pub(crate) disk: SimDisk,
    hooks: Hooks,
}

impl HookedDisk {
    /// Calls `hook` at the next sync of a log file that has no hook yet, before anything is durable.
    pub(crate) fn at_next_sync(&self, hook: impl FnOnce() + Send + 'static) {
        self.at_next(Call::Sync, "log", hook);
    }

    fn hooked(&self, path: &Path, file: Arc<dyn File>) -> io::Result<Arc<dyn File>> {
        let (path, hooks) = (path.to_owned(), self.hooks.clone());
        Ok(Arc::new(HookedFile { file, path, hooks }))
    }

    /// Calls `hook` at the next such call, of a file with this extension, that has no hook yet.
    pub(crate) fn at_next(
        &self,
        call: Call,
        extension: &'static str,
        hook: impl FnOnce() + Send + 'static,
    ) {
        let hook: Hook = Box::new(hook);
        self.hooks.lock().push_back((call, extension, hook));
    }
}

/// Calls the first hook for a call, if there is one.
fn call_hook(hooks: &Hooks, call: Call, path: &Path) {
    let extension = path.extension().unwrap_or_default();
    let is_for = |(c, e, _): &(Call, &str, Hook)| *c == call && extension == *e;
    let hook = {
        let mut hooks = hooks.lock();
        let at = hooks.iter().position(is_for);
        at.and_then(|at| hooks.remove(at))
    };
    if let Some((_, _, hook)) = hook {
        hook();
    }
}

impl fmt::Debug for HookedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Disk for HookedDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        call_hook(&self.hooks, Call::Open, path);
        self.disk.open(path)
    }
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.hooked(path, self.disk.open_write(path)?)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.hooked(path, self.disk.create(path)?)
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
    path: PathBuf,
    hooks: Hooks,
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
        call_hook(&self.hooks, Call::Sync, &self.path);
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
