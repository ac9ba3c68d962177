//! Wrong input of every command: which line or file it is, what was expected, what there was, and what
//! to do. The exit code says whether the command ran.
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

use std::path::PathBuf;

use common::{Place, check_error};

/// Imports a file of which one line is wrong: it is named, and the others are taken.
#[track_caller]
fn check_line(file: &str, text: &str, line: u64, more: &[&str], says: [&str; 3]) {
    let place = Place::new();
    place.file(file, text);
    let (out, error) = place.check(1, &[&["import", "--db", "db", file], more].concat());
    assert!(out.contains("1 lines refused"), "{text}: {out}");
    let taken = text.lines().count() - 1 - usize::from(file.ends_with(".csv"));
    assert!(out.contains(&format!("{taken} rows in")), "{text}: {out}");
    let at = format!("{file}:{line}: ");
    let told: Vec<&str> = error.lines().filter(|l| l.starts_with(&at)).collect();
    assert_eq!(told.len(), 1, "{text}: {error}");
    check_error(text, told[0], says);
}

#[test]
fn a_time_beyond_64_bits_is_refused_in_every_format() {
    let years = "not within the years 1677 to 2262";
    let cases = [
        ("s", "9223372036.854775808", "9223372036.854775807"),
        ("s", "-9223372037", "-9223372036.854775808"),
        ("s", "99999999999999999999", "1"),
        ("ms", "9223372036855", "9223372036854.775807"),
        ("us", "9223372036854776", "-9223372036854775.808"),
        ("ns", "9223372036854775808", "9223372036854775807"),
        ("ns", "-9223372036854775809", "-9223372036854775808"),
        (
            "rfc3339",
            "2262-04-11T23:47:16.854775808Z",
            "2262-04-11T23:47:16.854775807Z",
        ),
        (
            "rfc3339",
            "1677-09-21T00:12:43.145224191Z",
            "1677-09-21T00:12:43.145224192Z",
        ),
        // The library knows no later time than one two hours before it.
        ("rfc3339", "9999-12-31T23:59:59Z", "2262-04-11"),
        ("rfc3339", "9999-12-31T23:59:59-01:00", "2262-04-11"),
        ("rfc3339", "9999-12-31T23:59:59.999", "2262-04-11"),
        ("rfc3339", "9999-12-31", "2262-04-11"),
        ("rfc3339", "0000-01-01T00:00:00Z", "2262-04-11"),
        ("%Y-%m-%d", "2263-01-01", "2262-04-11"),
        ("%Y-%m-%d", "1677-09-21", "1677-09-22"),
    ];
    for (format, beyond, within) in cases {
        let csv = format!("t,v\n{within},1\n{beyond},2\n");
        let more = ["--table", "t", "--time", "t", "--time-format", format];
        let says = [years, beyond, "correct it, or the --time-format"];
        check_line("in.csv", &csv, 3, &more, says);
        let lines = format!("m v=1 {within}\nm v=2 {beyond}\n");
        check_line("in.lp", &lines, 2, &["--time-format", format], says);
    }
    for wrong in ["9223372036854775808", "5.5", "1e3", "x"] {
        let text = format!("m v=1 5\nm v=1 {wrong}\n");
        let place = Place::new();
        place.file("in.lp", &text);
        let (out, error) = place.check(1, &["import", "--db", "db", "in.lp"]);
        assert!(out.contains("1 rows in"), "{out}");
        assert!(
            error.contains(&format!("in.lp:2: time {wrong:?}")),
            "{error}"
        );
    }
}

