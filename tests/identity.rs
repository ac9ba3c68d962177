//! An IDENTITY that is damaged or gone: verified with all else, and written anew as the other files say, or
//! not at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod common;

use std::path::{Path, PathBuf};

use common::wrong::{builder, check, check_damage, fill, open};
use common::{Row, contents};
use tidestone::io::{Disk, Fault, SimDisk, read_all};
use tidestone::maintenance::Step;
use tidestone::{ErrorKind, FileUuid};
use tidestone_format::checksum::crc32;
use tidestone_format::header::{FileHeader, FileKind};

/// When the clock of these tests stands.
const MADE: i64 = 1_000_000_000_000;

fn identity() -> PathBuf {
    PathBuf::from("/db/IDENTITY")
}

fn sound() -> SimDisk {
    let disk = SimDisk::new();
    fill(&open(&disk).unwrap());
    disk.after_power_loss(|_| false)
}

fn bytes(disk: &SimDisk, path: &Path) -> Vec<u8> {
    read_all(&*disk.open(path).unwrap()).unwrap()
}

fn find(disk: &SimDisk, end: &str) -> PathBuf {
    let mut paths = disk.paths().into_iter();
    let found = paths.find(|p| p.to_string_lossy().ends_with(end));
    found.unwrap_or_else(|| panic!("no {end}"))
}

