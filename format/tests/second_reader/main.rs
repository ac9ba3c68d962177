//! A second reader of the files, written from `FORMAT.md` with nothing of this crate's decoders: what it
//! reads in the golden files is what the crate reads. Where it had to be told more than the document
//! says, the document would have a hole.
//!
//! It is slow, reads whole files only and goes by the document's words and order. `first` says what
//! the crate reads, for comparison.
#![expect(
    clippy::disallowed_methods,
    reason = "golden files are read here; the engine's door to files is not below"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "the lints know test functions, not the functions they call"
)]
#![expect(unreachable_pub, reason = "a test has no outside")]

mod changed;
mod codec;
mod first;
mod header;
mod input;
mod log;
mod manifest;
mod segment;
mod summaries;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tidestone_format::FieldType;
use tidestone_format::codec::vector::{Encoding, NullForm};
use tidestone_format::codec::{float, integer};
use tidestone_format::header::FileHeader;
use tidestone_format::log::FrameKind;
use tidestone_format::manifest::{EntryTag, Tier};
use tidestone_format::schema::{DuplicatePolicy, SchemaMode};
use tidestone_format::segment::RegionKind;
use tidestone_format::sharing::{LeaseRecord, Published};

use codec::pair;
use input::Seen;

/// The golden files, by name, and their bytes.
fn goldens() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let paths = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = paths.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let file = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap())
    };
    paths.into_iter().map(file).collect()
}

/// Reads a file with both readers and compares what they read.
fn compare(name: &str, file: &[u8], seen: &mut Seen) {
    match &file[..8] {
        b"TidestID" => {
            let decoded = FileHeader::decode(file).unwrap();
            assert_eq!(header::header(file), Ok(first::header(&decoded)), "{name}");
            assert_eq!(file.len(), 192, "{name}");
        }
        b"TidestLG" => {
            let second = log::log(file, seen);
            assert_eq!(second, Ok(first::log(file).unwrap()), "{name}");
        }
        b"TidestMF" => {
            let second = manifest::manifest(file, seen);
            assert_eq!(second, Ok(first::manifest(file).unwrap()), "{name}");
        }
        b"TidestSG" => {
            let second = segment::segment(file, seen);
            let second = second.unwrap_or_else(|e| panic!("{name}: {e}"));
            // Not `assert_eq`, which would show a megabyte.
            assert!(second == first::segment(file).unwrap(), "{name}");
            summaries::check(&second);
        }
        b"TidestPB" => {
            let Published {
                database,
                incarnation,
                boot,
                durable,
                version,
            } = Published::decode(file).unwrap();
            let expected = header::Published {
                database: database.0,
                incarnation: incarnation.0,
                boot: boot.0,
                durable_lsn: durable.0,
                version,
            };
            assert_eq!(header::published(file), Ok(expected), "{name}");
        }
        b"TidestLS" => {
            let LeaseRecord { database, version } = LeaseRecord::decode(file).unwrap();
            let database = database.0;
            let expected = header::Lease { database, version };
            assert_eq!(header::lease(file), Ok(expected), "{name}");
        }
        other => panic!("{name}: no reader of {}", other.escape_ascii()),
    }
}

#[test]
fn every_golden_file_is_read_alike() {
    let goldens = goldens();
    assert!(!goldens.is_empty());
    for (name, file) in goldens {
        compare(&name, &file, &mut Seen::new());
    }
}

/// Every id, form and flag, and what makes a reader go another way.
fn every_id() -> Seen {
    let encodings = Encoding::ALL.map(Encoding::tag);
    let types = FieldType::ALL.map(FieldType::tag);
    let policies = DuplicatePolicy::ALL.map(DuplicatePolicy::tag);
    let with_dictionary = [FieldType::F64.tag(), FieldType::String.tag()];
    let mut all = Seen::new();
    for (what, ids) in [
        ("field type", &types[..]),
        ("type in a batch", &types),
        ("null map in a batch", &[0, 1]),
        ("series form", &[0, 1]),
        ("frame kind", &FrameKind::ALL.map(FrameKind::tag)),
        ("entry tag", &EntryTag::ALL.map(EntryTag::tag)),
        ("selection", &[1, 2]),
        ("tier", &Tier::ALL.map(Tier::tag)),
        ("duplicate policy", &policies),
        ("duplicate policy of a segment", &policies),
        ("schema mode", &SchemaMode::ALL.map(SchemaMode::tag)),
        ("table flag 0", &[0, 1]),
        ("region kind", &RegionKind::ALL.map(RegionKind::tag)),
        ("encoding", &encodings),
        ("null form", &NullForm::ALL.map(NullForm::tag)),
        ("integer form", &integer::Form::ALL.map(integer::Form::tag)),
        ("float form", &float::Form::ALL.map(float::Form::tag)),
        ("text form", &[1, 2]),
        ("dictionary of type", &with_dictionary),
        ("statistics flag", &[0, 1, 2]),
        ("bytes of a patch", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("scaled", &[0, 1]),
        ("interleaved", &[0, 1]),
        ("width is 0", &[0, 1]),
        ("patched", &[0, 1]),
        ("exceptions of ALP", &[0, 1]),
    ] {
        all.extend(ids.iter().map(|&id| (what, u64::from(id))));
    }
    for encoding in Encoding::ALL {
        let tag = encoding.tag();
        let types = FieldType::ALL.into_iter().filter(|t| encoding.holds(*t));
        all.extend(types.map(|t| ("encoding of type", pair(tag, t.tag()))));
        let has_form = |form: &NullForm| encoding != Encoding::AllNull || *form == NullForm::None;
        let forms = NullForm::ALL.into_iter().filter(has_form);
        all.extend(forms.map(|f| ("encoding with null form", pair(tag, f.tag()))));
    }
    for of in with_dictionary {
        let lengths = [0, 1].map(|is_long| pair(is_long, of));
        all.extend(lengths.map(|id| ("long dictionary of type", id)));
    }
    all
}

/// So that no id is there of which nobody would notice that it is read differently.
#[test]
fn the_golden_files_use_every_id_of_the_format() {
    let mut seen = Seen::new();
    for (name, file) in goldens() {
        compare(&name, &file, &mut seen);
    }
    let all = every_id();
    let missing: BTreeSet<_> = all.difference(&seen).collect();
    assert!(missing.is_empty(), "in no golden file: {missing:?}");
    let unknown: BTreeSet<_> = seen.difference(&all).collect();
    assert!(
        unknown.is_empty(),
        "in a golden file, and not listed: {unknown:?}"
    );
}
