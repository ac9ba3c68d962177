//! Dictionary streams: each distinct value once, and a code of few bits for every value.
//!
//! For columns of few values that lie far apart: conditions, flags, sizes of lots, prices that go back and forth
//! with 0. They win over a frame of reference where its width is more than what the codes take. A vector has
//! its own dictionary, so that it can be decoded alone; columns of doubles and strings may have one of a whole
//! segment besides ([`crate::codec::dictionary`]).
//!
//! Layout: the number of entries, the entries, ascending, as a stream of the plain forms, then the codes as
//! one of the plain forms or of run lengths. Those that are written have a frame of reference: where runs of
//! codes take less, runs of the values do too, or nearly.

use super::runs;
use super::{Form, Stream, WHAT, plan::Plan};
use crate::bytes::{Reader, put_varint, varint_len};
use crate::codec::bits;
use crate::version::VECTOR_ROWS;
use crate::{FormatError, Result};

/// Entries at most, of those that are written: with more the codes save little.
const MOST: usize = 128;
/// Values an entry has on average, where dictionaries are tried.
const LEAST_MEAN: usize = 4;
/// Places of the table that finds them, a power of two.
const PLACES: usize = 512;

/// The distinct values of some values.
#[derive(Debug, Clone)]
pub(super) struct Distinct {
    count: usize,
    entries: [i64; MOST],
    codes: [i64; VECTOR_ROWS],
    n: usize,
}

impl Distinct {
    /// The distinct values, if they are so few that codes could take less than `encoded_len` bytes. There are 1
    /// to 1,024 values.
    pub(super) fn of(values: &[i64], encoded_len: usize) -> Option<Self> {
        // A place holds the number of an entry, 0 for none; an entry is in the first free place from its hash on.
        let mut places = [0u8; PLACES];
        let mut found = [0i64; MOST];
        let mut count = 0;
        let mut codes = [0i64; VECTOR_ROWS];
        let most = MOST.min(values.len() / LEAST_MEAN);
        for (code, &value) in codes.iter_mut().zip(values) {
            let hash = value.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut place = usize::try_from(hash >> 55).unwrap_or(0);
            let entry = loop {
                match usize::from(places[place]) {
                    0 => {
                        if count == most {
                            return None;
                        }
                        found[count] = value;
                        count += 1;
                        places[place] = u8::try_from(count).unwrap_or(u8::MAX);
                        break count;
                    }
                    entry if found[entry - 1] == value => break entry,
                    _ => place = (place + 1) % PLACES,
                }
            };
            *code = entry as i64 - 1;
        }
        let codes_len = bits::packed_len(values.len(), width_of(count));
        if codes_len + count >= encoded_len {
            return None;
        }
        let mut entries = found;
        let entries_found = &mut entries[..count];
        entries_found.sort_unstable();
        let mut rank = [0i64; MOST];
        for (rank, value) in rank.iter_mut().zip(&found[..count]) {
            *rank = entries_found.partition_point(|entry| entry < value) as i64;
        }
        for code in &mut codes[..values.len()] {
            *code = rank[usize::try_from(*code).unwrap_or(0) % MOST];
        }
        Some(Self {
            count,
            entries,
            codes,
            n: values.len(),
        })
    }

    fn entries(&self) -> &[i64] {
        &self.entries[..self.count]
    }

    fn codes(&self) -> &[i64] {
        &self.codes[..self.n]
    }

    /// The codes in as many bits as the highest one has: little is gained by looking for more in them.
    fn plan_of_codes(&self) -> Plan {
        Plan::frame(self.n, width_of(self.count))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Length of the stream in bytes.
    pub(super) fn encoded_len(&self) -> usize {
        let entries = Plan::plain(self.entries()).encoded_len();
        1 + varint_len(self.count as u64) + entries + self.plan_of_codes().encoded_len()
    }

    /// Appends the stream.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(Form::Dictionary.tag());
        put_varint(out, self.count as u64);
        Plan::plain(self.entries()).write(self.entries(), out);
        self.plan_of_codes().write(self.codes(), out);
    }
}

/// Bits of the codes of so many entries.
fn width_of(count: usize) -> u8 {
    let width = usize::BITS - count.saturating_sub(1).leading_zeros();
    u8::try_from(width).unwrap_or(64)
}

/// Reads what follows the form of a stream: the number of entries. Fills `out` with the values.
pub(super) fn decode(reader: &mut Reader<'_>, out: &mut [i64]) -> Result<usize> {
    let count = count(reader, out.len())?;
    // Most are few: there is less to fill.
    let (mut few, mut many);
    let entries = match count <= MOST {
        true => {
            few = [0; MOST];
            &mut few[..count]
        }
        false => {
            many = [0; VECTOR_ROWS];
            &mut many[..count]
        }
    };
    Stream::plain(reader, count)?.decode(entries)?;
    let at = reader.position();
    match Stream::tag(reader)? {
        Form::RunLength => {
            runs::decode(reader, out)?;
        }
        form => Stream::of(form, reader, out.len())?.decode(out)?,
    }
    // The highest code without an entry. None is 0: there is an entry.
    let mut beyond = 0;
    for value in out {
        let code = value.cast_unsigned();
        let entry = usize::try_from(code).ok().and_then(|at| entries.get(at));
        if entry.is_none() {
            beyond = beyond.max(code);
        }
        *value = entry.copied().unwrap_or_default();
    }
    if beyond > 0 {
        let expected = format_args!("codes below {count}");
        return Err(FormatError::invalid(WHAT, at as u64, expected, beyond));
    }
    Ok(count)
}

/// Reads past what follows the form, of which nothing but the number of entries is looked at.
pub(super) fn skip(reader: &mut Reader<'_>, n: usize) -> Result<usize> {
    let count = count(reader, n)?;
    Stream::plain(reader, count)?;
    match Stream::tag(reader)? {
        Form::RunLength => {
            runs::skip(reader, n)?;
        }
        form => {
            Stream::of(form, reader, n)?;
        }
    }
    Ok(count)
}

fn count(reader: &mut Reader<'_>, n: usize) -> Result<usize> {
    let at = reader.position();
    match reader.count(n)? {
        0 => Err(reader.invalid_at(at, format_args!("1 to {n} entries"), 0)),
        count => Ok(count),
    }
}
