//! The worked examples.

use tidestone_format::column::{Column, Values};
use tidestone_format::header::FileHeader;
use tidestone_format::log::batch::{BatchEncoder, SeriesIds};
use tidestone_format::log::frame::{FrameKind, LogIdentity, append_frame};
use tidestone_format::manifest::{Edit, Entry, ManifestIdentity, append_edit};
use tidestone_format::{FieldId, FileUuid, Lsn, SeriesId, TableId};

use crate::document::DOCUMENT;

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

pub fn edit() -> Vec<u8> {
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
pub fn uuid(first: u8) -> FileUuid {
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
