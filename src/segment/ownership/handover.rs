//! The flags by which an owner gives its ownership up, or offers it.

use super::Ownership;
use crate::layout::OwnerWord;
use crate::segment::lock::byte_of;

impl Ownership {
    /// Whether this owner has abdicated, see [`abdicate`](Self::abdicate).
    pub fn abdicated(&self) -> bool {
        self.flags() & OwnerWord::ABDICATED != 0
    }

    /// Gives up ownership to a process that can reach the cluster, and
    /// continues until one takes over, which may be at once. Returns whether it
    /// did: in private mode there is no other process.
    pub fn abdicate(&mut self) -> bool {
        if self.segment.lock().is_none() || self.abdicated() || self.memory().is_err() {
            return false;
        }
        self.set(OwnerWord::Flags, (self.flags() & OwnerWord::HOSTS) | OwnerWord::ABDICATED);
        self.free_byte();
        self.notify();
        true
    }

    /// Withdraws an abdication: the cluster can be reached again.
    pub fn reclaim(&mut self) {
        if !self.abdicated() {
            return;
        }
        let byte = byte_of(self.term());
        if self.segment.lock().is_none_or(|lock| lock.try_lock(byte).unwrap_or(false)) {
            self.set(OwnerWord::Flags, self.flags() & OwnerWord::HOSTS);
        }
    }

    /// Offers ownership to a process that can do better, or withdraws the
    /// offer; returns whether that is a change. The owner continues, and counts
    /// as alive, until one takes over.
    pub fn offer(&self, offers: bool) -> bool {
        let before = self.flags();
        let after = if offers { before | OwnerWord::OFFERED } else { before & !OwnerWord::OFFERED };
        if before == after {
            return false;
        }
        self.set(OwnerWord::Flags, after);
        self.notify();
        true
    }

    /// Records the owner's configured hosts, for processes that check whether
    /// the map is of the cluster of their own hosts.
    pub fn set_hosts(&self, hash: u32) {
        let hosts = u64::from(hash) << OwnerWord::HOSTS_SHIFT;
        self.set(OwnerWord::Flags, (self.flags() & !OwnerWord::HOSTS) | hosts);
    }
}
