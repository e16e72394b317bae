//! Examines a cluster before a process tends it.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{AerospikeConfig, AerospikeSource, Tender};
use crate::map::{Capacity, ClusterMap, NamespaceName, Node, NodeId};
use crate::tend::transport::{Answer, Ask, AskError, Interrupted, TcpTransport, Transport};
use crate::tend::{BEAT, ClusterSource, TendError, Turn};
use crate::wire::Host;
use crate::wire::info::{self, InfoError, Reply};

/// The result of a survey of a cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Survey {
    /// The configured hosts, each with its result.
    pub hosts: Vec<SurveyedHost>,
    /// The servers' setting that advertises the addresses in use, in the
    /// `network.service` stanza.
    pub setting: &'static str,
    /// Whether the servers require a login; `None` = no server was reached.
    pub security: Option<bool>,
    /// The map that a pass of the tender found; empty if the pass failed.
    pub map: ClusterMap,
    /// Why the pass failed.
    pub error: Option<TendError>,
    /// The nodes of the map.
    pub nodes: Vec<SurveyedNode>,
}

/// The result for a host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SurveyedHost {
    /// The host.
    pub host: Host,
    /// Why its name could not be resolved.
    pub error: Option<String>,
    /// Its addresses.
    pub addresses: Vec<SurveyedAddress>,
}

/// The result for an address.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SurveyedAddress {
    /// The address.
    pub address: SocketAddr,
    /// The node that answers there, or the error.
    pub node: Result<NodeId, String>,
}

/// The data that a node reports about itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SurveyedNode {
    /// The node's id.
    pub id: NodeId,
    /// The address at which the tender reaches it.
    pub address: SocketAddr,
    /// Why it did not answer the further questions.
    pub error: Option<String>,
    /// The server's build.
    pub build: Option<String>,
    /// The server's edition, as it reports it.
    pub edition: Option<String>,
    /// Its rack in each namespace; `None` if the server does not support racks.
    pub racks: Option<Vec<(NamespaceName, i32)>>,
    /// The addresses that it advertises, of the configured kind (those for
    /// clients, or the alternate ones), and their replacements.
    pub told: Vec<SurveyedHost>,
    /// The addresses of the other kind that it advertises. They are not used
    /// and were not tried.
    pub others: Vec<Host>,
}

impl SurveyedNode {
    /// Whether the node itself reports that clients reach it at that port.
    pub fn serves_at(&self, port: u16) -> bool {
        let told = self.told.iter().map(|told| &told.host).chain(&self.others);
        let mut ports = told.map(Host::port).peekable();
        ports.peek().is_none() || ports.any(|told| told == port)
    }
}

/// The most looks at a cluster in which partitions have no master. Two nodes
/// never reply at the same moment, so a partition that is being moved may be in
/// neither reply.
const LOOKS: usize = 3;
/// The time between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

const QUESTIONS: [&str; 4] = ["node", "build", "edition", "rack-ids"];

/// Surveys a cluster as a tender would, but asks each node more than a tender needs, and checks
/// how it is reached by the configured hosts and by the advertised addresses.
///
/// # Errors
/// [`Interrupted`] by [`Turn::beat`]. A cluster that can't be reached is not an error here, but a
/// result.
pub fn survey(config: &AerospikeConfig, turn: &mut dyn Turn) -> Result<Survey, Interrupted> {
    // Room for the largest possible cluster, so that nothing is refused.
    let capacity = Capacity { max_nodes: 4096, max_namespaces: 256, ..Capacity::DEFAULT };
    let mut source = AerospikeSource::new(config.clone()).into_tender();
    source.start(ClusterMap::new(capacity));
    let HostAnswers { mut hosts, errors } = look_up(&mut source.transport, &config.hosts, turn)?;
    let security = security(config, &hosts, &errors, turn)?;
    hint_at_ports(config, &mut hosts, &errors, turn)?;
    // A server that does not answer costs its timeout only once.
    let silent = |error: &AskError| !error.is_login() && !matches!(error, AskError::Malformed(_));
    let silent = errors.iter().filter(|(_, error)| silent(error));
    source.silent = silent.map(|(&address, error)| (address, error.into())).collect();
    let mut looks = 1;
    let error = loop {
        match source.pass(turn) {
            Ok(_) => {}
            Err(TendError::Interrupted) => return Err(Interrupted),
            Err(error) => break Some(error),
        }
        let holes = source.map().namespaces().iter().any(|namespace| namespace.holes() > 0);
        if !holes || looks == LOOKS {
            break None;
        }
        looks += 1;
        pause(BETWEEN_LOOKS, turn)?;
        source.nodes.iter_mut().for_each(|node| node.generations.partitions = None);
    };
    let nodes = if error.is_none() { ask_all(&mut source, turn)? } else { Vec::new() };
    let map = source.map().clone();
    source.stop();
    Ok(Survey { hosts, setting: config.address_setting(), security, map, error, nodes })
}

fn pause(time: Duration, turn: &mut dyn Turn) -> Result<(), Interrupted> {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if turn.beat().is_break() {
            return Err(Interrupted);
        }
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(BEAT));
    }
}

