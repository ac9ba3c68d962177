//! From the payload of a batch to columns.

use super::{ALIGN, BatchSection, SectionSeries, WHAT, has_zero};
use crate::bytes::Reader;
use crate::column::{Bitmap, Column, Strings, Values};
use crate::log::record::read_series_id;
use crate::schema::read_table_id;
use crate::version::{MAX_FIELDS, MAX_STRING};
use crate::{FieldId, FieldType, Result, SeriesId};

const SECTION_HEADER_LEN: usize = 16;
const COLUMN_HEADER_LEN: usize = 16;
/// A section of one row, without columns.
const MIN_SECTION_LEN: usize = SECTION_HEADER_LEN + 8 + 8;

/// The sections of a batch's payload.
///
/// # Errors
/// The payload is not what the format says; offsets count from its start. The batch is decoded as
/// a whole or not at all.
pub fn decode_batch(payload: &[u8]) -> Result<Vec<BatchSection>> {
    let mut r = Reader::new(payload, WHAT);
    let count = r.u32()? as usize;
    r.zeros(4)?;
    let limit = r.remaining() / MIN_SECTION_LEN;
    if count == 0 || count > limit {
        let expected = format_args!("1 to {limit} sections, as many as fit");
        return Err(r.invalid_at(0, expected, count));
    }
    let mut sections = Vec::with_capacity(count);
    for _ in 0..count {
        sections.push(read_section(&mut r)?);
    }
    r.finish()?;
    Ok(sections)
}

fn read_section(r: &mut Reader<'_>) -> Result<BatchSection> {
    let start = r.position();
    let len = r.u32()? as usize;
    let table = read_table_id(r)?;
    let rows_at = r.position();
    let rows = r.u32()? as usize;
    if rows == 0 {
        return Err(r.invalid_at(rows_at, "1 row or more", 0));
    }
    let columns_at = r.position();
    let column_count = usize::from(r.u16()?);
    if column_count > MAX_FIELDS {
        let expected = format_args!("at most {MAX_FIELDS} columns");
        return Err(r.invalid_at(columns_at, expected, column_count));
    }
    let series_at = r.position();
    let per_row = r.u8()?;
    r.zeros(1)?;
    let series = match per_row {
        0 => SectionSeries::One(read_series_id(r)?),
        1 => SectionSeries::PerRow(read_series_ids(r, rows)?),
        other => return Err(r.invalid_at(series_at, "0 or 1", other)),
    };
    let times = read_words(r, rows, i64::from_le_bytes)?;
    let mut columns: Vec<(FieldId, Column)> =
        Vec::with_capacity(column_count.min(r.remaining() / COLUMN_HEADER_LEN));
    let mut before = FieldId::TIME;
    for _ in 0..column_count {
        let (field, column) = read_column(r, rows, before)?;
        before = field;
        columns.push((field, column));
    }
    let actual = r.position() - start;
    if len != actual {
        let expected = format_args!("a section of {actual} bytes, as it holds");
        return Err(r.invalid_at(start, expected, len));
    }
    Ok(BatchSection {
        table,
        series,
        times,
        columns,
    })
}

fn read_series_ids(r: &mut Reader<'_>, rows: usize) -> Result<Vec<SeriesId>> {
    let at = r.position();
    let ids = read_words(r, rows, |b| SeriesId(u64::from_le_bytes(b)))?;
    if has_zero(&ids) {
        return Err(r.invalid_at(at, "series ids from 1", "a 0 among them"));
    }
    Ok(ids)
}

/// Reads 8-byte values. The loop compiles to a copy.
fn read_words<T>(r: &mut Reader<'_>, count: usize, from: impl Fn([u8; 8]) -> T) -> Result<Vec<T>> {
    let (words, _) = r.take(count.saturating_mul(8))?.as_chunks::<8>();
    Ok(words.iter().map(|word| from(*word)).collect())
}

