//! Where rows go: columns of one table, committed in batches.

use std::mem;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use tidestone::{
    Batch, Column, Durability, Error, ErrorKind, FieldId, FieldType, SeriesHandle, SeriesId, Table,
    Tidestone, Value, Values, Writer,
};

use super::problems::Problems;
use crate::outcome::{Failure, Run};

/// Rows of a commit.
const BATCH_ROWS: usize = 10_000;
/// Values of a commit, at most, where rows are wide.
const BATCH_VALUES: usize = 1_000_000;
/// Bytes of strings of a commit, about.
const BATCH_TEXT: usize = 8 << 20;
/// How often a commit waits again for the engine's memory; each time it waits for seconds.
const PATIENCE: u32 = 60;

/// Why a row was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// The line is wrong.
    Line(String),
    /// Nothing more can be imported.
    All(Failure),
}

/// Where it is not about a line.
impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Line(what) => Self::new(what),
            Refused::All(failure) => failure,
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Invalid => Self::Line(error.to_string()),
            _ => Self::All(error.into()),
        }
    }
}

/// Takes rows of one table and commits them in batches.
pub(super) struct Sink {
    table: Table,
    /// The fields it had before.
    known: Vec<FieldId>,
    writer: Writer,
    columns: Vec<SinkColumn>,
    /// The columns by name.
    numbers: FxHashMap<String, usize>,
    /// The column that is likely to be asked for next: rows are alike.
    likely: usize,
    times: Vec<i64>,
    /// Places in `batch_series`.
    of_row: Vec<u32>,
    /// File and line of each row.
    lines: Vec<(Arc<str>, u64)>,
    /// Rows that the writer holds already.
    staged: usize,
    uncommitted: Uncommitted,
    /// How often a commit waits again for the engine's memory.
    patience: u32,
    /// Bytes of strings of the rows not yet committed.
    text: usize,
    /// The series of the file at hand, by their tags as they are written there.
    by_tags: FxHashMap<Box<[u8]>, u32>,
    by_id: FxHashMap<SeriesId, u32>,
    /// The time of the last row of each series.
    last_times: Vec<Option<i64>>,
    /// Rows at the time of the row before them, of their series.
    pub(super) repeated: u64,
    handles: Vec<SeriesHandle>,
    /// The handles that the rows not yet committed need.
    batch_series: Vec<SeriesHandle>,
    /// Of each handle: the batch that needed it last, and its place there.
    places: Vec<(u64, u32)>,
    batch: u64,
    /// Rows that are committed.
    pub(super) rows: u64,
    /// Values of rows that are committed.
    pub(super) values: u64,
}

/// Rows that were taken and are not committed yet.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    pub(super) rows: u64,
    values: u64,
    /// File and line of the first one.
    pub(super) first: Option<(Arc<str>, u64)>,
}

struct SinkColumn {
    name: String,
    values: Column,
}

impl Sink {
    /// The fields that the table has got since, and their types.
    pub(super) fn new_fields(&self) -> Vec<(String, FieldType)> {
        let schema = self.table.schema();
        let new = schema.fields.iter().filter(|f| !self.known.contains(&f.id));
        new.map(|f| (f.name.clone(), f.field_type)).collect()
    }

