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
    RegionChecksum::default().finish(file, kind, field, offset, bytes)
}

/// The CRC-32 of a region whose first bytes are known last.
#[derive(Debug, Clone, Default)]
pub(crate) struct RegionChecksum(crc32fast::Hasher);

impl RegionChecksum {
    /// Adds stored bytes behind the first ones.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// What [`region_crc32`] is of the region whose first stored bytes are `head`.
    pub(crate) fn finish(
        &self,
        file: FileUuid,
        kind: u32,
        field: u32,
        offset: u64,
        head: &[u8],
    ) -> u32 {
        let mut identity = [0u8; 32];
        identity[..16].copy_from_slice(&file.0);
        identity[16..20].copy_from_slice(&kind.to_le_bytes());
        identity[20..24].copy_from_slice(&field.to_le_bytes());
        identity[24..].copy_from_slice(&offset.to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&identity);
        hasher.update(head);
        hasher.combine(&self.0);
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_crc_of_zlib() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_region_has_one_checksum_in_whatever_parts_it_comes() {
        let bytes: Vec<u8> = (0..300u32).map(|i| i.to_le_bytes()[0]).collect();
        let whole = region_crc32(FileUuid([7; 16]), 1, 2, 64, &bytes);
        for (head, cut) in [(0, 0), (0, 300), (20, 20), (20, 150), (300, 300)] {
            let mut parts = RegionChecksum::default();
            parts.update(&bytes[head..cut]);
            parts.update(&bytes[cut..]);
            let crc = parts.finish(FileUuid([7; 16]), 1, 2, 64, &bytes[..head]);
            assert_eq!(crc, whole, "{head} {cut}");
        }
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
