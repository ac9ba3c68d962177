//! RocksDB: batches and reads; `settings` how it is opened, `errors` what went wrong. Nothing else names it.

mod errors;
mod reserve;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

use rocksdb::{
    Cache, ColumnFamily, DB, DBPinnableSlice, DBRawIterator, Env, FlushOptions, ReadOptions,
    Snapshot, WriteBatch, WriteOptions, properties,
};

use crate::error::{Error, ErrorKind, Result};
pub(super) use errors::is_damage;
use errors::{creation_error, is_refusal, rocks_error};
use settings::Settings;

/// Where an index in memory says it is, in errors.
const IN_MEMORY: &str = "index in memory";

/// A column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Meta,
    Ids,
    Keys,
    Postings,
}

impl Family {
    const ALL: [Self; 4] = [Self::Meta, Self::Ids, Self::Keys, Self::Postings];

    fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Ids => "ids",
            Self::Keys => "keys",
            Self::Postings => "postings",
        }
    }
}

/// An open RocksDB.
pub(super) struct Store {
    db: DB,
    cache: Cache,
    path: PathBuf,
    in_memory: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens what is in `dir`; `Ok(Err(why))` if it cannot be used. Opened `read_only`, nothing in the
    /// folder is changed.
    pub(super) fn open(
        dir: &Path,
        memory_bytes: usize,
        read_only: bool,
    ) -> Result<std::result::Result<Self, String>> {
        // RocksDB would make the folder, and would leave its lock in a folder of other things.
        for (path, missing) in [
            (dir.to_owned(), "there is no index"),
            (dir.join("CURRENT"), "the folder holds no index"),
        ] {
            match fs::metadata(&path) {
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    return Ok(Err(missing.to_owned()));
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
                    return Ok(Err("a file is in the place of its folder".to_owned()));
                }
                Err(e) => return Err(Error::io("open the index", &path, e)),
            }
        }
        let settings = Settings::new(memory_bytes, None);
        let opened = match read_only {
            true => settings.open_read_only(dir),
            false => reserve::on_a_full_disk(dir, || settings.open(dir))?,
        };
        match opened {
            Ok(db) => {
                if !read_only {
                    reserve::keep(dir)?;
                }
                Ok(Ok(Self::new(db, settings, dir.to_owned(), false)))
            }
            Err(e) if is_refusal(&e) => Err(rocks_error(dir, e)),
            Err(e) => Ok(Err(e.into_string())),
        }
    }

    /// Makes an empty one in `dir`, removing what is there.
    pub(super) fn create(dir: &Path, memory_bytes: usize) -> Result<Self> {
        empty(dir).map_err(|e| Error::io("remove the old index", dir, e))?;
        let mut settings = Settings::new(memory_bytes, None);
        settings.create();
        let db = settings.open(dir).map_err(|e| creation_error(dir, e))?;
        reserve::keep(dir)?;
        Ok(Self::new(db, settings, dir.to_owned(), false))
    }

    /// Makes an empty one whose files are in memory.
    pub(super) fn in_memory(memory_bytes: usize) -> Result<Self> {
        let path = PathBuf::from(IN_MEMORY);
        let env = Env::mem_env().map_err(|e| rocks_error(&path, e))?;
        let mut settings = Settings::new(memory_bytes, Some(&env));
        settings.create();
        // The binding makes the folder on the real disk as well; this one is always there. RocksDB
        // wants an absolute path, and in memory does not find its files again under "/".
        let db = settings.open(Path::new("/."));
        let db = db.map_err(|e| rocks_error(&path, e))?;
        Ok(Self::new(db, settings, path, true))
    }

    fn new(db: DB, settings: Settings, path: PathBuf, in_memory: bool) -> Self {
        let cache = settings.cache;
        Self {
            db,
            cache,
            path,
            in_memory,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn get(&self, family: Family, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>> {
        let found = self.db.get_pinned_cf(self.family(family)?, key);
        found.map_err(|e| self.error(e))
    }

    /// All of one moment.
    pub(super) fn view(&self) -> View<'_> {
        View {
            store: self,
            snapshot: self.db.snapshot(),
        }
    }

    pub(super) fn batch(&self) -> Result<Batch<'_>> {
        Ok(Batch {
            batch: WriteBatch::default(),
            families: [
                self.family(Family::Meta)?,
                self.family(Family::Ids)?,
                self.family(Family::Keys)?,
                self.family(Family::Postings)?,
            ],
        })
    }

    /// Writes a batch, all or nothing, to memory: RocksDB's log is off.
    pub(super) fn write(&self, batch: Batch<'_>) -> Result<()> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let written = self.db.write_opt(batch.batch, &options);
        written.map_err(|e| self.error(e))
    }

    /// Puts all column families on disk, as of one moment.
    pub(super) fn flush(&self) -> Result<()> {
        let families = self.batch()?.families;
        let flushed = self.db.flush_cfs_opt(&families, &FlushOptions::default());
        flushed.map_err(|e| self.error(e))
    }

    /// Bytes in memory and on disk.
    pub(super) fn sizes(&self) -> Result<(u64, u64)> {
        let (mut readers, mut files) = (0, 0);
        for family in Family::ALL {
            let family = self.family(family)?;
            let get = |name| self.db.property_int_value_cf(family, name);
            let number = |found: std::result::Result<Option<u64>, _>| {
                found
                    .map(Option::unwrap_or_default)
                    .map_err(|e| self.error(e))
            };
            readers += number(get(properties::ESTIMATE_TABLE_READERS_MEM))?;
            files += number(get(properties::TOTAL_SST_FILES_SIZE))?;
        }
        // The cache is charged for the write buffers too.
        let memory = readers + self.cache.get_usage() as u64;
        Ok(if self.in_memory {
            (memory + files, 0)
        } else {
            (memory, files)
        })
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily> {
        self.db.cf_handle(family.name()).ok_or_else(|| {
            let message = format!("column family {} is missing", family.name());
            Error::new(ErrorKind::Corrupt, message).with_path(&self.path)
        })
    }

    fn error(&self, error: rocksdb::Error) -> Error {
        rocks_error(&self.path, error)
    }
}

/// Changes to be written together.
pub(super) struct Batch<'a> {
    batch: WriteBatch,
    families: [&'a ColumnFamily; Family::ALL.len()],
}

impl Batch<'_> {
    pub(super) fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        let family = self.families[family as usize];
        self.batch.put_cf(family, key, value);
    }

    pub(super) fn delete(&mut self, family: Family, key: &[u8]) {
        let family = self.families[family as usize];
        self.batch.delete_cf(family, key);
    }

    /// Adds the series of `posting` to the posting at `key`.
    pub(super) fn merge(&mut self, family: Family, key: &[u8], posting: &[u8]) {
        let family = self.families[family as usize];
        self.batch.merge_cf(family, key, posting);
    }

    pub(super) fn delete_span(&mut self, family: Family, from: &[u8], to: &[u8]) {
        let family = self.families[family as usize];
        self.batch.delete_range_cf(family, from, to);
    }
}

