//! Arrays become columns of the engine. What cannot be taken exactly is refused.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};
use tidestone_format::Timestamp;
use tidestone_format::column::{Bitmap, Column, Strings, Values};
use tidestone_format::version::MAX_GROUP_TEXT;

use super::TIME;
use super::string_arrays::StringArrays;
use crate::error::{Error, Result};

/// What strings may come as.
pub(super) const STRINGS: &str = "Utf8, LargeUtf8, Utf8View, or a dictionary of these";

/// The times of the column `time`, in nanoseconds.
pub(super) fn times(array: &dyn Array) -> Result<Vec<Timestamp>> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        return Err(Error::invalid(format!(
            "column {TIME:?} is {}; it has to be Timestamp, of any unit: cast it",
            array.data_type()
        )));
    };
    if let Some(row) = (0..array.len()).find(|&row| array.is_null(row)) {
        return Err(Error::invalid(format!(
            "row {row} of column {TIME:?} is null; every row needs a time: leave the row out, or give it one"
        )));
    }
    let (times, factor): (&[i64], i64) = match unit {
        TimeUnit::Second => (
            array.as_primitive::<TimestampSecondType>().values(),
            1_000_000_000,
        ),
        TimeUnit::Millisecond => (
            array.as_primitive::<TimestampMillisecondType>().values(),
            1_000_000,
        ),
        TimeUnit::Microsecond => (
            array.as_primitive::<TimestampMicrosecondType>().values(),
            1_000,
        ),
        TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().values(), 1),
    };
    let times = times.iter().enumerate().map(|(row, &time)| {
        time.checked_mul(factor).ok_or_else(|| {
            Error::invalid(format!(
                "row {row} of column {TIME:?} is {time} {unit}; a time lies within 292 years of 1970, which is what \
                 nanoseconds in 64 bits tell: correct it, or leave the row out"
            ))
        })
    });
    times.collect()
}

/// The values of a column that is a field. `text` counts the bytes of strings of all columns.
pub(super) fn field(name: &str, array: &dyn Array, text: &mut usize) -> Result<Column> {
    let values = match array.data_type() {
        DataType::Float64 => Values::F64(widened::<Float64Type, _>(array)),
        DataType::Float32 => Values::F64(widened::<Float32Type, _>(array)),
        DataType::Float16 => Values::F64(widened::<Float16Type, _>(array)),
        DataType::Int64 => Values::I64(widened::<Int64Type, _>(array)),
        DataType::Int32 => Values::I64(widened::<Int32Type, _>(array)),
        DataType::Int16 => Values::I64(widened::<Int16Type, _>(array)),
        DataType::Int8 => Values::I64(widened::<Int8Type, _>(array)),
        DataType::UInt64 => Values::U64(widened::<UInt64Type, _>(array)),
        DataType::UInt32 => Values::U64(widened::<UInt32Type, _>(array)),
        DataType::UInt16 => Values::U64(widened::<UInt16Type, _>(array)),
        DataType::UInt8 => Values::U64(widened::<UInt8Type, _>(array)),
        DataType::Boolean => Values::Bool(array.as_boolean().values().iter().collect()),
        other => {
            let Some(arrays) = StringArrays::of(array) else {
                return Err(Error::invalid(format!(
                    "column {name:?} is {other}; a field comes as Float16 to Float64, Int8 to Int64, UInt8 to UInt64, \
                     Boolean, {STRINGS}: cast it to one of them, or leave it out"
                )));
            };
            return strings(name, &arrays, array.len(), text);
        }
    };
    let validity = array.nulls().and_then(bits);
    Ok(Column { values, validity })
}

/// Numbers, of a type that holds all those of the array's.
fn widened<T: ArrowPrimitiveType, V: From<T::Native>>(array: &dyn Array) -> Vec<V> {
    let values = array.as_primitive::<T>().values();
    values.iter().map(|value| V::from(*value)).collect()
}

fn strings(name: &str, arrays: &StringArrays<'_>, rows: usize, text: &mut usize) -> Result<Column> {
    // A dictionary may stand for far more than it takes.
    for len in (0..rows).filter_map(|row| arrays.get(row)).map(str::len) {
        *text = text.saturating_add(len);
        if *text > MAX_GROUP_TEXT {
            return Err(Error::invalid(format!(
                "up to column {name:?} the record batch has more than {MAX_GROUP_TEXT} bytes of strings, the most of a \
                 batch; append slices of it, and commit in between"
            )));
        }
    }
    let mut values = Strings::new();
    let mut valid = Bitmap::new();
    for row in 0..rows {
        let value = arrays.get(row);
        values.push(value.unwrap_or_default());
        valid.push(value.is_some());
    }
    Ok(Column {
        values: Values::String(values),
        validity: (valid.count_ones() < rows).then_some(valid),
    })
}

/// Where values are; `None` if there is one in every row.
fn bits(nulls: &NullBuffer) -> Option<Bitmap> {
    if nulls.null_count() == 0 {
        return None;
    }
    let chunks = nulls.inner().bit_chunks();
    let mut bits = Bitmap::new();
    chunks.iter().for_each(|word| bits.push_bits(word, 64));
    bits.push_bits(chunks.remainder_bits(), chunks.remainder_len());
    Some(bits)
}
