//! One row of InfluxDB's line protocol.
//!
//! ```text
//! measurement[,tag=value]... field=value[,field=value]... [timestamp]
//! ```
//! A backslash escapes commas, spaces and equals signs in names and tags, and quotes and
//! backslashes in strings. Numbers are floats; `i` behind one makes it an integer, `u` an unsigned
//! one. A string may have ends of lines in it.

use std::borrow::Cow;

use tidestone::Value;

use super::cell::f64_of;

/// The parts of a line.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) measurement: Cow<'a, str>,
    pub(super) tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The tags as they are written.
    pub(super) raw_tags: &'a str,
    pub(super) fields: Vec<(Cow<'a, str>, FieldValue<'a>)>,
    /// As it is written; its unit is not in the line.
    pub(super) time: Option<&'a str>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FieldValue<'a> {
    F64(f64),
    I64(i64),
    U64(u64),
    Bool(bool),
    Text(Cow<'a, str>),
}

impl FieldValue<'_> {
    /// The value as the engine takes it.
    pub(super) fn as_value(&self) -> Value<'_> {
        match self {
            Self::F64(v) => Value::F64(*v),
            Self::I64(v) => Value::I64(*v),
            Self::U64(v) => Value::U64(*v),
            Self::Bool(v) => Value::Bool(*v),
            Self::Text(v) => Value::String(v),
        }
    }
}

/// Reads a line that is neither empty nor a comment.
///
/// # Errors
/// What is wrong with it, and where: columns count characters from 1.
pub(super) fn parse(text: &str) -> Result<Line<'_>, String> {
    let mut rest = Rest { text, at: 0 };
    let measurement = rest.name(b", ")?;
    if measurement.is_empty() {
        return Err(rest.wrong("a measurement"));
    }
    let mut line = Line {
        measurement,
        ..Line::default()
    };
    let tags = rest.at;
    while rest.take(b',') {
        let name = rest.name(b",= ")?;
        if name.is_empty() || !rest.take(b'=') {
            return Err(rest.wrong("tag=value"));
        }
        let value = rest.name(b",= ")?;
        if value.is_empty() {
            return Err(rest.wrong("the value of a tag"));
        }
        line.tags.push((name, value));
    }
    line.raw_tags = &text[tags..rest.at];
    if !rest.take(b' ') {
        return Err(rest.wrong("a space and fields"));
    }
    rest.skip_spaces();
    loop {
        let name = rest.name(b",= ")?;
        if name.is_empty() || !rest.take(b'=') {
            return Err(rest.wrong("field=value"));
        }
        let value = rest.value()?;
        line.fields.push((name, value));
        if !rest.take(b',') {
            break;
        }
    }
    rest.skip_spaces();
    let time = rest.text[rest.at..].trim_end_matches([' ', '\r']);
    line.time = (!time.is_empty()).then_some(time);
    if line.time.is_some_and(|t| t.contains(' ')) {
        return Err(rest.wrong("a timestamp and the end of the line"));
    }
    Ok(line)
}

