use tidestone_format::column::{Column, Values};
use tidestone_format::log::Selection;
use tidestone_format::{FieldId, SeriesId, TimeRange};

use super::*;

const TABLE: TableId = TableId(1);
const FIELD: FieldId = FieldId(1);
const POLICY: DuplicatePolicy = DuplicatePolicy::Replace;

fn one(series: u64, time: i64, value: i64) -> Rows {
    Rows {
        series: vec![SeriesId(series)],
        times: vec![time],
        columns: vec![(
            FIELD,
            Column {
                values: Values::I64(vec![value]),
                validity: None,
            },
        )],
    }
}

fn all_rows(view: &HeadView) -> Vec<(u64, i64)> {
    let sorted: Vec<_> = view.chunks.iter().map(|c| c.sorted()).collect();
    let merged = rows::merge(&sorted.iter().map(|s| &**s).collect::<Vec<_>>(), POLICY);
    merged
        .series
        .iter()
        .zip(&merged.times)
        .map(|(s, t)| (s.0, *t))
        .collect()
}

use crate::rows;

#[test]
fn a_view_holds_what_was_appended_before_it() {
    let mut head = Head::default();
    head.append(TABLE, POLICY, Lsn(1), &mut one(2, 10, 1));
    head.append(TABLE, POLICY, Lsn(2), &mut one(1, 20, 1));
    let view = head.view(TABLE);
    head.append(TABLE, POLICY, Lsn(3), &mut one(1, 5, 1));
    assert_eq!(all_rows(&view), [(1, 20), (2, 10)]);
    assert_eq!(all_rows(&head.view(TABLE)), [(1, 5), (1, 20), (2, 10)]);
}

#[test]
fn small_chunks_merge_but_not_across_a_delete() {
    let mut head = Head::default();
    for lsn in 1..=8 {
        head.append(TABLE, POLICY, Lsn(lsn), &mut one(1, lsn.cast_signed(), 1));
        head.view(TABLE);
    }
    assert!(
        head.view(TABLE).chunks.len() <= 3,
        "{:?}",
        head.view(TABLE).chunks.len()
    );
    let tombstone = Tombstone {
        table: TABLE,
        selection: Selection::All,
        range: TimeRange::ALL,
    };
    head.delete(TABLE, POLICY, Lsn(9), tombstone);
    head.append(TABLE, POLICY, Lsn(10), &mut one(1, 100, 1));
    let view = head.view(TABLE);
    assert!(
        view.chunks
            .iter()
            .all(|c| c.last_lsn() < Lsn(9) || c.first_lsn() > Lsn(9))
    );
}

#[test]
fn flushed_chunks_are_forgotten() {
    let mut head = Head::default();
    head.append(TABLE, POLICY, Lsn(1), &mut one(1, 1, 1));
    head.view(TABLE);
    head.append(TABLE, POLICY, Lsn(2), &mut one(1, 2, 1));
    head.forget(Lsn(1));
    assert_eq!(all_rows(&head.view(TABLE)), [(1, 2)]);
    head.forget(Lsn(2));
    assert!(head.tables().is_empty());
    assert_eq!(head.memory(), 0);
}

#[test]
fn rows_that_come_during_a_flush_stay_apart_from_those_it_took() {
    let mut head = Head::default();
    head.append(TABLE, POLICY, Lsn(1), &mut one(1, 1, 1));
    let taken = head.take_for_flush(Lsn(1));
    head.append(TABLE, POLICY, Lsn(2), &mut one(1, 2, 2));
    head.view(TABLE);
    head.append(TABLE, POLICY, Lsn(3), &mut one(1, 3, 3));
    head.view(TABLE);
    assert_eq!(all_rows(&taken[0].1), [(1, 1)]);
    head.forget(Lsn(1));
    assert_eq!(all_rows(&head.view(TABLE)), [(1, 2), (1, 3)]);
}

#[test]
fn fields_that_come_later_are_null_before() {
    let mut head = Head::default();
    head.append(TABLE, POLICY, Lsn(1), &mut one(1, 1, 1));
    let mut other = one(1, 2, 7);
    other.columns[0].0 = FieldId(2);
    head.append(TABLE, POLICY, Lsn(2), &mut other);
    let rows = head.view(TABLE).chunks[0].sorted();
    let valid = |field| {
        let column = rows.column(FieldId(field)).unwrap();
        [column.is_valid(0), column.is_valid(1)]
    };
    assert_eq!(valid(1), [true, false]);
    assert_eq!(valid(2), [false, true]);
}
