//! The fields of a table: found by name, and added.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tidestone_format::schema::{Field, TableSchema};
use tidestone_format::version::MAX_FIELDS;
use tidestone_format::{FieldId, FieldType};

use crate::error::{Error, ErrorKind, Result};

/// A schema whose fields are found by name without a search: a batch may name thousands.
#[derive(Debug)]
pub(crate) struct Fields {
    schema: Arc<TableSchema>,
    places: FxHashMap<Box<str>, usize>,
}

impl Fields {
    pub(super) fn new(schema: TableSchema) -> Self {
        let names = schema.fields.iter().map(|f| f.name.as_str().into());
        Self {
            places: names.zip(0..).collect(),
            schema: Arc::new(schema),
        }
    }

    pub(crate) fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// The place of a field in the schema. It stays when fields are added.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The field of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Field> {
        self.schema.fields.get(self.place(name)?)
    }
}

/// The schema with more fields. Of those that are there already nothing is changed: one of another
/// type is the error that `conflict` makes of it and of the type that was asked for.
pub(crate) fn add_fields<'a>(
    schema: &'a TableSchema,
    fields: impl IntoIterator<Item = (&'a str, FieldType)>,
    conflict: impl Fn(&Field, FieldType) -> Error,
) -> Result<TableSchema> {
    let names = schema.fields.iter().map(|f| f.name.as_str());
    let mut places: FxHashMap<&str, usize> = names.zip(0..).collect();
    let mut schema = schema.clone();
    for (name, field_type) in fields {
        if let Some(&at) = places.get(name) {
            let there = &schema.fields[at];
            if there.field_type != field_type {
                return Err(conflict(there, field_type));
            }
            continue;
        }
        if name.is_empty() || name.len() > usize::from(u16::MAX) {
            let message = format!(
                "field name of {} bytes: 1 to 65535 are allowed; choose another",
                name.len()
            );
            return Err(Error::invalid(message));
        }
        if schema.fields.len() >= MAX_FIELDS {
            let message = format!(
                "table {:?} has {} fields, the most there may be; put more into another table",
                schema.name,
                schema.fields.len()
            );
            return Err(Error::invalid(message));
        }
        places.insert(name, schema.fields.len());
        let id = FieldId(schema.next_field_id);
        schema.next_field_id += 1;
        schema.fields.push(Field {
            id,
            name: name.to_owned(),
            field_type,
        });
    }
    Ok(schema)
}

/// The error for a field of the table `table` that is asked for with another type than it has.
pub(crate) fn other_type(table: &str) -> impl Fn(&Field, FieldType) -> Error {
    move |field, given| {
        let message = format!(
            "table {table:?} has a field {:?} of type {} already; it cannot also be {given}: choose another name",
            field.name, field.field_type
        );
        Error::new(ErrorKind::Exists, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TableOptions;
    use tidestone_format::TableId;

    fn schema() -> TableSchema {
        let options = TableOptions::new().field("a", FieldType::F64);
        options.schema(TableId(1), "t").unwrap()
    }

    fn add(schema: &TableSchema, fields: &[(&str, FieldType)]) -> Result<TableSchema> {
        add_fields(schema, fields.iter().copied(), other_type("t"))
    }

    #[test]
    fn a_field_is_added_once() {
        let more = [
            ("b", FieldType::I64),
            ("a", FieldType::F64),
            ("b", FieldType::I64),
            ("c", FieldType::Bool),
        ];
        let more = add(&schema(), &more).unwrap();
        let fields = more.fields.iter().map(|f| (f.id.0, f.name.as_str()));
        assert_eq!(fields.collect::<Vec<_>>(), [(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(more.next_field_id, 4);
        assert_eq!(add(&more, &[("b", FieldType::I64)]).unwrap(), more);
        let other = [("d", FieldType::I64), ("a", FieldType::I64)];
        let error = add(&more, &other).unwrap_err();
        let says = r#"field "a" of type f64 already; it cannot also be i64"#;
        assert!(error.to_string().contains(says), "{error}");
        assert!(add(&more, &[("", FieldType::I64)]).is_err());
    }

    #[test]
    fn there_are_no_more_fields_than_a_table_may_have() {
        let names: Vec<String> = (0..MAX_FIELDS).map(|i| format!("f{i}")).collect();
        let named = |to: usize| names[..to].iter().map(|n| (n.as_str(), FieldType::F64));
        let fields: Vec<_> = named(MAX_FIELDS).collect();
        let error = add(&schema(), &fields).unwrap_err();
        assert!(error.to_string().contains("has 4096 fields"), "{error}");
        let most = add(&schema(), &fields[1..]).unwrap();
        assert_eq!(most.fields.len(), MAX_FIELDS);
        assert_eq!(add(&most, &fields[1..]).unwrap(), most);
    }

    #[test]
    fn fields_are_found_by_name() {
        let fields = Fields::new(add(&schema(), &[("b", FieldType::I64)]).unwrap());
        assert_eq!(fields.place("b"), Some(1));
        assert_eq!(fields.get("a"), Some(&fields.schema().fields[0]));
        assert_eq!(fields.get("c"), None);
    }
}
