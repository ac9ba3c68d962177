//! The vectors of a segment as a fold goes through them: whose rows, statistics, values.

use std::sync::Arc;

use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::stats::{ColumnStats, VectorStats};
use tidestone_format::column::Column;
use tidestone_format::segment::SeriesPage;
use tidestone_format::{FieldId, FieldType, SeriesId, TimeRange};

use super::plan::Plan;
use crate::error::{Error, Result};
use crate::query::Profile;
use crate::query::read::{GroupBlocks, place};
use crate::store::{HeldBlock, Holding, OpenSegment};

/// The rows of a series in a vector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) series: SeriesId,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Of all its rows in the segment.
    pub(super) times: TimeRange,
}

/// A place among the series of a segment.
#[derive(Debug)]
pub(super) struct SeriesAt<'a> {
    open: &'a OpenSegment,
    number: usize,
    page: Arc<SeriesPage>,
    at: usize,
}

impl<'a> SeriesAt<'a> {
    /// At the series of a row.
    pub(super) fn find(open: &'a OpenSegment, row: u64) -> Result<Self> {
        let pages = &open.root().series_pages;
        let number = pages.partition_point(|p| p.first_row <= row);
        let number = number.saturating_sub(1);
        let page = open.series_page(number)?;
        let at = page.series_of_row(row).unwrap_or(0);
        Ok(Self {
            open,
            number,
            page,
            at,
        })
    }

    /// The parts of the rows `row..end` of the vector that starts at row `first`; the place moves
    /// to the series of row `end`.
    pub(super) fn parts(
        &mut self,
        mut row: u64,
        end: u64,
        first: u64,
        parts: &mut Vec<Part>,
    ) -> Result<()> {
        parts.clear();
        let offset = |row: u64| usize::try_from(row - first).unwrap_or(0);
        while row < end {
            let Some(series) = self.page.rows(self.at) else {
                self.number += 1;
                if self.number >= self.open.root().series_pages.len() {
                    let message = format!("no series has row {row}");
                    return Err(Error::corrupt(self.open.path(), 0, message));
                }
                self.page = self.open.series_page(self.number)?;
                self.at = 0;
                continue;
            };
            let to = series.rows.end.min(end);
            parts.push(Part {
                series: series.id,
                from: offset(row),
                to: offset(to),
                times: series.times,
            });
            if to == series.rows.end {
                self.at += 1;
            }
            row = to;
        }
        Ok(())
    }
}

/// The vectors of time and fields that are being folded.
pub(super) struct Vectors<'a> {
    open: &'a OpenSegment,
    blocks: GroupBlocks<'a>,
    /// Number within the row group.
    at: usize,
    number: u64,
    /// Time, then the fields.
    columns: Vec<VectorColumn>,
}

#[derive(Debug)]
struct VectorColumn {
    field: FieldId,
    dictionary: Option<Arc<Dictionary>>,
    /// Of the row group; the inner `None`: the segment does not have the field.
    stats: Option<Option<Arc<ColumnStats>>>,
    /// The vector that `values` holds.
    number: u64,
    values: Column,
    /// The block that was read last, where that is held.
    block: HeldBlock,
}

impl<'a> Vectors<'a> {
    pub(super) fn new(open: &'a OpenSegment, plan: &Plan) -> Result<Self> {
        let holding = Holding::default();
        let time = std::iter::once((FieldId::TIME, FieldType::I64));
        let fields = plan.fields.iter().map(|(f, _)| (f.id, f.field_type));
        let columns = time.chain(fields).map(|(field, field_type)| {
            Ok(VectorColumn {
                field,
                dictionary: open.dictionary(field)?,
                stats: None,
                number: u64::MAX,
                values: Column::new(field_type),
                block: HeldBlock::new(&holding),
            })
        });
        Ok(Self {
            open,
            blocks: GroupBlocks::new(open, usize::MAX, plan.fields.len()),
            at: 0,
            number: u64::MAX,
            columns: columns.collect::<Result<_>>()?,
        })
    }

    /// Goes to a vector of the segment.
    pub(super) fn go_to(&mut self, vector: u64) {
        let (group, at) = place(vector);
        if self.blocks.group() != group {
            self.blocks = GroupBlocks::new(self.open, group, self.columns.len() - 1);
            self.columns.iter_mut().for_each(|c| c.stats = None);
        }
        (self.at, self.number) = (at, vector);
    }

    /// First and last timestamp of the vector.
    pub(super) fn times(&mut self) -> Result<TimeRange> {
        self.blocks.times(self.at)
    }

    /// The statistics of field number `field`; `None`: the segment does not have it.
    pub(super) fn stats(&mut self, field: usize) -> Result<Option<VectorStats>> {
        let column = &mut self.columns[field + 1];
        let stats = match &column.stats {
            Some(stats) => stats,
            None => {
                let stats = self.open.stats(self.blocks.group(), column.field)?;
                column.stats.insert(stats)
            }
        };
        let stats = stats.as_ref().and_then(|s| s.vectors().get(self.at));
        Ok(stats.copied())
    }

    /// Decodes the vector of a column (0: time; fields follow), unless it was just decoded; `false`
    /// if the segment does not have the field.
    pub(super) fn decode(&mut self, column: usize, profile: &mut Profile) -> Result<bool> {
        let known = &mut self.columns[column];
        if known.number == self.number {
            return Ok(true);
        }
        let (field, held) = (known.field, &mut known.block);
        let Some(block) = self.blocks.block(column, field, held, profile)? else {
            return Ok(false);
        };
        known.values.clear();
        known.number = u64::MAX;
        block
            .decode(self.at, known.dictionary.as_deref(), &mut known.values)
            .map_err(|e| self.open.damaged(e))?;
        known.number = self.number;
        profile.vectors_decoded += 1;
        Ok(true)
    }

    /// What was decoded of a column.
    pub(super) fn column(&self, column: usize) -> &Column {
        &self.columns[column].values
    }

    /// Takes what was decoded of a column; to be put back.
    pub(super) fn take_column(&mut self, column: usize) -> Column {
        std::mem::replace(
            &mut self.columns[column].values,
            Column::new(FieldType::Bool),
        )
    }

    /// Puts back what was taken.
    pub(super) fn put_column(&mut self, column: usize, values: Column) {
        self.columns[column].values = values;
    }
}
