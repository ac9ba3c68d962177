//! Cutting damage out of a closed database.
//!
//! # Invariants
//! 1. What is damaged is in `lost/`, durably, before the manifest stops naming it, or IDENTITY is replaced.
//! 2. IDENTITY is written anew before all else, as a whole: where the power is lost there is the damaged
//!    file, or the new one. So is a manifest that is damaged where it holds nothing; then nothing else is done.
//! 3. One edit of the manifest, which is written as a new file, drops what is damaged of it and damaged
//!    segments, adds the rows that the log still gives, and begins a new incarnation, for which the index is
//!    made anew. Before it the database is as damaged as it was; after it the log is one of an earlier
//!    incarnation, all of which is flushed.
//! 4. Until then the log is only read: all of it but what is damaged. Then its files are moved to `lost/`, and a new
//!    one is begun.
//! 5. Of a segment that is written anew, without its damaged row groups or with all of them, a copy is in
//!    `lost/` before; each is an edit of its own, behind that one.
//! 6. What is put into `lost/` replaces nothing there but its own copy.
//!
//! So a repair may be interrupted anywhere and is run again: what it had yet to do is damage that the next
//! one finds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};
use tidestone_format::manifest::{Entry, State};
use tidestone_format::version::GROUP_ROWS;
use tidestone_format::{FileUuid, Lsn, SeriesId, Timestamp};

use super::identity::{self, Identity, Mended};
use super::keys::Nameless;
use super::manifest;
use crate::compaction;
use crate::config::Options;
use crate::db::Builder;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::flush;
use crate::index::Index;
use crate::io::{self, Disk, Lock};
use crate::recover::{self, Given};
use crate::store::{
    Folders, Outline, Segment, Segments, Strays, check_manifest_header, find_strays,
    newest_manifest, place_of, read_manifest_up_to_damage,
};
use crate::wal::{self, LostFrames};

/// What a repair would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RepairPlan {
    /// The steps; none if there is nothing to repair.
    pub steps: Vec<Step>,
}

/// One step of a repair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Step {
    /// IDENTITY is written anew: it is damaged or gone, and the header of the manifest says which database
    /// this is, as does every other sound header.
    WriteIdentity {
        /// The file.
        #[serde(serialize_with = "super::shown")]
        path: PathBuf,
        /// The database.
        #[serde(serialize_with = "as_text")]
        database: FileUuid,
        /// When the database was made, ns since 1970 UTC, if what is left of the file proves it. Otherwise
        /// that is lost, and 0 is written in its place; nothing depends on it.
        created_at: Option<Timestamp>,
        /// What is wrong.
        what: String,
    },
    /// The manifest is written anew as it was: what is damaged of it are bytes that hold nothing, zeros and seals,
    /// or its header, which other files tell; and no change is lost. It is a step of its own: what else is damaged
    /// is found by the next repair.
    MendManifest {
        /// The file.
        #[serde(serialize_with = "super::shown")]
        path: PathBuf,
        /// Where the first such byte is.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Changes of the manifest are dropped, from one that is damaged on, or they are missing at its end:
    /// which tables and segments there are is as it was before them. What they had added is moved to
    /// `lost/`, and what they had deleted may be there again.
    CutManifest {
        /// The file.
        #[serde(serialize_with = "super::shown")]
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The version of the manifest that stays.
        version: u64,
        /// How many versions are dropped, as far as that is known: 0 where the end of the file is missing.
        lost: u64,
        /// Segments that no manifest names then.
        unnamed: Vec<UnnamedSegment>,
        /// What is wrong.
        what: String,
    },
    /// Frames of the log are dropped that cannot be read; what stands before and behind them stays. Values may show
    /// that rows in them had replaced, and rows that a delete in them had deleted.
    DropFrames {
        /// The file that is damaged.
        #[serde(serialize_with = "super::shown")]
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The first LSN that is dropped.
        first_lost: u64,
        /// The last LSN that is dropped. Where a whole log file is missing some may never have been given.
        last_lost: u64,
        /// What they were, as far as that can be read.
        frames: LostFrames,
        /// What is wrong.
        what: String,
    },
    /// The log ends at an LSN, and may have had more: the end of a file is gone, or a whole file, and nothing
    /// tells what it held.
    CutLog {
        /// The file that is damaged.
        #[serde(serialize_with = "super::shown")]
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The first LSN that may be lost.
        first_lost: u64,
        /// What is wrong.
        what: String,
    },
    /// The log is begun anew, and nothing of it is dropped: a file of it is not as it was made, and all that
    /// the log held can be read. It is written to segments.
    RenewLog {
        /// What is wrong.
        what: String,
    },
    /// The log is missing or of another incarnation: what was not flushed is lost. After a repair that was
    /// interrupted before it had begun a new log, that is nothing.
    NewLog {
        /// The last LSN that is flushed.
        flushed: u64,
        /// Segments that no manifest names, where it is not cut: they are moved to `lost/`.
        unnamed: Vec<UnnamedSegment>,
        /// What is wrong.
        what: String,
    },
    /// The rows of damaged row groups of a segment are dropped; those of the others stay.
    DropRows {
        /// The file.
        #[serde(serialize_with = "super::shown")]
        path: PathBuf,
        /// The rows that are dropped. In what stays, older rows may show that they had replaced.
        rows: u64,
        /// The rows that stay.
        kept: u64,
        /// The table's id.
        table: u32,
        /// The segment.
        #[serde(skip)]
        uuid: FileUuid,
        /// The numbers of the row groups.
        groups: Vec<usize>,
        /// What is wrong with the first.
        what: String,
    },
    /// A segment is written anew, with all its rows: what is damaged are bytes between its parts, or behind
    /// its end, which hold nothing.
    RewriteSegment {
        /// The file.
        #[serde(serialize_with = "super::shown")]
        path: PathBuf,
        /// The rows it has, all of which stay.
        rows: u64,
        /// The table's id.
        table: u32,
        /// The segment.
        #[serde(skip)]
        uuid: FileUuid,
        /// What is wrong.
        what: String,
    },
    /// A segment is dropped: too little of it can be read.
    DropSegment {
        /// The file.
        #[serde(serialize_with = "super::shown")]
        path: PathBuf,
        /// The rows it had.
        rows: u64,
        /// The table's id.
        table: u32,
        /// What is wrong.
        what: String,
    },
    /// Segments that no manifest names are moved to `lost/`, where one that it names is not there: they may be what
    /// that one was merged to, by an edit that is lost, and have its rows.
    SetAside {
        /// The files.
        unnamed: Vec<UnnamedSegment>,
    },
    /// Rows in the log of series that only a dropped segment or a dropped frame defined are dropped: nothing tells
    /// their keys any more, neither the rest of the segment nor the index.
    DropNameless {
        /// The table's id.
        table: u32,
        /// How many series.
        series: u64,
        /// The rows that are dropped, as they were written.
        rows: u64,
    },
}

