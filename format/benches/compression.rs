//! Bits a value of every column of the real data, beside general compressors: a table, not a timing harness.
//!
//! `cargo bench -p tidestone-format --bench compression`. A column is written as the only field of a segment whose
//! times are a constant stride; its bits are those of its blocks, dictionary and statistics. The others get the
//! bare column, eight bytes a value, in one piece. Speeds are medians of several runs on one thread.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench may stop")]
#![allow(
    clippy::disallowed_methods,
    reason = "reads its data, and measures time"
)]

use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tidestone_format::codec::vector::Validity;
use tidestone_format::column::{Column, Values};
use tidestone_format::manifest::Tier;
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::segment::{Segment, SegmentMeta, SegmentSummary, SegmentWriter};
use tidestone_format::version::VECTOR_ROWS;
use tidestone_format::{
    FieldId, FieldType, FileUuid, Lsn, SeriesId, SeriesKey, TableId, TimeRange,
};

/// Fewer rows say little.
const LEAST_ROWS: usize = 1_000;
/// Speeds are measured over so many values at least.
const MEASURED: usize = 1 << 20;

struct Input {
    name: String,
    values: Values,
}

impl Input {
    fn bytes(&self) -> Vec<u8> {
        match &self.values {
            Values::F64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Values::I64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
            _ => unreachable!("only numbers are read"),
        }
    }

    fn pco(&self) -> usize {
        let config = pco::ChunkConfig::default().with_compression_level(8);
        let bytes = match &self.values {
            Values::F64(v) => pco::standalone::simple_compress(v, &config),
            Values::I64(v) => pco::standalone::simple_compress(v, &config),
            _ => unreachable!("only numbers are read"),
        };
        bytes.unwrap().len()
    }
}

/// The columns of a file: those of which nearly every field is a number.
fn columns(path: &Path, name: &str) -> Vec<Input> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().is_some_and(|e| e == "gz") {
        true => {
            let mut gz = flate2::read::GzDecoder::new(&bytes[..]);
            gz.read_to_string(&mut text).unwrap();
        }
        false if path.extension().is_some_and(|e| e == "bin") => {
            let values = bytes.as_chunks::<8>().0.iter();
            let values = values.map(|b| f64::from_le_bytes(*b)).collect();
            let name = name.to_owned();
            return vec![Input {
                name,
                values: Values::F64(values),
            }];
        }
        false => text = String::from_utf8(bytes).unwrap(),
    }
    let separator = if text.contains(';') { ';' } else { ',' };
    let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split(separator).collect()).collect();
    let width = rows.first().map_or(0, Vec::len);
    let header = rows[0].iter().all(|f| f.parse::<f64>().is_err());
    let mut inputs = Vec::new();
    for column in 0..width {
        let fields: Vec<&str> = rows[usize::from(header)..]
            .iter()
            .filter_map(|r| r.get(column).copied())
            .filter(|f| !f.is_empty() && *f != "\"\"")
            .collect();
        let integers: Vec<i64> = fields.iter().filter_map(|f| f.parse().ok()).collect();
        let floats: Vec<f64> = fields
            .iter()
            .filter_map(|f| f.trim().parse().ok())
            .collect();
        let enough = |n: usize| n >= LEAST_ROWS && n * 100 >= fields.len() * 99;
        let values = match (enough(integers.len()), enough(floats.len())) {
            (true, _) => Values::I64(integers),
            (false, true) => Values::F64(floats),
            _ => continue,
        };
        let label = if header {
            rows[0][column].to_owned()
        } else {
            column.to_string()
        };
        let name = if width > 1 {
            format!("{name} {label}")
        } else {
            name.to_owned()
        };
        inputs.push(Input { name, values });
    }
    inputs
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found.retain(|p| !p.ends_with("README.md"));
    found
}

