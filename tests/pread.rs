//! Files that are read with `pread`: nothing is mapped, the answers are the same, and what the disk refuses
//! or has damaged is an error whenever it is read.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail, and its helpers too"
)]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::wrong::{fill, table_options};
use common::{Row, contents, quiet, try_contents};
use tidestone::io::{Call, Disk, SimDisk};
use tidestone::{
    Agg, Aggregate, Batch, Builder, ErrorKind, FieldType, ManualClock, Options, ReadMode, Result,
    RowStream, SeededRandom, SeriesHandle, Table, TableOptions, Tidestone, TimeRange, Value,
};

fn builder(disk: &SimDisk, read_mode: ReadMode, seed: u64) -> Builder {
    Tidestone::builder("/db")
        .options(Options {
            read_mode,
            ..quiet()
        })
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(1_000_000_000_000)))
        .random(Arc::new(SeededRandom::new(seed)))
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "seg")
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let mut paths = disk.paths();
    paths.retain(|path| is_segment(path));
    paths
}

/// How often something is mapped from now on.
fn count_maps(disk: &SimDisk) -> Arc<AtomicUsize> {
    let maps = Arc::new(AtomicUsize::new(0));
    let count = maps.clone();
    disk.watch(move |call, _| {
        count.fetch_add(usize::from(call == Call::Map), Ordering::SeqCst);
        Ok(())
    });
    maps
}

/// How often a segment is opened to read some of it.
fn count_reads(disk: &SimDisk) -> Arc<AtomicUsize> {
    let reads = Arc::new(AtomicUsize::new(0));
    let count = reads.clone();
    disk.watch(move |call, path| {
        let counts = call == Call::Open && is_segment(path);
        count.fetch_add(usize::from(counts), Ordering::SeqCst);
        Ok(())
    });
    reads
}

/// Reads a stream to its end.
fn count_rows(stream: &mut RowStream) -> Result<i64> {
    let mut rows = 0;
    stream.visit(|batch| {
        rows += batch.len() as i64;
        Ok(())
    })?;
    Ok(rows)
}

/// Asks in each way there is to read segments.
fn ask(table: &Table) -> (Vec<Row>, String, usize) {
    let aggregates = [Agg::Count, Agg::Min, Agg::Max].map(|agg| Aggregate::new(agg, "v"));
    let query = table.query().group_by(&["host"]).statistics(false);
    let answer = query.aggregate(aggregates).buckets().unwrap();
    let values = (0..answer.len()).map(|row| [0, 1, 2].map(|c| answer.value(row, c)));
    let buckets = format!("{:?}", values.collect::<Vec<_>>());
    let last = table.query().last().unwrap().into_rows().len();
    (contents(table), buckets, last)
}

/// Puts a copy of a segment beside it, which no manifest names, and says of which.
fn leave_a_stray(disk: &SimDisk) -> PathBuf {
    let of = segments(disk).remove(0);
    let bytes = tidestone::io::read_all(&*disk.open(&of).unwrap()).unwrap();
    let name = of.file_name().unwrap().to_str().unwrap();
    let first = if name.starts_with('0') { "1" } else { "0" };
    let stray = of.with_file_name(format!("{first}{}", &name[1..]));
    disk.create(&stray)
        .unwrap()
        .write_all_at(&bytes, 0)
        .unwrap();
    of
}

