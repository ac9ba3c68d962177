//! From columns to the payload of a batch.

use std::borrow::Borrow;
use std::ops::Range;

use super::{ALIGN, SeriesIds, WHAT, has_zero};
use crate::column::{Bitmap, Column, Strings, Values};
use crate::version::{MAX_FIELDS, MAX_REGION, MAX_STRING};
use crate::{FieldId, FormatError, Result, SeriesId, TableId, Timestamp};

/// Length, table, number of rows and columns, and how the series are given.
const SECTION_HEADER_LEN: usize = 16;
/// Field, type, whether there is a null map, and the length of the values.
const COLUMN_HEADER_LEN: usize = 16;
/// 8-byte values converted at a time: enough to become one copy, little enough to stay in cache.
const WORDS: usize = 512;

/// Builds the payload of a batch; reused from batch to batch, it keeps its memory.
#[derive(Debug, Clone, Default)]
pub struct BatchEncoder {
    payload: Vec<u8>,
    sections: u32,
}

impl BatchEncoder {
    /// An encoder of a batch without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the rows `rows` of the given columns; see [`append_section`].
    ///
    /// # Errors
    /// As [`append_section`], or the payload would exceed [`MAX_REGION`]; the batch is then as it
    /// was.
    pub fn append_section(
        &mut self,
        table: TableId,
        series: SeriesIds<'_>,
        times: &[Timestamp],
        columns: &[(FieldId, impl Borrow<Column>)],
        rows: Range<usize>,
    ) -> Result<()> {
        let start = self.payload.len();
        if start == 0 {
            self.payload.resize(8, 0);
        }
        let mut result = append_section(&mut self.payload, table, series, times, columns, rows);
        if result.is_ok() && self.payload.len() > MAX_REGION {
            result = Err(FormatError::limit(WHAT, MAX_REGION, self.payload.len()));
        }
        if result.is_err() {
            self.payload.truncate(start);
            return result;
        }
        self.sections += 1;
        self.payload[..4].copy_from_slice(&self.sections.to_le_bytes());
        Ok(())
    }

    /// Whether there are no rows yet: then there is no payload either.
    pub fn is_empty(&self) -> bool {
        self.sections == 0
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.payload.clear();
        self.sections = 0;
    }
}

