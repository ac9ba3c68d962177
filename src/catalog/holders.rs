//! Which series somebody may still write to, and which are on their way out.
//!
//! A series without rows anywhere is *forgotten*: first it is *leaving*, then *gone*. While it is
//! leaving, whoever resolves its key gets it back, and it stays. Nobody else can write to it: no
//! handle holds it when it starts to leave, and it is gone only after every batch that was
//! being staged then, and every snapshot that was being read, has ended ([`Pins`]). Once it is gone
//! its key gets a new id. Its key is still told, until nobody can ask who saw it before.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use tidestone_format::log::SeriesDefinition;
use tidestone_format::{SeriesId, SeriesKey, TableId};

/// What the handles of a series hold, so that it is not forgotten.
#[derive(Debug)]
pub(crate) struct Hold {
    id: SeriesId,
    holders: Arc<Holders>,
}

/// The series that are held or leaving.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: FxHashMap<SeriesId, Weak<Hold>>,
    leaving: FxHashMap<SeriesId, Leaving>,
}

#[derive(Debug)]
struct Leaving {
    table: TableId,
    key: SeriesKey,
    gone: bool,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.holders.0.lock();
        // Another handle may have been made since the last one was let go.
        let held = state.held.get(&self.id);
        if held.is_some_and(|hold| hold.strong_count() == 0) {
            state.held.remove(&self.id);
        }
    }
}

impl Holders {
    /// Holds a series, which stays if it was leaving; `None` if it is gone.
    pub(super) fn hold(self: &Arc<Self>, id: SeriesId) -> Option<Arc<Hold>> {
        let mut state = self.0.lock();
        match state.leaving.get(&id) {
            Some(leaving) if leaving.gone => return None,
            Some(_) => drop(state.leaving.remove(&id)),
            None => {}
        }
        if let Some(hold) = state.held.get(&id).and_then(Weak::upgrade) {
            return Some(hold);
        }
        let hold = Arc::new(Hold {
            id,
            holders: self.clone(),
        });
        state.held.insert(id, Arc::downgrade(&hold));
        Some(hold)
    }

    /// Those of the series that nobody holds start to leave.
    pub(super) fn let_leave(&self, series: Vec<SeriesDefinition>) {
        let mut state = self.0.lock();
        for SeriesDefinition { table, id, key } in series {
            // The last handle takes its entry away under the lock: what it did before is seen.
            if !state.held.contains_key(&id) {
                let gone = false;
                state.leaving.insert(id, Leaving { table, key, gone });
            }
        }
    }

    /// The series that are leaving or gone.
    pub(super) fn leaving(&self) -> Vec<SeriesDefinition> {
        let state = self.0.lock();
        let all = state.leaving.iter();
        let mut all: Vec<_> = all.map(|(id, l)| l.definition(*id)).collect();
        all.sort_unstable_by_key(|d| d.id);
        all
    }

    /// Those that are leaving are gone, but for those that stay.
    pub(super) fn finish(&self, stay: &FxHashSet<SeriesId>) -> Vec<SeriesDefinition> {
        let mut state = self.0.lock();
        state
            .leaving
            .retain(|id, leaving| leaving.gone || !stay.contains(id));
        let mut gone = Vec::with_capacity(state.leaving.len());
        for (id, leaving) in &mut state.leaving {
            leaving.gone = true;
            gone.push(leaving.definition(*id));
        }
        gone.sort_unstable_by_key(|d| d.id);
        gone
    }

    /// Forgets those of the gone that nobody needs.
    pub(super) fn clear_gone(&self, needed: impl Fn(SeriesId) -> bool) {
        let mut state = self.0.lock();
        state.leaving.retain(|id, l| !l.gone || needed(*id));
    }

    /// Whether a series is leaving or gone.
    pub(super) fn is_any_leaving(&self) -> bool {
        !self.0.lock().leaving.is_empty()
    }

    /// The series that are gone.
    pub(super) fn gone(&self) -> FxHashSet<SeriesId> {
        let state = self.0.lock();
        let gone = state.leaving.iter().filter(|(_, leaving)| leaving.gone);
        gone.map(|(id, _)| *id).collect()
    }

