//! The frames of a log file in order, where they stop, and what stands behind that.
//!
//! Where a log ends is decided in two steps. [`FrameCursor`] goes from frame to frame and stops at
//! the first place without a whole frame that carries the expected LSN. Then
//! [`find_later_evidence`], of this file and of all later ones, tells whether that frame had been
//! acknowledged: if so the log is damaged, if not it ends there.

use std::ops::{Range, RangeInclusive};

use memchr::memmem;

use super::frame::{
    FRAME_ALIGN, FRAME_HEADER_LEN, FRAME_MAGIC, Frame, FrameKind, LogIdentity, WholeFrame,
    lsn_and_kind_of_header,
};
use crate::bytes::Reader;
use crate::header::HEADER_LEN;
use crate::version::LOG_PAGE;
use crate::{FormatError, Lsn, Result};

/// Why a [`FrameCursor`] stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// No frame fits between here and the end of the file.
    EndOfFile,
    /// Nothing was written here.
    Zeros,
    /// Here stands something else than a whole frame of this file with the expected LSN: one that
    /// is torn or damaged, or one of an earlier life of the file.
    Invalid(FormatError),
    /// Here stands the expected frame, whole, and this version cannot read it. The log does *not*
    /// end here; it must be left alone.
    Refused(FormatError),
}

/// Goes through the frames of a log file.
#[derive(Debug, Clone)]
pub struct FrameCursor<'a> {
    bytes: &'a [u8],
    file: LogIdentity,
    next_lsn: Lsn,
    at: usize,
    /// Where the last frame ended.
    behind: usize,
    stop: Option<Stop>,
    stray: Option<FormatError>,
}

impl<'a> FrameCursor<'a> {
    /// A cursor before the first frame of log file `file`; `file_bytes` is the whole file, whose
    /// header says `file` and `first_lsn`.
    pub fn new(file_bytes: &'a [u8], file: LogIdentity, first_lsn: Lsn) -> Self {
        let mut cursor = Self {
            bytes: file_bytes,
            file,
            next_lsn: first_lsn,
            at: LOG_PAGE,
            behind: LOG_PAGE,
            stop: None,
            stray: None,
        };
        cursor.check_gap(HEADER_LEN, LOG_PAGE);
        cursor
    }

    /// A cursor that goes on where another one of the same file stood, with [`offset`](Self::offset)
    /// and [`next_lsn`](Self::next_lsn) of that. Bytes before `offset` are not looked at.
    pub fn resume(file_bytes: &'a [u8], file: LogIdentity, offset: u64, next_lsn: Lsn) -> Self {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        Self {
            bytes: file_bytes,
            file,
            next_lsn,
            at,
            behind: at,
            stop: None,
            stray: None,
        }
    }

    /// The LSN of the frame expected next.
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The first byte behind the last frame and its padding; once the cursor has stopped on
    /// something [`Invalid`](Stop::Invalid) or [`Refused`](Stop::Refused), the offset of that.
    pub fn offset(&self) -> u64 {
        self.at as u64
    }

    /// The first byte behind the last frame and its padding, wherever the cursor stopped: where the next one
    /// of its group has a damaged magic that is before [`offset`](Self::offset).
    pub fn behind_last(&self) -> u64 {
        self.behind as u64
    }

    /// Where the damage starts that the cursor stopped on: [`offset`](Self::offset), unless bytes stand between
    /// the last frame and that which should be zero.
    pub fn damaged_at(&self) -> u64 {
        let gap = self.bytes.get(self.behind..self.at).unwrap_or_default();
        let stray = gap.iter().position(|&b| b != 0);
        let at = stray.map_or(self.at, |i| (self.behind + i) / FRAME_ALIGN * FRAME_ALIGN);
        at as u64
    }

    /// Why there are no more frames; `None` while there may be.
    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// The first byte between file header and frames, or between two groups of them, that should
    /// be zero and is not. It harms no frame, but something wrote where nothing should have.
    pub fn stray_bytes(&self) -> Option<&FormatError> {
        self.stray.as_ref()
    }

    /// Steps over frames that are not readable where the cursor stopped, if a whole frame of this file
    /// stands behind them and all of their LSNs, which it returns, are at most `most`. Whoever needs
    /// nothing up to `most` loses nothing by it.
    pub fn step_over(&mut self, most: Lsn) -> Option<RangeInclusive<Lsn>> {
        if matches!(self.stop, None | Some(Stop::Refused(_))) {
            return None;
        }
        let first = self.next_lsn;
        let from = self.behind.checked_next_multiple_of(FRAME_ALIGN)?;
        // LSNs ascend in a file: the first whole frame behind says which ones are missing.
        let (at, lsn) = first_whole(self.bytes, from, self.file)?;
        let last = Lsn(lsn.0.checked_sub(1)?);
        if last < first || last > most {
            return None;
        }
        (self.at, self.behind, self.next_lsn, self.stop) = (at, at, lsn, None);
        Some(first..=last)
    }

    /// The frame at the place of the next one, or why there is none.
    fn look(&mut self) -> Result<Frame<'a>, Stop> {
        let same_group = self.has_magic(self.at);
        let place = if same_group {
            self.at
        } else {
            self.at.next_multiple_of(LOG_PAGE)
        };
        let Some(header) = self
            .bytes
            .get(place..place.saturating_add(FRAME_HEADER_LEN))
        else {
            return Err(Stop::EndOfFile);
        };
        if header.iter().all(|&b| b == 0) {
            return Err(Stop::Zeros);
        }
        let behind_last = std::mem::replace(&mut self.at, place);
        let invalid = Stop::Invalid;
        let whole = WholeFrame::at(self.bytes, place as u64, self.file).map_err(invalid)?;
        if whole.lsn != self.next_lsn {
            return Err(Stop::Invalid(FormatError::invalid(
                "log frame",
                place as u64 + 32,
                format_args!("LSN {}", self.next_lsn),
                whole.lsn,
            )));
        }
        let frame = whole.interpret().map_err(Stop::Refused)?;
        self.check_gap(behind_last, place);
        Ok(frame)
    }

    fn has_magic(&self, at: usize) -> bool {
        self.bytes
            .get(at..)
            .is_some_and(|b| b.starts_with(&FRAME_MAGIC))
    }

    fn check_gap(&mut self, from: usize, to: usize) {
        if self.stray.is_none()
            && let Some(gap) = self.bytes.get(from..to)
        {
            let zeros = Reader::new(gap, "gap between log frames").zeros(gap.len());
            self.stray = zeros.err().map(|e| e.at_base(from as u64));
        }
    }
}

