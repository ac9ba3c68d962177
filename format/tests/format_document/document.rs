//! The format document as data: its tables, by name, and what they say of bytes.

pub const DOCUMENT: &str = include_str!("../../FORMAT.md");

/// A table of the document.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: &'static str,
    pub rows: Vec<Vec<&'static str>>,
}

/// All tables. A table is called by the second cell of its head if the first one says `id` or the like,
/// and otherwise by the last one.
pub fn tables() -> Vec<Table> {
    let mut tables = Vec::new();
    let mut lines = DOCUMENT.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with('|') {
            continue;
        }
        let head = cells(line);
        let name = match head[0] {
            "id" | "tag" | "bit" | "number" => head[1],
            _ => head[head.len() - 1],
        };
        let mut rows = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
            let row = cells(line);
            assert_eq!(row.len(), head.len(), "{line}");
            rows.push(row);
        }
        rows.remove(0);
        tables.push(Table { name, rows });
    }
    tables
}

fn cells(line: &str) -> Vec<&str> {
    let inner = line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'));
    inner.unwrap().split('|').map(str::trim).collect()
}

/// The table of that name.
pub fn table(name: &str) -> Table {
    let mut found = tables().into_iter().filter(|table| table.name == name);
    let table = found.next().unwrap_or_else(|| panic!("no table {name:?}"));
    assert!(found.next().is_none(), "two tables {name:?}");
    table
}

/// The part of the document below the heading that starts with `heading`.
pub fn section(heading: &str) -> &'static str {
    let start = DOCUMENT
        .find(heading)
        .unwrap_or_else(|| panic!("no heading {heading:?}"));
    let body = &DOCUMENT[start + heading.len()..];
    &body[..body.find("\n#").unwrap_or(body.len())]
}

/// Asserts that the table of offsets holds these fields and no other; each is found by a word, has the
/// size of its value and stands in `bytes` where the table says. A row without a size is the last one,
/// and what it is of is the rest.
#[track_caller]
pub fn assert_laid_out(name: &str, bytes: &[u8], fields: &[(&str, &[u8])]) {
    let rows = table(name).rows;
    assert_eq!(rows.len(), fields.len(), "rows of the table {name:?}");
    let mut end = rows[0][0].parse().unwrap();
    for (row, (word, value)) in rows.iter().zip(fields) {
        let (offset, what): (usize, _) = (row[0].parse().unwrap(), row[2]);
        assert_eq!(offset, end, "{what:?} does not follow the row before it");
        assert!(what.contains(word), "{what:?} is no {word:?}");
        let size = match row[1] {
            "" => bytes.len() - offset,
            size => size.parse().unwrap(),
        };
        if !row[1].is_empty() {
            assert_type(what.split_whitespace().next().unwrap(), value);
        }
        end = offset + size;
        assert_eq!(&bytes[offset..end], *value, "{what:?} at {offset}");
    }
}

/// The bytes of these fields one after another: those of the table of types, of the types it says, each found
/// by a word. `active` are the conditions that hold: rows with another one are left out.
#[track_caller]
pub fn put_if(name: &str, active: &[&str], fields: &[(&str, &[u8])]) -> Vec<u8> {
    let rows = table(name).rows.into_iter().filter(|row| match row[..] {
        [_, condition, _] if !condition.is_empty() => {
            condition.split(", ").any(|one| active.contains(&one))
        }
        _ => true,
    });
    let rows: Vec<_> = rows.map(|row| (row[0], row[row.len() - 1])).collect();
    put_rows(name, &rows, fields)
}

/// As [`put_if`], of a table without conditions.
#[track_caller]
pub fn put(name: &str, fields: &[(&str, &[u8])]) -> Vec<u8> {
    put_if(name, &[], fields)
}

/// As [`put`], of types and words that stand elsewhere.
#[track_caller]
pub fn put_rows(name: &str, rows: &[(&str, &str)], fields: &[(&str, &[u8])]) -> Vec<u8> {
    assert_eq!(rows.len(), fields.len(), "fields of {name:?}: {rows:?}");
    for ((of_type, what), (word, value)) in rows.iter().zip(fields) {
        let row = format!("{of_type} {what}");
        assert!(row.contains(word), "{name}: {row:?} is no {word:?}");
        assert_type(of_type, value);
    }
    fields
        .iter()
        .flat_map(|(_, value)| value.to_vec())
        .collect()
}

/// Asserts that a value has the width or the form of a type; of words that are no type nothing.
#[track_caller]
fn assert_type(of_type: &str, value: &[u8]) {
    let width = match of_type {
        "`u8`" => 1,
        "`u16`" => 2,
        "`u32`" => 4,
        "`u64`" | "`i64`" => 8,
        "uuid" => 16,
        "3 bytes" => 3,
        "varint" | "svarint" => varint_len(value),
        "short text" => 2 + usize::from(u16::from_le_bytes([value[0], value[1]])),
        "part" => {
            let len = varint_len(value);
            len + varint_value(&value[..len])
        }
        _ => return,
    };
    assert_eq!(value.len(), width, "{value:02x?} as {of_type}");
}

fn varint_len(value: &[u8]) -> usize {
    let last = value.iter().position(|byte| byte & 0x80 == 0);
    last.unwrap() + 1
}

fn varint_value(bytes: &[u8]) -> usize {
    let seven = bytes.iter().map(|byte| usize::from(byte & 0x7f));
    seven.rev().fold(0, |value, seven| value << 7 | seven)
}

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let seven = (value & 0x7f) as u8;
        value >>= 7;
        out.push(if value == 0 { seven } else { seven | 0x80 });
        if value == 0 {
            return out;
        }
    }
}

pub fn svarint(value: i64) -> Vec<u8> {
    varint(((value << 1) ^ (value >> 63)).cast_unsigned())
}

pub fn part(bytes: &[u8]) -> Vec<u8> {
    [&varint(bytes.len() as u64), bytes].concat()
}

pub fn short_text(text: &str) -> Vec<u8> {
    let len = u16::try_from(text.len()).unwrap();
    [&len.to_le_bytes(), text.as_bytes()].concat()
}
