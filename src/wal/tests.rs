//! The log on a simulated disk: what is there after power losses, faults and damage.

mod damage;
mod files;
mod races;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use tidestone_format::checksum::crc32;
use tidestone_format::version::LOG_PAGE;

use super::*;
use crate::clock::ManualClock;
use crate::io::{Fault, OsDisk, SimDisk};

const DIR: &str = "/db/wal";
const DATABASE: FileUuid = FileUuid([1; 16]);
const INCARNATION: FileUuid = FileUuid([2; 16]);
const FILE_LEN: u64 = 64 << 10;

/// Frames by LSN.
type Frames = BTreeMap<u64, Vec<u8>>;

fn settings(dir: &Path) -> LogSettings {
    LogSettings {
        dir: dir.to_owned(),
        database: DATABASE,
        incarnation: INCARNATION,
        file_len: FILE_LEN,
        write_behind: 1 << 20,
        pending_max: 4 << 20,
        retained_max: 4 * FILE_LEN,
    }
}

fn new_disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.sync_dir(Path::new("/db")).unwrap();
    disk
}

fn start_of_new() -> Start {
    Start {
        next_lsn: Lsn(1),
        file_number: 1,
        cut: None,
        old: Vec::new(),
        flushed: Lsn(0),
        recycle: None,
    }
}

fn new_log(disk: &SimDisk) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::start(disk, settings(Path::new(DIR)), start_of_new()).unwrap()
}

/// What replay of the log in `disk` gives.
fn read(disk: &SimDisk, flushed: u64) -> Result<(Frames, replay::Replay)> {
    let mut frames = Frames::new();
    let found = replay(
        &LogFiles {
            disk,
            dir: Path::new(DIR),
            database: DATABASE,
            incarnation: INCARNATION,
            mapped: true,
        },
        Lsn(flushed),
        Missing::Refused,
        |frame| {
            frames.insert(frame.header.lsn.0, frame.payload.to_vec());
            Ok(())
        },
    )?;
    Ok((frames, found))
}

/// Replays, removes what is unused and starts a log behind it, as opening a database does.
fn reopen(disk: &SimDisk, flushed: u64) -> Result<(Frames, Log)> {
    let (frames, found) = read(disk, flushed)?;
    make_durable(disk, Path::new(DIR), &found.unproven)?;
    let settings = settings(Path::new(DIR));
    let mut start = found.start;
    start.recycle = remove_unused(disk, Path::new(DIR), &found.unused, settings.file_len)?;
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let log = Log::start(disk, settings, start)?;
    Ok((frames, log))
}

/// Runs `body` beside the log's two threads and ends them afterwards.
fn running<R>(log: &Log, body: impl FnOnce() -> R) -> R {
    struct End<'a>(&'a Log);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            let mut state = self.0.state.lock();
            state.closing = true;
            self.0.work.notify_all();
            self.0.file_work.notify_all();
            self.0.progress.notify_all();
        }
    }
    std::thread::scope(|scope| {
        scope.spawn(|| log.run_log_thread());
        scope.spawn(|| log.run_file_thread());
        let _end = End(log);
        body()
    })
}

/// Awaits an LSN in a place of its own.
fn poll(log: &Log, lsn: Lsn, waker: &Waker) -> Option<Result<()>> {
    log.poll(lsn, true, &mut Place::default(), waker)
}

fn append(log: &Log, payload: &[u8]) -> Result<Lsn> {
    let frame = Frame::Encoded {
        kind: FrameKind::Batch,
        payload,
        payload_crc: crc32(payload),
    };
    log.append(frame, None)
}

/// Pseudo-random numbers that depend on the seed only.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn payload(&mut self) -> Vec<u8> {
        let len = match self.roll(20) {
            0 => 20_000,
            1..4 => 5_000,
            _ => 100,
        };
        let (len, byte) = (self.roll(len), self.roll(255) + 1);
        vec![u8::try_from(byte).unwrap(); usize::try_from(len).unwrap()]
    }
}

fn log_files(disk: &SimDisk) -> Vec<PathBuf> {
    let paths = disk.paths().into_iter();
    paths
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect()
}

