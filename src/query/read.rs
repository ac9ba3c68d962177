//! Decoding rows of a segment that need no merge.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::stats::{ColumnStats, ValueStats};
use tidestone_format::column::{Column, Values};
use tidestone_format::schema::Field;
use tidestone_format::segment::{Block, GroupPageRef};
use tidestone_format::version::{GROUP_ROWS, GROUP_VECTORS, VECTOR_ROWS};
use tidestone_format::{FieldId, FieldType, TimeRange};

use super::batch::Enough;
use super::{Profile, RowBatch};
use crate::error::Result;
use crate::store::{HeldBlock, Holding, OpenSegment, Segment};

/// Segments that a query keeps open, with the vectors it decoded last, at a time.
const MOST_READERS: usize = 64;

/// Row group and number within it of a vector.
pub(super) fn place(vector: u64) -> (usize, usize) {
    let vector = usize::try_from(vector).unwrap_or(usize::MAX);
    (vector / GROUP_VECTORS, vector % GROUP_VECTORS)
}

/// The blocks of one row group, opened as they are needed. Of those that take memory, as they are not mapped,
/// it has those that are held, and the one that was used last.
pub(super) struct GroupBlocks<'a> {
    open: &'a OpenSegment,
    group: usize,
    /// Of time, and of each field; `Some(None)`: the segment does not have the field.
    blocks: Vec<Option<Option<Block<'a>>>>,
    /// The column of the only one among them that is neither mapped nor held.
    passing: Option<usize>,
    time_stats: Option<Arc<ColumnStats>>,
}

impl<'a> GroupBlocks<'a> {
    /// Of a row group, with room for `fields` fields.
    pub(super) fn new(open: &'a OpenSegment, group: usize, fields: usize) -> Self {
        Self {
            open,
            group,
            blocks: vec![None; fields + 1],
            passing: None,
            time_stats: None,
        }
    }

    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// The block of column `column`, which is `field` (0: time). The caller keeps `held` for the next time that the
    /// row group is gone through.
    pub(super) fn block(
        &mut self,
        column: usize,
        field: FieldId,
        held: &mut HeldBlock,
        profile: &mut Profile,
    ) -> Result<Option<&Block<'a>>> {
        if self.blocks[column].is_none() {
            let block = self.open.block(self.group, field, held)?;
            profile.block_bytes += block.as_ref().map_or(0, |b| b.stored_len() as u64);
            let is_passing = block.is_some() && !self.open.is_mapped() && !held.is_held();
            if is_passing && let Some(before) = self.passing.replace(column) {
                self.blocks[before] = None;
            }
            self.blocks[column] = Some(block);
        }
        Ok(self.blocks[column].as_ref().and_then(Option::as_ref))
    }

    /// First and last timestamp of a vector.
    pub(super) fn times(&mut self, at: usize) -> Result<TimeRange> {
        if self.time_stats.is_none() {
            self.time_stats = self.open.stats(self.group, FieldId::TIME)?;
        }
        let stats = self.time_stats.as_ref().and_then(|s| s.vectors().get(at));
        Ok(match stats.map(|v| v.of) {
            Some(ValueStats::Time { min, max, .. }) => TimeRange {
                start: min,
                end: max,
            },
            _ => TimeRange::ALL,
        })
    }
}

/// Readers of the segments among the inputs of a query: a few of them, however many inputs there are.
#[derive(Debug)]
pub(super) struct Readers {
    fields: Arc<[Field]>,
    /// Of their blocks.
    holding: Holding,
    /// By the number of the input.
    readers: Vec<Option<Box<SegmentReader>>>,
    /// The inputs that have one, the oldest first.
    held: VecDeque<usize>,
}

impl Readers {
    /// None yet, for `inputs` inputs. Their blocks will count among what is held.
    pub(super) fn new(inputs: usize, fields: Arc<[Field]>, holding: &Holding) -> Self {
        Self {
            fields,
            holding: holding.clone(),
            readers: (0..inputs).map(|_| None).collect(),
            held: VecDeque::new(),
        }
    }

