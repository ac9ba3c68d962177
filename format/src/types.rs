//! Identifiers, time and series keys: the words every part of the engine shares.

use std::fmt;

use crate::tags::on_disk;
use crate::{FormatError, Result};

/// Nanoseconds since 1970-01-01T00:00:00 UTC. Every `i64` is a valid timestamp.
pub type Timestamp = i64;

/// Position of a batch in the log: the order of everything. 0 means "before all".
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// A table's id; never reused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// A field's id within its table; never reused. 0 is the timestamp column.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub u32);

impl FieldId {
    /// The timestamp column of every table; fields of users start at 1.
    pub const TIME: FieldId = FieldId(0);
}

/// A series' id, unique in the database; never reused. 0 is no series.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u64);

/// The random name of a file or database.
#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileUuid(pub [u8; 16]);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FieldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FileUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for FileUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

on_disk! {
    /// The type of a field's values.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum FieldType {
        /// 64-bit IEEE 754.
        F64 = 1,
        /// Signed 64-bit integer.
        I64 = 2,
        /// Unsigned 64-bit integer.
        U64 = 3,
        /// True or false.
        Bool = 4,
        /// UTF-8 text.
        String = 5,
    }
}

impl FieldType {
    /// The type whose on-disk tag is `tag`, found at `offset`.
    ///
    /// # Errors
    /// [`FormatErrorKind::Invalid`](crate::FormatErrorKind::Invalid) for any other tag.
    pub fn from_tag(tag: u8, offset: u64) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|known| known.tag() == tag);
        found.ok_or_else(|| FormatError::invalid("field type", offset, "1 to 5", tag))
    }

    /// The name users write: `f64`, `i64`, `u64`, `bool`, `string`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::I64 => "i64",
            Self::U64 => "u64",
            Self::Bool => "bool",
            Self::String => "string",
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A closed span of time: both ends belong to it, so that the whole of `i64` can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First timestamp of the span.
    pub start: Timestamp,
    /// Last timestamp of the span.
    pub end: Timestamp,
}

impl TimeRange {
    /// All time.
    pub const ALL: TimeRange = TimeRange {
        start: i64::MIN,
        end: i64::MAX,
    };

    /// Whether `t` lies in the span.
    pub fn contains(&self, t: Timestamp) -> bool {
        self.start <= t && t <= self.end
    }

