//! Segments of format version 1 that every later version must read.
//!
//! The builders are deterministic and never change; a new idea is a new file. A later writer may
//! choose other encodings, so what is compared is what is read, not the bytes. A plain run never
//! writes a golden file; `UPDATE_GOLDEN=1` does, for one that is new.

#![expect(
    clippy::disallowed_methods,
    reason = "golden files are read and written here; the engine's door to files is not below"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints know test functions, not the functions they call"
)]

use std::collections::BTreeSet;
use std::path::Path;

use tidestone_format::codec::vector::Encoding;
use tidestone_format::column::{Column, Values};
use tidestone_format::manifest::Tier;
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::segment::{Segment, SegmentMeta, SegmentWriter, TextMemory};
use tidestone_format::{
    FieldId, FieldType, FileUuid, Lsn, SeriesId, SeriesKey, TableId, TimeRange,
};

const DATABASE: FileUuid = FileUuid(*b"database--golden");
const SEGMENT: FileUuid = FileUuid(*b"segment---golden");

/// What a golden file holds.
struct Golden {
    name: &'static str,
    policy: DuplicatePolicy,
    tier: Tier,
    /// Id and rows of each series.
    series: Vec<(u64, usize)>,
    times: Vec<i64>,
    fields: Vec<Field>,
    columns: Vec<Column>,
    /// The fields of each pass.
    passes: Vec<usize>,
}

fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn key(series: u64) -> SeriesKey {
    SeriesKey::new([
        ("host", format!("host-{series}")),
        ("city", "Zürich".to_owned()),
    ])
    .unwrap()
}

fn column(field_type: FieldType, rows: usize, put: impl Fn(usize, &mut Values) -> bool) -> Column {
    let mut column = Column::new(field_type);
    for row in 0..rows {
        let mut one = Column::new(field_type);
        if !put(row, &mut one.values) {
            one.push_null();
        }
        column.push_from(&one, 0);
    }
    column
}

fn f64s(rows: usize, value: impl Fn(usize) -> Option<f64>) -> Column {
    column(FieldType::F64, rows, |row, values| {
        match (value(row), values) {
            (Some(value), Values::F64(values)) => {
                values.push(value);
                true
            }
            _ => false,
        }
    })
}

fn i64s(rows: usize, value: impl Fn(usize) -> Option<i64>) -> Column {
    column(FieldType::I64, rows, |row, values| {
        match (value(row), values) {
            (Some(value), Values::I64(values)) => {
                values.push(value);
                true
            }
            _ => false,
        }
    })
}

fn u64s(rows: usize, value: impl Fn(usize) -> u64) -> Column {
    let values = Values::U64((0..rows).map(value).collect());
    Column {
        values,
        validity: None,
    }
}

fn u64s_or_null(rows: usize, value: impl Fn(usize) -> Option<u64>) -> Column {
    column(FieldType::U64, rows, |row, values| {
        match (value(row), values) {
            (Some(value), Values::U64(values)) => {
                values.push(value);
                true
            }
            _ => false,
        }
    })
}

fn bools(rows: usize, value: impl Fn(usize) -> Option<bool>) -> Column {
    column(FieldType::Bool, rows, |row, values| {
        match (value(row), values) {
            (Some(value), Values::Bool(values)) => {
                values.push(value);
                true
            }
            _ => false,
        }
    })
}

fn strings(rows: usize, value: impl Fn(usize) -> Option<String>) -> Column {
    column(FieldType::String, rows, |row, values| {
        match (value(row), values) {
            (Some(value), Values::String(values)) => {
                values.push(&value);
                true
            }
            _ => false,
        }
    })
}

fn fields(columns: &[Column]) -> Vec<Field> {
    let field = |(id, column): (u32, &Column)| Field {
        id: FieldId(id),
        name: format!("field {id}"),
        field_type: column.values.field_type(),
    };
    (1..).zip(columns).map(field).collect()
}

