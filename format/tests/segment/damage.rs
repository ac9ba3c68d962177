//! Damaged bytes are found, located, and never more than that.

use proptest::prelude::*;
use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::vector::EncodedVector;
use tidestone_format::column::{Column, Values};
use tidestone_format::header::HEADER_LEN;
use tidestone_format::segment::{
    Block, GroupPage, Region, RegionKind, Root, Segment, SeriesPage, TRAILER_LEN, Trailer,
};
use tidestone_format::{FieldId, FieldType, FileUuid, FormatErrorKind};

use crate::model::{Model, TYPES, mix};

/// All types, dictionaries, nulls, two row groups.
fn sample() -> Model {
    Model::build(
        &TYPES,
        &[(1, 66_000), (4, 700)],
        |field_type, row, column| {
            let random = mix(row as u64);
            if random.is_multiple_of(7) && field_type != FieldType::Bool {
                return column.push_null();
            }
            if let Some(validity) = &mut column.validity {
                validity.push(true);
            }
            match &mut column.values {
                Values::F64(v) => v.push(f64::from_bits(mix(random % 50) >> 2)),
                Values::I64(v) => v.push(random.cast_signed() >> 40),
                Values::U64(v) => v.push(random),
                Values::Bool(v) => v.push(random.is_multiple_of(3)),
                Values::String(v) => v.push(["a", "bb", "ccc", ""][random as usize % 4]),
            }
        },
    )
}

fn regions(segment: &Segment<'_>) -> Vec<Region> {
    let mut regions = Vec::new();
    segment.verify(|region, result| {
        result.unwrap();
        regions.push(*region);
    });
    regions
}

#[test]
fn every_region_is_there_and_every_byte_belongs_to_one() {
    let (bytes, _) = sample().write(usize::MAX);
    let segment = Segment::open(&bytes).unwrap();
    let regions = regions(&segment);
    let count = |kind| regions.iter().filter(|r| r.kind == kind).count();
    assert_eq!(count(RegionKind::Block), 2 * 6);
    assert_eq!(count(RegionKind::Dictionary), 2);
    assert_eq!(count(RegionKind::SeriesPage), 1);
    assert_eq!(count(RegionKind::GroupPage), 2);
    assert_eq!(count(RegionKind::Root), 1);
    let end = regions.iter().fold(HEADER_LEN as u64, |end, region| {
        assert_eq!(region.offset, end);
        region.padding().end
    });
    assert_eq!(end, (bytes.len() - TRAILER_LEN) as u64);
}

#[test]
fn a_flipped_bit_is_found_in_the_region_where_it_is() {
    let (mut bytes, _) = sample().write(usize::MAX);
    let regions = regions(&Segment::open(&bytes).unwrap());
    for (n, region) in regions.iter().enumerate() {
        let (start, end) = (region.offset as usize, region.padding().end as usize);
        let random = start + mix(n as u64) as usize % (region.stored_len as usize);
        let mut places = vec![start, random, region.range().end as usize - 1];
        if end > region.range().end as usize {
            places.push(end - 1);
        }
        for at in places {
            bytes[at] ^= 1 << (n % 8);
            match Segment::open(&bytes) {
                Err(error) => {
                    let root = region.kind == RegionKind::Root;
                    assert!(root, "{region:?} byte {at}: {error}");
                    assert_eq!(error.kind, FormatErrorKind::Checksum);
                    assert_eq!(error.offset, region.offset);
                }
                Ok(segment) => {
                    let mut bad = Vec::new();
                    segment.verify(|region, result| {
                        if let Err(error) = result {
                            assert!(error.offset >= region.offset, "{error}");
                            bad.push(*region);
                        }
                    });
                    assert_eq!(bad, [*region], "byte {at}");
                }
            }
            bytes[at] ^= 1 << (n % 8);
        }
    }
}

