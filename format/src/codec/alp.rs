//! Doubles that are decimals, as integers.
//!
//! ALP (SIGMOD 2024): most doubles of real data were decimals once, `d / 10^k`. For each vector one
//! pair of exponents turns its values into small integers; the few that do not come back bit for
//! bit are kept apart. Which pairs are worth trying is sampled over a whole row group first.

#[cfg(test)]
mod tests;

use super::integer::{self, Trend};
use super::simd::{Kernel, Level};
use crate::bytes::{Reader, put_varint, varint_len};
use crate::version::{MAX_ALP_EXPONENT, VECTOR_ROWS};
use crate::{FormatError, Result};

const WHAT: &str = "ALP vector";

/// Pairs kept for a row group.
const CANDIDATES: usize = 5;
/// Vectors of a row group looked at by the first sampling.
const SAMPLED_VECTORS: usize = 8;
/// Values of a vector looked at by either sampling.
const SAMPLED_VALUES: usize = 32;
/// Bits an exception takes.
const EXCEPTION_BITS: usize = 80;

/// `10^i`; all exact.
const POWERS: [f64; MAX_ALP_EXPONENT + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];
/// The doubles nearest `10^-i`.
const INVERSES: [f64; MAX_ALP_EXPONENT + 1] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14,
    1e-15, 1e-16, 1e-17, 1e-18,
];

/// 2^52 + 2^51. Added to a number of less than 2^51 it leaves the nearest integer in the lowest
/// bits of the sum, so that rounding and both conversions are one addition each.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// A pair of exponents: `value = d * 10^f * 10^-e`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parameters {
    /// The decimal exponent.
    pub e: u8,
    /// How many of its zeros the integers do without; at most `e`.
    pub f: u8,
}

/// The pairs of exponents worth trying for the vectors of a row group, best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    pairs: Vec<Parameters>,
}

/// What an encoded vector is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// The pair of exponents.
    pub parameters: Parameters,
    /// The stream of integers.
    pub integers: integer::Description,
    /// Values kept apart because they are not such decimals.
    pub exceptions: usize,
    /// Length of it all in bytes.
    pub encoded_len: usize,
}

impl Candidates {
    /// Samples the values of a row group, or of less.
    pub fn sample(values: &[f64]) -> Self {
        let vectors = values.len().div_ceil(VECTOR_ROWS);
        let step = vectors.div_ceil(SAMPLED_VECTORS).max(1);
        let mut votes: Vec<(usize, Parameters)> = Vec::new();
        for vector in values.chunks(VECTOR_ROWS).step_by(step) {
            let mut sample = [0.0; SAMPLED_VALUES];
            let Some(best) = best_of(all_pairs(), sample_of(vector, &mut sample)) else {
                continue;
            };
            match votes.iter_mut().find(|(_, pair)| *pair == best) {
                Some((count, _)) => *count += 1,
                None => votes.push((1, best)),
            }
        }
        votes.sort_by_key(|&(count, pair)| std::cmp::Reverse((count, pair.e, pair.f)));
        votes.truncate(CANDIDATES);
        Self {
            pairs: votes.into_iter().map(|(_, pair)| pair).collect(),
        }
    }

    /// The pairs, best first.
    pub fn pairs(&self) -> &[Parameters] {
        &self.pairs
    }
}

/// Appends `values`, 1 to 1,024 of them, where that is smaller than eight bytes each; writes
/// nothing and returns `None` where it is not.
///
/// # Panics
/// There are no values or more than 1,024.
pub fn encode(values: &[f64], candidates: &Candidates, out: &mut Vec<u8>) -> Option<Description> {
    encode_next(values, candidates, &mut Trend::default(), out)
}

/// As [`encode`], for one vector of a column after another: see [`integer::encode_next`].
///
/// # Panics
/// As [`encode`].
pub fn encode_next(
    values: &[f64],
    candidates: &Candidates,
    trend: &mut Trend,
    out: &mut Vec<u8>,
) -> Option<Description> {
    let n = values.len();
    assert!(
        (1..=VECTOR_ROWS).contains(&n),
        "an ALP vector of {n} values"
    );
    let parameters = match candidates.pairs() {
        [] => return None,
        [only] => *only,
        pairs => {
            let mut sample = [0.0; SAMPLED_VALUES];
            best_of(pairs.iter().copied(), sample_of(values, &mut sample))?
        }
    };
    let mut integers = [0i64; VECTOR_ROWS];
    let integers = &mut integers[..n];
    let mut positions = [0u16; VECTOR_ROWS];
    let positions = to_integers(parameters, values, integers, &mut positions);
    let exceptions = positions.len();
    if exceptions * EXCEPTION_BITS >= n * 64 {
        return None;
    }
    fill_exceptions(integers, positions);
    let plan = integer::Plan::following(integers, trend);
    let encoded_len = 2
        + varint_len(plan.encoded_len() as u64)
        + plan.encoded_len()
        + varint_len(exceptions as u64)
        + exceptions * EXCEPTION_BITS / 8;
    if encoded_len >= n * 8 {
        return None;
    }
    out.reserve(encoded_len);
    out.extend_from_slice(&[parameters.e, parameters.f]);
    put_varint(out, plan.encoded_len() as u64);
    plan.write(integers, out);
    put_varint(out, exceptions as u64);
    for position in positions {
        out.extend_from_slice(&position.to_le_bytes());
    }
    for position in positions {
        out.extend_from_slice(&values[usize::from(*position)].to_le_bytes());
    }
    Some(Description {
        parameters,
        integers: plan.description(),
        exceptions,
        encoded_len,
    })
}

