//! One frame of a log file.
//!
//! ```text
//!  0 magic (4)          4 CRC-32 of the incarnation and 8..64 (4)
//!                       8 CRC-32 of the payload (4)
//! 12 stored length (4) 16 plain length (4)       20 kind, flags, reserved (4)
//! 24 log file number (8)      32 LSN (8)         40 durable LSN (8)
//! 48 authentication tag (16)  64 payload, then zeros up to a multiple of 8
//! ```
//!
//! The incarnation is not in the frame: who writes values into a log does not know it, and so
//! cannot write a value that a reader who lands in the midst of it takes for a frame.

use std::fmt;

use crate::bytes::Reader;
use crate::checksum::crc32;
use crate::tags::on_disk;
use crate::version::MAX_REGION;
use crate::{FileUuid, FormatError, FormatErrorKind, Lsn, Result};

/// Length of the header of a frame, in bytes.
pub const FRAME_HEADER_LEN: usize = 64;
/// First bytes of a frame.
pub const FRAME_MAGIC: [u8; 4] = *b"TSfr";
/// Frames start at multiples of this many bytes.
pub const FRAME_ALIGN: usize = 8;

const WHAT: &str = "log frame";
const HEADER_CRC_AT: usize = FRAME_MAGIC.len();
const PAYLOAD_CRC_AT: usize = HEADER_CRC_AT + 4;
const STORED_LEN_AT: usize = PAYLOAD_CRC_AT + 4;
const PLAIN_LEN_AT: usize = STORED_LEN_AT + 4;
const KIND_AT: usize = PLAIN_LEN_AT + 4;
const FILE_NUMBER_AT: usize = KIND_AT + 4;
const LSN_AT: usize = FILE_NUMBER_AT + 8;
const DURABLE_AT: usize = LSN_AT + 8;
const TAG_AT: usize = DURABLE_AT + 8;
const LSN_BOUNDS: &str = "an LSN that has a next one";
const TAG_LEN: usize = FRAME_HEADER_LEN - TAG_AT;

/// Which log file a frame is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogIdentity {
    /// The incarnation of the file, as its header says. Every frame's checksum starts with it.
    pub incarnation: FileUuid,
    /// The number of the file, as its header says. Every frame holds it.
    pub file_number: u64,
}

on_disk! {
    /// What a frame carries.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum FrameKind {
        /// Rows.
        Batch = 1,
        /// Ids given to series.
        SeriesDefinition = 2,
        /// A tombstone.
        Delete = 3,
        /// A batch that went straight to segments.
        SegmentReference = 4,
        /// Nothing but the durable LSN of the frame's header.
        Note = 5,
    }
}

impl FrameKind {
    /// The kind whose on-disk tag is `tag`.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batch => "batch",
            Self::SeriesDefinition => "series definition",
            Self::Delete => "delete",
            Self::SegmentReference => "segment reference",
            Self::Note => "note",
        })
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the payload is.
    pub kind: FrameKind,
    /// Number of the log file the frame belongs to.
    pub file_number: u64,
    /// The frame's LSN.
    pub lsn: Lsn,
    /// The durable LSN known when the frame was written; less than the frame's own.
    pub durable_lsn: Lsn,
    /// Length of the payload, in bytes, without padding.
    pub stored_len: u32,
    /// CRC-32 of the payload.
    pub payload_crc: u32,
}

/// A frame in a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    /// Its offset in the file.
    pub offset: u64,
    /// Its payload.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Offset of the payload in the file: the base of errors about what it holds.
    pub fn payload_offset(&self) -> u64 {
        self.offset + FRAME_HEADER_LEN as u64
    }

    /// Offset of the first byte behind the frame and its padding.
    pub fn end(&self) -> u64 {
        self.offset + frame_len(self.payload.len()) as u64
    }
}

/// Length of a frame with a payload of `payload_len` bytes, padding included.
pub const fn frame_len(payload_len: usize) -> usize {
    FRAME_HEADER_LEN + payload_len.next_multiple_of(FRAME_ALIGN)
}

