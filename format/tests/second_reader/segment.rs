//! Section 5: segments.

use std::collections::BTreeMap;

use crate::codec::{Value, dictionary, float_part, integer_part, packed_text, vector, word};
use crate::header::{Header, header};
use crate::input::{Input, Result, Seen, Uuid, must, padding, zeros};
use crate::log::{id, key, lies_in};

/// The field id of time, which is read as a column of i64.
pub const TIME: u32 = 0;
const I64: u8 = 2;

/// All that a segment holds.
#[derive(Debug, PartialEq)]
pub struct Segment {
    pub header: Header,
    pub partition: [i64; 2],
    pub rows: u64,
    pub times: [i64; 2],
    pub lsns: [u64; 2],
    pub policy: u8,
    pub tier: u8,
    /// Id, type and name.
    pub fields: Vec<(u32, u8, String)>,
    pub series: Vec<Series>,
    pub groups: Vec<Group>,
    /// The rows of time and of each field.
    pub columns: BTreeMap<u32, Vec<Value>>,
    /// The statistics of each vector of time and of each field.
    pub statistics: BTreeMap<u32, Vec<Statistics>>,
}

#[derive(Debug, PartialEq)]
pub struct Series {
    pub id: u64,
    pub tags: Vec<(String, String)>,
    pub rows: u64,
    pub first: i64,
    pub last: i64,
}

/// What the root says of a row group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub rows: usize,
    /// Lowest and highest.
    pub times: [i64; 2],
    /// Of the first and the last row.
    pub series: [u64; 2],
}

#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    pub nulls: u64,
    pub nans: u64,
    /// Those of the type, in the order of the document; none if no vector of the group has a value.
    pub arrays: Vec<Value>,
}

/// A region and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    kind: u32,
    field: u32,
    offset: usize,
    len: usize,
}

impl Region {
    /// The CRC-32 of who the region of the file is and of its bytes.
    pub fn checksum(&self, file: &[u8]) -> u32 {
        let mut covered = file[40..56].to_vec();
        covered.extend(self.kind.to_le_bytes());
        covered.extend(self.field.to_le_bytes());
        covered.extend((self.offset as u64).to_le_bytes());
        covered.extend(&file[self.offset..self.offset + self.len]);
        crc32fast::hash(&covered)
    }
}

/// A reference as it stands.
#[derive(Debug, Clone, Copy)]
struct Reference {
    offset: usize,
    len: usize,
    crc: u32,
}

struct SeriesPage {
    series: usize,
    first: u64,
    last: u64,
    first_row: u64,
    at: Reference,
}

struct GroupPage {
    group: Group,
    at: Reference,
}

pub fn segment(file: &[u8], seen: &mut Seen) -> Result<Segment> {
    let mut reader = Reader::new(file, seen);
    let segment = reader.segment()?;
    reader.nothing_between()?;
    Ok(segment)
}

/// The regions of a sound segment; who points to another comes behind it.
pub fn regions(file: &[u8]) -> Vec<Region> {
    let mut seen = Seen::new();
    let mut reader = Reader::new(file, &mut seen);
    reader.segment().unwrap();
    reader.regions.sort_by_key(|region| region.kind);
    reader.regions
}

struct Reader<'a> {
    file: &'a [u8],
    /// Every region that was read.
    regions: Vec<Region>,
    seen: &'a mut Seen,
}

impl<'a> Reader<'a> {
    fn new(file: &'a [u8], seen: &'a mut Seen) -> Self {
        Self {
            file,
            regions: Vec::new(),
            seen,
        }
    }

    fn segment(&mut self) -> Result<Segment> {
        let header = header(self.file)?;
        let is_segment = header.magic == "TidestSG" && self.file.len() >= 256;
        must(is_segment, "a segment")?;
        let (root, tail) = self.trailer(header.file)?;
        let mut root = Input::new(self.region(5, 0, root)?);
        let segment = self.root(&mut root, header)?;
        root.end()?;
        let is_in_place = |region: &Region| match region.kind {
            1 | 2 => region.offset + region.len <= tail,
            _ => region.offset >= tail,
        };
        let are_in_place = self.regions.iter().all(is_in_place);
        must(are_in_place, "pages in the tail, others before it")?;
        Ok(segment)
    }

