//! The last 64 bytes of a segment.

use crate::bytes::Reader;
use crate::checksum::crc32;
use crate::header::{FileHeader, HEADER_LEN};
use crate::segment::{Region, RegionKind};
use crate::version::{FORMAT_VERSION, MAX_REGION, SEGMENT_END_MAGIC};
use crate::{FieldId, FileUuid, FormatError, FormatErrorKind, Result};

/// Length of a trailer.
pub const TRAILER_LEN: usize = 64;
const CRC_AT: usize = 52;
const MAGIC_AT: usize = CRC_AT + 4;
const _: () = assert!(MAGIC_AT + 8 == TRAILER_LEN);

/// The trailer of a segment: where the root is.
///
/// | offset | size | what |
/// |---|---|---|
/// | 0 | 16 | file uuid |
/// | 16 | 8 | offset of the root |
/// | 24 | 4 | stored length of the root |
/// | 28 | 4 | plain length of the root |
/// | 32 | 4 | CRC-32 of the root |
/// | 36 | 4 | length of the tail |
/// | 40 | 8 | length of the file |
/// | 48 | 2 | format version |
/// | 50 | 2 | 0 |
/// | 52 | 4 | CRC-32 of bytes 0..52 |
/// | 56 | 8 | magic `TidestSE` |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// The file's uuid.
    pub file: FileUuid,
    root: Region,
    /// Length of the tail: from the first series page to the end of the file.
    pub tail_len: u32,
    /// Length of the file.
    pub file_len: u64,
}

impl Trailer {
    /// The trailer of a file whose root is `root`.
    pub(crate) fn new(file: FileUuid, root: Region, tail_len: u32, file_len: u64) -> Self {
        Self {
            file,
            root,
            tail_len,
            file_len,
        }
    }

    /// Where the root lies.
    pub fn root_region(&self) -> Region {
        self.root
    }

    /// Offset of the tail: everything that planning needs lies there.
    pub fn tail_offset(&self) -> u64 {
        self.file_len - u64::from(self.tail_len)
    }

    /// The bytes.
    pub fn encode(&self) -> [u8; TRAILER_LEN] {
        let mut out = Vec::with_capacity(TRAILER_LEN);
        out.extend_from_slice(&self.file.0);
        out.extend_from_slice(&self.root.offset.to_le_bytes());
        out.extend_from_slice(&self.root.stored_len.to_le_bytes());
        out.extend_from_slice(&self.root.plain_len.to_le_bytes());
        out.extend_from_slice(&self.root.crc.to_le_bytes());
        out.extend_from_slice(&self.tail_len.to_le_bytes());
        out.extend_from_slice(&self.file_len.to_le_bytes());
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&crc32(&out).to_le_bytes());
        out.extend_from_slice(&SEGMENT_END_MAGIC);
        let mut bytes = [0; TRAILER_LEN];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// Decodes the last bytes of a file of `file_len` bytes.
    ///
    /// # Errors
    /// The bytes are not 64, the magic, checksum or version is wrong, the file has another length
    /// than it says, or the root is not where a root can be. Offsets are those in the file.
    pub fn decode(bytes: &[u8], file_len: u64) -> Result<Self> {
        let base = file_len.saturating_sub(TRAILER_LEN as u64);
        Self::decode_fields(bytes, file_len).map_err(|e| e.at_base(base))
    }

    /// Checks that a header is of the same file.
    ///
    /// # Errors
    /// It names another one. The offset is that of the trailer in the file.
    pub fn check_header(&self, header: &FileHeader) -> Result<()> {
        if header.file == self.file {
            return Ok(());
        }
        Err(FormatError::invalid(
            "segment trailer",
            self.file_len.saturating_sub(TRAILER_LEN as u64),
            format_args!("the uuid of the header, {}", header.file),
            self.file,
        ))
    }

