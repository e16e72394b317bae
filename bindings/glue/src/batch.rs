//! Results of a batch as arrays of node indexes, which any language can take.

use tendmap::route::Batch;

/// The index of no node.
pub const NO_NODE: u16 = u16::MAX;

/// Writes for each key of a batch the index of its node, or [`NO_NODE`].
///
/// # Panics
/// If there is not one place for each key.
pub fn indexes(batch: &Batch, out: &mut [u16]) {
    assert_eq!(batch.len(), out.len(), "a place for each key");
    for (place, slot) in out.iter_mut().zip(batch.slots()) {
        *place = slot.map_or(NO_NODE, |slot| slot.index() as u16);
    }
}
