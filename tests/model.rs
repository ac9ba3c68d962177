//! Random histories against a model: the full scan, selections by tags, and counts by host and second equal
//! it after every step, wherever rows lie and however files are read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{FIELDS, Fields, Row, Step, Val, difference, quiet, replay};
use proptest::prelude::*;
use tidestone::io::SimDisk;
use tidestone::{
    Aggregate, Batch, Bitmap, DuplicatePolicy, FieldType, ManualClock, Options, ReadMode,
    SeededRandom, SeriesKey, Table, TableOptions, TagMatch, Tidestone, TimeRange, Value, Values,
};

const SERIES: u8 = 5;
const SECOND: i64 = 1_000_000_000;

/// Series, time, and the fields that are given.
type Sparse = (u8, i64, Vec<(usize, Option<Val>)>);

#[derive(Debug, Clone)]
enum Op {
    /// Values in the order of the schema.
    Append(Vec<(u8, i64, Vec<Option<Val>>)>),
    /// Values by name.
    AppendFields(Vec<Sparse>),
    /// Columns: which fields, and a value (or none) of each for each row.
    AppendBatch(Vec<usize>, Vec<(u8, i64, Vec<Option<Val>>)>),
    Delete(Option<u8>, i64, i64),
    Flush,
    Compact,
    /// Series that have no rows left are forgotten.
    Forget,
    Reopen(IndexFound, ReadMode),
}

/// The index that a database finds when it is opened.
#[derive(Debug, Clone, Copy)]
enum IndexFound {
    Own,
    None,
    /// A copy of one that an earlier close left, which is picked by this number.
    Older(usize),
}

fn value(of: FieldType) -> BoxedStrategy<Val> {
    match of {
        FieldType::F64 => prop_oneof![
            3 => (-1_000i32..1_000).prop_map(|v| f64::from(v) / 10.0),
            1 => prop::sample::select(vec![
                f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, f64::MIN_POSITIVE
            ]),
            1 => any::<u64>().prop_map(f64::from_bits),
        ]
        .prop_map(|v| Val::F64(v.to_bits()))
        .boxed(),
        FieldType::I64 => prop_oneof![3 => -9i64..9, 1 => any::<i64>(), 1 => Just(i64::MIN)]
            .prop_map(Val::I64)
            .boxed(),
        FieldType::U64 => prop_oneof![3 => 0u64..9, 1 => any::<u64>()]
            .prop_map(Val::U64)
            .boxed(),
        FieldType::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        FieldType::String => prop_oneof![
            3 => "[a-c]{0,2}",
            1 => "\\PC{0,40}",
            1 => (0usize..3_000).prop_map(|n| "tide ".repeat(n)),
        ]
        .prop_map(Val::Text)
        .boxed(),
    }
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => 0i64..20,
        6 => (0i64..40).prop_map(|s| s * SECOND),
        2 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, -1]),
    ]
}

fn positional() -> impl Strategy<Value = Vec<Option<Val>>> {
    let all = FIELDS
        .map(|(_, of)| prop::option::of(value(of)).boxed())
        .to_vec();
    (all, 0usize..=FIELDS.len()).prop_map(|(mut values, keep)| {
        values.truncate(keep);
        values
    })
}

fn named() -> impl Strategy<Value = Vec<(usize, Option<Val>)>> {
    prop::sample::subsequence((0..FIELDS.len()).collect::<Vec<_>>(), 0..=FIELDS.len())
        .prop_shuffle()
        .prop_flat_map(|fields| {
            let values: Vec<_> = fields
                .iter()
                .map(|f| prop::option::weighted(0.8, value(FIELDS[*f].1)).boxed())
                .collect();
            values.prop_map(move |v| fields.iter().copied().zip(v).collect())
        })
}

fn batch() -> impl Strategy<Value = Op> {
    prop::sample::subsequence((0..FIELDS.len()).collect::<Vec<_>>(), 0..=FIELDS.len())
        .prop_flat_map(|fields| {
            let values: Vec<_> = fields
                .iter()
                .map(|f| prop::option::weighted(0.8, value(FIELDS[*f].1)).boxed())
                .collect();
            let rows = prop::collection::vec((0..SERIES, time(), values), 0..40);
            rows.prop_map(move |rows| Op::AppendBatch(fields.clone(), rows))
        })
}

