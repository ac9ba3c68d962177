//! A manifest: its edits, their entries, and what they add up to.

mod entry;

use std::io::{self, Write};

use serde::Serialize;
use tidestone_format::header::{FileHeader, HEADER_LEN};
use tidestone_format::manifest::{
    EDIT_HEADER_LEN, EDIT_MAGIC, EDITS_START, EditCursor, LocatedEdit, ManifestIdentity, Replay,
    Stop, find_later_edit, replay,
};
use tidestone_format::{FileUuid, FormatError};

use super::check::{Damage, Verdict, merge};
use super::gap::{GapReport, Layout};
use entry::EntryReport;
pub(super) use entry::policy_name;

/// The edits of a manifest.
#[derive(Debug, Serialize)]
pub(super) struct ManifestReport {
    edits: Vec<EditReport>,
    end: End,
    /// Whole edits behind one that is damaged or refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    behind: Vec<EditReport>,
    /// What the edits add up to, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateReport>,
}

/// One edit.
#[derive(Debug, Serialize)]
pub(super) struct EditReport {
    offset: u64,
    /// Of edit and padding.
    length: u64,
    version: u64,
    entries: Vec<EntryReport>,
}

/// Where the edits end.
#[derive(Debug, Serialize)]
struct End {
    offset: u64,
    reason: String,
}

#[derive(Debug, Serialize)]
struct StateReport {
    version: u64,
    incarnation: String,
    next_series: u64,
    next_table: u32,
    flushed_lsn: u64,
    tables: usize,
    segments: usize,
    rows: u64,
    segment_bytes: u64,
    tombstones: usize,
    series_definitions: usize,
    cursors: usize,
}

impl ManifestReport {
    pub(super) fn of(bytes: &[u8], damage: &mut Vec<Damage>) -> Self {
        let (edits, end, stop) = edits(bytes);
        let last = edits.last().map_or(0, |e| e.version);
        let behind = edits_behind(bytes, end, last, stop.as_ref());
        let later = match stop {
            Some(Stop::Invalid(_)) => find_later_edit(bytes, identity(bytes), end, last),
            _ => None,
        };
        let mut reason = match &stop {
            None | Some(Stop::End) => "nothing but zeros from here on".to_owned(),
            Some(Stop::Invalid(error)) => {
                format!("{error}; no edit follows, so this one was never synced")
            }
            Some(Stop::Refused(error)) => {
                damage.push(error.clone().into());
                format!("{error}; the file does not end here")
            }
        };
        if let (Some((offset, version)), Some(Stop::Invalid(error))) = (later, &stop) {
            damage.push(error.clone().into());
            reason = format!("{error}; edit {version} at {offset} follows, so this one was synced");
        }
        let state = match replay(bytes, identity(bytes)) {
            Ok(replay) => {
                // Of a file that ends with an edit the database may tell more, not the file alone.
                let cut_short = replay.cut_short(bytes.len() as u64);
                if let Some(error) = cut_short.filter(|_| replay.torn.is_some()) {
                    reason = format!("{error}: the file was cut short");
                    damage.push(error.into());
                }
                Some(StateReport::of(&replay))
            }
            Err(error) => {
                merge(damage, [error.into()]);
                None
            }
        };
        Self {
            edits,
            end: End {
                offset: end,
                reason,
            },
            behind,
            state,
        }
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        self.edits.iter().try_for_each(|edit| {
            writeln!(out)?;
            edit.print(out)
        })?;
        writeln!(out, "\nend at {}\n  {}", self.end.offset, self.end.reason)?;
        for edit in &self.behind {
            write!(out, "\nbehind that: ")?;
            edit.print(out)?;
        }
        match &self.state {
            Some(state) => state.print(out),
            None => Ok(()),
        }
    }
}

/// What lies at an offset.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Place {
    Edit(Box<EditReport>),
    Gap(GapReport),
}

impl Place {
    /// An edit that is not sound is not shown as one.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Edit(_) => Verdict::Valid,
            Self::Gap(gap) => gap.verdict(),
        }
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Edit(edit) => edit.print(out),
            Self::Gap(gap) => gap.print(out),
        }
    }
}

const LAYOUT: Layout = Layout {
    what: "edit",
    magic: EDIT_MAGIC,
    header_len: EDIT_HEADER_LEN,
    align: 8,
    numbers: &[("payload", 4, 4), ("version", 8, 8)],
};

/// The edit at or around `offset`, or what is left of it.
pub(super) fn place_at(bytes: &[u8], offset: u64) -> Place {
    let (mut edits, end, stop) = edits(bytes);
    let last = edits.last().map_or(0, |e| e.version);
    edits.extend(edits_behind(bytes, end, last, stop.as_ref()));
    let ends = edits.iter().map(|e| e.offset + e.length);
    let start = EDITS_START as u64;
    let first = if offset < start {
        HEADER_LEN as u64
    } else {
        start
    };
    let from = ends.filter(|&end| end <= offset).max().unwrap_or(first);
    let starts = edits.iter().map(|e| e.offset).filter(|&at| at > offset);
    let to = starts.min().unwrap_or(bytes.len() as u64);
    let to = if from < start { to.min(start) } else { to };
    let holds = |e: &EditReport| (e.offset..e.offset + e.length).contains(&offset);
    if let Some(edit) = edits.into_iter().find(holds) {
        return Place::Edit(Box::new(edit));
    }
    let why = |at| match &stop {
        Some(Stop::Invalid(error) | Stop::Refused(error)) if at == end => Some(error.clone()),
        _ if at < start => None,
        _ => edits_from(bytes, at).1,
    };
    Place::Gap(GapReport::of(bytes, from..to, offset, &LAYOUT, why))
}

