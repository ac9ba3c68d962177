//! Arrow record batches that are refused: the error names column, types or row, and what to do, and nothing
//! is written for one that is wrong itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod common;

use std::sync::Arc;

use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array,
    DictionaryArray, DurationSecondArray, FixedSizeBinaryArray, Float64Array, Int32Array,
    Int64Array, IntervalYearMonthArray, ListArray, NullArray, RecordBatch, RunArray, StringArray,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};
use common::wrong::{check, open};
use tidestone::io::{Fault, SimDisk};
use tidestone::{
    ErrorKind, FieldType, Result, SeriesHandle, Table, TableOptions, Tidestone, Writer,
};

fn array<A: Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn times() -> ArrayRef {
    array(TimestampNanosecondArray::from(vec![1, 2]))
}

fn hosts() -> ArrayRef {
    array(StringArray::from(vec!["a", "b"]))
}

fn doubles() -> ArrayRef {
    array(Float64Array::from(vec![0.5, 1.5]))
}

/// A database with a table of a fixed schema and one of an open schema; nothing has been written.
struct Untouched {
    db: Tidestone,
    fixed: Table,
    open: Table,
    host: SeriesHandle,
    writer: Writer,
}

impl Untouched {
    fn new() -> Self {
        let db = open(&SimDisk::new()).unwrap();
        let fields = TableOptions::new()
            .field("v", FieldType::F64)
            .field("s", FieldType::String);
        let fixed = db.create_table("fixed", fields).unwrap();
        let open = db
            .create_table("open", TableOptions::new().open_schema())
            .unwrap();
        let host = db.create_table("other", TableOptions::new().open_schema());
        let host = host.unwrap().series(&[("host", "known")]).unwrap();
        let writer = db.writer();
        Self {
            db,
            fixed,
            open,
            host,
            writer,
        }
    }

    /// Checks that rows are refused, in words of three, and that nothing is there for them.
    #[track_caller]
    fn refuses(
        &mut self,
        what: &str,
        append: impl FnOnce(&mut Self) -> Result<()>,
        says: [&str; 3],
    ) {
        let lsn = self.writer.commit().unwrap().lsn();
        let schemas = |db: &Tidestone| {
            let tables = ["fixed", "open", "other"].map(|name| db.table(name).unwrap());
            tables.map(|table| table.schema())
        };
        let before = schemas(&self.db);
        let result = append(self);
        check(what, result, ErrorKind::Invalid, says);
        assert_eq!(self.writer.staged_rows(), 0, "{what}");
        assert_eq!(schemas(&self.db), before, "{what}");
        let series = [&self.fixed, &self.open].map(|table| table.series_count().unwrap());
        assert_eq!(series, [0, 0], "{what}");
        assert_eq!(
            self.writer.commit().unwrap().lsn(),
            lsn,
            "{what}: the log has more"
        );
    }

    /// The same of rows whose tag `host` is a column.
    #[track_caller]
    fn refuses_by_host(&mut self, what: &str, rows: &RecordBatch, says: [&str; 3]) {
        let append = |all: &mut Self| all.writer.append_arrow_by_tags(&all.fixed, &["host"], rows);
        self.refuses(what, append, says);
    }

    /// The same of rows of one series, in a table with an open schema.
    #[track_caller]
    fn refuses_of_one(&mut self, what: &str, rows: &RecordBatch, says: [&str; 3]) {
        let append = |all: &mut Self| all.writer.append_arrow(&all.host, rows);
        self.refuses(what, append, says);
    }
}

