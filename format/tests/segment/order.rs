//! The writer refuses what a reader would refuse, and rows that are out of order.

use tidestone_format::column::{Column, Values};
use tidestone_format::schema::DuplicatePolicy;
use tidestone_format::segment::{SegmentMeta, SegmentSink, SegmentWriter, WriteError};
use tidestone_format::{FieldId, FieldType, Lsn, SeriesId, SeriesKey, TimeRange};

use crate::model::{Model, check, field, key_of};

fn meta(policy: DuplicatePolicy) -> SegmentMeta {
    let mut meta = Model::build(&[FieldType::I64], &[], |_, _, _| {}).meta();
    meta.policy = policy;
    meta
}

/// Pushes runs one after another: what the last push says, and how many rows there are then.
fn push(policy: DuplicatePolicy, runs: &[(u64, &[i64])]) -> (Result<(), WriteError>, u64) {
    let mut writer = SegmentWriter::new(Vec::new(), meta(policy)).unwrap();
    let mut last = Ok(());
    for &(series, times) in runs {
        assert!(last.is_ok(), "only the last run may fail");
        let column = Column {
            values: Values::I64(times.to_vec()),
            validity: None,
        };
        let series = SeriesId(series);
        last = writer.push(series, &key_of(series), times, &[column], 0..times.len());
    }
    (last, writer.rows())
}

#[test]
fn rows_must_ascend() {
    use DuplicatePolicy::{All, First, Replace};
    let refuses = |policy, runs: &[(u64, &[i64])], taken| {
        let (result, rows) = push(policy, runs);
        assert!(
            matches!(result, Err(WriteError::Order { .. })),
            "{runs:?}: {result:?}"
        );
        assert_eq!(rows, taken, "{runs:?}");
    };
    for policy in [Replace, All, First] {
        refuses(policy, &[(1, &[1, 3, 2])], 0);
        refuses(policy, &[(1, &[1, 3]), (1, &[2])], 2);
        refuses(policy, &[(2, &[1]), (1, &[2])], 1);
        refuses(policy, &[(0, &[1])], 0);
    }
    for policy in [Replace, First] {
        refuses(policy, &[(1, &[1, 1])], 0);
        refuses(policy, &[(1, &[i64::MIN]), (1, &[i64::MIN])], 1);
    }
    assert!(
        push(All, &[(1, &[1, 1, 2]), (1, &[2]), (2, &[1])])
            .0
            .is_ok()
    );
    assert!(
        push(Replace, &[(1, &[5]), (1, &[]), (7, &[i64::MIN, i64::MAX])])
            .0
            .is_ok()
    );
}

#[test]
fn equal_times_round_trip_where_all_rows_stay() {
    let mut model = Model::build(&[FieldType::I64], &[(1, 3000)], |_, row, column| {
        if let Values::I64(values) = &mut column.values {
            values.push(row as i64);
        }
    });
    model.times = (0..3000).map(|i| i / 5).collect();
    let mut meta = model.meta();
    meta.policy = DuplicatePolicy::All;
    let (bytes, summary) = model.write_as(meta, 100).unwrap();
    check(&model, &bytes, &summary);
}

#[test]
fn columns_must_be_those_of_the_table() {
    let mut writer = SegmentWriter::new(Vec::new(), meta(DuplicatePolicy::Replace)).unwrap();
    let (series, key) = (SeriesId(1), key_of(SeriesId(1)));
    let of = |values| Column {
        values,
        validity: None,
    };
    let mut check = |columns: &[Column], rows| {
        let result = writer.push(series, &key, &[1, 2], columns, rows);
        assert!(matches!(result, Err(WriteError::Input(_))), "{result:?}");
        assert_eq!(writer.rows(), 0);
    };
    check(&[], 0..2);
    check(&[of(Values::F64(vec![1.0, 2.0]))], 0..2);
    check(&[of(Values::I64(vec![1]))], 0..2);
    check(&[of(Values::I64(vec![1, 2, 3]))], 0..3);
    let mut short = of(Values::I64(vec![1, 2]));
    short.validity = Some(tidestone_format::column::Bitmap::filled(1, true));
    check(&[short], 0..2);
    let good = of(Values::I64(vec![1, 2]));
    writer.push(series, &key, &[1, 2], &[good], 0..2).unwrap();
}

#[test]
fn what_the_format_cannot_hold_is_refused_at_the_start() {
    let check = |change: &dyn Fn(&mut SegmentMeta)| {
        let mut meta = meta(DuplicatePolicy::Replace);
        change(&mut meta);
        assert!(SegmentWriter::new(Vec::new(), meta).is_err());
    };
    check(&|m| m.partition = TimeRange { start: 1, end: 0 });
    check(&|m| m.first_lsn = Lsn(501));
    check(&|m| m.fields[0].id = FieldId::TIME);
    check(&|m| m.fields.push(field(10, FieldType::F64)));
    check(&|m| m.fields[0].name = "x".repeat(65_536));
    check(&|m| m.fields = (1..=4097).map(|id| field(id, FieldType::Bool)).collect());
}

#[test]
fn rows_outside_the_partition_are_refused() {
    let mut meta = meta(DuplicatePolicy::Replace);
    meta.partition = TimeRange { start: 10, end: 19 };
    let mut writer = SegmentWriter::new(Vec::new(), meta).unwrap();
    let (series, key) = (SeriesId(1), SeriesKey::new::<&str, &str>([]).unwrap());
    let column = [Column {
        values: Values::I64(vec![0; 4]),
        validity: None,
    }];
    let times = [9, 10, 19, 20];
    assert!(writer.push(series, &key, &times, &column, 0..2).is_err());
    assert!(writer.push(series, &key, &times, &column, 1..4).is_err());
    writer.push(series, &key, &times, &column, 1..3).unwrap();
    writer.finish().unwrap();
}

#[test]
fn a_segment_without_rows_is_refused() {
    let writer = SegmentWriter::new(Vec::new(), meta(DuplicatePolicy::Replace)).unwrap();
    assert!(matches!(writer.finish(), Err(WriteError::Input(_))));
}

/// Takes some bytes and then fails.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl SegmentSink for Full {
    fn overwrite(&mut self, _: u64, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn after_an_error_of_the_sink_nothing_is_taken() {
    let values: Vec<i64> = (0..70_000)
        .map(|i| crate::model::mix(i).cast_signed())
        .collect();
    let times: Vec<i64> = (0..70_000).collect();
    let column = [Column {
        values: Values::I64(values),
        validity: None,
    }];
    let (series, key) = (SeriesId(1), key_of(SeriesId(1)));
    let mut writer = SegmentWriter::new(Full(1000), meta(DuplicatePolicy::Replace)).unwrap();
    let first = writer.push(series, &key, &times, &column, 0..69_000);
    assert!(matches!(first, Err(WriteError::Io(_))), "{first:?}");
    let second = writer.push(series, &key, &times, &column, 69_000..70_000);
    assert!(matches!(second, Err(WriteError::Broken)), "{second:?}");
    assert!(matches!(writer.finish(), Err(WriteError::Broken)));
}
