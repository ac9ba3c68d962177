//! An older copy of the index, put back where series were forgotten since: it is noticed and made
//! anew, and every answer is that of a database whose index nobody touched.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and changes the machine's own files"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Row, contents, copy_tree, name_of, quiet};
use tempfile::TempDir;
use tidestone::maintenance::verify;
use tidestone::{FieldType, Table, TableOptions, TagMatch, Tidestone, TimeRange, Value};

const DAY: i64 = 86_400_000_000_000;
const HOSTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// One run of a database: what is done between an open and a close.
#[derive(Debug, Clone, Copy)]
enum Run {
    /// Rows of hosts in the first partition.
    Rows(&'static [&'static str]),
    /// The rows of hosts go in a merge, and the hosts with them.
    Merged(&'static [&'static str]),
    /// Host h gets rows of the next day; retention drops all that is older.
    Expired,
    /// Hosts get a row at a time, in a segment, and the next, which is in the log alone.
    More(&'static [&'static str], i64),
}

impl Run {
    fn forgets(self) -> bool {
        matches!(self, Run::Merged(_) | Run::Expired)
    }

    fn on(self, db: &Tidestone, table: &Table) {
        match self {
            Run::Rows(hosts) => {
                write(db, table, hosts, 1);
                db.flush().unwrap();
            }
            Run::Merged(hosts) => {
                for host in hosts {
                    let of = [TagMatch::equal("host", *host)];
                    table.delete(&of, TimeRange::ALL).unwrap().wait().unwrap();
                }
                db.compact().unwrap();
            }
            Run::Expired => {
                write(db, table, &["h"], DAY);
                db.flush().unwrap();
            }
            Run::More(hosts, time) => {
                write(db, table, hosts, time);
                db.flush().unwrap();
                write(db, table, hosts, time + 1);
            }
        }
        let before = table.series_count().unwrap();
        db.enforce_retention().unwrap();
        assert_eq!(
            table.series_count().unwrap() < before,
            self.forgets(),
            "{self:?}"
        );
    }
}

fn write(db: &Tidestone, table: &Table, hosts: &[&str], time: i64) {
    let mut writer = db.writer();
    for host in hosts {
        let rack = format!("r{}", host.len() + usize::from(*host > "c"));
        let series = table.series(&[("host", *host), ("rack", &rack)]).unwrap();
        writer.append(&series, time, &[Value::I64(time)]).unwrap();
    }
    writer.commit_and_wait().unwrap();
}

/// Everything that can be asked of a table.
#[derive(Debug, PartialEq)]
struct Answers {
    rows: Vec<Row>,
    /// Ids and tags of the series.
    series: Vec<(u64, String)>,
    count: u64,
    tags: BTreeMap<String, Vec<String>>,
    /// Series and rows of each host there ever was.
    by_host: Vec<(Vec<String>, usize)>,
}

fn answers(db: &Tidestone) -> Answers {
    let table = db.table("t").unwrap();
    let keys = table.series_keys(&[]).unwrap();
    let series = keys.iter().map(|key| {
        let id = table.series_by_key(key).unwrap().id();
        assert_eq!(table.key_of(id).unwrap(), *key);
        (id.0, name_of(key))
    });
    let names = table.tag_names().unwrap();
    let tags = names.into_iter().map(|name| {
        let values = table.tag_values(&name).unwrap();
        (name, values)
    });
    let of_host = |host: &&str| {
        let tests = [TagMatch::equal("host", *host)];
        let keys = table.series_keys(&tests).unwrap();
        let rows = table.query().filter(tests[0].clone()).scan().unwrap();
        let rows = rows.map(|batch| batch.unwrap().len()).sum();
        (keys.iter().map(name_of).collect(), rows)
    };
    Answers {
        rows: contents(&table),
        series: series.collect(),
        count: table.series_count().unwrap(),
        tags: tags.collect(),
        by_host: HOSTS.iter().map(of_host).collect(),
    }
}

fn open(path: &Path) -> Tidestone {
    Tidestone::open(path, quiet()).unwrap()
}

/// A history of runs, what is left of the database at its end, and the index after each run before.
struct History {
    folder: TempDir,
    answers: Answers,
    /// The index after each run but the last, and whether series were forgotten since.
    older: Vec<(PathBuf, bool)>,
}

impl History {
    fn of(runs: &[Run]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("closed");
        let db = Tidestone::create(&path, quiet()).unwrap();
        let options = TableOptions::new()
            .field("v", FieldType::I64)
            .retention_bytes(Some(1))
            .future_bound(None);
        db.create_table("t", options).unwrap();
        db.close().unwrap();
        drop(db);
        let (last, before) = runs.split_last().unwrap();
        let mut older = Vec::new();
        for (number, run) in before.iter().enumerate() {
            let db = open(&path);
            assert_eq!(db.open_report().index_rebuilt, None, "run {number}");
            run.on(&db, &db.table("t").unwrap());
            db.close().unwrap();
            drop(db);
            let copy = folder.path().join(format!("index{number}"));
            copy_tree(&path.join("index"), &copy);
            let since = &runs[number + 1..];
            older.push((copy, since.iter().any(|run| run.forgets())));
        }
        let dropped = folder.path().join("dropped");
        copy_tree(&path, &dropped);
        let [answers, same] = [(path, true), (dropped, false)].map(|(path, close)| {
            let db = open(&path);
            last.on(&db, &db.table("t").unwrap());
            let answers = answers(&db);
            if close {
                db.close().unwrap();
            }
            answers
        });
        assert_eq!(answers, same);
        Self {
            folder,
            answers,
            older,
        }
    }

