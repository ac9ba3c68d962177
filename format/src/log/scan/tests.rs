use super::*;
use crate::FormatErrorKind::{self, Checksum, Invalid, Magic, Unsupported};
use crate::column::{Column, Values};
use crate::log::batch::{BatchEncoder, SeriesIds};
use crate::log::frame::{FrameKind, append_frame, reseal};
use crate::{FieldId, FileUuid, SeriesId, TableId};
use proptest::prelude::*;

const NUMBER: u64 = 9;
const INCARNATION: FileUuid = FileUuid(*b"incarnation-test");

fn log_file(file_number: u64) -> LogIdentity {
    LogIdentity {
        incarnation: INCARNATION,
        file_number,
    }
}

/// A log file under construction: groups of frames, each group at a page of its own.
struct File {
    bytes: Vec<u8>,
    number: u64,
    at: usize,
    next: u64,
}

impl File {
    fn new(number: u64, pages: usize, first: u64) -> Self {
        Self {
            bytes: vec![0; pages * LOG_PAGE],
            number,
            at: LOG_PAGE,
            next: first,
        }
    }

    /// One more life of the same bytes.
    fn recycled(mut self, number: u64) -> Self {
        (self.number, self.at) = (number, LOG_PAGE);
        self
    }

    /// Writes a group of frames with payloads of the given lengths and returns their offsets.
    fn group(&mut self, durable: u64, lens: &[usize]) -> Vec<usize> {
        let mut group = Vec::new();
        let mut offsets = Vec::new();
        for &len in lens {
            offsets.push(self.at + group.len());
            let (lsn, durable) = (Lsn(self.next), Lsn(durable));
            let payload = vec![0xee; len];
            append_frame(
                &mut group,
                FrameKind::Batch,
                log_file(self.number),
                lsn,
                durable,
                &payload,
            )
            .unwrap();
            self.next += 1;
        }
        group.resize(group.len().next_multiple_of(LOG_PAGE), 0);
        self.bytes[self.at..self.at + group.len()].copy_from_slice(&group);
        self.at += group.len();
        offsets
    }

    /// The LSNs from `first` on, where the cursor stopped and why.
    fn read(&self, first: u64) -> (Vec<u64>, usize, Stop) {
        let mut cursor = FrameCursor::new(&self.bytes, log_file(self.number), Lsn(first));
        let lsns: Vec<u64> = cursor.by_ref().map(|f| f.header.lsn.0).collect();
        assert_eq!(cursor.next_lsn().0, first + lsns.len() as u64);
        assert!(cursor.next().is_none(), "it stays stopped");
        let stop = cursor.stop().cloned().unwrap();
        (lsns, usize::try_from(cursor.offset()).unwrap(), stop)
    }

    fn evidence(&self, from: usize, lsn: u64) -> Option<(usize, u64, u64)> {
        find_later_evidence(&self.bytes, from as u64, log_file(self.number), Lsn(lsn))
            .map(|e| (usize::try_from(e.offset).unwrap(), e.lsn.0, e.durable_lsn.0))
    }
}

#[track_caller]
fn assert_invalid(stop: &Stop, kind: FormatErrorKind, offset: usize) {
    let Stop::Invalid(error) = stop else {
        panic!("{stop:?}");
    };
    assert_eq!((error.kind, error.offset), (kind, offset as u64), "{error}");
}

#[test]
fn frames_come_in_order_up_to_what_was_never_written() {
    let mut file = File::new(NUMBER, 8, 100);
    file.group(99, &[10, 0, 33]);
    file.group(102, &[5000]);
    file.group(103, &[1]);
    let (lsns, end, stop) = file.read(100);
    assert_eq!((lsns, stop), (vec![100, 101, 102, 103, 104], Stop::Zeros));
    assert_eq!(end, 4 * LOG_PAGE + 72);
    assert_eq!(file.evidence(end, 105), None);
}

