//! Everything that can be read of a segment, damaged or not.
//!
//! A checksum that does not match is noted, and the bytes are decoded all the same: decoders of
//! the format take bytes nobody vouches for.

use std::collections::BTreeMap;

use tidestone_format::checksum::crc32;
use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::stats::ColumnStats;
use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN};
use tidestone_format::segment::{
    Block, DictionaryRef, GroupPage, GroupPageRef, Region, Root, Segment, SeriesPage,
    SeriesPageRef, TRAILER_LEN, Trailer,
};
use tidestone_format::version::{FORMAT_VERSION, GROUP_VECTORS, SEGMENT_END_MAGIC};
use tidestone_format::{FieldId, FieldType, FileUuid, FormatError};

use super::super::check::{Damage, merge};
use super::found::find_blocks;

/// What was read of a segment.
pub(super) struct Contents<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) trailer: Option<Trailer>,
    pub(super) trailer_damage: Vec<Damage>,
    pub(super) root: Option<Root>,
    pub(super) root_damage: Vec<Damage>,
    pub(super) series_pages: Vec<PlacedSeriesPage>,
    pub(super) dictionaries: Vec<PlacedDictionary>,
    pub(super) groups: Vec<PlacedGroup<'a>>,
    /// Blocks that no readable page names.
    pub(super) found: Vec<PlacedBlock<'a>>,
}

pub(super) struct PlacedSeriesPage {
    pub(super) reference: SeriesPageRef,
    pub(super) page: Option<SeriesPage>,
    pub(super) damage: Vec<Damage>,
}

pub(super) struct PlacedDictionary {
    pub(super) reference: DictionaryRef,
    pub(super) name: String,
    pub(super) dictionary: Option<Dictionary>,
    pub(super) damage: Vec<Damage>,
}

pub(super) struct PlacedGroup<'a> {
    pub(super) number: u32,
    pub(super) reference: GroupPageRef,
    pub(super) blocks: Vec<PlacedBlock<'a>>,
    pub(super) damage: Vec<Damage>,
}

/// The vectors of one column of one row group.
pub(super) struct PlacedBlock<'a> {
    pub(super) group: u32,
    pub(super) field: FieldId,
    pub(super) name: String,
    pub(super) field_type: FieldType,
    pub(super) region: Region,
    /// Whether a page says what its checksum is.
    pub(super) checked: bool,
    pub(super) stats: Option<ColumnStats>,
    pub(super) block: Option<Block<'a>>,
    pub(super) damage: Vec<Damage>,
}

impl PlacedBlock<'_> {
    /// The number in the segment of its vector `vector`.
    pub(super) fn vector_number(&self, vector: usize) -> u64 {
        u64::from(self.group) * GROUP_VECTORS as u64 + vector as u64
    }
}

impl<'a> Contents<'a> {
    /// Reads what can be read.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let header = header(bytes);
        let (trailer, trailer_damage) = trailer(bytes, header.as_ref());
        let file = trailer.map(|t| t.file).or(header.as_ref().map(|h| h.file));
        let checks = Checks::of(bytes, file.unwrap_or_default());
        let (root, root_damage) = root(bytes, trailer.as_ref(), header.as_ref(), &checks);
        let mut contents = Self {
            bytes,
            trailer,
            trailer_damage,
            root,
            root_damage,
            series_pages: Vec::new(),
            dictionaries: Vec::new(),
            groups: Vec::new(),
            found: Vec::new(),
        };
        contents.read_pages(&checks);
        contents
    }

    fn read_pages(&mut self, checks: &Checks<'a>) {
        let mut names_all = self.root.is_some() && self.root_damage.is_empty();
        if let Some(root) = &self.root {
            let pages = root.series_pages.iter();
            self.series_pages = pages.map(|page| checks.series_page(page)).collect();
            let dictionaries = root.dictionaries.iter();
            self.dictionaries = dictionaries.map(|d| checks.dictionary(d, root)).collect();
            for (number, reference) in (0u32..).zip(&root.group_pages) {
                let (group, readable) = checks.group(number, reference, root);
                names_all &= readable;
                self.groups.push(group);
            }
        }
        if !names_all {
            let blocks = self.groups.iter().flat_map(|g| &g.blocks);
            let known: Vec<Region> = blocks.map(|b| b.region).collect();
            self.found = find_blocks(self.bytes, &known, self.root.as_ref());
        }
    }

    /// The dictionary of a field.
    pub(super) fn dictionary(&self, field: FieldId) -> Option<&Dictionary> {
        let mut all = self.dictionaries.iter();
        all.find(|d| d.reference.field == field)
            .and_then(|d| d.dictionary.as_ref())
    }

    /// All blocks, named by pages or found.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &PlacedBlock<'a>> {
        self.groups
            .iter()
            .flat_map(|g| &g.blocks)
            .chain(&self.found)
    }

    /// All damage, from outside in.
    pub(super) fn damage(&self) -> Vec<Damage> {
        let mut all = Vec::new();
        merge(&mut all, self.trailer_damage.iter().cloned());
        merge(&mut all, self.root_damage.iter().cloned());
        for page in &self.series_pages {
            merge(&mut all, page.damage.iter().cloned());
        }
        for dictionary in &self.dictionaries {
            merge(&mut all, dictionary.damage.iter().cloned());
        }
        for group in &self.groups {
            merge(&mut all, group.damage.iter().cloned());
        }
        for block in self.blocks() {
            merge(&mut all, block.damage.iter().cloned());
        }
        all
    }
}

