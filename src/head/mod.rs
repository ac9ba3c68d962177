//! Recent rows in memory: everything committed and not yet in a segment.
//!
//! Each table has an *open* buffer, into which the rows of small batches are copied in the order of
//! their LSNs, and *chunks*, which never change: open buffers that were full, and the rows of
//! large batches, which are shared with the log and not copied. A chunk is sorted when somebody
//! first needs it. Small neighbours are put together by a thread of its own ([`merge`]), which
//! holds no lock while it copies, and whose emptied buffers go back to the writers ([`spare`]): so
//! that a commit neither copies much nor touches memory fresh from the system.
//!
//! # Invariants
//! 1. The LSN ranges of a table's chunks are disjoint and ascending; the open buffer's is above.
//! 2. No tombstone's LSN lies inside the LSN range of a chunk: it hides a chunk's rows (those in
//!    its range and series) if its LSN is above the chunk's last, and otherwise none of them.
//! 3. No chunk holds both rows that a flush has taken and rows that came after.
//! 4. A sorted chunk is a run: sorted by (series, time), duplicates resolved by the table's policy.
//! 5. Chunks that were put together hide nothing and show nothing new: a view before and a view
//!    after hold the same rows.
//!
//! All calls are made under the engine's commit lock, so that a snapshot is a prefix of the log;
//! but for [`merge::Merge::run`], which needs none.

mod chunk;
mod merge;
mod spare;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tidestone_format::log::Tombstone;
use tidestone_format::schema::DuplicatePolicy;
use tidestone_format::{Lsn, TableId};

pub(crate) use chunk::Chunk;
pub(crate) use merge::emptied;
use spare::Spare;

use crate::rows::Rows;

/// Rows at which the open buffer becomes a chunk.
const OPEN_ROWS: usize = 4_096;
/// Bytes at which the open buffer becomes a chunk.
const OPEN_BYTES: usize = 1 << 20;
/// Batches of fewer rows are copied into the open buffer.
const OWN_CHUNK_ROWS: usize = 64;

/// The heads of all tables.
#[derive(Debug, Default)]
pub(crate) struct Head {
    tables: FxHashMap<TableId, TableHead>,
    /// A flush has taken everything up to here: no chunk reaches across.
    fence: Lsn,
    spare: Spare,
    /// Tables with enough new chunks for some to be put together.
    merge_wanted: Vec<TableId>,
}

/// What a reader or a flush sees of one table's head.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeadView {
    /// Oldest first.
    pub(crate) chunks: Vec<Arc<Chunk>>,
    /// Deletes that are not in the manifest yet, by LSN.
    pub(crate) tombstones: Vec<(Lsn, Arc<Tombstone>)>,
}

#[derive(Debug)]
struct TableHead {
    policy: DuplicatePolicy,
    open: Rows,
    open_lsns: Option<(Lsn, Lsn)>,
    chunks: Vec<Arc<Chunk>>,
    /// Chunks added since small ones were last looked for.
    added: usize,
    tombstones: Vec<(Lsn, Arc<Tombstone>)>,
}

impl Head {
    /// A head that keeps at most `spare_bytes` of emptied buffers for writers.
    pub(crate) fn new(spare_bytes: usize) -> Self {
        Self {
            spare: Spare::new(spare_bytes),
            ..Self::default()
        }
    }

    /// Adds the rows of one batch by copying them.
    pub(crate) fn copy(&mut self, table: TableId, policy: DuplicatePolicy, lsn: Lsn, rows: &Rows) {
        let head = self.table(table, policy);
        let before = head.open.len();
        head.open.append(rows);
        let first = head.open_lsns.map_or(lsn, |(first, _)| first);
        head.open_lsns = Some((first, lsn));
        let len = head.open.len();
        if len >= OPEN_ROWS || (before / 64 != len / 64 && head.open.memory() >= OPEN_BYTES) {
            self.seal(table);
        }
    }

    /// Adds the rows of one batch, which are shared; those of a small one are copied.
    pub(crate) fn share(
        &mut self,
        table: TableId,
        policy: DuplicatePolicy,
        lsn: Lsn,
        rows: &Arc<Rows>,
    ) {
        if rows.len() < OWN_CHUNK_ROWS {
            return self.copy(table, policy, lsn, rows);
        }
        self.seal(table);
        let chunk = Chunk::new(rows.clone(), policy, (lsn, lsn));
        self.table(table, policy).chunks.push(Arc::new(chunk));
        self.note_added(table);
    }

