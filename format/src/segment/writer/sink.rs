//! Where a segment is written to.

use std::io::Write;

use super::WriteError;
use crate::segment::{Region, RegionKind};
use crate::version::BLOCK_ALIGN;
use crate::{FieldId, FileUuid};

/// The sink, and where in the file it is.
#[derive(Debug)]
pub(super) struct Sink<W> {
    pub(super) to: W,
    pub(super) offset: u64,
    pub(super) file: FileUuid,
}

impl<W: Write> Sink<W> {
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
}
