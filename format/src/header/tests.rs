use super::*;
use FormatErrorKind::{Checksum, Invalid, Magic, Truncated, Unsupported};
use proptest::prelude::*;

const DATABASE: FileUuid = FileUuid([0xd1; 16]);
const FILE: FileUuid = FileUuid([0xf1; 16]);

fn log_header() -> FileHeader {
    let log = LogHeader {
        file_len: 64 << 20,
        first_lsn: Lsn(1000),
        cut: Some(Cut {
            file_number: 6,
            offset: 8192,
            last_lsn: Lsn(990),
        }),
    };
    FileHeader::log(DATABASE, FILE, 7, log)
}

fn one_of_each() -> [FileHeader; 4] {
    [
        FileHeader::identity(DATABASE, 1_700_000_000_000_000_000),
        log_header(),
        FileHeader::manifest(DATABASE, FILE, 3),
        FileHeader::segment(DATABASE, FILE, TableId(9)),
    ]
}

/// Bytes with `change` made to them and a checksum that fits again.
fn changed(header: &FileHeader, change: impl FnOnce(&mut [u8; HEADER_LEN])) -> [u8; HEADER_LEN] {
    let mut bytes = header.encode();
    change(&mut bytes);
    let crc = crc32(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[track_caller]
fn refused(bytes: &[u8], kind: FormatErrorKind, offset: u64) -> FormatError {
    let error = FileHeader::decode(bytes).unwrap_err();
    assert_eq!((error.kind, error.offset), (kind, offset), "{error}");
    error
}

#[test]
fn every_kind_round_trips() {
    for header in one_of_each() {
        let bytes = header.encode();
        assert_eq!(FileHeader::decode(&bytes).unwrap(), header);
        assert_eq!(
            FileHeader::decode_kind(&bytes, header.kind()).unwrap(),
            header
        );
        let mut longer = bytes.to_vec();
        longer.extend_from_slice(&[0xaa; 100]);
        assert_eq!(FileHeader::decode(&longer).unwrap(), header);
    }
}

#[test]
fn every_truncation_is_refused() {
    let bytes = log_header().encode();
    for len in 0..HEADER_LEN {
        refused(&bytes[..len], Truncated, 0);
    }
    let error = FileHeader::decode(&[]).unwrap_err();
    assert!(error.to_string().contains("the file is empty"), "{error}");
}

#[test]
fn zeros_and_foreign_files_are_named() {
    let error = refused(&[0; HEADER_LEN], Magic, 0);
    assert!(error.actual.contains("never written"), "{error}");
    let mut foreign = [0x20; HEADER_LEN];
    foreign[..8].copy_from_slice(b"SQLite f");
    let error = refused(&foreign, Magic, 0);
    assert!(error.actual.contains("SQLite f"), "{error}");
}

#[test]
fn a_file_of_another_kind_is_named() {
    for header in one_of_each() {
        for kind in FileKind::ALL {
            let result = FileHeader::decode_kind(&header.encode(), kind);
            if kind == header.kind() {
                result.unwrap();
                continue;
            }
            let error = result.unwrap_err();
            assert_eq!((error.kind, error.offset), (Magic, 0));
            assert_eq!(error.expected, format!("a {kind}"));
            assert_eq!(error.actual, format!("a {}", header.kind()));
        }
    }
}

#[test]
fn every_flipped_bit_is_found() {
    for header in one_of_each() {
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (kind, offset) = match bit / 8 {
                0..8 => (Magic, 0),
                _ => (Checksum, 188),
            };
            refused(&bytes, kind, offset);
        }
    }
}

#[test]
fn a_newer_version_is_unsupported_before_its_checksum_is_looked_at() {
    let mut newer = log_header();
    (newer.version, newer.oldest_reader) = (3, 2);
    let mut bytes = newer.encode();
    bytes[CRC_AT] ^= 1;
    let error = refused(&bytes, Unsupported, 10);
    assert!(error.to_string().contains("newer version"), "{error}");
    (newer.version, newer.oldest_reader) = (3, 1);
    assert_eq!(FileHeader::decode(&newer.encode()).unwrap(), newer);
}

#[test]
fn unknown_required_features_are_refused_and_optional_ones_ignored() {
    for bit in 0..32 {
        let mut header = log_header();
        header.optional_features = 1 << bit;
        assert_eq!(FileHeader::decode(&header.encode()).unwrap(), header);
        header.required_features = 1 << bit;
        refused(&header.encode(), Unsupported, 16);
    }
}

#[test]
fn each_field_has_its_bounds() {
    let [identity, log, manifest, segment] = one_of_each();
    let set = |header: &FileHeader, at: usize, value: u64, len: usize| {
        changed(header, |b| {
            b[at..at + len].copy_from_slice(&value.to_le_bytes()[..len])
        })
    };
    refused(&set(&log, 8, 0, 2), Invalid, 8);
    refused(&set(&log, 10, 0, 2), Invalid, 8);
    refused(&set(&log, 64, 1, 1), Unsupported, 64);
    refused(&set(&log, 65, 1, 1), Unsupported, 64);
    for reserved in 66..136 {
        refused(&set(&log, reserved, 1, 1), Invalid, reserved as u64);
    }
    for (header, first_unused) in [
        (&identity, 144),
        (&log, 176),
        (&manifest, 136),
        (&segment, 136),
    ] {
        for unused in first_unused..188 {
            refused(&set(header, unused, 1, 1), Invalid, unused as u64);
        }
    }
    refused(&set(&identity, 40, 1, 1), Invalid, 40);
    refused(&set(&identity, 56, 0, 8), Invalid, 56);
    refused(&set(&identity, 56, 2, 8), Unsupported, 56);
    for header in [&log, &manifest, &segment] {
        refused(&set(header, 56, 0, 8), Invalid, 56);
        refused(&set(header, 56, u64::MAX, 8), Invalid, 56);
    }
    refused(&set(&segment, 56, 1 << 32, 8), Invalid, 56);
    for len in [0, 4096, 8193] {
        refused(&set(&log, 136, len, 8), Invalid, 136);
    }
    refused(&set(&log, 144, 0, 8), Invalid, 144);
    refused(&set(&log, 144, u64::MAX, 8), Invalid, 144);
    refused(&set(&log, 152, 0, 8), Invalid, 152);
    refused(&set(&log, 152, 7, 8), Invalid, 152);
    refused(&set(&log, 160, 4095, 8), Invalid, 160);
    refused(&set(&log, 168, 1000, 8), Invalid, 168);
}

#[test]
fn peek_shows_what_decode_refuses() {
    let mut header = log_header();
    header.cipher = Cipher {
        cipher: 2,
        key_wrap: 1,
        key_id: 77,
        wrapped_key: [5; 48],
        nonce_seed: [6; 16],
    };
    refused(&header.encode(), Unsupported, 64);
    assert_eq!(FileHeader::peek(&header.encode()).unwrap(), header);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0usize..4) {
        let _ = FileHeader::decode(&bytes);
        if bytes.len() >= HEADER_LEN {
            bytes[..8].copy_from_slice(&FileKind::ALL[kind].magic());
            bytes[8..12].copy_from_slice(&[1, 0, 1, 0]);
            let crc = crc32(&bytes[..CRC_AT]);
            bytes[CRC_AT..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
            if let Ok(header) = FileHeader::decode(&bytes) {
                prop_assert_eq!(&header.encode()[..], &bytes[..HEADER_LEN]);
            }
        }
    }
}
