//! The columns of an answer: time, tags, fields.

use std::sync::Arc;

use arrow_schema::{DataType, Schema, SchemaRef, TimeUnit};
use tidestone_format::FieldType;
use tidestone_format::schema::Field;

use super::TIME;
use crate::catalog::given_twice;
use crate::error::{Error, Result};

/// The time zone of all times.
pub(super) const UTC: &str = "UTC";

/// Which columns an answer has.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) schema: SchemaRef,
    pub(super) tags: Vec<String>,
}

impl Layout {
    /// Of answers with these tags and fields. Fails where two columns would have one name, with `advice` on how
    /// others are asked for.
    pub(super) fn new(tags: Vec<String>, fields: &[Field], advice: &str) -> Result<Self> {
        let time = DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()));
        let tag = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let tag = |name: &String| arrow_schema::Field::new(name, tag.clone(), true);
        let field = |f: &Field| arrow_schema::Field::new(&f.name, data_type(f.field_type), true);
        let columns: Vec<_> = std::iter::once(arrow_schema::Field::new(TIME, time, false))
            .chain(tags.iter().map(tag))
            .chain(fields.iter().map(field))
            .collect();
        if let Some(twice) = given_twice(columns.iter().map(|c| c.name().as_str())) {
            return Err(two_of_one_name(twice, &tags, advice));
        }
        Ok(Self {
            schema: Arc::new(Schema::new(columns)),
            tags,
        })
    }
}

fn data_type(field_type: FieldType) -> DataType {
    match field_type {
        FieldType::F64 => DataType::Float64,
        FieldType::I64 => DataType::Int64,
        FieldType::U64 => DataType::UInt64,
        FieldType::Bool => DataType::Boolean,
        FieldType::String => DataType::Utf8,
    }
}

fn two_of_one_name(name: &str, tags: &[String], advice: &str) -> Error {
    let of_tag = tags.iter().filter(|tag| *tag == name).count();
    let what = match (name, of_tag) {
        (TIME, 0) => "the times and a field",
        (TIME, _) => "the times and a tag",
        (_, 1) => "a tag and a field",
        _ => "a tag that is asked for twice",
    };
    Error::invalid(format!(
        "two columns of a record batch would be {name:?}: {what}; {advice}"
    ))
}