/// Every type, every encoding, every form of nulls.
fn every_encoding() -> Golden {
    let rows = 1_500;
    let random = |row: usize, salt: u64| mix(row as u64 ^ salt << 32);
    let some = |row: usize, salt: u64, of_100: u64| random(row, salt) % 100 >= of_100;
    let decimal = |row: usize| f64::from(u16::try_from(random(row, 1) % 900).unwrap()) / 100.0;
    let columns = vec![
        f64s(rows, |row| Some(decimal(row))),
        f64s(rows, |row| some(row, 2, 10).then(|| decimal(row) - 4.5)),
        f64s(rows, |row| some(row, 3, 60).then(|| decimal(row) * 10.0)),
        f64s(rows, |row| {
            Some(f64::from_bits(mix(random(row, 4) % 30) >> 2))
        }),
        f64s(rows, |row| Some(f64::from_bits(random(row, 5)))),
        f64s(rows, |row| (row % 9 > 0).then_some(-0.0)),
        i64s(rows, |row| {
            i64::try_from(random(row, 7) % 50)
                .ok()
                .map(|v| v + row as i64 * 1000)
        }),
        i64s(rows, |row| {
            some(row, 8, 50).then(|| random(row, 8).cast_signed())
        }),
        i64s(rows, |_| None),
        u64s(rows, |row| random(row, 9)),
        u64s(rows, |_| u64::MAX),
        bools(rows, |row| {
            some(row, 10, 5).then(|| random(row, 11) % 2 == 0)
        }),
        bools(rows, |_| Some(true)),
        strings(rows, |row| {
            some(row, 12, 10).then(|| format!("ü{}", random(row, 13) % 5))
        }),
        strings(rows, |row| {
            some(row, 14, 40).then(|| format!("{:x}", random(row, 15)))
        }),
    ];
    Golden {
        name: "segment-every-encoding.bin",
        policy: DuplicatePolicy::Replace,
        tier: Tier::Hot,
        series: vec![(3, 1_100), (7, 1), (u64::MAX, 399)],
        times: (0..rows as i64)
            .map(|row| row * 10_000_000_000 + row % 3)
            .collect(),
        fields: fields(&columns),
        passes: vec![columns.len()],
        columns,
    }
}

/// Every encoding with every type and every form of nulls it goes with, vector by vector; patches of
/// every length, dictionaries longer than a vector, NaN, and vectors without values beside others.
fn every_combination() -> Golden {
    let rows = 6 * 1024 + 100;
    let random = |row: usize, salt: u64| mix(row as u64 ^ salt << 32);
    let some = |row: usize, salt: u64, of_100: u64| random(row, salt) % 100 >= of_100;
    // Vectors without nulls, with a few and with many, by turns.
    let by_turns = |row: usize, salt: u64| some(row, salt, [0, 10, 60][row / 1024 % 3]);
    let cents = |row: usize| (random(row, 20) % 10_000_000) as f64 / 100.0;
    let specials = [f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, 1.25];
    let columns = vec![
        f64s(rows, |row| match row / 1024 {
            0 => some(row, 21, 10).then(|| cents(row)),
            1 => Some(f64::NAN),
            2 => None,
            3 => Some(specials[(random(row, 23) % 6) as usize]),
            4 => some(row, 24, 60).then_some(2.5),
            5 => Some(cents(row)),
            _ => Some(specials[row % 6]),
        }),
        f64s(rows, |row| some(row, 22, 10).then(|| cents(row))),
        i64s(rows, |row| match row / 1024 {
            1 => some(row, 25, 10).then(|| random(row, 35).cast_signed()),
            vector => Some(vector as i64),
        }),
        u64s_or_null(rows, |row| {
            by_turns(row, 26).then(|| random(row, 27) % 5_000)
        }),
        i64s(rows, |row| {
            let outlier = 1i64 << (8 * (row / 1024 + 2) - 4);
            Some(if row % 100 == 7 {
                outlier
            } else {
                row as i64 % 3
            })
        }),
        bools(rows, |row| {
            by_turns(row, 28).then(|| random(row, 29) % 2 == 0)
        }),
        strings(rows, |row| by_turns(row, 30).then(|| format!("{row:x}"))),
        strings(rows, |row| {
            by_turns(row, 31).then(|| format!("é{}", random(row, 32) % 5))
        }),
        f64s(rows, |row| {
            Some(f64::from_bits(mix(random(row, 33) % 1_100) >> 2))
        }),
        strings(rows, |row| Some(format!("{:04x}", random(row, 34) % 1_100))),
        f64s(rows, |_| None),
        u64s_or_null(rows, |_| None),
        bools(rows, |_| None),
        strings(rows, |_| None),
    ];
    Golden {
        name: "segment-every-combination.bin",
        policy: DuplicatePolicy::Replace,
        tier: Tier::Cold,
        series: vec![(2, 3_000), (1 << 40, 44), ((1 << 40) + 1, 3_200)],
        times: (0..rows as i64)
            .map(|row| row * 1_000_000_007 - 500_000_000_000)
            .collect(),
        fields: fields(&columns),
        passes: vec![columns.len()],
        columns,
    }
}

