//! The choice of form, width, scale and patches, by exact lengths.

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use super::distinct::Distinct;
use super::runs::Runs;
use super::{Description, Form, SCALED};
use crate::bytes::{put_signed_varint, put_varint, varint_len};
use crate::codec::bits;
use crate::codec::simd::{Kernel, Level};
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

/// What the vectors of a column were written as lately. It saves looking at every form for every vector: what
/// suits one mostly suits the next.
#[derive(Debug, Clone, Default)]
pub struct Trend(Option<Lately>);

#[derive(Debug, Clone)]
struct Lately {
    form: Form,
    scaled: bool,
    /// Bytes of the vector for which every form was tried.
    len: usize,
    /// Vectors since.
    since: u8,
}

/// Vectors for which every form is tried: one of so many, and each that takes more than a 32nd more than
/// the last of these.
const LOOK_EVERY: u8 = 8;

impl Plan {
    /// The shortest stream of `values`, 1 to 1,024 of them, among the forms that are tried.
    pub(in crate::codec) fn of(values: &[i64]) -> Self {
        Self::following(values, &mut Trend::default())
    }

    /// As [`Plan::of`], of the form that the vectors before had while that suits these as well.
    pub(in crate::codec) fn following(values: &[i64], trend: &mut Trend) -> Self {
        assert!(
            (1..=VECTOR_ROWS).contains(&values.len()),
            "an integer stream of {} values",
            values.len()
        );
        let is_full = values.len() == VECTOR_ROWS;
        if let Some(lately) = &mut trend.0
            && is_full
            && lately.since < LOOK_EVERY
            && let Some(plan) = Self::in_form(values, lately.form, lately.scaled)
            && plan.encoded_len() <= lately.len + lately.len / 32
        {
            lately.since += 1;
            return plan;
        }
        let plan = Self::shortest(values);
        if is_full {
            trend.0 = Some(Lately {
                form: plan.description.form,
                scaled: plan.description.scale > 1,
                len: plan.encoded_len(),
                since: 1,
            });
        }
        plan
    }

    fn shortest(values: &[i64]) -> Self {
        let mut best = Self::plain(values);
        if best.description.form == Form::Constant {
            return best;
        }
        if let Some(runs) = Runs::of(values)
            && best.is_beaten_by(runs.encoded_len())
        {
            best = Self::of_runs(runs);
        }
        if may_have_few(values, best.encoded_len())
            && let Some(distinct) = Distinct::of(values, best.encoded_len())
            && best.is_beaten_by(distinct.encoded_len())
        {
            best = Self::of_distinct(distinct);
        }
        best
    }

    /// The shortest stream of a form, or the constant. `None` where there is none of that form.
    fn in_form(values: &[i64], form: Form, scaled: bool) -> Option<Self> {
        match form {
            // Another form may do by now, or the values are few.
            Form::Raw | Form::Constant => None,
            Form::FrameOfReference | Form::Delta => {
                Some(Plain::find(Level::best(), values, Some(form), scaled))
            }
            Form::RunLength => Some(Self::of_runs(Runs::of(values)?)),
            Form::Dictionary => Some(Self::of_distinct(Distinct::of(values, usize::MAX)?)),
        }
    }

    /// The shortest stream of a plain form.
    pub(super) fn plain(values: &[i64]) -> Self {
        Self::plain_at(Level::best(), values)
    }

    fn plain_at(level: Level, values: &[i64]) -> Self {
        Plain::find(level, values, None, true)
    }

    fn of_runs(runs: Runs) -> Self {
        let (count, len) = (runs.len(), runs.encoded_len());
        Self::of_parts(Form::RunLength, count, len, Parts::Runs(Box::new(runs)))
    }

    fn of_distinct(distinct: Distinct) -> Self {
        let (count, len) = (distinct.len(), distinct.encoded_len());
        let parts = Parts::Distinct(Box::new(distinct));
        Self::of_parts(Form::Dictionary, count, len, parts)
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
        NUMBERS.with_borrow_mut(|scratch| self.write_packed(values, scratch, out));
    }