/// A step; `swaps` says how often the index is another when the database is opened.
fn op(swaps: u32) -> impl Strategy<Value = Op> {
    let row = (0..SERIES, time(), positional());
    let by_name = (0..SERIES, time(), named());
    prop_oneof![
        6 => prop::collection::vec(row, 1..12).prop_map(Op::Append),
        4 => prop::collection::vec(by_name, 1..8).prop_map(Op::AppendFields),
        4 => batch(),
        3 => (prop::option::of(0..SERIES), time(), time())
            .prop_map(|(s, a, b)| Op::Delete(s, a.min(b), a.max(b))),
        4 => Just(Op::Flush),
        2 => Just(Op::Compact),
        2 => Just(Op::Forget),
        2 => read_mode().prop_map(|mode| Op::Reopen(IndexFound::Own, mode)),
        swaps => read_mode().prop_map(|mode| Op::Reopen(IndexFound::None, mode)),
        2 * swaps => (0usize..9, read_mode())
            .prop_map(|(n, mode)| Op::Reopen(IndexFound::Older(n), mode)),
    ]
}

fn read_mode() -> impl Strategy<Value = ReadMode> {
    prop::sample::select(vec![ReadMode::Mmap, ReadMode::Pread])
}

fn options(read_mode: ReadMode) -> Options {
    Options {
        read_mode,
        ..quiet()
    }
}

/// A database under test: on a simulated disk, or on real files.
struct Bench {
    disk: Option<SimDisk>,
    path: PathBuf,
    db: Tidestone,
    /// How often series were forgotten.
    forgettings: usize,
    /// What the index was at each close so far, and how often series had been forgotten by then. Of a
    /// database on real files.
    older: Vec<(PathBuf, usize)>,
}

impl Bench {
    fn new(real: Option<&Path>, read_mode: ReadMode) -> Self {
        let disk = real.is_none().then(SimDisk::new);
        let path = real.map_or("/db".into(), |r| r.join("db"));
        let mut builder = Tidestone::builder(&path).options(options(read_mode));
        if let Some(disk) = &disk {
            builder = builder.disk(Arc::new(disk.clone()));
        }
        let db = builder
            .clock(Arc::new(ManualClock::new(0)))
            .random(Arc::new(SeededRandom::new(1)))
            .create()
            .unwrap();
        Self {
            disk,
            path,
            db,
            forgettings: 0,
            older: Vec::new(),
        }
    }

    /// Forgets series. Those that are there then are those before, but for some without rows.
    fn forget(&mut self) {
        let before = catalogue(&self.db);
        self.db.enforce_retention().unwrap();
        let after = catalogue(&self.db);
        assert!(after.iter().all(|series| before.contains(series)));
        if after.len() < before.len() {
            self.forgettings += 1;
        }
    }

    /// Replaces the index of a closed database on real files, and says whether it is one that cannot be
    /// used: it is not there, or from before series were forgotten.
    fn swap_index(&mut self, found: IndexFound) -> bool {
        let index = self.path.join("index");
        let copy = self.path.with_extension(self.older.len().to_string());
        common::copy_tree(&index, &copy);
        self.older.push((copy, self.forgettings));
        let older = match found {
            IndexFound::Own => return false,
            IndexFound::None => None,
            IndexFound::Older(n) => Some(&self.older[n % self.older.len()]),
        };
        std::fs::remove_dir_all(&index).unwrap();
        let Some((copy, forgettings)) = older else {
            return true;
        };
        common::copy_tree(copy, &index);
        *forgettings < self.forgettings
    }

    fn reopen(&mut self, found: IndexFound, read_mode: ReadMode, seed: u64) {
        let before = catalogue(&self.db);
        self.db.close().unwrap();
        let is_made_anew = self.disk.is_none() && self.swap_index(found);
        let mut builder = Tidestone::builder(&self.path).options(options(read_mode));
        if let Some(disk) = &self.disk {
            builder = builder.disk(Arc::new(disk.clone()));
        }
        self.db = builder
            .clock(Arc::new(ManualClock::new(0)))
            .random(Arc::new(SeededRandom::new(seed)))
            .open()
            .unwrap();
        let report = self.db.open_report();
        assert_eq!(report.index_rebuilt.is_some(), is_made_anew, "{report:?}");
        assert_eq!(
            (report.replayed, &report.log_tail),
            (0, &None),
            "it was closed"
        );
        assert_eq!(catalogue(&self.db), before);
    }
}

