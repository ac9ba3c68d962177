//! Section 3: log files. Section 4.3: segment entries.

use crate::codec::{Value, word};
use crate::header::{Header, OfKind, header};
use crate::input::{Input, Result, Seen, Uuid, bits, must, padding, zeros};

pub const PAGE: usize = 4096;

#[derive(Debug, PartialEq)]
pub struct Log {
    pub header: Header,
    pub frames: Vec<Frame>,
    pub end: End,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub lsn: u64,
    pub durable_lsn: u64,
    pub record: Record,
}

/// How a log of one file ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// Before this LSN.
    Before(u64),
    /// This LSN was acknowledged and is not readable.
    Damaged(u64),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    Batch(Vec<Section>),
    Series(Vec<Series>),
    Delete(Tombstone),
    Segments(Vec<SegmentEntry>),
    Note,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub table: u32,
    /// One a row.
    pub series: Vec<u64>,
    pub times: Vec<i64>,
    pub columns: Vec<(u32, Vec<Value>)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub table: u32,
    pub id: u64,
    pub tags: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Tombstone {
    pub table: u32,
    /// All, if there is none.
    pub series: Option<Vec<u64>>,
    pub first: i64,
    pub last: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SegmentEntry {
    pub table: u32,
    pub uuid: Uuid,
    pub partition: [i64; 2],
    pub file_len: u64,
    pub tail_len: u32,
    pub root_crc: u32,
    pub lsns: [u64; 2],
    pub times: [i64; 2],
    pub rows: u64,
    pub series: u64,
    pub tier: u8,
    pub place: String,
}

/// A frame that is whole, before its LSN and its fields are looked at.
struct Whole<'a> {
    header: &'a [u8],
    lsn: u64,
    durable_lsn: u64,
    payload: &'a [u8],
    /// Length with padding.
    len: usize,
}

fn whole<'a>(file: &'a [u8], at: usize, of: &Header) -> Result<Whole<'a>> {
    let mut r = Input::new(file.get(at..).unwrap_or_default());
    let header = r.bytes(64)?;
    let mut fields = Input::new(header);
    must(fields.bytes(4)? == b"TSfr", "the magic of a frame")?;
    let covered = [&of.file, &header[8..]].concat();
    let header_crc = crc32fast::hash(&covered);
    must(fields.u32()? == header_crc, "the checksum of a header")?;
    let payload_crc = fields.u32()?;
    let stored_len = fields.u32()? as usize;
    fields.bytes(8)?;
    must(fields.u64()? == of.number, "the number of this file")?;
    let (lsn, durable_lsn) = (fields.u64()?, fields.u64()?);
    let payload = r.bytes(stored_len)?;
    let crc = crc32fast::hash(payload);
    must(payload_crc == crc, "the checksum of a payload")?;
    let pad = padding(stored_len, 8);
    r.zeros(pad)?;
    Ok(Whole {
        header,
        lsn,
        durable_lsn,
        payload,
        len: 64 + stored_len + pad,
    })
}

/// The log that is this one file. A frame that must be refused is an error, and so are bytes where there
/// should be zeros.
pub fn log(file: &[u8], seen: &mut Seen) -> Result<Log> {
    let header = header(file)?;
    let OfKind::Log { len, first_lsn, .. } = header.of_kind else {
        return Err("a log file".to_owned());
    };
    must(len == file.len() as u64, "the length of the file")?;
    zeros(&file[192..PAGE])?;
    let mut frames = Vec::new();
    let (mut at, mut expected) = (PAGE, first_lsn);
    loop {
        let is_next = file.get(at..).is_some_and(|rest| rest.starts_with(b"TSfr"));
        let place = if is_next {
            at
        } else {
            at.next_multiple_of(PAGE)
        };
        let found = whole(file, place, &header).ok();
        let Some(frame) = found.filter(|frame| frame.lsn == expected) else {
            let end = end(file, place, &header, expected);
            return Ok(Log {
                header,
                frames,
                end,
            });
        };
        zeros(&file[at..place])?;
        frames.push(interpret(&frame, seen)?);
        expected += 1;
        at = place + frame.len;
    }
}

