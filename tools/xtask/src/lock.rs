//! One process at a time: for steps that fill a place in the cache.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::failure::{Failure, Result};

/// Waits until no other process does the step `name`, and keeps others from it until the returned
/// file is dropped. What the step was to make may be there by now.
pub(crate) fn hold(cache: &Path, name: &str) -> Result<File> {
    fs::create_dir_all(cache).map_err(Failure::at("make", cache))?;
    let path = cache.join(format!("{name}.lock"));
    let file = File::create(&path).map_err(Failure::at("make the lock file", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("xtask: waiting for another process that makes {name}");
            file.lock().map_err(Failure::at("lock", &path))?;
        }
        Err(TryLockError::Error(error)) => return Err(Failure::at("lock", &path)(error)),
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_held_until_the_file_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("not there yet");
        let held = hold(&cache, "step").unwrap();
        let other = File::open(cache.join("step.lock")).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(hold(&cache, "another step").unwrap());
        drop(held);
        other.try_lock().unwrap();
    }
}