/// The name of a column for people.
pub(super) fn column_name(root: Option<&Root>, field: FieldId) -> String {
    if field == FieldId::TIME {
        return "time".to_owned();
    }
    let named = root.and_then(|r| r.column(field)).map(|f| f.name.clone());
    named.unwrap_or_else(|| format!("(field {field})"))
}

/// The header, if it can be believed or at least read.
fn header(bytes: &[u8]) -> Option<FileHeader> {
    let head = &bytes[..bytes.len().min(HEADER_LEN)];
    FileHeader::decode_kind(head, FileKind::Segment).ok()
}

/// The trailer. Of a damaged one the place of the root may still be right: it is taken if what
/// lies there is a root.
fn trailer(bytes: &[u8], header: Option<&FileHeader>) -> (Option<Trailer>, Vec<Damage>) {
    let len = bytes.len() as u64;
    let last = &bytes[bytes.len().saturating_sub(TRAILER_LEN)..];
    match Trailer::decode(last, len) {
        Ok(trailer) => {
            let other = header.filter(|h| h.file != trailer.file).map(|h| {
                let expected = format_args!("the uuid of the header, {}", h.file);
                let at = len - TRAILER_LEN as u64;
                FormatError::invalid("segment trailer", at, expected, trailer.file)
            });
            (Some(trailer), other.into_iter().map(Damage::from).collect())
        }
        Err(error) => {
            let mended = mended_trailer(last, len, header).filter(|trailer| {
                let region = trailer.root_region();
                let root = slice(bytes, &region).map(|b| Root::decode(b, trailer));
                matches!(root, Some(Ok(_)))
            });
            (mended, vec![error.into()])
        }
    }
}

/// The trailer as it would be if what can be known without it were right.
fn mended_trailer(last: &[u8], file_len: u64, header: Option<&FileHeader>) -> Option<Trailer> {
    let mut bytes: [u8; TRAILER_LEN] = last.try_into().ok()?;
    if let Some(header) = header {
        bytes[..16].copy_from_slice(&header.file.0);
    }
    bytes[40..48].copy_from_slice(&file_len.to_le_bytes());
    bytes[48..50].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[50..52].copy_from_slice(&[0; 2]);
    let crc = crc32(&bytes[..52]);
    bytes[52..56].copy_from_slice(&crc.to_le_bytes());
    bytes[56..].copy_from_slice(&SEGMENT_END_MAGIC);
    Trailer::decode(&bytes, file_len).ok()
}

fn root(
    bytes: &[u8],
    trailer: Option<&Trailer>,
    header: Option<&FileHeader>,
    checks: &Checks<'_>,
) -> (Option<Root>, Vec<Damage>) {
    let Some(trailer) = trailer else {
        return (None, Vec::new());
    };
    let region = trailer.root_region();
    let mut damage = checks.region(&region);
    let decoded = slice(bytes, &region).map(|b| Root::decode(b, trailer));
    let root = match decoded {
        Some(Ok(root)) => Some(root),
        Some(Err(error)) => {
            merge(&mut damage, [error.into()]);
            None
        }
        None => None,
    };
    if let (Some(root), Some(header)) = (&root, header)
        && header.number != u64::from(root.table.0)
    {
        let expected = format_args!("the table of the header, {}", header.number);
        let error = FormatError::invalid("segment root", region.offset, expected, root.table);
        merge(&mut damage, [error.into()]);
    }
    (root, damage)
}

