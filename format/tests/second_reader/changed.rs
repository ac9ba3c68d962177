//! Files and streams of which a byte was changed, their checksums made right again or not: both readers
//! read the same in them, or both refuse.

use tidestone_format::bytes::Reader;
use tidestone_format::codec::dictionary::Dictionary;
use tidestone_format::codec::{float, integer};
use tidestone_format::column::{Bitmap, Column, Values};
use tidestone_format::header::FileHeader;
use tidestone_format::manifest::Tier;
use tidestone_format::schema::{DuplicatePolicy, Field};
use tidestone_format::segment::{Segment, SegmentMeta, SegmentWriter};
use tidestone_format::{FieldId, FileUuid, Lsn, SeriesId, SeriesKey, TableId, TimeRange};

use crate::input::{Input, Result, Seen};
use crate::segment::regions;
use crate::{codec, first, goldens, header, log, manifest, segment};

/// What a byte becomes: with its lowest, highest, all bits turned; one more; the least and the greatest.
const CHANGES: [fn(u8) -> u8; 6] = [
    |byte| byte ^ 1,
    |byte| byte ^ 0x80,
    |byte| !byte,
    |byte| byte.wrapping_add(1),
    |_| 0,
    |_| 0xff,
];

fn golden(name: &str) -> Vec<u8> {
    let mut found = goldens().into_iter().filter(|(found, _)| found == name);
    found.next().unwrap().1
}

/// The golden files of a magic.
fn goldens_of(magic: &'static [u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let all = goldens().into_iter();
    all.filter(move |(_, file)| file.starts_with(magic))
}

/// What differs from `bytes` in one byte of `places`, and where.
fn changed(
    bytes: &[u8],
    places: impl IntoIterator<Item = usize>,
) -> impl Iterator<Item = (usize, Vec<u8>)> {
    places.into_iter().flat_map(move |at| {
        let to = CHANGES.map(|change| change(bytes[at]));
        let differ = to.into_iter().filter(move |&byte| byte != bytes[at]);
        differ.map(move |byte| {
            let mut other = bytes.to_vec();
            other[at] = byte;
            (at, other)
        })
    })
}

/// Fails unless both read the same, or refuse.
#[track_caller]
fn alike<T: PartialEq>(
    what: std::fmt::Arguments<'_>,
    second: Result<T>,
    first: std::result::Result<T, impl std::fmt::Display>,
) {
    match (second, first) {
        // Not `assert_eq`, which would show a whole file.
        (Ok(second), Ok(first)) => assert!(second == first, "{what}: read differently"),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => panic!("{what}: only the crate refuses: {error}"),
        (Err(error), Ok(_)) => panic!("{what}: only the second reader refuses: {error}"),
    }
}

fn same_manifest(what: std::fmt::Arguments<'_>, file: &[u8]) {
    let second = manifest::manifest(file, &mut Seen::new());
    alike(what, second, first::manifest(file));
}

fn same_log(what: std::fmt::Arguments<'_>, file: &[u8]) {
    alike(what, log::log(file, &mut Seen::new()), first::log(file));
}

fn same_segment(what: std::fmt::Arguments<'_>, file: &[u8]) {
    let second = segment::segment(file, &mut Seen::new());
    alike(what, second, first::segment(file));
}

#[test]
fn what_a_header_may_say_is_alike() {
    for (name, file) in goldens() {
        if file.len() < 192 {
            continue; // A record of processes.
        }
        for (at, mut header) in changed(&file[..192], 0..188) {
            let crc = crc32fast::hash(&header[..188]);
            header[188..].copy_from_slice(&crc.to_le_bytes());
            let decoded = FileHeader::decode(&header);
            alike(
                format_args!("{name} at {at}, resealed"),
                header::header(&header),
                decoded.map(|decoded| first::header(&decoded)),
            );
        }
    }
}

#[test]
fn a_manifest_ends_alike_wherever_it_is_cut_or_damaged() {
    for (name, file) in goldens_of(b"TidestMF") {
        for len in 0..file.len() {
            same_manifest(format_args!("{name} cut at {len}"), &file[..len]);
        }
        for at in (256..file.len()).step_by(8) {
            let mut zeroed = file.clone();
            zeroed[at..].fill(0);
            same_manifest(format_args!("{name} zeroed from {at}"), &zeroed);
        }
        for (at, file) in changed(&file, 0..file.len()) {
            same_manifest(format_args!("{name} at {at}"), &file);
        }
    }
}

/// The places where a magic stands, at multiples of 8 from `start` on.
fn places_of(magic: &[u8], file: &[u8], start: usize) -> Vec<usize> {
    let places = (start..file.len()).step_by(8);
    places.filter(|&at| file[at..].starts_with(magic)).collect()
}

fn u32_at(file: &[u8], at: usize) -> usize {
    Input::new(&file[at..]).u32().unwrap() as usize
}

