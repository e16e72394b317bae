//! Settings, under the names and with the defaults that users of Aerospike
//! clients know.

mod check;
mod cluster;
mod default;
mod derived;
mod error;
mod with;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::event::Observer;
#[cfg(feature = "c-client")]
use crate::c_client::MirrorConfig;
use crate::segment::Backend;
#[cfg(feature = "tls")]
use crate::tend::tls::TlsConfig;
use crate::wire::Host;
use crate::wire::login::{AuthMode, SecretString};
pub use check::MIN_TEND_INTERVAL;
pub(super) use cluster::{check_cluster, published, shown};
pub use error::ConfigError;

/// How to reach a cluster and how to share what is known about it.
///
/// [`Config::new`] and [`Config::shared`] give every setting its default. The `with_` methods
/// change the common settings, every setting is a field, and [`Config::set`] takes a name and a
/// text. [`Config::check`] names the first invalid setting, as a connect does.
///
/// ```
/// use std::time::Duration;
/// use tendmap::Config;
///
/// let hosts = vec!["db1.example:3000".parse()?];
/// let mut config = Config::shared(hosts, 0xA700_0001)
///     .with_cluster_name("prod")
///     .with_login("routing", "secret")
///     .with_tend_interval(Duration::from_millis(500))
///     .with_observer(|event| eprintln!("{event:?}"));
/// config.shm_max_nodes = 64;
/// config.set("connect_timeout", "250ms")?;
/// config.check()?;
///
/// config.tend_interval = Duration::from_millis(1);
/// assert!(config.check().unwrap_err().to_string().contains("tend_interval"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Servers to contact first; any one that answers leads to all others.
    ///
    /// Default: none; [`Config::check`] wants at least one.
    pub hosts: Vec<Host>,
    /// The required name of the cluster. Unset: the name in the segment, if the
    /// hosts belong to its cluster; in a new segment, whatever name the hosts
    /// report.
    ///
    /// Default: unset.
    pub cluster_name: Option<String>,
    /// The user that logs in; unset = no login, for clusters without security.
    /// Each process logs in for itself, and only while it tends.
    ///
    /// Default: unset.
    pub user: Option<String>,
    /// The user's password. It is never shown, and it is wiped when dropped.
    ///
    /// Default: unset.
    pub password: Option<SecretString>,
    /// How the user authenticates.
    ///
    /// Default: `INTERNAL`.
    pub auth_mode: AuthMode,
    /// TLS settings for the connections to servers; unset = plaintext. With
    /// TLS, the hosts name the servers' TLS ports, as `NAME:TLS_NAME:PORT`
    /// where the certificate has another name than the host.
    ///
    /// Default: unset.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
    /// Whether to use the alternate addresses that servers advertise
    /// (`alternate-access-address`).
    ///
    /// Default: `false`.
    pub use_services_alternate: bool,
    /// Replacements for host names and IP addresses that servers advertise (for
    /// example, public addresses for private ones). The configured hosts are
    /// not changed.
    ///
    /// Default: empty.
    pub ip_map: BTreeMap<String, String>,
    /// Whether the map is shared with the other processes of the host. `false`
    /// = a private map and a tender in this process, behind the same API.
    ///
    /// Default: `false`; [`Config::shared`] sets it.
    pub use_shm: bool,
    /// The key of the segment: processes with the same key share one. Each
    /// cluster needs its own key.
    ///
    /// Default: `0xA700_0000`.
    pub shm_key: u32,
    /// The number of nodes for which a new segment has room, 1 to 4096.
    ///
    /// Default: 16.
    pub shm_max_nodes: usize,
    /// The number of namespaces for which a new segment has room, 1 to 4096.
    ///
    /// Default: 8.
    pub shm_max_namespaces: usize,
    /// The number of replicas per partition for which a new segment has room, 1
    /// to 255. It grows with the replication factor, up to 255.
    ///
    /// Default: 3.
    pub shm_max_replicas: usize,
    /// The number of nodes to which the segment may grow, 1 to 4096; more nodes
    /// are refused. If the initial capacity is larger, that is the ceiling.
    ///
    /// Default: 4096.
    pub shm_node_ceiling: usize,
    /// The number of namespaces to which the segment may grow, 1 to 4096.
    ///
    /// Default: 256.
    pub shm_namespace_ceiling: usize,
    /// How long other processes wait for an owner that lives but shows no
    /// heartbeat, and how long an owner whose passes fail keeps ownership; at
    /// most 365 days.
    ///
    /// Default: 30 s.
    pub shm_takeover_threshold: Duration,
    /// The kind of shared memory: files, or System V shared memory. All
    /// processes of a key must use the same.
    ///
    /// Default: [`Backend::File`].
    pub shm_backend: Backend,
    /// Directory of the segments, and of the lock files of System V ones.
    ///
    /// Default: `/dev/shm`.
    pub shm_directory: PathBuf,
    /// Mode bits of a new segment; write permission for others (0002) is refused.
    ///
    /// Default: `0o600`.
    pub shm_mode: u32,
    /// Numbers of the users besides the effective user and root whose segments
    /// are accepted; [`Config::set`] takes names, too. Processes of several
    /// users can share a segment if each trusts all others.
    ///
    /// Default: empty.
    pub shm_owner: Vec<u32>,
    /// Whether to create and accept segment files that their group may write
    /// (0020). Every member of the group can then truncate the file, which
    /// kills all attached processes with SIGBUS. System V segments can't be
    /// truncated, and need no such permission.
    ///
    /// Default: `false`.
    pub shm_allow_group_write: bool,
    /// The racks that [`Policy::PreferRack`](crate::route::Policy) prefers, the
    /// best first; each process, and each client in it, has its own.
    ///
    /// Default: empty.
    pub preferred_racks: Vec<i32>,
    /// How often the owner polls the cluster, 50 ms to 365 days.
    ///
    /// Default: 1 s.
    pub tend_interval: Duration,
    /// How long a server may take to accept a connection or to answer.
    ///
    /// Default: 1 s.
    pub connect_timeout: Duration,
    /// The segments of the Aerospike C client that this process keeps filled from
    /// the map, for official clients of this host.
    ///
    /// Default: none.
    #[cfg(feature = "c-client")]
    pub c_client: MirrorConfig,
    /// Whether an owner publishes a checksum of the map with each publication,
    /// for tests and soaks.
    pub(in crate::client) checksums: bool,
    /// Receives all events; see [`Event`](super::Event). If several clients of
    /// a process share an attachment, the first client's observer is used.
    ///
    /// Default: none.
    pub observer: Option<Observer>,
}