/// The series of the table: ids and keys, by id.
fn catalogue(db: &Tidestone) -> Vec<(u64, SeriesKey)> {
    let table = db.table("t").unwrap();
    let keys = table.series_keys(&[]).unwrap();
    let series = keys.into_iter().map(|key| {
        let id = table.series_by_key(&key).unwrap().id().0;
        (id, key)
    });
    series.collect()
}

fn run(
    policy: DuplicatePolicy,
    partition: Duration,
    read_mode: ReadMode,
    ops: &[Op],
    real: Option<&Path>,
) {
    let mut bench = Bench::new(real, read_mode);
    let mut options = TableOptions::new()
        .policy(policy)
        .partition(partition)
        .future_bound(None);
    for (name, of) in FIELDS {
        options = options.field(name, of);
    }
    bench.db.create_table("t", options).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    for (n, op) in ops.iter().enumerate() {
        let table = bench.db.table("t").unwrap();
        let series = |s: u8| table.series(&[("host", format!("h{s}"))]).unwrap();
        let name = |s: u8| format!("host=h{s}");
        let mut writer = bench.db.writer();
        let mut added: Vec<Row> = Vec::new();
        match op {
            Op::Append(rows) => {
                for (s, time, values) in rows {
                    let plain: Vec<Value<'_>> = values.iter().map(plain).collect();
                    writer.append(&series(*s), *time, &plain).unwrap();
                    let given = FIELDS.iter().zip(values);
                    let fields =
                        given.filter_map(|((f, _), v)| Some(((*f).to_owned(), v.clone()?)));
                    added.push((name(*s), *time, fields.collect()));
                }
            }
            Op::AppendFields(rows) => {
                for (s, time, values) in rows {
                    let plain: Vec<(&str, Value<'_>)> = values
                        .iter()
                        .map(|(f, v)| (FIELDS[*f].0, plain(v)))
                        .collect();
                    writer.append_fields(&series(*s), *time, &plain).unwrap();
                    let fields: Fields = values
                        .iter()
                        .filter_map(|(f, v)| Some((FIELDS[*f].0.to_owned(), v.clone()?)))
                        .collect();
                    added.push((name(*s), *time, fields));
                }
            }
            Op::AppendBatch(fields, rows) => {
                let all: Vec<_> = (0..SERIES).map(series).collect();
                let of_row = rows.iter().map(|(s, ..)| u32::from(*s)).collect();
                let times = rows.iter().map(|(_, t, _)| *t).collect();
                let mut columns = Batch::of_many(all, of_row, times);
                for (at, field) in fields.iter().enumerate() {
                    let (values, valid) = column(FIELDS[*field].1, rows.iter().map(|r| &r.2[at]));
                    columns = columns.nullable(FIELDS[*field].0, values, valid);
                }
                writer.append_batch(columns).unwrap();
                for (s, time, values) in rows {
                    let given = fields.iter().zip(values);
                    let fields =
                        given.filter_map(|(f, v)| Some((FIELDS[*f].0.to_owned(), v.clone()?)));
                    added.push((name(*s), *time, fields.collect()));
                }
            }
            Op::Delete(of, start, end) => {
                let range = TimeRange {
                    start: *start,
                    end: *end,
                };
                let tests: Vec<TagMatch> = of
                    .iter()
                    .map(|s| TagMatch::equal("host", format!("h{s}")))
                    .collect();
                table.delete(&tests, range).unwrap().wait().unwrap();
                steps.push(Step::Delete(of.map(name), range));
            }
            Op::Flush => bench.db.flush().unwrap(),
            Op::Compact => {
                bench.db.compact().unwrap();
                assert_eq!(bench.db.compact().unwrap(), 0, "nothing is left to merge");
            }
            Op::Forget => bench.forget(),
            Op::Reopen(found, mode) => bench.reopen(*found, *mode, n as u64 + 2),
        }
        assert_eq!(writer.staged_rows(), added.len());
        if !added.is_empty() {
            writer.commit_and_wait().unwrap();
            steps.push(Step::Rows(added));
        }
        let (table, expected) = (bench.db.table("t").unwrap(), replay(policy, &steps));
        if let Some(difference) = difference(&common::contents(&table), &expected) {
            panic!("after step {n}, {op:?}: {difference}");
        }
        ask(&table, &expected, &format!("after step {n}, {op:?}"));
    }
    // In the end a series that has rows is there; one whose rows a delete met before they were flushed
    // may stay until it is looked at, after an open.
    bench.db.compact().unwrap();
    bench.forget();
    let series = catalogue(&bench.db);
    let series: Vec<String> = series.iter().map(|(_, key)| common::name_of(key)).collect();
    for (with_rows, ..) in replay(policy, &steps) {
        assert!(series.contains(&with_rows), "{with_rows}: {series:?}");
    }
    bench.db.close().unwrap();
}

/// Asks by tags and for buckets, which the index has a part in.
fn ask(table: &Table, rows: &[Row], when: &str) {
    type Passes = fn(&str) -> bool;
    // No series has the tag, perhaps.
    if rows.is_empty() {
        return;
    }
    let tests: [(TagMatch, Passes); 4] = [
        (TagMatch::equal("host", "h1"), |host| host == "h1"),
        (TagMatch::not_equal("host", "h1"), |host| host != "h1"),
        (TagMatch::one_of("host", ["h0", "h3"]), |host| {
            host == "h0" || host == "h3"
        }),
        (TagMatch::regex("host", "h[12]").unwrap(), |host| {
            host == "h1" || host == "h2"
        }),
    ];
    let host = |row: &Row| row.0.strip_prefix("host=").unwrap().to_owned();
    for (test, passes) in tests {
        let selected: Vec<Row> = rows
            .iter()
            .filter(|row| passes(&host(row)))
            .cloned()
            .collect();
        let what = format!("{when}: {test:?}");
        let actual = common::try_rows(&table.query().filter(test)).unwrap();
        if let Some(difference) = difference(&actual, &selected) {
            panic!("{what}: {difference}");
        }
    }
    let range = TimeRange {
        start: 0,
        end: 20 * SECOND,
    };
    let mut expected: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for row in rows
        .iter()
        .filter(|row| (range.start..=range.end).contains(&row.1))
    {
        *expected
            .entry((host(row), row.1 / SECOND * SECOND))
            .or_default() += 1;
    }
    let query = table.query().range(range).every(Duration::from_secs(1));
    let query = query.group_by(&["host"]).aggregate([Aggregate::rows()]);
    let answer = query.buckets().unwrap();
    let buckets = (0..answer.len()).map(|row| {
        let Value::U64(count) = answer.value(row, 0) else {
            panic!("{when}: {:?} rows", answer.value(row, 0));
        };
        ((answer.group(row)[0].clone(), answer.buckets()[row]), count)
    });
    assert_eq!(buckets.collect::<BTreeMap<_, _>>(), expected, "{when}");
}

fn plain(value: &Option<Val>) -> Value<'_> {
    value.as_ref().map_or(Value::Null, Val::value)
}

