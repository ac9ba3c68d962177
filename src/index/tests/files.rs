//! What becomes of the folder: clean closes, crashes, damage.

#![expect(
    clippy::disallowed_methods,
    reason = "RocksDB's folder does not go through `io`, and these tests look into it"
)]

use std::collections::BTreeSet;
use std::fs;

use super::*;

#[track_caller]
fn unusable(dir: &Path, expected: &str) {
    match Index::open(dir, MEMORY, DATABASE).unwrap() {
        Opened::Ready(..) => panic!("opened"),
        Opened::Unusable { why } => assert!(why.contains(expected), "{why}"),
    }
}

#[test]
fn a_flushed_index_opens_as_it_was() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("index");
    let index = create(&folder);
    index.apply(&hosts(1, 1000), applied(12)).unwrap();
    index.flush().unwrap();
    let stats = index.stats().unwrap();
    assert!(stats.disk_bytes > 10_000, "{stats:?}");
    assert!(stats.memory_bytes > 0, "{stats:?}");
    drop(index);
    let (index, now) = ready(&folder);
    assert_eq!(now, applied(12));
    assert_eq!(index.verify().unwrap(), 1000);
    // While it is open, no other may take it for lost.
    let locked = Index::open(&folder, MEMORY, DATABASE).err().unwrap();
    assert_eq!(locked.kind(), ErrorKind::Locked, "{locked}");
    drop(index);
    let index = create(&folder);
    assert_eq!(index.verify().unwrap(), 0);
    drop(index);
    assert_eq!(ready(&folder).1, applied(0));
}

/// `tidestone rebuild-index` told to run `tidestone rebuild-index`.
#[test]
fn where_no_index_can_be_made_nobody_is_told_to_make_one() {
    // A folder in which none can be made, whoever asks.
    let made = Index::create(Path::new("/proc/index"), MEMORY, DATABASE, applied(0));
    let error = made.err().unwrap().to_string();
    assert!(error.contains("can be read and written"), "{error}");
    assert!(!error.contains("rebuild-index"), "{error}");
}

/// What a killed process leaves: the files as they are, nothing of what is in memory. A copy during
/// which files came or went (RocksDB merges in the background) is of no one moment: it is made anew.
fn crash_of(dir: &Path) -> TempDir {
    loop {
        let copy = TempDir::new().unwrap();
        let before = names(dir).unwrap();
        let copied = before
            .iter()
            .try_for_each(|name| fs::copy(dir.join(name), copy.path().join(name)).map(drop));
        match copied {
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::NotFound, "{e}"),
            Ok(()) if names(dir).unwrap() == before => return copy,
            Ok(()) => {}
        }
    }
}

#[test]
fn a_crash_leaves_an_earlier_moment_whole() {
    let dir = TempDir::new().unwrap();
    let index = create(dir.path());
    assert_eq!(ready(crash_of(dir.path()).path()).1, applied(0));
    for round in 1..=5 {
        index
            .apply(&hosts(round * 1000, 100), applied(round * 10))
            .unwrap();
        index.flush().unwrap();
        index
            .apply(&hosts(round * 1000 + 500, 100), applied(round * 10 + 1))
            .unwrap();
        let crash = crash_of(dir.path());
        let (after, now) = ready(crash.path());
        assert_eq!(now, applied(round * 10));
        assert_eq!(after.verify().unwrap(), 200 * round - 100);
        // Catching up may begin before that moment.
        for again in 1..=round {
            after
                .apply(&hosts(again * 1000, 100), applied(again * 10))
                .unwrap();
            after
                .apply(&hosts(again * 1000 + 500, 100), applied(again * 10 + 1))
                .unwrap();
        }
        assert_eq!(after.verify().unwrap(), 200 * round);
    }
    drop(index);
    let (index, now) = ready(dir.path());
    assert!(now.lsn <= applied(51).lsn);
    assert_eq!(
        index.verify().unwrap(),
        if now == applied(51) { 1000 } else { 900 }
    );
}

#[test]
fn what_was_forgotten_is_durable_with_the_name_of_the_forgetting() {
    let dir = TempDir::new().unwrap();
    let index = create(dir.path());
    let all = hosts(1, 100);
    index.apply(&all, applied(7)).unwrap();
    index.flush().unwrap();
    let before = crash_of(dir.path());
    for (name, gone) in (1..).zip(all.chunks(50)) {
        let as_of = forgetting(name - 1, name);
        index.remove(gone, as_of).unwrap();
        let crash = crash_of(dir.path());
        let (after, now) = ready(crash.path());
        assert_eq!(after.verify().unwrap(), 100 - 50 * u64::from(name));
        let expected = Applied {
            forgetting: as_of,
            ..applied(7)
        };
        assert_eq!(now, expected, "what it has taken in is as before");
    }
    let (_, then) = ready(before.path());
    assert!(!then.forgetting.has_all_of(FileUuid([1; 16])));
}

#[test]
fn full_write_buffers_are_flushed_as_one_moment() {
    let dir = TempDir::new().unwrap();
    let index = Index::create(dir.path(), 1 << 20, DATABASE, applied(0)).unwrap();
    let mut moments = BTreeSet::new();
    for batch in 1..=100 {
        index
            .apply(&hosts(batch * 200, 200), applied(batch))
            .unwrap();
        if batch % 10 != 0 {
            continue;
        }
        // Files come and go, and grow, while they are copied, so some copies are of no use.
        let crash = crash_of(dir.path());
        let opened = Index::open(crash.path(), MEMORY, DATABASE).unwrap();
        if let Opened::Ready(after, now) = opened
            && let Ok(series) = after.verify()
        {
            assert_eq!(series, now.lsn.0 * 200);
            moments.insert(now.lsn.0);
        }
    }
    assert!(
        moments.last() > Some(&0),
        "nothing was flushed: {moments:?}"
    );
    assert_eq!(index.verify().unwrap(), 20_000);
    let stats = index.stats().unwrap();
    assert!(stats.memory_bytes < 3 << 20, "{stats:?}");
}

