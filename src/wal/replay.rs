//! Reading the log at open: every frame that was acknowledged, where the log ends, what is damage.

use std::path::Path;

use tidestone_format::header::{Cut, FileHeader, FileKind, HEADER_LEN, LogHeader, Specific};
use tidestone_format::log::frame::{Frame, FrameKind};
use tidestone_format::log::scan::{FrameCursor, Stop, find_later_evidence};
use tidestone_format::{FileUuid, FormatError, Lsn};

use super::files::{LogFileInfo, Start, number_of, path_of};
use crate::error::{Error, Result};
use crate::io::{self, Disk};

/// What replay found.
#[derive(Debug)]
pub(crate) struct Replay {
    /// How the log goes on.
    pub(crate) start: Start,
    /// Frames that were handed to the visitor, notes not counted.
    pub(crate) frames: u64,
    /// Why the log ended where it did, if that was not at zeros: an unsynced tail that was cut.
    pub(crate) tail: Option<Tail>,
    /// Files behind the end, of which nothing is used: to be removed before the log goes on.
    pub(crate) unused: Vec<u64>,
}

/// An unsynced tail of the log: nothing in it was acknowledged as durable.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    pub(crate) file: u64,
    pub(crate) offset: u64,
    pub(crate) why: String,
}

/// A log file whose header is sound.
#[derive(Debug)]
struct Live {
    number: u64,
    len: u64,
    header: LogHeader,
}

/// Reads the log of a database in `dir` and hands every frame above `flushed` to `visit`, in order.
///
/// Memory: one log file at a time.
///
/// # Errors
/// Damage: an acknowledged frame that is not readable, a file that is missing or belongs to another
/// database; or an error of `visit`.
pub(crate) fn replay(
    disk: &dyn Disk,
    dir: &Path,
    database: FileUuid,
    incarnation: FileUuid,
    flushed: Lsn,
    mut visit: impl FnMut(&Frame<'_>) -> Result<()>,
) -> Result<Replay> {
    let (live, blank) = find_files(disk, dir, database, incarnation)?;
    let Some(first) = live.first() else {
        let message = "there is no log file with a valid header in it; \
                       restore them, or let repair accept the loss of what was not flushed";
        return Err(Error::corrupt(dir, 0, message));
    };
    let reaches = first
        .header
        .cut
        .map_or(first.header.first_lsn.0 - 1, |cut| {
            cut.last_lsn.0.min(first.header.first_lsn.0 - 1)
        });
    if reaches > flushed.0 {
        let path = path_of(dir, first.number);
        let message = format!(
            "the log starts behind LSN {reaches}, but only what is up to {flushed} was flushed: \
             an older log file is missing"
        );
        return Err(Error::corrupt(&path, 144, message));
    }
    let mut run = Run {
        disk,
        dir,
        live: &live,
        frames: 0,
        highest: flushed,
    };
    let mut old = Vec::new();
    let mut tail = None;
    let mut cut = None;
    let mut used = live.len();
    for (at, file) in live.iter().enumerate() {
        let next = live.get(at + 1);
        if next.is_some_and(|n| n.header.cut.is_none() && n.header.first_lsn.0 <= flushed.0 + 1) {
            // Nothing in it is needed.
            let last = Lsn(next.map_or(0, |n| n.header.first_lsn.0 - 1));
            old.push(LogFileInfo {
                number: file.number,
                len: file.len,
                first: file.header.first_lsn,
                last,
            });
            continue;
        }
        let end = run.file(at, flushed, &mut visit)?;
        let (number, len, first) = (file.number, file.len, file.header.first_lsn);
        old.push(LogFileInfo {
            number,
            len,
            first,
            last: end.last,
        });
        cut = Some(Cut {
            file_number: number,
            offset: end.offset,
            last_lsn: end.last,
        });
        if !end.continues {
            tail = end.why.map(|why| Tail {
                file: number,
                offset: end.offset,
                why,
            });
            used = at + 1;
            break;
        }
    }
    let mut unused: Vec<u64> = live[used..].iter().map(|f| f.number).collect();
    unused.extend(blank);
    let highest_number = unused
        .iter()
        .chain(live.iter().map(|f| &f.number))
        .max()
        .copied();
    let next_lsn = Lsn(run.highest.0 + 1);
    let start = Start {
        next_lsn,
        file_number: highest_number.unwrap_or(0) + 1,
        cut,
        old,
        flushed,
    };
    Ok(Replay {
        start,
        frames: run.frames,
        tail,
        unused,
    })
}

struct Run<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    live: &'a [Live],
    frames: u64,
    /// The highest LSN seen anywhere, readable or not.
    highest: Lsn,
}

