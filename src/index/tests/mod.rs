//! Applying and looking up; what all tests of the index share.

mod files;
mod select;

use roaring::RoaringTreemap;
use tempfile::TempDir;
use tidestone_format::{SeriesId, SeriesKey};

use super::*;
use crate::error::ErrorKind;

const MEMORY: usize = 4 << 20;
const DATABASE: FileUuid = FileUuid([7; 16]);
const TABLE: TableId = TableId(3);

fn applied(lsn: u64) -> Applied {
    Applied {
        incarnation: FileUuid([9; 16]),
        manifest_version: lsn / 2,
        lsn: Lsn(lsn),
        forgetting: forgetting(0, 0),
    }
}

fn forgetting(last: u8, next: u8) -> Forgetting {
    Forgetting {
        last: FileUuid([last; 16]),
        next: FileUuid([next; 16]),
    }
}

fn key(tags: &[(&str, &str)]) -> SeriesKey {
    SeriesKey::new(tags.iter().copied()).unwrap()
}

fn definition(table: TableId, id: u64, tags: &[(&str, &str)]) -> Definition {
    let (id, key) = (SeriesId(id), key(tags));
    Definition { table, id, key }
}

/// `count` series from `first`, each with a host of its own and one of three racks.
fn hosts(first: u64, count: u64) -> Vec<Definition> {
    let host = |id: u64| {
        let (host, rack) = (format!("host-{id}"), format!("r{}", id % 3));
        definition(
            TABLE,
            id,
            &[("host", &host), ("rack", &rack), ("os", "linux")],
        )
    };
    (first..first + count).map(host).collect()
}

fn index() -> Index {
    Index::open_in_memory(MEMORY, DATABASE, applied(0)).unwrap()
}

fn create(dir: &Path) -> Index {
    Index::create(dir, MEMORY, DATABASE, applied(0)).unwrap()
}

fn ready(dir: &Path) -> (Index, Applied) {
    match Index::open(dir, MEMORY, DATABASE).unwrap() {
        Opened::Ready(index, applied) => (index, applied),
        Opened::Unusable { why } => panic!("{why}"),
    }
}

fn select(index: &Index, tests: &[TagMatch]) -> Vec<u64> {
    index.select(TABLE, tests).unwrap().into_iter().collect()
}

#[test]
fn an_index_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<Index>();
}

#[test]
fn series_are_found_by_key_and_by_id() {
    let index = index();
    index.apply(&hosts(1, 2000), applied(5)).unwrap();
    let wanted = key(&[("rack", "r1"), ("host", "host-7"), ("os", "linux")]);
    assert_eq!(index.series_id(TABLE, &wanted).unwrap(), Some(SeriesId(7)));
    assert_eq!(index.series_id(TableId(2), &wanted).unwrap(), None);
    assert_eq!(index.series_id(TABLE, &key(&[])).unwrap(), None);
    assert_eq!(
        index.series_key(TABLE, SeriesId(7)).unwrap(),
        Some(wanted.clone())
    );
    assert_eq!(index.series_key(TABLE, SeriesId(2001)).unwrap(), None);
    assert_eq!(index.series_key(TableId(4), SeriesId(7)).unwrap(), None);
    let ids = [2000, 7, 9999, 7].map(SeriesId);
    let keys = index.series_keys(TABLE, &ids).unwrap();
    assert_eq!(keys[0].as_ref().unwrap().get("host"), Some("host-2000"));
    assert_eq!(keys[1..], [Some(wanted.clone()), None, Some(wanted)]);
    let every: Vec<SeriesId> = (1..=2000).map(SeriesId).collect();
    let keys = index.series_keys(TABLE, &every).unwrap();
    for (id, key) in every.iter().zip(keys) {
        assert_eq!(key.unwrap().get("host"), Some(&*format!("host-{id}")));
    }
    assert_eq!(index.series_count(TABLE).unwrap(), 2000);
    assert_eq!(index.stats().unwrap().series, 2000);
    assert_eq!(index.verify().unwrap(), 2000);
}

