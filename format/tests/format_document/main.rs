//! Ties `FORMAT.md` to the code: its tables of offsets, types, ids and limits, and its worked examples.
//!
//! The tables are read out of the document, so that neither it nor the code can change alone.
#![expect(
    clippy::disallowed_methods,
    reason = "the crate's own source is read here; the engine's door to files is not below"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "the lints know test functions, not the functions they call"
)]
#![expect(unreachable_pub, reason = "a test has no outside")]

mod document;
mod examples;
mod ids;
mod layouts;
mod numbers;
mod segments;
mod streams;

use std::collections::BTreeSet;

/// The tables that the modules here look at, by name.
const TIED: [&str; 52] = [
    // layouts
    "file header",
    "identity header",
    "log header",
    "frame header",
    "batch",
    "section",
    "column",
    "series definition",
    "tag",
    "tombstone",
    "edit",
    "any entry",
    "entry",
    "table",
    "field",
    "segment entry",
    "published",
    "lease",
    // segments
    "region checksum",
    "reference",
    "trailer",
    "root",
    "root column",
    "root dictionary",
    "root series page",
    "root group page",
    "series page",
    "packed text",
    "group column",
    "statistics flag",
    "arrays by type",
    "block",
    "vector",
    "string dictionary",
    "float dictionary",
    // streams
    "integer stream",
    "ALP",
    // ids
    "frame kind",
    "series form",
    "field type",
    "selection",
    "duplicate policy",
    "schema mode",
    "table flag",
    "tier",
    "region kind",
    "text form",
    "null form",
    "encoding",
    "integer form",
    "float form",
    // numbers
    "of what",
];

/// No table is in the document that nothing compares with the code.
#[test]
fn every_table_is_tied() {
    let tables = document::tables();
    let names: BTreeSet<&str> = tables.iter().map(|table| table.name).collect();
    assert_eq!(names.len(), tables.len(), "each name once");
    assert_eq!(names, TIED.into());
}
