//! Reading a database beside the process that writes to it.
//!
//! A reader takes what is on disk at one moment: the manifest, the series of every segment it names,
//! and the log. The writer may flush and recycle log files in between; then the log no longer joins
//! the manifest that was read, and the reader starts over. Rows of segments are read when they are
//! asked for: a file that the writer has removed by then is an error that says to reopen.

use std::path::Path;
use std::sync::Arc;

use tidestone_format::log::SeriesDefinition;
use tidestone_format::{Lsn, TableId};

use crate::catalog::{SeriesRegistry, Tables};
use crate::config::Options;
use crate::engine::{Engine, Parts};
use crate::error::{Error, ErrorKind, Result};
use crate::head::Head;
use crate::index::{Applied, Index};
use crate::recover::{self, Components};
use crate::store::{Folders, Manifest, Store};
use crate::wal;

/// How often a reader starts over when the writer was quicker.
const ATTEMPTS: usize = 16;

/// Opens a database for reading.
pub(crate) fn open(path: &Path, components: &Components, options: Options) -> Result<Engine> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match attempt(path, components, options.clone()) {
            // Damage is damage only if it is still there when the files are read again.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                if last
                    .as_ref()
                    .is_some_and(|l: &Error| l.to_string() == error.to_string())
                {
                    return Err(error);
                }
                last = Some(error);
            }
            Err(error) => return Err(error),
            Ok(Some(engine)) => return Ok(engine),
            Ok(None) => {}
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::Busy, "the writer was always quicker")))
}

/// Reads what there is. `None`: the writer was quicker.
fn attempt(path: &Path, components: &Components, options: Options) -> Result<Option<Engine>> {
    let Components {
        disk,
        clock,
        random,
        ..
    } = components.clone();
    let folders = Folders::new(path);
    let (database, _) = recover::identity(&*disk, &folders)?;
    let manifest = Manifest::open_read_only(disk.clone(), &folders.manifest(), database)?;
    let incarnation = manifest.state().incarnation();
    let next_series = manifest.state().next_series();
    let lone: Vec<SeriesDefinition> = manifest.state().series().values().cloned().collect();
    let memory = options.segment_memory();
    let store = Store::new(disk.clone(), folders.clone(), database, manifest, memory)?;
    let version = store.version();
    let applied = Applied {
        incarnation,
        manifest_version: version.number,
        lsn: version.flushed,
    };
    let empty = Applied {
        incarnation,
        manifest_version: 0,
        lsn: Lsn(0),
    };
    let index = Index::open_in_memory(options.index_bytes(), database, empty)?;
    recover::catch_up(&index, &version, &lone, Lsn(0), applied)?;
    let tables = Tables::default();
    for table in version.tables.values() {
        tables
            .put(table.schema.as_ref().clone())
            .raise_horizon(table.horizon);
    }
    let series = SeriesRegistry::new(Arc::new(index), next_series);
    let mut head = Head::default();
    let wal = folders.wal();
    let mut read_upto = version.flushed;
    wal::replay(
        &wal::LogFiles {
            disk: &*disk,
            dir: &wal,
            database,
            incarnation,
            exclusive: false,
        },
        version.flushed,
        wal::Missing::Refused,
        |frame| {
            read_upto = frame.header.lsn;
            recover::take_in(&mut head, &series, &tables, TableId(u32::MAX), frame)
        },
    )?;
    // A log file that was recycled while it was read looks like the end of the log. That is done
    // only once its last LSN is flushed: if no more is flushed than was read, nothing was missed.
    let newest = Manifest::open_read_only(disk.clone(), &folders.manifest(), database)?;
    if newest.state().flushed() > read_upto {
        return Ok(None);
    }
    store.fall_behind();
    Ok(Some(Engine::new(Parts {
        options,
        clock,
        random,
        store,
        series,
        tables,
        log: None,
        head,
        index_rebuilt: false,
        read_upto,
    })))
}
