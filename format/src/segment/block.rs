//! Blocks: the vectors of one column of one row group.

use std::ops::Range;

use crate::bytes::Reader;
use crate::codec::dictionary::Dictionary;
use crate::codec::vector::{EncodedVector, Validity, VectorDescription};
use crate::column::Column;
use crate::segment::{Region, RegionBytes};
use crate::version::{GROUP_VECTORS, VECTOR_ROWS};
use crate::{FieldId, FieldType, FormatError, FormatErrorKind, Result};

const MAGIC: [u8; 4] = *b"TSbl";
const HEAD_LEN: usize = 16;

/// A block whose directory was checked.
///
/// | size | what |
/// |---|---|
/// | 4 | magic `TSbl` |
/// | 4 | field id |
/// | 4 | row group number |
/// | 1 | type |
/// | 1 | vectors |
/// | 2 | rows of the last vector; all others have 1,024 |
/// | 4 each | end offset of each vector in the block |
///
/// Offsets in errors are those in the file.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    bytes: RegionBytes<'a>,
    /// Offset of the block in the file.
    offset: u64,
    field_type: FieldType,
    vectors: usize,
    rows: usize,
}

impl<'a> Block<'a> {
    /// The block that `region` points to, with `rows` rows of row group `group`. Its checksum is
    /// the caller's to check.
    ///
    /// # Errors
    /// The block says it is another one, or its directory does not fit its bytes.
    pub fn open(
        bytes: impl Into<RegionBytes<'a>>,
        region: &Region,
        field_type: FieldType,
        group: u32,
        rows: u32,
    ) -> Result<Self> {
        let bytes = bytes.into();
        Self::read_head(&bytes, region.field, field_type, group, rows as usize)
            .map(|vectors| Self {
                bytes,
                offset: region.offset,
                field_type,
                vectors,
                rows: rows as usize,
            })
            .map_err(|e| e.at_base(region.offset))
    }

    /// Its length in the file.
    pub fn stored_len(&self) -> usize {
        self.bytes.len()
    }

    fn read_head(
        bytes: &[u8],
        field: FieldId,
        field_type: FieldType,
        group: u32,
        rows: usize,
    ) -> Result<usize> {
        let mut r = Reader::new(bytes, "block");
        let magic = r.array::<4>()?;
        if magic != MAGIC {
            return Err(FormatError::new(
                FormatErrorKind::Magic,
                "block",
                0,
                format_args!("{MAGIC:02x?}"),
                format_args!("{magic:02x?}"),
            ));
        }
        let expected = [
            ("field id", u64::from(field.0)),
            ("row group", u64::from(group)),
            ("type", u64::from(field_type.tag())),
            ("number of vectors", rows.div_ceil(VECTOR_ROWS) as u64),
            ("rows of the last vector", last_rows(rows) as u64),
        ];
        let (at, actual) = (
            [4, 8, 12, 13, 14],
            [
                u64::from(r.u32()?),
                u64::from(r.u32()?),
                u64::from(r.u8()?),
                u64::from(r.u8()?),
                u64::from(r.u16()?),
            ],
        );
        for (((what, expected), actual), at) in expected.into_iter().zip(actual).zip(at) {
            if expected != actual {
                return Err(r.invalid_at(at, format_args!("{what} {expected}"), actual));
            }
        }
        let vectors = rows.div_ceil(VECTOR_ROWS);
        if !(1..=GROUP_VECTORS).contains(&vectors) {
            return Err(r.invalid_at(13, format_args!("1 to {GROUP_VECTORS} vectors"), vectors));
        }
        let mut before = HEAD_LEN + vectors * 4;
        for _ in 0..vectors {
            let at = r.position();
            let end = r.u32()? as usize;
            if end < before || end > bytes.len() {
                let len = bytes.len();
                return Err(r.invalid_at(at, format_args!("an end from {before} to {len}"), end));
            }
            before = end;
        }
        if before != bytes.len() {
            return Err(r.invalid_at(
                r.position() - 4,
                format_args!("the end of the block, {}", bytes.len()),
                before,
            ));
        }
        Ok(vectors)
    }

