//! What a simulated cluster is made of, and how fast things happen in it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::wire::login::SecretString;

#[cfg(feature = "tls")]
use super::tls::SimTls;

/// A user of a simulated cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SimUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: SecretString,
    /// Whether an external system would know the password: it has to come as
    /// it is.
    pub external: bool,
    /// Whether it has a role; without one every command is refused.
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
    /// Its name.
    pub name: String,
    /// The wanted number of replicas per partition; replies report the
    /// effective number, which is at most the number of nodes.
    pub replication_factor: usize,
    /// Whether its replies bear regimes other than 0.
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

/// How long things take.
///
/// The defaults are what a real cluster (three nodes of Aerospike 8.1.2 with
/// heartbeats every 150 ms) was seen to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// From a node's death until the first survivor changes its replies:
    /// at least and at most.
    pub notice: (Duration, Duration),
    /// How much later than the first the last survivor may change its replies.
    pub spread: Duration,
    /// From a clean stop until the first survivor changes its replies.
    pub stop_notice: Duration,
    /// How long a started node answers before the others take it in: at least
    /// and at most.
    pub join: (Duration, Duration),
    /// How long the others list a moved node under its old address after they
    /// took it in.
    pub stale_address: Duration,
    /// How long a node that was frozen and dropped believes, when it wakes, that
    /// all is as it was.
    pub thaw: Duration,
    /// How long the migrations after a change of the membership take in all.
    pub migration: Duration,
}

impl Timings {
    /// As in a real cluster.
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

    /// Everything within tens of milliseconds, for tests.
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

/// What a simulated cluster starts with.
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
    /// How many nodes, 1 to 4096. They are numbered from 1 on.
    pub nodes: usize,
    /// The port of node 1, with the others following; 0 = any free ports.
    pub base_port: u16,
    /// The namespaces.
    pub namespaces: Vec<SimNamespace>,
    /// What the nodes call their cluster; `None` = it has no name.
    pub cluster_name: Option<String>,
    /// The servers' build.
    pub build: String,
    /// Whether the nodes simulate the enterprise edition, which reports racks.
    pub enterprise: bool,
    /// The port that is left out in peers lists where a node listens at it.
    pub default_port: u16,
    /// Whether each node also listens at an alternate address (127.1.x.y and
    /// the port of the node) and advertises it.
    pub alternate_addresses: bool,
    /// Whether the nodes listen at `::1` instead of `127.0.0.1`.
    pub ipv6: bool,
    /// Whether clients must log in. It can be switched at run time.
    pub security: bool,
    /// The users, once security is on.
    pub users: Vec<SimUser>,
    /// How long sessions are good for, in whole seconds; `None` = for ever.
    pub session_lifetime: Option<Duration>,
    /// Whether each node also speaks TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<SimTls>,
    /// How fast things happen.
    pub timings: Timings,
    /// Decides all that is random (but not when threads run).
    pub seed: u64,
    /// Partitions of a namespace, a power of two from 8 to 65,536 (4096 in
    /// Aerospike).
    pub partitions: usize,
}

impl SimConfig {
    /// A cluster of that many nodes with the namespaces `test` (two replicas)
    /// and `bar` (three), at free ports, as fast as a real one.
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

    /// Where the nodes listen.
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
        self.namespaces.iter().try_for_each(check_namespace)
    }
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
    /// A setting out of its range.
    #[error("{what} is {found}; wanted {wanted}")]
    Config {
        /// The setting's name.
        what: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// A node can't listen at its address.
    #[error("cannot listen at {address}: {error}; choose another port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The system refused something else.
    #[error("cannot {what}: {error}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// No node has that number.
    #[error("there is no node {number}; the nodes are {nodes}")]
    NoSuchNode {
        /// The number given.
        number: usize,
        /// The numbers there are.
        nodes: String,
    },
    /// The node is not in the state in which that can be done.
    #[error("node {number} is {found}; wanted one that is {wanted}")]
    WrongState {
        /// The node's number.
        number: usize,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// No namespace has that name.
    #[error("there is no namespace {name:?}; the namespaces are {namespaces}")]
    NoSuchNamespace {
        /// The name given.
        name: String,
        /// The names there are.
        namespaces: String,
    },
    /// There is a namespace of that name.
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