    /// The reader of input number `input`, which is `segment`.
    pub(super) fn of(&mut self, input: usize, segment: &Segment) -> Result<&mut SegmentReader> {
        let reader = match self.readers[input].take() {
            Some(reader) => reader,
            None => {
                let open = segment.open()?;
                let reader = SegmentReader::new(open, &self.fields, &self.holding)?;
                if self.held.len() == MOST_READERS
                    && let Some(oldest) = self.held.pop_front()
                {
                    self.readers[oldest] = None;
                }
                self.held.push_back(input);
                Box::new(reader)
            }
        };
        Ok(self.readers[input].insert(reader))
    }
}

/// Reads a segment; keeps the vectors it decoded last, which small series share.
#[derive(Debug)]
pub(super) struct SegmentReader {
    open: Arc<OpenSegment>,
    columns: Vec<KnownVector>,
}

/// Which rows of a series are wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) range: TimeRange,
    /// The range covers all of them.
    pub(super) all: bool,
    /// Enough rows for the batch.
    pub(super) target: Enough,
}

/// Rows of a vector that go into a batch.
#[derive(Debug)]
struct Piece {
    vector: u64,
    from: usize,
    to: usize,
    /// They are all of its rows.
    is_whole: bool,
}

/// One column, and the vector of it that was decoded last.
#[derive(Debug)]
struct KnownVector {
    field: FieldId,
    is_text: bool,
    dictionary: Option<Arc<Dictionary>>,
    number: u64,
    values: Column,
    /// The block that was read last, where that is held.
    block: HeldBlock,
}

impl SegmentReader {
    /// A reader of time and these fields.
    pub(super) fn new(open: Arc<OpenSegment>, fields: &[Field], holding: &Holding) -> Result<Self> {
        let time = std::iter::once((FieldId::TIME, FieldType::I64));
        let fields = fields.iter().map(|f| (f.id, f.field_type));
        let columns = time.chain(fields).map(|(field, field_type)| {
            Ok(KnownVector {
                field,
                is_text: field_type == FieldType::String,
                dictionary: open.dictionary(field)?,
                number: u64::MAX,
                values: Column::new(field_type),
                block: HeldBlock::new(holding),
            })
        });
        let columns = columns.collect::<Result<_>>()?;
        Ok(Self { open, columns })
    }

