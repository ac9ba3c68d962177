//! Reading the log while another process writes it: frame after frame, up to what is durable.
//!
//! Whoever follows knows an LSN that is durable, so every frame up to it was in its place before.
//! One that is not there now was recycled, which happens only once it is flushed: a newer manifest
//! has it. So there is no tail to be told from damage here, and nothing is guessed.
//!
//! # Invariants
//! 1. Frames are handed out in the order of their LSNs, none twice and none left out but those that
//!    a log file's header says were cut.
//! 2. A frame is believed only if it carries the number of the file it is read from: what stands in
//!    a file that was recycled meanwhile is not taken for what stood there before.

use std::path::PathBuf;
use std::sync::Arc;

use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN, LogHeader, Specific};
use tidestone_format::log::{Frame, FrameCursor, FrameKind, LogIdentity, Stop};
use tidestone_format::version::LOG_PAGE;
use tidestone_format::{FormatErrorKind, Lsn};

use super::files::{LONGEST_FILE, number_of, path_of};
use super::replay::LogFiles;
use crate::error::{Error, Result};
use crate::io::File;

/// Bytes read at a time, at first.
const CHUNK: usize = 256 << 10;

/// A place in the log.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    number: u64,
    offset: u64,
    /// The LSN expected next.
    next: Lsn,
}

/// How far a [`Follower`] came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Followed {
    /// To the LSN that was asked for.
    All,
    /// What follows is not in the log: that LSN, and where it was looked for.
    Gone { next: Lsn, path: PathBuf },
}

/// A log file whose header is sound.
struct Found {
    number: u64,
    header: LogHeader,
}

impl Found {
    /// The last LSN before the file that counts.
    fn before(&self) -> Lsn {
        let before = Lsn(self.header.first_lsn.0 - 1);
        let cut = self.header.cut;
        cut.map_or(before, |cut| cut.last_lsn.min(before))
    }

    /// Whether the log goes on in this file once everything in file `number` below `next` was read.
    fn continues(&self, number: u64, next: Lsn) -> bool {
        match self.header.cut {
            Some(cut) => cut.file_number == number && cut.last_lsn.0 + 1 == next.0,
            None => self.header.first_lsn == next,
        }
    }
}

impl Follower {
    /// The place behind everything up to `flushed`; `None` if the log begins later.
    pub(crate) fn start(files: &LogFiles<'_>, flushed: Lsn) -> Result<Option<Self>> {
        let found = headers(files)?;
        // The last one that begins early enough: whatever is needed stands in it or behind it.
        let start = found.iter().rev().find(|f| f.before() <= flushed);
        Ok(start.map(|file| Self {
            number: file.number,
            offset: LOG_PAGE as u64,
            next: file.header.first_lsn,
        }))
    }

