//! What is chosen is played to its end, over tables of a simulation that knows of each segment how many
//! rows it has of which partition.

use std::ops::RangeInclusive;

use super::*;

/// Merges after which there seems to be no end.
const NO_END: usize = 2_000;

#[derive(Debug, Clone, Default)]
struct Simulated {
    segments: Vec<Candidate>,
    /// Of each segment: its rows, hidden ones too, by partition.
    rows: Vec<BTreeMap<i64, u64>>,
    deletes: Vec<Delete>,
    /// The partition before which rows are gone.
    horizon: i64,
}

/// A delete of some series: it hides the rows of each second, third... of some partitions.
#[derive(Debug, Clone)]
struct Delete {
    lsn: u64,
    partitions: RangeInclusive<i64>,
    each: i64,
}

impl Simulated {
    /// Adds a segment that spans the partitions of its rows.
    fn add(&mut self, lsns: (u64, u64), rows: BTreeMap<i64, u64>) {
        let (Some((&from, _)), Some((&to, _))) = (rows.first_key_value(), rows.last_key_value())
        else {
            return;
        };
        let mut added = segment(from, lsns.0, lsns.1, rows.values().sum());
        added.partition.end = partition_number(to).end;
        added.late = from < to;
        self.segments.push(added);
        self.rows.push(rows);
    }

    /// A flush of rows: the newest partitions get segments of their own, the others share one.
    fn flush(&mut self, lsn: u64, mut rows: BTreeMap<i64, u64>, most: usize) {
        let newest = rows.keys().rev().nth(most.saturating_sub(1)).copied();
        if let Some(newest) = newest {
            for (partition, count) in rows.split_off(&newest) {
                self.add((lsn, lsn), BTreeMap::from([(partition, count)]));
            }
        }
        self.add((lsn, lsn), rows);
    }

    fn is_hidden(&self, last: Lsn, partition: i64) -> bool {
        let mut deletes = self.deletes.iter();
        partition < self.horizon
            || deletes.any(|d| {
                d.lsn > last.0 && d.partitions.contains(&partition) && partition % d.each == 0
            })
    }

    /// The rows that a query finds, by partition.
    fn visible(&self) -> BTreeMap<i64, u64> {
        let mut visible = BTreeMap::new();
        for (segment, rows) in self.segments.iter().zip(&self.rows) {
            for (&partition, &count) in rows {
                if !self.is_hidden(segment.last, partition) {
                    *visible.entry(partition).or_default() += count;
                }
            }
        }
        visible
    }

    /// Tells the segments what hides rows of them, as far as their first and last row tell.
    fn mark(&mut self) {
        for (segment, rows) in self.segments.iter_mut().zip(&self.rows) {
            let (Some((from, _)), Some((to, _))) = (rows.first_key_value(), rows.last_key_value())
            else {
                continue;
            };
            let hiding = self.deletes.iter().filter(|d| {
                d.lsn > segment.last.0 && d.partitions.start() <= to && from <= d.partitions.end()
            });
            segment.hidden_by = hiding.map(|d| Lsn(d.lsn)).min();
            segment.behind = *from < self.horizon;
        }
    }

    /// Does what a merge does.
    fn merge(&mut self, choice: &Choice) {
        let span = span_of(&self.segments, &choice.inputs);
        let mut rows: BTreeMap<i64, u64> = BTreeMap::new();
        for &i in &choice.inputs {
            for (&partition, &count) in &self.rows[i] {
                if !self.is_hidden(self.segments[i].last, partition) {
                    *rows.entry(partition).or_default() += count;
                }
            }
        }
        let numbered = self.segments.iter().cloned().zip(self.rows.clone());
        let kept = numbered
            .enumerate()
            .filter(|(i, _)| !choice.inputs.contains(i));
        (self.segments, self.rows) = kept.map(|(_, kept)| kept).unzip();
        let counted: Vec<_> = rows
            .iter()
            .map(|(&p, &r)| (partition_number(p), r))
            .collect();
        let applied = self.deletes.iter().map(|d| d.lsn).max().unwrap_or(0);
        for piece in pieces(&counted, &choice.cuts) {
            let newer = self
                .segments
                .iter()
                .filter(|s| s.first > span.last && s.partition.overlaps(&piece));
            let below = newer.map(|s| s.first.0 - 1).min().unwrap_or(u64::MAX);
            let last = span.last.0.max(applied.min(below));
            let of_piece = rows
                .iter()
                .filter(|(p, _)| piece.overlaps(&partition_number(**p)));
            let of_piece = of_piece.map(|(&p, &r)| (p, r)).collect();
            self.add((span.first.0, last), of_piece);
        }
    }