/// How a log ends that has no valid frame at `place`.
fn end(file: &[u8], place: usize, header: &Header, expected: u64) -> End {
    let pages = (place.next_multiple_of(PAGE)..file.len()).step_by(PAGE);
    let mut frames = pages.filter_map(|at| whole(file, at, header).ok());
    let proves = |frame: Whole<'_>| (expected..frame.lsn).contains(&frame.durable_lsn);
    match frames.any(proves) {
        true => End::Damaged(expected),
        false => End::Before(expected),
    }
}

fn interpret(frame: &Whole<'_>, seen: &mut Seen) -> Result<Frame> {
    let mut r = Input::new(&frame.header[16..]);
    let plain_len = r.u32()? as usize;
    must(plain_len == frame.payload.len(), "a plain length")?;
    must(plain_len <= 1 << 30, "a payload of at most 2^30 bytes")?;
    let kind = r.u8()?;
    r.zeros(3)?;
    zeros(&frame.header[48..])?;
    must(
        frame.lsn != u64::MAX && frame.durable_lsn < frame.lsn,
        "LSNs",
    )?;
    seen.insert(("frame kind", kind.into()));
    let mut r = Input::new(frame.payload);
    let record = match kind {
        1 => Record::Batch(batch(&mut r, seen)?),
        2 => Record::Series(list(&mut r, series)?),
        3 => Record::Delete(tombstone(&mut r, seen)?),
        4 => Record::Segments(list(&mut r, |r| segment_entry(r, seen))?),
        5 => Record::Note,
        _ => return Err(format!("a frame kind, not {kind}")),
    };
    r.end()?;
    Ok(Frame {
        lsn: frame.lsn,
        durable_lsn: frame.durable_lsn,
        record,
    })
}

/// A `u32` count, at least 1, and as many things.
fn list<T>(r: &mut Input<'_>, mut one: impl FnMut(&mut Input<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = r.u32()?;
    must(count > 0, "one or more")?;
    (0..count).map(|_| one(r)).collect()
}

fn batch(r: &mut Input<'_>, seen: &mut Seen) -> Result<Vec<Section>> {
    let count = r.u32()?;
    must(count > 0, "a section")?;
    r.zeros(4)?;
    (0..count).map(|_| section(r, seen)).collect()
}

fn section(r: &mut Input<'_>, seen: &mut Seen) -> Result<Section> {
    let len = r.u32()? as usize;
    must(len >= 4 && len.is_multiple_of(8), "the length of a section")?;
    let mut r = Input::new(r.bytes(len - 4)?);
    let (table, n) = (id(r.u32()?)?, r.u32()? as usize);
    must(n > 0 && n <= r.len() / 8, "a row, and bytes for all")?;
    let columns = r.u16()?;
    must(columns <= 4096, "at most 4,096 columns")?;
    let form = r.u8()?;
    seen.insert(("series form", form.into()));
    r.zeros(1)?;
    let series = match form {
        0 => vec![r.u64()?; n],
        1 => (0..n).map(|_| r.u64()).collect::<Result<_>>()?,
        _ => return Err(format!("a series form, not {form}")),
    };
    must(!series.contains(&0), "ids of series")?;
    let times = (0..n).map(|_| r.i64()).collect::<Result<_>>()?;
    let read = (0..columns).map(|_| column(&mut r, n, seen));
    let columns = read.collect::<Result<Vec<_>>>()?;
    must(columns.is_sorted_by(|a, b| a.0 < b.0), "ascending fields")?;
    r.end()?;
    Ok(Section {
        table,
        series,
        times,
        columns,
    })
}

fn column(r: &mut Input<'_>, n: usize, seen: &mut Seen) -> Result<(u32, Vec<Value>)> {
    let (field, field_type, has_map) = (id(r.u32()?)?, r.u8()?, r.u8()?);
    r.zeros(2)?;
    let len = r.u32()? as usize;
    r.zeros(4)?;
    let present = match has_map {
        0 => vec![true; n],
        1 => {
            let map = bits(r, n)?;
            r.zeros(padding(n.div_ceil(8), 8))?;
            map
        }
        _ => return Err(format!("0 or 1, not {has_map}")),
    };
    let mut values = Input::new(r.bytes(len)?);
    let read = batch_values(&mut values, field_type, n)?;
    values.end()?;
    r.zeros(padding(len, 8))?;
    seen.insert(("type in a batch", field_type.into()));
    seen.insert(("null map in a batch", has_map.into()));
    let nothing = match field_type {
        5 => Value::Text(String::new()),
        _ => word(field_type, 0)?,
    };
    let rows = read.into_iter().zip(present).map(|(value, present)| {
        must(present || value == nothing, "nothing at a null")?;
        Ok(if present { value } else { Value::Null })
    });
    Ok((field, rows.collect::<Result<_>>()?))
}

