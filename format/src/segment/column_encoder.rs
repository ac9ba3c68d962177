//! Encoding the columns of a row group: which vectors become what.

use std::ops::Range;

use crate::codec::alp;
use crate::codec::dictionary::{FloatCodes, StringCodes};
use crate::codec::integer::{self, Trend};
use crate::codec::stats::{self, ValueStats, VectorStats};
use crate::codec::vector::{Encoding, NullForm, Validity, put_head, put_raw};
use crate::column::{Bitmap, Column, Strings, Values};
use crate::segment::EncodingUse;
use crate::segment::block::BlockBuilder;
use crate::version::VECTOR_ROWS;
use crate::{FieldId, FieldType};

mod dictionary;
mod estimate;

/// Encodes one column, row group after row group.
#[derive(Debug)]
pub(crate) struct ColumnEncoder {
    field: FieldId,
    field_type: FieldType,
    floats: FloatCodes,
    strings: StringCodes,
    /// How many times in a row a dictionary was tried and did not pay.
    failures: u32,
    /// Row groups to go before it is tried again.
    pause: u32,
    /// How values were taken for decimals, and how many of 1,024 did not fit then.
    decimals: Option<(alp::Candidates, usize)>,
    /// What its integers were written as, and those of its decimals.
    trend: Trend,
    uses: [EncodingUse; Encoding::ALL.len()],
}

/// Bytes of strings of a vector for which exactly the room is made that they need.
const LONG_TEXT: usize = 1 << 20;
/// So many more values of 1,024 may not fit before decimals are looked at anew.
const MORE_MISFITS: usize = 4;

/// Memory that encoders share, one after another.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The block that was built last.
    pub(crate) block: BlockBuilder,
    /// Statistics of its vectors.
    pub(crate) stats: Vec<VectorStats>,
    shapes: Vec<Shape>,
    choices: Vec<Choice>,
    payloads: Vec<u8>,
    coded: Vec<u8>,
    codes: Vec<i64>,
    dense: Dense,
}

#[derive(Debug, Default)]
struct Dense {
    floats: Vec<f64>,
    integers: Vec<i64>,
    bools: Vec<bool>,
}

/// What is to be done about the nulls of a vector.
#[derive(Debug)]
struct Shape {
    rows: Range<usize>,
    form: NullForm,
    /// Of a vector with nulls and values.
    map: Option<Validity>,
    all_null: bool,
}

/// How a vector is to be written.
#[derive(Debug, Clone)]
struct Choice {
    encoding: Encoding,
    /// Bytes of the payload in the scratch it was encoded to; empty for those that are written
    /// straight from the values.
    payload: Range<usize>,
}

impl Choice {
    fn direct(encoding: Encoding) -> Self {
        Self {
            encoding,
            payload: 0..0,
        }
    }
}

impl Shape {
    /// The values that are written.
    fn payload<'a, T: Copy>(&self, values: &'a [T], dense: &'a mut Vec<T>) -> &'a [T] {
        match self.form {
            NullForm::Dense => self.present(values, dense),
            NullForm::None | NullForm::Filled => &values[self.rows.clone()],
        }
    }

    /// The values that are not null.
    fn present<'a, T: Copy>(&self, values: &'a [T], dense: &'a mut Vec<T>) -> &'a [T] {
        let values = &values[self.rows.clone()];
        let Some(map) = &self.map else {
            return values;
        };
        dense.clear();
        dense.extend((0..values.len()).filter(|&i| map.get(i)).map(|i| values[i]));
        dense
    }

    /// Puts at each null the value before it, and at the first ones the value after them.
    fn fill<T: Copy>(&self, values: &mut [T]) {
        let (NullForm::Filled, Some(map)) = (self.form, &self.map) else {
            return;
        };
        let values = &mut values[self.rows.clone()];
        let Some(first) = (0..values.len()).find(|&i| map.get(i)) else {
            return;
        };
        let mut before = values[first];
        for (i, value) in values.iter_mut().enumerate() {
            if map.get(i) {
                before = *value;
            } else {
                *value = before;
            }
        }
    }

    /// Values in the payload.
    fn count(&self) -> usize {
        match (&self.map, self.form) {
            (Some(map), NullForm::Dense) => map.values(),
            _ => self.rows.len(),
        }
    }
}

