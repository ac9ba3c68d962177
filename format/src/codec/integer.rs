//! Integer streams: raw, constant, frame of reference, delta, each of the last two with a scale
//! and patches; and run lengths and dictionaries, made of streams of those plain forms.
//!
//! [`encode`] takes the shortest stream of the forms that it tries; it knows each one's length before anything is
//! written. Runs of four values and more on average are tried, and up to 128 distinct values: they take
//! longer to decode than packed numbers, and are to save an eighth. [`encode_next`] tries what the vector before
//! it took. `u64` values go through by their bits.

mod distinct;
mod plan;
mod runs;
#[cfg(test)]
mod tests;

use super::bits;
use super::simd::{Kernel, Level};
use crate::bytes::Reader;
use crate::tags::on_disk;
use crate::version::VECTOR_ROWS;
use crate::{FormatError, Result};

pub use plan::Trend;
pub(super) use plan::{Plan, sample_position};

const WHAT: &str = "integer stream";

/// Bit 7 of the width byte: a scale follows.
const SCALED: u8 = 0x80;

on_disk! {
    /// How a stream holds its values; the number is what stands in the file.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Form {
        /// Eight bytes a value.
        Raw = 1,
        /// One value for all.
        Constant = 2,
        /// `base + scale * q`.
        FrameOfReference = 3,
        /// `previous + reference + scale * q`.
        Delta = 4,
        /// Each run of equal values once, and its length.
        RunLength = 5,
        /// Each distinct value once, and a code for every value.
        Dictionary = 6,
    }
}

/// What a stream is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// How the values are held.
    pub form: Form,
    /// Bits of a packed number: 64 for raw, 0 for constant and the forms made of streams.
    pub width: u8,
    /// What packed numbers are multiplied with; 1 without a scale.
    pub scale: u64,
    /// The constant, the frame's reference, the first value of a delta; 0 otherwise.
    pub base: i64,
    /// The reference of the differences of a delta; 0 otherwise.
    pub reference: i64,
    /// Numbers stored apart because they exceed the width.
    pub patches: usize,
    /// Runs of run lengths, entries of a dictionary; 0 otherwise.
    pub parts: usize,
    /// Length of the stream in bytes.
    pub encoded_len: usize,
}

/// Appends the shortest stream of the forms that are tried for `values`, 1 to 1,024 of them.
///
/// # Panics
/// There are no values or more than 1,024.
pub fn encode(values: &[i64], out: &mut Vec<u8>) {
    Plan::of(values).write(values, out);
}

/// As [`encode`], for one vector of a column after another: while what suited those before suits these `values` as
/// well, no other form is tried, which takes a fraction of the time.
///
/// # Panics
/// As [`encode`].
pub fn encode_next(values: &[i64], trend: &mut Trend, out: &mut Vec<u8>) {
    Plan::following(values, trend).write(values, out);
}

/// Fills `out`, 1 to 1,024 values, from the stream that starts at the reader's position.
///
/// # Errors
/// The bytes are no stream of that many values. What `out` holds then means nothing.
pub fn decode(reader: &mut Reader<'_>, out: &mut [i64]) -> Result<()> {
    check_count(out.len())?;
    match Stream::tag(reader)? {
        Form::RunLength => runs::decode(reader, out).map(drop),
        Form::Dictionary => distinct::decode(reader, out).map(drop),
        form => Stream::of(form, reader, out.len())?.decode(out),
    }
}

/// What the stream of `n` values at the reader's position is made of; the reader stands behind it
/// afterwards. The packed numbers are not looked at.
///
/// # Errors
/// The bytes are no such stream.
pub fn describe(reader: &mut Reader<'_>, n: usize) -> Result<Description> {
    check_count(n)?;
    let start = reader.position();
    let form = Stream::tag(reader)?;
    let mut description = match form {
        Form::RunLength => Description::of_parts(form, runs::skip(reader, n)?),
        Form::Dictionary => Description::of_parts(form, distinct::skip(reader, n)?),
        form => {
            let stream = Stream::of(form, reader, n)?;
            Description {
                form,
                width: stream.width,
                scale: stream.scale,
                base: stream.base,
                reference: stream.reference,
                patches: stream.positions.len(),
                parts: 0,
                encoded_len: 0,
            }
        }
    };
    description.encoded_len = reader.position() - start;
    Ok(description)
}

fn check_count(n: usize) -> Result<()> {
    match (1..=VECTOR_ROWS).contains(&n) {
        true => Ok(()),
        false => Err(FormatError::limit(WHAT, VECTOR_ROWS, n)),
    }
}

impl Description {
    /// Of a form made of streams.
    fn of_parts(form: Form, parts: usize) -> Self {
        Self {
            form,
            width: 0,
            scale: 1,
            base: 0,
            reference: 0,
            patches: 0,
            parts,
            encoded_len: 0,
        }
    }
}