/// A segment that no manifest names, or that none will name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnnamedSegment {
    /// The file.
    #[serde(serialize_with = "super::shown")]
    pub path: PathBuf,
    /// The rows it has, if its root can be read.
    pub rows: Option<u64>,
}

fn as_text<S: Serializer>(uuid: &FileUuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uuid)
}

/// Carries out [`Builder::plan_repair`].
pub(super) fn plan(builder: &Builder) -> Result<RepairPlan> {
    Ok(Repair::begin(builder)?.find()?.plan)
}

/// Carries out [`Builder::repair`].
pub(super) fn repair(builder: &Builder) -> Result<RepairPlan> {
    let repair = Repair::begin(builder)?;
    let Found {
        plan,
        engine,
        manifest,
    } = repair.find()?;
    repair.keep_aside(&plan)?;
    repair.write_identity()?;
    if let Some((path, bytes)) = manifest {
        repair
            .write(&path, &path, &bytes)
            .map_err(|e| Error::io("write the manifest as it was", &path, e))?;
    }
    if let Some(engine) = engine {
        repair.carry_out(&plan, &engine)?;
    }
    Ok(plan)
}

/// A database that is repaired. Nobody else writes to it meanwhile.
struct Repair<'a> {
    builder: &'a Builder,
    options: Options,
    folders: Folders,
    identity: Identity,
    /// Held, not read.
    _lock: Lock,
}

/// What there is to repair.
struct Found {
    plan: RepairPlan,
    /// What can be read without what the plan drops, if there is more to do than to mend a file.
    engine: Option<Engine>,
    /// The manifest and what is to be in it, where damage of it cost nothing.
    manifest: Option<(PathBuf, Vec<u8>)>,
}

impl<'a> Repair<'a> {
    fn begin(builder: &'a Builder) -> Result<Self> {
        builder.options.validate()?;
        let disk = &*builder.components.disk;
        let folders = Folders::new(&builder.path);
        // Before the lock, which what is no database does not get; and under it, as others wrote until then.
        identity::find(disk, &folders)?;
        let lock = recover::lock(disk, &folders)?;
        Ok(Self {
            builder,
            options: builder.options.clone(),
            identity: identity::find(disk, &folders)?,
            _lock: lock,
            folders,
        })
    }

