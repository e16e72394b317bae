//! Replies of the info protocol, in the format of an Aerospike 8.1 server.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cluster::Cluster;
use super::node::SimNode;
use super::view::{Member, Table};
use crate::map::Build;

const UNRECOGNIZED: &str = "ERROR:4:unrecognized command";
const ENTERPRISE_ONLY: &str = "ERROR:25:enterprise only";
const FEATURES: &str = "batch-any;batch-index;blob-bits;cdt-index;cdt-list;cdt-map;\
    cluster-stable;float;geo;sindex-exists;peers;pipelining;pquery;pscans;query-show;relaxed-sc;\
    replicas;replicas-all;replicas-master;replicas-max;truncate-namespace;udf";

/// The distance from a node's plaintext port to its TLS port.
pub(super) const TLS_OFFSET: u16 = 1000;

/// The kind of a node's address that is advertised.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Service {
    alternate: bool,
    tls: bool,
}

impl Service {
    const STANDARD: Service = Service { alternate: false, tls: false };
    const ALTERNATE: Service = Service { alternate: true, tls: false };

    /// The service in the name of a command: `peers-clear-std`.
    fn of(command: &str) -> Option<Service> {
        let (_, rest) = command.split_once('-')?;
        match rest {
            "clear-std" => Some(Service::STANDARD),
            "clear-alt" => Some(Service::ALTERNATE),
            "tls-std" => Some(Service { tls: true, ..Service::STANDARD }),
            "tls-alt" => Some(Service { tls: true, ..Service::ALTERNATE }),
            _ => None,
        }
    }
}

/// The body of the reply to the body of a request: `command\tvalue\n` for each
/// command that ends with a newline. Text after the last newline is ignored.
pub(super) fn answer(cluster: &Cluster, node: &SimNode, request: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for line in request.split_inclusive(|byte| *byte == b'\n') {
        let Some(command) = line.strip_suffix(b"\n") else { break };
        let value = match core::str::from_utf8(command) {
            Ok(command) => value(cluster, node, command),
            Err(_) => UNRECOGNIZED.into(),
        };
        body.extend_from_slice(command);
        body.push(b'\t');
        body.extend_from_slice(value.as_bytes());
        body.push(b'\n');
    }
    body
}

/// As [`answer`], but with the same value for every command: the refusal.
pub(super) fn refuse(request: &[u8], refusal: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for line in request.split_inclusive(|byte| *byte == b'\n') {
        let Some(command) = line.strip_suffix(b"\n") else { break };
        body.extend([command, b"\t", refusal.as_bytes(), b"\n"].concat());
    }
    body
}

fn value(cluster: &Cluster, node: &SimNode, command: &str) -> String {
    if let Some(value) = node.overrides.get(command) {
        return value.clone();
    }
    let Some(process) = &node.process else { return UNRECOGNIZED.into() };
    let config = &cluster.config;
    let build = cluster.build_of(node);
    let edition = if config.enterprise { "Enterprise" } else { "Community" };
    let edition = format!("Aerospike {edition} Edition");
    let (name, parameters) = match command.split_once(':') {
        Some((name, parameters)) => (name, Some(parameters)),
        None => (command, None),
    };
    match (name, parameters) {
        ("node", None) => node.id.clone(),
        ("build", None) => build.to_owned(),
        ("edition", None) => edition,
        ("version", None) => format!("{edition} build {build}"),
        ("release", None) => format!(
            "edition={edition};version={build};os=debian12;arch=x86_64;sha={}",
            "0000000000000000000000000000000000000000"
        ),
        ("features", None) => FEATURES.into(),
        ("partitions", None) => config.partitions.to_string(),
        ("cluster-name", None) => config.cluster_name.clone().unwrap_or_else(|| "null".into()),
        ("namespaces", None) => {
            let names: Vec<&str> = config.namespaces.iter().map(|ns| ns.name.as_str()).collect();
            names.join(";")
        }
        ("partition-generation", None) => process.partition_generation.to_string(),
        ("peers-generation", None) => process.peers_generation.to_string(),
        ("rebalance-generation", None) => process.rebalance_generation.to_string(),
        (name, None) if name.starts_with("peers-") => match Service::of(name) {
            Some(Service { tls: true, .. }) if !speaks_tls(cluster) => ENTERPRISE_ONLY.into(),
            Some(service) => peers(cluster, node, service),
            None => UNRECOGNIZED.into(),
        },
        (name, None) if name.starts_with("service-") => match Service::of(name) {
            Some(Service { tls: true, .. }) if !speaks_tls(cluster) => ENTERPRISE_ONLY.into(),
            Some(service) => hosts(cluster, node, node.port, service).join(","),
            None => UNRECOGNIZED.into(),
        },
        ("services", None) => services(cluster, node, Service::STANDARD),
        ("services-alternate", None) => services(cluster, node, Service::ALTERNATE),
        ("replicas", None) => tables(cluster, node, |table, columns| {
            format!("{},{},{}", table.regime, columns.len(), columns.join(","))
        }),
        ("replicas-all", None) => {
            tables(cluster, node, |_, columns| format!("{},{}", columns.len(), columns.join(",")))
        }
        ("replicas-master", None) => {
            tables(cluster, node, |_, columns| columns.first().cloned().unwrap_or_default())
        }
        ("rack-ids", None) => rack_ids(cluster, node),
        ("racks", Some(_)) => racks(cluster),
        ("cluster-stable", Some(parameters)) => cluster_stable(cluster, node, parameters),
        ("user-agent-set", parameters) => user_agent_set(build, parameters),
        _ => UNRECOGNIZED.into(),
    }
}

