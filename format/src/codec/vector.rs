//! A vector of any type: up to 1,024 rows of one column.
//!
//! | size | what |
//! |---|---|
//! | 1 | [`Encoding`] |
//! | 1 | [`NullForm`] |
//! | | unless the form is 0: `ceil(rows / 8)` bytes, bit set: value present |
//! | | the payload |
//!
//! A vector lies in a block and is decoded from the block's bytes, because a raw payload is
//! aligned to a place in the file and a block starts at a multiple of that alignment.

mod encoding;
mod strings;
mod validity;

use std::ops::Range;

use crate::bytes::{Reader, pad_to};
use crate::codec::dictionary::Dictionary;
use crate::codec::{alp, integer};
use crate::column::{Column, Strings, Values};
use crate::version::{BLOCK_ALIGN, VECTOR_ROWS};
use crate::{FieldType, FormatError, Result};

pub use encoding::{Encoding, NullForm};
pub use validity::Validity;

/// Appends a vector up to its payload. `map` is `None` for form 0.
pub(crate) fn put_head(
    out: &mut Vec<u8>,
    encoding: Encoding,
    form: NullForm,
    map: Option<&Validity>,
) {
    debug_assert_eq!(form == NullForm::None, map.is_none());
    out.push(encoding.tag());
    out.push(form.tag());
    if let Some(map) = map {
        let start = out.len();
        out.extend(map.words().iter().flat_map(|w| w.to_le_bytes()));
        out.truncate(start + map.rows().div_ceil(8));
    }
}

/// Appends a raw payload to a block, which starts at the start of `out`.
pub(crate) fn put_raw<T: Copy>(out: &mut Vec<u8>, values: &[T], to: impl Fn(T) -> [u8; 8]) {
    pad_to(out, BLOCK_ALIGN);
    let start = out.len();
    out.resize(start + values.len() * 8, 0);
    let (places, _) = out[start..].as_chunks_mut::<8>();
    for (place, &value) in places.iter_mut().zip(values) {
        *place = to(value);
    }
}

/// A vector whose head was read and whose payload was not.
#[derive(Debug, Clone)]
pub struct EncodedVector<'a> {
    encoding: Encoding,
    form: NullForm,
    field_type: FieldType,
    validity: Validity,
    /// Values in the payload.
    count: usize,
    /// At the payload, in the block up to the end of the vector.
    payload: Reader<'a>,
    start: usize,
}

/// What a vector is made of, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorDescription {
    /// How the payload is written.
    pub encoding: Encoding,
    /// What is done about nulls.
    pub null_form: NullForm,
    /// Rows, null or not.
    pub rows: usize,
    /// Rows that are not null.
    pub values: usize,
    /// Bytes of the vector, head and padding included.
    pub encoded_len: usize,
    /// Where the vector lies: in the block or, from
    /// [`Block::describe`](crate::segment::Block::describe), in the file.
    pub place: Range<u64>,
    /// More about the payload, by encoding.
    pub detail: Detail,
}

/// More about a payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// Nothing more to say.
    None,
    /// Of an integer stream: values, dictionary codes, or lengths of strings.
    Integer(integer::Description),
    /// Of decimals.
    Alp(alp::Description),
}

impl<'a> EncodedVector<'a> {
    /// The vector of `rows` rows in the bytes `place` of a block.
    ///
    /// # Errors
    /// There are no rows or more than 1,024, the place is not in the block, the tags are unknown or do not go with the type, or the
    /// null map is cut short.
    pub fn open(
        block: &'a [u8],
        place: Range<usize>,
        rows: usize,
        field_type: FieldType,
    ) -> Result<Self> {
        if !(1..=VECTOR_ROWS).contains(&rows) {
            let (what, at) = ("rows of a vector", place.start as u64);
            let expected = format_args!("1 to {VECTOR_ROWS}");
            return Err(FormatError::invalid(what, at, expected, rows));
        }
        let available = block.len();
        let Some(bytes) = block.get(..place.end) else {
            return Err(FormatError::truncated(
                "vector",
                place.start as u64,
                place.end.saturating_sub(place.start) as u64,
                available.saturating_sub(place.start) as u64,
            ));
        };
        let mut r = Reader::new(bytes, "vector");
        r.take(place.start)?;
        let at = r.position();
        let (tag, form) = (r.u8()?, r.u8()?);
        let encoding = Encoding::from_tag(tag).filter(|e| e.holds(field_type));
        let Some(encoding) = encoding else {
            let expected = format_args!("an encoding of {field_type} values").to_string();
            return Err(r.invalid_at(at, expected, tag));
        };
        let known = NullForm::ALL.into_iter().find(|known| known.tag() == form);
        let has_map = encoding != Encoding::AllNull;
        let Some(form) = known.filter(|known| has_map || *known == NullForm::None) else {
            return Err(r.invalid_at(at + 1, "a null form of the encoding", form));
        };
        let validity = match form {
            NullForm::None if encoding == Encoding::AllNull => Validity::none(rows),
            NullForm::None => Validity::all(rows),
            NullForm::Filled | NullForm::Dense => Validity::read(&mut r, rows)?,
        };
        let count = match form {
            NullForm::Dense => validity.values(),
            NullForm::Filled => rows,
            NullForm::None if encoding == Encoding::AllNull => 0,
            NullForm::None => rows,
        };
        if count == 0 && encoding != Encoding::AllNull {
            return Err(r.invalid_at(at, "a vector with a value", "none"));
        }
        Ok(Self {
            encoding,
            form,
            field_type,
            validity,
            count,
            payload: r,
            start: place.start,
        })
    }

