//! Rows as a table, CSV or JSON.

use std::io::Write;

use clap::{Args, ValueEnum};
use tidestone::Value;

use crate::engine::csv::write_cell;
use crate::outcome::Run;
use crate::scalar::Scalar;
use crate::text::{TextTable, one_line};

/// How results are printed.
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// How to print the result
    #[arg(long, default_value = "table")]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// A line of names, then one row a line. Floats have a point or an exponent and lose nothing;
    /// nothing between commas is null, "" the empty string
    Csv,
    /// An array with an object for each row
    Json,
}

impl FormatArgs {
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Rows of a table are printed this many at a time.
const PART: usize = 1000;

/// Prints rows as they come.
pub(crate) struct Output<'a> {
    out: &'a mut dyn Write,
    columns: Vec<String>,
    kind: Kind,
    rows: u64,
}

enum Kind {
    Table(TextTable),
    /// A line in the making; kept for its memory.
    Csv(String),
    Json,
}

impl<'a> Output<'a> {
    /// Starts a result with these columns. A name that was there already, such as that of a tag and
    /// a field, gets a number.
    pub(crate) fn new(
        format: Format,
        mut columns: Vec<String>,
        out: &'a mut dyn Write,
    ) -> Run<Self> {
        number_repeated(&mut columns);
        let kind = match format {
            Format::Table => Kind::Table(TextTable::new(columns.iter().map(|c| one_line(c)))),
            Format::Csv => {
                let mut line = String::new();
                let names = columns.iter().cloned().map(Scalar::Text);
                write_line(names, &mut line, out)?;
                Kind::Csv(line)
            }
            Format::Json => {
                write!(out, "[")?;
                Kind::Json
            }
        };
        Ok(Self {
            out,
            columns,
            kind,
            rows: 0,
        })
    }

    /// Prints a row: a value for each column.
    pub(crate) fn row(&mut self, values: impl IntoIterator<Item = Scalar>) -> Run<()> {
        match &mut self.kind {
            Kind::Table(table) => {
                let cell = |value: Scalar| match value {
                    Scalar::Null => "-".to_owned(),
                    value => one_line(&value.to_string()),
                };
                table.row(values.into_iter().map(cell));
                if table.len() >= PART {
                    table.print("", self.out)?;
                }
            }
            Kind::Csv(line) => write_line(values, line, self.out)?,
            Kind::Json => {
                let comma = if self.rows == 0 { "" } else { "," };
                write!(self.out, "{comma}\n  {{")?;
                for (i, (name, value)) in self.columns.iter().zip(values).enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(self.out, "{comma}{}:", serde_json::to_string(name)?)?;
                    serde_json::to_writer(&mut *self.out, &value)?;
                }
                write!(self.out, "}}")?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Prints what is left, and says how many rows there were.
    pub(crate) fn finish(mut self) -> Run<u64> {
        match &mut self.kind {
            Kind::Table(table) => table.print("", self.out)?,
            Kind::Csv(_) => {}
            Kind::Json => writeln!(self.out, "\n]")?,
        }
        Ok(self.rows)
    }
}

/// Makes all names differ.
fn number_repeated(names: &mut [String]) {
    for at in 1..names.len() {
        let (before, rest) = names.split_at_mut(at);
        let Some(name) = rest.first_mut().filter(|name| before.contains(name)) else {
            continue;
        };
        let numbered = (2..).map(|n| format!("{name} ({n})"));
        if let Some(other) = numbered.into_iter().find(|other| !before.contains(other)) {
            *name = other;
        }
    }
}

/// Writes a record of CSV, made in `line`.
fn write_line(
    values: impl IntoIterator<Item = Scalar>,
    line: &mut String,
    out: &mut dyn Write,
) -> Run<()> {
    line.clear();
    for (i, value) in values.into_iter().enumerate() {
        if i > 0 {
            line.push(',');
        }
        write_cell(&value, line);
    }
    line.push('\n');
    out.write_all(line.as_bytes())?;
    Ok(())
}

impl From<Value<'_>> for Scalar {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::F64(v) => Self::F64(v),
            Value::I64(v) => Self::Int(v.into()),
            Value::U64(v) => Self::Int(v.into()),
            Value::Bool(v) => Self::Bool(v),
            Value::String(v) => Self::Text(v.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_repeat_are_numbered() {
        let mut names = ["time", "a", "time", "a", "a"].map(str::to_owned);
        number_repeated(&mut names);
        assert_eq!(names, ["time", "a", "time (2)", "a (2)", "a (3)"]);
    }
}
