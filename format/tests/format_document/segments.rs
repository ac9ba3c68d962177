//! Layouts of a segment: one is written that has everything, and its regions are put together anew from
//! what the code reads in them, as the document says.

use tidestone_format::checksum::crc32;
use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::stats::{ColumnStats, ValueStats, VectorStats};
use tidestone_format::codec::vector::NullForm;
use tidestone_format::codec::{float, integer};
use tidestone_format::column::{Bitmap, Column, Strings, Values};
use tidestone_format::manifest::Tier;
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::segment::{
    ColumnEntry, DictionaryRef, GroupPage, GroupPageRef, Region, Root, Segment, SegmentMeta,
    SegmentWriter, SeriesPageRef, SeriesRows, TRAILER_LEN, Trailer,
};
use tidestone_format::version::FORMAT_VERSION;
use tidestone_format::{
    FieldId, FieldType, FileUuid, Lsn, SeriesId, SeriesKey, TableId, TimeRange,
};

use crate::document::{assert_laid_out, part, put, put_if, table, varint};
use crate::ids::words;

const ROWS: usize = 1_500;

/// Two vectors of each type, with every form of nulls, NaN and both kinds of dictionary.
fn columns() -> Vec<Column> {
    let odd = |i: u64| f64::from_bits(((i * i % 7 + 1) << 50) | (i % 2));
    let with_nan = |i: usize| if i == 1_100 { f64::NAN } else { i as f64 / 4.0 };
    let text = |i: usize| format!("a string long enough to be worth a code: {}", i * i % 7);
    let texts: Vec<String> = (0..ROWS).map(text).collect();
    let nulls = |every: usize| {
        let mut map = Bitmap::new();
        (0..ROWS).for_each(|i| map.push(i % every > 0));
        map
    };
    [
        Values::F64((0..ROWS as u64).map(odd).collect()),
        Values::F64((0..ROWS).map(with_nan).collect()),
        Values::I64((0..ROWS as i64).map(|i| i64::MIN + i * i).collect()),
        Values::U64((0..ROWS as u64).map(|i| u64::MAX - i * 10).collect()),
        Values::Bool((0..ROWS).map(|i| i % 5 == 0).collect()),
        Values::String(texts.iter().map(String::as_str).collect()),
    ]
    .into_iter()
    .map(|values| Column {
        validity: match values {
            Values::U64(_) => Some(nulls(3)),
            Values::I64(_) => Some(nulls(10)),
            _ => None,
        },
        values,
    })
    .collect()
}

fn written() -> Vec<u8> {
    let columns = columns();
    let fields = (1..).zip(&columns).map(|(id, column)| Field {
        id: FieldId(id * 3),
        name: format!("field {id}"),
        field_type: column.values.field_type(),
    });
    let meta = SegmentMeta {
        database: FileUuid([0xd1; 16]),
        uuid: FileUuid([0xd2; 16]),
        table: TableId(0xd3d4),
        partition: TimeRange {
            start: -0xd5_0000,
            end: 0xd6_0000,
        },
        fields: fields.collect(),
        policy: DuplicatePolicy::First,
        tier: Tier::Cold,
        first_lsn: Lsn(0xd7_0000),
        last_lsn: Lsn(0xd7_0000 + 0xd8),
    };
    let times: Vec<i64> = (0..ROWS as i64).map(|i| i * 10 - 5_000).collect();
    let mut bytes = Vec::new();
    let mut writer = SegmentWriter::new(&mut bytes, meta).unwrap();
    for (id, host, rows) in [(0xe1, "a", 0..900), (0xe9, "b", 900..ROWS)] {
        let key = SeriesKey::new([("host", host)]).unwrap();
        writer
            .push(SeriesId(id), &key, &times, &columns, rows)
            .unwrap();
    }
    writer.finish().unwrap();
    bytes
}

fn reference(region: &Region) -> Vec<u8> {
    put(
        "reference",
        &[
            ("offset / 64", &varint(region.offset / 64)),
            ("stored length", &varint(region.stored_len.into())),
            ("plain length", &varint(region.plain_len.into())),
            ("CRC-32", &region.crc.to_le_bytes()),
        ],
    )
}

