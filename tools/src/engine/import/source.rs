//! The bytes of a file, unpacked where it is packed, counted as they are read.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;

use indicatif::ProgressBar;

use super::gzip::{self, Members};
use super::signals::{self, Signals};
use crate::outcome::{Failure, Run};

const BUFFER: usize = 256 << 10;

/// Fails if there is no such file or it cannot be read. What is no file, such as a pipe, is not
/// opened: it may be read only once.
pub(super) fn check(path: &Path) -> Run<()> {
    if path == Path::new("-") {
        return Ok(());
    }
    let metadata = std::fs::metadata(path).map_err(|e| Failure::file("open", path, &e))?;
    if metadata.is_dir() {
        let path = path.display();
        return Err(Failure::new(format_args!(
            "{path} is a folder; name the files in it"
        )));
    }
    if metadata.is_file() {
        File::open(path).map_err(|e| Failure::file("open", path, &e))?;
    }
    Ok(())
}

/// A file that is open.
pub(super) struct Source {
    pub(super) input: Box<dyn BufRead>,
    /// Whether bytes were passed over that stand behind what is packed and are no padding.
    pub(super) trailing: Rc<Cell<bool>>,
}

/// Opens a file; `-` is stdin. What is packed with gzip is unpacked, whatever it is called. Reading ends
/// with an error once a signal asked to end.
pub(super) fn open(path: &Path, progress: &ProgressBar, signals: &Signals) -> Run<Source> {
    let file = match path == Path::new("-") {
        // Not through the buffer of the library: what lies there is not seen by who waits for the file.
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    };
    let counted = Counted {
        file: file.map_err(|e| Failure::file("open", path, &e))?,
        progress: progress.clone(),
        signals: signals.clone(),
    };
    let mut packed = BufReader::with_capacity(BUFFER, counted);
    let head = packed
        .fill_buf()
        .map_err(|e| signals::failure(&e, || Failure::file("read", path, &e)))?;
    let trailing = Rc::new(Cell::new(false));
    let input: Box<dyn BufRead> = match gzip::is_packed(head) {
        true => {
            let plain = Members::new(packed, trailing.clone());
            Box::new(BufReader::with_capacity(BUFFER, plain))
        }
        false => Box::new(packed),
    };
    Ok(Source { input, trailing })
}

/// Length of a file as it lies on the disk; 0 where it has none.
pub(super) fn len(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// Why a file that is open could not be read on.
pub(super) fn failure(name: &str, error: &io::Error) -> Failure {
    signals::failure(error, || {
        Failure::new(format_args!("cannot read {name}: {error}"))
    })
}

struct Counted {
    file: File,
    progress: ProgressBar,
    signals: Signals,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.signals.wait_for(&self.file)?;
        let n = self.file.read(buffer)?;
        self.progress.inc(n as u64);
        Ok(n)
    }
}
