//! What appending allocates once the buffers of the writer have grown: nothing, but for strings and nulls of
//! large batches.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use common::quiet;
use tidestone::io::SimDisk;
use tidestone::{
    Durability, FieldType, ManualClock, SeriesHandle, TableOptions, Tidestone, Value, Writer,
};

/// Counts the allocations of each thread: those of the engine's own threads are not appending's.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call is handed to the system's allocator unchanged; counting allocates nothing.
#[expect(unsafe_code, reason = "an allocator cannot be counted without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

/// A database whose table has a field for strings and ten for doubles, and two series of it.
fn database() -> (Tidestone, [SeriesHandle; 2]) {
    let db = Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(SimDisk::new()))
        .clock(Arc::new(ManualClock::new(0)))
        .create()
        .unwrap();
    let mut options = TableOptions::new().field("text", FieldType::String);
    for i in 0..10 {
        options = options.field(format!("f{i}"), FieldType::F64);
    }
    let table = db.create_table("t", options).unwrap();
    let series = [0, 1].map(|host| table.series(&[("host", host.to_string())]).unwrap());
    (db, series)
}

/// What rows are appended with.
#[derive(Clone, Copy)]
struct Kind {
    text: &'static str,
    nulls: bool,
}

/// Text and, in one row of seven, a null.
const MIXED: Kind = Kind {
    text: "sixteen bytes...",
    nulls: true,
};

fn append(writer: &mut Writer, series: &[SeriesHandle; 2], rows: i64, kind: Kind) {
    for i in 0..rows {
        let mut row = [Value::F64(i as f64); 11];
        row[0] = Value::String(kind.text);
        if kind.nulls && i % 7 == 0 {
            row[3] = Value::Null;
        }
        let series = &series[usize::try_from(i % 2).unwrap()];
        writer.append(series, i, &row).unwrap();
    }
}

/// A batch of few rows is copied when it is committed, so that its buffers stay the writer's.
#[test]
fn appending_allocates_nothing_in_steady_state() {
    let (db, series) = database();
    let mut writer = db.writer();
    // The buffers grow with the first rows: a counter that counts nothing is found out.
    assert!(allocations(|| append(&mut writer, &series, 60, MIXED)) > 0);
    for round in 1..200 {
        let _ticket = writer.commit_as(Durability::Os).unwrap();
        let made = allocations(|| append(&mut writer, &series, 60, MIXED));
        assert_eq!(made, 0, "round {round}");
    }
    assert!(allocations(|| append(&mut writer, &series, 5_000, MIXED)) > 0);
    writer.clear();
    let made = allocations(|| append(&mut writer, &series, 5_000, MIXED));
    assert_eq!(made, 0);
}

/// A batch of more rows is handed over. Its writer goes on in other buffers, emptied ones of earlier batches or
/// new ones with room for as many rows, so that appending doubles allocates nothing. The text of strings and the
/// map of nulls have no room in new ones and grow by doubling: a few times a batch, however many rows it has.
#[test]
fn appending_large_batches_allocates_only_for_text_and_nulls() {
    /// For the batch, and for each of its 13 columns.
    const A_COMMIT: u64 = 4 * 13;
    let plain = Kind {
        text: "",
        nulls: false,
    };
    for (rows, kind, in_appends) in [
        (1_000, plain, 0),
        (1_000, MIXED, 20),
        (10_000, plain, 0),
        (10_000, MIXED, 25),
    ] {
        let (db, series) = database();
        let mut writer = db.writer();
        assert!(allocations(|| append(&mut writer, &series, rows, kind)) > 0);
        for round in 1..20 {
            let committing = allocations(|| drop(writer.commit_as(Durability::Os).unwrap()));
            assert!(committing <= A_COMMIT, "round {round}: {committing}");
            let appending = allocations(|| append(&mut writer, &series, rows, kind));
            assert!(
                appending <= in_appends,
                "round {round}, {rows} rows: {appending}"
            );
        }
        db.close().unwrap();
    }
}