#[test]
fn trailers() {
    let bytes = written();
    let segment = Segment::open(&bytes).unwrap();
    let root: Region = segment.trailer().root_region();
    let trailer: &[u8] = &bytes[bytes.len() - TRAILER_LEN..];
    let first_page = segment.root().series_pages[0].region.offset;
    let tail_len = u32::try_from(bytes.len() as u64 - first_page).unwrap();
    let found: &Trailer = segment.trailer();
    assert_eq!(found.tail_len, tail_len);
    assert_laid_out(
        "trailer",
        trailer,
        &[
            ("file uuid", &[0xd2; 16]),
            ("offset of the root", &root.offset.to_le_bytes()),
            ("stored length of the root", &root.stored_len.to_le_bytes()),
            ("plain length of the root", &root.plain_len.to_le_bytes()),
            ("CRC-32 of the root", &root.crc.to_le_bytes()),
            ("length of the tail", &tail_len.to_le_bytes()),
            ("length of the file", &(bytes.len() as u64).to_le_bytes()),
            ("format version", &FORMAT_VERSION.to_le_bytes()),
            ("reserved", &[0; 2]),
            (
                "CRC-32 of bytes 0..52",
                &crc32(&trailer[..52]).to_le_bytes(),
            ),
            ("magic `TidestSE`", b"TidestSE"),
        ],
    );
}

#[test]
fn checksums_of_regions() {
    let bytes = written();
    let segment = Segment::open(&bytes).unwrap();
    let mut kinds = Vec::new();
    segment.verify(|region, result| {
        result.unwrap();
        let covered = put(
            "region checksum",
            &[
                ("file uuid", &[0xd2; 16]),
                ("region kind", &u32::from(region.kind.tag()).to_le_bytes()),
                ("field id", &region.field.0.to_le_bytes()),
                ("offset", &region.offset.to_le_bytes()),
                ("stored bytes", segment.region(region).unwrap()),
            ],
        );
        assert_eq!(crc32(&covered), region.crc, "{region:?}");
        kinds.push(region.kind.tag());
    });
    kinds.dedup();
    assert_eq!(kinds, [1, 2, 3, 4, 5], "kinds, in the order of the file");
}

fn root_column(field: &Field) -> Vec<u8> {
    put(
        "root column",
        &[
            ("field id", &varint(field.id.0.into())),
            ("field type", &[field.field_type.tag()]),
            ("name length", &varint(field.name.len() as u64)),
            ("name", field.name.as_bytes()),
        ],
    )
}

fn root_dictionary(dictionary: &DictionaryRef) -> Vec<u8> {
    put(
        "root dictionary",
        &[
            ("field id", &varint(dictionary.field.0.into())),
            ("values", &varint(dictionary.values.into())),
            ("the dictionary", &reference(&dictionary.region)),
        ],
    )
}

/// The first page of a root, which counts from 0.
fn root_series_page(page: &SeriesPageRef) -> Vec<u8> {
    let (first, last) = (page.first_series.0, page.last_series.0);
    put(
        "root series page",
        &[
            ("series of the page", &varint(page.series.into())),
            ("first series id - ", &varint(first)),
            ("last series id - ", &varint(last - first)),
            ("first row - ", &varint(page.first_row)),
            ("the page", &reference(&page.region)),
        ],
    )
}

/// As [`root_series_page`].
fn root_group_page(page: &GroupPageRef) -> Vec<u8> {
    let (first, last) = (page.first_series.0, page.last_series.0);
    put(
        "root group page",
        &[
            ("rows", &varint(page.rows.into())),
            ("`i64` lowest timestamp", &page.times.start.to_le_bytes()),
            ("`i64` highest timestamp", &page.times.end.to_le_bytes()),
            ("series id of its first row", &varint(first)),
            ("series id of its last row", &varint(last - first)),
            ("the page", &reference(&page.region)),
        ],
    )
}

