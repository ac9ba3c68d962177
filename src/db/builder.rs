//! Opening a database with components of one's own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Inner, Running, Tidestone};
use crate::clock::{Clock, SystemClock};
use crate::config::Options;
use crate::engine::Engine;
use crate::error::{ErrorKind, Result};
use crate::io::{Disk, OsDisk};
use crate::random::{OsRandom, Random};
use crate::read_only;
use crate::recover::{self, Components};
use crate::store::Folders;
use crate::threads::{OsThreads, Threads};
use crate::worker::Workers;

/// Opens or makes a database; see [`Tidestone::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    pub(crate) path: PathBuf,
    pub(crate) options: Options,
    pub(crate) components: Components,
}

impl Builder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            options: Options::default(),
            components: Components {
                disk: Arc::new(OsDisk),
                clock: Arc::new(SystemClock::default()),
                random: Arc::new(OsRandom),
                threads: Arc::new(OsThreads),
                index_in_memory: false,
            },
        }
    }

    /// Sets the options.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets the disk. On any but the machine's own, the index is kept in memory and rebuilt at
    /// every open.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.components.disk = disk;
        self.components.index_in_memory = true;
        self
    }

    /// Keeps the index in its folder although the disk is not the machine's own.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn index_in_its_folder(mut self) -> Self {
        self.components.index_in_memory = false;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.components.clock = clock;
        self
    }

    /// Sets the source of random names.
    #[must_use]
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.components.random = random;
        self
    }

    /// Sets who starts threads.
    #[must_use]
    pub fn threads(mut self, threads: Arc<dyn Threads>) -> Self {
        self.components.threads = threads;
        self
    }

    /// As [`Tidestone::create`].
    ///
    /// # Errors
    /// As [`Tidestone::create`].
    pub fn create(self) -> Result<Tidestone> {
        self.options.validate()?;
        recover::create(&self.path, &self.components, &self.options)?;
        self.open()
    }

    /// As [`Tidestone::open`].
    ///
    /// # Errors
    /// As [`Tidestone::open`].
    pub fn open(self) -> Result<Tidestone> {
        self.open_writable(false)
    }

    /// Opens a database and makes its index anew if that is asked for, whatever state it is in.
    pub(crate) fn open_writable(self, rebuild_index: bool) -> Result<Tidestone> {
        self.options.validate()?;
        let folders = Folders::new(&self.path);
        recover::identity(&*self.components.disk, &folders)?;
        let lock = recover::lock(&*self.components.disk, &folders)?;
        let (engine, report) =
            recover::open(&self.path, &self.components, self.options, rebuild_index)?;
        let engine = Arc::new(engine);
        let watcher: Weak<Engine> = Arc::downgrade(&engine);
        engine.clock.watch(watcher);
        let mut workers = Workers::default();
        let started = workers.start(&engine);
        let running = Running {
            workers,
            _lock: Some(lock),
        };
        let inner = Inner {
            engine,
            path: self.path,
            report,
            running: Mutex::new(Some(running)),
            reader: None,
        };
        // If not all could be started, dropping it ends the others and lets go of the lock.
        started.map(|()| Tidestone(Arc::new(inner)))
    }

    /// Opens the database, or makes it if the folder is empty or not there.
    ///
    /// # Errors
    /// As [`Tidestone::open`] and [`Tidestone::create`].
    pub fn open_or_create(self) -> Result<Tidestone> {
        match self.clone().open() {
            Err(error) if error.kind() == ErrorKind::NotFound => self.create(),
            other => other,
        }
    }

    /// As [`Tidestone::open_read_only`].
    ///
    /// # Errors
    /// As [`Tidestone::open_read_only`].
    pub fn open_read_only(self) -> Result<Tidestone> {
        self.options.validate()?;
        let (engine, reader) = read_only::open(&self.path, &self.components, self.options)?;
        let running = Running {
            workers: Workers::default(),
            _lock: None,
        };
        let inner = Inner {
            engine: Arc::new(engine),
            path: self.path,
            report: recover::OpenReport {
                unleased: reader.unleased().map(str::to_owned),
                ..recover::OpenReport::default()
            },
            running: Mutex::new(Some(running)),
            reader: Some(Mutex::new(reader)),
        };
        Ok(Tidestone(Arc::new(inner)))
    }
}
