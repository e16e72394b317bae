//! The settings of a simulated cluster, and its timing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::explain::explain;
use crate::map::Build;
use crate::wire::login::SecretString;

#[cfg(feature = "tls")]
use super::tls::SimTls;

/// A user of a simulated cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SimUser {
    /// The user's name.
    pub name: String,
    /// The user's password.
    pub password: SecretString,
    /// Whether an external system checks the password, so that it must be sent
    /// unhashed.
    pub external: bool,
    /// Whether the user has a role. Without one every command is refused.
    pub rights: bool,
}

impl SimUser {
    /// A user with all rights.
    pub fn new(name: impl Into<String>, password: &str) -> SimUser {
        SimUser { name: name.into(), password: password.into(), external: false, rights: true }
    }
}

/// A namespace of a simulated cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimNamespace {
    /// The namespace's name.
    pub name: String,
    /// The wanted number of replicas per partition; replies report the
    /// effective number, which is at most the number of nodes.
    pub replication_factor: usize,
    /// Whether replies contain regimes other than 0.
    pub strong_consistency: bool,
}

impl SimNamespace {
    /// A namespace without strong consistency.
    pub fn new(name: impl Into<String>, replication_factor: usize) -> SimNamespace {
        SimNamespace { name: name.into(), replication_factor, strong_consistency: false }
    }

    /// A namespace with strong consistency.
    pub fn strong(name: impl Into<String>, replication_factor: usize) -> SimNamespace {
        SimNamespace { strong_consistency: true, ..SimNamespace::new(name, replication_factor) }
    }
}

/// How long the reactions of the cluster take.
///
/// The defaults were measured in a real cluster (three nodes of Aerospike 8.1.2
/// with heartbeats every 150 ms).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// The time from a node's death until the first survivor changes its replies:
    /// minimum and maximum.
    pub notice: (Duration, Duration),
    /// The longest time between the first and the last survivor's change of
    /// replies.
    pub spread: Duration,
    /// The time from a clean stop until the first survivor changes its replies.
    pub stop_notice: Duration,
    /// How long a started node answers before the others admit it: minimum and
    /// maximum.
    pub join: (Duration, Duration),
    /// How long the others list a moved node under its old address after they
    /// have admitted it.
    pub stale_address: Duration,
    /// How long a node that was frozen and dropped keeps its old view after it
    /// wakes.
    pub thaw: Duration,
    /// How long all migrations after a change of the membership take together.
    pub migration: Duration,
}

impl Timings {
    /// The timing of a real cluster.
    #[must_use]
    pub fn real() -> Timings {
        let ms = Duration::from_millis;
        Timings {
            notice: (ms(1500), ms(1900)),
            spread: ms(500),
            stop_notice: ms(2200),
            join: (ms(1000), ms(2000)),
            stale_address: ms(300),
            thaw: ms(1000),
            migration: ms(5000),
        }
    }

    /// Every reaction within tens of milliseconds, for tests.
    #[must_use]
    pub fn fast() -> Timings {
        let ms = Duration::from_millis;
        Timings {
            notice: (ms(30), ms(50)),
            spread: ms(15),
            stop_notice: ms(40),
            join: (ms(30), ms(50)),
            stale_address: ms(30),
            thaw: ms(40),
            migration: ms(60),
        }
    }
}

impl Default for Timings {
    fn default() -> Timings {
        Timings::real()
    }
}

/// The initial settings of a simulated cluster.
///
/// ```
/// use tendmap::sim::{SimConfig, SimNamespace, Timings};
///
/// let mut config = SimConfig::new(3);
/// config.namespaces = vec![SimNamespace::new("test", 2), SimNamespace::strong("ledger", 3)];
/// config.timings = Timings::fast();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SimConfig {
    /// The number of nodes, 1 to 4096. They are numbered from 1.
    pub nodes: usize,
    /// The port of node 1. The other nodes use the ports after it. 0 = any free
    /// ports.
    pub base_port: u16,
    /// The namespaces.
    pub namespaces: Vec<SimNamespace>,
    /// The name of the cluster; `None` = it has no name.
    pub cluster_name: Option<String>,
    /// The servers' build. [`Sim::set_node_build`](super::Sim::set_node_build)
    /// changes that of one node.
    pub build: String,
    /// Whether the nodes simulate the enterprise edition, which reports racks.
    pub enterprise: bool,
    /// The default port, which peers lists omit.
    pub default_port: u16,
    /// Whether each node also listens at an alternate address (127.1.x.y and
    /// the port of the node) and advertises it.
    pub alternate_addresses: bool,
    /// Whether the nodes listen at `::1` instead of `127.0.0.1`.
    pub ipv6: bool,
    /// Whether clients must log in. It can be switched at run time.
    pub security: bool,
    /// The users, if security is on.
    pub users: Vec<SimUser>,
    /// How long sessions are valid, in whole seconds; `None` = without limit.
    pub session_lifetime: Option<Duration>,
    /// Whether each node also speaks TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<SimTls>,
    /// How long the reactions of the cluster take.
    pub timings: Timings,
    /// The seed of all random choices. It does not determine the scheduling of
    /// threads.
    pub seed: u64,
    /// The number of partitions of a namespace, a power of two from 8 to 65,536
    /// (4096 in Aerospike).
    pub partitions: usize,
}

