//! Segment files: written once, mapped or read, removed when nobody needs them.
//!
//! A segment is opened when something of it is read, and closed when others have taken its place in
//! the [cache](super::cache). What planning needs is in its manifest entry. While it is open it has no
//! descriptor, since a process may have few: a map needs none, and where there is no map
//! ([`ReadMode::Pread`]) the file is opened for each region that is read, and closed again.
//!
//! # Invariants
//! 1. A file gets its name after it was synced, and its name is durable before the manifest has it.
//! 2. No byte of a segment is believed before the checksum of its region was compared.
//!    - Of one that is mapped, once while it is open. The region is first read from the file, so that a
//!      bad disk gives an error and not a signal; what is compared are the mapped bytes, those that
//!      are used. That a region was compared is a bit that is kept while the segment is open, whatever is
//!      kept of what was decoded: mapped bytes do not change.
//!    - Of one that is not, whenever the region is read.
//! 3. A file is removed when the manifest no longer names it and the last reader has let go, of
//!    this process and of others ([`crate::sharing`]).

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::stats::ColumnStats;
use tidestone_format::log::SeriesDefinition;
use tidestone_format::manifest::SegmentEntry;
use tidestone_format::segment::{
    Block, GroupPage, Region, RegionBytes, Root, SegmentSink, SeriesPage, TRAILER_LEN,
};
use tidestone_format::{FieldId, FieldType, FileUuid, FormatError};

use super::cache::{HeldBlock, Part, PartKey, PartKind, SegmentCache};
use super::{Folders, Outline};
use crate::config::{ReadMode, SegmentMemory};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{self, Disk, File, Mapping};
use crate::sharing::Leases;

/// Bytes read at a time to see that the disk has a region.
const READ_BYTES: usize = 64 << 10;

/// What the segments of a database have in common.
#[derive(Debug)]
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    database: FileUuid,
    cache: SegmentCache,
    read_mode: ReadMode,
    leases: Leases,
    /// Files that no manifest names and that readers in other processes may need.
    kept: Mutex<Vec<Kept>>,
    /// The process reads beside one that writes, and nothing keeps that one from removing files.
    unleased: AtomicBool,
}

/// A file that is kept for readers in other processes.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    bytes: u64,
    /// The version of the manifest that names it no more.
    dropped_at: u64,
}

/// What is kept on the disk for readers in other processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeptFiles {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// A live segment. Dropping the last reference to one that the manifest dropped removes its file.
#[derive(Debug)]
pub(crate) struct Segment {
    common: Arc<Segments>,
    /// Its number in the cache.
    number: u64,
    pub(crate) entry: SegmentEntry,
    path: PathBuf,
    /// The version of the manifest that names it no more; 0 while it is named.
    dropped_at: AtomicU64,
    /// Row groups that are not read any more: a repair gives them up.
    given_up: OnceLock<Arc<[usize]>>,
}

/// A segment whose header, trailer and root were read. Whoever uses one has the [`Segment`] too: its
/// file is opened again for each region that is read from it.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    common: Arc<Segments>,
    /// That of the segment in the cache.
    number: u64,
    path: PathBuf,
    file_len: u64,
    map: Option<Map>,
    uuid: FileUuid,
    root_region: Region,
    root: Root,
    given_up: Option<Arc<[usize]>>,
}

/// The bytes of a segment that is mapped.
#[derive(Debug)]
struct Map {
    bytes: Mapping,
    checked: Checked,
}

/// Which regions of a mapped segment were compared with their checksums: a bit each, in the order of
/// group pages, series pages, dictionaries, and blocks by row group and column.
#[derive(Debug)]
struct Checked(Box<[AtomicU64]>);

