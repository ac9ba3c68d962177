//! The choice of form, width, scale and patches, by exact lengths.

use super::distinct::Distinct;
use super::runs::Runs;
use super::{Description, Form, SCALED};
use crate::bytes::{put_signed_varint, put_varint, varint_len};
use crate::codec::bits;
use crate::version::VECTOR_ROWS;

/// Numbers looked at where a look at all would cost too much.
const SAMPLE: usize = 32;

/// How a stream will be written, and its exact length.
#[derive(Debug, Clone)]
pub(in crate::codec) struct Plan {
    description: Description,
    patch_len: u8,
    /// What a form made of streams was found to be made of.
    parts: Parts,
}

#[derive(Debug, Clone)]
enum Parts {
    None,
    Runs(Box<Runs>),
    Distinct(Box<Distinct>),
}

impl Plan {
    /// The shortest stream of `values`, 1 to 1,024 of them.
    pub(in crate::codec) fn of(values: &[i64]) -> Self {
        assert!(
            (1..=VECTOR_ROWS).contains(&values.len()),
            "an integer stream of {} values",
            values.len()
        );
        let mut best = Self::plain(values);
        if best.description.form == Form::Constant {
            return best;
        }
        if let Some(runs) = Runs::of(values) {
            let (count, len) = (runs.len(), runs.encoded_len());
            best.improve_by(Form::RunLength, count, len, || Parts::Runs(Box::new(runs)));
        }
        if may_have_few(values, best.encoded_len())
            && let Some(distinct) = Distinct::of(values, best.encoded_len())
        {
            let (count, len) = (distinct.len(), distinct.encoded_len());
            best.improve_by(Form::Dictionary, count, len, || {
                Parts::Distinct(Box::new(distinct))
            });
        }
        best
    }

    /// The shortest stream of a plain form.
    pub(super) fn plain(values: &[i64]) -> Self {
        let first = values[0];
        let mut best = Self::raw(values.len());
        if values.iter().all(|&v| v == first) {
            let constant = Self::constant(first);
            // A single large value is shorter as it is.
            let shorter = constant.encoded_len() <= best.encoded_len();
            return if shorter { constant } else { best };
        }
        let mut numbers = [0i64; VECTOR_ROWS];
        let mut offsets = [0u64; VECTOR_ROWS];
        let mut scale = 1;
        for form in [Form::FrameOfReference, Form::Delta] {
            let numbers = numbers_of(form, values, &mut numbers);
            let [low, bulk] = lows(numbers);
            let offsets = offsets_of(form, low, numbers, &mut offsets);
            // What divides the distances between the values divides those between their
            // differences too, whichever of them is counted from.
            scale = common_divisor(offsets, scale);
            best.improve(form, first, low, scale, offsets);
            if bulk != low {
                let offsets = offsets_of(form, bulk, numbers, offsets);
                best.improve(form, first, bulk, scale, offsets);
            }
        }
        best
    }

    /// Length of the stream in bytes.
    pub(in crate::codec) fn encoded_len(&self) -> usize {
        self.description.encoded_len
    }

    /// What the stream will be made of.
    pub(in crate::codec) fn description(&self) -> Description {
        self.description
    }

    /// Appends the stream; `values` are those the plan was made for.
    pub(in crate::codec) fn write(&self, values: &[i64], out: &mut Vec<u8>) {
        let Description {
            form,
            width,
            scale,
            base,
            reference,
            patches,
            encoded_len,
            parts: _,
        } = self.description;
        out.reserve(encoded_len);
        match &self.parts {
            Parts::None => {}
            Parts::Runs(runs) => return runs.write(out),
            Parts::Distinct(distinct) => return distinct.write(out),
        }
        out.push(form.tag());
        match form {
            Form::Raw => {
                for value in values {
                    out.extend_from_slice(&value.to_le_bytes());
                }
                return;
            }
            Form::Constant => {
                put_signed_varint(out, base);
                return;
            }
            Form::FrameOfReference | Form::Delta | Form::RunLength | Form::Dictionary => {}
        }
        out.push(if scale > 1 { width | SCALED } else { width });
        put_signed_varint(out, base);
        if form == Form::Delta {
            put_signed_varint(out, reference);
        }
        if scale > 1 {
            put_varint(out, scale);
        }
        put_varint(out, patches as u64);
        if patches > 0 {
            out.push(self.patch_len);
        }
        self.write_packed(values, out);
    }

