//! What the segments of the host say, as metrics.

use std::collections::BTreeMap;

use rustix::process::geteuid;
use tendmap::client::Status;
use tendmap::map::{ClusterMap, Condition, Namespace};
use tendmap::segment::{Backend, SegmentError};

use super::family::{Families, Labels};
use crate::args::Common;
use crate::seen::{self, Health, Seen, State, Unread};

/// The most segments that are shown. Another user can create any number of them.
const MOST_SEGMENTS: usize = 100;
/// The most series of one segment that have a node, or a node and a namespace, as
/// labels. A process that may write the segment can fill a table of any capacity.
const MOST_SERIES: usize = 20_000;

/// Reads every segment, or those of the key that was given.
///
/// # Errors
/// [`SegmentError`] if the directory can't be read. A segment that can't be read is
/// no error.
pub fn collect(common: &Common) -> Result<Families, SegmentError> {
    let mut seen = chosen(seen::all(common)?);
    let mut families = Families::default();
    let build = Labels::default().with("version", env!("CARGO_PKG_VERSION"));
    families.gauge("tendmap_build_info", "The version of this exporter.", &build, 1.0);
    let found = seen.len();
    seen.truncate(MOST_SEGMENTS);
    let all = Labels::default();
    families.gauge("tendmap_segments", "Segments found on this host.", &all, found as f64);
    let omitted = found - seen.len();
    let help = "Segments that are not shown because there are too many.";
    families.gauge("tendmap_segments_omitted", help, &all, omitted as f64);
    if let (Some(key), 0) = (common.given_key(), found) {
        let base = Labels::default().with("key", format!("{key:#010x}"));
        up(&mut families, &base.with("reason", "not_found"), false);
    }
    for seen in &seen {
        let base = Labels::default()
            .with("key", format!("{:#010x}", seen.listed.key))
            .with("backend", seen.listed.backend)
            .with("user", seen.listed.user);
        match &seen.state {
            Ok(state) => {
                up(&mut families, &base, true);
                let cluster = state.status.cluster_name.as_deref().unwrap_or_default();
                segment(&mut families, &base.with("cluster", cluster), state, seen.health());
            }
            Err(reason) => up(&mut families, &base.with("reason", code(reason)), false),
        }
    }
    Ok(families)
}

fn up(families: &mut Families, labels: &Labels, up: bool) {
    let help = "1 if the segment can be read, 0 with the reason if not.";
    families.gauge("tendmap_segment_up", help, labels, flag(up));
}

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

/// The label of a reason.
fn code(reason: &Unread) -> &'static str {
    match reason {
        Unread::Replaced { .. } => "replaced",
        Unread::NoPermission(_) => "no_permission",
        Unread::OtherVersion(_) => "other_version",
        Unread::HalfMade => "half_made",
        Unread::Damaged(_) => "damaged",
        Unread::TooMany => "too_many",
        Unread::Failed(_) => "failed",
    }
}

/// One segment of each key, backend and user: a readable one before others, then the
/// highest generation. This user's and root's come first, then those with an owner.
fn chosen(all: Vec<Seen>) -> Vec<Seen> {
    let rank = |seen: &Seen| {
        let readable = seen.state.as_ref().ok();
        let live = readable.is_some_and(|state| !state.status.retired);
        (live, readable.is_some(), seen.listed.generation)
    };
    let mut best: BTreeMap<(u32, bool, u32), Seen> = BTreeMap::new();
    for seen in all.into_iter().filter(|seen| !matches!(seen.state, Err(Unread::Replaced { .. }))) {
        let listed = &seen.listed;
        let identity = (listed.key, listed.backend == Backend::SystemV, listed.user);
        match best.get(&identity) {
            Some(known) if rank(known) >= rank(&seen) => {}
            _ => drop(best.insert(identity, seen)),
        }
    }
    let mut chosen: Vec<Seen> = best.into_values().collect();
    let own = geteuid().as_raw();
    let owned = |seen: &Seen| seen.state.as_ref().is_ok_and(|state| state.status.owner_alive);
    // The sort is stable: the rest remains in the order of the keys.
    chosen.sort_by_key(|seen| (![0, own].contains(&seen.listed.user), !owned(seen)));
    chosen
}

