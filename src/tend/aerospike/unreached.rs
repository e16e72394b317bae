//! Peers that are listed and were not reached yet.
//!
//! There may be thousands of them, for ever: a list of another network, of
//! machines that are switched off. A pass costs what is in it, and never more
//! than a bounded time: who was never looked for comes first, then some of the
//! others, those first that were looked for longest ago.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::map::NodeId;
use crate::tend::Host;

/// Hosts that are tried at the same time.
const AT_ONCE: usize = 256;
/// Peers that are looked for again in a pass; more of them only if one is found.
const AGAIN: usize = 64;

/// A peer that was not reached.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Where it is said to be.
    pub(super) hosts: Vec<Host>,
    /// Where it was, if it is in the table: that it does not answer there is known.
    pub(super) from: Option<SocketAddr>,
    /// Whether it is in the table.
    pub(super) known: bool,
    /// Whether its trouble was told.
    pub(super) told: bool,
    /// What is wrong with its hosts, if none has an address.
    pub(super) unresolved: Option<String>,
    /// Whether it answered that it has not joined its cluster yet.
    pub(super) starting: bool,
    /// Whether it answered that it belongs to another cluster.
    pub(super) of_another: bool,
    /// Whether it was looked for before it was looked for last.
    repeated: bool,
    /// The pass in which it was looked for last; 0 = never.
    tried: u64,
    /// The lists in which it was found last.
    listed: u64,
    /// Where it was said to be before those.
    before: Vec<Host>,
}

impl Missing {
    /// Whether it is listed without any address, and not in the table.
    pub(super) fn is_nowhere(&self) -> bool {
        !self.known && self.hosts.is_empty()
    }
}

/// All of them, and those whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Unreached {
    peers: BTreeMap<NodeId, Missing>,
    pass: u64,
    lists: u64,
    fresh: VecDeque<NodeId>,
    again: VecDeque<NodeId>,
    /// How many of `again` may still be looked for in this pass.
    budget: usize,
}

impl Unreached {
    /// A pass begins.
    pub(super) fn begin_pass(&mut self) {
        self.pass += 1;
        self.fresh.clear();
        self.again.clear();
        self.budget = AGAIN;
    }

    /// Lists are about to be read from the beginning.
    pub(super) fn begin_lists(&mut self) {
        self.lists += 1;
    }

    /// A list names a peer that is not reached.
    pub(super) fn list(
        &mut self,
        id: NodeId,
        hosts: Vec<Host>,
        known: bool,
        from: Option<SocketAddr>,
    ) {
        let missing = self.peers.entry(id).or_default();
        if missing.listed == 0 {
            self.fresh.push_back(id);
        }
        if missing.listed != self.lists {
            missing.listed = self.lists;
            missing.before = core::mem::take(&mut missing.hosts);
        }
        (missing.known, missing.from) = (known, from);
        for host in hosts {
            if !missing.hosts.contains(&host) {
                missing.hosts.push(host);
            }
        }
    }

    /// Forgets those that no list names any more.
    pub(super) fn end_lists(&mut self) {
        let lists = self.lists;
        self.peers.retain(|_, missing| missing.listed == lists);
    }

    /// Puts those whose turn it is into their order. Those that are said to be
    /// somewhere else now count as new.
    pub(super) fn queue(&mut self) {
        self.fresh.clear();
        let mut again = Vec::new();
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
                0 => self.fresh.push_back(id),
                tried if tried < self.pass => again.push((!missing.starting, tried, id)),
                _ => {}
            }
        }
        again.sort_unstable();
        self.again = again.into_iter().map(|(_, _, id)| id).collect();
    }

    /// The next ones to be looked for at the same time; none = enough for this
    /// pass.
    pub(super) fn next(&mut self) -> Vec<NodeId> {
        let (mut wave, mut hosts) = (Vec::new(), 0);
        while hosts < AT_ONCE {
            let id = match self.fresh.pop_front() {
                Some(id) => id,
                None if self.budget == 0 => break,
                None => match self.again.pop_front() {
                    Some(id) => {
                        self.budget -= 1;
                        id
                    }
                    None => break,
                },
            };
            let pass = self.pass;
            let Some(missing) = self.peers.get_mut(&id) else { continue };
            if missing.hosts.is_empty() || missing.tried == pass {
                continue;
            }
            missing.repeated = missing.tried > 0;
            missing.tried = pass;
            hosts += missing.hosts.len();
            wave.push(id);
        }
        wave
    }

    /// One of them was found: others may be back, too.
    pub(super) fn found(&mut self, id: &NodeId) -> Option<Missing> {
        let missing = self.peers.remove(id)?;
        if missing.repeated {
            self.budget = self.budget.max(AGAIN);
        }
        Some(missing)
    }

    /// One of them was found, and is to be looked for first of all.
    pub(super) fn prefer(&mut self, id: &NodeId) {
        self.budget = self.budget.max(AGAIN);
        if let Some(missing) = self.peers.get_mut(id) {
            missing.tried = 0;
        }
    }

    pub(super) fn get(&self, id: &NodeId) -> Option<&Missing> {
        self.peers.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &NodeId) -> Option<&mut Missing> {
        self.peers.get_mut(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Missing)> {
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

    fn listed(numbers: impl Iterator<Item = usize>, port: u16) -> Unreached {
        let mut unreached = Unreached::default();
        list(&mut unreached, numbers, port);
        unreached
    }

    fn list(unreached: &mut Unreached, numbers: impl Iterator<Item = usize>, port: u16) {
        unreached.begin_lists();
        for number in numbers {
            unreached.list(id(number), vec![Host::new("h", port).unwrap()], false, None);
        }
        unreached.end_lists();
    }

    /// Those that are looked for in one pass.
    fn pass(unreached: &mut Unreached) -> Vec<Vec<NodeId>> {
        unreached.begin_pass();
        unreached.queue();
        let mut waves = Vec::new();
        loop {
            match unreached.next() {
                wave if wave.is_empty() => return waves,
                wave => waves.push(wave),
            }
        }
    }

    #[test]
    fn h60_all_have_their_turn_and_a_pass_has_few() {
        let mut unreached = listed(0..1000, 1);
        let first: Vec<usize> = pass(&mut unreached).iter().map(Vec::len).collect();
        assert_eq!(first, [256, 256, 256, 232], "who was never looked for");
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
            unreached.list(id(number), vec![host], false, None);
        }
        unreached.end_lists();
        assert_eq!(pass(&mut unreached).concat()[0], id(7));
        // The same addresses in another order are the same.
        let hosts = ["x", "y"].map(|name| Host::new(name, 1).unwrap());
        let (mut there, mut back) = (hosts.to_vec(), hosts.to_vec());
        back.reverse();
        for hosts in [&mut there, &mut back] {
            unreached.begin_lists();
            unreached.list(id(0), core::mem::take(hosts), false, None);
            unreached.end_lists();
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
            let wave = unreached.next();
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
    fn h60_those_that_nobody_lists_any_more_are_forgotten() {
        let mut unreached = listed(0..10, 1);
        list(&mut unreached, 5..10, 1);
        assert_eq!(unreached.iter().count(), 5);
        assert_eq!(pass(&mut unreached).concat().len(), 5);
    }
}
