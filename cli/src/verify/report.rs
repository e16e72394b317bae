//! The answer of `tendmap verify`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use tendmap::client::Status;
use tendmap::internals::tend::{ClusterClaims, NodeClaims};
use tendmap::map::{NamespaceName, NodeId, Snapshot};

use super::compare::{Extent, Finding};
use crate::duration::show;
use crate::output::{grouped, table, write_pair, write_table};

/// The most groups of differing partitions that JSON lists.
const MOST_GROUPS: usize = 100;
/// As many in a text.
const MOST_LINES: usize = 24;
/// The most ranges of partitions without a master that a text lists for a namespace.
const MOST_RANGES: usize = 8;

/// What was compared, and what differs.
pub struct Report<'a> {
    pub status: Status,
    pub map: &'a Snapshot,
    pub claims: &'a ClusterClaims,
    pub extents: &'a [Extent],
    /// What stayed the same for long enough, in order.
    pub findings: Vec<Finding>,
    /// How many further differences there were, which changed until the end.
    pub moving: usize,
}

/// The namespace, the replica, the holder in the map and the claimed holders.
type Group<'a> = (NamespaceName, usize, Option<NodeId>, &'a [NodeId]);

impl Report<'_> {
    /// Differing partitions, grouped by what differs, in order.
    fn groups(&self) -> Vec<(Group<'_>, Vec<usize>)> {
        let mut groups: BTreeMap<Group<'_>, Vec<usize>> = BTreeMap::new();
        for finding in &self.findings {
            if let Finding::Holder { namespace, replica, map, claimed, partition } = finding {
                groups.entry((*namespace, *replica, *map, claimed)).or_default().push(*partition);
            }
        }
        groups.into_iter().collect()
    }

    fn holes(&self) -> BTreeMap<NamespaceName, Vec<usize>> {
        let mut holes: BTreeMap<NamespaceName, Vec<usize>> = BTreeMap::new();
        for finding in &self.findings {
            if let Finding::Hole { namespace, partition } = finding {
                holes.entry(*namespace).or_default().push(*partition);
            }
        }
        holes
    }

    fn differences(&self, of: NamespaceName) -> usize {
        let differs =
            |it: &&Finding| matches!(it, Finding::Holder { namespace, .. } if *namespace == of);
        self.findings.iter().filter(differs).count()
    }

    fn node(&self, id: NodeId) -> String {
        let node = self.claims.nodes.iter().find(|node| node.id == id);
        match node.and_then(|node| node.address) {
            Some(address) => format!("node {id} at {address}"),
            None => format!("node {id}"),
        }
    }

    fn error(&self, id: NodeId) -> Option<&str> {
        let node = self.claims.nodes.iter().find(|node| node.id == id)?;
        node.claims.as_ref().err().map(String::as_str)
    }

    /// Everything that differs except the holders of partitions, in words.
    fn problems(&self) -> Vec<String> {
        let name =
            |name: Option<String>| name.map_or("none".to_owned(), |name| format!("\"{name}\""));
        let told = |finding: &Finding| match finding {
            Finding::ClusterName => Some(format!(
                "the cluster's name is {}, in the map {}",
                name(self.claims.cluster_name.map(|name| name.to_string())),
                name(self.map.map.cluster_name.map(|name| name.to_string())),
            )),
            Finding::NoAnswer(id) => {
                let error = self.error(*id).unwrap_or("not known why");
                Some(format!("{} gave no answer: {error}", self.node(*id)))
            }
            Finding::NotInCluster(id) => Some(match self.error(*id) {
                Some(error) => {
                    format!("{} is in the map, and not in the cluster: {error}", self.node(*id))
                }
                None => format!(
                    "{} is in the map and answers, but no node of the cluster lists it",
                    self.node(*id)
                ),
            }),
            Finding::NotInMap(id) => {
                Some(format!("{} is in the cluster, and not in the map", self.node(*id)))
            }
            Finding::NamespaceNotInMap(name) => {
                Some(format!("namespace {name} is in the cluster, and not in the map"))
            }
            Finding::NamespaceNotClaimed(name) => {
                Some(format!("namespace {name} is in the map, and no node that answers has it"))
            }
            Finding::ReplicationFactor { namespace, map, claimed } => {
                let claimed: Vec<String> = claimed.iter().map(u8::to_string).collect();
                Some(format!(
                    "namespace {namespace}: the replication factor is {map} in the map, and {} \
                     according to the nodes",
                    claimed.join(" or ")
                ))
            }
            Finding::Hole { .. } | Finding::Holder { .. } => None,
        };
        self.findings.iter().filter_map(told).collect()
    }

    pub fn as_json(&self) -> Value {
        let ms = |age: std::time::Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let node = |node: &NodeClaims| {
            json!({
                "node": node.id.as_str(),
                "address": node.address,
                "in_map": self.map.map.nodes.slot_of(&node.id).is_some(),
                "in_cluster": node.in_cluster,
                "error": node.claims.as_ref().err(),
            })
        };
        let holes = self.holes();
        let namespace = |extent: &Extent| {
            json!({
                "name": extent.namespace.as_str(),
                "compared": extent.compared,
                "differences": self.differences(extent.namespace),
                "unverified": extent.unverified,
                "holes": holes.get(&extent.namespace).map_or(0, Vec::len),
            })
        };
        let groups = self.groups();
        let left_out = groups.len().saturating_sub(MOST_GROUPS);
        let group = |((namespace, replica, map, claimed), partitions): &(Group<'_>, Vec<usize>)| {
            let claimed: Vec<&str> = claimed.iter().map(NodeId::as_str).collect();
            json!({
                "namespace": namespace.as_str(),
                "replica": replica,
                "map": map.as_ref().map(NodeId::as_str),
                "claimed": claimed,
                "count": partitions.len(),
                "partitions": partitions,
            })
        };
        let hole = |(name, partitions): (&NamespaceName, &Vec<usize>)| json!({ "namespace": name.as_str(), "count": partitions.len(), "partitions": partitions });
        json!({
            "agrees": self.findings.is_empty(),
            "key": self.status.key,
            "cluster_name": self.claims.cluster_name.map(|name| name.to_string()),
            "sequence": self.map.sequence,
            "tended_age_ms": self.status.tended_age.map(ms),
            "nodes": self.claims.nodes.iter().map(node).collect::<Vec<_>>(),
            "namespaces": self.extents.iter().map(namespace).collect::<Vec<_>>(),
            "differences": groups.iter().take(MOST_GROUPS).map(group).collect::<Vec<_>>(),
            "groups_left_out": left_out,
            "holes": holes.iter().map(hole).collect::<Vec<_>>(),
            "problems": self.problems(),
            "moving": self.moving,
        })
    }

    /// One line for each group, masters and large groups first.
    fn write_groups(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut groups = self.groups();
        if groups.is_empty() {
            return Ok(());
        }
        groups.sort_by_key(|((_, replica, ..), partitions)| (*replica, Reverse(partitions.len())));
        let header = ["namespace", "replica", "in the map", "claimed by", "count", "partitions"];
        let mut shown = table(header, &[4]);
        let none = || "none".to_owned();
        for ((namespace, replica, map, claimed), partitions) in groups.iter().take(MOST_LINES) {
            let claimed: Vec<&str> = claimed.iter().map(NodeId::as_str).collect();
            shown.add_row([
                namespace.to_string(),
                if *replica == 0 { "master".to_owned() } else { replica.to_string() },
                map.map_or_else(none, |id| id.to_string()),
                if claimed.is_empty() { none() } else { claimed.join(" ") },
                grouped(partitions.len() as u64),
                ranges(partitions, 2),
            ]);
        }
        writeln!(out)?;
        write_table(out, &shown)?;
        if let Some(rest) = groups.get(MOST_LINES..).filter(|rest| !rest.is_empty()) {
            let partitions: usize = rest.iter().map(|(_, partitions)| partitions.len()).sum();
            writeln!(out, "… and {} in {} more groups", count(partitions), rest.len())?;
        }
        writeln!(out)
    }

    pub fn as_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let answered = self.claims.nodes.iter().filter(|node| node.in_cluster);
        let (all, answered) =
            (answered.clone().count(), answered.filter(|node| node.claims.is_ok()).count());
        let name = self.claims.cluster_name.map_or("-".to_owned(), |name| name.to_string());
        let status = &self.status;
        let tended = status.tended_age.map_or("never".to_owned(), |age| show(age) + " ago");
        let map = format!("key {:#010x}, sequence {}", status.key, self.map.sequence);
        write_pair(out, 8, "cluster", &format!("{name}: {answered} of {all} nodes answered"))?;
        write_pair(out, 8, "map", &format!("{map}, tended {tended}"))?;
        writeln!(out)?;
        let holes = self.holes();
        let header = ["namespace", "compared", "differences", "holes", "unverified"];
        let mut namespaces = table(header, &[1, 2, 3, 4]);
        let number = |count: usize| grouped(count as u64);
        for extent in self.extents {
            namespaces.add_row([
                extent.namespace.to_string(),
                number(extent.compared),
                number(self.differences(extent.namespace)),
                number(holes.get(&extent.namespace).map_or(0, Vec::len)),
                number(extent.unverified),
            ]);
        }
        write_table(out, &namespaces)?;
        writeln!(out)?;
        for problem in self.problems() {
            write_pair(out, 8, "DIFFERS:", &problem)?;
        }
        for (name, partitions) in &holes {
            let (count, which) = (count(partitions.len()), ranges(partitions, MOST_RANGES));
            let what = format!(
                "namespace {name}: {count} without a master, in the map and in the cluster ({which})"
            );
            write_pair(out, 8, "HOLES:", &what)?;
        }
        self.write_groups(out)?;
        if self.moving > 0 {
            let what = format!(
                "{} differences changed until the end, as in a rebalance, and do not count; try \
                 again later",
                number(self.moving)
            );
            write_pair(out, 8, "note:", &what)?;
        }
        if !self.findings.is_empty() && status.is_stale() {
            write_pair(out, 8, "note:", "the map is not kept current: see `tendmap status`")?;
        }
        match self.findings.is_empty() {
            true => writeln!(out, "the map agrees with the cluster"),
            false => writeln!(out, "the map and the cluster DIFFER"),
        }
    }
}

fn count(partitions: usize) -> String {
    match partitions {
        1 => "1 partition".to_owned(),
        many => format!("{} partitions", grouped(many as u64)),
    }
}

/// The partitions as at most `most` ranges: `0-2, 7, 9, …`.
fn ranges(partitions: &[usize], most: usize) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &partition in partitions {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == partition => *last = partition,
            _ => ranges.push((partition, partition)),
        }
    }
    let shown = |&(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let mut texts: Vec<String> = ranges.iter().take(most).map(shown).collect();
    if ranges.len() > most {
        texts.push("…".to_owned());
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_shown_as_ranges_and_not_all_of_them() {
        assert_eq!(ranges(&[4095], 2), "4095");
        assert_eq!(ranges(&[0, 1, 2, 7, 9, 10], 8), "0-2, 7, 9-10");
        let even: Vec<usize> = (0..2048).map(|index| index * 2).collect();
        assert_eq!(ranges(&even, 3), "0, 2, 4, …");
        assert_eq!((count(1), count(4096)), ("1 partition".into(), "4,096 partitions".into()));
    }
}