#[test]
fn a_wrong_line_of_line_protocol_says_what_would_be_right() {
    let check = |wrong: &str, says: [&str; 3]| {
        let lines = format!("m,a=1 v=1 1\n{wrong}\nm,a=1 v=1 3\n");
        check_line("in.lp", &lines, 2, &[], says);
    };
    check(
        "m,a=1,a=2 v=1 2",
        ["expected each name once", "found \"a\" twice", "correct it"],
    );
    check(
        "m,a=1,b=1,a=1 v=1 2",
        ["expected each name once", "found \"a\" twice", "correct it"],
    );
    check(
        "m,a=1 v=1,v=2 2",
        ["in one line", "\"v\" is given twice", "give it once"],
    );
    check(
        "m,a=1 w=1,v=1,x=1,w=2 2",
        ["in one line", "\"w\" is given twice", "give it once"],
    );
    check(
        "m,a=1 v=1,v=1i 2",
        ["\"v\" is f64", "the value is i64", "write it as f64"],
    );
    check(
        "m,a=1 v=\"1\" 2",
        ["\"v\" is f64", "the value is string", "write it as f64"],
    );
    let signed = "expected an integer from -2^63 to 2^63 - 1";
    for over in ["9223372036854775808i", "-9223372036854775809i"] {
        let shown = &over[..over.len().min(20)];
        check(&format!("m,a=1 n={over} 2"), [signed, shown, "correct it"]);
    }
    let unsigned = "expected an integer from 0 to 2^64 - 1";
    for over in ["18446744073709551616u", "-1u"] {
        let shown = &over[..over.len().min(20)];
        check(
            &format!("m,a=1 n={over} 2"),
            [unsigned, shown, "correct it"],
        );
    }
    check(
        "m,a=1 v=1",
        [
            "every row needs one",
            "the line has no timestamp",
            "write it at the end",
        ],
    );
    check(
        "m,a=1 v= 2",
        ["expected a value", "found \" 2\"", "correct it"],
    );
    check(
        "m,a= v=1 2",
        [
            "expected the value of a tag",
            "found \" v=1 2\"",
            "correct it",
        ],
    );
    check(
        "m,a=1",
        ["expected a space and fields", "the line ends", "correct it"],
    );
}

#[test]
fn extreme_values_of_line_protocol_come_back() {
    let place = Place::new();
    place.file(
        "in.lp",
        "m,a= v=1 1\n\
         m,a=1 v=NaN,n=9223372036854775807i,u=18446744073709551615u,s=\"\" -9223372036854775808\n\
         m,a=1 v=-inf,n=-9223372036854775808i,u=0u,s=\"x\" 9223372036854775807\n\
         m,a=1 v=+Infinity 0\n",
    );
    let (_, error) = place.check(1, &["import", "--db", "db", "in.lp"]);
    let says = ["expected the value of a tag", "in.lp:1", "correct it"];
    check_error("an empty tag", &error, says);
    assert_eq!(
        place.ok(&["export", "--db", "db", "--table", "m"]),
        "time,a,v,n,u,s\n\
         1677-09-21T00:12:43.145224192Z,1,NaN,9223372036854775807,18446744073709551615,\"\"\n\
         1970-01-01T00:00:00Z,1,inf,,,\n\
         2262-04-11T23:47:16.854775807Z,1,-inf,-9223372036854775808,0,x\n"
    );
}

#[test]
fn strings_of_a_mebibyte_come_back_from_both_formats() {
    let place = Place::new();
    // Different at both ends, and with what has to be quoted in the middle.
    let long = |first: char| {
        format!(
            "{first}{}\"\n,{}z",
            "x".repeat(1 << 19),
            "y".repeat(1 << 19)
        )
    };
    let (one, two) = (long('1'), long('2'));
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    place.file(
        "in.csv",
        &format!("t,s\n1,{}\n2,{}\n", quoted(&one), quoted(&two)),
    );
    place.ok(&[
        "import", "--db", "db", "--table", "csv", "--time", "t", "in.csv",
    ]);
    let escaped = |text: &str| text.replace('"', "\\\"");
    place.file(
        "in.lp",
        &format!(
            "lp s=\"{}\" 1000000000\nlp s=\"{}\" 2000000000\n",
            escaped(&one),
            escaped(&two)
        ),
    );
    place.ok(&["import", "--db", "db", "in.lp"]);
    let second = |n| format!("1970-01-01T00:00:0{n}Z");
    for table in ["csv", "lp"] {
        let lines = [second(1), quoted(&one), second(2), quoted(&two)];
        let expected = format!(
            "time,s\n{},{}\n{},{}\n",
            lines[0], lines[1], lines[2], lines[3]
        );
        let of = ["--db", "db", "--table", table];
        let exported = place.ok(&[&["export"], &of[..]].concat());
        assert!(exported == expected, "export of {table}");
        let answer = place.ok(&[&["query"], &of[..], &["--format", "csv"]].concat());
        assert!(answer == expected, "query of {table}");
    }
}

