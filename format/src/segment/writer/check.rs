//! What the writer refuses.

use std::ops::Range;

use super::pass::Pass;
use super::{SegmentMeta, SegmentWriter, WriteError};
use crate::column::{Column, Values};
use crate::schema::DuplicatePolicy;
use crate::version::{MAX_FIELDS, MAX_GROUP_TEXT, MAX_STRING};
use crate::{FieldId, FormatError, SeriesId, TimeRange, Timestamp};

impl<W> SegmentWriter<W> {
    pub(super) fn check_order(
        &self,
        series: SeriesId,
        run: &[Timestamp],
        first: Timestamp,
        last: Timestamp,
    ) -> Result<(), WriteError> {
        let many = self.meta.policy == DuplicatePolicy::All;
        let goes_back = |a: Timestamp, b: Timestamp| a > b || (a == b && !many);
        let before = self.last.unwrap_or_default();
        let same = before.0 == series && self.last.is_some();
        if series < before.0 || series == SeriesId(0) || (same && goes_back(before.1, first)) {
            return Err(WriteError::Order {
                before,
                next: (series, first),
            });
        }
        if let Some(pair) = run.windows(2).find(|pair| goes_back(pair[0], pair[1])) {
            return Err(WriteError::Order {
                before: (series, pair[0]),
                next: (series, pair[1]),
            });
        }
        let partition = self.meta.partition;
        if !partition.covers(&TimeRange {
            start: first,
            end: last,
        }) {
            return Err(refused(
                "times of a run",
                format_args!("{} to {}", partition.start, partition.end),
                format_args!("{first} to {last}"),
            ));
        }
        Ok(())
    }
}

impl Pass {
    pub(super) fn check_columns(
        &self,
        columns: &[Column],
        rows: &Range<usize>,
    ) -> Result<(), WriteError> {
        let ours = self.fields();
        if columns.len() != ours.len() {
            return Err(refused("columns of a run", ours.len(), columns.len()));
        }
        for (i, (column, ours)) in columns.iter().zip(ours).enumerate() {
            let field_type = column.values.field_type();
            if field_type != ours.field_type {
                return Err(refused("type of a column", ours.field_type, field_type));
            }
            let bits = column.validity.as_ref().map_or(column.len(), |v| v.len());
            if column.len() < rows.end || bits != column.len() {
                return Err(refused(
                    "rows of a column",
                    format_args!("{} or more, as many as null bits", rows.end),
                    format_args!("{}, {bits} bits", column.len()),
                ));
            }
            if let Values::String(theirs) = &column.values {
                let lens = || rows.clone().map(|row| theirs.get(row).len());
                let longest = lens().max().unwrap_or(0);
                if longest > MAX_STRING {
                    return Err(FormatError::limit("string", MAX_STRING, longest).into());
                }
                // Some of the run may go to the next row group: then this is too strict, for runs
                // of half a gigabyte.
                let text = self.text_of_group(i) + lens().sum::<usize>();
                if text > MAX_GROUP_TEXT {
                    let what = "strings of a row group and column";
                    return Err(FormatError::limit(what, MAX_GROUP_TEXT, text).into());
                }
            }
        }
        Ok(())
    }
}

pub(super) fn refused(
    what: &'static str,
    expected: impl std::fmt::Display,
    actual: impl std::fmt::Display,
) -> WriteError {
    WriteError::Input(FormatError::invalid(what, 0, expected, actual))
}

pub(super) fn check_meta(meta: &SegmentMeta) -> Result<(), WriteError> {
    let SegmentMeta {
        partition,
        first_lsn,
        last_lsn,
        fields,
        ..
    } = meta;
    if partition.start > partition.end || first_lsn > last_lsn {
        return Err(refused(
            "partition and LSNs",
            "ranges that do not end before they start",
            format_args!("{partition:?}, {first_lsn} to {last_lsn}"),
        ));
    }
    if fields.len() > MAX_FIELDS {
        return Err(FormatError::limit("fields", MAX_FIELDS, fields.len()).into());
    }
    let mut before = FieldId::TIME;
    for field in fields {
        if field.id <= before {
            return Err(refused("field ids", "each once, none 0", field.id));
        }
        before = field.id;
        if field.name.len() > usize::from(u16::MAX) {
            return Err(FormatError::limit("field name", u16::MAX, field.name.len()).into());
        }
    }
    Ok(())
}
