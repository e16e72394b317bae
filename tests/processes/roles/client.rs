//! A client that executes commands.

use serde_json::{Value, json};
use tendmap::client::{Client, Event, Observer};
use tendmap::route::{Partition, Policy};
use tendmap::tend::TendError;

use super::say;
use crate::setup::Setup;
use tendmap_testkit::Cluster;

/// A client that reports every event, and routes on request. It uses the servers of its
/// setup, or a cluster of its own that can be switched off.
pub fn client(setup: &Setup, own: Option<Cluster>) {
    let mut config = setup.config();
    config.observer = Some(Observer::new(|event| match event {
        Event::Owner { term, takeover, .. } => {
            say(json!({"event": "owner", "term": term, "takeover": takeover}));
        }
        Event::Follower { term, .. } => say(json!({"event": "follower", "term": term})),
        Event::Fenced { term } => say(json!({"event": "fenced", "term": term})),
        Event::ReadOnly { reason, .. } => say(json!({"event": "read_only", "reason": reason})),
        Event::Trouble { error } => say(json!({"event": "trouble", "error": error})),
        Event::Abdicated { .. } => say(json!({"event": "abdicated"})),
        Event::Moved { generation } => say(json!({"event": "moved", "generation": generation})),
        _ => {}
    }));
    let connected = match &own {
        None => Client::connect(config),
        Some(cluster) => Client::connect_with(config, cluster.source()),
    };
    let client = match connected {
        Ok(client) => client,
        Err(error) => return say(json!({"event": "error", "text": error.to_string()})),
    };
    let role = client.role().as_str();
    say(json!({"event": "connected", "role": role}));
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "role" => say(json!({"event": "role", "role": client.role().as_str()})),
            "route" => say(route_all(&client)),
            "has map" => say(json!({"event": "map", "there": client.map().is_ok()})),
            "fail" => own.as_ref().unwrap().fail(TendError::NoSeed { tried: vec![] }),
            "work" => own.as_ref().unwrap().heal(),
            "where" => {
                let segment = client.segment();
                let generation = (!segment.head().retired()).then(|| segment.identity().generation);
                say(json!({"event": "where", "generation": generation}));
            }
            "close" => break,
            other => match other.strip_prefix("grow ").and_then(|nodes| nodes.parse().ok()) {
                Some(nodes) => own.as_ref().unwrap().grow(nodes),
                None => panic!("no such command: {other}"),
            },
        }
    }
    client.close();
    say(json!({"event": "closed"}));
}

/// Every master of every namespace, from one router.
fn route_all(client: &Client) -> Value {
    let snapshot = client.map().unwrap();
    let mut router = client.router();
    let (mut routed, mut wrong) = (0, 0);
    for namespace in snapshot.map.namespaces() {
        let handle = router.namespace(namespace.name.as_str()).unwrap();
        for partition in 0..4096 {
            let Ok(route) = router.route(handle, Partition(partition), Policy::Master) else {
                continue;
            };
            routed += 1;
            let owner = namespace.partitions.holder(partition, 0);
            wrong +=
                usize::from(route.sequence() == snapshot.sequence && owner != Some(route.slot()));
        }
    }
    json!({"event": "routed", "routed": routed, "wrong": wrong, "sequence": snapshot.sequence})
}
