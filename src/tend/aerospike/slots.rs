//! A set of slots of the node table.

use crate::map::Slot;

/// One bit for each slot. There may be as many lists of peers as nodes, so a
/// list keeps only the peers that are in the table, and those in this form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotSet(Vec<u64>);

impl SlotSet {
    pub(super) fn insert(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if let Some(bits) = self.0.get_mut(word) {
            *bits &= !bit;
        }
        // Without trailing zeros, sets of the same slots are equal.
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(super) fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// The slots in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        let bits = |(word, &bits): (usize, &u64)| {
            (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| word * 64 + bit)
        };
        self.0.iter().enumerate().flat_map(bits).filter_map(Slot::new)
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> SlotSet {
        let mut set = SlotSet::default();
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

fn place(slot: Slot) -> (usize, u64) {
    (slot.index() / 64, 1 << (slot.index() % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it() {
        let slot = |index| Slot::new(index).unwrap();
        let mut set: SlotSet = [700, 3, 64, 3].map(slot).into_iter().collect();
        assert!(set.iter().map(Slot::index).eq([3, 64, 700]));
        assert!(set.contains(slot(64)) && !set.contains(slot(65)) && !set.contains(slot(4000)));
        set.remove(slot(700));
        set.remove(slot(4000));
        assert_eq!(set, [64, 3].map(slot).into_iter().collect());
        set.remove(slot(3));
        set.remove(slot(64));
        assert_eq!(set, SlotSet::default());
    }
}
