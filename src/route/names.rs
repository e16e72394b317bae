//! Finds a namespace by its name, at the cost of one comparison.

use super::namespace_cache::NamespaceHandle;
use crate::map::NamespaceName;

/// The namespace argument of a lookup: a handle, or a name.
pub trait NamespaceRef: Copy + sealed::Sealed {}

impl NamespaceRef for NamespaceHandle {}
impl NamespaceRef for &str {}
impl NamespaceRef for &NamespaceName {}

pub(super) use sealed::NamespaceArgument;

/// The methods of [`NamespaceRef`], hidden from users.
mod sealed {
    use super::{NamespaceHandle, NamespaceName};

    /// The argument of a lookup.
    #[derive(Clone, Copy, Debug)]
    pub enum NamespaceArgument<'a> {
        Handle(NamespaceHandle),
        Name(&'a str),
    }

    pub trait Sealed {
        fn wanted(&self) -> NamespaceArgument<'_>;
    }

    impl Sealed for NamespaceHandle {
        #[inline(always)]
        fn wanted(&self) -> NamespaceArgument<'_> {
            NamespaceArgument::Handle(*self)
        }
    }

    impl Sealed for &str {
        #[inline(always)]
        fn wanted(&self) -> NamespaceArgument<'_> {
            NamespaceArgument::Name(self)
        }
    }

    impl Sealed for &NamespaceName {
        #[inline(always)]
        fn wanted(&self) -> NamespaceArgument<'_> {
            NamespaceArgument::Name(self.as_str())
        }
    }
}

/// A name packed into numbers without loss: words from its start and its end,
/// which overlap if the name is short, and its length.
#[derive(Clone, Copy, Debug)]
struct PackedName {
    start: u64,
    end: u64,
    /// The bytes between `start` and `end`, if the name is longer than both.
    middle: [u64; 2],
    len: usize,
}

