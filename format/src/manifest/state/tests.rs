use super::*;
use crate::FormatErrorKind::{self, Checksum, Invalid, Magic, Truncated, Unsupported};
use crate::header::FileHeader;
use crate::manifest::edit::{EDIT_HEADER_LEN, Edit, append_edit, reseal};
use crate::manifest::entry::tests::{one_of_each, series, table, tombstone};
use crate::segment_entry::tests::entry as segment;
use crate::{FieldType, FileUuid};
use proptest::prelude::*;

fn next_ids(series: u64, table: u32) -> Entry {
    Entry::NextIds {
        series: SeriesId(series),
        table: TableId(table),
    }
}

fn dropped(table: u32, uuid: u8) -> Entry {
    Entry::SegmentDropped {
        table: TableId(table),
        uuid: FileUuid([uuid; 16]),
    }
}

fn forgetting(name: u8) -> Entry {
    Entry::Forgetting(FileUuid([name; 16]))
}

fn horizon(table: u32, from: i64) -> Entry {
    let table = TableId(table);
    Entry::Horizon { table, from }
}

fn cursor(name: &str, lsn: u64) -> Entry {
    Entry::Cursor {
        name: name.to_string(),
        lsn: Lsn(lsn),
    }
}

fn no_cursor(name: &str) -> Entry {
    Entry::CursorDropped {
        name: name.to_string(),
    }
}

/// Two tables with something of everything.
fn full() -> State {
    let mut state = State::new();
    for entry in [
        next_ids(100, 10),
        Entry::Incarnation(FileUuid([9; 16])),
        Entry::Table(table(1, "cpu")),
        Entry::Table(table(2, "mem")),
        Entry::SegmentAdded(segment(1, 1)),
        Entry::SegmentAdded(segment(2, 2)),
        Entry::Flushed(Lsn(20)),
        tombstone(1, 15),
        tombstone(2, 16),
        Entry::SeriesDefined(series(1, 5)),
        Entry::SeriesDefined(series(2, 6)),
        horizon(1, 100),
        horizon(2, 200),
        cursor("mirror", 10),
        forgetting(3),
    ] {
        state.apply(&entry).unwrap();
    }
    state
}

fn refold(state: &State) -> State {
    let mut other = State::new();
    for entry in state.snapshot_entries() {
        other.apply(&entry).unwrap();
    }
    other
}

#[test]
fn a_snapshot_makes_the_same_state() {
    assert_eq!(refold(&full()), full());
    assert_eq!(refold(&State::new()), State::new());
}

#[test]
fn contradictions_are_refused_and_change_nothing() {
    let retyped = {
        let mut table = table(1, "cpu");
        table.fields[0].field_type = FieldType::Bool;
        table
    };
    let fewer_ids = {
        let mut table = table(1, "cpu");
        table.fields.clear();
        table.next_field_id = 1;
        table
    };
    let other_key = SeriesDefinition {
        key: series(1, 7).key,
        ..series(1, 5)
    };
    for entry in [
        next_ids(99, 10),
        next_ids(100, 9),
        Entry::Table(table(10, "new")),
        Entry::Table(table(3, "cpu")),
        Entry::Table(table(1, "mem")),
        Entry::Table(retyped),
        Entry::Table(fewer_ids),
        Entry::TableDropped(TableId(3)),
        Entry::SegmentAdded(segment(1, 1)),
        Entry::SegmentAdded(segment(2, 1)),
        Entry::SegmentAdded(segment(3, 3)),
        dropped(1, 3),
        dropped(2, 1),
        Entry::Flushed(Lsn(19)),
        tombstone(1, 16),
        tombstone(3, 17),
        Entry::TombstoneDropped(Lsn(17)),
        Entry::SeriesDefined(series(3, 7)),
        Entry::SeriesDefined(series(1, 100)),
        Entry::SeriesDefined(series(2, 5)),
        Entry::SeriesDefined(other_key),
        horizon(1, 99),
        horizon(3, 1),
        no_cursor("backup"),
        Entry::SeriesForgotten(SeriesId(7)),
        Entry::SeriesForgotten(SeriesId(100)),
    ] {
        let mut state = full();
        let error = state.apply(&entry).unwrap_err();
        assert_eq!(error.kind, Invalid, "{entry:?}");
        assert_eq!(state, full(), "{entry:?}");
    }
}

#[test]
fn what_repeats_or_moves_on_is_taken() {
    let mut state = full();
    for entry in [
        next_ids(100, 10),
        Entry::Table(table(1, "renamed")),
        Entry::Table(table(2, "cpu")),
        dropped(1, 1),
        Entry::SegmentAdded(segment(1, 1)),
        Entry::Flushed(Lsn(20)),
        Entry::SeriesDefined(series(1, 5)),
        horizon(1, 100),
        cursor("mirror", 3),
        no_cursor("mirror"),
        Entry::TombstoneDropped(Lsn(15)),
        tombstone(1, 15),
    ] {
        state.apply(&entry).unwrap();
    }
    assert_eq!(state.tables()[&TableId(1)].name, "renamed");
    assert!(state.cursors().is_empty());
}

