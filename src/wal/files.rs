//! The log's files: one being written, one ready, complete ones waiting to be recycled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestone_format::Lsn;
use tidestone_format::header::{Cut, FileHeader, HEADER_LEN, LogHeader};
use tidestone_format::log::{FRAME_HEADER_LEN, LogIdentity};
use tidestone_format::version::{LOG_PAGE, MAX_REGION};

use super::LogSettings;
use super::group::Group;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{self, Disk, File};

/// CRC-32 of no bytes.
pub(super) const EMPTY_CRC: u32 = 0;
/// Complete and flushed files that are kept to be recycled.
const SPARE_FILES: usize = 2;
/// Bytes written at a time when a file is filled with zeros.
const ZERO_CHUNK: usize = 1 << 20;
/// A file of zeros that becomes the log's where a full disk has no room for one: a database must be
/// opened to be made smaller.
const RESERVE: &str = "reserve";
/// Its length: that of the shortest log file.
const RESERVE_LEN: u64 = 64 << 10;
/// Room at the end of each file that is kept for deletes, and for the note of an orderly end, where a full
/// disk has no room for another file: each of them that is synced by itself takes a page.
const KEPT_ROOM: u64 = 256 << 10;
/// Of a short file it is one part in so many.
const KEPT_PART: u64 = 8;

/// Length of the longest log file there is: of one that the longest frame got to itself.
pub(crate) const LONGEST_FILE: u64 = ((LOG_PAGE + FRAME_HEADER_LEN + MAX_REGION) as u64
    + KEPT_ROOM)
    .next_multiple_of(LOG_PAGE as u64);

/// Where and how a log goes on.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) next_lsn: Lsn,
    /// Number of the file to be made.
    pub(crate) file_number: u64,
    /// Where replay of the files before it ended.
    pub(crate) cut: Option<Cut>,
    /// The files before it, oldest first.
    pub(crate) old: Vec<LogFileInfo>,
    /// Everything up to here is in segments.
    pub(crate) flushed: Lsn,
    /// A file of the usual length that holds nothing of use, to become the new one.
    pub(crate) recycle: Option<u64>,
}

/// A complete log file, or the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFileInfo {
    pub(crate) number: u64,
    pub(crate) len: u64,
    /// First and last LSN it holds; last < first if it holds none.
    pub(crate) first: Lsn,
    pub(crate) last: Lsn,
    /// The last LSN of the files before it: less than `first - 1` where the log was cut.
    pub(crate) before: Lsn,
}

#[derive(Debug)]
pub(super) struct Files {
    current: LogFileInfo,
    file: Arc<dyn File>,
    cut: Option<Cut>,
    /// Offset of the group that is not yet taken.
    position: u64,
    ready: Option<(Arc<dyn File>, LogFileInfo)>,
    /// A frame waits for a file of at least this length.
    needed: u64,
    /// Length of the room at the end of a file that not every frame may use: whole pages.
    kept: u64,
    /// Why the last attempt to make a file failed; told to who waited for it, then tried again.
    failed: Option<Error>,
    /// The last attempt to remove a file failed: none is made before there is another one.
    removing_failed: bool,
    /// Oldest first. One goes before those behind it: a log with a gap cannot be followed.
    retired: Vec<LogFileInfo>,
    flushed: Lsn,
    consumers: BTreeMap<String, Lsn>,
    dropped: Vec<(String, Lsn)>,
}

/// Whether a frame can be appended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Here,
    Rotate,
    Wait,
}

/// Work of the file thread.
#[derive(Debug)]
pub(super) enum Job {
    Make {
        number: u64,
        len: u64,
        recycle: Option<LogFileInfo>,
        discard: Option<u64>,
        /// Somebody waits for the file: its space is reserved and not filled with zeros.
        hurry: bool,
    },
    Remove(LogFileInfo),
}

/// What became of a [`Job`].
#[derive(Debug)]
pub(super) enum Outcome {
    Made(Arc<dyn File>, LogFileInfo),
    /// With the file that was to be recycled, if it is still there.
    NotMade(Error, Option<LogFileInfo>),
    Removed,
    NotRemoved(LogFileInfo),
}

/// The path of log file `number`.
pub(crate) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.log"))
}

/// The number in a log file's name. The highest there could be is no log file's: it has no next one.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let number = (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?;
    number.filter(|&number| number < u64::MAX)
}

/// Length of a frame with a payload of `payload` bytes.
pub(super) fn frame_len(payload: usize) -> Result<u64> {
    if payload > MAX_REGION {
        let message = format!(
            "a batch of {payload} bytes; at most {MAX_REGION} fit: split it into smaller ones"
        );
        return Err(Error::invalid(message));
    }
    Ok((FRAME_HEADER_LEN + payload).next_multiple_of(8) as u64)
}