    /// Hands every frame above `flushed` and up to `durable` to `visit`, notes left out. The place is
    /// behind what was handed out, however this ends.
    ///
    /// # Errors
    /// A file cannot be read, a newer version wrote it, or an error of `visit`.
    pub(crate) fn read(
        &mut self,
        files: &LogFiles<'_>,
        flushed: Lsn,
        durable: Lsn,
        mut visit: impl FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<Followed> {
        while self.next <= durable {
            self.read_file(files, flushed, durable, &mut visit)?;
            if self.next > durable {
                break;
            }
            let found = headers(files)?;
            let goes_on =
                |f: &&Found| f.number > self.number && f.continues(self.number, self.next);
            let Some(file) = found.iter().find(goes_on) else {
                return Ok(Followed::Gone {
                    next: self.next,
                    path: path_of(files.dir, self.number),
                });
            };
            self.number = file.number;
            self.offset = LOG_PAGE as u64;
            self.next = file.header.first_lsn;
        }
        Ok(Followed::All)
    }

    /// Reads on in the file it is in, until there is no further frame in it.
    fn read_file(
        &mut self,
        files: &LogFiles<'_>,
        flushed: Lsn,
        durable: Lsn,
        visit: &mut impl FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<()> {
        let path = path_of(files.dir, self.number);
        let identity = LogIdentity {
            incarnation: files.incarnation,
            file_number: self.number,
        };
        let file = match files.disk.open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(|e| Error::io("open a log file", &path, e))?,
        };
        let mut bytes =
            Window::new(file, self.offset).map_err(|e| Error::io("open a log file", &path, e))?;
        let mut step = CHUNK;
        loop {
            let has_all = bytes
                .read_on(step)
                .map_err(|e| Error::io("read a log file", &path, e))?;
            step *= 2;
            let mut cursor = FrameCursor::resume(bytes.read(), identity, self.offset, self.next);
            while self.next <= durable
                && let Some(frame) = cursor.next()
            {
                if frame.header.lsn > flushed && frame.header.kind != FrameKind::Note {
                    visit(&frame).map_err(|e| e.with_path(&path))?;
                }
                self.offset = cursor.offset();
                self.next = cursor.next_lsn();
            }
            if let Some(Stop::Refused(error)) = cursor.stop() {
                return Err(Error::format(&path, error.clone()));
            }
            if self.next > durable {
                return Ok(());
            }
            if has_all && let Some(lsns) = cursor.step_over(flushed) {
                // Damage there costs nothing: what it held is in segments.
                self.offset = cursor.offset();
                self.next = Lsn(lsns.end().0 + 1);
                continue;
            }
            // Zeros within what was read stay zeros until the file is recycled.
            let ended = matches!(cursor.stop(), Some(Stop::Zeros)) && self.next > flushed;
            if ended || has_all {
                return Ok(());
            }
        }
    }
}

/// The bytes of a file, as far as they were read. What lies before the place it starts at is zero and
/// takes no memory.
struct Window {
    file: Arc<dyn File>,
    bytes: Vec<u8>,
    read: usize,
}

impl Window {
    fn new(file: Arc<dyn File>, from: u64) -> std::io::Result<Self> {
        let len = file.len()?.min(LONGEST_FILE);
        let len = usize::try_from(len).map_err(std::io::Error::other)?;
        let from = usize::try_from(from).map_err(std::io::Error::other)?;
        Ok(Self {
            file,
            bytes: vec![0; len],
            read: from.min(len),
        })
    }

    /// Reads `step` bytes more; whether that is all there is.
    fn read_on(&mut self, step: usize) -> std::io::Result<bool> {
        let to = (self.read + step).min(self.bytes.len());
        self.file
            .read_exact_at(&mut self.bytes[self.read..to], self.read as u64)?;
        self.read = to;
        Ok(to == self.bytes.len())
    }

    fn read(&self) -> &[u8] {
        &self.bytes[..self.read]
    }
}

/// The log files with a sound header of this incarnation, by number. One without is being made ready,
/// or recycled.
fn headers(files: &LogFiles<'_>) -> Result<Vec<Found>> {
    let dir = files.dir;
    let names = files.disk.list(dir);
    let names = names.map_err(|e| Error::io("list the log folder", dir, e))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|e| number_of(&e.name)).collect();
    numbers.sort_unstable();
    let mut found = Vec::new();
    for number in numbers {
        let path = path_of(dir, number);
        let mut head = [0; HEADER_LEN];
        let read = files
            .disk
            .open(&path)
            .and_then(|file| file.read_exact_at(&mut head, 0));
        match read.map_err(|e| (e.kind(), e)) {
            Ok(()) => {}
            Err((std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof, _)) => continue,
            Err((_, e)) => return Err(Error::io("read the header of a log file", &path, e)),
        }
        match FileHeader::decode_kind(&head, FileKind::Log) {
            Ok(FileHeader {
                specific: Specific::Log(header),
                database,
                file,
                number: own,
                ..
            }) if own == number && database == files.database && file == files.incarnation => {
                found.push(Found { number, header });
            }
            Err(error) if error.kind == FormatErrorKind::Unsupported => {
                return Err(Error::format(&path, error));
            }
            _ => {}
        }
    }
    Ok(found)
}