    /// The root's place, and where the tail begins.
    fn trailer(&self, uuid: Uuid) -> Result<(Reference, usize)> {
        let trailer = &self.file[self.file.len() - 64..];
        let mut r = Input::new(trailer);
        must(r.uuid()? == uuid, "the uuid of the header")?;
        let (offset, stored, plain, crc) = (r.u64()?, r.u32()?, r.u32()?, r.u32()?);
        let (tail_len, file_len) = (r.u32()? as usize, r.u64()?);
        must(r.u16()? == 1, "version 1")?;
        r.zeros(2)?;
        let covered = crc32fast::hash(&trailer[..52]);
        must(r.u32()? == covered, "the checksum of the trailer")?;
        must(r.bytes(8)? == b"TidestSE", "the magic of a trailer")?;
        let len = self.file.len();
        must(file_len == len as u64, "the length of the file")?;
        let is_place = stored == plain && offset.is_multiple_of(64);
        must(is_place, "the place of the root")?;
        let root = Reference {
            offset: usize::try_from(offset).map_err(|e| e.to_string())?,
            len: stored as usize,
            crc,
        };
        let tail = len.checked_sub(tail_len).ok_or("a tail of the file")?;
        Ok((root, tail))
    }

    /// The bytes of a region, which is kept in mind.
    fn region(&mut self, kind: u32, field: u32, at: Reference) -> Result<&'a [u8]> {
        let Reference { offset, len, crc } = at;
        must((1..=1 << 30).contains(&len), "1 to 2^30 bytes")?;
        let bytes = self.file.get(offset..).unwrap_or_default();
        let bytes = Input::new(bytes).bytes(len)?;
        let region = Region {
            kind,
            field,
            offset,
            len,
        };
        let is_sound = crc == region.checksum(self.file);
        must(is_sound, format_args!("the checksum of a region {kind}"))?;
        self.regions.push(region);
        self.seen.insert(("region kind", kind.into()));
        Ok(bytes)
    }

    fn root(&mut self, r: &mut Input<'_>, header: Header) -> Result<Segment> {
        must(r.varint()? == header.number, "the table of the header")?;
        let partition = [r.i64()?, r.i64()?];
        let (rows, series_count) = (r.varint()?, r.count()?);
        let times = [r.i64()?, r.i64()?];
        must(lies_in(times, partition), "times of the partition")?;
        let (first_lsn, more) = (r.varint()?, r.varint()?);
        let last_lsn = first_lsn.checked_add(more).ok_or("an LSN")?;
        let (policy, tier, _edition) = (r.u8()?, r.u8()?, r.u16()?);
        must((1..=3).contains(&policy), "a duplicate policy")?;
        must((1..=3).contains(&tier), "a tier")?;
        self.seen
            .insert(("duplicate policy of a segment", policy.into()));
        self.seen.insert(("tier", tier.into()));
        let fields = root_columns(r)?;
        let dictionaries = self.dictionaries(r, &fields)?;
        let (series_pages, group_pages) = (series_pages(r)?, group_pages(r)?);
        let mut segment = Segment {
            header,
            partition,
            rows,
            times,
            lsns: [first_lsn, last_lsn],
            policy,
            tier,
            fields,
            series: Vec::new(),
            groups: group_pages.iter().map(|page| page.group.clone()).collect(),
            columns: BTreeMap::new(),
            statistics: BTreeMap::new(),
        };
        self.all_series(&series_pages, &mut segment)?;
        must(segment.series.len() == series_count, "the series")?;
        check_groups(&segment)?;
        for (number, page) in (0..).zip(&group_pages) {
            self.group_page(number, page, &dictionaries, &mut segment)?;
        }
        Ok(segment)
    }

    fn dictionaries(
        &mut self,
        r: &mut Input<'_>,
        fields: &[(u32, u8, String)],
    ) -> Result<BTreeMap<u32, Vec<Value>>> {
        let mut dictionaries = BTreeMap::new();
        for _ in 0..r.count()? {
            let (field, count, at) = (r.varint()?, r.count()?, reference(r)?);
            let mut of = fields.iter().filter(|f| u64::from(f.0) == field);
            let &(field, field_type, _) = of.next().ok_or("a field")?;
            let ascends = dictionaries.keys().all(|&before| before < field);
            must(ascends, "ascending fields")?;
            let bytes = self.region(2, field, at)?;
            let values = dictionary(bytes, field_type, count, self.seen)?;
            dictionaries.insert(field, values);
        }
        Ok(dictionaries)
    }

    fn all_series(&mut self, pages: &[SeriesPage], segment: &mut Segment) -> Result<()> {
        let mut rows = 0u64;
        for page in pages {
            must(page.first_row == rows, "the first row of a page")?;
            for series in self.series_page(page)? {
                rows = rows.checked_add(series.rows).ok_or("rows")?;
                segment.series.push(series);
            }
        }
        let ids: Vec<u64> = segment.series.iter().map(|series| series.id).collect();
        must(ids.is_sorted_by(|a, b| a < b), "ascending series")?;
        must(rows == segment.rows, "the rows of all series")
    }

    fn series_page(&mut self, page: &SeriesPage) -> Result<Vec<Series>> {
        let mut r = Input::new(self.region(3, 0, page.at)?);
        let k = r.count()?;
        must(k == page.series && k <= 1024, "series of a page")?;
        let mut array = || integer_part(&mut r, k, self.seen);
        let (ids, rows) = (array()?, array()?);
        let (firsts, lasts, lengths) = (array()?, array()?, array()?);
        let keys = packed_text(&mut r, 1 << 24, self.seen)?;
        r.end()?;
        let ids: Vec<u64> = ids.iter().map(|id| id.cast_unsigned()).collect();
        must(ids.is_sorted_by(|a, b| a < b), "ascending series")?;
        let ends = (ids[0], ids[k - 1]);
        must(ends == (page.first, page.last), "the series of the root")?;
        must(rows.iter().all(|&rows| rows > 0), "a row of each series")?;
        let mut keys = Input::new(&keys);
        let series = (0..k).map(|i| {
            must(firsts[i] <= lasts[i], "times of a series")?;
            let len = usize::try_from(lengths[i]).map_err(|e| e.to_string())?;
            Ok(Series {
                id: ids[i],
                tags: key(keys.bytes(len)?)?,
                rows: rows[i].cast_unsigned(),
                first: firsts[i],
                last: lasts[i],
            })
        });
        let series = series.collect::<Result<_>>()?;
        keys.end()?;
        Ok(series)
    }

    fn group_page(
        &mut self,
        number: u32,
        page: &GroupPage,
        dictionaries: &BTreeMap<u32, Vec<Value>>,
        segment: &mut Segment,
    ) -> Result<()> {
        let mut r = Input::new(self.region(4, 0, page.at)?);
        let fields = segment.fields.iter().map(|f| (f.0, f.1));
        let expected: Vec<_> = std::iter::once((TIME, I64)).chain(fields).collect();
        must(r.count()? == expected.len(), "the columns of the root")?;
        let rows = page.group.rows;
        for (field, field_type) in expected {
            let found = r.varint()?;
            must(found == u64::from(field), "the fields of the root")?;
            let at = reference(&mut r)?;
            let mut part = r.part()?;
            let statistics = self.statistics(&mut part, (field, field_type), rows)?;
            part.end()?;
            let of_field = segment.statistics.entry(field).or_default();
            of_field.extend(statistics);
            let dictionary = dictionaries.get(&field).map_or(&[][..], Vec::as_slice);
            let values = self.block(number, rows, (field, field_type), dictionary, at)?;
            segment.columns.entry(field).or_default().extend(values);
        }
        r.end()
    }

    /// Statistics of a column of a group of `rows` rows.
    fn statistics(
        &mut self,
        r: &mut Input<'_>,
        (field, field_type): (u32, u8),
        rows: usize,
    ) -> Result<Vec<Statistics>> {
        let n = rows.div_ceil(1024);
        let flags = r.u8()?;
        must(flags < 8, "flags of statistics")?;
        for bit in (0..3).filter(|bit| flags >> bit & 1 == 1) {
            self.seen.insert(("statistics flag", bit));
        }
        let mut array = |of_type: u8| match of_type {
            1 => float_part(r, n, self.seen),
            _ => {
                let values = integer_part(r, n, self.seen)?;
                Ok(values.iter().map(|v| v.cast_unsigned()).collect())
            }
        };
        let counts = if flags & 1 != 0 {
            array(2)?
        } else {
            vec![0; n]
        };
        let nans = if flags & 2 != 0 {
            array(2)?
        } else {
            vec![0; n]
        };
        // The type of each array: counts, and sums in halves, are unsigned.
        let types: &[u8] = match (field, field_type) {
            _ if flags & 4 == 0 => &[],
            (TIME, _) => &[2, 2, 2, 2],
            (_, 1) => &[1, 1, 1, 1, 1],
            (_, 2) => &[2, 2, 2, 2, 3, 3],
            (_, 3) => &[3, 3, 3, 3, 3, 3],
            (_, 4) => &[3, 4, 4],
            _ => &[],
        };
        let arrays = types.iter().map(|&of| Ok((of, array(of)?)));
        let arrays = arrays.collect::<Result<Vec<(u8, Vec<u64>)>>>()?;
        let of_vector = |i: usize| {
            let rows = (rows - i * 1024).min(1024) as u64;
            let (nulls, nans) = (counts[i], nans[i]);
            let values = rows.checked_sub(nulls).ok_or("no more nulls than rows")?;
            must(nans <= values, "no more NaNs than values")?;
            let trues = if field_type == 4 {
                arrays.first()
            } else {
                None
            };
            let trues = trues.map_or(0, |(_, trues)| trues[i]);
            must(trues <= values, "no more trues than values")?;
            let arrays = arrays.iter().map(|(of, bits)| word(*of, bits[i]));
            Ok(Statistics {
                nulls,
                nans,
                arrays: arrays.collect::<Result<_>>()?,
            })
        };
        (0..n).map(of_vector).collect()
    }

    fn block(
        &mut self,
        number: u32,
        rows: usize,
        (field, field_type): (u32, u8),
        dictionary: &[Value],
        at: Reference,
    ) -> Result<Vec<Value>> {
        let block = self.region(1, field, at)?;
        let mut r = Input::new(block);
        must(r.bytes(4)? == b"TSbl", "the magic of a block")?;
        let who = (r.u32()?, r.u32()?, r.u8()?);
        must(
            who == (field, number, field_type),
            "the block of this field",
        )?;
        let (vectors, last_rows) = (usize::from(r.u8()?), usize::from(r.u16()?));
        must((1..=64).contains(&vectors), "1 to 64 vectors")?;
        must((1..=1024).contains(&last_rows), "1 to 1,024 rows")?;
        must((vectors - 1) * 1024 + last_rows == rows, "the group's rows")?;
        let ends = (0..vectors).map(|_| r.u32()).collect::<Result<Vec<_>>>()?;
        let mut start = block.len() - r.len();
        let mut values = Vec::new();
        for (i, end) in ends.into_iter().enumerate() {
            let end = end as usize;
            let bytes = block.get(start..end).ok_or("ends of vectors")?;
            let n = if i + 1 == vectors { last_rows } else { 1024 };
            let at = at.offset + start;
            values.extend(vector(bytes, at, n, field_type, dictionary, self.seen)?);
            start = end;
        }
        must(start == block.len(), "a block that ends with its vectors")?;
        Ok(values)
    }

    /// Between header, regions and trailer there are zeros up to multiples of 64.
    fn nothing_between(mut self) -> Result<()> {
        self.regions.sort_by_key(|region| region.offset);
        let mut end = 192;
        for Region { offset, len, .. } in self.regions {
            must(offset == end, format_args!("a region at {end}"))?;
            let pad = padding(len, 64);
            zeros(Input::new(&self.file[offset + len..]).bytes(pad)?)?;
            end = offset + len + pad;
        }
        must(end + 64 == self.file.len(), "the trailer behind the root")
    }
}

