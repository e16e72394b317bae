//! The setup of a worker.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tendmap::client::Config;
use tendmap::segment::{Backend, Place};

/// A threshold far longer than any test: no owner is replaced because of silence, so a
/// successor must have detected that the owner had ended.
pub const NEVER_MS: u64 = 3_600_000;

/// The settings of a worker that differ from the defaults.
#[derive(Clone)]
pub struct Setup {
    pub backend: Backend,
    pub directory: std::path::PathBuf,
    pub key: u32,
    pub hosts: Vec<String>,
    pub tend_ms: u64,
    pub threshold_ms: u64,
    pub max_nodes: usize,
    pub ceiling: usize,
    pub cluster_name: Option<String>,
    pub mode: u32,
}

impl Setup {
    pub fn new(directory: &Path, hosts: Vec<String>) -> Setup {
        Setup {
            backend: Backend::File,
            directory: directory.into(),
            key: 0xA700_0001,
            hosts,
            tend_ms: 100,
            threshold_ms: 3000,
            max_nodes: 16,
            ceiling: 4096,
            cluster_name: None,
            mode: 0o600,
        }
    }

    pub fn place(&self) -> Place {
        let directory = self.directory.clone();
        Place { backend: self.backend, directory, ..Place::of_key(self.key) }
    }

    pub fn config(&self) -> Config {
        let hosts = self.hosts.iter().map(|host| host.parse().unwrap()).collect();
        let mut config = Config::shared(hosts, self.key);
        config.shm_backend = self.backend;
        config.shm_directory = self.directory.clone();
        config.tend_interval = Duration::from_millis(self.tend_ms);
        config.connect_timeout = Duration::from_millis(300);
        config.shm_takeover_threshold = Duration::from_millis(self.threshold_ms);
        config.shm_max_nodes = self.max_nodes;
        config.shm_node_ceiling = self.ceiling;
        config.cluster_name = self.cluster_name.clone();
        config.shm_mode = self.mode;
        config.set_checksums(true);
        config
    }

    pub fn to_json(&self) -> Value {
        json!({
            "backend": self.backend.as_str(), "directory": self.directory, "key": self.key, "hosts": self.hosts,
            "tend_ms": self.tend_ms, "threshold_ms": self.threshold_ms,
            "max_nodes": self.max_nodes, "ceiling": self.ceiling, "cluster_name": self.cluster_name,
            "mode": self.mode,
        })
    }

    pub fn from_json(value: &Value) -> Setup {
        let hosts = value["hosts"].as_array().unwrap().iter();
        Setup {
            backend: value["backend"].as_str().unwrap().parse().unwrap(),
            directory: value["directory"].as_str().unwrap().into(),
            key: value["key"].as_u64().unwrap() as u32,
            hosts: hosts.map(|host| host.as_str().unwrap().to_owned()).collect(),
            tend_ms: value["tend_ms"].as_u64().unwrap(),
            threshold_ms: value["threshold_ms"].as_u64().unwrap(),
            max_nodes: value["max_nodes"].as_u64().unwrap() as usize,
            ceiling: value["ceiling"].as_u64().unwrap() as usize,
            cluster_name: value["cluster_name"].as_str().map(Into::into),
            mode: value["mode"].as_u64().unwrap() as u32,
        }
    }
}
