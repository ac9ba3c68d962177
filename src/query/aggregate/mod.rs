//! Aggregates by group and bucket of time.
//!
//! # How rows become answers
//! The work is cut into [units](super::plan::Unit). Each is folded into states by itself: vector by
//! vector from statistics where a vector lies within one group and one bucket, decoded where not,
//! and row by row from a merge where inputs overlap. States are then combined in the order of the
//! units, whoever folded them.
//!
//! # Invariants
//! 1. Answers do not depend on how many threads there are.
//! 2. They do not depend on where rows lie or whether statistics were used either, but for sums of
//!    floats, which are added in another order then: n values differ by at most n roundings of the
//!    largest intermediate sum.

mod buckets;
mod counts;
mod edges;
mod finish;
mod fold;
mod groups;
mod number;
mod numbers;
mod plan;
mod run;
mod slots;
mod texts;
mod unit;
mod vectors;

use tidestone_format::Timestamp;
use tidestone_format::column::Column;

pub(super) use run::run;

use super::Profile;
use crate::value::Value;

/// What to make of the values of a field, in each group and bucket. Nulls do not count anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Agg {
    /// How many values there are, NaN among them, as u64. Never null.
    Count,
    /// Their sum: of f64 an f64, of i64 an i64, of u64 a u64; of bool how many are true, as u64.
    /// A sum of integers that its type cannot hold is an error; one with a NaN is NaN. Doubles are added in
    /// an order that depends on where rows lie and on whether statistics answer: two sums of the same n values
    /// differ by at most n roundings of the largest sum on the way, 2^-53 of it each.
    Sum,
    /// The least value. NaN does not count, and -0.0 is less than +0.0; null if there is no other.
    Min,
    /// The greatest value, as [`Agg::Min`].
    Max,
    /// Their mean, as f64: the sum, exact for integers, divided by the count; with a NaN it is NaN.
    /// Of bool, the part that is true.
    Mean,
    /// The value with the earliest time; of several series at the same time, that of the series
    /// made first; of several rows of it, the one written first.
    First,
    /// The value with the latest time; of several series at the same time, that of the series made
    /// last; of several rows of it, the one written last.
    Last,
}

impl Agg {
    fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::First => "first",
            Self::Last => "last",
        }
    }

    /// Whether it takes a sum.
    fn is_of_sum(self) -> bool {
        matches!(self, Self::Sum | Self::Mean)
    }
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    agg: Agg,
    /// `None`: rows are counted.
    field: Option<String>,
    name: String,
}

impl Aggregate {
    /// `agg` of a field, called `mean(price)` and so on.
    pub fn new(agg: Agg, field: impl Into<String>) -> Self {
        let field = field.into();
        Self {
            agg,
            name: format!("{}({field})", agg.name()),
            field: Some(field),
        }
    }

    /// The number of rows, null or not, called `count`.
    pub fn rows() -> Self {
        Self {
            agg: Agg::Count,
            field: None,
            name: "count".to_owned(),
        }
    }

    /// Gives it another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Bars of trades: `open`, `high`, `low` and `close` of a price, and `volume`, the sum of a
    /// size.
    pub fn ohlcv(price: &str, size: &str) -> [Self; 5] {
        [
            Self::new(Agg::First, price).named("open"),
            Self::new(Agg::Max, price).named("high"),
            Self::new(Agg::Min, price).named("low"),
            Self::new(Agg::Last, price).named("close"),
            Self::new(Agg::Sum, size).named("volume"),
        ]
    }
}

/// Aggregates: one row for each group and bucket that has rows.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateResult {
    tags: Vec<String>,
    groups: Vec<Vec<String>>,
    group_of_row: Vec<u32>,
    buckets: Vec<Timestamp>,
    names: Vec<String>,
    columns: Vec<Column>,
    profile: Profile,
}

impl AggregateResult {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The tags that were grouped by.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The group of a row: the values of [`AggregateResult::tags`]; empty where series lack the tag.
    ///
    /// # Panics
    /// `row` is out of bounds.
    pub fn group(&self, row: usize) -> &[String] {
        &self.groups[self.group_of_row[row] as usize]
    }

    /// The value of one tag of a row's group; `None` if it was not grouped by.
    ///
    /// # Panics
    /// `row` is out of bounds.
    pub fn tag(&self, row: usize, tag: &str) -> Option<&str> {
        let at = self.tags.iter().position(|t| t == tag)?;
        self.group(row).get(at).map(String::as_str)
    }

    /// Where the buckets start, one a row. A bucket that would start before the first timestamp
    /// there is starts there. Where there are no buckets, the start of the query's range.
    pub fn buckets(&self) -> &[Timestamp] {
        &self.buckets
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns, one an aggregate.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        let at = self.names.iter().position(|n| n == name)?;
        self.columns.get(at)
    }

    /// The value of column `column` in row `row`.
    ///
    /// # Panics
    /// Either is out of bounds.
    pub fn value(&self, row: usize, column: usize) -> Value<'_> {
        Value::of_column(&self.columns[column], row)
    }

    /// What the query read.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }
}
