//! The commands that work with databases, from outside.
#![cfg(feature = "engine")]
#![expect(
    clippy::disallowed_methods,
    reason = "input and damaged files are files of the test"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints know test functions, not the functions they call"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with input files and a database.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Runs a command in the folder.
    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tidestone"))
            .current_dir(self.0.path())
            .args(args)
            .output()
            .unwrap()
    }

    /// Runs a command that is to end with `code`; gives what it printed on stdout and stderr.
    fn check(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.run(args);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{error}");
        (out, error)
    }

    /// The stdout of a command that is to succeed.
    fn ok(&self, args: &[&str]) -> String {
        self.check(0, args).0
    }

    /// A database `db` with a small table `weather`.
    fn with_weather() -> Self {
        let place = Self::new();
        place.file("weather.csv", WEATHER);
        place.ok(&[
            "import",
            "--db",
            "db",
            "--table",
            "weather",
            "--time",
            "time",
            "--tags",
            "city",
            "weather.csv",
        ]);
        place
    }
}

const WEATHER: &str = "\
time,city,degrees,sky
2026-01-01 00:00:00,Bern,-1.5,clear
2026-01-01 00:00:00,Zürich,0.5,
2026-01-01 01:00:00,Bern,-2,\"snow, fog\"
2026-01-01 01:00:00,Zürich,,clouds
2026-01-02 00:00:00,Bern,3,rain
";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The only segment below a folder.
fn segment(dir: &Path) -> PathBuf {
    let mut folders = vec![dir.join("segments")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
        .pop()
        .unwrap_or_else(|| panic!("no segment below {}", dir.display()))
}

#[test]
fn csv_is_imported_and_queried() {
    let place = Place::with_weather();
    let select = ["query", "--db", "db", "--table", "weather"];
    let query = |more: &[&str]| place.ok(&[&select[..], more].concat());
    assert_eq!(
        query(&["--format", "csv", "--order", "series"]),
        "time,city,degrees,sky\n\
         2026-01-01T00:00:00Z,Bern,-1.5,clear\n\
         2026-01-01T01:00:00Z,Bern,-2,\"snow, fog\"\n\
         2026-01-02T00:00:00Z,Bern,3,rain\n\
         2026-01-01T00:00:00Z,Zürich,0.5,\n\
         2026-01-01T01:00:00Z,Zürich,,clouds\n"
    );
    assert_eq!(
        query(&[
            "--where",
            "city=Bern",
            "--from",
            "2026-01-01 01:00:00",
            "--to",
            "2026-01-01T23:59:59Z"
        ]),
        "time                  city  degrees  sky\n\
         2026-01-01T01:00:00Z  Bern       -2  snow, fog\n"
    );
    assert_eq!(
        query(&["--where", "city=~Z.*", "--fields", "degrees", "--json"]),
        "[\n  {\"time\":\"2026-01-01T00:00:00Z\",\"city\":\"Zürich\",\"degrees\":0.5},\
         \n  {\"time\":\"2026-01-01T01:00:00Z\",\"city\":\"Zürich\",\"degrees\":null}\n]\n"
    );
    assert_eq!(
        query(&["--where", "city!=Bern", "--limit", "1", "--format", "csv"])
            .lines()
            .count(),
        2
    );
    let (_, error) = place.check(2, &[&select[..], &["--fields", "degree"]].concat());
    assert!(
        error.contains("has no field \"degree\"; it has [\"degrees\", \"sky\"]"),
        "{error}"
    );
    let (_, error) = place.check(2, &[&select[..], &["--where", "town=Bern"]].concat());
    assert!(error.contains("city"), "{error}");
    let (_, error) = place.check(2, &["query", "--db", "nowhere", "--table", "weather"]);
    assert!(error.contains("nowhere"), "{error}");
}

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
        out.contains("table cpu: 2 rows, 4 values") && out.contains("table mem: 1 rows"),
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
fn tables_series_and_stats_say_what_there_is() {
    let place = Place::with_weather();
    let tables = place.ok(&["tables", "--db", "db"]);
    assert!(tables.contains("degrees f64, sky string"), "{tables}");
    assert_eq!(
        place.ok(&["series", "--db", "db", "--table", "weather"]),
        "city\nBern\nZürich\n"
    );
    let series = place.ok(&[
        "series",
        "--db",
        "db",
        "--table",
        "weather",
        "--where",
        "city=Bern",
        "--json",
    ]);
    assert_eq!(series, "[\n  {\"city\":\"Bern\"}\n]\n");
    let stats: serde_json::Value =
        serde_json::from_str(&place.ok(&["stats", "db", "--json"])).unwrap();
    let table = &stats["tables"][0];
    assert_eq!((&table["rows"], &table["values"]), (&5.into(), &13.into()));
    let columns = table["columns"].as_array().unwrap();
    let bytes: u64 = columns.iter().map(|c| c["bytes"].as_u64().unwrap()).sum();
    assert_eq!(bytes, table["bytes"].as_u64().unwrap());
    assert!(
        place.ok(&["stats", "db"]).contains("degrees"),
        "stats for people"
    );
    let json: serde_json::Value =
        serde_json::from_str(&place.ok(&["tables", "--db", "db", "--json"])).unwrap();
    assert_eq!(json[0]["rows_in_segments"], 5);
}

#[test]
fn a_chart_is_drawn() {
    let place = Place::with_weather();
    let args = [
        "plot", "--db", "db", "--table", "weather", "--fields", "degrees", "--width", "60",
    ];
    let chart = place.ok(&args);
    for part in [
        "weather",
        "degrees city=Bern",
        "3.0",
        "-2.0",
        "2026-01-01T00:00:00Z",
    ] {
        assert!(chart.contains(part), "{part}: {chart}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&place.ok(&[&args[..], &["--json"]].concat())).unwrap();
    assert_eq!(json[0]["points"][1][1], -2.0);
}

#[test]
fn rows_are_deleted_and_housekeeping_changes_no_answer() {
    let place = Place::with_weather();
    let export = || place.ok(&["export", "--db", "db", "--table", "weather"]);
    let (_, error) = place.check(2, &["delete", "--db", "db", "--table", "weather"]);
    assert!(error.contains("say which rows"), "{error}");
    place.ok(&[
        "delete",
        "--db",
        "db",
        "--table",
        "weather",
        "--where",
        "city=Bern",
        "--to",
        "2026-01-01 00:30:00",
    ]);
    let left = export();
    assert_eq!(left.lines().count(), 5, "{left}");
    assert!(!left.contains("clear"), "{left}");
    place.ok(&["flush", "db"]);
    assert_eq!(export(), left);
    place.ok(&["compact", "db"]);
    assert_eq!(export(), left);
    assert!(
        place
            .ok(&["rebuild-index", "db"])
            .contains("rebuilt: 2 series of 1 tables")
    );
    assert_eq!(export(), left);
    place.ok(&["delete", "--db", "db", "--table", "weather", "--all"]);
    assert_eq!(export().lines().count(), 1);
    assert!(place.ok(&["verify", "db"]).ends_with("VALID\n"));
}

#[test]
fn verify_names_what_is_damaged() {
    let place = Place::with_weather();
    let db = place.path("db");
    assert!(place.ok(&["verify", "db"]).ends_with("VALID\n"));
    let check = |path: &Path, at: usize, expected: &str| {
        let sound = std::fs::read(path).unwrap();
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        std::fs::write(path, &bytes).unwrap();
        let (out, _) = place.check(1, &["verify", "db"]);
        assert!(
            out.contains(expected) && out.ends_with("BAD\n"),
            "{expected}: {out}"
        );
        let json = place.check(1, &["verify", "db", "--json"]).0;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["sound"], false);
        std::fs::write(path, &sound).unwrap();
    };
    let file = segment(&db);
    let name = file.strip_prefix(&db).unwrap().display().to_string();
    check(
        &file,
        200,
        &format!("{name}: block at offset 192: expected checksum"),
    );
    check(
        &db.join("IDENTITY"),
        30,
        "IDENTITY: file header at offset 188",
    );
    let manifest = db.join("manifest/00000000000000000001.manifest");
    check(
        &manifest,
        100,
        "manifest/00000000000000000001.manifest: file header",
    );
    std::fs::remove_file(&file).unwrap();
    let (out, _) = place.check(1, &["verify", "db"]);
    assert!(out.contains("expected a file that can be read"), "{out}");
    place.check(2, &["verify", "nowhere"]);
}

#[test]
fn rows_still_in_the_log_are_counted() {
    let place = Place::with_weather();
    let db = tidestone::Tidestone::open(place.path("db"), tidestone::Options::default()).unwrap();
    let series = db.table("weather").unwrap().series(&[("city", "Bern")]);
    let mut writer = db.writer();
    for time in 0..3 {
        writer.append(&series.clone().unwrap(), time, &[]).unwrap();
    }
    writer.commit_and_wait().unwrap();
    drop(db);
    let tables = place.ok(&["tables", "--db", "db", "--json"]);
    let tables: serde_json::Value = serde_json::from_str(&tables).unwrap();
    assert_eq!(tables[0]["rows_in_segments"], 5);
    assert_eq!(tables[0]["rows_in_log"], 3);
}

/// Every file below a folder with its bytes.
fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push((path.clone(), std::fs::read(&path).unwrap())),
            }
        }
    }
    files.sort();
    files
}

