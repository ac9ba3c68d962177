//! What the columns of a CSV file are for, and the types of its fields.

use rustc_hash::FxHashSet;
use tidestone::{FieldType, SchemaMode};

use super::ImportArgs;
use super::cell::{Found, common_type, type_of};
use super::problems::Problems;
use super::sink::Sink;
use crate::engine::csv::{ColumnKind, Record, typed_columns};
use crate::outcome::{Failure, Run};

/// What a column is for.
pub(super) enum Role {
    Time,
    Tag(String),
    Field(FieldColumn),
}

/// A column with the values of a field.
pub(super) struct FieldColumn {
    pub(super) name: String,
    /// Unknown until the first value.
    pub(super) field_type: Option<FieldType>,
    source: TypeSource,
    /// Its number in the sink, once it has a value.
    pub(super) column: Option<usize>,
}

/// Where the type of a field comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeSource {
    Table,
    Option,
    Header,
    FirstRows,
}

/// What is known of a column before its cells are looked at.
pub(super) enum Kind {
    Time,
    Tag,
    Field(Option<(FieldType, TypeSource)>),
}

/// What the first line and the options say of the columns of `file`, by name.
pub(super) fn kinds(file: &str, head: &Record, args: &ImportArgs) -> Run<Vec<(String, Kind)>> {
    let typed = typed_columns(head);
    let kinds = match &typed {
        Some(typed) => kinds_by_header(file, head, typed, args)?,
        None => kinds_by_args(file, head, args)?,
    };
    check_names(file, &kinds, typed.is_some(), args)?;
    Ok(kinds)
}

/// What each column is for; `first` are the records that decide the types of fields of which
/// nothing is said.
pub(super) fn roles(
    file: &str,
    kinds: Vec<(String, Kind)>,
    args: &ImportArgs,
    sink: &Sink,
    first: &[&Record],
    problems: &Problems,
) -> Run<Vec<Role>> {
    check_tags(file, &kinds, args, sink)?;
    let role = |(at, (name, kind)): (usize, (String, Kind))| match kind {
        Kind::Time => Ok(Role::Time),
        Kind::Tag => Ok(Role::Tag(name)),
        Kind::Field(said) => {
            let found = || Found::of(first.iter().filter_map(|record| record.get(at)));
            let column = field(file, name, said, found, sink, problems)?;
            Ok(Role::Field(column))
        }
    };
    kinds.into_iter().enumerate().map(role).collect()
}

/// The columns of a file whose first line says what they are. Options may say the same.
fn kinds_by_header(
    file: &str,
    head: &Record,
    typed: &[(&str, ColumnKind)],
    args: &ImportArgs,
) -> Run<Vec<(String, Kind)>> {
    let said = |option: &str, name: &str, is_so: &dyn Fn(ColumnKind) -> bool| match typed
        .iter()
        .any(|(n, kind)| *n == name && is_so(*kind))
    {
        true => Ok(()),
        false => Err(missing(file, head, option, name)),
    };
    if let Some(time) = &args.time {
        said("--time", time, &|kind| kind == ColumnKind::Time)?;
    }
    for tag in &args.tags {
        said("--tags", tag, &|kind| kind == ColumnKind::Tag)?;
    }
    for (name, field_type) in &args.types {
        said("--types", name, &|kind| {
            kind == ColumnKind::Field(*field_type)
        })?;
    }
    let kind = |kind| match kind {
        ColumnKind::Time => Kind::Time,
        ColumnKind::Tag => Kind::Tag,
        ColumnKind::Field(field_type) => Kind::Field(Some((field_type, TypeSource::Header))),
    };
    let columns = typed.iter();
    Ok(columns
        .map(|(name, k)| ((*name).to_owned(), kind(*k)))
        .collect())
}

/// The columns as the options say.
fn kinds_by_args(file: &str, head: &Record, args: &ImportArgs) -> Run<Vec<(String, Kind)>> {
    let Some(time) = args.time.as_deref() else {
        return Err(Failure::new(format_args!(
            "CSV needs --time: the name of the column with the times; {file} has {:?}",
            names(head)
        )));
    };
    let times = std::iter::once(("--time", time));
    let tags = args.tags.iter().map(|t| ("--tags", t.as_str()));
    let types = args.types.iter().map(|(n, _)| ("--types", n.as_str()));
    for (option, name) in times.chain(tags).chain(types) {
        if !head.iter().any(|cell| cell.text == name) {
            return Err(missing(file, head, option, name));
        }
    }
    if args.tags.iter().any(|tag| tag == time) {
        return Err(Failure::new(format_args!(
            "--time and --tags both name the column {time:?}"
        )));
    }
    let kind = |name: &str| {
        if name == time {
            return Kind::Time;
        }
        if args.tags.iter().any(|t| t == name) {
            return Kind::Tag;
        }
        let asked = args.types.iter().find(|(n, _)| n == name);
        Kind::Field(asked.map(|(_, t)| (*t, TypeSource::Option)))
    };
    let columns = head
        .iter()
        .map(|cell| (cell.text.to_owned(), kind(cell.text)));
    Ok(columns.collect())
}

fn missing(file: &str, head: &Record, option: &str, name: &str) -> Failure {
    let names = names(head);
    Failure::new(format_args!(
        "{file} has no column {name:?} ({option}); it has {names:?}: correct the name"
    ))
}

fn names(head: &Record) -> Vec<&str> {
    head.iter().map(|cell| cell.text).collect()
}

