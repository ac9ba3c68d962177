//! What goes in comes out.

use proptest::prelude::*;
use tidestone_format::FieldType;
use tidestone_format::codec::vector::Encoding;
use tidestone_format::column::{Column, Values};
use tidestone_format::segment::Segment;

use crate::model::{Model, TYPES, assert_same, check, mix};

fn push(column: &mut Column, bits: u64) {
    match &mut column.values {
        Values::F64(v) => v.push(f64::from_bits(bits)),
        Values::I64(v) => v.push(bits.cast_signed()),
        Values::U64(v) => v.push(bits),
        Values::Bool(v) => v.push(bits & 1 == 1),
        Values::String(v) => v.push(&format!("{bits:x}")),
    }
    if let Some(validity) = &mut column.validity {
        validity.push(true);
    }
}

/// What values of a column are like.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Constant,
    Few,
    Ramp,
    Decimals,
    Random,
}

pub(crate) const SHAPES: [Shape; 5] = [
    Shape::Constant,
    Shape::Few,
    Shape::Ramp,
    Shape::Decimals,
    Shape::Random,
];

/// Appends a value to a column; `nulls` of 100 rows are null.
pub(crate) fn value(shape: Shape, nulls: u64, seed: u64) -> impl Fn(FieldType, usize, &mut Column) {
    move |field_type, row, column| {
        let random = mix(seed ^ (row as u64) << 8 ^ u64::from(field_type.tag()));
        if random % 100 < nulls {
            return column.push_null();
        }
        let float = field_type == FieldType::F64;
        let number = match shape {
            Shape::Constant => 7,
            Shape::Few => mix(random >> 40 & 0x7),
            Shape::Ramp => row as u64 * 60,
            Shape::Decimals => 1_000 + (random >> 32) % 900,
            Shape::Random => mix(random),
        };
        let bits = match shape {
            Shape::Decimals | Shape::Ramp if float => (number as f64 / 100.0).to_bits(),
            _ => number,
        };
        push(column, bits);
    }
}

#[test]
fn every_shape_of_every_type_at_the_edges_of_vectors() {
    for shape in SHAPES {
        for (nulls, rows) in [(0, 1023), (0, 1024), (5, 1025), (60, 2500), (100, 1100)] {
            let model = Model::build(&TYPES, &[(1, rows)], value(shape, nulls, 42));
            let (bytes, summary) = model.write(usize::MAX);
            check(&model, &bytes, &summary);
        }
    }
}

#[test]
fn one_row() {
    for nulls in [0, 100] {
        let model = Model::build(&TYPES, &[(9, 1)], value(Shape::Random, nulls, 1));
        let (bytes, summary) = model.write(1);
        check(&model, &bytes, &summary);
    }
}

#[test]
fn no_field_at_all() {
    let model = Model::build(&[], &[(1, 10), (2, 2000)], value(Shape::Random, 0, 1));
    let (bytes, summary) = model.write(100);
    check(&model, &bytes, &summary);
}

#[test]
fn the_edges_of_row_groups() {
    for rows in [65_535, 65_536, 65_537, 2 * 65_536 + 77] {
        let types = [FieldType::F64, FieldType::String];
        let series = [(1, rows / 2), (2, rows - rows / 2)];
        let model = Model::build(&types, &series, value(Shape::Decimals, 1, 3));
        let (bytes, summary) = model.write(10_000);
        check(&model, &bytes, &summary);
    }
}

#[test]
fn runs_do_not_matter() {
    let model = Model::build(&TYPES, &[(1, 70_000), (5, 3)], value(Shape::Few, 10, 9));
    let (whole, _) = model.write(usize::MAX);
    let (pieces, _) = model.write(333);
    assert!(whole == pieces);
}

