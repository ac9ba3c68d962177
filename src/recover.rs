//! From the files of a database to a running engine.
//!
//! Order: identity, lock, manifest, log (replayed into the head), index (caught up or rebuilt),
//! threads. Nothing is written before the log has been read to its end. What is written then: what
//! was read and nothing proves to be durable, again, or a manifest without a torn edit; the index;
//! a new log file that names the cut.

mod lost_edits;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidestone_format::header::{FileHeader, FileKind, Specific};
use tidestone_format::log::{Frame, Record, SectionSeries, SeriesDefinition};
use tidestone_format::manifest::Entry;
use tidestone_format::version::LOG_PAGE;
use tidestone_format::{FileUuid, FormatError, FormatErrorKind, Lsn, SeriesId, TableId};

pub(crate) use self::lost_edits::{Given, LOST_EDITS};
pub(crate) use crate::catalog::catch_up;
use crate::catalog::{Ground, SeriesRegistry, Tables, applied, nothing};
use crate::clock::Clock;
use crate::config::Options;
use crate::engine::{Engine, Parts};
use crate::error::{Error, ErrorKind, Result};
use crate::head::Head;
use crate::index::{Applied, Index, Opened};
use crate::io::{self, Disk, Lock};
use crate::random::Random;
use crate::rows::Rows;
use crate::sharing::{Leases, Publisher};
use crate::store::{Folders, Manifest, Store, newest_manifest, read_manifest, segment_files};
use crate::threads::Threads;
use crate::wal::{self, Log, LogSettings};

/// Appended bytes at which the log thread starts to write without being asked: enough that the call
/// costs little beside the copy, little enough that buffers stay in the cache.
const LOG_WRITE_BEHIND: usize = 1 << 20;

/// What a database is opened with.
#[derive(Debug, Clone)]
pub(crate) struct Components {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) threads: Arc<dyn Threads>,
    /// Keep the index in memory and rebuild it at every open.
    pub(crate) index_in_memory: bool,
}

/// What opening a database found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Batches, definitions and deletes read from the log.
    pub replayed: u64,
    /// An unsynced tail of the log that was cut: file, offset, why it was not readable.
    pub log_tail: Option<String>,
    /// Damage in the log that costs nothing: what it held is in segments.
    pub log_damage: Vec<String>,
    /// Readers of the log that were dropped, because what they had yet to read is not there: they must
    /// start over from a snapshot.
    pub cursors_dropped: Vec<String>,
    /// An edit of the manifest that was never synced and was dropped.
    pub manifest_tail: Option<String>,
    /// Why the index was rebuilt, if it was.
    pub index_rebuilt: Option<String>,
    /// Series the index took in from segments and log because it was older than they are, as it is after
    /// a crash, or was rebuilt.
    pub index_caught_up: u64,
    /// Segment files that no manifest named, removed.
    pub strays_removed: usize,
    /// Segment files that no manifest names and that readers in other processes may need: they go
    /// with those.
    pub strays_kept: usize,
    /// Opened for reading only: why nothing keeps the process that writes from removing segments that
    /// are still to be read. Questions that meet one that is gone are
    /// [`Busy`](crate::ErrorKind::Busy) until the next [`refresh`](crate::Tidestone::refresh).
    pub unleased: Option<String>,
    /// Opened for writing: why readers in other processes cannot follow, if they cannot.
    pub unpublished: Option<String>,
    /// Segments that the manifest names and whose files are not there: questions that need them fail.
    /// While there are any, files that no manifest names are kept.
    pub segments_missing: Vec<PathBuf>,
}