/// Fills `out`, 1 to 1,024 values, from what starts at the reader's position.
///
/// # Errors
/// The bytes are not that many values. What `out` holds then means nothing.
pub fn decode(reader: &mut Reader<'_>, out: &mut [f64]) -> Result<()> {
    let parts = Parts::read(reader, out.len())?;
    let mut stream = Reader::new(parts.stream, WHAT);
    integer::decode(&mut stream, bytemuck::cast_slice_mut(out))
        .and_then(|()| stream.finish())
        .map_err(|e| e.at_base(parts.stream_at as u64))?;
    let Factors { restore, lower, .. } = Factors::of(parts.parameters);
    Level::best().run(FromIntegers {
        values: out,
        restore,
        lower,
    });
    for (position, value) in parts.positions.iter().zip(parts.exceptions) {
        if let Some(slot) = out.get_mut(usize::from(u16::from_le_bytes(*position))) {
            *slot = f64::from_le_bytes(*value);
        }
    }
    Ok(())
}

/// What the `n` values at the reader's position are made of; the reader stands behind them
/// afterwards. The packed numbers are not looked at.
///
/// # Errors
/// The bytes are not that many values.
pub fn describe(reader: &mut Reader<'_>, n: usize) -> Result<Description> {
    let start = reader.position();
    let parts = Parts::read(reader, n)?;
    let mut stream = Reader::new(parts.stream, WHAT);
    let integers = integer::describe(&mut stream, n)
        .and_then(|d| stream.finish().map(|()| d))
        .map_err(|e| e.at_base(parts.stream_at as u64))?;
    Ok(Description {
        parameters: parts.parameters,
        integers,
        exceptions: parts.exceptions.len(),
        encoded_len: reader.position() - start,
    })
}

/// The parts of an encoded vector, lengths and positions checked.
struct Parts<'a> {
    parameters: Parameters,
    stream_at: usize,
    stream: &'a [u8],
    positions: &'a [[u8; 2]],
    exceptions: &'a [[u8; 8]],
}

impl<'a> Parts<'a> {
    fn read(reader: &mut Reader<'a>, n: usize) -> Result<Self> {
        if n == 0 || n > VECTOR_ROWS {
            return Err(FormatError::limit(WHAT, VECTOR_ROWS, n));
        }
        let at = reader.position();
        let [e, f] = reader.array()?;
        if f > e || usize::from(e) > MAX_ALP_EXPONENT {
            return Err(reader.invalid_at(
                at,
                format_args!("exponents f <= e <= {MAX_ALP_EXPONENT}"),
                format_args!("e {e}, f {f}"),
            ));
        }
        let len = reader.count(reader.remaining())?;
        let stream_at = reader.position();
        let stream = reader.take(len)?;
        let count = reader.count(n)?;
        let positions = integer::positions(reader, count, 0..n)?;
        let exceptions = reader.take(count * 8)?.as_chunks().0;
        Ok(Self {
            parameters: Parameters { e, f },
            stream_at,
            stream,
            positions,
            exceptions,
        })
    }
}

/// The factors of a pair: `10^e`, `10^-f` to encode; `10^f`, `10^-e` to decode.
#[derive(Clone, Copy)]
struct Factors {
    raise: f64,
    strip: f64,
    restore: f64,
    lower: f64,
}

impl Factors {
    /// Both exponents are at most [`MAX_ALP_EXPONENT`].
    fn of(pair: Parameters) -> Self {
        let (e, f) = (usize::from(pair.e), usize::from(pair.f));
        Self {
            raise: POWERS[e],
            strip: INVERSES[f],
            restore: POWERS[f],
            lower: INVERSES[e],
        }
    }

    /// The integer of `value`, and 0 if that gives the value back bit for bit.
    #[inline(always)]
    fn integer(self, value: f64) -> (i64, u64) {
        let sum = value * self.raise * self.strip + MAGIC;
        let bits = sum.to_bits().wrapping_sub(MAGIC.to_bits());
        let back = (sum - MAGIC) * self.restore * self.lower;
        // Where the integer has no more than 51 bits, the sum kept its exponent and is exact.
        // For larger ones, NaN and infinity it did not, and the integer means nothing.
        let wrong = (back.to_bits() ^ value.to_bits()) | (bits.wrapping_add(1 << 51) >> 52);
        (bits.cast_signed(), wrong)
    }
}