    /// The packed numbers, positions and patches.
    fn write_packed(&self, values: &[i64], scratch: &mut Numbers, out: &mut Vec<u8>) {
        let Description {
            form,
            width,
            scale,
            base,
            reference,
            patches,
            ..
        } = self.description;
        let low = if form == Form::Delta { reference } else { base };
        let offsets = Level::best().run(Offsets {
            form,
            low,
            scale,
            values,
            scratch,
        });
        if patches == 0 {
            bits::pack(offsets, width, out);
            return;
        }
        let mut positions = [0u16; VECTOR_ROWS];
        let mut apart = [0u64; VECTOR_ROWS];
        let mut count = 0;
        // A width of 64 has no patches, so the shift is below 64.
        const RUN: usize = 16;
        for (start, run) in (0u16..).step_by(RUN).zip(offsets.chunks_mut(RUN)) {
            if run.iter().fold(0, |bits, offset| bits | offset) >> width == 0 {
                continue;
            }
            for (i, offset) in (start..).zip(run) {
                if *offset >> width != 0 {
                    positions[count] = i;
                    apart[count] = *offset;
                    *offset = 0;
                    count += 1;
                }
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

    /// A stream of a form made of streams.
    fn of_parts(form: Form, count: usize, encoded_len: usize, parts: Parts) -> Self {
        Self {
            description: Description {
                encoded_len,
                ..Description::of_parts(form, count)
            },
            patch_len: 0,
            parts,
        }
    }

    /// Whether a stream of a form made of streams is to be taken: it takes longer to decode, and has to be
    /// shorter by an eighth.
    fn is_beaten_by(&self, encoded_len: usize) -> bool {
        let shortest = self.encoded_len();
        encoded_len < shortest - shortest / 8
    }

    /// Takes the stream of offsets taken in this way if it is shorter.
    #[inline(always)]
    fn improve(&mut self, way: &Way, offsets: &[u64], quotients: &mut [u64; VECTOR_ROWS]) {
        let Way {
            form,
            first,
            low,
            scale,
            patched,
        } = *way;
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
            let quotients = &mut quotients[..n];
            quotients.copy_from_slice(offsets);
            Divisor::new(scale).divide(quotients);
            let packing = Packing::of(quotients, patched);
            plain = n < VECTOR_ROWS || packing.width == 0;
            take(packing, scale);
        }
        if plain {
            take(Packing::of(offsets, patched), 1);
        }
    }
}

thread_local! {
    /// Where numbers are worked on: to clear so much for each vector would take longer than the work.
    static NUMBERS: RefCell<Box<Numbers>> = RefCell::new(Box::new(Numbers {
        differences: [0; VECTOR_ROWS],
        offsets: [0; VECTOR_ROWS],
        quotients: [0; VECTOR_ROWS],
    }));
}

struct Numbers {
    differences: [i64; VECTOR_ROWS],
    offsets: [u64; VECTOR_ROWS],
    quotients: [u64; VECTOR_ROWS],
}

/// Finds the shortest stream of a plain form.
struct Plain<'a> {
    values: &'a [i64],
    /// The form that is tried, if not all are: frame of reference or delta.
    only: Option<Form>,
    /// Whether a scale is looked for.
    scaled: bool,
    scratch: &'a mut Numbers,
}

impl Plain<'_> {
    fn find(level: Level, values: &[i64], only: Option<Form>, scaled: bool) -> Plan {
        // The kernel inside of the closure and not around it: it is compiled for the level where it is inlined.
        NUMBERS.with_borrow_mut(|scratch| {
            level.run(Plain {
                values,
                only,
                scaled,
                scratch,
            })
        })
    }
}

