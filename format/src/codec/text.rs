//! Bytes of text, compressed with zstd where that makes them fewer.
//!
//! | size | what |
//! |---|---|
//! | 1 | form: 1 zstd, 2 not compressed |
//! | | varint plain length |
//! | | form 1: varint stored length |
//! | | the bytes |

use std::borrow::Cow;

use crate::Result;
use crate::bytes::{Reader, put_varint};
use crate::version::MAX_TEXT_RATIO;

const ZSTD: u8 = 1;
const PLAIN: u8 = 2;
const LEVEL: i32 = 3;
/// Shorter texts are not worth a frame.
const WORTH: usize = 64;

/// Appends `text`.
pub(crate) fn put(text: &[u8], out: &mut Vec<u8>) {
    if text.len() >= WORTH
        && let Ok(packed) = zstd::bulk::compress(text, LEVEL)
        && packed.len() < text.len()
    {
        out.push(ZSTD);
        put_varint(out, text.len() as u64);
        put_varint(out, packed.len() as u64);
        out.extend_from_slice(&packed);
    } else {
        out.push(PLAIN);
        put_varint(out, text.len() as u64);
        out.extend_from_slice(text);
    }
}

/// A text whose bytes were read but not yet decompressed.
#[derive(Debug, Clone)]
pub(crate) struct Packed<'a> {
    zstd: bool,
    plain_len: usize,
    stored: &'a [u8],
    /// Offset of the form byte in the slice that was read.
    at: usize,
}

/// Reads a text of at most `limit` bytes.
///
/// # Errors
/// The bytes end, the form is unknown, or the text is longer than `limit` or than what the stored
/// bytes could yield.
pub(crate) fn read<'a>(r: &mut Reader<'a>, limit: usize) -> Result<Packed<'a>> {
    let at = r.position();
    let form = r.u8()?;
    let plain_len = r.count(limit)?;
    match form {
        ZSTD => {
            let stored_len = r.count(r.remaining())?;
            let stored = r.take(stored_len)?;
            if plain_len > stored_len.saturating_mul(MAX_TEXT_RATIO) {
                return Err(r.invalid_at(
                    at,
                    format_args!("a text that {stored_len} bytes can yield"),
                    format_args!("{plain_len} bytes"),
                ));
            }
            Ok(Packed {
                zstd: true,
                plain_len,
                stored,
                at,
            })
        }
        PLAIN => Ok(Packed {
            zstd: false,
            plain_len,
            stored: r.take(plain_len)?,
            at,
        }),
        _ => Err(r.invalid_at(at, "form of a text, 1 or 2", form)),
    }
}

impl<'a> Packed<'a> {
    /// Length of the text.
    pub(crate) fn plain_len(&self) -> usize {
        self.plain_len
    }

    /// The text.
    ///
    /// # Errors
    /// The frame does not decompress to the plain length.
    pub(crate) fn bytes(&self) -> Result<Cow<'a, [u8]>> {
        if !self.zstd {
            return Ok(Cow::Borrowed(self.stored));
        }
        let refused = |actual: String| {
            crate::FormatError::invalid(
                "compressed text",
                self.at as u64,
                format_args!("a zstd frame of {} bytes", self.plain_len),
                actual,
            )
        };
        let text = zstd::bulk::decompress(self.stored, self.plain_len)
            .map_err(|error| refused(error.to_string()))?;
        if text.len() != self.plain_len {
            return Err(refused(format!("{} bytes", text.len())));
        }
        Ok(Cow::Owned(text))
    }

    /// The stored bytes, copied, for a text that is decompressed later.
    pub(crate) fn to_stored(&self) -> Stored {
        Stored {
            zstd: self.zstd,
            plain_len: self.plain_len,
            bytes: self.stored.into(),
            at: self.at,
        }
    }
}

/// A text kept as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    zstd: bool,
    plain_len: usize,
    bytes: Box<[u8]>,
    at: usize,
}

impl Stored {
    /// Bytes of the stored text, and of the plain one that can be made of it.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len() + self.plain_len
    }

    /// As [`Packed::bytes`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        Packed {
            zstd: self.zstd,
            plain_len: self.plain_len,
            stored: &self.bytes,
            at: self.at,
        }
        .bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for text in [String::new(), "abc".into(), "abc".repeat(100_000)] {
            let mut out = Vec::new();
            put(text.as_bytes(), &mut out);
            assert!(out.len() < 100);
            let mut r = Reader::new(&out, "test");
            let packed = read(&mut r, 1 << 20).unwrap();
            r.finish().unwrap();
            assert_eq!(&*packed.bytes().unwrap(), text.as_bytes());
            assert_eq!(&*packed.to_stored().bytes().unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn a_text_longer_than_its_bytes_could_yield_is_refused() {
        let mut out = vec![ZSTD];
        put_varint(&mut out, 1 << 20);
        put_varint(&mut out, 3);
        out.extend_from_slice(&[1, 2, 3]);
        assert!(read(&mut Reader::new(&out, "test"), 1 << 24).is_err());
        assert!(read(&mut Reader::new(&out, "test"), 1 << 10).is_err());
    }

    #[test]
    fn a_wrong_plain_length_is_refused() {
        let packed = zstd::bulk::compress(&[7; 1000], LEVEL).unwrap();
        for plain in [999u64, 1001] {
            let mut out = vec![ZSTD];
            put_varint(&mut out, plain);
            put_varint(&mut out, packed.len() as u64);
            out.extend_from_slice(&packed);
            let mut r = Reader::new(&out, "test");
            assert!(read(&mut r, 1 << 20).unwrap().bytes().is_err(), "{plain}");
        }
    }
}
