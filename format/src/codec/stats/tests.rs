use super::*;
use crate::bytes::Reader;

fn f64_stats(values: &[f64]) -> (u64, [f64; 5]) {
    match of_f64(values) {
        (
            nans,
            ValueStats::F64 {
                min,
                max,
                first,
                last,
                sum,
            },
        ) => (nans, [min, max, first, last, sum]),
        (_, other) => panic!("{other:?}"),
    }
}

fn bits(values: [f64; 5]) -> [u64; 5] {
    values.map(f64::to_bits)
}

#[test]
fn the_two_zeros_are_ordered() {
    let check = |values: &[f64], min: f64, max: f64| {
        let (_, [low, high, ..]) = f64_stats(values);
        assert_eq!(
            (low.to_bits(), high.to_bits()),
            (min.to_bits(), max.to_bits()),
            "{values:?}"
        );
    };
    check(&[0.0], 0.0, 0.0);
    check(&[-0.0], -0.0, -0.0);
    check(&[0.0, -0.0], -0.0, 0.0);
    check(&[-0.0, 0.0, 1.0], -0.0, 1.0);
    check(&[-1.0, 0.0, -0.0], -1.0, 0.0);
    check(&[-1.0, -0.0], -1.0, -0.0);
    check(&[f64::NAN, -0.0, f64::NAN], -0.0, -0.0);
}

#[test]
fn nans_and_infinities() {
    let nan = f64::NAN;
    let (nans, stats) = f64_stats(&[nan, 1.0, nan, -2.0, 5.0, nan]);
    assert_eq!(nans, 3);
    assert_eq!(bits(stats), bits([-2.0, 5.0, nan, nan, nan]));
    let (nans, stats) = f64_stats(&[nan, nan]);
    assert_eq!(nans, 2);
    assert_eq!(bits(stats), bits([0.0, 0.0, nan, nan, nan]));
    let inf = f64::INFINITY;
    assert_eq!(f64_stats(&[1.0, inf, 3.0]).1, [1.0, inf, 1.0, 3.0, inf]);
    assert_eq!(f64_stats(&[inf]).1, [inf; 5]);
    assert_eq!(
        bits(f64_stats(&[inf, -inf]).1),
        bits([-inf, inf, inf, -inf, nan])
    );
}

#[test]
fn sums_of_decimals_are_the_nearest_double() {
    let values: Vec<f64> = (0..1024).map(|i| f64::from(i) / 100.0).collect();
    assert_eq!(f64_stats(&values).1[4], 5237.76);
    assert_eq!(f64_stats(&[1e100, 1.0, 1.0, 1.0, -1e100]).1[4], 3.0);
}

#[test]
fn sums_of_integers_are_exact() {
    let check = |values: &[i64]| match of_i64(values) {
        ValueStats::I64 { sum, min, max, .. } => {
            assert_eq!(sum, values.iter().map(|&v| i128::from(v)).sum());
            assert_eq!(Some(&min), values.iter().min());
            assert_eq!(Some(&max), values.iter().max());
        }
        other => panic!("{other:?}"),
    };
    check(&[i64::MIN; 1024]);
    check(&[i64::MAX; 1024]);
    check(&[-1, 1, -5, i64::MAX, i64::MIN]);
    match of_u64(&[-1; 1024]) {
        ValueStats::U64 { sum, .. } => assert_eq!(sum, u128::from(u64::MAX) * 1024),
        other => panic!("{other:?}"),
    }
}

fn round_trip(field: FieldId, field_type: FieldType, vectors: &[VectorStats]) {
    let rows: u64 = vectors.iter().map(|v| v.rows).sum();
    let mut out = Vec::new();
    ColumnStats::encode(vectors, &mut out);
    let mut r = Reader::new(&out, "test");
    let decoded =
        ColumnStats::decode(&mut r, field, field_type, usize::try_from(rows).unwrap()).unwrap();
    r.finish().unwrap();
    assert_eq!(format!("{:?}", decoded.vectors()), format!("{vectors:?}"));
    for cut in 0..out.len() {
        let mut r = Reader::new(&out[..cut], "test");
        let rows = usize::try_from(rows).unwrap();
        assert!(ColumnStats::decode(&mut r, field, field_type, rows).is_err());
    }
}

