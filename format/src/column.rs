//! Values in memory: the columns that encoders take and decoders fill.

use crate::FieldType;

/// One bit a row; bit `i` is bit `i % 64` of word `i / 64`. Bits past the length are zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// No bits.
    pub const fn new() -> Self {
        Self {
            words: Vec::new(),
            len: 0,
        }
    }

    /// `len` bits, all equal to `bit`.
    pub fn filled(len: usize, bit: bool) -> Self {
        let mut bitmap = Self::new();
        bitmap.extend_with(len, bit);
        bitmap
    }

    /// The number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit `i`.
    ///
    /// # Panics
    /// `i` is not below the length.
    #[inline]
    pub fn get(&self, i: usize) -> bool {
        assert!(i < self.len, "bit {i} of {}", self.len);
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    /// Sets bit `i` to `bit`.
    ///
    /// # Panics
    /// `i` is not below the length.
    pub fn set(&mut self, i: usize, bit: bool) {
        assert!(i < self.len, "bit {i} of {}", self.len);
        let mask = 1u64 << (i % 64);
        if bit {
            self.words[i / 64] |= mask;
        } else {
            self.words[i / 64] &= !mask;
        }
    }

    /// Appends a bit.
    #[inline]
    pub fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        if bit {
            self.words[self.len / 64] |= 1 << (self.len % 64);
        }
        self.len += 1;
    }

    /// Appends `count` bits equal to `bit`.
    pub fn extend_with(&mut self, count: usize, bit: bool) {
        let end = self.len + count;
        while self.len < end && !self.len.is_multiple_of(64) {
            self.push(bit);
        }
        let whole = (end - self.len) / 64;
        self.words
            .resize(self.words.len() + whole, if bit { u64::MAX } else { 0 });
        self.len += whole * 64;
        while self.len < end {
            self.push(bit);
        }
    }

    /// Appends the bits `from..to` of `other`.
    ///
    /// # Panics
    /// The range reaches past the end of `other`.
    pub fn extend_from(&mut self, other: &Bitmap, from: usize, to: usize) {
        assert!(
            from <= to && to <= other.len,
            "bits {from}..{to} of {}",
            other.len
        );
        let mut at = from;
        while at < to {
            let count = (to - at).min(64);
            let (word, shift) = (at / 64, at % 64);
            let mut bits = other.words[word] >> shift;
            if shift > 0 && shift + count > 64 {
                bits |= other.words[word + 1] << (64 - shift);
            }
            self.push_bits(bits, count);
            at += count;
        }
    }

    /// Appends the lowest `count` bits of `bits`, lowest first.
    ///
    /// # Panics
    /// `count` exceeds 64.
    #[inline]
    pub fn push_bits(&mut self, bits: u64, count: usize) {
        assert!(count <= 64, "{count} bits of a word");
        if count == 0 {
            return;
        }
        let bits = bits & (u64::MAX >> (64 - count));
        let shift = self.len % 64;
        if shift == 0 {
            self.words.push(bits);
        } else {
            let last = self.words.len() - 1;
            self.words[last] |= bits << shift;
            if shift + count > 64 {
                self.words.push(bits >> (64 - shift));
            }
        }
        self.len += count;
    }

    /// How many bits are set.
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Forgets the bits from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.words.truncate(len.div_ceil(64));
            if let (Some(last), used @ 1..) = (self.words.last_mut(), len % 64) {
                *last &= u64::MAX >> (64 - used);
            }
            self.len = len;
        }
    }

    /// Forgets all bits and keeps the memory.
    pub fn clear(&mut self) {
        self.words.clear();
        self.len = 0;
    }

    /// The words that hold the bits.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The bits as bytes, lowest bit first: `len.div_ceil(8)` of them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.truncate(self.len.div_ceil(8));
        bytes
    }

    /// `len` bits from bytes as [`Bitmap::to_bytes`] gives them; `None` where the number of bytes
    /// is not `len.div_ceil(8)` or a bit past the end is set.
    pub fn from_bytes(bytes: &[u8], len: usize) -> Option<Self> {
        if bytes.len() != len.div_ceil(8) {
            return None;
        }
        let words: Vec<u64> = bytes
            .chunks(8)
            .map(|c| {
                let mut word = [0u8; 8];
                word[..c.len()].copy_from_slice(c);
                u64::from_le_bytes(word)
            })
            .collect();
        let clean = match (len % 64, words.last()) {
            (0, _) | (_, None) => true,
            (used, Some(last)) => last >> used == 0,
        };
        clean.then_some(Self { words, len })
    }
}

