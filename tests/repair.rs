//! Verifying and repairing damaged databases: what is lost is told first, and all else stays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and changes the machine's own files"
)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::copy_tree;
use common::damaged::{files, flip, make, options, times, write};
use tidestone::maintenance::{Step, plan_repair, rebuild_index, repair, verify};
use tidestone::{ErrorKind, FieldType, Options, ReadMode, TableOptions, Tidestone, Value};
use tidestone_format::header::{FileHeader, HEADER_LEN};
use tidestone_format::manifest::{EDITS_START, EditCursor, LocatedEdit, ManifestIdentity};

#[test]
fn a_sound_database_verifies_and_needs_no_repair() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 10);
    db.flush().unwrap();
    write(&db, &table, 10, 10);
    drop((db, table));
    let report = verify(&path).unwrap();
    assert_eq!(report.damage, []);
    assert_eq!(report.rows, 10);
    assert!(report.frames >= 10, "{report:?}");
    assert!(plan_repair(&path).unwrap().steps.is_empty());
    assert!(repair(&path).unwrap().steps.is_empty());
    let db = Tidestone::open(&path, options()).unwrap();
    assert_eq!(times(&db), (0..20).collect::<Vec<_>>());
}

#[test]
fn what_is_durable_is_verified_beside_a_process_that_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 10);
    db.flush().unwrap();
    write(&db, &table, 10, 10);
    let report = verify(&path).unwrap();
    assert_eq!(report.damage, []);
    assert_eq!((report.rows, report.frames), (10, 10));
    assert!(
        report.notes[0].contains("another process writes"),
        "{report:?}"
    );
    assert_eq!(db.status().unwrap().readers.leases, 0, "its lease is gone");
    let logs: Vec<_> = report.files.iter().filter(|f| f.kind == "log").collect();
    assert!(!logs.is_empty(), "{report:?}");
    for log in logs {
        assert!(log.path.starts_with(path.join("wal")), "{report:?}");
        // What was read of it, and not its length.
        assert!((1..64 << 10).contains(&log.bytes), "{report:?}");
    }
    let kinds: Vec<_> = report.not_read.iter().map(|part| part.kind).collect();
    assert_eq!(kinds, ["index", "log"], "{report:?}");
    let segment = files(&path, ".seg").remove(0);
    flip(&segment, 300);
    let damaged = verify(&path).unwrap().damage;
    assert!(damaged.iter().all(|d| d.path == segment) && !damaged.is_empty());
    flip(&segment, 300);
    let log = files(&path.join("wal"), ".log");
    let last_group = log.iter().rev().find_map(|log| {
        let bytes = std::fs::read(log).unwrap();
        let pages = (4096..bytes.len()).step_by(4096);
        Some((log, pages.rev().find(|page| bytes[*page] != 0)?))
    });
    let (log, at) = last_group.unwrap();
    flip(log, at + 80);
    let report = verify(&path).unwrap();
    let [damage] = &report.damage[..] else {
        panic!("{report:?}");
    };
    assert!(damage.what.contains("published as durable"), "{damage:?}");
    assert!(
        report.files.iter().any(|file| file.path == damage.path),
        "a damaged file is one that was read: {report:?}"
    );
    // Without a lease nothing keeps its files from going meanwhile.
    std::fs::remove_dir_all(path.join("readers")).unwrap();
    let error = verify(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("readers"), "{error}");
}

/// Every file below a folder, with its bytes and the time of its last change.
fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let stat = |path: &PathBuf| std::fs::metadata(path).unwrap().modified().unwrap();
    let files = files(dir, "").into_iter();
    files
        .map(|path| (path.clone(), std::fs::read(&path).unwrap(), stat(&path)))
        .collect()
}

