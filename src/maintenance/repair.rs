//! Cutting damage out of a closed database.
//!
//! What is durable at each step: the rows the log still gives are flushed to segments before any log
//! file is moved; the manifest drops a segment before its file is moved; of a segment that is
//! written anew without its damaged row groups a copy is in `lost/` before. A repair that is interrupted
//! is run again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tidestone_format::manifest::Entry;
use tidestone_format::version::GROUP_ROWS;
use tidestone_format::{FileUuid, Lsn, SeriesId};

use crate::compaction;
use crate::config::Options;
use crate::db::Tidestone;
use crate::error::{Error, Result};
use crate::io::{self, Disk, OsDisk};
use crate::random::{OsRandom, Random};
use crate::recover;
use crate::store::{
    Folders, Manifest, Segment, Segments, newest_manifest, place_of, read_manifest_up_to_damage,
    segment_files,
};
use crate::wal;

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
    /// Changes of the manifest are dropped, from one that is damaged on: which tables and segments
    /// there are is as it was before them. What they had added is moved to `lost/`.
    CutManifest {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The version of the manifest that stays.
        version: u64,
        /// How many versions are dropped.
        lost: u64,
        /// Segments that no manifest names then.
        unnamed: Vec<PathBuf>,
        /// What is wrong.
        what: String,
    },
    /// Everything of the log from an LSN on is dropped.
    CutLog {
        /// The file that is damaged.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The first LSN that is dropped.
        first_lost: u64,
        /// The highest LSN that is known to have been acknowledged.
        last_acknowledged: u64,
        /// What is wrong.
        what: String,
    },
    /// The log is missing or of another incarnation: what was not flushed is lost.
    NewLog {
        /// The last LSN that is flushed.
        flushed: u64,
        /// What is wrong.
        what: String,
    },
    /// The rows of damaged row groups of a segment are dropped; those of the others stay.
    DropRows {
        /// The file.
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
    /// A segment is dropped: too little of it can be read.
    DropSegment {
        /// The file.
        path: PathBuf,
        /// The rows it had.
        rows: u64,
        /// The table's id.
        table: u32,
        /// What is wrong.
        what: String,
    },
}

/// Says what [`repair()`] would drop. Nothing is changed.
///
/// Every byte of every segment is read. A damaged block costs the rows of its row group (65,536 at
/// most), a damaged index page or dictionary the segment.
///
/// # Errors
/// There is no database, its identity or the first edit of its manifest is damaged (restore them from
/// a backup), or another process has it open for writing.
pub fn plan_repair(path: &Path) -> Result<RepairPlan> {
    let folders = Folders::new(path);
    let (database, _) = recover::identity(&OsDisk, &folders)?;
    let _lock = recover::lock(&OsDisk, &folders)?;
    plan(&folders, database)
}

fn plan(folders: &Folders, database: FileUuid) -> Result<RepairPlan> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let (_, manifest) = newest_manifest(&*disk, &folders.manifest())?;
    let file = disk
        .open(&manifest)
        .map_err(|e| Error::io("open the manifest", &manifest, e))?;
    let bytes = io::read_all(&*file).map_err(|e| Error::io("read the manifest", &manifest, e))?;
    let (_, replay, damage) = read_manifest_up_to_damage(&manifest, &bytes)?;
    let mut steps = Vec::new();
    if let Some(damage) = damage {
        let mut unnamed = segment_files(&*disk, &folders.segments())?;
        let live = replay.state.segments().values();
        let live: Vec<PathBuf> = live.map(|e| place_of(&folders.segments(), e)).collect();
        unnamed.retain(|file| !live.contains(file));
        steps.push(Step::CutManifest {
            path: manifest.clone(),
            offset: damage.error.offset,
            version: replay.version,
            lost: damage.last_version - replay.version,
            unnamed,
            what: damage.error.to_string(),
        });
    }
    let memory = Options::default().segment_memory();
    let segments = Segments::new(disk.clone(), folders, database, memory)?;
    for entry in replay.state.segments().values() {
        let segment = segments.segment(entry);
        steps.extend(step_for(&segment)?);
    }
    let flushed = replay.state.flushed();
    let mut cut = None;
    let replayed = wal::replay(
        &wal::LogFiles {
            disk: &*disk,
            dir: &folders.wal(),
            database,
            incarnation: replay.state.incarnation(),
            exclusive: true,
        },
        flushed,
        wal::Missing::Cut(&mut cut),
        |_| Ok(()),
    );
    match (replayed, cut) {
        (Ok(_), None) => {}
        (Ok(_), Some(cut)) => steps.push(Step::CutLog {
            path: cut.path,
            offset: cut.offset,
            first_lost: cut.first_lost.0,
            last_acknowledged: cut.last_acknowledged.0,
            what: cut.what,
        }),
        (Err(error), _) if super::verify::is_damage(&error) => {
            steps.push(Step::NewLog {
                flushed: flushed.0,
                what: error.to_string(),
            });
        }
        (Err(error), _) => return Err(error),
    }
    Ok(RepairPlan { steps })
}

