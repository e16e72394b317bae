//! Reads the partitions and racks of nodes whose generations have changed.

use std::collections::BTreeSet;

use super::Tender;
use super::identity::WHO;
use super::partitions::apply;
use crate::map::NamespaceName;
use crate::tend::transport::{Answer, Interrupted, Transport};
use crate::tend::{TendEvent, Turn};
use crate::wire::info::{self, Claim, InfoError, NodeRacks, Replicas, Reply};

/// The most times a node is asked in a pass. It is asked again if the claim of
/// another node took an entry from it, because its own claim may be the later
/// one.
const ROUNDS: usize = 2;

/// The content of one reply before it is evaluated.
struct ReplyContent {
    partitions: Option<(i32, Replicas)>,
    racks: Option<(i32, NodeRacks)>,
}

impl<T: Transport> Tender<T> {
    /// Reads the partitions and racks of all nodes whose generations changed.
    pub(super) fn refresh(&mut self, turn: &mut dyn Turn) -> Result<(), Interrupted> {
        self.find_peer_groups();
        self.readmit();
        for _ in 0..ROUNDS {
            let asks = self.due();
            if asks.is_empty() {
                break;
            }
            // First everything that is listed, then the claims of namespaces with
            // room.
            let mut claims = Vec::new();
            for (index, questions, answer) in self.ask_nodes(turn, asks)? {
                match answer {
                    Err(error) => self.node_failed(turn, index, &error),
                    Ok(answer) => {
                        let read = self.take_refresh(turn, index, &questions, &answer);
                        claims.extend(read.map(|claims| (index, claims)));
                    }
                }
            }
            if !claims.is_empty() {
                let admitted = self.admit_namespaces(turn);
                for (index, claims) in claims {
                    self.take_claims(turn, index, &claims, &admitted);
                }
            }
        }
        self.set_racks();
        Ok(())
    }

