//! Open tables by name and id, and the options of new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use tidestone_format::schema::{DuplicatePolicy, SchemaMode, TableSchema, TableSettings};
use tidestone_format::{FieldType, TableId, Timestamp};

use super::fields::{Fields, add_fields, other_type};
use super::names::Known;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Version;

/// Default of [`TableOptions::partition`]: one day.
pub const DEFAULT_PARTITION: Duration = Duration::from_secs(24 * 3600);
/// Default of [`TableOptions::future_bound`]: one day.
pub const DEFAULT_FUTURE_BOUND: Duration = Duration::from_secs(24 * 3600);

/// Differences told, at most.
const TOLD_MAX: usize = 8;

/// What a table holds and how it treats its rows. Fields can be added later
/// ([`Table::add_field`](crate::Table::add_field)), and what it keeps can be changed
/// ([`Table::set_retention`](crate::Table::set_retention),
/// [`set_drop_oldest_when_full`](crate::Table::set_drop_oldest_when_full),
/// [`set_future_bound`](crate::Table::set_future_bound)); policy, mode and partition stay as long as the table.
///
/// ```
/// use tidestone::{DuplicatePolicy, FieldType, TableOptions};
/// use std::time::Duration;
///
/// let ticks = TableOptions::new()
///     .field("price", FieldType::F64)
///     .field("size", FieldType::I64)
///     .policy(DuplicatePolicy::All)
///     .partition(Duration::from_secs(3600));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// Fields the table starts with.
    pub fields: Vec<(String, FieldType)>,
    /// What becomes of rows with the series and timestamp of another. Default `None`: `Replace`, and of a
    /// table that is there what it has.
    pub policy: Option<DuplicatePolicy>,
    /// Whether writes by field name may add fields. Default fixed.
    pub mode: SchemaMode,
    /// Window of time that shares segments: what retention drops at a time. Default `None`:
    /// [`DEFAULT_PARTITION`], and of a table that is there what it has; at least one second, at most 292
    /// years.
    pub partition: Option<Duration>,
    /// How far ahead of the clock a row may lie. `None`: any distance. Default
    /// [`DEFAULT_FUTURE_BOUND`].
    pub future_bound: Option<Duration>,
    /// Rows older than this are dropped, once the clock is believed
    /// ([`Tidestone::enforce_retention`](crate::Tidestone::enforce_retention)); from then on rows as
    /// old are refused. Default `None`: kept; at least one second, at most 292 years.
    pub retention_age: Option<Duration>,
    /// Bytes of segments beyond which the oldest partitions are dropped, after segments of which deletes hide
    /// every row. Where they hide a part of one, all of it counts until it is merged. Default `None`: kept; at
    /// least one.
    pub retention_bytes: Option<u64>,
    /// Whether the oldest partition is dropped where the disk is full, so that writing goes on: what an
    /// edge box wants of its card. The newest partition always stays, and nothing more is dropped while a
    /// query still reads what was. A commit waits for it as for memory ([`Backpressure`](crate::Backpressure)).
    /// Default `false`: writes are refused with [`ErrorKind::DiskFull`] and nothing is dropped.
    pub drop_oldest_when_full: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            fields: Vec::new(),
            policy: None,
            mode: SchemaMode::Fixed,
            partition: None,
            future_bound: Some(DEFAULT_FUTURE_BOUND),
            retention_age: None,
            retention_bytes: None,
            drop_oldest_when_full: false,
        }
    }
}

