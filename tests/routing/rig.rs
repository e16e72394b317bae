//! A client over a cluster, and a way to wait until a change is published.

use std::time::Duration;

use tendmap::client::Client;
use tendmap::map::ClusterMap;
use tendmap_testkit::{Cluster, config, directory};

const SHORT: Duration = Duration::from_secs(10);

pub struct Rig {
    pub cluster: Cluster,
    pub client: Client,
    _directory: tempfile::TempDir,
}

impl Rig {
    pub fn new(nodes: u16, rf: u8) -> Rig {
        let directory = directory();
        let cluster = Cluster::new(nodes, rf);
        let client = Client::connect_with(config(&directory), cluster.source()).unwrap();
        Rig { cluster, client, _directory: directory }
    }

    pub fn change(&self, f: impl FnOnce(&mut ClusterMap)) {
        let before = self.client.map().unwrap().sequence;
        self.cluster.change(f);
        assert_ne!(self.client.wait_for_change(before, SHORT), before, "nothing was published");
    }
}
