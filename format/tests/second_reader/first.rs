//! What the crate's own decoders read, in the words of the second reader. Structs are taken apart
//! field by field, so that a new one does not go unseen.

use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::stats::{ValueStats, VectorStats};
use tidestone_format::column::{Column, Values};
use tidestone_format::header::{Cipher, Cut, FileHeader, LogHeader, Specific};
use tidestone_format::log::batch::BatchSection;
use tidestone_format::log::record::{Record, Selection, SeriesDefinition, Tombstone};
use tidestone_format::log::scan::{FrameCursor, Stop, find_later_evidence};
use tidestone_format::log::{FrameHeader, LogIdentity};
use tidestone_format::manifest::{
    ClockTrust, Edit, EditCursor, Entry, ManifestIdentity, SegmentEntry, State, replay,
};
use tidestone_format::schema::{Field, TableSchema, TableSettings};
use tidestone_format::segment::{GroupPageRef, Root, Segment};
use tidestone_format::{FieldId, FieldType, FormatError, SeriesKey};

use crate::codec::Value;
use crate::header::{Header, OfKind};
use crate::{log, manifest, segment};

pub fn header(header: &FileHeader) -> Header {
    let FileHeader {
        version,
        oldest_reader,
        writer_version,
        required_features: 0,
        optional_features,
        database,
        file,
        number,
        cipher: Cipher::NONE,
        specific,
    } = *header
    else {
        panic!("a header of version 1: {header:?}");
    };
    Header {
        magic: String::from_utf8(header.kind().magic().to_vec()).unwrap(),
        version,
        oldest_reader,
        writer: writer_version,
        optional_features,
        database: database.0,
        file: file.0,
        number,
        of_kind: of_kind(specific),
    }
}

fn of_kind(specific: Specific) -> OfKind {
    match specific {
        Specific::Identity { created_at } => OfKind::Identity {
            created: created_at,
        },
        Specific::Log(LogHeader {
            file_len,
            first_lsn,
            cut,
        }) => OfKind::Log {
            len: file_len,
            first_lsn: first_lsn.0,
            cut: cut.map(|cut| {
                let Cut {
                    file_number,
                    offset,
                    last_lsn,
                } = cut;
                [file_number, offset, last_lsn.0]
            }),
        },
        Specific::Manifest | Specific::Segment => OfKind::Nothing,
    }
}

/// A log of one file, as recovery reads it.
pub fn log(file: &[u8]) -> Result<log::Log, FormatError> {
    let decoded = FileHeader::decode(file)?;
    let Specific::Log(of_log) = decoded.specific else {
        panic!("a log file");
    };
    let identity = LogIdentity {
        incarnation: decoded.file,
        file_number: decoded.number,
    };
    let mut cursor = FrameCursor::new(file, identity, of_log.first_lsn);
    let mut frames = Vec::new();
    for frame in cursor.by_ref() {
        let FrameHeader {
            kind,
            file_number: _,
            lsn,
            durable_lsn,
            stored_len: _,
            payload_crc: _,
        } = frame.header;
        frames.push(log::Frame {
            lsn: lsn.0,
            durable_lsn: durable_lsn.0,
            record: record(&Record::decode(kind, frame.payload)?),
        });
    }
    if let Some(Stop::Refused(error)) = cursor.stop() {
        return Err(error.clone());
    }
    if let Some(stray) = cursor.stray_bytes() {
        return Err(stray.clone());
    }
    let expected = cursor.next_lsn();
    let evidence = find_later_evidence(file, cursor.offset(), identity, expected);
    Ok(log::Log {
        header: header(&decoded),
        frames,
        end: match evidence {
            Some(_) => log::End::Damaged(expected.0),
            None => log::End::Before(expected.0),
        },
    })
}

