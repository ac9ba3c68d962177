//! Trying again where another process was quicker.

use std::time::Duration;

use crate::clock::{Clock, Deadline, pause};

/// This often without a pause, and at least.
const AT_ONCE: usize = 16;
/// This often in all: a clock that is moved by hand may stand still.
const AT_MOST: usize = 400;
const PAUSE: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(2);

/// Counts the tries of something that another process may spoil. Writers that live for moments, one after
/// another, spoil many; one that goes on writing lets go of its files slowly enough.
#[derive(Debug)]
pub(crate) struct Tries<'a> {
    clock: &'a dyn Clock,
    until: Deadline<'a>,
    made: usize,
}

impl<'a> Tries<'a> {
    /// Before the first.
    pub(crate) fn start(clock: &'a dyn Clock) -> Self {
        Self {
            clock,
            until: Deadline::after(clock, LIMIT),
            made: 0,
        }
    }

    /// After one that was spoilt: whether to try again, once this returns.
    pub(crate) fn again(&mut self) -> bool {
        self.made += 1;
        if self.made < AT_ONCE {
            return true;
        }
        if self.made >= AT_MOST || self.until.has_passed() {
            return false;
        }
        pause(self.clock, PAUSE);
        true
    }
}
