//! Peers that are listed and were not reached yet.
//!
//! There may permanently be thousands of them, for example machines that are
//! switched off or in another network. The search takes a bounded part of each
//! pass: peers that were never searched for come first, then some of the others,
//! in the order of their last search.
//!
//! There may also be more peers than any map has room for: a server can list any
//! number, and each of those may list others. At most as many are kept as the map
//! may have nodes. Nodes of the table that have moved are kept first, then the
//! peers that most nodes of the table list, then those near the beginning of a
//! list. So each node that lists others gets a share, and an endless list of one
//! node displaces no peer that the others list.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use crate::map::NodeId;
use crate::wire::Host;

/// The most hosts of one peer that are tried.
const MOST_HOSTS: usize = 256;
/// The most hosts that are tried at the same time.
const AT_ONCE: usize = 256;
/// The number of peers that are searched for again in a pass. If one is found,
/// more follow.
const AGAIN: usize = 64;
/// The longest path of new nodes, each listed by the one before, that is followed
/// in one pass. In a healthy cluster every node lists all others.
const DEEPEST: usize = 16;
/// The least number of peers that are kept while lists are read. Only after the
/// last list is it known how many nodes list each peer.
const HELD: usize = 1 << 18;

/// A peer that was not reached.
#[derive(Debug, Default)]
pub(super) struct MissingPeer {
    /// Its listed hosts.
    pub(super) hosts: Vec<Host>,
    /// Its address in the table, if it is there. It is known not to answer at
    /// this address.
    pub(super) from: Option<SocketAddr>,
    /// Whether it is in the table.
    pub(super) known: bool,
    /// Whether its problem was reported.
    pub(super) told: bool,
    /// Why its hosts could not be resolved, if none has an address.
    pub(super) unresolved: Option<String>,
    /// Whether it answered that it has not joined its cluster yet.
    pub(super) starting: bool,
    /// Whether it answered that it belongs to another cluster.
    pub(super) of_another: bool,
    /// Whether it was searched for more than once.
    repeated: bool,
    /// The pass in which it was last searched for; 0 = never.
    tried: u64,
    /// The reading of the lists in which it was last named.
    listed: u64,
    /// Its listed hosts before `hosts`.
    before: Vec<Host>,
    /// The number of nodes of the table that list it.
    votes: usize,
    /// Its best position in any list.
    place: usize,
    /// The number of new nodes, each listed by the one before, on the path to it.
    depth: usize,
}

/// How a list names a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PeerMention {
    /// Whether it is in the table.
    pub(super) known: bool,
    /// Its address there.
    pub(super) from: Option<SocketAddr>,
    /// Whether the list is that of a node of the table.
    pub(super) vote: bool,
    /// The position in the list.
    pub(super) place: usize,
    /// The number of new nodes on the path to the list: 0 = it is not a new
    /// node's.
    pub(super) depth: usize,
}

impl MissingPeer {
    /// Whether it is listed without any address, and not in the table.
    pub(super) fn is_nowhere(&self) -> bool {
        !self.known && self.hosts.is_empty()
    }

    /// Whether it was never searched for.
    pub(super) fn is_untried(&self) -> bool {
        self.tried == 0
    }

    /// The order in which peers are kept: the least first.
    fn rank(&self, id: NodeId) -> (bool, Reverse<usize>, usize, NodeId) {
        (!self.known, Reverse(self.votes), self.place, id)
    }
}

/// All unreached peers, and those that are due.
#[derive(Debug, Default)]
pub(super) struct UnreachedPeers {
    peers: BTreeMap<NodeId, MissingPeer>,
    pass: u64,
    lists: u64,
    fresh: VecDeque<NodeId>,
    again: VecDeque<NodeId>,
    /// The number of peers of `again` that may still be searched for in this pass.
    budget: usize,
    /// The number of peers that were dropped while the lists were read.
    left_out: usize,
}

impl UnreachedPeers {
    /// Begins a pass.
    pub(super) fn begin_pass(&mut self) {
        self.pass += 1;
        self.fresh.clear();
        self.again.clear();
        self.budget = AGAIN;
    }

    /// Begins a new reading of all lists.
    pub(super) fn begin_lists(&mut self) {
        self.lists += 1;
        self.left_out = 0;
    }

    /// Adds a peer that a list names and that was not reached.
    pub(super) fn list(&mut self, id: NodeId, hosts: Vec<Host>, named: PeerMention) {
        let missing = self.peers.entry(id).or_default();
        if missing.listed == 0 {
            self.fresh.push_back(id);
        }
        if missing.listed != self.lists {
            missing.listed = self.lists;
            missing.before = core::mem::take(&mut missing.hosts);
            (missing.votes, missing.place, missing.depth) = (0, named.place, named.depth);
        }
        missing.votes += usize::from(named.vote);
        missing.place = missing.place.min(named.place);
        missing.depth = missing.depth.min(named.depth);
        (missing.known, missing.from) = (named.known, named.from);
        for host in hosts {
            if missing.hosts.len() < MOST_HOSTS && !missing.hosts.contains(&host) {
                missing.hosts.push(host);
            }
        }
    }

