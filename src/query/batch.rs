//! Rows as queries give them: columns, and whose they are.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use tidestone_format::column::Column;
use tidestone_format::schema::Field;
use tidestone_format::{SeriesId, Timestamp};

use crate::catalog::TableCore;
use crate::rows::TEXT_AT_ONCE;
use crate::value::Value;

/// Rows of a table: a column of times, one of each field asked for, and the series in runs.
///
/// Batches are equal that hold the same, whichever database they are from.
#[derive(Clone)]
pub struct RowBatch {
    /// What gave the series their ids: to another table they say nothing.
    table: Arc<TableCore>,
    fields: Arc<[Field]>,
    runs: Vec<SeriesRun>,
    pub(super) times: Vec<Timestamp>,
    pub(super) columns: Vec<Column>,
}

/// Consecutive rows of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRun {
    /// The series.
    pub series: SeriesId,
    /// Its rows in the batch.
    pub rows: Range<usize>,
}

/// How much a batch is to hold: one of both is enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Enough {
    pub(super) rows: usize,
    /// Bytes of strings.
    pub(super) text: usize,
}

impl Enough {
    /// So many rows, or as much text as is read at a time.
    pub(super) fn rows(rows: usize) -> Self {
        let text = TEXT_AT_ONCE;
        Self { rows, text }
    }
}

impl fmt::Debug for RowBatch {
    /// The rows, and of the table its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowBatch")
            .field("table", &self.table.name)
            .field("fields", &self.fields)
            .field("runs", &self.runs)
            .field("times", &self.times)
            .field("columns", &self.columns)
            .finish()
    }
}

impl PartialEq for RowBatch {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
            && self.runs == other.runs
            && self.times == other.times
            && self.columns == other.columns
    }
}

impl RowBatch {
    pub(super) fn new(table: Arc<TableCore>, fields: Arc<[Field]>) -> Self {
        let columns = fields.iter().map(|f| Column::new(f.field_type)).collect();
        Self {
            table,
            fields,
            runs: Vec::new(),
            times: Vec::new(),
            columns,
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The timestamps, one a row.
    pub fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// The fields asked for, in that order; those of the table if none were.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The columns, one a field, in the order of [`RowBatch::fields`].
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of a field.
    pub fn column(&self, field: &str) -> Option<&Column> {
        let at = self.fields.iter().position(|f| f.name == field)?;
        self.columns.get(at)
    }

    /// Whose the rows are: runs that follow each other and cover every row.
    pub fn runs(&self) -> &[SeriesRun] {
        &self.runs
    }

    /// The series of a row; [`Table::key_of`](crate::Table::key_of) tells its tags.
    ///
    /// # Panics
    /// `row` is out of bounds.
    pub fn series(&self, row: usize) -> SeriesId {
        let at = self.runs.partition_point(|r| r.rows.end <= row);
        self.runs[at].series
    }

    /// The value of column `column` in row `row`.
    ///
    /// # Panics
    /// Either is out of bounds.
    pub fn value(&self, row: usize, column: usize) -> Value<'_> {
        Value::of_column(&self.columns[column], row)
    }

    /// The table that the rows are of.
    #[cfg(feature = "arrow")]
    pub(crate) fn table(&self) -> &Arc<TableCore> {
        &self.table
    }

    /// Its fields, whose the rows are, their times, and the columns of the fields.
    #[cfg(feature = "arrow")]
    pub(crate) fn into_parts(self) -> (Arc<[Field]>, Vec<SeriesRun>, Vec<Timestamp>, Vec<Column>) {
        (self.fields, self.runs, self.times, self.columns)
    }

    /// Whether it has as many rows, or as much text, as is wanted.
    pub(super) fn is_full(&self, enough: Enough) -> bool {
        self.len() >= enough.rows || self.text_len() >= enough.text
    }

    /// Bytes of all strings.
    pub(super) fn text_len(&self) -> usize {
        self.columns.iter().map(|c| c.values.text_len()).sum()
    }

    /// One without rows, for rows of the same table and fields.
    pub(super) fn without_rows(&self) -> Self {
        Self::new(self.table.clone(), self.fields.clone())
    }

    /// Forgets all rows and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.times.clear();
        self.columns.iter_mut().for_each(Column::clear);
    }

    /// Says whose the rows are that have been added since the last call.
    pub(super) fn close_run(&mut self, series: SeriesId) {
        let start = self.runs.last().map_or(0, |r| r.rows.end);
        let end = self.times.len();
        if start == end {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if last.series == series => last.rows.end = end,
            _ => self.runs.push(SeriesRun {
                series,
                rows: start..end,
            }),
        }
    }

    /// Forgets the rows from `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        self.times.truncate(len);
        self.runs.retain(|r| r.rows.start < len);
        if let Some(last) = self.runs.last_mut() {
            last.rows.end = len;
        }
        for column in &mut self.columns {
            let mut kept = Column::new(column.values.field_type());
            kept.extend_from(column, 0, len);
            *column = kept;
        }
    }

    /// Appends rows of another batch with the same fields, in the order given.
    pub(super) fn pick(&mut self, other: &RowBatch, order: &[usize]) {
        let mut of_row = Vec::with_capacity(other.len());
        for run in &other.runs {
            of_row.resize(run.rows.end, run.series);
        }
        for &row in order {
            self.times.push(other.times[row]);
            self.close_run(of_row[row]);
        }
        for (column, theirs) in self.columns.iter_mut().zip(&other.columns) {
            for &row in order {
                column.push_from(theirs, row);
            }
        }
    }

    /// Appends rows of another batch with the same fields.
    pub(super) fn extend_from(&mut self, other: &RowBatch, rows: Range<usize>) {
        let mut at = other.runs.partition_point(|r| r.rows.end <= rows.start);
        let mut from = rows.start;
        while from < rows.end {
            let run = &other.runs[at];
            let to = run.rows.end.min(rows.end);
            self.times.extend_from_slice(&other.times[from..to]);
            self.close_run(run.series);
            (from, at) = (to, at + 1);
        }
        for (column, theirs) in self.columns.iter_mut().zip(&other.columns) {
            column.extend_from(theirs, rows.start, rows.end);
        }
    }
}