/// The parts of a stream of a plain form, lengths and positions checked.
struct Stream<'a> {
    form: Form,
    width: u8,
    scale: u64,
    base: i64,
    reference: i64,
    /// Offset of the packed numbers, for errors.
    packed_at: usize,
    packed: &'a [u8],
    /// Ascending and below the number of values.
    positions: &'a [[u8; 2]],
    patch_len: usize,
    patches: &'a [u8],
}

impl<'a> Stream<'a> {
    /// Reads the form of a stream.
    fn tag(reader: &mut Reader<'a>) -> Result<Form> {
        let start = reader.position();
        let tag = reader.u8()?;
        let form = Form::ALL.into_iter().find(|form| form.tag() == tag);
        form.ok_or_else(|| reader.invalid_at(start, "a form from 1 to 6", tag))
    }

    /// Reads a stream of a plain form.
    fn plain(reader: &mut Reader<'a>, n: usize) -> Result<Self> {
        let form = Self::tag(reader)?;
        Self::of(form, reader, n)
    }

    /// Reads what follows the form, a plain one, of a stream of 1 to 1,024 values.
    fn of(form: Form, reader: &mut Reader<'a>, n: usize) -> Result<Self> {
        let mut stream = Self {
            form,
            width: 64,
            scale: 1,
            base: 0,
            reference: 0,
            packed_at: reader.position(),
            packed: &[],
            positions: &[],
            patch_len: 0,
            patches: &[],
        };
        match form {
            Form::Raw => stream.packed = reader.take(n * 8)?,
            Form::Constant => {
                stream.width = 0;
                stream.base = reader.signed_varint()?;
            }
            Form::FrameOfReference | Form::Delta => stream.read_packed(reader, n)?,
            Form::RunLength | Form::Dictionary => {
                let at = reader.position() - 1;
                return Err(reader.invalid_at(at, "a form from 1 to 4 within another", form.tag()));
            }
        }
        Ok(stream)
    }

    /// Fills `out`, as many values as the stream was read for.
    fn decode(&self, out: &mut [i64]) -> Result<()> {
        match self.form {
            Form::Constant => out.fill(self.base),
            Form::FrameOfReference => self.decode_frame(out)?,
            Form::Delta if self.is_progression() => {
                progression(self.base, self.reference, out);
            }
            Form::Delta => {
                self.decode_frame(out)?;
                // Of the first value, whose number is 0, the reference is left.
                if out.first() != Some(&self.reference) {
                    return Err(FormatError::invalid(
                        WHAT,
                        self.packed_at as u64,
                        "0 as the packed number of a delta's first value",
                        "another one",
                    ));
                }
                let before = self.base.wrapping_sub(self.reference);
                Level::best().run(PrefixSum {
                    numbers: bytemuck::cast_slice_mut(out),
                    before: before.cast_unsigned(),
                });
            }
            Form::Raw | Form::RunLength | Form::Dictionary => {
                for (slot, bytes) in out.iter_mut().zip(self.packed.as_chunks().0) {
                    *slot = i64::from_le_bytes(*bytes);
                }
            }
        }
        Ok(())
    }

    fn read_packed(&mut self, reader: &mut Reader<'a>, n: usize) -> Result<()> {
        let at = reader.position();
        let flagged = reader.u8()?;
        self.width = flagged & !SCALED;
        if self.width > 64 {
            return Err(reader.invalid_at(at, "a width of at most 64", self.width));
        }
        self.base = reader.signed_varint()?;
        if self.form == Form::Delta {
            self.reference = reader.signed_varint()?;
        }
        if flagged & SCALED != 0 {
            let at = reader.position();
            self.scale = reader.varint()?;
            if self.scale < 2 {
                return Err(reader.invalid_at(at, "a scale of at least 2", self.scale));
            }
        }
        let count = reader.count(n)?;
        if count > 0 {
            let at = reader.position();
            self.patch_len = usize::from(reader.u8()?);
            if !(1..=8).contains(&self.patch_len) {
                return Err(reader.invalid_at(at, "1 to 8 bytes a patch", self.patch_len));
            }
        }
        self.packed_at = reader.position();
        self.packed = reader.take(bits::packed_len(n, self.width))?;
        let first = usize::from(self.form == Form::Delta);
        self.positions = positions(reader, count, first..n)?;
        self.patches = reader.take(count * self.patch_len)?;
        Ok(())
    }

    /// Whether all differences of a delta are its reference, as of timestamps at a constant stride.
    fn is_progression(&self) -> bool {
        self.width == 0 && self.positions.is_empty()
    }

    /// The differences of a delta, or the values of a frame.
    fn decode_frame(&self, out: &mut [i64]) -> Result<()> {
        let offset = match self.form {
            Form::Delta => self.reference,
            _ => self.base,
        };
        let numbers = bytemuck::cast_slice_mut(out);
        let add = match self.scale {
            1 => offset.cast_unsigned(),
            _ => 0,
        };
        bits::unpack_add(self.packed, self.width, add, numbers)
            .map_err(|e| e.at_base(self.packed_at as u64))?;
        if self.scale != 1 {
            Level::best().run(Scale {
                numbers,
                scale: self.scale,
                offset: offset.cast_unsigned(),
            });
        }
        macro_rules! patch {
            ($($len:literal)*) => {
                match self.patch_len {
                    $($len => self.patch::<$len>(offset, out),)*
                    _ => {}
                }
            };
        }
        patch!(1 2 3 4 5 6 7 8);
        Ok(())
    }