/// Where a file ended.
struct End {
    offset: u64,
    /// The last LSN in the file; below its first if it has none.
    last: Lsn,
    continues: bool,
    why: Option<String>,
}

impl Run<'_> {
    /// Reads file number `at` of the live ones.
    fn file(
        &mut self,
        at: usize,
        flushed: Lsn,
        visit: &mut impl FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<End> {
        let file = &self.live[at];
        let path = path_of(self.dir, file.number);
        let bytes = read(self.disk, &path)?;
        let limit = self.live[at + 1..]
            .iter()
            .filter_map(|f| f.header.cut)
            .find(|cut| cut.file_number == file.number);
        let mut cursor = FrameCursor::new(&bytes, file.number, file.header.first_lsn);
        let mut last = Lsn(file.header.first_lsn.0 - 1);
        // Where a log was cut LSNs have a gap; none of it is given again.
        self.see(last);
        let mut end = cursor.offset();
        let mut closed = false;
        loop {
            if limit.is_some_and(|cut| last >= cut.last_lsn) {
                self.see(last);
                return Ok(End {
                    offset: end,
                    last,
                    continues: true,
                    why: None,
                });
            }
            let Some(frame) = cursor.next() else { break };
            last = frame.header.lsn;
            end = frame.end();
            closed = frame.header.kind == FrameKind::Note;
            self.see(last);
            if last > flushed {
                self.frames += u64::from(frame.header.kind != FrameKind::Note);
                visit(&frame)?;
            }
        }
        if let Some(cut) = limit {
            let message = format!(
                "the log was cut behind LSN {} at offset {}, but only LSN {last} is readable",
                cut.last_lsn, cut.offset
            );
            return Err(Error::corrupt(&path, end, message));
        }
        if let Some(Stop::Refused(error)) = cursor.stop() {
            return Err(Error::format(&path, error.clone()));
        }
        let expected = Lsn(last.0 + 1);
        if self
            .live
            .get(at + 1)
            .is_some_and(|n| n.header.first_lsn == expected)
        {
            return Ok(End {
                offset: end,
                last,
                continues: true,
                why: None,
            });
        }
        let stopped = cursor.offset();
        let why = match cursor.stop() {
            Some(Stop::Invalid(error)) => Some(error.to_string()),
            _ => None,
        };
        self.evidence(at, &bytes, stopped, expected, why.as_deref())?;
        // Behind the note of an orderly end stand zeros, or what an earlier life of the file left.
        Ok(End {
            offset: end,
            last,
            continues: false,
            why: why.filter(|_| !closed),
        })
    }

    /// Fails if a frame behind the end records that `expected` was durable.
    fn evidence(
        &mut self,
        at: usize,
        bytes: &[u8],
        stopped: u64,
        expected: Lsn,
        why: Option<&str>,
    ) -> Result<()> {
        let here = path_of(self.dir, self.live[at].number);
        let mut damage = None;
        let mut look = |bytes: &[u8], number: u64, from: u64| {
            if let Some(found) = find_later_evidence(bytes, from, number, expected)
                && damage.is_none()
            {
                damage = Some((number, found));
            }
        };
        look(bytes, self.live[at].number, stopped);
        // A cut names what was read when the log was opened, and all of that was made durable.
        let mut cuts = self.live[at + 1..]
            .iter()
            .filter_map(|f| Some((f.number, f.header.cut?)));
        let behind = cuts.find(|(_, cut)| cut.last_lsn >= expected);
        for later in &self.live[at + 1..] {
            let bytes = read(self.disk, &path_of(self.dir, later.number))?;
            look(&bytes, later.number, 0);
            let mut cursor = FrameCursor::new(&bytes, later.number, later.header.first_lsn);
            if let Some(frame) = cursor.by_ref().last() {
                self.highest = self.highest.max(frame.header.lsn);
            }
            self.highest = self.highest.max(Lsn(later.header.first_lsn.0));
        }
        let Some((number, found)) = damage else {
            let Some((number, cut)) = behind else {
                return Ok(());
            };
            let message = format!(
                "LSN {expected} was acknowledged and is not readable here; {} was begun behind LSN {}: a log file \
                 between them is missing. Restore it, or run `tidestone repair` to see what dropping the \
                 rest of the log would lose",
                path_of(self.dir, number).display(),
                cut.last_lsn,
            );
            return Err(Error::corrupt(&here, stopped, message));
        };
        let message = format!(
            "LSN {expected} was acknowledged and is not readable here ({}); the frame at offset {} of {} \
             records that LSN {} was durable. Run `tidestone verify` to see all damage and \
             `tidestone repair` to see what dropping the rest of the log would lose",
            why.unwrap_or("nothing but zeros"),
            found.offset,
            path_of(self.dir, number).display(),
            found.durable_lsn,
        );
        Err(Error::corrupt(&here, stopped, message))
    }

    fn see(&mut self, lsn: Lsn) {
        self.highest = self.highest.max(lsn);
    }
}

