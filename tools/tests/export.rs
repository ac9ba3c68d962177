//! `export`, and that `import` gets back what it wrote.
#![cfg(feature = "engine")]
#![expect(
    clippy::disallowed_methods,
    reason = "input files are files of the test"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints know test functions, not the functions they call"
)]

mod common;

use std::collections::BTreeMap;
use std::io::Write;

use common::Place;
use proptest::prelude::*;
use tidestone::{FieldType, Options, TableOptions, Tidestone, Value};

#[test]
fn what_is_exported_can_be_imported() {
    let place = Place::with_weather();
    let first = place.ok(&["export", "--db", "db", "--table", "weather"]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(first.as_bytes()).unwrap();
    std::fs::write(place.path("out.csv.gz"), packed.finish().unwrap()).unwrap();
    place.ok(&[
        "import",
        "--db",
        "copy",
        "--table",
        "w",
        "--time",
        "time",
        "--tags",
        "city",
        "out.csv.gz",
    ]);
    assert_eq!(place.ok(&["export", "--db", "copy", "--table", "w"]), first);
}

#[test]
fn floats_are_told_from_integers() {
    let place = Place::new();
    place.file(
        "in.csv",
        "t,f,i\n1,1.0,1\n2,-0.0,2\n3,1e300,3\n4,nan,4\n5,inf,5\n",
    );
    let table = ["--db", "db", "--table", "t"];
    place.ok(&[&["import"], &table[..], &["--time", "t", "in.csv"]].concat());
    let csv = place.ok(&[&["export"], &table[..]].concat());
    let values: Vec<&str> = csv.lines().map(|l| l.split_once(',').unwrap().1).collect();
    assert_eq!(
        values,
        ["f,i", "1.0,1", "-0.0,2", "1e300,3", "NaN,4", "inf,5"]
    );
}

const FIELDS: [(&str, FieldType); 5] = [
    ("f", FieldType::F64),
    ("i", FieldType::I64),
    ("u", FieldType::U64),
    ("b", FieldType::Bool),
    // Text that CSV must quote.
    ("s \"t\"", FieldType::String),
];
const TAGS: [&str; 2] = ["host", "data,center"];

/// What a row holds: the bits of floats, so that zeros differ and NaNs are equal.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    f: Option<u64>,
    i: Option<i64>,
    u: Option<u64>,
    b: Option<bool>,
    s: Option<String>,
}

/// Rows by tags and time.
type Rows = BTreeMap<([Option<String>; 2], i64), Row>;

fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN } else { value }.to_bits()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "",
        "[a-c,\"\r\n; ]{0,6}",
        "\\PC{0,8}",
        Just("5".to_owned()),
        Just("NaN".to_owned()),
        Just("true".to_owned()),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let f = prop_oneof![
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits),
        Just(-0.0),
        Just(1.0),
        Just(1e16),
        Just(5e-324),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::NAN),
    ];
    let i = prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -5..5i64];
    let u = prop_oneof![any::<u64>(), Just(u64::MAX), 0..5u64];
    let some = |strategy| proptest::option::weighted(0.8, strategy);
    (
        some(f.prop_map(bits).boxed()),
        proptest::option::weighted(0.8, i),
        proptest::option::weighted(0.8, u),
        proptest::option::weighted(0.8, any::<bool>()),
        proptest::option::weighted(0.8, text()),
    )
        .prop_map(|(f, i, u, b, s)| Row { f, i, u, b, s })
}

fn rows() -> impl Strategy<Value = Rows> {
    let time = prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -1000..1000i64];
    let tag = || proptest::option::weighted(0.8, prop_oneof![text(), "[ab]"]);
    proptest::collection::btree_map(
        ((tag(), tag()).prop_map(<[_; 2]>::from), time),
        row(),
        1..80,
    )
}

fn write(place: &Place, rows: &Rows) {
    let db = Tidestone::create(place.path("db"), Options::default()).unwrap();
    let options = FIELDS
        .iter()
        .fold(TableOptions::new(), |o, (n, t)| o.field(*n, *t));
    let table = db.create_table("t", options.future_bound(None)).unwrap();
    let mut writer = db.writer();
    for ((tags, time), row) in rows {
        let tags = TAGS.iter().zip(tags);
        let tags: Vec<(&str, &str)> = tags
            .filter_map(|(n, v)| Some((*n, v.as_deref()?)))
            .collect();
        let values = [
            row.f.map(f64::from_bits).into(),
            row.i.into(),
            row.u.into(),
            Value::from(row.b),
            row.s.as_deref().into(),
        ];
        writer
            .append(&table.series(&tags).unwrap(), *time, &values)
            .unwrap();
    }
    writer.commit_and_wait().unwrap();
    db.close().unwrap();
}

