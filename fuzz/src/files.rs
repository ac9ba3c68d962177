//! Log and manifest: file headers, frames, what they carry, edits, and what they add up to.
//!
//! A checksum keeps a fuzzer out of what it covers, so the first byte of most inputs says whether
//! the checksums in the rest are made right first.

use tidestone_format::bytes::Reader;
use tidestone_format::checksum::crc32;
use tidestone_format::header::{FileHeader, HEADER_LEN};
use tidestone_format::log::batch::{BatchEncoder, BatchSection, decode_batch};
use tidestone_format::log::frame::{FRAME_HEADER_LEN, FRAME_MAGIC, decode_frame};
use tidestone_format::log::{
    FrameCursor, FrameKind, LogIdentity, Record, append_frame, encode_segment_references,
    encode_series_definitions, find_later_evidence,
};
use tidestone_format::manifest::{
    EDIT_HEADER_LEN, EDIT_MAGIC, EDITS_START, EditCursor, Entry, ManifestIdentity, State,
    append_edit, replay,
};
use tidestone_format::version::LOG_PAGE;
use tidestone_format::{FileUuid, Lsn};

const ID: FileUuid = FileUuid(*b"fuzz------------");

/// A header of any kind of file. What decodes must be written as it was read.
pub fn file_header(bytes: &[u8]) {
    let Some((mut header, repair)) = with_flag(bytes) else {
        return;
    };
    if repair && header.len() >= HEADER_LEN {
        let crc = crc32(&header[..188]);
        header[188..192].copy_from_slice(&crc.to_le_bytes());
    }
    let peeked = FileHeader::peek(&header);
    if let Ok(decoded) = FileHeader::decode(&header) {
        assert_eq!(decoded.encode(), header[..HEADER_LEN]);
        assert_eq!(peeked.as_ref(), Ok(&decoded));
        assert!(FileHeader::decode_kind(&header, decoded.kind()).is_ok());
    }
}

/// The pages of a log file behind its header. The frames found must be in order, be what they
/// would be written as, and carry what decodes or is refused.
pub fn log_frames(bytes: &[u8]) {
    let Some((pages, repair)) = with_flag(bytes) else {
        return;
    };
    let field = |at: usize| {
        let field = pages.get(at..).and_then(|b| b.first_chunk());
        field.map_or(1, |b| u64::from_le_bytes(*b))
    };
    let identity = LogIdentity {
        incarnation: ID,
        file_number: field(24),
    };
    let first_lsn = Lsn(field(32));
    let mut file = vec![0; LOG_PAGE];
    file.extend_from_slice(&pages);
    if repair {
        repair_frames(&mut file, identity.incarnation);
    }
    let mut cursor = FrameCursor::new(&file, identity, first_lsn);
    let (mut end, mut lsn) = (LOG_PAGE as u64, first_lsn.0);
    for frame in cursor.by_ref() {
        assert!(frame.offset >= end && frame.end() > frame.offset);
        assert_eq!(frame.header.lsn.0, lsn);
        (end, lsn) = (frame.end(), lsn.saturating_add(1));
        assert_eq!(decode_frame(&file, frame.offset, identity), Ok(frame));
        let mut again = Vec::new();
        let (kind, durable) = (frame.header.kind, frame.header.durable_lsn);
        let (lsn, payload) = (frame.header.lsn, frame.payload);
        append_frame(&mut again, kind, identity, lsn, durable, payload).expect("it was read");
        let (from, to) = (frame.offset as usize, frame.end() as usize);
        assert_eq!(file[from..to], again);
        check_record(kind, payload);
    }
    assert!(cursor.stop().is_some());
    let (stopped, expected) = (cursor.offset(), cursor.next_lsn());
    if let Some(found) = find_later_evidence(&file, stopped, identity, expected) {
        assert!(found.offset >= stopped && found.offset.is_multiple_of(LOG_PAGE as u64));
        assert!(found.durable_lsn >= expected && found.durable_lsn < found.lsn);
    }
}

/// A payload; the first byte says of which kind.
pub fn log_record(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else {
        return;
    };
    let kinds = FrameKind::ALL;
    check_record(kinds[usize::from(*kind) % kinds.len()], payload);
}

