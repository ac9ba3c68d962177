//! Line protocol: rows of any table, a line each.

use std::io::BufRead;
use std::sync::Arc;

use tidestone::Value;

use super::line_protocol::{self, Line};
use super::problems::Problems;
use super::sink::{Refused, Sink};
use super::source;
use super::time_format::{TimeFormat, Unit};
use super::{ImportArgs, Tables};
use crate::engine::line_reader::{Got, LONGEST, read_line};
use crate::outcome::Run;

/// Imports a file: each measurement into the table of its name, or all into the one of `args`.
pub(super) fn import(
    name: &Arc<str>,
    mut input: impl BufRead,
    args: &ImportArgs,
    tables: &mut Tables<'_>,
    problems: &mut Problems,
) -> Run<()> {
    let format = args.time_format.clone();
    let format = format.unwrap_or(TimeFormat::Since1970(Unit::Nanos));
    let mut bytes = Vec::new();
    for number in 1u64.. {
        if problems.stop() {
            break;
        }
        problems.check_signals()?;
        bytes.clear();
        let got = read_line(&mut input, &mut bytes, LONGEST);
        let got = got.map_err(|e| source::failure(name, &e))?;
        if got == Got::End {
            break;
        }
        problems.reached(name, number);
        if got == Got::TooLong {
            let what = format_args!("the line is longer than {} MiB; divide it", LONGEST >> 20);
            problems.refuse(name, number, what);
            continue;
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        let Ok(text) = std::str::from_utf8(&bytes) else {
            problems.refuse(
                name,
                number,
                "the line is not UTF-8; convert the file to it",
            );
            continue;
        };
        // A byte order mark is no part of the first measurement.
        let text = match number {
            1 => text.strip_prefix('\u{feff}').unwrap_or(text),
            _ => text,
        };
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        match take((name, number), text, &format, args, tables, problems) {
            Ok(()) => {}
            Err(Refused::Line(what)) => problems.refuse(name, number, what),
            Err(Refused::All(failure)) => return Err(failure),
        }
    }
    Ok(())
}

fn take(
    place: (&Arc<str>, u64),
    text: &str,
    format: &TimeFormat,
    args: &ImportArgs,
    tables: &mut Tables<'_>,
    problems: &mut Problems,
) -> Result<(), Refused> {
    let line = line_protocol::parse(text).map_err(Refused::Line)?;
    let Some(time) = line.time else {
        return Err(Refused::Line(
            "the line has no timestamp, and every row needs one; write it at the end".to_owned(),
        ));
    };
    let time = format.parse(time).map_err(Refused::Line)?;
    let table = args.table.as_deref().unwrap_or(&line.measurement);
    let sink = tables.sink(table)?;
    let columns = sink.columns();
    let row = row(&line, args, sink);
    if row.is_err() {
        // A line that is refused decides the type of no field.
        sink.forget_columns_from(columns);
    }
    let (series, values) = row?;
    sink.row(place, series, time, &values, problems)
        .map_err(Refused::All)
}

/// The series of a line, and its values with the numbers of their columns.
fn row<'l>(
    line: &'l Line<'_>,
    args: &ImportArgs,
    sink: &mut Sink,
) -> Result<(u32, Vec<(usize, Value<'l>)>), Refused> {
    let mut values: Vec<(usize, Value<'_>)> = Vec::with_capacity(line.fields.len());
    for (name, value) in &line.fields {
        let value = value.as_value();
        if let Some(field_type) = value.field_type() {
            values.push((sink.column(name, field_type)?, value));
        }
    }
    values.sort_unstable_by_key(|(at, _)| *at);
    if let Some(twice) = values.windows(2).find(|w| w[0].0 == w[1].0) {
        let name = sink.name(twice[0].0);
        return Err(Refused::Line(format!(
            "field {name:?} is given twice in one line; give it once"
        )));
    }
    let series = sink.series(line.raw_tags.as_bytes(), || {
        let own = line.tags.iter().map(|(n, v)| (n.as_ref(), v.as_ref()));
        let constant = args.tag.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        own.chain(constant).collect::<Vec<(&str, &str)>>()
    })?;
    Ok((series, values))
}
