//! Who holds what: partitions and racks of the nodes whose generations moved.

use super::AerospikeSource;
use super::identity::WHO;
use super::partitions::apply;
use crate::map::NamespaceName;
use crate::tend::info::{self, Claim, InfoError, Racks, Replicas, Reply};
use crate::tend::transport::{Answer, Interrupted, Transport};
use crate::tend::{TendEvent, Turn};

/// A node is asked at most so often in a pass: again if another's claim took
/// an entry from it, because its own may be the later one.
const ROUNDS: usize = 2;

/// Namespaces without room that are told, each once; all are counted.
const MOST_REFUSED_TOLD: usize = 256;

/// What is read from one reply before anything is made of it.
struct Read {
    partitions: Option<(i32, Replicas)>,
    racks: Option<(i32, Racks)>,
}

impl<T: Transport> AerospikeSource<T> {
    /// Reads the partitions and racks of all nodes whose generations moved.
    pub(super) fn refresh(&mut self, turn: &mut dyn Turn) -> Result<(), Interrupted> {
        self.take_standing();
        for _ in 0..ROUNDS {
            let asks = self.due();
            if asks.is_empty() {
                break;
            }
            for (index, questions, answer) in self.ask_nodes(turn, asks)? {
                match answer {
                    Err(error) => self.node_failed(turn, index, &error),
                    Ok(answer) => self.take_refresh(turn, index, &questions, &answer),
                }
            }
        }
        self.set_racks();
        Ok(())
    }

    /// The nodes to be asked and what.
    fn due(&self) -> Vec<(usize, Vec<String>)> {
        let mut asks = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(status) = node.usable() else { continue };
            let mut questions = Vec::new();
            if node.generations.partitions != Some(status.partitions) {
                questions.extend(["partition-generation", "replicas"]);
            }
            // What a newcomer's counter says is known from the next pass on,
            // but its racks belong into the first map.
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

    fn take_refresh(
        &mut self,
        turn: &mut dyn Turn,
        index: usize,
        questions: &[String],
        answer: &Answer,
    ) {
        let parsed = Reply::parse(&answer.body, questions).and_then(|reply| {
            let is_it = self.is_of(index, &reply)?;
            Ok((is_it, read(questions, &reply, self.map.capacity().partitions)?))
        });
        let read = match parsed {
            Ok((true, read)) => read,
            Ok((false, _)) => {
                // Another one by now; the next pass asks which.
                self.nodes[index].connection = None;
                self.nodes[index].status = None;
                return;
            }
            Err(error) => return self.bad_reply(turn, index, &error),
        };
        let node = &mut self.nodes[index];
        node.on_connection(answer.connection);
        if let Some((generation, racks)) = read.racks {
            node.set_racks(racks);
            node.generations.rebalance = Some(generation);
            if let Some(status) = &mut node.status {
                status.rebalance = Some(generation);
            }
        }
        if let Some((generation, replicas)) = read.partitions {
            if let Some(status) = &mut node.status {
                status.partitions = generation;
            }
            if generation != -1 {
                // It matters of those that the map has: a reply has room for a
                // million others.
                let known = |name: &NamespaceName| self.map.namespace(name).is_some();
                node.unread = replicas.unread.into_iter().filter(known).collect();
                node.bad_lists.replicas = replicas.bad;
                self.take_claims(turn, index, generation, &replicas.claims);
            }
        }
    }

    fn take_claims(
        &mut self,
        turn: &mut dyn Turn,
        index: usize,
        generation: i32,
        claims: &[Claim],
    ) {
        let node = &mut self.nodes[index];
        node.namespaces =
            Some(claims.iter().map(|claim| (claim.namespace, claim.regime)).collect());
        let master = |claim: &Claim| {
            let masters = claim.columns.first()?.clone();
            Some((claim.namespace, claim.regime, masters))
        };
        node.masters = claims.iter().filter_map(master).collect();
        node.generations.partitions = Some(generation);
        node.read = true;
        self.contradictions.claims_read();
        node.withheld = !self.standing.counts(index);
        if node.withheld {
            return;
        }
        let slot = node.slot;
        let protected = self.standing.protected(index, &self.nodes);
        let applied = apply(&mut self.map, slot, claims, &protected);
        self.nodes[index].withheld = applied.withheld;
        self.changed |= applied.changed;
        for name in applied.added {
            self.refused_namespaces.remove(&name);
            turn.event(TendEvent::NamespaceAdded { name });
        }
        for full in applied.refused {
            if self.refused_namespaces.insert(full.name)
                && self.refused_namespaces.len() <= MOST_REFUSED_TOLD
            {
                let (name, capacity) = (full.name, full.capacity);
                turn.event(TendEvent::NamespaceRefused { name, capacity });
            }
        }
        for slot in applied.displaced {
            if let Some(node) = self.nodes.iter_mut().find(|node| node.slot == slot) {
                node.generations.partitions = None;
            }
        }
    }

    /// Sets every rack that is known.
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

fn read(questions: &[String], reply: &Reply<'_>, partitions: usize) -> Result<Read, InfoError> {
    let asked = |command: &str| questions.iter().any(|question| question == command);
    let mut read = Read { partitions: None, racks: None };
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
        // Community servers refuse the command: they have no racks.
        let racks = match reply.value("rack-ids") {
            Err(InfoError::Refused { .. }) => Racks::default(),
            value => info::parse_racks(value?),
        };
        read.racks = Some((generation, racks));
    }
    Ok(read)
}
