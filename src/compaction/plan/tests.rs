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
    super::choose(segments, eagerness, NO_LIMITS)
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
        let choice = super::choose(segments, eagerness, Limits { rows, bytes });
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
        split: Split::At(vec![partition_number(3)]),
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
        split: Split::At(vec![partition_number(3)]),
    };
    assert_eq!(choose(&segments, Everything), Some(cut));
    // The same with a late segment below.
    let mut segments = vec![late(0, 9, 1, 10), segment(3, 5, 5, 10)];
    segments[0].hidden_by = Some(Lsn(7));
    let whole = Choice {
        inputs: vec![0],
        split: Split::Everywhere,
    };
    assert_eq!(choose(&segments, Everything), Some(whole));
    // One that is below the newer segment needs no cut.
    segments[0].hidden_by = Some(Lsn(4));
    assert_eq!(inputs(&segments, Everything), Some(vec![0]));
    let choice = choose(&segments, Everything).unwrap();
    assert_eq!(choice.split, Split::At(Vec::new()));
}

#[track_caller]
fn check_pieces(rows: &[(i64, u64)], cuts: &[i64], expected: &[(i64, i64)]) {
    let partitions: Vec<_> = rows
        .iter()
        .map(|&(p, r)| (partition_number(p), r))
        .collect();
    let cuts = cuts.iter().map(|&p| partition_number(p)).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|&(from, to)| TimeRange {
            start: partition_number(from).start,
            end: partition_number(to).end,
        })
        .collect();
    assert_eq!(pieces(&partitions, &Split::At(cuts)), expected);
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
    let each = pieces(
        &[(partition_number(1), 5), (partition_number(2), 5)],
        &Split::Everywhere,
    );
    assert_eq!(each, [partition_number(1), partition_number(2)]);
}

/// A segment of the simulation: its rows by partition.
type Simulated = (Candidate, BTreeMap<i64, u64>);

/// Does what a merge does.
fn merge(segments: &mut Vec<Simulated>, choice: &Choice, deletes: &[u64]) {
    let mut rows: BTreeMap<i64, u64> = BTreeMap::new();
    let candidates: Vec<Candidate> = segments.iter().map(|s| s.0.clone()).collect();
    let span = span_of(&candidates, &choice.inputs);
    for &i in &choice.inputs {
        for (partition, count) in &segments[i].1 {
            *rows.entry(*partition).or_default() += count;
        }
    }
    let newer = candidates
        .iter()
        .filter(|s| s.first > span.last && s.partition.overlaps(&span.partition));
    let below = newer.map(|s| s.first.0 - 1).min().unwrap_or(u64::MAX);
    let applied = deletes.iter().copied().max().unwrap_or(0).min(below);
    let last = span.last.0.max(applied);
    let mut number = 0;
    segments.retain(|_| {
        number += 1;
        !choice.inputs.contains(&(number - 1))
    });
    let counted: Vec<_> = rows
        .iter()
        .map(|(&p, &r)| (partition_number(p), r))
        .collect();
    for piece in pieces(&counted, &choice.split) {
        let inside = |p: &i64| piece.overlaps(&partition_number(*p));
        let of: BTreeMap<i64, u64> = rows
            .iter()
            .filter(|(p, _)| inside(p))
            .map(|(&p, &r)| (p, r))
            .collect();
        segments.push(simulated(of, span.first.0, last, piece));
    }
}

fn simulated(rows: BTreeMap<i64, u64>, first: u64, last: u64, partition: TimeRange) -> Simulated {
    let mut candidate = segment(0, first, last, rows.values().sum());
    candidate.partition = partition;
    candidate.late = partition.end - partition.start > 9;
    (candidate, rows)
}

/// A flush of rows scattered over `width` partitions, the four newest apart.
fn flush(segments: &mut Vec<Simulated>, lsn: u64, roll: &mut impl FnMut(u64) -> u64) {
    let (width, from) = (1 + roll(30), roll(20).cast_signed());
    let each = [3, 300, 30_000, 90_000][usize::try_from(roll(4)).unwrap()];
    let mut rows: BTreeMap<i64, u64> = (0..width)
        .map(|_| (from + roll(width).cast_signed(), 1 + roll(each)))
        .collect();
    for _ in 0..4 {
        let Some((newest, count)) = rows.pop_last() else {
            break;
        };
        let piece = partition_number(newest);
        segments.push(simulated(
            BTreeMap::from([(newest, count)]),
            lsn,
            lsn,
            piece,
        ));
    }
    if let (Some((&first, _)), Some((&last, _))) = (rows.first_key_value(), rows.last_key_value()) {
        let span = TimeRange {
            start: partition_number(first).start,
            end: partition_number(last).end,
        };
        segments.push(simulated(rows, lsn, lsn, span));
    }
}

/// Marks what deletes of all time hide.
fn mark(segments: &mut [Simulated], deletes: &[u64]) {
    for (segment, _) in segments {
        let hiding = deletes.iter().copied().filter(|&d| d > segment.last.0);
        segment.hidden_by = hiding.min().map(Lsn);
    }
}

#[test]
fn random_histories_keep_the_order_and_come_to_an_end() {
    for seed in 0..200u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut roll = move |sides: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % sides
        };
        let (mut segments, mut deletes) = (Vec::new(), Vec::new());
        let limits = match seed % 3 {
            0 => NO_LIMITS,
            _ => Limits {
                rows: [10, 1_000, 100_000][usize::try_from(roll(3)).unwrap()],
                ..NO_LIMITS
            },
        };
        for round in 1..25u64 {
            let lsn = round * 10;
            flush(&mut segments, lsn, &mut roll);
            if roll(4) == 0 {
                deletes.push(lsn + 5);
            }
            // In some histories segments turn out to be damaged.
            if seed % 4 == 0 && roll(4) == 0 {
                let at = usize::try_from(roll(segments.len() as u64)).unwrap();
                segments[at].0.given_up = true;
            }
            let eagerness = if roll(4) == 0 { Everything } else { Worthwhile };
            let (rows, mut merges) = (total(&segments), 0);
            loop {
                mark(&mut segments, &deletes);
                let candidates: Vec<_> = segments.iter().map(|s| s.0.clone()).collect();
                let Some(choice) = super::choose(&candidates, eagerness, limits) else {
                    break;
                };
                let given_up = choice.inputs.iter().any(|&i| candidates[i].given_up);
                assert!(!given_up, "seed {seed}, round {round}: {choice:?}");
                merge(&mut segments, &choice, &deletes);
                merges += 1;
                assert!(merges < 500, "seed {seed}, round {round}: no end");
                check_order(&segments, &format!("seed {seed}, round {round}"));
            }
            assert_eq!(total(&segments), rows, "seed {seed}, round {round}");
            if eagerness == Everything && !segments.iter().any(|(s, _)| s.given_up) {
                let stale = segments.iter().any(|(s, _)| s.is_stale());
                assert!(
                    !stale,
                    "seed {seed}, round {round}: a delete is not applied"
                );
            }
        }
    }
}

fn total(segments: &[Simulated]) -> u64 {
    segments.iter().map(|(s, _)| s.rows).sum()
}

#[track_caller]
fn check_order(segments: &[Simulated], what: &str) {
    for (i, (a, _)) in segments.iter().enumerate() {
        for (b, _) in &segments[..i] {
            let apart = a.last < b.first || b.last < a.first;
            let overlap = a.partition.overlaps(&b.partition);
            assert!(apart || !overlap, "{what}: {a:?} and {b:?}");
        }
    }
}
