//! The bytes of keys, postings and the state.
//!
//! | family | key | value |
//! |---|---|---|
//! | `meta` | `state` | layout version (one byte), then [`State`] in bincode |
//! | `ids` | table, series key | series id, little-endian |
//! | `keys` | table, series id | series key |
//! | `postings` | table, length of tag (u16), tag, 0 | the series that have the tag; none: all were forgotten |
//! | `postings` | table, length of tag (u16), tag, 1, value | the series whose tag has that value |
//!
//! No tag has an empty name; the posting in its place holds every series of the table. Integers
//! of keys are big-endian, so that keys sort as their numbers do. A posting of one series is its
//! id in 8 bytes, little-endian; any other is a serialised `RoaringTreemap`, which has 8 bytes
//! only when it is empty, all of them zero, and 0 is no series.

use bincode::{Decode, Encode};
use roaring::RoaringTreemap;
use tidestone_format::{FileUuid, Lsn, SeriesId, SeriesKey, TableId};

use super::{Applied, Forgetting};
use crate::error::{Error, ErrorKind, Result};

/// The layout described here. Any change of it is a new number, and old indexes are rebuilt.
pub(super) const VERSION: u8 = 2;

/// Key of the state in `meta`.
pub(super) const STATE: &[u8] = b"state";

/// Greater than every key: none has more than 12 bytes of 255 before a byte of UTF-8.
pub(super) const END: &[u8] = &[0xFF; 16];

const HAVING: u8 = 0;
const WITH_VALUE: u8 = 1;
const AFTER: u8 = 2;

/// Whose index it is and what it has taken in.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct State {
    pub(super) database: [u8; 16],
    incarnation: [u8; 16],
    manifest_version: u64,
    lsn: u64,
    last_forgetting: [u8; 16],
    next_forgetting: [u8; 16],
}

impl State {
    pub(super) fn new(database: FileUuid, applied: Applied) -> Self {
        Self {
            database: database.0,
            incarnation: applied.incarnation.0,
            manifest_version: applied.manifest_version,
            lsn: applied.lsn.0,
            last_forgetting: applied.forgetting.last.0,
            next_forgetting: applied.forgetting.next.0,
        }
    }

    pub(super) fn applied(&self) -> Applied {
        Applied {
            incarnation: FileUuid(self.incarnation),
            manifest_version: self.manifest_version,
            lsn: Lsn(self.lsn),
            forgetting: Forgetting {
                last: FileUuid(self.last_forgetting),
                next: FileUuid(self.next_forgetting),
            },
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![VERSION];
        bincode::encode_into_std_write(self, &mut bytes, bincode::config::standard())
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("state of the index: {e}")))?;
        Ok(bytes)
    }

    /// Reads the state; the error says why it cannot be used.
    pub(super) fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        let Some((&version, rest)) = bytes.split_first() else {
            return Err("its state is empty".to_owned());
        };
        if version != VERSION {
            return Err(format!(
                "it has layout version {version}, this program writes {VERSION}"
            ));
        }
        match bincode::decode_from_slice(rest, bincode::config::standard()) {
            Ok((state, used)) if used == rest.len() => Ok(state),
            Ok((_, used)) => Err(format!("its state has {} bytes, not {used}", rest.len())),
            Err(e) => Err(format!("its state is damaged: {e}")),
        }
    }
}

#[expect(
    clippy::big_endian_bytes,
    reason = "keys must sort as their numbers do"
)]
fn table_bytes(table: TableId) -> [u8; 4] {
    table.0.to_be_bytes()
}

/// The first key of a table, and the first one past it.
pub(super) fn table_span(table: TableId) -> (Vec<u8>, Vec<u8>) {
    let from = table_bytes(table).to_vec();
    let to = match table.0.checked_add(1) {
        Some(next) => table_bytes(TableId(next)).to_vec(),
        None => END.to_vec(),
    };
    (from, to)
}

/// Key of a series key in `ids`.
pub(super) fn by_key(table: TableId, key: &SeriesKey) -> Vec<u8> {
    [&table_bytes(table), key.as_bytes()].concat()
}

/// Key of a series id in `keys`.
#[expect(
    clippy::big_endian_bytes,
    reason = "keys must sort as their numbers do"
)]
pub(super) fn by_id(table: TableId, id: SeriesId) -> [u8; 12] {
    let mut out = [0; 12];
    out[..4].copy_from_slice(&table_bytes(table));
    out[4..].copy_from_slice(&id.0.to_be_bytes());
    out
}

/// Takes apart a key of `keys`.
#[expect(
    clippy::big_endian_bytes,
    reason = "keys must sort as their numbers do"
)]
pub(super) fn split_by_id(key: &[u8]) -> Option<(TableId, SeriesId)> {
    let (table, id) = key.split_first_chunk::<4>()?;
    let id = u64::from_be_bytes(id.try_into().ok()?);
    Some((TableId(u32::from_be_bytes(*table)), SeriesId(id)))
}

