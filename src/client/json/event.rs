//! An event as JSON.

use serde_json::{Value, json};

use super::ms;
#[cfg(feature = "c-client")]
use crate::c_client::MirrorEvent;
use crate::client::Event;
use crate::tend::TendEvent;

impl Event {
    /// This event as a JSON object: its name as `event`, then its values in
    /// their order, with durations in whole milliseconds under names that end
    /// in `_ms`, and `null` for what is not known.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_json_value().to_string()
    }

    internal! {
        /// The same as a value.
        #[must_use]
        fn to_json_value(&self) -> Value {
            match self {
                Event::Owner { generation, term, takeover } => {
                    let name = if *takeover { "takeover" } else { "owner" };
                    json!({ "event": name, "generation": generation, "term": term })
                }
                Event::Follower { generation, term } => {
                    json!({ "event": "follower", "generation": generation, "term": term })
                }
                Event::Fenced { term } => json!({ "event": "fenced", "term": term }),
                Event::NewOwner { term, pid } => {
                    let pid = Some(pid).filter(|&&pid| pid > 0);
                    json!({ "event": "new_owner", "term": term, "owner_pid": pid })
                }
                Event::Moved { generation } => json!({ "event": "moved", "generation": generation }),
                Event::Published { sequence, nodes, namespaces } => json!({
                    "event": "published",
                    "sequence": sequence,
                    "nodes": nodes,
                    "namespaces": namespaces,
                }),
                Event::Tend(event) => tend(event),
                Event::TendFailed { error } => json!({ "event": "tend_failed", "error": error }),
                Event::TendRecovered { after } => {
                    json!({ "event": "tend_recovered", "failed_for_ms": ms(*after) })
                }
                Event::Abdicated { failed_for } => {
                    json!({ "event": "abdicated", "failed_for_ms": ms(*failed_for) })
                }
                Event::Grown { generation, max_nodes, max_namespaces, max_replicas } => json!({
                    "event": "grown",
                    "generation": generation,
                    "max_nodes": max_nodes,
                    "max_namespaces": max_namespaces,
                    "max_replicas": max_replicas,
                }),
                Event::Offered => json!({ "event": "offered" }),
                Event::NoRoom { error } => json!({ "event": "no_room", "error": error }),
                Event::CapacityIgnored { what } => json!({ "event": "capacity_ignored", "what": what }),
                Event::ReadOnly { segment, reason } => {
                    json!({ "event": "read_only", "segment": segment, "reason": reason })
                }
                Event::SecretExposed { path, mode } => json!({
                    "event": "secret_exposed",
                    "path": path.to_string_lossy(),
                    "mode": format!("{mode:04o}"),
                }),
                #[cfg(feature = "c-client")]
                Event::CClient { key, event } => mirror(*key, event),
                Event::Trouble { error } => json!({ "event": "trouble", "error": error }),
            }
        }
    }
}

/// Its name begins with `c_client_`, and its first value is the key.
#[cfg(feature = "c-client")]
fn mirror(key: u32, event: &MirrorEvent) -> Value {
    let (name, values) = match event {
        MirrorEvent::Created { shm_id } => ("created", json!({ "shm_id": shm_id })),
        MirrorEvent::TookOver { shm_id, from } => {
            let from = Some(from).filter(|&&from| from > 0);
            ("took_over", json!({ "shm_id": shm_id, "from_pid": from }))
        }
        MirrorEvent::Standby { pid } => ("standby", json!({ "mirror_pid": pid })),
        MirrorEvent::Waiting { pid } => ("waiting", json!({ "owner_pid": pid })),
        MirrorEvent::Refused { reason } => ("refused", json!({ "reason": reason })),
        MirrorEvent::Fenced { by } => ("fenced", json!({ "owner_pid": by })),
        MirrorEvent::Removed { shm_id } => ("removed", json!({ "shm_id": shm_id })),
        MirrorEvent::NodeLeftOut { id, capacity } => {
            ("node_left_out", json!({ "node": id.as_str(), "capacity": capacity }))
        }
        MirrorEvent::NamespaceLeftOut { name, capacity } => {
            ("namespace_left_out", json!({ "namespace": name.as_str(), "capacity": capacity }))
        }
        MirrorEvent::SlotReusedEarly { id, slot, out_of_use } => {
            let out_of_use = ms(*out_of_use);
            let values = json!({ "node": id.as_str(), "slot": slot, "out_of_use_ms": out_of_use });
            ("slot_reused_early", values)
        }
        MirrorEvent::Mended { words } => ("mended", json!({ "words": words })),
        MirrorEvent::LocksFreed { locks } => ("locks_freed", json!({ "locks": locks })),
        MirrorEvent::Released => ("released", json!({})),
        MirrorEvent::Trouble { error } => ("trouble", json!({ "error": error })),
    };
    let mut object = serde_json::Map::new();
    object.insert("event".into(), format!("c_client_{name}").into());
    object.insert("c_client_key".into(), key.into());
    if let Value::Object(values) = values {
        object.extend(values);
    }
    Value::Object(object)
}

