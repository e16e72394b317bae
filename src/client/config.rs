//! Settings, under the names and with the defaults that users of Aerospike
//! clients know.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::event::Observer;
use crate::map::{Capacity, CapacityError, ClusterMap, ClusterName, NameError};
use crate::segment::{Backend, GROUP_WRITE_ADVICE, GROUP_WRITE_RISK, Place};
use crate::tend::AerospikeConfig;
#[cfg(feature = "tls")]
use crate::tend::tls::{TlsConfig, TlsError};
use crate::wire::Host;
use crate::wire::login::{AuthMode, Credentials, CredentialsError, SecretString};

/// The shortest interval between two tends, and between two publications.
pub const MIN_TEND_INTERVAL: Duration = Duration::from_millis(50);
/// The longest interval and threshold: no sum of times overflows.
pub const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How to reach a cluster and how to share what is known about it.
///
/// [`Config::new`] and [`Config::shared`] give every setting its default; set the fields that
/// are to differ. [`Config::check`] names the first that is invalid, as a connect does.
///
/// ```
/// use std::time::Duration;
/// use tendmap::Config;
///
/// let hosts = vec!["db1.example:3000".parse()?];
/// let mut config = Config::shared(hosts, 0xA700_0001);
/// config.tend_interval = Duration::from_millis(500);
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
    /// Users besides the effective user and root whose segments are accepted,
    /// see [`parse_users`](crate::segment::parse_users). Processes of several
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
    /// Whether an owner publishes a checksum of the map with each publication,
    /// for tests and soaks.
    ///
    /// Default: `false`.
    pub checksums: bool,
    /// Receives all events; see [`Event`](super::Event). If several clients of
    /// a process share an attachment, the first client's observer is used.
    ///
    /// Default: none.
    pub observer: Option<Observer>,
}

/// An invalid setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No hosts are configured.
    #[error("no hosts; give at least one server of the cluster as NAME:PORT")]
    NoHosts,
    /// A capacity is out of range.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// The cluster name is invalid.
    #[error("cluster_name: {0}")]
    ClusterName(NameError),
    /// Invalid user or password.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A password or an `auth_mode` is set without a user.
    #[error("{found} is set but user is not; set user")]
    NoUser {
        /// The setting that is present.
        found: &'static str,
    },
    /// A password or a certificate would be sent unencrypted.
    #[error("auth_mode {mode} needs TLS; set tls{}", .mode.otherwise())]
    AuthNeedsTls {
        /// The configured mode.
        mode: AuthMode,
    },
    /// TLS can't be set up.
    #[cfg(feature = "tls")]
    #[error("tls: {0}")]
    Tls(TlsError),
    /// `ip_map` replaces a host by an invalid one.
    #[error("ip_map has {to:?} for {from:?}; wanted a host name or an IP address")]
    IpMap {
        /// The host that servers advertise.
        from: String,
        /// The invalid replacement.
        to: String,
    },
    /// The tend interval is shorter than `MIN_TEND_INTERVAL`, the shortest
    /// interval between publications.
    #[error("tend_interval is {found:?}; wanted at least {MIN_TEND_INTERVAL:?}")]
    TendInterval {
        /// The configured interval.
        found: Duration,
    },
    /// A time is longer than 365 days.
    #[error("{name} is {found:?}; wanted at most 365 days, {MAX_TIME:?}")]
    TooLong {
        /// The name of the setting.
        name: &'static str,
        /// The configured time.
        found: Duration,
    },
    /// The connect timeout is out of range.
    #[error("connect_timeout is {found:?}; wanted 1 ms to 60 s")]
    ConnectTimeout {
        /// The configured timeout.
        found: Duration,
    },
    /// The takeover threshold is so short that a slow owner would be taken for
    /// a hung one.
    #[error(
        "shm_takeover_threshold is {found:?}; wanted at least {wanted:?}, twice the sum of tend_interval and connect_timeout"
    )]
    Threshold {
        /// The configured threshold.
        found: Duration,
        /// The shortest valid threshold.
        wanted: Duration,
    },
    /// The mode is invalid, or lets every user write.
    #[error(
        "shm_mode is {found:04o}; wanted at most 0775, with read and write for the owner (0600) and without write for others (0002)"
    )]
    Mode {
        /// The configured mode.
        found: u32,
    },
    /// The mode lets the group write the segment's file.
    #[error(
        "shm_mode is {found:04o}, which lets the group write the segment's file: {GROUP_WRITE_RISK}; {GROUP_WRITE_ADVICE}"
    )]
    GroupWrite {
        /// The configured mode.
        found: u32,
    },
}

/// The text holds that of TLS: it is not a source that would be printed again.
#[cfg(feature = "tls")]
impl From<TlsError> for ConfigError {
    fn from(error: TlsError) -> ConfigError {
        ConfigError::Tls(error)
    }
}

