//! CRC-32 (ISO-HDLC, the one of zlib and Ethernet) over bytes and over who they are.
//!
//! A region's checksum covers its identity as well as its bytes, so that a block that was written
//! to, or read from, the wrong place is found even where its bytes are sound.

use crate::FileUuid;

/// The CRC-32 of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The CRC-32 of a region of a file: of the file's uuid, the region's kind, its field id (0 where
/// it has none), its offset in the file, and its stored bytes, in that order, little-endian.
pub fn region_crc32(file: FileUuid, kind: u32, field: u32, offset: u64, bytes: &[u8]) -> u32 {
    let mut identity = [0u8; 32];
    identity[..16].copy_from_slice(&file.0);
    identity[16..20].copy_from_slice(&kind.to_le_bytes());
    identity[20..24].copy_from_slice(&field.to_le_bytes());
    identity[24..].copy_from_slice(&offset.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_crc_of_zlib() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn every_part_of_the_identity_counts() {
        let base = region_crc32(FileUuid([7; 16]), 1, 2, 64, b"abc");
        assert_ne!(base, region_crc32(FileUuid([8; 16]), 1, 2, 64, b"abc"));
        assert_ne!(base, region_crc32(FileUuid([7; 16]), 2, 2, 64, b"abc"));
        assert_ne!(base, region_crc32(FileUuid([7; 16]), 1, 3, 64, b"abc"));
        assert_ne!(base, region_crc32(FileUuid([7; 16]), 1, 2, 128, b"abc"));
        assert_ne!(base, region_crc32(FileUuid([7; 16]), 1, 2, 64, b"abd"));
    }
}