/// Appends a section: the rows `rows` of the given series ids, timestamps and columns, all of
/// which have one entry a row.
///
/// Values at null rows are written as zero, false or the empty string, whatever stands there.
///
/// # Errors
/// No row, or rows past the end; columns of another length than the timestamps; fields that do not
/// ascend from 1; a table or series id of 0; more than [`MAX_FIELDS`] columns, a string longer
/// than [`MAX_STRING`], or a section longer than [`MAX_REGION`]. `out` is then as it was.
pub fn append_section(
    out: &mut Vec<u8>,
    table: TableId,
    series: SeriesIds<'_>,
    times: &[Timestamp],
    columns: &[(FieldId, impl Borrow<Column>)],
    rows: Range<usize>,
) -> Result<()> {
    check_section(table, series, times, columns, &rows)?;
    let start = out.len();
    let result = put_section(out, table, series, times, columns, rows);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// The length of what [`append_section`] would append, found without encoding.
///
/// A section for which this gives a length can be appended: nothing about it is refused later.
///
/// # Errors
/// As [`append_section`].
pub fn section_len(
    table: TableId,
    series: SeriesIds<'_>,
    times: &[Timestamp],
    columns: &[(FieldId, impl Borrow<Column>)],
    rows: Range<usize>,
) -> Result<usize> {
    check_section(table, series, times, columns, &rows)?;
    let limit = |len: usize| FormatError::limit("section of a log batch", MAX_REGION, len);
    let series = match series {
        SeriesIds::One(_) => 1,
        SeriesIds::PerRow(_) => rows.len(),
    };
    let mut len = SECTION_HEADER_LEN.saturating_add((series + rows.len()).saturating_mul(8));
    for (_, column) in columns {
        let column = column.borrow();
        let nulls = column.validity.as_ref().and_then(|v| NullMap::of(v, &rows));
        let values = match &column.values {
            Values::F64(_) | Values::I64(_) | Values::U64(_) => rows.len().saturating_mul(8),
            Values::Bool(_) => rows.len().div_ceil(8).next_multiple_of(ALIGN),
            Values::String(v) => strings_len(v, nulls.as_ref(), &rows)?.next_multiple_of(ALIGN),
        };
        let nulls = nulls.map_or(0, |nulls| nulls.bytes.len().next_multiple_of(ALIGN));
        len = len.saturating_add(COLUMN_HEADER_LEN + nulls + values);
    }
    match len > MAX_REGION || u32::try_from(rows.len()).is_err() {
        true => Err(limit(len)),
        false => Ok(len),
    }
}

fn check_section(
    table: TableId,
    series: SeriesIds<'_>,
    times: &[Timestamp],
    columns: &[(FieldId, impl Borrow<Column>)],
    rows: &Range<usize>,
) -> Result<()> {
    let invalid = |expected: &str, actual: String| {
        let what = "section of a log batch";
        Err(FormatError::invalid(what, 0, expected, actual))
    };
    if table.0 == 0 {
        return invalid("a table id from 1", "0".to_string());
    }
    if rows.is_empty() || rows.end > times.len() {
        let actual = format!("rows {rows:?} of {}", times.len());
        return invalid("one row or more, all of them there", actual);
    }
    match series {
        SeriesIds::One(SeriesId(0)) => return invalid("a series id from 1", "0".to_string()),
        SeriesIds::PerRow(ids) if ids.len() != times.len() => {
            let actual = format!("{} for {} rows", ids.len(), times.len());
            return invalid("a series id for every row", actual);
        }
        SeriesIds::PerRow(ids) if has_zero(&ids[rows.clone()]) => {
            return invalid("series ids from 1", "0".to_string());
        }
        SeriesIds::One(_) | SeriesIds::PerRow(_) => {}
    }
    if columns.len() > MAX_FIELDS {
        return Err(FormatError::limit(
            "columns of a batch",
            MAX_FIELDS,
            columns.len(),
        ));
    }
    let mut before = FieldId::TIME;
    for (field, column) in columns {
        let (field, column) = (*field, column.borrow());
        if field <= before {
            return invalid("fields ascending from 1", format!("{field} after {before}"));
        }
        before = field;
        let validity = column.validity.as_ref().map_or(times.len(), Bitmap::len);
        if column.len() != times.len() || validity != times.len() {
            let len = column.len();
            let actual = format!("field {field}: {len} values, {validity} null bits");
            return invalid(&format!("{} rows in every column", times.len()), actual);
        }
    }
    Ok(())
}

fn put_section(
    out: &mut Vec<u8>,
    table: TableId,
    series: SeriesIds<'_>,
    times: &[Timestamp],
    columns: &[(FieldId, impl Borrow<Column>)],
    rows: Range<usize>,
) -> Result<()> {
    let start = out.len();
    let limit = |len: usize| FormatError::limit("section of a log batch", MAX_REGION, len);
    let row_count = u32::try_from(rows.len()).map_err(|_| limit(rows.len()))?;
    let column_count = u16::try_from(columns.len()).map_err(|_| limit(columns.len()))?;
    out.reserve(
        rows.len()
            .saturating_mul(8 * (columns.len() + 2))
            .min(MAX_REGION),
    );
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&table.0.to_le_bytes());
    out.extend_from_slice(&row_count.to_le_bytes());
    out.extend_from_slice(&column_count.to_le_bytes());
    match series {
        SeriesIds::One(id) => {
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&id.0.to_le_bytes());
        }
        SeriesIds::PerRow(ids) => {
            out.extend_from_slice(&[1, 0]);
            put_words(out, &ids[rows.clone()], |id| id.0.to_le_bytes());
        }
    }
    put_words(out, &times[rows.clone()], |t| t.to_le_bytes());
    for (field, column) in columns {
        let (field, column) = (*field, column.borrow());
        put_column(out, start, field, column, &rows)?;
        if out.len() - start > MAX_REGION {
            return Err(limit(out.len() - start));
        }
    }
    let len = u32::try_from(out.len() - start).map_err(|_| limit(out.len() - start))?;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    Ok(())
}

/// Pads with zeros to a multiple of 8, counted from `start`.
fn pad_from(out: &mut Vec<u8>, start: usize) {
    let len = out.len() - start;
    out.resize(start + len.next_multiple_of(ALIGN), 0);
}

fn put_column(
    out: &mut Vec<u8>,
    section: usize,
    field: FieldId,
    column: &Column,
    rows: &Range<usize>,
) -> Result<()> {
    let nulls = column.validity.as_ref().and_then(|v| NullMap::of(v, rows));
    let header = out.len();
    out.extend_from_slice(&field.0.to_le_bytes());
    let tag = column.values.field_type().tag();
    out.extend_from_slice(&[tag, u8::from(nulls.is_some()), 0, 0]);
    out.extend_from_slice(&[0; 8]);
    if let Some(nulls) = &nulls {
        out.extend_from_slice(&nulls.bytes);
        pad_from(out, section);
    }
    let values = out.len();
    put_values(out, &column.values, nulls.as_ref(), rows)?;
    let len = out.len() - values;
    let len = u32::try_from(len).map_err(|_| FormatError::limit(WHAT, MAX_REGION, len))?;
    out[header + 8..header + 12].copy_from_slice(&len.to_le_bytes());
    pad_from(out, section);
    Ok(())
}

