//! Questions to a table: `query`, `last`, `export`, `plot`.
//!
//! | module | what |
//! |---|---|
//! | `select` | which rows of which table |
//! | `output` | table, CSV, JSON |
//! | `rows` | rows as they were written |
//! | `plot`, `chart` | rows as a chart |

mod chart;
mod output;
mod plot;
mod rows;
mod select;

use std::io::Write;

use clap::{Args, ValueEnum};
use tidestone::Order;

use crate::outcome::{Outcome, Run};
pub(crate) use chart::Chart;
pub(crate) use output::{Format, FormatArgs, Output};
pub(crate) use plot::run as plot;
pub(crate) use plot::{PlotArgs, lines_of};
use rows::RowPrinter;
pub(crate) use select::{DbArgs, SelectArgs, WhichArgs, tag_test};

/// Rows, or aggregates of them.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    select: SelectArgs,
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

/// All rows of a selection, as CSV that `import` reads.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    select: SelectArgs,
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
    print_rows(
        &args.select,
        args.order.into(),
        limit,
        args.format.format(),
        out,
    )
}

/// Carries out `tidestone export`.
pub(crate) fn export(args: &ExportArgs, out: &mut dyn Write) -> Run {
    print_rows(
        &args.select,
        Order::SeriesTime,
        usize::MAX,
        Format::Csv,
        out,
    )
}

fn print_rows(
    select: &SelectArgs,
    order: Order,
    limit: usize,
    format: Format,
    out: &mut dyn Write,
) -> Run {
    let db = select.db.open()?;
    let table = select.table(&db)?;
    let tags = select.tag_names(&table)?;
    let query = select.query(&table).order(order).limit(limit);
    let mut stream = query.scan()?;
    let mut printer = RowPrinter::new(&tags);
    let columns = printer.columns(stream.fields().iter().map(|f| f.name.as_str()));
    let mut output = Output::new(format, columns, out)?;
    while let Some(batch) = stream.next().transpose()? {
        printer.print(&batch, &stream, &mut output)?;
    }
    output.finish()?;
    Ok(Outcome::Sound)
}
