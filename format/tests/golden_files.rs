//! Files of format version 1 that every later version must read, and write byte for byte as long
//! as it writes version 1.
//!
//! The builders are deterministic and never change; a new idea is a new file. A plain run never
//! writes a golden file: one that is missing or differs fails. `UPDATE_GOLDEN=1` writes them.
#![expect(
    clippy::disallowed_methods,
    reason = "golden files are read and written here; the engine's door to files is not below"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints know test functions, not the functions they call"
)]

use std::path::Path;

use tidestone_format::column::{Bitmap, Column, Values};
use tidestone_format::header::{Cut, FileHeader, FileKind, LogHeader, Specific};
use tidestone_format::log::batch::{BatchEncoder, BatchSection, SectionSeries};
use tidestone_format::log::frame::{FrameKind, LogIdentity, append_frame};
use tidestone_format::log::record::{
    Record, Selection, SeriesDefinition, Tombstone, encode_segment_references,
    encode_series_definitions,
};
use tidestone_format::log::scan::{FrameCursor, Stop};
use tidestone_format::manifest::{
    ClockTrust, Edit, EditCursor, Entry, ManifestIdentity, SegmentEntry, State, Tier, append_edit,
    replay,
};
use tidestone_format::schema::{DuplicatePolicy, Field, SchemaMode, TableSchema, TableSettings};
use tidestone_format::sharing::{LeaseRecord, Published};
use tidestone_format::version::LOG_PAGE;
use tidestone_format::{
    FieldId, FieldType, FileUuid, Lsn, SeriesId, SeriesKey, TableId, TimeRange,
};

const DATABASE: FileUuid = FileUuid(*b"database--golden");
const INCARNATION: FileUuid = FileUuid(*b"incarnation-gold");

fn log_identity(file_number: u64) -> LogIdentity {
    LogIdentity {
        incarnation: INCARNATION,
        file_number,
    }
}

/// Compares `bytes` with the golden file `name` and returns what the file holds.
fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/v1")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|v| v == "1") {
        std::fs::write(&path, bytes).unwrap();
    }
    let stored = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let differs = stored.iter().zip(bytes).position(|(a, b)| a != b);
    assert_eq!(
        differs, None,
        "first byte of {name} that is written differently"
    );
    assert_eq!(stored.len(), bytes.len(), "length of {name}");
    stored
}

#[test]
fn identity() {
    let header = FileHeader::identity(DATABASE, 1_767_225_600_000_000_000);
    let stored = golden("identity.bin", &header.encode());
    let read = FileHeader::decode_kind(&stored, FileKind::Identity).unwrap();
    assert_eq!(read.database, DATABASE);
    let created_at = 1_767_225_600_000_000_000;
    assert_eq!(read.specific, Specific::Identity { created_at });
    assert_eq!(read, header);
}

fn definitions() -> Vec<SeriesDefinition> {
    let definition = |id, tags: &[(&str, &str)]| SeriesDefinition {
        table: TableId(1),
        id: SeriesId(id),
        key: SeriesKey::new(tags.iter().copied()).unwrap(),
    };
    vec![
        definition(1, &[("host", "a"), ("city", "Zürich")]),
        definition(2, &[("host", "b"), ("city", "")]),
        definition(3, &[]),
    ]
}