impl PackedName {
    /// `None` for a text that is too short or too long for a namespace's name.
    #[inline(always)]
    fn of(text: &str) -> Option<PackedName> {
        let bytes = text.as_bytes();
        let len = bytes.len();
        let (start, end, middle);
        if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            (start, end) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
            middle = if len <= 16 { [0; 2] } else { PackedName::middle(bytes)? };
        } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            (start, end) = (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into());
            middle = [0; 2];
        } else {
            let (&first, &last) = (bytes.first()?, bytes.last()?);
            (start, end) = (first.into(), u64::from(last) << 8 | u64::from(bytes[len / 2]));
            middle = [0; 2];
        }
        Some(PackedName { start, end, middle, len })
    }

    /// For a name of 17 bytes or more.
    #[inline(always)]
    fn middle(bytes: &[u8]) -> Option<[u64; 2]> {
        if bytes.len() > NamespaceName::MAX {
            return None;
        }
        let after = u64::from_le_bytes(*bytes[8..].first_chunk()?);
        let before = u64::from_le_bytes(*bytes[..bytes.len() - 8].last_chunk()?);
        Some([after, before])
    }

    /// A number whose upper bits depend on the whole name.
    #[inline(always)]
    fn hash(&self) -> u64 {
        let PackedName { start, end, middle: [a, b], len } = self;
        let sum = start ^ end.rotate_left(29) ^ a.rotate_left(13) ^ b.rotate_left(43) ^ *len as u64;
        // An odd constant without structure (the golden ratio); the product
        // carries every bit upwards.
        (sum ^ sum >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl PartialEq for PackedName {
    /// Compares number by number: arrays would first be written to memory and
    /// then read back in larger pieces, which stalls.
    #[inline(always)]
    fn eq(&self, other: &PackedName) -> bool {
        let words = (self.start ^ other.start) | (self.end ^ other.end);
        let middle = (self.middle[0] ^ other.middle[0]) | (self.middle[1] ^ other.middle[1]);
        words | middle | (self.len ^ other.len) as u64 == 0
    }
}

#[derive(Clone, Copy, Debug)]
struct NameEntry {
    name: PackedName,
    handle: NamespaceHandle,
}

/// The names that a router has resolved: a hash table that is at most a quarter
/// full, so that almost every name is found at the first probe.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The length is a power of two.
    buckets: Box<[Option<NameEntry>]>,
    /// The shift that reduces a hash to an index.
    shift: u32,
    len: usize,
}

impl Names {
    const FIRST_BITS: u32 = 5;

    pub fn new() -> Names {
        Names::with_bits(Names::FIRST_BITS)
    }

    fn with_bits(bits: u32) -> Names {
        Names { buckets: vec![None; 1 << bits].into(), shift: u64::BITS - bits, len: 0 }
    }

    /// The handle of a namespace, if it is given as a handle or its name is
    /// known.
    #[inline(always)]
    pub fn find(&self, namespace: impl NamespaceRef) -> Option<NamespaceHandle> {
        match namespace.wanted() {
            NamespaceArgument::Handle(handle) => Some(handle),
            NamespaceArgument::Name(name) => self.get(name),
        }
    }

    /// The handle of a name.
    #[inline(always)]
    pub fn get(&self, name: &str) -> Option<NamespaceHandle> {
        let name = PackedName::of(name)?;
        let mut index = (name.hash() >> self.shift) as usize;
        loop {
            // An empty bucket ends the search, and most are empty.
            match self.buckets.get(index)? {
                Some(entry) if entry.name == name => return Some(entry.handle),
                Some(_) => index = (index + 1) & (self.buckets.len() - 1),
                None => return None,
            }
        }
    }

    /// The number of names.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a name that is not in the table yet.
    pub fn insert(&mut self, name: &NamespaceName, handle: NamespaceHandle) {
        let Some(name) = PackedName::of(name.as_str()) else { return };
        if 4 * (self.len + 1) > self.buckets.len() {
            let larger = Names::with_bits(u64::BITS - self.shift + 1);
            let old = core::mem::replace(self, larger);
            old.buckets.iter().flatten().for_each(|entry| self.put(*entry));
        }
        self.put(NameEntry { name, handle });
    }

    fn put(&mut self, entry: NameEntry) {
        let mut index = (entry.name.hash() >> self.shift) as usize;
        while self.buckets[index].is_some() {
            index = (index + 1) & (self.buckets.len() - 1);
        }
        self.buckets[index] = Some(entry);
        self.len += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn every_name_is_found_and_no_other(
            names in proptest::collection::btree_set("[a-b]{1,31}", 0..200),
            others in proptest::collection::vec("[a-b]{0,40}", 50),
        ) {
            let mut table = Names::new();
            let handles: BTreeMap<_, _> = names.iter().zip(0..).map(|(name, index)| {
                (name.clone(), NamespaceHandle::new(7, index, 4096))
            }).collect();
            for (name, handle) in &handles {
                table.insert(&NamespaceName::new(name).unwrap(), *handle);
            }
            for name in names.iter().chain(&others) {
                prop_assert_eq!(table.get(name), handles.get(name).copied(), "{}", name);
            }
        }

        /// Two names are packed to the same numbers only if they are equal.
        #[test]
        fn packing_loses_nothing(a in "[a-b]{1,31}", b in "[a-b]{1,31}", at in 0usize..31) {
            let mut near = a.clone().into_bytes();
            let at = at % near.len();
            near[at] ^= 3;
            let near = String::from_utf8(near).unwrap();
            for other in [b, near] {
                prop_assert_eq!(PackedName::of(&a) == PackedName::of(&other), a == other);
            }
        }
    }

    #[test]
    fn usual_names_are_found_at_the_first_look() {
        let mut table = Names::new();
        let names: BTreeSet<_> = (0..256).map(|number| format!("namespace_{number}")).collect();
        for (index, name) in names.iter().enumerate() {
            table.insert(&NamespaceName::new(name).unwrap(), NamespaceHandle::new(1, index, 4096));
        }
        let first = |name: &&String| {
            let packed = PackedName::of(name).unwrap();
            table.buckets[(packed.hash() >> table.shift) as usize].unwrap().name == packed
        };
        let found = names.iter().filter(first).count();
        assert!(found > 200, "{found} of 256");
    }
}
