//! What a query did, in numbers.

/// What a query read. Vectors are counted by column: 1,024 rows of time and two fields are three.
///
/// Rows in memory have no vectors; they count in [`rows`](Profile::rows) alone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// Series that passed the filter; 0 if there was none.
    pub series_selected: u64,
    /// Segments whose span of time the query's range meets.
    pub segments: u64,
    /// Runs of rows in memory whose span of time the query's range meets.
    pub chunks: u64,
    /// Rows given, or taken into aggregates.
    pub rows: u64,
    /// Of these, rows that went through a merge of several sources, or a look at deletes.
    pub rows_merged: u64,
    /// Vectors that statistics, or those of other columns, showed to be of no use.
    pub vectors_skipped: u64,
    /// Vectors whose statistics gave the answer.
    pub vectors_from_statistics: u64,
    /// Vectors that were decoded.
    pub vectors_decoded: u64,
    /// Bytes of the blocks that decoded vectors lie in.
    pub block_bytes: u64,
    /// Most rows that were held at once to be put in order of time.
    pub most_rows_sorted: u64,
}

impl Profile {
    /// Adds what another part of the query did.
    pub(crate) fn add(&mut self, other: &Profile) {
        self.series_selected += other.series_selected;
        self.segments += other.segments;
        self.chunks += other.chunks;
        self.rows += other.rows;
        self.rows_merged += other.rows_merged;
        self.vectors_skipped += other.vectors_skipped;
        self.vectors_from_statistics += other.vectors_from_statistics;
        self.vectors_decoded += other.vectors_decoded;
        self.block_bytes += other.block_bytes;
        self.most_rows_sorted = self.most_rows_sorted.max(other.most_rows_sorted);
    }
}
