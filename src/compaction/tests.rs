//! What merging gives up, and what it says of it.

use std::sync::Arc;

use super::*;
use crate::io::SimDisk;
use crate::{FieldType, Options, Table, TableOptions, Tidestone, Value};

fn write(db: &Tidestone, table: &Table, time: i64) {
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    writer.append(&series, time, &[Value::I64(time)]).unwrap();
    drop(writer.commit().unwrap());
    db.flush().unwrap();
}

fn segments(db: &Tidestone) -> Vec<Arc<Segment>> {
    let version = db.engine().store.version();
    let all = version.tables.values().flat_map(|t| &t.segments);
    all.cloned().collect()
}

#[test]
fn what_is_too_much_for_one_segment_is_left_as_it_is_and_is_no_failure() {
    let db = Tidestone::builder("/db")
        .disk(Arc::new(SimDisk::new()))
        .options(Options {
            auto_compact: false,
            flush_after: None,
            ..Options::default()
        })
        .create()
        .unwrap();
    let options = TableOptions::new().field("v", FieldType::I64);
    let table = db.create_table("t", options).unwrap();
    (0..3).for_each(|time| write(&db, &table, time));
    let large = segments(&db);
    let refused = Error::new(ErrorKind::Invalid, "more than a segment can hold");
    give_up_on(&large, refused, &mut db.engine().compacting.lock()).unwrap();
    assert_eq!(db.compact().unwrap(), 0);
    // What comes later is merged beside them.
    (3..6).for_each(|time| write(&db, &table, time));
    assert_eq!(db.compact().unwrap(), 1);
    let uuids =
        |segments: &[Arc<Segment>]| -> Vec<_> { segments.iter().map(|s| s.entry.uuid).collect() };
    let after = segments(&db);
    assert_eq!(after.len(), 4);
    assert!(uuids(&large).iter().all(|u| uuids(&after).contains(u)));
    // What says nothing about the inputs is returned, and gives up nothing.
    let full = Error::new(ErrorKind::DiskFull, "no space");
    let mut given_up = Unmergeable::default();
    assert!(give_up_on(&after, full, &mut given_up).is_err() && given_up.is_empty());
    db.close().unwrap();
}
