//! Wrong rows and calls, and extreme ones: an error of the right kind that names what is needed, nothing
//! half done, and no panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::gate::Gate;
use common::wrong::{check, fill, open, table_options};
use common::{contents, quiet};
use tidestone::io::{Call, SimDisk};
use tidestone::{
    Agg, Aggregate, Backpressure, Batch, Bitmap, ErrorKind, FieldType, ManualClock, Options, Query,
    SeededRandom, TableOptions, TagMatch, Tidestone, TimeRange, Value, Values,
};

#[test]
fn wrong_rows_are_refused_whole_and_others_stay_staged() {
    let db = open(&SimDisk::new()).unwrap();
    let fixed = TableOptions::new()
        .field("v", FieldType::F64)
        .field("n", FieldType::I64)
        .field("s", FieldType::String);
    let table = db.create_table("fixed", fixed).unwrap();
    let open_table = db
        .create_table("open", TableOptions::new().open_schema())
        .unwrap();
    let host = table.series(&[("host", "a")]).unwrap();
    let other = open_table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&host, 1, &[Value::F64(1.0)]).unwrap();
    let invalid = ErrorKind::Invalid;
    let now = 1_000_000_000_000;
    let day = 86_400_000_000_000;
    let f = |v| Value::F64(v);

    let w = &mut writer;
    check(
        "a type",
        w.append(&host, 2, &[Value::I64(1)]),
        invalid,
        [
            "\"v\" of table \"fixed\" is f64",
            "the value is i64",
            "give it as f64",
        ],
    );
    check(
        "too many",
        w.append(&host, 2, &[f(1.0), Value::Null, Value::Null, f(1.0)]),
        invalid,
        ["3 fields", "4 values", "give one for each"],
    );
    check(
        "ahead",
        w.append(&host, now + day + 1, &[f(1.0)]),
        invalid,
        [
            "\"fixed\" takes rows at most 86400000000000 ns ahead",
            "86400000000001 ns ahead of the clock",
            "correct the time, or raise the future bound",
        ],
    );
    check(
        "the end of time",
        w.append(&host, i64::MAX, &[f(1.0)]),
        invalid,
        [
            "at most 86400000000000 ns ahead",
            "time 9223372036854775807 is",
            "correct the time",
        ],
    );
    check(
        "an unknown field",
        w.append_fields(&host, 2, &[("w", f(1.0))]),
        invalid,
        [
            "\"fixed\"",
            "no field \"w\"; it has [\"v\"",
            "correct the name, or add the field",
        ],
    );
    check(
        "an unknown field, null",
        w.append_fields(&host, 2, &[("w", Value::Null)]),
        invalid,
        [
            "it has [\"v\"",
            "no field \"w\"",
            "correct the name, or add the field",
        ],
    );
    check(
        "twice",
        w.append_fields(&host, 2, &[("v", f(1.0)), ("v", f(2.0))]),
        invalid,
        ["in one row", "\"v\" is given twice", "give each field once"],
    );
    check(
        "by name, a type",
        w.append_fields(&host, 2, &[("n", f(1.0))]),
        invalid,
        [
            "\"n\" of table \"fixed\" is i64",
            "the value is f64",
            "give it as i64",
        ],
    );
    let batch = || Batch::of_series(&host, vec![5, 6]);
    check(
        "short",
        w.append_batch(batch().f64("v", vec![1.0])),
        invalid,
        ["2 rows", "\"v\" has 1 entries", "one for each row"],
    );
    check(
        "long",
        w.append_batch(batch().i64("n", vec![1, 2, 3])),
        invalid,
        ["2 rows", "3 entries", "one for each row"],
    );
    check(
        "a null map",
        w.append_batch(batch().nullable("v", Values::F64(vec![1.0, 2.0]), Bitmap::filled(3, true))),
        invalid,
        ["2 rows", "\"v\" has 3 entries", "one for each row"],
    );
    check(
        "unknown",
        w.append_batch(batch().f64("w", vec![1.0, 2.0])),
        invalid,
        [
            "it has [\"v\"",
            "no field \"w\"",
            "correct the name, or add the field",
        ],
    );
    check(
        "type",
        w.append_batch(batch().i64("v", vec![1, 2])),
        invalid,
        [
            "\"v\" of table \"fixed\" is f64",
            "the value is i64",
            "give it as f64",
        ],
    );
    check(
        "field twice",
        w.append_batch(batch().f64("v", vec![1.0, 2.0]).f64("v", vec![1.0, 2.0])),
        invalid,
        ["give each", "field \"v\" twice", "field once"],
    );
    check(
        "two tables",
        w.append_batch(Batch::of_many(
            vec![host.clone(), other.clone()],
            vec![0, 1],
            vec![1, 2],
        )),
        invalid,
        [
            "of one table",
            "\"fixed\" and of another table \"open\"",
            "make one for each",
        ],
    );
    check(
        "no such series",
        w.append_batch(Batch::of_many(vec![host.clone()], vec![0, 7], vec![1, 2])),
        invalid,
        [
            "the batch has 1, counted from 0",
            "series number 7",
            "correct the number",
        ],
    );
    check(
        "series of none",
        w.append_batch(Batch::of_many(vec![], vec![], vec![1, 2])),
        invalid,
        ["rows and no series", "2", "name the series"],
    );
    check(
        "times",
        w.append_batch(Batch::of_series(&host, vec![1, i64::MAX])),
        invalid,
        [
            "at most 86400000000000 ns ahead",
            "time 9223372036854775807 is",
            "correct the time",
        ],
    );
    w.append_batch(Batch::of_series(&host, vec![])).unwrap();
    w.append_batch(Batch::of_many(vec![], vec![], vec![]))
        .unwrap();
    assert_eq!(w.staged_rows(), 1);

    w.append_fields(&other, 1, &[("a", f(1.0))]).unwrap();
    check(
        "conflict",
        w.append_fields(&other, 2, &[("b", f(1.0)), ("a", Value::I64(1))]),
        invalid,
        [
            "\"a\" of table \"open\" is f64",
            "the value is i64",
            "give it as f64",
        ],
    );
    assert!(
        open_table.field("b").is_err(),
        "a refused row adds no field"
    );
    check(
        "no name",
        w.append_fields(&other, 2, &[("", f(1.0))]),
        invalid,
        [
            "1 to 65535 are allowed",
            "field name of 0 bytes",
            "choose another",
        ],
    );
    check(
        "add",
        table.add_field("v", FieldType::Bool),
        ErrorKind::Exists,
        [
            "of type f64 already",
            "cannot also be bool",
            "choose another name",
        ],
    );

    check(
        "a tag twice",
        table.series(&[("a", "1"), ("a", "2")]),
        invalid,
        ["expected each name once", "\"a\" twice", "correct it"],
    );
    check(
        "a tag without name",
        table.series(&[("", "1")]),
        invalid,
        ["expected at least one byte", "found none", "correct it"],
    );
    check(
        "a long tag",
        table.series(&[("a", "x".repeat(70_000))]),
        invalid,
        ["at most 65535", "got 70000", "make it smaller"],
    );
    table.series(&[("a", "")]).unwrap();
    table.series::<&str, &str>(&[]).unwrap();
    check(
        "no table",
        db.table("fixd"),
        ErrorKind::NotFound,
        [
            "there are [\"fixed\", \"open\"]",
            "no table \"fixd\"",
            "correct the name, or create the table",
        ],
    );
    check(
        "a table twice",
        db.create_table("open", TableOptions::new()),
        ErrorKind::Exists,
        [
            "choose another name",
            "a table \"open\" already",
            "open it with `table`",
        ],
    );
    check(
        "no table name",
        db.create_table("", TableOptions::new()),
        invalid,
        [
            "1 to 65535 are allowed",
            "table name of 0 bytes",
            "choose another",
        ],
    );
    check(
        "drop none",
        db.drop_table("none"),
        ErrorKind::NotFound,
        [
            "there are [\"fixed\", \"open\"]",
            "no table \"none\"",
            "correct the name",
        ],
    );
    check(
        "a span",
        table.delete(&[], TimeRange { start: 2, end: 1 }),
        invalid,
        [
            "not end before it starts",
            "the span starts at 2 and ends at 1",
            "give one",
        ],
    );
    check(
        "a field",
        table.query().fields(&["w"]).scan(),
        ErrorKind::NotFound,
        ["it has [\"v\"", "no field \"w\"", "correct the name"],
    );

    writer.commit_and_wait().unwrap();
    assert_eq!(contents(&table).len(), 1);
    assert_eq!(contents(&open_table).len(), 1);

    // A handle of another database with the same table id.
    let elsewhere = open(&SimDisk::new()).unwrap();
    let twin = elsewhere
        .create_table("fixed", TableOptions::new().field("v", FieldType::F64))
        .unwrap();
    let foreign = twin.series(&[("host", "z")]).unwrap();
    let mut mixed = db.writer();
    let staged = mixed
        .append(&foreign, 3, &[f(1.0)])
        .and_then(|()| mixed.commit().map(drop));
    check(
        "a foreign handle",
        staged,
        ErrorKind::NotFound,
        [
            "one of this database",
            "table \"fixed\" is not",
            "`clear` the writer",
        ],
    );
    assert_eq!(contents(&table).len(), 1);

    // Rows of a table that was dropped meanwhile; a new one of that name is another.
    let mut late = db.writer();
    late.append(&host, 9, &[f(1.0)]).unwrap();
    db.drop_table("fixed").unwrap();
    let again = db.create_table("fixed", table_options()).unwrap();
    check(
        "a dropped table",
        late.commit(),
        ErrorKind::NotFound,
        [
            "one of this database",
            "or was dropped",
            "`clear` the writer",
        ],
    );
    assert!(contents(&again).is_empty());
    assert!(table.query().scan().is_err());
}

