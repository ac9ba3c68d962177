use super::*;

/// All that a file holds: cells as they are, quoted ones in quotes, nulls as `-`.
fn read(text: &[u8], longest: usize) -> Vec<String> {
    let mut records = Records::new(text, b',');
    records.lines = Lines::new(text, longest);
    let mut record = Record::default();
    let mut all = Vec::new();
    loop {
        match records.next(&mut record).unwrap() {
            Next::End => return all,
            Next::Refused(line, what) => all.push(format!("{line}! {what}")),
            Next::Record(line) => {
                let cell = |cell: Cell<'_>| match cell {
                    cell if cell.is_null() => "-".to_owned(),
                    Cell { text, quoted: true } => format!("{text:?}"),
                    Cell { text, .. } => text.to_owned(),
                };
                let cells: Vec<String> = record.iter().map(cell).collect();
                all.push(format!("{line}: {}", cells.join(" ")));
            }
        }
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(read(text.as_bytes(), 64), expected, "{text:?}");
}

#[test]
fn cells_are_told_apart() {
    check("", &[]);
    check("a", &["1: a"]);
    check("a,b\nc,d\n", &["1: a b", "2: c d"]);
    check("a,b\r\nc,d\r\n", &["1: a b", "2: c d"]);
    check("a,b\n\n\r\nc,d\r", &["1: a b", "4: c d"]);
    check("\u{feff}a,é\n", &["1: a é"]);
    check(",\n", &["1: - -"]);
    check("\"\",,\"\"\n", &["1: \"\" - \"\""]);
    check("\"a,b\",c\n", &["1: \"a,b\" c"]);
    check("\"a \"\"b\"\"\",c\n", &["1: \"a \\\"b\\\"\" c"]);
    check("\"\"\"\"\n", &["1: \"\\\"\""]);
    check("5\" disk,\"x\"\r\n", &["1: 5\" disk \"x\""]);
    check("\"a\r\nb\",c\nd\n", &["1: \"a\\r\\nb\" c", "3: d"]);
    check("x,\"a\n\nb\"\ny", &["1: x \"a\\n\\nb\"", "4: y"]);
}

#[test]
fn a_quote_that_is_not_closed_costs_its_line() {
    let wrong = |line: u64, column: usize, up_to: &str| {
        format!(
            "{line}! column {column}: the quote that opens here is not closed {up_to}; close it, \
             or if it is part of the text, put the text in quotes and double it"
        )
    };
    let end = "before the end of the file";
    check("a\nb,\"c\nd\n", &["1: a", &wrong(2, 2, end), "3: d"]);
    check("\"a\n\",\"c\nd\n", &[&wrong(2, 2, end), "3: d"]);
    check("\"", &[&wrong(1, 1, end)]);
    // The bound: what was read behind the quote is read again.
    let rows = "0123456,b\n".repeat(20);
    let all = read(format!("x,\"a\n{rows}").as_bytes(), 64);
    assert_eq!(all[0], wrong(1, 2, "within 64 bytes"));
    assert_eq!((all.len(), all[20].as_str()), (21, "21: 0123456 b"));
}

#[test]
fn what_stands_behind_a_closing_quote_is_named() {
    let behind = |on: &str, found: &str| {
        format!(
            "1! column 2: behind the closing quote{on} stands {found:?}; if it does not close the \
             text, double it"
        )
    };
    check("x,\"a\"b,c\nd\n", &[&behind("", "b,c"), "2: d"]);
    // Most likely the quote on the first line was never closed.
    check(
        "x,\"a\ny,\"b\nz\n",
        &[
            &behind(" on line 2", "b"),
            "2! column 2: the quote that opens here is not closed before the end of the file; \
             close it, or if it is part of the text, put the text in quotes and double it",
            "3: z",
        ],
    );
}

#[test]
fn lines_that_are_too_long_are_refused_and_counted() {
    let long = "x".repeat(65);
    let refused = "the line is longer than 64 bytes; shorten its values, or if it is many lines, \
                   end each with LF or CR LF";
    check(
        &format!("a\n{long}\nb\n"),
        &["1: a", &format!("2! {refused}"), "3: b"],
    );
    let text = format!("a,\"b\nc\n{long}\nd\n");
    let all = read(text.as_bytes(), 64);
    assert!(
        all[0].starts_with("1! column 2: the quote that opens here"),
        "{all:?}"
    );
    assert_eq!(all[1..], ["2: c", &format!("3! {refused}"), "4: d"]);
}

#[test]
fn a_carriage_return_stands_in_quotes_or_before_a_line_feed() {
    let all = read(b"a\rb,c\n\"a\rb\",c\n", 64);
    assert!(
        all[0].starts_with("1! column 1: a carriage return outside of quotes"),
        "{all:?}"
    );
    assert_eq!(all[1], "2: \"a\\rb\" c");
}

#[test]
fn cells_that_are_not_utf_8_are_named() {
    let check = |text: &[u8], expected: &[&str]| assert_eq!(read(text, 64), expected);
    check(
        b"a,\xff,\xff\nb\n",
        &["1! column 2 is not UTF-8; convert the file to it", "2: b"],
    );
    // Together the two cells would be an é.
    check(
        b"a,b\xc3,\xa9\nb\n",
        &["1! column 2 is not UTF-8; convert the file to it", "2: b"],
    );
    check(
        b"\"\xff\n\",a\nb\n",
        &["1! column 1 is not UTF-8; convert the file to it", "3: b"],
    );
}
