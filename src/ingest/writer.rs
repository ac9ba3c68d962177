//! Staging rows and committing them as one batch.

use std::marker::PhantomData;
use std::sync::Arc;

use tidestone_format::column::Column;
use tidestone_format::log::FrameKind;
use tidestone_format::schema::{SchemaMode, TableSchema};
use tidestone_format::{FieldType, Lsn, SeriesId, TableId, Timestamp, checksum};

use super::batch::{too_long, with_new, wrong_type};
use super::{Batch, Durability, Ticket};
use crate::catalog::{Fields, Hold, Pin, TableCore, given_twice, no_field};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::rows::Rows;
use crate::value::Value;
use crate::wal::{BatchRows, Frame, encode_batch};

/// A series, resolved: what rows are appended to. Cheap to clone, valid as long as its table. While a
/// handle lives its series is not forgotten, even if retention or deletes take all of its rows.
#[derive(Debug, Clone)]
pub struct SeriesHandle {
    table: Arc<TableCore>,
    id: SeriesId,
    /// Held, not read: the series is not forgotten.
    _hold: Arc<Hold>,
}

impl SeriesHandle {
    pub(crate) fn new(table: Arc<TableCore>, id: SeriesId, hold: Arc<Hold>) -> Self {
        Self {
            table,
            id,
            _hold: hold,
        }
    }

    /// The series' id.
    pub fn id(&self) -> SeriesId {
        self.id
    }

    /// The name of its table.
    pub fn table(&self) -> &str {
        &self.table.name
    }
}

/// Stages rows and commits them. Each thread that writes has its own.
///
/// Staged rows are invisible until [`commit`](Writer::commit) makes all of them one batch, which is
/// there whole or not at all, whatever happens. Dropping a writer drops what it staged.
pub struct Writer {
    engine: Arc<Engine>,
    staged: Vec<Staged>,
    /// While rows are staged: their series are not forgotten, whether or not their handles live.
    pin: Option<Pin>,
    /// Encodes the batch; kept for its memory.
    payload: Vec<u8>,
    /// Of each field: which of the values given by name is its; kept for its memory.
    values: Vec<Option<usize>>,
    /// Rows up to this time need no look at the clock.
    future_known: Timestamp,
    /// A writer may move between threads; two threads may not use one.
    not_sync: PhantomData<std::cell::Cell<()>>,
}

struct Staged {
    table: Arc<TableCore>,
    schema: Arc<TableSchema>,
    rows: Rows,
}