    /// What is left, `closed` or `dropped` without that, with `index` or without any.
    fn left(&self, what: &str, index: Option<&Path>) -> PathBuf {
        let path = self.folder.path().join("left");
        let _ = fs::remove_dir_all(&path);
        copy_tree(&self.folder.path().join(what), &path);
        fs::remove_dir_all(path.join("index")).unwrap();
        if let Some(index) = index {
            copy_tree(index, &path.join("index"));
        }
        path
    }
}

/// Goes on with a database: hosts come back, some of them go again.
fn go_on(db: &Tidestone) -> Vec<Answers> {
    let table = db.table("t").unwrap();
    let mut steps = Vec::new();
    write(db, &table, &HOSTS, DAY + 1);
    steps.push(answers(db));
    db.flush().unwrap();
    Run::Merged(&["a", "h"]).on(db, &table);
    steps.push(answers(db));
    steps
}

/// Puts every older index back, and checks all there is to see.
fn check(runs: &[Run]) {
    let history = History::of(runs);
    for image in ["closed", "dropped"] {
        let db = open(&history.left(image, None));
        assert_eq!(answers(&db), history.answers, "{image}, without an index");
        let expected = go_on(&db);
        drop(db);
        for (number, (index, is_stale)) in history.older.iter().enumerate() {
            let what = format!("{runs:?}, {image}, index of run {number}");
            let path = history.left(image, Some(index));
            check_one(&what, &path, *is_stale, &history.answers, &expected);
        }
    }
}

/// Verifies a database without damage, and says whether its index will be made anew.
fn verify_index(what: &str, path: &Path) -> bool {
    let report = verify(path).unwrap();
    assert_eq!(report.damage, [], "{what}");
    let mut notes = report.notes.iter();
    notes.any(|note| note.contains("made anew"))
}

fn check_one(what: &str, path: &Path, is_stale: bool, now: &Answers, then: &[Answers]) {
    let last = then.last().unwrap();
    assert_eq!(verify_index(what, path), is_stale, "{what}");

    let reader = Tidestone::open_read_only(path, quiet()).unwrap();
    assert_eq!(answers(&reader), *now, "{what}, for a reader");
    let db = open(path);
    let why = db.open_report().index_rebuilt.as_deref();
    assert_eq!(why.is_some(), is_stale, "{what}: {why:?}");
    assert!(
        why.is_none_or(|why| why.contains("forgotten")),
        "{what}: {why:?}"
    );
    assert_eq!(answers(&db), *now, "{what}");
    assert_eq!(go_on(&db), then, "{what}");
    reader.refresh().unwrap();
    assert_eq!(answers(&reader), *last, "{what}, for a reader");
    db.close().unwrap();
    drop((db, reader));

    assert!(!verify_index(what, path), "{what}");
    let db = open(path);
    assert_eq!(db.open_report().index_rebuilt, None, "{what}");
    assert_eq!(answers(&db), *last, "{what}, opened again");
}

const FIRST: Run = Run::Rows(&["a", "b", "c", "d"]);

#[test]
fn an_index_from_before_retention_forgot_series_is_made_anew() {
    check(&[FIRST, Run::Expired]);
    check(&[FIRST, Run::Expired, Run::More(&["h"], DAY + 2)]);
}

#[test]
fn an_index_from_before_a_merge_lost_series_is_made_anew() {
    check(&[FIRST, Run::Merged(&["b", "c"])]);
    check(&[FIRST, Run::Merged(&["a"]), Run::Merged(&["b", "c"])]);
}

#[test]
fn an_index_from_before_a_key_was_forgotten_and_came_back_is_made_anew() {
    check(&[FIRST, Run::Merged(&["b", "c"]), Run::More(&["b"], 2)]);
}

#[test]
fn an_index_from_before_series_were_forgotten_and_others_made_is_made_anew() {
    check(&[FIRST, Run::Merged(&["b", "c"]), Run::More(&["e", "f"], 2)]);
    check(&[
        FIRST,
        Run::Expired,
        Run::More(&["e", "b"], DAY + 2),
        Run::Merged(&["e"]),
    ]);
}

#[test]
fn an_older_index_of_which_nothing_was_forgotten_catches_up() {
    check(&[FIRST, Run::More(&["a", "e"], 2), Run::More(&["f"], 2)]);
    check(&[
        FIRST,
        Run::Merged(&["b"]),
        Run::More(&["b"], 2),
        Run::More(&["f"], 2),
    ]);
}