    fn decode_fields(bytes: &[u8], actual_len: u64) -> Result<Self> {
        const WHAT: &str = "segment trailer";
        let least = (HEADER_LEN + TRAILER_LEN) as u64;
        let bytes: &[u8; TRAILER_LEN] = bytes
            .try_into()
            .ok()
            .filter(|_| actual_len >= least)
            .ok_or_else(|| {
                let (needed, available) = (TRAILER_LEN as u64, bytes.len() as u64);
                FormatError::truncated(WHAT, 0, needed, available)
            })?;
        if bytes[MAGIC_AT..] != SEGMENT_END_MAGIC {
            return Err(FormatError::new(
                FormatErrorKind::Magic,
                WHAT,
                MAGIC_AT as u64,
                format_args!("{SEGMENT_END_MAGIC:02x?}"),
                format_args!("{:02x?}", &bytes[MAGIC_AT..]),
            ));
        }
        let mut r = Reader::new(bytes, WHAT);
        let file = FileUuid(r.array()?);
        let root = Region {
            kind: RegionKind::Root,
            field: FieldId(0),
            offset: r.u64()?,
            stored_len: r.u32()?,
            plain_len: r.u32()?,
            crc: r.u32()?,
        };
        let tail_len = r.u32()?;
        let file_len = r.u64()?;
        let version = r.u16()?;
        let reserved = r.u16()?;
        let crc = crc32(&bytes[..CRC_AT]);
        let stored = r.u32()?;
        if crc != stored {
            return Err(FormatError::checksum(WHAT, 0, stored, crc));
        }
        if version != FORMAT_VERSION {
            return Err(FormatError::new(
                FormatErrorKind::Unsupported,
                WHAT,
                48,
                format_args!("version {FORMAT_VERSION}"),
                format_args!("version {version}"),
            ));
        }
        let checks = [
            (
                file_len == actual_len,
                40,
                "length of the file",
                actual_len,
                file_len,
            ),
            (reserved == 0, 50, "reserved bytes", 0, u64::from(reserved)),
            (
                root.stored_len as usize <= MAX_REGION,
                24,
                "length of the root at most",
                MAX_REGION as u64,
                u64::from(root.stored_len),
            ),
        ];
        for (sound, at, what, expected, actual) in checks {
            if !sound {
                return Err(r.invalid_at(at, format_args!("{what} {expected}"), actual));
            }
        }
        let end = file_len - TRAILER_LEN as u64;
        root.check_place(end)
            .map_err(|(expected, actual)| r.invalid_at(16, expected, actual))?;
        if root.padding().end != end {
            return Err(r.invalid_at(
                16,
                format_args!("a root that ends before {end}"),
                root.range().end,
            ));
        }
        let tail_offset = file_len.checked_sub(u64::from(tail_len));
        if !tail_offset.is_some_and(|at| at >= HEADER_LEN as u64 && at <= root.offset) {
            return Err(r.invalid_at(36, "a tail that holds the root", tail_len));
        }
        Ok(Self {
            file,
            root,
            tail_len,
            file_len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Trailer {
        let file = FileUuid([9; 16]);
        let root = Region::of(
            RegionKind::Root,
            FieldId(0),
            256,
            file,
            b"not really a root",
        )
        .unwrap();
        Trailer::new(file, root, 192, 384)
    }

    #[test]
    fn it_round_trips() {
        let bytes = sample().encode();
        assert_eq!(Trailer::decode(&bytes, 384).unwrap(), sample());
    }

    #[test]
    fn every_flipped_bit_is_found() {
        for bit in 0..TRAILER_LEN * 8 {
            let mut bytes = sample().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = Trailer::decode(&bytes, 384).unwrap_err();
            assert!(error.offset >= 320, "bit {bit}: {error}");
        }
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        let bytes = sample().encode();
        for len in [0, 64, 320, 383, 385, 448] {
            assert!(Trailer::decode(&bytes, len).is_err(), "{len}");
        }
        assert!(Trailer::decode(&bytes[1..], 384).is_err());
    }
}
