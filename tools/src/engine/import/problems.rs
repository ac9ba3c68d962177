//! Lines that were refused.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use indicatif::ProgressBar;

use super::signals::Signals;
use crate::outcome::Run;
use crate::stderr::tell;

/// As many are printed; the rest is counted.
const PRINTED: u64 = 1000;

/// Counts rows, and refused lines, which it prints, as `file:line: what`, on stderr.
#[derive(Debug)]
pub(super) struct Problems {
    strict: bool,
    refused: u64,
    /// File and line that were read last; 0 before the first line of rows.
    reached: Option<(Arc<str>, u64)>,
    rows: u64,
    started: Instant,
    progress: ProgressBar,
    signals: Signals,
}

impl Problems {
    pub(super) fn new(strict: bool, progress: ProgressBar, signals: Signals) -> Self {
        Self {
            strict,
            refused: 0,
            reached: None,
            rows: 0,
            started: Instant::now(),
            progress,
            signals,
        }
    }

    /// A file is begun.
    pub(super) fn start_file(&mut self, file: &Arc<str>) {
        self.reached = Some((file.clone(), 0));
    }

    /// A line was read.
    pub(super) fn reached(&mut self, file: &Arc<str>, line: u64) {
        match &mut self.reached {
            Some((known, reached)) if Arc::ptr_eq(known, file) => *reached = line,
            reached => *reached = Some((file.clone(), line)),
        }
    }

    /// The line that was read last, as `file:line`; or the file, where none of it was.
    pub(super) fn place(&self) -> Option<String> {
        let place = self.reached.as_ref();
        place.map(|(file, line)| match line {
            0 => file.to_string(),
            _ => format!("{file}:{line}"),
        })
    }

    /// A line was refused.
    pub(super) fn refuse(&mut self, file: &str, line: u64, what: impl fmt::Display) {
        self.refused += 1;
        if self.refused <= PRINTED {
            self.tell(format_args!("{file}:{line}: {what}"));
        }
    }

    /// What follows the line that was read last was refused.
    pub(super) fn refuse_rest(&mut self, what: &str) {
        if let Some((file, line)) = self.reached.clone() {
            self.refuse(&file, line.max(1), what);
        }
    }

    /// Something that no line is wrong about but its user should know.
    pub(super) fn note(&self, file: &str, what: impl fmt::Display) {
        self.tell(format_args!("{file}: {what}"));
    }

    /// Rows were committed.
    pub(super) fn committed(&mut self, rows: usize) {
        self.rows += rows as u64;
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        let rate = self.rows as f64 / seconds;
        self.progress
            .set_message(format!("{} rows, {rate:.0}/s", self.rows));
    }

    /// Whether nothing behind a refused line may be taken.
    pub(super) fn is_strict(&self) -> bool {
        self.strict
    }

    /// Whether to read no further.
    pub(super) fn stop(&self) -> bool {
        self.strict && self.refused > 0
    }

    /// Fails once a signal asked to end.
    pub(super) fn check_signals(&self) -> Run<()> {
        self.signals.check()
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// How many lines were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Says how many lines were not printed.
    pub(super) fn finish(&self) {
        if self.refused > PRINTED {
            tell(format_args!("and {} lines more", self.refused - PRINTED));
        }
    }

    fn tell(&self, message: fmt::Arguments<'_>) {
        self.progress.suspend(|| tell(message));
    }
}
