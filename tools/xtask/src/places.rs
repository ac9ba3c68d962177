//! Where things lie: the checkout, the cache folder, the build folder.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::build_folder;
use crate::failure::{Failure, Result};

/// The folders that all tasks use.
#[derive(Debug)]
pub(crate) struct Places {
    /// The root of the workspace.
    pub(crate) checkout: PathBuf,
    /// What is kept between runs and shared by checkouts: RocksDB, tools.
    pub(crate) cache: PathBuf,
    /// The build folder: cargo's target folder.
    pub(crate) target: PathBuf,
    /// Where ccache is to keep its results, if not where it does by itself.
    pub(crate) ccache: Option<PathBuf>,
}

impl Places {
    /// Finds the folders, and makes the cache and the build folder ready for use.
    pub(crate) fn find() -> Result<Self> {
        let manifest = set("CARGO_MANIFEST_DIR").ok_or_else(|| {
            Failure::new("CARGO_MANIFEST_DIR is not set: start this program as `cargo xtask`")
        })?;
        let root = Path::new(&manifest).join("../..");
        let checkout = root
            .canonicalize()
            .map_err(Failure::at("find the checkout at", &root))?;
        let given = Given {
            cache: absolute("TIDESTONE_CACHE")?,
            home: absolute("HOME")?,
            target: absolute("CARGO_TARGET_DIR")?,
        };
        let (places, note) = decide(checkout, &given, make_writable)?;
        if let Some(note) = note {
            eprintln!("xtask: {note}");
        }
        build_folder::claim(&places.target, &places.checkout)?;
        Ok(places)
    }

    /// The folder below which every checkout has a build folder of its own.
    pub(crate) fn build_folders(&self) -> PathBuf {
        self.cache.join(BUILD_FOLDERS)
    }

    /// Where tools installed by `setup` go.
    pub(crate) fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }
}

/// Whether this run is one of continuous integration.
pub(crate) fn is_ci() -> bool {
    set("CI").is_some_and(|value| value != "false" && value != "0")
}

/// An environment variable; an empty one counts as not set.
pub(crate) fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Name of the folder of build folders, within the cache.
const BUILD_FOLDERS: &str = "target";

/// What the environment says about folders, as absolute paths.
#[derive(Debug, Default)]
struct Given {
    cache: Option<PathBuf>,
    home: Option<PathBuf>,
    target: Option<PathBuf>,
}

fn absolute(name: &str) -> Result<Option<PathBuf>> {
    let Some(value) = set(name).map(PathBuf::from) else {
        return Ok(None);
    };
    std::path::absolute(&value)
        .map(Some)
        .map_err(Failure::at("use the folder", &value))
}

/// Chooses the folders; `make` makes one and tells whether it can be written to. Also returns a
/// note for the user if the usual cache folder could not be taken.
fn decide(
    checkout: PathBuf,
    given: &Given,
    mut make: impl FnMut(&Path) -> io::Result<()>,
) -> Result<(Places, Option<String>)> {
    if let Some(cache) = &given.cache {
        make(cache).map_err(Failure::at(
            "write to the folder of TIDESTONE_CACHE,",
            cache,
        ))?;
        let target = own_build_folder(cache, &checkout);
        let ccache = Some(cache.join("ccache"));
        return Ok((places(checkout, cache.clone(), target, ccache, given), None));
    }
    let mut note = "HOME is not set".to_owned();
    if let Some(home) = &given.home {
        let cache = home.join(".cache").join("tidestone");
        match make(&cache) {
            Ok(()) => {
                let target = own_build_folder(&cache, &checkout);
                return Ok((places(checkout, cache, target, None, given), None));
            }
            Err(error) => note = format!("cannot write to {}: {error}", cache.display()),
        }
    }
    note.push_str("; everything goes to the checkout's target folder (or set TIDESTONE_CACHE)");
    let target = checkout.join("target");
    let ccache = Some(target.join("ccache"));
    Ok((
        places(checkout, target.clone(), target, ccache, given),
        Some(note),
    ))
}

fn places(
    checkout: PathBuf,
    cache: PathBuf,
    target: PathBuf,
    ccache: Option<PathBuf>,
    given: &Given,
) -> Places {
    let target = given.target.clone().unwrap_or(target);
    Places {
        checkout,
        cache,
        target,
        ccache,
    }
}

fn own_build_folder(cache: &Path, checkout: &Path) -> PathBuf {
    cache.join(BUILD_FOLDERS).join(build_folder::name(checkout))
}

/// Makes the folder and shows by a file that it can be written to.
fn make_writable(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let probe = dir.join(format!("probe-{}", std::process::id()));
    fs::write(&probe, b"")?;
    fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(_: &Path) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    #[test]
    fn home_is_the_usual_place() {
        let given = Given {
            home: Some("/home/a".into()),
            ..Given::default()
        };
        let (places, note) = decide("/src".into(), &given, |_| Ok(())).unwrap();
        assert_eq!(places.cache, Path::new("/home/a/.cache/tidestone"));
        assert_eq!(
            places.target.parent(),
            Some(Path::new("/home/a/.cache/tidestone/target"))
        );
        assert_eq!(places.ccache, None);
        assert_eq!(note, None);
    }

    #[test]
    fn checkouts_never_share_a_build_folder() {
        let given = Given {
            home: Some("/home/a".into()),
            ..Given::default()
        };
        let (one, _) = decide("/src/one".into(), &given, |_| Ok(())).unwrap();
        let (two, _) = decide("/src/two".into(), &given, |_| Ok(())).unwrap();
        assert_eq!(one.cache, two.cache);
        assert_ne!(one.target, two.target);
    }

    #[test]
    fn a_given_cache_wins_and_must_be_usable() {
        let given = Given {
            cache: Some("/big".into()),
            home: Some("/home/a".into()),
            ..Given::default()
        };
        let (places, note) = decide("/src".into(), &given, |_| Ok(())).unwrap();
        assert_eq!(places.cache, Path::new("/big"));
        assert_eq!(places.ccache.as_deref(), Some(Path::new("/big/ccache")));
        assert_eq!(note, None);

        let failure = decide("/src".into(), &given, denied)
            .unwrap_err()
            .to_string();
        assert!(failure.starts_with("cannot write to the folder of TIDESTONE_CACHE, /big: "));
    }

    #[test]
    fn without_a_home_everything_lies_in_the_checkout_and_that_is_said() {
        for (home, expected) in [
            (None, "HOME is not set"),
            (Some("/h"), "cannot write to /h/"),
        ] {
            let given = Given {
                home: home.map(PathBuf::from),
                ..Given::default()
            };
            let (places, note) = decide("/src".into(), &given, denied).unwrap();
            assert_eq!(places.cache, Path::new("/src/target"));
            assert_eq!(places.target, Path::new("/src/target"));
            assert!(note.unwrap().starts_with(expected));
        }
    }

    #[test]
    fn a_given_build_folder_is_kept() {
        let given = Given {
            home: Some("/home/a".into()),
            target: Some("/build".into()),
            ..Given::default()
        };
        let (places, _) = decide("/src".into(), &given, |_| Ok(())).unwrap();
        assert_eq!(places.cache, Path::new("/home/a/.cache/tidestone"));
        assert_eq!(places.target, Path::new("/build"));
    }

    #[test]
    fn a_folder_below_a_file_is_not_writable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(make_writable(&file.join("cache")).is_err());
        assert!(make_writable(&dir.path().join("a/b")).is_ok());
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 0);
    }
}