/// The bytes of the header of a frame in a log of `incarnation`.
pub fn encode_frame_header(header: &FrameHeader, incarnation: FileUuid) -> [u8; FRAME_HEADER_LEN] {
    debug_assert!(header.durable_lsn < header.lsn, "{header:?}");
    let mut out = [0; FRAME_HEADER_LEN];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &FRAME_MAGIC);
    put(PAYLOAD_CRC_AT, &header.payload_crc.to_le_bytes());
    put(STORED_LEN_AT, &header.stored_len.to_le_bytes());
    put(PLAIN_LEN_AT, &header.stored_len.to_le_bytes());
    put(KIND_AT, &[header.kind.tag()]);
    put(FILE_NUMBER_AT, &header.file_number.to_le_bytes());
    put(LSN_AT, &header.lsn.0.to_le_bytes());
    put(DURABLE_AT, &header.durable_lsn.0.to_le_bytes());
    let crc = header_crc32(incarnation, &out);
    out[HEADER_CRC_AT..PAYLOAD_CRC_AT].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Records in the frame at the start of `frame` that everything up to `durable_lsn` is durable. The frame
/// is of a log of `incarnation`, and its LSN is higher. The payload is not looked at.
pub fn record_durable(frame: &mut [u8], incarnation: FileUuid, durable_lsn: Lsn) {
    let Some(header) = frame.first_chunk_mut::<FRAME_HEADER_LEN>() else {
        return;
    };
    debug_assert!(header.starts_with(&FRAME_MAGIC), "here starts a frame");
    header[DURABLE_AT..TAG_AT].copy_from_slice(&durable_lsn.0.to_le_bytes());
    let crc = header_crc32(incarnation, header);
    header[HEADER_CRC_AT..PAYLOAD_CRC_AT].copy_from_slice(&crc.to_le_bytes());
}

/// Appends a frame: header, payload and padding.
///
/// # Errors
/// A payload longer than [`MAX_REGION`], an LSN that has no next one, or a durable LSN that is not less
/// than the frame's own; `out` is then as it was.
pub fn append_frame(
    out: &mut Vec<u8>,
    kind: FrameKind,
    file: LogIdentity,
    lsn: Lsn,
    durable_lsn: Lsn,
    payload: &[u8],
) -> Result<()> {
    append_frame_with_crc(out, kind, file, lsn, durable_lsn, payload, crc32(payload))
}

/// As [`append_frame`], of a payload whose CRC-32 is known already: it does not depend on the
/// LSN, so whoever made the payload can take it off the thread that writes the log.
///
/// # Errors
/// As [`append_frame`].
pub fn append_frame_with_crc(
    out: &mut Vec<u8>,
    kind: FrameKind,
    file: LogIdentity,
    lsn: Lsn,
    durable_lsn: Lsn,
    payload: &[u8],
    payload_crc: u32,
) -> Result<()> {
    let stored_len = match u32::try_from(payload.len()) {
        Ok(len) if payload.len() <= MAX_REGION => len,
        _ => {
            return Err(FormatError::limit(
                "payload of a log frame",
                MAX_REGION,
                payload.len(),
            ));
        }
    };
    if lsn == Lsn(u64::MAX) {
        let at = LSN_AT as u64;
        return Err(FormatError::invalid(WHAT, at, LSN_BOUNDS, lsn));
    }
    if durable_lsn >= lsn {
        let expected = format_args!("a durable LSN below the frame's own, {lsn}");
        return Err(FormatError::invalid(
            WHAT,
            DURABLE_AT as u64,
            expected,
            durable_lsn,
        ));
    }
    let header = FrameHeader {
        kind,
        file_number: file.file_number,
        lsn,
        durable_lsn,
        stored_len,
        payload_crc,
    };
    out.reserve(frame_len(payload.len()));
    out.extend_from_slice(&encode_frame_header(&header, file.incarnation));
    out.extend_from_slice(payload);
    let padding = payload.len().next_multiple_of(FRAME_ALIGN) - payload.len();
    out.extend_from_slice(&[0; FRAME_ALIGN][..padding]);
    Ok(())
}

/// The frame at `offset` of the bytes of log file `file`.
///
/// Whether its LSN is the one expected there is the caller's to check;
/// [`FrameCursor`](super::scan::FrameCursor) does.
///
/// # Errors
/// With offsets in the file. No frame of this file is whole here:
/// [`Truncated`](FormatErrorKind::Truncated), [`Magic`](FormatErrorKind::Magic),
/// [`Checksum`](FormatErrorKind::Checksum), or [`Invalid`](FormatErrorKind::Invalid) for another
/// file's number or padding that is not zero. The frame is whole and says what this version does
/// not know: [`Unsupported`](FormatErrorKind::Unsupported).
pub fn decode_frame(bytes: &[u8], offset: u64, file: LogIdentity) -> Result<Frame<'_>> {
    WholeFrame::at(bytes, offset, file)?.interpret()
}

