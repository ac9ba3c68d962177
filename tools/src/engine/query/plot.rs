//! `plot`: a selection as a chart.

use std::io::{IsTerminal, Write};

use clap::Args;
use rustc_hash::FxHashMap;
use tidestone::{AggregateResult, Order, Query, RowBatch, SeriesId, Value};

use super::aggregate::AggregateArgs;
use super::chart::{Chart, Line};
use super::select::SelectArgs;
use crate::outcome::{Failure, Outcome, Run};

/// Lines that a chart can tell apart.
const MOST_LINES: usize = 12;

/// A chart of a selection.
#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    aggregate: AggregateArgs,
    /// Characters across
    #[arg(long, default_value_t = 100)]
    width: u16,
    /// Lines of text
    #[arg(long, default_value_t = 24)]
    height: u16,
    /// Print the points of the chart as JSON instead
    #[arg(long)]
    json: bool,
}

/// Carries out `tidestone plot`.
pub(crate) fn run(args: &PlotArgs, out: &mut dyn Write) -> Run {
    let db = args.select.db.open()?;
    let table = args.select.table(&db)?;
    let lines = match args.aggregate.query(&args.select, &table)? {
        Some(query) => lines_of_buckets(&query.buckets()?)?,
        None => lines_of(&args.select.query(&table)?, usize::from(args.width))?,
    };
    if args.json {
        let lines: Vec<_> = lines
            .iter()
            .map(|l| serde_json::json!({ "name": l.name, "points": l.points }))
            .collect();
        serde_json::to_writer(&mut *out, &lines)?;
        writeln!(out)?;
        return Ok(Outcome::Sound);
    }
    let chart = Chart {
        title: title(&lines, &args.select.table),
        width: args.width,
        height: args.height,
        colors: std::io::stdout().is_terminal(),
    };
    match chart.draw(&lines) {
        Some(text) => write!(out, "{text}")?,
        None => eprintln!("tidestone: there is nothing to draw"),
    }
    Ok(Outcome::Sound)
}

fn title(lines: &[Line], table: &str) -> String {
    match lines {
        [one] => one.name.clone(),
        _ => table.to_owned(),
    }
}

/// A line for each series and numeric field of the selection, thinned to what `width` characters
/// can show: of each stretch of time the lowest and the highest value.
pub(crate) fn lines_of(query: &Query, width: usize) -> Run<Vec<Line>> {
    let mut stream = query.clone().order(Order::SeriesTime).scan()?;
    let mut names: FxHashMap<SeriesId, String> = FxHashMap::default();
    let mut lines: FxHashMap<(SeriesId, usize), Vec<(i64, f64)>> = FxHashMap::default();
    let mut order: Vec<(SeriesId, usize)> = Vec::new();
    while let Some(batch) = stream.next().transpose()? {
        for run in batch.runs() {
            if let std::collections::hash_map::Entry::Vacant(new) = names.entry(run.series) {
                new.insert(stream.key(run.series)?.to_string());
            }
            for column in 0..batch.columns().len() {
                let of = (run.series, column);
                let points = lines.entry(of).or_insert_with(|| {
                    order.push(of);
                    Vec::new()
                });
                append(points, &batch, run.rows.clone(), column);
            }
        }
    }
    order.retain(|of| lines.get(of).is_some_and(|points| !points.is_empty()));
    few(order.len())?;
    let fields = stream.fields();
    Ok(order
        .iter()
        .map(|of| {
            let field = fields.get(of.1).map_or("", |f| f.name.as_str());
            let series = names.get(&of.0).map_or("", String::as_str);
            Line {
                name: format!("{field} {series}").trim_end().to_owned(),
                points: thin(&lines[of], width),
            }
        })
        .collect())
}

/// A line for each group and column of an answer.
fn lines_of_buckets(answer: &AggregateResult) -> Run<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut by_group: FxHashMap<(&[String], usize), usize> = FxHashMap::default();
    for row in 0..answer.len() {
        for column in 0..answer.columns().len() {
            let Some(value) = number(answer.value(row, column)) else {
                continue;
            };
            let group = answer.group(row);
            let at = *by_group.entry((group, column)).or_insert_with(|| {
                let tags = answer.tags().iter().zip(group);
                let tags: Vec<String> = tags.map(|(n, v)| format!("{n}={v}")).collect();
                let name = format!("{} {}", answer.names()[column], tags.join(","));
                lines.push(Line {
                    name: name.trim_end().to_owned(),
                    points: Vec::new(),
                });
                lines.len() - 1
            });
            lines[at].points.push((answer.buckets()[row], value));
        }
    }
    few(lines.len())?;
    Ok(lines)
}

/// Fails where there are more lines than a chart can tell apart.
fn few(lines: usize) -> Run<()> {
    if lines <= MOST_LINES {
        return Ok(());
    }
    Err(Failure::new(format_args!(
        "that would be {lines} lines, more than the {MOST_LINES} a chart can tell apart; choose \
         with --where and --fields, or aggregate with --every and --agg"
    )))
}

/// A number that can be drawn.
fn number(value: Value<'_>) -> Option<f64> {
    let number = match value {
        Value::F64(v) => v,
        Value::I64(v) => v as f64,
        Value::U64(v) => v as f64,
        Value::Bool(v) => f64::from(u8::from(v)),
        Value::Null | Value::String(_) => return None,
    };
    number.is_finite().then_some(number)
}

/// Appends the finite numbers of a column.
fn append(
    points: &mut Vec<(i64, f64)>,
    batch: &RowBatch,
    rows: std::ops::Range<usize>,
    column: usize,
) {
    for row in rows {
        if let Some(value) = number(batch.value(row, column)) {
            points.push((batch.times()[row], value));
        }
    }
}

/// Of each of `2 * width` stretches of time the lowest and the highest point, by time.
fn thin(points: &[(i64, f64)], width: usize) -> Vec<(i64, f64)> {
    let stretches = 2 * width.max(1);
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    if points.len() <= 2 * stretches {
        return points.to_vec();
    }
    let span = last.0.abs_diff(first.0).max(1);
    let step = span.div_ceil(stretches as u64).max(1);
    let stretch = |p: &(i64, f64)| p.0.abs_diff(first.0) / step;
    let mut thinned = Vec::with_capacity(2 * stretches);
    for group in points.chunk_by(|a, b| stretch(a) == stretch(b)) {
        let low = group.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let high = group.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let (Some(low), Some(high)) = (low, high) else {
            continue;
        };
        let (a, b) = if low.0 <= high.0 {
            (low, high)
        } else {
            (high, low)
        };
        thinned.push(*a);
        if a != b {
            thinned.push(*b);
        }
    }
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_every_peak() {
        let mut points: Vec<(i64, f64)> = (0..10_000).map(|t| (t, 0.0)).collect();
        points[1234].1 = 9.0;
        points[7777].1 = -9.0;
        let thinned = thin(&points, 50);
        assert!(thinned.len() <= 200, "{}", thinned.len());
        assert!(thinned.contains(&(1234, 9.0)) && thinned.contains(&(7777, -9.0)));
        assert!(thinned.is_sorted_by_key(|p| p.0));
        assert_eq!(thin(&points[..10], 50), points[..10]);
        assert_eq!(thin(&[], 50), []);
    }
}
