//! Reading a database beside the process that writes to it.
//!
//! A reader takes a lease, then the manifest, then the series of the segments it names and of the
//! manifest, then the log behind what is flushed, up to what the writer has published as durable.
//! Where no writer lives, whether it closed the database or was killed, or one recovers just now, and where
//! nothing is published that can be believed, it takes all of the log that a writer would recover.
//!
//! [`Reader::refresh`] goes on from there: it reads what the log has more, or, if there is a newer
//! manifest, that and the log behind it. What queries see is changed under the commit lock.
//!
//! # Invariants
//! 1. What is seen is a prefix of the log: whole batches, up to an LSN that never goes back.
//! 2. Rows that are seen are durable, if a writer lives.
//! 3. As long as a version is seen, or a query of it runs, its lease is held: its files stay. A
//!    lease pins everything before the manifest is read.
//! 4. The head has no chunk with rows on both sides of what is flushed: with a version that has more
//!    flushed comes a head that was read anew.
//! 5. The log is followed only up to what was durable before the manifest was read: no row is met
//!    of a table that this does not know yet.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use tidestone_format::header::HEADER_LEN;
use tidestone_format::log::{Frame, SeriesDefinition};
use tidestone_format::manifest::State;
use tidestone_format::sharing::Published;
use tidestone_format::{FileUuid, Lsn, SeriesId, TableId};

use crate::catalog::{self, SeriesRegistry, Tables};
use crate::config::Options;
use crate::engine::{Engine, Parts};
use crate::error::{Error, ErrorKind, Result};
use crate::forgetting;
use crate::head::Head;
use crate::index::{Applied, Forgetting, Index};
use crate::io::Disk;
use crate::recover::{self, Components, Given};
use crate::sharing::{self, Lease, Tries};
use crate::store::{Folders, Manifest, Store, Version, newest_manifest};
use crate::wal::{self, Followed, Follower, LogFiles};

/// What a database opened for reading needs to go on reading.
#[derive(Debug)]
pub(crate) struct Reader {
    components: Components,
    folders: Folders,
    database: FileUuid,
    incarnation: FileUuid,
    /// Where the log goes on; `None` while nothing is published that tells how far.
    place: Option<Follower>,
    /// The series that the manifest of the current version defines.
    lone: BTreeMap<SeriesId, SeriesDefinition>,
    /// The ids that the manifest of the current version has given.
    given: Given,
    /// Why no lease keeps the files of the current version, if none does.
    unleased: Option<String>,
    /// The newest files of what was read, if no writer lived.
    read_quiet: Option<Newest>,
}

/// The newest log file, with its header, and the newest manifest. Whoever opens the database to write begins a
/// log file, and whoever repairs it a manifest, before anything else that is read changes: while no writer
/// lives, and these are the same, there is nothing new. Lengths say nothing, they are fixed; and the number of a
/// log file that was made ahead and never begun may be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Newest {
    log: u64,
    header: [u8; HEADER_LEN],
    manifest: u64,
}

/// The manifest at one moment, and what keeps its files.
struct Found {
    /// Published before the manifest was read.
    published: Option<Published>,
    lease: Option<Arc<Lease>>,
    unleased: Option<String>,
    manifest: Manifest,
    /// The newest files before anything was read, if no writer lived then.
    quiet: Option<Newest>,
}

/// Opens a database for reading.
pub(crate) fn open(
    path: &Path,
    components: &Components,
    options: Options,
) -> Result<(Engine, Reader)> {
    let folders = Folders::new(path);
    let (database, _) = recover::identity(&*components.disk, &folders)?;
    until_settled(components, &folders, || {
        let (components, folders) = (components.clone(), folders.clone());
        Reader::open(components, folders, database, options.clone())
    })
}

/// Does something until the writer was not quicker (`None`).
fn until_settled<T>(
    components: &Components,
    folders: &Folders,
    mut act: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let mut tries = Tries::start(&*components.clock);
    let mut last: Option<Error> = None;
    loop {
        let is_quiet = !writer_lives(&*components.disk, folders);
        match act() {
            // It is damage if it is still there when the files are read again and nobody wrote. Beside writers
            // that come and go the same file may be made and removed again and again.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                let is_same = |l: &Error| l.to_string() == error.to_string();
                if is_quiet && last.as_ref().is_some_and(is_same) {
                    return Err(error);
                }
                last = Some(error);
            }
            Err(error) => return Err(error),
            Ok(Some(done)) => return Ok(done),
            Ok(None) => {}
        }
        if !tries.again() {
            let quicker =
                || Error::new(ErrorKind::Busy, "the writer was always quicker; try again");
            return Err(last.unwrap_or_else(quicker));
        }
    }
}