#[test]
fn a_dropped_table_takes_all_that_is_its_own() {
    let mut state = full();
    state.apply(&Entry::TableDropped(TableId(1))).unwrap();
    assert!(state.tables().keys().eq([&TableId(2)]));
    assert!(state.segments().values().all(|s| s.table == TableId(2)));
    assert!(state.tombstones().keys().eq([&Lsn(16)]));
    assert!(state.series().keys().eq([&SeriesId(6)]));
    assert!(state.horizons().keys().eq([&TableId(2)]));
    assert_eq!(refold(&state), state);
}

#[test]
fn a_forgotten_series_can_be_defined_again_but_not_forgotten_twice() {
    let mut state = full();
    let forgotten = Entry::SeriesForgotten(SeriesId(5));
    state.apply(&forgotten).unwrap();
    assert!(state.series().keys().eq([&SeriesId(6)]));
    assert_eq!(refold(&state), state);
    assert_eq!(state.next_series(), SeriesId(100));
    assert_eq!(state.apply(&forgotten).unwrap_err().kind, Invalid);
    // The log is replayed behind the edit, and may define it once more.
    state.apply(&Entry::SeriesDefined(series(1, 5))).unwrap();
    assert_eq!(state, full());
}

#[test]
fn the_last_forgetting_is_known_after_any_number_of_snapshots() {
    assert_eq!(State::new().forgetting(), FileUuid::default());
    let mut state = full();
    let edit = [forgetting(4), Entry::SeriesForgotten(SeriesId(5))];
    let undo = state.apply_all(&edit).unwrap();
    state.take_back(undo);
    assert_eq!(state, full());
    let _ = state.apply_all(&edit).unwrap();
    for _ in 0..3 {
        assert_eq!(state.forgetting(), FileUuid([4; 16]));
        state = refold(&state);
    }
}

// Files.

const FILE: ManifestIdentity = ManifestIdentity {
    database: FileUuid(*b"database----test"),
    incarnation: FileUuid(*b"incarnation-test"),
    number: 7,
};

/// A manifest file: a snapshot of version 5 and an edit for each list of entries; the offsets of
/// all edits, and last that of the end.
fn file(edits: &[Vec<Entry>]) -> (Vec<u8>, Vec<usize>) {
    let header = FileHeader::manifest(FILE.database, FILE.incarnation, FILE.number);
    let mut bytes = header.encode().to_vec();
    assert_eq!(ManifestIdentity::of(&header), FILE);
    bytes.resize(EDITS_START, 0);
    let snapshot = full().snapshot_entries();
    let mut offsets = Vec::new();
    for (version, entries) in (5..).zip(std::iter::once(&snapshot).chain(edits)) {
        offsets.push(bytes.len());
        let entries = entries.clone();
        append_edit(&mut bytes, FILE, &Edit { version, entries }).unwrap();
    }
    offsets.push(bytes.len());
    (bytes, offsets)
}

fn three_edits() -> (Vec<u8>, Vec<usize>) {
    file(&[
        vec![Entry::Flushed(Lsn(30)), dropped(1, 1)],
        vec![],
        vec![cursor("a", 1)],
    ])
}

#[track_caller]
fn refused(bytes: &[u8], kind: FormatErrorKind, offset: usize) {
    let error = replay(bytes, FILE).unwrap_err();
    assert_eq!((error.kind, error.offset), (kind, offset as u64), "{error}");
}

#[test]
fn a_file_replays_to_its_last_edit() {
    let (mut bytes, offsets) = three_edits();
    let replayed = replay(&bytes, FILE).unwrap();
    assert_eq!(
        (replayed.version, replayed.end, &replayed.torn),
        (8, bytes.len() as u64, &None)
    );
    assert_eq!(replayed.state.flushed(), Lsn(30));
    assert_eq!(replayed.state.segments().len(), 1);
    let cursor = EditCursor::new(&bytes, FILE);
    let places: Vec<_> = cursor.map(|e| (e.offset, e.end)).collect();
    let wanted = offsets.windows(2).map(|w| (w[0] as u64, w[1] as u64));
    assert!(places.into_iter().eq(wanted));
    bytes.resize(bytes.len() + 1001, 0);
    assert_eq!(
        replay(&bytes, FILE).unwrap(),
        replayed,
        "zeros behind the last edit are no edit"
    );
}

