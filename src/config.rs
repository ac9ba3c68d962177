//! Settings: plain data, validated once at open.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Default of [`Options::memory_budget_bytes`]: 256 MiB.
pub const DEFAULT_MEMORY_BUDGET: usize = 256 << 20;
/// Default of [`Options::log_file_bytes`]: 64 MiB.
pub const DEFAULT_LOG_FILE: u64 = 64 << 20;
/// Default of [`Options::log_retained_bytes`]: 1 GiB.
pub const DEFAULT_LOG_RETAINED: u64 = 1 << 30;
/// Default of [`Options::flush_after`]: ten minutes.
pub const DEFAULT_FLUSH_AFTER: Duration = Duration::from_secs(600);
/// Default of [`Options::backpressure`]: wait for at most ten seconds.
pub const DEFAULT_BACKPRESSURE: Backpressure = Backpressure::Wait(Duration::from_secs(10));
/// How long room in the log is waited for with [`Backpressure::Fail`]: ten milliseconds, in which most disks
/// make a file that is not filled with zeros. It is asked for then: who tries again later finds it made.
pub const LOG_ROOM_WAIT: Duration = Duration::from_millis(10);
/// Default of [`Options::open_segments`]: 4,096.
pub const DEFAULT_OPEN_SEGMENTS: usize = 4096;

/// The part of the memory budget, one in so many, that goes into what is kept of segments.
const SEGMENT_SHARE: usize = 8;
/// The part of that, one in so many, that goes into the roots of open segments; the rest is for
/// pages, statistics and dictionaries, and blocks that are not mapped.
const ROOT_SHARE: usize = 4;

/// The part of the budget, one in so many, that the blocks may have which one thread of a query holds.
const HELD_SHARE: usize = 16;
/// The part of the budget, one in so many, that goes into the columns which a merge, or a flush, holds
/// at a time.
const WRITING_SHARE: usize = 8;

/// What may be held while a segment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WritingMemory {
    /// Bytes of the columns that are read and written at a time.
    pub(crate) columns: usize,
    /// Bytes of the pages of what is written.
    pub(crate) pages: usize,
    /// Bytes of the strings of a dictionary.
    pub(crate) dictionary: usize,
}

/// How segments are read, and what they may keep in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentMemory {
    /// Whether blocks are mapped or take memory.
    pub(crate) read_mode: ReadMode,
    /// Bytes of the roots of open segments.
    pub(crate) roots: usize,
    /// Segments open at a time.
    pub(crate) open_segments: usize,
    /// Bytes of what was decoded of their pages, and of blocks that are not mapped.
    pub(crate) parts: usize,
    /// Bytes of blocks that are not mapped which one thread of a query may hold besides.
    pub(crate) held: usize,
}

/// How an engine runs. Every field has a default that suits most; what a table keeps is in
/// [`TableOptions`](crate::TableOptions).
///
/// ```
/// use tidestone::Options;
/// let options = Options { memory_budget_bytes: 64 << 20, ..Options::default() };
/// options.validate().unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Memory for rows not yet in segments (a quarter of it, and once more while they are
    /// flushed), RocksDB (an eighth), what is kept of segments (roots, pages, statistics, dictionaries, and
    /// with [`ReadMode::Pread`] the values of fields as they are in the file: an eighth), merging segments (an
    /// eighth) and log buffers (a sixteenth). What a query holds for its own answer is not counted. More of it
    /// makes fewer and larger segments. Default [`DEFAULT_MEMORY_BUDGET`], at least 32 MiB.
    pub memory_budget_bytes: usize,
    /// Rows older than this are flushed to segments even if little memory is used, which bounds
    /// the log that a recovery replays. `None`: only by memory. Default [`DEFAULT_FLUSH_AFTER`],
    /// at least one second.
    pub flush_after: Option<Duration>,
    /// What a commit does when the memory budget is spent because flushing cannot keep up, or when the
    /// log has no room because the disk cannot. Default [`DEFAULT_BACKPRESSURE`].
    pub backpressure: Backpressure,
    /// Length of a log file. Larger ones rotate less often; a few of them are always kept. Default
    /// [`DEFAULT_LOG_FILE`], at least 64 KiB, at most 1 GiB, a multiple of 4 KiB.
    pub log_file_bytes: u64,
    /// Log that is kept for registered consumers; beyond it the slowest one is dropped. Default
    /// [`DEFAULT_LOG_RETAINED`], at least twice `log_file_bytes`.
    pub log_retained_bytes: u64,
    /// Segments kept open at a time, besides those in use; fewer if the memory for them is spent.
    /// More of them are opened less often. An open segment takes no file descriptor. With
    /// [`ReadMode::Mmap`] it takes one of the maps that the system allows a process (65,530 on Linux, unless
    /// it was told otherwise). Default [`DEFAULT_OPEN_SEGMENTS`], at least 16.
    pub open_segments: usize,
    /// How segments, and the log at an open, are read. Answers are the same. Default
    /// [`ReadMode::Mmap`].
    pub read_mode: ReadMode,
    /// Merge small and overlapping segments in the background. Without it, only `compact` does.
    /// Default true.
    pub auto_compact: bool,
    /// Threads a query may use. Default: as many as the machine has cores.
    pub query_threads: usize,
}

