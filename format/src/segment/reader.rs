//! A segment whose bytes are all at hand: mapped, or read whole.

use std::ops::Range;

use crate::codec::dictionary::Dictionary;
use crate::header::{FileHeader, FileKind, HEADER_LEN};
use crate::segment::{Block, GroupPage, Region, Root, SeriesPage, TRAILER_LEN, Trailer};
use crate::{FieldId, FieldType, FormatError, Result};

/// The bytes of a segment, its header, trailer and root decoded. Everything else is checked and
/// decoded when asked for, each time.
#[derive(Debug, Clone)]
pub struct Segment<'a> {
    bytes: &'a [u8],
    header: FileHeader,
    trailer: Trailer,
    root: Root,
}

impl<'a> Segment<'a> {
    /// Opens the segment that `bytes` are.
    ///
    /// # Errors
    /// The header, trailer or root is damaged, or they are not of one file.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let len = bytes.len() as u64;
        let head = &bytes[..bytes.len().min(HEADER_LEN)];
        let header = FileHeader::decode_kind(head, FileKind::Segment)?;
        let end = bytes.len().saturating_sub(TRAILER_LEN);
        let trailer = Trailer::decode(&bytes[end..], len)?;
        trailer.check_header(&header)?;
        let root = checked(bytes, &trailer, &trailer.root_region())?;
        let root = Root::decode(root, &trailer)?;
        root.check_header(&header, &trailer)?;
        Ok(Self {
            bytes,
            header,
            trailer,
            root,
        })
    }

    /// The header.
    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// The trailer.
    pub fn trailer(&self) -> &Trailer {
        &self.trailer
    }

    /// The root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The bytes of a region, its checksum checked.
    ///
    /// # Errors
    /// It is not in the file, or damaged.
    pub fn region(&self, region: &Region) -> Result<&'a [u8]> {
        checked(self.bytes, &self.trailer, region)
    }

    /// Series page `i`.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn series_page(&self, i: usize) -> Result<SeriesPage> {
        let Some(reference) = self.root.series_pages.get(i) else {
            let expected = format_args!("a number below {}", self.root.series_pages.len());
            return Err(FormatError::invalid("series page", 0, expected, i));
        };
        SeriesPage::decode(self.region(&reference.region)?, reference)
    }

    /// The page of row group `group`.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn group_page(&self, group: usize) -> Result<GroupPage> {
        let region = self.root.group_pages.get(group).map(|page| page.region);
        let bytes = region.map_or(Ok(&[][..]), |region| self.region(&region))?;
        GroupPage::decode(bytes, &self.root, group)
    }

    /// The dictionary of a field, if it has one.
    ///
    /// # Errors
    /// It is damaged.
    pub fn dictionary(&self, field: FieldId) -> Result<Option<Dictionary>> {
        let (Some(reference), Some(column)) =
            (self.root.dictionary(field), self.root.column(field))
        else {
            return Ok(None);
        };
        let bytes = self.region(&reference.region)?;
        Dictionary::decode(bytes, column.field_type, reference.values as usize)
            .map(Some)
            .map_err(|e| e.at_base(reference.region.offset))
    }

    /// The block of a field, or of time, of row group `group`, whose page is `page`.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn block(&self, page: &GroupPage, group: usize, field: FieldId) -> Result<Block<'a>> {
        let (Some(column), Ok(number)) = (page.column(field), u32::try_from(group)) else {
            let what = "column of a row group";
            return Err(FormatError::invalid(
                what,
                0,
                "a field of the segment",
                field,
            ));
        };
        let bytes = self.region(&column.block)?;
        Block::open(bytes, &column.block, column.field_type, number, page.rows())
    }

    /// Checks every byte: each region's checksum and structure, every vector, and that there is
    /// nothing between the regions. Tells `found` of each region, and of what is wrong with it; it
    /// goes on behind damage as far as it can.
    pub fn verify(&self, mut found: impl FnMut(&Region, Result<()>)) {
        let mut regions = vec![(self.trailer.root_region(), Ok(()))];
        let mut blocks_unknown = false;
        for (i, page) in self.root.series_pages.iter().enumerate() {
            regions.push((page.region, self.verify_series(i)));
        }
        for dictionary in &self.root.dictionaries {
            let read = self.dictionary(dictionary.field).map(drop);
            regions.push((dictionary.region, read));
        }
        for (group, reference) in self.root.group_pages.iter().enumerate() {
            let page = match self.group_page(group) {
                Ok(page) => page,
                Err(error) => {
                    blocks_unknown = true;
                    regions.push((reference.region, Err(error)));
                    continue;
                }
            };
            let stats = page
                .columns()
                .iter()
                .try_for_each(|c| page.stats(c).map(drop));
            regions.push((reference.region, stats));
            for column in page.columns() {
                let read = self.verify_block(&page, group, column.field, column.field_type);
                regions.push((column.block, read));
            }
        }
        regions.sort_by_key(|(region, _)| region.offset);
        let mut end = HEADER_LEN as u64;
        for (region, result) in &mut regions {
            if result.is_ok() {
                let before = if blocks_unknown { region.offset } else { end };
                *result = self.verify_place(region, before);
            }
            end = region.padding().end;
        }
        for (region, result) in regions {
            found(&region, result);
        }
    }

    fn verify_series(&self, i: usize) -> Result<()> {
        let page = self.series_page(i)?;
        for series in 0..page.len() {
            page.key(series)?;
        }
        self.root.check_series_page(i, &page)
    }

    fn verify_block(
        &self,
        page: &GroupPage,
        group: usize,
        field: FieldId,
        field_type: FieldType,
    ) -> Result<()> {
        let block = self.block(page, group, field)?;
        // A damaged dictionary is reported as itself.
        let dictionary = self.dictionary(field).ok().flatten();
        if dictionary.is_none() && self.root.dictionary(field).is_some() {
            return Ok(());
        }
        let mut column = crate::column::Column::new(field_type);
        for vector in 0..block.vector_count() {
            column.clear();
            block.decode(vector, dictionary.as_ref(), &mut column)?;
        }
        Ok(())
    }

    /// Checks that a region starts where the one before ends, and the zeros behind it.
    fn verify_place(&self, region: &Region, before: u64) -> Result<()> {
        if region.offset != before {
            return Err(FormatError::invalid(
                "place of a region",
                region.offset,
                format_args!("the end of the one before, {before}"),
                region.offset,
            ));
        }
        let padding = slice(self.bytes, &region.padding(), region.kind.name())?;
        region.check_padding(padding)
    }
}

fn checked<'a>(bytes: &'a [u8], trailer: &Trailer, region: &Region) -> Result<&'a [u8]> {
    let bytes = slice(bytes, &region.range(), region.kind.name())?;
    region.check(trailer.file, bytes)?;
    Ok(bytes)
}

fn slice<'a>(bytes: &'a [u8], range: &Range<u64>, what: &'static str) -> Result<&'a [u8]> {
    let place = usize::try_from(range.start)
        .ok()
        .zip(usize::try_from(range.end).ok());
    place
        .and_then(|(start, end)| bytes.get(start..end))
        .ok_or_else(|| {
            let available = (bytes.len() as u64).saturating_sub(range.start);
            FormatError::truncated(what, range.start, range.end - range.start, available)
        })
}