/// The edits that can be read behind the place where they stopped, at one that is damaged or refused.
fn edits_behind(bytes: &[u8], end: u64, last: u64, stop: Option<&Stop>) -> Vec<EditReport> {
    let (mut from, mut last) = match stop {
        Some(Stop::Invalid(_)) => (end, last),
        // It is whole itself.
        Some(Stop::Refused(_)) => (end + 1, last),
        None | Some(Stop::End) => return Vec::new(),
    };
    let mut behind = Vec::new();
    while let Some((at, version)) = find_later_edit(bytes, identity(bytes), from, last) {
        let (mut edits, _) = edits_from(bytes, at);
        (from, last) = match edits.last() {
            Some(edit) => (edit.offset + edit.length, edit.version),
            None => (at + 1, version),
        };
        behind.append(&mut edits);
    }
    behind
}

/// Which file it is, as its header says, damaged or not.
fn identity(bytes: &[u8]) -> ManifestIdentity {
    let none = ManifestIdentity {
        database: FileUuid([0; 16]),
        incarnation: FileUuid([0; 16]),
        number: 0,
    };
    FileHeader::peek(bytes).map_or(none, |header| ManifestIdentity::of(&header))
}

fn edits(bytes: &[u8]) -> (Vec<EditReport>, u64, Option<Stop>) {
    let mut cursor = EditCursor::new(bytes, identity(bytes));
    let edits = cursor.by_ref().map(|e| EditReport::of(&e, 0)).collect();
    (edits, cursor.offset(), cursor.stop().cloned())
}

/// The edits from a place behind others on, read as if they were the first of the file; if there is none, why
/// not.
fn edits_from(bytes: &[u8], offset: u64) -> (Vec<EditReport>, Option<FormatError>) {
    let Some(rest) = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)) else {
        return (Vec::new(), None);
    };
    let mut moved = bytes[..HEADER_LEN.min(bytes.len())].to_vec();
    moved.resize(EDITS_START, 0);
    moved.extend_from_slice(rest);
    let base = offset.saturating_sub(EDITS_START as u64);
    let mut cursor = EditCursor::new(&moved, identity(bytes));
    let edits: Vec<EditReport> = cursor.by_ref().map(|e| EditReport::of(&e, base)).collect();
    let error = match cursor.stop() {
        Some(Stop::Invalid(error) | Stop::Refused(error)) if edits.is_empty() => {
            Some(error.clone().at_base(base))
        }
        _ => None,
    };
    (edits, error)
}

impl EditReport {
    fn of(located: &LocatedEdit, base: u64) -> Self {
        Self {
            offset: located.offset + base,
            length: located.end - located.offset,
            version: located.edit.version,
            entries: located.edit.entries.iter().map(EntryReport::from).collect(),
        }
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "edit {} at {}, {} bytes: VALID",
            self.version, self.offset, self.length
        )?;
        self.entries
            .iter()
            .try_for_each(|entry| writeln!(out, "  {entry}"))
    }
}

impl StateReport {
    fn of(replay: &Replay) -> Self {
        let state = &replay.state;
        Self {
            version: replay.version,
            incarnation: state.incarnation().to_string(),
            next_series: state.next_series().0,
            next_table: state.next_table().0,
            flushed_lsn: state.flushed().0,
            tables: state.tables().len(),
            segments: state.segments().len(),
            rows: state.segments().values().map(|s| s.rows).sum(),
            segment_bytes: state.segments().values().map(|s| s.file_len).sum(),
            tombstones: state.tombstones().len(),
            series_definitions: state.series().len(),
            cursors: state.cursors().len(),
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\nversion {}", self.version)?;
        writeln!(out, "  incarnation  {}", self.incarnation)?;
        writeln!(
            out,
            "  next ids     series {}, table {}",
            self.next_series, self.next_table
        )?;
        writeln!(out, "  flushed      up to LSN {}", self.flushed_lsn)?;
        writeln!(out, "  tables       {}", self.tables)?;
        let (segments, rows, bytes) = (self.segments, self.rows, self.segment_bytes);
        writeln!(
            out,
            "  segments     {segments}, with {rows} rows in {bytes} bytes"
        )?;
        writeln!(out, "  tombstones   {}", self.tombstones)?;
        writeln!(
            out,
            "  series       {} defined here",
            self.series_definitions
        )?;
        writeln!(out, "  cursors      {}", self.cursors)
    }
}