    /// Forgets what is leaving of a table that was dropped.
    pub(super) fn drop_table(&self, table: TableId) {
        self.0.lock().leaving.retain(|_, l| l.table != table);
    }

    /// Leaves out the series that are gone.
    pub(super) fn without_gone(&self, ids: &mut Vec<SeriesId>) {
        let state = self.0.lock();
        if !state.leaving.is_empty() {
            ids.retain(|id| state.leaving.get(id).is_none_or(|leaving| !leaving.gone));
        }
    }

    /// The key of a series that is leaving or gone.
    pub(super) fn key(&self, table: TableId, id: SeriesId) -> Option<SeriesKey> {
        let state = self.0.lock();
        let leaving = state.leaving.get(&id).filter(|l| l.table == table);
        leaving.map(|l| l.key.clone())
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        self.0.lock().held.len()
    }
}

impl Leaving {
    fn definition(&self, id: SeriesId) -> SeriesDefinition {
        SeriesDefinition {
            table: self.table,
            id,
            key: self.key.clone(),
        }
    }
}

/// Tells when everything that was under way at one moment has ended: batches being staged, and
/// snapshots being read. Each holds a pin as long as it lasts.
#[derive(Debug)]
pub(crate) struct Pins {
    now: ArcSwap<()>,
    past: Mutex<Vec<Weak<()>>>,
}

/// Held by what is under way.
pub(crate) type Pin = Arc<()>;

impl Default for Pins {
    fn default() -> Self {
        Self {
            now: ArcSwap::from_pointee(()),
            past: Mutex::default(),
        }
    }
}

impl Pins {
    /// A pin of now.
    #[inline]
    pub(crate) fn pin(&self) -> Pin {
        self.now.load_full()
    }

    /// What is under way now is of the past from here on.
    pub(crate) fn advance(&self) {
        let before = self.now.swap(Arc::new(()));
        self.past.lock().push(Arc::downgrade(&before));
    }

    /// Whether everything of the past has ended.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut past = self.past.lock();
        past.retain(|pin| pin.strong_count() > 0);
        // What was done under the last pin is seen by who comes behind this.
        fence(Ordering::Acquire);
        past.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(id: u64) -> SeriesDefinition {
        SeriesDefinition {
            table: TableId(1),
            id: SeriesId(id),
            key: SeriesKey::new([("host", id.to_string())]).unwrap(),
        }
    }

    #[test]
    fn what_is_held_does_not_leave_and_what_is_asked_for_comes_back() {
        let holders = Arc::new(Holders::default());
        let held = holders.hold(SeriesId(1)).unwrap();
        let other = holders.hold(SeriesId(1)).unwrap();
        drop(other);
        drop(holders.hold(SeriesId(2)).unwrap());
        assert_eq!(holders.held(), 1);
        holders.let_leave((1..6).map(definition).collect());
        assert_eq!(holders.leaving().len(), 4);
        let back = holders.hold(SeriesId(3)).unwrap();
        let stay = [SeriesId(4)].into_iter().collect();
        let gone: Vec<u64> = holders.finish(&stay).iter().map(|d| d.id.0).collect();
        assert_eq!(gone, [2, 5]);
        assert!(holders.hold(SeriesId(2)).is_none());
        assert!(holders.hold(SeriesId(4)).is_some());
        let key = holders.key(TableId(1), SeriesId(5));
        assert_eq!(key, Some(definition(5).key));
        holders.clear_gone(|id| id == SeriesId(2));
        assert!(holders.key(TableId(1), SeriesId(2)).is_some());
        assert!(holders.key(TableId(1), SeriesId(5)).is_none());
        drop((held, back));
        assert_eq!(holders.held(), 0);
    }

    #[test]
    fn it_is_quiet_once_the_last_pin_of_the_past_is_gone() {
        let pins = Pins::default();
        let first = pins.pin();
        pins.advance();
        let second = pins.pin();
        assert!(!pins.is_quiet());
        drop(first);
        assert!(pins.is_quiet(), "the second is of now");
        pins.advance();
        assert!(!pins.is_quiet());
        drop(second);
        assert!(pins.is_quiet());
    }
}
