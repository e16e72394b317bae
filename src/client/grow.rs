//! A map that outgrows its segment: it moves to a larger segment, or is
//! published in part.

use std::mem::discriminant;
use std::time::{Duration, Instant};

use super::config::Config;
use super::event::Event;
use super::fit::Fit;
use super::owner::Owner;
use super::state::ClientState;
use crate::layout::OwnerWord;
use crate::map::{Capacity, ClusterMap, FrameExtent, Reason};
use crate::segment::{
    Carryover, CreateOutcome, Ownership, OwnershipLost, Place, PublishFailure, Segment,
    SegmentBuilder, SegmentError, boottime_ms, next_generation, private, sweep,
};

/// How often an owner that could not create a larger segment tries again.
const AGAIN: Duration = Duration::from_secs(1);

/// The result of a publication that may be only a part of the map.
pub(super) struct PartialPublication {
    pub outcome: Result<Option<u64>, PublishFailure>,
    /// Nodes and namespaces without room, and namespaces with too many replicas.
    pub refused: usize,
    /// Nodes and namespaces with room.
    pub nodes: usize,
    pub namespaces: usize,
}

impl Owner {
    /// Publishes a map that has outgrown the segment: in a larger segment, or
    /// otherwise the part that fits.
    pub(super) fn publish_partly(
        &mut self,
        state: &ClientState,
        map: &ClusterMap,
    ) -> Result<PartialPublication, OwnershipLost> {
        let mut fit = self.fit.take().unwrap_or_else(|| Fit::new(self.ownership.segment()));
        let refused = fit.take(map);
        if refused > 0 && self.grow(state, map)? {
            let (nodes, namespaces) = (map.nodes.len(), map.namespaces().len());
            return Ok(PartialPublication { outcome: Ok(None), refused: 0, nodes, namespaces });
        }
        let outcome = self.ownership.publish(fit.map());
        let (nodes, namespaces) = (fit.map().nodes.len(), fit.map().namespaces().len());
        self.fit = Some(fit);
        Ok(PartialPublication { outcome, refused, nodes, namespaces })
    }

    /// Replaces the segment by a larger one with the map published in it;
    /// returns whether it did. Lookups continue throughout: in the old segment
    /// until the new one is in place.
    fn grow(&mut self, state: &ClientState, map: &ClusterMap) -> Result<bool, OwnershipLost> {
        if self.no_room.is_some_and(|(_, at)| at.elapsed() < AGAIN) {
            return Ok(false);
        }
        let old = self.ownership.segment().clone();
        let grown = match old.is_shared() {
            true => self.grow_shared(state, &old, map)?,
            false => self.grow_private(&old, map),
        };
        let mut ownership = match grown {
            Ok(ownership) => ownership,
            Err(error) => {
                let (kind, text) = (discriminant(&error), error.to_string());
                self.account.explain(Reason::Shortage, &text);
                // The numbers in the text change from one attempt to the next:
                // compare the kind only.
                if self.no_room.is_none_or(|(told, _)| told != kind) {
                    state.notify(Event::NoRoom { error: text });
                }
                self.no_room = Some((kind, Instant::now()));
                return Ok(false);
            }
        };
        self.no_room = None;
        ownership.set_checksums(state.config.checksums);
        ownership.set(OwnerWord::TendIntervalMs, self.interval.as_millis() as u64);
        ownership.set_hosts(state.config.hosts_hash());
        ownership.set(OwnerWord::TendedMs, boottime_ms());
        let segment = ownership.segment().clone();
        if let Err(error) = state.current.replace(&segment) {
            state.notify(Event::Trouble { error: error.to_string() });
        }
        std::mem::replace(&mut self.ownership, ownership).fenced();
        self.account.again();
        self.published = Some(Instant::now());
        // A private map must not sweep the directory of shared ones. Sweep at
        // once, because this process may close before its next iteration, and
        // again then if other processes have not left the old segment yet.
        self.unswept =
            segment.is_shared() && matches!(sweep(&state.config.place(), &segment), Ok(false));
        let Capacity { max_nodes, max_namespaces, max_replicas, .. } =
            segment.geometry().capacity();
        let generation = segment.identity().generation;
        state.notify(Event::Grown { generation, max_nodes, max_namespaces, max_replicas });
        Ok(true)
    }

