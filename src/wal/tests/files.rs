//! Files that are made, recycled and removed: where a call fails, and when power goes.

use super::*;
use crate::wal::files::run_job;

/// Does what the file thread would, until there is nothing to do.
fn do_jobs(log: &Log) {
    loop {
        let job = {
            let mut state = log.state.lock();
            let durable = state.durable;
            state.files.next_job(&log.settings, durable)
        };
        let Some(job) = job else { return };
        let outcome = run_job(&*log.disk, &log.settings, job);
        log.state.lock().files.finish_job(outcome);
    }
}

/// Appends a frame, making the file that it needs.
fn append_doing_jobs(log: &Log, payload: &[u8]) -> Lsn {
    let frame = Frame::Encoded {
        kind: FrameKind::Batch,
        payload,
        payload_crc: crc32(payload),
    };
    loop {
        match log.try_append(frame).unwrap() {
            Some(lsn) => return lsn,
            None => do_jobs(log),
        }
    }
}

/// The first of the complete files was forgotten then, and the next ones went before it: a log with a gap.
#[test]
fn a_file_that_could_not_be_recycled_or_removed_stays_the_first_to_go() {
    let write = |log: &Log, frames: usize| {
        for _ in 0..frames {
            log.sync_to(append_doing_jobs(log, &[5; 30_000])).unwrap();
        }
    };
    for call in 0..20 {
        let disk = new_disk();
        let log = new_log(&disk);
        write(&log, 12);
        log.trim(log.last_lsn());
        disk.inject(Fault::OnceIn(DIR, call));
        do_jobs(&log);
        disk.heal();
        for frames in [0, 1, 1, 1, 1, 1, 1] {
            write(&log, frames);
            let current = log.file_infos();
            let numbers: Vec<u64> = current.iter().map(|info| info.number).collect();
            let from = numbers[0];
            assert!(
                numbers
                    .iter()
                    .copied()
                    .eq(from..from + numbers.len() as u64),
                "call {call}: {numbers:?}"
            );
            for path in log_files(&disk) {
                let name = path.file_name().unwrap().to_str().unwrap();
                let number = number_of(name).unwrap();
                assert!(
                    number >= from,
                    "call {call}: {number} was forgotten: {numbers:?}"
                );
            }
        }
        let (frames, _) = read(&disk.after_power_loss(|_| false), 12).unwrap();
        assert_eq!(frames.len(), 6, "call {call}");
        log.trim(log.last_lsn());
        do_jobs(&log);
        let left = log_files(&disk);
        assert!(left.len() <= 4, "call {call}: {left:?}");
    }
}

/// A power loss left no header at all then, and a database that had lost nothing was not opened any more.
#[test]
fn a_file_is_not_recycled_before_the_header_behind_it_is_durable() {
    let disk = new_disk();
    let log = new_log(&disk);
    // Two frames a file; the third is the first of the second file.
    append_doing_jobs(&log, &[1; 20_000]);
    let full = append_doing_jobs(&log, &[2; 20_000]);
    log.sync_to(full).unwrap();
    let behind = append_doing_jobs(&log, &[3; 20_000]);
    log.write_to(behind).unwrap();
    assert_eq!(log.file_infos()[1].first, behind);
    log.trim(full);
    do_jobs(&log);
    assert_eq!(log.file_infos()[0].last, full);
    // Of what was not synced nothing is left.
    let (frames, replayed) = read(&disk.after_power_loss(|_| false), full.0).unwrap();
    assert_eq!(frames.len(), 0);
    assert_eq!(replayed.start.next_lsn, behind);

    log.sync_to(behind).unwrap();
    // The one that is ready is taken, and the next made of the first.
    for payload in [4, 5] {
        append_doing_jobs(&log, &[payload; 20_000]);
    }
    do_jobs(&log);
    assert_eq!(log.file_infos()[0].first, behind);
    let (frames, _) = read(&disk.after_power_loss(|_| false), full.0).unwrap();
    assert_eq!(frames.len(), 1);
}

/// One was back that is older than one that had gone: a log with a gap.
#[test]
fn a_file_is_removed_durably_before_the_next_one_is() {
    let disk = new_disk();
    let log = new_log(&disk);
    for i in 0..8 {
        log.sync_to(append_doing_jobs(&log, &[i; 30_000])).unwrap();
    }
    log.trim(log.last_lsn());
    let before = log_files(&disk).len();
    do_jobs(&log);
    assert!(log_files(&disk).len() + 2 < before, "several are removed");
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let left = disk.after_torn_power_loss(|| dice.roll(2) == 0);
        let numbers = log_files(&left);
        let numbers = numbers.iter().filter_map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            number_of(name)
        });
        let numbers: Vec<u64> = numbers.collect();
        let from = numbers[0];
        let expected: Vec<u64> = (from..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "seed {seed}");
    }
}
