//! What the manifest, and a segment reference in the log, say of a segment.

use crate::bytes::{Reader, put_short_text};
use crate::schema::read_table_id;
use crate::tags::on_disk;
use crate::{FileUuid, FormatError, Lsn, Result, TableId, TimeRange};

const WHAT: &str = "segment entry";

on_disk! {
    /// Where a segment lies.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Tier {
        /// On the disk that takes new data.
        Hot = 1,
        /// On a slower disk.
        Cold = 2,
        /// In the archive.
        Archive = 3,
    }
}

impl Tier {
    /// The tier whose on-disk tag is `tag`, found at `offset`.
    ///
    /// # Errors
    /// [`FormatErrorKind::Invalid`](crate::FormatErrorKind::Invalid) for any other tag.
    pub fn from_tag(tag: u8, offset: u64) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|known| known.tag() == tag);
        found.ok_or_else(|| FormatError::invalid("tier", offset, "1 to 3", tag))
    }
}

/// A segment: enough to plan a query without opening it, and to know it when it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentEntry {
    /// The table whose rows it holds.
    pub table: TableId,
    /// The segment's uuid.
    pub uuid: FileUuid,
    /// The timestamps it may hold.
    pub partition: TimeRange,
    /// Length of the file, in bytes.
    pub file_len: u64,
    /// Length of its tail, from the first series page to the end, in bytes.
    pub tail_len: u32,
    /// CRC-32 of its root.
    pub root_crc: u32,
    /// Lowest LSN of its rows.
    pub first_lsn: Lsn,
    /// Highest LSN of its rows.
    pub last_lsn: Lsn,
    /// First and last timestamp of its rows.
    pub times: TimeRange,
    /// Rows.
    pub rows: u64,
    /// Series.
    pub series: u64,
    /// Where it lies.
    pub tier: Tier,
    /// Its place in the archive; empty if it has none.
    pub place: String,
}

impl SegmentEntry {
    /// Appends the entry's bytes to `out`.
    ///
    /// # Errors
    /// What [`SegmentEntry::decode`] would refuse; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let result = self
            .put(out)
            .and_then(|()| Self::decode(&out[start..]).map(drop));
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn put(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&self.table.0.to_le_bytes());
        out.extend_from_slice(&self.uuid.0);
        out.extend_from_slice(&self.partition.start.to_le_bytes());
        out.extend_from_slice(&self.partition.end.to_le_bytes());
        out.extend_from_slice(&self.file_len.to_le_bytes());
        out.extend_from_slice(&self.tail_len.to_le_bytes());
        out.extend_from_slice(&self.root_crc.to_le_bytes());
        out.extend_from_slice(&self.first_lsn.0.to_le_bytes());
        out.extend_from_slice(&self.last_lsn.0.to_le_bytes());
        out.extend_from_slice(&self.times.start.to_le_bytes());
        out.extend_from_slice(&self.times.end.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.series.to_le_bytes());
        out.extend_from_slice(&[self.tier.tag(), 0]);
        put_short_text(out, "place in the archive", &self.place)
    }

    /// The entry whose bytes `bytes` are, all of them.
    ///
    /// # Errors
    /// Bytes that are cut short or too long; a number out of its bounds; a range that ends before
    /// it starts; rows outside the partition; fewer rows than series, or none.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, WHAT);
        let entry = Self::read(&mut r)?;
        r.finish()?;
        Ok(entry)
    }

    /// Reads one entry.
    ///
    /// # Errors
    /// As [`SegmentEntry::decode`].
    pub fn read(r: &mut Reader<'_>) -> Result<Self> {
        let table = read_table_id(r)?;
        let uuid = FileUuid(r.array()?);
        let partition = read_time_range(r)?;
        let file_len = r.u64()?;
        let tail_at = r.position();
        let tail_len = r.u32()?;
        if u64::from(tail_len) > file_len {
            let expected = format_args!("a tail no longer than the file, {file_len} bytes");
            return Err(r.invalid_at(tail_at, expected, tail_len));
        }
        let root_crc = r.u32()?;
        let lsn_at = r.position();
        let (first_lsn, last_lsn) = (Lsn(r.u64()?), Lsn(r.u64()?));
        if first_lsn > last_lsn {
            let expected = format_args!("a first LSN up to the last one, {last_lsn}");
            return Err(r.invalid_at(lsn_at, expected, first_lsn));
        }
        if last_lsn == Lsn(u64::MAX) {
            return Err(r.invalid_at(lsn_at + 8, "a last LSN up to 2^64 - 2", last_lsn));
        }
        let times_at = r.position();
        let times = read_time_range(r)?;
        if !partition.covers(&times) {
            let TimeRange { start, end } = partition;
            let expected = format_args!("timestamps of the partition {start} to {end}");
            let actual = format_args!("{} to {}", times.start, times.end);
            return Err(r.invalid_at(times_at, expected, actual));
        }
        let rows_at = r.position();
        let (rows, series) = (r.u64()?, r.u64()?);
        if series == 0 || rows < series {
            let actual = format_args!("{rows} rows of {series} series");
            return Err(r.invalid_at(rows_at, "a row or more of each of its series", actual));
        }
        let tier = Tier::from_tag(r.u8()?, (r.position() - 1) as u64)?;
        r.zeros(1)?;
        Ok(Self {
            table,
            uuid,
            partition,
            file_len,
            tail_len,
            root_crc,
            first_lsn,
            last_lsn,
            times,
            rows,
            series,
            tier,
            place: r.short_text()?.to_string(),
        })
    }
}

