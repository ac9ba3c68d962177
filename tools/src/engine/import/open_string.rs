//! Where a row of line protocol ends: an end of a line inside of a string is part of it.

/// Reads a row line by line, to find whether it goes on. It reads every byte once, however many lines
/// there are.
#[derive(Debug, Default)]
pub(super) struct OpenString {
    at: Part,
    /// Bytes that were read.
    read: usize,
    /// Where the last string was opened.
    opened: usize,
}

/// What a byte is part of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The measurement and the tags.
    #[default]
    Head,
    /// The name of a field, and the spaces before it.
    Name,
    /// The first byte of a value.
    ValueStart,
    Value,
    String,
    /// What follows the fields.
    Time,
}

impl OpenString {
    /// Where the string was opened that is not closed at the end of the row; it starts with what was read
    /// before.
    pub(super) fn read(&mut self, row: &[u8]) -> Option<usize> {
        // Most rows have no strings.
        if self.read == 0 && !row.contains(&b'"') {
            return None;
        }
        let mut at = self.read;
        while let Some(&byte) = row.get(at) {
            let next = row.get(at + 1);
            let escapes: &[u8] = match self.at {
                Part::Head | Part::Name => b", =",
                Part::String => b"\"\\",
                Part::ValueStart | Part::Value | Part::Time => b"",
            };
            if byte == b'\\' && next.is_some_and(|next| escapes.contains(next)) {
                at += 2;
                continue;
            }
            self.at = match (self.at, byte) {
                (Part::Head, b' ') => Part::Name,
                (Part::Name, b'=') => Part::ValueStart,
                (Part::ValueStart, b'"') => {
                    self.opened = at;
                    Part::String
                }
                (Part::ValueStart | Part::Value, b',') => Part::Name,
                (Part::ValueStart | Part::Value, b' ') => Part::Time,
                (Part::ValueStart, _) => Part::Value,
                (Part::String, b'"') => Part::Value,
                (part, _) => part,
            };
            at += 1;
        }
        self.read = at;
        (self.at == Part::String).then_some(self.opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_goes_on_where_a_string_is_open() {
        let check = |row: &str, expected: Option<usize>| {
            let mut open = OpenString::default();
            assert_eq!(open.read(row.as_bytes()), expected, "{row}");
        };
        check("m v=1 1\n", None);
        check("m v=\"a\" 1\n", None);
        check("m v=\"a\n", Some(4));
        check("m v=\"a\",w=\"\n", Some(10));
        check("m v=\"a\\\"\n", Some(4));
        check("m v=\"a\\\\\"\n", None);
        check("m v=\"a\\\n", Some(4));
        check("m v=\"a,b= \n", Some(4));
        // A quote elsewhere opens nothing.
        check("m,a=\"x v=1 1\n", None);
        check("m\\ v=\"x v=1 1\n", None);
        check("m \"v=1 1\n", None);
        check("m a\\=\"v=1 1\n", None);
        check("m v=x\" 1\n", None);
        check("m v=1 \"1\n", None);
        check("m v=\"a\" w=\"1\n", None);
        check("m a\\=b=\"x\n", Some(7));
    }

    #[test]
    fn what_was_read_is_not_read_again() {
        let row = "m v=\"a\nb\\\"\nc\",w=\"d\ne\" 1\n";
        let mut open = OpenString::default();
        let mut found = Vec::new();
        for (at, _) in row.match_indices('\n') {
            found.push(open.read(&row.as_bytes()[..=at]));
            assert_eq!(open.read, at + 1);
        }
        assert_eq!(found, [Some(4), Some(4), Some(16), None]);
    }
}
