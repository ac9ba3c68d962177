//! Where the state of each (group, bucket) is.

use rustc_hash::FxHashMap;

/// Entries of tables, at most; keys past that are hashed.
const TABLE_MAX: usize = 1 << 22;

/// Numbers (group, bucket) pairs in the order they are first met.
#[derive(Debug)]
pub(super) struct Slots {
    /// The pair of each slot.
    pub(super) keys: Vec<(u32, i64)>,
    /// Buckets a table has: those from `first` on. 0: there are no tables.
    buckets: usize,
    first: i64,
    /// Tables one after another: slot + 1 of each bucket.
    tables: Vec<u32>,
    /// Where the table of a group starts.
    table_of: FxHashMap<u32, usize>,
    hashed: FxHashMap<(u32, i64), u32>,
}

/// A group, looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupPlace {
    group: u32,
    table: Option<usize>,
}

impl Slots {
    /// No slots; buckets from `first` to `last` are to be expected.
    pub(super) fn new(first: i64, last: i64) -> Self {
        let buckets = last.abs_diff(first);
        let buckets = usize::try_from(buckets)
            .ok()
            .filter(|b| *b < TABLE_MAX / 16);
        Self {
            keys: Vec::new(),
            buckets: buckets.map_or(0, |b| b + 1),
            first,
            tables: Vec::new(),
            table_of: FxHashMap::default(),
            hashed: FxHashMap::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
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
        let next = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let offset = bucket.wrapping_sub(self.first).cast_unsigned();
        let entry = match (place.table, usize::try_from(offset)) {
            (Some(table), Ok(offset)) if offset < self.buckets => {
                let entry = &mut self.tables[table + offset];
                if *entry == 0 {
                    *entry = next + 1;
                    self.keys.push((place.group, bucket));
                    return next as usize;
                }
                *entry - 1
            }
            _ => *self.hashed.entry((place.group, bucket)).or_insert(next),
        };
        if entry == next {
            self.keys.push((place.group, bucket));
        }
        entry as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_keeps_its_slot() {
        for (first, last) in [(0, 9), (-5, 3), (0, i64::MAX), (i64::MIN, i64::MAX)] {
            let mut slots = Slots::new(first, last);
            for _ in 0..2 {
                let mut expected = 0;
                for group in [7, 3] {
                    for bucket in [-5, 0, 3, i64::MIN, i64::MAX] {
                        let place = slots.group(group);
                        assert_eq!(slots.slot(place, bucket), expected);
                        assert_eq!(slots.keys[expected], (group, bucket));
                        expected += 1;
                    }
                }
            }
            assert_eq!(slots.len(), 10);
        }
    }
}
