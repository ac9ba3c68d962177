//! Rows in memory, how to write them to a segment, and how to compare them with what is read.

use tidestone_format::codec::stats::{ValueStats, VectorStats};
use tidestone_format::codec::vector::Validity;
use tidestone_format::column::{Column, Values};
use tidestone_format::manifest::Tier;
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::segment::{Segment, SegmentMeta, SegmentSummary, SegmentWriter, WriteError};
use tidestone_format::version::{GROUP_ROWS, VECTOR_ROWS};
use tidestone_format::{
    FieldId, FieldType, FileUuid, Lsn, SeriesId, SeriesKey, TableId, TimeRange,
};

pub(crate) const TYPES: [FieldType; 5] = [
    FieldType::F64,
    FieldType::I64,
    FieldType::U64,
    FieldType::Bool,
    FieldType::String,
];

/// All rows of a segment, series after series.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) fields: Vec<Field>,
    /// Id and number of rows.
    pub(crate) series: Vec<(SeriesId, usize)>,
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<Column>,
}

pub(crate) fn field(id: u32, field_type: FieldType) -> Field {
    Field {
        id: FieldId(id),
        name: format!("field_{id}"),
        field_type,
    }
}

pub(crate) fn key_of(series: SeriesId) -> SeriesKey {
    SeriesKey::new([("host", format!("host-{series}")), ("dc", "x".to_owned())]).unwrap()
}