/// Tags have other names than each other, and so have fields; and times, where they are known by their
/// name and not by what the first line says.
fn check_names(file: &str, kinds: &[(String, Kind)], typed: bool, args: &ImportArgs) -> Run<()> {
    let mut names = FxHashSet::default();
    for (at, (name, kind)) in kinds.iter().enumerate() {
        let is_tag = matches!(kind, Kind::Tag);
        if name.is_empty() && !matches!(kind, Kind::Time) {
            let column = at + 1;
            return Err(Failure::new(format_args!(
                "{file}: column {column} has no name; name it in the first line"
            )));
        }
        let is_time = typed && matches!(kind, Kind::Time);
        if !names.insert((name, is_tag, is_time)) {
            return Err(Failure::new(format_args!(
                "{file} has two columns {name:?}; rename one in the first line"
            )));
        }
        if is_tag && args.tag.iter().any(|(constant, _)| constant == name) {
            return Err(Failure::new(format_args!(
                "--tag gives {name:?} to every row, and {file} has a column of that name among its \
                 tags; leave one of them out"
            )));
        }
    }
    Ok(())
}

/// Fails where a tag of the table would become a field because nothing says what the column is: each row
/// would then be another one than the same row with the tag.
fn check_tags(file: &str, kinds: &[(String, Kind)], args: &ImportArgs, sink: &Sink) -> Run<()> {
    let unsaid = |(name, kind): &(String, Kind)| {
        matches!(kind, Kind::Field(None)) && sink.field_type(name).is_none()
    };
    if !kinds.iter().any(unsaid) {
        return Ok(());
    }
    let tags = sink.table().tag_names()?;
    let taken = kinds.iter().filter(|kind| unsaid(kind));
    let taken: Vec<&str> = taken
        .map(|(name, _)| name.as_str())
        .filter(|name| tags.iter().any(|tag| tag == name))
        .collect();
    let (columns, are) = match taken[..] {
        [] => return Ok(()),
        [name] => (format!("column {name:?}"), "is a tag"),
        _ => (format!("columns {taken:?}"), "are tags"),
    };
    let all: Vec<&str> = args.tags.iter().map(String::as_str).chain(taken).collect();
    Err(Failure::new(format_args!(
        "{columns} of {file} {are} of table {:?}; give --tags {}, or, for a field of that name, its \
         type in --types",
        sink.table().name(),
        all.join(",")
    )))
}

/// A field, whose type is the table's, or `said`, or what is `found`.
fn field(
    file: &str,
    name: String,
    said: Option<(FieldType, TypeSource)>,
    found: impl FnOnce() -> Found,
    sink: &Sink,
    problems: &Problems,
) -> Run<FieldColumn> {
    let schema = sink.table().schema();
    let there = sink.field_type(&name);
    if let (Some((said, source)), Some(there)) = (said, there)
        && said != there
    {
        let who = match source {
            TypeSource::Header => format!("the first line of {file} says"),
            _ => "--types says".to_owned(),
        };
        return Err(Failure::new(format_args!(
            "{who} that {name:?} is {said}; in table {:?} it is {there}, and types do not change: \
             import into another table",
            schema.name
        )));
    }
    if there.is_none() && schema.settings.mode == SchemaMode::Fixed {
        return Err(Failure::new(format_args!(
            "table {:?} has no field {name:?} and takes no new ones; leave the column out, or import into another \
             table",
            schema.name
        )));
    }
    let (field_type, source) = match (there, said) {
        (Some(there), _) => (Some(there), TypeSource::Table),
        (None, Some((said, source))) => (Some(said), source),
        (None, None) => {
            let found = found();
            if found.rounds() {
                let what = format_args!(
                    "field {name:?} is taken as f64, which rounds integers beyond 2^53; \
                     --types {name}=string keeps them as they are written"
                );
                problems.note(file, what);
            }
            (found.field_type(), TypeSource::FirstRows)
        }
    };
    Ok(FieldColumn {
        name,
        field_type,
        source,
        column: None,
    })
}

impl FieldColumn {
    /// Why a value is not one of the field's type, and what would take it.
    pub(super) fn misfit(&self, field_type: FieldType, value: &str) -> String {
        let name = &self.name;
        let because = match self.source {
            TypeSource::Table => "in the table",
            TypeSource::Option => "as --types says",
            TypeSource::Header => "as the first line says",
            TypeSource::FirstRows => "by the first 1000 rows",
        };
        let found = type_of(value);
        let is_negative = field_type == FieldType::U64 && found == FieldType::I64;
        let found_word = if is_negative {
            "negative"
        } else if found == field_type {
            // A number that is written as one, and beyond what the type holds.
            "too large for it"
        } else {
            found.name()
        };
        let message = format!(
            "field {name:?} is {field_type} ({because}), the value {value:?} is {found_word}"
        );
        let common = match common_type(field_type, found) {
            // No type of numbers takes it.
            _ if found == field_type => "string".to_owned(),
            FieldType::U64 if is_negative => "string".to_owned(),
            FieldType::U64 => "u64 (if none is negative)".to_owned(),
            other => other.to_string(),
        };
        match self.source {
            TypeSource::FirstRows => {
                format!("{message}; --types {name}={common}, given for a new table, takes both")
            }
            // The field is there: no option changes its type.
            TypeSource::Table => format!(
                "{message}, and the type of a field is fixed; correct it, or import into a new table with \
                 --types {name}={common}, which takes both"
            ),
            TypeSource::Option => {
                format!("{message}; correct it, or give {name}={common}, which takes both")
            }
            TypeSource::Header => {
                format!(
                    "{message}; correct it, or name the column {name}:{common}, which takes both"
                )
            }
        }
    }
}
