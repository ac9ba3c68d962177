//! Which fields of a segment are read and written together: a pure function of what is known before.
//!
//! A table may have thousands of fields. What is held of each, a row group of values to be written and
//! what is read ahead of every source, is much for all of them together. So they are written in passes
//! ([`SegmentWriter`](tidestone_format::segment::SegmentWriter)), each of as many fields as fit the
//! memory there is for it; a table of few fields takes one. Where segments are not mapped the blocks that are
//! read count too: a merge holds one a field of each segment. Strings may
//! have any length: a field of them is a pass of its own, which holds a few vectors, unless all of them are
//! known to be short. A pass has a field at least, also where that does not fit.

use tidestone_format::FieldType;
use tidestone_format::schema::Field;
use tidestone_format::segment::TextMemory;
use tidestone_format::version::{GROUP_ROWS, VECTOR_ROWS};

use crate::config::WritingMemory;
use crate::rows::{AtOnce, TEXT_AT_ONCE};

/// The least text that is read at a time.
const LEAST_TEXT: usize = 16 << 10;
/// Buffers of a column and a row group that encoding takes, beside the values; the times are another.
const ENCODING: usize = 3;
/// Copies of what is read of a source at a time, while it is merged with others.
const COPIES: usize = 4;

/// What is known of a segment before it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// Rows, at most.
    pub(crate) rows: u64,
    /// Sorted runs that are read at a time, at most.
    pub(crate) sources: usize,
    /// Bytes of all strings, if it is known.
    pub(crate) text: Option<usize>,
    /// Bytes of the blocks of a field that are read at a time, about; none of those that are mapped.
    pub(crate) blocks: usize,
}

impl Expected {
    /// Bytes of a block, not one of strings, in a file of so many bytes and rows that has `fields` fields: the
    /// mean of them.
    pub(crate) fn block_of(rows: u64, bytes: u64, fields: usize) -> usize {
        let groups = rows.div_ceil(GROUP_ROWS as u64).max(1);
        let mean = bytes / groups / (fields as u64 + 1);
        // The file may be long for strings.
        let most = rows.min(GROUP_ROWS as u64) * 8;
        usize::try_from(mean.min(most)).unwrap_or(usize::MAX)
    }
}

/// How a segment is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passes {
    /// The number of fields of each pass, in the order of their ids.
    pub(crate) fields: Vec<usize>,
    /// How much is read of each source at a time.
    pub(crate) at_once: AtOnce,
    pub(crate) text: TextMemory,
}

impl Passes {
    pub(crate) fn of(fields: &[Field], expected: Expected, memory: WritingMemory) -> Self {
        let sources = expected.sources.max(1);
        let fields = in_passes(fields, expected, memory.columns);
        // What is left is best used to read more at a time.
        let widest = fields.iter().max().map_or(1, |&fields| fields.max(1));
        let rows = memory.columns / 4 / (COPIES * 8 * sources * widest);
        let text = memory.columns / 8;
        Self {
            fields,
            at_once: AtOnce {
                rows: rows.clamp(VECTOR_ROWS, AtOnce::default().rows),
                text: (text / sources).clamp(LEAST_TEXT, TEXT_AT_ONCE),
            },
            text: TextMemory {
                column: text,
                dictionary: memory.dictionary,
            },
        }
    }
}

fn in_passes(fields: &[Field], expected: Expected, memory: usize) -> Vec<usize> {
    let rows = usize::try_from(expected.rows).unwrap_or(usize::MAX);
    let group = rows.min(GROUP_ROWS);
    let read = (COPIES * expected.sources + 2) * rows.min(VECTOR_ROWS);
    let cost = |field: &Field| {
        let held = match field.field_type {
            // As many bytes again for a dictionary.
            FieldType::F64 => group * 16 + read * 8,
            FieldType::I64 | FieldType::U64 => group * 8 + read * 8,
            FieldType::Bool => group + read,
            // Their text comes on top.
            FieldType::String => group * 8 + read * 8,
        };
        held.saturating_add(expected.blocks)
    };
    let memory = memory.saturating_sub(group * 8 * (1 + ENCODING));
    let memory = memory.saturating_sub(expected.blocks);
    if let Some(text) = expected.text {
        let all: usize = fields.iter().map(cost).sum();
        // Read, held, and written.
        if all.saturating_add(text.saturating_mul(3)) <= memory {
            return vec![fields.len()];
        }
    }
    // The first pass has the times, and may have nothing else.
    let mut passes = vec![0];
    let (mut room, mut is_text) = (memory, false);
    for field in fields {
        let (cost, was_text) = (cost(field), is_text);
        is_text = field.field_type == FieldType::String;
        match passes.last_mut() {
            Some(last) if !was_text && !is_text && (*last == 0 || cost <= room) => *last += 1,
            _ => {
                passes.push(1);
                room = memory;
            }
        }
        room = room.saturating_sub(cost);
    }
    passes
}

