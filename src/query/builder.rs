//! Saying what is wanted.

use std::sync::Arc;
use std::time::Duration;

use tidestone_format::schema::{Field, TableSchema};
use tidestone_format::{SeriesId, TimeRange, Timestamp};

use super::{Aggregate, AggregateResult, Cancellation, LastRows, RowStream, aggregate, last};
use crate::catalog::{Known, TableCore, no_field};
use crate::engine::{Engine, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::index::TagMatch;
use crate::worker::Team;

/// A question to a table, built step by step; see [`Table::query`](crate::Table::query).
///
/// It holds no rows and no files: each call that answers it takes a snapshot of its own.
#[derive(Debug, Clone)]
#[must_use = "a query does nothing until it is answered"]
pub struct Query {
    pub(super) engine: Arc<Engine>,
    pub(super) table: Arc<TableCore>,
    pub(super) range: TimeRange,
    pub(super) tests: Vec<TagMatch>,
    fields: Option<Vec<String>>,
    pub(super) order: Order,
    pub(super) limit: Option<usize>,
    pub(super) threads: usize,
    pub(super) statistics: bool,
    pub(super) every: Option<Duration>,
    pub(super) group_by: Vec<String>,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) cancellation: Cancellation,
}

/// The order of an answer's rows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By series (in the order they were made), then by time. What files are sorted by: the
    /// cheapest.
    #[default]
    SeriesTime,
    /// By time, then by series.
    Time,
    /// By time, latest first, then by series.
    TimeDescending,
}

impl Query {
    pub(crate) fn new(engine: Arc<Engine>, table: Arc<TableCore>) -> Self {
        let threads = engine.options.query_threads;
        Self {
            engine,
            table,
            range: TimeRange::ALL,
            tests: Vec::new(),
            fields: None,
            order: Order::default(),
            limit: None,
            threads,
            statistics: true,
            every: None,
            group_by: Vec::new(),
            aggregates: Vec::new(),
            cancellation: Cancellation::new(),
        }
    }

    /// Only rows of this span; both ends belong to it. Default: all time.
    pub fn range(mut self, range: TimeRange) -> Self {
        self.range = range;
        self
    }

    /// Only rows at or after `time`.
    pub fn from(mut self, time: Timestamp) -> Self {
        self.range.start = time;
        self
    }

    /// Only rows at or before `time`.
    pub fn to(mut self, time: Timestamp) -> Self {
        self.range.end = time;
        self
    }

    /// Only series that pass this test, and all others that were given. Of a tag that no series has, or none
    /// has any more, [`TagMatch`] tells what becomes.
    pub fn filter(mut self, test: TagMatch) -> Self {
        self.tests.push(test);
        self
    }

    /// Only these fields, in this order. Default: all of the table's.
    pub fn fields<S: AsRef<str>>(mut self, names: &[S]) -> Self {
        self.fields = Some(names.iter().map(|n| n.as_ref().to_owned()).collect());
        self
    }

    /// In this order. Default [`Order::SeriesTime`].
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// At most this many rows, the first in the order asked for. Default: all.
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// On at most this many threads, the caller's among them. Answers do not depend on it.
    /// Default [`Options::query_threads`](crate::Options::query_threads); 0 is taken for 1.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Can be stopped by this, from any thread, while it is answered: it then fails with
    /// [`ErrorKind::Cancelled`]. A stream that is dropped reads no further anyway.
    pub fn cancelled_by(mut self, cancellation: &Cancellation) -> Self {
        self.cancellation = cancellation.clone();
        self
    }

    /// Whether statistics may answer for whole vectors. Default true; false is for measuring and
    /// for checking one against the other.
    pub fn statistics(mut self, use_them: bool) -> Self {
        self.statistics = use_them;
        self
    }

    /// For aggregates: buckets of this length, aligned to 1970. Default: one bucket, the range.
    pub fn every(mut self, length: Duration) -> Self {
        self.every = Some(length);
        self
    }