fn read_column(r: &mut Reader<'_>, rows: usize, before: FieldId) -> Result<(FieldId, Column)> {
    let at = r.position();
    let field = FieldId(r.u32()?);
    if field <= before {
        let expected = format_args!("a field id greater than {before}");
        return Err(r.invalid_at(at, expected, field));
    }
    let field_type = FieldType::from_tag(r.u8()?, at as u64 + 4)?;
    let has_nulls = r.u8()?;
    r.zeros(2)?;
    let len_at = r.position();
    let len = r.u32()? as usize;
    r.zeros(4)?;
    let validity = match has_nulls {
        0 => None,
        1 => Some(read_null_map(r, rows)?),
        other => return Err(r.invalid_at(at + 5, "0 or 1", other)),
    };
    let start = r.position();
    let values = read_values(r, field_type, rows, len)?;
    if r.position() - start != len {
        let expected = format_args!("{} bytes of values", r.position() - start);
        return Err(r.invalid_at(len_at, expected, len));
    }
    r.zero_padding(ALIGN)?;
    let column = Column { values, validity };
    check_nulls(r, start, &column)?;
    Ok((field, column))
}

fn read_null_map(r: &mut Reader<'_>, rows: usize) -> Result<Bitmap> {
    let at = r.position();
    let map = Bitmap::from_bytes(r.take(rows.div_ceil(8))?, rows)
        .ok_or_else(|| r.invalid_at(at, format_args!("{rows} null bits"), "bits behind them"))?;
    r.zero_padding(ALIGN)?;
    Ok(map)
}

fn read_values(
    r: &mut Reader<'_>,
    field_type: FieldType,
    rows: usize,
    len: usize,
) -> Result<Values> {
    Ok(match field_type {
        FieldType::F64 => Values::F64(read_words(r, rows, f64::from_le_bytes)?),
        FieldType::I64 => Values::I64(read_words(r, rows, i64::from_le_bytes)?),
        FieldType::U64 => Values::U64(read_words(r, rows, u64::from_le_bytes)?),
        FieldType::Bool => Values::Bool(read_bools(r, rows)?),
        FieldType::String => Values::String(read_strings(r, rows, len)?),
    })
}

fn read_bools(r: &mut Reader<'_>, rows: usize) -> Result<Vec<bool>> {
    let at = r.position();
    let bytes = r.take(rows.div_ceil(8))?;
    let behind = match (rows % 8, bytes.last()) {
        (0, _) | (_, None) => 0,
        (used, Some(last)) => last >> used,
    };
    if behind != 0 {
        return Err(r.invalid_at(at, format_args!("{rows} bits"), "bits behind them"));
    }
    let bits = bytes
        .iter()
        .flat_map(|byte| std::array::from_fn::<bool, 8, _>(|i| byte >> i & 1 == 1));
    Ok(bits.take(rows).collect())
}

fn read_strings(r: &mut Reader<'_>, rows: usize, len: usize) -> Result<Strings> {
    let at = r.position();
    let (ends, _) = r.take(rows.saturating_mul(4))?.as_chunks::<4>();
    let text_at = r.position();
    let Some(text_len) = len.checked_sub(text_at - at) else {
        let expected = format_args!("{} bytes of end offsets or more", text_at - at);
        return Err(r.invalid_at(at, expected, len));
    };
    let text = r.text(text_len)?;
    let mut strings = Strings::new();
    let mut start = 0;
    for (i, end) in ends.iter().enumerate() {
        let end = u32::from_le_bytes(*end) as usize;
        match text.get(start..end) {
            Some(string) if string.len() <= MAX_STRING => strings.push(string),
            _ => {
                let expected = format_args!("the end of a string that starts at {start}");
                return Err(r.invalid_at(at + i * 4, expected, end));
            }
        }
        start = end;
    }
    if start != text.len() {
        let expected = format_args!("{start} bytes of text");
        return Err(r.invalid_at(text_at, expected, text.len()));
    }
    Ok(strings)
}

/// Checks that zero, false or the empty string stands at every null row.
fn check_nulls(r: &Reader<'_>, values_at: usize, column: &Column) -> Result<()> {
    let Some(validity) = &column.validity else {
        return Ok(());
    };
    let is_default = |row: usize| match &column.values {
        Values::F64(v) => v[row].to_bits() == 0,
        Values::I64(v) => v[row] == 0,
        Values::U64(v) => v[row] == 0,
        Values::Bool(v) => !v[row],
        Values::String(v) => v.get(row).is_empty(),
    };
    let nulls = (0..validity.len()).filter(|&row| !validity.get(row));
    match nulls.into_iter().find(|&row| !is_default(row)) {
        None => Ok(()),
        Some(row) => {
            let actual = format_args!("a value in row {row}");
            Err(r.invalid_at(values_at, "nothing at the rows that are null", actual))
        }
    }
}
