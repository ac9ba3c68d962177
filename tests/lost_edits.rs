//! A manifest that has lost its last edits: cut off anywhere, or written over with zeros. It is told
//! before a query is answered short and before a file goes that only those edits named, and a repair
//! keeps what is left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use common::{contents, quiet};
use tidestone::io::SimDisk;
use tidestone::maintenance::Step;
use tidestone::{
    Builder, Error, ErrorKind, FieldType, Options, Result, Table, TableOptions, Tidestone,
};
use tidestone_format::header::FileHeader;
use tidestone_format::manifest::{EditCursor, ManifestIdentity};

const MANIFEST: &str = "/db/manifest/00000000000000000001.manifest";

fn builder(disk: &SimDisk) -> Builder {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
}

/// Two tables whose fields come with their rows, some of them flushed, others in the log alone.
fn fill() -> SimDisk {
    let disk = SimDisk::new();
    let db = builder(&disk).create().unwrap();
    let mut writer = db.writer();
    for (name, round) in [("a", 0), ("a", 1), ("b", 2), ("b", 3), ("a", 4)] {
        let options = TableOptions::new().future_bound(None).open_schema();
        let table = db.table_or_create(name, options).unwrap();
        let series = table.series(&[("tag", "x")]).unwrap();
        for field in 0..=round {
            let values = vec![f64::from(field); 3];
            let times = (0..3).map(|t| i64::from(round) * 10 + t).collect();
            let batch = tidestone::Batch::of_series(&series, times);
            let batch = batch.f64(format!("f{field}"), values);
            writer.append_batch(batch).unwrap();
        }
        writer.commit_and_wait().unwrap();
        if round % 2 == 1 {
            db.flush().unwrap();
        }
    }
    drop((writer, db));
    disk
}

/// All rows of all tables, with all their fields, and how many fields there are.
fn read(db: &Tidestone) -> Result<Vec<(String, usize, Vec<common::Row>)>> {
    let rows = |table: Table| {
        for batch in table.query().scan()? {
            batch?;
        }
        let fields = table.schema().fields.len();
        Ok((table.name().to_owned(), fields, contents(&table)))
    };
    db.tables().into_iter().map(rows).collect()
}

/// The manifest, up to the byte behind its last one that is not zero.
fn edits(disk: &SimDisk) -> Vec<u8> {
    let mut edits = Vec::new();
    disk.damage(&PathBuf::from(MANIFEST), |bytes| {
        let end = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
        edits.extend_from_slice(&bytes[..end]);
    })
    .unwrap();
    edits
}

fn segments(disk: &SimDisk) -> BTreeSet<String> {
    let names = disk.paths().into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        name.ends_with(".seg").then_some(name)
    });
    names.collect()
}

/// Where the edits of the manifest end.
fn ends(disk: &SimDisk) -> Vec<usize> {
    let mut bytes = Vec::new();
    disk.damage(&PathBuf::from(MANIFEST), |b| bytes.clone_from(b))
        .unwrap();
    let header = FileHeader::decode(&bytes).unwrap();
    let edits = EditCursor::new(&bytes, ManifestIdentity::of(&header));
    edits.map(|e| usize::try_from(e.end).unwrap()).collect()
}

fn is_told(error: &Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    let text = error.to_string();
    let advises = text.contains("tidestone repair") || text.contains("backup");
    assert!(advises, "{what}: {text}");
}

/// Changes the manifest and looks at what becomes of the database. Returns whether that was told.
fn lose(sound: &SimDisk, what: &str, change: impl Fn(&mut Vec<u8>)) -> bool {
    let expected = read(&builder(&sound.after_power_loss(|_| false)).open().unwrap()).unwrap();
    let damaged = || {
        let disk = sound.after_power_loss(|_| false);
        disk.damage(&PathBuf::from(MANIFEST), &change).unwrap();
        disk
    };
    let disk = damaged();
    let files = segments(&disk);
    let report = builder(&disk).verify().unwrap();
    let told = report.is_damaged();
    for damage in &report.damage {
        assert!(damage.path.starts_with("/db"), "{what}: {damage:?}");
    }
    match builder(&disk).open_read_only().and_then(|db| read(&db)) {
        Err(error) => is_told(&error, what),
        Ok(rows) => assert_eq!(rows, expected, "{what}: a reader answers short"),
    }
    let opened = builder(&disk).open().and_then(|db| read(&db));
    match &opened {
        Err(error) => {
            is_told(error, what);
            assert_eq!(segments(&disk), files, "{what}: segments went");
        }
        Ok(rows) => assert_eq!(rows, &expected, "{what}: a writer answers short"),
    }
    assert_eq!(opened.is_err(), told, "{what}: {report:?}");

    let disk = damaged();
    let plan = builder(&disk).plan_repair().unwrap();
    assert_eq!(plan.steps.is_empty(), !told, "{what}: {plan:?}");
    assert_eq!(builder(&disk).repair().unwrap(), plan, "{what}");
    if told {
        assert_eq!(builder(&disk).plan_repair().unwrap().steps, [], "{what}");
        let db = builder(&disk).open().unwrap();
        let rows = read(&db).unwrap();
        db.close().unwrap();
        assert_eq!(builder(&disk).verify().unwrap().damage, [], "{what}");
        assert!(segments(&disk).is_superset(&files), "{what}: {rows:?}");
    }
    told
}