fn read(place: &Place, db: &str) -> Rows {
    let db = Tidestone::open_read_only(place.path(db), Options::default()).unwrap();
    let mut stream = db.table("t").unwrap().query().scan().unwrap();
    let mut rows = Rows::new();
    while let Some(batch) = stream.next().transpose().unwrap() {
        for at in 0..batch.len() {
            let key = stream.key(batch.series(at)).unwrap();
            let tags = TAGS.map(|name| key.get(name).map(str::to_owned));
            // A field without any value was not made.
            let value = |n: usize| {
                let column = batch.column(FIELDS[n].0);
                column.map_or(Value::Null, |column| Value::of_column(column, at))
            };
            let mut row = Row {
                f: None,
                i: None,
                u: None,
                b: None,
                s: None,
            };
            for n in 0..FIELDS.len() {
                match (n, value(n)) {
                    (_, Value::Null) => {}
                    (0, Value::F64(v)) => row.f = Some(bits(v)),
                    (1, Value::I64(v)) => row.i = Some(v),
                    (2, Value::U64(v)) => row.u = Some(v),
                    (3, Value::Bool(v)) => row.b = Some(v),
                    (4, Value::String(v)) => row.s = Some(v.to_owned()),
                    (n, other) => panic!("{:?} is {other:?}", FIELDS[n]),
                }
            }
            rows.insert((tags, batch.times()[at]), row);
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_come_back_as_they_were(rows in rows()) {
        let place = Place::new();
        write(&place, &rows);
        prop_assert_eq!(&read(&place, "db"), &rows);
        let csv = place.ok(&["export", "--typed", "--db", "db", "--table", "t"]);
        place.file("out.csv", &csv);
        place.ok(&["import", "--strict", "--db", "copy", "--table", "t", "out.csv"]);
        prop_assert_eq!(&read(&place, "copy"), &rows);
    }
}

#[test]
fn a_plain_export_comes_back_with_tags_and_types_named() {
    let place = Place::new();
    let row = |s: &str| Row {
        f: Some(bits(1.0)),
        i: Some(1),
        u: Some(1),
        b: None,
        s: Some(s.to_owned()),
    };
    let tags = |host: Option<&str>| [host.map(str::to_owned), None];
    let rows = Rows::from([
        ((tags(Some("a")), 1), row("5")),
        ((tags(Some("")), 2), row("")),
        ((tags(None), 3), Row { s: None, ..row("") }),
    ]);
    write(&place, &rows);
    let csv = place.ok(&["export", "--db", "db", "--table", "t"]);
    place.file("out.csv", &csv);
    place.ok(&[
        "import",
        "--db",
        "copy",
        "--table",
        "t",
        "--time",
        "time",
        "--tags",
        "host",
        "--types",
        "u=u64,s \"t\"=string",
        "out.csv",
    ]);
    assert_eq!(read(&place, "copy"), rows);
}

#[test]
fn a_typed_file_needs_no_options_and_contradicts_none() {
    let place = Place::new();
    // What is the time is said by its type: a field may be called like it.
    place.file("in.csv", "t:time,host:tag,host:u64,time:string\n5,a,1,2\n");
    place.ok(&[
        "import",
        "--db",
        "db",
        "--table",
        "t",
        "--time-format",
        "ns",
        "in.csv",
    ]);
    let csv = place.ok(&["export", "--typed", "--db", "db", "--table", "t"]);
    let expected =
        "time:time,host:tag,host:u64,time:string\n1970-01-01T00:00:00.000000005Z,a,1,2\n";
    assert_eq!(csv, expected);
    place.file("out.csv", &csv);
    place.ok(&["import", "--db", "copy", "--table", "t", "out.csv"]);
    let again = place.ok(&["export", "--typed", "--db", "copy", "--table", "t"]);
    assert_eq!(again, csv);
    let (_, error) = place.check(
        2,
        &[
            "import", "--db", "db", "--table", "t", "--tags", "time", "in.csv",
        ],
    );
    assert!(
        error.contains("in.csv has no column \"time\" (--tags)"),
        "{error}"
    );
    place.file("in.csv", "t:time,v:u64,v:f64\n5,1,2\n");
    let (_, error) = place.check(2, &["import", "--db", "db", "--table", "t", "in.csv"]);
    assert!(error.contains("two columns \"v\""), "{error}");
}