fn segment(families: &mut Families, labels: &Labels, state: &State, health: Health) {
    let status = &state.status;
    let mut gauge = |name: &str, help: &str, value: f64| families.gauge(name, help, labels, value);
    gauge("tendmap_segment_bytes", "The size of the segment.", status.bytes as f64);
    gauge(
        "tendmap_segment_generation",
        "The segment's generation under its key.",
        status.generation as f64,
    );
    gauge(
        "tendmap_segment_layout_version",
        "The segment's layout version.",
        status.layout_version.into(),
    );
    gauge("tendmap_segment_retired", "1 if no publication will follow.", flag(status.retired));
    for (name, help, value) in [
        ("tendmap_segment_max_nodes", "The nodes that fit in the segment.", status.max_nodes),
        (
            "tendmap_segment_max_namespaces",
            "The namespaces that fit in the segment.",
            status.max_namespaces,
        ),
        (
            "tendmap_segment_max_replicas",
            "The replicas of a partition that fit in the segment.",
            status.max_replicas,
        ),
        ("tendmap_nodes", "The nodes in the map.", status.nodes),
        ("tendmap_namespaces", "The namespaces in the map.", status.namespaces.len()),
        (
            "tendmap_departed_nodes",
            "Nodes that left the map within the last ten minutes.",
            status.departed.len(),
        ),
    ] {
        gauge(name, help, value as f64);
    }
    if let Some(attached) = status.attached {
        gauge("tendmap_attached_processes", "The attached processes.", attached as f64);
    }
    let healthy = matches!(health, Health::Healthy);
    gauge("tendmap_healthy", "1 if `tendmap status` finds no problem.", flag(healthy));
    let stale = matches!(health, Health::Stale);
    gauge("tendmap_stale", "1 if the map is not kept current at present.", flag(stale));
    owner(families, labels, status);
    counters(families, labels, status);
    conditions(families, labels, status);
    let map = state.map.as_ref().map(|snapshot| &snapshot.map);
    namespaces(families, labels, status);
    let omitted = nodes(families, labels, status, map);
    let help = "Series of nodes that are not shown because there are too many.";
    families.gauge("tendmap_series_omitted", help, labels, omitted as f64);
}

fn owner(families: &mut Families, labels: &Labels, status: &Status) {
    let mut gauge = |name: &str, help: &str, value: f64| families.gauge(name, help, labels, value);
    gauge("tendmap_owner_alive", "1 if the owner is alive.", flag(status.owner_alive));
    gauge(
        "tendmap_owner_abdicated",
        "1 if the owner can't reach the cluster and gives up ownership.",
        flag(status.abdicated),
    );
    gauge("tendmap_owner_term", "The owner's term.", status.term.into());
    if let Some(pid) = status.owner_pid {
        gauge("tendmap_owner_pid", "The owner's pid in its own pid namespace.", pid.into());
    }
    gauge(
        "tendmap_map_sequence",
        "The sequence of the last publication; 0 = none yet.",
        status.sequence as f64,
    );
    for (name, help, age) in [
        (
            "tendmap_heartbeat_age_seconds",
            "The time since the owner's last heartbeat; one comes every second.",
            status.heartbeat_age,
        ),
        (
            "tendmap_last_tend_age_seconds",
            "The time since the last successful pass, of this or an earlier owner.",
            status.tended_age,
        ),
        (
            "tendmap_last_failed_tend_age_seconds",
            "The time since the last failed pass; absent if there was none.",
            status.last_error_age,
        ),
        ("tendmap_tend_interval_seconds", "The owner's tend interval.", status.tend_interval),
        ("tendmap_last_pass_duration_seconds", "The length of the last pass.", status.pass_time),
    ] {
        families.age(name, help, labels, age);
    }
}

/// Values that only rise. Until a new owner has continued them all they are left out:
/// smaller ones would look like a new segment.
fn counters(families: &mut Families, labels: &Labels, status: &Status) {
    let (Some(passes), Some(publications)) = (&status.pass_times, &status.publication_times) else {
        return;
    };
    let help = "Passes over the cluster since the segment was created.";
    let name = "tendmap_tends_total";
    families.counter(name, help, &labels.with("result", "success"), status.tends);
    families.counter(name, help, &labels.with("result", "failure"), status.tend_errors);
    let help = "Publications since the segment was created.";
    families.counter("tendmap_publications_total", help, labels, status.publications);
    let help = "Takeovers since the segment was created.";
    families.counter("tendmap_takeovers_total", help, labels, status.takeovers);
    let help = "Bytes received from the servers since the segment was created.";
    families.counter("tendmap_received_bytes_total", help, labels, status.bytes_in);
    let help = "Failures of nodes, at most one for each node and pass.";
    let name = "tendmap_node_errors_total";
    families.counter(name, help, &labels.with("reason", "no_answer"), status.ask_errors);
    families.counter(name, help, &labels.with("reason", "bad_reply"), status.bad_replies);
    let help = "How long passes took, successful or not.";
    families.histogram("tendmap_pass_duration_seconds", help, labels, passes);
    let help = "How long publications took.";
    families.histogram("tendmap_publication_duration_seconds", help, labels, publications);
}