    /// The nodes to be asked, with the questions.
    fn due(&self) -> Vec<(usize, Vec<String>)> {
        let mut asks = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(status) = node.usable() else { continue };
            let mut questions = Vec::new();
            if node.generations.partitions != Some(status.partitions) {
                questions.extend(["partition-generation", "replicas"]);
            }
            // The counter of a new node is only known from the next pass on,
            // but its racks belong in the first map.
            let racks_known = match status.rebalance {
                Some(generation) => node.generations.rebalance == Some(generation),
                None => !node.fresh || node.racks.is_some(),
            };
            if !racks_known {
                questions.extend(["rebalance-generation", "rack-ids"]);
            }
            if !questions.is_empty() {
                questions.extend(WHO);
                asks.push((index, questions.into_iter().map(String::from).collect()));
            }
        }
        asks
    }

    /// Applies what a node reports about itself; returns its claims.
    fn take_refresh(
        &mut self,
        turn: &mut dyn Turn,
        index: usize,
        questions: &[String],
        answer: &Answer,
    ) -> Option<Vec<Claim>> {
        let parsed = Reply::parse(&answer.body, questions).and_then(|reply| {
            let is_it = self.is_of(index, &reply)?;
            Ok((is_it, read(questions, &reply, self.map.capacity().partitions)?))
        });
        let read = match parsed {
            Ok((true, read)) => read,
            Ok((false, _)) => {
                // Another node answers by now. The next pass asks which.
                self.nodes[index].connection = None;
                self.nodes[index].status = None;
                return None;
            }
            Err(error) => {
                self.bad_reply(turn, index, &error);
                return None;
            }
        };
        self.nodes[index].on_connection(answer.connection);
        let claims = read
            .partitions
            .and_then(|(generation, replicas)| self.note_claims(index, generation, replicas));
        let node = &mut self.nodes[index];
        if let Some((generation, racks)) = read.racks {
            node.set_racks(racks);
            node.generations.rebalance = Some(generation);
            if let Some(status) = &mut node.status {
                status.rebalance = Some(generation);
            }
        }
        claims
    }

    /// Records the namespaces that a node lists.
    fn note_claims(
        &mut self,
        index: usize,
        generation: i32,
        replicas: Replicas,
    ) -> Option<Vec<Claim>> {
        let node = &mut self.nodes[index];
        if let Some(status) = &mut node.status {
            status.partitions = generation;
        }
        if generation == -1 {
            return None;
        }
        // Only namespaces of the map matter here: a reply may name a million
        // others.
        let known = |name: &NamespaceName| self.map.namespace(name).is_some();
        node.unread = replicas.unread.into_iter().filter(known).collect();
        node.bad_lists.replicas = replicas.bad;
        let most = 2 * self.map.capacity().max_namespaces;
        let named = |claim: &Claim| (claim.namespace, claim.regime);
        let (mut namespaces, mut others): (Vec<_>, Vec<_>) =
            replicas.claims.iter().map(named).partition(|(name, _)| known(name));
        others.sort_unstable();
        node.more_namespaces = others.len().saturating_sub(most);
        namespaces.extend(others.into_iter().take(most));
        node.namespaces = Some(namespaces);
        node.generations.partitions = Some(generation);
        node.read = true;
        Some(replicas.claims)
    }

    /// Applies a node's claims for the namespaces that have room.
    fn take_claims(
        &mut self,
        turn: &mut dyn Turn,
        index: usize,
        claims: &[Claim],
        admitted: &BTreeSet<NamespaceName>,
    ) {
        let claims: Vec<&Claim> =
            claims.iter().filter(|claim| admitted.contains(&claim.namespace)).collect();
        let node = &mut self.nodes[index];
        let master = |claim: &&Claim| {
            let masters = claim.columns.first()?.clone();
            Some((claim.namespace, claim.regime, masters))
        };
        node.masters = claims.iter().filter_map(master).collect();
        self.contradictions.claims_read();
        node.withheld = !self.peer_groups.counts(index);
        if node.withheld {
            return;
        }
        let slot = node.slot;
        let protected = self.peer_groups.protected(index, &self.nodes);
        let applied = apply(&mut self.map, slot, &claims, &protected);
        self.nodes[index].withheld = applied.withheld;
        self.changed |= applied.changed;
        for name in applied.added {
            turn.event(TendEvent::NamespaceAdded { name });
        }
        for slot in applied.displaced {
            if let Some(node) = self.nodes.iter_mut().find(|node| node.slot == slot) {
                node.generations.partitions = None;
            }
        }
    }

    /// Writes the known racks into the map.
    fn set_racks(&mut self) {
        for node in &self.nodes {
            let Some(racks) = &node.racks else { continue };
            for namespace in self.map.namespaces_mut() {
                let rack = racks.iter().find(|(name, _)| *name == namespace.name);
                self.changed |= namespace.set_rack(node.slot, rack.map(|&(_, rack)| rack));
            }
        }
    }
}

fn read(
    questions: &[String],
    reply: &Reply<'_>,
    partitions: usize,
) -> Result<ReplyContent, InfoError> {
    let asked = |command: &str| questions.iter().any(|question| question == command);
    let mut read = ReplyContent { partitions: None, racks: None };
    if asked("replicas") {
        let generation = info::parse_generation(reply.value("partition-generation")?)?;
        let replicas = info::parse_replicas(reply.value("replicas")?, partitions)?;
        read.partitions = Some((generation, replicas));
    }
    if asked("rack-ids") {
        let generation = match reply.value("rebalance-generation") {
            Err(InfoError::Refused { .. }) => 0,
            value => info::parse_generation(value?)?,
        };
        // Servers of the community edition refuse the command: they have no racks.
        let racks = match reply.value("rack-ids") {
            Err(InfoError::Refused { .. }) => NodeRacks::default(),
            value => info::parse_racks(value?),
        };
        read.racks = Some((generation, racks));
    }
    Ok(read)
}