    /// Ends one list. Until all lists are read, more peers are kept than in the
    /// end, because further lists may name the same ones.
    pub(super) fn end_list(&mut self, most: usize) {
        if self.peers.len() > HELD.max(2 * most) {
            self.leave_out(most);
        }
    }

    /// Keeps only the first `most` peers.
    fn leave_out(&mut self, most: usize) {
        if self.peers.len() <= most {
            return;
        }
        let mut ranks: Vec<_> = self.peers.iter().map(|(&id, peer)| peer.rank(id)).collect();
        // Nodes of the table are never left out.
        let known = ranks.iter().filter(|(unknown, ..)| !unknown).count();
        let most = most.max(known);
        if most < ranks.len() {
            ranks.select_nth_unstable(most);
            let out: BTreeSet<NodeId> = ranks.drain(most..).map(|(.., id)| id).collect();
            self.left_out += out.len();
            self.peers.retain(|id, _| !out.contains(id));
        }
    }

    /// Forgets peers that are no longer listed, and keeps at most `most` of the
    /// others; returns the number of those dropped.
    pub(super) fn end_lists(&mut self, most: usize) -> usize {
        let lists = self.lists;
        self.peers.retain(|_, missing| missing.listed == lists);
        self.leave_out(most);
        self.left_out
    }

    /// Sorts the peers that are due. Those with new addresses count as new.
    pub(super) fn queue(&mut self) {
        let (mut fresh, mut again) = (Vec::new(), Vec::new());
        for (&id, missing) in &mut self.peers {
            let mut before = core::mem::take(&mut missing.before);
            if missing.tried > 0 && missing.tried < self.pass && !before.is_empty() {
                let mut now: Vec<&Host> = missing.hosts.iter().collect();
                now.sort();
                before.sort();
                if !now.into_iter().eq(&before) {
                    missing.tried = 0;
                }
            }
            match missing.tried {
                _ if missing.hosts.is_empty() => {}
                0 => fresh.push(missing.rank(id)),
                tried if tried < self.pass => {
                    again.push((!missing.known, !missing.starting, tried, id));
                }
                _ => {}
            }
            missing.depth = missing.depth.min(1);
        }
        fresh.sort_unstable();
        again.sort_unstable();
        self.fresh = fresh.into_iter().map(|(.., id)| id).collect();
        self.again = again.into_iter().map(|(.., id)| id).collect();
    }

    /// The next peers to search for at the same time. At most `room` of them are
    /// not in the table yet. Empty = enough for this pass.
    pub(super) fn next(&mut self, room: usize) -> Vec<NodeId> {
        let (mut wave, mut hosts, mut new) = (Vec::new(), 0, 0);
        while hosts < AT_ONCE {
            let fits = |id: &&NodeId| {
                let missing = self.peers.get(id);
                missing.is_none_or(|missing| missing.known) || new < room
            };
            let id = if let Some(&id) = self.fresh.front().filter(fits) {
                self.fresh.pop_front();
                id
            } else if let Some(&id) = self.again.front().filter(|_| self.budget > 0).filter(fits) {
                self.budget -= 1;
                self.again.pop_front();
                id
            } else {
                break;
            };
            let pass = self.pass;
            let Some(missing) = self.peers.get_mut(&id) else { continue };
            if missing.hosts.is_empty() || missing.tried == pass || missing.depth > DEEPEST {
                continue;
            }
            missing.repeated = missing.tried > 0;
            missing.tried = pass;
            hosts += missing.hosts.len();
            new += usize::from(!missing.known);
            wave.push(id);
        }
        wave
    }

    /// Removes a peer that was found. Others may have returned, too.
    pub(super) fn found(&mut self, id: &NodeId) -> Option<MissingPeer> {
        let missing = self.peers.remove(id)?;
        if missing.repeated {
            self.budget = self.budget.max(AGAIN);
        }
        Some(missing)
    }

    /// Puts a peer that was found at the head of the queue.
    pub(super) fn prefer(&mut self, id: &NodeId) {
        self.budget = self.budget.max(AGAIN);
        if let Some(missing) = self.peers.get_mut(id) {
            missing.tried = 0;
        }
    }

