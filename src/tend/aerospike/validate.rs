//! Checks whether a server may be used.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::allowance::Allowance;
use super::config::Commands;
use super::identity::{Name, shown};
use super::node::NodeReport;
use crate::map::{Build, NodeId};
use crate::tend::Turn;
use crate::tend::transport::{Answer, Ask, AskError, Interrupted, Transport};
use crate::wire::Host;
use crate::wire::info::{self, BadEntries, InfoError, Peers, ReadBuild, Reply};

/// A usable server, with its replies.
#[derive(Clone, Debug)]
pub(super) struct ValidServer {
    pub(super) id: NodeId,
    pub(super) address: SocketAddr,
    /// The address of the login, if it differs from `address`.
    pub(super) secure: Option<SocketAddr>,
    pub(super) connection: u64,
    pub(super) status: NodeReport,
    pub(super) cluster_name: Name,
    /// The addresses that it advertises for itself.
    pub(super) service: Vec<Host>,
    pub(super) bad_service: BadEntries,
    pub(super) build: ReadBuild,
    pub(super) peers: Peers,
}

/// Why a server may not be used.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Invalid {
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Login(String),
    #[error("{0}")]
    BadReply(String),
    #[error("node {found} answers, wanted {wanted}")]
    WrongNode { found: NodeId, wanted: NodeId },
    #[error("belongs to cluster {found:?}, wanted {wanted:?}")]
    WrongCluster { found: String, wanted: String },
    #[error("runs build {found}, wanted {} or later", Build::OLDEST_TEXT)]
    TooOld { found: Build },
    #[error("has not joined its cluster yet")]
    NotReady,
}

impl From<&AskError> for Invalid {
    fn from(error: &AskError) -> Invalid {
        match error {
            AskError::Malformed(_) => Invalid::BadReply(error.to_string()),
            _ if error.is_login() => Invalid::Login(error.to_string()),
            _ => Invalid::Unreachable(error.to_string()),
        }
    }
}

impl From<InfoError> for Invalid {
    fn from(error: InfoError) -> Invalid {
        Invalid::BadReply(error.to_string())
    }
}

impl From<info::GrammarError> for Invalid {
    fn from(error: info::GrammarError) -> Invalid {
        Invalid::BadReply(error.to_string())
    }
}

/// The requirements for a usable server.
#[derive(Clone, Debug)]
pub(super) struct Requirements {
    pub(super) commands: Commands,
    /// The name of the cluster; `None` = any name is accepted.
    pub(super) cluster: Option<Name>,
    /// The most peers of its list that are used, besides known nodes.
    pub(super) most_peers: usize,
    /// The nodes of the table.
    pub(super) known: BTreeSet<NodeId>,
}

impl Requirements {
    /// The generation of the peers is asked before the peers, so that it is never
    /// newer than the list.
    pub(super) fn questions(&self) -> Vec<String> {
        let Commands { peers, service, .. } = self.commands;
        let questions = [
            "node",
            "build",
            "cluster-name",
            "partition-generation",
            "peers-generation",
            service,
            peers,
        ];
        questions.map(String::from).to_vec()
    }

    pub(super) fn check(
        &self,
        ask: &Ask,
        answer: &Result<Answer, AskError>,
        id: Option<NodeId>,
    ) -> Result<ValidServer, Invalid> {
        let Answer { connection, body } = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(error.into()),
        };
        let reply = Reply::parse(body, &ask.commands)?;
        let found = info::parse_node(reply.value("node")?)?;
        if let Some(wanted) = id.filter(|&wanted| wanted != found) {
            return Err(Invalid::WrongNode { found, wanted });
        }
        let build = info::read_build(&reply)?;
        if let Some(found) = build.found.filter(|&build| build < Build::OLDEST) {
            return Err(Invalid::TooOld { found });
        }
        let cluster_name = info::parse_cluster_name(reply.value("cluster-name")?)?;
        if let Some(wanted) = self.cluster.filter(|wanted| cluster_name != *wanted) {
            let (found, wanted) = (shown(&cluster_name), shown(&wanted));
            return Err(Invalid::WrongCluster { found, wanted });
        }
        let status = NodeReport {
            partitions: info::parse_generation(reply.value("partition-generation")?)?,
            peers: info::parse_generation(reply.value("peers-generation")?)?,
            rebalance: None,
        };
        if !status.is_ready() {
            return Err(Invalid::NotReady);
        }
        // A server without such addresses returns an error; the address at
        // which it was reached is then used.
        let service = reply.value(self.commands.service).unwrap_or_default();
        let (service, bad_service) = info::parse_service(service);
        let peers = reply.value(self.commands.peers)?;
        let known = |id: &NodeId| self.known.contains(id);
        let peers = info::parse_peers_within(peers, self.most_peers, &known)?;
        let address = ask.address;
        Ok(ValidServer {
            id: found,
            address,
            secure: None,
            connection: *connection,
            status,
            cluster_name,
            service,
            bad_service,
            build,
            peers,
        })
    }
}