/// What is left of a line.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_spaces(&mut self) {
        while self.take(b' ') {}
    }

    /// Text up to one of `ends` that is not escaped, which must come.
    fn name(&mut self, ends: &[u8]) -> Result<Cow<'a, str>, String> {
        let start = self.at;
        let mut escaped = false;
        while let Some(byte) = self.peek() {
            if byte == b'\\'
                && self
                    .text
                    .as_bytes()
                    .get(self.at + 1)
                    .is_some_and(|b| b", =".contains(b))
            {
                escaped = true;
                self.at += 2;
            } else if ends.contains(&byte) {
                break;
            } else {
                self.at += 1;
            }
        }
        let text = &self.text[start..self.at];
        if !escaped {
            return Ok(Cow::Borrowed(text));
        }
        let mut plain = String::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let escape = c == '\\' && chars.peek().is_some_and(|n| matches!(n, ',' | ' ' | '='));
            plain.extend(if escape { chars.next() } else { Some(c) });
        }
        Ok(Cow::Owned(plain))
    }

    fn value(&mut self) -> Result<FieldValue<'a>, String> {
        if self.take(b'"') {
            return self.string();
        }
        let start = self.at;
        while self.peek().is_some_and(|b| b != b',' && b != b' ') {
            self.at += 1;
        }
        let text = self.text[start..self.at].trim_end_matches('\r');
        let value = match text.as_bytes().last() {
            Some(b'i') => text[..text.len() - 1].parse().ok().map(FieldValue::I64),
            Some(b'u') => text[..text.len() - 1].parse().ok().map(FieldValue::U64),
            _ => match text {
                "t" | "T" | "true" | "True" | "TRUE" => Some(FieldValue::Bool(true)),
                "f" | "F" | "false" | "False" | "FALSE" => Some(FieldValue::Bool(false)),
                text => f64_of(text).map(FieldValue::F64),
            },
        };
        self.at = if value.is_some() { self.at } else { start };
        value.ok_or_else(|| {
            let digits = text.trim_start_matches('-').trim_end_matches(['i', 'u']);
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            match text.as_bytes().last() {
                Some(b'i') if is_number => self.wrong("an integer from -2^63 to 2^63 - 1"),
                Some(b'u') if is_number => self.wrong("an integer from 0 to 2^64 - 1"),
                _ => self.wrong("a value: 1.5, 1i, 1u, true or \"text\""),
            }
        })
    }

    fn string(&mut self) -> Result<FieldValue<'a>, String> {
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek() {
                None => {
                    self.at = start;
                    return Err(self.wrong("a quote that ends the string"));
                }
                Some(b'"') => break,
                Some(b'\\')
                    if self
                        .text
                        .as_bytes()
                        .get(self.at + 1)
                        .is_some_and(|b| b"\"\\".contains(b)) =>
                {
                    escaped = true;
                    self.at += 2;
                }
                Some(_) => self.at += 1,
            }
        }
        let text = &self.text[start..self.at];
        self.at += 1;
        if !escaped {
            return Ok(FieldValue::Text(Cow::Borrowed(text)));
        }
        let mut plain = String::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let escape = c == '\\' && chars.peek().is_some_and(|n| matches!(n, '"' | '\\'));
            plain.extend(if escape { chars.next() } else { Some(c) });
        }
        Ok(FieldValue::Text(Cow::Owned(plain)))
    }

    fn wrong(&self, expected: &str) -> String {
        let before = &self.text[..self.at];
        let last_line = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before[last_line..].chars().count() + 1;
        // Where a string before it has ends of lines in it.
        let below = match before.bytes().filter(|b| *b == b'\n').count() {
            0 => String::new(),
            lines => format!(" of the line {lines} below"),
        };
        let found: String = self.text[self.at..].chars().take(20).collect();
        match found.as_str() {
            "" => format!("column {column}{below}: expected {expected}, the line ends; correct it"),
            found => {
                format!("column {column}{below}: expected {expected}, found {found:?}; correct it")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &Line<'_>) -> Vec<String> {
        line.fields
            .iter()
            .map(|(n, v)| format!("{n}={v:?}"))
            .collect()
    }

    #[test]
    fn lines_are_taken_apart() {
        let line = parse("cpu,host=a,dc=x usage=1.5,n=2i,u=3u,up=t,s=\"a b\" 1700000000").unwrap();
        assert_eq!(line.measurement, "cpu");
        let tags: Vec<String> = line.tags.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(tags, ["host=a", "dc=x"]);
        let expected = [
            "usage=F64(1.5)",
            "n=I64(2)",
            "u=U64(3)",
            "up=Bool(true)",
            "s=Text(\"a b\")",
        ];
        assert_eq!(fields(&line), expected);
        assert_eq!(line.time, Some("1700000000"));
        assert_eq!(parse("m f=1").unwrap().time, None);
        assert_eq!(parse("m f=1 5\r").unwrap().time, Some("5"));
        assert_eq!(fields(&parse("m f=1i\r").unwrap()), ["f=I64(1)"]);
    }

    #[test]
    fn escapes_are_undone() {
        let line = parse(r#"my\ cpu,a\,b=c\=d\ e f\ g="say \"hi\" \\ \n",h=1"#).unwrap();
        assert_eq!(line.measurement, "my cpu");
        assert_eq!(line.tags[0], ("a,b".into(), "c=d e".into()));
        assert_eq!(line.fields[0].0, "f g");
        assert_eq!(
            line.fields[0].1,
            FieldValue::Text(r#"say "hi" \ \n"#.into())
        );
        assert_eq!(parse(r"a\b f=1").unwrap().measurement, r"a\b");
        assert_eq!(parse("größe,ort=Zürich f=1").unwrap().tags[0].1, "Zürich");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_column() {
        let check = |text: &str, expected: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check(" f=1", "column 1: expected a measurement");
        check("m", "column 2: expected a space and fields, the line ends");
        check("m,t f=1", "column 4: expected tag=value");
        check("m,t= f=1", "column 5: expected the value of a tag");
        check("m f", "column 4: expected field=value, the line ends");
        check("m f=", "column 5: expected a value");
        check(
            "m f=abc",
            "column 5: expected a value: 1.5, 1i, 1u, true or \"text\", found \"abc\"",
        );
        check("m f=1.5i", "column 5: expected a value");
        check("m f=99999999999999999999i", "column 5");
        check("m f=-1u", "column 5");
        check("m f=\"abc", "column 6: expected a quote");
        check("m f=1 1 2", "column 7: expected a timestamp");
        check("m f=1, 5", "column 7: expected field=value");
        check(
            "m s=\"ü\n\nb\",f=x 5",
            "column 6 of the line 2 below: expected a value",
        );
    }
}