/// Strings, one after another in one buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strings {
    /// `offsets[i]..offsets[i + 1]` are the bytes of string `i`; one more than there are strings.
    offsets: Vec<u32>,
    text: String,
}

impl Default for Strings {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            text: String::new(),
        }
    }
}

impl Strings {
    /// No strings.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of strings.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all strings together.
    pub fn byte_len(&self) -> usize {
        self.text.len()
    }

    /// Memory the strings take, in bytes.
    pub fn memory(&self) -> usize {
        self.offsets.capacity() * 4 + self.text.capacity()
    }

    /// Appends a string.
    ///
    /// # Panics
    /// The buffer would exceed 4 GiB; callers bound what they put into one column.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        let end = u32::try_from(self.text.len());
        assert!(end.is_ok(), "more than 4 GiB of strings in one column");
        self.offsets.push(end.unwrap_or(u32::MAX));
    }

    /// String `i`.
    ///
    /// # Panics
    /// `i` is not below the length.
    pub fn get(&self, i: usize) -> &str {
        &self.text[self.offsets[i] as usize..self.offsets[i + 1] as usize]
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Where the strings end, behind a 0 where the first begins, and their text.
    pub fn into_parts(self) -> (Vec<u32>, String) {
        (self.offsets, self.text)
    }

    /// Forgets the strings from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.text.truncate(self.offsets[len] as usize);
            self.offsets.truncate(len + 1);
        }
    }

    /// Forgets all strings and keeps the memory.
    pub fn clear(&mut self) {
        self.offsets.truncate(1);
        self.text.clear();
    }
}

impl<'a> FromIterator<&'a str> for Strings {
    fn from_iter<I: IntoIterator<Item = &'a str>>(iter: I) -> Self {
        let mut strings = Self::new();
        for text in iter {
            strings.push(text);
        }
        strings
    }
}

/// The values of a column, one a row; at a null row any value may stand.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Floating point.
    F64(Vec<f64>),
    /// Signed integers; also timestamps.
    I64(Vec<i64>),
    /// Unsigned integers.
    U64(Vec<u64>),
    /// Booleans.
    Bool(Vec<bool>),
    /// Strings.
    String(Strings),
}

impl Values {
    /// An empty column of the given type.
    pub fn new(field_type: FieldType) -> Self {
        match field_type {
            FieldType::F64 => Self::F64(Vec::new()),
            FieldType::I64 => Self::I64(Vec::new()),
            FieldType::U64 => Self::U64(Vec::new()),
            FieldType::Bool => Self::Bool(Vec::new()),
            FieldType::String => Self::String(Strings::new()),
        }
    }

