//! What log and manifest both hold: tombstones, series definitions, segment entries.

use std::fmt;

use serde::Serialize;
use tidestone_format::TimeRange;
use tidestone_format::log::{Selection, SeriesDefinition, Tombstone};
use tidestone_format::manifest::{SegmentEntry, Tier};

use crate::text::one_line;
use crate::time::rfc3339;

/// A delete.
#[derive(Debug, Serialize)]
pub(super) struct TombstoneReport {
    table: u32,
    first_time: i64,
    last_time: i64,
    /// Absent: every series.
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<Vec<u64>>,
}

/// An id given to a series.
#[derive(Debug, Serialize)]
pub(super) struct DefinitionReport {
    table: u32,
    series: u64,
    tags: Vec<(String, String)>,
}

/// A segment, as log and manifest name it.
#[derive(Debug, Serialize)]
pub(super) struct SegmentEntryReport {
    table: u32,
    uuid: String,
    tier: &'static str,
    rows: u64,
    series: u64,
    first_time: i64,
    last_time: i64,
    partition_start: i64,
    partition_end: i64,
    first_lsn: u64,
    last_lsn: u64,
    file_length: u64,
    tail_length: u32,
    root_crc: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    place: String,
}

impl From<&Tombstone> for TombstoneReport {
    fn from(tombstone: &Tombstone) -> Self {
        Self {
            table: tombstone.table.0,
            first_time: tombstone.range.start,
            last_time: tombstone.range.end,
            series: match &tombstone.selection {
                Selection::All => None,
                Selection::Series(ids) => Some(ids.iter().map(|id| id.0).collect()),
            },
        }
    }
}

impl From<&SeriesDefinition> for DefinitionReport {
    fn from(definition: &SeriesDefinition) -> Self {
        let tags = definition.key.tags();
        Self {
            table: definition.table.0,
            series: definition.id.0,
            tags: tags.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        }
    }
}

impl From<&SegmentEntry> for SegmentEntryReport {
    fn from(entry: &SegmentEntry) -> Self {
        Self {
            table: entry.table.0,
            uuid: entry.uuid.to_string(),
            tier: tier_name(entry.tier),
            rows: entry.rows,
            series: entry.series,
            first_time: entry.times.start,
            last_time: entry.times.end,
            partition_start: entry.partition.start,
            partition_end: entry.partition.end,
            first_lsn: entry.first_lsn.0,
            last_lsn: entry.last_lsn.0,
            file_length: entry.file_len,
            tail_length: entry.tail_len,
            root_crc: entry.root_crc,
            place: entry.place.clone(),
        }
    }
}

impl fmt::Display for TombstoneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = range(TimeRange {
            start: self.first_time,
            end: self.last_time,
        });
        write!(f, "table {}, {range}, ", self.table)?;
        match &self.series {
            None => f.write_str("every series"),
            Some(ids) => write!(f, "series {ids:?}"),
        }
    }
}

impl fmt::Display for DefinitionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}, series {}: ", self.table, self.series)?;
        f.write_str(&tags(&self.tags))
    }
}

impl fmt::Display for SegmentEntryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = range(TimeRange {
            start: self.first_time,
            end: self.last_time,
        });
        write!(
            f,
            "table {}, {}, {}, {} rows of {} series, {times}, LSN {} to {}, {} bytes, tail {}, \
             root CRC {:#010x}",
            self.table,
            self.uuid,
            self.tier,
            self.rows,
            self.series,
            self.first_lsn,
            self.last_lsn,
            self.file_length,
            self.tail_length,
            self.root_crc
        )?;
        if !self.place.is_empty() {
            write!(f, ", archived as {}", one_line(&self.place))?;
        }
        Ok(())
    }
}

/// Tags on one line.
pub(super) fn tags<'a>(tags: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let tags: Vec<String> = tags
        .into_iter()
        .map(|(name, value)| one_line(&format!("{name}={value}")))
        .collect();
    if tags.is_empty() {
        return "(no tags)".to_owned();
    }
    tags.join(",")
}

/// A span of time on one line.
pub(super) fn range(times: TimeRange) -> String {
    format!("{} to {}", rfc3339(times.start), rfc3339(times.end))
}

/// The tier in a word.
pub(super) fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Hot => "hot",
        Tier::Cold => "cold",
        Tier::Archive => "archive",
    }
}
