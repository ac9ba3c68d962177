//! Text to values, and the type that a column of text seems to have.

use tidestone::{FieldType, Value};

/// The value of a cell in a column of type `field_type`; an empty one is null.
pub(super) fn value_of<'a>(text: &'a str, field_type: FieldType) -> Option<Value<'a>> {
    if text.is_empty() {
        return Some(Value::Null);
    }
    Some(match field_type {
        FieldType::F64 => Value::F64(text.parse().ok()?),
        FieldType::I64 => Value::I64(text.parse().ok()?),
        FieldType::U64 => Value::U64(text.parse().ok()?),
        FieldType::Bool => Value::Bool(bool_of(text)?),
        FieldType::String => Value::String(text),
    })
}

/// The narrowest type of a text that is not empty.
pub(super) fn type_of(text: &str) -> FieldType {
    if bool_of(text).is_some() {
        FieldType::Bool
    } else if text.parse::<i64>().is_ok() {
        FieldType::I64
    } else if text.parse::<u64>().is_ok() {
        FieldType::U64
    } else if text.parse::<f64>().is_ok() {
        FieldType::F64
    } else {
        FieldType::String
    }
}

/// The type that holds values of both types, as they are written.
pub(super) fn common_type(a: FieldType, b: FieldType) -> FieldType {
    use FieldType as T;
    match (a, b) {
        _ if a == b => a,
        // An integer beyond i64 among others; negative ones among them need a float.
        (T::I64, T::U64) | (T::U64, T::I64) => T::U64,
        (T::F64 | T::I64 | T::U64, T::F64 | T::I64 | T::U64) => T::F64,
        _ => T::String,
    }
}

fn bool_of(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_and_joined() {
        let check = |texts: &[&str], expected: FieldType| {
            let found = texts.iter().map(|t| type_of(t)).reduce(common_type);
            assert_eq!(found, Some(expected), "{texts:?}");
        };
        check(&["1", "-2"], FieldType::I64);
        check(&["1", "18446744073709551615"], FieldType::U64);
        check(&["1", "2.5"], FieldType::F64);
        check(&["1e3", "NaN", "-inf"], FieldType::F64);
        check(&["true", "False"], FieldType::Bool);
        check(&["true", "1"], FieldType::String);
        check(&["1", "x"], FieldType::String);
    }

    #[test]
    fn cells_are_null_or_of_their_type() {
        assert_eq!(value_of("", FieldType::I64), Some(Value::Null));
        assert_eq!(value_of("1", FieldType::F64), Some(Value::F64(1.0)));
        assert_eq!(value_of("1.5", FieldType::I64), None);
        assert_eq!(value_of("-1", FieldType::U64), None);
        assert_eq!(value_of("yes", FieldType::Bool), None);
        assert_eq!(
            value_of("yes", FieldType::String),
            Some(Value::String("yes"))
        );
    }
}
