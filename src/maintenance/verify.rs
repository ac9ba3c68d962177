//! Reading every byte of a closed database.

use std::path::Path;

use tidestone_format::Lsn;
use tidestone_format::segment::Segment as SegmentBytes;

use super::{Damage, VerifyReport};
use crate::config::Options;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Index, Opened};
use crate::io::{self, Disk, OsDisk};
use crate::recover;
use crate::store::{Folders, Segments, newest_manifest, read_manifest, segment_files};
use crate::wal;

/// Checks every file of a database that no process has open for writing. Nothing is changed.
///
/// # Errors
/// There is no database, another process has it open for writing, or a file cannot be read at
/// all. Damage is no error: it is in the report.
pub fn verify(path: &Path) -> Result<VerifyReport> {
    let disk = OsDisk;
    let folders = Folders::new(path);
    let mut report = VerifyReport::default();
    let database = match recover::identity(&disk, &folders) {
        Ok((database, _)) => database,
        Err(error) if is_damage(&error) => {
            report.damage.push(Damage::of(&error, &folders.identity()));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let _lock = recover::lock(&disk, &folders)?;
    report.files += 1;
    let (_, manifest) = newest_manifest(&disk, &folders.manifest())?;
    let bytes = read(&disk, &manifest, &mut report)?;
    let replay = match read_manifest(&manifest, &bytes) {
        Ok((_, replay)) => replay,
        Err(error) => {
            report.damage.push(Damage::of(&error, &manifest));
            return Ok(report);
        }
    };
    if let Some(torn) = &replay.torn {
        report.notes.push(format!(
            "{}: an edit that was never synced: {torn}",
            manifest.display()
        ));
    }
    let state = replay.state;

    let mut live = Vec::new();
    let memory = Options::default().segment_memory();
    let segments = Segments::new(
        std::sync::Arc::new(disk),
        folders.segments(),
        database,
        memory,
    )?;
    for entry in state.segments().values() {
        let segment = segments.segment(entry);
        live.push(segment.path().to_owned());
        report.rows += entry.rows;
        match segment.open() {
            Ok(_) => verify_segment(segment.path(), &mut report)?,
            Err(error) => report.damage.push(Damage::of(&error, segment.path())),
        }
    }
    for file in segment_files(&disk, &folders.segments())? {
        if !live.contains(&file) {
            let note = "no manifest names it; the next open removes it";
            report.notes.push(format!("{}: {note}", file.display()));
        }
    }

    let mut frames = 0;
    let replayed = wal::replay(
        &wal::LogFiles {
            disk: &disk,
            dir: &folders.wal(),
            database,
            incarnation: state.incarnation(),
            exclusive: true,
        },
        Lsn(0),
        wal::Missing::Allowed,
        |frame| {
            frames += 1;
            tidestone_format::log::Record::decode(frame.header.kind, frame.payload)
                .map(drop)
                .map_err(|e| Error::format(&folders.wal(), e.at_base(frame.payload_offset())))
        },
    );
    match replayed {
        Ok(replayed) => {
            report.files += replayed.start.old.len() as u64;
            report.bytes += replayed.start.old.iter().map(|f| f.len).sum::<u64>();
            if let Some(tail) = replayed.tail {
                report.notes.push(format!(
                    "the log ends with an unsynced tail in file {} at offset {}: {}",
                    tail.file, tail.offset, tail.why
                ));
            }
        }
        Err(error) if is_damage(&error) => {
            report.damage.push(Damage::of(&error, &folders.wal()));
        }
        Err(error) => return Err(error),
    }
    report.frames = frames;
    match Index::open(&folders.index(), 32 << 20, database)? {
        Opened::Ready(index, _) => {
            if let Err(error) = index.verify() {
                let note = format!("the index is damaged and will be rebuilt: {error}");
                report.notes.push(note);
            }
        }
        Opened::Unusable { why } => {
            report
                .notes
                .push(format!("the index will be rebuilt at the next open: {why}"));
        }
    }
    Ok(report)
}

/// Whether an error is about bytes, not about getting at them.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported)
}

fn verify_segment(path: &Path, report: &mut VerifyReport) -> Result<()> {
    let bytes = read(&OsDisk, path, report)?;
    let segment = match SegmentBytes::open(&bytes) {
        Ok(segment) => segment,
        Err(error) => {
            report
                .damage
                .push(Damage::of(&Error::format(path, error), path));
            return Ok(());
        }
    };
    segment.verify(|_, result| {
        report.regions += 1;
        if let Err(error) = result {
            report
                .damage
                .push(Damage::of(&Error::format(path, error), path));
        }
    });
    Ok(())
}

fn read(disk: &dyn Disk, path: &Path, report: &mut VerifyReport) -> Result<Vec<u8>> {
    let file = disk
        .open(path)
        .map_err(|e| Error::io("open a file", path, e))?;
    let bytes = io::read_all(&*file).map_err(|e| Error::io("read a file", path, e))?;
    report.files += 1;
    report.bytes += bytes.len() as u64;
    Ok(bytes)
}
