use super::*;

/// Numbers that fill the width and differ from each other.
fn numbers(n: usize, width: u8) -> Vec<u64> {
    (0..n as u64)
        .map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask(usize::from(width)))
        .collect()
}

#[test]
fn every_width_and_length_round_trips() {
    for width in 0..=64 {
        for n in (0..70).chain([100, 255, 511, 1000, 1023, 1024]) {
            let values = numbers(n, width);
            let mut packed = vec![0xaa];
            pack(&values, width, &mut packed);
            assert_eq!(packed.len() - 1, packed_len(n, width));
            let mut unpacked = vec![u64::MAX; n];
            unpack(&packed[1..], width, &mut unpacked).unwrap();
            assert_eq!(unpacked, values, "{n} numbers of {width} bits");
        }
    }
}

#[test]
fn bits_stand_where_the_format_says() {
    // A slow reading of FORMAT.md, 5.5.
    const ORDER: [usize; 8] = [0, 4, 2, 6, 1, 5, 3, 7];
    for width in 0..=64u8 {
        let w = usize::from(width);
        let values = numbers(1024, width);
        let mut packed = Vec::new();
        pack(&values, width, &mut packed);
        for lane in 0..16 {
            for row in 0..64 {
                let mut value = 0;
                for bit in 0..w {
                    let place = row * w + bit;
                    let byte = (16 * (place / 64) + lane) * 8 + place % 64 / 8;
                    value |= u64::from(packed[byte] >> (place % 8) & 1) << bit;
                }
                assert_eq!(value, values[ORDER[row / 8] * 16 + (row % 8) * 128 + lane]);
            }
        }
        let values = numbers(77, width);
        let mut packed = Vec::new();
        pack(&values, width, &mut packed);
        for (i, expected) in values.iter().enumerate() {
            let value = (0..w).fold(0, |value, bit| {
                let place = i * w + bit;
                value | u64::from(packed[place / 8] >> (place % 8) & 1) << bit
            });
            assert_eq!(value, *expected);
        }
    }
}

#[test]
fn wrong_lengths_and_widths_are_refused() {
    let mut out = [0u64; 10];
    assert!(unpack(&[0; 90], 65, &mut out).is_err());
    assert!(unpack(&[0; 90], 255, &mut out).is_err());
    assert!(unpack(&[0; 12], 10, &mut out).is_err());
    assert!(unpack(&[0; 14], 10, &mut out).is_err());
    unpack(&[0; 13], 10, &mut out).unwrap();
    assert!(unpack(&[], 0, &mut [0u64; 1025]).is_err());
    assert!(unpack(&[0], 0, &mut out).is_err());
}

#[test]
fn bits_behind_the_last_number_must_be_zero() {
    let mut packed = Vec::new();
    pack(&numbers(10, 10), 10, &mut packed);
    let mut out = [0u64; 10];
    unpack(&packed, 10, &mut out).unwrap();
    for bit in 4..8 {
        let mut damaged = packed.clone();
        damaged[12] |= 1 << bit;
        let error = unpack(&damaged, 10, &mut out).unwrap_err();
        assert_eq!(error.offset, 12);
    }
}

#[test]
fn bits_above_the_width_are_dropped() {
    for n in [5, 1024] {
        let mut packed = Vec::new();
        pack(&vec![u64::MAX; n], 3, &mut packed);
        let mut out = vec![0; n];
        unpack(&packed, 3, &mut out).unwrap();
        assert_eq!(out, vec![7; n]);
    }
}