#[test]
fn every_truncation_leaves_the_edits_before_it() {
    let (bytes, offsets) = three_edits();
    for len in 0..bytes.len() {
        let whole = offsets[1..].iter().filter(|&&end| end <= len).count();
        match replay(&bytes[..len], FILE) {
            Ok(replayed) => {
                assert_eq!(
                    (replayed.version, replayed.end),
                    (4 + whole as u64, offsets[whole] as u64)
                );
                assert_eq!(replayed.torn.is_some(), !offsets.contains(&len), "{len}");
            }
            Err(error) if len < EDITS_START => assert_eq!(error.kind, Truncated),
            Err(_) => assert_eq!(whole, 0, "{len}"),
        }
    }
}

#[test]
fn a_damaged_edit_is_damage_unless_it_is_the_last() {
    let (sound, offsets) = three_edits();
    for at in EDITS_START..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        let edit = offsets.iter().rposition(|&o| o <= at).unwrap();
        match replay(&bytes, FILE) {
            Ok(replayed) => {
                assert_eq!((edit, replayed.version), (3, 7), "byte {at}");
                assert!(replayed.torn.is_some());
            }
            Err(error) => {
                assert!(edit < 3, "byte {at}: {error}");
                assert!(
                    (offsets[edit]..=offsets[edit + 1])
                        .contains(&usize::try_from(error.offset).unwrap())
                );
            }
        }
    }
    let damage = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let second = offsets[1];
    refused(&damage(second), Magic, second);
    refused(&damage(second + 8), Checksum, second + 16);
    refused(&damage(second + 20), Invalid, second + 20);
    refused(&damage(second + EDIT_HEADER_LEN), Checksum, second + 16);
}

#[test]
fn header_gap_and_snapshot_must_be_there() {
    let (mut bytes, _) = three_edits();
    bytes[200] = 1;
    refused(&bytes, Invalid, 200);
    refused(&[0; EDITS_START], Invalid, EDITS_START);
    refused(&[0; EDITS_START + 64], Invalid, EDITS_START);
    refused(&[0; 100], Truncated, 0);
}

#[test]
fn a_version_that_is_not_the_next_is_refused() {
    let (mut bytes, offsets) = three_edits();
    let last = offsets[3];
    bytes.truncate(last);
    let entries = vec![];
    append_edit(
        &mut bytes,
        FILE,
        &Edit {
            version: 9,
            entries,
        },
    )
    .unwrap();
    refused(&bytes, Invalid, last + 8);
    bytes.truncate(last);
    let entries = vec![];
    append_edit(
        &mut bytes,
        FILE,
        &Edit {
            version: 7,
            entries,
        },
    )
    .unwrap();
    assert!(
        replay(&bytes, FILE).unwrap().torn.is_some(),
        "an old edit proves nothing"
    );
    let entries = vec![];
    for version in [0, u64::MAX] {
        let entries = entries.clone();
        assert!(append_edit(&mut bytes, FILE, &Edit { version, entries }).is_err());
    }
}

#[test]
fn a_whole_edit_of_unknown_entries_is_not_the_end_of_the_file() {
    let (mut bytes, offsets) = three_edits();
    let last = offsets[3];
    bytes[last + EDIT_HEADER_LEN] = 99;
    reseal(&mut bytes[last..], FILE, 5 + 11);
    refused(&bytes, Unsupported, last + EDIT_HEADER_LEN);
}

#[test]
fn an_edit_that_contradicts_is_refused_at_its_offset() {
    let (bytes, offsets) = file(&[vec![dropped(1, 99)]]);
    refused(&bytes, Invalid, offsets[1]);
}

/// An edit of version 7 whose bytes are UTF-8, for the file `file`.
fn text_edit(file: ManifestIdentity) -> Option<String> {
    (0..128).find_map(|n| {
        let mut bytes = Vec::new();
        let entries = vec![cursor("x", n)];
        append_edit(
            &mut bytes,
            file,
            &Edit {
                version: 7,
                entries,
            },
        )
        .unwrap();
        String::from_utf8(bytes).ok()
    })
}

/// A file whose last edit, of version 6, names a table `padding` bytes and then `text`, and is torn
/// before the name.
fn torn_name(text: &str) -> Vec<u8> {
    let named = |padding: usize| {
        let name = "-".repeat(padding) + text;
        file(&[vec![Entry::Table(table(1, &name))]])
    };
    let (bytes, _) = named(0);
    let at = bytes
        .windows(text.len())
        .position(|w| w == text.as_bytes())
        .unwrap();
    let (mut bytes, offsets) = named(at.next_multiple_of(8) - at);
    assert_eq!(replay(&bytes, FILE).unwrap().version, 6);
    bytes[offsets[1]..offsets[1] + 8].fill(0);
    bytes
}

