//! Where things lie: the checkout, the cache folder, the folder of build results.
//!
//! Every checkout has a build folder of its own below the cache. Cargo names the build results of
//! workspace packages by their place *within* the workspace and judges their age by file times,
//! so two checkouts that share a build folder are taken for each other, and the older one's code
//! can be tested in the name of the newer one. A file in the build folder names its checkout:
//! a foreign one is refused, and one whose checkout is gone is removed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, Result};
use crate::hash::fnv1a_hex;

/// Names, within a build folder, the checkout it belongs to.
const OWNER: &str = "tidestone-checkout";

/// Outside CI, how long the build folder of a vanished checkout is kept after its last use: the
/// checkout may lie on a disk that is not mounted just now.
const KEEP_ORPHANS: Duration = Duration::from_secs(24 * 60 * 60);

/// The folders that all tasks use.
#[derive(Debug)]
pub(crate) struct Places {
    /// The root of the workspace.
    pub(crate) checkout: PathBuf,
    /// What is kept between runs and shared by checkouts: RocksDB, tools.
    pub(crate) cache: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// Where ccache keeps its results, if not where it would by itself.
    pub(crate) ccache: Option<PathBuf>,
}

/// What the environment says about folders.
#[derive(Debug, Default, Clone)]
struct Given {
    cache: Option<PathBuf>,
    home: Option<PathBuf>,
    target: Option<PathBuf>,
}

impl Places {
    /// Finds the folders and makes the cache and build folders ready for use.
    pub(crate) fn find() -> Result<Self> {
        let manifest = set("CARGO_MANIFEST_DIR").ok_or_else(|| {
            Failure::new("CARGO_MANIFEST_DIR is not set: start this program as `cargo xtask`")
        })?;
        let root = Path::new(&manifest).join("../..");
        let checkout = root.canonicalize().map_err(Failure::at("find the checkout at", &root))?;
        let given = Given {
            cache: absolute("TIDESTONE_CACHE")?,
            home: absolute("HOME")?,
            target: match absolute("CARGO_TARGET_DIR")? {
                None => absolute("CARGO_BUILD_TARGET_DIR")?,
                target => target,
            },
        };
        let places = decide(checkout, &given, make_writable)?;
        if let Some(parent) = places.target.parent().filter(|_| given.target.is_none()) {
            remove_orphans(parent, if is_ci() { Duration::ZERO } else { KEEP_ORPHANS })?;
        }
        claim(&places.target, &places.checkout)?;
        Ok(places)
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
fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn absolute(name: &str) -> Result<Option<PathBuf>> {
    let Some(value) = set(name) else { return Ok(None) };
    let path = PathBuf::from(value);
    let path = std::path::absolute(&path).map_err(Failure::at("use the folder", &path))?;
    Ok(Some(path))
}

fn decide(
    checkout: PathBuf,
    given: &Given,
    mut make: impl FnMut(&Path) -> io::Result<()>,
) -> Result<Places> {
    let in_home = given.home.as_ref().map(|home| home.join(".cache").join("tidestone"));
    let shared = match (&given.cache, in_home) {
        (Some(cache), _) => {
            make(cache).map_err(Failure::at("write to the folder of TIDESTONE_CACHE,", cache))?;
            Some(cache.clone())
        }
        (None, Some(cache)) => match make(&cache) {
            Ok(()) => Some(cache),
            Err(error) => {
                eprintln!(
                    "xtask: cannot write to {}: {error}; using the checkout's target folder",
                    cache.display()
                );
                None
            }
        },
        (None, None) => None,
    };
    let own = checkout.join("target");
    let target = match (&given.target, &shared) {
        (Some(target), _) => target.clone(),
        (None, Some(cache)) => {
            let name = fnv1a_hex([checkout.as_os_str().as_encoded_bytes()]);
            cache.join("target").join(name)
        }
        (None, None) => own.clone(),
    };
    let cache = shared.unwrap_or(own);
    let ccaches_own = given.cache.is_none() && Some(&cache) != checkout_target(&checkout).as_ref();
    let ccache = (!ccaches_own).then(|| cache.join("ccache"));
    Ok(Places { checkout, cache, target, ccache })
}

fn checkout_target(checkout: &Path) -> Option<PathBuf> {
    Some(checkout.join("target"))
}

/// Makes the folder and shows by a file that it can be written to.
fn make_writable(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let probe = dir.join(format!("probe-{}", std::process::id()));
    fs::write(&probe, b"")?;
    fs::remove_file(&probe)
}
