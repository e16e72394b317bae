//! One pass: status, peers, partitions and racks.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::Tender;
use super::allowance::Allowance;
use super::node::{NodeReport, TendedNode};
use super::validate::Invalid;
use crate::map::{ClusterName, NodeId};
use crate::tend::transport::{Answer, Ask, AskError, Interrupted, Transport};
use crate::tend::{Condition, Conditions, TendError, TendEvent, TendReport, Turn};
use crate::wire::info::{self, InfoError, ReadBuild, Reply};

/// The most unreachable peers, and the most namespaces without room, that are
/// reported by events at once, and then in each further pass. Every list may
/// name new ones.
pub(super) const MOST_TELLS: usize = 256;
const EVENTS_PER_PASS: usize = 4;

/// State that is kept only during a pass.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Addresses that did not answer. They are not asked again in this pass.
    pub(super) dead: BTreeMap<SocketAddr, Invalid>,
}

/// The index of a node, its questions and its reply.
pub(super) type NodeAnswer = (usize, Vec<String>, Result<Answer, AskError>);

/// The input for a node's status.
pub(super) struct StatusInput {
    pub(super) id: NodeId,
    pub(super) status: NodeReport,
    pub(super) cluster: Option<ClusterName>,
    pub(super) build: ReadBuild,
}

impl<T: Transport> Tender<T> {
    pub(super) fn pass(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        match self.steps(turn) {
            Ok(()) => Ok(self.finish(turn)),
            Err(TendError::Interrupted) => Err(TendError::Interrupted),
            Err(error) => {
                self.failed_pass = self.count();
                self.count_failures();
                Err(error)
            }
        }
    }

    fn steps(&mut self, turn: &mut dyn Turn) -> Result<(), TendError> {
        self.conditions = Conditions::default();
        self.answers = 0;
        for node in &mut self.nodes {
            node.begin_pass();
        }
        self.unreached.begin_pass();
        for tells in [&mut self.tells, &mut self.namespace_tells] {
            *tells = (*tells + EVENTS_PER_PASS).min(MOST_TELLS);
        }
        let mut pass = Pass { dead: self.silent.clone() };
        self.ask_status(turn, &mut pass)?;
        let lists = if self.nodes.iter().any(|node| node.status.is_some() && !node.gone) {
            match self.peers_are_due() || self.look_again(turn, &mut pass)? {
                true => Some(self.ask_peers(turn)?),
                false => None,
            }
        } else {
            // No known node answers any more, or none is known yet.
            let of_seed = self.seed(turn, &mut pass)?;
            self.check_alternates(&of_seed)?;
            Some(vec![of_seed])
        };
        if let Some(lists) = lists {
            self.take_peers(turn, &mut pass, lists)?;
        }
        self.count_missing();
        self.refresh(turn)?;
        // Nodes that answer, but have not joined their cluster, or broke off.
        let unread = |node: &&TendedNode| {
            node.located && !node.failed && !node.bad && !node.gone && node.usable().is_none()
        };
        let unread = self.nodes.iter().filter(unread).count();
        self.conditions.add(Condition::UnreadNodes, unread);
        self.remove_leaving(turn);
        self.watch_claims(turn);
        self.watch_namespaces(turn);
        self.report_bad_entries(turn);
        self.report_alternates(turn);
        let addresses: BTreeSet<SocketAddr> = self.nodes.iter().map(|node| node.address).collect();
        self.transport.keep(&addresses);
        self.names.retain(|address, _| addresses.contains(address));
        Ok(())
    }

