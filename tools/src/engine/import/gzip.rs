//! What is packed with gzip: members, one after another.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::GzDecoder;

/// The first bytes of a member.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Whether a file that starts so is packed with gzip.
pub(super) fn is_packed(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// Unpacks members up to the end of the file. Zeros behind the last one are padding, as `gzip` takes
/// them; anything else there is passed over, and told in `trailing`.
pub(super) struct Members<R> {
    state: State<R>,
    /// Lines that were unpacked.
    lines: u64,
    /// Those before the member at hand.
    lines_before: u64,
    trailing: Rc<Cell<bool>>,
}

enum State<R> {
    Member(Box<GzDecoder<BufReader<R>>>),
    End,
}

impl<R: Read> Members<R> {
    /// Of a file that [is packed](is_packed).
    pub(super) fn new(packed: BufReader<R>, trailing: Rc<Cell<bool>>) -> Self {
        Self {
            state: State::Member(Box::new(GzDecoder::new(packed))),
            lines: 0,
            lines_before: 0,
            trailing,
        }
    }

    /// What follows a member that ended.
    fn next(&mut self, mut packed: BufReader<R>) -> io::Result<State<R>> {
        self.lines_before = self.lines;
        let mut is_padded = false;
        loop {
            let rest = packed.fill_buf()?;
            let Some(zeros) = rest.iter().position(|b| *b != 0) else {
                if rest.is_empty() {
                    return Ok(State::End);
                }
                is_padded = true;
                let all = rest.len();
                packed.consume(all);
                continue;
            };
            // A file that is read from a pipe may show one byte at first.
            let is_member =
                !is_padded && zeros == 0 && MAGIC.starts_with(&rest[..rest.len().min(2)]);
            if !is_member {
                self.trailing.set(true);
                return Ok(State::End);
            }
            return Ok(State::Member(Box::new(GzDecoder::new(packed))));
        }
    }

    /// An error of unpacking, and what it means for the rows that were unpacked: the checksum of a member
    /// stands at its end.
    fn about(&self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::InvalidInput {
            return error;
        }
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{error}: what is packed from line {} on is damaged, and values of rows from there to where \
                 the import stopped may be wrong, though they are imported; take the file from its source again, \
                 and import it into a new table",
                self.lines_before + 1
            ),
        )
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let State::Member(member) = &mut self.state else {
                return Ok(0);
            };
            let read = member.read(to);
            match read {
                Ok(0) if !to.is_empty() => {
                    let State::Member(member) = std::mem::replace(&mut self.state, State::End)
                    else {
                        return Ok(0);
                    };
                    self.state = self.next(member.into_inner())?;
                }
                Ok(n) => {
                    self.lines += to[..n].iter().filter(|b| **b == b'\n').count() as u64;
                    return Ok(n);
                }
                Err(error) => return Err(self.about(error)),
            }
        }
    }
}
