//! CSV: a line of names, then rows.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::Arc;

use tidestone::{FieldType, Value};

use super::Tables;
use super::cell::{Found, value_of};
use super::columns::{FieldColumn, Role, kinds, roles};
use super::problems::Problems;
use super::sink::{Refused, Sink};
use super::source;
use super::time_format::TimeFormat;
use crate::engine::csv::{Cell, Next, Record, Records};
use crate::engine::line_reader::LONGEST;
use crate::outcome::{Failure, Run};

/// Records whose cells decide the types of columns; fewer of long ones.
const LOOKED_AT: usize = 1000;

/// Imports a file into a table, which is made if its first line can be understood.
pub(super) fn import(
    name: &Arc<str>,
    input: impl BufRead,
    table: &str,
    tables: &mut Tables<'_>,
    problems: &mut Problems,
) -> Run<()> {
    let args = tables.args;
    let mut file = CsvFile::new(name, Records::new(input, args.delimiter));
    let kinds = kinds(name, &file.head()?, args)?;
    let sink = tables.sink(table)?;
    file.look_ahead();
    let first: Vec<&Record> = file.ahead.iter().flat_map(|(record, _)| record).collect();
    let roles = roles(name, kinds, args, sink, &first, problems)?;
    let mut rows = Rows {
        roles,
        time_format: args.time_format.clone(),
        constant: &args.tag,
        tags: Vec::new(),
        last: None,
    };
    if rows.time_format.is_none() {
        rows.guess_time_format(name, &first, problems);
    }
    let mut record = Record::default();
    while !problems.stop() {
        // Those ahead were read.
        if file.ahead.is_empty() {
            problems.check_signals()?;
        }
        match file.next(&mut record)? {
            Next::Record(line) => {
                problems.reached(name, line);
                rows.take(name, &record, line, sink, problems)?;
            }
            Next::Refused(line, what) => {
                problems.reached(name, line);
                problems.refuse(name, line, what);
            }
            Next::End => break,
        }
    }
    Ok(())
}

/// A record with its line, or what is wrong there.
type Located = (Result<Record, String>, u64);

/// The records of a file. Those that decide the types are read ahead, and given in their turn; so
/// is the failure to read more.
struct CsvFile<'a, R> {
    name: &'a str,
    records: Records<R>,
    ahead: VecDeque<Located>,
    failed: Option<Failure>,
}

impl<'a, R: BufRead> CsvFile<'a, R> {
    fn new(name: &'a str, records: Records<R>) -> Self {
        Self {
            name,
            records,
            ahead: VecDeque::new(),
            failed: None,
        }
    }

    /// The names of the columns.
    fn head(&mut self) -> Run<Record> {
        let name = self.name;
        let mut head = Record::default();
        match self.read(&mut head)? {
            Next::Record(_) => Ok(head),
            Next::Refused(line, what) => Err(Failure::new(format_args!(
                "{name}:{line}: cannot read the names of columns: {what}"
            ))),
            Next::End => Err(Failure::new(format_args!(
                "{name} is empty; the first line of CSV names the columns"
            ))),
        }
    }

    fn look_ahead(&mut self) {
        let mut text = 0;
        while self.ahead.len() < LOOKED_AT && text < LONGEST {
            let mut record = Record::default();
            match self.read(&mut record) {
                Ok(Next::Record(line)) => {
                    text += record.text_len();
                    self.ahead.push_back((Ok(record), line));
                }
                Ok(Next::Refused(line, what)) => self.ahead.push_back((Err(what), line)),
                Ok(Next::End) => break,
                Err(failure) => {
                    self.failed = Some(failure);
                    break;
                }
            }
        }
    }

    fn next(&mut self, record: &mut Record) -> Run<Next> {
        if let Some((read, line)) = self.ahead.pop_front() {
            return Ok(match read {
                Ok(first) => {
                    *record = first;
                    Next::Record(line)
                }
                Err(what) => Next::Refused(line, what),
            });
        }
        match self.failed.take() {
            Some(failure) => Err(failure),
            None => self.read(record),
        }
    }

    fn read(&mut self, record: &mut Record) -> Run<Next> {
        let next = self.records.next(record);
        next.map_err(|e| source::failure(self.name, &e))
    }
}

/// A record, read.
struct Row<'r> {
    time: i64,
    series: u32,
    /// With the numbers of their columns.
    values: Vec<(usize, Value<'r>)>,
}

