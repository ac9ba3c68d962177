//! Frames of the write-ahead log and what they carry.
