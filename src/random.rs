//! The one source of randomness: names of files and databases.

use std::sync::atomic::{AtomicU64, Ordering};

use tidestone_format::FileUuid;

/// Gives random names. The engine asks nobody else, so that it can be simulated.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// A random uuid (version 4).
    ///
    /// # Errors
    /// The operating system gives no randomness.
    fn uuid(&self) -> std::io::Result<FileUuid>;
}

/// The randomness of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsRandom;

impl Random for OsRandom {
    fn uuid(&self) -> std::io::Result<FileUuid> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
        Ok(version_4(bytes))
    }
}

/// Names that depend on a seed and a count only.
#[derive(Debug)]
pub struct SeededRandom {
    state: AtomicU64,
}

impl SeededRandom {
    /// A source that gives the same names for the same seed.
    pub fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }

    /// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .state
            .fetch_add(STEP, Ordering::Relaxed)
            .wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for SeededRandom {
    fn uuid(&self) -> std::io::Result<FileUuid> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_le_bytes());
        bytes[8..].copy_from_slice(&self.next().to_le_bytes());
        Ok(version_4(bytes))
    }
}

fn version_4(mut bytes: [u8; 16]) -> FileUuid {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    FileUuid(bytes)
}
