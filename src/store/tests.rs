//! What segments keep in memory, and what becomes of their files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidestone_format::FieldId;
use tidestone_format::header::{FileHeader, FileKind, HEADER_LEN};

use super::{HeldBlock, Segment, Segments, find_strays, place_of};
use crate::config::{ReadMode, SegmentMemory};
use crate::io::{Call, Disk, SimDisk};
use crate::{ErrorKind, FieldType, ManualClock, Options, TableOptions, Tidestone, Value};

const HOUR: i64 = 3_600_000_000_000;
const SMALL: SegmentMemory = SegmentMemory {
    read_mode: ReadMode::Mmap,
    roots: 16 << 10,
    open_segments: 4,
    parts: 64 << 10,
    held: 32 << 10,
};

/// A closed database with a segment for each of `hours` hours: 100 hosts, of `rows` rows each, with
/// a number and a text that every host has.
fn database(hours: i64, rows: i64) -> Arc<SimDisk> {
    let disk = Arc::new(SimDisk::new());
    let db = Tidestone::builder("/db")
        .disk(disk.clone())
        .clock(Arc::new(ManualClock::new(1_000 * HOUR)))
        .options(Options {
            auto_compact: false,
            flush_after: None,
            ..Options::default()
        })
        .create()
        .unwrap();
    let table = TableOptions::new()
        .field("n", FieldType::F64)
        .field("text", FieldType::String)
        .partition(std::time::Duration::from_secs(3600));
    let table = db.create_table("t", table).unwrap();
    for hour in 0..hours {
        let mut writer = db.writer();
        for host in 0..100 {
            let series = table.series(&[("host", format!("host {host}"))]).unwrap();
            for row in 0..rows {
                let text = format!("{row} {}", "text ".repeat(200));
                let values = [Value::F64(row as f64), Value::String(&text)];
                writer.append(&series, hour * HOUR + row, &values).unwrap();
            }
        }
        drop(writer.commit().unwrap());
        db.flush().unwrap();
    }
    db.close().unwrap();
    disk
}

/// The segments of the database, and what they have in common.
fn segments(disk: &Arc<SimDisk>, memory: SegmentMemory) -> (Arc<Segments>, Vec<Arc<Segment>>) {
    let folders = super::Folders::new(Path::new("/db"));
    let (database, _) = crate::recover::identity(&**disk, &folders).unwrap();
    let disk: Arc<dyn Disk> = disk.clone();
    let manifest =
        super::Manifest::open_read_only(disk.clone(), &folders.manifest(), database).unwrap();
    let common = Segments::new(disk, &folders, database, memory).unwrap();
    let entries = manifest.state().segments().values();
    let segments = entries.map(|e| common.segment(e)).collect();
    (common, segments)
}

/// All that is kept of a segment, as text.
fn everything(segment: &Segment) -> String {
    let open = segment.open().unwrap();
    let mut all = String::new();
    for page in 0..open.root().series_pages.len() {
        let page = open.series_page(page).unwrap();
        all += &format!("{:?}", page.iter().collect::<Vec<_>>());
    }
    for field in [0, 1, 2].map(FieldId) {
        all += &format!("{:?}", open.dictionary(field).unwrap());
        for group in 0..open.root().group_pages.len() {
            all += &format!("{:?}", open.stats(group, field).unwrap());
            assert!(
                open.block(group, field, &mut HeldBlock::default())
                    .unwrap()
                    .is_some()
            );
        }
    }
    all
}

#[test]
fn what_is_kept_of_segments_stays_within_its_share() {
    check_share(ReadMode::Mmap);
}

#[test]
fn what_is_kept_of_segments_that_are_not_mapped_stays_within_its_share() {
    check_share(ReadMode::Pread);
}