#[test]
fn a_name_cannot_forge_an_edit() {
    let known = text_edit(FILE).unwrap();
    assert!(
        replay(&torn_name(&known), FILE).is_err(),
        "with the identity it could"
    );
    let others = [
        ManifestIdentity {
            database: FileUuid::default(),
            ..FILE
        },
        ManifestIdentity {
            incarnation: FileUuid::default(),
            ..FILE
        },
        ManifestIdentity { number: 6, ..FILE },
    ];
    for other in others {
        let bytes = torn_name(&text_edit(other).unwrap());
        let replayed = replay(&bytes, FILE).unwrap();
        assert_eq!(replayed.version, 5, "{other:?}");
        assert!(replayed.torn.is_some());
    }
}

#[test]
fn an_edit_counts_as_synced_once_another_stands_behind_it() {
    let flushed = |lsn| vec![Entry::Flushed(Lsn(lsn))];
    let check = |edits: &[Vec<Entry>], proven: usize, sealed: bool| {
        let (bytes, offsets) = file(edits);
        let replay = replay(&bytes, FILE).unwrap();
        let end = offsets.get(proven).map_or(replay.end, |at| *at as u64);
        assert_eq!((replay.proven, replay.sealed), (end, sealed), "{edits:?}");
    };
    // The snapshot is the first.
    check(&[], 1, true);
    check(&[flushed(30)], 1, false);
    check(&[flushed(30), vec![]], 2, true);
    check(&[flushed(30), vec![], flushed(31)], 2, false);
    check(&[flushed(30), vec![], flushed(31), vec![]], 4, true);
    check(&[flushed(30), flushed(31)], 2, false);
}

#[test]
fn what_stands_behind_a_damaged_edit_is_counted() {
    let flushed = |lsn| vec![Entry::Flushed(Lsn(lsn))];
    let (mut bytes, offsets) = file(&[flushed(30), vec![], flushed(31), vec![]]);
    let sound = replay(&bytes, FILE).unwrap();
    bytes[offsets[1] + 30] ^= 1;
    assert!(replay(&bytes, FILE).is_err());
    let (before, damage) = replay_up_to_damage(&bytes, FILE).unwrap();
    assert_eq!(before.version, sound.version - 4);
    assert_eq!(damage.unwrap().last_version, sound.version);
}

proptest! {
    /// Any sequence of entries: those that are refused change nothing, and the state can always be
    /// said in a snapshot.
    #[test]
    fn any_state_survives_its_snapshot(picks in prop::collection::vec((0usize..16, 1u32..4, 1u64..6), 0..60)) {
        let mut state = full();
        for (kind, t, n) in picks {
            let byte = u8::try_from(n).unwrap();
            let entry = match kind {
                0 => next_ids(100 + n, 10 + t),
                2 => Entry::Table(table(t, ["cpu", "mem", "disk", "net", "io"][byte as usize - 1])),
                3 => Entry::TableDropped(TableId(t)),
                4 => Entry::SegmentAdded(segment(t, byte)),
                5 => dropped(t, byte),
                6 => Entry::Flushed(Lsn(18 + n)),
                7 => tombstone(t, n),
                8 => Entry::TombstoneDropped(Lsn(n)),
                9 => Entry::SeriesDefined(series(t, n)),
                10 => horizon(t, 98 + i64::from(byte)),
                11 => cursor(&"x".repeat(byte as usize), u64::from(t)),
                12 => no_cursor(&"x".repeat(byte as usize)),
                13 => Entry::SeriesForgotten(SeriesId(n)),
                14 => one_of_each()[14].clone(),
                15 => forgetting(byte),
                _ => one_of_each()[1].clone(),
            };
            let before = state.clone();
            // All or none: twice the same is often a contradiction.
            if let Ok(undo) = state.apply_all(&[entry.clone(), entry.clone()]) {
                state.take_back(undo);
            }
            prop_assert_eq!(&state, &before);
            if state.apply(&entry).is_err() {
                prop_assert_eq!(&state, &before);
            }
        }
        prop_assert_eq!(refold(&state), state);
    }

    #[test]
    fn damaged_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        len in any::<prop::sample::Index>(),
    ) {
        let (mut bytes, _) = three_edits();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(len.index(bytes.len() + 1));
        let _ = replay(&bytes, FILE);
    }

    #[test]
    fn damaged_entries_never_panic(
        which in 0usize..16,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = Vec::new();
        one_of_each()[which].encode(&mut bytes).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let mut r = Reader::new(&bytes, "test");
        if let Ok(entry) = Entry::read(&mut r) {
            let mut again = Vec::new();
            entry.encode(&mut again).unwrap();
            prop_assert_eq!(&again[..], &bytes[..r.position()]);
        }
    }
}
