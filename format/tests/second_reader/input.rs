//! The notation of the format document: fields that follow one another.

use std::collections::BTreeSet;

/// What is read, or what the document says and the bytes are not.
pub type Result<T> = std::result::Result<T, String>;

pub type Uuid = [u8; 16];

/// The ids, forms and flags that were met, by what they are an id of.
pub type Seen = BTreeSet<(&'static str, u64)>;

/// Fails unless `holds`.
pub fn must(holds: bool, what: impl std::fmt::Display) -> Result<()> {
    if holds { Ok(()) } else { Err(what.to_string()) }
}

/// Bytes that are read front to back.
#[derive(Clone)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn len(&self) -> usize {
        self.rest.len()
    }

    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| {
            let left = self.rest.len();
            format!("{len} bytes, but {left} are left")
        })?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn uuid(&mut self) -> Result<Uuid> {
        self.array()
    }

    /// Seven bits a byte, lowest first, shortest form only, at most 64 bits.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0u128;
        for place in 0.. {
            let byte = self.u8()?;
            value |= u128::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                must(place == 0 || byte != 0, "the shortest form of a varint")?;
                break;
            }
            must(place < 9, "a varint of at most ten bytes")?;
        }
        u64::try_from(value).map_err(|_| "a varint of at most 64 bits".to_owned())
    }

    /// A varint that counts bytes or things in memory.
    pub fn count(&mut self) -> Result<usize> {
        usize::try_from(self.varint()?).map_err(|e| e.to_string())
    }

    pub fn svarint(&mut self) -> Result<i64> {
        let zigzag = self.varint()?;
        let half = (zigzag >> 1).cast_signed();
        Ok(if zigzag & 1 == 0 { half } else { !half })
    }

    pub fn text(&mut self, len: usize) -> Result<String> {
        text(self.bytes(len)?)
    }

    pub fn short_text(&mut self) -> Result<String> {
        let len = self.u16()?;
        self.text(len.into())
    }

    pub fn part(&mut self) -> Result<Input<'a>> {
        let len = self.count()?;
        self.bytes(len).map(Input::new)
    }

    pub fn zeros(&mut self, len: usize) -> Result<()> {
        zeros(self.bytes(len)?)
    }

    pub fn end(&self) -> Result<()> {
        let left = self.len();
        must(left == 0, format_args!("the end, not {left} more bytes"))
    }
}

pub fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string())
}

pub fn zeros(bytes: &[u8]) -> Result<()> {
    must(bytes.iter().all(|&b| b == 0), "zeros")
}

/// A bitmap of `len` bits, lowest bit of each byte first.
pub fn bits(input: &mut Input<'_>, len: usize) -> Result<Vec<bool>> {
    let bytes = input.bytes(len.div_ceil(8))?;
    let bit = |i: usize| bytes[i / 8] >> (i % 8) & 1 == 1;
    must(
        !(len..bytes.len() * 8).any(bit),
        "zeros behind the bits of a bitmap",
    )?;
    Ok((0..len).map(bit).collect())
}

/// How many bytes are missing from `len` to the next multiple of `align`.
pub fn padding(len: usize, align: usize) -> usize {
    len.next_multiple_of(align) - len
}
