//! Some rows of a vector of strings: long ones are not all held at once.

use std::ops::Range;

use super::{EncodedVector, Encoding, NullForm, code_index};
use crate::codec::dictionary::Dictionary;
use crate::codec::integer;
use crate::column::{Bitmap, Column, Strings, Values};
use crate::version::VECTOR_ROWS;
use crate::{FieldType, FormatError, Result};

/// The strings of a payload, by their number in it.
enum Payload<'a> {
    Nothing,
    Plain {
        text: &'a [u8],
        /// Offset of the text in the block.
        at: usize,
        ends: [usize; VECTOR_ROWS],
    },
    Coded {
        entries: &'a Strings,
        codes: [i64; VECTOR_ROWS],
    },
}

impl EncodedVector<'_> {
    /// Bytes of the strings of all rows. Strings at nulls may count.
    ///
    /// # Errors
    /// As [`EncodedVector::decode_strings`].
    pub fn text_len(&self, dictionary: Option<&Dictionary>) -> Result<usize> {
        Ok(match self.strings(dictionary)? {
            Payload::Nothing => 0,
            Payload::Plain { text, .. } => text.len(),
            Payload::Coded { entries, codes } => {
                let codes = codes[..self.count].iter();
                codes.map(|&c| entries.get(code_index(c)).len()).sum()
            }
        })
    }

    /// The end of those of the rows `rows` whose strings take at most `text` bytes, from the first of
    /// them on; at least that one.
    ///
    /// # Errors
    /// As [`EncodedVector::decode_strings`], or there are no such rows.
    pub fn string_rows_within(
        &self,
        rows: Range<usize>,
        text: usize,
        dictionary: Option<&Dictionary>,
    ) -> Result<usize> {
        self.check_rows(&rows)?;
        let payload = self.strings(dictionary)?;
        let mut next = (0..rows.start).filter(|&row| self.is_written(row)).count();
        let mut taken = 0;
        for row in rows.clone() {
            if self.validity.get(row) {
                taken += payload.bytes(next).len();
            }
            if taken > text && row > rows.start {
                return Ok(row);
            }
            next += usize::from(self.is_written(row));
        }
        Ok(rows.end)
    }

    /// Appends the rows `rows`, strings; of the others nothing is copied, nor looked at more closely than
    /// is needed to find these.
    ///
    /// # Errors
    /// As [`EncodedVector::decode_strings`], or there are no such rows. `out` is then left as it was but
    /// for its capacity.
    pub fn decode_string_rows(
        &self,
        rows: Range<usize>,
        dictionary: Option<&Dictionary>,
        out: &mut Column,
    ) -> Result<()> {
        let Values::String(strings) = &mut out.values else {
            return Err(self.wrong_type(out.values.field_type().name()));
        };
        self.check_rows(&rows)?;
        let payload = self.strings(dictionary)?;
        let before = strings.len();
        let pushed = self.push_rows(rows.clone(), &payload, strings);
        super::undo_on_error(pushed, || strings.truncate(before))?;
        if self.validity.is_full() {
            if let Some(validity) = &mut out.validity {
                validity.extend_with(rows.len(), true);
            }
        } else {
            let full = || Bitmap::filled(before, true);
            let validity = out.validity.get_or_insert_with(full);
            rows.for_each(|row| validity.push(self.validity.get(row)));
        }
        Ok(())
    }

    fn check_rows(&self, rows: &Range<usize>) -> Result<()> {
        if rows.start <= rows.end && rows.end <= self.rows() {
            return Ok(());
        }
        let (what, at) = ("rows of a vector", self.start as u64);
        let expected = format_args!("at most {}", self.rows());
        Err(FormatError::invalid(what, at, expected, rows.end))
    }

    /// Whether the payload has a value for a row, null or not.
    fn is_written(&self, row: usize) -> bool {
        self.form == NullForm::Filled || self.validity.get(row)
    }

    fn push_rows(
        &self,
        rows: Range<usize>,
        payload: &Payload<'_>,
        out: &mut Strings,
    ) -> Result<()> {
        let mut next = (0..rows.start).filter(|&row| self.is_written(row)).count();
        for row in rows {
            let text = match self.validity.get(row) {
                true => payload.get(next)?,
                false => "",
            };
            let most = u32::MAX as usize - out.byte_len();
            if text.len() > most {
                return Err(FormatError::limit("strings of a column", most, text.len()));
            }
            out.push(text);
            next += usize::from(self.is_written(row));
        }
        Ok(())
    }

    /// Finds the strings.
    fn strings<'a>(&'a self, dictionary: Option<&'a Dictionary>) -> Result<Payload<'a>> {
        if self.field_type != FieldType::String {
            return Err(self.wrong_type("strings"));
        }
        let mut r = self.payload.clone();
        match self.encoding {
            Encoding::AllNull => {
                r.finish()?;
                Ok(Payload::Nothing)
            }
            Encoding::Dictionary => {
                let Some(Dictionary::String(entries)) = dictionary else {
                    return Err(self.no_dictionary("of strings"));
                };
                let mut codes = [0; VECTOR_ROWS];
                self.read_codes(&mut r, &mut codes[..self.count], entries.len())?;
                r.finish()?;
                Ok(Payload::Coded { entries, codes })
            }
            Encoding::PlainStrings => {
                let mut lens = [0; VECTOR_ROWS];
                let lens = &mut lens[..self.count];
                r.part("lengths of strings", |r| integer::decode(r, lens))?;
                let at = r.position();
                let text = r.take(r.remaining())?;
                let mut ends = [0; VECTOR_ROWS];
                let mut end = 0_usize;
                for (place, &len) in ends.iter_mut().zip(&*lens) {
                    let after = usize::try_from(len).ok();
                    let after = after.and_then(|len| end.checked_add(len));
                    let Some(after) = after.filter(|&after| after <= text.len()) else {
                        return Err(r.invalid_at(at, "lengths that cut the text", len));
                    };
                    (*place, end) = (after, after);
                }
                if end != text.len() {
                    let rest = text.len() - end;
                    return Err(r.invalid_at(at, "lengths of all of the text", rest));
                }
                Ok(Payload::Plain { text, at, ends })
            }
            _ => Err(self.wrong_type("strings")),
        }
    }
}

impl Payload<'_> {
    fn get(&self, i: usize) -> Result<&str> {
        match self {
            Self::Nothing => Ok(""),
            Self::Coded { entries, codes } => Ok(entries.get(code_index(codes[i]))),
            Self::Plain { at, ends, .. } => std::str::from_utf8(self.bytes(i)).map_err(|e| {
                let at = at + start_of(ends, i) + e.valid_up_to();
                FormatError::invalid("strings", at as u64, "UTF-8", e)
            }),
        }
    }

    fn bytes(&self, i: usize) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Coded { entries, codes } => entries.get(code_index(codes[i])).as_bytes(),
            Self::Plain { text, ends, .. } => &text[start_of(ends, i)..ends[i]],
        }
    }
}

/// Where string `i` starts in the text.
fn start_of(ends: &[usize], i: usize) -> usize {
    if i == 0 { 0 } else { ends[i - 1] }
}
