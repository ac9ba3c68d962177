//! Whole segments: what opens must verify, or say where it is wrong, and decode as it verifies.

use tidestone_format::FieldId;
use tidestone_format::checksum::{crc32, region_crc32};
use tidestone_format::column::Column;
use tidestone_format::header::HEADER_LEN;
use tidestone_format::segment::{Region, Segment, TRAILER_LEN, Trailer};

/// A segment. The first byte says whether the checksums in the rest are made right first.
pub fn segment_file(bytes: &[u8]) {
    let Some((flag, rest)) = bytes.split_first() else {
        return;
    };
    let mut file = rest.to_vec();
    if flag & 1 == 1 {
        repair(&mut file);
    }
    let Ok(segment) = Segment::open(&file) else {
        return;
    };
    let mut sound = true;
    segment.verify(|_, result| sound &= result.is_ok());
    for page in 0..segment.root().series_pages.len() {
        if let Ok(page) = segment.series_page(page) {
            assert_eq!(page.iter().count(), page.len());
        }
    }
    for group in 0..segment.root().group_pages.len() {
        let decoded = decode_group(&segment, group);
        assert!(!sound || decoded, "a sound segment decodes");
    }
}

/// Whether all of a row group decodes.
fn decode_group(segment: &Segment<'_>, group: usize) -> bool {
    let Ok(page) = segment.group_page(group) else {
        return false;
    };
    let mut all = true;
    for column in page.columns() {
        all &= page.stats(column).is_ok();
        all &= decode_column(segment, &page, group, column.field).is_some();
    }
    all
}

fn decode_column(
    segment: &Segment<'_>,
    page: &tidestone_format::segment::GroupPage,
    group: usize,
    field: FieldId,
) -> Option<()> {
    let block = segment.block(page, group, field).ok()?;
    let dictionary = segment.dictionary(field).ok()?;
    let mut out = Column::new(block.field_type());
    let mut all = Some(());
    for vector in 0..block.vector_count() {
        // A vector that fails may leave part of its rows: each goes to a column of its own.
        out = Column::new(out.values.field_type());
        match block.decode(vector, dictionary.as_ref(), &mut out) {
            Ok(()) => assert_eq!(out.len(), block.vector_rows(vector)),
            Err(_) => all = None,
        }
    }
    all
}

/// Checksums stand in what refers to a region: blocks are made right before the pages that name
/// them, and the root and the trailer in every round.
fn repair(file: &mut [u8]) {
    for _ in 0..4 {
        repair_ends(file);
        let mut wrong: Vec<(Region, u32)> = Vec::new();
        {
            let Ok(segment) = Segment::open(file) else {
                return;
            };
            let uuid = segment.header().file;
            segment.verify(|region, _| {
                if let Some(crc) = crc_of(file, uuid, region)
                    && crc != region.crc
                {
                    wrong.push((*region, crc));
                }
            });
        }
        if wrong.is_empty() {
            return;
        }
        for (region, crc) in wrong {
            replace(file, region.crc, crc);
        }
    }
    repair_ends(file);
}

fn crc_of(file: &[u8], uuid: tidestone_format::FileUuid, region: &Region) -> Option<u32> {
    let start = usize::try_from(region.offset).ok()?;
    let end = start.checked_add(region.stored_len as usize)?;
    let bytes = file.get(start..end)?;
    let (kind, field) = (u32::from(region.kind as u8), region.field.0);
    Some(region_crc32(uuid, kind, field, region.offset, bytes))
}

fn replace(file: &mut [u8], old: u32, new: u32) {
    let old = old.to_le_bytes();
    let at = file.windows(4).rposition(|word| word == old);
    if let Some(at) = at {
        file[at..at + 4].copy_from_slice(&new.to_le_bytes());
    }
}

/// Makes the checksums of header, trailer and root right.
fn repair_ends(file: &mut [u8]) {
    if file.len() < HEADER_LEN + TRAILER_LEN {
        return;
    }
    let crc = crc32(&file[..188]);
    file[188..192].copy_from_slice(&crc.to_le_bytes());
    let end = file.len() - TRAILER_LEN;
    let trailer = |file: &mut [u8]| {
        let crc = crc32(&file[end..end + 52]);
        file[end + 52..end + 56].copy_from_slice(&crc.to_le_bytes());
    };
    trailer(file);
    let Ok(decoded) = Trailer::decode(&file[end..], file.len() as u64) else {
        return;
    };
    if let Some(crc) = crc_of(file, decoded.file, &decoded.root_region()) {
        file[end + 32..end + 36].copy_from_slice(&crc.to_le_bytes());
        trailer(file);
    }
}