#[test]
fn a_manifest_that_is_cut_short_is_damaged_wherever_it_is_cut() {
    let sound = fill();
    let ends = ends(&sound);
    assert!(ends.len() > 20, "{ends:?}");
    // Without its first edit there is nothing to go back to.
    for end in ends.into_iter().skip(1) {
        for at in [end - 20, end - 1, end, end + 1, end + 23] {
            let what = format!("cut at {at}");
            assert!(lose(&sound, &what, |b| b.truncate(at)), "{what}");
        }
    }
}

#[test]
fn edits_that_were_written_over_with_zeros_are_missed() {
    let sound = fill();
    let ends = ends(&sound);
    let mut told = Vec::new();
    for &end in &ends {
        told.push(lose(&sound, &format!("zeros from {end}"), |b| {
            b[end..].fill(0)
        }));
    }
    // Behind the last edit that made something there are only those that log and segments do without.
    let missed = told.iter().filter(|told| **told).count();
    assert!(missed > ends.len() / 2, "{told:?}");
    assert!(!told[ends.len() - 1]);
}

/// What was flushed since is in no log any more: only segments that the manifest does not name have it.
#[test]
fn where_an_older_manifest_is_put_back_its_unnamed_segments_are_kept() {
    let disk = SimDisk::new();
    let options = Options {
        log_file_bytes: 64 << 10,
        ..quiet()
    };
    let db = builder(&disk).options(options).create().unwrap();
    let table = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", table.future_bound(None)).unwrap();
    let series = table.series(&[("tag", "x")]).unwrap();
    let mut writer = db.writer();
    let mut older = Vec::new();
    for round in 0..20 {
        let times: Vec<i64> = (0..2_000).map(|t| round * 2_000 + t).collect();
        let values = times.iter().map(|t| t.wrapping_mul(*t)).collect();
        let batch = tidestone::Batch::of_series(&series, times).i64("v", values);
        writer.append_batch(batch).unwrap();
        writer.commit_and_wait().unwrap();
        db.flush().unwrap();
        if round == 3 {
            older = edits(&disk);
        }
    }
    drop((writer, series, table));
    db.close().unwrap();
    disk.damage(&PathBuf::from(MANIFEST), |bytes| {
        bytes[older.len()..].fill(0)
    })
    .unwrap();
    let files = segments(&disk);
    is_told(&builder(&disk).open().unwrap_err(), "opened");
    let plan = builder(&disk).repair().unwrap();
    let [Step::NewLog { unnamed, .. }] = &plan.steps[..] else {
        panic!("{plan:?}");
    };
    assert_eq!(unnamed.len(), 16, "{unnamed:?}");
    let db = builder(&disk).open().unwrap();
    assert_eq!(contents(&db.table("t").unwrap()).len(), 4 * 2_000);
    db.close().unwrap();
    assert_eq!(segments(&disk), files, "they are kept aside");
}

/// What a copy is that was begun before a merge and ended behind it: the manifest names the inputs, which are
/// gone, and nothing names the segment that has their rows.
#[test]
fn where_the_inputs_of_a_merge_are_named_and_gone_its_output_is_kept() {
    let disk = SimDisk::new();
    let db = builder(&disk).create().unwrap();
    let table = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", table.future_bound(None)).unwrap();
    let series = table.series(&[("tag", "x")]).unwrap();
    let mut writer = db.writer();
    for round in 0..2 {
        let times: Vec<i64> = (0..1_000).map(|t| 2 * t + round).collect();
        let batch = tidestone::Batch::of_series(&series, times.clone()).i64("v", times);
        writer.append_batch(batch).unwrap();
        writer.commit_and_wait().unwrap();
        db.flush().unwrap();
    }
    let older = edits(&disk);
    db.compact().unwrap();
    drop((writer, series, table));
    db.close().unwrap();
    disk.damage(&PathBuf::from(MANIFEST), |bytes| {
        bytes[older.len()..].fill(0)
    })
    .unwrap();
    let merged = segments(&disk);
    assert_eq!(merged.len(), 1);
    assert_eq!(
        builder(&disk).open().unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    let notes = builder(&disk).verify().unwrap().notes;
    let told =
        |note: &str| note.contains("kept while a segment is missing") && note.contains("lost/");
    assert!(
        notes.iter().any(|note| told(&format!("{note:?}"))),
        "{notes:?}"
    );

    let plan = builder(&disk).plan_repair().unwrap();
    let aside = plan.steps.iter().filter_map(|step| match step {
        Step::SetAside { unnamed } => Some(unnamed.len()),
        _ => None,
    });
    assert_eq!(aside.collect::<Vec<_>>(), [1], "{plan:?}");
    assert_eq!(segments(&disk), merged, "a plan changes nothing");
    assert_eq!(builder(&disk).repair().unwrap(), plan);
    let db = builder(&disk).open().unwrap();
    assert_eq!(contents(&db.table("t").unwrap()), []);
    db.close().unwrap();
    assert_eq!(segments(&disk), merged, "it is kept aside");
    assert!(!builder(&disk).verify().unwrap().is_damaged());
}