impl std::fmt::Debug for Writer {
    /// How many rows are staged, and not the rows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("engine", &self.engine)
            .field("staged_rows", &self.staged_rows())
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            staged: Vec::new(),
            pin: None,
            payload: Vec::new(),
            values: Vec::new(),
            future_known: Timestamp::MIN,
            not_sync: PhantomData,
        }
    }

    /// Stages a row: the values of the table's fields in the order of its schema. Fields behind
    /// the last value given are null.
    ///
    /// # Errors
    /// More values than fields, a value of another type than its field (an integer is not taken for
    /// a float), a string of more than 16 MiB, or a time the table refuses: further ahead of the
    /// clock than its [`future_bound`](crate::TableOptions::future_bound), or so old that its
    /// [retention by age](crate::TableOptions::retention_age) has dropped rows up to it. The row is
    /// not staged then; others stay staged.
    #[inline]
    pub fn append(
        &mut self,
        series: &SeriesHandle,
        time: Timestamp,
        values: &[Value<'_>],
    ) -> Result<()> {
        self.check_time(&series.table, time)?;
        let at = self.staging(&series.table);
        let staged = &mut self.staged[at];
        if values.len() > staged.rows.columns.len() {
            staged.refresh();
        }
        let rows = staged.rows.times.len();
        let columns = &mut staged.rows.columns;
        if values.len() > columns.len() {
            return Err(staged.misfit(values));
        }
        let mut fits = true;
        for (value, (_, column)) in values.iter().zip(columns.iter_mut()) {
            fits &= value.push_to(column);
        }
        if !fits {
            // Nothing of a row that is refused stays.
            columns
                .iter_mut()
                .for_each(|(_, column)| column.truncate(rows));
            return Err(staged.misfit(values));
        }
        for (_, column) in &mut columns[values.len()..] {
            column.push_null();
        }
        staged.rows.series.push(series.id);
        staged.rows.times.push(time);
        Ok(())
    }

    /// Stages a row given by field names; in a table with an open schema, fields that are not there
    /// yet are added and durable, all with one sync. Fields not named are null.
    ///
    /// ```
    /// # use tidestone::*;
    /// # let db = Tidestone::builder("/db").disk(std::sync::Arc::new(io::SimDisk::new())).create()?;
    /// let options = TableOptions::new().field("usage", FieldType::F64).open_schema();
    /// let cpu = db.create_table("cpu", options)?;
    /// let host = cpu.series(&[("host", "a")])?;
    /// let mut writer = db.writer();
    /// writer.append_fields(&host, 1, &[("usage", Value::F64(0.5))])?;
    /// writer.append_fields(&host, 2, &[("note", Value::String("hot")), ("usage", Value::F64(0.9))])?;
    /// writer.commit_and_wait()?;
    /// assert_eq!(cpu.field("note")?.field_type, FieldType::String);
    ///
    /// let batch = cpu.query().fields(&["usage", "note"]).last()?;
    /// assert_eq!((batch.value(0, 0), batch.value(0, 1)), (Value::F64(0.9), Value::String("hot")));
    /// // A type stays: an integer is not taken for a float.
    /// assert!(writer.append_fields(&host, 3, &[("usage", Value::I64(1))]).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// An unknown field in a table with a fixed schema, a field named twice, a value of another
    /// type than its field (both types are named), a string of more than 16 MiB, or a time the table
    /// refuses, as [`Writer::append`] does. Or the fields cannot be added: the disk is full
    /// ([`ErrorKind::DiskFull`](crate::ErrorKind::DiskFull)) or fails. No field is added for a row that
    /// is not staged.
    pub fn append_fields(
        &mut self,
        series: &SeriesHandle,
        time: Timestamp,
        fields: &[(&str, Value<'_>)],
    ) -> Result<()> {
        self.check_time(&series.table, time)?;
        let unknown = self.find_values(&series.table.fields(), fields)?;
        if !unknown.is_empty() {
            // Nothing is wrong with the row: only now fields may be added for it.
            self.add_unknown(&series.table, fields, &unknown)?;
        }
        let at = self.staging(&series.table);
        let staged = &mut self.staged[at];
        staged.refresh();
        for (place, (_, column)) in staged.rows.columns.iter_mut().enumerate() {
            match self.values.get(place).copied().flatten() {
                // That it fits was checked above.
                Some(i) => drop(fields[i].1.push_to(column)),
                None => column.push_null(),
            }
        }
        staged.rows.series.push(series.id);
        staged.rows.times.push(time);
        Ok(())
    }

    /// Stages whole columns. All of the batch is staged, or nothing of it. Fields are added as by
    /// [`Writer::append_fields`].
    ///
    /// # Errors
    /// Columns of unequal length, unknown fields, wrong types, strings of more than 16 MiB, series of
    /// more than one table, or a time the table refuses, as [`Writer::append`] does. Or fields cannot be
    /// added. No field is added for a batch that is not staged.
    pub fn append_batch(&mut self, batch: Batch) -> Result<()> {
        let Some(first) = batch.series().first() else {
            if batch.is_empty() {
                return Ok(());
            }
            return Err(Error::invalid(format!(
                "the batch has {} rows and no series; name the series they are of",
                batch.len()
            )));
        };
        let table = first.table.clone();
        if let Some(other) = batch
            .series()
            .iter()
            .find(|s| !Arc::ptr_eq(&s.table, &table))
        {
            // Another database may have a table of the same name and id.
            let message = format!(
                "a batch is of one table of one open database; it has series of {:?} and of another \
                 table {:?}: make one for each",
                table.name, other.table.name
            );
            return Err(Error::invalid(message));
        }
        self.check_times(&table, batch.times())?;
        let known = table.fields();
        let new = batch.check(&known)?;
        if batch.is_empty() {
            return Ok(());
        }
        // Nothing is wrong with the batch: only now fields may be added for it.
        self.add_fields(&table, &new)?;
        // Before the handles of the batch are let go.
        let at = self.staging(&table);
        let rows = batch.into_rows(&table.fields())?;
        self.staged[at].take_in(rows);
        Ok(())
    }

    /// Checks the values of a row, and notes which is of which field. Returns those whose fields are not
    /// there.
    fn find_values(&mut self, known: &Fields, fields: &[(&str, Value<'_>)]) -> Result<Vec<usize>> {
        let schema = known.schema();
        let twice = |name: &str| {
            Error::invalid(format!(
                "field {name:?} is given twice in one row; give each field once"
            ))
        };
        self.values.clear();
        self.values.resize(schema.fields.len(), None);
        let mut unknown = Vec::new();
        for (i, (name, value)) in fields.iter().enumerate() {
            if let Some(len) = value.too_long() {
                return Err(too_long(&schema.name, name, len));
            }
            let Some(place) = known.place(name) else {
                if schema.settings.mode == SchemaMode::Fixed {
                    return Err(Error::invalid(no_field(schema, name)));
                }
                unknown.push(i);
                continue;
            };
            if self.values[place].replace(i).is_some() {
                return Err(twice(name));
            }
            let field = &schema.fields[place];
            match value.field_type() {
                Some(given) if given != field.field_type => {
                    return Err(wrong_type(&schema.name, field, given));
                }
                _ => {}
            }
        }
        match given_twice(unknown.iter().map(|&i| fields[i].0)) {
            Some(name) => Err(twice(name)),
            None => Ok(unknown),
        }
    }

    /// Adds the fields that a row names and the table has not; those named for nulls alone are not
    /// needed.
    fn add_unknown(
        &mut self,
        table: &TableCore,
        fields: &[(&str, Value<'_>)],
        unknown: &[usize],
    ) -> Result<()> {
        let new = unknown.iter().filter_map(|&i| {
            let (name, value) = fields[i];
            Some((name, value.field_type()?))
        });
        self.add_fields(table, &new.collect::<Vec<_>>())?;
        let known = table.fields();
        self.values.resize(known.schema().fields.len(), None);
        for &i in unknown {
            if let Some(place) = known.place(fields[i].0) {
                self.values[place] = Some(i);
            }
        }
        Ok(())
    }

    /// Adds the fields of a batch or row that the table has not: all in one edit of the manifest, or none.
    fn add_fields(&self, table: &TableCore, new: &[(&str, FieldType)]) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        // Another writer may have added some of them meanwhile.
        self.engine
            .change_table(table, |schema| with_new(schema, new))
    }

    /// How many rows are staged.
    pub fn staged_rows(&self) -> usize {
        self.staged.iter().map(|s| s.rows.len()).sum()
    }

    fn staged_text(&self) -> usize {
        self.staged.iter().map(|s| s.rows.text()).sum()
    }

    /// Drops what is staged.
    pub fn clear(&mut self) {
        for staged in &mut self.staged {
            staged.clear();
        }
        self.pin = None;
    }

    /// Makes what is staged one batch that will survive a power loss; the ticket says when. The
    /// rows are visible to readers at once. The sync is started at once, by another thread: many
    /// tickets can be on their way. With nothing staged it is the ticket of the last commit of the
    /// database, whoever made it.
    ///
    /// # Errors
    /// The memory budget is spent or the log has no room ([`ErrorKind::Busy`](crate::ErrorKind::Busy)),
    /// the disk is full, the batch has more than 512 MiB of strings, or a table was dropped since or is of
    /// another database ([`ErrorKind::NotFound`](crate::ErrorKind::NotFound)): in these cases the rows stay
    /// staged, to be committed again or [cleared](Writer::clear). Or writing has stopped after an earlier
    /// failure ([`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned)), or the database was closed or opened
    /// for reading only ([`ErrorKind::Closed`](crate::ErrorKind::Closed)).
    pub fn commit(&mut self) -> Result<Ticket> {
        self.commit_as(Durability::Synced)
    }

    /// As [`Writer::commit`], with the durability to be reached: the ticket says when it is. Writing
    /// and syncing are left to another thread; nothing here waits for the disk, but where more is on
    /// its way to it than the memory budget allows, or the log's next file is still being made, and then no
    /// longer than [`Backpressure`](crate::Backpressure) says.
    ///
    /// # Errors
    /// As [`Writer::commit`].
    pub fn commit_as(&mut self, durability: Durability) -> Result<Ticket> {
        let lsn = self.submit()?;
        self.ticket(lsn, durability)
    }

    /// The ticket of a batch that is in the log, whose durability is asked for.
    fn ticket(&self, lsn: Lsn, durability: Durability) -> Result<Ticket> {
        let log = self.engine.log_of_commits()?;
        match durability {
            Durability::Memory => {}
            Durability::Os => log.request(lsn, false),
            Durability::Synced => log.request(lsn, true),
        }
        Ok(Ticket::new(self.engine.clone(), lsn, durability))
    }

    /// Commits and waits until the batch survives a power loss. The calling thread writes and
    /// syncs by itself if no other is at it: the quickest way for a lone writer.
    ///
    /// # Errors
    /// As [`Writer::commit`] and [`Ticket::wait`].
    pub fn commit_and_wait(&mut self) -> Result<Lsn> {
        let lsn = self.submit()?;
        self.sync(lsn)?;
        Ok(lsn)
    }

    /// Makes a batch that is in the log durable.
    fn sync(&self, lsn: Lsn) -> Result<()> {
        self.engine.log_of_commits()?.sync_to(lsn)
    }

    /// Puts the batch into the log's buffer and the head.
    fn submit(&mut self) -> Result<Lsn> {
        let log = self.engine.writable()?;
        if self.staged.iter().all(|s| s.rows.is_empty()) {
            self.pin = None;
            return Ok(log.last_lsn());
        }
        for staged in self.staged.iter().filter(|s| !s.rows.is_empty()) {
            let checked = self.engine.check_has_table(&staged.table);
            checked.map_err(|error| {
                error.advising("what is staged stays so: `clear` the writer to go on")
            })?;
        }
        let lsn = match self.staged.iter().any(|s| s.is_large()) {
            true => self.submit_shared(),
            false => self.submit_copied(),
        }?;
        self.pin = None;
        Ok(lsn)
    }

    /// Commits a small batch: the rows are copied, and the buffers used again.
    fn submit_copied(&mut self) -> Result<Lsn> {
        let staged = self.staged.iter().filter(|s| !s.rows.is_empty());
        encode_batch(
            &mut self.payload,
            staged.clone().map(|s| (s.table.id, &s.rows)),
        )?;
        let frame = Frame::Encoded {
            kind: FrameKind::Batch,
            payload: &self.payload,
            payload_crc: checksum::crc32(&self.payload),
        };
        let size = (self.staged_rows(), self.staged_text());
        let (lsn, ()) = self.engine.commit(frame, size, |head, lsn| {
            staged.for_each(|s| head.copy(s.table.id, s.table.policy, lsn, &s.rows));
        })?;
        self.clear();
        Ok(lsn)
    }

    /// Commits a large batch: log and head share the rows, the writer gets other buffers.
    fn submit_shared(&mut self) -> Result<Lsn> {
        let size = (self.staged_rows(), self.staged_text());
        // By place: what has no rows may be of a table of another database, with the same id.
        let places: Vec<usize> = (0..self.staged.len())
            .filter(|&at| !self.staged[at].rows.is_empty())
            .collect();
        let tables: Vec<Arc<TableCore>> = places
            .iter()
            .map(|&at| self.staged[at].table.clone())
            .collect();
        let sections: Vec<(TableId, Arc<Rows>)> = places
            .iter()
            .map(|&at| {
                let staged = &mut self.staged[at];
                (staged.table.id, Arc::new(std::mem::take(&mut staged.rows)))
            })
            .collect();
        let committed = BatchRows::new(sections.clone()).and_then(|batch| {
            let batch = Arc::new(batch);
            self.engine.commit(Frame::Rows(&batch), size, |head, lsn| {
                let shared = tables.iter().zip(&sections);
                shared
                    .map(|(table, (id, rows))| {
                        head.share(*id, table.policy, lsn, rows);
                        head.spare(*id)
                    })
                    .collect::<Vec<_>>()
            })
        });
        let (lsn, spares) = match committed {
            Ok((lsn, spares)) => (Ok(lsn), spares),
            // The rows stay staged.
            Err(error) => (Err(error), Vec::new()),
        };
        let mut spares = spares.into_iter();
        for (at, (_, rows)) in places.into_iter().zip(sections) {
            let staged = &mut self.staged[at];
            match &lsn {
                Ok(_) => staged.start_anew(spares.next().flatten(), rows.len()),
                Err(_) => staged.rows = Arc::unwrap_or_clone(rows),
            }
        }
        lsn
    }

    /// The place of a table's staged rows.
    #[inline]
    fn staging(&mut self, table: &Arc<TableCore>) -> usize {
        if self.pin.is_none() {
            self.pin = Some(self.engine.pins.pin());
        }
        match self
            .staged
            .iter()
            .position(|s| Arc::ptr_eq(&s.table, table))
        {
            Some(at) => at,
            None => {
                self.staged.push(Staged::new(table.clone()));
                self.staged.len() - 1
            }
        }
    }

    /// Checks all of a batch but its series, for which some may have to be made first.
    #[cfg(feature = "arrow")]
    pub(crate) fn check_ahead(&mut self, table: &Arc<TableCore>, batch: &Batch) -> Result<()> {
        self.engine.check_has_table(table).map_err(|error| {
            error.advising("take a writer of its database, or a new handle with `table`")
        })?;
        self.check_times(table, batch.times())?;
        batch.check_columns(&table.fields()).map(drop)
    }

    fn check_times(&mut self, table: &TableCore, times: &[Timestamp]) -> Result<()> {
        if let (Some(min), Some(max)) = (times.iter().min(), times.iter().max()) {
            self.check_time(table, *min)?;
            self.check_time(table, *max)?;
        }
        Ok(())
    }

    /// Refuses times too far ahead of the clock, or behind the retention horizon.
    #[inline]
    fn check_time(&mut self, table: &TableCore, time: Timestamp) -> Result<()> {
        if time > self.future_known {
            self.check_future(table, time)?;
        }
        let horizon = table.horizon();
        if time < horizon {
            let message = format!(
                "time {time} is before {horizon}, from where on table {:?} keeps rows, for good; write newer \
                 rows, or these to another table",
                table.name
            );
            return Err(Error::invalid(message));
        }
        Ok(())
    }

    #[cold]
    fn check_future(&mut self, table: &TableCore, time: Timestamp) -> Result<()> {
        let Some(bound) = table.schema().settings.future_bound_ns else {
            return Ok(());
        };
        let now = self.engine.clock().now();
        let latest = now.saturating_add(bound);
        if time > latest {
            let message = format!(
                "time {time} is {} ns ahead of the clock; table {:?} takes rows at most {bound} ns ahead: \
                 correct the time, or raise the future bound of the table",
                time.saturating_sub(now),
                table.name
            );
            return Err(Error::invalid(message));
        }
        // Whatever the bound of another table is, the present is never ahead.
        self.future_known = self.future_known.max(now);
        Ok(())
    }
}

impl Staged {
    fn new(table: Arc<TableCore>) -> Self {
        let schema = table.schema();
        let mut staged = Self {
            table,
            schema,
            rows: Rows::default(),
        };
        staged.add_columns();
        staged
    }

    /// Takes note of fields that were added to the table.
    fn refresh(&mut self) {
        let schema = self.table.schema();
        if schema.fields.len() != self.rows.columns.len() {
            self.schema = schema;
            self.add_columns();
        }
    }

    /// Whether handing the rows over is cheaper than copying them.
    fn is_large(&self) -> bool {
        /// Rows and values from which on it is.
        const ROWS: usize = 64;
        const VALUES: usize = 1_024;
        let rows = self.rows.len();
        rows >= ROWS && rows * (self.rows.columns.len() + 2) >= VALUES
    }

    /// Goes on in an emptied buffer, or in a new one with room for as many rows as the last.
    fn start_anew(&mut self, spare: Option<Rows>, rows: usize) {
        self.rows = spare.unwrap_or_default();
        self.refresh();
        let fields = self.schema.fields.iter();
        let ours = fields.map(|f| (f.id, f.field_type));
        let there = self.rows.columns.iter();
        if !ours.eq(there.map(|(id, c)| (*id, c.values.field_type()))) {
            self.rows = Rows::default();
            self.add_columns();
        }
        if self.rows.times.capacity() < rows {
            self.rows.series.reserve(rows);
            self.rows.times.reserve(rows);
            let columns = self.rows.columns.iter_mut();
            columns.for_each(|(_, c)| c.values.reserve(rows));
        }
    }

    fn add_columns(&mut self) {
        for field in &self.schema.fields[self.rows.columns.len()..] {
            let nulls = Column::nulls(field.field_type, self.rows.len());
            self.rows.columns.push((field.id, nulls));
        }
    }

    /// Adds the rows of a batch; into an empty staging they are moved, not copied.
    fn take_in(&mut self, batch: Rows) {
        self.refresh();
        if self.rows.is_empty() && batch.columns.len() == self.rows.columns.len() {
            self.rows = batch;
            return;
        }
        let (before, added) = (self.rows.len(), batch.len());
        self.rows.series.extend_from_slice(&batch.series);
        self.rows.times.extend_from_slice(&batch.times);
        for (id, column) in &mut self.rows.columns {
            match batch.column(*id) {
                Some(values) => column.extend_from(values, 0, added),
                None => (before..before + added).for_each(|_| column.push_null()),
            }
        }
    }

    /// Forgets the rows and keeps the memory.
    fn clear(&mut self) {
        if self.rows.columns.is_empty() {
            // The rows were taken by the head.
            self.add_columns();
        }
        self.rows.series.clear();
        self.rows.times.clear();
        for (_, column) in &mut self.rows.columns {
            // Unlike `clear` it keeps the null map, which the next nulls would have to allocate.
            column.truncate(0);
        }
    }

    fn misfit(&self, values: &[Value<'_>]) -> Error {
        let (name, fields) = (&self.schema.name, &self.schema.fields);
        if values.len() > fields.len() {
            let message = format!(
                "{} values for table {name:?}, which has {} fields; give one for each, or name them with \
                 `append_fields`",
                values.len(),
                fields.len()
            );
            return Error::invalid(message);
        }
        for (value, field) in values.iter().zip(fields) {
            match value.field_type() {
                Some(given) if given != field.field_type => {
                    return wrong_type(name, field, given);
                }
                _ => {}
            }
            if let Some(len) = value.too_long() {
                return too_long(name, &field.name, len);
            }
        }
        Error::invalid(format!(
            "the values do not fit the fields of table {name:?}; give each in the type of its field"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::SimDisk;
    use crate::{ErrorKind, FieldType, Options, TableOptions, Tidestone, Value};

    /// It was told that the database was closed, and the batch, which was staged no more, was there.
    #[test]
    fn a_commit_that_meets_a_close_is_told_the_truth() {
        let options = Options {
            memory_budget_bytes: 32 << 20,
            log_file_bytes: 64 << 10,
            ..Options::default()
        };
        let disk = Arc::new(SimDisk::new());
        let builder = Tidestone::builder("/db").options(options).disk(disk);
        let db = builder.create().unwrap();
        let fields = TableOptions::new().field("v", FieldType::I64);
        let table = db.create_table("t", fields).unwrap();
        let series = table.series(&[("host", "a")]).unwrap();
        let mut writer = db.writer();
        let submit = |writer: &mut Writer, time| {
            writer.append(&series, time, &[Value::I64(1)]).unwrap();
            writer.submit().unwrap()
        };
        let (first, second) = (submit(&mut writer, 1), submit(&mut writer, 2));
        db.engine().mark_closed();
        writer.sync(first).unwrap();
        db.engine().log().unwrap().close().unwrap();
        for durability in [Durability::Memory, Durability::Os, Durability::Synced] {
            let ticket = writer.ticket(second, durability).unwrap();
            assert!(ticket.is_durable());
            ticket.wait().unwrap();
        }
        writer.append(&series, 3, &[Value::I64(1)]).unwrap();
        let error = writer.commit().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert_eq!(writer.staged_rows(), 1, "what was refused stays staged");
    }

    /// It was told that the field exists, as if it had wanted to add it by hand, and the fields before
    /// it stayed.
    #[test]
    fn a_field_that_another_writer_adds_meanwhile_is_taken_or_refused() {
        let disk = Arc::new(SimDisk::new());
        let db = Tidestone::builder("/db").disk(disk).create().unwrap();
        let open = TableOptions::new().open_schema();
        let table = db.create_table("t", open).unwrap();
        let series = table.series(&[("host", "a")]).unwrap();
        let (mut writer, mut other) = (db.writer(), db.writer());
        let batch = Batch::of_series(&series, vec![1]);
        let batch = batch.f64("a", vec![1.0]).f64("b", vec![1.0]);
        // What both were missing, when they looked.
        let new = batch.check(&series.table.fields()).unwrap();
        other
            .append_fields(&series, 1, &[("b", Value::F64(2.0))])
            .unwrap();
        writer.add_fields(&series.table, &new).unwrap();
        let names = |table: &crate::Table| {
            let schema = table.schema();
            let names = schema.fields.iter().map(|f| f.name.clone());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&table), ["b", "a"]);
        let row = [("c", FieldType::I64), ("a", FieldType::I64)];
        let error = writer.add_fields(&series.table, &row).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("give it as f64"), "{error}");
        assert_eq!(names(&table), ["b", "a"]);
        writer.append_batch(batch).unwrap();
        assert_eq!(writer.staged_rows(), 1);
        db.close().unwrap();
    }
}
