//! Edits of a manifest file, in order, and where they stop.
//!
//! ```text
//!  0 magic (4)    4 payload length (4)    8 version (8)
//! 16 CRC-32 of the file's identity, 0..16 and the payload (4)
//! 20 zero (4)   24 payload, zeros up to a multiple of 8
//! ```
//!
//! The [identity](ManifestIdentity) is not in the edit: who chooses the names of tables, fields and
//! tags does not know it, and so cannot choose one that reads as an edit.

use super::entry::Entry;
use crate::bytes::Reader;
use crate::header::FileHeader;
use crate::version::MAX_REGION;
use crate::{FileUuid, FormatError, FormatErrorKind, Result};

/// First bytes of an edit.
pub const EDIT_MAGIC: [u8; 4] = *b"TSed";
/// Length of the header of an edit, in bytes.
pub const EDIT_HEADER_LEN: usize = 24;
/// Edits start at multiples of this many bytes.
pub const EDIT_ALIGN: usize = 8;
/// Offset of the first edit in a manifest file.
pub const EDITS_START: usize = 256;

const WHAT: &str = "manifest edit";
const VERSION_AT: usize = EDIT_MAGIC.len() + 4;
pub(super) const CRC_AT: usize = VERSION_AT + 8;

/// Which manifest file an edit is of, as the file's header says; every edit's checksum starts with
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestIdentity {
    /// The database.
    pub database: FileUuid,
    /// The incarnation when the file was begun. An edit may name a new one; this one stays.
    pub incarnation: FileUuid,
    /// The manifest number.
    pub number: u64,
}

impl ManifestIdentity {
    /// The identity of the file with this header.
    pub fn of(header: &FileHeader) -> Self {
        Self {
            database: header.database,
            incarnation: header.file,
            number: header.number,
        }
    }

    /// A checksum that has taken in the identity: bytes 24..64 of the file.
    fn hasher(self) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.database.0);
        hasher.update(&self.incarnation.0);
        hasher.update(&self.number.to_le_bytes());
        hasher
    }
}

/// Changes that happen together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The version of the manifest they make; one more than the one before.
    pub version: u64,
    /// The changes, in order.
    pub entries: Vec<Entry>,
}

/// An edit and where in the file it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedEdit {
    /// Offset of the edit.
    pub offset: u64,
    /// Offset of the first byte behind it and its padding.
    pub end: u64,
    /// The edit.
    pub edit: Edit,
}

/// Why an [`EditCursor`] stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The file ends behind the last edit, or holds only zeros from there on.
    End,
    /// Here stands something else than a whole edit of the expected version: one that is torn or
    /// damaged. [`find_later_edit`] tells which.
    Invalid(FormatError),
    /// Here stands an edit, whole, and this version cannot read it. The file does *not* end here.
    Refused(FormatError),
}

