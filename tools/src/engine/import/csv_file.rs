//! CSV: a line of names, then one row a line.

use std::io::Read;
use std::sync::Arc;

use csv::{ErrorKind, Position, Reader, ReaderBuilder, StringRecord};
use tidestone::{FieldType, SchemaMode, Value};

use super::ImportArgs;
use super::cell::{common_type, type_of, value_of};
use super::problems::Problems;
use super::sink::{Refused, Sink};
use super::time_format::TimeFormat;
use crate::outcome::{Failure, Run};

/// Rows whose cells decide the types of columns.
const LOOKED_AT: usize = 1000;

/// Imports a file into the table of `sink`.
pub(super) fn import(
    name: &Arc<str>,
    input: impl Read,
    args: &ImportArgs,
    sink: &mut Sink,
    problems: &mut Problems,
) -> Run<()> {
    let mut reader = ReaderBuilder::new()
        .delimiter(args.delimiter)
        .flexible(true)
        .from_reader(input);
    let head = reader
        .headers()
        .map_err(|e| {
            Failure::new(format_args!(
                "{name}: cannot read the names of columns: {e}"
            ))
        })?
        .clone();
    let first = first_records(name, &mut reader)?;
    let roles = roles(name, &head, args, sink, &first)?;
    let mut rows = Rows {
        by_name: by_name(&roles),
        roles,
        columns: head.len(),
        time_format: args.time_format.clone(),
        constant: &args.tag,
        tags: Vec::new(),
        last: None,
    };
    if rows.time_format.is_none() {
        rows.guess_time_format(name, &first, problems);
    }
    for (record, line) in &first {
        if problems.stop() {
            return Ok(());
        }
        match record {
            Ok(record) => rows.take(name, record, *line, sink, problems)?,
            Err(what) => problems.refuse(name, *line, what),
        }
    }
    drop(first);
    let mut record = StringRecord::new();
    while !problems.stop() {
        match next(name, &mut reader, &mut record)? {
            Next::Row(line) => rows.take(name, &record, line, sink, problems)?,
            Next::Refused(line, what) => problems.refuse(name, line, what),
            Next::End => break,
        }
    }
    Ok(())
}

enum Next {
    /// A record, and its line.
    Row(u64),
    /// The line of what is no record, and why it is none.
    Refused(u64, String),
    End,
}

fn next(name: &str, reader: &mut Reader<impl Read>, record: &mut StringRecord) -> Run<Next> {
    let line = reader.position().line();
    match reader.read_record(record) {
        Ok(true) => Ok(Next::Row(record.position().map_or(line, Position::line))),
        Ok(false) => Ok(Next::End),
        Err(error) => match error.kind() {
            ErrorKind::Utf8 { pos, err } => {
                let line = pos.as_ref().map_or(line, Position::line);
                let column = err.field() + 1;
                Ok(Next::Refused(line, format!("column {column} is not UTF-8")))
            }
            ErrorKind::Io(error) => Err(Failure::new(format_args!("cannot read {name}: {error}"))),
            _ => Ok(Next::Refused(line, error.to_string())),
        },
    }
}

/// A record with its line, or what is wrong there.
type Located = (Result<StringRecord, String>, u64);

/// The records that decide the types. Those that are none are refused in their turn, behind the
/// rows before them.
fn first_records(name: &str, reader: &mut Reader<impl Read>) -> Run<Vec<Located>> {
    let mut first = Vec::new();
    while first.len() < LOOKED_AT {
        let mut record = StringRecord::new();
        match next(name, reader, &mut record)? {
            Next::Row(line) => first.push((Ok(record), line)),
            Next::Refused(line, what) => first.push((Err(what), line)),
            Next::End => break,
        }
    }
    Ok(first)
}

/// What a column is for.
enum Role {
    Time,
    Tag(String),
    Field {
        name: String,
        /// Unknown until the first value.
        field_type: Option<FieldType>,
        /// Where the type comes from, for people.
        because: &'static str,
        column: Option<usize>,
    },
}