    /// The number of vectors.
    pub fn vector_count(&self) -> usize {
        self.vectors
    }

    /// The number of rows of all vectors.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The type of the values.
    pub fn field_type(&self) -> FieldType {
        self.field_type
    }

    /// Rows of vector `vector`; 0 past the last.
    pub fn vector_rows(&self, vector: usize) -> usize {
        self.rows
            .saturating_sub(vector.saturating_mul(VECTOR_ROWS))
            .min(VECTOR_ROWS)
    }

    /// The vector `vector`, its head read.
    ///
    /// # Errors
    /// There is no such vector, or its head is damaged. Offsets in its own errors are those in
    /// the block.
    pub fn vector(&self, vector: usize) -> Result<EncodedVector<'_>> {
        let place = self.place(vector)?;
        EncodedVector::open(
            &self.bytes,
            place,
            self.vector_rows(vector),
            self.field_type,
        )
        .map_err(|e| e.at_base(self.offset))
    }

    /// Appends the rows of a vector to `out`.
    ///
    /// # Errors
    /// There is no such vector, `out` is of another type, the vector needs a dictionary that is
    /// not given, or it is damaged.
    pub fn decode(
        &self,
        vector: usize,
        dictionary: Option<&Dictionary>,
        out: &mut Column,
    ) -> Result<()> {
        self.vector(vector)?
            .decode(dictionary, out)
            .map_err(|e| e.at_base(self.offset))
    }

    /// Appends the rows `rows` of a vector of strings to `out`.
    ///
    /// # Errors
    /// As [`Block::decode`], or there are no such rows.
    pub fn decode_string_rows(
        &self,
        vector: usize,
        rows: Range<usize>,
        dictionary: Option<&Dictionary>,
        out: &mut Column,
    ) -> Result<()> {
        self.vector(vector)?
            .decode_string_rows(rows, dictionary, out)
            .map_err(|e| e.at_base(self.offset))
    }

    /// The end of those of the rows `rows` of a vector whose strings take at most `text` bytes, from the
    /// first of them on; at least that one.
    ///
    /// # Errors
    /// As [`Block::decode_string_rows`].
    pub fn string_rows_within(
        &self,
        vector: usize,
        rows: Range<usize>,
        text: usize,
        dictionary: Option<&Dictionary>,
    ) -> Result<usize> {
        self.vector(vector)?
            .string_rows_within(rows, text, dictionary)
            .map_err(|e| e.at_base(self.offset))
    }

    /// Bytes of the strings of a vector, about.
    ///
    /// # Errors
    /// As [`Block::decode`].
    pub fn text_len(&self, vector: usize, dictionary: Option<&Dictionary>) -> Result<usize> {
        self.vector(vector)?
            .text_len(dictionary)
            .map_err(|e| e.at_base(self.offset))
    }

    /// Decodes a vector of doubles into the first rows of `out`, and says how many. What stands
    /// at nulls is unspecified; [`Validity::is_full`] says that there are none.
    ///
    /// # Errors
    /// As [`Block::decode`].
    pub fn decode_f64(
        &self,
        vector: usize,
        dictionary: Option<&Dictionary>,
        out: &mut [f64; VECTOR_ROWS],
        validity: &mut Validity,
    ) -> Result<usize> {
        let encoded = self.vector(vector)?;
        let rows = encoded.rows();
        encoded
            .decode_f64(dictionary, &mut out[..rows])
            .map_err(|e| e.at_base(self.offset))?;
        validity.clone_from(encoded.validity());
        Ok(rows)
    }

    /// As [`Block::decode_f64`], of i64, time, or u64 (its bits).
    ///
    /// # Errors
    /// As [`Block::decode`].
    pub fn decode_i64(
        &self,
        vector: usize,
        out: &mut [i64; VECTOR_ROWS],
        validity: &mut Validity,
    ) -> Result<usize> {
        let encoded = self.vector(vector)?;
        let rows = encoded.rows();
        encoded
            .decode_i64(&mut out[..rows])
            .map_err(|e| e.at_base(self.offset))?;
        validity.clone_from(encoded.validity());
        Ok(rows)
    }

    /// What a vector is made of; its place is that in the file.
    ///
    /// # Errors
    /// There is no such vector, or its head is damaged.
    pub fn describe(&self, vector: usize) -> Result<VectorDescription> {
        let mut described = self
            .vector(vector)?
            .describe()
            .map_err(|e| e.at_base(self.offset))?;
        described.place = self.offset + described.place.start..self.offset + described.place.end;
        Ok(described)
    }

    /// Where vector `vector` lies in the block.
    fn place(&self, vector: usize) -> Result<Range<usize>> {
        if vector >= self.vectors {
            return Err(FormatError::invalid(
                "vector of a block",
                self.offset,
                format_args!("a number below {}", self.vectors),
                vector,
            ));
        }
        let start = match vector {
            0 => HEAD_LEN + self.vectors * 4,
            _ => self.end(vector - 1),
        };
        Ok(start..self.end(vector))
    }

    /// The directory was read when the block was opened.
    fn end(&self, vector: usize) -> usize {
        let at = HEAD_LEN + vector * 4;
        let bytes = self.bytes.get(at..).and_then(|b| b.first_chunk::<4>());
        bytes.map_or(0, |b| u32::from_le_bytes(*b) as usize)
    }
}

