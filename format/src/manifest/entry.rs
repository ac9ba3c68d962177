//! One change of what the manifest holds.

use crate::bytes::{Reader, put_short_text};
use crate::log::record::{SeriesDefinition, Tombstone};
use crate::schema::{TableSchema, read_name, read_table_id};
use crate::segment_entry::SegmentEntry;
use crate::tags::on_disk;
use crate::version::MAX_REGION;
use crate::{FileUuid, FormatError, FormatErrorKind, Lsn, Result, SeriesId, TableId, Timestamp};

const WHAT: &str = "manifest entry";

on_disk! {
    /// The tag of an entry.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[expect(missing_docs, reason = "each is the tag of the entry of the same name")]
    pub enum EntryTag {
        NextIds = 1,
        Incarnation = 2,
        Table = 3,
        TableDropped = 4,
        SegmentAdded = 5,
        SegmentDropped = 6,
        Flushed = 7,
        Tombstone = 8,
        TombstoneDropped = 9,
        SeriesDefined = 10,
        Horizon = 11,
        Cursor = 12,
        CursorDropped = 13,
        SeriesForgotten = 14,
        ClockTrust = 15,
        Forgetting = 16,
    }
}

impl EntryTag {
    /// The entry tag `tag`.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.tag() == tag)
    }
}

/// A change of what the manifest holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The ids that series and tables made from now on get first. They never decrease.
    NextIds {
        /// The next series.
        series: SeriesId,
        /// The next table.
        table: TableId,
    },
    /// A new incarnation of the database: it was restored, repaired or its log was cut.
    Incarnation(FileUuid),
    /// A table as it is from now on; its id is below the next one.
    Table(TableSchema),
    /// A table is gone, and with it its segments, tombstones, series definitions and horizon.
    TableDropped(TableId),
    /// A segment lives.
    SegmentAdded(SegmentEntry),
    /// A segment no longer lives.
    SegmentDropped {
        /// Its table.
        table: TableId,
        /// Its uuid.
        uuid: FileUuid,
    },
    /// Every row at or below the LSN is in segments or dropped. It never decreases.
    Flushed(Lsn),
    /// A delete of the given LSN.
    Tombstone {
        /// The LSN of the delete: it hides rows of lower ones.
        lsn: Lsn,
        /// What it hides.
        tombstone: Tombstone,
    },
    /// The delete of that LSN has been applied to every segment that needs it.
    TombstoneDropped(Lsn),
    /// A series that may be in no live segment.
    SeriesDefined(SeriesDefinition),
    /// Rows of the table below the timestamp are gone. It never decreases.
    Horizon {
        /// The table.
        table: TableId,
        /// The first timestamp that is kept.
        from: Timestamp,
    },
    /// How far a consumer of the log has come.
    Cursor {
        /// Its name; not empty.
        name: String,
        /// The last LSN it needs no more.
        lsn: Lsn,
    },
    /// A consumer of the log is gone.
    CursorDropped {
        /// Its name.
        name: String,
    },
    /// A series needs its definition no more: all its rows are gone. Its id is not given again.
    SeriesForgotten(SeriesId),
    /// How far the wall clock is believed.
    ClockTrust(ClockTrust),
    /// The name of the forgetting that this edit is: whoever keeps series outside of the manifest and
    /// knows another one may have some that are forgotten.
    Forgetting(FileUuid),
}

/// How far the wall clock is believed, as far as deletes by age go. What the three mean is up to the
/// engine; any values are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockTrust {
    /// A time that has passed for certain; the lowest one if nothing is certain yet.
    pub believed: Timestamp,
    /// What the clock showed when it began to be watched.
    pub since: Timestamp,
    /// How long it has been watched since then and not gone back, nanoseconds.
    pub steady_ns: u64,
}

impl Entry {
    /// The entry's tag.
    pub fn tag(&self) -> EntryTag {
        match self {
            Self::NextIds { .. } => EntryTag::NextIds,
            Self::Incarnation(_) => EntryTag::Incarnation,
            Self::Table(_) => EntryTag::Table,
            Self::TableDropped(_) => EntryTag::TableDropped,
            Self::SegmentAdded(_) => EntryTag::SegmentAdded,
            Self::SegmentDropped { .. } => EntryTag::SegmentDropped,
            Self::Flushed(_) => EntryTag::Flushed,
            Self::Tombstone { .. } => EntryTag::Tombstone,
            Self::TombstoneDropped(_) => EntryTag::TombstoneDropped,
            Self::SeriesDefined(_) => EntryTag::SeriesDefined,
            Self::Horizon { .. } => EntryTag::Horizon,
            Self::Cursor { .. } => EntryTag::Cursor,
            Self::CursorDropped { .. } => EntryTag::CursorDropped,
            Self::SeriesForgotten(_) => EntryTag::SeriesForgotten,
            Self::ClockTrust(_) => EntryTag::ClockTrust,
            Self::Forgetting(_) => EntryTag::Forgetting,
        }
    }

