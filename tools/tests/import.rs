//! `import`, from outside.
#![cfg(feature = "engine")]
#![expect(
    clippy::disallowed_methods,
    reason = "input files are files of the test"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the lints know test functions, not the functions they call"
)]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::Place;

#[test]
fn wrong_lines_are_named_and_stop_nothing() {
    let place = Place::new();
    let lines: String = (0..2000)
        .map(|i| format!("{},{}\n", 1_700_000_000 + i, i))
        .collect();
    let csv = format!("t,v\n{lines}1700002000,2.5\nx,1\n1700002001,5\n1700002002,1,2\n");
    place.file("in.csv", &csv);
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ];
    let (out, error) = place.check(1, &import);
    assert!(out.contains("2001 rows in"), "{out}");
    assert!(out.contains("3 lines refused"), "{out}");
    assert!(
        error.contains(
            "in.csv:2002: field \"v\" is i64 (by the first 1000 rows), the value \"2.5\" is f64"
        ),
        "{error}"
    );
    assert!(
        error.contains("in.csv:2003: time \"x\" is not of the format s"),
        "{error}"
    );
    assert!(
        error.contains("in.csv:2005: 3 columns, the first line has 2"),
        "{error}"
    );

    place.file("strict.csv", "t,v\n1,1\nx,2\n3,3\n");
    let strict = [
        "import",
        "--strict",
        "--db",
        "db2",
        "--table",
        "t",
        "--time",
        "t",
        "strict.csv",
    ];
    let (out, error) = place.check(1, &strict);
    assert!(
        out.contains("1 rows in") && error.contains("strict.csv:3:"),
        "{out}{error}"
    );

    let typed = [
        "import", "--db", "db3", "--table", "t", "--time", "t", "--types", "v=f64", "in.csv",
    ];
    let (out, _) = place.check(1, &typed);
    assert!(out.contains("2002 rows in"), "{out}");
    let (_, error) = place.check(
        2,
        &[
            "import", "--db", "db3", "--table", "t", "--time", "t", "--types", "v=i64", "in.csv",
        ],
    );
    assert!(error.contains("it is f64"), "{error}");
    let (_, error) = place.check(
        2,
        &[
            "import", "--db", "db3", "--table", "t", "--time", "no", "in.csv",
        ],
    );
    assert!(
        error.contains("in.csv has no column \"no\" (--time); it has [\"t\", \"v\"]"),
        "{error}"
    );
}

#[test]
fn rows_that_the_table_refuses_are_named_by_their_lines() {
    let place = Place::new();
    let db = tidestone::Tidestone::create(place.path("db"), tidestone::Options::default()).unwrap();
    // By default a table takes nothing that is more than a day ahead of the clock.
    let options = tidestone::TableOptions::new().field("v", tidestone::FieldType::I64);
    db.create_table("t", options).unwrap();
    db.close().unwrap();
    drop(db);
    place.file(
        "in.csv",
        "t,v\n2020-01-01,1\n2200-01-01,2\n2020-01-03,true\n2020-01-04,4\n",
    );
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ];
    let (out, error) = place.check(1, &import);
    assert!(
        out.contains("table t: 2 rows, 2 values") && out.contains("2 lines refused"),
        "{out}"
    );
    for expected in [
        "in.csv:3: time 7258118400000000000 is",
        "in.csv:4: field \"v\" is i64 (in the table), the value \"true\" is bool",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    place.file("more.csv", "t,v,w\n2020-01-01,1,1\n");
    let more = [
        "import", "--db", "db", "--table", "t", "--time", "t", "more.csv",
    ];
    let (_, error) = place.check(2, &more);
    assert!(
        error.contains("has no field \"w\" and takes no new ones"),
        "{error}"
    );
}

