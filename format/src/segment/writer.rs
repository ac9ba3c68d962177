//! Writing segments.

use std::io::Write;
use std::ops::Range;

use crate::codec::vector::Encoding;
use crate::column::{Column, Values};
use crate::header::FileHeader;
use crate::manifest::{SegmentEntry, Tier};
use crate::schema::{DuplicatePolicy, Field};
use crate::segment::column_encoder::{ColumnEncoder, Scratch};
use crate::segment::group_page::put_column;
use crate::segment::series_page::PageBuilder;
use crate::segment::{
    DictionaryRef, GroupPageRef, Region, RegionKind, Root, SeriesPageRef, Trailer,
};
use crate::version::{GROUP_ROWS, MAX_PAGE_KEYS};
use crate::{
    FieldId, FieldType, FileUuid, FormatError, Lsn, SeriesId, SeriesKey, TableId, TimeRange,
    Timestamp,
};

mod check;
mod error;
mod sink;

use check::{check_meta, refused};
use sink::Sink;

pub use error::WriteError;

/// What a segment is, but for its rows.
#[derive(Debug, Clone)]
pub struct SegmentMeta {
    /// The database it belongs to.
    pub database: FileUuid,
    /// Its own uuid.
    pub uuid: FileUuid,
    /// The table whose rows it has.
    pub table: TableId,
    /// The timestamps it may have.
    pub partition: TimeRange,
    /// The fields of the table, in any order.
    pub fields: Vec<Field>,
    /// What the table does about duplicates: only under [`DuplicatePolicy::All`] may a series have
    /// two rows of one time.
    pub policy: DuplicatePolicy,
    /// What the segment is for.
    pub tier: Tier,
    /// Lowest LSN of its rows.
    pub first_lsn: Lsn,
    /// Highest LSN of its rows.
    pub last_lsn: Lsn,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// What the manifest says of the segment; it has no place in the archive.
    pub entry: SegmentEntry,
    /// What became of each column: time, then the fields ascending by id.
    pub columns: Vec<ColumnSummary>,
}

/// What became of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSummary {
    /// The field; 0 for time.
    pub field: FieldId,
    /// Bytes of its blocks and its dictionary.
    pub bytes: u64,
    /// Values of its dictionary, 0 if it has none.
    pub dictionary: u32,
    /// Vectors by encoding, in the order of [`Encoding::ALL`].
    pub encodings: [EncodingUse; Encoding::ALL.len()],
}

/// How much of a column is encoded in one way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct EncodingUse {
    /// Vectors.
    pub vectors: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Writes a segment to `W`, front to back, without seeking.
///
/// It holds one row group, the pages, and the dictionaries in memory. A call of
/// [`SegmentWriter::push`] that is refused because of its input changes nothing; after an error of
/// the sink the writer refuses everything.
#[derive(Debug)]
pub struct SegmentWriter<W> {
    meta: SegmentMeta,
    sink: Sink<W>,
    /// Time, then the fields ascending by id.
    columns: Vec<ColumnWriter>,
    scratch: Scratch,
    rows_in_group: usize,
    rows: u64,
    series: u64,
    times: Option<TimeRange>,
    /// The series of the last row, and its time.
    last: Option<(SeriesId, Timestamp)>,
    group_first: SeriesId,
    groups: Vec<(GroupPageRef, Vec<u8>)>,
    page: PageBuilder,
    page_first_row: u64,
    pages: Vec<(SeriesPageRef, Vec<u8>)>,
    /// Set while the sink is written to, so that it stays set when that fails.
    broken: bool,
}

#[derive(Debug)]
struct ColumnWriter {
    field: FieldId,
    field_type: FieldType,
    buffer: Column,
    encoder: ColumnEncoder,
    bytes: u64,
}

/// The place of a page that is not written yet.
const NOWHERE: Region = Region {
    kind: RegionKind::Root,
    field: FieldId(0),
    offset: 0,
    stored_len: 0,
    plain_len: 0,
    crc: 0,
};

impl<W: Write> SegmentWriter<W> {
    /// Starts a segment; writes its header. The fields are sorted by id: that is the order in
    /// which [`SegmentWriter::push`] takes columns.
    ///
    /// # Errors
    /// Fields, times or LSNs that the format cannot hold, or an error of the sink.
    pub fn new(sink: W, mut meta: SegmentMeta) -> Result<Self, WriteError> {
        meta.fields.sort_by_key(|f| f.id);
        check_meta(&meta)?;
        let time = (FieldId::TIME, FieldType::I64);
        let fields = meta.fields.iter().map(|f| (f.id, f.field_type));
        let columns = std::iter::once(time)
            .chain(fields)
            .map(|(field, field_type)| ColumnWriter {
                field,
                field_type,
                buffer: Column::new(field_type),
                encoder: ColumnEncoder::new(field, field_type),
                bytes: 0,
            })
            .collect();
        let mut writer = Self {
            sink: Sink {
                to: sink,
                offset: 0,
                file: meta.uuid,
            },
            columns,
            scratch: Scratch::default(),
            rows_in_group: 0,
            rows: 0,
            series: 0,
            times: None,
            last: None,
            group_first: SeriesId(0),
            groups: Vec::new(),
            page: PageBuilder::default(),
            page_first_row: 0,
            pages: Vec::new(),
            broken: false,
            meta,
        };
        let header = FileHeader::segment(writer.meta.database, writer.meta.uuid, writer.meta.table);
        writer.sink.write(&header.encode())?;
        Ok(writer)
    }

