//! Arrow record batches, in and out: every type, what is taken exactly, and what comes back equal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod common;

use std::sync::Arc;

use arrow_array::builder::{StringDictionaryBuilder, StringViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Float16Type, Float64Type, Int8Type, Int32Type, Int64Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, Float16Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, LargeStringArray, RecordBatch,
    RecordBatchReader, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, TimeUnit};
use common::wrong::{check, open};
use common::{Dice, FIELDS, Fields, Row, Val, contents};
use proptest::prelude::*;
use tidestone::io::SimDisk;
use tidestone::{
    Cancellation, Error, ErrorKind, FieldType, Order, Query, RowBatch, Table, TableOptions,
    Tidestone, Value, Values,
};

/// A table with a field of each type.
fn table(db: &Tidestone, name: &str) -> Table {
    let options = TableOptions::new().future_bound(None);
    let options = FIELDS
        .iter()
        .fold(options, |o, (name, of)| o.field(*name, *of));
    db.create_table(name, options).unwrap()
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn nanos(times: impl IntoIterator<Item = i64>) -> ArrayRef {
    let times: Vec<i64> = times.into_iter().collect();
    Arc::new(TimestampNanosecondArray::from(times))
}

fn array<A: Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

fn commit_by_host(db: &Tidestone, table: &Table, rows: &RecordBatch) {
    let mut writer = db.writer();
    writer.append_arrow_by_tags(table, &["host"], rows).unwrap();
    writer.commit_and_wait().unwrap();
}

/// The answer of a query, all batches.
fn out(query: &Query) -> Vec<RecordBatch> {
    let batches = query.scan().unwrap().record_batches().unwrap();
    batches.collect::<Result<_, _>>().unwrap()
}

/// The only batch of an answer.
fn only(query: &Query) -> RecordBatch {
    let mut batches = out(query);
    assert_eq!(batches.len(), 1);
    batches.remove(0)
}

/// Rows of every type: of host a, of no host, of host b.
fn every_type() -> RecordBatch {
    batch([
        (
            "s",
            array(StringArray::from(vec![Some("å"), None, Some("")])),
        ),
        (
            "b",
            array(BooleanArray::from(vec![None, Some(true), Some(false)])),
        ),
        (
            "host",
            array(StringArray::from(vec![Some("a"), None, Some("b")])),
        ),
        ("time", nanos([3, -1, 2])),
        (
            "f",
            array(Float64Array::from(vec![Some(0.5), Some(-0.0), None])),
        ),
        (
            "u",
            array(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)])),
        ),
        (
            "i",
            array(Int64Array::from(vec![None, Some(i64::MIN), Some(i64::MAX)])),
        ),
    ])
}

#[test]
fn every_type_comes_back_with_its_nulls() {
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    let rows = every_type();
    commit_by_host(&db, &table, &rows);
    for flushed in [false, true] {
        if flushed {
            db.flush().unwrap();
        }
        let answer = only(&table.query());
        let tag = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let columns = [
            Field::new("time", time, false),
            Field::new("host", tag, true),
            Field::new("f", DataType::Float64, true),
            Field::new("i", DataType::Int64, true),
            Field::new("u", DataType::UInt64, true),
            Field::new("b", DataType::Boolean, true),
            Field::new("s", DataType::Utf8, true),
        ];
        assert_eq!(
            *answer.schema(),
            arrow_schema::Schema::new(columns.to_vec())
        );
        // Series come in the order in which they were made.
        assert_eq!(
            answer["time"]
                .as_primitive::<arrow_array::types::TimestampNanosecondType>()
                .values(),
            &[3, -1, 2]
        );
        let hosts = answer["host"].as_dictionary::<Int32Type>();
        let hosts = hosts.downcast_dict::<StringArray>().unwrap();
        let hosts: Vec<_> = hosts.into_iter().collect();
        assert_eq!(hosts, [Some("a"), None, Some("b")]);
        for (name, _) in FIELDS {
            assert_eq!(&answer[name], &rows[name], "{name}");
        }
    }
}

