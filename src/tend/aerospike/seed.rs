//! Finds the cluster: first by the configured seeds, then by every address that
//! was ever advertised.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Tender;
use super::pass::Pass;
use super::peers::List;
use super::validate::{AddressGroup, Invalid, Outcome, Requirements, ValidServer, validate};
use crate::map::{Build, NodeId, TlsName};
use crate::tend::transport::{Interrupted, Transport};
use crate::tend::{TendError, Turn};
use crate::wire::Host;

/// Remembered addresses that are tried at the same time.
const AT_ONCE: usize = 64;
/// After this many consecutive failures a node is dropped if no node answers.
pub(super) const MAX_FAILURES: u32 = 5;

impl<T: Transport> Tender<T> {
    /// Finds one node of the cluster; returns its list of peers.
    pub(super) fn seed(&mut self, turn: &mut dyn Turn, pass: &mut Pass) -> Result<List, TendError> {
        let mut rounds = vec![self.config.hosts.clone()];
        let known: Vec<Host> =
            self.known.latest_first().filter(|host| !rounds[0].contains(host)).cloned().collect();
        rounds.extend(known.chunks(AT_ONCE).map(<[Host]>::to_vec));
        let mut tried: Vec<(String, Invalid)> = Vec::new();
        let mut orphan = None;
        let mut others = Vec::new();
        for hosts in rounds {
            let addresses = self.resolve(turn, &hosts, &mut tried)?;
            let group = [AddressGroup { id: None, addresses }];
            let outcome = self.validate(turn, pass, &group, true)?.pop().unwrap_or_default();
            if let Some(good) = outcome.good {
                match self.settled(turn, pass, good)? {
                    Ok(good) => return Ok(self.seeded(good)),
                    Err((at, error)) => tried.push((at.to_string(), error)),
                }
            }
            // It may believe wrongly that it is alone, so it is the last resort.
            orphan = orphan.or(outcome.orphan);
            let is_other =
                |(_, error): &&(_, Invalid)| matches!(error, Invalid::WrongCluster { .. });
            others.extend(outcome.errors.iter().filter(is_other).map(|&(at, _)| at));
            tried.extend(outcome.errors.into_iter().map(|(at, error)| (at.to_string(), error)));
        }
        if let Some(seed) = self.renamed(turn, pass, others)? {
            return Ok(self.seeded(seed));
        }
        // A node that is alone must not replace others that may come back.
        let given_up = |failures: u32| failures + 1 >= MAX_FAILURES;
        let alone = |id: NodeId| {
            let mut others = self.nodes.iter().filter(|node| node.id != id);
            others.all(|node| node.gone || given_up(node.failures))
        };
        match orphan {
            Some(orphan) if alone(orphan.id) => match self.settled(turn, pass, orphan)? {
                Ok(orphan) => Ok(self.seeded(orphan)),
                Err((at, error)) => {
                    tried.push((at.to_string(), error));
                    Err(self.seed_error(tried, pass))
                }
            },
            _ => Err(self.seed_error(tried, pass)),
        }
    }

    /// A server that shows that the cluster was renamed while none of its nodes
    /// answered, among the servers that report another name.
    fn renamed(
        &mut self,
        turn: &mut dyn Turn,
        pass: &mut Pass,
        addresses: Vec<SocketAddr>,
    ) -> Result<Option<ValidServer>, Interrupted> {
        let groups: Vec<AddressGroup> = addresses
            .into_iter()
            .map(|at| AddressGroup { id: None, addresses: vec![at] })
            .collect();
        let wanted = Requirements { cluster: None, ..self.wanted() };
        let dead = &mut pass.dead;
        let outcomes = validate(&mut self.transport, turn, &wanted, &groups, false, dead)?;
        let mut good = outcomes.into_iter().filter_map(|outcome| outcome.good);
        let Some(seed) = good.find(|seed| self.was_renamed(seed)) else { return Ok(None) };
        self.rename(turn, seed.cluster_name);
        Ok(self.settled(turn, pass, seed)?.ok())
    }

