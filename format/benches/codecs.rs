//! How many values a second the codecs take and give.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench may stop")]

#[path = "../tests/data/mod.rs"]
mod data;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fastlanes::BitPacking;
use tidestone_format::bytes::Reader;
use tidestone_format::codec::{alp, bits, integer};
use tidestone_format::version::VECTOR_ROWS;

/// Numbers that look random.
fn noise(n: usize, width: u32) -> Vec<u64> {
    let mut state = 1u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.checked_shr(64 - width).unwrap_or(0)
    };
    std::iter::repeat_with(next).take(n).collect()
}

fn packing(c: &mut Criterion) {
    for (name, n) in [("interleaved", 1024usize), ("sequential", 1023)] {
        let mut group = c.benchmark_group(format!("bits/{name}"));
        group.throughput(Throughput::Elements(n as u64));
        for width in [
            1u8, 2, 3, 4, 7, 8, 10, 13, 16, 17, 24, 31, 32, 33, 40, 48, 55, 63, 64,
        ] {
            let values = noise(n, u32::from(width));
            let mut packed = Vec::new();
            bits::pack(&values, width, &mut packed);
            let mut out = vec![0u64; n];
            group.bench_function(format!("unpack/{width}"), |b| {
                b.iter(|| bits::unpack(black_box(&packed), width, black_box(&mut out)).unwrap());
            });
            if width % 8 == 0 || width == 13 {
                group.bench_function(format!("pack/{width}"), |b| {
                    b.iter(|| {
                        packed.clear();
                        bits::pack(black_box(&values), width, &mut packed);
                    });
                });
            }
        }
    }
}

/// The crate `fastlanes`, as a yardstick: packed to the same bits.
fn fastlanes(c: &mut Criterion) {
    let mut group = c.benchmark_group("bits/fastlanes");
    group.throughput(Throughput::Elements(VECTOR_ROWS as u64));
    macro_rules! widths {
        ($($width:literal)*) => {
            $({
                let mut packed = Vec::new();
                bits::pack(&noise(VECTOR_ROWS, $width), $width, &mut packed);
                let mut words = [0u64; 16 * $width];
                for (word, bytes) in words.iter_mut().zip(packed.as_chunks().0) {
                    *word = u64::from_le_bytes(*bytes);
                }
                let mut out = [0; VECTOR_ROWS];
                group.bench_function(format!("unpack/{}", $width), |b| {
                    b.iter(|| u64::unpack::<$width, { 16 * $width }>(black_box(&words), black_box(&mut out)));
                });
            })*
        };
    }
    widths!(1 2 3 4 7 8 10 13 16 17 24 31 32 33 40 48 55 63 64);
}

/// Some of the whole vectors of a column.
fn vectors<T>(values: &[T]) -> Vec<&[T]> {
    values.chunks_exact(VECTOR_ROWS).take(64).collect()
}

fn integers(c: &mut Criterion) {
    let mut group = c.benchmark_group("integer");
    let wave = |i: i64, noise: &u64| 40 * i + noise.cast_signed();
    let noisy = noise(64 * 1024, 10);
    let mut columns = vec![
        ("frame", noisy.iter().map(|v| v.cast_signed()).collect()),
        (
            "delta",
            (0..).zip(&noisy).map(|(i, v)| wave(i, &(v >> 4))).collect(),
        ),
        (
            "scaled",
            noisy.iter().map(|v| v.cast_signed() * 1_000_000).collect(),
        ),
        (
            "stride",
            (0..64 * 1024)
                .map(|i| 1_700_000_000_000_000_000 + i * 1_000_000_000)
                .collect(),
        ),
        (
            "raw",
            noise(64 * 1024, 64)
                .iter()
                .map(|v| v.cast_signed())
                .collect::<Vec<i64>>(),
        ),
    ];
    for (name, file, column) in [
        ("spy time", "ticks/spy_20131008_trade_tick.csv.gz", 0),
        ("spy price", "ticks/spy_20131008_trade_tick.csv.gz", 1),
        ("host time", "hostmetrics/host_metrics_100ms_a.csv.gz", 0),
        (
            "future order",
            "ticks/es_future_mbo_20231225_part_a.csv.gz",
            4,
        ),
    ] {
        columns.extend(data::integers(file, column).map(|values| (name, values)));
    }
    for (name, values) in &columns {
        let vectors = vectors(values);
        group.throughput(Throughput::Elements((vectors.len() * VECTOR_ROWS) as u64));
        let mut streams = Vec::new();
        for vector in &vectors {
            integer::encode(vector, &mut streams);
        }
        group.bench_function(format!("encode/{name}"), |b| {
            b.iter(|| {
                streams.clear();
                let mut trend = integer::Trend::default();
                for vector in &vectors {
                    integer::encode_next(black_box(vector), &mut trend, &mut streams);
                }
            });
        });
        eprintln!(
            "{name}: {:.2} bits a value",
            bits_each(&streams, vectors.len())
        );
        let mut out = [0i64; VECTOR_ROWS];
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter(|| {
                let mut reader = Reader::new(black_box(&streams), "bench");
                for _ in &vectors {
                    integer::decode(&mut reader, black_box(&mut out)).unwrap();
                }
            });
        });
    }
}

fn decimals(c: &mut Criterion) {
    let mut group = c.benchmark_group("alp");
    for file in ["City-temp.csv", "Stocks-USA.csv", "Dew-point-temp.csv"] {
        let Some(values) = data::floats(file) else {
            continue;
        };
        let values = &values[..64 * VECTOR_ROWS];
        let vectors = vectors(values);
        group.throughput(Throughput::Elements(values.len() as u64));
        let mut encoded = Vec::new();
        let candidates = alp::Candidates::sample(values);
        for vector in &vectors {
            alp::encode(vector, &candidates, &mut encoded).unwrap();
        }
        group.bench_function(format!("encode/{file}"), |b| {
            b.iter(|| {
                encoded.clear();
                let candidates = alp::Candidates::sample(black_box(values));
                let mut trend = integer::Trend::default();
                for vector in &vectors {
                    alp::encode_next(vector, &candidates, &mut trend, &mut encoded).unwrap();
                }
            });
        });
        group.bench_function(format!("sample/{file}"), |b| {
            b.iter(|| alp::Candidates::sample(black_box(values)));
        });
        eprintln!(
            "{file}: {:.2} bits a value",
            bits_each(&encoded, vectors.len())
        );
        let mut out = [0f64; VECTOR_ROWS];
        group.bench_function(format!("decode/{file}"), |b| {
            b.iter(|| {
                let mut reader = Reader::new(black_box(&encoded), "bench");
                for _ in &vectors {
                    alp::decode(&mut reader, black_box(&mut out)).unwrap();
                }
            });
        });
    }
}

fn bits_each(bytes: &[u8], vectors: usize) -> f64 {
    bytes.len() as f64 * 8.0 / (vectors * VECTOR_ROWS) as f64
}

criterion_group!(benches, packing, fastlanes, integers, decimals);
criterion_main!(benches);
