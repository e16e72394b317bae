//! An owner's check for a segment of a higher generation.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::stat;

use super::attachment::Segment;
use super::backend::Backend;
use super::directory::generations;
use super::name::Place;

/// The largest share of its time that an owner spends on listing the directory:
/// one part in this many.
const SHARE: u32 = 50;
/// How long a change must be known before a listing, so that every change after
/// the listing has another timestamp.
const SETTLED: Duration = Duration::from_millis(200);
/// How often the directory is listed even if it does not seem to have changed.
const LONGEST: Duration = Duration::from_secs(60);

/// Searches the names of a key when they may have changed.
///
/// Any user may be able to create names there, as many and as often as he
/// likes. So the directory is listed only after it has changed, and only for a
/// small share of the time. A segment of a higher generation is therefore found
/// a little later: until then its users and those of this one each have a
/// living owner.
#[derive(Debug, Default)]
pub(crate) struct GenerationWatch {
    last: Option<Listing>,
}

#[derive(Debug)]
struct Listing {
    changed: Option<Change>,
    /// The time at which that change was first seen.
    first: Instant,
    at: Instant,
    cost: Duration,
}

/// The identity of a directory, and when it was changed.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    directory: (u64, u64),
    modified: (i64, u64),
    changed: (i64, u64),
}

impl GenerationWatch {
    /// Whether there is a segment of a higher generation that this process
    /// could use, as far as it has checked.
    pub fn finds_higher(&mut self, place: &Place, own: u64) -> bool {
        let files = place.backend == Backend::File;
        // Read before the listing, so that what appears during it counts as a
        // change after it.
        let changed = if files { last_change(&place.directory) } else { None };
        if files && !self.is_due(changed.as_ref()) {
            return false;
        }
        let at = Instant::now();
        let higher = generations(place).is_ok_and(|found| {
            let mut higher = found.into_iter().filter(|&generation| generation > own);
            higher.any(|newer| Segment::attach(place, newer).is_ok())
        });
        let same = self.last.as_ref().filter(|last| last.changed == changed);
        let first = same.map_or(at, |last| last.first);
        self.last = Some(Listing { changed, first, at, cost: at.elapsed() });
        higher
    }

    fn is_due(&self, changed: Option<&Change>) -> bool {
        let Some(last) = &self.last else { return true };
        let settled = last.at.saturating_duration_since(last.first) >= SETTLED;
        let same = changed.is_some() && last.changed.as_ref() == changed && settled;
        let pause = if same { LONGEST } else { (last.cost * SHARE).min(LONGEST) };
        last.at.elapsed() >= pause
    }
}

#[allow(clippy::unnecessary_cast, reason = "types differ between architectures")]
fn last_change(directory: &Path) -> Option<Change> {
    let found = stat(directory).ok()?;
    Some(Change {
        directory: (found.st_dev as u64, found.st_ino as u64),
        modified: (found.st_mtime as i64, found.st_mtime_nsec as u64),
        changed: (found.st_ctime as i64, found.st_ctime_nsec as u64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h125_a_directory_is_listed_when_it_has_changed_and_for_a_part_of_the_time() {
        let change =
            |nanos| Change { directory: (1, 1), modified: (7, nanos), changed: (7, nanos) };
        let after = |settled, cost, ago| {
            let at = Instant::now().checked_sub(ago).unwrap();
            let first = if settled { at.checked_sub(SETTLED).unwrap() } else { at };
            GenerationWatch { last: Some(Listing { changed: Some(change(0)), first, at, cost }) }
        };
        let (milli, second) = (Duration::from_millis(1), Duration::from_secs(1));
        assert!(GenerationWatch::default().is_due(Some(&change(0))));
        assert!(!after(true, milli, second).is_due(Some(&change(0))), "nothing has changed");
        assert!(after(true, milli, second).is_due(Some(&change(1))));
        assert!(after(false, milli, second).is_due(Some(&change(0))), "it may have changed");
        assert!(after(true, milli, second).is_due(None));
        assert!(!after(true, second, second).is_due(Some(&change(1))), "a list takes long");
        assert!(!after(false, second, second).is_due(Some(&change(0))));
    }
}
