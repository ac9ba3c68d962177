//! Regions: the pieces of a segment that have a checksum.

use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::bytes::{Reader, put_varint};
use crate::checksum::region_crc32;
use crate::header::HEADER_LEN;
use crate::tags::on_disk;
use crate::version::{BLOCK_ALIGN, MAX_REGION};
use crate::{FieldId, FileUuid, FormatError, Result};

on_disk! {
    /// What a region is; the number is part of its checksum.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum RegionKind {
        /// The vectors of one column of one row group.
        Block = 1,
        /// The distinct values of a column.
        Dictionary = 2,
        /// A run of series: ids, rows, times, keys.
        SeriesPage = 3,
        /// The blocks of a row group and their statistics.
        GroupPage = 4,
        /// What the segment is and where the rest lies.
        Root = 5,
    }
}

impl RegionKind {
    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Dictionary => "dictionary",
            Self::SeriesPage => "series page",
            Self::GroupPage => "group page",
            Self::Root => "root",
        }
    }
}

/// Where a region lies and what its bytes must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// What it is.
    pub kind: RegionKind,
    /// The column it belongs to; 0 for pages and the root.
    pub field: FieldId,
    /// Offset in the file, a multiple of 64.
    pub offset: u64,
    /// Length in the file.
    pub stored_len: u32,
    /// Length of what it holds; the stored one where nothing is encrypted.
    pub plain_len: u32,
    /// CRC-32 of who it is and of its stored bytes.
    pub crc: u32,
}

/// The bytes of a region: borrowed from a mapped file, or read from it and shared by whoever uses them.
#[derive(Debug, Clone)]
pub enum RegionBytes<'a> {
    /// Of bytes that somebody else has.
    Borrowed(&'a [u8]),
    /// Read from the file.
    Shared(Arc<[u8]>),
}

impl Deref for RegionBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for RegionBytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl Region {
    /// The region that `bytes` make at `offset` of the file.
    ///
    /// # Errors
    /// [`FormatErrorKind::Limit`](crate::FormatErrorKind::Limit): more bytes than a region may
    /// have.
    pub(crate) fn of(
        kind: RegionKind,
        field: FieldId,
        offset: u64,
        file: FileUuid,
        bytes: &[u8],
    ) -> Result<Self> {
        let crc = region_crc32(file, u32::from(kind.tag()), field.0, offset, bytes);
        Self::with_checksum(kind, field, offset, bytes.len() as u64, crc)
    }

    /// The region of `len` bytes with the checksum `crc` at `offset` of the file.
    ///
    /// # Errors
    /// As [`Region::of`].
    pub(crate) fn with_checksum(
        kind: RegionKind,
        field: FieldId,
        offset: u64,
        len: u64,
        crc: u32,
    ) -> Result<Self> {
        let len = u32::try_from(len)
            .ok()
            .filter(|&len| len as usize <= MAX_REGION)
            .ok_or_else(|| FormatError::limit(kind.name(), MAX_REGION, len))?;
        Ok(Self {
            kind,
            field,
            offset,
            stored_len: len,
            plain_len: len,
            crc,
        })
    }

    /// The bytes of the file that are the region.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.stored_len))
    }

    /// The bytes between this region and the place of the next: all zero.
    pub fn padding(&self) -> Range<u64> {
        let end = self.range().end;
        end..end.next_multiple_of(BLOCK_ALIGN as u64)
    }

    /// Checks that `bytes` are this region of the file `file`.
    ///
    /// # Errors
    /// The length or the checksum is another.
    pub fn check(&self, file: FileUuid, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 != u64::from(self.stored_len) {
            let (needed, available) = (u64::from(self.stored_len), bytes.len() as u64);
            return Err(FormatError::truncated(
                self.kind.name(),
                self.offset,
                needed,
                available,
            ));
        }
        let crc = region_crc32(
            file,
            u32::from(self.kind.tag()),
            self.field.0,
            self.offset,
            bytes,
        );
        if crc == self.crc {
            return Ok(());
        }
        Err(FormatError::checksum(
            self.kind.name(),
            self.offset,
            self.crc,
            crc,
        ))
    }

    /// Checks that `bytes`, those of [`Region::padding`], are zero.
    ///
    /// # Errors
    /// One is not.
    pub fn check_padding(&self, bytes: &[u8]) -> Result<()> {
        let mut r = Reader::new(bytes, "padding of a region");
        r.zeros(bytes.len())
            .map_err(|e| e.at_base(self.padding().start))
    }

    /// Appends a reference to the region.
    pub(crate) fn put_reference(&self, out: &mut Vec<u8>) {
        put_varint(out, self.offset / BLOCK_ALIGN as u64);
        put_varint(out, u64::from(self.stored_len));
        put_varint(out, u64::from(self.plain_len));
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// Reads a reference to a region that ends at or before `limit` of the file.
    pub(crate) fn read_reference(
        r: &mut Reader<'_>,
        kind: RegionKind,
        field: FieldId,
        limit: u64,
    ) -> Result<Self> {
        let at = r.position();
        let offset = r.varint()?.saturating_mul(BLOCK_ALIGN as u64);
        let stored_len = read_len(r)?;
        let plain_len = read_len(r)?;
        let crc = r.u32()?;
        let region = Self {
            kind,
            field,
            offset,
            stored_len,
            plain_len,
            crc,
        };
        region
            .check_place(limit)
            .map_err(|(expected, actual)| r.invalid_at(at, expected, actual))?;
        Ok(region)
    }

    /// Whether the region can be one that ends at or before `limit`; else what was expected and
    /// found.
    pub(crate) fn check_place(&self, limit: u64) -> Result<(), (String, String)> {
        let end = self.range().end;
        if !self.offset.is_multiple_of(BLOCK_ALIGN as u64)
            || self.offset < HEADER_LEN as u64
            || end > limit
        {
            return Err((
                format!("a {} between {HEADER_LEN} and {limit}", self.kind.name()),
                format!("{} to {end}", self.offset),
            ));
        }
        if self.stored_len == 0 || self.plain_len != self.stored_len {
            return Err((
                format!("equal lengths of at least 1 of a {}", self.kind.name()),
                format!("stored {}, plain {}", self.stored_len, self.plain_len),
            ));
        }
        Ok(())
    }
}

fn read_len(r: &mut Reader<'_>) -> Result<u32> {
    let len = r.count(MAX_REGION)?;
    // MAX_REGION fits.
    Ok(u32::try_from(len).unwrap_or(u32::MAX))
}