#[test]
fn a_refused_or_empty_batch_adds_no_field_to_an_open_schema() {
    let db = open(&SimDisk::new()).unwrap();
    let options = TableOptions::new().open_schema();
    let table = db.create_table("open", options).unwrap();
    let host = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    let invalid = ErrorKind::Invalid;
    let of_one = || Batch::of_series(&host, vec![1, 2]).f64("new", vec![1.0, 2.0]);
    let of_many = |of_row| Batch::of_many(vec![host.clone(); 2], of_row, vec![1, 2]);
    let refused: [(&str, Batch, [&str; 3]); 6] = [
        (
            "a series number",
            of_many(vec![0, 7]).f64("new", vec![1.0, 2.0]),
            [
                "has 2, counted from 0",
                "series number 7",
                "correct the number",
            ],
        ),
        (
            "too few series numbers",
            of_many(vec![0]).f64("new", vec![1.0, 2.0]),
            [
                "2 rows",
                "\"series numbers\" has 1 entries",
                "one for each row",
            ],
        ),
        (
            "a field twice",
            of_one().f64("new", vec![1.0, 2.0]),
            ["give each", "field \"new\" twice", "field once"],
        ),
        (
            "a field twice, as another type",
            of_one().i64("new", vec![1, 2]),
            ["give each", "field \"new\" twice", "field once"],
        ),
        (
            "a field without name",
            of_one().f64("", vec![1.0, 2.0]),
            [
                "1 to 65535 are allowed",
                "field name of 0 bytes",
                "choose another",
            ],
        ),
        (
            "short",
            of_one().f64("n", vec![1.0]),
            ["2 rows", "\"n\" has 1 entries", "one for each row"],
        ),
    ];
    for (what, batch, says) in refused {
        check(what, writer.append_batch(batch), invalid, says);
        assert!(table.schema().fields.is_empty(), "{what}: a field is left");
    }
    let row = [("new", Value::F64(1.0)), ("", Value::F64(1.0))];
    check(
        "a row",
        writer.append_fields(&host, 1, &row),
        invalid,
        [
            "1 to 65535 are allowed",
            "field name of 0 bytes",
            "choose another",
        ],
    );
    let empty = Batch::of_series(&host, vec![]).f64("new", vec![]);
    writer.append_batch(empty).unwrap();
    assert!(table.schema().fields.is_empty());
    assert_eq!(writer.staged_rows(), 0);
    writer.append_batch(of_one()).unwrap();
    assert_eq!(table.schema().fields.len(), 1);
}

