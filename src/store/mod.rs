//! Which segments live, and what readers see of them.
//!
//! A [`Version`] is the manifest as of one edit: tables, live segments, tombstones, horizons. It never
//! changes; an edit makes a new one. A reader that holds a version keeps its files.
//!
//! | file | what |
//! |---|---|
//! | `manifest` | the file the edits are in |
//! | `segment` | one segment file: opened, checked, removed |
//! | `outline` | header, trailer and root of one |
//! | `passes` | which fields of one are read and written together |
//! | `new_segments` | segment files on their way to the manifest |
//! | `cache` | what segments keep in memory, within bounds |

mod cache;
mod manifest;
mod new_segments;
mod outline;
mod passes;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use rustc_hash::{FxHashMap, FxHashSet};
use tidestone_format::log::{SeriesDefinition, Tombstone};
use tidestone_format::manifest::{Entry, SegmentEntry, State};
use tidestone_format::schema::TableSchema;
use tidestone_format::segment::WriteError;
use tidestone_format::{FileUuid, Lsn, TableId, Timestamp};

pub(crate) use cache::{HeldBlock, Holding};
pub(crate) use manifest::{
    Manifest, check_header as check_manifest_header, check_number as check_manifest_number,
    newest as newest_manifest, read as read_manifest,
    read_up_to_damage as read_manifest_up_to_damage,
};
pub(crate) use new_segments::{NewSegment, NewSegments};
pub(crate) use outline::Outline;
pub(crate) use passes::{Expected, Passes};
pub(crate) use segment::{KeptFiles, OpenSegment, Segment, Segments, longer_than_said, place_of};

use crate::config::SegmentMemory;
use crate::error::{Error, ErrorKind, Result};
use crate::io::Disk;
use crate::sharing::{Lease, Publisher};

/// What a reader sees of manifest and segments.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) incarnation: FileUuid,
    /// Every row at or below this LSN is in a segment or dropped.
    pub(crate) flushed: Lsn,
    /// The last forgetting of series.
    pub(crate) forgetting: FileUuid,
    pub(crate) tables: BTreeMap<TableId, TableVersion>,
}

/// One table in a [`Version`].
#[derive(Debug, Clone)]
pub(crate) struct TableVersion {
    pub(crate) schema: Arc<TableSchema>,
    /// By partition, then by LSN: older ones first.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) tombstones: Vec<(Lsn, Arc<Tombstone>)>,
    /// Rows before it are gone.
    pub(crate) horizon: Timestamp,
    /// Keeps the writer, another process, from removing the files.
    pub(crate) lease: Option<Arc<Lease>>,
}

/// Where manifest and segment files do not agree.
#[derive(Debug, Default)]
pub(crate) struct Strays {
    /// Files that the manifest does not name.
    pub(crate) files: Vec<PathBuf>,
    /// Files that the manifest names and that are not there.
    pub(crate) missing: Vec<PathBuf>,
    /// How many were removed because the manifest does not name them.
    pub(crate) removed: usize,
    /// How many stay for a while, because readers in other processes may need them.
    pub(crate) kept: usize,
}

/// The folders of a database.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    pub(crate) root: PathBuf,
}

impl Folders {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }
    pub(crate) fn identity(&self) -> PathBuf {
        self.root.join("IDENTITY")
    }
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }
    pub(crate) fn wal(&self) -> PathBuf {
        self.root.join("wal")
    }
    pub(crate) fn manifest(&self) -> PathBuf {
        self.root.join("manifest")
    }
    pub(crate) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }
    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }
    pub(crate) fn readers(&self) -> PathBuf {
        self.root.join("readers")
    }
    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

/// The manifest and segments of an open database.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    folders: Folders,
    segments: Arc<Segments>,
    /// Locked by whoever edits, from the decision to the publication of the new version.
    manifest: Mutex<Manifest>,
    current: Mutex<Arc<Version>>,
    /// Tells readers in other processes which version is current.
    publisher: OnceLock<Arc<Publisher>>,
}