/// All files but for IDENTITY and what a repair keeps aside, with their bytes.
fn others(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths = disk.paths();
    paths.retain(|path| *path != identity() && !path.starts_with("/db/lost"));
    let read = |path: PathBuf| {
        let bytes = bytes(disk, &path);
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

fn rows(disk: &SimDisk) -> Vec<Row> {
    let db = builder(disk).open().unwrap();
    contents(&db.table("t").unwrap())
}

fn reseal(header: &mut [u8]) {
    let crc = crc32(&header[..188]);
    header[188..192].copy_from_slice(&crc.to_le_bytes());
}

/// What is done to IDENTITY; `None`: it is removed.
type Change = Option<fn(&mut Vec<u8>)>;

fn change(disk: &SimDisk, change: Change) {
    match change {
        Some(change) => disk.damage(&identity(), change).unwrap(),
        None => {
            disk.remove(&identity()).unwrap();
            disk.sync_dir(Path::new("/db")).unwrap();
        }
    }
}

#[test]
fn a_damaged_identity_is_written_anew_and_costs_nothing() {
    let sound = sound();
    let was = bytes(&sound, &identity());
    let database = FileHeader::decode_kind(&was, FileKind::Identity).unwrap();
    let database = database.database;
    let checked = builder(&sound).verify().unwrap();
    assert_eq!(checked.damage, []);
    let expected = rows(&sound.after_power_loss(|_| false));
    // With what still proves when the database was made, and without.
    let cases: [(&str, Change, bool); 13] = [
        ("a bit of the uuid", Some(|b| b[30] ^= 1), true),
        ("a bit of the writer's version", Some(|b| b[13] ^= 1), true),
        ("another version", Some(|b| b[8] = 9), true),
        ("another layout", Some(|b| b[56] = 2), true),
        ("a bit of the padding", Some(|b| b[170] = 1), true),
        (
            "a foreign start",
            Some(|b| b[..16].copy_from_slice(b"SQLite format 3\0")),
            true,
        ),
        ("bytes behind it", Some(|b| b.resize(300, 7)), true),
        ("a bit of the time", Some(|b| b[140] ^= 1), false),
        ("a bit of the checksum", Some(|b| b[189] ^= 1), false),
        ("cut in half", Some(|b| b.truncate(96)), false),
        ("empty", Some(Vec::clear), false),
        ("zero-filled", Some(|b| b.fill(0)), false),
        ("gone", None, false),
    ];
    for (what, damage, is_proven) in cases {
        let disk = sound.after_power_loss(|_| false);
        change(&disk, damage);
        let damaged = damage.map(|_| bytes(&disk, &identity()));
        // What is behind a sound header keeps nobody from opening the database.
        if what != "bytes behind it" {
            check_damage(what, builder(&disk).open(), &identity());
        }
        let disk = disk.after_power_loss(|_| false);

        let report = builder(&disk).verify().unwrap();
        assert!(report.is_damaged(), "{what}");
        let named: Vec<&Path> = report.damage.iter().map(|d| &*d.path).collect();
        assert_eq!(named, [identity()], "{what}: {report:?}");
        let all = |r: &tidestone::maintenance::VerifyReport| (r.rows, r.regions, r.frames);
        assert_eq!(all(&report), all(&checked), "{what}: the rest is checked");

        let (before, changes) = (others(&disk), disk.changes());
        let plan = builder(&disk).plan_repair().unwrap();
        let [
            Step::WriteIdentity {
                path,
                database: of,
                created_at,
                ..
            },
        ] = &plan.steps[..]
        else {
            panic!("{what}: {plan:?}");
        };
        assert_eq!((path, of), (&identity(), &database), "{what}");
        assert_eq!(*created_at, is_proven.then_some(MADE), "{what}");
        assert_eq!(disk.changes(), changes, "{what}: a plan changes nothing");

        assert_eq!(builder(&disk).repair().unwrap(), plan, "{what}");
        let disk = disk.after_power_loss(|_| false);
        let new = match is_proven {
            true => was.clone(),
            false => FileHeader::identity(database, 0).encode().to_vec(),
        };
        assert!(bytes(&disk, &identity()) == new, "{what}");
        assert!(others(&disk) == before, "{what}: nothing else is changed");
        let lost = Path::new("/db/lost/IDENTITY");
        let kept = disk.open(lost).ok().map(|_| bytes(&disk, lost));
        assert!(kept == damaged, "{what}: the damaged file is kept");
        assert_eq!(builder(&disk).plan_repair().unwrap().steps, [], "{what}");
        assert_eq!(builder(&disk).verify().unwrap().damage, [], "{what}");
        assert!(rows(&disk) == expected, "{what}");
    }
}

#[test]
fn an_identity_that_another_version_wrote_is_mended_to_the_byte() {
    let disk = sound();
    disk.damage(&identity(), |b| {
        b[12] = 9;
        reseal(b);
    })
    .unwrap();
    let was = bytes(&disk, &identity());
    change(&disk, Some(|b| b[25] ^= 0x10));
    builder(&disk).repair().unwrap();
    assert_eq!(bytes(&disk, &identity()), was);
}

#[test]
fn an_identity_that_the_other_files_do_not_tell_is_left_as_it_is() {
    type Spoil<'a> = &'a dyn Fn(&SimDisk);
    let of_another = |disk: &SimDisk, end: &str| {
        let of_another = |b: &mut Vec<u8>| {
            b[24..40].copy_from_slice(&[0xee; 16]);
            reseal(b);
        };
        disk.damage(&find(disk, end), of_another).unwrap();
    };
    let other = FileUuid([0xee; 16]).to_string();
    let no_manifest = |disk: &SimDisk| disk.remove(&find(disk, ".manifest")).unwrap();
    let damaged_manifest = |disk: &SimDisk| {
        let manifest = find(disk, ".manifest");
        disk.damage(&manifest, |b| b[100] ^= 1).unwrap();
    };
    let restore = "restore IDENTITY and manifest from a backup of this database";
    let due = "expected a manifest whose header says what to write into a new IDENTITY";
    let move_away = "move the one that does not belong here away, or restore IDENTITY";
    let one = "expected files of one database";
    let cases: [(&str, Spoil<'_>, [&str; 3]); 5] = [
        ("no manifest", &no_manifest, [due, "found none", restore]),
        (
            "a damaged manifest",
            &damaged_manifest,
            [due, "file header at offset 188: expected", restore],
        ),
        (
            "another's manifest",
            &|disk| of_another(disk, ".manifest"),
            [one, &other, move_away],
        ),
        (
            "another's log",
            &|disk| of_another(disk, ".log"),
            [one, &other, move_away],
        ),
        (
            "another's segment",
            &|disk| of_another(disk, ".seg"),
            [one, &other, move_away],
        ),
    ];
    let sound = sound();
    for (what, spoil, says) in cases {
        for damage in [Some((|b| b.truncate(100)) as fn(&mut Vec<u8>)), None] {
            let disk = sound.after_power_loss(|_| false);
            change(&disk, damage);
            spoil(&disk);
            let changes = disk.changes();
            let what = format!("{what}, IDENTITY is there: {}", damage.is_some());
            let planned = builder(&disk).plan_repair();
            check(&what, planned, ErrorKind::Corrupt, says);
            let repaired = builder(&disk).repair();
            assert_eq!(repaired.as_ref().unwrap_err().path(), Some(&*identity()));
            check(&what, repaired, ErrorKind::Corrupt, says);
            assert_eq!(disk.changes(), changes, "{what}: something was changed");
            let report = builder(&disk).verify().unwrap();
            let named = |path: &Path| report.damage.iter().any(|d| d.path == path);
            assert!(named(&identity()), "{what}: {report:?}");
            assert!(report.damage.len() > 1, "{what}: {report:?}");
        }
    }
}

/// What a newer version would write into IDENTITY is not known, also where this version can read its files.
#[test]
fn no_identity_is_written_for_a_newer_version() {
    let sound = sound();
    let refused = |what: &str, disk: &SimDisk, expected: &str| {
        let changes = disk.changes();
        for repaired in [
            builder(disk).plan_repair().map(drop),
            builder(disk).repair().map(drop),
        ] {
            let says = [
                expected,
                "the file has version 9",
                "open it with the version",
            ];
            check(what, repaired, ErrorKind::Unsupported, says);
        }
        assert_eq!(disk.changes(), changes, "{what}: something was changed");
    };
    for oldest in [1, 7] {
        let newer = |b: &mut Vec<u8>| {
            b[8] = 9;
            b[10] = oldest;
            reseal(b);
        };
        let expected = match oldest {
            1 => "this one reads format version 1 where IDENTITY is to be written anew",
            _ => "this one reads format version 1",
        };
        for end in [".manifest", ".log", ".seg"] {
            for damage in [Some((|b| b.truncate(100)) as fn(&mut Vec<u8>)), None] {
                let disk = sound.after_power_loss(|_| false);
                change(&disk, damage);
                disk.damage(&find(&disk, end), newer).unwrap();
                refused(&format!("{end}, {oldest}"), &disk, expected);
            }
        }
        let disk = sound.after_power_loss(|_| false);
        disk.damage(&identity(), newer).unwrap();
        disk.damage(&identity(), |b| b.push(0)).unwrap();
        refused(&format!("IDENTITY, {oldest}"), &disk, expected);
    }
}

#[test]
fn damaged_headers_have_no_say_in_it_and_are_repaired_with_it() {
    let disk = sound();
    let segment = find(&disk, ".seg");
    disk.damage(&segment, |b| b[30] ^= 1).unwrap();
    change(&disk, Some(|b| b.truncate(100)));
    let named = builder(&disk).verify().unwrap().damage;
    let named: Vec<PathBuf> = named.into_iter().map(|d| d.path).collect();
    assert!(named.contains(&identity()) && named.contains(&segment));
    let plan = builder(&disk).repair().unwrap();
    let [
        Step::WriteIdentity { .. },
        Step::DropSegment { path, .. },
        ..,
    ] = &plan.steps[..]
    else {
        panic!("{plan:?}");
    };
    assert_eq!(*path, segment);
    assert_eq!(builder(&disk).verify().unwrap().damage, []);
    assert!(!rows(&disk).is_empty());
}

/// Nobody is told to repair what is no database yet, and nothing is made there.
#[test]
fn what_an_interrupted_creation_leaves_gets_no_identity() {
    for call in 0.. {
        let disk = SimDisk::new();
        disk.inject(Fault::FromCall(call));
        let made = builder(&disk).create();
        let left = disk.after_kill();
        if left.open(&identity()).is_ok() {
            assert!(made.is_ok() || call > 10, "call {call}");
            break;
        }
        for repaired in [builder(&left).plan_repair(), builder(&left).repair()] {
            let kind = repaired.as_ref().map_err(tidestone::Error::kind);
            assert_eq!(kind, Err(ErrorKind::NotFound), "call {call}: {repaired:?}");
        }
        assert_eq!(left.changes(), 0, "call {call}");
    }
}
