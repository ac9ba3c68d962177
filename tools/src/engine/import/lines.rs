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
use crate::engine::line_reader::{Got, LONGEST, read_line};
use crate::outcome::Run;

/// Marks UTF-8 at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
/// A row is no longer than [`LONGEST`]. A string that is not closed within it, or before the end of the file,
/// costs the line the row starts on: what was read behind it in search of its end is read again, as rows.
struct RowReader<R> {
    input: R,
    /// Whole lines; those before `start` are done with.
    buffer: Vec<u8>,
    start: usize,
    /// The row at hand, in the buffer.
    row: Range<usize>,
    /// The number of the line at `start`.
    line: u64,
    /// Behind the buffer comes a line that was too long, and was passed over.
    too_long: bool,
}

/// What lies behind a place of the buffer.
enum Ahead {
    /// A line, which ends there.
    Line(usize),
    TooLong,
    End,
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
            input,
            buffer: Vec::new(),
            start: 0,
            row: 0..0,
            line: 1,
            too_long: false,
        }
    }

    fn next(&mut self) -> io::Result<Next> {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > LONGEST / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let (first, mut lines, mut end) = (self.line, 0, self.start);
        let mut open = OpenString::default();
        let mut opened = None;
        let what = loop {
            let line_end = match (self.ahead(end)?, opened) {
                (Ahead::End, None) => return Ok(Next::End),
                (Ahead::TooLong, None) => {
                    (self.too_long, self.line) = (false, first + 1);
                    let what = format!("the line is longer than {} MiB; divide it", LONGEST >> 20);
                    return Ok(Next::Refused(first, what));
                }
                (Ahead::End, Some(at)) => break self.not_closed(at, "before the end of the file"),
                (Ahead::Line(line_end), None) => line_end,
                (Ahead::Line(line_end), Some(_)) if line_end - self.start <= LONGEST => line_end,
                (Ahead::Line(_) | Ahead::TooLong, Some(at)) => {
                    break self.not_closed(at, &format!("within {} MiB", LONGEST >> 20));
                }
            };
            // A byte order mark is no part of the first measurement.
            if (first, lines) == (1, 0) && self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.start = BYTE_ORDER_MARK.len();
            }
            (end, lines) = (line_end, lines + 1);
            let row = &self.buffer[self.start..end];
            if !is_comment(row) {
                opened = open.read(row);
            }
            if opened.is_none() {
                let newline = usize::from(row.ends_with(b"\n"));
                self.row = self.start..end - newline;
                (self.start, self.line) = (end, first + lines);
                return Ok(Next::Row(first));
            }
        };
        let rest = &self.buffer[self.start..];
        self.start += rest
            .iter()
            .position(|b| *b == b'\n')
            .map_or(rest.len(), |at| at + 1);
        self.line = first + 1;
        Ok(Next::Refused(first, what))
    }

    /// Reads on, if the buffer ends there.
    fn ahead(&mut self, from: usize) -> io::Result<Ahead> {
        if from < self.buffer.len() {
            let newline = self.buffer[from..].iter().position(|b| *b == b'\n');
            let end = newline.map_or(self.buffer.len(), |at| from + at + 1);
            return Ok(Ahead::Line(end));
        }
        if !self.too_long {
            match read_line(&mut self.input, &mut self.buffer, LONGEST)? {
                Got::Line => return Ok(Ahead::Line(self.buffer.len())),
                Got::End => return Ok(Ahead::End),
                Got::TooLong => self.too_long = true,
            }
        }
        Ok(Ahead::TooLong)
    }

    /// The row that was read; `None` if it is not UTF-8.
    fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.buffer[self.row.clone()]).ok()
    }

    /// What is wrong with a string that is opened at a place of the row.
    fn not_closed(&self, at: usize, where_to: &str) -> String {
        let before = String::from_utf8_lossy(&self.buffer[self.start..self.start + at]);
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let below = match before.matches('\n').count() {
            0 => String::new(),
            lines => format!(" of the line {lines} below"),
        };
        format!(
            "column {column}{below}: the quote that opens here is not closed {where_to}; close it"
        )
    }
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
