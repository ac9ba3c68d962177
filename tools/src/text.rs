//! Text for terminals: tables, sizes, ratios.

use std::io::{self, Write};

/// A table whose columns are as wide as their longest cell. Columns of numbers stand to the right.
///
/// Long tables are printed in parts: what was printed sets the width of what follows.
#[derive(Debug)]
pub(crate) struct TextTable {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
    /// Columns that stand to the right.
    right: Vec<bool>,
    started: bool,
}

impl TextTable {
    /// A table without rows.
    pub(crate) fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        let head: Vec<String> = head.into_iter().map(Into::into).collect();
        Self {
            widths: head.iter().map(|h| width(h)).collect(),
            right: vec![true; head.len()],
            head,
            rows: Vec::new(),
            started: false,
        }
    }

    /// Adds a row: as many cells as the table has columns.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether there are no rows that were not printed.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows were not printed.
    #[cfg(feature = "engine")]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Prints what was not printed yet, each line after `indent`.
    pub(crate) fn print(&mut self, indent: &str, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.rows {
            for ((cell, widest), right) in row.iter().zip(&mut self.widths).zip(&mut self.right) {
                *widest = (*widest).max(width(cell));
                *right &= self.started || cell.is_empty() || cell == "-" || is_number(cell);
            }
        }
        if !self.started {
            self.line(&self.head, indent, out)?;
            self.started = true;
        }
        for row in std::mem::take(&mut self.rows) {
            self.line(&row, indent, out)?;
        }
        Ok(())
    }

    fn line(&self, row: &[String], indent: &str, out: &mut dyn Write) -> io::Result<()> {
        let mut line = String::from(indent);
        for (i, (cell, widest)) in row.iter().zip(&self.widths).enumerate() {
            let pad = " ".repeat(widest - width(cell));
            if i > 0 {
                line.push_str("  ");
            }
            if self.right[i] {
                line.push_str(&pad);
            }
            line.push_str(cell);
            if !self.right[i] {
                line.push_str(&pad);
            }
        }
        writeln!(out, "{}", line.trim_end())
    }
}

/// Characters, as an estimate of the width on a terminal.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
}

/// A number of bytes, of values, as a decimal with two places.
pub(crate) fn ratio(numerator: f64, denominator: u64) -> String {
    if denominator == 0 {
        return "-".to_owned();
    }
    format!("{:.2}", numerator / denominator as f64)
}

/// Text on one line, whatever is in it.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let mut table = TextTable::new(["name", "rows"]);
        table.row(["a", "1"]);
        table.row(["bcdef", "1000"]);
        let mut out = Vec::new();
        table.print("  ", &mut out).unwrap();
        table.row(["x", "22"]);
        table.print("  ", &mut out).unwrap();
        let expected = "  name   rows\n  a         1\n  bcdef  1000\n  x        22\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(one_line("a\nb\u{1b}[1mé"), "a\\nb\\u{1b}[1mé");
    }
}
