//! `plot`: a selection as a chart.

use std::io::{IsTerminal, Write};

use clap::Args;
use rustc_hash::FxHashMap;
use tidestone::{
    AggregateResult, Field, FieldType, Order, Query, RowBatch, SeriesId, Table, Value,
};

use super::aggregate::AggregateArgs;
use super::chart::{Chart, Line};
use super::select::SelectArgs;
use super::thinned::{Point, Thinned};
use crate::outcome::{Failure, Outcome, Run};
use crate::stderr::tell;

/// Lines that a chart can tell apart.
const MOST_LINES: usize = 12;

const AFTER_HELP: &str = "\
Without --agg every row is a point; with it every bucket is one, so that --agg needs --every.";

/// A chart of a selection.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct PlotArgs {
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    aggregate: AggregateArgs,
    /// Characters across
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(20..=1000))]
    width: u16,
    /// Lines of text
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(6..=500))]
    height: u16,
    /// Print the points of the chart as JSON instead
    #[arg(long)]
    json: bool,
}

/// Carries out `tidestone plot`.
pub(crate) fn run(args: &PlotArgs, out: &mut dyn Write) -> Run {
    if args.aggregate.is_of_all_time() {
        return Err(Failure::new(
            "a chart has a point for each bucket of time, and without --every there is one bucket, \
             which is all time: give --every, such as --every 1h, or ask `query` for the aggregate",
        ));
    }
    let db = args.select.db.open()?;
    let table = args.select.table(&db)?;
    let lines = match args.aggregate.query(&args.select, &table)? {
        Some(query) => lines_of_buckets(&query.buckets()?)?,
        None => {
            let fields = drawn(&args.select, &table)?;
            let query = args.select.query(&table)?.fields(&fields);
            lines_of(&query, usize::from(args.width))?
        }
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
        None => tell("tidestone: there is nothing to draw"),
    }
    Ok(Outcome::Sound)
}

fn title(lines: &[Line], table: &str) -> String {
    match lines {
        [one] => one.name.clone(),
        _ => table.to_owned(),
    }
}

/// A line for each series and field of numbers of the selection, thinned to what `width` characters
/// can show.
pub(crate) fn lines_of(query: &Query, width: usize) -> Run<Vec<Line>> {
    // A character has two dots across.
    let most = 4 * width.max(1);
    let mut stream = query.clone().order(Order::SeriesTime).scan()?;
    let mut lines: Vec<(SeriesId, usize, Thinned)> = Vec::new();
    while let Some(batch) = stream.next().transpose()? {
        for run in batch.runs() {
            for column in 0..batch.columns().len() {
                let mut points = points(&batch, run.rows.clone(), column).peekable();
                if points.peek().is_none() {
                    continue;
                }
                let known = |l: &(SeriesId, usize, _)| (l.0, l.1) == (run.series, column);
                let at = match lines.iter().position(known) {
                    Some(at) => at,
                    None => {
                        one_more(lines.len())?;
                        lines.push((run.series, column, Thinned::new(most)));
                        lines.len() - 1
                    }
                };
                points.for_each(|point| lines[at].2.push(point));
            }
        }
    }
    let line = |(series, column, thinned): (SeriesId, usize, Thinned)| {
        let field = stream.fields().get(column).map_or("", |f| f.name.as_str());
        let key = stream.key(series)?;
        Ok(Line {
            name: format!("{field} {key}").trim_end().to_owned(),
            points: thinned.into_points(),
        })
    };
    lines.into_iter().map(line).collect()
}

/// The fields that are drawn: those asked for, or all that can be.
fn drawn(select: &SelectArgs, table: &Table) -> Run<Vec<String>> {
    let can_be_drawn = |field: &Field| field.field_type != FieldType::String;
    let mut names = Vec::new();
    for name in &select.fields {
        let field = table.field(name)?;
        if !can_be_drawn(&field) {
            return Err(Failure::new(format_args!(
                "field {name:?} of table {:?} is string; only numbers and bools can be drawn: name \
                 another field",
                select.table
            )));
        }
        names.push(field.name);
    }
    if names.is_empty() {
        let schema = table.schema();
        let all = schema.fields.iter().filter(|f| can_be_drawn(f));
        names = all.map(|f| f.name.clone()).collect();
    }
    if names.is_empty() {
        return Err(Failure::new(format_args!(
            "table {:?} has no field of numbers or bools; nothing else can be drawn: name \
             another table",
            select.table
        )));
    }
    Ok(names)
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
            let at = match by_group.get(&(group, column)) {
                Some(&at) => at,
                None => {
                    one_more(lines.len())?;
                    let tags = answer.tags().iter().zip(group);
                    let tags: Vec<String> = tags.map(|(n, v)| format!("{n}={v}")).collect();
                    let name = format!("{} {}", answer.names()[column], tags.join(","));
                    lines.push(Line {
                        name: name.trim_end().to_owned(),
                        points: Vec::new(),
                    });
                    by_group.insert((group, column), lines.len() - 1);
                    lines.len() - 1
                }
            };
            lines[at].points.push((answer.buckets()[row], value));
        }
    }
    Ok(lines)
}

/// Fails where another line is one more than a chart can tell apart.
fn one_more(lines: usize) -> Run<()> {
    if lines < MOST_LINES {
        return Ok(());
    }
    Err(Failure::new(format_args!(
        "that would be more than the {MOST_LINES} lines a chart can tell apart; choose with --where \
         and --fields, or aggregate with --every and --agg"
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

/// The finite numbers of a column.
fn points(
    batch: &RowBatch,
    rows: std::ops::Range<usize>,
    column: usize,
) -> impl Iterator<Item = Point> {
    rows.filter_map(move |row| {
        let value = number(batch.value(row, column))?;
        Some((batch.times()[row], value))
    })
}
