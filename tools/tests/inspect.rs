//! What `tidestone inspect` says of the golden files, and of damaged copies of them.
//!
//! The expected output is in `tests/expected`; `UPDATE_EXPECT=1` writes it, a plain run never does.
#![expect(
    clippy::disallowed_methods,
    reason = "expected output and damaged copies are files of the test"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints know test functions, not the functions they call"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SEGMENTS: [&str; 4] = [
    "segment-example.bin",
    "segment-one-row.bin",
    "segment-many-series.bin",
    "segment-every-encoding.bin",
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/tests/golden/v1")
}

fn inspect(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidestone"))
        .current_dir(dir)
        .arg("inspect")
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Compares the output of `inspect ARGS` in `dir` with the file `name` of the expected ones.
fn check_in(dir: &Path, name: &str, code: i32, args: &[&str]) {
    let output = inspect(dir, args);
    let actual = text(&output.stdout);
    assert_eq!(text(&output.stderr), "", "{args:?}");
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{actual}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/expected")
        .join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|v| v == "1") {
        std::fs::write(&path, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; UPDATE_EXPECT=1 makes it", path.display()));
    let line = expected
        .lines()
        .zip(actual.lines())
        .position(|(e, a)| e != a);
    assert!(
        expected == actual,
        "{name}: line {} differs; UPDATE_EXPECT=1 accepts this:\n{actual}",
        line.map_or("at the end".to_owned(), |l| (l + 1).to_string())
    );
}

fn check(name: &str, args: &[&str]) {
    check_in(&golden(), name, 0, args);
}

#[test]
fn sound_files_are_shown_from_outside_in() {
    let others = [
        "identity.bin",
        "log.bin",
        "manifest.bin",
        "manifest-forgetting.bin",
    ];
    for file in others.iter().chain(&SEGMENTS) {
        check(&file.replace(".bin", ".txt"), &[file]);
    }
}

#[test]
fn json_says_the_same() {
    for file in [
        "identity.bin",
        "log.bin",
        "manifest.bin",
        "segment-example.bin",
    ] {
        check(&file.replace(".bin", ".json"), &["--json", file]);
    }
}

#[test]
fn vectors_show_codecs_statistics_and_values() {
    let file = "segment-every-encoding.bin";
    check("vectors.txt", &["--vectors", file]);
    let runs = "segment-runs-and-codes.bin";
    check("vectors-runs-and-codes.txt", &["--vectors", runs]);
    check(
        "vector-0-field-2.txt",
        &["--vector", "0", "--column", "field 2", file],
    );
    check("vector-0.txt", &["--vector", "0", "segment-example.bin"]);
    check(
        "vector-0.json",
        &["--vector", "0", "--json", "segment-example.bin"],
    );
    check(
        "vector-64.txt",
        &[
            "--vector",
            "64",
            "--column",
            "time",
            "segment-many-series.bin",
        ],
    );
}

#[test]
fn regions_are_shown_in_full() {
    let file = "segment-every-encoding.bin";
    check("region-dictionary.txt", &["--region", "61952", file]);
    check("region-series.txt", &["--region", "62016", file]);
    check("region-block.txt", &["--region", "448", file]);
    check("region-block.json", &["--region", "448", "--json", file]);
    check("region-batch.txt", &["--region", "4264", "log.bin"]);
    check(
        "region-batch.json",
        &["--region", "0x10a8", "--json", "log.bin"],
    );
    check("region-edit.txt", &["--region", "464", "manifest.bin"]);
}

/// Numbers behind `"offset":` in JSON.
fn offsets(json: &str) -> Vec<u64> {
    let values = json.split("\"offset\": ").skip(1);
    let mut all: Vec<u64> = values
        .map(|rest| {
            rest.split([',', '\n'])
                .next()
                .unwrap()
                .trim()
                .parse()
                .unwrap()
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn every_offset_printed_can_be_fed_back() {
    for file in [
        "identity.bin",
        "log.bin",
        "manifest.bin",
        "segment-example.bin",
        "segment-every-encoding.bin",
    ] {
        let listed = match file.starts_with("segment") {
            true => inspect(&golden(), &["--vectors", "--json", file]),
            false => inspect(&golden(), &["--json", file]),
        };
        let offsets = offsets(&text(&listed.stdout));
        assert!(!offsets.is_empty());
        for offset in offsets {
            let output = inspect(&golden(), &["--region", &offset.to_string(), file]);
            assert_eq!(output.status.code(), Some(0), "{file} {offset}: {output:?}");
            assert!(!output.stdout.is_empty());
        }
    }
}

#[test]
fn every_offset_printed_of_a_damaged_file_can_be_fed_back() {
    let copies = Copies::new();
    let log = |at: usize| ("log.bin", at);
    let manifest = |at: usize| ("manifest.bin", at);
    let segment = |at: usize| ("segment-example.bin", at);
    for (file, at) in [
        log(8192),
        log(8200),
        log(8224),
        log(8260),
        log(4300),
        log(6000),
        log(192),
        log(12_290),
        log(12_360),
        manifest(470),
        manifest(500),
        manifest(200),
        manifest(930),
        manifest(1260),
        segment(230),
        segment(330),
        segment(390),
        segment(512),
        segment(676),
    ] {
        let whole = copies.inspect(file, |bytes| bytes[at] ^= 0x10);
        let listed = inspect(copies.0.path(), &["--json", file]);
        let json: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        let damage = json["damage"].as_array().unwrap().iter();
        let damage: Vec<u64> = damage.map(|d| d["offset"].as_u64().unwrap()).collect();
        assert_eq!(damage.is_empty(), whole.status.code() == Some(0));
        for offset in offsets(&text(&listed.stdout)) {
            let args = ["--region", &offset.to_string(), file];
            let output = inspect(copies.0.path(), &args);
            let codes = if damage.contains(&offset) {
                1..=1
            } else {
                0..=1
            };
            let code = output.status.code().unwrap();
            assert!(
                codes.contains(&code),
                "{file}, byte {at}, {offset}: {output:?}"
            );
            assert!(!output.stdout.is_empty());
        }
    }
}

/// The number behind a word in the output.
fn number_behind(word: &str, output: &Output) -> u64 {
    let out = text(&output.stdout);
    let (_, rest) = out.split_once(word).unwrap_or_else(|| panic!("{out}"));
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    digits.parse().unwrap()
}

#[test]
fn the_place_of_what_is_lost_can_be_fed_back() {
    let copies = Copies::new();
    let check = |file: &str, offset: u64, code: i32, expected: &str| {
        let args = ["--region", &offset.to_string(), file];
        let output = inspect(copies.0.path(), &args);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let out = text(&output.stdout);
        assert!(out.contains(expected), "{out}");
    };
    // Of the tail, nothing can be read without the root.
    let file = "segment-example.bin";
    let output = copies.inspect(file, |bytes| bytes[512..576].fill(0xff));
    let tail = number_behind("tail         at ", &output);
    let expected = "no part of the segment that can be read says what they are";
    check(file, tail, 1, expected);
    let output = copies.inspect("log.bin", |bytes| bytes.truncate(681));
    let end = number_behind("end at ", &output);
    check("log.bin", end, 0, "nothing was written here");
}

#[test]
fn damaged_frames_and_edits_are_shown_as_far_as_they_can_be_read() {
    let copies = Copies::new();
    for (file, at, region, expected) in [
        (
            "log.bin",
            8260,
            "8200",
            &["no whole frame at 8192", "LSN            103"][..],
        ),
        ("log.bin", 8192, "8192", &["no whole frame at 8192"]),
        (
            "manifest.bin",
            500,
            "464",
            &["no whole edit at 464", "version"],
        ),
    ] {
        copies.inspect(file, |bytes| bytes[at] ^= 0x10);
        let output = inspect(copies.0.path(), &["--region", region, file]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let out = text(&output.stdout);
        assert!(out.contains(": BAD"), "{out}");
        for expected in expected {
            assert!(out.contains(expected), "{expected}: {out}");
        }
    }
}

#[test]
fn wrong_questions_end_with_code_2() {
    let check = |message: &str, args: &[&str]| {
        let output = inspect(&golden(), args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(error.contains(message), "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}");
    };
    check("No such file", &["nothing-here.bin"]);
    check("is no file of Tidestone", &["../../golden_files.rs"]);
    check(
        "there is no offset 704",
        &["--region", "704", "segment-example.bin"],
    );
    check(
        "there is no readable vector 1; the segment has 1",
        &["--vector", "1", "segment-example.bin"],
    );
    check(
        "there is no column \"x\"",
        &["--vector", "0", "--column", "x", "segment-example.bin"],
    );
    check("--vector is of segments", &["--vector", "0", "log.bin"]);
    check(
        "an offset is a number of bytes",
        &["--region", "x", "log.bin"],
    );
}

/// A folder with damaged copies.
struct Copies(tempfile::TempDir);

impl Copies {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Inspects a copy of a golden file after a change.
    fn inspect(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Output {
        let mut bytes = std::fs::read(golden().join(file)).unwrap();
        change(&mut bytes);
        std::fs::write(self.0.path().join(file), &bytes).unwrap();
        // What it is part of is not there: no other file is needed, and none is made.
        let before = self.names();
        let output = inspect(self.0.path(), &[file]);
        let after = std::fs::read(self.0.path().join(file)).unwrap();
        assert!(after == bytes, "{file} was changed");
        assert_eq!(self.names(), before);
        output
    }

    fn names(&self) -> BTreeSet<OsString> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }
}

fn assert_code(output: &Output, code: i32, what: &str) {
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{what}: {out}\n{error}");
    let verdict = if code == 0 {
        "VALID: no damage found"
    } else {
        "BAD: "
    };
    assert!(out.contains(verdict), "{what}: {out}");
}

#[test]
fn a_flipped_byte_anywhere_in_a_segment_is_damage() {
    let copies = Copies::new();
    for (file, step) in [
        ("segment-example.bin", 3),
        ("segment-one-row.bin", 7),
        ("segment-every-encoding.bin", 389),
        ("segment-many-series.bin", 193),
    ] {
        let len = std::fs::metadata(golden().join(file)).unwrap().len();
        for at in (0..usize::try_from(len).unwrap()).step_by(step) {
            let output = copies.inspect(file, |bytes| bytes[at] ^= 0x10);
            assert_code(&output, 1, &format!("{file}, byte {at}"));
        }
    }
}

#[test]
fn a_flipped_byte_before_the_last_acknowledged_frame_or_edit_is_damage() {
    let copies = Copies::new();
    // The note at 12288 proves all before it; nothing proves the note, and zeros follow it.
    for at in (0..12_288).step_by(127).chain([192, 4095, 8191, 12_287]) {
        let output = copies.inspect("log.bin", |bytes| bytes[at] ^= 0x10);
        assert_code(&output, 1, &format!("log.bin, byte {at}"));
    }
    for at in [12_288, 12_320, 12_352, 16_384, 24_000] {
        let output = copies.inspect("log.bin", |bytes| bytes[at] ^= 0x10);
        assert_code(&output, 0, &format!("log.bin, byte {at}"));
    }
    // Likewise the last edit of a manifest, at 920.
    for at in (0..920).step_by(7) {
        let output = copies.inspect("manifest.bin", |bytes| bytes[at] ^= 0x10);
        assert_code(&output, 1, &format!("manifest.bin, byte {at}"));
    }
    for at in (920..1264).step_by(13) {
        let output = copies.inspect("manifest.bin", |bytes| bytes[at] ^= 0x10);
        assert_code(&output, 0, &format!("manifest.bin, byte {at}"));
    }
    for at in (0..192).step_by(5) {
        let output = copies.inspect("identity.bin", |bytes| bytes[at] ^= 0x10);
        // Without its magic and its name nothing says what it is.
        if at < 8 {
            assert_eq!(output.status.code(), Some(2), "identity.bin, byte {at}");
        } else {
            assert_code(&output, 1, &format!("identity.bin, byte {at}"));
        }
    }
}

#[test]
fn truncated_files_are_damaged_and_shown_as_far_as_they_go() {
    let copies = Copies::new();
    // Anywhere in its last edit.
    for len in [921, 930, 944, 945, 1100, 1263] {
        let output = copies.inspect("manifest.bin", |bytes| bytes.truncate(len));
        assert_code(&output, 1, &format!("a manifest of {len} bytes"));
        assert!(
            text(&output.stdout).contains("the file was cut short"),
            "{len}"
        );
    }
    for file in SEGMENTS {
        let len = std::fs::metadata(golden().join(file)).unwrap().len();
        let len = usize::try_from(len).unwrap();
        let step = if len > 1000 { 64 * 7 } else { 16 };
        for end in (8..len).step_by(step) {
            let output = copies.inspect(file, |bytes| bytes.truncate(end));
            assert_code(&output, 1, &format!("{file}, cut to {end}"));
        }
    }
    for (file, end) in [
        ("log.bin", 24_576),
        ("manifest.bin", 464),
        ("identity.bin", 192),
    ] {
        for end in (64..end).step_by(64) {
            let output = copies.inspect(file, |bytes| bytes.truncate(end));
            assert_code(&output, 1, &format!("{file}, cut to {end}"));
        }
    }
}

/// Damage of one region of each kind, and what is still shown.
#[test]
fn what_is_left_of_a_damaged_file_is_shown() {
    let copies = Copies::new();
    let check = |name: &str, file: &str, change: &dyn Fn(&mut Vec<u8>)| {
        copies.inspect(file, change);
        check_in(copies.0.path(), name, 1, &[file]);
    };
    let file = "segment-example.bin";
    check("damaged-magic.txt", file, &|bytes| bytes[0] = 0);
    check("damaged-header.txt", file, &|bytes| bytes[60] ^= 1);
    check("damaged-block.txt", file, &|bytes| bytes[256 + 30] ^= 1);
    check("damaged-series-page.txt", file, &|bytes| bytes[330] ^= 1);
    check("damaged-group-page.txt", file, &|bytes| bytes[390] ^= 1);
    check("damaged-root.txt", file, &|bytes| bytes[512] ^= 1);
    check("damaged-root-length.txt", file, &|bytes| {
        bytes[512 + 64] ^= 0xff
    });
    check("damaged-trailer.txt", file, &|bytes| bytes[640 + 36] ^= 1);
    check("damaged-padding.txt", file, &|bytes| bytes[319] = 1);
    check("damaged-tail-lost.txt", file, &|bytes| bytes.truncate(400));
    let file = "log.bin";
    check("damaged-log-header.txt", file, &|bytes| bytes[56] ^= 1);
    check("damaged-log-frame.txt", file, &|bytes| bytes[8220] ^= 1);
    check("damaged-log-gap.txt", file, &|bytes| bytes[6000] = 1);
    check("damaged-manifest-edit.txt", "manifest.bin", &|bytes| {
        bytes[500] ^= 1
    });
}

/// Changes a byte of the header of the frame at `at` of the golden log, as a newer version might write it.
fn newer_frame(bytes: &mut [u8], at: usize, byte: usize, value: u8) {
    bytes[at + byte] = value;
    let covered = [&bytes[40..56], &bytes[at + 8..at + 64]].concat();
    let crc = tidestone_format::checksum::crc32(&covered);
    bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Gives the first entry of the edit at `at` of the golden manifest an unknown tag.
fn newer_edit(bytes: &mut [u8], at: usize) {
    bytes[at + 24] = 200;
    let len = u32::from_le_bytes(*bytes[at + 4..].first_chunk().unwrap());
    let payload = at + 24..at + 24 + usize::try_from(len).unwrap();
    let covered = [&bytes[24..64], &bytes[at..at + 16], &bytes[payload]].concat();
    let crc = tidestone_format::checksum::crc32(&covered);
    bytes[at + 16..at + 20].copy_from_slice(&crc.to_le_bytes());
}

/// What this version does not know may be sound: it is NEWER, and what is behind it is still shown.
#[test]
fn unknown_frames_and_entries_are_of_a_newer_version_and_no_damage() {
    let copies = Copies::new();
    let log = |at, byte, value| {
        let change = move |bytes: &mut Vec<u8>| newer_frame(bytes, at, byte, value);
        (
            "log.bin",
            vec![at],
            Box::new(change) as Box<dyn Fn(&mut Vec<u8>)>,
        )
    };
    let manifest = |places: &[usize]| {
        let places = places.to_vec();
        let at = places.clone();
        let change = move |bytes: &mut Vec<u8>| at.iter().for_each(|at| newer_edit(bytes, *at));
        (
            "manifest.bin",
            places,
            Box::new(change) as Box<dyn Fn(&mut Vec<u8>)>,
        )
    };
    for (file, places, change) in [
        // An unknown kind, in each place of a group; unknown flags, lengths and tags.
        log(4096, 20, 6),
        log(4264, 20, 6),
        log(8192, 20, 200),
        log(8304, 20, 6),
        log(12_288, 20, 6),
        log(8192, 21, 1),
        log(8192, 16, 8),
        log(8192, 48, 1),
        manifest(&[256]),
        manifest(&[464]),
        manifest(&[920]),
        manifest(&[464, 920]),
        manifest(&[256, 464]),
    ] {
        let what = format!("{file}, {places:?}");
        let whole = copies.inspect(file, change);
        let out = text(&whole.stdout);
        assert_eq!(whole.status.code(), Some(2), "{what}: {out}");
        assert!(out.contains("NEWER: not all could be checked"), "{out}");
        assert!(!out.contains("BAD"), "{what}: {out}");
        assert!(!out.contains("acknowledged"), "{what}: {out}");

        let listed = inspect(copies.0.path(), &["--json", file]);
        assert_eq!(listed.status.code(), Some(2), "{what}");
        let region = |offset: u64| {
            let offset = offset.to_string();
            let args = ["--region", &offset, file];
            let output = inspect(copies.0.path(), &args);
            let json = inspect(copies.0.path(), &[&["--json"], &args[..]].concat());
            assert_eq!(json.status, output.status, "{what}, {offset}");
            let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
            (output.status.code(), text(&output.stdout), json)
        };
        // At its start, within its header, and within its payload where it has one.
        for at in places.iter().flat_map(|at| [*at, at + 8, at + 63]) {
            let (code, out, json) = region(at as u64);
            assert_eq!(code, Some(2), "{what}, {at}: {out}");
            let says = ["of a newer version at", ": NEWER", "its header says:"];
            for expected in says {
                assert!(out.contains(expected), "{what}, {at}: {out}");
            }
            assert!(!out.contains("BAD"), "{what}, {at}: {out}");
            assert_eq!(json["verdict"], "NEWER", "{what}, {at}");
            assert_eq!(json["damage"]["newer"], true, "{what}, {at}");
        }
        let golden = inspect(&golden(), &["--json", file]);
        let mut offsets = offsets(&text(&golden.stdout));
        offsets.retain(|offset| !places.iter().any(|at| *at as u64 == *offset));
        for offset in offsets {
            let (code, out, _) = region(offset);
            assert_eq!(code, Some(0), "{what}, {offset}: {out}");
        }
    }
}

#[test]
fn a_segment_trailer_of_a_newer_version_is_no_damage() {
    let copies = Copies::new();
    let file = "segment-example.bin";
    let output = copies.inspect(file, |bytes| {
        bytes[640 + 48] = 9;
        let crc = tidestone_format::checksum::crc32(&bytes[640..640 + 52]);
        bytes[640 + 52..640 + 56].copy_from_slice(&crc.to_le_bytes());
    });
    for output in [output, inspect(copies.0.path(), &["--region", "640", file])] {
        let out = text(&output.stdout);
        assert_eq!(output.status.code(), Some(2), "{out}");
        assert!(out.contains("NEWER") && !out.contains("BAD"), "{out}");
    }
    for offset in ["192", "320", "512"] {
        let output = inspect(copies.0.path(), &["--region", offset, file]);
        assert_eq!(output.status.code(), Some(0), "{offset}: {output:?}");
    }
}

#[test]
fn damage_beside_what_is_newer_decides() {
    let copies = Copies::new();
    let output = copies.inspect("log.bin", |bytes| {
        newer_frame(bytes, 8192, 20, 6);
        bytes[300] = 1;
    });
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    let verdict = "BAD: 1 place found damaged, and 1 place of a newer version";
    assert!(out.contains(verdict), "{out}");
    let output = inspect(copies.0.path(), &["--region", "8192", "log.bin"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    // One that is newer and damaged is damaged.
    let output = copies.inspect("log.bin", |bytes| {
        newer_frame(bytes, 8192, 20, 6);
        bytes[8192 + 70] ^= 1;
    });
    assert_code(&output, 1, "a damaged frame of a newer version");
    let output = inspect(copies.0.path(), &["--region", "8192", "log.bin"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

/// The inspector alone told of an `import` that it does not have.
#[test]
fn the_help_tells_of_commands_that_there_are() {
    let output = Command::new(env!("CARGO_BIN_EXE_tidestone"))
        .arg("--help")
        .output()
        .unwrap();
    let help = text(&output.stdout);
    assert!(help.starts_with("Tidestone: "), "{help}");
    for word in ["import", "query", "plot", "refused"] {
        assert_eq!(
            help.contains(word),
            cfg!(feature = "engine"),
            "{word}: {help}"
        );
    }
    assert!(help.contains("inspect"), "{help}");
}