#[test]
fn what_is_no_index_is_unusable_and_replaced() {
    let dir = TempDir::new().unwrap();
    let check = |name: &str, prepare: &dyn Fn(&Path), why: &str| {
        let path = dir.path().join(name);
        prepare(&path);
        let before = names(&path);
        unusable(&path, why);
        assert_eq!(names(&path), before, "{name}: opening changed the folder");
        let index = create(&path);
        index.apply(&hosts(1, 10), applied(1)).unwrap();
        index.flush().unwrap();
        drop(index);
        assert_eq!(ready(&path).1, applied(1));
    };
    check("missing", &|_| {}, "no index");
    check("empty", &|p| fs::create_dir(p).unwrap(), "holds no index");
    check(
        "file",
        &|p| fs::write(p, b"x").unwrap(),
        "a file is in the place",
    );
    let garbage = |p: &Path| {
        fs::create_dir_all(p.join("sub/sub")).unwrap();
        fs::write(p.join("MANIFEST-000001"), b"garbage").unwrap();
        fs::write(p.join("sub/000007.sst"), b"garbage").unwrap();
    };
    check("garbage", &garbage, "holds no index");
    fs::write(dir.path().join("plain"), b"x").unwrap();
    let path = dir.path().join("plain/index");
    unusable(&path, "a file is in the place");
    assert!(Index::create(&path, MEMORY, DATABASE, applied(0)).is_err());
}

fn names(path: &Path) -> Option<BTreeSet<String>> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    Some(fs::read_dir(path).ok()?.map(|e| name(e.unwrap())).collect())
}

#[test]
fn foreign_and_other_layouts_are_unusable() {
    let dir = TempDir::new().unwrap();
    drop(Index::create(dir.path(), MEMORY, FileUuid([1; 16]), applied(0)).unwrap());
    unusable(dir.path(), "belongs to database 01010101-0101");

    let index = create(dir.path());
    let set_state = |index: &Index, bytes: &[u8]| {
        let mut batch = index.store.batch().unwrap();
        batch.put(Family::Meta, layout::STATE, bytes);
        index.store.write(batch).unwrap();
        index.flush().unwrap();
    };
    let mut other = State::new(DATABASE, applied(1)).encode().unwrap();
    other[0] = layout::VERSION + 1;
    set_state(&index, &other);
    drop(index);
    unusable(dir.path(), "layout version 3, this program writes 2");

    for (state, why) in [
        (&b""[..], "state is empty"),
        (&[layout::VERSION, 1, 2], "state is damaged"),
        (&[layout::VERSION; 90], "its state has 89 bytes"),
    ] {
        let index = create(dir.path());
        set_state(&index, state);
        drop(index);
        unusable(dir.path(), why);
    }

    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let other = dir.path().join("other");
    drop(rocksdb::DB::open(&options, &other).unwrap());
    unusable(&other, "olumn famil");
}

#[test]
fn damaged_files_are_unusable_or_errors() {
    let dir = TempDir::new().unwrap();
    let index = create(dir.path());
    index.apply(&hosts(1, 3000), applied(1)).unwrap();
    index.flush().unwrap();
    drop(index);
    let names = names(dir.path()).unwrap();
    let tables = names.iter().filter(|n| n.ends_with(".sst")).count();
    assert!(tables >= 4, "{names:?}");
    for name in &names {
        let essential = name == "CURRENT" || name.starts_with("MANIFEST") || name.ends_with(".sst");
        for damage in ["removed", "emptied", "halved", "garbage", "flipped"] {
            let copy = crash_of(dir.path());
            let path = copy.path().join(name);
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                "removed" => fs::remove_file(&path).unwrap(),
                "emptied" => bytes.clear(),
                "halved" => bytes.truncate(bytes.len() / 2),
                "garbage" => bytes.fill(0xA5),
                _ => bytes
                    .iter_mut()
                    .skip(20)
                    .step_by(97)
                    .for_each(|b| *b ^= 0x10),
            }
            if damage != "removed" {
                fs::write(&path, &bytes).unwrap();
            }
            let opened = Index::open(copy.path(), MEMORY, DATABASE);
            let noticed = match opened.unwrap() {
                Opened::Unusable { why } => {
                    assert!(!why.is_empty());
                    true
                }
                // It may open; then it answers in full or with an error.
                Opened::Ready(index, now) => match index.verify() {
                    Ok(series) => {
                        let series_then = if now == applied(1) { 3000 } else { 0 };
                        assert_eq!(series, series_then, "{name} {damage}");
                        false
                    }
                    Err(e) => {
                        assert!(
                            matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Io),
                            "{e}"
                        );
                        assert_eq!(e.path(), Some(copy.path()), "{e}");
                        true
                    }
                },
            };
            // The end of a manifest may be torn, which is then an earlier moment.
            let torn = name.starts_with("MANIFEST") && damage == "halved";
            if essential && damage != "flipped" && !torn {
                assert!(noticed, "{name} {damage} was not noticed");
            }
        }
    }
}