    pub(super) fn new(db: &Tidestone, table: Table) -> Self {
        Self {
            writer: db.writer(),
            known: table.schema().fields.iter().map(|f| f.id).collect(),
            table,
            columns: Vec::new(),
            numbers: FxHashMap::default(),
            likely: 0,
            times: Vec::new(),
            of_row: Vec::new(),
            lines: Vec::new(),
            staged: 0,
            uncommitted: Uncommitted::default(),
            patience: PATIENCE,
            by_tags: FxHashMap::default(),
            by_id: FxHashMap::default(),
            last_times: Vec::new(),
            repeated: 0,
            handles: Vec::new(),
            batch_series: Vec::new(),
            places: Vec::new(),
            batch: 1,
            rows: 0,
            values: 0,
            text: 0,
        }
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// How many series were met.
    pub(super) fn series_met(&self) -> usize {
        self.handles.len()
    }

    pub(super) fn uncommitted(&self) -> &Uncommitted {
        &self.uncommitted
    }

    /// From now on rows are of another file, which may write the same tags in another way.
    pub(super) fn start_file(&mut self) {
        self.by_tags.clear();
    }

    /// From now on a commit that the engine has no memory for fails at once.
    pub(super) fn wait_no_more(&mut self) {
        self.patience = 0;
    }

    /// The number of the series with the given tags. `raw` stands for the tags: equal bytes,
    /// equal tags, in the file at hand.
    pub(super) fn series<T: AsRef<str>>(
        &mut self,
        raw: &[u8],
        tags: impl FnOnce() -> Vec<(T, T)>,
    ) -> Result<u32, Refused> {
        if let Some(&known) = self.by_tags.get(raw) {
            return Ok(known);
        }
        let handle = self.table.series(&tags())?;
        // The same tags may be written in more than one order.
        let number = match self.by_id.get(&handle.id()) {
            Some(&known) => known,
            None => self.add(handle)?,
        };
        self.by_tags.insert(raw.into(), number);
        Ok(number)
    }

    fn add(&mut self, handle: SeriesHandle) -> Result<u32, Refused> {
        let number = u32::try_from(self.handles.len()).map_err(|_| {
            Refused::All(Failure::new(
                "more than 2^32 series in one import; import the files one by one",
            ))
        })?;
        self.by_id.insert(handle.id(), number);
        self.handles.push(handle);
        self.last_times.push(None);
        self.places.push((0, 0));
        Ok(number)
    }

    /// How many columns there are.
    pub(super) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Forgets the columns from number `from` on, in which no row has a value.
    pub(super) fn forget_columns_from(&mut self, from: usize) {
        for column in self.columns.drain(from..) {
            self.numbers.remove(&column.name);
        }
    }

    /// The number of the column of a field, which is made if it is not there.
    pub(super) fn column(&mut self, name: &str, field_type: FieldType) -> Result<usize, Refused> {
        let likely = self.columns.get(self.likely);
        let known = if likely.is_some_and(|c| c.name == name) {
            Some(self.likely)
        } else {
            self.numbers.get(name).copied()
        };
        let (at, have) = match known {
            Some(at) => (at, self.columns[at].values.values.field_type()),
            None => {
                let schema = self.table.schema();
                let have = schema.field_by_name(name).map(|f| f.field_type);
                self.numbers.insert(name.to_owned(), self.columns.len());
                self.columns.push(SinkColumn {
                    name: name.to_owned(),
                    values: Column::nulls(have.unwrap_or(field_type), self.times.len()),
                });
                (self.columns.len() - 1, have.unwrap_or(field_type))
            }
        };
        if have != field_type {
            let loses =
                matches!(have, FieldType::I64 | FieldType::U64) && field_type == FieldType::F64;
            let advice = match loses {
                true => {
                    "types are fixed: correct it, or write all values of the field as f64 and import into a new table"
                }
                false => &format!("write it as {have}"),
            };
            return Err(Refused::Line(format!(
                "field {name:?} is {have}, the value is {field_type}; {advice}"
            )));
        }
        self.likely = at + 1;
        Ok(at)
    }

    /// The name of the field of a column.
    pub(super) fn name(&self, column: usize) -> &str {
        &self.columns[column].name
    }

    /// The type of a field, as far as it is decided.
    pub(super) fn field_type(&self, name: &str) -> Option<FieldType> {
        if let Some(&at) = self.numbers.get(name) {
            return Some(self.columns[at].values.values.field_type());
        }
        let schema = self.table.schema();
        schema.field_by_name(name).map(|f| f.field_type)
    }

    /// Takes a row: values with the numbers of their columns, each once, of the columns' types.
    pub(super) fn row(
        &mut self,
        (file, line): (&Arc<str>, u64),
        series: u32,
        time: i64,
        values: &[(usize, Value<'_>)],
        problems: &mut Problems,
    ) -> Run<()> {
        let last = self.last_times[series as usize].replace(time);
        self.repeated += u64::from(last == Some(time));
        if problems.is_strict() {
            return self.row_at_once((file, line), series, time, values, problems);
        }
        for (at, value) in values {
            if let Some(column) = self.columns.get_mut(*at) {
                push(&mut column.values, *value);
            }
        }
        self.times.push(time);
        for column in &mut self.columns {
            if column.values.len() < self.times.len() {
                column.values.push_null();
            }
        }
        let place = self.place_of(series);
        self.of_row.push(place);
        self.lines.push((file.clone(), line));
        self.taken((file, line), values.iter().map(|(_, value)| value));
        match self.is_full(self.times.len()) {
            true => self.commit(problems),
            false => Ok(()),
        }
    }

    /// Counts a row.
    fn taken<'v>(
        &mut self,
        (file, line): (&Arc<str>, u64),
        values: impl Iterator<Item = &'v Value<'v>>,
    ) {
        let uncommitted = &mut self.uncommitted;
        uncommitted.rows += 1;
        uncommitted
            .first
            .get_or_insert_with(|| (file.clone(), line));
        for value in values {
            uncommitted.values += u64::from(*value != Value::Null);
            if let Value::String(text) = value {
                self.text += text.len();
            }
        }
    }

    /// Hands a row to the writer, so that what the table refuses is known before the next line is
    /// read, of whatever table that is.
    fn row_at_once(
        &mut self,
        (file, line): (&Arc<str>, u64),
        series: u32,
        time: i64,
        values: &[(usize, Value<'_>)],
        problems: &mut Problems,
    ) -> Run<()> {
        let fields: Vec<(&str, Value<'_>)> = values
            .iter()
            .map(|(at, value)| (self.columns[*at].name.as_str(), *value))
            .collect();
        let handle = &self.handles[series as usize];
        match self.writer.append_fields(handle, time, &fields) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Invalid => {
                problems.refuse(file, line, error);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.staged += 1;
        self.taken((file, line), values.iter().map(|(_, value)| value));
        match self.is_full(self.staged) {
            true => self.commit(problems),
            false => Ok(()),
        }
    }

    /// Whether the rows not yet committed are enough for a commit.
    fn is_full(&self, rows: usize) -> bool {
        rows >= BATCH_ROWS || rows * self.columns.len() >= BATCH_VALUES || self.text >= BATCH_TEXT
    }

    fn place_of(&mut self, series: u32) -> u32 {
        let (batch, place) = &mut self.places[series as usize];
        if *batch != self.batch {
            // No more of them than there are numbers.
            let next = u32::try_from(self.batch_series.len()).unwrap_or(u32::MAX);
            (*batch, *place) = (self.batch, next);
            self.batch_series
                .push(self.handles[series as usize].clone());
        }
        *place
    }

    /// Commits the rows taken since the last commit. Those that the table refuses are reported,
    /// the others are taken. After an error they are kept, and another commit tries again.
    pub(super) fn commit(&mut self, problems: &mut Problems) -> Run<()> {
        // After a failed commit the writer has them already.
        if self.staged == 0 {
            self.stage(problems)?;
        }
        if self.staged == 0 {
            return Ok(());
        }
        self.submit()?;
        problems.committed(mem::take(&mut self.staged));
        let committed = mem::take(&mut self.uncommitted);
        self.rows += committed.rows;
        self.values += committed.values;
        self.text = 0;
        Ok(())
    }

    /// Hands the rows to the writer.
    fn stage(&mut self, problems: &mut Problems) -> Run<()> {
        if self.times.is_empty() {
            return Ok(());
        }
        let series = self.batch_series.clone();
        let mut batch = Batch::of_many(series, self.of_row.clone(), self.times.clone());
        for SinkColumn { name, values } in &self.columns {
            if values.null_count() == self.times.len() {
                continue;
            }
            batch = match &values.validity {
                Some(valid) => batch.nullable(name, values.values.clone(), valid.clone()),
                None => batch.column(name, values.values.clone()),
            };
        }
        match self.writer.append_batch(batch) {
            Ok(()) => self.staged += self.times.len(),
            Err(error) if error.kind() == ErrorKind::Invalid => self.stage_one_by_one(problems)?,
            Err(error) => return Err(error.into()),
        }
        self.times.clear();
        self.of_row.clear();
        self.lines.clear();
        self.batch_series.clear();
        self.batch += 1;
        for column in &mut self.columns {
            column.values = Column::new(column.values.values.field_type());
        }
        Ok(())
    }

    /// Hands the rows to the writer, without those that are wrong; or none, after an error.
    fn stage_one_by_one(&mut self, problems: &mut Problems) -> Run<()> {
        let mut refused = Vec::new();
        let mut first = None;
        for row in 0..self.times.len() {
            let handle = &self.batch_series[self.of_row[row] as usize];
            let fields: Vec<(&str, Value<'_>)> = self
                .columns
                .iter()
                .map(|c| (c.name.as_str(), Value::of_column(&c.values, row)))
                // What a row does not give is no reason to refuse it.
                .filter(|(_, value)| *value != Value::Null)
                .collect();
            match self.writer.append_fields(handle, self.times[row], &fields) {
                Ok(()) => {
                    self.staged += 1;
                    first.get_or_insert(row);
                }
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    refused.push((row, fields.len() as u64, error));
                }
                Err(error) => {
                    self.writer.clear();
                    self.staged = 0;
                    return Err(error.into());
                }
            }
        }
        for (row, values, error) in refused {
            let (file, line) = &self.lines[row];
            problems.refuse(file, *line, error);
            self.uncommitted.rows -= 1;
            self.uncommitted.values -= values;
        }
        self.uncommitted.first = first.map(|row| self.lines[row].clone());
        Ok(())
    }

    fn submit(&mut self) -> Run<()> {
        let mut waited = 0;
        loop {
            match self.writer.commit_as(Durability::Os) {
                Ok(ticket) => {
                    drop(ticket);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Busy && waited < self.patience => {
                    waited += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Appends a value of the column's type; anything else becomes null.
fn push(column: &mut Column, value: Value<'_>) {
    match (value, &mut column.values) {
        (Value::F64(v), Values::F64(to)) => to.push(v),
        (Value::I64(v), Values::I64(to)) => to.push(v),
        (Value::U64(v), Values::U64(to)) => to.push(v),
        (Value::Bool(v), Values::Bool(to)) => to.push(v),
        (Value::String(v), Values::String(to)) => to.push(v),
        _ => {
            column.push_null();
            return;
        }
    }
    if let Some(validity) = &mut column.validity {
        validity.push(true);
    }
}