impl SimConfig {
    /// A cluster of this number of nodes with the namespaces `test` (two replicas)
    /// and `bar` (three), at free ports, with the timing of a real cluster.
    #[must_use]
    pub fn new(nodes: usize) -> SimConfig {
        SimConfig {
            nodes,
            base_port: 0,
            namespaces: vec![SimNamespace::new("test", 2), SimNamespace::new("bar", 3)],
            cluster_name: Some("tend-sim".into()),
            build: "8.1.2.0".into(),
            enterprise: false,
            default_port: 3000,
            alternate_addresses: false,
            ipv6: false,
            security: false,
            users: Vec::new(),
            session_lifetime: Some(Duration::from_secs(86_400)),
            #[cfg(feature = "tls")]
            tls: None,
            timings: Timings::real(),
            seed: 1,
            partitions: 4096,
        }
    }

    /// As [`new`](Self::new), with [`Timings::fast`].
    #[must_use]
    pub fn fast(nodes: usize) -> SimConfig {
        SimConfig { timings: Timings::fast(), ..SimConfig::new(nodes) }
    }

    /// The address at which the nodes listen.
    pub(super) fn ip(&self) -> IpAddr {
        match self.ipv6 {
            true => Ipv6Addr::LOCALHOST.into(),
            false => Ipv4Addr::LOCALHOST.into(),
        }
    }

    pub(super) fn check(&self) -> Result<(), SimError> {
        let fail = |what, found: &dyn ToString, wanted| {
            Err(SimError::Config { what, found: found.to_string(), wanted })
        };
        if !(1..=4096).contains(&self.nodes) {
            return fail("nodes", &self.nodes, "1 to 4096");
        }
        if self.base_port != 0 && usize::from(self.base_port) + self.nodes > 65_536 {
            return fail("base_port", &self.base_port, "so low that every node has a port");
        }
        if !self.partitions.is_power_of_two() || !(8..=65_536).contains(&self.partitions) {
            return fail("partitions", &self.partitions, "a power of two from 8 to 65,536");
        }
        check_build(&self.build)?;
        for (number, namespace) in self.namespaces.iter().enumerate() {
            if self.namespaces[..number].iter().any(|before| before.name == namespace.name) {
                let found = format!("{:?} twice", namespace.name);
                return fail("namespace", &found, "each name once");
            }
        }
        self.namespaces.iter().try_for_each(check_namespace)
    }
}

pub(super) fn check_build(build: &str) -> Result<(), SimError> {
    let is_plain = build.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain && Build::parse(build.as_bytes()).is_some() {
        return Ok(());
    }
    let wanted = "a build such as 8.1.2.0";
    Err(SimError::Config { what: "build", found: format!("{build:?}"), wanted })
}

pub(super) fn check_namespace(namespace: &SimNamespace) -> Result<(), SimError> {
    if (1..=255).contains(&namespace.replication_factor) {
        return Ok(());
    }
    let found = namespace.replication_factor.to_string();
    Err(SimError::Config { what: "replication_factor", found, wanted: "1 to 255" })
}

/// Why the simulated cluster could not do what was requested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A setting is out of range.
    #[error("{what} is {found}; wanted {wanted}")]
    Config {
        /// The setting's name.
        what: &'static str,
        /// Its value.
        found: String,
        /// The valid values.
        wanted: &'static str,
    },
    /// A node can't listen at its address.
    #[error("cannot listen at {address}: {}{}", explain(error), another_port(error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// Another system call failed.
    #[error("cannot {what}: {}", explain(error))]
    System {
        /// What the call was for.
        what: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// No node has that number.
    #[error("there is no node {number}; the nodes are {nodes}")]
    NoSuchNode {
        /// The number given.
        number: usize,
        /// The existing numbers.
        nodes: String,
    },
    /// The node is in the wrong state for the command.
    #[error("node {number} is {found}; wanted one that is {wanted}")]
    WrongState {
        /// The node's number.
        number: usize,
        /// The state that it is in.
        found: &'static str,
        /// The state that it should be in.
        wanted: &'static str,
    },
    /// No namespace has that name.
    #[error("there is no namespace {name:?}; the namespaces are {namespaces}")]
    NoSuchNamespace {
        /// The name given.
        name: String,
        /// The existing names.
        namespaces: String,
    },
    /// A namespace with this name exists already.
    #[error("there is a namespace {name:?} already; remove it first")]
    NamespaceExists {
        /// The name given.
        name: String,
    },
    /// The nodes can't speak TLS with these files.
    #[error("TLS of the nodes: {problem}")]
    Tls {
        /// What is wrong.
        problem: String,
    },
    /// The thread of the cluster has ended.
    #[error("the simulated cluster has stopped; start another one")]
    Stopped,
}

/// What to do about an address that is in use.
fn another_port(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse { "; choose another port" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_is_advised_only_if_this_one_is_in_use() {
        let told = |error: rustix::io::Errno| {
            let address = "127.0.0.1:3000".parse().unwrap();
            SimError::Listen { address, error: error.into() }.to_string()
        };
        let in_use = told(rustix::io::Errno::ADDRINUSE);
        assert!(in_use.ends_with("choose another port"), "{in_use}");
        let short = told(rustix::io::Errno::MFILE);
        assert!(!short.contains("another port") && short.contains("RLIMIT_NOFILE"), "{short}");
    }

    #[test]
    fn a_namespace_is_given_once() {
        let mut config = SimConfig::new(1);
        let twice = config.namespaces[0].clone();
        config.namespaces.push(twice);
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains("twice; wanted each name once"), "{error}");
    }
}
