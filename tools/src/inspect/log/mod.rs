//! A log file: its frames, where they end and why.

mod frame;

use std::io::{self, Write};

use serde::Serialize;
use tidestone_format::header::Specific;
use tidestone_format::log::frame::{FRAME_ALIGN, FRAME_HEADER_LEN, FRAME_MAGIC, decode_frame};
use tidestone_format::log::{Frame, FrameCursor, LogIdentity, Stop, find_later_evidence};
use tidestone_format::version::LOG_PAGE;
use tidestone_format::{FileUuid, FormatError, Lsn};

use super::check::{Damage, Verdict};
use super::gap::{GapReport, Layout};
use super::header::HeaderReport;
use crate::text::TextTable;
use frame::{FrameInFull, FrameReport};

/// The frames of a log file.
#[derive(Debug, Serialize)]
pub(super) struct LogReport {
    frames: Vec<FrameReport>,
    end: End,
    /// Whole frames of this file behind the end: written, but not in the log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    behind: Vec<FrameReport>,
}

/// Where the frames end.
#[derive(Debug, Serialize)]
struct End {
    offset: u64,
    next_lsn: u64,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Proof>,
    /// The next frame is there, and is refused.
    #[serde(skip)]
    is_refused: bool,
}

/// A frame behind the end that proves that one before it is missing.
#[derive(Debug, Serialize)]
struct Proof {
    offset: u64,
    lsn: u64,
    durable_lsn: u64,
}

impl LogReport {
    pub(super) fn of(bytes: &[u8], header: &HeaderReport, damage: &mut Vec<Damage>) -> Self {
        let (file, first_lsn) = start(bytes, header);
        damage.extend(wrong_length(bytes, header));
        let mut cursor = FrameCursor::new(bytes, file, first_lsn);
        let frames: Vec<FrameReport> = cursor.by_ref().map(|f| FrameReport::of(&f)).collect();
        damage.extend(frames.iter().filter_map(|f| f.damage.clone()));
        damage.extend(cursor.stray_bytes().cloned().map(Damage::from));
        // A file may be cut short in its header.
        let offset = cursor.offset().min(bytes.len() as u64);
        let next = cursor.next_lsn();
        let is_refused = matches!(cursor.stop(), Some(Stop::Refused(_)));
        let proof = match is_refused {
            true => None,
            false => find_later_evidence(bytes, offset, file, next),
        };
        let reason = match cursor.stop() {
            None | Some(Stop::EndOfFile) => "no frame fits before the end of the file".to_owned(),
            Some(Stop::Zeros) => "nothing was written here".to_owned(),
            Some(Stop::Invalid(error)) => error.to_string(),
            Some(Stop::Refused(error)) => {
                damage.push(error.clone().into());
                format!("{error}; the log does not end here")
            }
        };
        if proof.is_some() {
            let found = match cursor.stop() {
                Some(Stop::Invalid(error)) => Damage::from(error.clone()),
                _ => missing(offset, next, &reason),
            };
            damage.push(found);
        }
        Self {
            frames,
            end: End {
                offset,
                next_lsn: next.0,
                reason,
                proof: proof.map(|p| Proof {
                    offset: p.offset,
                    lsn: p.lsn.0,
                    durable_lsn: p.durable_lsn.0,
                }),
                is_refused,
            },
            behind: frames_behind(bytes, offset, file)
                .map(|f| FrameReport::of(&f))
                .collect(),
        }
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: u64 = self.frames.iter().map(|f| f.rows).sum();
        writeln!(out, "\nframes: {}, with {rows} rows", self.frames.len())?;
        frame::print_list(&self.frames, out)?;
        let End {
            offset, next_lsn, ..
        } = self.end;
        writeln!(out, "\nend at {offset}, before LSN {next_lsn}")?;
        writeln!(out, "  {}", self.end.reason)?;
        match &self.end.proof {
            Some(proof) => writeln!(
                out,
                "  BAD: the frame at {} (LSN {}) says that LSN {} was durable, so LSN {next_lsn} \
                 was acknowledged and is damaged",
                proof.offset, proof.lsn, proof.durable_lsn
            )?,
            None if self.end.is_refused => {}
            None => writeln!(
                out,
                "  nothing in this file says that LSN {next_lsn} was acknowledged; a later log \
                 file might"
            )?,
        }
        if !self.behind.is_empty() {
            let what = match self.end.is_refused {
                true => "behind that, whole",
                false => "behind the end, whole, not in the log",
            };
            writeln!(out, "\n{what}: {}", self.behind.len())?;
            frame::print_list(&self.behind, out)?;
        }
        Ok(())
    }
}

/// What lies at an offset.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Place {
    Frame(Box<FrameInFull>),
    Gap(GapReport),
}

impl Place {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Frame(frame) => frame.verdict(),
            Self::Gap(gap) => gap.verdict(),
        }
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Frame(frame) => frame.print(out),
            Self::Gap(gap) => gap.print(out),
        }
    }
}

const LAYOUT: Layout = Layout {
    what: "frame",
    magic: FRAME_MAGIC,
    header_len: FRAME_HEADER_LEN,
    align: FRAME_ALIGN,
    numbers: &[
        ("payload", 12, 4),
        ("log file", 24, 8),
        ("LSN", 32, 8),
        ("durable LSN", 40, 8),
    ],
};

