use std::ops::Range;

use super::*;
use crate::FormatErrorKind::{Invalid, Limit};
use crate::column::{Bitmap, Values};
use crate::version::MAX_STRING;
use crate::{FieldType, Result};
use proptest::prelude::*;

/// A column whose validity is the bits of `nulls`, repeated.
fn column(field_type: FieldType, rows: usize, nulls: Option<u64>) -> Column {
    let mut values = Values::new(field_type);
    for i in 0..rows {
        match &mut values {
            Values::F64(v) => v.push(i as f64 * 1.5 - 3.0),
            Values::I64(v) => v.push(i as i64 - 5),
            Values::U64(v) => v.push(u64::MAX - i as u64),
            Values::Bool(v) => v.push(i % 3 != 1),
            Values::String(v) => v.push(&"wörld".repeat(i % 4)),
        }
    }
    let validity = nulls.map(|bits| {
        let mut map = Bitmap::new();
        (0..rows).for_each(|i| map.push(bits >> (i % 64) & 1 == 1));
        map
    });
    Column { values, validity }
}

/// What a reader gets of the rows `rows` of `column`.
fn expected(column: &Column, rows: Range<usize>) -> Column {
    let mut part = Column::new(column.values.field_type());
    rows.for_each(|row| part.push_from(column, row));
    part
}

const TYPES: [FieldType; 5] = [
    FieldType::F64,
    FieldType::I64,
    FieldType::U64,
    FieldType::Bool,
    FieldType::String,
];

fn section(rows: usize, per_row: bool, nulls: Option<u64>) -> BatchSection {
    let times = (0..rows).map(|i| i as i64 * 1000 - 7).collect();
    let series = if per_row {
        SectionSeries::PerRow((0..rows).map(|i| SeriesId(1 + i as u64)).collect())
    } else {
        SectionSeries::One(SeriesId(77))
    };
    let columns = TYPES
        .into_iter()
        .zip([1, 2, 5, 6, 9])
        .map(|(t, id)| (FieldId(id), column(t, rows, nulls)))
        .collect();
    BatchSection {
        table: TableId(4),
        series,
        times,
        columns,
    }
}

fn append(encoder: &mut BatchEncoder, section: &BatchSection, rows: Range<usize>) -> Result<()> {
    let columns: Vec<_> = section.columns.iter().map(|(id, c)| (*id, c)).collect();
    let ids = section.series.as_ids();
    encoder.append_section(section.table, ids, &section.times, &columns, rows)
}

fn payload(section: &BatchSection) -> Vec<u8> {
    let mut encoder = BatchEncoder::new();
    append(&mut encoder, section, 0..section.times.len()).unwrap();
    encoder.payload().to_vec()
}

fn part_of(section: &BatchSection, rows: Range<usize>) -> BatchSection {
    BatchSection {
        table: section.table,
        series: match &section.series {
            SectionSeries::One(id) => SectionSeries::One(*id),
            SectionSeries::PerRow(ids) => SectionSeries::PerRow(ids[rows.clone()].to_vec()),
        },
        times: section.times[rows.clone()].to_vec(),
        columns: section
            .columns
            .iter()
            .map(|(id, c)| (*id, expected(c, rows.clone())))
            .collect(),
    }
}