/// Reads the first and the last timestamp of a range.
pub(crate) fn read_time_range(r: &mut Reader<'_>) -> Result<TimeRange> {
    let at = r.position();
    let (start, end) = (r.i64()?, r.i64()?);
    if start > end {
        let expected = format_args!("a first timestamp up to the last one, {end}");
        return Err(r.invalid_at(at, expected, start));
    }
    Ok(TimeRange { start, end })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::FormatErrorKind::{Invalid, Limit, Truncated};

    /// An entry that is sound.
    pub(crate) fn entry(table: u32, uuid: u8) -> SegmentEntry {
        SegmentEntry {
            table: TableId(table),
            uuid: FileUuid([uuid; 16]),
            partition: TimeRange { start: 0, end: 999 },
            file_len: 10_000,
            tail_len: 500,
            root_crc: 0xdead_beef,
            first_lsn: Lsn(10),
            last_lsn: Lsn(20),
            times: TimeRange { start: 5, end: 995 },
            rows: 1000,
            series: 3,
            tier: Tier::Cold,
            place: "a/b.seg".to_string(),
        }
    }

    fn encoded(entry: &SegmentEntry) -> Vec<u8> {
        let mut out = Vec::new();
        entry.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn entries_round_trip() {
        let mut entry = entry(1, 2);
        assert_eq!(SegmentEntry::decode(&encoded(&entry)).unwrap(), entry);
        entry.place.clear();
        entry.partition = TimeRange::ALL;
        assert_eq!(SegmentEntry::decode(&encoded(&entry)).unwrap(), entry);
        assert_eq!(encoded(&entry).len(), 104);
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = encoded(&entry(1, 2));
        for len in 0..bytes.len() {
            let error = SegmentEntry::decode(&bytes[..len]).unwrap_err();
            assert_eq!(error.kind, Truncated, "{len}: {error}");
        }
        let error = SegmentEntry::decode(&[&bytes[..], &[0]].concat()).unwrap_err();
        assert_eq!((error.kind, error.offset), (Invalid, bytes.len() as u64));
    }

    #[test]
    fn each_field_has_its_bounds() {
        let check = |at: usize, value: u64, len: usize, offset: u64| {
            let mut changed = encoded(&entry(1, 2));
            changed[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
            let error = SegmentEntry::decode(&changed).unwrap_err();
            assert_eq!((error.kind, error.offset), (Invalid, offset), "{error}");
        };
        check(0, 0, 4, 0);
        check(20, 1000, 8, 20);
        check(44, 10_001, 4, 44);
        check(52, 21, 8, 52);
        check(60, u64::MAX, 8, 60);
        check(68, 996, 8, 68);
        check(20, 6, 8, 68);
        check(28, 994, 8, 68);
        check(84, 2, 8, 84);
        check(92, 0, 8, 84);
        check(100, 0, 1, 100);
        check(100, 4, 1, 100);
        check(101, 1, 1, 101);
        check(104, 0xff, 1, 104);
    }

    #[test]
    fn the_encoder_refuses_what_the_decoder_would() {
        let check = |kind, change: &dyn Fn(&mut SegmentEntry)| {
            let mut entry = entry(1, 2);
            change(&mut entry);
            let mut out = vec![9];
            assert_eq!(entry.encode(&mut out).unwrap_err().kind, kind);
            assert_eq!(out, [9]);
        };
        check(Invalid, &|e| e.rows = 0);
        check(Invalid, &|e| e.times.end = 1000);
        check(Limit, &|e| e.place = "x".repeat(65_536));
    }
}
