//! Reading the log at open: every frame that was acknowledged, where the log ends, what is damage.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use tidestone_format::header::{Cut, LogHeader};
use tidestone_format::log::frame::{Frame, FrameKind, LogIdentity};
use tidestone_format::log::scan::{
    FrameCursor, Stop, find_later_evidence, highest_lsn, sound_headers,
};
use tidestone_format::version::LOG_PAGE;
use tidestone_format::{FileUuid, Lsn};

use super::files::{LONGEST_FILE, LogFileInfo, Start, path_of};
use super::found::{Found, find_files};
use crate::error::{Error, Result};
use crate::io::{self, Disk, Mapping};

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
    /// What was read and what nothing proves to be on the disk.
    pub(crate) unproven: Vec<Unproven>,
    /// Damage in files that are needed, in frames that are not: they are flushed.
    pub(crate) stepped_over: Vec<SteppedOver>,
    /// Files that are not as they were made, of which what there is was read; only where what is missing is
    /// [left out](Missing::LeftOut).
    pub(crate) flaws: Vec<Flaw>,
}

/// Frames that are not readable and hold nothing that is not in segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SteppedOver {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) lsns: RangeInclusive<Lsn>,
}

/// Bytes of a log file that may be in the page cache alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unproven {
    pub(crate) file: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// An unsynced tail of the log: nothing in it was acknowledged as durable.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    pub(crate) file: u64,
    pub(crate) offset: u64,
    pub(crate) why: String,
}

/// What replay does about parts of the log that are not there.
#[derive(Debug)]
pub(crate) enum Missing<'a> {
    /// Fails.
    Refused,
    /// Everything else is read, and they are told, in order: for a repair.
    LeftOut(&'a mut Vec<Lost>),
}

/// Frames that are not readable, or such as may have been there.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) first: Lsn,
    /// The last of them, where something stands behind; `None` if nothing tells how much there was, nor that
    /// any of it was acknowledged.
    pub(crate) last: Option<Lsn>,
    /// What they were, as far as their headers tell.
    pub(crate) kinds: LostFrames,
    pub(crate) what: String,
}

/// What frames were that cannot be read, as far as their headers tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct LostFrames {
    /// Batches of rows, also those that refer to segments.
    pub batches: u64,
    /// Definitions of series.
    pub definitions: u64,
    /// Deletes: what they deleted is there again, but for what was flushed behind them.
    pub deletes: u64,
    /// Notes of the log itself, which cost nothing.
    pub notes: u64,
    /// Frames whose headers cannot be read either: they may have been any of those.
    pub unknown: u64,
}

impl LostFrames {
    /// Those of `lsns` in a part of a log file.
    fn of(bytes: &[u8], part: Range<u64>, file: LogIdentity, lsns: &RangeInclusive<Lsn>) -> Self {
        let mut lost = Self {
            unknown: (lsns.end().0 + 1).saturating_sub(lsns.start().0),
            ..Self::default()
        };
        for (lsn, kind) in sound_headers(bytes, part, file) {
            if !lsns.contains(&lsn) || lost.unknown == 0 {
                continue;
            }
            lost.unknown -= 1;
            match kind {
                FrameKind::Batch | FrameKind::SegmentReference => lost.batches += 1,
                FrameKind::SeriesDefinition => lost.definitions += 1,
                FrameKind::Delete => lost.deletes += 1,
                FrameKind::Note => lost.notes += 1,
            }
        }
        lost
    }

    /// Whether they held nothing.
    pub(crate) fn is_nothing(&self) -> bool {
        *self
            == Self {
                notes: self.notes,
                ..Self::default()
            }
    }
}

/// What is wrong with a log file as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Flaw {
    pub(crate) path: PathBuf,
    pub(super) offset: u64,
    pub(crate) what: String,
}

