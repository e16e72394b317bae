//! What a source needs to know.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::map::ClusterName;
#[cfg(feature = "tls")]
use crate::tend::tls::TlsConfig;
use crate::wire::Host;
use crate::wire::login::{AuthMode, Credentials};

/// How an Aerospike cluster is found and asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AerospikeConfig {
    /// The seeds, in the order in which they are preferred.
    pub hosts: Vec<Host>,
    /// The name that the cluster must have (`cluster-name`). Without one it is
    /// the name in the map that the source starts from, until most of the known
    /// nodes report another one.
    pub cluster_name: Option<ClusterName>,
    /// The time for each request, connecting included. 1 s unless set.
    pub connect_timeout: Duration,
    /// How long a pass waits for the addresses of names. 2 s unless set.
    pub resolve_timeout: Duration,
    /// Whether to use the servers' alternate access addresses.
    pub use_services_alternate: bool,
    /// What is to be used instead of host names and IP addresses that servers
    /// tell (private to public, say). Seeds are not changed.
    pub ip_map: BTreeMap<String, String>,
    /// What servers show as the application (`user-agents`); at most 64
    /// characters are sent.
    pub application: Option<String>,
    /// Who logs in; `None` = nobody, for clusters without security.
    pub credentials: Option<Credentials>,
    /// How servers are reached over TLS; `None` = in clear. The hosts are then
    /// at the servers' TLS ports.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
}

impl AerospikeConfig {
    /// The configuration for these seeds, all else as by default.
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

    /// A host as a server tells it, where it is to be reached.
    pub(super) fn mapped(&self, host: &Host) -> Host {
        let to = self.ip_map.get(host.name()).and_then(|to| Host::new(to, host.port()).ok());
        to.unwrap_or_else(|| host.clone())
    }

    /// Whether servers are reached over TLS, and whether only for logins.
    // Inlined, the optimiser reads the second before it asks whether there is TLS
    // at all: harmless, but a finding to those who run under valgrind.
    #[inline(never)]
    pub(super) fn secure(&self) -> (bool, bool) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return (true, tls.for_login_only);
        }
        (false, false)
    }

    /// Whether a server of a published map may be asked before another server has
    /// told of it over TLS. Who may write the segment may write any name into it,
    /// and a certificate for that name may be anybody's: where something secret is
    /// sent, only names that are configured count. Where only logins go over TLS
    /// the map does not tell where.
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

    /// The setting of servers that advertises the addresses that are used, in their
    /// `network.service` stanza.
    pub(super) fn address_setting(&self) -> &'static str {
        match (self.secure(), self.use_services_alternate) {
            ((true, false), true) => "tls-alternate-access-address",
            ((true, false), false) => "tls-access-address",
            (_, true) => "alternate-access-address",
            (_, false) => "access-address",
        }
    }

    /// The command that tells a server who asks.
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
