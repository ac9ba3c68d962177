//! Whatever goes into a codec comes out bit for bit; whatever bytes come in, a decoder answers.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may stop")]

use proptest::prelude::*;
use tidestone_format::bytes::Reader;
use tidestone_format::codec::integer::Form;
use tidestone_format::codec::{alp, bits, float, integer};

fn round_trip_integers(values: &[i64]) -> integer::Description {
    let mut out = Vec::new();
    integer::encode(values, &mut out);
    let mut decoded = vec![0; values.len()];
    let mut reader = Reader::new(&out, "test");
    integer::decode(&mut reader, &mut decoded).unwrap();
    reader.finish().unwrap();
    assert_eq!(decoded, values);
    let description = integer::describe(&mut Reader::new(&out, "test"), values.len()).unwrap();
    assert_eq!(description.encoded_len, out.len());
    assert!(out.len() <= 1 + values.len() * 8);
    description
}

fn to_bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn round_trip_floats(values: &[f64]) {
    let mut out = Vec::new();
    float::encode(values, &mut out);
    let mut decoded = vec![0.0; values.len()];
    let mut reader = Reader::new(&out, "test");
    float::decode(&mut reader, &mut decoded).unwrap();
    reader.finish().unwrap();
    assert_eq!(to_bits(&decoded), to_bits(values));
    assert!(out.len() <= 1 + values.len() * 8);
}

/// Lengths of vectors, full ones often.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1024), 1..=1024usize, 1..=40usize]
}

/// Integers of some width around some base, with outliers, in steps of a scale, maybe summed up.
fn integers() -> impl Strategy<Value = Vec<i64>> {
    let shape = (
        any::<i64>(),
        0..=64u32,
        0..3usize,
        1..=2_000_000i64,
        any::<bool>(),
    );
    (length(), shape).prop_flat_map(|(n, (base, width, outliers, scale, summed))| {
        let mask = u64::MAX.checked_shr(64 - width).unwrap_or(0);
        let outlier = [0, 3, 300][outliers];
        let number = (any::<u64>(), 0..1000u32).prop_map(move |(bits, dice)| {
            let kept = if dice < outlier { bits } else { bits & mask };
            kept.cast_signed().wrapping_mul(scale)
        });
        prop::collection::vec(number, n).prop_map(move |numbers| {
            let mut sum = base;
            numbers
                .iter()
                .map(|number| {
                    if summed {
                        sum = sum.wrapping_add(*number);
                        sum
                    } else {
                        base.wrapping_add(*number)
                    }
                })
                .collect()
        })
    })
}