#[test]
fn repair_says_what_it_would_drop_and_drops_it_when_told_to() {
    let place = Place::with_weather();
    let db = place.path("db");
    assert_eq!(place.ok(&["repair", "db"]), "nothing to repair\n");
    // The first day has four of the five rows.
    let mut days = tree(&db.join("segments"));
    let (file, _) = days.remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let before = tree(&db);
    let (plan, _) = place.check(1, &["repair", "db"]);
    assert!(
        plan.contains("would drop 4 rows of table 1 and keep 0"),
        "{plan}"
    );
    assert!(plan.contains("`--yes` does it"), "{plan}");
    assert!(tree(&db) == before, "a plan changes nothing");
    let json = place.check(1, &["repair", "db", "--json"]).0;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["steps"].as_array().unwrap().len(), 1, "{json}");
    let done = place.ok(&["repair", "db", "--yes"]);
    assert!(done.contains("dropped 4 rows"), "{done}");
    let lost = tree(&db.join("lost"));
    assert!(
        lost.iter().any(|(_, kept)| *kept == bytes),
        "what is dropped is kept"
    );
    assert!(place.ok(&["verify", "db"]).ends_with("VALID\n"));
    let left = place.ok(&["export", "--db", "db", "--table", "weather"]);
    assert_eq!(left.lines().count(), 2, "{left}");
    assert_eq!(place.ok(&["repair", "db"]), "nothing to repair\n");
    place.check(2, &["repair", "nowhere"]);
}