    /// Whether the two spans share a timestamp.
    pub fn overlaps(&self, other: &TimeRange) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// Whether all of `other` lies in this span.
    pub fn covers(&self, other: &TimeRange) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// The tags of a series in canonical form: sorted by name, each name once, encoded as
/// `u16 count`, then for each tag `u16 length, name, u16 length, value` (little-endian).
///
/// Two tag sets are equal exactly when their keys are equal byte for byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey(Box<[u8]>);

impl SeriesKey {
    /// The key of the given tags, in any order.
    ///
    /// # Errors
    /// An empty or repeated tag name, or a name or value longer than 65,535 bytes, or more than
    /// 65,535 tags.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(
        tags: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self> {
        let mut tags: Vec<(N, V)> = tags.into_iter().collect();
        tags.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        let count = u16::try_from(tags.len())
            .map_err(|_| FormatError::limit("tags of a series", u16::MAX, tags.len()))?;
        let mut out = Vec::with_capacity(2 + tags.len() * 16);
        out.extend_from_slice(&count.to_le_bytes());
        let mut before: Option<&str> = None;
        for (name, value) in &tags {
            let (name, value) = (name.as_ref(), value.as_ref());
            if name.is_empty() {
                return Err(FormatError::invalid(
                    "tag name",
                    0,
                    "at least one byte",
                    "none",
                ));
            }
            if before == Some(name) {
                return Err(FormatError::invalid(
                    "tags of a series",
                    0,
                    "each name once",
                    format_args!("{name:?} twice"),
                ));
            }
            before = Some(name);
            for text in [name, value] {
                let len = u16::try_from(text.len())
                    .map_err(|_| FormatError::limit("tag name or value", u16::MAX, text.len()))?;
                out.extend_from_slice(&len.to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        Ok(Self(out.into_boxed_slice()))
    }

    /// Takes bytes that claim to be a key, after checking that they are one in canonical form.
    ///
    /// # Errors
    /// Bytes that are cut short, too long, not UTF-8, not sorted, or name a tag twice.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut at = 0usize;
        let count = read_u16(bytes, &mut at)?;
        let mut before: Option<&str> = None;
        for _ in 0..count {
            let name = read_text(bytes, &mut at)?;
            read_text(bytes, &mut at)?;
            if name.is_empty() || before.is_some_and(|b| b >= name) {
                return Err(FormatError::invalid(
                    "series key",
                    at as u64,
                    "tag names sorted, each once, none empty",
                    format_args!("{name:?}"),
                ));
            }
            before = Some(name);
        }
        if at != bytes.len() {
            return Err(FormatError::invalid("series key", 0, at, bytes.len()));
        }
        Ok(Self(bytes.into()))
    }

    /// The canonical bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The tags, sorted by name.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut at = 2usize;
        std::iter::from_fn(move || {
            if at >= self.0.len() {
                return None;
            }
            let name = read_text(&self.0, &mut at).ok()?;
            let value = read_text(&self.0, &mut at).ok()?;
            Some((name, value))
        })
    }

    /// The value of the tag `name`, if the series has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.tags().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

fn read_u16(bytes: &[u8], at: &mut usize) -> Result<u16> {
    let Some(two) = bytes.get(*at..).and_then(|b| b.first_chunk::<2>()) else {
        let left = bytes.len().saturating_sub(*at) as u64;
        return Err(FormatError::truncated("series key", *at as u64, 2, left));
    };
    *at += 2;
    Ok(u16::from_le_bytes(*two))
}

fn read_text<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a str> {
    let len = usize::from(read_u16(bytes, at)?);
    let Some(text) = bytes.get(*at..*at + len) else {
        let left = bytes.len().saturating_sub(*at) as u64;
        return Err(FormatError::truncated(
            "series key",
            *at as u64,
            len as u64,
            left,
        ));
    };
    let text = std::str::from_utf8(text).map_err(|e| {
        FormatError::invalid("series key", (*at + e.valid_up_to()) as u64, "UTF-8", e)
    })?;
    *at += len;
    Ok(text)
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.tags().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_depend_on_the_order_of_tags() {
        let a = SeriesKey::new([("host", "a"), ("dc", "x")]).unwrap();
        let b = SeriesKey::new([("dc", "x"), ("host", "a")]).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "dc=x,host=a");
        assert_eq!(a.get("host"), Some("a"));
        assert_eq!(SeriesKey::from_bytes(a.as_bytes()).unwrap(), a);
    }

    #[test]
    fn a_repeated_or_empty_tag_name_is_refused() {
        assert!(SeriesKey::new([("a", "1"), ("a", "2")]).is_err());
        assert!(SeriesKey::new([("", "1")]).is_err());
        assert!(SeriesKey::new([("a", "")]).is_ok());
        assert!(SeriesKey::new([("a", "x".repeat(65_536))]).is_err());
    }

    #[test]
    fn damaged_key_bytes_are_refused() {
        let key = SeriesKey::new([("a", "1"), ("b", "2")]).unwrap();
        for cut in 0..key.as_bytes().len() {
            assert!(
                SeriesKey::from_bytes(&key.as_bytes()[..cut]).is_err(),
                "cut at {cut}"
            );
        }
        let mut longer = key.as_bytes().to_vec();
        longer.push(0);
        assert!(SeriesKey::from_bytes(&longer).is_err());
        let mut unsorted = key.as_bytes().to_vec();
        unsorted[4] = b'c';
        assert!(SeriesKey::from_bytes(&unsorted).is_err());
    }

    #[test]
    fn the_series_without_tags_has_a_key() {
        let key = SeriesKey::new::<&str, &str>([]).unwrap();
        assert_eq!(key.tags().count(), 0);
        assert_eq!(SeriesKey::from_bytes(key.as_bytes()).unwrap(), key);
    }
}
