//! Float streams: raw, constant, ALP.

use super::alp;
use crate::bytes::Reader;
use crate::tags::on_disk;
use crate::version::VECTOR_ROWS;
use crate::{FormatError, Result};

const WHAT: &str = "float stream";

on_disk! {
    /// How a stream holds its values; the number is what stands in the file.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Form {
        /// Eight bytes a value.
        Raw = 1,
        /// One value for all.
        Constant = 2,
        /// Decimals: see [`alp`].
        Alp = 3,
    }
}

/// Appends the shortest stream of `values`, 1 to 1,024 of them.
///
/// # Panics
/// There are no values or more than 1,024.
pub fn encode(values: &[f64], out: &mut Vec<u8>) {
    assert!(
        (1..=VECTOR_ROWS).contains(&values.len()),
        "a float stream of {} values",
        values.len()
    );
    let first = values[0].to_bits();
    if values.iter().all(|v| v.to_bits() == first) {
        out.push(Form::Constant.tag());
        out.extend_from_slice(&first.to_le_bytes());
        return;
    }
    let form_at = out.len();
    out.push(Form::Alp.tag());
    if alp::encode(values, &alp::Candidates::sample(values), out).is_none() {
        out[form_at] = Form::Raw.tag();
        for value in values {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Fills `out`, 1 to 1,024 values, from the stream that starts at the reader's position.
///
/// # Errors
/// The bytes are no stream of that many values. What `out` holds then means nothing.
pub fn decode(reader: &mut Reader<'_>, out: &mut [f64]) -> Result<()> {
    let n = out.len();
    if n == 0 || n > VECTOR_ROWS {
        return Err(FormatError::limit(WHAT, VECTOR_ROWS, n));
    }
    let at = reader.position();
    let tag = reader.u8()?;
    let Some(form) = Form::ALL.into_iter().find(|form| form.tag() == tag) else {
        return Err(reader.invalid_at(at, "a form from 1 to 3", tag));
    };
    match form {
        Form::Raw => {
            let bytes = reader.take(n * 8)?;
            for (slot, value) in out.iter_mut().zip(bytes.as_chunks().0) {
                *slot = f64::from_le_bytes(*value);
            }
            Ok(())
        }
        Form::Constant => {
            out.fill(f64::from_le_bytes(reader.array()?));
            Ok(())
        }
        Form::Alp => alp::decode(reader, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], form: Form, len: usize) {
        let mut out = Vec::new();
        encode(values, &mut out);
        assert_eq!((out[0], out.len()), (form.tag(), len), "{values:?}");
        let mut decoded = vec![0.0; values.len()];
        let mut reader = Reader::new(&out, "test");
        decode(&mut reader, &mut decoded).unwrap();
        reader.finish().unwrap();
        let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&decoded), bits(values));
        for end in 0..out.len() {
            assert!(decode(&mut Reader::new(&out[..end], "test"), &mut decoded).is_err());
        }
    }

    #[test]
    fn each_form_is_taken_where_it_is_shortest() {
        check(&[1.5], Form::Constant, 9);
        check(&[f64::NAN; 3], Form::Constant, 9);
        check(&[0.0, -0.0], Form::Raw, 17);
        check(&[1e-300, 1e300, std::f64::consts::PI], Form::Raw, 25);
        check(&[20.5, 20.25, 20.75, 20.0], Form::Alp, 12);
    }

    #[test]
    fn unknown_forms_are_refused() {
        for form in [0, 4, 255] {
            let bytes = [form, 0, 0, 0, 0, 0, 0, 0, 0];
            assert!(decode(&mut Reader::new(&bytes, "test"), &mut [0.0]).is_err());
        }
    }
}
