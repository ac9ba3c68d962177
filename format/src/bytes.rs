//! Reading and writing little-endian fields, with bounds.

use crate::{FormatError, Result};

/// Reads fields from a slice front to back; every read is checked and an error carries the
/// offset in the slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`; `what` names the thing in errors.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, at: 0, what }
    }

    /// The offset of the next byte to be read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// All bytes that are left, without consuming them.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.bytes.get(self.at..self.at.saturating_add(len)) {
            Some(slice) => {
                self.at += len;
                Ok(slice)
            }
            None => Err(FormatError::truncated(
                self.what,
                self.at as u64,
                len as u64,
                self.remaining() as u64,
            )),
        }
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest().first_chunk::<N>() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(FormatError::truncated(
                self.what,
                self.at as u64,
                N as u64,
                self.remaining() as u64,
            )),
        }
    }

    /// The next byte.
    ///
    /// # Errors
    /// None is left.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// The next little-endian `u16`.
    ///
    /// # Errors
    /// Too few bytes are left.
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// The next little-endian `u32`.
    ///
    /// # Errors
    /// Too few bytes are left.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next little-endian `u64`.
    ///
    /// # Errors
    /// Too few bytes are left.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The next little-endian `i64`.
    ///
    /// # Errors
    /// Too few bytes are left.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// The next `len` bytes as text.
    ///
    /// # Errors
    /// Fewer are left, or they are not UTF-8.
    pub fn text(&mut self, len: usize) -> Result<&'a str> {
        let start = self.at;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes)
            .map_err(|e| self.invalid_at(start + e.valid_up_to(), "UTF-8 text", e))
    }

    /// The next text, preceded by its length as a `u16`.
    ///
    /// # Errors
    /// As [`Reader::text`].
    pub fn short_text(&mut self) -> Result<&'a str> {
        let len = self.u16()?;
        self.text(usize::from(len))
    }

    /// The next variable-length unsigned integer (LEB128: seven bits a byte, lowest first, at
    /// most ten bytes, in its shortest form).
    ///
    /// # Errors
    /// The bytes end, the value exceeds 64 bits, or the form is not the shortest.
    pub fn varint(&mut self) -> Result<u64> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    break;
                }
                return Ok(value);
            }
        }
        Err(FormatError::invalid(
            self.what,
            start as u64,
            "a shortest-form varint of at most 64 bits",
            format_args!("{:02x?}", &self.bytes[start..self.at]),
        ))
    }

    /// The next zigzag-encoded signed variable-length integer.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn signed_varint(&mut self) -> Result<i64> {
        let v = self.varint()?;
        Ok((v >> 1).cast_signed() ^ -((v & 1).cast_signed()))
    }

    /// A varint that counts things of which `limit` are allowed.
    ///
    /// # Errors
    /// As [`Reader::varint`], or the count exceeds `limit`.
    pub fn count(&mut self, limit: usize) -> Result<usize> {
        let start = self.at;
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(count) if count <= limit => Ok(count),
            _ => Err(self.invalid_at(start, format_args!("a count of at most {limit}"), value)),
        }
    }

    /// Skips zero bytes up to the next multiple of `align`, counted from the slice's start.
    ///
    /// # Errors
    /// The bytes end or one of them is not zero.
    pub fn zero_padding(&mut self, align: usize) -> Result<()> {
        let len = self.at.next_multiple_of(align) - self.at;
        self.zeros(len)
    }

    /// Skips `len` bytes that must be zero.
    ///
    /// # Errors
    /// The bytes end or one of them is not zero.
    pub fn zeros(&mut self, len: usize) -> Result<()> {
        let start = self.at;
        let padding = self.take(len)?;
        match padding.iter().position(|&b| b != 0) {
            None => Ok(()),
            Some(i) => Err(FormatError::invalid(
                self.what,
                (start + i) as u64,
                "a zero byte (reserved or padding)",
                padding[i],
            )),
        }
    }

    /// Decodes a part that is preceded by its length as a varint. `decode` must read all of it;
    /// its errors are moved to the part's place in this slice.
    ///
    /// # Errors
    /// The part is longer than what is left, `decode` fails, or leaves bytes unread.
    pub fn part<T>(
        &mut self,
        what: &'static str,
        decode: impl FnOnce(&mut Reader<'a>) -> Result<T>,
    ) -> Result<T> {
        let len = self.count(self.remaining())?;
        let base = self.at as u64;
        let mut inner = Reader::new(self.take(len)?, what);
        decode(&mut inner)
            .and_then(|value| inner.finish().map(|()| value))
            .map_err(|error| error.at_base(base))
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Bytes are left.
    pub fn finish(&self) -> Result<()> {
        if self.remaining() == 0 {
            return Ok(());
        }
        Err(FormatError::invalid(
            self.what,
            self.at as u64,
            "the end",
            format_args!("{} more bytes", self.remaining()),
        ))
    }

    /// An error about a value at the position `at`.
    pub fn invalid_at(
        &self,
        at: usize,
        expected: impl std::fmt::Display,
        actual: impl std::fmt::Display,
    ) -> FormatError {
        FormatError::invalid(self.what, at as u64, expected, actual)
    }
}

/// Appends `value` as a shortest-form LEB128 varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Appends `value` zigzag-encoded as a varint.
pub fn put_signed_varint(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends `text` preceded by its length as a `u16`; `what` names it in the error.
///
/// # Errors
/// [`FormatErrorKind::Limit`](crate::FormatErrorKind::Limit): it is longer than 65,535 bytes.
pub fn put_short_text(out: &mut Vec<u8>, what: &'static str, text: &str) -> Result<()> {
    let len = u16::try_from(text.len())
        .map_err(|_| FormatError::limit(what, format_args!("{} bytes", u16::MAX), text.len()))?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends what `encode` writes, preceded by its length as a varint: a part as
/// [`Reader::part`] reads it. `scratch` is cleared and lends its memory.
pub fn put_part(out: &mut Vec<u8>, scratch: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    scratch.clear();
    encode(scratch);
    put_varint(out, scratch.len() as u64);
    out.extend_from_slice(scratch);
}

/// How many bytes [`put_varint`] writes for `value`.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends zero bytes until the length is a multiple of `align`.
pub fn pad_to(out: &mut Vec<u8>, align: usize) {
    out.resize(out.len().next_multiple_of(align), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value));
            let mut r = Reader::new(&out, "test");
            assert_eq!(r.varint().unwrap(), value);
            r.finish().unwrap();
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_signed_varint(&mut out, value);
            assert_eq!(Reader::new(&out, "test").signed_varint().unwrap(), value);
        }
    }

    #[test]
    fn varints_that_are_too_long_or_padded_are_refused() {
        for bytes in [
            &[0x80][..],
            &[0x80, 0x00],
            &[0xff; 11],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ] {
            assert!(Reader::new(bytes, "test").varint().is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn texts_round_trip_and_must_be_utf8() {
        let mut out = Vec::new();
        put_short_text(&mut out, "test", "zwölf").unwrap();
        assert_eq!(Reader::new(&out, "test").short_text().unwrap(), "zwölf");
        let error = Reader::new(&[3, 0, b'a', 0xff, b'b'], "test").short_text();
        assert_eq!(error.unwrap_err().offset, 3);
        assert!(Reader::new(&[2, 0, b'a'], "test").short_text().is_err());
        assert!(put_short_text(&mut out, "test", &"x".repeat(65_536)).is_err());
    }

    #[test]
    fn padding_must_be_zero() {
        let mut r = Reader::new(&[1, 0, 0, 0, 1, 0, 2, 0], "test");
        r.u8().unwrap();
        r.zero_padding(4).unwrap();
        r.u8().unwrap();
        let error = r.zero_padding(4).unwrap_err();
        assert_eq!(error.offset, 6);
    }
}