/// LSN and kind in the header of a frame of log file `file` at the start of `bytes`, whether or not its payload
/// is whole. There is no kind where this version knows none of that tag.
pub(super) fn lsn_and_kind_of_header(
    bytes: &[u8],
    file: LogIdentity,
) -> Option<(Lsn, Option<FrameKind>)> {
    let header = bytes.first_chunk::<FRAME_HEADER_LEN>()?;
    let mut r = Reader::new(header, WHAT);
    let magic: [u8; 4] = r.array().ok()?;
    let crc = r.u32().ok()?;
    if magic != FRAME_MAGIC || crc != header_crc32(file.incarnation, header) {
        return None;
    }
    r.take(KIND_AT - PAYLOAD_CRC_AT).ok()?;
    let kind = FrameKind::from_tag(r.u8().ok()?);
    r.take(FILE_NUMBER_AT - KIND_AT - 1).ok()?;
    let number = r.u64().ok()?;
    let lsn = Lsn(r.u64().ok()?);
    (number == file.file_number).then_some((lsn, kind))
}

/// A frame whose checksums, file number, bounds and padding are right, whatever it means.
pub(super) struct WholeFrame<'a> {
    header: &'a [u8; FRAME_HEADER_LEN],
    pub(super) lsn: Lsn,
    pub(super) durable_lsn: Lsn,
    stored_len: u32,
    payload_crc: u32,
    offset: u64,
    file_number: u64,
    payload: &'a [u8],
}

impl<'a> WholeFrame<'a> {
    pub(super) fn at(bytes: &'a [u8], offset: u64, file: LogIdentity) -> Result<Self> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| bytes.get(at..))
            .unwrap_or_default();
        Self::read(rest, offset, file).map_err(|e| e.at_base(offset))
    }

    /// Errors carry offsets from the start of the frame.
    fn read(bytes: &'a [u8], offset: u64, file: LogIdentity) -> Result<Self> {
        let mut r = Reader::new(bytes, WHAT);
        let Some(header) = bytes.first_chunk::<FRAME_HEADER_LEN>() else {
            let (needed, left) = (FRAME_HEADER_LEN as u64, bytes.len() as u64);
            return Err(FormatError::truncated(WHAT, 0, needed, left));
        };
        let magic: [u8; 4] = r.array()?;
        if magic != FRAME_MAGIC {
            return Err(FormatError::new(
                FormatErrorKind::Magic,
                WHAT,
                0,
                format_args!("\"{}\"", FRAME_MAGIC.escape_ascii()),
                format_args!("\"{}\"", magic.escape_ascii()),
            ));
        }
        let header_crc = r.u32()?;
        let actual = header_crc32(file.incarnation, header);
        if header_crc != actual {
            let at = HEADER_CRC_AT as u64;
            return Err(FormatError::checksum(WHAT, at, header_crc, actual));
        }
        let payload_crc = r.u32()?;
        let stored_len = r.u32()?;
        r.take(FILE_NUMBER_AT - PLAIN_LEN_AT)?;
        let found = r.u64()?;
        if found != file.file_number {
            let expected = format_args!("log file number {}", file.file_number);
            let actual = format_args!("{found}: a frame of an earlier life of the file");
            return Err(r.invalid_at(FILE_NUMBER_AT, expected, actual));
        }
        let (lsn, durable_lsn) = (Lsn(r.u64()?), Lsn(r.u64()?));
        r.take(TAG_LEN)?;
        let payload = r.take(stored_len as usize)?;
        let actual = crc32(payload);
        if payload_crc != actual {
            let at = PAYLOAD_CRC_AT as u64;
            return Err(FormatError::checksum(
                "log frame payload",
                at,
                payload_crc,
                actual,
            ));
        }
        r.zero_padding(FRAME_ALIGN)?;
        Ok(Self {
            header,
            lsn,
            durable_lsn,
            stored_len,
            payload_crc,
            offset,
            file_number: found,
            payload,
        })
    }