#[test]
fn a_full_file_ends_at_its_end() {
    let mut file = File::new(NUMBER, 3, 1);
    file.group(0, &[4000]);
    file.group(1, &[LOG_PAGE - 64]);
    let (lsns, end, stop) = file.read(1);
    assert_eq!(
        (lsns, end, stop),
        (vec![1, 2], 3 * LOG_PAGE, Stop::EndOfFile)
    );
}

#[test]
fn a_file_without_frames_has_none() {
    let file = File::new(NUMBER, 3, 1);
    assert_eq!(file.read(1), (vec![], LOG_PAGE, Stop::Zeros));
    for len in [0, 100, LOG_PAGE] {
        let mut cursor = FrameCursor::new(&file.bytes[..len], log_file(NUMBER), Lsn(1));
        assert!(cursor.next().is_none());
        assert_eq!(cursor.stop(), Some(&Stop::EndOfFile));
    }
}

#[test]
fn frames_of_an_earlier_life_are_not_frames() {
    let mut old = File::new(NUMBER, 8, 1);
    for lsn in 1..7 {
        old.group(lsn - 1, &[20]);
    }
    let mut file = old.recycled(NUMBER + 5);
    file.group(6, &[20]);
    let (lsns, end, stop) = file.read(7);
    assert_eq!(lsns, [7]);
    assert_invalid(&stop, Invalid, 2 * LOG_PAGE + 24);
    assert_eq!(end, 2 * LOG_PAGE);
    assert_eq!(file.evidence(end, 8), None, "they are no evidence either");
}

#[test]
fn an_unacknowledged_tail_that_is_torn_ends_the_log() {
    let mut file = File::new(NUMBER, 8, 1);
    file.group(0, &[20]);
    let torn = file.group(1, &[20, 9000])[1];
    file.bytes[3 * LOG_PAGE] ^= 1;
    let (lsns, end, stop) = file.read(1);
    assert_eq!((lsns, end), (vec![1, 2], torn));
    assert_invalid(&stop, Checksum, torn + 8);
    assert_eq!(file.evidence(end, 3), None);
}

#[test]
fn a_later_frame_that_does_not_know_of_it_is_no_evidence() {
    // Two groups in flight at once: the first one's page did not arrive, the second one's did.
    let mut file = File::new(NUMBER, 8, 1);
    file.group(0, &[20]);
    let lost = file.group(1, &[20])[0];
    file.group(1, &[20]);
    file.bytes[lost..lost + LOG_PAGE].fill(0);
    let (lsns, end, stop) = file.read(1);
    assert_eq!((lsns, stop), (vec![1], Stop::Zeros));
    assert_eq!(file.evidence(end, 2), None);
}

#[test]
fn a_later_frame_that_knows_of_it_is_evidence_whatever_stands_between() {
    for lost_pages in 1..3 {
        let mut file = File::new(NUMBER, 9, 1);
        file.group(0, &[20]);
        let lost = file.group(1, &[20])[0];
        file.group(1, &[20]);
        let proof = file.group(2, &[20, 20])[0];
        file.bytes[lost..lost + lost_pages * LOG_PAGE].fill(0xa5);
        let (lsns, end, stop) = file.read(1);
        assert_eq!((lsns, end), (vec![1], lost));
        assert_invalid(&stop, Magic, lost);
        assert_eq!(file.evidence(end, 2), Some((proof, 4, 2)));
        assert_eq!(file.evidence(end, 3), None, "3 may be lost, 2 may not");
    }
}

#[test]
fn evidence_in_a_later_file_is_found_from_its_start() {
    let mut later = File::new(NUMBER + 1, 4, 50);
    let proof = later.group(48, &[8])[0];
    assert_eq!(later.evidence(0, 48), Some((proof, 50, 48)));
    assert_eq!(later.evidence(0, 49), None);
    assert_eq!(later.evidence(proof + 1, 48), None);
}