/// The log files with a sound header of this database, by number, and the numbers of those that
/// were made ready and never used.
fn find_files(
    disk: &dyn Disk,
    dir: &Path,
    database: FileUuid,
    incarnation: FileUuid,
) -> Result<(Vec<Live>, Vec<u64>)> {
    let names = disk
        .list(dir)
        .map_err(|e| Error::io("list the log folder", dir, e))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|e| number_of(&e.name)).collect();
    numbers.sort_unstable();
    let (mut live, mut blank) = (Vec::new(), Vec::new());
    for number in numbers {
        let path = path_of(dir, number);
        let file = disk
            .open(&path)
            .map_err(|e| Error::io("open a log file", &path, e))?;
        let len = file
            .len()
            .map_err(|e| Error::io("open a log file", &path, e))?;
        let mut head = [0; HEADER_LEN];
        let decoded = match len < HEADER_LEN as u64 {
            true => Err(FormatError::truncated(
                "log file header",
                0,
                HEADER_LEN as u64,
                len,
            )),
            false => {
                file.read_exact_at(&mut head, 0)
                    .map_err(|e| Error::io("read the header of a log file", &path, e))?;
                FileHeader::decode_kind(&head, FileKind::Log)
            }
        };
        match decoded {
            Ok(header) if header.number != number => blank.push(number),
            Ok(FileHeader {
                specific: Specific::Log(log),
                database: of,
                file,
                ..
            }) => {
                if of != database {
                    let message =
                        format!("the log file belongs to database {of}, this is {database}");
                    return Err(Error::corrupt(&path, 24, message));
                }
                if file != incarnation {
                    let message = format!(
                        "the log file is of incarnation {file}, the manifest of {incarnation}"
                    );
                    return Err(Error::corrupt(&path, 40, message));
                }
                if log.file_len != len {
                    let message = format!(
                        "the log file has {len} bytes, its header says {}",
                        log.file_len
                    );
                    return Err(Error::corrupt(&path, 136, message));
                }
                live.push(Live {
                    number,
                    len,
                    header: log,
                });
            }
            Ok(_) => blank.push(number),
            Err(error) if error.kind == tidestone_format::FormatErrorKind::Unsupported => {
                return Err(Error::format(&path, error));
            }
            Err(error) => {
                check_blank(disk, &path, number, &error)?;
                blank.push(number);
            }
        }
    }
    Ok((live, blank))
}

/// A file without a sound header was made ready and never used, or its header was being written
/// when the power failed. If it holds frames of its own number that record a durable LSN at or past
/// the first of them, its header was durable once and is damaged.
fn check_blank(disk: &dyn Disk, path: &Path, number: u64, error: &FormatError) -> Result<()> {
    let bytes = read(disk, path)?;
    let Some(first) = find_later_evidence(&bytes, 0, number, Lsn(0)) else {
        return Ok(());
    };
    if find_later_evidence(&bytes, 0, number, first.lsn).is_none() {
        return Ok(());
    }
    Err(Error::format(path, error.clone()))
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    let file = disk
        .open(path)
        .map_err(|e| Error::io("open a log file", path, e))?;
    io::read_all(&*file).map_err(|e| Error::io("read a log file", path, e))
}

/// Makes what replay read durable, before it counts as such: a process that was killed leaves bytes
/// in the page cache that no sync has covered.
pub(crate) fn sync_read(disk: &dyn Disk, dir: &Path, start: &Start) -> Result<()> {
    for file in start.old.iter().filter(|f| f.last > start.flushed) {
        let path = path_of(dir, file.number);
        let synced = disk.open_write(&path).and_then(|file| file.sync());
        synced.map_err(|e| Error::io("sync a log file that was read", &path, e))?;
    }
    Ok(())
}

/// Removes files of which replay used nothing, before the log goes on.
pub(crate) fn remove_unused(disk: &dyn Disk, dir: &Path, numbers: &[u64]) -> Result<()> {
    for number in numbers {
        let path = path_of(dir, *number);
        disk.remove(&path)
            .map_err(|e| Error::io("remove an unused log file", &path, e))?;
    }
    disk.sync_dir(dir)
        .map_err(|e| Error::io("sync the log folder", dir, e))
}
