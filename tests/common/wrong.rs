//! What tests of wrong input share: how an error is checked, and a database to spoil.

use std::sync::Arc;

use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex};

use super::quiet;
use tidestone::io::{DirEntry, Disk, File, Lock, SimDisk};
use tidestone::{
    DuplicatePolicy, ErrorKind, FieldType, FileUuid, ManualClock, Result, SeededRandom,
    TableOptions, Tidestone, Value,
};

/// Checks that `result` is an error of this kind whose text has all the words.
#[track_caller]
pub(crate) fn check<T>(what: &str, result: Result<T>, kind: ErrorKind, words: &[&str]) {
    let Err(error) = result else {
        panic!("{what}: it was accepted");
    };
    assert_eq!(error.kind(), kind, "{what}: {error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{what}: {word:?} is missing: {text}");
    }
    assert!(
        !text.contains("Error {") && text.len() < 2_000,
        "{what}: {text}"
    );
    if matches!(
        kind,
        ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Io
    ) {
        assert!(error.path().is_some(), "{what}: no path: {text}");
    }
    if matches!(kind, ErrorKind::Corrupt | ErrorKind::Unsupported) {
        assert!(error.offset().is_some(), "{what}: no offset: {text}");
    }
    let advice: &[&str] = match kind {
        ErrorKind::Corrupt => &["`tidestone verify`", "`tidestone repair`", "restore"],
        ErrorKind::Unsupported => &["open it with the version that wrote it or a newer one"],
        _ => return,
    };
    assert!(
        advice.iter().any(|a| text.contains(a)),
        "{what}: no advice: {text}"
    );
}

pub(crate) fn open(disk: &SimDisk) -> Result<Tidestone> {
    Tidestone::builder("/db")
        .options(quiet())
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(1_000_000_000_000)))
        .random(Arc::new(SeededRandom::new(77)))
        .open_or_create()
}

pub(crate) fn table_options() -> TableOptions {
    TableOptions::new()
        .field("v", FieldType::F64)
        .field("text", FieldType::String)
        .policy(DuplicatePolicy::All)
        .future_bound(None)
}

/// Rows in two segments and in the log.
pub(crate) fn fill(db: &Tidestone) {
    let table = db.table_or_create("t", table_options()).unwrap();
    let mut writer = db.writer();
    for part in 0..3 {
        for host in 0..4 {
            let series = table.series(&[("host", format!("h{host}"))]).unwrap();
            for i in 0..700 {
                let text = format!("row {i}");
                let values = [Value::F64(i as f64 / 7.0), Value::String(&text)];
                writer.append(&series, part * 1_000 + i, &values).unwrap();
            }
            writer.commit_and_wait().unwrap();
        }
        if part < 2 {
            db.flush().unwrap();
        }
    }
}

/// A call by its name, and the path below which it is meant.
type Rule = Option<(&'static str, &'static str)>;

/// A simulated disk that permits one call, by its name, on no path below
/// another, or lets it wait there.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeniedDisk {
    pub(crate) disk: SimDisk,
    denied: Arc<Mutex<Rule>>,
    /// As what is denied, and it waits until all is permitted.
    held: Arc<(Mutex<Rule>, Condvar)>,
}

impl DeniedDisk {
    pub(crate) fn new(disk: SimDisk) -> Self {
        Self {
            disk,
            ..Self::default()
        }
    }

    pub(crate) fn deny(&self, call: &'static str, below: &'static str) {
        *self.denied.lock().unwrap() = Some((call, below));
    }

    pub(crate) fn hold(&self, call: &'static str, below: &'static str) {
        *self.held.0.lock().unwrap() = Some((call, below));
    }

    pub(crate) fn permit(&self) {
        *self.denied.lock().unwrap() = None;
        *self.held.0.lock().unwrap() = None;
        self.held.1.notify_all();
    }

    fn ask(&self, call: &str, path: &Path) -> io::Result<()> {
        let is_meant =
            |rule: Rule| rule.is_some_and(|(name, below)| name == call && path.starts_with(below));
        let (held, changed) = &*self.held;
        let held = held.lock().unwrap();
        drop(changed.wait_while(held, |h| is_meant(*h)).unwrap());
        match is_meant(*self.denied.lock().unwrap()) {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => Ok(()),
        }
    }
}

impl Disk for DeniedDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.ask("open", path)?;
        self.disk.open(path)
    }
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.ask("open_write", path)?;
        self.disk.open_write(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.ask("create", path)?;
        self.disk.create(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.ask("create_dir_all", path)?;
        self.disk.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.ask("list", path)?;
        self.disk.list(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.ask("lock", path)?;
        self.disk.lock(path)
    }
    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_locked(path)
    }
    fn boot(&self) -> Option<FileUuid> {
        self.disk.boot()
    }
}