    /// What the frame means to this version of the format.
    pub(super) fn interpret(&self) -> Result<Frame<'a>> {
        let kind = self.kind().map_err(|e| e.at_base(self.offset))?;
        Ok(Frame {
            header: FrameHeader {
                kind,
                file_number: self.file_number,
                lsn: self.lsn,
                durable_lsn: self.durable_lsn,
                stored_len: self.stored_len,
                payload_crc: self.payload_crc,
            },
            offset: self.offset,
            payload: self.payload,
        })
    }

    fn kind(&self) -> Result<FrameKind> {
        let mut r = Reader::new(self.header, WHAT);
        r.take(PLAIN_LEN_AT)?;
        let plain_len = r.u32()?;
        let tag = r.u8()?;
        let Some(kind) = FrameKind::from_tag(tag) else {
            let actual = format_args!("kind {tag}");
            return Err(unsupported(KIND_AT, "the kinds 1 to 5", actual));
        };
        let unknown = |at: usize| unsupported(at, "zero here", "flags, or an authentication tag");
        if let Some(i) = self.header[KIND_AT + 1..FILE_NUMBER_AT]
            .iter()
            .position(|&b| b != 0)
        {
            return Err(unknown(KIND_AT + 1 + i));
        }
        if let Some(i) = self.header[TAG_AT..].iter().position(|&b| b != 0) {
            return Err(unknown(TAG_AT + i));
        }
        if plain_len != self.stored_len {
            let expected = format_args!("a plain length of {}, the stored one", self.stored_len);
            return Err(unsupported(PLAIN_LEN_AT, expected, plain_len));
        }
        if self.stored_len as usize > MAX_REGION {
            let expected = format_args!("at most {MAX_REGION} bytes");
            return Err(r.invalid_at(STORED_LEN_AT, expected, self.stored_len));
        }
        if self.lsn == Lsn(u64::MAX) {
            return Err(r.invalid_at(LSN_AT, LSN_BOUNDS, self.lsn));
        }
        if self.durable_lsn >= self.lsn {
            let expected = format_args!("a durable LSN below the frame's own, {}", self.lsn);
            return Err(r.invalid_at(DURABLE_AT, expected, self.durable_lsn));
        }
        Ok(kind)
    }
}

fn header_crc32(incarnation: FileUuid, header: &[u8; FRAME_HEADER_LEN]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&incarnation.0);
    hasher.update(&header[PAYLOAD_CRC_AT..]);
    hasher.finalize()
}

/// Makes the checksum of the header at the start of `frame` right again, after a test changed it.
#[cfg(test)]
pub(super) fn reseal(frame: &mut [u8], incarnation: FileUuid) {
    let header = frame.first_chunk().unwrap();
    let crc = header_crc32(incarnation, header);
    frame[HEADER_CRC_AT..PAYLOAD_CRC_AT].copy_from_slice(&crc.to_le_bytes());
}