/// Two row groups, two series pages, rows of equal time.
fn many_series() -> Golden {
    let series: Vec<(u64, usize)> = (1..=1_100).map(|id| (id * 2, 60)).collect();
    let rows = 1_100 * 60;
    let columns = vec![
        i64s(rows, |row| Some(row as i64 / 1_000)),
        f64s(rows, |_| Some(2.5)),
    ];
    Golden {
        name: "segment-many-series.bin",
        policy: DuplicatePolicy::All,
        tier: Tier::Hot,
        series,
        times: (0..rows as i64)
            .map(|row| row % 60 / 2 * 1_000_000)
            .collect(),
        fields: fields(&columns),
        passes: vec![columns.len()],
        columns,
    }
}

/// The least a segment can be.
fn one_row() -> Golden {
    Golden {
        name: "segment-one-row.bin",
        policy: DuplicatePolicy::First,
        tier: Tier::Hot,
        series: vec![(1, 1)],
        times: vec![i64::MIN],
        fields: Vec::new(),
        columns: Vec::new(),
        passes: vec![0],
    }
}

/// Columns that were written one after another, blocks of strings vector by vector: dictionaries lie
/// between blocks, and blocks of one row group far from each other.
fn in_passes() -> Golden {
    let rows = 2_100;
    let columns = vec![
        i64s(rows, |row| Some(row as i64 % 9)),
        strings(rows, |row| Some(format!("{}", mix(row as u64) % 4))),
        strings(rows, |row| {
            (row % 5 > 0).then(|| format!("{:x}", mix(row as u64) % 0x1000))
        }),
        f64s(rows, |_| Some(2.5)),
    ];
    Golden {
        name: "segment-in-passes.bin",
        policy: DuplicatePolicy::Replace,
        tier: Tier::Hot,
        series: vec![(2, 2_000), (6, 100)],
        times: (0..rows as i64).map(|row| row * 1_000_000).collect(),
        fields: fields(&columns),
        columns,
        passes: vec![1, 1, 1, 1],
    }
}

/// Integers in runs, and few of them that lie far apart.
fn runs_and_codes() -> Golden {
    let rows = 2_500;
    let far = |n: usize| (mix(n as u64) >> 20).cast_signed();
    let columns = vec![
        i64s(rows, |row| Some(far(row / 37))),
        i64s(rows, |row| Some(far((mix(row as u64) % 9) as usize))),
        i64s(rows, |row| (row % 90 > 4).then(|| far(row / 300))),
        u64s(rows, |row| mix(mix(row as u64) % 50)),
        f64s(rows, |row| Some((far(row / 25) >> 20) as f64 / 100.0)),
    ];
    Golden {
        name: "segment-runs-and-codes.bin",
        policy: DuplicatePolicy::All,
        tier: Tier::Hot,
        series: vec![(3, 1_500), (4, 1_000)],
        times: (0..rows as i64).map(|row| row / 8 * 1_000_000).collect(),
        fields: fields(&columns),
        passes: vec![columns.len()],
        columns,
    }
}

/// The example of `FORMAT.md`.
fn example() -> Golden {
    let values = [Some(20.5), None, Some(21.25)];
    let columns = vec![f64s(3, |row| values[row])];
    Golden {
        name: "segment-example.bin",
        policy: DuplicatePolicy::Replace,
        tier: Tier::Hot,
        series: vec![(5, 3)],
        times: vec![1_000_000_000, 2_000_000_000, 3_000_000_000],
        fields: fields(&columns),
        passes: vec![columns.len()],
        columns,
    }
}

