//! What lies at one offset, in full.

use std::io::{self, Write};

use serde::Serialize;
use tidestone_format::TimeRange;
use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::header::HEADER_LEN;
use tidestone_format::segment::TRAILER_LEN;

use super::super::check::{Damage, Verdict};
use super::super::entries::{range, tags};
use super::block::{BlockReport, VectorReport};
use super::contents::{Contents, PlacedBlock, PlacedDictionary, PlacedGroup, PlacedSeriesPage};
use super::dump::VectorDump;
use super::frame_work::{RootReport, TrailerReport};
use super::report::RegionReport;
use crate::scalar::Scalar;
use crate::text::{TextTable, one_line};

/// A part of a segment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::inspect) enum PartReport {
    Trailer(TrailerReport),
    Root(RootReport),
    SeriesPage(SeriesInFull),
    Dictionary(DictionaryInFull),
    /// The blocks that a group page names.
    GroupPage(GroupInFull),
    Block(BlockReport),
    Vector(VectorDump),
    /// What no part that can be read says anything about.
    Unread(Unread),
}

/// Bytes between parts that can be read.
#[derive(Debug, Serialize)]
pub(in crate::inspect) struct Unread {
    offset: u64,
    length: u64,
    verdict: Verdict,
    /// The first of them, in hexadecimal.
    bytes: String,
}

#[derive(Debug, Serialize)]
pub(in crate::inspect) struct SeriesInFull {
    #[serde(flatten)]
    region: RegionReport,
    series: Vec<SeriesLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Damage>,
}

#[derive(Debug, Serialize)]
struct SeriesLine {
    id: u64,
    first_row: u64,
    rows: u64,
    first_time: i64,
    last_time: i64,
    tags: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
pub(in crate::inspect) struct DictionaryInFull {
    #[serde(flatten)]
    region: RegionReport,
    column: String,
    values: Vec<Scalar>,
}

#[derive(Debug, Serialize)]
pub(in crate::inspect) struct GroupInFull {
    #[serde(flatten)]
    region: RegionReport,
    number: u32,
    blocks: Vec<BlockReport>,
}

/// What lies at `offset`, which is in the file and behind its header.
pub(in crate::inspect) fn region_at(bytes: &[u8], offset: u64) -> PartReport {
    let contents = Contents::read(bytes);
    if offset >= (bytes.len().saturating_sub(TRAILER_LEN)) as u64 {
        return PartReport::Trailer(TrailerReport::of(&contents));
    }
    let holds = |region: &tidestone_format::segment::Region| {
        (region.offset..region.padding().end).contains(&offset)
    };
    let root = contents.trailer.as_ref().map(|t| t.root_region());
    if root.as_ref().is_some_and(holds)
        && let Some(root) = RootReport::of(&contents)
    {
        return PartReport::Root(root);
    }
    let mut pages = contents.series_pages.iter();
    if let Some(page) = pages.find(|p| holds(&p.reference.region)) {
        return PartReport::SeriesPage(SeriesInFull::of(page));
    }
    let mut dictionaries = contents.dictionaries.iter();
    if let Some(dictionary) = dictionaries.find(|d| holds(&d.reference.region)) {
        return PartReport::Dictionary(DictionaryInFull::of(dictionary));
    }
    let mut groups = contents.groups.iter();
    if let Some(group) = groups.find(|g| holds(&g.reference.region)) {
        return PartReport::GroupPage(GroupInFull::of(group, &contents));
    }
    let Some(block) = contents.blocks().find(|b| holds(&b.region)) else {
        return PartReport::Unread(Unread::at(offset, &contents));
    };
    match vector_at(block, &contents, offset) {
        Some(number) => PartReport::Vector(VectorDump::of(&contents, number, &[block])),
        None => PartReport::Block(BlockReport::of(block, &contents, true)),
    }
}

/// The number of the vector of the block that holds `offset`; none holds the block's own.
fn vector_at(block: &PlacedBlock<'_>, contents: &Contents<'_>, offset: u64) -> Option<u64> {
    let count = block.block.as_ref()?.vector_count();
    let vectors = (0..count).filter_map(|i| Some((i, VectorReport::of(block, contents, i)?)));
    vectors
        .filter(|(_, v)| v.length > 0)
        .find(|(_, v)| (v.offset..v.offset + v.length as u64).contains(&offset))
        .map(|(i, _)| block.vector_number(i))
}

impl PartReport {
    pub(in crate::inspect) fn verdict(&self) -> Verdict {
        match self {
            Self::Trailer(trailer) => trailer.verdict(),
            Self::Root(root) => root.verdict(),
            Self::SeriesPage(page) if page.region.damage.is_empty() => {
                Verdict::of(&page.unreadable)
            }
            Self::SeriesPage(page) => Verdict::of(&page.region.damage),
            Self::Dictionary(dictionary) => Verdict::of(&dictionary.region.damage),
            Self::GroupPage(group) => Verdict::of(&group.region.damage),
            Self::Block(block) => Verdict::of(&block.damage),
            Self::Vector(vector) => Verdict::of(&vector.damage),
            Self::Unread(unread) => unread.verdict,
        }
    }

