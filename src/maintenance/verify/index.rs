//! Whether the index agrees with itself and with the segments.

use tidestone_format::FileUuid;
use tidestone_format::log::SeriesDefinition;
use tidestone_format::manifest::State;

use super::{Verifier, is_damage};
use crate::config::Options;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Index, Opened};
use crate::maintenance::Damage;
use crate::store::Segments;

/// Memory of the index while it is read, in bytes.
const MEMORY: usize = 32 << 20;
/// Series that are compared at a time.
const AT_ONCE: usize = 16 << 10;

impl Verifier {
    /// Reads the whole index, without a write, and compares it with what it has taken in of segments and manifest.
    pub(super) fn index(&mut self, state: &State, database: FileUuid) -> Result<()> {
        let folder = self.folders.index();
        let (index, has) = match Index::open_read_only(&folder, MEMORY, database)? {
            Opened::Ready(index, has) => (index, has),
            Opened::Unusable { why } => {
                self.note(
                    &folder,
                    format_args!("it is made anew at the next open: {why}"),
                );
                return Ok(());
            }
        };
        if has.incarnation != state.incarnation() || has.lsn > state.flushed() {
            self.note(
                &folder,
                "it is of another state and made anew at the next open",
            );
            return Ok(());
        }
        let mut compared = index.verify().map(drop);
        let memory = Options::default().segment_memory();
        let segments = Segments::new(self.disk.clone(), &self.folders, database, memory)?;
        for entry in state.segments().values().filter(|e| e.last_lsn <= has.lsn) {
            let segment = segments.segment(entry);
            let mut due = Vec::new();
            let all = segment.each_series(|definition| {
                due.push(definition);
                Ok(())
            });
            match all {
                Ok(()) => {}
                // It was told with the segment.
                Err(error) if is_damage(&error) => continue,
                Err(error) => return Err(error),
            }
            for some in due.chunks(AT_ONCE) {
                compared = compared.and_then(|()| compare(&index, some, "a segment", false));
            }
        }
        // Of those that only the manifest defines some may be on their way out.
        let lone: Vec<SeriesDefinition> = state.series().values().cloned().collect();
        for some in lone.chunk_by(|a, b| a.table == b.table) {
            for some in some.chunks(AT_ONCE) {
                compared = compared.and_then(|()| compare(&index, some, "the manifest", true));
            }
        }
        match compared {
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

/// Fails if the index has other keys for series than `ground` says, or none where it must have one.
fn compare(index: &Index, series: &[SeriesDefinition], ground: &str, may_lack: bool) -> Result<()> {
    let Some(table) = series.first().map(|d| d.table) else {
        return Ok(());
    };
    let ids: Vec<_> = series.iter().map(|d| d.id).collect();
    let keys = index.series_keys(table, &ids)?;
    for (definition, key) in series.iter().zip(keys) {
        let lacks = key.is_none() && may_lack;
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