fn batch_values(r: &mut Input<'_>, field_type: u8, n: usize) -> Result<Vec<Value>> {
    match field_type {
        1..=3 => (0..n).map(|_| word(field_type, r.u64()?)).collect(),
        4 => Ok(bits(r, n)?.into_iter().map(Value::Bool).collect()),
        5 => {
            let ends = (0..n).map(|_| r.u32()).collect::<Result<Vec<_>>>()?;
            let mut start = 0;
            let strings = ends.into_iter().map(|end| {
                let len = end.checked_sub(start).ok_or("an end behind the start")?;
                must(len <= 1 << 24, "a string of at most 16 MiB")?;
                start = end;
                r.text(len as usize).map(Value::Text)
            });
            strings.collect()
        }
        _ => Err(format!("a field type, not {field_type}")),
    }
}

pub fn id(id: u32) -> Result<u32> {
    must(id != 0, "an id from 1")?;
    Ok(id)
}

pub fn series(r: &mut Input<'_>) -> Result<Series> {
    let (table, id) = (id(r.u32()?)?, r.u64()?);
    must(id != 0 && id != u64::MAX, "the id of a series")?;
    let len = r.u32()? as usize;
    let tags = key(r.bytes(len)?)?;
    Ok(Series { table, id, tags })
}

/// A series key.
pub fn key(bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let mut r = Input::new(bytes);
    let count = r.u16()?;
    let read = (0..count).map(|_| Ok((r.short_text()?, r.short_text()?)));
    let tags = read.collect::<Result<Vec<_>>>()?;
    let mut names = tags.iter().map(|(name, _)| name.as_bytes());
    must(names.clone().is_sorted_by(|a, b| a < b), "sorted names")?;
    must(names.all(|name| !name.is_empty()), "names of tags")?;
    r.end()?;
    Ok(tags)
}

pub fn tombstone(r: &mut Input<'_>, seen: &mut Seen) -> Result<Tombstone> {
    let (table, selection) = (id(r.u32()?)?, r.u8()?);
    seen.insert(("selection", selection.into()));
    r.zeros(3)?;
    let (first, last, count) = (r.i64()?, r.i64()?, r.u32()?);
    must(first <= last, "a range")?;
    let ids = (0..count).map(|_| r.u64()).collect::<Result<Vec<_>>>()?;
    let ascend = ids.is_sorted_by(|a, b| a < b);
    must(ascend && !ids.contains(&0), "ascending ids")?;
    let series = match selection {
        1 if ids.is_empty() => None,
        2 if !ids.is_empty() => Some(ids),
        _ => return Err(format!("no selection {selection} of {count} series")),
    };
    Ok(Tombstone {
        table,
        series,
        first,
        last,
    })
}

pub fn segment_entry(r: &mut Input<'_>, seen: &mut Seen) -> Result<SegmentEntry> {
    let entry = SegmentEntry {
        table: id(r.u32()?)?,
        uuid: r.uuid()?,
        partition: [r.i64()?, r.i64()?],
        file_len: r.u64()?,
        tail_len: r.u32()?,
        root_crc: r.u32()?,
        lsns: [r.u64()?, r.u64()?],
        times: [r.i64()?, r.i64()?],
        rows: r.u64()?,
        series: r.u64()?,
        tier: r.u8()?,
        place: {
            r.zeros(1)?;
            r.short_text()?
        },
    };
    seen.insert(("tier", entry.tier.into()));
    must(lies_in(entry.times, entry.partition), "times")?;
    let [first, last] = entry.lsns;
    must(first <= last && last != u64::MAX, "LSNs")?;
    must(u64::from(entry.tail_len) <= entry.file_len, "a tail")?;
    let (rows, series) = (entry.rows, entry.series);
    must(series > 0 && rows >= series, "a row of each series")?;
    must((1..=3).contains(&entry.tier), "a tier")?;
    Ok(entry)
}

/// Whether a range is one and lies in another.
pub fn lies_in(inner: [i64; 2], outer: [i64; 2]) -> bool {
    outer[0] <= inner[0] && inner[0] <= inner[1] && inner[1] <= outer[1]
}
