//! One sorted run that a scan reads: a segment or a chunk of the head.

use std::ops::Range;
use std::sync::Arc;

use tidestone_format::column::Column;
use tidestone_format::log::Tombstone;
use tidestone_format::schema::Field;
use tidestone_format::{SeriesId, TimeRange, Timestamp};

use super::hides;
use super::segment::SegmentCursor;
use super::{Input, InputRun};
use crate::error::Result;
use crate::rows::{AtOnce, Rows};
use crate::store::Holding;

/// A run, read series by series.
#[derive(Debug)]
pub(crate) struct Source {
    run: Run,
    range: TimeRange,
    tombstones: Vec<Arc<Tombstone>>,
}

#[derive(Debug)]
enum Run {
    Segment(Box<SegmentCursor>),
    Chunk { rows: Arc<Rows>, at: usize },
}

/// The rows of one series of a source that are still to be read.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    rows: Range<u64>,
    /// No row is earlier.
    pub(super) start: Timestamp,
}

impl Part {
    pub(crate) fn is_done(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Source {
    /// A source whose blocks count among what is held.
    pub(crate) fn new(input: &Input, holding: &Holding) -> Self {
        let run = match &input.run {
            InputRun::Segment(segment) => {
                let cursor = SegmentCursor::new(segment.clone(), holding);
                Run::Segment(Box::new(cursor))
            }
            InputRun::Chunk(rows) => Run::Chunk {
                rows: rows.clone(),
                at: 0,
            },
        };
        Self {
            run,
            range: input.range,
            tombstones: input.tombstones.clone(),
        }
    }

    /// The next series that is wanted, without taking it.
    pub(crate) fn peek(&mut self, wanted: Option<&[SeriesId]>) -> Result<Option<SeriesId>> {
        loop {
            let next = match &mut self.run {
                Run::Segment(cursor) => cursor.peek()?.map(|s| s.id),
                Run::Chunk { rows, at } => rows.series.get(*at).copied(),
            };
            let (Some(series), Some(wanted)) = (next, wanted) else {
                return Ok(next);
            };
            let place = wanted.partition_point(|w| *w < series);
            match wanted.get(place) {
                None => return Ok(None),
                Some(w) if *w == series => return Ok(Some(series)),
                Some(w) => self.skip_to(*w)?,
            }
        }
    }

    /// Goes forward to the first series that is not below `series`.
    fn skip_to(&mut self, series: SeriesId) -> Result<()> {
        match &mut self.run {
            Run::Segment(cursor) => cursor.skip_to(series),
            Run::Chunk { rows, at } => {
                *at += rows.series[*at..].partition_point(|s| *s < series);
                Ok(())
            }
        }
    }

    /// Takes a series, if it is the next one; the part is read with [`Source::read`].
    pub(crate) fn take(&mut self, series: SeriesId) -> Result<Option<Part>> {
        match &mut self.run {
            Run::Segment(cursor) => {
                let Some(next) = cursor.peek()?.filter(|s| s.id == series) else {
                    return Ok(None);
                };
                cursor.advance();
                let rows = if next.times.overlaps(&self.range) {
                    next.rows
                } else {
                    0..0
                };
                let start = next.times.start.max(self.range.start);
                Ok(Some(Part { rows, start }))
            }
            Run::Chunk { rows, at } => {
                if rows.series.get(*at) != Some(&series) {
                    return Ok(None);
                }
                let len = rows.series[*at..].partition_point(|s| *s == series);
                let (rows, of_series) = (rows.clone(), *at..*at + len);
                *at += len;
                Ok(Some(self.part_of_chunk(&rows, of_series)))
            }
        }
    }

    /// The wanted part of the rows `rows`, which are of one series; none of them that is wanted is
    /// earlier than `start`.
    pub(super) fn part(&self, rows: Range<u64>, start: Timestamp) -> Part {
        match &self.run {
            Run::Segment(_) => Part { rows, start },
            Run::Chunk { rows: chunk, .. } => {
                let number = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
                self.part_of_chunk(chunk, number(rows.start)..number(rows.end))
            }
        }
    }

    fn part_of_chunk(&self, chunk: &Rows, rows: Range<usize>) -> Part {
        let times = &chunk.times[rows.clone()];
        let from = rows.start + times.partition_point(|t| *t < self.range.start);
        let to = rows.start + times.partition_point(|t| *t <= self.range.end);
        Part {
            rows: from as u64..to.max(from) as u64,
            start: chunk.times.get(from).copied().unwrap_or(self.range.start),
        }
    }

    /// Reads on in a part, about as much as is to be read at once: rows of the range that no
    /// tombstone hides. There may be none although the part is not done.
    pub(crate) fn read(
        &mut self,
        series: SeriesId,
        part: &mut Part,
        fields: &[Field],
        at_once: AtOnce,
    ) -> Result<Rows> {
        let rows = match &mut self.run {
            Run::Segment(cursor) => {
                cursor.read(series, &mut part.rows, self.range, fields, at_once)?
            }
            Run::Chunk { rows, .. } => {
                let end = part.rows.end.min(part.rows.start + at_once.rows as u64);
                let from = usize::try_from(part.rows.start).unwrap_or(usize::MAX);
                let to = usize::try_from(end).unwrap_or(usize::MAX);
                part.rows.start = end;
                slice(rows, from, to, fields)
            }
        };
        if self.tombstones.is_empty() {
            return Ok(rows);
        }
        Ok(rows.retain(|series, time| !self.tombstones.iter().any(|t| hides(t, series, time))))
    }
}

/// The rows `from..to`, with the columns of `fields`.
fn slice(rows: &Rows, from: usize, to: usize, fields: &[Field]) -> Rows {
    let columns = fields
        .iter()
        .map(|field| {
            let column = match rows.column(field.id) {
                Some(column) => {
                    let mut part = Column::new(field.field_type);
                    part.extend_from(column, from, to);
                    part
                }
                None => Column::nulls(field.field_type, to - from),
            };
            (field.id, column)
        })
        .collect();
    Rows {
        series: rows.series[from..to].to_vec(),
        times: rows.times[from..to].to_vec(),
        columns,
    }
}
