//! A vector of any type.
