//! Rows by time where they are much denser than elsewhere: few are held at once all the same.

use super::*;
use crate::Batch;
use crate::query::by_time::MOST_OF_PLANNED;

/// Rows a query that is limited to so many plans to sort at once.
const PLANNED: usize = 8_000;
/// A vector or a slice that was begun is taken in whole.
const BEGUN: usize = 2 * 8_192;

/// Checks that the rows of a query by time, both ways, are those by series, sorted, as far as
/// `PLANNED` go at a time, and that no more were held than planned. Says how many were held.
fn check(table: &Table) -> usize {
    let mut expected = Vec::new();
    table
        .query()
        .scan()
        .unwrap()
        .visit(|batch| {
            let of_row = (0..batch.len()).map(|row| (batch.times()[row], batch.series(row).0));
            expected.extend(of_row);
            Ok(())
        })
        .unwrap();
    let mut most = 0;
    for (order, descending) in [(Order::Time, false), (Order::TimeDescending, true)] {
        expected.sort_by_key(|(time, series)| (if descending { -time } else { *time }, *series));
        let mut at = 0;
        while at < expected.len() {
            // The limit is what makes windows small; each query goes on where the last one ended.
            let range = match expected[at].0 {
                end if descending => TimeRange {
                    start: i64::MIN,
                    end,
                },
                start => TimeRange {
                    start,
                    end: i64::MAX,
                },
            };
            let skip = expected[..at].iter().rev();
            let skip = skip.take_while(|row| row.0 == expected[at].0).count();
            let query = table.query().range(range).order(order);
            let mut stream = query.limit(PLANNED + skip).scan().unwrap();
            let mut rows = Vec::new();
            stream
                .visit(|batch| {
                    rows.extend((0..batch.len()).map(|r| (batch.times()[r], batch.series(r).0)));
                    Ok(())
                })
                .unwrap();
            let end = expected.len().min(at + PLANNED);
            assert!(
                rows[skip..] == expected[at..end],
                "rows {at} to {end}, {order:?}"
            );
            at = end;
            let held = usize::try_from(stream.profile().most_rows_sorted).unwrap();
            let bound = MOST_OF_PLANNED * (PLANNED + skip) + BEGUN;
            assert!(held <= bound, "{held} rows were held at once");
            most = most.max(held);
        }
    }
    most
}

/// One row a second for 2,000 seconds, of two hosts, and within one of those seconds 40,000 of each.
fn burst(db: &Tidestone, table: &Table) {
    for host in ["a", "b"] {
        let series = table.series(&[("host", host)]).unwrap();
        let calm = (0..2_000).map(|i| i * S);
        let burst = (1..40_000).map(|i| 1_000 * S + i * (S / 40_000));
        let mut times: Vec<i64> = calm.chain(burst).collect();
        times.sort_unstable();
        let prices = times.iter().map(|t| *t as f64).collect();
        let mut writer = db.writer();
        writer
            .append_batch(Batch::of_series(&series, times).f64("price", prices))
            .unwrap();
        drop(writer.commit().unwrap());
    }
}

#[test]
fn a_burst_is_given_in_small_windows() {
    let (db, table) = table(DuplicatePolicy::Replace);
    burst(&db, &table);
    let in_memory = check(&table);
    db.flush().unwrap();
    let in_segments = check(&table);
    for most in [in_memory, in_segments] {
        assert!(most > PLANNED, "windows were too long: {most}");
    }
    // Overlapping the segments, so that rows are merged.
    let rows: Vec<_> = (0..2_000).map(|i| ("a", i * S + 1, 0.5, 1)).collect();
    write(&db, &table, &rows);
    db.flush().unwrap();
    check(&table);
}

#[test]
fn a_whole_table_by_time_holds_a_few_windows() {
    let (db, table) = table(DuplicatePolicy::All);
    let series = table.series(&[("host", "a")]).unwrap();
    let mut writer = db.writer();
    for part in 0..20 {
        // A calm hour, with a second in it that has a million rows.
        let times: Vec<i64> = (0..50_000).map(|i| 1_800 * S + part * 50_000 + i).collect();
        let prices = vec![0.0; times.len()];
        writer
            .append_batch(Batch::of_series(&series, times).f64("price", prices))
            .unwrap();
        writer
            .append(&series, part * 180 * S, &[Value::F64(1.0)])
            .unwrap();
        drop(writer.commit().unwrap());
    }
    db.flush().unwrap();
    let mut stream = table.query().order(Order::Time).scan().unwrap();
    let (mut rows, mut last) = (0, i64::MIN);
    stream
        .visit(|batch| {
            assert!(batch.times().is_sorted() && batch.times()[0] >= last);
            last = batch.times()[batch.len() - 1];
            rows += batch.len();
            Ok(())
        })
        .unwrap();
    assert_eq!(rows, 20 * 50_001);
    let held = usize::try_from(stream.profile().most_rows_sorted).unwrap();
    assert!(held <= MOST_OF_PLANNED * 262_144 + BEGUN, "{held}");
}

#[test]
fn many_rows_of_one_moment_are_not_sorted_at_all() {
    let (db, table) = table(DuplicatePolicy::All);
    let mut writer = db.writer();
    for host in ["a", "b", "c"] {
        let series = table.series(&[("host", host)]).unwrap();
        for time in [5, 7] {
            let times = vec![time * S; 15_000];
            let prices = vec![time as f64; times.len()];
            writer
                .append_batch(Batch::of_series(&series, times).f64("price", prices))
                .unwrap();
        }
    }
    drop(writer.commit().unwrap());
    check(&table);
    db.flush().unwrap();
    check(&table);
}
