//! What opening a database trusts: bytes that only the page cache has, a last edit that is damaged
//! and looks torn, files that contradict each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::quiet;
use tidestone::io::{Disk, Fault, SimDisk, read_all};
use tidestone::{
    Durability, ErrorKind, FieldType, Lsn, ManualClock, Result, SeededRandom, Table, TableOptions,
    Tidestone, Value,
};
use tidestone_format::header::FileHeader;
use tidestone_format::manifest::{EditCursor, LocatedEdit, ManifestIdentity};

/// Where a new database writes its log once it is open. Beside it the log's thread makes files as it
/// finds time.
const FIRST_LOG: &str = "/db/wal/00000000000000000002.log";

fn open(disk: &SimDisk) -> Result<Tidestone> {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(1_000_000_000_000)))
        .random(Arc::new(SeededRandom::new(disk.changes())))
        .open_or_create()
}

fn table(db: &Tidestone, name: &str) -> Table {
    let options = TableOptions::new().field("v", FieldType::I64);
    db.table_or_create(name, options).unwrap()
}

fn write(db: &Tidestone, time: i64) -> Result<()> {
    let series = db.table("t")?.series(&[("host", "a")])?;
    let mut writer = db.writer();
    writer.append(&series, time, &[Value::I64(time)])?;
    writer.commit()?.wait()
}

fn times(db: &Tidestone) -> Result<Vec<i64>> {
    let mut times = Vec::new();
    for batch in db.table("t")?.query().scan()? {
        times.extend_from_slice(batch?.times());
    }
    Ok(times)
}

fn bytes_of(disk: &SimDisk, path: &Path) -> Vec<u8> {
    read_all(&*disk.open(path).unwrap()).unwrap()
}

fn tree(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = disk.paths().into_iter();
    paths
        .map(|path| (path.clone(), bytes_of(disk, &path)))
        .filter(|(path, _)| !path.ends_with("LOCK"))
        .collect()
}

fn manifest(disk: &SimDisk) -> PathBuf {
    let mut paths = disk.paths();
    paths.retain(|p| p.extension().is_some_and(|e| e == "manifest"));
    paths.pop().unwrap()
}

fn edits(bytes: &[u8]) -> Vec<LocatedEdit> {
    let identity = ManifestIdentity::of(&FileHeader::decode(bytes).unwrap());
    EditCursor::new(bytes, identity).collect()
}

#[test]
fn a_tail_that_a_failed_sync_left_in_the_page_cache_is_written_again() {
    for older in 0..3 {
        let disk = SimDisk::new();
        let db = open(&disk).unwrap();
        table(&db, "t");
        (0..older).for_each(|time| write(&db, time).unwrap());
        disk.inject(Fault::OnceAtSyncIn(FIRST_LOG, 0));
        write(&db, 10).unwrap_err();
        // The process is started again: the page cache still has what no sync will write.
        let disk = disk.after_kill();
        drop(db);
        let db = open(&disk).unwrap();
        write(&db, 20).unwrap();
        let seen = times(&db).unwrap();
        assert_eq!(seen.last(), Some(&20));
        let left = disk.after_power_loss(|_| false);
        drop(db);
        let db = open(&left).unwrap_or_else(|e| panic!("{older} commits before: {e}"));
        assert_eq!(times(&db).unwrap(), seen, "{older} commits before");
    }
}

#[test]
fn a_log_file_that_a_failed_sync_left_in_the_page_cache_is_written_again() {
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    table(&db, "t");
    write(&db, 1).unwrap();
    // Enough for several files, none of it synced: their first pages are lost as well.
    let series = db.table("t").unwrap().series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    for time in 100..12_000 {
        writer.append(&series, time, &[Value::I64(time)]).unwrap();
        if time % 50 == 0 {
            drop(writer.commit_as(Durability::Os).unwrap());
        }
    }
    disk.inject(Fault::OnceAtSync(0));
    while disk.syncs() == 0 || db.sync().is_ok() {
        let _ = writer.commit_as(Durability::Os);
        disk.inject(Fault::OnceAtSync(0));
    }
    let disk = disk.after_kill();
    drop(writer);
    drop(db);
    let db = open(&disk).unwrap();
    write(&db, 20_000).unwrap();
    let seen = times(&db).unwrap();
    let left = disk.after_power_loss(|_| false);
    drop(db);
    assert_eq!(times(&open(&left).unwrap()).unwrap(), seen);
}

