//! The columns that are written together, row group after row group.

use std::ops::Range;

use super::sink::{OpenRegion, Sink};
use super::{ColumnSummary, SegmentSink, TextMemory, WriteError, refused};
use crate::codec::stats::VectorStats;
use crate::column::{Column, Values};
use crate::schema::Field;
use crate::segment::column_encoder::{ColumnEncoder, Scratch};
use crate::segment::group_page::put_column;
use crate::segment::{DictionaryRef, RegionKind};
use crate::version::VECTOR_ROWS;
use crate::{FieldId, FieldType, FormatError, TimeRange, Timestamp};

/// Columns of all rows, of which one row group is held at a time.
#[derive(Debug)]
pub(super) struct Pass {
    /// In the first pass time, then the fields ascending by id.
    pub(super) columns: Vec<ColumnWriter>,
    is_first: bool,
    /// The fields of this pass and those before it are so many.
    fields_end: usize,
    /// The row group that is being filled, and its rows so far.
    group: usize,
    rows_in_group: usize,
    /// Rows that were taken.
    rows: u64,
    /// The only column is one of strings, of which so many bytes are held: what is more goes to the
    /// sink before its row group ends.
    most_text: Option<usize>,
    /// The block of which parts are in the sink.
    open: Option<OpenBlock>,
}

#[derive(Debug)]
pub(super) struct ColumnWriter {
    field: FieldId,
    pub(super) field_type: FieldType,
    pub(super) buffer: Column,
    encoder: ColumnEncoder,
    bytes: u64,
}

#[derive(Debug)]
struct OpenBlock {
    region: OpenRegion,
    /// Of the vectors of the parts that were written.
    stats: Vec<VectorStats>,
}

impl Pass {
    /// The first pass, which has time and `count` of the fields.
    pub(super) fn first(
        fields: &[Field],
        count: usize,
        text: TextMemory,
    ) -> Result<Self, WriteError> {
        let time = ColumnWriter::new(FieldId::TIME, FieldType::I64, text);
        let mut pass = Self::of(fields, 0..count, text)?;
        pass.columns.insert(0, time);
        pass.is_first = true;
        pass.most_text = None;
        Ok(pass)
    }

    /// The pass behind this one, which has the next `count` of the fields.
    pub(super) fn next(
        &self,
        fields: &[Field],
        count: usize,
        text: TextMemory,
    ) -> Result<Self, WriteError> {
        let end = self.fields_end.saturating_add(count);
        Self::of(fields, self.fields_end..end, text)
    }

    fn of(fields: &[Field], which: Range<usize>, text: TextMemory) -> Result<Self, WriteError> {
        let Some(of_pass) = fields.get(which.clone()) else {
            let expected = format_args!("at most {}", fields.len());
            return Err(refused("fields of all passes", expected, which.end));
        };
        let is_text = matches!(of_pass, [only] if only.field_type == FieldType::String);
        let writer = |field: &Field| ColumnWriter::new(field.id, field.field_type, text);
        Ok(Self {
            columns: of_pass.iter().map(writer).collect(),
            is_first: false,
            fields_end: which.end,
            group: 0,
            rows_in_group: 0,
            rows: 0,
            most_text: is_text.then_some(text.column),
            open: None,
        })
    }

    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// How many fields this pass and those before it have.
    pub(super) fn fields_end(&self) -> usize {
        self.fields_end
    }

