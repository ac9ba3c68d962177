//! Whether a row group is written with a dictionary.

use std::ops::Range;

use super::{Choice, ColumnEncoder, Scratch, Shape, estimate};
use crate::codec::dictionary::hash_text;
use crate::codec::integer;
use crate::codec::vector::{Encoding, NullForm};
use crate::column::Strings;

impl ColumnEncoder {
    /// Replaces choices by the dictionary where that makes the row group smaller.
    pub(super) fn try_float_dictionary(&mut self, values: &[f64], scratch: &mut Scratch) {
        let eligible = |c: &Choice| matches!(c.encoding, Encoding::Alp | Encoding::Raw);
        let len = |c: &Choice, count: usize| match c.encoding {
            Encoding::Raw => count * 8,
            _ => c.payload.len(),
        };
        let (mut count, mut bytes) = (0, 0);
        for (choice, shape) in scratch.choices.iter().zip(&scratch.shapes) {
            if eligible(choice) {
                count += shape.count();
                bytes += len(choice, shape.count());
            }
        }
        if count == 0 || self.pauses() {
            return;
        }
        let known = self.floats.len();
        let sample = estimate::sample(values.len(), |i| values[i].to_bits());
        if !estimate::may_pay(&sample, count, bytes, known) {
            return;
        }
        scratch.coded.clear();
        let mut tried: Vec<Option<Range<usize>>> = Vec::with_capacity(scratch.choices.len());
        let mut saved = 0;
        for (choice, shape) in scratch.choices.iter().zip(&scratch.shapes) {
            if !eligible(choice) {
                tried.push(None);
                continue;
            }
            let payload = shape.payload(values, &mut scratch.dense.floats);
            scratch.codes.clear();
            if !self.floats.encode(payload, &mut scratch.codes) {
                saved = 0;
                break;
            }
            let start = scratch.coded.len();
            integer::encode(&scratch.codes, &mut scratch.coded);
            let coded = scratch.coded.len() - start;
            let other = len(choice, payload.len());
            // A vector that needs no dictionary is quicker to read: what needs it must be smaller
            // by a tenth.
            if coded * 10 < other * 9 {
                saved += other - coded;
                tried.push(Some(start..start + coded));
            } else {
                scratch.coded.truncate(start);
                tried.push(None);
            }
        }
        let added = self.floats.len() - known;
        if saved <= added * bytes.div_ceil(count) {
            self.floats.truncate(known);
            self.failed();
            return;
        }
        self.failures = 0;
        for (choice, coded) in scratch.choices.iter_mut().zip(tried) {
            if let Some(coded) = coded {
                choice.encoding = Encoding::Dictionary;
                choice.payload = coded;
            }
        }
    }

    /// As [`ColumnEncoder::try_float_dictionary`]: all vectors of the row group or none.
    pub(super) fn try_string_dictionary(&mut self, values: &Strings, scratch: &mut Scratch) {
        if scratch.shapes.iter().all(|s| s.all_null) || self.pauses() {
            return;
        }
        let (count, bytes) = (values.len(), values.len() + values.byte_len());
        let (known, known_text) = (self.strings.len(), self.strings.text_len());
        let sample = estimate::sample(count, |i| hash_text(values.get(i).as_bytes()));
        if !estimate::may_pay(&sample, count, bytes, known) {
            return;
        }
        scratch.coded.clear();
        let mut payloads = Vec::with_capacity(scratch.shapes.len());
        let (mut plain, mut complete) = (0, true);
        for shape in &scratch.shapes {
            let start = scratch.coded.len();
            if !shape.all_null {
                plain += self
                    .code_strings(values, shape, &mut scratch.codes)
                    .unwrap_or(0);
                if scratch.codes.len() != shape.count() {
                    complete = false;
                    break;
                }
                integer::encode(&scratch.codes, &mut scratch.coded);
            }
            payloads.push(start..scratch.coded.len());
        }
        let added = self.strings.len() - known + self.strings.text_len() - known_text;
        if !complete || scratch.coded.len() + added >= plain {
            self.strings.truncate(known);
            self.failed();
            return;
        }
        self.failures = 0;
        for (choice, payload) in scratch.choices.iter_mut().zip(payloads) {
            if choice.encoding == Encoding::PlainStrings {
                choice.encoding = Encoding::Dictionary;
                choice.payload = payload;
            }
        }
    }

    /// The codes of a vector's strings, and the bytes that they would take as they are. `None`
    /// where the dictionary is full.
    fn code_strings(
        &mut self,
        values: &Strings,
        shape: &Shape,
        codes: &mut Vec<i64>,
    ) -> Option<usize> {
        codes.clear();
        let mut plain = 0;
        // Rows before the first value get the code of that value.
        let mut waiting = 0;
        for row in shape.rows.clone() {
            let map = shape.map.as_ref();
            if map.is_none_or(|m| m.get(row - shape.rows.start)) {
                let text = values.get(row);
                let code = self.strings.code(text)?;
                plain += text.len() + 1;
                codes.extend(std::iter::repeat_n(code, waiting + 1));
                waiting = 0;
            } else if shape.form == NullForm::Filled {
                match codes.last() {
                    Some(&code) => codes.push(code),
                    None => waiting += 1,
                }
            }
        }
        Some(plain)
    }

    /// Whether a dictionary is not to be tried now, because it failed lately.
    fn pauses(&mut self) -> bool {
        let pauses = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        pauses
    }

    fn failed(&mut self) {
        self.failures = (self.failures + 1).min(4);
        self.pause = (1 << self.failures) - 1;
    }
}