#[test]
fn a_flipped_bit_of_header_or_trailer_is_found() {
    let model = Model::build(&[], &[(1, 1)], |_, _, _| {});
    let (mut bytes, _) = model.write(1);
    let trailer = bytes.len() - TRAILER_LEN;
    for at in (0..HEADER_LEN).chain(trailer..bytes.len()) {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(Segment::open(&bytes).is_err(), "byte {at} bit {bit}");
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn every_cut_is_found() {
    let model = Model::build(&[FieldType::F64], &[(1, 50)], |_, row, column| {
        if let Values::F64(v) = &mut column.values {
            v.push(row as f64 / 8.0);
        }
    });
    let (bytes, _) = model.write(usize::MAX);
    for cut in 0..bytes.len() {
        assert!(Segment::open(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_region_of_another_file_place_field_or_kind_is_refused() {
    let (bytes, _) = sample().write(usize::MAX);
    let segment = Segment::open(&bytes).unwrap();
    let file = segment.trailer().file;
    for region in regions(&segment) {
        let bytes = segment.region(&region).unwrap();
        let refuses = |change: &dyn Fn(&mut Region), file: FileUuid| {
            let mut changed = region;
            change(&mut changed);
            let error = changed.check(file, bytes).unwrap_err();
            assert_eq!(error.kind, FormatErrorKind::Checksum, "{region:?}");
        };
        refuses(&|_| {}, FileUuid([3; 16]));
        refuses(&|r| r.offset += 64, file);
        refuses(&|r| r.field.0 += 1, file);
        let kind = match region.kind {
            RegionKind::Block => RegionKind::Dictionary,
            _ => RegionKind::Block,
        };
        refuses(&|r| r.kind = kind, file);
        let cut = region.check(file, &bytes[1..]).unwrap_err();
        assert_eq!(cut.kind, FormatErrorKind::Truncated);
    }
}

#[test]
fn a_block_of_another_column_or_group_is_refused() {
    let (bytes, _) = sample().write(usize::MAX);
    let segment = Segment::open(&bytes).unwrap();
    let page = segment.group_page(1).unwrap();
    let entry = page.column(FieldId(11)).unwrap();
    let block = segment.region(&entry.block).unwrap();
    let open = |region: &Region, field_type, group, rows| {
        Block::open(block, region, field_type, group, rows).map(drop)
    };
    open(&entry.block, FieldType::I64, 1, page.rows()).unwrap();
    let mut other = entry.block;
    other.field = FieldId(12);
    for error in [
        open(&other, FieldType::I64, 1, page.rows()).unwrap_err(),
        open(&entry.block, FieldType::U64, 1, page.rows()).unwrap_err(),
        open(&entry.block, FieldType::I64, 0, page.rows()).unwrap_err(),
        open(&entry.block, FieldType::I64, 1, page.rows() + 1).unwrap_err(),
        open(&entry.block, FieldType::I64, 1, 0).unwrap_err(),
    ] {
        assert!(error.offset >= entry.block.offset, "{error}");
    }
    assert!(segment.block(&page, 1, FieldId(99)).is_err());
    let sound = segment.block(&page, 1, FieldId(11)).unwrap();
    let mut floats = Column::new(FieldType::F64);
    assert!(sound.decode(0, None, &mut floats).is_err());
    assert!(sound.decode(2, None, &mut floats).is_err());
    assert!(floats.is_empty());
}

#[test]
fn codes_without_their_dictionary_are_refused() {
    let (bytes, _) = sample().write(usize::MAX);
    let segment = Segment::open(&bytes).unwrap();
    let page = segment.group_page(0).unwrap();
    let block = segment.block(&page, 0, FieldId(10)).unwrap();
    let short = Dictionary::F64(vec![1.0]);
    for wrong in [
        None,
        Some(&short),
        segment.dictionary(FieldId(14)).unwrap().as_ref(),
    ] {
        let mut out = Column::new(FieldType::F64);
        assert!(block.decode(0, wrong, &mut out).is_err());
        assert!(out.is_empty());
    }
}

/// Bytes of a sound segment with some of them changed, where checksums do not protect: what a
/// decoder sees whose input was checked but made by a bad writer.
fn mangled(bytes: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let len = bytes.len();
    for &(at, value) in changes {
        bytes[at % len] = value;
    }
    bytes
}

fn decode_all(segment: &Segment<'_>, changes: &[(usize, u8)]) {
    let root = segment.root();
    for reference in &root.series_pages {
        let bytes = mangled(segment.region(&reference.region).unwrap(), changes);
        if let Ok(page) = SeriesPage::decode(&bytes, reference) {
            (0..page.len()).for_each(|i| drop(page.key(i)));
        }
    }
    for dictionary in &root.dictionaries {
        let bytes = mangled(segment.region(&dictionary.region).unwrap(), changes);
        for field_type in TYPES {
            drop(Dictionary::decode(
                &bytes,
                field_type,
                dictionary.values as usize,
            ));
        }
    }
    for (group, reference) in root.group_pages.iter().enumerate() {
        let bytes = mangled(segment.region(&reference.region).unwrap(), changes);
        if let Ok(page) = GroupPage::decode(&bytes, root, group) {
            for column in page.columns() {
                drop(page.stats(column).map(|stats| stats.total()));
            }
        }
        let page = segment.group_page(group).unwrap();
        for entry in page.columns() {
            let number = u32::try_from(group).unwrap();
            let bytes = mangled(segment.region(&entry.block).unwrap(), changes);
            let dictionary = segment.dictionary(entry.field).unwrap();
            let mut out = Column::new(entry.field_type);
            let block = Block::open(
                &bytes[..],
                &entry.block,
                entry.field_type,
                number,
                page.rows(),
            );
            for vector in 0..block.as_ref().map_or(0, Block::vector_count) {
                let block = block.as_ref().unwrap();
                drop(block.decode(vector, dictionary.as_ref(), &mut out));
                drop(block.describe(vector));
            }
        }
    }
    let root = mangled(
        segment.region(&segment.trailer().root_region()).unwrap(),
        changes,
    );
    drop(Root::decode(&root, segment.trailer()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changed_bytes_never_panic(
        rows in 1usize..3000,
        changes in prop::collection::vec((prop_oneof![0usize..200, any::<usize>()], any::<u8>()), 1..6),
    ) {
        let full = sample();
        let mut model = full.clone();
        model.series = vec![(full.series[0].0, rows)];
        let (bytes, _) = model.write(usize::MAX);
        decode_all(&Segment::open(&bytes).unwrap(), &changes);
        drop(Segment::open(&mangled(&bytes, &changes)));
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), rows in 1usize..1025) {
        let region = Region {
            kind: RegionKind::Block,
            field: FieldId(1),
            offset: 192,
            stored_len: 0,
            plain_len: 0,
            crc: 0,
        };
        drop(region.check(FileUuid([0; 16]), &bytes));
        drop(Trailer::decode(&bytes, 400));
        drop(Segment::open(&bytes));
        for field_type in TYPES {
            drop(Block::open(&bytes[..], &region, field_type, 0, 1024));
            drop(Dictionary::decode(&bytes, field_type, 1));
            // With every encoding in turn, for most random tags are none.
            for encoding in 1..=8u8 {
                let mut vector = bytes.clone();
                if let Some(tag) = vector.first_mut() {
                    *tag = encoding;
                }
                let place = 0..vector.len();
                if let Ok(vector) = EncodedVector::open(&vector, place, rows, field_type) {
                    let mut out = Column::new(field_type);
                    drop(vector.decode(None, &mut out));
                    drop(vector.describe());
                }
            }
        }
    }
}