    /// The packed numbers, positions and patches.
    fn write_packed(&self, values: &[i64], out: &mut Vec<u8>) {
        let Description {
            form,
            width,
            scale,
            base,
            reference,
            patches,
            ..
        } = self.description;
        let mut numbers = [0i64; VECTOR_ROWS];
        let numbers = numbers_of(form, values, &mut numbers);
        let low = if form == Form::Delta { reference } else { base };
        let mut offsets = [0u64; VECTOR_ROWS];
        let offsets = offsets_of(form, low, numbers, &mut offsets);
        if scale > 1 {
            Divisor::new(scale).divide(offsets);
        }
        if patches == 0 {
            bits::pack(offsets, width, out);
            return;
        }
        let mut positions = [0u16; VECTOR_ROWS];
        let mut apart = [0u64; VECTOR_ROWS];
        let mut count = 0;
        for (i, offset) in (0u16..).zip(offsets.iter_mut()) {
            // A width of 64 has no patches, so the shift is below 64.
            if *offset >> width != 0 {
                positions[count] = i;
                apart[count] = *offset;
                *offset = 0;
                count += 1;
            }
        }
        bits::pack(offsets, width, out);
        for position in &positions[..count] {
            out.extend_from_slice(&position.to_le_bytes());
        }
        for patch in &apart[..count] {
            out.extend_from_slice(&patch.to_le_bytes()[..usize::from(self.patch_len)]);
        }
    }

    fn raw(n: usize) -> Self {
        Self {
            description: Description {
                form: Form::Raw,
                width: 64,
                scale: 1,
                base: 0,
                reference: 0,
                patches: 0,
                parts: 0,
                encoded_len: 1 + 8 * n,
            },
            patch_len: 0,
            parts: Parts::None,
        }
    }

    /// `n` numbers, none of which needs more than `width` bits, from 0 on.
    pub(super) fn frame(n: usize, width: u8) -> Self {
        Self {
            description: Description {
                form: Form::FrameOfReference,
                width,
                scale: 1,
                base: 0,
                reference: 0,
                patches: 0,
                parts: 0,
                encoded_len: 4 + bits::packed_len(n, width),
            },
            patch_len: 0,
            parts: Parts::None,
        }
    }

    fn constant(value: i64) -> Self {
        Self {
            description: Description {
                form: Form::Constant,
                width: 0,
                scale: 1,
                base: value,
                reference: 0,
                patches: 0,
                parts: 0,
                encoded_len: 1 + signed_varint_len(value),
            },
            patch_len: 0,
            parts: Parts::None,
        }
    }

    /// Takes a form made of streams if it is shorter by an eighth: it takes longer to decode.
    fn improve_by(
        &mut self,
        form: Form,
        count: usize,
        encoded_len: usize,
        parts: impl FnOnce() -> Parts,
    ) {
        let shortest = self.description.encoded_len;
        if encoded_len < shortest - shortest / 8 {
            self.parts = parts();
            self.description = Description {
                encoded_len,
                ..Description::of_parts(form, count)
            };
        }
    }

    /// Takes the stream of `form` whose numbers are counted from `low` if it is shorter.
    fn improve(&mut self, form: Form, first: i64, low: i64, scale: u64, offsets: &[u64]) {
        let n = offsets.len();
        let (base, reference, fixed) = match form {
            Form::Delta => (first, low, signed_varint_len(first)),
            _ => (low, 0, 0),
        };
        let fixed = 2 + fixed + signed_varint_len(low);
        let mut take = |packing: Packing, scale: u64| {
            let scale_len = if scale > 1 { varint_len(scale) } else { 0 };
            let encoded_len = fixed + scale_len + packing.len;
            if encoded_len < self.description.encoded_len {
                self.patch_len = packing.patch_len;
                self.description = Description {
                    form,
                    width: packing.width,
                    scale,
                    base,
                    reference,
                    patches: packing.patches,
                    parts: 0,
                    encoded_len,
                };
            }
        };
        // Dividing takes at least one bit off every number, so in a full vector a scale always
        // pays unless nothing is packed.
        let mut plain = scale < 2;
        if !plain {
            let mut quotients = [0u64; VECTOR_ROWS];
            let quotients = &mut quotients[..n];
            quotients.copy_from_slice(offsets);
            Divisor::new(scale).divide(quotients);
            let packing = Packing::cheapest(quotients);
            plain = n < VECTOR_ROWS || packing.width == 0;
            take(packing, scale);
        }
        if plain {
            take(Packing::cheapest(offsets), 1);
        }
    }
}

