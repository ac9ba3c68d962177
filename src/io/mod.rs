//! The one door to files.
//!
//! Everything the engine reads or writes, RocksDB apart, goes through a [`Disk`]. The real one is
//! [`OsDisk`]; [`SimDisk`] keeps files in memory together with what a power loss would leave of
//! them, and fails or watches calls on request.

mod os;
mod sim;

use std::fmt::Debug;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use tidestone_format::FileUuid;

pub use os::OsDisk;
pub use sim::{Call, Fault, SimDisk};

/// Files and folders.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file that is there, for reading.
    ///
    /// # Errors
    /// As the operating system says.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file that is there, for reading and writing.
    ///
    /// # Errors
    /// As the operating system says.
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Makes a file that must not be there yet, for reading and writing.
    ///
    /// # Errors
    /// As the operating system says.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Renames a file, replacing what stands at `to`. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder and the folders above it, where they are not there yet.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Takes an advisory lock on a file, which is made if it is not there. The lock is held until
    /// the answer is dropped, or the process ends. It is the file's, whatever name that gets.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another holds it; else as the operating system says.
    fn lock(&self, path: &Path) -> io::Result<Lock>;

    /// Whether somebody, of this process or another, holds the lock on a file that is there. It keeps
    /// nobody from taking the lock.
    ///
    /// # Errors
    /// As the operating system says.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;

    /// Which start of the machine this is: another one after a power loss, when what was not synced
    /// may be gone. `None` if the machine does not say.
    fn boot(&self) -> Option<FileUuid>;
}

/// A lock that is held as long as this lives.
pub type Lock = Box<dyn Send + Sync>;

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name; one that is not UTF-8 is given with replacement characters.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// An open file. All calls take a position and may be made from any thread.
#[expect(
    clippy::len_without_is_empty,
    reason = "nobody asks a file whether it is empty"
)]
pub trait File: Send + Sync + Debug {
    /// Fills `buf` from the bytes at `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] past the end; else as the operating system says.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, extending the file where needed.
    ///
    /// # Errors
    /// As the operating system says.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the bytes, and the length as far as reading them needs it, durable (`fdatasync`).
    ///
    /// # Errors
    /// As the operating system says. After an error nothing is known of what is durable.
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Extends the file with zeros to `len` bytes, their space reserved but not written: quick, but
    /// the first sync of bytes written there has to write metadata too.
    ///
    /// # Errors
    /// As the operating system says.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Maps the first `len` bytes for reading. They must not change while the map lives: only
    /// segments, which are immutable, and the log while nobody writes to it are mapped; with
    /// [`ReadMode::Pread`](crate::ReadMode::Pread) nothing is.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file is shorter; else as the operating system says.
    fn map(&self, len: usize) -> io::Result<Mapping>;
}

/// The bytes of an immutable file.
#[derive(Debug)]
pub enum Mapping {
    /// Mapped by the operating system.
    Os(memmap2::Mmap),
    /// Kept in memory.
    Memory(Arc<[u8]>),
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Os(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }
}

/// Reads a whole file.
///
/// # Errors
/// As the operating system says.
pub fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Reads `len` bytes at `offset` where they stay: nothing is copied to share them.
///
/// # Errors
/// As the operating system says.
pub(crate) fn read_shared(file: &dyn File, offset: u64, len: usize) -> io::Result<Arc<[u8]>> {
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
    file.read_exact_at(Arc::make_mut(&mut bytes), offset)?;
    Ok(bytes)
}

/// Writes a file so that it is there whole or not at all: to `tmp`, synced, renamed to `path`,
/// folder synced.
///
/// # Errors
/// As the operating system says.
pub fn write_atomically(disk: &dyn Disk, tmp: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(tmp)?;
    file.write_all_at(bytes, 0)?;
    file.sync()?;
    drop(file);
    publish(disk, tmp, path)
}

/// Renames a synced file into place and makes the name durable.
///
/// # Errors
/// As the operating system says.
pub fn publish(disk: &dyn Disk, tmp: &Path, path: &Path) -> io::Result<()> {
    disk.rename(tmp, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new("/")))
}