/// The right to edit the manifest.
#[derive(Debug)]
pub(crate) struct Editor<'a> {
    store: &'a Store,
    manifest: MutexGuard<'a, Manifest>,
    /// The thread panicked before it got this.
    panicking: bool,
}

impl Drop for Editor<'_> {
    fn drop(&mut self) {
        // An edit may be half done, in memory or on the disk: none is built on it.
        if std::thread::panicking() && !self.panicking {
            self.manifest
                .fail(Error::panicked("an edit of the manifest"));
        }
    }
}

impl Store {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        folders: Folders,
        database: FileUuid,
        manifest: Manifest,
        memory: SegmentMemory,
        lease: Option<&Arc<Lease>>,
    ) -> Result<Self> {
        let segments = Segments::new(disk.clone(), &folders, database, memory)?;
        let nothing = FxHashMap::default();
        let make = |entry: &SegmentEntry| segments.segment(entry);
        let number = manifest.version();
        let version = version_of(manifest.state(), number, &nothing, make, lease);
        Ok(Self {
            disk,
            folders,
            segments,
            manifest: Mutex::new(manifest),
            current: Mutex::new(Arc::new(version)),
            publisher: OnceLock::new(),
        })
    }

    /// The version of a manifest that was read anew, of a database that another process writes to.
    pub(crate) fn read_version(
        &self,
        manifest: &Manifest,
        lease: Option<&Arc<Lease>>,
    ) -> Arc<Version> {
        let before = self.version();
        let known = before.segments();
        let make = |entry: &SegmentEntry| self.segments.segment(entry);
        let (state, number) = (manifest.state(), manifest.version());
        Arc::new(version_of(state, number, &known, make, lease))
    }

    /// Makes a version that was read the one that queries get, and gives back the one before.
    pub(crate) fn go_on_with(&self, version: Arc<Version>) -> Arc<Version> {
        std::mem::replace(&mut *self.current.lock(), version)
    }

    /// Says whether another process may remove files that the current version names.
    pub(crate) fn set_unleased(&self, unleased: bool) {
        self.segments.set_unleased(unleased);
    }

    /// Tells readers in other processes which version is current from here on.
    pub(crate) fn publish_to(&self, publisher: Arc<Publisher>) {
        publisher.version(self.version().number);
        let _first = self.publisher.set(publisher);
    }

    /// Tells readers in other processes that there is a newer version.
    pub(crate) fn tell_readers(&self) {
        if let Some(publisher) = self.publisher.get() {
            publisher.version(self.version().number);
        }
    }

    /// Removes files that were kept for readers in other processes which have ended since.
    pub(crate) fn remove_kept(&self) {
        self.segments.remove_kept();
    }

    /// What is kept for readers in other processes, and the versions that they pin.
    pub(crate) fn kept(&self) -> Result<(KeptFiles, Vec<u64>)> {
        let pinned = self.segments.pinned()?;
        Ok((self.segments.kept(), pinned))
    }

    /// Makes the manifest that was read durable, once the rest of the database was read too.
    pub(crate) fn settle(&self) -> Result<()> {
        self.manifest.lock().settle()
    }

    /// Refuses edits from here on: another process may be the one that writes.
    pub(crate) fn close(&self) -> Result<()> {
        let closed = self.manifest.lock().close();
        if let Some(publisher) = self.publisher.get() {
            publisher.let_go();
        }
        closed
    }

    /// The newest version.
    pub(crate) fn version(&self) -> Arc<Version> {
        self.current.lock().clone()
    }

    /// Waits for the right to edit.
    pub(crate) fn edit(&self) -> Editor<'_> {
        Editor {
            store: self,
            manifest: self.manifest.lock(),
            panicking: std::thread::panicking(),
        }
    }

    pub(crate) fn folders(&self) -> &Folders {
        &self.folders
    }

    pub(crate) fn database(&self) -> FileUuid {
        self.segments.database()
    }

    /// The series that may be in no live segment, as the manifest's file says now: who edits it may
    /// be waiting for the answer.
    pub(crate) fn lone_series(&self) -> Result<Vec<SeriesDefinition>> {
        /// A file that was written anew has another name.
        const ATTEMPTS: usize = 16;
        let folder = self.folders.manifest();
        let read = || Manifest::open_read_only(self.disk.clone(), &folder, self.database());
        let mut manifest = read();
        for _ in 1..ATTEMPTS {
            match &manifest {
                Err(e) if e.kind() == ErrorKind::NotFound => manifest = read(),
                _ => break,
            }
        }
        Ok(manifest?.state().series().values().cloned().collect())
    }

    /// Bytes of the manifest file.
    pub(crate) fn manifest_len(&self) -> u64 {
        self.manifest.lock().len()
    }

    /// Looks for files of segments that the manifest does not name, and for those it names that are not
    /// there.
    pub(crate) fn find_strays(&self) -> Result<Strays> {
        let version = self.version();
        let segments = version.tables.values().flat_map(|t| &t.segments);
        let named = segments.map(|s| s.path().to_owned());
        find_strays(&*self.disk, &self.folders.segments(), named)
    }

    /// Removes files of segments that no manifest names: left by a crash between a segment and
    /// its edit, or between an edit and the removal. Called at open, before anything else. While a
    /// segment that the manifest names is not there none is removed: it may be what that one was
    /// merged to, by an edit that is lost. What readers in other processes may need stays for them.
    pub(crate) fn remove_strays(&self, mut found: Strays) -> Result<Strays> {
        let version = self.version();
        let pinned = self.segments.pinned()?;
        let needed = pinned
            .first()
            .is_some_and(|oldest| *oldest < version.number);
        let strays = std::mem::take(&mut found.files);
        for file in strays.into_iter().filter(|_| found.missing.is_empty()) {
            let io = |e| Error::io("remove a segment no manifest names", &file, e);
            if needed {
                let bytes = self.disk.open(&file).and_then(|f| f.len()).map_err(io)?;
                self.segments.let_go(file, bytes, version.number);
                found.kept += 1;
                continue;
            }
            self.disk.remove(&file).map_err(io)?;
            found.removed += 1;
        }
        let tmp = self.folders.tmp();
        let list = self
            .disk
            .list(&tmp)
            .map_err(|e| Error::io("list the folder", &tmp, e))?;
        for entry in list.into_iter().filter(|e| !e.is_dir) {
            let path = tmp.join(entry.name);
            self.disk
                .remove(&path)
                .map_err(|e| Error::io("remove", &path, e))?;
        }
        Ok(found)
    }
}

