//! Ties `FORMAT.md` to the code: its tables of offsets, kinds and tags, and its worked examples.
//!
//! The tables are read out of the document, so that neither it nor the code can change alone.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints know test functions, not the functions they call"
)]

use tidestone_format::checksum::crc32;
use tidestone_format::column::{Column, Values};
use tidestone_format::header::{
    Cipher, Cut, FileHeader, FileKind, HEADER_LEN, LogHeader, Specific,
};
use tidestone_format::log::batch::{BatchEncoder, SeriesIds};
use tidestone_format::log::frame::{
    FRAME_HEADER_LEN, FRAME_MAGIC, FrameHeader, FrameKind, LogIdentity, append_frame,
    encode_frame_header,
};
use tidestone_format::manifest::{
    EDIT_HEADER_LEN, EDIT_MAGIC, EDITS_START, Edit, Entry, EntryTag, ManifestIdentity, append_edit,
};
use tidestone_format::sharing::{LeaseRecord, Published};
use tidestone_format::version::{FORMAT_VERSION, LOG_PAGE};
use tidestone_format::{FieldId, FieldType, FileUuid, Lsn, SeriesId, TableId};

const DOCUMENT: &str = include_str!("../FORMAT.md");

/// The part of the document below the heading that starts with `heading`.
fn section(heading: &str) -> &'static str {
    let start = DOCUMENT
        .find(heading)
        .unwrap_or_else(|| panic!("no heading {heading:?}"));
    let body = &DOCUMENT[start + heading.len()..];
    &body[..body.find("\n#").unwrap_or(body.len())]
}

/// The cells of the first table of a section, without its head.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let rows = section(heading).lines().skip_while(|l| !l.starts_with('|'));
    let rows = rows.take_while(|l| l.starts_with('|')).skip(2);
    let rows: Vec<Vec<_>> = rows
        .map(|l| l.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "no table below {heading:?}");
    rows
}

/// Offset and size of each row of a table of offsets, in order, without a gap.
fn layout(heading: &str) -> Vec<(usize, usize, &'static str)> {
    let mut end = 0;
    let rows = table(heading).into_iter().map(|row| {
        let offset: usize = row[0].parse().unwrap();
        assert_eq!(offset, end, "{row:?} does not follow the row before it");
        let size = row[1].parse().unwrap_or(0);
        end = offset + size;
        (offset, size, row[2])
    });
    rows.collect()
}

/// Asserts that `bytes` holds the given fields where the table says; each is found by a word.
fn assert_laid_out(heading: &str, bytes: &[u8], fields: &[(&str, &[u8])]) {
    let layout = layout(heading);
    for (word, value) in fields {
        let mut rows = layout.iter().filter(|(_, _, what)| what.contains(word));
        let &(offset, size, what) = rows.next().unwrap_or_else(|| panic!("no row {word:?}"));
        assert!(rows.next().is_none(), "{word:?} is in two rows");
        assert_eq!(size, value.len(), "size of {what:?}");
        assert_eq!(
            &bytes[offset..offset + size],
            *value,
            "{what:?} at {offset}"
        );
    }
    assert_eq!(layout.len(), fields.len(), "rows of the table {heading:?}");
}

fn header() -> FileHeader {
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
fn the_file_header_is_where_the_document_says() {
    let bytes = header().encode();
    let mut specific = Vec::new();
    for field in [0x4000_0000u64, 0x2222, 0x33, 0x4000, 0x1111] {
        specific.extend_from_slice(&field.to_le_bytes());
    }
    specific.resize(52, 0);
    assert_laid_out(
        "## 1. File header",
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
            ("by kind", &specific),
            ("CRC-32", &crc32(&bytes[..188]).to_le_bytes()),
        ],
    );
    assert!(DOCUMENT.contains(&format!(
        "## 1. File header ({HEADER_LEN} bytes; all four kinds)"
    )));
    let magics = table("## 1. File header")[0][2];
    for (kind, word) in FileKind::ALL
        .into_iter()
        .zip(["identity", "log", "manifest", "segment"])
    {
        let magic = String::from_utf8(kind.magic().to_vec()).unwrap();
        assert!(magics.contains(&format!("`{magic}` {word}")), "{kind}");
    }
}

#[test]
fn the_frame_header_is_where_the_document_says() {
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
        "## 3. Log file",
        &bytes,
        &[
            ("magic", &FRAME_MAGIC),
            ("(the header)", &crc32(&covered).to_le_bytes()),
            ("of the stored payload", &0x4443_4241u32.to_le_bytes()),
            ("stored length", &0x0403_0201u32.to_le_bytes()),
            ("plain length", &0x0403_0201u32.to_le_bytes()),
            ("kind:", &[4]),
            ("flags", &[0]),
            ("reserved", &[0; 2]),
            ("log file number", &0x1716_1514_1312_1110u64.to_le_bytes()),
            ("`u64` LSN", &0x2726_2524_2322_2120u64.to_le_bytes()),
            ("durable LSN known", &0x0736_3534_3332_3130u64.to_le_bytes()),
            ("authentication tag", &[0; 16]),
        ],
    );
    assert!(DOCUMENT.contains(&format!("Frame header ({FRAME_HEADER_LEN} bytes)")));
    assert!(DOCUMENT.contains(&format!(
        "A header, zeros up to offset {LOG_PAGE}, then *groups*"
    )));
    let kinds = table("## 3. Log file");
    let kinds = kinds
        .iter()
        .find(|row| row[2].starts_with("kind:"))
        .unwrap()[2];
    let expected: Vec<_> = FrameKind::ALL
        .iter()
        .map(|k| format!("{} {k}", k.tag()))
        .collect();
    assert_eq!(kinds, format!("kind: {}", expected.join(", ")));
}

