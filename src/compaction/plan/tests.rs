use super::*;
use Eagerness::{Everything, Worthwhile};

fn segment(partition: i64, first: u64, last: u64, rows: u64) -> Candidate {
    Candidate {
        partition: partition_number(partition),
        first: Lsn(first),
        last: Lsn(last),
        rows,
        bytes: rows,
        late: false,
        hidden_by: None,
        behind: false,
        given_up: false,
    }
}

fn partition_number(number: i64) -> TimeRange {
    TimeRange {
        start: number * 10,
        end: number * 10 + 9,
    }
}

/// A segment over the partitions from `from` to `to`.
fn late(from: i64, to: i64, lsn: u64, rows: u64) -> Candidate {
    let mut late = segment(from, lsn, lsn, rows);
    late.partition.end = partition_number(to).end;
    late.late = true;
    late
}

const NO_LIMITS: Limits = Limits {
    rows: u64::MAX,
    bytes: u64::MAX,
};

fn choose(segments: &[Candidate], eagerness: Eagerness) -> Option<Choice> {
    choose_within(segments, eagerness, NO_LIMITS)
}

/// Where there are no deletes but those that hide rows of a segment first.
fn choose_within(segments: &[Candidate], eagerness: Eagerness, limits: Limits) -> Option<Choice> {
    let last_delete = segments.iter().filter_map(|s| s.hidden_by).max();
    super::choose(segments, last_delete, eagerness, limits)
}

fn inputs(segments: &[Candidate], eagerness: Eagerness) -> Option<Vec<usize>> {
    choose(segments, eagerness).map(|choice| choice.inputs)
}

#[test]
fn four_similar_neighbours_are_merged_and_a_large_one_is_left() {
    let mut segments = vec![segment(0, 1, 10, 100_000_000)];
    for i in 0..3 {
        segments.push(segment(0, 20 + i * 10, 25 + i * 10, 1_000));
    }
    assert_eq!(inputs(&segments, Worthwhile), None);
    segments.push(segment(0, 60, 65, 1_000));
    assert_eq!(inputs(&segments, Worthwhile), Some(vec![1, 2, 3, 4]));
    assert_eq!(inputs(&segments, Everything), Some(vec![0, 1, 2, 3, 4]));
}

#[test]
fn limits_are_those_of_memory_and_of_strings() {
    let of = |budget, fields: &[FieldType]| {
        let options = crate::Options {
            memory_budget_bytes: budget,
            ..crate::Options::default()
        };
        let field = |(id, &field_type)| Field {
            id: tidestone_format::FieldId(id),
            name: String::new(),
            field_type,
        };
        let fields: Vec<Field> = (1..).zip(fields).map(field).collect();
        Limits::of(&fields, options.writing_memory())
    };
    let numbers = of(256 << 20, &[FieldType::F64; 9]);
    assert_eq!(numbers.bytes, u64::MAX);
    assert_eq!(numbers.rows, 819 * SMALL_ROWS);
    let mixed = of(256 << 20, &[FieldType::F64, FieldType::String]);
    assert_eq!(mixed.bytes, 256 << 20);
    // A row group, however wide it is.
    assert_eq!(of(32 << 20, &[FieldType::F64; 4_000]).rows, SMALL_ROWS);
}

#[test]
fn what_would_be_too_much_for_one_segment_is_not_merged() {
    let mut segments: Vec<_> = (0..10).map(|i| segment(0, 1 + i, 1 + i, 100)).collect();
    let inputs = |segments: &[Candidate], eagerness, rows, bytes| {
        let choice = choose_within(segments, eagerness, Limits { rows, bytes });
        choice.map(|choice| choice.inputs)
    };
    for (rows, bytes) in [(500, u64::MAX), (u64::MAX, 500)] {
        let check = |segments: &[Candidate], eagerness, expected: Option<Vec<usize>>| {
            assert_eq!(
                inputs(segments, eagerness, rows, bytes),
                expected,
                "{rows} {bytes}"
            );
        };
        // The newest five, and the oldest five.
        check(&segments, Worthwhile, Some((5..10).collect()));
        check(&segments, Everything, Some((0..5).collect()));
        check(&segments[..3], Everything, Some(vec![0, 1, 2]));
        check(&segments[..3], Worthwhile, None);
        let late: Vec<_> = (0..10).map(|i| late(0, 50, 1 + i, 100)).collect();
        check(&late, Worthwhile, Some((5..10).collect()));
    }
    // One that is full keeps neither those below it from being merged nor those above.
    segments[4].rows = 500;
    let full = |segments: &[Candidate]| inputs(segments, Worthwhile, 500, u64::MAX);
    assert_eq!(full(&segments), Some((5..10).collect()));
    segments.truncate(7);
    assert_eq!(full(&segments), Some((0..4).collect()));
    segments.drain(..2);
    assert_eq!(full(&segments), None);
    let all = |segments: &[Candidate]| inputs(segments, Everything, 500, u64::MAX);
    assert_eq!(all(&segments), Some(vec![0, 1]));
    segments.drain(..2);
    assert_eq!(all(&segments), Some(vec![1, 2]));
    segments.truncate(2);
    assert_eq!(all(&segments), None);
    // A delete of all that is not applied otherwise.
    segments[0].hidden_by = Some(Lsn(7));
    assert_eq!(all(&segments), Some(vec![0, 1]));
    assert_eq!(full(&segments), None);
}

