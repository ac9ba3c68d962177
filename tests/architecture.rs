//! The rules of the code, checked: which module may use which, and what only one may name.
//!
//! `ARCHITECTURE.md` shows the same table of tiers to people; this one holds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A module may use modules of lower tiers, never of its own or above. Tier 0 is the format crate.
const TIERS: [&[&str]; 12] = [
    &["error"],
    &[
        "config",
        "clock",
        "random",
        "threads",
        "io",
        "value",
        "steadiness",
        "nudge",
    ],
    &["rows", "sharing", "signals"],
    &["wal", "head", "store", "index"],
    &["catalog", "scan"],
    &["engine"],
    &["ingest", "flush", "recover", "retention", "forgetting"],
    &["compaction", "read_only"],
    &["worker"],
    &["query"],
    &["db"],
    &["maintenance", "arrow"],
];

const LONGEST_FILE: usize = 900;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder of the workspace, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, out: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                out.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    let mut out = Vec::new();
    if root().join(folder).exists() {
        walk(&root().join(folder), &mut out);
    }
    out.sort();
    out
}

fn is_test(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.ends_with("/tests.rs") || text.contains("/tests/")
}

/// The lines that are code: no comments, and nothing behind the unit tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(n, line)| (n + 1, line))
}

/// The module of `src` a file belongs to; `None` for `lib.rs`.
fn module_of(path: &Path) -> Option<String> {
    let first = path.components().nth(1)?.as_os_str().to_string_lossy();
    let name = first.strip_suffix(".rs").unwrap_or(&first);
    (name != "lib").then(|| name.to_owned())
}

/// The names that follow `crate::` in a line.
fn used(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").filter_map(|(at, found)| {
        // `$crate::`, and crates whose names end so, are something else.
        let before = line[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            return None;
        }
        let rest = &line[at + found.len()..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        let name = &rest[..end.unwrap_or(rest.len())];
        (!name.is_empty()).then_some(name)
    })
}

