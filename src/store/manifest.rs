//! The manifest file of an open database.
//!
//! # Invariants
//! 1. An edit is synced before it counts: what [`Manifest::commit`] returned survives.
//! 2. The file with the highest number holds. A new one is complete and synced before it gets its
//!    name; the one before is removed after that.
//! 3. A failed write or sync poisons the manifest; the state stays what it was before. Space is
//!    reserved before an edit is written, so a full disk refuses it and harms nothing.
//! 4. What was read at open is durable before anything is built on it: a process that was killed leaves
//!    bytes and names that no sync has covered, and one whose sync failed leaves bytes that no later
//!    sync writes. [`Manifest::settle`] sees to it; opening alone writes nothing.
//! 5. An edit that was synced is followed by an empty one, its *seal*, which is written and not
//!    synced. So the last edit too, if it is damaged, is told from one that was torn when the power
//!    failed: behind a torn one stands no seal.
//! 6. The file was synced with room for an edit, its seal and a header more before the edit is written. So
//!    one that ends with its edits, or in the midst of one, was cut short, and is told from a torn one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestone_format::header::{FileHeader, FileKind};
use tidestone_format::manifest::{
    DamagedEdit, EDIT_HEADER_LEN, EDITS_START, Edit, Entry, ManifestIdentity, Replay, State,
    append_edit, replay, replay_up_to_damage,
};
use tidestone_format::{FileUuid, FormatError};

use crate::error::{Error, ErrorKind, Result};
use crate::io::{self, Disk, File};

/// Zeros kept ready behind the last edit, so that small edits need no space on a full disk.
const RESERVE: u64 = 256 << 10;
/// A file that is longer than this, and several times its snapshot, is written anew.
const COMPACT_AT: u64 = 1 << 20;

/// What to do about a manifest that a repair cannot mend.
const RESTORE: &str =
    "no repair can tell what it said: restore it, or the whole database, from a backup";

/// The manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    tmp: PathBuf,
    identity: ManifestIdentity,
    file: Arc<dyn File>,
    /// Where the next edit goes.
    position: u64,
    /// Length of the file; bytes from `position` on are zero.
    len: u64,
    /// The length that survives a power loss.
    synced_len: u64,
    snapshot_len: u64,
    version: u64,
    state: State,
    /// Set until the manifest was settled.
    unsettled: Option<Unsettled>,
    /// Behind the last edit stands its seal, or it is the snapshot, without which there is nothing.
    sealed: bool,
    poisoned: Option<Error>,
}

/// What is to be done before a manifest that was read is built on.
#[derive(Debug)]
enum Unsettled {
    /// The file has something that is not in the state, an edit that was torn or is damaged: a new file
    /// without it.
    Anew,
    /// From this offset on, what was read may be in the page cache alone.
    Unproven(u64),
}

/// What [`Manifest::open`] found.
#[derive(Debug)]
pub(crate) struct ManifestReport {
    /// Bytes of an edit that was not synced when the power failed, and that were dropped.
    pub(crate) torn: Option<String>,
}

/// Why the manifest was not changed.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) error: Error,
    /// The change may be on the disk all the same: then it holds from the next open on.
    pub(crate) perhaps: bool,
}

impl Unfinished {
    fn before(error: Error) -> Self {
        Self {
            error,
            perhaps: false,
        }
    }

    fn perhaps(error: Error) -> Self {
        Self {
            error,
            perhaps: true,
        }
    }
}

fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.manifest"))
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".manifest")?;
    let number = (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?;
    number.filter(|&number| number < u64::MAX)
}

/// The number and path of the manifest file that holds.
pub(crate) fn newest(disk: &dyn Disk, dir: &Path) -> Result<(u64, PathBuf)> {
    let names = disk
        .list(dir)
        .map_err(|e| Error::io("list the manifest folder", dir, e))?;
    let number = names
        .iter()
        .filter_map(|e| number_of(&e.name))
        .max()
        .ok_or_else(|| {
            let error = Error::corrupt(dir, 0, "there is no manifest file in it");
            error.advising("restore one from a backup")
        })?;
    Ok((number, path_of(dir, number)))
}