/// Every type, with and without nulls; the values at nulls are what a reader gets.
fn sections() -> Vec<BatchSection> {
    let columns = |nulls: bool| {
        let bit = |i: usize| !nulls || !matches!(i, 1 | 8);
        let validity = nulls.then(|| {
            let mut map = Bitmap::new();
            (0..10).for_each(|i| map.push(bit(i)));
            map
        });
        let text = ["", "a", "bé", "", "temperature", "x", "yy", "zzz", "w", "ß"];
        [
            Values::F64(
                (0u8..10)
                    .map(|i| {
                        if bit(i.into()) {
                            f64::from(i) * 0.1 - 0.3
                        } else {
                            0.0
                        }
                    })
                    .collect(),
            ),
            Values::I64(
                (0i8..10)
                    .map(|i| if bit(i as usize) { i64::from(i) - 5 } else { 0 })
                    .collect(),
            ),
            Values::U64(
                (0u8..10)
                    .map(|i| {
                        if bit(i.into()) {
                            u64::MAX - u64::from(i)
                        } else {
                            0
                        }
                    })
                    .collect(),
            ),
            Values::Bool((0..10).map(|i| bit(i) && i % 3 != 0).collect()),
            Values::String((0..10).map(|i| if bit(i) { text[i] } else { "" }).collect()),
        ]
        .into_iter()
        .zip([1, 2, 3, 7, 9])
        .map(|(values, id)| {
            let validity = validity.clone();
            (FieldId(id), Column { values, validity })
        })
        .collect()
    };
    vec![
        BatchSection {
            table: TableId(1),
            series: SectionSeries::One(SeriesId(2)),
            times: (0..10)
                .map(|i| 1_767_225_600_000_000_000 + i * 1_000_000_000)
                .collect(),
            columns: columns(true),
        },
        BatchSection {
            table: TableId(1),
            series: SectionSeries::PerRow((0..10).map(|i| SeriesId(1 + i % 3)).collect()),
            times: (0..10).map(|i| i64::MIN + i).collect(),
            columns: columns(false),
        },
    ]
}

fn segment(uuid: u8, tier: Tier, place: &str) -> SegmentEntry {
    SegmentEntry {
        table: TableId(1),
        uuid: FileUuid([uuid; 16]),
        partition: TimeRange {
            start: 0,
            end: 86_399_999_999_999,
        },
        file_len: 123_456,
        tail_len: 7_890,
        root_crc: 0x1234_5678,
        first_lsn: Lsn(11),
        last_lsn: Lsn(13),
        times: TimeRange {
            start: 1,
            end: 86_399_000_000_000,
        },
        rows: 1_000_000,
        series: 1_000,
        tier,
        place: place.to_string(),
    }
}

fn tombstones() -> [Tombstone; 2] {
    let listed = Tombstone {
        table: TableId(1),
        selection: Selection::Series(vec![SeriesId(1), SeriesId(3)]),
        range: TimeRange { start: -1, end: 1 },
    };
    let all = Tombstone {
        selection: Selection::All,
        range: TimeRange::ALL,
        ..listed.clone()
    };
    [listed, all]
}

fn batch_payload() -> Vec<u8> {
    let mut encoder = BatchEncoder::new();
    for s in sections() {
        let columns: Vec<_> = s.columns.iter().map(|(id, c)| (*id, c)).collect();
        let rows = 0..s.times.len();
        encoder
            .append_section(s.table, s.series.as_ids(), &s.times, &columns, rows)
            .unwrap();
    }
    encoder.payload().to_vec()
}

/// Log file 4: three groups, a page that was never written, a page of the file's earlier life as
/// log file 2.
fn log_file() -> (FileHeader, Vec<u8>) {
    let header = FileHeader::log(
        DATABASE,
        INCARNATION,
        4,
        LogHeader {
            file_len: 6 * LOG_PAGE as u64,
            first_lsn: Lsn(101),
            cut: Some(Cut {
                file_number: 3,
                offset: 8192,
                last_lsn: Lsn(98),
            }),
        },
    );
    let mut bytes = header.encode().to_vec();
    let mut lsn = 101;
    let mut frame = |out: &mut Vec<u8>, kind, durable, payload: &[u8]| {
        append_frame(out, kind, log_identity(4), Lsn(lsn), Lsn(durable), payload).unwrap();
        lsn += 1;
    };
    bytes.resize(LOG_PAGE, 0);
    let mut payload = Vec::new();
    encode_series_definitions(&mut payload, &definitions()).unwrap();
    frame(&mut bytes, FrameKind::SeriesDefinition, 98, &payload);
    frame(&mut bytes, FrameKind::Batch, 98, &batch_payload());
    bytes.resize(2 * LOG_PAGE, 0);
    for tombstone in tombstones() {
        let mut payload = Vec::new();
        tombstone.encode(&mut payload).unwrap();
        frame(&mut bytes, FrameKind::Delete, 102, &payload);
    }
    let mut payload = Vec::new();
    encode_segment_references(&mut payload, &[segment(5, Tier::Hot, "")]).unwrap();
    frame(&mut bytes, FrameKind::SegmentReference, 102, &payload);
    bytes.resize(3 * LOG_PAGE, 0);
    frame(&mut bytes, FrameKind::Note, 105, &[]);
    bytes.resize(5 * LOG_PAGE, 0);
    append_frame(
        &mut bytes,
        FrameKind::Note,
        log_identity(2),
        Lsn(40),
        Lsn(39),
        &[],
    )
    .unwrap();
    bytes.resize(6 * LOG_PAGE, 0);
    (header, bytes)
}