    /// For aggregates: a group for each set of values that series have for these tags. Default:
    /// all series are one group.
    pub fn group_by<S: AsRef<str>>(mut self, tags: &[S]) -> Self {
        self.group_by = tags.iter().map(|t| t.as_ref().to_owned()).collect();
        self
    }

    /// Adds aggregates; they are the columns of [`Query::buckets`].
    pub fn aggregate(mut self, aggregates: impl IntoIterator<Item = Aggregate>) -> Self {
        self.aggregates.extend(aggregates);
        self
    }

    /// Aggregates by group and bucket: a row for each that has rows, by group (its tags' values)
    /// and bucket, or by bucket and group if [`Order::Time`] was asked for.
    ///
    /// ```
    /// # use tidestone::*;
    /// # use std::time::Duration;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// # let fields = TableOptions::new().field("price", FieldType::F64).field("size", FieldType::I64);
    /// # let table = db.create_table("trades", fields)?;
    /// # let mut writer = db.writer();
    /// # for (symbol, t, price) in [("A", 1, 2.0), ("A", 59, 3.0), ("A", 60, 5.0), ("B", 7, 8.0)] {
    /// #     let series = table.series(&[("symbol", symbol)])?;
    /// #     writer.append(&series, t * 1_000_000_000, &[Value::from(price), Value::from(10)])?;
    /// # }
    /// # drop(writer.commit()?);
    /// let bars = table
    ///     .query()
    ///     .every(Duration::from_secs(60))
    ///     .group_by(&["symbol"])
    ///     .aggregate(Aggregate::ohlcv("price", "size"))
    ///     .aggregate([Aggregate::new(Agg::Mean, "price")])
    ///     .buckets()?;
    /// assert_eq!(bars.len(), 3);
    /// assert_eq!((bars.tag(0, "symbol"), bars.buckets()[0]), (Some("A"), 0));
    /// assert_eq!(bars.column("high").map(|c| Value::of_column(c, 0)), Some(Value::F64(3.0)));
    /// assert_eq!(bars.column("volume").map(|c| Value::of_column(c, 0)), Some(Value::I64(20)));
    /// assert_eq!(bars.value(0, 5), Value::F64(2.5));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Query::scan`]; a bucket's length is zero or more than 292 years; no aggregate is asked
    /// for, or one that the field's type does not have; a sum of integers does not fit their type.
    pub fn buckets(&self) -> Result<AggregateResult> {
        aggregate::run(self)
    }

    /// The rows, streamed in batches.
    ///
    /// ```
    /// # use tidestone::*;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// # let table = db.create_table("cpu", TableOptions::new().field("usage", FieldType::F64))?;
    /// # let host = table.series(&[("host", "a")])?;
    /// # let mut writer = db.writer();
    /// # for t in 0..10 { writer.append(&host, t, &[Value::from(0.5)])?; }
    /// # drop(writer.commit()?);
    /// let mut rows = table
    ///     .query()
    ///     .filter(TagMatch::equal("host", "a"))
    ///     .fields(&["usage"])
    ///     .from(3)
    ///     .limit(5)
    ///     .scan()?;
    /// let batch = rows.next().transpose()?.unwrap();
    /// assert_eq!(batch.times(), [3, 4, 5, 6, 7]);
    /// assert_eq!(batch.value(0, 0), Value::F64(0.5));
    /// assert_eq!(rows.key(batch.series(0))?.get("host"), Some("a"));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// The range starts after it ends; there is no such field or tag (the message names those there
    /// are, of many the nearest); the table was dropped; a file cannot be read.
    pub fn scan(&self) -> Result<RowStream> {
        RowStream::new(self)
    }

