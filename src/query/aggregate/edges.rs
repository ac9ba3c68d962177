//! First and last values of slots.

use tidestone_format::{SeriesId, Timestamp};

use super::fold::Wants;
use super::slots::Span;

/// First and last values.
#[derive(Debug)]
pub(super) struct Edges<T> {
    pub(super) wants: Wants,
    pub(super) first: Vec<Edge<T>>,
    pub(super) last: Vec<Edge<T>>,
}

/// A first or last value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edge<T> {
    pub(super) at: (Timestamp, SeriesId),
    pub(super) value: T,
}

/// Before and after every row there can be.
const BEFORE: (Timestamp, SeriesId) = (i64::MIN, SeriesId(0));
const AFTER: (Timestamp, SeriesId) = (i64::MAX, SeriesId(u64::MAX));

impl<T: Clone + Default> Edges<T> {
    pub(super) fn new(wants: Wants) -> Self {
        Self {
            wants,
            first: Vec::new(),
            last: Vec::new(),
        }
    }

    pub(super) fn grow(&mut self, slots: usize) {
        let none = |at| Edge {
            at,
            value: T::default(),
        };
        if self.wants.first {
            self.first.resize(slots, none(AFTER));
        }
        if self.wants.last {
            self.last.resize(slots, none(BEFORE));
        }
    }

    /// Forgets all slots and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.first.clear();
        self.last.clear();
    }

    pub(super) fn any(&self) -> bool {
        self.wants.first || self.wants.last
    }

    /// Of equal places, the one that comes first counts.
    #[inline]
    pub(super) fn first(
        &mut self,
        slot: usize,
        at: (Timestamp, SeriesId),
        value: impl FnOnce() -> T,
    ) {
        let known = &mut self.first[slot];
        if at < known.at {
            let value = value();
            *known = Edge { at, value };
        }
    }

    /// Of equal places, the one that comes last counts.
    #[inline]
    pub(super) fn last(
        &mut self,
        slot: usize,
        at: (Timestamp, SeriesId),
        value: impl FnOnce() -> T,
    ) {
        let known = &mut self.last[slot];
        if at >= known.at {
            let value = value();
            *known = Edge { at, value };
        }
    }

    /// Takes in the values of another unit, whose slots are where `spans` say.
    pub(super) fn combine(&mut self, spans: &[Span], other: &Self) {
        for span in spans {
            let (from, to) = (span.from..span.from + span.len, span.to..);
            if self.wants.first {
                for (edge, slot) in other.first[from.clone()].iter().zip(to.clone()) {
                    self.first(slot, edge.at, || edge.value.clone());
                }
            }
            if self.wants.last {
                for (edge, slot) in other.last[from].iter().zip(to) {
                    self.last(slot, edge.at, || edge.value.clone());
                }
            }
        }
    }
}
