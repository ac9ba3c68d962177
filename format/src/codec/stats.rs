//! Statistics of vectors: what answers a query without decoding, or says that it need not.
//!
//! | array | types | what |
//! |---|---|---|
//! | nulls, NaNs | all; f64 | counts |
//! | min, max | f64, i64, u64, time | true values; NaN is ignored and -0.0 lies below +0.0 |
//! | first, last | all but string | first and last value in row order that is not null |
//! | sum | f64, i64, u64 | exact for integers; compensated for floats |

mod column;

use crate::codec::simd::{Kernel, Level};
use crate::{FieldId, FieldType, Timestamp};

pub use column::ColumnStats;

/// Statistics of one vector, or, folded, of many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VectorStats {
    /// Rows, null or not.
    pub rows: u64,
    /// Rows that are null.
    pub nulls: u64,
    /// Values that are NaN; 0 unless the type is f64.
    pub nans: u64,
    /// What depends on the type. Where [`VectorStats::values`] is 0 it is all zero and means
    /// nothing; so are min and max of floats where [`VectorStats::numbers`] is 0.
    pub of: ValueStats,
}

/// The statistics that depend on the type of the values.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the module's table")]
pub enum ValueStats {
    /// Floating point.
    F64 {
        min: f64,
        max: f64,
        first: f64,
        last: f64,
        sum: f64,
    },
    /// Signed integers.
    I64 {
        min: i64,
        max: i64,
        first: i64,
        last: i64,
        sum: i128,
    },
    /// Unsigned integers.
    U64 {
        min: u64,
        max: u64,
        first: u64,
        last: u64,
        sum: u128,
    },
    /// Booleans.
    Bool { trues: u64, first: bool, last: bool },
    /// Strings: nothing but counts.
    String,
    /// The time column.
    Time {
        min: Timestamp,
        max: Timestamp,
        first: Timestamp,
        last: Timestamp,
    },
}

impl VectorStats {
    /// Statistics of `rows` nulls.
    pub fn nulls(field: FieldId, field_type: FieldType, rows: u64) -> Self {
        Self {
            rows,
            nulls: rows,
            nans: 0,
            of: ValueStats::zero(field, field_type),
        }
    }

    /// Rows that have a value.
    pub fn values(&self) -> u64 {
        self.rows - self.nulls
    }

    /// Rows that have a value other than NaN.
    pub fn numbers(&self) -> u64 {
        self.rows - self.nulls - self.nans
    }

    /// Statistics of these rows followed by those of `next`.
    ///
    /// Sums of integers are exact (128 bits hold those of 2^64 rows; what no writer makes wraps);
    /// those of floats are added as floats.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let of = match (self.values(), next.values()) {
            (0, _) => next.of,
            (_, 0) => self.of,
            _ => self.of.then(&next.of, self.numbers(), next.numbers()),
        };
        Self {
            rows: self.rows + next.rows,
            nulls: self.nulls + next.nulls,
            nans: self.nans + next.nans,
            of,
        }
    }
}

impl ValueStats {
    /// All zero.
    pub fn zero(field: FieldId, field_type: FieldType) -> Self {
        match field_type {
            FieldType::F64 => Self::F64 {
                min: 0.0,
                max: 0.0,
                first: 0.0,
                last: 0.0,
                sum: 0.0,
            },
            FieldType::I64 if field == FieldId::TIME => Self::Time {
                min: 0,
                max: 0,
                first: 0,
                last: 0,
            },
            FieldType::I64 => Self::I64 {
                min: 0,
                max: 0,
                first: 0,
                last: 0,
                sum: 0,
            },
            FieldType::U64 => Self::U64 {
                min: 0,
                max: 0,
                first: 0,
                last: 0,
                sum: 0,
            },
            FieldType::Bool => Self::Bool {
                trues: 0,
                first: false,
                last: false,
            },
            FieldType::String => Self::String,
        }
    }

