//! RocksDB, compiled once.
//!
//! The build script of `librocksdb-sys` compiles RocksDB anew for every profile and every build
//! folder, a quarter of an hour each time, unless `ROCKSDB_LIB_DIR` names a folder with the
//! library. So the library is built once by that same build script, with the features of the
//! locked workspace, and kept in the cache under a name made from all that its contents depend
//! on. `inputs.txt` beside it holds that in words.
//!
//! Compiler flags count as far as they come from the environment, where the build script and the
//! `cc` crate read them; it builds for the machine it runs on only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::environment;
use crate::failure::{Failure, Result};
use crate::hash::fnv1a_hex;
use crate::lock;
use crate::places::{Places, set};
use crate::shell::{self, Shell};

const CRATE: &str = "librocksdb-sys";
const LIBRARY: &str = "librocksdb.a";
const INPUTS: &str = "inputs.txt";

/// Where the build script looks for a built library, and whether it is a static one.
const LIB_DIR: &str = "ROCKSDB_LIB_DIR";
const STATIC: &str = "ROCKSDB_STATIC";

/// Variables from which the build script takes flags.
const FLAGS: [&str; 6] = [
    "CXXFLAGS",
    "CFLAGS",
    "ROCKSDB_CXX_STD",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
];

/// Makes cargo link the kept library, which is built first if it is not there yet.
///
/// A library that the caller chose by `ROCKSDB_LIB_DIR` is used as it is.
pub(crate) fn provide(places: &Places, shell: &mut Shell) -> Result<()> {
    // One within the cache is what `cargo xtask env` printed, maybe before a change of version.
    let chosen = set(LIB_DIR)
        .map(PathBuf::from)
        .filter(|dir| !dir.starts_with(&places.cache));
    if let Some(chosen) = chosen {
        eprintln!(
            "xtask: using the RocksDB of {LIB_DIR}, {}",
            chosen.display()
        );
        return Ok(());
    }
    let inputs = inputs(shell)?;
    let dir = places.cache.join(folder_name(&inputs)?);
    if !is_built(&dir)? {
        build(places, shell, &inputs, &dir)?;
    }
    shell.set(LIB_DIR, dir);
    shell.set(STATIC, "1");
    Ok(())
}

