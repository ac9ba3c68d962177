//! Statistics of a column of a row group, as arrays with one entry a vector.

use crate::bytes::{Reader, put_part};
use crate::codec::stats::{ValueStats, VectorStats};
use crate::codec::{float, integer};
use crate::version::{GROUP_VECTORS, VECTOR_ROWS};
use crate::{FieldId, FieldType, FormatError, Result};

const HAS_NULLS: u8 = 1;
const HAS_NANS: u8 = 2;
const HAS_VALUES: u8 = 4;

/// Statistics of the vectors of one column of one row group.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnStats {
    vectors: Vec<VectorStats>,
}

impl ColumnStats {
    /// Bytes of memory it takes, about.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.vectors.capacity() * size_of::<VectorStats>()
    }

    /// Statistics of each vector.
    pub fn vectors(&self) -> &[VectorStats] {
        &self.vectors
    }

    /// Statistics of all rows of the row group.
    pub fn total(&self) -> Option<VectorStats> {
        self.vectors.iter().copied().reduce(|a, b| a.then(&b))
    }

    /// Appends the statistics of the vectors of one column, all of one type.
    pub(crate) fn encode(vectors: &[VectorStats], out: &mut Vec<u8>) {
        let any = |test: fn(&VectorStats) -> bool| vectors.iter().any(test);
        let mut flags = 0;
        for (bit, set) in [
            (HAS_NULLS, any(|v| v.nulls > 0)),
            (HAS_NANS, any(|v| v.nans > 0)),
            (HAS_VALUES, any(|v| v.values() > 0)),
        ] {
            flags |= if set { bit } else { 0 };
        }
        out.push(flags);
        let mut arrays = Arrays {
            vectors,
            out,
            scratch: Vec::new(),
        };
        if flags & HAS_NULLS != 0 {
            arrays.integers(|v| v.nulls.cast_signed());
        }
        if flags & HAS_NANS != 0 {
            arrays.integers(|v| v.nans.cast_signed());
        }
        if flags & HAS_VALUES != 0 {
            arrays.values();
        }
    }

    /// The statistics of one column of a row group of `rows` rows.
    ///
    /// # Errors
    /// Bytes that no writer makes: see the module.
    pub(crate) fn decode(
        r: &mut Reader<'_>,
        field: FieldId,
        field_type: FieldType,
        rows: usize,
    ) -> Result<Self> {
        let count = rows.div_ceil(VECTOR_ROWS);
        debug_assert!((1..=GROUP_VECTORS).contains(&count), "callers check rows");
        let mut vectors = Vec::with_capacity(count);
        for i in 0..count {
            let rows = (rows - i * VECTOR_ROWS).min(VECTOR_ROWS);
            vectors.push(VectorStats {
                rows: rows as u64,
                nulls: 0,
                nans: 0,
                of: ValueStats::zero(field, field_type),
            });
        }
        let at = r.position();
        let flags = r.u8()?;
        if flags & !(HAS_NULLS | HAS_NANS | HAS_VALUES) != 0 {
            return Err(r.invalid_at(at, "statistics flags of at most 7", flags));
        }
        if flags & HAS_NULLS != 0 {
            for (v, nulls) in vectors.iter_mut().zip(integers(r, count)?) {
                v.nulls = count_within(nulls, v.rows, "null count", at)?;
            }
        }
        if flags & HAS_NANS != 0 {
            for (v, nans) in vectors.iter_mut().zip(integers(r, count)?) {
                v.nans = count_within(nans, v.values(), "NaN count", at)?;
            }
        }
        if flags & HAS_VALUES != 0 {
            decode_values(r, &mut vectors)?;
        }
        Ok(Self { vectors })
    }
}

fn count_within(count: i64, limit: u64, what: &'static str, at: usize) -> Result<u64> {
    match u64::try_from(count) {
        Ok(n) if n <= limit => Ok(n),
        _ => Err(FormatError::invalid(
            what,
            at as u64,
            format_args!("0 to {limit}"),
            count,
        )),
    }
}

/// Writes arrays with one entry a vector.
struct Arrays<'a> {
    vectors: &'a [VectorStats],
    out: &'a mut Vec<u8>,
    scratch: Vec<u8>,
}

