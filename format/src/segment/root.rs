//! The root: what a segment is and where its pages are.

use std::ops::Range;

use crate::bytes::{Reader, put_varint};
use crate::header::FileHeader;
use crate::manifest::Tier;
use crate::schema::{DuplicatePolicy, Field};
use crate::segment::{Region, RegionKind, SeriesPage, Trailer};
use crate::version::{GROUP_ROWS, MAX_DICTIONARY, MAX_FIELDS, PAGE_SERIES};
use crate::{FieldId, FieldType, FormatError, Lsn, Result, SeriesId, TableId, TimeRange};

/// The root of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The table whose rows the segment has.
    pub table: TableId,
    /// The timestamps it may have.
    pub partition: TimeRange,
    /// Rows, at least one.
    pub rows: u64,
    /// Series, at least one.
    pub series: u64,
    /// First and last timestamp of its rows.
    pub times: TimeRange,
    /// Lowest LSN of its rows.
    pub first_lsn: Lsn,
    /// Highest LSN of its rows.
    pub last_lsn: Lsn,
    /// What the table does about duplicates.
    pub policy: DuplicatePolicy,
    /// What its codecs were chosen for.
    pub tier: Tier,
    /// The fields, ascending by id; time is not among them.
    pub columns: Vec<Field>,
    /// The dictionaries, ascending by field id.
    pub dictionaries: Vec<DictionaryRef>,
    /// The series pages, ascending by series.
    pub series_pages: Vec<SeriesPageRef>,
    /// The group pages, ascending by row.
    pub group_pages: Vec<GroupPageRef>,
    /// Offset of the first series page.
    pub(super) tail_offset: u64,
}

/// A dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DictionaryRef {
    /// The field whose values it has.
    pub field: FieldId,
    /// How many it has.
    pub values: u32,
    /// Where it lies.
    pub region: Region,
}

/// A series page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesPageRef {
    /// How many series it has.
    pub series: u32,
    /// The first of them.
    pub first_series: SeriesId,
    /// The last of them.
    pub last_series: SeriesId,
    /// The first row of the first of them.
    pub first_row: u64,
    /// Where it lies.
    pub region: Region,
}

/// A group page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPageRef {
    /// The first row of the group.
    pub first_row: u64,
    /// How many rows it has.
    pub rows: u32,
    /// Lowest and highest timestamp of its rows.
    pub times: TimeRange,
    /// The series of its first row.
    pub first_series: SeriesId,
    /// The series of its last row.
    pub last_series: SeriesId,
    /// Where it lies.
    pub region: Region,
}

/// The edition of the writer: what it chose where the format leaves a choice.
const EDITION: u16 = 0;

impl Root {
    /// The series page that would have `series`: a number in [`Root::series_pages`].
    pub fn series_page_of(&self, series: SeriesId) -> Option<usize> {
        let i = self
            .series_pages
            .partition_point(|page| page.last_series < series);
        let page = self.series_pages.get(i)?;
        (page.first_series <= series).then_some(i)
    }

    /// The row groups that have rows of `rows`.
    pub fn groups_of_rows(&self, rows: Range<u64>) -> Range<usize> {
        let groups = self.group_pages.len();
        let end = rows.end.min(self.rows);
        if rows.start >= end {
            return 0..0;
        }
        let group = |row: u64| usize::try_from(row / GROUP_ROWS as u64).unwrap_or(groups);
        group(rows.start).min(groups)..(group(end - 1) + 1).min(groups)
    }

    /// The row groups that may have rows in `times`.
    pub fn groups_of_times(&self, times: TimeRange) -> impl Iterator<Item = usize> {
        let overlap = move |page: &GroupPageRef| page.times.overlaps(&times);
        let pages = self.group_pages.iter().enumerate();
        pages.filter(move |(_, page)| overlap(page)).map(|(i, _)| i)
    }

    /// Fails if the rows of series page `i` do not end where those of the next page begin: a row
    /// that is looked for by its page would be another one, or none.
    ///
    /// # Errors
    /// The page has too many rows, or too few.
    pub fn check_series_page(&self, i: usize, page: &SeriesPage) -> Result<()> {
        let next = self.series_pages.get(i + 1);
        let end = next.map_or(self.rows, |next| next.first_row);
        let actual = page.row_range().end;
        if actual == end {
            return Ok(());
        }
        let offset = self.series_pages.get(i).map_or(0, |p| p.region.offset);
        let expected = format_args!("rows up to {end}");
        Err(FormatError::invalid(
            "series page",
            offset,
            expected,
            actual,
        ))
    }