    fn then(&self, next: &Self, our_numbers: u64, their_numbers: u64) -> Self {
        match (*self, *next) {
            (
                Self::F64 {
                    min,
                    max,
                    first,
                    sum,
                    ..
                },
                Self::F64 {
                    min: min2,
                    max: max2,
                    last,
                    sum: sum2,
                    ..
                },
            ) => {
                let (min, max) = match (our_numbers, their_numbers) {
                    (_, 0) => (min, max),
                    (0, _) => (min2, max2),
                    _ => (
                        if min2.total_cmp(&min).is_lt() {
                            min2
                        } else {
                            min
                        },
                        if max2.total_cmp(&max).is_gt() {
                            max2
                        } else {
                            max
                        },
                    ),
                };
                Self::F64 {
                    min,
                    max,
                    first,
                    last,
                    sum: canonical(sum + sum2),
                }
            }
            (
                Self::I64 {
                    min,
                    max,
                    first,
                    sum,
                    ..
                },
                Self::I64 {
                    min: min2,
                    max: max2,
                    last,
                    sum: sum2,
                    ..
                },
            ) => Self::I64 {
                min: min.min(min2),
                max: max.max(max2),
                first,
                last,
                sum: sum.wrapping_add(sum2),
            },
            (
                Self::U64 {
                    min,
                    max,
                    first,
                    sum,
                    ..
                },
                Self::U64 {
                    min: min2,
                    max: max2,
                    last,
                    sum: sum2,
                    ..
                },
            ) => Self::U64 {
                min: min.min(min2),
                max: max.max(max2),
                first,
                last,
                sum: sum.wrapping_add(sum2),
            },
            (
                Self::Time {
                    min, max, first, ..
                },
                Self::Time {
                    min: min2,
                    max: max2,
                    last,
                    ..
                },
            ) => Self::Time {
                min: min.min(min2),
                max: max.max(max2),
                first,
                last,
            },
            (
                Self::Bool { trues, first, .. },
                Self::Bool {
                    trues: more, last, ..
                },
            ) => Self::Bool {
                trues: trues + more,
                first,
                last,
            },
            (ours, _) => ours,
        }
    }
}

/// Statistics and the number of NaNs of `values`, which are not empty.
pub(crate) fn of_f64(values: &[f64]) -> (u64, ValueStats) {
    Level::best().run(OfF64(values))
}

/// As [`of_f64`].
struct OfF64<'a>(&'a [f64]);

impl Kernel for OfF64<'_> {
    type Output = (u64, ValueStats);

    #[inline(always)]
    fn run(self, _: usize) -> Self::Output {
        /// The same on every machine: sums depend on it.
        const LANES: usize = 16;
        let Self(values) = self;
        let mut min = [f64::INFINITY; LANES];
        let mut max = [f64::NEG_INFINITY; LANES];
        let mut sum = [0.0f64; LANES];
        let mut error = [0.0f64; LANES];
        let mut nans = [0u64; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        macro_rules! fold {
            ($values:expr) => {
                for (lane, &v) in $values.iter().enumerate() {
                    min[lane] = if v < min[lane] { v } else { min[lane] };
                    max[lane] = if v > max[lane] { v } else { max[lane] };
                    nans[lane] += u64::from(v.is_nan());
                    let (s, e) = two_sum(sum[lane], v);
                    sum[lane] = s;
                    error[lane] += e;
                }
            };
        }
        for chunk in chunks {
            fold!(chunk);
        }
        fold!(rest);
        let nans: u64 = nans.iter().sum();
        let (mut low, mut high) = (min[0], max[0]);
        let (mut total, mut lost) = (0.0, 0.0);
        for lane in 0..LANES {
            low = if min[lane] < low { min[lane] } else { low };
            high = if max[lane] > high { max[lane] } else { high };
            let (s, e) = two_sum(total, sum[lane]);
            total = s;
            lost += e + error[lane];
        }
        if nans == values.len() as u64 {
            (low, high) = (0.0, 0.0);
        } else {
            // Comparisons take both zeros for one; the order of the format does not.
            let has = |bits: u64| values.iter().any(|v| v.to_bits() == bits);
            if low == 0.0 {
                low = if has((-0.0f64).to_bits()) { -0.0 } else { 0.0 };
            }
            if high == 0.0 {
                high = if has(0) { 0.0 } else { -0.0 };
            }
        }
        let mut sum = total + lost;
        if !sum.is_finite() {
            sum = values.iter().fold(0.0, |sum, v| sum + v);
        }
        let of = ValueStats::F64 {
            min: low,
            max: high,
            first: values[0],
            last: values[values.len() - 1],
            sum: canonical(sum),
        };
        (nans, of)
    }
}

