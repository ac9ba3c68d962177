//! One kernel, compiled for several sets of instructions, chosen when the program runs.
//!
//! A kernel is ordinary safe Rust that the compiler turns into vector code. There are no intrinsics: one
//! text is the portable form, the oracle of the tests, and each of the faster forms. [`Level::run`] puts it
//! into a function that may use the instructions of the level.
//!
//! | level | instructions | 64-bit lanes |
//! |---|---|---|
//! | portable | what the binary was built for (baseline x86-64: SSE2; aarch64: NEON) | 2 |
//! | AVX2 | AVX2, BMI1, BMI2, LZCNT and POPCNT of x86-64-v3 | 4 |
//! | AVX-512 | those, and F, BW, CD, DQ and VL: x86-64-v4 | 8 |
//!
//! No level rounds in another way than another: Rust never makes one fused operation of a product and a sum.

use std::sync::OnceLock;

/// A set of instructions that this processor has. There is no way to one that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Work that is compiled for each level. `run` and whatever it calls for each value is to be
/// `#[inline(always)]`: only what is inlined is compiled for the level.
pub(crate) trait Kernel {
    /// What comes out.
    type Output;

    /// `lanes`: 64-bit lanes of a register, a constant of each level.
    fn run(self, lanes: usize) -> Self::Output;
}

impl Level {
    /// What every processor has that the binary runs on.
    const PORTABLE: Self = Self(Set::Portable);

    /// The best of this processor.
    #[inline]
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().last().unwrap_or(Self::PORTABLE))
    }

    /// All that this processor has, the best last.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let more = {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512cd")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            let avx2 = avx2.then_some(Self(Set::Avx2));
            avx2.into_iter().chain(avx512.then_some(Self(Set::Avx512)))
        };
        #[cfg(not(target_arch = "x86_64"))]
        let more = std::iter::empty();
        std::iter::once(Self::PORTABLE).chain(more)
    }

    /// Its name, for who reads a failure.
    #[cfg(test)]
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "AVX-512",
        }
    }

    /// Runs a kernel with the instructions of the level.
    #[inline]
    #[cfg_attr(
        target_arch = "x86_64",
        expect(
            unsafe_code,
            reason = "who calls a function for certain processors vouches for the processor"
        )
    )]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Portable => kernel.run(2),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` alone makes this value, where the processor has what `avx2` is compiled for.
            Set::Avx2 => unsafe { avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above, of `avx512`.
            Set::Avx512 => unsafe { avx512(kernel) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(4)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl"
)]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(8)
}
