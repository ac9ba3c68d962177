//! Rows, streamed.

use std::sync::Arc;

use tidestone_format::schema::Field;
use tidestone_format::{Lsn, SeriesId, SeriesKey};

use super::ahead::Ahead;
use super::batch::Enough;
use super::by_series::{BySeries, Wish};
use super::by_time::ByTime;
use super::{Cancellation, Order, Profile, Query, RowBatch, plan};
use crate::catalog::{TableCore, no_series};
use crate::engine::Engine;
use crate::error::Result;
use crate::scan::Hold;

/// Rows of a batch: enough that what a batch costs does not count, and a few columns stay in cache.
pub(super) const BATCH_ROWS: usize = 16_384;

/// The rows of a query, of one snapshot: an iterator over batches that holds a few of them at a
/// time.
///
/// After an error the stream has ended.
pub struct RowStream {
    engine: Arc<Engine>,
    table: Arc<TableCore>,
    fields: Arc<[Field]>,
    rows: Ordered,
    /// Rows that may still be given.
    left: usize,
    lsn: Lsn,
    cancellation: Cancellation,
    failed: bool,
    profile: Profile,
    /// The keys of the series it gives are known, and its files are there, as long as it lasts.
    _hold: Hold,
}

/// Below so many rows no threads are started.
const ALONE_ROWS: usize = 4 * BATCH_ROWS;

enum Ordered {
    BySeries(Box<BySeries>),
    Ahead(Box<Ahead>),
    ByTime(Box<ByTime>),
}

impl std::fmt::Debug for RowStream {
    /// What it is a stream of, and no rows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowStream")
            .field("table", &self.table.name)
            .field("lsn", &self.lsn)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl RowStream {
    pub(super) fn new(query: &Query) -> Result<Self> {
        let snapshot = query.snapshot()?;
        let fields = query.fields_of(&snapshot.table.schema)?;
        let wanted = query.series()?;
        let mut profile = Profile {
            series_selected: wanted.as_ref().map_or(0, |w| w.len() as u64),
            ..Profile::default()
        };
        let inputs = plan::inputs(&snapshot, query.range, &mut profile);
        let policy = snapshot.table.schema.settings.policy;
        let many = query.limit.is_none_or(|limit| limit > ALONE_ROWS);
        let wish = Wish {
            table: query.table.clone(),
            inputs: inputs.into(),
            fields: fields.clone(),
            policy,
            wanted,
            cancellation: query.cancellation.clone(),
        };
        let rows = match query.order {
            Order::SeriesTime if query.threads > 1 && many => {
                Ordered::Ahead(Box::new(Ahead::new(wish, query.team())))
            }
            Order::SeriesTime => Ordered::BySeries(Box::new(BySeries::new(wish))),
            order => Ordered::ByTime(Box::new(ByTime::new(wish, order, query.limit))),
        };
        Ok(Self {
            engine: query.engine.clone(),
            table: query.table.clone(),
            fields,
            rows,
            left: query.limit.unwrap_or(usize::MAX),
            cancellation: query.cancellation.clone(),
            lsn: snapshot.lsn,
            failed: false,
            profile,
            _hold: snapshot.hold,
        })
    }

    /// The last commit the answer sees: it holds all rows at or below this LSN, and none above.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The fields of the batches.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The tags of a series.
    ///
    /// # Errors
    /// There is no such series, the table was dropped since, or the index could not be read.
    pub fn key(&self, series: SeriesId) -> Result<SeriesKey> {
        let mut keys = self.look_up(&[series])?;
        let key = keys.pop().flatten();
        key.ok_or_else(|| no_series(&self.table.name, series))
    }

    /// The tags of some series of the answer, in the same order.
    #[cfg(feature = "arrow")]
    pub(crate) fn keys(&self, series: &[SeriesId]) -> Result<Vec<SeriesKey>> {
        let keys = self.look_up(series)?.into_iter().zip(series);
        keys.map(|(key, id)| key.ok_or_else(|| no_series(&self.table.name, *id)))
            .collect()
    }

    fn look_up(&self, series: &[SeriesId]) -> Result<Vec<Option<SeriesKey>>> {
        let keys = self.engine.series.keys(self.table.id, series);
        self.engine.check_is_there(&self.table)?;
        keys
    }

    /// The names of the tags that series of the table have, sorted: of all series of the answer, none of
    /// which is forgotten as long as it lasts.
    #[cfg(feature = "arrow")]
    pub(crate) fn tag_names(&self) -> Result<Vec<String>> {
        let names = self.engine.series.tag_names(self.table.id);
        self.engine.check_is_there(&self.table)?;
        names
    }

    /// What the stream has read so far.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Calls `each` with every batch left. The batches are one and the same, filled anew, so that
    /// no memory is taken for each: the fastest way to go through many rows.
    ///
    /// ```
    /// # use tidestone::*;
    /// # fn sum(table: &Table) -> Result<f64> {
    /// let mut sum = 0.0;
    /// table.query().fields(&["usage"]).scan()?.visit(|batch| {
    ///     if let Values::F64(values) = &batch.columns()[0].values {
    ///         sum += values.iter().sum::<f64>();
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok(sum) }
    /// ```
    ///
    /// # Errors
    /// A file cannot be read, or is damaged; or `each` failed.
    pub fn visit(&mut self, mut each: impl FnMut(&RowBatch) -> Result<()>) -> Result<()> {
        let mut batch = RowBatch::new(self.table.clone(), self.fields.clone());
        while self.read(&mut batch)? {
            each(&batch)?;
        }
        Ok(())
    }

    /// Fills a batch with the next rows, in the memory it has; `false` at the end.
    fn read(&mut self, batch: &mut RowBatch) -> Result<bool> {
        batch.clear();
        if self.left == 0 || self.failed {
            return Ok(false);
        }
        let target = Enough::rows(BATCH_ROWS.min(self.left));
        let filled = self
            .cancellation
            .check()
            .and_then(|()| match &mut self.rows {
                Ordered::BySeries(rows) => rows.fill(batch, target, &mut self.profile),
                Ordered::Ahead(rows) => rows.fill(batch, &mut self.profile),
                Ordered::ByTime(rows) => rows.fill(batch, target, &mut self.profile),
            });
        filled.inspect_err(|_| self.failed = true)?;
        batch.truncate(self.left);
        self.left -= batch.len();
        self.profile.rows += batch.len() as u64;
        Ok(!batch.is_empty())
    }
}

impl Iterator for RowStream {
    type Item = Result<RowBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = RowBatch::new(self.table.clone(), self.fields.clone());
        match self.read(&mut batch) {
            Ok(true) => Some(Ok(batch)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
