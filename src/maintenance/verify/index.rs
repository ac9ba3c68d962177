//! Whether the index agrees with itself and with the segments.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use tidestone_format::log::SeriesDefinition;
use tidestone_format::manifest::{Replay, State};
use tidestone_format::{FileUuid, TableId};

use super::{Verifier, is_damage};
use crate::config::Options;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Applied, Forgetting, Index};
use crate::maintenance::Damage;
use crate::recover;
use crate::store::Segments;

/// Memory of the index while it is read, in bytes.
const MEMORY: usize = 32 << 20;
/// Series that are compared at a time.
const AT_ONCE: usize = 16 << 10;

impl Verifier {
    /// Reads the whole index, without a write, and compares it with what it has taken in of segments and manifest.
    pub(super) fn index(&mut self, replayed: &Replay, database: FileUuid) -> Result<()> {
        let folder = self.folders.index();
        let state = &replayed.state;
        let ground = Applied {
            incarnation: state.incarnation(),
            manifest_version: replayed.version,
            lsn: state.flushed(),
            forgetting: Forgetting::with(state.forgetting()),
        };
        let opened = Index::open_read_only(&folder, MEMORY, database)?;
        let (index, upto) = match recover::judge(opened, ground) {
            Ok(found) => found,
            Err(why) => {
                self.note(
                    &folder,
                    format_args!("it is made anew at the next open: {why}"),
                );
                return Ok(());
            }
        };
        let mut comparison = Comparison::begin(&index, state);
        let options = Options {
            read_mode: self.read_mode,
            ..Options::default()
        };
        let memory = options.segment_memory();
        let segments = Segments::new(self.disk.clone(), &self.folders, database, memory)?;
        for entry in state.segments().values() {
            let segment = segments.segment(entry);
            let mut due = Vec::new();
            let all = segment.each_series(|definition| {
                due.push(definition);
                Ok(())
            });
            match all {
                Ok(()) => {}
                // It was told with the segment.
                Err(error) if is_damage(&error) => {
                    comparison.some_are_not_known(entry.table);
                    continue;
                }
                Err(error) => return Err(error),
            }
            let must_have = entry.last_lsn <= upto;
            comparison.take(&due, "a segment", must_have);
        }
        // Of those that only the manifest defines some may be on their way out.
        let lone: Vec<SeriesDefinition> = state.series().values().cloned().collect();
        for some in lone.chunk_by(|a, b| a.table == b.table) {
            comparison.take(some, "the manifest", false);
        }
        match comparison.finish() {
            Err(error) if Index::is_damage(&error) => {
                let mut damage = Damage::of(&error, &folder);
                damage.what += "; `tidestone rebuild-index` makes it anew";
                self.report.damage.push(damage);
                Ok(())
            }
            other => other,
        }
    }
}

/// An index beside what manifest and segments say: it has all series that it must have, by their keys,
/// and none that nothing defines.
struct Comparison<'a> {
    index: &'a Index,
    /// The series of the index that nothing has defined so far, of the tables there are.
    undefined: BTreeMap<TableId, RoaringTreemap>,
    /// The first contradiction.
    outcome: Result<()>,
}

impl<'a> Comparison<'a> {
    fn begin(index: &'a Index, state: &State) -> Self {
        let tables = state.tables().keys();
        let series = tables.map(|table| Ok((*table, index.select(*table, &[])?)));
        let (undefined, outcome) = match index.verify().and_then(|_| series.collect()) {
            Ok(undefined) => (undefined, Ok(())),
            Err(error) => (BTreeMap::new(), Err(error)),
        };
        Self {
            index,
            undefined,
            outcome,
        }
    }

    /// Takes in series of one table that `ground` defines.
    fn take(&mut self, series: &[SeriesDefinition], ground: &str, must_have: bool) {
        for definition in series {
            if let Some(undefined) = self.undefined.get_mut(&definition.table) {
                undefined.remove(definition.id.0);
            }
        }
        for some in series.chunks(AT_ONCE) {
            if self.outcome.is_ok() {
                self.outcome = compare(self.index, some, ground, must_have);
            }
        }
    }

    /// What defines series of that table cannot be read.
    fn some_are_not_known(&mut self, table: TableId) {
        self.undefined.remove(&table);
    }

    fn finish(self) -> Result<()> {
        self.outcome?;
        for (table, ids) in self.undefined {
            if let Some(id) = ids.min() {
                let message = format!(
                    "it has {} series of table {table} that neither manifest nor segments define; the \
                     first is {id}",
                    ids.len()
                );
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
        }
        Ok(())
    }
}

/// Fails if the index has other keys for series than `ground` says, or none where it must have one.
fn compare(
    index: &Index,
    series: &[SeriesDefinition],
    ground: &str,
    must_have: bool,
) -> Result<()> {
    let Some(table) = series.first().map(|d| d.table) else {
        return Ok(());
    };
    let ids: Vec<_> = series.iter().map(|d| d.id).collect();
    let keys = index.series_keys(table, &ids)?;
    for (definition, key) in series.iter().zip(keys) {
        let lacks = key.is_none() && !must_have;
        if key.as_ref() != Some(&definition.key) && !lacks {
            let message = format!(
                "series {} of table {table} is {} in {ground} and {} in the index",
                definition.id,
                definition.key,
                key.map_or("missing".to_owned(), |key| key.to_string())
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
    }
    Ok(())
}
