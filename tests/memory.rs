//! What a flush and a merge hold in memory, counted by the allocator: a part of the budget, whatever
//! the rows are like.
//!
//! Files are on the machine's disk, so that none of them is counted. The tests of this binary run one
//! after another: there is one allocator.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and look at the machine's own files"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::quiet;
use tempfile::TempDir;
use tidestone::{
    FieldType, Options, ReadMode, RowBatch, SeriesHandle, Table, TableOptions, Tidestone, Value,
};

/// Counts the bytes that are allocated, and the most there were.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(by: usize) {
    let live = LIVE.fetch_add(by, Ordering::Relaxed) + by;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is handed to the system's allocator unchanged.
#[expect(unsafe_code, reason = "an allocator cannot be counted without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there while it is copied.
        grow(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// That of [`quiet`].
const BUDGET: usize = 32 << 20;
/// Segments that are merged at a time.
const PARTS: i64 = 32;

/// A database that flushes and merges when it is told to.
struct Held {
    db: Tidestone,
    table: Table,
    series: SeriesHandle,
    _folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

fn open(fields: usize, field_type: FieldType, read_mode: ReadMode) -> Held {
    let alone = ONE_AT_A_TIME.lock();
    let alone = alone.unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(quiet().memory_budget_bytes, BUDGET);
    let options = Options {
        read_mode,
        ..quiet()
    };
    let db = Tidestone::create(folder.path().join("db"), options).unwrap();
    let table = (0..fields).fold(TableOptions::new(), |table, i| {
        table.field(format!("f{i:04}"), field_type)
    });
    let table = db.create_table("t", table).unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    Held {
        db,
        table,
        series,
        _folder: folder,
        _alone: alone,
    }
}

impl Held {
    /// Writes and flushes rows in parts, the times of each between those of the others; then merges all
    /// of it. Says what a flush held, at most, and what the merge.
    fn flush_and_merge<'a>(
        &self,
        rows: i64,
        value: impl Fn(i64, usize) -> Value<'a>,
    ) -> (usize, usize) {
        let parts = usize::try_from(PARTS).unwrap();
        let flush = |part: i64| {
            self.write((part..rows).step_by(parts), &value);
            peak(|| self.db.flush().unwrap()).0
        };
        let flush = (0..PARTS).map(flush).max().unwrap();
        let (merge, merges) = peak(|| self.db.compact().unwrap());
        assert!(merges > 0);
        self.check(rows, &value);
        (flush, merge)
    }

    /// Compares the last field.
    fn check<'a>(&self, rows: i64, value: impl Fn(i64, usize) -> Value<'a>) {
        let fields = &self.table.schema().fields;
        let last = fields.len() - 1;
        let query = self.table.query().fields(&[fields[last].name.as_str()]);
        let mut times = 0..rows;
        for batch in query.scan().unwrap() {
            let batch = batch.unwrap();
            for (row, time) in (0..batch.len()).zip(&mut times) {
                assert_eq!(batch.times()[row], time);
                assert_eq!(batch.value(row, 0), value(time, last), "row {time}");
            }
        }
        assert!(times.is_empty());
    }

    fn write<'a>(&self, rows: impl Iterator<Item = i64>, value: impl Fn(i64, usize) -> Value<'a>) {
        let fields = self.table.schema().fields.len();
        let mut writer = self.db.writer();
        for (n, row) in rows.enumerate() {
            let values: Vec<Value<'_>> = (0..fields).map(|f| value(row, f)).collect();
            writer.append(&self.series, row, &values).unwrap();
            if n % 64 == 63 {
                drop(writer.commit().unwrap());
            }
        }
        writer.commit_and_wait().unwrap();
    }
}

/// Bytes that a piece of work holds on top of what was there before.
fn peak<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = LIVE.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let done = work();
    (PEAK.load(Ordering::SeqCst).saturating_sub(before), done)
}

#[test]
fn a_table_of_a_thousand_fields_is_flushed_and_merged_in_a_part_of_the_budget() {
    check_thousand(ReadMode::Mmap);
}

#[test]
fn a_table_of_a_thousand_fields_is_merged_in_a_part_of_the_budget_with_pread() {
    check_thousand(ReadMode::Pread);
}

fn check_thousand(read_mode: ReadMode) {
    // Uncompressed, twice the budget.
    let rows = i64::try_from(2 * BUDGET / 8_000).unwrap();
    let held = open(1_000, FieldType::F64, read_mode);
    let decimal = |row: i64, field: usize| {
        let number = row * 31 + i64::try_from(field).unwrap() * 7;
        Value::F64((number % 1_000) as f64 / 10.0)
    };
    let (flush, merge) = held.flush_and_merge(rows, decimal);
    let say = format!("a flush held {flush} bytes, a merge {merge}");
    assert!(flush < BUDGET / 8 && merge < BUDGET / 5, "{say}");
}

/// The blocks of all fields of a row group were there, and once more where the next batch began.
#[test]
fn a_scan_of_many_fields_holds_a_part_of_the_budget_with_pread() {
    const ROWS: i64 = 32 * 1_024;
    const FIELDS: usize = 64;
    let held = open(FIELDS, FieldType::F64, ReadMode::Pread);
    // They do not compress: the blocks are half the budget.
    let spread = |row: i64, field: usize| {
        let number = row.cast_unsigned() * FIELDS as u64 + field as u64;
        let bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12;
        Value::F64(f64::from_bits(bits | 1.0_f64.to_bits()))
    };
    held.write(0..ROWS, spread);
    held.db.flush().unwrap();
    held.db.compact().unwrap();
    let (scan, rows) = peak(|| {
        let mut rows = 0;
        let mut stream = held.table.query().limit(1_000).scan().unwrap();
        let count = |batch: &RowBatch| {
            rows += batch.len();
            Ok(())
        };
        stream.visit(count).unwrap();
        rows
    });
    assert_eq!(rows, 1_000);
    assert!(scan < BUDGET / 4, "a scan held {scan} bytes");
    held.check(ROWS, spread);
}

#[test]
fn long_strings_are_flushed_and_merged_in_a_part_of_the_budget_and_a_few_vectors() {
    const LONG: usize = 4_000;
    let letter = |i: usize| char::from(b"abcdefghijklmnopqrstuvwxyz"[i * i % 26]);
    let text: String = (0..LONG).map(letter).collect();
    let rows = i64::try_from(2 * BUDGET / LONG).unwrap();
    let held = open(1, FieldType::String, ReadMode::Mmap);
    let (flush, merge) = held.flush_and_merge(rows, |row, _| {
        Value::String(&text[usize::try_from(row % 1_000).unwrap()..])
    });
    let say = format!("a flush held {flush} bytes, a merge {merge}");
    // A vector of strings is held as a whole, and once more while it is written.
    let vectors = 3 * 1_024 * LONG;
    assert!(flush < BUDGET / 6 && merge < BUDGET / 6 + vectors, "{say}");
}
