//! How RocksDB is opened.

use std::path::Path;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType,
    Env, LogLevel, MergeOperands, Options, WriteBufferManager,
};

use super::Family;
use crate::index::layout;

/// Data files kept open at a time. An index of a million series has about ten.
const OPEN_FILES: i32 = 64;
/// Bits of a bloom filter per key: one look in a hundred is in vain.
const FILTER_BITS: f64 = 10.0;
/// Unmerged additions to one posting in memory before they are merged: more make reading it
/// slower, fewer make adding to it slower.
const UNMERGED_ADDITIONS: usize = 64;
/// Length at which RocksDB's own log of events starts a new file; two are kept.
const EVENTS_BYTES: usize = 256 << 10;
/// Bytes set aside on the disk at a time for RocksDB's list of its files; 4 MiB by default.
const FILE_LIST_BYTES: usize = 64 << 10;

/// Options that bound the memory of all column families together.
pub(super) struct Settings {
    base: Options,
    pub(super) cache: Cache,
    write_buffer: usize,
}

impl Settings {
    pub(super) fn new(memory_bytes: usize, env: Option<&Env>) -> Self {
        let mut base = Options::default();
        let cache = Cache::new_lru_cache(memory_bytes);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            memory_bytes / 2,
            false,
            cache.clone(),
        );
        base.set_write_buffer_manager(&buffers);
        base.set_atomic_flush(true);
        base.set_max_open_files(OPEN_FILES);
        base.set_max_file_opening_threads(1);
        base.set_max_background_jobs(2);
        base.set_skip_stats_update_on_db_open(true);
        base.set_stats_dump_period_sec(0);
        base.set_stats_persist_period_sec(0);
        base.set_log_level(LogLevel::Warn);
        base.set_max_log_file_size(EVENTS_BYTES);
        base.set_keep_log_file_num(2);
        base.set_manifest_preallocation_size(FILE_LIST_BYTES);
        if let Some(env) = env {
            base.set_env(env);
        }
        Self {
            base,
            cache,
            write_buffer: memory_bytes / 4,
        }
    }

    pub(super) fn create(&mut self) {
        self.base.create_if_missing(true);
        self.base.create_missing_column_families(true);
        self.base.set_error_if_exists(true);
    }

    pub(super) fn open(&self, dir: &Path) -> std::result::Result<DB, rocksdb::Error> {
        let families = Family::ALL
            .map(|family| ColumnFamilyDescriptor::new(family.name(), self.family(family)));
        DB::open_cf_descriptors(&self.base, dir, families)
    }

    pub(super) fn open_read_only(&self, dir: &Path) -> std::result::Result<DB, rocksdb::Error> {
        let families = Family::ALL
            .map(|family| ColumnFamilyDescriptor::new(family.name(), self.family(family)));
        DB::open_cf_descriptors_read_only(&self.base, dir, families, false)
    }

    fn family(&self, family: Family) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_cache_index_and_filter_blocks(true);
        // In parts of a few KiB: those of a file of a million series are larger than a shard of the cache
        // keeps, and were read anew for each look.
        blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        blocks.set_partition_filters(true);
        blocks.set_pin_top_level_index_and_filter(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        if family != Family::Meta {
            blocks.set_bloom_filter(FILTER_BITS, false);
        }
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::None);
        options.set_write_buffer_size(self.write_buffer);
        if family == Family::Postings {
            let merge = |_: &[u8], old: Option<&[u8]>, more: &MergeOperands| {
                layout::merge_postings(old.into_iter().chain(more))
            };
            options.set_merge_operator_associative("tidestone.postings.1", merge);
            options.set_max_successive_merges(UNMERGED_ADDITIONS);
        }
        options
    }
}