    fn disk(&self) -> &Arc<dyn Disk> {
        &self.builder.components.disk
    }

    fn find(&self) -> Result<Found> {
        let (disk, folders) = (self.disk(), &self.folders);
        let (number, path) = newest_manifest(&**disk, &folders.manifest())?;
        let file = disk
            .open(&path)
            .map_err(|e| Error::io("open the manifest", &path, e))?;
        let bytes = io::read_all(&*file).map_err(|e| Error::io("read the manifest", &path, e))?;
        let read = read_manifest_up_to_damage(&path, &bytes);
        let database = self.identity.database;
        if matches!(&read, Ok((_, _, Some(_))) | Err(_))
            && let Some(mended) = manifest::mend(&**disk, folders, database, number, &bytes)?
        {
            let step = Step::MendManifest {
                path: path.clone(),
                offset: mended.error.offset,
                what: mended.error.to_string(),
            };
            return Ok(Found {
                plan: self.plan(vec![step]),
                engine: None,
                manifest: Some((path, mended.bytes)),
            });
        }
        let (header, replay, damage) = read?;
        check_manifest_header(&path, &header, database, number)?;
        let given = Given::of(&replay.state);
        let folder = folders.segments();
        let named = replay.state.segments().values();
        let named = named.map(|entry| place_of(&folder, entry));
        let Strays {
            files: mut unnamed,
            missing,
            ..
        } = find_strays(&**disk, &folder, named)?;
        let (mut of_log, mut told) = self.steps_for_log(&replay.state, &given)?;
        for file in &unnamed {
            match given.check_stray(&**disk, file, self.identity.database) {
                Err(error) if error.kind() == ErrorKind::Corrupt => drop(told.get_or_insert(error)),
                checked => checked?,
            }
        }
        let mut steps = Vec::new();
        let mut last_version = replay.version;
        let cut = damage.map(|damage| {
            last_version = damage.last_version;
            (damage.error.offset, damage.error.to_string())
        });
        if let Some((offset, what)) = cut.or(told.map(|error| (replay.end, error.what()))) {
            steps.push(Step::CutManifest {
                path: path.clone(),
                offset,
                version: replay.version,
                lost: last_version - replay.version,
                unnamed: self.outlines_of(std::mem::take(&mut unnamed))?,
                what,
            });
        } else if let [Step::NewLog { unnamed: aside, .. }] = &mut of_log[..] {
            // The manifest may be older than the log: what it does not name may be all there is.
            *aside = self.outlines_of(std::mem::take(&mut unnamed))?;
        }
        let memory = self.options.segment_memory();
        let segments = Segments::new(disk.clone(), folders, self.identity.database, memory)?;
        let mut dropped = Vec::new();
        for entry in replay.state.segments().values() {
            let segment = segments.segment(entry);
            let step = step_for(&segment)?;
            if let Some(Step::DropSegment { .. }) = step {
                dropped.push(segment);
            }
            steps.extend(step);
        }
        // Nothing is missing once they are dropped, and what no manifest names goes with the next open.
        if !missing.is_empty() && !unnamed.is_empty() {
            let unnamed = self.outlines_of(unnamed)?;
            steps.push(Step::SetAside { unnamed });
        }
        steps.extend(of_log);
        if steps.is_empty() {
            let plan = self.plan(steps);
            return Ok(Found {
                plan,
                engine: None,
                manifest: None,
            });
        }
        let given_up: Vec<FileUuid> = dropped.iter().map(|s| s.entry.uuid).collect();
        let engine = recover::open_to_repair(
            folders,
            self.identity.database,
            &self.builder.components,
            self.options.clone(),
            &given_up,
            replaces_log(&steps) && !is_log_unreadable(&steps),
        )?;
        steps.extend(self.drop_nameless(&engine, &dropped, last_version)?);
        Ok(Found {
            plan: self.plan(steps),
            engine: Some(engine),
            manifest: None,
        })
    }

    /// What segments have that no manifest names.
    fn outlines_of(&self, files: Vec<PathBuf>) -> Result<Vec<UnnamedSegment>> {
        let of = |path: PathBuf| {
            let file = self.disk().open(&path);
            let outline = file.and_then(|file| Outline::read(&*file, file.len()?));
            let outline =
                outline.map_err(|e| Error::io("read a segment no manifest names", &path, e))?;
            let rows = outline.ok().map(|outline| outline.root.rows);
            Ok(UnnamedSegment { path, rows })
        };
        files.into_iter().map(of).collect()
    }

