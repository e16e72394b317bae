//! Events in the log, each with its values as fields, under the target `tendmap`.
//!
//! Texts may contain what a server sent; they are logged escaped.

use super::event::Event;
#[cfg(feature = "c-client")]
use crate::c_client::MirrorEvent;
use crate::map::ClusterName;
use crate::tend::TendEvent;

/// Adds the target to a log line.
macro_rules! log {
    ($level:ident, $($rest:tt)*) => { tracing::$level!(target: "tendmap", $($rest)*) };
}

/// Logs an event at its level.
pub(super) fn log(event: &Event) {
    match event {
        Event::Owner { generation, term, takeover } => {
            log!(info, generation, term, takeover, "owner");
        }
        Event::Follower { generation, term } => log!(info, generation, term, "follower"),
        Event::Fenced { term } => log!(warn, term, "fenced: another process is the owner"),
        Event::NewOwner { term, pid } => log!(info, term, pid, "another process is the owner"),
        Event::Moved { generation } => log!(info, generation, "moved to another segment"),
        Event::Published { sequence, nodes, namespaces } => {
            log!(debug, sequence, nodes, namespaces, "published");
        }
        Event::Tend(event) => tend(event),
        Event::TendFailed { error } => log!(warn, ?error, "the cluster can't be tended"),
        Event::TendRecovered { after } => log!(info, ?after, "the cluster is tended again"),
        Event::Abdicated { failed_for } => {
            log!(warn, ?failed_for, "can't reach the cluster: giving up ownership");
        }
        Event::Grown { generation, max_nodes, max_namespaces, max_replicas } => {
            log!(
                info,
                generation,
                max_nodes,
                max_namespaces,
                max_replicas,
                "replaced by a larger segment"
            );
        }
        Event::Offered => {
            log!(warn, "this process lacks a local resource: it offers the ownership to others");
        }
        Event::NoRoom { error } => log!(warn, ?error, "can't create a larger segment"),
        Event::CapacityIgnored { what } => log!(warn, ?what, "other capacities are ignored"),
        Event::ReadOnly { segment, reason } => {
            log!(
                info,
                ?segment,
                ?reason,
                "this process may only read the segment; it can't become owner"
            );
        }
        Event::SecretExposed { path, mode } => {
            let mode = format!("{mode:04o}");
            log!(warn, ?path, mode, "other users may read a file with a secret: `chmod 600` it");
        }
        #[cfg(feature = "c-client")]
        Event::CClient { key, event } => mirror(*key, event),
        Event::Trouble { error } => log!(warn, ?error, "trouble with the segment"),
    }
}

#[cfg(feature = "c-client")]
fn mirror(key: u32, event: &MirrorEvent) {
    let key = format!("0x{key:08X}");
    match event {
        MirrorEvent::Created { shm_id } => {
            log!(info, key, shm_id, "created the C client's segment");
        }
        MirrorEvent::TookOver { shm_id, from } => {
            log!(info, key, shm_id, from, "fills the C client's segment");
        }
        MirrorEvent::Standby { pid } => {
            log!(info, key, pid, "another mirror fills the C client's segment");
        }
        MirrorEvent::Waiting { pid } => {
            log!(warn, key, pid, "a client owns the C client's segment: waiting for its end");
        }
        MirrorEvent::Refused { reason } => {
            log!(warn, key, ?reason, "the C client's segment can't be filled");
        }
        MirrorEvent::Fenced { by } => {
            log!(warn, key, by, "another process took over the C client's segment");
        }
        MirrorEvent::Removed { shm_id } => {
            log!(warn, key, shm_id, "the C client's segment was removed: restart its clients");
        }
        MirrorEvent::NodeLeftOut { id, capacity } => {
            log!(warn, key, %id, capacity, "no slot for a node in the C client's segment");
        }
        MirrorEvent::NamespaceLeftOut { name, capacity } => {
            log!(warn, key, namespace = %name, capacity, "no table for a namespace in the C client's segment");
        }
        MirrorEvent::SlotReusedEarly { id, slot, out_of_use } => {
            log!(warn, key, %id, slot, ?out_of_use, "a node got the slot of one that left recently");
        }
        MirrorEvent::Mended { words } => {
            log!(warn, key, words, "the C client's segment was damaged, and was mended");
        }
        MirrorEvent::LocksFreed { locks } => {
            log!(warn, key, locks, "freed locks of dead processes");
        }
        MirrorEvent::Released => log!(info, key, "released the C client's segment"),
        MirrorEvent::Trouble { error } => log!(warn, key, ?error, "trouble with a mirror"),
    }
}

/// Logs that the observer panicked while handling an event.
pub(super) fn observer_panicked(event: &Event) {
    log!(error, ?event, "the observer panicked; it still receives the next event");
}

fn tend(event: &TendEvent) {
    match event {
        TendEvent::NodeAdded { id, address } => log!(info, %id, %address, "node added"),
        TendEvent::NodeRemoved { id, reason } => log!(info, %id, reason, "node removed"),
        TendEvent::NodeMoved { id, from, to } => log!(info, %id, %from, %to, "node moved"),
        TendEvent::NodeUpgraded { id, from, to } => log!(info, %id, %from, %to, "node upgraded"),
        TendEvent::NodeFailed { id, address, error } => {
            log!(warn, %id, %address, ?error, "node fails");
        }
        TendEvent::NodeUnresolved { id, error } => {
            log!(warn, %id, ?error, "a node is listed without an address");
        }
        TendEvent::NodeRecovered { id } => log!(info, %id, "node answers again"),
        TendEvent::NodeRefused { id, capacity } => {
            log!(warn, %id, capacity, "no room for a node");
        }
        TendEvent::PeersCutOff { listed, followed, ceiling, by } => {
            let node = by.map(|id| id.to_string());
            log!(
                warn,
                listed,
                followed,
                ceiling,
                ?node,
                "more nodes are listed than the map has room for: the others are not contacted; raise shm_node_ceiling if they are nodes of the cluster"
            );
        }
        TendEvent::NamespaceAdded { name } => log!(info, namespace = %name, "namespace added"),
        TendEvent::NamespaceRemoved { name } => log!(info, namespace = %name, "namespace removed"),
        TendEvent::NamespaceRefused { name, capacity } => {
            log!(warn, namespace = %name, capacity, "no room for a namespace");
        }
        TendEvent::NamespacesCutOff { listed, ceiling, by, by_it } => {
            log!(warn, listed, ceiling, node = %by, by_node = by_it, "more namespaces are listed than the map has room for: each node gets an equal share of the room; raise shm_namespace_ceiling if they belong to the cluster");
        }
        TendEvent::BadReply { id, error } => log!(warn, %id, ?error, "a reply can't be used"),
        TendEvent::BadEntry { id, what, entry, problem } => {
            log!(warn, %id, what, entry, problem, "skipped an entry of a reply");
        }
        TendEvent::NoAlternateAddress { id, setting } => {
            log!(warn, %id, setting, "a node advertises no alternate address");
        }
        TendEvent::ClusterRenamed { from, to } => {
            let name = |name: &Option<ClusterName>| name.map_or("null".into(), |n| n.to_string());
            log!(warn, from = ?name(from), to = ?name(to), "the cluster was renamed");
        }
        TendEvent::ClaimsContradict { partitions, nodes } => {
            let ids: Vec<&str> = nodes.iter().map(|id| id.as_str()).collect();
            log!(warn, partitions, nodes = ?ids, "nodes claim the same partitions");
        }
        TendEvent::ClaimsAgree => log!(info, "the nodes' claims agree again"),
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