#[test]
fn verifying_changes_nothing_however_damaged_the_database_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    for round in 0..4 {
        write(&db, &table, round * 10, 10);
        db.flush().unwrap();
    }
    write(&db, &table, 100, 10);
    drop((db, table));
    let check = |what: &str, sound: bool| {
        let before = tree(&path);
        let report = verify(&path).unwrap();
        assert_eq!(report.damage.is_empty(), sound, "{what}: {report:?}");
        assert!(tree(&path) == before, "{what}: something was written");
    };
    check("sound", true);
    let all: Vec<PathBuf> = files(&path, "");
    assert!(all.iter().any(|f| f.to_string_lossy().contains("index/")));
    for file in all {
        let name = file.strip_prefix(&path).unwrap().display().to_string();
        let sound = std::fs::read(&file).unwrap();
        if sound.is_empty() || name.starts_with("index/LOG") {
            continue;
        }
        for at in [0, sound.len() / 2] {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&file, &bytes).unwrap();
            let before = tree(&path);
            let report = verify(&path).unwrap();
            if name.ends_with(".seg") || name == "IDENTITY" {
                assert!(!report.damage.is_empty(), "{name} at {at}");
            }
            assert!(
                tree(&path) == before,
                "{name} at {at}: something was written"
            );
        }
        std::fs::remove_file(&file).unwrap();
        let before = tree(&path);
        let report = verify(&path).unwrap();
        if name.ends_with(".seg") || name == "IDENTITY" {
            assert!(!report.damage.is_empty(), "{name} is missing");
        }
        assert!(
            tree(&path) == before,
            "{name} is missing: something was written"
        );
        std::fs::write(&file, &sound).unwrap();
    }
    check("sound again", true);
    let sst = files(&path.join("index"), ".sst").pop().unwrap();
    let sound = std::fs::read(&sst).unwrap();
    flip(&sst, sound.len() / 4);
    let report = verify(&path).unwrap();
    let told = format!("{:?}", (&report.damage, &report.notes));
    assert!(told.contains("index"), "{told}");
}

#[test]
fn a_report_of_damage_names_the_files_of_a_newer_version_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    for round in 0..2 {
        write(&db, &table, round * 10, 10);
        db.flush().unwrap();
    }
    drop((db, table));
    let [damaged, newer] = &files(&path.join("segments"), ".seg")[..] else {
        panic!("two flushes");
    };
    let mut bytes = std::fs::read(newer).unwrap();
    (bytes[8], bytes[10]) = (9, 7);
    let crc = tidestone_format::checksum::crc32(&bytes[..188]);
    bytes[188..192].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(newer, bytes).unwrap();
    let report = verify(&path).unwrap();
    assert!(!report.is_damaged(), "{report:?}");
    flip(damaged, 300);
    let report = verify(&path).unwrap();
    assert!(report.is_damaged(), "{report:?}");
    let named = |path: &Path, newer: bool| {
        let mut damage = report.damage.iter();
        damage.any(|d| d.path == path && d.newer == newer)
    };
    assert!(named(damaged, false) && named(newer, true), "{report:?}");
    assert!(!named(damaged, true) && !named(newer, false), "{report:?}");
    // The newer one may be sound: nothing is repaired beside it.
    let error = repair(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(error.path(), Some(&**newer));
}