    /// Appends the wanted ones of the rows `rows`, which are of one series, and moves the start of
    /// `rows` behind what was looked at.
    ///
    /// Times and strings go in vector by vector, since they tell when there is enough. The other columns of
    /// a row group follow one after the other, so that one of their blocks is needed at a time.
    pub(super) fn append(
        &mut self,
        rows: &mut Range<u64>,
        wanted: &Wanted,
        batch: &mut RowBatch,
        profile: &mut Profile,
    ) -> Result<()> {
        let range = wanted.range;
        let open = self.open.clone();
        let mut at: Option<(GroupBlocks<'_>, Vec<Piece>)> = None;
        let whole = rows.clone();
        while !rows.is_empty() && !batch.is_full(wanted.target) {
            let vector = rows.start / VECTOR_ROWS as u64;
            let first = vector * VECTOR_ROWS as u64;
            let end = rows.end.min(first + VECTOR_ROWS as u64);
            let offset = |row: u64| usize::try_from(row - first).unwrap_or(0);
            let (mut from, mut to) = (offset(rows.start), offset(end));
            rows.start = end;
            let (group, number) = place(vector);
            let (blocks, pieces) = match &mut at {
                Some(at) if at.0.group() == group => at,
                other => {
                    if let Some((blocks, pieces)) = other {
                        self.append_numbers(pieces, blocks, batch, profile)?;
                    }
                    let blocks = GroupBlocks::new(&open, group, self.columns.len() - 1);
                    other.insert((blocks, Vec::new()))
                }
            };
            let full = from == 0 && end == (first + VECTOR_ROWS as u64).min(open.root().rows);
            let mut cut = !wanted.all;
            if cut && whole.start <= first && full {
                let times = blocks.times(number)?;
                if !range.overlaps(&times) {
                    profile.vectors_skipped += self.columns.len() as u64;
                    continue;
                }
                cut = !range.covers(&times);
            }
            if cut {
                let times = self.known(0, vector, blocks, profile)?;
                (from, to) = within(times, from..to, range);
                if from == to {
                    profile.vectors_skipped += self.columns.len() as u64 - 1;
                    continue;
                }
            }
            let piece = Piece {
                vector,
                from,
                to,
                is_whole: full && (from, to) == (0, offset(end)),
            };
            self.append_times(&piece, blocks, batch, profile)?;
            for column in 1..self.columns.len() {
                if self.columns[column].is_text {
                    self.append_column(column, &piece, blocks, batch, profile)?;
                }
            }
            pieces.push(piece);
        }
        match &mut at {
            Some((blocks, pieces)) => self.append_numbers(pieces, blocks, batch, profile),
            None => Ok(()),
        }
    }

    fn append_times(
        &mut self,
        piece: &Piece,
        blocks: &mut GroupBlocks<'_>,
        batch: &mut RowBatch,
        profile: &mut Profile,
    ) -> Result<()> {
        if piece.is_whole && self.columns[0].number != piece.vector {
            let mut times = Column {
                values: Values::I64(std::mem::take(&mut batch.times)),
                validity: None,
            };
            let decoded = self.decode(0, piece.vector, blocks, &mut times, profile);
            if let Values::I64(times) = times.values {
                batch.times = times;
            }
            return decoded;
        }
        let times = self.known(0, piece.vector, blocks, profile)?;
        if let Values::I64(times) = &times.values {
            batch.times.extend_from_slice(&times[piece.from..piece.to]);
        }
        Ok(())
    }

    /// Appends the values of the columns that are not of strings.
    fn append_numbers(
        &mut self,
        pieces: &[Piece],
        blocks: &mut GroupBlocks<'_>,
        batch: &mut RowBatch,
        profile: &mut Profile,
    ) -> Result<()> {
        for column in 1..self.columns.len() {
            if self.columns[column].is_text {
                continue;
            }
            for piece in pieces {
                self.append_column(column, piece, blocks, batch, profile)?;
            }
        }
        Ok(())
    }

    fn append_column(
        &mut self,
        column: usize,
        piece: &Piece,
        blocks: &mut GroupBlocks<'_>,
        batch: &mut RowBatch,
        profile: &mut Profile,
    ) -> Result<()> {
        let out = &mut batch.columns[column - 1];
        if piece.is_whole && self.columns[column].number != piece.vector {
            return self.decode(column, piece.vector, blocks, out, profile);
        }
        let values = self.known(column, piece.vector, blocks, profile)?;
        out.extend_from(values, piece.from, piece.to);
        Ok(())
    }

    /// The last of the rows `rows`, which are of one series, with a time of at most `bound`.
    pub(super) fn at_or_before(
        &mut self,
        rows: &Range<u64>,
        bound: i64,
        profile: &mut Profile,
    ) -> Result<Option<(i64, u64)>> {
        let open = self.open.clone();
        let mut end = rows.end;
        while end > rows.start {
            let vector = (end - 1) / VECTOR_ROWS as u64;
            let first = vector * VECTOR_ROWS as u64;
            let (group, at) = place(vector);
            let group_first = group as u64 * GROUP_ROWS as u64;
            let later = |page: &GroupPageRef| page.times.start > bound;
            if group_first >= rows.start
                && end.is_multiple_of(GROUP_ROWS as u64)
                && open.root().group_pages.get(group).is_some_and(later)
            {
                profile.vectors_skipped += (self.columns.len() * GROUP_VECTORS) as u64;
                end = group_first;
                continue;
            }
            let mut blocks = GroupBlocks::new(&open, group, self.columns.len() - 1);
            let alone = first >= rows.start && end == first + VECTOR_ROWS as u64;
            if alone && blocks.times(at)?.start > bound {
                profile.vectors_skipped += self.columns.len() as u64;
                end = first;
                continue;
            }
            let start = rows.start.max(first);
            let offset = |row: u64| usize::try_from(row - first).unwrap_or(0);
            let part = offset(start)..offset(end);
            if let Values::I64(times) = &self.known(0, vector, &mut blocks, profile)?.values {
                let below = times[part.clone()].partition_point(|t| *t <= bound);
                if let Some(at) = below.checked_sub(1) {
                    return Ok(Some((times[part.start + at], start + at as u64)));
                }
            }
            end = start;
        }
        Ok(None)
    }

    /// The vector that has row `row` of a column (0: time), and which row of it that is.
    pub(super) fn value(
        &mut self,
        column: usize,
        row: u64,
        profile: &mut Profile,
    ) -> Result<(&Column, usize)> {
        let vector = row / VECTOR_ROWS as u64;
        let at = usize::try_from(row % VECTOR_ROWS as u64).unwrap_or(0);
        if self.columns[column].number != vector {
            let open = self.open.clone();
            let mut blocks = GroupBlocks::new(&open, place(vector).0, self.columns.len() - 1);
            self.known(column, vector, &mut blocks, profile)?;
        }
        Ok((&self.columns[column].values, at))
    }

    /// A vector of a column, decoded if it is not the one that was last.
    fn known(
        &mut self,
        column: usize,
        vector: u64,
        blocks: &mut GroupBlocks<'_>,
        profile: &mut Profile,
    ) -> Result<&Column> {
        if self.columns[column].number != vector {
            let known = &mut self.columns[column];
            known.number = u64::MAX;
            let mut values = std::mem::replace(&mut known.values, Column::new(FieldType::I64));
            values.clear();
            let decoded = self.decode(column, vector, blocks, &mut values, profile);
            self.columns[column].values = values;
            decoded?;
            self.columns[column].number = vector;
        }
        Ok(&self.columns[column].values)
    }

    /// Appends a vector of a column; nulls, if the segment does not have the field.
    fn decode(
        &mut self,
        column: usize,
        vector: u64,
        blocks: &mut GroupBlocks<'_>,
        out: &mut Column,
        profile: &mut Profile,
    ) -> Result<()> {
        let KnownVector {
            field,
            dictionary,
            block,
            ..
        } = &mut self.columns[column];
        let (_, at) = place(vector);
        match blocks.block(column, *field, block, profile)? {
            Some(block) => {
                profile.vectors_decoded += 1;
                block
                    .decode(at, dictionary.as_deref(), out)
                    .map_err(|e| self.open.damaged(e))
            }
            None => {
                let start = vector * VECTOR_ROWS as u64;
                let left = self.open.root().rows.saturating_sub(start);
                let rows = usize::try_from(left)
                    .unwrap_or(VECTOR_ROWS)
                    .min(VECTOR_ROWS);
                (0..rows).for_each(|_| out.push_null());
                Ok(())
            }
        }
    }
}

/// The rows of `rows` whose times, which ascend, lie in `range`.
pub(super) fn within(times: &Column, rows: Range<usize>, range: TimeRange) -> (usize, usize) {
    let Values::I64(times) = &times.values else {
        return (rows.start, rows.start);
    };
    let times = &times[rows.clone()];
    let from = times.partition_point(|t| *t < range.start);
    let to = times.partition_point(|t| *t <= range.end).max(from);
    (rows.start + from, rows.start + to)
}
