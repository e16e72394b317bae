//! Partitions that several nodes claim as master.
//!
//! Replies are taken at different moments: while partitions migrate, two nodes
//! may briefly claim one. A problem is a partition that is claimed twice in
//! several consecutive passes.

use std::collections::BTreeMap;

use super::Tender;
use super::node::TendedNode;
use crate::map::{NamespaceName, NodeId};
use crate::tend::transport::Transport;
use crate::tend::{Condition, TendEvent, Turn};
use crate::wire::info::Bitmap;

/// Claims count as contradicting if they contradict each other for more than
/// this number of consecutive passes.
const PASSES: u32 = 3;

/// The record of double claims from pass to pass.
#[derive(Debug, Default)]
pub(super) struct Contradictions {
    /// Whether any node's claims may have changed.
    stale: bool,
    /// The nodes that answered when the double claims were last determined.
    answered: Vec<NodeId>,
    /// For each partition that is claimed twice, the number of consecutive passes.
    twice: BTreeMap<(NamespaceName, usize), u32>,
    told: bool,
}

impl Contradictions {
    /// Notes that a node's claims were read.
    pub(super) fn claims_read(&mut self) {
        self.stale = true;
    }
}

impl<T: Transport> Tender<T> {
    /// Counts the partitions that are claimed twice, and reports those that were
    /// for more than a few passes.
    pub(super) fn watch_claims(&mut self, turn: &mut dyn Turn) {
        let answering = || self.nodes.iter().filter(|node| node.usable().is_some());
        let watch = &mut self.contradictions;
        if watch.stale || !watch.answered.iter().copied().eq(answering().map(|node| node.id)) {
            watch.stale = false;
            watch.answered = answering().map(|node| node.id).collect();
            let nodes: Vec<&TendedNode> = answering().collect();
            let before = core::mem::take(&mut watch.twice);
            for namespace in self.map.namespaces() {
                for partition in claimed_twice(&nodes, &namespace.name).partitions() {
                    let key = (namespace.name, partition);
                    watch.twice.insert(key, before.get(&key).copied().unwrap_or(0));
                }
            }
        }
        for passes in watch.twice.values_mut() {
            *passes = passes.saturating_add(1);
        }
        let lasting = || watch.twice.iter().filter(|(_, passes)| **passes > PASSES);
        let partitions = lasting().count();
        self.conditions.add(Condition::ContradictingClaims, partitions);
        if partitions > 0 && !watch.told {
            let claims = |node: &&TendedNode| {
                lasting().any(|((name, partition), _)| {
                    let byte = |set: &Bitmap| set.bytes().get(partition / 8).copied();
                    let claim = node.masters.iter().find(|(claimed, ..)| claimed == name);
                    let byte = claim.and_then(|(_, _, set)| byte(set)).unwrap_or(0);
                    byte & (0x80 >> (partition % 8)) != 0
                })
            };
            let nodes = answering().filter(claims).map(|node| node.id).collect();
            turn.event(TendEvent::ClaimsContradict { partitions, nodes });
        } else if partitions == 0 && watch.told {
            turn.event(TendEvent::ClaimsAgree);
        }
        watch.told = partitions > 0;
    }
}

/// The partitions of a namespace that several of these nodes claim, in the
/// highest regime. A claim of a lower regime is only outdated.
fn claimed_twice(nodes: &[&TendedNode], namespace: &NamespaceName) -> Bitmap {
    let claims = || {
        let of = |node: &&'_ TendedNode| -> Option<(u32, Vec<u8>)> {
            let claim = node.masters.iter().find(|(name, ..)| name == namespace)?;
            Some((claim.1, claim.2.bytes().to_vec()))
        };
        nodes.iter().filter_map(of)
    };
    let highest = claims().map(|(regime, _)| regime).max().unwrap_or(0);
    let (mut once, mut twice): (Vec<u8>, Vec<u8>) = Default::default();
    for (_, claim) in claims().filter(|(regime, _)| *regime == highest) {
        once.resize(claim.len().max(once.len()), 0);
        twice.resize(once.len(), 0);
        for ((once, twice), claim) in once.iter_mut().zip(&mut twice).zip(claim) {
            *twice |= *once & claim;
            *once |= claim;
        }
    }
    Bitmap::new(twice)
}