    /// What mends IDENTITY, and the other steps.
    fn plan(&self, others: Vec<Step>) -> RepairPlan {
        let first = self.identity.mended.iter().map(|m| m.step.clone());
        RepairPlan {
            steps: first.chain(others).collect(),
        }
    }

    /// Looks for the keys of series that the log has rows of and that only dropped segments, or frames, defined, and
    /// drops the rows of those that nothing tells the keys of.
    fn drop_nameless(
        &self,
        engine: &Engine,
        dropped: &[Arc<Segment>],
        last_version: u64,
    ) -> Result<Vec<Step>> {
        let mut nameless = Nameless::of(engine)?;
        for segment in dropped {
            if nameless.is_empty() {
                break;
            }
            nameless.look_in_segment(engine, segment)?;
        }
        if !nameless.is_empty() && !self.builder.components.index_in_memory {
            let memory = self.options.index_bytes();
            let opened =
                Index::open_read_only(&self.folders.index(), memory, self.identity.database)?;
            nameless.look_in_index(engine, opened, last_version)?;
        }
        nameless.drop_rows(engine)
    }

    /// What has to be dropped of the log, if anything; and what it has beyond the ids that were `given`.
    fn steps_for_log(&self, state: &State, given: &Given) -> Result<(Vec<Step>, Option<Error>)> {
        let (incarnation, flushed) = (state.incarnation(), state.flushed());
        let (mut lost, mut beyond) = (Vec::new(), None);
        let wal = self.folders.wal();
        let files = wal::LogFiles {
            disk: &**self.disk(),
            dir: &wal,
            database: self.identity.database,
            incarnation,
            mapped: self.options.read_mode.maps(),
        };
        let missing = wal::Missing::LeftOut(&mut lost);
        let replayed = wal::replay(&files, flushed, missing, |frame| {
            if beyond.is_none() {
                let told = given.check_frame(frame);
                beyond = told.err().map(|error| error.with_path(&wal));
            }
            Ok(())
        });
        let steps = match replayed {
            Ok(replayed) => steps_for_rest(lost, &replayed.flaws),
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                vec![Step::NewLog {
                    flushed: flushed.0,
                    unnamed: Vec::new(),
                    what: error.what(),
                }]
            }
            Err(error) => return Err(error),
        };
        Ok((steps, beyond))
    }

    fn write_identity(&self) -> Result<()> {
        let Some(Mended { bytes, .. }) = &self.identity.mended else {
            return Ok(());
        };
        let path = self.folders.identity();
        self.write(&path, &path, bytes)
            .map_err(|e| Error::io("write the identity file anew", &path, e))
    }

    fn carry_out(&self, plan: &RepairPlan, engine: &Engine) -> Result<()> {
        if replaces_log(&plan.steps) {
            let incarnation = self.begin_incarnation(engine)?;
            self.replace_log(incarnation, engine.store.version().flushed)?;
        }
        for step in &plan.steps {
            match step {
                Step::DropRows { uuid, groups, .. } => {
                    compaction::give_up(engine, *uuid, groups.clone())?;
                }
                Step::RewriteSegment { uuid, .. } => {
                    compaction::give_up(engine, *uuid, Vec::new())?;
                }
                _ => {}
            }
        }
        engine.store.close()
    }

    /// Puts what is going to be dropped into `lost/`.
    fn keep_aside(&self, plan: &RepairPlan) -> Result<()> {
        for step in &plan.steps {
            match step {
                Step::CutManifest { path, unnamed, .. } => {
                    self.copy_to_lost(path)?;
                    self.move_all_to_lost(unnamed)?;
                }
                // Of one that is to be dropped the keys of its series are read again where this is
                // interrupted; then no manifest names it, and it goes with the next open.
                Step::WriteIdentity { path, .. }
                | Step::MendManifest { path, .. }
                | Step::DropRows { path, .. }
                | Step::RewriteSegment { path, .. }
                | Step::DropSegment { path, .. } => {
                    self.copy_to_lost(path)?;
                }
                Step::NewLog { unnamed, .. } | Step::SetAside { unnamed } => {
                    self.move_all_to_lost(unnamed)?;
                }
                Step::DropFrames { .. }
                | Step::CutLog { .. }
                | Step::RenewLog { .. }
                | Step::DropNameless { .. } => {}
            }
        }
        Ok(())
    }

    /// Flushes what was read of the log and begins a new incarnation, with one edit.
    fn begin_incarnation(&self, engine: &Engine) -> Result<FileUuid> {
        let incarnation = engine.random.uuid().map_err(|e| {
            Error::io(
                "get a random name for an incarnation",
                &self.folders.root,
                e,
            )
        })?;
        let version = engine.store.version();
        let segments = version.tables.values().flat_map(|table| &table.segments);
        let in_segments = segments.map(|s| s.entry.last_lsn).max().unwrap_or_default();
        let highest = engine.visible_lsn().max(in_segments);
        // Whatever LSNs and ids of series the lost part of the log had, none of them is given again.
        let ids = Entry::NextIds {
            series: SeriesId(engine.series.next_id().0.saturating_add(LOST)),
            table: engine.store.edit().state().next_table(),
        };
        let flushed = Entry::Flushed(Lsn(highest.0.saturating_add(LOST)));
        let anew = vec![ids, flushed, Entry::Incarnation(incarnation)];
        flush::flush_with(engine, anew)?;
        Ok(incarnation)
    }

    /// Moves all log files to `lost/` and begins a log behind what is flushed.
    fn replace_log(&self, incarnation: FileUuid, flushed: Lsn) -> Result<()> {
        let (disk, wal) = (self.disk(), self.folders.wal());
        disk.create_dir_all(&wal)
            .and_then(|()| disk.sync_dir(&self.folders.root))
            .map_err(|e| Error::io("make the log folder", &wal, e))?;
        let list = |folder: &Path| {
            let names = disk.list(folder);
            names.map_err(|e| Error::io("list the folder", folder, e))
        };
        // What else is there is no more than space that a log keeps for itself.
        for file in list(&wal)? {
            if wal::number_of(&file.name).is_some() {
                self.move_to_lost(&wal.join(file.name))?;
            }
        }
        let lost = list(&self.lost_folder()?)?;
        let highest = lost.iter().filter_map(|file| wal::number_of(&file.name));
        let start = wal::Start {
            next_lsn: Lsn(flushed.0.saturating_add(1)),
            // One that no other has had: those in `lost/` stay apart.
            file_number: highest.max().unwrap_or(0).saturating_add(1),
            cut: None,
            old: Vec::new(),
            flushed,
            recycle: None,
        };
        let settings = recover::log_settings(
            &self.folders,
            &self.options,
            self.identity.database,
            incarnation,
        );
        wal::Log::start(disk.clone(), settings, start).map(drop)
    }

    /// The folder of what is dropped, with everything that was moved there before, also by a repair
    /// that was interrupted: it may be the only copy.
    fn lost_folder(&self) -> Result<PathBuf> {
        let (disk, lost) = (self.disk(), self.folders.root.join("lost"));
        disk.create_dir_all(&lost)
            .and_then(|()| disk.sync_dir(&self.folders.root))
            .and_then(|()| disk.sync_dir(&lost))
            .map_err(|e| Error::io("make the folder", &lost, e))?;
        Ok(lost)
    }

    /// Copies a file to `lost/`, whole or not at all, if it is there.
    fn copy_to_lost(&self, path: &Path) -> Result<()> {
        let disk = &**self.disk();
        let io = |e| Error::io("copy a damaged file to lost/", path, e);
        let file = match disk.open(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(io)?,
        };
        let lost = self.lost_folder()?;
        let copy = || {
            let to = place_in(disk, &lost, path)?;
            self.write(path, &to, &io::read_all(&*file)?)
        };
        copy().map_err(io)
    }

    /// Writes a file `to`, whole or not at all, under the name of `path` until then.
    fn write(&self, path: &Path, to: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let disk = &**self.disk();
        let tmp = self
            .folders
            .tmp()
            .join(path.file_name().unwrap_or_default());
        // A repair that was interrupted may have left it.
        match disk.remove(&tmp) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => io::write_atomically(disk, &tmp, to, bytes),
        }
    }

    fn move_all_to_lost(&self, segments: &[UnnamedSegment]) -> Result<()> {
        let mut segments = segments.iter();
        segments.try_for_each(|segment| self.move_to_lost(&segment.path))
    }

    /// Moves a file to `lost/`, if it is still where it was.
    fn move_to_lost(&self, path: &Path) -> Result<()> {
        let (disk, lost) = (&**self.disk(), self.lost_folder()?);
        let moved = place_in(disk, &lost, path).and_then(|to| disk.rename(path, &to));
        match moved {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("move a damaged file to lost/", path, e))
            }
            _ => disk
                .sync_dir(&lost)
                .map_err(|e| Error::io("sync the folder", &lost, e)),
        }
    }
}

