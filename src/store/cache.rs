//! What segments keep in memory, of the whole engine, within a share of the memory budget.
//!
//! There are two caches. One has the segments that are open: their maps and roots, at most so many of
//! them and so many bytes of roots. The other has what was decoded of their pages: series and group
//! pages, statistics, dictionaries; and the blocks, as they are in the file, of segments that are not mapped.
//!
//! # Invariants
//! 1. Neither holds more bytes than its share. What is in use is kept alive by whoever uses it; what
//!    is larger than a share (of one shard) is used and not kept. Of blocks that is half a shard: those of
//!    several columns are used in turns. Who goes on in a block may hold it besides ([`HeldBlock`]).
//! 2. Parts are known by the number of their [`Segment`](super::Segment), which is never used for
//!    another one: a segment that is closed and opened again finds its parts, and nobody else's.
//! 3. The map of a segment goes with the segment, and so do the parts of one that is removed: nobody
//!    asks for them again. Where its map had to give way before, they stay until others need their
//!    place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use rustc_hash::FxBuildHasher;
use tidestone_format::FieldId;
use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::stats::ColumnStats;
use tidestone_format::segment::{GroupPage, SeriesPage};

use super::OpenSegment;
use crate::config::SegmentMemory;
use crate::error::{Error, ErrorKind, Result};

/// Memory of an entry besides the part itself: key, slot, place in the table, counts of the `Arc`.
const ENTRY_BYTES: usize = 128;
/// Bytes of a usual part: only the first size of tables follows from it.
const USUAL_PART: usize = 4 << 10;
/// Locks of the cache of parts. Few, so that a large dictionary fits one's share; they are only read
/// where the part is there.
const SHARDS: usize = 4;

/// The caches.
#[derive(Debug)]
pub(crate) struct SegmentCache {
    opened: Cache<u64, Arc<OpenSegment>, OpenWeight, FxBuildHasher>,
    parts: Cache<PartKey, Part, PartWeight, FxBuildHasher>,
    /// Bytes of the largest block that is kept.
    largest_block: usize,
    /// Bytes of blocks that may be held besides, by each who reads.
    held: usize,
    next: AtomicU64,
}

/// Which part of which segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PartKey {
    pub(super) segment: u64,
    pub(super) kind: PartKind,
    /// Of a page: its number; of statistics: the row group.
    pub(super) number: usize,
    pub(super) field: FieldId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PartKind {
    Series,
    Group,
    Stats,
    Dictionary,
    Block,
}

/// What was decoded, or read.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Series(Arc<SeriesPage>),
    Group(Arc<GroupPage>),
    Stats(Arc<ColumnStats>),
    Dictionary(Arc<Dictionary>),
    Block(Arc<[u8]>),
}

/// How many of the blocks that somebody reads columns side by side of are held, one a column.
#[derive(Debug, Clone)]
pub(crate) enum Holding {
    /// Up to a part of the budget: by one thread of a query. What it holds is counted here.
    UpToShare(Arc<AtomicUsize>),
    /// All: by a merge, which takes no more columns at a time than it has memory for. Nobody needs them again,
    /// and they are not kept for it.
    All,
}

impl Default for Holding {
    fn default() -> Self {
        Self::UpToShare(Arc::default())
    }
}

/// The block that was read last of a column, held by who reads one vector of the column after another: so
/// it is not read again where others have taken its place in the cache. None of a segment that is mapped.
#[derive(Debug, Default)]
pub(crate) struct HeldBlock {
    block: Option<(PartKey, Arc<[u8]>)>,
    holding: Holding,
}

impl HeldBlock {
    /// None yet; it will count among what is held.
    pub(crate) fn new(holding: &Holding) -> Self {
        let (block, holding) = (None, holding.clone());
        Self { block, holding }
    }

    /// Whether there is one.
    pub(crate) fn is_held(&self) -> bool {
        self.block.is_some()
    }

    /// The bytes of this block, if it is the one; another one is let go of.
    pub(super) fn of(&mut self, key: &PartKey) -> Option<Arc<[u8]>> {
        match &self.block {
            Some((of, bytes)) if of == key => Some(bytes.clone()),
            _ => {
                self.let_go();
                None
            }
        }
    }

