//! Tables and series: what a name means.
//!
//! | file | what |
//! |---|---|
//! | `tables` | open tables by name and id; options of new ones |
//! | `fields` | the fields of a table by name, and more of them |
//! | `names` | those to tell somebody who asked for one there is not; one given twice |
//! | `series` | series keys and ids: resolved, defined, and known before the index knows them |
//! | `holders` | the series that handles hold, and those on their way out |
//! | `living` | which series live segments have |
//! | `ground` | the index filled from manifest and segments |

mod fields;
mod ground;
mod holders;
mod living;
mod names;
mod series;
mod tables;

pub(crate) use fields::{Fields, add_fields, other_type};
pub(crate) use ground::{Ground, applied, catch_up, nothing};
pub(crate) use holders::{Hold, Pin, Pins};
pub(crate) use living::leave_out_living;
pub(crate) use names::{Known, given_twice, no_field, no_series};
pub(crate) use series::SeriesRegistry;
pub use tables::{DEFAULT_FUTURE_BOUND, DEFAULT_PARTITION, TableOptions};
pub(crate) use tables::{TableCore, Tables, bound_future, partition_of, retain};
