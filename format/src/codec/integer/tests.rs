use super::*;

/// A number below `limit` that looks random.
fn noise(i: i64, limit: i64) -> i64 {
    let hash = (i + 1).wrapping_mul(0x1e37_79b9_7f4a_7c15);
    ((hash ^ (hash >> 29)).wrapping_mul(0x3f58_476d_1ce4_e5b9) >> 20).rem_euclid(limit)
}

/// Encodes, checks that all comes back and that every description agrees.
fn check(values: &[i64]) -> Description {
    let mut out = Vec::new();
    encode(values, &mut out);
    let mut decoded = vec![7; values.len()];
    let mut reader = Reader::new(&out, "test");
    decode(&mut reader, &mut decoded).unwrap();
    reader.finish().unwrap();
    assert_eq!(decoded, values);
    let described = describe(&mut Reader::new(&out, "test"), values.len()).unwrap();
    assert_eq!(described, Plan::of(values).description());
    assert_eq!(described.encoded_len, out.len());
    assert!(out.len() <= 1 + 8 * values.len());
    described
}

#[test]
fn the_shortest_form_is_taken() {
    let n = 1024i64;
    let form = |values: Vec<i64>| check(&values).form;
    assert_eq!(form(vec![5; 1024]), Form::Constant);
    assert_eq!(
        form((0..n).map(|i| noise(i, 7) * 3).collect()),
        Form::FrameOfReference
    );
    assert_eq!(form((0..n).map(|i| i * i).collect()), Form::Delta);
    let bits = |i| noise(i, 1 << 32) << 32 | noise(i + n, 1 << 32);
    assert_eq!(form((0..n).map(bits).collect()), Form::Raw);
}

#[test]
fn a_constant_stride_takes_no_bits() {
    let values: Vec<i64> = (0..1024)
        .map(|i| 1_700_000_000_000_000_000 + i * 10_000_000_000)
        .collect();
    let d = check(&values);
    assert_eq!((d.form, d.width, d.patches), (Form::Delta, 0, 0));
    assert!(d.encoded_len < 24);
}

#[test]
fn a_stride_of_any_size_and_length_comes_back() {
    for step in [1, -1, 1_000_000_007, 1 << 62, i64::MAX, i64::MIN] {
        for n in (3..40).chain([1000, 1023, 1024]) {
            let first = i64::MAX - 5;
            let values: Vec<i64> = (0..n)
                .map(|i: i64| first.wrapping_add(i.wrapping_mul(step)))
                .collect();
            check(&values);
            let mut decoded = vec![0; values.len()];
            progression(first, step, &mut decoded);
            assert_eq!(decoded, values, "{n} values, {step} apart");
        }
    }
}

#[test]
fn breaks_of_a_stride_become_patches_up_and_down() {
    let mut values: Vec<i64> = (0..1024).map(|i| i * 1000).collect();
    for value in &mut values[100..] {
        *value += 12_345;
    }
    for value in &mut values[600..] {
        *value -= 3_000_000;
    }
    let d = check(&values);
    assert_eq!((d.form, d.width, d.patches), (Form::Delta, 0, 2));
    assert_eq!(d.reference, 1000);
}

#[test]
fn a_common_divisor_becomes_the_scale() {
    for scale in [2, 3, 250_000_000, 1_000_000, 1 << 40, 6_700_417] {
        for n in [9, 500, 1024] {
            let values: Vec<i64> = (0..n).map(|i| 17 - noise(i, 1021) * scale).collect();
            let d = check(&values);
            assert_eq!(d.scale, scale.cast_unsigned(), "{n} {scale} {d:?}");
        }
    }
}

#[test]
fn outliers_on_both_sides_become_patches() {
    let mut values: Vec<i64> = (0..1024).map(|i| 1_000_000 + noise(i, 1000) * 50).collect();
    values[3] = 0;
    values[500] = i64::MAX - 17;
    values[900] = i64::MIN;
    let d = check(&values);
    assert_eq!(
        (d.form, d.patches, d.width),
        (Form::FrameOfReference, 3, 15)
    );
    values[500] = 1_000_000 + 50 * 1_000_000_000;
    values[900] = -50 * 7;
    let d = check(&values);
    assert_eq!((d.scale, d.patches, d.width), (50, 3, 10));
}

