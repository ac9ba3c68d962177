//! Setting right what a manifest file holds beside its edits: bytes that are the same whatever it says.
//!
//! These are the zeros between header and first edit, in the header of an edit and behind its payload, and the
//! seals, which are edits without entries. No checksum is over the zeros, and that of a seal is over nothing
//! that is not known. So damage there is undone, and costs no edit.

use super::edit::{
    CRC_AT, EDIT_ALIGN, EDIT_HEADER_LEN, EDITS_START, Edit, EditCursor, ManifestIdentity, Stop,
    WholeEdit, append_edit,
};
use crate::FormatError;
use crate::header::HEADER_LEN;

const WHAT: &str = "manifest";

/// A manifest file whose damage cost nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The file as it was before the damage, as far as that could be told.
    pub bytes: Vec<u8>,
    /// The first thing that was wrong.
    pub error: FormatError,
}

/// Sets right what is damaged of a manifest file and holds nothing, up to damage that cost something; `None` if
/// there is nothing of that kind. The header of the file has been decoded before and says `file`.
///
/// ```
/// use tidestone_format::header::{FileHeader, HEADER_LEN};
/// use tidestone_format::manifest::{ManifestIdentity, mend};
///
/// # fn show(file: &[u8]) -> tidestone_format::Result<()> {
/// let identity = ManifestIdentity::of(&FileHeader::decode(file)?);
/// if let Some(mended) = mend(file, identity) {
///     println!("{} cost nothing", mended.error);
/// }
/// # Ok(())
/// # }
/// ```
pub fn mend(file_bytes: &[u8], file: ManifestIdentity) -> Option<Mended> {
    let mut bytes = file_bytes.to_vec();
    let mut first = None;
    let padding = bytes.get_mut(HEADER_LEN..EDITS_START)?;
    if let Some(at) = padding.iter().position(|&b| b != 0) {
        let found = format_args!("{}", padding[at]);
        let at = (HEADER_LEN + at) as u64;
        first = Some(FormatError::invalid(WHAT, at, "a zero byte", found));
        padding.fill(0);
    }
    loop {
        let mut cursor = EditCursor::new(&bytes, file);
        cursor.by_ref().for_each(drop);
        let Some(Stop::Invalid(error)) = cursor.stop() else {
            break;
        };
        let at = usize::try_from(cursor.offset()).ok()?;
        let before = cursor.version().unwrap_or(0);
        let right =
            without_padding(&bytes, file, at, before).or_else(|| seal(&bytes, file, at, before));
        let Some(right) = right else {
            break;
        };
        first.get_or_insert(error.clone());
        bytes[at..at + right.len()].copy_from_slice(&right);
    }
    first.map(|error| Mended { bytes, error })
}

/// The edit at `at`, which is of the version after `before`, if it is whole but for its zeros.
fn without_padding(
    bytes: &[u8],
    file: ManifestIdentity,
    at: usize,
    before: u64,
) -> Option<Vec<u8>> {
    let header = bytes.get(at..at.checked_add(EDIT_HEADER_LEN)?)?;
    let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    let padded = EDIT_HEADER_LEN
        .checked_add(len)?
        .checked_next_multiple_of(EDIT_ALIGN)?;
    let here = bytes.get(at..at.checked_add(padded)?)?;
    let mut right = here.to_vec();
    right[CRC_AT + 4..EDIT_HEADER_LEN].fill(0);
    right[EDIT_HEADER_LEN + len..].fill(0);
    let edit = WholeEdit::at(&right, file, 0).ok()?;
    let is_next = before == 0 || before.checked_add(1) == Some(edit.version);
    (is_next && right != here).then_some(right)
}

