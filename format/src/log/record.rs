//! What frames carry besides batches, and a payload decoded by its frame's kind.

use super::batch::{BatchSection, decode_batch};
use super::frame::FrameKind;
use crate::bytes::Reader;
use crate::schema::read_table_id;
use crate::segment_entry::{SegmentEntry, read_time_range};
use crate::{FormatError, Result, SeriesId, SeriesKey, TableId, TimeRange};

/// An id given to a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesDefinition {
    /// The series' table.
    pub table: TableId,
    /// Its id.
    pub id: SeriesId,
    /// Its tags.
    pub key: SeriesKey,
}

/// Which series a tombstone hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every series of the table.
    All,
    /// These, ascending, at least one.
    Series(Vec<SeriesId>),
}

/// A delete: rows of lower LSN that it hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The table.
    pub table: TableId,
    /// The series.
    pub selection: Selection,
    /// The timestamps.
    pub range: TimeRange,
}

/// The payload of a frame, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Rows.
    Batch(Vec<BatchSection>),
    /// Ids given to series.
    SeriesDefinitions(Vec<SeriesDefinition>),
    /// A delete.
    Delete(Tombstone),
    /// Segments that hold a batch.
    SegmentReferences(Vec<SegmentEntry>),
    /// Nothing.
    Note,
}

impl Record {
    /// The record in the payload of a frame of the given kind.
    ///
    /// # Errors
    /// The payload is not what the format says of its kind; offsets count from its start.
    pub fn decode(kind: FrameKind, payload: &[u8]) -> Result<Self> {
        let mut r = Reader::new(payload, "log record");
        let record = match kind {
            FrameKind::Batch => return decode_batch(payload).map(Self::Batch),
            FrameKind::SeriesDefinition => {
                Self::SeriesDefinitions(read_list(&mut r, SeriesDefinition::read)?)
            }
            FrameKind::Delete => Self::Delete(Tombstone::read(&mut r)?),
            FrameKind::SegmentReference => {
                Self::SegmentReferences(read_list(&mut r, SegmentEntry::read)?)
            }
            FrameKind::Note => Self::Note,
        };
        r.finish()?;
        Ok(record)
    }
}

/// Appends the payload of a series definition frame.
///
/// # Errors
/// No definition, a table or series id of 0, or more than a payload holds; `out` is then as it
/// was.
pub fn encode_series_definitions(out: &mut Vec<u8>, list: &[SeriesDefinition]) -> Result<()> {
    put_list(out, list, SeriesDefinition::encode)
}

/// Appends the payload of a segment reference frame.
///
/// # Errors
/// No segment, or one that [`SegmentEntry::encode`] refuses; `out` is then as it was.
pub fn encode_segment_references(out: &mut Vec<u8>, list: &[SegmentEntry]) -> Result<()> {
    put_list(out, list, SegmentEntry::encode)
}

impl SeriesDefinition {
    /// Appends the definition's bytes: what a series definition frame holds after its count, and
    /// the body of a manifest entry.
    ///
    /// # Errors
    /// A table or series id of 0, or a key longer than 4 GiB; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        check_ids(self.table, self.id)?;
        let key = self.key.as_bytes();
        let len = u32::try_from(key.len())
            .map_err(|_| FormatError::limit("series key", u32::MAX, key.len()))?;
        out.extend_from_slice(&self.table.0.to_le_bytes());
        out.extend_from_slice(&self.id.0.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(key);
        Ok(())
    }

    /// Reads one definition.
    ///
    /// # Errors
    /// It is cut short, an id is 0, the series' id is the last there could be, or the key is not canonical.
    pub fn read(r: &mut Reader<'_>) -> Result<Self> {
        let table = read_table_id(r)?;
        let id_at = r.position();
        let id = read_series_id(r)?;
        if id == SeriesId(u64::MAX) {
            return Err(r.invalid_at(id_at, "a series id that has a next one", id));
        }
        let len = r.u32()? as usize;
        let key_at = r.position() as u64;
        let key = SeriesKey::from_bytes(r.take(len)?).map_err(|e| e.at_base(key_at))?;
        Ok(Self { table, id, key })
    }
}

impl Tombstone {
    /// Whether the tombstone's selection has the series `id`.
    pub fn selects(&self, id: SeriesId) -> bool {
        match &self.selection {
            Selection::All => true,
            Selection::Series(ids) => ids.binary_search(&id).is_ok(),
        }
    }

