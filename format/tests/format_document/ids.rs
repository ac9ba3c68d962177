//! Ids, tags and flags: those of the code are those of the document, and the other way round.

use std::collections::BTreeMap;
use std::fmt::Debug;

use tidestone_format::bytes::Reader;
use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::vector::{Encoding, NullForm};
use tidestone_format::codec::{float, integer};
use tidestone_format::header::{FileHeader, FileKind};
use tidestone_format::log::{FrameKind, Tombstone, decode_batch};
use tidestone_format::manifest::{EntryTag, Tier};
use tidestone_format::schema::{DuplicatePolicy, SchemaMode, TableSchema};
use tidestone_format::segment::RegionKind;
use tidestone_format::{FieldType, FileUuid};

use crate::document::{table, varint};

/// The ids of a table and their names.
fn ids(name: &str) -> BTreeMap<u8, &'static str> {
    let rows = table(name).rows;
    let ids: Vec<(u8, _)> = rows
        .iter()
        .map(|row| (row[0].parse().unwrap(), row[1]))
        .collect();
    assert!(ids.is_sorted_by(|a, b| a.0 < b.0), "{name}");
    ids.into_iter().collect()
}

/// Asserts that the ids of a table are the tags that the code has, by their names in the code.
#[track_caller]
fn assert_ids<T: Debug>(name: &str, tags: impl IntoIterator<Item = (u8, T)>) {
    let tags = tags
        .into_iter()
        .map(|(tag, of)| (tag, words(&format!("{of:?}"))));
    let tags: BTreeMap<u8, String> = tags.collect();
    let ids = ids(name)
        .into_iter()
        .map(|(id, name)| (id, name.to_owned()));
    assert_eq!(ids.collect::<BTreeMap<_, _>>(), tags, "{name}");
}

/// `FrameOfReference` as `frame of reference`.
pub fn words(camel: &str) -> String {
    let mut words = String::new();
    for (i, letter) in camel.char_indices() {
        if letter.is_uppercase() && i > 0 {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[test]
fn the_tags_of_the_code_are_the_ids_of_the_document() {
    assert_ids("frame kind", FrameKind::ALL.map(|k| (k.tag(), k)));
    assert_ids("field type", FieldType::ALL.map(|t| (t.tag(), t)));
    assert_ids("entry", EntryTag::ALL.map(|t| (t.tag(), t)));
    assert_ids(
        "duplicate policy",
        DuplicatePolicy::ALL.map(|p| (p.tag(), p)),
    );
    assert_ids("schema mode", SchemaMode::ALL.map(|m| (m.tag(), m)));
    assert_ids("tier", Tier::ALL.map(|t| (t.tag(), t)));
    assert_ids("region kind", RegionKind::ALL.map(|k| (k.tag(), k)));
    assert_ids("encoding", Encoding::ALL.map(|e| (e.tag(), e)));
    assert_ids("null form", NullForm::ALL.map(|f| (f.tag(), f)));
    assert_ids("integer form", integer::Form::ALL.map(|f| (f.tag(), f)));
    assert_ids("float form", float::Form::ALL.map(|f| (f.tag(), f)));
}

#[test]
fn the_encodings_are_of_the_types_of_the_document() {
    for (row, encoding) in table("encoding").rows.iter().zip(Encoding::ALL) {
        let types = FieldType::ALL.into_iter().filter(|t| encoding.holds(*t));
        let mut types: Vec<&str> = types.map(FieldType::name).collect();
        if encoding.holds(FieldType::I64) {
            types.push("time");
        }
        assert_eq!(row[2], types.join(", "), "{encoding:?}");
    }
}

/// Asserts that the ids of a table are the bytes that a decoder takes.
#[track_caller]
fn assert_taken(name: &str, takes: impl Fn(u8) -> bool) {
    let taken: Vec<u8> = (0..=255).filter(|&byte| takes(byte)).collect();
    let ids: Vec<u8> = ids(name).into_keys().collect();
    assert_eq!(ids, taken, "{name}");
}

#[test]
fn series_forms_are_those_a_batch_is_read_with() {
    assert_taken("series form", |form| {
        let mut batch = vec![0; 8 + 32];
        batch[0] = 1; // section
        batch[8] = 32; // bytes
        batch[12] = 1; // table
        batch[16] = 1; // row
        batch[22] = form;
        batch[24] = 1; // series
        decode_batch(&batch).is_ok()
    });
}

#[test]
fn selections_are_those_a_tombstone_is_read_with() {
    assert_taken("selection", |selection| {
        let read = |listed: u8| {
            let mut tombstone = vec![0; 28 + 8 * usize::from(listed)];
            tombstone[0] = 1; // table
            tombstone[4] = selection;
            tombstone[24] = listed;
            if listed > 0 {
                tombstone[28] = 1;
            }
            Tombstone::read(&mut Reader::new(&tombstone, "test")).is_ok()
        };
        read(0) || read(1)
    });
    let names = [(1, "every series"), (2, "the listed ones")];
    assert_eq!(ids("selection"), names.into());
}

#[test]
fn text_forms_are_those_a_dictionary_is_read_with() {
    let frame = zstd::bulk::compress(b"a", 3).unwrap();
    let texts = [
        vec![1, b'a'],
        [&[1], &varint(frame.len() as u64)[..], &frame].concat(),
    ];
    let lengths = [1, 2, 2, 2]; // One value, a stream of two bytes: constant, 1.
    let read = |form: u8, text: &[u8]| {
        let dictionary = [&lengths[..], &[form], text].concat();
        Dictionary::decode(&dictionary, FieldType::String, 1).is_ok()
    };
    assert_taken("text form", |form| {
        texts.iter().any(|text| read(form, text))
    });
    assert_eq!(ids("text form"), [(1, "zstd"), (2, "plain")].into());
    assert!(read(2, &texts[0]) && read(1, &texts[1]));
}

#[test]
fn there_is_no_cipher_key_wrap_or_feature() {
    let rows = table("file header").rows;
    let row = |word| rows.iter().find(|row| row[2].starts_with(word)).unwrap();
    let (cipher, wrap) = (row("cipher"), row("key wrap"));
    assert_eq!([cipher[2], wrap[2]], ["cipher: 0 none", "key wrap: 0 none"]);
    let header = FileHeader::manifest(FileUuid([1; 16]), FileUuid([2; 16]), 3);
    let takes = |at: usize, byte: u8| {
        let mut bytes = header.encode();
        bytes[at] = byte;
        let crc = crc32fast::hash(&bytes[..188]);
        bytes[188..].copy_from_slice(&crc.to_le_bytes());
        FileHeader::decode_kind(&bytes, FileKind::Manifest).is_ok()
    };
    let required = row("`u32` required features");
    for at in [cipher, wrap, required].map(|row| row[0].parse().unwrap()) {
        let taken: Vec<u8> = (0..=255).filter(|&byte| takes(at, byte)).collect();
        assert_eq!(taken, [0], "byte {at}");
    }
}

#[test]
fn table_flags_are_those_a_table_is_read_with() {
    let taken: Vec<u32> = (0..16)
        .filter(|bit| {
            let mut table = vec![0; 51];
            table[0] = 1; // table id
            table[4] = 1; // bytes of the name
            table[6] = b't';
            (table[7], table[8]) = (1, 1); // policy, mode
            table[9..11].copy_from_slice(&(1u16 << bit).to_le_bytes());
            table[11] = 1; // partition length
            table[43] = 1; // next field id
            TableSchema::decode(&table).is_ok()
        })
        .collect();
    let rows = table("table flag").rows;
    let bits: Vec<u32> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(bits, taken);
}
