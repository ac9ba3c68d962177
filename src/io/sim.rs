//! A disk in memory that loses power and fails on request.
//!
//! Every file has two images: the live one, which calls see, and the durable one, which a power
//! loss leaves. A sync copies the live image to the durable one; so it is for the names in a
//! folder, those of folders among them, and [`Disk::sync_dir`]: a file is lost with a folder on its
//! way whose name was not synced. What a power loss keeps of unsynced pages is up to a seed: each
//! 4 KiB page of an unsynced write may be there or not; or, on a disk that keeps no order, some of its
//! sectors, and so may each change of a name. A write that fails has written the first half of its bytes. A sync that fails does as Linux does: the
//! file's pages are clean from then on and still read as they were written, so that a later sync,
//! which succeeds, does not write them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use tidestone_format::FileUuid;

use super::{DirEntry, Disk, File, Lock, Mapping};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// Which call of a [`SimDisk`] fails, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The n-th call from now that changes the disk (0: the next) and all after it fail: the
    /// device is gone.
    FromCall(u64),
    /// The n-th call from now that changes the disk fails once with an input/output error.
    OnceAtCall(u64),
    /// The n-th call from now that changes this folder or what is in it fails once. Threads that
    /// work elsewhere do not shift it.
    OnceIn(&'static str, u64),
    /// The n-th sync of a file from now fails once.
    OnceAtSync(u64),
    /// The n-th sync from now of this file, or of one in this folder, fails once. Threads that work
    /// elsewhere do not shift it.
    OnceAtSyncIn(&'static str, u64),
    /// Writes that extend the disk's use beyond this many bytes fail: the disk is full.
    Capacity(u64),
}

/// A call of a [`SimDisk`] or of one of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a call of `Disk` or `File`")]
pub enum Call {
    Open,
    OpenWrite,
    Create,
    Rename,
    Remove,
    CreateDirAll,
    SyncDir,
    List,
    Lock,
    IsLocked,
    Read,
    Write,
    Sync,
    Len,
    Allocate,
    Map,
}

/// What is asked before each call.
type Asked = dyn Fn(Call, &Path) -> io::Result<()> + Send + Sync;

#[derive(Clone)]
struct Watch(Arc<Asked>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// A disk in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Node>>>,
    /// Names as a power loss would leave them.
    durable_names: BTreeMap<PathBuf, Arc<Mutex<Node>>>,
    dirs: BTreeSet<PathBuf>,
    /// Folders whose name in the folder above was synced.
    durable_dirs: BTreeSet<PathBuf>,
    locks: BTreeMap<PathBuf, Arc<AtomicBool>>,
    /// How often the power was lost.
    boots: u64,
    faults: Vec<Fault>,
    watch: Option<Watch>,
    syncs: u64,
    changes: u64,
    /// How many calls changed each path, gone ones among them.
    changes_of: BTreeMap<PathBuf, u64>,
    /// Changes of names in folders that were not synced since, in their order.
    unsynced: Vec<Renamed>,
}

/// What a power loss may keep or not: a change of a name, or a sector of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsynced {
    Name,
    Sector(usize),
}

/// A change of a name.
#[derive(Debug, Clone)]
enum Renamed {
    Made(PathBuf, Arc<Mutex<Node>>),
    MadeFolder(PathBuf),
    Moved(PathBuf, PathBuf, Arc<Mutex<Node>>),
    Removed(PathBuf),
}

impl Default for State {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            dirs: BTreeSet::from([PathBuf::from("/")]),
            durable_dirs: BTreeSet::new(),
            locks: BTreeMap::new(),
            boots: 0,
            faults: Vec::new(),
            watch: None,
            syncs: 0,
            changes: 0,
            changes_of: BTreeMap::new(),
            unsynced: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Pages written since the last sync.
    dirty: BTreeSet<usize>,
    /// Pages that a failed sync left: nothing writes them but a new write of them.
    unsure: BTreeSet<usize>,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    /// Where it was when it was opened.
    path: PathBuf,
    node: Arc<Mutex<Node>>,
    writable: bool,
}

struct SimLock(Arc<AtomicBool>);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn injected(what: &str) -> io::Error {
    io::Error::other(format!("injected failure of {what}"))
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{} is not there", path.display()),
    )
}

