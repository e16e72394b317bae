//! Events as text: in the log, each with its values as fields, under the target
//! `tendmap`; and as one line for people.
//!
//! Texts may contain what a server sent; they are escaped.

use core::fmt;

use super::event::Event;
#[cfg(feature = "c-client")]
use crate::c_client::MirrorEvent;
use crate::map::ClusterName;
use crate::tend::TendEvent;

/// Where an event is described.
enum Sink<'a, 'b> {
    /// In the log, its values as fields.
    Log,
    /// In a text, after the message.
    Text(&'a mut fmt::Formatter<'b>),
}

/// Describes an event: its level, the message, the values as fields of the log.
macro_rules! say {
    ($sink:expr, $level:ident, $message:literal $(, $($field:tt)+)?) => {
        match $sink {
            Sink::Log => {
                tracing::$level!(target: "tendmap", $($($field)+,)? $message);
                Ok(())
            }
            Sink::Text(f) => {
                f.write_str($message)?;
                $(values!(f, ": ", $($field)+);)?
                Ok(())
            }
        }
    };
}

/// Writes fields as text, each after a separator.
macro_rules! values {
    ($f:ident, $before:literal, ? $name:ident $(, $($rest:tt)+)?) => {
        values!($f, $before, $name = ? $name $(, $($rest)+)?)
    };
    ($f:ident, $before:literal, % $name:ident $(, $($rest:tt)+)?) => {
        values!($f, $before, $name = $name $(, $($rest)+)?)
    };
    ($f:ident, $before:literal, $name:ident = % $value:expr $(, $($rest:tt)+)?) => {
        values!($f, $before, $name = $value $(, $($rest)+)?)
    };
    ($f:ident, $before:literal, $name:ident = ? $value:expr $(, $($rest:tt)+)?) => {
        write!($f, "{}{} {:?}", $before, stringify!($name).replace('_', " "), $value)?;
        $(values!($f, ", ", $($rest)+);)?
    };
    ($f:ident, $before:literal, $name:ident = $value:expr $(, $($rest:tt)+)?) => {
        write!($f, "{}{} {}", $before, stringify!($name).replace('_', " "), $value)?;
        $(values!($f, ", ", $($rest)+);)?
    };
    ($f:ident, $before:literal, $name:ident $(, $($rest:tt)+)?) => {
        values!($f, $before, $name = $name $(, $($rest)+)?)
    };
}

/// Logs an event at its level.
pub(super) fn log(event: &Event) {
    let _ = describe(event, &mut Sink::Log);
}

/// One line: what happened, and its values.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(self, &mut Sink::Text(f))
    }
}

fn describe(event: &Event, sink: &mut Sink<'_, '_>) -> fmt::Result {
    match event {
        Event::Owner { generation, term, takeover } => {
            say!(sink, info, "owner", generation, term, takeover)
        }
        Event::Follower { generation, term } => say!(sink, info, "follower", generation, term),
        Event::Fenced { term } => say!(sink, warn, "fenced: another process is the owner", term),
        Event::NewOwner { term, pid } => {
            say!(sink, info, "another process is the owner", term, pid)
        }
        Event::Moved { generation } => say!(sink, info, "moved to another segment", generation),
        Event::Published { sequence, nodes, namespaces } => {
            say!(sink, debug, "published", sequence, nodes, namespaces)
        }
        Event::Tend(event) => tend(event, sink),
        Event::TendFailed { error } => say!(sink, warn, "the cluster can't be tended", ?error),
        Event::TendRecovered { after } => say!(sink, info, "the cluster is tended again", ?after),
        Event::Abdicated { failed_for } => {
            say!(sink, warn, "can't reach the cluster: giving up ownership", ?failed_for)
        }
        Event::Grown { generation, max_nodes, max_namespaces, max_replicas } => {
            say!(
                sink,
                info,
                "replaced by a larger segment",
                generation,
                max_nodes,
                max_namespaces,
                max_replicas
            )
        }
        Event::Offered => {
            say!(
                sink,
                warn,
                "this process lacks a local resource: it offers the ownership to others"
            )
        }
        Event::NoRoom { error } => say!(sink, warn, "can't create a larger segment", ?error),
        Event::CapacityIgnored { what } => say!(sink, warn, "other capacities are ignored", ?what),
        Event::ReadOnly { segment, reason } => {
            say!(
                sink,
                info,
                "this process may only read the segment; it can't become owner",
                ?segment,
                ?reason
            )
        }
        Event::SecretExposed { path, mode } => {
            let mode = format!("{mode:04o}");
            say!(
                sink,
                warn,
                "other users may read a file with a secret: `chmod 600` it",
                ?path,
                mode
            )
        }
        #[cfg(feature = "c-client")]
        Event::CClient { key, event } => mirror(*key, event, sink),
        Event::Trouble { error } => say!(sink, warn, "trouble with the segment", ?error),
    }
}

