//! Whole columns at once.

use tidestone_format::column::{Bitmap, Column, Values};
use tidestone_format::schema::{Field, SchemaMode, TableSchema};
use tidestone_format::version::MAX_STRING;
use tidestone_format::{FieldType, SeriesId, Timestamp};

use super::SeriesHandle;
use crate::catalog::{Fields, add_fields, given_twice, no_field};
use crate::error::{Error, Result};
use crate::rows::Rows;

/// Rows of one table as columns, for [`Writer::append_batch`](super::Writer::append_batch).
///
/// ```
/// use tidestone::Batch;
/// # use tidestone::{Tidestone, TableOptions, FieldType};
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = Tidestone::create(dir.path().join("db"), Default::default()).unwrap();
/// # let table = db.create_table("cpu", TableOptions::new().field("user", FieldType::F64)).unwrap();
/// let host = table.series(&[("host", "a")]).unwrap();
/// let batch = Batch::of_series(&host, vec![1_000, 2_000]).f64("user", vec![0.5, 0.6]);
/// let mut writer = db.writer();
/// writer.append_batch(batch).unwrap();
/// writer.commit().unwrap().wait().unwrap();
/// # db.close().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Batch {
    series: Vec<SeriesHandle>,
    /// Empty: all rows are of the only series.
    of_row: Vec<u32>,
    times: Vec<Timestamp>,
    columns: Vec<(String, Column)>,
}

impl Batch {
    /// Rows of one series at the given times (ns UTC, in any order).
    pub fn of_series(series: &SeriesHandle, times: Vec<Timestamp>) -> Self {
        Self {
            series: vec![series.clone()],
            of_row: Vec::new(),
            times,
            columns: Vec::new(),
        }
    }

    /// Rows of several series of one table: row `i` is of `series[of_row[i]]`, at `times[i]`.
    pub fn of_many(series: Vec<SeriesHandle>, of_row: Vec<u32>, times: Vec<Timestamp>) -> Self {
        Self {
            series,
            of_row,
            times,
            columns: Vec::new(),
        }
    }

    /// Adds a field's values, one a row.
    #[must_use]
    pub fn column(mut self, field: impl Into<String>, values: Values) -> Self {
        self.columns.push((
            field.into(),
            Column {
                values,
                validity: None,
            },
        ));
        self
    }

    /// Adds a field's values, one a row; where a bit of `valid` is clear the row has none.
    #[must_use]
    pub fn nullable(mut self, field: impl Into<String>, values: Values, valid: Bitmap) -> Self {
        self.columns.push((
            field.into(),
            Column {
                values,
                validity: Some(valid),
            },
        ));
        self
    }

    /// Adds floating-point values.
    #[must_use]
    pub fn f64(self, field: impl Into<String>, values: Vec<f64>) -> Self {
        self.column(field, Values::F64(values))
    }

    /// Adds signed integers.
    #[must_use]
    pub fn i64(self, field: impl Into<String>, values: Vec<i64>) -> Self {
        self.column(field, Values::I64(values))
    }

    /// Adds unsigned integers.
    #[must_use]
    pub fn u64(self, field: impl Into<String>, values: Vec<u64>) -> Self {
        self.column(field, Values::U64(values))
    }

    /// Adds booleans.
    #[must_use]
    pub fn bool(self, field: impl Into<String>, values: Vec<bool>) -> Self {
        self.column(field, Values::Bool(values))
    }

