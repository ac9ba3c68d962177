//! Aggregates by group and bucket of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use tidestone::{Agg, Aggregate, AggregateResult, FieldType, Query, Table};

use super::output::Output;
use super::select::{SelectArgs, check_tags};
use crate::outcome::{Failure, Run};
use crate::scalar::Scalar;
use crate::time;

/// What to make of the rows.
#[derive(Debug, Args)]
pub(crate) struct AggregateArgs {
    /// Aggregate over buckets of this length, such as 1m or 1d, aligned to 1970 UTC
    #[arg(long, value_name = "LENGTH", value_parser = time::duration, requires = "agg")]
    every: Option<i64>,
    /// Aggregates, such as mean,max or mean(price),count: count (of rows), sum, min, max, mean,
    /// first, last of each field asked for or of the one named, and ohlcv(price,size)
    #[arg(long, value_name = "AGGREGATES")]
    agg: Option<Wanted>,
    /// A group for each set of values of these tags; without it all series are one
    #[arg(long, value_name = "TAGS", value_delimiter = ',', requires = "agg")]
    group_by: Vec<String>,
}

/// The aggregates asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted(Vec<Want>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Want {
    Rows,
    /// Of every field that has it.
    OfAll(Agg),
    Of(Agg, String),
    /// Of the first two fields asked for.
    Bars,
    BarsOf(String, String),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let (mut start, mut depth) = (0, 0u32);
        for (at, c) in text.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    parts.push(&text[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(&text[start..]);
        parts
            .into_iter()
            .map(want)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn want(text: &str) -> Result<Want, String> {
    let (name, argument) = match text.split_once('(') {
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(argument) if !argument.is_empty() => (name, Some(argument)),
            _ => return Err(format!("{text:?}: write a field between the brackets")),
        },
        None => (text, None),
    };
    if name == "ohlcv" {
        return match argument.map(|a| a.split_once(',')) {
            None => Ok(Want::Bars),
            Some(Some((price, size))) => Ok(Want::BarsOf(price.to_owned(), size.to_owned())),
            Some(None) => Err("write ohlcv(price,size)".to_owned()),
        };
    }
    let agg = match name {
        "count" => Agg::Count,
        "sum" => Agg::Sum,
        "min" => Agg::Min,
        "max" => Agg::Max,
        "mean" | "avg" => Agg::Mean,
        "first" => Agg::First,
        "last" => Agg::Last,
        _ => {
            return Err(format!(
                "{name:?} is no aggregate: there are count, sum, min, max, mean, first, last and \
                 ohlcv"
            ));
        }
    };
    Ok(match argument {
        Some(field) => Want::Of(agg, field.to_owned()),
        None if agg == Agg::Count => Want::Rows,
        None => Want::OfAll(agg),
    })
}

/// The name by which it is asked for on the command line.
impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows => f.write_str("count"),
            Self::OfAll(agg) => f.write_str(&name(*agg)),
            Self::Of(agg, field) => write!(f, "{}({field})", name(*agg)),
            Self::Bars | Self::BarsOf(..) => f.write_str("ohlcv"),
        }
    }
}

fn name(agg: Agg) -> String {
    format!("{agg:?}").to_lowercase()
}

impl AggregateArgs {
    /// The query with the aggregates asked for; `None` if none are.
    pub(super) fn query(&self, select: &SelectArgs, table: &Table) -> Run<Option<Query>> {
        let Some(wanted) = &self.agg else {
            return Ok(None);
        };
        let fields = fields(select, table)?;
        let groups = self.group_by.iter().map(String::as_str);
        check_tags("--group-by", groups, table)?;
        let mut query = select.query(table)?.group_by(&self.group_by);
        if let Some(every) = self.every {
            let ns = u64::try_from(every).map_err(Failure::new)?;
            query = query.every(Duration::from_nanos(ns));
        }
        let mut all = Vec::new();
        let mut bars = 0;
        for want in &wanted.0 {
            // The columns of bars have the same names whatever they are of.
            bars += u32::from(matches!(want, Want::Bars | Want::BarsOf(..)));
            for aggregate in want.aggregates(&fields)? {
                if bars > 1 || all.contains(&aggregate) {
                    return Err(Failure::new(format_args!(
                        "--agg asks for {want} twice, and each column needs a name of its own; leave one out"
                    )));
                }
                all.push(aggregate);
            }
        }
        query = query.aggregate(all);
        Ok(Some(query))
    }

