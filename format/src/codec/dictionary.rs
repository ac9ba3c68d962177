//! Distinct doubles or strings of a column, and codes for them.
//!
//! A column has one dictionary a segment. Codes are given in the order in which values are first
//! seen; the writer decides row group by row group whether a dictionary pays, and takes back the
//! values of a group where it does not.

use crate::bytes::{Reader, put_part, put_varint};
use crate::codec::{float, integer, text};
use crate::column::Strings;
use crate::version::{MAX_DICTIONARY, MAX_DICTIONARY_STRING, MAX_DICTIONARY_TEXT, VECTOR_ROWS};
use crate::{FieldType, FormatError, Result};

/// A decoded dictionary: code `i` stands for value `i`.
#[derive(Debug, Clone, PartialEq)]
pub enum Dictionary {
    /// Of doubles.
    F64(Vec<f64>),
    /// Of strings.
    String(Strings),
}

impl Dictionary {
    /// Decodes the dictionary of a column of `field_type` that has `count` values.
    ///
    /// # Errors
    /// The type has no dictionaries, the count differs, or the bytes are damaged.
    pub fn decode(bytes: &[u8], field_type: FieldType, count: usize) -> Result<Self> {
        let mut r = Reader::new(bytes, "dictionary");
        let len = r.count(MAX_DICTIONARY)?;
        if len != count {
            return Err(r.invalid_at(0, format_args!("{count} values"), len));
        }
        let dictionary = match field_type {
            FieldType::F64 => Self::F64(decode_floats(&mut r, len)?),
            FieldType::String => Self::String(decode_strings(&mut r, len)?),
            other => return Err(r.invalid_at(0, "a dictionary of f64 or string", other)),
        };
        r.finish()?;
        Ok(dictionary)
    }