#[test]
fn a_string_no_field_can_hold_is_refused_when_it_is_staged() {
    const MAX: usize = 16 << 20;
    let db = open(&SimDisk::new()).unwrap();
    let table = db.create_table("t", table_options()).unwrap();
    let host = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    let long = "x".repeat(MAX + 1);
    let text = Value::String(&long);
    let says = [
        "at most 16777216",
        "\"text\" of table \"t\" has 16777217 bytes",
        "shorten it",
    ];
    let invalid = ErrorKind::Invalid;
    let by_place = writer.append(&host, 1, &[Value::F64(1.0), text]);
    check("by place", by_place, invalid, says);
    let by_name = writer.append_fields(&host, 1, &[("text", text)]);
    check("by name", by_name, invalid, says);
    let batch = Batch::of_series(&host, vec![1, 2]).string("text", &["", &long]);
    check("a batch", writer.append_batch(batch), invalid, says);
    let wrong = writer.append(&host, 1, &[text]);
    check(
        "a type",
        wrong,
        invalid,
        [
            "\"v\" of table \"t\" is f64",
            "the value is string",
            "give it as f64",
        ],
    );
    assert_eq!(writer.staged_rows(), 0);

    // Of a null nothing is kept, and the longest string there may be is taken.
    let texts = Values::String(["", &*long].into_iter().collect());
    let mut valid = Bitmap::filled(2, true);
    valid.set(1, false);
    let batch = Batch::of_series(&host, vec![1, 2]).nullable("text", texts, valid);
    writer.append_batch(batch).unwrap();
    let longest = Value::String(&long[..MAX]);
    writer.append(&host, 3, &[Value::Null, longest]).unwrap();
    writer.commit_and_wait().unwrap();
    assert_eq!(contents(&table).len(), 3);
}

