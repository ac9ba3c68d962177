//! Record batches become rows.

use arrow_array::{Array, RecordBatch};
use rustc_hash::FxHashMap;
use tidestone_format::SeriesKey;

use super::TIME;
use super::string_arrays::StringArrays;
use super::values::{self, STRINGS};
use crate::catalog::{Known, given_twice};
use crate::db::Table;
use crate::engine;
use crate::error::{Error, Result};
use crate::ingest::{Batch, SeriesHandle, Writer};

/// With the cargo feature `arrow`.
impl Writer {
    /// Stages the rows of an Arrow record batch, all of one series: the column `time`, and every other as a field, in
    /// any order. All of it is staged, or nothing. See [`arrow`](crate::arrow) for what is taken as what.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use tidestone::*;
    /// use tidestone::arrow::arrow_array::{ArrayRef, Float64Array, RecordBatch, TimestampSecondArray};
    /// # fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    /// # let db = Tidestone::builder("/db").disk(Arc::new(io::SimDisk::new())).create()?;
    /// # let table = db.create_table("cpu", TableOptions::new().field("user", FieldType::F64))?;
    /// let rows = RecordBatch::try_from_iter([
    ///     ("time", Arc::new(TimestampSecondArray::from(vec![1, 2])) as ArrayRef),
    ///     ("user", Arc::new(Float64Array::from(vec![Some(0.5), None]))),
    /// ])?;
    /// let host = table.series(&[("host", "a")])?;
    /// let mut writer = db.writer();
    /// writer.append_arrow(&host, &rows)?;
    /// writer.commit()?.wait()?;
    /// assert_eq!(table.query().last()?.times(), [2_000_000_000]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// There is no column `time`, it is no `Timestamp`, or a time of it is null or out of range; a column is of a type
    /// that is not taken, or two have one name; 2^32 rows or more; more than 512 MiB of strings; or what
    /// [`Writer::append_batch`] refuses.
    pub fn append_arrow(&mut self, series: &SeriesHandle, rows: &RecordBatch) -> Result<()> {
        let batch = batch_of(rows, &[])?;
        self.append_batch(batch.with_series(vec![series.clone()], Vec::new()))
    }

    /// Stages the rows of an Arrow record batch, of any series of a table: the columns `tags` say which, the others are
    /// `time` and the fields. A row whose tag is null is of a series without that tag. All of it is staged, or nothing.
    /// Series that are new are made once nothing is found wrong with the batch, and fields after them.
    ///
    /// The example of [`arrow`](crate::arrow) shows it.
    ///
    /// # Errors
    /// As [`Writer::append_arrow`]; a tag is no column, no column of strings, or `time`; what
    /// [`Table::series`](crate::Table::series) refuses; the table is not one of the writer's database. Nothing was
    /// written then. Or the log has no room, log or manifest cannot be written, or another writer or thread meanwhile
    /// added one of the fields with another type, dropped the table, or dropped rows as old as these: no row is staged
    /// and no field added then, but the series that were made before stay, without rows.
    pub fn append_arrow_by_tags<S: AsRef<str>>(
        &mut self,
        table: &Table,
        tags: &[S],
        rows: &RecordBatch,
    ) -> Result<()> {
        let tags: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
        check_tags(&tags)?;
        let batch = batch_of(rows, &tags)?;
        self.check_ahead(table.core(), &batch)?;
        let (keys, of_row) = series_of(rows, &tags)?;
        let series = keys.iter().map(|key| table.series_by_key(key));
        let series = series.collect::<Result<_>>()?;
        self.append_batch(batch.with_series(series, of_row))
    }
}

/// The times and fields of a record batch whose other columns are `tags`. Whose the rows are is not said yet.
fn batch_of(rows: &RecordBatch, tags: &[&str]) -> Result<Batch> {
    // Each may be of another series, and these are numbered in 32 bits.
    if u32::try_from(rows.num_rows()).is_err() {
        return Err(Error::invalid(format!(
            "the record batch has {} rows; at most {} are taken at a time: append slices of it",
            rows.num_rows(),
            u32::MAX
        )));
    }
    let schema = rows.schema_ref();
    if let Some(twice) = given_twice(schema.fields().iter().map(|f| f.name().as_str())) {
        return Err(Error::invalid(format!(
            "the record batch has two columns {twice:?}; rename one, or leave it out"
        )));
    }
    let times = column(rows, TIME, "the times of the rows")?;
    let times = values::times(times)?;
    let mut batch = Batch::of_many(Vec::new(), Vec::new(), times);
    let mut text = 0;
    for (field, array) in schema.fields().iter().zip(rows.columns()) {
        let name = field.name();
        if name == TIME || tags.contains(&name.as_str()) {
            continue;
        }
        let column = values::field(name, array, &mut text)?;
        batch = match column.validity {
            Some(valid) => batch.nullable(name, column.values, valid),
            None => batch.column(name, column.values),
        };
    }
    Ok(batch)
}

/// Refuses names that the tags of a series cannot have, whether or not any row has them.
fn check_tags(tags: &[&str]) -> Result<()> {
    if tags.contains(&TIME) {
        return Err(Error::invalid(format!(
            "the tags are {tags:?}, and {TIME:?} is the times of the rows; name the tags alone, and rename a column \
             that is one"
        )));
    }
    // The rules for names are those of the key of a series that has all of them.
    match SeriesKey::new(tags.iter().map(|tag| (tag, ""))).map_err(Error::from) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::invalid(format!("the names of the tags: {error}"))),
    }
}

/// The series of the rows: their keys, each once, and of each row the place of its key.
fn series_of(rows: &RecordBatch, tags: &[&str]) -> Result<(Vec<SeriesKey>, Vec<u32>)> {
    let columns = tags.iter().map(|tag| {
        let array = column(rows, tag, "a tag")?;
        StringArrays::of(array).ok_or_else(|| {
            Error::invalid(format!(
                "column {tag:?} is {}; a tag comes as {STRINGS}: cast it",
                array.data_type()
            ))
        })
    });
    let columns: Vec<StringArrays<'_>> = columns.collect::<Result<_>>()?;
    let mut keys = Vec::new();
    let mut places: FxHashMap<Vec<Option<&str>>, u32> = FxHashMap::default();
    let mut next = 0;
    let mut of_row: Vec<u32> = Vec::with_capacity(rows.num_rows());
    let mut values: Vec<Option<&str>> = Vec::new();
    for row in 0..rows.num_rows() {
        values.clear();
        values.extend(columns.iter().map(|column| column.get(row)));
        if let Some(place) = places.get(&values) {
            of_row.push(*place);
            continue;
        }
        let given = tags.iter().zip(&values);
        let given = given.filter_map(|(tag, value)| Some((*tag, (*value)?)));
        let key = SeriesKey::new(given).map_err(Error::from);
        let key = key.and_then(|key| engine::check_key(&key).map(|()| key));
        keys.push(key.map_err(|error| Error::invalid(format!("the tags of row {row}: {error}")))?);
        places.insert(values.clone(), next);
        of_row.push(next);
        next += 1;
    }
    Ok((keys, of_row))
}

/// A column of a record batch, which has `what`.
fn column<'a>(rows: &'a RecordBatch, name: &str, what: &str) -> Result<&'a dyn Array> {
    if let Some(array) = rows.column_by_name(name) {
        return Ok(array.as_ref());
    }
    let schema = rows.schema_ref();
    let known = Known::near(name, schema.fields().iter().map(|f| f.name().as_str()));
    Err(Error::invalid(format!(
        "the record batch has no column {name:?}, for {what}; it has {known}: correct the name, or rename the column"
    )))
}