fn record(record: &Record) -> log::Record {
    match record {
        Record::Batch(sections) => log::Record::Batch(sections.iter().map(section).collect()),
        Record::SeriesDefinitions(list) => log::Record::Series(list.iter().map(series).collect()),
        Record::Delete(delete) => log::Record::Delete(tombstone(delete)),
        Record::SegmentReferences(list) => {
            log::Record::Segments(list.iter().map(segment_entry).collect())
        }
        Record::Note => log::Record::Note,
    }
}

fn section(section: &BatchSection) -> log::Section {
    let BatchSection {
        table,
        series,
        times,
        columns,
    } = section;
    log::Section {
        table: table.0,
        series: (0..times.len()).map(|row| series.get(row).0).collect(),
        times: times.clone(),
        columns: columns.iter().map(|(id, c)| (id.0, values(c))).collect(),
    }
}

fn values(column: &Column) -> Vec<Value> {
    let value = |row: usize| match &column.values {
        _ if !column.is_valid(row) => Value::Null,
        Values::F64(values) => Value::F64(values[row].to_bits()),
        Values::I64(values) => Value::I64(values[row]),
        Values::U64(values) => Value::U64(values[row]),
        Values::Bool(values) => Value::Bool(values[row]),
        Values::String(values) => Value::Text(values.get(row).to_owned()),
    };
    (0..column.len()).map(value).collect()
}

fn series(definition: &SeriesDefinition) -> log::Series {
    let SeriesDefinition { table, id, key } = definition;
    log::Series {
        table: table.0,
        id: id.0,
        tags: tags(key),
    }
}

fn tags(key: &SeriesKey) -> Vec<(String, String)> {
    let tag = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    key.tags().map(tag).collect()
}

fn tombstone(tombstone: &Tombstone) -> log::Tombstone {
    let Tombstone {
        table,
        selection,
        range,
    } = tombstone;
    log::Tombstone {
        table: table.0,
        series: match selection {
            Selection::All => None,
            Selection::Series(ids) => Some(ids.iter().map(|id| id.0).collect()),
        },
        first: range.start,
        last: range.end,
    }
}

fn segment_entry(entry: &SegmentEntry) -> log::SegmentEntry {
    let SegmentEntry {
        table,
        uuid,
        partition,
        file_len,
        tail_len,
        root_crc,
        first_lsn,
        last_lsn,
        times,
        rows,
        series,
        tier,
        place,
    } = entry;
    log::SegmentEntry {
        table: table.0,
        uuid: uuid.0,
        partition: [partition.start, partition.end],
        file_len: *file_len,
        tail_len: *tail_len,
        root_crc: *root_crc,
        lsns: [first_lsn.0, last_lsn.0],
        times: [times.start, times.end],
        rows: *rows,
        series: *series,
        tier: tier.tag(),
        place: place.clone(),
    }
}

pub fn manifest(file: &[u8]) -> Result<manifest::Manifest, FormatError> {
    let decoded = FileHeader::decode(file)?;
    let identity = ManifestIdentity::of(&decoded);
    let replayed = replay(file, identity)?;
    let edits = EditCursor::new(file, identity).map(|located| edit(&located.edit));
    Ok(manifest::Manifest {
        header: header(&decoded),
        edits: edits.collect(),
        state: state(&replayed.state),
    })
}

fn edit(edit: &Edit) -> manifest::Edit {
    let Edit { version, entries } = edit;
    manifest::Edit {
        version: *version,
        entries: entries.iter().map(entry).collect(),
    }
}

