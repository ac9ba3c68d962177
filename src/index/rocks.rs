//! RocksDB: settings, batches, reads, errors. Nothing else names it.

use std::fs;
use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBPinnableSlice, DBRawIterator, Env, FlushOptions, LogLevel, MergeOperands, Options,
    ReadOptions, Snapshot, WriteBatch, WriteBufferManager, WriteOptions, properties,
};

use super::layout;
use crate::error::{Error, ErrorKind, Result};

/// Data files kept open at a time. An index of a million series has about ten.
const OPEN_FILES: i32 = 64;
/// Bits of a bloom filter per key: one look in a hundred is in vain.
const FILTER_BITS: f64 = 10.0;
/// Unmerged additions to one posting in memory before they are merged: more make reading it
/// slower, fewer make adding to it slower.
const UNMERGED_ADDITIONS: usize = 64;
/// Length at which RocksDB's own log of events starts a new file; two are kept.
const EVENTS_BYTES: usize = 256 << 10;

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
    /// Opens what is in `dir`; `Ok(Err(why))` if it cannot be used.
    pub(super) fn open(
        dir: &Path,
        memory_bytes: usize,
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
        match settings.open(dir) {
            Ok(db) => Ok(Ok(Self::new(db, settings, dir.to_owned(), false))),
            Err(e) if is_refusal(&e) => Err(rocks_error(dir, e)),
            Err(e) => Ok(Err(e.into_string())),
        }
    }

    /// Makes an empty one in `dir`, removing what is there.
    pub(super) fn create(dir: &Path, memory_bytes: usize) -> Result<Self> {
        empty(dir).map_err(|e| Error::io("remove the old index", dir, e))?;
        let mut settings = Settings::new(memory_bytes, None);
        settings.create();
        let db = settings.open(dir).map_err(|e| rocks_error(dir, e))?;
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

/// How RocksDB is opened.
struct Settings {
    base: Options,
    cache: Cache,
    write_buffer: usize,
}

impl Settings {
    fn new(memory_bytes: usize, env: Option<&Env>) -> Self {
        let mut base = Options::default();
        let cache = Cache::new_lru_cache(memory_bytes);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            memory_bytes / 2,
            false,
            cache.clone(),
        );
        base.set_write_buffer_manager(&buffers);
        base.set_atomic_flush(true);
        base.set_max_open_files(OPEN_FILES);
        base.set_max_file_opening_threads(1);
        base.set_max_background_jobs(2);
        base.set_skip_stats_update_on_db_open(true);
        base.set_stats_dump_period_sec(0);
        base.set_stats_persist_period_sec(0);
        base.set_log_level(LogLevel::Warn);
        base.set_max_log_file_size(EVENTS_BYTES);
        base.set_keep_log_file_num(2);
        if let Some(env) = env {
            base.set_env(env);
        }
        Self {
            base,
            cache,
            write_buffer: memory_bytes / 4,
        }
    }

    fn create(&mut self) {
        self.base.create_if_missing(true);
        self.base.create_missing_column_families(true);
        self.base.set_error_if_exists(true);
    }

    fn open(&self, dir: &Path) -> std::result::Result<DB, rocksdb::Error> {
        let families = Family::ALL
            .map(|family| ColumnFamilyDescriptor::new(family.name(), self.family(family)));
        DB::open_cf_descriptors(&self.base, dir, families)
    }

    fn family(&self, family: Family) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        if family != Family::Meta {
            blocks.set_bloom_filter(FILTER_BITS, false);
        }
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::None);
        options.set_write_buffer_size(self.write_buffer);
        if family == Family::Postings {
            let merge = |_: &[u8], old: Option<&[u8]>, more: &MergeOperands| {
                layout::merge_postings(old.into_iter().chain(more))
            };
            options.set_merge_operator_associative("tidestone.postings.1", merge);
            options.set_max_successive_merges(UNMERGED_ADDITIONS);
        }
        options
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

/// The errors of the operating system that making the index anew would not mend, or that would
/// take it away from another process. RocksDB gives them as text only.
const REFUSALS: [(&str, ErrorKind); 7] = [
    ("No space left on device", ErrorKind::DiskFull),
    ("Disk quota exceeded", ErrorKind::DiskFull),
    ("lock file", ErrorKind::Locked),
    ("lock hold by current process", ErrorKind::Locked),
    ("Too many open files", ErrorKind::Io),
    ("Permission denied", ErrorKind::Io),
    ("Read-only file system", ErrorKind::Io),
];

fn is_refusal(error: &rocksdb::Error) -> bool {
    REFUSALS
        .iter()
        .any(|(text, _)| error.as_ref().contains(text))
}

fn rocks_error(path: &Path, error: rocksdb::Error) -> Error {
    let refusal = REFUSALS
        .iter()
        .find(|(text, _)| error.as_ref().contains(text));
    let kind = match (refusal, error.kind()) {
        (Some((_, kind)), _) => *kind,
        (None, rocksdb::ErrorKind::IOError) => ErrorKind::Io,
        (None, rocksdb::ErrorKind::Corruption | rocksdb::ErrorKind::NotFound) => ErrorKind::Corrupt,
        (None, rocksdb::ErrorKind::InvalidArgument) => ErrorKind::Invalid,
        (None, _) => ErrorKind::Io,
    };
    Error::new(kind, format!("index: {}", error.as_ref())).with_path(path)
}