#[test]
fn a_damaged_frame_of_the_log_costs_no_row_but_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 20);
    drop((db, table));
    // Each commit was a group of its own: one page. The first holds the series too.
    let log = files(&path.join("wal"), ".log")
        .into_iter()
        .find(|f| std::fs::read(f).unwrap()[4096] != 0)
        .unwrap();
    flip(&log, 4096 * 11 + 100);
    let error = Tidestone::open(&path, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("repair"), "{error}");
    assert_eq!(verify(&path).unwrap().damage.len(), 1);

    let plan = plan_repair(&path).unwrap();
    let [
        Step::DropFrames {
            offset,
            first_lost,
            last_lost,
            frames,
            ..
        },
    ] = &plan.steps[..]
    else {
        panic!("{plan:?}");
    };
    assert_eq!(*offset, 4096 * 11);
    assert_eq!(first_lost, last_lost);
    let (batches, others) = (frames.batches, frames.definitions + frames.deletes);
    assert_eq!((batches, others, frames.unknown), (1, 0, 0), "{frames:?}");
    assert!(
        Tidestone::open(&path, options()).is_err(),
        "a plan changes nothing"
    );
    assert_eq!(repair(&path).unwrap(), plan);

    let db = Tidestone::open(&path, options()).unwrap();
    let others: Vec<i64> = (0..20).filter(|i| *i != 10).collect();
    assert_eq!(times(&db), others);
    let table = db.table("t").unwrap();
    write(&db, &table, 100, 3);
    db.close().unwrap();
    assert_eq!(verify(&path).unwrap().damage, []);
    let db = Tidestone::open(&path, options()).unwrap();
    assert_eq!(times(&db)[19..], [100, 101, 102]);
    assert!(
        !files(&path.join("lost"), ".log").is_empty(),
        "the damaged log is kept aside"
    );
}

#[test]
fn a_segment_that_cannot_be_opened_is_dropped_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 5);
    db.flush().unwrap();
    let first = files(&path.join("segments"), ".seg");
    write(&db, &table, 5, 5);
    db.close().unwrap();
    drop((db, table));
    let len = usize::try_from(std::fs::metadata(&first[0]).unwrap().len()).unwrap();
    flip(&first[0], len - 20);
    assert!(!verify(&path).unwrap().damage.is_empty());
    let plan = repair(&path).unwrap();
    let [Step::DropSegment { rows: 5, .. }] = plan.steps[..] else {
        panic!("{plan:?}");
    };
    let db = Tidestone::open(&path, options()).unwrap();
    assert_eq!(times(&db), (5..10).collect::<Vec<_>>());
    db.close().unwrap();
    assert_eq!(verify(&path).unwrap().damage, []);
}

#[test]
fn a_log_that_is_gone_costs_what_was_not_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 5);
    db.flush().unwrap();
    write(&db, &table, 5, 5);
    let lost = table.series(&[("host", "in the log alone")]).unwrap().id();
    drop((db, table));
    for log in files(&path.join("wal"), ".log") {
        std::fs::remove_file(log).unwrap();
    }
    let error = Tidestone::open(&path, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let plan = repair(&path).unwrap();
    assert!(matches!(plan.steps[..], [Step::NewLog { .. }]), "{plan:?}");
    let db = Tidestone::open(&path, options()).unwrap();
    assert_eq!(times(&db), (0..5).collect::<Vec<_>>());
    let table = db.table("t").unwrap();
    let next = table.series(&[("host", "new")]).unwrap().id();
    assert!(next > lost, "no id is given twice: {next}, {lost}");
    write(&db, &table, 50, 2);
    drop((db, table));
    let db = Tidestone::open(&path, options()).unwrap();
    assert_eq!(times(&db), [0, 1, 2, 3, 4, 50, 51]);
}

#[test]
fn a_log_whose_folder_is_gone_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 5);
    db.flush().unwrap();
    drop((db, table));
    std::fs::remove_dir_all(path.join("wal")).unwrap();
    let plan = repair(&path).unwrap();
    assert!(matches!(plan.steps[..], [Step::NewLog { .. }]), "{plan:?}");
    assert_eq!(plan_repair(&path).unwrap().steps, []);
    let db = Tidestone::open(&path, options()).unwrap();
    assert_eq!(times(&db), (0..5).collect::<Vec<_>>());
}

