//! Where the state of each (group, bucket) is.

use rustc_hash::FxHashMap;

use crate::error::{Error, ErrorKind, Result};

/// Entries of tables, at most; keys past that are hashed.
const TABLE_MAX: usize = 1 << 22;

/// Numbers (group, bucket) pairs: in the order they are first met, or where they are in a grid.
#[derive(Debug)]
pub(super) enum Slots {
    Met(Met),
    Grid(Grid),
}

/// Pairs in the order they are first met.
#[derive(Debug)]
pub(super) struct Met {
    /// The pairs of the slots, in order.
    keys: Vec<KeyRun>,
    len: usize,
    /// Buckets a table has: those from `first` on. 0: there are no tables.
    buckets: usize,
    first: i64,
    /// Tables one after another: slot + 1 of each bucket.
    tables: Vec<u32>,
    /// Where the table of a group starts.
    table_of: FxHashMap<u32, usize>,
    hashed: FxHashMap<(u32, i64), u32>,
}

/// Consecutive slots of a group whose buckets follow each other too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyRun {
    group: u32,
    bucket: i64,
    len: usize,
}

/// A slot for each pair of some groups and buckets, by group and bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) groups: usize,
    /// Buckets of each group, from `first` on.
    pub(super) buckets: usize,
    pub(super) first: i64,
}

/// A group, looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupPlace {
    group: u32,
    table: Option<usize>,
}

/// Consecutive slots of one that are consecutive slots of another too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) len: usize,
}

impl Slots {
    /// The number of slots.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Met(met) => met.len,
            Self::Grid(grid) => grid.groups * grid.buckets,
        }
    }

    /// Which slots of this those of `other` are; those that are not there yet are added.
    ///
    /// # Errors
    /// A grid does not have a pair: rows lie outside the times they are said to have.
    pub(super) fn place(&mut self, other: &Met) -> Result<Vec<Span>> {
        let mut spans = Vec::with_capacity(other.keys.len());
        let mut from = 0;
        for run in &other.keys {
            match self {
                Self::Met(met) => met.place(*run, from, &mut spans),
                Self::Grid(grid) => spans.push(grid.place(*run, from)?),
            }
            from += run.len;
        }
        Ok(spans)
    }
}

impl Grid {
    /// A grid of some groups and the buckets from `first` to `last`, if it has a slot and at most `most` of
    /// them. Without a group there would be no slots of however many buckets.
    pub(super) fn new(groups: usize, first: i64, last: i64, most: u64) -> Option<Self> {
        if groups == 0 {
            return None;
        }
        let buckets = usize::try_from(last.abs_diff(first)).ok()?.checked_add(1)?;
        let slots = groups.checked_mul(buckets)?;
        (slots as u64 <= most).then_some(Self {
            groups,
            buckets,
            first,
        })
    }

    fn place(&self, run: KeyRun, from: usize) -> Result<Span> {
        let offset = run.bucket.checked_sub(self.first);
        let offset = offset.and_then(|offset| usize::try_from(offset).ok());
        let inside = |offset: &usize| {
            let end = offset.checked_add(run.len);
            end.is_some_and(|end| end <= self.buckets) && (run.group as usize) < self.groups
        };
        let Some(offset) = offset.filter(inside) else {
            let message = format!(
                "{} buckets from number {} on have rows, and no file or run of rows says it has \
                 any there; run `tidestone verify`",
                run.len, run.bucket
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        };
        Ok(Span {
            from,
            to: run.group as usize * self.buckets + offset,
            len: run.len,
        })
    }
}

impl Met {
    /// No slots; buckets from `first` to `last` are to be expected.
    pub(super) fn new(first: i64, last: i64) -> Self {
        Self {
            keys: Vec::new(),
            len: 0,
            buckets: buckets_of_table(first, last),
            first,
            tables: Vec::new(),
            table_of: FxHashMap::default(),
            hashed: FxHashMap::default(),
        }
    }

    /// As new, in the memory there is.
    pub(super) fn reset(&mut self, first: i64, last: i64) {
        (self.first, self.buckets) = (first, buckets_of_table(first, last));
        self.len = 0;
        self.keys.clear();
        self.tables.clear();
        self.table_of.clear();
        self.hashed.clear();
    }

    /// The number of slots.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The pair of each slot.
    pub(super) fn keys(&self) -> impl Iterator<Item = (u32, i64)> {
        let of_run = |run: &KeyRun| {
            let KeyRun { group, bucket, len } = *run;
            (0..len as u64).map(move |i| (group, bucket.wrapping_add_unsigned(i)))
        };
        self.keys.iter().flat_map(of_run)
    }

