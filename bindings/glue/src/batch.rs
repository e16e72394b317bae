//! Results of a batch as arrays of node indexes, a form that any language can use.

use tendmap::route::Batch;

/// The index that means "no node".
pub const NO_NODE: u16 = u16::MAX;

/// Writes the index of the node of each key of a batch, or [`NO_NODE`].
///
/// # Panics
/// If `out` and the batch differ in length.
pub fn indexes(batch: &Batch, out: &mut [u16]) {
    assert_eq!(batch.len(), out.len(), "one index for each key");
    for (place, slot) in out.iter_mut().zip(batch.slots()) {
        *place = slot.map_or(NO_NODE, |slot| slot.index() as u16);
    }
}
