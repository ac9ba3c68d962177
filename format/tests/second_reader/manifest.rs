//! Section 4: manifest files and what their edits add up to.

use std::collections::BTreeMap;

use crate::header::{Header, header};
use crate::input::{Input, Result, Seen, Uuid, must, padding, zeros};
use crate::log::{SegmentEntry, Series, Tombstone, id, segment_entry, series, tombstone};

#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    NextIds(u64, u32),
    Incarnation(Uuid),
    Table(Table),
    TableDropped(u32),
    SegmentAdded(SegmentEntry),
    SegmentDropped(u32, Uuid),
    Flushed(u64),
    Tombstone(u64, Tombstone),
    TombstoneDropped(u64),
    SeriesDefined(Series),
    Horizon(u32, i64),
    Cursor(String, u64),
    CursorDropped(String),
    SeriesForgotten(u64),
    ClockTrust(i64, i64, u64),
    Forgetting(Uuid),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub id: u32,
    pub name: String,
    pub policy: u8,
    pub mode: u8,
    pub drops_when_full: bool,
    pub partition_ns: i64,
    pub future_bound_ns: i64,
    pub retention_age_ns: i64,
    pub retention_bytes: u64,
    pub next_field: u32,
    /// Id, type and name.
    pub fields: Vec<(u32, u8, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    pub version: u64,
    pub entries: Vec<Entry>,
}

#[derive(Debug, PartialEq)]
pub struct Manifest {
    pub header: Header,
    pub edits: Vec<Edit>,
    pub state: State,
}

/// What the edits add up to.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub next_ids: (u64, u32),
    pub incarnation: Uuid,
    pub flushed: u64,
    pub tables: BTreeMap<u32, Table>,
    pub segments: BTreeMap<Uuid, SegmentEntry>,
    pub tombstones: BTreeMap<u64, Tombstone>,
    pub series: BTreeMap<u64, Series>,
    pub horizons: BTreeMap<u32, i64>,
    pub cursors: BTreeMap<String, u64>,
    pub clock: Option<(i64, i64, u64)>,
    /// Zeros where no series were forgotten.
    pub forgetting: Uuid,
}

/// An edit that is whole, before its version and its entries are looked at.
struct Whole<'a> {
    version: u64,
    payload: &'a [u8],
    end: usize,
}

fn whole(file: &[u8], at: usize) -> Result<Whole<'_>> {
    let mut r = Input::new(file.get(at..).unwrap_or_default());
    let start = r.clone().bytes(16)?;
    must(r.bytes(4)? == b"TSed", "the magic of an edit")?;
    let len = r.u32()? as usize;
    let version = r.u64()?;
    let crc = r.u32()?;
    r.zeros(4)?;
    let payload = r.bytes(len)?;
    let covered = [&file[24..64], start, payload].concat();
    must(crc == crc32fast::hash(&covered), "the checksum of an edit")?;
    let pad = padding(len, 8);
    r.zeros(pad)?;
    let end = at + 24 + len + pad;
    Ok(Whole {
        version,
        payload,
        end,
    })
}

/// The manifest that a file holds; damage is an error.
pub fn manifest(file: &[u8], seen: &mut Seen) -> Result<Manifest> {
    let header = header(file)?;
    zeros(Input::new(&file[192..]).bytes(64)?)?;
    let mut edits: Vec<Edit> = Vec::new();
    let mut at = 256;
    while let Some(edit) = next(file, at, edits.last().map(|edit| edit.version)) {
        let mut r = Input::new(edit.payload);
        let mut entries = Vec::new();
        while r.len() > 0 {
            entries.push(entry(&mut r, seen)?);
        }
        edits.push(Edit {
            version: edit.version,
            entries,
        });
        at = edit.end;
    }
    let last = edits.last().ok_or("an edit")?.version;
    let places = (at..file.len()).step_by(8);
    let mut behind = places.filter_map(|at| whole(file, at).ok());
    let is_damaged = behind.any(|edit| edit.version > last);
    must(!is_damaged, "no whole edit behind the last one")?;
    let mut state = State::new();
    for entry in edits.iter().flat_map(|edit| &edit.entries) {
        state.apply(entry)?;
    }
    Ok(Manifest {
        header,
        edits,
        state,
    })
}