impl Config {
    /// The default settings with these hosts.
    #[must_use]
    pub fn new(hosts: Vec<Host>) -> Config {
        Config {
            hosts,
            cluster_name: None,
            user: None,
            password: None,
            auth_mode: AuthMode::default(),
            #[cfg(feature = "tls")]
            tls: None,
            use_services_alternate: false,
            ip_map: BTreeMap::new(),
            use_shm: false,
            shm_key: Place::KEY,
            shm_max_nodes: Capacity::DEFAULT.max_nodes,
            shm_max_namespaces: Capacity::DEFAULT.max_namespaces,
            shm_max_replicas: Capacity::DEFAULT.max_replicas,
            shm_node_ceiling: 4096,
            shm_namespace_ceiling: 256,
            shm_takeover_threshold: Duration::from_secs(30),
            shm_backend: Backend::File,
            shm_directory: Place::DIRECTORY.into(),
            shm_mode: Place::MODE,
            shm_owner: Vec::new(),
            shm_allow_group_write: false,
            preferred_racks: Vec::new(),
            tend_interval: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            checksums: false,
            observer: None,
        }
    }

    /// The default settings with a shared segment of this key.
    #[must_use]
    pub fn shared(hosts: Vec<Host>, shm_key: u32) -> Config {
        Config { use_shm: true, shm_key, ..Config::new(hosts) }
    }