impl State {
    /// Counts a call that changes the disk, and fails it if a fault says so.
    fn change(&mut self, what: &str, path: &Path) -> io::Result<()> {
        self.changes += 1;
        *self.changes_of.entry(path.to_owned()).or_default() += 1;
        let mut hit = false;
        self.faults.retain_mut(|fault| match fault {
            Fault::FromCall(0) => {
                hit = true;
                true
            }
            Fault::OnceAtCall(0) => {
                hit = true;
                false
            }
            Fault::OnceIn(folder, n) if path.starts_with(*folder) => {
                hit |= *n == 0;
                n.checked_sub(1).map(|left| *n = left).is_some()
            }
            Fault::FromCall(n) | Fault::OnceAtCall(n) => {
                *n -= 1;
                true
            }
            _ => true,
        });
        if hit { Err(injected(what)) } else { Ok(()) }
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        self.syncs += 1;
        let mut hit = false;
        self.faults.retain_mut(|fault| match fault {
            Fault::OnceAtSync(n) => {
                hit |= *n == 0;
                n.checked_sub(1).map(|left| *n = left).is_some()
            }
            Fault::OnceAtSyncIn(place, n) if path.starts_with(*place) => {
                hit |= *n == 0;
                n.checked_sub(1).map(|left| *n = left).is_some()
            }
            _ => true,
        });
        if hit { Err(injected("sync")) } else { Ok(()) }
    }

    fn node(&self, path: &Path) -> io::Result<Arc<Mutex<Node>>> {
        self.files.get(path).cloned().ok_or_else(|| missing(path))
    }

    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(dir) if !self.dirs.contains(dir) => Err(missing(dir)),
            _ => Ok(()),
        }
    }
}

/// Names of files and of folders.
#[derive(Debug, Clone)]
struct Names {
    files: BTreeMap<PathBuf, Arc<Mutex<Node>>>,
    dirs: BTreeSet<PathBuf>,
}

impl Names {
    fn change(&mut self, change: &Renamed) {
        match change {
            Renamed::Made(path, node) => drop(self.files.insert(path.clone(), node.clone())),
            Renamed::MadeFolder(path) => drop(self.dirs.insert(path.clone())),
            Renamed::Moved(from, to, node) => {
                self.files.remove(from);
                self.files.insert(to.clone(), node.clone());
            }
            Renamed::Removed(path) => drop(self.files.remove(path)),
        }
    }

    /// Whether there are the folders on the way to a file.
    fn is_reachable(&self, file: &Path) -> bool {
        let named = |dir: &Path| dir.parent().is_none() || self.dirs.contains(dir);
        file.ancestors().skip(1).all(named)
    }
}

impl Renamed {
    /// The folder whose sync makes it durable.
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Made(path, _) | Self::MadeFolder(path) | Self::Removed(path) => path.parent(),
            Self::Moved(_, to, _) => to.parent(),
        }
    }
}

impl Node {
    fn write(&mut self, bytes: &[u8], start: usize) {
        let end = start + bytes.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[start..end].copy_from_slice(bytes);
        for page in start / PAGE..end.div_ceil(PAGE) {
            self.dirty.insert(page);
            self.unsure.remove(&page);
        }
    }

    /// The bytes that a power loss leaves.
    fn left(&self, mut keep: impl FnMut(Unsynced) -> bool) -> Vec<u8> {
        let mut image = self.durable.clone();
        for &page in self.dirty.union(&self.unsure) {
            for sector in 0..PAGE / SECTOR {
                let start = page * PAGE + sector * SECTOR;
                let end = (start + SECTOR).min(self.live.len());
                if keep(Unsynced::Sector(sector)) && start < end {
                    image.resize(image.len().max(end), 0);
                    image[start..end].copy_from_slice(&self.live[start..end]);
                }
            }
        }
        image
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.0.lock().faults.push(fault);
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.0.lock().faults.clear();
    }

    /// Has `watch` asked before each call from now on, with the path it is about (of a rename the new
    /// name, of an open file the one it was opened by). It may note the call, do something in
    /// the midst of it, let it wait, or refuse it. No lock of the disk is held meanwhile. What is left
    /// after a power loss or a kill is not watched.
    pub fn watch(&self, watch: impl Fn(Call, &Path) -> io::Result<()> + Send + Sync + 'static) {
        self.0.lock().watch = Some(Watch(Arc::new(watch)));
    }