    /// The fields, in the order in which columns are taken.
    pub fn fields(&self) -> &[Field] {
        &self.meta.fields
    }

    /// Rows that were pushed.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that were written: row groups that are full, so far.
    pub fn written(&self) -> u64 {
        self.sink.offset
    }

    /// Appends the rows `rows` of `times` and `columns` to the series `series`. Series come in the
    /// order of their ids, the rows of each in the order of time; the next call may go on with the
    /// same series. `key` is used by the first call of a series.
    ///
    /// # Errors
    /// [`WriteError::Order`] and [`WriteError::Input`] for rows that are not so, and for columns
    /// that are not those of [`SegmentWriter::fields`]: nothing was taken. [`WriteError::Io`] from
    /// the sink.
    pub fn push(
        &mut self,
        series: SeriesId,
        key: &SeriesKey,
        times: &[Timestamp],
        columns: &[Column],
        rows: Range<usize>,
    ) -> Result<(), WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        let Some(run) = times.get(rows.clone()) else {
            return Err(refused(
                "rows of a run",
                format_args!("at most {}", times.len()),
                rows.end,
            ));
        };
        let (Some(&first), Some(&last)) = (run.first(), run.last()) else {
            return Ok(());
        };
        self.check_order(series, run, first, last)?;
        self.check_columns(columns, &rows)?;
        let starts = self.last.is_none_or(|(before, _)| before < series);
        let key = key.as_bytes();
        if starts && key.len() > MAX_PAGE_KEYS {
            return Err(FormatError::limit("series key", MAX_PAGE_KEYS, key.len()).into());
        }