/// Where in `lost` a file goes: under its own name, but with a number behind it where other bytes are under
/// that, from an earlier repair.
fn place_in(disk: &dyn Disk, lost: &Path, path: &Path) -> std::io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default();
    let mut place = lost.join(name);
    for number in 1_u64.. {
        match disk.open(&place) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => break,
            there => {
                let there = io::read_all(&*there?)?;
                if there == io::read_all(&*disk.open(path)?)? {
                    break;
                }
            }
        }
        let mut numbered = name.to_owned();
        numbered.push(format!(".{number}"));
        place = lost.join(numbered);
    }
    Ok(place)
}

/// LSNs, and ids of series, skipped after a loss: more than a log can hold.
const LOST: u64 = 1 << 32;

/// Whether the database gets a new log in a new incarnation. So it does where a segment is dropped: of
/// its series the index would have more than the files, and who follows the log rows that are gone.
fn replaces_log(steps: &[Step]) -> bool {
    let keeps = |step: &Step| {
        matches!(
            step,
            Step::WriteIdentity { .. }
                | Step::DropRows { .. }
                | Step::RewriteSegment { .. }
                | Step::DropNameless { .. }
        )
    };
    !steps.iter().all(keeps)
}

fn is_log_unreadable(steps: &[Step]) -> bool {
    steps.iter().any(|s| matches!(s, Step::NewLog { .. }))
}