/// The numbers a form packs, before its reference is taken off: the values or their differences.
/// The first difference is no real one and repeats the second.
fn numbers_of<'a>(
    form: Form,
    values: &'a [i64],
    differences: &'a mut [i64; VECTOR_ROWS],
) -> &'a [i64] {
    if form != Form::Delta {
        return values;
    }
    let differences = &mut differences[..values.len()];
    for (difference, pair) in differences[1..].iter_mut().zip(values.windows(2)) {
        *difference = pair[1].wrapping_sub(pair[0]);
    }
    if let [first, second, ..] = differences {
        *first = *second;
    }
    differences
}

/// What is left of the numbers once `low` is taken off; the first one of a delta is 0.
fn offsets_of<'a>(form: Form, low: i64, numbers: &[i64], offsets: &'a mut [u64]) -> &'a mut [u64] {
    let offsets = &mut offsets[..numbers.len()];
    for (offset, number) in offsets.iter_mut().zip(numbers) {
        *offset = number.wrapping_sub(low).cast_unsigned();
    }
    if form == Form::Delta {
        offsets[0] = 0;
    }
    offsets
}

/// What to count the numbers from: their minimum; and where some lie far below the bulk, the lowest
/// of the bulk, so that those below become patches, else the minimum again.
fn lows(numbers: &[i64]) -> [i64; 2] {
    let min = min_of(numbers, i64::MIN);
    let n = numbers.len();
    if n < SAMPLE {
        return [min; 2];
    }
    let mut sample = [0i64; SAMPLE];
    for (i, slot) in (0..).zip(&mut sample) {
        *slot = numbers[sample_position(i, n)];
    }
    sample.sort_unstable();
    let (low, high) = (sample[SAMPLE / 8], sample[SAMPLE - 1 - SAMPLE / 8]);
    let bound = low.saturating_sub_unsigned(high.abs_diff(low));
    if min >= bound {
        return [min; 2];
    }
    [min, min_of(numbers, bound)]
}

/// Whether values of which the shortest stream so far has `encoded_len` bytes could take fewer as codes, as a
/// sample tells: the codes of all of them take a bit more than those of the sample.
fn may_have_few(values: &[i64], encoded_len: usize) -> bool {
    let n = values.len();
    let mut sample = [0i64; SAMPLE];
    for (i, slot) in (0..).zip(&mut sample) {
        *slot = values[sample_position(i, n)];
    }
    sample.sort_unstable();
    let distinct = sample.chunk_by(|a, b| a == b).count();
    let width = (usize::BITS - (distinct - 1).leading_zeros()) as usize + 1;
    width * n < encoded_len * 8
}

/// Where to take sample `i` of `n` things: spread evenly, however many are taken, and without a
/// period that the things might have too (multiples of the golden ratio, modulo 1).
pub(in crate::codec) fn sample_position(i: u32, n: usize) -> usize {
    ((i.wrapping_mul(0x9e37_79b9) >> 16) as usize * n) >> 16
}

/// The least of the numbers that are at least `bound`.
#[inline(always)]
fn min_of(numbers: &[i64], bound: i64) -> i64 {
    // Several minima side by side, so that none waits for the comparison before it.
    let mut mins = [i64::MAX; 8];
    let (chunks, rest) = numbers.as_chunks::<8>();
    for chunk in chunks {
        for (min, &number) in mins.iter_mut().zip(chunk) {
            let number = if number >= bound { number } else { i64::MAX };
            *min = number.min(*min);
        }
    }
    let rest = rest.iter().filter(|&&number| number >= bound);
    mins.iter().chain(rest).fold(i64::MAX, |a, &b| a.min(b))
}

/// The cheapest way to pack some numbers.
struct Packing {
    width: u8,
    patches: usize,
    patch_len: u8,
    /// Bytes of the number of patches, the packed numbers and the patches.
    len: usize,
}

