//! Answers as record batches.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use rustc_hash::FxHashMap;
use tidestone_format::{SeriesId, SeriesKey};

use super::arrays::{self, unfit};
use super::layout::Layout;
use super::tags::SeriesOfRows;
use crate::db::Table;
use crate::error::{Error, Result};
use crate::query::{RowBatch, RowStream};

/// Once the keys that are kept take so many bytes, they are forgotten before the next batch.
const KEYS_KEPT_BYTES: usize = 16 << 20;
/// Memory of a key that is kept besides its bytes: its id, its place in a table of which half may be empty, and what an
/// allocation takes.
const ENTRY_BYTES: usize = 96;

/// What to do where two columns of a stream would have one name.
const NAME_FOR_STREAM: &str = "name the fields with `Query::fields` and the tags with `record_batches_with`, each \
                               name once";
/// The same of rows that a table gives their tags.
const NAME_FOR_TABLE: &str = "name the fields with `Query::fields` and the tags with `record_batch_with`, each name \
                              once";
/// The same of rows without tags.
const NAME_FIELDS: &str = "name the other fields with `Query::fields`";

/// The rows of a query as Arrow record batches: time, tags, fields. See [`RowStream::record_batches`].
///
/// The errors are [`ArrowError::ExternalError`] with an [`Error`] in it. After an error it has ended.
pub struct RecordBatches {
    rows: RowStream,
    layout: Layout,
    keys: Keys,
    failed: bool,
}

/// Keys of series, kept for later batches.
struct Keys {
    known: FxHashMap<SeriesId, SeriesKey>,
    /// Memory that they take.
    bytes: usize,
    /// Beyond which they are forgotten.
    bytes_kept: usize,
}

impl std::fmt::Debug for RecordBatches {
    /// What it is made from, and no keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordBatches")
            .field("rows", &self.rows)
            .field("schema", &self.layout.schema)
            .finish_non_exhaustive()
    }
}

/// With the cargo feature `arrow`.
impl RowStream {
    /// The rows as Arrow record batches: a column of times, one of each tag that series of the table have, by name, and
    /// one of each field. See [`arrow`](crate::arrow) for the types.
    ///
    /// # Errors
    /// Two columns would have one name: those of a tag and a field, or one of them is `time`. Or the table was dropped,
    /// or the index could not be read.
    pub fn record_batches(self) -> Result<RecordBatches> {
        let tags = self.tag_names()?;
        RecordBatches::new(self, tags)
    }

    /// As [`RowStream::record_batches`], with columns of these tags alone, in this order; the column of a tag that no
    /// series has is null.
    ///
    /// ```
    /// # use tidestone::*;
    /// use tidestone::arrow::arrow_array::RecordBatchReader;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// # let table = db.create_table("cpu", TableOptions::new().field("user", FieldType::F64))?;
    /// let batches = table.query().scan()?.record_batches_with(&["rack", "host"])?;
    /// let names: Vec<_> = batches.schema().fields().iter().map(|f| f.name().clone()).collect();
    /// assert_eq!(names, ["time", "rack", "host", "user"]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Two columns would have one name.
    pub fn record_batches_with<S: AsRef<str>>(self, tags: &[S]) -> Result<RecordBatches> {
        let tags = tags.iter().map(|tag| tag.as_ref().to_owned()).collect();
        RecordBatches::new(self, tags)
    }
}