    fn seeded(&mut self, seed: ValidServer) -> List {
        if self.map.cluster_name != seed.cluster_name {
            self.map.cluster_name = seed.cluster_name;
            self.changed = true;
        }
        // If no node answers, nodes that have failed for several passes are
        // dropped.
        for node in &mut self.nodes {
            node.gone |= node.failures + 1 >= MAX_FAILURES;
        }
        List::of_new(seed)
    }

    /// The server with the address at which it will be used.
    pub(super) fn settled(
        &mut self,
        turn: &mut dyn Turn,
        pass: &mut Pass,
        seed: ValidServer,
    ) -> Result<Result<ValidServer, (SocketAddr, Invalid)>, Interrupted> {
        match self.config.secure() {
            (_, true) => self.in_clear(turn, pass, seed),
            _ => self.behind_balancer(turn, pass, seed).map(Ok),
        }
    }

    /// If only logins use TLS: the same server at one of its plaintext addresses,
    /// with the session of a login at its TLS address.
    pub(super) fn in_clear(
        &mut self,
        turn: &mut dyn Turn,
        pass: &mut Pass,
        secure: ValidServer,
    ) -> Result<Result<ValidServer, (SocketAddr, Invalid)>, Interrupted> {
        let addresses = self.resolve_own(turn, &secure)?;
        for &clear in &addresses {
            self.transport.login_at(clear, secure.address);
            // That it did not answer in plaintext is no longer relevant.
            pass.dead.remove(&clear);
        }
        let group = [AddressGroup { id: Some(secure.id), addresses }];
        let outcome = self.validate(turn, pass, &group, false)?.pop().unwrap_or_default();
        let none = || Invalid::Unreachable("the server reports no plaintext address".into());
        Ok(match outcome.good {
            // Its peers are at their TLS addresses, as it reported over TLS: an
            // address that is received in plaintext is never used for a login.
            Some(clear) => {
                Ok(ValidServer { peers: secure.peers, secure: Some(secure.address), ..clear })
            }
            None => Err(outcome.errors.into_iter().next().unwrap_or((secure.address, none()))),
        })
    }

    /// The addresses that a server advertises for itself, all with its TLS name.
    fn resolve_own(
        &mut self,
        turn: &mut dyn Turn,
        server: &ValidServer,
    ) -> Result<Vec<SocketAddr>, Interrupted> {
        let name = self.names.get(&server.address).and_then(|name| TlsName::new(name).ok());
        let told = server.service.iter();
        let hosts: Vec<Host> =
            told.map(|host| self.config.mapped(host).with_tls_name(name.as_ref())).collect();
        self.resolve(turn, &hosts, &mut Vec::new())
    }

    /// Replaces the address of a server by one of its own, if the node answers
    /// there, also on the loopback. The address that was reached may be a load
    /// balancer, behind which another node answers next time, or an admin port,
    /// which accepts no commands.
    fn behind_balancer(
        &mut self,
        turn: &mut dyn Turn,
        pass: &mut Pass,
        seed: ValidServer,
    ) -> Result<ValidServer, Interrupted> {
        if seed.service.is_empty() {
            return Ok(seed);
        }
        let addresses = self.resolve_own(turn, &seed)?;
        if addresses.contains(&seed.address) {
            return Ok(seed);
        }
        let group = [AddressGroup { id: Some(seed.id), addresses }];
        let outcome = self.validate(turn, pass, &group, false)?.pop().unwrap_or_default();
        Ok(outcome.good.unwrap_or_else(|| {
            let (id, address) = (seed.id, seed.address);
            tracing::warn!(%id, %address, "none of the node's own addresses answers; check its access-address, and that this is not an admin port");
            seed
        }))
    }