    /// The type of the values.
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::F64(_) => FieldType::F64,
            Self::I64(_) => FieldType::I64,
            Self::U64(_) => FieldType::U64,
            Self::Bool(_) => FieldType::Bool,
            Self::String(_) => FieldType::String,
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::F64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::String(v) => v.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        match self {
            Self::F64(v) => v.clear(),
            Self::I64(v) => v.clear(),
            Self::U64(v) => v.clear(),
            Self::Bool(v) => v.clear(),
            Self::String(v) => v.clear(),
        }
    }

    /// Forgets the rows from `len` on.
    pub fn truncate(&mut self, len: usize) {
        match self {
            Self::F64(v) => v.truncate(len),
            Self::I64(v) => v.truncate(len),
            Self::U64(v) => v.truncate(len),
            Self::Bool(v) => v.truncate(len),
            Self::String(v) => v.truncate(len),
        }
    }

    /// Appends the value that stands at null rows: zero, false, the empty string.
    pub fn push_default(&mut self) {
        match self {
            Self::F64(v) => v.push(0.0),
            Self::I64(v) => v.push(0),
            Self::U64(v) => v.push(0),
            Self::Bool(v) => v.push(false),
            Self::String(v) => v.push(""),
        }
    }

    /// Appends row `i` of `other`.
    ///
    /// # Panics
    /// The types differ or `i` is out of bounds: callers match columns by field.
    #[inline]
    pub fn push_from(&mut self, other: &Values, i: usize) {
        match (self, other) {
            (Self::F64(to), Self::F64(from)) => to.push(from[i]),
            (Self::I64(to), Self::I64(from)) => to.push(from[i]),
            (Self::U64(to), Self::U64(from)) => to.push(from[i]),
            (Self::Bool(to), Self::Bool(from)) => to.push(from[i]),
            (Self::String(to), Self::String(from)) => to.push(from.get(i)),
            (to, from) => {
                assert_eq!(
                    to.field_type(),
                    from.field_type(),
                    "columns of one field differ"
                );
            }
        }
    }

    /// Appends the rows `from..to` of `other`.
    ///
    /// # Panics
    /// As [`Values::push_from`].
    pub fn extend_from(&mut self, other: &Values, from: usize, to: usize) {
        match (self, other) {
            (Self::F64(a), Self::F64(b)) => a.extend_from_slice(&b[from..to]),
            (Self::I64(a), Self::I64(b)) => a.extend_from_slice(&b[from..to]),
            (Self::U64(a), Self::U64(b)) => a.extend_from_slice(&b[from..to]),
            (Self::Bool(a), Self::Bool(b)) => a.extend_from_slice(&b[from..to]),
            (a, b) => (from..to).for_each(|i| a.push_from(b, i)),
        }
    }

    /// Makes room for `additional` values; of strings, for their ends and not for their text.
    pub fn reserve(&mut self, additional: usize) {
        match self {
            Self::F64(v) => v.reserve(additional),
            Self::I64(v) => v.reserve(additional),
            Self::U64(v) => v.reserve(additional),
            Self::Bool(v) => v.reserve(additional),
            Self::String(v) => v.offsets.reserve(additional),
        }
    }

    /// Bytes of all strings together; 0 for other types.
    pub fn text_len(&self) -> usize {
        match self {
            Self::String(strings) => strings.byte_len(),
            _ => 0,
        }
    }

    /// Memory the values take, in bytes.
    pub fn memory(&self) -> usize {
        match self {
            Self::F64(v) => v.capacity() * 8,
            Self::I64(v) => v.capacity() * 8,
            Self::U64(v) => v.capacity() * 8,
            Self::Bool(v) => v.capacity(),
            Self::String(v) => v.memory(),
        }
    }
}

/// A column of one field: values, and which of them are there.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// One value a row.
    pub values: Values,
    /// Bit set: the row has a value; clear: it is null. `None`: no row is null.
    pub validity: Option<Bitmap>,
}

impl Column {
    /// An empty column.
    pub fn new(field_type: FieldType) -> Self {
        Self {
            values: Values::new(field_type),
            validity: None,
        }
    }

