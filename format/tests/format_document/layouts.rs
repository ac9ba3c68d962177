//! Layouts of headers, frames, edits and of what they carry: samples with values of their own in every
//! field, compared field by field.

use tidestone_format::checksum::crc32;
use tidestone_format::column::{Bitmap, Column, Values};
use tidestone_format::header::{Cipher, Cut, FileHeader, HEADER_LEN, LogHeader, Specific};
use tidestone_format::log::batch::{BatchEncoder, SeriesIds};
use tidestone_format::log::frame::{
    FRAME_HEADER_LEN, FRAME_MAGIC, FrameHeader, FrameKind, encode_frame_header,
};
use tidestone_format::log::{Selection, SeriesDefinition, Tombstone};
use tidestone_format::manifest::{
    ClockTrust, EDIT_HEADER_LEN, EDIT_MAGIC, EDITS_START, Entry, EntryTag, SegmentEntry, Tier,
};
use tidestone_format::schema::{DuplicatePolicy, Field, SchemaMode, TableSchema, TableSettings};
use tidestone_format::sharing::{LeaseRecord, Published};
use tidestone_format::version::{FORMAT_VERSION, LOG_PAGE};
use tidestone_format::{
    FieldId, FieldType, FileUuid, Lsn, SeriesId, SeriesKey, TableId, TimeRange,
};

use crate::document::{DOCUMENT, assert_laid_out, put, put_rows, section, short_text, table};
use crate::examples::{edit, uuid};

fn log_header() -> FileHeader {
    let log = LogHeader {
        file_len: 0x4000_0000,
        first_lsn: Lsn(0x2222),
        cut: Some(Cut {
            file_number: 0x33,
            offset: 0x4000,
            last_lsn: Lsn(0x1111),
        }),
    };
    FileHeader {
        version: FORMAT_VERSION,
        oldest_reader: 1,
        writer_version: 0x0a0b_0c0d,
        required_features: 0x0101_0101,
        optional_features: 0x0202_0202,
        database: FileUuid([0xdb; 16]),
        file: FileUuid([0xf1; 16]),
        number: 0x0706_0504_0302_0100,
        cipher: Cipher {
            cipher: 0xc1,
            key_wrap: 0xc2,
            key_id: 0xc3c4_c5c6,
            wrapped_key: [0xc7; 48],
            nonce_seed: [0xc8; 16],
        },
        specific: Specific::Log(log),
    }
}

#[test]
fn file_headers() {
    let bytes = log_header().encode();
    assert_laid_out(
        "file header",
        &bytes,
        &[
            ("magic", b"TidestLG"),
            ("written in", &FORMAT_VERSION.to_le_bytes()),
            ("oldest format version", &1u16.to_le_bytes()),
            ("writing library", &0x0a0b_0c0du32.to_le_bytes()),
            ("required features", &0x0101_0101u32.to_le_bytes()),
            ("optional features", &0x0202_0202u32.to_le_bytes()),
            ("database uuid", &[0xdb; 16]),
            ("file uuid", &[0xf1; 16]),
            ("number", &0x0706_0504_0302_0100u64.to_le_bytes()),
            ("cipher: 0", &[0xc1]),
            ("key wrap", &[0xc2]),
            ("reserved", &[0; 2]),
            ("key id", &0xc3c4_c5c6u32.to_le_bytes()),
            ("wrapped key", &[0xc7; 48]),
            ("nonce seed", &[0xc8; 16]),
            ("by kind", &bytes[136..188]),
            (
                "CRC-32 of bytes 0..188",
                &crc32(&bytes[..188]).to_le_bytes(),
            ),
        ],
    );
    assert_laid_out(
        "log header",
        &bytes,
        &[
            ("file length", &0x4000_0000u64.to_le_bytes()),
            ("first LSN", &0x2222u64.to_le_bytes()),
            ("file number of the cut", &0x33u64.to_le_bytes()),
            ("offset of the cut", &0x4000u64.to_le_bytes()),
            ("last LSN of the cut", &0x1111u64.to_le_bytes()),
        ],
    );
    assert_eq!(bytes[176..188], [0; 12]);
    let created = 0x5756_5554_5352_5150i64;
    let bytes = FileHeader::identity(FileUuid([0xdb; 16]), created).encode();
    let fields: &[(_, &[u8])] = &[("`i64` time of creation", &created.to_le_bytes())];
    assert_laid_out("identity header", &bytes, fields);
    assert_eq!(bytes[144..188], [0; 44]);
    let title = format!("## 1. File header ({HEADER_LEN} bytes; all four kinds)");
    assert!(DOCUMENT.contains(&title));
}