fn check_share(read_mode: ReadMode) {
    let disk = database(40, 10);
    let (_, plenty) = segments(&disk, Options::default().segment_memory());
    let (common, few) = segments(&disk, SegmentMemory { read_mode, ..SMALL });
    assert_eq!(few.len(), 40);
    let mut most = (0, 0);
    for round in 0..3 {
        for (a, b) in plenty.iter().zip(&few) {
            assert_eq!(everything(a), everything(b), "round {round}");
            let (open, bytes) = common.cache().held();
            assert!(open <= SMALL.open_segments, "{open} segments are open");
            assert!(bytes <= SMALL.parts, "{bytes} bytes of parts are kept");
            most = (most.0.max(open), most.1.max(bytes));
        }
    }
    assert_eq!(most.0, SMALL.open_segments, "the cache is used");
    assert!(most.1 > SMALL.parts / 2, "the cache is used: {}", most.1);
}

#[test]
fn a_part_that_is_larger_than_the_share_is_used_and_not_kept() {
    let disk = database(1, 100);
    let (common, segments) = segments(&disk, SMALL);
    let open = segments[0].open().unwrap();
    let text = FieldId(2);
    let first = open.dictionary(text).unwrap().unwrap();
    assert!(first.memory() > SMALL.parts, "{} bytes", first.memory());
    let again = open.dictionary(text).unwrap().unwrap();
    assert_eq!(first, again);
    assert!(!Arc::ptr_eq(&first, &again));
    assert_eq!(common.cache().held().1, 0);
}

#[test]
fn a_block_that_is_not_mapped_is_kept_or_held() {
    let disk = database(1, 100);
    let reads = Arc::new(AtomicUsize::new(0));
    let count = reads.clone();
    disk.watch(move |call, _| {
        count.fetch_add(usize::from(call == Call::Read), Ordering::SeqCst);
        Ok(())
    });
    let plenty = SegmentMemory {
        read_mode: ReadMode::Pread,
        ..Options::default().segment_memory()
    };
    let few = SegmentMemory {
        parts: 8 << 10,
        ..plenty
    };
    for (memory, is_kept) in [(plenty, true), (few, false)] {
        let (common, segments) = segments(&disk, memory);
        let open = segments[0].open().unwrap();
        let page = open.group_page(0).unwrap();
        let len = page.columns()[1].block.stored_len as usize;
        assert_eq!(len > memory.parts / 8, !is_kept, "{len} bytes");
        // What is to be kept of the segment beside the block.
        let rest = common.cache().held().1;
        let mut held = HeldBlock::default();
        let read = |large: &mut HeldBlock| {
            reads.store(0, Ordering::SeqCst);
            let block = open.block(0, FieldId(1), large).unwrap().unwrap();
            assert_eq!(block.stored_len(), len);
            reads.load(Ordering::SeqCst)
        };
        let again = usize::from(!is_kept);
        assert_eq!(read(&mut held), 1);
        assert_eq!(read(&mut held), 0);
        assert_eq!(read(&mut HeldBlock::default()), again);
        assert_eq!(common.cache().held().1 >= rest + len, is_kept);
        // Another one takes its place.
        open.block(0, FieldId::TIME, &mut held).unwrap();
        assert_eq!(read(&mut held), again);
    }
}

#[test]
fn a_root_that_is_larger_than_the_share_is_used_and_not_kept() {
    let disk = database(1, 1);
    let memory = SegmentMemory { roots: 16, ..SMALL };
    let (common, segments) = segments(&disk, memory);
    assert_eq!(segments[0].open().unwrap().root().rows, 100);
    assert_eq!(common.cache().held().0, 0);
}

#[test]
fn a_segment_that_is_opened_again_finds_its_parts_and_nobody_elses() {
    let disk = database(6, 1);
    let memory = SegmentMemory {
        open_segments: 1,
        ..Options::default().segment_memory()
    };
    let (common, segments) = segments(&disk, memory);
    let page_of = |segment: &Segment| segment.open().unwrap().series_page(0).unwrap();
    let first: Vec<_> = segments.iter().map(|s| page_of(s)).collect();
    assert!(common.cache().held().0 <= 1);
    for (segment, page) in segments.iter().zip(&first) {
        assert!(Arc::ptr_eq(&page_of(segment), page));
    }
    let rows_start = |i: usize| first[i].rows(0).unwrap().times.start;
    assert!((0..6).all(|i| rows_start(i) == segments[i].entry.times.start));
}