    pub(in crate::inspect) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Trailer(trailer) => trailer.print(out),
            Self::Root(root) => root.print(out),
            Self::SeriesPage(page) => page.print(out),
            Self::Dictionary(dictionary) => dictionary.print(out),
            Self::GroupPage(group) => group.print(out),
            Self::Block(block) => block.print(out),
            Self::Vector(vector) => vector.print(out),
            Self::Unread(unread) => unread.print(out),
        }
    }
}

impl Unread {
    /// The bytes around `offset`, which no part that can be read holds.
    fn at(offset: u64, contents: &Contents<'_>) -> Self {
        let root = contents.trailer.as_ref().map(|t| t.root_region());
        let pages = contents.series_pages.iter().map(|p| p.reference.region);
        let dictionaries = contents.dictionaries.iter().map(|d| d.reference.region);
        let groups = contents.groups.iter().map(|g| g.reference.region);
        let parts = pages.chain(dictionaries).chain(groups);
        let parts = parts.chain(contents.blocks().map(|b| b.region)).chain(root);
        let (mut start, mut end) = (HEADER_LEN, contents.bytes.len().saturating_sub(TRAILER_LEN));
        for part in parts {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            if part.padding().end <= offset {
                start = start.max(place(part.padding().end));
            } else if part.offset > offset {
                end = end.min(place(part.offset));
            }
        }
        let bytes = contents.bytes.get(start..end).unwrap_or_default();
        let hex = bytes.iter().take(32).map(|b| format!("{b:02x}"));
        Self {
            offset: start as u64,
            length: bytes.len() as u64,
            verdict: match Verdict::of(&contents.damage()) {
                Verdict::Bad => Verdict::Unchecked,
                verdict => verdict,
            },
            bytes: hex.collect::<Vec<_>>().join(" "),
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (offset, length, word) = (self.offset, self.length, self.verdict.word());
        writeln!(out, "bytes at {offset}, {length} bytes: {word}")?;
        writeln!(
            out,
            "  no part of the segment that can be read says what they are"
        )?;
        writeln!(out, "  {}", self.bytes)
    }
}

impl SeriesInFull {
    fn of(placed: &PlacedSeriesPage) -> Self {
        let mut series = Vec::new();
        let mut unreadable = Vec::new();
        for (i, rows) in placed.page.iter().flat_map(|p| p.iter().enumerate()) {
            let key = placed.page.as_ref().map(|p| p.key(i));
            let tags = match key {
                Some(Ok(key)) => key
                    .tags()
                    .map(|(n, v)| (n.to_owned(), v.to_owned()))
                    .collect(),
                Some(Err(error)) => {
                    unreadable.push(error.into());
                    Vec::new()
                }
                None => Vec::new(),
            };
            series.push(SeriesLine {
                id: rows.id.0,
                first_row: rows.rows.start,
                rows: rows.rows.end - rows.rows.start,
                first_time: rows.times.start,
                last_time: rows.times.end,
                tags,
            });
        }
        Self {
            region: RegionReport::of(&placed.reference.region, &placed.damage),
            series,
            unreadable,
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "series page {}", self.region.line())?;
        print_bad(self.region.damage.iter().chain(&self.unreadable), out)?;
        let mut table = TextTable::new(["series", "first row", "rows", "times", "tags"]);
        for line in &self.series {
            let times = TimeRange {
                start: line.first_time,
                end: line.last_time,
            };
            table.row([
                line.id.to_string(),
                line.first_row.to_string(),
                line.rows.to_string(),
                range(times),
                tags(&line.tags),
            ]);
        }
        table.print("  ", out)
    }
}

impl DictionaryInFull {
    fn of(placed: &PlacedDictionary) -> Self {
        let values = match &placed.dictionary {
            None => Vec::new(),
            Some(Dictionary::F64(values)) => values.iter().map(|v| Scalar::F64(*v)).collect(),
            Some(Dictionary::String(values)) => {
                values.iter().map(|v| Scalar::Text(v.to_owned())).collect()
            }
        };
        Self {
            region: RegionReport::of(&placed.reference.region, &placed.damage),
            column: placed.name.clone(),
            values,
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "dictionary of {}, {}",
            one_line(&self.column),
            self.region.line()
        )?;
        print_bad(&self.region.damage, out)?;
        let mut table = TextTable::new(["code", "value"]);
        for (code, value) in self.values.iter().enumerate() {
            table.row([code.to_string(), one_line(&value.to_string())]);
        }
        table.print("  ", out)
    }
}

impl GroupInFull {
    fn of(group: &PlacedGroup<'_>, contents: &Contents<'_>) -> Self {
        let blocks = group.blocks.iter();
        Self {
            region: RegionReport::of(&group.reference.region, &group.damage),
            number: group.number,
            blocks: blocks.map(|b| BlockReport::of(b, contents, true)).collect(),
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "page of row group {}, {}",
            self.number,
            self.region.line()
        )?;
        print_bad(&self.region.damage, out)?;
        self.blocks.iter().try_for_each(|block| block.print(out))
    }
}

fn print_bad<'a>(
    damage: impl IntoIterator<Item = &'a Damage>,
    out: &mut dyn Write,
) -> io::Result<()> {
    damage
        .into_iter()
        .try_for_each(|d| writeln!(out, "  BAD  {d}"))
}