    /// Appends the entry: tag, length and body.
    ///
    /// # Errors
    /// A field out of the bounds that [`Entry::read`] checks; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let result = self.put(out).and_then(|()| {
            let mut r = Reader::new(&out[start..], WHAT);
            Self::read(&mut r).map(drop)
        });
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn put(&self, out: &mut Vec<u8>) -> Result<()> {
        out.push(self.tag().tag());
        let len_at = out.len();
        out.extend_from_slice(&[0; 4]);
        let body = out.len();
        self.put_body(out)?;
        let len = out.len() - body;
        let len = match u32::try_from(len) {
            Ok(len) if out.len() - body <= MAX_REGION => len,
            _ => return Err(FormatError::limit(WHAT, MAX_REGION, len)),
        };
        out[len_at..body].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    fn put_body(&self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::NextIds { series, table } => {
                out.extend_from_slice(&series.0.to_le_bytes());
                out.extend_from_slice(&table.0.to_le_bytes());
            }
            Self::Incarnation(uuid) | Self::Forgetting(uuid) => out.extend_from_slice(&uuid.0),
            Self::Table(table) => table.encode(out)?,
            Self::TableDropped(table) => out.extend_from_slice(&table.0.to_le_bytes()),
            Self::SegmentAdded(segment) => segment.encode(out)?,
            Self::SegmentDropped { table, uuid } => {
                out.extend_from_slice(&table.0.to_le_bytes());
                out.extend_from_slice(&uuid.0);
            }
            Self::Flushed(lsn) | Self::TombstoneDropped(lsn) => {
                out.extend_from_slice(&lsn.0.to_le_bytes());
            }
            Self::Tombstone { lsn, tombstone } => {
                out.extend_from_slice(&lsn.0.to_le_bytes());
                tombstone.encode(out)?;
            }
            Self::SeriesDefined(definition) => definition.encode(out)?,
            Self::Horizon { table, from } => {
                out.extend_from_slice(&table.0.to_le_bytes());
                out.extend_from_slice(&from.to_le_bytes());
            }
            Self::Cursor { name, lsn } => {
                put_short_text(out, "name of a cursor", name)?;
                out.extend_from_slice(&lsn.0.to_le_bytes());
            }
            Self::CursorDropped { name } => put_short_text(out, "name of a cursor", name)?,
            Self::SeriesForgotten(series) => out.extend_from_slice(&series.0.to_le_bytes()),
            Self::ClockTrust(trust) => {
                out.extend_from_slice(&trust.believed.to_le_bytes());
                out.extend_from_slice(&trust.since.to_le_bytes());
                out.extend_from_slice(&trust.steady_ns.to_le_bytes());
            }
        }
        Ok(())
    }

    /// Reads one entry.
    ///
    /// # Errors
    /// It is cut short, its body is not what the format says of its tag, or
    /// ([`Unsupported`](FormatErrorKind::Unsupported)) the tag is unknown.
    pub fn read(r: &mut Reader<'_>) -> Result<Self> {
        let tag_at = r.position() as u64;
        let tag = r.u8()?;
        let Some(tag) = EntryTag::from_tag(tag) else {
            let kind = FormatErrorKind::Unsupported;
            let actual = format_args!("tag {tag}");
            return Err(FormatError::new(
                kind,
                WHAT,
                tag_at,
                "the tags 1 to 16",
                actual,
            ));
        };
        let len = r.u32()? as usize;
        let body_at = r.position() as u64;
        let mut body = Reader::new(r.take(len)?, WHAT);
        Self::read_body(tag, &mut body)
            .and_then(|entry| body.finish().map(|()| entry))
            .map_err(|e| e.at_base(body_at))
    }

    fn read_body(tag: EntryTag, r: &mut Reader<'_>) -> Result<Self> {
        Ok(match tag {
            EntryTag::NextIds => Self::NextIds {
                series: crate::log::record::read_series_id(r)?,
                table: read_table_id(r)?,
            },
            EntryTag::Incarnation => Self::Incarnation(FileUuid(r.array()?)),
            EntryTag::Table => {
                let table = TableSchema::decode(r.rest())?;
                r.take(r.remaining())?;
                Self::Table(table)
            }
            EntryTag::TableDropped => Self::TableDropped(read_table_id(r)?),
            EntryTag::SegmentAdded => Self::SegmentAdded(SegmentEntry::read(r)?),
            EntryTag::SegmentDropped => Self::SegmentDropped {
                table: read_table_id(r)?,
                uuid: FileUuid(r.array()?),
            },
            EntryTag::Flushed => {
                let at = r.position();
                match r.u64()? {
                    u64::MAX => return Err(r.invalid_at(at, "an LSN up to 2^64 - 2", u64::MAX)),
                    lsn => Self::Flushed(Lsn(lsn)),
                }
            }
            EntryTag::Tombstone => Self::Tombstone {
                lsn: read_lsn(r)?,
                tombstone: Tombstone::read(r)?,
            },
            EntryTag::TombstoneDropped => Self::TombstoneDropped(read_lsn(r)?),
            EntryTag::SeriesDefined => Self::SeriesDefined(SeriesDefinition::read(r)?),
            EntryTag::Horizon => Self::Horizon {
                table: read_table_id(r)?,
                from: r.i64()?,
            },
            EntryTag::Cursor => Self::Cursor {
                name: read_name(r)?,
                lsn: Lsn(r.u64()?),
            },
            EntryTag::CursorDropped => Self::CursorDropped {
                name: read_name(r)?,
            },
            EntryTag::SeriesForgotten => {
                Self::SeriesForgotten(crate::log::record::read_series_id(r)?)
            }
            EntryTag::ClockTrust => Self::ClockTrust(ClockTrust {
                believed: r.i64()?,
                since: r.i64()?,
                steady_ns: r.u64()?,
            }),
            EntryTag::Forgetting => Self::Forgetting(FileUuid(r.array()?)),
        })
    }
}

