//! Writing segments.

use std::ops::Range;

use crate::codec::vector::Encoding;
use crate::column::Column;
use crate::header::FileHeader;
use crate::manifest::{SegmentEntry, Tier};
use crate::schema::{DuplicatePolicy, Field};
use crate::segment::column_encoder::Scratch;
use crate::segment::series_page::PageBuilder;
use crate::segment::{
    DictionaryRef, GroupPageRef, Region, RegionKind, Root, SeriesPageRef, Trailer,
};
use crate::version::{GROUP_ROWS, MAX_DICTIONARY_TEXT, MAX_GROUP_TEXT, MAX_PAGE_KEYS};
use crate::{
    FieldId, FileUuid, FormatError, Lsn, SeriesId, SeriesKey, TableId, TimeRange, Timestamp,
};

mod check;
mod error;
mod pass;
mod sink;

use check::{check_meta, refused};
use pass::Pass;
use sink::Sink;

pub use error::WriteError;
pub use sink::SegmentSink;

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

/// What a writer may hold of strings, beside the longest vector of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextMemory {
    /// Bytes of strings of a column that is a pass of its own: a block of more is written in parts,
    /// of which each has a dictionary or not.
    pub column: usize,
    /// Bytes of strings of a dictionary, at most [`MAX_DICTIONARY_TEXT`].
    pub dictionary: usize,
}

impl Default for TextMemory {
    fn default() -> Self {
        Self {
            column: MAX_GROUP_TEXT,
            dictionary: MAX_DICTIONARY_TEXT,
        }
    }
}

/// Writes a segment to `W`.
///
/// The columns come all at once, or in *passes*: first the series, the times and some fields of all
/// rows, then other fields of the same rows, and so on. The writer holds one row group of the columns
/// of a pass and their dictionaries in memory, and the pages of all that was written. So what it holds
/// is bounded by the number of fields of a pass, however many there are.
///
/// A call that is refused because of its input changes nothing; after an error of the sink the writer
/// refuses everything.
#[derive(Debug)]
pub struct SegmentWriter<W> {
    meta: SegmentMeta,
    text: TextMemory,
    sink: Sink<W>,
    pass: Pass,
    scratch: Scratch,
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
    /// Of the columns of earlier passes.
    dictionaries: Vec<DictionaryRef>,
    summaries: Vec<ColumnSummary>,
    /// Set while the sink is written to, so that it stays set when that fails.
    broken: bool,
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

impl<W: SegmentSink> SegmentWriter<W> {
    /// Starts a segment whose columns come all at once; writes its header. The fields are sorted by
    /// id: that is the order in which [`SegmentWriter::push`] takes columns.
    ///
    /// # Errors
    /// Fields, times or LSNs that the format cannot hold, or an error of the sink.
    pub fn new(sink: W, meta: SegmentMeta) -> Result<Self, WriteError> {
        let fields = meta.fields.len();
        Self::in_passes(sink, meta, fields, TextMemory::default())
    }

    /// Starts a segment whose columns come in passes, of which the first has the `fields` fields with
    /// the lowest ids; writes its header.
    ///
    /// # Errors
    /// As [`SegmentWriter::new`], or there are not so many fields.
    pub fn in_passes(
        sink: W,
        mut meta: SegmentMeta,
        fields: usize,
        text: TextMemory,
    ) -> Result<Self, WriteError> {
        meta.fields.sort_by_key(|f| f.id);
        check_meta(&meta)?;
        let mut writer = Self {
            sink: Sink {
                to: sink,
                offset: 0,
                file: meta.uuid,
            },
            pass: Pass::first(&meta.fields, fields, text)?,
            text,
            scratch: Scratch::default(),
            rows: 0,
            series: 0,
            times: None,
            last: None,
            group_first: SeriesId(0),
            groups: Vec::new(),
            page: PageBuilder::default(),
            page_first_row: 0,
            pages: Vec::new(),
            dictionaries: Vec::new(),
            summaries: Vec::new(),
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

    /// Appends the rows `rows` of `times` and `columns`, those of the first pass, to the series
    /// `series`. Series come in the order of their ids, the rows of each in the order of time; the
    /// next call may go on with the same series. `key` is used by the first call of a series.
    ///
    /// # Errors
    /// [`WriteError::Order`] and [`WriteError::Input`] for rows that are not so, for columns
    /// that are not those of the pass, and in a later pass: nothing was taken. [`WriteError::Io`]
    /// from the sink.
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
        if !self.pass.is_first() {
            return Err(refused(
                "series and times",
                "in the first pass",
                "a later one",
            ));
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
        self.pass.check_columns(columns, &rows)?;
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
            if self.pass.rows_in_group() == 0 {
                self.group_first = series;
            }
            let end = rows.end.min(at + GROUP_ROWS - self.pass.rows_in_group());
            self.pass.take_times(&times[at..end]);
            self.pass.take(columns, at..end);
            self.rows += (end - at) as u64;
            at = end;
            if self.pass.rows_in_group() == GROUP_ROWS {
                self.end_first_group(series)?;
            }
        }
        self.broken = false;
        Ok(())
    }

    /// Goes on with the next `fields` fields, of all the rows that the first pass has.
    ///
    /// # Errors
    /// The pass before lacks some of these rows, there are not so many fields left, or an error of the
    /// sink.
    pub fn next_pass(&mut self, fields: usize) -> Result<(), WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        self.pass.check_is_whole(self.rows)?;
        let next = self.pass.next(&self.meta.fields, fields, self.text)?;
        self.broken = true;
        self.end_pass()?;
        self.pass = next;
        self.broken = false;
        Ok(())
    }

