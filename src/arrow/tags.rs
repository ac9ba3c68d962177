//! Tags become dictionaries: a value is there once in a batch, however many rows it is of.

use std::iter::repeat_n;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use rustc_hash::FxHashMap;
use tidestone_format::{SeriesId, SeriesKey};

use super::arrays::{too_much_text, unfit};
use crate::error::Result;
use crate::query::SeriesRun;

/// Whose the rows of a batch are.
#[derive(Debug)]
pub(super) struct SeriesOfRows {
    /// Each series once, in the order in which they come first.
    pub(super) series: Vec<SeriesId>,
    /// Consecutive rows: the place of their series above, and how many they are.
    runs: Vec<(usize, usize)>,
}

impl SeriesOfRows {
    pub(super) fn new(runs: &[SeriesRun]) -> Self {
        let mut places = FxHashMap::default();
        let mut series = Vec::new();
        let runs = runs.iter().map(|run| {
            let place = *places.entry(run.series).or_insert_with(|| {
                series.push(run.series);
                series.len() - 1
            });
            (place, run.rows.len())
        });
        let runs = runs.collect();
        Self { series, runs }
    }

    /// The column of a tag; `keys` are those of the series.
    pub(super) fn column(&self, tag: &str, keys: &[SeriesKey]) -> Result<ArrayRef> {
        let mut codes: FxHashMap<&str, i32> = FxHashMap::default();
        let (mut values, mut next, mut text) = (Vec::new(), 0, 0);
        let of_series: Vec<Option<i32>> = keys
            .iter()
            .map(|key| {
                let value = key.get(tag)?;
                Some(*codes.entry(value).or_insert_with(|| {
                    values.push(value);
                    text += value.len() as u64;
                    next += 1;
                    next - 1
                }))
            })
            .collect();
        if i32::try_from(text).is_err() {
            return Err(too_much_text(tag, text));
        }
        let of_rows = self.runs.iter();
        let of_rows: Int32Array = of_rows
            .flat_map(|&(place, rows)| repeat_n(of_series[place], rows))
            .collect();
        let values = Arc::new(StringArray::from_iter_values(values));
        let dictionary = DictionaryArray::<Int32Type>::try_new(of_rows, values);
        Ok(Arc::new(dictionary.map_err(unfit)?))
    }
}