/// Compares the segment files below a folder with those that a manifest names.
pub(crate) fn find_strays(
    disk: &dyn Disk,
    segments: &Path,
    named: impl Iterator<Item = PathBuf>,
) -> Result<Strays> {
    let mut missing: FxHashSet<PathBuf> = named.collect();
    let mut files = segment_files(disk, segments)?;
    files.retain(|file| !missing.remove(file));
    let mut missing: Vec<PathBuf> = missing.into_iter().collect();
    missing.sort_unstable();
    Ok(Strays {
        files,
        missing,
        ..Strays::default()
    })
}

/// Every segment file below the folder of segments.
pub(crate) fn segment_files(disk: &dyn Disk, segments: &Path) -> Result<Vec<PathBuf>> {
    let list = |path: &Path| {
        disk.list(path)
            .map_err(|e| Error::io("list the folder", path, e))
    };
    let mut files = Vec::new();
    for table in list(segments)?.into_iter().filter(|e| e.is_dir) {
        let table = segments.join(table.name);
        for partition in list(&table)?.into_iter().filter(|e| e.is_dir) {
            let partition = table.join(partition.name);
            for file in list(&partition)? {
                if !file.is_dir && file.name.ends_with(".seg") {
                    files.push(partition.join(file.name));
                }
            }
        }
    }
    Ok(files)
}