/// Checks regions and reads what is in them.
struct Checks<'a> {
    bytes: &'a [u8],
    file: FileUuid,
    /// What a full check found, by offset of the region; `None` where header, trailer or root
    /// are such that there cannot be one.
    verified: Option<BTreeMap<u64, Damage>>,
}

impl<'a> Checks<'a> {
    fn of(bytes: &'a [u8], file: FileUuid) -> Self {
        let verified = Segment::open(bytes).ok().map(|segment| {
            let mut found = BTreeMap::new();
            segment.verify(|region, result| {
                if let Err(error) = result {
                    found.insert(region.offset, error.into());
                }
            });
            found
        });
        Self {
            bytes,
            file,
            verified,
        }
    }

    /// What is wrong with a region, as far as that is known.
    fn region(&self, region: &Region) -> Vec<Damage> {
        let mut damage = Vec::new();
        let bytes = slice(self.bytes, region).unwrap_or_default();
        if let Err(error) = region.check(self.file, bytes) {
            damage.push(error.into());
        } else if let Some(verified) = &self.verified {
            merge(&mut damage, verified.get(&region.offset).cloned());
        }
        damage
    }

    fn series_page(&self, reference: &SeriesPageRef) -> PlacedSeriesPage {
        let mut damage = self.region(&reference.region);
        let bytes = slice(self.bytes, &reference.region).unwrap_or_default();
        let page = noted(SeriesPage::decode(bytes, reference), &mut damage);
        PlacedSeriesPage {
            reference: *reference,
            page,
            damage,
        }
    }

    fn dictionary(&self, reference: &DictionaryRef, root: &Root) -> PlacedDictionary {
        let mut damage = self.region(&reference.region);
        let bytes = slice(self.bytes, &reference.region).unwrap_or_default();
        let field_type = root
            .column(reference.field)
            .map_or(FieldType::String, |f| f.field_type);
        let dictionary = Dictionary::decode(bytes, field_type, reference.values as usize)
            .map_err(|e| e.at_base(reference.region.offset));
        PlacedDictionary {
            reference: *reference,
            name: column_name(Some(root), reference.field),
            dictionary: noted(dictionary, &mut damage),
            damage,
        }
    }

    /// A row group, and whether its page names its blocks without doubt.
    fn group(&self, number: u32, reference: &GroupPageRef, root: &Root) -> (PlacedGroup<'a>, bool) {
        let mut damage = self.region(&reference.region);
        let sound = damage.is_empty();
        let bytes = slice(self.bytes, &reference.region).unwrap_or_default();
        let page = GroupPage::decode(bytes, root, number as usize);
        let page = noted(page, &mut damage);
        let mut blocks = Vec::new();
        for column in page.iter().flat_map(|p| p.columns()) {
            let stats = page.as_ref().map(|p| p.stats(column));
            let stats = stats.and_then(|stats| noted(stats, &mut damage));
            let (region, field_type) = (column.block, column.field_type);
            let mut block_damage = self.region(&region);
            let bytes = slice(self.bytes, &region).unwrap_or_default();
            let block = Block::open(bytes, &region, field_type, number, reference.rows);
            blocks.push(PlacedBlock {
                group: number,
                field: column.field,
                name: column_name(Some(root), column.field),
                field_type,
                region,
                checked: true,
                stats,
                block: noted(block, &mut block_damage),
                damage: block_damage,
            });
        }
        let readable = sound && page.is_some();
        let group = PlacedGroup {
            number,
            reference: *reference,
            blocks,
            damage,
        };
        (group, readable)
    }
}

/// The value, or nothing and a note of why.
fn noted<T>(result: Result<T, FormatError>, damage: &mut Vec<Damage>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            merge(damage, [error.into()]);
            None
        }
    }
}

/// The bytes of a region, if they are in the file.
pub(super) fn slice<'a>(bytes: &'a [u8], region: &Region) -> Option<&'a [u8]> {
    let range = region.range();
    let start = usize::try_from(range.start).ok()?;
    let end = usize::try_from(range.end).ok()?;
    bytes.get(start..end)
}
