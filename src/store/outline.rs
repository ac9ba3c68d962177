//! What is read of a segment to know what it has, and where.

use std::io;

use tidestone_format::FormatError;
use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN};
use tidestone_format::segment::{Root, TRAILER_LEN, Trailer};

use crate::io::File;

/// What a segment says of itself as a whole, and of where its parts are.
#[derive(Debug)]
pub(crate) struct Outline {
    pub(crate) header: FileHeader,
    pub(crate) trailer: Trailer,
    pub(crate) root: Root,
}

impl Outline {
    /// Reads the outline of a file of `len` bytes, whose parts are of one file and table. It is not mapped for
    /// that.
    pub(crate) fn read(file: &dyn File, len: u64) -> io::Result<Result<Self, FormatError>> {
        let needed = (HEADER_LEN + TRAILER_LEN) as u64;
        if len < needed {
            return Ok(Err(FormatError::truncated("segment", 0, needed, len)));
        }
        let (mut head, mut tail) = ([0; HEADER_LEN], [0; TRAILER_LEN]);
        file.read_exact_at(&mut head, 0)?;
        file.read_exact_at(&mut tail, len - TRAILER_LEN as u64)?;
        let ends = FileHeader::decode_kind(&head, FileKind::Segment).and_then(|header| {
            let trailer = Trailer::decode(&tail, len)?;
            trailer.check_header(&header)?;
            Ok((header, trailer))
        });
        let (header, trailer) = match ends {
            Ok(ends) => ends,
            Err(error) => return Ok(Err(error)),
        };
        let region = trailer.root_region();
        let mut bytes = vec![0; usize::try_from(region.stored_len).unwrap_or(0)];
        file.read_exact_at(&mut bytes, region.offset)?;
        let root = region
            .check(trailer.file, &bytes)
            .and_then(|()| Root::decode(&bytes, &trailer))
            .and_then(|root| {
                root.check_header(&header, &trailer)?;
                Ok(root)
            });
        Ok(root.map(|root| Self {
            header,
            trailer,
            root,
        }))
    }
}