/// The hosts of a node in the order in which they are advertised.
fn hosts(cluster: &Cluster, node: &SimNode, port: u16, service: Service) -> Vec<String> {
    let port = if service.tls { port.saturating_add(TLS_OFFSET) } else { port };
    match service.alternate {
        false => {
            let own = SocketAddr::new(cluster.config.ip(), port).to_string();
            node.extra_hosts.iter().cloned().chain([own]).collect()
        }
        true if cluster.config.alternate_addresses => {
            vec![format!("{}:{port}", alternate_ip(node.number))]
        }
        true => Vec::new(),
    }
}

#[cfg(feature = "tls")]
fn speaks_tls(cluster: &Cluster) -> bool {
    cluster.config.tls.is_some()
}

#[cfg(not(feature = "tls"))]
fn speaks_tls(_: &Cluster) -> bool {
    false
}

/// The name that peers are listed with.
fn tls_name(cluster: &Cluster, service: Service) -> &str {
    #[cfg(feature = "tls")]
    if let Some(tls) = &cluster.config.tls {
        return tls.name.as_deref().filter(|_| service.tls).unwrap_or_default();
    }
    let _ = (cluster, service);
    ""
}

/// The alternate address of a node, also on the loopback. Each node has another
/// one.
pub(super) fn alternate_ip(number: u16) -> std::net::Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    std::net::Ipv4Addr::new(127, 1, high, low)
}

/// The peers in an order of its own for each node and generation.
fn others<'a>(cluster: &'a Cluster, node: &'a SimNode) -> Vec<(&'a SimNode, &'a Member)> {
    let Some(view) = cluster.view_of(node) else { return Vec::new() };
    let others = view.members.iter().filter(|member| member.number != node.number);
    let mut others: Vec<_> =
        others.filter_map(|member| Some((cluster.nodes.get(&member.number)?, member))).collect();
    let generation = node.process.as_ref().map_or(0, |process| process.peers_generation);
    let seed = cluster.config.seed ^ u64::from(node.number) << 32 ^ u64::from(generation as u32);
    fastrand::Rng::with_seed(seed).shuffle(&mut others);
    others
}

fn peers(cluster: &Cluster, node: &SimNode, service: Service) -> String {
    let (suffix, tls_name) =
        (format!(":{}", cluster.config.default_port), tls_name(cluster, service));
    let entry = |(peer, member): (&SimNode, &Member)| {
        let hosts = hosts(cluster, peer, member.port, service);
        let hosts: Vec<&str> =
            hosts.iter().map(|host| host.strip_suffix(&suffix).unwrap_or(host)).collect();
        format!("[{},{tls_name},[{}]]", peer.id, hosts.join(","))
    };
    let peers: Vec<String> = others(cluster, node).into_iter().map(entry).collect();
    let generation = node.process.as_ref().map_or(0, |process| process.peers_generation);
    format!("{generation},{},[{}]", cluster.config.default_port, peers.join(","))
}