    /// Bytes of memory it takes, about.
    pub fn memory(&self) -> usize {
        let values = match self {
            Self::F64(values) => values.capacity() * size_of::<f64>(),
            Self::String(values) => values.memory(),
        };
        size_of::<Self>() + values
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F64(values) => values.len(),
            Self::String(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Lengths of the runs of at most 1,024 that `len` values are written in.
fn runs(len: usize) -> impl Iterator<Item = usize> {
    (0..len.div_ceil(VECTOR_ROWS)).map(move |i| (len - i * VECTOR_ROWS).min(VECTOR_ROWS))
}

fn decode_floats(r: &mut Reader<'_>, len: usize) -> Result<Vec<f64>> {
    let mut values = Vec::new();
    for run in runs(len) {
        let start = values.len();
        r.part("dictionary of doubles", |r| {
            values.resize(start + run, 0.0);
            float::decode(r, &mut values[start..])
        })?;
    }
    Ok(values)
}

fn decode_strings(r: &mut Reader<'_>, len: usize) -> Result<Strings> {
    let mut lens: Vec<i64> = Vec::new();
    for run in runs(len) {
        let start = lens.len();
        r.part("lengths of a dictionary", |r| {
            lens.resize(start + run, 0);
            integer::decode(r, &mut lens[start..])
        })?;
    }
    let at = r.position();
    let text = text::read(r, MAX_DICTIONARY_TEXT)?.bytes()?;
    let text = std::str::from_utf8(&text)
        .map_err(|e| FormatError::invalid("dictionary of strings", at as u64, "UTF-8", e))?;
    let mut strings = Strings::new();
    let mut rest = text;
    for &len in &lens {
        let split = usize::try_from(len)
            .ok()
            .filter(|&len| len <= MAX_DICTIONARY_STRING)
            .and_then(|len| rest.split_at_checked(len));
        let Some((value, next)) = split else {
            let expected = "lengths of at most 65,535 that cut the text between characters";
            return Err(r.invalid_at(at, expected, len));
        };
        strings.push(value);
        rest = next;
    }
    if !rest.is_empty() {
        return Err(r.invalid_at(at, "lengths of all of the text", rest.len()));
    }
    Ok(strings)
}

/// An open-addressing table of codes; the values lie with its owner.
#[derive(Debug, Default)]
struct Slots {
    /// 0: free; otherwise a code plus one. The length is zero or a power of two.
    slots: Vec<u32>,
}

impl Slots {
    /// The slot where `hash` is, or would be put: `Ok(code)` or `Err(slot)`.
    #[inline]
    fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = (hash >> 32) as usize & mask;
        loop {
            match self.slots[slot] {
                0 => return Err(slot),
                code if is(code - 1) => return Ok(code - 1),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// Grows for `len` values if need be; `hashes` are those of the values there are.
    fn reserve(&mut self, len: usize, hashes: impl Iterator<Item = u64>) {
        if len * 2 <= self.slots.len() {
            return;
        }
        self.rebuild((len * 4).next_power_of_two().max(1024), hashes);
    }

    fn rebuild(&mut self, size: usize, hashes: impl Iterator<Item = u64>) {
        self.slots.clear();
        self.slots.resize(size, 0);
        for (code, hash) in (1..).zip(hashes) {
            if let Err(slot) = self.find(hash, |_| false) {
                self.slots[slot] = code;
            }
        }
    }
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn hash_bits(bits: u64) -> u64 {
    // The low half of the product never sees the high bits, where doubles differ: fold first.
    (bits ^ (bits >> 32)).wrapping_mul(MULTIPLIER)
}

pub(crate) fn hash_text(text: &[u8]) -> u64 {
    let mut hash = text.len() as u64;
    for chunk in text.chunks(8) {
        let mut eight = [0; 8];
        eight[..chunk.len()].copy_from_slice(chunk);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(eight)).wrapping_mul(MULTIPLIER);
    }
    hash ^ (hash >> 29)
}

/// Gives codes to doubles, by their bits.
#[derive(Debug, Default)]
pub(crate) struct FloatCodes {
    values: Vec<f64>,
    slots: Slots,
}

impl FloatCodes {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Appends the codes of `values` to `codes`, giving new ones to new values; `false`, with
    /// some of the work done, once there would be too many.
    pub(crate) fn encode(&mut self, values: &[f64], codes: &mut Vec<i64>) -> bool {
        let most = self.values.len() + values.len();
        self.slots.reserve(
            most.min(MAX_DICTIONARY),
            self.values.iter().map(|v| hash_bits(v.to_bits())),
        );
        for &value in values {
            let bits = value.to_bits();
            let found = self.slots.find(hash_bits(bits), |code| {
                self.values[code as usize].to_bits() == bits
            });
            let code = match found {
                Ok(code) => code,
                Err(slot) => {
                    let Some(code) = next_code(self.values.len()) else {
                        return false;
                    };
                    self.values.push(value);
                    self.slots.slots[slot] = code + 1;
                    code
                }
            };
            codes.push(i64::from(code));
        }
        true
    }

    /// Forgets all values but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.values.len() {
            self.values.truncate(len);
            let size = self.slots.slots.len();
            self.slots
                .rebuild(size, self.values.iter().map(|v| hash_bits(v.to_bits())));
        }
    }

    /// Appends the dictionary.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.values.len() as u64);
        let mut scratch = Vec::new();
        for run in self.values.chunks(VECTOR_ROWS) {
            put_part(out, &mut scratch, |out| {
                float::encode(run, out);
            });
        }
    }
}

/// Gives codes to strings.
#[derive(Debug)]
pub(crate) struct StringCodes {
    /// Where each value ends in the text.
    ends: Vec<usize>,
    text: Vec<u8>,
    /// The text has no more bytes.
    most: usize,
    slots: Slots,
}

impl Default for StringCodes {
    fn default() -> Self {
        Self::with_at_most(MAX_DICTIONARY_TEXT)
    }
}

impl StringCodes {
    /// Codes for at most `most` bytes of strings.
    pub(crate) fn with_at_most(most: usize) -> Self {
        Self {
            ends: Vec::new(),
            text: Vec::new(),
            most: most.min(MAX_DICTIONARY_TEXT),
            slots: Slots::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all values together.
    pub(crate) fn text_len(&self) -> usize {
        self.text.len()
    }

    fn value(&self, code: usize) -> &[u8] {
        let start = if code == 0 { 0 } else { self.ends[code - 1] };
        &self.text[start..self.ends[code]]
    }

    fn hashes(&self) -> impl Iterator<Item = u64> {
        (0..self.ends.len()).map(|code| hash_text(self.value(code)))
    }

    /// The code of `value`, a new one if it is new; `None` where there would be too many values
    /// or too much text, or it is too long.
    pub(crate) fn code(&mut self, value: &str) -> Option<i64> {
        if value.len() > MAX_DICTIONARY_STRING {
            return None;
        }
        let len = self.ends.len();
        if (len + 1) * 2 > self.slots.slots.len() {
            let hashes: Vec<u64> = self.hashes().collect();
            self.slots.reserve(len + 1, hashes.into_iter());
        }
        let bytes = value.as_bytes();
        let found = self
            .slots
            .find(hash_text(bytes), |code| self.value(code as usize) == bytes);
        let code = match found {
            Ok(code) => code,
            Err(slot) => {
                if self.text.len() + bytes.len() > self.most {
                    return None;
                }
                let code = next_code(len)?;
                self.text.extend_from_slice(bytes);
                self.ends.push(self.text.len());
                self.slots.slots[slot] = code + 1;
                code
            }
        };
        Some(i64::from(code))
    }

    /// Forgets all values but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.ends.len() {
            self.ends.truncate(len);
            self.text.truncate(self.ends.last().copied().unwrap_or(0));
            let size = self.slots.slots.len();
            let hashes: Vec<u64> = self.hashes().collect();
            self.slots.rebuild(size, hashes.into_iter());
        }
    }

    /// Appends the dictionary.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.ends.len() as u64);
        let lens: Vec<i64> = (0..self.ends.len())
            .map(|code| i64::try_from(self.value(code).len()).unwrap_or(i64::MAX))
            .collect();
        let mut scratch = Vec::new();
        for run in lens.chunks(VECTOR_ROWS) {
            put_part(out, &mut scratch, |out| {
                integer::encode(run, out);
            });
        }
        text::put(&self.text, out);
    }
}

/// The code of the next value of a dictionary of `len`, if one more is allowed.
fn next_code(len: usize) -> Option<u32> {
    u32::try_from(len).ok().filter(|_| len < MAX_DICTIONARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_get_codes_by_their_bits() {
        let mut codes = FloatCodes::default();
        let mut out = Vec::new();
        assert!(codes.encode(&[1.5, 0.0, 1.5, -0.0, f64::NAN, f64::NAN], &mut out));
        assert_eq!(out, [0, 1, 0, 2, 3, 3]);
        let mut bytes = Vec::new();
        codes.put(&mut bytes);
        let Dictionary::F64(values) = Dictionary::decode(&bytes, FieldType::F64, 4).unwrap() else {
            panic!("doubles");
        };
        let bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, [1.5, 0.0, -0.0, f64::NAN].map(f64::to_bits));
    }

    #[test]
    fn what_a_group_added_can_be_taken_back() {
        let mut codes = FloatCodes::default();
        let first: Vec<f64> = (0..3000).map(f64::from).collect();
        let second: Vec<f64> = (2000..9000).map(f64::from).collect();
        assert!(codes.encode(&first, &mut Vec::new()));
        assert!(codes.encode(&second, &mut Vec::new()));
        assert_eq!(codes.len(), 9000);
        codes.truncate(3000);
        let mut again = Vec::new();
        assert!(codes.encode(&[2999.0, 8000.0, 0.0], &mut again));
        assert_eq!(again, [2999, 3000, 0]);

        let mut codes = StringCodes::default();
        for i in 0..5000 {
            assert_eq!(codes.code(&i.to_string()), Some(i));
        }
        codes.truncate(10);
        assert_eq!(codes.code("4000"), Some(10));
        assert_eq!(codes.code("3"), Some(3));
        assert_eq!(codes.text_len(), 14);
    }

    #[test]
    fn a_dictionary_has_an_end() {
        let values: Vec<f64> = (0..65_537).map(f64::from).collect();
        let mut codes = FloatCodes::default();
        assert!(codes.encode(&values[..65_536], &mut Vec::new()));
        assert!(!codes.encode(&values[65_536..], &mut Vec::new()));
        let mut bytes = Vec::new();
        codes.put(&mut bytes);
        let read = Dictionary::decode(&bytes, FieldType::F64, 65_536).unwrap();
        assert_eq!(read, Dictionary::F64(values[..65_536].to_vec()));
    }

    #[test]
    fn a_long_string_has_no_code() {
        let mut codes = StringCodes::default();
        assert_eq!(codes.code(&"x".repeat(65_536)), None);
        assert_eq!(codes.code(&"x".repeat(65_535)), Some(0));
    }

    #[test]
    fn strings_round_trip_and_cuts_are_refused() {
        let mut codes = StringCodes::default();
        for text in [
            "",
            "a",
            "é",
            "a",
            "host-1",
            "host-2",
            "a long text, longer than eight",
        ] {
            codes.code(text).unwrap();
        }
        let mut bytes = Vec::new();
        codes.put(&mut bytes);
        let Dictionary::String(read) =
            Dictionary::decode(&bytes, FieldType::String, codes.len()).unwrap()
        else {
            panic!("strings");
        };
        assert_eq!(
            read.iter().collect::<Vec<_>>(),
            [
                "",
                "a",
                "é",
                "host-1",
                "host-2",
                "a long text, longer than eight"
            ]
        );
        for cut in 0..bytes.len() {
            assert!(Dictionary::decode(&bytes[..cut], FieldType::String, 6).is_err());
        }
        assert!(Dictionary::decode(&bytes, FieldType::String, 5).is_err());
        assert!(Dictionary::decode(&bytes, FieldType::I64, 6).is_err());
    }
}
