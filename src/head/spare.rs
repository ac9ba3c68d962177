//! Memory of rows that were copied elsewhere, for the next ones.
//!
//! Memory fresh from the system costs a page fault every 4 KiB, in the middle of an append. Writers
//! get the emptied buffers of earlier batches of the same table instead.

use rustc_hash::FxHashMap;
use tidestone_format::TableId;

use crate::rows::Rows;

/// Emptied rows by table, bounded in bytes.
#[derive(Debug, Default)]
pub(super) struct Spare {
    max: usize,
    bytes: usize,
    tables: FxHashMap<TableId, Vec<Rows>>,
}

impl Spare {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            ..Self::default()
        }
    }

    /// Emptied rows of a table.
    pub(super) fn take(&mut self, table: TableId) -> Option<Rows> {
        let rows = self.tables.get_mut(&table)?.pop()?;
        self.bytes -= rows.memory();
        Some(rows)
    }

    /// Keeps emptied rows of a table; where there is no room, those of other tables go first.
    pub(super) fn put(&mut self, table: TableId, rows: Rows) {
        let added = rows.memory();
        if self.bytes + added > self.max {
            self.tables.retain(|id, _| *id == table);
            let kept = self.tables.values().flatten();
            self.bytes = kept.map(Rows::memory).sum();
        }
        if self.bytes + added <= self.max {
            self.bytes += added;
            self.tables.entry(table).or_default().push(rows);
        }
    }

    /// Forgets what is kept for a table.
    pub(super) fn drop_table(&mut self, table: TableId) {
        let dropped = self.tables.remove(&table).into_iter().flatten();
        self.bytes -= dropped.map(|rows| rows.memory()).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(capacity: usize) -> Rows {
        Rows {
            series: Vec::new(),
            times: Vec::with_capacity(capacity),
            columns: Vec::new(),
        }
    }

    #[test]
    fn memory_is_kept_by_table_and_within_its_bound() {
        let (a, b) = (TableId(1), TableId(2));
        let mut spare = Spare::new(100 * 8);
        spare.put(a, rows(60));
        spare.put(a, rows(40));
        spare.put(a, rows(1));
        assert_eq!(spare.bytes, 800, "there is no room for a third");
        spare.put(b, rows(10));
        assert_eq!(spare.bytes, 80, "the other table's made room");
        assert!(spare.take(a).is_none());
        assert_eq!(spare.take(b).unwrap().times.capacity(), 10);
        assert_eq!(spare.bytes, 0);
        spare.put(b, rows(10));
        spare.drop_table(b);
        assert_eq!((spare.bytes, spare.take(b).is_none()), (0, true));
    }
}
