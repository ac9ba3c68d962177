//! `import` of line protocol whose strings have ends of lines in them.
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

use common::{Place, check_error};

fn import(place: &Place, code: i32, text: &str) -> (String, String) {
    place.file("in.lp", text);
    place.check(code, &["import", "--db", "db", "in.lp"])
}

fn export(place: &Place) -> String {
    place.ok(&["export", "--db", "db", "--table", "m"])
}

/// Such a line became a row, and the two halves of the string were refused.
#[test]
fn a_line_inside_of_a_string_is_no_row() {
    let place = Place::new();
    let text = "m s=\"one\nm v=1 5\r\n\n# \\\"two\\\"\",v=2 1000000000\nm v=3 2000000000\n";
    let (out, error) = import(&place, 0, text);
    assert!(out.starts_with("table m: 2 rows, 3 values"), "{out}{error}");
    let first = "1970-01-01T00:00:01Z";
    let rows = [
        "time,s,v\n",
        first,
        ",\"one\nm v=1 5\r\n\n# \"\"two\"\"\",2.0\n1970-01-01T00:00:02Z,,3.0\n",
    ];
    let exported = export(&place);
    let bare = exported.replace("2.0", "2").replace("3.0", "3");
    let expected = rows.concat().replace("2.0", "2").replace("3.0", "3");
    assert_eq!(bare, expected);
    // What is exported comes back.
    place.file("out.csv", &exported);
    place.ok(&[
        "import", "--db", "db2", "--table", "m", "--time", "time", "--types", "v=f64", "out.csv",
    ]);
    assert_eq!(
        place.ok(&["export", "--db", "db2", "--table", "m"]),
        exported
    );
}

#[test]
fn a_string_that_is_never_closed_is_named_where_it_opens() {
    let place = Place::new();
    // As a process leaves a line that died while it wrote it.
    let text = "# \"\nm v=1 1\nm v=2,s=\"a 2\nm v=3 3\nm v=4 4\n";
    let (out, error) = import(&place, 1, text);
    assert!(out.starts_with("table m: 3 rows, 3 values"), "{out}");
    assert!(out.ends_with("; 1 lines refused\n"), "{out}");
    let says = [
        "in.lp:3: column 9: the quote that opens here",
        "is not closed before the end of the file",
        "close it",
    ];
    check_error("a quote", &error, says);

    // Its end is looked for no further than a line may be long.
    let place = Place::new();
    let filler = format!("# {}\n", "x".repeat(1 << 20)).repeat(64);
    let (out, error) = import(&place, 1, &format!("m s=\"a\n{filler}m v=5 5\nm v=6 6\n"));
    assert!(out.ends_with("; 1 lines refused\n"), "{out}");
    assert!(out.starts_with("table m: 2 rows, 2 values"), "{out}{error}");
    let says = [
        "in.lp:1: column 5: the quote",
        "is not closed within 64 MiB",
        "close it",
    ];
    check_error("a long string", &error, says);
}

#[test]
fn what_is_wrong_behind_a_string_of_many_lines_is_named_with_its_line() {
    let place = Place::new();
    let (out, error) = import(&place, 1, "m s=\"a\nb\",v=x 1\nm v=1 2\nm v=x 3\n");
    assert!(out.starts_with("table m: 1 rows"), "{out}");
    let says = [
        "in.lp:1: column 6 of the line 1 below: expected a value",
        "found \"x 1\"",
        "in.lp:4: column 5: expected a value",
    ];
    check_error("a value", &error, says);
}