fn write(golden: &Golden) -> Vec<u8> {
    let meta = SegmentMeta {
        database: DATABASE,
        uuid: SEGMENT,
        table: TableId(9),
        partition: TimeRange::ALL,
        fields: golden.fields.clone(),
        policy: golden.policy,
        tier: golden.tier,
        first_lsn: Lsn(1_000),
        last_lsn: Lsn(2_000),
    };
    let mut bytes = Vec::new();
    let (first, later) = golden.passes.split_first().unwrap();
    // Each vector of a pass of strings is written by itself.
    let text = TextMemory {
        column: 1,
        ..TextMemory::default()
    };
    let mut writer = SegmentWriter::in_passes(&mut bytes, meta, *first, text).unwrap();
    let (mut columns, mut rest) = golden.columns.split_at(*first);
    let mut start = 0;
    for &(id, rows) in &golden.series {
        let run = start..start + rows;
        writer
            .push(SeriesId(id), &key(id), &golden.times, columns, run)
            .unwrap();
        start += rows;
    }
    for &fields in later {
        (columns, rest) = rest.split_at(fields);
        writer.next_pass(fields).unwrap();
        writer.push_values(columns, 0..start).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

fn stored(golden: &Golden) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/v1")
        .join(golden.name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|v| v == "1") && !path.exists() {
        std::fs::write(&path, write(golden)).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Reads the stored file and compares all that it holds; returns the encodings it has.
fn check(golden: &Golden) -> BTreeSet<Encoding> {
    let bytes = stored(golden);
    let segment = Segment::open(&bytes).unwrap();
    segment.verify(|region, result| result.unwrap_or_else(|e| panic!("{region:?}: {e}")));
    assert_eq!(
        (segment.header().database, segment.header().file),
        (DATABASE, SEGMENT)
    );
    let root = segment.root();
    assert_eq!(
        (root.table, root.policy, root.tier),
        (TableId(9), golden.policy, golden.tier)
    );
    assert_eq!((root.first_lsn, root.last_lsn), (Lsn(1_000), Lsn(2_000)));
    assert_eq!(root.rows, golden.times.len() as u64);
    assert_eq!(root.columns, golden.fields);

    let mut series = golden.series.iter();
    let mut row = 0;
    for i in 0..root.series_pages.len() {
        let page = segment.series_page(i).unwrap();
        for (n, found) in page.iter().enumerate() {
            let &(id, rows) = series.next().unwrap();
            assert_eq!(found.id, SeriesId(id));
            assert_eq!(found.rows, row..row + rows as u64);
            assert_eq!(page.key(n).unwrap(), key(id));
            row = found.rows.end;
        }
    }
    assert!(series.next().is_none());

    let time = Column {
        values: Values::I64(golden.times.clone()),
        validity: None,
    };
    let fields = golden.fields.iter().map(|f| f.id).zip(&golden.columns);
    let mut encodings = BTreeSet::new();
    for (field, expected) in std::iter::once((FieldId::TIME, &time)).chain(fields) {
        let dictionary = segment.dictionary(field).unwrap();
        let mut read = Column::new(expected.values.field_type());
        for group in 0..root.group_pages.len() {
            let page = segment.group_page(group).unwrap();
            let block = segment.block(&page, group, field).unwrap();
            for vector in 0..block.vector_count() {
                block
                    .decode(vector, dictionary.as_ref(), &mut read)
                    .unwrap();
                encodings.insert(block.describe(vector).unwrap().encoding);
            }
        }
        assert_eq!(read.len(), expected.len());
        for row in 0..read.len() {
            assert_eq!(
                cell(&read, row),
                cell(expected, row),
                "field {field} row {row}"
            );
        }
    }
    encodings
}

fn cell(column: &Column, row: usize) -> Option<String> {
    column.is_valid(row).then(|| match &column.values {
        Values::F64(v) => format!("{:016x}", v[row].to_bits()),
        Values::I64(v) => v[row].to_string(),
        Values::U64(v) => v[row].to_string(),
        Values::Bool(v) => v[row].to_string(),
        Values::String(v) => v.get(row).to_owned(),
    })
}

#[test]
fn every_encoding_is_read() {
    let encodings = check(&every_encoding());
    assert_eq!(encodings, Encoding::ALL.into_iter().collect());
}

#[test]
fn every_combination_is_read() {
    check(&every_combination());
}

#[test]
fn many_series_are_read() {
    check(&many_series());
}

#[test]
fn one_row_is_read() {
    check(&one_row());
}

#[test]
fn columns_that_were_written_in_passes_are_read() {
    check(&in_passes());
}

#[test]
fn runs_and_codes_are_read() {
    check(&runs_and_codes());
}

#[test]
fn the_worked_example_is_what_the_document_shows() {
    let golden = example();
    check(&golden);
    let document = include_str!("../FORMAT.md");
    let start = document.find("Example: a segment of three rows").unwrap();
    let block = document[start..].split("```").nth(1).unwrap();
    let mut bytes = Vec::new();
    for line in block.lines().skip(1).filter(|l| !l.is_empty() && *l != "*") {
        let (offset, rest) = line.trim_start().split_once(' ').unwrap();
        let offset: usize = offset.parse().unwrap();
        assert!(offset >= bytes.len(), "{line}");
        bytes.resize(offset, 0);
        let pairs = rest.split("  ").next().unwrap().split(' ');
        bytes.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
    }
    let stored = stored(&golden);
    for (n, (shown, stored)) in bytes.chunks(16).zip(stored.chunks(16)).enumerate() {
        assert_eq!(shown, stored, "bytes from {}", n * 16);
    }
    assert_eq!(bytes.len(), stored.len());
}

#[test]
fn the_writer_is_deterministic() {
    let all = [
        every_encoding(),
        many_series(),
        one_row(),
        example(),
        in_passes(),
        every_combination(),
        runs_and_codes(),
    ];
    for golden in all {
        assert!(write(&golden) == write(&golden), "{}", golden.name);
    }
}
