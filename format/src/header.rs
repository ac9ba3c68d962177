//! The 192 bytes that open every file.
//!
//! ```text
//!   0 magic (8)            8 version (2)   10 oldest reader (2)   12 writer (4)
//!  16 required features (4)               20 optional features (4)
//!  24 database uuid (16)                  40 file uuid (16)
//!  56 number (8)           64 cipher (72)
//! 136 by kind (52)                                               188 CRC-32 (4)
//! ```

use std::fmt;

use crate::bytes::Reader;
use crate::checksum::crc32;
use crate::version::{
    FORMAT_VERSION, IDENTITY_MAGIC, KNOWN_REQUIRED_FEATURES, LOG_MAGIC, LOG_PAGE, MANIFEST_MAGIC,
    OLDEST_READABLE, SEGMENT_MAGIC, WRITER_VERSION,
};
use crate::{FileUuid, FormatError, FormatErrorKind, Lsn, Result, TableId, Timestamp};

/// Length of the header of every file, in bytes.
pub const HEADER_LEN: usize = 192;
/// The layout of a database folder this crate's users write: the identity file's number.
pub const LAYOUT_VERSION: u64 = 1;

const WHAT: &str = "file header";
const VERSION_AT: usize = 8;
const OLDEST_READER_AT: usize = VERSION_AT + 2;
const REQUIRED_AT: usize = OLDEST_READER_AT + 2 + 4;
const FILE_AT: usize = REQUIRED_AT + 4 + 4 + 16;
const NUMBER_AT: usize = FILE_AT + 16;
const CIPHER_AT: usize = NUMBER_AT + 8;
const SPECIFIC_AT: usize = CIPHER_AT + 72;
const CRC_AT: usize = HEADER_LEN - 4;

/// The four kinds of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `IDENTITY`: the database's uuid and layout.
    Identity,
    /// A file of the write-ahead log.
    Log,
    /// A manifest.
    Manifest,
    /// A data file.
    Segment,
}

impl FileKind {
    /// All kinds.
    pub const ALL: [FileKind; 4] = [Self::Identity, Self::Log, Self::Manifest, Self::Segment];

    /// The first eight bytes of a file of this kind.
    pub const fn magic(self) -> [u8; 8] {
        match self {
            Self::Identity => IDENTITY_MAGIC,
            Self::Log => LOG_MAGIC,
            Self::Manifest => MANIFEST_MAGIC,
            Self::Segment => SEGMENT_MAGIC,
        }
    }

    /// The kind whose magic is `magic`.
    pub fn from_magic(magic: &[u8; 8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.magic() == *magic)
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity file",
            Self::Log => "log file",
            Self::Manifest => "manifest",
            Self::Segment => "segment",
        })
    }
}

/// What the header says of encryption. Version 1 knows [`Cipher::NONE`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cipher {
    /// The cipher; 0 is none.
    pub cipher: u8,
    /// How the file's key is wrapped; 0 is none.
    pub key_wrap: u8,
    /// Which key wraps it.
    pub key_id: u32,
    /// The wrapped key.
    pub wrapped_key: [u8; 48],
    /// Where nonces come from.
    pub nonce_seed: [u8; 16],
}

impl Cipher {
    /// The file is not encrypted.
    pub const NONE: Cipher = Cipher {
        cipher: 0,
        key_wrap: 0,
        key_id: 0,
        wrapped_key: [0; 48],
        nonce_seed: [0; 16],
    };
}

/// Where replay of the log files before a log file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Number of the log file it ended in.
    pub file_number: u64,
    /// Offset in that file of the first byte that no longer counts.
    pub offset: u64,
    /// LSN of the last frame before it; 0 if there was none.
    pub last_lsn: Lsn,
}

/// What only log files have in their header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHeader {
    /// Length of the file, in bytes; fixed for its life.
    pub file_len: u64,
    /// LSN of the file's first frame.
    pub first_lsn: Lsn,
    /// Where the log before this file ends, if it ends before its last frame's successor.
    pub cut: Option<Cut>,
}

/// The part of a header that depends on the kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specific {
    /// Of the identity file.
    Identity {
        /// When the database was made, ns since 1970 UTC; 0 if that is not known.
        created_at: Timestamp,
    },
    /// Of a log file.
    Log(LogHeader),
    /// Of a manifest: nothing.
    Manifest,
    /// Of a segment: nothing.
    Segment,
}