#[test]
fn tags_are_told_apart_by_their_names_whatever_the_order_of_columns() {
    let place = Place::new();
    place.file("a.csv", "t,host,dc,v\n1,x,y,1\n");
    place.file("b.csv", "t,dc,host,v\n2,x,y,2\n3,y,x,3\n");
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "--tags", "host,dc", "a.csv",
        "b.csv",
    ];
    let out = place.ok(&import);
    assert!(out.contains("table t: 3 rows, 3 values, 2 series"), "{out}");
    let query = ["query", "--db", "db", "--table", "t", "--fields", "v"];
    for (host, expected) in [("x", &["1", "3"][..]), ("y", &["2"])] {
        let test = format!("host={host}");
        let out = place.ok(&[&query[..], &["--where", &test, "--format", "csv"]].concat());
        let values: Vec<&str> = out
            .lines()
            .skip(1)
            .flat_map(|l| l.rsplit(',').next())
            .collect();
        assert_eq!(values, expected, "{host}: {out}");
    }
}

#[test]
fn strict_takes_what_stands_before_a_wrong_record_and_nothing_behind_it() {
    let place = Place::new();
    let strict = |db: &str, file: &str, text: &[u8]| {
        std::fs::write(place.path(file), text).unwrap();
        let mut args = vec!["import", "--strict", "--db", db];
        if file.ends_with(".csv") {
            args.extend(["--table", "t", "--time", "t"]);
        }
        place.check(1, &[&args[..], &[file]].concat())
    };
    let (out, error) = strict("db", "a.csv", b"t,v\n1,1\n2,2\n3,\xff\n4,4\n5,\xff\n");
    assert!(out.contains("t: 2 rows, 2 values"), "{out}");
    assert!(error.contains("a.csv:4: column 2 is not UTF-8"), "{error}");
    assert!(!error.contains("a.csv:6"), "{error}");

    for db in ["db2", "db3"] {
        let db = tidestone::Tidestone::create(place.path(db), tidestone::Options::default());
        let db = db.unwrap();
        for table in ["t", "u"] {
            let options = tidestone::TableOptions::new().open_schema();
            db.create_table(table, options).unwrap();
        }
        db.close().unwrap();
    }
    // By default a table takes nothing that is more than a day ahead of the clock.
    let text = b"t,v\n2020-01-01,1\n2200-01-01,2\n2020-01-03,3\n2200-01-04,4\n";
    let (out, error) = strict("db2", "b.csv", text);
    assert!(out.contains("t: 1 rows, 1 values"), "{out}");
    assert!(error.contains("b.csv:3: time"), "{error}");
    assert!(!error.contains("b.csv:5"), "{error}");

    let text = b"u v=1 1\nt v=1 2\nt v=2 7258118400000000000\nu v=3 3\n";
    let (out, error) = strict("db3", "c.lp", text);
    for expected in ["table t: 1 rows", "table u: 1 rows"] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    assert!(error.contains("c.lp:3: time"), "{error}");
}

#[test]
fn a_line_that_is_not_utf_8_is_named_and_the_others_are_taken() {
    let place = Place::new();
    let check = |file: &str, text: &[u8], expected: &str, more: &[&str]| {
        std::fs::write(place.path(file), text).unwrap();
        let (out, error) = place.check(1, &[&["import", "--db", "db", file], more].concat());
        assert!(out.contains("2 rows in"), "{out}");
        assert!(out.contains("1 lines refused"), "{out}");
        assert!(error.contains(expected), "{error}");
    };
    check(
        "in.lp",
        b"m,a=x v=1 1\nm,a=\xff v=2 2\nm,a=x v=3 3\n",
        "in.lp:2: the line is not UTF-8",
        &[],
    );
    check(
        "in.csv",
        b"t,v\n1,a\n2,\xc3\x28\n3,c\n",
        "in.csv:3: column 2 is not UTF-8",
        &["--table", "csv", "--time", "t"],
    );
}

