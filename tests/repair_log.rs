//! Repairing a log one of whose files is not as it was made: what can be read of it is kept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and changes the machine's own files"
)]

mod common;

use std::path::{Path, PathBuf};

use common::copy_tree;
use common::damaged::{files, flip, make, options, times, write};
use tidestone::maintenance::{LostFrames, Step, plan_repair, repair, verify};
use tidestone::{ErrorKind, Options, ReadMode, Tidestone, TimeRange, Value};

/// Checks what a repair of a damaged log says, that it keeps `rows`, and that nothing is damaged then.
#[track_caller]
fn check_log(path: &Path, damaged: &Path, rows: i64, expected: impl FnOnce(&[Step]) -> bool) {
    check_rows(path, damaged, 0..rows, expected);
}

/// As [`check_log`], of rows that need not be the first ones.
#[track_caller]
fn check_rows(
    path: &Path,
    damaged: &Path,
    rows: impl Iterator<Item = i64>,
    expected: impl FnOnce(&[Step]) -> bool,
) {
    let error = Tidestone::open(path, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("`tidestone repair`"), "{error}");
    let damage = verify(path).unwrap().damage;
    assert!(damage.iter().any(|d| d.path == damaged), "{damage:?}");
    let plan = plan_repair(path).unwrap();
    assert!(expected(&plan.steps), "{plan:?}");
    assert_eq!(
        verify(path).unwrap().damage,
        damage,
        "a plan changes nothing"
    );
    assert_eq!(repair(path).unwrap(), plan);
    assert_eq!(verify(path).unwrap().damage, []);
    assert_eq!(plan_repair(path).unwrap().steps, []);
    let db = Tidestone::open(path, options()).unwrap();
    assert_eq!(times(&db), rows.collect::<Vec<_>>());
    db.close().unwrap();
    assert!(!files(&path.join("lost"), ".log").is_empty());
}

/// Nothing of the log is dropped, and this log file is why it is begun anew.
fn is_renewed(steps: &[Step], damaged: &Path) -> bool {
    matches!(steps, [Step::RenewLog { what }] if what.contains(&*damaged.to_string_lossy()))
}

/// The log may have had more behind this offset of a file, and nothing tells.
fn is_cut(steps: &[Step], file: &Path, pages: std::ops::RangeInclusive<u64>) -> bool {
    let [Step::CutLog { path, offset, .. }] = steps else {
        return false;
    };
    path == file && (pages.start() * 4096..=pages.end() * 4096).contains(offset)
}

/// Frames at this offset of a file are dropped: how many, and what they were.
fn dropped(
    steps: &[Step],
    file: &Path,
    pages: std::ops::RangeInclusive<u64>,
) -> Option<(u64, LostFrames)> {
    let [
        Step::DropFrames {
            path,
            offset,
            first_lost,
            last_lost,
            frames,
            ..
        },
    ] = steps
    else {
        return None;
    };
    let in_pages = (pages.start() * 4096..=pages.end() * 4096).contains(offset);
    (path == file && in_pages).then_some((last_lost + 1 - first_lost, *frames))
}

/// The log files that hold frames.
fn used_logs(path: &Path) -> Vec<PathBuf> {
    let mut logs = files(&path.join("wal"), ".log");
    // The log's thread may give one that it made ahead another number meanwhile.
    logs.retain(|log| std::fs::read(log).is_ok_and(|bytes| bytes[4096] != 0));
    logs
}

fn set_len(path: &Path, change: impl FnOnce(u64) -> u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(change(len)).unwrap();
}

#[test]
fn a_log_file_of_another_length_costs_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    let (db, table) = make(&sound);
    write(&db, &table, 0, 20);
    drop((db, table));
    // Each commit was a group of its own: one page. The first holds the series too.
    let with_len = |name: &str, change: fn(u64) -> u64| {
        let path = dir.path().join(name);
        copy_tree(&sound, &path);
        let log = used_logs(&path).remove(0);
        set_len(&log, change);
        (path, log)
    };
    let (path, log) = with_len("without zeros", |len| len - 4096);
    check_log(&path, &log, 20, |steps| is_renewed(steps, &log));
    let (path, log) = with_len("with more", |len| len + 4096);
    check_log(&path, &log, 20, |steps| is_renewed(steps, &log));
    // Nothing behind tells that there was more, and there was.
    let (path, log) = with_len("between frames", |_| 4096 * 11);
    check_log(&path, &log, 10, |steps| is_cut(steps, &log, 10..=11));
    let (path, log) = with_len("within a frame", |_| 4096 * 11 + 70);
    check_log(&path, &log, 10, |steps| is_cut(steps, &log, 11..=11));
    let (path, log) = with_len("within a page of zeros", |_| 4096 * 22 + 64);
    check_log(&path, &log, 20, |steps| is_renewed(steps, &log));
}

