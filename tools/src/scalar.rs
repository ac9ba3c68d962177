//! One value, as it is printed.

use std::fmt;

use serde::{Serialize, Serializer};
use tidestone_format::column::{Column, Values};

/// A value of any type. In JSON, floats that JSON cannot say and integers beyond 64 bits are text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    /// No value.
    Null,
    /// Floating point.
    F64(f64),
    /// An integer; also sums of integers.
    Int(i128),
    /// A sum of unsigned integers.
    Sum(u128),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
}

impl Scalar {
    /// Row `row` of a column; null past its end.
    pub(crate) fn of_column(column: &Column, row: usize) -> Self {
        if row >= column.len() || !column.is_valid(row) {
            return Self::Null;
        }
        match &column.values {
            Values::F64(v) => Self::F64(v[row]),
            Values::I64(v) => Self::Int(v[row].into()),
            Values::U64(v) => Self::Int(v[row].into()),
            Values::Bool(v) => Self::Bool(v[row]),
            Values::String(v) => Self::Text(v.get(row).to_owned()),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::F64(v) if v.abs() >= 1e17 || (*v != 0.0 && v.abs() < 1e-6) => write!(f, "{v:e}"),
            Self::F64(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Sum(v) => write!(f, "{v}"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::Text(v) => f.write_str(v),
        }
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::F64(v) if v.is_finite() => serializer.serialize_f64(*v),
            Self::Bool(v) => serializer.serialize_bool(*v),
            Self::Text(v) => serializer.serialize_str(v),
            Self::F64(_) => serializer.collect_str(self),
            Self::Int(v) => match (i64::try_from(*v), u64::try_from(*v)) {
                (Ok(v), _) => serializer.serialize_i64(v),
                (_, Ok(v)) => serializer.serialize_u64(v),
                _ => serializer.collect_str(self),
            },
            Self::Sum(v) => match u64::try_from(*v) {
                Ok(v) => serializer.serialize_u64(v),
                Err(_) => serializer.collect_str(self),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_numbers_where_json_has_them() {
        let check = |scalar: Scalar, expected: &str| {
            assert_eq!(serde_json::to_string(&scalar).unwrap(), expected);
        };
        check(Scalar::Null, "null");
        check(Scalar::F64(0.1), "0.1");
        check(Scalar::F64(f64::NAN), "\"NaN\"");
        check(Scalar::F64(f64::NEG_INFINITY), "\"-inf\"");
        check(Scalar::Int(i64::MIN.into()), "-9223372036854775808");
        check(Scalar::Int(u64::MAX.into()), "18446744073709551615");
        check(
            Scalar::Int(i128::from(i64::MIN) * 2),
            "\"-18446744073709551616\"",
        );
        check(Scalar::Bool(true), "true");
        check(Scalar::Text("a\"b".to_owned()), r#""a\"b""#);
    }
}