#[test]
fn extremes_round_trip() {
    check(&[i64::MIN, i64::MAX]);
    check(&[i64::MAX, i64::MIN, 0, -1, 1]);
    check(&[i64::MIN; 1024]);
    assert_eq!(check(&[i64::MIN]).form, Form::Raw);
    assert_eq!(check(&[i64::MIN; 2]).form, Form::Constant);
    for n in [2, 31, 32, 33, 1023, 1024] {
        check(
            &(0..n)
                .map(|i| if i % 2 == 0 { i64::MIN } else { i64::MAX })
                .collect::<Vec<_>>(),
        );
        check(
            &(0..n)
                .map(|i| if i % 5 == 0 { i64::MIN } else { i })
                .collect::<Vec<_>>(),
        );
    }
}

fn refused(bytes: &[u8], n: usize) -> FormatError {
    let mut out = vec![0; n];
    decode(&mut Reader::new(bytes, "test"), &mut out).unwrap_err()
}

#[test]
fn fields_out_of_bounds_are_refused() {
    // A frame of ten values: width 0, base 0, two patches of one byte at 3 and 4.
    let sound = [3, 0, 0, 2, 1, 3, 0, 4, 0, 5, 6];
    let mut out = [0; 10];
    decode(&mut Reader::new(&sound, "test"), &mut out).unwrap();
    assert_eq!(out, [0, 0, 0, 5, 6, 0, 0, 0, 0, 0]);
    for (at, bad) in [
        (0, 0), // form
        (0, 7),
        (1, 65), // width
        (1, 0xff),
        (3, 11), // patches
        (4, 0),  // bytes of a patch
        (4, 9),
        (5, 4), // positions that do not ascend
        (5, 5),
        (7, 10), // a position past the end
        (8, 1),
    ] {
        let mut bytes = sound;
        bytes[at] = bad;
        refused(&bytes, 10);
    }
    refused(&[3, 0x80, 0, 1, 0], 10); // a scale below 2
    refused(&[3, 0x80, 0, 0, 0], 10);
    refused(&sound, 0);
    refused(&sound, 1025);
}

#[test]
fn the_first_number_of_a_delta_is_zero_and_no_patch() {
    let sound = [4, 4, 2, 4, 0, 0x30, 0x00];
    let mut out = [0; 3];
    decode(&mut Reader::new(&sound, "test"), &mut out).unwrap();
    assert_eq!(out, [1, 6, 8]);
    refused(&[4, 4, 2, 4, 0, 0x31, 0x00], 3);
    refused(&[4, 0, 2, 4, 1, 1, 0, 0, 5], 3);
}

/// So many values that lie far apart, and look random.
fn far_apart(count: i64) -> Vec<i64> {
    (0..count).map(|i| noise(i, 1 << 40)).collect()
}

#[test]
fn runs_are_held_once() {
    for (runs, n) in [(5i64, 40), (7, 1024), (20, 1000), (256, 1024)] {
        let values = far_apart(runs);
        let of_row = |i: i64| values[usize::try_from(i * runs / n).unwrap()];
        let d = check(&(0..n).map(of_row).collect::<Vec<_>>());
        assert_eq!(d.form, Form::RunLength, "{runs} of {n}");
        assert_eq!(i64::try_from(d.parts).unwrap(), runs);
    }
    // The last run may have one value.
    let five = far_apart(5);
    let mut values: Vec<i64> = (0..40).map(|i| five[i / 8]).collect();
    values.push(-9);
    assert_eq!(check(&values).form, Form::RunLength);
    // Runs of three are too short.
    let values = far_apart(1024);
    let threes: Vec<i64> = (0..1024).map(|i| values[i / 3]).collect();
    assert_eq!(check(&threes).form, Form::FrameOfReference);
}

#[test]
fn few_values_far_apart_become_codes() {
    for count in [3, 5, 17, 100, 128] {
        let few = far_apart(count);
        let values: Vec<i64> = (0..1024)
            .map(|i| few[usize::try_from(noise(i, count)).unwrap()])
            .collect();
        let d = check(&values);
        assert_eq!((d.form, d.parts), (Form::Dictionary, few.len()));
    }
    let extremes = [i64::MIN, -1, 0, 1, i64::MAX];
    let values: Vec<i64> = (0..700)
        .map(|i| extremes[usize::try_from(noise(i, 5)).unwrap()])
        .collect();
    assert_eq!(check(&values).form, Form::Dictionary);
    // More than 128 are not counted.
    let many = far_apart(129);
    let values: Vec<i64> = (0..1024).map(|i| many[i % 129]).collect();
    assert_ne!(check(&values).form, Form::Dictionary);
}

