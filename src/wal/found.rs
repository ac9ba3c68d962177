//! The files of the log: which have frames, which were made ready and never used, what is wrong with them.

use std::path::{Path, PathBuf};

use tidestone_format::header::{Cut, FileHeader, FileKind, HEADER_LEN, LogHeader, Specific};
use tidestone_format::log::frame::{FRAME_HEADER_LEN, LogIdentity};
use tidestone_format::log::scan::{find_later_evidence, first_whole_frame, highest_lsn};
use tidestone_format::version::LOG_PAGE;
use tidestone_format::{FormatError, Lsn};

use super::files::{LONGEST_FILE, number_of, path_of};
use super::replay::{Flaw, Live, LogFiles, Missing, Tail, read};
use crate::error::{Error, Result};

/// The files of a log, by number.
pub(super) struct Found {
    pub(super) live: Vec<Live>,
    /// Numbers of those that were made ready and never used.
    pub(super) blank: Vec<u64>,
    /// Numbers of those that nothing can be read of.
    pub(super) unknown: Vec<u64>,
    /// Of the blank ones those that have frames.
    pub(super) headless: Vec<Headless>,
    pub(super) flaws: Vec<Flaw>,
}

/// What a log file is.
enum Kind {
    Live(Live),
    Blank,
    Headless(Headless),
    Unknown,
}

/// A log file without a readable header, of whose frames nothing says that they were synced: the power may
/// have failed while they were written, header and all. They are not replayed; whether any were lost with it is
/// for who reads the report to know.
pub(super) struct Headless {
    /// As it is read if a later file says that it was.
    live: Live,
    flaw: Flaw,
    pub(super) tail: Tail,
}

impl Headless {
    /// The LSN of the first frame.
    pub(super) fn first(&self) -> Lsn {
        self.live.header.first_lsn
    }
}

impl Flaw {
    pub(crate) fn error(&self) -> Error {
        Error::corrupt(&self.path, self.offset, self.what.clone())
    }
}

pub(super) fn find_files(files: &LogFiles<'_>, missing: &Missing<'_>) -> Result<Found> {
    let names = files.disk.list(files.dir);
    let names = names.map_err(|e| Error::io("list the log folder", files.dir, e))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|e| number_of(&e.name)).collect();
    numbers.sort_unstable();
    let mut found = Found {
        live: Vec::new(),
        blank: Vec::new(),
        unknown: Vec::new(),
        headless: Vec::new(),
        flaws: Vec::new(),
    };
    for number in numbers {
        let (kind, flaw) = look_at(files, number, missing)?;
        match kind {
            Kind::Live(file) => found.live.push(file),
            Kind::Blank => found.blank.push(number),
            Kind::Headless(headless) => {
                found.blank.push(number);
                found.headless.push(headless);
            }
            Kind::Unknown => found.unknown.push(number),
        }
        match (flaw, missing) {
            (Some(flaw), Missing::Refused) => return Err(flaw.error()),
            (flaw, _) => found.flaws.extend(flaw),
        }
    }
    if matches!(missing, Missing::LeftOut(_)) {
        found.use_what_a_cut_names();
    }
    Ok(found)
}

impl Found {
    /// What a later file was begun behind had been read then: its header was sound.
    fn use_what_a_cut_names(&mut self) {
        let cuts: Vec<Cut> = self.live.iter().filter_map(|f| f.header.cut).collect();
        let is_named = |headless: &mut Headless| {
            let (number, first) = (headless.live.number, headless.first());
            let mut cuts = cuts.iter();
            cuts.any(|cut| cut.file_number == number && cut.last_lsn >= first)
        };
        for headless in self.headless.extract_if(.., is_named) {
            self.blank.retain(|number| *number != headless.live.number);
            self.flaws.push(headless.flaw);
            self.live.push(headless.live);
        }
        self.live.sort_by_key(|file| file.number);
    }
}