#[test]
fn one_sync_makes_all_frames_before_it_durable_in_order() {
    let disk = new_disk();
    let log = new_log(&disk);
    let lsns: Vec<u64> = (0..3).map(|i| append(&log, &[i; 10]).unwrap().0).collect();
    assert_eq!(lsns, [1, 2, 3]);
    assert_eq!(log.durable_lsn(), Lsn(0));
    assert!(read(&disk, 0).unwrap().0.is_empty(), "nothing was written");
    let before = disk.syncs();
    log.sync_to(Lsn(2)).unwrap();
    assert_eq!((disk.syncs() - before, log.durable_lsn()), (1, Lsn(3)));
    log.sync_to(Lsn(3)).unwrap();
    assert_eq!((disk.syncs() - before, log.syncs()), (1, 1));
    let (frames, found) = read(&disk.after_power_loss(|_| false), 0).unwrap();
    assert_eq!(frames.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(frames[&3], [2; 10]);
    assert!(found.tail.is_none() && found.start.next_lsn == Lsn(4));
}

#[test]
fn writing_without_sync_survives_a_crash_of_the_process_only() {
    let disk = new_disk();
    let log = new_log(&disk);
    log.write_to(append(&log, b"x").unwrap()).unwrap();
    assert_eq!(log.durable_lsn(), Lsn(0));
    assert_eq!(read(&disk, 0).unwrap().0.len(), 1);
    assert!(
        read(&disk.after_power_loss(|_| false), 0)
            .unwrap()
            .0
            .is_empty()
    );
    log.write_to(append(&log, b"y").unwrap()).unwrap();
    log.sync_to(Lsn(1)).unwrap();
    assert_eq!(
        log.durable_lsn(),
        Lsn(2),
        "both groups were written before the sync"
    );
    assert_eq!(
        read(&disk.after_power_loss(|_| false), 0).unwrap().0.len(),
        2
    );
}

#[test]
fn the_durable_lsn_is_never_ahead_of_synced_bytes() {
    let disk = new_disk();
    let log = new_log(&disk);
    let done = AtomicBool::new(false);
    running(&log, || {
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|t| {
                    let log = &log;
                    scope.spawn(move || {
                        let mut dice = Dice(t);
                        for i in 0..150 {
                            let lsn = append(log, &dice.payload()).unwrap();
                            match i % 3 {
                                0 => log.sync_to(lsn).unwrap(),
                                1 => log.request(lsn, true),
                                _ => log.write_to(lsn).unwrap(),
                            }
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let durable = log.durable_lsn().0;
                    let left = disk.after_power_loss(|_| false);
                    let (frames, _) = read(&left, 0).unwrap();
                    assert!(
                        frames.len() as u64 >= durable,
                        "{} < {durable}",
                        frames.len()
                    );
                    assert!(frames.keys().copied().eq(1..=frames.len() as u64));
                }
            });
            writers.into_iter().for_each(|w| w.join().unwrap());
            done.store(true, Ordering::SeqCst);
        });
    });
}