    /// Emptied rows of a table, for a writer to fill.
    pub(crate) fn spare(&mut self, table: TableId) -> Option<Rows> {
        self.spare.take(table)
    }

    /// Adds a delete.
    pub(crate) fn delete(
        &mut self,
        table: TableId,
        policy: DuplicatePolicy,
        lsn: Lsn,
        tombstone: Tombstone,
    ) {
        self.seal(table);
        let head = self.table(table, policy);
        head.tombstones.push((lsn, Arc::new(tombstone)));
    }

    /// The table's rows and deletes as of now.
    pub(crate) fn view(&mut self, table: TableId) -> HeadView {
        self.seal(table);
        let Some(head) = self.tables.get(&table) else {
            return HeadView::default();
        };
        HeadView {
            chunks: head.chunks.clone(),
            tombstones: head.tombstones.clone(),
        }
    }

    /// Everything up to `upto`, by table, for a flush. What comes later stays apart from it.
    pub(crate) fn take_for_flush(&mut self, upto: Lsn) -> Vec<(TableId, HeadView)> {
        let views = self.tables().into_iter().map(|t| (t, self.view(t)));
        let views = views.collect();
        self.fence = self.fence.max(upto);
        views
    }

    /// The tables that have rows or deletes.
    pub(crate) fn tables(&self) -> Vec<TableId> {
        let mut tables: Vec<TableId> = self.tables.keys().copied().collect();
        tables.sort_unstable();
        tables
    }

    /// Forgets everything at or below `flushed`: it is in segments and manifest now.
    pub(crate) fn forget(&mut self, flushed: Lsn) {
        for head in self.tables.values_mut() {
            head.chunks.retain(|c| c.last_lsn() > flushed);
            head.tombstones.retain(|(lsn, _)| *lsn > flushed);
        }
        self.tables.retain(|_, h| {
            !h.chunks.is_empty() || !h.tombstones.is_empty() || h.open_lsns.is_some()
        });
    }

    /// Forgets a table.
    pub(crate) fn drop_table(&mut self, table: TableId) {
        self.tables.remove(&table);
        self.spare.drop_table(table);
    }

    /// Rows of a table, as they were written: duplicates count each time.
    pub(crate) fn rows(&self, table: TableId) -> usize {
        self.tables.get(&table).map_or(0, |head| {
            head.open.len() + head.chunks.iter().map(|c| c.len()).sum::<usize>()
        })
    }

    /// Memory of all rows, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.tables
            .values()
            .map(|h| h.open.memory() + h.chunks.iter().map(|c| c.memory()).sum::<usize>())
            .sum()
    }

    /// Bytes of the strings of all rows.
    pub(crate) fn text(&self) -> usize {
        self.tables
            .values()
            .map(|h| h.open.text() + h.chunks.iter().map(|c| c.text()).sum::<usize>())
            .sum()
    }

    fn table(&mut self, table: TableId, policy: DuplicatePolicy) -> &mut TableHead {
        self.tables.entry(table).or_insert_with(|| TableHead {
            policy,
            open: Rows::default(),
            open_lsns: None,
            chunks: Vec::new(),
            added: 0,
            tombstones: Vec::new(),
        })
    }

    /// Makes a chunk of a table's open buffer. A buffer that is full goes with its memory; of
    /// another one the rows are copied, and it is filled from the start.
    fn seal(&mut self, table: TableId) {
        let Some(head) = self.tables.get_mut(&table) else {
            return;
        };
        let Some(lsns) = head.open_lsns.take() else {
            return;
        };
        let rows = match head.open.len() >= OPEN_ROWS / 2 {
            true => {
                let next = self.spare.take(table).unwrap_or_default();
                std::mem::replace(&mut head.open, next)
            }
            false => {
                let rows = head.open.slice(0, head.open.len());
                head.open.clear();
                rows
            }
        };
        let chunk = Chunk::new(Arc::new(rows), head.policy, lsns);
        head.chunks.push(Arc::new(chunk));
        self.note_added(table);
    }
}
