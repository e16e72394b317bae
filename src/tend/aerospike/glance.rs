//! Checks, between passes in which no node answered, whether a node answers
//! again.

use core::ops::ControlFlow;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Tender;
use crate::tend::Turn;
use crate::tend::transport::{Ask, Interrupted, Transport};
use crate::wire::Host;

/// How many addresses are asked at a time; the next check asks the next ones.
const AT_A_TIME: usize = 8;

impl<T: Transport> Tender<T> {
    /// Asks some of the known addresses one cheap question. Where none of them
    /// answers, the configured names are looked up: the cluster may have come
    /// back elsewhere.
    pub(super) fn look_around(&mut self, turn: &mut dyn Turn) -> Result<bool, Interrupted> {
        let nodes = self.nodes.iter().filter(|node| node.located).map(|node| node.address);
        let mut known: Vec<SocketAddr> = nodes.collect();
        let (named, given): (Vec<Host>, Vec<Host>) =
            self.config.hosts.iter().cloned().partition(|host| host.address().is_none());
        for host in given {
            let address = host.address().into_iter().filter(|address| !known.contains(address));
            let fresh: Vec<SocketAddr> = address.collect();
            fresh.iter().for_each(|&address| self.name(address, &host));
            known.extend(fresh);
        }
        let count = known.len().max(1);
        known.rotate_left(self.glanced % count);
        known.truncate(AT_A_TIME);
        self.glanced = (self.glanced + known.len()) % count;
        if self.anybody_at(turn, &known)? {
            return Ok(true);
        }
        let resolved =
            if named.is_empty() { Vec::new() } else { self.transport.resolve(&named, turn)? };
        let mut elsewhere = Vec::new();
        for (host, addresses) in named.iter().zip(resolved) {
            for address in addresses.into_iter().flatten().filter(|at| !known.contains(at)) {
                self.name(address, host);
                elsewhere.push(address);
            }
        }
        elsewhere.truncate(AT_A_TIME);
        self.anybody_at(turn, &elsewhere)
    }

    fn anybody_at(
        &mut self,
        turn: &mut dyn Turn,
        addresses: &[SocketAddr],
    ) -> Result<bool, Interrupted> {
        let addresses: BTreeSet<SocketAddr> = addresses.iter().copied().collect();
        let ask = |address| Ask { address, commands: vec!["node".to_owned()] };
        let asks: Vec<Ask> = addresses.into_iter().map(ask).collect();
        let mut any = false;
        if !asks.is_empty() {
            self.transport.ask(&asks, turn, &mut |_, answer| {
                any |= answer.is_ok();
                if any { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok(any)
    }
}
