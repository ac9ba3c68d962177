//! Repairs that a failing disk, a power loss or a kill interrupts at each of their calls: one that is run
//! again leaves what one that nothing interrupts leaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Dice, Row, contents, quiet};
use tidestone::io::{Disk, Fault, SimDisk, read_all};
use tidestone::maintenance::Step;
use tidestone::{
    Batch, Builder, FieldType, Lsn, ManualClock, Options, SeededRandom, SeriesId, Table,
    TableOptions, Tidestone, Value,
};

static SEED: AtomicU64 = AtomicU64::new(0);

fn builder(disk: &SimDisk) -> Builder {
    // Small commits fit one file.
    let log_file_bytes = 256 << 10;
    Tidestone::builder("/db")
        .options(Options {
            log_file_bytes,
            ..quiet()
        })
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(1_000_000_000_000)))
        // No name is given twice, whatever was done on another image of the disk.
        .random(Arc::new(SeededRandom::new(
            SEED.fetch_add(1, Ordering::Relaxed),
        )))
}

fn make_table(db: &Tidestone, name: &str) -> Table {
    let options = TableOptions::new()
        .field("v", FieldType::I64)
        .field("text", FieldType::String)
        .future_bound(None);
    db.create_table(name, options).unwrap()
}

/// Commits `count` rows one by one, each durable.
fn write(db: &Tidestone, table: &Table, host: &str, from: i64, count: i64) {
    let series = table.series(&[("host", host)]).unwrap();
    let mut writer = db.writer();
    for i in from..from + count {
        writer
            .append(&series, i, &[Value::I64(i), Value::String("text")])
            .unwrap();
        writer.commit_and_wait().unwrap();
    }
}

/// Commits rows of two row groups, with values that take more bytes than their index.
fn write_groups(db: &Tidestone, table: &Table, host: &str) {
    let series = table.series(&[("host", host)]).unwrap();
    let times: Vec<i64> = (0..70_000).collect();
    let spread = |i: &i64| i.wrapping_mul(0x1e37_79b9_7f4a_7c15);
    let values = times.iter().map(spread).collect();
    let batch = Batch::of_series(&series, times).i64("v", values);
    let mut writer = db.writer();
    writer.append_batch(batch).unwrap();
    writer.commit_and_wait().unwrap();
}

/// A database that was not closed.
struct Made {
    /// In the order they were made.
    segments: Vec<PathBuf>,
    /// Where the edits of the manifest start that made the table `new` and what followed.
    edits: usize,
    given: Given,
}

/// What was given away last, and must not be given again.
#[derive(Clone, Copy)]
struct Given {
    lsn: Lsn,
    series: SeriesId,
}

/// Makes a database with rows in segments, in the log, and of a table that late edits of the manifest made.
fn make(disk: &SimDisk, with_groups: bool) -> Made {
    let db = builder(disk).create().unwrap();
    let table = make_table(&db, "old");
    let mut segments = Vec::new();
    let mut flush = || {
        db.flush().unwrap();
        let mut found = files(disk, ".seg");
        found.retain(|path| !segments.contains(path));
        segments.append(&mut found);
    };
    match with_groups {
        true => write_groups(&db, &table, "a"),
        false => write(&db, &table, "a", 0, 5),
    }
    flush();
    write(&db, &table, "b", 0, 5);
    flush();
    let manifest = bytes(disk, &files(disk, ".manifest")[0]);
    let edits = manifest.iter().rposition(|b| *b != 0).unwrap() + 1;
    let table = make_table(&db, "new");
    write(&db, &table, "c", 0, 5);
    flush();
    write(&db, &table, "c", 5, 5);
    let table = db.table("old").unwrap();
    // Only the second segment has the definition of its series.
    write(&db, &table, "b", 5, 2);
    write(&db, &table, "d", 5, 5);
    assert_eq!(segments.len(), 3);
    let given = Given {
        lsn: db.durable_lsn(),
        series: table.series(&[("host", "d")]).unwrap().id(),
    };
    Made {
        segments,
        edits,
        given,
    }
}

fn files(disk: &SimDisk, ending: &str) -> Vec<PathBuf> {
    let mut paths = disk.paths();
    paths.retain(|p| p.to_string_lossy().ends_with(ending));
    paths
}

