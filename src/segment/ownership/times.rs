//! How long passes and publications take, as histograms.

use super::Ownership;
use crate::protocol::add_owner;
use crate::times::Timed;
use core::time::Duration;

impl Ownership {
    /// Counts a pass or a publication that took this long.
    pub fn count_time(&self, what: Timed, took: Duration) {
        // A newer tag there means fenced or damaged, which the next iteration
        // detects.
        let Ok(memory) = self.memory() else { return };
        let words = memory.times(what as usize);
        let _ = add_owner(&words[what.bucket_of(took)], self.term(), 1);
        let _ = add_owner(&words[Timed::SUM], self.term(), what.units_of(took));
    }

    /// Continues the histograms of the previous owner under this one's term.
    pub(super) fn carry_times_over(&self) {
        let Ok(memory) = self.memory() else { return };
        for word in Timed::ALL.into_iter().flat_map(|what| memory.times(what as usize)) {
            let _ = add_owner(word, self.term(), 0);
        }
    }
}
