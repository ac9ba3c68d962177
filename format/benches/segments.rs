//! Writing and scanning a segment of ten columns of doubles.
//!
//! `cargo bench -p tidestone-format --bench segments`; throughput is in values, the time column
//! not counted.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidestone_format::codec::vector::Validity;
use tidestone_format::column::{Column, Values};
use tidestone_format::manifest::Tier;
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::segment::{Segment, SegmentMeta, SegmentSummary, SegmentWriter, WriteError};
use tidestone_format::version::VECTOR_ROWS;
use tidestone_format::{
    FieldId, FieldType, FileUuid, FormatError, Lsn, SeriesId, SeriesKey, TableId, TimeRange,
};

const ROWS: usize = 4 * 65_536;
const COLUMNS: u32 = 10;

/// A small generator of numbers.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The value of a row.
type Kind = fn(usize) -> f64;

/// What columns of measurements are like.
fn kinds() -> [(&'static str, Kind); 5] {
    [
        ("whole", |row| (mix(row as u64) % 101) as f64),
        ("walk", |row| {
            let slow = (row as f64 / 5000.0).sin() * 30.0;
            ((slow + 50.0) * 100.0 + (mix(row as u64) % 40) as f64).round() / 100.0
        }),
        ("decimals", |row| (mix(row as u64) % 90_000) as f64 / 1000.0),
        ("few", |row| {
            f64::from_bits(0x4000_0000_0000_0000 | mix(mix(row as u64) % 300) >> 12)
        }),
        ("noise", |row| mix(row as u64) as f64 / 1e19),
    ]
}

fn columns(kind: Option<Kind>) -> Vec<Column> {
    let kinds = kinds();
    (0..COLUMNS as usize)
        .map(|column| {
            // Measurements are mostly decimals: seven of ten columns are.
            let mixed = [0, 0, 0, 1, 1, 1, 2, 2, 3, 4];
            let value = kind.unwrap_or(kinds[mixed[column]].1);
            Column {
                values: Values::F64((0..ROWS).map(|row| value(row + column * 7)).collect()),
                validity: None,
            }
        })
        .collect()
}

fn write(columns: &[Column], times: &[i64]) -> Result<(Vec<u8>, SegmentSummary), WriteError> {
    let meta = SegmentMeta {
        database: FileUuid([1; 16]),
        uuid: FileUuid([2; 16]),
        table: TableId(1),
        partition: TimeRange::ALL,
        fields: (1..=COLUMNS)
            .map(|id| Field {
                id: FieldId(id),
                name: format!("field_{id}"),
                field_type: FieldType::F64,
            })
            .collect(),
        policy: DuplicatePolicy::Replace,
        tier: Tier::Hot,
        first_lsn: Lsn(1),
        last_lsn: Lsn(2),
    };
    let mut bytes = Vec::new();
    let mut writer = SegmentWriter::new(&mut bytes, meta)?;
    let key = SeriesKey::new([("host", "a")])?;
    // Sixteen series; runs of a few thousand rows, as a merge makes them.
    for start in (0..ROWS).step_by(4096) {
        let series = SeriesId(1 + (start / (ROWS / 16)) as u64);
        writer.push(series, &key, times, columns, start..start + 4096)?;
    }
    let summary = writer.finish()?;
    Ok((bytes, summary))
}

/// The sum of all values.
fn scan(bytes: &[u8]) -> Result<f64, FormatError> {
    let segment = Segment::open(bytes)?;
    let (mut out, mut validity) = ([0.0; VECTOR_ROWS], Validity::default());
    let mut sum = 0.0;
    for field in &segment.root().columns {
        let dictionary = segment.dictionary(field.id)?;
        for group in 0..segment.root().group_pages.len() {
            let page = segment.group_page(group)?;
            let block = segment.block(&page, group, field.id)?;
            for vector in 0..block.vector_count() {
                let rows =
                    block.decode_f64(vector, dictionary.as_ref(), &mut out, &mut validity)?;
                let mut lanes = [0.0; 8];
                for chunk in out[..rows].chunks_exact(lanes.len()) {
                    for (lane, value) in lanes.iter_mut().zip(chunk) {
                        *lane += value;
                    }
                }
                sum += lanes.iter().sum::<f64>();
            }
        }
    }
    Ok(sum)
}

/// The sum of all values, from statistics.
fn plan(bytes: &[u8]) -> Result<f64, FormatError> {
    let segment = Segment::open(bytes)?;
    let mut sum = 0.0;
    for group in 0..segment.root().group_pages.len() {
        let page = segment.group_page(group)?;
        for column in page.columns() {
            let total = page.stats(column)?.total();
            if let Some(tidestone_format::codec::stats::ValueStats::F64 { sum: part, .. }) =
                total.map(|t| t.of)
            {
                sum += part;
            }
        }
    }
    Ok(sum)
}

fn segments(c: &mut Criterion) {
    let times: Vec<i64> = (0..ROWS as i64).map(|row| row * 10_000_000_000).collect();
    let mut all = vec![("mixed", None)];
    all.extend(kinds().map(|(name, value)| (name, Some(value))));
    for (name, kind) in all {
        let columns = columns(kind);
        let Ok((bytes, summary)) = write(&columns, &times) else {
            continue;
        };
        let values = (ROWS * COLUMNS as usize) as u64;
        let fields = summary.columns.iter().skip(1);
        let stored: u64 = fields.map(|c| c.bytes).sum();
        println!(
            "{name}: {:.2} bits a value",
            stored as f64 * 8.0 / values as f64
        );
        let mut group = c.benchmark_group(name);
        group
            .throughput(Throughput::Elements(values))
            .sample_size(10);
        group.bench_function("write", |b| b.iter(|| black_box(write(&columns, &times))));
        group.bench_function("scan", |b| b.iter(|| black_box(scan(&bytes))));
        group.bench_function("plan", |b| b.iter(|| black_box(plan(&bytes))));
        group.finish();
    }
}

criterion_group!(benches, segments);
criterion_main!(benches);