impl Kernel for Plain<'_> {
    type Output = Plan;

    #[inline(always)]
    fn run(self, _: usize) -> Plan {
        let Self {
            values,
            only,
            scaled,
            scratch,
        } = self;
        let first = values[0];
        let mut best = Plan::raw(values.len());
        if is_constant(values) {
            let constant = Plan::constant(first);
            // A single large value is shorter as it is.
            let shorter = constant.encoded_len() <= best.encoded_len();
            return if shorter { constant } else { best };
        }
        let Numbers {
            differences,
            offsets,
            quotients,
        } = scratch;
        let forms = [Form::FrameOfReference, Form::Delta];
        let mut spreads: [Option<Spread>; 2] = [None, None];
        for (spread, form) in spreads.iter_mut().zip(forms) {
            if only.is_none_or(|only| only == form) {
                *spread = Some(Spread::of(numbers_of(form, values, differences)));
            }
        }
        if let [Some(frame), Some(delta)] = &spreads {
            let worse = [frame.is_wider_than(delta), delta.is_wider_than(frame)];
            for (spread, worse) in spreads.iter_mut().zip(worse) {
                spread.take_if(|_| worse);
            }
        }
        let mut scale = 1;
        for (form, spread) in forms.into_iter().zip(spreads) {
            let Some(spread) = spread else {
                continue;
            };
            let numbers = match form {
                Form::Delta => &differences[..values.len()],
                _ => values,
            };
            let lows = [spread.min, spread.lowest_of_bulk(numbers)];
            let different = if lows[0] == lows[1] { 1 } else { 2 };
            for (at, &low) in lows[..different].iter().enumerate() {
                let offsets = offsets_of(form, low, numbers, offsets);
                if at == 0 && scaled {
                    // What divides the distances between the values divides those between their
                    // differences too, whichever of them is counted from.
                    scale = common_divisor(offsets, scale);
                }
                let way = Way {
                    form,
                    first,
                    low,
                    scale,
                    patched: spread.has_outliers(),
                };
                best.improve(&way, offsets, quotients);
            }
        }
        best
    }
}

/// A way to take numbers down to few bits.
struct Way {
    form: Form,
    first: i64,
    low: i64,
    /// What divides the offsets from `low`.
    scale: u64,
    /// Whether numbers may be kept apart.
    patched: bool,
}

/// Whether all values are the same.
#[inline(always)]
fn is_constant(values: &[i64]) -> bool {
    const RUN: usize = 64;
    let first = values[0];
    // A run at a time without a branch, so that many are compared at once.
    values.chunks(RUN).all(|run| {
        let differences = run.iter().fold(0, |bits, value| bits | (value ^ first));
        differences == 0
    })
}

/// Works out the numbers that are packed.
struct Offsets<'a> {
    form: Form,
    low: i64,
    scale: u64,
    values: &'a [i64],
    scratch: &'a mut Numbers,
}

impl<'a> Kernel for Offsets<'a> {
    type Output = &'a mut [u64];

    #[inline(always)]
    fn run(self, _: usize) -> &'a mut [u64] {
        let numbers = numbers_of(self.form, self.values, &mut self.scratch.differences);
        let offsets = offsets_of(self.form, self.low, numbers, &mut self.scratch.offsets);
        if self.scale > 1 {
            Divisor::new(self.scale).divide(offsets);
        }
        offsets
    }
}

/// How far some numbers lie apart: all of them, and the bulk of them as a sample tells.
struct Spread {
    min: i64,
    /// Bits of the distance from the lowest to the highest.
    full: u32,
    /// That of a sample without an eighth at either end; `None` of fewer numbers than a sample has.
    bulk: Option<u32>,
    /// Below it lie no numbers of the bulk.
    bound: i64,
}

impl Spread {
    #[inline(always)]
    fn of(numbers: &[i64]) -> Self {
        let [min, max] = range_of(numbers);
        let full = u64::BITS - max.abs_diff(min).leading_zeros();
        let mut spread = Self {
            min,
            full,
            bulk: None,
            bound: i64::MIN,
        };
        if numbers.len() >= SAMPLE && full > 0 {
            let sample = sample(numbers);
            let (low, high) = (sample[SAMPLE / 8], sample[SAMPLE - 1 - SAMPLE / 8]);
            let distance = high.abs_diff(low);
            spread.bulk = Some(u64::BITS - distance.leading_zeros());
            spread.bound = low.saturating_sub_unsigned(distance);
        }
        spread
    }

