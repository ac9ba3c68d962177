//! Recent rows in memory: everything committed and not yet in a segment.
//!
//! Each table has an *open* buffer, which takes the rows of commits in the order of their LSNs, and
//! *chunks*, which were open buffers once and never change again. A chunk is sorted when
//! somebody first needs it, so that commits only copy.
//!
//! # Invariants
//! 1. The LSN ranges of a table's chunks are disjoint and ascending; the open buffer's is above.
//! 2. No tombstone's LSN lies inside the LSN range of a chunk: it hides a chunk's rows (those in
//!    its range and series) if its LSN is above the chunk's last, and otherwise none of them.
//! 3. No chunk holds both rows that a flush has taken and rows that came after.
//! 4. A sorted chunk is a run: sorted by (series, time), duplicates resolved by the table's policy.
//!
//! All calls are made under the engine's commit lock, so that a snapshot is a prefix of the log.

mod chunk;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tidestone_format::log::Tombstone;
use tidestone_format::schema::DuplicatePolicy;
use tidestone_format::{Lsn, TableId};

pub(crate) use chunk::Chunk;

use crate::rows::Rows;

/// Rows at which the open buffer becomes a chunk.
const CHUNK_ROWS: usize = 65_536;
/// Bytes at which the open buffer becomes a chunk.
const CHUNK_BYTES: usize = 8 << 20;
/// Batches of at least this many rows become a chunk of their own and are not copied.
const OWN_CHUNK_ROWS: usize = 16_384;
/// Chunks of at most this many rows are merged with their neighbours.
const SMALL_CHUNK_ROWS: usize = 8_192;

/// The heads of all tables.
#[derive(Debug, Default)]
pub(crate) struct Head {
    tables: FxHashMap<TableId, TableHead>,
    /// A flush has taken everything up to here: no chunk reaches across.
    fence: Lsn,
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
    tombstones: Vec<(Lsn, Arc<Tombstone>)>,
}

impl Head {
    /// Adds the rows of one batch. Rows of a large batch are taken, those of a small one copied
    /// and left where they are, so that the caller can use the memory again.
    pub(crate) fn append(
        &mut self,
        table: TableId,
        policy: DuplicatePolicy,
        lsn: Lsn,
        rows: &mut Rows,
    ) {
        let fence = self.fence;
        let head = self.table(table, policy);
        if rows.len() >= OWN_CHUNK_ROWS {
            head.seal(fence);
            head.chunks.push(Arc::new(Chunk::new(
                std::mem::take(rows),
                policy,
                (lsn, lsn),
            )));
            return;
        }
        head.open.append(rows);
        let first = head.open_lsns.map_or(lsn, |(first, _)| first);
        head.open_lsns = Some((first, lsn));
        if head.open.len() >= CHUNK_ROWS
            || (head.open.len().is_multiple_of(1024) && head.open.memory() >= CHUNK_BYTES)
        {
            head.seal(fence);
        }
    }

    /// Adds a delete.
    pub(crate) fn delete(
        &mut self,
        table: TableId,
        policy: DuplicatePolicy,
        lsn: Lsn,
        tombstone: Tombstone,
    ) {
        let fence = self.fence;
        let head = self.table(table, policy);
        head.seal(fence);
        head.tombstones.push((lsn, Arc::new(tombstone)));
    }

    /// The table's rows and deletes as of now.
    pub(crate) fn view(&mut self, table: TableId) -> HeadView {
        let Some(head) = self.tables.get_mut(&table) else {
            return HeadView::default();
        };
        head.seal(self.fence);
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
    }

    /// Memory of all rows, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.tables
            .values()
            .map(|h| h.open.memory() + h.chunks.iter().map(|c| c.memory()).sum::<usize>())
            .sum()
    }

    fn table(&mut self, table: TableId, policy: DuplicatePolicy) -> &mut TableHead {
        self.tables.entry(table).or_insert_with(|| TableHead {
            policy,
            open: Rows::default(),
            open_lsns: None,
            chunks: Vec::new(),
            tombstones: Vec::new(),
        })
    }
}

impl TableHead {
    /// Makes a chunk of the open buffer, and one of small neighbours.
    fn seal(&mut self, fence: Lsn) {
        let Some(lsns) = self.open_lsns.take() else {
            return;
        };
        let rows = std::mem::take(&mut self.open);
        self.chunks
            .push(Arc::new(Chunk::new(rows, self.policy, lsns)));
        while let [.., before, last] = &self.chunks[..] {
            let small = last.len() <= SMALL_CHUNK_ROWS && before.len() <= 2 * last.len();
            let fenced = before.first_lsn() <= fence && fence < last.last_lsn();
            let between = before.last_lsn()..=last.first_lsn();
            if !small || fenced || self.tombstones.iter().any(|(lsn, _)| between.contains(lsn)) {
                break;
            }
            let merged = Arc::new(Chunk::merge(before, last, self.policy));
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(merged);
        }
    }
}
