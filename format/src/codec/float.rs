//! Float streams.