#[cfg(test)]
mod tests {
    use tidestone_format::FieldId;

    use super::*;
    use crate::Options;

    const FULL: u64 = 10 * GROUP_ROWS as u64;

    fn fields(types: &[FieldType]) -> Vec<Field> {
        let field = |(id, &field_type)| Field {
            id: FieldId(id),
            name: format!("field {id}"),
            field_type,
        };
        (1..).zip(types).map(field).collect()
    }

    fn passes(budget: usize, types: &[FieldType], rows: u64, text: Option<usize>) -> Vec<usize> {
        let options = Options {
            memory_budget_bytes: budget,
            ..Options::default()
        };
        let expected = Expected {
            rows,
            sources: 4,
            text,
            blocks: 0,
        };
        let passes = Passes::of(&fields(types), expected, options.writing_memory());
        assert_eq!(passes.fields.iter().sum::<usize>(), types.len());
        passes.fields
    }

    #[test]
    fn few_numbers_take_one_pass_and_many_as_few_as_fit() {
        use FieldType::F64;
        assert_eq!(passes(256 << 20, &[F64; 12], FULL, None), [12]);
        assert_eq!(passes(256 << 20, &[], FULL, None), [0]);
        assert_eq!(passes(32 << 20, &[F64; 100], 10, None), [100]);
        let wide = passes(256 << 20, &[F64; 1000], FULL, None);
        assert!((20..80).contains(&wide.len()), "{wide:?}");
        // However little there is, a pass has a field.
        assert_eq!(passes(1 << 20, &[F64; 3], FULL, None), [1, 1, 1]);
    }

    #[test]
    fn blocks_that_are_read_count_where_they_are_not_mapped() {
        let columns = Options::default().writing_memory().columns;
        let widest = |blocks: usize| {
            let expected = Expected {
                rows: FULL,
                sources: 4,
                text: None,
                blocks,
            };
            let fields = fields(&[FieldType::F64; 100]);
            let passes = Passes::of(&fields, expected, Options::default().writing_memory());
            assert_eq!(passes.fields.iter().sum::<usize>(), fields.len());
            passes.fields.into_iter().max().unwrap()
        };
        let blocks = 1 << 20;
        assert!(widest(blocks) < widest(0));
        // Those of the times too.
        assert!((widest(blocks) + 1) * blocks <= columns);
        assert_eq!(widest(columns), 1);
    }

    #[test]
    fn the_blocks_of_a_segment_are_as_long_as_its_file_says() {
        let check = |rows: u64, bytes: u64, fields: usize, expected: usize| {
            assert_eq!(Expected::block_of(rows, bytes, fields), expected);
        };
        let group = GROUP_ROWS as u64;
        check(10 * group, 40 << 20, 9, (4 << 20) / 10);
        check(group, 4_000, 3, 1_000);
        check(1, 4_000, 0, 8);
        // It is long for strings.
        check(100, 40 << 20, 3, 800);
    }

    #[test]
    fn strings_of_unknown_length_are_passes_of_their_own() {
        use FieldType::{Bool, I64, String};
        let check = |types: &[FieldType], expected: &[usize]| {
            assert_eq!(passes(256 << 20, types, FULL, None), expected, "{types:?}");
        };
        check(&[String], &[0, 1]);
        check(&[String, String], &[0, 1, 1]);
        check(&[I64, String, I64, Bool], &[1, 1, 2]);
        check(&[I64, Bool, String], &[2, 1]);
        let few = [I64, String, String, Bool];
        assert_eq!(passes(256 << 20, &few, 10_000, Some(1 << 20)), [4]);
        assert_eq!(passes(32 << 20, &few, 10_000, Some(2 << 20)), [1, 1, 1, 1]);
    }

    #[test]
    fn more_is_read_at_a_time_where_there_is_room() {
        let of = |budget: usize, fields_: usize, sources| {
            let options = Options {
                memory_budget_bytes: budget,
                ..Options::default()
            };
            let expected = Expected {
                rows: FULL,
                sources,
                text: None,
                blocks: 0,
            };
            let fields = fields(&vec![FieldType::F64; fields_]);
            Passes::of(&fields, expected, options.writing_memory()).at_once
        };
        assert_eq!(of(1 << 30, 2, 2), AtOnce::default());
        assert_eq!(
            of(32 << 20, 100, 32),
            AtOnce {
                rows: VECTOR_ROWS,
                text: LEAST_TEXT
            }
        );
    }
}
