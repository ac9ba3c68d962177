//! Line protocol: rows of any table.

use std::io::{self, BufRead};
use std::ops::Range;
use std::sync::Arc;

use tidestone::Value;

use super::line_protocol::{self, Line};
use super::open_string::OpenString;
use super::problems::Problems;
use super::sink::{Refused, Sink};
use super::source;
use super::time_format::{TimeFormat, Unit};
use super::{ImportArgs, Tables};
use crate::engine::line_reader::{Got, LONGEST, Lines};
use crate::outcome::Run;

/// Imports a file: each measurement into the table of its name, or all into the one of `args`.
pub(super) fn import(
    name: &Arc<str>,
    input: impl BufRead,
    args: &ImportArgs,
    tables: &mut Tables<'_>,
    problems: &mut Problems,
) -> Run<()> {
    let format = args.time_format.clone();
    let format = format.unwrap_or(TimeFormat::Since1970(Unit::Nanos));
    let mut rows = RowReader::new(input);
    while !problems.stop() {
        problems.check_signals()?;
        let next = rows.next().map_err(|e| source::failure(name, &e))?;
        let (line, row) = match next {
            Next::End => break,
            Next::Row(line) => (line, Ok(rows.text())),
            Next::Refused(line, what) => (line, Err(what)),
        };
        problems.reached(name, line);
        let taken = match row {
            Ok(Some(row)) if row.trim().is_empty() || is_comment(row.as_bytes()) => Ok(()),
            Ok(Some(row)) => take((name, line), row, &format, args, tables, problems),
            Ok(None) => Err(Refused::Line(
                "the line is not UTF-8; convert the file to it".to_owned(),
            )),
            Err(what) => Err(Refused::Line(what)),
        };
        match taken {
            Ok(()) => {}
            Err(Refused::Line(what)) => problems.refuse(name, line, what),
            Err(Refused::All(failure)) => return Err(failure),
        }
    }
    Ok(())
}

/// Reads rows: lines, and the lines behind them on which a string goes on.
///
/// No line is longer than [`LONGEST`]. A string that is not closed within as much from the start of the row, but for
/// the rest of a line, or before the end of the file, costs the line the row starts on: what was read behind it in search of its end is read again, as rows.
struct RowReader<R> {
    lines: Lines<R>,
    /// The row at hand, in the lines.
    row: Range<usize>,
}

/// What comes next in a file, with its first line.
enum Next {
    Row(u64),
    /// What is no row, and why it is none.
    Refused(u64, String),
    End,
}

impl<R: BufRead> RowReader<R> {
    fn new(input: R) -> Self {
        Self {
            lines: Lines::new(input, LONGEST),
            row: 0..0,
        }
    }

    fn next(&mut self) -> io::Result<Next> {
        match self.lines.next()? {
            Got::End => return Ok(Next::End),
            Got::TooLong => {
                let what = format!("the line is longer than {} MiB; divide it", LONGEST >> 20);
                return Ok(Next::Refused(self.lines.number() - 1, what));
            }
            Got::Line => {}
        }
        let (start, first) = (self.lines.start(), self.lines.number());
        let mut open = OpenString::default();
        let (mut last, mut at) = (first, start);
        loop {
            let end = self.lines.end_of_line(at);
            let row = &self.lines.bytes()[start..end];
            let opened = match is_comment(row) {
                true => None,
                false => open.read(row),
            };
            let Some(opened) = opened else {
                self.row = start..end - usize::from(row.ends_with(b"\n"));
                self.lines.pass(at, last);
                return Ok(Next::Row(first));
            };
            let got = match end - start > LONGEST {
                true => Got::TooLong,
                false => self.lines.look(end)?,
            };
            let where_to = match got {
                Got::Line => {
                    (at, last) = (end, last + 1);
                    continue;
                }
                Got::TooLong => format!("within {} MiB", LONGEST >> 20),
                Got::End => "before the end of the file".to_owned(),
            };
            let before = &self.lines.bytes()[start..start + opened];
            let what = not_closed(before, &where_to);
            self.lines.pass(start, first);
            return Ok(Next::Refused(first, what));
        }
    }

    /// The row that was read; `None` if it is not UTF-8.
    fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.lines.bytes()[self.row.clone()]).ok()
    }
}

/// What is wrong with a string that is opened behind these bytes of a row.
fn not_closed(before: &[u8], where_to: &str) -> String {
    let before = String::from_utf8_lossy(before);
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let below = match before.matches('\n').count() {
        0 => String::new(),
        lines => format!(" of the line {lines} below"),
    };
    format!("column {column}{below}: the quote that opens here is not closed {where_to}; close it")
}

fn is_comment(row: &[u8]) -> bool {
    row.starts_with(b"#")
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