/// All that the library's contents depend on, one per line.
fn inputs(shell: &Shell) -> Result<String> {
    let args = [
        "tree",
        "--locked",
        "--package",
        CRATE,
        "--depth",
        "0",
        "--prefix",
        "none",
    ];
    let locked = shell::output(shell.cargo().args(args).args(["--format", "{p} {f}"]))?;
    let compiler = environment::cxx(shell);
    let (program, flags) = compiler
        .split_first()
        .ok_or_else(|| Failure::new("CXX is empty"))?;
    let mut inputs = format!("{}\n{}\n", first_line(&locked), compiler.join(" "));
    for question in ["--version", "-dumpmachine"] {
        let answer = shell::output(shell.command(program).args(flags).arg(question))?;
        inputs += &format!("{}\n", first_line(&answer));
    }
    for name in FLAGS {
        if let Some(value) = set(name) {
            inputs += &format!("{name}={}\n", value.to_string_lossy());
        }
    }
    Ok(inputs)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// `rocksdb-VERSION-HASH`, where the inputs start with the line "librocksdb-sys vVERSION FEATURES".
fn folder_name(inputs: &str) -> Result<String> {
    let mut words = first_line(inputs).split_whitespace();
    match (
        words.next(),
        words.next().and_then(|word| word.strip_prefix('v')),
    ) {
        (Some(CRATE), Some(version)) => Ok(format!(
            "rocksdb-{version}-{}",
            fnv1a_hex([inputs.as_bytes()])
        )),
        _ => Err(Failure::new(format!(
            "`cargo tree --package {CRATE}` printed \"{}\", not name, version and features",
            first_line(inputs)
        ))),
    }
}

fn is_built(dir: &Path) -> Result<bool> {
    let library = dir.join(LIBRARY);
    library
        .try_exists()
        .map_err(Failure::at("see whether there is", &library))
}

/// Builds the library and puts it into `dir`; one process at a time, the others wait for it.
fn build(places: &Places, shell: &Shell, inputs: &str, dir: &Path) -> Result<()> {
    let _lock = lock::hold(&places.cache, "rocksdb")?;
    if is_built(dir)? {
        return Ok(());
    }
    eprintln!("xtask: building RocksDB once, which takes about 15 minutes on two cores");
    let scratch = places.cache.join("rocksdb-build");
    remove(&scratch)?;
    let mut shell = shell.clone();
    shell.set("CARGO_TARGET_DIR", &scratch);
    // Without this the build script would ask for debug information: ten times the size.
    shell.set("CARGO_PROFILE_RELEASE_DEBUG", "false");
    let args = ["build", "--locked", "--release", "--package", CRATE];
    shell::run_quiet(
        shell
            .cargo()
            .args(args)
            .env_remove(LIB_DIR)
            .env_remove(STATIC),
    )?;
    keep(&built(&scratch)?, inputs, dir)?;
    remove(&scratch)
}

/// Finds the library that the build script made.
fn built(scratch: &Path) -> Result<PathBuf> {
    let builds = scratch.join("release").join("build");
    for entry in fs::read_dir(&builds).map_err(Failure::at("list", &builds))? {
        let entry = entry.map_err(Failure::at("list", &builds))?;
        let library = entry.path().join("out").join(LIBRARY);
        let ours = entry.file_name().to_string_lossy().starts_with(CRATE);
        if ours
            && library
                .try_exists()
                .map_err(Failure::at("look for", &library))?
        {
            return Ok(library);
        }
    }
    Err(Failure::new(format!(
        "the build of {CRATE} left no out/{LIBRARY} in {}: if CARGO_BUILD_TARGET is set, unset it; \
         otherwise build RocksDB yourself and name its folder in {LIB_DIR}",
        builds.display()
    )))
}

/// Puts a copy of the library and the inputs into `dir`, all or nothing.
fn keep(library: &Path, inputs: &str, dir: &Path) -> Result<()> {
    let unfinished = dir.with_added_extension("unfinished");
    remove(&unfinished)?;
    fs::create_dir_all(&unfinished).map_err(Failure::at("make", &unfinished))?;
    let copy = unfinished.join(LIBRARY);
    fs::copy(library, &copy).map_err(Failure::at("copy the built RocksDB to", &copy))?;
    let text = unfinished.join(INPUTS);
    fs::write(&text, inputs).map_err(Failure::at("write", &text))?;
    fs::rename(&unfinished, dir).map_err(Failure::at("move the built RocksDB to", dir))
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::at("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_version_and_depends_on_every_input() {
        let inputs = "librocksdb-sys v0.19.0+11.8.1 bindgen-runtime,static\ng++ 12\n";
        let name = folder_name(inputs).unwrap();
        assert!(name.starts_with("rocksdb-0.19.0+11.8.1-"), "{name}");
        for other in [
            inputs.replace("static", "static,zstd"),
            inputs.replace("12", "13"),
        ] {
            assert_ne!(folder_name(&other).unwrap(), name);
        }
    }

    #[test]
    fn an_unknown_answer_of_cargo_is_an_error() {
        for answer in [
            "",
            "librocksdb-sys",
            "librocksdb-sys 0.19.0",
            "rocksdb v0.25.0",
        ] {
            let failure = folder_name(answer).unwrap_err().to_string();
            assert!(
                failure.contains(&format!("printed \"{answer}\"")),
                "{failure}"
            );
        }
    }

    #[test]
    fn the_library_is_found_and_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let builds = dir.path().join("release/build");
        fs::create_dir_all(builds.join("librocksdb-sys-0001")).unwrap();
        fs::create_dir_all(builds.join("zstd-sys-0001/out")).unwrap();
        assert!(
            built(dir.path())
                .unwrap_err()
                .to_string()
                .contains("left no out/librocksdb.a")
        );

        let out = builds.join("librocksdb-sys-0002/out");
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join(LIBRARY), b"code").unwrap();
        assert_eq!(built(dir.path()).unwrap(), out.join(LIBRARY));

        let kept = dir.path().join("rocksdb-1.2.3-00");
        fs::create_dir_all(dir.path().join("rocksdb-1.2.3-00.unfinished/x")).unwrap();
        assert!(!is_built(&kept).unwrap());
        keep(&out.join(LIBRARY), "inputs", &kept).unwrap();
        assert!(is_built(&kept).unwrap());
        assert_eq!(fs::read(kept.join(LIBRARY)).unwrap(), b"code");
        assert_eq!(fs::read_to_string(kept.join(INPUTS)).unwrap(), "inputs");
        assert!(!dir.path().join("rocksdb-1.2.3-00.unfinished").exists());
    }
}
