use super::*;

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// A number below `limit` that looks random.
fn noise(i: i32, limit: i32) -> f64 {
    let hash = (i + 1).wrapping_mul(0x1e37_79b9);
    f64::from(((hash ^ (hash >> 13)).wrapping_mul(0x3f58_476d) >> 8).rem_euclid(limit))
}

/// Encodes with candidates sampled from the same values, and checks what comes back.
fn check(values: &[f64]) -> Option<Description> {
    let mut out = vec![0xaa];
    let Some(description) = encode(values, &Candidates::sample(values), &mut out) else {
        assert_eq!(out, [0xaa]);
        return None;
    };
    let bytes = &out[1..];
    assert_eq!(description.encoded_len, bytes.len());
    assert!(bytes.len() < values.len() * 8);
    let mut decoded = vec![0.0; values.len()];
    let mut reader = Reader::new(bytes, "test");
    decode(&mut reader, &mut decoded).unwrap();
    reader.finish().unwrap();
    assert_eq!(bits(&decoded), bits(values));
    let described = describe(&mut Reader::new(bytes, "test"), values.len()).unwrap();
    assert_eq!(described, description);
    Some(description)
}

#[test]
fn decimals_become_small_integers() {
    let values: Vec<f64> = (0..1024).map(|i| (500.0 + noise(i, 100)) / 10.0).collect();
    let d = check(&values).unwrap();
    assert_eq!((d.exceptions, d.integers.width), (0, 7));
    let values: Vec<f64> = (0..1024).map(|i| noise(i, 1000)).collect();
    let d = check(&values).unwrap();
    assert_eq!((d.exceptions, d.integers.width), (0, 10));
}

#[test]
fn special_values_are_exceptions() {
    let mut values: Vec<f64> = (0..1024).map(|i| f64::from(i) / 100.0).collect();
    let specials = [
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_dead_beef),
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::MAX,
        f64::MIN,
        1e200,
        std::f64::consts::PI,
        9.007_199_254_740_993e15,
        4_503_599_627_370_496.0,
    ];
    for (slot, special) in values[5..].iter_mut().step_by(9).zip(specials) {
        *slot = special;
    }
    assert_eq!(check(&values).unwrap().exceptions, specials.len());
}

#[test]
fn the_bound_of_fast_rounding_is_exact() {
    // Whole numbers around 2^51 and 2^52, which the magic sum holds or does not.
    for edge in [51, 52, 53].map(|k| 2f64.powi(k)) {
        let near: Vec<f64> = (-40..40).map(|i| edge + f64::from(i)).collect();
        check(&near);
        check(&near.iter().map(|v| -v).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_no_decimal_is_left_to_raw() {
    let values: Vec<f64> = (0..1024).map(|i| f64::from(i).sin()).collect();
    assert!(check(&values).is_none());
    assert!(check(&[f64::NAN; 4]).is_none());
    assert!(check(&[-0.0; 1024]).is_none());
    assert!(encode(&[1.0], &Candidates::default(), &mut Vec::new()).is_none());
}

#[test]
fn integers_beyond_51_bits_are_converted_the_long_way() {
    for d in [1 << 51, (1 << 53) + 1, -(1 << 51) - 1, i64::MIN, i64::MAX] {
        let mut stream = Vec::new();
        integer::encode(&[d, 3], &mut stream);
        let mut bytes = vec![4, 2, u8::try_from(stream.len()).unwrap()];
        bytes.extend(stream);
        bytes.push(0);
        let mut out = [0.0; 2];
        decode(&mut Reader::new(&bytes, "test"), &mut out).unwrap();
        assert_eq!(bits(&out), bits(&[d as f64 * 1e2 * 1e-4, 3.0 * 1e2 * 1e-4]));
    }
}

#[test]
fn fields_out_of_bounds_are_refused() {
    // Two exceptions among four constants 7.
    let mut sound = vec![1, 1, 2, 2, 14, 2, 0, 0, 3, 0];
    sound.extend([0; 16]);
    let mut out = [0.0; 4];
    decode(&mut Reader::new(&sound, "test"), &mut out).unwrap();
    assert_eq!(out, [0.0, 7.0, 7.0, 0.0]);
    for (at, bad) in [
        (0, 0),  // e below f
        (0, 19), // e too large
        (1, 2),  // f above e
        (2, 1),  // length of the stream
        (2, 3),
        (2, 0xff),
        (5, 5), // more exceptions than values
        (6, 3), // positions that do not ascend
        (8, 4), // a position past the end
    ] {
        let mut bytes = sound.clone();
        bytes[at] = bad;
        assert!(
            decode(&mut Reader::new(&bytes, "test"), &mut out).is_err(),
            "{at} {bad}"
        );
    }
    for end in 0..sound.len() {
        assert!(decode(&mut Reader::new(&sound[..end], "test"), &mut out).is_err());
    }
}

#[test]
fn few_candidates_are_kept_and_the_common_one_leads() {
    let mut values = Vec::new();
    for vector in 0..64 {
        let divisor = if vector % 16 == 8 { 1000.0 } else { 10.0 };
        values.extend((0..1024).map(|i| noise(i, 997) / divisor));
    }
    let candidates = Candidates::sample(&values);
    assert!((2..=CANDIDATES).contains(&candidates.pairs().len()));
    for vector in values.chunks(1024) {
        let d = encode(vector, &candidates, &mut Vec::new()).unwrap();
        assert_eq!(d.integers.width, 10);
    }
}

#[test]
fn every_level_converts_integers_alike() {
    let mut integers = vec![0, 1, -1, i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1];
    // About each power of two lie those that are rounded up, down and to even.
    for power in 1..63 {
        integers.extend((-3..=3).flat_map(|d| [(1i64 << power) + d, -(1i64 << power) + d]));
    }
    let mut state = 1i64;
    for i in 0..20_000 {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(99);
        integers.push(state >> (i % 64));
    }
    for (restore, lower) in [(1.0, 1.0), (1e3, 1e-5), (1.0, 1e-18)] {
        let expected: Vec<f64> = integers
            .iter()
            .map(|&i| i as f64 * restore * lower)
            .collect();
        for level in Level::available() {
            let from_bits = |i: &i64| f64::from_bits(i.cast_unsigned());
            let mut values: Vec<f64> = integers.iter().map(from_bits).collect();
            level.run(FromIntegers {
                values: &mut values,
                restore,
                lower,
            });
            assert_eq!(bits(&values), bits(&expected), "{}", level.name());
        }
    }
}
