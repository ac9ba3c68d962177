//! A line with no more points than a chart can show, whatever it is made of.

/// Time (ns) and value.
pub(super) type Point = (i64, f64);

/// The points of a line, thinned as they come by time: of each of many equal stretches of time the
/// lowest and the highest one stays, and so do the first and the last of all. No peak is lost, and
/// memory does not grow with the number of points.
#[derive(Debug)]
pub(super) struct Thinned {
    /// More stretches than this are put together by twos.
    most: usize,
    /// A stretch is 2 to the power of this long, ns, and starts at a multiple of it.
    power: u32,
    /// Those that have points, by time.
    stretches: Vec<Stretch>,
    ends: Option<(Point, Point)>,
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    number: i64,
    low: Point,
    high: Point,
}

impl Thinned {
    /// No points yet. There will be `most` stretches at most, and more than half of that once so
    /// many points have come, if they are spread evenly.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(2),
            power: 0,
            stretches: Vec::new(),
            ends: None,
        }
    }

    /// Adds a point that is not before the one added last.
    pub(super) fn push(&mut self, point: Point) {
        self.ends = Some((self.ends.map_or(point, |ends| ends.0), point));
        let stretch = Stretch {
            number: point.0 >> self.power,
            low: point,
            high: point,
        };
        match self.stretches.last_mut() {
            Some(last) if last.number == stretch.number => last.take_in(&stretch),
            _ => self.stretches.push(stretch),
        }
        while self.stretches.len() > self.most {
            self.put_together();
        }
    }

    /// Makes stretches twice as long.
    fn put_together(&mut self) {
        self.power += 1;
        for stretch in &mut self.stretches {
            stretch.number >>= 1;
        }
        self.stretches.dedup_by(|later, earlier| {
            let same = later.number == earlier.number;
            if same {
                earlier.take_in(later);
            }
            same
        });
    }

    /// The points that are left, by time.
    pub(super) fn into_points(self) -> Vec<Point> {
        let Some((first, last)) = self.ends else {
            return Vec::new();
        };
        let mut points = Vec::with_capacity(2 * self.stretches.len() + 2);
        points.push(first);
        for Stretch { low, high, .. } in self.stretches {
            let by_time = if low.0 <= high.0 {
                [low, high]
            } else {
                [high, low]
            };
            points.extend(by_time);
        }
        points.push(last);
        points.dedup();
        points
    }
}

impl Stretch {
    fn take_in(&mut self, later: &Self) {
        if later.low.1 < self.low.1 {
            self.low = later.low;
        }
        if later.high.1 > self.high.1 {
            self.high = later.high;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thin(points: &[Point], most: usize) -> Vec<Point> {
        let mut thinned = Thinned::new(most);
        for point in points {
            thinned.push(*point);
            assert!(
                thinned.stretches.len() <= most,
                "it is bounded all the time"
            );
        }
        thinned.into_points()
    }

    #[test]
    fn thinning_keeps_every_peak_and_both_ends() {
        let mut points: Vec<Point> = (0..10_000).map(|t| (t * 1000 - 7, 0.0)).collect();
        points[1234].1 = 9.0;
        points[7777].1 = -9.0;
        let thinned = thin(&points, 100);
        assert!((50..=202).contains(&thinned.len()), "{}", thinned.len());
        assert!(thinned.contains(&points[1234]) && thinned.contains(&points[7777]));
        assert_eq!(thinned.first(), points.first());
        assert_eq!(thinned.last(), points.last());
        assert!(thinned.is_sorted_by_key(|p| p.0));
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let points = [
            (i64::MIN, 1.0),
            (-1, 2.0),
            (0, 0.5),
            (1, 0.25),
            (i64::MAX, 3.0),
        ];
        assert_eq!(thin(&points, 10), points);
        assert_eq!(thin(&[], 10), []);
        assert_eq!(thin(&[(5, 1.0)], 10), [(5, 1.0)]);
    }

    #[test]
    fn all_of_time_fits_into_two_stretches() {
        let points: Vec<Point> = (-100..100i32)
            .map(|i| (i64::from(i) * (i64::MAX / 100), f64::from(i)))
            .collect();
        let thinned = thin(&points, 2);
        assert_eq!(thinned.first(), points.first());
        assert_eq!(thinned.last(), points.last());
        assert!(thinned.len() <= 6, "{thinned:?}");
    }
}