#[test]
fn full_vectors_are_packed_as_fastlanes_packs_them() {
    // Of the bytes that version 0.7.2 of the crate `fastlanes` packs these numbers into.
    const CHECKSUMS: [u32; 65] = [
        0x0000_0000,
        0x1968_34bd,
        0x1011_0019,
        0x0a28_907e,
        0x483e_3d96,
        0xc820_375c,
        0xac8e_0a48,
        0x084f_f8cb,
        0xdd31_a1e7,
        0xd6d1_e0eb,
        0xed81_ba12,
        0x32cd_4637,
        0xedd7_4ff3,
        0x3215_173f,
        0x1cd1_ba65,
        0xe272_ae6f,
        0x2d8f_cc7a,
        0xa62e_0d7d,
        0x2a3e_2a7d,
        0xf4af_5837,
        0x255c_38f2,
        0x9b72_70ee,
        0xf9c2_1717,
        0x62b1_9f2e,
        0x4d65_728d,
        0xf7d2_cd56,
        0x0a43_2ef4,
        0x0930_b9b3,
        0xc9c1_9240,
        0x3efc_0775,
        0x11c7_ff05,
        0xefc7_d856,
        0xe974_9e4d,
        0xac13_0a98,
        0xbd3c_2426,
        0xbebb_649e,
        0x8218_3083,
        0x3cb6_3ba3,
        0x24af_4fba,
        0x774e_94a7,
        0xc1f3_8209,
        0xf7b5_7653,
        0x9458_c66a,
        0xde7d_de2f,
        0x7068_00ed,
        0x4914_c741,
        0x91b2_5e8a,
        0xd59a_617a,
        0xd927_4d1c,
        0xccef_bbec,
        0x6930_3a92,
        0x3706_c16b,
        0x859d_88ba,
        0x24d4_01ee,
        0x021d_a4c8,
        0xb80b_df85,
        0x10a3_58e6,
        0xaf4e_a2c5,
        0x4d0d_7f21,
        0x6ae5_0152,
        0xa1ec_c6dc,
        0x34a9_d2fd,
        0x9a8c_db3e,
        0x53b8_1131,
        0x3dae_0b08,
    ];
    for (width, expected) in (0..).zip(CHECKSUMS) {
        let mut packed = Vec::new();
        pack(&numbers(1024, width), width, &mut packed);
        assert_eq!(crc32fast::hash(&packed), expected, "{width} bits");
    }
}

#[test]
fn every_level_unpacks_alike() {
    for width in 1..=64 {
        let values = numbers(1024, width);
        let mut packed = Vec::new();
        pack(&values, width, &mut packed);
        for add in [0, 7, u64::MAX - 2] {
            let expected: Vec<u64> = values.iter().map(|v| v.wrapping_add(add)).collect();
            for level in Level::available() {
                let mut unpacked = [3; 1024];
                unpack_interleaved(level, packed.as_chunks().0, width, add, &mut unpacked);
                assert!(unpacked[..] == expected, "{width} bits, {}", level.name());
            }
        }
    }
}

#[test]
fn every_level_packs_alike() {
    for width in 1..=64u8 {
        let values = numbers(1024, width);
        let pack_at = |level: Level| {
            let mut packed = vec![[0; STRIPE]; usize::from(width)];
            level.run(Pack {
                values: values.first_chunk().unwrap(),
                width: usize::from(width),
                stripes: &mut packed,
            });
            packed
        };
        let portable = pack_at(Level::available().next().unwrap());
        for level in Level::available() {
            assert!(pack_at(level) == portable, "{width} bits, {}", level.name());
        }
    }
}

#[test]
fn full_vectors_are_packed_as_fastlanes_does() {
    macro_rules! check {
        ($($width:literal)*) => {
            $({
                let values = numbers(1024, $width);
                let mut packed = Vec::new();
                pack(&values, $width, &mut packed);
                let mut words = [0; 16 * $width];
                let vector = values.first_chunk().unwrap();
                <u64 as fastlanes::BitPacking>::pack::<$width, { 16 * $width }>(vector, &mut words);
                let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
                assert!(packed == bytes, "{} bits", $width);
            })*
        };
    }
    check!(1 2 5 8 13 16 17 31 32 33 47 60 63 64);
}
