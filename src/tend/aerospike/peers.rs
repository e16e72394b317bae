//! The members of the cluster: lists of peers, and nodes that join, move and
//! leave.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use super::Tender;
use super::identity::WHO;
use super::node::TendedNode;
use super::pass::Pass;
use super::unreached::{MissingPeer, PeerMention};
use super::validate::ValidServer;
use crate::map::{Node, NodeId, TlsName};
use crate::tend::transport::{Interrupted, Transport};
use crate::tend::{Condition, TendEvent, Turn};
use crate::wire::Host;
use crate::wire::info::{self, BadEntries, InfoError, Peer, Peers, Reply};

/// The number of peers of a list that are processed between two beats.
const PEERS_PER_BEAT: usize = 1024;

/// The number of peers, besides known nodes, that all lists together may name:
/// no more are held in memory.
const HELD: usize = 1 << 18;
/// The least number of peers that are searched for, even for a small map. All
/// others may be unreachable, and one of these may be a node of the cluster.
const LEAST_UNREACHED: usize = 1024;
/// The number of nodes that are searched for beyond the room in the map.
const SURPLUS: usize = 8;
/// The most nodes without room that are remembered and reported, each once.
const MOST_REFUSED: usize = 256;

/// The peers that one node reports.
#[derive(Debug)]
pub(super) struct List {
    /// The node that sent the list.
    pub(super) id: NodeId,
    /// The generation, read before the list.
    generation: i32,
    /// Each peer once, without the node itself. Emptied when the list is followed.
    peers: Vec<Peer>,
    /// Their ids.
    ids: Vec<NodeId>,
    /// The number of listed peers that are not kept.
    more: usize,
    /// The number of new nodes on the path to the list: 0 = it is the list of a
    /// node of the table.
    depth: usize,
    /// Entries that could not be used.
    bad: BadEntries,
    /// The node itself, if it is not in the table at that address yet.
    newcomer: Option<ValidServer>,
}

impl List {
    fn new(id: NodeId, generation: i32, peers: Peers) -> List {
        let Peers { peers: found, more, bad, .. } = peers;
        let mut place: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut peers: Vec<Peer> = Vec::with_capacity(found.len());
        for peer in found.into_iter().filter(|peer| peer.id != id) {
            match place.get(&peer.id) {
                // Listed twice: it is searched for at all addresses.
                Some(&at) => peers[at].add(peer),
                None => {
                    place.insert(peer.id, peers.len());
                    peers.push(peer);
                }
            }
        }
        let ids = peers.iter().map(|peer| peer.id).collect();
        List { id, generation, peers, ids, more, depth: 0, bad, newcomer: None }
    }

    /// Takes the list of a server that was just validated.
    pub(super) fn of_new(mut validated: ValidServer) -> List {
        let none = Peers { generation: 0, peers: Vec::new(), more: 0, bad: BadEntries::default() };
        let peers = core::mem::replace(&mut validated.peers, none);
        let list = List::new(validated.id, validated.status.peers, peers);
        List { newcomer: Some(validated), ..list }
    }

    /// The number of peers, if there are any and none has an address.
    pub(super) fn without_addresses(&self) -> Option<usize> {
        let nowhere = self.bad.is_empty()
            && self.more == 0
            && self.peers.iter().all(|peer| peer.hosts.is_empty());
        Some(self.peers.len()).filter(|&peers| nowhere && peers > 0)
    }
}

