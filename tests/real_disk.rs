//! What the machine's own disk refuses, RocksDB's files with it: permission, and space.
//!
//! The simulated disk has no RocksDB. So these tests start themselves anew: as a user who is not
//! root, for whom alone permissions count, and in a namespace of its own with a small file system
//! in memory, which needs no root either.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::wrong::{check, fill};
use common::{Dice, contents, quiet};
use tidestone::{ErrorKind, FieldType, Result, Table, TableOptions, Tidestone, Value};

/// Where a part that runs in a process of its own works.
const PLACE: &str = "TIDESTONE_TEST_PLACE";

fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

/// The arguments that run one test alone, in a process that has a place: it does its part there.
fn only(test: &str) -> [&str; 3] {
    [test, "--exact", "--nocapture"]
}

#[track_caller]
fn run(mut command: Command) {
    let output = command.output().unwrap();
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{error}");
    assert!(out.contains("1 passed"), "it did not run: {out}\n{error}");
}

#[test]
fn a_part_of_the_database_without_permission_is_named() {
    if let Some(place) = place() {
        return without_permission(&place);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    // The program itself may lie where another user cannot read.
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(&program);
    command
        .args(only("a_part_of_the_database_without_permission_is_named"))
        .current_dir(folder.path())
        .env(PLACE, folder.path());
    if rustix::process::geteuid().is_root() {
        const NOBODY: u32 = 65_534;
        command.uid(NOBODY).gid(NOBODY);
    }
    run(command);
}

/// As a user for whom permissions count.
fn without_permission(place: &Path) {
    let root = place.join("db");
    fill(&Tidestone::create(&root, quiet()).unwrap());
    let rows = |opened: Result<Tidestone>| -> Result<usize> {
        let db = opened?;
        db.table("t")?
            .query()
            .scan()?
            .try_fold(0, |all, batch| Ok(all + batch?.len()))
    };
    let write = || rows(Tidestone::open(&root, quiet()));
    let read = || rows(Tidestone::open_read_only(&root, quiet()));
    let all = write().unwrap();
    assert_eq!(all, 8_400);
    // A part, what is left of its permissions, and whether reading needs what is taken.
    let parts = [
        ("", 0o000, true),
        ("IDENTITY", 0o000, true),
        ("LOCK", 0o000, false),
        ("manifest", 0o000, true),
        ("wal", 0o000, true),
        ("wal", 0o555, false),
        ("segments", 0o000, true),
        ("index", 0o000, false),
        ("index", 0o555, false),
        ("tmp", 0o000, false),
        ("readers", 0o000, false),
    ];
    for (part, mode, reading) in parts {
        let path = root.join(part);
        let before = fs::metadata(&path).unwrap().permissions();
        let (files, bytes) = size(&root);
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let (written, seen) = (write(), read());
        fs::set_permissions(&path, before).unwrap();
        let what = format!("{} with {mode:o}", path.display());
        let says = [
            "needs permission",
            "ermission denied",
            "the user this process",
        ];
        let check_path = |error: &tidestone::Error| {
            let named = error.path().is_some_and(|p| p.starts_with(&path));
            assert!(named, "{what}: {error}");
        };
        check_path(written.as_ref().expect_err(&what));
        check(&what, written, ErrorKind::Io, says);
        if reading {
            check_path(seen.as_ref().expect_err(&what));
            check(&what, seen, ErrorKind::Io, says);
        } else {
            assert_eq!(
                seen.unwrap_or_else(|e| panic!("{what}: {e}")),
                all,
                "{what}"
            );
        }
        assert!(size(&root) >= (files, bytes), "{what}: something is gone");
        assert_eq!(
            write().unwrap_or_else(|e| panic!("{what}: {e}")),
            all,
            "{what}"
        );
    }

    what_may_not_be_written_to_is_verified(&root);

    // Nothing is made in the folder of unfinished files before a flush.
    let tmp = root.join("tmp");
    let before = fs::metadata(&tmp).unwrap().permissions();
    fs::set_permissions(&tmp, Permissions::from_mode(0o555)).unwrap();
    let db = Tidestone::open(&root, quiet()).unwrap();
    let flushed = db.flush();
    fs::set_permissions(&tmp, before).unwrap();
    let named = |e: &tidestone::Error| e.path().is_some_and(|p| p.starts_with(&tmp));
    assert!(flushed.as_ref().is_err_and(named), "{flushed:?}");
    let says = [
        "needs permission",
        "ermission denied",
        "the user this process",
    ];
    check("a flush", flushed, ErrorKind::Io, says);
    db.flush().unwrap();
    assert_eq!(contents(&db.table("t").unwrap()).len(), all);
}

/// As on a medium that is mounted for reading only.
fn what_may_not_be_written_to_is_verified(root: &Path) {
    let protect = |lock: u32, index: u32| {
        let set = |part, mode| {
            fs::set_permissions(root.join(part), Permissions::from_mode(mode)).unwrap();
        };
        set("LOCK", lock);
        set("index", index);
    };
    protect(0o444, 0o555);
    let sound = tidestone::maintenance::verify(root);
    let lock = fs::File::open(root.join("LOCK")).unwrap();
    lock.lock().unwrap();
    let locked = tidestone::maintenance::verify(root);
    lock.unlock().unwrap();
    protect(0o644, 0o755);
    let sound = sound.unwrap();
    assert!(sound.damage.is_empty() && sound.rows > 0, "{sound:?}");
    let notes = sound.notes.join("\n");
    assert!(
        notes.contains("LOCK") && notes.contains("not locked"),
        "{notes}"
    );
    let says = [
        "lock the database",
        "ermission denied",
        "the user this process",
    ];
    check("a writer lives", locked, ErrorKind::Io, says);
}

/// How many files a database has beside its index, and how many bytes.
fn size(path: &Path) -> (usize, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("index") {
            let (more, of) = size(&path);
            (files, bytes) = (files + more, bytes + of);
        } else if path.is_file() {
            (files, bytes) = (files + 1, bytes + path.metadata().unwrap().len());
        }
    }
    (files, bytes)
}

