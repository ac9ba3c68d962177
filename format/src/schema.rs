//! Tables: settings, fields, types, as the manifest records them.

use std::collections::HashSet;

use crate::bytes::{Reader, put_short_text};
use crate::tags::on_disk;
use crate::version::MAX_FIELDS;
use crate::{FieldId, FieldType, FormatError, Result, TableId};

const WHAT: &str = "table";
/// Stands for "none" in the signed settings.
const NONE: i64 = -1;
/// Flag of the settings: the oldest partition is dropped where the disk is full.
const DROPS_WHEN_FULL: u16 = 1;
/// The fewest bytes a field takes: id, type, zero, length of the name, one byte of it.
const MIN_FIELD_LEN: usize = 4 + 1 + 1 + 2 + 1;

on_disk! {
    /// What happens to rows of one series at one timestamp.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum DuplicatePolicy {
        /// The last written wins, field by field; a null does not overwrite.
        Replace = 1,
        /// Every row stays.
        All = 2,
        /// The first written stays.
        First = 3,
    }
}

impl DuplicatePolicy {
    /// The policy whose on-disk tag is `tag`, found at `offset`.
    ///
    /// # Errors
    /// [`FormatErrorKind::Invalid`](crate::FormatErrorKind::Invalid) for any other tag.
    pub fn from_tag(tag: u8, offset: u64) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|known| known.tag() == tag);
        found.ok_or_else(|| FormatError::invalid("duplicate policy", offset, "1 to 3", tag))
    }
}

on_disk! {
    /// Whether writes may add fields.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum SchemaMode {
        /// Only the owner of the table adds fields.
        Fixed = 1,
        /// A write that names an unknown field adds it.
        Open = 2,
    }
}

impl SchemaMode {
    /// The mode whose on-disk tag is `tag`, found at `offset`.
    ///
    /// # Errors
    /// [`FormatErrorKind::Invalid`](crate::FormatErrorKind::Invalid) for any other tag.
    pub fn from_tag(tag: u8, offset: u64) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|known| known.tag() == tag);
        found.ok_or_else(|| FormatError::invalid("schema mode", offset, "1 or 2", tag))
    }
}

/// The settings of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSettings {
    /// What happens to duplicates.
    pub policy: DuplicatePolicy,
    /// Whether writes may add fields.
    pub mode: SchemaMode,
    /// Length of a partition, ns; greater than zero.
    pub partition_ns: i64,
    /// How far in the future a row may lie, ns; `None`: as far as it likes.
    pub future_bound_ns: Option<i64>,
    /// How long a row is kept, ns; `None`: for ever.
    pub retention_age_ns: Option<i64>,
    /// How many bytes of segments are kept; `None`: all.
    pub retention_bytes: Option<u64>,
    /// Whether the oldest partition is dropped where the disk is full.
    pub drops_when_full: bool,
}

/// A field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its id; from 1 and never reused.
    pub id: FieldId,
    /// Its name; not empty.
    pub name: String,
    /// The type of its values; it never changes.
    pub field_type: FieldType,
}

/// A table: what the manifest holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// Its id; from 1 and never reused.
    pub id: TableId,
    /// Its name; not empty, and no other table's.
    pub name: String,
    /// Its settings.
    pub settings: TableSettings,
    /// The id the next new field gets; greater than those of all fields.
    pub next_field_id: u32,
    /// The fields, ascending by id; no name twice.
    pub fields: Vec<Field>,
}

impl TableSchema {
    /// The field called `name`.
    pub fn field_by_name(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field whose id is `id`.
    pub fn field(&self, id: FieldId) -> Option<&Field> {
        let i = self.fields.binary_search_by_key(&id, |f| f.id).ok()?;
        self.fields.get(i)
    }

    /// Appends the table's bytes to `out`.
    ///
    /// # Errors
    /// What [`TableSchema::decode`] would refuse, or a setting that stands for "none"; `out` is
    /// then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let result = self
            .put(out)
            .and_then(|()| Self::decode(&out[start..]).map(drop));
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn put(&self, out: &mut Vec<u8>) -> Result<()> {
        let settings = &self.settings;
        out.extend_from_slice(&self.id.0.to_le_bytes());
        put_short_text(out, "table name", &self.name)?;
        out.extend_from_slice(&[settings.policy.tag(), settings.mode.tag()]);
        let flags = if settings.drops_when_full {
            DROPS_WHEN_FULL
        } else {
            0
        };
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&settings.partition_ns.to_le_bytes());
        for (what, value) in [
            ("future bound", settings.future_bound_ns),
            ("retention age", settings.retention_age_ns),
        ] {
            if let Some(value @ ..=NONE) = value {
                return Err(FormatError::invalid(what, 0, "0 ns or more", value));
            }
            out.extend_from_slice(&value.unwrap_or(NONE).to_le_bytes());
        }
        if settings.retention_bytes == Some(u64::MAX) {
            return Err(FormatError::limit(
                "retention bytes",
                u64::MAX - 1,
                u64::MAX,
            ));
        }
        let retention_bytes = settings.retention_bytes.unwrap_or(u64::MAX);
        out.extend_from_slice(&retention_bytes.to_le_bytes());
        out.extend_from_slice(&self.next_field_id.to_le_bytes());
        let count = u32::try_from(self.fields.len())
            .map_err(|_| FormatError::limit("fields of a table", MAX_FIELDS, self.fields.len()))?;
        out.extend_from_slice(&count.to_le_bytes());
        for field in &self.fields {
            out.extend_from_slice(&field.id.0.to_le_bytes());
            out.extend_from_slice(&[field.field_type.tag(), 0]);
            put_short_text(out, "field name", &field.name)?;
        }
        Ok(())
    }

