//! Questions to a table: `query`, `last`, `export`, `plot`.
//!
//! | module | what |
//! |---|---|
//! | `select` | which rows of which table |
//! | `output` | table, CSV, JSON |
//! | `rows` | rows as they were written |
//! | `aggregate` | aggregates by group and bucket of time |
//! | `plot`, `thinned`, `chart` | rows as a chart |

mod aggregate;
mod chart;
mod output;
mod plot;
mod rows;
mod select;
mod thinned;

use std::io::Write;

use clap::{Args, ValueEnum};
use tidestone::{Order, Table, TimeRange};

use crate::outcome::{Outcome, Run};
use aggregate::AggregateArgs;
pub(crate) use chart::Chart;
pub(crate) use output::{Format, FormatArgs, Output};
pub(crate) use plot::run as plot;
pub(crate) use plot::{PlotArgs, lines_of};
use rows::RowPrinter;
pub(crate) use select::{SelectArgs, WhichArgs, check_tags, tag_test};

/// Rows, or aggregates of them.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    aggregate: AggregateArgs,
    /// The order of the rows
    #[arg(long, default_value = "time")]
    order: OrderArg,
    /// At most this many rows
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderArg {
    /// By time, then by series
    Time,
    /// By time, latest first
    Latest,
    /// By series, then by time: the quickest
    Series,
}

/// The last row of each series.
#[derive(Debug, Args)]
pub(crate) struct LastArgs {
    #[command(flatten)]
    select: SelectArgs,
    /// As of this time: rows after it do not count
    #[arg(long, value_name = "TIME", value_parser = crate::time::time, allow_hyphen_values = true)]
    at: Option<i64>,
    /// At most this many rows
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    #[command(flatten)]
    format: FormatArgs,
}

/// All rows of a selection, by series and time, as CSV that `import` reads.
///
/// Every value but a NaN's payload comes back as it was: floats have a point or an exponent (1.0),
/// nothing between two commas is null, "" is the empty string, times are RFC 3339 to the ns.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    select: SelectArgs,
    /// Write behind each name what the column is (time:time, city:tag, degrees:f64). `import` of
    /// such a file needs neither --time, --tags nor --types
    #[arg(long)]
    typed: bool,
    /// Print an array with an object for each row instead, as `query --json` does
    #[arg(long, conflicts_with = "typed")]
    json: bool,
}

impl From<OrderArg> for Order {
    fn from(order: OrderArg) -> Self {
        match order {
            OrderArg::Time => Self::Time,
            OrderArg::Latest => Self::TimeDescending,
            OrderArg::Series => Self::SeriesTime,
        }
    }
}

/// Carries out `tidestone query`.
pub(crate) fn query(args: &QueryArgs, out: &mut dyn Write) -> Run {
    let limit = args.limit.unwrap_or(usize::MAX);
    let (select, format) = (&args.select, args.format.format());
    let db = select.db.open()?;
    let table = select.table(&db)?;
    let Some(query) = args.aggregate.query(select, &table)? else {
        let printed = Printed {
            order: args.order.into(),
            limit,
            format,
            typed: false,
        };
        return print_rows(select, &table, &printed, out);
    };
    let answer = query.order(args.order.into()).limit(limit).buckets()?;
    let mut output = Output::new(format, args.aggregate.columns(&answer), out)?;
    args.aggregate.print(&answer, &mut output)?;
    output.finish()?;
    Ok(Outcome::Sound)
}

/// Carries out `tidestone last`.
pub(crate) fn last(args: &LastArgs, out: &mut dyn Write) -> Run {
    let select = &args.select;
    let db = select.db.open()?;
    let table = select.table(&db)?;
    let query = select
        .query(&table)?
        .limit(args.limit.unwrap_or(usize::MAX));
    let tags = select.tag_names(&table)?;
    let batch = match args.at {
        Some(time) => query.last_at(time)?,
        None => query.last()?,
    };
    let keys = query.range(TimeRange::ALL).scan()?;
    let mut printer = RowPrinter::new(&tags);
    let columns = printer.columns(batch.fields());
    let mut output = Output::new(args.format.format(), columns, out)?;
    printer.print(&batch, &keys, &mut output)?;
    output.finish()?;
    Ok(Outcome::Sound)
}

/// Carries out `tidestone export`.
pub(crate) fn export(args: &ExportArgs, out: &mut dyn Write) -> Run {
    let db = args.select.db.open()?;
    let table = args.select.table(&db)?;
    let printed = Printed {
        order: Order::SeriesTime,
        limit: usize::MAX,
        format: if args.json { Format::Json } else { Format::Csv },
        typed: args.typed,
    };
    print_rows(&args.select, &table, &printed, out)
}

/// How rows are printed.
struct Printed {
    order: Order,
    limit: usize,
    format: Format,
    /// Whether names of columns say what they are.
    typed: bool,
}

fn print_rows(select: &SelectArgs, table: &Table, how: &Printed, out: &mut dyn Write) -> Run {
    let query = select.query(table)?.order(how.order).limit(how.limit);
    let tags = select.tag_names(table)?;
    let mut stream = query.scan()?;
    let mut printer = RowPrinter::new(&tags);
    let columns = match how.typed {
        true => printer.typed_columns(stream.fields()),
        false => printer.columns(stream.fields()),
    };
    let mut output = Output::new(how.format, columns, out)?;
    while let Some(batch) = stream.next().transpose()? {
        printer.print(&batch, &stream, &mut output)?;
    }
    output.finish()?;
    Ok(Outcome::Sound)
}
