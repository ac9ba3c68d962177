//! Batches whose frames are encoded by whoever writes them, and not by whoever commits.
//!
//! A commit of many rows hands its columns over: log and head share them, and committing copies
//! nothing. Everything that could be refused is refused when the [`BatchRows`] is made, so that
//! encoding, which happens after the batch got its LSN, does not fail.

use std::sync::Arc;

use tidestone_format::TableId;
use tidestone_format::log::{SeriesIds, append_section, section_len};
use tidestone_format::version::MAX_REGION;

use crate::error::{Error, Result};
use crate::rows::Rows;

/// Length of what stands before the sections: their number, and zeros.
const PREFIX_LEN: usize = 8;

/// The rows of a batch by table. They can be encoded, and the length of their encoding is known.
#[derive(Debug)]
pub(crate) struct BatchRows {
    sections: Vec<(TableId, Arc<Rows>)>,
    payload_len: usize,
}

impl BatchRows {
    /// A batch of these rows, in the order they were written.
    ///
    /// # Errors
    /// A value or the batch as a whole is larger than a frame may be.
    pub(crate) fn new(sections: Vec<(TableId, Arc<Rows>)>) -> Result<Self> {
        let mut payload_len = PREFIX_LEN;
        for (table, rows) in &sections {
            let all = 0..rows.len();
            payload_len += section_len(*table, series_of(rows), &rows.times, &rows.columns, all)?;
        }
        if payload_len > MAX_REGION || u32::try_from(sections.len()).is_err() {
            return Err(too_large(payload_len));
        }
        Ok(Self {
            sections,
            payload_len,
        })
    }

    /// Length of what [`BatchRows::encode`] appends.
    pub(crate) fn payload_len(&self) -> usize {
        self.payload_len
    }

    /// Encodes the payload of the batch's frame in place of what `payload` holds.
    pub(super) fn encode(&self, payload: &mut Vec<u8>) -> Result<()> {
        encode_batch(payload, self.sections.iter().map(|(id, r)| (*id, &**r)))?;
        debug_assert_eq!(payload.len(), self.payload_len, "the length was promised");
        Ok(())
    }
}

/// Encodes the payload of a batch, by table, in place of what `payload` holds.
///
/// # Errors
/// As [`BatchRows::new`].
pub(crate) fn encode_batch<'a>(
    payload: &mut Vec<u8>,
    sections: impl Iterator<Item = (TableId, &'a Rows)>,
) -> Result<()> {
    payload.clear();
    payload.resize(PREFIX_LEN, 0);
    let mut count = 0u32;
    for (table, rows) in sections {
        let all = 0..rows.len();
        append_section(
            payload,
            table,
            series_of(rows),
            &rows.times,
            &rows.columns,
            all,
        )?;
        count = count
            .checked_add(1)
            .ok_or_else(|| too_large(payload.len()))?;
    }
    payload[..4].copy_from_slice(&count.to_le_bytes());
    match payload.len() > MAX_REGION {
        true => Err(too_large(payload.len())),
        false => Ok(()),
    }
}

fn too_large(payload_len: usize) -> Error {
    Error::invalid(format!(
        "a batch of {payload_len} bytes; at most {MAX_REGION} fit: split it into smaller ones"
    ))
}

fn series_of(rows: &Rows) -> SeriesIds<'_> {
    match rows.series.split_first() {
        Some((one, rest)) if rest.iter().all(|s| s == one) => SeriesIds::One(*one),
        _ => SeriesIds::PerRow(&rows.series),
    }
}
