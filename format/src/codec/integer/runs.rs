//! Run-length streams: each run of equal values once, with its length.
//!
//! For columns that stay as they are for long: states, limits, counters of rare events, prices of quiet
//! markets. They win where runs have four values or more and these differ too much for a few bits each.
//!
//! Layout: the number of runs, then two streams of the plain forms: the values of the runs, and their lengths
//! less one. As in the papers on column stores (Abadi, Madden and Ferreira, SIGMOD 2006), but that both parts
//! are packed like any other integers.

use super::{Form, Stream, WHAT, plan::Plan};
use crate::bytes::{Reader, put_varint, varint_len};
use crate::codec::simd::{Kernel, Level};
use crate::version::VECTOR_ROWS;
use crate::{FormatError, Result};

/// Values a run has on average where run lengths are tried.
const LEAST_MEAN: usize = 4;

/// The runs of some values.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    count: usize,
    values: [i64; VECTOR_ROWS / LEAST_MEAN],
    /// Less one.
    lengths: [i64; VECTOR_ROWS / LEAST_MEAN],
}

impl Runs {
    /// The runs, if there are few enough. There are 1 to 1,024 values.
    pub(super) fn of(values: &[i64]) -> Option<Self> {
        let breaks = Level::best().run(Breaks(values));
        if (breaks + 1) * LEAST_MEAN > values.len() {
            return None;
        }
        let mut runs = Self {
            count: 0,
            values: [0; VECTOR_ROWS / LEAST_MEAN],
            lengths: [0; VECTOR_ROWS / LEAST_MEAN],
        };
        for run in values.chunk_by(|a, b| a == b) {
            runs.values[runs.count] = run[0];
            runs.lengths[runs.count] = i64::try_from(run.len() - 1).unwrap_or(i64::MAX);
            runs.count += 1;
        }
        Some(runs)
    }

    fn values(&self) -> &[i64] {
        &self.values[..self.count]
    }

    fn lengths(&self) -> &[i64] {
        &self.lengths[..self.count]
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Length of the stream in bytes.
    pub(super) fn encoded_len(&self) -> usize {
        let parts = [self.values(), self.lengths()].map(|part| Plan::plain(part).encoded_len());
        1 + varint_len(self.count as u64) + parts.iter().sum::<usize>()
    }

    /// Appends the stream.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(Form::RunLength.tag());
        put_varint(out, self.count as u64);
        for part in [self.values(), self.lengths()] {
            Plan::plain(part).write(part, out);
        }
    }
}

/// Counts the places where a value is not the one before it.
struct Breaks<'a>(&'a [i64]);

impl Kernel for Breaks<'_> {
    type Output = usize;

    #[inline(always)]
    fn run(self, _: usize) -> usize {
        let pairs = self.0.windows(2);
        pairs.filter(|pair| pair[0] != pair[1]).count()
    }
}

/// Reads what follows the form of a stream of `n` values: the number of runs. Fills `out` with them.
pub(super) fn decode(reader: &mut Reader<'_>, out: &mut [i64]) -> Result<usize> {
    let n = out.len();
    let count = count(reader, n)?;
    let (mut values, mut lengths) = ([0; VECTOR_ROWS], [0; VECTOR_ROWS]);
    let (values, lengths) = (&mut values[..count], &mut lengths[..count]);
    Stream::plain(reader, count)?.decode(values)?;
    let at = reader.position();
    Stream::plain(reader, count)?.decode(lengths)?;
    let mut left = out;
    for (value, less_one) in values.iter().zip(lengths) {
        let len = u64::try_from(*less_one).map_or(u64::MAX, |l| l.saturating_add(1));
        let rest = usize::try_from(len).ok().and_then(|len| {
            let left = std::mem::take(&mut left);
            left.split_at_mut_checked(len)
        });
        let Some((run, rest)) = rest else {
            let expected = format_args!("runs of {n} values");
            let actual = format_args!("one of {len} where fewer are left");
            return Err(FormatError::invalid(WHAT, at as u64, expected, actual));
        };
        run.fill(*value);
        left = rest;
    }
    match left.len() {
        0 => Ok(count),
        left => {
            let expected = format_args!("runs of {n} values");
            Err(FormatError::invalid(WHAT, at as u64, expected, n - left))
        }
    }
}

/// Reads past what follows the form, of which nothing but the number of runs is looked at.
pub(super) fn skip(reader: &mut Reader<'_>, n: usize) -> Result<usize> {
    let count = count(reader, n)?;
    Stream::plain(reader, count)?;
    Stream::plain(reader, count)?;
    Ok(count)
}

fn count(reader: &mut Reader<'_>, n: usize) -> Result<usize> {
    let at = reader.position();
    match reader.count(n)? {
        0 => Err(reader.invalid_at(at, format_args!("1 to {n} runs"), 0)),
        count => Ok(count),
    }
}
