//! One segment: its bytes, and whether it is the one the manifest means.

use tidestone_format::manifest::{SegmentEntry, Tier};
use tidestone_format::segment::Segment;
use tidestone_format::{FileUuid, FormatError};

use super::Verifier;
use crate::inspect::check::{Damage, merge};

impl Verifier {
    pub(super) fn segment(&mut self, entry: &SegmentEntry, database: Option<FileUuid>) {
        let path = self.files.segment(entry);
        if entry.tier == Tier::Archive && !path.exists() {
            self.notes.push(format!(
                "segment {} is in the archive: not read",
                entry.uuid
            ));
            return;
        }
        if !path.exists() && self.is_gone(entry) {
            // A writer merged it while this went on.
            return;
        }
        let Some(bytes) = self.read(&path, "segment") else {
            return;
        };
        let damage = damage(&bytes, entry, database);
        self.report(&path, "segment", &bytes, damage);
        if let Some(report) = self.reports.last_mut() {
            report.rows = Some(entry.rows);
        }
    }

    /// Whether the manifest, read again, no longer names the segment.
    fn is_gone(&self, entry: &SegmentEntry) -> bool {
        self.files
            .state()
            .is_ok_and(|now| !now.state.segments().contains_key(&entry.uuid))
    }
}

fn damage(bytes: &[u8], entry: &SegmentEntry, database: Option<FileUuid>) -> Vec<Damage> {
    let segment = match Segment::open(bytes) {
        Ok(segment) => segment,
        Err(error) => return vec![error.into()],
    };
    let mut damage = Vec::new();
    if let Some(database) = database.filter(|&d| d != segment.header().database) {
        let expected = format_args!("database {database}, as IDENTITY says");
        let actual = segment.header().database;
        damage.push(FormatError::invalid("file header", 24, expected, actual).into());
    }
    damage.extend(differences(&segment, entry));
    segment.verify(|_, result| {
        if let Err(error) = result {
            merge(&mut damage, [error.into()]);
        }
    });
    damage
}

/// Where the manifest says something else than the file.
fn differences(segment: &Segment<'_>, entry: &SegmentEntry) -> Vec<Damage> {
    let (root, trailer) = (segment.root(), segment.trailer());
    let checks = [
        ("uuid", entry.uuid.to_string(), trailer.file.to_string()),
        ("table", entry.table.to_string(), root.table.to_string()),
        (
            "length",
            entry.file_len.to_string(),
            trailer.file_len.to_string(),
        ),
        (
            "tail length",
            entry.tail_len.to_string(),
            trailer.tail_len.to_string(),
        ),
        (
            "root checksum",
            format!("{:#010x}", entry.root_crc),
            format!("{:#010x}", trailer.root_region().crc),
        ),
        ("rows", entry.rows.to_string(), root.rows.to_string()),
        ("series", entry.series.to_string(), root.series.to_string()),
        (
            "first LSN",
            entry.first_lsn.to_string(),
            root.first_lsn.to_string(),
        ),
        (
            "last LSN",
            entry.last_lsn.to_string(),
            root.last_lsn.to_string(),
        ),
        (
            "times",
            format!("{:?}", entry.times),
            format!("{:?}", root.times),
        ),
        (
            "partition",
            format!("{:?}", entry.partition),
            format!("{:?}", root.partition),
        ),
    ];
    let offset = trailer.root_region().offset;
    let differs = checks.into_iter().filter(|(_, said, found)| said != found);
    differs
        .map(|(what, said, found)| Damage {
            what: format!("{what} of the segment"),
            offset,
            expected: format!("{said}, as the manifest says"),
            actual: found,
        })
        .collect()
}
