//! What differs between two looks at a segment, as lines for people.

use std::collections::BTreeMap;

use tendmap::client::{NodeStatus, Status, Verdict};
use tendmap::map::{ClusterMap, Namespace, NamespaceName, Node, NodeId, Slot, Snapshot};

use crate::grid::Change;
use crate::seen::State;

/// At most this many pairs of nodes are named in one difference of a namespace.
const PAIRS: usize = 3;

/// How serious an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A change as they happen.
    Plain,
    /// Something is in order again.
    Good,
    /// Something that operators look for: a takeover, masters that moved.
    Notable,
    /// Something is wrong.
    Bad,
}

/// A difference between two looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// How serious it is.
    pub weight: Weight,
    /// What happened, or the part of it before the number.
    text: String,
    /// How many partitions it is about, for events that follow each other by the second
    /// while data migrates.
    number: Option<usize>,
    /// What follows the number.
    what: String,
}

impl Event {
    /// An event without a number.
    pub fn new(weight: Weight, text: impl Into<String>) -> Event {
        Event { weight, text: text.into(), number: None, what: String::new() }
    }

    /// Adds an event of the same kind to this one; whether it is of that kind.
    pub fn merge(&mut self, other: &Event) -> bool {
        match (&mut self.number, other.number) {
            (Some(number), Some(more))
                if (&self.text, &self.what) == (&other.text, &other.what) =>
            {
                *number += more;
                true
            }
            _ => false,
        }
    }
}

impl core::fmt::Display for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.number {
            Some(number) => write!(f, "{}: {number} {}", self.text, self.what),
            None => f.write_str(&self.text),
        }
    }
}

/// Collects events.
#[derive(Debug, Default)]
struct Events(Vec<Event>);

impl Events {
    fn add(&mut self, weight: Weight, text: String) {
        self.0.push(Event::new(weight, text));
    }

    /// An event about this many partitions of a namespace.
    fn count(&mut self, weight: Weight, namespace: NamespaceName, number: usize, what: &str) {
        let (text, what) = (namespace.to_string(), what.to_owned());
        self.0.push(Event { weight, text, number: Some(number), what });
    }
}

/// What happened between two looks at a key's segment.
pub fn between(old: &State, new: &State) -> Vec<Event> {
    let mut events = Events::default();
    let (was, is) = (&old.status, &new.status);
    if was.generation != is.generation {
        let (from, to) = (was.generation, is.generation);
        events.add(Weight::Notable, format!("segment replaced: generation {from} -> {to}"));
    } else if !was.retired && is.retired {
        events.add(Weight::Notable, "segment retired: a larger one follows".to_owned());
    }
    owner(was, is, &mut events);
    match (&old.map, &new.map) {
        (Some(old), Some(new)) if old.sequence != new.sequence => {
            maps(&old.map, &new.map, is, &mut events);
        }
        (None, Some(new)) => {
            let (nodes, names) = (new.map.nodes.len(), new.map.namespaces().len());
            let text = format!("first map: {nodes} nodes, {names} namespaces");
            events.add(Weight::Plain, text);
        }
        _ => {}
    }
    answers(was, is, &mut events);
    health(was, is, &mut events);
    events.0
}

fn owner(was: &Status, is: &Status, events: &mut Events) {
    let named = |pid: Option<u32>| pid.map_or("owner".to_owned(), |pid| format!("owner {pid}"));
    let (from, to) = (was.term, is.term);
    if from != to {
        let text = match (was.owner_pid, is.owner_pid) {
            (Some(old), Some(new)) if old != new => format!("takeover: owner {old} -> {new}"),
            (_, Some(new)) => format!("takeover: owner {new}"),
            _ => "takeover".to_owned(),
        };
        events.add(Weight::Notable, format!("{text}, term {from} -> {to}"));
        if !is.owner_alive {
            events.add(Weight::Bad, format!("{} is gone", named(is.owner_pid)));
        }
    } else if was.owner_alive && !is.owner_alive && !is.abdicated {
        events.add(Weight::Bad, format!("{} is gone", named(was.owner_pid)));
    } else if !was.owner_alive && is.owner_alive && !was.abdicated {
        events.add(Weight::Good, format!("{} is alive", named(is.owner_pid)));
    }
    if is.abdicated && !was.abdicated {
        let text = format!("{} gives up: it can't reach the cluster", named(is.owner_pid));
        events.add(Weight::Bad, text);
    }
}