#[test]
fn types_that_would_lose_something_are_refused() {
    let ints = || vec![1, 2];
    let field = Arc::new(Field::new("x", DataType::Int32, true));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)]), None]);
    let numbers =
        DictionaryArray::<Int8Type>::new(vec![0, 0].into(), array(Int32Array::from(ints())));
    let runs =
        RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2]), &StringArray::from(vec!["a"]));
    let columns: [(ArrayRef, &str); 14] = [
        (array(NullArray::new(2)), "Null"),
        (array(Date32Array::from(ints())), "Date32"),
        (array(Date64Array::from(vec![1, 2])), "Date64"),
        (array(Time64MicrosecondArray::from(vec![1, 2])), "Time64"),
        (array(DurationSecondArray::from(vec![1, 2])), "Duration"),
        (array(IntervalYearMonthArray::from(ints())), "Interval"),
        (array(Decimal128Array::from(vec![1, 2])), "Decimal128"),
        (array(BinaryArray::from(vec![&b"a"[..], b"b"])), "is Binary"),
        (
            array(FixedSizeBinaryArray::try_from_iter([[1u8], [2]].iter()).unwrap()),
            "FixedSizeBinary",
        ),
        (array(list), "List"),
        (
            array(StructArray::from(vec![(
                field,
                array(Int32Array::from(ints())),
            )])),
            "Struct",
        ),
        (array(numbers), "Dictionary"),
        (array(runs.unwrap()), "RunEndEncoded"),
        (times(), "Timestamp"),
    ];
    let mut all = Untouched::new();
    for (column, named) in columns {
        let rows = batch([("time", times()), ("a", doubles()), ("x", column)]);
        let says = [
            "a field comes as Float16 to Float64",
            named,
            "cast it to one of them",
        ];
        all.refuses_of_one(named, &rows, says);
        let rows = batch([
            ("time", times()),
            ("host", hosts()),
            ("x", rows["x"].clone()),
        ]);
        all.refuses_by_host(named, &rows, says);
    }
}

#[test]
fn a_type_counts_by_itself_and_not_by_the_field_it_meets() {
    let mut all = Untouched::new();
    let ints = array(Int32Array::from(vec![1, 2]));
    let rows = batch([("time", times()), ("host", hosts()), ("v", ints)]);
    let says = [
        "\"v\" of table \"fixed\" is f64",
        "the value is i64",
        "give it as f64",
    ];
    all.refuses_by_host("an integer", &rows, says);
    let rows = batch([("time", times()), ("host", hosts()), ("w", doubles())]);
    let says = [
        "it has [\"v\", \"s\"]",
        "no field \"w\"",
        "or add the field",
    ];
    all.refuses_by_host("an unknown field", &rows, says);
}

#[test]
fn times_that_are_none_are_refused() {
    let mut all = Untouched::new();
    let columns: [(&str, ArrayRef, [&str; 3]); 9] = [
        (
            "s",
            array(TimestampSecondArray::from(vec![0, 9_223_372_037])),
            [
                "292 years of 1970",
                "row 1 of column \"time\" is 9223372037 s",
                "correct it",
            ],
        ),
        (
            "ms",
            array(TimestampMillisecondArray::from(vec![i64::MIN, 0])),
            [
                "292 years of 1970",
                "row 0 of column \"time\" is -9223372036854775808 ms",
                "leave the row out",
            ],
        ),
        (
            "us",
            array(TimestampMicrosecondArray::from(vec![
                0,
                -9_223_372_036_854_776,
            ])),
            [
                "292 years of 1970",
                "row 1 of column \"time\" is -9223372036854776 ",
                "correct it",
            ],
        ),
        (
            "null",
            array(TimestampSecondArray::from(vec![Some(1), None])),
            [
                "every row needs a time",
                "row 1 of column \"time\" is null",
                "leave the row out",
            ],
        ),
        (
            "Int64",
            array(Int64Array::from(vec![1, 2])),
            [
                "it has to be Timestamp",
                "column \"time\" is Int64",
                "cast it",
            ],
        ),
        (
            "UInt64",
            array(UInt64Array::from(vec![1, 2])),
            [
                "it has to be Timestamp",
                "column \"time\" is UInt64",
                "cast it",
            ],
        ),
        (
            "Date32",
            array(Date32Array::from(vec![1, 2])),
            [
                "it has to be Timestamp",
                "column \"time\" is Date32",
                "cast it",
            ],
        ),
        (
            "Utf8",
            hosts(),
            [
                "it has to be Timestamp",
                "column \"time\" is Utf8",
                "cast it",
            ],
        ),
        (
            "the future",
            array(TimestampSecondArray::from(vec![1, 1_700_000_000])),
            [
                "takes rows at most",
                "time 1700000000000000000 is",
                "correct the time",
            ],
        ),
    ];
    for (what, times, says) in columns {
        let rows = batch([("v", doubles()), ("time", times), ("host", hosts())]);
        all.refuses_by_host(what, &rows, says);
        let of_one = batch([("time", rows["time"].clone()), ("new", doubles())]);
        all.refuses_of_one(what, &of_one, says);
    }
}

