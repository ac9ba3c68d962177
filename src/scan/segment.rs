//! Reading a segment series by series.

use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::column::{Column, Values};
use tidestone_format::schema::Field;
use tidestone_format::segment::{Block, SeriesPage, SeriesRows};
use tidestone_format::version::{GROUP_VECTORS, VECTOR_ROWS};
use tidestone_format::{FieldId, FieldType, SeriesId, TimeRange};

use crate::error::Result;
use crate::rows::{AtOnce, Rows};
use crate::store::{HeldBlock, Holding, OpenSegment, Segment};

/// Bytes of strings of a vector that is decoded as a whole.
const LONG_TEXT: usize = 64 << 10;

/// A place in a segment: the next series, and the vectors decoded last (small series share them).
#[derive(Debug)]
pub(super) struct SegmentCursor {
    segment: Arc<Segment>,
    page: usize,
    at: usize,
    /// The page with number `page`, once it was looked into.
    loaded: Option<Arc<SeriesPage>>,
    /// There are no more pages.
    ended: bool,
    /// The vector read last, of each field.
    vectors: FxHashMap<FieldId, Decoded>,
    /// The dictionary used last, while rows are read: it may be too large for the cache.
    dictionary: Option<(FieldId, Option<Arc<Dictionary>>)>,
    /// Of the blocks that the vectors are in.
    holding: Holding,
}

/// A vector of a field.
#[derive(Debug)]
struct Decoded {
    number: u64,
    /// Its rows; none of a long one.
    rows: Column,
    /// It has so much text that it is decoded a few rows at a time.
    is_long: bool,
    /// The block it is in, where that is held.
    block: HeldBlock,
}

impl SegmentCursor {
    pub(super) fn new(segment: Arc<Segment>, holding: &Holding) -> Self {
        Self {
            segment,
            page: 0,
            at: 0,
            loaded: None,
            ended: false,
            vectors: FxHashMap::default(),
            dictionary: None,
            holding: holding.clone(),
        }
    }

    /// The next series.
    pub(super) fn peek(&mut self) -> Result<Option<SeriesRows>> {
        while !self.ended {
            let page = match &self.loaded {
                Some(page) => page,
                None => {
                    let open = self.segment.open()?;
                    if self.page >= open.root().series_pages.len() {
                        self.ended = true;
                        break;
                    }
                    self.loaded.insert(open.series_page(self.page)?)
                }
            };
            if let Some(rows) = page.rows(self.at) {
                return Ok(Some(rows));
            }
            self.go_to_page(self.page + 1);
        }
        Ok(None)
    }

    /// Goes past the next series.
    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    /// Goes forward to the first series that is not below `series`.
    pub(super) fn skip_to(&mut self, series: SeriesId) -> Result<()> {
        let open = self.segment.open()?;
        let pages = &open.root().series_pages;
        let page = pages.partition_point(|p| p.last_series < series);
        if page > self.page {
            self.go_to_page(page);
        }
        if self.peek()?.is_none() {
            return Ok(());
        }
        if let Some(page) = &self.loaded {
            while page.id(self.at).is_some_and(|id| id < series) {
                let rest = page.len() - self.at;
                // Galloping would save little: pages have at most 1,024 series.
                self.at += if page.id(self.at + rest / 2).is_some_and(|id| id < series) {
                    rest / 2 + 1
                } else {
                    1
                };
            }
        }
        Ok(())
    }

    fn go_to_page(&mut self, page: usize) {
        (self.page, self.at, self.loaded) = (page, 0, None);
    }

    /// Reads some of the rows `left` of a series, about as many as `at_once` says, those in `range`,
    /// and moves the start of `left` behind what was looked at.
    pub(super) fn read(
        &mut self,
        series: SeriesId,
        left: &mut Range<u64>,
        range: TimeRange,
        fields: &[Field],
        at_once: AtOnce,
    ) -> Result<Rows> {
        let columns = fields
            .iter()
            .map(|f| (f.id, Column::new(f.field_type)))
            .collect();
        let mut out = Rows {
            series: Vec::new(),
            times: Vec::new(),
            columns,
        };
        let open = self.segment.open()?;
        let whole = left.clone();
        while !left.is_empty() && !out.are_enough(at_once) {
            let vector = left.start / VECTOR_ROWS as u64;
            let first = vector * VECTOR_ROWS as u64;
            let end = left.end.min(first + VECTOR_ROWS as u64);
            let from = usize::try_from(left.start - first).unwrap_or(0);
            let to = usize::try_from(end - first).unwrap_or(0);
            left.start = end;
            if open.is_given_up(place(vector).0) {
                continue;
            }
            let inside = whole.start <= first && end == first + VECTOR_ROWS as u64;
            if inside && !may_overlap(&open, vector, range)? {
                continue;
            }
            let text = at_once.text.saturating_sub(out.text());
            let to = self.within_text(&open, vector, from..to, fields, text)?;
            left.start = first + to as u64;
            let (from, to) = self.append_times(&open, vector, from..to, range, &mut out.times)?;
            for (column, field) in out.columns.iter_mut().zip(fields) {
                self.append_values(&open, vector, from..to, field, &mut column.1)?;
            }
        }
        self.dictionary = None;
        out.series.resize(out.times.len(), series);
        Ok(out)
    }

    /// Appends the times of the rows of a vector that lie in `range`, and says which rows they are.
    fn append_times(
        &mut self,
        open: &OpenSegment,
        vector: u64,
        rows: Range<usize>,
        range: TimeRange,
        out: &mut Vec<i64>,
    ) -> Result<(usize, usize)> {
        let decoded = self.vector(open, vector, FieldId::TIME, FieldType::I64)?;
        let Values::I64(times) = &decoded.rows.values else {
            return Ok((rows.start, rows.start));
        };
        let times = &times[rows.clone()];
        let from = times.partition_point(|t| *t < range.start);
        let to = times.partition_point(|t| *t <= range.end).max(from);
        out.extend_from_slice(&times[from..to]);
        Ok((rows.start + from, rows.start + to))
    }

