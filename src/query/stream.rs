//! Rows, streamed.

use std::sync::Arc;

use tidestone_format::schema::Field;
use tidestone_format::{SeriesId, SeriesKey, TableId};

use super::{Profile, Query, RowBatch};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::rows::Rows;
use crate::scan::{Request, Scan};

/// The rows of a query, of one snapshot: an iterator over batches that holds a few of them at a
/// time.
///
/// After an error the stream has ended.
#[derive(Debug)]
pub struct RowStream {
    engine: Arc<Engine>,
    table: TableId,
    fields: Arc<[Field]>,
    scan: Scan,
    /// Rows that may still be given.
    left: usize,
    failed: bool,
    profile: Profile,
}

impl RowStream {
    pub(super) fn new(query: &Query) -> Result<Self> {
        let snapshot = query.snapshot()?;
        let fields = query.fields_of(&snapshot.table.schema)?;
        let mut ascending = fields.to_vec();
        ascending.sort_by_key(|f| f.id);
        let request = Request {
            fields: ascending.into(),
            range: query.range,
            series: query.series()?,
        };
        Ok(Self {
            engine: query.engine.clone(),
            table: query.table.id,
            fields,
            scan: Scan::of_snapshot(&snapshot, request)?,
            left: query.limit.unwrap_or(usize::MAX),
            failed: false,
            profile: Profile::default(),
        })
    }

    /// The fields of the batches.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The tags of a series.
    ///
    /// # Errors
    /// There is no such series, or the index could not be read.
    pub fn key(&self, series: SeriesId) -> Result<SeriesKey> {
        let mut keys = self.engine.series.keys(self.table, &[series])?;
        keys.pop()
            .flatten()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no series {series}")))
    }

    /// What the stream has read so far.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Fills a batch with the next rows, in the memory it has; `false` at the end.
    ///
    /// # Errors
    /// A file cannot be read, or is damaged.
    fn read(&mut self, batch: &mut RowBatch) -> Result<bool> {
        batch.clear();
        if self.left == 0 || self.failed {
            return Ok(false);
        }
        let next = self.scan.next().inspect_err(|_| self.failed = true)?;
        let Some(rows) = next else {
            return Ok(false);
        };
        append(batch, &rows);
        batch.truncate(self.left);
        self.left -= batch.len();
        self.profile.rows += batch.len() as u64;
        Ok(true)
    }
}

impl Iterator for RowStream {
    type Item = Result<RowBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = RowBatch::new(self.fields.clone());
        match self.read(&mut batch) {
            Ok(true) => Some(Ok(batch)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// Appends rows of a scan.
fn append(batch: &mut RowBatch, rows: &Rows) {
    for same in rows.series.chunk_by(|a, b| a == b) {
        let from = batch.len();
        batch
            .times
            .extend_from_slice(&rows.times[from..from + same.len()]);
        batch.close_run(same[0]);
    }
    let fields = batch.fields().to_vec();
    for (column, field) in batch.columns.iter_mut().zip(&fields) {
        match rows.column(field.id) {
            Some(values) => column.extend_from(values, 0, values.len()),
            None => (0..rows.len()).for_each(|_| column.push_null()),
        }
    }
}