/// Decimals of some places with special values and other doubles among them.
fn floats() -> impl Strategy<Value = Vec<f64>> {
    let special = prop::sample::select(vec![
        f64::NAN,
        f64::from_bits(0xfff8_0000_0000_0001),
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        f64::from_bits(1),
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::MIN,
    ]);
    (length(), 0..=18i32, 1..=52u32, 0..=3usize).prop_flat_map(move |(n, places, width, others)| {
        let others = [0, 20, 300, 1000][others];
        let decimal = any::<u64>().prop_map(move |bits| {
            let integer = (bits >> (63 - width)).cast_signed() - (1 << (width - 1));
            format!("{integer}e-{places}").parse::<f64>().unwrap()
        });
        let any_bits = any::<u64>().prop_map(f64::from_bits);
        let value = (0..1000, decimal, special.clone(), any_bits).prop_map(
            move |(dice, decimal, special, any_bits)| match dice {
                _ if dice >= others => decimal,
                _ if dice % 2 == 0 => special,
                _ => any_bits,
            },
        );
        prop::collection::vec(value, n)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packed_numbers_come_back(n in length(), width in 0..=64u8, seed in any::<u64>()) {
        let mask = u64::MAX.checked_shr(64 - u32::from(width)).unwrap_or(0);
        let numbers: Vec<u64> = (0..n as u64)
            .map(|i| (seed ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) & mask)
            .collect();
        let mut packed = Vec::new();
        bits::pack(&numbers, width, &mut packed);
        prop_assert_eq!(packed.len(), bits::packed_len(n, width));
        let mut unpacked = vec![1; n];
        bits::unpack(&packed, width, &mut unpacked).unwrap();
        prop_assert_eq!(unpacked, numbers);
    }

    #[test]
    fn integers_come_back(values in integers()) {
        round_trip_integers(&values);
    }

    #[test]
    fn floats_come_back(values in floats()) {
        round_trip_floats(&values);
    }

    #[test]
    fn floats_come_back_with_the_candidates_of_others(values in floats(), others in floats()) {
        let mut out = Vec::new();
        let candidates = alp::Candidates::sample(&others);
        if let Some(description) = alp::encode(&values, &candidates, &mut out) {
            prop_assert_eq!(description.encoded_len, out.len());
            let mut decoded = vec![0.0; values.len()];
            let mut reader = Reader::new(&out, "test");
            alp::decode(&mut reader, &mut decoded).unwrap();
            prop_assert_eq!(to_bits(&decoded), to_bits(&values));
            let again = alp::describe(&mut Reader::new(&out, "test"), values.len()).unwrap();
            prop_assert_eq!(again, description);
        } else {
            prop_assert!(out.is_empty());
        }
    }

    #[test]
    fn changed_bytes_never_stop_a_decoder(
        values in integers(),
        floats in floats(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        n in 0..=1025usize,
    ) {
        for kind in 0..2 {
            let mut out = Vec::new();
            if kind == 0 {
                integer::encode(&values, &mut out);
            } else {
                float::encode(&floats, &mut out);
            }
            for (index, byte) in &changes {
                let at = index.index(out.len().min(40));
                out[at] = *byte;
            }
            for n in [n, values.len(), floats.len()] {
                let _ = integer::decode(&mut Reader::new(&out, "test"), &mut vec![0; n]);
                let _ = integer::describe(&mut Reader::new(&out, "test"), n);
                let _ = float::decode(&mut Reader::new(&out, "test"), &mut vec![0.0; n]);
                let _ = alp::decode(&mut Reader::new(&out, "test"), &mut vec![0.0; n]);
                let _ = alp::describe(&mut Reader::new(&out, "test"), n);
            }
        }
    }
}

#[test]
fn every_length_comes_back() {
    for n in 1..=1024i32 {
        let values: Vec<i64> = (0..n).map(|i| i64::from(i * i % 1013) - 500).collect();
        round_trip_integers(&values);
        let floats: Vec<f64> = values.iter().map(|v| *v as f64 / 100.0).collect();
        round_trip_floats(&floats);
    }
}

#[test]
fn patches_range_from_none_to_nearly_all() {
    let mut seen = Vec::new();
    for step in 1..=64usize {
        let mut values = vec![10i64; 1024];
        for (i, value) in values.iter_mut().enumerate() {
            if i % 64 < step {
                let noise = (i as i64 + 1).wrapping_mul(0x1e37_79b9_7f4a_7c15);
                *value = 10 + noise.rem_euclid(1 << 60);
            }
        }
        let d = round_trip_integers(&values);
        if d.form == Form::FrameOfReference {
            seen.push(d.patches);
        }
    }
    assert!(seen.iter().any(|p| (1..100).contains(p)), "{seen:?}");
    assert!(seen.iter().any(|p| *p > 300), "{seen:?}");
}

#[test]
fn streams_written_by_hand_may_patch_everything() {
    for n in [1usize, 5, 1024] {
        let mut bytes = vec![3, 0, 0];
        tidestone_format::bytes::put_varint(&mut bytes, n as u64);
        bytes.push(8);
        for i in 0..n {
            bytes.extend(u16::try_from(i).unwrap().to_le_bytes());
        }
        for i in 0..n {
            bytes.extend((u64::MAX - i as u64).to_le_bytes());
        }
        let mut out = vec![0; n];
        integer::decode(&mut Reader::new(&bytes, "test"), &mut out).unwrap();
        let expected: Vec<i64> = (0..n).map(|i| -1 - i as i64).collect();
        assert_eq!(out, expected);
    }
}

/// The bytes of a worked example of FORMAT.md: those of the first code block behind `heading`.
fn example(heading: &str) -> Vec<u8> {
    let text = include_str!("../FORMAT.md");
    let (_, behind) = text.split_once(heading).unwrap();
    let block = behind.split("```").nth(1).unwrap();
    let lines = block.lines().filter_map(|line| line.split('|').next());
    lines
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_worked_examples_of_the_format_are_what_is_written() {
    let values = [120, 150, 130, 160, 140, 170, 120, 9120];
    let mut out = Vec::new();
    integer::encode(&values, &mut out);
    assert_eq!(out, example("**Example**, eight integers"), "{out:02x?}");

    let values = [20.5, 21.25, -0.0, 20.75];
    let mut out = Vec::new();
    let candidates = alp::Candidates::sample(&values);
    alp::encode(&values, &candidates, &mut out).unwrap();
    assert_eq!(out, example("**Example**, four doubles"), "{out:02x?}");
}

/// Those of forms that a writer takes for longer streams only.
#[test]
fn the_worked_examples_of_the_format_are_read_as_they_say() {
    let check = |heading: &str, expected: &[i64]| {
        let bytes = example(heading);
        let mut out = vec![0; expected.len()];
        let mut reader = Reader::new(&bytes, "test");
        integer::decode(&mut reader, &mut out).unwrap();
        assert_eq!(reader.remaining(), 0, "{heading}");
        assert_eq!(out, expected, "{heading}");
    };
    let runs = [[475_000].repeat(7), vec![0], [475_000].repeat(2)].concat();
    check("**Example**, ten integers in runs", &runs);
    let few = [3, 700, 3, 40, 700, 700, 3, 40];
    check("**Example**, eight integers of three values", &few);
}
