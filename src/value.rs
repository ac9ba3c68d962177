//! A single value, as rows are written and answers are read.

use std::fmt;

use tidestone_format::FieldType;
use tidestone_format::column::{Column, Values};
use tidestone_format::version::MAX_STRING;

/// The value of a field in one row.
///
/// ```
/// use tidestone::Value;
/// assert_eq!(Value::from(1.5), Value::F64(1.5));
/// assert_eq!(Value::from("up"), Value::String("up"));
/// assert_eq!(Value::from(None::<f64>), Value::Null);
///
/// // What an answer holds, taken out:
/// assert_eq!(Value::from(1.5).as_f64(), Some(1.5));
/// assert_eq!(Value::from(1).as_f64(), None); // an integer is not taken for a float
/// assert_eq!(Value::from("up").as_str(), Some("up"));
/// assert!(Value::Null.is_null());
///
/// // Width and precision are those of the value; null prints as nothing.
/// assert_eq!(format!("{:8.2}|{:>4}|", Value::from(71_500.0), Value::from("up")), "71500.00|  up|");
/// assert_eq!(format!("{:2}|", Value::Null), "  |");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Not given.
    Null,
    /// Floating point; NaN and infinities are values like any other.
    F64(f64),
    /// Signed integer.
    I64(i64),
    /// Unsigned integer.
    U64(u64),
    /// True or false.
    Bool(bool),
    /// Text, of at most 16 MiB.
    String(&'a str),
}

macro_rules! taken_out {
    ($($name:ident: $variant:ident($type:ty), $what:literal;)*) => {$(
        #[doc = concat!("The value, if it is ", $what, "; `None` for others, null among them.")]
        #[inline]
        pub fn $name(&self) -> Option<$type> {
            match *self {
                Self::$variant(value) => Some(value),
                _ => None,
            }
        }
    )*};
}

impl<'a> Value<'a> {
    taken_out! {
        as_f64: F64(f64), "floating point";
        as_i64: I64(i64), "a signed integer";
        as_u64: U64(u64), "an unsigned integer";
        as_bool: Bool(bool), "a boolean";
        as_str: String(&'a str), "text";
    }

    /// Whether there is no value.
    #[inline]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The type of field that can hold it; `None` for null, which every field can hold.
    pub fn field_type(&self) -> Option<FieldType> {
        Some(match self {
            Self::Null => return None,
            Self::F64(_) => FieldType::F64,
            Self::I64(_) => FieldType::I64,
            Self::U64(_) => FieldType::U64,
            Self::Bool(_) => FieldType::Bool,
            Self::String(_) => FieldType::String,
        })
    }

    /// The length of a string that is longer than any field takes.
    #[inline]
    pub(crate) fn too_long(&self) -> Option<usize> {
        match self {
            Self::String(text) if text.len() > MAX_STRING => Some(text.len()),
            _ => None,
        }
    }

    /// Appends the value to a column; `false`, and a null, if it does not fit.
    #[inline]
    pub(crate) fn push_to(&self, column: &mut Column) -> bool {
        // What most rows are made of, without a jump through a table.
        if let (Value::F64(v), Values::F64(to), None) = (self, &mut column.values, &column.validity)
        {
            to.push(*v);
            return true;
        }
        match (self, &mut column.values) {
            (Value::F64(v), Values::F64(to)) => to.push(*v),
            (Value::I64(v), Values::I64(to)) => to.push(*v),
            (Value::U64(v), Values::U64(to)) => to.push(*v),
            (Value::Bool(v), Values::Bool(to)) => to.push(*v),
            (Value::String(v), Values::String(to)) if v.len() <= MAX_STRING => to.push(v),
            (value, _) => {
                column.push_null();
                return matches!(value, Value::Null);
            }
        }
        if let Some(validity) = &mut column.validity {
            validity.push(true);
        }
        true
    }

    /// The value in row `row` of a column.
    ///
    /// # Panics
    /// `row` is out of bounds.
    pub fn of_column(column: &Column, row: usize) -> Value<'_> {
        if !column.is_valid(row) {
            return Value::Null;
        }
        match &column.values {
            Values::F64(v) => Value::F64(v[row]),
            Values::I64(v) => Value::I64(v[row]),
            Values::U64(v) => Value::U64(v[row]),
            Values::Bool(v) => Value::Bool(v[row]),
            Values::String(v) => Value::String(v.get(row)),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.pad(""),
            Self::F64(v) => fmt::Display::fmt(v, f),
            Self::I64(v) => fmt::Display::fmt(v, f),
            Self::U64(v) => fmt::Display::fmt(v, f),
            Self::Bool(v) => fmt::Display::fmt(v, f),
            Self::String(v) => f.pad(v),
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for Value<'_> {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from!(f64 => F64, f32 => F64, i64 => I64, i32 => I64, u64 => U64, u32 => U64, bool => Bool);

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::String(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