/// Whether a writer lives, be it that it has not come so far as to publish anything. Where it cannot be told, as
/// if one did.
fn writer_lives(disk: &dyn Disk, folders: &Folders) -> bool {
    match disk.is_locked(&folders.lock()) {
        Ok(is_locked) => is_locked,
        Err(e) => e.kind() != std::io::ErrorKind::NotFound,
    }
}

impl Reader {
    /// Reads what there is. `None`: the writer was quicker.
    fn open(
        components: Components,
        folders: Folders,
        database: FileUuid,
        options: Options,
    ) -> Result<Option<(Engine, Self)>> {
        let mut reader = Self {
            components,
            folders,
            database,
            incarnation: FileUuid::default(),
            place: None,
            lone: BTreeMap::new(),
            given: Given::of(&State::new()),
            unleased: None,
            read_quiet: None,
        };
        let found = reader.find()?;
        reader.given = Given::of(found.manifest.state());
        reader.take_note(&found);
        let next_series = found.manifest.state().next_series();
        let lease = found.lease.as_ref();
        let Components {
            disk,
            clock,
            random,
            threads,
            ..
        } = reader.components.clone();
        let memory = options.segment_memory();
        let folders = reader.folders.clone();
        let store = Store::new(disk, folders, database, found.manifest, memory, lease)?;
        store.set_unleased(lease.is_none());
        let version = store.version();
        let empty = catalog::nothing(&version);
        let index = Index::open_in_memory(options.index_bytes(), database, empty)?;
        let lone: Vec<SeriesDefinition> = reader.lone.values().cloned().collect();
        recover::catch_up(&index, &version, &lone, Lsn(0))?;
        let tables = Tables::of(&version);
        let series = SeriesRegistry::new(Arc::new(index), next_series);
        let read = reader.read_log(found.published, &version, &series, &tables)?;
        let Some((head, read_upto)) = read else {
            return Ok(None);
        };
        reader.read_quiet = found.quiet;
        let engine = Engine::new(Parts {
            options,
            clock,
            random,
            threads,
            store,
            series,
            tables,
            log: None,
            head,
            index_rebuilt: false,
            read_upto,
        });
        Ok(Some((engine, reader)))
    }

    /// Why the writer may remove files that this process needs, if nothing keeps it from that.
    pub(crate) fn unleased(&self) -> Option<&str> {
        self.unleased.as_deref()
    }

    /// Lets queries see what was written since. Returns whether there was anything.
    pub(crate) fn refresh(&mut self, engine: &Engine) -> Result<bool> {
        if self.read_quiet.is_some() && self.quiet() == self.read_quiet {
            return Ok(false);
        }
        let before = (engine.store.version().number, engine.visible_lsn());
        let done = match self.look()? {
            Some(published) if self.is_current(&published, before.0) => {
                self.follow(engine, published.durable)? == Some(Followed::All)
            }
            _ => false,
        };
        if !done {
            let (components, folders) = (self.components.clone(), self.folders.clone());
            until_settled(&components, &folders, || self.reread(engine))?;
        }
        Ok((engine.store.version().number, engine.visible_lsn()) != before)
    }

    /// Whether there is no newer manifest than the one that was read.
    fn is_current(&self, published: &Published, version: u64) -> bool {
        published.incarnation == self.incarnation && published.version <= version
    }

    /// Goes on in the log, up to `durable`. `None`: it is not known where.
    fn follow(&mut self, engine: &Engine, durable: Lsn) -> Result<Option<Followed>> {
        let Some(mut place) = self.place.clone() else {
            return Ok(None);
        };
        let wal = self.folders.wal();
        let (series, tables, given) = (&engine.series, engine.tables(), &self.given);
        // What was seen before an error is not handed out again.
        let seen = engine.visible_lsn();
        let followed = place.read(&self.log(&wal), seen, durable, |frame| {
            engine.see_more(|head| {
                recover::take_in(head, series, tables, Some(given), frame)?;
                Ok(frame.header.lsn)
            })
        })?;
        engine.count_head();
        if followed == Followed::All {
            self.place = Some(place);
            // LSNs that were cut are of nothing.
            engine.see_more(|_| Ok(durable))?;
        }
        Ok(Some(followed))
    }

    /// What it means that the log does not have all that was published behind a version: `Ok` if a
    /// newer version has it in segments.
    fn check_overtaken(&self, version: &Version, followed: &Followed) -> Result<()> {
        let Followed::Gone { next, path } = followed else {
            return Ok(());
        };
        if self.flushed()? > version.flushed {
            return Ok(());
        }
        let message = format!(
            "LSN {next} was published as durable, it is not flushed (only what is up to {}), and it is \
             not readable in the log behind this file either",
            version.flushed
        );
        let advice = "run `tidestone verify` to see all damage";
        Err(Error::corrupt(path, 0, message).advising(advice))
    }

