//! Series keys and ids.
//!
//! # Invariants
//! 1. An id is given once, ever. The next one exceeds every id in manifest, log and segments.
//! 2. A definition is in the log before its id is handed out, so it precedes every row of it.
//! 3. A definition that the index has not taken in is *pending* here; a reader looks here first
//!    and in the index second, so that one that moves between the two is always found.
//! 4. A series that a handle holds is not forgotten (see [`super::holders`]).
//! 5. An index that turns out to be damaged is made anew from manifest and segments by whoever
//!    found it out, while the others wait; the question is then answered. It is never answered
//!    from a damaged index.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};
use tidestone_format::log::SeriesDefinition;
use tidestone_format::{Lsn, SeriesId, SeriesKey, TableId};

use super::holders::{Hold, Holders};
use super::{Ground, catch_up};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Applied, Forgetting, Index, IndexStats, TagMatch};
use crate::store::{Store, Version};

/// Which id a series key has, and the other way round.
#[derive(Debug)]
pub(crate) struct SeriesRegistry {
    /// Read while the index is used, and not by who uses it already; written to replace it.
    index: RwLock<Slot>,
    /// Held while an id is given.
    next: Mutex<SeriesId>,
    pending: RwLock<Pending>,
    /// Where a damaged index is made anew, and from what; not for one in memory.
    ground: OnceLock<Ground>,
    store: OnceLock<Arc<Store>>,
    rebuilds: AtomicU64,
    holders: Arc<Holders>,
    /// Tables of which some series may have lost their last rows, and the first series of each that
    /// was not looked at.
    suspects: Mutex<BTreeMap<TableId, SeriesId>>,
}

/// The index of a registry.
#[derive(Debug)]
enum Slot {
    /// None yet, or no more: the database is closed. Whoever still has a handle does not hold its folder.
    Closed,
    Ready(Index),
    /// It could not be made anew when it was damaged; the next who needs it tries again.
    Broken(Error),
}

#[derive(Debug, Default)]
struct Pending {
    by_key: FxHashMap<(TableId, SeriesKey), SeriesId>,
    by_id: FxHashMap<SeriesId, (TableId, SeriesKey, Lsn)>,
}

impl SeriesRegistry {
    /// A registry over what the index knows; `next` is the id of the next new series.
    pub(crate) fn new(index: Arc<Index>, next: SeriesId) -> Self {
        let registry = Self::without_index(next);
        if let Some(index) = Arc::into_inner(index) {
            registry.attach(index, None);
        }
        registry
    }

    /// A registry that takes in definitions of the log and cannot be asked before it has its index.
    pub(crate) fn without_index(next: SeriesId) -> Self {
        Self {
            index: RwLock::new(Slot::Closed),
            next: Mutex::new(next),
            pending: RwLock::default(),
            ground: OnceLock::new(),
            store: OnceLock::new(),
            rebuilds: AtomicU64::new(0),
            holders: Arc::default(),
            suspects: Mutex::default(),
        }
    }

    /// Gives the registry its index, and says where it is made anew if it turns out to be damaged.
    pub(crate) fn attach(&self, index: Index, ground: Option<Ground>) {
        *self.index.write() = Slot::Ready(index);
        if let Some(ground) = ground {
            let _first = self.ground.set(ground);
        }
    }

    /// Says from what a damaged index is made anew.
    pub(crate) fn set_store(&self, store: Arc<Store>) {
        let _first = self.store.set(store);
    }

    /// How often the index was made anew because it was damaged.
    pub(crate) fn rebuilds(&self) -> u64 {
        self.rebuilds.load(Ordering::Relaxed)
    }

