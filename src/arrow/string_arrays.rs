//! Arrays of strings of any kind, read alike.

use arrow_array::cast::AsArray;
use arrow_array::{Array, LargeStringArray, StringArray, StringViewArray};
use arrow_schema::DataType;

/// The strings of an array, whatever its kind.
#[derive(Debug)]
pub(super) enum StringArrays<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Dictionary {
        /// Of each row the place of its value.
        places: Vec<Option<usize>>,
        values: Box<StringArrays<'a>>,
    },
}

impl<'a> StringArrays<'a> {
    /// The strings of an array; `None` where it is of something else.
    pub(super) fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Self::Utf8(array.as_string()),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string()),
            DataType::Utf8View => Self::Utf8View(array.as_string_view()),
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let values = Self::of(dictionary.values().as_ref())?;
                let keys = dictionary.keys();
                let places = match dictionary.values().is_empty() {
                    // All rows are null, and there is no place for any.
                    true => vec![None; keys.len()],
                    false => {
                        let places = dictionary.normalized_keys().into_iter().enumerate();
                        let is_there = |(row, place)| keys.is_valid(row).then_some(place);
                        places.map(is_there).collect()
                    }
                };
                Self::Dictionary {
                    places,
                    values: Box::new(values),
                }
            }
            _ => return None,
        })
    }

    /// The string of a row; `None` for null.
    ///
    /// # Panics
    /// `row` is out of bounds.
    pub(super) fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Utf8(array) => array.is_valid(row).then(|| array.value(row)),
            Self::LargeUtf8(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Utf8View(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Dictionary { places, values } => values.get(places[row]?),
        }
    }
}