/// The header of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    /// Format version the file is written in.
    pub version: u16,
    /// Oldest format version whose readers can read the file.
    pub oldest_reader: u16,
    /// Version of the library that wrote it, `0xMMmmpppp`.
    pub writer_version: u32,
    /// Bits a reader must know to read the file at all.
    pub required_features: u32,
    /// Bits a reader may ignore.
    pub optional_features: u32,
    /// The database the file belongs to.
    pub database: FileUuid,
    /// Segment: its own uuid. Log, manifest: the incarnation. Identity: zero.
    pub file: FileUuid,
    /// Log, manifest: the file's number. Segment: its table. Identity: [`LAYOUT_VERSION`].
    pub number: u64,
    /// Encryption.
    pub cipher: Cipher,
    /// What depends on the kind of file; the kind itself is [`FileHeader::kind`].
    pub specific: Specific,
}

impl FileHeader {
    /// A header of this version of the format, without features and cipher.
    pub fn new(database: FileUuid, file: FileUuid, number: u64, specific: Specific) -> Self {
        Self {
            version: FORMAT_VERSION,
            oldest_reader: OLDEST_READABLE,
            writer_version: WRITER_VERSION,
            required_features: 0,
            optional_features: 0,
            database,
            file,
            number,
            cipher: Cipher::NONE,
            specific,
        }
    }

    /// The header that is the identity file.
    pub fn identity(database: FileUuid, created_at: Timestamp) -> Self {
        let specific = Specific::Identity { created_at };
        Self::new(database, FileUuid::default(), LAYOUT_VERSION, specific)
    }

    /// The header of log file `number`.
    pub fn log(database: FileUuid, incarnation: FileUuid, number: u64, log: LogHeader) -> Self {
        Self::new(database, incarnation, number, Specific::Log(log))
    }

    /// The header of manifest `number`.
    pub fn manifest(database: FileUuid, incarnation: FileUuid, number: u64) -> Self {
        Self::new(database, incarnation, number, Specific::Manifest)
    }

    /// The header of the segment `file` of `table`.
    pub fn segment(database: FileUuid, file: FileUuid, table: TableId) -> Self {
        Self::new(database, file, u64::from(table.0), Specific::Segment)
    }

