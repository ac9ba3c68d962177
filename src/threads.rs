//! The one place where threads are started.
//!
//! # Invariants
//! 1. The engine starts no thread but through [`Threads`], RocksDB's own apart.
//! 2. Every thread it starts has ended before what it was started for is over: those of an open database
//!    when it is closed or dropped, those of a query when its answer is there or dropped.
//! 3. No answer depends on how many threads there are, or on which of them goes on first.
//!
//! # For a simulator
//!
//! A simulator lets one thread run at a time and chooses, by a seed, which one goes on whenever that one
//! starts another, reads or writes a file, asks for a time or a name, or blocks. The first four are calls of
//! [`Threads`], [`Disk`](crate::io::Disk), [`Clock`](crate::Clock) and [`Random`](crate::Random), which
//! the [`Builder`](crate::Builder) is given. Blocking has no trait, so that no lock pays for one. All of it is
//! `Mutex`, `RwLock` and `Condvar` of `parking_lot`, and nothing else: in `Cargo.toml` a crate of the same interface
//! that yields to the simulator can take that name, as wrappers of the primitives do for loom and shuttle. (One file,
//! `wal/turns.rs`, takes those of std and says why: there the simulator's go into its `use` line.) A wait for a
//! time is one on such a `Condvar`, for as long as [`Clock::sleep_until`](crate::Clock::sleep_until) says. Atomics, and the
//! locks inside of caches, are held across no call of a seam.

use std::fmt::Debug;
use std::io;
use std::thread::{self, JoinHandle};

/// Starts threads. The engine starts none otherwise, so that it can be simulated.
pub trait Threads: Send + Sync + Debug {
    /// Starts a thread that runs `body`.
    ///
    /// # Errors
    /// It cannot be started, and `body` is not run.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Started>>;

    /// Runs `body` on the caller's thread and at the same time on `others` that are started for it, and
    /// returns when all have ended. Of threads that cannot be started there are fewer. If it
    /// panics on one of them, so does this, once all have ended.
    fn together(&self, name: &str, others: usize, body: &(dyn Fn() + Sync));
}

/// A thread that was started. Dropping this leaves it alone.
pub trait Started: Send + Sync + Debug {
    /// Waits until it has ended.
    ///
    /// # Errors
    /// It panicked; the error is what it panicked with.
    fn join(self: Box<Self>) -> thread::Result<()>;

    /// Whether it is the thread that asks.
    fn is_current(&self) -> bool;
}

/// The threads of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsThreads;

impl Threads for OsThreads {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the seam the rule points to"
    )]
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Started>> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Box::new(thread))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the seam the rule points to"
    )]
    fn together(&self, name: &str, others: usize, body: &(dyn Fn() + Sync)) {
        thread::scope(|scope| {
            for _ in 0..others {
                let thread = thread::Builder::new().name(name.to_owned());
                if thread.spawn_scoped(scope, body).is_err() {
                    break;
                }
            }
            body();
        });
    }
}

impl Started for JoinHandle<()> {
    fn join(self: Box<Self>) -> thread::Result<()> {
        JoinHandle::join(*self)
    }

    fn is_current(&self) -> bool {
        self.thread().id() == thread::current().id()
    }
}