#[test]
fn damage_in_a_group_stops_there_and_not_at_the_next_page() {
    let mut file = File::new(NUMBER, 8, 1);
    let offsets = file.group(0, &[20, 20, 20]);
    file.group(3, &[20]);
    file.bytes[offsets[1] + 30] ^= 4;
    let (lsns, end, stop) = file.read(1);
    assert_eq!((lsns, end), (vec![1], offsets[1]));
    assert_invalid(&stop, Checksum, offsets[1] + 4);
    assert_eq!(file.evidence(end, 2), Some((2 * LOG_PAGE, 4, 3)));
}

#[test]
fn a_frame_with_another_lsn_stops_the_cursor() {
    let mut file = File::new(NUMBER, 8, 1);
    file.group(0, &[20]);
    file.next = 3;
    file.group(1, &[20]);
    let (lsns, _, stop) = file.read(1);
    assert_eq!(lsns, [1]);
    assert_invalid(&stop, Invalid, 2 * LOG_PAGE + 32);
    assert!(file.read(2).0.is_empty());
}

#[test]
fn a_whole_frame_of_an_unknown_kind_is_not_the_end_of_the_log() {
    let mut file = File::new(NUMBER, 8, 1);
    file.group(0, &[20]);
    let unknown = file.group(1, &[20])[0];
    file.bytes[unknown + 20] = 77;
    reseal(&mut file.bytes[unknown..], INCARNATION);
    let (lsns, end, stop) = file.read(1);
    assert_eq!((lsns, end), (vec![1], unknown));
    let Stop::Refused(error) = stop else {
        panic!("{stop:?}");
    };
    assert_eq!(
        (error.kind, error.offset),
        (Unsupported, unknown as u64 + 20)
    );
    assert_eq!(file.evidence(end, 1), Some((unknown, 2, 1)));
}

#[test]
fn stray_bytes_behind_a_group_are_told_and_lose_nothing() {
    let mut file = File::new(NUMBER, 8, 1);
    file.group(0, &[20]);
    file.group(1, &[20]);
    let place = 2 * LOG_PAGE - 5;
    file.bytes[place] = 1;
    let mut cursor = FrameCursor::new(&file.bytes, log_file(NUMBER), Lsn(1));
    assert_eq!(cursor.by_ref().count(), 2);
    let stray = cursor.stray_bytes().unwrap();
    assert_eq!((stray.kind, stray.offset), (Invalid, place as u64));
    file.bytes[300] = 1;
    let cursor = FrameCursor::new(&file.bytes, log_file(NUMBER), Lsn(1));
    assert_eq!(cursor.stray_bytes().unwrap().offset, 300);
}

/// A whole frame of log file `number`, LSN 2 or more, which says that the LSN before it is durable,
/// for a log of `incarnation`; of bytes that are UTF-8.
fn text_frame(number: u64, incarnation: FileUuid) -> Option<String> {
    let file = LogIdentity {
        incarnation,
        file_number: number,
    };
    (2..128).find_map(|lsn| {
        let mut frame = Vec::new();
        append_frame(
            &mut frame,
            FrameKind::Note,
            file,
            Lsn(lsn),
            Lsn(lsn - 1),
            &[],
        )
        .unwrap();
        String::from_utf8(frame).ok()
    })
}

/// A batch whose only value is a string with `text` at the first page behind that of its frame.
fn batch_with(text: &str) -> Vec<u8> {
    let encoded = |string: String| {
        let values = Values::String([&*string].into_iter().collect());
        let column = Column {
            values,
            validity: None,
        };
        let mut batch = BatchEncoder::new();
        let (table, series) = (TableId(1), SeriesIds::One(SeriesId(1)));
        let columns = [(FieldId(1), &column)];
        batch
            .append_section(table, series, &[0], &columns, 0..1)
            .unwrap();
        batch.payload().to_vec()
    };
    let before = encoded("x".to_string());
    let string_at = FRAME_HEADER_LEN + before.iter().position(|&b| b == b'x').unwrap();
    encoded("-".repeat(LOG_PAGE - string_at) + text)
}

