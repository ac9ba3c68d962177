//! Verifying beside a process that writes: what a reader would see, under a reader's lease.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tidestone_format::log::Record;
use tidestone_format::manifest::{Replay, State};
use tidestone_format::{FileUuid, Lsn};

use super::{Damage, FileReport, Named, Verifier, is_damage};
use crate::error::{Error, ErrorKind, Result};
use crate::random::Random;
use crate::sharing::{self, Lease};
use crate::store::Manifest;
use crate::wal::{Followed, Follower, LogFiles, path_of};

/// How often it starts over when the writer was quicker.
const ATTEMPTS: usize = 16;

/// How an attempt ended.
enum Attempt {
    Done,
    /// The writer was quicker.
    Overtaken,
    /// Who has the lock publishes nothing.
    Silent,
}

impl Verifier {
    /// Reads what is durable: the manifest, the segments that it names, and the log behind them. `false`: who has
    /// the lock publishes nothing, be it that it is no writer or has just begun.
    ///
    /// # Errors
    /// `locked`, if no lease can be had: without one files may go while they are read.
    pub(super) fn beside_writer(
        &mut self,
        database: FileUuid,
        random: &dyn Random,
        locked: &Error,
    ) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            let report = self.report.clone();
            match self.attempt(database, random, locked)? {
                Attempt::Done => return Ok(true),
                Attempt::Silent => return Ok(false),
                Attempt::Overtaken => self.report = report,
            }
        }
        let message = "the writer was always quicker; try again, or close the database there";
        Err(Error::new(ErrorKind::Busy, message).with_path(&self.folders.root))
    }

    fn attempt(
        &mut self,
        database: FileUuid,
        random: &dyn Random,
        locked: &Error,
    ) -> Result<Attempt> {
        let (disk, readers) = (self.disk.clone(), self.folders.readers());
        let lease = Lease::take(&disk, random, &readers, database).map_err(|e| {
            let message = format!("{locked}; nor can it be verified beside that process: {e}");
            Error::new(ErrorKind::Locked, message)
        })?;
        let Some(published) = sharing::look(&*disk, &readers, database)? else {
            return Ok(Attempt::Silent);
        };
        let named = Named {
            database,
            by: "IDENTITY",
        };
        let Some((_, Replay { state, .. })) = self.manifest(Some(named))? else {
            // It may have been written anew under another name meanwhile.
            let newest = Manifest::open_read_only(disk, &self.folders.manifest(), database);
            self.not_read(
                "log",
                "the manifest, which says where it starts, is not readable",
            );
            self.not_read_without_manifest();
            return Ok(match newest {
                Err(_) => Attempt::Done,
                Ok(_) => Attempt::Overtaken,
            });
        };
        if published.incarnation != state.incarnation() {
            return Ok(Attempt::Silent);
        }
        lease.pin(published.version)?;
        self.report.notes.clear();
        self.note(
            &self.folders.root.clone(),
            "another process writes to it: what was durable was read",
        );
        self.not_read(
            "index",
            "another process has it open, and it may lag behind the segments there",
        );
        self.segments(&state, named);
        match self.log_beside_writer(&state, published.durable, database)? {
            true => Ok(Attempt::Done),
            false => Ok(Attempt::Overtaken),
        }
    }

    /// Reads the log behind what is in segments, up to `durable`. `false`: the writer was quicker.
    fn log_beside_writer(
        &mut self,
        state: &State,
        durable: Lsn,
        database: FileUuid,
    ) -> Result<bool> {
        let (disk, wal) = (self.disk.clone(), self.folders.wal());
        let flushed = state.flushed();
        let files = LogFiles {
            disk: &*disk,
            dir: &wal,
            database,
            incarnation: state.incarnation(),
            mapped: false,
        };
        let mut found: Vec<Damage> = Vec::new();
        let mut frames = 0;
        // Of each log file: the bytes of its frames that were read.
        let mut bytes: BTreeMap<PathBuf, u64> = BTreeMap::new();
        let read = Follower::start(&files, flushed).and_then(|place| {
            let Some(mut place) = place else {
                let next = Lsn(flushed.0 + 1);
                return Ok(Followed::Gone {
                    next,
                    path: wal.clone(),
                });
            };
            place.read(&files, flushed, durable, |frame| {
                let path = path_of(&wal, frame.header.file_number);
                frames += 1;
                if let Err(error) = Record::decode(frame.header.kind, frame.payload) {
                    let error = Error::format(&path, error.at_base(frame.payload_offset()));
                    found.push(Damage::of(&error, &path));
                }
                *bytes.entry(path).or_default() += frame.end() - frame.offset;
                Ok(())
            })
        });
        let gone = match read {
            Ok(Followed::All) => None,
            Ok(Followed::Gone { next, path }) => Some(Damage {
                path,
                offset: None,
                what: format!("LSN {next} was published as durable and is not readable"),
                newer: false,
            }),
            Err(error) if is_damage(&error) => Some(Damage::of(&error, &wal)),
            Err(error) => return Err(error),
        };
        if let Some(gone) = gone {
            let newest = Manifest::open_read_only(disk, &self.folders.manifest(), database)?;
            if newest.state().flushed() > flushed {
                return Ok(false);
            }
            found.push(gone);
        }
        // One of which nothing was readable is told too: damage is that of a file.
        let damaged = found.iter().map(|damage| &damage.path);
        for path in damaged.filter(|path| **path != wal) {
            bytes.entry(path.clone()).or_default();
        }
        let kind = "log";
        // A writer that was closed leaves a note, which is durable and of which no segment has anything.
        match bytes.is_empty() && found.is_empty() {
            true => self.not_read(kind, "everything that is durable is in segments"),
            false => self.not_read(
                kind,
                format_args!(
                    "all but LSN {} to {durable}: what is older is in segments, and what is newer is not \
                     durable yet",
                    flushed.0 + 1
                ),
            ),
        }
        let reports = bytes.into_iter().map(|(path, bytes)| FileReport {
            path,
            kind,
            bytes,
            rows: None,
        });
        self.report.files.extend(reports);
        self.report.frames += frames;
        self.report.damage.append(&mut found);
        Ok(true)
    }
}