    /// Merges until nothing is worth it, and checks each step and the end.
    fn play(&mut self, eagerness: Eagerness, limits: Limits, what: &str) {
        let visible = self.visible();
        let last_delete = self.deletes.iter().map(|d| Lsn(d.lsn)).max();
        for merges in 0.. {
            assert!(merges < NO_END, "{what}: no end");
            self.mark();
            let Some(choice) = super::super::choose(&self.segments, last_delete, eagerness, limits)
            else {
                break;
            };
            let given_up = choice.inputs.iter().any(|&i| self.segments[i].given_up);
            assert!(!given_up, "{what}: {choice:?}");
            assert!(
                are_neighbours(&self.segments, &choice.inputs),
                "{what}: {choice:?}"
            );
            self.merge(&choice);
            self.check_order(what);
        }
        assert_eq!(self.visible(), visible, "{what}");
        if eagerness == Everything {
            self.check_applied(what);
        }
    }

    fn check_order(&self, what: &str) {
        for (i, a) in self.segments.iter().enumerate() {
            for b in &self.segments[..i] {
                let apart = a.last < b.first || b.last < a.first;
                let overlap = a.partition.overlaps(&b.partition);
                assert!(apart || !overlap, "{what}: {a:?} and {b:?}");
            }
        }
    }

    /// Nothing is stale, but where a segment that cannot be merged may be the cause.
    fn check_applied(&self, what: &str) {
        for stale in self.segments.iter().filter(|s| s.is_stale()) {
            let mut reached = stale.partition;
            loop {
                let of = self
                    .segments
                    .iter()
                    .filter(|s| s.partition.overlaps(&reached));
                let start = of.clone().map(|s| s.partition.start).min();
                let end = of.map(|s| s.partition.end).max();
                let wider = TimeRange {
                    start: start.unwrap_or(reached.start),
                    end: end.unwrap_or(reached.end),
                };
                if wider == reached {
                    break;
                }
                reached = wider;
            }
            let mut given_up = self.segments.iter().filter(|s| s.given_up);
            let excused = given_up.any(|s| s.partition.overlaps(&reached));
            assert!(excused, "{what}: {stale:?} could apply a delete");
        }
    }
}

/// Numbers from 0 up to what is given, that one not included.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % sides
    }
}

fn some_limits(roll: &mut impl FnMut(u64) -> u64) -> Limits {
    match roll(3) {
        0 => NO_LIMITS,
        _ => Limits {
            rows: [10, 1_000, 100_000][usize::try_from(roll(3)).unwrap()],
            ..NO_LIMITS
        },
    }
}

/// Rows of some of `width` partitions.
fn some_rows(from: i64, width: u64, roll: &mut impl FnMut(u64) -> u64) -> BTreeMap<i64, u64> {
    let most = [3, 300, 30_000, 90_000][usize::try_from(roll(4)).unwrap()];
    (0..width)
        .map(|_| (from + roll(width).cast_signed(), 1 + roll(most)))
        .collect()
}

fn some_delete(lsn: u64, roll: &mut impl FnMut(u64) -> u64) -> Delete {
    let from = roll(50).cast_signed();
    let partitions = match roll(2) {
        0 => i64::MIN..=i64::MAX,
        _ => from..=from + roll(8).cast_signed(),
    };
    Delete {
        lsn,
        partitions,
        each: 1 + roll(3).cast_signed(),
    }
}