fn entry(entry: &Entry) -> manifest::Entry {
    use manifest::Entry as Second;
    match entry {
        Entry::NextIds { series, table } => Second::NextIds(series.0, table.0),
        Entry::Incarnation(uuid) => Second::Incarnation(uuid.0),
        Entry::Table(schema) => Second::Table(table(schema)),
        Entry::TableDropped(table) => Second::TableDropped(table.0),
        Entry::SegmentAdded(segment) => Second::SegmentAdded(segment_entry(segment)),
        Entry::SegmentDropped { table, uuid } => Second::SegmentDropped(table.0, uuid.0),
        Entry::Flushed(lsn) => Second::Flushed(lsn.0),
        Entry::Tombstone { lsn, tombstone } => Second::Tombstone(lsn.0, self::tombstone(tombstone)),
        Entry::TombstoneDropped(lsn) => Second::TombstoneDropped(lsn.0),
        Entry::SeriesDefined(definition) => Second::SeriesDefined(series(definition)),
        Entry::Horizon { table, from } => Second::Horizon(table.0, *from),
        Entry::Cursor { name, lsn } => Second::Cursor(name.clone(), lsn.0),
        Entry::CursorDropped { name } => Second::CursorDropped(name.clone()),
        Entry::SeriesForgotten(series) => Second::SeriesForgotten(series.0),
        Entry::ClockTrust(trust) => {
            let (believed, since, steady_ns) = clock(trust);
            Second::ClockTrust(believed, since, steady_ns)
        }
        Entry::Forgetting(edit) => Second::Forgetting(edit.0),
    }
}

fn clock(trust: &ClockTrust) -> (i64, i64, u64) {
    let ClockTrust {
        believed,
        since,
        steady_ns,
    } = *trust;
    (believed, since, steady_ns)
}

fn table(schema: &TableSchema) -> manifest::Table {
    let TableSchema {
        id,
        name,
        settings,
        next_field_id,
        fields,
    } = schema;
    let TableSettings {
        policy,
        mode,
        partition_ns,
        future_bound_ns,
        retention_age_ns,
        retention_bytes,
        drops_when_full,
    } = settings;
    manifest::Table {
        id: id.0,
        name: name.clone(),
        policy: policy.tag(),
        mode: mode.tag(),
        drops_when_full: *drops_when_full,
        partition_ns: *partition_ns,
        future_bound_ns: future_bound_ns.unwrap_or(-1),
        retention_age_ns: retention_age_ns.unwrap_or(-1),
        retention_bytes: retention_bytes.unwrap_or(u64::MAX),
        next_field: *next_field_id,
        fields: fields.iter().map(field).collect(),
    }
}

fn field(field: &Field) -> (u32, u8, String) {
    let Field {
        id,
        name,
        field_type,
    } = field;
    (id.0, field_type.tag(), name.clone())
}

fn state(state: &State) -> manifest::State {
    let tables = state.tables().iter();
    let segments = state.segments().iter();
    let tombstones = state.tombstones().iter();
    let defined = state.series().iter();
    let horizons = state.horizons().iter();
    let cursors = state.cursors().iter();
    manifest::State {
        next_ids: (state.next_series().0, state.next_table().0),
        incarnation: state.incarnation().0,
        flushed: state.flushed().0,
        tables: tables.map(|(id, t)| (id.0, table(t))).collect(),
        segments: segments.map(|(id, s)| (id.0, segment_entry(s))).collect(),
        tombstones: tombstones.map(|(id, t)| (id.0, tombstone(t))).collect(),
        series: defined.map(|(id, s)| (id.0, series(s))).collect(),
        horizons: horizons.map(|(id, from)| (id.0, *from)).collect(),
        cursors: cursors.map(|(name, lsn)| (name.clone(), lsn.0)).collect(),
        clock: state.clock().as_ref().map(clock),
        forgetting: state.forgetting().0,
    }
}

