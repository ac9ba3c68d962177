//! Rows of the head that no longer change.

use std::sync::Arc;

use parking_lot::Mutex;
use tidestone_format::schema::DuplicatePolicy;
use tidestone_format::{Lsn, TimeRange};

use crate::rows::{self, Rows};

/// Rows that were committed with LSNs of one range. Sorted when first read.
#[derive(Debug)]
pub(crate) struct Chunk {
    first: Lsn,
    last: Lsn,
    rows: usize,
    /// Rows that were committed, those that duplicates hide too.
    committed: usize,
    memory: usize,
    text: usize,
    time_range: TimeRange,
    policy: DuplicatePolicy,
    content: Mutex<Content>,
}

#[derive(Debug)]
enum Content {
    /// In the order of their LSNs.
    Written(Arc<Rows>),
    Sorted(Arc<Rows>),
}

impl Chunk {
    /// A chunk of rows in the order they were written. There is at least one.
    pub(super) fn new(rows: Arc<Rows>, policy: DuplicatePolicy, (first, last): (Lsn, Lsn)) -> Self {
        Self {
            first,
            last,
            rows: rows.len(),
            committed: rows.len(),
            memory: rows.memory(),
            text: rows.text(),
            time_range: rows.time_range().unwrap_or(TimeRange::ALL),
            policy,
            content: Mutex::new(Content::Written(rows)),
        }
    }

    /// One chunk with the rows of neighbours, oldest first. They are put one behind the other and
    /// not sorted: that is done once, when somebody reads them.
    pub(super) fn concatenate(chunks: &[Arc<Chunk>]) -> Option<Self> {
        let (first, last) = (chunks.first()?, chunks.last()?);
        let contents: Vec<Arc<Rows>> = chunks.iter().map(|c| c.content()).collect();
        let contents: Vec<&Rows> = contents.iter().map(|rows| &**rows).collect();
        let rows = Arc::new(rows::concatenate(&contents));
        let chunk = Self::new(rows, first.policy, (first.first, last.last));
        Some(Self {
            committed: chunks.iter().map(|c| c.committed).sum(),
            ..chunk
        })
    }

    /// The rows as a run. The first caller sorts; others wait for it.
    pub(crate) fn sorted(&self) -> Arc<Rows> {
        let mut content = self.content.lock();
        match &*content {
            Content::Sorted(rows) => rows.clone(),
            Content::Written(rows) => {
                let sorted = rows::sort(rows, self.policy);
                *content = Content::Sorted(sorted.clone());
                sorted
            }
        }
    }

    /// The rows as they are. Those of neighbours, one behind the other, give the same run when
    /// sorted as the rows that were written: sorting keeps the order within a key, and resolving
    /// some duplicates earlier than others changes nothing.
    fn content(&self) -> Arc<Rows> {
        match &*self.content.lock() {
            Content::Written(rows) | Content::Sorted(rows) => rows.clone(),
        }
    }

    /// The memory of the rows, if nobody else has them.
    pub(super) fn into_memory(self) -> Option<Rows> {
        match self.content.into_inner() {
            Content::Written(rows) | Content::Sorted(rows) => Arc::try_unwrap(rows).ok(),
        }
    }

    pub(crate) fn first_lsn(&self) -> Lsn {
        self.first
    }

    /// Bytes of all strings together, duplicates each time.
    pub(crate) fn text(&self) -> usize {
        self.text
    }

    pub(crate) fn last_lsn(&self) -> Lsn {
        self.last
    }

    /// Rows that were committed to it; [`Chunk::sorted`] may have fewer, of duplicates.
    pub(crate) fn committed(&self) -> usize {
        self.committed
    }

    /// Rows written; after sorting there may be fewer.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// A range that holds all timestamps.
    pub(crate) fn time_range(&self) -> TimeRange {
        self.time_range
    }
}
