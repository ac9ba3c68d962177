//! Small databases on the machine's own disk, and what damages them.
#![allow(
    clippy::disallowed_methods,
    reason = "files are changed behind the back of the database"
)]

use std::path::{Path, PathBuf};

use tidestone::{FieldType, Options, Table, TableOptions, Tidestone, Value};

pub(crate) fn options() -> Options {
    Options {
        auto_compact: false,
        flush_after: None,
        log_file_bytes: 1 << 20,
        log_retained_bytes: 64 << 20,
        ..Options::default()
    }
}

pub(crate) fn make(dir: &Path) -> (Tidestone, Table) {
    let db = Tidestone::create(dir, options()).unwrap();
    let table = TableOptions::new().field("value", FieldType::I64);
    let table = db.create_table("t", table).unwrap();
    (db, table)
}

/// Commits `count` rows one by one, each durable.
pub(crate) fn write(db: &Tidestone, table: &Table, from: i64, count: i64) {
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    for i in from..from + count {
        writer.append(&series, i, &[Value::I64(i)]).unwrap();
        writer.commit_and_wait().unwrap();
    }
}

pub(crate) fn times(db: &Tidestone) -> Vec<i64> {
    let rows = db.table("t").unwrap().query().scan().unwrap();
    rows.flat_map(|batch| batch.unwrap().times().to_vec())
        .collect()
}

pub(crate) fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}
