//! Whether the parts of the index agree.

use super::{Definition, Family, Index, View, layout, postings};
use crate::error::Result;

/// Series whose postings are checked at a time.
const CHUNK: usize = 16 << 10;

impl Index {
    /// Reads the whole index and checks that keys, ids and postings say the same; answers how
    /// many series there are.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) with the first contradiction; or the
    /// index cannot be read.
    pub(crate) fn verify(&self) -> Result<u64> {
        let view = self.store.view();
        let (mut series, mut posted, mut superseded) = (0, 0, 0);
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut cursor = view.cursor(Family::Keys, &[], layout::END)?;
        while let Some((place, bytes)) = cursor.item()? {
            let Some((table, id)) = layout::split_by_id(place) else {
                return Err(self.corrupt(format!("a series key stands at {place:?}")));
            };
            let key = self.decode_key(id, bytes)?;
            chunk.push(Definition { table, id, key });
            cursor.next();
            series += 1;
            if chunk.len() == CHUNK {
                posted += self.verify_series(&view, &chunk, &mut superseded)?;
                chunk.clear();
            }
        }
        posted += self.verify_series(&view, &chunk, &mut superseded)?;
        // All that should be there is there; as many are there as should be.
        self.verify_count(&view, Family::Ids, series - superseded, |_| Ok(1))?;
        self.verify_count(&view, Family::Postings, posted, |ids| {
            Ok(self.decode_ids(ids)?.len())
        })?;
        Ok(series)
    }

    /// Checks that the keys of series have their ids and are in all their postings; answers in
    /// how many. A key may have a later id: the series was being forgotten.
    fn verify_series(
        &self,
        view: &View<'_>,
        series: &[Definition],
        superseded: &mut u64,
    ) -> Result<u64> {
        for Definition { table, id, key } in series {
            let found = view.get(Family::Ids, &layout::by_key(*table, key))?;
            let found = found.and_then(|bytes| layout::decode_id(&bytes));
            if found.is_some_and(|later| later > *id)
                && self.keys_in(view, *table, &found.map_or(vec![], |id| vec![id]))?
                    == [Some(key.clone())]
            {
                *superseded += 1;
            } else if found != Some(*id) {
                let message = format!("series {id} has the key {key}, which has the id {found:?}");
                return Err(self.corrupt(message));
            }
        }
        let mut posted = 0;
        let series: Vec<&Definition> = series.iter().collect();
        for (key, ids) in postings(&series) {
            let found = self.posting(view, Some(&key))?;
            if let Some(id) = ids.iter().find(|id| !found.contains(**id)) {
                let posting = layout::Posting::decode(&key);
                return Err(self.corrupt(format!("series {id} is missing in {posting:?}")));
            }
            posted += ids.len() as u64;
        }
        Ok(posted)
    }

    fn verify_count(
        &self,
        view: &View<'_>,
        family: Family,
        expected: u64,
        count: impl Fn(&[u8]) -> Result<u64>,
    ) -> Result<()> {
        let mut counted = 0;
        let mut cursor = view.cursor(family, &[], layout::END)?;
        while let Some((_, value)) = cursor.item()? {
            counted += count(value)?;
            cursor.next();
        }
        if counted == expected {
            return Ok(());
        }
        let message = format!("{family:?} name {counted} series, the keys {expected}");
        Err(self.corrupt(message))
    }
}
