//! Reading every byte of a database.
//!
//! | file | what |
//! |---|---|
//! | `mod` | identity, manifest, log, and whether they belong together |
//! | `segment` | segments, and whether they are the ones the manifest means |
//! | `index` | whether the index says what the segments say |
//! | `beside` | what can be read of all that while another process writes |

mod beside;
mod index;
mod segment;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN, Specific};
use tidestone_format::log::{FrameCursor, LogIdentity, Record};
use tidestone_format::manifest::{Replay, State};
use tidestone_format::{FileUuid, FormatError, FormatErrorKind, Lsn};

use super::identity::bytes_behind;
use super::{Damage, FileReport, NotRead, VerifyReport};
use crate::config::ReadMode;
use crate::db::Builder;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{self, Disk};
use crate::recover::{self, Given};
use crate::sharing::{Lease, Tries};
use crate::store::{
    Folders, check_manifest_number, find_strays, newest_manifest, place_of, read_manifest,
};
use crate::wal;

/// Carries out [`Builder::verify`].
pub(super) fn verify(builder: &Builder) -> Result<VerifyReport> {
    let folders = Folders::new(&builder.path);
    let disk = &builder.components.disk;
    let mut verifier = Verifier {
        disk: disk.clone(),
        read_mode: builder.options.read_mode,
        folders: folders.clone(),
        report: VerifyReport::default(),
    };
    let database = match recover::identity(&**disk, &folders) {
        Err(error) if !is_damage(&error) => return Err(error),
        Err(error) if disk.open(&folders.identity()).is_err() => {
            verifier.lost_identity(&error);
            None
        }
        _ => verifier.identity(),
    };
    let named = database.map(|database| Named {
        database,
        by: "IDENTITY",
    });
    // What a newer version makes of log and index is not known.
    let is_newer = !verifier.report.is_damaged() && !verifier.report.damage.is_empty();
    let random = &*builder.components.random;
    let mut tries = Tries::start(&*builder.components.clock);
    let lock = loop {
        match disk.open_write(&folders.lock()) {
            // Nobody holds a lock that is not there, and taking it would make its file.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => break None,
            Err(e) if is_write_protected(&e) => {
                verifier.without_lock(e)?;
                break None;
            }
            _ => {}
        }
        let locked = match (recover::lock(&**disk, &folders), database) {
            (Err(error), Some(_)) if error.kind() == ErrorKind::Locked => error,
            (lock, _) => break Some(lock?),
        };
        let found = verifier.report.clone();
        if let Some(database) = database
            && verifier.beside_writer(database, random, &locked)?
        {
            return Ok(verifier.report);
        }
        // It has just begun, or is another that verifies and soon lets go.
        verifier.report = found;
        if !tries.again() {
            return Err(locked);
        }
    };
    let manifest = verifier.manifest(named)?;
    // Where IDENTITY does not say which database this is, the manifest does.
    let by_manifest = manifest.as_ref().map(|(header, _)| Named {
        database: header.database,
        by: "the manifest",
    });
    let named = named.or(by_manifest);
    let headless = verifier.log_files(named)?;
    let mut unused = Vec::new();
    if let (Some((_, replayed)), Some(named)) = (&manifest, named) {
        let state = &replayed.state;
        verifier.strays(state, named.database)?;
        if !is_newer {
            unused = verifier.log_as_a_whole(state, named.database)?;
            // One that is kept in memory is made anew whenever the database is opened.
            if !builder.components.index_in_memory {
                verifier.index(replayed, named.database)?;
            }
        } else {
            verifier.not_read("index", "a newer version made the database");
        }
        // The segments are nearly all there is to read, and a lease keeps them: nobody who wants to write is to
        // wait for that. Where none can be had the lock is kept.
        let lease = Lease::take(disk, random, &folders.readers(), named.database);
        let lease = lease.and_then(|lease| lease.pin(replayed.version).map(|()| lease));
        let lock = if lease.is_ok() {
            drop(lock);
            None
        } else {
            lock
        };
        verifier.segments(state, named);
        drop((lease, lock));
    } else {
        verifier.not_read_without_manifest();
    }
    verifier.headless(headless, &unused);
    Ok(verifier.report)
}

/// Which database the files are to be of, and what says so.
#[derive(Debug, Clone, Copy)]
struct Named {
    database: FileUuid,
    by: &'static str,
}

impl Named {
    /// What is wrong with a file whose header is sound.
    fn differs(self, header: &FileHeader) -> Option<FormatError> {
        let Self { database, by } = self;
        (header.database != database).then(|| {
            let expected = format_args!("database {database}, as {by} says");
            FormatError::invalid("file header", 24, expected, header.database)
        })
    }
}

/// Whether a file may be read and not written.
fn is_write_protected(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

/// Whether an error is about bytes, damaged or of a newer version, not about getting at them.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported)
}