/// The whole file was to be read into memory, were it a terabyte, before anything was said of it.
#[test]
fn a_log_file_longer_than_any_is_refused_before_it_is_read() {
    const LONG: u64 = 1 << 40;
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    let (db, table) = make(&sound);
    write(&db, &table, 0, 20);
    // The log's thread makes a file ahead.
    let is_made = || files(&sound.join("wal"), ".log") != used_logs(&sound);
    common::until("the next log file", is_made);
    drop((db, table));
    type Damage = fn(&Path);
    let damage: [(&str, bool, Damage); 3] = [
        ("with rows", true, |_| {}),
        ("with rows and no header", true, |log| flip(log, 20)),
        ("made ahead", false, |_| {}),
    ];
    for (what, is_used, damage) in damage {
        let path = dir.path().join(what);
        copy_tree(&sound, &path);
        let used = used_logs(&path);
        let mut logs = files(&path.join("wal"), ".log").into_iter();
        let log = logs.find(|log| used.contains(log) == is_used).unwrap();
        damage(&log);
        set_len(&log, |_| LONG);
        for read_mode in [ReadMode::Mmap, ReadMode::Pread] {
            let options = Options {
                read_mode,
                ..options()
            };
            let error = Tidestone::open(&path, options).unwrap_err();
            assert_eq!(error.path(), Some(&*log), "{what}: {error}");
            let text = error.to_string();
            assert!(text.contains(&LONG.to_string()), "{what}: {text}");
            assert!(text.contains("none has more than 10"), "{what}: {text}");
        }
        check_log(&path, &log, 20, |steps| is_renewed(steps, &log));
    }
    // Who reads beside the writer reads no further than there are frames.
    let path = dir.path().join("beside a writer");
    let (db, table) = make(&path);
    write(&db, &table, 0, 20);
    set_len(&used_logs(&path)[0], |_| LONG);
    let reader = Tidestone::open_read_only(&path, options()).unwrap();
    assert_eq!(times(&reader), (0..20).collect::<Vec<_>>());
}

/// `verify` called it damage and advised a repair, which found nothing to repair.
#[test]
fn a_damaged_header_of_a_log_file_that_nothing_is_used_of_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 20);
    // The log's thread makes a file ahead.
    let is_made = || files(&path.join("wal"), ".log") != used_logs(&path);
    common::until("the next log file", is_made);
    drop((db, table));
    let used = used_logs(&path);
    let mut logs = files(&path.join("wal"), ".log").into_iter();
    let spare = logs.find(|log| !used.contains(log)).unwrap();
    flip(&spare, 20);
    let found = verify(&path).unwrap();
    assert_eq!(found.damage, []);
    let name = spare.to_string_lossy();
    let is_noted = |note: &String| note.contains(&*name) && note.contains("nothing of it is used");
    assert!(found.notes.iter().any(is_noted), "{found:?}");
    assert_eq!(plan_repair(&path).unwrap().steps, []);
    let db = Tidestone::open(&path, options()).unwrap();
    assert_eq!(times(&db), (0..20).collect::<Vec<_>>());
    db.close().unwrap();
    assert_eq!(verify(&path).unwrap().notes, Vec::<String>::new());
}

/// A database with ten rows in each of three log files, between whose numbers others are free.
fn in_three_files(path: &Path) -> Vec<PathBuf> {
    for part in 0..3 {
        let (db, table) = match part {
            0 => make(path),
            _ => {
                let db = Tidestone::open(path, options()).unwrap();
                let table = db.table("t").unwrap();
                (db, table)
            }
        };
        write(&db, &table, part * 10, 10);
        // The log's thread makes a file ahead, whose number is given up where it was not used.
        let is_made = || files(&path.join("wal"), ".log") != used_logs(path);
        common::until("the next log file", is_made);
    }
    let logs = used_logs(path);
    assert_eq!(logs.len(), 3);
    logs
}

