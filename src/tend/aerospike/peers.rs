//! Who is in the cluster: lists of peers, nodes that come, move and go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use super::AerospikeSource;
use super::identity::WHO;
use super::node::NodeState;
use super::pass::Pass;
use super::validate::Validated;
use crate::map::{Node, NodeId, TlsName};
use crate::tend::info::{self, BadEntries, InfoError, Peer, Peers, Reply};
use crate::tend::transport::{Interrupted, Transport};
use crate::tend::{Condition, Host, TendEvent, Turn};

/// Peers of a list that are taken over from one beat to the next.
const PEERS_A_BEAT: usize = 1024;

/// What one node says of its peers.
#[derive(Debug)]
pub(super) struct List {
    /// Whose list it is.
    pub(super) id: NodeId,
    /// The generation, read before the list.
    generation: i32,
    /// Each peer once, the node itself left out.
    peers: Vec<Peer>,
    /// What could not be used.
    bad: BadEntries,
    /// The node itself, if it is not in the table at that address yet.
    newcomer: Option<Validated>,
}

impl List {
    fn new(id: NodeId, generation: i32, peers: Peers) -> List {
        let Peers { peers: found, bad, .. } = peers;
        let mut place: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut peers: Vec<Peer> = Vec::with_capacity(found.len());
        for peer in found.into_iter().filter(|peer| peer.id != id) {
            match place.get(&peer.id) {
                // Listed twice: it is looked for wherever it is said to be.
                Some(&at) => peers[at].add(peer),
                None => {
                    place.insert(peer.id, peers.len());
                    peers.push(peer);
                }
            }
        }
        List { id, generation, peers, bad, newcomer: None }
    }

    /// The list of a server that was just validated.
    pub(super) fn of_new(mut validated: Validated) -> List {
        let none = Peers { generation: 0, peers: Vec::new(), bad: BadEntries::default() };
        let peers = core::mem::replace(&mut validated.peers, none);
        let list = List::new(validated.id, validated.status.peers, peers);
        List { newcomer: Some(validated), ..list }
    }

    /// How many peers it has, if there are some and none has an address.
    pub(super) fn without_addresses(&self) -> Option<usize> {
        let nowhere = self.bad.is_empty() && self.peers.iter().all(|peer| peer.hosts.is_empty());
        Some(self.peers.len()).filter(|&peers| nowhere && peers > 0)
    }
}

