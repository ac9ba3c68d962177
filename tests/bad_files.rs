//! Damaged files and wrong places: an error of the right kind that names what is needed, nothing half
//! done, and no panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use common::gate::Gate;
use common::wrong::{builder, check, check_damage, fill, open, table_options};
use common::{Row, contents, copy_tree, quiet};
use tidestone::io::{Call, Disk, SimDisk};
use tidestone::{ErrorKind, Options, ReadMode, Result, TagMatch, Tidestone, Value};

/// Opens the database and reads all of it.
fn read_all(disk: &SimDisk) -> Result<Vec<Row>> {
    read_all_with(disk, ReadMode::Mmap)
}

fn read_all_with(disk: &SimDisk, read_mode: ReadMode) -> Result<Vec<Row>> {
    let options = Options {
        read_mode,
        ..quiet()
    };
    let db = builder(disk).options(options).open_or_create()?;
    let table = db.table("t")?;
    for batch in table.query().scan()? {
        batch?;
    }
    Ok(contents(&table))
}

fn find(disk: &SimDisk, end: &str) -> PathBuf {
    let paths = disk.paths();
    let found = paths.iter().find(|p| p.to_string_lossy().ends_with(end));
    found
        .unwrap_or_else(|| panic!("no {end} in {paths:?}"))
        .clone()
}

