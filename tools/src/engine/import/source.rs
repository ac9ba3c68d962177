//! The bytes of a file, unpacked where it is packed, counted as they are read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

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

/// Opens a file; `-` is stdin. What is packed with gzip is unpacked, whatever it is called.
pub(super) fn open(path: &Path, progress: &ProgressBar) -> Run<Box<dyn BufRead>> {
    let raw: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|e| Failure::file("open", path, &e))?)
    };
    let counted = Counted {
        inner: raw,
        progress: progress.clone(),
    };
    let mut packed = BufReader::with_capacity(BUFFER, counted);
    let head = packed
        .fill_buf()
        .map_err(|e| Failure::file("read", path, &e))?;
    if head.starts_with(&[0x1f, 0x8b]) {
        let plain = MultiGzDecoder::new(packed);
        return Ok(Box::new(BufReader::with_capacity(BUFFER, plain)));
    }
    Ok(Box::new(packed))
}

/// Length of a file as it lies on the disk; 0 where it has none.
pub(super) fn len(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

struct Counted {
    inner: Box<dyn Read>,
    progress: ProgressBar,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.progress.inc(n as u64);
        Ok(n)
    }
}