    /// Appends the tombstone's bytes: the payload of a delete frame, and part of a manifest entry.
    ///
    /// # Errors
    /// A table id of 0, a range that ends before it starts, a list of series that is empty, does
    /// not ascend or is longer than 2^32 - 1; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let (tag, ids): (u8, &[SeriesId]) = match &self.selection {
            Selection::All => (1, &[]),
            Selection::Series(ids) => (2, ids),
        };
        let count = u32::try_from(ids.len())
            .map_err(|_| FormatError::limit("series of a tombstone", u32::MAX, ids.len()))?;
        out.extend_from_slice(&self.table.0.to_le_bytes());
        out.extend_from_slice(&[tag, 0, 0, 0]);
        out.extend_from_slice(&self.range.start.to_le_bytes());
        out.extend_from_slice(&self.range.end.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        for id in ids {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
        let read_back = Self::read(&mut Reader::new(&out[start..], "tombstone"));
        if read_back.is_err() {
            out.truncate(start);
        }
        read_back.map(drop)
    }

    /// Reads one tombstone.
    ///
    /// # Errors
    /// It is cut short, or a field is out of its bounds.
    pub fn read(r: &mut Reader<'_>) -> Result<Self> {
        let table = read_table_id(r)?;
        let tag_at = r.position();
        let tag = r.u8()?;
        r.zeros(3)?;
        let range = read_time_range(r)?;
        let count_at = r.position();
        let count = r.u32()? as usize;
        let selection = match (tag, count) {
            (1, 0) => Selection::All,
            (1, _) => return Err(r.invalid_at(count_at, "no listed series", count)),
            (2, 0) => return Err(r.invalid_at(count_at, "1 or more listed series", 0)),
            (2, _) => Selection::Series(read_ascending_ids(r, count)?),
            _ => return Err(r.invalid_at(tag_at, "selection 1 or 2", tag)),
        };
        Ok(Self {
            table,
            selection,
            range,
        })
    }
}

fn read_ascending_ids(r: &mut Reader<'_>, count: usize) -> Result<Vec<SeriesId>> {
    let at = r.position();
    let (ids, _) = r.take(count.saturating_mul(8))?.as_chunks::<8>();
    let ids: Vec<SeriesId> = ids
        .iter()
        .map(|id| SeriesId(u64::from_le_bytes(*id)))
        .collect();
    let mut before = SeriesId(0);
    for (i, &id) in ids.iter().enumerate() {
        if id <= before {
            let expected = format_args!("a series id greater than {before}");
            return Err(r.invalid_at(at + i * 8, expected, id));
        }
        before = id;
    }
    Ok(ids)
}

/// Reads a series id, which is never 0.
pub(crate) fn read_series_id(r: &mut Reader<'_>) -> Result<SeriesId> {
    let at = r.position();
    match r.u64()? {
        0 => Err(r.invalid_at(at, "a series id from 1", 0)),
        id => Ok(SeriesId(id)),
    }
}

fn check_ids(table: TableId, series: SeriesId) -> Result<()> {
    if table.0 == 0 || series.0 == 0 || series.0 == u64::MAX {
        let actual = format_args!("table {table}, series {series}");
        return Err(FormatError::invalid(
            "series definition",
            0,
            "ids from 1, that of the series with a next one",
            actual,
        ));
    }
    Ok(())
}

/// Reads a `u32` count, which is not 0, and as many things.
fn read_list<T>(r: &mut Reader<'_>, read: impl Fn(&mut Reader<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = r.u32()?;
    if count == 0 {
        return Err(r.invalid_at(0, "a count of 1 or more", 0));
    }
    // The list grows as it is read: nothing is allocated on the word of the count.
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(read(r)?);
    }
    Ok(list)
}