#[test]
fn partitions_do_not_mix() {
    let segments: Vec<_> = (0..8)
        .map(|i| segment(i64::from(i % 4 != 0), 1 + i as u64, 1 + i as u64, 10))
        .collect();
    let chosen = inputs(&segments, Worthwhile).unwrap();
    assert!(
        chosen
            .iter()
            .all(|&i| segments[i].partition == segments[chosen[0]].partition)
    );
}

#[test]
fn a_sparse_late_segment_stays_and_one_with_many_rows_is_split() {
    for eagerness in [Worthwhile, Everything] {
        assert_eq!(inputs(&[late(0, 99, 1, 100_000)], eagerness), None);
        assert_eq!(inputs(&[late(0, 99, 1, 200_000)], eagerness), Some(vec![0]));
    }
}

#[test]
fn a_late_segment_between_segments_of_a_partition_is_split_there_before_they_are_merged() {
    let mut segments: Vec<_> = (0..5).map(|i| segment(3, 1 + i, 1 + i, 10)).collect();
    segments[2] = late(0, 9, 3, 10);
    let cut = Choice {
        inputs: vec![2],
        cuts: vec![partition_number(3)],
    };
    assert_eq!(choose(&segments, Worthwhile), Some(cut.clone()));
    assert_eq!(choose(&segments, Everything), Some(cut.clone()));
    // Too few to be merged: it may stay, but for who wants everything merged.
    segments.remove(0);
    assert_eq!(inputs(&segments, Worthwhile), None);
    let cut = Choice {
        inputs: vec![1],
        ..cut
    };
    assert_eq!(choose(&segments, Everything), Some(cut));
    // On top of all others, or below them, it is in nobody's way.
    let mut segments: Vec<_> = (0..4).map(|i| segment(3, 1 + i, 1 + i, 10)).collect();
    segments.push(late(0, 9, 9, 10));
    assert_eq!(inputs(&segments, Worthwhile), Some(vec![0, 1, 2, 3]));
}

#[test]
fn small_late_neighbours_are_merged() {
    let mut segments: Vec<_> = (0..4).map(|i| late(0, 50 + i, 1 + i as u64, 10)).collect();
    assert_eq!(inputs(&segments, Worthwhile), Some(vec![0, 1, 2, 3]));
    assert_eq!(inputs(&segments[..3], Worthwhile), None);
    assert_eq!(inputs(&segments[..3], Everything), Some(vec![0, 1, 2]));
    // Rows between them in the log may be of the same times.
    segments.push(segment(52, 2, 2, 10));
    assert_eq!(inputs(&segments, Worthwhile), None);
    assert_eq!(inputs(&segments, Everything), Some(vec![2, 3]));
}

#[test]
fn a_stale_segment_is_rewritten_on_demand_only() {
    let mut segments = vec![segment(0, 1, 1, 10)];
    assert_eq!(inputs(&segments, Everything), None);
    segments[0].hidden_by = Some(Lsn(7));
    assert_eq!(inputs(&segments, Worthwhile), None);
    assert_eq!(inputs(&segments, Everything), Some(vec![0]));
}

#[test]
fn a_delete_that_what_spans_a_partition_keeps_from_being_applied_is_applied() {
    // The delete of LSN 7 is above the late segment's rows.
    let mut segments = vec![segment(3, 1, 1, 10), late(0, 9, 5, 10)];
    segments[0].hidden_by = Some(Lsn(7));
    let cut = Choice {
        inputs: vec![1],
        cuts: vec![partition_number(3)],
    };
    assert_eq!(choose(&segments, Everything), Some(cut));
    // The same with a late segment below.
    let mut segments = vec![late(0, 9, 1, 10), segment(3, 5, 5, 10)];
    segments[0].hidden_by = Some(Lsn(7));
    let cut = Choice {
        inputs: vec![0],
        cuts: vec![partition_number(3)],
    };
    assert_eq!(choose(&segments, Everything), Some(cut));
    // One that is below the newer segment needs no cut.
    segments[0].hidden_by = Some(Lsn(4));
    let whole = Choice {
        inputs: vec![0],
        cuts: Vec::new(),
    };
    assert_eq!(choose(&segments, Everything), Some(whole));
}

