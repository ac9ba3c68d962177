//! The types that can be added and compared.

use tidestone_format::codec::stats::{ValueStats, VectorStats};
use tidestone_format::column::Values;

/// A value of a field.
pub(super) trait Number: Copy + Default + PartialOrd + std::fmt::Debug {
    /// What a sum is kept in: exact for integers.
    type Sum: Copy + Default + std::fmt::Debug + std::fmt::Display;
    /// Stands for "no least or greatest value".
    const NONE: (Self, Self);

    /// The values of a column of this type.
    fn of(values: &Values) -> Option<&[Self]>;

    /// A column's values.
    fn values(values: Vec<Self>) -> Values;

    /// What statistics of a vector of this type say.
    fn whole(stats: &VectorStats) -> Option<Whole<Self>>;

    /// Sums as an answer gives them, or the first that does not fit.
    fn sums(sums: Vec<Self::Sum>) -> Result<Values, Self::Sum>;

    /// Sums divided by how many values they are of; by one where there are none.
    fn means(sums: Vec<Self::Sum>, counts: impl Iterator<Item = u64>) -> Vec<f64>;

    fn add(a: Self::Sum, b: Self::Sum) -> Self::Sum;

    /// The sum of values.
    fn sum(values: &[Self]) -> Self::Sum;

    /// Least and greatest of values that are not empty; [`Number::NONE`] where there is none.
    fn extremes(values: &[Self]) -> (Self, Self);

    /// Least and greatest of two such pairs.
    fn widen(a: (Self, Self), b: (Self, Self)) -> (Self, Self);
}

/// What statistics say of a vector.
#[derive(Debug)]
pub(super) struct Whole<T: Number> {
    pub(super) sum: T::Sum,
    pub(super) extremes: (T, T),
    pub(super) first: T,
    pub(super) last: T,
}

/// What is the same for f64, i64 and u64: columns and statistics have a kind for each.
macro_rules! kind {
    ($kind:ident) => {
        #[inline]
        fn of(values: &Values) -> Option<&[Self]> {
            match values {
                Values::$kind(values) => Some(values),
                _ => None,
            }
        }

        fn values(values: Vec<Self>) -> Values {
            Values::$kind(values)
        }

        fn whole(stats: &VectorStats) -> Option<Whole<Self>> {
            let ValueStats::$kind {
                min,
                max,
                first,
                last,
                sum,
            } = stats.of
            else {
                return None;
            };
            Some(Whole {
                sum,
                extremes: (min, max),
                first,
                last,
            })
        }
    };
}

/// Values added side by side, so that they need not wait for each other.
const LANES: usize = 8;

impl Number for f64 {
    type Sum = f64;
    const NONE: (Self, Self) = (f64::INFINITY, f64::NEG_INFINITY);

    kind!(F64);

    fn sums(sums: Vec<f64>) -> Result<Values, f64> {
        Ok(Values::F64(sums))
    }

    fn means(mut sums: Vec<f64>, counts: impl Iterator<Item = u64>) -> Vec<f64> {
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum /= count.max(1) as f64;
        }
        sums
    }

    #[inline]
    fn add(a: f64, b: f64) -> f64 {
        a + b
    }

    #[inline]
    fn sum(values: &[f64]) -> f64 {
        if values.len() < 2 * LANES {
            return values.iter().fold(0.0, |sum, v| sum + v);
        }
        let (chunks, rest) = values.as_chunks::<LANES>();
        let mut lanes = [0.0; LANES];
        for chunk in chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *lane += v;
            }
        }
        let lanes = lanes.iter().fold(0.0, |sum, v| sum + v);
        rest.iter().fold(lanes, |sum, v| sum + v)
    }

    #[inline]
    fn extremes(values: &[f64]) -> (f64, f64) {
        let (mut min, mut max) = Self::NONE;
        let mut rest = values;
        if values.len() >= 2 * LANES {
            let (chunks, tail) = values.as_chunks::<LANES>();
            rest = tail;
            let (mut mins, mut maxs) = ([min; LANES], [max; LANES]);
            for chunk in chunks {
                for lane in 0..LANES {
                    let v = chunk[lane];
                    mins[lane] = if v < mins[lane] { v } else { mins[lane] };
                    maxs[lane] = if v > maxs[lane] { v } else { maxs[lane] };
                }
            }
            for lane in 0..LANES {
                min = if mins[lane] < min { mins[lane] } else { min };
                max = if maxs[lane] > max { maxs[lane] } else { max };
            }
        }
        for &v in rest {
            min = if v < min { v } else { min };
            max = if v > max { v } else { max };
        }
        // Comparisons take both zeros for one; the order of values does not.
        if min == 0.0 {
            let any = values.iter().any(|v| v.to_bits() == (-0.0f64).to_bits());
            min = if any { -0.0 } else { 0.0 };
        }
        if max == 0.0 {
            let any = values.iter().any(|v| v.to_bits() == 0);
            max = if any { 0.0 } else { -0.0 };
        }
        (min, max)
    }

    #[inline]
    fn widen(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
        let min = if b.0.total_cmp(&a.0).is_lt() {
            b.0
        } else {
            a.0
        };
        let max = if b.1.total_cmp(&a.1).is_gt() {
            b.1
        } else {
            a.1
        };
        (min, max)
    }
}

