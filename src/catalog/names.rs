//! Names: which of them to tell somebody who asked for one there is not, and which is given twice.

use std::fmt;

use tidestone_format::SeriesId;
use tidestone_format::schema::TableSchema;

use crate::error::{Error, ErrorKind};

/// Names told, at most.
const TOLD_MAX: usize = 8;
/// Bytes of a name beyond which it is not compared: distances take the product of two lengths.
const COMPARED_MAX: usize = 256;

/// Some of the names there are, to be shown: all of a few, of many those most like the one asked
/// for and how many more there are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    told: Vec<&'a str>,
    more: usize,
}

impl<'a> Known<'a> {
    /// Of `names`, for somebody who asked for `wanted`.
    pub(crate) fn near(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut told: Vec<&str> = names.into_iter().collect();
        let more = told.len().saturating_sub(TOLD_MAX);
        if more > 0 {
            told.sort_by_cached_key(|name| distance(wanted, name));
            told.truncate(TOLD_MAX);
        }
        Self { told, more }
    }
}

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.told)?;
        match self.more {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Says that a table has no field of that name, and which it has.
pub(crate) fn no_field(schema: &TableSchema, name: &str) -> String {
    let known = Known::near(name, schema.fields.iter().map(|f| f.name.as_str()));
    format!(
        "table {:?} has no field {name:?}; it has {known}: correct the name, or add the field",
        schema.name
    )
}

/// Says that a table has no series of that id.
pub(crate) fn no_series(table: &str, series: SeriesId) -> Error {
    let message = format!(
        "table {table:?} has no series {series}; ask for one that an answer of this table names"
    );
    Error::new(ErrorKind::NotFound, message)
}

/// A name that is there twice.
pub(crate) fn given_twice<'n>(names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.windows(2).find(|w| w[0] == w[1]).map(|w| w[0])
}

/// How many characters must be added, left out or changed to make one of the other; of long names
/// the most there can be.
fn distance(a: &str, b: &str) -> usize {
    if a.len().max(b.len()) > COMPARED_MAX {
        return usize::MAX;
    }
    strsim::levenshtein(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_names_the_nearest_are_told() {
        let few = Known::near("x", ["b", "a"]);
        assert_eq!(few.to_string(), r#"["b", "a"]"#);
        let names: Vec<String> = (0..1000).map(|i| format!("field-{i:03}")).collect();
        let all = || names.iter().map(String::as_str);
        let known = Known::near("fild-123", all());
        assert_eq!(known.told.len(), TOLD_MAX);
        assert_eq!(known.told[0], "field-123");
        assert!(known.to_string().ends_with("] and 992 more"), "{known}");
        let long = Known::near(&"x".repeat(70_000), all());
        assert_eq!(long.told[0], "field-000");
    }
}