fn reference(r: &mut Input<'_>) -> Result<Reference> {
    let (offset, stored, plain) = (r.count()?, r.count()?, r.count()?);
    must(stored == plain, "a plain length that is the stored one")?;
    Ok(Reference {
        offset: offset.checked_mul(64).ok_or("an offset in the file")?,
        len: stored,
        crc: r.u32()?,
    })
}

fn root_columns(r: &mut Input<'_>) -> Result<Vec<(u32, u8, String)>> {
    let count = r.count()?;
    must(count <= 4096, "at most 4,096 columns")?;
    let fields = (0..count).map(|_| {
        let (field, field_type) = (r.varint()?, r.u8()?);
        let field = id(u32::try_from(field).map_err(|e| e.to_string())?)?;
        must((1..=5).contains(&field_type), "a field type")?;
        let len = r.count()?;
        must(len <= 65_535, "a name of at most 65,535 bytes")?;
        Ok((field, field_type, r.text(len)?))
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    must(fields.is_sorted_by(|a, b| a.0 < b.0), "ascending fields")?;
    Ok(fields)
}

fn series_pages(r: &mut Input<'_>) -> Result<Vec<SeriesPage>> {
    let (mut id, mut row) = (0u64, 0u64);
    let pages = (0..r.count()?).map(|_| {
        let series = r.count()?;
        let first = id.checked_add(r.varint()?).ok_or("an id")?;
        let last = first.checked_add(r.varint()?).ok_or("an id")?;
        let first_row = row.checked_add(r.varint()?).ok_or("a row")?;
        (id, row) = (last, first_row);
        Ok(SeriesPage {
            series,
            first,
            last,
            first_row,
            at: reference(r)?,
        })
    });
    pages.collect()
}

fn group_pages(r: &mut Input<'_>) -> Result<Vec<GroupPage>> {
    let mut id = 0u64;
    let pages = (0..r.count()?).map(|_| {
        let (rows, times) = (r.count()?, [r.i64()?, r.i64()?]);
        let first = id.checked_add(r.varint()?).ok_or("an id")?;
        let last = first.checked_add(r.varint()?).ok_or("an id")?;
        id = last;
        Ok(GroupPage {
            group: Group {
                rows,
                times,
                series: [first, last],
            },
            at: reference(r)?,
        })
    });
    pages.collect()
}

/// All groups but the last are full, and they have all rows.
fn check_groups(segment: &Segment) -> Result<()> {
    let mut left = segment.rows;
    for group in &segment.groups {
        must(group.rows as u64 == left.min(65_536), "rows of a group")?;
        left -= group.rows as u64;
        must(lies_in(group.times, segment.times), "times of a group")?;
    }
    must(left == 0, "the rows of all groups")
}
