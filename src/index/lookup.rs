//! Looking up: keys, ids, tags and postings.

use roaring::RoaringTreemap;
use tidestone_format::{SeriesId, SeriesKey, TableId};

use super::{Family, Index, View, layout};
use crate::error::{Error, ErrorKind, Result};

impl Index {
    /// The id of the series `key` of a table, if the index has it.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn series_id(&self, table: TableId, key: &SeriesKey) -> Result<Option<SeriesId>> {
        let Some(bytes) = self.store.get(Family::Ids, &layout::by_key(table, key))? else {
            return Ok(None);
        };
        match layout::decode_id(&bytes) {
            Some(id) => Ok(Some(id)),
            None => Err(self.corrupt(format!("the id of series {key} has {} bytes", bytes.len()))),
        }
    }

    /// The key of a series of a table, if the index has it.
    ///
    /// # Errors
    /// The index cannot be read.
    #[cfg(test)]
    pub(crate) fn series_key(&self, table: TableId, id: SeriesId) -> Result<Option<SeriesKey>> {
        let bytes = self.store.get(Family::Keys, &layout::by_id(table, id))?;
        bytes.map(|bytes| self.decode_key(id, &bytes)).transpose()
    }

    /// The keys of series of a table, in the order of `ids`.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn series_keys(
        &self,
        table: TableId,
        ids: &[SeriesId],
    ) -> Result<Vec<Option<SeriesKey>>> {
        self.keys_in(&self.store.view(), table, ids)
    }

    /// The names of the tags that series of a table have, sorted.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn tag_names(&self, table: TableId) -> Result<Vec<String>> {
        self.tags(table, |ids| !layout::is_empty(ids))
    }

    /// The names of the tags that series of the table have, or had before they were forgotten, sorted.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn known_tags(&self, table: TableId) -> Result<Vec<String>> {
        self.tags(table, |_| true)
    }

    /// The names of the tags of a table whose posting is asked for.
    fn tags(&self, table: TableId, is_asked: impl Fn(&[u8]) -> bool) -> Result<Vec<String>> {
        let view = self.store.view();
        let (from, to) = layout::table_span(table);
        let mut cursor = view.cursor(Family::Postings, &from, &to)?;
        let mut names = Vec::new();
        while let Some((key, ids)) = cursor.item()? {
            let Some(posting) = layout::Posting::decode(key) else {
                return Err(self.corrupt(format!("a posting has the key {key:?}")));
            };
            let next = layout::after_tag(table, posting.tag);
            if !posting.tag.is_empty() && is_asked(ids) {
                names.push(posting.tag.to_owned());
            }
            cursor.seek(&next);
        }
        // The postings are in the order of the lengths of the names.
        names.sort_unstable();
        Ok(names)
    }

    /// The values that a tag has in a table, sorted. The empty string is among them only if a
    /// series gives it, not for series that lack the tag.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn tag_values(&self, table: TableId, tag: &str) -> Result<Vec<String>> {
        let mut values = Vec::new();
        self.each_value(&self.store.view(), table, tag, |value, _| {
            values.push(value.to_owned());
            Ok(())
        })?;
        Ok(values)
    }

    /// How many series a table has.
    ///
    /// # Errors
    /// The index cannot be read.
    #[cfg(test)]
    pub(crate) fn series_count(&self, table: TableId) -> Result<u64> {
        Ok(self.every(&self.store.view(), table)?.len())
    }

    pub(super) fn keys_in(
        &self,
        view: &View<'_>,
        table: TableId,
        ids: &[SeriesId],
    ) -> Result<Vec<Option<SeriesKey>>> {
        let keys: Vec<_> = ids.iter().map(|id| layout::by_id(table, *id)).collect();
        let mut out = Vec::with_capacity(ids.len());
        view.multi_get(Family::Keys, &keys, |at, bytes| {
            let key = bytes.map(|bytes| self.decode_key(ids[at], bytes));
            out.push(key.transpose()?);
            Ok(())
        })?;
        Ok(out)
    }

    /// Every series of a table.
    pub(super) fn every(&self, view: &View<'_>, table: TableId) -> Result<RoaringTreemap> {
        self.posting(view, Some(&layout::every(table)))
    }

    /// The series of a posting; none if there is no such posting, or can be none.
    pub(super) fn posting(&self, view: &View<'_>, key: Option<&Vec<u8>>) -> Result<RoaringTreemap> {
        let Some(key) = key else {
            return Ok(RoaringTreemap::new());
        };
        match view.get(Family::Postings, key)? {
            Some(bytes) => self.decode_ids(&bytes),
            None => Ok(RoaringTreemap::new()),
        }
    }

    /// Calls `each` with every value of a tag, in order, and the bytes of its posting.
    pub(super) fn each_value(
        &self,
        view: &View<'_>,
        table: TableId,
        tag: &str,
        mut each: impl FnMut(&str, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let Some((from, to)) = layout::values_span(table, tag) else {
            return Ok(());
        };
        let mut cursor = view.cursor(Family::Postings, &from, &to)?;
        while let Some((key, ids)) = cursor.item()? {
            let Ok(value) = std::str::from_utf8(&key[from.len()..]) else {
                return Err(self.corrupt(format!("a value of tag {tag:?} is not UTF-8")));
            };
            each(value, ids)?;
            cursor.next();
        }
        Ok(())
    }

    pub(super) fn decode_ids(&self, bytes: &[u8]) -> Result<RoaringTreemap> {
        let mut ids = RoaringTreemap::new();
        match layout::add_ids(&mut ids, bytes) {
            Some(()) => Ok(ids),
            None => Err(self.corrupt(format!("a posting of {} bytes is damaged", bytes.len()))),
        }
    }

    pub(super) fn decode_key(&self, id: SeriesId, bytes: &[u8]) -> Result<SeriesKey> {
        SeriesKey::from_bytes(bytes)
            .map_err(|e| self.corrupt(format!("the key of series {id}: {e}")))
    }

    pub(super) fn corrupt(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Corrupt, message).with_path(self.store.path())
    }
}