impl<T: Transport> Tender<T> {
    /// Asks all nodes that answer for their peers. If logins use TLS, the lists
    /// are read over TLS, too: they determine where the next logins are sent,
    /// and which name a certificate must have there.
    pub(super) fn ask_peers(&mut self, turn: &mut dyn Turn) -> Result<Vec<List>, Interrupted> {
        let command = self.commands.peers;
        let (_, for_login_only) = self.config.secure();
        let questions = ["peers-generation", command].into_iter().chain(WHO);
        let questions: Vec<String> = questions.map(String::from).collect();
        let asks: Vec<(usize, Vec<String>)> = (0..self.nodes.len())
            .filter(|&index| self.nodes[index].usable().is_some())
            .filter(|&index| !for_login_only || self.nodes[index].secure.is_some())
            .map(|index| (index, questions.clone()))
            .collect();
        let most = self.most_peers(asks.len());
        let known: BTreeSet<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        let mut lists = Vec::new();
        let place = |node: &TendedNode| node.secure.unwrap_or(node.address);
        for (index, questions, answer) in self.ask_nodes_at(turn, asks, place)? {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) if for_login_only => {
                    self.list_unread(index, &error.to_string());
                    continue;
                }
                Err(error) => {
                    self.node_failed(turn, index, &error);
                    continue;
                }
            };
            let read = || -> Result<Option<(i32, Peers)>, InfoError> {
                let reply = Reply::parse(&answer.body, &questions)?;
                if !self.is_of(index, &reply)? {
                    return Ok(None);
                }
                let generation = info::parse_generation(reply.value("peers-generation")?)?;
                let peers = reply.value(command)?;
                let is_known = |id: &NodeId| known.contains(id);
                Ok(Some((generation, info::parse_peers_within(peers, most, &is_known)?)))
            };
            match read() {
                Ok(None) if for_login_only => {
                    self.list_unread(index, "another node answers there");
                }
                Err(error) if for_login_only => self.list_unread(index, &error.to_string()),
                Ok(None) => {
                    // Another node answers by now. The next pass asks which.
                    self.nodes[index].connection = None;
                    self.nodes[index].status = None;
                }
                Ok(Some((generation, peers))) => {
                    if !for_login_only {
                        self.nodes[index].on_connection(answer.connection);
                    }
                    lists.push(List::new(self.nodes[index].id, generation, peers));
                }
                Err(error) => {
                    self.bad_reply(turn, index, &error);
                    // A list is not used in a pass in which it was not read.
                    self.nodes[index].generations.peers = None;
                }
            }
        }
        Ok(lists)
    }

    /// Records that a node answers in plaintext but sends no list of peers over
    /// TLS: only the list is missing.
    fn list_unread(&mut self, index: usize, why: &str) {
        let node = &mut self.nodes[index];
        let place = node.secure.unwrap_or(node.address);
        node.note(format!("no peers from {place}, where it accepts logins: {why}"));
        node.generations.peers = None;
        self.conditions.add(Condition::UnreadNodes, 1);
    }

    /// The number of peers, besides known nodes, that each list may name if there
    /// are this many lists. All lists together are held in memory.
    pub(super) fn most_peers(&self, lists: usize) -> usize {
        (HELD / lists.max(1)).clamp(256, self.most_unreached())
    }

    /// The most peers outside the table that are searched for: as many as the map
    /// may have nodes.
    fn most_unreached(&self) -> usize {
        self.map.nodes.capacity().max(LEAST_UNREACHED)
    }

    /// The number of nodes that may be searched for in addition to those found.
    /// It is slightly more than there is room for, so that a node without room is
    /// reported.
    fn room(&self, known: &BTreeMap<NodeId, usize>, found: &BTreeSet<NodeId>) -> usize {
        let stay = self.nodes.iter().filter(|node| !node.gone && !node.failed).count();
        let new = found.iter().filter(|id| !known.contains_key(id)).count();
        (self.map.nodes.capacity() + SURPLUS).saturating_sub(stay + new)
    }

    /// Follows the lists until they name nothing new, or the map is full. Then
    /// removes nodes from the table, and adds others to it.
    pub(super) fn take_peers(
        &mut self,
        turn: &mut dyn Turn,
        pass: &mut Pass,
        mut lists: Vec<List>,
    ) -> Result<(), Interrupted> {
        let begun = Instant::now();
        let known: BTreeMap<NodeId, usize> =
            self.nodes.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
        let mut listed = BTreeSet::new();
        // New nodes that were validated.
        let mut found: BTreeSet<NodeId> =
            lists.iter().filter(|list| list.newcomer.is_some()).map(|list| list.id).collect();
        let (mut next, mut waves) = (0, 0);
        self.unreached.begin_lists();
        let most = self.most_unreached();
        let mut depths: BTreeMap<NodeId, usize> = BTreeMap::new();
        loop {
            for list in &mut lists[next..] {
                // Servers may list other nodes without end. Nodes for which the
                // map has no room are not searched for through nodes that are
                // new themselves.
                let follow = list.newcomer.is_none() || self.room(&known, &found) > 0;
                self.take_list(turn, list, &known, &found, &mut listed, follow)?;
                self.unreached.end_list(most);
                for &id in list.ids.iter().filter(|_| follow) {
                    let depth = depths.entry(id).or_insert(list.depth + 1);
                    *depth = (*depth).min(list.depth + 1);
                }
            }
            next = lists.len();
            if waves == 0 {
                self.unreached.queue();
            } else if begun.elapsed() >= self.config.connect_timeout {
                break;
            }
            let wave = self.unreached.next(self.room(&known, &found));
            if wave.is_empty() {
                break;
            }
            waves += 1;
            for good in self.look_for(turn, pass, &wave)? {
                found.insert(good.id);
                if let Some(missing) = self.unreached.found(&good.id) {
                    missing.hosts.iter().for_each(|host| self.known.found(host));
                }
                let depth = depths.get(&good.id).copied().unwrap_or(1);
                lists.push(List { depth, ..List::of_new(good) });
            }
            // Connections to servers that answered but are not wanted are closed.
            let newcomers = lists.iter().filter_map(|list| list.newcomer.as_ref());
            let wanted = self.nodes.iter().map(|node| node.address);
            let wanted = wanted.chain(newcomers.map(|newcomer| newcomer.address)).collect();
            self.transport.keep(&wanted);
        }
        let left_out = self.unreached.end_lists(most);
        let longest = lists.iter().max_by_key(|list| list.more);
        let longest = longest.map(|list| (list.id, list.more));
        // Another node has its address: they can't both be in the map.
        let newcomers = lists.iter().filter_map(|list| list.newcomer.as_ref());
        let taken: BTreeSet<SocketAddr> = newcomers.map(|newcomer| newcomer.address).collect();
        self.choose_leaving(&lists, &listed, &found, &taken);
        self.take_out(turn, |node| node.replaced && taken.contains(&node.address));
        for list in &mut lists {
            if let Some(newcomer) = list.newcomer.take() {
                self.add_node(turn, newcomer);
            }
        }
        let full = self.map.nodes.len() == self.map.nodes.capacity();
        self.refused_nodes.retain(|id| found.contains(id) || full && listed.contains(id));
        self.report_cut_off(turn, longest, left_out, full);
        let place: BTreeMap<NodeId, usize> =
            self.nodes.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
        for list in &lists {
            if let Some(node) = place.get(&list.id).map(|&index| &mut self.nodes[index]) {
                node.bad_lists.peers = list.bad.clone();
                node.generations.peers = Some(list.generation);
            }
        }
        for list in &lists {
            let slot = |id: &NodeId| Some(self.nodes[*place.get(id)?].slot);
            let peers = Some(list.ids.iter().filter_map(slot).collect());
            if let Some(node) = place.get(&list.id).map(|&index| &mut self.nodes[index]) {
                // Peers that were not reached are kept in `unreached`.
                if node.peers != peers {
                    node.peers = peers;
                    self.peer_groups.list_changed();
                }
            }
        }
        Ok(())
    }

    /// Applies one list: notes which nodes are listed and which must be searched
    /// for.
    fn take_list(
        &mut self,
        turn: &mut dyn Turn,
        list: &mut List,
        known: &BTreeMap<NodeId, usize>,
        found: &BTreeSet<NodeId>,
        listed: &mut BTreeSet<NodeId>,
        follow: bool,
    ) -> Result<(), Interrupted> {
        for (number, peer) in core::mem::take(&mut list.peers).into_iter().enumerate() {
            if number % PEERS_PER_BEAT == 0 && turn.beat().is_break() {
                return Err(Interrupted);
            }
            if known.contains_key(&peer.id) || self.refused_nodes.contains(&peer.id) {
                listed.insert(peer.id);
            }
            let tls_name = peer.tls_name.as_ref();
            let mapped = peer.hosts.iter().map(|host| self.config.mapped(host));
            let hosts: Vec<Host> = mapped.map(|host| host.with_tls_name(tls_name)).collect();
            let node = known.get(&peer.id).map(|&index| &mut self.nodes[index]);
            let is_known = node.is_some();
            let mut from = None;
            if let Some(node) = node {
                node.no_alternate = hosts.is_empty();
                if !node.gone && !node.failed {
                    hosts.iter().for_each(|host| self.known.found(host));
                    continue;
                }
                from = (!node.gone && node.located).then_some(node.address);
            }
            hosts.iter().for_each(|host| self.known.told(host));
            if follow && !found.contains(&peer.id) {
                let (vote, depth) = (list.newcomer.is_none(), list.depth);
                let named = PeerMention { known: is_known, from, vote, place: number, depth };
                self.unreached.list(peer.id, hosts, named);
            }
        }
        Ok(())
    }

    /// Counts the peers that are not contacted because the map has no room for
    /// them, and reports them once until there are none.
    fn report_cut_off(
        &mut self,
        turn: &mut dyn Turn,
        longest: Option<(NodeId, usize)>,
        left_out: usize,
        full: bool,
    ) {
        let waiting =
            |(_, missing): &(&NodeId, &MissingPeer)| !missing.known && missing.is_untried();
        let waiting = if full { self.unreached.iter().filter(waiting).count() } else { 0 };
        let more = longest.map_or(0, |(_, more)| more);
        let before = core::mem::replace(&mut self.cut_off, more + left_out + waiting);
        if self.cut_off > 0 && before == 0 {
            let ceiling = self.map.nodes.capacity();
            let followed = self.nodes.len() + self.unreached.iter().count() - waiting;
            let listed = followed + self.cut_off;
            let by = longest.filter(|_| more > 0).map(|(id, _)| id);
            turn.event(TendEvent::PeersCutOff { listed, followed, ceiling, by });
        }
    }

    /// Adds a validated node to the table, or changes its address.
    fn add_node(&mut self, turn: &mut dyn Turn, new: ValidServer) {
        let (id, address, build) = (new.id, new.address, new.build.found);
        // A process that connects to the node must know the name in its
        // certificate, unless that is the address.
        let is_address = |name: &String| name.parse::<std::net::IpAddr>().is_ok();
        let name = self.names.get(&address).filter(|name| !is_address(name));
        let tls_name = name.and_then(|name| TlsName::new(name).ok());
        if let Some(index) = self.nodes.iter().position(|node| node.id == id) {
            self.note_build(turn, self.nodes[index].slot, build);
            let node = &mut self.nodes[index];
            let from = node.address;
            self.map.nodes.relocate(node.slot, address, tls_name);
            let (told_failed, listed) = (node.told_failed, core::mem::take(&mut node.listed));
            *node = TendedNode { told_failed, listed, ..TendedNode::found(new, node.slot) };
            if from != address {
                self.changed = true;
                turn.event(TendEvent::NodeMoved { id, from, to: address });
            }
            return;
        }
        self.left.remove(&id);
        if self.map.nodes.len() == self.map.nodes.capacity() {
            self.take_out(turn, |_| true);
        }
        match self.map.nodes.insert(Node { id, address, tls_name, build }) {
            Ok(slot) => {
                self.nodes.push(TendedNode::found(new, slot));
                self.refused_nodes.remove(&id);
                self.changed = true;
                turn.event(TendEvent::NodeAdded { id, address });
            }
            Err(_) => {
                let capacity = self.map.nodes.capacity();
                if self.refused_nodes.len() < MOST_REFUSED && self.refused_nodes.insert(id) {
                    turn.event(TendEvent::NodeRefused { id, capacity });
                }
            }
        }
    }
}