/// A file whose last group has lost its first page. The string in it stands at the next page, which
/// is where the log would go on if `text` were a frame.
fn torn_group_with(text: &str) -> File {
    let mut file = File::new(NUMBER, 8, 1);
    let mut group = Vec::new();
    let payload = batch_with(text);
    let identity = log_file(NUMBER);
    append_frame(
        &mut group,
        FrameKind::Batch,
        identity,
        Lsn(1),
        Lsn(0),
        &payload,
    )
    .unwrap();
    file.bytes[LOG_PAGE..LOG_PAGE + group.len()].copy_from_slice(&group);
    assert_eq!(
        &file.bytes[2 * LOG_PAGE..2 * LOG_PAGE + text.len()],
        text.as_bytes()
    );
    assert_eq!(file.read(1).0, [1], "whole, the batch is a frame");
    file.bytes[LOG_PAGE..2 * LOG_PAGE].fill(0);
    file
}

#[test]
fn a_string_cannot_forge_a_frame() {
    let known = text_frame(NUMBER, INCARNATION).unwrap();
    let file = torn_group_with(&known);
    assert!(
        file.evidence(LOG_PAGE, 1).is_some(),
        "with the incarnation it could"
    );
    // What a writer of values can know: the numbers, and how frames look.
    let mut crc_alone = known.into_bytes();
    let crc = crate::checksum::crc32(&crc_alone[8..]);
    crc_alone[4..8].copy_from_slice(&crc.to_le_bytes());
    let guesses = [FileUuid::default(), FileUuid([0x20; 16])];
    let guesses = guesses.into_iter().filter_map(|g| text_frame(NUMBER, g));
    let guesses: Vec<_> = guesses.chain(String::from_utf8(crc_alone)).collect();
    assert!(guesses.len() >= 2);
    for forged in guesses {
        let file = torn_group_with(&forged);
        let (lsns, end, stop) = file.read(1);
        assert_eq!((lsns, stop), (vec![], Stop::Zeros));
        assert_eq!(file.evidence(end, 1), None, "{forged:?}");
    }
}

#[test]
fn a_string_of_an_earlier_life_is_not_followed() {
    let read = |incarnation| {
        let forged = text_frame(NUMBER + 1, incarnation).unwrap();
        let mut file = torn_group_with(&forged).recycled(NUMBER + 1);
        let lsn = u64::from(forged.as_bytes()[32]);
        file.next = lsn - 1;
        file.group(0, &[20]);
        let (lsns, end, stop) = file.read(lsn - 1);
        (lsns.len(), stop, file.evidence(end, lsn - 1))
    };
    let (followed, _, _) = read(INCARNATION);
    assert_eq!(followed, 2, "with the incarnation it would be");
    let (followed, stop, evidence) = read(FileUuid::default());
    assert_invalid(&stop, Checksum, 2 * LOG_PAGE + 4);
    assert_eq!((followed, evidence), (1, None));
}

proptest! {
    /// Whatever pages of the last, unsynced group are lost, all before it is read, nothing is made
    /// up, and there is no talk of damage.
    #[test]
    fn losing_pages_of_the_last_group_loses_no_other(
        groups in prop::collection::vec(prop::collection::vec(0usize..6000, 1..4), 1..4),
        lost: u64,
        fill in prop::sample::select(vec![0u8, 0x5a]),
    ) {
        let mut file = File::new(NUMBER, 40, 1);
        let mut last = (LOG_PAGE, 1);
        for lens in &groups {
            last = (file.at, file.next);
            let durable = file.next - 1;
            file.group(durable, lens);
        }
        let pages = (last.0..file.at).step_by(LOG_PAGE).enumerate();
        for (_, page) in pages.filter(|(i, _)| lost >> i & 1 == 1) {
            file.bytes[page..page + LOG_PAGE].fill(fill);
        }
        let (lsns, end, stop) = file.read(1);
        prop_assert!(lsns.len() as u64 >= last.1 - 1);
        prop_assert!(!matches!(stop, Stop::Refused(_)));
        prop_assert_eq!(file.evidence(end, 1 + lsns.len() as u64), None);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..3 * LOG_PAGE),
        from: u64,
    ) {
        if let Some(place) = bytes.get_mut(LOG_PAGE..LOG_PAGE + 4) {
            place.copy_from_slice(&FRAME_MAGIC);
        }
        let _ = FrameCursor::new(&bytes, log_file(1), Lsn(1)).count();
        let _ = find_later_evidence(&bytes, from, log_file(1), Lsn(1));
    }
}