#[test]
fn large_frames_get_files_of_their_own() {
    let disk = new_disk();
    let log = new_log(&disk);
    let sizes = [
        10,
        40_000,
        40_000,
        200_000,
        10,
        65_536 - 4096 - 64,
        300_000,
        1,
    ];
    running(&log, || {
        for (i, size) in sizes.into_iter().enumerate() {
            let lsn = append(&log, &vec![u8::try_from(i).unwrap() + 1; size]).unwrap();
            if i % 2 == 0 {
                log.sync_to(lsn).unwrap();
            }
        }
        log.sync_to(log.last_lsn()).unwrap();
    });
    let (frames, _) = read(&disk.after_power_loss(|_| false), 0).unwrap();
    let found: Vec<usize> = frames.values().map(Vec::len).collect();
    assert_eq!(found, sizes);
    assert!(log_files(&disk).len() >= 5);
    let infos = log.file_infos();
    for (file, next) in infos.iter().zip(&infos[1..]) {
        assert_eq!(next.first.0, file.last.0 + 1, "{infos:?}");
    }
    let long = vec![0; tidestone_format::version::MAX_REGION + 1];
    let error = append(&log, &long).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[test]
fn recycled_files_show_nothing_of_their_earlier_lives() {
    for seed in 0..6 {
        let disk = new_disk();
        let log = new_log(&disk);
        let mut dice = Dice(seed);
        let mut written = Frames::new();
        let mut flushed = 0;
        running(&log, || {
            for _ in 0..400 {
                let payload = dice.payload();
                let lsn = append(&log, &payload).unwrap();
                written.insert(lsn.0, payload);
                if dice.roll(4) == 0 {
                    log.sync_to(lsn).unwrap();
                    let left = disk.after_power_loss(|_| false);
                    let (frames, _) = read(&left, flushed).unwrap();
                    let expected: Frames = written
                        .range(flushed + 1..)
                        .map(|(l, p)| (*l, p.clone()))
                        .collect();
                    assert_eq!(frames, expected, "seed {seed}, LSN {lsn}");
                }
                if dice.roll(20) == 0 {
                    flushed = log.durable_lsn().0;
                    log.trim(Lsn(flushed));
                }
            }
        });
        let highest = log.file_infos().last().unwrap().number;
        assert!(highest > 8, "there was little rotation: {highest}");
        assert!(
            log_files(&disk).len() < usize::try_from(highest).unwrap(),
            "nothing was recycled"
        );
    }
}

/// Waits until `done` holds; the file thread works in the background, however busy the machine is.
#[expect(
    clippy::disallowed_methods,
    reason = "the thread is not told when it is looked at"
)]
fn until(log: &Log, what: &str, mut done: impl FnMut() -> bool) {
    println!("waits for {what}");
    while !done() {
        let mut state = log.state.lock();
        log.progress.wait_for(&mut state, Duration::from_millis(5));
    }
}

#[test]
fn a_consumer_holds_files_back_until_it_is_dropped_for_it() {
    let disk = new_disk();
    let log = new_log(&disk);
    running(&log, || {
        let fill = || {
            let lsn = append(&log, &vec![1; 50_000]).unwrap();
            log.sync_to(lsn).unwrap();
            log.trim(lsn);
        };
        fill();
        log.set_consumer("mirror", Lsn(0)).unwrap();
        (0..3).for_each(|_| fill());
        assert_eq!(
            log.file_infos()[0].first,
            Lsn(1),
            "the first file is still there"
        );
        assert_eq!(log.dropped_consumer(), None);
        log.set_consumer("mirror", Lsn(2)).unwrap();
        fill();
        until(&log, "recycling up to the consumer", || {
            log.file_infos()[0].first > Lsn(1)
        });
        (0..6).for_each(|_| fill());
        until(&log, "dropping the consumer", || {
            log.file_infos().iter().map(|f| f.len).sum::<u64>() <= 5 * FILE_LEN
        });
        for _ in ["told", "not written down"] {
            let dropped = Some(("mirror".to_owned(), Lsn(2)));
            assert_eq!(log.dropped_consumer(), dropped);
        }
        log.forget_dropped_consumer("mirror");
        assert_eq!(log.dropped_consumer(), None);
        log.set_consumer("backup", log.last_lsn()).unwrap();
        log.remove_consumer("backup");
    });
}

#[test]
fn after_a_power_loss_every_acknowledged_frame_is_there_and_the_rest_is_a_prefix() {
    for seed in 0..120 {
        let mut dice = Dice(seed);
        let mut disk = new_disk();
        let mut written = Frames::new();
        let (mut durable, mut highest) = (0, 0);
        let mut log = new_log(&disk);
        for life in 0..4 {
            running(&log, || {
                for _ in 0..dice.roll(60) {
                    let payload = dice.payload();
                    let lsn = append(&log, &payload).unwrap();
                    assert!(lsn.0 > highest, "seed {seed}: LSN {lsn} was given before");
                    highest = lsn.0;
                    written.insert(lsn.0, payload);
                    match dice.roll(6) {
                        0 => log.sync_to(lsn).unwrap(),
                        1 | 2 => log.write_to(lsn).unwrap(),
                        _ => {}
                    }
                }
                // What is below a log that was cut counts as durable and may name no frame.
                let synced = written.range(..=log.durable_lsn().0).next_back();
                durable = synced.map_or(0, |(lsn, _)| *lsn);
            });
            let odds = dice.roll(5);
            disk = disk.after_power_loss(|_| dice.roll(4) < odds);
            // Power fails again, right after (or while) the log is opened.
            for _ in 0..dice.roll(3) {
                if dice.roll(2) == 0 {
                    disk.inject(Fault::FromCall(dice.roll(12)));
                }
                let _ = reopen(&disk, 0);
                disk = disk.after_power_loss(|_| dice.roll(2) == 0);
            }
            let opened = reopen(&disk, 0);
            let (frames, next) = opened.unwrap_or_else(|e| panic!("seed {seed}, life {life}: {e}"));
            // LSNs have gaps where a log was cut.
            let last = frames.keys().next_back().copied().unwrap_or(0);
            assert!(
                last >= durable,
                "seed {seed}, life {life}: {last} of {durable}"
            );
            written.retain(|lsn, _| *lsn <= last);
            assert_eq!(frames, written, "seed {seed}, life {life}: a prefix");
            (durable, highest) = (last, last);
            log = next;
        }
    }
}