    /// Calls `hooks`, one at each of the next syncs of log files, before anything is durable.
    #[cfg(test)]
    pub(crate) fn at_syncs_of_the_log(&self, hooks: Vec<Box<dyn FnOnce() + Send>>) {
        let hooks = Mutex::new(hooks.into_iter());
        self.watch(move |call, path| {
            if call == Call::Sync && path.extension().is_some_and(|e| e == "log") {
                let hook = hooks.lock().next();
                hook.into_iter().for_each(|hook| hook());
            }
            Ok(())
        });
    }

    /// Calls `hook` at the next such call of a file with this extension.
    #[cfg(test)]
    pub(crate) fn at_next(
        &self,
        call: Call,
        extension: &'static str,
        hook: impl FnOnce() + Send + 'static,
    ) {
        let hook = Mutex::new(Some(hook));
        self.watch(move |asked, path| {
            if asked == call && path.extension().is_some_and(|e| e == extension) {
                let hook = hook.lock().take();
                hook.into_iter().for_each(|hook| hook());
            }
            Ok(())
        });
    }

    fn ask(&self, call: Call, path: &Path) -> io::Result<()> {
        let watch = self.0.lock().watch.clone();
        watch.map_or(Ok(()), |watch| (watch.0)(call, path))
    }

    /// How many syncs of files there were.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// How many calls changed the disk.
    pub fn changes(&self) -> u64 {
        self.0.lock().changes
    }

    /// How many calls changed `folder` or what is in it.
    pub fn changes_in(&self, folder: &str) -> u64 {
        let state = self.0.lock();
        let below = state
            .changes_of
            .iter()
            .filter(|(p, _)| p.starts_with(folder));
        below.map(|(_, changes)| changes).sum()
    }

    /// The disk as it is after the power failed now: synced bytes and names are there; of every
    /// page written since, `keep(page number of all dirty ones)` says whether it made it. The
    /// lengths of files reach as far as the kept pages.
    #[must_use]
    pub fn after_power_loss(&self, mut keep: impl FnMut(usize) -> bool) -> SimDisk {
        let (mut number, mut whole) = (0, false);
        self.left(|unsynced| match unsynced {
            Unsynced::Name => false,
            Unsynced::Sector(0) => {
                number += 1;
                whole = keep(number);
                whole
            }
            Unsynced::Sector(_) => whole,
        })
    }

    /// As [`after_power_loss`](Self::after_power_loss), of a disk that keeps no order: `keep` is also
    /// asked of every change of a name that was not synced, and of the sectors of a page that did
    /// not make it as a whole.
    #[must_use]
    pub fn after_torn_power_loss(&self, mut keep: impl FnMut() -> bool) -> SimDisk {
        let mut whole = false;
        self.left(|unsynced| {
            if unsynced == Unsynced::Sector(0) {
                whole = keep();
            }
            unsynced != Unsynced::Name && whole || keep()
        })
    }

    /// The disk without what was not synced, but for what is kept.
    fn left(&self, mut keep: impl FnMut(Unsynced) -> bool) -> SimDisk {
        let state = self.0.lock();
        let mut names = Names {
            files: state.durable_names.clone(),
            dirs: state.durable_dirs.clone(),
        };
        for change in &state.unsynced {
            if keep(Unsynced::Name) {
                names.change(change);
            }
        }
        let mut files = BTreeMap::new();
        for (path, node) in names.files.iter().filter(|(p, _)| names.is_reachable(p)) {
            let image = node.lock().left(&mut keep);
            let node = Node {
                live: image.clone(),
                durable: image,
                ..Node::default()
            };
            files.insert(path.clone(), Arc::new(Mutex::new(node)));
        }
        let dirs = names.dirs.iter();
        let dirs: BTreeSet<PathBuf> = dirs.filter(|d| names.is_reachable(d)).cloned().collect();
        let state = State {
            durable_names: files.clone(),
            files,
            durable_dirs: dirs.clone(),
            dirs: dirs.into_iter().chain([PathBuf::from("/")]).collect(),
            boots: state.boots + 1,
            ..State::default()
        };
        SimDisk(Arc::new(Mutex::new(state)))
    }