/// RocksDB set 4 MiB aside for the list of its files, of which a small database needs a page.
#[test]
fn the_index_of_a_small_database_takes_little_of_the_disk() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("db");
    let db = Tidestone::create(&root, quiet()).unwrap();
    fill(&db);
    let files = fs::read_dir(root.join("index")).unwrap();
    let taken = files.map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512);
    let taken: u64 = taken.sum();
    assert!(taken < 1 << 20, "{taken} bytes");
    db.close().unwrap();
}

#[test]
fn a_disk_that_is_full_refuses_and_lets_go_on() {
    if let Some(place) = place() {
        return on_a_small_disk(&place);
    }
    let folder = tempfile::tempdir().unwrap();
    let mounted = |what: &str| {
        let mut command = Command::new("unshare");
        let script = format!("mount -t tmpfs -o size=24m none \"${PLACE}\" && {what}");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .env(PLACE, folder.path());
        command
    };
    if !mounted("true").status().is_ok_and(|s| s.success()) {
        let message = "no file system can be mounted here";
        assert!(std::env::var_os("CI").is_none(), "{message}");
        println!("{message}; the simulated disk stands in (crash.rs)");
        return;
    }
    let mut command = mounted("exec \"$0\" \"$@\"");
    command
        .arg(std::env::current_exe().unwrap())
        .args(only("a_disk_that_is_full_refuses_and_lets_go_on"));
    run(command);
}

/// Where the place is a file system of 24 MiB.
fn on_a_small_disk(place: &Path) {
    let root = place.join("db");
    // What is given up in the end.
    let ballast = place.join("ballast");
    fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let db = Tidestone::create(&root, quiet()).unwrap();
    let options = TableOptions::new().field("text", FieldType::String);
    let table = db.create_table("t", options).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match write(&db, &table, acknowledged) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "the disk has 24 MiB");
    };
    assert!(acknowledged > 10, "{acknowledged}: {error}");
    let says = ["o space left on device", "annot ", "free space"];
    check::<()>("a write", Err(error), ErrorKind::DiskFull, says);
    let rows = |table: &Table| contents(table).len();
    // The row that was refused may be there: it was never said that it is not.
    assert!(
        rows(&table) >= acknowledged,
        "{acknowledged} and {}",
        rows(&table)
    );

    // To the last byte; what the database keeps in reserve is its own.
    let filler = place.join("filler");
    fill_up(&filler);
    let closed = db.close();
    drop((table, db));
    if let Err(error) = closed {
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    }
    let db = Tidestone::open(&root, quiet()).unwrap_or_else(|e| panic!("on a full disk: {e}"));
    let table = db.table("t").unwrap();
    let there = rows(&table);
    assert!(there >= acknowledged, "{acknowledged} and {there}");
    let mut more = 0;
    let refused = loop {
        match write(&db, &table, there + more) {
            Ok(()) => more += 1,
            Err(error) => break error,
        }
        assert!(more < 1_000, "the disk is full");
    };
    check::<()>("a write", Err(refused), ErrorKind::DiskFull, says);

    fs::remove_file(&filler).unwrap();
    fs::remove_file(&ballast).unwrap();
    drop((table, db));
    let db = Tidestone::open(&root, quiet()).unwrap();
    let table = db.table("t").unwrap();
    assert!(rows(&table) >= there + more);
    let before = rows(&table);
    write(&db, &table, 20_000).unwrap();
    assert_eq!(rows(&table), before + 1);
    db.close().unwrap();
}

/// Writes a row of a series of its own, with some 100,000 bytes that no codec makes smaller, to a
/// segment and to the index.
fn write(db: &Tidestone, table: &Table, n: usize) -> Result<()> {
    let mut dice = Dice(n as u64);
    let text: String = (0..100_000)
        .map(|_| char::from(b'!' + u8::try_from(dice.roll(90)).unwrap()))
        .collect();
    let series = table.series(&[("host", format!("h{n}"))])?;
    let mut writer = db.writer();
    writer.append(&series, 1, &[Value::String(&text)])?;
    writer.commit_and_wait()?;
    db.flush()
}

/// Makes a file as large as there is space.
fn fill_up(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4_096] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}