/// Addresses of which the first valid one is to be used.
#[derive(Clone, Debug)]
pub(super) struct AddressGroup {
    /// The node id wanted, if it is known.
    pub(super) id: Option<NodeId>,
    pub(super) addresses: Vec<SocketAddr>,
}

/// The result for a group.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The first server that is valid (and has peers, if that is required).
    pub(super) good: Option<ValidServer>,
    /// The first server that is valid but lacks the required peers.
    pub(super) orphan: Option<ValidServer>,
    /// The errors of the others.
    pub(super) errors: Vec<(SocketAddr, Invalid)>,
}

impl Outcome {
    /// The number of servers that answered, whatever the content.
    pub(super) fn answers(&self) -> usize {
        let silent = |error: &Invalid| matches!(error, Invalid::Unreachable(_) | Invalid::Login(_));
        let refused = self.errors.iter().filter(|(_, error)| !silent(error)).count();
        refused + self.good.iter().count() + self.orphan.iter().count()
    }
}

/// Asks all addresses of all groups at the same time, except those known to be
/// dead, and waits only until each group has its first valid address.
pub(super) fn validate<T: Transport>(
    transport: &mut T,
    turn: &mut dyn Turn,
    wanted: &Requirements,
    groups: &[AddressGroup],
    with_peers: bool,
    dead: &mut BTreeMap<SocketAddr, Invalid>,
) -> Result<Vec<Outcome>, Interrupted> {
    let mut verdicts: Vec<Vec<Option<Result<ValidServer, Invalid>>>> = groups
        .iter()
        .map(|group| group.addresses.iter().map(|at| Some(Err(dead.get(at)?.clone()))).collect())
        .collect();
    // The positions of each address in the groups: a reply is evaluated for these
    // only.
    let mut places: BTreeMap<SocketAddr, Vec<(usize, usize)>> = BTreeMap::new();
    for (group, addresses) in groups.iter().map(|group| &group.addresses).enumerate() {
        for (at, &address) in addresses.iter().enumerate() {
            places.entry(address).or_default().push((group, at));
        }
    }
    let asks: Vec<Ask> = places
        .keys()
        .filter(|address| !dead.contains_key(address))
        .map(|&address| Ask { address, commands: wanted.questions() })
        .collect();
    if !asks.is_empty() {
        let decided = |verdicts: &Vec<_>| is_decided(verdicts, with_peers);
        let mut open: BTreeSet<usize> =
            (0..groups.len()).filter(|&group| !decided(&verdicts[group])).collect();
        let mut allowance = Allowance::new(asks.len());
        transport.ask(&asks, turn, &mut |index, answer| {
            let ask = &asks[index];
            let answer = allowance.take(answer);
            for &(group, at) in places.get(&ask.address).into_iter().flatten() {
                verdicts[group][at] = Some(wanted.check(ask, &answer, groups[group].id));
                if decided(&verdicts[group]) {
                    open.remove(&group);
                }
            }
            if let Err(error) = answer {
                dead.insert(ask.address, (&error).into());
            }
            match open.is_empty() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
    }
    Ok(groups.iter().zip(verdicts).map(|(group, v)| outcome(group, v, with_peers)).collect())
}

fn is_good(validated: &ValidServer, with_peers: bool) -> bool {
    !with_peers || !validated.peers.peers.is_empty()
}

/// Whether no later verdict can change which is the first.
fn is_decided(verdicts: &[Option<Result<ValidServer, Invalid>>], with_peers: bool) -> bool {
    for verdict in verdicts {
        match verdict {
            None => return false,
            Some(Ok(validated)) if is_good(validated, with_peers) => return true,
            Some(_) => {}
        }
    }
    true
}

fn outcome(
    group: &AddressGroup,
    verdicts: Vec<Option<Result<ValidServer, Invalid>>>,
    with_peers: bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    for (&address, verdict) in group.addresses.iter().zip(verdicts) {
        match verdict {
            None => {}
            Some(Err(invalid)) => outcome.errors.push((address, invalid)),
            Some(Ok(validated)) if is_good(&validated, with_peers) => {
                outcome.good = outcome.good.or(Some(validated));
            }
            Some(Ok(validated)) => outcome.orphan = outcome.orphan.or(Some(validated)),
        }
    }
    outcome
}
