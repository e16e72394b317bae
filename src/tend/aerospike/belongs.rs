//! Whether the configured hosts belong to the cluster of a published map.

use core::ops::ControlFlow;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Tender;
use super::allowance::Allowance;
use super::identity::Name;
use super::validate::Requirements;
use crate::map::{NodeId, NodeTable};
use crate::tend::transport::{Ask, Interrupted, Transport};
use crate::tend::{MapIdentity, Turn};
use crate::wire::Host;

impl<T: Transport> Tender<T> {
    /// Compares addresses first, then names that are looked up, and asks servers
    /// only where neither shows anything: all hosts at the same time, until one
    /// proves it.
    pub(super) fn compare(
        &mut self,
        name: Name,
        nodes: &NodeTable,
        turn: &mut dyn Turn,
    ) -> Result<MapIdentity, Interrupted> {
        let there: BTreeSet<SocketAddr> = nodes.iter().map(|(_, node)| node.address).collect();
        let hosts = self.config.hosts.clone();
        if hosts.iter().filter_map(Host::address).any(|address| there.contains(&address)) {
            return Ok(MapIdentity::Same);
        }
        let mut errors = Vec::new();
        let addresses = self.resolve(turn, &hosts, &mut errors)?;
        if addresses.iter().any(|address| there.contains(address)) {
            return Ok(MapIdentity::Same);
        }
        let mut tried: Vec<String> =
            errors.into_iter().map(|(host, error)| format!("{host}: {error}")).collect();
        let wanted = Requirements { cluster: None, ..self.wanted() };
        let distinct: BTreeSet<SocketAddr> = addresses.into_iter().collect();
        let asks: Vec<Ask> = distinct
            .into_iter()
            .map(|address| Ask { address, commands: wanted.questions() })
            .collect();
        let (mut same, mut doubtful, mut other) = (false, None, None);
        if !asks.is_empty() {
            let mut allowance = Allowance::new(asks.len());
            self.transport.ask(&asks, turn, &mut |index, answer| {
                let ask = &asks[index];
                let answer = allowance.take(answer);
                let server = match wanted.check(ask, &answer, None) {
                    Ok(server) => server,
                    Err(error) => {
                        tried.push(format!("{}: {error}", ask.address));
                        return ControlFlow::Continue(());
                    }
                };
                let peers = server.peers.peers.iter().map(|peer| peer.id);
                let members: Vec<NodeId> = [server.id].into_iter().chain(peers).collect();
                let meets = members.iter().any(|id| nodes.slot_of(id).is_some());
                match (server.cluster_name == name, meets) {
                    (true, true) => {
                        same = true;
                        return ControlFlow::Break(());
                    }
                    (false, false) => other = Some((server.cluster_name, members)),
                    _ => doubtful = Some((server.cluster_name, members)),
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(match (same, doubtful, other) {
            (true, ..) => MapIdentity::Same,
            (_, Some((name, nodes)), _) => MapIdentity::Doubtful { name, nodes },
            (_, _, Some((name, nodes))) => MapIdentity::Other { name, nodes },
            _ => MapIdentity::Silent { tried },
        })
    }
}
