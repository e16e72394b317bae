//! Searches for peers that are not in the table.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::Tender;
use super::pass::Pass;
use super::validate::{AddressGroup, Invalid, ValidServer};
use crate::map::NodeId;
use crate::tend::transport::{Interrupted, Transport};
use crate::tend::{Condition, TendEvent, Turn};
use crate::wire::Host;

impl<T: Transport> Tender<T> {
    /// Searches again for some of the unreached peers while nothing else has
    /// changed; returns whether any was found. The lists are then read again, and
    /// that adds the peer to the map.
    pub(super) fn look_again(
        &mut self,
        turn: &mut dyn Turn,
        pass: &mut Pass,
    ) -> Result<bool, Interrupted> {
        if self.unreached.is_empty() {
            return Ok(false);
        }
        let (begun, mut any, mut first) = (Instant::now(), false, true);
        self.unreached.queue();
        let room = self.map.nodes.capacity().saturating_sub(self.map.nodes.len());
        while core::mem::take(&mut first) || begun.elapsed() < self.config.connect_timeout {
            let wave = self.unreached.next(room);
            if wave.is_empty() {
                break;
            }
            for good in self.look_for(turn, pass, &wave)? {
                self.unreached.prefer(&good.id);
                any = true;
            }
        }
        Ok(any)
    }

    /// Searches for peers, all at the same time; returns those that were found.
    pub(super) fn look_for(
        &mut self,
        turn: &mut dyn Turn,
        pass: &mut Pass,
        wave: &[NodeId],
    ) -> Result<Vec<ValidServer>, Interrupted> {
        let groups = self.groups(turn, wave)?;
        let outcomes = self.validate(turn, pass, &groups, false)?;
        let mut found = Vec::new();
        for (&id, mut outcome) in wave.iter().zip(outcomes) {
            if let Some(good) = outcome.good.take_if(|_| self.config.secure().1) {
                match self.in_clear(turn, pass, good)? {
                    Ok(good) => outcome.good = Some(good),
                    Err(error) => outcome.errors.insert(0, error),
                }
            }
            match outcome.good {
                Some(good) => found.push(good),
                None => self.not_reached(turn, id, outcome.errors.into_iter().next()),
            }
        }
        Ok(found)
    }

    /// The addresses at which these peers may answer.
    fn groups(
        &mut self,
        turn: &mut dyn Turn,
        wave: &[NodeId],
    ) -> Result<Vec<AddressGroup>, Interrupted> {
        let of = |id: &NodeId| self.unreached.get(id);
        let places: Vec<(Vec<Host>, Option<SocketAddr>)> = wave
            .iter()
            .map(|id| of(id).map(|it| (it.hosts.clone(), it.from)).unwrap_or_default())
            .collect();
        // All names at once: a lookup that hangs must not delay the others.
        let hosts: Vec<Host> = places.iter().flat_map(|(hosts, _)| hosts).cloned().collect();
        let by_address: Option<Vec<_>> =
            hosts.iter().map(|host| Some(Ok(vec![host.address()?]))).collect();
        let mut resolved = match by_address {
            Some(addresses) => addresses,
            None => self.transport.resolve(&hosts, turn)?,
        }
        .into_iter();
        let mut groups = Vec::new();
        for (&id, (hosts, from)) in wave.iter().zip(&places) {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            let (mut any, mut wrong) = (false, None);
            for (host, found) in hosts.iter().zip(resolved.by_ref()) {
                match &found {
                    Ok(list) => any |= !list.is_empty(),
                    Err(error) => wrong = Some(format!("{host}: {error}")),
                }
                for address in found.into_iter().flatten() {
                    self.name(address, host);
                    if Some(address) != *from && !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
            }
            if let Some(missing) = self.unreached.get_mut(&id) {
                missing.unresolved = wrong.filter(|_| !any);
            }
            groups.push(AddressGroup { id: Some(id), addresses });
        }
        Ok(groups)
    }

    /// Reports, once, a peer that can't be reached at its addresses, unless it is
    /// a node that is already asked.
    fn not_reached(
        &mut self,
        turn: &mut dyn Turn,
        id: NodeId,
        error: Option<(SocketAddr, Invalid)>,
    ) {
        let Some(missing) = self.unreached.get_mut(&id) else { return };
        let unresolved = missing.unresolved.take();
        missing.starting = matches!(error, Some((_, Invalid::NotReady)));
        missing.of_another = matches!(error, Some((_, Invalid::WrongCluster { .. })));
        // A node that is starting is normal.
        if missing.starting {
            return;
        }
        let known = match missing.known {
            true => self.nodes.iter_mut().find(|node| node.id == id),
            false => None,
        };
        let is_news = match known {
            // It was reported when it did not answer.
            Some(node) if node.located => false,
            Some(node) => {
                if let Some((_, error)) = &error {
                    node.note(error.to_string());
                }
                !core::mem::replace(&mut node.told_failed, true)
            }
            None if missing.told || self.tells == 0 => false,
            None => {
                missing.told = true;
                self.tells -= 1;
                true
            }
        };
        match error {
            Some((address, error)) if is_news => {
                let error = error.to_string();
                turn.event(TendEvent::NodeFailed { id, address, error });
            }
            None if is_news => {
                if let Some(error) = unresolved {
                    turn.event(TendEvent::NodeUnresolved { id, error });
                }
            }
            _ => {}
        }
    }

    /// Counts the listed peers that are not in the table.
    pub(super) fn count_missing(&mut self) {
        if self.unreached.is_empty() {
            return;
        }
        let known: BTreeMap<NodeId, bool> =
            self.nodes.iter().map(|node| (node.id, node.stray.is_some())).collect();
        let (mut missing, mut of_another) = (0, 0);
        for (id, peer) in self.unreached.iter() {
            let strays = known.get(id);
            missing += usize::from(strays.is_none());
            of_another += usize::from(peer.of_another && strays != Some(&true));
        }
        self.conditions.add(Condition::MissingPeers, missing);
        self.conditions.add(Condition::OtherCluster, of_another);
    }
}