    /// How the payload is written.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Which rows have a value.
    pub fn validity(&self) -> &Validity {
        &self.validity
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.validity.rows()
    }

    /// Decodes i64, u64 (its bits) or time; what stands at nulls is unspecified.
    ///
    /// # Errors
    /// The type is another, `out` is not one value a row, or the payload is damaged.
    pub fn decode_i64(&self, out: &mut [i64]) -> Result<()> {
        self.expect_rows(out.len())?;
        let mut r = self.payload.clone();
        let values = &mut out[..self.count];
        match (self.encoding, self.field_type) {
            (Encoding::AllNull, _) => out.fill(0),
            (Encoding::Raw, FieldType::I64 | FieldType::U64) => {
                read_raw(&mut r, values, i64::from_le_bytes)?;
            }
            (Encoding::Constant, FieldType::I64 | FieldType::U64) => values.fill(r.i64()?),
            (Encoding::Integer, _) => integer::decode(&mut r, values)?,
            _ => return Err(self.wrong_type("integers")),
        }
        r.finish()?;
        self.scatter(out);
        Ok(())
    }

    /// Decodes f64; what stands at nulls is unspecified.
    ///
    /// # Errors
    /// As [`EncodedVector::decode_i64`], or the vector needs a dictionary that is not given, not
    /// of doubles, or lacks a code.
    pub fn decode_f64(&self, dictionary: Option<&Dictionary>, out: &mut [f64]) -> Result<()> {
        self.expect_rows(out.len())?;
        if self.field_type != FieldType::F64 {
            return Err(self.wrong_type("f64"));
        }
        let mut r = self.payload.clone();
        let values = &mut out[..self.count];
        match self.encoding {
            Encoding::AllNull => out.fill(0.0),
            Encoding::Raw => read_raw(&mut r, values, f64::from_le_bytes)?,
            Encoding::Constant => values.fill(f64::from_bits(r.u64()?)),
            Encoding::Alp => alp::decode(&mut r, values)?,
            Encoding::Dictionary => {
                let Some(Dictionary::F64(entries)) = dictionary else {
                    return Err(self.no_dictionary("of doubles"));
                };
                let mut codes = [0; VECTOR_ROWS];
                let codes = &mut codes[..values.len()];
                self.read_codes(&mut r, codes, entries.len())?;
                for (value, &code) in values.iter_mut().zip(&*codes) {
                    *value = entries[code_index(code)];
                }
            }
            _ => return Err(self.wrong_type("f64")),
        }
        r.finish()?;
        self.scatter(out);
        Ok(())
    }

    /// Decodes booleans; what stands at nulls is unspecified.
    ///
    /// # Errors
    /// As [`EncodedVector::decode_i64`].
    pub fn decode_bool(&self, out: &mut [bool]) -> Result<()> {
        self.expect_rows(out.len())?;
        let mut r = self.payload.clone();
        let values = &mut out[..self.count];
        match (self.encoding, self.field_type) {
            (Encoding::AllNull, _) => out.fill(false),
            (Encoding::Constant, FieldType::Bool) => {
                let at = r.position();
                match r.u64()? {
                    bit @ (0 | 1) => values.fill(bit == 1),
                    other => return Err(r.invalid_at(at, "a boolean, 0 or 1", other)),
                }
            }
            (Encoding::Bitmap, _) => {
                let at = r.position();
                let map = r.take(values.len().div_ceil(8))?;
                let used = values.len() % 8;
                if used != 0 && map[map.len() - 1] >> used != 0 {
                    return Err(r.invalid_at(at, "a bitmap without further bits", "more bits"));
                }
                for (eight, byte) in values.chunks_mut(8).zip(map) {
                    for (i, value) in eight.iter_mut().enumerate() {
                        *value = byte >> i & 1 == 1;
                    }
                }
            }
            _ => return Err(self.wrong_type("booleans")),
        }
        r.finish()?;
        self.scatter(out);
        Ok(())
    }

