//! One table: its series, writes by delete, reads.

use std::sync::Arc;
use std::time::Duration;

use tidestone_format::log::{Selection, Tombstone};
use tidestone_format::schema::{Field, TableSchema, TableSettings};
use tidestone_format::{FieldType, SeriesId, SeriesKey, TableId, TimeRange};

use crate::catalog::{self, TableCore, no_field, no_series};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::index::TagMatch;
use crate::ingest::{Durability, SeriesHandle, Ticket};
use crate::query::Query;

/// A table of an open database. Clones share it.
#[derive(Debug, Clone)]
pub struct Table {
    engine: Arc<Engine>,
    core: Arc<TableCore>,
}

impl Table {
    pub(super) fn new(engine: Arc<Engine>, core: Arc<TableCore>) -> Self {
        Self { engine, core }
    }

    /// What the engine knows of the table.
    #[cfg(feature = "arrow")]
    pub(crate) fn core(&self) -> &Arc<TableCore> {
        &self.core
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The table's id.
    pub fn id(&self) -> TableId {
        self.core.id
    }

    /// The table's settings and fields as of now.
    pub fn schema(&self) -> Arc<TableSchema> {
        self.core.schema()
    }

    /// The field of that name.
    ///
    /// # Errors
    /// There is none; the message names those there are.
    pub fn field(&self, name: &str) -> Result<Field> {
        let fields = self.core.fields();
        let field = fields.get(name).cloned();
        field.ok_or_else(|| Error::new(ErrorKind::NotFound, no_field(fields.schema(), name)))
    }

    /// Adds a field; nothing happens if it is there with that type.
    ///
    /// # Errors
    /// There is a field of that name with another type; both are named.
    pub fn add_field(&self, name: &str, field_type: FieldType) -> Result<()> {
        let other_type = catalog::other_type(&self.core.name);
        self.engine.change_table(&self.core, |schema| {
            catalog::add_fields(schema, [(name, field_type)], other_type)
        })
    }

    /// Changes what the table keeps: rows of which age ([`TableOptions::retention_age`](crate::TableOptions::retention_age))
    /// and how many bytes of segments ([`TableOptions::retention_bytes`](crate::TableOptions::retention_bytes));
    /// `None` keeps all. It holds from the next [`Tidestone::enforce_retention`](crate::Tidestone::enforce_retention)
    /// on, which is also done in the background. What was dropped does not come back, and rows as old as that
    /// are refused still.
    ///
    /// ```
    /// # use tidestone::*;
    /// # use std::time::Duration;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// let table = db.create_table("cpu", TableOptions::new().field("usage", FieldType::F64))?;
    /// let week = Duration::from_secs(7 * 24 * 3600);
    /// table.set_retention(Some(week), Some(10 << 30))?;
    /// assert_eq!(table.schema().settings.retention_bytes, Some(10 << 30));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// An age below a second or above 292 years, 0 bytes, the table was dropped, or the manifest cannot
    /// be written.
    pub fn set_retention(&self, age: Option<Duration>, bytes: Option<u64>) -> Result<()> {
        self.change(|settings| catalog::retain(settings, age, bytes))
    }

    /// Changes whether the oldest partition is dropped where the disk is full
    /// ([`TableOptions::drop_oldest_when_full`](crate::TableOptions::drop_oldest_when_full)).
    ///
    /// # Errors
    /// The table was dropped, or the manifest cannot be written.
    pub fn set_drop_oldest_when_full(&self, drops: bool) -> Result<()> {
        self.change(|settings| {
            settings.drops_when_full = drops;
            Ok(())
        })
    }

    /// Changes how far ahead of the clock a row may lie
    /// ([`TableOptions::future_bound`](crate::TableOptions::future_bound)); rows that are there stay.
    ///
    /// # Errors
    /// A bound above 292 years, the table was dropped, or the manifest cannot be written.
    pub fn set_future_bound(&self, bound: Option<Duration>) -> Result<()> {
        self.change(|settings| catalog::bound_future(settings, bound))
    }

    fn change(&self, change: impl FnOnce(&mut TableSettings) -> Result<()>) -> Result<()> {
        self.engine.change_table(&self.core, |schema| {
            let mut schema = schema.clone();
            change(&mut schema.settings)?;
            Ok(schema)
        })
    }

    /// The series with exactly these tags, made if it is new. Resolve it once and keep it.
    ///
    /// # Errors
    /// A tag without a name or named twice, a name or value longer than 65,535 bytes, tags of more
    /// than 16 MiB together, the table was dropped, the log has no room ([`ErrorKind::Busy`]), or it
    /// cannot be written.
    pub fn series<N: AsRef<str>, V: AsRef<str>>(&self, tags: &[(N, V)]) -> Result<SeriesHandle> {
        let key = SeriesKey::new(tags.iter().map(|(n, v)| (n.as_ref(), v.as_ref())))?;
        self.series_by_key(&key)
    }

    /// As [`Table::series`], of a key.
    ///
    /// # Errors
    /// As [`Table::series`].
    pub fn series_by_key(&self, key: &SeriesKey) -> Result<SeriesHandle> {
        let (id, hold) = self.engine.resolve(&self.core, key)?;
        Ok(SeriesHandle::new(self.core.clone(), id, hold))
    }

    /// The tags of the series that match all tests, by id; all of them for no tests.
    ///
    /// # Errors
    /// A test is of a tag that no series has (of those there are the nearest are named), the table was
    /// dropped, or the index could not be read.
    pub fn series_keys(&self, tests: &[TagMatch]) -> Result<Vec<SeriesKey>> {
        let ids = match self.selected(tests)? {
            Some(ids) => ids,
            None => self.engine.series.select(self.core.id, &[])?.into(),
        };
        Ok(self
            .engine
            .series
            .keys(self.core.id, &ids)?
            .into_iter()
            .flatten()
            .collect())
    }

    /// The tags of a series, as rows of an answer name it.
    ///
    /// # Errors
    /// The table has no such series, or the index could not be read.
    pub fn key_of(&self, series: SeriesId) -> Result<SeriesKey> {
        let mut keys = self.engine.series.keys(self.core.id, &[series])?;
        let key = keys.pop().flatten();
        key.ok_or_else(|| no_series(self.name(), series))
    }

    /// How many series the table has.
    ///
    /// # Errors
    /// The index could not be read.
    pub fn series_count(&self) -> Result<u64> {
        Ok(self.engine.series.select(self.core.id, &[])?.len() as u64)
    }

    /// The names of the tags that series of the table have, sorted.
    ///
    /// # Errors
    /// The index could not be read.
    pub fn tag_names(&self) -> Result<Vec<String>> {
        self.engine.series.tag_names(self.core.id)
    }

    /// The values that series of the table have of a tag, sorted.
    ///
    /// # Errors
    /// The index could not be read.
    pub fn tag_values(&self, tag: &str) -> Result<Vec<String>> {
        self.engine.series.tag_values(self.core.id, tag)
    }

    /// The tags of series, as answers name them, in the same order.
    ///
    /// # Errors
    /// There is no such series, or the index could not be read.
    pub fn keys_of(&self, series: &[SeriesId]) -> Result<Vec<SeriesKey>> {
        let keys = self.engine.series.keys(self.core.id, series)?;
        let keys = keys.into_iter().zip(series);
        keys.map(|(key, id)| key.ok_or_else(|| no_series(self.name(), *id)))
            .collect()
    }

    /// Deletes the rows in a span of time of the series that match all tests (of every series for
    /// no tests). They are invisible when this returns; the ticket says when the delete survives a
    /// power loss. Rows written later are not touched. A table all of whose rows are deleted stays;
    /// [`Tidestone::drop_table`](crate::Tidestone::drop_table) drops it with its rows.
    ///
    /// ```
    /// # use tidestone::*;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// let cpu = db.create_table("cpu", TableOptions::new().field("usage", FieldType::F64))?;
    /// let mut writer = db.writer();
    /// for host in ["a", "b", "c"] {
    ///     let series = cpu.series(&[("host", host)])?;
    ///     for time in 0..10 {
    ///         writer.append(&series, time, &[Value::F64(0.5)])?;
    ///     }
    /// }
    /// writer.commit_and_wait()?;
    /// let rows = || -> Result<usize> { cpu.query().scan()?.map(|batch| Ok(batch?.len())).sum() };
    ///
    /// // A span of time, of every series; both ends belong to it.
    /// cpu.delete(&[], TimeRange { start: 0, end: 4 })?.wait()?;
    /// assert_eq!(rows()?, 15);
    /// // A series, at any time.
    /// cpu.delete(&[TagMatch::equal("host", "a")], TimeRange::ALL)?.wait()?;
    /// assert_eq!(rows()?, 10);
    /// // Every row.
    /// cpu.delete(&[], TimeRange::ALL)?.wait()?;
    /// assert_eq!(rows()?, 0);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// The span starts after it ends, a test is of a tag that no series has (of those there are the
    /// nearest are named), the table was dropped, the log has no room ([`ErrorKind::Busy`]), or it
    /// cannot be written.
    pub fn delete(&self, tests: &[TagMatch], range: TimeRange) -> Result<Ticket> {
        if range.start > range.end {
            let message = format!(
                "the span starts at {} and ends at {}; give one that does not end before it starts",
                range.start, range.end
            );
            return Err(Error::invalid(message));
        }
        let selection = match self.selected(tests)? {
            None => Selection::All,
            Some(ids) if ids.is_empty() => {
                let last = self.engine.writable()?.last_lsn();
                return Ok(Ticket::new(self.engine.clone(), last, Durability::Synced));
            }
            Some(ids) => Selection::Series(ids.to_vec()),
        };
        self.engine.check_is_there(&self.core)?;
        let tombstone = Tombstone {
            table: self.core.id,
            selection,
            range,
        };
        let lsn = self.engine.delete(&self.core, tombstone)?;
        self.engine.log_of_commits()?.request(lsn, true);
        Ok(Ticket::new(self.engine.clone(), lsn, Durability::Synced))
    }

    /// The series that pass the tests, as a question to the table selects them; `None`: every one.
    fn selected(&self, tests: &[TagMatch]) -> Result<Option<Arc<[SeriesId]>>> {
        let tests = tests.iter().cloned();
        tests.fold(self.query(), Query::filter).series()
    }

    /// A question to the table: rows of a range, last rows, aggregates.
    pub fn query(&self) -> Query {
        Query::new(self.engine.clone(), self.core.clone())
    }
}