#[test]
fn what_an_edit_may_say_is_alike() {
    for (name, file) in goldens_of(b"TidestMF") {
        for start in places_of(b"TSed", &file, 256) {
            let end = start + 24 + u32_at(&file, start + 4);
            let version_and_payload = (start + 8..start + 16).chain(start + 24..end);
            for (at, mut file) in changed(&file, version_and_payload) {
                let head = &file[start..start + 16];
                let covered = [&file[24..64], head, &file[start + 24..end]].concat();
                let crc = crc32fast::hash(&covered);
                file[start + 16..start + 20].copy_from_slice(&crc.to_le_bytes());
                same_manifest(format_args!("{name} at {at}, resealed"), &file);
            }
        }
    }
}

#[test]
fn a_log_ends_alike_wherever_it_is_damaged() {
    let file = golden("log.bin");
    let is_used = |at: &usize| file[*at] != 0 || at.is_multiple_of(64);
    for (at, file) in changed(&file, (0..file.len()).filter(is_used)) {
        same_log(format_args!("log at {at}"), &file);
    }
    for at in (log::PAGE..file.len()).step_by(8) {
        let mut zeroed = file.clone();
        zeroed[at..].fill(0);
        same_log(format_args!("log zeroed from {at}"), &zeroed);
        let mut zeroed = file.clone();
        let end = (at + 1).next_multiple_of(log::PAGE);
        zeroed[at..end].fill(0);
        same_log(format_args!("log zeroed from {at} to {end}"), &zeroed);
    }
}