/// What the store held at one moment.
pub(super) struct View<'a> {
    store: &'a Store,
    snapshot: Snapshot<'a>,
}

impl View<'_> {
    pub(super) fn get(&self, family: Family, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>> {
        let found = self.snapshot.get_pinned_cf(self.store.family(family)?, key);
        found.map_err(|e| self.store.error(e))
    }

    /// Calls `each` with the place of every key and its value, in the order of `keys`.
    pub(super) fn multi_get(
        &self,
        family: Family,
        keys: &[impl AsRef<[u8]>],
        mut each: impl FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        /// Keys read at once, which bounds what is pinned.
        const CHUNK: usize = 1024;
        let family = self.store.family(family)?;
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        for (chunk, keys) in keys.chunks(CHUNK).enumerate() {
            let sorted = keys.is_sorted_by(|a, b| a.as_ref() <= b.as_ref());
            let db = &self.store.db;
            let found = db.batched_multi_get_cf_opt(family, keys, sorted, &options);
            for (at, value) in found.into_iter().enumerate() {
                let value = value.map_err(|e| self.store.error(e))?;
                each(chunk * CHUNK + at, value.as_deref())?;
            }
        }
        Ok(())
    }

    /// The keys from `from` up to, and without, `to`.
    pub(super) fn cursor(&self, family: Family, from: &[u8], to: &[u8]) -> Result<Cursor<'_>> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let family = self.store.family(family)?;
        let mut iter = self.snapshot.raw_iterator_cf_opt(family, options);
        iter.seek(from);
        let path = &self.store.path;
        Ok(Cursor { iter, path })
    }
}

/// A place among the keys of a column family.
pub(super) struct Cursor<'a> {
    iter: DBRawIterator<'a>,
    path: &'a Path,
}

impl Cursor<'_> {
    /// Key and value at this place; `None` at the end.
    pub(super) fn item(&self) -> Result<Option<(&[u8], &[u8])>> {
        match self.iter.item() {
            Some(item) => Ok(Some(item)),
            // An iterator that met an error is not valid either.
            None => match self.iter.status() {
                Ok(()) => Ok(None),
                Err(e) => Err(rocks_error(self.path, e)),
            },
        }
    }

    pub(super) fn next(&mut self) {
        self.iter.next();
    }

    pub(super) fn seek(&mut self, key: &[u8]) {
        self.iter.seek(key);
    }
}

/// Removes everything in a folder, or the file in its place. The folder itself may be a link or
/// a mount point and stays.
#[expect(
    clippy::disallowed_methods,
    reason = "RocksDB's folder is the one that does not go through `io`"
)]
fn empty(dir: &Path) -> std::io::Result<()> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return fs::remove_file(dir),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return match fs::symlink_metadata(dir) {
                Ok(_) => fs::remove_file(dir),
                Err(_) => Ok(()),
            };
        }
        Err(e) => return Err(e),
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