impl<T: Transport> AerospikeSource<T> {
    /// Asks all nodes that answer for their peers. Where logins go over TLS the
    /// lists come over TLS, too: they say where the next logins go, and which name
    /// a certificate must bear there.
    pub(super) fn ask_peers(&mut self, turn: &mut dyn Turn) -> Result<Vec<List>, Interrupted> {
        let command = self.commands.peers;
        let (_, for_login_only) = self.config.secure();
        let questions = ["peers-generation", command].into_iter().chain(WHO);
        let questions: Vec<String> = questions.map(String::from).collect();
        let asks = (0..self.nodes.len())
            .filter(|&index| self.nodes[index].usable().is_some())
            .filter(|&index| !for_login_only || self.nodes[index].secure.is_some())
            .map(|index| (index, questions.clone()))
            .collect();
        let mut lists = Vec::new();
        let place = |node: &NodeState| node.secure.unwrap_or(node.address);
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
                Ok(Some((generation, info::parse_peers(reply.value(command)?)?)))
            };
            match read() {
                Ok(None) if for_login_only => {
                    self.list_unread(index, "another node answers there");
                }
                Err(error) if for_login_only => self.list_unread(index, &error.to_string()),
                Ok(None) => {
                    // Another one by now; the next pass asks which.
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
                    // What it lists counts in no pass in which it is not read.
                    self.nodes[index].generations.peers = None;
                }
            }
        }
        Ok(lists)
    }

    /// A node that answers in clear gives no list over TLS: only that is missing.
    fn list_unread(&mut self, index: usize, why: &str) {
        let node = &mut self.nodes[index];
        let place = node.secure.unwrap_or(node.address);
        node.note(format!("no peers from {place}, where it takes logins: {why}"));
        node.generations.peers = None;
        self.conditions.add(Condition::UnreadNodes, 1);
    }

    /// Follows the lists until nothing new comes, then takes nodes out of the
    /// table and into it.
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
        loop {
            for list in &lists[next..] {
                // Servers may list others without end. What the map has no room
                // for is not looked for through nodes that are new themselves.
                let room = self.nodes.len() + found.len() <= self.map.nodes.capacity();
                let follow = room || list.newcomer.is_none();
                self.take_list(turn, list, &known, &found, &mut listed, follow)?;
            }
            next = lists.len();
            if waves == 0 {
                self.unreached.queue();
            } else if begun.elapsed() >= self.config.connect_timeout {
                break;
            }
            let wave = self.unreached.next();
            if wave.is_empty() {
                break;
            }
            waves += 1;
            for good in self.look_for(turn, pass, &wave)? {
                found.insert(good.id);
                if let Some(missing) = self.unreached.found(&good.id) {
                    missing.hosts.iter().for_each(|host| self.known.found(host));
                }
                lists.push(List::of_new(good));
            }
            // Those that answered and are not wanted keep no connection meanwhile.
            let newcomers = lists.iter().filter_map(|list| list.newcomer.as_ref());
            let wanted = self.nodes.iter().map(|node| node.address);
            let wanted = wanted.chain(newcomers.map(|newcomer| newcomer.address)).collect();
            self.transport.keep(&wanted);
        }
        self.unreached.end_lists();
        // Another one has its address: they can't both be in the map.
        let newcomers = lists.iter().filter_map(|list| list.newcomer.as_ref());
        let taken: BTreeSet<SocketAddr> = newcomers.map(|newcomer| newcomer.address).collect();
        self.choose_leaving(&lists, &listed, &found, &taken);
        self.take_out(turn, |node| node.replaced && taken.contains(&node.address));
        for list in &mut lists {
            if let Some(newcomer) = list.newcomer.take() {
                self.add_node(turn, newcomer);
            }
        }
        self.refused_nodes.retain(|id| listed.contains(id) || found.contains(id));
        let place: BTreeMap<NodeId, usize> =
            self.nodes.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
        for list in &lists {
            if let Some(node) = place.get(&list.id).map(|&index| &mut self.nodes[index]) {
                node.bad_lists.peers = list.bad.clone();
                let peers = Some(list.peers.iter().map(|peer| peer.id).collect());
                if node.peers != peers {
                    node.peers = peers;
                    self.standing.list_changed();
                }
                // Those that were not reached are kept by themselves.
                node.generations.peers = Some(list.generation);
            }
        }
        Ok(())
    }

    /// Takes over what one list says: who is listed, and who is to be looked for.
    fn take_list(
        &mut self,
        turn: &mut dyn Turn,
        list: &List,
        known: &BTreeMap<NodeId, usize>,
        found: &BTreeSet<NodeId>,
        listed: &mut BTreeSet<NodeId>,
        follow: bool,
    ) -> Result<(), Interrupted> {
        for (number, peer) in list.peers.iter().enumerate() {
            if number % PEERS_A_BEAT == 0 && turn.beat().is_break() {
                return Err(Interrupted);
            }
            listed.insert(peer.id);
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
                self.unreached.list(peer.id, hosts, is_known, from);
            }
        }
        Ok(())
    }

    /// Takes a validated node into the table, or to its new address.
    fn add_node(&mut self, turn: &mut dyn Turn, new: Validated) {
        let Validated { id, address, secure, connection, status, service, bad_service, .. } = new;
        let no_alternate = service.is_empty() && bad_service.is_empty();
        // Whoever connects to it has to know what its certificate bears, where
        // that is not its address.
        let is_address = |name: &String| name.parse::<std::net::IpAddr>().is_ok();
        let name = self.names.get(&address).filter(|name| !is_address(name));
        let tls_name = name.and_then(|name| TlsName::new(name).ok());
        let status = Some(status);
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id == id) {
            let from = node.address;
            self.map.nodes.relocate(node.slot, address, tls_name);
            let told_failed = node.told_failed;
            *node = NodeState { secure, ..NodeState::new(id, node.slot, address) };
            node.connection = Some(connection);
            node.status = status;
            node.bad_lists.service = bad_service;
            node.no_alternate = no_alternate;
            node.told_failed = told_failed;
            node.fresh = true;
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
        match self.map.nodes.insert(Node { id, address, tls_name }) {
            Ok(slot) => {
                let mut state = NodeState { secure, ..NodeState::new(id, slot, address) };
                state.bad_lists.service = bad_service;
                state.no_alternate = no_alternate;
                self.nodes.push(NodeState {
                    connection: Some(connection),
                    status,
                    fresh: true,
                    ..state
                });
                self.refused_nodes.remove(&id);
                self.changed = true;
                turn.event(TendEvent::NodeAdded { id, address });
            }
            Err(full) => {
                if self.refused_nodes.insert(id) {
                    turn.event(TendEvent::NodeRefused { id, capacity: full.capacity });
                }
            }
        }
    }
}
