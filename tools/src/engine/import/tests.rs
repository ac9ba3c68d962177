//! What becomes of an import that the engine stops.

use tidestone::Options;
use tidestone::io::{Fault, SimDisk};

use super::*;

/// A database on a disk that is full once its first log files are.
fn on_a_small_disk(disk: &SimDisk) -> Tidestone {
    let options = Options {
        log_file_bytes: 64 << 10,
        log_retained_bytes: 128 << 10,
        ..Options::default()
    };
    let db = Tidestone::builder("/db").disk(Arc::new(disk.clone()));
    db.options(options).create().unwrap()
}

fn rows_of(db: &Tidestone, table: &str) -> u64 {
    let rows = db.table(table).unwrap().query().scan().unwrap();
    rows.map(|batch| batch.unwrap().len() as u64).sum()
}

#[test]
fn rows_that_the_engine_did_not_take_are_told_from_those_it_did() {
    let disk = SimDisk::new();
    let db = on_a_small_disk(&disk);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.csv");
    let lines: String = (0..200_000u64)
        .map(|i| format!("{i},{}\n", i * i))
        .collect();
    std::fs::write(&path, format!("t,v\n{lines}")).unwrap();
    let args = ImportArgs::of_csv("t", "t", path.clone(), 1 << 60);
    disk.inject(Fault::Capacity(disk.used()));
    let imported = import(&OnceCell::from(db.clone()), &args, &Signals::default());
    let error = imported.result.unwrap_err();
    assert!(matches!(&error, Failure::CouldNotRun(_)), "{error:?}");

    let summary = imported.summary;
    let [table] = &summary.tables[..] else {
        panic!("{summary:?}");
    };
    assert_eq!(table.rows, rows_of(&db, "t"), "as many as there are");
    assert_eq!(table.rows, summary.rows());
    assert!(table.left_out > 0, "{table:?}");
    // The first line has the names.
    let next = table.rows + 2;
    let (file, line) = table.first_left_out.as_ref().unwrap();
    assert_eq!((file.as_ref(), *line), (path.to_str().unwrap(), next));
    let last_read = table.rows + table.left_out + 1;
    let stopped = format!("{}:{last_read}", path.display());
    assert_eq!(summary.stopped, Some(stopped));
}

#[test]
fn the_first_row_that_the_engine_did_not_take_is_none_that_was_refused() {
    let disk = SimDisk::new();
    let db = on_a_small_disk(&disk);
    // It takes nothing that is more than a day ahead of the clock.
    let options = TableOptions::new().open_schema();
    db.create_table("t", options.partition(Duration::from_nanos(1 << 60)))
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.csv");
    // The first row of every commit is refused.
    let lines: String = (0..200_000u64)
        .map(|i| match i % 10_000 {
            0 => format!("7258118400,{i}\n"),
            _ => format!("{i},{}\n", i * i),
        })
        .collect();
    std::fs::write(&path, format!("t,v\n{lines}")).unwrap();
    let mut args = ImportArgs::of_csv("t", "t", path, 1 << 60);
    args.time_format = Some("s".parse().unwrap());
    disk.inject(Fault::Capacity(disk.used()));
    let imported = import(&OnceCell::from(db.clone()), &args, &Signals::default());
    imported.result.unwrap_err();
    let table = &imported.summary.tables[0];
    assert!(table.left_out > 0, "{table:?}");
    assert_eq!(table.rows % 9_999, 0, "{table:?}");
    // Behind the first line, which has the names, and the row that was refused.
    let expected = table.rows / 9_999 * 10_000 + 3;
    let (_, line) = table.first_left_out.as_ref().unwrap();
    assert_eq!(*line, expected, "{table:?}");
}