/// Key of the posting of every series of a table.
pub(super) fn every(table: TableId) -> Vec<u8> {
    tag_key(table, 0, "", HAVING, "")
}

/// Key of the posting of the series that have a tag; `None` if no series can have it.
pub(super) fn having(table: TableId, tag: &str) -> Option<Vec<u8>> {
    Some(tag_key(table, tag_len(tag)?, tag, HAVING, ""))
}

/// Key of the posting of the series whose tag has a value; `None` if no series can have the tag.
pub(super) fn with_value(table: TableId, tag: &str, value: &str) -> Option<Vec<u8>> {
    Some(tag_key(table, tag_len(tag)?, tag, WITH_VALUE, value))
}

/// What the keys of the values of a tag begin with, and the first key past them.
pub(super) fn values_span(table: TableId, tag: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let len = tag_len(tag)?;
    Some((
        tag_key(table, len, tag, WITH_VALUE, ""),
        tag_key(table, len, tag, AFTER, ""),
    ))
}

/// The first key past the postings of a tag that is in the index, or of the empty name.
pub(super) fn after_tag(table: TableId, tag: &str) -> Vec<u8> {
    let len = u16::try_from(tag.len()).unwrap_or(u16::MAX);
    tag_key(table, len, tag, AFTER, "")
}

fn tag_len(tag: &str) -> Option<u16> {
    u16::try_from(tag.len()).ok().filter(|len| *len > 0)
}

#[expect(
    clippy::big_endian_bytes,
    reason = "keys must sort as their numbers do"
)]
fn tag_key(table: TableId, len: u16, tag: &str, kind: u8, value: &str) -> Vec<u8> {
    let (table, len) = (table_bytes(table), len.to_be_bytes());
    [&table, &len[..], tag.as_bytes(), &[kind], value.as_bytes()].concat()
}

/// The key of a posting, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Posting<'a> {
    pub(super) table: TableId,
    pub(super) tag: &'a str,
    pub(super) value: Option<&'a str>,
}

impl<'a> Posting<'a> {
    #[expect(
        clippy::big_endian_bytes,
        reason = "keys must sort as their numbers do"
    )]
    pub(super) fn decode(key: &'a [u8]) -> Option<Self> {
        let (table, rest) = key.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let (tag, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let value = match rest.split_first()? {
            (&HAVING, []) => None,
            (&WITH_VALUE, value) if !tag.is_empty() => Some(std::str::from_utf8(value).ok()?),
            _ => return None,
        };
        Some(Self {
            table: TableId(u32::from_be_bytes(*table)),
            tag: std::str::from_utf8(tag).ok()?,
            value,
        })
    }
}

/// A series id as a value.
pub(super) fn encode_id(id: SeriesId) -> [u8; 8] {
    id.0.to_le_bytes()
}

/// The series id that is a value.
pub(super) fn decode_id(bytes: &[u8]) -> Option<SeriesId> {
    bytes.try_into().ok().map(u64::from_le_bytes).map(SeriesId)
}

/// Whether a posting is of no series.
pub(super) fn is_empty(posting: &[u8]) -> bool {
    decode_id(posting) == Some(SeriesId(0))
}

/// A posting of the given series.
pub(super) fn encode_ids(ids: Vec<u64>) -> Vec<u8> {
    encode_set(ids.into_iter().collect())
}

fn encode_set(mut ids: RoaringTreemap) -> Vec<u8> {
    if let (1, Some(id)) = (ids.len(), ids.min()) {
        return encode_id(SeriesId(id)).to_vec();
    }
    ids.optimize();
    let mut bytes = Vec::with_capacity(ids.serialized_size());
    match ids.serialize_into(&mut bytes) {
        Ok(()) => bytes,
        // Writing to memory does not fail; no bytes are no posting, so that it would be noticed.
        Err(_) => Vec::new(),
    }
}

/// Adds the series of a posting to `ids`; `None` if it is damaged.
pub(super) fn add_ids(ids: &mut RoaringTreemap, posting: &[u8]) -> Option<()> {
    if let Some(id) = decode_id(posting) {
        if id.0 != 0 {
            ids.insert(id.0);
        }
        return Some(());
    }
    let mut rest = posting;
    let more = RoaringTreemap::deserialize_from(&mut rest).ok()?;
    if !rest.is_empty() {
        return None;
    }
    if ids.is_empty() {
        *ids = more;
    } else {
        *ids |= more;
    }
    Some(())
}

/// The posting of all series of some postings; `None` if one is damaged.
pub(super) fn merge_postings<'a>(postings: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut ids = RoaringTreemap::new();
    for posting in postings {
        add_ids(&mut ids, posting)?;
    }
    Some(encode_set(ids))
}
