//! Windows of time, taken off the one end of what is left.

use tidestone_format::{TimeRange, Timestamp};

use crate::scan::Input;

/// The times that inputs may have and are wanted.
pub(in crate::query) fn span(inputs: &[Input]) -> Option<TimeRange> {
    let spans = inputs.iter().filter_map(|i| intersection(i.range, i.times));
    spans.reduce(|a, b| TimeRange {
        start: a.start.min(b.start),
        end: a.end.max(b.end),
    })
}

fn intersection(a: TimeRange, b: TimeRange) -> Option<TimeRange> {
    let range = TimeRange {
        start: a.start.max(b.start),
        end: a.end.min(b.end),
    };
    (range.start <= range.end).then_some(range)
}

/// What is left without the times at its one end that no input has.
pub(in crate::query) fn skip_gap(
    inputs: &[Input],
    left: TimeRange,
    descending: bool,
) -> Option<TimeRange> {
    let parts = inputs.iter().filter_map(|i| intersection(i.times, left));
    if descending {
        let end = parts.map(|p| p.end).max()?;
        Some(TimeRange { end, ..left })
    } else {
        let start = parts.map(|p| p.start).min()?;
        Some(TimeRange { start, ..left })
    }
}

/// The inputs as far as they may have rows in a window.
pub(in crate::query) fn narrowed(inputs: &[Input], window: TimeRange) -> Vec<Input> {
    let narrowed = inputs.iter().filter_map(|input| {
        let range = intersection(input.range, window)?;
        input.times.overlaps(&range).then(|| Input {
            range,
            ..input.clone()
        })
    });
    narrowed.collect()
}

/// A window at the one end of a range, and what is left of it.
pub(in crate::query) fn cut(
    left: TimeRange,
    length: u128,
    descending: bool,
) -> (TimeRange, Option<TimeRange>) {
    let reach = i64::try_from(length - 1).unwrap_or(i64::MAX);
    let (window, rest): (TimeRange, (Option<Timestamp>, Option<Timestamp>)) = if descending {
        let start = left.end.saturating_sub(reach).max(left.start);
        let window = TimeRange {
            start,
            end: left.end,
        };
        (window, (Some(left.start), start.checked_sub(1)))
    } else {
        let end = left.start.saturating_add(reach).min(left.end);
        let window = TimeRange {
            start: left.start,
            end,
        };
        (window, (end.checked_add(1), Some(left.end)))
    };
    let rest = match rest {
        (Some(start), Some(end)) if start <= end => Some(TimeRange { start, end }),
        _ => None,
    };
    (window, rest)
}