fn conditions(families: &mut Families, labels: &Labels, status: &Status) {
    for condition in Condition::ALL {
        let found = status.conditions.iter().find(|found| found.condition == condition);
        let (passes, items) = found.map_or((0, 0), |found| (found.passes, found.count));
        let labels = labels.with("condition", condition.as_str());
        let help = "Consecutive passes that found a condition; 0 = not found in the last one.";
        families.gauge("tendmap_condition_passes", help, &labels, passes as f64);
        let help = "Nodes, entries or partitions to which a condition applied in the last pass.";
        families.gauge("tendmap_condition_items", help, &labels, items as f64);
    }
    let help = "Nodes that gave no answer, or an invalid one, in the last pass.";
    families.gauge("tendmap_failing_nodes", help, labels, status.failing_nodes as f64);
    let help = "Nodes and namespaces that did not fit in the map in the last pass.";
    families.gauge("tendmap_refused_nodes", help, labels, status.refused_nodes as f64);
}

fn namespaces(families: &mut Families, labels: &Labels, status: &Status) {
    for namespace in &status.namespaces {
        let labels = labels.with("namespace", &namespace.name);
        let mut gauge =
            |name: &str, help: &str, value: f64| families.gauge(name, help, &labels, value);
        gauge(
            "tendmap_namespace_holes",
            "Partitions of a namespace without a master.",
            namespace.holes as f64,
        );
        gauge(
            "tendmap_namespace_replication_factor",
            "A namespace's effective replication factor.",
            namespace.replication_factor.into(),
        );
        gauge(
            "tendmap_namespace_routable_replicas",
            "The replicas of a namespace that can be routed to.",
            namespace.routable_replicas as f64,
        );
        gauge(
            "tendmap_namespace_strong_consistency",
            "1 if a namespace uses strong consistency.",
            flag(namespace.strong_consistency),
        );
    }
}

/// The series of each node, and of each node and namespace; returns how many of them
/// were too many.
fn nodes(
    families: &mut Families,
    labels: &Labels,
    status: &Status,
    map: Option<&ClusterMap>,
) -> usize {
    let (mut room, mut omitted) = (MOST_SERIES, 0);
    let mut fits = |series: usize| {
        let fits = series <= room;
        if fits {
            room -= series
        } else {
            omitted += series
        }
        fits
    };
    for node in &status.members {
        if !fits(3) {
            continue;
        }
        let labels = labels.with("node", node.id).with("address", node.address);
        let build = node.build.map_or(String::new(), |build| build.to_string());
        let help = "A node of the map, and the build of its server.";
        families.gauge("tendmap_node_info", help, &labels.with("build", build), 1.0);
        if let Some(health) = &node.health {
            let help = "Consecutive passes in which a node did not answer the owner.";
            families.gauge("tendmap_node_failures", help, &labels, health.failures.into());
        }
        let help = "The time since a node's last error; absent if there was none.";
        let name = "tendmap_node_last_error_age_seconds";
        families.age(name, help, &labels, node.last_error_age);
    }
    let Some(map) = map else { return omitted };
    for namespace in map.namespaces() {
        let held = held(map, namespace);
        for (slot, node) in map.nodes.iter() {
            if !fits(2) {
                continue;
            }
            let labels = labels
                .with("node", node.id)
                .with("address", node.address)
                .with("namespace", namespace.name);
            let [masters, replicas] = held.get(slot.index()).copied().unwrap_or_default();
            let help = "Partitions of a namespace of which a node is master.";
            families.gauge("tendmap_node_master_partitions", help, &labels, masters.into());
            let help = "Partitions of a namespace of which a node holds another replica.";
            families.gauge("tendmap_node_replica_partitions", help, &labels, replicas.into());
        }
    }
    omitted
}

/// For each slot the number of masters and of other replicas.
fn held(map: &ClusterMap, namespace: &Namespace) -> Vec<[u32; 2]> {
    let mut held = vec![[0; 2]; map.nodes.slots()];
    for replica in 0..namespace.routable_replicas() {
        for partition in 0..namespace.partitions.len() {
            let slot = namespace.partitions.holder(partition, replica);
            if let Some(counts) = slot.and_then(|slot| held.get_mut(slot.index())) {
                counts[usize::from(replica > 0)] += 1;
            }
        }
    }
    held
}
