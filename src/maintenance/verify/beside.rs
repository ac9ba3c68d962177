//! Verifying beside a process that writes: what a reader would see, under a reader's lease.

use tidestone_format::log::Record;
use tidestone_format::manifest::Replay;
use tidestone_format::{FileUuid, Lsn};

use super::{Damage, Named, Verifier, is_damage};
use crate::error::{Error, ErrorKind, Result};
use crate::random::Random;
use crate::sharing::{self, Lease};
use crate::store::Manifest;
use crate::wal::{Followed, Follower, LogFiles};

/// How often it starts over when the writer was quicker.
const ATTEMPTS: usize = 16;

impl Verifier {
    /// Reads what is durable: the manifest, the segments that it names, and the log behind them.
    ///
    /// # Errors
    /// `locked`, if no lease can be had: without one files may go while they are read.
    pub(super) fn beside_writer(
        &mut self,
        database: FileUuid,
        random: &dyn Random,
        locked: &Error,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let report = self.report.clone();
            if self.attempt(database, random, locked)? {
                return Ok(());
            }
            self.report = report;
        }
        let message = "the writer was always quicker; try again, or close the database there";
        Err(Error::new(ErrorKind::Busy, message).with_path(&self.folders.root))
    }

    /// `false`: the writer was quicker.
    fn attempt(&mut self, database: FileUuid, random: &dyn Random, locked: &Error) -> Result<bool> {
        let (disk, readers) = (self.disk.clone(), self.folders.readers());
        let lease = Lease::take(&disk, random, &readers, database).map_err(|e| {
            let message = format!("{locked}; nor can it be verified beside that process: {e}");
            Error::new(ErrorKind::Locked, message)
        })?;
        let Some(published) = sharing::look(&*disk, &readers, database)? else {
            // It has just taken the lock, or is a writer that publishes nothing.
            return Err(locked.clone());
        };
        let named = Named {
            database,
            by: "IDENTITY",
        };
        let Some((_, Replay { state, .. })) = self.manifest(Some(named))? else {
            // It may have been written anew under another name meanwhile.
            let newest = Manifest::open_read_only(disk, &self.folders.manifest(), database);
            return Ok(newest.is_err());
        };
        if published.incarnation != state.incarnation() {
            return Err(locked.clone());
        }
        lease.pin(published.version)?;
        self.report.notes.clear();
        self.note(
            &self.folders.root.clone(),
            "another process writes to it: what was durable was read, and not its index",
        );
        self.segments(&state, named)?;
        let wal = self.folders.wal();
        let files = LogFiles {
            disk: &*disk,
            dir: &wal,
            database,
            incarnation: state.incarnation(),
            mapped: false,
        };
        let (flushed, durable) = (state.flushed(), published.durable);
        let mut found: Vec<Damage> = Vec::new();
        let mut frames = 0;
        let read = Follower::start(&files, flushed).and_then(|place| {
            let Some(mut place) = place else {
                let next = Lsn(flushed.0 + 1);
                return Ok(Followed::Gone {
                    next,
                    path: wal.clone(),
                });
            };
            place.read(&files, flushed, durable, |frame| {
                frames += 1;
                if let Err(error) = Record::decode(frame.header.kind, frame.payload) {
                    let error = Error::format(&wal, error.at_base(frame.payload_offset()));
                    found.push(Damage::of(&error, &wal));
                }
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
        self.report.frames += frames;
        self.report.damage.append(&mut found);
        Ok(true)
    }
}
