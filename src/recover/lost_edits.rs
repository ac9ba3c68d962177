//! Whether log and segments tell of edits that the manifest has lost.
//!
//! An edit that makes a table, or gives it a field, is synced before a row of it is taken. So where the
//! log, or a segment that no manifest names, has a table or field whose id the manifest has yet to give,
//! its last edits are gone: cut off, or written over with zeros, as no power loss does it. Segments that
//! no manifest names are then not the leftovers of a crash, and stay.

use std::path::Path;

use rustc_hash::FxHashMap;
use tidestone_format::log::{Frame, Record};
use tidestone_format::manifest::State;
use tidestone_format::{FieldId, FileUuid, TableId};

use crate::error::{Error, Result};
use crate::io::Disk;
use crate::store::Outline;

/// What to do about a manifest whose last edits are missing.
pub(crate) const LOST_EDITS: &str =
    "restore the manifest from a backup, or run `tidestone repair` to go on without them";

/// The ids that a manifest has given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    next_table: TableId,
    /// The id that the next field of a table gets. What a table had that was dropped is not known.
    next_fields: FxHashMap<TableId, u32>,
}

impl Given {
    /// Those of a manifest in this state.
    pub(crate) fn of(state: &State) -> Self {
        let tables = state.tables().values();
        Self {
            next_table: state.next_table(),
            next_fields: tables.map(|t| (t.id, t.next_field_id)).collect(),
        }
    }

    /// Fails for a record of the log, whose file the caller names, that has a table or field beyond them.
    pub(crate) fn check(&self, frame: &Frame<'_>, record: &Record) -> Result<()> {
        let missing = match record {
            Record::Batch(sections) => sections.iter().find_map(|section| {
                let last = section.columns.last().map(|(field, _)| *field);
                self.beyond(section.table, last)
            }),
            Record::SeriesDefinitions(definitions) => {
                definitions.iter().find_map(|d| self.beyond(d.table, None))
            }
            _ => None,
        };
        let Some(missing) = missing else {
            return Ok(());
        };
        let message = format!("LSN {} of the log is of {missing}", frame.header.lsn);
        Err(Error::corrupt(Path::new("log"), frame.offset, message).advising(LOST_EDITS))
    }

    /// As [`Given::check`], of a frame that was not decoded. One that cannot be tells nothing.
    pub(crate) fn check_frame(&self, frame: &Frame<'_>) -> Result<()> {
        match Record::decode(frame.header.kind, frame.payload) {
            Ok(record) => self.check(frame, &record),
            Err(_) => Ok(()),
        }
    }

    /// Fails for a segment, which no manifest names, that has a table or field beyond them. One that
    /// cannot be read, or is of another database, tells nothing.
    pub(crate) fn check_stray(
        &self,
        disk: &dyn Disk,
        path: &Path,
        database: FileUuid,
    ) -> Result<()> {
        let outline = disk.open(path).and_then(|file| {
            let len = file.len()?;
            Outline::read(&*file, len)
        });
        let outline =
            outline.map_err(|e| Error::io("read a segment no manifest names", path, e))?;
        let Ok(Outline { header, root, .. }) = outline else {
            return Ok(());
        };
        let last = root.columns.last().map(|field| field.id);
        match self.beyond(root.table, last) {
            Some(missing) if header.database == database => {
                let message = format!("no manifest names it, and it is of {missing}");
                Err(Error::corrupt(path, 0, message).advising(LOST_EDITS))
            }
            _ => Ok(()),
        }
    }

    /// What is beyond them of a table and the last of some fields of it.
    fn beyond(&self, table: TableId, last: Option<FieldId>) -> Option<String> {
        const LOST: &str = "its last edits are missing";
        if table >= self.next_table {
            let next = self.next_table;
            return Some(format!(
                "table {table}, the manifest knows those below {next}: {LOST}"
            ));
        }
        let (last, next) = (last?, *self.next_fields.get(&table)?);
        (last.0 >= next).then(|| {
            format!("field {last} of table {table}, the manifest knows those below {next}: {LOST}")
        })
    }
}