fn write(column: &Column, times: &[i64]) -> (Vec<u8>, SegmentSummary) {
    let meta = SegmentMeta {
        database: FileUuid([1; 16]),
        uuid: FileUuid([2; 16]),
        table: TableId(1),
        partition: TimeRange::ALL,
        fields: vec![Field {
            id: FieldId(1),
            name: "value".to_owned(),
            field_type: column.values.field_type(),
        }],
        policy: DuplicatePolicy::Replace,
        tier: Tier::Hot,
        first_lsn: Lsn(1),
        last_lsn: Lsn(2),
    };
    let mut bytes = Vec::new();
    let mut writer = SegmentWriter::new(&mut bytes, meta).unwrap();
    let key = SeriesKey::new([("host", "a")]).unwrap();
    let columns = std::slice::from_ref(column);
    writer
        .push(SeriesId(1), &key, times, columns, 0..times.len())
        .unwrap();
    let summary = writer.finish().unwrap();
    (bytes, summary)
}

/// Decodes every vector of the field.
fn scan(bytes: &[u8]) {
    let segment = Segment::open(bytes).unwrap();
    let (mut floats, mut integers) = ([0.0; VECTOR_ROWS], [0; VECTOR_ROWS]);
    let mut validity = Validity::default();
    let field = segment.root().columns[0].clone();
    let dictionary = segment.dictionary(field.id).unwrap();
    for group in 0..segment.root().group_pages.len() {
        let page = segment.group_page(group).unwrap();
        let block = segment.block(&page, group, field.id).unwrap();
        for vector in 0..block.vector_count() {
            match field.field_type {
                FieldType::F64 => {
                    block
                        .decode_f64(vector, dictionary.as_ref(), &mut floats, &mut validity)
                        .unwrap();
                    black_box(&floats);
                }
                _ => {
                    block
                        .decode_i64(vector, &mut integers, &mut validity)
                        .unwrap();
                    black_box(&integers);
                }
            }
        }
    }
}

/// Median seconds of a run.
fn time(rows: usize, mut run: impl FnMut()) -> f64 {
    let mut runs = Vec::new();
    let mut done = 0;
    while done < MEASURED || runs.len() < 5 {
        let start = Instant::now();
        run();
        runs.push(start.elapsed().as_secs_f64());
        done += rows;
    }
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    println!(
        "| column | rows | type | bits a value | encode M/s | decode M/s | zstd-3 | zstd-19 | lz4 | pco-8 |"
    );
    println!("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|");
    for folder in [
        here.join("../../shared/data"),
        here.join("../tools/demo-data"),
    ] {
        for path in files(&folder) {
            let place = path.strip_prefix(&folder).unwrap().with_extension("");
            let name = place.with_extension("").to_string_lossy().into_owned();
            if filter.as_ref().is_some_and(|f| !name.contains(f.as_str())) {
                continue;
            }
            for input in columns(&path, &name) {
                row(&input);
            }
        }
    }
}

fn row(input: &Input) {
    let column = Column {
        values: input.values.clone(),
        validity: None,
    };
    let rows = column.len();
    let times: Vec<i64> = (0..rows as i64).map(|row| row * 1_000_000_000).collect();
    let (bytes, summary) = write(&column, &times);
    // The first is time.
    let ours = usize::try_from(summary.columns[1].bytes).unwrap();
    let plain = input.bytes();
    let bits = |bytes: usize| bytes as f64 * 8.0 / rows as f64;
    let encode = time(rows, || drop(black_box(write(&column, &times))));
    let decode = time(rows, || scan(&bytes));
    let million = |seconds: f64| rows as f64 / seconds / 1e6;
    println!(
        "| {} | {rows} | {} | {:.2} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} |",
        input.name,
        column.values.field_type(),
        bits(ours),
        million(encode),
        million(decode),
        bits(zstd::bulk::compress(&plain, 3).unwrap().len()),
        bits(zstd::bulk::compress(&plain, 19).unwrap().len()),
        bits(lz4_flex::compress(&plain).len()),
        bits(input.pco()),
    );
}
