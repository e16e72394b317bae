//! Events as lines: a name and what goes with it.

use std::time::Duration;

use serde_json::{Map, Value};
use tendmap::client::{Event, Role};
use tendmap::tend::TendEvent;

/// An event to be printed.
pub struct Told {
    name: &'static str,
    fields: Vec<(&'static str, Value)>,
}

impl Told {
    fn new<const N: usize>(name: &'static str, fields: [(&'static str, Value); N]) -> Told {
        Told { name, fields: fields.into() }
    }

    /// The connection stands.
    pub fn connected(role: Role) -> Told {
        Told::new("connected", [("role", role.as_str().into())])
    }

    /// The connection is closed.
    pub fn closed() -> Told {
        Told::new("closed", [])
    }

    /// The configuration was read anew, and these settings taken over.
    pub fn reloaded(changed: Vec<String>) -> Told {
        Told::new("reloaded", [("changed", changed.into())])
    }

    /// These settings have changed, but not for a client that runs.
    pub fn restart_needed(settings: Vec<String>) -> Told {
        Told::new("restart_needed", [("settings", settings.into())])
    }

    /// The configuration can't be used: all is as it was.
    pub fn reload_failed(error: String) -> Told {
        Told::new("reload_failed", [("error", error.into())])
    }

    /// As one JSON object.
    pub fn json(self, after: Duration, pid: u32) -> Value {
        let mut object = Map::new();
        object.insert("event".into(), self.name.into());
        object.insert("pid".into(), pid.into());
        object.insert("after_ms".into(), ms(after));
        object.extend(self.fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(object)
    }

    /// As a line for people.
    pub fn text(&self, after: Duration) -> String {
        let mut line = format!("{:>9.3} s  {:<18}", after.as_secs_f64(), self.name);
        for (index, (name, value)) in self.fields.iter().enumerate() {
            line += if index == 0 { "  " } else { ", " };
            let (name, unit) = match name.strip_suffix("_ms") {
                Some(name) => (name, " ms"),
                None => (*name, ""),
            };
            line += &name.replace('_', " ");
            line.push(' ');
            match value {
                Value::String(text) => line += text,
                Value::Bool(yes) => line += if *yes { "yes" } else { "no" },
                Value::Array(list) if list.is_empty() => line += "nothing",
                Value::Array(list) => {
                    let words = list.iter().map(|word| word.as_str().unwrap_or_default());
                    line += &words.collect::<Vec<_>>().join(" ");
                }
                other => line += &other.to_string(),
            }
            line += unit;
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn ms(duration: Duration) -> Value {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

/// What an event of the client says.
pub fn told(event: &Event) -> Told {
    match event {
        Event::Owner { generation, term, takeover } => Told::new(
            if *takeover { "takeover" } else { "owner" },
            [("generation", (*generation).into()), ("term", (*term).into())],
        ),
        Event::Follower { generation, term } => {
            Told::new("follower", [("generation", (*generation).into()), ("term", (*term).into())])
        }
        Event::Fenced { term } => Told::new("fenced", [("term", (*term).into())]),
        Event::NewOwner { term, pid } => Told::new(
            "new_owner",
            [("term", (*term).into()), ("owner_pid", Some(*pid).filter(|&pid| pid > 0).into())],
        ),
        Event::Moved { generation } => Told::new("moved", [("generation", (*generation).into())]),
        Event::Published { sequence, nodes, namespaces } => Told::new(
            "published",
            [
                ("sequence", (*sequence).into()),
                ("nodes", (*nodes).into()),
                ("namespaces", (*namespaces).into()),
            ],
        ),
        Event::Tend(event) => tend(event),
        Event::TendFailed { error } => Told::new("tend_failed", [("error", text(error))]),
        Event::TendRecovered { after } => {
            Told::new("tend_recovered", [("failed_for_ms", ms(*after))])
        }
        Event::Abdicated { failed_for } => {
            Told::new("abdicated", [("failed_for_ms", ms(*failed_for))])
        }
        Event::Grown { generation, max_nodes, max_namespaces } => Told::new(
            "grown",
            [
                ("generation", (*generation).into()),
                ("max_nodes", (*max_nodes).into()),
                ("max_namespaces", (*max_namespaces).into()),
            ],
        ),
        Event::ReplicasCut { namespace, replication_factor, max_replicas } => Told::new(
            "replicas_cut",
            [
                ("namespace", text(namespace)),
                ("replication_factor", (*replication_factor).into()),
                ("max_replicas", (*max_replicas).into()),
            ],
        ),
        Event::NoRoom { error } => Told::new("no_room", [("error", text(error))]),
        Event::CapacityIgnored { what } => Told::new("capacity_ignored", [("what", text(what))]),
        Event::Trouble { error } => Told::new("trouble", [("error", text(error))]),
        other => Told::new("other", [("what", text(&format!("{other:?}")))]),
    }
}

fn tend(event: &TendEvent) -> Told {
    match event {
        TendEvent::NodeAdded { id, address } => {
            Told::new("node_added", [("node", text(id)), ("address", text(address))])
        }
        TendEvent::NodeRemoved { id, reason } => {
            Told::new("node_removed", [("node", text(id)), ("reason", text(reason))])
        }
        TendEvent::NodeMoved { id, from, to } => {
            Told::new("node_moved", [("node", text(id)), ("from", text(from)), ("to", text(to))])
        }
        TendEvent::NodeFailed { id, address, error } => Told::new(
            "node_failed",
            [("node", text(id)), ("address", text(address)), ("error", text(error))],
        ),
        TendEvent::NodeRecovered { id } => Told::new("node_recovered", [("node", text(id))]),
        TendEvent::NodeRefused { id, capacity } => {
            Told::new("node_refused", [("node", text(id)), ("capacity", (*capacity).into())])
        }
        TendEvent::NamespaceAdded { name } => {
            Told::new("namespace_added", [("namespace", text(name))])
        }
        TendEvent::NamespaceRemoved { name } => {
            Told::new("namespace_removed", [("namespace", text(name))])
        }
        TendEvent::NamespaceRefused { name, capacity } => Told::new(
            "namespace_refused",
            [("namespace", text(name)), ("capacity", (*capacity).into())],
        ),
        TendEvent::BadReply { id, error } => {
            Told::new("bad_reply", [("node", text(id)), ("error", text(error))])
        }
        other => Told::new("other", [("what", text(&format!("{other:?}")))]),
    }
}

fn text(value: &(impl ToString + ?Sized)) -> Value {
    value.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_for_people_and_one_for_programs() {
        let event = Event::Abdicated { failed_for: Duration::from_secs(2) };
        let after = Duration::from_millis(1500);
        assert_eq!(told(&event).text(after), "    1.500 s  abdicated           failed for 2000 ms");
        let json = told(&event).json(after, 7);
        let wanted = r#"{"event":"abdicated","pid":7,"after_ms":1500,"failed_for_ms":2000}"#;
        assert_eq!(json, serde_json::from_str::<Value>(wanted).unwrap());
    }
}