/// A folder that was restored from a backup gives files names that an earlier repair has in `lost/`.
#[test]
fn what_an_earlier_repair_kept_aside_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 5);
    db.flush().unwrap();
    let segment = files(&path.join("segments"), ".seg").remove(0);
    let len = std::fs::metadata(&segment).unwrap().len();
    drop((db, table));
    flip(&segment, usize::try_from(len).unwrap() - 20);
    let mut moved = files(&path.join("wal"), ".log");
    for log in &moved {
        flip(log, 30);
    }
    moved.push(segment);
    let lost = path.join("lost");
    std::fs::create_dir(&lost).unwrap();
    let places = moved
        .iter()
        .map(|file| lost.join(file.file_name().unwrap()));
    let places: Vec<PathBuf> = places.collect();
    for place in &places {
        std::fs::write(place, "of an earlier repair").unwrap();
    }
    let moved: Vec<Vec<u8>> = moved
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    let plan = repair(&path).unwrap();
    assert_eq!(plan.steps.len(), 2, "{plan:?}");
    for (place, bytes) in places.iter().zip(moved) {
        assert_eq!(std::fs::read(place).unwrap(), b"of an earlier repair");
        let beside = PathBuf::from(format!("{}.1", place.display()));
        assert!(
            std::fs::read(beside).unwrap() == bytes,
            "{}",
            place.display()
        );
    }
}

/// A database of one segment of three row groups, whose second has a damaged block.
fn with_damaged_block(path: &Path) -> PathBuf {
    let (db, table) = make(path);
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    for i in 0..150_000 {
        // Values that take more bytes than their index, so that a byte in the middle is in a block.
        let value = i64::try_from((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1).unwrap();
        writer.append(&series, i, &[Value::I64(value)]).unwrap();
    }
    writer.commit_and_wait().unwrap();
    db.close().unwrap();
    let file = files(&path.join("segments"), ".seg").remove(0);
    flip(
        &file,
        usize::try_from(std::fs::metadata(&file).unwrap().len()).unwrap() * 2 / 3,
    );
    file
}

/// A damaged block was no reason to repair, and its segment could be neither read nor merged.
#[test]
fn a_damaged_block_costs_its_row_group_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let file = with_damaged_block(&path);
    let damaged = std::fs::read(&file).unwrap();
    assert_eq!(verify(&path).unwrap().damage.len(), 1);
    let db = Tidestone::open(&path, options()).unwrap();
    let batches = db.table("t").unwrap().query().scan().unwrap();
    let error = batches.filter_map(Result::err).next().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    db.close().unwrap();
    drop(db);

    let plan = plan_repair(&path).unwrap();
    let [
        Step::DropRows {
            rows: 65_536,
            kept: 84_464,
            groups,
            ..
        },
    ] = &plan.steps[..]
    else {
        panic!("{plan:?}");
    };
    assert_eq!(*groups, [1]);
    assert_eq!(
        std::fs::read(&file).unwrap(),
        damaged,
        "a plan changes nothing"
    );
    assert_eq!(repair(&path).unwrap(), plan);
    assert_eq!(verify(&path).unwrap().damage, []);
    let db = Tidestone::open(&path, options()).unwrap();
    let expected: Vec<i64> = (0..65_536).chain(131_072..150_000).collect();
    assert!(times(&db) == expected);
    db.compact().unwrap();
    db.close().unwrap();
    let kept = files(&path.join("lost"), ".seg").remove(0);
    assert_eq!(
        std::fs::read(kept).unwrap(),
        damaged,
        "what is dropped is kept aside"
    );
    assert!(plan_repair(&path).unwrap().steps.is_empty());
}

