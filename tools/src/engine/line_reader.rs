//! Lines of a file, none longer than memory bears.

use std::io::{self, BufRead, Read};

/// The longest line of a file that is imported, and the longest record of CSV, in bytes: room for
/// several strings of the greatest length a field takes.
pub(crate) const LONGEST: usize = 64 << 20;

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

/// Appends the next line with its end to `to`. Of one longer than `longest` bytes nothing is
/// appended, and reading goes on behind it.
pub(crate) fn read_line(
    input: &mut impl BufRead,
    to: &mut Vec<u8>,
    longest: usize,
) -> io::Result<Got> {
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
