//! Waking a thread that has one kind of work.

use parking_lot::{Condvar, Mutex};

/// Where a thread waits for work. Nudges while it works are one nudge.
#[derive(Debug, Default)]
pub(crate) struct Nudge {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    closing: bool,
}

impl Nudge {
    /// Says that there is work.
    pub(crate) fn nudge(&self) {
        self.state.lock().wanted = true;
        self.changed.notify_one();
    }

    /// Tells the thread to end.
    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.changed.notify_one();
    }

    /// Waits for work; `false`: the thread is to end.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        self.changed
            .wait_while(&mut state, |s| !s.wanted && !s.closing);
        state.wanted = false;
        !state.closing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nudge_that_came_first_is_not_lost() {
        let nudge = Nudge::default();
        nudge.nudge();
        nudge.nudge();
        assert!(nudge.wait());
        std::thread::scope(|scope| {
            scope.spawn(|| nudge.close());
            assert!(!nudge.wait());
        });
    }
}
