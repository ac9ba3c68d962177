//! The keys of series that the log has rows of and that only segments or frames defined that are to be dropped.

use std::collections::{BTreeMap, BTreeSet};

use tidestone_format::log::{Selection, SeriesDefinition, Tombstone};
use tidestone_format::{Lsn, SeriesId, TableId, TimeRange};

use super::repair::Step;
use super::verify::is_damage;
use crate::catalog;
use crate::engine::Engine;
use crate::error::Result;
use crate::index::{Applied, Index, Opened};
use crate::recover;
use crate::store::Segment;

/// Series by table.
#[derive(Debug)]
pub(super) struct Nameless(BTreeMap<TableId, BTreeSet<SeriesId>>);

impl Nameless {
    /// The series that an engine has rows of in memory, and no keys.
    pub(super) fn of(engine: &Engine) -> Result<Self> {
        let mut nameless = BTreeMap::new();
        let tables = engine.lock_head().tables();
        for table in tables {
            let view = engine.lock_head().view(table);
            let mut ids = BTreeSet::new();
            for chunk in &view.chunks {
                ids.extend(chunk.sorted().series.iter().copied());
            }
            let all: Vec<SeriesId> = ids.iter().copied().collect();
            let keys = engine.series.keys(table, &all)?;
            for (id, _) in all.iter().zip(keys).filter(|(_, key)| key.is_some()) {
                ids.remove(id);
            }
            if !ids.is_empty() {
                nameless.insert(table, ids);
            }
        }
        Ok(Self(nameless))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes keys from what can be read of a damaged segment.
    pub(super) fn look_in_segment(&mut self, engine: &Engine, segment: &Segment) -> Result<()> {
        let read = segment.each_series(|definition| {
            self.define(engine, definition);
            Ok(())
        });
        match read {
            Err(error) if !is_damage(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes keys from the index as it was found, if it is of the incarnation of the log, and of no later version
    /// of the manifest than `last_version`: then an id is the same series in both.
    pub(super) fn look_in_index(
        &mut self,
        engine: &Engine,
        opened: Opened,
        last_version: u64,
    ) -> Result<()> {
        let ground = Applied {
            manifest_version: last_version,
            // How far the log was flushed in the last version is not known where that is damaged.
            lsn: Lsn(u64::MAX),
            ..catalog::applied(&engine.store.version())
        };
        let Ok((index, _)) = recover::judge(opened, ground) else {
            return Ok(());
        };
        let wanted: Vec<(TableId, Vec<SeriesId>)> = self
            .0
            .iter()
            .map(|(table, ids)| (*table, ids.iter().copied().collect()))
            .collect();
        for (table, ids) in wanted {
            let keys = match index.series_keys(table, &ids) {
                Err(error) if Index::is_damage(&error) => return Ok(()),
                keys => keys?,
            };
            for (id, key) in ids.into_iter().zip(keys) {
                if let Some(key) = key {
                    self.define(engine, SeriesDefinition { table, id, key });
                }
            }
        }
        Ok(())
    }

    fn define(&mut self, engine: &Engine, definition: SeriesDefinition) {
        let Some(ids) = self.0.get_mut(&definition.table) else {
            return;
        };
        if ids.remove(&definition.id) {
            if ids.is_empty() {
                self.0.remove(&definition.table);
            }
            // Its rows are going to be flushed, with the key.
            engine.series.replay(definition, Lsn(1), true);
        }
    }

    /// Deletes the rows of the series that nothing told the keys of, and says which.
    pub(super) fn drop_rows(self, engine: &Engine) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let version = engine.store.version();
        for (table, ids) in self.0 {
            let Some(of) = version.tables.get(&table) else {
                continue;
            };
            let view = engine.lock_head().view(table);
            let mut rows = 0;
            for chunk in &view.chunks {
                let chunk = chunk.sorted();
                rows += chunk.series.iter().filter(|id| ids.contains(id)).count() as u64;
            }
            steps.push(Step::DropNameless {
                table: table.0,
                series: ids.len() as u64,
                rows,
            });
            let tombstone = Tombstone {
                table,
                selection: Selection::Series(ids.into_iter().collect()),
                range: TimeRange::ALL,
            };
            // An LSN behind all that was read, each its own.
            let lsn = Lsn(engine.visible_lsn().0.saturating_add(1));
            engine.see_more(|head| {
                head.delete(table, of.schema.settings.policy, lsn, tombstone);
                Ok(lsn)
            })?;
        }
        Ok(steps)
    }
}
