//! Sizes and limits, and magics.

use std::collections::BTreeSet;
use std::path::Path;

use tidestone_format::header::{FileKind, HEADER_LEN, LAYOUT_VERSION};
use tidestone_format::log::frame::{FRAME_ALIGN, FRAME_HEADER_LEN};
use tidestone_format::manifest::{EDIT_ALIGN, EDIT_HEADER_LEN, EDITS_START};
use tidestone_format::segment::TRAILER_LEN;
use tidestone_format::sharing::{LEASE_LEN, PUBLISHED_LEN};
use tidestone_format::version::*;

use crate::document::{DOCUMENT, table};

/// Names and values of constants.
macro_rules! named {
    ($($name:ident),+ $(,)?) => {
        [$((stringify!($name), u64::try_from($name).unwrap())),+]
    };
}

#[test]
fn the_numbers_are_those_of_the_code() {
    // In the order of the document's table.
    let numbers = named![
        HEADER_LEN,
        LAYOUT_VERSION,
        FORMAT_VERSION,
        OLDEST_READABLE,
        KNOWN_REQUIRED_FEATURES,
        LOG_PAGE,
        FRAME_HEADER_LEN,
        FRAME_ALIGN,
        EDITS_START,
        EDIT_HEADER_LEN,
        EDIT_ALIGN,
        MAX_FIELDS,
        MAX_STRING,
        BLOCK_ALIGN,
        TRAILER_LEN,
        MAX_REGION,
        VECTOR_ROWS,
        GROUP_VECTORS,
        GROUP_ROWS,
        MAX_GROUP_TEXT,
        PAGE_SERIES,
        MAX_PAGE_KEYS,
        MAX_TEXT_RATIO,
        MAX_DICTIONARY,
        MAX_DICTIONARY_STRING,
        MAX_DICTIONARY_TEXT,
        MAX_ALP_EXPONENT,
        PUBLISHED_LEN,
        LEASE_LEN,
    ];
    let rows = table("of what").rows;
    for (row, (name, value)) in rows.iter().zip(numbers) {
        let shown = row[0].replace(',', "");
        assert_eq!(shown, value.to_string(), "{name}: {row:?}");
    }
    assert_eq!(rows.len(), numbers.len());

    let listed = numbers.map(|(name, _)| name.to_owned());
    let declared = constants(|of_type| ["usize", "u64", "u32", "u16", "u8"].contains(&of_type));
    let declared = declared.into_iter().map(|(name, _)| name);
    // The version of the library is no number of the format.
    let declared = declared.filter(|name| name != "WRITER_VERSION");
    assert_eq!(
        declared.collect::<BTreeSet<_>>(),
        listed.into(),
        "public numbers of the code"
    );
}

#[test]
fn the_magics_are_those_of_the_code() {
    let magic = |(_, value): (String, String)| {
        let literal = value.strip_prefix("*b\"");
        let literal = literal.and_then(|rest| rest.strip_suffix('"'));
        literal.unwrap().to_owned()
    };
    let declared = constants(|of_type| ["[u8; 4]", "[u8; 8]"].contains(&of_type));
    let declared: BTreeSet<String> = declared.into_iter().map(magic).collect();
    let quoted = DOCUMENT.split('`').skip(1).step_by(2);
    let shown = quoted.filter(|word| {
        let is_word = word.bytes().all(|b| b.is_ascii_alphabetic());
        let is_short = word.len() == 4 && word.starts_with("TS");
        is_word && (is_short || word.len() == 8 && word.starts_with("Tidest"))
    });
    let shown: BTreeSet<String> = shown.map(str::to_owned).collect();
    assert_eq!(shown, declared);
    let magics = table("file header").rows[0][2];
    let kinds = ["identity", "log", "manifest", "segment"];
    for (kind, word) in FileKind::ALL.into_iter().zip(kinds) {
        let magic = String::from_utf8(kind.magic().to_vec()).unwrap();
        assert!(magics.contains(&format!("`{magic}` {word}")), "{kind}");
    }
}

/// Name and value of the constants of the crate whose type is wanted: public ones, and arrays.
fn constants(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut constants = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            for (is_public, name, of_type, value) in text.lines().filter_map(constant) {
                if wanted(of_type) && (is_public || of_type.starts_with('[')) {
                    constants.push((name.to_owned(), value.to_owned()));
                }
            }
        }
    }
    constants
}

/// Whether the constant that a line declares is public; its name, type and value.
fn constant(line: &str) -> Option<(bool, &str, &str, &str)> {
    let public = line.strip_prefix("pub const ");
    let rest = public.or_else(|| line.strip_prefix("const "))?;
    let (name, rest) = rest.strip_suffix(';')?.split_once(": ")?;
    let (of_type, value) = rest.split_once(" = ")?;
    Some((public.is_some(), name, of_type, value))
}
