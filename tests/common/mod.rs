//! A model of a database, and what tests of it share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod damaged;
pub(crate) mod gate;
pub(crate) mod wrong;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tidestone::{
    DuplicatePolicy, FieldType, Options, Query, RowBatch, Table, Tidestone, TimeRange, Value,
};

/// Pseudo-random numbers that depend on the seed only (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.index(from.len());
        &from[at]
    }
}

/// A value that is not null; doubles by their bits.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Val {
    F64(u64),
    I64(i64),
    U64(u64),
    Bool(bool),
    Text(String),
}

impl std::fmt::Debug for Val {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Val::F64(v) => write!(f, "F64({v:#x})"),
            Val::I64(v) => write!(f, "I64({v})"),
            Val::U64(v) => write!(f, "U64({v})"),
            Val::Bool(v) => write!(f, "Bool({v})"),
            Val::Text(v) if v.len() > 60 => write!(f, "Text({} bytes)", v.len()),
            Val::Text(v) => write!(f, "Text({v:?})"),
        }
    }
}

impl Val {
    pub(crate) fn of(value: Value<'_>) -> Option<Val> {
        Some(match value {
            Value::Null => return None,
            Value::F64(v) => Val::F64(v.to_bits()),
            Value::I64(v) => Val::I64(v),
            Value::U64(v) => Val::U64(v),
            Value::Bool(v) => Val::Bool(v),
            Value::String(v) => Val::Text(v.to_owned()),
        })
    }

    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Val::F64(v) => Value::F64(f64::from_bits(*v)),
            Val::I64(v) => Value::I64(*v),
            Val::U64(v) => Value::U64(*v),
            Val::Bool(v) => Value::Bool(*v),
            Val::Text(v) => Value::String(v),
        }
    }

    pub(crate) fn random(of: FieldType, dice: &mut Dice) -> Val {
        match of {
            FieldType::F64 => Val::F64(match dice.roll(12) {
                0 => f64::NAN.to_bits(),
                1 => 0xfff8_0000_0000_0001,
                2 => f64::INFINITY.to_bits(),
                3 => f64::NEG_INFINITY.to_bits(),
                4 => (-0.0f64).to_bits(),
                5 => dice.roll(u64::MAX),
                _ => (dice.roll(10_000) as f64 / 100.0).to_bits(),
            }),
            FieldType::I64 => Val::I64(match dice.roll(8) {
                0 => i64::MIN,
                1 => i64::MAX,
                _ => dice.roll(2_000).cast_signed() - 1_000,
            }),
            FieldType::U64 => Val::U64(match dice.roll(8) {
                0 => u64::MAX,
                1 => 0,
                _ => dice.roll(1_000),
            }),
            FieldType::Bool => Val::Bool(dice.roll(2) == 1),
            FieldType::String => Val::Text(match dice.roll(8) {
                0 => String::new(),
                1 => "\u{1F30A}x".repeat(dice.index(300)),
                2 => "long ".repeat(2_000),
                _ => format!("value {}", dice.roll(20)),
            }),
        }
    }
}

/// A field of each type.
pub(crate) const FIELDS: [(&str, FieldType); 5] = [
    ("f", FieldType::F64),
    ("i", FieldType::I64),
    ("u", FieldType::U64),
    ("b", FieldType::Bool),
    ("s", FieldType::String),
];

/// The values of a row by field; nulls are left out.
pub(crate) type Fields = BTreeMap<String, Val>;

/// A row: series, time, values.
pub(crate) type Row = (String, i64, Fields);

/// One step of a table's history.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Rows(Vec<Row>),
    /// Rows of the series (of all for none) in the span go.
    Delete(Option<String>, TimeRange),
}

