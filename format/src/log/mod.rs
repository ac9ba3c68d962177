//! Frames of the write-ahead log and what they carry.
//!
//! | module | what |
//! |---|---|
//! | [`frame`] | one frame: header, payload, padding; is it whole, and does it belong here |
//! | [`scan`] | the frames of a file in order, where they stop, and what stands behind that |
//! | [`batch`] | payload of a batch: rows of any number of tables, column by column |
//! | [`record`] | the other payloads, and a payload decoded by its kind |

pub mod batch;
pub mod frame;
pub mod record;
pub mod scan;
