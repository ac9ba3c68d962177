//! The folder of a database, given as `--db DIR` and as `DIR`: every command takes both.
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

/// Commands that document `--db`, with what else they need.
const WITH_OPTION: [&[&str]; 7] = [
    &["query", "--table", "weather"],
    &["last", "--table", "weather"],
    &["export", "--table", "weather"],
    &["plot", "--table", "weather"],
    &["tables"],
    &["series", "--table", "weather"],
    &["delete", "--table", "weather", "--to", "1970-01-01"],
];

/// Commands that document the folder without an option.
const WITHOUT: [&str; 6] = [
    "stats",
    "flush",
    "compact",
    "verify",
    "rebuild-index",
    "repair",
];

/// Of every command but `import`: its name, what else it needs, and how its usage names the folder.
fn commands() -> impl Iterator<Item = (&'static str, &'static [&'static str], &'static str)> {
    let with = WITH_OPTION.into_iter();
    let with = with.map(|all| (all[0], &all[1..], "--db <DB>"));
    let nothing: &[&str] = &[];
    with.chain(
        WITHOUT
            .into_iter()
            .map(move |name| (name, nothing, "<DIR>")),
    )
}

#[test]
fn every_command_takes_the_folder_with_and_without_its_option() {
    let place = Place::with_weather();
    for (name, more, _) in commands() {
        place.ok(&[&[name, "--db", "db"], more].concat());
        place.ok(&[&[name, "db"], more].concat());
        place.ok(&[&[name], more, &["db"]].concat());
    }
}

#[test]
fn the_folder_is_given_once() {
    let place = Place::with_weather();
    for (name, more, usage) in commands() {
        let (_, error) = place.check(2, &[&[name], more].concat());
        let missing = format!(
            "error: the following required arguments were not provided:\n  {usage}\n\n\
             Usage: tidestone {name} "
        );
        assert!(error.starts_with(&missing), "{name}: {error}");
        let (_, error) = place.check(2, &[&[name, "--db", "db", "db"], more].concat());
        assert!(error.contains("cannot be used with"), "{name}: {error}");
        let (_, error) = place.check(2, &[&[name, "db", "db"], more].concat());
        assert!(error.contains("unexpected argument"), "{name}: {error}");
        let (help, _) = place.check(0, &[name, "--help"]);
        let other = match usage {
            "<DIR>" => "--db",
            _ => "DIR]",
        };
        assert!(help.contains(usage), "{name}: {help}");
        assert!(!help.contains(other), "{name}: {help}");
    }
}

#[test]
fn an_import_takes_the_folder_before_the_files_too() {
    let place = Place::new();
    place.file("a.lp", "m v=1 1\n");
    place.file("b.lp", "m v=1 2\n");
    // The database is not there, and then it is.
    for _ in 0..2 {
        let out = place.ok(&["import", "db", "a.lp", "b.lp"]);
        assert!(out.starts_with("table m: 2 rows, "), "{out}");
    }
    let out = place.ok(&["export", "db", "--table", "m"]);
    assert_eq!(out.lines().count(), 3, "{out}");
}

#[test]
fn an_import_makes_no_database_in_the_place_of_a_file() {
    let place = Place::new();
    place.file("a.lp", "m v=1 1\n");
    place.file("data", "m v=1 1\n");
    let check = |files: &[&str], missing: &str| {
        let (out, error) = place.check(2, &[&["import", "--format", "line"], files].concat());
        assert_eq!(out, "", "{files:?}");
        let expected = format!(
            "error: the following required arguments were not provided:\n  {missing}\n\n\
             Usage: tidestone import "
        );
        assert!(error.starts_with(&expected), "{files:?}: {error}");
    };
    for files in [
        &["a.lp"][..],
        &["a.lp", "a.lp"],
        &["data", "a.lp"],
        &["missing.lp", "a.lp"],
        &["missing.csv.gz", "a.lp"],
        &["-", "a.lp"],
    ] {
        check(files, "--db <DB>");
    }
    check(&["db"], "<FILES>...");
    check(&[], "<FILES>...");
    let left = place.0.path().read_dir().unwrap().count();
    assert_eq!(left, 2, "nothing was made");
}
