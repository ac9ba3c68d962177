//! How 1,024 values become few bytes.
//!
//! | module | what |
//! |---|---|
//! | `simd` | one kernel for several sets of instructions, chosen at run time |
//! | [`bits`] | packing numbers of `w` bits, in the interleaved order of FastLanes |
//! | [`integer`] | integer streams: raw, constant, frame of reference, delta, scale, patches; run lengths, dictionaries |
//! | [`alp`] | doubles that are decimals, as integers |
//! | [`float`] | float streams: raw, constant, ALP |
//! | [`dictionary`] | distinct strings or doubles, and codes for them |
//! | [`stats`] | count, nulls, NaNs, min, max, sum, first, last of a vector |
//! | [`vector`] | a vector of any type: the choice among the above, nulls |

pub mod alp;
pub mod bits;
pub mod dictionary;
pub mod float;
pub mod integer;
pub(crate) mod simd;
pub mod stats;
pub(crate) mod text;
pub mod vector;
