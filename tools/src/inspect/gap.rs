//! What lies where no frame or edit is that can be read: zeros, what is left of a damaged one, or one of a
//! newer version.

use std::io::{self, Write};
use std::ops::Range;

use serde::Serialize;
use tidestone_format::FormatError;

use super::check::{Damage, Verdict};

/// Bytes between whole frames or edits, or behind the last.
#[derive(Debug, Serialize)]
pub(super) struct GapReport {
    offset: u64,
    length: u64,
    holds: String,
    verdict: Verdict,
    /// What a header says whose checksum or payload is wrong: perhaps what was written, perhaps not. Or what
    /// one says that is whole and of a newer version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    says: Vec<(&'static str, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<Damage>,
}

/// How a header is laid out: its magic, its length, and where its numbers stand and how long each is. The first
/// number is the length of the payload, four bytes.
pub(super) struct Layout {
    pub(super) what: &'static str,
    pub(super) magic: [u8; 4],
    pub(super) header_len: usize,
    pub(super) align: usize,
    pub(super) numbers: &'static [(&'static str, usize, usize)],
}

impl Layout {
    /// The length, padding included, of what starts at the start of `bytes` and is whole.
    fn whole_len(&self, bytes: &[u8]) -> u64 {
        let [(_, from, _), ..] = self.numbers else {
            return self.header_len as u64;
        };
        let payload = bytes.get(*from..).and_then(|b| b.first_chunk());
        let payload = payload.map_or(0, |len| u64::from(u32::from_le_bytes(*len)));
        (self.header_len as u64 + payload).next_multiple_of(self.align as u64)
    }
}

impl GapReport {
    /// The part of `gap` in which `offset` lies. `read` says why nothing is readable at a place.
    pub(super) fn of(
        bytes: &[u8],
        gap: Range<u64>,
        offset: u64,
        layout: &Layout,
        read: impl Fn(u64) -> Option<FormatError>,
    ) -> Self {
        let at = |offset: u64| {
            usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len())
        };
        let gap_bytes = &bytes[at(gap.start)..at(gap.end).max(at(gap.start))];
        // Each start of a frame or edit begins a part of its own, and so does what follows zeros.
        let starts = (0..gap_bytes.len()).step_by(layout.align);
        let starts = starts.filter(|&i| gap_bytes[i..].starts_with(&layout.magic));
        let starts: Vec<u64> = starts.map(|i| gap.start + i as u64).collect();
        let written = gap_bytes.iter().position(|&b| b != 0);
        let written = written.map(|i| gap.start + (i - i % layout.align) as u64);
        let bounds: Vec<u64> = starts.iter().copied().chain(written).collect();
        let start = bounds.iter().copied().filter(|&s| s <= offset).max();
        let end = bounds.iter().copied().filter(|&s| s > offset).min();
        let mut part = start.unwrap_or(gap.start)..end.unwrap_or(gap.end);
        let whole = &bytes[at(part.start)..at(part.end).max(at(part.start))];
        if whole.iter().all(|&b| b == 0) {
            return Self {
                offset: part.start,
                length: whole.len() as u64,
                holds: match whole.len() {
                    0 => "the end of the file".to_owned(),
                    _ => "zeros: nothing was written here".to_owned(),
                },
                verdict: Verdict::Valid,
                says: Vec::new(),
                damage: None,
            };
        }
        let rest = &bytes[at(part.start)..];
        let damage = read(part.start).map(Damage::from);
        let is_newer = damage.as_ref().is_some_and(|d| d.newer);
        if is_newer {
            // It is whole, and ends where its header says.
            part.end = part.start + layout.whole_len(rest);
            if part.end <= offset {
                return Self::of(bytes, part.end..gap.end, offset, layout, read);
            }
        }
        let number = |&(name, from, len): &(&'static str, usize, usize)| {
            let mut word = [0; 8];
            word[..len].copy_from_slice(rest.get(from..from + len)?);
            Some((name, u64::from_le_bytes(word)))
        };
        let is_header = starts.contains(&part.start) && rest.len() >= layout.header_len;
        Self {
            offset: part.start,
            length: part.end - part.start,
            holds: match is_newer {
                true => format!("{} of a newer version", layout.what),
                false => format!("no whole {}", layout.what),
            },
            verdict: match is_newer {
                true => Verdict::Newer,
                false => Verdict::Bad,
            },
            says: match is_header {
                true => layout.numbers.iter().filter_map(number).collect(),
                false => Vec::new(),
            },
            damage,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let word = self.verdict.word();
        let (offset, length) = (self.offset, self.length);
        writeln!(out, "{} at {offset}, {length} bytes: {word}", self.holds)?;
        if let Some(damage) = &self.damage {
            writeln!(out, "  {damage}")?;
        }
        if !self.says.is_empty() {
            let proven = match self.verdict {
                Verdict::Newer => "",
                _ => ", unproven",
            };
            writeln!(out, "  its header says{proven}:")?;
        }
        let mut says = self.says.iter();
        says.try_for_each(|(name, number)| writeln!(out, "    {name:<15}{number}"))
    }
}