#[test]
fn doubles_come_back_bit_for_bit() {
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    let bits = [
        0x7ff8_0000_0000_beef,
        0xfff0_0000_0000_0001,
        f64::NAN.to_bits(),
        (-0.0f64).to_bits(),
        f64::NEG_INFINITY.to_bits(),
        1,
    ];
    let values = bits.map(f64::from_bits).to_vec();
    let host = table.series(&[("host", "a")]).unwrap();
    let rows = batch([
        ("time", nanos(0..6)),
        ("f", array(Float64Array::from(values))),
    ]);
    let mut writer = db.writer();
    writer.append_arrow(&host, &rows).unwrap();
    writer.commit_and_wait().unwrap();
    for flushed in [false, true] {
        if flushed {
            db.flush().unwrap();
        }
        let answer = only(&table.query().fields(&["f"]));
        let values = answer["f"].as_primitive::<Float64Type>().values();
        let found: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
        assert_eq!(found, bits);
    }
}

#[test]
fn the_buffers_of_a_batch_become_those_of_the_arrays() {
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    commit_by_host(&db, &table, &every_type());
    let rows = table.query().scan().unwrap().next().unwrap().unwrap();
    let of_value = |name: &str| -> *const u8 {
        match &rows.column(name).unwrap().values {
            Values::F64(v) => v.as_ptr().cast(),
            Values::I64(v) => v.as_ptr().cast(),
            Values::U64(v) => v.as_ptr().cast(),
            Values::Bool(v) => v.as_ptr().cast(),
            Values::String(v) => v.get(0).as_ptr(),
        }
    };
    let names = ["f", "i", "u", "s"];
    let before: Vec<*const u8> = names.into_iter().map(of_value).collect();
    let times: *const u8 = rows.times().as_ptr().cast();
    let arrays = rows.into_arrow().unwrap();
    let buffer_of = |name: &str| arrays[name].to_data().buffers().last().unwrap().as_ptr();
    let after: Vec<*const u8> = names.into_iter().map(buffer_of).collect();
    assert_eq!(after, before);
    assert_eq!(buffer_of("time"), times);
}

#[test]
fn the_schema_is_known_before_the_first_batch() {
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    let names = |schema: &arrow_schema::Schema| {
        let names = schema.fields().iter().map(|f| f.name().clone());
        names.collect::<Vec<_>>().join(" ")
    };
    let mut batches = table.query().scan().unwrap().record_batches().unwrap();
    assert_eq!(names(&batches.schema()), "time f i u b s");
    assert!(batches.next().is_none());
    table.series(&[("rack", "7"), ("host", "a")]).unwrap();
    let query = table.query().fields(&["s", "f"]);
    let batches = query.scan().unwrap().record_batches().unwrap();
    assert_eq!(names(&batches.schema()), "time host rack s f");
    let chosen = query.scan().unwrap().record_batches_with(&["rack", "none"]);
    assert_eq!(names(&chosen.unwrap().schema()), "time rack none s f");
    let none: [&str; 0] = [];
    let chosen = query.scan().unwrap().record_batches_with(&none);
    assert_eq!(names(&chosen.unwrap().schema()), "time s f");
    // No rows are rows, too.
    let last = table.query().last().unwrap().into_rows();
    let last = table.record_batch(last).unwrap();
    assert_eq!(names(&last.schema()), "time host rack f i u b s");
    assert_eq!(last.num_rows(), 0);
}

#[test]
fn a_record_batch_without_rows_changes_nothing() {
    let db = open(&SimDisk::new()).unwrap();
    let fields = TableOptions::new().open_schema();
    let table = db.create_table("t", fields).unwrap();
    let mut writer = db.writer();
    let empty = every_type().slice(1, 0);
    writer
        .append_arrow_by_tags(&table, &["host"], &empty)
        .unwrap();
    let host = table.series(&[("host", "a")]).unwrap();
    writer.append_arrow(&host, &empty).unwrap();
    assert_eq!(
        (writer.staged_rows(), table.series_count().unwrap()),
        (0, 1)
    );
    assert!(table.schema().fields.is_empty());
}

fn dictionary<K: ArrowDictionaryKeyType>(values: &[Option<&str>]) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<K>::new();
    values.iter().for_each(|v| builder.append_option(*v));
    array(builder.finish())
}

