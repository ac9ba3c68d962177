//! Segment files: written once, mapped for reading, removed when nobody needs them.
//!
//! # Invariants
//! 1. A file gets its name after it was synced, and its name is durable before the manifest has it.
//! 2. No byte of a segment is believed before the checksum of its region was compared, by reading
//!    it from the file (so that a bad disk gives an error), once while the segment is open.
//! 3. A file is removed when the manifest no longer names it and the last reader has let go.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};
use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::stats::ColumnStats;
use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN};
use tidestone_format::log::SeriesDefinition;
use tidestone_format::manifest::SegmentEntry;
use tidestone_format::segment::{Block, GroupPage, Region, Root, SeriesPage, TRAILER_LEN, Trailer};
use tidestone_format::{FieldId, FileUuid, FormatError};

use crate::error::{Error, ErrorKind, Result};
use crate::io::{Disk, File, Mapping};

/// A live segment. Dropping the last reference to one that the manifest dropped removes its file.
#[derive(Debug)]
pub(crate) struct Segment {
    disk: Arc<dyn Disk>,
    pub(crate) entry: SegmentEntry,
    path: PathBuf,
    database: FileUuid,
    open: Mutex<Option<Arc<OpenSegment>>>,
    doomed: AtomicBool,
    /// Row groups that are not read any more: a repair gives them up.
    given_up: OnceLock<Arc<[usize]>>,
}

/// A segment whose header, trailer and root were read.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    path: PathBuf,
    file: Arc<dyn File>,
    map: Mapping,
    uuid: FileUuid,
    root: Root,
    /// Offsets of regions whose checksums were compared.
    checked: RwLock<FxHashSet<u64>>,
    series_pages: Vec<OnceLock<Arc<SeriesPage>>>,
    group_pages: Vec<OnceLock<Arc<GroupPage>>>,
    dictionaries: RwLock<FxHashMap<FieldId, Option<Arc<Dictionary>>>>,
    stats: RwLock<FxHashMap<(usize, FieldId), Arc<ColumnStats>>>,
    given_up: Option<Arc<[usize]>>,
}

/// Where a segment lies below the folder of segments.
pub(crate) fn place_of(segments: &Path, entry: &SegmentEntry) -> PathBuf {
    segments
        .join(entry.table.to_string())
        .join(entry.partition.start.to_string())
        .join(format!("{}.seg", entry.uuid))
}