#[test]
fn what_a_frame_may_say_is_alike() {
    let file = golden("log.bin");
    for start in places_of(b"TSfr", &file, log::PAGE) {
        let end = start + 64 + u32_at(&file, start + 12);
        for (at, mut file) in changed(&file, start + 16..end) {
            let crc = crc32fast::hash(&file[start + 64..end]);
            file[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
            let covered = [&file[40..56], &file[start + 8..start + 64]].concat();
            let crc = crc32fast::hash(&covered);
            file[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
            same_log(format_args!("log at {at}, resealed"), &file);
        }
    }
}

/// What `read` reads of all of the bytes.
fn whole<T>(bytes: &[u8], read: impl FnOnce(&mut Input<'_>) -> Result<T>) -> Result<T> {
    let mut input = Input::new(bytes);
    let read = read(&mut input)?;
    input.end()?;
    Ok(read)
}

#[test]
fn what_a_stream_of_integers_may_say_is_alike() {
    let outliers = |i: i64| if i % 100 == 7 { i << 40 } else { i % 5 };
    let step = |i: i64| if i > 500 { i + 70_000 } else { i };
    for values in [
        vec![7],
        vec![i64::MIN, i64::MAX, 0],
        vec![120, 150, 130, 160, 140, 170, 120, 9120],
        (0..20).map(|i| i * i * 1_000).collect(),
        (0..1024).map(outliers).collect(),
        (0..1024).map(|i| i * 1_000 + i % 3 * 10).collect(),
        (0..1000).map(step).collect(),
    ] {
        let mut bytes = Vec::new();
        integer::encode(&values, &mut bytes);
        let n = values.len();
        for (at, bytes) in changed(&bytes, 0..bytes.len()) {
            let mut first = vec![0; n];
            let mut reader = Reader::new(&bytes, "test");
            let decoded = integer::decode(&mut reader, &mut first);
            alike(
                format_args!("{n} integers, byte {at}"),
                whole(&bytes, |r| codec::integers(r, n, &mut Seen::new())),
                decoded.and_then(|()| reader.finish()).map(|()| first),
            );
        }
    }
}

#[test]
fn what_a_stream_of_floats_may_say_is_alike() {
    for values in [
        vec![1.5; 9],
        vec![0.0, -0.0],
        vec![20.5, 21.25, -0.0, 20.75],
        (0..300).map(|i| f64::from(i) / 8.0).collect(),
    ] {
        let mut bytes = Vec::new();
        float::encode(&values, &mut bytes);
        let n = values.len();
        for (at, bytes) in changed(&bytes, 0..bytes.len()) {
            let mut first = vec![0.0; n];
            let mut reader = Reader::new(&bytes, "test");
            let decoded = float::decode(&mut reader, &mut first);
            let first = first.into_iter().map(f64::to_bits).collect();
            alike(
                format_args!("{n} floats, byte {at}"),
                whole(&bytes, |r| codec::floats(r, n, &mut Seen::new())),
                decoded.and_then(|()| reader.finish()).map(|()| first),
            );
        }
    }
}

#[test]
fn what_a_dictionary_may_say_is_alike() {
    for (name, file) in goldens_of(b"TidestSG") {
        let segment = Segment::open(&file).unwrap();
        let root = segment.root();
        for dictionary in &root.dictionaries {
            let field = dictionary.field;
            let field_type = root.column(field).unwrap().field_type;
            let count = dictionary.values as usize;
            let bytes = segment.region(&dictionary.region).unwrap();
            let places = (0..bytes.len()).step_by(bytes.len() / 200 + 1);
            for (at, bytes) in changed(bytes, places) {
                let tag = field_type.tag();
                let first = Dictionary::decode(&bytes, field_type, count);
                alike(
                    format_args!("dictionary {field} of {name}, byte {at}"),
                    codec::dictionary(&bytes, tag, count, &mut Seen::new()),
                    first.map(|first| first::dictionary(&first)),
                );
            }
        }
    }
}

#[test]
fn a_damaged_segment_is_refused_by_both() {
    for name in ["segment-example.bin", "segment-one-row.bin"] {
        let file = golden(name);
        for (at, file) in changed(&file, 0..file.len()) {
            same_segment(format_args!("{name} at {at}"), &file);
        }
        for len in 0..file.len() {
            same_segment(format_args!("{name} cut at {len}"), &file[..len]);
        }
    }
}

/// Puts the right checksums of regions into those who point to them, up to the trailer.
fn reseal(file: &mut [u8], sound: &[u8]) {
    for region in regions(sound) {
        let (before, now) = (region.checksum(sound), region.checksum(file));
        let before = before.to_le_bytes();
        let mut places = sound.windows(4).enumerate();
        let place = places.find(|(_, word)| *word == before).unwrap().0;
        assert!(places.all(|(_, word)| word != before), "one such word");
        if now.to_le_bytes() != before {
            file[place..place + 4].copy_from_slice(&now.to_le_bytes());
        }
    }
    let trailer = file.len() - 64;
    let crc = crc32fast::hash(&file[trailer..trailer + 52]);
    file[trailer + 52..trailer + 56].copy_from_slice(&crc.to_le_bytes());
}

fn resealed_alike(name: &str, sound: &[u8], step: usize) {
    for (at, mut file) in changed(sound, (192..sound.len()).step_by(step)) {
        reseal(&mut file, sound);
        same_segment(format_args!("{name} at {at}, resealed"), &file);
    }
}

/// A segment of few rows of every type, with nulls and NaN.
fn small_segment() -> Vec<u8> {
    let mut nulls = Bitmap::new();
    let bits = [true, false, true, true, false];
    bits.into_iter().for_each(|bit| nulls.push(bit));
    let columns = [
        Values::F64(vec![20.5, 0.0, f64::NAN, -3.25, 0.0]),
        Values::F64(vec![20.5, 20.75, 20.25, 21.0, 20.0]),
        Values::I64(vec![5, 0, -7, 100, 0]),
        Values::I64(vec![8; 5]),
        Values::U64(vec![1 << 40, 3, 9, u64::MAX, 2]),
        Values::Bool(vec![true, false, false, true, false]),
        Values::String(["a", "", "ß", "long", ""].into_iter().collect()),
    ];
    let columns = columns.map(|values| Column {
        validity: (!matches!(values, Values::U64(_))).then(|| nulls.clone()),
        values,
    });
    let fields = (1..).zip(&columns).map(|(id, column)| Field {
        id: FieldId(id),
        name: format!("f{id}"),
        field_type: column.values.field_type(),
    });
    let meta = SegmentMeta {
        database: FileUuid([1; 16]),
        uuid: FileUuid([2; 16]),
        table: TableId(3),
        partition: TimeRange {
            start: -1_000,
            end: 1_000,
        },
        fields: fields.collect(),
        policy: DuplicatePolicy::All,
        tier: Tier::Hot,
        first_lsn: Lsn(4),
        last_lsn: Lsn(5),
    };
    let mut bytes = Vec::new();
    let mut writer = SegmentWriter::new(&mut bytes, meta).unwrap();
    let times = [-5, 7, 7, 1, 900];
    for (id, rows) in [(6, 0..3), (9, 3..5)] {
        let key = SeriesKey::new([("host", id.to_string())]).unwrap();
        writer
            .push(SeriesId(id), &key, &times, &columns, rows)
            .unwrap();
    }
    writer.finish().unwrap();
    bytes
}

#[test]
fn what_a_small_segment_may_say_is_alike() {
    let sound = small_segment();
    let mut seen = Seen::new();
    segment::segment(&sound, &mut seen).unwrap();
    for encoding in [3, 4, 7, 8] {
        assert!(seen.contains(&("encoding", encoding)), "{encoding}");
    }
    resealed_alike("a small segment", &sound, 1);
}

#[test]
fn what_a_segment_may_say_is_alike() {
    for (name, step) in [
        ("segment-example.bin", 1),
        ("segment-one-row.bin", 1),
        ("segment-every-encoding.bin", 7_001),
        ("segment-every-combination.bin", 9_973),
        ("segment-many-series.bin", 8_009),
    ] {
        resealed_alike(name, &golden(name), step);
    }
}