fn maps(old: &ClusterMap, new: &ClusterMap, status: &Status, events: &mut Events) {
    if old.cluster_name != new.cluster_name {
        let name = |map: &ClusterMap| map.cluster_name.map_or("-".into(), |name| name.to_string());
        events.add(Weight::Notable, format!("cluster renamed: {} -> {}", name(old), name(new)));
    }
    let by_id = |map: &ClusterMap| -> BTreeMap<NodeId, Node> {
        map.nodes.iter().map(|(_, node)| (node.id, *node)).collect()
    };
    let (was, is) = (by_id(old), by_id(new));
    for (id, node) in &is {
        let Some(before) = was.get(id) else {
            let build = node.build.map_or(String::new(), |build| format!(", build {build}"));
            events.add(Weight::Notable, format!("node {id} joined at {}{build}", node.address));
            continue;
        };
        if before.address != node.address {
            let (from, to) = (before.address, node.address);
            events.add(Weight::Notable, format!("node {id} moved: {from} -> {to}"));
        }
        if let (Some(from), Some(to)) = (before.build, node.build) {
            if from != to {
                let how = if from < to { "upgraded" } else { "downgraded" };
                events.add(Weight::Notable, format!("node {id} {how}: {from} -> {to}"));
            }
        }
    }
    for id in was.keys().filter(|id| !is.contains_key(id)) {
        let why = status.departed.iter().find(|left| left.id == *id);
        let why = why.map_or(String::new(), |left| format!(": {}", left.reason));
        events.add(Weight::Notable, format!("node {id} left{why}"));
    }
    for namespace in new.namespaces() {
        match old.namespace(&namespace.name) {
            Some(before) => holders(old, before, new, namespace, events),
            None => {
                let factor = namespace.replication_factor;
                let text = format!("namespace {} added, {factor} replicas", namespace.name);
                events.add(Weight::Notable, text);
            }
        }
    }
    for gone in old.namespaces().iter().filter(|own| new.namespace(&own.name).is_none()) {
        events.add(Weight::Notable, format!("namespace {} removed", gone.name));
    }
}

/// The holder of a replica as an id, which means the same in every map.
fn holder(map: &ClusterMap, namespace: &Namespace, at: usize, replica: usize) -> Option<NodeId> {
    let slot: Slot = namespace.partitions.holder(at, replica)?;
    map.nodes.get(slot).map(|node| node.id)
}

fn holders(
    old: &ClusterMap,
    before: &Namespace,
    new: &ClusterMap,
    after: &Namespace,
    events: &mut Events,
) {
    let name = after.name;
    if before.replication_factor != after.replication_factor {
        let (from, to) = (before.replication_factor, after.replication_factor);
        events.add(Weight::Notable, format!("{name}: replication factor {from} -> {to}"));
    }
    if before.strong_consistency != after.strong_consistency {
        let now = if after.strong_consistency { "strong" } else { "available" };
        events.add(Weight::Notable, format!("{name}: now {now} consistency mode"));
    }
    for (slot, node) in new.nodes.iter() {
        let racked = old.nodes.slot_of(&node.id).and_then(|slot| before.rack(slot));
        if let (Some(from), Some(to)) = (racked, after.rack(slot)) {
            if from != to {
                let text = format!("{name}: node {} moved from rack {from} to {to}", node.id);
                events.add(Weight::Notable, text);
            }
        }
    }
    if before.partitions.len() != after.partitions.len() {
        return;
    }
    let mut moved: BTreeMap<(NodeId, NodeId), usize> = BTreeMap::new();
    let (mut lost, mut filled) = (BTreeMap::new(), BTreeMap::new());
    let mut replicas = 0;
    for at in 0..after.partitions.len() {
        match (holder(old, before, at, 0), holder(new, after, at, 0)) {
            (Some(from), Some(to)) if from != to => *moved.entry((from, to)).or_default() += 1,
            (Some(from), None) => *lost.entry(from).or_insert(0) += 1,
            (None, Some(to)) => *filled.entry(to).or_insert(0) += 1,
            _ => {}
        }
        replicas += usize::from(replicas_differ((old, before), (new, after), at));
    }
    let mut pairs: Vec<_> = moved.into_iter().collect();
    pairs.sort_by_key(|&(_, count)| core::cmp::Reverse(count));
    for ((from, to), count) in pairs.iter().take(PAIRS) {
        events.count(Weight::Notable, name, *count, &format!("masters moved {from} -> {to}"));
    }
    if let Some(rest) = pairs.get(PAIRS..).filter(|rest| !rest.is_empty()) {
        let masters = rest.iter().map(|(_, count)| count).sum();
        events.count(Weight::Notable, name, masters, "masters moved between other nodes");
    }
    if !lost.is_empty() {
        let what = format!("holes appeared, masters were at {}", most(&lost));
        events.count(Weight::Bad, name, lost.values().sum(), &what);
    }
    if !filled.is_empty() {
        let what = format!("holes filled by {}", most(&filled));
        events.count(Weight::Good, name, filled.values().sum(), &what);
    }
    if replicas > 0 {
        events.count(Weight::Plain, name, replicas, "replica changes");
    }
}