impl Checked {
    fn new(root: &Root) -> Self {
        let regions = first_block(root) + root.group_pages.len() * (root.columns.len() + 1);
        Self(
            (0..regions.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
        )
    }

    // The bit says nothing of other memory: the bytes it vouches for were there before it.
    fn has(&self, region: usize) -> bool {
        self.0[region / 64].load(Ordering::Relaxed) & (1 << (region % 64)) != 0
    }

    fn set(&self, region: usize) {
        self.0[region / 64].fetch_or(1 << (region % 64), Ordering::Relaxed);
    }
}

/// The number of the first dictionary among the regions, and of the first block.
fn first_dictionary(root: &Root) -> usize {
    root.group_pages.len() + root.series_pages.len()
}

fn first_block(root: &Root) -> usize {
    first_dictionary(root) + root.dictionaries.len()
}

/// Where a segment lies below the folder of segments.
pub(crate) fn place_of(segments: &Path, entry: &SegmentEntry) -> PathBuf {
    segments
        .join(entry.table.to_string())
        .join(entry.partition.start.to_string())
        .join(format!("{}.seg", entry.uuid))
}

impl Segments {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        folders: &Folders,
        database: FileUuid,
        memory: SegmentMemory,
    ) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            leases: Leases::new(disk.clone(), folders.readers()),
            disk,
            folder: folders.segments(),
            database,
            cache: SegmentCache::new(memory)?,
            read_mode: memory.read_mode,
            kept: Mutex::default(),
            unleased: AtomicBool::new(false),
        }))
    }

    /// The segment of an entry. There is one at a time of each file.
    pub(crate) fn segment(self: &Arc<Self>, entry: &SegmentEntry) -> Arc<Segment> {
        Arc::new(Segment {
            common: self.clone(),
            number: self.cache.number(),
            entry: entry.clone(),
            path: place_of(&self.folder, entry),
            dropped_at: AtomicU64::new(0),
            given_up: OnceLock::new(),
        })
    }

    /// Says whether another process may remove files that were read of in the manifest.
    pub(crate) fn set_unleased(&self, unleased: bool) {
        self.unleased.store(unleased, Ordering::Relaxed);
    }

    /// Removes a file that version `dropped_at` of the manifest names no more, or keeps it as long
    /// as readers in other processes may need it. One that stays by mistake is found and removed
    /// at the next open: it is in no manifest.
    pub(super) fn let_go(&self, path: PathBuf, bytes: u64, dropped_at: u64) {
        self.kept.lock().push(Kept {
            path,
            bytes,
            dropped_at,
        });
        self.remove_kept();
    }

    /// Removes what was kept for readers that have ended or moved on.
    pub(crate) fn remove_kept(&self) {
        let mut kept = self.kept.lock();
        if kept.is_empty() {
            return;
        }
        // Where it cannot be told who reads, everybody may.
        let pinned = self.leases.pinned().unwrap_or_else(|_| vec![0]);
        let oldest = pinned.first().copied().unwrap_or(u64::MAX);
        kept.retain(|file| {
            let needed = oldest < file.dropped_at;
            if !needed {
                let _ = self.disk.remove(&file.path);
            }
            needed
        });
    }

    /// What is kept for readers in other processes.
    pub(crate) fn kept(&self) -> KeptFiles {
        let kept = self.kept.lock();
        KeptFiles {
            files: kept.len(),
            bytes: kept.iter().map(|file| file.bytes).sum(),
        }
    }

    /// The versions of the manifest that readers in other processes pin.
    pub(crate) fn pinned(&self) -> Result<Vec<u64>> {
        self.leases.pinned()
    }

    pub(super) fn database(&self) -> FileUuid {
        self.database
    }

    #[cfg(test)]
    pub(super) fn cache(&self) -> &SegmentCache {
        &self.cache
    }

    /// Opens the file of a segment. This is the one place where a file can turn out to be gone.
    fn open_file(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.disk.open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound if self.unleased.load(Ordering::Relaxed) => {
                let message = "the writer has removed this segment, and no lease keeps it from that \
                               (see the open report); refresh the database and ask again";
                Error::new(ErrorKind::Busy, message).with_path(path)
            }
            std::io::ErrorKind::NotFound => {
                let advice = "restore it from a backup, or run `tidestone repair` to see what going on \
                              without it would lose";
                let message = "the manifest names this segment and it is not there";
                Error::corrupt(path, 0, message).advising(advice)
            }
            _ => Error::io("open a segment that the manifest names", path, e),
        })
    }
}