/// Makes the files of a new database.
pub(crate) fn create(path: &Path, components: &Components, options: &Options) -> Result<()> {
    let Components {
        disk,
        clock,
        random,
        ..
    } = components;
    let folders = Folders::new(path);
    let io = |e| Error::io("create a database", path, e);
    let names = match disk.list(path) {
        Ok(names) => names,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(io(e)),
    };
    if names.iter().any(|n| n.name == "IDENTITY") {
        let message = "there is a database here already, and a place without one is expected; open it, or name \
                       another place";
        return Err(Error::new(ErrorKind::Exists, message).with_path(path));
    }
    let unfinished = is_unfinished(&**disk, &folders, &names)?;
    if !names.is_empty() && !unfinished {
        if has_parts(&**disk, &folders)? {
            return Err(lost_identity(&folders));
        }
        let message = "the folder is not empty; name an empty one, or one that is not there";
        return Err(Error::new(ErrorKind::Exists, message).with_path(path));
    }
    let above = folders_above(&**disk, path).map_err(io)?;
    for folder in [
        folders.wal(),
        folders.manifest(),
        folders.segments(),
        folders.tmp(),
        folders.readers(),
    ] {
        disk.create_dir_all(&folder).map_err(io)?;
    }
    let _lock = lock(&**disk, &folders)?;
    let new = [
        folders.wal(),
        folders.manifest(),
        folders.tmp(),
        folders.readers(),
    ];
    for folder in new {
        for left in disk.list(&folder).map_err(io)? {
            disk.remove(&folder.join(left.name)).map_err(io)?;
        }
    }
    // The folder's own name, and those of folders made on the way to it, are durable before the
    // identity makes it a database.
    for folder in above {
        disk.sync_dir(&folder).map_err(io)?;
    }
    let uuid = |what| random.uuid().map_err(|e| Error::io(what, path, e));
    let database = uuid("get a random name for a database")?;
    let incarnation = uuid("get a random name for an incarnation")?;
    let entries = [
        Entry::NextIds {
            series: SeriesId(1),
            table: TableId(1),
        },
        Entry::Incarnation(incarnation),
    ];
    Manifest::create(
        disk.clone(),
        &folders.manifest(),
        &folders.tmp(),
        database,
        &entries,
    )?;
    let settings = log_settings(&folders, options, database, incarnation);
    let start = wal::Start {
        next_lsn: Lsn(1),
        file_number: 1,
        cut: None,
        old: Vec::new(),
        flushed: Lsn(0),
        recycle: None,
    };
    drop(Log::start(disk.clone(), settings, start)?);
    // The identity comes last: with it the folder is a database, and has the folders of one.
    disk.sync_dir(path).map_err(io)?;
    let identity = FileHeader::identity(database, clock.now()).encode();
    let (tmp, path_of_identity) = (folders.tmp().join("IDENTITY"), folders.identity());
    io::write_atomically(&**disk, &tmp, &path_of_identity, &identity).map_err(io)
}

