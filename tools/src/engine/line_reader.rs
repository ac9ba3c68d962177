//! Lines of a file, none longer than memory bears.

use std::io::{self, BufRead, Read};

/// The longest line of a file that is imported, and the longest record of CSV, in bytes: room for
/// several strings of the greatest length a field takes.
pub(crate) const LONGEST: usize = 64 << 20;

/// Marks UTF-8 at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// A line; the last one of a file may have no end.
    Line,
    /// A line that was too long and was passed over.
    TooLong,
    /// The end of the file.
    End,
}

/// The lines of a file that are at hand, so that what was read in search of an end can be read again. It
/// holds no more of the file than twice what was at hand at a time, and a line.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    longest: usize,
    /// Whole lines; those before `start` are done with.
    buffer: Vec<u8>,
    start: usize,
    /// The number of the line at `start`.
    line: u64,
    /// Behind the buffer comes a line that was too long, and was passed over.
    too_long: bool,
}

impl<R: BufRead> Lines<R> {
    /// Those of `input`, of which none longer than `longest` bytes is read.
    pub(crate) fn new(input: R, longest: usize) -> Self {
        Self {
            input,
            longest,
            buffer: Vec::new(),
            start: 0,
            line: 1,
            too_long: false,
        }
    }

    /// The lines at hand, with their ends.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The place of the first one that is not done with.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.line
    }

    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Lets go of what is done with, and sees to it that a line is at hand. One that was too long is passed over;
    /// a byte order mark is no part of the first.
    pub(crate) fn next(&mut self) -> io::Result<Got> {
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let got = self.look(self.start)?;
        if got == Got::TooLong {
            self.too_long = false;
            self.line += 1;
        }
        if (self.line, self.start) == (1, 0) && self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.start = BYTE_ORDER_MARK.len();
        }
        Ok(got)
    }

    /// Sees to it that a line is at hand at `at`, the start of one.
    pub(crate) fn look(&mut self, at: usize) -> io::Result<Got> {
        if at < self.buffer.len() {
            return Ok(Got::Line);
        }
        if self.too_long {
            return Ok(Got::TooLong);
        }
        let got = read_line(&mut self.input, &mut self.buffer, self.longest)?;
        self.too_long = got == Got::TooLong;
        Ok(got)
    }

    /// The end of the line that a place is on.
    pub(crate) fn end_of_line(&self, at: usize) -> usize {
        let rest = &self.buffer[at..];
        memchr::memchr(b'\n', rest).map_or(self.buffer.len(), |end| at + end + 1)
    }

    /// Goes on behind the line that a place is on, which is line `number`.
    pub(crate) fn pass(&mut self, at: usize, number: u64) {
        self.start = self.end_of_line(at);
        self.line = number + 1;
    }
}

/// Appends the next line with its end to `to`. Of one longer than `longest` bytes nothing is
/// appended, and reading goes on behind it.
fn read_line(input: &mut impl BufRead, to: &mut Vec<u8>, longest: usize) -> io::Result<Got> {
    let start = to.len();
    let most = longest as u64 + 1;
    input.by_ref().take(most).read_until(b'\n', to)?;
    match to.len() - start {
        0 => Ok(Got::End),
        len if len <= longest => Ok(Got::Line),
        _ => {
            if to.last() != Some(&b'\n') {
                input.skip_until(b'\n')?;
            }
            to.truncate(start);
            Ok(Got::TooLong)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_too_long_are_passed_over() {
        let mut input: &[u8] = b"abc\nabcd\nab\nabcdefghi\nx";
        let mut got = Vec::new();
        loop {
            let mut line = b"> ".to_vec();
            match read_line(&mut input, &mut line, 4).unwrap() {
                Got::End => break,
                other => got.push((other, String::from_utf8(line).unwrap())),
            }
        }
        let expected = [
            (Got::Line, "> abc\n"),
            (Got::TooLong, "> "),
            (Got::Line, "> ab\n"),
            (Got::TooLong, "> "),
            (Got::Line, "> x"),
        ];
        assert_eq!(got, expected.map(|(got, line)| (got, line.to_owned())));
    }
}
