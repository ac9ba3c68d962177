//! The codecs of values: decoders given any bytes, encoders given any values.

use tidestone_format::bytes::Reader;
use tidestone_format::codec::{alp, bits, float, integer};

/// The first two bytes say how many values, the rest is theirs; 0 and 1,025 are among the counts.
fn count(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (count, rest) = bytes.split_first_chunk()?;
    Some((usize::from(u16::from_le_bytes(*count)) % 1026, rest))
}

/// Numbers of any width; what unpacks must pack into the same bytes.
pub fn bits_decode(bytes: &[u8]) {
    let Some((n, [width, packed @ ..])) = count(bytes) else {
        return;
    };
    let mut numbers = vec![0; n];
    if bits::unpack(packed, *width, &mut numbers).is_ok() {
        let mut again = Vec::new();
        bits::pack(&numbers, *width, &mut again);
        assert_eq!(again, packed);
    }
}

/// An integer stream; what decodes must survive a second round, and its description must agree.
pub fn integer_decode(bytes: &[u8]) {
    let Some((n, stream)) = count(bytes) else {
        return;
    };
    let mut values = vec![0; n];
    let mut reader = Reader::new(stream, "fuzz");
    let described = integer::describe(&mut Reader::new(stream, "fuzz"), n);
    if integer::decode(&mut reader, &mut values).is_ok() {
        assert_eq!(described.map(|d| d.encoded_len), Ok(reader.position()));
        check_integers(&values);
    }
}

/// Integers, eight bytes each.
pub fn integer_round_trip(bytes: &[u8]) {
    let values: Vec<i64> = words(bytes).map(i64::from_le_bytes).collect();
    if !values.is_empty() {
        check_integers(&values);
    }
}

/// A float stream, and the same bytes as an ALP payload.
pub fn float_decode(bytes: &[u8]) {
    let Some((n, stream)) = count(bytes) else {
        return;
    };
    let mut values = vec![0.0; n];
    if float::decode(&mut Reader::new(stream, "fuzz"), &mut values).is_ok() {
        check_floats(&values);
    }
    let mut reader = Reader::new(stream, "fuzz");
    let described = alp::describe(&mut Reader::new(stream, "fuzz"), n);
    if alp::decode(&mut reader, &mut values).is_ok() {
        assert_eq!(described.map(|d| d.encoded_len), Ok(reader.position()));
        check_floats(&values);
    }
}

/// Doubles, eight bytes each.
pub fn float_round_trip(bytes: &[u8]) {
    let values: Vec<f64> = words(bytes).map(f64::from_le_bytes).collect();
    if !values.is_empty() {
        check_floats(&values);
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 8]> {
    bytes.as_chunks().0.iter().copied().take(1024)
}

fn check_integers(values: &[i64]) {
    let mut out = Vec::new();
    integer::encode(values, &mut out);
    assert!(out.len() <= 1 + 8 * values.len());
    let mut again = vec![0; values.len()];
    let mut reader = Reader::new(&out, "fuzz");
    integer::decode(&mut reader, &mut again).expect("what was encoded decodes");
    assert_eq!(reader.remaining(), 0);
    assert_eq!(again, values);
}

fn check_floats(values: &[f64]) {
    let mut out = Vec::new();
    float::encode(values, &mut out);
    assert!(out.len() <= 1 + 8 * values.len());
    let mut again = vec![0.0; values.len()];
    let mut reader = Reader::new(&out, "fuzz");
    float::decode(&mut reader, &mut again).expect("what was encoded decodes");
    assert_eq!(reader.remaining(), 0);
    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
    assert!(again.iter().zip(values).all(same));
}