    /// The id of a series, held; a new one gets its id from `define`, which puts the definition into
    /// the log and returns its LSN.
    pub(crate) fn resolve(
        &self,
        table: TableId,
        key: &SeriesKey,
        define: impl FnOnce(&SeriesDefinition) -> Result<Lsn>,
    ) -> Result<(SeriesId, Arc<Hold>)> {
        if let Some(held) = self.find_and_hold(table, key)? {
            return Ok(held);
        }
        let mut next = self.next.lock();
        if let Some(held) = self.find_and_hold(table, key)? {
            return Ok(held);
        }
        let id = *next;
        let definition = SeriesDefinition {
            table,
            id,
            key: key.clone(),
        };
        let hold = self.holders.hold(id).ok_or_else(|| {
            let message = format!("series {id} is gone before it was there");
            Error::new(ErrorKind::Corrupt, message)
        })?;
        let lsn = define(&definition)?;
        next.0 += 1;
        self.add(definition, lsn);
        Ok((id, hold))
    }

    /// The id of a series that is there, held. One that is gone counts as not there.
    fn find_and_hold(
        &self,
        table: TableId,
        key: &SeriesKey,
    ) -> Result<Option<(SeriesId, Arc<Hold>)>> {
        let found = self.find(table, key)?;
        Ok(found.and_then(|id| Some((id, self.holders.hold(id)?))))
    }

    /// The id of a series, if it has one.
    fn find(&self, table: TableId, key: &SeriesKey) -> Result<Option<SeriesId>> {
        if let Some(id) = self.pending.read().by_key.get(&(table, key.clone())) {
            return Ok(Some(*id));
        }
        self.with_index(|index| index.series_id(table, key))
    }

    /// Does something while no series is between its place in the log and being known here.
    pub(crate) fn while_none_is_defined<R>(&self, act: impl FnOnce() -> R) -> R {
        let _no_new_id = self.next.lock();
        act()
    }

    /// Takes in a definition read from the log; of one whose table was dropped only that its id is
    /// taken.
    pub(crate) fn replay(&self, definition: SeriesDefinition, lsn: Lsn, has_table: bool) {
        let mut next = self.next.lock();
        next.0 = next.0.max(definition.id.0 + 1);
        if has_table {
            self.add(definition, lsn);
        }
    }

    fn add(&self, definition: SeriesDefinition, lsn: Lsn) {
        let SeriesDefinition { table, id, key } = definition;
        let mut pending = self.pending.write();
        pending.by_key.insert((table, key.clone()), id);
        pending.by_id.insert(id, (table, key, lsn));
    }

    /// The id the next new series will get.
    pub(crate) fn next_id(&self) -> SeriesId {
        *self.next.lock()
    }

    /// The definitions at or below `upto` that the index has not taken in, by id.
    pub(crate) fn pending_upto(&self, upto: Lsn) -> Vec<SeriesDefinition> {
        let pending = self.pending.read();
        let mut due: Vec<SeriesDefinition> = pending
            .by_id
            .iter()
            .filter(|(_, (_, _, lsn))| *lsn <= upto)
            .map(|(id, (table, key, _))| SeriesDefinition {
                table: *table,
                id: *id,
                key: key.clone(),
            })
            .collect();
        due.sort_by_key(|d| d.id);
        due
    }

    /// Hands definitions over to the index.
    pub(crate) fn take_into_index(
        &self,
        definitions: &[SeriesDefinition],
        applied: Applied,
    ) -> Result<()> {
        self.with_index(|index| {
            index.apply(definitions, applied)?;
            // While the index is held: one made anew has either them or what is still pending.
            self.forget(definitions);
            Ok(())
        })
    }

    /// Gives the index the definitions of manifest and segments above `from`: of a version that was
    /// read since.
    pub(crate) fn catch_up(
        &self,
        version: &Version,
        lone: &[SeriesDefinition],
        from: Lsn,
    ) -> Result<()> {
        self.with_index(|index| catch_up(index, version, lone, from).map(drop))
    }

    /// Forgets definitions that the index has taken in, or that it is not to take in.
    pub(crate) fn forget(&self, taken: &[SeriesDefinition]) {
        let mut pending = self.pending.write();
        for definition in taken {
            pending.by_id.remove(&definition.id);
            let key = (definition.table, definition.key.clone());
            // A later series may have the key by now.
            if pending.by_key.get(&key) == Some(&definition.id) {
                pending.by_key.remove(&key);
            }
        }
    }