    /// A column of `len` nulls.
    pub fn nulls(field_type: FieldType, len: usize) -> Self {
        let mut column = Self::new(field_type);
        for _ in 0..len {
            column.push_null();
        }
        column
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether row `i` has a value.
    ///
    /// # Panics
    /// `i` is out of bounds and the column has nulls.
    #[inline]
    pub fn is_valid(&self, i: usize) -> bool {
        self.validity.as_ref().is_none_or(|v| v.get(i))
    }

    /// How many rows are null.
    pub fn null_count(&self) -> usize {
        self.validity
            .as_ref()
            .map_or(0, |v| v.len() - v.count_ones())
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        let len = self.len();
        self.validity
            .get_or_insert_with(|| Bitmap::filled(len, true))
            .push(false);
        self.values.push_default();
    }

    /// Appends row `i` of `other`, null or not.
    ///
    /// # Panics
    /// The types differ or `i` is out of bounds.
    #[inline]
    pub fn push_from(&mut self, other: &Column, i: usize) {
        if other.is_valid(i) {
            self.values.push_from(&other.values, i);
            if let Some(validity) = &mut self.validity {
                validity.push(true);
            }
        } else {
            self.push_null();
        }
    }

    /// Appends the rows `from..to` of `other`.
    ///
    /// # Panics
    /// The types differ or the range reaches past the end.
    pub fn extend_from(&mut self, other: &Column, from: usize, to: usize) {
        let len = self.len();
        if let Some(theirs) = &other.validity {
            self.validity
                .get_or_insert_with(|| Bitmap::filled(len, true))
                .extend_from(theirs, from, to);
        } else if let Some(ours) = &mut self.validity {
            ours.extend_with(to - from, true);
        }
        self.values.extend_from(&other.values, from, to);
    }

    /// Forgets the rows from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        if let Some(validity) = &mut self.validity {
            validity.truncate(len);
        }
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.values.clear();
        self.validity = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_round_trip_through_bytes() {
        for len in [0, 1, 7, 8, 9, 63, 64, 65, 1024] {
            let mut bits = Bitmap::new();
            for i in 0..len {
                bits.push(i % 3 == 0);
            }
            assert_eq!(Bitmap::from_bytes(&bits.to_bytes(), len).unwrap(), bits);
            assert_eq!(bits.count_ones(), len.div_ceil(3));
        }
        assert!(
            Bitmap::from_bytes(&[0xff], 7).is_none(),
            "a bit past the end"
        );
        assert!(
            Bitmap::from_bytes(&[0xff, 0], 8).is_none(),
            "a byte too many"
        );
    }

    #[test]
    fn copying_bits_equals_pushing_them() {
        let mut source = Bitmap::new();
        (0..300).for_each(|i| source.push(i * 7 % 5 < 2));
        for (before, from, to) in [
            (0, 0, 300),
            (1, 0, 64),
            (63, 1, 299),
            (64, 65, 65),
            (5, 7, 130),
        ] {
            let mut copied = Bitmap::filled(before, true);
            copied.extend_from(&source, from, to);
            let mut pushed = Bitmap::filled(before, true);
            (from..to).for_each(|i| pushed.push(source.get(i)));
            assert_eq!(copied, pushed, "{before} {from} {to}");
        }
    }

    #[test]
    fn filling_equals_pushing() {
        for (first, second) in [(0, 5), (3, 130), (64, 64), (70, 1)] {
            let mut filled = Bitmap::filled(first, false);
            filled.extend_with(second, true);
            let mut pushed = Bitmap::new();
            (0..first).for_each(|_| pushed.push(false));
            (0..second).for_each(|_| pushed.push(true));
            assert_eq!(filled, pushed);
        }
    }

    #[test]
    fn truncating_equals_pushing_less() {
        for (total, len) in [(0, 0), (70, 64), (70, 65), (70, 1), (3, 5), (128, 127)] {
            let push = |count: usize| {
                let mut column = Column::new(FieldType::String);
                let text: Strings = ["a", "", "ccc"].into_iter().collect();
                let text = Column {
                    values: Values::String(text),
                    validity: None,
                };
                for i in 0..count {
                    match i % 4 {
                        3 => column.push_null(),
                        pick => column.push_from(&text, pick),
                    }
                }
                column
            };
            let mut column = push(total);
            column.truncate(len);
            let expected = push(total.min(len));
            assert_eq!(column.values, expected.values, "{total} {len}");
            assert_eq!(column.len(), total.min(len));
            (0..column.len()).for_each(|i| assert_eq!(column.is_valid(i), i % 4 != 3));
        }
    }

    #[test]
    fn strings_come_apart_into_ends_and_text() {
        let strings: Strings = ["a", "", "ccc"].into_iter().collect();
        assert_eq!(strings.into_parts(), (vec![0, 1, 1, 4], "accc".to_owned()));
        assert_eq!(Strings::new().into_parts(), (vec![0], String::new()));
    }

    #[test]
    fn nulls_appear_only_where_they_were_pushed() {
        let mut column = Column {
            values: Values::I64(vec![1, 2]),
            validity: None,
        };
        column.push_null();
        let mut copy = Column::new(FieldType::I64);
        copy.extend_from(&column, 1, 3);
        copy.push_from(&column, 0);
        assert_eq!(copy.values, Values::I64(vec![2, 0, 1]));
        assert_eq!(
            (0..3).map(|i| copy.is_valid(i)).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!(copy.null_count(), 1);
    }
}
