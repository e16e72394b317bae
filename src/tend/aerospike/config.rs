//! The settings of a source.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::map::ClusterName;
#[cfg(feature = "tls")]
use crate::tend::tls::TlsConfig;
use crate::wire::Host;
use crate::wire::login::{AuthMode, Credentials};

/// How an Aerospike cluster is found and queried.
///
/// [`AerospikeConfig::new`] gives every setting its default. [`Config::source`] makes one of a
/// client's configuration.
///
/// ```
/// use std::time::Duration;
/// use tendmap::tend::{AerospikeConfig, AerospikeSource};
///
/// let mut config = AerospikeConfig::new(vec!["db1.example:3000".parse()?]);
/// config.connect_timeout = Duration::from_millis(250);
/// config.application = Some("checkout".into());
/// let source = AerospikeSource::new(config);
/// # drop(source);
/// # Ok::<(), tendmap::wire::HostError>(())
/// ```
///
/// [`Config::source`]: crate::Config::source
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AerospikeConfig {
    /// The seeds, in order of preference.
    pub hosts: Vec<Host>,
    /// The required name of the cluster (`cluster-name`). Without one, it is
    /// the name in the map that the source starts from, until most of the known
    /// nodes report another one. Default: `None`.
    pub cluster_name: Option<ClusterName>,
    /// The timeout of each request, including the connect. Default 1 s.
    pub connect_timeout: Duration,
    /// How long a pass waits for name lookups. Default 2 s.
    pub resolve_timeout: Duration,
    /// Whether to use the servers' alternate access addresses. Default: `false`.
    pub use_services_alternate: bool,
    /// Replacements for host names and IP addresses that servers advertise (for
    /// example, public addresses for private ones). Seeds are not changed. Default:
    /// empty.
    pub ip_map: BTreeMap<String, String>,
    /// The application that servers show (`user-agents`); at most 64 characters
    /// are sent. Default: `None`.
    pub application: Option<String>,
    /// The credentials of the login; `None` = no login, for clusters without
    /// security. Default: `None`.
    pub credentials: Option<Credentials>,
    /// TLS settings for the connections to servers; `None` = plaintext. With
    /// TLS, the hosts name the servers' TLS ports. Default: `None`.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
}

impl AerospikeConfig {
    /// The configuration for these seeds, with defaults for everything else.
    #[must_use]
    pub fn new(hosts: Vec<Host>) -> AerospikeConfig {
        AerospikeConfig {
            hosts,
            cluster_name: None,
            connect_timeout: Duration::from_secs(1),
            resolve_timeout: Duration::from_secs(2),
            use_services_alternate: false,
            ip_map: BTreeMap::new(),
            application: None,
            credentials: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The host to use for one that a server advertises.
    pub(super) fn mapped(&self, host: &Host) -> Host {
        let to = self.ip_map.get(host.name()).and_then(|to| Host::new(to, host.port()).ok());
        to.unwrap_or_else(|| host.clone())
    }

    /// Whether servers are reached over TLS, and whether only for logins.
    // Not inlined: the optimiser would read the second before it checks whether
    // there is TLS at all. That is harmless, but valgrind reports it.
    #[inline(never)]
    pub(super) fn secure(&self) -> (bool, bool) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return (true, tls.for_login_only);
        }
        (false, false)
    }

    /// Whether a server of a published map may be sent a login before another
    /// server has confirmed its address over TLS. A process that can write the
    /// segment can write any name into it, and an attacker may have a
    /// certificate for that name; so secrets are sent only to configured names.
    /// If only logins use TLS, the map does not contain the address for them.
    pub(super) fn may_log_in(&self, host: &Host) -> bool {
        let configured = || {
            let mut names = self.hosts.iter().map(Host::certificate_name);
            names.any(|name| name.eq_ignore_ascii_case(host.certificate_name()))
        };
        match (self.secure(), &self.credentials) {
            ((_, true), _) => false,
            ((true, _), Some(credentials)) if credentials.mode() != AuthMode::Pki => configured(),
            _ => true,
        }
    }

    /// The commands that differ by configuration. Where only logins go over
    /// TLS, a server is found at its TLS address and then used at its clear one.
    pub(super) fn commands(&self) -> Commands {
        let (tls, for_login_only) = self.secure();
        let (peers, service) = match (tls, self.use_services_alternate) {
            (false, false) => ("peers-clear-std", "service-clear-std"),
            (false, true) => ("peers-clear-alt", "service-clear-alt"),
            (true, false) => ("peers-tls-std", "service-tls-std"),
            (true, true) => ("peers-tls-alt", "service-tls-alt"),
        };
        let service = match (for_login_only, self.use_services_alternate) {
            (true, false) => "service-clear-std",
            (true, true) => "service-clear-alt",
            _ => service,
        };
        let tls_service = match self.use_services_alternate {
            false => "service-tls-std",
            true => "service-tls-alt",
        };
        Commands { peers, service, tls_service }
    }

    /// The setting of servers that advertises the addresses that are used, in
    /// their `network.service` stanza.
    pub(super) fn address_setting(&self) -> &'static str {
        match (self.secure(), self.use_services_alternate) {
            ((true, false), true) => "tls-alternate-access-address",
            ((true, false), false) => "tls-access-address",
            (_, true) => "alternate-access-address",
            (_, false) => "access-address",
        }
    }

    /// The command that identifies the client to a server.
    pub(super) fn greeting(&self) -> String {
        let application: String = match &self.application {
            Some(name) => {
                name.chars().filter(|c| c.is_ascii_graphic() && *c != ',').take(64).collect()
            }
            None => "not-set".into(),
        };
        let agent = format!("1,tendmap-{},{application}", env!("CARGO_PKG_VERSION"));
        format!("user-agent-set:value={}", STANDARD.encode(agent))
    }
}

/// The commands that differ by configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commands {
    pub(super) peers: &'static str,
    pub(super) service: &'static str,
    /// Where a server takes TLS.
    pub(super) tls_service: &'static str,
}
