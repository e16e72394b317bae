//! Decides whether a segment's map is of the cluster that a process is
//! configured for, before anything is routed from it.
//!
//! A configured name decides. Without one, any of these is enough, in this
//! order: the owner was given the same hosts; one of the hosts is a node of the
//! map; a host that is asked reports the map's name and is, or lists, a node of
//! it. Where nothing can be compared the process is refused: better no map than
//! another cluster's.

use core::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::config::{Config, published, shown};
use super::error::ConnectError;
use crate::layout::OwnerWord;
use crate::map::NodeId;
use crate::protocol::load_owner;
use crate::segment::{Candidate, OwnerState, Segment, WakeMask, wake};
use crate::tend::{ClusterSource, MapIdentity, TendEvent, Turn};

/// This many passes of the owner, after the request, show that its map is not
/// just out of date. The first may already have been running when it was
/// requested.
const PASSES: u64 = 2;

/// Whether this process may route from the segment. `false` = the segment has
/// no map yet, so there is nothing to compare.
pub(super) fn admit(
    segment: &Segment,
    config: &Config,
    source: &mut dyn ClusterSource,
    turn: &mut dyn Turn,
) -> Result<bool, ConnectError> {
    config.check_cluster(segment)?;
    let Some(map) = published(segment)? else { return Ok(false) };
    if config.wanted_cluster()?.is_some() || map.nodes.is_empty() {
        return Ok(true);
    }
    let flags = load_owner(segment.mapping().owner(OwnerWord::Flags), segment.head());
    if flags.unwrap_or(0) >> OwnerWord::HOSTS_SHIFT == u64::from(config.hosts_hash()) {
        return Ok(true);
    }
    let found = match source.identify(map.cluster_name, &map.nodes, turn) {
        MapIdentity::Doubtful { .. } => {
            // The cluster may have been renamed or recreated a moment ago: let
            // the owner look.
            wait_for_passes(segment, config, turn)?;
            let Some(map) = published(segment)? else { return Ok(false) };
            source.identify(map.cluster_name, &map.nodes, turn)
        }
        found => found,
    };
    match found {
        MapIdentity::Unknown | MapIdentity::Same => Ok(true),
        MapIdentity::Other { name, nodes } | MapIdentity::Doubtful { name, nodes } => {
            // The map after those passes.
            let map = published(segment)?.unwrap_or(map);
            let (key, wanted) = (config.shm_key, name);
            if map.cluster_name != wanted {
                let (found, wanted) = (shown(map.cluster_name), shown(wanted));
                return Err(ConnectError::OtherCluster { key, found, wanted });
            }
            let found = listed(map.nodes.iter().map(|(_, node)| node.id));
            let wanted = listed(nodes.into_iter());
            Err(ConnectError::OtherNodes { key, found, wanted })
        }
        MapIdentity::Silent { tried } => {
            let found = listed(map.nodes.iter().map(|(_, node)| node.id));
            let tried = tried.join("; ");
            Err(ConnectError::NotCompared { key: config.shm_key, found, tried })
        }
    }
}

/// The first few nodes, as text.
fn listed(nodes: impl Iterator<Item = NodeId>) -> String {
    let mut ids: Vec<String> = nodes.map(|id| id.to_string()).collect();
    if ids.len() > 4 {
        ids.truncate(3);
        ids.push("…".into());
    }
    ids.join(", ")
}

/// Requests passes of the owner and waits for them. A dead owner makes none.
fn wait_for_passes(
    segment: &Segment,
    config: &Config,
    turn: &mut dyn Turn,
) -> Result<(), ConnectError> {
    let passes = || {
        let count = |word| load_owner(segment.mapping().owner(word), segment.head()).unwrap_or(0);
        count(OwnerWord::Tends) + count(OwnerWord::TendErrors)
    };
    let (before, begun) = (passes(), Instant::now());
    while passes() < before + PASSES && begun.elapsed() < config.patience() {
        let lives = Candidate::look(segment)? == OwnerState::Alive;
        if !lives || segment.head().retired() || turn.beat().is_break() {
            break;
        }
        wake(segment.mapping().event(), Some(WakeMask::owner()));
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A pass over the hosts before there is a client's thread, until the connect is
/// called off.
pub(super) struct ConnectTurn<'a> {
    pub called_off: &'a AtomicBool,
}

impl Turn for ConnectTurn<'_> {
    fn beat(&mut self) -> ControlFlow<()> {
        // Relaxed: no other data depends on it.
        match self.called_off.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn event(&mut self, _: TendEvent) {}
}