/// With the cargo feature `arrow`.
impl RowBatch {
    /// The rows as an Arrow record batch: a column of times and one of each field, which take over the buffers (but
    /// those of booleans and null maps). Whose the rows are it does not tell: see [`RowBatch::runs`] before, and
    /// [`Table::record_batch`].
    ///
    /// ```
    /// # use tidestone::*;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// # let table = db.create_table("cpu", TableOptions::new().field("user", FieldType::F64))?;
    /// # let mut writer = db.writer();
    /// # writer.append(&table.series(&[("host", "a")])?, 7, &[Value::F64(0.5)])?;
    /// # drop(writer.commit()?);
    /// let batch = table.query().scan()?.next().transpose()?.unwrap();
    /// let batch = batch.into_arrow()?;
    /// assert_eq!((batch.num_rows(), batch.num_columns()), (1, 2));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// A field is called `time`, or a column has more than 2 GiB of strings.
    pub fn into_arrow(self) -> Result<RecordBatch> {
        let layout = Layout::new(Vec::new(), self.fields(), NAME_FIELDS)?;
        record_batch(&layout, self, |_| Ok(Vec::new()))
    }
}

/// With the cargo feature `arrow`.
impl Table {
    /// Rows of this table as an Arrow record batch, with columns as [`RowStream::record_batches`] has them.
    ///
    /// ```
    /// # use tidestone::*;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// # let table = db.create_table("cpu", TableOptions::new().field("user", FieldType::F64))?;
    /// # let mut writer = db.writer();
    /// # writer.append(&table.series(&[("host", "a")])?, 7, &[Value::F64(0.5)])?;
    /// # drop(writer.commit()?);
    /// let last = table.record_batch(table.query().last()?.into_rows())?;
    /// assert_eq!((last.num_rows(), last.schema().field(1).name().as_str()), (1, "host"));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// The rows are of another table (the message names both; one that was made anew, or of a database that was opened
    /// anew, is another); the table has no such series any more; two columns would have one name; a column has more
    /// than 2 GiB of strings; or the index could not be read.
    pub fn record_batch(&self, rows: RowBatch) -> Result<RecordBatch> {
        self.check_of_this(&rows)?;
        let keys = self.keys_of(&SeriesOfRows::new(rows.runs()).series)?;
        let mut tags = self.tag_names()?;
        // A series may have been forgotten since its key was looked up.
        for (tag, _) in keys.iter().flat_map(SeriesKey::tags) {
            if let Err(place) = tags.binary_search_by(|known| known.as_str().cmp(tag)) {
                tags.insert(place, tag.to_owned());
            }
        }
        let layout = Layout::new(tags, rows.fields(), NAME_FOR_TABLE)?;
        record_batch(&layout, rows, |_| Ok(keys))
    }

    /// As [`Table::record_batch`], with columns of these tags alone, in this order; the column of a tag that no series
    /// has is null.
    ///
    /// ```
    /// # use tidestone::*;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// # let table = db.create_table("cpu", TableOptions::new().field("user", FieldType::F64))?;
    /// let last = table.record_batch_with(table.query().last()?.into_rows(), &["rack", "host"])?;
    /// let names: Vec<_> = last.schema().fields().iter().map(|f| f.name().clone()).collect();
    /// assert_eq!(names, ["time", "rack", "host", "user"]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Table::record_batch`].
    pub fn record_batch_with<S: AsRef<str>>(
        &self,
        rows: RowBatch,
        tags: &[S],
    ) -> Result<RecordBatch> {
        self.check_of_this(&rows)?;
        let tags = tags.iter().map(|tag| tag.as_ref().to_owned()).collect();
        let layout = Layout::new(tags, rows.fields(), NAME_FOR_TABLE)?;
        record_batch(&layout, rows, |series| self.keys_of(series))
    }

    /// Refuses rows of another table: the ids of their series are those of others here.
    fn check_of_this(&self, rows: &RowBatch) -> Result<()> {
        if Arc::ptr_eq(rows.table(), self.core()) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "rows of table {:?} were given to another table {:?}, which knows the tags of its own alone; give them to \
             the one whose query they are from (one that was made anew, or of a database that was opened anew, is \
             another)",
            rows.table().name,
            self.name()
        )))
    }
}

impl RecordBatches {
    fn new(rows: RowStream, tags: Vec<String>) -> Result<Self> {
        Ok(Self {
            layout: Layout::new(tags, rows.fields(), NAME_FOR_STREAM)?,
            rows,
            keys: Keys::new(KEYS_KEPT_BYTES),
            failed: false,
        })
    }
}

