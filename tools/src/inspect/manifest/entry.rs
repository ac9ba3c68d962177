//! One entry of an edit.

use std::fmt;

use serde::Serialize;
use tidestone_format::manifest::Entry;
use tidestone_format::schema::{DuplicatePolicy, SchemaMode, TableSchema};

use super::super::entries::{DefinitionReport, SegmentEntryReport, TombstoneReport};
use crate::text::one_line;
use crate::time::rfc3339;

/// An entry.
#[derive(Debug, Serialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(super) enum EntryReport {
    NextIds {
        series: u64,
        table: u32,
    },
    Incarnation {
        uuid: String,
    },
    Table(TableReport),
    TableDropped {
        table: u32,
    },
    SegmentAdded(SegmentEntryReport),
    SegmentDropped {
        table: u32,
        uuid: String,
    },
    Flushed {
        lsn: u64,
    },
    Tombstone {
        lsn: u64,
        tombstone: TombstoneReport,
    },
    TombstoneDropped {
        lsn: u64,
    },
    SeriesDefined(DefinitionReport),
    Horizon {
        table: u32,
        from: i64,
    },
    Cursor {
        name: String,
        lsn: u64,
    },
    CursorDropped {
        name: String,
    },
    SeriesForgotten {
        series: u64,
    },
    ClockTrust {
        believed: i64,
        since: i64,
        steady_ns: u64,
    },
    Forgetting {
        uuid: String,
    },
}

/// A table's settings and fields.
#[derive(Debug, Serialize)]
pub(super) struct TableReport {
    id: u32,
    name: String,
    policy: &'static str,
    schema: &'static str,
    partition_ns: i64,
    future_bound_ns: Option<i64>,
    retention_age_ns: Option<i64>,
    retention_bytes: Option<u64>,
    drops_when_full: bool,
    next_field: u32,
    fields: Vec<FieldReport>,
}

#[derive(Debug, Serialize)]
struct FieldReport {
    id: u32,
    name: String,
    r#type: &'static str,
}

impl From<&Entry> for EntryReport {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::NextIds { series, table } => Self::NextIds {
                series: series.0,
                table: table.0,
            },
            Entry::Incarnation(uuid) => Self::Incarnation {
                uuid: uuid.to_string(),
            },
            Entry::Table(table) => Self::Table(table.into()),
            Entry::TableDropped(table) => Self::TableDropped { table: table.0 },
            Entry::SegmentAdded(entry) => Self::SegmentAdded(entry.into()),
            Entry::SegmentDropped { table, uuid } => Self::SegmentDropped {
                table: table.0,
                uuid: uuid.to_string(),
            },
            Entry::Flushed(lsn) => Self::Flushed { lsn: lsn.0 },
            Entry::Tombstone { lsn, tombstone } => Self::Tombstone {
                lsn: lsn.0,
                tombstone: tombstone.into(),
            },
            Entry::TombstoneDropped(lsn) => Self::TombstoneDropped { lsn: lsn.0 },
            Entry::SeriesDefined(definition) => Self::SeriesDefined(definition.into()),
            Entry::Horizon { table, from } => Self::Horizon {
                table: table.0,
                from: *from,
            },
            Entry::Cursor { name, lsn } => Self::Cursor {
                name: name.clone(),
                lsn: lsn.0,
            },
            Entry::CursorDropped { name } => Self::CursorDropped { name: name.clone() },
            Entry::SeriesForgotten(series) => Self::SeriesForgotten { series: series.0 },
            Entry::ClockTrust(trust) => Self::ClockTrust {
                believed: trust.believed,
                since: trust.since,
                steady_ns: trust.steady_ns,
            },
            Entry::Forgetting(uuid) => Self::Forgetting {
                uuid: uuid.to_string(),
            },
        }
    }
}

impl From<&TableSchema> for TableReport {
    fn from(table: &TableSchema) -> Self {
        let settings = &table.settings;
        Self {
            id: table.id.0,
            name: table.name.clone(),
            policy: policy_name(settings.policy),
            schema: match settings.mode {
                SchemaMode::Fixed => "fixed",
                SchemaMode::Open => "open",
            },
            partition_ns: settings.partition_ns,
            future_bound_ns: settings.future_bound_ns,
            retention_age_ns: settings.retention_age_ns,
            retention_bytes: settings.retention_bytes,
            drops_when_full: settings.drops_when_full,
            next_field: table.next_field_id,
            fields: table
                .fields
                .iter()
                .map(|field| FieldReport {
                    id: field.id.0,
                    name: field.name.clone(),
                    r#type: field.field_type.name(),
                })
                .collect(),
        }
    }
}

/// A duplicate policy in a word.
pub(in crate::inspect) fn policy_name(policy: DuplicatePolicy) -> &'static str {
    match policy {
        DuplicatePolicy::Replace => "replace",
        DuplicatePolicy::All => "all",
        DuplicatePolicy::First => "first",
    }
}

impl fmt::Display for EntryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NextIds { series, table } => {
                write!(f, "next ids           series {series}, table {table}")
            }
            Self::Incarnation { uuid } => write!(f, "incarnation        {uuid}"),
            Self::Table(table) => write!(f, "table              {table}"),
            Self::TableDropped { table } => write!(f, "table dropped      {table}"),
            Self::SegmentAdded(entry) => write!(f, "segment added      {entry}"),
            Self::SegmentDropped { table, uuid } => {
                write!(f, "segment dropped    table {table}, {uuid}")
            }
            Self::Flushed { lsn } => write!(f, "flushed            up to LSN {lsn}"),
            Self::Tombstone { lsn, tombstone } => {
                write!(f, "tombstone          LSN {lsn}: {tombstone}")
            }
            Self::TombstoneDropped { lsn } => write!(f, "tombstone dropped  LSN {lsn}"),
            Self::SeriesDefined(definition) => write!(f, "series defined     {definition}"),
            Self::Horizon { table, from } => {
                write!(
                    f,
                    "horizon            table {table} keeps from {} on",
                    rfc3339(*from)
                )
            }
            Self::Cursor { name, lsn } => {
                write!(f, "cursor             {} at LSN {lsn}", one_line(name))
            }
            Self::CursorDropped { name } => write!(f, "cursor dropped     {}", one_line(name)),
            Self::SeriesForgotten { series } => write!(f, "series forgotten   {series}"),
            Self::ClockTrust {
                believed,
                since,
                steady_ns,
            } => write!(
                f,
                "clock trust        believed up to {}, watched from {} on for {} s",
                rfc3339(*believed),
                rfc3339(*since),
                steady_ns / 1_000_000_000
            ),
            Self::Forgetting { uuid } => write!(f, "forgetting         {uuid}"),
        }
    }
}

impl fmt::Display for TableReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = one_line(&self.name);
        let bound = |value: Option<i64>| value.map_or("none".to_owned(), |v| format!("{v} ns"));
        write!(
            f,
            "{} {name:?}: duplicates {}, schema {}, partition {} ns, future bound {}, \
             retention age {}, bytes {}, full disk {}, next field {}",
            self.id,
            self.policy,
            self.schema,
            self.partition_ns,
            bound(self.future_bound_ns),
            bound(self.retention_age_ns),
            self.retention_bytes
                .map_or("none".to_owned(), |b| b.to_string()),
            match self.drops_when_full {
                true => "drops the oldest",
                false => "refuses",
            },
            self.next_field
        )?;
        for field in &self.fields {
            let name = one_line(&field.name);
            write!(f, "\n      field {} {name:?} {}", field.id, field.r#type)?;
        }
        Ok(())
    }
}