#[test]
fn a_tag_that_no_series_has_is_an_error_that_names_near_ones() {
    let db = open(&SimDisk::new()).unwrap();
    let table = db.create_table("t", table_options()).unwrap();
    let unknown = [TagMatch::equal("hots", "a")];
    // Where there are no series there is nothing to misspell.
    assert!(table.series_keys(&unknown).unwrap().is_empty());
    drop(table.delete(&unknown, TimeRange::ALL).unwrap());
    assert!(table.query().filter(unknown[0].clone()).scan().is_ok());

    let series = table.series(&[("host", "a"), ("rack", "1")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 1, &[Value::F64(1.0)]).unwrap();
    writer.commit_and_wait().unwrap();
    let kind = ErrorKind::NotFound;
    let says = [
        "there are [\"host\"",
        "no series of table \"t\" has a tag \"hots\"",
        "correct the name",
    ];
    let all = TimeRange::ALL;
    check("a delete", table.delete(&unknown, all), kind, says);
    let beside_known = [TagMatch::equal("host", "a"), unknown[0].clone()];
    check("a second", table.delete(&beside_known, all), kind, says);
    check("a list", table.series_keys(&unknown), kind, says);
    let query = table.query().filter(unknown[0].clone());
    check("a scan", query.scan(), kind, says);
    let count = [Aggregate::new(Agg::Count, "v")];
    let grouped = table.query().group_by(&["hots"]).aggregate(count);
    check("a group", grouped.buckets(), kind, says);
    assert_eq!(contents(&table).len(), 1);

    // A value that no series has is none.
    let nobody = [TagMatch::equal("host", "b")];
    assert!(table.series_keys(&nobody).unwrap().is_empty());
    drop(table.delete(&nobody, all).unwrap());
    let known = table.series_keys(&[TagMatch::equal("rack", "1")]);
    assert_eq!(known.unwrap().len(), 1);
    assert_eq!(table.series_keys(&[]).unwrap().len(), 1);
    assert_eq!(contents(&table).len(), 1);
}

#[test]
fn a_question_about_what_is_not_there_is_refused_in_each_form() {
    let db = open(&SimDisk::new()).unwrap();
    fill(&db);
    let table = db.table("t").unwrap();
    let count = || [Aggregate::new(Agg::Count, "v")];
    // Each way to ask, of a query made ready.
    let ask = |what: &str, query: &dyn Fn() -> Query, kind, says: [&str; 3]| {
        let buckets = query().every(Duration::from_secs(1)).aggregate(count());
        check(&format!("{what}: rows"), query().scan(), kind, says);
        check(&format!("{what}: buckets"), buckets.buckets(), kind, says);
        check(&format!("{what}: last"), query().last(), kind, says);
        check(&format!("{what}: last at"), query().last_at(5), kind, says);
    };
    let says = [
        "not end before it starts",
        "the range starts at 2 and ends at 1",
        "give one",
    ];
    let reversed = || table.query().range(TimeRange { start: 2, end: 1 });
    check("a range: rows", reversed().scan(), ErrorKind::Invalid, says);
    check("a range: last", reversed().last(), ErrorKind::Invalid, says);
    let buckets = reversed().every(Duration::from_secs(1)).aggregate(count());
    check(
        "a range: buckets",
        buckets.buckets(),
        ErrorKind::Invalid,
        says,
    );
    let says = [
        "there are [\"host\"]",
        "no series of table \"t\" has a tag \"hots\"",
        "correct the name",
    ];
    let tag = || table.query().filter(TagMatch::equal("hots", "h1"));
    ask("a tag", &tag, ErrorKind::NotFound, says);
    let says = [
        "it has [\"v\", \"text\"]",
        "table \"t\" has no field \"w\"",
        "correct the name",
    ];
    let field = || table.query().fields(&["w"]);
    for (what, asked) in [("last", field().last()), ("last at", field().last_at(5))] {
        check(what, asked, ErrorKind::NotFound, says);
    }
    let of_w = table.query().aggregate([Aggregate::new(Agg::Max, "w")]);
    check("an aggregate", of_w.buckets(), ErrorKind::NotFound, says);
    let none = table.query().aggregate([]);
    let says = ["at least one is needed", "no aggregate", "name one"];
    check("no aggregate", none.buckets(), ErrorKind::Invalid, says);
    let says = ["count, first or last", "max of field \"text\"", "ask for"];
    let of_text = table.query().aggregate([Aggregate::new(Agg::Max, "text")]);
    check("a string", of_text.buckets(), ErrorKind::Invalid, says);

    db.drop_table("t").unwrap();
    let says = ["this needs it", "\"t\" was dropped", "or name another"];
    let dropped = || table.query();
    ask("a table", &dropped, ErrorKind::NotFound, says);
}

#[test]
fn wrong_settings_are_refused_by_every_way_to_open() {
    let disk = SimDisk::new();
    drop(open(&disk).unwrap());
    let before = disk.changes();
    let mut cases = vec![quiet(); 4];
    cases[0].memory_budget_bytes = 1;
    cases[1].log_file_bytes = 65_537;
    cases[2].open_segments = 15;
    cases[3].query_threads = 0;
    let settings = [
        ("memory_budget_bytes", "at least 32 MiB", 1),
        ("log_file_bytes", "from 64 KiB to 1 GiB", 65_537),
        ("open_segments", "at least 16", 15),
        ("query_threads", "at least 1", 0),
    ];
    for (options, (name, bound, value)) in cases.into_iter().zip(settings) {
        let at = |path: &str| {
            let disk = Arc::new(disk.clone());
            let builder = Tidestone::builder(path);
            builder.options(options.clone()).disk(disk)
        };
        let invalid = ErrorKind::Invalid;
        let says = [
            &*format!("setting {name} must be {bound}"),
            &*format!("it is {value}"),
            "change it",
        ];
        check("open", at("/db").open(), invalid, says);
        check("create", at("/new").create(), invalid, says);
        check("either", at("/new").open_or_create(), invalid, says);
        check("read", at("/db").open_read_only(), invalid, says);
    }
    assert_eq!(disk.changes(), before);
    open(&disk).unwrap();
}

#[test]
fn what_a_busy_database_refuses_stays_staged_and_is_committed_later() {
    let disk = SimDisk::new();
    let gate = Gate::before(&disk);
    let start = || {
        let options = Options {
            backpressure: Backpressure::Fail,
            ..quiet()
        };
        Tidestone::builder("/db")
            .options(options)
            .disk(Arc::new(disk.clone()))
            // Room in the log is waited for, however long this machine takes for it.
            .clock(Arc::new(ManualClock::new(0)))
            .random(Arc::new(SeededRandom::new(disk.changes())))
            .open_or_create()
            .unwrap()
    };
    let db = start();
    let table = db.create_table("t", table_options()).unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    gate.hold(|call, path| call == Call::Create && path.starts_with("/db/tmp"));
    let mut writer = db.writer();
    let text = "x".repeat(1 << 20);
    let mut committed = 0;
    let error = loop {
        let values = [Value::Null, Value::String(&text)];
        writer.append(&series, committed, &values).unwrap();
        match writer.commit_and_wait() {
            Ok(_) => committed += 1,
            Err(error) => break error,
        }
        assert!(committed < 64, "the budget is 32 MiB");
    };
    check::<()>(
        "few rows",
        Err(error),
        ErrorKind::Busy,
        [
            "are allowed",
            "bytes of rows wait to be flushed",
            "or raise memory_budget_bytes",
        ],
    );
    assert_eq!(writer.staged_rows(), 1);
    // A batch that is shared, not copied, comes back to its writer.
    let mut many = db.writer();
    let times: Vec<i64> = (1_000..2_000).collect();
    let batch = Batch::of_series(&series, times).f64("v", vec![0.5; 1_000]);
    many.append_batch(batch).unwrap();
    check(
        "many rows",
        many.commit(),
        ErrorKind::Busy,
        ["are allowed", "bytes of rows wait", "commit again later"],
    );
    assert_eq!(many.staged_rows(), 1_000);
    let rows = || i64::try_from(contents(&table).len()).unwrap();
    assert_eq!(rows(), committed);

    gate.open();
    db.flush().unwrap();
    writer.commit_and_wait().unwrap();
    many.commit_and_wait().unwrap();
    assert_eq!((writer.staged_rows(), many.staged_rows()), (0, 0));
    assert_eq!(rows(), committed + 1 + 1_000);
    let expected = contents(&table);
    db.close().unwrap();
    let db = start();
    assert!(contents(&db.table("t").unwrap()) == expected);
}

#[test]
fn extreme_values_come_back_bit_for_bit() {
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    let table = db.create_table("t", table_options()).unwrap();
    let long = "x".repeat(1 << 20);
    let values = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::MIN,
        5e-324,
    ];
    let series = table.series(&[("host", "")]).unwrap();
    let other = table.series(&[("\u{0}", "\u{10FFFF}")]).unwrap();
    let mut writer = db.writer();
    for (i, time) in [i64::MIN, -1, 0, 1, i64::MAX - 1, i64::MAX]
        .into_iter()
        .enumerate()
    {
        let text = if i % 2 == 0 { "" } else { &long };
        writer
            .append(&series, time, &[Value::F64(values[i]), Value::String(text)])
            .unwrap();
        writer
            .append(&other, time, &[Value::Null, Value::String("\u{1F30A}")])
            .unwrap();
    }
    writer.commit_and_wait().unwrap();
    let rows = contents(&table);
    assert_eq!(rows.len(), 12);
    let bits: Vec<u64> = rows
        .iter()
        .filter_map(|r| match r.2.get("v") {
            Some(common::Val::F64(bits)) => Some(*bits),
            _ => None,
        })
        .collect();
    assert_eq!(bits, values.map(f64::to_bits));
    db.flush().unwrap();
    assert!(contents(&table) == rows, "flushed");
    db.compact().unwrap();
    assert!(contents(&table) == rows, "merged");
    db.close().unwrap();
    let db = open(&disk).unwrap();
    assert!(contents(&db.table("t").unwrap()) == rows, "opened again");
}