    /// Appends the rows `rows` of `columns`, those of a later pass. Rows come as they came in the first
    /// pass; a call may have rows of any number of series.
    ///
    /// # Errors
    /// [`WriteError::Input`] for columns that are not those of the pass, for more rows than the first pass
    /// had, and in the first pass: nothing was taken. [`WriteError::Io`] from the sink.
    pub fn push_values(
        &mut self,
        columns: &[Column],
        rows: Range<usize>,
    ) -> Result<(), WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        if self.pass.is_first() {
            return Err(refused("values alone", "in a later pass", "the first one"));
        }
        self.pass.check_columns(columns, &rows)?;
        let left = self.rows - self.pass.rows();
        if rows.len() as u64 > left {
            let expected = format_args!("at most {left} more");
            return Err(refused("rows of a later pass", expected, rows.len()));
        }
        self.broken = true;
        let mut at = rows.start;
        while at < rows.end {
            let of_group = self.groups.get(self.pass.group());
            let of_group = of_group.map_or(0, |(group, _)| group.rows as usize);
            let room = of_group - self.pass.rows_in_group();
            let end = rows.end.min(at + room.min(self.pass.most_at_once()));
            self.pass.take(columns, at..end);
            at = end;
            if self.pass.rows_in_group() == of_group {
                self.end_group()?;
            } else if self.pass.has_part() {
                self.pass
                    .write_part(&mut self.sink, &mut self.scratch, of_group)?;
            }
        }
        self.broken = false;
        Ok(())
    }

    /// Writes what is left, the dictionaries, the tail and the trailer, and flushes the sink.
    /// Nothing is synced: a caller who wants that lends the file.
    ///
    /// # Errors
    /// There are no rows, some passes or rows of the last are missing, something is larger than the
    /// format allows, or an error of the sink.
    pub fn finish(mut self) -> Result<SegmentSummary, WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        let Some(times) = self.times else {
            return Err(refused("rows of a segment", "at least one", 0));
        };
        self.pass.check_is_whole(self.rows)?;
        let fields = self.meta.fields.len();
        if self.pass.fields_end() < fields {
            let actual = self.pass.fields_end();
            return Err(refused("fields of all passes", fields, actual));
        }
        self.end_pass()?;
        self.end_page();
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
            dictionaries: self.dictionaries,
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
            columns: self.summaries,
        })
    }

    /// Ends a row group of the first pass, whose last row is one of `last_series`: later passes have
    /// the same.
    fn end_first_group(&mut self, last_series: SeriesId) -> Result<(), WriteError> {
        let rows = self.pass.rows_in_group();
        let reference = GroupPageRef {
            first_row: self.rows - rows as u64,
            rows: u32::try_from(rows).unwrap_or(u32::MAX),
            times: self.pass.times_of_group(),
            first_series: self.group_first,
            last_series,
            region: NOWHERE,
        };
        let mut page = Vec::new();
        crate::bytes::put_varint(&mut page, self.meta.fields.len() as u64 + 1);
        self.groups.push((reference, page));
        self.end_group()
    }

    /// Writes the blocks of the row group that is held.
    fn end_group(&mut self) -> Result<(), WriteError> {
        match self.groups.get_mut(self.pass.group()) {
            Some((_, page)) => self.pass.end_group(&mut self.sink, &mut self.scratch, page),
            None => Ok(()),
        }
    }

    /// Writes the rest of a pass, and its dictionaries.
    fn end_pass(&mut self) -> Result<(), WriteError> {
        if let (true, Some((series, _))) = (self.pass.rows_in_group() > 0, self.last) {
            // A later pass ends where a row group does: it has all rows.
            self.end_first_group(series)?;
        }
        let (dictionaries, columns) = self.pass.end(&mut self.sink)?;
        self.dictionaries.extend(dictionaries);
        self.summaries.extend(columns);
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
}
