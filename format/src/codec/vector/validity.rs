//! The null map of a vector.

use crate::Result;
use crate::bytes::Reader;
use crate::version::VECTOR_ROWS;

/// Which rows of a vector have a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// Bit set: value present. Row `i` is bit `i % 64` of word `i / 64`; bits past the rows are 0.
    words: [u64; VECTOR_ROWS / 64],
    rows: usize,
    values: usize,
}

impl Default for Validity {
    fn default() -> Self {
        Self::none(0)
    }
}

impl Validity {
    /// `rows` rows that all have a value.
    ///
    /// # Panics
    /// More than 1,024 rows.
    pub fn all(rows: usize) -> Self {
        let mut validity = Self::none(rows);
        validity.words[..rows / 64].fill(u64::MAX);
        if !rows.is_multiple_of(64) {
            validity.words[rows / 64] = u64::MAX >> (64 - rows % 64);
        }
        validity.values = rows;
        validity
    }

    /// `rows` rows of which none has a value.
    ///
    /// # Panics
    /// More than 1,024 rows.
    pub fn none(rows: usize) -> Self {
        assert!(rows <= VECTOR_ROWS, "{rows} rows in a vector");
        Self {
            words: [0; VECTOR_ROWS / 64],
            rows,
            values: 0,
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of rows that have a value.
    pub fn values(&self) -> usize {
        self.values
    }

    /// Whether every row has a value: then nothing needs to be asked row by row.
    pub fn is_full(&self) -> bool {
        self.values == self.rows
    }

    /// Whether row `i` has a value; no row past the last has.
    #[inline]
    pub fn get(&self, i: usize) -> bool {
        self.words
            .get(i / 64)
            .is_some_and(|w| w >> (i % 64) & 1 == 1)
    }

    /// The bits.
    pub fn words(&self) -> &[u64; VECTOR_ROWS / 64] {
        &self.words
    }

    /// `rows` rows with the bits of `words`, which has none past the rows.
    pub(crate) fn from_words(words: &[u64], rows: usize) -> Self {
        let mut validity = Self::none(rows);
        for (to, &word) in validity.words.iter_mut().zip(words) {
            *to = word;
            validity.values += word.count_ones() as usize;
        }
        validity
    }

    /// Reads the map of a vector.
    pub(super) fn read(r: &mut Reader<'_>, rows: usize) -> Result<Self> {
        let at = r.position();
        let map = r.take(rows.div_ceil(8))?;
        let mut validity = Self::none(rows);
        for (word, bytes) in validity.words.iter_mut().zip(map.chunks(8)) {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(eight);
            validity.values += word.count_ones() as usize;
        }
        if !rows.is_multiple_of(64) && validity.words[rows / 64] >> (rows % 64) != 0 {
            return Err(r.invalid_at(at, format_args!("a null map of {rows} bits"), "more bits"));
        }
        Ok(validity)
    }
}