    /// Asks every node for its generations.
    fn ask_status(&mut self, turn: &mut dyn Turn, pass: &mut Pass) -> Result<(), Interrupted> {
        for node in self.nodes.iter_mut().filter(|node| !node.located) {
            // It counts as failed unless it is found by the end of the pass.
            node.failed = true;
        }
        let asks: Vec<(usize, Vec<String>)> = (0..self.nodes.len())
            .filter(|&index| self.nodes[index].located)
            .map(|index| {
                // The name is asked for with every status: a node can be renamed,
                // and join another cluster, while its connection stays open.
                // So is the build: the connection may have been opened for this
                // request, to a process that has replaced the node's last one.
                let questions = [
                    "node",
                    "peers-generation",
                    "partition-generation",
                    "rebalance-generation",
                    "cluster-name",
                    "build",
                ];
                (index, questions.map(String::from).to_vec())
            })
            .collect();
        let mut statuses = Vec::new();
        for (index, questions, answer) in self.ask_nodes(turn, asks)? {
            let address = self.nodes[index].address;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    pass.dead.insert(address, (&error).into());
                    self.node_failed(turn, index, &error);
                    continue;
                }
            };
            match read_status(&answer, &questions) {
                Ok(read) => statuses.push((index, answer.connection, read)),
                Err(error) => {
                    self.nodes[index].failed = true;
                    self.bad_reply(turn, index, &error);
                }
            }
        }
        self.take_statuses(turn, statuses);
        Ok(())
    }

    /// Asks nodes, all at the same time, each with its own questions.
    pub(super) fn ask_nodes(
        &mut self,
        turn: &mut dyn Turn,
        asks: Vec<(usize, Vec<String>)>,
    ) -> Result<Vec<NodeAnswer>, Interrupted> {
        self.ask_nodes_at(turn, asks, |node| node.address)
    }

    /// As [`ask_nodes`](Self::ask_nodes), but at the addresses given.
    pub(super) fn ask_nodes_at(
        &mut self,
        turn: &mut dyn Turn,
        asks: Vec<(usize, Vec<String>)>,
        place_of: impl Fn(&TendedNode) -> SocketAddr,
    ) -> Result<Vec<NodeAnswer>, Interrupted> {
        // Two nodes at one address: one of them will turn out to be gone.
        let mut sent: Vec<Ask> = Vec::new();
        let mut known: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        let mut place = Vec::new();
        for (index, commands) in &asks {
            let address = place_of(&self.nodes[*index]);
            let ask = Ask { address, commands: commands.clone() };
            let at = *known.entry(address).or_insert(sent.len());
            place.push(at);
            if at == sent.len() {
                sent.push(ask);
            }
        }
        let mut answers: Vec<Option<Result<Answer, AskError>>> = vec![None; sent.len()];
        if !sent.is_empty() {
            let mut allowance = Allowance::new(sent.len());
            self.transport.ask(&sent, turn, &mut |index, answer| {
                answers[index] = Some(allowance.take(answer));
                ControlFlow::Continue(())
            })?;
        }
        let lost = || Err(AskError::Broken("the request was abandoned".into()));
        self.answers += answers.iter().flatten().filter(|answer| answer.is_ok()).count();
        let mut left = vec![0; sent.len()];
        place.iter().for_each(|&at| left[at] += 1);
        let outcome = asks.into_iter().zip(place).map(|((index, _), at)| {
            left[at] -= 1;
            let answer = if left[at] == 0 { answers[at].take() } else { answers[at].clone() };
            (index, sent[at].commands.clone(), answer.unwrap_or_else(lost))
        });
        Ok(outcome.collect())
    }

    /// Records that a node did not answer. It is counted once per pass, and
    /// reported once until the node answers again.
    pub(super) fn node_failed(&mut self, turn: &mut dyn Turn, index: usize, error: &AskError) {
        let node = &mut self.nodes[index];
        node.failed = true;
        // A lack of local resources is not the node's fault.
        node.unasked |= matches!(error, AskError::Shortage(_));
        if let AskError::Malformed(error) = error {
            let error = error.clone();
            return self.bad_reply(turn, index, &error);
        }
        node.note(error.to_string());
        if !node.told_failed {
            node.told_failed = true;
            let (id, address, error) = (node.id, node.address, node.last_error.clone());
            turn.event(TendEvent::NodeFailed { id, address, error });
        }
    }

    /// Records an unusable reply. It is counted, and reported once until all
    /// replies of the node are good.
    pub(super) fn bad_reply(&mut self, turn: &mut dyn Turn, index: usize, error: &InfoError) {
        let node = &mut self.nodes[index];
        node.bad = true;
        node.note(error.to_string());
        if !node.told_bad {
            node.told_bad = true;
            turn.event(TendEvent::BadReply { id: node.id, error: node.last_error.clone() });
        }
    }

    /// Whether a list of peers changed, or may have.
    fn peers_are_due(&self) -> bool {
        // There is room now for a node that was refused before.
        let room = self.map.nodes.len() < self.map.nodes.capacity();
        if room && !self.refused_nodes.is_empty() {
            return true;
        }
        self.nodes.iter().any(|node| {
            let changed = |status: NodeReport| node.generations.peers != Some(status.peers);
            node.is_failing() || node.usable().is_some_and(changed)
        })
    }

    /// The report of a pass, successful or not.
    fn count(&mut self) -> TendReport {
        let shortage = self.transport.take_shortage();
        self.conditions.add(Condition::Shortage, shortage.as_ref().map_or(0, |(asks, _)| *asks));
        self.shortage = shortage.map(|(_, what)| what);
        let failed = |node: &TendedNode| node.is_failing() || node.bad;
        let nodes_failed = self.nodes.iter().filter(|node| failed(node)).count();
        TendReport {
            changed: false,
            nodes_ok: self.nodes.len() - nodes_failed,
            nodes_failed,
            refused: self.refused_nodes.len() + self.cut_off + self.cut_off_namespaces(),
            bad_replies: self.nodes.iter().filter(|node| node.bad).count(),
            answers: self.answers,
            bytes_in: self.transport.take_bytes_in(),
            conditions: self.conditions,
        }
    }

    /// Ends a successful pass: counts it, and reports recovered nodes.
    fn finish(&mut self, turn: &mut dyn Turn) -> TendReport {
        let report = self.count();
        for node in &mut self.nodes {
            if node.is_failing() {
                node.failures = node.failures.saturating_add(u32::from(!node.unasked));
                // Its identity is checked when it answers again.
                node.connection = None;
                node.forget();
            } else {
                node.failures = 0;
                if core::mem::take(&mut node.told_failed) {
                    turn.event(TendEvent::NodeRecovered { id: node.id });
                }
            }
            node.told_bad = node.bad;
        }
        TendReport { changed: core::mem::take(&mut self.changed), ..report }
    }

    /// Counts the failures of a pass that ends in an error.
    fn count_failures(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.is_failing()) {
            node.failures = node.failures.saturating_add(u32::from(!node.unasked));
            node.connection = None;
            node.forget();
        }
    }
}

fn read_status(answer: &Answer, questions: &[String]) -> Result<StatusInput, InfoError> {
    let reply = Reply::parse(&answer.body, questions)?;
    let generation = |command| Ok::<_, InfoError>(info::parse_generation(reply.value(command)?)?);
    let rebalance = match reply.value("rebalance-generation") {
        Err(InfoError::Refused { .. }) => None,
        _ => Some(generation("rebalance-generation")?),
    };
    Ok(StatusInput {
        id: info::parse_node(reply.value("node")?)?,
        status: NodeReport {
            peers: generation("peers-generation")?,
            partitions: generation("partition-generation")?,
            rebalance,
        },
        cluster: info::parse_cluster_name(reply.value("cluster-name")?)?,
        build: info::read_build(&reply)?,
    })
}