/// What a table that took these steps holds.
pub(crate) fn replay<'a>(
    policy: DuplicatePolicy,
    steps: impl IntoIterator<Item = &'a Step>,
) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for step in steps {
        match step {
            Step::Rows(more) => rows.extend(more.iter().cloned()),
            Step::Delete(of, range) => rows.retain(|(series, time, _)| {
                !range.contains(*time) || of.as_ref().is_some_and(|o| o != series)
            }),
        }
    }
    rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    if policy == DuplicatePolicy::All {
        return rows;
    }
    let mut resolved: Vec<Row> = Vec::new();
    for (series, time, fields) in rows {
        match resolved.last_mut() {
            Some(last) if last.0 == series && last.1 == time => {
                if policy == DuplicatePolicy::Replace {
                    last.2.extend(fields);
                }
            }
            _ => resolved.push((series, time, fields)),
        }
    }
    resolved
}

/// The name of a series in the model: its tags.
pub(crate) fn name_of(key: &tidestone::SeriesKey) -> String {
    let tags: Vec<String> = key.tags().map(|(n, v)| format!("{n}={v}")).collect();
    tags.join(",")
}

/// All rows of a table, by series name and time.
pub(crate) fn contents(table: &Table) -> Vec<Row> {
    try_contents(table).unwrap()
}

/// The same, or why they could not be read.
pub(crate) fn try_contents(table: &Table) -> tidestone::Result<Vec<Row>> {
    try_rows(&table.query())
}

/// The rows that a query selects, by series name and time.
pub(crate) fn try_rows(query: &Query) -> tidestone::Result<Vec<Row>> {
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    let mut stream = query.scan()?;
    let mut rows = Vec::new();
    while let Some(batch) = stream.next() {
        let batch: RowBatch = batch?;
        for row in 0..batch.len() {
            let id = batch.series(row);
            let name = names.entry(id.0);
            let name = name
                .or_insert_with(|| name_of(&stream.key(id).unwrap()))
                .clone();
            let values = batch.fields().iter().enumerate();
            let fields = values
                .filter_map(|(c, f)| Some((f.name.clone(), Val::of(batch.value(row, c))?)))
                .collect();
            rows.push((name, batch.times()[row], fields));
        }
    }
    rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    Ok(rows)
}

/// Says where two lists of rows differ.
pub(crate) fn difference(actual: &[Row], expected: &[Row]) -> Option<String> {
    if actual == expected {
        return None;
    }
    let at = actual
        .iter()
        .zip(expected)
        .take_while(|(a, b)| a == b)
        .count();
    let short = |row: Option<&Row>| {
        let text = format!("{row:?}");
        text.chars().take(400).collect::<String>()
    };
    Some(format!(
        "{} rows, expected {}; row {at} is {}, expected {}",
        actual.len(),
        expected.len(),
        short(actual.get(at)),
        short(expected.get(at))
    ))
}

/// Copies a folder and all that is in it.
#[allow(
    clippy::disallowed_methods,
    reason = "it is the machine's own disk, below RocksDB"
)]
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_tree(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Options of a small database without work in the background.
pub(crate) fn quiet() -> Options {
    Options {
        memory_budget_bytes: 32 << 20,
        flush_after: None,
        log_file_bytes: 64 << 10,
        log_retained_bytes: 1 << 20,
        auto_compact: false,
        query_threads: 1,
        ..Options::default()
    }
}

/// Waits for what a background thread does, however busy the machine is: whoever runs the test ends it
/// when it takes too long.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    println!("waits for {what}");
    while !done() {
        std::thread::yield_now();
    }
}

/// Checks that the tables of a database hold what is expected.
pub(crate) fn check(db: &Tidestone, expected: &BTreeMap<String, Vec<Row>>) -> Result<(), String> {
    let names: Vec<String> = db.tables().iter().map(|t| t.name().to_owned()).collect();
    if !names.iter().eq(expected.keys()) {
        return Err(format!("tables {names:?}, expected {:?}", expected.keys()));
    }
    for (name, rows) in expected {
        let table = db.table(name).unwrap();
        if let Some(difference) = difference(&contents(&table), rows) {
            return Err(format!("table {name}: {difference}"));
        }
    }
    Ok(())
}

/// How often a randomised test runs; `TIDESTONE_TEST_SEEDS` multiplies it.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let times = std::env::var("TIDESTONE_TEST_SEEDS").ok();
    let times = times.and_then(|t| t.parse::<u64>().ok()).unwrap_or(1);
    0..usual * times
}
