//! Columns of the engine become arrays. The buffers of times, numbers and strings (their text and their ends) are
//! handed over; booleans and null maps, which Arrow has as bits in bytes, are copied.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use tidestone_format::Timestamp;
use tidestone_format::column::{Bitmap, Column, Strings, Values};

use super::layout::UTC;
use crate::error::{Error, ErrorKind, Result};

/// The times of rows.
pub(super) fn times(times: Vec<Timestamp>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(times).with_timezone(UTC))
}

/// The values of the field `field`.
pub(super) fn field(field: &str, column: Column) -> Result<ArrayRef> {
    let nulls = column.validity.as_ref().and_then(nulls);
    let array: Result<ArrayRef, ArrowError> = match column.values {
        Values::F64(v) => Float64Array::try_new(v.into(), nulls).map(|a| Arc::new(a) as _),
        Values::I64(v) => Int64Array::try_new(v.into(), nulls).map(|a| Arc::new(a) as _),
        Values::U64(v) => UInt64Array::try_new(v.into(), nulls).map(|a| Arc::new(a) as _),
        Values::Bool(v) => Ok(Arc::new(BooleanArray::new(BooleanBuffer::from(v), nulls))),
        Values::String(v) => return Ok(Arc::new(utf8(field, v, nulls)?)),
    };
    array.map_err(unfit)
}

/// Strings of the column `column`.
pub(super) fn utf8(
    column: &str,
    strings: Strings,
    nulls: Option<NullBuffer>,
) -> Result<StringArray> {
    let (ends, text) = strings.into_parts();
    let ends = offsets(column, ends)?;
    StringArray::try_new(ends, Buffer::from(text.into_bytes()), nulls).map_err(unfit)
}

/// The ends of strings, as `Utf8` counts them. They ascend: where the last fits an `i32` all do, and are the same bytes
/// as `u32` and `i32`.
fn offsets(column: &str, ends: Vec<u32>) -> Result<OffsetBuffer<i32>> {
    let text = ends.last().copied().unwrap_or_default();
    if i32::try_from(text).is_err() {
        return Err(too_much_text(column, u64::from(text)));
    }
    let len = ends.len();
    let ends = ScalarBuffer::new(Buffer::from_vec(ends), 0, len);
    Ok(OffsetBuffer::new(ends))
}

/// The error for more text than an array takes.
pub(super) fn too_much_text(column: &str, bytes: u64) -> Error {
    Error::invalid(format!(
        "column {column:?} has {bytes} bytes of strings; an Arrow array of Utf8 takes at most {}: ask for fewer rows \
         at a time",
        i32::MAX
    ))
}

/// What Arrow says of arrays that do not fit together.
pub(super) fn unfit(error: ArrowError) -> Error {
    let message = format!(
        "an answer does not fit into Arrow's arrays, which is a bug: {error}; report it, with this message"
    );
    Error::new(ErrorKind::Internal, message)
}

/// Where values are; `None` if there is one in every row.
fn nulls(valid: &Bitmap) -> Option<NullBuffer> {
    NullBuffer::from_unsliced_buffer(valid.to_bytes(), valid.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_that_an_array_cannot_tell_are_refused() {
        assert_eq!(offsets("s", vec![0, 7]).unwrap()[..], [0, 7]);
        let error = offsets("s", vec![0, 7, 3_000_000_000]).unwrap_err();
        let says = "column \"s\" has 3000000000 bytes of strings";
        assert!(error.to_string().contains(says), "{error}");
    }

    /// It was told as wrong input, and there was none to correct.
    #[test]
    fn columns_that_do_not_fit_together_are_told_as_a_bug() {
        let mut valid = Bitmap::new();
        valid.push(false);
        let column = Column {
            values: Values::F64(vec![0.5, 1.5]),
            validity: Some(valid),
        };
        let error = field("f", column).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        assert!(error.to_string().contains("report it"), "{error}");
    }

    #[test]
    fn ends_of_strings_are_handed_over() {
        let ends = vec![0, 3, 3, 7];
        let before: *const u32 = ends.as_ptr();
        let after = offsets("s", ends).unwrap();
        assert_eq!(after.as_ptr().cast::<u32>(), before);
    }
}