    /// The last row of each series in the range: the one with the highest timestamp, whatever its
    /// fields; those that are null in it stay null. One row a series, by series unless another
    /// order was asked for.
    ///
    /// ```
    /// # use tidestone::*;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// # let table = db.create_table("cpu", TableOptions::new().field("usage", FieldType::F64))?;
    /// # let host = table.series(&[("host", "a")])?;
    /// # let mut writer = db.writer();
    /// # for t in 0..10 { writer.append(&host, t, &[Value::from(0.5)])?; }
    /// # drop(writer.commit()?);
    /// assert_eq!(table.query().last()?.times(), [9]);
    /// assert_eq!(table.query().last_at(4)?.times(), [4]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Query::scan`].
    pub fn last(&self) -> Result<LastRows> {
        last::last(self)
    }

    /// As [`Query::last`], as of `time`: rows after it do not count.
    ///
    /// # Errors
    /// As [`Query::scan`].
    pub fn last_at(&self, time: Timestamp) -> Result<LastRows> {
        self.snapshot()?;
        match last::until(self.range, time) {
            Some(range) => self.clone().range(range).last(),
            None => self.clone().limit(0).last(),
        }
    }

    /// The threads it may use.
    pub(super) fn team(&self) -> Team {
        Team::new(&self.engine, self.threads)
    }

    /// The table as of now.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        if self.range.start > self.range.end {
            let message = format!(
                "the range starts at {} and ends at {}; give one that does not end before it starts",
                self.range.start, self.range.end
            );
            return Err(Error::invalid(message));
        }
        self.while_there(|| self.engine.snapshot(self.table.id))
    }

    /// The fields asked for, in that order.
    pub(super) fn fields_of(&self, schema: &TableSchema) -> Result<Arc<[Field]>> {
        let Some(names) = &self.fields else {
            return Ok(schema.fields.clone().into());
        };
        let mut fields: Vec<Field> = Vec::with_capacity(names.len());
        for name in names {
            if fields.iter().any(|f| f.name == *name) {
                return Err(Error::invalid(format!(
                    "field {name:?} is asked for twice; name each field once"
                )));
            }
            fields.push(field_of(schema, name)?.clone());
        }
        Ok(fields.into())
    }

    /// The series that pass the tests; `None`: every one.
    pub(crate) fn series(&self) -> Result<Option<Arc<[SeriesId]>>> {
        if self.tests.is_empty() {
            return Ok(None);
        }
        self.while_there(|| {
            let series = self.engine.series.select(self.table.id, &self.tests)?;
            let tags: Vec<&str> = self.tests.iter().map(|t| t.tag.as_str()).collect();
            self.check_tags(&tags, series.first().copied())?;
            Ok(Some(series.into()))
        })
    }

    /// What looking up series gives. They are looked up as of now, not as of the snapshot: those
    /// made since have no rows in it, and if the table was dropped since, that is the error.
    pub(super) fn while_there<T>(&self, look_up: impl FnOnce() -> Result<T>) -> Result<T> {
        let found = look_up();
        self.engine.check_is_there(&self.table)?;
        found
    }

    /// Fails if no series of the table has one of the tags, nor had it before it was forgotten; `one` is
    /// a series to look at first.
    pub(super) fn check_tags(&self, tags: &[&str], one: Option<SeriesId>) -> Result<()> {
        let registry = &self.engine.series;
        if let Some(one) = one {
            let key = registry.keys(self.table.id, &[one])?.into_iter().flatten();
            if key
                .into_iter()
                .any(|k| tags.iter().all(|t| k.get(t).is_some()))
            {
                return Ok(());
            }
        }
        let known = registry.known_tags(self.table.id)?;
        let unknown = tags.iter().find(|t| known.iter().all(|k| k != *t));
        match unknown {
            Some(tag) if !known.is_empty() => {
                let message = format!(
                    "no series of table {:?} has a tag {tag:?}; there are {}: correct the name",
                    self.table.name,
                    Known::near(tag, known.iter().map(String::as_str))
                );
                Err(Error::new(ErrorKind::NotFound, message))
            }
            _ => Ok(()),
        }
    }
}

/// The field of that name.
pub(super) fn field_of<'a>(schema: &'a TableSchema, name: &str) -> Result<&'a Field> {
    schema
        .field_by_name(name)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, no_field(schema, name)))
}