/// Hosts, and the errors of addresses that did not answer.
struct HostAnswers {
    hosts: Vec<SurveyedHost>,
    errors: BTreeMap<SocketAddr, AskError>,
}

/// Resolves each host, and finds out which node answers at each address.
fn look_up<T: Transport>(
    transport: &mut T,
    hosts: &[Host],
    turn: &mut dyn Turn,
) -> Result<HostAnswers, Interrupted> {
    let resolved = transport.resolve(hosts, turn)?;
    let addresses: BTreeSet<SocketAddr> = resolved.iter().flatten().flatten().copied().collect();
    for (host, list) in hosts.iter().zip(&resolved) {
        for address in list.iter().flatten() {
            transport.name(*address, host.certificate_name());
        }
    }
    let answers = ask_each(transport, turn, &addresses, &["node"])?;
    let node = |address: &SocketAddr| match &answers[address] {
        Ok(answer) => node_of(&answer.body, &["node".to_owned()]),
        Err(error) => Err(error.to_string()),
    };
    let of = |list: Vec<SocketAddr>| -> Vec<SurveyedAddress> {
        list.iter()
            .map(|address| SurveyedAddress { address: *address, node: node(address) })
            .collect()
    };
    let hosts = hosts.iter().zip(resolved).map(|(host, list)| {
        let host = host.clone();
        match list {
            Ok(list) if list.is_empty() => SurveyedHost {
                host,
                error: Some("the name has no address".into()),
                addresses: Vec::new(),
            },
            Ok(list) => SurveyedHost { host, error: None, addresses: of(list) },
            Err(error) => SurveyedHost { host, error: Some(error), addresses: Vec::new() },
        }
    });
    let hosts = hosts.collect();
    let errors = answers.into_iter().filter_map(|(at, answer)| Some((at, answer.err()?))).collect();
    Ok(HostAnswers { hosts, errors })
}

/// Adds a hint to the error of an address if TLS was tried and the server speaks
/// plaintext there, or the reverse.
fn hint_at_ports(
    config: &AerospikeConfig,
    hosts: &mut [SurveyedHost],
    errors: &BTreeMap<SocketAddr, AskError>,
    turn: &mut dyn Turn,
) -> Result<(), Interrupted> {
    let (tls, _) = config.secure();
    // A server is there, but its reply can't be understood.
    let broken = |error: &AskError| {
        matches!(error, AskError::Broken(_) | AskError::Tls(_) | AskError::Malformed(_))
    };
    let strange: BTreeSet<SocketAddr> =
        errors.iter().filter(|(_, error)| broken(error)).map(|(&address, _)| address).collect();
    if strange.is_empty() {
        return Ok(());
    }
    let mut hints = BTreeMap::new();
    if tls {
        let mut clear = TcpTransport::new(config.connect_timeout, config.resolve_timeout, None);
        let questions = ["node", config.commands().tls_service];
        for (address, answer) in ask_each(&mut clear, turn, &strange, &questions)? {
            let ports = match &answer {
                Ok(answer) => tls_addresses(&answer.body, &questions.map(String::from)),
                Err(error) if error.is_login() => Some(String::new()),
                Err(_) => None,
            };
            if let Some(ports) = ports {
                let hint =
                    "the server speaks plaintext there, but TLS is on: use the node's TLS port";
                hints.insert(address, format!("{hint}{ports}, or turn TLS off"));
            }
        }
    }
    #[cfg(feature = "tls")]
    if !tls {
        for address in strange {
            if crate::tend::tls::speaks_tls(address, config.connect_timeout) {
                hints.insert(address, crate::wire::info::InfoError::Tls.to_string());
            }
        }
    }
    for at in hosts.iter_mut().flat_map(|host| &mut host.addresses) {
        if let Some(hint) = hints.get(&at.address) {
            at.node = Err(hint.clone());
        }
    }
    Ok(())
}

/// The TLS addresses that a node reports in plaintext, as text; `None` if the
/// server is not a node.
fn tls_addresses(body: &[u8], questions: &[String]) -> Option<String> {
    let reply = Reply::parse(body, questions).ok()?;
    info::parse_node(reply.value("node").ok()?).ok()?;
    let told = reply.value(&questions[1]).unwrap_or_default();
    let told: Vec<String> = info::parse_service(told).0.iter().map(Host::to_string).collect();
    Some(if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) })
}