/// The life of a database: made, asked, changed, merged, killed, opened, read beside the writer, verified,
/// damaged, repaired. Says what was answered, and how many maps there were.
fn live(read_mode: ReadMode) -> (Vec<(Vec<Row>, String, usize)>, usize) {
    let disk = SimDisk::new();
    let mut maps = vec![count_maps(&disk)];
    let db = builder(&disk, read_mode, 1).create().unwrap();
    fill(&db);
    let table = db.table("t").unwrap();
    let mut answers = vec![ask(&table)];
    let range = TimeRange {
        start: 300,
        end: 1_200,
    };
    table.delete(&[], range).unwrap().wait().unwrap();
    let reader = builder(&disk, read_mode, 2).open_read_only().unwrap();
    answers.push(ask(&reader.table("t").unwrap()));
    assert!(db.compact().unwrap() > 0);
    db.flush().unwrap();
    fill(&db);
    assert!(reader.refresh().unwrap());
    answers.push(ask(&reader.table("t").unwrap()));
    answers.push(ask(&table));

    let disk = disk.after_kill();
    maps.push(count_maps(&disk));
    drop(leave_a_stray(&disk));
    let db = builder(&disk, read_mode, 3).open().unwrap();
    let report = db.open_report();
    assert!(
        report.replayed > 0 && report.strays_removed > 0,
        "{report:?}"
    );
    answers.push(ask(&db.table("t").unwrap()));
    db.close().unwrap();

    let segment = leave_a_stray(&disk);
    let verified = builder(&disk, read_mode, 4).verify().unwrap();
    assert!(!verified.is_damaged(), "{verified:?}");
    // Of its first block.
    disk.damage(&segment, |b| b[210] ^= 1).unwrap();
    assert!(builder(&disk, read_mode, 5).verify().unwrap().is_damaged());
    assert!(builder(&disk, read_mode, 6).repair().unwrap().steps.len() == 1);
    let db = builder(&disk, read_mode, 7).open().unwrap();
    answers.push(ask(&db.table("t").unwrap()));
    db.close().unwrap();
    let maps = maps.iter().map(|maps| maps.load(Ordering::SeqCst));
    (answers, maps.sum())
}

#[test]
fn nothing_is_mapped_and_the_answers_are_the_same() {
    let (expected, maps) = live(ReadMode::Mmap);
    assert!(maps > 10, "{maps}");
    let (answers, maps) = live(ReadMode::Pread);
    assert_eq!(maps, 0);
    for (n, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
        // They are long.
        assert!(answer == expected, "answer {n}");
    }
    let rows: Vec<usize> = expected.iter().map(|(rows, ..)| rows.len()).collect();
    assert!(
        rows.iter().all(|rows| *rows > 0) && rows[5] < rows[4],
        "{rows:?}"
    );
}

/// Rows of a part of [`large`], eight vectors of them.
const ROWS: i64 = 8 * 1_024;

/// A closed database of two segments of one series whose rows stand between each other. The block of
/// their texts is larger than the cache keeps.
fn large() -> SimDisk {
    let disk = SimDisk::new();
    let db = builder(&disk, ReadMode::Pread, 1).create().unwrap();
    let table = db.create_table("t", table_options()).unwrap();
    let series = table.series(&[("host", "a")]).unwrap();
    for part in 0..2 {
        let mut writer = db.writer();
        for row in 0..ROWS {
            // No two are alike, and no dictionary is worth it.
            let text: String = (0..10)
                .map(|word| {
                    format!(
                        "{:08x}",
                        (row * 31 + word * 7 + part).wrapping_mul(0x9e37_79b9)
                    )
                })
                .collect();
            let values = [Value::F64(row as f64), Value::String(&text)];
            writer.append(&series, 2 * row + part, &values).unwrap();
            if row % 512 == 511 {
                drop(writer.commit().unwrap());
            }
        }
        db.flush().unwrap();
    }
    db.close().unwrap();
    disk
}

/// Reads of a segment that is open already: its row group, and the blocks of the times and of a field.
const READS: usize = 3;

#[test]
fn a_block_that_is_too_large_for_the_cache_is_read_once_a_row_group() {
    for read_mode in [ReadMode::Mmap, ReadMode::Pread] {
        let disk = large();
        let db = builder(&disk, read_mode, 2).open().unwrap();
        let table = db.table("t").unwrap();
        let reads = count_reads(&disk);
        let check = |expected: usize, what: &str| {
            let rows = table.query().fields(&["text"]).scan().unwrap();
            let rows: usize = rows.map(|batch| batch.unwrap().len()).sum();
            assert_eq!(rows as i64, 2 * ROWS, "{what}");
            let reads = reads.swap(0, Ordering::SeqCst);
            assert_eq!(reads, expected, "{what}, {read_mode:?}");
        };
        let again = usize::from(read_mode == ReadMode::Pread);
        check(2 * READS, "rows of two segments, merged");
        check(2 * again, "again: what is too large is not kept");
        db.compact().unwrap();
        assert_eq!(segments(&disk).len(), 1);
        // Opened, and its series.
        reads.store(0, Ordering::SeqCst);
        check(2 + READS, "rows of one segment");
        check(again, "again");
        let text = table.query().statistics(false);
        let text = text.aggregate([Aggregate::new(Agg::Last, "text")]);
        text.buckets().unwrap();
        assert_eq!(reads.load(Ordering::SeqCst), again, "an aggregate");
    }
}