proptest! {
    #[test]
    fn any_rows_round_trip(
        rows in 1usize..1200,
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        per_row: bool,
        nulls in prop::option::of(any::<u64>()),
    ) {
        let section = section(rows, per_row, nulls);
        let (a, b) = (cut.0.index(rows), cut.1.index(rows));
        let part = a.min(b)..a.max(b) + 1;
        let mut encoder = BatchEncoder::new();
        append(&mut encoder, &section, part.clone()).unwrap();
        append(&mut encoder, &section, 0..rows).unwrap();
        prop_assert_eq!(encoder.payload().len() % 8, 0);
        let len_of = |rows| {
            let columns: Vec<_> = section.columns.iter().map(|(id, c)| (*id, c)).collect();
            section_len(section.table, section.series.as_ids(), &section.times, &columns, rows)
        };
        let lens = len_of(part.clone()).unwrap() + len_of(0..rows).unwrap();
        prop_assert_eq!(encoder.payload().len(), 8 + lens);
        let decoded = decode_batch(encoder.payload()).unwrap();
        prop_assert_eq!(decoded, [part_of(&section, part), part_of(&section, 0..rows)]);
    }

    #[test]
    fn damaged_bytes_never_panic(
        rows in 1usize..70,
        per_row: bool,
        nulls in prop::option::of(any::<u64>()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = payload(&section(rows, per_row, nulls));
        for (at, value) in changes {
            let at = at.index(bytes.len().min(1000));
            bytes[at] = value;
        }
        if let Ok(sections) = decode_batch(&bytes) {
            prop_assert!(sections.iter().all(|s| s.columns.iter().all(|(_, c)| c.len() == s.times.len())));
        }
    }
}

#[test]
fn a_map_without_nulls_is_not_written() {
    let section = section(100, false, Some(u64::MAX));
    assert!(section.columns.iter().all(|(_, c)| c.validity.is_some()));
    let decoded = decode_batch(&payload(&section)).unwrap();
    assert!(decoded[0].columns.iter().all(|(_, c)| c.validity.is_none()));
}

#[test]
fn floats_keep_their_bits() {
    let bits = [0x7ff8_0000_0000_1234, 0xfff0_0000_0000_0000, 1 << 63, 1];
    let values = Values::F64(bits.map(f64::from_bits).to_vec());
    let column = Column {
        values,
        validity: None,
    };
    let mut out = BatchEncoder::new();
    let columns = [(FieldId(1), &column)];
    out.append_section(
        TableId(1),
        SeriesIds::One(SeriesId(1)),
        &[0; 4],
        &columns,
        0..4,
    )
    .unwrap();
    let decoded = decode_batch(out.payload()).unwrap();
    let Values::F64(values) = &decoded[0].columns[0].1.values else {
        panic!("another type");
    };
    assert!(values.iter().zip(bits).all(|(v, b)| v.to_bits() == b));
}

#[test]
fn every_truncation_and_addition_is_refused() {
    for nulls in [None, Some(0x5555)] {
        let bytes = payload(&section(3, true, nulls));
        for len in 0..bytes.len() {
            assert!(decode_batch(&bytes[..len]).is_err(), "cut at {len}");
        }
        assert!(decode_batch(&[&bytes[..], &[0; 8]].concat()).is_err());
    }
}

#[test]
fn each_field_has_its_bounds() {
    // Offsets: payload 0, section 8, series ids 24, times 48, f64 column 72, its map 88, values 96.
    let sound = payload(&section(3, true, Some(0b101)));
    let check = |at: usize, value: &[u8], offset: u64| {
        let mut bytes = sound.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        let error = decode_batch(&bytes).unwrap_err();
        assert_eq!((error.kind, error.offset), (Invalid, offset), "{error}");
    };
    check(0, &[0], 0);
    check(0, &[200], 0);
    check(4, &[1], 4);
    check(8, &[1], 8);
    check(12, &[0], 12);
    check(16, &[0], 16);
    check(20, &[4], 8);
    check(20, &[0xff, 0xff], 20);
    check(22, &[2], 22);
    check(23, &[1], 23);
    check(32, &[0], 24);
    check(72, &[0], 72);
    check(76, &[0], 76);
    check(76, &[6], 76);
    check(77, &[2], 77);
    check(78, &[1], 78);
    check(80, &[25], 80);
    check(84, &[1], 84);
    check(88, &[0xff], 88);
    check(89, &[1], 89);
    check(104, &[1], 96);
    // The i64 column follows at 120; its field id must exceed that of the first.
    check(120, &[1], 120);
}

#[test]
fn each_field_of_a_string_column_has_its_bounds() {
    let column = Column {
        values: Values::String(["aé", "b"].into_iter().collect()),
        validity: None,
    };
    let mut encoder = BatchEncoder::new();
    let columns = [(FieldId(1), &column)];
    let series = SeriesIds::One(SeriesId(1));
    encoder
        .append_section(TableId(1), series, &[1, 2], &columns, 0..2)
        .unwrap();
    // Ends at 64 and 68, text from 72 to 76.
    let check = |at: usize, value: u8, offset: u64| {
        let mut bytes = encoder.payload().to_vec();
        bytes[at] = value;
        let error = decode_batch(&bytes).unwrap_err();
        assert_eq!((error.kind, error.offset), (Invalid, offset), "{error}");
    };
    check(64, 2, 64);
    check(64, 5, 64);
    check(68, 2, 68);
    check(68, 3, 72);
    check(75, 0xff, 75);
    check(73, b'x', 74);
    check(76, 1, 76);
    check(56, 7, 64);
}

#[test]
fn the_encoder_refuses_what_the_decoder_would() {
    let good = column(FieldType::Bool, 3, None);
    let short = column(FieldType::Bool, 2, None);
    let mut odd_map = column(FieldType::Bool, 3, None);
    odd_map.validity = Some(Bitmap::filled(4, true));
    let huge = Column {
        values: Values::String(["", "", &*"x".repeat(MAX_STRING + 1)].into_iter().collect()),
        validity: None,
    };
    let one = SeriesIds::One(SeriesId(1));
    let check =
        |kind, table, series: SeriesIds<'_>, columns: &[(FieldId, &Column)], rows: Range<usize>| {
            let mut out = vec![5; 3];
            let error = append_section(
                &mut out,
                TableId(table),
                series,
                &[1, 2, 3],
                columns,
                rows.clone(),
            );
            assert_eq!(error.unwrap_err().kind, kind);
            assert_eq!(out, [5; 3]);
            let len = section_len(TableId(table), series, &[1, 2, 3], columns, rows);
            assert_eq!(len.unwrap_err().kind, kind);
            let mut encoder = BatchEncoder::new();
            let error = encoder.append_section(TableId(table), series, &[1, 2, 3], columns, 0..0);
            assert!(error.is_err() && encoder.is_empty() && encoder.payload().is_empty());
        };
    check(Invalid, 0, one, &[], 0..3);
    check(Invalid, 1, SeriesIds::One(SeriesId(0)), &[], 0..3);
    check(Invalid, 1, SeriesIds::PerRow(&[SeriesId(1); 2]), &[], 0..2);
    check(
        Invalid,
        1,
        SeriesIds::PerRow(&[SeriesId(1), SeriesId(0), SeriesId(2)]),
        &[],
        0..3,
    );
    check(Invalid, 1, one, &[], 1..1);
    check(Invalid, 1, one, &[], 1..4);
    check(Invalid, 1, one, &[(FieldId(1), &short)], 0..2);
    check(Invalid, 1, one, &[(FieldId(1), &odd_map)], 0..2);
    check(Invalid, 1, one, &[(FieldId(0), &good)], 0..3);
    check(
        Invalid,
        1,
        one,
        &[(FieldId(2), &good), (FieldId(2), &good)],
        0..3,
    );
    check(
        Limit,
        1,
        one,
        &[(FieldId(1), &good), (FieldId(2), &huge)],
        0..3,
    );
    let many: Vec<_> = (1..=4097).map(|id| (FieldId(id), &good)).collect();
    check(Limit, 1, one, &many, 0..3);
}

#[test]
fn an_encoder_can_be_used_again() {
    let section = section(5, false, None);
    let mut encoder = BatchEncoder::new();
    append(&mut encoder, &section, 0..5).unwrap();
    let first = encoder.payload().to_vec();
    encoder.clear();
    assert!(encoder.is_empty());
    append(&mut encoder, &section, 0..5).unwrap();
    assert_eq!(encoder.payload(), first);
}