#[test]
fn lsns_of_a_cut_tail_are_not_given_again() {
    let mut disk = new_disk();
    let log = new_log(&disk);
    running(&log, || {
        log.sync_to(append(&log, b"kept").unwrap()).unwrap();
        log.write_to(append(&log, &[1; 50_000]).unwrap()).unwrap();
        log.write_to(append(&log, &[2; 50_000]).unwrap()).unwrap();
    });
    // Of the unsynced pages only those of the second file persist.
    disk = disk.after_power_loss(|page| page > 13);
    for _ in 0..3 {
        let (frames, log) = reopen(&disk, 0).unwrap();
        assert_eq!(frames.len(), 1);
        assert!(log.last_lsn() >= Lsn(3), "{:?}", log.last_lsn());
        disk = disk.after_power_loss(|_| true);
    }
}

#[test]
fn lsns_of_a_cut_tail_of_small_frames_in_one_file_are_not_given_again() {
    for lost in [1..2, 1..3, 1..4, 3..4, 1..1] {
        let mut disk = new_disk();
        let log = new_log(&disk);
        log.sync_to(append(&log, b"kept").unwrap()).unwrap();
        log.write_to(append(&log, b"a page of its own").unwrap())
            .unwrap();
        // Two pages, of which the first has two frames and the header of a third.
        append(&log, b"small").unwrap();
        append(&log, b"small").unwrap();
        log.write_to(append(&log, &[5; 5_000]).unwrap()).unwrap();
        disk = disk.after_power_loss(|page| !lost.contains(&page));
        let highest = match lost.contains(&2) {
            true if lost.contains(&1) => 1,
            true => 2,
            false => 5,
        };
        for _ in 0..3 {
            let (_, log) = reopen(&disk, 0).unwrap();
            let last = log.last_lsn();
            assert_eq!(last, Lsn(highest), "without pages {lost:?}");
            disk = disk.after_power_loss(|_| true);
        }
    }
}

/// What was cut is nothing that a consumer misses.
#[test]
fn a_cursor_at_a_cut_is_served() {
    let disk = new_disk();
    let log = new_log(&disk);
    running(&log, || {
        log.sync_to(append(&log, b"kept").unwrap()).unwrap();
        log.write_to(append(&log, &[1; 50_000]).unwrap()).unwrap();
        log.write_to(append(&log, &[2; 50_000]).unwrap()).unwrap();
    });
    let disk = disk.after_power_loss(|page| page > 13);
    let (_, log) = reopen(&disk, 0).unwrap();
    let served = |log: &Log| {
        log.set_consumer("mirror", Lsn(1)).unwrap();
        log.set_consumer("mirror", Lsn(0)).unwrap_err();
    };
    // Before the thread that makes the next file looks for one.
    log.trim(Lsn(1));
    log.sync_to(append(&log, b"more").unwrap()).unwrap();
    running(&log, || {
        until(&log, "recycling the file that was cut", || {
            log.file_infos()[0].first > Lsn(1)
        });
        served(&log);
    });
    let (frames, log) = reopen(&disk, 1).unwrap();
    assert_eq!(frames.len(), 1);
    served(&log);
}

