//! The verdict of a status: whether the map can be kept current, and if not, why.

use std::time::Duration;

use super::status::{NamespaceStatus, NodeStatus, Status};
use crate::map::{Condition, Streak};

/// A condition that lasts for more passes than this is a problem, until then a
/// remark.
const FEW: u64 = 3;
/// The maximum number of nodes that one line names.
const NAMED: usize = 3;
/// An owner's heartbeat comes at least once a second, whatever its interval. An
/// owner that was silent for this long is considered stopped, even if three
/// intervals are longer.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);
/// The lower limit of the tolerated silence: a busy machine can delay an owner.
const SHORTEST_SILENCE: Duration = Duration::from_secs(2);

/// The verdict of a status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "well, or not")]
pub enum Verdict {
    /// An owner tends, and every partition has a master.
    Healthy,
    /// Something is wrong; one text for each problem.
    Unhealthy(Vec<String>),
}

impl Status {
    /// The verdict. Unhealthy = the map has holes, or it can't be kept current:
    /// there is no owner; the owner is stopped (no heartbeat for three tend
    /// intervals, but at least 2 s and at most 60 s); it has not tended for
    /// three intervals and two seconds; or a condition in
    /// [`conditions`](Self::conditions) has lasted for more than three passes.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut wrong = Vec::new();
        if self.retired {
            wrong.push("the segment is retired and has no successor yet".to_owned());
        }
        wrong.extend(self.absence());
        if self.abdicated {
            wrong.push("the owner can't reach the cluster and is giving up ownership".to_owned());
        }
        wrong.extend(self.silence());
        if self.sequence == 0 {
            wrong.push("nothing has been published yet".to_owned());
        }
        let limit = self.longest_age();
        match self.tended_age {
            Some(age) if age > limit => {
                wrong.push(format!("not tended for {age:?}; wanted at most {limit:?}"));
            }
            None => wrong.push("never tended".to_owned()),
            _ => {}
        }
        for namespace in self.namespaces.iter().filter(|namespace| namespace.holes > 0) {
            let NamespaceStatus { name, holes, .. } = namespace;
            wrong.push(format!("namespace {name} has {holes} partitions without a master"));
        }
        wrong.extend(self.lasting_conditions(|passes| passes > FEW));
        if wrong.is_empty() { Verdict::Healthy } else { Verdict::Unhealthy(wrong) }
    }

    /// What is well but not as it may be wished, in words: disturbances that have
    /// not lasted long, replicas that can't be routed to, and nodes that left
    /// within the last ten minutes.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self.lasting_conditions(|passes| passes <= FEW).collect();
        for namespace in &self.namespaces {
            let NamespaceStatus { name, replication_factor, routable_replicas, .. } = namespace;
            if *routable_replicas < usize::from(*replication_factor) {
                remarks.push(format!(
                    "namespace {name} has {replication_factor} replicas, of which \
                     {routable_replicas} are routable"
                ));
            }
        }
        for node in &self.departed {
            let (id, age, reason) = (&node.id, whole(node.age), &node.reason);
            remarks.push(format!("node {id} left {age:?} ago: {reason}"));
        }
        remarks
    }

    fn interval(&self) -> Duration {
        self.tend_interval.unwrap_or(Duration::from_secs(1))
    }

    internal! {
        /// Whether the map is not kept current at present: no process tends, or the one that does
        /// is stopped or has not tended for too long. Such a status is unhealthy.
        fn is_stale(&self) -> bool {
            let lives = self.owner_alive || self.abdicated;
            let silent = self.heartbeat_age.is_none_or(|age| age > self.patience());
            !lives || silent || self.tended_age.is_none_or(|age| age > self.longest_age())
        }
    }

    internal! {
        /// What shows that no process does the owner's work, in words. It says nothing about the
        /// cluster: an owner that can't reach it is at work.
        fn lifelessness(&self) -> Vec<String> {
            self.absence().into_iter().chain(self.silence()).collect()
        }
    }

    /// The largest age of the last pass that is in order.
    fn longest_age(&self) -> Duration {
        self.interval() * 3 + Duration::from_secs(2)
    }

    /// How long the owner may show no heartbeat.
    fn patience(&self) -> Duration {
        self.interval().saturating_mul(3).clamp(SHORTEST_SILENCE, LONGEST_SILENCE)
    }

    /// The problem of a segment without an owner.
    fn absence(&self) -> Option<String> {
        // An owner that gives up ownership holds no lock, but continues until
        // it is replaced.
        let goes_on =
            self.abdicated && self.heartbeat_age.is_some_and(|age| age <= self.patience());
        let absent = !self.owner_alive && !goes_on;
        absent.then(|| {
            "there is no live owner: start a process that connects with this key".to_owned()
        })
    }

    /// The problem of a living owner without a heartbeat.
    fn silence(&self) -> Option<String> {
        let limit = self.patience();
        let age = self.heartbeat_age.filter(|&age| self.owner_alive && age > limit)?;
        let pid = self.owner_pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
        Some(format!(
            "the owner{pid} is stopped or hangs: no heartbeat for {age:?}; wanted at most \
             {limit:?}; another process takes over after shm_takeover_threshold"
        ))
    }

    /// Texts for the conditions whose number of passes satisfies `wanted`.
    fn lasting_conditions(&self, wanted: impl Fn(u64) -> bool) -> impl Iterator<Item = String> {
        let lasting = self.conditions.iter().filter(move |found| wanted(found.passes));
        lasting.map(|found| self.in_words(found.condition, Streak::new(found.passes, found.count)))
    }

    fn in_words(&self, condition: Condition, streak: Streak) -> String {
        let (count, passes) = (streak.count(), streak.passes());
        let of = |one: &str, many: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {many}"),
        };
        let nodes = || of("node", "nodes");
        let why = |text: &Option<String>| {
            text.as_deref().map_or(String::new(), |text| format!(": {text}"))
        };
        let what = match condition {
            Condition::FailedPass => format!("tending fails{}", why(&self.last_error)),
            Condition::FailingNodes => {
                let named = self.named(|node| node.health.as_ref()?.failures.checked_sub(1));
                format!("{} can't be asked{named}", nodes())
            }
            Condition::BadReplies => {
                let recent = self.longest_age();
                let bad = |node: &NodeStatus| {
                    let age = node.last_error_age.filter(|&age| age <= recent)?;
                    (node.health.as_ref()?.failures == 0).then_some(age)
                };
                format!("the replies of {} can't be used{}", nodes(), self.named(bad))
            }
            Condition::Refused => format!(
                "{} did not fit in the map (see shm_node_ceiling, shm_namespace_ceiling)",
                of("node or namespace", "nodes and namespaces")
            ),
            Condition::NoRoom => format!(
                "the map has outgrown the segment and is published without what does not fit{}",
                why(&self.shortage)
            ),
            Condition::Shortage => {
                format!("the owner's process lacks what it needs to tend{}", why(&self.shortage))
            }
            Condition::MissingPeers => format!(
                "{} that others list can't be added to the map: check that this host reaches the \
                 addresses that the servers advertise",
                nodes()
            ),
            Condition::BadEntries => format!(
                "{} of the servers' replies can't be used and {} skipped",
                of("entry", "entries"),
                if count == 1 { "is" } else { "are" }
            ),
            Condition::UnreadNodes => format!(
                "{} not joined the cluster, and reported no partitions",
                of("node of the map has", "nodes of the map have")
            ),
            Condition::ContradictingClaims => format!(
                "{} claimed by nodes that contradict each other",
                of("partition is", "partitions are")
            ),
            Condition::NoAlternateAddress => format!(
                "{} no alternate address, though use_services_alternate wants it: set \
                 alternate-access-address on the servers, or unset use_services_alternate",
                of("node advertises", "nodes advertise")
            ),
            Condition::OtherCluster => {
                format!("{} the name of another cluster", of("node reports", "nodes report"))
            }
        };
        match passes {
            1 => format!("{what} (in the last pass)"),
            _ => format!("{what} (for {passes} passes)"),
        }
    }

    /// The first few nodes to which something applies, each with its last error.
    fn named<T>(&self, applies: impl Fn(&NodeStatus) -> Option<T>) -> String {
        let name = |node: &NodeStatus| {
            let error = node.health.as_ref().and_then(|health| health.last_error.as_deref());
            format!("{} at {}: {}", node.id, node.address, error.unwrap_or("not known why"))
        };
        let all: Vec<&NodeStatus> =
            self.members.iter().filter(|node| applies(node).is_some()).collect();
        let named: Vec<String> = all.iter().take(NAMED).map(|node| name(node)).collect();
        match (named.is_empty(), all.len().saturating_sub(NAMED)) {
            (true, _) => String::new(),
            (_, 0) => format!(": {}", named.join("; ")),
            (_, more) => format!(": {}; and {more} more", named.join("; ")),
        }
    }
}

/// An age, rounded down to seconds.
fn whole(age: Duration) -> Duration {
    Duration::from_secs(age.as_secs())
}