fn bytes(disk: &SimDisk, path: &Path) -> Vec<u8> {
    read_all(&*disk.open(path).unwrap()).unwrap()
}

fn identity(disk: &SimDisk) -> Option<Vec<u8>> {
    let file = disk.open(Path::new("/db/IDENTITY")).ok()?;
    Some(read_all(&*file).unwrap())
}

fn flip(disk: &SimDisk, path: &Path, at: impl FnOnce(&[u8]) -> usize) {
    let change = |bytes: &mut Vec<u8>| {
        let at = at(bytes);
        bytes[at] ^= 0x40;
    };
    disk.damage(path, change).unwrap();
}

/// Damages a group of the log that was not flushed, and that others follow.
fn damage_log(disk: &SimDisk) {
    let groups = |log: &PathBuf| -> Vec<usize> {
        let bytes = bytes(disk, log);
        let pages = (4096..bytes.len()).step_by(4096);
        pages.filter(|&at| bytes[at] != 0).collect()
    };
    let logs = files(disk, ".log").into_iter();
    let mut logs = logs.map(|log| (groups(&log), log));
    let (groups, log) = logs.rfind(|(groups, _)| groups.len() > 2).unwrap();
    flip(disk, &log, |_| groups[groups.len() - 3] + 100);
}

fn lose_log(disk: &SimDisk) {
    for log in files(disk, ".log") {
        disk.remove(&log).unwrap();
    }
    disk.sync_dir(Path::new("/db/wal")).unwrap();
}

fn damage_manifest(disk: &SimDisk, edits: usize) {
    let manifest = files(disk, ".manifest").remove(0);
    flip(disk, &manifest, |_| edits + 40);
}

/// What a repair leaves.
struct Left {
    rows: BTreeMap<String, Vec<Row>>,
    identity: Option<Vec<u8>>,
    /// The files in `lost/`, with their bytes.
    lost: BTreeMap<PathBuf, Vec<u8>>,
}

impl Left {
    /// What is left on a disk on which a repair was completed: nothing of it is damaged, and what is given
    /// away from there on was never given before.
    fn on(disk: &SimDisk, given: Given, what: &str) -> Self {
        let plan = builder(disk).plan_repair().unwrap();
        assert_eq!(plan.steps, [], "{what}");
        assert_eq!(builder(disk).verify().unwrap().damage, [], "{what}");
        let lost = disk.paths().into_iter();
        let lost = lost.filter(|path| path.starts_with("/db/lost"));
        let lost = lost.map(|path| (path.clone(), bytes(disk, &path)));
        let lost = lost.collect();
        let identity = identity(disk);
        let db = builder(disk).open();
        let db = db.unwrap_or_else(|e| panic!("{what}: {e}"));
        let tables = db.tables().into_iter();
        let rows = tables.map(|table| (table.name().to_owned(), contents(&table)));
        let rows = rows.collect();
        let table = db.table("old").unwrap();
        let series = table.series(&[("host", "e")]).unwrap().id();
        write(&db, &table, "e", 0, 1);
        assert!(series > given.series, "{what}: series {series}");
        assert!(db.durable_lsn() > given.lsn, "{what}: {}", db.durable_lsn());
        db.close().unwrap();
        Self {
            rows,
            identity,
            lost,
        }
    }

    /// Fails if what a repair that was interrupted left lacks something, or has other rows.
    fn check(&self, disk: &SimDisk, given: Given, what: &str) {
        let left = Self::on(disk, given, what);
        assert!(left.rows == self.rows, "{what}: other rows");
        assert!(left.identity == self.identity, "{what}: another IDENTITY");
        for (path, bytes) in &self.lost {
            let kept = left.lost.get(path);
            assert!(kept.is_some(), "{what}: {} is gone", path.display());
            assert!(kept == Some(bytes), "{what}: {} differs", path.display());
        }
    }
}

