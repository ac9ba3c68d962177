//! Records, read one after another.

use std::io::{self, BufRead};
use std::mem;

use crate::engine::line_reader::{Got, LONGEST, Lines};

/// The cells of a record.
#[derive(Debug, Default, Clone)]
pub(crate) struct Record {
    text: String,
    /// Where each cell ends in the text, and whether it was quoted.
    cells: Vec<(usize, bool)>,
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell<'a> {
    /// What it says, quotes undone.
    pub(crate) text: &'a str,
    /// Whether it stood in quotes.
    pub(crate) quoted: bool,
}

impl Cell<'_> {
    /// Whether there is nothing, not even an empty string.
    pub(crate) fn is_null(&self) -> bool {
        self.text.is_empty() && !self.quoted
    }
}

impl Record {
    /// The number of cells.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Bytes of all cells.
    pub(crate) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// The cell of a column.
    pub(crate) fn get(&self, column: usize) -> Option<Cell<'_>> {
        let (end, quoted) = *self.cells.get(column)?;
        let start = match column {
            0 => 0,
            column => self.cells[column - 1].0,
        };
        let text = &self.text[start..end];
        Some(Cell { text, quoted })
    }

    /// The cells in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Cell<'_>> {
        (0..self.len()).filter_map(|column| self.get(column))
    }
}

/// A record in the making: cells that may not be UTF-8.
#[derive(Default)]
struct Cells {
    bytes: Vec<u8>,
    ends: Vec<(usize, bool)>,
}

impl Cells {
    /// None, in the memory of a record.
    fn in_place_of(record: &mut Record) -> Self {
        let record = mem::take(record);
        let (mut bytes, mut ends) = (record.text.into_bytes(), record.cells);
        bytes.clear();
        ends.clear();
        Self { bytes, ends }
    }

    fn end_cell(&mut self, quoted: bool) {
        self.ends.push((self.bytes.len(), quoted));
    }

    /// The record, or the number from 0 of the first cell that is not UTF-8.
    fn into_record(self) -> Result<Record, usize> {
        let cells = self.ends;
        match String::from_utf8(self.bytes) {
            // What two cells make together may be UTF-8 though neither is.
            Ok(text) => match cells
                .iter()
                .position(|(end, _)| !text.is_char_boundary(*end))
            {
                None => Ok(Record { text, cells }),
                Some(column) => Err(column),
            },
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                Err(cells.partition_point(|(end, _)| *end <= valid))
            }
        }
    }
}

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A record, and the line it starts on.
    Record(u64),
    /// The line of what is no record, and why it is none. The next one starts on the next line.
    Refused(u64, String),
    /// Nothing.
    End,
}

/// Reads the records of a file, holding no more of it than [`Lines`] does for one of [`LONGEST`].
///
/// A quote that is not closed costs the line it is on: what was read behind it in search of its end
/// is read again, as records.
#[derive(Debug)]
pub(crate) struct Records<R> {
    lines: Lines<R>,
    delimiter: u8,
}

/// A place in the buffer.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    /// The number of its line.
    line: u64,
}

/// What stands behind a cell.
enum Behind {
    Cell(Place),
    EndOfRecord(Place),
    /// The record is none, for this reason; the place is on the line to blame.
    Wrong(Place, String),
}

impl<R: BufRead> Records<R> {
    /// Reads `input`, whose cells `delimiter` divides: a byte of ASCII that is neither a quote nor
    /// ends a line.
    pub(crate) fn new(input: R, delimiter: u8) -> Self {
        Self {
            lines: Lines::new(input, LONGEST),
            delimiter,
        }
    }

    /// Reads the next record.
    ///
    /// # Errors
    /// The file could not be read.
    pub(crate) fn next(&mut self, record: &mut Record) -> io::Result<Next> {
        loop {
            match self.lines.next()? {
                Got::End => return Ok(Next::End),
                Got::TooLong => {
                    let what = format!(
                        "the line is longer than {}; shorten its values, or if it is many lines, \
                         end each with LF or CR LF",
                        length(self.lines.longest())
                    );
                    return Ok(Next::Refused(self.lines.number() - 1, what));
                }
                Got::Line => {}
            }
            let (at, line) = (self.lines.start(), self.lines.number());
            if !is_end(&self.lines.bytes()[at..]) {
                return self.record(record);
            }
            self.lines.pass(at, line);
        }
    }

