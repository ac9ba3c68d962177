//! Group pages: where the blocks of a row group lie, and the statistics of their vectors.

use std::ops::Range;

use crate::bytes::{Reader, put_part, put_varint};
use crate::codec::stats::{ColumnStats, VectorStats};
use crate::segment::{Region, RegionKind, Root};
use crate::{FieldId, FieldType, FormatError, Result};

/// A row group's blocks, their statistics decoded when asked for.
#[derive(Debug, Clone)]
pub struct GroupPage {
    columns: Vec<ColumnEntry>,
    bytes: Box<[u8]>,
    rows: u32,
    /// Offset of the page in the file.
    offset: u64,
}

/// One column of a row group.
#[derive(Debug, Clone)]
pub struct ColumnEntry {
    /// The field; 0 for time.
    pub field: FieldId,
    /// Its type; that of time is i64.
    pub field_type: FieldType,
    /// Where its block lies.
    pub block: Region,
    /// Where the statistics lie in the page.
    stats: Range<usize>,
}

impl GroupPage {
    /// Decodes the page of row group `group`.
    ///
    /// # Errors
    /// There is no such group, or the page is damaged or does not have the root's columns.
    /// Offsets are those in the file.
    pub fn decode(bytes: &[u8], root: &Root, group: usize) -> Result<Self> {
        let Some(reference) = root.group_pages.get(group) else {
            return Err(FormatError::invalid(
                "row group",
                0,
                format_args!("a number below {}", root.group_pages.len()),
                group,
            ));
        };
        let offset = reference.region.offset;
        Ok(Self {
            columns: read_columns(bytes, root).map_err(|e| e.at_base(offset))?,
            bytes: bytes.into(),
            rows: reference.rows,
            offset,
        })
    }

    /// Bytes of memory it takes, about.
    pub fn memory(&self) -> usize {
        let columns = self.columns.capacity() * size_of::<ColumnEntry>();
        size_of::<Self>() + columns + self.bytes.len()
    }

    /// The columns: time, then the fields ascending by id.
    pub fn columns(&self) -> &[ColumnEntry] {
        &self.columns
    }

    /// The column of `field`.
    pub fn column(&self, field: FieldId) -> Option<&ColumnEntry> {
        let i = self.columns.binary_search_by_key(&field, |c| c.field);
        i.ok().map(|i| &self.columns[i])
    }

    /// Rows of the group.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The statistics of a column of this page.
    ///
    /// # Errors
    /// They are damaged.
    pub fn stats(&self, column: &ColumnEntry) -> Result<ColumnStats> {
        let at = column.stats.start as u64;
        let bytes = self.bytes.get(column.stats.clone()).unwrap_or_default();
        let mut r = Reader::new(bytes, "statistics");
        ColumnStats::decode(&mut r, column.field, column.field_type, self.rows as usize)
            .and_then(|stats| r.finish().map(|()| stats))
            .map_err(|e| e.at_base(self.offset + at))
    }
}

fn read_columns(bytes: &[u8], root: &Root) -> Result<Vec<ColumnEntry>> {
    let mut r = Reader::new(bytes, "group page");
    let count = r.count(root.columns.len() + 1)?;
    if count != root.columns.len() + 1 {
        return Err(r.invalid_at(0, format_args!("{} columns", root.columns.len() + 1), count));
    }
    let time = (FieldId::TIME, FieldType::I64);
    let fields = root.columns.iter().map(|f| (f.id, f.field_type));
    let mut columns = Vec::with_capacity(count);
    for (field, field_type) in std::iter::once(time).chain(fields) {
        let at = r.position();
        let actual = r.varint()?;
        if actual != u64::from(field.0) {
            return Err(r.invalid_at(at, format_args!("field {field}"), actual));
        }
        let limit = root.tail_offset();
        let block = Region::read_reference(&mut r, RegionKind::Block, field, limit)?;
        let len = r.count(r.remaining())?;
        let stats = r.position()..r.position() + len;
        r.take(len)?;
        columns.push(ColumnEntry {
            field,
            field_type,
            block,
            stats,
        });
    }
    r.finish()?;
    Ok(columns)
}

/// Appends a column to a group page.
pub(crate) fn put_column(
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    block: &Region,
    vectors: &[VectorStats],
) {
    put_varint(out, u64::from(block.field.0));
    block.put_reference(out);
    put_part(out, scratch, |out| ColumnStats::encode(vectors, out));
}