#[test]
fn roots() {
    let bytes = written();
    let segment = Segment::open(&bytes).unwrap();
    let root: &Root = segment.root();
    let (partition, times) = (root.partition, root.times);
    let lsns = root.last_lsn.0 - root.first_lsn.0;
    let columns: Vec<_> = root.columns.iter().map(root_column).collect();
    let dictionaries: Vec<_> = root.dictionaries.iter().map(root_dictionary).collect();
    let ([series_page], [group_page]) = (&root.series_pages[..], &root.group_pages[..]) else {
        panic!("one page of each kind");
    };
    assert_eq!((columns.len(), dictionaries.len()), (6, 2));
    let expected = put(
        "root",
        &[
            ("table id", &varint(0xd3d4)),
            ("`i64` partition start", &partition.start.to_le_bytes()),
            ("`i64` partition end", &partition.end.to_le_bytes()),
            ("rows", &varint(root.rows)),
            ("series", &varint(root.series)),
            ("`i64` first timestamp", &times.start.to_le_bytes()),
            ("`i64` last timestamp", &times.end.to_le_bytes()),
            ("first LSN", &varint(root.first_lsn.0)),
            ("last LSN - first LSN", &varint(lsns)),
            ("duplicate policy", &[root.policy.tag()]),
            ("tier", &[root.tier.tag()]),
            ("edition", &[0; 2]),
            ("number of columns", &[6]),
            ("the columns", &columns.concat()),
            ("number of dictionaries", &[2]),
            ("the dictionaries", &dictionaries.concat()),
            ("number of series pages", &[1]),
            ("the series pages", &root_series_page(series_page)),
            ("number of group pages", &[1]),
            ("the group pages", &root_group_page(group_page)),
        ],
    );
    let region = segment.trailer().root_region();
    assert_eq!(segment.region(&region).unwrap(), expected);
}

fn integers(values: &[i64]) -> Vec<u8> {
    let mut stream = Vec::new();
    integer::encode(values, &mut stream);
    part(&stream)
}

fn floats(values: &[f64]) -> Vec<u8> {
    let mut stream = Vec::new();
    float::encode(values, &mut stream);
    part(&stream)
}

#[test]
fn series_pages() {
    let bytes = written();
    let segment = Segment::open(&bytes).unwrap();
    let page = segment.series_page(0).unwrap();
    let of_each = |value: fn(&SeriesRows) -> i64| {
        integers(&page.iter().map(|rows| value(&rows)).collect::<Vec<_>>())
    };
    let rows = |rows: &SeriesRows| (rows.rows.end - rows.rows.start).cast_signed();
    let keys = [0, 1].map(|i| page.key_bytes(i).unwrap());
    let lengths = integers(&keys.map(|key| key.len() as i64));
    let keys = keys.concat();
    let text = put(
        "packed text",
        &[
            ("text form", &[2]),
            ("plain length", &varint(keys.len() as u64)),
            ("as the form says", &keys),
        ],
    );
    let expected = put(
        "series page",
        &[
            ("*k*", &[2]),
            ("series ids", &of_each(|rows| rows.id.0.cast_signed())),
            ("numbers of rows", &of_each(rows)),
            ("first timestamps", &of_each(|rows| rows.times.start)),
            ("last timestamps", &of_each(|rows| rows.times.end)),
            ("lengths of keys", &lengths),
            ("series keys", &text),
        ],
    );
    let region = segment.root().series_pages[0].region;
    assert_eq!(segment.region(&region).unwrap(), expected);
}

#[test]
fn dictionaries() {
    let bytes = written();
    let segment = Segment::open(&bytes).unwrap();
    let mut are_floats = Vec::new();
    for found in &segment.root().dictionaries {
        let stored = segment.region(&found.region).unwrap();
        let count = varint(found.values.into());
        let dictionary = segment.dictionary(found.field).unwrap().unwrap();
        let expected = match &dictionary {
            Dictionary::F64(values) => {
                let values = floats(values);
                put("float dictionary", &[("*m*", &count), ("values", &values)])
            }
            Dictionary::String(values) => put(
                "string dictionary",
                &[
                    ("*m*", &count),
                    ("lengths", &lengths(values)),
                    ("values", &compressed(values, stored)),
                ],
            ),
        };
        assert_eq!(stored, expected);
        are_floats.push(matches!(dictionary, Dictionary::F64(_)));
    }
    assert_eq!(are_floats, [true, false]);
}

fn lengths(values: &Strings) -> Vec<u8> {
    let lengths = values.iter().map(|value| value.len() as i64);
    integers(&lengths.collect::<Vec<_>>())
}