    /// Holds a block, if there are no more than `most` bytes with it.
    fn hold(&mut self, key: PartKey, bytes: Arc<[u8]>, most: usize) {
        self.let_go();
        if let Holding::UpToShare(held) = &self.holding {
            if held.load(Ordering::Relaxed).saturating_add(bytes.len()) > most {
                return;
            }
            held.fetch_add(bytes.len(), Ordering::Relaxed);
        }
        self.block = Some((key, bytes));
    }

    fn let_go(&mut self) {
        if let (Some((_, bytes)), Holding::UpToShare(held)) = (self.block.take(), &self.holding) {
            held.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
    }
}

impl Drop for HeldBlock {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Part {
    fn memory(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Series(page) => page.memory(),
                Self::Group(page) => page.memory(),
                Self::Stats(stats) => stats.memory(),
                Self::Dictionary(dictionary) => dictionary.memory(),
                Self::Block(bytes) => bytes.len(),
            }
    }
}

#[derive(Debug, Clone)]
struct PartWeight;

impl Weighter<PartKey, Part> for PartWeight {
    fn weight(&self, _: &PartKey, part: &Part) -> u64 {
        part.memory() as u64
    }
}

/// Bytes, but at least so many that no more segments are open than may be.
#[derive(Debug, Clone)]
struct OpenWeight {
    least: u64,
}

impl Weighter<u64, Arc<OpenSegment>> for OpenWeight {
    fn weight(&self, _: &u64, open: &Arc<OpenSegment>) -> u64 {
        self.least.max((ENTRY_BYTES + open.memory()) as u64)
    }
}

impl SegmentCache {
    pub(crate) fn new(memory: SegmentMemory) -> Result<Self> {
        let least = (memory.roots / memory.open_segments).max(1) as u64;
        let opened = options(memory.open_segments, memory.roots, 1)?;
        let parts = options(memory.parts / USUAL_PART, memory.parts, SHARDS)?;
        let hasher = FxBuildHasher;
        Ok(Self {
            opened: Cache::with_options(
                opened,
                OpenWeight { least },
                hasher,
                DefaultLifecycle::default(),
            ),
            parts: Cache::with_options(parts, PartWeight, hasher, DefaultLifecycle::default()),
            largest_block: memory.parts / SHARDS / 2,
            held: memory.held,
            next: AtomicU64::new(0),
        })
    }

    /// A number for a segment, used for no other.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn opened(&self, segment: u64) -> Option<Arc<OpenSegment>> {
        self.opened.get(&segment)
    }

    pub(super) fn keep_open(&self, segment: u64, open: Arc<OpenSegment>) {
        self.opened.insert(segment, open);
    }

    /// Lets go of a segment that is open; whoever uses it keeps it.
    pub(super) fn close(&self, segment: u64) -> Option<Arc<OpenSegment>> {
        self.opened.remove(&segment).map(|(_, open)| open)
    }

    pub(super) fn part(&self, key: &PartKey) -> Option<Part> {
        self.parts.get(key)
    }

    pub(super) fn keep(&self, key: PartKey, part: Part) {
        self.parts.insert(key, part);
    }

    /// Keeps a block that was read, unless it is too large or nobody needs it again.
    pub(super) fn keep_block(&self, key: PartKey, bytes: &Arc<[u8]>, held: &HeldBlock) {
        let is_needed_again = !matches!(held.holding, Holding::All);
        if is_needed_again && bytes.len() <= self.largest_block {
            self.keep(key, Part::Block(bytes.clone()));
        }
    }

    /// Has a block held by who goes on in it. One of strings that is too large to be kept is held in any
    /// case: each of its vectors is needed before the next of another column.
    pub(super) fn hold(
        &self,
        key: PartKey,
        bytes: &Arc<[u8]>,
        is_text: bool,
        held: &mut HeldBlock,
    ) {
        let most = match is_text && bytes.len() > self.largest_block {
            true => usize::MAX,
            false => self.held,
        };
        held.hold(key, bytes.clone(), most);
    }

    pub(super) fn forget(&self, key: &PartKey) {
        self.parts.remove(key);
    }

    /// Segments that are open without being used, and bytes of parts.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        let bytes = usize::try_from(self.parts.weight()).unwrap_or(usize::MAX);
        (self.opened.len(), bytes)
    }
}

fn options(items: usize, bytes: usize, shards: usize) -> Result<quick_cache::Options> {
    OptionsBuilder::new()
        .estimated_items_capacity(items)
        .weight_capacity(bytes as u64)
        .shards(shards)
        .build()
        .map_err(|e| Error::new(ErrorKind::Invalid, format!("the cache of segments: {e}")))
}
