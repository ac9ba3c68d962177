//! Space that an index keeps for the time when the disk is full: RocksDB writes a few files each time it
//! is opened, and a database that cannot be opened could not be made smaller. The file is given up then,
//! and made again when the index is opened with space.
#![expect(
    clippy::disallowed_methods,
    reason = "RocksDB's folder is the one that does not go through `io`"
)]

use std::fs;
use std::io::{ErrorKind, Result as IoResult};
use std::path::Path;

use super::errors::is_full;
use crate::error::{self, Error, Result};

/// In RocksDB's folder, which leaves alone what has none of its names.
const NAME: &str = "reserve";
/// What RocksDB writes at an open is a tenth of it.
const LEN: usize = 512 << 10;

/// Opens what is in a folder, if need be with the space that was kept for that.
pub(super) fn on_a_full_disk<T, E: AsRef<str>>(
    dir: &Path,
    open: impl Fn() -> std::result::Result<T, E>,
) -> Result<std::result::Result<T, E>> {
    match open() {
        Err(e) if is_full(e.as_ref()) && give_up(dir)? => Ok(open()),
        opened => Ok(opened),
    }
}

/// Frees the space. `false` if there was none.
fn give_up(dir: &Path) -> Result<bool> {
    let path = dir.join(NAME);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("give up the reserve of the index", &path, e)),
    }
}

/// Makes the file, if it is not there. Without space for it there is none until the next open.
pub(super) fn keep(dir: &Path) -> Result<()> {
    let path = dir.join(NAME);
    let make = || -> IoResult<()> {
        match fs::metadata(&path) {
            Ok(found) if found.len() == LEN as u64 => Ok(()),
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => fs::write(&path, vec![0; LEN]),
        }
    };
    match make().map_err(|e| Error::io("keep a reserve for the index", &path, e)) {
        Err(e) if e.kind() == error::ErrorKind::DiskFull => give_up(dir).map(drop),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// What RocksDB says where the disk is full.
    const FULL: &str =
        "IO error: No space left on device: While appending to file: MANIFEST-000005";

    #[test]
    fn the_space_is_given_up_for_an_open_and_kept_again() {
        let dir = TempDir::new().unwrap();
        keep(dir.path()).unwrap();
        let reserve = dir.path().join(NAME);
        assert_eq!(fs::metadata(&reserve).unwrap().len(), LEN as u64);
        let open = || match reserve.exists() {
            true => Err(FULL),
            false => Ok("opened"),
        };
        assert_eq!(on_a_full_disk(dir.path(), open).unwrap(), Ok("opened"));
        // With nothing to give up the error is told.
        let opened = on_a_full_disk(dir.path(), || Err::<(), _>(FULL));
        assert_eq!(opened.unwrap(), Err(FULL));
        // One that was cut short is made whole.
        fs::write(&reserve, b"short").unwrap();
        keep(dir.path()).unwrap();
        assert_eq!(fs::metadata(&reserve).unwrap().len(), LEN as u64);
    }

    #[test]
    fn an_open_that_fails_for_another_reason_leaves_it() {
        let dir = TempDir::new().unwrap();
        keep(dir.path()).unwrap();
        let opened = on_a_full_disk(dir.path(), || Err::<(), _>("Corruption: CURRENT"));
        assert!(opened.unwrap().is_err());
        assert!(dir.path().join(NAME).exists());
    }
}