/// `verify` told of a byte that was not zero between the parts of a segment, `repair` had nothing to do: the
/// database could never become sound. And of bytes behind a segment's end, for which `repair` dropped it.
#[test]
fn damage_between_the_parts_of_a_segment_or_behind_its_end_costs_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    let db = Tidestone::create(&sound, options()).unwrap();
    let table = TableOptions::new()
        .field("value", FieldType::I64)
        .field("word", FieldType::String);
    let table = db.create_table("t", table).unwrap();
    let mut writer = db.writer();
    for host in ["a", "b"] {
        let series = table.series(&[("host", host)]).unwrap();
        for i in 0..1_500 {
            let word = ["one", "two", "three"][usize::try_from(i % 3).unwrap()];
            let row = [Value::I64(i * i), Value::String(word)];
            writer.append(&series, i, &row).unwrap();
        }
    }
    writer.commit_and_wait().unwrap();
    drop((writer, table));
    db.close().unwrap();
    drop(db);
    let file = files(&sound.join("segments"), ".seg").remove(0);
    let bytes = std::fs::read(&file).unwrap();
    let segment = tidestone_format::segment::Segment::open(&bytes).unwrap();
    let (mut places, mut kinds) = (Vec::new(), BTreeSet::new());
    segment.verify(|region, result| {
        result.unwrap();
        places.extend(region.padding().last());
        if !region.padding().is_empty() {
            kinds.insert(region.kind.name());
        }
    });
    assert!(kinds.len() >= 4, "{kinds:?}");

    let end = bytes.len() as u64;
    for at in places.into_iter().chain([end]) {
        let path = dir.path().join(at.to_string());
        copy_tree(&sound, &path);
        let file = path.join(file.strip_prefix(&sound).unwrap());
        let mut damaged = bytes.clone();
        let what = if at == end {
            damaged.extend_from_slice(b"more");
            "end of a segment"
        } else {
            damaged[usize::try_from(at).unwrap()] ^= 1;
            "padding"
        };
        std::fs::write(&file, &damaged).unwrap();
        let report = verify(&path).unwrap();
        let [damage] = &report.damage[..] else {
            panic!("{at}: {report:?}");
        };
        assert!(damage.what.contains(what), "{at}: {damage:?}");
        assert_eq!(damage.offset, Some(at), "{damage:?}");
        let plan = plan_repair(&path).unwrap();
        let [Step::RewriteSegment { rows: 3_000, .. }] = &plan.steps[..] else {
            panic!("{at}: {plan:?}");
        };
        let with_pread = Options {
            read_mode: ReadMode::Pread,
            ..options()
        };
        let with_pread = Tidestone::builder(&path).options(with_pread);
        assert_eq!(with_pread.verify().unwrap(), report, "{at}: with pread");
        assert_eq!(with_pread.plan_repair().unwrap(), plan, "{at}: with pread");
        assert!(
            std::fs::read(&file).unwrap() == damaged,
            "{at}: a plan changes nothing"
        );
        assert_eq!(repair(&path).unwrap(), plan);
        let report = verify(&path).unwrap();
        assert_eq!((report.damage, report.rows), (vec![], 3_000), "{at}");
        assert_eq!(plan_repair(&path).unwrap().steps, [], "{at}");
        let kept = files(&path.join("lost"), ".seg").remove(0);
        assert!(std::fs::read(kept).unwrap() == damaged, "{at}");
        let rows = |path: &Path| {
            let db = Tidestone::open_read_only(path, options()).unwrap();
            common::contents(&db.table("t").unwrap())
        };
        assert!(rows(&path) == rows(&sound), "{at}: the rows are the same");
    }
}

#[test]
fn a_damaged_manifest_is_cut_where_it_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 5);
    db.flush().unwrap();
    let manifest = files(&path.join("manifest"), ".manifest").remove(0);
    let used = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.iter().rposition(|b| *b != 0).unwrap()
    };
    let first = files(&path.join("segments"), ".seg");
    let sound = used(&manifest);
    write(&db, &table, 5, 5);
    db.flush().unwrap();
    write(&db, &table, 10, 3);
    drop((db, table));
    flip(&manifest, sound + 40);
    let error = Tidestone::open(&path, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(verify(&path).unwrap().damage.len(), 1);

    let plan = plan_repair(&path).unwrap();
    let [Step::CutManifest { unnamed, lost, .. }] = &plan.steps[..] else {
        panic!("{plan:?}");
    };
    assert_eq!((unnamed.len(), *lost), (1, 2), "the edit and its seal");
    assert!(!first.contains(&unnamed[0].path));
    assert_eq!(unnamed[0].rows, Some(5));
    assert_eq!(repair(&path).unwrap(), plan);
    assert_eq!(plan_repair(&path).unwrap().steps, []);
    // The log still had what the segment held.
    let db = Tidestone::open(&path, options()).unwrap();
    assert_eq!(times(&db), (0..13).collect::<Vec<_>>());
    db.close().unwrap();
    assert_eq!(verify(&path).unwrap().damage, []);
    assert_eq!(files(&path.join("lost"), ".manifest").len(), 1);
    assert_eq!(files(&path.join("lost"), ".seg").len(), 1);
}