/// The seal that stood at `at`, if the edit behind it is the one after it.
fn seal(bytes: &[u8], file: ManifestIdentity, at: usize, before: u64) -> Option<Vec<u8>> {
    let version = before.checked_add(1).filter(|_| before > 0)?;
    let behind = at.checked_add(EDIT_HEADER_LEN)?;
    let is_followed = match WholeEdit::at(bytes, file, behind) {
        Ok(edit) => version.checked_add(1) == Some(edit.version),
        Err(_) => without_padding(bytes, file, behind, version).is_some(),
    };
    if !is_followed {
        return None;
    }
    let mut seal = Vec::with_capacity(EDIT_HEADER_LEN);
    let entries = Vec::new();
    append_edit(&mut seal, file, &Edit { version, entries }).ok()?;
    (bytes.get(at..behind) != Some(&seal[..])).then_some(seal)
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, replay, replay_up_to_damage};
    use super::*;
    use crate::{FileUuid, Lsn};

    const FILE: ManifestIdentity = ManifestIdentity {
        database: FileUuid([1; 16]),
        incarnation: FileUuid([2; 16]),
        number: 3,
    };

    /// A snapshot, then edits each with a seal behind it; of some payloads the length is no multiple of 8.
    fn sound() -> Vec<u8> {
        let mut bytes = vec![0; EDITS_START];
        bytes[..HEADER_LEN].fill(7);
        let mut put = |version, entries| {
            append_edit(&mut bytes, FILE, &Edit { version, entries }).unwrap();
        };
        put(1, vec![Entry::Incarnation(FILE.incarnation)]);
        for version in (2..8).step_by(2) {
            put(version, vec![Entry::Flushed(Lsn(version))]);
            put(version + 1, Vec::new());
        }
        put(8, vec![Entry::Flushed(Lsn(8))]);
        bytes.resize(bytes.len() + 64, 0);
        bytes
    }

    #[test]
    fn a_bit_that_tells_nothing_is_set_right_wherever_it_is() {
        let sound = sound();
        let expected = replay(&sound, FILE).unwrap();
        assert_eq!(expected.version, 8);
        assert_eq!(mend(&sound, FILE), None);
        let end = usize::try_from(expected.end).unwrap();
        let mut cursor = EditCursor::new(&sound, FILE);
        let mut holds_nothing: Vec<usize> = (HEADER_LEN..EDITS_START).collect();
        let mut is_padded = false;
        for located in cursor.by_ref() {
            let at = usize::try_from(located.offset).unwrap();
            let edit_end = usize::try_from(located.end).unwrap();
            let is_seal = located.edit.entries.is_empty();
            let len = sound[at + 4] as usize;
            is_padded |= at + EDIT_HEADER_LEN + len < edit_end;
            holds_nothing.extend((at..edit_end).filter(|byte| {
                is_seal
                    || (CRC_AT + 4..EDIT_HEADER_LEN).contains(&(byte - at))
                    || *byte >= at + EDIT_HEADER_LEN + len
            }));
        }
        assert!(is_padded);
        for at in HEADER_LEN..end {
            let mut damaged = sound.clone();
            damaged[at] ^= 0x10;
            let mended = mend(&damaged, FILE);
            if holds_nothing.contains(&at) {
                assert!(mended.is_some_and(|m| m.bytes == sound), "{at}");
            } else {
                assert!(mended.is_none(), "{at}");
            }
        }
        // Several at once, up to what cost something.
        let mut damaged = sound.clone();
        for &at in holds_nothing.iter().step_by(9) {
            damaged[at] = 0xff;
        }
        assert!(mend(&damaged, FILE).unwrap().bytes == sound);
        // A seal is told by the edit behind it: that before the last one is not, nor is it missed.
        let last = end - EDIT_ALIGN;
        damaged[last] ^= 1;
        let mended = mend(&damaged, FILE).unwrap().bytes;
        let (replay, _) = replay_up_to_damage(&mended, FILE).unwrap();
        assert_eq!(replay.version, 6);
        let upto = usize::try_from(replay.end).unwrap();
        assert!(mended[..upto] == sound[..upto]);
    }
}