#[test]
fn an_edit_that_a_failed_sync_left_in_the_page_cache_is_written_again() {
    for older in 0..3 {
        let disk = SimDisk::new();
        let db = open(&disk).unwrap();
        for n in 0..older {
            table(&db, &format!("older{n}"));
        }
        disk.inject(Fault::OnceAtSyncIn("/db/manifest", 0));
        // Longer than a page: the next edit does not write all of its pages again.
        let options = TableOptions::new().field("v".repeat(9_000), FieldType::I64);
        db.create_table("t", options).unwrap_err();
        let disk = disk.after_kill();
        drop(db);
        let db = open(&disk).unwrap();
        let there = db.table("t").is_ok();
        table(&db, "next");
        let left = disk.after_power_loss(|_| false);
        drop(db);
        let db = open(&left).unwrap_or_else(|e| panic!("{older} edits before: {e}"));
        assert_eq!(db.table("t").is_ok(), there, "{older} edits before");
        db.table("next").unwrap();
    }
}

/// A database with rows merged, flushed and in the log.
fn busy() -> SimDisk {
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    table(&db, "t");
    for time in 0..4 {
        write(&db, time).unwrap();
        db.flush().unwrap();
    }
    write(&db, 10).unwrap();
    db.compact().unwrap();
    db.close().unwrap();
    drop(db);
    disk.after_kill()
}

#[test]
fn a_damaged_edit_is_refused_and_nothing_is_written_even_if_it_is_the_last() {
    let sound = busy();
    let path = manifest(&sound);
    let file = path.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = bytes_of(&sound, &path);
    let edits = edits(&whole);
    let last = edits.iter().rposition(|e| !e.edit.entries.is_empty());
    let last = last.unwrap();
    assert!(last + 2 == edits.len() && last > 8, "a seal is behind it");
    for located in &edits[..=last] {
        for at in [located.offset, located.offset + 5, located.end - 9] {
            let disk = sound.after_power_loss(|_| false);
            let at = usize::try_from(at).unwrap();
            disk.damage(&path, |b| b[at] ^= 0x10).unwrap();
            let before = tree(&disk);
            let Err(error) = open(&disk) else {
                panic!("byte {at}: it was opened");
            };
            let text = error.to_string();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {text}");
            assert!(text.contains(&file), "byte {at}: {text}");
            assert!(tree(&disk) == before, "byte {at}: something was written");
        }
    }
    // The seal tells nothing that is not known without it.
    let disk = sound.after_power_loss(|_| false);
    let at = usize::try_from(edits[last + 1].offset).unwrap();
    disk.damage(&path, |b| b[at + 9] ^= 0x10).unwrap();
    let db = open(&disk).unwrap();
    assert!(db.open_report().manifest_tail.is_some());
    assert_eq!(times(&db).unwrap(), [0, 1, 2, 3, 10]);
}

