//! Where a segment is written to.

use std::io::{self, Write};

use super::WriteError;
use crate::checksum::RegionChecksum;
use crate::segment::{Region, RegionKind};
use crate::version::BLOCK_ALIGN;
use crate::{FieldId, FileUuid};

/// What a segment is written to: front to back, but for the heads of long blocks, which say where
/// their vectors end.
pub trait SegmentSink: Write {
    /// Writes `bytes` over those that were written at `offset`, counted from the first byte that was
    /// written.
    ///
    /// # Errors
    /// As those of writing.
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// Bytes that are the segment alone.
impl SegmentSink for Vec<u8> {
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = self
            .get_mut(start..)
            .and_then(|rest| rest.get_mut(..bytes.len()));
        let there = there.ok_or(io::ErrorKind::InvalidInput)?;
        there.copy_from_slice(bytes);
        Ok(())
    }
}

impl<S: SegmentSink + ?Sized> SegmentSink for &mut S {
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).overwrite(offset, bytes)
    }
}

/// The sink, and where in the file it is.
#[derive(Debug)]
pub(super) struct Sink<W> {
    pub(super) to: W,
    pub(super) offset: u64,
    pub(super) file: FileUuid,
}

/// A region that is being written in parts, the first bytes of which are known last.
#[derive(Debug)]
pub(super) struct OpenRegion {
    offset: u64,
    head: usize,
    len: u64,
    /// Of what stands behind the head.
    checksum: RegionChecksum,
}

impl OpenRegion {
    /// Bytes that were written.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

impl<W: SegmentSink> Sink<W> {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.to.write_all(bytes).map_err(WriteError::Io)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Zeros up to the place of the next region.
    pub(super) fn align(&mut self) -> Result<(), WriteError> {
        let len = self.offset.next_multiple_of(BLOCK_ALIGN as u64) - self.offset;
        let len = usize::try_from(len).unwrap_or(0);
        self.write(&[0; BLOCK_ALIGN][..len])
    }

    pub(super) fn region(
        &mut self,
        kind: RegionKind,
        field: FieldId,
        bytes: &[u8],
    ) -> Result<Region, WriteError> {
        self.align()?;
        let region = Region::of(kind, field, self.offset, self.file, bytes)?;
        self.write(bytes)?;
        Ok(region)
    }

    /// Begins a region with its first part, of which the first `head` bytes are known last.
    pub(super) fn begin_region(
        &mut self,
        head: usize,
        part: &[u8],
    ) -> Result<OpenRegion, WriteError> {
        self.align()?;
        let mut open = OpenRegion {
            offset: self.offset,
            head,
            len: part.len() as u64,
            checksum: RegionChecksum::default(),
        };
        open.checksum.update(&part[head..]);
        self.write(part)?;
        Ok(open)
    }

    /// Writes a further part of a region.
    pub(super) fn go_on(&mut self, open: &mut OpenRegion, part: &[u8]) -> Result<(), WriteError> {
        open.checksum.update(part);
        open.len += part.len() as u64;
        self.write(part)
    }

    /// Ends a region that was begun, of which everything was written but its first bytes.
    pub(super) fn end_region(
        &mut self,
        open: OpenRegion,
        kind: RegionKind,
        field: FieldId,
        head: &[u8],
    ) -> Result<Region, WriteError> {
        debug_assert_eq!(head.len(), open.head);
        let crc = open
            .checksum
            .finish(self.file, kind as u32, field.0, open.offset, head);
        let region = Region::with_checksum(kind, field, open.offset, open.len, crc)?;
        self.to
            .overwrite(open.offset, head)
            .map_err(WriteError::Io)?;
        Ok(region)
    }
}
