//! Runs the saved corpus of every target through its body, with any compiler.

use std::path::Path;

fn run(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        body(&std::fs::read(&path).expect("a readable file"));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn bits_decode() {
    run("bits_decode", tidestone_fuzz::codecs::bits_decode);
}

#[test]
fn integer_decode() {
    run("integer_decode", tidestone_fuzz::codecs::integer_decode);
}

#[test]
fn integer_round_trip() {
    run(
        "integer_round_trip",
        tidestone_fuzz::codecs::integer_round_trip,
    );
}

#[test]
fn float_decode() {
    run("float_decode", tidestone_fuzz::codecs::float_decode);
}

#[test]
fn float_round_trip() {
    run("float_round_trip", tidestone_fuzz::codecs::float_round_trip);
}

#[test]
fn file_header() {
    run("file_header", tidestone_fuzz::files::file_header);
}

#[test]
fn log_frames() {
    run("log_frames", tidestone_fuzz::files::log_frames);
}

#[test]
fn log_record() {
    run("log_record", tidestone_fuzz::files::log_record);
}

#[test]
fn manifest_replay() {
    run("manifest_replay", tidestone_fuzz::files::manifest_replay);
}

#[test]
fn manifest_state() {
    run("manifest_state", tidestone_fuzz::files::manifest_state);
}

#[test]
fn segment_file() {
    run("segment_file", tidestone_fuzz::segments::segment_file);
}