/// Cuts `rows` rows into vectors.
fn shape(validity: Option<&Bitmap>, rows: usize, shapes: &mut Vec<Shape>) {
    shapes.clear();
    for start in (0..rows).step_by(VECTOR_ROWS) {
        let end = rows.min(start + VECTOR_ROWS);
        let map = validity.map(|bits| {
            let words = &bits.words()[start / 64..end.div_ceil(64)];
            Validity::from_words(words, end - start)
        });
        let values = map.as_ref().map_or(end - start, Validity::values);
        let nulls = end - start - values;
        shapes.push(Shape {
            rows: start..end,
            form: match nulls {
                0 => NullForm::None,
                _ if values == 0 => NullForm::None,
                _ if nulls * 4 < end - start => NullForm::Filled,
                _ => NullForm::Dense,
            },
            map: map.filter(|_| nulls > 0 && values > 0),
            all_null: values == 0,
        });
    }
}

impl ColumnEncoder {
    /// An encoder whose dictionary of strings has at most `text` bytes of them.
    pub(crate) fn new(field: FieldId, field_type: FieldType, text: usize) -> Self {
        Self {
            field,
            field_type,
            floats: FloatCodes::default(),
            strings: StringCodes::with_at_most(text),
            failures: 0,
            pause: 0,
            decimals: None,
            trend: Trend::default(),
            uses: Default::default(),
        }
    }

    /// Vectors and bytes by encoding, in the order of [`Encoding::ALL`].
    pub(crate) fn uses(&self) -> [EncodingUse; Encoding::ALL.len()] {
        self.uses
    }

    /// Values of the dictionary; 0 if there is none.
    pub(crate) fn dictionary_len(&self) -> usize {
        self.floats.len() + self.strings.len()
    }

    /// Appends the dictionary.
    pub(crate) fn put_dictionary(&self, out: &mut Vec<u8>) {
        match self.field_type {
            FieldType::F64 => self.floats.put(out),
            _ => self.strings.put(out),
        }
    }

    /// Builds the block of a row group in `scratch`, with the statistics of its vectors. Values
    /// at nulls are overwritten.
    pub(crate) fn encode(&mut self, group: u32, column: &mut Column, scratch: &mut Scratch) {
        self.start(group, column.len(), scratch);
        self.encode_part(column, scratch);
    }

    /// Starts the block of a row group of `rows` rows in `scratch`.
    pub(crate) fn start(&self, group: u32, rows: usize, scratch: &mut Scratch) {
        let block = &mut scratch.block;
        block.start(self.field, self.field_type, group, rows);
    }

    /// Appends vectors to the block that was started in `scratch`, with their statistics. Values at
    /// nulls are overwritten. All vectors of a block but its last are whole.
    pub(crate) fn encode_part(&mut self, column: &mut Column, scratch: &mut Scratch) {
        let Column { values, validity } = column;
        scratch.stats.clear();
        scratch.choices.clear();
        scratch.payloads.clear();
        shape(validity.as_ref(), values.len(), &mut scratch.shapes);
        match values {
            Values::F64(values) => self.encode_floats(values, scratch),
            Values::I64(values) => {
                let of = match self.field {
                    FieldId::TIME => stats::of_times,
                    _ => stats::of_i64,
                };
                self.encode_integers(values, of, scratch);
            }
            Values::U64(values) => {
                let mut bits: Vec<i64> = values.iter().map(|v| v.cast_signed()).collect();
                self.encode_integers(&mut bits, stats::of_u64, scratch);
            }
            Values::Bool(values) => self.encode_bools(values, scratch),
            Values::String(values) => self.encode_strings(values, scratch),
        }
    }

    fn encode_floats(&mut self, values: &mut [f64], scratch: &mut Scratch) {
        for shape in &scratch.shapes {
            let present = shape.present(values, &mut scratch.dense.floats);
            let stats = self.stats(shape, || stats::of_f64(present));
            scratch.stats.push(stats);
            shape.fill(values);
        }
        self.encode_decimals(values, scratch);
        self.try_float_dictionary(values, scratch);
        self.assemble(scratch, |shape, encoding, dense, out| {
            let payload = shape.payload(values, &mut dense.floats);
            match encoding {
                Encoding::Constant => out.extend_from_slice(&payload[0].to_bits().to_le_bytes()),
                _ => put_raw(out, payload, f64::to_le_bytes),
            }
        });
    }