struct Verifier {
    disk: Arc<dyn Disk>,
    read_mode: ReadMode,
    folders: Folders,
    report: VerifyReport,
}

impl Verifier {
    fn damaged(&mut self, path: &Path, error: &FormatError) {
        self.report.damage.push(Damage {
            path: path.to_owned(),
            offset: Some(error.offset),
            what: error.to_string(),
            newer: error.kind == FormatErrorKind::Unsupported,
        });
    }

    fn note(&mut self, path: &Path, what: impl std::fmt::Display) {
        let path = path.display();
        self.report.notes.push(format!("{path}: {what}"));
    }

    fn not_read(&mut self, kind: &'static str, why: impl std::fmt::Display) {
        let why = why.to_string();
        self.report.not_read.push(NotRead { kind, why });
    }

    /// Takes note of what nothing can be said about where the manifest is not readable.
    fn not_read_without_manifest(&mut self) {
        self.not_read("segment", "the manifest, which names them, is not readable");
        self.not_read(
            "index",
            "the manifest, which it is compared with, is not readable",
        );
    }

    /// The bytes of a file. That it cannot be read is damage.
    fn read(&mut self, path: &Path, kind: &'static str, rows: Option<u64>) -> Option<Vec<u8>> {
        let read = self.disk.open(path).and_then(|f| io::read_all(&*f));
        self.report.files.push(FileReport {
            path: path.to_owned(),
            kind,
            bytes: read.as_ref().map_or(0, |bytes| bytes.len() as u64),
            rows,
        });
        match read {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let error = FormatError::invalid(kind, 0, "a file that can be read", error);
                self.damaged(path, &error);
                None
            }
        }
    }

    /// The header of a file, if it is sound.
    fn header(
        &mut self,
        path: &Path,
        bytes: &[u8],
        kind: FileKind,
        named: Option<Named>,
    ) -> Option<FileHeader> {
        match FileHeader::decode_kind(bytes, kind) {
            Ok(header) => {
                if let Some(error) = named.and_then(|named| named.differs(&header)) {
                    self.damaged(path, &error);
                }
                Some(header)
            }
            Err(error) => {
                self.damaged(path, &error);
                None
            }
        }
    }

    fn identity(&mut self) -> Option<FileUuid> {
        let path = self.folders.identity();
        let bytes = self.read(&path, "identity", None)?;
        if let Some(error) = bytes_behind(&bytes) {
            self.damaged(&path, &error);
        }
        let header = self.header(&path, &bytes, FileKind::Identity, None);
        header.map(|header| header.database)
    }

    /// Reads on without the lock, which needs permission to write, if nobody holds it.
    fn without_lock(&mut self, denied: std::io::Error) -> Result<()> {
        let path = self.folders.lock();
        let is_locked = self.disk.is_locked(&path);
        if is_locked.map_err(|e| Error::io("look for a writer", &path, e))? {
            return Err(Error::io("lock the database", &path, denied));
        }
        let note = "it may not be written to and so was not locked: what another process writes \
                    meanwhile may look like damage";
        self.note(&path, note);
        Ok(())
    }

    /// Takes note that the other files of a database are there without one.
    fn lost_identity(&mut self, error: &Error) {
        let path = self.folders.identity();
        self.report.damage.push(Damage::of(error, &path));
        self.report.files.push(FileReport {
            path,
            kind: "identity",
            bytes: 0,
            rows: None,
        });
    }

    fn manifest(&mut self, named: Option<Named>) -> Result<Option<(FileHeader, Replay)>> {
        let (number, path) = match newest_manifest(&*self.disk, &self.folders.manifest()) {
            Ok(newest) => newest,
            Err(error) if is_damage(&error) => {
                let folder = self.folders.manifest();
                self.report.damage.push(Damage::of(&error, &folder));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Some(bytes) = self.read(&path, "manifest", None) else {
            return Ok(None);
        };
        let Some(header) = self.header(&path, &bytes, FileKind::Manifest, named) else {
            return Ok(None);
        };
        if let Err(error) = check_manifest_number(&path, &header, number) {
            self.report.damage.push(Damage::of(&error, &path));
        }
        match read_manifest(&path, &bytes) {
            Ok((header, replay)) => {
                if let Some(torn) = &replay.torn {
                    self.note(
                        &path,
                        format_args!("the last edit was never synced: {torn}"),
                    );
                }
                Ok(Some((header, replay)))
            }
            Err(error) => {
                self.report.damage.push(Damage::of(&error, &path));
                Ok(None)
            }
        }
    }

    /// Each log file by itself: its header, and what the frames up to the first that is not there hold. Those
    /// whose headers are not sound are returned: whether they are damaged the log as a whole tells.
    fn log_files(&mut self, named: Option<Named>) -> Result<Vec<(PathBuf, FormatError)>> {
        let mut headless = Vec::new();
        let folder = self.folders.wal();
        let list = self.disk.list(&folder);
        let list = list.map_err(|e| Error::io("list the log folder", &folder, e))?;
        let files = list.iter().filter(|e| wal::number_of(&e.name).is_some());
        for path in files
            .map(|e| folder.join(&e.name))
            .collect::<Vec<PathBuf>>()
        {
            let len = self.disk.open(&path).and_then(|file| file.len());
            if let Some(flaw) = len.ok().and_then(|len| wal::too_long(&path, len)) {
                self.report.damage.push(Damage::of(&flaw.error(), &path));
                self.report.files.push(FileReport {
                    path,
                    kind: "log",
                    bytes: 0,
                    rows: None,
                });
                continue;
            }
            let Some(bytes) = self.read(&path, "log", None) else {
                continue;
            };
            if bytes.iter().take(HEADER_LEN).all(|&b| b == 0) {
                // Made ahead of its use.
                continue;
            }
            let header = match FileHeader::decode_kind(&bytes, FileKind::Log) {
                Err(error) if error.kind != FormatErrorKind::Unsupported => {
                    headless.push((path, error));
                    continue;
                }
                _ => self.header(&path, &bytes, FileKind::Log, named),
            };
            let Some(header) = header else {
                continue;
            };
            let first = match header.specific {
                Specific::Log(log) => log.first_lsn,
                _ => Lsn(1),
            };
            let file = LogIdentity {
                incarnation: header.file,
                file_number: header.number,
            };
            for frame in FrameCursor::new(&bytes, file, first) {
                self.report.frames += 1;
                if let Err(error) = Record::decode(frame.header.kind, frame.payload) {
                    self.damaged(&path, &error.at_base(frame.payload_offset()));
                }
            }
        }
        Ok(headless)
    }

    /// Takes note of log files without a sound header: one of which nothing is used was made ahead, or its header
    /// was being written when the power failed. Any other is damaged.
    fn headless(&mut self, files: Vec<(PathBuf, FormatError)>, unused: &[PathBuf]) {
        for (path, error) in files {
            if unused.contains(&path) {
                let what = format_args!(
                    "{error}; nothing of it is used, and the next open for writing removes it, or uses it again"
                );
                self.note(&path, what);
                continue;
            }
            let what = error.to_string();
            let told = |d: &Damage| d.path == path && d.what == what;
            if !self.report.damage.iter().any(told) {
                self.damaged(&path, &error);
            }
        }
    }

    /// All log files together, which tell where the log ends: as opening the database reads them. Returns those of
    /// which nothing is used.
    fn log_as_a_whole(&mut self, state: &State, database: FileUuid) -> Result<Vec<PathBuf>> {
        let folder = self.folders.wal();
        let given = Given::of(state);
        let mut unused_files = Vec::new();
        let replayed = wal::replay(
            &wal::LogFiles {
                disk: &*self.disk.clone(),
                dir: &folder,
                database,
                incarnation: state.incarnation(),
                mapped: self.read_mode.maps(),
            },
            state.flushed(),
            wal::Missing::Refused,
            |frame| given.check_frame(frame),
        );
        match replayed {
            Ok(replayed) => {
                let unused = replayed.unused.iter();
                unused_files = unused
                    .map(|&number| wal::path_of(&folder, number))
                    .collect();
                for over in replayed.stepped_over {
                    let (from, to) = (over.lsns.start(), over.lsns.end());
                    self.report.damage.push(Damage {
                        path: over.path,
                        offset: Some(over.offset),
                        what: format!(
                            "LSN {from} to {to} are not readable; nothing is lost: they were flushed, and the next open for \
                             writing leaves them behind (`tidestone flush`)"
                        ),
                        newer: false,
                    });
                }
                if let Some(tail) = replayed.tail {
                    self.report.notes.push(format!(
                        "the log ends with an unsynced tail in file {} at offset {}: {}",
                        tail.file, tail.offset, tail.why
                    ));
                }
            }
            Err(error) if is_damage(&error) => {
                let damage = Damage::of(&error, &folder);
                if !self.report.damage.contains(&damage) {
                    self.report.damage.push(damage);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(unused_files)
    }

    /// Notes segment files that no manifest names, of a database that nobody writes to, unless they tell
    /// that its last edits are missing.
    fn strays(&mut self, state: &State, database: FileUuid) -> Result<()> {
        let given = Given::of(state);
        let folder = self.folders.segments();
        let live = state.segments().values().map(|e| place_of(&folder, e));
        let strays = find_strays(&*self.disk, &folder, live)?;
        let what = match strays.missing.is_empty() {
            true => "no manifest names it; the next open removes it",
            false => {
                "no manifest names it; it is kept while a segment is missing, whose rows it may have been \
                 merged from, and `tidestone repair` moves it to lost/"
            }
        };
        for file in strays.files {
            match given.check_stray(&*self.disk, &file, database) {
                Ok(()) => self.note(&file, what),
                Err(error) if is_damage(&error) => {
                    self.report.damage.push(Damage::of(&error, &file));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