/// Rows of the last of the vectors that hold `rows` rows.
fn last_rows(rows: usize) -> usize {
    match rows % VECTOR_ROWS {
        0 => VECTOR_ROWS,
        rest => rest,
    }
}

/// Builds a block: the head, then vectors one after another. What was built can be taken away in
/// between; the head then stays.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    /// The head, if it was not taken away, and vectors.
    bytes: Vec<u8>,
    /// The head and its directory, once the first part was taken away.
    head: Vec<u8>,
    head_len: usize,
    /// Bytes that were taken away.
    taken: usize,
    vectors: usize,
}

impl BlockBuilder {
    /// Starts a block of `rows` rows.
    pub(crate) fn start(&mut self, field: FieldId, field_type: FieldType, group: u32, rows: usize) {
        let vectors = rows.div_ceil(VECTOR_ROWS);
        debug_assert!((1..=GROUP_VECTORS).contains(&vectors));
        let byte = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        let last = u16::try_from(last_rows(rows)).unwrap_or(u16::MAX);
        self.bytes.clear();
        self.bytes.extend_from_slice(&MAGIC);
        self.bytes.extend_from_slice(&field.0.to_le_bytes());
        self.bytes.extend_from_slice(&group.to_le_bytes());
        self.bytes.push(field_type.tag());
        self.bytes.push(byte(vectors));
        self.bytes.extend_from_slice(&last.to_le_bytes());
        self.head_len = HEAD_LEN + vectors * 4;
        self.bytes.resize(self.head_len, 0);
        self.head.clear();
        self.taken = 0;
        self.vectors = 0;
    }

    /// Appends a vector: what `put` appends to the block's bytes. Returns its length.
    pub(crate) fn vector(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = self.bytes.len();
        put(&mut self.bytes);
        // The length of a block is checked, as u32, when its region is made.
        let end = u32::try_from(self.taken + self.bytes.len()).unwrap_or(u32::MAX);
        let at = HEAD_LEN + self.vectors * 4;
        let head = match self.taken {
            0 => &mut self.bytes,
            _ => &mut self.head,
        };
        head[at..at + 4].copy_from_slice(&end.to_le_bytes());
        self.vectors += 1;
        self.bytes.len() - start
    }

    /// The block, or what was built since a part of it was taken away.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes away what was built.
    pub(crate) fn take_part(&mut self) {
        if self.taken == 0 {
            self.head.extend_from_slice(&self.bytes[..self.head_len]);
        }
        self.taken += self.bytes.len();
        self.bytes.clear();
    }

    /// Bytes of the head and its directory.
    pub(crate) fn head_len(&self) -> usize {
        self.head_len
    }

    /// The head, its directory as far as there are vectors, once a part was taken away.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }
}
