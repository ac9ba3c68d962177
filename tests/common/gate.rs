//! A gate before the calls of a simulated disk: some wait there, or are refused.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tidestone::io::{Call, SimDisk};

/// Which calls are meant.
type Which = Box<dyn Fn(Call, &Path) -> bool + Send>;

/// It is open at first.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: Option<Which>,
    refused: Option<Which>,
    /// How many calls wait.
    waiting: usize,
}

impl Gate {
    /// A gate before all calls of the disk.
    pub(crate) fn before(disk: &SimDisk) -> Arc<Self> {
        let gate = Arc::new(Self::default());
        let asked = gate.clone();
        disk.watch(move |call, path| asked.ask(call, path));
        gate
    }

    /// Calls that are meant wait until the gate is opened.
    pub(crate) fn hold(&self, which: impl Fn(Call, &Path) -> bool + Send + 'static) {
        self.state.lock().unwrap().held = Some(Box::new(which));
    }

    /// Calls of this name on paths below that one fail, for want of permission.
    pub(crate) fn refuse(&self, refused: Call, below: &'static str) {
        let which = move |call, path: &Path| call == refused && path.starts_with(below);
        self.state.lock().unwrap().refused = Some(Box::new(which));
    }

    /// Waits until a call waits.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test that waits in vain is to fail"
    )]
    pub(crate) fn wait_until_held(&self) {
        let state = self.state.lock().unwrap();
        let minute = Duration::from_secs(60);
        let (_state, waited) = self
            .changed
            .wait_timeout_while(state, minute, |s| s.waiting == 0)
            .unwrap();
        assert!(!waited.timed_out(), "no call came to the gate");
    }

    /// Lets all calls through.
    pub(crate) fn open(&self) {
        let mut state = self.state.lock().unwrap();
        (state.held, state.refused) = (None, None);
        self.changed.notify_all();
    }

    fn ask(&self, call: Call, path: &Path) -> io::Result<()> {
        let is_meant = |which: &Option<Which>| which.as_ref().is_some_and(|w| w(call, path));
        let mut state = self.state.lock().unwrap();
        if is_meant(&state.held) {
            state.waiting += 1;
            self.changed.notify_all();
            state = self
                .changed
                .wait_while(state, |s| is_meant(&s.held))
                .unwrap();
            state.waiting -= 1;
        }
        match is_meant(&state.refused) {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => Ok(()),
        }
    }
}
