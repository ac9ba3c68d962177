//! Columns that come one after another give the same segment as columns that come together.

use std::ops::Range;

use tidestone_format::codec::vector::Encoding;
use tidestone_format::column::{Column, Values};
use tidestone_format::schema::DuplicatePolicy;
use tidestone_format::segment::{SegmentSummary, SegmentWriter, TextMemory, WriteError};
use tidestone_format::version::GROUP_ROWS;
use tidestone_format::{FieldType, SeriesId};

use crate::model::{Model, TYPES, check, key_of, mix};
use crate::round_trip::{SHAPES, Shape, value};

fn small_text(column: usize) -> TextMemory {
    TextMemory {
        column,
        ..TextMemory::default()
    }
}

/// Writes the rows in passes of so many fields; runs are at most `run` rows long.
fn write(
    model: &Model,
    passes: &[usize],
    run: usize,
    text: TextMemory,
) -> (Vec<u8>, SegmentSummary) {
    let mut bytes = Vec::new();
    let writer = SegmentWriter::in_passes(&mut bytes, model.meta(), passes[0], text);
    let mut writer = writer.unwrap();
    let columns = |fields: Range<usize>| &model.columns[fields];
    let mut start = 0;
    for &(series, n) in &model.series {
        let key = key_of(series);
        let end = start + n;
        while start < end {
            let rows = start..end.min(start.saturating_add(run));
            let columns = columns(0..passes[0]);
            writer
                .push(series, &key, &model.times, columns, rows.clone())
                .unwrap();
            start = rows.end;
        }
    }
    let mut field = passes[0];
    for &fields in &passes[1..] {
        writer.next_pass(fields).unwrap();
        let columns = columns(field..field + fields);
        field += fields;
        let mut start = 0;
        while start < model.rows() {
            let rows = start..model.rows().min(start.saturating_add(run));
            writer.push_values(columns, rows.clone()).unwrap();
            start = rows.end;
        }
    }
    let summary = writer.finish().unwrap();
    (bytes, summary)
}

#[test]
fn columns_are_the_same_in_whatever_passes_they_come() {
    for (shape, rows) in SHAPES.into_iter().zip([1, 1024, 3000, 70_000, 66_000]) {
        let model = Model::build(&TYPES, &[(1, rows), (4, 700)], value(shape, 10, 7));
        let (_, whole) = model.write(usize::MAX);
        for passes in [&[5][..], &[0, 5], &[2, 3], &[0, 1, 1, 1, 1, 1], &[4, 0, 1]] {
            for run in [1_500, usize::MAX] {
                let (bytes, summary) = write(&model, passes, run, TextMemory::default());
                check(&model, &bytes, &summary);
                assert_eq!(summary.columns, whole.columns, "{shape:?} {passes:?} {run}");
                assert_eq!(summary.entry.rows, whole.entry.rows);
            }
        }
    }
}

#[test]
fn one_pass_is_the_segment_byte_for_byte() {
    let model = Model::build(&TYPES, &[(1, 70_000)], value(Shape::Few, 10, 7));
    let (bytes, _) = write(&model, &[TYPES.len()], 5_000, small_text(1));
    assert!(bytes == model.write(usize::MAX).0);
}

/// Strings of 100 bytes; of each stretch of ten vectors few are distinct, or all.
fn long_strings(rows: usize) -> Model {
    let types = [FieldType::I64, FieldType::String, FieldType::Bool];
    Model::build(
        &types,
        &[(1, rows / 3), (2, rows - rows / 3)],
        |_, row, column| {
            if mix(row as u64).is_multiple_of(10) {
                return column.push_null();
            }
            match &mut column.values {
                Values::I64(v) => v.push(row as i64),
                Values::Bool(v) => v.push(row % 2 == 0),
                Values::String(v) => {
                    let distinct = if (row / 10_240).is_multiple_of(2) {
                        20
                    } else {
                        u64::MAX
                    };
                    let number = mix(row as u64) % distinct;
                    v.push(&format!("{number:0100}"));
                }
                _ => unreachable!(),
            }
            if let Some(validity) = &mut column.validity {
                validity.push(true);
            }
        },
    )
}