pub fn segment(file: &[u8]) -> Result<segment::Segment, FormatError> {
    let segment = Segment::open(file)?;
    let mut refused = None;
    segment.verify(|_, result| refused = refused.take().or(result.err()));
    if let Some(error) = refused {
        return Err(error);
    }
    let root: &Root = segment.root();
    let mut found = segment::Segment {
        header: header(segment.header()),
        partition: [root.partition.start, root.partition.end],
        rows: root.rows,
        times: [root.times.start, root.times.end],
        lsns: [root.first_lsn.0, root.last_lsn.0],
        policy: root.policy.tag(),
        tier: root.tier.tag(),
        fields: root.columns.iter().map(field).collect(),
        series: Vec::new(),
        groups: root.group_pages.iter().map(group).collect(),
        columns: Default::default(),
        statistics: Default::default(),
    };
    for i in 0..root.series_pages.len() {
        let page = segment.series_page(i)?;
        for (n, rows) in page.iter().enumerate() {
            found.series.push(segment::Series {
                id: rows.id.0,
                tags: tags(&page.key(n)?),
                rows: rows.rows.end - rows.rows.start,
                first: rows.times.start,
                last: rows.times.end,
            });
        }
    }
    let fields = root
        .columns
        .iter()
        .map(|field| (field.id, field.field_type));
    for (field, field_type) in std::iter::once((FieldId::TIME, FieldType::I64)).chain(fields) {
        let (rows, statistics) = column(&segment, field, field_type)?;
        found.columns.insert(field.0, rows);
        found.statistics.insert(field.0, statistics);
    }
    Ok(found)
}

/// Rows and statistics of a column.
fn column(
    segment: &Segment<'_>,
    field: FieldId,
    field_type: FieldType,
) -> Result<(Vec<Value>, Vec<segment::Statistics>), FormatError> {
    let dictionary = segment.dictionary(field)?;
    let mut column = Column::new(field_type);
    let mut found = Vec::new();
    for group in 0..segment.root().group_pages.len() {
        let page = segment.group_page(group)?;
        let stats = page.stats(page.column(field).unwrap())?;
        let has_values = stats.vectors().iter().any(|v| v.values() > 0);
        let vectors = stats.vectors().iter();
        found.extend(vectors.map(|vector| statistics(vector, has_values)));
        let block = segment.block(&page, group, field)?;
        for vector in 0..block.vector_count() {
            block.decode(vector, dictionary.as_ref(), &mut column)?;
        }
    }
    Ok((values(&column), found))
}

pub fn dictionary(dictionary: &Dictionary) -> Vec<Value> {
    match dictionary {
        Dictionary::F64(values) => values.iter().map(|v| Value::F64(v.to_bits())).collect(),
        Dictionary::String(values) => values.iter().map(|v| Value::Text(v.to_owned())).collect(),
    }
}

fn group(page: &GroupPageRef) -> segment::Group {
    let GroupPageRef {
        first_row: _,
        rows,
        times,
        first_series,
        last_series,
        region: _,
    } = page;
    segment::Group {
        rows: *rows as usize,
        times: [times.start, times.end],
        series: [first_series.0, last_series.0],
    }
}

fn statistics(vector: &VectorStats, has_values: bool) -> segment::Statistics {
    let halves = |sum: u128| [sum as u64, (sum >> 64) as u64].map(Value::U64);
    let arrays = match vector.of {
        _ if !has_values => Vec::new(),
        ValueStats::F64 {
            min,
            max,
            first,
            last,
            sum,
        } => [min, max, first, last, sum]
            .map(|v| Value::F64(v.to_bits()))
            .to_vec(),
        ValueStats::I64 {
            min,
            max,
            first,
            last,
            sum,
        } => {
            let ends = [min, max, first, last].map(Value::I64);
            [&ends[..], &halves(sum.cast_unsigned())].concat()
        }
        ValueStats::U64 {
            min,
            max,
            first,
            last,
            sum,
        } => {
            let ends = [min, max, first, last].map(Value::U64);
            [&ends[..], &halves(sum)].concat()
        }
        ValueStats::Bool { trues, first, last } => {
            vec![Value::U64(trues), Value::Bool(first), Value::Bool(last)]
        }
        ValueStats::String => Vec::new(),
        ValueStats::Time {
            min,
            max,
            first,
            last,
        } => [min, max, first, last].map(Value::I64).to_vec(),
    };
    segment::Statistics {
        nulls: vector.nulls,
        nans: vector.nans,
        arrays,
    }
}
