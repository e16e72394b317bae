//! A client of a cluster that grows, which routes without a pause.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tendmap::client::Client;
use tendmap::map::ClusterMap;
use tendmap::route::{Partition, Policy};
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};

use super::say;
use crate::setup::Setup;

/// A cluster that has more nodes and namespaces at every pass.
struct Growing(ClusterMap);

impl ClusterSource for Growing {
    fn start(&mut self, map: ClusterMap) {
        self.0 = map;
    }
    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        if turn.beat().is_break() {
            return Err(TendError::Interrupted);
        }
        let there = self.0.nodes.len() as u16;
        for number in there..(there + 7).min(200) {
            self.0.nodes.insert(tendmap_testkit::node(number)).unwrap();
        }
        let there = self.0.namespaces().len();
        for number in there..(there + 2).min(40) {
            tendmap_testkit::add_namespace(&mut self.0, &format!("ns{number}"), 2);
        }
        Ok(TendReport::default())
    }
    fn map(&self) -> &ClusterMap {
        &self.0
    }
    fn stop(&mut self) {}
}

/// A client of a growing cluster that routes without a pause until it gets the command
/// to close.
pub fn spin(setup: &Setup) {
    let source = Growing(ClusterMap::new(setup.config().capacity()));
    let client = Client::connect_with(setup.config(), Box::new(source)).unwrap();
    say(json!({"event": "connected"}));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().lines().next();
            stop.store(true, Ordering::Relaxed);
        });
        let mut router = client.router();
        let mut checked = client.map().unwrap();
        let (mut lookups, mut failed, mut wrong) = (0_u64, 0_u64, 0_u64);
        let mut errors = std::collections::BTreeMap::<String, u64>::new();
        let mut seen = checked.sequence;
        while !stop.load(Ordering::Relaxed) {
            let names: Vec<_> = checked.map.namespaces().iter().map(|found| found.name).collect();
            for (index, name) in names.into_iter().enumerate() {
                let handle = match router.namespace(name.as_str()) {
                    Ok(handle) => handle,
                    Err(error) => {
                        failed += 1;
                        *errors.entry(error.to_string()).or_default() += 1;
                        continue;
                    }
                };
                for partition in (0..4096).step_by(17) {
                    let route = router.route(handle, Partition(partition), Policy::Sequence);
                    lookups += 1;
                    let route = match route {
                        Ok(route) => route,
                        Err(error) => {
                            failed += 1;
                            *errors.entry(error.to_string()).or_default() += 1;
                            continue;
                        }
                    };
                    seen = route.sequence();
                    if seen == checked.sequence {
                        let table = &checked.map.namespaces()[index].partitions;
                        let known = (0..3).any(|replica| {
                            let slot = table.holder(partition, replica);
                            let node = slot.and_then(|slot| checked.map.nodes.get(slot));
                            node.is_some_and(|node| node == route.node())
                        });
                        wrong += u64::from(!known);
                    }
                }
            }
            if seen != checked.sequence {
                checked = client.map().unwrap_or(checked);
            }
        }
        let nodes = checked.map.nodes.len();
        client.close();
        say(json!({
            "event": "spun", "lookups": lookups, "failed": failed, "wrong": wrong, "nodes": nodes,
            "errors": errors.into_iter().take(5).collect::<Vec<_>>(),
        }));
    });
}