#[test]
fn blocks_of_long_strings_are_written_in_parts() {
    for rows in [
        900,
        1024,
        5_000,
        GROUP_ROWS,
        GROUP_ROWS + 1,
        2 * GROUP_ROWS + 3_000,
    ] {
        let model = long_strings(rows);
        // Parts of one vector, of ten, and none at all.
        for column in [1, 1_000_000, usize::MAX] {
            let (bytes, summary) = write(&model, &[1, 1, 1], 3_333, small_text(column));
            check(&model, &bytes, &summary);
            let (again, _) = write(&model, &[1, 1, 1], usize::MAX, small_text(column));
            assert!(
                bytes == again,
                "{rows} rows, {column} bytes at a time: runs matter"
            );
        }
    }
}

#[test]
fn each_part_has_a_dictionary_or_not() {
    let model = long_strings(GROUP_ROWS);
    let (_, summary) = write(&model, &[1, 1, 1], usize::MAX, small_text(1));
    let strings = &summary.columns[2];
    // Two of the twenty are nulls.
    assert_eq!(strings.dictionary, 18);
    let used = Encoding::ALL.into_iter().zip(strings.encodings);
    let used: Vec<Encoding> = used.filter(|(_, u)| u.vectors > 0).map(|u| u.0).collect();
    assert_eq!(used, [Encoding::Dictionary, Encoding::PlainStrings]);
    let bytes: u64 = summary.columns.iter().map(|c| c.bytes).sum();
    assert!(bytes < summary.entry.file_len);
}

#[test]
fn a_dictionary_may_be_kept_small() {
    let model = Model::build(&[FieldType::String], &[(1, 20_000)], |_, row, column| {
        if let Values::String(v) = &mut column.values {
            v.push(&format!("{:0100}", mix(row as u64) % 50));
        }
    });
    let with = |dictionary| {
        let text = TextMemory {
            dictionary,
            ..TextMemory::default()
        };
        let (bytes, summary) = write(&model, &[0, 1], usize::MAX, text);
        check(&model, &bytes, &summary);
        summary.columns[1].dictionary
    };
    assert_eq!(with(5_000), 50);
    assert_eq!(with(4_999), 0);
    assert_eq!(with(usize::MAX), 50);
}

#[test]
fn passes_that_do_not_fit_are_refused_and_change_nothing() {
    let model = Model::build(&TYPES, &[(1, 2_000)], value(Shape::Decimals, 0, 7));
    let (key, series) = (key_of(SeriesId(1)), SeriesId(1));
    let refused = |result: Result<(), WriteError>| {
        assert!(matches!(result, Err(WriteError::Input(_))), "{result:?}");
    };
    let mut bytes = Vec::new();
    let text = TextMemory::default();
    assert!(SegmentWriter::in_passes(&mut bytes, model.meta(), 6, text).is_err());
    bytes.clear();
    let mut meta = model.meta();
    meta.policy = DuplicatePolicy::Replace;
    let mut writer = SegmentWriter::in_passes(&mut bytes, meta, 2, text).unwrap();
    let columns = |fields: Range<usize>| -> &[Column] { &model.columns[fields] };
    refused(writer.push_values(columns(0..2), 0..10));
    writer
        .push(series, &key, &model.times, columns(0..2), 0..2_000)
        .unwrap();
    refused(writer.next_pass(4));
    writer.next_pass(2).unwrap();
    refused(writer.push(series, &key, &model.times, columns(2..4), 0..1));
    refused(writer.push_values(columns(3..5), 0..10));
    writer.push_values(columns(2..4), 0..1_999).unwrap();
    refused(writer.next_pass(1));
    refused(writer.push_values(columns(2..4), 0..2));
    writer.push_values(columns(2..4), 1_999..2_000).unwrap();
    writer.next_pass(1).unwrap();
    writer.push_values(columns(4..5), 0..2_000).unwrap();
    let summary = writer.finish().unwrap();
    check(&model, &bytes, &summary);
}

#[test]
fn a_segment_without_some_passes_or_rows_is_refused() {
    let model = Model::build(&TYPES, &[(1, 100)], value(Shape::Decimals, 0, 7));
    for rows in [0, 99] {
        let text = TextMemory::default();
        let writer = SegmentWriter::in_passes(Vec::new(), model.meta(), 2, text);
        let mut writer = writer.unwrap();
        let (series, key) = (SeriesId(1), key_of(SeriesId(1)));
        writer
            .push(series, &key, &model.times, &model.columns[..2], 0..100)
            .unwrap();
        if rows > 0 {
            writer.next_pass(3).unwrap();
            writer.push_values(&model.columns[2..], 0..rows).unwrap();
        }
        assert!(matches!(writer.finish(), Err(WriteError::Input(_))));
    }
}