#[test]
fn codes_may_stand_in_runs() {
    // The stream is written by hand: runs of few values are shorter as runs of the values.
    let mut bytes = vec![6, 2];
    Plan::plain(&[7, 90]).write(&[7, 90], &mut bytes);
    bytes.extend([5, 2]);
    Plan::plain(&[1, 0]).write(&[1, 0], &mut bytes);
    Plan::plain(&[2, 3]).write(&[2, 3], &mut bytes);
    let mut out = [0; 7];
    let mut reader = Reader::new(&bytes, "test");
    decode(&mut reader, &mut out).unwrap();
    reader.finish().unwrap();
    assert_eq!(out, [90, 90, 90, 7, 7, 7, 7]);
    let described = describe(&mut Reader::new(&bytes, "test"), 7).unwrap();
    assert_eq!((described.parts, described.encoded_len), (2, bytes.len()));
    for n in [1, 6, 8, 1024] {
        refused(&bytes, n);
    }
}

#[test]
fn streams_within_streams_are_of_plain_forms_and_fit() {
    let constant = |value: u8| [2, value << 1];
    let stream = |parts: &[&[u8]]| parts.concat();
    let two = constant(1);
    let sound = stream(&[&[5, 2], &constant(9), &two]);
    let mut out = [0; 4];
    decode(&mut Reader::new(&sound, "test"), &mut out).unwrap();
    assert_eq!(out, [9; 4]);
    refused(&sound, 3);
    refused(&sound, 5);
    refused(&stream(&[&[5, 0], &two, &two]), 4);
    refused(&stream(&[&[5, 5], &two, &two]), 4);
    refused(&stream(&[&[5, 1], &sound, &two]), 4);
    refused(&stream(&[&[5, 1], &two, &sound]), 4);
    // A length of -1, and one that overflows.
    refused(&stream(&[&[5, 1], &two, &[2, 1]]), 4);
    let longest = [2, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    refused(&stream(&[&[5, 1], &two, &longest]), 4);
    let codes = stream(&[&[6, 2], &two, &two]);
    decode(&mut Reader::new(&codes, "test"), &mut out).unwrap();
    assert_eq!(out, [1; 4]);
    refused(&stream(&[&[6, 1], &two, &two]), 4);
    refused(&stream(&[&[6, 2], &two, &[2, 1]]), 4);
    refused(&stream(&[&[6, 0], &two, &two]), 4);
    refused(&stream(&[&[6, 1], &codes, &constant(0)]), 4);
    refused(&stream(&[&[6, 1], &two, &codes]), 4);
}

#[test]
fn every_cut_is_refused() {
    let few = far_apart(5);
    for values in [
        (0..100).map(|i| few[i / 20]).collect::<Vec<_>>(),
        (0..100).map(|i| few[i * i % 5]).collect(),
        (0..100).map(|i| i * i * i).collect(),
        (0..1024)
            .map(|i| noise(i, 511) + (i == 4) as i64 * 100_000)
            .collect(),
    ] {
        let mut bytes = Vec::new();
        encode(&values, &mut bytes);
        for end in 0..bytes.len() {
            refused(&bytes[..end], values.len());
        }
    }
}

#[test]
fn every_level_sums_and_scales_alike() {
    for n in (0..40).chain([100, 1000, 1023, 1024]) {
        let numbers: Vec<u64> = (0..n)
            .map(|i| noise(i, i64::MAX).cast_unsigned() << (i % 3))
            .collect();
        for before in [0, 5, u64::MAX - 3] {
            let mut sum = before;
            let mut sums = numbers.clone();
            for number in &mut sums {
                sum = sum.wrapping_add(*number);
                *number = sum;
            }
            let scale = before | 1;
            let scaled = numbers
                .iter()
                .map(|v| v.wrapping_mul(scale).wrapping_add(9));
            let scaled: Vec<u64> = scaled.collect();
            for level in Level::available() {
                let mut actual = numbers.clone();
                let kernel = PrefixSum {
                    numbers: &mut actual,
                    before,
                };
                level.run(kernel);
                assert_eq!(actual, sums, "{n} numbers, {}", level.name());
                let mut actual = numbers.clone();
                let kernel = Scale {
                    numbers: &mut actual,
                    scale,
                    offset: 9,
                };
                level.run(kernel);
                assert_eq!(actual, scaled, "{n} numbers, {}", level.name());
            }
        }
    }
}