#[test]
fn modules_use_lower_tiers_only() {
    let mut tier_of: BTreeMap<&str, usize> = BTreeMap::new();
    for (tier, modules) in TIERS.iter().enumerate() {
        for module in *modules {
            assert!(
                tier_of.insert(module, tier).is_none(),
                "{module} stands twice"
            );
        }
    }
    let mut seen: BTreeMap<String, ()> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let Some(module) = module_of(&path) else {
            continue;
        };
        let Some(tier) = tier_of.get(module.as_str()) else {
            wrong.push(format!("{}: module {module} has no tier", path.display()));
            continue;
        };
        seen.insert(module.clone(), ());
        if is_test(&path) {
            continue;
        }
        for (number, line) in code(&text) {
            for name in used(line) {
                let at = format!("{}:{number}", path.display());
                match tier_of.get(name) {
                    _ if name == module => {}
                    Some(other) if other < tier => {}
                    Some(_) => wrong.push(format!("{at}: {module} uses {name}, not a lower tier")),
                    // A public name, taken from the root: an error type, an identifier.
                    None => wrong.push(format!("{at}: {name} is no module with a tier")),
                }
            }
        }
    }
    for module in tier_of.keys() {
        if !seen.contains_key(*module) {
            wrong.push(format!("{module} has a tier and is not there"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_tiers_in_architecture_md_is_this_one() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (number, modules) in TIERS.iter().enumerate() {
        let start = format!("| {} |", number + 1);
        let line = text
            .lines()
            .find(|l| l.starts_with(&start))
            .unwrap_or_default();
        let shown: Vec<&str> = line
            .split('|')
            .nth(2)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let expected: Vec<String> = modules.iter().map(|m| format!("`{m}`")).collect();
        assert_eq!(shown, expected, "tier {}", number + 1);
    }
}

/// Each invariant names the tests that hold it.
#[test]
fn the_tests_that_architecture_md_names_are_there() {
    let folders = ["src", "format", "tests", "tools"];
    let sources: Vec<_> = folders.into_iter().flat_map(sources).collect();
    let is_there = |name: &str| {
        let test = format!("fn {name}(");
        sources.iter().any(|(_, text)| text.contains(&test))
    };
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, invariants) = text.split_once("\n## Invariants\n").unwrap();
    let rows = invariants.lines().filter_map(|l| l.split('|').nth(3));
    let mut named = 0;
    for path in rows.flat_map(|tests| tests.split('`').skip(1).step_by(2)) {
        let Some((_, name)) = path.rsplit_once("::") else {
            continue;
        };
        named += 1;
        assert!(is_there(name), "there is no test {path}");
    }
    assert!(named > 100, "{named}");
}

/// Checks that no code outside `allowed` says one of `words`.
#[track_caller]
fn only(folder: &str, words: &[&str], allowed: impl Fn(&Path) -> bool) {
    for (path, text) in sources(folder) {
        if allowed(&path) || is_test(&path) {
            continue;
        }
        for (number, line) in code(&text) {
            let line = line.split("//").next().unwrap_or_default();
            // Words in text for people are no use of the thing.
            let plain: String = line.split('"').step_by(2).collect();
            for word in words {
                assert!(!plain.contains(word), "{}:{number}: {word}", path.display());
            }
        }
    }
}

#[test]
fn what_belongs_to_one_module_is_named_there_only() {
    only("src", &["rocksdb::", "bincode"], |p| {
        p.starts_with("src/index")
    });
    only(
        "src",
        &["arrow_array", "arrow_buffer", "arrow_schema"],
        |p| p.starts_with("src/arrow"),
    );
    only("src", &["std::fs", "fs::File", "OpenOptions"], |p| {
        p.starts_with("src/io") || p.starts_with("src/index/rocks")
    });
    only("src", &["SystemTime::now", "Instant::now"], |p| {
        p.ends_with("clock.rs")
    });
    only("src", &["getrandom::"], |p| p.ends_with("random.rs"));
    only(
        "format/src",
        &[
            "std::fs",
            "std::time",
            "std::thread",
            "std::path",
            "rocksdb",
        ],
        |_| false,
    );
}

/// What a simulator has to bring is told in `threads`.
#[test]
fn threads_and_waits_are_those_a_simulator_can_see() {
    let threads = [
        "thread::spawn",
        "thread::Builder",
        "thread::scope",
        "thread::sleep",
        "thread::park",
        "use std::thread",
        "JoinHandle",
    ];
    only("src", &threads, |p| p.ends_with("threads.rs"));
    let timed = [
        ".wait_for(",
        ".wait_until(",
        ".wait_while_for(",
        ".wait_while_until(",
        ".wait_timeout",
        ".recv_timeout(",
        "Instant",
    ];
    only("src", &timed, |p| p.ends_with("clock.rs"));
    // Blocking is that of parking_lot, but for those who wait for a turn at the log, which says why.
    let blocking = ["Barrier", "Condvar", "LazyLock", "Mutex", "RwLock", "mpsc"];
    for (path, text) in sources("src") {
        if path.ends_with("wal/turns.rs") {
            continue;
        }
        let text: String = code(&text).map(|(_, line)| line).collect();
        let of_std = text.split(';').filter(|s| s.contains("std::sync"));
        for statement in of_std {
            let found = blocking.iter().find(|word| statement.contains(*word));
            let at = path.display();
            assert!(found.is_none() || is_test(&path), "{at}: {found:?} of std");
        }
    }
}

#[test]
fn no_file_is_longer_than_a_reader_bears() {
    for folder in [
        "src", "format", "tools", "tests", "benches", "fuzz", "examples",
    ] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= LONGEST_FILE, "{}: {lines} lines", path.display());
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for folder in ["src", "format/src", "tests"] {
        for (path, text) in sources(folder) {
            let unit_tests = is_test(&path) && folder != "tests";
            assert!(
                unit_tests || text.starts_with("//!"),
                "{} has no head",
                path.display()
            );
        }
    }
}
