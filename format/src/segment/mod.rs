//! Data files: blocks, dictionaries, pages, root, trailer.
//!
//! ```text
//! header 192 B | blocks and dictionaries | series pages | group pages | root | trailer 64 B
//!                                          '------------------ the tail ------------------'
//! ```
//!
//! Reading is without I/O: [`Trailer`] says where the [`Root`] is, the root where the pages are,
//! a [`GroupPage`] where the blocks are; whoever has the bytes of a [`Region`] checks them with
//! [`Region::check`] and decodes. [`Segment`] does all this over the bytes of a whole file.
//! Writing streams: see [`SegmentWriter`].

mod block;
mod column_encoder;
mod group_page;
mod reader;
mod region;
mod root;
mod series_page;
mod trailer;
mod writer;

pub use block::Block;
pub use group_page::{ColumnEntry, GroupPage};
pub use reader::Segment;
pub use region::{Region, RegionBytes, RegionKind};
pub use root::{DictionaryRef, GroupPageRef, Root, SeriesPageRef};
pub use series_page::{SeriesPage, SeriesRows};
pub use trailer::{TRAILER_LEN, Trailer};
pub use writer::{
    ColumnSummary, EncodingUse, SegmentMeta, SegmentSink, SegmentSummary, SegmentWriter,
    TextMemory, WriteError,
};
