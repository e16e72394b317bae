//! Detects nodes without an alternate address if the configuration asks for
//! alternate addresses.

use std::collections::BTreeSet;

use super::Tender;
use super::peers::List;
use crate::map::NodeId;
use crate::tend::transport::Transport;
use crate::tend::{Condition, TendError, TendEvent, Turn};

impl<T: Transport> Tender<T> {
    /// Whether a first map can be built from the seed's list. It can't if none
    /// of its peers has an address, because alternate addresses are wanted and
    /// not configured.
    pub(super) fn check_alternates(&mut self, of_seed: &List) -> Result<(), TendError> {
        if !self.config.use_services_alternate || !self.nodes.is_empty() {
            return Ok(());
        }
        match of_seed.without_addresses() {
            Some(peers) => {
                self.conditions.add(Condition::NoAlternateAddress, peers);
                let setting = self.config.address_setting();
                Err(TendError::NoAlternateAddress { peers, setting })
            }
            None => Ok(()),
        }
    }

    /// Counts the nodes that advertise no alternate address, and reports each
    /// once until it does.
    pub(super) fn report_alternates(&mut self, turn: &mut dyn Turn) {
        if !self.config.use_services_alternate {
            return;
        }
        let known = self.nodes.iter().filter(|node| node.no_alternate).map(|node| node.id);
        let unknown = self.unreached.iter().filter(|(_, missing)| missing.is_nowhere());
        let there: BTreeSet<NodeId> = known.chain(unknown.map(|(&id, _)| id)).collect();
        self.conditions.add(Condition::NoAlternateAddress, there.len());
        let setting = self.config.address_setting();
        for &id in there.difference(&self.no_alternate) {
            turn.event(TendEvent::NoAlternateAddress { id, setting });
        }
        self.no_alternate = there;
    }
}