fn put_list<T>(
    out: &mut Vec<u8>,
    list: &[T],
    put: impl Fn(&T, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let start = out.len();
    let count = match u32::try_from(list.len()) {
        Ok(0) => {
            return Err(FormatError::invalid(
                "log record",
                0,
                "1 thing or more",
                "none",
            ));
        }
        Ok(count) => count,
        Err(_) => {
            return Err(FormatError::limit(
                "list in a log record",
                u32::MAX,
                list.len(),
            ));
        }
    };
    out.extend_from_slice(&count.to_le_bytes());
    let result = list.iter().try_for_each(|thing| put(thing, out));
    if result.is_err() {
        out.truncate(start);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FormatErrorKind::{Invalid, Truncated};
    use crate::segment_entry::tests::entry;

    fn definitions() -> Vec<SeriesDefinition> {
        let definition = |table, id, host: &str| SeriesDefinition {
            table: TableId(table),
            id: SeriesId(id),
            key: SeriesKey::new([("host", host)]).unwrap(),
        };
        vec![definition(1, 1, "a"), definition(2, u64::MAX - 1, "b")]
    }

    fn tombstone() -> Tombstone {
        Tombstone {
            table: TableId(3),
            selection: Selection::Series(vec![SeriesId(2), SeriesId(5)]),
            range: TimeRange { start: -5, end: 5 },
        }
    }

    fn encoded(record: &Record) -> (FrameKind, Vec<u8>) {
        let mut out = Vec::new();
        let kind = match record {
            Record::SeriesDefinitions(list) => {
                encode_series_definitions(&mut out, list).unwrap();
                FrameKind::SeriesDefinition
            }
            Record::Delete(tombstone) => {
                tombstone.encode(&mut out).unwrap();
                FrameKind::Delete
            }
            Record::SegmentReferences(list) => {
                encode_segment_references(&mut out, list).unwrap();
                FrameKind::SegmentReference
            }
            Record::Note => FrameKind::Note,
            Record::Batch(_) => unreachable!("the batch's tests are its own"),
        };
        (kind, out)
    }

    fn records() -> Vec<Record> {
        let all = Tombstone {
            selection: Selection::All,
            range: TimeRange::ALL,
            ..tombstone()
        };
        vec![
            Record::SeriesDefinitions(definitions()),
            Record::Delete(tombstone()),
            Record::Delete(all),
            Record::SegmentReferences(vec![entry(1, 1), entry(2, 2)]),
            Record::Note,
        ]
    }

    #[test]
    fn records_round_trip_and_no_truncation_does() {
        for record in records() {
            let (kind, bytes) = encoded(&record);
            assert_eq!(Record::decode(kind, &bytes).unwrap(), record);
            for len in 0..bytes.len() {
                let error = Record::decode(kind, &bytes[..len]).unwrap_err();
                assert_eq!(error.kind, Truncated, "{kind} cut at {len}: {error}");
            }
            let error = Record::decode(kind, &[&bytes[..], &[0]].concat()).unwrap_err();
            assert_eq!((error.kind, error.offset), (Invalid, bytes.len() as u64));
        }
    }

    #[track_caller]
    fn refused(record: &Record, at: usize, value: &[u8], offset: u64) {
        let (kind, mut bytes) = encoded(record);
        bytes[at..at + value.len()].copy_from_slice(value);
        let error = Record::decode(kind, &bytes).unwrap_err();
        assert_eq!((error.kind, error.offset), (Invalid, offset), "{error}");
    }

    #[test]
    fn each_field_of_a_definition_has_its_bounds() {
        let record = Record::SeriesDefinitions(definitions());
        refused(&record, 0, &[0], 0);
        refused(&record, 4, &[0], 4);
        refused(&record, 8, &[0], 8);
        refused(&record, 16, &[12], 20);
        let mut none = definitions();
        none[1].id = SeriesId(0);
        let mut out = vec![7];
        assert!(encode_series_definitions(&mut out, &none).is_err());
        assert!(encode_series_definitions(&mut out, &[]).is_err());
        assert!(encode_segment_references(&mut out, &[]).is_err());
        assert_eq!(out, [7]);
    }

    #[test]
    fn each_field_of_a_tombstone_has_its_bounds() {
        let record = Record::Delete(tombstone());
        refused(&record, 0, &[0], 0);
        refused(&record, 4, &[0], 4);
        refused(&record, 4, &[1], 24);
        refused(&record, 4, &[3], 4);
        refused(&record, 5, &[1], 5);
        refused(&record, 8, &6i64.to_le_bytes(), 8);
        refused(&record, 24, &[0], 24);
        refused(&record, 28, &[0], 28);
        refused(&record, 36, &[2], 36);
        let mut out = vec![7];
        for ids in [vec![], vec![2, 2], vec![0], vec![5, 2]] {
            let selection = Selection::Series(ids.into_iter().map(SeriesId).collect());
            let bad = Tombstone {
                selection,
                ..tombstone()
            };
            assert!(bad.encode(&mut out).is_err());
            assert_eq!(out, [7]);
        }
    }

    #[test]
    fn a_tombstone_selects_what_it_lists() {
        assert!(tombstone().selects(SeriesId(5)));
        assert!(!tombstone().selects(SeriesId(3)));
    }

    #[test]
    fn a_count_that_lies_allocates_nothing() {
        let bytes = [0xff; 64];
        for kind in FrameKind::ALL {
            assert!(Record::decode(kind, &bytes).is_err());
        }
    }
}