#[test]
fn columns_round_trip() {
    let full = |of| VectorStats {
        rows: 1024,
        nulls: 0,
        nans: 0,
        of,
    };
    let last = |mut v: VectorStats, rows| {
        (v.rows, v.nulls) = (rows, 1);
        v
    };
    let i = full(of_i64(&[5, -7, i64::MIN, 12]));
    round_trip(FieldId(1), FieldType::I64, &[i, i, last(i, 7)]);
    let u = full(of_u64(&[5, -1]));
    round_trip(FieldId(1), FieldType::U64, &[u, last(u, 1024)]);
    let t = full(of_times(&[5, 9]));
    round_trip(FieldId::TIME, FieldType::I64, &[t; 64]);
    let mut f = full(of_f64(&[f64::NAN, -0.0, 2.25]).1);
    f.nans = 1;
    round_trip(FieldId(1), FieldType::F64, &[f, last(f, 5)]);
    let b = full(of_bool(&[true, false]));
    round_trip(FieldId(1), FieldType::Bool, &[b, last(b, 5)]);
    let s = full(ValueStats::String);
    round_trip(FieldId(1), FieldType::String, &[s, last(s, 5)]);
    for field_type in [
        FieldType::F64,
        FieldType::I64,
        FieldType::U64,
        FieldType::Bool,
        FieldType::String,
    ] {
        let none = VectorStats::nulls(FieldId(1), field_type, 1024);
        round_trip(FieldId(1), field_type, &[none, none]);
    }
}

#[test]
fn folding_keeps_order_and_skips_what_is_empty() {
    let stats = |values: &[f64]| {
        let (nans, of) = of_f64(values);
        VectorStats {
            rows: values.len() as u64,
            nulls: 0,
            nans,
            of,
        }
    };
    let none = VectorStats::nulls(FieldId(1), FieldType::F64, 10);
    let all = none
        .then(&stats(&[f64::NAN]))
        .then(&stats(&[1.0, 2.0]))
        .then(&none)
        .then(&stats(&[0.5, -3.0]));
    assert_eq!(
        (all.rows, all.nulls, all.nans, all.numbers()),
        (25, 20, 1, 4)
    );
    match all.of {
        ValueStats::F64 {
            min,
            max,
            first,
            last,
            sum,
        } => {
            assert_eq!((min, max, last), (-3.0, 2.0, -3.0));
            assert!(first.is_nan() && sum.is_nan());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_level_finds_the_same() {
    let odd = [f64::NAN, f64::INFINITY, -0.0, 0.0, 5e-324, 1e308, -1e308];
    for n in (1..40).chain([100, 1023, 1024]) {
        for odd_each in [3usize, 50, 5000] {
            let value = |i: usize| match i % odd_each {
                1 => odd[i / odd_each % odd.len()],
                _ => (i as f64 * 0.37).sin() * 1e3,
            };
            let floats: Vec<f64> = (0..n).map(value).collect();
            let integers: Vec<i64> = floats.iter().map(|v| v.to_bits().cast_signed()).collect();
            let at = |level: Level| {
                let (nans, of) = level.run(OfF64(&floats));
                let totals = [0, i64::MIN].map(|flip| {
                    let values = &integers;
                    let Totals { min, max, sum } = level.run(TotalsOf { values, flip });
                    (min, max, sum)
                });
                // Debug tells the two zeros apart and takes all NaNs for one.
                (nans, format!("{of:?}"), totals)
            };
            let mut levels = Level::available();
            let portable = levels.next().map(at);
            for level in levels {
                assert_eq!(Some(at(level)), portable, "{n} values, {}", level.name());
            }
        }
    }
}
