//! What processes tell each other beside the files that hold data: how far the writer has come, and
//! which version of the manifest a reader needs.
//!
//! Neither record is synced and nothing is rebuilt from them. A record is written by one call and
//! checked as a whole: one that was read while it was being written is not valid, and is read again.
//!
//! ```text
//! published (96 bytes)                     lease (64 bytes)
//!  0 magic (8)        8 database (16)       0 magic (8)        8 database (16)
//! 24 incarnation (16) 40 boot (16)         24 manifest version (8)
//! 56 durable LSN (8)  64 version (8)       32 zero (28)       60 CRC-32 (4)
//! 72 zero (20)        92 CRC-32 (4)
//! ```

use crate::bytes::Reader;
use crate::checksum::crc32;
use crate::{FileUuid, FormatError, FormatErrorKind, Lsn, Result};

/// First bytes of what the writer publishes.
pub const PUBLISHED_MAGIC: [u8; 8] = *b"TidestPB";
/// First bytes of a reader's lease.
pub const LEASE_MAGIC: [u8; 8] = *b"TidestLS";
/// Length of [`Published`], in bytes.
pub const PUBLISHED_LEN: usize = 96;
/// Length of [`LeaseRecord`], in bytes.
pub const LEASE_LEN: usize = 64;

/// How far the process has come that writes to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The database.
    pub database: FileUuid,
    /// Its incarnation.
    pub incarnation: FileUuid,
    /// The start of the machine under which this was written: after another one it may be older
    /// than what is on the disk, for it is not synced.
    pub boot: FileUuid,
    /// Every LSN up to it is synced.
    pub durable: Lsn,
    /// The version of the manifest that queries of the writer see.
    pub version: u64,
}

impl Published {
    /// The bytes of the record.
    ///
    /// ```
    /// use tidestone_format::sharing::Published;
    /// use tidestone_format::{FileUuid, Lsn};
    /// let uuid = FileUuid([7; 16]);
    /// let published = Published { database: uuid, incarnation: uuid, boot: uuid, durable: Lsn(5), version: 2 };
    /// assert_eq!(Published::decode(&published.encode()).unwrap(), published);
    /// ```
    pub fn encode(&self) -> [u8; PUBLISHED_LEN] {
        let mut bytes = [0; PUBLISHED_LEN];
        bytes[..8].copy_from_slice(&PUBLISHED_MAGIC);
        bytes[8..24].copy_from_slice(&self.database.0);
        bytes[24..40].copy_from_slice(&self.incarnation.0);
        bytes[40..56].copy_from_slice(&self.boot.0);
        bytes[56..64].copy_from_slice(&self.durable.0.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.version.to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    /// Reads the record.
    ///
    /// # Errors
    /// The bytes are too few, not such a record, damaged, or were being written.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = open(bytes, PUBLISHED_LEN, PUBLISHED_MAGIC, "published record")?;
        let record = Self {
            database: FileUuid(reader.array()?),
            incarnation: FileUuid(reader.array()?),
            boot: FileUuid(reader.array()?),
            durable: Lsn(reader.u64()?),
            version: reader.u64()?,
        };
        reader.zeros(reader.remaining())?;
        Ok(record)
    }
}

/// Which files a reader in another process needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The database.
    pub database: FileUuid,
    /// Every segment that this version of the manifest names, and every one added by a later
    /// version, is needed; 0 while the reader has yet to learn which version there is.
    pub version: u64,
}

impl LeaseRecord {
    /// The bytes of the record.
    ///
    /// ```
    /// use tidestone_format::{FileUuid, sharing::LeaseRecord};
    /// let lease = LeaseRecord { database: FileUuid([7; 16]), version: 3 };
    /// assert_eq!(LeaseRecord::decode(&lease.encode()).unwrap(), lease);
    /// ```
    pub fn encode(&self) -> [u8; LEASE_LEN] {
        let mut bytes = [0; LEASE_LEN];
        bytes[..8].copy_from_slice(&LEASE_MAGIC);
        bytes[8..24].copy_from_slice(&self.database.0);
        bytes[24..32].copy_from_slice(&self.version.to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    /// Reads the record.
    ///
    /// # Errors
    /// The bytes are too few, not such a record, damaged, or were being written.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = open(bytes, LEASE_LEN, LEASE_MAGIC, "lease")?;
        let record = Self {
            database: FileUuid(reader.array()?),
            version: reader.u64()?,
        };
        reader.zeros(reader.remaining())?;
        Ok(record)
    }
}

/// Puts the checksum of all bytes before it at the end.
fn seal(bytes: &mut [u8]) {
    let at = bytes.len() - 4;
    let crc = crc32(&bytes[..at]);
    bytes[at..].copy_from_slice(&crc.to_le_bytes());
}

/// A reader of what stands between magic and checksum, once both were compared.
fn open<'a>(bytes: &'a [u8], len: usize, magic: [u8; 8], what: &'static str) -> Result<Reader<'a>> {
    let Some(bytes) = bytes.get(..len) else {
        let (needed, have) = (len as u64, bytes.len() as u64);
        return Err(FormatError::truncated(what, 0, needed, have));
    };
    if !bytes.starts_with(&magic) {
        let found = bytes[..8].escape_ascii();
        let (kind, expected) = (FormatErrorKind::Magic, magic.escape_ascii());
        return Err(FormatError::new(kind, what, 0, expected, found));
    }
    let end = len - 4;
    let stored = Reader::new(&bytes[end..], what).u32()?;
    let actual = crc32(&bytes[..end]);
    if stored != actual {
        return Err(FormatError::checksum(what, end as u64, stored, actual));
    }
    let mut reader = Reader::new(&bytes[..end], what);
    reader.take(magic.len())?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> Published {
        Published {
            database: FileUuid([1; 16]),
            incarnation: FileUuid([2; 16]),
            boot: FileUuid([3; 16]),
            durable: Lsn(4),
            version: 5,
        }
    }

    /// Every byte counts: one that is changed, and one that is missing, is found.
    fn check<T: PartialEq + std::fmt::Debug>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T>) {
        let sound = decode(bytes).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0x10;
            let error = decode(&changed).unwrap_err();
            let magic = at < 8;
            assert_eq!(error.kind == FormatErrorKind::Magic, magic, "{at}: {error}");
            let error = decode(&bytes[..at]).unwrap_err();
            assert_eq!(error.kind, FormatErrorKind::Truncated, "{at}: {error}");
        }
        let mut longer = bytes.to_vec();
        longer.extend_from_slice(b"what follows does not matter");
        assert_eq!(decode(&longer).unwrap(), sound);
    }

    #[test]
    fn every_byte_of_the_records_is_checked() {
        check(&published().encode(), Published::decode);
        let lease = LeaseRecord {
            database: FileUuid([9; 16]),
            version: u64::MAX,
        };
        check(&lease.encode(), LeaseRecord::decode);
    }

    #[test]
    fn reserved_bytes_are_zero() {
        let mut bytes = published().encode();
        bytes[80] = 1;
        seal(&mut bytes);
        let error = Published::decode(&bytes).unwrap_err();
        assert_eq!(error.offset, 80, "{error}");
    }
}