    /// The keys of series, in the order of `ids`; `None` where there is no such series.
    pub(crate) fn keys(&self, table: TableId, ids: &[SeriesId]) -> Result<Vec<Option<SeriesKey>>> {
        let mut keys: Vec<Option<SeriesKey>> = {
            let pending = self.pending.read();
            ids.iter()
                .map(|id| pending.by_id.get(id).map(|(_, key, _)| key.clone()))
                .collect()
        };
        for (key, id) in keys.iter_mut().zip(ids).filter(|(key, _)| key.is_none()) {
            *key = self.holders.key(table, *id);
        }
        let missing: Vec<usize> = (0..ids.len()).filter(|&i| keys[i].is_none()).collect();
        if !missing.is_empty() {
            let wanted: Vec<SeriesId> = missing.iter().map(|&i| ids[i]).collect();
            let found = self.with_index(|index| index.series_keys(table, &wanted))?;
            for (at, key) in missing.into_iter().zip(found) {
                keys[at] = key;
            }
        }
        Ok(keys)
    }

    /// The series of a table that match all tests, ascending.
    pub(crate) fn select(&self, table: TableId, tests: &[TagMatch]) -> Result<Vec<SeriesId>> {
        let mut ids: Vec<SeriesId> = {
            let pending = self.pending.read();
            pending
                .by_id
                .iter()
                .filter(|(_, (of, key, _))| *of == table && tests.iter().all(|t| t.matches(key)))
                .map(|(id, _)| *id)
                .collect()
        };
        let found = self.with_index(|index| index.select(table, tests))?;
        ids.extend(found.iter().map(SeriesId));
        ids.sort_unstable();
        ids.dedup();
        self.holders.without_gone(&mut ids);
        Ok(ids)
    }

    /// The names of the tags that series of a table have, sorted.
    pub(crate) fn tag_names(&self, table: TableId) -> Result<Vec<String>> {
        self.tags(table, |index| index.tag_names(table))
    }

    /// The names of the tags that series of a table have, or had before they were forgotten, sorted.
    pub(crate) fn known_tags(&self, table: TableId) -> Result<Vec<String>> {
        self.tags(table, |index| index.known_tags(table))
    }

