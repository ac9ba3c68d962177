//! Which series there are and which tags they have: derived state, kept in RocksDB.
//!
//! The index answers three questions: the id of a series key, the key of a series id, and which
//! series pass tests of their tags. It holds no samples, last values, tombstones or cursors, and
//! nothing on the append path reads it. All of it can be rebuilt from the ground state (log,
//! manifest, segments); deleting its folder loses nothing.
//!
//! # Invariants
//! 1. What an index has taken in ([`Applied`]) is written in one batch with the definitions it
//!    speaks for, and all column families are flushed together. RocksDB's own log is off, so after
//!    a crash the folder holds an earlier moment, but that moment whole.
//! 2. A definition is a fact: a series id keeps its table and its key for ever. Applying one
//!    twice changes nothing, so that catching up may begin too early, never too late.
//! 3. [`Index::open`] destroys nothing. What it cannot trust is [`Opened::Unusable`], with the
//!    reason; only [`Index::create`] empties the folder.
//! 4. An answer comes from one moment, whatever is applied meanwhile. What contradicts itself is
//!    an error of kind [`Corrupt`](crate::ErrorKind::Corrupt), never a shorter answer.
//! 5. A tag that a series does not have counts as the empty string.
//! 6. It names the last forgetting of series that it took part in, in one batch with what that removed
//!    ([`Forgetting`]). So a copy from before, put back, is told from one that knows nothing new.
//! 7. The name of a tag that series of a table had stays known when they are forgotten: who asks by it
//!    is answered that there are none, before and after. An index that is made anew knows the names of
//!    those there are.
//! 8. Only `rocks` (and a test) names RocksDB, and none of its types leaves this module.
//!
//! | file | what |
//! |---|---|
//! | `mod` | opening, applying |
//! | `lookup` | keys, ids, tags and postings |
//! | `select` | tests of tags, and the series that pass them |
//! | `verify` | whether the parts of the index agree |
//! | `layout` | the bytes of keys, postings and the state |
//! | `rocks` | RocksDB: settings, batches, reads, errors |

mod layout;
mod lookup;
mod rocks;
mod select;
#[cfg(test)]
mod tests;
mod verify;

use std::path::Path;

use rustc_hash::FxHashMap;
pub(crate) use tidestone_format::log::SeriesDefinition as Definition;
use tidestone_format::{FileUuid, Lsn, TableId};

use crate::error::{Error, Result};
use layout::State;
use rocks::{Family, Store, View};

pub use select::{TagMatch, TagPattern, TagTest};

/// The series of all tables, found by key, by id and by tag.
///
/// One thread applies; any number of threads read.
#[derive(Debug)]
pub(crate) struct Index {
    store: Store,
    database: FileUuid,
}

/// What an index has taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The incarnation of the database it was taken from.
    pub(crate) incarnation: FileUuid,
    /// The version of the manifest.
    pub(crate) manifest_version: u64,
    /// Every definition at or below this position of the log is in the index.
    pub(crate) lsn: Lsn,
    /// Of the series that were forgotten it has none.
    pub(crate) forgetting: Forgetting,
}

/// Up to which forgetting of series an index has come. It comes first, and the manifest may follow or
/// not: until the index hears more of the manifest, both are possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forgetting {
    /// The manifest's last one, when the index was told of it.
    pub(crate) last: FileUuid,
    /// The one that the index took part in since; the same if there was none.
    pub(crate) next: FileUuid,
}

impl Forgetting {
    /// Of an index that is where the manifest is.
    pub(crate) fn with(manifest: FileUuid) -> Self {
        Self {
            last: manifest,
            next: manifest,
        }
    }

    /// Whether no series was forgotten in the manifest without the index.
    pub(crate) fn has_all_of(self, manifest: FileUuid) -> bool {
        self.last == manifest || self.next == manifest
    }
}

/// What [`Index::open`] found.
pub(crate) enum Opened {
    /// An index of this database and layout. Whether it lags, or is of another incarnation, is
    /// for the caller to judge.
    Ready(Index, Applied),
    /// Nothing that can be used; it is to be created anew.
    Unusable {
        /// The reason, for people.
        why: String,
    },
}

/// The size of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexStats {
    /// Memory it holds: cache, write buffers, table readers; its files too if it is in memory.
    pub(crate) memory_bytes: u64,
    /// Length of its data files on disk.
    pub(crate) disk_bytes: u64,
    /// Series of all tables.
    pub(crate) series: u64,
}