impl Segment {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        segments: &Path,
        database: FileUuid,
        entry: SegmentEntry,
    ) -> Self {
        let path = place_of(segments, &entry);
        Self {
            disk,
            entry,
            path,
            database,
            open: Mutex::new(None),
            doomed: AtomicBool::new(false),
            given_up: OnceLock::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The segment, opened if it is not.
    pub(crate) fn open(&self) -> Result<Arc<OpenSegment>> {
        let mut open = self.open.lock();
        if let Some(segment) = &*open {
            return Ok(segment.clone());
        }
        let mut segment = OpenSegment::open(&*self.disk, &self.path, self.database, &self.entry)?;
        segment.given_up = self.given_up.get().cloned();
        let segment = Arc::new(segment);
        *open = Some(segment.clone());
        Ok(segment)
    }

    /// The row groups that cannot be read for damage, and what is wrong with each. Every byte of
    /// the segment is read. Damage that concerns more than a row group is the error.
    pub(crate) fn damaged_groups(&self) -> Result<Vec<(usize, Error)>> {
        let open = self.open()?;
        self.each_series(|_| Ok(()))?;
        for dictionary in &open.root().dictionaries {
            open.dictionary(dictionary.field)?;
        }
        let mut damaged = Vec::new();
        for group in 0..open.root().group_pages.len() {
            match open.check_group(group) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => damaged.push((group, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(damaged)
    }

    /// Reads these row groups no more, as if their rows were not there.
    pub(crate) fn give_up(&self, groups: Arc<[usize]>) {
        // Who gives up twice means the same.
        let _ = self.given_up.set(groups);
        self.close();
    }

    /// The definitions of its series, from its series pages.
    pub(crate) fn each_series(
        &self,
        mut visit: impl FnMut(SeriesDefinition) -> Result<()>,
    ) -> Result<()> {
        let open = self.open()?;
        for number in 0..open.root().series_pages.len() {
            let page = open.series_page(number)?;
            for (i, id) in page.ids().enumerate() {
                let key = page.key(i).map_err(|e| open.damaged(e))?;
                visit(SeriesDefinition {
                    table: self.entry.table,
                    id,
                    key,
                })?;
            }
        }
        Ok(())
    }

    /// Lets go of map and file; readers that have them keep them.
    pub(crate) fn close(&self) {
        *self.open.lock() = None;
    }

    /// Whether the segment is open.
    pub(crate) fn is_open(&self) -> bool {
        self.open.lock().is_some()
    }

    /// The manifest no longer names the segment: its file goes with the last reader.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::SeqCst);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::SeqCst) {
            // A file that stays is found and removed at the next open: it is in no manifest.
            let _ = self.disk.remove(&self.path);
        }
    }
}

impl OpenSegment {
    fn open(
        disk: &dyn Disk,
        path: &Path,
        database: FileUuid,
        entry: &SegmentEntry,
    ) -> Result<Self> {
        let io = |e| Error::io("open a segment that the manifest names", path, e);
        let format = |e| Error::format(path, e);
        let file = disk.open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                let message = "the manifest names this segment and it is not there; restore it from \
                               a backup, or run `tidestone repair` to see what going on without \
                               it would lose";
                Error::corrupt(path, 0, message)
            }
            _ => io(e),
        })?;
        let len = file.len().map_err(io)?;
        if len != entry.file_len {
            let message = format!(
                "the segment has {len} bytes, the manifest says {}",
                entry.file_len
            );
            return Err(Error::corrupt(path, len.min(entry.file_len), message));
        }
        let map = file
            .map(usize::try_from(len).unwrap_or(usize::MAX))
            .map_err(io)?;
        let mut head = [0; HEADER_LEN];
        let mut tail = [0; TRAILER_LEN];
        if len < (HEADER_LEN + TRAILER_LEN) as u64 {
            let needed = (HEADER_LEN + TRAILER_LEN) as u64;
            return Err(format(FormatError::truncated("segment", 0, needed, len)));
        }
        file.read_exact_at(&mut head, 0).map_err(io)?;
        file.read_exact_at(&mut tail, len - TRAILER_LEN as u64)
            .map_err(io)?;
        let header = FileHeader::decode_kind(&head, FileKind::Segment).map_err(format)?;
        let trailer = Trailer::decode(&tail, len).map_err(format)?;
        for (what, offset, actual) in [
            ("header", 40, header.file),
            ("trailer", len - TRAILER_LEN as u64, trailer.file),
        ] {
            if actual != entry.uuid {
                let message = format!(
                    "the segment's {what} says it is {actual}, the manifest {}",
                    entry.uuid
                );
                return Err(Error::corrupt(path, offset, message));
            }
        }
        if header.database != database {
            let message = format!(
                "the segment belongs to database {}, this is {database}",
                header.database
            );
            return Err(Error::corrupt(path, 24, message));
        }
        let region = trailer.root_region();
        if region.crc != entry.root_crc {
            let message = format!(
                "the root's checksum is {:#010x}, the manifest says {:#010x}",
                region.crc, entry.root_crc
            );
            return Err(Error::corrupt(path, len - TRAILER_LEN as u64, message));
        }
        let bytes = read_region(&*file, path, &region)?;
        region.check(trailer.file, &bytes).map_err(format)?;
        let root = Root::decode(&bytes, &trailer).map_err(format)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            map,
            uuid: trailer.file,
            series_pages: root.series_pages.iter().map(|_| OnceLock::new()).collect(),
            group_pages: root.group_pages.iter().map(|_| OnceLock::new()).collect(),
            root,
            checked: RwLock::default(),
            dictionaries: RwLock::default(),
            stats: RwLock::default(),
            given_up: None,
        })
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The page of series `i`.
    pub(crate) fn series_page(&self, i: usize) -> Result<Arc<SeriesPage>> {
        let slot = &self.series_pages[i];
        if let Some(page) = slot.get() {
            return Ok(page.clone());
        }
        let reference = &self.root.series_pages[i];
        let bytes = self.region(&reference.region)?;
        let page =
            SeriesPage::decode(bytes, reference).map_err(|e| Error::format(&self.path, e))?;
        Ok(slot.get_or_init(|| Arc::new(page)).clone())
    }

    /// The page of row group `group`.
    pub(crate) fn group_page(&self, group: usize) -> Result<Arc<GroupPage>> {
        let slot = &self.group_pages[group];
        if let Some(page) = slot.get() {
            return Ok(page.clone());
        }
        let bytes = self.region(&self.root.group_pages[group].region)?;
        let page = GroupPage::decode(bytes, &self.root, group)
            .map_err(|e| Error::format(&self.path, e))?;
        Ok(slot.get_or_init(|| Arc::new(page)).clone())
    }

    /// The statistics of the vectors of a field in row group `group`; `None` if the segment does
    /// not have the field.
    pub(crate) fn stats(&self, group: usize, field: FieldId) -> Result<Option<Arc<ColumnStats>>> {
        if let Some(stats) = self.stats.read().get(&(group, field)) {
            return Ok(Some(stats.clone()));
        }
        let page = self.group_page(group)?;
        let Some(column) = page.column(field) else {
            return Ok(None);
        };
        let stats = page
            .stats(column)
            .map_err(|e| Error::format(&self.path, e))?;
        let stats = Arc::new(stats);
        self.stats.write().insert((group, field), stats.clone());
        Ok(Some(stats))
    }

    /// The dictionary of a field, if it has one.
    pub(crate) fn dictionary(&self, field: FieldId) -> Result<Option<Arc<Dictionary>>> {
        if let Some(known) = self.dictionaries.read().get(&field) {
            return Ok(known.clone());
        }
        let found = match (self.root.dictionary(field), self.root.column(field)) {
            (Some(reference), Some(column)) => {
                let bytes = self.region(&reference.region)?;
                let values = usize::try_from(reference.values).unwrap_or(usize::MAX);
                let dictionary = Dictionary::decode(bytes, column.field_type, values)
                    .map_err(|e| Error::format(&self.path, e.at_base(reference.region.offset)))?;
                Some(Arc::new(dictionary))
            }
            _ => None,
        };
        self.dictionaries.write().insert(field, found.clone());
        Ok(found)
    }

    /// The block of a field (or of time) in row group `group`; `None` if the segment does not
    /// have the field.
    pub(crate) fn block(&self, group: usize, field: FieldId) -> Result<Option<Block<'_>>> {
        let page = self.group_page(group)?;
        let Some(column) = page.column(field) else {
            return Ok(None);
        };
        let bytes = self.region(&column.block)?;
        let number = u32::try_from(group).unwrap_or(u32::MAX);
        Block::open(bytes, &column.block, column.field_type, number, page.rows())
            .map(Some)
            .map_err(|e| Error::format(&self.path, e))
    }

    /// Whether a row group is not to be read.
    pub(crate) fn is_given_up(&self, group: usize) -> bool {
        let given_up = self.given_up.as_ref();
        given_up.is_some_and(|groups| groups.contains(&group))
    }

    /// Reads every block of a row group.
    fn check_group(&self, group: usize) -> Result<()> {
        for column in self.group_page(group)?.columns() {
            self.stats(group, column.field)?;
            self.block(group, column.field)?;
        }
        Ok(())
    }

    /// The error that `error`, met in this segment's bytes, is to the engine.
    pub(crate) fn damaged(&self, error: FormatError) -> Error {
        Error::format(&self.path, error)
    }

    /// The bytes of a region, its checksum compared the first time.
    fn region(&self, region: &Region) -> Result<&[u8]> {
        let range = region.range();
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end).unwrap_or(usize::MAX);
        let Some(bytes) = self.map.get(start..end) else {
            let message = format!("a region ends at {end}, the file at {}", self.map.len());
            return Err(Error::corrupt(&self.path, range.start, message));
        };
        if !self.checked.read().contains(&region.offset) {
            let read = read_region(&*self.file, &self.path, region)?;
            region
                .check(self.uuid, &read)
                .map_err(|e| Error::format(&self.path, e))?;
            self.checked.write().insert(region.offset);
        }
        Ok(bytes)
    }
}

fn read_region(file: &dyn File, path: &Path, region: &Region) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(region.stored_len).unwrap_or(0)];
    file.read_exact_at(&mut bytes, region.offset)
        .map_err(|e| Error::io("read a region of a segment", path, e))?;
    Ok(bytes)
}

/// Writes a segment file front to back.
#[derive(Debug)]
pub(crate) struct FileSink {
    file: Arc<dyn File>,
    offset: u64,
}

impl FileSink {
    pub(crate) fn new(file: Arc<dyn File>) -> Self {
        Self { file, offset: 0 }
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_all_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
