//! The report of a whole segment.

use std::io::{self, Write};

use serde::Serialize;
use tidestone_format::TimeRange;
use tidestone_format::segment::{GroupPageRef, Region};

use super::super::check::{Damage, Verdict, merge};
use super::super::entries::range;
use super::block::{BlockReport, print_vectors};
use super::column::{self, ColumnReport};
use super::contents::{Contents, PlacedBlock, PlacedDictionary, PlacedGroup, PlacedSeriesPage};
use super::frame_work::{RootReport, TrailerReport};
use crate::text::{TextTable, one_line};

/// A segment.
#[derive(Debug, Serialize)]
pub(in crate::inspect) struct SegmentReport {
    trailer: TrailerReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<RootReport>,
    columns: Vec<ColumnReport>,
    dictionaries: Vec<DictionaryReport>,
    series_pages: Vec<SeriesPageReport>,
    row_groups: Vec<GroupReport>,
    /// Blocks that no readable page names, found by their magic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    found_blocks: Vec<BlockReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct RegionReport {
    pub(super) offset: u64,
    pub(super) length: u32,
    crc: u32,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) damage: Vec<Damage>,
}

#[derive(Debug, Serialize)]
struct DictionaryReport {
    #[serde(flatten)]
    region: RegionReport,
    field: u32,
    column: String,
    values: u32,
}

#[derive(Debug, Serialize)]
struct SeriesPageReport {
    #[serde(flatten)]
    region: RegionReport,
    series: u32,
    first_series: u64,
    last_series: u64,
    first_row: u64,
}

#[derive(Debug, Serialize)]
struct GroupReport {
    #[serde(flatten)]
    region: RegionReport,
    number: u32,
    first_row: u64,
    rows: u32,
    first_time: i64,
    last_time: i64,
    first_series: u64,
    last_series: u64,
    blocks: Vec<BlockReport>,
}

impl RegionReport {
    pub(super) fn of(region: &Region, damage: &[Damage]) -> Self {
        Self {
            offset: region.offset,
            length: region.stored_len,
            crc: region.crc,
            verdict: Verdict::of(damage),
            damage: damage.to_vec(),
        }
    }

    pub(super) fn cells(&self) -> [String; 3] {
        let word = self.verdict.word();
        [
            self.offset.to_string(),
            self.length.to_string(),
            format!("{:#010x} {word}", self.crc),
        ]
    }

    /// On one line.
    pub(super) fn line(&self) -> String {
        let [offset, bytes, crc] = self.cells();
        format!("at {offset}, {bytes} bytes, CRC-32 {crc}")
    }
}

impl SegmentReport {
    pub(in crate::inspect) fn of(bytes: &[u8], vectors: bool, damage: &mut Vec<Damage>) -> Self {
        let contents = Contents::read(bytes);
        let block = |b: &PlacedBlock<'_>| BlockReport::of(b, &contents, vectors);
        let group = |g: &PlacedGroup<'_>| {
            let GroupPageRef {
                first_row,
                rows,
                times,
                first_series,
                last_series,
                region,
            } = g.reference;
            GroupReport {
                region: RegionReport::of(&region, &g.damage),
                number: g.number,
                first_row,
                rows,
                first_time: times.start,
                last_time: times.end,
                first_series: first_series.0,
                last_series: last_series.0,
                blocks: g.blocks.iter().map(&block).collect(),
            }
        };
        let row_groups: Vec<GroupReport> = contents.groups.iter().map(group).collect();
        let found_blocks: Vec<BlockReport> = contents.found.iter().map(&block).collect();
        merge(damage, contents.damage());
        let named = row_groups.iter().flat_map(|g| &g.blocks);
        let blocks: Vec<&BlockReport> = named.chain(&found_blocks).collect();
        for block in &blocks {
            merge(damage, block.damage.iter().cloned());
        }
        Self {
            trailer: TrailerReport::of(&contents),
            root: RootReport::of(&contents),
            columns: column::columns(&contents, &blocks),
            dictionaries: contents.dictionaries.iter().map(dictionary).collect(),
            series_pages: contents.series_pages.iter().map(series_page).collect(),
            row_groups,
            found_blocks,
        }
    }

    pub(in crate::inspect) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out)?;
        self.trailer.print(out)?;
        if let Some(root) = &self.root {
            writeln!(out)?;
            root.print(out)?;
        }
        column::print(&self.columns, out)?;
        self.print_pages(out)?;
        for group in &self.row_groups {
            group.print(out)?;
        }
        if !self.found_blocks.is_empty() {
            writeln!(
                out,
                "\nblocks that no readable page names, found by their magic"
            )?;
            print_blocks(&self.found_blocks, out)?;
        }
        Ok(())
    }

    fn print_pages(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = TextTable::new(["offset", "bytes", "CRC-32", "field", "column", "values"]);
        for dictionary in &self.dictionaries {
            let own = [
                dictionary.field.to_string(),
                one_line(&dictionary.column),
                dictionary.values.to_string(),
            ];
            table.row(dictionary.region.cells().into_iter().chain(own));
        }
        if !table.is_empty() {
            writeln!(out, "\ndictionaries")?;
            table.print("  ", out)?;
        }
        let head = [
            "offset",
            "bytes",
            "CRC-32",
            "series",
            "first id",
            "last id",
            "first row",
        ];
        let mut table = TextTable::new(head);
        for page in &self.series_pages {
            let own = [
                page.series.to_string(),
                page.first_series.to_string(),
                page.last_series.to_string(),
                page.first_row.to_string(),
            ];
            table.row(page.region.cells().into_iter().chain(own));
        }
        if table.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nseries pages")?;
        table.print("  ", out)
    }
}

impl GroupReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let times = range(TimeRange {
            start: self.first_time,
            end: self.last_time,
        });
        writeln!(
            out,
            "\nrow group {}: page {}",
            self.number,
            self.region.line()
        )?;
        writeln!(
            out,
            "  {} rows from {} on, series {} to {}, {times}",
            self.rows, self.first_row, self.first_series, self.last_series
        )?;
        print_blocks(&self.blocks, out)
    }
}

fn print_blocks(blocks: &[BlockReport], out: &mut dyn Write) -> io::Result<()> {
    let mut table = BlockReport::table();
    blocks.iter().for_each(|b| table.row(b.cells()));
    if !table.is_empty() {
        table.print("  ", out)?;
    }
    for block in blocks.iter().filter(|b| !b.vectors.is_empty()) {
        writeln!(
            out,
            "  {}, block at {}",
            one_line(&block.column),
            block.offset
        )?;
        print_vectors(&block.vectors, "    ", out)?;
    }
    Ok(())
}

fn dictionary(dictionary: &PlacedDictionary) -> DictionaryReport {
    DictionaryReport {
        region: RegionReport::of(&dictionary.reference.region, &dictionary.damage),
        field: dictionary.reference.field.0,
        column: dictionary.name.clone(),
        values: dictionary.reference.values,
    }
}

fn series_page(page: &PlacedSeriesPage) -> SeriesPageReport {
    SeriesPageReport {
        region: RegionReport::of(&page.reference.region, &page.damage),
        series: page.reference.series,
        first_series: page.reference.first_series.0,
        last_series: page.reference.last_series.0,
        first_row: page.reference.first_row,
    }
}
