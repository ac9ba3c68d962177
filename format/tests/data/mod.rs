//! Real columns from the data folder beside the repository, for tests and benches.

#![allow(dead_code, reason = "each user needs a part")]

use std::io::Read;
use std::path::PathBuf;

/// Where the data are; `None`, and a message, where that folder does not exist.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there is no {}", folder.display());
    None
}

/// The numbers of a file with one a line; lines without one are left out.
pub(crate) fn floats(file: &str) -> Option<Vec<f64>> {
    let text = std::fs::read_to_string(folder()?.join("float_columns").join(file)).unwrap();
    Some(text.lines().filter_map(|l| l.trim().parse().ok()).collect())
}

/// Column `column` of a compressed file of comma-separated values, as integers.
pub(crate) fn integers(file: &str, column: usize) -> Option<Vec<i64>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "test data, read before anything is measured"
    )]
    let bytes = std::fs::read(folder()?.join(file)).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_string(&mut text)
        .unwrap();
    let fields = text.lines().filter_map(|l| l.split(',').nth(column));
    Some(fields.filter_map(|f| f.parse().ok()).collect())
}