/// Rows are counted from the first that a slice shows.
#[test]
fn a_slice_is_refused_for_what_it_shows_alone() {
    let mut all = Untouched::new();
    let times = TimestampSecondArray::from(vec![None, Some(1), Some(2), None]);
    let whole = batch([("time", array(times))]);
    let says = [
        "every row needs a time",
        "row 2 of column \"time\" is null",
        "leave the row out",
    ];
    all.refuses_of_one("a null", &whole.slice(1, 3), says);
    all.writer
        .append_arrow(&all.host, &whole.slice(1, 2))
        .unwrap();
    assert_eq!(all.writer.staged_rows(), 2);
}

#[test]
fn columns_that_are_missing_or_twice_are_refused() {
    let mut all = Untouched::new();
    let rows = batch([("timestamp", times()), ("host", hosts())]);
    let says = [
        "no column \"time\", for the times",
        "it has [\"timestamp\", \"host\"]",
        "rename the column",
    ];
    all.refuses_by_host("no times", &rows, says);
    let rows = batch([("time", times()), ("hostname", hosts())]);
    let says = ["\"fixed\"", "no field \"hostname\"", "correct the name"];
    all.refuses_by_host("another tag, as a field", &rows, says);
    let rows = batch([("time", times()), ("v", doubles())]);
    let says = [
        "no column \"host\", for a tag",
        "it has [\"time\", \"v\"]",
        "correct the name",
    ];
    all.refuses_by_host("no tag", &rows, says);
    for twice in ["time", "host", "v"] {
        let names = ["time", "host", "v", twice];
        let columns = [
            times(),
            hosts(),
            doubles(),
            match twice {
                "time" => times(),
                "host" => hosts(),
                _ => doubles(),
            },
        ];
        let fields = names.iter().zip(&columns);
        let fields: Vec<_> = fields
            .map(|(n, c)| Field::new(*n, c.data_type().clone(), true))
            .collect();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.to_vec()).unwrap();
        let named = format!("two columns {twice:?}");
        let says = ["the record batch has", named.as_str(), "rename one"];
        all.refuses_by_host(twice, &rows, says);
        all.refuses_of_one(twice, &rows, says);
    }
}

#[test]
fn tags_that_are_none_are_refused() {
    let mut all = Untouched::new();
    let long = "x".repeat(65_536);
    let ints = array(Int64Array::from(vec![1, 2]));
    let columns: [(&str, ArrayRef, [&str; 3]); 3] = [
        (
            "numbers",
            ints,
            ["a tag comes as Utf8", "column \"host\" is Int64", "cast it"],
        ),
        (
            "booleans",
            array(BooleanArray::from(vec![true, false])),
            [
                "a tag comes as Utf8",
                "column \"host\" is Boolean",
                "cast it",
            ],
        ),
        (
            "a long one",
            array(StringArray::from(vec!["a", &long])),
            ["65535", "the tags of row 1: ", "make it smaller"],
        ),
    ];
    for (what, column, says) in columns {
        let rows = batch([("time", times()), ("host", column), ("v", doubles())]);
        all.refuses_by_host(what, &rows, says);
    }
}

/// Names were looked at in rows alone that have the tag: nulls and no rows were taken.
#[test]
fn names_that_no_tags_have_are_refused_whatever_the_rows() {
    let long = "x".repeat(65_536);
    let time = [
        "the times of the rows",
        "the tags are [\"host\", \"time\"]",
        "name the tags alone",
    ];
    let twice = ["each name once", "\"host\" twice", "correct it"];
    let empty = [
        "at least one byte",
        "the names of the tags: tag name",
        "correct it",
    ];
    let too_long = ["65535", "the names of the tags: ", "make it smaller"];
    let nulls = array(StringArray::new_null(2));
    let mut all = Untouched::new();
    for (tags, says) in [
        (["host", "time"], time),
        (["host", "host"], twice),
        (["host", ""], empty),
        (["host", long.as_str()], too_long),
    ] {
        for hosts in [hosts(), nulls.clone()] {
            let rows = batch([
                ("time", times()),
                ("host", hosts.clone()),
                ("", hosts.clone()),
                (long.as_str(), hosts),
            ]);
            for rows in [rows.slice(0, 0), rows] {
                let append =
                    |all: &mut Untouched| all.writer.append_arrow_by_tags(&all.open, &tags, &rows);
                all.refuses(tags[1], append, says);
            }
        }
    }
}