#[test]
fn questions_about_what_is_not_there_are_refused() {
    let place = Place::with_weather();
    let of = |command: &'static str, more: &[&'static str]| {
        [&[command, "--db", "db", "--table", "weather"], more].concat()
    };
    let table = [
        "there are [\"weather\"]",
        "no table \"wether\"",
        "correct the name",
    ];
    let field = [
        "it has [\"degrees\", \"sky\"]",
        "no field \"degree\"",
        "correct the name",
    ];
    let tag = [
        "there are [\"city\"]",
        "no series of table \"weather\" has a tag \"town\"",
        "correct the name",
    ];
    let at = ["--at", "2026-01-01"];
    for more in [&[][..], &at] {
        let last = |args: &[&'static str]| [&of("last", args)[..], more].concat();
        place.refused(&last(&["--fields", "degree"]), field);
        place.refused(&last(&["--where", "town=Bern"]), tag);
        let args = ["last", "--db", "db", "--table", "wether"];
        place.refused(&[&args[..], more].concat(), table);
    }
    let reversed = [
        "is later than --to 2026-01-01T00:00:00Z",
        "--from 2026-01-02T00:00:00Z",
        "exchange them",
    ];
    let span = ["--from", "2026-01-02", "--to", "2026-01-01"];
    let buckets = ["--agg", "count", "--every", "1h"];
    place.refused(&of("query", &[&span[..], &buckets].concat()), reversed);
    place.refused(&of("last", &span), reversed);
    place.refused(&of("export", &span), reversed);
    place.refused(&of("plot", &[&span[..], &buckets].concat()), reversed);
    place.refused(&of("delete", &span), reversed);
    place.refused(
        &of("query", &["--agg", "max(degree)", "--every", "1h"]),
        field,
    );
    place.refused(
        &of(
            "query",
            &["--agg", "count", "--every", "1h", "--where", "town=x"],
        ),
        tag,
    );
    let beyond = [
        "within the years 1677 to 2262",
        "\"2263-01-01\"",
        "give a time that is",
    ];
    place.refused(&of("query", &["--from", "2263-01-01"]), beyond);
}

/// They were told of a method of the library, and of nothing that could be written.
#[test]
fn aggregates_that_cannot_be_named_say_what_to_write() {
    let place = Place::with_weather();
    let check = |agg: &str, says: [&str; 3]| {
        let query = ["query", "--db", "db", "--table", "weather", "--agg", agg];
        place.refused(&query, says);
    };
    let name = "each column needs a name of its own";
    for (agg, twice) in [
        ("max(degrees),max(degrees)", "asks for max(degrees) twice"),
        ("count,min(degrees),count", "asks for count twice"),
        ("mean,mean(degrees)", "asks for mean(degrees) twice"),
        (
            "ohlcv(degrees,degrees),ohlcv(degrees,sky)",
            "asks for ohlcv twice",
        ),
    ] {
        check(agg, [name, twice, "leave one out"]);
    }
    let query = [
        "query", "--db", "db", "--table", "weather", "--fields", "sky", "--agg", "ohlcv",
    ];
    let says = ["of two fields", "ohlcv is", "write ohlcv(price,size)"];
    place.refused(&query, says);
}

