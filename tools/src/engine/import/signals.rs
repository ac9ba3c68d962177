//! Signals that ask an import to end: it commits what it read and says so, and ends with their code.
//!
//! The handlers of signals set a flag and wake who waits for input; all else is done between lines.

use std::error::Error;
use std::fmt;
use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::outcome::{Failure, Run, Signal};

/// Those that ask a process to end.
const SIGNALS: [Signal; 3] = [
    Signal {
        name: "SIGHUP",
        number: SIGHUP,
    },
    Signal {
        name: "SIGINT",
        number: SIGINT,
    },
    Signal {
        name: "SIGTERM",
        number: SIGTERM,
    },
];

/// Whether a signal asked to end; by default none can.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals(Option<Arc<Caught>>);

#[derive(Debug)]
struct Caught {
    /// The place in [`SIGNALS`] of the last one that came, from 1.
    last: Arc<AtomicUsize>,
    /// Can be read once one came.
    wake: PipeReader,
}

impl Signals {
    /// From now on the first signal is told here, and a second one ends the process at once. Those that
    /// the process was started to ignore, as `nohup` does, stay ignored.
    pub(crate) fn catch() -> Run<Self> {
        let caught = catch().map_err(|e| {
            Failure::new(format_args!(
                "cannot set the handlers of signals: {e}; raise the number of files that the process may open"
            ))
        })?;
        Ok(Self(Some(Arc::new(caught))))
    }

    /// Fails once a signal asked to end.
    pub(crate) fn check(&self) -> Run<()> {
        match self.last() {
            None => Ok(()),
            Some(signal) => Err(Failure::Signalled(signal)),
        }
    }

    /// Waits until a file has something to read, or its end; fails once a signal asked to end, with an
    /// error that [`failure`] knows.
    pub(super) fn wait_for(&self, file: &impl AsFd) -> io::Result<()> {
        let Some(caught) = &self.0 else {
            return Ok(());
        };
        let mut either = [
            PollFd::new(file, PollFlags::IN),
            PollFd::new(&caught.wake, PollFlags::IN),
        ];
        loop {
            match poll(&mut either, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match self.last() {
            None => Ok(()),
            Some(signal) => Err(io::Error::other(Ended(signal))),
        }
    }

    fn last(&self) -> Option<Signal> {
        let last = self.0.as_ref()?.last.load(Ordering::SeqCst);
        SIGNALS.get(last.checked_sub(1)?).copied()
    }
}

/// The failure that an error of reading is; `what` says of which file.
pub(super) fn failure(error: &io::Error, what: impl FnOnce() -> Failure) -> Failure {
    let inner = error.get_ref().and_then(|e| e.downcast_ref());
    match inner {
        Some(Ended(signal)) => Failure::Signalled(*signal),
        None => what(),
    }
}

fn catch() -> io::Result<Caught> {
    let (wake, waker) = io::pipe()?;
    let last = Arc::new(AtomicUsize::new(0));
    let is_second = Arc::new(AtomicBool::new(false));
    let ignored = ignored();
    for (at, signal) in (1..).zip(SIGNALS) {
        let number = signal.number;
        if ignored & (1 << (number - 1)) != 0 {
            continue;
        }
        // They are run in this order.
        flag::register_conditional_shutdown(number, signal.code().into(), is_second.clone())?;
        flag::register(number, is_second.clone())?;
        flag::register_usize(number, last.clone(), at)?;
        low_level::pipe::register(number, waker.try_clone()?)?;
    }
    Ok(Caught { last, wake })
}

/// The signals that the process ignores, a bit for each; none where the system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or(0)
}

/// Nothing more is read: a signal asked to end.
#[derive(Debug)]
struct Ended(Signal);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} asked to end", self.0.name)
    }
}

impl Error for Ended {}
