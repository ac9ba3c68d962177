//! Statistics of a vector.
