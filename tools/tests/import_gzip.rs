//! `import` of files that are packed with gzip, and damaged or padded.
#![cfg(feature = "engine")]
#![expect(
    clippy::disallowed_methods,
    reason = "input files are files of the test"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the lints know test functions, not the functions they call"
)]

mod common;

use std::io::Write;

use common::{Place, check_error};

/// Text packed with gzip.
fn packed(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

const IMPORT: [&str; 8] = [
    "import",
    "--db",
    "db",
    "--table",
    "t",
    "--time",
    "t",
    "in.csv.gz",
];

/// Imports a file that is to end with `code`; gives what was printed.
fn import(place: &Place, code: i32, bytes: &[u8]) -> (String, String) {
    std::fs::write(place.path("in.csv.gz"), bytes).unwrap();
    place.check(code, &IMPORT)
}

/// It was no gzip header.
#[test]
fn zeros_behind_what_is_packed_are_padding() {
    let place = Place::new();
    for zeros in [1, 512, 300_000] {
        let bytes = [packed("t,v\n1,1\n"), packed("2,2\n"), vec![0; zeros]].concat();
        let (out, error) = import(&place, 0, &bytes);
        assert!(out.contains("2 rows in"), "{out}");
        assert!(!error.contains("complete"), "{error}");
    }
}

#[test]
fn other_bytes_behind_what_is_packed_are_refused_and_the_rows_before_are_complete() {
    let place = Place::new();
    place.file("b.csv", "t,v\n3,3\n");
    for rest in [&b"text"[..], b"\x1fx", b"\0\0\0x", b"\0\x1f\x8b"] {
        let bytes = [&packed("t,v\n1,1\n")[..], &packed("2,2\n"), rest].concat();
        std::fs::write(place.path("in.csv.gz"), bytes).unwrap();
        let (out, error) = place.check(1, &[&IMPORT[..], &["b.csv"]].concat());
        assert!(out.contains("3 rows in"), "{out}");
        assert!(out.ends_with("; 1 lines refused\n"), "{out}");
        let says = [
            "in.csv.gz:3: what is packed with gzip ends behind this line",
            "bytes that are not packed follow",
            "what stands before is complete: cut them off",
        ];
        check_error(&format!("{rest:?}"), &error, says);
    }
}

#[test]
fn rows_of_a_part_whose_checksum_is_wrong_are_told_to_be_doubtful() {
    let place = Place::new();
    let mut wrong = packed("2,2\n3,3\n");
    let sum = wrong.len() - 8;
    wrong[sum] ^= 1;
    let bytes = [packed("t,v\n1,1\n"), wrong].concat();
    let (out, error) = import(&place, 2, &bytes);
    assert!(out.contains("3 rows in"), "{out}");
    assert!(out.ends_with("; stopped at in.csv.gz:4\n"), "{out}");
    let says = [
        "does not have a matching checksum",
        "from line 3 on is damaged, and values of rows from there to where the import stopped may be wrong",
        "take the file from its source again",
    ];
    check_error("a wrong checksum", &error, says);
}