    /// Builds the successor completely, then retires the old segment, which
    /// fails if this process is no longer its owner, then links the successor
    /// under its name. If linking fails, all processes search for the newest
    /// segment.
    fn grow_shared(
        &mut self,
        state: &ClientState,
        old: &Segment,
        map: &ClusterMap,
    ) -> Result<Result<Ownership, SegmentError>, OwnershipLost> {
        let place = state.config.place();
        if let Some(user) = old.user_that_keeps_the_key() {
            let at = old.location().expect("a state segment");
            return Ok(Err(SegmentError::KeyOfAnother { at, user }));
        }
        let inherited = Carryover {
            sequence: old.head().sequence() + 1,
            table_generation: self.ownership.table_generation(),
            map,
        };
        let there = old.geometry().capacity();
        let built = next_generation(&place, old.identity().generation)
            .and_then(|next| build(&place, next, &rooms(there, map), Some(inherited)));
        let prepared = match built {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error)),
        };
        self.ownership.retire()?;
        match prepared.link() {
            Ok(CreateOutcome::Owner(mut ownership)) => {
                // Called only to check what was published last.
                ownership.last_map();
                Ok(Ok(*ownership))
            }
            Ok(CreateOutcome::Exists) | Err(_) => Err(OwnershipLost::Fenced),
        }
    }

    fn grow_private(&mut self, old: &Segment, map: &ClusterMap) -> Result<Ownership, SegmentError> {
        let there = old.geometry().capacity();
        let made = first_of(&rooms(there, map), |room| private(room, old.head().sequence()));
        let mut ownership = made?;
        ownership.publish(map).expect("it was made to fit, and nobody else has it");
        // Its routers look for the successor when they find it retired.
        self.ownership.retire().expect("nobody else has it");
        Ok(ownership)
    }
}

/// Builds a segment with the first of these capacities for which there is room.
///
/// # Errors
/// The error of the largest capacity, if there is room for none.
pub(super) fn build(
    place: &Place,
    generation: u64,
    rooms: &[Capacity],
    inherited: Option<Carryover<'_>>,
) -> Result<SegmentBuilder, SegmentError> {
    first_of(rooms, |room| SegmentBuilder::build(place, generation, room, inherited))
}

fn first_of<T>(
    rooms: &[Capacity],
    make: impl Fn(Capacity) -> Result<T, SegmentError>,
) -> Result<T, SegmentError> {
    let mut first = None;
    for &room in rooms {
        match make(room) {
            Ok(made) => return Ok(made),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.expect("there is a capacity to try"))
}

/// The capacities to try for a map that has outgrown `there`, best first: the
/// capacity doubled until the map fits; the exact size; the exact size in the
/// outgrown dimensions only.
pub(super) fn rooms(there: Capacity, map: &ClusterMap) -> Vec<Capacity> {
    let double = |mut room: usize, wanted: usize| {
        while room < wanted {
            room *= 2;
        }
        room.min(4096)
    };
    let least = least(there, map);
    let enough = Capacity {
        max_nodes: there.max_nodes.max(least.max_nodes),
        max_namespaces: there.max_namespaces.max(least.max_namespaces),
        max_replicas: there.max_replicas.max(least.max_replicas),
        ..there
    };
    let ample = Capacity {
        max_nodes: double(there.max_nodes, enough.max_nodes),
        max_namespaces: double(there.max_namespaces, enough.max_namespaces),
        ..enough
    };
    let mut rooms = vec![ample, enough, least];
    rooms.dedup();
    rooms
}

/// The smallest capacity that holds a map.
pub(super) fn least(there: Capacity, map: &ClusterMap) -> Capacity {
    Capacity {
        max_nodes: map.nodes.slots().max(1),
        max_namespaces: map.namespaces().len().max(1),
        // Three replicas take as much room as one.
        max_replicas: map.held_replicas().max(1).next_multiple_of(3).min(Capacity::MOST_REPLICAS),
        ..there
    }
}

/// Whether this process could publish the whole map in place of that segment.
pub(super) fn has_room(segment: &Segment, config: &Config, map: &ClusterMap) -> bool {
    if FrameExtent::of(map, segment.geometry()).is_ok() || Fit::new(segment).take(map) == 0 {
        return true;
    }
    let place = config.place();
    let inherited = Carryover { sequence: segment.head().sequence(), table_generation: 0, map };
    let rooms = rooms(segment.geometry().capacity(), map);
    next_generation(&place, segment.identity().generation)
        .and_then(|next| build(&place, next, &rooms, Some(inherited)))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{NamespaceName, Slot};

    #[test]
    fn h71_the_room_is_doubled_and_replicas_come_by_threes() {
        let there = Capacity { max_nodes: 3, ..Capacity::DEFAULT };
        let mut map = ClusterMap::new(there);
        map.raise_capacity(4096, 256);
        map.raise_replicas(255);
        map.namespace_entry(NamespaceName::new("test").unwrap()).unwrap();
        for (replicas, room) in [(1, 3), (3, 3), (4, 6), (6, 6), (7, 9), (254, 255), (255, 255)] {
            let namespace = &mut map.namespaces_mut()[0];
            namespace.replication_factor = replicas;
            namespace.partitions.set_holder(0, usize::from(replicas) - 1, Slot::new(0));
            let rooms = rooms(there, &map);
            assert_eq!(rooms[0].max_replicas, room, "{replicas}");
            assert_eq!((rooms[0].max_nodes, rooms.last().unwrap().max_namespaces), (3, 1));
        }
    }
}
