//! The status of a segment, as C sees it.

use core::ffi::c_char;

use tendmap::client::{Status as Known, Verdict};

use crate::text::copy_text;

/// Marks an unknown age or interval.
pub const TENDMAP_UNKNOWN: u64 = u64::MAX;
/// Room for the name of a cluster and a zero byte.
pub const TENDMAP_CLUSTER_NAME_SIZE: usize = 72;

const _: () = assert!(tendmap::map::ClusterName::MAX < TENDMAP_CLUSTER_NAME_SIZE);

/// The state of a segment and its owner. tendmap_client_status_json() gives
/// more details.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Status {
    /// Set by the caller before the call: sizeof(tendmap_status). Later
    /// versions add fields at the end, and fill no more than the caller has.
    pub size: usize,
    /// The segment's generation under the key.
    pub generation: u64,
    /// The last publication; 0 = none yet.
    pub sequence: u64,
    /// Milliseconds since the owner's last heartbeat, or TENDMAP_UNKNOWN.
    pub heartbeat_age_ms: u64,
    /// Milliseconds since the last successful tend, or TENDMAP_UNKNOWN.
    pub tended_age_ms: u64,
    /// The owner's tend interval in milliseconds, or TENDMAP_UNKNOWN.
    pub tend_interval_ms: u64,
    /// Publications since the segment was created.
    pub publications: u64,
    /// Takeovers since the segment was created.
    pub takeovers: u64,
    /// Passes that succeeded.
    pub tends: u64,
    /// Passes that failed.
    pub tend_errors: u64,
    /// Nodes and namespaces that did not fit in the map in the last pass.
    pub refused_nodes: u64,
    /// Partitions without a master, in all namespaces.
    pub holes: u64,
    /// The segment's key.
    pub key: u32,
    /// The owner's term.
    pub term: u32,
    /// The owner's pid in its own pid namespace; 0 = not known.
    pub owner_pid: u32,
    /// Nodes in the map.
    pub nodes: u32,
    /// Nodes that the segment has room for.
    pub max_nodes: u32,
    /// Namespaces in the map.
    pub namespaces: u32,
    /// Namespaces that it has room for.
    pub max_namespaces: u32,
    /// Replicas of a partition that it has room for.
    pub max_replicas: u32,
    /// Attached processes; -1 if they can't be counted.
    pub attached: i32,
    /// 1 if every partition has a master and the map can be kept current, else 0:
    /// tendmap_client_status_json() gives the reason.
    pub healthy: u8,
    /// 1 if there is a live owner.
    pub owner_alive: u8,
    /// 1 if the owner can't reach the cluster and is giving up ownership.
    pub abdicated: u8,
    /// 1 if no publication will follow in this segment.
    pub retired: u8,
    /// The cluster's name; empty if it has none.
    pub cluster_name: [c_char; TENDMAP_CLUSTER_NAME_SIZE],
    /// Nodes that did not answer, or sent a bad reply, in the last pass.
    pub failing_nodes: u64,
    /// The number of problems that tendmap_client_status_json() lists.
    pub problems: u32,
    /// The number of remarks that it lists.
    pub remarks: u32,
}

fn ms(duration: Option<core::time::Duration>) -> u64 {
    duration.map_or(TENDMAP_UNKNOWN, |age| age.as_millis().try_into().unwrap_or(TENDMAP_UNKNOWN))
}

impl Status {
    pub(crate) fn of(known: &Known) -> Status {
        let verdict = known.verdict();
        let problems = match &verdict {
            Verdict::Healthy => 0,
            Verdict::Unhealthy(problems) => problems.len() as u32,
        };
        let holes = known.namespaces.iter().map(|namespace| namespace.holes as u64);
        let mut out = Status {
            size: size_of::<Status>(),
            generation: known.generation,
            sequence: known.sequence,
            heartbeat_age_ms: ms(known.heartbeat_age),
            tended_age_ms: ms(known.tended_age),
            tend_interval_ms: ms(known.tend_interval),
            publications: known.publications,
            takeovers: known.takeovers,
            tends: known.tends,
            tend_errors: known.tend_errors,
            refused_nodes: known.refused_nodes,
            holes: holes.sum(),
            key: known.key,
            term: known.term.into(),
            owner_pid: known.owner_pid.unwrap_or(0),
            nodes: known.nodes as u32,
            max_nodes: known.max_nodes as u32,
            namespaces: known.namespaces.len() as u32,
            max_namespaces: known.max_namespaces as u32,
            max_replicas: known.max_replicas as u32,
            attached: known.attached.map_or(-1, |count| count.try_into().unwrap_or(i32::MAX)),
            healthy: (verdict == Verdict::Healthy).into(),
            owner_alive: known.owner_alive.into(),
            abdicated: known.abdicated.into(),
            retired: known.retired.into(),
            cluster_name: [0; TENDMAP_CLUSTER_NAME_SIZE],
            failing_nodes: known.failing_nodes,
            problems,
            remarks: known.remarks().len() as u32,
        };
        copy_text(known.cluster_name.as_deref().unwrap_or(""), &mut out.cluster_name);
        out
    }
}