impl Files {
    /// Makes the file in which the log goes on.
    pub(super) fn start(disk: &dyn Disk, settings: &LogSettings, start: Start) -> Result<Self> {
        let (number, len) = (start.file_number, settings.file_len);
        let (file, current) = match make(disk, settings, number, len, start.recycle, false) {
            Err(error) if error.kind() == ErrorKind::DiskFull => {
                make_short(disk, settings, number, error)?
            }
            made => made?,
        };
        keep_reserve(disk, settings)?;
        let before = Lsn(start.next_lsn.0 - 1);
        let before = start.cut.map_or(before, |cut| cut.last_lsn.min(before));
        Ok(Self {
            current: LogFileInfo {
                first: start.next_lsn,
                last: Lsn(0),
                before,
                ..current
            },
            file,
            cut: start.cut,
            position: LOG_PAGE as u64,
            ready: None,
            needed: 0,
            kept: KEPT_ROOM.min(len / KEPT_PART / LOG_PAGE as u64 * LOG_PAGE as u64),
            failed: None,
            removing_failed: false,
            retired: start.old,
            flushed: start.flushed,
            consumers: BTreeMap::new(),
            dropped: Vec::new(),
        })
    }

    /// The first page of the current file, as the start of a group.
    pub(super) fn first_group(&mut self, settings: &LogSettings, first: Lsn) -> Group {
        let log = LogHeader {
            file_len: self.current.len,
            first_lsn: first,
            cut: self.cut.take(),
        };
        let (database, incarnation) = (settings.database, settings.incarnation);
        let header = FileHeader::log(database, incarnation, self.current.number, log);
        let mut bytes = Vec::with_capacity(LOG_PAGE);
        bytes.extend_from_slice(&header.encode());
        debug_assert!(bytes.len() == HEADER_LEN);
        bytes.resize(LOG_PAGE, 0);
        let identity = self.current_identity(settings);
        Group::new(self.file.clone(), identity, 0, bytes)
    }

    pub(super) fn current_identity(&self, settings: &LogSettings) -> LogIdentity {
        LogIdentity {
            incarnation: settings.incarnation,
            file_number: self.current.number,
        }
    }

    pub(super) fn current_file(&self) -> &Arc<dyn File> {
        &self.file
    }

    pub(super) fn current_path(&self, settings: &LogSettings) -> PathBuf {
        path_of(&settings.dir, self.current.number)
    }