#[test]
fn what_another_process_writes_to_is_left_alone_by_every_command_that_writes() {
    let place = Place::with_weather();
    place.file("more.lp", "weather,city=Bern degrees=1 1\n");
    let holder = tidestone::Tidestone::open(place.path("db"), tidestone::Options::default());
    let holder = holder.unwrap();
    let before = holder.table("weather").unwrap().series_count().unwrap();
    for args in [
        &["import", "--db", "db", "more.lp"][..],
        &["delete", "--db", "db", "--table", "weather", "--all"],
        &["compact", "db"],
        &["flush", "db"],
        &["repair", "db"],
        &["repair", "db", "--yes"],
        &["rebuild-index", "db"],
    ] {
        let says = [
            "close it there",
            "another process, or another handle of this one",
            "open it here for reading only",
        ];
        place.refused(args, says);
        let (_, error) = place.check(2, args);
        assert!(error.contains("LOCK"), "{args:?}: {error}");
    }
    // Those that read go on beside it.
    let rows = place.ok(&["export", "--db", "db", "--table", "weather"]);
    assert_eq!(rows.lines().count(), 6, "{rows}");
    assert_eq!(
        holder.table("weather").unwrap().series_count().unwrap(),
        before
    );
    holder.close().unwrap();
    drop(holder);
    place.ok(&["flush", "db"]);
}

#[test]
fn inspect_tells_files_that_are_empty_zeros_or_foreign() {
    let place = Place::with_weather();
    let foreign = |magic: &[u8]| {
        let mut bytes = magic.to_vec();
        bytes.resize(4_096, b'x');
        bytes
    };
    let contents = [
        (
            "empty",
            Vec::new(),
            "expected 192 bytes, found nothing: the file is empty",
        ),
        ("zeros", vec![0; 4_096], "found only zeros"),
        (
            "a PNG",
            foreign(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
            "expected an identity, log, manifest or segment file, found",
        ),
        (
            "a zip",
            foreign(b"PK\x03\x04\x14\0\0\0"),
            "expected an identity, log, manifest or segment file, found",
        ),
    ];
    for name in ["IDENTITY", ".log", ".manifest", ".seg"] {
        let path = find(&place, name);
        for (what, bytes, expected) in &contents {
            std::fs::write(&path, bytes).unwrap();
            let args = ["inspect", path.to_str().unwrap()];
            let (out, _) = place.check(1, &args);
            assert!(out.contains(expected), "{what} as {name}: {out}");
            assert!(out.contains("BAD"), "{what} as {name}: {out}");
            let (json, _) = place.check(1, &[&args[..], &["--json"]].concat());
            serde_json::from_str::<serde_json::Value>(&json)
                .unwrap_or_else(|e| panic!("{what} as {name}: {e}: {json}"));
            assert!(std::fs::read(&path).unwrap() == *bytes, "{what} as {name}");
        }
    }
}

/// RocksDB calls some of its files as the engine calls its own.
#[test]
fn inspect_knows_that_files_of_the_index_are_none_of_its_own() {
    let place = Place::with_weather();
    let mut names = 0;
    for entry in std::fs::read_dir(place.path("db/index")).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("IDENTITY") || path.extension().is_some_and(|e| e == "log") {
            place.check(2, &["inspect", path.to_str().unwrap()]);
            names += 1;
        }
    }
    assert!(names >= 2, "{names} such files");
}

/// A file of the database whose name ends so.
fn find(place: &Place, end: &str) -> PathBuf {
    let mut folders = vec![place.path("db")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if !path.ends_with("index") => folders.push(path),
                false if path.to_str().is_some_and(|p| p.ends_with(end)) => return path,
                _ => {}
            }
        }
    }
    panic!("no {end}")
}