#[test]
fn applying_again_changes_nothing() {
    let index = index();
    for lsn in 1..200 {
        index.apply(&hosts(lsn, 5), applied(lsn)).unwrap();
        if lsn % 50 == 0 {
            index.flush().unwrap();
        }
    }
    assert_eq!(index.verify().unwrap(), 203);
    assert_eq!(select(&index, &[]), (1..=203).collect::<Vec<_>>());
    let linux = [TagMatch::equal("os", "linux")];
    assert_eq!(select(&index, &linux).len(), 203);
}

#[test]
fn tags_may_hold_any_text() {
    let long = "v".repeat(65_535);
    let long_name = "n".repeat(65_535);
    let definitions = [
        definition(TABLE, 1, &[("a", "x\0y"), ("a\0", "z")]),
        definition(TABLE, 2, &[("a", "x"), ("a\0", "\0")]),
        definition(TABLE, 3, &[("a", &long), (&long_name, "1")]),
        definition(TABLE, u64::MAX, &[("ä", "ö"), ("\u{1}", "\u{10ffff}")]),
        definition(TableId(u32::MAX), 4, &[("a", "x")]),
        definition(TableId(0), 5, &[("a", "x")]),
    ];
    let index = index();
    index.apply(&definitions, applied(1)).unwrap();
    index.flush().unwrap();
    for d in &definitions {
        assert_eq!(index.series_id(d.table, &d.key).unwrap(), Some(d.id));
        assert_eq!(
            index.series_key(d.table, d.id).unwrap(),
            Some(d.key.clone())
        );
        for (tag, value) in d.key.tags() {
            let ids = index.select(d.table, &[TagMatch::equal(tag, value)]);
            assert_eq!(ids.unwrap().into_iter().collect::<Vec<_>>(), [d.id.0]);
        }
    }
    assert_eq!(
        index.tag_names(TABLE).unwrap(),
        ["\u{1}", "a", "a\0", &long_name, "ä"]
    );
    assert_eq!(index.tag_values(TABLE, "a").unwrap(), [&long, "x", "x\0y"]);
    assert_eq!(index.tag_values(TABLE, "a\0").unwrap(), ["\0", "z"]);
    assert_eq!(index.verify().unwrap(), 6);
    index.drop_table(TableId(u32::MAX), applied(2)).unwrap();
    index.drop_table(TableId(0), applied(3)).unwrap();
    assert_eq!(index.verify().unwrap(), 4);
}

#[test]
fn a_dropped_table_is_gone_and_its_neighbours_stay() {
    let dir = TempDir::new().unwrap();
    let index = create(dir.path());
    let tables = [255, 256, 257].map(TableId);
    for (table, id) in tables.into_iter().zip(1..) {
        let definitions = [definition(table, id, &[("a", "x")])];
        index.apply(&definitions, applied(id)).unwrap();
    }
    index.drop_table(tables[1], applied(9)).unwrap();
    let check = |index: &Index| {
        for (table, expected) in tables.into_iter().zip([1, 0, 1]) {
            assert_eq!(index.series_count(table).unwrap(), expected, "{table}");
            let ids = index.select(table, &[TagMatch::equal("a", "x")]).unwrap();
            assert_eq!(ids.len(), expected, "{table}");
            let names = index.tag_names(table).unwrap();
            assert_eq!(names.len() as u64, expected, "{table}");
        }
        assert_eq!(index.series_key(tables[1], SeriesId(2)).unwrap(), None);
        assert_eq!(index.verify().unwrap(), 2);
    };
    check(&index);
    index.flush().unwrap();
    drop(index);
    let (index, now) = ready(dir.path());
    assert_eq!(now, applied(9));
    check(&index);
}

