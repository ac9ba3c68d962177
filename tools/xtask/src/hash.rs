//! A short name for a long text, the same on every machine and with every compiler.

/// FNV-1a, 64 bits, of the parts, each ended by a zero byte; 16 hexadecimal digits.
pub(crate) fn fnv1a_hex<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().chain([&0]) {
            hash ^= u64::from(*byte);
            hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(fnv1a_hex([]), "cbf29ce484222325");
        // FNV-1a of the byte 0, from the published test vectors.
        assert_eq!(fnv1a_hex([b"".as_slice()]), "af63bd4c8601b7df");
    }

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(
            fnv1a_hex([b"ab".as_slice(), b"c"]),
            fnv1a_hex([b"a".as_slice(), b"bc"])
        );
    }
}