    /// Appends the strings, one a row, an empty one at nulls.
    ///
    /// # Errors
    /// As [`EncodedVector::decode_f64`], or bytes that are not UTF-8.
    pub fn decode_strings(&self, dictionary: Option<&Dictionary>, out: &mut Strings) -> Result<()> {
        if self.field_type != FieldType::String {
            return Err(self.wrong_type("strings"));
        }
        let mut r = self.payload.clone();
        match self.encoding {
            Encoding::AllNull => {
                r.finish()?;
                (0..self.rows()).for_each(|_| out.push(""));
            }
            Encoding::Dictionary => {
                let Some(Dictionary::String(entries)) = dictionary else {
                    return Err(self.no_dictionary("of strings"));
                };
                let mut codes = [0; VECTOR_ROWS];
                let codes = &mut codes[..self.count];
                self.read_codes(&mut r, codes, entries.len())?;
                r.finish()?;
                self.push_strings(out, |i| entries.get(code_index(codes[i])))?;
            }
            Encoding::PlainStrings => {
                let mut lens = [0; VECTOR_ROWS];
                let lens = &mut lens[..self.count];
                r.part("lengths of strings", |r| integer::decode(r, lens))?;
                let at = r.position();
                let text = r.take(r.remaining())?;
                let text = std::str::from_utf8(text).map_err(|e| {
                    FormatError::invalid("strings", (at + e.valid_up_to()) as u64, "UTF-8", e)
                })?;
                let mut pieces = [""; VECTOR_ROWS];
                let mut rest = text;
                for (piece, &len) in pieces.iter_mut().zip(&*lens) {
                    let split = usize::try_from(len)
                        .ok()
                        .and_then(|len| rest.split_at_checked(len));
                    let Some((this, next)) = split else {
                        return Err(r.invalid_at(at, "lengths that cut the text", len));
                    };
                    (*piece, rest) = (this, next);
                }
                if !rest.is_empty() {
                    return Err(r.invalid_at(at, "lengths of all of the text", rest.len()));
                }
                self.push_strings(out, |i| pieces[i])?;
            }
            _ => return Err(self.wrong_type("strings")),
        }
        Ok(())
    }

    /// Decodes dictionary codes, for those who work on codes: `None` unless the vector is
    /// dictionary-encoded. What stands at nulls is unspecified but a code of the dictionary.
    ///
    /// # Errors
    /// `out` is not one code a row, or the payload is damaged.
    pub fn decode_codes(&self, dictionary_len: usize, out: &mut [i64]) -> Result<Option<()>> {
        if self.encoding != Encoding::Dictionary {
            return Ok(None);
        }
        self.expect_rows(out.len())?;
        let mut r = self.payload.clone();
        self.read_codes(&mut r, &mut out[..self.count], dictionary_len)?;
        r.finish()?;
        self.scatter(out);
        Ok(Some(()))
    }

    /// Appends the rows to `out`.
    ///
    /// # Errors
    /// As the decoder of the type; `out` is then left as it was but for its capacity.
    pub fn decode(&self, dictionary: Option<&Dictionary>, out: &mut Column) -> Result<()> {
        let (before, rows) = (out.len(), self.rows());
        match &mut out.values {
            Values::F64(values) => {
                values.resize(before + rows, 0.0);
                let decoded = self.decode_f64(dictionary, &mut values[before..]);
                undo_on_error(decoded, || values.truncate(before))?;
            }
            Values::I64(values) if self.field_type == FieldType::I64 => {
                values.resize(before + rows, 0);
                let decoded = self.decode_i64(&mut values[before..]);
                undo_on_error(decoded, || values.truncate(before))?;
            }
            Values::U64(values) if self.field_type == FieldType::U64 => {
                let mut decoded = [0; VECTOR_ROWS];
                self.decode_i64(&mut decoded[..rows])?;
                values.extend(decoded[..rows].iter().map(|v| v.cast_unsigned()));
            }
            Values::Bool(values) => {
                values.resize(before + rows, false);
                let decoded = self.decode_bool(&mut values[before..]);
                undo_on_error(decoded, || values.truncate(before))?;
            }
            Values::String(values) => self.decode_strings(dictionary, values)?,
            other => return Err(self.wrong_type(other.field_type().name())),
        }
        if self.validity.is_full() {
            if let Some(validity) = &mut out.validity {
                validity.extend_with(rows, true);
            }
        } else {
            let validity = out
                .validity
                .get_or_insert_with(|| crate::column::Bitmap::filled(before, true));
            for (i, &word) in self.validity.words().iter().enumerate() {
                validity.push_bits(word, rows.saturating_sub(i * 64).min(64));
            }
        }
        Ok(())
    }