/// Reads a manifest file.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<(FileHeader, Replay)> {
    let format = |e| Error::format(path, e);
    let header = FileHeader::decode_kind(bytes, FileKind::Manifest).map_err(format)?;
    let replay = replay(bytes, ManifestIdentity::of(&header)).map_err(format)?;
    match replay.cut_short(bytes.len() as u64) {
        Some(error) => Err(format(error)),
        None => Ok((header, replay)),
    }
}

/// Reads a manifest file as if it ended before an edit that is damaged, which is told, or where it was cut
/// short.
///
/// # Errors
/// Its header or its first edit is damaged: then nothing tells what it said.
pub(crate) fn read_up_to_damage(
    path: &Path,
    bytes: &[u8],
) -> Result<(FileHeader, Replay, Option<DamagedEdit>)> {
    let format = |e: FormatError| {
        let error = Error::format(path, e);
        match error.kind() {
            ErrorKind::Corrupt => error.advising(RESTORE),
            _ => error,
        }
    };
    let header = FileHeader::decode_kind(bytes, FileKind::Manifest).map_err(format)?;
    let (replay, damage) =
        replay_up_to_damage(bytes, ManifestIdentity::of(&header)).map_err(format)?;
    let cut_short = || {
        Some(DamagedEdit {
            error: replay.cut_short(bytes.len() as u64)?,
            last_version: replay.version,
        })
    };
    let damage = damage.or_else(cut_short);
    Ok((header, replay, damage))
}

/// Checks that the file is the one it is named, of this database.
pub(crate) fn check_header(
    path: &Path,
    header: &FileHeader,
    database: FileUuid,
    number: u64,
) -> Result<()> {
    if header.database != database {
        let message = format!(
            "the manifest belongs to database {}, this is {database}",
            header.database
        );
        let advice = "move it away, and restore the one of this database from a backup";
        return Err(Error::corrupt(path, 24, message).advising(advice));
    }
    check_number(path, header, number)
}

/// Checks that the file is the one it is named.
pub(crate) fn check_number(path: &Path, header: &FileHeader, number: u64) -> Result<()> {
    if header.number == number {
        return Ok(());
    }
    let message = format!(
        "expected manifest {number}, as the file is named, found manifest {}",
        header.number
    );
    let advice = "give the file its own name again: its number in 20 digits, and `.manifest`";
    Err(Error::corrupt(path, 56, message).advising(advice))
}