    /// The capacities of a new segment.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        Capacity {
            max_nodes: self.shm_max_nodes,
            max_namespaces: self.shm_max_namespaces,
            max_replicas: self.shm_max_replicas,
            ..Capacity::DEFAULT
        }
    }

    /// Raises the limits of a map to the ceilings that are configured.
    pub(super) fn raise(&self, map: &mut ClusterMap) {
        map.raise_capacity(self.shm_node_ceiling, self.shm_namespace_ceiling);
        map.raise_replicas(Capacity::MOST_REPLICAS);
    }

    /// Where the segment lives.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            backend: self.shm_backend,
            directory: self.shm_directory.clone(),
            key: self.shm_key,
            mode: self.shm_mode,
            owners: self.shm_owner.clone(),
            allow_group_write: self.shm_allow_group_write,
        }
    }

    /// The required name of the cluster, checked.
    ///
    /// # Errors
    /// [`ConfigError::ClusterName`].
    pub fn wanted_cluster(&self) -> Result<Option<ClusterName>, ConfigError> {
        let name = self.cluster_name.as_deref();
        name.map(ClusterName::new).transpose().map_err(ConfigError::ClusterName)
    }

    /// The credentials of the login, checked.
    ///
    /// # Errors
    /// [`ConfigError`] if they are invalid, or need TLS.
    pub fn credentials(&self) -> Result<Option<Credentials>, ConfigError> {
        let mode = self.auth_mode;
        #[cfg(feature = "tls")]
        let (tls, certificate) =
            (self.tls.is_some(), self.tls.as_ref().is_some_and(|tls| tls.certfile.is_some()));
        #[cfg(not(feature = "tls"))]
        let (tls, certificate) = (false, false);
        let needs_tls = match mode {
            AuthMode::External => !tls,
            AuthMode::Pki => !certificate,
            _ => false,
        };
        let named = self.user.is_some() || mode == AuthMode::Pki;
        match (&self.password, named) {
            (Some(_), false) => return Err(ConfigError::NoUser { found: "password" }),
            (None, false) if mode != AuthMode::default() => {
                return Err(ConfigError::NoUser { found: "auth_mode" });
            }
            (None, false) => return Ok(None),
            _ if needs_tls => return Err(ConfigError::AuthNeedsTls { mode }),
            _ => {}
        }
        let (user, password) = (self.user.as_deref(), self.password.clone());
        let password = password.unwrap_or_default();
        Ok(Some(Credentials::new(mode, user.unwrap_or_default(), password)?))
    }

    /// The settings of a source of this cluster's maps, checked.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn source(&self) -> Result<AerospikeConfig, ConfigError> {
        let mut source = AerospikeConfig::new(self.hosts.clone());
        source.cluster_name = self.wanted_cluster()?;
        source.connect_timeout = self.connect_timeout;
        source.credentials = self.credentials()?;
        source.use_services_alternate = self.use_services_alternate;
        source.ip_map.clone_from(&self.ip_map);
        #[cfg(feature = "tls")]
        {
            source.tls.clone_from(&self.tls);
        }
        Ok(source)
    }

    /// Checks an interval by itself and against the settings that depend on it.
    pub(super) fn check_tend_interval(&self, interval: Duration) -> Result<(), ConfigError> {
        if interval < MIN_TEND_INTERVAL {
            return Err(ConfigError::TendInterval { found: interval });
        }
        for (name, found) in
            [("tend_interval", interval), ("shm_takeover_threshold", self.shm_takeover_threshold)]
        {
            if found > MAX_TIME {
                return Err(ConfigError::TooLong { name, found });
            }
        }
        let wanted = interval.saturating_add(self.connect_timeout).saturating_mul(2);
        if self.use_shm && self.shm_takeover_threshold < wanted {
            let found = self.shm_takeover_threshold;
            return Err(ConfigError::Threshold { found, wanted });
        }
        Ok(())
    }

    /// Checks every setting, and reads the files that they name.
    ///
    /// # Errors
    /// [`ConfigError`] names the first invalid setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.hosts.is_empty() {
            return Err(ConfigError::NoHosts);
        }
        self.capacity().check()?;
        for (name, found) in [
            ("shm_node_ceiling", self.shm_node_ceiling),
            ("shm_namespace_ceiling", self.shm_namespace_ceiling),
        ] {
            if !(1..=4096).contains(&found) {
                return Err(CapacityError { name, found, wanted: "1 to 4096" }.into());
            }
        }
        self.wanted_cluster()?;
        self.credentials()?;
        for (from, to) in &self.ip_map {
            if Host::new(to, Host::DEFAULT_PORT).is_err() {
                return Err(ConfigError::IpMap { from: from.clone(), to: to.clone() });
            }
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.check()?;
        }
        self.check_tend_interval(self.tend_interval)?;
        let timeouts = Duration::from_millis(1)..=Duration::from_secs(60);
        if !timeouts.contains(&self.connect_timeout) {
            return Err(ConfigError::ConnectTimeout { found: self.connect_timeout });
        }
        if self.shm_mode & 0o600 != 0o600 || self.shm_mode & !0o775 != 0 {
            return Err(ConfigError::Mode { found: self.shm_mode });
        }
        let in_files = self.use_shm && self.shm_backend == Backend::File;
        if in_files && self.shm_mode & 0o020 != 0 && !self.shm_allow_group_write {
            return Err(ConfigError::GroupWrite { found: self.shm_mode });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config::shared(vec!["localhost:3000".parse().unwrap()], 1)
    }

    #[test]
    fn the_defaults_are_valid() {
        valid().check().unwrap();
    }

    #[test]
    fn no_debug_output_shows_the_password() {
        let config =
            Config { user: Some("keeper".into()), password: Some("sesame".into()), ..valid() };
        let shown = format!("{config:?} {:?}", config.credentials());
        assert!(shown.contains("keeper") && !shown.contains("sesame"), "{shown}");
    }

    #[test]
    fn h128_a_mode_with_group_write_needs_a_permission_where_files_can_be_cut_short() {
        for shm_mode in [0o660, 0o620, 0o664, 0o770, 0o775] {
            let refused = Config { shm_mode, ..valid() };
            let error = refused.check().unwrap_err().to_string();
            for wanted in ["SIGBUS", "0640", "shm_backend sysv", "shm_allow_group_write"] {
                assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
            }
            Config { shm_allow_group_write: true, ..refused.clone() }.check().unwrap();
            Config { shm_backend: Backend::SystemV, ..refused.clone() }.check().unwrap();
            Config { use_shm: false, ..refused }.check().unwrap();
        }
        for shm_mode in [0o600, 0o640, 0o644, 0o755] {
            Config { shm_mode, ..valid() }.check().unwrap();
        }
        // No setting allows all users to write.
        let open = Config { shm_mode: 0o662, shm_allow_group_write: true, ..valid() };
        assert!(matches!(open.check(), Err(ConfigError::Mode { found: 0o662 })));
    }

    #[test]
    fn every_setting_out_of_range_is_named() {
        let ms = Duration::from_millis;
        let cases: [(Config, &str); 15] = [
            (Config { hosts: vec![], ..valid() }, "no hosts"),
            (Config { shm_max_nodes: 0, ..valid() }, "shm_max_nodes is 0"),
            (Config { shm_max_nodes: 4097, ..valid() }, "shm_max_nodes is 4097"),
            (Config { shm_max_namespaces: 0, ..valid() }, "shm_max_namespaces is 0"),
            (Config { shm_max_replicas: 256, ..valid() }, "shm_max_replicas is 256"),
            (Config { tend_interval: ms(49), ..valid() }, "tend_interval is 49ms"),
            (Config { connect_timeout: ms(0), ..valid() }, "connect_timeout is 0ns"),
            (Config { shm_takeover_threshold: ms(3999), ..valid() }, "wanted at least 4s"),
            (Config { shm_mode: 0o666, ..valid() }, "shm_mode is 0666"),
            (Config { user: Some(String::new()), ..valid() }, "user is 0 bytes"),
            (Config { password: Some("a".into()), ..valid() }, "set user"),
            (Config { auth_mode: AuthMode::Pki, ..valid() }, "set tls with certfile"),
            (
                Config {
                    auth_mode: AuthMode::External,
                    user: Some("a".into()),
                    password: Some("b".into()),
                    ..valid()
                },
                "or use EXTERNAL_INSECURE",
            ),
            (Config { ip_map: [("a".into(), "b c".into())].into(), ..valid() }, "for \"a\""),
            (Config { cluster_name: Some(String::new()), ..valid() }, "cluster_name: empty"),
        ];
        for (config, wanted) in cases {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
        }
    }
}