/// What log file `number` is, and what is wrong with it.
fn look_at(
    files: &LogFiles<'_>,
    number: u64,
    missing: &Missing<'_>,
) -> Result<(Kind, Option<Flaw>)> {
    let path = path_of(files.dir, number);
    let file = files.disk.open(&path);
    let file = file.map_err(|e| Error::io("open a log file", &path, e))?;
    let len = file
        .len()
        .map_err(|e| Error::io("open a log file", &path, e))?;
    let too_long = too_long(&path, len);
    if let (Some(flaw), Missing::Refused) = (&too_long, missing) {
        // Without a header it would be read to see what it is.
        return Err(flaw.error());
    }
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
    let header = match decoded {
        Ok(header) => header,
        Err(error) if error.kind == tidestone_format::FormatErrorKind::Unsupported => {
            return Err(Error::format(&path, error));
        }
        Err(error) => return without_header(files, path, number, &error, too_long),
    };
    let log = match header.specific {
        Specific::Log(log) if header.number == number => log,
        // One that is used again has the number of its earlier life until its new header is written, with
        // the first frames. Where the first one of that life still stands it has no others, and is not read.
        _ => {
            let earlier = LogIdentity {
                incarnation: header.file,
                file_number: header.number,
            };
            let mut start = [0; LOG_PAGE + FRAME_HEADER_LEN];
            if len >= start.len() as u64 {
                file.read_exact_at(&mut start, 0)
                    .map_err(|e| Error::io("read the start of a log file", &path, e))?;
            }
            if highest_lsn(&start, 0, earlier).is_some() {
                return Ok((Kind::Blank, too_long));
            }
            let error = FormatError::invalid("file header", 56, number, header.number);
            return without_header(files, path, number, &error, too_long);
        }
    };
    let flaw = |offset: u64, what: String| Some(Flaw { path, offset, what });
    let (of, incarnation) = (header.database, header.file);
    if of != files.database {
        let what = format!(
            "the log file belongs to database {of}, this is {}",
            files.database
        );
        return Ok((Kind::Unknown, flaw(24, what)));
    }
    if incarnation != files.incarnation {
        let what = format!(
            "the log file is of incarnation {incarnation}, the manifest of {}",
            files.incarnation
        );
        return Ok((Kind::Unknown, flaw(40, what)));
    }
    let live = Kind::Live(Live {
        number,
        incarnation,
        len,
        header: log,
        from: LOG_PAGE as u64,
        is_whole: len >= log.file_len,
        has_header: true,
    });
    if len == log.file_len {
        return Ok((live, too_long));
    }
    let what = format!(
        "the log file has {len} bytes, its header says {}",
        log.file_len
    );
    Ok((live, flaw(136, what)))
}

/// What is wrong with a log file that has more bytes than any: it is refused before it is read.
pub(crate) fn too_long(path: &Path, len: u64) -> Option<Flaw> {
    (len > LONGEST_FILE).then(|| Flaw {
        path: path.to_owned(),
        offset: LONGEST_FILE,
        what: format!("the log file has {len} bytes, and none has more than {LONGEST_FILE}"),
    })
}

/// A file without a sound header was made ready and never used, or its header was being written
/// when the power failed. If it holds frames of its own number and of this incarnation that record a durable LSN at or past
/// the first of them, its header was durable once and is damaged.
fn without_header(
    files: &LogFiles<'_>,
    path: PathBuf,
    number: u64,
    error: &FormatError,
    too_long: Option<Flaw>,
) -> Result<(Kind, Option<Flaw>)> {
    let bytes = read(files, &path, LONGEST_FILE)?;
    let (incarnation, len) = (files.incarnation, bytes.len() as u64);
    let file = LogIdentity {
        incarnation,
        file_number: number,
    };
    let Some(first) = find_later_evidence(&bytes, 0, file, Lsn(0)) else {
        return Ok((Kind::Blank, too_long));
    };
    // Its frames tell where it begins in the log; not how long it was, nor whether it was begun behind a cut.
    let (from, first_lsn) = first_whole_frame(&bytes, file).unwrap_or((first.offset, first.lsn));
    let live = Live {
        number,
        incarnation,
        len,
        header: LogHeader {
            file_len: len,
            first_lsn,
            cut: None,
        },
        from,
        is_whole: false,
        has_header: false,
    };
    let flaw = Flaw {
        path,
        offset: error.offset,
        what: error.to_string(),
    };
    if find_later_evidence(&bytes, 0, file, first.lsn).is_none() {
        let why = format!(
            "{error}, and nothing says that the frames of the file, from LSN {first_lsn} on, were synced"
        );
        let tail = Tail {
            file: number,
            offset: error.offset,
            why,
        };
        return Ok((Kind::Headless(Headless { live, flaw, tail }), too_long));
    }
    Ok((Kind::Live(live), Some(flaw)))
}