impl Index {
    /// Opens the index in the folder `dir`, using about `memory_bytes` of memory.
    ///
    /// A missing, foreign, damaged or otherwise unreadable index is not an error but
    /// [`Opened::Unusable`].
    ///
    /// # Errors
    /// Only what creating it anew would not mend: the disk is full, the folder is locked or may
    /// not be written, the process has no more file descriptors.
    pub(crate) fn open(dir: &Path, memory_bytes: usize, database: FileUuid) -> Result<Opened> {
        Self::open_as(dir, memory_bytes, database, false)
    }

    /// As [`Index::open`], of an index that is only read: no byte of its folder changes.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub(crate) fn open_read_only(
        dir: &Path,
        memory_bytes: usize,
        database: FileUuid,
    ) -> Result<Opened> {
        Self::open_as(dir, memory_bytes, database, true)
    }

    fn open_as(
        dir: &Path,
        memory_bytes: usize,
        database: FileUuid,
        read_only: bool,
    ) -> Result<Opened> {
        let unusable = |why: String| Ok(Opened::Unusable { why });
        let store = match Store::open(dir, memory_bytes, read_only)? {
            Ok(store) => store,
            Err(why) => return unusable(why),
        };
        let state = match store.get(Family::Meta, layout::STATE) {
            Ok(Some(bytes)) => State::decode(&bytes),
            Ok(None) => return unusable("it does not say what it has taken in".to_owned()),
            Err(e) => return unusable(e.to_string()),
        };
        match state {
            Ok(state) if state.database == database.0 => {
                let applied = state.applied();
                Ok(Opened::Ready(Self { store, database }, applied))
            }
            Ok(state) => unusable(format!(
                "it belongs to database {}, not to {database}",
                FileUuid(state.database)
            )),
            Err(why) => unusable(why),
        }
    }

    /// Makes an empty index in the folder `dir`, removing everything that is there.
    ///
    /// # Errors
    /// What is there cannot be removed, or the new index not be written.
    pub(crate) fn create(
        dir: &Path,
        memory_bytes: usize,
        database: FileUuid,
        applied: Applied,
    ) -> Result<Self> {
        Self::begin(Store::create(dir, memory_bytes)?, database, applied)
    }

    /// Makes an empty index whose files are in memory too: they come on top of `memory_bytes`.
    ///
    /// # Errors
    /// RocksDB refuses.
    pub(crate) fn open_in_memory(
        memory_bytes: usize,
        database: FileUuid,
        applied: Applied,
    ) -> Result<Self> {
        Self::begin(Store::in_memory(memory_bytes)?, database, applied)
    }

    fn begin(store: Store, database: FileUuid, applied: Applied) -> Result<Self> {
        let index = Self { store, database };
        index.apply(&[], applied)?;
        index.flush()?;
        Ok(index)
    }

    /// Takes in `definitions` and notes `applied`, all or nothing. For the time of the call it
    /// needs memory in proportion to the definitions.
    ///
    /// # Errors
    /// RocksDB cannot write. The index can still be read, and holds none or all of the batch.
    pub(crate) fn apply(&self, definitions: &[Definition], applied: Applied) -> Result<()> {
        let mut batch = self.store.batch()?;
        // RocksDB takes keys in their order several times faster than in any other.
        let mut sorted: Vec<&Definition> = definitions.iter().collect();
        // Of two series with one key the later one has it: the other was being forgotten.
        sorted.sort_unstable_by(|a, b| (a.table, &a.key, a.id).cmp(&(b.table, &b.key, b.id)));
        for d in &sorted {
            let key = layout::by_key(d.table, &d.key);
            batch.put(Family::Ids, &key, &layout::encode_id(d.id));
        }
        sorted.sort_unstable_by_key(|d| (d.table, d.id));
        for d in &sorted {
            batch.put(
                Family::Keys,
                &layout::by_id(d.table, d.id),
                d.key.as_bytes(),
            );
        }
        for (key, ids) in postings(&sorted) {
            batch.merge(Family::Postings, &key, &layout::encode_ids(ids));
        }
        let state = State::new(self.database, applied).encode()?;
        batch.put(Family::Meta, layout::STATE, &state);
        self.store.write(batch)
    }

    /// Forgets series, durably, all of them or none, and notes that `forgetting` did it. A key that a
    /// later series has stays its. The names of their tags stay known.
    ///
    /// # Errors
    /// The index cannot be read or written; the series are still there, or not any more.
    pub(crate) fn remove(&self, definitions: &[Definition], forgetting: Forgetting) -> Result<()> {
        let view = self.store.view();
        let applied = Applied {
            forgetting,
            ..self.state(&view)?.applied()
        };
        let mut batch = self.store.batch()?;
        let mut sorted: Vec<&Definition> = definitions.iter().collect();
        sorted.sort_unstable_by_key(|d| (d.table, d.id));
        for d in &sorted {
            let key = layout::by_key(d.table, &d.key);
            let has = view.get(Family::Ids, &key)?;
            if has.and_then(|bytes| layout::decode_id(&bytes)) == Some(d.id) {
                batch.delete(Family::Ids, &key);
            }
            batch.delete(Family::Keys, &layout::by_id(d.table, d.id));
        }
        for (key, ids) in postings(&sorted) {
            let mut posting = self.posting(&view, Some(&key))?;
            for id in ids {
                posting.remove(id);
            }
            let is_of_value = layout::Posting::decode(&key).is_some_and(|p| p.value.is_some());
            if posting.is_empty() && is_of_value {
                batch.delete(Family::Postings, &key);
            } else {
                let left = layout::encode_ids(posting.into_iter().collect());
                batch.put(Family::Postings, &key, &left);
            }
        }
        let state = State::new(self.database, applied).encode()?;
        batch.put(Family::Meta, layout::STATE, &state);
        self.store.write(batch)?;
        self.store.flush()
    }

    fn state(&self, view: &View<'_>) -> Result<State> {
        let Some(bytes) = view.get(Family::Meta, layout::STATE)? else {
            return Err(self.corrupt("it does not say what it has taken in"));
        };
        State::decode(&bytes).map_err(|why| self.corrupt(why))
    }

    /// Forgets a table and notes `applied`, all or nothing. Its space is given back by and by.
    ///
    /// # Errors
    /// RocksDB cannot write; the table is still there.
    pub(crate) fn drop_table(&self, table: TableId, applied: Applied) -> Result<()> {
        let mut batch = self.store.batch()?;
        let (from, to) = layout::table_span(table);
        for family in [Family::Ids, Family::Keys, Family::Postings] {
            batch.delete_span(family, &from, &to);
        }
        let state = State::new(self.database, applied).encode()?;
        batch.put(Family::Meta, layout::STATE, &state);
        self.store.write(batch)
    }

    /// How much the index holds.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn stats(&self) -> Result<IndexStats> {
        let view = self.store.view();
        let mut series = 0;
        let mut cursor = view.cursor(Family::Postings, &[], layout::END)?;
        while let Some((key, ids)) = cursor.item()? {
            let posting = layout::Posting::decode(key);
            let Some(posting) = posting.filter(|p| p.tag.is_empty()) else {
                return Err(self.corrupt(format!("the first posting of a table is {key:?}")));
            };
            let table = posting.table;
            series += self.decode_ids(ids)?.len();
            cursor.seek(&layout::table_span(table).1);
        }
        let (memory_bytes, disk_bytes) = self.store.sizes()?;
        Ok(IndexStats {
            memory_bytes,
            disk_bytes,
            series,
        })
    }

    /// Whether an error of an index says that it is damaged, so that it is to be made anew.
    pub(crate) fn is_damage(error: &Error) -> bool {
        rocks::is_damage(error)
    }

    /// Puts everything applied on disk, so that the next opening need not catch up. Dropping the
    /// index does so too, but cannot say that it failed.
    ///
    /// # Errors
    /// RocksDB cannot write. The next opening then finds an earlier moment.
    pub(crate) fn flush(&self) -> Result<()> {
        self.store.flush()
    }
}

/// The keys and ids of all postings that definitions, in the order of ids, add to.
fn postings(definitions: &[&Definition]) -> Vec<(Vec<u8>, Vec<u64>)> {
    let mut every: FxHashMap<TableId, Vec<u64>> = FxHashMap::default();
    let mut by_tag: FxHashMap<(TableId, &str), Vec<u64>> = FxHashMap::default();
    let mut by_value: FxHashMap<(TableId, &str, &str), Vec<u64>> = FxHashMap::default();
    for d in definitions {
        every.entry(d.table).or_default().push(d.id.0);
        for (tag, value) in d.key.tags() {
            by_tag.entry((d.table, tag)).or_default().push(d.id.0);
            let ids = by_value.entry((d.table, tag, value)).or_default();
            ids.push(d.id.0);
        }
    }
    let every = every.into_iter().map(|(t, ids)| (layout::every(t), ids));
    let by_tag = by_tag
        .into_iter()
        .filter_map(|((t, tag), ids)| Some((layout::having(t, tag)?, ids)));
    let by_value = by_value
        .into_iter()
        .filter_map(|((t, tag, value), ids)| Some((layout::with_value(t, tag, value)?, ids)));
    let mut all: Vec<_> = every.chain(by_tag).chain(by_value).collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all
}