/// A log file that frames are read from.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) number: u64,
    pub(super) incarnation: FileUuid,
    pub(super) len: u64,
    /// As it is in the file; or, if it is damaged there, what the first frame that can be read tells of it.
    pub(super) header: LogHeader,
    /// Where frames are read from.
    pub(super) from: u64,
    /// It has all of the bytes that it was made with.
    pub(super) is_whole: bool,
    /// Its header is the one in the file: it tells of the cut that it was begun behind, if there was one.
    pub(super) has_header: bool,
}

/// The log to be read.
#[derive(Debug)]
pub(crate) struct LogFiles<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) dir: &'a Path,
    pub(crate) database: FileUuid,
    pub(crate) incarnation: FileUuid,
    /// Its files are mapped, and not read into memory. Nobody may write to them meanwhile.
    pub(crate) mapped: bool,
}

/// Reads a log and hands every frame above `flushed` to `visit`, in order.
///
/// Memory: one log file at a time, and another where frames behind the end are looked for; none of it where
/// files are mapped. No more is read of a file than its header says it has, and [`LONGEST_FILE`].
///
/// # Errors
/// Damage: an acknowledged frame that is not readable, a file that is missing or belongs to another
/// database; or an error of `visit`.
pub(crate) fn replay(
    files: &LogFiles<'_>,
    flushed: Lsn,
    mut missing: Missing<'_>,
    mut visit: impl FnMut(&Frame<'_>) -> Result<()>,
) -> Result<Replay> {
    let dir = files.dir;
    let Found {
        live,
        blank,
        unknown,
        headless,
        flaws,
    } = find_files(files, &missing)?;
    let Some(first) = live.first() else {
        if let Some(flaw) = flaws.first() {
            return Err(flaw.error());
        }
        let advice =
            "restore them, or run `tidestone repair` to see what going on without them would lose";
        let error = Error::corrupt(dir, 0, "there is no log file with a valid header in it");
        return Err(error.advising(advice));
    };
    let reaches = first
        .header
        .cut
        .map_or(first.header.first_lsn.0 - 1, |cut| {
            cut.last_lsn.0.min(first.header.first_lsn.0 - 1)
        });
    if reaches > flushed.0 {
        let path = path_of(dir, first.number);
        let older = path_of(dir, first.number.saturating_sub(1));
        let message = format!(
            "the log starts behind LSN {reaches}, but only what is up to {flushed} was flushed: \
             an older log file is missing, {} has no valid header, or the manifest is an older one",
            older.display()
        );
        return Err(Error::corrupt(&path, 144, message));
    }
    let mut run = Run {
        files,
        dir,
        live: &live,
        blank: &blank,
        unknown: &unknown,
        flushed,
        frames: 0,
        highest: flushed,
        proven: flushed,
        pages: VecDeque::new(),
        stepped_over: Vec::new(),
        missing: &mut missing,
        acknowledged: None,
        flaws,
    };
    let mut ends = Vec::new();
    let mut old = Vec::new();
    let mut tail = None;
    let mut cut = None;
    let mut used = live.len();
    let mut skip_to = 0;
    for (at, file) in live.iter().enumerate() {
        if at < skip_to {
            // Left behind by a repair that was interrupted: the log was cut before it.
            continue;
        }
        let next = live.get(at + 1);
        if let Some(last) = next.map(Live::before).filter(|last| *last <= flushed) {
            // Nothing in it is needed, readable or not.
            old.push(LogFileInfo {
                number: file.number,
                len: file.len,
                first: file.header.first_lsn,
                last,
                before: file.before(),
            });
            continue;
        }
        let end = run.file(at, &mut visit)?;
        ends.push((at, end.offset));
        let (number, len, first) = (file.number, file.len, file.header.first_lsn);
        old.push(LogFileInfo {
            number,
            len,
            first,
            last: end.last,
            before: file.before(),
        });
        cut = Some(Cut {
            file_number: number,
            offset: end.offset,
            last_lsn: end.last,
        });
        skip_to = end.next;
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
    let lost = headless.into_iter().find(|h| h.first() > run.highest);
    tail = tail.or(lost.map(|headless| headless.tail));
    let mut unused: Vec<u64> = live[used..].iter().map(|f| f.number).collect();
    unused.extend(&blank);
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
        recycle: None,
    };
    Ok(Replay {
        start,
        frames: run.frames,
        tail,
        unused,
        unproven: run.unproven(&ends),
        stepped_over: run.stepped_over,
        flaws: run.flaws,
    })
}

struct Run<'a, 'm> {
    files: &'a LogFiles<'a>,
    dir: &'a Path,
    live: &'a [Live],
    /// Numbers of files that look as if they had been made ready and never used.
    blank: &'a [u64],
    /// Numbers of files that nothing can be read of.
    unknown: &'a [u64],
    /// Everything up to here is in segments.
    flushed: Lsn,
    frames: u64,
    /// The highest LSN seen anywhere, readable or not.
    highest: Lsn,
    /// The highest LSN that something says was durable.
    proven: Lsn,
    /// Pages in which frames above it start: file, offset, the last LSN that starts there.
    pages: VecDeque<(usize, u64, Lsn)>,
    stepped_over: Vec<SteppedOver>,
    missing: &'a mut Missing<'m>,
    /// The highest LSN that anything in the log says was acknowledged, once that was looked for.
    acknowledged: Option<Lsn>,
    flaws: Vec<Flaw>,
}

/// Where a file ended.
struct End {
    offset: u64,
    /// The last LSN in the file; below its first if it has none.
    last: Lsn,
    continues: bool,
    /// The file the log goes on in.
    next: usize,
    why: Option<String>,
}

impl Live {
    fn identity(&self) -> LogIdentity {
        LogIdentity {
            incarnation: self.incarnation,
            file_number: self.number,
        }
    }

    /// The bytes of the file, but for those that it has beyond its length: they are not its own.
    fn read(&self, files: &LogFiles<'_>) -> Result<Mapping> {
        let path = path_of(files.dir, self.number);
        read(files, &path, self.header.file_len)
    }

    /// The last LSN of the files before this one that counts.
    fn before(&self) -> Lsn {
        let before = Lsn(self.header.first_lsn.0 - 1);
        self.header
            .cut
            .map_or(before, |cut| cut.last_lsn.min(before))
    }
}

impl Run<'_, '_> {
    /// Reads file number `at` of the live ones.
    fn file(&mut self, at: usize, visit: &mut impl FnMut(&Frame<'_>) -> Result<()>) -> Result<End> {
        let (file, flushed) = (&self.live[at], self.flushed);
        let path = path_of(self.dir, file.number);
        let bytes = &*file.read(self.files)?;
        let cut_at = (at + 1..self.live.len()).find(|&later| {
            let cut = self.live[later].header.cut;
            cut.is_some_and(|cut| cut.file_number == file.number)
        });
        let goes_on = cut_at.unwrap_or(at + 1);
        let limit = cut_at.and_then(|later| self.live[later].header.cut);
        let first = file.header.first_lsn;
        let mut cursor = FrameCursor::resume(bytes, file.identity(), file.from, first);
        let mut last = Lsn(file.header.first_lsn.0 - 1);
        // Where a log was cut LSNs have a gap; none of it is given again.
        self.see(last);
        let mut end = cursor.offset();
        let mut closed = false;
        let mut last_to_leave_out = None;
        loop {
            if limit.is_some_and(|cut| last >= cut.last_lsn) {
                self.see(last);
                return Ok(End {
                    offset: end,
                    last,
                    continues: true,
                    next: goes_on,
                    why: None,
                });
            }
            let Some(frame) = cursor.next() else {
                let offset = cursor.damaged_at();
                if let Some(lsns) = cursor.step_over(flushed) {
                    last = *lsns.end();
                    let path = path.clone();
                    self.stepped_over.push(SteppedOver { path, offset, lsns });
                    continue;
                }
                let (behind, what) = (cursor.behind_last(), what_stopped(cursor.stop()));
                if !self.is_to_leave_out(Lsn(last.0 + 1))? {
                    break;
                }
                let most = *last_to_leave_out
                    .get_or_insert_with(|| self.last_to_leave_out(at, goes_on, bytes));
                let Some(lsns) = cursor.step_over(most) else {
                    break;
                };
                last = *lsns.end();
                let kinds = self.kinds(at, bytes, behind..cursor.offset(), &lsns);
                self.leave_out(at, offset, lsns, kinds, what);
                continue;
            };
            last = frame.header.lsn;
            end = frame.end();
            closed = frame.header.kind == FrameKind::Note;
            self.see(last);
            self.note_proof(at, &frame);
            if last > flushed {
                self.frames += u64::from(frame.header.kind != FrameKind::Note);
                visit(&frame).map_err(|e| e.with_path(&path))?;
            }
        }
        if let Some(Stop::Refused(error)) = cursor.stop() {
            return Err(Error::format(&path, error.clone()));
        }
        let expected = Lsn(last.0 + 1);
        let next = self.live.get(goes_on);
        if next.is_none_or(|next| limit.is_some() || next.header.first_lsn != expected)
            && self.is_to_leave_out(expected)?
        {
            // Nothing more of this file can be read. What stands in the next one counts if everything before it
            // had been acknowledged: otherwise the log ends here.
            let acknowledged = self.acknowledged.unwrap_or(last);
            let next = next.map(Live::before).filter(|n| *n <= acknowledged);
            let lost = next.unwrap_or(acknowledged).max(last);
            let (rest, lsns) = (cursor.behind_last()..bytes.len() as u64, expected..=lost);
            let (kinds, what) = (
                self.kinds(at, bytes, rest, &lsns),
                what_stopped(cursor.stop()),
            );
            self.leave_out(at, cursor.damaged_at(), lsns, kinds, what);
            self.see(lost);
            if next.is_none() {
                self.evidence(at, bytes, &cursor, Lsn(lost.0 + 1), None)?;
            }
            return Ok(End {
                offset: end,
                last: lost,
                continues: next.is_some(),
                next: goes_on,
                why: None,
            });
        }
        if let Some(cut) = limit {
            let message = format!(
                "expected frames up to LSN {} at offset {}, behind which the log was cut; found none that is \
                 readable behind LSN {last}",
                cut.last_lsn, cut.offset
            );
            return Err(Error::corrupt(&path, end, message));
        }
        if self
            .live
            .get(at + 1)
            .is_some_and(|n| n.header.first_lsn == expected)
        {
            return Ok(End {
                offset: end,
                last,
                continues: true,
                next: at + 1,
                why: None,
            });
        }
        let why = match cursor.stop() {
            Some(Stop::Invalid(error)) => Some(error.to_string()),
            Some(Stop::EndOfFile) if !file.is_whole => Some("the file ends there".to_owned()),
            _ => None,
        };
        let stopped = cursor.damaged_at();
        self.evidence(at, bytes, &cursor, expected, why.as_deref())?;
        let is_cut_short = !file.is_whole && !matches!(cursor.stop(), Some(Stop::Zeros));
        if is_cut_short || self.unknown.iter().any(|number| *number > file.number) {
            self.doubt(path, stopped, expected, why.as_deref());
        }
        // Behind the note of an orderly end stand zeros, or what an earlier life of the file left.
        Ok(End {
            offset: end,
            last,
            continues: false,
            next: at + 1,
            why: why.filter(|_| !closed),
        })
    }

    /// Fails if a frame behind the end records that `expected` was durable. Sees the LSNs of what is cut:
    /// they are not given again.
    fn evidence(
        &mut self,
        at: usize,
        bytes: &[u8],
        cursor: &FrameCursor<'_>,
        expected: Lsn,
        why: Option<&str>,
    ) -> Result<()> {
        let stopped = cursor.damaged_at();
        let here = path_of(self.dir, self.live[at].number);
        let mut damage = None;
        let mut look = |bytes: &[u8], file: LogIdentity, from: u64| {
            if let Some(found) = find_later_evidence(bytes, from, file, expected)
                && damage.is_none()
            {
                damage = Some((file.file_number, found));
            }
        };
        look(bytes, self.live[at].identity(), cursor.offset());
        let mut given = highest_lsn(bytes, cursor.behind_last(), self.live[at].identity());
        // A cut names what was read when the log was opened, and all of that was made durable.
        let mut cuts = self.live[at + 1..]
            .iter()
            .filter_map(|f| Some((f.number, f.header.cut?)));
        let behind = cuts.find(|(_, cut)| cut.last_lsn >= expected);
        for later in &self.live[at + 1..] {
            let bytes = later.read(self.files)?;
            look(&bytes, later.identity(), 0);
            given = given.max(highest_lsn(&bytes, 0, later.identity()));
            given = given.max(Some(later.header.first_lsn));
        }
        self.highest = self.highest.max(given.unwrap_or(self.highest));
        let Some((number, found)) = damage else {
            let Some((number, cut)) = behind else {
                return Ok(());
            };
            let message = format!(
                "LSN {expected} was acknowledged and is not readable here; {} was begun behind LSN {}: a log file \
                 between them is missing",
                path_of(self.dir, number).display(),
                cut.last_lsn,
            );
            let advice =
                "restore it, or run `tidestone repair` to see what going on without it would lose";
            return Err(Error::corrupt(&here, stopped, message).advising(advice));
        };
        let message = format!(
            "LSN {expected} was acknowledged and is not readable here ({}{}); the frame at offset {} of {} \
             records that LSN {} was durable",
            why.unwrap_or("nothing but zeros"),
            self.gap(at),
            found.offset,
            path_of(self.dir, number).display(),
            found.durable_lsn,
        );
        let advice = "run `tidestone verify` to see all damage and `tidestone repair` to see what going on without \
                      it would lose";
        Err(Error::corrupt(&here, stopped, message).advising(advice))
    }

    /// What there is between file number `at` of the live ones and the next one, in words. Nothing tells
    /// which of it the log went through: numbers of files that were never begun are missing too.
    fn gap(&self, at: usize) -> String {
        let number = self.live[at].number;
        let Some(next) = self.live.get(at + 1).filter(|f| f.number > number + 1) else {
            return String::new();
        };
        let between = self.blank.iter().chain(self.unknown);
        let between = between.filter(|&&n| n > number && n < next.number);
        let mut gap = String::new();
        for path in between.map(|&n| path_of(self.dir, n)) {
            gap += &format!("; {} has no valid header", path.display());
        }
        let path = path_of(self.dir, next.number);
        gap + &format!(
            "; the next log file with a valid header is {}",
            path.display()
        )
    }

    /// Whether the frame of an LSN, which is not readable, is to be left out, and what stands behind it is to
    /// be read: in a repair, where anything in the log tells that it was acknowledged.
    fn is_to_leave_out(&mut self, lsn: Lsn) -> Result<bool> {
        if matches!(self.missing, Missing::Refused) {
            return Ok(false);
        }
        let acknowledged = match self.acknowledged {
            Some(acknowledged) => acknowledged,
            None => self.find_last_acknowledged()?,
        };
        self.acknowledged = Some(acknowledged);
        Ok(lsn <= acknowledged)
    }

    /// The last LSN of file number `at` of the live ones that may be left out for the frame behind it, where the log
    /// goes on in file number `goes_on`: everything before that frame was acknowledged. Whole frames may stand behind
    /// where the file was cut, which the next file tells. If it does not, only what frames of the file itself record
    /// counts, which they did before any cut.
    fn last_to_leave_out(&self, at: usize, goes_on: usize, bytes: &[u8]) -> Lsn {
        let file = &self.live[at];
        let acknowledged = self.acknowledged.unwrap_or_default();
        let is_told = |next: &&Live| match next.header.cut {
            Some(cut) => cut.file_number == file.number,
            None => next.has_header && next.number == file.number + 1,
        };
        match self.live.get(goes_on).filter(is_told) {
            Some(next) => Lsn(next.before().0.saturating_sub(1)).min(acknowledged),
            None => highest_durable(bytes, file.identity()).min(acknowledged),
        }
    }

    /// The highest LSN that a frame or a cut says was acknowledged.
    fn find_last_acknowledged(&self) -> Result<Lsn> {
        let mut last = Lsn(0);
        for file in self.live {
            last = last.max(file.header.cut.map_or(last, |cut| cut.last_lsn));
            let bytes = file.read(self.files)?;
            last = last.max(highest_durable(&bytes, file.identity()));
        }
        Ok(last)
    }

    /// What the frames of some LSNs were that are not readable in a part of file number `at` of the live ones, but
    /// for those that are flushed.
    fn kinds(
        &self,
        at: usize,
        bytes: &[u8],
        part: Range<u64>,
        lsns: &RangeInclusive<Lsn>,
    ) -> LostFrames {
        let lsns = (*lsns.start()).max(Lsn(self.flushed.0 + 1))..=*lsns.end();
        LostFrames::of(bytes, part, self.live[at].identity(), &lsns)
    }

    /// Tells that frames of file number `at` of the live ones are left out, but for those that are flushed.
    fn leave_out(
        &mut self,
        at: usize,
        offset: u64,
        lsns: RangeInclusive<Lsn>,
        kinds: LostFrames,
        what: String,
    ) {
        let path = path_of(self.dir, self.live[at].number);
        if kinds.is_nothing() {
            self.flaws.push(Flaw { path, offset, what });
        } else if let Missing::LeftOut(lost) = &mut self.missing {
            let first = (*lsns.start()).max(Lsn(self.flushed.0 + 1));
            let last = Some(*lsns.end());
            lost.push(Lost {
                path,
                offset,
                first,
                last,
                kinds,
                what,
            });
        }
    }

    /// Tells, where nothing is known to be lost, that something may be: what followed is not there.
    fn doubt(&mut self, path: PathBuf, offset: u64, expected: Lsn, why: Option<&str>) {
        let first = expected.max(Lsn(self.flushed.0 + 1));
        if let Missing::LeftOut(lost) = &mut self.missing {
            lost.push(Lost {
                path,
                offset,
                first,
                last: None,
                kinds: LostFrames::default(),
                what: why.unwrap_or("nothing but zeros").to_owned(),
            });
        }
    }

    fn see(&mut self, lsn: Lsn) {
        self.highest = self.highest.max(lsn);
    }

    /// Takes note of what a frame says was durable, and of where it stands.
    fn note_proof(&mut self, at: usize, frame: &Frame<'_>) {
        let (page, lsn) = (
            frame.offset - frame.offset % LOG_PAGE as u64,
            frame.header.lsn,
        );
        match self.pages.back_mut() {
            Some((file, of, last)) if (*file, *of) == (at, page) => *last = lsn,
            _ => self.pages.push_back((at, page, lsn)),
        }
        self.prove(frame.header.durable_lsn);
    }

    fn prove(&mut self, durable: Lsn) {
        self.proven = self.proven.max(durable);
        while self.pages.pop_front_if(|p| p.2 <= self.proven).is_some() {}
    }

    /// What of the files, read up to `ends`, is not proven to be on the disk: everything from the
    /// page on where the first such frame starts, and the headers of files begun behind it.
    fn unproven(&mut self, ends: &[(usize, u64)]) -> Vec<Unproven> {
        // A log is begun anew only behind what was made durable.
        let cuts = self.live.iter().filter_map(|f| f.header.cut);
        if let Some(cut) = cuts.map(|cut| cut.last_lsn).max() {
            self.prove(cut.min(self.highest));
        }
        let mut unproven = Vec::new();
        for &(at, to) in ends {
            let file = &self.live[at];
            let page = self.pages.iter().find(|p| p.0 == at).map(|p| p.1);
            let from = match file.header.first_lsn > self.proven {
                true => Some(0),
                false => page,
            };
            unproven.extend(from.map(|from| Unproven {
                file: file.number,
                from,
                to,
            }));
        }
        unproven
    }
}

/// The highest LSN that a frame of a log file, at the start of a group, says was durable.
fn highest_durable(bytes: &[u8], file: LogIdentity) -> Lsn {
    let (mut from, mut last) = (0, Lsn(0));
    while let Some(found) = find_later_evidence(bytes, from, file, Lsn(last.0 + 1)) {
        (from, last) = (found.offset + LOG_PAGE as u64, found.durable_lsn);
    }
    last
}

/// Why there is no frame where a cursor stopped, in words.
fn what_stopped(stop: Option<&Stop>) -> String {
    match stop {
        Some(Stop::Invalid(error) | Stop::Refused(error)) => error.to_string(),
        Some(Stop::EndOfFile) => "the file ends there".to_owned(),
        Some(Stop::Zeros) | None => "nothing but zeros".to_owned(),
    }
}

/// The first `most` bytes of a log file, or all of a shorter one. They are mapped only after they were read
/// once: what the disk cannot read is an error then, where a map would end the process.
pub(super) fn read(files: &LogFiles<'_>, path: &Path, most: u64) -> Result<Mapping> {
    let file = files
        .disk
        .open(path)
        .map_err(|e| Error::io("open a log file", path, e))?;
    let read = || {
        let len = file.len()?.min(most).min(LONGEST_FILE);
        let len = usize::try_from(len).map_err(std::io::Error::other)?;
        if files.mapped {
            let mut bytes = vec![0; len.min(1 << 20)];
            for at in (0..len).step_by(1 << 20) {
                let step = bytes.len().min(len - at);
                file.read_exact_at(&mut bytes[..step], at as u64)?;
            }
            return file.map(len);
        }
        Ok(Mapping::Memory(io::read_shared(&*file, 0, len)?))
    };
    read().map_err(|e| Error::io("read a log file", path, e))
}

/// Makes what replay read durable, before it counts as such: a process that was killed leaves bytes
/// in the page cache that no sync has covered, and one whose sync failed leaves bytes there that no
/// later sync writes. So they are written again, the same bytes in the same place, and then synced.
/// Nothing that is proven to be durable is touched.
pub(crate) fn make_durable(disk: &dyn Disk, dir: &Path, unproven: &[Unproven]) -> Result<()> {
    /// Bytes read and written at a time.
    const CHUNK: u64 = 1 << 20;
    for Unproven { file, from, to } in unproven {
        let path = path_of(dir, *file);
        let rewrite = || -> std::io::Result<()> {
            let file = disk.open_write(&path)?;
            let mut at = *from;
            while at < *to {
                let step = usize::try_from((to - at).min(CHUNK)).map_err(std::io::Error::other)?;
                let mut bytes = vec![0; step];
                file.read_exact_at(&mut bytes, at)?;
                file.write_all_at(&bytes, at)?;
                at += step as u64;
            }
            file.sync()
        };
        rewrite().map_err(|e| Error::io("make the end of the log durable", &path, e))?;
    }
    Ok(())
}

/// Removes files of which replay used nothing, before the log goes on, but for one of length `keep`,
/// whose number it returns: it has been written to its end and can be used again under a new number.
pub(crate) fn remove_unused(
    disk: &dyn Disk,
    dir: &Path,
    numbers: &[u64],
    keep: u64,
) -> Result<Option<u64>> {
    let mut kept = None;
    for number in numbers {
        let path = path_of(dir, *number);
        let len = disk.open(&path).and_then(|f| f.len());
        let len = len.map_err(|e| Error::io("look at an unused log file", &path, e))?;
        if kept.is_none() && len == keep {
            kept = Some(*number);
            continue;
        }
        disk.remove(&path)
            .map_err(|e| Error::io("remove an unused log file", &path, e))?;
    }
    disk.sync_dir(dir)
        .map_err(|e| Error::io("sync the log folder", dir, e))?;
    Ok(kept)
}