impl Manifest {
    /// The manifest of a new database, with `entries` as its first state.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        tmp: &Path,
        database: FileUuid,
        entries: &[Entry],
    ) -> Result<Self> {
        let mut state = State::new();
        for entry in entries {
            state.apply(entry).map_err(|e| Error::format(dir, e))?;
        }
        Self::write_snapshot(disk, dir, tmp, database, 1, 1, state)
            .map_err(|unfinished| unfinished.error)
    }

    /// The manifest of a database that is there. Nothing is written: that is for
    /// [`Manifest::settle`], once everything else was read too and is sound.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        tmp: &Path,
        database: FileUuid,
    ) -> Result<(Self, ManifestReport)> {
        let (number, path) = newest(&*disk, dir)?;
        let file = disk
            .open_write(&path)
            .map_err(|e| Error::io("open the manifest", &path, e))?;
        let bytes = io::read_all(&*file).map_err(|e| Error::io("read the manifest", &path, e))?;
        let (header, replay) = read(&path, &bytes)?;
        check_header(&path, &header, database, number)?;
        let unsettled = match replay.torn {
            Some(_) => Unsettled::Anew,
            None => Unsettled::Unproven(replay.proven),
        };
        let this = Self {
            disk,
            dir: dir.to_owned(),
            tmp: tmp.to_owned(),
            identity: ManifestIdentity::of(&header),
            file,
            position: replay.end,
            len: bytes.len() as u64,
            synced_len: 0,
            snapshot_len: 0,
            version: replay.version,
            state: replay.state,
            unsettled: Some(unsettled),
            sealed: replay.sealed,
            poisoned: None,
        };
        let torn = replay.torn.map(|error| error.to_string());
        Ok((this, ManifestReport { torn }))
    }

    /// The manifest of a database that is repaired: as if it ended before an edit that is damaged, and
    /// without the segments `given_up`. Nothing is written: the first commit writes a new file, which has
    /// all this together with its entries, or nothing of it.
    pub(crate) fn open_to_repair(
        disk: Arc<dyn Disk>,
        dir: &Path,
        tmp: &Path,
        database: FileUuid,
        given_up: &[FileUuid],
    ) -> Result<Self> {
        let (number, path) = newest(&*disk, dir)?;
        let file = disk
            .open(&path)
            .map_err(|e| Error::io("open the manifest", &path, e))?;
        let bytes = io::read_all(&*file).map_err(|e| Error::io("read the manifest", &path, e))?;
        let (header, replay, damage) = read_up_to_damage(&path, &bytes)?;
        check_header(&path, &header, database, number)?;
        let mut state = replay.state;
        for uuid in given_up {
            let Some(table) = state.segments().get(uuid).map(|s| s.table) else {
                continue;
            };
            let dropped = Entry::SegmentDropped { table, uuid: *uuid };
            state.apply(&dropped).map_err(|e| Error::format(&path, e))?;
        }
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            tmp: tmp.to_owned(),
            identity: ManifestIdentity::of(&header),
            file,
            position: replay.end,
            len: bytes.len() as u64,
            synced_len: 0,
            snapshot_len: 0,
            version: damage.map_or(replay.version, |damage| damage.last_version),
            state,
            unsettled: Some(Unsettled::Anew),
            sealed: false,
            poisoned: None,
        })
    }

    /// Makes what was read durable and drops what was torn. Before that nothing can be committed.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let path = path_of(&self.dir, self.identity.number);
        match self.unsettled {
            None => return Ok(()),
            Some(Unsettled::Anew) => {
                let state = std::mem::take(&mut self.state);
                *self = self.anew(state).map_err(|unfinished| unfinished.error)?;
            }
            Some(Unsettled::Unproven(from)) => {
                // The same bytes in the same place, so that the sync writes them in any case.
                let rewrite = || -> std::io::Result<()> {
                    let len = usize::try_from(self.position - from);
                    let mut bytes = vec![0; len.map_err(std::io::Error::other)?];
                    self.file.read_exact_at(&mut bytes, from)?;
                    self.file.write_all_at(&bytes, from)?;
                    self.file.sync()?;
                    self.disk.sync_dir(&self.dir)
                };
                rewrite().map_err(|e| Error::io("sync the manifest that was read", &path, e))?;
                self.synced_len = self.len;
                self.unsettled = None;
                self.remove_older();
                if !self.sealed {
                    self.seal(&path);
                }
            }
        }
        Ok(())
    }

    /// The manifest as another process has left it by now. It cannot be committed to.
    pub(crate) fn open_read_only(
        disk: Arc<dyn Disk>,
        dir: &Path,
        database: FileUuid,
    ) -> Result<Self> {
        let (number, path) = newest(&*disk, dir)?;
        let file = disk
            .open(&path)
            .map_err(|e| Error::io("open the manifest", &path, e))?;
        let bytes = io::read_all(&*file).map_err(|e| Error::io("read the manifest", &path, e))?;
        let (
            header,
            Replay {
                state,
                version,
                end,
                ..
            },
        ) = read(&path, &bytes)?;
        check_header(&path, &header, database, number)?;
        let identity = ManifestIdentity::of(&header);
        let read_only = Error::read_only();
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            tmp: dir.to_owned(),
            identity,
            file,
            position: end,
            len: bytes.len() as u64,
            synced_len: 0,
            snapshot_len: 0,
            version,
            state,
            unsettled: None,
            sealed: true,
            poisoned: Some(read_only),
        })
    }

    /// Takes no edit any more. The first cause counts.
    pub(crate) fn fail(&mut self, cause: Error) {
        self.poisoned.get_or_insert(cause);
    }

    /// Fails if no edit is taken any more.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.poisoned {
            None => Ok(()),
            Some(cause) => Err(cause.poisoned()),
        }
    }

    /// Makes entries durable, all or none, and returns the version that has them. It takes the time
    /// that the entries take, however much the manifest holds.
    pub(crate) fn commit(&mut self, entries: Vec<Entry>) -> std::result::Result<u64, Unfinished> {
        self.check().map_err(Unfinished::before)?;
        if let Some(Unsettled::Anew) = self.unsettled {
            return self.commit_anew(&entries);
        }
        self.settle().map_err(Unfinished::before)?;
        let path = path_of(&self.dir, self.identity.number);
        let undo = self.state.apply_all(&entries);
        let undo = undo.map_err(|e| Unfinished::before(Error::format(&path, e)))?;
        let version = self.version + 1;
        if let Err(unfinished) = self.write_edit(&path, &Edit { version, entries }) {
            self.state.take_back(undo);
            return Err(unfinished);
        }
        self.version = version;
        self.sealed = false;
        self.seal(&path);
        self.maintain();
        Ok(version)
    }

    /// Makes entries durable in a new file, together with everything else that the file is to be rid of.
    fn commit_anew(&mut self, entries: &[Entry]) -> std::result::Result<u64, Unfinished> {
        let path = path_of(&self.dir, self.identity.number);
        let mut state = self.state.clone();
        for entry in entries {
            let applied = state.apply(entry);
            applied.map_err(|e| Unfinished::before(Error::format(&path, e)))?;
        }
        match self.anew(state) {
            Ok(rewritten) => {
                *self = rewritten;
                Ok(self.version)
            }
            Err(unfinished) => {
                if unfinished.perhaps {
                    self.poisoned = Some(unfinished.error.clone());
                }
                Err(unfinished)
            }
        }
    }

    /// Writes and syncs an edit. Without space it leaves everything as it was.
    fn write_edit(&mut self, path: &Path, edit: &Edit) -> std::result::Result<(), Unfinished> {
        let mut bytes = Vec::new();
        append_edit(&mut bytes, self.identity, edit).map_err(|e| Unfinished::before(e.into()))?;
        let end = self.position + bytes.len() as u64;
        // Of its seal, and of an edit more.
        let room = end + 2 * EDIT_HEADER_LEN as u64;
        if room > self.len {
            self.reserve(room).map_err(|e| {
                Unfinished::before(Error::io("reserve space for the manifest", path, e))
            })?;
        }
        if room > self.synced_len {
            if let Err(error) = self.file.sync() {
                let error = Error::io("sync space for the manifest", path, error);
                self.poisoned = Some(error.clone());
                return Err(Unfinished::before(error));
            }
            self.synced_len = self.len;
        }
        let written = self.file.write_all_at(&bytes, self.position);
        let written = written.map_err(|e| Error::io("write the manifest", path, e));
        let synced = written.and_then(|()| {
            let synced = self.file.sync();
            synced.map_err(|e| Error::io("sync the manifest", path, e))
        });
        if let Err(error) = synced {
            self.poisoned = Some(error.clone());
            return Err(Unfinished::perhaps(error));
        }
        self.position = end;
        self.synced_len = self.len;
        Ok(())
    }

    /// Writes an empty edit behind one that was synced, to be synced with the next. The edit before it
    /// is durable whatever becomes of this: a failure is one of the edits to come.
    fn seal(&mut self, path: &Path) {
        let mut bytes = Vec::new();
        let seal = Edit {
            version: self.version + 1,
            entries: Vec::new(),
        };
        let written = append_edit(&mut bytes, self.identity, &seal)
            .map_err(Error::from)
            .and_then(|()| {
                let written = self.file.write_all_at(&bytes, self.position);
                written.map_err(|e| Error::io("write the manifest", path, e))
            });
        match written {
            Ok(()) => {
                self.position += bytes.len() as u64;
                self.version = seal.version;
                self.sealed = true;
            }
            Err(error) => self.poisoned = Some(error),
        }
    }

    /// Refuses edits from here on, and makes the last seal durable.
    pub(crate) fn close(&mut self) -> Result<()> {
        if self.poisoned.is_some() {
            return Ok(());
        }
        self.poisoned = Some(Error::closed());
        let path = path_of(&self.dir, self.identity.number);
        let synced = self.file.sync();
        synced.map_err(|e| Error::io("sync the manifest", &path, e))
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Bytes of edits, and of the whole file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Keeps the reserve and rewrites a long file. Neither is needed for what was committed, so a
    /// failure (a full disk, say) only means that it is tried again after the next edit.
    fn maintain(&mut self) {
        if self.position > COMPACT_AT.max(4 * self.snapshot_len) {
            match self.anew(self.state.clone()) {
                Ok(rewritten) => {
                    *self = rewritten;
                    return;
                }
                // The new file may hold by now: edits of this one would be lost.
                Err(unfinished) if unfinished.perhaps => self.poisoned = Some(unfinished.error),
                Err(_) => {}
            }
        }
        if self.len < self.position + RESERVE / 4 {
            let _ = self.reserve(self.len);
        }
    }

    /// Fills the file with zeros until [`RESERVE`] behind `end`.
    fn reserve(&mut self, end: u64) -> std::io::Result<()> {
        let zeros = vec![0; usize::try_from(RESERVE).unwrap_or(1 << 18)];
        while self.len < end + RESERVE {
            self.file.write_all_at(&zeros, self.len)?;
            self.len += RESERVE;
        }
        Ok(())
    }

    /// The next manifest file, with a snapshot of `state`.
    fn anew(&self, state: State) -> std::result::Result<Self, Unfinished> {
        Self::write_snapshot(
            self.disk.clone(),
            &self.dir,
            &self.tmp,
            self.identity.database,
            self.identity.number + 1,
            self.version + 1,
            state,
        )
    }

    /// Writes a manifest file whose only edit is a snapshot of `state`, and removes older ones.
    fn write_snapshot(
        disk: Arc<dyn Disk>,
        dir: &Path,
        tmp: &Path,
        database: FileUuid,
        number: u64,
        version: u64,
        state: State,
    ) -> std::result::Result<Self, Unfinished> {
        let path = path_of(dir, number);
        let header = FileHeader::manifest(database, state.incarnation(), number);
        let identity = ManifestIdentity::of(&header);
        let mut bytes = header.encode().to_vec();
        bytes.resize(EDITS_START, 0);
        append_edit(
            &mut bytes,
            identity,
            &Edit {
                version,
                entries: state.snapshot_entries(),
            },
        )
        .map_err(|e| Unfinished::before(Error::format(&path, e)))?;
        let position = bytes.len() as u64;
        let len = position + RESERVE;
        bytes.resize(usize::try_from(len).unwrap_or(bytes.len()), 0);
        let tmp_path = tmp.join(format!("{number:020}.manifest"));
        let what = |e| Error::io("write a new manifest", &path, e);
        let write = || -> std::io::Result<Arc<dyn File>> {
            if let Err(e) = disk.remove(&tmp_path)
                && e.kind() != std::io::ErrorKind::NotFound
            {
                return Err(e);
            }
            let file = disk.create(&tmp_path)?;
            file.write_all_at(&bytes, 0)?;
            file.sync()?;
            Ok(file)
        };
        let give_name = || io::publish(&*disk, &tmp_path, &path);
        let written = match write() {
            Ok(file) => give_name()
                .map(|()| file)
                .map_err(|e| Unfinished::perhaps(what(e))),
            Err(e) => Err(Unfinished::before(what(e))),
        };
        let file = written.inspect_err(|_| {
            // Its space is needed, on a full disk most of all.
            let _ = disk.remove(&tmp_path);
        })?;
        let this = Self {
            disk,
            dir: dir.to_owned(),
            tmp: tmp.to_owned(),
            identity,
            file,
            position,
            len,
            synced_len: len,
            snapshot_len: position,
            version,
            state,
            unsettled: None,
            sealed: true,
            poisoned: None,
        };
        this.remove_older();
        Ok(this)
    }

    /// Removes files that hold no longer. One that stays does no harm, and goes next time.
    fn remove_older(&self) {
        for entry in self.disk.list(&self.dir).unwrap_or_default() {
            if number_of(&entry.name).is_some_and(|n| n < self.identity.number) {
                let _ = self.disk.remove(&self.dir.join(&entry.name));
            }
        }
    }
}