/// Reads the LSN of a tombstone, which is never 0 and has a next one.
fn read_lsn(r: &mut Reader<'_>) -> Result<Lsn> {
    let at = r.position();
    match r.u64()? {
        lsn @ (0 | u64::MAX) => Err(r.invalid_at(at, "an LSN from 1 to 2^64 - 2", lsn)),
        lsn => Ok(Lsn(lsn)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::FormatErrorKind::{Invalid, Limit, Truncated, Unsupported};
    use crate::log::record::Selection;
    use crate::schema::{DuplicatePolicy, Field, SchemaMode, TableSettings};
    use crate::segment_entry::tests::entry as segment;
    use crate::{FieldId, FieldType, SeriesKey, TimeRange};

    pub(in crate::manifest) fn table(id: u32, name: &str) -> TableSchema {
        TableSchema {
            id: TableId(id),
            name: name.to_string(),
            settings: TableSettings {
                policy: DuplicatePolicy::Replace,
                mode: SchemaMode::Open,
                partition_ns: 1000,
                future_bound_ns: None,
                retention_age_ns: None,
                retention_bytes: None,
                drops_when_full: false,
            },
            next_field_id: 2,
            fields: vec![Field {
                id: FieldId(1),
                name: "v".to_string(),
                field_type: FieldType::F64,
            }],
        }
    }

    pub(in crate::manifest) fn series(table: u32, id: u64) -> SeriesDefinition {
        SeriesDefinition {
            table: TableId(table),
            id: SeriesId(id),
            key: SeriesKey::new([("host", id.to_string())]).unwrap(),
        }
    }

    pub(in crate::manifest) fn tombstone(table: u32, lsn: u64) -> Entry {
        let tombstone = Tombstone {
            table: TableId(table),
            selection: Selection::All,
            range: TimeRange { start: 0, end: 9 },
        };
        Entry::Tombstone {
            lsn: Lsn(lsn),
            tombstone,
        }
    }

    pub(in crate::manifest) fn one_of_each() -> Vec<Entry> {
        let name = "mirror".to_string();
        vec![
            Entry::NextIds {
                series: SeriesId(100),
                table: TableId(10),
            },
            Entry::Incarnation(FileUuid([4; 16])),
            Entry::Table(table(1, "cpu")),
            Entry::TableDropped(TableId(1)),
            Entry::SegmentAdded(segment(1, 1)),
            Entry::SegmentDropped {
                table: TableId(1),
                uuid: FileUuid([1; 16]),
            },
            Entry::Flushed(Lsn(50)),
            tombstone(1, 40),
            Entry::TombstoneDropped(Lsn(40)),
            Entry::SeriesDefined(series(1, 7)),
            Entry::Horizon {
                table: TableId(1),
                from: -5,
            },
            Entry::Cursor {
                name: name.clone(),
                lsn: Lsn(3),
            },
            Entry::CursorDropped { name },
            Entry::SeriesForgotten(SeriesId(7)),
            Entry::ClockTrust(ClockTrust {
                believed: i64::MIN,
                since: -3,
                steady_ns: u64::MAX,
            }),
            Entry::Forgetting(FileUuid([5; 16])),
        ]
    }

    fn encoded(entry: &Entry) -> Vec<u8> {
        let mut out = Vec::new();
        entry.encode(&mut out).unwrap();
        out
    }

    fn decode(bytes: &[u8]) -> Result<Entry> {
        let mut r = Reader::new(bytes, "test");
        let entry = Entry::read(&mut r)?;
        r.finish()?;
        Ok(entry)
    }

    #[test]
    fn entries_round_trip_and_no_truncation_does() {
        for (entry, tag) in one_of_each().iter().zip(EntryTag::ALL) {
            let bytes = encoded(entry);
            assert_eq!(bytes[0], tag.tag());
            assert_eq!(decode(&bytes).unwrap(), *entry);
            for len in 0..bytes.len() {
                assert_eq!(
                    decode(&bytes[..len]).unwrap_err().kind,
                    Truncated,
                    "{tag:?} {len}"
                );
            }
        }
    }

    #[test]
    fn a_body_of_another_length_is_refused() {
        for entry in one_of_each() {
            let mut bytes = encoded(&entry);
            bytes.push(0);
            let len = u32::try_from(bytes.len() - 5).unwrap();
            bytes[1..5].copy_from_slice(&len.to_le_bytes());
            let error = decode(&bytes).unwrap_err();
            assert_eq!(
                (error.kind, error.offset),
                (Invalid, bytes.len() as u64 - 1),
                "{error}"
            );
            bytes.truncate(bytes.len() - 2);
            bytes[1..5].copy_from_slice(&(len - 2).to_le_bytes());
            assert!(decode(&bytes).is_err());
        }
    }

    #[test]
    fn an_unknown_tag_is_unsupported() {
        for tag in [0, 17, 255] {
            let mut bytes = encoded(&Entry::Flushed(Lsn(1)));
            bytes[0] = tag;
            let error = decode(&bytes).unwrap_err();
            assert_eq!((error.kind, error.offset), (Unsupported, 0));
        }
    }

    #[test]
    fn what_has_no_next_number_is_refused() {
        let check = |entry: usize, at: usize| {
            let mut bytes = encoded(&one_of_each()[entry]);
            bytes[at..at + 8].fill(0xff);
            let error = decode(&bytes).unwrap_err();
            assert_eq!((error.kind, error.offset), (Invalid, at as u64), "{error}");
        };
        check(6, 5);
        check(7, 5);
        check(8, 5);
        check(9, 9);
    }

    #[test]
    fn each_body_has_its_bounds() {
        let check = |entry: usize, at: usize, len: usize| {
            let mut bytes = encoded(&one_of_each()[entry]);
            bytes[at..at + len].fill(0);
            let error = decode(&bytes).unwrap_err();
            assert_eq!((error.kind, error.offset), (Invalid, at as u64), "{error}");
        };
        check(0, 5, 8);
        check(0, 13, 4);
        check(2, 5, 4);
        check(3, 5, 4);
        check(4, 5, 4);
        check(5, 5, 4);
        check(7, 5, 8);
        check(7, 13, 4);
        check(8, 5, 8);
        check(9, 5, 4);
        check(10, 5, 4);
        check(13, 5, 8);
    }

    #[test]
    fn the_encoder_refuses_what_the_decoder_would() {
        let check = |kind, entry: Entry| {
            let mut out = vec![6];
            assert_eq!(entry.encode(&mut out).unwrap_err().kind, kind);
            assert_eq!(out, [6]);
        };
        check(Invalid, Entry::TableDropped(TableId(0)));
        check(Invalid, Entry::Table(table(1, "")));
        check(Invalid, tombstone(1, 0));
        check(Invalid, Entry::SeriesForgotten(SeriesId(0)));
        let lsn = Lsn(1);
        let name = String::new();
        check(Invalid, Entry::Cursor { name, lsn });
        let name = "x".repeat(65_536);
        check(Limit, Entry::CursorDropped { name });
    }
}