    /// Whether it is by both measures, so that packing these numbers is not worth a try.
    #[inline(always)]
    fn is_wider_than(&self, other: &Self) -> bool {
        let (Some(bulk), Some(others)) = (self.bulk, other.bulk) else {
            return false;
        };
        self.full >= other.full && bulk >= others && self.full + bulk > other.full + others
    }

    /// Whether some lie so far from the bulk that keeping them apart may pay. Where the bulk takes as many bits
    /// as all do, one bit less leaves more than an eighth of them apart, and these take more than the bit.
    #[inline(always)]
    fn has_outliers(&self) -> bool {
        self.bulk.is_none_or(|bulk| bulk < self.full)
    }

    /// What to count the numbers from where some lie far below the bulk, so that those become patches: the
    /// lowest of the bulk; else the minimum.
    #[inline(always)]
    fn lowest_of_bulk(&self, numbers: &[i64]) -> i64 {
        match self.min >= self.bound {
            true => self.min,
            false => min_of(numbers, self.bound),
        }
    }
}

/// Some of the numbers, in ascending order.
#[inline(always)]
fn sample(numbers: &[i64]) -> [i64; SAMPLE] {
    let mut sample = [0i64; SAMPLE];
    for (i, slot) in (0..).zip(&mut sample) {
        *slot = numbers[sample_position(i, numbers.len())];
    }
    sample.sort_unstable();
    sample
}

/// The lowest and the highest of some numbers.
#[inline(always)]
fn range_of(numbers: &[i64]) -> [i64; 2] {
    // Several side by side, so that none waits for the comparison before it.
    let (mut mins, mut maxs) = ([i64::MAX; 16], [i64::MIN; 16]);
    let (chunks, rest) = numbers.as_chunks::<16>();
    for chunk in chunks {
        for ((min, max), &number) in mins.iter_mut().zip(&mut maxs).zip(chunk) {
            *min = number.min(*min);
            *max = number.max(*max);
        }
    }
    let min = mins.iter().chain(rest).fold(i64::MAX, |a, &b| a.min(b));
    let max = maxs.iter().chain(rest).fold(i64::MIN, |a, &b| a.max(b));
    [min, max]
}

/// The numbers a form packs, before its reference is taken off: the values or their differences.
/// The first difference is no real one and repeats the second.
#[inline(always)]
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
#[inline(always)]
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

/// Whether values of which the shortest stream so far has `encoded_len` bytes could take fewer as codes, as a
/// sample tells: the codes of all of them take a bit more than those of the sample.
fn may_have_few(values: &[i64], encoded_len: usize) -> bool {
    let n = values.len();
    let sample = sample(values);
    let distinct = sample.chunk_by(|a, b| a == b).count();
    // Of few values some would have been met twice.
    if distinct > SAMPLE - 2 {
        return false;
    }
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
    /// The cheapest one with patches, or the one without.
    #[inline(always)]
    fn of(numbers: &[u64], patched: bool) -> Self {
        if patched {
            return Self::cheapest(numbers);
        }
        let bits = numbers.iter().fold(0, |bits, number| bits | number);
        let width = u8::try_from(u64::BITS - bits.leading_zeros()).unwrap_or(64);
        Self {
            width,
            patches: 0,
            patch_len: 0,
            len: varint_len(0) + bits::packed_len(numbers.len(), width),
        }
    }

    #[inline(always)]
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
#[inline(always)]
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
#[inline(always)]
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
#[inline(always)]
fn magnitude(offset: u64) -> u64 {
    offset.cast_signed().unsigned_abs()
}

#[inline(always)]
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
    #[inline(always)]
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

    #[inline(always)]
    fn divides(&self, number: u64) -> bool {
        let rest = number & ((1 << self.twos) - 1);
        rest == 0 && (number >> self.twos).wrapping_mul(self.inverse) <= self.limit
    }

    /// Divides numbers, taken as signed, of which each is a multiple.
    #[inline(always)]
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
