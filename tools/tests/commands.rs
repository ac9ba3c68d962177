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

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Place, text};

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
         2026-01-01T01:00:00Z,Bern,-2.0,\"snow, fog\"\n\
         2026-01-02T00:00:00Z,Bern,3.0,rain\n\
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
    let weather = ["plot", "--db", "db", "--table", "weather"];
    let (_, error) = place.check(2, &[&weather[..], &["--fields", "sky"]].concat());
    assert!(
        error.contains("\"sky\" of table \"weather\" is string"),
        "{error}"
    );
}

#[test]
fn a_chart_of_aggregates_needs_buckets() {
    let place = Place::with_weather();
    let plot = [
        "plot",
        "--db",
        "db",
        "--table",
        "weather",
        "--agg",
        "mean",
        "--group-by",
        "city",
    ];
    let says = [
        "a chart has a point for each bucket",
        "without --every",
        "such as --every 1h, or ask `query`",
    ];
    place.refused(&plot, says);
    place.refused(&[&plot[..], &["--json"]].concat(), says);
    let chart = place.ok(&[&plot[..], &["--every", "1d"]].concat());
    assert!(chart.contains("2026-01-01T00:00:00Z"), "{chart}");
}

#[test]
fn a_chart_of_too_many_lines_is_refused() {
    let place = Place::new();
    let lines: String = (0..13).map(|i| format!("m,host={i} v=1 {i}\n")).collect();
    place.file("in.lp", &lines);
    place.ok(&["import", "--db", "db", "in.lp"]);
    for more in [
        &[][..],
        &["--agg", "max", "--every", "1s", "--group-by", "host"],
    ] {
        let plot = ["plot", "--db", "db", "--table", "m"];
        let (_, error) = place.check(2, &[&plot[..], more].concat());
        assert!(error.contains("more than the 12 lines"), "{error}");
    }
    place.ok(&["plot", "--db", "db", "--table", "m", "--where", "host!=3"]);
}

#[test]
fn a_chart_of_many_rows_has_few_points() {
    let place = Place::new();
    let lines: String = (0..50_000)
        .map(|i| format!("{i},{}\n", if i == 31_415 { -9 } else { i % 5 }))
        .collect();
    place.file("in.csv", &format!("t,v\n{lines}"));
    place.ok(&[
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ]);
    let plot = [
        "plot", "--db", "db", "--table", "t", "--width", "50", "--json",
    ];
    let json: serde_json::Value = serde_json::from_str(&place.ok(&plot)).unwrap();
    let points = json[0]["points"].as_array().unwrap();
    assert!((100..500).contains(&points.len()), "{}", points.len());
    let lowest = serde_json::json!([31_415_000_000_000i64, -9.0]);
    assert!(points.contains(&lowest));
}

