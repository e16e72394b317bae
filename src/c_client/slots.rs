//! The book of slots: which node has which, and since when.
//!
//! - A slot holds one [`Identity`] for as long as it is active. A node that changes in it
//!   gets another slot; one that comes back as it was gets its own again.
//! - A slot that became active is **in its grace** for [`GRACE_MS`]: followers may not have
//!   read it yet. It is **established** afterwards.
//! - A slot that became inactive is **in quarantine** for [`QUARANTINE_MS`], except for
//!   the node that it held: a client that was stopped meanwhile would go on with the
//!   address that it knew. If there is no other slot, the one that is longest out of use
//!   is taken earlier, but not within a grace: followers have to see it inactive.
//! - A follower copies a slot from its start to its end, where it finds whether it is
//!   active. So a slot that was in use is filled in one pass and becomes active at least
//!   [`SETTLE_MS`] after it, when copies that were begun before are done. A slot beyond
//!   `nodes_size` is copied by nobody.
//! - Both times count from a pass at least [`SETTLE_MS`] after the one that made the change,
//!   when it is certain that the stores were made and are seen.

use super::header::Header;
use super::layout::{Layout, Shape};
use super::wanted::{Identity, WantedNode};
use crate::map::NodeId;

/// How long a slot is active before an entry names it. Followers read the nodes at most
/// once in their interval, which is 1 s.
pub const GRACE_MS: u64 = 1500;

/// How long a slot is out of use before another node gets it.
pub const QUARANTINE_MS: u64 = 600_000;

/// How long a change of the nodes is left to settle before the pass that goes on with it.
pub const SETTLE_MS: u64 = 20;

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// What it holds or held; `None` if that is not known.
    identity: Option<Identity>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Active; in its grace from the time given, or from the next pass.
    New(Option<u64>),
    /// Active, and known to all followers.
    Established,
    /// Out of use from the time given, or from the next pass.
    Inactive(Option<u64>),
}

/// The slots that were ever in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Book {
    places: Vec<Place>,
    capacity: usize,
}

/// Which node has which slot after a pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Assigned {
    /// By node; `None` if there is none for it.
    pub slots: Vec<Option<usize>>,
    /// Slots to be filled, with the index of their node.
    pub fills: Vec<(usize, usize)>,
    /// Slots to be made active, with the index of their node, after they were filled.
    pub activations: Vec<(usize, usize)>,
    /// Whether a slot has to wait before it is made active.
    pub waits: bool,
    /// Slots that were taken out of quarantine: node, slot, how long it was out of use.
    pub shortened: Vec<(usize, usize, u64)>,
}

impl Book {
    pub fn new(capacity: usize) -> Book {
        Book { places: Vec::new(), capacity }
    }

    /// The book of a segment that exists. A slot that an entry names was in service
    /// already, so its grace is over; of all others it begins again.
    pub fn read(shape: Shape, image: &[u8], header: &Header, named: &[bool]) -> Book {
        let capacity = shape.capacity.max_nodes();
        let size = (header.nodes_size as usize).min(capacity);
        let place = |slot: usize| {
            let node = image.get(shape.node(slot)..shape.node(slot + 1)).unwrap_or_default();
            let active = image.get(shape.active(slot)).is_some_and(|&active| active != 0);
            let named = named.get(slot).is_some_and(|&named| named);
            let state = match (active, named) {
                (true, true) => State::Established,
                (true, false) => State::New(None),
                (false, _) => State::Inactive(None),
            };
            Place { identity: Identity::read(node, shape.layout), state }
        };
        Book { places: (0..size).map(place).collect(), capacity }
    }

    /// How many slots were ever in use.
    pub fn size(&self) -> usize {
        self.places.len()
    }

    /// Graces end. If what changed before has settled, its times begin.
    pub fn advance(&mut self, now: u64, settled: bool) {
        for place in &mut self.places {
            match &mut place.state {
                State::New(Some(since)) if now.saturating_sub(*since) >= GRACE_MS => {
                    place.state = State::Established;
                }
                State::New(since @ None) | State::Inactive(since @ None) if settled => {
                    *since = Some(now);
                }
                _ => {}
            }
        }
    }

    /// Every active slot is established: nobody follows the segment yet.
    pub fn establish_all(&mut self) {
        for place in self.places.iter_mut().filter(|place| place.is_active()) {
            place.state = State::Established;
        }
    }

