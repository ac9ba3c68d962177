//! Text for terminals: tables, sizes, ratios.

use std::io::{self, Write};

/// A table whose columns are as wide as their longest cell. Cells that start with a digit or a
/// minus sign stand to the right if their whole column does.
#[derive(Debug)]
pub(crate) struct TextTable {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table without rows.
    pub(crate) fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self {
            head: head.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: as many cells as the table has columns.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints the table, each line after `indent`.
    pub(crate) fn print(&self, indent: &str, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.head.len();
        let mut widths: Vec<usize> = self.head.iter().map(|h| width(h)).collect();
        let mut right = vec![true; columns];
        for row in &self.rows {
            for ((cell, widest), right) in row.iter().zip(&mut widths).zip(&mut right) {
                *widest = (*widest).max(width(cell));
                *right &= cell.is_empty() || cell == "-" || is_number(cell);
            }
        }
        for row in std::iter::once(&self.head).chain(&self.rows) {
            let mut line = String::from(indent);
            for (i, cell) in row.iter().take(columns).enumerate() {
                let pad = " ".repeat(widths[i] - width(cell));
                let gap = if i == 0 { "" } else { "  " };
                line.push_str(gap);
                if right[i] {
                    line.push_str(&pad);
                }
                line.push_str(cell);
                if !right[i] {
                    line.push_str(&pad);
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
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
        let expected = "  name   rows\n  a         1\n  bcdef  1000\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(one_line("a\nb\u{1b}[1mé"), "a\\nb\\u{1b}[1mé");
    }
}
