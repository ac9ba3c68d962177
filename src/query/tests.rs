use std::sync::Arc;

use super::*;
use crate::io::SimDisk;
use crate::{
    DuplicatePolicy, ErrorKind, FieldType, ManualClock, Options, ReadMode, Result, Table,
    TableOptions, TagMatch, Tidestone, TimeRange, Timestamp, Value,
};

mod aggregates;
mod bursts;
mod cancel;
mod model;
mod rows;
mod texts;

/// A second.
const S: i64 = 1_000_000_000;
/// An hour, the length of a partition.
const HOUR: i64 = 3600 * S;

/// A database in memory with a table `t`: price f64, size i64, seen u64, up bool, note string.
fn table(policy: DuplicatePolicy) -> (Tidestone, Table) {
    table_on(Arc::new(SimDisk::new()), policy)
}

/// As [`table`], on that disk.
fn table_on(disk: Arc<SimDisk>, policy: DuplicatePolicy) -> (Tidestone, Table) {
    table_read(ReadMode::Mmap, disk, policy)
}

/// As [`table_on`], its files read like that.
fn table_read(
    read_mode: ReadMode,
    disk: Arc<SimDisk>,
    policy: DuplicatePolicy,
) -> (Tidestone, Table) {
    let db = Tidestone::builder("/db")
        .disk(disk)
        .clock(Arc::new(ManualClock::new(24 * HOUR)))
        .options(Options {
            auto_compact: false,
            flush_after: None,
            log_file_bytes: 4 << 20,
            read_mode,
            ..Options::default()
        })
        .create()
        .unwrap();
    let options = TableOptions::new()
        .field("price", FieldType::F64)
        .field("size", FieldType::I64)
        .field("seen", FieldType::U64)
        .field("up", FieldType::Bool)
        .field("note", FieldType::String)
        .policy(policy)
        .future_bound(None)
        .partition(std::time::Duration::from_secs(3600));
    let table = db.create_table("t", options).unwrap();
    (db, table)
}

/// Writes rows of one batch: host, time, price, size.
fn write(db: &Tidestone, table: &Table, rows: &[(&str, Timestamp, f64, i64)]) {
    let mut writer = db.writer();
    for (host, time, price, size) in rows {
        let series = table.series(&[("host", *host)]).unwrap();
        writer
            .append(&series, *time, &[Value::from(*price), Value::from(*size)])
            .unwrap();
    }
    drop(writer.commit().unwrap());
}

/// Every row of an answer: host, time, price.
fn prices(query: &Query) -> Vec<(String, Timestamp, f64)> {
    let mut stream = query.scan().unwrap();
    let mut out = Vec::new();
    while let Some(batch) = stream.next() {
        let batch = batch.unwrap();
        let at = batch.fields().iter().position(|f| f.name == "price");
        for row in 0..batch.len() {
            let key = stream.key(batch.series(row)).unwrap();
            let price = match batch.value(row, at.unwrap()) {
                Value::F64(v) => v,
                _ => f64::NAN,
            };
            let host = key.get("host").unwrap_or_default().to_owned();
            out.push((host, batch.times()[row], price));
        }
    }
    out
}