    /// The kind of file.
    pub fn kind(&self) -> FileKind {
        match self.specific {
            Specific::Identity { .. } => FileKind::Identity,
            Specific::Log(_) => FileKind::Log,
            Specific::Manifest => FileKind::Manifest,
            Specific::Segment => FileKind::Segment,
        }
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(&self.kind().magic());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.oldest_reader.to_le_bytes());
        out.extend_from_slice(&self.writer_version.to_le_bytes());
        out.extend_from_slice(&self.required_features.to_le_bytes());
        out.extend_from_slice(&self.optional_features.to_le_bytes());
        out.extend_from_slice(&self.database.0);
        out.extend_from_slice(&self.file.0);
        out.extend_from_slice(&self.number.to_le_bytes());
        debug_assert_eq!(out.len(), CIPHER_AT);
        out.extend_from_slice(&[self.cipher.cipher, self.cipher.key_wrap, 0, 0]);
        out.extend_from_slice(&self.cipher.key_id.to_le_bytes());
        out.extend_from_slice(&self.cipher.wrapped_key);
        out.extend_from_slice(&self.cipher.nonce_seed);
        debug_assert_eq!(out.len(), SPECIFIC_AT);
        match self.specific {
            Specific::Identity { created_at } => out.extend_from_slice(&created_at.to_le_bytes()),
            Specific::Log(log) => {
                let cut = log
                    .cut
                    .map_or([0; 3], |c| [c.file_number, c.offset, c.last_lsn.0]);
                for field in [log.file_len, log.first_lsn.0].into_iter().chain(cut) {
                    out.extend_from_slice(&field.to_le_bytes());
                }
            }
            Specific::Manifest | Specific::Segment => {}
        }
        out.resize(CRC_AT, 0);
        out.extend_from_slice(&crc32(&out).to_le_bytes());
        let mut header = [0; HEADER_LEN];
        header.copy_from_slice(&out);
        header
    }

    /// The header at the start of `bytes`, of whatever kind, after every check.
    ///
    /// # Errors
    /// In this order: [`Truncated`](FormatErrorKind::Truncated): fewer than 192 bytes.
    /// [`Magic`](FormatErrorKind::Magic): not a file of this format.
    /// [`Unsupported`](FormatErrorKind::Unsupported): it needs a newer reader.
    /// [`Checksum`](FormatErrorKind::Checksum): damaged. `Unsupported`: required features or a
    /// cipher this version does not know. [`Invalid`](FormatErrorKind::Invalid): a field that no
    /// writer of this version writes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let header = Self::peek(bytes)?;
        header.check(&bytes[..HEADER_LEN])?;
        Ok(header)
    }

    /// As [`FileHeader::decode`], of a file that must be of the given kind.
    ///
    /// # Errors
    /// As [`FileHeader::decode`]; a file of another kind is a
    /// [`Magic`](FormatErrorKind::Magic) error that says what the file is.
    pub fn decode_kind(bytes: &[u8], kind: FileKind) -> Result<Self> {
        let found = Self::peek_kind(bytes)?;
        if found != kind {
            return Err(FormatError::new(
                FormatErrorKind::Magic,
                WHAT,
                0,
                format_args!("a {kind}"),
                format_args!("a {found}"),
            ));
        }
        Self::decode(bytes)
    }

    /// The fields as they stand, sound or not, once length and magic are right: for people who
    /// look at a file that [`FileHeader::decode`] refuses.
    ///
    /// # Errors
    /// Fewer than 192 bytes, or not a file of this format.
    pub fn peek(bytes: &[u8]) -> Result<Self> {
        let kind = Self::peek_kind(bytes)?;
        let mut r = Reader::new(bytes, WHAT);
        r.take(VERSION_AT)?;
        Ok(Self {
            version: r.u16()?,
            oldest_reader: r.u16()?,
            writer_version: r.u32()?,
            required_features: r.u32()?,
            optional_features: r.u32()?,
            database: FileUuid(r.array()?),
            file: FileUuid(r.array()?),
            number: r.u64()?,
            cipher: {
                let [cipher, key_wrap, _, _] = r.array()?;
                Cipher {
                    cipher,
                    key_wrap,
                    key_id: r.u32()?,
                    wrapped_key: r.array()?,
                    nonce_seed: r.array()?,
                }
            },
            specific: match kind {
                FileKind::Identity => Specific::Identity {
                    created_at: r.i64()?,
                },
                FileKind::Log => Specific::Log(LogHeader {
                    file_len: r.u64()?,
                    first_lsn: Lsn(r.u64()?),
                    cut: match [r.u64()?, r.u64()?, r.u64()?] {
                        [0, 0, 0] => None,
                        [file_number, offset, last_lsn] => Some(Cut {
                            file_number,
                            offset,
                            last_lsn: Lsn(last_lsn),
                        }),
                    },
                }),
                FileKind::Manifest => Specific::Manifest,
                FileKind::Segment => Specific::Segment,
            },
        })
    }

    fn peek_kind(bytes: &[u8]) -> Result<FileKind> {
        if bytes.len() < HEADER_LEN {
            let actual = match bytes.len() {
                0 => "nothing: the file is empty".to_string(),
                len => format!("{len} bytes"),
            };
            let needed = format_args!("{HEADER_LEN} bytes");
            return Err(FormatError::new(
                FormatErrorKind::Truncated,
                WHAT,
                0,
                needed,
                actual,
            ));
        }
        let magic: [u8; 8] = Reader::new(bytes, WHAT).array()?;
        FileKind::from_magic(&magic).ok_or_else(|| {
            let actual = if bytes[..HEADER_LEN].iter().all(|&b| b == 0) {
                "only zeros: the file was never written".to_string()
            } else {
                format!(
                    "\"{}\", which is no file of Tidestone",
                    magic.escape_ascii()
                )
            };
            FormatError::new(
                FormatErrorKind::Magic,
                WHAT,
                0,
                "an identity, log, manifest or segment file",
                actual,
            )
        })
    }

    /// All checks behind length and magic, in the order of the format document.
    fn check(&self, bytes: &[u8]) -> Result<()> {
        // What no version would write is damage, as the checksum tells.
        let is_newer = FORMAT_VERSION < self.oldest_reader && self.oldest_reader <= self.version;
        if is_newer {
            return Err(unsupported(
                OLDEST_READER_AT,
                format_args!("format version {FORMAT_VERSION}"),
                format_args!(
                    "version {}, for readers of version {} or newer",
                    self.version, self.oldest_reader
                ),
            ));
        }
        let stored = Reader::new(&bytes[CRC_AT..], WHAT).u32()?;
        let actual = crc32(&bytes[..CRC_AT]);
        if stored != actual {
            return Err(FormatError::checksum(WHAT, CRC_AT as u64, stored, actual));
        }
        if self.required_features & !KNOWN_REQUIRED_FEATURES != 0 {
            return Err(unsupported(
                REQUIRED_AT,
                format_args!("required features {KNOWN_REQUIRED_FEATURES:#010x}"),
                format_args!("{:#010x}", self.required_features),
            ));
        }
        if self.oldest_reader == 0 || self.version < self.oldest_reader {
            return Err(FormatError::invalid(
                WHAT,
                VERSION_AT as u64,
                "a version, and an oldest reader from 1 to that version",
                format_args!(
                    "version {}, oldest reader {}",
                    self.version, self.oldest_reader
                ),
            ));
        }
        self.check_cipher(bytes)?;
        self.check_specific(bytes)
    }

    fn check_cipher(&self, bytes: &[u8]) -> Result<()> {
        if self.cipher.cipher != 0 || self.cipher.key_wrap != 0 {
            let Cipher {
                cipher, key_wrap, ..
            } = self.cipher;
            let actual = format_args!("cipher {cipher}, key wrap {key_wrap}");
            return Err(unsupported(CIPHER_AT, "files without a cipher", actual));
        }
        zeros(bytes, CIPHER_AT, SPECIFIC_AT)
    }

    fn check_specific(&self, bytes: &[u8]) -> Result<()> {
        let used = match self.specific {
            Specific::Identity { .. } => 8,
            Specific::Log(_) => 40,
            Specific::Manifest | Specific::Segment => 0,
        };
        zeros(bytes, SPECIFIC_AT + used, CRC_AT)?;
        match self.specific {
            Specific::Identity { .. } => {
                if self.number > LAYOUT_VERSION {
                    let expected = format_args!("layout version {LAYOUT_VERSION}");
                    return Err(unsupported(NUMBER_AT, expected, self.number));
                }
                self.check_number(LAYOUT_VERSION, LAYOUT_VERSION)?;
                zeros(bytes, FILE_AT, NUMBER_AT)
            }
            Specific::Log(log) => {
                self.check_number(1, u64::MAX - 1)?;
                self.check_log(&log)
            }
            Specific::Manifest => self.check_number(1, u64::MAX - 1),
            Specific::Segment => self.check_number(1, u64::from(u32::MAX)),
        }
    }

    fn check_number(&self, first: u64, last: u64) -> Result<()> {
        if (first..=last).contains(&self.number) {
            return Ok(());
        }
        Err(FormatError::invalid(
            WHAT,
            NUMBER_AT as u64,
            format_args!("a number from {first} to {last}"),
            self.number,
        ))
    }

    fn check_log(&self, log: &LogHeader) -> Result<()> {
        let at = SPECIFIC_AT as u64;
        let page = LOG_PAGE as u64;
        if !log.file_len.is_multiple_of(page) || log.file_len < 2 * page {
            let expected = format_args!("a file length of two or more pages of {page} bytes");
            return Err(FormatError::invalid(WHAT, at, expected, log.file_len));
        }
        if log.first_lsn == Lsn(0) || log.first_lsn == Lsn(u64::MAX) {
            let expected = "a first LSN from 1 to 2^64 - 2";
            return Err(FormatError::invalid(WHAT, at + 8, expected, log.first_lsn));
        }
        let Some(cut) = log.cut else { return Ok(()) };
        if cut.file_number == 0 || cut.file_number >= self.number {
            return Err(FormatError::invalid(
                WHAT,
                at + 16,
                format_args!("a cut in a log file before {}", self.number),
                cut.file_number,
            ));
        }
        if cut.offset < page {
            let expected = format_args!("a cut at or behind offset {page}");
            return Err(FormatError::invalid(WHAT, at + 24, expected, cut.offset));
        }
        if cut.last_lsn >= log.first_lsn {
            return Err(FormatError::invalid(
                WHAT,
                at + 32,
                format_args!("a last LSN before the file's first, {}", log.first_lsn),
                cut.last_lsn,
            ));
        }
        Ok(())
    }
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

fn zeros(bytes: &[u8], from: usize, to: usize) -> Result<()> {
    Reader::new(&bytes[from..to], WHAT)
        .zeros(to - from)
        .map_err(|e| e.at_base(from as u64))
}

#[cfg(test)]
mod tests;
