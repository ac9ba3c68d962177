//! Text to values, and the type that a column of text seems to have.

use tidestone::{FieldType, Value};

use crate::engine::csv::Cell;

/// The value of a cell in a column of type `field_type`. Nothing is null; so is an empty string
/// where the type is not that of strings.
pub(super) fn value_of<'a>(cell: Cell<'a>, field_type: FieldType) -> Option<Value<'a>> {
    let text = cell.text;
    if text.is_empty() {
        let is_text = cell.quoted && field_type == FieldType::String;
        return Some(if is_text {
            Value::String("")
        } else {
            Value::Null
        });
    }
    Some(match field_type {
        FieldType::F64 => Value::F64(f64_of(text)?),
        FieldType::I64 => Value::I64(text.parse().ok()?),
        FieldType::U64 => Value::U64(text.parse().ok()?),
        FieldType::Bool => Value::Bool(bool_of(text)?),
        FieldType::String => Value::String(text),
    })
}

/// The narrowest type of a text.
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

/// The type that holds values of both types as they are written. No type holds integers beyond i64
/// and negative ones: with u64 the lines of the negative ones are refused, where f64 would round
/// all of them and say nothing.
pub(super) fn common_type(a: FieldType, b: FieldType) -> FieldType {
    use FieldType as T;
    match (a, b) {
        _ if a == b => a,
        (T::I64, T::U64) | (T::U64, T::I64) => T::U64,
        (T::F64 | T::I64 | T::U64, T::F64 | T::I64 | T::U64) => T::F64,
        _ => T::String,
    }
}

/// The greatest integer up to which f64 holds every one.
const EXACT_IN_F64: u64 = 1 << 53;

/// What the cells of a column are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    of_values: Option<FieldType>,
    empty_string: bool,
    beyond_f64: bool,
}

impl Found {
    pub(super) fn of<'a>(cells: impl Iterator<Item = Cell<'a>>) -> Self {
        cells.fold(Self::default(), Self::and)
    }

    fn and(mut self, cell: Cell<'_>) -> Self {
        if cell.text.is_empty() {
            self.empty_string |= cell.quoted;
            return self;
        }
        let own = type_of(cell.text);
        self.of_values = Some(self.of_values.map_or(own, |other| common_type(other, own)));
        self.beyond_f64 |= match own {
            FieldType::I64 => is_beyond(cell.text.parse::<i64>().map(i64::unsigned_abs)),
            FieldType::U64 => true,
            // An integer of more than 64 bits.
            FieldType::F64 => cell.text.bytes().all(|b| b.is_ascii_digit() || b == b'-'),
            _ => false,
        };
        self
    }

    /// The type of the column; `None` where there are nulls alone.
    pub(super) fn field_type(&self) -> Option<FieldType> {
        let empty = self.empty_string.then_some(FieldType::String);
        self.of_values.or(empty)
    }

    /// Whether integers are rounded by being floats.
    pub(super) fn rounds(&self) -> bool {
        self.of_values == Some(FieldType::F64) && self.beyond_f64
    }
}

fn is_beyond<E>(value: Result<u64, E>) -> bool {
    value.is_ok_and(|value| value > EXACT_IN_F64)
}

/// The number of a text, unless it is finite and too large for a double: what is written as a number does
/// not become infinity.
pub(super) fn f64_of(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let overflows = number.is_infinite() && text.bytes().any(|b| b.is_ascii_digit());
    (!overflows).then_some(number)
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

    fn bare(text: &str) -> Cell<'_> {
        let quoted = false;
        Cell { text, quoted }
    }

    fn quoted(text: &str) -> Cell<'_> {
        let quoted = true;
        Cell { text, quoted }
    }

    fn found(texts: &[&str]) -> Found {
        Found::of(texts.iter().map(|t| bare(t)))
    }

    #[test]
    fn types_are_found_and_joined() {
        let check = |texts: &[&str], expected: FieldType| {
            assert_eq!(found(texts).field_type(), Some(expected), "{texts:?}");
        };
        check(&["1", "-2"], FieldType::I64);
        check(&["1", "18446744073709551615"], FieldType::U64);
        check(&["1", "2.5"], FieldType::F64);
        check(&["1e3", "NaN", "-inf"], FieldType::F64);
        check(&["true", "False"], FieldType::Bool);
        check(&["true", "1"], FieldType::String);
        check(&["1", "x"], FieldType::String);
        assert_eq!(found(&["", ""]).field_type(), None);
        let cells = |cells: &[Cell<'_>]| Found::of(cells.iter().copied()).field_type();
        assert_eq!(cells(&[bare(""), quoted("")]), Some(FieldType::String));
        assert_eq!(cells(&[quoted(""), quoted("5")]), Some(FieldType::I64));
    }

    #[test]
    fn no_integer_is_rounded_because_others_are_negative_or_large() {
        for order in [
            ["-1", "18446744073709551615"],
            ["18446744073709551615", "-1"],
        ] {
            assert_eq!(
                found(&order).field_type(),
                Some(FieldType::U64),
                "{order:?}"
            );
        }
    }

    #[test]
    fn integers_that_f64_rounds_are_noted() {
        let check = |texts: &[&str], rounds: bool| {
            assert_eq!(found(texts).rounds(), rounds, "{texts:?}");
        };
        check(&["9007199254740993"], false);
        check(&["9007199254740993", "0.5"], true);
        check(&["9007199254740992", "0.5"], false);
        check(&["-9007199254740993", "0.5"], true);
        check(&["18446744073709551616"], true);
        check(&["1e300"], false);
        check(&["9007199254740993", "0.5", "x"], false);
    }

    #[test]
    fn a_number_too_large_is_none_and_infinity_is_one() {
        for text in ["1e400", "-1e999", &"9".repeat(400)] {
            assert_eq!(f64_of(text), None, "{text}");
            // So that its line is refused, and the column does not become one of strings.
            assert_eq!(type_of(text), FieldType::F64, "{text}");
        }
        assert_eq!(f64_of("1e308"), Some(1e308));
        assert_eq!(f64_of("1e-400"), Some(0.0));
        for text in ["inf", "+Infinity"] {
            assert_eq!(f64_of(text), Some(f64::INFINITY), "{text}");
        }
        assert_eq!(f64_of("-inf"), Some(f64::NEG_INFINITY));
        assert!(f64_of("NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn cells_are_null_or_of_their_type() {
        assert_eq!(value_of(bare(""), FieldType::I64), Some(Value::Null));
        assert_eq!(value_of(bare(""), FieldType::String), Some(Value::Null));
        assert_eq!(value_of(quoted(""), FieldType::F64), Some(Value::Null));
        let empty = Some(Value::String(""));
        assert_eq!(value_of(quoted(""), FieldType::String), empty);
        assert_eq!(value_of(bare("1"), FieldType::F64), Some(Value::F64(1.0)));
        assert_eq!(value_of(quoted("1"), FieldType::I64), Some(Value::I64(1)));
        assert_eq!(value_of(bare("1.5"), FieldType::I64), None);
        assert_eq!(value_of(bare("-1"), FieldType::U64), None);
        assert_eq!(value_of(bare("yes"), FieldType::Bool), None);
        let yes = Some(Value::String("yes"));
        assert_eq!(value_of(bare("yes"), FieldType::String), yes);
    }
}
