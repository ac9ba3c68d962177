//! Packing numbers of `w` bits.
//!
//! A full vector of 1,024 numbers is packed in the interleaved order of FastLanes, so that one
//! instruction unpacks as many lanes as a register holds and the result comes out in order. Fewer
//! numbers are packed one after another.
//!
//! The kernels are monomorphised by width; their inner loop runs over the 16 lanes of a row, which
//! the compiler turns into vector code at any instruction set.

use crate::codec::simd::{Kernel, Level};
use crate::version::VECTOR_ROWS;
use crate::{FormatError, Result};

#[cfg(test)]
mod tests;

const WHAT: &str = "packed numbers";

/// Lanes of the interleaved order.
const LANES: usize = 16;
/// Numbers in a lane.
const ROWS: usize = VECTOR_ROWS / LANES;
/// Bytes of one word of every lane.
const STRIPE: usize = LANES * 8;

/// How many bytes `n` numbers of `width` bits take.
pub const fn packed_len(n: usize, width: u8) -> usize {
    (n * width as usize).div_ceil(8)
}

/// Appends `values`, at most 1,024, packed to `width` bits each.
///
/// Bits of a value above the width are dropped; whoever chose the width keeps such values apart.
///
/// # Panics
/// There are more than 1,024 values, or the width exceeds 64.
pub fn pack(values: &[u64], width: u8, out: &mut Vec<u8>) {
    assert!(
        values.len() <= VECTOR_ROWS && width <= 64,
        "{} numbers of {width} bits",
        values.len()
    );
    if width == 0 {
        return;
    }
    out.reserve(packed_len(values.len(), width));
    match values.first_chunk::<VECTOR_ROWS>() {
        Some(vector) => {
            let start = out.len();
            out.resize(start + STRIPE * usize::from(width), 0);
            Level::best().run(Pack {
                values: vector,
                width: usize::from(width),
                stripes: out[start..].as_chunks_mut().0,
            });
        }
        None => pack_sequential(values, usize::from(width), out),
    }
}

/// Fills `out`, at most 1,024 numbers, from `bytes`, which hold exactly these.
///
/// # Errors
/// The width exceeds 64, there are more than 1,024 numbers, the number of bytes is wrong, or a
/// bit behind the last number is set.
pub fn unpack(bytes: &[u8], width: u8, out: &mut [u64]) -> Result<()> {
    unpack_add(bytes, width, 0, out)
}

/// As [`unpack`], with `add` added to every number (wrapping).
pub(super) fn unpack_add(bytes: &[u8], width: u8, add: u64, out: &mut [u64]) -> Result<()> {
    if width > 64 {
        return Err(FormatError::invalid(
            WHAT,
            0,
            "a width of at most 64",
            width,
        ));
    }
    if out.len() > VECTOR_ROWS {
        return Err(FormatError::limit(WHAT, VECTOR_ROWS, out.len()));
    }
    let len = packed_len(out.len(), width);
    if bytes.len() != len {
        return Err(FormatError::truncated(
            WHAT,
            0,
            len as u64,
            bytes.len() as u64,
        ));
    }
    if width == 0 {
        out.fill(add);
        return Ok(());
    }
    match out.first_chunk_mut::<VECTOR_ROWS>() {
        Some(vector) => {
            unpack_interleaved(Level::best(), bytes.as_chunks().0, width, add, vector);
            Ok(())
        }
        None => unpack_sequential(bytes, usize::from(width), add, out),
    }
}

/// The index of the number that row `row` of lane 0 holds; the other lanes follow it.
const fn first_of_row(row: usize) -> usize {
    const ORDER: [usize; 8] = [0, 4, 2, 6, 1, 5, 3, 7];
    ORDER[row / 8] * 16 + row % 8 * 128
}

const fn mask(width: usize) -> u64 {
    if width == 0 {
        0
    } else {
        u64::MAX >> (64 - width)
    }
}

/// One width of [`unpack_interleaved`]; `packed` holds at least `W` stripes.
struct Unpack<'a, const W: usize> {
    packed: &'a [[u8; STRIPE]],
    add: u64,
    out: &'a mut [u64; VECTOR_ROWS],
}

impl<const W: usize> Kernel for Unpack<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: usize) {
        let Self { packed, add, out } = self;
        let Some(stripes) = packed.first_chunk::<W>() else {
            return;
        };
        macro_rules! rows {
            ($($row:literal)*) => {
                $(unpack_row::<W, $row>(stripes, add, out);)*
            };
        }
        rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61
            62 63);
    }
}