fn replicas_differ(
    (old, before): (&ClusterMap, &Namespace),
    (new, after): (&ClusterMap, &Namespace),
    at: usize,
) -> bool {
    let count = before.routable_replicas().max(after.routable_replicas());
    // With the master, because a move of the master to a replica is no change of them all.
    let all = |map, namespace| {
        let mut all: Vec<_> =
            (0..count).map(|replica| holder(map, namespace, at, replica)).collect();
        all.sort_unstable();
        all
    };
    all(old, before) != all(new, after)
}

/// The nodes of a count, the largest first.
fn most(counts: &BTreeMap<NodeId, usize>) -> String {
    let mut all: Vec<_> = counts.iter().collect();
    all.sort_by_key(|&(_, count)| core::cmp::Reverse(count));
    let named: Vec<String> = all.iter().take(PAIRS).map(|(id, _)| id.to_string()).collect();
    match all.len().saturating_sub(PAIRS) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Nodes that stopped to answer, or answer again.
fn answers(was: &Status, is: &Status, events: &mut Events) {
    let failures = |node: &NodeStatus| node.health.as_ref().map_or(0, |health| health.failures);
    for node in &is.members {
        let before = was.members.iter().find(|own| own.id == node.id).map_or(0, failures);
        let now = failures(node);
        if before == 0 && now > 0 {
            let error = node.health.as_ref().and_then(|health| health.last_error.clone());
            let error = error.map_or(String::new(), |error| format!(": {error}"));
            events.add(Weight::Bad, format!("node {} does not answer{error}", node.id));
        } else if before > 0 && now == 0 && node.health.is_some() {
            events.add(Weight::Good, format!("node {} answers again", node.id));
        }
    }
}

/// What is wrong, without the numbers in it.
fn problems(status: &Status) -> Vec<(String, String)> {
    let Verdict::Unhealthy(texts) = status.verdict() else { return Vec::new() };
    let kind =
        |text: &str| text.split(|letter: char| letter.is_ascii_digit()).next().map(str::to_owned);
    texts.into_iter().filter_map(|text| Some((kind(&text)?, text))).collect()
}

fn health(was: &Status, is: &Status, events: &mut Events) {
    let (before, now) = (problems(was), problems(is));
    for (kind, text) in &now {
        if !before.iter().any(|(known, _)| known == kind) {
            events.add(Weight::Bad, format!("unhealthy: {text}"));
        }
    }
    if now.is_empty() && !before.is_empty() {
        events.add(Weight::Good, "healthy again".to_owned());
    }
}

/// What happened to each partition of a namespace between two maps.
pub fn partitions(old: &Snapshot, new: &Snapshot, after: &Namespace) -> Vec<Change> {
    let (old, new) = (&old.map, &new.map);
    let Some(before) = old.namespace(&after.name) else { return Vec::new() };
    if before.partitions.len() != after.partitions.len() {
        return Vec::new();
    }
    let change = |at| match (holder(old, before, at, 0), holder(new, after, at, 0)) {
        (was, is) if was != is => Change::NewMaster,
        _ if replicas_differ((old, before), (new, after), at) => Change::Replica,
        _ => Change::None,
    };
    (0..after.partitions.len()).map(change).collect()
}

#[cfg(test)]
mod tests;