#[test]
fn log() {
    let (header, bytes) = log_file();
    let stored = golden("log.bin", &bytes);
    assert_eq!(
        FileHeader::decode_kind(&stored, FileKind::Log).unwrap(),
        header
    );
    let mut cursor = FrameCursor::new(&stored, log_identity(4), Lsn(101));
    let records: Vec<_> = cursor
        .by_ref()
        .map(|f| Record::decode(f.header.kind, f.payload).unwrap())
        .collect();
    let [listed, all] = tombstones();
    let expected = [
        Record::SeriesDefinitions(definitions()),
        Record::Batch(sections()),
        Record::Delete(listed),
        Record::Delete(all),
        Record::SegmentReferences(vec![segment(5, Tier::Hot, "")]),
        Record::Note,
    ];
    assert_eq!(records, expected);
    assert_eq!(
        (cursor.stop(), cursor.stray_bytes()),
        (Some(&Stop::Zeros), None)
    );
}

fn table() -> TableSchema {
    let field = |id, name: &str, field_type| Field {
        id: FieldId(id),
        name: name.to_string(),
        field_type,
    };
    TableSchema {
        id: TableId(1),
        name: "wetter".to_string(),
        settings: TableSettings {
            policy: DuplicatePolicy::First,
            mode: SchemaMode::Fixed,
            partition_ns: 86_400_000_000_000,
            future_bound_ns: Some(600_000_000_000),
            retention_age_ns: None,
            retention_bytes: Some(1 << 40),
            drops_when_full: false,
        },
        next_field_id: 12,
        fields: vec![
            field(1, "temperature", FieldType::F64),
            field(2, "offset", FieldType::I64),
            field(3, "count", FieldType::U64),
            field(7, "dry", FieldType::Bool),
            field(9, "größe", FieldType::String),
        ],
    }
}

/// A snapshot and three edits in which every kind of entry is there.
fn edits() -> Vec<Edit> {
    let mut state = State::new();
    let [listed, all] = tombstones();
    let ids = Entry::NextIds {
        series: SeriesId(4),
        table: TableId(3),
    };
    let cursor = |lsn| Entry::Cursor {
        name: "mirror".to_string(),
        lsn: Lsn(lsn),
    };
    state.apply(&ids).unwrap();
    state.apply(&Entry::Incarnation(INCARNATION)).unwrap();
    state.apply(&Entry::Table(table())).unwrap();
    let snapshot = state.snapshot_entries();
    let second = TableSchema {
        id: TableId(2),
        name: "gone".to_string(),
        fields: vec![],
        ..table()
    };
    let lists = [
        snapshot,
        vec![
            Entry::Table(second),
            Entry::SegmentAdded(segment(1, Tier::Hot, "")),
            Entry::SegmentAdded(segment(2, Tier::Archive, "a/b/2.seg")),
            Entry::Flushed(Lsn(13)),
            Entry::SeriesDefined(definitions()[0].clone()),
            Entry::SeriesDefined(definitions()[1].clone()),
            cursor(9),
        ],
        vec![],
        vec![
            Entry::Tombstone {
                lsn: Lsn(14),
                tombstone: listed,
            },
            Entry::Tombstone {
                lsn: Lsn(15),
                tombstone: all,
            },
            Entry::TombstoneDropped(Lsn(14)),
            Entry::Horizon {
                table: TableId(1),
                from: -86_400_000_000_000,
            },
            Entry::SegmentDropped {
                table: TableId(1),
                uuid: FileUuid([1; 16]),
            },
            Entry::SegmentAdded(segment(3, Tier::Cold, "")),
            Entry::CursorDropped {
                name: "mirror".to_string(),
            },
            Entry::SeriesForgotten(SeriesId(1)),
            Entry::TableDropped(TableId(2)),
            cursor(13),
        ],
    ];
    (41..)
        .zip(lists)
        .map(|(version, entries)| Edit { version, entries })
        .collect()
}