#[test]
fn a_damaged_log_file_costs_no_row_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    let names = in_three_files(&sound);
    let damage = |name: String, at: usize, change: &dyn Fn(&Path)| {
        let path = dir.path().join(name);
        copy_tree(&sound, &path);
        let log = path.join(names[at].strip_prefix(&sound).unwrap());
        change(&log);
        (path, log)
    };
    for at in 0..3 {
        // The first page holds the header, which the frames behind it can do without.
        let (path, log) = damage(format!("header {at}"), at, &|log| flip(log, 20));
        check_log(&path, &log, 30, |steps| is_renewed(steps, &log));
        let (path, log) = damage(format!("zeros {at}"), at, &|log| {
            set_len(log, |len| len - 4096)
        });
        check_log(&path, &log, 30, |steps| is_renewed(steps, &log));
    }
    for at in 1..3 {
        let both = |log: &Path| {
            flip(log, 20);
            flip(log, 4096 + 100);
        };
        let (path, log) = damage(format!("first frame too {at}"), at, &both);
        let before = path.join(names[at - 1].strip_prefix(&sound).unwrap());
        // The first frame that can be read says where the file begins: what lacks is the one before it.
        let lost = i64::try_from(at * 10).unwrap();
        let rows = (0..30).filter(|row| *row != lost);
        check_rows(&path, &log, rows, |steps| {
            dropped(steps, &before, 10..=12).is_some_and(|(lsns, _)| lsns <= 2)
        });
    }
}

/// Changes the header of a log file, and its checksum with it.
fn change_header(log: &Path, at: usize) {
    let mut bytes = std::fs::read(log).unwrap();
    bytes[at] ^= 1;
    let crc = tidestone_format::checksum::crc32(&bytes[..188]);
    bytes[188..192].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(log, bytes).unwrap();
}

#[test]
fn a_log_file_that_is_another_costs_no_row_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    let names = in_three_files(&sound);
    // Of another database, of another incarnation. Nothing of such a file is used; behind the last one nothing
    // tells what is missing.
    for (offset, at) in [(24, 1), (24, 2), (40, 1), (40, 2)] {
        let path = dir.path().join(format!("{offset} {at}"));
        copy_tree(&sound, &path);
        let log = |at: usize| path.join(names[at].strip_prefix(&sound).unwrap());
        change_header(&log(at), offset);
        let lost = i64::try_from(at * 10).unwrap()..i64::try_from(at * 10 + 10).unwrap();
        let rows = (0..30).filter(|row| !lost.contains(row));
        check_rows(&path, &log(at), rows, |steps| match at {
            1 => dropped(steps, &log(0), 10..=12)
                .is_some_and(|(lsns, frames)| (10..=13).contains(&lsns) && frames.unknown == lsns),
            _ => is_cut(steps, &log(1), 10..=12),
        });
    }
    // Of another number: its frames tell which one it is.
    for (at, name) in names.iter().enumerate() {
        let path = dir.path().join(format!("number {at}"));
        copy_tree(&sound, &path);
        let log = path.join(name.strip_prefix(&sound).unwrap());
        change_header(&log, 58);
        check_log(&path, &log, 30, |steps| is_renewed(steps, &log));
    }
}

#[test]
fn a_damaged_log_file_that_is_flushed_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let logs = in_three_files(&path);
    let db = Tidestone::open(&path, options()).unwrap();
    // They are kept for who reads the log.
    drop(db);
    for log in &logs {
        assert!(log.exists());
    }
    flip(&logs[0], 20);
    set_len(&logs[1], |len| len - 4096);
    check_log(&path, &logs[0], 30, |steps| {
        is_renewed(steps, &logs[0]) && is_renewed(steps, &logs[1])
    });
}

#[test]
fn a_log_file_that_is_gone_from_the_midst_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    let names = in_three_files(&sound);
    for is_there in [false, true] {
        let path = dir.path().join(format!("is there {is_there}"));
        copy_tree(&sound, &path);
        let name = |at: usize| path.join(names[at].strip_prefix(&sound).unwrap());
        let [first, gone, next] = [0, 1, 2].map(name);
        match is_there {
            true => std::fs::write(&gone, []).unwrap(),
            false => std::fs::remove_file(&gone).unwrap(),
        }
        let error = Tidestone::open(&path, options()).unwrap_err();
        let says = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{says}");
        assert_eq!(error.path(), Some(&*first), "{says}");
        assert!(error.offset().is_some_and(|at| at > 4_096), "{error:?}");
        let next = next.to_string_lossy();
        for part in [
            "was acknowledged and is not readable here (nothing but zeros; ",
            &format!("; the next log file with a valid header is {next}"),
            "was durable",
            "`tidestone repair`",
        ] {
            assert!(says.contains(part), "{part}: {says}");
        }
        let names_it = says.contains(&format!("; {} has no valid header", gone.display()));
        assert_eq!(names_it, is_there, "{says}");
        // What stands before the hole is kept, and what stands behind it.
        let rows = (0..10).chain(20..30);
        check_rows(&path, &first, rows, |steps| {
            dropped(steps, &first, 10..=12)
                .is_some_and(|(lsns, frames)| (10..=13).contains(&lsns) && frames.unknown == lsns)
        });
    }
}

