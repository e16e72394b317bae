//! Histograms of how long passes and publications take.

use core::time::Duration;

use crate::layout::{Mapping, TIMES_BUCKETS, TIMES_KINDS};
use crate::protocol::{Head, load_owner};

/// The number of bounds; the last bucket has none.
const BOUNDS: usize = TIMES_BUCKETS - 1;

const fn scaled(unit: Duration) -> [Duration; BOUNDS] {
    // 1, 2.5 and 5 of each power of ten, up to 10,000 units.
    let tenths = [10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000];
    let mut bounds = [Duration::ZERO; BOUNDS];
    let mut index = 0;
    while index < BOUNDS {
        bounds[index] = Duration::from_nanos(unit.as_nanos() as u64 / 10 * tenths[index]);
        index += 1;
    }
    bounds
}

/// The bounds for passes: 1 ms to 10 s.
static PASSES: [Duration; BOUNDS] = scaled(Duration::from_millis(1));
/// The bounds for publications: 10 µs to 100 ms.
static PUBLICATIONS: [Duration; BOUNDS] = scaled(Duration::from_micros(10));

/// What the owner times. The order is that of the histograms in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timed {
    /// A pass, successful or not, from its first request to its end.
    Pass,
    /// A publication, from the comparison with the previous one until the map is
    /// live; if the segment had to grow for it, with that.
    Publication,
}

impl Timed {
    /// All of them.
    pub const ALL: [Timed; TIMES_KINDS] = [Timed::Pass, Timed::Publication];
    /// The word of the sum, behind the buckets.
    pub const SUM: usize = TIMES_BUCKETS;

    /// The inclusive upper bounds of all buckets but the last.
    pub fn bounds(self) -> &'static [Duration; BOUNDS] {
        match self {
            Timed::Pass => &PASSES,
            Timed::Publication => &PUBLICATIONS,
        }
    }

    /// The bucket of a duration.
    pub fn bucket_of(self, took: Duration) -> usize {
        self.bounds().partition_point(|&bound| bound < took)
    }

    /// The unit of the sum's word, so that its 48 bits last for years: 1 µs for
    /// passes, 10 ns for publications.
    fn unit_ns(self) -> u64 {
        match self {
            Timed::Pass => 1000,
            Timed::Publication => 10,
        }
    }

    /// A duration in units of the sum's word, rounded.
    pub fn units_of(self, took: Duration) -> u64 {
        let unit = u128::from(self.unit_ns());
        u64::try_from((took.as_nanos() + unit / 2) / unit).unwrap_or(u64::MAX)
    }
}

/// How long passes or publications took, since the segment was created.
///
/// The words of a histogram are independent: while it is read, `sum` may already
/// have what a bucket lacks. A process that writes arbitrary bytes to the segment
/// can make any numbers of them, but [`count`](Self::count) is always the sum of the
/// buckets, which can't overflow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histogram {
    /// The inclusive upper bounds of the buckets. The last bucket has none.
    pub bounds: &'static [Duration],
    /// How many durations fell in each bucket, and in no earlier one: one number
    /// more than bounds.
    pub buckets: Vec<u64>,
    /// The sum of all durations.
    pub sum: Duration,
}

impl Histogram {
    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        // A word's payload has 48 bits.
        self.buckets.iter().sum()
    }

    /// The histogram of the owner of that head; `None` if that has not continued it
    /// yet.
    pub(crate) fn read(mapping: &Mapping, head: Head, what: Timed) -> Option<Histogram> {
        let words = mapping.times(what as usize);
        let bucket = |index: usize| load_owner(&words[index], head);
        let buckets = (0..TIMES_BUCKETS).map(bucket).collect::<Option<Vec<u64>>>()?;
        let units = load_owner(&words[Timed::SUM], head)?;
        // At most 2^48 units of 1 µs.
        let sum = Duration::from_nanos(units * what.unit_ns());
        Some(Histogram { bounds: what.bounds(), buckets, sum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise_and_are_the_documented_ones() {
        for what in Timed::ALL {
            assert!(what.bounds().is_sorted_by(|before, after| before < after));
        }
        let ends = |what: Timed| (what.bounds()[0], what.bounds()[BOUNDS - 1]);
        assert_eq!(ends(Timed::Pass), (Duration::from_millis(1), Duration::from_secs(10)));
        let publications = (Duration::from_micros(10), Duration::from_millis(100));
        assert_eq!(ends(Timed::Publication), publications);
        assert_eq!(PASSES[1], Duration::from_micros(2500));
        assert_eq!(PUBLICATIONS[1], Duration::from_micros(25));
    }

    #[test]
    fn a_duration_falls_in_the_bucket_whose_bound_it_does_not_exceed() {
        let of = |ns| Timed::Pass.bucket_of(Duration::from_nanos(ns));
        assert_eq!([0, 1_000_000, 1_000_001, 2_500_000].map(of), [0, 0, 1, 1]);
        assert_eq!([10_000_000_000, 10_000_000_001, u64::MAX].map(of), [12, 13, 13]);
        assert_eq!(Timed::Pass.units_of(Duration::from_nanos(1500)), 2);
        assert_eq!(Timed::Publication.units_of(Duration::from_micros(6)), 600);
        assert_eq!(Timed::Publication.units_of(Duration::MAX), u64::MAX);
    }
}