fn unsupported(at: usize, expected: impl fmt::Display, actual: impl fmt::Display) -> FormatError {
    FormatError::new(
        FormatErrorKind::Unsupported,
        WHAT,
        at as u64,
        expected,
        actual,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use FormatErrorKind::{Checksum, Invalid, Limit, Magic, Truncated, Unsupported};

    const FILE: LogIdentity = LogIdentity {
        incarnation: FileUuid(*b"incarnation-test"),
        file_number: 3,
    };
    const BASE: usize = 4096;

    fn file_with(payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0; BASE];
        append_frame(&mut out, FrameKind::Delete, FILE, Lsn(9), Lsn(8), payload).unwrap();
        out
    }

    #[track_caller]
    fn refused(bytes: &[u8], kind: FormatErrorKind, at: usize) {
        let error = decode_frame(bytes, BASE as u64, FILE).unwrap_err();
        assert_eq!(
            (error.kind, error.offset),
            (kind, (BASE + at) as u64),
            "{error}"
        );
    }

    /// The file with one byte of the header changed and both its checksums right.
    fn changed(at: usize, value: u8) -> Vec<u8> {
        let mut bytes = file_with(b"payload");
        bytes[BASE + at] = value;
        reseal(&mut bytes[BASE..], FILE.incarnation);
        bytes
    }

    #[test]
    fn frames_round_trip() {
        for len in [0, 1, 7, 8, 9, 5000] {
            let payload = vec![0xab; len];
            let bytes = file_with(&payload);
            assert_eq!(bytes.len() - BASE, frame_len(len));
            let frame = decode_frame(&bytes, BASE as u64, FILE).unwrap();
            assert_eq!(frame.payload, payload);
            assert_eq!(frame.header.kind, FrameKind::Delete);
            assert_eq!(
                (frame.header.lsn, frame.header.durable_lsn),
                (Lsn(9), Lsn(8))
            );
            assert_eq!(frame.end(), bytes.len() as u64);
            assert_eq!(frame.payload_offset(), BASE as u64 + 64);
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = file_with(b"payload");
        for len in BASE..bytes.len() {
            let error = decode_frame(&bytes[..len], BASE as u64, FILE).unwrap_err();
            assert_eq!(error.kind, Truncated, "{len}: {error}");
        }
        for offset in [bytes.len() as u64, u64::MAX] {
            let error = decode_frame(&bytes, offset, FILE).unwrap_err();
            assert_eq!((error.kind, error.offset), (Truncated, offset));
        }
    }

    #[test]
    fn a_frame_can_record_later_what_is_durable() {
        let mut bytes = file_with(b"payload");
        record_durable(&mut bytes[BASE..], FILE.incarnation, Lsn(3));
        let header = decode_frame(&bytes, BASE as u64, FILE).unwrap().header;
        assert_eq!((header.lsn, header.durable_lsn), (Lsn(9), Lsn(3)));
        record_durable(&mut bytes[BASE..], FILE.incarnation, Lsn(8));
        assert_eq!(bytes, file_with(b"payload"));
    }

    #[test]
    fn every_flipped_bit_is_found_where_it_is() {
        let sound = file_with(b"payload");
        for bit in 0..(sound.len() - BASE) * 8 {
            let mut bytes = sound.clone();
            bytes[BASE + bit / 8] ^= 1 << (bit % 8);
            match bit / 8 {
                0..4 => refused(&bytes, Magic, 0),
                4..64 => refused(&bytes, Checksum, 4),
                64..71 => refused(&bytes, Checksum, 8),
                at => refused(&bytes, Invalid, at),
            }
        }
    }

    #[test]
    fn each_field_has_its_bounds() {
        refused(&changed(12, 6), Checksum, 8);
        refused(&changed(12, 200), Truncated, 64);
        refused(&changed(24, 2), Invalid, 24);
        refused(&changed(16, 8), Unsupported, 16);
        refused(&changed(20, 0), Unsupported, 20);
        refused(&changed(20, 6), Unsupported, 20);
        refused(&changed(21, 1), Unsupported, 21);
        refused(&changed(23, 1), Unsupported, 23);
        refused(&changed(40, 9), Invalid, 40);
        let mut last = file_with(b"payload");
        last[BASE + LSN_AT..BASE + DURABLE_AT].fill(0xff);
        reseal(&mut last[BASE..], FILE.incarnation);
        refused(&last, Invalid, LSN_AT);
        refused(&changed(48, 1), Unsupported, 48);
        refused(&changed(63, 1), Unsupported, 63);
    }

    #[test]
    fn a_frame_of_another_incarnation_is_not_whole() {
        let bytes = file_with(b"payload");
        let restored = LogIdentity {
            incarnation: FileUuid(*b"incarnation-next"),
            ..FILE
        };
        let error = decode_frame(&bytes, BASE as u64, restored).unwrap_err();
        assert_eq!((error.kind, error.offset), (Checksum, BASE as u64 + 4));
    }

    #[test]
    fn what_must_not_be_written_is_refused() {
        let mut out = vec![1];
        let last = Lsn(u64::MAX);
        let result = append_frame(&mut out, FrameKind::Note, FILE, last, Lsn(5), &[]);
        assert_eq!(result.unwrap_err().kind, Invalid);
        let result = append_frame(&mut out, FrameKind::Note, FILE, Lsn(5), Lsn(5), &[]);
        assert_eq!(result.unwrap_err().kind, Invalid);
        let long = vec![0; MAX_REGION + 1];
        let result =
            append_frame_with_crc(&mut out, FrameKind::Note, FILE, Lsn(5), Lsn(4), &long, 0);
        assert_eq!(result.unwrap_err().kind, Limit);
        assert_eq!(out, [1]);
    }
}