/// Every file and what is in it, but for what readers leave of the moment.
fn files(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths = disk.paths();
    paths.retain(|path| !path.starts_with("/db/readers"));
    let read = |path: PathBuf| {
        let mut bytes = Vec::new();
        disk.damage(&path, |b| bytes.clone_from(b)).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

type Change = fn(&mut Vec<u8>);
type AnyChange<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn damage_to_each_kind_of_file_is_found_and_named() {
    let sound = SimDisk::new();
    fill(&open(&sound).unwrap());
    // Opened once more: the log's last file is new, those before it must be whole.
    drop(open(&sound).unwrap());
    let expected = read_all(&sound.after_power_loss(|_| false)).unwrap();
    assert_eq!(expected.len(), 3 * 4 * 700);

    let cut_in_half: Change = |b| {
        let used = b.iter().rposition(|b| *b != 0).unwrap_or(0);
        b.truncate(used / 2);
    };
    let empty: Change = |b| b.clear();
    let zeros: Change = |b| b.fill(0);
    let foreign: Change = |b| b[..16].copy_from_slice(b"SQLite format 3\0");
    let flip_early: Change = |b| b[20] ^= 1;
    let flip_middle: Change = |b| {
        let used = b.iter().rposition(|b| *b != 0).unwrap_or(0);
        b[used / 2] ^= 0x40;
    };
    let version: Change = |b| b[8..10].copy_from_slice(&9u16.to_le_bytes());
    let last_byte: Change = |b| {
        let last = b.len() - 1;
        b[last] ^= 0xff;
    };
    let files = [
        ("IDENTITY", "IDENTITY"),
        (".manifest", "manifest"),
        (".seg", "segment"),
    ];
    let changes: [(&str, Change); 8] = [
        ("cut in half", cut_in_half),
        ("empty", empty),
        ("zero-filled", zeros),
        ("foreign", foreign),
        ("a bit of the header", flip_early),
        ("a bit in the middle", flip_middle),
        ("a version that the checksum is not of", version),
        ("the last byte", last_byte),
    ];
    for (end, name) in files {
        for (what, change) in changes {
            if name == "manifest" && what == "the last byte" {
                continue; // a reserve of zeros: nothing was synced there
            }
            let disk = sound.after_power_loss(|_| false);
            let path = find(&disk, end);
            disk.damage(&path, change).unwrap();
            let what = format!("{name}: {what}");
            match read_all(&disk) {
                Err(error) => check_damage::<()>(&what, Err(error), &path),
                Ok(rows) => panic!(
                    "{what}: {} of {} rows, no error",
                    rows.len(),
                    expected.len()
                ),
            }
        }
    }
    // The log: the file that holds the rows not yet flushed.
    let logs: Vec<PathBuf> = sound
        .paths()
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect();
    for (what, change) in changes {
        if what == "the last byte" {
            continue; // zeros behind the last frame
        }
        let mut refused = 0;
        for path in &logs {
            let disk = sound.after_power_loss(|_| false);
            disk.damage(path, change).unwrap();
            let what = format!("log {}: {what}", path.display());
            match read_all(&disk) {
                Ok(rows) => assert!(rows == expected, "{what}: {} rows, no error", rows.len()),
                Err(error) => {
                    check_damage::<()>(&what, Err(error), path);
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "{what}: no log file with it is refused");
    }
}

#[test]
fn a_reader_refuses_files_that_are_empty_zeros_or_foreign() {
    let sound = SimDisk::new();
    fill(&open(&sound).unwrap());
    // Opened once more: the log's last file is new, those before it must be whole.
    drop(open(&sound).unwrap());
    let read = |disk: &SimDisk| -> Result<usize> {
        let builder = Tidestone::builder("/db").options(quiet());
        let db = builder.disk(Arc::new(disk.clone())).open_read_only()?;
        let rows = db.table("t")?.query().scan()?;
        rows.map(|batch| batch.map(|b| b.len())).sum()
    };
    let expected = 3 * 4 * 700;
    assert_eq!(read(&sound.after_power_loss(|_| false)).unwrap(), expected);
    let foreign = |magic: &'static [u8]| {
        move |b: &mut Vec<u8>| {
            b.fill(b'x');
            b[..magic.len()].copy_from_slice(magic);
        }
    };
    let (png, zip) = (
        foreign(b"\x89PNG\r\n\x1a\n"),
        foreign(b"PK\x03\x04\x14\0\0\0"),
    );
    let changes: [(&str, AnyChange<'_>); 4] = [
        ("empty", &|b| b.clear()),
        ("zeros", &|b| b.fill(0)),
        ("a PNG", &png),
        ("a zip", &zip),
    ];
    let mut refused = Vec::new();
    for path in sound.paths() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let kinds = ["IDENTITY", ".manifest", ".log", ".seg"];
        let Some(kind) = kinds.into_iter().find(|end| name.ends_with(end)) else {
            continue;
        };
        for (what, change) in changes {
            let disk = sound.after_power_loss(|_| false);
            disk.damage(&path, change).unwrap();
            let before = files(&disk);
            let what = format!("{}: {what}", path.display());
            match read(&disk) {
                // A log file that is not needed: flushed, or not begun.
                Ok(rows) if kind == ".log" => assert_eq!(rows, expected, "{what}"),
                result => {
                    check_damage(&what, result, &path);
                    refused.push(kind);
                }
            }
            assert!(files(&disk) == before, "{what}: a reader changed something");
        }
    }
    refused.dedup();
    assert_eq!(refused, ["IDENTITY", ".manifest", ".seg", ".log"]);
}

#[test]
fn each_kind_of_file_that_is_newer_or_has_an_unknown_feature_is_unsupported() {
    const CRC_AT: usize = 188;
    let sound = SimDisk::new();
    fill(&open(&sound).unwrap());
    drop(open(&sound).unwrap());
    let with_checksum = |b: &mut Vec<u8>| {
        let crc = tidestone_format::checksum::crc32(&b[..CRC_AT]);
        b[CRC_AT..][..4].copy_from_slice(&crc.to_le_bytes());
    };
    for end in ["IDENTITY", ".log", ".manifest", ".seg"] {
        let path = find(&sound, end);
        let disk = sound.after_power_loss(|_| false);
        disk.damage(&path, |b| {
            b[8..10].copy_from_slice(&9u16.to_le_bytes());
            b[10..12].copy_from_slice(&7u16.to_le_bytes());
            with_checksum(b);
        })
        .unwrap();
        let says = [
            "needs a newer version: this one reads format version 1,",
            "has version 9, for readers of version 7",
            "open it with the version that wrote it",
        ];
        let what = format!("{end}: a newer version");
        // What a newer version wrote may be sound: it is not mended away.
        let before = disk.changes();
        let repaired = Tidestone::builder("/db")
            .disk(Arc::new(disk.clone()))
            .repair();
        check(&what, repaired, ErrorKind::Unsupported, says);
        assert_eq!(disk.changes(), before, "{what}: repair changed something");
        check(&what, read_all(&disk), ErrorKind::Unsupported, says);

        let disk = sound.after_power_loss(|_| false);
        disk.damage(&path, |b| {
            b[19] |= 0x80;
            with_checksum(b);
        })
        .unwrap();
        let says = [
            "required features",
            "0x80000000",
            "open it with the version that wrote it",
        ];
        let what = format!("{end}: an unknown feature");
        check(&what, read_all(&disk), ErrorKind::Unsupported, says);

        // A newer version that this one can read is no trouble.
        let disk = sound.after_power_loss(|_| false);
        disk.damage(&path, |b| {
            b[8..10].copy_from_slice(&9u16.to_le_bytes());
            with_checksum(b);
        })
        .unwrap();
        let rows = read_all(&disk).unwrap_or_else(|e| panic!("{end}: {e}"));
        assert_eq!(rows.len(), 3 * 4 * 700, "{end}");
    }
}

/// Flips a bit at about so many places of a segment.
#[track_caller]
fn check_flips(sound: &SimDisk, places: usize) {
    let expected = read_all(&sound.after_power_loss(|_| false)).unwrap();
    let path = find(sound, ".seg");
    let mut len = 0;
    sound.damage(&path, |b| len = b.len()).unwrap();
    for at in (0..len).step_by((len / places).max(1)) {
        let disk = sound.after_power_loss(|_| false);
        disk.damage(&path, |b| b[at] ^= 1 << (at % 8)).unwrap();
        for read_mode in [ReadMode::Mmap, ReadMode::Pread] {
            let what = format!("byte {at}, {read_mode:?}");
            match read_all_with(&disk, read_mode) {
                Ok(rows) => assert!(rows == expected, "{what}: another answer and no error"),
                Err(error) => check_damage::<()>(&what, Err(error), &path),
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_each_byte_of_a_small_segment_is_found_or_harmless() {
    let sound = SimDisk::new();
    let db = open(&sound).unwrap();
    let table = db.create_table("t", table_options()).unwrap();
    let mut writer = db.writer();
    for host in ["a", "b"] {
        let series = table.series(&[("host", host)]).unwrap();
        for i in 0..4 {
            let text = ["one", "two"][usize::try_from(i % 2).unwrap()];
            let values = [Value::F64(i as f64 / 7.0), Value::String(text)];
            writer.append(&series, i, &values).unwrap();
        }
    }
    writer.commit_and_wait().unwrap();
    db.flush().unwrap();
    drop((writer, table, db));
    check_flips(&sound, usize::MAX);
}

#[test]
fn a_flipped_bit_at_many_places_of_a_segment_is_found_or_harmless() {
    let sound = SimDisk::new();
    fill(&open(&sound).unwrap());
    check_flips(&sound, 300);
}

#[test]
fn a_segment_that_is_missing_or_another_is_named() {
    let sound = SimDisk::new();
    fill(&open(&sound).unwrap());
    let segments: Vec<PathBuf> = sound
        .paths()
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    let disk = sound.after_power_loss(|_| false);
    let mut other = Vec::new();
    disk.damage(&segments[1], |b| other = b.clone()).unwrap();
    disk.damage(&segments[0], |b| *b = other).unwrap();
    let read = read_all(&disk);
    assert_eq!(
        read.as_ref().err().and_then(|e| e.path()),
        Some(&*segments[0])
    );
    let says = ["the manifest", "the segment", "`tidestone repair`"];
    check(
        "another segment in its place",
        read,
        ErrorKind::Corrupt,
        says,
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    fill(&Tidestone::create(&path, quiet()).unwrap());
    let segment = files_below(&path, "seg").remove(0);
    fs::remove_file(&segment).unwrap();
    let read = || -> Result<()> {
        let db = Tidestone::open(&path, quiet())?;
        db.table("t")?.query().scan()?.try_for_each(|b| b.map(drop))
    };
    assert_eq!(read().unwrap_err().path(), Some(&*segment));
    check(
        "a missing segment",
        read(),
        ErrorKind::Corrupt,
        [
            "the manifest names this segment",
            "it is not there",
            "restore it from a backup, or run `tidestone repair`",
        ],
    );
}

fn files_below(path: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn folders_that_are_not_what_they_should_be_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    check(
        "no folder",
        Tidestone::open(at("none"), quiet()),
        ErrorKind::NotFound,
        [
            "expected an IDENTITY file",
            "none: there is no database here",
            "create one",
        ],
    );
    fs::create_dir(at("empty")).unwrap();
    check(
        "an empty one",
        Tidestone::open(at("empty"), quiet()),
        ErrorKind::NotFound,
        [
            "expected an IDENTITY file",
            "empty: there is no database here",
            "create one",
        ],
    );
    check(
        "read-only",
        Tidestone::open_read_only(at("empty"), quiet()),
        ErrorKind::NotFound,
        [
            "expected an IDENTITY file",
            "empty: there is no database here",
            "create one",
        ],
    );
    fs::write(at("file"), b"hello").unwrap();
    for made in [
        Tidestone::create(at("file"), quiet()),
        Tidestone::open(at("file"), quiet()),
    ] {
        check(
            "a file in its place",
            made,
            ErrorKind::Io,
            ["where a folder should be", "file: ", "move it away"],
        );
    }
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/notes.txt"), b"hello").unwrap();
    check(
        "not empty",
        Tidestone::create(at("full"), quiet()),
        ErrorKind::Exists,
        [
            "name an empty one",
            "full: the folder is not empty",
            "or one that is not there",
        ],
    );
    assert!(at("full/notes.txt").exists());
    std::os::unix::fs::symlink(at("gone"), at("dangling")).unwrap();
    check(
        "a dangling link",
        Tidestone::open(at("dangling"), quiet()),
        ErrorKind::NotFound,
        [
            "expected an IDENTITY file",
            "dangling: there is no database here",
            "create one",
        ],
    );
    assert!(Tidestone::create(at("dangling/db"), quiet()).is_err());

    let db = Tidestone::create(at("db"), quiet()).unwrap();
    fill(&db);
    check(
        "there is one",
        Tidestone::create(at("db"), quiet()),
        ErrorKind::Exists,
        [
            "a place without one is expected",
            "db: there is a database here already",
            "open it",
        ],
    );
    db.close().unwrap();
    drop(db);
    for part in ["wal", "manifest", "segments"] {
        let (from, to) = (at("db").join(part), at("aside"));
        fs::rename(&from, &to).unwrap();
        let missing = Tidestone::open(at("db"), quiet()).map(drop);
        let error = missing.expect_err(part);
        assert!(
            error.path().is_some_and(|p| p.starts_with(&from)),
            "{part}: {error}"
        );
        fs::write(&from, b"a file").unwrap();
        let error = Tidestone::open(at("db"), quiet())
            .map(drop)
            .expect_err(part);
        assert!(
            error.path().is_some_and(|p| p.starts_with(&from)),
            "{part}: {error}"
        );
        assert!(
            error.to_string().contains("where a folder should be"),
            "{part}: {error}"
        );
        fs::remove_file(&from).unwrap();
        fs::rename(&to, &from).unwrap();
    }
    // As root everything can be read; for others, a folder and a file:
    use std::os::unix::fs::PermissionsExt;
    for (name, mode) in [("db/wal", 0o755), ("db/IDENTITY", 0o644)] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read(at("db/IDENTITY")).is_err() || fs::read_dir(at("db/wal")).is_err() {
            let opened = Tidestone::open(at("db"), quiet());
            check(
                "no permission",
                opened,
                ErrorKind::Io,
                ["needs permission to read it", name, "the user"],
            );
        }
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    Tidestone::open(at("db"), quiet()).unwrap();
}

/// Whoever followed the advice to create a database there would have lost what is there.
#[test]
fn a_database_that_lost_its_identity_is_told_and_left_as_it_is() {
    let disk = SimDisk::new();
    fill(&open(&disk).unwrap());
    let identity = PathBuf::from("/db/IDENTITY");
    let mut bytes = Vec::new();
    disk.damage(&identity, |b| bytes.clone_from(b)).unwrap();
    let expected = read_all(&disk).unwrap();
    // Each part alone tells that there was a database.
    let parts = ["/db/wal", "/db/manifest", "/db/segments"];
    for kept in parts.into_iter().map(Some).chain([None]) {
        let disk = disk.after_power_loss(|_| false);
        disk.remove(&identity).unwrap();
        for path in disk.paths() {
            if kept.is_some_and(|kept| !path.starts_with(kept)) {
                disk.remove(&path).unwrap();
            }
        }
        let before = files(&disk);
        let opened: [(&str, Result<()>); 4] = [
            ("open", builder(&disk).open().map(drop)),
            ("open_or_create", builder(&disk).open_or_create().map(drop)),
            ("open_read_only", builder(&disk).open_read_only().map(drop)),
            ("create", builder(&disk).create().map(drop)),
        ];
        for (what, opened) in opened {
            let what = format!("{what}, {kept:?}");
            let says = [
                "expected the IDENTITY of the database whose files are in this folder",
                "/db/IDENTITY: ",
                "restore it from a backup of this database",
            ];
            check(&what, opened, ErrorKind::Corrupt, says);
        }
        if kept.is_none() {
            let damage = builder(&disk).verify().unwrap().damage;
            let [damage] = &damage[..] else {
                panic!("{damage:?}");
            };
            assert_eq!(damage.path, identity);
            assert!(damage.what.contains("found none"), "{damage:?}");
        }
        assert!(files(&disk) == before, "{kept:?}: something was changed");
        if kept.is_none() {
            let file = disk.create(&identity).unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            assert!(read_all(&disk).unwrap() == expected);
        }
    }
}

/// What cannot be listed may be a database: it is not said that there is none.
#[test]
fn a_folder_without_identity_that_cannot_be_listed_is_named() {
    let disk = SimDisk::new();
    fill(&open(&disk).unwrap());
    disk.remove(Path::new("/db/IDENTITY")).unwrap();
    for folder in ["/db/wal", "/db/manifest", "/db/segments"] {
        let disk = disk.after_power_loss(|_| false);
        // The parts before it do not tell that there was a database.
        for path in disk.paths() {
            if !path.starts_with(folder) {
                disk.remove(&path).unwrap();
            }
        }
        let gate = Gate::before(&disk);
        gate.refuse(Call::List, folder);
        let opened = builder(&disk).open();
        let named = |e: &tidestone::Error| e.path().is_some_and(|p| p.starts_with(folder));
        assert!(opened.as_ref().is_err_and(named), "{folder}: {opened:?}");
        let says = [
            "needs permission",
            "permission denied",
            "the user this process",
        ];
        check(folder, opened, ErrorKind::Io, says);
    }
}

#[test]
fn a_folder_without_permission_is_named_and_nothing_is_changed() {
    let sound = SimDisk::new();
    fill(&open(&sound).unwrap());
    let expected = read_all(&sound.after_power_loss(|_| false)).unwrap();
    let builder = |disk: &SimDisk, at: &str| {
        Tidestone::builder(at)
            .options(quiet())
            .disk(Arc::new(disk.clone()))
    };
    // What is denied, below which path, and whether opening for reading only needs it too.
    let denied = [
        (Call::Open, "/db/IDENTITY", true),
        (Call::List, "/db/manifest", true),
        (Call::OpenWrite, "/db/manifest", false),
        (Call::List, "/db/wal", true),
        (Call::Lock, "/db", false),
    ];
    for (call, below, reading) in denied {
        let disk = sound.after_power_loss(|_| false);
        let gate = Gate::before(&disk);
        let before = files(&disk);
        gate.refuse(call, below);
        let what = format!("{call:?} below {below}");
        let says = [
            "needs permission",
            "permission denied",
            "to write it and its folder",
        ];
        let opened = builder(&disk, "/db").open();
        check(&what, opened, ErrorKind::Io, says);
        let opened = builder(&disk, "/db").open_or_create();
        check(&what, opened, ErrorKind::Io, says);
        if reading {
            let opened = builder(&disk, "/db").open_read_only();
            check(&what, opened, ErrorKind::Io, says);
        }
        let mut after = files(&disk);
        after.retain(|(path, _)| before.iter().any(|(p, _)| p == path) || !path.ends_with("LOCK"));
        assert!(after == before, "{what}: something was changed");
        gate.open();
        let rows = read_all(&disk).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(rows == expected, "{what}");
    }
    for call in [Call::List, Call::CreateDirAll, Call::Lock, Call::Create] {
        let disk = sound.after_power_loss(|_| false);
        let gate = Gate::before(&disk);
        gate.refuse(call, "/new");
        let made = builder(&disk, "/new").create();
        check(
            &format!("{call:?}"),
            made,
            ErrorKind::Io,
            [
                "needs permission",
                "permission denied",
                "to write it and its folder",
            ],
        );
        assert!(!disk.paths().contains(&PathBuf::from("/new/IDENTITY")));
        gate.open();
        builder(&disk, "/new").create().unwrap();
    }
}

/// Started by the test below in another process: holds the lock until its input ends.
#[test]
#[ignore = "a part of a_database_open_elsewhere_is_not_opened_twice"]
fn holder() {
    let Ok(path) = std::env::var("TIDESTONE_TEST_HOLD") else {
        return;
    };
    let db = Tidestone::open(path, quiet()).unwrap();
    println!("holding");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().lines().next();
    drop(db);
}

#[test]
fn a_database_open_elsewhere_is_not_opened_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    fill(&Tidestone::create(&path, quiet()).unwrap());
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["holder", "--exact", "--ignored", "--nocapture"])
        .env("TIDESTONE_TEST_HOLD", &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|l| l.unwrap().contains("holding")));
    check(
        "held elsewhere",
        Tidestone::open(&path, quiet()),
        ErrorKind::Locked,
        [
            "close it there",
            "another process, or another handle of this one,",
            "open it here for reading only",
        ],
    );
    let reader = Tidestone::open_read_only(&path, quiet()).unwrap();
    assert_eq!(contents(&reader.table("t").unwrap()).len(), 8_400);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    let db = Tidestone::open(&path, quiet()).unwrap();
    check(
        "held here",
        Tidestone::open(&path, quiet()),
        ErrorKind::Locked,
        [
            "close it there",
            "has the database open for writing",
            "open it here for reading only",
        ],
    );
    db.close().unwrap();
    Tidestone::open(&path, quiet()).unwrap();
}

#[test]
fn an_index_that_cannot_be_used_is_rebuilt_loudly_and_answers_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let index = path.join("index");
    let db = Tidestone::create(&path, quiet()).unwrap();
    fill(&db);
    let expected = contents(&db.table("t").unwrap());
    db.close().unwrap();
    drop(db);
    let keep = folder.path().join("older");
    copy_tree(&index, &keep);
    let check = |what: &str, rebuilt: bool, rows: &[Row]| {
        let db = Tidestone::open(&path, quiet()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let report = db.open_report();
        assert_eq!(
            report.index_rebuilt.is_some(),
            rebuilt,
            "{what}: {report:?}"
        );
        assert_eq!(
            db.status().unwrap().index_rebuilds,
            u64::from(rebuilt),
            "{what}"
        );
        let table = db.table("t").unwrap();
        assert!(contents(&table) == *rows, "{what}: another answer");
        let one = table
            .query()
            .filter(TagMatch::equal("host", "h2"))
            .scan()
            .unwrap();
        let found: usize = one.map(|b| b.unwrap().len()).sum();
        let due = rows.iter().filter(|r| r.0 == "host=h2").count();
        assert_eq!(found, due, "{what}, by tag");
        db.close().unwrap();
    };
    check("sound", false, &expected);
    fs::remove_dir_all(&index).unwrap();
    check("deleted", true, &expected);
    fs::remove_dir_all(&index).unwrap();
    fs::write(&index, b"a file").unwrap();
    check("a file in its place", true, &expected);
    for file in files_below(&index, "sst") {
        fs::write(file, b"garbage, garbage, garbage").unwrap();
    }
    check("garbage in its tables", true, &expected);
    fs::write(index.join("CURRENT"), b"garbage").unwrap();
    check("garbage in CURRENT", true, &expected);
    for entry in fs::read_dir(&index).unwrap() {
        fs::write(entry.unwrap().path(), b"").unwrap();
    }
    check("all files empty", true, &expected);

    let other = folder.path().join("other");
    let db = Tidestone::create(&other, quiet()).unwrap();
    fill(&db);
    db.close().unwrap();
    drop(db);
    fs::remove_dir_all(&index).unwrap();
    copy_tree(&other.join("index"), &index);
    check("of another database", true, &expected);

    // One that lags catches up.
    let db = Tidestone::open(&path, quiet()).unwrap();
    let table = db.table("t").unwrap();
    let mut writer = db.writer();
    for host in 0..50 {
        let series = table.series(&[("host", format!("new{host}"))]).unwrap();
        writer.append(&series, 5, &[Value::F64(1.0)]).unwrap();
    }
    writer.commit_and_wait().unwrap();
    let more = contents(&table);
    assert_eq!(more.len(), expected.len() + 50);
    db.close().unwrap();
    drop(db);
    fs::remove_dir_all(&index).unwrap();
    copy_tree(&keep, &index);
    let (caught_up, series) = (|db: &Tidestone| db.status().unwrap().index_caught_up, 50);
    let db = Tidestone::open(&path, quiet()).unwrap();
    assert_eq!(db.open_report().index_caught_up, series);
    assert_eq!(caught_up(&db), series, "it is told");
    db.close().unwrap();
    drop(db);
    fs::remove_dir_all(&index).unwrap();
    copy_tree(&keep, &index);
    check("older than the manifest", false, &more);
    check("caught up", false, &more);
    assert_eq!(caught_up(&Tidestone::open(&path, quiet()).unwrap()), 0);
}

#[test]
fn what_the_disk_cannot_read_of_a_log_is_an_error() {
    let sound = SimDisk::new();
    fill(&open(&sound).unwrap());
    let expected = read_all(&sound.after_kill()).unwrap();
    for fails in 0.. {
        let disk = sound.after_kill();
        let reads: Mutex<HashMap<PathBuf, usize>> = Mutex::default();
        disk.watch(move |call, path| {
            let mut reads = reads.lock().unwrap();
            let all: usize = reads.values().sum();
            let of_file = reads.entry(path.to_owned()).or_default();
            match call {
                _ if !path.starts_with("/db/wal") => {}
                Call::Read if all == fails => {
                    return Err(std::io::Error::other("unreadable sector"));
                }
                Call::Read => *of_file += 1,
                // A map would end the process.
                Call::Map => assert!(*of_file > 1, "mapped before more than its header was read"),
                _ => {}
            }
            Ok(())
        });
        match open(&disk) {
            Ok(_) => {
                assert!(fails > 1, "{fails}");
                break;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                assert!(error.to_string().contains("unreadable sector"), "{error}");
                assert!(error.path().is_some_and(|p| p.starts_with("/db/wal")));
            }
        }
        disk.watch(|_, _| Ok(()));
        assert!(read_all(&disk).unwrap() == expected, "read {fails}");
    }
}