impl Keys {
    fn new(bytes_kept: usize) -> Self {
        Self {
            known: FxHashMap::default(),
            bytes: 0,
            bytes_kept,
        }
    }

    /// The keys of some series of an answer, looked up where they are not known.
    fn of(&mut self, series: &[SeriesId], rows: &RowStream) -> Result<Vec<SeriesKey>> {
        if self.bytes > self.bytes_kept {
            *self = Self::new(self.bytes_kept);
        }
        let new = series.iter().filter(|id| !self.known.contains_key(id));
        let new: Vec<SeriesId> = new.copied().collect();
        if !new.is_empty() {
            for (id, key) in new.iter().zip(rows.keys(&new)?) {
                self.bytes += ENTRY_BYTES + key.as_bytes().len();
                self.known.insert(*id, key);
            }
        }
        Ok(series.iter().map(|id| self.known[id].clone()).collect())
    }
}

/// The rows of a batch; `keys_of` tells the keys of its series, where there are columns of tags.
fn record_batch(
    layout: &Layout,
    batch: RowBatch,
    keys_of: impl FnOnce(&[SeriesId]) -> Result<Vec<SeriesKey>>,
) -> Result<RecordBatch> {
    let (fields, runs, times, columns) = batch.into_parts();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(layout.schema.fields().len());
    arrays.push(arrays::times(times));
    if !layout.tags.is_empty() {
        let of_rows = SeriesOfRows::new(&runs);
        let keys = keys_of(&of_rows.series)?;
        for tag in &layout.tags {
            arrays.push(of_rows.column(tag, &keys)?);
        }
    }
    for (field, column) in fields.iter().zip(columns) {
        arrays.push(arrays::field(&field.name, column)?);
    }
    RecordBatch::try_new(layout.schema.clone(), arrays).map_err(unfit)
}

impl Iterator for RecordBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let Self {
            rows, layout, keys, ..
        } = self;
        let batch = rows.next()?;
        let converted =
            batch.and_then(|batch| record_batch(layout, batch, |series| keys.of(series, rows)));
        self.failed = converted.is_err();
        Some(converted.map_err(|error| ArrowError::ExternalError(Box::new(error))))
    }
}

impl RecordBatchReader for RecordBatches {
    fn schema(&self) -> SchemaRef {
        self.layout.schema.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::SimDisk;
    use crate::{TableOptions, Tidestone};

    /// What an entry takes besides its key was not counted: many short keys took several times the bound.
    #[test]
    fn keys_are_kept_for_later_batches_within_their_bytes() {
        const SERIES: usize = 400;
        const AT_ONCE: usize = 10;
        let disk = Arc::new(SimDisk::new());
        let db = Tidestone::builder("/db").disk(disk).create().unwrap();
        let table = db.create_table("t", TableOptions::new()).unwrap();
        let series: Vec<(SeriesId, SeriesKey)> = (0..SERIES)
            .map(|n| {
                let key = SeriesKey::new([("n", n.to_string())]).unwrap();
                (table.series_by_key(&key).unwrap().id(), key)
            })
            .collect();
        let rows = table.query().scan().unwrap();
        let of_one = ENTRY_BYTES + series[SERIES - 1].1.as_bytes().len();
        let mut keys = Keys::new(100 * of_one);
        let mut most = 0;
        for some in series.chunks(AT_ONCE) {
            let (ids, expected): (Vec<SeriesId>, Vec<SeriesKey>) = some.iter().cloned().unzip();
            assert_eq!(keys.of(&ids, &rows).unwrap(), expected);
            assert!(keys.known.len() * ENTRY_BYTES < keys.bytes);
            assert!(
                keys.bytes <= (100 + AT_ONCE) * of_one,
                "{} bytes",
                keys.bytes
            );
            most = most.max(keys.known.len());
        }
        assert!(most >= 100, "at most {most} were kept");
    }
}