    /// The disk as the next process finds it after this one was killed now: everything written is
    /// there, synced or not, and what was not synced can still be lost. Locks are gone.
    #[must_use]
    pub fn after_kill(&self) -> SimDisk {
        let state = self.0.lock();
        let mut copies: BTreeMap<*const Mutex<Node>, Arc<Mutex<Node>>> = BTreeMap::new();
        let mut copy_of = |node: &Arc<Mutex<Node>>| {
            let same = copies.entry(Arc::as_ptr(node));
            let same = same.or_insert_with(|| Arc::new(Mutex::new(node.lock().clone())));
            same.clone()
        };
        let unsynced = state.unsynced.iter().map(|change| match change {
            Renamed::Made(path, node) => Renamed::Made(path.clone(), copy_of(node)),
            Renamed::Moved(from, to, node) => {
                Renamed::Moved(from.clone(), to.clone(), copy_of(node))
            }
            other => other.clone(),
        });
        let unsynced = unsynced.collect();
        let mut copy = |names: &BTreeMap<PathBuf, Arc<Mutex<Node>>>| -> BTreeMap<_, _> {
            let copied = names
                .iter()
                .map(|(path, node)| (path.clone(), copy_of(node)));
            copied.collect()
        };
        let state = State {
            files: copy(&state.files),
            durable_names: copy(&state.durable_names),
            dirs: state.dirs.clone(),
            durable_dirs: state.durable_dirs.clone(),
            boots: state.boots,
            unsynced,
            ..State::default()
        };
        SimDisk(Arc::new(Mutex::new(state)))
    }

    /// Changes the bytes of a file in place, live and durable: damage.
    ///
    /// # Errors
    /// The file is not there.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let node = self.0.lock().node(path)?;
        let mut node = node.lock();
        change(&mut node.live);
        node.durable = node.live.clone();
        node.dirty.clear();
        node.unsure.clear();
        Ok(())
    }

    /// The length of all files together, bytes.
    pub fn used(&self) -> u64 {
        let state = self.0.lock();
        state
            .files
            .values()
            .map(|n| n.lock().live.len() as u64)
            .sum()
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().files.keys().cloned().collect()
    }

    fn file(&self, path: &Path, node: Arc<Mutex<Node>>, writable: bool) -> Arc<dyn File> {
        Arc::new(SimFile {
            disk: self.clone(),
            path: path.to_owned(),
            node,
            writable,
        })
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.ask(Call::Open, path)?;
        let node = self.0.lock().node(path)?;
        Ok(self.file(path, node, false))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.ask(Call::OpenWrite, path)?;
        let node = self.0.lock().node(path)?;
        Ok(self.file(path, node, true))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.ask(Call::Create, path)?;
        let mut state = self.0.lock();
        state.change("create", path)?;
        state.parent_exists(path)?;
        if state.files.contains_key(path) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let node = Arc::new(Mutex::new(Node::default()));
        state.files.insert(path.to_owned(), node.clone());
        let made = Renamed::Made(path.to_owned(), node.clone());
        state.unsynced.push(made);
        drop(state);
        Ok(self.file(path, node, true))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Call::Rename, to)?;
        let mut state = self.0.lock();
        state.change("rename", to)?;
        state.parent_exists(to)?;
        let node = state.files.remove(from).ok_or_else(|| missing(from))?;
        state.files.insert(to.to_owned(), node.clone());
        let moved = Renamed::Moved(from.to_owned(), to.to_owned(), node);
        state.unsynced.push(moved);
        let lock = state.locks.remove(from);
        state.locks.remove(to);
        state.locks.extend(lock.map(|lock| (to.to_owned(), lock)));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask(Call::Remove, path)?;
        let mut state = self.0.lock();
        state.change("remove", path)?;
        state.locks.remove(path);
        state.files.remove(path).ok_or_else(|| missing(path))?;
        state.unsynced.push(Renamed::Removed(path.to_owned()));
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.ask(Call::CreateDirAll, path)?;
        let mut state = self.0.lock();
        state.change("create_dir_all", path)?;
        for dir in path.ancestors().map(Path::to_owned) {
            if state.dirs.insert(dir.clone()) {
                state.unsynced.push(Renamed::MadeFolder(dir));
            }
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.ask(Call::SyncDir, path)?;
        let mut state = self.0.lock();
        state.change("sync_dir", path)?;
        let live: Vec<_> = state
            .files
            .iter()
            .filter(|(p, _)| p.parent() == Some(path))
            .map(|(p, n)| (p.clone(), n.clone()))
            .collect();
        state.durable_names.retain(|p, _| p.parent() != Some(path));
        state.durable_names.extend(live);
        let dirs = state.dirs.iter().filter(|d| d.parent() == Some(path));
        let dirs: Vec<PathBuf> = dirs.cloned().collect();
        state.durable_dirs.extend(dirs);
        state
            .unsynced
            .retain(|change| change.folder() != Some(path));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.ask(Call::List, path)?;
        let state = self.0.lock();
        if !state.dirs.contains(path) {
            return Err(missing(path));
        }
        let name_in = |p: &Path| {
            (p.parent() == Some(path))
                .then(|| p.file_name().map(|n| n.to_string_lossy().into_owned()))
                .flatten()
        };
        let files = state
            .files
            .keys()
            .filter_map(|p| name_in(p))
            .map(|n| (n, false));
        let dirs = state
            .dirs
            .iter()
            .filter_map(|p| name_in(p))
            .map(|n| (n, true));
        let mut entries: Vec<_> = files
            .chain(dirs)
            .map(|(name, is_dir)| DirEntry { name, is_dir })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.ask(Call::Lock, path)?;
        let mut state = self.0.lock();
        if !state.files.contains_key(path) {
            state.change("create", path)?;
            state.parent_exists(path)?;
            let node = Arc::default();
            let made = Renamed::Made(path.to_owned(), Arc::clone(&node));
            state.files.insert(path.to_owned(), node);
            state.unsynced.push(made);
        }
        let held = state.locks.entry(path.to_owned()).or_default().clone();
        if held.swap(true, Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        }
        Ok(Box::new(SimLock(held)))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.ask(Call::IsLocked, path)?;
        let state = self.0.lock();
        state.node(path)?;
        let lock = state.locks.get(path);
        Ok(lock.is_some_and(|lock| lock.load(Ordering::SeqCst)))
    }

    fn boot(&self) -> Option<FileUuid> {
        let mut uuid = FileUuid([0xb0; 16]);
        uuid.0[..8].copy_from_slice(&self.0.lock().boots.to_le_bytes());
        Some(uuid)
    }
}

