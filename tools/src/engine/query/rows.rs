//! Rows as they were written: `query` without aggregates, `last` and `export`.

use rustc_hash::FxHashMap;
use tidestone::{RowBatch, RowStream, SeriesId};

use super::output::Output;
use crate::outcome::Run;
use crate::scalar::Scalar;
use crate::time::rfc3339;

/// Prints rows with the tags of their series.
pub(crate) struct RowPrinter<'a> {
    tags: &'a [String],
    keys: FxHashMap<SeriesId, Vec<Scalar>>,
}

impl<'a> RowPrinter<'a> {
    /// `tags` are the columns of tags.
    pub(crate) fn new(tags: &'a [String]) -> Self {
        Self {
            tags,
            keys: FxHashMap::default(),
        }
    }

    /// The names of the columns.
    pub(crate) fn columns<'b>(&self, fields: impl IntoIterator<Item = &'b str>) -> Vec<String> {
        let time = std::iter::once("time".to_owned());
        let fields = fields.into_iter().map(str::to_owned);
        time.chain(self.tags.iter().cloned())
            .chain(fields)
            .collect()
    }

    /// Prints the rows of a batch; `keys` knows the tags of its series.
    pub(crate) fn print(
        &mut self,
        batch: &RowBatch,
        keys: &RowStream,
        output: &mut Output<'_>,
    ) -> Run<()> {
        for run in batch.runs() {
            let tags = match self.keys.entry(run.series) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(new) => {
                    let key = keys.key(run.series)?;
                    let value = |tag: &String| match key.get(tag) {
                        Some(value) => Scalar::Text(value.to_owned()),
                        None => Scalar::Null,
                    };
                    new.insert(self.tags.iter().map(value).collect())
                }
            };
            for row in run.rows.clone() {
                let time = Scalar::Text(rfc3339(batch.times()[row]));
                let values = (0..batch.columns().len()).map(|c| batch.value(row, c).into());
                let cells = std::iter::once(time).chain(tags.iter().cloned());
                output.row(cells.chain(values))?;
            }
        }
        Ok(())
    }
}