/// The packed text of `values` at the end of a dictionary, whose frame is taken as it is.
fn compressed(values: &Strings, stored: &[u8]) -> Vec<u8> {
    let text: String = values.iter().collect();
    let plain_len = varint(text.len() as u64);
    let head = 1 + lengths(values).len() + 1 + plain_len.len();
    let behind = &stored[head..];
    let frame = &behind[varint(behind.len() as u64 - 1).len()..];
    let plain = zstd::bulk::decompress(frame, text.len()).unwrap();
    assert_eq!(plain, text.as_bytes());
    let form = &table("text form").rows[0];
    assert!(form[1] == "zstd" && form[2].starts_with("part: a zstd frame"));
    put(
        "packed text",
        &[
            ("text form", &[1]),
            ("plain length", &plain_len),
            ("as the form says", &part(frame)),
        ],
    )
}

/// The arrays of a type: each one's name and what it is as a part.
fn arrays(stats: &ColumnStats) -> Vec<(&'static str, Vec<u8>)> {
    let vectors = stats.vectors();
    let of = || vectors.iter().map(|vector| vector.of);
    macro_rules! each {
        ($put:ident, $variant:ident: $($name:literal $field:ident $with:expr),+) => {
            vec![$(($name, $put(&of().map(|of| match of {
                ValueStats::$variant { $field, .. } => $with($field),
                other => panic!("{other:?}"),
            }).collect::<Vec<_>>()))),+]
        };
    }
    let same = |v: i64| v;
    let bits = u64::cast_signed;
    match vectors[0].of {
        ValueStats::F64 { .. } => {
            let same = |v: f64| v;
            each!(floats, F64: "min" min same, "max" max same, "first" first same,
                "last" last same, "sum" sum same)
        }
        ValueStats::I64 { .. } => {
            each!(integers, I64: "min" min same, "max" max same, "first" first same,
                "last" last same, "low half of the sum" sum |sum: i128| sum as i64,
                "high half of the sum" sum |sum: i128| (sum >> 64) as i64)
        }
        ValueStats::U64 { .. } => {
            each!(integers, U64: "min" min bits, "max" max bits, "first" first bits,
                "last" last bits, "low half of the sum" sum |sum: u128| sum as i64,
                "high half of the sum" sum |sum: u128| (sum >> 64) as i64)
        }
        ValueStats::Time { .. } => {
            each!(integers, Time: "min" min same, "max" max same, "first" first same,
                "last" last same)
        }
        ValueStats::Bool { .. } => {
            each!(integers, Bool: "trues" trues bits, "first" first i64::from,
                "last" last i64::from)
        }
        ValueStats::String => Vec::new(),
    }
}

/// Flags and arrays of a column, as the document says.
fn statistics(column: &ColumnEntry, stats: &ColumnStats) -> Vec<u8> {
    let of_type = match (column.field, column.field_type) {
        (FieldId::TIME, _) => "time",
        (_, of_type) => of_type.name(),
    };
    let by_type = table("arrays by type").rows;
    let row = by_type.iter().find(|row| row[0] == of_type).unwrap();
    let arrays = arrays(stats);
    let names: Vec<&str> = arrays.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.join(", "), row[2], "{of_type}");
    let stream = match column.field_type {
        FieldType::F64 => "float",
        FieldType::String => "",
        FieldType::I64 | FieldType::U64 | FieldType::Bool => "integer",
    };
    assert_eq!(row[1], stream, "{of_type}");

    let counts = |count: fn(&VectorStats) -> u64| {
        let counts = stats.vectors().iter().map(count);
        counts.map(u64::cast_signed).collect::<Vec<_>>()
    };
    let any = |counts: &[i64]| counts.iter().any(|&n| n > 0);
    let (nulls, nans) = (counts(|v| v.nulls), counts(|v| v.nans));
    let (mut flags, mut parts) = (0, Vec::new());
    for row in table("statistics flag").rows {
        let (is_set, part) = match row[1] {
            "there are nulls" => (any(&nulls), integers(&nulls)),
            "there are NaNs" => (any(&nans), integers(&nans)),
            "there is a vector with a value" => (
                any(&counts(|v| v.values())),
                arrays.iter().flat_map(|(_, part)| part.clone()).collect(),
            ),
            other => panic!("{other}"),
        };
        if is_set {
            flags |= 1 << row[0].parse::<u8>().unwrap();
            parts.extend(part);
        }
    }
    [vec![flags], parts].concat()
}