    fn record(&mut self, record: &mut Record) -> io::Result<Next> {
        let mut cells = Cells::in_place_of(record);
        let first = self.lines.number();
        let mut place = Place {
            at: self.lines.start(),
            line: first,
        };
        loop {
            let behind = match self.lines.bytes().get(place.at) {
                Some(b'"') => self.quoted_cell(place, &mut cells)?,
                _ => self.bare_cell(place, &mut cells),
            };
            match behind {
                Behind::Cell(next) => place = next,
                Behind::EndOfRecord(end) => {
                    self.lines.pass(end.at, end.line);
                    return Ok(match cells.into_record() {
                        Ok(read) => {
                            *record = read;
                            Next::Record(first)
                        }
                        Err(column) => {
                            let what = format!(
                                "column {} is not UTF-8; convert the file to it",
                                column + 1
                            );
                            Next::Refused(first, what)
                        }
                    });
                }
                Behind::Wrong(line, what) => {
                    self.lines.pass(line.at, line.line);
                    return Ok(Next::Refused(line.line, what));
                }
            }
        }
    }

    /// Reads a cell that starts with no quote: up to the delimiter or the end of the line.
    fn bare_cell(&self, start: Place, cells: &mut Cells) -> Behind {
        let rest = &self.lines.bytes()[start.at..];
        let ends = |b: &u8| *b == self.delimiter || *b == b'\n' || *b == b'\r';
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        cells.bytes.extend_from_slice(&rest[..len]);
        cells.end_cell(false);
        let end = Place {
            at: start.at + len,
            ..start
        };
        self.behind(end).unwrap_or_else(|| {
            let column = cells.ends.len();
            let what = format!(
                "column {column}: a carriage return outside of quotes; lines end with LF or CR LF, \
                 and text with a carriage return stands in quotes"
            );
            Behind::Wrong(end, what)
        })
    }

    /// Reads a cell in quotes, which may be of many lines.
    fn quoted_cell(&mut self, start: Place, cells: &mut Cells) -> io::Result<Behind> {
        let mut place = Place {
            at: start.at + 1,
            ..start
        };
        loop {
            let rest = &self.lines.bytes()[place.at..];
            let quote = rest.iter().position(|b| *b == b'"');
            let text = &rest[..quote.unwrap_or(rest.len())];
            cells.bytes.extend_from_slice(text);
            place.line += text.iter().filter(|b| **b == b'\n').count() as u64;
            place.at += text.len();
            if quote.is_none() {
                let column = cells.ends.len() + 1;
                if let Some(where_to) = self.next_line_of_cell(place)? {
                    return Ok(Behind::Wrong(start, not_closed(column, &where_to)));
                }
            } else if self.lines.bytes().get(place.at + 1) == Some(&b'"') {
                cells.bytes.push(b'"');
                place.at += 2;
            } else {
                place.at += 1;
                break;
            }
        }
        cells.end_cell(true);
        Ok(self.behind(place).unwrap_or_else(|| {
            let rest = String::from_utf8_lossy(&self.lines.bytes()[place.at..]);
            let found: String = rest.chars().take(20).take_while(|c| *c != '\n').collect();
            let what = format!(
                "column {}: behind the closing quote{} stands {found:?}; if it does not close the \
                 text, double it",
                cells.ends.len(),
                match place.line - start.line {
                    0 => String::new(),
                    _ => format!(" on line {}", place.line),
                }
            );
            Behind::Wrong(start, what)
        }))
    }

    /// Reads on where a cell goes on, at `place`, the end of the buffer; if it cannot, says up to
    /// where the cell was not closed.
    fn next_line_of_cell(&mut self, place: Place) -> io::Result<Option<String>> {
        let got = match place.at - self.lines.start() > self.lines.longest() {
            true => Got::TooLong,
            false => self.lines.look(place.at)?,
        };
        Ok(match got {
            Got::Line => None,
            Got::TooLong => Some(format!("within {}", length(self.lines.longest()))),
            Got::End => Some("before the end of the file".to_owned()),
        })
    }

    /// What stands at a place behind a cell; `None` if nothing can be there.
    fn behind(&self, place: Place) -> Option<Behind> {
        let rest = &self.lines.bytes()[place.at..];
        if rest.first() == Some(&self.delimiter) {
            let at = place.at + 1;
            return Some(Behind::Cell(Place { at, ..place }));
        }
        is_end(rest).then_some(Behind::EndOfRecord(place))
    }
}

/// Whether bytes start with the end of a line, or are the end of the file.
fn is_end(bytes: &[u8]) -> bool {
    matches!(bytes, [] | [b'\n', ..] | [b'\r', b'\n', ..] | b"\r")
}

fn not_closed(column: usize, where_to: &str) -> String {
    format!(
        "column {column}: the quote that opens here is not closed {where_to}; close it, or if it \
         is part of the text, put the text in quotes and double it"
    )
}

/// A number of bytes, for people.
fn length(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        mib => format!("{mib} MiB"),
    }
}

#[cfg(test)]
mod tests;