macro_rules! integer {
    ($type:ty, $kind:ident, $sum:ty) => {
        impl Number for $type {
            type Sum = $sum;
            const NONE: (Self, Self) = (<$type>::MAX, <$type>::MIN);

            kind!($kind);

            fn sums(sums: Vec<$sum>) -> Result<Values, $sum> {
                let fitting = sums.into_iter().map(|sum| sum.try_into().map_err(|_| sum));
                Ok(Values::$kind(fitting.collect::<Result<_, _>>()?))
            }

            fn means(sums: Vec<$sum>, counts: impl Iterator<Item = u64>) -> Vec<f64> {
                let mean = |(sum, count): ($sum, u64)| sum as f64 / count.max(1) as f64;
                sums.into_iter().zip(counts).map(mean).collect()
            }

            #[inline]
            fn add(a: $sum, b: $sum) -> $sum {
                a + b
            }

            #[inline]
            fn sum(values: &[$type]) -> $sum {
                // In halves, which cannot overflow: slices have at most 2^31 values.
                let (mut low, mut high) = (0, 0);
                for &v in values {
                    low += v & 0xffff_ffff;
                    high += v >> 32;
                }
                (<$sum>::from(high) << 32) + <$sum>::from(low)
            }

            #[inline]
            fn extremes(values: &[$type]) -> ($type, $type) {
                let (mut min, mut max) = Self::NONE;
                for &v in values {
                    min = min.min(v);
                    max = max.max(v);
                }
                (min, max)
            }

            #[inline]
            fn widen(a: ($type, $type), b: ($type, $type)) -> ($type, $type) {
                (a.0.min(b.0), a.1.max(b.1))
            }
        }
    };
}

integer!(i64, I64, i128);
integer!(u64, U64, u128);

impl Number for bool {
    type Sum = u128;
    const NONE: (Self, Self) = (true, false);

    #[inline]
    fn of(values: &Values) -> Option<&[Self]> {
        match values {
            Values::Bool(values) => Some(values),
            _ => None,
        }
    }

    fn values(values: Vec<Self>) -> Values {
        Values::Bool(values)
    }

    fn whole(stats: &VectorStats) -> Option<Whole<Self>> {
        let ValueStats::Bool { trues, first, last } = stats.of else {
            return None;
        };
        Some(Whole {
            sum: u128::from(trues),
            extremes: (trues == stats.values(), trues > 0),
            first,
            last,
        })
    }

    fn sums(sums: Vec<u128>) -> Result<Values, u128> {
        u64::sums(sums)
    }

    fn means(sums: Vec<u128>, counts: impl Iterator<Item = u64>) -> Vec<f64> {
        u64::means(sums, counts)
    }

    #[inline]
    fn add(a: u128, b: u128) -> u128 {
        a + b
    }

    #[inline]
    fn sum(values: &[bool]) -> u128 {
        values.iter().map(|&v| u128::from(v)).sum()
    }

    #[inline]
    fn extremes(values: &[bool]) -> (bool, bool) {
        (values.iter().all(|v| *v), values.iter().any(|v| *v))
    }

    #[inline]
    fn widen(a: (bool, bool), b: (bool, bool)) -> (bool, bool) {
        (a.0 && b.0, a.1 || b.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_integers_are_exact() {
        assert_eq!(i64::sum(&[i64::MAX; 5]), 5 * i128::from(i64::MAX));
        assert_eq!(i64::sum(&[i64::MIN, -1, 1]), i128::from(i64::MIN));
        assert_eq!(u64::sum(&[u64::MAX; 3]), 3 * u128::from(u64::MAX));
        assert_eq!(bool::sum(&[true, false, true]), 2);
    }

    #[test]
    fn extremes_ignore_nan_and_tell_the_zeros_apart() {
        let check = |values: &[f64], min: f64, max: f64| {
            for pad in 0..10 {
                let mut values = values.to_vec();
                values.extend(std::iter::repeat_n(f64::NAN, pad));
                let (low, high) = f64::extremes(&values);
                assert_eq!(
                    (low.to_bits(), high.to_bits()),
                    (min.to_bits(), max.to_bits())
                );
            }
        };
        check(&[0.0, -0.0], -0.0, 0.0);
        check(&[-0.0, -0.0], -0.0, -0.0);
        check(&[1.0, f64::NAN, -2.0], -2.0, 1.0);
        check(
            &[f64::NEG_INFINITY, f64::INFINITY],
            f64::NEG_INFINITY,
            f64::INFINITY,
        );
        check(&[], f64::INFINITY, f64::NEG_INFINITY);
        assert_eq!(f64::sum(&[0.5; 100]), 50.0);
    }
}