    /// Gives every node a slot, as far as they go.
    pub fn assign(&mut self, nodes: &[WantedNode], now: u64) -> Assigned {
        let mut assigned = Assigned { slots: vec![None; nodes.len()], ..Assigned::default() };
        let mut taken = vec![false; self.capacity];
        for active in [true, false] {
            for (node, slot) in nodes.iter().zip(&mut assigned.slots) {
                let own = |(index, place): &(usize, &Place)| {
                    let holds = place.identity.as_ref().is_some_and(|held| node.is_in(held));
                    holds && place.is_active() == active && !taken[*index]
                };
                if slot.is_none()
                    && let Some((own, _)) = self.places.iter().enumerate().find(own)
                {
                    *slot = Some(own);
                    taken[own] = true;
                }
            }
        }
        for (index, node) in nodes.iter().enumerate() {
            let slot = match assigned.slots[index] {
                Some(own) if self.places[own].is_active() => continue,
                // Its body stays as it is, for followers that did not see it inactive, even
                // if a build that was known then is not known now.
                Some(own) => {
                    let filled = match self.places[own].state {
                        State::Inactive(since) => since,
                        _ => None,
                    };
                    if filled.is_some_and(|since| now.saturating_sub(since) >= SETTLE_MS) {
                        self.places[own].state = State::New(None);
                        assigned.activations.push((own, index));
                    } else {
                        assigned.waits = true;
                    }
                    continue;
                }
                None => {
                    let Some((free, out_of_use)) = self.free(&taken, now) else { continue };
                    if let Some(out_of_use) = out_of_use.filter(|&ms| ms < QUARANTINE_MS) {
                        assigned.shortened.push((index, free, out_of_use));
                    }
                    free
                }
            };
            taken[slot] = true;
            let identity = Some(node.identity);
            if slot == self.places.len() {
                self.places.push(Place { identity, state: State::New(None) });
                assigned.activations.push((slot, index));
            } else {
                // Active in a later pass, as its own.
                assigned.waits = true;
                self.places[slot] = Place { identity, state: State::Inactive(None) };
            }
            assigned.slots[index] = Some(slot);
            assigned.fills.push((slot, index));
        }
        assigned
    }

    /// A slot for a new node, and how long it was out of use if it was in use before.
    fn free(&self, taken: &[bool], now: u64) -> Option<(usize, Option<u64>)> {
        if self.places.len() < self.capacity {
            return Some((self.places.len(), None));
        }
        let since = self.places.iter().enumerate().filter_map(|(slot, place)| match place.state {
            State::Inactive(Some(since)) if !taken[slot] => Some((since, slot)),
            _ => None,
        });
        let (since, slot) = since.min()?;
        let out_of_use = now.saturating_sub(since);
        (out_of_use >= GRACE_MS).then_some((slot, Some(out_of_use)))
    }

    pub fn deactivate(&mut self, slot: usize) {
        self.places[slot].state = State::Inactive(None);
    }

    /// What a slot holds or held.
    pub fn identity(&self, slot: usize) -> Option<&Identity> {
        self.places.get(slot)?.identity.as_ref()
    }

    pub fn is_active(&self, slot: usize) -> bool {
        self.places.get(slot).is_some_and(Place::is_active)
    }

    pub fn is_established(&self, slot: usize) -> bool {
        self.places.get(slot).is_some_and(|place| place.state == State::Established)
    }

    /// The established slot that holds the node under another address or build.
    pub fn former(&self, id: NodeId, but: usize) -> Option<usize> {
        let holds = |place: &Place| place.identity.is_some_and(|held| held.id == id);
        (0..self.places.len())
            .find(|&slot| slot != but && self.is_established(slot) && holds(&self.places[slot]))
    }

    /// When the next grace of these slots ends.
    pub fn grace_ends(&self, slots: impl Iterator<Item = usize>) -> Option<u64> {
        let ends = slots.filter_map(|slot| match self.places[slot].state {
            State::New(Some(since)) => Some(since.saturating_add(GRACE_MS)),
            _ => None,
        });
        ends.min()
    }

    /// When the next slot that is out of use can be taken.
    pub fn free_at(&self) -> Option<u64> {
        let free = self.places.iter().filter_map(|place| match place.state {
            State::Inactive(Some(since)) => Some(since.saturating_add(GRACE_MS)),
            _ => None,
        });
        free.min()
    }
}

impl Place {
    fn is_active(&self) -> bool {
        !matches!(self.state, State::Inactive(_))
    }
}

/// The names in the active slots of a segment; `None` for one that is not a node's.
pub(super) fn names(
    shape: Shape,
    image: &[u8],
    header: &Header,
) -> impl Iterator<Item = Option<NodeId>> {
    let size = (header.nodes_size as usize).min(shape.capacity.max_nodes());
    let layout: Layout = shape.layout;
    (0..size).filter(move |&slot| image.get(shape.active(slot)).is_some_and(|&a| a != 0)).map(
        move |slot| {
            let node = image.get(shape.node(slot)..shape.node(slot + 1)).unwrap_or_default();
            super::wanted::name(node, layout)
        },
    )
}
