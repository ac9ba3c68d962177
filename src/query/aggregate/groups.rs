//! Which group a series belongs to.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tidestone_format::SeriesId;

use crate::engine::{Engine, Snapshot};
use crate::error::Result;
use crate::flush::keys_of;

/// The groups of a query, sorted by the values of their tags.
#[derive(Debug)]
pub(super) struct Groups {
    /// The values of the tags grouped by.
    pub(super) values: Vec<Vec<String>>,
    of_series: OfSeries,
}

#[derive(Debug)]
enum OfSeries {
    One,
    /// By series; groups as the series have them.
    Each(Arc<[SeriesId]>, Vec<u32>),
}

impl Groups {
    /// One group of all series.
    pub(super) fn one() -> Self {
        Self {
            values: vec![Vec::new()],
            of_series: OfSeries::One,
        }
    }

    /// The groups that the values of `tags` make of `series`.
    pub(super) fn by_tags(
        engine: &Engine,
        snapshot: &Snapshot,
        series: Arc<[SeriesId]>,
        tags: &[String],
    ) -> Result<Self> {
        let keys = keys_of(engine, &snapshot.table, &series)?;
        let mut numbers: FxHashMap<Vec<String>, u32> = FxHashMap::default();
        let mut of_series = Vec::with_capacity(keys.len());
        for key in &keys {
            let values = tags.iter().map(|t| key.get(t).unwrap_or("").to_owned());
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            of_series.push(*numbers.entry(values.collect()).or_insert(next));
        }
        let mut sorted: Vec<(Vec<String>, u32)> = numbers.into_iter().collect();
        sorted.sort_unstable();
        let mut rank = vec![0; sorted.len()];
        let mut values = Vec::with_capacity(sorted.len());
        for (place, (tags, number)) in (0..).zip(sorted) {
            rank[number as usize] = place;
            values.push(tags);
        }
        for group in &mut of_series {
            *group = rank[*group as usize];
        }
        Ok(Self {
            values,
            of_series: OfSeries::Each(series, of_series),
        })
    }

    /// The group of a series. `near` is a place to look first; it is moved along.
    #[inline]
    pub(super) fn of(&self, series: SeriesId, near: &mut usize) -> u32 {
        match &self.of_series {
            OfSeries::One => 0,
            OfSeries::Each(all, groups) => {
                if all.get(*near) != Some(&series) {
                    *near += 1;
                }
                if all.get(*near) != Some(&series) {
                    *near = all.partition_point(|s| *s < series);
                }
                // Every series with rows in the snapshot was defined before it.
                groups.get(*near).copied().unwrap_or(0)
            }
        }
    }
}
