//! Blocks found by their magic: what is left where the pages that name them are unreadable.

use tidestone_format::bytes::Reader;
use tidestone_format::header::HEADER_LEN;
use tidestone_format::segment::{Block, Region, RegionKind, Root};
use tidestone_format::version::{BLOCK_ALIGN, GROUP_VECTORS, VECTOR_ROWS};
use tidestone_format::{FieldId, FieldType, Result};

use super::BLOCK_MAGIC;
use super::contents::{PlacedBlock, column_name};

const HEAD_LEN: usize = 16;

/// The blocks that start at multiples of 64 and are none of `known`.
pub(super) fn find_blocks<'a>(
    bytes: &'a [u8],
    known: &[Region],
    root: Option<&Root>,
) -> Vec<PlacedBlock<'a>> {
    let mut found = Vec::new();
    let mut at = HEADER_LEN;
    while at < bytes.len() {
        let offset = at as u64;
        let inside = known.iter().find(|region| region.range().contains(&offset));
        if let Some(region) = inside {
            let end = usize::try_from(region.padding().end).unwrap_or(usize::MAX);
            at = end.max(at + BLOCK_ALIGN);
            continue;
        }
        match block_at(&bytes[at..], offset, root) {
            Some(block) => {
                let end = usize::try_from(block.region.padding().end).unwrap_or(usize::MAX);
                at = end.max(at + BLOCK_ALIGN);
                found.push(block);
            }
            None => at += BLOCK_ALIGN,
        }
    }
    found
}

/// The block at the start of `bytes`, if there is one. Its checksum is not known.
fn block_at<'a>(bytes: &'a [u8], offset: u64, root: Option<&Root>) -> Option<PlacedBlock<'a>> {
    let head = Head::read(bytes).ok()??;
    let region = Region {
        kind: RegionKind::Block,
        field: head.field,
        offset,
        stored_len: head.len,
        plain_len: head.len,
        crc: 0,
    };
    let bytes = bytes.get(..head.len as usize)?;
    let block = Block::open(bytes, &region, head.field_type, head.group, head.rows).ok()?;
    Some(PlacedBlock {
        group: head.group,
        field: head.field,
        name: column_name(root, head.field),
        field_type: head.field_type,
        region,
        checked: false,
        stats: None,
        block: Some(block),
        damage: Vec::new(),
    })
}

/// What a block says of itself.
struct Head {
    field: FieldId,
    field_type: FieldType,
    group: u32,
    rows: u32,
    len: u32,
}

impl Head {
    /// The head, if the bytes start with the magic and the numbers can be those of a block.
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let mut r = Reader::new(bytes, "block");
        if r.array::<4>()? != BLOCK_MAGIC {
            return Ok(None);
        }
        let (field, group) = (FieldId(r.u32()?), r.u32()?);
        let field_type = FieldType::from_tag(r.u8()?, 12)?;
        let (vectors, last) = (usize::from(r.u8()?), usize::from(r.u16()?));
        if !(1..=GROUP_VECTORS).contains(&vectors) || !(1..=VECTOR_ROWS).contains(&last) {
            return Ok(None);
        }
        debug_assert_eq!(r.position(), HEAD_LEN);
        r.take((vectors - 1) * 4)?;
        let rows = (vectors - 1) * VECTOR_ROWS + last;
        Ok(Some(Self {
            field,
            field_type,
            group,
            // At most 65,536.
            rows: u32::try_from(rows).unwrap_or(u32::MAX),
            len: r.u32()?,
        }))
    }
}
