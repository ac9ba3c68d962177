//! Rows as they were written: `query` without aggregates, `last` and `export`.

use rustc_hash::FxHashMap;
use tidestone::{Field, RowBatch, RowStream, SeriesId};

use super::output::Output;
use crate::engine::csv::{ColumnKind, typed_name};
use crate::outcome::Run;
use crate::scalar::Scalar;
use crate::time::rfc3339;

/// The tags of so many series are kept; more are looked up again.
const MOST_KEYS: usize = 100_000;

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
    pub(crate) fn columns(&self, fields: &[Field]) -> Vec<String> {
        self.kinds(fields)
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// The names of the columns, with what they are.
    pub(crate) fn typed_columns(&self, fields: &[Field]) -> Vec<String> {
        self.kinds(fields)
            .map(|(name, kind)| typed_name(name, kind))
            .collect()
    }

    fn kinds<'b>(&'b self, fields: &'b [Field]) -> impl Iterator<Item = (&'b str, ColumnKind)> {
        let tags = self.tags.iter().map(|tag| (tag.as_str(), ColumnKind::Tag));
        let field = |f: &'b Field| (f.name.as_str(), ColumnKind::Field(f.field_type));
        std::iter::once(("time", ColumnKind::Time))
            .chain(tags)
            .chain(fields.iter().map(field))
    }

    /// Prints the rows of a batch; `keys` knows the tags of its series.
    pub(crate) fn print(
        &mut self,
        batch: &RowBatch,
        keys: &RowStream,
        output: &mut Output<'_>,
    ) -> Run<()> {
        for run in batch.runs() {
            if self.keys.len() >= MOST_KEYS {
                self.keys.clear();
            }
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
