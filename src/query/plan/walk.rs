//! Which rows of which input are whose.
//!
//! A walk goes through any number of inputs and holds little of each: a few series ahead, and the
//! page that was read last only where inputs are few. Segments stay open no longer than a look takes.

use std::ops::Range;
use std::sync::Arc;

use tidestone_format::segment::{SeriesPage, SeriesRows};
use tidestone_format::{SeriesId, TimeRange};

use crate::error::Result;
use crate::rows::Rows;
use crate::scan::{Input, InputRun};
use crate::store::{OpenSegment, Segment};

/// Series taken from a page at a time.
const AHEAD: usize = 32;
/// With more inputs than this, none keeps what it read last.
const FEW_INPUTS: usize = 64;

/// The rows of one series in one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) struct Part {
    /// The number of the input.
    pub(in crate::query) input: usize,
    /// Its rows, counted from the start of the input.
    pub(in crate::query) rows: Range<u64>,
    /// Holds all their timestamps that are wanted.
    pub(in crate::query) times: TimeRange,
    /// Every row is wanted.
    pub(in crate::query) all: bool,
}

/// Goes through the series of several inputs, lowest first.
#[derive(Debug)]
pub(in crate::query) struct Walk {
    cursors: Vec<Cursor>,
    wanted: Option<(Arc<[SeriesId]>, Range<usize>)>,
    /// Where to stop.
    before: Option<SeriesId>,
}

/// Some of the series of a query that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) enum Share {
    /// Of the list of those wanted.
    Listed(Range<usize>),
    /// From the first of two ids on, to before the second.
    Between(SeriesId, Option<SeriesId>),
}

/// The series of a query in shares, in their order: at most about `most`.
pub(in crate::query) fn shares(
    inputs: &[Input],
    wanted: Option<&Arc<[SeriesId]>>,
    most: usize,
) -> Result<Vec<Share>> {
    /// Fewer series are not worth a share.
    const LEAST: usize = 128;
    if let Some(wanted) = wanted {
        let length = wanted.len().div_ceil(most).max(LEAST);
        let starts = (0..wanted.len()).step_by(length);
        let shares = starts.map(|start| Share::Listed(start..wanted.len().min(start + length)));
        return Ok(shares.collect());
    }
    // Pages of series are what is read of a segment at once.
    let mut starts: Vec<SeriesId> = Vec::new();
    for input in inputs {
        if let InputRun::Segment(segment) = &input.run
            && most > 1
        {
            let open = segment.open()?;
            starts.extend(open.root().series_pages.iter().map(|p| p.first_series));
        }
    }
    starts.sort_unstable();
    starts.dedup();
    let step = starts.len().div_ceil(most).max(1);
    let mut starts: Vec<SeriesId> = starts.into_iter().step_by(step).skip(1).collect();
    starts.insert(0, SeriesId(0));
    let ends = starts[1..].iter().copied().map(Some).chain([None]);
    let shares = starts.iter().zip(ends);
    Ok(shares.map(|(&from, to)| Share::Between(from, to)).collect())
}

#[derive(Debug)]
struct Cursor {
    input: usize,
    range: TimeRange,
    run: Run,
}

#[derive(Debug)]
enum Run {
    Segment(Box<InSegment>),
    Chunk { rows: Arc<Rows>, at: usize },
}

/// A place in a segment.
#[derive(Debug)]
struct InSegment {
    segment: Arc<Segment>,
    /// The series page that `ahead` is to be filled from, and the place in it.
    page: usize,
    at: usize,
    /// The next series, the first one last.
    ahead: Vec<SeriesRows>,
    /// What [`InSegment::find`] looked into last.
    last: Option<(Arc<OpenSegment>, usize, Arc<SeriesPage>)>,
    keeps_last: bool,
}

impl Walk {
    /// Through the series `wanted`, or all of them, of the inputs with these numbers.
    pub(in crate::query) fn new(
        inputs: &[Input],
        numbers: impl IntoIterator<Item = usize>,
        wanted: Option<Arc<[SeriesId]>>,
    ) -> Self {
        let keeps_last = inputs.len() <= FEW_INPUTS;
        let cursors = numbers
            .into_iter()
            .map(|input| Cursor {
                input,
                range: inputs[input].range,
                run: match &inputs[input].run {
                    InputRun::Segment(segment) => Run::Segment(Box::new(InSegment {
                        segment: segment.clone(),
                        page: 0,
                        at: 0,
                        ahead: Vec::new(),
                        last: None,
                        keeps_last,
                    })),
                    InputRun::Chunk(rows) => Run::Chunk {
                        rows: rows.clone(),
                        at: 0,
                    },
                },
            })
            .collect();
        Self {
            cursors,
            wanted: wanted.map(|w| {
                let all = 0..w.len();
                (w, all)
            }),
            before: None,
        }
    }

    /// Through a share of the series of a query.
    pub(in crate::query) fn of_share(
        inputs: &[Input],
        wanted: Option<Arc<[SeriesId]>>,
        share: &Share,
    ) -> Result<Self> {
        let mut walk = Self::new(inputs, 0..inputs.len(), wanted);
        match share {
            Share::Listed(range) => {
                if let Some((_, left)) = &mut walk.wanted {
                    *left = range.clone();
                }
            }
            Share::Between(from, before) => {
                walk.before = *before;
                for cursor in &mut walk.cursors {
                    cursor.skip_to(*from)?;
                }
            }
        }
        Ok(walk)
    }

