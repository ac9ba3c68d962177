use proptest::prelude::*;
use tidestone_format::FieldType;
use tidestone_format::column::Values;
use tidestone_format::schema::Field;

use super::*;

const A: FieldId = FieldId(1);
const B: FieldId = FieldId(2);

/// Rows of two nullable fields in the order written.
fn rows(written: &[(u64, i64, Option<i64>, Option<i64>)]) -> Rows {
    let mut rows = Rows::default();
    let (mut a, mut b) = (Column::new(FieldType::I64), Column::new(FieldType::I64));
    for &(series, time, x, y) in written {
        rows.series.push(SeriesId(series));
        rows.times.push(time);
        for (column, value) in [(&mut a, x), (&mut b, y)] {
            match value {
                Some(v) => {
                    let one = Column {
                        values: Values::I64(vec![v]),
                        validity: None,
                    };
                    column.push_from(&one, 0);
                }
                None => column.push_null(),
            }
        }
    }
    rows.columns = vec![(A, a), (B, b)];
    rows
}

/// The rows as plain values.
fn plain(rows: &Rows) -> Vec<(u64, i64, Option<i64>, Option<i64>)> {
    let value = |field, i| match rows.column(field) {
        Some(column) if column.is_valid(i) => match &column.values {
            Values::I64(v) => Some(v[i]),
            _ => None,
        },
        _ => None,
    };
    (0..rows.len())
        .map(|i| (rows.series[i].0, rows.times[i], value(A, i), value(B, i)))
        .collect()
}

#[test]
fn replace_goes_field_by_field_and_null_never_overwrites() {
    let written = rows(&[
        (1, 10, Some(1), Some(2)),
        (2, 5, Some(7), None),
        (1, 10, Some(3), None),
        (1, 10, None, None),
        (1, 9, None, Some(4)),
    ]);
    let sorted = sort(&Arc::new(written), DuplicatePolicy::Replace);
    assert_eq!(
        plain(&sorted),
        [
            (1, 9, None, Some(4)),
            (1, 10, Some(3), Some(2)),
            (2, 5, Some(7), None)
        ]
    );
}

#[test]
fn first_keeps_the_oldest_and_all_keeps_everything_in_order() {
    let written = [
        (1, 10, Some(1), None),
        (1, 10, None, Some(2)),
        (1, 10, Some(3), None),
    ];
    let first = sort(&Arc::new(rows(&written)), DuplicatePolicy::First);
    assert_eq!(plain(&first), [written[0]]);
    let all = sort(&Arc::new(rows(&written)), DuplicatePolicy::All);
    assert_eq!(plain(&all), written);
}

#[test]
fn a_field_missing_in_a_source_is_null() {
    let mut old = rows(&[(1, 1, Some(1), Some(1)), (1, 2, Some(2), Some(2))]);
    old.columns.truncate(1);
    let new = rows(&[(1, 2, None, Some(5))]);
    let merged = merge(&[&old, &new], DuplicatePolicy::Replace);
    assert_eq!(
        plain(&merged),
        [(1, 1, Some(1), None), (1, 2, Some(2), Some(5))]
    );
}

#[test]
fn rows_are_counted_up_to_a_length_of_their_strings() {
    let strings = |texts: &[&str]| Rows {
        series: vec![SeriesId(1); texts.len()],
        times: (0..).take(texts.len()).collect(),
        columns: vec![(
            A,
            Column {
                values: Values::String(texts.iter().copied().collect()),
                validity: None,
            },
        )],
    };
    let rows = strings(&["aaaa", "bb", "cccccc", "", "d"]);
    let merged = Merged::of(vec![&rows], DuplicatePolicy::Replace, |_, _, _| true);
    let field = |field_type| Field {
        id: A,
        name: String::new(),
        field_type,
    };
    let text = [field(FieldType::String)];
    assert_eq!(merged.within_text(&text, 0..5, 13), (5, 13));
    assert_eq!(merged.within_text(&text, 0..5, 11), (2, 6));
    assert_eq!(merged.within_text(&text, 0..5, 1), (1, 4));
    assert_eq!(merged.within_text(&text, 2..5, 0), (1, 6));
    assert_eq!(
        merged.within_text(&[field(FieldType::I64)], 0..5, 0),
        (5, 0)
    );
}

proptest! {
    #[test]
    fn merging_sorted_parts_equals_sorting_the_whole(
        written in prop::collection::vec(
            (0u64..4, 0i64..8, prop::option::of(0i64..100), prop::option::of(0i64..100)), 0..60),
        cuts in prop::collection::vec(0usize..60, 0..5),
        policy in prop::sample::select(vec![
            DuplicatePolicy::Replace, DuplicatePolicy::All, DuplicatePolicy::First]),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(written.len())).collect();
        cuts.extend([0, written.len()]);
        cuts.sort_unstable();
        let as_written: Vec<Arc<Rows>> =
            cuts.windows(2).map(|w| Arc::new(rows(&written[w[0]..w[1]]))).collect();
        let sorted: Vec<Arc<Rows>> = as_written.iter().map(|rows| sort(rows, policy)).collect();
        let parts: Vec<&Rows> = sorted.iter().map(|rows| &**rows).collect();
        let merged = merge(&parts, policy);
        prop_assert_eq!(plain(&merged), plain(&sort(&Arc::new(rows(&written)), policy)));
        // One behind the other, some sorted and some as they were written.
        let mixed = as_written.iter().zip(&sorted).enumerate();
        let mixed: Vec<&Rows> = mixed
            .map(|(i, (written, sorted))| if i % 2 == 0 { &**written } else { &**sorted })
            .collect();
        let behind = Arc::new(concatenate(&mixed));
        prop_assert_eq!(plain(&sort(&behind, policy)), plain(&merged));
        // Column by column and a few rows at a time, without what is not to be kept.
        let keep = |source: usize, time: Timestamp| source.is_multiple_of(2) || time % 3 > 0;
        let kept: Vec<Rows> = (0..)
            .zip(&parts)
            .map(|(i, part)| Rows::clone(part).retain(|_, time| keep(i, time)))
            .collect();
        let whole = merge(&kept.iter().collect::<Vec<_>>(), policy);
        let lazy = Merged::of(parts.clone(), policy, |source, _, time| keep(source, time));
        prop_assert_eq!(lazy.len(), whole.len());
        prop_assert!((0..lazy.len()).all(|row| lazy.key(row) == whole.key(row)));
        let ranges: Vec<_> = (0..lazy.len()).step_by(5).map(|at| at..lazy.len().min(at + 3)).collect();
        let picked: Vec<_> = ranges.iter().cloned().flatten().collect();
        let columns = [A, B].map(|id| {
            let field = Field { id, name: String::new(), field_type: FieldType::I64 };
            (id, lazy.column(&field, &ranges))
        });
        let few = Rows {
            series: picked.iter().map(|&row| lazy.key(row).0).collect(),
            times: picked.iter().map(|&row| lazy.key(row).1).collect(),
            columns: columns.to_vec(),
        };
        let all = plain(&whole);
        let expected: Vec<_> = picked.iter().map(|&row| all[row]).collect();
        prop_assert_eq!(plain(&few), expected);
        // Associative: the first two first.
        if let [first, second, rest @ ..] = &parts[..] {
            let pair = merge(&[first, second], policy);
            let mut sources = vec![&pair];
            sources.extend(rest);
            prop_assert_eq!(plain(&merge(&sources, policy)), plain(&merged));
        }
    }
}
