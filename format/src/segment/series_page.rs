//! Series pages: which series a segment has, and which rows are whose.

use std::ops::Range;
use std::sync::OnceLock;

use crate::bytes::{Reader, put_part, put_varint};
use crate::codec::{integer, text};
use crate::segment::SeriesPageRef;
use crate::version::{MAX_PAGE_KEYS, PAGE_SERIES};
use crate::{FormatError, Result, SeriesId, SeriesKey, TimeRange};

/// The rows of one series in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRows {
    /// The series.
    pub id: SeriesId,
    /// Its rows, counted from the start of the segment.
    pub rows: Range<u64>,
    /// First and last timestamp.
    pub times: TimeRange,
}

/// A run of series, ascending by id.
#[derive(Debug)]
pub struct SeriesPage {
    ids: Vec<u64>,
    /// Row where each series starts, and where the last one ends.
    bounds: Vec<u64>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    /// Where each key ends in the text of keys.
    key_ends: Vec<usize>,
    stored_keys: text::Stored,
    keys: OnceLock<Box<[u8]>>,
    /// Offset of the page in the file.
    offset: u64,
}

impl SeriesPage {
    /// Decodes the page that `reference` points to.
    ///
    /// # Errors
    /// The page is damaged or another than the root says. Offsets are those in the file.
    pub fn decode(bytes: &[u8], reference: &SeriesPageRef) -> Result<Self> {
        Self::read(bytes, reference).map_err(|e| e.at_base(reference.region.offset))
    }

    fn read(bytes: &[u8], reference: &SeriesPageRef) -> Result<Self> {
        let mut r = Reader::new(bytes, "series page");
        let count = r.count(PAGE_SERIES)?;
        if count != reference.series as usize {
            let expected = format_args!("{} series", reference.series).to_string();
            return Err(r.invalid_at(0, expected, count));
        }
        let mut column = |what| {
            r.part(what, |r| {
                let mut values = vec![0i64; count];
                integer::decode(r, &mut values)?;
                Ok(values)
            })
        };
        let ids = column("series ids")?;
        let rows = column("rows of series")?;
        let firsts = column("first timestamps")?;
        let lasts = column("last timestamps")?;
        let key_lens = column("lengths of keys")?;
        let at = r.position();
        let packed = text::read(&mut r, MAX_PAGE_KEYS)?;
        r.finish()?;

        let ids: Vec<u64> = ids.into_iter().map(i64::cast_unsigned).collect();
        let range = (ids.first().copied(), ids.last().copied());
        let expected = (
            Some(reference.first_series.0),
            Some(reference.last_series.0),
        );
        if range != expected || !ids.is_sorted_by(|a, b| a < b) {
            return Err(r.invalid_at(
                0,
                format_args!("ascending ids, {expected:?}"),
                format_args!("{range:?}"),
            ));
        }
        let mut bounds = Vec::with_capacity(count + 1);
        let mut row = reference.first_row;
        bounds.push(row);
        for &n in &rows {
            let next = u64::try_from(n).ok().filter(|&n| n > 0);
            let Some(next) = next.and_then(|n| row.checked_add(n)) else {
                return Err(r.invalid_at(0, "at least one row a series", n));
            };
            row = next;
            bounds.push(row);
        }
        if let Some(i) = (0..count).find(|&i| firsts[i] > lasts[i]) {
            return Err(r.invalid_at(
                0,
                format_args!("a last timestamp from {} on", firsts[i]),
                lasts[i],
            ));
        }
        let mut key_ends = Vec::with_capacity(count);
        let mut end = 0usize;
        for &len in &key_lens {
            let next = usize::try_from(len)
                .ok()
                .and_then(|len| end.checked_add(len));
            end = next.unwrap_or(usize::MAX);
            key_ends.push(end);
        }
        if end != packed.plain_len() || !key_ends.is_sorted() {
            return Err(r.invalid_at(
                at,
                format_args!("lengths of {} bytes of keys", packed.plain_len()),
                end,
            ));
        }
        Ok(Self {
            ids,
            bounds,
            firsts,
            lasts,
            key_ends,
            stored_keys: packed.to_stored(),
            keys: OnceLock::new(),
            offset: reference.region.offset,
        })
    }

    /// Bytes of memory it takes, about, its keys decompressed, which they may be yet.
    pub fn memory(&self) -> usize {
        let series = 3 * size_of::<u64>() + size_of::<i64>() + size_of::<usize>();
        size_of::<Self>() + self.len() * series + self.stored_keys.memory()
    }

    /// The number of series.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no series: never, in a page that was decoded.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The id of series `i`.
    pub fn id(&self, i: usize) -> Option<SeriesId> {
        self.ids.get(i).copied().map(SeriesId)
    }