impl Model {
    /// One field of each type; `value` appends row `row` to a column.
    pub(crate) fn build(
        types: &[FieldType],
        series: &[(u64, usize)],
        value: impl Fn(FieldType, usize, &mut Column),
    ) -> Self {
        let rows = series.iter().map(|s| s.1).sum();
        let columns = types.iter().map(|&field_type| {
            let mut column = Column::new(field_type);
            (0..rows).for_each(|row| value(field_type, row, &mut column));
            column
        });
        let times = series
            .iter()
            .flat_map(|&(id, n)| (0..n as i64).map(move |i| i * 1_000 + (i * i * id as i64) % 7));
        Self {
            fields: (10..).zip(types).map(|(id, &t)| field(id, t)).collect(),
            series: series.iter().map(|&(id, n)| (SeriesId(id), n)).collect(),
            columns: columns.collect(),
            times: times.collect(),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn meta(&self) -> SegmentMeta {
        let mut fields = self.fields.clone();
        fields.reverse();
        SegmentMeta {
            database: FileUuid([1; 16]),
            uuid: FileUuid([2; 16]),
            table: TableId(3),
            partition: TimeRange::ALL,
            fields,
            policy: DuplicatePolicy::Replace,
            tier: Tier::Hot,
            first_lsn: Lsn(5),
            last_lsn: Lsn(500),
        }
    }

    /// Writes the rows; runs are at most `run` rows long.
    pub(crate) fn write(&self, run: usize) -> (Vec<u8>, SegmentSummary) {
        self.write_as(self.meta(), run).unwrap()
    }

    pub(crate) fn write_as(
        &self,
        meta: SegmentMeta,
        run: usize,
    ) -> Result<(Vec<u8>, SegmentSummary), WriteError> {
        let mut bytes = Vec::new();
        let mut writer = SegmentWriter::new(&mut bytes, meta)?;
        let mut start = 0;
        for &(series, n) in &self.series {
            let key = key_of(series);
            let end = start + n;
            while start < end {
                let rows = start..end.min(start.saturating_add(run));
                writer.push(series, &key, &self.times, &self.columns, rows.clone())?;
                start = rows.end;
            }
        }
        let summary = writer.finish()?;
        Ok((bytes, summary))
    }
}

/// Value `i` of a column as bits or text; `None` if null.
fn cell(column: &Column, i: usize) -> Option<String> {
    column.is_valid(i).then(|| match &column.values {
        Values::F64(v) => format!("{:016x}", v[i].to_bits()),
        Values::I64(v) => v[i].to_string(),
        Values::U64(v) => v[i].to_string(),
        Values::Bool(v) => v[i].to_string(),
        Values::String(v) => format!("{:?}", v.get(i)),
    })
}

pub(crate) fn assert_same(what: &str, read: &Column, expected: &Column) {
    assert_eq!(read.len(), expected.len(), "{what}");
    for i in 0..expected.len() {
        assert_eq!(cell(read, i), cell(expected, i), "{what} row {i}");
    }
}

/// Reads a segment back and compares all of it with the model.
pub(crate) fn check(model: &Model, bytes: &[u8], summary: &SegmentSummary) {
    let segment = Segment::open(bytes).unwrap();
    segment.verify(|region, result| {
        result.unwrap_or_else(|e| panic!("{region:?}: {e}"));
    });
    let root = segment.root();
    let entry = &summary.entry;
    assert_eq!(entry.file_len, bytes.len() as u64);
    assert_eq!(entry.tail_len, segment.trailer().tail_len);
    assert_eq!(entry.root_crc, segment.trailer().root_region().crc);
    assert_eq!((root.rows, root.series), (entry.rows, entry.series));
    assert_eq!(root.rows, model.rows() as u64);
    assert_eq!((root.first_lsn, root.last_lsn), (Lsn(5), Lsn(500)));
    assert_eq!(root.times, entry.times);
    let times = &model.times;
    assert_eq!(Some(&root.times.start), times.iter().min());
    assert_eq!(Some(&root.times.end), times.iter().max());
    assert_eq!(root.columns, model.fields);
    check_series(model, &segment);
    let time = Column {
        values: Values::I64(times.clone()),
        validity: None,
    };
    check_column(&segment, FieldId::TIME, &time);
    for (field, column) in model.fields.iter().zip(&model.columns) {
        check_column(&segment, field.id, column);
    }
}

fn check_series(model: &Model, segment: &Segment<'_>) {
    let root = segment.root();
    let mut row = 0u64;
    let mut expected = model.series.iter().filter(|s| s.1 > 0);
    for (i, reference) in root.series_pages.iter().enumerate() {
        assert_eq!(reference.first_row, row);
        let page = segment.series_page(i).unwrap();
        for (n, series) in page.iter().enumerate() {
            let &(id, rows) = expected.next().unwrap();
            assert_eq!(
                (series.id, series.rows.clone()),
                (id, row..row + rows as u64)
            );
            let times = &model.times[row as usize..][..rows];
            assert_eq!(
                (series.times.start, series.times.end),
                (times[0], times[rows - 1])
            );
            assert_eq!(page.key(n).unwrap(), key_of(id));
            assert_eq!(page.find(id), Some(n));
            assert_eq!(page.series_of_row(row), Some(n));
            assert_eq!(page.series_of_row(row + rows as u64 - 1), Some(n));
            assert_eq!(root.series_page_of(id), Some(i));
            row += rows as u64;
        }
        assert_eq!(page.series_of_row(row), None);
    }
    assert!(expected.next().is_none());
}

fn check_column(segment: &Segment<'_>, field: FieldId, expected: &Column) {
    let root = segment.root();
    let field_type = expected.values.field_type();
    let dictionary = segment.dictionary(field).unwrap();
    let mut all = Column::new(field_type);
    for (group, reference) in root.group_pages.iter().enumerate() {
        let page = segment.group_page(group).unwrap();
        let block = segment.block(&page, group, field).unwrap();
        let stats = page.stats(page.column(field).unwrap()).unwrap();
        assert_eq!(reference.first_row, (group * GROUP_ROWS) as u64);
        for vector in 0..block.vector_count() {
            let start = group * GROUP_ROWS + vector * VECTOR_ROWS;
            block.decode(vector, dictionary.as_ref(), &mut all).unwrap();
            let described = block.describe(vector).unwrap();
            assert_eq!(start + described.rows, all.len());
            let naive = naive_stats(field, expected, start, described.rows);
            compare_stats(&stats.vectors()[vector], &naive);
            if field_type == FieldType::F64 {
                let (mut out, mut validity) = ([0.0; VECTOR_ROWS], Validity::default());
                let rows = block
                    .decode_f64(vector, dictionary.as_ref(), &mut out, &mut validity)
                    .unwrap();
                let Values::F64(values) = &expected.values else {
                    unreachable!()
                };
                for i in 0..rows {
                    assert_eq!(validity.get(i), expected.is_valid(start + i));
                    let same = out[i].to_bits() == values[start + i].to_bits();
                    assert!(same || !validity.get(i), "row {i}");
                }
                assert_eq!(validity.is_full(), (0..rows).all(|i| validity.get(i)));
            }
        }
    }
    assert_same(&format!("field {field}"), &all, expected);
}

fn compare_stats(read: &VectorStats, naive: &VectorStats) {
    // NaNs and zeros of both signs: compare as text of bits, but for sums of floats.
    let (mut read, mut naive) = (*read, *naive);
    if let (
        ValueStats::F64 {
            sum,
            min,
            max,
            first,
            last,
        },
        ValueStats::F64 {
            sum: other,
            min: min2,
            max: max2,
            first: first2,
            last: last2,
        },
    ) = (&mut read.of, &mut naive.of)
    {
        let close = (*sum - *other).abs() <= 1e-9 * (1.0 + other.abs())
            || sum.to_bits() == other.to_bits()
            || !other.is_finite()
            || (min.abs().max(max.abs())) > 1e15;
        assert!(close, "sum {sum} {other}");
        (*sum, *other) = (0.0, 0.0);
        for (a, b) in [(min, min2), (max, max2), (first, first2), (last, last2)] {
            assert_eq!(a.to_bits(), b.to_bits(), "{a} {b}");
            (*a, *b) = (0.0, 0.0);
        }
    }
    assert_eq!(read, naive);
}

fn naive_stats(field: FieldId, column: &Column, start: usize, rows: usize) -> VectorStats {
    let present: Vec<usize> = (start..start + rows)
        .filter(|&i| column.is_valid(i))
        .collect();
    let mut stats = VectorStats::nulls(field, column.values.field_type(), rows as u64);
    stats.nulls = (rows - present.len()) as u64;
    let (Some(&a), Some(&z)) = (present.first(), present.last()) else {
        return stats;
    };
    stats.of = match &column.values {
        Values::F64(v) => {
            let numbers = || present.iter().map(|&i| v[i]).filter(|v| !v.is_nan());
            stats.nans = (present.len() - numbers().count()) as u64;
            ValueStats::F64 {
                min: numbers().min_by(f64::total_cmp).unwrap_or(0.0),
                max: numbers().max_by(f64::total_cmp).unwrap_or(0.0),
                first: v[a],
                last: v[z],
                sum: present.iter().map(|&i| v[i]).sum(),
            }
        }
        Values::I64(v) if field == FieldId::TIME => ValueStats::Time {
            min: present.iter().map(|&i| v[i]).min().unwrap(),
            max: present.iter().map(|&i| v[i]).max().unwrap(),
            first: v[a],
            last: v[z],
        },
        Values::I64(v) => ValueStats::I64 {
            min: present.iter().map(|&i| v[i]).min().unwrap(),
            max: present.iter().map(|&i| v[i]).max().unwrap(),
            first: v[a],
            last: v[z],
            sum: present.iter().map(|&i| i128::from(v[i])).sum(),
        },
        Values::U64(v) => ValueStats::U64 {
            min: present.iter().map(|&i| v[i]).min().unwrap(),
            max: present.iter().map(|&i| v[i]).max().unwrap(),
            first: v[a],
            last: v[z],
            sum: present.iter().map(|&i| u128::from(v[i])).sum(),
        },
        Values::Bool(v) => ValueStats::Bool {
            trues: present.iter().filter(|&&i| v[i]).count() as u64,
            first: v[a],
            last: v[z],
        },
        Values::String(_) => ValueStats::String,
    };
    stats
}

/// A small generator of numbers, the same everywhere.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
