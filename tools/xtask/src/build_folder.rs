//! Build folders: one for each checkout, and none for longer than its checkout.
//!
//! Cargo names the results of workspace packages by their place *within* the workspace and judges
//! their age by file times. Two checkouts that share a build folder are therefore taken for each
//! other: what was built last can be run in the name of the checkout that was cloned first. So
//! every checkout has a folder of its own, and a file in that folder names the checkout.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::failure::{Failure, Result};
use crate::hash::fnv1a_hex;

/// The file in a build folder that names the checkout it belongs to; written at each use.
const OWNER: &str = "tidestone-checkout";

/// How large a build folder may grow, in bytes, before CI starts it afresh.
const CI_LIMIT: u64 = 12 << 30;

/// How long a folder whose checkout is gone is kept after its last use: the checkout may lie on a
/// disk that is only not mounted just now. CI has no such disks.
const KEEP: Duration = Duration::from_hours(24);

/// The name of the build folder of this checkout.
pub(crate) fn name(checkout: &Path) -> String {
    fnv1a_hex([checkout.as_os_str().as_encoded_bytes()])
}

/// Makes the folder if need be, and writes down whose it is and that it is in use.
///
/// # Errors
///
/// If the folder belongs to another checkout, or cannot be written to.
pub(crate) fn claim(folder: &Path, checkout: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Failure::at("make the build folder", folder))?;
    let file = folder.join(OWNER);
    match owner(folder)? {
        None => write_owner(&file, checkout),
        Some(owner) if owner == checkout => File::options()
            .append(true)
            .open(&file)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .map_err(Failure::at("set the time of", &file)),
        Some(owner) => Err(Failure::new(format!(
            "the build folder {} holds results of the checkout {}, which cargo would take for \
             those of {}: unset CARGO_TARGET_DIR or give each checkout its own folder (or remove \
             this one, or only {} if the checkout was moved)",
            folder.display(),
            owner.display(),
            checkout.display(),
            file.display(),
        ))),
    }
}

/// Writes the file at once, so that no other process sees half of it.
fn write_owner(file: &Path, checkout: &Path) -> Result<()> {
    let text = checkout.to_str().ok_or_else(|| {
        Failure::new(format!(
            "the path {} of this checkout is not UTF-8: move the checkout",
            checkout.display()
        ))
    })?;
    let unfinished = file.with_added_extension(std::process::id().to_string());
    fs::write(&unfinished, text).map_err(Failure::at("write", &unfinished))?;
    fs::rename(&unfinished, file).map_err(Failure::at("write", file))
}

/// Removes the build folders of checkouts that are gone, and in CI an overgrown one of this
/// checkout; says so for each.
pub(crate) fn tidy(all: &Path, own: &Path, ci: bool) -> Result<()> {
    for folder in orphans(all, if ci { Duration::ZERO } else { KEEP })? {
        remove(&folder, "its checkout is gone")?;
    }
    if ci {
        restart_overgrown(own, CI_LIMIT)
    } else {
        Ok(())
    }
}

/// Empties the folder, but for its owner, if it holds more than `limit` bytes.
fn restart_overgrown(folder: &Path, limit: u64) -> Result<()> {
    let size = size(folder).map_err(Failure::at("measure the build folder", folder))?;
    if size <= limit {
        return Ok(());
    }
    let checkout = owner(folder)?;
    remove(folder, &format!("its {size} bytes are more than {limit}"))?;
    checkout.map_or(Ok(()), |checkout| claim(folder, &checkout))
}

fn remove(folder: &Path, why: &str) -> Result<()> {
    eprintln!(
        "xtask: removing the build folder {}: {why}",
        folder.display()
    );
    unless_gone(fs::remove_dir_all(folder))
        .map(drop)
        .map_err(Failure::at("remove the build folder", folder))
}

