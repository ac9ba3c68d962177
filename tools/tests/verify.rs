//! `verify` where not all can be read, from outside.
#![cfg(feature = "engine")]
#![expect(
    clippy::disallowed_methods,
    reason = "damaged files are files of the test"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the lints know test functions, not the functions they call"
)]

mod common;

use common::Place;

#[test]
fn verify_says_what_it_did_not_read_beside_a_process_that_writes() {
    let place = Place::with_weather();
    let db = tidestone::Tidestone::open(place.path("db"), tidestone::Options::default()).unwrap();
    let log_line = |out: &str| out.lines().nth(2).unwrap().to_owned();
    let out = place.ok(&["verify", "db"]);
    assert_eq!(log_line(&out), "log       not read", "{out}");
    let flushed = "\nnot read  log: everything that is durable is in segments\n";
    assert!(out.contains(flushed), "{out}");
    assert!(out.contains("\nnot read  index: another process"), "{out}");
    assert!(out.ends_with("\nVALID, as far as it was read\n"), "{out}");

    let bern = db.table("weather").unwrap().series(&[("city", "Bern")]);
    let mut writer = db.writer();
    writer.append(&bern.unwrap(), 1, &[]).unwrap();
    let lsn = writer.commit().unwrap().lsn();
    db.wait_durable(lsn, None).unwrap();
    let out = place.ok(&["verify", "db"]);
    let line = log_line(&out);
    assert!(
        line.starts_with("log       1 files, ") && line.ends_with(" bytes: VALID"),
        "{out}"
    );
    let mut lines = out.lines();
    let behind =
        format!(" to {lsn}: what is older is in segments, and what is newer is not durable yet");
    let some = lines.find(|l| l.starts_with("not read  log: all but LSN "));
    assert!(some.unwrap().ends_with(&behind), "{out}");
    let json = place.ok(&["verify", "db", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sound"], true);
    assert_eq!(json["not_read"][1]["kind"], "log", "{json}");

    let log = json["files"].as_array().unwrap();
    let log = log.iter().find(|file| file["kind"] == "log").unwrap();
    let log = place.path(log["path"].as_str().unwrap());
    let mut bytes = std::fs::read(&log).unwrap();
    let last_group = (4096..bytes.len()).step_by(4096);
    let last_group = last_group.rev().find(|page| bytes[*page] != 0).unwrap();
    bytes[last_group + 8] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let (out, _) = place.check(1, &["verify", "db"]);
    let line = log_line(&out);
    assert!(line.ends_with(": BAD: 1 of them"), "{out}");
}

#[test]
fn verify_says_that_segments_were_not_read_where_nothing_names_them() {
    let place = Place::with_weather();
    let manifest = place.path("db/manifest/00000000000000000001.manifest");
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    let (out, _) = place.check(1, &["verify", "db"]);
    assert!(out.contains("\nsegment   not read\n"), "{out}");
    let why = "\nnot read  segment: the manifest, which names them, is not readable\n";
    assert!(out.contains(why), "{out}");
}
