use super::*;

/// Numbers that look random, of so many bits and with some far from the others.
fn noisy(n: usize, width: u32) -> Vec<i64> {
    let mut state = u64::from(width) + 1;
    let numbers = std::iter::repeat_with(|| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let number = state.rotate_left(29) >> (64 - width);
        match state >> 58 {
            0 => (number << 9).cast_signed().wrapping_neg(),
            _ => number.cast_signed().wrapping_mul(12),
        }
    });
    numbers.take(n).collect()
}

#[test]
fn every_level_plans_and_packs_alike() {
    for n in [1, 2, 31, 32, 33, 100, 1023, 1024] {
        for width in [1, 5, 13, 31, 47, 60] {
            let values = noisy(n, width);
            let sums = values.iter().scan(0i64, |sum, v| {
                *sum = sum.wrapping_add(*v);
                Some(*sum)
            });
            for values in [sums.collect(), values.clone()] {
                let write = |level| {
                    let mut out = Vec::new();
                    Plan::plain_at(level, &values).write(&values, &mut out);
                    out
                };
                let mut levels = Level::available();
                let portable = levels.next().map(write);
                for level in levels {
                    let name = level.name();
                    assert_eq!(Some(write(level)), portable, "{n} of {width} bits, {name}");
                }
            }
        }
    }
}

/// The forms and lengths of vectors that are written one after another, and the shortest lengths.
fn follow(vectors: &[Vec<i64>]) -> Vec<(Form, usize, usize)> {
    let mut trend = Trend::default();
    let of = |values: &Vec<i64>| {
        let plan = Plan::following(values, &mut trend);
        let mut out = Vec::new();
        plan.write(values, &mut out);
        let mut decoded = vec![0; values.len()];
        let mut reader = crate::bytes::Reader::new(&out, "test");
        super::super::decode(&mut reader, &mut decoded).unwrap();
        reader.finish().unwrap();
        assert!(&decoded == values);
        let shortest = Plan::of(values).encoded_len();
        (plan.description().form, out.len(), shortest)
    };
    vectors.iter().map(of).collect()
}

#[test]
fn a_form_is_kept_while_it_suits() {
    let noise = noisy(VECTOR_ROWS, 30);
    let slope = (0..).zip(&noise).map(|(i, v)| i * 1_000_003 + v % 50);
    let far = [3, 1 << 40, 5 << 33, -(9 << 50), 77];
    let kinds: [Vec<i64>; 4] = [
        noise.clone(),
        slope.collect(),
        noise
            .iter()
            .map(|v| far[usize::try_from(v.unsigned_abs() % 5).unwrap()])
            .collect(),
        (0..VECTOR_ROWS).map(|i| noise[i / 100]).collect(),
    ];
    let forms = [
        Form::FrameOfReference,
        Form::Delta,
        Form::Dictionary,
        Form::RunLength,
    ];
    let looks = usize::from(LOOK_EVERY);
    for from in 0..4 {
        for to in 0..4 {
            let mut vectors = vec![kinds[from].clone(); 3];
            vectors.extend(vec![kinds[to].clone(); looks]);
            // A short vector changes nothing.
            vectors.push(kinds[to][..100].to_vec());
            vectors.push(kinds[to].clone());
            let found = follow(&vectors);
            for (form, len, shortest) in &found[..3] {
                assert_eq!((*form, len), (forms[from], shortest));
            }
            // What takes more than before is looked at anew at once, what takes less in time.
            for (_, len, shortest) in &found[3..] {
                let allowed = found[0].1 + found[0].1 / 32;
                assert!(*len <= allowed.max(*shortest), "{from} to {to}: {len}");
            }
            let (form, len, shortest) = found[looks + 4];
            assert_eq!((form, len), (forms[to], shortest), "{from} to {to}");
        }
    }
}

#[test]
fn noise_that_was_written_raw_is_compressed_when_it_ends() {
    let noise = noisy(VECTOR_ROWS, 60);
    let noise: Vec<i64> = noise
        .iter()
        .map(|v| v.wrapping_mul(0x1e37_79b9_7f4a_7c15))
        .collect();
    let found = follow(&[noise.clone(), noise, noisy(VECTOR_ROWS, 10)]);
    let forms: Vec<Form> = found.iter().map(|f| f.0).collect();
    assert_eq!(forms, [Form::Raw, Form::Raw, Form::FrameOfReference]);
}