#[test]
fn a_damaged_acknowledged_frame_is_named_and_nothing_is_cut() {
    let disk = new_disk();
    let log = new_log(&disk);
    for i in 0..4 {
        log.sync_to(append(&log, &[i + 1; 5_000]).unwrap()).unwrap();
    }
    let path = log_files(&disk)[0].clone();
    // Frames of 5,064 bytes: groups of two pages each behind the header's page.
    let place = |frame: u64| LOG_PAGE as u64 * (1 + 2 * frame);
    let check = |frame: u64, within: usize, expected: Option<u64>| {
        let damaged = disk.after_power_loss(|_| false);
        let at = usize::try_from(place(frame)).unwrap() + within;
        damaged.damage(&path, |bytes| bytes[at] ^= 0x10).unwrap();
        match (read(&damaged, 0), expected) {
            (Err(error), Some(offset)) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert_eq!(error.path(), Some(&*path), "{error}");
                assert_eq!(error.offset(), Some(offset), "{error}");
                let text = error.to_string();
                for word in ["acknowledged", "verify", "repair"] {
                    assert!(text.contains(word), "{word:?} is missing: {text}");
                }
            }
            (Ok((frames, found)), None) => {
                assert_eq!(frames.len() as u64, frame);
                assert!(found.tail.is_some());
            }
            (result, _) => panic!("frame {frame}, byte {within}: {result:?}"),
        }
    };
    for frame in 0..3 {
        for within in [0, 5, 33, 64, 5_000] {
            check(frame, within, Some(place(frame)));
        }
    }
    // Nothing says that the last one was acknowledged.
    check(3, 64, None);
}

#[test]
fn a_log_with_a_hole_is_refused() {
    let disk = new_disk();
    let log = new_log(&disk);
    running(&log, || {
        for _ in 0..12 {
            log.sync_to(append(&log, &[7; 20_000]).unwrap()).unwrap();
        }
    });
    let files = log_files(&disk);
    let without = |path: &Path| {
        let less = disk.after_power_loss(|_| false);
        less.remove(path).unwrap();
        less.sync_dir(Path::new(DIR)).unwrap();
        less
    };
    let error = read(&without(&files[0]), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("older log file is missing"),
        "{error}"
    );
    let error = read(&without(&files[1]), 0).unwrap_err();
    assert_eq!(
        (error.kind(), error.path()),
        (ErrorKind::Corrupt, Some(&*files[0]))
    );
    let none = without(&files[0]);
    for path in &files[1..] {
        none.remove(path).unwrap();
    }
    let error = read(&none, 0).unwrap_err();
    assert!(error.to_string().contains("no log file"), "{error}");
}