#[test]
fn frame_headers() {
    let header = FrameHeader {
        kind: FrameKind::SegmentReference,
        file_number: 0x1716_1514_1312_1110,
        lsn: Lsn(0x2726_2524_2322_2120),
        durable_lsn: Lsn(0x0736_3534_3332_3130),
        stored_len: 0x0403_0201,
        payload_crc: 0x4443_4241,
    };
    let incarnation = FileUuid([0x77; 16]);
    let bytes = encode_frame_header(&header, incarnation);
    let covered = [&incarnation.0, &bytes[8..]].concat();
    assert_laid_out(
        "frame header",
        &bytes,
        &[
            ("magic", &FRAME_MAGIC),
            ("(the header)", &crc32(&covered).to_le_bytes()),
            ("of the stored payload", &0x4443_4241u32.to_le_bytes()),
            ("stored length", &0x0403_0201u32.to_le_bytes()),
            ("plain length", &0x0403_0201u32.to_le_bytes()),
            ("kind", &[FrameKind::SegmentReference.tag()]),
            ("flags", &[0]),
            ("reserved", &[0; 2]),
            ("log file number", &0x1716_1514_1312_1110u64.to_le_bytes()),
            ("`u64` LSN", &0x2726_2524_2322_2120u64.to_le_bytes()),
            ("durable LSN known", &0x0736_3534_3332_3130u64.to_le_bytes()),
            ("authentication tag", &[0; 16]),
        ],
    );
    assert!(DOCUMENT.contains(&format!("Frame header ({FRAME_HEADER_LEN} bytes)")));
    let start = format!("A header, zeros up to offset {LOG_PAGE}, then *groups*");
    assert!(section("## 3. Log file").contains(&start));
}

#[test]
fn records_of_processes() {
    let published = Published {
        database: FileUuid([0xdb; 16]),
        incarnation: FileUuid([0xf1; 16]),
        boot: FileUuid([0xb0; 16]),
        durable: Lsn(0x0706_0504_0302_0100),
        version: 0x1716_1514_1312_1110,
    };
    let bytes = published.encode();
    assert_laid_out(
        "published",
        &bytes,
        &[
            ("magic `TidestPB`", b"TidestPB"),
            ("database uuid", &[0xdb; 16]),
            ("incarnation", &[0xf1; 16]),
            ("boot", &[0xb0; 16]),
            ("durable LSN", &published.durable.0.to_le_bytes()),
            ("version of the manifest", &published.version.to_le_bytes()),
            ("reserved", &[0; 20]),
            ("CRC-32 of bytes 0..92", &crc32(&bytes[..92]).to_le_bytes()),
        ],
    );
    let lease = LeaseRecord {
        database: FileUuid([0xdb; 16]),
        version: 0x2726_2524_2322_2120,
    };
    let bytes = lease.encode();
    assert_laid_out(
        "lease",
        &bytes,
        &[
            ("magic `TidestLS`", b"TidestLS"),
            ("database uuid", &[0xdb; 16]),
            ("version of the manifest", &lease.version.to_le_bytes()),
            ("reserved", &[0; 28]),
            ("CRC-32 of bytes 0..60", &crc32(&bytes[..60]).to_le_bytes()),
        ],
    );
}

