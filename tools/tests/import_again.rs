//! `import` into a table that is there already.
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

use common::Place;

/// An import of CSV with times `t` into table `t` of `db`.
fn import<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let import = ["import", "--db", "db", "--table", "t", "--time", "t"];
    [&import[..], more].concat()
}

fn export(place: &Place) -> String {
    place.ok(&["export", "--db", "db", "--table", "t", "--typed"])
}

/// The tag became a field beside it, and every row of the file was there twice.
#[test]
fn a_column_that_is_a_tag_of_the_table_does_not_become_a_field() {
    let place = Place::new();
    place.file("in.csv", "t,host,dc,v\n1,a,x,1\n2,b,y,2\n");
    place.ok(&import(&["--tags", "host,dc", "in.csv"]));
    let before = export(&place);
    for (more, says) in [
        (
            &["in.csv"][..],
            [
                "are tags of table \"t\"",
                "columns [\"host\", \"dc\"] of in.csv",
                "give --tags host,dc",
            ],
        ),
        (
            &["--tags", "host", "in.csv"],
            [
                "is a tag of table \"t\"",
                "column \"dc\" of in.csv",
                "give --tags host,dc",
            ],
        ),
    ] {
        let (out, error) = place.check(2, &import(more));
        assert!(out.starts_with("table t: 0 rows, "), "{out}");
        assert!(out.ends_with("; stopped at in.csv\n"), "{out}");
        common::check_error("a tag", &error, says);
        assert_eq!(export(&place), before);
    }
    place.ok(&import(&["--tags", "host,dc", "in.csv"]));
    assert_eq!(export(&place), before);

    // Who says that it is a field means so, and what is one already stays one.
    place.ok(&import(&[
        "--tags",
        "host",
        "--types",
        "dc=string",
        "in.csv",
    ]));
    place.ok(&import(&["--tags", "host", "in.csv"]));
    place.file("typed.csv", "t:time,host:string,v:i64\n3,a,3\n");
    place.ok(&["import", "--db", "db", "--table", "t", "typed.csv"]);
    assert!(export(&place).starts_with("time:time,dc:tag,host:tag,v:i64,dc:string,host:string\n"));
}

/// It was told to write 1.5 as i64.
#[test]
fn a_value_that_does_not_fit_the_type_of_the_table_names_the_type_that_takes_both() {
    let place = Place::new();
    place.file("a.csv", "t,v,w\n1,1,true\n");
    place.file("b.csv", "t,v,w\n2,1.5,7\n");
    let check = |db: &str, files: &[&str]| {
        let of = ["import", "--db", db, "--table", "t", "--time", "t"];
        let (_, error) = place.check(1, &[&of[..], files].concat());
        let says = [
            "\"v\" is i64 (in the table)",
            "the value \"1.5\" is f64",
            "the type of a field is fixed; correct it, or import into a new table with --types v=f64",
        ];
        common::check_error("a type", &error, says);
    };
    check("one", &["a.csv", "b.csv"]);
    place.ok(&import(&["a.csv"]));
    check("db", &["b.csv"]);
    place.file("in.lp", "t v=1.5 3000000000\n");
    let (_, error) = place.check(1, &["import", "--db", "db", "in.lp"]);
    let says = [
        "\"v\" is i64",
        "the value is f64",
        "types are fixed: correct it",
    ];
    common::check_error("line protocol", &error, says);
    assert!(!error.contains("write it as i64"), "{error}");
}

/// They were passed over, and the rows taken as the table has it.
#[test]
fn options_of_a_new_table_that_the_table_is_not_made_with_are_refused() {
    let place = Place::new();
    place.file("in.csv", "t,v\n1,1\n1,2\n");
    place.file("in.lp", "t v=3i 3000000000\n");
    place.ok(&import(&["--duplicates", "all", "in.csv"]));
    let before = export(&place);
    let check = |args: &[&str], says: [&str; 3]| {
        let (_, error) = place.check(2, args);
        common::check_error(&format!("{args:?}"), &error, says);
        assert_eq!(export(&place), before, "{args:?}");
    };
    let policy = [
        "--duplicates replace",
        "table \"t\" was made with --duplicates all",
        "leave the option out",
    ];
    check(&import(&["--duplicates", "replace", "in.csv"]), policy);
    let lines = ["import", "--db", "db", "in.lp", "--duplicates", "replace"];
    check(&lines, policy);
    let partition = [
        "--partition 1h30m",
        "table \"t\" was made with --partition 1d",
        "leave the option out",
    ];
    check(&import(&["--partition", "90m", "in.csv"]), partition);
    place.ok(&import(&[
        "--partition",
        "24h",
        "--duplicates",
        "all",
        "in.csv",
    ]));
    place.ok(&import(&["in.csv"]));

    // A file of the same import is nothing new to the table that it made.
    let new = ["import", "--db", "db", "--table", "u", "--time", "t"];
    let more = [
        "--partition",
        "1h",
        "--duplicates",
        "first",
        "in.csv",
        "in.csv",
    ];
    place.ok(&[&new[..], &more].concat());
}