fn owner(folder: &Path) -> Result<Option<PathBuf>> {
    let file = folder.join(OWNER);
    let text = unless_gone(fs::read_to_string(&file)).map_err(Failure::at("read", &file))?;
    Ok(text.map(PathBuf::from))
}

/// The build folders below `all` whose checkout is gone and which were last used before `keep`.
fn orphans(all: &Path, keep: Duration) -> Result<Vec<PathBuf>> {
    let list = "list the build folders in";
    let entries = unless_gone(fs::read_dir(all)).map_err(Failure::at(list, all))?;
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten() {
        let folder = entry.map_err(Failure::at(list, all))?.path();
        let file = folder.join(OWNER);
        // What names no checkout, or no longer does, is no build folder of ours.
        let Some(checkout) = owner(&folder)? else {
            continue;
        };
        let used = unless_gone(file.metadata().and_then(|data| data.modified()));
        let Some(used) = used.map_err(Failure::at("read the time of", &file))? else {
            continue;
        };
        // A time in the future counts as a use just now.
        let age = used.elapsed().unwrap_or_default();
        let exists = checkout.try_exists();
        let exists = exists.map_err(Failure::at("see whether there still is", &checkout))?;
        if !exists && age >= keep {
            found.push(folder);
        }
    }
    Ok(found)
}

/// Bytes of all files below `path`. Links are not followed; what vanishes meanwhile counts nothing.
fn size(path: &Path) -> io::Result<u64> {
    let mut total = 0;
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Some(entries) = unless_gone(fs::read_dir(folder))? else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            let Some(data) = unless_gone(entry.metadata())? else {
                continue;
            };
            if data.is_dir() {
                folders.push(entry.path());
            } else {
                total += data.len();
            }
        }
    }
    Ok(total)
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_serves_one_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("build");
        claim(&folder, Path::new("/src/one")).unwrap();
        claim(&folder, Path::new("/src/one")).unwrap();
        let failure = claim(&folder, Path::new("/src/two"))
            .unwrap_err()
            .to_string();
        for part in ["/src/one", "/src/two", "unset CARGO_TARGET_DIR", OWNER] {
            assert!(failure.contains(part), "{failure}");
        }
    }

    #[test]
    fn only_old_folders_of_vanished_checkouts_go() {
        let dir = tempfile::tempdir().unwrap();
        let (all, live) = (dir.path().join("all"), dir.path().join("live"));
        fs::create_dir(&live).unwrap();
        claim(&all.join("1"), &live).unwrap();
        claim(&all.join("2"), &dir.path().join("gone")).unwrap();
        fs::create_dir(all.join("not-claimed")).unwrap();
        fs::write(all.join("a-file"), b"").unwrap();

        assert_eq!(orphans(&all, KEEP).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(orphans(&all, Duration::ZERO).unwrap(), [all.join("2")]);
        tidy(&all, &all.join("1"), true).unwrap();
        assert!(all.join("1").exists() && all.join("not-claimed").exists());
        assert!(!all.join("2").exists());
        assert_eq!(
            orphans(&dir.path().join("none"), KEEP).unwrap(),
            Vec::<PathBuf>::new()
        );
    }

    #[test]
    fn an_overgrown_folder_starts_afresh_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        claim(dir.path(), Path::new("/src")).unwrap();
        fs::write(dir.path().join("result"), [0; 96]).unwrap();
        restart_overgrown(dir.path(), 100).unwrap();
        assert!(dir.path().join("result").exists());
        restart_overgrown(dir.path(), 99).unwrap();
        assert!(!dir.path().join("result").exists());
        assert_eq!(
            owner(dir.path()).unwrap().as_deref(),
            Some(Path::new("/src"))
        );
    }

    #[test]
    fn size_counts_files_at_any_depth() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("x"), [0; 10]).unwrap();
        fs::write(dir.path().join("a/b/y"), [0; 7]).unwrap();
        assert_eq!(size(dir.path()).unwrap(), 17);
    }
}