/// Interrupts a repair of the database at each of its calls, in all ways, and runs it again.
fn interrupt(damage: impl FnOnce(&SimDisk, &Made), steps: &[&str]) {
    let disk = SimDisk::new();
    let made = make(&disk, steps.contains(&"DropRows"));
    let given = made.given;
    let disk = disk.after_power_loss(|_| true);
    damage(&disk, &made);
    let damaged = || disk.after_power_loss(|_| true);
    let repair = |disk: &SimDisk, what: &str| {
        let done = builder(disk).repair();
        done.unwrap_or_else(|e| panic!("{what}: {e}"))
    };

    let whole = damaged();
    let plan = repair(&whole, "in one go");
    let done: Vec<String> = plan.steps.iter().map(kind).collect();
    assert_eq!(done, steps, "{plan:?}");
    let calls = whole.changes();
    let expected = Left::on(&whole, given, "in one go");
    let damaged_identity = identity(&disk);
    let mut dice = Dice(7);
    // Where each takes long, each call is interrupted in one way.
    let all_ways = !steps.contains(&"DropRows");
    for call in 0..calls {
        let once = damaged();
        once.inject(Fault::OnceAtCall(call));
        let failed = builder(&once).repair().is_err();
        let what = format!("call {call} of {calls} fails once ({failed})");
        repair(&once, &what);
        expected.check(&once, given, &what);

        let gone = damaged();
        gone.inject(Fault::FromCall(call));
        let _ = builder(&gone).repair();
        let ways = [
            ("killed", gone.after_kill()),
            ("nothing unsynced is kept", gone.after_power_loss(|_| false)),
            (
                "pages are kept",
                gone.after_power_loss(|_| dice.roll(2) == 0),
            ),
            (
                "some is kept",
                gone.after_torn_power_loss(|| dice.roll(2) == 0),
            ),
        ];
        for (way, (how, left)) in (0..).zip(ways) {
            if !all_ways && call % 4 != way {
                continue;
            }
            // The second one may be interrupted too.
            let second = dice.roll(2 * calls);
            let what = format!("call {call} of {calls}, {how}, then call {second}");
            let identity = identity(&left);
            assert!(
                identity == expected.identity || identity == damaged_identity,
                "{what}: IDENTITY is neither the damaged one nor the new one"
            );
            left.inject(Fault::FromCall(second));
            let _ = builder(&left).repair();
            let left = left.after_torn_power_loss(|| dice.roll(2) == 0);
            repair(&left, &what);
            expected.check(&left, given, &what);
        }
    }
}