fn column<'a>(of: FieldType, rows: impl Iterator<Item = &'a Option<Val>>) -> (Values, Bitmap) {
    let (mut values, mut valid) = (Values::new(of), Bitmap::new());
    for row in rows {
        valid.push(row.is_some());
        match (&mut values, row) {
            (Values::F64(to), Some(Val::F64(v))) => to.push(f64::from_bits(*v)),
            (Values::I64(to), Some(Val::I64(v))) => to.push(*v),
            (Values::U64(to), Some(Val::U64(v))) => to.push(*v),
            (Values::Bool(to), Some(Val::Bool(v))) => to.push(*v),
            (Values::String(to), Some(Val::Text(v))) => to.push(v),
            (to, _) => to.push_default(),
        }
    }
    (values, valid)
}

fn policy() -> impl Strategy<Value = DuplicatePolicy> {
    prop::sample::select(vec![
        DuplicatePolicy::Replace,
        DuplicatePolicy::All,
        DuplicatePolicy::First,
    ])
}

fn partition() -> impl Strategy<Value = Duration> {
    prop::sample::select(vec![
        Duration::from_secs(1),
        Duration::from_secs(10),
        Duration::from_secs(86_400),
    ])
}

fn cases(usual: u32) -> ProptestConfig {
    let cases = u32::try_from(common::seeds(u64::from(usual)).end).unwrap();
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(60))]
    #[test]
    fn a_simulated_disk_holds_what_the_model_holds(
        policy in policy(),
        partition in partition(),
        read_mode in read_mode(),
        ops in prop::collection::vec(op(1), 1..25),
    ) {
        run(policy, partition, read_mode, &ops, None);
    }
}

proptest! {
    #![proptest_config(cases(10))]
    #[test]
    fn real_files_and_a_real_index_hold_what_the_model_holds(
        policy in policy(),
        partition in partition(),
        read_mode in read_mode(),
        ops in prop::collection::vec(op(3), 1..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        run(policy, partition, read_mode, &ops, Some(folder.path()));
    }
}