/// One row of all lanes: everything about its place is known to the compiler.
#[inline(always)]
fn unpack_row<const W: usize, const ROW: usize>(
    stripes: &[[u8; STRIPE]; W],
    add: u64,
    out: &mut [u64; VECTOR_ROWS],
) {
    let (k, shift) = (ROW * W / 64, ROW * W % 64);
    let Some(slots) = out[const { first_of_row(ROW) }..].first_chunk_mut::<LANES>() else {
        return;
    };
    let low = stripes[k].as_chunks::<8>().0;
    if shift + W > 64 {
        let high = stripes[k + 1].as_chunks::<8>().0;
        for lane in 0..LANES {
            let low = u64::from_le_bytes(low[lane]) >> shift;
            let high = u64::from_le_bytes(high[lane]) << (64 - shift);
            slots[lane] = ((low | high) & mask(W)).wrapping_add(add);
        }
    } else {
        for lane in 0..LANES {
            let low = u64::from_le_bytes(low[lane]) >> shift;
            slots[lane] = (low & mask(W)).wrapping_add(add);
        }
    }
}

fn unpack_interleaved(
    level: Level,
    packed: &[[u8; STRIPE]],
    width: u8,
    add: u64,
    out: &mut [u64; VECTOR_ROWS],
) {
    macro_rules! dispatch {
        ($($width:literal)*) => {
            match width {
                $($width => level.run(Unpack::<$width> { packed, add, out }),)*
                _ => {}
            }
        };
    }
    dispatch!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
        32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61
        62 63 64);
}

/// Packs a vector into stripes, as many as the width. It is one loop for all widths and not one each, as unpacking
/// is: that would take the compiler minutes and gain little.
struct Pack<'a> {
    values: &'a [u64; VECTOR_ROWS],
    width: usize,
    stripes: &'a mut [[u8; STRIPE]],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: usize) {
        let Self {
            values,
            width,
            stripes,
        } = self;
        let mask = mask(width);
        let mut stripes = stripes.iter_mut();
        let mut words = [0u64; LANES];
        let mut used = 0;
        for row in 0..ROWS {
            let Some(numbers) = values[first_of_row(row)..].first_chunk::<LANES>() else {
                return;
            };
            for lane in 0..LANES {
                words[lane] |= (numbers[lane] & mask) << used;
            }
            used += width;
            if used < 64 {
                continue;
            }
            if let Some(stripe) = stripes.next() {
                let slots = stripe.as_chunks_mut::<8>().0;
                for lane in 0..LANES {
                    slots[lane] = words[lane].to_le_bytes();
                }
            }
            used -= 64;
            // What did not fit opens the next stripe. At a width of 64 nothing is left; the shift is
            // split in two because 64 at once is not allowed.
            let kept = width - used;
            for lane in 0..LANES {
                words[lane] = (numbers[lane] & mask) >> (kept - 1) >> 1;
            }
        }
    }
}

fn pack_sequential(values: &[u64], width: usize, out: &mut Vec<u8>) {
    let mask = mask(width);
    let mut word = 0u64;
    let mut used = 0;
    for value in values {
        let value = value & mask;
        word |= value << used;
        used += width;
        if used >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            used -= 64;
            word = value >> (width - used - 1) >> 1;
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8)]);
}

/// `bytes` has the length that `out` and the width ask for.
fn unpack_sequential(bytes: &[u8], width: usize, add: u64, out: &mut [u64]) -> Result<()> {
    // Every number lies within nine bytes: those whose nine bytes are there are read in place,
    // the few at the end from a copy with zeros behind it.
    let mask = mask(width);
    let number = |window: &[u8; 9], shift: usize| {
        let [low @ .., high] = *window;
        let low = u64::from_le_bytes(low) >> shift;
        let high = u64::from(high) << (63 - shift) << 1;
        ((low | high) & mask).wrapping_add(add)
    };
    let mut bit = 0;
    let mut at = 0;
    for slot in out.iter_mut() {
        let Some(window) = bytes[bit / 8..].first_chunk::<9>() else {
            break;
        };
        *slot = number(window, bit % 8);
        bit += width;
        at += 1;
    }
    let start = bytes.len().saturating_sub(16).min(bit / 8);
    let mut end = [0u8; 32];
    end[..bytes.len() - start].copy_from_slice(&bytes[start..]);
    for slot in &mut out[at..] {
        if let Some(window) = end[bit / 8 - start..].first_chunk::<9>() {
            *slot = number(window, bit % 8);
        }
        bit += width;
    }
    let behind = bytes.len() * 8 - bit;
    match bytes.last() {
        Some(&last) if u32::from(last) >> (8 - behind) != 0 => Err(FormatError::invalid(
            WHAT,
            bytes.len() as u64 - 1,
            "zero bits behind the last number",
            format_args!("{last:#04x}"),
        )),
        _ => Ok(()),
    }
}
