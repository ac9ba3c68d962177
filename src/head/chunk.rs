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
    memory: usize,
    time_range: TimeRange,
    policy: DuplicatePolicy,
    content: Mutex<Content>,
}

#[derive(Debug)]
enum Content {
    Written(Rows),
    Sorted(Arc<Rows>),
}

impl Chunk {
    /// A chunk of rows in the order they were written. There is at least one.
    pub(super) fn new(rows: Rows, policy: DuplicatePolicy, (first, last): (Lsn, Lsn)) -> Self {
        Self {
            first,
            last,
            rows: rows.len(),
            memory: rows.memory(),
            time_range: rows.time_range().unwrap_or(TimeRange::ALL),
            policy,
            content: Mutex::new(Content::Written(rows)),
        }
    }

    /// One chunk with the rows of two neighbours.
    pub(super) fn merge(before: &Chunk, after: &Chunk, policy: DuplicatePolicy) -> Self {
        let merged = rows::merge(&[&before.sorted(), &after.sorted()], policy);
        Self {
            first: before.first,
            last: after.last,
            rows: merged.len(),
            memory: merged.memory(),
            time_range: TimeRange {
                start: before.time_range.start.min(after.time_range.start),
                end: before.time_range.end.max(after.time_range.end),
            },
            policy,
            content: Mutex::new(Content::Sorted(Arc::new(merged))),
        }
    }

    /// The rows as a run. The first caller sorts; others wait for it.
    pub(crate) fn sorted(&self) -> Arc<Rows> {
        let mut content = self.content.lock();
        match &mut *content {
            Content::Sorted(rows) => rows.clone(),
            Content::Written(rows) => {
                let sorted = Arc::new(rows::sort(std::mem::take(rows), self.policy));
                *content = Content::Sorted(sorted.clone());
                sorted
            }
        }
    }

    pub(crate) fn first_lsn(&self) -> Lsn {
        self.first
    }

    pub(crate) fn last_lsn(&self) -> Lsn {
        self.last
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