    /// The next series, and its parts by age of the input; `None` at the end. Parts without a wanted
    /// time are left out, so that there may be none.
    pub(in crate::query) fn next(&mut self, parts: &mut Vec<Part>) -> Result<Option<SeriesId>> {
        parts.clear();
        if let Some((wanted, left)) = &mut self.wanted {
            let Some(series) = left.next().map(|at| wanted[at]) else {
                return Ok(None);
            };
            for cursor in &mut self.cursors {
                let found = cursor.find(series)?;
                parts.extend(found.and_then(|rows| cursor.part(rows)));
            }
            return Ok(Some(series));
        }
        let mut lowest: Option<SeriesId> = None;
        for cursor in &mut self.cursors {
            if let Some(id) = cursor.peek()? {
                lowest = Some(lowest.map_or(id, |l| l.min(id)));
            }
        }
        let Some(series) = lowest.filter(|l| self.before.is_none_or(|before| *l < before)) else {
            return Ok(None);
        };
        for cursor in &mut self.cursors {
            if cursor.peek()? == Some(series) {
                let taken = cursor.take()?;
                parts.extend(taken.and_then(|rows| cursor.part(rows)));
            }
        }
        Ok(Some(series))
    }
}

impl Cursor {
    fn part(&self, rows: SeriesRows) -> Option<Part> {
        let times = TimeRange {
            start: rows.times.start.max(self.range.start),
            end: rows.times.end.min(self.range.end),
        };
        (times.start <= times.end).then_some(Part {
            input: self.input,
            all: times == rows.times,
            rows: rows.rows,
            times,
        })
    }

    /// Goes forward to the first series that is not below `series`.
    fn skip_to(&mut self, series: SeriesId) -> Result<()> {
        match &mut self.run {
            Run::Chunk { rows, at } => *at = rows.series.partition_point(|s| *s < series),
            Run::Segment(place) => place.skip_to(series)?,
        }
        Ok(())
    }

    /// The series at the cursor.
    fn peek(&mut self) -> Result<Option<SeriesId>> {
        match &mut self.run {
            Run::Chunk { rows, at } => Ok(rows.series.get(*at).copied()),
            Run::Segment(place) => Ok(place.next()?.map(|next| next.id)),
        }
    }

    /// The rows of the series at the cursor, which moves on.
    fn take(&mut self) -> Result<Option<SeriesRows>> {
        match &mut self.run {
            Run::Chunk { rows, at } => {
                let Some(series) = rows.series.get(*at) else {
                    return Ok(None);
                };
                let len = rows.series[*at..].partition_point(|s| s == series);
                *at += len;
                Ok(Some(of_chunk(rows, *series, *at - len..*at)))
            }
            Run::Segment(place) => {
                place.next()?;
                Ok(place.ahead.pop())
            }
        }
    }

    /// The rows of a series, if the input has it.
    fn find(&mut self, series: SeriesId) -> Result<Option<SeriesRows>> {
        match &mut self.run {
            Run::Chunk { rows, .. } => {
                let range = rows.range_of(series);
                Ok((!range.is_empty()).then(|| of_chunk(rows, series, range)))
            }
            Run::Segment(place) => place.find(series),
        }
    }
}

impl InSegment {
    /// The next series, without taking it.
    fn next(&mut self) -> Result<Option<&SeriesRows>> {
        if self.ahead.is_empty() {
            self.look_ahead()?;
        }
        Ok(self.ahead.last())
    }

    /// Goes from the start to the first series that is not below `series`.
    fn skip_to(&mut self, series: SeriesId) -> Result<()> {
        if series == SeriesId(0) {
            return Ok(());
        }
        let open = self.segment.open()?;
        let pages = &open.root().series_pages;
        self.page = pages.partition_point(|p| p.last_series < series);
        if pages
            .get(self.page)
            .is_some_and(|p| p.first_series < series)
        {
            let page = open.series_page(self.page)?;
            self.at = page.ids().take_while(|id| *id < series).count();
        }
        Ok(())
    }

    fn look_ahead(&mut self) -> Result<()> {
        let open = self.segment.open()?;
        while self.ahead.is_empty() && self.page < open.root().series_pages.len() {
            let page = open.series_page(self.page)?;
            let end = page.len().min(self.at + AHEAD);
            let some = (self.at..end).rev().filter_map(|at| page.rows(at));
            self.ahead.extend(some);
            self.at = end;
            if end == page.len() {
                (self.page, self.at) = (self.page + 1, 0);
            }
        }
        Ok(())
    }

    /// The rows of a series, if the segment has it.
    fn find(&mut self, series: SeriesId) -> Result<Option<SeriesRows>> {
        let last = self.last.take();
        let (open, last) = match last {
            Some((open, number, page)) => (open, Some((number, page))),
            None => (self.segment.open()?, None),
        };
        let Some(number) = open.root().series_page_of(series) else {
            self.last = last.map(|(number, page)| (open, number, page));
            return Ok(None);
        };
        let page = match last {
            Some((known, page)) if known == number => page,
            _ => open.series_page(number)?,
        };
        let found = page.find(series).and_then(|at| page.rows(at));
        if self.keeps_last {
            self.last = Some((open, number, page));
        }
        Ok(found)
    }
}

fn of_chunk(rows: &Rows, id: SeriesId, range: Range<usize>) -> SeriesRows {
    SeriesRows {
        id,
        times: TimeRange {
            start: rows.times[range.start],
            end: rows.times[range.end - 1],
        },
        rows: range.start as u64..range.end as u64,
    }
}