fn tend(event: &TendEvent) -> Value {
    match event {
        TendEvent::NodeAdded { id, address } => {
            json!({ "event": "node_added", "node": id.as_str(), "address": address })
        }
        TendEvent::NodeRemoved { id, reason } => {
            json!({ "event": "node_removed", "node": id.as_str(), "reason": reason })
        }
        TendEvent::NodeMoved { id, from, to } => {
            json!({ "event": "node_moved", "node": id.as_str(), "from": from, "to": to })
        }
        TendEvent::NodeUpgraded { id, from, to } => json!({
            "event": "node_upgraded",
            "node": id.as_str(),
            "from": from.to_string(),
            "to": to.to_string(),
        }),
        TendEvent::NodeFailed { id, address, error } => json!({
            "event": "node_failed",
            "node": id.as_str(),
            "address": address,
            "error": error,
        }),
        TendEvent::NodeUnresolved { id, error } => {
            json!({ "event": "node_unresolved", "node": id.as_str(), "error": error })
        }
        TendEvent::NodeRecovered { id } => {
            json!({ "event": "node_recovered", "node": id.as_str() })
        }
        TendEvent::NodeRefused { id, capacity } => {
            json!({ "event": "node_refused", "node": id.as_str(), "capacity": capacity })
        }
        TendEvent::PeersCutOff { listed, followed, ceiling, by } => json!({
            "event": "peers_cut_off",
            "listed": listed,
            "followed": followed,
            "ceiling": ceiling,
            "node": by.as_ref().map(|id| id.as_str()),
        }),
        TendEvent::NamespaceAdded { name } => {
            json!({ "event": "namespace_added", "namespace": name.as_str() })
        }
        TendEvent::NamespaceRemoved { name } => {
            json!({ "event": "namespace_removed", "namespace": name.as_str() })
        }
        TendEvent::NamespaceRefused { name, capacity } => json!({
            "event": "namespace_refused",
            "namespace": name.as_str(),
            "capacity": capacity,
        }),
        TendEvent::NamespacesCutOff { listed, ceiling, by, by_it } => json!({
            "event": "namespaces_cut_off",
            "listed": listed,
            "ceiling": ceiling,
            "node": by.as_str(),
            "by_node": by_it,
        }),
        TendEvent::BadReply { id, error } => {
            json!({ "event": "bad_reply", "node": id.as_str(), "error": error })
        }
        TendEvent::BadEntry { id, what, entry, problem } => json!({
            "event": "bad_entry",
            "node": id.as_str(),
            "list": what,
            "entry": entry,
            "problem": problem,
        }),
        TendEvent::NoAlternateAddress { id, setting } => {
            json!({ "event": "no_alternate_address", "node": id.as_str(), "setting": setting })
        }
        TendEvent::ClusterRenamed { from, to } => json!({
            "event": "cluster_renamed",
            "from": from.as_ref().map(|name| name.as_str()),
            "to": to.as_ref().map(|name| name.as_str()),
        }),
        TendEvent::ClaimsContradict { partitions, nodes } => json!({
            "event": "claims_contradict",
            "partitions": partitions,
            "nodes": nodes.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        }),
        TendEvent::ClaimsAgree => json!({ "event": "claims_agree" }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::client::event::one_of_each;

    #[test]
    fn every_event_has_a_name_of_its_own() {
        let events = one_of_each();
        let names: HashSet<String> =
            events.iter().map(|event| event.to_json_value()["event"].to_string()).collect();
        assert_eq!(names.len(), events.len(), "{names:?}");
    }

    #[test]
    fn values_follow_the_name_in_their_order() {
        let event = Event::NewOwner { term: 3, pid: 0 };
        let wanted = r#"{"event":"new_owner","term":3,"owner_pid":null}"#;
        assert_eq!(event.to_json(), wanted);
    }
}