    /// Looks a group up.
    pub(super) fn group(&mut self, group: u32) -> GroupPlace {
        let mut table = self.table_of.get(&group).copied();
        let end = self.tables.len() + self.buckets;
        if table.is_none() && self.buckets > 0 && end <= TABLE_MAX {
            table = Some(self.tables.len());
            self.table_of.insert(group, self.tables.len());
            self.tables.resize(end, 0);
        }
        GroupPlace { group, table }
    }

    /// The slot of a bucket of a group.
    #[inline]
    pub(super) fn slot(&mut self, place: GroupPlace, bucket: i64) -> usize {
        let next = u32::try_from(self.len).unwrap_or(u32::MAX);
        let offset = bucket.wrapping_sub(self.first).cast_unsigned();
        let entry = match (place.table, usize::try_from(offset)) {
            (Some(table), Ok(offset)) if offset < self.buckets => {
                let entry = &mut self.tables[table + offset];
                if *entry == 0 {
                    *entry = next + 1;
                }
                *entry - 1
            }
            _ => *self.hashed.entry((place.group, bucket)).or_insert(next),
        };
        if entry == next {
            self.add(place.group, bucket);
        }
        entry as usize
    }

    #[inline]
    fn add(&mut self, group: u32, bucket: i64) {
        self.len += 1;
        match self.keys.last_mut() {
            Some(last) if last.group == group && last.follows(bucket) => last.len += 1,
            _ => self.keys.push(KeyRun {
                group,
                bucket,
                len: 1,
            }),
        }
    }

    /// Adds the spans of a run of another, whose first slot there is `from`.
    fn place(&mut self, run: KeyRun, from: usize, spans: &mut Vec<Span>) {
        let place = self.group(run.group);
        for (from, i) in (from..).zip(0..run.len as u64) {
            let to = self.slot(place, run.bucket.wrapping_add_unsigned(i));
            match spans.last_mut() {
                Some(last) if last.from + last.len == from && last.to + last.len == to => {
                    last.len += 1;
                }
                _ => spans.push(Span { from, to, len: 1 }),
            }
        }
    }
}

/// How many buckets a table has; 0: they are too many for tables.
fn buckets_of_table(first: i64, last: i64) -> usize {
    let buckets = usize::try_from(last.abs_diff(first)).ok();
    let buckets = buckets.filter(|b| *b < TABLE_MAX / 16);
    buckets.map_or(0, |b| b + 1)
}

impl KeyRun {
    #[inline]
    fn follows(&self, bucket: i64) -> bool {
        bucket > self.bucket && bucket.abs_diff(self.bucket) == self.len as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_keeps_its_slot() {
        let mut slots = Met::new(7, 8);
        for (first, last) in [(0, 9), (-5, 3), (0, i64::MAX), (i64::MIN, i64::MAX)] {
            slots.reset(first, last);
            for _ in 0..2 {
                let mut expected = 0;
                for group in [7, 3] {
                    for bucket in [-5, 0, 3, 4, i64::MIN, i64::MAX] {
                        let place = slots.group(group);
                        assert_eq!(slots.slot(place, bucket), expected);
                        assert_eq!(slots.keys().nth(expected), Some((group, bucket)));
                        expected += 1;
                    }
                }
            }
            assert_eq!(slots.len(), 12);
        }
    }

    fn met(keys: &[(u32, i64)]) -> Met {
        let mut met = Met::new(0, 99);
        for &(group, bucket) in keys {
            let place = met.group(group);
            met.slot(place, bucket);
        }
        met
    }

    #[test]
    fn slots_are_found_in_those_of_another() {
        let other = met(&[(1, 5), (1, 6), (1, 9), (0, 4)]);
        let check = |mut slots: Slots, expected: [usize; 4]| {
            let mut places = Vec::new();
            for span in slots.place(&other).unwrap() {
                assert_eq!(span.from, places.len());
                places.extend(span.to..span.to + span.len);
            }
            assert_eq!(places, expected);
        };
        check(Slots::Met(met(&[])), [0, 1, 2, 3]);
        check(Slots::Met(met(&[(0, 4), (1, 6)])), [2, 1, 3, 0]);
        let grid = Grid::new(2, 4, 9, 12).unwrap();
        check(Slots::Grid(grid), [7, 8, 11, 0]);
    }

    #[test]
    fn a_grid_has_only_what_it_was_made_for() {
        assert_eq!(Grid::new(2, 4, 9, 11), None);
        assert_eq!(Grid::new(0, 4, 9, 12), None);
        assert_eq!(Grid::new(2, i64::MIN, i64::MAX, u64::MAX), None);
        for key in [(2, 5), (0, 3), (0, 10), (1, i64::MIN), (1, i64::MAX)] {
            let mut grid = Slots::Grid(Grid::new(2, 4, 9, 12).unwrap());
            let error = grid.place(&met(&[key])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }
}