    /// Adds strings.
    #[must_use]
    pub fn string<S: AsRef<str>>(self, field: impl Into<String>, values: &[S]) -> Self {
        let strings = values.iter().map(AsRef::as_ref).collect();
        self.column(field, Values::String(strings))
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The times of the rows.
    pub(super) fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// The series the rows are of; at least one if there are rows.
    pub(super) fn series(&self) -> &[SeriesHandle] {
        &self.series
    }

    /// Says whose the rows are: as [`Batch::of_many`], or of the only series where there are no numbers.
    #[cfg(feature = "arrow")]
    pub(crate) fn with_series(mut self, series: Vec<SeriesHandle>, of_row: Vec<u32>) -> Self {
        (self.series, self.of_row) = (series, of_row);
        self
    }

    /// Checks all that can be wrong with the batch in a table with these fields, before anything is
    /// changed for it: series numbers, lengths, strings, and fields. Returns those to be added.
    pub(super) fn check(&self, fields: &Fields) -> Result<Vec<(&str, FieldType)>> {
        if !self.is_of_one() {
            check_len("series numbers", self.of_row.len(), self.len())?;
            let known = |n: &&u32| self.series.get(**n as usize).is_none();
            if let Some(n) = self.of_row.iter().find(known) {
                return Err(self.no_series(*n));
            }
        }
        self.check_columns(fields)
    }

    /// As [`Batch::check`], but for the series.
    pub(super) fn check_columns(&self, fields: &Fields) -> Result<Vec<(&str, FieldType)>> {
        let schema = fields.schema();
        let rows = self.times.len();
        let mut new = Vec::new();
        for (name, column) in &self.columns {
            check_len(name, column.len(), rows)?;
            if let Some(validity) = &column.validity {
                check_len(name, validity.len(), rows)?;
            }
            if let Some(len) = longer_string(column) {
                return Err(too_long(&schema.name, name, len));
            }
            let given = column.values.field_type();
            match fields.get(name) {
                Some(field) if field.field_type != given => {
                    return Err(wrong_type(&schema.name, field, given));
                }
                Some(_) => {}
                None if schema.settings.mode == SchemaMode::Fixed => {
                    return Err(Error::invalid(no_field(schema, name)));
                }
                None => new.push((name.as_str(), given)),
            }
        }
        if let Some(twice) = given_twice(self.columns.iter().map(|(name, _)| name.as_str())) {
            let message = format!("the batch has field {twice:?} twice; give each field once");
            return Err(Error::invalid(message));
        }
        if !new.is_empty() {
            with_new(schema, &new)?;
        }
        Ok(new)
    }

    /// The rows of a batch that was checked, in a table that has all of its fields.
    pub(super) fn into_rows(self, fields: &Fields) -> Result<Rows> {
        let series: Vec<SeriesId> = if self.is_of_one() {
            vec![self.series[0].id(); self.times.len()]
        } else {
            let id = |n: &u32| {
                let series = self.series.get(*n as usize).map(SeriesHandle::id);
                series.ok_or_else(|| self.no_series(*n))
            };
            self.of_row.iter().map(id).collect::<Result<_>>()?
        };
        let mut columns = Vec::with_capacity(self.columns.len());
        for (name, column) in self.columns {
            let field = fields
                .get(&name)
                .ok_or_else(|| Error::invalid(no_field(fields.schema(), &name)))?;
            columns.push((field.id, column));
        }
        columns.sort_by_key(|(id, _)| *id);
        Ok(Rows {
            series,
            times: self.times,
            columns,
        })
    }

    /// Whether all rows are of the only series.
    fn is_of_one(&self) -> bool {
        self.of_row.is_empty() && self.series.len() == 1
    }

    fn no_series(&self, number: u32) -> Error {
        Error::invalid(format!(
            "a row of the batch is of series number {number}; the batch has {}, counted from 0: correct the number, or \
             add the series",
            self.series.len()
        ))
    }
}

/// The schema with the fields that a batch or row adds.
pub(super) fn with_new(schema: &TableSchema, new: &[(&str, FieldType)]) -> Result<TableSchema> {
    add_fields(schema, new.iter().copied(), |field, given| {
        wrong_type(&schema.name, field, given)
    })
}

/// The error for a value that the field does not take.
pub(super) fn wrong_type(table: &str, field: &Field, given: FieldType) -> Error {
    let Field {
        name, field_type, ..
    } = field;
    Error::invalid(format!(
        "field {name:?} of table {table:?} is {field_type}, the value is {given}; give it as \
         {field_type}, or write it to another field"
    ))
}

/// The error for a string that is longer than any field takes.
pub(super) fn too_long(table: &str, field: &str, len: usize) -> Error {
    Error::invalid(format!(
        "a string for field {field:?} of table {table:?} has {len} bytes; at most {MAX_STRING} are allowed: \
         shorten it"
    ))
}

/// The length of the first string that is longer than any field takes; of nulls nothing is kept.
fn longer_string(column: &Column) -> Option<usize> {
    let Values::String(strings) = &column.values else {
        return None;
    };
    if strings.byte_len() <= MAX_STRING {
        return None;
    }
    let lens = strings.iter().map(str::len).enumerate();
    lens.filter(|&(row, len)| len > MAX_STRING && column.is_valid(row))
        .map(|(_, len)| len)
        .next()
}

fn check_len(what: &str, actual: usize, rows: usize) -> Result<()> {
    if actual == rows {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{what:?} has {actual} entries for the {rows} rows of the batch; give one for each row"
    )))
}
