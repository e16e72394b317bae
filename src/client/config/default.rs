//! The default of every setting.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Config;
use crate::map::Capacity;
use crate::segment::{Backend, Place};
use crate::wire::Host;
use crate::wire::login::AuthMode;

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
            #[cfg(feature = "c-client")]
            c_client: Default::default(),
            checksums: false,
            observer: None,
        }
    }

    /// The default settings with a shared segment of this key.
    #[must_use]
    pub fn shared(hosts: Vec<Host>, shm_key: u32) -> Config {
        Config { use_shm: true, shm_key, ..Config::new(hosts) }
    }
}