#[test]
fn group_pages() {
    let bytes = written();
    let segment = Segment::open(&bytes).unwrap();
    let page = segment.group_page(0).unwrap();
    let mut expected = varint(page.columns().len() as u64);
    for column in page.columns() {
        let statistics = statistics(column, &page.stats(column).unwrap());
        expected.extend(put(
            "group column",
            &[
                ("field id", &varint(column.field.0.into())),
                ("the block", &reference(&column.block)),
                ("statistics", &part(&statistics)),
            ],
        ));
    }
    let region = segment.root().group_pages[0].region;
    assert_eq!(segment.region(&region).unwrap(), expected);

    let types: Vec<_> = page.columns().iter().map(|c| c.field_type).collect();
    assert!(FieldType::ALL.iter().all(|of| types.contains(of)));
    let rows = table("arrays by type").rows;
    assert_eq!(rows.len(), FieldType::ALL.len() + 1, "all types, and time");
}

#[test]
fn statistics_have_no_other_flags() {
    let bytes = written();
    let segment = Segment::open(&bytes).unwrap();
    let region = segment.root().group_pages[0].region;
    let mut page = segment.region(&region).unwrap().to_vec();
    let rows = table("statistics flag").rows;
    let bits: Vec<u8> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(bits, [0, 1, 2]);
    // The last column is one of strings, whose statistics end with their flags.
    for flags in (0..=255u8).filter(|flags| flags & 3 == 0) {
        *page.last_mut().unwrap() = flags;
        let page = GroupPage::decode(&page, segment.root(), 0).unwrap();
        let stats = page.stats(page.columns().last().unwrap());
        assert_eq!(stats.is_ok(), flags & !0b111 == 0, "flags {flags}");
    }
}

#[test]
fn blocks() {
    let bytes = written();
    let segment = Segment::open(&bytes).unwrap();
    let page = segment.group_page(0).unwrap();
    for column in page.columns() {
        let block = segment.block(&page, 0, column.field).unwrap();
        let end = |i| (block.describe(i).unwrap().place.end - column.block.offset) as u32;
        let ends = [end(0), end(1)].map(u32::to_le_bytes).concat();
        let head = &segment.region(&column.block).unwrap()[..24];
        assert_laid_out(
            "block",
            head,
            &[
                ("magic `TSbl`", b"TSbl"),
                ("field id", &column.field.0.to_le_bytes()),
                ("row group number", &0u32.to_le_bytes()),
                ("field type", &[column.field_type.tag()]),
                ("number of vectors", &[2]),
                ("rows of the last vector", &476u16.to_le_bytes()),
                ("`u32` end offset of each vector", &ends),
            ],
        );
        assert_eq!(block.vector_count(), 2);
        assert_eq!(
            block.describe(0).unwrap().place.start,
            column.block.offset + 24
        );
    }
}

#[test]
fn vectors() {
    let bytes = written();
    let segment = Segment::open(&bytes).unwrap();
    let page = segment.group_page(0).unwrap();
    let mut forms = Vec::new();
    for column in page.columns() {
        let block = segment.block(&page, 0, column.field).unwrap();
        for i in 0..block.vector_count() {
            let (vector, described) = (block.vector(i).unwrap(), block.describe(i).unwrap());
            let place = described.place.start as usize..described.place.end as usize;
            let bits = vector.validity().words().iter();
            let mut map: Vec<u8> = bits.flat_map(|word| word.to_le_bytes()).collect();
            map.truncate(described.rows.div_ceil(8));

            let form = described.null_form;
            let (encoding, null_form) = ([described.encoding.tag()], [form.tag()]);
            let mut fields: Vec<(&str, &[u8])> =
                vec![("encoding", &encoding), ("null form", &null_form)];
            let mut payload = &bytes[place.start + 2..place.end];
            if form != NullForm::None {
                fields.push(("null map", &map));
                payload = &payload[map.len()..];
            }
            fields.push(("payload", payload));
            let name = words(&format!("{form:?}"));
            assert_eq!(put_if("vector", &[&name], &fields), bytes[place]);
            forms.push(form);
        }
    }
    assert!(NullForm::ALL.iter().all(|form| forms.contains(form)));
}