#[test]
fn random_histories_keep_the_order_and_come_to_an_end() {
    for seed in 0..300u64 {
        let mut roll = dice(seed);
        let mut table = Simulated::default();
        let limits = some_limits(&mut roll);
        for round in 1..25u64 {
            let lsn = round * 10;
            let (width, from) = (1 + roll(30), roll(20).cast_signed());
            table.flush(lsn, some_rows(from, width, &mut roll), 4);
            if roll(4) == 0 {
                table.deletes.push(some_delete(lsn + 5, &mut roll));
            }
            if roll(12) == 0 {
                table.horizon += roll(6).cast_signed();
            }
            // In some histories segments turn out to be damaged.
            if seed % 4 == 0 && roll(4) == 0 && !table.segments.is_empty() {
                let at = usize::try_from(roll(table.segments.len() as u64)).unwrap();
                table.segments[at].given_up = true;
            }
            let eagerness = if roll(4) == 0 { Everything } else { Worthwhile };
            table.play(eagerness, limits, &format!("seed {seed}, round {round}"));
        }
    }
}

/// Segments as no history of a few flushes leaves them: late ones over each other and over others in any
/// way.
#[test]
fn random_tables_are_merged_to_an_end_and_have_applied_every_delete() {
    for seed in 0..3_000u64 {
        let mut roll = dice(seed);
        let mut table = Simulated::default();
        let late = 1 + roll(4);
        for _ in 0..5 + roll(40) {
            let width = if roll(4) < late { 2 + roll(25) } else { 1 };
            let first = 2 * roll(40);
            let lsns = (first, first + 2 * roll(6));
            let before = table.clone();
            table.add(lsns, some_rows(roll(50).cast_signed(), width, &mut roll));
            let (added, others) = table.segments.split_last().unwrap();
            let clashes = others.iter().any(|s| {
                let apart = s.last < added.first || added.last < s.first;
                !apart && s.partition.overlaps(&added.partition)
            });
            if clashes {
                table = before;
            }
        }
        for _ in 0..1 + roll(4) {
            let lsn = 1 + 2 * roll(60);
            table.deletes.push(some_delete(lsn, &mut roll));
        }
        table.horizon = [0, roll(20).cast_signed()][usize::try_from(roll(2)).unwrap()];
        if seed % 3 == 0 {
            for segment in &mut table.segments {
                segment.given_up = roll(12) == 0;
            }
        }
        let limits = some_limits(&mut roll);
        table.play(Everything, limits, &format!("seed {seed}"));
    }
}

/// Each late segment was cut into its partitions.
#[test]
fn a_delete_of_rows_scattered_over_thousands_of_partitions_leaves_few_segments() {
    const PARTITIONS: i64 = 3_000;
    let check = |flushes: u64, delete: RangeInclusive<i64>, each: i64| {
        let what = format!("{flushes} flushes, {delete:?}, {each}");
        let mut roll = dice(flushes);
        let mut rows = vec![BTreeMap::new(); usize::try_from(flushes).unwrap()];
        for partition in 0..PARTITIONS {
            let flush = usize::try_from(roll(flushes)).unwrap();
            rows[flush].insert(partition, 1);
        }
        let mut table = Simulated::default();
        for (lsn, rows) in (1..).zip(rows) {
            table.flush(lsn, rows, 16);
        }
        let before = table.segments.len();
        table.deletes.push(Delete {
            lsn: 1 + flushes,
            partitions: delete,
            each,
        });
        table.play(Everything, NO_LIMITS, &what);
        let after = table.segments.len();
        // A few more than before, where pieces between partitions that have segments are single ones.
        assert!(
            after <= before + before / 2,
            "{what}: {before} before, {after} after"
        );
    };
    for flushes in [2, 3, 10, 30] {
        check(flushes, i64::MIN..=i64::MAX, 2);
        check(flushes, 0..=PARTITIONS / 2, 1);
        check(flushes, PARTITIONS / 2..=PARTITIONS, 1);
        check(flushes, 1_000..=1_001, 1);
    }
}
