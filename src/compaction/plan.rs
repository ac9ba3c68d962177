//! Which segments to merge, and into which: pure functions of what there is.
//!
//! A *late* segment spans partitions: a flush of rows scattered over many writes one. It is not cut up
//! for its own sake, since hundreds of tiny files serve nobody: a partition is split off when it has
//! rows enough for a segment, or when what is left over it keeps other segments from being merged.
//! What is left spans the partitions before, between and behind those split off; small late segments are
//! merged with each other.
//!
//! Merging for the sake of fewer segments has an end: what it makes has at most so many rows, and where
//! there are strings so many bytes, as [`Limits`] says. Both are known before anything is read, and what
//! keeps to them can be written: so no merge is tried in vain, by every process that opens the database
//! anew. Only to apply a delete, for who wants everything merged, larger ones are made, and may turn out
//! to be more than a segment can hold.
//!
//! A segment has applied every delete up to its last LSN. One that is rewritten alone can apply those below
//! the next newer segment over it, and no later one. To apply that, it is merged with what is newer over it and
//! older than the delete: a segment of one partition with others of its partition, from which late
//! segments are split off first; a late one with other late ones, which are split only at partitions whose
//! own segments lie between them.
//!
//! # Invariants
//! 1. Segments whose partitions overlap have LSN ranges that do not. So what is merged has between its LSNs
//!    none of another segment that overlaps the span of all inputs.
//! 2. Merging comes to an end: [`choose`] gives nothing after finitely many merges of what it gave.
//!
//! # Why merging ends
//! No merge adds a row, lowers the last LSN of the segment a row is in, or takes a row from a segment of one
//! partition to a late one. So three numbers never rise: the rows; the deletes above the segment of
//! each row, summed up; and the rows in late segments. They fall only so often. After the last time:
//! - Segments of one partition come from nowhere, and each merge of them leaves fewer.
//! - Merges to apply a delete are over: each makes one of the numbers fall.
//! - Late segments that are merged have applied every delete, where deletes are applied at all. So others are
//!   only split, each less often than it has rows; and those that were split so that one of these others may
//!   apply a delete are not merged again before it has, since that comes first.
//! - Late segments that are merged are not split afterwards: they have few rows, and no cut. And a
//!   merge of late segments leaves fewer small ones.

use std::collections::BTreeMap;

use tidestone_format::manifest::SegmentEntry;
use tidestone_format::schema::Field;
use tidestone_format::version::{GROUP_ROWS, MAX_GROUP_TEXT};
use tidestone_format::{FieldType, Lsn, TimeRange, Timestamp};

use crate::config::WritingMemory;
use crate::store::TableVersion;

/// Segments of similar size that are merged at once, at least.
const FAN_IN: usize = 4;
/// Segments merged at once, at most.
const MAX_INPUTS: usize = 32;
/// Sizes are similar within this factor of rows.
const SIZE_RATIO: u64 = 4;
/// Segments of fewer rows count as if they had so many: one row group. A partition with so many rows is
/// worth a segment of its own.
const SMALL_ROWS: u64 = GROUP_ROWS as u64;
/// Bytes that the statistics and the place of a block take in the page of its row group, about, at most.
const BYTES_A_BLOCK: usize = 2_048;

/// A segment, as far as the decision needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) partition: TimeRange,
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    pub(super) rows: u64,
    /// Of its file.
    pub(super) bytes: u64,
    /// It spans more than one partition.
    pub(super) late: bool,
    /// The lowest LSN of a delete that hides rows of it.
    pub(super) hidden_by: Option<Lsn>,
    /// The horizon has passed some of its rows.
    pub(super) behind: bool,
    /// It cannot be merged. It stands between its neighbours all the same.
    pub(super) given_up: bool,
}

/// What a merge may make for the sake of fewer segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// The pages of so many rows fit in the memory there is for them.
    pub(super) rows: u64,
    /// In whatever way the strings of so many bytes of files fall on row groups and columns, a segment can
    /// hold them, but for long ones that are in a dictionary.
    pub(super) bytes: u64,
}

