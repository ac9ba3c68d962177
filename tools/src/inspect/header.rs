//! The header of any file; the identity file is nothing else.

use std::io::{self, Write};

use serde::Serialize;
use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN, LogHeader, Specific};

use super::check::{Damage, Verdict};
use crate::time::rfc3339;

/// A header: what it says, and whether that can be believed.
#[derive(Debug, Serialize)]
pub(super) struct HeaderReport {
    offset: u64,
    length: u64,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<Damage>,
    /// What it says; of a damaged header, what its bytes say.
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<Says>,
    #[serde(skip)]
    pub(super) decoded: Option<FileHeader>,
}

#[derive(Debug, Serialize)]
struct Says {
    format_version: u16,
    oldest_reader: u16,
    writer: String,
    required_features: u32,
    optional_features: u32,
    database: String,
    file: String,
    number: u64,
    cipher: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<SaysOfLog>,
}

#[derive(Debug, Serialize)]
struct SaysOfLog {
    file_length: u64,
    first_lsn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<SaysOfCut>,
}

#[derive(Debug, Serialize)]
struct SaysOfCut {
    file_number: u64,
    offset: u64,
    last_lsn: u64,
}

impl HeaderReport {
    pub(super) fn of(bytes: &[u8], kind: FileKind) -> Self {
        let head = &bytes[..bytes.len().min(HEADER_LEN)];
        let error = FileHeader::decode_kind(head, kind).err();
        let decoded = peek(head, kind);
        let damage = error.map(Damage::from);
        Self {
            offset: 0,
            length: head.len() as u64,
            verdict: Verdict::of(damage.as_slice()),
            says: decoded.as_ref().map(Says::of),
            damage,
            decoded,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(super) fn is_valid(&self) -> bool {
        self.verdict == Verdict::Valid
    }

    pub(super) fn damage(&self) -> Vec<Damage> {
        self.damage.iter().cloned().collect()
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let word = self.verdict.word();
        writeln!(out, "header at 0, {} bytes: {word}", self.length)?;
        if let Some(damage) = &self.damage {
            writeln!(out, "  {word:<9} {damage}")?;
        }
        match (&self.says, &self.decoded) {
            (Some(says), Some(decoded)) => says.print(decoded.kind(), out),
            _ => Ok(()),
        }
    }
}

/// The fields of a header whose checks may fail, as those of a file of the given kind.
fn peek(head: &[u8], kind: FileKind) -> Option<FileHeader> {
    let mut bytes: [u8; HEADER_LEN] = head.try_into().ok()?;
    bytes[..8].copy_from_slice(&kind.magic());
    FileHeader::peek(&bytes).ok()
}

/// Bytes behind an identity file's header, which should not be there.
pub(super) fn bytes_behind_identity(bytes: &[u8]) -> Option<Damage> {
    (bytes.len() > HEADER_LEN).then(|| Damage {
        what: "identity file".to_owned(),
        offset: HEADER_LEN as u64,
        expected: format!("the end of the file, at {HEADER_LEN}"),
        actual: format!("{} bytes more", bytes.len() - HEADER_LEN),
        newer: false,
    })
}

impl Says {
    fn of(header: &FileHeader) -> Self {
        let w = header.writer_version;
        let log = |log: &LogHeader| SaysOfLog {
            file_length: log.file_len,
            first_lsn: log.first_lsn.0,
            cut: log.cut.map(|cut| SaysOfCut {
                file_number: cut.file_number,
                offset: cut.offset,
                last_lsn: cut.last_lsn.0,
            }),
        };
        let (created_at, log) = match &header.specific {
            Specific::Identity { created_at } => (Some(*created_at), None),
            Specific::Log(l) => (None, Some(log(l))),
            Specific::Manifest | Specific::Segment => (None, None),
        };
        Self {
            format_version: header.version,
            oldest_reader: header.oldest_reader,
            writer: format!("{}.{}.{}", w >> 24, (w >> 16) & 0xff, w & 0xffff),
            required_features: header.required_features,
            optional_features: header.optional_features,
            database: header.database.to_string(),
            file: header.file.to_string(),
            number: header.number,
            cipher: header.cipher.cipher,
            created_at,
            log,
        }
    }

    fn print(&self, kind: FileKind, out: &mut dyn Write) -> io::Result<()> {
        let (file, number) = match kind {
            FileKind::Identity => ("file uuid", "layout"),
            FileKind::Log => ("incarnation", "log file"),
            FileKind::Manifest => ("incarnation", "number"),
            FileKind::Segment => ("file uuid", "table"),
        };
        let (version, oldest) = (self.format_version, self.oldest_reader);
        writeln!(
            out,
            "  format       version {version}, for readers from {oldest} on"
        )?;
        writeln!(out, "  written by   {}", self.writer)?;
        let (required, optional) = (self.required_features, self.optional_features);
        writeln!(
            out,
            "  features     required {required:#010x}, optional {optional:#010x}"
        )?;
        writeln!(out, "  database     {}", self.database)?;
        writeln!(out, "  {file:<12} {}", self.file)?;
        writeln!(out, "  {number:<12} {}", self.number)?;
        if self.cipher != 0 {
            writeln!(out, "  cipher       {}", self.cipher)?;
        }
        match self.created_at {
            None => {}
            Some(0) => writeln!(out, "  made         it is not known when")?,
            Some(at) => writeln!(out, "  made         {}", rfc3339(at))?,
        }
        let Some(log) = &self.log else { return Ok(()) };
        writeln!(out, "  file length  {}", log.file_length)?;
        writeln!(out, "  first LSN    {}", log.first_lsn)?;
        match &log.cut {
            None => writeln!(
                out,
                "  cut          none: the files before it end by themselves"
            ),
            Some(cut) => writeln!(
                out,
                "  cut          the log before ends in file {} at {}, after LSN {}",
                cut.file_number, cut.offset, cut.last_lsn
            ),
        }
    }
}