fn put_values(
    out: &mut Vec<u8>,
    values: &Values,
    nulls: Option<&NullMap>,
    rows: &Range<usize>,
) -> Result<()> {
    let start = out.len();
    match values {
        Values::F64(v) => put_words(out, &v[rows.clone()], |v| v.to_le_bytes()),
        Values::I64(v) => put_words(out, &v[rows.clone()], |v| v.to_le_bytes()),
        Values::U64(v) => put_words(out, &v[rows.clone()], |v| v.to_le_bytes()),
        Values::Bool(v) => {
            put_bools(out, &v[rows.clone()]);
            let map = nulls.map_or(&[][..], |nulls| &nulls.bytes);
            out[start..]
                .iter_mut()
                .zip(map)
                .for_each(|(byte, valid)| *byte &= valid);
            return Ok(());
        }
        Values::String(v) => return put_strings(out, v, nulls, rows),
    }
    if let Some(nulls) = nulls {
        let (words, _) = out[start..].as_chunks_mut::<8>();
        nulls.rows().for_each(|row| words[row] = [0; 8]);
    }
    Ok(())
}

/// Appends 8-byte values. The inner loop compiles to a copy, into memory that is still in cache
/// from being zeroed.
fn put_words<T: Copy>(out: &mut Vec<u8>, words: &[T], to_bytes: impl Fn(T) -> [u8; 8]) {
    for chunk in words.chunks(WORDS) {
        let at = out.len();
        out.resize(at + chunk.len() * 8, 0);
        let (slots, _) = out[at..].as_chunks_mut::<8>();
        for (slot, &word) in slots.iter_mut().zip(chunk) {
            *slot = to_bytes(word);
        }
    }
}

fn put_bools(out: &mut Vec<u8>, bools: &[bool]) {
    let byte = |bits: &[bool]| {
        let bits = bits.iter().enumerate();
        bits.fold(0u8, |byte, (i, &bit)| byte | u8::from(bit) << i)
    };
    let (whole, rest) = bools.as_chunks::<8>();
    out.extend(whole.iter().map(|bits| byte(bits)));
    if !rest.is_empty() {
        out.push(byte(rest));
    }
}

fn put_strings(
    out: &mut Vec<u8>,
    strings: &Strings,
    nulls: Option<&NullMap>,
    rows: &Range<usize>,
) -> Result<()> {
    let ends_at = out.len();
    out.resize(ends_at + rows.len() * 4, 0);
    let text_at = out.len();
    for (i, row) in rows.clone().enumerate() {
        let null = nulls.is_some_and(|nulls| !nulls.is_valid(i));
        let text = if null { "" } else { strings.get(row) };
        if text.len() > MAX_STRING {
            return Err(FormatError::limit("string value", MAX_STRING, text.len()));
        }
        out.extend_from_slice(text.as_bytes());
        let end = out.len() - text_at;
        let end = u32::try_from(end).map_err(|_| FormatError::limit(WHAT, MAX_REGION, end))?;
        out[ends_at + i * 4..][..4].copy_from_slice(&end.to_le_bytes());
    }
    Ok(())
}

/// The length of what [`put_strings`] appends.
fn strings_len(strings: &Strings, nulls: Option<&NullMap>, rows: &Range<usize>) -> Result<usize> {
    let mut len = rows.len().saturating_mul(4);
    for (i, row) in rows.clone().enumerate() {
        if nulls.is_none_or(|nulls| nulls.is_valid(i)) {
            let text = strings.get(row).len();
            if text > MAX_STRING {
                return Err(FormatError::limit("string value", MAX_STRING, text));
            }
            len = len.saturating_add(text);
        }
    }
    Ok(len)
}

/// Which rows of a section have a value, as it is written.
struct NullMap {
    bytes: Vec<u8>,
    len: usize,
}

impl NullMap {
    /// The bits `rows` of `validity`; `None` if they are all set.
    fn of(validity: &Bitmap, rows: &Range<usize>) -> Option<Self> {
        let len = rows.len();
        let mut bytes = Vec::with_capacity(len.next_multiple_of(64) / 8);
        let mut valid = 0;
        for at in rows.clone().step_by(64) {
            let word = word_at(validity.words(), at);
            let wanted = rows.end - at;
            let word = if wanted < 64 {
                word & ((1 << wanted) - 1)
            } else {
                word
            };
            valid += word.count_ones() as usize;
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.truncate(len.div_ceil(8));
        (valid < len).then_some(Self { bytes, len })
    }

    fn is_valid(&self, row: usize) -> bool {
        self.bytes[row / 8] >> (row % 8) & 1 == 1
    }

    /// The rows that are null.
    fn rows(&self) -> impl Iterator<Item = usize> {
        (0..self.len).filter(|&row| !self.is_valid(row))
    }
}

/// The 64 bits from bit `at` on; zeros behind the end.
fn word_at(words: &[u64], at: usize) -> u64 {
    let word = |i: usize| words.get(i).copied().unwrap_or(0);
    match at % 64 {
        0 => word(at / 64),
        shift => word(at / 64) >> shift | word(at / 64 + 1) << (64 - shift),
    }
}
