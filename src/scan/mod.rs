//! Rows of one table in the order of (series, time), merged from segments and head.
//!
//! A [`Scan`] is what ordered queries, exports and compaction read. It holds, of each source, one
//! slice of one series at a time: memory does not grow with the rows scanned.
//!
//! # Invariants
//! 1. Rows come by (series, time), duplicates resolved by the table's policy: as if all sources
//!    were one run (see [`crate::rows`]).
//! 2. A row hidden by a tombstone of higher LSN than its source, or older than the horizon, does
//!    not come.

mod segment;
mod source;

use std::ops::Range;
use std::sync::Arc;

use tidestone_format::column::Column;
use tidestone_format::log::Tombstone;
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::{Lsn, SeriesId, TimeRange, Timestamp};

pub(crate) use source::{Part, Source};

use crate::error::Result;
use crate::head::HeadView;
use crate::rows::{self, AtOnce, Rows};
use crate::sharing::Lease;
use crate::store::{Holding, Segment, TableVersion};

/// One table at one instant.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) table: TableVersion,
    pub(crate) head: HeadView,
    /// The last LSN it sees.
    pub(crate) lsn: Lsn,
    /// Held as long as anything is read of it.
    pub(crate) hold: Hold,
}

/// What a snapshot keeps from going while it is read.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "held, not read")]
pub(crate) struct Hold {
    /// Its series are not forgotten.
    pub(crate) series: Arc<()>,
    /// Its files are not removed by another process, which writes.
    pub(crate) files: Option<Arc<Lease>>,
}

/// What a scan reads.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The fields whose columns are wanted, ascending by id.
    pub(crate) fields: Arc<[Field]>,
    pub(crate) range: TimeRange,
    /// The series wanted, ascending; `None`: every one.
    pub(crate) series: Option<Arc<[SeriesId]>>,
    /// How much is read of a source at a time, and given by one call of [`Scan::next`].
    pub(crate) at_once: AtOnce,
}

/// A scan over sources.
#[derive(Debug)]
pub(crate) struct Scan {
    request: Request,
    policy: DuplicatePolicy,
    /// Oldest first.
    sources: Vec<Source>,
    /// Merges the series that several sources have.
    current: Option<Merge>,
    /// Rows that duplicates of series read to their end left out.
    left_out: usize,
}

/// One series that is in several sources.
#[derive(Debug)]
struct Merge {
    series: SeriesId,
    /// Those being read, oldest source first.
    lanes: Vec<Lane>,
    /// Those whose rows are all later than what was given so far, by start, the latest first.
    waiting: Vec<Lane>,
    /// Rows that duplicates left out.
    left_out: usize,
}

#[derive(Debug)]
struct Lane {
    source: usize,
    part: Part,
    /// Rows read and not yet merged.
    buffer: Rows,
}

impl Scan {
    /// A scan of sources, oldest first.
    pub(crate) fn new(sources: Vec<Source>, policy: DuplicatePolicy, request: Request) -> Self {
        Self {
            request,
            policy,
            sources,
            current: None,
            left_out: 0,
        }
    }

    /// How many rows duplicates left out, once [`Scan::next`] has come to the end.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }

    /// The next rows; `None` at the end. Every requested field has a column.
    pub(crate) fn next(&mut self) -> Result<Option<Rows>> {
        let mut out = self.empty();
        while !out.are_enough(self.request.at_once) {
            if let Some(merge) = &mut self.current {
                match merge.next(&mut self.sources, &self.request, self.policy)? {
                    Some(rows) => append(&mut out, &rows),
                    None => {
                        self.left_out += merge.left_out;
                        self.current = None;
                    }
                }
                continue;
            }
            let Some(series) = self.next_series()? else {
                break;
            };
            self.take(series)?;
        }
        Ok((!out.is_empty()).then_some(out))
    }

    /// Goes to a series, to be read with [`Scan::next_of_series`]. `rows` says of each source that has
    /// some of its rows which they are, and a time that none of those wanted is earlier than.
    pub(crate) fn go_to(
        &mut self,
        series: SeriesId,
        rows: impl Iterator<Item = (usize, Range<u64>, Timestamp)>,
    ) {
        let lanes = rows.map(|(source, rows, start)| Lane {
            source,
            part: self.sources[source].part(rows, start),
            buffer: Rows::default(),
        });
        self.current = Some(Merge::new(series, lanes.collect()));
    }