    /// Whether aggregates are asked for, and not by bucket of time.
    pub(super) fn is_of_all_time(&self) -> bool {
        self.agg.is_some() && self.every.is_none()
    }

    /// The names of the columns of an answer.
    pub(super) fn columns(&self, answer: &AggregateResult) -> Vec<String> {
        let time = self.every.map(|_| "time".to_owned());
        let tags = answer.tags().iter().cloned();
        let columns = answer.names().iter().cloned();
        time.into_iter().chain(tags).chain(columns).collect()
    }

    /// Prints an answer.
    pub(super) fn print(&self, answer: &AggregateResult, output: &mut Output<'_>) -> Run<()> {
        for row in 0..answer.len() {
            let time = self
                .every
                .map(|_| Scalar::Text(time::rfc3339(answer.buckets()[row])));
            let tags = answer.group(row).iter().cloned().map(Scalar::Text);
            let values = (0..answer.columns().len()).map(|c| answer.value(row, c).into());
            output.row(time.into_iter().chain(tags).chain(values))?;
        }
        Ok(())
    }
}

/// The fields asked for, or all, with their types.
fn fields(select: &SelectArgs, table: &Table) -> Run<Vec<(String, FieldType)>> {
    let schema = table.schema();
    if select.fields.is_empty() {
        let all = schema.fields.iter();
        return Ok(all.map(|f| (f.name.clone(), f.field_type)).collect());
    }
    let mut fields = Vec::new();
    for name in &select.fields {
        let field = table.field(name)?;
        fields.push((field.name, field.field_type));
    }
    Ok(fields)
}

impl Want {
    fn aggregates(&self, fields: &[(String, FieldType)]) -> Run<Vec<Aggregate>> {
        Ok(match self {
            Self::Rows => vec![Aggregate::rows()],
            Self::Of(agg, field) => vec![Aggregate::new(*agg, field)],
            Self::OfAll(agg) => {
                let of = fields.iter().filter(|(_, t)| has(*agg, *t));
                let all: Vec<_> = of.map(|(name, _)| Aggregate::new(*agg, name)).collect();
                if all.is_empty() {
                    let agg = name(*agg);
                    return Err(Failure::new(format_args!(
                        "{agg} is of numbers and bools, and no field asked for is one of them: name one \
                         that is"
                    )));
                }
                all
            }
            Self::Bars => match fields {
                [price, size] => Aggregate::ohlcv(&price.0, &size.0).into(),
                _ => {
                    return Err(Failure::new(
                        "ohlcv is of two fields; write ohlcv(price,size) with the names of yours, or \
                         --fields price,size",
                    ));
                }
            },
            Self::BarsOf(price, size) => Aggregate::ohlcv(price, size).into(),
        })
    }
}

/// Whether the aggregate is one of fields of that type.
fn has(agg: Agg, field_type: FieldType) -> bool {
    match agg {
        Agg::Sum | Agg::Mean | Agg::Min | Agg::Max => field_type != FieldType::String,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_aggregates_are_read() {
        let check = |text: &str, expected: &[Want]| {
            assert_eq!(text.parse::<Wanted>().unwrap().0, expected, "{text}");
        };
        check("count", &[Want::Rows]);
        check("mean,max", &[Want::OfAll(Agg::Mean), Want::OfAll(Agg::Max)]);
        check(
            "ohlcv(price,size),last(x)",
            &[
                Want::BarsOf("price".to_owned(), "size".to_owned()),
                Want::Of(Agg::Last, "x".to_owned()),
            ],
        );
        check(
            "ohlcv,count(a b)",
            &[Want::Bars, Want::Of(Agg::Count, "a b".to_owned())],
        );
        for wrong in ["", "mean,", "median", "mean(", "mean()", "ohlcv(a)"] {
            assert!(wrong.parse::<Wanted>().is_err(), "{wrong}");
        }
    }
}