impl<'a> Iterator for FrameCursor<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        if self.stop.is_some() {
            return None;
        }
        match self.look() {
            Ok(frame) => {
                self.at += super::frame::frame_len(frame.payload.len());
                self.behind = self.at;
                self.next_lsn = Lsn(frame.header.lsn.0.saturating_add(1));
                Some(frame)
            }
            Err(stop) => {
                self.stop = Some(stop);
                None
            }
        }
    }
}

/// A frame that proves an earlier one was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Offset of the frame that proves it.
    pub offset: u64,
    /// That frame's LSN.
    pub lsn: Lsn,
    /// The durable LSN it records.
    pub durable_lsn: Lsn,
}

/// The first whole frame of log file `file`, at a multiple of 4096 at or behind
/// `from_offset`, which records that `lsn` was durable; of any LSN and kind.
///
/// `file_bytes` is the whole file. Of the file where the log stopped, `from_offset` is
/// [`FrameCursor::offset`]; of every later one, 0.
pub fn find_later_evidence(
    file_bytes: &[u8],
    from_offset: u64,
    file: LogIdentity,
    lsn: Lsn,
) -> Option<Evidence> {
    let from = usize::try_from(from_offset).ok()?.max(LOG_PAGE);
    let first = from.checked_next_multiple_of(LOG_PAGE)?;
    (first..file_bytes.len()).step_by(LOG_PAGE).find_map(|at| {
        let frame = WholeFrame::at(file_bytes, at as u64, file).ok()?;
        (frame.durable_lsn >= lsn && frame.durable_lsn < frame.lsn).then_some(Evidence {
            offset: at as u64,
            lsn: frame.lsn,
            durable_lsn: frame.durable_lsn,
        })
    })
}

/// The highest LSN that the header of a frame of log file `file` names, at or behind `from_offset`. The
/// frame need not be whole, nor be reached from those before it: its LSN was given.
pub fn highest_lsn(file_bytes: &[u8], from_offset: u64, file: LogIdentity) -> Option<Lsn> {
    let from = usize::try_from(from_offset).ok()?.max(LOG_PAGE);
    let first = from.checked_next_multiple_of(FRAME_ALIGN)?;
    with_magic(file_bytes, first)
        .filter_map(|at| lsn_and_kind_of_header(&file_bytes[at..], file))
        .map(|(lsn, _)| lsn)
        .max()
}

/// Offset and LSN of the first whole frame of log file `file` behind its header page.
pub fn first_whole_frame(file_bytes: &[u8], file: LogIdentity) -> Option<(u64, Lsn)> {
    let (at, lsn) = first_whole(file_bytes, LOG_PAGE, file)?;
    Some((at as u64, lsn))
}

fn first_whole(bytes: &[u8], from: usize, file: LogIdentity) -> Option<(usize, Lsn)> {
    with_magic(bytes, from).find_map(|at| {
        let frame = WholeFrame::at(bytes, at as u64, file).ok()?;
        Some((at, frame.lsn))
    })
}

/// LSN and kind of every frame of log file `file` that starts in a `part` of it and whose header can be read,
/// whether or not its payload can.
pub fn sound_headers(
    file_bytes: &[u8],
    part: Range<u64>,
    file: LogIdentity,
) -> impl Iterator<Item = (Lsn, FrameKind)> {
    let len = file_bytes.len();
    let place = move |at: u64| usize::try_from(at).map_or(len, |at| at.min(len));
    let from = place(part.start).next_multiple_of(FRAME_ALIGN);
    with_magic(file_bytes, from)
        .take_while(move |at| *at < place(part.end))
        .filter_map(move |at| {
            let (lsn, kind) = lsn_and_kind_of_header(&file_bytes[at..], file)?;
            Some((lsn, kind?))
        })
}

/// The places from `first` on where a frame may stand: aligned, and with its magic, which does not
/// overlap itself. Log files are zeros for the most part, and long.
fn with_magic(bytes: &[u8], first: usize) -> impl Iterator<Item = usize> {
    let rest = bytes.get(first..).unwrap_or_default();
    memmem::find_iter(rest, &FRAME_MAGIC)
        .map(move |at| first + at)
        .filter(|at| at.is_multiple_of(FRAME_ALIGN))
}

#[cfg(test)]
mod tests;