impl Limits {
    /// For segments of a table of these fields.
    pub(super) fn of(fields: &[Field], memory: WritingMemory) -> Self {
        let groups = memory.pages / ((fields.len() + 1) * BYTES_A_BLOCK);
        let has_text = fields.iter().any(|f| f.field_type == FieldType::String);
        Self {
            rows: (groups.max(1) * GROUP_ROWS) as u64,
            bytes: match has_text {
                true => MAX_GROUP_TEXT as u64 / 2,
                false => u64::MAX,
            },
        }
    }

    /// Whether segments may become one.
    fn allow(&self, segments: &[Candidate], inputs: &[usize]) -> bool {
        let sum =
            |of: fn(&Candidate) -> u64| -> u64 { inputs.iter().map(|&i| of(&segments[i])).sum() };
        sum(|s| s.rows) <= self.rows && sum(|s| s.bytes) <= self.bytes
    }
}

/// How much it takes for a merge to be worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eagerness {
    Worthwhile,
    Everything,
}

/// A merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// Which segments, oldest first.
    pub(super) inputs: Vec<usize>,
    /// Partitions, by time, that get a segment of their own, beside those with rows enough; nothing that is
    /// written spans them.
    pub(super) cuts: Vec<TimeRange>,
}

impl Candidate {
    pub(super) fn of(entry: &SegmentEntry, table: &TableVersion, given_up: bool) -> Self {
        let length = table.schema.settings.partition_ns;
        let (_, end) = crate::catalog::partition_of(entry.partition.start, length);
        let hiding = table.tombstones.iter().filter(|(lsn, tombstone)| {
            *lsn > entry.last_lsn && tombstone.range.overlaps(&entry.times)
        });
        Self {
            partition: entry.partition,
            first: entry.first_lsn,
            last: entry.last_lsn,
            rows: entry.rows,
            bytes: entry.file_len,
            late: entry.partition.end > end,
            hidden_by: hiding.map(|(lsn, _)| *lsn).min(),
            behind: entry.times.start < table.horizon,
            given_up,
        }
    }

    fn is_stale(&self) -> bool {
        self.behind || self.hidden_by.is_some()
    }
}

/// What to rewrite or merge next; `None` if nothing is worth it. `last_delete` is the newest delete, whatever
/// it hides.
pub(super) fn choose(
    segments: &[Candidate],
    last_delete: Option<Lsn>,
    eagerness: Eagerness,
    limits: Limits,
) -> Option<Choice> {
    let usable = |&i: &usize| !segments[i].given_up;
    let late = (0..segments.len())
        .filter(usable)
        .filter(|&i| segments[i].late);
    for i in late {
        let cuts = cuts(segments, &[i], eagerness);
        // Late segments that were written by a merge have fewer rows.
        if !cuts.is_empty() || segments[i].rows >= 2 * SMALL_ROWS {
            return Some(Choice {
                inputs: vec![i],
                cuts,
            });
        }
    }
    let merge = |inputs| Choice {
        inputs,
        cuts: Vec::new(),
    };
    let mut partitions: BTreeMap<Timestamp, Vec<usize>> = BTreeMap::new();
    let whole = segments.iter().enumerate();
    for (i, segment) in whole.filter(|(_, s)| !s.late) {
        partitions
            .entry(segment.partition.start)
            .or_default()
            .push(i);
    }
    let given_up: Vec<&Candidate> = segments.iter().filter(|s| s.given_up).collect();
    let mut stretches_of = Vec::new();
    for mut of in partitions.into_values().rev() {
        of.sort_by_key(|&i| segments[i].first);
        stretches_of.extend(stretches(segments, &of, &given_up).into_iter().rev());
    }
    let run = stretches_of
        .iter()
        .find_map(|of| run_of(segments, of, eagerness, limits));
    if let Some(run) = run {
        return Some(merge(run));
    }
    if eagerness == Eagerness::Worthwhile {
        return late_run(segments, last_delete, eagerness, limits).map(merge);
    }
    let stale = || {
        (0..segments.len())
            .filter(usable)
            .filter(|&i| segments[i].is_stale())
    };
    let mut buried_late = stale().filter(|&i| segments[i].late && !applies(segments, i));
    let run_to_apply = || {
        let run = |of: &Vec<usize>| run_to_apply(segments, of);
        stretches_of.iter().find_map(run)
    };
    let applying = || stale().find(|&i| applies(segments, i));
    // Late segments come last: merging them for the sake of fewer could undo a split that is to apply a delete.
    buried_late
        .find_map(|i| late_to_apply(segments, i))
        .or_else(|| run_to_apply().map(merge))
        .or_else(|| applying().map(|i| merge(vec![i])))
        .or_else(|| late_run(segments, last_delete, eagerness, limits).map(merge))
}