/// Asks without a login, to find out whether the servers require one.
fn security(
    config: &AerospikeConfig,
    hosts: &[SurveyedHost],
    errors: &BTreeMap<SocketAddr, AskError>,
    turn: &mut dyn Turn,
) -> Result<Option<bool>, Interrupted> {
    if errors.values().any(AskError::is_login) {
        return Ok(Some(true));
    }
    let stranger = TcpTransport::new(config.connect_timeout, config.resolve_timeout, None);
    #[cfg(feature = "tls")]
    let stranger = stranger.with_tls(config.tls.clone());
    let mut stranger = stranger;
    for found in hosts.iter().flat_map(|host| host.addresses.iter().map(move |at| (host, at))) {
        let (SurveyedHost { host, .. }, SurveyedAddress { address, .. }) = found;
        if errors.contains_key(address) {
            continue;
        }
        stranger.name(*address, host.certificate_name());
        let answers = ask_each(&mut stranger, turn, &BTreeSet::from([*address]), &["node"])?;
        match &answers[address] {
            Ok(_) => return Ok(Some(false)),
            Err(error) if error.is_login() => return Ok(Some(true)),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Sends the same questions to every address.
pub(super) fn ask_each<T: Transport>(
    transport: &mut T,
    turn: &mut dyn Turn,
    addresses: &BTreeSet<SocketAddr>,
    questions: &[&str],
) -> Result<BTreeMap<SocketAddr, Result<Answer, AskError>>, Interrupted> {
    let commands: Vec<String> = questions.iter().map(ToString::to_string).collect();
    let asks: Vec<Ask> =
        addresses.iter().map(|&address| Ask { address, commands: commands.clone() }).collect();
    let mut answers = BTreeMap::new();
    if !asks.is_empty() {
        transport.ask(&asks, turn, &mut |index, answer| {
            answers.insert(asks[index].address, answer);
            ControlFlow::Continue(())
        })?;
    }
    for &address in addresses {
        let lost = || Err(AskError::Broken("the request was abandoned".into()));
        answers.entry(address).or_insert_with(lost);
    }
    Ok(answers)
}

fn node_of(body: &[u8], questions: &[String]) -> Result<NodeId, String> {
    let read =
        || Ok::<_, InfoError>(info::parse_node(Reply::parse(body, questions)?.value("node")?)?);
    read().map_err(|error| error.to_string())
}

/// Asks every node of the map about itself, and checks whether it is reached at
/// the addresses that it reports.
fn ask_all<T: Transport>(
    source: &mut Tender<T>,
    turn: &mut dyn Turn,
) -> Result<Vec<SurveyedNode>, Interrupted> {
    let service = source.commands.service;
    let other = match service.strip_suffix("-alt") {
        Some(kind) => format!("{kind}-std"),
        None => service.replace("-std", "-alt"),
    };
    let questions: Vec<&str> = QUESTIONS.into_iter().chain([service, &*other]).collect();
    let commands: Vec<String> = questions.iter().map(ToString::to_string).collect();
    let known: Vec<_> = source.map.nodes.iter().map(|(_, node)| *node).collect();
    // If only logins use TLS, the nodes are asked over TLS: their replies
    // determine where tokens and logins are sent.
    let secure: BTreeMap<NodeId, SocketAddr> =
        source.nodes.iter().filter_map(|node| Some((node.id, node.secure?))).collect();
    let place = |node: &Node| secure.get(&node.id).copied().unwrap_or(node.address);
    let addresses = known.iter().map(place).collect();
    let answers = ask_each(&mut source.transport, turn, &addresses, &questions)?;
    let mut nodes: Vec<SurveyedNode> = Vec::new();
    let mut told: Vec<(usize, Host)> = Vec::new();
    for node in known {
        let mut found = SurveyedNode {
            id: node.id,
            address: node.address,
            error: None,
            build: None,
            edition: None,
            racks: None,
            told: Vec::new(),
            others: Vec::new(),
        };
        match &answers[&place(&node)] {
            Err(error) => found.error = Some(error.to_string()),
            Ok(answer) => match Reply::parse(&answer.body, &commands) {
                Err(error) => found.error = Some(error.to_string()),
                Ok(reply) => {
                    let text = |command: &str| {
                        let value = reply.value(command).ok()?;
                        Some(String::from_utf8_lossy(value).into_owned())
                    };
                    found.build = text("build");
                    found.edition = text("edition");
                    // Servers of the community edition refuse the command.
                    found.racks =
                        reply.value("rack-ids").ok().map(|value| info::parse_racks(value).racks);
                    let hosts = |command: &str| -> Vec<Host> {
                        let value = reply.value(command).ok();
                        value.map(|value| info::parse_service(value).0).unwrap_or_default()
                    };
                    found.others = hosts(&other);
                    let config = &source.config;
                    let named =
                        |host: Host| config.mapped(&host).with_tls_name(node.tls_name.as_ref());
                    let told_here = hosts(service);
                    if let Some(&at) = secure.get(&node.id) {
                        let clear =
                            told_here.iter().filter_map(|host| config.mapped(host).address());
                        clear.for_each(|clear| source.transport.login_at(clear, at));
                    }
                    told.extend(told_here.into_iter().map(|host| (nodes.len(), named(host))));
                }
            },
        }
        nodes.push(found);
    }
    // All at the same time, because each unreachable host costs a timeout.
    let hosts: Vec<Host> = told.iter().map(|(_, host)| host.clone()).collect();
    let found = look_up(&mut source.transport, &hosts, turn)?.hosts;
    for ((node, _), found) in told.into_iter().zip(found) {
        nodes[node].told.push(found);
    }
    nodes.sort_by_key(|node| node.id);
    Ok(nodes)
}