fn services(cluster: &Cluster, node: &SimNode, service: Service) -> String {
    let peers = others(cluster, node);
    let hosts: Vec<String> = peers
        .into_iter()
        .flat_map(|(peer, member)| hosts(cluster, peer, member.port, service))
        .collect();
    hosts.join(";")
}

/// `name:value` of every namespace. `value` gets the table and the node's
/// columns. A node that starts knows one replica and claims nothing.
fn tables(
    cluster: &Cluster,
    node: &SimNode,
    value: impl Fn(&Table, &[String]) -> String,
) -> String {
    let of = |table: &Table| {
        let columns = (0..table.replicas).map(|replica| table.bitmap(node.number, replica));
        let columns: Vec<String> = columns.map(|bitmap| STANDARD.encode(bitmap)).collect();
        format!("{}:{}", table.name, value(table, &columns))
    };
    let values: Vec<String> = match cluster.view_of(node) {
        Some(view) => view.tables.iter().map(of).collect(),
        None => {
            // Node numbers begin with 1.
            let claims = vec![0; cluster.config.partitions];
            let names = cluster.config.namespaces.iter().map(|namespace| namespace.name.clone());
            names
                .map(|name| of(&Table { name, regime: 0, replicas: 1, claims: claims.clone() }))
                .collect()
        }
    };
    values.join(";")
}

fn rack_ids(cluster: &Cluster, node: &SimNode) -> String {
    if !cluster.config.enterprise {
        return ENTERPRISE_ONLY.into();
    }
    let namespaces = cluster.config.namespaces.iter();
    let racks: Vec<String> = namespaces
        .map(|ns| format!("{}:{}", ns.name, node.racks.get(&ns.name).copied().unwrap_or(0)))
        .collect();
    racks.join(";")
}

fn racks(cluster: &Cluster) -> String {
    if !cluster.config.enterprise {
        return ENTERPRISE_ONLY.into();
    }
    let of = |namespace: &str| {
        let mut racks = std::collections::BTreeMap::<i32, Vec<&str>>::new();
        let members = cluster.view().members.iter();
        for node in members.filter_map(|member| cluster.nodes.get(&member.number)) {
            racks
                .entry(node.racks.get(namespace).copied().unwrap_or(0))
                .or_default()
                .push(&node.id);
        }
        let racks = racks.iter().map(|(rack, ids)| format!(":rack_{rack}={}", ids.join(",")));
        format!("ns={namespace}{}", racks.collect::<String>())
    };
    let racks: Vec<String> = cluster.config.namespaces.iter().map(|ns| of(&ns.name)).collect();
    racks.join(";")
}

fn cluster_stable(cluster: &Cluster, node: &SimNode, parameters: &str) -> String {
    let get = |name: &str| {
        let mut pairs = parameters.split(';').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    let Some(view) = cluster.view_of(node) else { return "ERROR:7:unstable cluster".into() };
    let ignore_migrations =
        get("ignore-migrations").is_some_and(|value| value == "true" || value == "yes");
    let size = get("size").and_then(|size| size.parse().ok());
    let stable = (ignore_migrations || cluster.migrations() == 0)
        && size.is_none_or(|size: usize| size == view.members.len());
    if stable { format!("{:X}", view.key) } else { "ERROR:7:unstable cluster".into() }
}

/// Whether a request does nothing but name the client.
pub(super) fn only_names_client(request: &[u8]) -> bool {
    let mut lines = request.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    !request.is_empty() && lines.all(|line| line.starts_with(b"user-agent-set:"))
}

fn user_agent_set(build: &str, parameters: Option<&str>) -> String {
    let knows =
        Build::parse(build.as_bytes()).is_some_and(|build| (build.major, build.minor) >= (8, 1));
    let value = parameters.and_then(|parameters| parameters.strip_prefix("value="));
    match value {
        _ if !knows => UNRECOGNIZED.into(),
        Some(value) if !value.is_empty() => "ok".into(),
        _ => "ERROR:4:missing 'value'".into(),
    }
}
