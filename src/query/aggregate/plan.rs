//! What to fold, worked out from a query.

use std::sync::Arc;

use tidestone_format::schema::{Field, TableSchema};
use tidestone_format::{FieldType, SeriesId};

use super::buckets::Buckets;
use super::fold::{FieldState, Wants};
use super::groups::Groups;
use super::{Agg, Aggregate};
use crate::engine::Snapshot;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::query::builder::field_of;

/// What to fold, and how.
#[derive(Debug)]
pub(super) struct Plan {
    /// The fields needed, each once, ascending by id.
    pub(super) fields: Vec<(Field, Wants)>,
    pub(super) outputs: Vec<Output>,
    pub(super) buckets: Buckets,
    pub(super) groups: Groups,
    pub(super) statistics: bool,
}

/// A column of the answer.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) agg: Agg,
    /// A number in [`Plan::fields`]; `None`: rows are counted.
    pub(super) field: Option<usize>,
}

impl Plan {
    pub(super) fn new(
        query: &Query,
        snapshot: &Snapshot,
        wanted: Option<&Arc<[SeriesId]>>,
    ) -> Result<Self> {
        let (fields, outputs) = outputs(&snapshot.table.schema, &query.aggregates)?;
        let width = match query.every {
            None => None,
            Some(every) => match i64::try_from(every.as_nanos()) {
                Ok(width) if width > 0 => Some(width),
                _ => {
                    let message = format!(
                        "buckets of {every:?}: 1 nanosecond to 292 years are allowed; choose another width"
                    );
                    return Err(Error::invalid(message));
                }
            },
        };
        Ok(Self {
            fields,
            outputs,
            buckets: Buckets::new(width),
            groups: groups(query, snapshot, wanted)?,
            statistics: query.statistics,
        })
    }

    pub(super) fn states(&self) -> Vec<FieldState> {
        let fields = self.fields.iter();
        fields
            .map(|(field, wants)| FieldState::new(field.field_type, *wants))
            .collect()
    }
}

/// The fields that are read with what is wanted of each, and the columns that come out.
type Folded = (Vec<(Field, Wants)>, Vec<Output>);

fn outputs(schema: &TableSchema, aggregates: &[Aggregate]) -> Result<Folded> {
    if aggregates.is_empty() {
        return Err(Error::invalid(
            "no aggregate is asked for, and at least one is needed; name one, such as a count",
        ));
    }
    let mut fields: Vec<(Field, Wants)> = Vec::new();
    for aggregate in aggregates {
        let Some(name) = &aggregate.field else {
            continue;
        };
        let field = field_of(schema, name)?;
        let at = match fields.binary_search_by_key(&field.id, |(f, _)| f.id) {
            Ok(at) => at,
            Err(at) => {
                fields.insert(at, (field.clone(), Wants::default()));
                at
            }
        };
        let wants = &mut fields[at].1;
        match aggregate.agg {
            Agg::Count => {}
            Agg::Sum | Agg::Mean => wants.sum = true,
            Agg::Min | Agg::Max => wants.extremes = true,
            Agg::First => wants.first = true,
            Agg::Last => wants.last = true,
        }
        let ordered = wants.sum || wants.extremes;
        if ordered && field.field_type == FieldType::String {
            let message = format!(
                "there is no {} of field {name:?}, which is a string; ask for count, first or last of it",
                aggregate.agg.name()
            );
            return Err(Error::invalid(message));
        }
    }
    let outputs = aggregates.iter().map(|aggregate| Output {
        name: aggregate.name.clone(),
        agg: aggregate.agg,
        field: fields
            .iter()
            .position(|(f, _)| Some(&f.name) == aggregate.field.as_ref()),
    });
    let outputs: Vec<Output> = outputs.collect();
    for (at, output) in outputs.iter().enumerate() {
        if outputs[..at].iter().any(|o| o.name == output.name) {
            let message = format!(
                "two aggregates are called {:?}, and each needs a name of its own; name one with `named`",
                output.name
            );
            return Err(Error::invalid(message));
        }
    }
    Ok((fields, outputs))
}

fn groups(query: &Query, snapshot: &Snapshot, wanted: Option<&Arc<[SeriesId]>>) -> Result<Groups> {
    if query.group_by.is_empty() {
        return Ok(Groups::one());
    }
    query.while_there(|| {
        let series = match wanted {
            Some(wanted) => wanted.clone(),
            None => query.engine.series.select(query.table.id, &[])?.into(),
        };
        let tags: Vec<&str> = query.group_by.iter().map(String::as_str).collect();
        query.check_tags(&tags, series.first().copied())?;
        Groups::by_tags(&query.engine, snapshot, series, &query.group_by)
    })
}