fn segment_error(path: &Path, error: WriteError) -> Error {
    match error {
        WriteError::Io(e) => Error::io("write a segment", path, e),
        WriteError::Input(e) => Error::from(e).with_path(path),
        other => Error::corrupt(path, 0, other.to_string()),
    }
}

impl Editor<'_> {
    /// The state before the edit.
    pub(crate) fn state(&self) -> &State {
        self.manifest.state()
    }

    /// Fails if the manifest takes no edits any more: what would be written for one is of no use.
    pub(crate) fn check(&self) -> Result<()> {
        self.manifest.check()
    }

    /// Makes entries durable and gives the version with them, not yet published.
    pub(crate) fn commit(&mut self, entries: Vec<Entry>) -> Result<Arc<Version>> {
        self.commit_segments(entries, self.store.new_segments())
    }

    /// As [`Editor::commit`], of entries that name `added`. Their files are removed if it fails, unless
    /// the edit may be on the disk all the same: then the next open may find that it holds.
    pub(crate) fn commit_segments(
        &mut self,
        entries: Vec<Entry>,
        added: NewSegments<'_>,
    ) -> Result<Arc<Version>> {
        let number = match self.manifest.commit(entries) {
            Ok(number) => number,
            Err(unfinished) => {
                if unfinished.perhaps {
                    added.named();
                }
                return Err(unfinished.error);
            }
        };
        added.named();
        let store = self.store;
        let known = store.version().segments();
        let make = |entry: &SegmentEntry| store.segments.segment(entry);
        let after = version_of(self.manifest.state(), number, &known, make, None);
        let live = after.segments();
        for (uuid, segment) in &known {
            if !live.contains_key(uuid) {
                segment.doom(number);
            }
        }
        Ok(Arc::new(after))
    }

    /// Makes a version the one that readers get, and gives back the one before.
    pub(crate) fn publish(&mut self, version: Arc<Version>) -> Arc<Version> {
        std::mem::replace(&mut *self.store.current.lock(), version)
    }
}

impl Version {
    /// The same version of a database that is closed.
    pub(crate) fn without_tables(&self) -> Self {
        Self {
            tables: BTreeMap::new(),
            ..*self
        }
    }

    /// The live segments by name.
    pub(crate) fn segments(&self) -> FxHashMap<FileUuid, Arc<Segment>> {
        let all = self.tables.values().flat_map(|table| &table.segments);
        all.map(|s| (s.entry.uuid, s.clone())).collect()
    }
}

fn version_of(
    state: &State,
    number: u64,
    known: &FxHashMap<FileUuid, Arc<Segment>>,
    make: impl Fn(&SegmentEntry) -> Arc<Segment>,
    lease: Option<&Arc<Lease>>,
) -> Version {
    let mut tables: BTreeMap<TableId, TableVersion> = state
        .tables()
        .values()
        .map(|schema| {
            let table = TableVersion {
                schema: Arc::new(schema.clone()),
                segments: Vec::new(),
                tombstones: Vec::new(),
                horizon: state
                    .horizons()
                    .get(&schema.id)
                    .copied()
                    .unwrap_or(Timestamp::MIN),
                lease: lease.cloned(),
            };
            (schema.id, table)
        })
        .collect();
    for entry in state.segments().values() {
        if let Some(table) = tables.get_mut(&entry.table) {
            let segment = known
                .get(&entry.uuid)
                .cloned()
                .unwrap_or_else(|| make(entry));
            table.segments.push(segment);
        }
    }
    for (lsn, tombstone) in state.tombstones() {
        if let Some(table) = tables.get_mut(&tombstone.table) {
            table.tombstones.push((*lsn, Arc::new(tombstone.clone())));
        }
    }
    for table in tables.values_mut() {
        table
            .segments
            .sort_by_key(|s| (s.entry.partition.start, s.entry.first_lsn, s.entry.uuid));
    }
    Version {
        number,
        incarnation: state.incarnation(),
        flushed: state.flushed(),
        forgetting: state.forgetting(),
        tables,
    }
}