    /// Offset at which the next group starts.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn advance_to(&mut self, position: u64) {
        self.position = position;
    }

    /// Whether a frame fits behind `pending` bytes of the open group, and in front of the kept room unless
    /// it `may_fill` that too. A failure to make a file is told only to who has `waited` for it: an older
    /// one says nothing about the disk of now.
    pub(super) fn fit(
        &mut self,
        frame_len: u64,
        may_fill: bool,
        pending: usize,
        waited: bool,
    ) -> Result<Fit> {
        let kept = if may_fill { 0 } else { self.kept };
        if self.position + pending as u64 + frame_len + kept <= self.current.len {
            return Ok(Fit::Here);
        }
        let needed = LOG_PAGE as u64 + frame_len + kept;
        match &self.ready {
            Some((_, info)) if info.len >= needed => Ok(Fit::Rotate),
            _ => match self.failed.take() {
                Some(error) if waited => Err(error),
                _ => {
                    self.needed = self.needed.max(needed);
                    Ok(Fit::Wait)
                }
            },
        }
    }

    /// Retires the current file, whose last LSN is `last`, and goes on in the ready one.
    pub(super) fn rotate(&mut self, last: Lsn) {
        let Some((file, info)) = self.ready.take() else {
            return;
        };
        let next = LogFileInfo {
            first: Lsn(last.0 + 1),
            last: Lsn(0),
            before: last,
            ..info
        };
        let mut done = std::mem::replace(&mut self.current, next);
        done.last = last;
        self.retired.push(done);
        self.file = file;
        self.position = 0;
        self.needed = 0;
    }

    pub(super) fn set_flushed(&mut self, flushed: Lsn) {
        self.flushed = self.flushed.max(flushed);
    }

    /// Whether complete files hold what does not count as flushed.
    pub(super) fn await_flush(&self) -> bool {
        self.retired.iter().any(|f| f.last > self.flushed)
    }

    /// Registers a consumer, or moves it; the oldest LSN that one can have read up to, if what follows
    /// `lsn` is there no more.
    pub(super) fn set_consumer(&mut self, name: &str, lsn: Lsn) -> std::result::Result<(), Lsn> {
        let oldest = self.retired.first().unwrap_or(&self.current);
        if lsn < oldest.before {
            return Err(oldest.before);
        }
        self.consumers.insert(name.to_owned(), lsn);
        Ok(())
    }

    pub(super) fn consumer(&self, name: &str) -> Option<Lsn> {
        self.consumers.get(name).copied()
    }

    pub(super) fn remove_consumer(&mut self, name: &str) {
        self.consumers.remove(name);
    }

    pub(super) fn dropped(&mut self) -> Option<(String, Lsn)> {
        let consumers = &self.consumers;
        self.dropped
            .retain(|(name, _)| !consumers.contains_key(name));
        self.dropped.first().cloned()
    }

    pub(super) fn forget_dropped(&mut self, name: &str) {
        self.dropped.retain(|(dropped, _)| dropped != name);
    }

    pub(super) fn infos(&self) -> Vec<LogFileInfo> {
        let mut all = self.retired.clone();
        all.push(self.current.clone());
        all
    }

    /// The next thing the file thread should do.
    pub(super) fn next_job(&mut self, settings: &LogSettings, durable: Lsn) -> Option<Job> {
        self.drop_slow_consumers(settings, durable);
        let free = self.recyclable(durable);
        let ready_len = self.ready.as_ref().map(|(_, info)| info.len);
        if self.failed.is_none() && ready_len.is_none_or(|len| len < self.needed) {
            let len = settings
                .file_len
                .max(self.needed.next_multiple_of(LOG_PAGE as u64));
            let recycle = (free > 0 && self.retired[0].len == len).then(|| self.retired.remove(0));
            let discard = self.ready.take().map(|(_, info)| info.number);
            return Some(Job::Make {
                number: self.current.number + 1,
                len,
                recycle,
                discard,
                hurry: self.needed > 0,
            });
        }
        if free > SPARE_FILES && !self.removing_failed {
            return Some(Job::Remove(self.retired.remove(0)));
        }
        None
    }

    #[cfg(test)]
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    pub(super) fn finish_job(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Made(file, info) => {
                self.ready = Some((file, info));
                self.removing_failed = false;
            }
            Outcome::NotMade(error, recycled) => {
                self.failed = Some(error);
                self.retired.splice(0..0, recycled);
            }
            Outcome::Removed => {}
            Outcome::NotRemoved(info) => {
                self.removing_failed = true;
                self.retired.insert(0, info);
            }
        }
    }

    /// How many of the oldest complete files nobody needs. The header of the one behind is durable with its
    /// first frame; until then the last file before it is the only one that a power loss is sure to leave.
    fn recyclable(&self, durable: Lsn) -> usize {
        let needed_from = self
            .consumers
            .values()
            .copied()
            .fold(self.flushed, Lsn::min);
        let behind = self.retired.iter().skip(1).chain([&self.current]);
        self.retired
            .iter()
            .zip(behind)
            .take_while(|(file, behind)| file.last <= needed_from && behind.first <= durable)
            .count()
    }

    fn drop_slow_consumers(&mut self, settings: &LogSettings, durable: Lsn) {
        while self.retired.iter().map(|f| f.len).sum::<u64>() > settings.retained_max {
            let slowest = self.consumers.iter().min_by_key(|(_, lsn)| **lsn);
            let Some((name, lsn)) = slowest.filter(|(_, lsn)| **lsn < self.flushed) else {
                return;
            };
            let (name, lsn) = (name.clone(), *lsn);
            self.consumers.remove(&name);
            self.dropped.push((name, lsn));
            if self.recyclable(durable) > SPARE_FILES {
                return;
            }
        }
    }
}

/// Does a job, without any lock.
pub(super) fn run_job(disk: &dyn Disk, settings: &LogSettings, job: Job) -> Outcome {
    let is_gone = |info: &LogFileInfo| {
        let file = disk.open(&path_of(&settings.dir, info.number));
        file.is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
    };
    match job {
        Job::Make {
            number,
            len,
            recycle,
            discard,
            hurry,
        } => {
            let discarded = discard.map_or(Ok(()), |n| remove(disk, settings, n));
            let from = recycle.as_ref().map(|info| info.number);
            match discarded.and_then(|()| make(disk, settings, number, len, from, hurry)) {
                Ok((file, info)) => {
                    keep_reserve_again(disk, settings);
                    Outcome::Made(file, info)
                }
                // It may have got its new name all the same.
                Err(error) => Outcome::NotMade(error, recycle.filter(|info| !is_gone(info))),
            }
        }
        Job::Remove(info) => match remove(disk, settings, info.number) {
            Err(_) if !is_gone(&info) => Outcome::NotRemoved(info),
            _ => {
                keep_reserve_again(disk, settings);
                Outcome::Removed
            }
        },
    }
}

