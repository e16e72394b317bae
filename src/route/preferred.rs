//! The preferred racks of a process, and those that a router uses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Preferred racks, and a count of their changes. Private to one process.
#[derive(Debug, Default)]
pub(crate) struct PreferredRacks {
    version: AtomicU64,
    racks: Mutex<Vec<i32>>,
}

impl PreferredRacks {
    /// These racks, best first.
    #[cfg(any(test, feature = "tend"))]
    pub fn new(racks: &[i32]) -> PreferredRacks {
        PreferredRacks { version: AtomicU64::new(1), racks: Mutex::new(racks.to_vec()) }
    }

    /// Replaces the racks.
    pub fn set(&self, racks: &[i32]) {
        let mut known = self.racks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.clear();
        known.extend_from_slice(racks);
        // Release: pairs with the Acquire of `newer`.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Whether they have changed since that version.
    #[inline]
    pub fn is_newer(&self, seen: u64) -> bool {
        // Acquire: pairs with the Release of `set`.
        self.version.load(Ordering::Acquire) != seen
    }

    /// The racks and their version; `None` while another thread changes them.
    /// (In a forked child that may be for ever; the child then keeps the racks
    /// that it has.)
    pub fn get(&self) -> Option<(u64, Vec<i32>)> {
        let racks = self.racks.try_lock().ok()?;
        Some((self.version.load(Ordering::Acquire), racks.clone()))
    }
}

/// The racks that one router uses: those of its process, which may change, or
/// its own.
#[derive(Clone, Debug)]
pub(super) struct RouterRacks {
    racks: Vec<i32>,
    /// The racks of the process, unless the router has its own.
    followed: Option<Arc<PreferredRacks>>,
    /// The version that was last applied.
    seen: u64,
}

impl RouterRacks {
    /// No racks.
    pub fn none() -> RouterRacks {
        RouterRacks { racks: Vec::new(), followed: None, seen: 0 }
    }

    /// Uses these racks, which may change.
    pub fn follow(&mut self, preferred: Arc<PreferredRacks>) {
        self.followed = Some(preferred);
    }

    /// Whether the followed racks have changed.
    #[inline]
    pub fn are_behind(&self) -> bool {
        self.followed.as_ref().is_some_and(|racks| racks.is_newer(self.seen))
    }

    /// Applies the followed racks; returns whether that changed anything.
    #[must_use]
    pub fn catch_up(&mut self) -> bool {
        let newest = self.followed.as_ref().and_then(|racks| racks.get());
        newest.is_some_and(|(version, racks)| {
            self.seen = version;
            self.take(&racks)
        })
    }

    /// Uses the router's own racks from now on; returns whether that changed
    /// anything.
    #[must_use]
    pub fn prefer(&mut self, racks: &[i32]) -> bool {
        self.followed = None;
        self.take(racks)
    }

    fn take(&mut self, racks: &[i32]) -> bool {
        let changed = self.racks != racks;
        if changed {
            self.racks = racks.to_vec();
        }
        changed
    }

    /// The racks, best first.
    pub fn as_slice(&self) -> &[i32] {
        &self.racks
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