#[test]
fn manifest() {
    let header = FileHeader::manifest(DATABASE, INCARNATION, 6);
    let mut bytes = header.encode().to_vec();
    bytes.resize(256, 0);
    let identity = ManifestIdentity::of(&header);
    for edit in edits() {
        append_edit(&mut bytes, identity, &edit).unwrap();
    }
    let stored = golden("manifest.bin", &bytes);
    assert_eq!(
        FileHeader::decode_kind(&stored, FileKind::Manifest).unwrap(),
        header
    );
    assert!(
        EditCursor::new(&stored, identity)
            .map(|located| located.edit)
            .eq(edits())
    );
    let replayed = replay(&stored, identity).unwrap();
    assert_eq!((replayed.version, replayed.end), (44, stored.len() as u64));
    assert_eq!(replayed.torn, None);
    let uuids: Vec<_> = replayed
        .state
        .segments()
        .keys()
        .map(|uuid| uuid.0[0])
        .collect();
    assert_eq!(uuids, [2, 3]);
    assert!(replayed.state.series().keys().eq([&SeriesId(2)]));
    assert_eq!(replayed.state.tables()[&TableId(1)], table());
}

/// Entries that came after the first manifest was made golden.
#[test]
fn manifest_with_clock_trust() {
    let header = FileHeader::manifest(DATABASE, INCARNATION, 7);
    let mut bytes = header.encode().to_vec();
    bytes.resize(256, 0);
    let identity = ManifestIdentity::of(&header);
    let trust = |believed, since, steady_ns| ClockTrust {
        believed,
        since,
        steady_ns,
    };
    let last = trust(
        1_767_225_600_000_000_000,
        1_767_312_000_000_000_000,
        3_600_000_000_000,
    );
    let first = trust(i64::MIN, 1_767_225_600_000_000_000, 0);
    for (version, trust) in [(1, first), (2, last)] {
        let entries = vec![Entry::ClockTrust(trust)];
        append_edit(&mut bytes, identity, &Edit { version, entries }).unwrap();
    }
    let stored = golden("manifest-clock-trust.bin", &bytes);
    let replayed = replay(&stored, identity).unwrap();
    assert_eq!(replayed.version, 2);
    assert_eq!(replayed.state.clock(), Some(last));
}