/// The folder above a database, and above it those that will get a new folder with the database.
fn folders_above(disk: &dyn Disk, path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut above = Vec::new();
    for folder in path.ancestors().skip(1) {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        above.push(folder.to_owned());
        match disk.list(folder) {
            Ok(_) => break,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(above)
}

/// Whether a folder holds no more than the creation of a database, ended by a crash, leaves in it: a
/// first manifest without tables, a first log file without frames, no segments.
fn is_unfinished(disk: &dyn Disk, folders: &Folders, names: &[io::DirEntry]) -> Result<bool> {
    const OWN: [&str; 6] = ["LOCK", "manifest", "readers", "segments", "tmp", "wal"];
    if names.iter().any(|n| !OWN.contains(&n.name.as_str())) {
        return Ok(false);
    }
    let has = |name: &str| names.iter().any(|n| n.name == name && n.is_dir);
    if has("segments") && !list_if_there(disk, &folders.segments())?.is_empty() {
        return Ok(false);
    }
    let files = |folder: PathBuf, name: &str| -> Result<Vec<PathBuf>> {
        let list = match has(name) {
            true => list_if_there(disk, &folder)?,
            false => Vec::new(),
        };
        Ok(list.into_iter().map(|e| folder.join(e.name)).collect())
    };
    let read = |path: &Path| {
        let bytes = disk.open(path).and_then(|file| io::read_all(&*file));
        bytes.map_err(|e| Error::io("look for a database", path, e))
    };
    for path in files(folders.manifest(), "manifest")? {
        let bytes = read(&path)?;
        match read_manifest(&path, &bytes) {
            Ok((_, found)) if found.state.tables().is_empty() && found.version == 1 => {}
            _ => return Ok(false),
        }
    }
    for path in files(folders.wal(), "wal")? {
        let len = disk.open(&path).and_then(|file| file.len());
        let len = len.map_err(|e| Error::io("look for a database", &path, e))?;
        if len > wal::LONGEST_FILE {
            return Ok(false);
        }
        let bytes = read(&path)?;
        if bytes.iter().skip(LOG_PAGE).any(|&b| b != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads the identity file.
pub(crate) fn identity(disk: &dyn Disk, folders: &Folders) -> Result<(FileUuid, i64)> {
    let path = folders.identity();
    let file = disk.open(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => no_identity(disk, folders).unwrap_or_else(|e| e),
        _ => Error::io("open the identity file", &path, e),
    })?;
    let bytes = io::read_all(&*file).map_err(|e| Error::io("read the identity file", &path, e))?;
    let header =
        FileHeader::decode_kind(&bytes, FileKind::Identity).map_err(|e| Error::format(&path, e))?;
    let created = match header.specific {
        Specific::Identity { created_at } => created_at,
        _ => 0,
    };
    Ok((header.database, created))
}

/// There is no IDENTITY: either no database, or one that has lost it.
fn no_identity(disk: &dyn Disk, folders: &Folders) -> Result<Error> {
    let names = list_if_there(disk, &folders.root)?;
    let unfinished = is_unfinished(disk, folders, &names)?;
    if !unfinished && has_parts(disk, folders)? {
        return Ok(lost_identity(folders));
    }
    let message = "there is no database here: expected an IDENTITY file, found none; create one, or \
                   name another folder";
    Ok(Error::new(ErrorKind::NotFound, message).with_path(&folders.root))
}

/// Whether a folder has files of a log, a manifest or segments.
fn has_parts(disk: &dyn Disk, folders: &Folders) -> Result<bool> {
    let is_log = |file: &io::DirEntry| wal::number_of(&file.name).is_some();
    if list_if_there(disk, &folders.wal())?.iter().any(is_log) {
        return Ok(true);
    }
    match newest_manifest(disk, &folders.manifest()) {
        // There is none in it.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {}
        found => return found.map(|_| true),
    }
    match segment_files(disk, &folders.segments()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        found => found.map(|files| !files.is_empty()),
    }
}

/// What is in a folder: nothing, if it is not there.
fn list_if_there(disk: &dyn Disk, folder: &Path) -> Result<Vec<io::DirEntry>> {
    match disk.list(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        list => list.map_err(|e| Error::io("look for a database", folder, e)),
    }
}

fn lost_identity(folders: &Folders) -> Error {
    let message =
        "expected the IDENTITY of the database whose files are in this folder, found none";
    let advice = "restore it from a backup of this database, however old, or run `tidestone repair`, which writes \
                  it anew as the other files say";
    Error::corrupt(&folders.identity(), 0, message).advising(advice)
}

/// Takes the lock that one writer holds.
pub(crate) fn lock(disk: &dyn Disk, folders: &Folders) -> Result<Lock> {
    let path = folders.lock();
    disk.lock(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => {
            let message = "another process, or another handle of this one, has the database open for writing; \
                           close it there, or open it here for reading only";
            Error::new(ErrorKind::Locked, message).with_path(&path)
        }
        _ => Error::io("lock the database", &path, e),
    })
}

pub(crate) fn log_settings(
    folders: &Folders,
    options: &Options,
    database: FileUuid,
    incarnation: FileUuid,
) -> LogSettings {
    LogSettings {
        dir: folders.wal(),
        database,
        incarnation,
        file_len: options.log_file_bytes,
        write_behind: options.log_pending_max().min(LOG_WRITE_BEHIND),
        pending_max: options.log_pending_max(),
        retained_max: options.log_retained_bytes,
    }
}

/// Opens a database for writing, with its index made anew if that is asked for, whatever state it is in.
/// The lock is held by whoever gets the engine.
pub(crate) fn open(
    path: &Path,
    components: &Components,
    options: Options,
    rebuild_index: bool,
) -> Result<(Engine, OpenReport)> {
    let Components {
        disk,
        clock,
        random,
        threads,
        index_in_memory,
    } = components.clone();
    let folders = Folders::new(path);
    let (database, _) = identity(&*disk, &folders)?;
    disk.sync_dir(path)
        .map_err(|e| Error::io("sync the folder of the database", path, e))?;
    let mut report = OpenReport::default();
    let (manifest, found) =
        Manifest::open(disk.clone(), &folders.manifest(), &folders.tmp(), database)?;
    report.manifest_tail = found.torn;
    let incarnation = manifest.state().incarnation();
    let next_series = manifest.state().next_series();
    let given = Given::of(manifest.state());
    let cursors = manifest.state().cursors().clone();
    let lone = manifest.state().series().values();
    let suspects: BTreeSet<TableId> = lone.map(|definition| definition.table).collect();
    let memory = options.segment_memory();
    let store = Store::new(
        disk.clone(),
        folders.clone(),
        database,
        manifest,
        memory,
        None,
    )?;
    let version = store.version();

    let tables = Tables::of(&version);
    let series = SeriesRegistry::without_index(next_series);
    let mut head = Head::new(options.spare_bytes());
    let wal = folders.wal();
    let replayed = wal::replay(
        &wal::LogFiles {
            disk: &*disk,
            dir: &wal,
            database,
            incarnation,
            mapped: options.read_mode.maps(),
        },
        version.flushed,
        wal::Missing::Refused,
        |frame| take_in(&mut head, &series, &tables, Some(&given), frame),
    )?;
    report.replayed = replayed.frames;
    report.log_damage = replayed.stepped_over.iter().map(describe).collect();
    report.log_tail = replayed.tail.as_ref().map(|tail| {
        format!(
            "log file {} at offset {}: {}",
            tail.file, tail.offset, tail.why
        )
    });
    let strays = store.find_strays()?;
    for stray in &strays.files {
        given.check_stray(&*disk, stray, database)?;
    }
    // From here on files are written: manifest, log and the names of segments have been read, and do not
    // contradict each other.
    store.settle()?;
    wal::make_durable(&*disk, &wal, &replayed.unproven)?;
    let ground = Ground {
        folder: folders.index(),
        memory: options.index_bytes(),
        database,
    };
    let kind = match (index_in_memory, rebuild_index) {
        (true, _) => IndexKind::InMemory,
        (false, true) => IndexKind::Anew,
        (false, false) => IndexKind::AsItIs,
    };
    let index = open_index(&ground, &store, kind, &mut report)?;
    series.attach(index, (!index_in_memory).then_some(ground));
    // Which of the series that the manifest defines have rows is looked up later, in the background.
    suspects.into_iter().for_each(|table| series.suspect(table));
    let strays = store.remove_strays(strays)?;
    report.strays_removed = strays.removed;
    report.strays_kept = strays.kept;
    report.segments_missing = strays.missing;
    let settings = log_settings(&folders, &options, database, incarnation);
    let mut start = replayed.start;
    start.recycle = wal::remove_unused(&*disk, &wal, &replayed.unused, settings.file_len)?;
    let log = Log::start(disk.clone(), settings, start)?;
    // What was read is durable, and the log goes on in a file that readers find.
    if let Err(error) = publish(&disk, &folders, incarnation, &store, &log) {
        report.unpublished = Some(error.to_string());
    }
    let mut unserved = Vec::new();
    for (name, lsn) in cursors {
        let damaged = replayed.stepped_over.iter().any(|s| *s.lsns.end() > lsn);
        if damaged || log.set_consumer(&name, lsn).is_err() {
            unserved.push((name, lsn));
        }
    }
    let engine = Engine::new(Parts {
        options,
        clock,
        random,
        threads,
        store,
        series,
        tables,
        log: Some(log),
        head,
        index_rebuilt: report.index_rebuilt.is_some(),
        read_upto: Lsn(0),
    });
    let caught_up = &engine.counters.index_caught_up;
    caught_up.store(report.index_caught_up, Ordering::Relaxed);
    for (name, lsn) in unserved {
        engine.remove_cursor(&name)?;
        report.cursors_dropped.push(format!(
            "{name:?}, which had read up to LSN {lsn}: what follows is not in the log, or damaged there"
        ));
    }
    Ok((engine, report))
}

/// What can be read of a damaged database, to be repaired: without a log to write to and without
/// threads, and with an index in memory. Nothing is written before the first edit, with which the
/// segments `given_up` go, and the damaged part of the manifest. Of the log everything is read that can be,
/// or nothing if it is not `with_log`.
pub(crate) fn open_to_repair(
    folders: &Folders,
    database: FileUuid,
    components: &Components,
    options: Options,
    given_up: &[FileUuid],
    with_log: bool,
) -> Result<Engine> {
    let Components {
        disk,
        clock,
        random,
        threads,
        ..
    } = components.clone();
    let (dir, tmp, wal) = (folders.manifest(), folders.tmp(), folders.wal());
    let manifest = Manifest::open_to_repair(disk.clone(), &dir, &tmp, database, given_up)?;
    let incarnation = manifest.state().incarnation();
    let series = SeriesRegistry::without_index(manifest.state().next_series());
    let memory = options.segment_memory();
    let store = Store::new(
        disk.clone(),
        folders.clone(),
        database,
        manifest,
        memory,
        None,
    )?;
    let version = store.version();
    let tables = Tables::of(&version);
    let mut head = Head::new(options.spare_bytes());
    let mut read_upto = version.flushed;
    if with_log {
        let files = wal::LogFiles {
            disk: &*disk,
            dir: &wal,
            database,
            incarnation,
            mapped: options.read_mode.maps(),
        };
        let missing = wal::Missing::LeftOut(&mut Vec::new());
        let replayed = wal::replay(&files, version.flushed, missing, |frame| {
            take_in(&mut head, &series, &tables, None, frame)
        })?;
        read_upto = Lsn(replayed.start.next_lsn.0 - 1);
    }
    let ground = Ground {
        folder: folders.index(),
        memory: options.index_bytes(),
        database,
    };
    let (kind, report) = (IndexKind::InMemory, &mut OpenReport::default());
    series.attach(open_index(&ground, &store, kind, report)?, None);
    Ok(Engine::new(Parts {
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
    }))
}

/// Lets readers in other processes follow from here on.
fn publish(
    disk: &Arc<dyn Disk>,
    folders: &Folders,
    incarnation: FileUuid,
    store: &Store,
    log: &Log,
) -> Result<()> {
    let readers = folders.readers();
    disk.create_dir_all(&readers)
        .map_err(|e| Error::io("make the folder for readers", &readers, e))?;
    Leases::new(disk.clone(), readers.clone()).remove_unfinished()?;
    let names = (store.database(), incarnation);
    let (durable, version) = (log.durable_lsn(), store.version().number);
    let publisher = Publisher::start(&**disk, &readers, names, durable, version)?;
    let publisher = Arc::new(publisher);
    store.publish_to(publisher.clone());
    log.publish_to(publisher);
    Ok(())
}

fn describe(damage: &wal::SteppedOver) -> String {
    format!(
        "{} at offset {}: LSN {} to {} are not readable; they were flushed before",
        damage.path.display(),
        damage.offset,
        damage.lsns.start(),
        damage.lsns.end()
    )
}

/// Which index a database gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IndexKind {
    /// One in memory, made at each open.
    InMemory,
    /// The one in its folder, if it can be used.
    AsItIs,
    /// One made anew in its folder.
    Anew,
}

/// Opens the index, or makes it anew, and lets it catch up with segments and manifest.
fn open_index(
    ground: &Ground,
    store: &Store,
    kind: IndexKind,
    report: &mut OpenReport,
) -> Result<Index> {
    let version = &*store.version();
    // They are many, and only an index that lags wants them.
    let lone = || -> Vec<SeriesDefinition> {
        let editor = store.edit();
        editor.state().series().values().cloned().collect()
    };
    let (memory, database) = (ground.memory, ground.database);
    if kind == IndexKind::InMemory {
        let index = Index::open_in_memory(memory, database, nothing(version))?;
        report.index_caught_up = catch_up(&index, version, &lone(), Lsn(0))?;
        return Ok(index);
    }
    let judged = match kind {
        IndexKind::Anew => Err("that was asked for".to_owned()),
        _ => judge(
            Index::open(&ground.folder, memory, database)?,
            applied(version),
        ),
    };
    let (index, from) = match judged {
        Ok((index, from)) => (index, from),
        Err(why) => {
            // A database that was only made has none yet.
            let is_new = version.number == 1 && version.tables.is_empty();
            report.index_rebuilt = (!is_new).then_some(why);
            let index = Index::create(&ground.folder, memory, database, nothing(version))?;
            (index, Lsn(0))
        }
    };
    if from < version.flushed || report.index_rebuilt.is_some() {
        report.index_caught_up = catch_up(&index, version, &lone(), from)?;
    }
    Ok(index)
}

/// Whether an index can be used where the manifest is at `ground`, and from which LSN on it lacks
/// definitions. It lacks nothing else, and has no series that the manifest has forgotten.
pub(crate) fn judge(opened: Opened, ground: Applied) -> std::result::Result<(Index, Lsn), String> {
    match opened {
        Opened::Unusable { why } => Err(why),
        Opened::Ready(_, has) if has.incarnation != ground.incarnation => Err(format!(
            "it is of incarnation {}, the database of {}",
            has.incarnation, ground.incarnation
        )),
        Opened::Ready(_, has)
            if has.lsn > ground.lsn || has.manifest_version > ground.manifest_version =>
        {
            Err(format!(
                "it is ahead: it has LSN {} of manifest version {}, the manifest is at {} and {}",
                has.lsn, has.manifest_version, ground.lsn, ground.manifest_version
            ))
        }
        Opened::Ready(_, has) if !has.forgetting.has_all_of(ground.forgetting.last) => {
            Err(format!(
                "series were forgotten that it may have: it knows of forgetting {}, the last one was {}",
                has.forgetting.next, ground.forgetting.last
            ))
        }
        Opened::Ready(index, has) => Ok((index, has.lsn)),
    }
}

/// Takes a frame of the log into head and registry. It fails for one with ids that the manifest has not
/// `given`; where that is not said, edits are known to be lost, and what they had added is left out.
pub(crate) fn take_in(
    head: &mut Head,
    series: &SeriesRegistry,
    tables: &Tables,
    given: Option<&Given>,
    frame: &Frame<'_>,
) -> Result<()> {
    let at = |e: FormatError| Error::format(Path::new("log"), e.at_base(frame.payload_offset()));
    let lsn = frame.header.lsn;
    let record = Record::decode(frame.header.kind, frame.payload).map_err(at)?;
    if let Some(given) = given {
        given.check(frame, &record)?;
    }
    match record {
        Record::Batch(sections) => {
            for mut section in sections {
                // Rows of a table that was dropped are gone with it.
                let Some(table) = tables.by_id(section.table) else {
                    continue;
                };
                if given.is_none() {
                    let next = table.schema().next_field_id;
                    section.columns.retain(|(field, _)| field.0 < next);
                }
                let ids = match section.series {
                    SectionSeries::One(id) => vec![id; section.times.len()],
                    SectionSeries::PerRow(ids) => ids,
                };
                let rows = Rows {
                    series: ids,
                    times: section.times,
                    columns: section.columns,
                };
                head.share(table.id, table.policy, lsn, &Arc::new(rows));
                head.merge_small(lsn);
            }
        }
        Record::SeriesDefinitions(definitions) => {
            for definition in definitions {
                let known = tables.by_id(definition.table).is_some();
                series.replay(definition, lsn, known);
            }
        }
        Record::Delete(tombstone) => {
            if let Some(table) = tables.by_id(tombstone.table) {
                head.delete(table.id, table.policy, lsn, tombstone);
            }
        }
        Record::SegmentReferences(_) => {
            let error = FormatError::new(
                FormatErrorKind::Unsupported,
                "log frame",
                frame.offset,
                "frames that hold rows",
                "one that refers to segments",
            );
            return Err(Error::format(Path::new("log"), error));
        }
        Record::Note => {}
    }
    Ok(())
}