    /// Chooses among all null, constant, decimals and raw.
    ///
    /// To find how values are best taken for decimals costs about as much as to encode them, so
    /// what was found for an earlier row group is used until it fits less well.
    fn encode_decimals(&mut self, values: &[f64], scratch: &mut Scratch) {
        if let Some((candidates, misfits)) = self.decimals.take()
            && !candidates.pairs().is_empty()
        {
            let found = choose_floats(values, &candidates, &mut self.trend, scratch);
            if found <= misfits + MORE_MISFITS {
                self.decimals = Some((candidates, misfits));
                return;
            }
            scratch.choices.clear();
            scratch.payloads.clear();
        }
        let candidates = alp::Candidates::sample(values);
        let misfits = choose_floats(values, &candidates, &mut self.trend, scratch);
        self.decimals = Some((candidates, misfits));
    }

    fn encode_integers(
        &mut self,
        values: &mut [i64],
        of: fn(&[i64]) -> ValueStats,
        scratch: &mut Scratch,
    ) {
        for shape in &scratch.shapes {
            let present = shape.present(values, &mut scratch.dense.integers);
            let stats = self.stats(shape, || (0, of(present)));
            scratch.stats.push(stats);
            shape.fill(values);
            if shape.all_null {
                scratch.choices.push(Choice::direct(Encoding::AllNull));
                continue;
            }
            let payload = shape.payload(values, &mut scratch.dense.integers);
            if payload.iter().all(|&v| v == payload[0]) {
                scratch.choices.push(Choice::direct(Encoding::Constant));
                continue;
            }
            let start = scratch.payloads.len();
            integer::encode_next(payload, &mut self.trend, &mut scratch.payloads);
            let len = scratch.payloads.len() - start;
            if worth_encoding(len, payload.len()) {
                scratch.choices.push(Choice {
                    encoding: Encoding::Integer,
                    payload: start..start + len,
                });
            } else {
                scratch.payloads.truncate(start);
                scratch.choices.push(Choice::direct(Encoding::Raw));
            }
        }
        self.assemble(scratch, |shape, encoding, dense, out| {
            let payload = shape.payload(values, &mut dense.integers);
            match encoding {
                Encoding::Constant => out.extend_from_slice(&payload[0].to_le_bytes()),
                _ => put_raw(out, payload, i64::to_le_bytes),
            }
        });
    }

    fn encode_bools(&mut self, values: &mut [bool], scratch: &mut Scratch) {
        for shape in &scratch.shapes {
            let present = shape.present(values, &mut scratch.dense.bools);
            let stats = self.stats(shape, || (0, stats::of_bool(present)));
            scratch.stats.push(stats);
            shape.fill(values);
            let payload = shape.payload(values, &mut scratch.dense.bools);
            scratch.choices.push(Choice::direct(match payload.first() {
                _ if shape.all_null => Encoding::AllNull,
                Some(first) if payload.iter().all(|v| v == first) => Encoding::Constant,
                _ => Encoding::Bitmap,
            }));
        }
        self.assemble(scratch, |shape, encoding, dense, out| {
            let payload = shape.payload(values, &mut dense.bools);
            match encoding {
                Encoding::Constant => out.extend_from_slice(&u64::from(payload[0]).to_le_bytes()),
                _ => out.extend(payload.chunks(8).map(|eight| {
                    eight
                        .iter()
                        .rev()
                        .fold(0, |byte, &bit| byte << 1 | u8::from(bit))
                })),
            }
        });
    }