/// A database opens with any of them, and says what it had to do for it.
#[test]
fn an_index_that_is_gone_or_older_is_told_and_answers_the_same() {
    let place = Place::with_weather();
    let (index, older) = (place.path("db/index"), place.path("older"));
    let copy = |from: &PathBuf, to: &PathBuf| {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy(&index, &older);
    place.file(
        "more.csv",
        "time,city,degrees\n2026-01-03 00:00:00,Genf,4\n",
    );
    let more = ["--table", "weather", "--time", "time", "--tags", "city"];
    place.ok(&[&["import", "--db", "db", "more.csv"], &more[..]].concat());
    place.ok(&["flush", "db"]);
    let ask = ["query", "--db", "db", "--table", "weather"];
    let expected = place.ok(&ask);
    assert!(expected.contains("Genf"), "{expected}");

    std::fs::remove_dir_all(&index).unwrap();
    copy(&older, &index);
    let (_, told) = place.check(0, &["flush", "db"]);
    let lagged = "the index was older than the manifest: it took in 1 series that it lacked";
    assert!(told.contains(lagged), "{told}");
    assert_eq!(place.ok(&ask), expected);
    std::fs::remove_dir_all(&index).unwrap();
    let (_, told) = place.check(0, &["flush", "db"]);
    assert!(told.contains("the index was rebuilt: "), "{told}");
    assert_eq!(place.ok(&ask), expected);
    let (_, told) = place.check(0, &["flush", "db"]);
    assert!(!told.contains("index"), "{told}");
}

/// Makes a file one of a version whose files this one does not read.
fn make_newer(bytes: &mut [u8]) {
    bytes[8..10].copy_from_slice(&9u16.to_le_bytes());
    bytes[10..12].copy_from_slice(&7u16.to_le_bytes());
    let crc = tidestone_format::checksum::crc32(&bytes[..188]);
    bytes[188..192].copy_from_slice(&crc.to_le_bytes());
}

/// A newer version may have written it rightly: it is told, is no damage, and nothing is taken away.
#[test]
fn files_of_a_newer_version_are_told_and_are_no_damage() {
    let says = [
        "needs a newer version: this one reads format version 1,",
        "has version 9, for readers of version 7",
        "the version that wrote it",
    ];
    for kind in ["IDENTITY", ".log", ".manifest", ".seg"] {
        let place = Place::with_weather();
        let path = find(&place, kind);
        let sound = std::fs::read(&path).unwrap();
        let mut bytes = sound.clone();
        make_newer(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let name = path.to_str().unwrap();

        let (out, error) = place.check(2, &["verify", "db"]);
        check_error(&format!("verify, {kind}"), &format!("{out}{error}"), says);
        assert!(
            !out.contains("BAD") && !out.contains("damage"),
            "{kind}: {out}"
        );
        let (out, _) = place.check(2, &["inspect", name]);
        let [expected, actual, advice] = says;
        let expected = expected.replace("needs a newer version: this one reads ", "expected ");
        let expected = expected.trim_end_matches(',');
        let actual = actual.trim_start_matches("has ");
        check_error(
            &format!("inspect, {kind}"),
            &out,
            [expected, actual, advice],
        );
        assert!(
            out.contains("format       version 9, for readers from 7 on"),
            "{out}"
        );
        assert!(!out.contains("BAD"), "{kind}: {out}");
        for json in [
            place.check(2, &["verify", "db", "--json"]).0,
            place.check(2, &["inspect", name, "--json"]).0,
        ] {
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["sound"], false, "{kind}: {json}");
            assert_eq!(json["damage"][0]["newer"], true, "{kind}: {json}");
        }
        let table = ["--db", "db", "--table", "weather"];
        for args in [
            vec!["repair", "db"],
            vec!["repair", "db", "--yes"],
            vec!["stats", "db"],
            vec!["flush", "db"],
            [&["query"], &table[..]].concat(),
            [&["last"], &table[..]].concat(),
        ] {
            if kind == ".log" && args[0] == "stats" {
                continue; // it reads no log
            }
            let (out, error) = place.check(2, &args);
            assert_eq!(out, "", "{kind}: {args:?}");
            check_error(&format!("{args:?}, {kind}"), &error, says);
            let end = name.rsplit('/').next().unwrap();
            assert!(error.contains(end), "{kind}: {args:?}: {error}");
        }
        assert!(
            std::fs::read(&path).unwrap() == bytes,
            "{kind}: it was changed"
        );

        // Damage beside it decides.
        bytes = sound;
        bytes[100] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let (out, _) = place.check(1, &["inspect", name]);
        assert!(out.contains("BAD"), "{kind}: {out}");
    }
}

/// The code says that there is damage; what a newer version wrote is named beside it, and kept from repair.
#[test]
fn damage_decides_how_verify_ends_where_files_are_newer_too() {
    type Damage = fn(&mut Vec<u8>);
    let bit: Damage = |bytes| bytes[100] ^= 1;
    // A bit in the header of a log file of which nothing is used is no damage.
    let end: Damage = |bytes| bytes.truncate(bytes.len() - 4096);
    for (newer, damaged, damage) in [
        (".log", ".seg", bit),
        (".log", ".manifest", bit),
        (".log", "IDENTITY", bit),
        (".manifest", ".log", bit),
        (".manifest", "IDENTITY", bit),
        (".seg", ".log", end),
        (".seg", "IDENTITY", bit),
        ("IDENTITY", ".seg", bit),
    ] {
        let place = Place::with_weather();
        let (newer, damaged) = (find(&place, newer), find(&place, damaged));
        let change = |path: &PathBuf, change: Damage| {
            let mut bytes = std::fs::read(path).unwrap();
            change(&mut bytes);
            std::fs::write(path, bytes).unwrap();
        };
        change(&newer, |bytes| make_newer(bytes));
        change(&damaged, damage);
        let (out, _) = place.check(1, &["verify", "db"]);
        let named = |what: &str, path: &PathBuf| {
            let path = path.strip_prefix(place.path("db")).unwrap();
            let start = format!("{what:<9} {}: ", path.display());
            out.lines().any(|line| line.starts_with(&start))
        };
        assert!(named("newer", &newer) && named("damage", &damaged), "{out}");
        assert!(
            !named("damage", &newer) && !named("newer", &damaged),
            "{out}"
        );
        assert!(out.contains("\nBAD: restore what is damaged"), "{out}");
        let (json, _) = place.check(1, &["verify", "db", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["sound"], false);
        let found = json["damage"].as_array().unwrap();
        let is_newer = |path: &PathBuf| {
            let path = path.strip_prefix(place.0.path()).unwrap();
            let of = found.iter().find(|d| d["path"] == path.to_str().unwrap());
            of.unwrap()["newer"].as_bool().unwrap()
        };
        assert!(is_newer(&newer) && !is_newer(&damaged), "{json}");
        for args in [&["repair", "db"][..], &["repair", "db", "--yes"]] {
            let before = std::fs::read(&damaged).unwrap();
            place.check(2, args);
            assert_eq!(std::fs::read(&damaged).unwrap(), before);
        }
    }
}

/// Neither may say that a database is sound which does not open.
#[test]
fn a_file_in_the_place_of_a_folder_and_a_folder_in_that_of_a_file_are_named() {
    let folders = ["wal", "manifest", "segments", "tmp", "readers"];
    for name in folders.into_iter().chain(["IDENTITY", "LOCK"]) {
        let place = Place::with_weather();
        let path = place.path(&format!("db/{name}"));
        let (is, due) = match path.is_dir() {
            true => {
                std::fs::remove_dir_all(&path).unwrap();
                std::fs::write(&path, "a file").unwrap();
                ("a file is", "where a folder should be")
            }
            false => {
                std::fs::remove_file(&path).unwrap();
                std::fs::create_dir(&path).unwrap();
                ("a folder is", "where a file should be")
            }
        };
        for args in [
            &["verify", "db"][..],
            &["repair", "db"],
            &["repair", "db", "--yes"],
            &["flush", "db"],
        ] {
            let (out, error) = place.check(2, args);
            assert_eq!(out, "", "{name}: {args:?}");
            check_error(
                &format!("{name}: {args:?}"),
                &error,
                [due, is, "move it away"],
            );
            assert!(error.contains(name), "{args:?}: {error}");
        }
    }
    // Made anew, as if it were not there.
    let place = Place::with_weather();
    let index = place.path("db/index");
    std::fs::remove_dir_all(&index).unwrap();
    std::fs::write(&index, "a file").unwrap();
    let (out, _) = place.check(0, &["verify", "db"]);
    assert!(
        out.contains("note      db/index: it is made anew at the next open"),
        "{out}"
    );
    let (_, told) = place.check(0, &["flush", "db"]);
    assert!(told.contains("the index was rebuilt: "), "{told}");
}