    fn append_values(
        &mut self,
        open: &OpenSegment,
        vector: u64,
        rows: Range<usize>,
        field: &Field,
        out: &mut Column,
    ) -> Result<()> {
        if open.root().column(field.id).is_none() {
            rows.for_each(|_| out.push_null());
            return Ok(());
        }
        let decoded = self.vector(open, vector, field.id, field.field_type)?;
        if !decoded.is_long {
            out.extend_from(&decoded.rows, rows.start, rows.end);
            return Ok(());
        }
        let (group, at) = place(vector);
        let dictionary = self.dictionary(open, field.id)?;
        if let Some(block) = self.block(open, group, field.id)? {
            block
                .decode_string_rows(at, rows, dictionary.as_deref(), out)
                .map_err(|e| open.damaged(e))?;
        }
        Ok(())
    }

    /// The end of those of the rows `rows` of a vector whose strings take at most `text` bytes, where
    /// it is long; at least one of them.
    fn within_text(
        &mut self,
        open: &OpenSegment,
        vector: u64,
        rows: Range<usize>,
        fields: &[Field],
        text: usize,
    ) -> Result<usize> {
        let (group, at) = place(vector);
        let mut end = rows.end;
        let strings = fields.iter().filter(|f| f.field_type == FieldType::String);
        for field in strings.filter(|f| open.root().column(f.id).is_some()) {
            if !self
                .vector(open, vector, field.id, field.field_type)?
                .is_long
            {
                continue;
            }
            let dictionary = self.dictionary(open, field.id)?;
            if let Some(block) = self.block(open, group, field.id)? {
                let rows = rows.start..end;
                end = block
                    .string_rows_within(at, rows, text, dictionary.as_deref())
                    .map_err(|e| open.damaged(e))?;
            }
        }
        Ok(end)
    }

    /// A vector, decoded unless it is long; the last one of each field is kept.
    fn vector(
        &mut self,
        open: &OpenSegment,
        vector: u64,
        field: FieldId,
        field_type: FieldType,
    ) -> Result<&Decoded> {
        let known = self.vectors.get(&field).map(|decoded| decoded.number);
        if known != Some(vector) {
            let decoded = self.decode(open, vector, field, field_type)?;
            self.vectors.insert(field, decoded);
        }
        match self.vectors.entry(field) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(Decoded::none(field_type, &self.holding))),
        }
    }

    fn decode(
        &mut self,
        open: &OpenSegment,
        vector: u64,
        field: FieldId,
        field_type: FieldType,
    ) -> Result<Decoded> {
        // What was decoded before gives its memory.
        let before = self.vectors.remove(&field);
        let mut decoded = before.unwrap_or_else(|| Decoded::none(field_type, &self.holding));
        decoded.rows.clear();
        (decoded.number, decoded.is_long) = (vector, false);
        let (group, at) = place(vector);
        let dictionary = self.dictionary(open, field)?;
        if let Some(block) = open.block(group, field, &mut decoded.block)? {
            let dictionary = dictionary.as_deref();
            let damaged = |e| open.damaged(e);
            if field_type == FieldType::String {
                let text = block.text_len(at, dictionary).map_err(damaged)?;
                decoded.is_long = text > LONG_TEXT;
            }
            if !decoded.is_long {
                block
                    .decode(at, dictionary, &mut decoded.rows)
                    .map_err(damaged)?;
            }
        }
        Ok(decoded)
    }

    /// The block of a field of which a vector was looked at.
    fn block<'a>(
        &mut self,
        open: &'a OpenSegment,
        group: usize,
        field: FieldId,
    ) -> Result<Option<Block<'a>>> {
        match self.vectors.get_mut(&field) {
            Some(decoded) => open.block(group, field, &mut decoded.block),
            None => open.block(group, field, &mut HeldBlock::default()),
        }
    }

    /// The dictionary of a field, if it has one.
    fn dictionary(
        &mut self,
        open: &OpenSegment,
        field: FieldId,
    ) -> Result<Option<Arc<Dictionary>>> {
        match &self.dictionary {
            Some((of, dictionary)) if *of == field => Ok(dictionary.clone()),
            _ => {
                let dictionary = open.dictionary(field)?;
                self.dictionary = Some((field, dictionary.clone()));
                Ok(dictionary)
            }
        }
    }
}

impl Decoded {
    fn none(field_type: FieldType, holding: &Holding) -> Self {
        Self {
            number: u64::MAX,
            rows: Column::new(field_type),
            is_long: false,
            block: HeldBlock::new(holding),
        }
    }
}

/// Whether a vector of one series only may have rows in `range`.
fn may_overlap(open: &OpenSegment, vector: u64, range: TimeRange) -> Result<bool> {
    let (group, at) = place(vector);
    let Some(stats) = open.stats(group, FieldId::TIME)? else {
        return Ok(true);
    };
    Ok(match stats.vectors().get(at).map(|v| v.of) {
        Some(tidestone_format::codec::stats::ValueStats::Time { min, max, .. }) => {
            range.overlaps(&TimeRange {
                start: min,
                end: max,
            })
        }
        _ => true,
    })
}

/// Row group and number within it of a vector.
fn place(vector: u64) -> (usize, usize) {
    let vector = usize::try_from(vector).unwrap_or(usize::MAX);
    (vector / GROUP_VECTORS, vector % GROUP_VECTORS)
}