    /// The field with the id `id`.
    pub fn column(&self, id: FieldId) -> Option<&Field> {
        let i = self.columns.binary_search_by_key(&id, |f| f.id);
        i.ok().map(|i| &self.columns[i])
    }

    /// The dictionary of the field with the id `id`.
    pub fn dictionary(&self, id: FieldId) -> Option<&DictionaryRef> {
        let i = self.dictionaries.binary_search_by_key(&id, |d| d.field);
        i.ok().map(|i| &self.dictionaries[i])
    }

    /// Bytes of memory it takes, about.
    pub fn memory(&self) -> usize {
        let names: usize = self.columns.iter().map(|f| f.name.capacity()).sum();
        size_of::<Self>()
            + names
            + self.columns.capacity() * size_of::<Field>()
            + self.dictionaries.capacity() * size_of::<DictionaryRef>()
            + self.series_pages.capacity() * size_of::<SeriesPageRef>()
            + self.group_pages.capacity() * size_of::<GroupPageRef>()
    }

    /// Offset of the tail, where everything that planning needs lies.
    pub fn tail_offset(&self) -> u64 {
        self.tail_offset
    }

    /// Appends the root.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.table.0));
        out.extend_from_slice(&self.partition.start.to_le_bytes());
        out.extend_from_slice(&self.partition.end.to_le_bytes());
        put_varint(out, self.rows);
        put_varint(out, self.series);
        out.extend_from_slice(&self.times.start.to_le_bytes());
        out.extend_from_slice(&self.times.end.to_le_bytes());
        put_varint(out, self.first_lsn.0);
        put_varint(out, self.last_lsn.0 - self.first_lsn.0);
        out.push(self.policy.tag());
        out.push(self.tier.tag());
        out.extend_from_slice(&EDITION.to_le_bytes());
        put_varint(out, self.columns.len() as u64);
        for field in &self.columns {
            put_varint(out, u64::from(field.id.0));
            out.push(field.field_type.tag());
            put_varint(out, field.name.len() as u64);
            out.extend_from_slice(field.name.as_bytes());
        }
        put_varint(out, self.dictionaries.len() as u64);
        for dictionary in &self.dictionaries {
            put_varint(out, u64::from(dictionary.field.0));
            put_varint(out, u64::from(dictionary.values));
            dictionary.region.put_reference(out);
        }
        put_varint(out, self.series_pages.len() as u64);
        let (mut series, mut row) = (0, 0);
        for page in &self.series_pages {
            put_varint(out, u64::from(page.series));
            put_varint(out, page.first_series.0 - series);
            put_varint(out, page.last_series.0 - page.first_series.0);
            put_varint(out, page.first_row - row);
            page.region.put_reference(out);
            (series, row) = (page.last_series.0, page.first_row);
        }
        put_varint(out, self.group_pages.len() as u64);
        let mut series = 0;
        for page in &self.group_pages {
            put_varint(out, u64::from(page.rows));
            out.extend_from_slice(&page.times.start.to_le_bytes());
            out.extend_from_slice(&page.times.end.to_le_bytes());
            put_varint(out, page.first_series.0 - series);
            put_varint(out, page.last_series.0 - page.first_series.0);
            page.region.put_reference(out);
            series = page.last_series.0;
        }
    }

    /// Checks that the header of its file is of the same table.
    ///
    /// # Errors
    /// It names another one. The offset is that of the root in the file.
    pub fn check_header(&self, header: &FileHeader, trailer: &Trailer) -> Result<()> {
        if header.number == u64::from(self.table.0) {
            return Ok(());
        }
        Err(FormatError::invalid(
            "segment root",
            trailer.root_region().offset,
            format_args!("the table of the header, {}", header.number),
            self.table,
        ))
    }

    /// Decodes the root that `trailer` points to.
    ///
    /// # Errors
    /// Bytes that are no root, or one that contradicts itself or the trailer. Offsets are those in
    /// the file.
    pub fn decode(bytes: &[u8], trailer: &Trailer) -> Result<Self> {
        Parser {
            r: Reader::new(bytes, "segment root"),
            trailer,
        }
        .root()
        .map_err(|e| e.at_base(trailer.root_region().offset))
    }
}