#[cfg(feature = "c-client")]
fn mirror(key: u32, event: &MirrorEvent, sink: &mut Sink<'_, '_>) -> fmt::Result {
    let key = format!("0x{key:08X}");
    match event {
        MirrorEvent::Created { shm_id } => {
            say!(sink, info, "created the C client's segment", key, shm_id)
        }
        MirrorEvent::TookOver { shm_id, from } => {
            say!(sink, info, "fills the C client's segment", key, shm_id, from)
        }
        MirrorEvent::Standby { pid: Some(pid) } => {
            say!(sink, info, "another mirror fills the C client's segment", key, pid)
        }
        MirrorEvent::Standby { pid: None } => {
            say!(sink, info, "another mirror fills the C client's segment", key)
        }
        MirrorEvent::Waiting { pid } => {
            say!(sink, warn, "a client owns the C client's segment: waiting for its end", key, pid)
        }
        MirrorEvent::Refused { reason } => {
            say!(sink, warn, "the C client's segment can't be filled", key, ?reason)
        }
        MirrorEvent::Fenced { by } => {
            say!(sink, warn, "another process took over the C client's segment", key, by)
        }
        MirrorEvent::Removed { shm_id } => {
            say!(sink, warn, "the C client's segment was removed: restart its clients", key, shm_id)
        }
        MirrorEvent::NodeLeftOut { id, capacity } => {
            say!(sink, warn, "no slot for a node in the C client's segment", key, %id, capacity)
        }
        MirrorEvent::NamespaceLeftOut { name, capacity } => {
            say!(sink, warn, "no table for a namespace in the C client's segment", key, namespace = %name, capacity)
        }
        MirrorEvent::SlotReusedEarly { id, slot, out_of_use } => {
            say!(sink, warn, "a node got the slot of one that left recently", key, %id, slot, ?out_of_use)
        }
        MirrorEvent::Mended { words } => {
            say!(sink, warn, "the C client's segment was damaged, and was mended", key, words)
        }
        MirrorEvent::LocksFreed { locks } => {
            say!(sink, warn, "freed locks of dead processes", key, locks)
        }
        MirrorEvent::Released => say!(sink, info, "released the C client's segment", key),
        MirrorEvent::Trouble { error } => say!(sink, warn, "trouble with a mirror", key, ?error),
    }
}

/// Logs that the observer panicked while handling an event.
pub(super) fn observer_panicked(event: &Event) {
    tracing::error!(target: "tendmap", ?event, "the observer panicked; it still receives the next event");
}