    fn tags(
        &self,
        table: TableId,
        of_index: impl Fn(&Index) -> Result<Vec<String>>,
    ) -> Result<Vec<String>> {
        let mut names: Vec<String> = {
            let pending = self.pending.read();
            let of_table = pending.by_id.values().filter(|(of, _, _)| *of == table);
            of_table
                .flat_map(|(_, key, _)| key.tags().map(|(name, _)| name.to_owned()))
                .collect()
        };
        names.extend(self.with_index(of_index)?);
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The values that series of a table have of a tag, sorted.
    pub(crate) fn tag_values(&self, table: TableId, tag: &str) -> Result<Vec<String>> {
        let mut values: Vec<String> = {
            let pending = self.pending.read();
            let of_table = pending.by_id.values().filter(|(of, _, _)| *of == table);
            of_table
                .filter_map(|(_, key, _)| key.get(tag).map(str::to_owned))
                .collect()
        };
        values.extend(self.with_index(|index| index.tag_values(table, tag))?);
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    /// Forgets the series of a table that was dropped.
    pub(crate) fn drop_table(&self, table: TableId, applied: Applied) -> Result<()> {
        {
            let mut pending = self.pending.write();
            pending.by_key.retain(|(of, _), _| *of != table);
            pending.by_id.retain(|_, (of, _, _)| *of != table);
        }
        self.holders.drop_table(table);
        self.with_index(|index| index.drop_table(table, applied))
    }

    /// Some series of a table may have lost their last rows.
    pub(crate) fn suspect(&self, table: TableId) {
        self.suspects.lock().insert(table, SeriesId(0));
    }

    /// A table of which series are to be looked at, and the first of them.
    pub(crate) fn next_suspects(&self) -> Option<(TableId, SeriesId)> {
        let suspects = self.suspects.lock();
        suspects
            .first_key_value()
            .map(|(table, from)| (*table, *from))
    }

    /// Goes on with the series of a table from `next` on; `None`: it is done.
    pub(crate) fn go_on_with_suspects(&self, table: TableId, next: Option<SeriesId>) {
        let mut suspects = self.suspects.lock();
        match next {
            Some(next) => suspects.insert(table, next),
            None => suspects.remove(&table),
        };
    }

    /// Lets series leave that have no rows, but for those that a handle holds or that the index
    /// has not taken in.
    pub(crate) fn let_leave(&self, mut series: Vec<SeriesDefinition>) {
        {
            let pending = self.pending.read();
            series.retain(|d| !pending.by_id.contains_key(&d.id));
        }
        self.holders.let_leave(series);
    }

    /// The series that are leaving or gone, by id.
    pub(crate) fn leaving(&self) -> Vec<SeriesDefinition> {
        self.holders.leaving()
    }

    /// Those that are leaving are gone, but for those that stay. Returns all that are gone.
    pub(crate) fn finish_leaving(&self, stay: &FxHashSet<SeriesId>) -> Vec<SeriesDefinition> {
        self.holders.finish(stay)
    }

    /// Forgets those of the gone that nobody needs.
    pub(crate) fn clear_gone(&self, needed: impl Fn(SeriesId) -> bool) {
        self.holders.clear_gone(needed);
    }

    /// Whether there is a series to be looked at, or one on its way out.
    pub(crate) fn has_suspects(&self) -> bool {
        !self.suspects.lock().is_empty() || self.holders.is_any_leaving()
    }

    /// Takes series that are gone out of the index, durably.
    pub(crate) fn remove_from_index(
        &self,
        gone: &[SeriesDefinition],
        forgetting: Forgetting,
    ) -> Result<()> {
        self.with_index(|index| index.remove(gone, forgetting))
    }

    /// How much the index holds.
    pub(crate) fn index_stats(&self) -> Result<IndexStats> {
        self.with_index(Index::stats)
    }

    /// Puts the index on disk.
    pub(crate) fn flush_index(&self) -> Result<()> {
        self.with_index(Index::flush)
    }

    /// Lets go of the index.
    pub(crate) fn close(&self) {
        *self.index.write() = Slot::Closed;
    }

    /// Asks the index; one that turns out to be damaged is made anew first.
    fn with_index<R>(&self, ask: impl Fn(&Index) -> Result<R>) -> Result<R> {
        let before = self.rebuilds();
        let outcome = match &*self.index.read() {
            Slot::Ready(index) => ask(index),
            Slot::Closed => {
                return Err(Error::closed());
            }
            Slot::Broken(error) => Err(error.clone()),
        };
        match (outcome, self.ground.get(), self.store.get()) {
            (Err(error), Some(ground), Some(store)) if Index::is_damage(&error) => {
                self.rebuild(ground, store, error, before)?;
            }
            (outcome, ..) => return outcome,
        }
        match &*self.index.read() {
            Slot::Ready(index) => ask(index),
            Slot::Broken(error) => Err(error.clone()),
            Slot::Closed => Err(Error::closed()),
        }
    }

    /// Makes the index anew, unless somebody has since `before`.
    fn rebuild(&self, ground: &Ground, store: &Store, cause: Error, before: u64) -> Result<()> {
        let mut slot = self.index.write();
        if matches!(*slot, Slot::Closed) || self.rebuilds() != before {
            return Ok(());
        }
        // The damaged one lets go of its folder first.
        *slot = Slot::Broken(cause);
        // What is gone stays out, whether or not the manifest has forgotten it.
        let gone = self.holders.gone();
        *slot = Slot::Ready(ground.rebuild(store, |id| gone.contains(&id))?);
        self.rebuilds.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
