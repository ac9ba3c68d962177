//! Real data: bits a value of whole segments.
//!
//! The data are not part of the repository; without the folder `../shared/data` beside the
//! checkout the test says so and ends.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests"
)]

use std::io::Read;
use std::path::{Path, PathBuf};

use tidestone_format::codec::vector::Encoding;
use tidestone_format::column::{Column, Values};
use tidestone_format::manifest::Tier;
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::segment::{ColumnSummary, Segment, SegmentMeta, SegmentWriter};
use tidestone_format::version::VECTOR_ROWS;
use tidestone_format::{FieldId, FileUuid, Lsn, SeriesId, SeriesKey, TableId, TimeRange};

fn data() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    path.is_dir().then_some(path)
}

fn lines(path: &Path) -> Vec<String> {
    let bytes = if path.extension().is_some_and(|e| e == "gz") {
        let mut bytes = Vec::new();
        let packed = std::fs::read(path).unwrap();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    } else {
        std::fs::read(path).unwrap()
    };
    let text = String::from_utf8(bytes).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn floats(path: &Path, column: usize, skip: usize) -> Column {
    let value = |line: &String| {
        line.split(',')
            .nth(column)
            .and_then(|v| v.trim().parse().ok())
    };
    let values = lines(path).iter().skip(skip).filter_map(value).collect();
    Column {
        values: Values::F64(values),
        validity: None,
    }
}

fn integers(path: &Path, column: usize, unit: i64) -> Vec<i64> {
    let value = |line: &String| {
        line.split(',')
            .nth(column)
            .and_then(|v| v.parse::<i64>().ok())
    };
    lines(path)
        .iter()
        .filter_map(value)
        .map(|v| v * unit)
        .collect()
}

/// Writes one series and reads it back: what became of time and of the column, and the bits of
/// the whole file a row.
fn measure(times: &[i64], column: &Column) -> (ColumnSummary, ColumnSummary, f64) {
    let field_type = column.values.field_type();
    let meta = SegmentMeta {
        database: FileUuid([1; 16]),
        uuid: FileUuid([2; 16]),
        table: TableId(1),
        partition: TimeRange::ALL,
        fields: vec![Field {
            id: FieldId(1),
            name: "value".to_owned(),
            field_type,
        }],
        policy: DuplicatePolicy::All,
        tier: Tier::Hot,
        first_lsn: Lsn(1),
        last_lsn: Lsn(1),
    };
    let mut bytes = Vec::new();
    let mut writer = SegmentWriter::new(&mut bytes, meta).unwrap();
    let key = SeriesKey::new([("source", "test")]).unwrap();
    let columns = std::slice::from_ref(column);
    writer
        .push(SeriesId(1), &key, times, columns, 0..times.len())
        .unwrap();
    let mut summary = writer.finish().unwrap();

    let segment = Segment::open(&bytes).unwrap();
    let dictionary = segment.dictionary(FieldId(1)).unwrap();
    let mut read = Column::new(field_type);
    for group in 0..segment.root().group_pages.len() {
        let page = segment.group_page(group).unwrap();
        let block = segment.block(&page, group, FieldId(1)).unwrap();
        for vector in 0..block.rows().div_ceil(VECTOR_ROWS) {
            block
                .decode(vector, dictionary.as_ref(), &mut read)
                .unwrap();
        }
    }
    match (&read.values, &column.values) {
        (Values::F64(a), Values::F64(b)) => {
            let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert!(bits(a) == bits(b));
        }
        (a, b) => assert!(a == b),
    }
    let value = summary.columns.pop().unwrap();
    let time = summary.columns.pop().unwrap();
    (time, value, bytes.len() as f64 * 8.0 / times.len() as f64)
}

fn bits(summary: &ColumnSummary, rows: usize) -> f64 {
    summary.bytes as f64 * 8.0 / rows as f64
}

fn encodings(summary: &ColumnSummary) -> String {
    let used = Encoding::ALL.iter().zip(&summary.encodings);
    let used = used.filter(|(_, u)| u.vectors > 0);
    let names: Vec<String> = used
        .map(|(e, u)| format!("{} x {}", u.vectors, e.name()))
        .collect();
    names.join(", ")
}

#[test]
fn bits_a_value() {
    let Some(data) = data() else {
        println!("no data beside the checkout: nothing was measured");
        return;
    };
    // What each must not exceed, in bits a value: some slack over what was measured.
    let columns = [
        ("City-temp", "float_columns/City-temp.csv", 0, 0, 10.9),
        ("Stocks-USA", "float_columns/Stocks-USA.csv", 0, 0, 8.6),
        ("Stocks-DE", "float_columns/Stocks-DE.csv", 0, 0, 11.0),
        ("Dew-point", "float_columns/Dew-point-temp.csv", 0, 0, 12.0),
        ("Basel-temp", "float_columns/Basel-temp.csv", 0, 0, 31.0),
        ("POI-lat", "float_columns/POI-lat.csv", 0, 0, 64.6),
        ("Food-price", "float_columns/Food-price.csv", 0, 0, 64.0),
        ("Air-pressure", "float_columns/Air-pressure.csv", 0, 0, 64.0),
        (
            "EURUSD bid",
            "ticks/eurusd_fxcm_20140508_quote_tick.csv.gz",
            1,
            0,
            8.0,
        ),
        ("ETTh1 OT", "ett/ETTh1.csv.gz", 7, 1, 13.0),
        ("ETTh1 HUFL", "ett/ETTh1.csv.gz", 1, 1, 24.0),
    ];
    for (name, path, index, skip, most) in columns {
        let column = floats(&data.join(path), index, skip);
        let times: Vec<i64> = (0..column.len() as i64)
            .map(|i| i * 1_000_000_000)
            .collect();
        let (time, value, whole) = measure(&times, &column);
        let found = bits(&value, times.len());
        println!(
            "{name:>12}: {found:5.2} bits ({}), dictionary {}; time {:.2}, file {whole:.2}",
            encodings(&value),
            value.dictionary,
            bits(&time, times.len()),
        );
        assert!(found <= most, "{name}: {found} bits a value");
    }
    let spy = data.join("ticks/spy_20131008_trade_tick.csv.gz");
    let times = integers(&spy, 0, 1_000_000);
    let price = Column {
        values: Values::I64(integers(&spy, 1, 1)),
        validity: None,
    };
    let (time, value, whole) = measure(&times, &price);
    let (time_bits, price_bits) = (bits(&time, times.len()), bits(&value, times.len()));
    println!(
        "   SPY price: {price_bits:5.2} bits ({}); time {time_bits:.2} ({}); file {whole:.2}",
        encodings(&value),
        encodings(&time),
    );
    assert!(price_bits <= 3.5 && time_bits <= 10.0);
    let ot = floats(&data.join("ett/ETTh1.csv.gz"), 7, 1);
    let times: Vec<i64> = (0..ot.len() as i64).collect();
    let (_, value, _) = measure(&times, &ot);
    assert_eq!(
        value.encodings[Encoding::Dictionary as usize - 1].rows,
        ot.len() as u64
    );
}