/// What has to be dropped of a segment, if anything.
fn step_for(segment: &Segment) -> Result<Option<Step>> {
    let entry = &segment.entry;
    let damaged = match segment.damaged_groups() {
        Ok(damaged) => damaged,
        Err(error) if super::verify::is_damage(&error) => {
            return Ok(Some(Step::DropSegment {
                path: segment.path().to_owned(),
                rows: entry.rows,
                table: entry.table.0,
                what: error.to_string(),
            }));
        }
        // The disk refused; the segment may be sound.
        Err(error) => return Err(error),
    };
    let Some((_, first)) = damaged.first() else {
        return Ok(None);
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
        what: first.to_string(),
        groups: damaged.iter().map(|(group, _)| *group).collect(),
    }))
}

/// Does what [`plan_repair`] says: cuts the manifest before its damage, drops damaged segments, keeps
/// what the log gives before its damage, moves the damaged files to `lost/`, starts a new log in a
/// new incarnation.
///
/// # Errors
/// As [`plan_repair`], or the disk refuses. It can be run again.
pub fn repair(path: &Path) -> Result<RepairPlan> {
    let folders = Folders::new(path);
    let (database, _) = recover::identity(&OsDisk, &folders)?;
    let plan = {
        let _lock = recover::lock(&OsDisk, &folders)?;
        let plan = plan(&folders, database)?;
        cut_manifest(&folders, database, &plan)?;
        drop_segments(&folders, database, &plan)?;
        plan
    };
    let has = |which: fn(&Step) -> bool| plan.steps.iter().any(which);
    if has(|s| matches!(s, Step::NewLog { .. })) {
        new_log(&folders, database)?;
    } else if has(|s| matches!(s, Step::CutLog { .. } | Step::CutManifest { .. })) {
        keep_what_the_log_gives(path)?;
        new_log(&folders, database)?;
    }
    drop_rows(path, &folders, &plan)?;
    Ok(plan)
}

/// Writes segments anew without their damaged row groups.
fn drop_rows(path: &Path, folders: &Folders, plan: &RepairPlan) -> Result<()> {
    let damaged: Vec<(&PathBuf, FileUuid, &Vec<usize>)> = plan
        .steps
        .iter()
        .filter_map(|s| match s {
            Step::DropRows {
                path, uuid, groups, ..
            } => Some((path, *uuid, groups)),
            _ => None,
        })
        .collect();
    if damaged.is_empty() {
        return Ok(());
    }
    for (file, ..) in &damaged {
        copy_to_lost(&OsDisk, folders, file)?;
    }
    let db = Tidestone::builder(path)
        .options(quiet_options())
        .open_up_to_damage()?;
    for (_, uuid, groups) in damaged {
        compaction::give_up(db.engine(), uuid, groups.clone())?;
    }
    db.close()
}

/// Cuts the manifest. The damaged file is kept in `lost/` before, and so are the segments that the
/// cut one does not name.
fn cut_manifest(folders: &Folders, database: FileUuid, plan: &RepairPlan) -> Result<()> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    for step in &plan.steps {
        let Step::CutManifest { path, unnamed, .. } = step else {
            continue;
        };
        copy_to_lost(&*disk, folders, path)?;
        for segment in unnamed {
            move_to_lost(&*disk, folders, segment)?;
        }
        Manifest::cut(disk.clone(), &folders.manifest(), &folders.tmp(), database)?;
    }
    Ok(())
}

fn drop_segments(folders: &Folders, database: FileUuid, plan: &RepairPlan) -> Result<()> {
    let damaged: Vec<&PathBuf> = plan
        .steps
        .iter()
        .filter_map(|s| match s {
            Step::DropSegment { path, .. } => Some(path),
            _ => None,
        })
        .collect();
    if damaged.is_empty() {
        return Ok(());
    }
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let (mut manifest, _) =
        Manifest::open(disk.clone(), &folders.manifest(), &folders.tmp(), database)?;
    let entries: Vec<Entry> = manifest
        .state()
        .segments()
        .values()
        .filter(|e| {
            let path = place_of(&folders.segments(), e);
            damaged.iter().any(|d| **d == path)
        })
        .map(|e| Entry::SegmentDropped {
            table: e.table,
            uuid: e.uuid,
        })
        .collect();
    manifest.commit(entries).map_err(|e| e.error)?;
    for path in damaged {
        move_to_lost(&*disk, folders, path)?;
    }
    Ok(())
}

/// Opens the database up to the damage and flushes what the log holds.
fn keep_what_the_log_gives(path: &Path) -> Result<()> {
    let db = Tidestone::builder(path)
        .options(quiet_options())
        .open_up_to_damage()?;
    db.close()
}

fn quiet_options() -> Options {
    Options {
        auto_compact: false,
        ..Options::default()
    }
}