/// The sum rounded, and what the rounding lost (Knuth).
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// A sum that is NaN has one form, whatever the machine made of it.
fn canonical(sum: f64) -> f64 {
    if sum.is_nan() { f64::NAN } else { sum }
}

/// Statistics of `values`, which are not empty and at most 2^31.
pub(crate) fn of_i64(values: &[i64]) -> ValueStats {
    let Totals { min, max, sum } = Level::best().run(TotalsOf { values, flip: 0 });
    ValueStats::I64 {
        min,
        max,
        first: values[0],
        last: values[values.len() - 1],
        sum,
    }
}

/// As [`of_i64`], of a time column.
pub(crate) fn of_times(values: &[Timestamp]) -> ValueStats {
    let Totals { min, max, .. } = Level::best().run(TotalsOf { values, flip: 0 });
    ValueStats::Time {
        min,
        max,
        first: values[0],
        last: values[values.len() - 1],
    }
}

/// As [`of_i64`], of the bits of unsigned values.
pub(crate) fn of_u64(values: &[i64]) -> ValueStats {
    // With the highest bit turned they have the order of signed ones, and are less by 2^63.
    let flip = i64::MIN;
    let Totals { min, max, sum } = Level::best().run(TotalsOf { values, flip });
    let sum = sum + ((values.len() as i128) << 63);
    ValueStats::U64 {
        min: (min ^ flip).cast_unsigned(),
        max: (max ^ flip).cast_unsigned(),
        first: values[0].cast_unsigned(),
        last: values[values.len() - 1].cast_unsigned(),
        sum: sum.cast_unsigned(),
    }
}

/// Finds the [`Totals`] of `values` with the bits of `flip` turned; there are at most 2^31 of them.
struct TotalsOf<'a> {
    values: &'a [i64],
    flip: i64,
}

struct Totals {
    min: i64,
    max: i64,
    sum: i128,
}

impl Kernel for TotalsOf<'_> {
    type Output = Totals;

    #[inline(always)]
    fn run(self, _: usize) -> Totals {
        const LANES: usize = 16;
        let Self { values, flip } = self;
        let (mut mins, mut maxs) = ([i64::MAX; LANES], [i64::MIN; LANES]);
        // Halves of the values, so that no sum overflows.
        let (mut lows, mut highs) = ([0i64; LANES], [0i64; LANES]);
        let (chunks, rest) = values.as_chunks::<LANES>();
        macro_rules! fold {
            ($values:expr) => {
                for (lane, &value) in $values.iter().enumerate() {
                    let value = value ^ flip;
                    mins[lane] = mins[lane].min(value);
                    maxs[lane] = maxs[lane].max(value);
                    lows[lane] += value & 0xffff_ffff;
                    highs[lane] += value >> 32;
                }
            };
        }
        for chunk in chunks {
            fold!(chunk);
        }
        fold!(rest);
        let (low, high) = (lows.iter().sum::<i64>(), highs.iter().sum::<i64>());
        Totals {
            min: mins.into_iter().fold(i64::MAX, i64::min),
            max: maxs.into_iter().fold(i64::MIN, i64::max),
            sum: (i128::from(high) << 32) + i128::from(low),
        }
    }
}

/// Statistics of `values`, which are not empty.
pub(crate) fn of_bool(values: &[bool]) -> ValueStats {
    ValueStats::Bool {
        trues: values.iter().map(|&b| u64::from(b)).sum(),
        first: values[0],
        last: values[values.len() - 1],
    }
}

#[cfg(test)]
mod tests;
