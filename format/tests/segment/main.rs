//! Segments: written by the writer, read by the reader, damaged on the way.

#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests"
)]

mod damage;
mod model;
mod order;
mod pages;
mod passes;
mod round_trip;