#[test]
fn damage_below_what_is_needed_is_stepped_over() {
    let mut file = File::new(NUMBER, 8, 1);
    let first = file.group(0, &[20, 20, 20]);
    file.group(3, &[20]);
    file.group(4, &[20]);
    let check = |damaged: &[usize], most: u64, expected: &[u64]| {
        let mut bytes = file.bytes.clone();
        damaged.iter().for_each(|at| bytes[*at] ^= 4);
        let mut cursor = FrameCursor::new(&bytes, log_file(NUMBER), Lsn(1));
        let mut lsns = Vec::new();
        loop {
            lsns.extend(cursor.by_ref().map(|frame| frame.header.lsn.0));
            if cursor.step_over(Lsn(most)).is_none() {
                break;
            }
        }
        assert_eq!(lsns, expected, "{damaged:?}, {most}");
    };
    check(&[], 5, &[1, 2, 3, 4, 5]);
    check(&[first[1] + 30], 1, &[1]);
    check(&[first[1] + 30], 2, &[1, 3, 4, 5]);
    check(&[first[0]], 2, &[2, 3, 4, 5]);
    check(&[first[1] + 66, first[2] + 10], 2, &[1]);
    check(&[first[1] + 66, first[2] + 10], 3, &[1, 4, 5]);
    check(&[first[0] + 5, 2 * LOG_PAGE + 5], 4, &[2, 3, 5]);
    check(&[3 * LOG_PAGE + 70], 9, &[1, 2, 3, 4]);
    // A magic in the midst of a group: the cursor stops at the page behind.
    check(&[first[1]], 1, &[1]);
    check(&[first[1]], 2, &[1, 3, 4, 5]);
    check(&[first[1], first[2]], 3, &[1, 4, 5]);
}

#[test]
fn damage_is_told_where_it_starts() {
    let mut file = File::new(NUMBER, 8, 1);
    let first = file.group(0, &[20, 20, 20]);
    file.group(3, &[20]);
    let check = |damaged: usize, expected: usize| {
        let mut bytes = file.bytes.clone();
        bytes[damaged] ^= 4;
        let mut cursor = FrameCursor::new(&bytes, log_file(NUMBER), Lsn(1));
        cursor.by_ref().for_each(drop);
        assert_eq!(cursor.damaged_at(), expected as u64, "{damaged}");
    };
    // Of a frame in the midst of a group the magic, behind which the cursor stops, or another byte.
    check(first[1], first[1]);
    check(first[1] + 30, first[1]);
    // The first one of a group.
    check(2 * LOG_PAGE, 2 * LOG_PAGE);
    check(2 * LOG_PAGE + 70, 2 * LOG_PAGE);
}

/// The cursor stops at the end of the file, and whole frames stand before it.
#[test]
fn a_damaged_magic_in_the_last_page_is_stepped_over() {
    let mut file = File::new(NUMBER, 2, 1);
    let group = file.group(0, &[20, 20, 20]);
    file.bytes[group[1]] ^= 4;
    let mut cursor = FrameCursor::new(&file.bytes, log_file(NUMBER), Lsn(1));
    assert_eq!(cursor.by_ref().count(), 1);
    assert_eq!(cursor.stop(), Some(&Stop::EndOfFile));
    assert_eq!(cursor.damaged_at(), group[1] as u64);
    assert_eq!(cursor.step_over(Lsn(2)), Some(Lsn(2)..=Lsn(2)));
    assert_eq!(cursor.next().map(|frame| frame.header.lsn), Some(Lsn(3)));
}