/// Fills `integers`; gives the positions where they do not give the value back.
fn to_integers<'a>(
    pair: Parameters,
    values: &[f64],
    integers: &mut [i64],
    positions: &'a mut [u16; VECTOR_ROWS],
) -> &'a [u16] {
    let factors = Factors::of(pair);
    let count = Level::best().run(ToIntegers {
        factors,
        values,
        integers,
        positions,
    });
    &positions[..count]
}

/// Turns values into integers; gives how many positions of exceptions it has noted.
struct ToIntegers<'a> {
    factors: Factors,
    values: &'a [f64],
    integers: &'a mut [i64],
    positions: &'a mut [u16; VECTOR_ROWS],
}

impl Kernel for ToIntegers<'_> {
    type Output = usize;

    #[inline(always)]
    fn run(self, _: usize) -> usize {
        const RUN: usize = 32;
        let Self {
            factors,
            values,
            integers,
            positions,
        } = self;
        let mut count = 0;
        let runs = values.chunks(RUN).zip(integers.chunks_mut(RUN));
        for (start, (values, integers)) in (0u16..).step_by(RUN).zip(runs) {
            let mut any_wrong = 0;
            for (value, integer) in values.iter().zip(integers) {
                let wrong;
                (*integer, wrong) = factors.integer(*value);
                any_wrong |= wrong;
            }
            if any_wrong != 0 {
                for (position, value) in (start..).zip(values) {
                    positions[count] = position;
                    count += usize::from(factors.integer(*value).1 != 0);
                }
            }
        }
        count
    }
}

/// Puts the integer before it, or the first there is, where an exception stands.
fn fill_exceptions(integers: &mut [i64], positions: &[u16]) {
    let exception = |i: usize| positions.get(i).map(|p| usize::from(*p));
    let first = (0..).find(|i| exception(*i) != Some(*i)).unwrap_or(0);
    let mut filler = integers.get(first).copied().unwrap_or(0);
    for position in positions.iter().map(|p| usize::from(*p)) {
        if position > first {
            filler = integers[position - 1];
        }
        integers[position] = filler;
    }
}

/// Turns integers, which stand where the values go, into values.
struct FromIntegers<'a> {
    values: &'a mut [f64],
    restore: f64,
    lower: f64,
}

impl Kernel for FromIntegers<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, lanes: usize) {
        let Self {
            values,
            restore,
            lower,
        } = self;
        for value in values {
            let bits = value.to_bits();
            // SSE2 converts one at a time, AVX-512 eight; AVX2 has no such instruction.
            let integer = match lanes {
                4 => to_double(bits),
                _ => bits.cast_signed() as f64,
            };
            *value = integer * restore * lower;
        }
    }
}

/// The double nearest to an integer, given by its bits: what `as f64` makes, of many at once. Each half of the integer becomes the lower bits of a double whose exponent gives them
/// their weight; taking off what was added is exact, and putting the halves together rounds once.
#[inline(always)]
fn to_double(integer: u64) -> f64 {
    /// 2^52, and 2^84 + 2^63: the integer's sign bit is turned, which adds 2^63.
    const LOW: u64 = 0x4330_0000_0000_0000;
    const HIGH: u64 = 0x4530_0000_8000_0000;
    /// 2^84 + 2^63 + 2^52.
    const BOTH: f64 = 19_342_822_341_709_703_277_445_120.0;
    let low = f64::from_bits(integer & 0xffff_ffff | LOW);
    let high = f64::from_bits((integer >> 32) ^ HIGH);
    (high - BOTH) + low
}

/// Some values of a vector, evenly spread.
fn sample_of<'a>(vector: &[f64], sample: &'a mut [f64; SAMPLED_VALUES]) -> &'a [f64] {
    let n = vector.len();
    if n <= SAMPLED_VALUES {
        sample[..n].copy_from_slice(vector);
        return &sample[..n];
    }
    for (i, slot) in (0..).zip(sample.iter_mut()) {
        *slot = vector[integer::sample_position(i, n)];
    }
    sample
}

/// All pairs, largest exponents first: of equally good ones the first is taken.
fn all_pairs() -> impl Iterator<Item = Parameters> {
    (0..=18u8)
        .rev()
        .flat_map(|e| (0..=e).rev().map(move |f| Parameters { e, f }))
}

/// The pair that would encode the sample in the fewest bits, if any saves something.
fn best_of(pairs: impl Iterator<Item = Parameters>, sample: &[f64]) -> Option<Parameters> {
    let mut best = None;
    let mut least = sample.len() * 64;
    for pair in pairs {
        let factors = Factors::of(pair);
        let (mut min, mut max, mut exceptions) = (i64::MAX, i64::MIN, 0usize);
        for value in sample {
            let (integer, wrong) = factors.integer(*value);
            if wrong == 0 {
                min = min.min(integer);
                max = max.max(integer);
                continue;
            }
            exceptions += 1;
            if exceptions * EXCEPTION_BITS >= least {
                break;
            }
        }
        let width = if min > max {
            0
        } else {
            64 - max.abs_diff(min).leading_zeros() as usize
        };
        let bits = exceptions * EXCEPTION_BITS + (sample.len() - exceptions) * width;
        if bits < least {
            least = bits;
            best = Some(pair);
        }
    }
    best
}
