//! Segment files on their way to the manifest.
//!
//! # Invariants
//! 1. A file is durable, and so is its name, before an edit may name it.
//! 2. A file that no edit can name any more is removed at once: space on a full disk is not lost to
//!    what was tried in vain. One that cannot be removed goes at the next open.

use std::ops::Range;
use std::path::Path;

use tidestone_format::column::Column;
use tidestone_format::manifest::SegmentEntry;
use tidestone_format::schema::Field;
use tidestone_format::segment::{SegmentMeta, SegmentWriter};
use tidestone_format::{SeriesId, SeriesKey, Timestamp};

use super::segment::FileSink;
use super::{Passes, Store, place_of, segment_error};
use crate::error::{Error, Result};
use crate::io;

/// Segments that are written and that no edit names. Dropping it removes their files; an edit takes it
/// ([`Editor::commit_segments`](super::Editor::commit_segments)).
#[derive(Debug)]
pub(crate) struct NewSegments<'a> {
    store: &'a Store,
    entries: Vec<SegmentEntry>,
}

/// A segment that is being written.
#[derive(Debug)]
pub(crate) struct NewSegment<'a> {
    writer: SegmentWriter<FileSink>,
    is_first_pass: bool,
    path: &'a Path,
}

impl NewSegment<'_> {
    /// Whether this is the first pass, which has the series and the times.
    pub(crate) fn is_first_pass(&self) -> bool {
        self.is_first_pass
    }

    /// Appends a run of rows of one series, sorted as they are to lie in the segment: in the first pass.
    pub(crate) fn push(
        &mut self,
        series: SeriesId,
        key: &SeriesKey,
        times: &[Timestamp],
        columns: &[Column],
        rows: Range<usize>,
    ) -> Result<()> {
        let pushed = self.writer.push(series, key, times, columns, rows);
        pushed.map_err(|e| segment_error(self.path, e))
    }

    /// Appends the values of rows, which come as they came in the first pass: in a later one.
    pub(crate) fn push_values(&mut self, columns: &[Column]) -> Result<()> {
        let rows = columns.first().map_or(0, Column::len);
        let pushed = self.writer.push_values(columns, 0..rows);
        pushed.map_err(|e| segment_error(self.path, e))
    }
}

impl Store {
    /// Begins a set of segments that one edit is to add.
    pub(crate) fn new_segments(&self) -> NewSegments<'_> {
        NewSegments {
            store: self,
            entries: Vec::new(),
        }
    }
}

impl NewSegments<'_> {
    /// Writes a segment: `fill` pushes its rows, once in each pass the values of the fields it is given.
    /// The file is durable and under its name when this returns. There is none if no row was pushed.
    pub(crate) fn write(
        &mut self,
        meta: SegmentMeta,
        passes: &Passes,
        fill: impl FnMut(&mut NewSegment<'_>, &[Field]) -> Result<()>,
    ) -> Result<()> {
        let store = self.store;
        let tmp = store.folders.tmp().join(format!("{}.seg", meta.uuid));
        let written = self.fill(&tmp, meta, passes, fill);
        let entry = match written {
            Ok(Some(entry)) => entry,
            other => {
                self.remove(&tmp);
                return other.map(drop);
            }
        };
        let path = place_of(&store.folders.segments(), &entry);
        let published = self.make_folders(&path).and_then(|()| {
            io::publish(&*store.disk, &tmp, &path)
                .map_err(|e| Error::io("give a segment its name", &path, e))
        });
        if let Err(error) = published {
            // Which of its two names it has is not known.
            self.remove(&tmp);
            self.remove(&path);
            return Err(error);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// What was written.
    pub(crate) fn entries(&self) -> &[SegmentEntry] {
        &self.entries
    }

    /// Removes those that are not wanted any more.
    pub(crate) fn retain(&mut self, is_wanted: impl Fn(&SegmentEntry) -> bool) {
        let all = std::mem::take(&mut self.entries);
        let (wanted, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(is_wanted);
        self.entries = wanted;
        let segments = self.store.folders.segments();
        for entry in &rest {
            self.remove(&place_of(&segments, entry));
        }
    }

    /// An edit names the files, or may: they stay.
    pub(super) fn named(mut self) {
        self.entries.clear();
    }

    fn fill(
        &self,
        tmp: &Path,
        meta: SegmentMeta,
        passes: &Passes,
        mut fill: impl FnMut(&mut NewSegment<'_>, &[Field]) -> Result<()>,
    ) -> Result<Option<SegmentEntry>> {
        let io = |e| Error::io("write a segment", tmp, e);
        let wrong = |e| segment_error(tmp, e);
        let file = self.store.disk.create(tmp).map_err(io)?;
        let sink = FileSink::new(file.clone());
        let first = passes.fields.first().copied().unwrap_or(0);
        let writer = SegmentWriter::in_passes(sink, meta, first, passes.text).map_err(wrong)?;
        let fields = writer.fields().to_vec();
        let mut segment = NewSegment {
            writer,
            is_first_pass: true,
            path: tmp,
        };
        let mut rest = &fields[..];
        for &count in &passes.fields {
            let of_pass;
            (of_pass, rest) = rest.split_at(count.min(rest.len()));
            if !segment.is_first_pass {
                segment.writer.next_pass(count).map_err(wrong)?;
            }
            fill(&mut segment, of_pass)?;
            if segment.writer.rows() == 0 {
                return Ok(None);
            }
            segment.is_first_pass = false;
        }
        let writer = segment.writer;
        let summary = writer.finish().map_err(wrong)?;
        file.sync()
            .map_err(|e| Error::io("sync a segment", tmp, e))?;
        Ok(Some(summary.entry))
    }

    /// Makes the folders a segment lies in, durably.
    fn make_folders(&self, path: &Path) -> Result<()> {
        let segments = self.store.folders.segments();
        let (Some(partition), Some(table)) = (path.parent(), path.parent().and_then(Path::parent))
        else {
            return Ok(());
        };
        let disk = &self.store.disk;
        let make = || {
            disk.create_dir_all(partition)?;
            disk.sync_dir(table)?;
            disk.sync_dir(&segments)
        };
        make().map_err(|e| Error::io("make a folder for segments", partition, e))
    }

    /// Removes a file that nobody needs. The error that matters is the one that came before.
    fn remove(&self, path: &Path) {
        let _ = self.store.disk.remove(path);
    }
}

impl Drop for NewSegments<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Whether an edit names them is not known. What none names goes at the next open.
            return;
        }
        let segments = self.store.folders.segments();
        for entry in &self.entries {
            self.remove(&place_of(&segments, entry));
        }
    }
}
