use tidestone_format::column::{Column, Values};
use tidestone_format::log::Selection;
use tidestone_format::{FieldId, SeriesId, TimeRange};

use super::*;

const TABLE: TableId = TableId(1);
const FIELD: FieldId = FieldId(1);
const POLICY: DuplicatePolicy = DuplicatePolicy::Replace;

fn one(series: u64, time: i64, value: i64) -> Rows {
    many(series, &[time], value)
}

fn many(series: u64, times: &[i64], value: i64) -> Rows {
    Rows {
        series: vec![SeriesId(series); times.len()],
        times: times.to_vec(),
        columns: vec![(
            FIELD,
            Column {
                values: Values::I64(vec![value; times.len()]),
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
    head.copy(TABLE, POLICY, Lsn(1), &one(2, 10, 1));
    head.copy(TABLE, POLICY, Lsn(2), &one(1, 20, 1));
    let view = head.view(TABLE);
    head.copy(TABLE, POLICY, Lsn(3), &one(1, 5, 1));
    assert_eq!(all_rows(&view), [(1, 20), (2, 10)]);
    assert_eq!(all_rows(&head.view(TABLE)), [(1, 5), (1, 20), (2, 10)]);
}

#[test]
fn an_open_buffer_of_long_strings_becomes_a_chunk() {
    let mut head = Head::default();
    // No number of these batches but the 64th has a multiple of 64 rows.
    for lsn in 1..40u64 {
        let mut rows = many(1, &[lsn.cast_signed(); 63], 1);
        let mut text = tidestone_format::column::Strings::new();
        (0..63).for_each(|_| text.push(&"x".repeat(1_000)));
        rows.columns[0].1.values = Values::String(text);
        head.copy(TABLE, POLICY, Lsn(lsn), &rows);
    }
    let open = head.tables[&TABLE].open.memory();
    assert!(open < 2 * OPEN_BYTES, "{open} bytes");
}

/// Enough chunks of one row, by views between the commits, for small ones to be looked for.
fn tiny_chunks(head: &mut Head, lsns: std::ops::RangeInclusive<u64>) {
    for lsn in lsns {
        head.copy(TABLE, POLICY, Lsn(lsn), &one(1, lsn.cast_signed(), 1));
        head.view(TABLE);
    }
}

#[test]
fn small_chunks_are_put_together_but_not_across_a_delete() {
    let mut head = Head::default();
    tiny_chunks(&mut head, 1..=20);
    let before = all_rows(&head.view(TABLE));
    head.merge_small(Lsn(20));
    let view = head.view(TABLE);
    assert!(view.chunks.len() <= 5, "{:?}", view.chunks.len());
    assert_eq!(all_rows(&view), before);
    let tombstone = Tombstone {
        table: TABLE,
        selection: Selection::All,
        range: TimeRange::ALL,
    };
    head.delete(TABLE, POLICY, Lsn(21), tombstone);
    tiny_chunks(&mut head, 22..=50);
    head.merge_small(Lsn(50));
    let view = head.view(TABLE);
    assert!(view.chunks.len() <= 20, "{:?}", view.chunks.len());
    let apart = |c: &Arc<Chunk>| c.last_lsn() < Lsn(21) || c.first_lsn() > Lsn(21);
    assert!(view.chunks.iter().all(apart));
}

#[test]
fn chunks_that_are_not_written_are_left_alone() {
    let mut head = Head::default();
    tiny_chunks(&mut head, 1..=16);
    head.merge_small(Lsn(4));
    let view = head.view(TABLE);
    assert_eq!(view.chunks[0].last_lsn(), Lsn(4));
    assert_eq!(view.chunks.len(), 1 + 12);
}

#[test]
fn a_merge_of_chunks_that_were_flushed_meanwhile_is_dropped() {
    let mut head = Head::default();
    tiny_chunks(&mut head, 1..=16);
    let merged = head.plan_merge(Lsn(16)).unwrap().run().unwrap();
    head.forget(Lsn(8));
    let before = all_rows(&head.view(TABLE));
    assert!(head.take_in(merged).is_none());
    assert_eq!(all_rows(&head.view(TABLE)), before);
}

#[test]
fn what_a_flush_has_taken_is_not_put_together_with_what_came_after() {
    let mut head = Head::default();
    tiny_chunks(&mut head, 1..=16);
    head.merge_small(Lsn(0));
    let taken = head.take_for_flush(Lsn(16));
    tiny_chunks(&mut head, 17..=40);
    head.merge_small(Lsn(40));
    let view = head.view(TABLE);
    let apart = |c: &Arc<Chunk>| c.last_lsn() <= Lsn(16) || c.first_lsn() > Lsn(16);
    assert!(view.chunks.iter().all(apart));
    head.forget(Lsn(16));
    let left = all_rows(&head.view(TABLE));
    assert_eq!(left, (17..=40).map(|t| (1, t)).collect::<Vec<_>>());
    assert_eq!(all_rows(&taken[0].1).len(), 16);
}

#[test]
fn large_batches_are_shared_and_their_memory_goes_back_to_the_writer() {
    let mut head = Head::new(1 << 20);
    let times: Vec<i64> = (0..100).collect();
    let batches: Vec<Arc<Rows>> = (0..16).map(|s| Arc::new(many(s, &times, 1))).collect();
    for (lsn, rows) in (1..).zip(&batches) {
        head.share(TABLE, POLICY, Lsn(lsn), rows);
    }
    assert!(Arc::strong_count(&batches[3]) == 2, "not copied");
    let kept = batches[0].clone();
    drop(batches);
    let merged = head.plan_merge(Lsn(16)).unwrap().run().unwrap();
    let (table, chunks) = head.take_in(merged).unwrap();
    let emptied = emptied(chunks);
    assert_eq!(emptied.len(), 15, "one is in use");
    head.keep_spare(table, emptied);
    let spare = head.spare(TABLE).unwrap();
    assert!(spare.is_empty() && spare.times.capacity() >= 100);
    assert_eq!(head.view(TABLE).chunks.len(), 1);
    assert_eq!(all_rows(&head.view(TABLE)).len(), 1600);
    drop(kept);
}

#[test]
fn flushed_chunks_are_forgotten() {
    let mut head = Head::default();
    head.copy(TABLE, POLICY, Lsn(1), &one(1, 1, 1));
    head.view(TABLE);
    head.copy(TABLE, POLICY, Lsn(2), &one(1, 2, 1));
    head.forget(Lsn(1));
    assert_eq!(all_rows(&head.view(TABLE)), [(1, 2)]);
    head.forget(Lsn(2));
    assert!(head.tables().is_empty());
    assert_eq!(head.memory(), 0);
}

#[test]
fn rows_that_come_during_a_flush_stay_apart_from_those_it_took() {
    let mut head = Head::default();
    head.copy(TABLE, POLICY, Lsn(1), &one(1, 1, 1));
    let taken = head.take_for_flush(Lsn(1));
    head.copy(TABLE, POLICY, Lsn(2), &one(1, 2, 2));
    head.view(TABLE);
    head.copy(TABLE, POLICY, Lsn(3), &one(1, 3, 3));
    head.view(TABLE);
    assert_eq!(all_rows(&taken[0].1), [(1, 1)]);
    head.forget(Lsn(1));
    assert_eq!(all_rows(&head.view(TABLE)), [(1, 2), (1, 3)]);
}

#[test]
fn fields_that_come_later_are_null_before() {
    let mut head = Head::default();
    head.copy(TABLE, POLICY, Lsn(1), &one(1, 1, 1));
    let mut other = one(1, 2, 7);
    other.columns[0].0 = FieldId(2);
    head.copy(TABLE, POLICY, Lsn(2), &other);
    let rows = head.view(TABLE).chunks[0].sorted();
    let valid = |field| {
        let column = rows.column(FieldId(field)).unwrap();
        [column.is_valid(0), column.is_valid(1)]
    };
    assert_eq!(valid(1), [true, false]);
    assert_eq!(valid(2), [false, true]);
}