/// Turns records into rows.
struct Rows<'a> {
    roles: Vec<Role>,
    time_format: Option<TimeFormat>,
    /// Tags of every row.
    constant: &'a [(String, String)],
    /// The tags of the row at hand, one after another; kept for its memory.
    tags: Vec<u8>,
    /// The tags of the row before, and its series.
    last: Option<(Vec<u8>, u32)>,
}

impl Rows<'_> {
    /// By the first time there is.
    fn guess_time_format(&mut self, file: &str, first: &[&Record], problems: &Problems) {
        let at = self.roles.iter().position(|r| matches!(r, Role::Time));
        let mut cells = first.iter().filter_map(|record| record.get(at?));
        let cell = cells.find(|cell| !cell.text.is_empty());
        let text = cell.map_or("", |cell| cell.text);
        let guess = TimeFormat::guess(text);
        if matches!(guess, TimeFormat::Since1970(_)) {
            let what = format_args!(
                "times such as {text} are taken as {guess}, unless --time-format is given"
            );
            problems.note(file, what);
        }
        self.time_format = Some(guess);
    }

    fn take(
        &mut self,
        file: &Arc<str>,
        record: &Record,
        line: u64,
        sink: &mut Sink,
        problems: &mut Problems,
    ) -> Run<()> {
        match self.row(record, sink) {
            Ok(row) => sink.row((file, line), row.series, row.time, &row.values, problems),
            Err(Refused::Line(what)) => {
                problems.refuse(file, line, what);
                Ok(())
            }
            Err(Refused::All(failure)) => Err(failure),
        }
    }

    fn row<'r>(&mut self, record: &'r Record, sink: &mut Sink) -> Result<Row<'r>, Refused> {
        if record.len() != self.roles.len() {
            return Err(Refused::Line(format!(
                "{} columns, the first line has {}; write a value for each, or nothing between two delimiters",
                record.len(),
                self.roles.len()
            )));
        }
        let mut time = None;
        let mut values = Vec::with_capacity(self.roles.len());
        self.tags.clear();
        for (role, cell) in self.roles.iter_mut().zip(record.iter()) {
            match role {
                Role::Time => {
                    let format = self.time_format.as_ref().unwrap_or(&TimeFormat::Rfc3339);
                    time = Some(format.parse(cell.text).map_err(Refused::Line)?);
                }
                Role::Tag(_) => push_tag(&mut self.tags, cell),
                Role::Field(_) if cell.is_null() => {}
                Role::Field(field) => values.push(value(field, cell, sink)?),
            }
        }
        let series = match &self.last {
            Some((tags, series)) if *tags == self.tags => *series,
            _ => {
                let (roles, constant) = (&self.roles, self.constant);
                let series = sink.series(&self.tags, || tags_of(roles, constant, record))?;
                self.last = Some((self.tags.clone(), series));
                series
            }
        };
        Ok(Row {
            time: time.unwrap_or_default(),
            series,
            values,
        })
    }
}

/// The value of a cell, and the number of its column.
fn value<'r>(
    field: &mut FieldColumn,
    cell: Cell<'r>,
    sink: &mut Sink,
) -> Result<(usize, Value<'r>), Refused> {
    let field_type = *field.field_type.get_or_insert_with(|| {
        Found::of([cell].into_iter())
            .field_type()
            .unwrap_or(FieldType::String)
    });
    let Some(value) = value_of(cell, field_type) else {
        return Err(Refused::Line(field.misfit(field_type, cell.text)));
    };
    let at = match field.column {
        Some(at) => at,
        None => *field.column.insert(sink.column(&field.name, field_type)?),
    };
    Ok((at, value))
}

/// Appends the cell of a tag so that other cells are other bytes.
fn push_tag(tags: &mut Vec<u8>, cell: Cell<'_>) {
    let len = match cell.is_null() {
        true => u64::MAX,
        false => cell.text.len() as u64,
    };
    tags.extend_from_slice(&len.to_le_bytes());
    tags.extend_from_slice(cell.text.as_bytes());
}

/// The tags of a record; a null is no tag.
fn tags_of<'r>(
    roles: &'r [Role],
    constant: &'r [(String, String)],
    record: &'r Record,
) -> Vec<(&'r str, &'r str)> {
    let of_row = roles
        .iter()
        .zip(record.iter())
        .filter_map(|(role, cell)| match role {
            Role::Tag(name) if !cell.is_null() => Some((name.as_str(), cell.text)),
            _ => None,
        });
    constant
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(of_row)
        .collect()
}
