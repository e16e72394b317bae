//! The racks that a process prefers, for all of its routers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Preferred racks, and how often they were changed. Memory of one process.
#[derive(Debug, Default)]
pub(crate) struct PreferredRacks {
    version: AtomicU64,
    racks: Mutex<Vec<i32>>,
}

impl PreferredRacks {
    /// These racks, the best first.
    #[cfg(any(test, feature = "tend"))]
    pub fn new(racks: &[i32]) -> PreferredRacks {
        PreferredRacks { version: AtomicU64::new(1), racks: Mutex::new(racks.to_vec()) }
    }

    /// Others from now on.
    pub fn set(&self, racks: &[i32]) {
        let mut known = self.racks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.clear();
        known.extend_from_slice(racks);
        // Release: pairs with the Acquire of `newer`.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Whether they were changed since that version.
    #[inline]
    pub fn is_newer(&self, seen: u64) -> bool {
        // Acquire: pairs with the Release of `set`.
        self.version.load(Ordering::Acquire) != seen
    }

    /// The racks and their version; `None` while another thread changes them.
    /// (In a forked child that may be for ever: then it goes on with those it
    /// has.)
    pub fn get(&self) -> Option<(u64, Vec<i32>)> {
        let racks = self.racks.try_lock().ok()?;
        Some((self.version.load(Ordering::Acquire), racks.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_once() {
        let preferred = PreferredRacks::new(&[1]);
        assert!(preferred.is_newer(0));
        let (seen, racks) = preferred.get().unwrap();
        assert!(racks == [1] && !preferred.is_newer(seen));
        preferred.set(&[2, 1]);
        assert!(preferred.is_newer(seen));
        assert_eq!(preferred.get().unwrap().1, [2, 1]);
    }
}