    /// The ids, ascending.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = SeriesId> {
        self.ids.iter().copied().map(SeriesId)
    }

    /// The number of the series `id` in the page.
    pub fn find(&self, id: SeriesId) -> Option<usize> {
        self.ids.binary_search(&id.0).ok()
    }

    /// The rows of series `i`.
    pub fn rows(&self, i: usize) -> Option<SeriesRows> {
        Some(SeriesRows {
            id: self.id(i)?,
            rows: *self.bounds.get(i)?..*self.bounds.get(i + 1)?,
            times: TimeRange {
                start: *self.firsts.get(i)?,
                end: *self.lasts.get(i)?,
            },
        })
    }

    /// The rows of every series.
    pub fn iter(&self) -> impl Iterator<Item = SeriesRows> {
        (0..self.len()).filter_map(|i| self.rows(i))
    }

    /// All rows of the page.
    pub fn row_range(&self) -> Range<u64> {
        let first = self.bounds.first().copied().unwrap_or_default();
        first..self.bounds.last().copied().unwrap_or(first)
    }

    /// The number of the series that has row `row` of the segment.
    pub fn series_of_row(&self, row: u64) -> Option<usize> {
        let i = self.bounds.partition_point(|&start| start <= row);
        (1..self.bounds.len()).contains(&i).then(|| i - 1)
    }

    /// The bytes of the key of series `i`. The first call decompresses the keys of the page.
    ///
    /// # Errors
    /// There is no such series, or the keys do not decompress.
    pub fn key_bytes(&self, i: usize) -> Result<&[u8]> {
        let Some(&end) = self.key_ends.get(i) else {
            return Err(FormatError::invalid(
                "series of a page",
                self.offset,
                format_args!("a number below {}", self.len()),
                i,
            ));
        };
        let start = if i == 0 { 0 } else { self.key_ends[i - 1] };
        let keys = match self.keys.get() {
            Some(keys) => keys,
            None => {
                let keys = self.stored_keys.bytes();
                let keys = keys.map_err(|e| e.at_base(self.offset))?;
                self.keys
                    .get_or_init(|| keys.into_owned().into_boxed_slice())
            }
        };
        Ok(&keys[start..end])
    }

    /// The key of series `i`.
    ///
    /// # Errors
    /// As [`SeriesPage::key_bytes`], or the bytes are not a key.
    pub fn key(&self, i: usize) -> Result<SeriesKey> {
        SeriesKey::from_bytes(self.key_bytes(i)?).map_err(|e| {
            let FormatError { kind, what, .. } = e;
            FormatError::new(kind, what, self.offset, e.expected, e.actual)
        })
    }
}

/// Collects series until a page is full.
#[derive(Debug, Default)]
pub(crate) struct PageBuilder {
    ids: Vec<i64>,
    rows: Vec<i64>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    key_lens: Vec<i64>,
    keys: Vec<u8>,
}

impl PageBuilder {
    /// Whether a series with a key of `key_len` bytes needs another page.
    pub(crate) fn is_full_for(&self, key_len: usize) -> bool {
        self.ids.len() == PAGE_SERIES || self.keys.len() + key_len > MAX_PAGE_KEYS
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Adds a series that has no rows yet.
    pub(crate) fn start(&mut self, id: SeriesId, key: &[u8], time: i64) {
        self.ids.push(id.0.cast_signed());
        self.rows.push(0);
        self.firsts.push(time);
        self.lasts.push(time);
        // At most MAX_PAGE_KEYS.
        self.key_lens
            .push(i64::try_from(key.len()).unwrap_or(i64::MAX));
        self.keys.extend_from_slice(key);
    }

    /// Adds `rows` rows up to time `last` to the series that was started last.
    pub(crate) fn grow(&mut self, rows: usize, last: i64) {
        if let (Some(n), Some(time)) = (self.rows.last_mut(), self.lasts.last_mut()) {
            *n += i64::try_from(rows).unwrap_or(i64::MAX);
            *time = last;
        }
    }

    /// Appends the page, and starts anew. Says the first and last id.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Option<(SeriesId, SeriesId)> {
        let ends = (
            SeriesId(self.ids.first()?.cast_unsigned()),
            SeriesId(self.ids.last()?.cast_unsigned()),
        );
        put_varint(out, self.ids.len() as u64);
        let mut scratch = Vec::new();
        for column in [
            &mut self.ids,
            &mut self.rows,
            &mut self.firsts,
            &mut self.lasts,
            &mut self.key_lens,
        ] {
            put_part(out, &mut scratch, |out| {
                integer::encode(column, out);
            });
            column.clear();
        }
        text::put(&self.keys, out);
        self.keys.clear();
        Some(ends)
    }
}
