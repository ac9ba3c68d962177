//! The tags of a vector.

use crate::FieldType;
use crate::tags::on_disk;

on_disk! {
    /// How the payload of a vector is written. The number of each is its tag on disk, forever.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Encoding {
        /// Every row is null; there is no payload.
        AllNull = 1,
        /// Eight bytes a value, aligned.
        Raw = 2,
        /// One value for all rows.
        Constant = 3,
        /// An integer stream.
        Integer = 4,
        /// Doubles as decimals.
        Alp = 5,
        /// Codes into the column's dictionary.
        Dictionary = 6,
        /// One bit a value.
        Bitmap = 7,
        /// Lengths, then the bytes of all strings.
        PlainStrings = 8,
    }
}

impl Encoding {
    /// The encoding with this tag.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.tag() == tag)
    }

    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllNull => "all null",
            Self::Raw => "raw",
            Self::Constant => "constant",
            Self::Integer => "integer",
            Self::Alp => "alp",
            Self::Dictionary => "dictionary",
            Self::Bitmap => "bitmap",
            Self::PlainStrings => "plain strings",
        }
    }

    /// Whether values of `field_type` can be written so.
    pub fn holds(self, field_type: FieldType) -> bool {
        use FieldType as T;
        match self {
            Self::AllNull => true,
            Self::Raw => matches!(field_type, T::F64 | T::I64 | T::U64),
            Self::Constant => field_type != T::String,
            Self::Integer => matches!(field_type, T::I64 | T::U64),
            Self::Alp => field_type == T::F64,
            Self::Dictionary => matches!(field_type, T::F64 | T::String),
            Self::Bitmap => field_type == T::Bool,
            Self::PlainStrings => field_type == T::String,
        }
    }
}

on_disk! {
    /// What a vector does about nulls.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum NullForm {
        /// There are none (or nothing but nulls: [`Encoding::AllNull`]).
        None = 0,
        /// The payload has a value for every row; those at nulls mean nothing.
        Filled = 1,
        /// The payload has values for the rows that are not null only.
        Dense = 2,
    }
}
