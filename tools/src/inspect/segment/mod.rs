//! A segment, from outside in: trailer, root, pages, blocks, vectors.
//!
//! | module | what |
//! |---|---|
//! | `contents` | everything that can be read of the file, damaged or not |
//! | `found` | blocks found by their magic where the pages that name them are unreadable |
//! | `frame_work` | reports of trailer and root |
//! | `block` | reports of blocks and vectors |
//! | `column` | what the blocks of a column add up to |
//! | `stats` | reports of statistics |
//! | `report` | the whole file |
//! | `region` | what lies at one offset |
//! | `dump` | the values of one vector |

mod block;
mod column;
mod contents;
mod dump;
mod found;
mod frame_work;
mod region;
mod report;
mod stats;

pub(super) use dump::dump_vector;
pub(super) use region::region_at;
pub(super) use report::SegmentReport;

/// First bytes of a block.
pub(super) const BLOCK_MAGIC: [u8; 4] = *b"TSbl";