    /// The next rows of the series gone to; `None` at its end.
    pub(crate) fn next_of_series(&mut self) -> Result<Option<Rows>> {
        while let Some(merge) = &mut self.current {
            match merge.next(&mut self.sources, &self.request, self.policy)? {
                Some(rows) if rows.is_empty() => {}
                Some(rows) => return Ok(Some(rows)),
                None => self.current = None,
            }
        }
        Ok(None)
    }

    fn take(&mut self, series: SeriesId) -> Result<()> {
        let mut waiting = Vec::new();
        for source in 0..self.sources.len() {
            if let Some(part) = self.sources[source].take(series)? {
                waiting.push(Lane {
                    source,
                    part,
                    buffer: Rows::default(),
                });
            }
        }
        self.current = Some(Merge::new(series, waiting));
        Ok(())
    }

    /// The lowest series that a source has and nobody has taken.
    fn next_series(&mut self) -> Result<Option<SeriesId>> {
        let mut lowest = None;
        for source in &mut self.sources {
            if let Some(series) = source.peek(self.request.series.as_deref())? {
                lowest = Some(lowest.map_or(series, |l: SeriesId| l.min(series)));
            }
        }
        Ok(lowest)
    }

    fn empty(&self) -> Rows {
        let columns = self
            .request
            .fields
            .iter()
            .map(|f| (f.id, Column::new(f.field_type)))
            .collect();
        Rows {
            series: Vec::new(),
            times: Vec::new(),
            columns,
        }
    }
}

/// A sorted run of a snapshot that may have rows of a request, and what hides some of them.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) run: InputRun,
    /// The times that are wanted and not past the horizon.
    pub(crate) range: TimeRange,
    /// A range that holds all its timestamps.
    pub(crate) times: TimeRange,
    /// Deletes of rows it has.
    pub(crate) tombstones: Vec<Arc<Tombstone>>,
}

/// Where a run lies.
#[derive(Debug, Clone)]
pub(crate) enum InputRun {
    /// Not opened before something of it is read.
    Segment(Arc<Segment>),
    Chunk(Arc<Rows>),
}

/// The runs of a snapshot that may have rows of a range, oldest first.
pub(crate) fn inputs(
    table: &TableVersion,
    segments: &[Arc<Segment>],
    head: &HeadView,
    range: TimeRange,
) -> Vec<Input> {
    let range = TimeRange {
        start: range.start.max(table.horizon),
        end: range.end,
    };
    let hiding = |last: Lsn, times: &TimeRange| -> Vec<Arc<Tombstone>> {
        let all = table.tombstones.iter().chain(&head.tombstones);
        all.filter(|(lsn, t)| *lsn > last && t.range.overlaps(times))
            .map(|(_, t)| t.clone())
            .collect()
    };
    let mut inputs = Vec::new();
    let mut by_age: Vec<&Arc<Segment>> = segments
        .iter()
        .filter(|s| s.entry.times.overlaps(&range))
        .collect();
    by_age.sort_by_key(|s| (s.entry.first_lsn, s.entry.partition.start));
    for segment in by_age {
        inputs.push(Input {
            run: InputRun::Segment(segment.clone()),
            range,
            times: segment.entry.times,
            tombstones: hiding(segment.entry.last_lsn, &segment.entry.times),
        });
    }
    for chunk in &head.chunks {
        let times = chunk.time_range();
        if times.overlaps(&range) {
            inputs.push(Input {
                run: InputRun::Chunk(chunk.sorted()),
                range,
                times,
                tombstones: hiding(chunk.last_lsn(), &times),
            });
        }
    }
    inputs
}

/// The sources of a snapshot that may have rows of the request, oldest first, for a merge of segments: it
/// counts the blocks that they hold ([`Expected`](crate::store::Expected)).
pub(crate) fn sources(
    table: &TableVersion,
    segments: &[Arc<Segment>],
    head: &HeadView,
    request: &Request,
) -> Vec<Source> {
    let inputs = inputs(table, segments, head, request.range);
    let source = |input| Source::new(input, &Holding::All);
    inputs.iter().map(source).collect()
}