    /// The row group that is being filled.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    pub(super) fn rows_in_group(&self) -> usize {
        self.rows_in_group
    }

    /// Rows that were taken.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The columns that [`Pass::take`] takes.
    pub(super) fn fields(&self) -> &[ColumnWriter] {
        &self.columns[usize::from(self.is_first)..]
    }

    /// Fails unless the pass has taken `rows` rows.
    pub(super) fn check_is_whole(&self, rows: u64) -> Result<(), WriteError> {
        if self.rows == rows {
            return Ok(());
        }
        Err(refused("rows of a pass", rows, self.rows))
    }

    /// Copies times into the row group.
    pub(super) fn take_times(&mut self, times: &[Timestamp]) {
        if let Some(column) = self.columns.first_mut()
            && let Values::I64(buffer) = &mut column.buffer.values
        {
            buffer.extend_from_slice(times);
        }
    }

    /// Copies rows of the fields into the row group.
    pub(super) fn take(&mut self, columns: &[Column], rows: Range<usize>) {
        let ours = &mut self.columns[usize::from(self.is_first)..];
        for (to, from) in ours.iter_mut().zip(columns) {
            to.buffer.extend_from(from, rows.start, rows.end);
        }
        self.rows_in_group += rows.len();
        self.rows += rows.len() as u64;
    }

    /// Lowest and highest time of the row group, in the first pass.
    pub(super) fn times_of_group(&self) -> TimeRange {
        let Some(Values::I64(times)) = self.columns.first().map(|c| &c.buffer.values) else {
            return TimeRange::ALL;
        };
        TimeRange {
            start: times.iter().min().copied().unwrap_or(Timestamp::MIN),
            end: times.iter().max().copied().unwrap_or(Timestamp::MAX),
        }
    }

    /// Writes the blocks of the row group, and appends what its page says of them.
    pub(super) fn end_group<W: SegmentSink>(
        &mut self,
        sink: &mut Sink<W>,
        scratch: &mut Scratch,
        page: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let number = self.number()?;
        let mut part = Vec::new();
        match self.open.take() {
            Some(open) => self.end_open(open, sink, scratch, page)?,
            None => {
                for column in &mut self.columns {
                    column.encoder.encode(number, &mut column.buffer, scratch);
                    let bytes = scratch.block.bytes();
                    let block = sink.region(RegionKind::Block, column.field, bytes)?;
                    column.bytes += bytes.len() as u64;
                    put_column(page, &mut part, &block, &scratch.stats);
                    column.buffer.clear();
                }
            }
        }
        self.group += 1;
        self.rows_in_group = 0;
        Ok(())
    }

    /// Rows that may be taken before it is to be seen whether there is a part to be written.
    pub(super) fn most_at_once(&self) -> usize {
        match self.most_text {
            Some(_) => VECTOR_ROWS - self.rows_in_group % VECTOR_ROWS,
            None => usize::MAX,
        }
    }

    /// Whether whole vectors of strings are held that are to be written.
    pub(super) fn has_part(&self) -> bool {
        let text = self.columns.first().map(|c| c.buffer.values.text_len());
        self.rows_in_group.is_multiple_of(VECTOR_ROWS)
            && self.most_text.is_some_and(|most| text >= Some(most))
    }

    /// Writes the vectors that are held, of a row group of `rows` rows that goes on.
    pub(super) fn write_part<W: SegmentSink>(
        &mut self,
        sink: &mut Sink<W>,
        scratch: &mut Scratch,
        rows: usize,
    ) -> Result<(), WriteError> {
        let number = self.number()?;
        let Some(column) = self.columns.first_mut() else {
            return Ok(());
        };
        if self.open.is_none() {
            column.encoder.start(number, rows, scratch);
        }
        column.encoder.encode_part(&mut column.buffer, scratch);
        let bytes = scratch.block.bytes();
        match &mut self.open {
            Some(open) => {
                sink.go_on(&mut open.region, bytes)?;
                open.stats.append(&mut scratch.stats);
                scratch.block.take_part();
            }
            None => {
                let head = scratch.block.head_len();
                let region = sink.begin_region(head, bytes)?;
                scratch.block.take_part();
                self.open = Some(OpenBlock {
                    region,
                    stats: std::mem::take(&mut scratch.stats),
                });
            }
        }
        column.buffer.clear();
        Ok(())
    }

    /// Ends the block that parts were written of, with what is left of its row group.
    fn end_open<W: SegmentSink>(
        &mut self,
        mut open: OpenBlock,
        sink: &mut Sink<W>,
        scratch: &mut Scratch,
        page: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let Some(column) = self.columns.first_mut() else {
            return Ok(());
        };
        if !column.buffer.is_empty() {
            column.encoder.encode_part(&mut column.buffer, scratch);
            sink.go_on(&mut open.region, scratch.block.bytes())?;
            open.stats.append(&mut scratch.stats);
            scratch.block.take_part();
            column.buffer.clear();
        }
        column.bytes += open.region.len();
        let (kind, head) = (RegionKind::Block, scratch.block.head());
        let block = sink.end_region(open.region, kind, column.field, head)?;
        put_column(page, &mut Vec::new(), &block, &open.stats);
        Ok(())
    }

    /// Bytes of strings that the row group has in column `i`, or in the block of which parts were
    /// written.
    pub(super) fn text_of_group(&self, i: usize) -> usize {
        let held = self.fields()[i].buffer.values.text_len();
        let written = self.open.as_ref().map_or(0, |open| open.region.len());
        held.saturating_add(usize::try_from(written).unwrap_or(usize::MAX))
    }

    /// Writes the dictionaries, and says what became of the columns.
    pub(super) fn end<W: SegmentSink>(
        &mut self,
        sink: &mut Sink<W>,
    ) -> Result<(Vec<DictionaryRef>, Vec<ColumnSummary>), WriteError> {
        let (mut dictionaries, mut summaries) = (Vec::new(), Vec::new());
        let mut bytes = Vec::new();
        for column in std::mem::take(&mut self.columns) {
            let mut summary = ColumnSummary {
                field: column.field,
                bytes: column.bytes,
                dictionary: 0,
                encodings: column.encoder.uses(),
            };
            if column.encoder.dictionary_len() > 0 {
                bytes.clear();
                column.encoder.put_dictionary(&mut bytes);
                let kind = RegionKind::Dictionary;
                let region = sink.region(kind, column.field, &bytes)?;
                let values = u32::try_from(column.encoder.dictionary_len()).unwrap_or(u32::MAX);
                summary.bytes += bytes.len() as u64;
                summary.dictionary = values;
                dictionaries.push(DictionaryRef {
                    field: column.field,
                    values,
                    region,
                });
            }
            summaries.push(summary);
        }
        Ok((dictionaries, summaries))
    }

    /// The number of the row group that is being filled.
    fn number(&self) -> Result<u32, WriteError> {
        u32::try_from(self.group)
            .map_err(|_| FormatError::limit("row groups", u32::MAX, self.group).into())
    }
}

impl ColumnWriter {
    fn new(field: FieldId, field_type: FieldType, text: TextMemory) -> Self {
        Self {
            field,
            field_type,
            buffer: Column::new(field_type),
            encoder: ColumnEncoder::new(field, field_type, text.dictionary),
            bytes: 0,
        }
    }
}
