//! What the machine's own disk shows, RocksDB's files with it.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::fs;

use common::quiet;
use common::wrong::fill;
use tidestone::Tidestone;

/// RocksDB set 4 MiB aside for the list of its files, of which a small database needs a page.
#[test]
fn the_index_of_a_small_database_takes_little_of_the_disk() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("db");
    let db = Tidestone::create(&root, quiet()).unwrap();
    fill(&db);
    let files = fs::read_dir(root.join("index")).unwrap();
    let taken = files.map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512);
    let taken: u64 = taken.sum();
    assert!(taken < 1 << 20, "{taken} bytes");
    db.close().unwrap();
}
