//! What other parts of the program take from the settings.

use std::time::Duration;

use super::{Config, ConfigError};
use crate::map::{Capacity, ClusterMap, ClusterName};
use crate::segment::Place;
use crate::tend::AerospikeConfig;
use crate::wire::login::{AuthMode, Credentials};

impl Config {
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

    internal! {
        /// Sets whether an owner publishes a checksum of the map with each
        /// publication.
        fn set_checksums(&mut self, on: bool) {
            self.checksums = on;
        }
    }

    /// Raises the limits of a map to the ceilings that are configured.
    pub(in crate::client) fn raise(&self, map: &mut ClusterMap) {
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

    /// How long a connect waits for a map at most. Its own thread tries at once; an
    /// owner in another process may have an interval of days.
    pub(in crate::client) fn patience(&self) -> Duration {
        self.connect_timeout * 5 + self.tend_interval.min(Duration::from_secs(5)) * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h98_a_connect_without_a_map_waits_for_seconds_whatever_the_interval() {
        let mut config = Config::shared(vec!["localhost".parse().unwrap()], 1);
        let usual = config.patience();
        assert!(usual > config.connect_timeout * 5 && usual < Duration::from_secs(10));
        config.tend_interval = Duration::from_secs(24 * 3600);
        assert!(config.patience() < Duration::from_secs(20));
    }
}
