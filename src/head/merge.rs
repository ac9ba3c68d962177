//! Putting small chunks together, without holding up who commits.
//!
//! A [`Merge`] is planned and its outcome taken in under the commit lock; the copying in between
//! needs no lock: chunks never change. If the chunks are gone by then (flushed, or their table
//! dropped), the outcome is dropped.

use std::sync::Arc;

use tidestone_format::{Lsn, TableId};

use super::{Chunk, Head, OPEN_ROWS, OWN_CHUNK_ROWS, TableHead};
use crate::rows::Rows;

/// New chunks of a table at which small ones are looked for.
const LOOK_AFTER: usize = 16;
/// Rows of a chunk that is large enough.
const CHUNK_ROWS: usize = 65_536;
/// Bytes of a chunk that is large enough.
const CHUNK_BYTES: usize = 8 << 20;
/// A chunk of at most this many rows joins whatever the ones behind it come to.
const TINY_ROWS: usize = 256;

/// Neighbours that are to become one chunk.
#[derive(Debug)]
pub(crate) struct Merge {
    table: TableId,
    chunks: Vec<Arc<Chunk>>,
}

/// What became of a [`Merge`].
#[derive(Debug)]
pub(crate) struct Merged {
    merge: Merge,
    chunk: Arc<Chunk>,
}

impl Merge {
    /// Copies the chunks into one. Needs no lock.
    pub(crate) fn run(self) -> Option<Merged> {
        let chunk = Arc::new(Chunk::concatenate(&self.chunks)?);
        Some(Merged { merge: self, chunk })
    }
}

impl Head {
    /// Whether some table has chunks that might be put together.
    pub(crate) fn wants_merge(&self) -> bool {
        !self.merge_wanted.is_empty()
    }

    /// Small neighbours to put together, all of them written to the log (up to `written`): until
    /// then the log shares their memory, and it could not be used again.
    pub(crate) fn plan_merge(&mut self, written: Lsn) -> Option<Merge> {
        while let Some(table) = self.merge_wanted.pop() {
            let Some(head) = self.tables.get_mut(&table) else {
                continue;
            };
            head.added = 0;
            let chunks = head.small_neighbours(self.fence, written);
            if chunks.len() > 1 {
                return Some(Merge { table, chunks });
            }
        }
        None
    }

    /// Puts the outcome of a merge in the place of its chunks, if they are all still there.
    /// Returns these, for [`emptied`] outside the lock.
    pub(crate) fn take_in(&mut self, merged: Merged) -> Option<(TableId, Vec<Arc<Chunk>>)> {
        let Merged { merge, chunk } = merged;
        let head = self.tables.get_mut(&merge.table)?;
        let first = merge.chunks.first()?;
        let at = head.chunks.iter().position(|c| Arc::ptr_eq(c, first))?;
        let there = head.chunks.get(at..at + merge.chunks.len())?;
        if !there
            .iter()
            .zip(&merge.chunks)
            .all(|(a, b)| Arc::ptr_eq(a, b))
        {
            return None;
        }
        head.chunks.splice(at..at + merge.chunks.len(), [chunk]);
        Some((merge.table, merge.chunks))
    }

    /// Puts small chunks together at once: for who has the head alone.
    pub(crate) fn merge_small(&mut self, written: Lsn) {
        while let Some(merge) = self.plan_merge(written) {
            if let Some(merged) = merge.run() {
                self.take_in(merged);
            }
        }
    }

    /// Keeps emptied buffers for the writers of a table.
    pub(crate) fn keep_spare(&mut self, table: TableId, emptied: Vec<Rows>) {
        emptied
            .into_iter()
            .for_each(|rows| self.spare.put(table, rows));
    }

    /// Notes that a table has one chunk more.
    pub(super) fn note_added(&mut self, table: TableId) {
        if let Some(head) = self.tables.get_mut(&table) {
            head.added += 1;
            if head.added == LOOK_AFTER {
                self.merge_wanted.push(table);
            }
        }
    }
}

/// The memory of chunks that nobody reads any more, emptied. Only what is as large as the batches
/// that writers stage: more would be wasted on them.
pub(crate) fn emptied(chunks: Vec<Arc<Chunk>>) -> Vec<Rows> {
    let rows = chunks.into_iter().filter_map(Arc::into_inner);
    let rows = rows.filter_map(Chunk::into_memory);
    let mut rows: Vec<Rows> = rows
        .filter(|rows| (OWN_CHUNK_ROWS..=2 * OPEN_ROWS).contains(&rows.times.capacity()))
        .collect();
    rows.iter_mut().for_each(Rows::clear);
    rows
}

impl TableHead {
    /// The newest neighbours of which each is no larger than twice what comes behind it, so that
    /// a row is copied a few times at most, however many batches follow.
    fn small_neighbours(&self, fence: Lsn, written: Lsn) -> Vec<Arc<Chunk>> {
        let written = self.chunks.partition_point(|c| c.last_lsn() <= written);
        let mut picked: Vec<Arc<Chunk>> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        for chunk in self.chunks[..written].iter().rev() {
            let fits = rows + chunk.len() <= CHUNK_ROWS && bytes + chunk.memory() <= CHUNK_BYTES;
            let small = picked.is_empty() || chunk.len() <= TINY_ROWS.max(2 * rows);
            let apart = picked.last().is_some_and(|next| self.is_cut(chunk, next));
            if !fits || !small || apart || chunk.first_lsn() <= fence {
                break;
            }
            rows += chunk.len();
            bytes += chunk.memory();
            picked.push(chunk.clone());
        }
        picked.reverse();
        picked
    }

    /// Whether a delete lies between two neighbours.
    fn is_cut(&self, before: &Chunk, after: &Chunk) -> bool {
        let between = before.last_lsn()..=after.first_lsn();
        self.tombstones.iter().any(|(lsn, _)| between.contains(lsn))
    }
}