    fn log<'a>(&'a self, dir: &'a Path) -> LogFiles<'a> {
        LogFiles {
            disk: &*self.components.disk,
            dir,
            database: self.database,
            incarnation: self.incarnation,
            mapped: false,
        }
    }

    /// Reads the manifest, and the log behind it. `None`: the writer was quicker.
    fn reread(&mut self, engine: &Engine) -> Result<Option<()>> {
        let found = self.find()?;
        if found.manifest.state().incarnation() != self.incarnation {
            let message = "the database was repaired or restored since it was opened for reading; \
                           open it again";
            return Err(Error::new(ErrorKind::Closed, message).with_path(&self.folders.root));
        }
        self.given = Given::of(found.manifest.state());
        let store = &engine.store;
        let before = store.version();
        let version = store.read_version(&found.manifest, found.lease.as_ref());
        let tables = Tables::of(&version);
        let series: Vec<_> = found.manifest.state().series().values().cloned().collect();
        engine.series.catch_up(&version, &series, before.flushed)?;
        // Of a head that is as it should be only what is new in the log is read.
        let goes_on = before.flushed == version.flushed && self.place.is_some();
        let head = match found.published.filter(|_| goes_on) {
            Some(_) => None,
            None => {
                let read = self.read_log(found.published, &version, &engine.series, &tables)?;
                let Some(read) = read else {
                    return Ok(None);
                };
                Some(read)
            }
        };
        let followed = head.is_none();
        let gone = before.tables.keys().copied();
        let gone = gone.filter(|id| !version.tables.contains_key(id));
        let gone: Vec<TableId> = gone.collect();
        for table in &gone {
            engine.tables().remove(*table);
        }
        store.set_unleased(found.lease.is_none());
        engine.see_version(version.clone(), head)?;
        for table in version.tables.values() {
            let core = engine.tables().put(table.schema.as_ref().clone());
            core.raise_horizon(table.horizon);
        }
        for table in gone {
            engine.drop_rows(table);
            let applied = Applied {
                lsn: Lsn(0),
                ..catalog::applied(&version)
            };
            engine.series.drop_table(table, applied)?;
        }
        let taken = engine.series.pending_upto(version.flushed);
        let applied = catalog::applied(&version);
        engine.series.take_into_index(&taken, applied)?;
        // Any of these may have lost its rows since.
        let mut perhaps = std::mem::take(&mut self.lone);
        perhaps.extend(taken.into_iter().map(|d| (d.id, d)));
        self.take_note(&found);
        self.forget(engine, &before, &version, perhaps)?;
        self.read_quiet = found.quiet;
        match found.published.filter(|_| followed) {
            None => Ok(Some(())),
            Some(published) => match self.follow(engine, published.durable)? {
                Some(Followed::All) => Ok(Some(())),
                Some(gone) => self.check_overtaken(&version, &gone).map(|()| None),
                None => Ok(None),
            },
        }
    }

    /// Forgets the series that the writer has forgotten: of `perhaps`, and of the segments that are no
    /// more, those that have no rows and that the manifest does not define.
    fn forget(
        &self,
        engine: &Engine,
        before: &Version,
        now: &Version,
        mut perhaps: BTreeMap<SeriesId, SeriesDefinition>,
    ) -> Result<()> {
        let live = now.segments();
        for (uuid, segment) in before.segments() {
            if live.contains_key(&uuid) || !now.tables.contains_key(&segment.entry.table) {
                continue;
            }
            let read = segment.each_series(|definition| {
                perhaps.insert(definition.id, definition);
                Ok(())
            });
            match read {
                // Without a lease it may be gone: its series stay known until the next open.
                Err(error) if error.kind() == ErrorKind::Busy => {}
                read => read?,
            }
        }
        let mut of_table: BTreeMap<TableId, Vec<SeriesDefinition>> = BTreeMap::new();
        for (id, definition) in perhaps {
            if !self.lone.contains_key(&id) {
                of_table
                    .entry(definition.table)
                    .or_default()
                    .push(definition);
            }
        }
        if engine.pins.is_quiet() {
            engine.series.clear_gone(|_| false);
        }
        for (table, definitions) in of_table {
            let ids = definitions.iter().map(|d| d.id).collect();
            let ids = forgetting::without_rows(engine, table, ids)?;
            let gone = definitions.into_iter().filter(|d| ids.contains(&d.id));
            engine.series.let_leave(gone.collect());
        }
        let gone = engine.series.finish_leaving(&FxHashSet::default());
        if !gone.is_empty() {
            let forgetting = Forgetting::with(now.forgetting);
            engine.series.remove_from_index(&gone, forgetting)?;
            engine.pins.advance();
        }
        Ok(())
    }