/// A bit in its header or padding was not to be repaired, and one in a seal cost every change behind it.
#[test]
fn a_manifest_that_is_damaged_where_it_holds_nothing_is_mended_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    let (db, table) = make(&sound);
    for part in 0..3 {
        write(&db, &table, part * 5, 5);
        db.flush().unwrap();
    }
    drop((db, table));
    let manifest = files(&sound.join("manifest"), ".manifest").remove(0);
    let bytes = std::fs::read(&manifest).unwrap();
    let identity = ManifestIdentity::of(&FileHeader::decode(&bytes).unwrap());
    let edits: Vec<LocatedEdit> = EditCursor::new(&bytes, identity).collect();
    let seals = edits.iter().filter(|e| e.edit.entries.is_empty());
    let seals: Vec<usize> = seals.map(|e| usize::try_from(e.offset).unwrap()).collect();
    // Behind the last one nothing proves that it was there. Of the header: magic, features, database, incarnation,
    // number, checksum.
    let header = [3, 17, 30, 45, 57, HEADER_LEN - 2];
    let padding = [HEADER_LEN, EDITS_START - 1];
    for at in [&header[..], &padding, &[seals[0] + 9, seals[1]]].concat() {
        let path = dir.path().join(at.to_string());
        copy_tree(&sound, &path);
        let damaged = path.join(manifest.strip_prefix(&sound).unwrap());
        flip(&damaged, at);
        let error = Tidestone::open(&path, options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{at}: {error}");
        let plan = plan_repair(&path).unwrap();
        let [Step::MendManifest { path: told, .. }] = &plan.steps[..] else {
            panic!("{at}: {plan:?}");
        };
        assert_eq!(*told, damaged, "{at}");
        assert_eq!(repair(&path).unwrap(), plan, "{at}");
        assert!(std::fs::read(&damaged).unwrap() == bytes, "{at}");
        assert_eq!(plan_repair(&path).unwrap().steps, [], "{at}");
        assert_eq!(verify(&path).unwrap().damage, [], "{at}");
        assert_eq!(files(&path.join("lost"), ".manifest").len(), 1, "{at}");
        let db = Tidestone::open(&path, options()).unwrap();
        assert_eq!(times(&db), (0..15).collect::<Vec<_>>(), "{at}");
    }
}