    fn encode_strings(&mut self, values: &Strings, scratch: &mut Scratch) {
        for shape in &scratch.shapes {
            let stats = self.stats(shape, || (0, ValueStats::String));
            scratch.stats.push(stats);
            scratch.choices.push(Choice::direct(match shape.all_null {
                true => Encoding::AllNull,
                false => Encoding::PlainStrings,
            }));
        }
        self.try_string_dictionary(values, scratch);
        self.assemble(scratch, |shape, _, dense, out| {
            let map = shape.map.as_ref();
            let written = |&row: &usize| {
                shape.form != NullForm::Dense || map.is_none_or(|m| m.get(row - shape.rows.start))
            };
            // A null has the empty string, whatever its form.
            let text = |row: usize| match map {
                Some(map) if !map.get(row - shape.rows.start) => "",
                _ => values.get(row),
            };
            let rows = || shape.rows.clone().filter(written);
            dense.integers.clear();
            dense
                .integers
                .extend(rows().map(|row| i64::try_from(text(row).len()).unwrap_or(i64::MAX)));
            let mut scratch = Vec::new();
            crate::bytes::put_part(out, &mut scratch, |out| {
                integer::encode(&dense.integers, out);
            });
            let bytes: usize = rows().map(|row| text(row).len()).sum();
            if bytes > LONG_TEXT {
                // Not twice as much, as a vector grows by itself.
                out.reserve_exact(bytes);
            }
            rows().for_each(|row| out.extend_from_slice(text(row).as_bytes()));
        });
    }

    fn stats(&self, shape: &Shape, of: impl FnOnce() -> (u64, ValueStats)) -> VectorStats {
        let rows = shape.rows.len() as u64;
        if shape.all_null {
            return VectorStats::nulls(self.field, self.field_type, rows);
        }
        let (nans, of) = of();
        let values = shape.map.as_ref().map_or(rows, |m| m.values() as u64);
        VectorStats {
            rows,
            nulls: rows - values,
            nans,
            of,
        }
    }

    /// Writes the vectors as chosen; `direct` writes the payloads that were not encoded before.
    fn assemble(
        &mut self,
        scratch: &mut Scratch,
        direct: impl Fn(&Shape, Encoding, &mut Dense, &mut Vec<u8>),
    ) {
        for (choice, shape) in scratch.choices.iter().zip(&scratch.shapes) {
            let Choice { encoding, payload } = choice.clone();
            let len = scratch.block.vector(|out| {
                put_head(out, encoding, shape.form, shape.map.as_ref());
                match encoding {
                    Encoding::AllNull => {}
                    Encoding::Alp | Encoding::Integer => {
                        out.extend_from_slice(&scratch.payloads[payload]);
                    }
                    Encoding::Dictionary => out.extend_from_slice(&scratch.coded[payload]),
                    Encoding::Raw
                    | Encoding::Constant
                    | Encoding::Bitmap
                    | Encoding::PlainStrings => direct(shape, encoding, &mut scratch.dense, out),
                }
            });
            let using = &mut self.uses[usize::from(encoding.tag()) - 1];
            using.vectors += 1;
            using.rows += shape.rows.len() as u64;
            using.bytes += len as u64;
        }
    }
}

/// Chooses how the vectors of a column of doubles are written. Returns how many of 1,024 values
/// did not fit the candidates.
fn choose_floats(
    values: &[f64],
    candidates: &alp::Candidates,
    trend: &mut Trend,
    scratch: &mut Scratch,
) -> usize {
    let (mut misfits, mut count) = (0, 0);
    for shape in &scratch.shapes {
        if shape.all_null {
            scratch.choices.push(Choice::direct(Encoding::AllNull));
            continue;
        }
        let payload = shape.payload(values, &mut scratch.dense.floats);
        let bits = payload[0].to_bits();
        if payload.iter().all(|v| v.to_bits() == bits) {
            scratch.choices.push(Choice::direct(Encoding::Constant));
            continue;
        }
        let start = scratch.payloads.len();
        let decimals = alp::encode_next(payload, candidates, trend, &mut scratch.payloads);
        count += payload.len();
        misfits += decimals.map_or(payload.len(), |d| d.exceptions);
        let len = scratch.payloads.len() - start;
        if decimals.is_some() && worth_encoding(len, payload.len()) {
            scratch.choices.push(Choice {
                encoding: Encoding::Alp,
                payload: start..start + len,
            });
        } else {
            scratch.payloads.truncate(start);
            scratch.choices.push(Choice::direct(Encoding::Raw));
        }
    }
    misfits * VECTOR_ROWS / count.max(1)
}

/// Whether an encoding of `len` bytes is enough smaller than `count` raw values, which can be
/// read where they lie.
fn worth_encoding(len: usize, count: usize) -> bool {
    len * 32 < count * 8 * 31
}