/// Removes a log file, durably: a power loss could bring it back otherwise, and not one behind it that was removed
/// later.
fn remove(disk: &dyn Disk, settings: &LogSettings, number: u64) -> Result<()> {
    let path = path_of(&settings.dir, number);
    disk.remove(&path)
        .and_then(|()| disk.sync_dir(&settings.dir))
        .map_err(|e| Error::io("remove a log file", &path, e))
}

/// Makes log file `number`: an old one under a new name, or a new one full of zeros.
fn make(
    disk: &dyn Disk,
    settings: &LogSettings,
    number: u64,
    len: u64,
    recycle: Option<u64>,
    hurry: bool,
) -> Result<(Arc<dyn File>, LogFileInfo)> {
    let from = match recycle {
        Some(old) => path_of(&settings.dir, old),
        None => blank(disk, settings, len, hurry)?,
    };
    named(disk, settings, number, len, &from)
}

/// Makes log file `number` on a disk that is too full for one of the usual length: a short one, of the
/// space that is left or else of the reserve, so that this stays for a disk that has none.
fn make_short(
    disk: &dyn Disk,
    settings: &LogSettings,
    number: u64,
    full: Error,
) -> Result<(Arc<dyn File>, LogFileInfo)> {
    match make(disk, settings, number, RESERVE_LEN, None, false) {
        Err(error) if error.kind() == ErrorKind::DiskFull => {
            let reserve = settings.dir.join(RESERVE);
            named(disk, settings, number, RESERVE_LEN, &reserve).map_err(|_| full)
        }
        made => made,
    }
}

/// Makes log file `number` of the file `from`, which has its length.
fn named(
    disk: &dyn Disk,
    settings: &LogSettings,
    number: u64,
    len: u64,
    from: &Path,
) -> Result<(Arc<dyn File>, LogFileInfo)> {
    let path = path_of(&settings.dir, number);
    io::publish(disk, from, &path).map_err(|e| Error::io("make a log file", &path, e))?;
    let file = disk
        .open_write(&path)
        .map_err(|e| Error::io("open a log file", &path, e))?;
    Ok((
        file,
        LogFileInfo {
            number,
            len,
            first: Lsn(0),
            last: Lsn(0),
            before: Lsn(0),
        },
    ))
}

/// Makes a reserve that was used, as soon as there may be space again. Who has made or removed a log file has
/// done that all the same; the next open tells why it cannot be made.
fn keep_reserve_again(disk: &dyn Disk, settings: &LogSettings) {
    let _ = keep_reserve(disk, settings);
}

/// Makes the reserve, if it is not there. Without space for it there is none until a log file was made or
/// removed.
fn keep_reserve(disk: &dyn Disk, settings: &LogSettings) -> Result<()> {
    let path = settings.dir.join(RESERVE);
    match disk.open(&path) {
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io("look for the log's reserve", &path, e)),
    }
    let made = blank(disk, settings, RESERVE_LEN, false).and_then(|from| {
        io::publish(disk, &from, &path).map_err(|e| Error::io("make the log's reserve", &path, e))
    });
    match made {
        Err(error) if error.kind() == ErrorKind::DiskFull => Ok(()),
        made => made,
    }
}

/// A new file of zeros under a temporary name.
fn blank(disk: &dyn Disk, settings: &LogSettings, len: u64, hurry: bool) -> Result<PathBuf> {
    let path = settings.dir.join("new.tmp");
    let fill = || -> std::io::Result<()> {
        if let Err(e) = disk.remove(&path)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            return Err(e);
        }
        let file = disk.create(&path)?;
        if hurry {
            file.allocate(len)?;
            return file.sync();
        }
        let zeros = vec![0u8; ZERO_CHUNK];
        let mut at = 0;
        while at < len {
            let step = (len - at).min(ZERO_CHUNK as u64);
            // `step` is at most ZERO_CHUNK.
            file.write_all_at(&zeros[..usize::try_from(step).unwrap_or(ZERO_CHUNK)], at)?;
            at += step;
        }
        file.sync()
    };
    match fill() {
        Ok(()) => Ok(path),
        Err(error) => {
            // Give the space back; the error that matters is the first one.
            let _ = disk.remove(&path);
            Err(Error::io("fill a log file with zeros", &path, error))
        }
    }
}