/// The valid edit at `at` of the file, or behind a seal that was lost there.
fn next(file: &[u8], at: usize, last: Option<u64>) -> Option<Whole<'_>> {
    let is_valid = |edit: &Whole<'_>| match last {
        None => edit.version != 0 && edit.version != u64::MAX,
        Some(last) => edit.version == last + 1,
    };
    if let Some(edit) = whole(file, at).ok().filter(is_valid) {
        return Some(edit);
    }
    let last = last?;
    let there = file.get(at..at + 24)?.iter();
    let is_left = |(&byte, of_seal): (&u8, u8)| byte == of_seal || byte == 0;
    let is_lost = there.zip(seal(file, last + 1)).all(is_left);
    let behind = whole(file, at + 24).ok()?;
    (is_lost && behind.version == last + 2).then_some(behind)
}

/// An edit without entries.
fn seal(file: &[u8], version: u64) -> [u8; 24] {
    let mut seal = [0; 24];
    seal[..4].copy_from_slice(b"TSed");
    seal[8..16].copy_from_slice(&version.to_le_bytes());
    let crc = crc32fast::hash(&[&file[24..64], &seal[..16]].concat());
    seal[16..20].copy_from_slice(&crc.to_le_bytes());
    seal
}

fn entry(r: &mut Input<'_>, seen: &mut Seen) -> Result<Entry> {
    let (tag, len) = (r.u8()?, r.u32()? as usize);
    seen.insert(("entry tag", tag.into()));
    let mut r = Input::new(r.bytes(len)?);
    let entry = match tag {
        1 => Entry::NextIds(number(r.u64()?)?, id(r.u32()?)?),
        2 => Entry::Incarnation(r.uuid()?),
        3 => Entry::Table(table(&mut r, seen)?),
        4 => Entry::TableDropped(id(r.u32()?)?),
        5 => Entry::SegmentAdded(segment_entry(&mut r, seen)?),
        6 => Entry::SegmentDropped(id(r.u32()?)?, r.uuid()?),
        7 => Entry::Flushed(r.u64()?),
        8 => Entry::Tombstone(number(r.u64()?)?, tombstone(&mut r, seen)?),
        9 => Entry::TombstoneDropped(number(r.u64()?)?),
        10 => Entry::SeriesDefined(series(&mut r)?),
        11 => Entry::Horizon(id(r.u32()?)?, r.i64()?),
        12 => Entry::Cursor(name(&mut r)?, r.u64()?),
        13 => Entry::CursorDropped(name(&mut r)?),
        14 => Entry::SeriesForgotten(number(r.u64()?)?),
        15 => Entry::ClockTrust(r.i64()?, r.i64()?, r.u64()?),
        16 => Entry::Forgetting(r.uuid()?),
        _ => return Err(format!("the tag of an entry, not {tag}")),
    };
    r.end()?;
    Ok(entry)
}

fn number(number: u64) -> Result<u64> {
    must(number != 0, "a number from 1")?;
    Ok(number)
}

fn name(r: &mut Input<'_>) -> Result<String> {
    let name = r.short_text()?;
    must(!name.is_empty(), "a name")?;
    Ok(name)
}

fn table(r: &mut Input<'_>, seen: &mut Seen) -> Result<Table> {
    let (id, name, policy, mode) = (id(r.u32()?)?, name(r)?, r.u8()?, r.u8()?);
    must((1..=3).contains(&policy), "a duplicate policy")?;
    must((1..=2).contains(&mode), "a schema mode")?;
    seen.insert(("duplicate policy", policy.into()));
    seen.insert(("schema mode", mode.into()));
    let flags = r.u16()?;
    must(flags <= 1, "a flag that is defined")?;
    seen.insert(("table flag 0", flags.into()));
    let mut table = Table {
        id,
        name,
        policy,
        mode,
        drops_when_full: flags == 1,
        partition_ns: r.i64()?,
        future_bound_ns: r.i64()?,
        retention_age_ns: r.i64()?,
        retention_bytes: r.u64()?,
        next_field: r.u32()?,
        fields: Vec::new(),
    };
    must(table.partition_ns > 0, "a length of partitions")?;
    let bounds = [table.future_bound_ns, table.retention_age_ns];
    must(bounds.iter().all(|&ns| ns >= -1), "bounds of 0 or more")?;
    must(table.next_field != 0, "a next field id")?;
    let count = r.u32()?;
    must(count <= 4096, "at most 4,096 fields")?;
    for _ in 0..count {
        let field = field(r, &table)?;
        seen.insert(("field type", field.1.into()));
        table.fields.push(field);
    }
    Ok(table)
}

/// The next field of a table.
fn field(r: &mut Input<'_>, table: &Table) -> Result<(u32, u8, String)> {
    let before = table.fields.last().map_or(0, |field| field.0);
    let (id, field_type) = (r.u32()?, r.u8()?);
    must(before < id && id < table.next_field, "ascending fields")?;
    must((1..=5).contains(&field_type), "a field type")?;
    r.zeros(1)?;
    let name = name(r)?;
    let mut others = table.fields.iter();
    must(others.all(|field| field.2 != name), "each name once")?;
    Ok((id, field_type, name))
}

