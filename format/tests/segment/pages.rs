//! Many series, and finding one's way to rows.

use tidestone_format::column::Values;
use tidestone_format::segment::Segment;
use tidestone_format::{FieldId, FieldType, SeriesId, TimeRange};

use crate::model::{Model, check};

fn many_series() -> Model {
    let series: Vec<(u64, usize)> = (1..=5000)
        .map(|i| (i * 3, 1 + (i as usize * 7) % 60))
        .collect();
    Model::build(&[FieldType::I64], &series, |_, row, column| {
        if let Values::I64(values) = &mut column.values {
            values.push(row as i64 % 1000);
        }
    })
}

#[test]
fn five_thousand_series() {
    let model = many_series();
    let (bytes, summary) = model.write(usize::MAX);
    check(&model, &bytes, &summary);
    let segment = Segment::open(&bytes).unwrap();
    let root = segment.root();
    assert_eq!(root.series_pages.len(), 5);
    assert_eq!(root.group_pages.len(), 3);
    assert_eq!(root.series_page_of(SeriesId(1)), None);
    assert_eq!(root.series_page_of(SeriesId(3)), Some(0));
    assert_eq!(root.series_page_of(SeriesId(1024 * 3)), Some(0));
    assert_eq!(root.series_page_of(SeriesId(1024 * 3 + 1)), None);
    assert_eq!(root.series_page_of(SeriesId(1025 * 3)), Some(1));
    assert_eq!(root.series_page_of(SeriesId(15_001)), None);
    let page = segment.series_page(1).unwrap();
    assert_eq!(page.find(SeriesId(1025 * 3)), Some(0));
    assert_eq!(page.find(SeriesId(1025 * 3 + 1)), None);
    assert!(segment.series_page(5).is_err());
    assert!(segment.group_page(3).is_err());
    assert!(page.key(1024).is_err());
}

#[test]
fn a_series_page_has_the_rows_up_to_the_next_one() {
    let (bytes, _) = many_series().write(usize::MAX);
    let segment = Segment::open(&bytes).unwrap();
    let mut root = segment.root().clone();
    for number in 0..5 {
        let page = segment.series_page(number).unwrap();
        root.check_series_page(number, &page).unwrap();
        let end = match root.series_pages.get_mut(number + 1) {
            Some(next) => &mut next.first_row,
            None => &mut root.rows,
        };
        *end -= 1;
        let error = root.check_series_page(number, &page).unwrap_err();
        assert_eq!(error.offset, root.series_pages[number].region.offset);
        assert!(error.to_string().contains("rows up to"), "{error}");
    }
}

#[test]
fn groups_are_found_by_row_and_time() {
    let model = many_series();
    let (bytes, _) = model.write(usize::MAX);
    let segment = Segment::open(&bytes).unwrap();
    let root = segment.root();
    let check = |rows: std::ops::Range<u64>, groups| assert_eq!(root.groups_of_rows(rows), groups);
    check(0..1, 0..1);
    check(0..65_536, 0..1);
    check(65_535..65_537, 0..2);
    check(65_536..65_536, 0..0);
    check(131_072..u64::MAX, 2..3);
    check(root.rows..u64::MAX, 0..0);
    let at = |start, end| root.groups_of_times(TimeRange { start, end }).count();
    assert_eq!(at(i64::MIN, i64::MAX), 3);
    assert_eq!(at(i64::MIN, -1), 0);
    assert!(root.column(FieldId(10)).is_some());
    assert!(root.column(FieldId(11)).is_none());
}

#[test]
fn everything_that_planning_needs_is_in_the_tail() {
    let (bytes, summary) = many_series().write(usize::MAX);
    let segment = Segment::open(&bytes).unwrap();
    let tail = summary.entry.file_len - u64::from(summary.entry.tail_len);
    let root = segment.root();
    let pages = root.series_pages.iter().map(|p| p.region);
    let groups = root.group_pages.iter().map(|p| p.region);
    assert!(pages.chain(groups).all(|region| region.offset >= tail));
    assert_eq!(root.series_pages[0].region.offset, tail);
}