impl Arrays<'_> {
    fn integers(&mut self, of: impl Fn(&VectorStats) -> i64) {
        let values: Vec<i64> = self.vectors.iter().map(of).collect();
        put_part(self.out, &mut self.scratch, |out| {
            integer::encode(&values, out);
        });
    }

    fn floats(&mut self, of: impl Fn(&VectorStats) -> f64) {
        let values: Vec<f64> = self.vectors.iter().map(of).collect();
        put_part(self.out, &mut self.scratch, |out| {
            float::encode(&values, out);
        });
    }

    /// The arrays of the column's type. The closures name a field each; vectors of one column
    /// are of one type, so that their other arm is never taken.
    fn values(&mut self) {
        use ValueStats as V;
        macro_rules! each {
            ($put:ident, $variant:ident: $($field:ident $with:expr),+) => {
                $(self.$put(|v| match v.of {
                    V::$variant { $field, .. } => $with($field),
                    _ => Default::default(),
                });)+
            };
        }
        let Some(first) = self.vectors.first() else {
            return;
        };
        let same = |v: i64| v;
        match first.of {
            V::F64 { .. } => {
                let same = |v: f64| v;
                each!(floats, F64: min same, max same, first same, last same, sum same);
            }
            V::I64 { .. } => {
                each!(integers, I64: min same, max same, first same, last same);
                each!(integers, I64: sum low_half, sum high_half);
            }
            V::U64 { .. } => {
                let bits = u64::cast_signed;
                each!(integers, U64: min bits, max bits, first bits, last bits);
                let (low, high) = (
                    |v: u128| low_half(v.cast_signed()),
                    |v: u128| high_half(v.cast_signed()),
                );
                each!(integers, U64: sum low, sum high);
            }
            V::Time { .. } => {
                each!(integers, Time: min same, max same, first same, last same);
            }
            V::Bool { .. } => {
                each!(integers, Bool: trues u64::cast_signed, first i64::from, last i64::from);
            }
            V::String => {}
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn low_half(sum: i128) -> i64 {
    sum as i64
}

fn high_half(sum: i128) -> i64 {
    low_half(sum >> 64)
}

fn join_halves(low: i64, high: i64) -> i128 {
    (i128::from(high) << 64) | i128::from(low.cast_unsigned())
}

fn integers(r: &mut Reader<'_>, count: usize) -> Result<Vec<i64>> {
    r.part("statistics", |r| {
        let mut values = vec![0; count];
        integer::decode(r, &mut values)?;
        Ok(values)
    })
}

fn floats(r: &mut Reader<'_>, count: usize) -> Result<Vec<f64>> {
    r.part("statistics", |r| {
        let mut values = vec![0.0; count];
        float::decode(r, &mut values)?;
        Ok(values)
    })
}

fn decode_values(r: &mut Reader<'_>, vectors: &mut [VectorStats]) -> Result<()> {
    use ValueStats as V;
    let n = vectors.len();
    match vectors[0].of {
        V::F64 { .. } => {
            let [mins, maxs, firsts, lasts, sums] = [
                floats(r, n)?,
                floats(r, n)?,
                floats(r, n)?,
                floats(r, n)?,
                floats(r, n)?,
            ];
            for (i, v) in vectors.iter_mut().enumerate() {
                v.of = V::F64 {
                    min: mins[i],
                    max: maxs[i],
                    first: firsts[i],
                    last: lasts[i],
                    sum: sums[i],
                };
            }
        }
        V::I64 { .. } | V::U64 { .. } | V::Time { .. } => {
            let [mins, maxs, firsts, lasts] = [
                integers(r, n)?,
                integers(r, n)?,
                integers(r, n)?,
                integers(r, n)?,
            ];
            let sums = match vectors[0].of {
                V::Time { .. } => vec![0; n],
                _ => {
                    let (low, high) = (integers(r, n)?, integers(r, n)?);
                    low.iter()
                        .zip(&high)
                        .map(|(&l, &h)| join_halves(l, h))
                        .collect()
                }
            };
            for (i, v) in vectors.iter_mut().enumerate() {
                let (min, max, first, last) = (mins[i], maxs[i], firsts[i], lasts[i]);
                v.of = match v.of {
                    V::Time { .. } => V::Time {
                        min,
                        max,
                        first,
                        last,
                    },
                    V::U64 { .. } => V::U64 {
                        min: min.cast_unsigned(),
                        max: max.cast_unsigned(),
                        first: first.cast_unsigned(),
                        last: last.cast_unsigned(),
                        sum: sums[i].cast_unsigned(),
                    },
                    _ => V::I64 {
                        min,
                        max,
                        first,
                        last,
                        sum: sums[i],
                    },
                };
            }
        }
        V::Bool { .. } => {
            let at = r.position();
            let [trues, firsts, lasts] = [integers(r, n)?, integers(r, n)?, integers(r, n)?];
            for (i, v) in vectors.iter_mut().enumerate() {
                v.of = V::Bool {
                    trues: count_within(trues[i], v.values(), "number of trues", at)?,
                    first: count_within(firsts[i], 1, "first bool", at)? == 1,
                    last: count_within(lasts[i], 1, "last bool", at)? == 1,
                };
            }
        }
        V::String => {}
    }
    Ok(())
}