#[test]
fn series_without_tags_are_counted() {
    let place = Place::new();
    place.file("in.lp", "m v=1 1\n");
    place.ok(&["import", "--db", "db", "in.lp"]);
    let series = ["series", "--db", "db", "--table", "m"];
    assert_eq!(place.ok(&series), "1 series, without tags\n");
    let (_, error) = place.check(2, &[&series[..], &["--where", "host=a"]].concat());
    assert!(
        error.contains("no series of table \"m\" has any"),
        "{error}"
    );
    let delete = ["delete", "--db", "db", "--table", "m", "--where", "v=1"];
    let (_, error) = place.check(2, &delete);
    assert!(error.contains("--where is of tags"), "{error}");
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
        let helps = "\nBAD: restore what is damaged from a backup";
        assert!(
            out.contains(expected) && out.contains(helps),
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

#[test]
fn messages_that_nobody_reads_stop_nothing() {
    let place = Place::new();
    // More refused lines than are printed, among rows of several commits; and a note of each kind.
    let lines: String = (0..30_000)
        .map(|i| match i % 10 {
            5 => format!("x,{i}\n"),
            _ => format!("{},{i}\n", i / 2),
        })
        .collect();
    place.file("in.csv", &format!("t,v\n{lines}"));
    let import = [
        "import", "--db", "db", "--table", "t", "--time", "t", "in.csv",
    ];
    let out = place.unheard(1, &import);
    assert!(
        out.starts_with("table t: 27000 rows, 27000 values"),
        "{out}"
    );
    assert!(out.ends_with("; 3000 lines refused\n"), "{out}");
    let count = ["query", "--db", "db", "--table", "t", "--agg", "count"];
    assert_eq!(place.ok(&count), "count\n15000\n");

    let plot = ["plot", "--db", "db", "--table", "t", "--from", "2020-01-01"];
    let table = ["query", "--db", "db", "--table", "none"];
    for (code, args) in [
        (0, &plot[..]),
        (2, &table),
        (2, &["flush", "nowhere"]),
        (2, &["?"]),
    ] {
        let (expected, error) = place.check(code, args);
        assert_ne!(error, "", "{args:?}");
        assert_eq!(place.unheard(code, args), expected, "{args:?}");
    }
    std::fs::remove_dir_all(place.path("db/index")).unwrap();
    assert!(place.unheard(0, &["flush", "db"]).starts_with("flushed"));
    let file = segment(&place.path("db"));
    std::fs::remove_file(file).unwrap();
    assert_eq!(place.unheard(1, &count), "");
}

#[cfg(target_os = "linux")]
#[test]
fn the_demo_survives_its_kill() {
    /// What the repository carries.
    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo-data");
    let place = Place::new();
    let demo = ["demo", "--data", DATA, "--dir", "."];
    let out = place.ok(&demo);
    for part in [
        "nab: 242235 rows",
        "hostmetrics: 8309 rows",
        "then SIGKILL",
        "acknowledged rows are there",
        "p99",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(place.ok(&["verify", "db"]).ends_with("VALID\n"));
    let (_, error) = place.check(2, &demo);
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
         2026-01-01T00:00:00Z,4,-1.0,0.5\n\
         2026-01-02T00:00:00Z,1,3.0,3.0\n"
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
         2026-01-02T00:00:00Z,Bern,3.0,rain\n\
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
    std::fs::write(&file, &sound[..sound.len() - 1]).unwrap();
    let (_, error) = place.check(1, &["stats", "db"]);
    let says = [
        "segment trailer",
        "found",
        "restore the file from a backup or run `tidestone repair`",
    ];
    common::check_error("stats", &error, says);
    let mut bytes = sound.clone();
    let trailer = bytes.len() - 20;
    bytes[trailer] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
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
    let (_, error) = place.check(2, &["stats", "nowhere"]);
    assert!(error.contains("nowhere is no database"), "{error}");
}

#[test]
fn a_segment_that_is_gone_is_damage_for_every_command() {
    let place = Place::with_weather();
    let file = segment(&place.path("db"));
    std::fs::remove_file(&file).unwrap();
    let path = file.strip_prefix(place.0.path()).unwrap();
    let table = ["--db", "db", "--table", "weather"];
    for args in [
        vec!["stats", "db"],
        vec!["stats", "db", "--json"],
        vec!["flush", "db"],
        vec!["tables", "--db", "db"],
        [&["query"], &table[..]].concat(),
        [&["export"], &table[..]].concat(),
    ] {
        let (out, error) = place.check(1, &args);
        // A flush needs none of its rows.
        assert_eq!(out.is_empty(), args[0] != "flush", "{args:?}: {out}");
        assert!(error.contains(path.to_str().unwrap()), "{args:?}: {error}");
        let says = [
            "the manifest names this segment",
            "it is not there",
            "restore it from a backup, or run `tidestone repair`",
        ];
        common::check_error(&format!("{args:?}"), &error, says);
    }
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
        &["--from 2026-01-02T00:00:00Z is later than --to 2026-01-01T00:00:00Z"],
    );
    check(
        &weather(&["--where", "sky=rain"]),
        &["--where is of tags; \"sky\" is a field", "[\"city\"]"],
    );
    check(
        &weather(&["--agg", "count", "--group-by", "sky"]),
        &["--group-by is of tags; \"sky\" is a field"],
    );
    check(
        &weather(&["--agg", "mean", "--fields", "sky"]),
        &["mean is of numbers and bools"],
    );
    check(
        &weather(&["--agg", "mean", "--every", "5000000h"]),
        &["longer than 292 years"],
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

/// On other systems there is no such name.
#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_not_utf_8_is_shown_as_far_as_it_is_in_whole_documents() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let place = Place::with_weather();
    let named = |rest: &[u8]| OsStr::from_bytes(&[b"d\xff", rest].concat()).to_owned();
    std::fs::rename(place.path("db"), place.0.path().join(named(b""))).unwrap();
    let json = |code: i32, args: &[&str]| -> serde_json::Value {
        let named = |arg: &&str| match arg.strip_prefix("db") {
            Some(rest) => named(rest.as_bytes()),
            None => OsStr::new(arg).to_owned(),
        };
        let args: Vec<_> = args.iter().map(named).chain(["--json".into()]).collect();
        let output = place.run(&args);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{error}");
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out}"))
    };
    let shown = |path: &serde_json::Value| {
        let path = path.as_str().unwrap_or_default().to_owned();
        assert!(path.starts_with("d\u{fffd}/"), "{path}");
    };
    for command in ["query", "last", "export", "plot", "series"] {
        json(0, &[command, "--db", "db", "--table", "weather"]);
    }
    json(0, &["tables", "--db", "db"]);
    json(0, &["stats", "db"]);
    shown(&json(0, &["inspect", "db/IDENTITY"])["file"]);
    shown(&json(0, &["verify", "db"])["files"][0]["path"]);
    json(0, &["repair", "db"]);

    let file = segment(&place.0.path().join(named(b"")));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    shown(&json(1, &["verify", "db"])["damage"][0]["path"]);
    shown(&json(1, &["repair", "db"])["steps"][0]["DropRows"]["path"]);
    shown(&json(0, &["repair", "db", "--yes"])["steps"][0]["DropRows"]["path"]);
    json(0, &["verify", "db"]);

    let unnamed = |name: &[u8]| tidestone::maintenance::UnnamedSegment {
        path: named(name).into(),
        rows: Some(7),
    };
    let step = tidestone::maintenance::Step::CutManifest {
        path: named(b"/a").into(),
        offset: 1,
        version: 1,
        lost: 1,
        unnamed: vec![unnamed(b"/b"), unnamed(b"/c")],
        what: String::new(),
    };
    let step = &serde_json::to_value(&step).unwrap()["CutManifest"];
    shown(&step["path"]);
    let segments = serde_json::json!([
        {"path": "d\u{fffd}/b", "rows": 7},
        {"path": "d\u{fffd}/c", "rows": 7},
    ]);
    assert_eq!(step["unnamed"], segments);
    let step = tidestone::maintenance::Step::NewLog {
        flushed: 1,
        unnamed: vec![unnamed(b"/b"), unnamed(b"/c")],
        what: String::new(),
    };
    let step = serde_json::to_value(&step).unwrap();
    assert_eq!(step["NewLog"]["unnamed"], segments);

    std::fs::write(place.0.path().join(named(b"/IDENTITY")), [0; 192]).unwrap();
    shown(&json(1, &["repair", "db"])["steps"][0]["WriteIdentity"]["path"]);
}

#[test]
fn damage_between_the_parts_of_a_segment_is_mended_without_a_loss() {
    let place = Place::with_weather();
    let export = ["export", "--db", "db", "--table", "weather"];
    let expected = place.ok(&export);
    let file = segment(&place.path("db"));
    let mut bytes = std::fs::read(&file).unwrap();
    let mut at = None;
    tidestone_format::segment::Segment::open(&bytes)
        .unwrap()
        .verify(|region, _| at = at.or(region.padding().last()));
    bytes[usize::try_from(at.unwrap()).unwrap()] = 1;
    std::fs::write(&file, &bytes).unwrap();
    for args in [&["verify", "db"], &["inspect", file.to_str().unwrap()]] {
        let (out, _) = place.check(1, args);
        assert!(out.contains("padding of a region"), "{args:?}: {out}");
        assert!(out.contains("BAD"), "{args:?}: {out}");
    }
    let (out, _) = place.check(1, &["repair", "db"]);
    assert!(out.starts_with("would write a segment of "), "{out}");
    assert!(out.contains(" anew, with all of them, "), "{out}");
    assert!(std::fs::read(&file).unwrap() == bytes);
    let out = place.ok(&["repair", "db", "--yes"]);
    assert!(out.starts_with("wrote a segment of "), "{out}");
    assert!(place.ok(&["verify", "db"]).ends_with("VALID\n"));
    assert_eq!(place.ok(&["repair", "db"]), "nothing to repair\n");
    assert_eq!(place.ok(&export), expected);
}

#[test]
fn a_database_that_lost_its_identity_is_damage_for_every_command() {
    let place = Place::with_weather();
    place.file("more.lp", "weather,city=Bern degrees=1 1\n");
    let identity = place.path("db/IDENTITY");
    let bytes = std::fs::read(&identity).unwrap();
    std::fs::remove_file(&identity).unwrap();
    for args in [
        &["query", "--db", "db", "--table", "weather"][..],
        &["import", "--db", "db", "more.lp"],
        &["flush", "db"],
        &["rebuild-index", "db"],
        &["repair", "db"],
        &["verify", "db"],
    ] {
        let (out, error) = place.check(1, args);
        let told = format!("{out}{error}");
        assert!(told.contains("IDENTITY"), "{args:?}: {told}");
        assert!(told.contains("backup"), "{args:?}: {told}");
        assert!(!told.contains("create"), "{args:?}: {told}");
        assert!(!identity.exists(), "{args:?}");
    }
    let out = place.ok(&["repair", "db", "--yes"]);
    assert!(out.starts_with("wrote db/IDENTITY anew, "), "{out}");
    assert!(!out.contains("lost/"), "there was nothing to keep: {out}");
    assert!(place.ok(&["verify", "db"]).ends_with("VALID\n"));
    // But for the time in it and the checksum it is what it was.
    let written = std::fs::read(&identity).unwrap();
    assert_eq!(written[..136], bytes[..136]);
}

/// Every error about it advised to repair it, and that was refused.
#[test]
fn a_damaged_identity_is_written_anew_and_what_that_loses_is_said() {
    let place = Place::with_weather();
    let (db, identity) = (place.path("db"), place.path("db/IDENTITY"));
    let was = std::fs::read(&identity).unwrap();
    let shown = place.ok(&["inspect", "db/IDENTITY"]);
    let said = |word: &str| {
        let line = shown.lines().find_map(|l| l.trim().strip_prefix(word));
        line.unwrap().trim().to_owned()
    };
    let (uuid, made) = (said("database"), said("made"));
    let rows = ["export", "--db", "db", "--table", "weather"];
    let expected = place.ok(&rows);
    type Damage = fn(&mut Vec<u8>);
    let cases: [(Damage, bool); 5] = [
        (|b| b[30] ^= 1, true),
        (|b| b.resize(4_096, 1), true),
        (|b| b.truncate(100), false),
        (|b| b.fill(0), false),
        (Vec::clear, false),
    ];
    for (damage, is_proven) in cases {
        let mut damaged = was.clone();
        damage(&mut damaged);
        std::fs::write(&identity, &damaged).unwrap();
        let (out, _) = place.check(1, &["verify", "db"]);
        assert!(out.contains("identity  1 files, "), "{out}");
        assert!(out.contains("damage    IDENTITY: "), "{out}");
        for kind in ["manifest ", "log ", "segment "] {
            let line = out.lines().find(|l| l.starts_with(kind)).unwrap();
            assert!(line.ends_with(": VALID"), "{out}");
        }
        let before = tree(&db);
        let (plan, _) = place.check(1, &["repair", "db"]);
        let time = match is_proven {
            true => format!("made {made}"),
            false => "when it was made is lost, unless a backup of the file has it".to_owned(),
        };
        let would = format!("would write db/IDENTITY anew, of database {uuid}, {time}: ");
        assert!(plan.starts_with(&would), "{plan}");
        let (json, _) = place.check(1, &["repair", "db", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let step = &json["steps"][0]["WriteIdentity"];
        assert_eq!(step["database"], uuid, "{json}");
        assert_eq!(step["created_at"].is_null(), !is_proven, "{json}");
        assert_eq!(tree(&db), before, "a plan changes nothing");

        let out = place.ok(&["repair", "db", "--yes"]);
        let wrote = would.replace("would write", "wrote");
        assert!(out.starts_with(&wrote), "{out}");
        assert!(out.ends_with("damaged files are in lost/\n"), "{out}");
        assert_eq!(std::fs::read(db.join("lost/IDENTITY")).unwrap(), damaged);
        let shown = place.ok(&["inspect", "db/IDENTITY"]);
        let unknown = shown.contains("made         it is not known when");
        assert_eq!(unknown, !is_proven, "{shown}");
        if is_proven {
            assert_eq!(std::fs::read(&identity).unwrap(), was);
        }
        assert!(place.ok(&["verify", "db"]).ends_with("VALID\n"));
        assert_eq!(place.ok(&["repair", "db"]), "nothing to repair\n");
        assert_eq!(place.ok(&rows), expected);
        std::fs::remove_dir_all(db.join("lost")).unwrap();
    }
}

#[test]
fn the_help_tells_how_all_rows_of_a_table_are_deleted() {
    let place = Place::with_weather();
    let help = place.ok(&["--help"]);
    let delete = help.lines().find(|line| line.trim().starts_with("delete "));
    assert!(delete.unwrap().contains("--all"), "{help}");
    let help = place.ok(&["delete", "--help"]);
    for part in ["--all", "A table all of whose rows are deleted stays"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    // As it says.
    place.ok(&["delete", "--db", "db", "--table", "weather", "--all"]);
    place.ok(&["compact", "db"]);
    let tables = place.ok(&["tables", "--db", "db", "--json"]);
    let tables: serde_json::Value = serde_json::from_str(&tables).unwrap();
    assert_eq!(tables[0]["name"], "weather", "{tables}");
    assert_eq!(tables[0]["fields"].as_array().unwrap().len(), 2, "{tables}");
    assert_eq!(tables[0]["bytes"], 0, "{tables}");
}