/// The log was cut where it was damaged, so that one bit cost all that had been written since.
#[test]
fn damaged_frames_cost_no_row_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let logs = in_three_files(&path);
    // The header of one, so that nothing tells what it was; the payload of another; two behind each other.
    flip(&logs[0], 4096 * 4 + 20);
    flip(&logs[1], 4096 * 6 + 100);
    flip(&logs[1], 4096 * 8 + 100);
    flip(&logs[1], 4096 * 9 + 100);
    let lost: Vec<i64> = plan_repair(&path)
        .unwrap()
        .steps
        .iter()
        .map(|step| match step {
            Step::DropFrames { frames, .. } => {
                assert_eq!(frames.definitions + frames.deletes, 0, "{step:?}");
                i64::try_from(frames.batches + frames.unknown).unwrap()
            }
            _ => panic!("{step:?}"),
        })
        .collect();
    assert_eq!(lost, [1, 1, 2]);
    let rows = (0..30).filter(|row| ![3, 15, 17, 18].contains(row));
    check_rows(&path, &logs[0], rows, |steps| steps.len() == 3);
}

/// What a log was cut behind when it was opened last is known to have been there.
#[test]
fn frames_that_the_log_was_cut_behind_cost_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let logs = in_three_files(&path);
    // The last pages of the first file, behind which nothing of it can be read.
    for page in 9..=12 {
        let mut bytes = std::fs::read(&logs[0]).unwrap();
        if bytes[4096 * page] != 0 {
            bytes[4096 * page] ^= 0x40;
            std::fs::write(&logs[0], bytes).unwrap();
        }
    }
    let rows = (0..30).filter(|row| !(8..10).contains(row));
    check_rows(&path, &logs[0], rows, |steps| {
        dropped(steps, &logs[0], 9..=9).is_some_and(|(_, frames)| frames.unknown >= 2)
    });
}

/// With the frame that defines a series nothing tells whose its rows are.
#[test]
fn a_damaged_definition_costs_the_rows_of_its_series_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    let mut writer = db.writer();
    for (host, time) in [("a", 0), ("b", 1), ("a", 2), ("b", 3), ("c", 4)] {
        let series = table.series(&[("host", host)]).unwrap();
        writer.append(&series, time, &[Value::I64(time)]).unwrap();
        writer.commit_and_wait().unwrap();
    }
    drop((writer, table, db));
    let log = used_logs(&path).remove(0);
    let kind = |bytes: &[u8], at: usize| bytes[at + 20];
    let bytes = std::fs::read(&log).unwrap();
    let definitions: Vec<usize> = (4096..bytes.len())
        .step_by(8)
        .filter(|at| bytes[*at..].starts_with(b"TSfr") && kind(&bytes, *at) == 2)
        .collect();
    assert_eq!(definitions.len(), 3, "one of each series");
    flip(&log, definitions[1] + 64 + 8);
    // The index may have its key: it is as good as gone.
    std::fs::remove_dir_all(path.join("index")).unwrap();
    check_rows(&path, &log, [0, 2, 4].into_iter(), |steps| {
        let [
            Step::DropFrames { frames, .. },
            Step::DropNameless { series, rows, .. },
        ] = steps
        else {
            return false;
        };
        (frames.definitions, frames.batches, *series, *rows) == (1, 0, 1, 2)
    });
}

/// A delete that cannot be read leaves what it deleted; the plan says so.
#[test]
fn a_damaged_delete_is_told_from_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (db, table) = make(&path);
    write(&db, &table, 0, 5);
    let some = TimeRange { start: 1, end: 3 };
    table.delete(&[], some).unwrap().wait().unwrap();
    write(&db, &table, 10, 2);
    drop((table, db));
    let log = used_logs(&path).remove(0);
    let bytes = std::fs::read(&log).unwrap();
    let deletes = (4096..bytes.len()).step_by(8);
    let mut deletes = deletes.filter(|at| bytes[*at..].starts_with(b"TSfr") && bytes[at + 20] == 3);
    let delete = deletes.next().unwrap();
    flip(&log, delete + 64 + 4);
    let rows = (0..5).chain(10..12);
    check_rows(&path, &log, rows, |steps| {
        let page = delete as u64 / 4096;
        dropped(steps, &log, page..=page + 1)
            .is_some_and(|(lsns, frames)| (lsns, frames.deletes, frames.unknown) == (1, 1, 0))
    });
}