#[test]
fn late_segments_are_merged_to_apply_a_delete_and_split_only_where_a_segment_lies_between() {
    let check = |segments: &[Candidate], inputs: &[usize], cuts: &[i64]| {
        let expected = Choice {
            inputs: inputs.to_vec(),
            cuts: cuts.iter().map(|&p| partition_number(p)).collect(),
        };
        assert_eq!(choose(segments, Everything), Some(expected));
    };
    // Each reaches over the next, and all are older than the delete. They are not small.
    let mut segments: Vec<_> = (0..4)
        .map(|i: u8| {
            late(
                10 * i64::from(i),
                10 * i64::from(i) + 15,
                1 + u64::from(i),
                100_000,
            )
        })
        .collect();
    segments[0].hidden_by = Some(Lsn(9));
    check(&segments, &[0, 1, 2, 3], &[]);
    // As far as they are older.
    segments[0].hidden_by = Some(Lsn(3));
    check(&segments, &[0, 1, 2], &[]);
    segments[0].hidden_by = Some(Lsn(9));
    // One of a partition above all of them, one below, and one that is newer than the delete.
    segments.push(segment(22, 6, 7, 10));
    segments.push(segment(23, 0, 0, 10));
    segments.push(segment(24, 11, 11, 10));
    check(&segments, &[0, 1, 2, 3], &[22]);
    // One between them, in the way of two.
    segments.push(segment(30, 2, 2, 10));
    check(&segments, &[2], &[30]);
    segments[2].partition.end = partition_number(29).end;
    segments[3].partition.start = partition_number(29).start;
    check(&segments, &[3], &[30]);
    // One that cannot be merged, and then need not be.
    segments[3].given_up = true;
    assert_eq!(choose(&segments, Everything), None);
    segments[3].partition.start = partition_number(31).start;
    check(&segments, &[0, 1, 2], &[22]);
}

#[test]
fn late_segments_are_not_merged_below_what_is_older_than_a_delete() {
    // The delete hides rows of neither, but perhaps of both together.
    let segments = [
        late(0, 9, 1, 10),
        late(20, 29, 2, 10),
        segment(25, 5, 5, 10),
    ];
    let chosen = |delete| {
        let choice = super::choose(&segments, delete, Everything, NO_LIMITS);
        choice.map(|choice| choice.inputs)
    };
    assert_eq!(chosen(Some(Lsn(7))), None);
    assert_eq!(chosen(Some(Lsn(4))), Some(vec![0, 1]));
    assert_eq!(chosen(None), Some(vec![0, 1]));
}

#[track_caller]
fn check_pieces(rows: &[(i64, u64)], cuts: &[i64], expected: &[(i64, i64)]) {
    let partitions: Vec<_> = rows
        .iter()
        .map(|&(p, r)| (partition_number(p), r))
        .collect();
    let cuts: Vec<_> = cuts.iter().map(|&p| partition_number(p)).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|&(from, to)| TimeRange {
            start: partition_number(from).start,
            end: partition_number(to).end,
        })
        .collect();
    assert_eq!(pieces(&partitions, &cuts), expected);
}

#[test]
fn partitions_with_rows_enough_are_split_off_and_the_others_share() {
    check_pieces(&[], &[], &[]);
    check_pieces(&[(0, 1)], &[], &[(0, 0)]);
    let scattered: Vec<(i64, u64)> = (0..300).map(|p| (p, 10)).collect();
    check_pieces(&scattered, &[], &[(0, 299)]);
    check_pieces(
        &[(0, 5), (1, 70_000), (2, 5), (7, 5)],
        &[],
        &[(0, 0), (1, 1), (2, 7)],
    );
    check_pieces(
        &[(0, 40_000), (1, 40_000), (2, 40_000)],
        &[],
        &[(0, 1), (2, 2)],
    );
    // Cuts, of partitions with rows and without.
    check_pieces(
        &[(0, 5), (1, 5), (2, 5), (3, 5)],
        &[2],
        &[(0, 1), (2, 2), (3, 3)],
    );
    check_pieces(&[(0, 5), (1, 5), (3, 5), (4, 5)], &[2], &[(0, 1), (3, 4)]);
    check_pieces(
        &[(1, 5), (3, 5), (4, 5), (6, 5), (7, 5)],
        &[0, 2, 5, 6, 9],
        &[(1, 1), (3, 4), (6, 6), (7, 7)],
    );
}

mod histories;
