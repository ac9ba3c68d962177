//! Integer and float streams, and ALP.

use tidestone_format::bytes::Reader;
use tidestone_format::codec::{alp, float, integer};

use crate::document::{part, put, put_if, svarint, table, varint};
use crate::ids::words;

fn encoded(values: &[i64]) -> (integer::Description, Vec<u8>) {
    let mut bytes = Vec::new();
    integer::encode(values, &mut bytes);
    let described = integer::describe(&mut Reader::new(&bytes, "test"), values.len());
    (described.unwrap(), bytes)
}

/// Compares a stream of `values` with what the document says; packed numbers and patches are taken from
/// the end of what the code writes.
#[track_caller]
fn check_integers(values: &[i64], form: integer::Form, scaled: bool, patched: bool) {
    let (found, bytes) = encoded(values);
    assert_eq!(
        (found.form, found.scale > 1, found.patches > 0),
        (form, scaled, patched),
        "{values:?}"
    );
    let name = words(&format!("{form:?}"));
    let mut active = vec![&*name];
    let (base, reference) = (svarint(found.base), svarint(found.reference));
    let (scale, patches) = (varint(found.scale), varint(found.patches as u64));
    let flagged = [found.width | (u8::from(scaled) << 7)];
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let tag = [form.tag()];

    let mut fields: Vec<(&str, &[u8])> = vec![("form", &tag)];
    let parts = varint(found.parts as u64);
    let mut within = Reader::new(&bytes, "test");
    match form {
        integer::Form::RunLength | integer::Form::Dictionary => {
            within.take(1 + parts.len()).unwrap();
            let first = within.position();
            integer::describe(&mut within, found.parts).unwrap();
            let (first, second) = bytes[first..].split_at(within.position() - first);
            fields.push(("number of parts", &parts));
            match form {
                integer::Form::RunLength => fields.extend([
                    ("integer stream of the *m* values", first),
                    ("integer stream of the *m* lengths", second),
                ]),
                _ => fields.extend([
                    ("integer stream of the *m* entries", first),
                    ("integer stream of *n* codes", second),
                ]),
            }
        }
        integer::Form::Raw => fields.push(("the values", &raw)),
        integer::Form::Constant => fields.push(("the value", &base)),
        integer::Form::FrameOfReference | integer::Form::Delta => {
            fields.extend([("bit width", &flagged[..]), ("base", &base)]);
            if form == integer::Form::Delta {
                fields.push(("reference of the differences", &reference));
            }
            if scaled {
                active.push("scaled");
                fields.push(("scale", &scale));
            }
            fields.push(("number of patches", &patches));
            let head: usize = fields.iter().map(|(_, field)| field.len()).sum();
            let packed_len = (values.len() * usize::from(found.width)).div_ceil(8);
            if patched {
                active.push("*p* > 0");
                fields.push(("bytes of a patch", &bytes[head..=head]));
            }
            let packed_at = head + usize::from(patched);
            let (packed, behind) = bytes[packed_at..].split_at(packed_len);
            fields.push(("packed numbers", packed));
            if patched {
                let (positions, patches) = behind.split_at(2 * found.patches);
                let patch_len = usize::from(bytes[head]);
                assert_eq!(patches.len(), patch_len * found.patches);
                fields.push(("`u16` positions", positions));
                fields.push(("patches", patches));
            }
        }
    }
    let expected = put_if("integer stream", &active, &fields);
    assert_eq!(bytes, expected, "{values:?}");
}

#[test]
fn integer_streams() {
    use integer::Form::{Constant, Delta, Dictionary, FrameOfReference, Raw, RunLength};
    let bits = |i: i64| i.wrapping_mul(0x1e37_79b9_7f4a_7c15);
    check_integers(&[i64::MIN, i64::MAX, 0, -1], Raw, false, false);
    check_integers(&[7; 9], Constant, false, false);
    let example = [120, 150, 130, 160, 140, 170, 120, 9120];
    check_integers(&example, FrameOfReference, true, true);
    let plain: Vec<i64> = (0..100).map(|i| bits(i) >> 54).collect();
    check_integers(&plain, FrameOfReference, false, false);
    let climbing: Vec<i64> = (0..1024).map(|i| i * 1_000 + (bits(i) >> 60)).collect();
    check_integers(&climbing, Delta, false, false);
    let tens: Vec<i64> = climbing.iter().map(|v| v * 10).collect();
    check_integers(&tens, Delta, true, false);
    let step = |i: i64| if i > 50 { 70_000 } else { 0 };
    let stride: Vec<i64> = (0..100).map(|i| i * 500 + step(i)).collect();
    check_integers(&stride, Delta, false, true);
    let far: Vec<i64> = (0..100).map(|i| bits(i / 20)).collect();
    check_integers(&far, RunLength, false, false);
    let entries = [3, 1 << 40, 12_345_678_901, -99_999_999, i64::MIN];
    let few: Vec<i64> = (0..100).map(|i| entries[i * i % 7 % 5]).collect();
    check_integers(&few, Dictionary, false, false);
}

#[test]
fn runs_of_integers_are_held_as_the_example_says() {
    let mut values = [475_000; 10];
    values[7] = 0;
    let example = [
        5, 3, 3, 0x81, 0, 0xf8, 0xfe, 0x1c, 0, 5, 3, 3, 0, 0, 0x46, 0,
    ];
    let mut decoded = [0; 10];
    let mut reader = Reader::new(&example, "test");
    integer::decode(&mut reader, &mut decoded).unwrap();
    reader.finish().unwrap();
    assert_eq!(decoded, values);
}

#[test]
fn alp_payloads() {
    let values = [20.5, 21.25, -0.0, 20.75];
    let candidates = alp::Candidates::sample(&values);
    let mut bytes = Vec::new();
    let found = alp::encode(&values, &candidates, &mut bytes).unwrap();
    let (parameters, len) = (found.parameters, found.integers.encoded_len);
    assert_eq!(found.exceptions, 1);
    let expected = put(
        "ALP",
        &[
            ("*e*", &[parameters.e]),
            ("*f*", &[parameters.f]),
            ("integer stream", &part(&bytes[3..3 + len])),
            ("number of exceptions", &[1]),
            ("`u16` positions", &2u16.to_le_bytes()),
            ("`f64` exceptions", &(-0.0f64).to_le_bytes()),
        ],
    );
    assert_eq!(bytes, expected);
    let mut stream = Reader::new(&bytes[3..3 + len], "test");
    integer::describe(&mut stream, values.len()).unwrap();
    stream.finish().unwrap();
}

/// What follows the form of a float stream.
#[test]
fn float_streams() {
    let rows = table("float form").rows;
    let raw = [1e-300, 1e300, std::f64::consts::PI];
    let decimals = [20.5, 21.25, -0.0, 20.75];
    let mut alp = Vec::new();
    alp::encode(&decimals, &alp::Candidates::sample(&decimals), &mut alp).unwrap();
    let [of_raw, of_constant] = [&raw[..], &[1.5]].map(|values| {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes());
        bytes.collect::<Vec<u8>>()
    });
    for (values, form, then, what) in [
        (&raw[..], float::Form::Raw, of_raw, "8*n* bytes"),
        (&[1.5; 9], float::Form::Constant, of_constant, "8 bytes"),
        (&decimals, float::Form::Alp, alp, "ALP, as above"),
    ] {
        let mut bytes = Vec::new();
        float::encode(values, &mut bytes);
        assert_eq!(bytes, [&[form.tag()], &then[..]].concat());
        let row = rows.iter().find(|row| row[0] == form.tag().to_string());
        assert_eq!(row.unwrap()[2], what);
    }
}