struct Parser<'a> {
    r: Reader<'a>,
    trailer: &'a Trailer,
}

impl Parser<'_> {
    fn root(mut self) -> Result<Root> {
        let table = TableId(self.varint_u32("table id")?);
        let partition = self.times("partition")?;
        let at = self.r.position();
        let (rows, series) = (self.r.varint()?, self.r.varint()?);
        if series == 0 || rows < series {
            let actual = format_args!("{rows} rows of {series} series");
            return Err(self
                .r
                .invalid_at(at, "a row for each of some series", actual));
        }
        let at = self.r.position();
        let times = self.times("time range")?;
        if !partition.covers(&times) {
            return Err(self.r.invalid_at(
                at,
                format_args!("times within {partition:?}"),
                format_args!("{times:?}"),
            ));
        }
        let first_lsn = self.r.varint()?;
        let last_lsn = self.offset_from(first_lsn, "last LSN")?;
        let at = self.r.position() as u64;
        let policy = DuplicatePolicy::from_tag(self.r.u8()?, at)?;
        let tier = Tier::from_tag(self.r.u8()?, at + 1)?;
        self.r.u16()?; // The edition says what a writer chose; any is read alike.
        let columns = self.columns()?;
        let dictionaries = self.dictionaries(&columns)?;
        let series_pages = self.series_pages(rows, series)?;
        let group_pages = self.group_pages(rows, times)?;
        self.r.finish()?;
        Ok(Root {
            table,
            partition,
            rows,
            series,
            times,
            first_lsn: Lsn(first_lsn),
            last_lsn: Lsn(last_lsn),
            policy,
            tier,
            columns,
            dictionaries,
            series_pages,
            group_pages,
            tail_offset: self.trailer.tail_offset(),
        })
    }

    fn columns(&mut self) -> Result<Vec<Field>> {
        let count = self.r.count(MAX_FIELDS)?;
        let mut columns: Vec<Field> = Vec::new();
        for _ in 0..count {
            let at = self.r.position();
            let id = FieldId(self.varint_u32("field id")?);
            let before = columns.last().map_or(FieldId::TIME, |f| f.id);
            if id <= before {
                let expected = format_args!("a field id above {before}");
                return Err(self.r.invalid_at(at, expected, id));
            }
            let at = self.r.position() as u64;
            let field_type = FieldType::from_tag(self.r.u8()?, at)?;
            let len = self.r.count(usize::from(u16::MAX))?;
            let name = self.r.text(len)?.to_owned();
            columns.push(Field {
                id,
                name,
                field_type,
            });
        }
        Ok(columns)
    }

    fn dictionaries(&mut self, columns: &[Field]) -> Result<Vec<DictionaryRef>> {
        let count = self.r.count(columns.len())?;
        let mut dictionaries: Vec<DictionaryRef> = Vec::new();
        for _ in 0..count {
            let at = self.r.position();
            let field = FieldId(self.varint_u32("field id")?);
            let before = dictionaries.last().map_or(FieldId::TIME, |d| d.field);
            let known = columns.iter().any(|f| {
                f.id == field && matches!(f.field_type, FieldType::F64 | FieldType::String)
            });
            if field <= before || !known {
                let expected = format_args!("a field of f64 or string above {before}");
                return Err(self.r.invalid_at(at, expected, field));
            }
            let values = self.r.count(MAX_DICTIONARY)?;
            let limit = self.trailer.tail_offset();
            let kind = RegionKind::Dictionary;
            let region = Region::read_reference(&mut self.r, kind, field, limit)?;
            dictionaries.push(DictionaryRef {
                field,
                // At most MAX_DICTIONARY.
                values: u32::try_from(values).unwrap_or(u32::MAX),
                region,
            });
        }
        Ok(dictionaries)
    }

    fn series_pages(&mut self, rows: u64, series: u64) -> Result<Vec<SeriesPageRef>> {
        let count = self.r.count(self.r.remaining())?;
        let mut pages: Vec<SeriesPageRef> = Vec::new();
        let (mut id, mut row, mut total) = (0u64, 0u64, 0u64);
        for i in 0..count {
            let at = self.r.position();
            let n = self.varint_u32("series of a page")?;
            let first_series = self.offset_from(id, "first series of a page")?;
            let last_series = self.offset_from(first_series, "last series of a page")?;
            let first_row = self.offset_from(row, "first row of a page")?;
            let ascends = i == 0 && first_row == 0 || i > 0 && first_series > id && first_row > row;
            let fits = (1..=PAGE_SERIES as u64).contains(&u64::from(n))
                && last_series - first_series >= u64::from(n) - 1
                && first_row < rows;
            if !(ascends && fits) {
                let actual = format_args!(
                    "{n} series from {first_series} to {last_series} at row {first_row}"
                )
                .to_string();
                return Err(self
                    .r
                    .invalid_at(at, "a page behind the one before", actual));
            }
            let region = self.page(RegionKind::SeriesPage)?;
            pages.push(SeriesPageRef {
                series: n,
                first_series: SeriesId(first_series),
                last_series: SeriesId(last_series),
                first_row,
                region,
            });
            (id, row) = (last_series, first_row);
            total += u64::from(n);
        }
        if total != series {
            let at = self.r.position();
            let expected = format_args!("pages of {series} series");
            return Err(self.r.invalid_at(at, expected, total));
        }
        Ok(pages)
    }

    fn group_pages(&mut self, rows: u64, times: TimeRange) -> Result<Vec<GroupPageRef>> {
        let at = self.r.position();
        let count = self.r.count(self.r.remaining())?;
        if count as u64 != rows.div_ceil(GROUP_ROWS as u64) {
            let expected = format_args!("the row groups of {rows} rows");
            return Err(self.r.invalid_at(at, expected, count));
        }
        let mut pages = Vec::new();
        let (mut id, mut row) = (0u64, 0u64);
        for _ in 0..count {
            let at = self.r.position();
            let n = self.varint_u32("rows of a group")?;
            let expected = (rows - row).min(GROUP_ROWS as u64);
            if u64::from(n) != expected {
                let expected = format_args!("a group of {expected} rows");
                return Err(self.r.invalid_at(at, expected, n));
            }
            let at = self.r.position();
            let group_times = self.times("time range of a group")?;
            if !times.covers(&group_times) {
                let expected = format_args!("times within {times:?}");
                let actual = format_args!("{group_times:?}").to_string();
                return Err(self.r.invalid_at(at, expected, actual));
            }
            let first_series = self.offset_from(id, "first series of a group")?;
            let last_series = self.offset_from(first_series, "last series of a group")?;
            let region = self.page(RegionKind::GroupPage)?;
            pages.push(GroupPageRef {
                first_row: row,
                rows: n,
                times: group_times,
                first_series: SeriesId(first_series),
                last_series: SeriesId(last_series),
                region,
            });
            id = last_series;
            row += u64::from(n);
        }
        Ok(pages)
    }

    /// A reference to a page: between the start of the tail and the root.
    fn page(&mut self, kind: RegionKind) -> Result<Region> {
        let at = self.r.position();
        let limit = self.trailer.root_region().offset;
        let region = Region::read_reference(&mut self.r, kind, FieldId(0), limit)?;
        let tail = self.trailer.tail_offset();
        if region.offset < tail {
            let expected = format_args!("a page in the tail, from {tail}");
            return Err(self.r.invalid_at(at, expected, region.offset));
        }
        Ok(region)
    }

    fn varint_u32(&mut self, what: &str) -> Result<u32> {
        let at = self.r.position();
        let value = self.r.varint()?;
        u32::try_from(value).map_err(|_| {
            self.r
                .invalid_at(at, format_args!("{what} of 32 bits"), value)
        })
    }

    fn offset_from(&mut self, base: u64, what: &str) -> Result<u64> {
        let at = self.r.position();
        let difference = self.r.varint()?;
        base.checked_add(difference).ok_or_else(|| {
            let actual = format_args!("{base} + {difference}").to_string();
            self.r
                .invalid_at(at, format_args!("{what} of 64 bits"), actual)
        })
    }

    fn times(&mut self, what: &str) -> Result<TimeRange> {
        let at = self.r.position();
        let (start, end) = (self.r.i64()?, self.r.i64()?);
        if start > end {
            let expected = format_args!("{what} that ends from {start} on");
            return Err(self.r.invalid_at(at, expected, end));
        }
        Ok(TimeRange { start, end })
    }
}
