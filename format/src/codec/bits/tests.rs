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
