//! What tests of wrong input share: how an error is checked, and a database to spoil.

use std::path::Path;
use std::sync::Arc;

use super::quiet;
use tidestone::io::SimDisk;
use tidestone::{
    Builder, DuplicatePolicy, ErrorKind, FieldType, ManualClock, Result, SeededRandom,
    TableOptions, Tidestone, Value,
};

/// Checks that `result` is an error of this kind which says what was expected, what there was instead,
/// and what to do, in words of their own.
#[track_caller]
pub(crate) fn check<T>(
    what: &str,
    result: Result<T>,
    kind: ErrorKind,
    [expected, actual, advice]: [&str; 3],
) {
    let Err(error) = result else {
        panic!("{what}: it was accepted");
    };
    assert_eq!(error.kind(), kind, "{what}: {error}");
    let text = error.to_string();
    let mut rest = text.clone();
    for (name, words) in [
        ("advice", advice),
        ("expected", expected),
        ("actual", actual),
    ] {
        assert!(!words.is_empty(), "{what}: the test names no {name}");
        assert!(
            rest.contains(words),
            "{what}: {name} {words:?} is missing: {text}"
        );
        // The same words do not count for two of them.
        rest = rest.replacen(words, "\n", 1);
    }
    assert!(
        !text.contains("Error {") && text.len() < 2_000,
        "{what}: {text}"
    );
    if matches!(
        kind,
        ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Io
    ) {
        assert!(error.path().is_some(), "{what}: no path: {text}");
    }
    if matches!(kind, ErrorKind::Corrupt | ErrorKind::Unsupported) {
        assert!(error.offset().is_some(), "{what}: no offset: {text}");
    }
    let advices: &[&str] = match kind {
        ErrorKind::Corrupt => &["`tidestone verify`", "`tidestone repair`", "restore"],
        ErrorKind::Unsupported => &["open it with the version that wrote it or a newer one"],
        ErrorKind::DiskFull => &["free space"],
        _ => return,
    };
    assert!(
        advices.iter().any(|a| text.contains(a)),
        "{what}: no advice: {text}"
    );
}

/// Checks that `result` is an error about damage that names the file, and what was expected and found
/// in it, in the words of the format or of whoever compared two files.
#[track_caller]
pub(crate) fn check_damage<T>(what: &str, result: Result<T>, path: &Path) {
    let Err(error) = result else {
        panic!("{what}: it was accepted");
    };
    let text = error.to_string();
    let named = path.to_str().unwrap();
    assert!(text.contains(named), "{what}: {named} is not named: {text}");
    let told = [
        ["expected ", "found "],
        ["needs ", "has "],
        [" bytes, its header says ", "the log file has "],
        [" bytes, the manifest says ", "the segment has "],
        ["was acknowledged", "not readable here ("],
        ["only what is up to ", "the log starts behind LSN "],
    ];
    let Some([expected, actual]) = told
        .into_iter()
        .find(|words| words.iter().all(|w| text.contains(w)))
    else {
        panic!("{what}: not told what was expected and found: {text}");
    };
    let says = [expected, actual, "`tidestone repair`"];
    check::<()>(what, Err(error), ErrorKind::Corrupt, says);
}

pub(crate) fn open(disk: &SimDisk) -> Result<Tidestone> {
    builder(disk).open_or_create()
}

pub(crate) fn builder(disk: &SimDisk) -> Builder {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(1_000_000_000_000)))
        .random(Arc::new(SeededRandom::new(77)))
}

pub(crate) fn table_options() -> TableOptions {
    TableOptions::new()
        .field("v", FieldType::F64)
        .field("text", FieldType::String)
        .policy(DuplicatePolicy::All)
        .future_bound(None)
}

/// Rows in two segments and in the log.
pub(crate) fn fill(db: &Tidestone) {
    let table = db.table_or_create("t", table_options()).unwrap();
    let mut writer = db.writer();
    for part in 0..3 {
        for host in 0..4 {
            let series = table.series(&[("host", format!("h{host}"))]).unwrap();
            for i in 0..700 {
                let text = format!("row {i}");
                let values = [Value::F64(i as f64 / 7.0), Value::String(&text)];
                writer.append(&series, part * 1_000 + i, &values).unwrap();
            }
            writer.commit_and_wait().unwrap();
        }
        if part < 2 {
            db.flush().unwrap();
        }
    }
}
