//! Doubles that are decimals, as integers.