/// Whether a tombstone hides a row of lower LSN.
pub(crate) fn hides(tombstone: &Tombstone, series: SeriesId, time: Timestamp) -> bool {
    tombstone.range.contains(time) && tombstone.selects(series)
}

/// Appends rows that have the same columns.
fn append(out: &mut Rows, rows: &Rows) {
    out.series.extend_from_slice(&rows.series);
    out.times.extend_from_slice(&rows.times);
    for (field, column) in &mut out.columns {
        match rows.column(*field) {
            Some(values) => column.extend_from(values, 0, values.len()),
            None => (0..rows.len()).for_each(|_| column.push_null()),
        }
    }
}

impl Merge {
    fn new(series: SeriesId, mut waiting: Vec<Lane>) -> Self {
        waiting.sort_by_key(|lane| std::cmp::Reverse(lane.part.start));
        Self {
            series,
            lanes: Vec::new(),
            waiting,
            left_out: 0,
        }
    }

    /// The next rows of the series; `None` at its end.
    fn next(
        &mut self,
        sources: &mut [Source],
        request: &Request,
        policy: DuplicatePolicy,
    ) -> Result<Option<Rows>> {
        self.fill(sources, request)?;
        let later = self.waiting.last().map(|l| l.part.start);
        match &mut self.lanes[..] {
            [] => Ok(None),
            [only] if later.is_none_or(|later| only.buffer.times.last() < Some(&later)) => {
                Ok(Some(std::mem::take(&mut only.buffer)))
            }
            lanes => {
                // Up to here (not included) every lane has been read.
                let unread = lanes.iter().filter(|l| !l.part.is_done());
                let cut = unread.filter_map(|l| l.buffer.times.last().copied());
                let cut = cut.chain(later).min();
                let mut ready = Vec::with_capacity(lanes.len());
                for lane in lanes.iter_mut() {
                    let at = match cut {
                        Some(cut) => lane.buffer.times.partition_point(|t| *t < cut),
                        None => lane.buffer.len(),
                    };
                    let rest = lane.buffer.slice(at, lane.buffer.len());
                    let rows = std::mem::replace(&mut lane.buffer, rest);
                    ready.push(if at == rows.len() {
                        rows
                    } else {
                        rows.slice(0, at)
                    });
                }
                if ready.iter().all(Rows::is_empty) {
                    // Every row read so far is at the cut: read on in the lanes that end there.
                    for lane in lanes.iter_mut() {
                        if lane.buffer.times.last().copied() == cut && !lane.part.is_done() {
                            lane.read(self.series, sources, request)?;
                        }
                    }
                    return Ok(Some(Rows::default()));
                }
                let ready: Vec<&Rows> = ready.iter().filter(|r| !r.is_empty()).collect();
                let merged = rows::merge(&ready, policy);
                self.left_out += ready.iter().map(|r| r.len()).sum::<usize>() - merged.len();
                Ok(Some(merged))
            }
        }
    }

    /// Reads on in lanes that are empty, drops those that have ended, and starts those whose
    /// first row may be the next.
    fn fill(&mut self, sources: &mut [Source], request: &Request) -> Result<()> {
        loop {
            for lane in &mut self.lanes {
                while lane.buffer.is_empty() && !lane.part.is_done() {
                    lane.read(self.series, sources, request)?;
                }
            }
            self.lanes.retain(|lane| !lane.buffer.is_empty());
            let next = self
                .lanes
                .iter()
                .filter_map(|l| l.buffer.times.first())
                .min();
            let due = self
                .waiting
                .last()
                .is_some_and(|l| next.is_none_or(|next| l.part.start <= *next));
            match self.waiting.pop_if(|_| due) {
                Some(lane) => {
                    let at = self.lanes.partition_point(|l| l.source < lane.source);
                    self.lanes.insert(at, lane);
                }
                None => return Ok(()),
            }
        }
    }
}

impl Lane {
    fn read(&mut self, series: SeriesId, sources: &mut [Source], request: &Request) -> Result<()> {
        let (fields, at_once) = (&request.fields, request.at_once);
        let more = sources[self.source].read(series, &mut self.part, fields, at_once)?;
        if self.buffer.is_empty() {
            self.buffer = more;
        } else {
            append(&mut self.buffer, &more);
        }
        Ok(())
    }
}
