//! What tests of wrong input share: how an error is checked, and a database to spoil.

use std::sync::Arc;

use super::quiet;
use tidestone::io::SimDisk;
use tidestone::{
    DuplicatePolicy, ErrorKind, FieldType, ManualClock, Result, SeededRandom, TableOptions,
    Tidestone, Value,
};

/// Checks that `result` is an error of this kind whose text has all the words.
#[track_caller]
pub(crate) fn check<T>(what: &str, result: Result<T>, kind: ErrorKind, words: &[&str]) {
    let Err(error) = result else {
        panic!("{what}: it was accepted");
    };
    assert_eq!(error.kind(), kind, "{what}: {error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{what}: {word:?} is missing: {text}");
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
    let advice: &[&str] = match kind {
        ErrorKind::Corrupt => &["`tidestone verify`", "`tidestone repair`", "restore"],
        ErrorKind::Unsupported => &["open it with the version that wrote it or a newer one"],
        ErrorKind::DiskFull => &["free space"],
        _ => return,
    };
    assert!(
        advice.iter().any(|a| text.contains(a)),
        "{what}: no advice: {text}"
    );
}

pub(crate) fn open(disk: &SimDisk) -> Result<Tidestone> {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(1_000_000_000_000)))
        .random(Arc::new(SeededRandom::new(77)))
        .open_or_create()
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
