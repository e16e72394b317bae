//! Makes lookups, and checks each against the whole publication that it was read
//! from.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use tendmap::client::Client;
use tendmap::internals::map::Snapshot;
use tendmap::map::{NamespaceName, NodeId, SnapshotError};
use tendmap::route::{NamespaceHandle, Policy, Record, Router};

use super::gaps::Gaps;
use super::message::Report;

/// Lookups per burst.
const BURST: usize = 1000;
/// Lookups between two looks at the clock.
const STRIDE: usize = 50;
/// The number of publications that are kept for the checks.
const KEPT: usize = 4;

/// Makes lookups and checks them.
pub struct Checker<'a> {
    client: &'a Client,
    router: Router,
    namespaces: Vec<(NamespaceName, NamespaceHandle)>,
    key: i64,
    burst: Vec<Lookup>,
    kept: VecDeque<Snapshot>,
    gaps: Gaps,
    /// The last generation, term and sequence seen.
    last: (u64, u16, u64),
    /// The publication of the last lookup.
    routed: u64,
    report: Report,
}

/// The result of a lookup.
struct Lookup {
    namespace: NamespaceName,
    partition: usize,
    replica: usize,
    node: NodeId,
    address: SocketAddr,
    sequence: u64,
}

impl<'a> Checker<'a> {
    /// A checker for all current namespaces.
    pub fn new(client: &'a Client) -> Checker<'a> {
        let mut checker = Checker {
            client,
            router: client.router(),
            namespaces: Vec::new(),
            key: i64::from(std::process::id()) << 32,
            burst: Vec::with_capacity(BURST),
            kept: VecDeque::new(),
            gaps: Gaps::new(),
            last: (0, 0, 0),
            routed: 0,
            report: Report::default(),
        };
        if let Ok(snapshot) = client.map() {
            checker.resolve(&snapshot);
        }
        checker
    }

    /// Adds the namespaces of a map to those that are looked up. Namespaces that
    /// are no longer in the map stay, because they may return.
    fn resolve(&mut self, snapshot: &Snapshot) {
        for namespace in snapshot.map.namespaces() {
            if self.namespaces.iter().any(|&(known, _)| known == namespace.name) {
                continue;
            }
            if let Ok(handle) = self.router.namespace(namespace.name.as_str()) {
                self.namespaces.push((namespace.name, handle));
            }
        }
    }

    /// The results so far.
    pub fn report(&self) -> Report {
        self.report.clone()
    }

    /// Looks up some keys of every namespace, then checks the answers.
    pub fn burst(&mut self) {
        self.burst.clear();
        self.gaps.begin();
        let begun = Instant::now();
        for done in 1..=BURST {
            self.key += 1;
            let turn = self.key as usize;
            let Some(&(namespace, handle)) =
                self.namespaces.get(turn % self.namespaces.len().max(1))
            else {
                return;
            };
            let policy = if turn % 3 == 0 { Policy::Any } else { Policy::Master };
            // A partition without a node gives an error, which depends on the
            // map, not on the lookup.
            if let Ok(route) = self.router.route(handle, Record::new("demo", self.key), policy) {
                self.burst.push(Lookup {
                    namespace,
                    partition: route.partition(),
                    replica: route.replica(),
                    node: route.id(),
                    address: route.address(),
                    sequence: route.sequence(),
                });
            }
            if done % STRIDE == 0 {
                self.gaps.lookup();
            }
        }
        self.report.lookup_ns += begun.elapsed().as_nanos() as u64;
        let mut burst = core::mem::take(&mut self.burst);
        for lookup in burst.drain(..) {
            self.check(&lookup);
        }
        self.burst = burst;
        self.report.longest_gap_ns = self.gaps.longest().as_nanos() as u64;
    }

    /// Reads the whole current map and checks that it is one publication.
    pub fn read_whole(&mut self) {
        let segment = self.client.segment();
        let head = segment.head();
        self.look_ahead((segment.identity().generation, head.term(), head.sequence()));
        match self.client.map() {
            Ok(snapshot) => {
                self.report.torn_reads += u64::from(snapshot.intact == Some(false));
                self.report.snapshots_checked += u64::from(snapshot.intact == Some(true));
                self.report.sequence = snapshot.sequence;
                self.resolve(&snapshot);
                if self.kept.iter().all(|kept| kept.sequence != snapshot.sequence) {
                    self.kept.truncate(KEPT - 1);
                    self.kept.push_front(snapshot);
                }
            }
            Err(SnapshotError::Corrupt { .. }) => self.report.torn_reads += 1,
            Err(_) => {}
        }
    }

    /// Checks that generation, term and sequence never go back.
    fn look_ahead(&mut self, now: (u64, u16, u64)) {
        let before = core::mem::replace(&mut self.last, now);
        if now < before {
            self.report.went_back += 1;
            self.report
                .first_back
                .get_or_insert_with(|| format!("{} after {}", dotted(now), dotted(before)));
        }
    }

    fn check(&mut self, lookup: &Lookup) {
        if lookup.sequence < self.routed {
            self.report.went_back += 1;
            self.report.first_back.get_or_insert_with(|| {
                format!("a route of publication {} after {}", lookup.sequence, self.routed)
            });
        }
        self.routed = lookup.sequence;
        let Some(snapshot) = self.publication(lookup.sequence) else {
            self.report.unchecked += 1;
            return;
        };
        let owner = lookup.owner(snapshot);
        let right = owner == Some((lookup.node, lookup.address));
        self.report.lookups += 1;
        if !right {
            self.report.wrong_routes += 1;
            let Lookup { namespace, partition, replica, node, address, sequence } = lookup;
            self.report.first_wrong.get_or_insert_with(|| {
                format!(
                    "publication {sequence}: replica {replica} of partition {partition} of \
                     {namespace} was routed to {node} at {address}, the map says {}",
                    owner.map_or("nobody".to_owned(), |(node, at)| format!("{node} at {at}"))
                )
            });
        }
    }

    /// The whole publication with this sequence, if it is still live or was kept.
    fn publication(&mut self, sequence: u64) -> Option<&Snapshot> {
        if let Some(index) = self.kept.iter().position(|kept| kept.sequence == sequence) {
            return self.kept.get(index);
        }
        if self.report.sequence > sequence {
            return None;
        }
        self.read_whole();
        self.kept.front().filter(|kept| kept.sequence == sequence)
    }
}

impl Lookup {
    /// The holder of the replica according to the map.
    fn owner(&self, snapshot: &Snapshot) -> Option<(NodeId, SocketAddr)> {
        let map = &snapshot.map;
        let slot =
            map.namespace(&self.namespace)?.partitions.holder(self.partition, self.replica)?;
        map.nodes.get(slot).map(|node| (node.id, node.address))
    }
}

/// Generation, term and sequence in one word.
fn dotted((generation, term, sequence): (u64, u16, u64)) -> String {
    format!("generation {generation}, term {term}, sequence {sequence}")
}