fn roles(
    file: &str,
    head: &StringRecord,
    args: &ImportArgs,
    sink: &Sink,
    first: &[Located],
) -> Run<Vec<Role>> {
    let names: Vec<&str> = head.iter().collect();
    let missing = |what: &str, wanted: &str| {
        Failure::new(format_args!(
            "{file} has no column {wanted:?} ({what}); it has {names:?}"
        ))
    };
    let Some(time) = args.time.as_deref() else {
        return Err(Failure::new(
            "CSV needs --time: the name of the column with the times",
        ));
    };
    for (what, wanted) in std::iter::once(("--time", time))
        .chain(args.tags.iter().map(|t| ("--tags", t.as_str())))
        .chain(
            args.types
                .iter()
                .map(|(name, _)| ("--types", name.as_str())),
        )
    {
        if !names.contains(&wanted) {
            return Err(missing(what, wanted));
        }
    }
    if let Some(twice) = names
        .iter()
        .enumerate()
        .find(|(i, n)| names[..*i].contains(n))
    {
        return Err(Failure::new(format_args!(
            "{file} has two columns {:?}",
            twice.1
        )));
    }
    let schema = sink.table().schema();
    let role = |(at, &name): (usize, &&str)| -> Run<Role> {
        if name == time {
            return Ok(Role::Time);
        }
        if args.tags.iter().any(|t| t == name) {
            return Ok(Role::Tag(name.to_owned()));
        }
        let asked = args.types.iter().find(|(n, _)| n == name).map(|(_, t)| *t);
        let there = sink.field_type(name);
        if let (Some(asked), Some(there)) = (asked, there)
            && asked != there
        {
            return Err(Failure::new(format_args!(
                "--types says that {name:?} is {asked}; in table {:?} it is {there}",
                schema.name
            )));
        }
        if there.is_none() && schema.settings.mode == SchemaMode::Fixed {
            return Err(Failure::new(format_args!(
                "table {:?} has no field {name:?} and takes no new ones",
                schema.name
            )));
        }
        let records = first.iter().filter_map(|(record, _)| record.as_ref().ok());
        let cells = records.filter_map(|record| record.get(at));
        let seen = cells.filter(|c| !c.is_empty()).map(type_of);
        let (field_type, because) = match (there, asked) {
            (Some(there), _) => (Some(there), "in the table"),
            (None, Some(asked)) => (Some(asked), "as --types says"),
            (None, None) => (seen.reduce(common_type), "by the first 1000 rows"),
        };
        Ok(Role::Field {
            name: name.to_owned(),
            field_type,
            because,
            column: None,
        })
    };
    names.iter().enumerate().map(role).collect()
}

/// The places of the columns with tags, by the names of the tags.
fn by_name(roles: &[Role]) -> Vec<usize> {
    let tags = roles
        .iter()
        .enumerate()
        .filter_map(|(at, role)| match role {
            Role::Tag(name) => Some((name, at)),
            _ => None,
        });
    let mut tags: Vec<(&String, usize)> = tags.collect();
    tags.sort_unstable();
    tags.into_iter().map(|(_, at)| at).collect()
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
    /// The columns with tags in the order of their names: the sink knows series by the values in
    /// this order, and files of one import may have their columns in any.
    by_name: Vec<usize>,
    columns: usize,
    time_format: Option<TimeFormat>,
    /// Tags of every row.
    constant: &'a [(String, String)],
    /// The tags of the row at hand, one after another; kept for its memory.
    tags: Vec<u8>,
    /// The tags of the row before, and its series.
    last: Option<(Vec<u8>, u32)>,
}

impl Rows<'_> {
    fn guess_time_format(&mut self, file: &str, first: &[Located], problems: &Problems) {
        let at = self.roles.iter().position(|r| matches!(r, Role::Time));
        let record = first.iter().find_map(|(record, _)| record.as_ref().ok());
        let text = at.and_then(|at| record?.get(at));
        let guess = TimeFormat::guess(text.unwrap_or_default());
        if matches!(guess, TimeFormat::Since1970(_)) {
            let text = text.unwrap_or_default();
            let what =
                format_args!("times such as {text} are taken as {guess}; --time-format tells");
            problems.note(file, what);
        }
        self.time_format = Some(guess);
    }

    fn take(
        &mut self,
        file: &Arc<str>,
        record: &StringRecord,
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

    fn row<'r>(&mut self, record: &'r StringRecord, sink: &mut Sink) -> Result<Row<'r>, Refused> {
        if record.len() != self.columns {
            return Err(Refused::Line(format!(
                "{} columns, the first line has {}",
                record.len(),
                self.columns
            )));
        }
        let mut time = None;
        let mut values = Vec::with_capacity(self.columns);
        for (role, cell) in self.roles.iter_mut().zip(record) {
            match role {
                Role::Time => {
                    let format = self.time_format.as_ref().unwrap_or(&TimeFormat::Rfc3339);
                    time = Some(format.parse(cell).map_err(Refused::Line)?);
                }
                Role::Tag(_) => {}
                Role::Field { .. } if cell.is_empty() => {}
                Role::Field {
                    name,
                    field_type,
                    because,
                    column,
                } => {
                    let field_type = *field_type.get_or_insert_with(|| type_of(cell));
                    let Some(value) = value_of(cell, field_type) else {
                        return Err(Refused::Line(misfit(name, field_type, because, cell)));
                    };
                    let at = match column {
                        Some(at) => *at,
                        None => *column.insert(sink.column(name, field_type)?),
                    };
                    values.push((at, value));
                }
            }
        }
        self.tags.clear();
        for cell in self.by_name.iter().filter_map(|&at| record.get(at)) {
            self.tags
                .extend_from_slice(&(cell.len() as u64).to_le_bytes());
            self.tags.extend_from_slice(cell.as_bytes());
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

/// The tags of a record; an empty cell is no tag.
fn tags_of<'r>(
    roles: &'r [Role],
    constant: &'r [(String, String)],
    record: &'r StringRecord,
) -> Vec<(&'r str, &'r str)> {
    let of_row = roles
        .iter()
        .zip(record)
        .filter_map(|(role, cell)| match role {
            Role::Tag(name) if !cell.is_empty() => Some((name.as_str(), cell)),
            _ => None,
        });
    constant
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(of_row)
        .collect()
}

fn misfit(name: &str, field_type: FieldType, because: &str, cell: &str) -> String {
    let found = type_of(cell);
    format!("field {name:?} is {field_type} ({because}), the value {cell:?} is {found}")
}
