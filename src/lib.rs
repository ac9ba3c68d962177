//! Tidestone: an embedded time-series storage engine.

mod clock;
mod config;
mod error;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the engine's next part calls it")
)]
mod index;
pub mod io;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{Backpressure, Options};
pub use error::{Error, ErrorKind, Result};