#[test]
fn a_read_only_database_and_a_closed_one_refuse_writes() {
    let disk = SimDisk::new();
    let db = open(&disk).unwrap();
    fill(&db);
    let reader = Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .open_read_only()
        .unwrap();
    let closed = ErrorKind::Closed;
    let table = reader.table("t").unwrap();
    assert_eq!(contents(&table).len(), 8_400);
    let says = [
        "to change it",
        "opened for reading only",
        "open it for writing",
    ];
    check(
        "create",
        reader.create_table("u", table_options()),
        closed,
        says,
    );
    check(
        "a new series",
        table.series(&[("host", "new")]),
        closed,
        says,
    );
    check("delete", table.delete(&[], TimeRange::ALL), closed, says);
    check("flush", reader.flush(), closed, says);
    check("compact", reader.compact(), closed, says);
    check("drop", reader.drop_table("t"), closed, says);
    let known = table.series(&[("host", "h1")]).unwrap();
    let mut writer = reader.writer();
    writer.append(&known, 1, &[Value::F64(1.0)]).unwrap();
    check("commit", writer.commit(), closed, says);

    let table = db.table("t").unwrap();
    let series = table.series(&[("host", "h1")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 1, &[Value::F64(1.0)]).unwrap();
    let ticket = writer.commit().unwrap();
    db.close().unwrap();
    db.close().unwrap();
    ticket.wait().unwrap();
    assert!(ticket.is_durable());
    writer.append(&series, 2, &[Value::F64(1.0)]).unwrap();
    let says = ["this needs an open one", "was closed", "open it again"];
    check("commit", writer.commit(), closed, says);
    check("a series", table.series(&[("host", "other")]), closed, says);
}
