//! Every address that was ever advertised: further seeds in case all nodes move.

use std::collections::{BTreeSet, VecDeque};

use crate::wire::Host;

/// The most addresses of each kind that are remembered. The oldest are dropped
/// first.
const MAX_KNOWN: usize = 1024;

/// The addresses at which a node of the cluster was found, and those that were
/// only advertised. Addresses of the second kind never displace those of the
/// first.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    found: Recent,
    told: Recent,
}

#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<Host>,
    there: BTreeSet<Host>,
}

impl Recent {
    fn add(&mut self, host: &Host) {
        if !self.there.insert(host.clone()) {
            return;
        }
        if self.order.len() == MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.there.remove(&oldest);
        }
        self.order.push_back(host.clone());
    }
}

impl KnownHosts {
    /// Adds a host that a server advertised.
    pub(super) fn told(&mut self, host: &Host) {
        if !self.found.there.contains(host) {
            self.told.add(host);
        }
    }

    /// Adds a host at which a node was found.
    pub(super) fn found(&mut self, host: &Host) {
        self.found.add(host);
    }

    /// All addresses: first those at which a node was found, and within each kind
    /// the latest first.
    pub(super) fn latest_first(&self) -> impl Iterator<Item = &Host> {
        let told = self.told.order.iter().rev();
        self.found.order.iter().rev().chain(told.filter(|host| !self.found.there.contains(host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_told_addresses_pushes_no_found_one_out() {
        let mut known = KnownHosts::default();
        let host = |name: &str| Host::new(name, 1).unwrap();
        known.told(&host("a"));
        known.found(&host("a"));
        known.found(&host("b"));
        for number in 0..5000 {
            known.told(&host(&format!("x{number}")));
            known.told(&host("a"));
        }
        let all: Vec<&str> = known.latest_first().map(Host::name).collect();
        assert_eq!(all[..3], ["b", "a", "x4999"]);
        assert_eq!(all.len(), 2 + MAX_KNOWN);
    }
}