#[test]
fn the_map_of_a_segment_goes_with_it() {
    let disk = database(2, 1);
    let (common, mut segments) = segments(&disk, SMALL);
    for segment in &segments {
        segment.open().unwrap();
    }
    assert_eq!(common.cache().held().0, 2);
    segments.pop();
    assert_eq!(common.cache().held().0, 1);
    let watch = Arc::downgrade(&common);
    drop((segments, common));
    assert!(watch.upgrade().is_none(), "nothing holds on to itself");
}

#[test]
fn the_parts_of_a_segment_go_when_it_is_removed() {
    check_removed(ReadMode::Mmap);
}

#[test]
fn the_blocks_of_a_segment_go_when_it_is_removed() {
    check_removed(ReadMode::Pread);
}

fn check_removed(read_mode: ReadMode) {
    let disk = database(2, 20);
    let memory = SegmentMemory {
        read_mode,
        ..Options::default().segment_memory()
    };
    let (common, mut segments) = segments(&disk, memory);
    let one = everything(&segments[1]);
    let of_one = common.cache().held().1;
    everything(&segments[0]);
    assert!(of_one > 0 && common.cache().held().1 > of_one);
    let removed = segments.remove(0);
    removed.doom(1);
    drop(removed);
    assert_eq!(common.cache().held().1, of_one);
    assert_eq!(everything(&segments[0]), one);
    drop(segments);
    assert_eq!(
        common.cache().held(),
        (0, of_one),
        "a segment that is closed may be opened again"
    );
}

/// The table of the header was compared by `verify` alone.
#[test]
fn a_segment_with_the_header_of_another_is_refused() {
    let check = |change: &dyn Fn(&mut FileHeader), what: &str| {
        let disk = database(1, 1);
        let (_, segments) = segments(&disk, SMALL);
        let path = segments[0].path().to_owned();
        disk.damage(&path, |bytes| {
            let mut header = FileHeader::decode_kind(bytes, FileKind::Segment).unwrap();
            change(&mut header);
            bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        })
        .unwrap();
        let error = segments[0].open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    };
    check(&|header| header.number += 1, "the table of the header, 2");
    check(&|header| header.file.0[0] ^= 1, "the uuid of the header");
}

#[test]
fn a_missing_file_is_damage_to_a_writer_and_a_reason_to_reopen_to_a_reader() {
    let disk = database(2, 1);
    let (common, segments) = segments(&disk, SMALL);
    let open = segments[0].open().unwrap();
    for segment in &segments {
        disk.remove(segment.path()).unwrap();
    }
    let check = |kind: ErrorKind, says: &str| {
        let errors = [
            segments[1].open().unwrap_err(),
            open.series_page(0).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(says), "{error}");
        }
    };
    check(ErrorKind::Corrupt, "restore it from a backup");
    common.set_unleased(true);
    check(ErrorKind::Busy, "refresh the database");
    let path = place_of(Path::new("/db/segments"), &segments[1].entry);
    assert_eq!(path, segments[1].path());
}

/// As many as this were compared each with each, and `verify` took minutes.
#[test]
fn strays_and_missing_files_are_found_among_many() {
    let disk = SimDisk::new();
    let folder = Path::new("/db/segments");
    let partition = folder.join("1").join("0");
    disk.create_dir_all(&partition).unwrap();
    let file = |number: usize| partition.join(format!("{number:08}.seg"));
    let name_all = |range: std::ops::Range<usize>| range.map(file).collect::<Vec<PathBuf>>();
    for path in name_all(1..10_001) {
        disk.create(&path).unwrap();
    }
    disk.create(&partition.join("0.tmp")).unwrap();
    let named = name_all(0..10_000);
    let strays = find_strays(&disk, folder, named.into_iter()).unwrap();
    assert_eq!(strays.files, [file(10_000)]);
    assert_eq!(strays.missing, [file(0)]);
}