/// How files are read that do not change: segments, and the log when a database is opened.
///
/// ```
/// use tidestone::{Options, ReadMode};
/// let options = Options { read_mode: ReadMode::Pread, ..Options::default() };
/// # assert_ne!(options, Options::default());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadMode {
    /// Files are mapped (`mmap`). Encoded values are decoded where the page cache has them, so they take no
    /// memory of the process. Each part of a segment is read once before it is used, which makes an error
    /// of what the disk cannot read. A page that could be read once and has to be read again, and cannot,
    /// ends the process (`SIGBUS`).
    #[default]
    Mmap,
    /// Nothing is mapped: files are read into memory (`pread`). For disks that may fail or go away while they are
    /// read (of the network, removable ones), since whatever they refuse is an [error](crate::ErrorKind::Io)
    /// of the call that needed it; and where address space or maps are scarce.
    ///
    /// What it costs:
    /// - The values of a field in a row group (65,536 rows of a segment) are a block, which is read as a whole, and
    ///   compared with its checksum, whenever it is needed and not in memory any more. Of doubles that do not
    ///   compress it has 512 KiB. Blocks are part of what is kept of segments, in 3/32 of
    ///   [`Options::memory_budget_bytes`], but for those of more than an eighth of that. Each thread of a query
    ///   holds those it is at, up to 1/16 of the budget, on top of it.
    /// - A query of more fields than fit there, some 80 of such doubles with the default budget, reads the blocks of
    ///   the others again and again: a scan once for each batch of a long series; an aggregate, and a scan of short
    ///   series or of strings, once for each 1,024 rows.
    /// - A block of strings that is too large to be kept is held by each who reads it, while it does, whatever it
    ///   takes: up to 512 MiB for a field of each segment it reads from.
    /// - A merge holds the blocks of the times and of as many fields as fit the memory for merging, one at least, of
    ///   each of up to 32 segments.
    /// - An open of the database holds a log file in memory, and a second one where it looks for frames behind
    ///   the end of the log. They have [`Options::log_file_bytes`], and up to 1 GiB where a batch took more.
    /// - The file is opened for each such read and closed again, so that segments take no descriptors whatever
    ///   their number. One that somebody removes or truncates is an error where the next part of it is read.
    Pread,
}

impl ReadMode {
    pub(crate) fn maps(self) -> bool {
        self == Self::Mmap
    }
}