#[test]
fn a_closed_pipe_is_success() {
    let place = Place::new();
    let lines: String = (0..50_000).map(|i| format!("{i},{i}\n")).collect();
    place.file("in.csv", &format!("t,v\n{lines}"));
    place.ok(&[
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidestone"))
        .current_dir(place.0.path())
        .args(["export", "--db", "db", "--table", "t"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(0), "")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_demo_survives_its_kill() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("data/nab/realKnownCause")).unwrap();
    std::fs::create_dir_all(place.path("data/nab/realTweets")).unwrap();
    std::fs::create_dir_all(place.path("data/hostmetrics")).unwrap();
    let rows: String = (0..500)
        .map(|i| {
            format!(
                "2014-07-01 {:02}:{:02}:00,{}\n",
                i / 60,
                i % 60,
                i * 7 % 100
            )
        })
        .collect();
    let nab = format!("timestamp,value\n{rows}");
    place.file("data/nab/realKnownCause/nyc_taxi.csv", &nab);
    place.file("data/nab/realTweets/x.csv", &nab);
    place.file(
        "data/hostmetrics/host_metrics_100ms_a.csv.gz",
        "time_ns,cpu_user,ctxt,net_rx_bytes,load1\n1700000000000000000,5,6,7,0.5\n",
    );
    let out = place.ok(&["demo", "--data", "data", "--dir", "."]);
    for part in [
        "nab: 1000 rows",
        "then SIGKILL",
        "acknowledged rows are there",
        "p99",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(place.ok(&["verify", "db"]).ends_with("VALID\n"));
    let (_, error) = place.check(2, &["demo", "--data", "data", "--dir", "."]);
    assert!(error.contains("is there already"), "{error}");
}

#[test]
fn rows_are_aggregated_by_bucket_and_group() {
    let place = Place::with_weather();
    let select = ["query", "--db", "db", "--table", "weather"];
    let query = |more: &[&str]| place.ok(&[&select[..], more].concat());
    assert_eq!(
        query(&[
            "--every",
            "1d",
            "--agg",
            "count,mean,max(degrees)",
            "--format",
            "csv"
        ]),
        "time,count,mean(degrees),max(degrees)\n\
         2026-01-01T00:00:00Z,4,-1,0.5\n\
         2026-01-02T00:00:00Z,1,3,3\n"
    );
    assert_eq!(
        query(&[
            "--agg",
            "count(sky),min",
            "--group-by",
            "city",
            "--order",
            "series"
        ]),
        "city    count(sky)  min(degrees)\nBern             3            -2\nZürich           1           0.5\n"
    );
    assert_eq!(
        query(&[
            "--every",
            "1d",
            "--agg",
            "ohlcv(degrees,degrees)",
            "--where",
            "city=Bern",
            "--limit",
            "1",
            "--json"
        ]),
        "[\n  {\"time\":\"2026-01-01T00:00:00Z\",\"open\":-1.5,\"high\":-1.5,\"low\":-2.0,\"close\":-2.0,\"volume\":-3.5}\n]\n"
    );
    place.check(2, &[&select[..], &["--every", "1d"]].concat());
    place.check(2, &[&select[..], &["--agg", "median"]].concat());
    let (_, error) = place.check(2, &[&select[..], &["--agg", "mean(sky)"]].concat());
    assert!(error.contains("sky"), "{error}");
}

#[test]
fn the_last_row_of_each_series_is_printed() {
    let place = Place::with_weather();
    let last = [
        "last", "--db", "db", "--table", "weather", "--format", "csv",
    ];
    assert_eq!(
        place.ok(&last),
        "time,city,degrees,sky\n\
         2026-01-02T00:00:00Z,Bern,3,rain\n\
         2026-01-01T01:00:00Z,Zürich,,clouds\n"
    );
    let at = [
        &last[..],
        &["--at", "2026-01-01 00:30:00", "--where", "city=Bern"],
    ]
    .concat();
    assert_eq!(
        place.ok(&at),
        "time,city,degrees,sky\n2026-01-01T00:00:00Z,Bern,-1.5,clear\n"
    );
}

#[test]
fn damage_met_by_any_command_is_code_1() {
    let place = Place::with_weather();
    let table = ["--db", "db", "--table", "weather"];
    let file = segment(&place.path("db"));
    let sound = std::fs::read(&file).unwrap();
    let mut bytes = sound.clone();
    bytes[200] ^= 1;
    bytes[400] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    for command in ["query", "last", "export"] {
        let (_, error) = place.check(1, &[&[command], &table[..]].concat());
        assert!(error.contains("offset"), "{command}: {error}");
    }
    std::fs::write(&file, &sound).unwrap();
    let identity = place.path("db/IDENTITY");
    let mut bytes = std::fs::read(&identity).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&identity, bytes).unwrap();
    for args in [
        &["query", "--db", "db", "--table", "weather"][..],
        &["flush", "db"],
        &["compact", "db"],
        &["rebuild-index", "db"],
    ] {
        let (_, error) = place.check(1, args);
        assert!(error.contains("IDENTITY"), "{args:?}: {error}");
    }
    place.check(2, &["query", "--db", "nowhere", "--table", "weather"]);
}

#[test]
fn questions_that_make_no_sense_name_what_would() {
    let place = Place::with_weather();
    let check = |args: &[&str], expected: &[&str]| {
        let (out, error) = place.check(2, &[&["query", "--db", "db"], args].concat());
        assert_eq!(out, "", "{args:?}");
        for expected in expected {
            assert!(error.contains(expected), "{args:?}, {expected}: {error}");
        }
    };
    let weather = |more: &[&'static str]| [&["--table", "weather"], more].concat();
    check(
        &weather(&["--from", "2026-01-02", "--to", "2026-01-01"]),
        &["1767312000000000000", "1767225600000000000"],
    );
    check(&["--table", "wether"], &["\"wether\"", "\"weather\""]);
    check(&weather(&["--where", "town=Bern"]), &["\"town\"", "city"]);
    check(
        &weather(&["--agg", "count", "--group-by", "town"]),
        &["\"town\"", "city"],
    );
}

#[test]
fn every_reading_command_prints_json() {
    let place = Place::with_weather();
    let json = |args: &[&str]| -> serde_json::Value {
        let table = ["--db", "db", "--table", "weather", "--json"];
        let out = place.ok(&[&args[..1], &table, &args[1..]].concat());
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out}"))
    };
    let last = json(&["last", "--where", "city=Bern"]);
    assert_eq!(last[0]["sky"], "rain");
    let sums = json(&["query", "--agg", "count,sum(degrees)", "--group-by", "city"]);
    assert_eq!(sums[0]["city"], "Bern");
    assert_eq!(sums[0]["sum(degrees)"], -0.5);
    let rows = json(&["export"]);
    assert_eq!(rows.as_array().map(Vec::len), Some(5));
    assert_eq!(rows[2]["sky"], "rain");
    assert_eq!(rows[4]["degrees"], serde_json::Value::Null);
    let plot = json(&["plot", "--every", "1d", "--agg", "max(degrees)"]);
    assert_eq!(plot[0]["points"][1][1], 3.0);
}