    pub(super) fn get(&self, id: &NodeId) -> Option<&MissingPeer> {
        self.peers.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &NodeId) -> Option<&mut MissingPeer> {
        self.peers.get_mut(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeId, &MissingPeer)> {
        self.peers.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> NodeId {
        NodeId::new(&format!("N{number:05}")).unwrap()
    }

    fn listed(numbers: impl Iterator<Item = usize>, port: u16) -> UnreachedPeers {
        let mut unreached = UnreachedPeers::default();
        list(&mut unreached, numbers, port);
        unreached
    }

    fn list(unreached: &mut UnreachedPeers, numbers: impl Iterator<Item = usize>, port: u16) {
        unreached.begin_lists();
        for number in numbers {
            unreached.list(id(number), vec![Host::new("h", port).unwrap()], PeerMention::default());
        }
        unreached.end_lists(usize::MAX);
    }

    /// The peers that are searched for in one pass.
    fn pass(unreached: &mut UnreachedPeers) -> Vec<Vec<NodeId>> {
        unreached.begin_pass();
        unreached.queue();
        let mut waves = Vec::new();
        loop {
            match unreached.next(usize::MAX) {
                wave if wave.is_empty() => return waves,
                wave => waves.push(wave),
            }
        }
    }

    #[test]
    fn h60_all_have_their_turn_and_a_pass_has_few() {
        let mut unreached = listed(0..1000, 1);
        let first: Vec<usize> = pass(&mut unreached).iter().map(Vec::len).collect();
        assert_eq!(first, [256, 256, 256, 232], "those that were never searched for");
        let mut later = Vec::new();
        for _ in 0..16 {
            let waves = pass(&mut unreached);
            assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), AGAIN);
            later.extend(waves.concat());
        }
        later.truncate(1000);
        later.sort();
        assert!(later.iter().copied().eq((0..1000).map(id)), "each once");
    }

    #[test]
    fn h60_new_ones_and_those_elsewhere_come_before_all_others() {
        let mut unreached = listed(0..1000, 1);
        pass(&mut unreached);
        list(&mut unreached, 0..1001, 1);
        assert_eq!(pass(&mut unreached).concat()[0], id(1000));
        list(&mut unreached, 0..1001, 1);
        unreached.begin_lists();
        for number in 0..1001 {
            let host = Host::new("h", if number == 7 { 2 } else { 1 }).unwrap();
            unreached.list(id(number), vec![host], PeerMention::default());
        }
        unreached.end_lists(usize::MAX);
        assert_eq!(pass(&mut unreached).concat()[0], id(7));
        // The order of the addresses does not matter.
        let hosts = ["x", "y"].map(|name| Host::new(name, 1).unwrap());
        let (mut there, mut back) = (hosts.to_vec(), hosts.to_vec());
        back.reverse();
        for hosts in [&mut there, &mut back] {
            unreached.begin_lists();
            unreached.list(id(0), core::mem::take(hosts), PeerMention::default());
            unreached.end_lists(usize::MAX);
            pass(&mut unreached);
        }
        assert_eq!(unreached.get(&id(0)).map(|missing| missing.tried > 0), Some(true));
    }

    #[test]
    fn h60_where_one_is_back_more_are_looked_for() {
        let mut unreached = listed(0..1000, 1);
        pass(&mut unreached);
        unreached.begin_pass();
        unreached.queue();
        let mut found = 0;
        loop {
            let wave = unreached.next(usize::MAX);
            if wave.is_empty() {
                break;
            }
            for id in &wave {
                assert!(unreached.found(id).is_some());
                found += 1;
            }
        }
        assert_eq!((found, unreached.is_empty()), (1000, true));
    }

    #[test]
    fn h132_what_most_list_comes_first_then_the_beginning_of_each_list() {
        let mut unreached = UnreachedPeers::default();
        unreached.begin_lists();
        let mut list = |numbers: &mut dyn Iterator<Item = usize>, known: usize| {
            for (place, number) in numbers.enumerate() {
                let host = Host::new("h", 1).unwrap();
                let named = PeerMention {
                    known: number == known,
                    vote: true,
                    place,
                    ..PeerMention::default()
                };
                unreached.list(id(number), vec![host], named);
            }
        };
        // One node lists a thousand peers, with the new 5000 and the known 7000
        // at the end. Others list 5000, too, and 6000, which the first does not.
        list(&mut (0..1000).chain([5000, 7000]), 7000);
        list(&mut [5000, 6000].into_iter(), 0);
        list(&mut [5000].into_iter(), 0);
        assert_eq!(unreached.end_lists(5), 998);
        let kept: Vec<NodeId> = unreached.iter().map(|(&id, _)| id).collect();
        assert_eq!(kept, [0, 1, 5000, 6000, 7000].map(id));
        unreached.begin_pass();
        unreached.queue();
        assert_eq!(unreached.next(0), [7000].map(id), "a known node needs no room");
        assert_eq!(unreached.next(2), [5000, 0].map(id));
        assert_eq!(unreached.next(9), [1, 6000].map(id));
    }

    #[test]
    fn h60_those_that_nobody_lists_any_more_are_forgotten() {
        let mut unreached = listed(0..10, 1);
        list(&mut unreached, 5..10, 1);
        assert_eq!(unreached.iter().count(), 5);
        assert_eq!(pass(&mut unreached).concat().len(), 5);
    }
}