#[test]
fn some_rows_of_strings_are_those_rows_of_all() {
    for (shape, nulls) in [
        (Shape::Few, 0),
        (Shape::Few, 10),
        (Shape::Few, 60),
        (Shape::Random, 0),
        (Shape::Random, 10),
        (Shape::Random, 60),
        (Shape::Random, 100),
    ] {
        let model = Model::build(&[FieldType::String], &[(1, 1500)], value(shape, nulls, 5));
        let (bytes, _) = model.write(usize::MAX);
        let segment = Segment::open(&bytes).unwrap();
        let field = model.fields[0].id;
        let dictionary = segment.dictionary(field).unwrap();
        let page = segment.group_page(0).unwrap();
        let block = segment.block(&page, 0, field).unwrap();
        for (vector, rows) in [(0, 0..1024), (0, 0..1), (0, 511..700), (1, 400..476)] {
            let mut read = Column::new(FieldType::String);
            let text = dictionary.as_ref();
            // Behind other rows, with nulls and without.
            block.decode_string_rows(0, 3..20, text, &mut read).unwrap();
            block
                .decode_string_rows(vector, rows.clone(), text, &mut read)
                .unwrap();
            let start = vector * 1024;
            let mut expected = Column::new(FieldType::String);
            expected.extend_from(&model.columns[0], 3, 20);
            expected.extend_from(&model.columns[0], start + rows.start, start + rows.end);
            assert_same(
                &format!("{shape:?} {nulls} {vector} {rows:?}"),
                &read,
                &expected,
            );
        }
        for (rows, text) in [
            (0..1024, 0),
            (0..1024, 1_000),
            (7..900, 60),
            (0..9, usize::MAX),
        ] {
            let within = block
                .string_rows_within(0, rows.clone(), text, dictionary.as_ref())
                .unwrap();
            let len = |end: usize| {
                let mut some = Column::new(FieldType::String);
                some.extend_from(&model.columns[0], rows.start, end);
                some.values.text_len()
            };
            assert!(within == rows.start + 1 || len(within) <= text);
            assert!(within > rows.start && (within == rows.end || len(within + 1) > text));
        }
        let mut read = Column::new(FieldType::String);
        let past = block.decode_string_rows(1, 400..477, dictionary.as_ref(), &mut read);
        assert!(past.is_err() && read.is_empty());
        let text: usize = (0..2)
            .map(|v| block.text_len(v, dictionary.as_ref()).unwrap())
            .sum();
        assert!(text >= model.columns[0].values.text_len());
    }
}

#[test]
fn the_right_encodings_are_chosen() {
    let chosen = |field_type, shape, nulls| -> Vec<Encoding> {
        let model = Model::build(&[field_type], &[(1, 20_000)], value(shape, nulls, 5));
        let (bytes, summary) = model.write(usize::MAX);
        check(&model, &bytes, &summary);
        let uses = summary.columns[1].encodings;
        let used = Encoding::ALL
            .into_iter()
            .zip(uses)
            .filter(|(_, u)| u.vectors > 0);
        used.map(|(e, _)| e).collect()
    };
    use FieldType::{Bool, F64, I64, String, U64};
    assert_eq!(chosen(F64, Shape::Decimals, 0), [Encoding::Alp]);
    assert_eq!(chosen(F64, Shape::Random, 0), [Encoding::Raw]);
    assert_eq!(chosen(F64, Shape::Few, 30), [Encoding::Dictionary]);
    assert_eq!(chosen(F64, Shape::Constant, 10), [Encoding::Constant]);
    assert_eq!(chosen(F64, Shape::Random, 100), [Encoding::AllNull]);
    assert_eq!(chosen(I64, Shape::Ramp, 0), [Encoding::Integer]);
    assert_eq!(chosen(I64, Shape::Random, 0), [Encoding::Raw]);
    assert_eq!(chosen(U64, Shape::Decimals, 30), [Encoding::Integer]);
    assert_eq!(chosen(Bool, Shape::Random, 10), [Encoding::Bitmap]);
    assert_eq!(chosen(Bool, Shape::Constant, 0), [Encoding::Constant]);
    assert_eq!(chosen(String, Shape::Few, 10), [Encoding::Dictionary]);
    assert_eq!(chosen(String, Shape::Random, 10), [Encoding::PlainStrings]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn anything_round_trips(
        series in prop::collection::vec((1u64..50, 0usize..1500), 1..8),
        types in prop::collection::vec(0usize..5, 0..5),
        shape in 0usize..5,
        nulls in prop::sample::select(vec![0u64, 0, 1, 20, 24, 26, 70, 99, 100]),
        seed: u64,
        run in 1usize..2000,
    ) {
        let mut id = 0;
        let mut series: Vec<(u64, usize)> = series.into_iter().map(|(step, n)| {
            id += step;
            (id, n)
        }).collect();
        series[0].1 += 1;
        let types: Vec<FieldType> = types.into_iter().map(|t| TYPES[t]).collect();
        let model = Model::build(&types, &series, value(SHAPES[shape], nulls, seed));
        let (bytes, summary) = model.write(run);
        check(&model, &bytes, &summary);
    }

    #[test]
    fn any_doubles_round_trip(
        bits in prop::collection::vec(prop_oneof![
            any::<u64>(),
            any::<f64>().prop_map(f64::to_bits),
            (-1000i32..1000).prop_map(|v| (f64::from(v) / 10.0).to_bits()),
            prop::sample::select(vec![0u64, 1 << 63, u64::MAX, f64::INFINITY.to_bits()]),
        ], 1..3000),
    ) {
        let at = |_, row: usize, column: &mut Column| push(column, bits[row]);
        let model = Model::build(&[FieldType::F64], &[(1, bits.len())], at);
        let (bytes, summary) = model.write(usize::MAX);
        check(&model, &bytes, &summary);
    }
}