impl State {
    fn new() -> Self {
        Self {
            next_ids: (1, 1),
            incarnation: [0; 16],
            flushed: 0,
            tables: BTreeMap::new(),
            segments: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            series: BTreeMap::new(),
            horizons: BTreeMap::new(),
            cursors: BTreeMap::new(),
            clock: None,
            forgetting: [0; 16],
        }
    }

    fn known(&self, table: u32) -> Result<()> {
        must(self.tables.contains_key(&table), "a table that is there")
    }

    fn apply(&mut self, entry: &Entry) -> Result<()> {
        match entry.clone() {
            Entry::NextIds(series, table) => {
                let grow = series >= self.next_ids.0 && table >= self.next_ids.1;
                self.next_ids = (series, table);
                must(grow, "next ids that grow")
            }
            Entry::Incarnation(uuid) => {
                self.incarnation = uuid;
                Ok(())
            }
            Entry::Table(table) => self.put_table(table),
            Entry::TableDropped(id) => {
                self.segments.retain(|_, segment| segment.table != id);
                self.tombstones.retain(|_, tombstone| tombstone.table != id);
                self.series.retain(|_, series| series.table != id);
                self.horizons.remove(&id);
                must(self.tables.remove(&id).is_some(), "a table that is there")
            }
            Entry::SegmentAdded(segment) => {
                self.known(segment.table)?;
                let before = self.segments.insert(segment.uuid, segment);
                must(before.is_none(), "a segment that is not there")
            }
            Entry::SegmentDropped(table, uuid) => {
                let before = self.segments.remove(&uuid);
                let was_there = before.is_some_and(|segment| segment.table == table);
                must(was_there, "a segment that is there")
            }
            Entry::Flushed(lsn) => {
                let grows = lsn >= self.flushed && lsn != u64::MAX;
                self.flushed = lsn;
                must(grows, "a flushed LSN that grows")
            }
            Entry::Tombstone(lsn, tombstone) => {
                self.known(tombstone.table)?;
                let before = self.tombstones.insert(lsn, tombstone);
                let is_new = before.is_none() && lsn != u64::MAX;
                must(is_new, "a tombstone that is not there")
            }
            Entry::TombstoneDropped(lsn) => {
                let before = self.tombstones.remove(&lsn);
                must(before.is_some(), "a tombstone that is there")
            }
            Entry::SeriesDefined(series) => {
                self.known(series.table)?;
                must(series.id < self.next_ids.0, "an id that was given")?;
                let before = self.series.insert(series.id, series.clone());
                let is_same = before.is_none_or(|before| before == series);
                must(is_same, "the series as before")
            }
            Entry::Horizon(table, from) => {
                self.known(table)?;
                let before = self.horizons.insert(table, from);
                must(before.is_none_or(|before| before <= from), "a horizon")
            }
            Entry::Cursor(name, lsn) => {
                self.cursors.insert(name, lsn);
                Ok(())
            }
            Entry::CursorDropped(name) => {
                let before = self.cursors.remove(&name);
                must(before.is_some(), "a cursor that is there")
            }
            Entry::SeriesForgotten(id) => {
                let before = self.series.remove(&id);
                must(before.is_some(), "a series that is there")
            }
            Entry::ClockTrust(believed, since, steady_ns) => {
                self.clock = Some((believed, since, steady_ns));
                Ok(())
            }
            Entry::Forgetting(edit) => {
                self.forgetting = edit;
                Ok(())
            }
        }
    }

    fn put_table(&mut self, table: Table) -> Result<()> {
        must(table.id < self.next_ids.1, "an id that was given")?;
        let mut others = self.tables.values().filter(|other| other.id != table.id);
        let is_free = others.all(|other| other.name != table.name);
        must(is_free, "each name once")?;
        if let Some(before) = self.tables.get(&table.id) {
            let keeps_type = |(id, field_type, _): &(u32, u8, String)| {
                let mut now = table.fields.iter().filter(|field| field.0 == *id);
                now.all(|field| field.1 == *field_type)
            };
            let keep_types = before.fields.iter().all(keeps_type);
            must(keep_types, "fields of the type they had")?;
            let grows = table.next_field >= before.next_field;
            must(grows, "a next field that grows")?;
        }
        self.tables.insert(table.id, table);
        Ok(())
    }
}