/// Every setting of a table, and a manifest whose seals were lost, one of them in part, when the power
/// failed.
#[test]
fn manifest_with_lost_seals() {
    let header = FileHeader::manifest(DATABASE, INCARNATION, 9);
    let mut bytes = header.encode().to_vec();
    bytes.resize(256, 0);
    let identity = ManifestIdentity::of(&header);
    let tables = [
        (DuplicatePolicy::Replace, SchemaMode::Open, None),
        (DuplicatePolicy::All, SchemaMode::Fixed, Some(0)),
        (DuplicatePolicy::First, SchemaMode::Open, Some(i64::MAX)),
    ];
    let tables = (1..).zip(tables).map(|(id, (policy, mode, age))| {
        let mut table = TableSchema {
            id: TableId(id),
            name: format!("table {id}"),
            ..table()
        };
        table.settings.policy = policy;
        table.settings.mode = mode;
        table.settings.partition_ns = 1;
        table.settings.future_bound_ns = None;
        table.settings.retention_age_ns = age;
        table.settings.retention_bytes = None;
        Entry::Table(table)
    });
    let ids = Entry::NextIds {
        series: SeriesId(1),
        table: TableId(4),
    };
    let snapshot = std::iter::once(ids).chain(tables).collect();
    let flushed = vec![Entry::Flushed(Lsn(7))];
    let mut starts = Vec::new();
    for (version, entries) in (1..).zip([snapshot, vec![], flushed, vec![], vec![], vec![]]) {
        starts.push(bytes.len());
        append_edit(&mut bytes, identity, &Edit { version, entries }).unwrap();
    }
    bytes[starts[1]..][..24].fill(0);
    bytes[starts[3]..][6..20].fill(0);
    let stored = golden("manifest-lost-seals.bin", &bytes);
    let replayed = replay(&stored, identity).unwrap();
    assert_eq!((replayed.version, replayed.torn), (6, None));
    assert_eq!(replayed.state.tables().len(), 3);
    assert_eq!(replayed.state.flushed(), Lsn(7));
}

#[test]
fn manifest_with_forgettings() {
    let header = FileHeader::manifest(DATABASE, INCARNATION, 8);
    let mut bytes = header.encode().to_vec();
    bytes.resize(256, 0);
    let identity = ManifestIdentity::of(&header);
    let (first, last) = (
        FileUuid(*b"first-forgetting"),
        FileUuid(*b"last--forgetting"),
    );
    let ids = Entry::NextIds {
        series: SeriesId(4),
        table: TableId(2),
    };
    let mut snapshot = vec![ids, Entry::Table(table())];
    snapshot.extend(definitions().into_iter().map(Entry::SeriesDefined));
    snapshot.push(Entry::Forgetting(first));
    let forgets = vec![Entry::Forgetting(last), Entry::SeriesForgotten(SeriesId(1))];
    for (version, entries) in [(1, snapshot), (2, forgets)] {
        append_edit(&mut bytes, identity, &Edit { version, entries }).unwrap();
    }
    let stored = golden("manifest-forgetting.bin", &bytes);
    let replayed = replay(&stored, identity).unwrap();
    assert_eq!(replayed.version, 2);
    assert_eq!(replayed.state.forgetting(), last);
    let left = replayed.state.series().keys();
    assert!(left.eq([&SeriesId(2), &SeriesId(3)]));
}

#[test]
fn manifest_with_flags_of_a_table() {
    let header = FileHeader::manifest(DATABASE, INCARNATION, 9);
    let mut bytes = header.encode().to_vec();
    bytes.resize(256, 0);
    let identity = ManifestIdentity::of(&header);
    let mut table = table();
    table.settings.drops_when_full = true;
    let ids = Entry::NextIds {
        series: SeriesId(1),
        table: TableId(2),
    };
    let entries = vec![ids, Entry::Table(table.clone())];
    let version = 1;
    append_edit(&mut bytes, identity, &Edit { version, entries }).unwrap();
    let stored = golden("manifest-table-flags.bin", &bytes);
    let replayed = replay(&stored, identity).unwrap();
    assert_eq!(replayed.state.tables().get(&table.id), Some(&table));
}

#[test]
fn what_processes_tell_each_other() {
    let published = Published {
        database: DATABASE,
        incarnation: INCARNATION,
        boot: FileUuid(*b"boot------golden"),
        durable: Lsn(1_234_567),
        version: 89,
    };
    let stored = golden("published.bin", &published.encode());
    assert_eq!(Published::decode(&stored).unwrap(), published);
    let lease = LeaseRecord {
        database: DATABASE,
        version: 88,
    };
    let stored = golden("lease.bin", &lease.encode());
    assert_eq!(LeaseRecord::decode(&stored).unwrap(), lease);
}
