//! Integer streams.