/// The spans of the segments that rows of these partitions go to, given by time with their numbers of rows.
pub(super) fn pieces(partitions: &[(TimeRange, u64)], cuts: &[TimeRange]) -> Vec<TimeRange> {
    let is_cut = |span: &TimeRange| {
        let at = cuts.partition_point(|cut| cut.end < span.start);
        cuts.get(at).is_some_and(|cut| cut.overlaps(span))
    };
    let mut pieces = Vec::new();
    let mut open: Option<(TimeRange, u64)> = None;
    for &(partition, rows) in partitions {
        if rows >= SMALL_ROWS || is_cut(&partition) {
            pieces.extend(open.take().map(|(span, _)| span));
            pieces.push(partition);
            continue;
        }
        open = match open {
            None => Some((partition, rows)),
            Some((span, before)) => {
                let joined = TimeRange {
                    start: span.start,
                    end: partition.end,
                };
                if before >= SMALL_ROWS || is_cut(&joined) {
                    pieces.push(span);
                    Some((partition, rows))
                } else {
                    Some((joined, before + rows))
                }
            }
        };
    }
    pieces.extend(open.map(|(span, _)| span));
    pieces
}

/// The partitions, by time, whose segments cannot be merged for the inputs that span them: they have
/// segments that are older and others that are newer, so many that merging them is worth it; or an older
/// one that can only apply a delete if it is merged with what the inputs have.
fn cuts(segments: &[Candidate], inputs: &[usize], eagerness: Eagerness) -> Vec<TimeRange> {
    let span = span_of(segments, inputs);
    let least = match eagerness {
        Eagerness::Worthwhile => FAN_IN,
        Eagerness::Everything => 2,
    };
    let mut found: BTreeMap<Timestamp, (TimeRange, usize, usize, bool)> = BTreeMap::new();
    for (i, segment) in segments.iter().enumerate() {
        if segment.late || !segment.partition.overlaps(&span.partition) || inputs.contains(&i) {
            continue;
        }
        let of = found.entry(segment.partition.start);
        let (_, older, newer, stuck) = of.or_insert((segment.partition, 0, 0, false));
        if segment.last < span.first {
            *older += 1;
            // With a newer segment over it, it can apply no delete that is newer still.
            let buried = segment.hidden_by.is_some_and(|lsn| lsn >= span.first);
            *stuck |= buried && eagerness == Eagerness::Everything;
        } else {
            *newer += 1;
        }
    }
    let blocked = found.into_values().filter(|&(_, older, newer, stuck)| {
        stuck || (older.min(newer) > 0 && older + newer >= least)
    });
    blocked.map(|(partition, ..)| partition).collect()
}

/// Whether a segment that is rewritten alone has applied more than before: its LSNs then reach up to
/// those of the next newer segment.
fn applies(segments: &[Candidate], i: usize) -> bool {
    let this = &segments[i];
    this.behind
        || this
            .hidden_by
            .is_some_and(|lsn| next_over(segments, &[i]).is_none_or(|next| lsn < next))
}

/// The first LSN of what is newer than segments and overlaps their span.
fn next_over(segments: &[Candidate], inputs: &[usize]) -> Option<Lsn> {
    let span = span_of(segments, inputs);
    let newer = segments
        .iter()
        .filter(|s| s.first > span.last && s.partition.overlaps(&span.partition));
    newer.map(|s| s.first).min()
}

