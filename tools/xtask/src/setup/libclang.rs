//! Looking for libclang where the bindings generator of RocksDB looks for it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::places::set;
use crate::shell::{self, Shell};

/// Folders that may hold libclang, with `*` for any part of one name.
const FOLDERS: [&str; 9] = [
    "/usr/lib/llvm-*/lib",
    "/usr/lib/*-linux-gnu",
    "/usr/lib64/llvm*/lib64",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/llvm*/lib",
    "/usr/local/lib*",
    "/opt/homebrew/opt/llvm/lib",
    "/Library/Developer/CommandLineTools/usr/lib",
];

/// The folder that holds libclang, or none.
pub(super) fn find(shell: &Shell) -> Option<PathBuf> {
    let mut folders = Vec::new();
    if let Some(path) = set("LIBCLANG_PATH").map(PathBuf::from) {
        folders.extend(
            path.parent()
                .map(Path::to_path_buf)
                .filter(|_| path.is_file()),
        );
        folders.push(path);
    }
    if let Some(answer) = shell::probe(shell.command("llvm-config").arg("--libdir")) {
        folders.push(PathBuf::from(answer.trim()));
    }
    folders.extend(set("LD_LIBRARY_PATH").iter().flat_map(env::split_paths));
    folders.extend(FOLDERS.iter().flat_map(|pattern| expand(pattern)));
    folders
        .into_iter()
        .find(|folder| names(folder).iter().any(|name| is_libclang(name)))
}

/// The folders that a pattern stands for.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        folders = match part.split_once('*') {
            None => folders.iter().map(|folder| folder.join(part)).collect(),
            Some((start, end)) => folders
                .iter()
                .flat_map(|folder| {
                    names(folder)
                        .into_iter()
                        .map(|name| (folder.join(&name), name))
                })
                .filter(|(_, name)| {
                    name.strip_prefix(start)
                        .is_some_and(|rest| rest.ends_with(end))
                })
                .map(|(folder, _)| folder)
                .collect(),
        };
    }
    folders
}

/// The names in a folder; one that is not there or cannot be listed holds nothing of use.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Whether a file of this name is the C interface of clang, and not one of its C++ libraries.
fn is_libclang(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else {
        return false;
    };
    let rest = rest.trim_start_matches(|c: char| c == '-' || c == '.' || c.is_ascii_digit());
    // The dot before the suffix is gone with the digits.
    rest == "so" || rest.starts_with("so.") || rest == "dylib"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_library() {
        for name in [
            "libclang.so",
            "libclang.so.1",
            "libclang-14.so",
            "libclang-14.so.14.0.6",
            "libclang.so.18.1",
            "libclang.dylib",
        ] {
            assert!(is_libclang(name), "{name}");
        }
        for name in [
            "libclang-cpp.so.14",
            "libclangAST.a",
            "libclang.a",
            "libclang_rt.so",
            "clang.so",
            "libclang",
            "libclang.soup",
        ] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    fn a_star_stands_for_part_of_one_name() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["llvm-14/lib", "llvm-9/lib", "llvm/lib", "other/lib"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let mut found = expand(&format!("{}/llvm-*/lib", dir.path().display()));
        found.sort();
        assert_eq!(
            found,
            [
                dir.path().join("llvm-14/lib"),
                dir.path().join("llvm-9/lib")
            ]
        );
        assert_eq!(expand("/no such folder/*/lib"), Vec::<PathBuf>::new());
    }
}