/// The edits of a manifest file, behind its header. What replays must be what the edits would be
/// written as, and survive its own snapshot.
pub fn manifest_replay(bytes: &[u8]) {
    let Some((edits, repair)) = with_flag(bytes) else {
        return;
    };
    let header = FileHeader::manifest(ID, ID, 1);
    let identity = ManifestIdentity::of(&header);
    let mut file = header.encode().to_vec();
    file.resize(EDITS_START, 0);
    file.extend_from_slice(&edits);
    if repair {
        repair_edits(&mut file);
    }
    for located in EditCursor::new(&file, identity) {
        let mut again = Vec::new();
        append_edit(&mut again, identity, &located.edit).expect("it was read");
        let (from, to) = (located.offset as usize, located.end as usize);
        assert_eq!(file[from..to], again);
    }
    if let Ok(replayed) = replay(&file, identity) {
        assert!(replayed.version > 0 && replayed.end <= file.len() as u64);
        check_snapshot(&replayed.state);
    }
}

/// Entries, one after another. Those that contradict must change nothing.
pub fn manifest_state(bytes: &[u8]) {
    let mut r = Reader::new(bytes, "fuzz");
    let mut state = State::new();
    for _ in 0..64 {
        let start = r.position();
        let Ok(entry) = Entry::read(&mut r) else {
            break;
        };
        let mut again = Vec::new();
        entry.encode(&mut again).expect("it was read");
        assert_eq!(again, bytes[start..r.position()]);
        let before = state.clone();
        if state.apply(&entry).is_err() {
            assert_eq!(state, before);
        }
    }
    check_snapshot(&state);
}

fn with_flag(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let (flag, rest) = bytes.split_first()?;
    Some((rest.to_vec(), flag & 1 == 1))
}

fn check_record(kind: FrameKind, payload: &[u8]) {
    let Ok(record) = Record::decode(kind, payload) else {
        return;
    };
    let mut again = Vec::new();
    match record {
        Record::Batch(sections) => {
            // A null map without nulls is read and not written, so only the second time is equal.
            let first = encode_batch(&sections);
            let read = decode_batch(&first).expect("what was encoded decodes");
            assert_eq!(encode_batch(&read), first);
            return;
        }
        Record::SeriesDefinitions(list) => {
            encode_series_definitions(&mut again, &list).expect("it was read");
        }
        Record::Delete(tombstone) => tombstone.encode(&mut again).expect("it was read"),
        Record::SegmentReferences(list) => {
            encode_segment_references(&mut again, &list).expect("it was read");
        }
        Record::Note => {}
    }
    assert_eq!(again, payload);
}

fn encode_batch(sections: &[BatchSection]) -> Vec<u8> {
    let mut encoder = BatchEncoder::new();
    for s in sections {
        let columns: Vec<_> = s.columns.iter().map(|(id, c)| (*id, c)).collect();
        let rows = 0..s.times.len();
        encoder
            .append_section(s.table, s.series.as_ids(), &s.times, &columns, rows)
            .expect("it was read");
    }
    encoder.payload().to_vec()
}

fn check_snapshot(state: &State) {
    let mut again = State::new();
    for entry in state.snapshot_entries() {
        again.apply(&entry).expect("a snapshot applies");
    }
    assert_eq!(again, *state);
}

/// From the last place to the first, as a frame may stand in the payload of another.
fn places(bytes: &[u8], start: usize, magic: [u8; 4]) -> impl Iterator<Item = usize> + use<> {
    let places = (start..bytes.len()).step_by(8);
    let found: Vec<_> = places
        .filter(|&at| bytes[at..].starts_with(&magic))
        .collect();
    found.into_iter().rev()
}

fn length(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*field) as usize)
}

fn repair_frames(file: &mut [u8], incarnation: FileUuid) {
    for at in places(file, LOG_PAGE, FRAME_MAGIC) {
        let payload = at + FRAME_HEADER_LEN;
        let Some(stored) = length(file, at + 12) else {
            continue;
        };
        if let Some(payload) = file.get(payload..payload + stored) {
            let crc = crc32(payload);
            file[at + 8..at + 12].copy_from_slice(&crc.to_le_bytes());
            let covered = [&incarnation.0, &file[at + 8..at + FRAME_HEADER_LEN]].concat();
            file[at + 4..at + 8].copy_from_slice(&crc32(&covered).to_le_bytes());
        }
    }
}

fn repair_edits(file: &mut [u8]) {
    for at in places(file, EDITS_START, EDIT_MAGIC) {
        let payload = at + EDIT_HEADER_LEN;
        let Some(len) = length(file, at + 4) else {
            continue;
        };
        if let Some(payload) = file.get(payload..payload + len) {
            let covered = [&file[24..64], &file[at..at + 16], payload].concat();
            file[at + 16..at + 20].copy_from_slice(&crc32(&covered).to_le_bytes());
        }
    }
}
