//! Files that are made, recycled and removed where a call fails.

use super::*;

/// The first of the complete files was forgotten then, and the next ones went before it: a log with a gap.
#[test]
fn a_file_that_could_not_be_recycled_or_removed_stays_the_first_to_go() {
    let do_jobs = |log: &Log| {
        loop {
            let job = log.state.lock().files.next_job(&log.settings);
            let Some(job) = job else { return };
            let outcome = crate::wal::files::run_job(&*log.disk, &log.settings, job);
            log.state.lock().files.finish_job(outcome);
        }
    };
    let payload = [5; 30_000];
    let frame = Frame::Encoded {
        kind: FrameKind::Batch,
        payload: &payload,
        payload_crc: crc32(&payload),
    };
    let write = |log: &Log, frames: usize| {
        for _ in 0..frames {
            let lsn = loop {
                match log.try_append(frame).unwrap() {
                    Some(lsn) => break lsn,
                    None => do_jobs(log),
                }
            };
            log.sync_to(lsn).unwrap();
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