    /// The bytes of the values as they stand, eight each, aligned in the file: `None` unless the
    /// vector is raw and without nulls.
    pub fn raw_bytes(&self) -> Option<&'a [u8]> {
        if self.encoding != Encoding::Raw || !self.validity.is_full() {
            return None;
        }
        let mut r = self.payload.clone();
        r.zero_padding(BLOCK_ALIGN).ok()?;
        r.take(self.count * 8).ok()
    }

    /// What the vector is made of; the place is that in the block.
    ///
    /// # Errors
    /// The parameters of the codec are damaged.
    pub fn describe(&self) -> Result<VectorDescription> {
        let mut r = self.payload.clone();
        let detail = match self.encoding {
            Encoding::Integer | Encoding::Dictionary => {
                Detail::Integer(integer::describe(&mut r, self.count)?)
            }
            Encoding::PlainStrings => {
                let len = r.count(r.remaining())?;
                let base = r.position() as u64;
                let mut lens = Reader::new(r.take(len)?, "lengths of strings");
                let described = integer::describe(&mut lens, self.count);
                Detail::Integer(described.map_err(|e| e.at_base(base))?)
            }
            Encoding::Alp => Detail::Alp(alp::describe(&mut r, self.count)?),
            Encoding::AllNull | Encoding::Raw | Encoding::Constant | Encoding::Bitmap => {
                Detail::None
            }
        };
        let end = self.payload.position() + self.payload.remaining();
        Ok(VectorDescription {
            encoding: self.encoding,
            null_form: self.form,
            rows: self.rows(),
            values: self.validity.values(),
            encoded_len: end - self.start,
            place: self.start as u64..end as u64,
            detail,
        })
    }

    /// Moves dense values to their rows.
    fn scatter<T: Copy + Default>(&self, out: &mut [T]) {
        if self.form != NullForm::Dense || self.validity.is_full() {
            return;
        }
        let mut from = self.count;
        for row in (0..out.len()).rev() {
            if self.validity.get(row) {
                from -= 1;
                out[row] = out[from];
            } else {
                out[row] = T::default();
            }
        }
    }

    fn push_strings<'t>(&self, out: &mut Strings, value: impl Fn(usize) -> &'t str) -> Result<()> {
        // Some of these are at nulls and not pushed: the bound is not a narrow one.
        let text: usize = (0..self.count).map(|i| value(i).len()).sum();
        let most = u32::MAX as usize - out.byte_len();
        if text > most {
            return Err(FormatError::limit("strings of a column", most, text));
        }
        let mut next = 0;
        for row in 0..self.rows() {
            let present = self.validity.get(row);
            out.push(if present { value(next) } else { "" });
            if present || self.form == NullForm::Filled {
                next += 1;
            }
        }
        Ok(())
    }

    fn read_codes(&self, r: &mut Reader<'_>, codes: &mut [i64], entries: usize) -> Result<()> {
        let at = r.position();
        integer::decode(r, codes)?;
        let highest = codes.iter().map(|c| c.cast_unsigned()).max().unwrap_or(0);
        if highest >= entries as u64 {
            return Err(r.invalid_at(
                at,
                format_args!("codes below {entries}, the length of the dictionary"),
                highest,
            ));
        }
        Ok(())
    }

    fn expect_rows(&self, len: usize) -> Result<()> {
        if len == self.rows() {
            return Ok(());
        }
        Err(FormatError::invalid(
            "rows of a vector",
            self.start as u64,
            self.rows(),
            len,
        ))
    }

    fn wrong_type(&self, asked: &str) -> FormatError {
        FormatError::invalid(
            "type of a vector",
            self.start as u64,
            asked,
            self.field_type.name(),
        )
    }

    fn no_dictionary(&self, of: &str) -> FormatError {
        FormatError::invalid(
            "vector of dictionary codes",
            self.start as u64,
            format_args!("a dictionary {of}"),
            "none",
        )
    }
}

/// Codes were checked to lie in the dictionary, which has at most 65,536 entries.
fn code_index(code: i64) -> usize {
    usize::try_from(code).unwrap_or(usize::MAX)
}

fn undo_on_error(result: Result<()>, undo: impl FnOnce()) -> Result<()> {
    if result.is_err() {
        undo();
    }
    result
}

fn read_raw<T>(r: &mut Reader<'_>, out: &mut [T], from: impl Fn([u8; 8]) -> T) -> Result<()> {
    r.zero_padding(BLOCK_ALIGN)?;
    let (bytes, _) = r.take(out.len() * 8)?.as_chunks::<8>();
    for (value, &bytes) in out.iter_mut().zip(bytes) {
        *value = from(bytes);
    }
    Ok(())
}
