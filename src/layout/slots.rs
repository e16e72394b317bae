//! Values by slot, for a table that almost never has gaps.

use core::mem::MaybeUninit;

/// Values by index, some of which may be missing.
///
/// While none is missing, a value is found by one comparison and one load, as
/// in a plain array, because values have no separate presence marks. (With
/// `Vec<Option<T>>` a lookup took a third longer.)
#[derive(Debug)]
pub struct Slots<T> {
    /// Initialised where `there` is true.
    values: Vec<MaybeUninit<T>>,
    /// As long as `values`.
    there: Vec<bool>,
    /// Every index below it has a value. With a gap anywhere it is 0: then all
    /// lookups take the same branch, which the processor can predict.
    whole: usize,
}

impl<T> Slots<T> {
    /// No values.
    pub const fn new() -> Slots<T> {
        Slots { values: Vec::new(), there: Vec::new(), whole: 0 }
    }

    /// Whether there is a value at that index.
    #[inline(always)]
    pub fn has(&self, index: usize) -> bool {
        index < self.whole || matches!(self.there.get(index), Some(true))
    }

    /// The value at that index.
    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<&T> {
        if !self.has(index) {
            return None;
        }
        // SAFETY: `has` is true only for indexes within `values` whose value is
        // initialised: `whole` is at most their number, and `there` marks the
        // others.
        Some(unsafe { self.values.get_unchecked(index).assume_init_ref() })
    }

    /// The value at that index.
    #[inline(always)]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if !self.has(index) {
            return None;
        }
        // SAFETY: as in `get`.
        Some(unsafe { self.values.get_unchecked_mut(index).assume_init_mut() })
    }

    /// A view of all values.
    #[inline(always)]
    pub fn view(&self) -> SlotsRef<'_, T> {
        SlotsRef { whole: &self.values[..self.whole], slots: self }
    }

    /// Stores a value at an index, or removes it.
    pub fn set(&mut self, index: usize, value: Option<T>) {
        // This comes first, because dropping a value may panic.
        self.whole = 0;
        if index >= self.values.len() {
            self.values.resize_with(index + 1, MaybeUninit::uninit);
            self.there.resize(index + 1, false);
        }
        if core::mem::replace(&mut self.there[index], false) {
            // SAFETY: the value was initialised, and is already marked as
            // missing.
            unsafe { self.values[index].assume_init_drop() };
        }
        if let Some(value) = value {
            self.values[index].write(value);
            self.there[index] = true;
        }
        self.count();
    }

    /// Drops every value from that index on.
    pub fn truncate(&mut self, len: usize) {
        for index in len..self.values.len() {
            self.set(index, None);
        }
        self.values.truncate(len);
        self.there.truncate(len);
        self.count();
    }

    fn count(&mut self) {
        self.whole = if self.there.contains(&false) { 0 } else { self.there.len() };
    }
}

/// A view of [`Slots`] that holds what a lookup needs by value, so that it
/// stays in registers in a loop.
#[derive(Debug)]
pub struct SlotsRef<'a, T> {
    /// The run without gaps, from the first index on.
    whole: &'a [MaybeUninit<T>],
    slots: &'a Slots<T>,
}

impl<T> Clone for SlotsRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SlotsRef<'_, T> {}

impl<'a, T> SlotsRef<'a, T> {
    /// The value at that index.
    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<&'a T> {
        match self.whole.get(index) {
            // SAFETY: all values below `Slots::whole` are initialised, and
            // remain so while they are borrowed.
            Some(value) => Some(unsafe { value.assume_init_ref() }),
            None => self.slots.get(index),
        }
    }
}

impl<T: Clone> Clone for Slots<T> {
    fn clone(&self) -> Slots<T> {
        let mut slots = Slots::new();
        slots.values.reserve_exact(self.values.len());
        slots.there.reserve_exact(self.there.len());
        for index in 0..self.there.len() {
            // Cloned first: that may panic.
            let value = self.get(index).cloned();
            slots.there.push(value.is_some());
            slots.values.push(value.map_or_else(MaybeUninit::uninit, MaybeUninit::new));
        }
        slots.count();
        slots
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots::new()
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        self.truncate(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::rc::Rc;

    proptest! {
        /// Compared with a plain table of options; every value is dropped
        /// exactly once.
        #[test]
        fn slots_hold_what_was_put_there(
            steps in proptest::collection::vec((0usize..12, proptest::option::of(0u8..9), any::<bool>()), 0..80),
        ) {
            let counted: Vec<_> = (0..9).map(Rc::new).collect();
            let mut slots = Slots::new();
            let mut plain: Vec<Option<u8>> = Vec::new();
            for (index, value, truncate) in steps {
                if truncate && value.is_none() {
                    slots.truncate(index);
                    plain.truncate(index);
                } else {
                    slots.set(index, value.map(|value| counted[usize::from(value)].clone()));
                    plain.resize(plain.len().max(index + 1), None);
                    plain[index] = value;
                }
                for index in 0..14 {
                    let wanted = plain.get(index).copied().flatten();
                    prop_assert_eq!(slots.get(index).map(|value| **value), wanted);
                    prop_assert_eq!(slots.view().get(index).map(|value| **value), wanted);
                    prop_assert_eq!(slots.get_mut(index).map(|value| **value), wanted);
                    prop_assert_eq!(slots.has(index), wanted.is_some());
                }
                for (value, one) in (0..).zip(&counted) {
                    let held = plain.iter().filter(|held| **held == Some(value)).count();
                    prop_assert_eq!(Rc::strong_count(one), held + 1);
                }
            }
            let copy = slots.clone();
            for (index, wanted) in plain.iter().enumerate() {
                prop_assert_eq!(copy.get(index).map(|value| **value), *wanted);
            }
            drop((slots, copy));
            prop_assert!(counted.iter().all(|one| Rc::strong_count(one) == 1));
        }
    }

    #[test]
    fn a_value_that_panics_when_dropped_leaves_the_others_usable() {
        struct Bomb(bool);
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(!self.0, "a bomb");
            }
        }
        let mut slots = Slots::new();
        slots.set(0, Some(Bomb(false)));
        slots.set(1, Some(Bomb(true)));
        let result = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| slots.set(1, None)));
        assert!(result.is_err());
        assert!(slots.has(0) && !slots.has(1));
    }
}
