//! What a repair reads of a damaged log.

use std::collections::BTreeSet;

use tidestone_format::header::{FileHeader, FileKind, Specific};
use tidestone_format::log::frame::{FRAME_ALIGN, FRAME_MAGIC, LogIdentity, decode_frame};

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
fn try_to_read(disk: &SimDisk, flushed: u64) -> Result<(Frames, Vec<Lost>)> {
    let (mut frames, mut lost) = (Frames::new(), Vec::new());
    let files = LogFiles {
        disk,
        dir: Path::new(DIR),
        database: DATABASE,
        incarnation: INCARNATION,
        mapped: true,
    };
    let missing = Missing::LeftOut(&mut lost);
    replay(&files, Lsn(flushed), missing, |frame| {
        let last = frames.insert(frame.header.lsn.0, frame.payload.to_vec());
        assert_eq!(last, None, "LSN {} twice", frame.header.lsn);
        Ok(())
    })?;
    Ok((frames, lost))
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
    // The last one is ended by nothing: what of it was acknowledged its own frames tell.
    let is_synced = dice.roll(2) == 0;
    running(&log, || {
        for _ in 0..20 {
            let lsn = append(&log, &dice.payload()).unwrap();
            match is_synced || dice.roll(3) == 0 {
                true => log.sync_to(lsn).unwrap(),
                false => log.write_to(lsn).unwrap(),
            }
        }
    });
    disk
}

/// Damages pages behind the headers: a bit, the first bytes of a frame, all of it, or zeros.
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
                let places = (0..LOG_PAGE).step_by(FRAME_ALIGN);
                let magics: Vec<usize> = places
                    .filter(|at| page[*at..].starts_with(&FRAME_MAGIC))
                    .collect();
                match dice.roll(4) {
                    0 => {
                        let at = usize::try_from(dice.roll(LOG_PAGE as u64)).unwrap();
                        page[at] ^= 1 << dice.roll(8);
                    }
                    1 => page.fill(0),
                    2 if !magics.is_empty() => {
                        let at = usize::try_from(dice.roll(magics.len() as u64)).unwrap();
                        page[magics[at]] ^= 1;
                    }
                    _ => page.fill_with(|| u8::try_from(dice.roll(256)).unwrap()),
                }
            })
            .unwrap();
        }
    }
}

/// Whether an LSN is said to be lost. Each is told once.
fn is_told(lost: &[Lost], lsn: u64) -> bool {
    let told = |lost: &&Lost| {
        lost.last
            .is_some_and(|l| (lost.first.0..=l.0).contains(&lsn))
    };
    let times = lost.iter().filter(told).count();
    assert!(times < 2, "{lost:?}");
    times == 1
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

        let (frames, lost) = try_to_read(&disk, 0).unwrap();
        let (read, there): (Vec<&u64>, Vec<&u64>) =
            (frames.keys().collect(), expected.keys().collect());
        assert_eq!(read, there, "seed {seed}: {lost:?}");
        assert!(frames == expected, "seed {seed}: other payloads");
        for lsn in missing.iter().filter(|lsn| **lsn <= acknowledged) {
            with_loss += 1;
            assert!(
                is_told(&lost, *lsn),
                "seed {seed}: LSN {lsn} is lost, {lost:?}"
            );
        }
        for lsn in frames.keys() {
            assert!(
                !is_told(&lost, *lsn),
                "seed {seed}: LSN {lsn} is not lost, {lost:?}"
            );
        }
        // What was flushed is neither needed nor lost.
        let flushed = sound.keys().nth(sound.len() / 2).copied().unwrap();
        let (frames, lost) = try_to_read(&disk, flushed).unwrap();
        expected.retain(|lsn, _| *lsn > flushed);
        assert!(
            frames.keys().eq(expected.keys()),
            "seed {seed}: behind {flushed}"
        );
        assert!(lost.iter().all(|lost| lost.first.0 > flushed), "{lost:?}");
    }
    assert!(with_loss > 50, "{with_loss}");
}

/// A file that lost its header does not tell any more that the one before it was cut: of that one whole frames
/// may stand behind the cut, of which nobody was told that they are durable, and whose ids were given again.
#[test]
fn nothing_comes_back_that_a_log_was_cut_before_whatever_file_is_gone() {
    let mut behind_cuts = 0;
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let disk = log_of_lives(&mut dice);
        let (sound, _) = read(&disk, 0).unwrap();
        let (whole, _) = whole_frames(&disk);
        behind_cuts += whole.iter().filter(|lsn| !sound.contains_key(lsn)).count();
        let logs = log_files(&disk);
        // The first one tells where the log begins.
        for path in &logs[1..] {
            match dice.roll(4) {
                0 => disk.damage(path, |bytes| bytes[20] ^= 1).unwrap(),
                1 => disk
                    .damage(path, |bytes| bytes[..2 * LOG_PAGE].fill(7))
                    .unwrap(),
                2 if dice.roll(3) == 0 => disk.remove(path).unwrap(),
                _ => {}
            }
        }
        if dice.roll(2) == 0 {
            damage_pages(&disk, &mut dice);
        }
        let Ok((frames, lost)) = try_to_read(&disk, 0) else {
            continue;
        };
        for (lsn, payload) in &frames {
            assert_eq!(
                sound.get(lsn),
                Some(payload),
                "seed {seed}: LSN {lsn}, {lost:?}"
            );
            assert!(
                !is_told(&lost, *lsn),
                "seed {seed}: LSN {lsn} is not lost, {lost:?}"
            );
        }
    }
    assert!(behind_cuts > 50, "{behind_cuts}");
}