/// Rows of a segment whose blocks of doubles that do not compress take 256 KiB each, and a little.
const WIDE_ROWS: i64 = 32 * 1_024;
/// So many of them may be held: they fit 1/16 of the budget.
const HELD: usize = 7;

/// A table of so many fields.
fn wide(db: &Tidestone, fields: usize) -> (Table, Vec<String>) {
    let names: Vec<String> = (0..fields).map(|f| format!("f{f}")).collect();
    let options = names.iter().fold(TableOptions::new(), |table, name| {
        table.field(name, FieldType::F64)
    });
    (db.create_table("t", options).unwrap(), names)
}

/// Commits rows of these times, of which no two have the same values.
fn write_wide(db: &Tidestone, series: &SeriesHandle, names: &[String], times: &[i64]) {
    let mut batch = Batch::of_series(series, times.to_vec());
    for (name, field) in names.iter().zip(0_u64..) {
        let value = |time: &i64| {
            let number = ((series.id().0 * 1_000 + field) << 24) + time.cast_unsigned();
            let bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12;
            f64::from_bits(bits | 1.0_f64.to_bits())
        };
        batch = batch.f64(name, times.iter().map(value).collect());
    }
    let mut writer = db.writer();
    writer.append_batch(batch).unwrap();
    writer.commit_and_wait().unwrap();
}

/// How often a segment of one row group, with rows of so many series, is opened to read some of it: while all
/// fields are scanned, and then while they are aggregated.
fn reads_of(fields: usize, series: usize) -> [usize; 2] {
    /// Rows that are flushed together: few, so that nothing is flushed in the background.
    const AT_ONCE: usize = 4_096;
    let disk = SimDisk::new();
    let db = builder(&disk, ReadMode::Pread, 1).create().unwrap();
    let (table, names) = wide(&db, fields);
    let times: Vec<i64> = (0..WIDE_ROWS).collect();
    let times = &times[..times.len() / series];
    let mut waiting = 0;
    for host in 0..series {
        let series = table.series(&[("host", format!("{host:04}"))]).unwrap();
        for times in times.chunks(AT_ONCE) {
            write_wide(&db, &series, &names, times);
            waiting += times.len();
            if waiting == AT_ONCE {
                db.flush().unwrap();
                waiting = 0;
            }
        }
    }
    drop(table);
    db.close().unwrap();
    let db = builder(&disk, ReadMode::Pread, 2).open().unwrap();
    db.compact().unwrap();
    assert_eq!(segments(&disk).len(), 1);
    let table = db.table("t").unwrap();
    let reads = count_reads(&disk);
    let mut stream = table.query().scan().unwrap();
    assert_eq!(count_rows(&mut stream).unwrap(), WIDE_ROWS);
    let scan = reads.swap(0, Ordering::SeqCst);
    let sums = names.iter().map(|name| Aggregate::new(Agg::Sum, name));
    let query = table.query().statistics(false).aggregate(sums);
    query.buckets().unwrap();
    [scan, reads.load(Ordering::SeqCst)]
}

#[test]
fn blocks_of_more_fields_than_the_cache_keeps_are_read_few_times() {
    /// Times in a scan or an aggregate that a block is needed which is neither held nor kept.
    const BATCHES: usize = 2;
    const VECTORS: usize = 32;
    let check = |fields: usize, series: usize, again: [usize; 2]| {
        let reads = reads_of(fields, series);
        // Of root, series, row group and times; of what is held; of the others.
        let held = fields.min(HELD);
        let most = again.map(|times| 4 + held + (fields - held) * times);
        let what = format!("{fields} fields of {series} series: {reads:?}, at most {most:?}");
        assert!(reads[0] <= most[0] && reads[1] <= most[1], "{what}");
    };
    check(HELD, 1, [1, 1]);
    check(HELD, 512, [1, 1]);
    check(3 * HELD, 1, [BATCHES, VECTORS]);
    check(3 * HELD, 512, [VECTORS, VECTORS]);
}