    /// Takes a lease and reads the manifest.
    fn find(&self) -> Result<Found> {
        let Components { disk, random, .. } = &self.components;
        let folder = self.folders.readers();
        let quiet = self.quiet();
        let taken = Lease::take(disk, &**random, &folder, self.database);
        let published = self.look()?;
        let manifest =
            Manifest::open_read_only(disk.clone(), &self.folders.manifest(), self.database)?;
        let (lease, unleased) = match taken.and_then(|lease| {
            lease.pin(manifest.version())?;
            Ok(lease)
        }) {
            Ok(lease) => (Some(Arc::new(lease)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let incarnation = manifest.state().incarnation();
        let published = published.filter(|p| p.incarnation == incarnation);
        let version = manifest.version();
        if let Some(published) = published.filter(|p| p.version > version) {
            let message = format!(
                "the writer has published version {} of the manifest, the file ends with version {version}: \
                 its last edits are missing",
                published.version
            );
            let error = Error::corrupt(&self.folders.manifest(), 0, message);
            return Err(error.advising(recover::LOST_EDITS));
        }
        Ok(Found {
            published,
            lease,
            unleased,
            manifest,
            quiet,
        })
    }

    /// The newest files, if no writer lives. It is looked for a writer last: what one that has ended by then
    /// had begun is among them, and is complete.
    fn quiet(&self) -> Option<Newest> {
        let (disk, wal) = (&*self.components.disk, self.folders.wal());
        let logs = disk.list(&wal).ok()?;
        let log = logs.iter().filter_map(|e| wal::number_of(&e.name)).max()?;
        let mut header = [0; HEADER_LEN];
        let file = disk.open(&wal::path_of(&wal, log)).ok()?;
        file.read_exact_at(&mut header, 0).ok()?;
        let (manifest, _) = newest_manifest(disk, &self.folders.manifest()).ok()?;
        let newest = Newest {
            log,
            header,
            manifest,
        };
        (!self.writer_lives()).then_some(newest)
    }

    fn writer_lives(&self) -> bool {
        writer_lives(&*self.components.disk, &self.folders)
    }

    /// What the writer has published; `None` if none does.
    fn look(&self) -> Result<Option<Published>> {
        // Then there is no page to be read, whether or not this process may.
        if !self.writer_lives() {
            return Ok(None);
        }
        let disk = &*self.components.disk;
        sharing::look(disk, &self.folders.readers(), self.database)
    }

    fn take_note(&mut self, found: &Found) {
        let state = found.manifest.state();
        self.incarnation = state.incarnation();
        self.lone = state
            .series()
            .iter()
            .map(|(id, d)| (*id, d.clone()))
            .collect();
        self.unleased.clone_from(&found.unleased);
    }

    /// The head behind a version, and the last LSN in it. `None`: the writer was quicker.
    fn read_log(
        &mut self,
        published: Option<Published>,
        version: &Version,
        series: &SeriesRegistry,
        tables: &Tables,
    ) -> Result<Option<(Head, Lsn)>> {
        let wal = self.folders.wal();
        let files = self.log(&wal);
        let mut head = Head::default();
        let mut read_upto = version.flushed;
        let given = &self.given;
        let mut visit = |frame: &Frame<'_>| {
            read_upto = frame.header.lsn;
            recover::take_in(&mut head, series, tables, Some(given), frame)
        };
        if let Some(published) = published {
            let durable = published.durable.max(version.flushed);
            let Some(mut place) = Follower::start(&files, version.flushed)? else {
                return Ok(None);
            };
            let followed = place.read(&files, version.flushed, durable, visit)?;
            if followed != Followed::All {
                return self.check_overtaken(version, &followed).map(|()| None);
            }
            self.place = Some(place);
            return Ok(Some((head, durable)));
        }
        let missing = wal::Missing::Refused;
        wal::replay(&files, version.flushed, missing, &mut visit)?;
        self.place = None;
        // A log file that was recycled while it was read looks like the end of the log. That is done
        // only once its last LSN is flushed: if no more is flushed than was read, nothing was missed.
        let newest = self.flushed()?;
        // Nor did a writer begin meanwhile, which may have written what is not durable.
        let alone = self.look()?.is_none();
        Ok((alone && newest <= read_upto).then_some((head, read_upto)))
    }

    /// What is flushed by now.
    fn flushed(&self) -> Result<Lsn> {
        let (disk, folder) = (self.components.disk.clone(), self.folders.manifest());
        let newest = Manifest::open_read_only(disk, &folder, self.database)?;
        Ok(newest.state().flushed())
    }
}