    /// Puts patches of `LEN` bytes in their places.
    fn patch<const LEN: usize>(&self, offset: i64, out: &mut [i64]) {
        let patches = self.patches.as_chunks::<LEN>().0;
        for (position, patch) in self.positions.iter().zip(patches) {
            let mut number = [0u8; 8];
            number[..LEN].copy_from_slice(patch);
            let scaled = u64::from_le_bytes(number).wrapping_mul(self.scale);
            if let Some(slot) = out.get_mut(usize::from(u16::from_le_bytes(*position))) {
                *slot = offset.wrapping_add_unsigned(scaled);
            }
        }
    }
}

/// `number * scale + offset` for each number, wrapping.
struct Scale<'a> {
    numbers: &'a mut [u64],
    scale: u64,
    offset: u64,
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: usize) {
        for number in self.numbers {
            *number = number.wrapping_mul(self.scale).wrapping_add(self.offset);
        }
    }
}

/// Each number becomes the sum of `before` and all numbers up to it, wrapping.
struct PrefixSum<'a> {
    numbers: &'a mut [u64],
    before: u64,
}

impl Kernel for PrefixSum<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, lanes: usize) {
        let Self { numbers, before } = self;
        let mut sum = before;
        let mut rest = numbers;
        if lanes >= 4 {
            let (runs, end) = rest.as_chunks_mut();
            sum = sum_runs(runs, before);
            rest = end;
        }
        for number in rest {
            sum = sum.wrapping_add(*number);
            *number = sum;
        }
    }
}

/// Numbers summed side by side.
const RUN: usize = 8;

/// [`PrefixSum`] where registers are wide: the sum of eight numbers is one of two sums of four, these of two,
/// at doubling distances (Hillis and Steele, 1986), and each waits only for the one eight places before it.
#[inline(always)]
fn sum_runs(runs: &mut [[u64; RUN]], before: u64) -> u64 {
    /// To each of `numbers` the one `DISTANCE` places before it, the first of which are at the end of `earlier`.
    #[inline(always)]
    fn add<const DISTANCE: usize>(earlier: &[u64; RUN], numbers: &[u64; RUN]) -> [u64; RUN] {
        std::array::from_fn(|i| {
            let other = match i.checked_sub(DISTANCE) {
                Some(at) => numbers[at],
                None => earlier[i + RUN - DISTANCE],
            };
            numbers[i].wrapping_add(other)
        })
    }
    let [mut ones, mut twos, mut fours] = [[0; RUN]; 3];
    let mut sums = [before; RUN];
    for run in runs {
        let two = add::<1>(&ones, run);
        let four = add::<2>(&twos, &two);
        let eight = add::<4>(&fours, &four);
        for (sum, eight) in sums.iter_mut().zip(eight) {
            *sum = sum.wrapping_add(eight);
        }
        (ones, twos, fours) = (*run, two, four);
        *run = sums;
    }
    sums[RUN - 1]
}

/// Fills `out` with `first`, `first + step`, and so on, wrapping.
fn progression(first: i64, step: i64, out: &mut [i64]) {
    Level::best().run(Progression { first, step, out });
}

struct Progression<'a> {
    first: i64,
    step: i64,
    out: &'a mut [i64],
}

impl Kernel for Progression<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: usize) {
        /// So many at a time that do not wait for each other.
        const LANES: usize = 16;
        let Self { first, step, out } = self;
        let mut lanes = [0; LANES];
        let mut next = first;
        for lane in &mut lanes {
            *lane = next;
            next = next.wrapping_add(step);
        }
        let stride = next.wrapping_sub(first);
        let (runs, rest) = out.as_chunks_mut::<LANES>();
        for run in runs {
            *run = lanes;
            for lane in &mut lanes {
                *lane = lane.wrapping_add(stride);
            }
        }
        rest.copy_from_slice(&lanes[..rest.len()]);
    }
}

/// Reads `count` positions, which ascend and lie in `range`.
pub(super) fn positions<'a>(
    reader: &mut Reader<'a>,
    count: usize,
    range: std::ops::Range<usize>,
) -> Result<&'a [[u8; 2]]> {
    let at = reader.position();
    let positions = reader.take(count * 2)?.as_chunks().0;
    let mut least = range.start;
    for (i, position) in positions.iter().enumerate() {
        let position = usize::from(u16::from_le_bytes(*position));
        if position < least || position >= range.end {
            return Err(reader.invalid_at(
                at + i * 2,
                format_args!("a position from {least} to {}", range.end - 1),
                position,
            ));
        }
        least = position + 1;
    }
    Ok(positions)
}