#[test]
fn an_edit_whose_seal_was_lost_gets_another() {
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    table(&db, "t");
    let left = disk.after_power_loss(|_| false);
    drop(db);
    let path = manifest(&left);
    let whole = edits(&bytes_of(&left, &path));
    let last = whole.last().unwrap();
    assert!(!last.edit.entries.is_empty(), "its seal was not synced");
    open(&left).unwrap().close().unwrap();
    let left = left.after_power_loss(|_| false);
    let at = usize::try_from(last.offset + 40).unwrap();
    left.damage(&path, |b| b[at] ^= 1).unwrap();
    let error = open(&left).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

/// The place of the last edit's end in the manifest.
fn manifest_end(disk: &SimDisk) -> usize {
    let whole = bytes_of(disk, &manifest(disk));
    usize::try_from(edits(&whole).last().unwrap().end).unwrap()
}

#[test]
fn a_seal_lost_in_the_page_before_an_edit_costs_nothing() {
    const PAGE: usize = 4096;
    const SEAL: usize = 24;
    // How far behind the end of the page the seal ends: it lies in one page, or in two.
    for over in [0, 8, 16] {
        let disk = SimDisk::new();
        let db = open(&disk).unwrap();
        table(&db, "t");
        db.set_log_cursor("first", Lsn(u64::MAX)).unwrap();
        let end = manifest_end(&disk);
        let target = (end + 200).next_multiple_of(PAGE) + over;
        // Of an edit the header, and of its entry tag, length, length of the name and LSN.
        let name = "n".repeat(target - end - 2 * SEAL - 1 - 4 - 2 - 8);
        db.set_log_cursor(&name, Lsn(u64::MAX)).unwrap();
        assert_eq!(manifest_end(&disk), target);
        disk.inject(Fault::OnceAtSyncIn("/db/manifest", 0));
        db.set_log_cursor("unsynced", Lsn(u64::MAX)).unwrap_err();
        let mut pages = 0;
        drop(disk.after_power_loss(|page| {
            pages = page;
            false
        }));
        assert_eq!(pages, 2, "that of the seal, and that of the edit");
        for keep in [|page| page == 2, |page| page == 1] {
            let left = disk.after_power_loss(keep);
            for _ in 0..2 {
                let db = open(&left).unwrap();
                db.set_log_cursor("another", Lsn(u64::MAX)).unwrap();
                db.close().unwrap();
            }
        }
        drop(db);
    }
}

#[test]
fn a_torn_edit_is_not_dropped_before_the_log_has_been_read() {
    let sound = busy();
    let disk = sound.after_power_loss(|_| false);
    let path = manifest(&disk);
    let end = edits(&bytes_of(&disk, &path)).last().unwrap().end;
    let end = usize::try_from(end).unwrap();
    disk.damage(&path, |b| b[end..end + 4].copy_from_slice(b"TSed"))
        .unwrap();
    let torn = disk.after_power_loss(|_| false);
    let db = open(&torn).unwrap();
    assert!(db.open_report().manifest_tail.is_some());
    assert_eq!(times(&db).unwrap(), [0, 1, 2, 3, 10]);
    drop(db);

    for log in disk.paths() {
        if log.extension().is_some_and(|e| e == "log") {
            disk.damage(&log, |b| b.fill(0)).unwrap();
        }
    }
    let before = tree(&disk);
    assert_eq!(
        open(&disk).map(drop).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert!(tree(&disk) == before, "something was written");
}

#[test]
fn what_an_edit_that_vanished_had_made_is_not_removed() {
    // A disk that loses a whole page loses an edit and its seal: the manifest still names what was
    // merged, and not what it was merged to.
    let disk = busy();
    let path = manifest(&disk);
    let mut merged = disk.paths();
    merged.retain(|p| p.extension().is_some_and(|e| e == "seg"));
    assert!(!merged.is_empty());
    let all = edits(&bytes_of(&disk, &path));
    let is_merge = |e: &&LocatedEdit| {
        let dropped = tidestone_format::manifest::EntryTag::SegmentDropped;
        e.edit.entries.iter().any(|entry| entry.tag() == dropped)
    };
    let merge = all.iter().rfind(is_merge).unwrap();
    let from = usize::try_from(merge.offset).unwrap();
    disk.damage(&path, |b| b[from..].fill(0)).unwrap();
    match open(&disk) {
        Ok(db) => {
            assert!(!db.open_report().segments_missing.is_empty());
            assert_eq!(db.open_report().strays_removed, 0);
            assert_eq!(times(&db).unwrap_err().kind(), ErrorKind::Corrupt);
            db.close().unwrap();
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
    }
    let paths = disk.paths();
    assert!(merged.iter().all(|p| paths.contains(p)));
}

#[test]
fn damage_in_flushed_frames_of_a_log_file_that_is_needed_costs_nothing_and_is_told() {
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    table(&db, "t");
    (0..10).for_each(|time| write(&db, time).unwrap());
    db.flush().unwrap();
    let flushed = db.durable_lsn();
    (10..13).for_each(|time| write(&db, time).unwrap());
    db.set_log_cursor("behind", Lsn(flushed.0 - 3)).unwrap();
    db.set_log_cursor("ahead", flushed).unwrap();
    let sound = disk.after_power_loss(|_| true);
    drop(db);
    let mut logs = sound.paths();
    logs.retain(|p| p.extension().is_some_and(|e| e == "log"));
    let log = logs.into_iter().find(|p| bytes_of(&sound, p)[4096] != 0);
    let log = log.unwrap();
    // Each commit is a group of its own, at the start of a page; the series is defined in the first.
    for page in 1..=13 {
        for at in [0, 8, 40, 90] {
            let disk = sound.after_power_loss(|_| false);
            disk.damage(&log, |b| b[page * 4096 + at] ^= 0x20).unwrap();
            let what = format!("page {page}, byte {at}");
            match (open(&disk), page <= 10) {
                (Ok(db), true) => {
                    let report = db.open_report();
                    assert_eq!(report.log_damage.len(), 1, "{what}");
                    let told = report.cursors_dropped.concat();
                    assert_eq!(told.contains("behind"), page > 7, "{what}: {told}");
                    assert!(!told.contains("ahead"), "{what}: {told}");
                    assert_eq!(times(&db).unwrap(), (0..13).collect::<Vec<_>>(), "{what}");
                    write(&db, 20).unwrap();
                    db.flush().unwrap();
                    db.close().unwrap();
                    drop(db);
                    let db = open(&disk).unwrap();
                    assert_eq!(db.open_report().cursors_dropped.len(), 0, "{what}");
                    assert_eq!(times(&db).unwrap().len(), 14, "{what}");
                }
                (Ok(db), false) => {
                    // The last commit cannot be told from one that was not synced.
                    assert_eq!(page, 13, "{what}");
                    assert_eq!(times(&db).unwrap(), (0..12).collect::<Vec<_>>(), "{what}");
                }
                (Err(error), flushed) => {
                    assert!(!flushed, "{what}: {error}");
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_log_reader_is_not_promised_what_was_recycled() {
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    table(&db, "t");
    let files = |db: &Tidestone| db.status().unwrap().log.files;
    for time in 0..200 {
        write(&db, time).unwrap();
        if time % 10 == 0 {
            db.flush().unwrap();
        }
    }
    // Enough to fill more log files than are kept, once the log's thread has come round to them.
    common::until("fewer log files", || files(&db) < 6);
    let error = db.set_log_cursor("mirror", Lsn(0)).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
    assert!(
        text.contains("mirror") && text.contains("starts behind LSN"),
        "{text}"
    );
    let oldest = text.split("starts behind LSN ").nth(1).unwrap();
    let oldest: u64 = oldest.split('.').next().unwrap().parse().unwrap();
    assert!(oldest > 0);
    db.set_log_cursor("mirror", Lsn(oldest)).unwrap();
    db.set_log_cursor("mirror", Lsn(oldest - 1)).unwrap_err();
    db.remove_log_cursor("mirror").unwrap();
}

/// Changes every byte of the index's data files but for their ends, which are read when they are opened.
fn damage_index(path: &Path) -> usize {
    let mut damaged = 0;
    for entry in std::fs::read_dir(path.join("index")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "sst") {
            let mut bytes = std::fs::read(&path).unwrap();
            let end = bytes.len() * 4 / 5;
            bytes[..end].iter_mut().for_each(|b| *b ^= 0x55);
            // In place: the engine has the file open.
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
            damaged += 1;
        }
    }
    damaged
}

#[test]
fn an_index_that_is_damaged_while_it_is_open_is_made_anew_and_the_question_answered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let open = || Tidestone::builder(&path).options(quiet()).open_or_create();
    let db = open().unwrap();
    let all = table(&db, "t");
    let mut writer = db.writer();
    for host in 0..3_000 {
        let series = all.series(&[("host", format!("host {host}"))]).unwrap();
        writer.append(&series, 1, &[Value::I64(host)]).unwrap();
    }
    writer.commit_and_wait().unwrap();
    let known = all.series_keys(&[]).unwrap();
    db.close().unwrap();
    drop((db, writer, all));

    type Ask = fn(&Table);
    let questions: [Ask; 4] = [
        |t| assert_eq!(t.series_count().unwrap(), 3_000),
        |t| assert_eq!(t.tag_values("host").unwrap().len(), 3_000),
        |t| drop(t.series(&[("host", "host 77")]).unwrap()),
        |t| assert_eq!(common::contents(t).len(), 3_000),
    ];
    for ask in questions {
        let db = open().unwrap();
        assert_eq!(db.open_report().index_rebuilt, None);
        let all = db.table("t").unwrap();
        assert!(damage_index(&path) > 0);
        ask(&all);
        assert_eq!(db.status().unwrap().index_rebuilds, 1, "it is said");
        assert_eq!(all.series_keys(&[]).unwrap(), known);
        db.close().unwrap();
    }
    let db = open().unwrap();
    assert_eq!(db.open_report().index_rebuilt, None);
    assert_eq!(db.table("t").unwrap().series_keys(&[]).unwrap(), known);
}

/// Rows that a process committed before it was killed were gone without a word.
#[test]
fn frames_behind_a_damaged_header_are_told_where_nothing_says_that_they_were_synced() {
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    table(&db, "t");
    write(&db, 1).unwrap();
    db.close().unwrap();
    let disk = disk.after_kill();
    let db = open(&disk).unwrap();
    write(&db, 2).unwrap();
    let killed = disk.after_kill();
    drop(db);
    let newest = |disk: &SimDisk| {
        let mut logs = disk.paths();
        // A file that was made ahead has a header, if any, of another number.
        logs.retain(|p| {
            let name = p.file_name().unwrap().to_string_lossy();
            let header = name
                .ends_with(".log")
                .then(|| FileHeader::decode(&bytes_of(disk, p)));
            header.is_some_and(|h| h.is_ok_and(|h| name == format!("{:020}.log", h.number)))
        });
        logs.pop().unwrap()
    };
    let log = newest(&killed);
    let sound = open(&killed.after_kill()).unwrap();
    assert_eq!(sound.open_report().log_tail, None);
    assert_eq!(times(&sound).unwrap(), [1, 2]);
    killed.damage(&log, |bytes| bytes[20] ^= 1).unwrap();
    let db = open(&killed.after_kill()).unwrap();
    let told = db.open_report().log_tail.clone().unwrap();
    assert!(
        told.contains("nothing says that the frames of the file, from LSN"),
        "{told}"
    );
    assert!(told.contains("file header"), "{told}");
    assert_eq!(times(&db).unwrap(), [1]);
}