#[test]
fn the_records_of_processes_are_where_the_document_says() {
    let published = Published {
        database: FileUuid([0xdb; 16]),
        incarnation: FileUuid([0xf1; 16]),
        boot: FileUuid([0xb0; 16]),
        durable: Lsn(0x0706_0504_0302_0100),
        version: 0x1716_1514_1312_1110,
    };
    let bytes = published.encode();
    assert_laid_out(
        "### 6.1 `published`",
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
        "### 6.2 `<uuid>.lease`",
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
fn the_edit_is_where_the_document_says() {
    let bytes = edit();
    let header = FileHeader::manifest(uuid(0xa0), uuid(0xb0), 3).encode();
    let covered = [&header[24..64], &bytes[..16], &bytes[24..37]].concat();
    let layout = layout("## 4. Manifest file");
    assert_eq!(layout.last().unwrap().0, EDIT_HEADER_LEN);
    assert_laid_out(
        "## 4. Manifest file",
        &bytes,
        &[
            ("magic", &EDIT_MAGIC),
            ("payload length", &13u32.to_le_bytes()),
            ("manifest version", &42u64.to_le_bytes()),
            ("CRC-32", &crc32(&covered).to_le_bytes()),
            ("reserved", &[0; 4]),
            ("payload, zero", &[]),
        ],
    );
    assert!(DOCUMENT.contains(&format!(
        "A header, zeros up to offset {EDITS_START}, then edits"
    )));
}

#[test]
fn the_tags_of_entries_are_those_of_the_document() {
    let rows = table("### 4.1 Entries");
    assert_eq!(rows.len(), EntryTag::ALL.len());
    for (row, tag) in rows.iter().zip(EntryTag::ALL) {
        let camel: String = row[1]
            .split(' ')
            .map(|word| word[..1].to_uppercase() + &word[1..])
            .collect();
        assert_eq!(
            (row[0], camel),
            (&*tag.tag().to_string(), format!("{tag:?}"))
        );
    }
}

#[test]
fn the_types_of_fields_are_those_of_the_document() {
    let names: Vec<_> = (1..=5)
        .map(|tag| format!("{tag} {}", FieldType::from_tag(tag, 0).unwrap()))
        .collect();
    assert!(section("### 3.1 Batch").contains(&format!("`u8` type ({})", names.join(", "))));
}

// The worked examples.

fn one_row_frame() -> Vec<u8> {
    let column = Column {
        values: Values::F64(vec![21.5]),
        validity: None,
    };
    let mut batch = BatchEncoder::new();
    let columns = [(FieldId(1), &column)];
    let time = [1_767_225_600_000_000_000];
    batch
        .append_section(
            TableId(3),
            SeriesIds::One(SeriesId(7)),
            &time,
            &columns,
            0..1,
        )
        .unwrap();
    let mut out = Vec::new();
    append_frame(
        &mut out,
        FrameKind::Batch,
        LogIdentity {
            incarnation: uuid(0xb0),
            file_number: 2,
        },
        Lsn(9),
        Lsn(8),
        batch.payload(),
    )
    .unwrap();
    out
}

fn edit() -> Vec<u8> {
    let mut out = Vec::new();
    let entries = vec![Entry::Flushed(Lsn(9))];
    append_edit(
        &mut out,
        ManifestIdentity::of(&FileHeader::manifest(uuid(0xa0), uuid(0xb0), 3)),
        &Edit {
            version: 42,
            entries,
        },
    )
    .unwrap();
    out
}

/// Sixteen bytes from `first` on.
fn uuid(first: u8) -> FileUuid {
    FileUuid(std::array::from_fn(|i| first + u8::try_from(i).unwrap()))
}

fn identity() -> Vec<u8> {
    FileHeader::identity(uuid(0xa0), 1_767_225_600_000_000_000)
        .encode()
        .to_vec()
}

/// The bytes of the example `name`: the hexadecimal pairs of each line of its block, between the
/// offset and two spaces; `*` stands for lines of zeros up to the next offset.
fn example(name: &str) -> Vec<u8> {
    let marker = format!("Example: {name}");
    let start = DOCUMENT
        .find(&marker)
        .unwrap_or_else(|| panic!("no {marker:?}"));
    let block = DOCUMENT[start..].split("```").nth(1).unwrap();
    let mut bytes = Vec::new();
    for line in block
        .lines()
        .skip(1)
        .filter(|l| !l.trim().is_empty() && *l != "*")
    {
        let (offset, rest) = line.trim_start().split_once(' ').unwrap();
        let offset: usize = offset.parse().unwrap();
        assert!(offset >= bytes.len(), "{line}");
        bytes.resize(offset, 0);
        let pairs = rest.trim_start().split("  ").next().unwrap();
        bytes.extend(
            pairs
                .split(' ')
                .map(|pair| u8::from_str_radix(pair, 16).unwrap()),
        );
    }
    bytes
}

#[test]
fn the_worked_examples_are_what_the_code_writes() {
    for (name, bytes) in [
        ("an identity file", identity()),
        ("a frame with a batch of one row", one_row_frame()),
        ("an edit", edit()),
    ] {
        let shown = example(name);
        let differs = bytes.iter().zip(&shown).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}: {:02x?}", bytes);
        assert_eq!(bytes.len(), shown.len(), "{name}");
    }
}