#[test]
fn a_hole_is_seen_even_if_no_frame_follows_it() {
    let disk = new_disk();
    let log = new_log(&disk);
    log.sync_to(append(&log, b"one").unwrap()).unwrap();
    let (_, log) = reopen(&disk, 0).unwrap();
    log.sync_to(append(&log, b"two").unwrap()).unwrap();
    let (frames, _third) = reopen(&disk, 0).unwrap();
    assert_eq!(frames.len(), 2);
    disk.remove(&log_files(&disk)[1]).unwrap();
    let error = read(&disk, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn what_a_reopened_log_holds_survives_a_power_loss_behind_it() {
    let disk = new_disk();
    let log = new_log(&disk);
    log.write_to(append(&log, b"in the page cache").unwrap())
        .unwrap();
    // The process ends here, the machine does not: the frame is read, and counts as durable.
    let (frames, log) = reopen(&disk, 0).unwrap();
    assert_eq!((frames.len(), log.durable_lsn()), (1, Lsn(1)));
    let (frames, _) = read(&disk.after_power_loss(|_| false), 0).unwrap();
    assert_eq!(frames.len(), 1);
}

#[test]
fn a_failed_sync_poisons_with_its_first_cause() {
    let disk = new_disk();
    let log = new_log(&disk);
    log.sync_to(append(&log, b"kept").unwrap()).unwrap();
    disk.inject(Fault::OnceAtSync(0));
    let lsn = append(&log, b"lost").unwrap();
    let first = log.sync_to(lsn).unwrap_err();
    assert_eq!(first.kind(), ErrorKind::Poisoned, "{first}");
    assert!(
        first.to_string().contains("injected failure of sync"),
        "{first}"
    );
    let syncs = disk.syncs();
    for error in [
        append(&log, b"more").unwrap_err(),
        log.sync_to(lsn).unwrap_err(),
        log.wait_to(lsn, true, None).unwrap_err(),
        poll(&log, lsn, Waker::noop()).unwrap().unwrap_err(),
        log.close().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert!(
            error.to_string().contains("injected failure of sync"),
            "{error}"
        );
    }
    assert_eq!(disk.syncs(), syncs, "nothing is tried again");
    log.sync_to(Lsn(1)).unwrap();
    assert_eq!(log.durable_lsn(), Lsn(1));
    assert_eq!(
        read(&disk.after_power_loss(|_| false), 0).unwrap().0.len(),
        1
    );
    running(&log, || {}); // the threads end by themselves
}

#[test]
fn a_full_disk_is_an_error_while_it_is_full_and_no_longer() {
    let disk = new_disk();
    let log = new_log(&disk);
    running(&log, || {
        let fill = |log: &Log| {
            let lsn = append(log, &[3; 30_000])?;
            log.sync_to(lsn)
        };
        fill(&log).unwrap();
        until(&log, "a file made ahead", || log_files(&disk).len() == 2);
        disk.inject(Fault::Capacity(2 * FILE_LEN + 4096));
        let mut refused = 0;
        for _ in 0..12 {
            if let Err(error) = fill(&log) {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                assert!(error.path().is_some(), "{error}");
                refused += 1;
            }
        }
        assert!(refused >= 8, "{refused}");
        assert!(log.poisoned().is_none());
        disk.heal();
        for _ in 0..4 {
            fill(&log).unwrap();
        }
    });
    let (frames, _) = read(&disk.after_power_loss(|_| false), 0).unwrap();
    assert_eq!(
        frames.len() as u64,
        log.last_lsn().0,
        "a refused frame takes no LSN"
    );
}

#[test]
fn a_disk_that_was_full_while_nobody_waited_is_tried_again() {
    let disk = new_disk();
    let log = new_log(&disk);
    running(&log, || {
        until(&log, "a file made ahead", || log_files(&disk).len() == 2);
        disk.inject(Fault::Capacity(2 * FILE_LEN));
        log.sync_to(append(&log, &[3; 50_000]).unwrap()).unwrap();
        log.sync_to(append(&log, &[3; 50_000]).unwrap()).unwrap();
        until(&log, "a failure", || log.state.lock().files.has_failed());
        disk.heal();
        log.sync_to(append(&log, &[3; 50_000]).unwrap()).unwrap();
    });
}

#[test]
fn a_timeout_ends_the_wait_whatever_else_happens() {
    let disk = new_disk();
    let log = new_log(&disk);
    let lsn = append(&log, b"x").unwrap();
    let (clock, done) = (ManualClock::new(0), AtomicBool::new(false));
    let deadline = Deadline::at(&clock, 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                log.progress.notify_all();
                std::thread::yield_now();
            }
        });
        let waits = scope.spawn(|| log.wait_to(lsn, true, Some(deadline)));
        clock.advance(1);
        log.clock_moved();
        let durable = waits.join().unwrap();
        done.store(true, Ordering::SeqCst);
        assert!(!durable.unwrap());
    });
}

/// Wakes the thread that waits in [`block_on`].
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait_async(log: &Log, lsn: Lsn) -> Result<()> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut place = Place::default();
    loop {
        match log.poll(lsn, true, &mut place, &waker) {
            Some(done) => return done,
            None => {
                log.request(lsn, true);
                std::thread::park();
            }
        }
    }
}

#[test]
fn polling_again_and_again_keeps_one_waker() {
    let disk = new_disk();
    let log = new_log(&disk);
    let lsn = append(&log, b"x").unwrap();
    let mut place = Place::default();
    let kept = || log.state.lock().wakers.len();
    for _ in 0..100 {
        // Of another task each time: the last one counts.
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        assert!(log.poll(lsn, true, &mut place, &waker).is_none());
    }
    assert_eq!(kept(), 1);
    log.leave(&mut place);
    assert_eq!(kept(), 0);
}