    /// The table whose bytes `bytes` are, all of them.
    ///
    /// # Errors
    /// Bytes that are cut short or too long; a tag or number out of its bounds; an empty name or
    /// one that is there twice; field ids that do not ascend up to the next one.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, WHAT);
        let table = Self::read(&mut r)?;
        r.finish()?;
        Ok(table)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self> {
        let id = read_table_id(r)?;
        let name = read_name(r)?;
        let settings = TableSettings::read(r)?;
        let next_at = r.position();
        let next_field_id = r.u32()?;
        if next_field_id == 0 {
            return Err(r.invalid_at(next_at, "a next field id from 1", 0));
        }
        Ok(Self {
            id,
            name,
            settings,
            next_field_id,
            fields: read_fields(r, next_field_id)?,
        })
    }
}

impl TableSettings {
    fn read(r: &mut Reader<'_>) -> Result<Self> {
        let at = r.position() as u64;
        let policy = DuplicatePolicy::from_tag(r.u8()?, at)?;
        let mode = SchemaMode::from_tag(r.u8()?, at + 1)?;
        let flags_at = r.position();
        let flags = r.u16()?;
        if flags & !DROPS_WHEN_FULL != 0 {
            let expected = format_args!("flags among {DROPS_WHEN_FULL:#06x}");
            return Err(r.invalid_at(flags_at, expected, format_args!("{flags:#06x}")));
        }
        let partition_at = r.position();
        let partition_ns = r.i64()?;
        if partition_ns <= 0 {
            return Err(r.invalid_at(partition_at, "a partition of 1 ns or more", partition_ns));
        }
        Ok(Self {
            policy,
            mode,
            partition_ns,
            future_bound_ns: read_optional(r)?,
            retention_age_ns: read_optional(r)?,
            retention_bytes: Some(r.u64()?).filter(|&bytes| bytes != u64::MAX),
            drops_when_full: flags & DROPS_WHEN_FULL != 0,
        })
    }
}

/// Reads a table id, which is never 0.
pub(crate) fn read_table_id(r: &mut Reader<'_>) -> Result<TableId> {
    let at = r.position();
    match r.u32()? {
        0 => Err(r.invalid_at(at, "a table id from 1", 0)),
        id => Ok(TableId(id)),
    }
}

/// Reads a name: text that is not empty.
pub(crate) fn read_name(r: &mut Reader<'_>) -> Result<String> {
    let at = r.position();
    match r.short_text()? {
        "" => Err(r.invalid_at(at, "a name of 1 byte or more", "an empty one")),
        name => Ok(name.to_string()),
    }
}

fn read_optional(r: &mut Reader<'_>) -> Result<Option<i64>> {
    let at = r.position();
    match r.i64()? {
        NONE => Ok(None),
        value @ 0.. => Ok(Some(value)),
        value => Err(r.invalid_at(at, "0 ns or more, or -1 for none", value)),
    }
}

fn read_fields(r: &mut Reader<'_>, next_field_id: u32) -> Result<Vec<Field>> {
    let count_at = r.position();
    let count = r.u32()? as usize;
    let limit = MAX_FIELDS.min(r.remaining() / MIN_FIELD_LEN);
    if count > limit {
        return Err(r.invalid_at(count_at, format_args!("at most {limit} fields"), count));
    }
    let mut fields: Vec<Field> = Vec::with_capacity(count);
    let mut names = HashSet::with_capacity(count);
    for _ in 0..count {
        let at = r.position();
        let id = r.u32()?;
        let first = fields.last().map_or(1, |f| f.id.0.saturating_add(1));
        if id < first || id >= next_field_id {
            let expected = format_args!("a field id from {first}, below {next_field_id}");
            return Err(r.invalid_at(at, expected, id));
        }
        let field_type = FieldType::from_tag(r.u8()?, at as u64 + 4)?;
        r.zeros(1)?;
        let name = read_name(r)?;
        if !names.insert(name.clone()) {
            let actual = format_args!("{name:?} twice");
            return Err(r.invalid_at(at, "each field name once", actual));
        }
        fields.push(Field {
            id: FieldId(id),
            name,
            field_type,
        });
    }
    Ok(fields)
}

#[cfg(test)]
mod tests;
