//! Frames on their way to the disk.
//!
//! A group starts on a page of its own and is padded to whole pages, so that writing the next one
//! touches none of its bytes. Frames of small batches are bytes from the start; those of large ones
//! become bytes when the group is written, by whoever writes it.

use std::sync::Arc;

use tidestone_format::log::{FrameKind, LogIdentity, append_frame_with_crc, record_durable};
use tidestone_format::version::LOG_PAGE;
use tidestone_format::{Lsn, checksum};

use super::batch::BatchRows;
use super::files;
use crate::error::Result;
use crate::io::File;

/// What a frame is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Frame<'a> {
    /// A payload and its CRC-32.
    Encoded {
        kind: FrameKind,
        payload: &'a [u8],
        payload_crc: u32,
    },
    /// Rows that are encoded when the frame is written.
    Rows(&'a Arc<BatchRows>),
}

impl Frame<'_> {
    /// Length of the payload.
    pub(crate) fn payload_len(&self) -> usize {
        match self {
            Frame::Encoded { payload, .. } => payload.len(),
            Frame::Rows(rows) => rows.payload_len(),
        }
    }

    /// Whether it is the note of an orderly end.
    pub(super) fn is_note(&self) -> bool {
        self.kind() == FrameKind::Note
    }

    /// Whether it may fill a log file to the end: it is what a full disk must not refuse.
    pub(super) fn may_fill(&self) -> bool {
        matches!(self.kind(), FrameKind::Delete | FrameKind::Note)
    }

    fn kind(&self) -> FrameKind {
        match self {
            Frame::Encoded { kind, .. } => *kind,
            Frame::Rows(_) => FrameKind::Batch,
        }
    }

    /// Length of the frame.
    pub(super) fn len(&self) -> Result<u64> {
        files::frame_len(self.payload_len())
    }
}

/// Frames that are written together to one file.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) file: Arc<dyn File>,
    identity: LogIdentity,
    pub(super) offset: u64,
    /// The first frame comes behind this many bytes.
    start: usize,
    /// Frames that are encoded.
    bytes: Vec<u8>,
    /// Frames that are not, in order.
    rows: Vec<Unencoded>,
    /// Length of all of them.
    len: usize,
    pub(super) last: Lsn,
}

/// A frame that is encoded when it is written.
#[derive(Debug)]
struct Unencoded {
    /// It comes behind this many of the encoded bytes.
    at: usize,
    lsn: Lsn,
    rows: Arc<BatchRows>,
}

/// Buffers of groups that were written, for the next ones.
#[derive(Debug, Default)]
pub(super) struct Buffers(Vec<Vec<u8>>);

impl Group {
    /// A group at `offset` of a file that starts with `bytes`.
    pub(super) fn new(
        file: Arc<dyn File>,
        identity: LogIdentity,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Self {
        Self {
            file,
            identity,
            offset,
            start: bytes.len(),
            len: bytes.len(),
            bytes,
            rows: Vec::new(),
            last: Lsn(0),
        }
    }

    /// Adds a frame; returns its length. A frame that is refused leaves nothing behind.
    pub(super) fn push(&mut self, frame: Frame<'_>, lsn: Lsn, durable: Lsn) -> Result<usize> {
        let added = match frame {
            Frame::Encoded {
                kind,
                payload,
                payload_crc: crc,
            } => {
                let (before, out) = (self.bytes.len(), &mut self.bytes);
                append_frame_with_crc(out, kind, self.identity, lsn, durable, payload, crc)?;
                self.bytes.len() - before
            }
            Frame::Rows(rows) => {
                self.rows.push(Unencoded {
                    at: self.bytes.len(),
                    lsn,
                    rows: rows.clone(),
                });
                usize::try_from(frame.len()?).unwrap_or(usize::MAX)
            }
        };
        self.len += added;
        self.last = lsn;
        Ok(added)
    }

    /// Bytes of all frames so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes it takes in the file.
    pub(super) fn padded_len(&self) -> usize {
        self.len.next_multiple_of(LOG_PAGE)
    }

    /// Encodes what is not encoded yet and writes the group, in one call. `durable` goes into the
    /// frames that are encoded now, and into the first one, which is where replay looks for it: when
    /// that was appended, the group before may not have been synced yet.
    pub(super) fn write(mut self, durable: Lsn, buffers: &mut Buffers) -> std::io::Result<()> {
        if !self.rows.is_empty() {
            let encoded = self
                .encode(durable, buffers)
                .map_err(std::io::Error::other)?;
            buffers.put(std::mem::replace(&mut self.bytes, encoded));
        }
        debug_assert_eq!(self.bytes.len(), self.len, "every frame has its length");
        if self.len > self.start {
            let first = &mut self.bytes[self.start..];
            record_durable(first, self.identity.incarnation, durable);
        }
        self.bytes.resize(self.padded_len(), 0);
        self.file.write_all_at(&self.bytes, self.offset)?;
        buffers.put(self.bytes);
        Ok(())
    }

    /// The bytes of all frames.
    fn encode(&self, durable: Lsn, buffers: &mut Buffers) -> Result<Vec<u8>> {
        let (mut out, mut payload) = (buffers.take(), buffers.take());
        out.reserve(self.padded_len());
        let mut done = 0;
        for Unencoded { at, lsn, rows } in &self.rows {
            out.extend_from_slice(&self.bytes[done..*at]);
            done = *at;
            rows.encode(&mut payload)?;
            let (kind, crc) = (FrameKind::Batch, checksum::crc32(&payload));
            append_frame_with_crc(&mut out, kind, self.identity, *lsn, durable, &payload, crc)?;
        }
        out.extend_from_slice(&self.bytes[done..]);
        buffers.put(payload);
        Ok(out)
    }
}

impl Buffers {
    /// An empty buffer.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// Keeps a buffer, if it has memory worth keeping and not too much of it.
    fn put(&mut self, mut bytes: Vec<u8>) {
        const KEPT: usize = 4;
        const KEPT_MAX: usize = 16 << 20;
        if self.0.len() < KEPT && (1..=KEPT_MAX).contains(&bytes.capacity()) {
            bytes.clear();
            self.0.push(bytes);
        }
    }

    /// Takes over what `other` keeps.
    pub(super) fn take_over(&mut self, other: Buffers) {
        other.0.into_iter().for_each(|bytes| self.put(bytes));
    }
}