/// The frame at or around `offset`, in full, or what is left of it.
pub(super) fn place_at(bytes: &[u8], offset: u64) -> Place {
    let header = HeaderReport::of(bytes, tidestone_format::header::FileKind::Log);
    let (file, first_lsn) = start(bytes, &header);
    let mut cursor = FrameCursor::new(bytes, file, first_lsn);
    let mut frames: Vec<Frame<'_>> = cursor.by_ref().collect();
    frames.extend(frames_behind(bytes, cursor.offset(), file));
    if let Some(frame) = frames
        .iter()
        .find(|f| (f.offset..f.end()).contains(&offset))
    {
        return Place::Frame(Box::new(FrameInFull::of(frame)));
    }
    let before = frames.iter().map(Frame::end).filter(|&end| end <= offset);
    let header_end = tidestone_format::header::HEADER_LEN as u64;
    // Zeros lie between the header and the first page of frames.
    let first = if offset < LOG_PAGE as u64 {
        header_end
    } else {
        LOG_PAGE as u64
    };
    let from = before.max().unwrap_or(first);
    // One that none of the others leads to: behind a damaged one, or one that is refused.
    let align = FRAME_ALIGN as u64;
    let starts = (from / align..=offset / align).rev().map(|n| n * align);
    let mut starts = starts.filter(|&at| has_magic(bytes, at));
    let frame = starts
        .next()
        .and_then(|at| decode_frame(bytes, at, file).ok());
    if let Some(frame) = frame.filter(|frame| offset < frame.end()) {
        return Place::Frame(Box::new(FrameInFull::of(&frame)));
    }
    let behind = frames.iter().map(|f| f.offset).filter(|&at| at > offset);
    let to = behind.min().unwrap_or(bytes.len() as u64);
    let to = if from < LOG_PAGE as u64 {
        to.min(LOG_PAGE as u64)
    } else {
        to
    };
    let stray = cursor
        .stray_bytes()
        .filter(|e| (from..to).contains(&e.offset));
    Place::Gap(GapReport::of(bytes, from..to, offset, &LAYOUT, |at| {
        let why = || decode_frame(bytes, at, file).err();
        stray.cloned().or_else(why)
    }))
}

/// Which file it is and the LSN of its first frame: what the header says or, if that is damaged and
/// fits no frame, what the first frame says.
fn start(bytes: &[u8], header: &HeaderReport) -> (LogIdentity, Lsn) {
    let incarnation = header
        .decoded
        .as_ref()
        .map_or(FileUuid([0; 16]), |h| h.file);
    let identity = |file_number| LogIdentity {
        incarnation,
        file_number,
    };
    let said = header.decoded.as_ref().map(|h| {
        let first = match &h.specific {
            Specific::Log(log) => log.first_lsn,
            _ => Lsn(1),
        };
        (identity(h.number), first)
    });
    let fits =
        |&(file, lsn): &(LogIdentity, Lsn)| FrameCursor::new(bytes, file, lsn).next().is_some();
    if let Some(said) = said.filter(|said| header.is_valid() || fits(said)) {
        return said;
    }
    let word = |at: usize| {
        let bytes = bytes.get(LOG_PAGE + at..).and_then(|b| b.first_chunk());
        bytes.map_or(0, |b| u64::from_le_bytes(*b))
    };
    let first = decode_frame(bytes, LOG_PAGE as u64, identity(word(24)));
    first.map_or(said.unwrap_or((identity(0), Lsn(1))), |f| {
        (identity(f.header.file_number), f.header.lsn)
    })
}

fn wrong_length(bytes: &[u8], header: &HeaderReport) -> Option<Damage> {
    let Specific::Log(log) = header.decoded.as_ref()?.specific else {
        return None;
    };
    let len = bytes.len() as u64;
    (header.is_valid() && log.file_len != len).then(|| {
        FormatError::invalid(
            "length of the log file",
            136,
            format_args!("{} bytes, as the header says", log.file_len),
            format_args!("{len} bytes"),
        )
        .into()
    })
}

fn missing(offset: u64, lsn: Lsn, reason: &str) -> Damage {
    FormatError::invalid(
        "log frame",
        offset,
        format_args!("the frame of LSN {lsn}"),
        reason,
    )
    .into()
}

/// The whole frames of `file` behind the place where the log ends. They start at pages, or
/// behind one another.
fn frames_behind(bytes: &[u8], offset: u64, file: LogIdentity) -> impl Iterator<Item = Frame<'_>> {
    let page = LOG_PAGE as u64;
    let mut at = offset.max(page).next_multiple_of(page);
    std::iter::from_fn(move || {
        while at < bytes.len() as u64 {
            if let Ok(frame) = decode_frame(bytes, at, file) {
                at = frame.end();
                if !has_magic(bytes, at) {
                    at = at.next_multiple_of(page);
                }
                return Some(frame);
            }
            at = (at + 1).next_multiple_of(page);
        }
        None
    })
}

fn has_magic(bytes: &[u8], at: u64) -> bool {
    let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..));
    rest.is_some_and(|rest| rest.starts_with(&FRAME_MAGIC))
}

/// A table for frames.
fn frame_table() -> TextTable {
    TextTable::new([
        "offset", "bytes", "LSN", "durable", "kind", "CRC-32", "holds",
    ])
}
