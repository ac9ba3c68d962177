//! The payload of a batch: rows of any number of tables, column by column.
//!
//! ```text
//! u32 sections, u32 0, then the sections:
//!   u32 length   u32 table   u32 rows n   u16 columns   u8 series: 0 one, 1 one a row   u8 0
//!   u64 series id (1 or n)   i64 timestamp (n)   then the columns, ascending by field:
//!     u32 field   u8 type   u8 has a null map   u16 0   u32 length of the values   u32 0
//!     null map (ceil(n / 8), padded to 8)   values (padded to 8)
//! ```

mod decode;
mod encode;

use crate::column::Column;
use crate::{FieldId, SeriesId, TableId, Timestamp};

pub use decode::decode_batch;
pub use encode::{BatchEncoder, append_section, section_len};

const WHAT: &str = "log batch";
const ALIGN: usize = 8;

/// The series of a section's rows, as its writer has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesIds<'a> {
    /// All rows are of one series.
    One(SeriesId),
    /// One id a row.
    PerRow(&'a [SeriesId]),
}

/// The series of a section's rows, as its reader gets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionSeries {
    /// All rows are of one series.
    One(SeriesId),
    /// One id a row.
    PerRow(Vec<SeriesId>),
}

impl SectionSeries {
    /// The series of row `row`.
    ///
    /// # Panics
    /// There are ids for each row and fewer than that.
    pub fn get(&self, row: usize) -> SeriesId {
        match self {
            Self::One(id) => *id,
            Self::PerRow(ids) => ids[row],
        }
    }

    /// The same, borrowed: what [`append_section`] takes.
    pub fn as_ids(&self) -> SeriesIds<'_> {
        match self {
            Self::One(id) => SeriesIds::One(*id),
            Self::PerRow(ids) => SeriesIds::PerRow(ids),
        }
    }
}

/// The rows a batch has for one table.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchSection {
    /// The table.
    pub table: TableId,
    /// The series of each row.
    pub series: SectionSeries,
    /// The timestamp of each row; at least one.
    pub times: Vec<Timestamp>,
    /// The columns, ascending by field, each with a value or null for each row. At a null row
    /// stands zero, false or the empty string.
    pub columns: Vec<(FieldId, Column)>,
}

/// Looks at all ids without a branch on each.
fn has_zero(ids: &[SeriesId]) -> bool {
    ids.iter().fold(0, |zeros, id| zeros | u8::from(id.0 == 0)) != 0
}

#[cfg(test)]
mod tests;
