//! Segments: their bytes, and whether they are the ones the manifest means.

use tidestone_format::FormatError;
use tidestone_format::manifest::{SegmentEntry, State, Tier};
use tidestone_format::segment::Segment;

use super::{Named, Verifier};
use crate::store::{longer_than_said, place_of};

impl Verifier {
    /// Reads the segments that the manifest names.
    pub(super) fn segments(&mut self, state: &State, named: Named) {
        for entry in state.segments().values() {
            let path = place_of(&self.folders.segments(), entry);
            if entry.tier == Tier::Archive && self.disk.open(&path).is_err() {
                self.note(&path, "it is in the archive: not read");
                continue;
            }
            self.report.rows += entry.rows;
            let Some(bytes) = self.read(&path, "segment", Some(entry.rows)) else {
                continue;
            };
            for error in self.differences(&bytes, entry, named) {
                self.damaged(&path, &error);
            }
        }
    }

    /// Everything that is wrong with a segment.
    fn differences(
        &mut self,
        bytes: &[u8],
        entry: &SegmentEntry,
        named: Named,
    ) -> Vec<FormatError> {
        let mut wrong = Vec::new();
        let len = usize::try_from(entry.file_len).unwrap_or(usize::MAX);
        let bytes = match bytes.split_at_checked(len) {
            Some((its, more)) if !more.is_empty() => {
                wrong.push(longer_than_said(entry.file_len, bytes.len() as u64));
                its
            }
            _ => bytes,
        };
        let segment = match Segment::open(bytes) {
            Ok(segment) => segment,
            Err(error) => {
                wrong.push(error);
                return wrong;
            }
        };
        wrong.extend(named.differs(segment.header()));
        wrong.extend(said_otherwise(&segment, entry));
        segment.verify(|_, result| {
            self.report.regions += 1;
            if let Err(error) = result
                && !wrong.contains(&error)
            {
                wrong.push(error);
            }
        });
        wrong
    }
}

/// Where the manifest says something else than the file.
fn said_otherwise(segment: &Segment<'_>, entry: &SegmentEntry) -> Vec<FormatError> {
    let (root, trailer) = (segment.root(), segment.trailer());
    let crc = |crc: u32| format!("{crc:#010x}");
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
            crc(entry.root_crc),
            crc(trailer.root_region().crc),
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
        .map(|(what, said, found)| {
            let expected = format_args!("a {what} of {said}, as the manifest says");
            FormatError::invalid("root of a segment", offset, expected, found)
        })
        .collect()
}