fn kind(step: &Step) -> String {
    let text = format!("{step:?}");
    text.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_log_with_damaged_frames() {
    interrupt(|disk, _| damage_log(disk), &["DropFrames"]);
}

#[test]
fn a_log_file_that_is_short() {
    let cut = |disk: &SimDisk, _: &Made| {
        let log = &files(disk, ".log")[0];
        disk.damage(log, |bytes| bytes.truncate(bytes.len() - 4096))
            .unwrap();
    };
    interrupt(cut, &["RenewLog"]);
}

#[test]
fn a_log_that_is_gone() {
    interrupt(|disk, _| lose_log(disk), &["NewLog"]);
}

#[test]
fn a_manifest_that_is_cut() {
    interrupt(
        |disk, made| damage_manifest(disk, made.edits),
        &["CutManifest"],
    );
}

#[test]
fn a_manifest_that_is_damaged_where_it_holds_nothing() {
    let damage = |disk: &SimDisk, _: &Made| {
        let manifest = &files(disk, ".manifest")[0];
        disk.damage(manifest, |bytes| {
            bytes[45] ^= 1;
            bytes[200] ^= 1;
        })
        .unwrap();
    };
    interrupt(damage, &["MendManifest"]);
}

#[test]
fn a_manifest_whose_end_is_zeros() {
    let zeros = |disk: &SimDisk, made: &Made| {
        let manifest = &files(disk, ".manifest")[0];
        disk.damage(manifest, |bytes| bytes[made.edits..].fill(0))
            .unwrap();
    };
    interrupt(zeros, &["CutManifest"]);
}

#[test]
fn a_manifest_whose_end_is_gone() {
    let cut = |disk: &SimDisk, made: &Made| {
        let manifest = &files(disk, ".manifest")[0];
        disk.damage(manifest, |bytes| bytes.truncate(made.edits + 30))
            .unwrap();
    };
    interrupt(cut, &["CutManifest"]);
}

#[test]
fn a_log_that_is_gone_and_the_end_of_the_manifest_with_it() {
    let zeros = |disk: &SimDisk, made: &Made| {
        let manifest = &files(disk, ".manifest")[0];
        disk.damage(manifest, |bytes| bytes[made.edits..].fill(0))
            .unwrap();
        lose_log(disk);
    };
    interrupt(zeros, &["CutManifest", "NewLog"]);
}

#[test]
fn a_segment_that_is_dropped() {
    let damage = |disk: &SimDisk, made: &Made| {
        flip(disk, &made.segments[1], |bytes| bytes.len() - 20);
    };
    interrupt(damage, &["DropSegment", "DropNameless"]);
}

/// The keys of its series, of which the log has rows, are in what is going to be dropped and nowhere else.
#[test]
fn a_segment_that_is_dropped_and_tells_its_series() {
    let damage = |disk: &SimDisk, made: &Made| {
        let segment = &made.segments[1];
        let tells = |at: &usize| {
            let tried = disk.after_power_loss(|_| true);
            flip(&tried, segment, |_| *at);
            let plan = builder(&tried).plan_repair().unwrap();
            matches!(plan.steps[..], [Step::DropSegment { .. }])
        };
        let at = (0..bytes(disk, segment).len()).find(tells).unwrap();
        flip(disk, segment, |_| at);
    };
    interrupt(damage, &["DropSegment"]);
}

/// What no manifest names may have the rows of what is missing: after the repair the next open removes the one
/// and does not miss the other.
#[test]
fn a_segment_that_is_missing_beside_one_that_no_manifest_names() {
    let damage = |disk: &SimDisk, made: &Made| {
        let missing = &made.segments[0];
        let stray = missing.with_file_name(format!("{:032x}.seg", 1));
        let file = disk.create(&stray).unwrap();
        file.write_all_at(&bytes(disk, missing), 0).unwrap();
        file.sync().unwrap();
        disk.remove(missing).unwrap();
        disk.sync_dir(missing.parent().unwrap()).unwrap();
    };
    interrupt(damage, &["DropSegment", "SetAside"]);
}

#[test]
fn a_segment_that_is_written_anew() {
    let damage = |disk: &SimDisk, made: &Made| {
        let padding = |bytes: &[u8]| {
            let segment = tidestone_format::segment::Segment::open(bytes).unwrap();
            let mut at = None;
            segment.verify(|region, _| at = at.or(region.padding().last()));
            usize::try_from(at.unwrap()).unwrap()
        };
        flip(disk, &made.segments[1], padding);
    };
    interrupt(damage, &["RewriteSegment"]);
    let damage = |disk: &SimDisk, made: &Made| {
        disk.damage(&made.segments[1], |bytes| bytes.extend_from_slice(b"more"))
            .unwrap();
    };
    interrupt(damage, &["RewriteSegment"]);
}

#[test]
fn a_segment_that_loses_rows() {
    let damage = |disk: &SimDisk, made: &Made| {
        flip(disk, &made.segments[0], |bytes| bytes.len() / 3);
    };
    interrupt(damage, &["DropRows"]);
}

#[test]
fn an_identity_that_is_written_anew() {
    let zeros = |disk: &SimDisk, _: &Made| {
        let identity = Path::new("/db/IDENTITY");
        disk.damage(identity, |bytes| bytes.fill(0)).unwrap();
    };
    interrupt(zeros, &["WriteIdentity"]);
}

#[test]
fn an_identity_that_is_gone() {
    let gone = |disk: &SimDisk, _: &Made| {
        disk.remove(Path::new("/db/IDENTITY")).unwrap();
        disk.sync_dir(Path::new("/db")).unwrap();
    };
    interrupt(gone, &["WriteIdentity"]);
}

#[test]
fn everything_at_once() {
    let damage = |disk: &SimDisk, made: &Made| {
        flip(disk, Path::new("/db/IDENTITY"), |_| 30);
        damage_manifest(disk, made.edits);
        flip(disk, &made.segments[0], |bytes| bytes.len() / 3);
        flip(disk, &made.segments[1], |bytes| bytes.len() - 20);
        damage_log(disk);
    };
    let steps = [
        "WriteIdentity",
        "CutManifest",
        "DropRows",
        "DropSegment",
        "DropFrames",
        "DropNameless",
    ];
    interrupt(damage, &steps);
}