/// Appends an edit of the manifest file `file`.
///
/// # Errors
/// A version of 0, an entry out of its bounds, or entries longer than [`MAX_REGION`] together;
/// `out` is then as it was.
pub fn append_edit(out: &mut Vec<u8>, file: ManifestIdentity, edit: &Edit) -> Result<()> {
    let start = out.len();
    let result = put_edit(out, file, edit);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn put_edit(out: &mut Vec<u8>, file: ManifestIdentity, edit: &Edit) -> Result<()> {
    let start = out.len();
    if edit.version == 0 || edit.version == u64::MAX {
        return Err(FormatError::invalid(
            WHAT,
            VERSION_AT as u64,
            "a version from 1 to 2^64 - 2",
            edit.version,
        ));
    }
    out.extend_from_slice(&EDIT_MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&edit.version.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    let payload = out.len();
    for entry in &edit.entries {
        entry.encode(out)?;
    }
    let len = match u32::try_from(out.len() - payload) {
        Ok(len) if out.len() - payload <= MAX_REGION => len,
        _ => return Err(FormatError::limit(WHAT, MAX_REGION, out.len() - payload)),
    };
    out[start + 4..start + VERSION_AT].copy_from_slice(&len.to_le_bytes());
    let crc = edit_crc(file, &out[start..start + CRC_AT], &out[payload..]);
    out[start + CRC_AT..start + CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    let padded = (out.len() - start).next_multiple_of(EDIT_ALIGN);
    out.resize(start + padded, 0);
    Ok(())
}

fn edit_crc(file: ManifestIdentity, header: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = file.hasher();
    hasher.update(header);
    hasher.update(payload);
    hasher.finalize()
}

/// Makes the checksum of the edit at the start of `edit` right again, after a test changed it.
#[cfg(test)]
pub(super) fn reseal(edit: &mut [u8], file: ManifestIdentity, payload_len: usize) {
    let payload = &edit[EDIT_HEADER_LEN..EDIT_HEADER_LEN + payload_len];
    let crc = edit_crc(file, &edit[..CRC_AT], payload);
    edit[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

/// An edit whose checksum, bounds and padding are right, whatever its entries are.
pub(super) struct WholeEdit<'a> {
    pub(super) version: u64,
    payload: &'a [u8],
    end: usize,
}

impl<'a> WholeEdit<'a> {
    /// The edit at `at` of the file; errors carry offsets in the file.
    pub(super) fn at(file_bytes: &'a [u8], file: ManifestIdentity, at: usize) -> Result<Self> {
        let bytes = file_bytes.get(at..).unwrap_or_default();
        Self::read(bytes, file, at).map_err(|e| e.at_base(at as u64))
    }

    fn read(bytes: &'a [u8], file: ManifestIdentity, at: usize) -> Result<Self> {
        let mut r = Reader::new(bytes, WHAT);
        let magic: [u8; 4] = r.array()?;
        if magic != EDIT_MAGIC {
            return Err(FormatError::new(
                FormatErrorKind::Magic,
                WHAT,
                0,
                format_args!("\"{}\"", EDIT_MAGIC.escape_ascii()),
                format_args!("\"{}\"", magic.escape_ascii()),
            ));
        }
        let len = r.u32()? as usize;
        let version = r.u64()?;
        let stored = r.u32()?;
        r.zeros(4)?;
        let payload = r.take(len)?;
        let actual = edit_crc(file, &bytes[..CRC_AT], payload);
        if stored != actual {
            return Err(FormatError::checksum(WHAT, CRC_AT as u64, stored, actual));
        }
        r.zero_padding(EDIT_ALIGN)?;
        Ok(Self {
            version,
            payload,
            end: at + r.position(),
        })
    }

    /// Errors carry offsets in the file.
    fn entries(&self, at: usize) -> Result<Vec<Entry>> {
        let mut r = Reader::new(self.payload, WHAT);
        let mut entries = Vec::new();
        while r.remaining() > 0 {
            let base = (at + EDIT_HEADER_LEN) as u64;
            entries.push(Entry::read(&mut r).map_err(|e| e.at_base(base))?);
        }
        Ok(entries)
    }
}

/// Goes through the edits of a manifest file.
#[derive(Debug, Clone)]
pub struct EditCursor<'a> {
    bytes: &'a [u8],
    file: ManifestIdentity,
    at: usize,
    last_version: Option<u64>,
    stop: Option<Stop>,
}

impl<'a> EditCursor<'a> {
    /// A cursor before the first edit; `file_bytes` is the whole file, its header included, which
    /// says `file`.
    pub fn new(file_bytes: &'a [u8], file: ManifestIdentity) -> Self {
        Self {
            bytes: file_bytes,
            file,
            at: EDITS_START,
            last_version: None,
            stop: None,
        }
    }

    /// The first byte behind the last edit and its padding.
    pub fn offset(&self) -> u64 {
        self.at as u64
    }

    /// The version of the last edit; `None` before the first.
    pub fn version(&self) -> Option<u64> {
        self.last_version
    }

    /// Why there are no more edits; `None` while there may be.
    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    fn look(&self) -> Result<LocatedEdit, Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.iter().all(|&b| b == 0) {
            return Err(Stop::End);
        }
        let (at, expected) = match self.last_version {
            None => (self.at, None),
            Some(last) if self.is_seal_lost(last) => {
                (self.at + EDIT_HEADER_LEN, Some(last.saturating_add(2)))
            }
            Some(last) => (self.at, Some(last.saturating_add(1))),
        };
        let whole = WholeEdit::at(self.bytes, self.file, at).map_err(Stop::Invalid)?;
        let is_usable = (1..u64::MAX).contains(&whole.version);
        if !is_usable || expected.is_some_and(|v| v != whole.version) {
            return Err(Stop::Invalid(FormatError::invalid(
                WHAT,
                (at + VERSION_AT) as u64,
                format_args!("version {}", expected.unwrap_or(1)),
                whole.version,
            )));
        }
        let entries = whole.entries(at).map_err(Stop::Refused)?;
        Ok(LocatedEdit {
            offset: at as u64,
            end: whole.end as u64,
            edit: Edit {
                version: whole.version,
                entries,
            },
        })
    }
}

impl EditCursor<'_> {
    /// Whether here stood the seal of the edit of version `last`, of which a power loss left some bytes or
    /// none, and behind it stands a whole edit of the version after the seal's. The seal was in an earlier page
    /// than that edit, and both were to be written by one sync. A byte that is neither the seal's nor zero is
    /// damage.
    fn is_seal_lost(&self, last: u64) -> bool {
        let behind = self.at + EDIT_HEADER_LEN;
        let (Some(here), Some(version)) = (self.bytes.get(self.at..behind), last.checked_add(1))
        else {
            return false;
        };
        let mut seal = Vec::with_capacity(EDIT_HEADER_LEN);
        let edit = Edit {
            version,
            entries: Vec::new(),
        };
        let is_part = put_edit(&mut seal, self.file, &edit).is_ok()
            && here != seal
            && here.iter().zip(&seal).all(|(&h, &s)| h == s || h == 0);
        is_part
            && WholeEdit::at(self.bytes, self.file, behind)
                .is_ok_and(|edit| version.checked_add(1) == Some(edit.version))
    }
}

impl Iterator for EditCursor<'_> {
    type Item = LocatedEdit;

    fn next(&mut self) -> Option<LocatedEdit> {
        if self.stop.is_some() {
            return None;
        }
        match self.look() {
            Ok(located) => {
                self.last_version = Some(located.edit.version);
                self.at = usize::try_from(located.end).unwrap_or(usize::MAX);
                Some(located)
            }
            Err(stop) => {
                self.stop = Some(stop);
                None
            }
        }
    }
}

/// Offset and version of the first whole edit of this file of a version higher than `version`, at a multiple
/// of 8 at or behind `from_offset`. Behind the place where an [`EditCursor`] stopped on something
/// invalid it proves that an edit which was synced is damaged.
pub fn find_later_edit(
    file_bytes: &[u8],
    file: ManifestIdentity,
    from_offset: u64,
    version: u64,
) -> Option<(u64, u64)> {
    let from = usize::try_from(from_offset).ok()?.max(EDITS_START);
    let first = from.checked_next_multiple_of(EDIT_ALIGN)?;
    (first..file_bytes.len())
        .step_by(EDIT_ALIGN)
        .find_map(|at| {
            let edit = WholeEdit::at(file_bytes, file, at).ok()?;
            (edit.version > version).then_some((at as u64, edit.version))
        })
}
