//! Packing numbers of `w` bits.