impl Packing {
    fn cheapest(numbers: &[u64]) -> Self {
        let n = numbers.len();
        let counts = count_widths(numbers);
        let used = (0u8..).zip(&counts).filter(|(_, count)| **count > 0);
        let widest = used.map(|(width, _)| width).last().unwrap_or(0);
        let mut best = Self {
            width: 64,
            patches: 0,
            patch_len: 0,
            len: usize::MAX,
        };
        let mut patches = 0;
        for width in (0..=widest).rev() {
            let patch_len = if patches > 0 { widest.div_ceil(8) } else { 0 };
            let len = varint_len(patches as u64)
                + usize::from(patches > 0)
                + bits::packed_len(n, width)
                + patches * (2 + usize::from(patch_len));
            if len < best.len {
                best = Self {
                    width,
                    patches,
                    patch_len,
                    len,
                };
            }
            patches += usize::from(counts[usize::from(width)]);
        }
        best
    }
}

/// How many numbers need how many bits.
fn count_widths(numbers: &[u64]) -> [u16; 65] {
    // Four tables, so that runs of one width do not wait for their own counter.
    let mut tables = [[0u16; 65]; 4];
    let (quads, rest) = numbers.as_chunks::<4>();
    for quad in quads {
        for (table, number) in tables.iter_mut().zip(quad) {
            table[(64 - number.leading_zeros()) as usize] += 1;
        }
    }
    let [mut counts, others @ ..] = tables;
    for number in rest {
        counts[(64 - number.leading_zeros()) as usize] += 1;
    }
    for (i, count) in counts.iter_mut().enumerate() {
        *count += others.iter().map(|table| table[i]).sum::<u16>();
    }
    counts
}

/// The greatest number that divides all offsets, taken as signed; 0 or 1 where there is none of
/// use. `known` is one that does divide them.
fn common_divisor(offsets: &[u64], known: u64) -> u64 {
    let step = (offsets.len() / SAMPLE).max(1);
    let mut divisor = 0;
    for offset in offsets.iter().step_by(step) {
        divisor = gcd(divisor, magnitude(*offset));
        if divisor == known {
            return known;
        }
    }
    let mut test = Divisor::new(divisor);
    for offset in offsets {
        if !test.divides(magnitude(*offset)) {
            divisor = gcd(divisor, magnitude(*offset));
            if divisor == known {
                return known;
            }
            test = Divisor::new(divisor);
        }
    }
    divisor
}

/// The distance from zero of an offset taken as signed. Offsets below the reference of a frame
/// with low patches have wrapped; `q * scale` gives them back because it wraps too.
fn magnitude(offset: u64) -> u64 {
    offset.cast_signed().unsigned_abs()
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    if a == 0 || b == 0 {
        return a | b;
    }
    let twos = (a | b).trailing_zeros();
    a >>= a.trailing_zeros();
    while b != 0 {
        b >>= b.trailing_zeros();
        (a, b) = (a.min(b), a.abs_diff(b));
    }
    a << twos
}

/// Exact division by multiplication with the inverse modulo 2^64.
struct Divisor {
    twos: u32,
    inverse: u64,
    /// The greatest quotient by the odd part.
    limit: u64,
}

impl Divisor {
    /// A divisor; 0 divides 0 only.
    fn new(divisor: u64) -> Self {
        if divisor == 0 {
            return Self {
                twos: 0,
                inverse: 1,
                limit: 0,
            };
        }
        let twos = divisor.trailing_zeros();
        let odd = divisor >> twos;
        // Newton's iteration doubles the correct bits, of which an odd number has three.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Self {
            twos,
            inverse,
            limit: u64::MAX / odd,
        }
    }

    fn divides(&self, number: u64) -> bool {
        let rest = number & ((1 << self.twos) - 1);
        rest == 0 && (number >> self.twos).wrapping_mul(self.inverse) <= self.limit
    }

    /// Divides numbers, taken as signed, of which each is a multiple.
    fn divide(&self, numbers: &mut [u64]) {
        for number in numbers {
            let shifted = (number.cast_signed() >> self.twos).cast_unsigned();
            *number = shifted.wrapping_mul(self.inverse);
        }
    }
}

fn signed_varint_len(value: i64) -> usize {
    varint_len(((value << 1) ^ (value >> 63)).cast_unsigned())
}
