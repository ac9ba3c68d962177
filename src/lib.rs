//! Tidestone: an embedded time-series storage engine.

mod clock;
mod config;
mod error;
pub mod io;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{Backpressure, Options};
pub use error::{Error, ErrorKind, Result};
