//! The script of the demo: the owner is killed, a node leaves, another one
//! joins.

use std::time::{Duration, Instant};

use tendmap::client::Reader;
use tendmap::internals::map::Snapshot;
use tendmap::map::{ClusterMap, NodeId};

use super::Demo;
use crate::duration::show;
use crate::failure::Failure;

/// When each event is due, as a fraction of the whole time.
const KILL: f64 = 0.2;
const REMOVE: f64 = 0.35;
const ADD: f64 = 0.65;

enum Scene {
    /// Nothing has happened yet.
    Quiet,
    /// The owner, with this number, was killed at this time.
    Killed(Instant, usize),
    /// Another worker has taken over.
    TakenOver,
    /// A node was removed at this time.
    Removed(Instant),
    /// The map no longer has the removed node.
    Shrunk,
    /// A node was added at this time.
    Added(Instant),
    /// The map has the added node.
    Grown,
}

/// The progress of the demo.
pub struct Act {
    scene: Scene,
    before: Snapshot,
    takeover: Option<Duration>,
    kill: f64,
}

impl Act {
    /// The start, with this map. Nothing happens before `calm`, a fraction of the
    /// whole time, so that the demo can measure how few requests a quiet cluster
    /// gets.
    pub fn new(map: Snapshot, calm: f64) -> Act {
        Act { scene: Scene::Quiet, before: map, takeover: None, kill: calm.max(KILL) }
    }

    /// Whether the last event has had its effect.
    pub fn is_last(&self) -> bool {
        matches!(self.scene, Scene::Grown)
    }

    /// How long the takeover took.
    pub fn takeover(&self) -> Option<Duration> {
        self.takeover
    }

    /// Causes the next event if it is due, and checks whether the last one has had
    /// its effect. `owner` is the number, time and term of a worker that has just
    /// become owner.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn go_on(
        &mut self,
        demo: &mut Demo,
        reader: &Reader,
        part: f64,
        owner: Option<(usize, Instant, u16)>,
    ) -> Result<(), Failure> {
        self.scene = match self.scene {
            Scene::Quiet if part >= self.kill => match kill_owner(demo)? {
                Some((at, number)) => Scene::Killed(at, number),
                None => return Ok(()),
            },
            Scene::Killed(at, killed) => match owner {
                Some((number, heard, term)) if number != killed => {
                    let after = heard.saturating_duration_since(at);
                    let pid = demo.workers[number].pid();
                    let number = number + 1;
                    demo.say(format!(
                        "worker {number} (pid {pid}) has taken over after {}: term {term}",
                        show(after)
                    ))?;
                    self.takeover = Some(after);
                    Scene::TakenOver
                }
                _ => return Ok(()),
            },
            Scene::TakenOver if part >= REMOVE => {
                self.before = reader.map()?;
                let status = demo.stage.sim.status()?;
                let Some(last) = status.nodes.last() else { return Ok(()) };
                demo.traffic.disturb();
                demo.stage.sim.remove(last.number)?;
                demo.say(format!("node {} at {} is stopped for good", last.node, last.address))?;
                Scene::Removed(Instant::now())
            }
            Scene::Removed(at) => match self.changed(reader, |before, now| now < before) {
                Some(now) => {
                    self.tell(demo, &now, at)?;
                    Scene::Shrunk
                }
                None => return Ok(()),
            },
            Scene::Shrunk if part >= ADD => {
                self.before = reader.map()?;
                demo.traffic.disturb();
                let number = demo.stage.sim.add()?;
                let status = demo.stage.sim.status()?;
                if let Some(node) = status.nodes.iter().find(|node| node.number == number) {
                    demo.say(format!("node {} at {} is started", node.node, node.address))?;
                }
                Scene::Added(Instant::now())
            }
            Scene::Added(at) => match self.changed(reader, |before, now| now > before) {
                Some(now) => {
                    self.tell(demo, &now, at)?;
                    Scene::Grown
                }
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        Ok(())
    }

    /// The map, once its number of nodes is as expected.
    fn changed(&self, reader: &Reader, as_wanted: fn(usize, usize) -> bool) -> Option<Snapshot> {
        let now = reader.map().ok()?;
        as_wanted(self.before.map.nodes.len(), now.map.nodes.len()).then_some(now)
    }

    fn tell(&self, demo: &Demo, now: &Snapshot, since: Instant) -> Result<(), Failure> {
        let nodes = |snapshot: &Snapshot| snapshot.map.nodes.len();
        demo.say(format!(
            "publication {}: {} nodes are {} now, in every process, {} later",
            now.sequence,
            nodes(&self.before),
            nodes(now),
            show(since.elapsed()),
        ))?;
        for namespace in now.map.namespaces() {
            let masters = |map: &ClusterMap| -> Vec<Option<NodeId>> {
                let Some(namespace) = map.namespace(&namespace.name) else { return Vec::new() };
                let partitions = &namespace.partitions;
                let master = |p| Some(map.nodes.get(partitions.holder(p, 0)?)?.id);
                (0..partitions.len()).map(master).collect()
            };
            let (before, after) = (masters(&self.before.map), masters(&now.map));
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            demo.say(format!(
                "  {}: {moved} of {} partitions have another master, {} replicas each",
                namespace.name,
                after.len(),
                namespace.replication_factor,
            ))?;
        }
        Ok(())
    }
}

/// Kills the owner; returns the time and its number. `None` if no worker has
/// reported that it is the owner.
fn kill_owner(demo: &mut Demo) -> Result<Option<(Instant, usize)>, Failure> {
    let Some(number) = demo.workers.iter().position(|worker| worker.is_owner()) else {
        return Ok(None);
    };
    let pid = demo.workers[number].pid();
    demo.say(format!("worker {} (pid {pid}) owns the segment: kill -9", number + 1))?;
    demo.traffic.disturb();
    let at = Instant::now();
    demo.workers[number].kill()?;
    Ok(Some((at, number)))
}