/// The blocks of a merge were in the cache, where they had no room: they were read for each of their vectors, and
/// what queries need had to give way.
#[test]
fn a_merge_reads_each_block_once_a_pass() {
    const SEGMENTS: usize = 8;
    const FIELDS: usize = 4;
    let disk = SimDisk::new();
    let db = builder(&disk, ReadMode::Pread, 1).create().unwrap();
    let (table, names) = wide(&db, FIELDS);
    let series = table.series(&[("host", "a")]).unwrap();
    for part in 0..SEGMENTS as i64 {
        // They lie between those of the others.
        let times = (0..WIDE_ROWS).map(|row| row * SEGMENTS as i64 + part);
        write_wide(&db, &series, &names, &times.collect::<Vec<_>>());
        db.flush().unwrap();
    }
    assert_eq!(segments(&disk).len(), SEGMENTS);
    let reads = count_reads(&disk);
    assert_eq!(db.compact().unwrap(), 1);
    let reads = reads.load(Ordering::SeqCst);
    // Of each segment root, series and row group; and each field is a pass of its own, which needs the times too.
    let most = SEGMENTS * (3 + 2 * FIELDS);
    assert!(reads <= most, "{reads} reads, at most {most}");
    let mut stream = table.query().scan().unwrap();
    let rows = count_rows(&mut stream).unwrap();
    assert_eq!(rows, SEGMENTS as i64 * WIDE_ROWS);
}

#[test]
fn what_was_read_once_and_cannot_be_read_again_is_an_error() {
    let disk = large();
    let db = builder(&disk, ReadMode::Pread, 2).open().unwrap();
    let table = db.table("t").unwrap();
    let expected = contents(&table);
    let path = segments(&disk).remove(0);
    let mut sound = Vec::new();
    disk.damage(&path, |b| sound.clone_from(b)).unwrap();
    let check = |what: &str, kind: ErrorKind, says: &[&str]| {
        let error = try_contents(&table).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{what}: {text}");
        assert_eq!(error.path(), Some(&*path), "{what}");
        assert!(says.iter().all(|s| text.contains(s)), "{what}: {text}");
    };

    let fails = Arc::new(AtomicBool::new(true));
    let (failing, of) = (fails.clone(), path.clone());
    disk.watch(move |call, path| {
        if call == Call::Read && *path == *of && failing.load(Ordering::SeqCst) {
            return Err(io::Error::other("unreadable sector"));
        }
        Ok(())
    });
    let says = ["cannot read bytes ", "for its block: unreadable sector"];
    check("a sector", ErrorKind::Io, &says);
    fails.store(false, Ordering::SeqCst);
    assert!(contents(&table) == expected, "it can be read again");

    // The block of texts is nearly all of it.
    let middle = sound.len() / 2;
    disk.damage(&path, |b| b[middle] ^= 4).unwrap();
    check(
        "a bit",
        ErrorKind::Corrupt,
        &["block", "checksum", "`tidestone repair`"],
    );
    disk.damage(&path, |b| b.truncate(middle)).unwrap();
    let says = ["the segment ends before byte ", "when it was opened"];
    check("a truncated file", ErrorKind::Corrupt, &says);
    disk.damage(&path, |b| b.clone_from(&sound)).unwrap();
    assert!(contents(&table) == expected, "it is sound again");
    disk.remove(&path).unwrap();
    let says = ["the manifest names this segment and it is not there"];
    check("a missing file", ErrorKind::Corrupt, &says);
}

#[test]
fn rows_of_a_snapshot_are_there_until_its_last_reader_has_gone() -> Result<()> {
    let disk = large();
    let db = builder(&disk, ReadMode::Pread, 2).open()?;
    let table = db.table("t")?;
    let before = segments(&disk);
    let reads = count_reads(&disk);
    let mut stream = table.query().scan()?;
    assert_eq!(db.compact()?, 1);
    assert_eq!(segments(&disk).len(), before.len() + 1);
    reads.store(0, Ordering::SeqCst);
    assert_eq!(count_rows(&mut stream)?, 2 * ROWS);
    assert!(reads.load(Ordering::SeqCst) > 0);
    drop(stream);
    assert_eq!(segments(&disk).len(), 1);
    // So is a table that was dropped.
    let mut stream = table.query().scan()?;
    db.drop_table("t")?;
    assert_eq!(count_rows(&mut stream)?, 2 * ROWS);
    drop((stream, table));
    assert_eq!(segments(&disk), Vec::<PathBuf>::new());
    db.close()
}
