//! What a commit refuses or waits for because no segment could hold it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::io::SimDisk;
use crate::{
    Backpressure, Batch, ErrorKind, FieldType, Options, Table, TableOptions, Tidestone, Value,
};

fn database() -> (Tidestone, Table) {
    let db = Tidestone::builder("/db")
        .disk(Arc::new(SimDisk::new()))
        .options(Options {
            auto_compact: false,
            flush_after: None,
            backpressure: Backpressure::Fail,
            ..Options::default()
        })
        .create()
        .unwrap();
    let options = TableOptions::new().field("note", FieldType::String);
    let table = db.create_table("t", options).unwrap();
    (db, table)
}

#[test]
fn a_key_that_no_segment_can_hold_is_refused_when_it_is_resolved() {
    let (db, table) = database();
    let value = "v".repeat(65_535);
    let tags: Vec<(String, &str)> = (0..260).map(|i| (format!("tag {i}"), &*value)).collect();
    let error = table.series(&tags).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    // The longest there may be: a number of tags, and for each the lengths of name and value.
    let rest = (16 << 20) - 2 - 255 * (4 + 5 + 65_535) - (4 + 5);
    let mut tags: Vec<(String, &str)> = (0..256).map(|i| (format!("t{i:4}"), &*value)).collect();
    tags[255].1 = &value[..rest];
    let series = table.series(&tags).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 1, &[Value::from("x")]).unwrap();
    drop(writer.commit().unwrap());
    db.flush().unwrap();
    db.close().unwrap();
}

#[test]
fn text_that_one_flush_cannot_write_waits_or_is_refused() {
    let (db, table) = database();
    db.engine().text_max.store(1_000, Ordering::Relaxed);
    let series = table.series(&[("host", "a")]).unwrap();
    let note = "n".repeat(100);
    let mut writer = db.writer();
    let stage = |writer: &mut crate::Writer, rows: i64| {
        for time in 0..rows {
            writer
                .append(&series, time, &[Value::from(note.as_str())])
                .unwrap();
        }
    };
    // In one batch it never fits.
    stage(&mut writer, 11);
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    writer.clear();
    // What other batches leave no room for fits after a flush.
    stage(&mut writer, 4);
    drop(writer.commit().unwrap());
    stage(&mut writer, 7);
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(writer.staged_rows(), 7, "they stay staged");
    db.flush().unwrap();
    drop(writer.commit().unwrap());
    // As many rows as make a batch that is handed over and not copied.
    stage(&mut writer, 600);
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(writer.staged_rows(), 600, "they stay staged");
    db.close().unwrap();
}

#[test]
fn a_batch_with_series_of_two_databases_is_refused() {
    let (db, table) = database();
    let (_other, twin) = database();
    let series = vec![
        table.series(&[("host", "a")]).unwrap(),
        // Of a table of the same name and id.
        twin.series(&[("host", "b")]).unwrap(),
    ];
    let batch = Batch::of_many(series, vec![0, 1], vec![1, 2]).string("note", &["x", "y"]);
    let mut writer = db.writer();
    let error = writer.append_batch(batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(writer.staged_rows(), 0);
}

#[test]
fn a_commit_that_meets_a_dropped_table_says_how_to_go_on() {
    let (db, table) = database();
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, 1, &[Value::from("x")]).unwrap();
    db.drop_table("t").unwrap();
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("`clear` the writer"), "{error}");
    writer.clear();
    drop(writer.commit().unwrap());
}

#[test]
fn rows_that_stay_staged_after_an_error_stay_with_their_table() {
    let (db, table) = database();
    let (_other, twin) = database();
    let mut writer = db.writer();
    // Of a table of the same name and id.
    let stranger = twin.series(&[("host", "b")]).unwrap();
    writer.append(&stranger, 1, &[Value::from("x")]).unwrap();
    writer.clear();
    let series = table.series(&[("host", "a")]).unwrap();
    for time in 0..600 {
        writer.append(&series, time, &[Value::from("x")]).unwrap();
    }
    db.engine().text_max.store(500, Ordering::Relaxed);
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    db.engine().text_max.store(5_000, Ordering::Relaxed);
    drop(writer.commit().unwrap());
    assert_eq!(db.status().unwrap().rows_committed, 600);
}
