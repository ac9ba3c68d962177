//! The bodies of the fuzz targets: ordinary functions of bytes, so that the saved corpus is also a
//! plain test (`tests/corpus.rs`). A body panics where a promise is broken.

pub mod codecs;
pub mod files;
pub mod segments;
