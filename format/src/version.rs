//! The constants that must never change, and the versions this crate writes and reads.

/// The format version this crate writes.
pub const FORMAT_VERSION: u16 = 1;
/// The oldest format version this crate reads.
pub const OLDEST_READABLE: u16 = 1;
/// Version of the writing library, `0xMMmmpppp`: recorded in every file, for people.
pub const WRITER_VERSION: u32 = 0x0001_0000;

/// First bytes of the identity file.
pub const IDENTITY_MAGIC: [u8; 8] = *b"TidestID";
/// First bytes of a log file.
pub const LOG_MAGIC: [u8; 8] = *b"TidestLG";
/// First bytes of a manifest file.
pub const MANIFEST_MAGIC: [u8; 8] = *b"TidestMF";
/// First bytes of a segment.
pub const SEGMENT_MAGIC: [u8; 8] = *b"TidestSG";
/// Last bytes of a segment.
pub const SEGMENT_END_MAGIC: [u8; 8] = *b"TidestSE";

/// Feature bits a reader must know to read a file at all. Version 1 defines none; bit 0 is
/// reserved for per-row LSNs, bit 1 for encryption.
pub const KNOWN_REQUIRED_FEATURES: u32 = 0;

/// Values of a vector: the unit of encoding, skipping and decoding.
pub const VECTOR_ROWS: usize = 1024;
/// Vectors of a row group.
pub const GROUP_VECTORS: usize = 64;
/// Rows of a full row group.
pub const GROUP_ROWS: usize = VECTOR_ROWS * GROUP_VECTORS;
/// Series of a full series page.
pub const PAGE_SERIES: usize = 1024;
/// Alignment of blocks, dictionaries, pages and roots in a segment, in bytes.
pub const BLOCK_ALIGN: usize = 64;
/// Every group of log frames starts at a multiple of this many bytes.
pub const LOG_PAGE: usize = 4096;
/// Fields a table may have.
pub const MAX_FIELDS: usize = 4096;
/// The longest string value, in bytes.
pub const MAX_STRING: usize = 16 << 20;
/// Distinct values a dictionary may hold.
pub const MAX_DICTIONARY: usize = 65_536;
/// The longest string of a dictionary, in bytes: a code of a few bits stands for no more.
pub const MAX_DICTIONARY_STRING: usize = 65_535;
/// Bytes of all strings of a dictionary together.
pub const MAX_DICTIONARY_TEXT: usize = 16 << 20;
/// Bytes of all strings of one column of a row group together.
pub const MAX_GROUP_TEXT: usize = 512 << 20;
/// Bytes of all keys of a series page together.
pub const MAX_PAGE_KEYS: usize = 16 << 20;
/// Plain bytes of a text for each byte of its zstd frame: a block of 128 KiB takes at least four.
pub const MAX_TEXT_RATIO: usize = 32 << 10;
/// The largest exponent of ALP.
pub const MAX_ALP_EXPONENT: usize = 18;
/// The longest stored or plain length of a region or frame payload, in bytes.
pub const MAX_REGION: usize = 1 << 30;

#[cfg(test)]
mod forever {
    use super::*;

    #[test]
    fn constants_of_version_1_never_change() {
        assert_eq!(&IDENTITY_MAGIC, b"TidestID");
        assert_eq!(&LOG_MAGIC, b"TidestLG");
        assert_eq!(&MANIFEST_MAGIC, b"TidestMF");
        assert_eq!(&SEGMENT_MAGIC, b"TidestSG");
        assert_eq!(&SEGMENT_END_MAGIC, b"TidestSE");
        assert_eq!((VECTOR_ROWS, GROUP_VECTORS, PAGE_SERIES), (1024, 64, 1024));
        assert_eq!((BLOCK_ALIGN, LOG_PAGE), (64, 4096));
        assert_eq!(OLDEST_READABLE, 1);
    }
}