impl TableOptions {
    /// A table without fields, with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, field_type: FieldType) -> Self {
        self.fields.push((name.into(), field_type));
        self
    }

    /// Sets what becomes of duplicates.
    #[must_use]
    pub fn policy(mut self, policy: DuplicatePolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Lets writes by field name add fields.
    #[must_use]
    pub fn open_schema(mut self) -> Self {
        self.mode = SchemaMode::Open;
        self
    }

    /// Sets the window of time that shares segments.
    #[must_use]
    pub fn partition(mut self, partition: Duration) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets how far ahead of the clock a row may lie.
    #[must_use]
    pub fn future_bound(mut self, bound: Option<Duration>) -> Self {
        self.future_bound = bound;
        self
    }

    /// Sets the age at which rows are dropped.
    #[must_use]
    pub fn retention_age(mut self, age: Option<Duration>) -> Self {
        self.retention_age = age;
        self
    }

    /// Sets the bytes of segments beyond which the oldest partitions are dropped.
    #[must_use]
    pub fn retention_bytes(mut self, bytes: Option<u64>) -> Self {
        self.retention_bytes = bytes;
        self
    }

    /// Lets the oldest partition be dropped where the disk is full.
    #[must_use]
    pub fn drop_oldest_when_full(mut self) -> Self {
        self.drop_oldest_when_full = true;
        self
    }

    /// Checks that a table that is there is as these options ask for. They ask for nothing that they
    /// leave at its default.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`]; what differs is named. Or the options are out of bounds.
    pub(crate) fn check(&self, there: &TableSchema) -> Result<()> {
        let (has, asked) = (
            &there.settings,
            self.schema(there.id, &there.name)?.settings,
        );
        let usual = Self::new();
        let span = |ns: i64| Duration::from_nanos(ns.unsigned_abs());
        let spans = |ns: Option<i64>| format!("{:?}", ns.map(span));
        let told = |setting: &dyn Fn(&TableSettings) -> String| (setting(has), setting(&asked));
        let settings = [
            (
                self.policy.is_some(),
                "policy",
                told(&|s| format!("{:?}", s.policy)),
            ),
            (
                self.mode != usual.mode,
                "mode",
                told(&|s| format!("{:?}", s.mode)),
            ),
            (
                self.partition.is_some(),
                "partition",
                told(&|s| format!("{:?}", span(s.partition_ns))),
            ),
            (
                self.future_bound != usual.future_bound,
                "future_bound",
                told(&|s| spans(s.future_bound_ns)),
            ),
            (
                self.retention_age.is_some(),
                "retention_age",
                told(&|s| spans(s.retention_age_ns)),
            ),
            (
                self.retention_bytes.is_some(),
                "retention_bytes",
                told(&|s| format!("{:?}", s.retention_bytes)),
            ),
            (
                self.drop_oldest_when_full,
                "drop_oldest_when_full",
                told(&|s| s.drops_when_full.to_string()),
            ),
        ];
        let settings = settings
            .into_iter()
            .filter_map(|(given, what, (has, asked))| {
                (given && has != asked).then(|| format!("{what} is {has}, asked for is {asked}"))
            });
        let fields = self.fields.iter().filter_map(|(name, asked)| {
            let Some(field) = there.field_by_name(name) else {
                return Some(format!("there is no field {name:?}"));
            };
            let has = field.field_type;
            (has != *asked).then(|| format!("field {name:?} is {has}, asked for is {asked}"))
        });
        let differ: Vec<String> = settings.chain(fields).take(TOLD_MAX).collect();
        if differ.is_empty() {
            return Ok(());
        }
        let message = format!(
            "table {:?} is there and is not as asked for: {}; ask for what it has, change it (`add_field`, \
             `set_retention` and others), or open it with `table`",
            there.name,
            differ.join("; ")
        );
        Err(Error::new(ErrorKind::Exists, message))
    }

    /// The schema of a new table.
    pub(crate) fn schema(&self, id: TableId, name: &str) -> Result<TableSchema> {
        let partition = self.partition.unwrap_or(DEFAULT_PARTITION);
        if partition < Duration::from_secs(1) {
            let message =
                format!("partition of {partition:?}: at least one second; choose a longer one");
            return Err(Error::invalid(message));
        }
        let mut settings = TableSettings {
            policy: self.policy.unwrap_or(DuplicatePolicy::Replace),
            mode: self.mode,
            partition_ns: nanos("partition", partition)?,
            future_bound_ns: None,
            retention_age_ns: None,
            retention_bytes: None,
            drops_when_full: self.drop_oldest_when_full,
        };
        bound_future(&mut settings, self.future_bound)?;
        retain(&mut settings, self.retention_age, self.retention_bytes)?;
        let schema = TableSchema {
            id,
            name: name.to_owned(),
            settings,
            next_field_id: 1,
            fields: Vec::new(),
        };
        let mut given = FxHashMap::default();
        for (field, field_type) in &self.fields {
            if let Some(earlier) = given.insert(field, field_type) {
                return Err(Error::invalid(format!(
                    "table {name:?} is given field {field:?} twice: as {earlier}, and as {field_type}; give it once",
                )));
            }
        }
        let fields = self.fields.iter().map(|(field, of)| (field.as_str(), *of));
        let schema = add_fields(&schema, fields, other_type(name))?;
        if name.is_empty() || name.len() > usize::from(u16::MAX) {
            let message = format!(
                "table name of {} bytes: 1 to 65535 are allowed; choose another",
                name.len()
            );
            return Err(Error::invalid(message));
        }
        Ok(schema)
    }
}

fn nanos(what: &str, duration: Duration) -> Result<i64> {
    i64::try_from(duration.as_nanos()).map_err(|_| {
        Error::invalid(format!(
            "{what} of {duration:?}: at most 292 years; choose a shorter one"
        ))
    })
}

/// Sets [`TableOptions::future_bound`].
pub(crate) fn bound_future(settings: &mut TableSettings, bound: Option<Duration>) -> Result<()> {
    settings.future_bound_ns = bound.map(|d| nanos("future bound", d)).transpose()?;
    Ok(())
}