        self.broken = true;
        if starts {
            if self.page.is_full_for(key.len()) {
                self.end_page();
            }
            self.page.start(series, key, first);
            self.series += 1;
        }
        self.page.grow(run.len(), last);
        self.last = Some((series, last));
        self.times = Some(self.times.map_or(
            TimeRange {
                start: first,
                end: last,
            },
            |all| TimeRange {
                start: all.start.min(first),
                end: all.end.max(last),
            },
        ));
        let mut at = rows.start;
        while at < rows.end {
            if self.rows_in_group == 0 {
                self.group_first = series;
            }
            let end = rows.end.min(at + GROUP_ROWS - self.rows_in_group);
            self.take(times, columns, at..end);
            at = end;
            if self.rows_in_group == GROUP_ROWS {
                self.end_group(series)?;
            }
        }
        self.broken = false;
        Ok(())
    }

    /// Writes what is left, the dictionaries, the tail and the trailer, and flushes the sink.
    /// Nothing is synced: a caller who wants that lends the file.
    ///
    /// # Errors
    /// There are no rows, something is larger than the format allows, or an error of the sink.
    pub fn finish(mut self) -> Result<SegmentSummary, WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        let (Some((last_series, _)), Some(times)) = (self.last, self.times) else {
            return Err(refused("rows of a segment", "at least one", 0));
        };
        if self.rows_in_group > 0 {
            self.end_group(last_series)?;
        }
        self.end_page();
        let dictionaries = self.write_dictionaries()?;
        self.sink.align()?;
        let tail_offset = self.sink.offset;
        let mut series_pages = Vec::with_capacity(self.pages.len());
        for (mut page, bytes) in self.pages {
            let kind = RegionKind::SeriesPage;
            page.region = self.sink.region(kind, FieldId(0), &bytes)?;
            series_pages.push(page);
        }
        let mut group_pages = Vec::with_capacity(self.groups.len());
        for (mut page, bytes) in self.groups {
            let kind = RegionKind::GroupPage;
            page.region = self.sink.region(kind, FieldId(0), &bytes)?;
            group_pages.push(page);
        }
        let root = Root {
            table: self.meta.table,
            partition: self.meta.partition,
            rows: self.rows,
            series: self.series,
            times,
            first_lsn: self.meta.first_lsn,
            last_lsn: self.meta.last_lsn,
            policy: self.meta.policy,
            tier: self.meta.tier,
            columns: self.meta.fields,
            dictionaries,
            series_pages,
            group_pages,
            tail_offset,
        };
        let mut bytes = Vec::new();
        root.encode(&mut bytes);
        let region = self.sink.region(RegionKind::Root, FieldId(0), &bytes)?;
        self.sink.align()?;
        let file_len = self.sink.offset + crate::segment::TRAILER_LEN as u64;
        let tail_len = u32::try_from(file_len - tail_offset).map_err(|_| {
            FormatError::limit("tail of a segment", u32::MAX, file_len - tail_offset)
        })?;
        let trailer = Trailer::new(self.meta.uuid, region, tail_len, file_len);
        self.sink.write(&trailer.encode())?;
        self.sink.to.flush().map_err(WriteError::Io)?;
        let summarise = |column: ColumnWriter| ColumnSummary {
            field: column.field,
            bytes: column.bytes,
            dictionary: u32::try_from(column.encoder.dictionary_len()).unwrap_or(u32::MAX),
            encodings: column.encoder.uses(),
        };
        Ok(SegmentSummary {
            entry: SegmentEntry {
                table: root.table,
                uuid: self.meta.uuid,
                partition: root.partition,
                file_len,
                tail_len,
                root_crc: region.crc,
                first_lsn: root.first_lsn,
                last_lsn: root.last_lsn,
                times,
                rows: root.rows,
                series: root.series,
                tier: root.tier,
                place: String::new(),
            },
            columns: self.columns.into_iter().map(summarise).collect(),
        })
    }

    /// Copies rows of one series into the row group.
    fn take(&mut self, times: &[Timestamp], columns: &[Column], rows: Range<usize>) {
        let (Some((time, ours)), len) = (self.columns.split_first_mut(), rows.len()) else {
            return;
        };
        if let Values::I64(buffer) = &mut time.buffer.values {
            buffer.extend_from_slice(&times[rows.clone()]);
        }
        for (to, from) in ours.iter_mut().zip(columns) {
            to.buffer.extend_from(from, rows.start, rows.end);
        }
        self.rows_in_group += len;
        self.rows += len as u64;
    }

    /// Writes the blocks of the row group, whose last row is one of `last_series`.
    fn end_group(&mut self, last_series: SeriesId) -> Result<(), WriteError> {
        let group = u32::try_from(self.groups.len())
            .map_err(|_| FormatError::limit("row groups", u32::MAX, self.groups.len()))?;
        let mut page = Vec::new();
        let mut part = Vec::new();
        crate::bytes::put_varint(&mut page, self.columns.len() as u64);
        let mut times = TimeRange::ALL;
        for column in &mut self.columns {
            if column.field == FieldId::TIME
                && let Values::I64(values) = &column.buffer.values
            {
                let (low, high) = (values.iter().min(), values.iter().max());
                times.start = low.copied().unwrap_or(times.start);
                times.end = high.copied().unwrap_or(times.end);
            }
            let scratch = &mut self.scratch;
            column.encoder.encode(group, &mut column.buffer, scratch);
            let bytes = scratch.block.bytes();
            let block = self.sink.region(RegionKind::Block, column.field, bytes)?;
            column.bytes += bytes.len() as u64;
            put_column(&mut page, &mut part, &block, &scratch.stats);
            column.buffer.clear();
        }
        let rows = self.rows_in_group;
        let reference = GroupPageRef {
            first_row: self.rows - rows as u64,
            rows: u32::try_from(rows).unwrap_or(u32::MAX),
            times,
            first_series: self.group_first,
            last_series,
            region: NOWHERE,
        };
        self.groups.push((reference, page));
        self.rows_in_group = 0;
        Ok(())
    }

    /// Encodes the series page.
    fn end_page(&mut self) {
        let series = u32::try_from(self.page.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        if let Some((first_series, last_series)) = self.page.finish(&mut bytes) {
            let reference = SeriesPageRef {
                series,
                first_series,
                last_series,
                first_row: self.page_first_row,
                region: NOWHERE,
            };
            self.pages.push((reference, bytes));
        }
        self.page_first_row = self.rows;
    }

    fn write_dictionaries(&mut self) -> Result<Vec<DictionaryRef>, WriteError> {
        let mut dictionaries = Vec::new();
        let mut bytes = Vec::new();
        for column in &mut self.columns {
            let values = column.encoder.dictionary_len();
            if values == 0 {
                continue;
            }
            bytes.clear();
            column.encoder.put_dictionary(&mut bytes);
            let kind = RegionKind::Dictionary;
            let region = self.sink.region(kind, column.field, &bytes)?;
            column.bytes += bytes.len() as u64;
            dictionaries.push(DictionaryRef {
                field: column.field,
                values: u32::try_from(values).unwrap_or(u32::MAX),
                region,
            });
        }
        Ok(dictionaries)
    }
}
