//! Whether a dictionary may pay, from a sample of the values.

/// Values in a sample.
const SAMPLE: usize = 1024;

/// How many values were looked at, and how many were distinct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) looked_at: usize,
    pub(super) distinct: usize,
}

/// Looks at values spread over `count`, one of each stretch; `key` tells them apart.
pub(super) fn sample(count: usize, key: impl Fn(usize) -> u64) -> Sample {
    let stretch = count.div_ceil(SAMPLE).max(1);
    // A place of the stretch that has no pattern: values may repeat with a period.
    let place = |i: usize| {
        let mut hash = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i * stretch + usize::from((hash >> 48) as u16) % stretch
    };
    let mut keys: Vec<u64> = (0..count / stretch).map(place).map(key).collect();
    let looked_at = keys.len();
    keys.sort_unstable();
    keys.dedup();
    Sample {
        looked_at,
        distinct: keys.len(),
    }
}

/// Whether codes and a dictionary may take less than the `bytes` that `count` values take
/// otherwise, with `known` values in the dictionary already.
pub(super) fn may_pay(sample: &Sample, count: usize, bytes: usize, known: usize) -> bool {
    // Nearly all distinct: the estimate would be a guess, and hardly ever a good one.
    if sample.looked_at == 0 || sample.distinct * 100 > sample.looked_at * 97 {
        return false;
    }
    let distinct = estimate_distinct(sample, count);
    let bits = bytes as f64 * 8.0 / count as f64;
    let width = distinct.max(known as f64).max(2.0).log2().ceil();
    // With a dictionary at hand, the values may all be known.
    let added = if known == 0 { distinct } else { 0.0 };
    width + added * bits / (count as f64) < bits
}

/// How many of `count` values are distinct, were all of them equally frequent.
fn estimate_distinct(sample: &Sample, count: usize) -> f64 {
    let (looked_at, seen) = (sample.looked_at as f64, sample.distinct as f64);
    let expected = |distinct: f64| distinct * (1.0 - (-looked_at / distinct).exp());
    let (mut low, mut high) = (seen, count as f64);
    for _ in 0..32 {
        let middle = (low + high) / 2.0;
        if expected(middle) < seen {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_worth_a_dictionary_and_many_are_not() {
        let raw = |distinct: u64, count: usize| {
            let sample = sample(count, |i| i as u64 * 7919 % distinct);
            may_pay(&sample, count, count * 8, 0)
        };
        assert!(raw(669, 17_420));
        assert!(raw(2, 1000));
        assert!(raw(5000, 65_536));
        assert!(!raw(1_000_003, 65_536));
        assert!(!raw(1000, 1000));
    }

    #[test]
    fn the_alternative_counts() {
        let sample = sample(65_536, |i| i as u64 % 1000);
        assert!(may_pay(&sample, 65_536, 65_536 * 12 / 8, 0));
        assert!(!may_pay(&sample, 65_536, 65_536 * 9 / 8, 0));
        assert!(!may_pay(&sample, 65_536, 65_536 * 12 / 8, 60_000));
    }
}