/// Gives the database a new incarnation and an empty log.
fn new_log(folders: &Folders, database: FileUuid) -> Result<()> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let _lock = recover::lock(&*disk, folders)?;
    let (mut manifest, _) =
        Manifest::open(disk.clone(), &folders.manifest(), &folders.tmp(), database)?;
    let incarnation = OsRandom
        .uuid()
        .map_err(|e| Error::io("get a random name for an incarnation", &folders.root, e))?;
    manifest
        .commit(vec![Entry::Incarnation(incarnation)])
        .map_err(|e| e.error)?;
    let wal = folders.wal();
    disk.create_dir_all(&wal)
        .map_err(|e| Error::io("make the log folder", &wal, e))?;
    let names = disk
        .list(&wal)
        .map_err(|e| Error::io("list the log folder", &wal, e))?;
    let mut highest = 0;
    for name in names {
        highest = highest.max(wal::number_of(&name.name).unwrap_or(0));
        move_to_lost(&*disk, folders, &wal.join(name.name))?;
    }
    let state = manifest.state();
    let in_segments = state
        .segments()
        .values()
        .map(|e| e.last_lsn)
        .max()
        .unwrap_or_default();
    let flushed = state.flushed();
    // Whatever LSNs and ids of series the lost part of the log had, none of them is given again.
    let next_lsn = Lsn(flushed.max(in_segments).0.saturating_add(LOST));
    let next_ids = Entry::NextIds {
        series: SeriesId(state.next_series().0.saturating_add(LOST)),
        table: state.next_table(),
    };
    let options = Options::default();
    let settings = recover::log_settings(folders, &options, database, incarnation);
    let start = wal::Start {
        next_lsn,
        file_number: highest.saturating_add(1),
        cut: None,
        old: Vec::new(),
        flushed: Lsn(next_lsn.0 - 1),
        recycle: None,
    };
    manifest
        .commit(vec![next_ids, Entry::Flushed(Lsn(next_lsn.0 - 1))])
        .map_err(|e| e.error)?;
    drop(wal::Log::start(disk, settings, start)?);
    Ok(())
}

/// LSNs, and ids of series, skipped after a loss: more than a log can hold.
const LOST: u64 = 1 << 32;

fn lost_folder(disk: &dyn Disk, folders: &Folders) -> Result<PathBuf> {
    let lost = folders.root.join("lost");
    // Its name too must survive: what is in it may be the only copy.
    disk.create_dir_all(&lost)
        .and_then(|()| disk.sync_dir(&folders.root))
        .map_err(|e| Error::io("make the folder", &lost, e))?;
    Ok(lost)
}

/// Copies a file to `lost/`, whole or not at all.
fn copy_to_lost(disk: &dyn Disk, folders: &Folders, path: &Path) -> Result<()> {
    let lost = lost_folder(disk, folders)?;
    let Some(name) = path.file_name() else {
        return Ok(());
    };
    let copy = || -> std::io::Result<()> {
        let bytes = io::read_all(&*disk.open(path)?)?;
        let (tmp, to) = (folders.tmp().join(name), lost.join(name));
        match disk.remove(&tmp) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => io::write_atomically(disk, &tmp, &to, &bytes),
        }
    };
    copy().map_err(|e| Error::io("copy a damaged file to lost/", path, e))
}

fn move_to_lost(disk: &dyn Disk, folders: &Folders, path: &Path) -> Result<()> {
    let lost = lost_folder(disk, folders)?;
    let Some(name) = path.file_name() else {
        return Ok(());
    };
    match disk.rename(path, &lost.join(name)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("move a damaged file to lost/", path, e))
        }
        _ => disk
            .sync_dir(&lost)
            .map_err(|e| Error::io("sync the folder", &lost, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::SimDisk;

    #[test]
    fn what_is_moved_to_lost_survives_a_power_loss() {
        let disk = SimDisk::new();
        let folders = Folders::new(Path::new("/db"));
        for dir in [&folders.root, &folders.tmp()] {
            disk.create_dir_all(dir).unwrap();
            disk.sync_dir(dir.parent().unwrap()).unwrap();
        }
        for name in ["moved", "copied"] {
            let path = folders.root.join(name);
            let file = disk.create(&path).unwrap();
            file.write_all_at(name.as_bytes(), 0).unwrap();
            file.sync().unwrap();
        }
        disk.sync_dir(&folders.root).unwrap();
        // A disk may write the one name that is gone before the other that is new.
        copy_to_lost(&disk, &folders, &folders.root.join("copied")).unwrap();
        move_to_lost(&disk, &folders, &folders.root.join("moved")).unwrap();
        let left = disk.after_power_loss(|_| false);
        for name in ["moved", "copied"] {
            let file = left.open(&folders.root.join("lost").join(name)).unwrap();
            assert_eq!(io::read_all(&*file).unwrap(), name.as_bytes());
        }
    }
}
