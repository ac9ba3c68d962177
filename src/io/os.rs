//! Files of the operating system.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the seam the rule points to"
)]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tidestone_format::FileUuid;

use super::{DirEntry, Disk, File, Lock, Mapping};

/// The disk of the machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsDisk;

#[derive(Debug)]
struct OsFile(fs::File);

/// A lock on a file. It is let go of by name: closing the file does not suffice while a process that was
/// forked off has it open too, be it for the moment before it runs another program.
#[derive(Debug)]
struct OsLock(fs::File);

impl OsLock {
    fn take(file: fs::File) -> io::Result<Self> {
        /// Who only asks whether it is held shares it for a microsecond, or until it is scheduled again; a
        /// program that is not this one may share it for longer, and is given up on after a tenth of a
        /// second or so.
        const ATTEMPTS: usize = 100_000;
        for _ in 0..ATTEMPTS {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(fs::TryLockError::Error(e)) => return Err(e),
                Err(fs::TryLockError::WouldBlock) => {}
            }
            match file.try_lock_shared() {
                Ok(()) => file.unlock()?,
                Err(fs::TryLockError::Error(e)) => return Err(e),
                Err(fs::TryLockError::WouldBlock) => break,
            }
            std::thread::yield_now();
        }
        Err(io::Error::from(io::ErrorKind::WouldBlock))
    }
}

impl Drop for OsLock {
    fn drop(&mut self) {
        // If it cannot be, it goes with the file.
        let _ = self.0.unlock();
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(OsFile(fs::File::open(path)?)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(OsFile(
            OpenOptions::new().read(true).write(true).open(path)?,
        )))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(DirEntry {
                name,
                is_dir: entry.file_type()?.is_dir(),
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Box::new(OsLock::take(file)?))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let file = fs::File::open(path)?;
        match file.try_lock_shared() {
            Ok(()) => file.unlock().map(|()| false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }

    fn boot(&self) -> Option<FileUuid> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        parse_uuid(text.trim())
    }
}

/// A uuid as the system writes it.
fn parse_uuid(text: &str) -> Option<FileUuid> {
    let digits: Vec<u8> = text.bytes().filter(|&b| b != b'-').collect();
    let mut uuid = FileUuid::default();
    if digits.len() != 2 * uuid.0.len() {
        return None;
    }
    for (byte, pair) in uuid.0.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(uuid)
}

impl File for OsFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let flags = rustix::fs::FallocateFlags::empty();
        let allocate = || rustix::fs::fallocate(&self.0, flags, 0, len);
        match rustix::io::retry_on_intr(allocate) {
            // A file system that cannot reserve can still extend.
            Err(rustix::io::Errno::OPNOTSUPP) => self.0.set_len(len),
            other => Ok(other?),
        }
    }

    fn map(&self, len: usize) -> io::Result<Mapping> {
        let actual = self.len()?;
        if actual < len as u64 {
            let message = format!("the file has {actual} bytes, {len} were to be mapped");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        map_immutable(&self.0, len)
    }
}

#[expect(unsafe_code, reason = "a map of a file cannot be made without it")]
fn map_immutable(file: &fs::File, len: usize) -> io::Result<Mapping> {
    // SAFETY: the engine maps segments, which are never written or truncated once they have their
    // name, and log files during recovery, while it holds the lock of the writer and does not write; the length was checked against the file's. A foreign process that truncates
    // one while it is mapped causes SIGBUS: a documented limit of maps.
    let map = unsafe { memmap2::MmapOptions::new().len(len).map(file)? };
    Ok(Mapping::Os(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_of_the_machine_has_a_name() {
        let boot = OsDisk.boot().unwrap();
        assert_ne!(boot, FileUuid::default());
        assert_eq!(Some(boot), OsDisk.boot());
        assert_eq!(parse_uuid(&boot.to_string()), Some(boot));
        for wrong in ["", "0011", "zz112233-4455-6677-8899-aabbccddeeff"] {
            assert_eq!(parse_uuid(wrong), None, "{wrong}");
        }
    }

    /// A database that was closed could not be opened while another thread started a program.
    #[test]
    fn a_lock_that_is_let_go_of_is_not_kept_by_who_was_forked_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let lock = OsLock::take(fs::File::create(&path).unwrap()).unwrap();
        // What a forked process has: the same open file.
        let inherited = lock.0.try_clone().unwrap();
        assert!(OsDisk.is_locked(&path).unwrap());
        drop(lock);
        assert!(!OsDisk.is_locked(&path).unwrap());
        drop(inherited);
    }

    #[test]
    fn who_asks_whether_a_lock_is_held_keeps_nobody_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        drop(OsDisk.lock(&path).unwrap());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    OsDisk.is_locked(&path).unwrap();
                }
            });
            let all: Vec<_> = (0..2_000).map(|_| OsDisk.lock(&path).map(drop)).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            all.into_iter().for_each(Result::unwrap);
        });
        // One who shares it and stays is not waited for.
        let shared = fs::File::open(&path).unwrap();
        shared.lock_shared().unwrap();
        let error = OsDisk.lock(&path).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(!OsDisk.is_locked(&path).unwrap());
    }

    #[test]
    fn a_lock_is_the_files_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        assert!(OsDisk.is_locked(&a).is_err());
        let held = OsDisk.lock(&a).unwrap();
        assert!(OsDisk.is_locked(&a).unwrap() && OsDisk.lock(&a).is_err());
        OsDisk.rename(&a, &b).unwrap();
        assert!(OsDisk.is_locked(&b).unwrap());
        drop(held);
        assert!(!OsDisk.is_locked(&b).unwrap());
        drop(OsDisk.lock(&b).unwrap());
    }
}
