//! Appending allocates nothing once the buffers of the writer have grown.
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
use tidestone::{Durability, FieldType, ManualClock, TableOptions, Tidestone, Value, Writer};

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

/// A batch of few rows is copied when it is committed, so that its buffers stay the writer's; those of a
/// larger one come back when its rows are flushed, which the benchmark of appends shows.
#[test]
fn appending_allocates_nothing_in_steady_state() {
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
    let append = |writer: &mut Writer, round: i64, rows: i64| {
        for i in 0..rows {
            let mut row = [Value::F64(i as f64); 11];
            row[0] = Value::String("sixteen bytes...");
            if i % 7 == 0 {
                row[3] = Value::Null;
            }
            let series = &series[usize::try_from(i % 2).unwrap()];
            writer.append(series, round * rows + i, &row).unwrap();
        }
    };
    let mut writer = db.writer();
    // The buffers grow with the first rows: a counter that counts nothing is found out.
    assert!(allocations(|| append(&mut writer, 0, 60)) > 0);
    for round in 1..200 {
        let _ticket = writer.commit_as(Durability::Os).unwrap();
        let made = allocations(|| append(&mut writer, round, 60));
        assert_eq!(made, 0, "round {round}");
    }
    assert!(allocations(|| append(&mut writer, 0, 5_000)) > 0);
    writer.clear();
    assert_eq!(allocations(|| append(&mut writer, 0, 5_000)), 0);
}