#[test]
fn line_protocol_makes_a_table_of_each_measurement() {
    let place = Place::new();
    let lines = "\
# comment
cpu,host=a,dc=x usage=1.5,n=2i 1000000000
cpu,dc=x,host=a usage=2.5,up=true 2000000000

mem,host=a free=5u,note=\"a \\\"b\\\"\" 1000000000
cpu,host=a usage=\"text\" 3000000000
cpu,host=a usage=1
cpu,host=a
";
    place.file("in.lp", lines);
    let (out, error) = place.check(1, &["import", "--db", "db", "in.lp"]);
    assert!(
        out.contains("table cpu: 2 rows, 4 values, 1 series") && out.contains("table mem: 1 rows"),
        "{out}"
    );
    for expected in [
        "in.lp:6: field \"usage\" is f64, the value is string",
        "in.lp:7: the line has no timestamp",
        "in.lp:8: column 11: expected a space and fields, the line ends",
    ] {
        assert!(error.contains(expected), "{error}");
    }
    let rows = place.ok(&["export", "--db", "db", "--table", "cpu"]);
    assert_eq!(
        rows,
        "time,dc,host,usage,n,up\n\
         1970-01-01T00:00:01Z,x,a,1.5,2,\n1970-01-01T00:00:02Z,x,a,2.5,,true\n"
    );
    let rows = place.ok(&["export", "--db", "db", "--table", "mem"]);
    assert!(rows.ends_with("5,\"a \"\"b\"\"\"\n"), "{rows}");
}