/// The first row is of a series that could be made.
#[test]
fn tags_that_no_segment_can_hold_are_refused_before_a_series_is_made() {
    let long = "x".repeat(65_535);
    let names: Vec<String> = (0..260).map(|i| format!("tag {i}")).collect();
    let column = array(StringArray::from(vec![None, Some(long.as_str())]));
    let columns = names.iter().map(|name| (name.as_str(), column.clone()));
    let columns = columns.chain([("time", times())]);
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let says = [
        "at most 16777216 fit",
        "the tags of row 1: ",
        "shorten them",
    ];
    let append = |all: &mut Untouched| all.writer.append_arrow_by_tags(&all.open, &names, &rows);
    Untouched::new().refuses("long tags", append, says);
}

/// A dictionary may stand for much more than it takes: it is counted before it is copied.
#[test]
fn more_text_than_a_batch_holds_is_refused() {
    const ROWS: usize = 33;
    let text = "x".repeat(16 << 20);
    let values: ArrayRef = array(StringArray::from(vec![text]));
    let column = DictionaryArray::<Int32Type>::new(vec![0; ROWS].into(), values);
    let times = TimestampNanosecondArray::from(vec![1; ROWS]);
    let hosts = StringArray::from(vec!["a"; ROWS]);
    let rows = batch([
        ("time", array(times)),
        ("host", array(hosts)),
        ("s", array(column)),
    ]);
    let mut all = Untouched::new();
    let says = [
        "536870912 bytes of strings",
        "up to column \"s\"",
        "append slices of it",
    ];
    all.refuses_by_host("text", &rows, says);
}

#[test]
fn more_rows_than_can_be_numbered_are_refused() {
    let rows = batch([("x", array(NullArray::new(1 << 32)))]);
    let says = [
        "at most 4294967295",
        "has 4294967296 rows",
        "append slices of it",
    ];
    let mut all = Untouched::new();
    all.refuses_by_host("tags", &rows, says);
    all.refuses_of_one("one series", &rows, says);
}

/// What is not wrong with the batch itself is not known before its series are made.
#[test]
fn of_a_batch_whose_fields_the_disk_refuses_the_series_stay_without_rows() {
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    let fields = TableOptions::new().open_schema();
    let table = db.create_table("t", fields).unwrap();
    // More than the manifest has room for.
    let names: Vec<String> = (0..20).map(|i| format!("{i:050000}")).collect();
    let columns = names.iter().map(|name| (name.as_str(), doubles()));
    let columns = columns.chain([("time", times()), ("host", hosts())]);
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = db.writer();
    disk.inject(Fault::Capacity(disk.used()));
    let error = writer.append_arrow_by_tags(&table, &["host"], &rows);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert_eq!(writer.staged_rows(), 0);
    assert!(table.schema().fields.is_empty());
    assert_eq!(table.series_count().unwrap(), 2);
    assert!(table.query().last().unwrap().is_empty());
    disk.heal();
    let again = writer.append_arrow_by_tags(&table, &["host"], &rows);
    again.unwrap();
    writer.commit_and_wait().unwrap();
    assert_eq!(table.series_count().unwrap(), 2);
    assert_eq!(table.query().last().unwrap().len(), 2);
}

#[test]
fn a_table_of_another_database_gets_no_series() {
    let mut all = Untouched::new();
    let other = Untouched::new();
    let rows = batch([("time", times()), ("host", hosts()), ("v", doubles())]);
    let says = [
        "of this database",
        "table \"fixed\" is not one",
        "a writer of its database",
    ];
    let result = all
        .writer
        .append_arrow_by_tags(&other.fixed, &["host"], &rows);
    check("another database", result, ErrorKind::NotFound, says);
    assert_eq!(other.fixed.series_count().unwrap(), 0);
    all.db.drop_table("fixed").unwrap();
    let result = all
        .writer
        .append_arrow_by_tags(&all.fixed, &["host"], &rows);
    let says = [
        "was dropped",
        "table \"fixed\" is not one",
        "a new handle with `table`",
    ];
    check("dropped", result, ErrorKind::NotFound, says);
    assert_eq!(all.writer.staged_rows(), 0);
}