#[test]
fn many_threads_commit_on_real_files() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::start(Arc::new(OsDisk), settings(folder.path()), start_of_new()).unwrap();
    const THREADS: u64 = 6;
    const EACH: u64 = 60;
    let written = Mutex::new(Frames::new());
    running(&log, || {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (log, written) = (&log, &written);
                scope.spawn(move || {
                    let mut dice = Dice(thread);
                    for i in 0..EACH {
                        let payload = dice.payload();
                        let lsn = append(log, &payload).unwrap();
                        match (thread + i) % 4 {
                            0 => wait_async(log, lsn).unwrap(),
                            1 => {
                                log.request(lsn, true);
                                assert!(log.wait_to(lsn, true, None).unwrap());
                            }
                            2 => log.write_to(lsn).unwrap(),
                            _ => log.sync_to(lsn).unwrap(),
                        }
                        assert!((thread + i) % 4 == 2 || log.durable_lsn() >= lsn);
                        written.lock().insert(lsn.0, payload);
                    }
                });
            }
        });
        log.sync_to(log.last_lsn()).unwrap();
    });
    let mut frames = Frames::new();
    replay(
        &LogFiles {
            disk: &OsDisk,
            dir: folder.path(),
            database: DATABASE,
            incarnation: INCARNATION,
            mapped: true,
        },
        Lsn(0),
        Missing::Refused,
        |frame| {
            frames.insert(frame.header.lsn.0, frame.payload.to_vec());
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(frames, *written.lock());
    assert!(
        log.syncs() < THREADS * EACH,
        "no commit shared a sync: {}",
        log.syncs()
    );
}

/// A batch of `rows` rows of one field, to be encoded when it is written.
fn rows_of(series: u64, rows: usize) -> Arc<BatchRows> {
    use tidestone_format::column::{Column, Values};
    use tidestone_format::{FieldId, SeriesId, TableId};
    let column = Column {
        values: Values::I64(vec![i64::try_from(series).unwrap(); rows]),
        validity: None,
    };
    let rows = crate::rows::Rows {
        series: vec![SeriesId(series); rows],
        times: (0..).take(rows).collect(),
        columns: vec![(FieldId(1), column)],
    };
    Arc::new(BatchRows::new(vec![(TableId(1), Arc::new(rows))]).unwrap())
}

#[test]
fn frames_encoded_late_stand_where_they_were_appended() {
    let disk = new_disk();
    let log = new_log(&disk);
    let mut dice = Dice(1);
    let mut expected = Frames::new();
    running(&log, || {
        for i in 1..=200 {
            let (lsn, payload) = match dice.roll(2) {
                0 => {
                    let payload = dice.payload();
                    (append(&log, &payload).unwrap(), payload)
                }
                _ => {
                    let rows = rows_of(i, usize::try_from(dice.roll(1_000) + 1).unwrap());
                    let mut payload = Vec::new();
                    rows.encode(&mut payload).unwrap();
                    (log.append(Frame::Rows(&rows), None).unwrap(), payload)
                }
            };
            expected.insert(lsn.0, payload);
            if dice.roll(10) == 0 {
                log.sync_to(lsn).unwrap();
            }
        }
        log.sync_to(log.last_lsn()).unwrap();
    });
    let (frames, _) = read(&disk.after_power_loss(|_| false), 0).unwrap();
    assert_eq!(frames, expected);
}

#[test]
fn who_must_not_wait_is_told_when_there_is_no_room() {
    let disk = new_disk();
    let log = new_log(&disk);
    let rows = rows_of(1, 3_000);
    // No thread makes a second file, and two frames do not fit the first.
    assert_eq!(log.try_append(Frame::Rows(&rows)).unwrap(), Some(Lsn(1)));
    assert_eq!(log.try_append(Frame::Rows(&rows)).unwrap(), None);
    running(&log, || {
        log.wait_for_room(Frame::Rows(&rows), None).unwrap();
        assert_eq!(log.try_append(Frame::Rows(&rows)).unwrap(), Some(Lsn(2)));
    });
}