/// What segments span: partitions and LSNs.
struct Span {
    partition: TimeRange,
    first: Lsn,
    last: Lsn,
}

fn span_of(segments: &[Candidate], inputs: &[usize]) -> Span {
    let of = inputs.iter().map(|&i| &segments[i]);
    Span {
        partition: TimeRange {
            start: of
                .clone()
                .map(|s| s.partition.start)
                .min()
                .unwrap_or(Timestamp::MIN),
            end: of
                .clone()
                .map(|s| s.partition.end)
                .max()
                .unwrap_or(Timestamp::MAX),
        },
        first: of.clone().map(|s| s.first).min().unwrap_or_default(),
        last: of.map(|s| s.last).max().unwrap_or_default(),
    }
}

/// A run of small late segments, neighbours, oldest first. For who wants deletes applied, of such that have
/// applied every delete once they are merged.
fn late_run(
    segments: &[Candidate],
    last_delete: Option<Lsn>,
    eagerness: Eagerness,
    limits: Limits,
) -> Option<Vec<usize>> {
    let least = match eagerness {
        Eagerness::Worthwhile => FAN_IN,
        Eagerness::Everything => 2,
    };
    let mut late: Vec<usize> = (0..segments.len())
        .filter(|&i| segments[i].late && !segments[i].given_up)
        .filter(|&i| segments[i].rows < SMALL_ROWS)
        .collect();
    late.sort_by_key(|&i| (segments[i].first, segments[i].partition.start));
    let applies_all = |run: &[usize]| {
        eagerness == Eagerness::Worthwhile
            || next_over(segments, run).is_none_or(|next| last_delete < Some(next))
    };
    for newest in (0..late.len()).rev() {
        let mut run = Vec::new();
        for &i in late[..=newest].iter().rev().take(MAX_INPUTS) {
            run.push(i);
            let fits = are_neighbours(segments, &run) && limits.allow(segments, &run);
            if !fits || !applies_all(&run) || !cuts(segments, &run, eagerness).is_empty() {
                run.pop();
                break;
            }
        }
        if run.len() >= least {
            run.reverse();
            return Some(run);
        }
    }
    None
}

/// What comes next for a late segment to apply a delete which it cannot apply alone, because what is
/// newer over it is older than the delete. It is merged with all late segments that this concerns, however
/// many and large they are; before that, those of them are split that span a partition which has a segment
/// between them. A partition that has a newer one is split off: there the others of the partition apply it.
fn late_to_apply(segments: &[Candidate], i: usize) -> Option<Choice> {
    let delete = segments[i].hidden_by?;
    let mut inputs = vec![i];
    let span = loop {
        let span = span_of(segments, &inputs);
        let is_reached = |s: &Candidate| {
            s.late
                && s.partition.overlaps(&span.partition)
                && s.last >= span.first
                && s.first <= span.last.max(delete)
        };
        let reached: Vec<usize> = (0..segments.len())
            .filter(|&i| is_reached(&segments[i]))
            .collect();
        if reached.len() == inputs.len() {
            break span;
        }
        inputs = reached;
    };
    if inputs.iter().any(|&i| segments[i].given_up) {
        return None;
    }
    let (mut between, mut above) = (BTreeMap::new(), BTreeMap::new());
    let whole = segments.iter().filter(|s| !s.late);
    for segment in whole.filter(|s| s.partition.overlaps(&span.partition)) {
        let found = if segment.first > span.last && segment.first <= delete {
            &mut above
        } else if segment.first <= span.last && segment.last >= span.first {
            &mut between
        } else {
            continue;
        };
        found.insert(segment.partition.start, segment.partition);
    }
    for &i in &inputs {
        let spanned = between
            .values()
            .filter(|p| p.overlaps(&segments[i].partition));
        let cuts: Vec<TimeRange> = spanned.copied().collect();
        if !cuts.is_empty() {
            return Some(Choice {
                inputs: vec![i],
                cuts,
            });
        }
    }
    inputs.sort_by_key(|&i| (segments[i].first, segments[i].partition.start));
    let blocked = cuts(segments, &inputs, Eagerness::Everything);
    above.extend(blocked.into_iter().map(|p| (p.start, p)));
    Some(Choice {
        inputs,
        cuts: above.into_values().collect(),
    })
}

