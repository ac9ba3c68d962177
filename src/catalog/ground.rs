//! Filling the index from the ground state.

use std::path::PathBuf;
use std::sync::Arc;

use roaring::RoaringTreemap;
use tidestone_format::log::SeriesDefinition;
use tidestone_format::{FileUuid, Lsn, SeriesId};

use crate::error::Result;
use crate::index::{Applied, Forgetting, Index};
use crate::store::{Store, Version};

/// Whose index it is and where it lies.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) folder: PathBuf,
    /// Memory it may use, in bytes.
    pub(crate) memory: usize,
    pub(crate) database: FileUuid,
}

/// What an index has that has taken in a version.
pub(crate) fn applied(version: &Version) -> Applied {
    Applied {
        incarnation: version.incarnation,
        manifest_version: version.number,
        lsn: version.flushed,
        forgetting: Forgetting::with(version.forgetting),
    }
}

/// What an empty index has that is to take in a version.
pub(crate) fn nothing(version: &Version) -> Applied {
    Applied {
        manifest_version: 0,
        lsn: Lsn(0),
        ..applied(version)
    }
}

impl Ground {
    /// An index made anew from what manifest and segments hold now, but for series that are gone.
    pub(super) fn rebuild(
        &self,
        store: &Store,
        is_gone: impl Fn(SeriesId) -> bool,
    ) -> Result<Index> {
        // In this order: a definition that moves between the two is in the one that is read later.
        let version: Arc<Version> = store.version();
        let empty = nothing(&version);
        let index = Index::create(&self.folder, self.memory, self.database, empty)?;
        let mut lone = store.lone_series()?;
        lone.retain(|definition| !is_gone(definition.id));
        catch_up(&index, &version, &lone, Lsn(0))?;
        Ok(index)
    }
}

/// Gives the index the definitions of a version and of its manifest's series above `from`, and says how
/// many.
pub(crate) fn catch_up(
    index: &Index,
    version: &Version,
    lone: &[SeriesDefinition],
    from: Lsn,
) -> Result<u64> {
    const AT_ONCE: usize = 65_536;
    let applied = applied(version);
    let mut due = lone.to_vec();
    if from > Lsn(0) {
        // One whose key has a later id was being forgotten when the process ended.
        let mut later = Vec::new();
        for definition in &due {
            let known = index.series_id(definition.table, &definition.key)?;
            later.push(known.is_some_and(|id| id > definition.id));
        }
        let mut later = later.into_iter();
        due.retain(|_| !later.next().unwrap_or(false));
    }
    // Many segments may have the same one.
    let mut ids: RoaringTreemap = due.iter().map(|definition| definition.id.0).collect();
    for table in version.tables.values() {
        for segment in table.segments.iter().filter(|s| s.entry.last_lsn > from) {
            segment.each_series(|definition| {
                ids.insert(definition.id.0);
                due.push(definition);
                if due.len() >= AT_ONCE {
                    let partly = Applied {
                        lsn: from,
                        manifest_version: 0,
                        ..applied
                    };
                    index.apply(&due, partly)?;
                    due.clear();
                }
                Ok(())
            })?;
        }
    }
    index.apply(&due, applied)?;
    Ok(ids.len())
}
