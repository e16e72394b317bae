//! A status as JSON.

use serde_json::{Value, json};

use super::ms;
use crate::client::health::Verdict;
use crate::client::status::{ConditionStatus, DepartedNode, NamespaceStatus, NodeStatus, Status};
use crate::times::Histogram;

/// The counts of each bucket, not cumulative; the last one has no bound.
fn times(found: &Histogram) -> Value {
    let bounds = found.bounds.iter().map(|bound| Some(bound.as_micros() as u64)).chain([None]);
    let bucket = |(up_to, count)| json!({ "up_to_us": up_to, "count": count });
    let buckets: Vec<Value> = bounds.zip(&found.buckets).map(bucket).collect();
    json!({ "count": found.count(), "sum_us": found.sum.as_micros() as u64, "buckets": buckets })
}

impl Status {
    /// This status as a JSON object, in the order of its fields: durations in
    /// whole milliseconds under names that end in `_ms`, `null` for what is
    /// not known, and what it comes to as `healthy`, `problems` and
    /// `remarks`.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_json_value().to_string()
    }

    internal! {
        /// The same as a value.
        #[must_use]
        fn to_json_value(&self) -> Value {
            let problems = match self.verdict() {
                Verdict::Healthy => Vec::new(),
                Verdict::Unhealthy(problems) => problems,
            };
            let namespace = |namespace: &NamespaceStatus| {
                json!({
                    "name": namespace.name,
                    "replication_factor": namespace.replication_factor,
                    "routable_replicas": namespace.routable_replicas,
                    "strong_consistency": namespace.strong_consistency,
                    "holes": namespace.holes,
                })
            };
            let member = |node: &NodeStatus| {
                let health = node.health.as_ref();
                json!({
                    "id": node.id.as_str(),
                    "address": node.address.to_string(),
                    "build": node.build.map(|build| build.to_string()),
                    "failures": health.map(|health| health.failures),
                    "last_error": health.and_then(|health| health.last_error.as_ref()),
                    "last_error_age_ms": node.last_error_age.map(ms),
                })
            };
            let condition = |found: &ConditionStatus| {
                json!({
                    "condition": found.condition.as_str(),
                    "passes": found.passes,
                    "count": found.count,
                })
            };
            let departed = |node: &DepartedNode| json!({ "id": node.id.as_str(), "age_ms": ms(node.age), "reason": node.reason });
            let times = |found: &Option<Histogram>| found.as_ref().map(times);
            let mut object = json!({
                "backend": self.backend.map(|backend| backend.as_str()),
                "path": self.path.as_ref().map(|path| path.to_string_lossy()),
                "shmid": self.shm_id,
                "user": self.user,
                "bytes": self.bytes,
                "layout_version": self.layout_version,
                "key": self.key,
                "generation": self.generation,
                "retired": self.retired,
                "cluster_name": self.cluster_name,
                "term": self.term,
                "sequence": self.sequence,
                "owner_pid": self.owner_pid,
                "owner_alive": self.owner_alive,
                "abdicated": self.abdicated,
                "heartbeat_age_ms": self.heartbeat_age.map(ms),
                "tended_age_ms": self.tended_age.map(ms),
                "tend_interval_ms": self.tend_interval.map(ms),
                "nodes": self.nodes,
                "members": self.members.iter().map(member).collect::<Vec<_>>(),
                "max_nodes": self.max_nodes,
                "max_namespaces": self.max_namespaces,
                "max_replicas": self.max_replicas,
                "namespaces": self.namespaces.iter().map(namespace).collect::<Vec<_>>(),
                "publications": self.publications,
                "takeovers": self.takeovers,
                "refused_nodes": self.refused_nodes,
                "tends": self.tends,
                "tend_errors": self.tend_errors,
                "pass_us": self.pass_time.map(|time| time.as_micros() as u64),
                "bytes_in": self.bytes_in,
                "failing_nodes": self.failing_nodes,
                "ask_errors": self.ask_errors,
                "bad_replies": self.bad_replies,
            });
            // Built separately: `json!` has a limit on the number of fields.
            let health = json!({
                "pass_times": times(&self.pass_times),
                "publication_times": times(&self.publication_times),
                "conditions": self.conditions.iter().map(condition).collect::<Vec<_>>(),
                "last_error": self.last_error,
                "last_error_age_ms": self.last_error_age.map(ms),
                "shortage": self.shortage,
                "departed": self.departed.iter().map(departed).collect::<Vec<_>>(),
                "attached": self.attached,
                "healthy": problems.is_empty(),
                "problems": problems,
                "remarks": self.remarks(),
            });
            if let (Some(object), Value::Object(health)) = (object.as_object_mut(), health) {
                object.extend(health);
            }
            object
        }
    }
}
