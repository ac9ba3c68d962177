//! What a repair reads of a damaged log.

use std::collections::BTreeSet;

use tidestone_format::header::{FileHeader, FileKind, Specific};
use tidestone_format::log::frame::{FRAME_ALIGN, LogIdentity, decode_frame};

use super::*;

/// The frames that are whole in the files of a log, and the highest LSN that those files say was acknowledged.
fn whole_frames(disk: &SimDisk) -> (BTreeSet<u64>, u64) {
    let (mut whole, mut acknowledged) = (BTreeSet::new(), 0);
    for path in log_files(disk) {
        let bytes = crate::io::read_all(&*disk.open(&path).unwrap()).unwrap();
        let Ok(header) = FileHeader::decode_kind(&bytes, FileKind::Log) else {
            continue;
        };
        if let Specific::Log(log) = header.specific {
            acknowledged = acknowledged.max(log.cut.map_or(0, |cut| cut.last_lsn.0));
        }
        let file = LogIdentity {
            incarnation: header.file,
            file_number: header.number,
        };
        for at in (LOG_PAGE..bytes.len()).step_by(FRAME_ALIGN) {
            let Ok(frame) = decode_frame(&bytes, at as u64, file) else {
                continue;
            };
            whole.insert(frame.header.lsn.0);
            if at.is_multiple_of(LOG_PAGE) {
                acknowledged = acknowledged.max(frame.header.durable_lsn.0);
            }
        }
    }
    (whole, acknowledged)
}

/// What a repair reads of the log, and what it says is lost.
fn read_what_there_is(disk: &SimDisk, flushed: u64) -> (Frames, Vec<Lost>) {
    let (mut frames, mut lost) = (Frames::new(), Vec::new());
    let files = LogFiles {
        disk,
        dir: Path::new(DIR),
        database: DATABASE,
        incarnation: INCARNATION,
        mapped: true,
    };
    replay(&files, Lsn(flushed), Missing::LeftOut(&mut lost), |frame| {
        let last = frames.insert(frame.header.lsn.0, frame.payload.to_vec());
        assert_eq!(last, None, "LSN {} twice", frame.header.lsn);
        Ok(())
    })
    .unwrap();
    (frames, lost)
}

/// A log of a few lives, some of which ended with the power, so that it was cut.
fn log_of_lives(dice: &mut Dice) -> SimDisk {
    let mut disk = new_disk();
    let mut log = new_log(&disk);
    for _ in 0..3 {
        running(&log, || {
            for _ in 0..dice.roll(50) {
                let lsn = append(&log, &dice.payload()).unwrap();
                match dice.roll(4) {
                    0 => log.sync_to(lsn).unwrap(),
                    1 => log.write_to(lsn).unwrap(),
                    _ => {}
                }
            }
        });
        let odds = dice.roll(5);
        disk = disk.after_power_loss(|_| dice.roll(4) < odds);
        log = reopen(&disk, 0).unwrap().1;
    }
    running(&log, || {
        for _ in 0..20 {
            log.sync_to(append(&log, &dice.payload()).unwrap()).unwrap();
        }
    });
    disk
}

/// Damages pages behind the headers: a bit, all of it, or zeros.
fn damage_pages(disk: &SimDisk, dice: &mut Dice) {
    for path in log_files(disk) {
        for _ in 0..dice.roll(4) {
            disk.damage(&path, |bytes| {
                let used = bytes.chunks(LOG_PAGE).skip(1);
                let used = used.filter(|page| page.iter().any(|b| *b != 0)).count();
                let page = 1 + usize::try_from(dice.roll(used as u64 + 1)).unwrap();
                let Some(page) = bytes.chunks_mut(LOG_PAGE).nth(page) else {
                    return;
                };
                match dice.roll(3) {
                    0 => {
                        let at = usize::try_from(dice.roll(LOG_PAGE as u64)).unwrap();
                        page[at] ^= 1 << dice.roll(8);
                    }
                    1 => page.fill(0),
                    _ => page.fill_with(|| u8::try_from(dice.roll(256)).unwrap()),
                }
            })
            .unwrap();
        }
    }
}

#[test]
fn whatever_pages_are_damaged_every_other_frame_is_read_and_what_is_lost_is_told() {
    let mut with_loss = 0;
    for seed in 0..120 {
        let mut dice = Dice(seed);
        let disk = log_of_lives(&mut dice);
        let (sound, _) = read(&disk, 0).unwrap();
        damage_pages(&disk, &mut dice);
        let (whole, acknowledged) = whole_frames(&disk);
        let missing: Vec<u64> = sound
            .keys()
            .copied()
            .filter(|l| !whole.contains(l))
            .collect();
        // Where nothing says that a frame was acknowledged the log ends, as where the power had failed.
        let end = missing.iter().copied().find(|lsn| *lsn > acknowledged);
        let mut expected = sound.clone();
        expected.retain(|lsn, _| whole.contains(lsn) && end.is_none_or(|end| *lsn < end));

        let (frames, lost) = read_what_there_is(&disk, 0);
        let (read, there): (Vec<&u64>, Vec<&u64>) =
            (frames.keys().collect(), expected.keys().collect());
        assert_eq!(read, there, "seed {seed}: {lost:?}");
        assert!(frames == expected, "seed {seed}: other payloads");
        let is_told = |lsn: u64| {
            let told = |lost: &Lost| {
                lost.last
                    .is_some_and(|l| (lost.first.0..=l.0).contains(&lsn))
            };
            lost.iter().any(told)
        };
        for lsn in missing.iter().filter(|lsn| **lsn <= acknowledged) {
            with_loss += 1;
            assert!(is_told(*lsn), "seed {seed}: LSN {lsn} is lost, {lost:?}");
        }
        for lsn in frames.keys() {
            assert!(
                !is_told(*lsn),
                "seed {seed}: LSN {lsn} is not lost, {lost:?}"
            );
        }
        // What was flushed is neither needed nor lost.
        let flushed = sound.keys().nth(sound.len() / 2).copied().unwrap();
        let (frames, lost) = read_what_there_is(&disk, flushed);
        expected.retain(|lsn, _| *lsn > flushed);
        assert!(
            frames.keys().eq(expected.keys()),
            "seed {seed}: behind {flushed}"
        );
        assert!(lost.iter().all(|lost| lost.first.0 > flushed), "{lost:?}");
    }
    assert!(with_loss > 50, "{with_loss}");
}
