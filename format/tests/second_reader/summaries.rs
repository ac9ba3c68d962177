//! What a segment says of its rows: ranges and statistics are those of the rows they are of. A reader
//! does not look at all rows to find out.

use crate::codec::Value;
use crate::segment::{Segment, Statistics, TIME};

pub fn check(segment: &Segment) {
    check_order(segment);
    check_statistics(segment);
}

fn times(segment: &Segment) -> Vec<i64> {
    let time = |value: &Value| match value {
        Value::I64(time) => *time,
        other => panic!("{other:?} as a time"),
    };
    segment.columns[&TIME].iter().map(time).collect()
}

/// Fails where a range of times or series is not that of its rows, or the rows are not sorted.
fn check_order(segment: &Segment) {
    let times = times(segment);
    let ends = |times: &[i64]| [times.iter().min(), times.iter().max()].map(|t| *t.unwrap());
    assert_eq!(ends(&times), segment.times);
    let keeps_duplicates = segment.policy == 2;
    let mut series_of_row = Vec::new();
    for series in &segment.series {
        let start = series_of_row.len();
        series_of_row.resize(start + series.rows as usize, series.id);
        let times = &times[start..series_of_row.len()];
        assert!(times.is_sorted_by(|a, b| a < b || (keeps_duplicates && a == b)));
        assert_eq!([series.first, series.last], ends(times));
    }
    let mut start = 0;
    for group in &segment.groups {
        let end = start + group.rows;
        assert_eq!(group.series, [series_of_row[start], series_of_row[end - 1]]);
        assert_eq!(group.times, ends(&times[start..end]));
        start = end;
    }
}

/// Fails where the statistics of a vector are not those of its rows.
fn check_statistics(segment: &Segment) {
    for (field, rows) in &segment.columns {
        let mut statistics = segment.statistics[field].iter();
        for group in rows.chunks(65_536) {
            let has_values = group.iter().any(|row| *row != Value::Null);
            for (vector, found) in group.chunks(1024).zip(statistics.by_ref()) {
                let expected = of(vector, *field == TIME);
                let counts = (found.nulls, found.nans);
                assert_eq!(counts, (expected.nulls, expected.nans));
                if expected.nulls == vector.len() as u64 {
                    found.arrays.iter().for_each(check_zero);
                } else if has_values {
                    assert_eq!(found.arrays.len(), expected.arrays.len());
                    let same = found.arrays.iter().zip(&expected.arrays);
                    same.enumerate()
                        .for_each(|(i, (a, b))| check_value(i, a, b));
                }
            }
        }
        assert!(statistics.next().is_none());
    }
}

/// Where a vector has no value the entries are 0.
fn check_zero(found: &Value) {
    let zeros = [
        Value::F64(0),
        Value::I64(0),
        Value::U64(0),
        Value::Bool(false),
    ];
    assert!(zeros.contains(found), "{found:?} of nothing");
}

/// The fifth of doubles is their sum, which may be added up in any order.
fn check_value(i: usize, found: &Value, expected: &Value) {
    if let (4, Value::F64(found), Value::F64(expected)) = (i, found, expected) {
        let (a, b) = (f64::from_bits(*found), f64::from_bits(*expected));
        let close = (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        assert!(found == expected || close, "sum {a}, expected {b}");
    } else {
        assert_eq!(found, expected, "array {i}");
    }
}

/// The statistics of a vector; without arrays if it has no value.
fn of(rows: &[Value], is_time: bool) -> Statistics {
    let values: Vec<&Value> = rows.iter().filter(|row| **row != Value::Null).collect();
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Statistics {
            nulls: rows.len() as u64,
            nans: 0,
            arrays: Vec::new(),
        };
    };
    let ends = [(*first).clone(), (*last).clone()];
    let (nans, arrays) = match first {
        Value::F64(_) => of_floats(&values, ends),
        Value::I64(_) => (0, of_signed(&values, ends, is_time)),
        Value::U64(_) => (0, of_unsigned(&values, ends)),
        Value::Bool(_) => {
            let trues = values.iter().filter(|v| ***v == Value::Bool(true)).count();
            let [first, last] = ends;
            (0, vec![Value::U64(trues as u64), first, last])
        }
        Value::Text(_) | Value::Null => (0, Vec::new()),
    };
    Statistics {
        nulls: (rows.len() - values.len()) as u64,
        nans,
        arrays,
    }
}

fn halves(sum: u128) -> [Value; 2] {
    [sum as u64, (sum >> 64) as u64].map(Value::U64)
}

fn of_signed(values: &[&Value], [first, last]: [Value; 2], is_time: bool) -> Vec<Value> {
    let all = values.iter().map(|v| match v {
        Value::I64(v) => *v,
        other => panic!("{other:?} among i64"),
    });
    let (min, max) = (all.clone().min().unwrap(), all.clone().max().unwrap());
    let mut arrays = vec![Value::I64(min), Value::I64(max), first, last];
    if !is_time {
        let sum: i128 = all.map(i128::from).sum();
        arrays.extend(halves(sum.cast_unsigned()));
    }
    arrays
}

fn of_unsigned(values: &[&Value], [first, last]: [Value; 2]) -> Vec<Value> {
    let all = values.iter().map(|v| match v {
        Value::U64(v) => *v,
        other => panic!("{other:?} among u64"),
    });
    let (min, max) = (all.clone().min().unwrap(), all.clone().max().unwrap());
    let mut arrays = vec![Value::U64(min), Value::U64(max), first, last];
    arrays.extend(halves(all.map(u128::from).sum()));
    arrays
}

fn of_floats(values: &[&Value], [first, last]: [Value; 2]) -> (u64, Vec<Value>) {
    let all = values.iter().map(|v| match v {
        Value::F64(bits) => f64::from_bits(*bits),
        other => panic!("{other:?} among f64"),
    });
    let mut numbers: Vec<f64> = all.clone().filter(|v| !v.is_nan()).collect();
    numbers.sort_by(f64::total_cmp);
    let end = |end: Option<&f64>| Value::F64(end.copied().unwrap_or(0.0).to_bits());
    let sum: f64 = all.sum();
    let sum = match sum.is_nan() {
        true => 0x7ff8_0000_0000_0000,
        false => sum.to_bits(),
    };
    let (min, max) = (end(numbers.first()), end(numbers.last()));
    let nans = values.len() - numbers.len();
    let arrays = vec![min, max, first, last, Value::F64(sum)];
    (nans as u64, arrays)
}