fn tend(event: &TendEvent, sink: &mut Sink<'_, '_>) -> fmt::Result {
    match event {
        TendEvent::NodeAdded { id, address } => say!(sink, info, "node added", %id, %address),
        TendEvent::NodeRemoved { id, reason } => say!(sink, info, "node removed", %id, reason),
        TendEvent::NodeMoved { id, from, to } => say!(sink, info, "node moved", %id, %from, %to),
        TendEvent::NodeUpgraded { id, from, to } => {
            say!(sink, info, "node upgraded", %id, %from, %to)
        }
        TendEvent::NodeFailed { id, address, error } => {
            say!(sink, warn, "node fails", %id, %address, ?error)
        }
        TendEvent::NodeUnresolved { id, error } => {
            say!(sink, warn, "a node is listed without an address", %id, ?error)
        }
        TendEvent::NodeRecovered { id } => say!(sink, info, "node answers again", %id),
        TendEvent::NodeRefused { id, capacity } => {
            say!(sink, warn, "no room for a node", %id, capacity)
        }
        TendEvent::PeersCutOff { listed, followed, ceiling, by } => {
            let node = by.map(|id| id.to_string());
            say!(
                sink,
                warn,
                "more nodes are listed than the map has room for: the others are not contacted; raise shm_node_ceiling if they are nodes of the cluster",
                listed,
                followed,
                ceiling,
                ?node
            )
        }
        TendEvent::NamespaceAdded { name } => {
            say!(sink, info, "namespace added", namespace = %name)
        }
        TendEvent::NamespaceRemoved { name } => {
            say!(sink, info, "namespace removed", namespace = %name)
        }
        TendEvent::NamespaceRefused { name, capacity } => {
            say!(sink, warn, "no room for a namespace", namespace = %name, capacity)
        }
        TendEvent::NamespacesCutOff { listed, ceiling, by, by_it } => {
            say!(sink, warn, "more namespaces are listed than the map has room for: each node gets an equal share of the room; raise shm_namespace_ceiling if they belong to the cluster", listed, ceiling, node = %by, by_node = by_it)
        }
        TendEvent::BadReply { id, error } => say!(sink, warn, "a reply can't be used", %id, ?error),
        TendEvent::BadEntry { id, what, entry, problem } => {
            say!(sink, warn, "skipped an entry of a reply", %id, what, entry, problem)
        }
        TendEvent::NoAlternateAddress { id, setting } => {
            say!(sink, warn, "a node advertises no alternate address", %id, setting)
        }
        TendEvent::ClusterRenamed { from, to } => {
            let name = |name: &Option<ClusterName>| name.map_or("null".into(), |n| n.to_string());
            say!(sink, warn, "the cluster was renamed", from = ?name(from), to = ?name(to))
        }
        TendEvent::ClaimsContradict { partitions, nodes } => {
            let ids: Vec<&str> = nodes.iter().map(|id| id.as_str()).collect();
            say!(sink, warn, "nodes claim the same partitions", partitions, nodes = ?ids)
        }
        TendEvent::ClaimsAgree => say!(sink, info, "the nodes' claims agree again"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::client::event::one_of_each;
    use crate::map::NodeId;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(event: &Event) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || log(event));
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_shown_in_one_line_with_the_message_that_is_logged() {
        for event in one_of_each() {
            let text = event.to_string();
            assert!(text.chars().all(crate::text::is_printable) && !text.is_empty(), "{text:?}");
            let message = text.split(": ").next().unwrap();
            assert!(logged(&event).contains(message), "{text}");
        }
        let published = Event::Published { sequence: 7, nodes: 3, namespaces: 2 };
        assert_eq!(published.to_string(), "published: sequence 7, nodes 3, namespaces 2");
        assert_eq!(
            Event::Fenced { term: 4 }.to_string(),
            "fenced: another process is the owner: term 4"
        );
        let error = "\u{1b}[31m\nowned".to_owned();
        assert_eq!(
            Event::TendFailed { error }.to_string(),
            r#"the cluster can't be tended: error "\u{1b}[31m\nowned""#
        );
        let name = crate::map::NamespaceName::new("test").unwrap();
        assert_eq!(
            Event::Tend(TendEvent::NamespaceRefused { name, capacity: 8 }).to_string(),
            "no room for a namespace: namespace test, capacity 8"
        );
    }

    #[test]
    fn every_event_is_logged_at_its_level() {
        for event in one_of_each() {
            let line = logged(&event).trim_start().to_lowercase();
            let level = event.level().as_str().trim_end_matches("ing");
            assert!(line.starts_with(level), "{event:?}: {line}");
        }
    }

    #[test]
    fn values_are_fields_and_texts_are_escaped() {
        let (id, address) = (NodeId::new("A").unwrap(), "127.0.0.1:1".parse().unwrap());
        let error = "ERROR:4:\u{1b}[31m\nowned".to_owned();
        let line = logged(&Event::Tend(TendEvent::NodeFailed { id, address, error }));
        assert!(line.contains("WARN tendmap: node fails id=A address=127.0.0.1:1"), "{line}");
        assert_eq!(line.matches('\n').count(), 1, "one line: {line:?}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        let line = logged(&Event::Published { sequence: 7, nodes: 3, namespaces: 2 });
        assert!(
            line.contains("DEBUG tendmap: published sequence=7 nodes=3 namespaces=2"),
            "{line}"
        );
    }
}
