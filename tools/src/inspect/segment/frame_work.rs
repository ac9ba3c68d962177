//! Trailer and root.

use std::io::{self, Write};

use serde::Serialize;
use tidestone_format::TimeRange;
use tidestone_format::segment::{Root, TRAILER_LEN, Trailer};

use super::super::check::{Damage, Verdict};
use super::super::entries::{range, tier_name};
use super::super::manifest::policy_name;
use super::contents::Contents;
use crate::text::{TextTable, one_line};

/// The last 64 bytes.
#[derive(Debug, Serialize)]
pub(in crate::inspect) struct TrailerReport {
    offset: u64,
    length: usize,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damage: Vec<Damage>,
    /// What it says; of a damaged one, what can be believed because a root lies there.
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<TrailerSays>,
}

#[derive(Debug, Serialize)]
struct TrailerSays {
    file: String,
    root_offset: u64,
    root_length: u32,
    root_crc: u32,
    tail_offset: u64,
    tail_length: u32,
    file_length: u64,
}

/// The root.
#[derive(Debug, Serialize)]
pub(in crate::inspect) struct RootReport {
    offset: u64,
    length: u32,
    crc: u32,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damage: Vec<Damage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<RootSays>,
}

#[derive(Debug, Serialize)]
struct RootSays {
    table: u32,
    partition_start: i64,
    partition_end: i64,
    rows: u64,
    series: u64,
    first_time: i64,
    last_time: i64,
    first_lsn: u64,
    last_lsn: u64,
    policy: &'static str,
    tier: &'static str,
    fields: Vec<FieldSays>,
    dictionaries: usize,
    series_pages: usize,
    row_groups: usize,
}

#[derive(Debug, Serialize)]
struct FieldSays {
    field: u32,
    name: String,
    r#type: &'static str,
}

impl TrailerReport {
    pub(super) fn of(contents: &Contents<'_>) -> Self {
        let len = contents.bytes.len();
        Self {
            offset: len.saturating_sub(TRAILER_LEN) as u64,
            length: len.min(TRAILER_LEN),
            verdict: Verdict::of(&contents.trailer_damage),
            damage: contents.trailer_damage.clone(),
            says: contents.trailer.as_ref().map(TrailerSays::from),
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let word = self.verdict.word();
        writeln!(
            out,
            "trailer at {}, {} bytes: {word}",
            self.offset, self.length
        )?;
        for damage in &self.damage {
            writeln!(out, "  {word:<12} {damage}")?;
        }
        let Some(says) = &self.says else {
            return Ok(());
        };
        writeln!(out, "  file uuid    {}", says.file)?;
        let (offset, length) = (says.root_offset, says.root_length);
        writeln!(
            out,
            "  root         at {offset}, {length} bytes, CRC-32 {:#010x}",
            says.root_crc
        )?;
        writeln!(
            out,
            "  tail         at {}, {} bytes",
            says.tail_offset, says.tail_length
        )?;
        writeln!(out, "  file length  {}", says.file_length)
    }
}

impl From<&Trailer> for TrailerSays {
    fn from(trailer: &Trailer) -> Self {
        let root = trailer.root_region();
        Self {
            file: trailer.file.to_string(),
            root_offset: root.offset,
            root_length: root.stored_len,
            root_crc: root.crc,
            tail_offset: trailer.tail_offset(),
            tail_length: trailer.tail_len,
            file_length: trailer.file_len,
        }
    }
}

impl RootReport {
    /// `None` where the trailer does not say where it is.
    pub(super) fn of(contents: &Contents<'_>) -> Option<Self> {
        let region = contents.trailer.as_ref()?.root_region();
        Some(Self {
            offset: region.offset,
            length: region.stored_len,
            crc: region.crc,
            verdict: Verdict::of(&contents.root_damage),
            damage: contents.root_damage.clone(),
            says: contents.root.as_ref().map(RootSays::from),
        })
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let word = self.verdict.word();
        let (offset, length, crc) = (self.offset, self.length, self.crc);
        writeln!(
            out,
            "root at {offset}, {length} bytes, CRC-32 {crc:#010x}: {word}"
        )?;
        for damage in &self.damage {
            writeln!(out, "  BAD          {damage}")?;
        }
        match &self.says {
            Some(says) => says.print(out),
            None => Ok(()),
        }
    }
}

impl From<&Root> for RootSays {
    fn from(root: &Root) -> Self {
        Self {
            table: root.table.0,
            partition_start: root.partition.start,
            partition_end: root.partition.end,
            rows: root.rows,
            series: root.series,
            first_time: root.times.start,
            last_time: root.times.end,
            first_lsn: root.first_lsn.0,
            last_lsn: root.last_lsn.0,
            policy: policy_name(root.policy),
            tier: tier_name(root.tier),
            fields: root
                .columns
                .iter()
                .map(|field| FieldSays {
                    field: field.id.0,
                    name: field.name.clone(),
                    r#type: field.field_type.name(),
                })
                .collect(),
            dictionaries: root.dictionaries.len(),
            series_pages: root.series_pages.len(),
            row_groups: root.group_pages.len(),
        }
    }
}

impl RootSays {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let span = |start, end| range(TimeRange { start, end });
        writeln!(out, "  table        {}", self.table)?;
        let partition = span(self.partition_start, self.partition_end);
        writeln!(out, "  partition    {partition}")?;
        writeln!(
            out,
            "  times        {}",
            span(self.first_time, self.last_time)
        )?;
        writeln!(
            out,
            "  rows         {}, of {} series",
            self.rows, self.series
        )?;
        writeln!(
            out,
            "  LSNs         {} to {}",
            self.first_lsn, self.last_lsn
        )?;
        writeln!(out, "  duplicates   {}", self.policy)?;
        writeln!(out, "  tier         {}", self.tier)?;
        let (dictionaries, series) = (self.dictionaries, self.series_pages);
        let groups = self.row_groups;
        writeln!(
            out,
            "  it names     {dictionaries} dictionaries, {series} series pages, {groups} row groups"
        )?;
        if self.fields.is_empty() {
            return writeln!(out, "  fields       none");
        }
        let mut table = TextTable::new(["field", "name", "type"]);
        for field in &self.fields {
            let name = one_line(&field.name);
            table.row([field.field.to_string(), name, field.r#type.to_owned()]);
        }
        table.print("  ", out)
    }
}