#[test]
fn contradictions_are_errors_not_shorter_answers() {
    let index = index();
    index.apply(&hosts(1, 10), applied(1)).unwrap();
    let every = layout::every(TABLE);
    let linux = layout::with_value(TABLE, "os", "linux").unwrap();
    let mut batch = index.store.batch().unwrap();
    batch.merge(Family::Postings, &linux, &layout::encode_ids(vec![77]));
    batch.merge(Family::Postings, &every, &layout::encode_ids(vec![77]));
    index.store.write(batch).unwrap();
    let tests = [
        TagMatch::equal("os", "linux"),
        TagMatch::regex("host", "host-1").unwrap(),
    ];
    let error = index.select(TABLE, &tests).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("series 77"), "{error}");
    assert!(index.verify().is_err());

    let mut batch = index.store.batch().unwrap();
    batch.merge(Family::Postings, &every, b"damage");
    index.store.write(batch).unwrap();
    let error = index.series_count(TABLE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn postings_keep_their_series() {
    let check = |ids: Vec<u64>| {
        let bytes = layout::encode_ids(ids.clone());
        let mut back = RoaringTreemap::new();
        layout::add_ids(&mut back, &bytes).unwrap();
        assert_eq!(back.into_iter().collect::<Vec<_>>(), ids);
        for cut in 1..bytes.len().min(40) {
            let cut = &bytes[..bytes.len() - cut];
            let left = layout::add_ids(&mut RoaringTreemap::new(), cut);
            assert!(left.is_none() || cut.len() == 8, "{ids:?} {}", cut.len());
        }
    };
    check(vec![]);
    check(vec![1]);
    check(vec![u64::MAX]);
    check(vec![1, u64::MAX]);
    check((1..=1_000_000).collect());
    check((1..=5000).map(|id| id * id * 1000).collect());
    let bytes = layout::encode_ids((1..=1_000_000).collect());
    assert!(bytes.len() < 500, "{}", bytes.len());
}

#[test]
fn readers_see_whole_batches_while_one_thread_applies() {
    let index = index();
    std::thread::scope(|scope| {
        let reader = || {
            let mut seen = 0;
            while seen < 4000 {
                let tests = [TagMatch::not_equal("os", "linux")];
                assert_eq!(select(&index, &tests), [0u64; 0]);
                let now = index.series_count(TABLE).unwrap();
                assert!(now >= seen && now.is_multiple_of(20), "{seen} {now}");
                seen = now;
            }
        };
        scope.spawn(reader);
        scope.spawn(reader);
        for batch in 0..200 {
            index
                .apply(&hosts(batch * 20 + 1, 20), applied(batch))
                .unwrap();
        }
    });
}

#[test]
fn removed_series_are_nowhere_and_the_others_everywhere() {
    let index = index();
    let all = hosts(1, 50);
    index.apply(&all, applied(9)).unwrap();
    let (gone, left): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|d| d.id.0 % 3 == 0 || d.id.0 < 5);
    index.remove(&gone, forgetting(0, 1)).unwrap();
    index.remove(&gone, forgetting(0, 1)).unwrap();
    assert_eq!(index.verify().unwrap(), left.len() as u64);
    for d in &gone {
        assert_eq!(index.series_id(TABLE, &d.key).unwrap(), None);
        assert_eq!(index.series_key(TABLE, d.id).unwrap(), None);
    }
    for d in &left {
        assert_eq!(index.series_id(TABLE, &d.key).unwrap(), Some(d.id));
    }
    assert_eq!(index.tag_values(TABLE, "rack").unwrap(), ["r1", "r2"]);
    index.remove(&left, forgetting(1, 2)).unwrap();
    assert_eq!(index.verify().unwrap(), 0);
    assert!(index.tag_names(TABLE).unwrap().is_empty());
    assert_eq!(index.known_tags(TABLE).unwrap(), ["host", "os", "rack"]);
    assert_eq!(index.stats().unwrap().series, 0);
    index.apply(&left, applied(10)).unwrap();
    assert_eq!(index.verify().unwrap(), left.len() as u64);
    assert_eq!(index.tag_names(TABLE).unwrap(), ["host", "os", "rack"]);
    index.drop_table(TABLE, applied(11)).unwrap();
    assert!(index.known_tags(TABLE).unwrap().is_empty());
}

#[test]
fn a_key_is_the_later_series_while_the_earlier_one_is_forgotten() {
    let index = index();
    let tags: &[(&str, &str)] = &[("host", "a")];
    let (earlier, later) = (definition(TABLE, 1, tags), definition(TABLE, 2, tags));
    index
        .apply(&[later.clone(), earlier.clone()], applied(9))
        .unwrap();
    assert_eq!(index.series_id(TABLE, &later.key).unwrap(), Some(later.id));
    assert_eq!(index.verify().unwrap(), 2);
    index.remove(&[earlier], forgetting(0, 1)).unwrap();
    assert_eq!(index.series_id(TABLE, &later.key).unwrap(), Some(later.id));
    assert_eq!(index.series_count(TABLE).unwrap(), 1);
    assert_eq!(index.verify().unwrap(), 1);
}