/// What a commit does when the memory budget is spent, or the log has no room. Deletes and the making of
/// series wait for the log as commits do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backpressure {
    /// Wait until there is memory and room, at most this long from the start of the call; then fail with
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy). What the message names was waited for last.
    Wait(Duration),
    /// Where memory is short, fail at once with [`ErrorKind::Busy`](crate::ErrorKind::Busy). Where the log
    /// has no room, which takes a write or a new file and no flush, fail likewise [`LOG_ROOM_WAIT`] after the
    /// start of the call.
    Fail,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_budget_bytes: DEFAULT_MEMORY_BUDGET,
            flush_after: Some(DEFAULT_FLUSH_AFTER),
            backpressure: DEFAULT_BACKPRESSURE,
            log_file_bytes: DEFAULT_LOG_FILE,
            log_retained_bytes: DEFAULT_LOG_RETAINED,
            open_segments: DEFAULT_OPEN_SEGMENTS,
            read_mode: ReadMode::default(),
            auto_compact: true,
            query_threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Options {
    /// Checks that every setting is within its bounds and none contradicts another.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) naming the setting, its bound and its value.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, setting: &str, bound: &str, value: String| {
            if ok {
                return Ok(());
            }
            Err(Error::invalid(format!(
                "setting {setting} must be {bound}, it is {value}; change it"
            )))
        };
        let budget = self.memory_budget_bytes;
        check(
            budget >= 32 << 20,
            "memory_budget_bytes",
            "at least 32 MiB",
            budget.to_string(),
        )?;
        let log = self.log_file_bytes;
        check(
            (64 << 10..=1 << 30).contains(&log) && log.is_multiple_of(4096),
            "log_file_bytes",
            "from 64 KiB to 1 GiB and a multiple of 4096",
            log.to_string(),
        )?;
        check(
            self.log_retained_bytes >= 2 * log,
            "log_retained_bytes",
            "at least twice log_file_bytes",
            self.log_retained_bytes.to_string(),
        )?;
        let age = self.flush_after;
        check(
            age.is_none_or(|a| a >= Duration::from_secs(1)),
            "flush_after",
            "at least one second",
            format!("{age:?}"),
        )?;
        let open = self.open_segments;
        check(open >= 16, "open_segments", "at least 16", open.to_string())?;
        check(
            self.query_threads >= 1,
            "query_threads",
            "at least 1",
            "0".to_owned(),
        )
    }

    /// Bytes of rows in memory at which a flush starts.
    pub(crate) fn flush_bytes(&self) -> usize {
        self.memory_budget_bytes / 8
    }

    /// Bytes of rows in memory at which commits wait.
    pub(crate) fn head_max(&self) -> usize {
        self.memory_budget_bytes / 4
    }

    /// Bytes of emptied buffers that are kept for writers.
    pub(crate) fn spare_bytes(&self) -> usize {
        self.memory_budget_bytes / 32
    }

    /// RocksDB's share of the budget.
    pub(crate) fn index_bytes(&self) -> usize {
        self.memory_budget_bytes / 8
    }

    /// What segments may keep in memory.
    pub(crate) fn segment_memory(&self) -> SegmentMemory {
        let share = self.memory_budget_bytes / SEGMENT_SHARE;
        let roots = share / ROOT_SHARE;
        SegmentMemory {
            read_mode: self.read_mode,
            roots,
            open_segments: self.open_segments,
            parts: share - roots,
            held: self.memory_budget_bytes / HELD_SHARE,
        }
    }

    /// What may be held while a segment is written.
    pub(crate) fn writing_memory(&self) -> WritingMemory {
        let budget = self.memory_budget_bytes;
        WritingMemory {
            columns: budget / WRITING_SHARE,
            pages: budget / 16,
            dictionary: budget / 16,
        }
    }

    /// Bytes of log that may wait to be written.
    pub(crate) fn log_pending_max(&self) -> usize {
        (self.memory_budget_bytes / 16).min(64 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bounds_are_named() {
        Options::default().validate().unwrap();
        let check = |options: Options, setting: &str| {
            let message = options.validate().unwrap_err().to_string();
            assert!(message.contains(setting), "{message}");
        };
        check(
            Options {
                memory_budget_bytes: 1,
                ..Options::default()
            },
            "memory_budget_bytes",
        );
        check(
            Options {
                log_file_bytes: 65_537,
                ..Options::default()
            },
            "log_file_bytes",
        );
        check(
            Options {
                log_retained_bytes: 1,
                ..Options::default()
            },
            "log_retained_bytes",
        );
        check(
            Options {
                flush_after: Some(Duration::ZERO),
                ..Options::default()
            },
            "flush_after",
        );
        check(
            Options {
                open_segments: 15,
                ..Options::default()
            },
            "open_segments",
        );
        check(
            Options {
                query_threads: 0,
                ..Options::default()
            },
            "query_threads",
        );
    }
}
