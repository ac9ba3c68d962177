//! Rows as a table, CSV or JSON.

use std::io::Write;

use clap::{Args, ValueEnum};
use tidestone::Value;

use crate::outcome::{Failure, Run};
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
    /// A line of names, then one row a line; what is not there is empty
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
    Csv(Box<csv::Writer<Vec<u8>>>),
    Json,
}

impl<'a> Output<'a> {
    /// Starts a result with these columns.
    pub(crate) fn new(format: Format, columns: Vec<String>, out: &'a mut dyn Write) -> Run<Self> {
        let kind = match format {
            Format::Table => Kind::Table(TextTable::new(columns.iter().map(|c| one_line(c)))),
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(Vec::new());
                csv.write_record(&columns).map_err(Failure::new)?;
                Kind::Csv(Box::new(csv))
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
            Kind::Csv(csv) => {
                let record = values.into_iter().map(|v| v.to_string());
                csv.write_record(record).map_err(Failure::new)?;
                if self.rows.is_multiple_of(PART as u64) {
                    Self::drain(csv, self.out)?;
                }
            }
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
            Kind::Csv(csv) => Self::drain(csv, self.out)?,
            Kind::Json => writeln!(self.out, "\n]")?,
        }
        Ok(self.rows)
    }

    fn drain(csv: &mut csv::Writer<Vec<u8>>, out: &mut dyn Write) -> Run<()> {
        let done = std::mem::replace(csv, csv::Writer::from_writer(Vec::new()));
        let bytes = done.into_inner().map_err(|e| Failure::new(e.error()))?;
        out.write_all(&bytes)?;
        Ok(())
    }
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