fn view(values: &[Option<&str>]) -> ArrayRef {
    let mut builder = StringViewBuilder::new();
    values.iter().for_each(|v| builder.append_option(*v));
    array(builder.finish())
}

/// Values of `n` rows, with nulls here and there.
fn sparse<T>(n: i32, value: impl Fn(i32) -> T) -> Vec<Option<T>> {
    (0..n).map(|i| (i % 5 != 2).then(|| value(i))).collect()
}

#[test]
fn slices_give_the_rows_they_show() {
    const ROWS: i32 = 300;
    let texts: Vec<String> = (0..ROWS)
        .map(|i| format!("a text, number {}", i % 9))
        .collect();
    let texts = texts.iter().zip(sparse(ROWS, drop));
    let texts: Vec<Option<&str>> = texts.map(|(text, there)| there.map(|()| &**text)).collect();
    let whole = batch([
        ("time", nanos(0..i64::from(ROWS))),
        ("host", dictionary::<Int8Type>(&texts)),
        ("rack", view(&texts)),
        ("f", array(Float64Array::from(sparse(ROWS, f64::from)))),
        ("i", array(Int64Array::from(sparse(ROWS, i64::from)))),
        (
            "u",
            array(UInt32Array::from(sparse(ROWS, |i| i.unsigned_abs()))),
        ),
        ("b", array(BooleanArray::from(sparse(ROWS, |i| i % 3 == 0)))),
        ("s", array(LargeStringArray::from(texts.clone()))),
    ]);
    let expected = |from: usize, to: usize| -> Vec<Row> {
        let rows = (from..to).map(|row| {
            let i = i32::try_from(row).unwrap();
            let Some(text) = texts[row] else {
                return (String::new(), i64::from(i), Fields::new());
            };
            let values = [
                ("f", Val::F64(f64::from(i).to_bits())),
                ("i", Val::I64(i64::from(i))),
                ("u", Val::U64(u64::from(i.unsigned_abs()))),
                ("b", Val::Bool(i % 3 == 0)),
                ("s", Val::Text(text.to_owned())),
            ];
            let values = values.map(|(name, value)| (name.to_owned(), value));
            (
                format!("host={text},rack={text}"),
                i64::from(i),
                values.into(),
            )
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        rows
    };
    for (from, len) in [(0, 300), (1, 64), (67, 130), (63, 1), (64, 236), (299, 1)] {
        let db = open(&SimDisk::new()).unwrap();
        let table = table(&db, "t");
        let mut writer = db.writer();
        let slice = whole.slice(from, len);
        writer
            .append_arrow_by_tags(&table, &["host", "rack"], &slice)
            .unwrap();
        writer.commit_and_wait().unwrap();
        let found = contents(&table);
        assert_eq!(
            common::difference(&found, &expected(from, from + len)),
            None,
            "{from} {len}"
        );
    }
}

/// Appends a column as a field, and checks the values that the table has then.
#[track_caller]
fn taken_as<T>(field: &str, column: ArrayRef, expected: &[T])
where
    T: Copy,
    Value<'static>: From<T>,
{
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    let host = table.series(&[("host", "a")]).unwrap();
    let rows = i64::try_from(column.len()).unwrap();
    let mut writer = db.writer();
    let rows = batch([(field, column), ("time", nanos(0..rows))]);
    writer.append_arrow(&host, &rows).unwrap();
    writer.commit_and_wait().unwrap();
    let mut stream = table.query().fields(&[field]).scan().unwrap();
    let answer = stream.next().unwrap().unwrap();
    let found: Vec<_> = (0..answer.len())
        .map(|row| Val::of(answer.value(row, 0)))
        .collect();
    let expected: Vec<_> = expected.iter().map(|v| Val::of(Value::from(*v))).collect();
    assert_eq!(found, expected);
}

type F16 = <Float16Type as ArrowPrimitiveType>::Native;

#[test]
fn narrower_types_are_taken_exactly() {
    taken_as("i", array(Int8Array::from(vec![i8::MIN, 7])), &[-128i64, 7]);
    taken_as("i", array(Int16Array::from(vec![i16::MIN])), &[-32_768i64]);
    taken_as(
        "i",
        array(Int32Array::from(vec![Some(i32::MIN), None])),
        &[Some(i64::from(i32::MIN)), None],
    );
    taken_as("u", array(UInt8Array::from(vec![u8::MAX])), &[255u64]);
    taken_as("u", array(UInt16Array::from(vec![u16::MAX])), &[65_535u64]);
    taken_as(
        "u",
        array(UInt32Array::from(vec![u32::MAX])),
        &[u64::from(u32::MAX)],
    );
    let floats = [0.1f32, -0.0, f32::MIN_POSITIVE, f32::NEG_INFINITY];
    taken_as(
        "f",
        array(Float32Array::from(floats.to_vec())),
        &floats.map(f64::from),
    );
    let halves = [1.5, -0.0, f64::INFINITY];
    let column: Float16Array = halves.map(F16::from_f64).to_vec().into();
    taken_as("f", array(column), &halves);
}

#[test]
fn strings_of_any_kind_are_strings() {
    let values = [
        Some("a"),
        None,
        Some(""),
        Some("a text that is longer than a view"),
    ];
    taken_as("s", array(StringArray::from(values.to_vec())), &values);
    taken_as("s", array(LargeStringArray::from(values.to_vec())), &values);
    taken_as("s", view(&values), &values);
    taken_as("s", dictionary::<Int8Type>(&values), &values);
    taken_as("s", dictionary::<UInt64Type>(&values), &values);
    // A dictionary of other strings, one of whose values is null.
    let large: ArrayRef = array(LargeStringArray::from(vec![None, Some("b")]));
    let keys = Int32Array::from(vec![Some(1), Some(0), None]);
    let of_large = DictionaryArray::new(keys, large);
    taken_as("s", array(of_large), &[Some("b"), None, None]);
    // One without values.
    let none: ArrayRef = array(StringArray::from(Vec::<&str>::new()));
    let keys = Int32Array::from(vec![None, None]);
    taken_as(
        "s",
        array(DictionaryArray::new(keys, none)),
        &[None::<&str>, None],
    );
}

#[test]
fn times_of_every_unit_and_zone_are_taken() {
    let largest = i64::MAX / 1_000_000_000;
    let columns: [(ArrayRef, [i64; 2]); 5] = [
        (
            array(TimestampSecondArray::from(vec![-1, largest])),
            [-1_000_000_000, largest * 1_000_000_000],
        ),
        (
            array(TimestampMillisecondArray::from(vec![-1, 2]).with_timezone("+09:00")),
            [-1_000_000, 2_000_000],
        ),
        (
            array(TimestampMicrosecondArray::from(vec![-1, 2]).with_timezone("Asia/Seoul")),
            [-1_000, 2_000],
        ),
        (nanos([i64::MIN, i64::MAX]), [i64::MIN, i64::MAX]),
        (
            array(TimestampNanosecondArray::from(vec![-1, 2]).with_timezone("UTC")),
            [-1, 2],
        ),
    ];
    for (times, expected) in columns {
        let what = times.data_type().to_string();
        let db = open(&SimDisk::new()).unwrap();
        let table = table(&db, "t");
        let host = table.series(&[("host", "a")]).unwrap();
        let mut writer = db.writer();
        let rows = batch([("time", times), ("i", array(Int64Array::from(vec![1, 2])))]);
        writer.append_arrow(&host, &rows).unwrap();
        writer.commit_and_wait().unwrap();
        let rows = table.query().scan().unwrap().next().unwrap().unwrap();
        assert_eq!(rows.times(), expected, "{what}");
    }
}

#[test]
fn a_field_that_is_no_column_keeps_its_value() {
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    commit_by_host(&db, &table, &every_type());
    let again = batch([
        ("host", array(StringArray::from(vec!["b"]))),
        ("time", nanos([2])),
        ("u", array(UInt64Array::from(vec![None]))),
        ("f", array(Float64Array::from(vec![9.0]))),
    ]);
    commit_by_host(&db, &table, &again);
    let answer = only(
        &table
            .query()
            .filter(tidestone::TagMatch::equal("host", "b")),
    );
    assert_eq!(answer["f"].as_primitive::<Float64Type>().value(0), 9.0);
    assert_eq!(answer["i"].as_primitive::<Int64Type>().value(0), i64::MAX);
    assert_eq!(answer["u"].as_primitive::<UInt64Type>().value(0), 0);
    assert!(answer["u"].is_valid(0));
}

#[test]
fn a_column_that_is_no_field_is_added_to_an_open_schema() {
    let db = open(&SimDisk::new()).unwrap();
    let fields = TableOptions::new().open_schema();
    let table = db.create_table("t", fields).unwrap();
    commit_by_host(&db, &table, &every_type());
    let schema = table.schema();
    let fields = schema
        .fields
        .iter()
        .map(|f| (f.name.as_str(), f.field_type));
    let mut fields: Vec<_> = fields.collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    let mut expected = FIELDS;
    expected.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(fields, expected);
    assert_eq!(table.query().scan().unwrap().count(), 1);
}

/// Two hosts by time, in one batch: each has one value in the dictionary.
#[test]
fn a_tag_is_in_the_dictionary_once_in_a_batch() {
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    let hosts = ["b", "a", "b", "a", "b"];
    let rows = batch([
        ("time", nanos(0..5)),
        ("host", array(StringArray::from(hosts.to_vec()))),
        ("i", array(Int64Array::from(vec![0, 1, 2, 3, 4]))),
    ]);
    commit_by_host(&db, &table, &rows);
    let answer = only(&table.query().order(Order::Time));
    let found = answer["host"].as_dictionary::<Int32Type>();
    assert_eq!(found.keys().values(), &[0, 1, 0, 1, 0]);
    let values: Vec<_> = found.values().as_string::<i32>().iter().flatten().collect();
    assert_eq!(values, ["b", "a"]);
    assert_eq!(&answer["i"], &rows["i"]);
}

#[test]
fn many_batches_have_all_rows_whoever_reads_them() {
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    let rows: i64 = 50_000;
    let hosts = (0..rows).map(|i| format!("h{}", i % 7));
    let all = batch([
        ("time", nanos(0..rows)),
        ("host", array(StringArray::from_iter_values(hosts))),
        ("i", array(Int64Array::from_iter_values(0..rows))),
    ]);
    commit_by_host(&db, &table, &all);
    for order in [Order::SeriesTime, Order::Time, Order::TimeDescending] {
        for threads in [1, 3] {
            let batches = out(&table.query().order(order).threads(threads));
            assert!(batches.len() > 2, "{} batches", batches.len());
            let mut seen = 0;
            for batch in &batches {
                let hosts = batch["host"].as_dictionary::<Int32Type>();
                let hosts = hosts.downcast_dict::<StringArray>().unwrap();
                let values = batch["i"].as_primitive::<Int64Type>();
                for (host, value) in hosts.into_iter().zip(values.values()) {
                    assert_eq!(host.unwrap(), format!("h{}", value % 7));
                    seen += value;
                }
            }
            assert_eq!(seen, rows * (rows - 1) / 2, "{order:?} {threads}");
        }
    }
}

/// More keys than are kept from batch to batch.
#[test]
fn long_tags_are_those_of_their_rows_in_every_batch() {
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    let long = |n: i64| format!("{n} {}", "x".repeat(65_000));
    let series: Vec<_> = (0..300)
        .map(|n| table.series(&[("host", long(n))]).unwrap())
        .collect();
    let mut writer = db.writer();
    for time in 0..40_000 {
        let n = time % 300;
        let values = [Value::Null, Value::I64(n)];
        writer
            .append(&series[usize::try_from(n).unwrap()], time, &values)
            .unwrap();
    }
    writer.commit_and_wait().unwrap();
    let batches = out(&table.query().fields(&["i"]).order(Order::Time));
    assert!(batches.len() > 2, "{} batches", batches.len());
    for batch in &batches {
        let hosts = batch["host"].as_dictionary::<Int32Type>();
        let hosts = hosts.downcast_dict::<StringArray>().unwrap();
        let values = batch["i"].as_primitive::<Int64Type>().values();
        for (host, value) in hosts.into_iter().zip(values) {
            let (number, rest) = host.unwrap().split_once(' ').unwrap();
            assert_eq!((number, rest.len()), (value.to_string().as_str(), 65_000));
        }
    }
}

#[test]
fn last_rows_come_with_their_tags() {
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    commit_by_host(&db, &table, &every_type());
    let last = table.query().last().unwrap().into_rows();
    let all = table.record_batch(last.clone()).unwrap();
    assert_eq!(all, only(&table.query()));
    let chosen = table.record_batch_with(last.clone(), &["rack", "host"]);
    let chosen = chosen.unwrap();
    assert_eq!(chosen.schema().field(1).name(), "rack");
    assert_eq!(chosen["rack"].null_count(), 3);
    assert_eq!(&chosen["host"], &all["host"]);
    let without = table.record_batch_with::<&str>(last.clone(), &[]);
    assert_eq!(without.unwrap(), last.into_arrow().unwrap());
}

/// Series 1 of one database got the tags of series 1 of another.
#[test]
fn rows_get_the_tags_of_their_own_table_alone() {
    let host = |db: &Tidestone, name: &str, host: &str| {
        let table = table(db, name);
        let row = [Value::F64(0.5)];
        let series = table.series(&[("host", host)]).unwrap();
        let mut writer = db.writer();
        writer.append(&series, 7, &row).unwrap();
        writer.commit_and_wait().unwrap();
        table
    };
    let (first, second) = (open(&SimDisk::new()), open(&SimDisk::new()));
    let (first, second) = (first.unwrap(), second.unwrap());
    let ours = host(&first, "t", "ours");
    let last = |table: &Table| table.query().last().unwrap().into_rows();
    let refused = |what: &str, asked: &Table, rows: RowBatch, named: &str| {
        let says = [
            "knows the tags of its own alone",
            named,
            "give them to the one whose query they are from",
        ];
        check(what, asked.record_batch(rows), ErrorKind::Invalid, says);
    };
    let same = "rows of table \"t\" were given to another table \"t\"";
    let theirs = host(&second, "t", "theirs");
    assert_eq!(last(&theirs).series(0), last(&ours).series(0));
    refused("another database", &ours, last(&theirs), same);
    let other = host(&first, "other", "a");
    let named = "rows of table \"other\" were given to another table \"t\"";
    refused("another table", &ours, last(&other), named);
    let streamed = other.query().scan().unwrap().next().unwrap().unwrap();
    refused("rows of a scan", &ours, streamed, named);
    let no_rows = other.query().from(8).last().unwrap().into_rows();
    refused("no rows", &ours, no_rows, named);
    // Another handle is one of the same table.
    let rows = last(&first.table("t").unwrap());
    let answer = ours.record_batch(rows.clone()).unwrap();
    let hosts = answer["host"].as_dictionary::<Int32Type>().values().clone();
    assert_eq!(hosts.as_string::<i32>().value(0), "ours");
    for order in [Order::Time, Order::TimeDescending] {
        let rows = ours.query().order(order).last().unwrap().into_rows();
        ours.record_batch(rows).unwrap();
    }
    first.drop_table("t").unwrap();
    let anew = host(&first, "t", "anew");
    refused("dropped", &anew, rows, same);
}

/// The error in what Arrow is told.
fn cause(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(error) => *error.downcast().unwrap(),
        other => panic!("{other}"),
    }
}

#[test]
fn after_an_error_a_stream_has_ended() {
    let db = open(&SimDisk::new()).unwrap();
    let table = table(&db, "t");
    commit_by_host(&db, &table, &every_type());
    let stop = Cancellation::new();
    let query = table.query().cancelled_by(&stop);
    let mut batches = query.scan().unwrap().record_batches().unwrap();
    stop.cancel();
    let error = cause(batches.next().unwrap().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert!(batches.next().is_none());
    // Rows of many batches can be read, and whose they are cannot be told any more.
    let rows = 40_000;
    let more = batch([
        ("time", nanos(0..rows)),
        (
            "host",
            array(StringArray::from_iter_values((0..rows).map(|_| "a"))),
        ),
        ("i", array(Int64Array::from_iter_values(0..rows))),
    ]);
    commit_by_host(&db, &table, &more);
    let mut batches = table.query().scan().unwrap().record_batches().unwrap();
    db.drop_table("t").unwrap();
    let error = cause(batches.next().unwrap().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(batches.next().is_none());
}

#[test]
fn two_columns_of_one_name_are_refused_before_the_first_batch() {
    let db = open(&SimDisk::new()).unwrap();
    let fields = TableOptions::new()
        .field("time", FieldType::I64)
        .field("host", FieldType::String)
        .field("v", FieldType::F64);
    let table = db.create_table("t", fields).unwrap();
    let scan = |fields: &[&str]| table.query().fields(fields).scan().unwrap();
    let invalid = ErrorKind::Invalid;
    let says = |what| ["each name once", what, "with `record_batches_with`"];
    let says_table = |what| ["each name once", what, "with `record_batch_with`"];
    let what = "\"time\": the times and a field";
    check(
        "time",
        scan(&["time"]).record_batches(),
        invalid,
        says(what),
    );
    let rows = table.query().last().unwrap().into_rows();
    let told = table.record_batch(rows.clone());
    check("last", told, invalid, says_table(what));
    let says_fields = ["two columns", what, "the other fields with `Query::fields`"];
    check("no tags", rows.into_arrow(), invalid, says_fields);
    let last = |fields: &[&str]| table.query().fields(fields).last().unwrap().into_rows();
    last(&["v", "host"]).into_arrow().unwrap();
    table.series(&[("host", "a"), ("time", "b")]).unwrap();
    let what = "\"time\": the times and a tag";
    check("a tag", scan(&["v"]).record_batches(), invalid, says(what));
    let told = table.record_batch(last(&["v"]));
    check("a tag", told, invalid, says_table(what));
    let what = "\"host\": a tag and a field";
    let told = table.record_batch_with(last(&["v", "host"]), &["host"]);
    check("both", told, invalid, says_table(what));
    let answer = scan(&["v", "host"]).record_batches_with(&["host"]);
    check("both", answer, invalid, says(what));
    let what = "\"host\": a tag that is asked for twice";
    let answer = scan(&["v"]).record_batches_with(&["host", "host"]);
    check("twice", answer, invalid, says(what));
    let told = table.record_batch_with(last(&["v"]), &["host", "host"]);
    check("twice", told, invalid, says_table(what));
    // What is advised can be done.
    scan(&["v"]).record_batches_with(&["host"]).unwrap();
    let told = table.record_batch_with(last(&["v"]), &["host"]);
    told.unwrap();
}

/// DataFusion and the C stream interface send readers to other threads.
#[test]
fn readers_may_move_between_threads() {
    fn is_send<T: RecordBatchReader + Send + 'static>() {}
    is_send::<tidestone::arrow::RecordBatches>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_comes_out_and_goes_in_comes_out_equal(seed: u64, rows in 0usize..400, order in 0u8..3) {
        let db = open(&SimDisk::new()).unwrap();
        let (first, second) = (table(&db, "first"), table(&db, "second"));
        let mut dice = Dice(seed);
        let mut writer = db.writer();
        for _ in 0..rows {
            let tags: Vec<(&str, String)> = ["host", "rack"]
                .into_iter()
                .filter_map(|tag| Some((tag, format!("{}", dice.roll(4).checked_sub(1)?))))
                .collect();
            let series = first.series(&tags).unwrap();
            let values: Vec<Option<Val>> = FIELDS
                .iter()
                .map(|(_, of)| (dice.roll(4) > 0).then(|| Val::random(*of, &mut dice)))
                .collect();
            let values: Vec<Value<'_>> = values
                .iter()
                .map(|v| v.as_ref().map_or(Value::Null, Val::value))
                .collect();
            let time = dice.roll(200).cast_signed() - 100;
            writer.append(&series, time, &values).unwrap();
        }
        writer.commit_and_wait().unwrap();
        if seed % 2 == 0 {
            db.flush().unwrap();
        }
        let order = [Order::SeriesTime, Order::Time, Order::TimeDescending][usize::from(order)];
        let tags = ["host", "rack"];
        let stream = first.query().order(order).scan().unwrap();
        for batch in stream.record_batches_with(&tags).unwrap() {
            writer.append_arrow_by_tags(&second, &tags, &batch.unwrap()).unwrap();
        }
        writer.commit_and_wait().unwrap();
        prop_assert_eq!(common::difference(&contents(&second), &contents(&first)), None);
    }
}