/// `repair` of a manifest whose header is damaged advised `repair`; so did most of what it would drop, and
/// `verify` advised `verify`.
#[test]
fn nobody_is_told_to_run_what_is_running() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    let (db, table) = make(&sound);
    for round in 0..2 {
        write(&db, &table, round * 10, 10);
        db.flush().unwrap();
    }
    write(&db, &table, 100, 10);
    drop((db, table));
    let one = |path: &Path, end: &str| files(path, end).pop().unwrap();
    let manifest = |path: &Path| one(path, ".manifest");
    let used_log = |path: &Path| {
        let mut logs = files(&path.join("wal"), ".log").into_iter();
        let used = |log: &PathBuf| std::fs::read(log).unwrap()[4096] != 0;
        logs.find(used).unwrap()
    };
    let rename = |path: &Path| {
        let other = manifest(path).with_file_name("00000000000000000007.manifest");
        std::fs::rename(manifest(path), other).unwrap();
    };
    let foreign = |path: &Path| {
        let other = path.with_extension("other");
        drop(make(&other));
        std::fs::copy(manifest(&other), manifest(path)).unwrap();
    };
    let remove_logs = |path: &Path| {
        let logs = files(&path.join("wal"), ".log").into_iter();
        logs.for_each(|log| std::fs::remove_file(log).unwrap());
    };
    let cut_segment = |path: &Path| {
        let segment = one(path, ".seg");
        let bytes = std::fs::read(&segment).unwrap();
        std::fs::write(segment, &bytes[..bytes.len() - 1]).unwrap();
    };
    let end_of_edits = |path: &Path| {
        let bytes = std::fs::read(manifest(path)).unwrap();
        bytes.iter().rposition(|b| *b != 0).unwrap()
    };
    // How the database is damaged, and what helps where `repair` does not.
    type Case<'a> = (&'a str, &'a dyn Fn(&Path), Option<&'a str>);
    let cases: [Case<'_>; 12] = [
        (
            "the header of the manifest",
            &|path| flip(&manifest(path), 30),
            None,
        ),
        (
            "the first edit of the manifest",
            &|path| flip(&manifest(path), EDITS_START + 60),
            Some("restore it, or the whole database, from a backup"),
        ),
        (
            "a manifest under another name",
            &rename,
            Some("give the file its own name again"),
        ),
        (
            "the manifest of another database",
            &foreign,
            Some("restore the one of this database from a backup"),
        ),
        (
            "no manifest",
            &|path| std::fs::remove_file(manifest(path)).unwrap(),
            Some("restore one from a backup"),
        ),
        (
            "an edit of the manifest",
            &|path| flip(&manifest(path), end_of_edits(path) - 60),
            None,
        ),
        ("IDENTITY", &|path| flip(&path.join("IDENTITY"), 30), None),
        (
            "no IDENTITY",
            &|path| std::fs::remove_file(path.join("IDENTITY")).unwrap(),
            None,
        ),
        (
            "a log file",
            &|path| flip(&used_log(path), 4096 * 27 + 100),
            None,
        ),
        ("no log", &remove_logs, None),
        ("a segment", &cut_segment, None),
        (
            "no segment",
            &|path| std::fs::remove_file(one(path, ".seg")).unwrap(),
            None,
        ),
    ];
    for (number, (what, damage, helps)) in cases.into_iter().enumerate() {
        let path = dir.path().join(number.to_string());
        copy_tree(&sound, &path);
        damage(&path);
        let report = verify(&path).unwrap();
        assert!(report.is_damaged(), "{what}: {report:?}");
        let told = format!("{report:?}");
        assert!(!told.contains("`tidestone verify`"), "{what}: {told}");
        let (told, advised) = match plan_repair(&path) {
            Ok(plan) => {
                assert!(!plan.steps.is_empty(), "{what}");
                (format!("{plan:?}"), None)
            }
            Err(error) => (error.to_string(), helps),
        };
        assert!(!told.contains("`tidestone repair`"), "{what}: {told}");
        assert_eq!(advised, helps, "{what}: {told}");
        assert!(told.contains(helps.unwrap_or_default()), "{what}: {told}");
    }
}

#[test]
fn the_index_is_made_anew_under_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 3);
    // Whoever writes to it keeps its index.
    let index = files(&path.join("index"), "");
    let error = rebuild_index(&path, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert_eq!(files(&path.join("index"), ""), index);
    write(&db, &table, 3, 3);
    drop(table);
    db.close().unwrap();
    drop(db);
    // Of several at once, each has the database for itself or is refused.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..4 {
                    match rebuild_index(&path, options()) {
                        Ok(db) => {
                            assert!(db.open_report().index_rebuilt.is_some());
                            assert_eq!(times(&db), [0, 1, 2, 3, 4, 5]);
                            db.close().unwrap();
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Locked, "{error}"),
                    }
                }
            });
        }
    });
    assert!(verify(&path).unwrap().damage.is_empty());
}