#[test]
fn one_line_with_an_unknown_field_costs_that_line_alone() {
    let place = Place::new();
    let db = tidestone::Tidestone::create(place.path("db"), tidestone::Options::default()).unwrap();
    let options = tidestone::TableOptions::new().field("v", tidestone::FieldType::I64);
    db.create_table("m", options).unwrap();
    db.close().unwrap();
    drop(db);
    place.file("m.line", "m,h=a v=1i 1\nm,h=a x=2i 2\nm,h=a v=3i 3\n");
    let (out, error) = place.check(1, &["import", "--db", "db", "m.line"]);
    assert!(
        error.contains("m.line:2: ") && error.contains('x'),
        "{error}"
    );
    assert!(out.contains("table m: 2 rows, 2 values"), "{out}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_measurement() {
    let place = Place::new();
    place.file("m.line", "\u{feff}m,h=a v=1i 1\nm,h=a v=2i 2\n");
    let out = place.ok(&["import", "--db", "db", "m.line"]);
    assert!(
        out.starts_with("table m: 2 rows, 2 values, 1 series"),
        "{out}"
    );
}

#[test]
fn long_lines_are_committed_in_small_batches() {
    let place = Place::new();
    let long = "x".repeat(60_000);
    // All of them would be more than one batch can hold.
    let lines = (0..10_000).map(|i| format!("m,h=a v=\"{i} {long}\" {i}\n"));
    place.file("m.line", &lines.collect::<String>());
    let out = place.ok(&["import", "--db", "db", "m.line"]);
    assert!(out.starts_with("table m: 10000 rows"), "{out}");
}

/// Text packed with gzip.
fn packed(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

/// How many rows a table has.
fn rows(place: &Place, table: &str) -> usize {
    let csv = place.ok(&["export", "--db", "db", "--table", table]);
    csv.lines().count() - 1
}

#[test]
fn what_stands_before_a_failure_is_imported_and_counted() {
    let place = Place::new();
    // Fewer rows than are looked at for types, and more.
    for (count, table) in [(500, "few"), (30_000, "many")] {
        let lines: String = (0..count)
            .map(|i| format!("{i},{}\n", i * i % 977))
            .collect();
        let mut bytes = packed(&format!("t,v\n{lines}"));
        bytes.truncate(bytes.len() * 2 / 3);
        std::fs::write(place.path("in.csv.gz"), bytes).unwrap();
        let import = [
            "import",
            "--db",
            "db",
            "--table",
            table,
            "--time",
            "t",
            "in.csv.gz",
        ];
        let (out, error) = place.check(2, &import);
        let read = rows(&place, table);
        assert!(read > count / 3 && read < count, "{read}");
        for expected in [
            format!("table {table}: {read} rows, {read} values, 1 series\n"),
            // The first line has the names.
            format!("0 lines refused; stopped at in.csv.gz:{}\n", read + 1),
        ] {
            assert!(out.contains(&expected), "{expected}: {out}");
        }
        assert!(error.contains("cannot read in.csv.gz: "), "{error}");
    }
}

#[test]
fn a_file_that_does_not_fit_stops_the_import_behind_those_before_it() {
    let place = Place::new();
    place.file("a.csv", "t,v\n1,1\n2,2\n");
    place.file("b.csv", "u,v\n3,3\n");
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "a.csv", "b.csv",
    ];
    let (out, error) = place.check(2, &import);
    assert!(out.contains("table t: 2 rows, 2 values"), "{out}");
    assert!(out.ends_with("; stopped at b.csv\n"), "{out}");
    assert!(
        error.contains("b.csv has no column \"t\" (--time)"),
        "{error}"
    );
    assert_eq!(rows(&place, "t"), 2);
    let (out, error) = place.check(2, &[&import[..], &["missing.csv"]].concat());
    assert_eq!(out, "", "nothing is imported");
    assert!(error.contains("cannot open missing.csv"), "{error}");
    let (_, error) = place.check(2, &[&import[..], &["notes.txt"]].concat());
    assert!(error.contains("--format csv or --format line"), "{error}");
    let (_, error) = place.check(2, &["import", "--db", "new", "a.csv"]);
    assert!(error.contains("a.csv is CSV: give --table"), "{error}");
    assert!(
        !place.path("new").exists(),
        "no database is made for nothing"
    );
}

/// It named the file before.
#[test]
fn a_file_in_the_middle_that_cannot_be_read_is_where_the_import_stopped() {
    let check = |make: &dyn Fn(&Place), expected: &str| {
        let place = Place::new();
        place.file("a.csv", "t,v\n1,1\n2,2\n");
        place.file("c.csv", "t,v\n3,3\n");
        make(&place);
        let import = [
            "import", "--db", "db", "--table", "t", "--time", "t", "a.csv", "b.csv", "c.csv",
        ];
        let (out, error) = place.check(2, &import);
        assert!(out.starts_with("table t: 2 rows, 2 values"), "{out}");
        assert!(out.ends_with("; stopped at b.csv\n"), "{out}");
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(rows(&place, "t"), 2);
    };
    check(&|place| place.file("b.csv", ""), "b.csv is empty");
    check(
        &|place| std::fs::write(place.path("b.csv"), b"\x1f\x8bno gzip").unwrap(),
        "cannot read b.csv: ",
    );
    check(
        &|place| std::fs::write(place.path("b.csv"), b"t,\xff\n1,1\n").unwrap(),
        "b.csv:1: cannot read the names of columns",
    );
    #[cfg(unix)]
    check(
        &|place| drop(std::os::unix::net::UnixListener::bind(place.path("b.csv")).unwrap()),
        "cannot open b.csv: ",
    );
}

#[test]
fn strict_says_where_it_stopped() {
    let place = Place::new();
    place.file("in.csv", "t,v\n1,1\nx,2\n3,3\n");
    let import = [
        "import", "--strict", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ];
    let (out, _) = place.check(1, &import);
    assert!(
        out.contains("1 lines refused; stopped at in.csv:3\n"),
        "{out}"
    );
}

#[test]
fn a_quote_that_is_not_closed_costs_its_line() {
    let place = Place::new();
    let lines: String = (3..2003).map(|i| format!("{i},text {i}\n")).collect();
    place.file("in.csv", &format!("t,s\n1,one\n2,\"two\n{lines}"));
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ];
    let (out, error) = place.check(1, &import);
    assert!(out.contains("table t: 2001 rows, 2001 values"), "{out}");
    let expected = "in.csv:3: column 2: the quote that opens here is not closed before the end";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn integers_that_no_type_takes_together_are_refused_by_line() {
    let place = Place::new();
    let check = |file: &str, values: [&str; 3], line: u64, expected: &[&str]| {
        let lines: String = (1..)
            .zip(values)
            .map(|(t, v)| format!("{t},{v}\n"))
            .collect();
        place.file(file, &format!("t,v\n{lines}"));
        let import = ["import", "--db", "db", "--table", file, "--time", "t", file];
        let (out, error) = place.check(1, &import);
        assert!(out.contains("2 rows, 2 values"), "{out}");
        assert!(error.contains(&format!("{file}:{line}: ")), "{error}");
        for part in expected {
            assert!(error.contains(part), "{part}: {error}");
        }
    };
    let large = "18446744073709551615";
    let refused = [
        "field \"v\" is u64 (by the first 1000 rows), the value \"-1\" is negative",
        "--types v=string",
    ];
    check("a.csv", [large, "-1", "5"], 3, &refused);
    check("b.csv", ["-1", large, "5"], 2, &refused);

    let lines: String = (0..1500).map(|i| format!("{i},{}\n", i % 7)).collect();
    place.file("late.csv", &format!("t,v\n{lines}1500,{large}\n"));
    let import = [
        "import", "--db", "db", "--table", "late", "--time", "t", "late.csv",
    ];
    let (_, error) = place.check(1, &import);
    let expected = format!(
        "late.csv:1502: field \"v\" is i64 (by the first 1000 rows), the value \"{large}\" is u64; \
         --types v=u64"
    );
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn integers_that_f64_rounds_are_told() {
    let place = Place::new();
    place.file("in.csv", "t,v\n1,9007199254740993\n2,0.5\n");
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ];
    let (_, error) = place.check(0, &import);
    assert!(
        error.contains("in.csv: field \"v\" is taken as f64, which rounds"),
        "{error}"
    );
}

#[test]
fn times_finer_than_nanoseconds_are_refused() {
    let place = Place::new();
    place.file("in.csv", "t,v\n1.5,1\n1.1234567891,2\n");
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ];
    let (out, error) = place.check(1, &import);
    assert!(out.contains("1 rows"), "{out}");
    let expected =
        "in.csv:3: time \"1.1234567891\" of the format s has decimals below the nanosecond";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_refused_line_decides_no_type() {
    let place = Place::new();
    let lines = "m v=1 1\nm new=\"text\",v=\"text\" 2\nm new=2.5,v=2 3\n";
    place.file("in.lp", lines);
    let (out, error) = place.check(1, &["import", "--db", "db", "in.lp"]);
    assert!(out.contains("table m: 2 rows, 3 values"), "{out}{error}");
}

#[test]
fn the_first_time_there_is_tells_the_format() {
    let place = Place::new();
    place.file("in.csv", "t,v\n,1\n1700000000000,2\n1700000001000,3\n");
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ];
    let (out, error) = place.check(1, &import);
    assert!(out.contains("2 rows"), "{out}");
    let expected = ["taken as ms", "in.csv:2: time \"\" is not of the format ms"];
    for part in expected {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn tags_that_are_null_or_empty_are_told_apart() {
    let place = Place::new();
    place.file("in.csv", "t,host,v\n1,,1\n2,\"\",2\n3,a,3\n");
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "--tags", "host", "in.csv",
    ];
    let out = place.ok(&import);
    assert!(out.contains("3 rows, 3 values, 3 series"), "{out}");
    let rows = place.ok(&["export", "--db", "db", "--table", "t"]);
    assert_eq!(
        rows,
        "time,host,v\n1970-01-01T00:00:01Z,,1\n1970-01-01T00:00:02Z,\"\",2\n\
         1970-01-01T00:00:03Z,a,3\n"
    );
}

#[test]
fn options_that_contradict_each_other_make_nothing() {
    let place = Place::new();
    place.file("in.csv", "t,host,v\n1,a,1\n");
    let check = |more: &[&str], expected: &str| {
        let import = ["import", "--db", "db", "--table", "t", "in.csv"];
        let (_, error) = place.check(2, &[&import[..], more].concat());
        assert!(error.contains(expected), "{more:?}: {error}");
    };
    check(
        &["--time", "t", "--tag", "a=1", "--tag", "a=2"],
        "--tag names \"a\" twice",
    );
    check(
        &["--time", "t", "--tags", "host", "--tag", "host=b"],
        "leave one of them out",
    );
    check(
        &["--time", "t", "--tags", "t"],
        "--time and --tags both name",
    );
    check(
        &[],
        "CSV needs --time: the name of the column with the times; in.csv has [\"t\"",
    );
    check(&["--time", "t", "--delimiter", "\""], "divide no columns");
    place.file("nameless.csv", "t,,v\n1,a,1\n");
    let import = [
        "import",
        "--db",
        "db",
        "--table",
        "t",
        "--time",
        "t",
        "nameless.csv",
    ];
    let (_, error) = place.check(2, &import);
    assert!(error.contains("column 2 has no name"), "{error}");
    assert!(!place.path("db").exists());
}

#[test]
fn a_database_is_made_once_the_first_line_is_understood() {
    let place = Place::new();
    place.file("in.csv", "t,v\n1,1\n");
    place.file("empty.csv", "");
    place.file("empty.lp", "");
    std::fs::create_dir(place.path("folder")).unwrap();
    for (file, expected) in [
        ("in.csv", "in.csv has no column \"time\" (--time)"),
        ("empty.csv", "empty.csv is empty"),
    ] {
        for db in ["db", "folder"] {
            let import = ["import", "--db", db, "--table", "t", "--time", "time", file];
            let (_, error) = place.check(2, &import);
            assert!(error.contains(expected), "{file}: {error}");
        }
        assert!(!place.path("db").exists(), "{file}");
        let mut found = std::fs::read_dir(place.path("folder")).unwrap();
        assert!(found.next().is_none(), "{file}");
    }
    let mut stdin = Command::new(env!("CARGO_BIN_EXE_tidestone"))
        .current_dir(place.0.path())
        .args(["import", "--db", "db", "--format", "csv", "--table", "t"])
        .args(["--time", "time", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = stdin.stdin.take().unwrap();
    pipe.write_all(b"t,v\n1,1\n").unwrap();
    drop(pipe);
    assert_eq!(stdin.wait().unwrap().code(), Some(2));
    assert!(!place.path("db").exists());

    place.ok(&["import", "--db", "db", "empty.lp"]);
    assert_eq!(place.ok(&["tables", "--db", "db", "--json"]), "[]\n");
    place.ok(&[
        "import", "--db", "folder", "--table", "t", "--time", "t", "in.csv",
    ]);
    assert!(place.ok(&["tables", "--db", "folder"]).contains("v i64"));
}

#[test]
fn a_measurement_that_can_name_no_table_costs_its_line() {
    let place = Place::new();
    place.file("in.lp", &format!("{} v=1 1\nm v=1 1\n", "x".repeat(70_000)));
    let (out, error) = place.check(1, &["import", "--db", "db", "in.lp"]);
    assert!(out.contains("table m: 1 rows"), "{out}");
    assert!(
        error.contains("in.lp:1: table name of 70000 bytes"),
        "{error}"
    );
}

#[test]
fn a_row_with_more_fields_than_a_table_has_costs_its_line() {
    let place = Place::new();
    let fields: Vec<String> = (0..4097).map(|i| format!("f{i}=1")).collect();
    let wide = format!("m {} 2\n", fields.join(","));
    for (db, text, rows) in [
        ("a", wide.clone(), 0),
        ("b", format!("m v=1 1\n{wide}m v=1 3\n"), 2),
    ] {
        place.file("in.lp", &text);
        let (out, error) = place.check(1, &["import", "--db", db, "in.lp"]);
        let expected = format!("table m: {rows} rows, {rows} values, 1 series\n");
        assert!(out.starts_with(&expected), "{out}");
        assert!(out.ends_with("; 1 lines refused\n"), "{out}");
        assert!(
            error.contains("has 4096 fields, the most there may be"),
            "{error}"
        );
    }
}

#[test]
fn a_name_is_that_of_one_tag_and_of_one_other_column() {
    let place = Place::new();
    place.file("in.csv", "t,v,w,v\n1,1,1,1\n");
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ];
    let (_, error) = place.check(2, &import);
    assert!(error.contains("in.csv has two columns \"v\""), "{error}");
    place.file("in.csv", "t:time,a:tag,b:tag,a:tag\n1,1,1,1\n");
    let (_, error) = place.check(2, &["import", "--db", "db", "--table", "t", "in.csv"]);
    assert!(error.contains("in.csv has two columns \"a\""), "{error}");
    place.file("in.csv", "t:time,a:tag,a:f64\n1,1,1\n");
    place.ok(&["import", "--db", "db", "--table", "t", "in.csv"]);
}

#[test]
fn rows_that_replace_those_before_are_told() {
    let place = Place::new();
    place.file("in.csv", "t,v\n1,1\n1,2\n2,3\n2,3\n");
    let import = |table: &str, more: &[&str]| {
        let import = [
            "import", "--db", "db", "--table", table, "--time", "t", "in.csv",
        ];
        place.check(0, &[&import[..], more].concat()).1
    };
    let error = import("t", &[]);
    assert!(
        error.contains("\"t\": 2 rows have the series and the time of the row"),
        "{error}"
    );
    assert!(error.contains("--duplicates all"), "{error}");
    let error = import("all", &["--duplicates", "all"]);
    assert!(!error.contains("--duplicates"), "{error}");
    assert_eq!((rows(&place, "t"), rows(&place, "all")), (2, 4));
}

#[test]
fn a_number_beyond_all_doubles_is_refused_and_infinity_is_not() {
    let place = Place::new();
    place.file("in.csv", "t,v\n1,1.5\n2,1e400\n3,-1e999\n4,inf\n");
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ];
    let (out, error) = place.check(1, &import);
    assert!(out.contains("2 rows"), "{out}");
    assert!(error.contains("in.csv:3: "), "{error}");
    assert!(error.contains("1e400"), "{error}");
    assert!(error.contains("in.csv:4: "), "{error}");
    let (_, error) = place.check(1, &[&import[..], &["--types", "v=f64"]].concat());
    assert!(
        error.contains("the value \"1e400\" is too large"),
        "{error}"
    );
    place.file("in.lp", "m v=1e400 1\nm v=1.5 2\n");
    let (out, error) = place.check(1, &["import", "--db", "db", "in.lp"]);
    assert!(out.contains("table m: 1 rows"), "{out}");
    assert!(error.contains("in.lp:1: "), "{error}");
}

#[test]
fn what_new_fields_became_is_told() {
    let place = Place::new();
    place.file("a.csv", "t,price,size\n1,2.5,7\n2,abc,8\n");
    place.file("b.csv", "t,size,venue\n3,9,X\n");
    let import = ["import", "--db", "db", "--table", "t", "--time", "t"];
    let out = place.ok(&[&import[..], &["a.csv"]].concat());
    assert!(
        out.contains("\n  new fields: price string, size i64\n"),
        "{out}"
    );
    let out = place.ok(&[&import[..], &["b.csv"]].concat());
    assert!(out.contains("\n  new fields: venue string\n"), "{out}");
    let out = place.ok(&[&import[..], &["b.csv"]].concat());
    assert!(!out.contains("new fields"), "{out}");
    let wide: Vec<String> = (0..25).map(|i| format!("f{i}")).collect();
    let ones = vec!["1"; 25].join(",");
    place.file("c.csv", &format!("t,{}\n1,{ones}\n", wide.join(",")));
    let out = place.ok(&[&import[..], &["c.csv"]].concat());
    assert!(out.contains("f19 i64, and 5 more\n"), "{out}");
}