impl Segment {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The segment, opened if it is not. To be let go of when it is not needed for the moment: asking
    /// for it again is cheap.
    pub(crate) fn open(&self) -> Result<Arc<OpenSegment>> {
        let cache = &self.common.cache;
        if let Some(open) = cache.opened(self.number) {
            return Ok(open);
        }
        let open = Arc::new(OpenSegment::open(self)?);
        cache.keep_open(self.number, open.clone());
        Ok(open)
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

    /// Fails if anything but zeros lies between its regions, or anything behind its end, of a segment whose
    /// regions are sound.
    pub(crate) fn check_rest(&self) -> Result<()> {
        self.open()?.check_rest()
    }

    /// Reads these row groups no more, as if their rows were not there.
    pub(crate) fn give_up(&self, groups: Arc<[usize]>) {
        // Who gives up twice means the same.
        let _ = self.given_up.set(groups);
        self.common.cache.close(self.number);
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

    /// Version `dropped_at` of the manifest no longer names the segment: its file goes with the last
    /// reader.
    pub(crate) fn doom(&self, dropped_at: u64) {
        self.dropped_at.store(dropped_at, Ordering::SeqCst);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let open = self.common.cache.close(self.number);
        let dropped_at = self.dropped_at.load(Ordering::SeqCst);
        if dropped_at > 0 {
            if let Some(open) = open {
                open.forget_parts();
            }
            let path = std::mem::take(&mut self.path);
            self.common.let_go(path, self.entry.file_len, dropped_at);
        }
    }
}

impl OpenSegment {
    fn open(segment: &Segment) -> Result<Self> {
        let Segment {
            common,
            number,
            entry,
            path,
            ..
        } = segment;
        let io = |e| Error::io("open a segment that the manifest names", path, e);
        let format = |e| Error::format(path, e);
        let file = common.open_file(path)?;
        // What is behind its end is none of it, and no reason not to read it; a repair takes it away.
        let (found, len) = (file.len().map_err(io)?, entry.file_len);
        if found < len {
            let message = format!("the segment has {found} bytes, the manifest says {len}");
            return Err(Error::corrupt(path, found, message));
        }
        let Outline {
            header,
            trailer,
            root,
        } = Outline::read(&*file, len).map_err(io)?.map_err(format)?;
        if header.file != entry.uuid {
            let message = format!(
                "the segment says it is {}, the manifest {}",
                header.file, entry.uuid
            );
            return Err(Error::corrupt(path, 40, message));
        }
        if header.database != common.database {
            let message = format!(
                "the segment belongs to database {}, this is {}",
                header.database, common.database
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
        let map = match common.read_mode {
            ReadMode::Pread => None,
            ReadMode::Mmap => Some(Map {
                bytes: file
                    .map(usize::try_from(len).unwrap_or(usize::MAX))
                    .map_err(io)?,
                checked: Checked::new(&root),
            }),
        };
        Ok(Self {
            common: common.clone(),
            number: *number,
            path: path.clone(),
            file_len: len,
            map,
            uuid: trailer.file,
            root_region: region,
            root,
            given_up: segment.given_up.get().cloned(),
        })
    }

    /// Bytes of memory it takes, about, without what is kept of its pages.
    pub(super) fn memory(&self) -> usize {
        let path = self.path.as_os_str().len();
        let checked = self.map.as_ref().map_or(0, |map| map.checked.0.len() * 8);
        size_of::<Self>() + path + self.root.memory() + checked
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes room for the parts of other segments.
    fn forget_parts(&self) {
        let forget = |kind, number, field| self.common.cache.forget(&self.key(kind, number, field));
        (0..self.root.series_pages.len()).for_each(|i| forget(PartKind::Series, i, FieldId::TIME));
        for group in 0..self.root.group_pages.len() {
            forget(PartKind::Group, group, FieldId::TIME);
            let fields = self.root.columns.iter().map(|field| field.id);
            for field in fields.chain([FieldId::TIME]) {
                forget(PartKind::Stats, group, field);
                forget(PartKind::Block, group, field);
            }
        }
        let dictionaries = self.root.dictionaries.iter();
        dictionaries.for_each(|d| forget(PartKind::Dictionary, 0, d.field));
    }

    fn key(&self, kind: PartKind, number: usize, field: FieldId) -> PartKey {
        PartKey {
            segment: self.number,
            kind,
            number,
            field,
        }
    }

    /// The page of series `i`.
    pub(crate) fn series_page(&self, i: usize) -> Result<Arc<SeriesPage>> {
        let key = self.key(PartKind::Series, i, FieldId::TIME);
        if let Some(Part::Series(page)) = self.common.cache.part(&key) {
            return Ok(page);
        }
        let reference = &self.root.series_pages[i];
        let bytes = self.region(&reference.region, self.root.group_pages.len() + i)?;
        let page = SeriesPage::decode(&bytes, reference).map_err(|e| self.damaged(e))?;
        let checked = self.root.check_series_page(i, &page);
        checked.map_err(|e| self.damaged(e))?;
        let page = Arc::new(page);
        self.common.cache.keep(key, Part::Series(page.clone()));
        Ok(page)
    }

    /// The page of row group `group`.
    pub(crate) fn group_page(&self, group: usize) -> Result<Arc<GroupPage>> {
        let key = self.key(PartKind::Group, group, FieldId::TIME);
        if let Some(Part::Group(page)) = self.common.cache.part(&key) {
            return Ok(page);
        }
        let bytes = self.region(&self.root.group_pages[group].region, group)?;
        let page = GroupPage::decode(&bytes, &self.root, group).map_err(|e| self.damaged(e))?;
        let page = Arc::new(page);
        self.common.cache.keep(key, Part::Group(page.clone()));
        Ok(page)
    }

    /// The statistics of the vectors of a field in row group `group`; `None` if the segment does
    /// not have the field.
    pub(crate) fn stats(&self, group: usize, field: FieldId) -> Result<Option<Arc<ColumnStats>>> {
        let key = self.key(PartKind::Stats, group, field);
        if let Some(Part::Stats(stats)) = self.common.cache.part(&key) {
            return Ok(Some(stats));
        }
        let page = self.group_page(group)?;
        let Some(column) = page.column(field) else {
            return Ok(None);
        };
        let stats = Arc::new(page.stats(column).map_err(|e| self.damaged(e))?);
        self.common.cache.keep(key, Part::Stats(stats.clone()));
        Ok(Some(stats))
    }

    /// The dictionary of a field, if it has one.
    pub(crate) fn dictionary(&self, field: FieldId) -> Result<Option<Arc<Dictionary>>> {
        let dictionaries = &self.root.dictionaries;
        let (Ok(at), Some(column)) = (
            dictionaries.binary_search_by_key(&field, |d| d.field),
            self.root.column(field),
        ) else {
            return Ok(None);
        };
        let key = self.key(PartKind::Dictionary, 0, field);
        if let Some(Part::Dictionary(dictionary)) = self.common.cache.part(&key) {
            return Ok(Some(dictionary));
        }
        let region = &dictionaries[at].region;
        let bytes = self.region(region, first_dictionary(&self.root) + at)?;
        let values = usize::try_from(dictionaries[at].values).unwrap_or(usize::MAX);
        let dictionary = Dictionary::decode(&bytes, column.field_type, values)
            .map_err(|e| self.damaged(e.at_base(region.offset)))?;
        let dictionary = Arc::new(dictionary);
        let part = Part::Dictionary(dictionary.clone());
        self.common.cache.keep(key, part);
        Ok(Some(dictionary))
    }

    /// The block of a field (or of time) in row group `group`; `None` if the segment does not
    /// have the field. Who asks for one vector after another keeps `held` in between.
    pub(crate) fn block(
        &self,
        group: usize,
        field: FieldId,
        held: &mut HeldBlock,
    ) -> Result<Option<Block<'_>>> {
        let page = self.group_page(group)?;
        let columns = page.columns();
        let Ok(at) = columns.binary_search_by_key(&field, |c| c.field) else {
            return Ok(None);
        };
        let column = &columns[at];
        let bytes = match &self.map {
            Some(_) => {
                // A page that was decoded has as many columns as the root.
                let number = first_block(&self.root) + group * columns.len() + at;
                self.region(&column.block, number)?
            }
            None => {
                let key = self.key(PartKind::Block, group, field);
                let is_text = column.field_type == FieldType::String;
                RegionBytes::Shared(self.read_block(key, &column.block, is_text, held)?)
            }
        };
        let number = u32::try_from(group).unwrap_or(u32::MAX);
        Block::open(bytes, &column.block, column.field_type, number, page.rows())
            .map(Some)
            .map_err(|e| Error::format(&self.path, e))
    }

    /// The bytes of a block of a segment that is not mapped.
    fn read_block(
        &self,
        key: PartKey,
        region: &Region,
        is_text: bool,
        held: &mut HeldBlock,
    ) -> Result<Arc<[u8]>> {
        if let Some(bytes) = held.of(&key) {
            return Ok(bytes);
        }
        let cache = &self.common.cache;
        if let Some(Part::Block(bytes)) = cache.part(&key) {
            cache.hold(key, &bytes, is_text, held);
            return Ok(bytes);
        }
        let bytes = self.read(region)?;
        cache.keep_block(key, &bytes, held);
        cache.hold(key, &bytes, is_text, held);
        Ok(bytes)
    }

    /// Whether blocks are mapped, and take no memory.
    pub(crate) fn is_mapped(&self) -> bool {
        self.map.is_some()
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
            self.block(group, column.field, &mut HeldBlock::default())?;
        }
        Ok(())
    }

    /// Checks the zeros behind every region, and that nothing is behind the end.
    fn check_rest(&self) -> Result<()> {
        let file = self.common.open_file(&self.path)?;
        let found = file
            .len()
            .map_err(|e| Error::io("look at a segment's length", &self.path, e))?;
        if found > self.file_len {
            return Err(Error::format(
                &self.path,
                longer_than_said(self.file_len, found),
            ));
        }
        let root = &self.root;
        self.check_zeros(&self.root_region)?;
        let series = root.series_pages.iter().map(|page| &page.region);
        let dictionaries = root.dictionaries.iter().map(|d| &d.region);
        let groups = root.group_pages.iter().map(|page| &page.region);
        for region in series.chain(dictionaries).chain(groups) {
            self.check_zeros(region)?;
        }
        for group in 0..root.group_pages.len() {
            for column in self.group_page(group)?.columns() {
                self.check_zeros(&column.block)?;
            }
        }
        Ok(())
    }

    fn check_zeros(&self, region: &Region) -> Result<()> {
        let range = region.padding();
        let read;
        let bytes: &[u8] = match &self.map {
            Some(map) => map.get(range).unwrap_or_default(),
            None if range.end > self.file_len => &[],
            None => {
                read = self.read_range(region, range)?;
                &read
            }
        };
        region.check_padding(bytes).map_err(|e| self.damaged(e))
    }

    /// The error that `error`, met in this segment's bytes, is to the engine.
    pub(crate) fn damaged(&self, error: FormatError) -> Error {
        Error::format(&self.path, error)
    }

    /// The bytes of a region, which has number `number` among those of the segment; its checksum is
    /// compared when it is read, or the first time that mapped bytes are used.
    fn region(&self, region: &Region, number: usize) -> Result<RegionBytes<'_>> {
        let Some(map) = &self.map else {
            return Ok(RegionBytes::Shared(self.read(region)?));
        };
        let Some(bytes) = map.get(region.range()) else {
            return Err(self.too_short(region));
        };
        if !map.checked.has(number) {
            self.try_to_read(region)?;
            region
                .check(self.uuid, bytes)
                .map_err(|e| self.damaged(e))?;
            map.checked.set(number);
        }
        Ok(RegionBytes::Borrowed(bytes))
    }

    /// Reads a region from the file and compares its checksum.
    fn read(&self, region: &Region) -> Result<Arc<[u8]>> {
        let range = region.range();
        if range.end > self.file_len {
            return Err(self.too_short(region));
        }
        let bytes = self.read_range(region, range)?;
        region
            .check(self.uuid, &bytes)
            .map_err(|e| self.damaged(e))?;
        Ok(bytes)
    }

    /// Reads bytes in or behind a region, which end where the file does or before.
    fn read_range(&self, region: &Region, range: Range<u64>) -> Result<Arc<[u8]>> {
        let file = self.common.open_file(&self.path)?;
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        io::read_shared(&*file, range.start, len).map_err(|e| self.unreadable(region, &range, e))
    }

    /// Reads a region from the file and forgets it: an error of the disk shows here and not in the
    /// map. A file that took the place of the mapped one does no harm: the bytes of the map are
    /// those that are compared.
    fn try_to_read(&self, region: &Region) -> Result<()> {
        let file = self.common.open_file(&self.path)?;
        let range = region.range();
        let mut buffer = vec![0; READ_BYTES];
        let mut at = range.start;
        while at < range.end {
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let len = left.min(buffer.len());
            file.read_exact_at(&mut buffer[..len], at)
                .map_err(|e| self.unreadable(region, &range, e))?;
            at += len as u64;
        }
        Ok(())
    }

    fn too_short(&self, region: &Region) -> Error {
        let Range { start, end } = region.range();
        let message = format!("a region ends at {end}, the file at {}", self.file_len);
        Error::corrupt(&self.path, start, message)
    }

    fn unreadable(&self, region: &Region, range: &Range<u64>, error: std::io::Error) -> Error {
        let (Range { start, end }, what) = (range, region.kind.name());
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            let len = self.file_len;
            let message = format!(
                "the segment ends before byte {end}, where a {what} does; it had {len} bytes when it was opened"
            );
            return Error::corrupt(&self.path, *start, message);
        }
        let action = format!("read bytes {start} to {end} of a segment, for its {what}");
        Error::io(&action, &self.path, error)
    }
}

impl Map {
    fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start).ok()?;
        self.bytes.get(start..usize::try_from(range.end).ok()?)
    }
}

/// What is wrong with a segment of which the manifest says that it has fewer bytes than were `found`.
pub(crate) fn longer_than_said(said: u64, found: u64) -> FormatError {
    let expected = format_args!("{said} bytes, as the manifest says");
    let actual = format_args!("{found}");
    FormatError::invalid("end of a segment", said, expected, actual)
}

/// Writes a segment file.
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

impl SegmentSink for FileSink {
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
}