/// What has to be done about a log that can be read, but for what is `lost`, where files of it have `flaws`.
fn steps_for_rest(lost: Vec<wal::Lost>, flaws: &[wal::Flaw]) -> Vec<Step> {
    let flaws = flaws.iter();
    let flaws = flaws.map(|flaw| format!("{}: {}", flaw.path.display(), flaw.what));
    let flaws = flaws.collect::<Vec<_>>().join("; ");
    if lost.is_empty() {
        return match flaws.is_empty() {
            true => Vec::new(),
            false => vec![Step::RenewLog { what: flaws }],
        };
    }
    let steps = lost.into_iter().enumerate().map(|(at, lost)| {
        let what = match at > 0 || flaws.is_empty() {
            true => lost.what,
            false => format!("{}; {flaws}", lost.what),
        };
        match lost.last {
            Some(last) => Step::DropFrames {
                path: lost.path,
                offset: lost.offset,
                first_lost: lost.first.0,
                last_lost: last.0,
                frames: lost.kinds,
                what,
            },
            None => Step::CutLog {
                path: lost.path,
                offset: lost.offset,
                first_lost: lost.first.0,
                what,
            },
        }
    });
    steps.collect()
}

/// What has to be dropped of a segment, if anything.
fn step_for(segment: &Segment) -> Result<Option<Step>> {
    let entry = &segment.entry;
    let damaged = match segment.damaged_groups() {
        Ok(damaged) => damaged,
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            return Ok(Some(Step::DropSegment {
                path: segment.path().to_owned(),
                rows: entry.rows,
                table: entry.table.0,
                what: error.what(),
            }));
        }
        // The disk refused, or it is of a newer version: the segment may be sound.
        Err(error) => return Err(error),
    };
    let Some((_, first)) = damaged.first() else {
        return rewrite_if_rest_is_damaged(segment);
    };
    let group_rows = GROUP_ROWS as u64;
    let rows_of = |group: usize| {
        entry
            .rows
            .saturating_sub(group as u64 * group_rows)
            .min(group_rows)
    };
    let rows = damaged.iter().map(|(group, _)| rows_of(*group)).sum();
    Ok(Some(Step::DropRows {
        path: segment.path().to_owned(),
        rows,
        kept: entry.rows - rows,
        table: entry.table.0,
        uuid: entry.uuid,
        what: first.what(),
        groups: damaged.iter().map(|(group, _)| *group).collect(),
    }))
}

/// A segment of which every row can be read is written anew if the bytes between its parts are damaged, or
/// there are some behind its end.
fn rewrite_if_rest_is_damaged(segment: &Segment) -> Result<Option<Step>> {
    match segment.check_rest() {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Some(Step::RewriteSegment {
            path: segment.path().to_owned(),
            rows: segment.entry.rows,
            table: segment.entry.table.0,
            uuid: segment.entry.uuid,
            what: error.what(),
        })),
        Err(error) => Err(error),
    }
}