/// Sets [`TableOptions::retention_age`] and [`TableOptions::retention_bytes`].
pub(crate) fn retain(
    settings: &mut TableSettings,
    age: Option<Duration>,
    bytes: Option<u64>,
) -> Result<()> {
    if let Some(age) = age
        && age < Duration::from_secs(1)
    {
        let message =
            format!("retention age of {age:?}: at least one second, or `None` to keep all");
        return Err(Error::invalid(message));
    }
    if bytes == Some(0) {
        let message = "retention of 0 bytes: at least one, or `None` to keep all";
        return Err(Error::invalid(message));
    }
    settings.retention_age_ns = age.map(|d| nanos("retention age", d)).transpose()?;
    settings.retention_bytes = bytes;
    Ok(())
}

/// A table as all handles to it share it.
#[derive(Debug)]
pub(crate) struct TableCore {
    pub(crate) id: TableId,
    pub(crate) name: String,
    pub(crate) policy: DuplicatePolicy,
    fields: ArcSwap<Fields>,
    /// Rows before it are gone and refused.
    horizon: AtomicI64,
}

impl TableCore {
    fn new(schema: TableSchema) -> Self {
        Self {
            id: schema.id,
            name: schema.name.clone(),
            policy: schema.settings.policy,
            fields: ArcSwap::from_pointee(Fields::new(schema)),
            horizon: AtomicI64::new(Timestamp::MIN),
        }
    }

    pub(crate) fn schema(&self) -> Arc<TableSchema> {
        self.fields.load().schema().clone()
    }

    /// The schema, to find fields by name.
    pub(crate) fn fields(&self) -> Arc<Fields> {
        self.fields.load_full()
    }

    /// The time from which on rows are kept.
    #[inline]
    pub(crate) fn horizon(&self) -> Timestamp {
        self.horizon.load(Ordering::Relaxed)
    }

    /// Moves the horizon forward.
    pub(crate) fn raise_horizon(&self, horizon: Timestamp) {
        self.horizon.fetch_max(horizon, Ordering::Relaxed);
    }
}

/// First and last timestamp of the partition of length `length` that holds `time`.
pub(crate) fn partition_of(time: Timestamp, length: i64) -> (Timestamp, Timestamp) {
    let offset = time.rem_euclid(length);
    let start = time.saturating_sub(offset);
    let end = time.saturating_add(length - 1 - offset);
    (start, end)
}

/// The tables of a database.
#[derive(Debug, Default)]
pub(crate) struct Tables(RwLock<ByName>);

#[derive(Debug, Default)]
struct ByName {
    by_name: FxHashMap<String, Arc<TableCore>>,
    by_id: FxHashMap<TableId, Arc<TableCore>>,
}

impl Tables {
    /// The tables of a version.
    pub(crate) fn of(version: &Version) -> Self {
        let tables = Self::default();
        for table in version.tables.values() {
            let core = tables.put(table.schema.as_ref().clone());
            core.raise_horizon(table.horizon);
        }
        tables
    }

    /// Adds a table, or changes the schema of one.
    pub(crate) fn put(&self, schema: TableSchema) -> Arc<TableCore> {
        let mut tables = self.0.write();
        if let Some(table) = tables.by_id.get(&schema.id) {
            table.fields.store(Arc::new(Fields::new(schema)));
            return table.clone();
        }
        let table = Arc::new(TableCore::new(schema));
        tables.by_name.insert(table.name.clone(), table.clone());
        tables.by_id.insert(table.id, table.clone());
        table
    }

    /// Removes a table.
    pub(crate) fn remove(&self, id: TableId) {
        let mut tables = self.0.write();
        if let Some(table) = tables.by_id.remove(&id) {
            tables.by_name.remove(&table.name);
        }
    }

    /// The table of that name.
    pub(crate) fn by_name(&self, name: &str) -> Result<Arc<TableCore>> {
        let tables = self.0.read();
        tables.by_name.get(name).cloned().ok_or_else(|| {
            let mut names: Vec<&str> = tables.by_name.keys().map(String::as_str).collect();
            names.sort_unstable();
            let known = Known::near(name, names);
            let message = format!("there is no table {name:?}; there are {known}: correct the name, or create the table");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// The table of that id.
    pub(crate) fn by_id(&self, id: TableId) -> Option<Arc<TableCore>> {
        self.0.read().by_id.get(&id).cloned()
    }

    /// All tables, by name.
    pub(crate) fn all(&self) -> Vec<Arc<TableCore>> {
        let mut all: Vec<_> = self.0.read().by_id.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_tile_all_time() {
        let check = |time, expected| assert_eq!(partition_of(time, 10), expected);
        check(0, (0, 9));
        check(9, (0, 9));
        check(-1, (-10, -1));
        check(-10, (-10, -1));
        let (start, end) = partition_of(i64::MAX, 1000);
        assert!(start > i64::MAX - 1000 && end == i64::MAX);
        let (start, end) = partition_of(i64::MIN, 1000);
        assert!(start == i64::MIN && end > start);
        assert_eq!(partition_of(i64::MAX, i64::MAX).1, i64::MAX);
    }
}
