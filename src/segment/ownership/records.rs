//! What the owner records beside the map: how nodes fail, which conditions last
//! and why, which nodes left.

use super::{Ownership, OwnershipLost};
use crate::clock::boottime_ms;
use crate::map::{Condition, ConditionRecords, Departure, NodeHealth, NodeId, Reason, Slot};
use crate::protocol::{Word, store_owner};
use crate::sync::{AtomicU64, Ordering};

impl Ownership {
    /// Records a node's failures in its health record; an unchanged record is not written again.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn set_node_health(
        &self,
        slot: Slot,
        id: NodeId,
        health: &NodeHealth,
    ) -> Result<(), OwnershipLost> {
        self.put(self.memory()?.node_health(slot.index()), health.payloads(id))
    }

    /// Records for how many passes each condition has lasted.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn set_conditions(&self, conditions: &ConditionRecords) -> Result<(), OwnershipLost> {
        let payloads = Condition::ALL.map(|condition| conditions.get(condition).payload());
        self.put(self.memory()?.conditions(), payloads)
    }

    /// Records the reason for something; an empty text clears it.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn set_reason(&self, reason: Reason, text: &str) -> Result<(), OwnershipLost> {
        let payloads = reason.payloads(text, boottime_ms());
        self.put(self.memory()?.reason(reason as usize), payloads)
    }

    /// Records the nodes that left.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn set_departures(&self, departures: &[Departure]) -> Result<(), OwnershipLost> {
        for (index, departure) in departures.iter().enumerate() {
            self.put(self.memory()?.departure(index), departure.payloads())?;
        }
        Ok(())
    }

    fn put(
        &self,
        record: &[AtomicU64],
        payloads: impl IntoIterator<Item = u64>,
    ) -> Result<(), OwnershipLost> {
        for (word, payload) in record.iter().zip(payloads) {
            // Relaxed: the record's checksum shows which words belong together.
            let found = Word::from_bits(word.load(Ordering::Relaxed));
            if found != Word::new(self.term(), payload)
                && store_owner(word, self.term(), payload).is_err()
            {
                return Err(self.newer_tag());
            }
        }
        Ok(())
    }
}
