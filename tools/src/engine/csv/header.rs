//! Names of columns that say what the columns are: `time:time,host:tag,load:f64`. A file with such
//! names needs no other word to be imported as what it was exported from.

use tidestone::FieldType;

use super::Record;

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// The times of the rows.
    Time,
    /// Values of a tag.
    Tag,
    /// Values of a field.
    Field(FieldType),
}

const FIELD_TYPES: [FieldType; 5] = [
    FieldType::F64,
    FieldType::I64,
    FieldType::U64,
    FieldType::Bool,
    FieldType::String,
];

/// The name of a column, with what it is behind it.
pub(crate) fn typed_name(name: &str, kind: ColumnKind) -> String {
    let word = match kind {
        ColumnKind::Time => "time",
        ColumnKind::Tag => "tag",
        ColumnKind::Field(field_type) => field_type.name(),
    };
    format!("{name}:{word}")
}

/// The names of the columns and what they are, if all of them say it and one is that of the times.
/// A file made by something else has such names by no accident.
pub(crate) fn typed_columns(head: &Record) -> Option<Vec<(&str, ColumnKind)>> {
    let columns: Option<Vec<_>> = head.iter().map(|cell| typed(cell.text)).collect();
    let columns = columns?;
    let times = columns.iter().filter(|(_, k)| *k == ColumnKind::Time);
    (times.count() == 1).then_some(columns)
}

fn typed(text: &str) -> Option<(&str, ColumnKind)> {
    let (name, word) = text.rsplit_once(':')?;
    let kind = match word {
        "time" => ColumnKind::Time,
        "tag" => ColumnKind::Tag,
        word => ColumnKind::Field(FIELD_TYPES.into_iter().find(|t| t.name() == word)?),
    };
    Some((name, kind))
}

#[cfg(test)]
mod tests {
    use super::super::{Next, Records};
    use super::*;

    fn check(line: &str, expected: Option<&[(&str, ColumnKind)]>) {
        let mut head = Record::default();
        let mut records = Records::new(line.as_bytes(), b',');
        assert_eq!(records.next(&mut head).unwrap(), Next::Record(1));
        assert_eq!(typed_columns(&head).as_deref(), expected, "{line}");
    }

    #[test]
    fn a_head_is_typed_if_all_of_it_is() {
        let columns = [
            ("time", ColumnKind::Time),
            ("a:b", ColumnKind::Tag),
            ("v", ColumnKind::Field(FieldType::U64)),
        ];
        let names = columns.map(|(name, kind)| typed_name(name, kind));
        check(&names.join(","), Some(&columns));
        check("time,a:tag", None);
        check("a:tag,v:f64", None);
        check("t:time,u:time", None);
        check("t:time,v:decimal", None);
    }
}