#[test]
fn values_in_a_batch() {
    for (row, of_type) in table("field type").rows.iter().zip(FieldType::ALL) {
        let values = match of_type {
            FieldType::F64 | FieldType::I64 | FieldType::U64 => "8*n* bytes",
            FieldType::Bool => "`ceil(n/8)` bytes, lowest bit first",
            FieldType::String => "`u32` end offsets *n* times, then the bytes",
        };
        assert!(row[2].starts_with(values), "{row:?}");
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The bytes of a column of a section; padding belongs to map and values.
fn column(id: u32, of: FieldType, nulls: u8, len: u32, map: &[u8], values: &[u8]) -> Vec<u8> {
    put(
        "column",
        &[
            ("field id", &id.to_le_bytes()),
            ("field type", &[of.tag()]),
            ("null map", &[nulls]),
            ("reserved", &[0; 2]),
            ("length of the values", &len.to_le_bytes()),
            ("reserved", &[0; 4]),
            ("null map", map),
            ("the values", values),
        ],
    )
}

/// The bytes of a section of table 0x51 with the times 0x31, 0x32 and 0x33.
fn batch_section(series: &[u8], form: u8, columns: u16, rest: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + series.len() + 24 + rest.len()).unwrap();
    put(
        "section",
        &[
            ("section length", &len.to_le_bytes()),
            ("table id", &0x51u32.to_le_bytes()),
            ("rows", &3u32.to_le_bytes()),
            ("columns", &columns.to_le_bytes()),
            ("series form", &[form]),
            ("reserved", &[0]),
            ("`u64` series ids", series),
            ("`i64` timestamps", &words(&[0x31, 0x32, 0x33])),
            ("the columns", rest),
        ],
    )
}

#[test]
fn batches() {
    let floats = Column {
        values: Values::F64(vec![1.5, -2.5, 3.5]),
        validity: None,
    };
    let mut map = Bitmap::new();
    [true, false, true]
        .into_iter()
        .for_each(|bit| map.push(bit));
    let strings = Column {
        values: Values::String(["ab", "", "cde"].into_iter().collect()),
        validity: Some(map),
    };
    let columns = [(FieldId(0x11), &floats), (FieldId(0x22), &strings)];
    let times = [0x31, 0x32, 0x33];
    let ids = [0x41, 0x42, 0x43];

    let bits = [1.5f64, -2.5, 3.5].map(f64::to_bits);
    let ends = [2u32, 2, 5].map(u32::to_le_bytes).concat();
    let text = [&ends[..], b"abcde", &[0; 7]].concat();
    let with_columns = [
        column(0x11, FieldType::F64, 0, 24, &[], &words(&bits)),
        column(
            0x22,
            FieldType::String,
            1,
            17,
            &[0b101, 0, 0, 0, 0, 0, 0, 0],
            &text,
        ),
    ];
    let sections = [
        batch_section(&words(&ids), 1, 2, &with_columns.concat()),
        batch_section(&words(&[0x44]), 0, 0, &[]),
    ];
    let expected = put(
        "batch",
        &[
            ("number of sections", &2u32.to_le_bytes()),
            ("reserved", &[0; 4]),
            ("the sections", &sections.concat()),
        ],
    );

    let mut batch = BatchEncoder::new();
    let (ids, table) = (ids.map(SeriesId), TableId(0x51));
    let (many, one) = (SeriesIds::PerRow(&ids), SeriesIds::One(SeriesId(0x44)));
    batch
        .append_section(table, many, &times, &columns, 0..3)
        .unwrap();
    batch
        .append_section(table, one, &times, &columns[..0], 0..3)
        .unwrap();
    assert_eq!(batch.payload(), expected);
}

fn series() -> (SeriesDefinition, Vec<u8>) {
    let tags = [("city", "Zürich"), ("host", "")];
    let put_tag = |(name, value): (&str, &str)| {
        let (name, value) = (short_text(name), short_text(value));
        put("tag", &[("name", &name), ("value", &value)])
    };
    let key = [&2u16.to_le_bytes()[..], &tags.map(put_tag).concat()].concat();
    let key_len = u32::try_from(key.len()).unwrap();
    let bytes = put(
        "series definition",
        &[
            ("table id", &0x61u32.to_le_bytes()),
            ("series id", &0x62u64.to_le_bytes()),
            ("key length", &key_len.to_le_bytes()),
            ("series key", &key),
        ],
    );
    let definition = SeriesDefinition {
        table: TableId(0x61),
        id: SeriesId(0x62),
        key: SeriesKey::new(tags).unwrap(),
    };
    (definition, bytes)
}

fn tombstone() -> (Tombstone, Vec<u8>) {
    let ids = [0x71u64, 0x72];
    let bytes = put(
        "tombstone",
        &[
            ("table id", &0x73u32.to_le_bytes()),
            ("selection", &[2]),
            ("reserved", &[0; 3]),
            ("`i64` first timestamp", &(-0x74i64).to_le_bytes()),
            ("`i64` last timestamp", &0x75i64.to_le_bytes()),
            ("number of series ids", &2u32.to_le_bytes()),
            ("`u64` series ids", &words(&ids)),
        ],
    );
    let tombstone = Tombstone {
        table: TableId(0x73),
        selection: Selection::Series(ids.map(SeriesId).to_vec()),
        range: TimeRange {
            start: -0x74,
            end: 0x75,
        },
    };
    (tombstone, bytes)
}

fn segment() -> (SegmentEntry, Vec<u8>) {
    let entry = SegmentEntry {
        table: TableId(0x81),
        uuid: FileUuid([0x82; 16]),
        partition: TimeRange {
            start: -0x83,
            end: 0x84_0000,
        },
        file_len: 0x85_0000,
        tail_len: 0x86,
        root_crc: 0x8788_8990,
        first_lsn: Lsn(0x91),
        last_lsn: Lsn(0x92),
        times: TimeRange {
            start: -0x73,
            end: 0x94,
        },
        rows: 0x95_0000,
        series: 0x96,
        tier: Tier::Archive,
        place: "a/b".to_owned(),
    };
    let mut bytes = Vec::new();
    entry.encode(&mut bytes).unwrap();
    (entry, bytes)
}

#[test]
fn segment_entries() {
    assert_laid_out(
        "segment entry",
        &segment().1,
        &[
            ("table id", &0x81u32.to_le_bytes()),
            ("uuid of the segment", &[0x82; 16]),
            ("`i64` partition start", &(-0x83i64).to_le_bytes()),
            ("`i64` partition end", &0x84_0000i64.to_le_bytes()),
            ("file length", &0x85_0000u64.to_le_bytes()),
            ("tail length", &0x86u32.to_le_bytes()),
            ("root CRC-32", &0x8788_8990u32.to_le_bytes()),
            ("first LSN", &0x91u64.to_le_bytes()),
            ("last LSN", &0x92u64.to_le_bytes()),
            ("`i64` first timestamp", &(-0x73i64).to_le_bytes()),
            ("`i64` last timestamp", &0x94i64.to_le_bytes()),
            ("rows", &0x95_0000u64.to_le_bytes()),
            ("series", &0x96u64.to_le_bytes()),
            ("tier", &[Tier::Archive.tag()]),
            ("reserved", &[0]),
            ("short text place", &short_text("a/b")),
        ],
    );
}

fn table_schema() -> (TableSchema, Vec<u8>) {
    let schema = TableSchema {
        id: TableId(0xa1),
        name: "wetter".to_owned(),
        settings: TableSettings {
            policy: DuplicatePolicy::First,
            mode: SchemaMode::Open,
            partition_ns: 0xa2,
            future_bound_ns: Some(0xa3),
            retention_age_ns: None,
            retention_bytes: None,
            drops_when_full: true,
        },
        next_field_id: 0xa6,
        fields: vec![Field {
            id: FieldId(0xa5),
            name: "größe".to_owned(),
            field_type: FieldType::Bool,
        }],
    };
    let field = put(
        "field",
        &[
            ("field id", &0xa5u32.to_le_bytes()),
            ("field type", &[FieldType::Bool.tag()]),
            ("reserved", &[0]),
            ("name", &short_text("größe")),
        ],
    );
    let bytes = put(
        "table",
        &[
            ("table id", &0xa1u32.to_le_bytes()),
            ("name", &short_text("wetter")),
            ("duplicate policy", &[DuplicatePolicy::First.tag()]),
            ("schema mode", &[SchemaMode::Open.tag()]),
            ("table flags", &1u16.to_le_bytes()),
            ("`i64` partition length", &0xa2i64.to_le_bytes()),
            ("`i64` future bound", &0xa3i64.to_le_bytes()),
            ("`i64` retention age", &(-1i64).to_le_bytes()),
            ("`u64` retention bytes", &u64::MAX.to_le_bytes()),
            ("next field id", &0xa6u32.to_le_bytes()),
            ("number of fields", &1u32.to_le_bytes()),
            ("the fields", &field),
        ],
    );
    (schema, bytes)
}

#[test]
fn edits() {
    let bytes = edit();
    let header = FileHeader::manifest(uuid(0xa0), uuid(0xb0), 3).encode();
    let covered = [&header[24..64], &bytes[..16], &bytes[24..37]].concat();
    assert_laid_out(
        "edit",
        &bytes,
        &[
            ("magic", &EDIT_MAGIC),
            ("payload length", &13u32.to_le_bytes()),
            ("manifest version", &42u64.to_le_bytes()),
            ("CRC-32", &crc32(&covered).to_le_bytes()),
            ("reserved", &[0; 4]),
            ("payload, zero padding", &bytes[EDIT_HEADER_LEN..]),
        ],
    );
    assert_eq!(bytes[37..], [0; 3]);
    let start = format!("A header, zeros up to offset {EDITS_START}, then edits");
    assert!(section("## 4. Manifest file").contains(&start));
}

/// An entry of each kind, and the fields of its body.
fn entry(tag: EntryTag) -> (Entry, Vec<(&'static str, Vec<u8>)>) {
    let u32 = |value: u32| value.to_le_bytes().to_vec();
    let u64 = |value: u64| value.to_le_bytes().to_vec();
    let i64 = |value: i64| value.to_le_bytes().to_vec();
    let (table, lsn, series_id) = (TableId(0xb1), Lsn(0xb2), SeriesId(0xb3));
    let name = || "mirror".to_owned();
    let name_bytes = short_text("mirror");
    match tag {
        EntryTag::NextIds => (
            Entry::NextIds {
                series: series_id,
                table,
            },
            vec![("next series id", u64(0xb3)), ("next table id", u32(0xb1))],
        ),
        EntryTag::Incarnation => (
            Entry::Incarnation(FileUuid([0xb4; 16])),
            vec![("incarnation", vec![0xb4; 16])],
        ),
        EntryTag::Table => {
            let (schema, bytes) = table_schema();
            (Entry::Table(schema), vec![("(4.2)", bytes)])
        }
        EntryTag::TableDropped => (Entry::TableDropped(table), vec![("table id", u32(0xb1))]),
        EntryTag::SegmentAdded => {
            let (segment, bytes) = segment();
            (Entry::SegmentAdded(segment), vec![("(4.3)", bytes)])
        }
        EntryTag::SegmentDropped => (
            Entry::SegmentDropped {
                table,
                uuid: FileUuid([0xb5; 16]),
            },
            vec![("table id", u32(0xb1)), ("segment", vec![0xb5; 16])],
        ),
        EntryTag::Flushed => (Entry::Flushed(lsn), vec![("LSN", u64(0xb2))]),
        EntryTag::Tombstone => {
            let (tombstone, bytes) = tombstone();
            let fields = vec![("LSN", u64(0xb2)), ("(3.3)", bytes)];
            (Entry::Tombstone { lsn, tombstone }, fields)
        }
        EntryTag::TombstoneDropped => (Entry::TombstoneDropped(lsn), vec![("LSN", u64(0xb2))]),
        EntryTag::SeriesDefined => {
            let (definition, bytes) = series();
            (Entry::SeriesDefined(definition), vec![("(3.2)", bytes)])
        }
        EntryTag::Horizon => (
            Entry::Horizon { table, from: -0xb6 },
            vec![("table id", u32(0xb1)), ("`i64` timestamp", i64(-0xb6))],
        ),
        EntryTag::Cursor => (
            Entry::Cursor { name: name(), lsn },
            vec![("name", name_bytes), ("LSN", u64(0xb2))],
        ),
        EntryTag::CursorDropped => (
            Entry::CursorDropped { name: name() },
            vec![("name", name_bytes)],
        ),
        EntryTag::SeriesForgotten => (
            Entry::SeriesForgotten(series_id),
            vec![("series id", u64(0xb3))],
        ),
        EntryTag::ClockTrust => (
            Entry::ClockTrust(ClockTrust {
                believed: -0xb7,
                since: 0xb8,
                steady_ns: 0xb9,
            }),
            vec![
                ("`i64` time that has passed", i64(-0xb7)),
                ("`i64` what the clock showed", i64(0xb8)),
                ("ns for which", u64(0xb9)),
            ],
        ),
        EntryTag::Forgetting => (
            Entry::Forgetting(FileUuid([0xba; 16])),
            vec![("uuid edit", vec![0xba; 16])],
        ),
    }
}

/// What begins a field in the cell of a body.
const BODY_TYPES: [&str; 6] = ["`u8`", "`u32`", "`u64`", "`i64`", "uuid", "short text"];

#[test]
fn entries() {
    for (row, tag) in table("entry").rows.iter().zip(EntryTag::ALL) {
        let rows = row[2].split(", ").map(|field| {
            let of_type = BODY_TYPES.into_iter().find(|of| field.starts_with(of));
            assert!(of_type.is_some() || !field.starts_with('`'), "{field}");
            (of_type.unwrap_or(""), field)
        });
        let (entry, fields) = entry(tag);
        let fields: Vec<_> = fields
            .iter()
            .map(|(word, bytes)| (*word, &bytes[..]))
            .collect();
        let body = put_rows(row[1], &rows.collect::<Vec<_>>(), &fields);
        let len = u32::try_from(body.len()).unwrap();
        let expected = put(
            "any entry",
            &[
                ("tag", &[tag.tag()]),
                ("length of the body", &len.to_le_bytes()),
                ("body", &body),
            ],
        );
        let mut bytes = Vec::new();
        entry.encode(&mut bytes).unwrap();
        assert_eq!(bytes, expected, "{tag:?}");
    }
}