impl SimFile {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        {
            let mut state = self.disk.0.lock();
            if let Err(error) = state.change("write", &self.path) {
                self.node.lock().write(&bytes[..bytes.len() / 2], start);
                return Err(error);
            }
            let used: usize = state.files.values().map(|n| n.lock().live.len()).sum();
            let grown = used + end.saturating_sub(self.node.lock().live.len());
            let full = state
                .faults
                .iter()
                .any(|f| matches!(f, Fault::Capacity(max) if grown as u64 > *max && grown > used));
            if full {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
        }
        self.node.lock().write(bytes, start);
        Ok(())
    }
}

impl File for SimFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.ask(Call::Read, &self.path)?;
        let node = self.node.lock();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        match node.live.get(start..start.saturating_add(buf.len())) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.ask(Call::Write, &self.path)?;
        self.write(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.ask(Call::Sync, &self.path)?;
        let outcome = {
            let mut state = self.disk.0.lock();
            state
                .change("sync", &self.path)
                .and_then(|()| state.sync(&self.path))
        };
        let mut node = self.node.lock();
        let Node {
            live,
            durable,
            dirty,
            unsure,
        } = &mut *node;
        if let Err(error) = outcome {
            unsure.append(dirty);
            return Err(error);
        }
        durable.resize(live.len(), 0);
        for page in std::mem::take(dirty) {
            let end = (page * PAGE + PAGE).min(live.len());
            durable[page * PAGE..end].copy_from_slice(&live[page * PAGE..end]);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.ask(Call::Len, &self.path)?;
        Ok(self.node.lock().live.len() as u64)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.ask(Call::Allocate, &self.path)?;
        let have = self.node.lock().live.len() as u64;
        let more = usize::try_from(len.saturating_sub(have)).map_err(io::Error::other)?;
        self.write(&vec![0; more], have)
    }

    fn map(&self, len: usize) -> io::Result<Mapping> {
        self.disk.ask(Call::Map, &self.path)?;
        let node = self.node.lock();
        match node.live.get(..len) {
            Some(bytes) => Ok(Mapping::Memory(bytes.into())),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }
}

#[cfg(test)]
mod tests;