    /// The requirements for a server of the cluster.
    pub(super) fn wanted(&self) -> Requirements {
        Requirements {
            commands: self.commands,
            cluster: self.expected(),
            most_peers: self.most_peers(AT_ONCE),
            known: self.nodes.iter().map(|node| node.id).collect(),
        }
    }

    pub(super) fn validate(
        &mut self,
        turn: &mut dyn Turn,
        pass: &mut Pass,
        groups: &[AddressGroup],
        with_peers: bool,
    ) -> Result<Vec<Outcome>, Interrupted> {
        let wanted = self.wanted();
        let outcomes =
            validate(&mut self.transport, turn, &wanted, groups, with_peers, &mut pass.dead)?;
        self.answers += outcomes.iter().map(Outcome::answers).sum::<usize>();
        Ok(outcomes)
    }

    /// All addresses of the hosts, in the order of the hosts, each once.
    pub(super) fn resolve(
        &mut self,
        turn: &mut dyn Turn,
        hosts: &[Host],
        errors: &mut Vec<(String, Invalid)>,
    ) -> Result<Vec<SocketAddr>, Interrupted> {
        let (mut addresses, mut seen) = (Vec::new(), BTreeSet::new());
        let given: Option<Vec<SocketAddr>> = hosts.iter().map(Host::address).collect();
        let resolved = match given {
            Some(given) => given.into_iter().map(|address| Ok(vec![address])).collect(),
            None => self.transport.resolve(hosts, turn)?,
        };
        for (host, resolved) in hosts.iter().zip(resolved) {
            match resolved {
                Ok(list) if list.is_empty() => {
                    let nothing = Invalid::Unreachable("the name has no address".into());
                    errors.push((host.to_string(), nothing));
                }
                Ok(list) => {
                    for address in list {
                        self.name(address, host);
                        if seen.insert(address) {
                            addresses.push(address);
                        }
                    }
                }
                Err(error) => errors.push((host.to_string(), Invalid::Unreachable(error))),
            }
        }
        Ok(addresses)
    }

    fn seed_error(&self, tried: Vec<(String, Invalid)>, pass: &Pass) -> TendError {
        let is_other = |(_, error): &(_, Invalid)| matches!(error, Invalid::WrongCluster { .. });
        let is_login = |(_, error): &(_, Invalid)| matches!(error, Invalid::Login(_));
        if let Some((host, Invalid::Login(error))) = tried.first()
            && tried.iter().all(is_login)
        {
            return TendError::Login { host: host.clone(), error: error.clone() };
        }
        let is_old = |(_, error): &(_, Invalid)| matches!(error, Invalid::TooOld { .. });
        if let Some((host, Invalid::WrongCluster { found, wanted })) = tried.first()
            && tried.iter().all(is_other)
        {
            let (host, found, wanted) = (host.clone(), found.clone(), wanted.clone());
            return TendError::WrongCluster { host, found, wanted };
        }
        if let Some((host, Invalid::TooOld { found })) = tried.first()
            && tried.iter().all(is_old)
        {
            let (host, found) = (host.clone(), found.to_string());
            return TendError::TooOld { host, found, wanted: Build::OLDEST_TEXT };
        }
        if let Some(node) = self.nodes.iter().rfind(|node| node.located) {
            let why = match pass.dead.get(&node.address) {
                Some(error) => error.to_string(),
                None if node.bad => format!("unusable reply: {}", node.last_error),
                None => "another node or cluster answers there".into(),
            };
            let (nodes, last) =
                (self.nodes.len(), format!("{} at {}: {why}", node.id, node.address));
            return TendError::NoAnswer { nodes, last };
        }
        let mut tried: Vec<String> =
            tried.into_iter().map(|(host, error)| format!("{host}: {error}")).collect();
        if tried.is_empty() {
            tried.push("no host is configured".into());
        }
        TendError::NoSeed { tried }
    }
}