/// Whether no other segment that overlaps their span has an LSN between theirs.
fn are_neighbours(segments: &[Candidate], inputs: &[usize]) -> bool {
    let span = span_of(segments, inputs);
    segments.iter().enumerate().all(|(i, s)| {
        s.last < span.first
            || s.first > span.last
            || !s.partition.overlaps(&span.partition)
            || inputs.contains(&i)
    })
}

/// The segments of a partition, given oldest first, without those that cannot be merged and cut where
/// one lies between two, be it one that spans partitions. Others of these were split before.
fn stretches(segments: &[Candidate], of: &[usize], given_up: &[&Candidate]) -> Vec<Vec<usize>> {
    let is_between = |a: usize, b: usize| {
        let span = span_of(segments, &[a, b]);
        given_up.iter().any(|s| {
            s.first > segments[a].last
                && s.last < segments[b].first
                && s.partition.overlaps(&span.partition)
        })
    };
    let mut stretches: Vec<Vec<usize>> = Vec::new();
    for &i in of.iter().filter(|&&i| !segments[i].given_up) {
        match stretches.last_mut() {
            Some(stretch) if !stretch.last().is_some_and(|&last| is_between(last, i)) => {
                stretch.push(i);
            }
            _ => stretches.push(vec![i]),
        }
    }
    stretches
}

/// A run of neighbours of one partition, given oldest first.
fn run_of(
    segments: &[Candidate],
    of: &[usize],
    eagerness: Eagerness,
    limits: Limits,
) -> Option<Vec<usize>> {
    match eagerness {
        // The newest first: that is where most is to be gained.
        Eagerness::Worthwhile => (FAN_IN..=of.len())
            .rev()
            .find_map(|end| similar_run(segments, &of[..end], limits)),
        Eagerness::Everything => any_run(segments, of, limits),
    }
}

/// The longest run, from the newest of these on, whose sizes are similar to what is gathered so far: each
/// row is then rewritten about log_4 of the number of flushes of its partition.
fn similar_run(segments: &[Candidate], of: &[usize], limits: Limits) -> Option<Vec<usize>> {
    let mut run: Vec<usize> = Vec::new();
    let mut gathered = 0;
    for &i in of.iter().rev().take(MAX_INPUTS) {
        let rows = segments[i].rows.max(SMALL_ROWS);
        let is_similar = run.is_empty() || rows <= gathered * SIZE_RATIO;
        run.push(i);
        if !is_similar || !limits.allow(segments, &run) {
            run.pop();
            break;
        }
        gathered += rows;
    }
    run.reverse();
    (run.len() >= FAN_IN).then_some(run)
}

/// The oldest run of two or more that may be merged, as long as it can be.
fn any_run(segments: &[Candidate], of: &[usize], limits: Limits) -> Option<Vec<usize>> {
    let mut run: Vec<usize> = Vec::new();
    for &i in of {
        run.push(i);
        if run.len() <= MAX_INPUTS && limits.allow(segments, &run) {
            continue;
        }
        run.pop();
        if run.len() > 1 {
            break;
        }
        run = vec![i];
    }
    (run.len() > 1).then_some(run)
}

/// A run of one partition, given oldest first, that applies a delete which the oldest of it cannot apply
/// alone, because what is newer is older than the delete; however large it gets.
fn run_to_apply(segments: &[Candidate], of: &[usize]) -> Option<Vec<usize>> {
    let buried = |&at: &usize| {
        let lsn = segments[of[at]].hidden_by?;
        let run: Vec<usize> = of[at..]
            .iter()
            .copied()
            .take_while(|&i| segments[i].first <= lsn)
            .take(MAX_INPUTS)
            .collect();
        (run.len() > 1 && are_neighbours(segments, &run)).then_some(run)
    };
    (0..of.len()).find_map(|at| buried(&at))
}

#[cfg(test)]
mod tests;
