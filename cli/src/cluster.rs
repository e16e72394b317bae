//! The flags that say how a cluster is reached.

use std::time::Duration;

use tendmap::client::Config;
use tendmap::wire::Host;

use crate::access::Access;
use crate::duration;

/// How a cluster is reached.
#[derive(clap::Args, Clone, Debug)]
pub struct ClusterArgs {
    /// A server to ask first, NAME:PORT; may be given several times.
    #[arg(long, value_name = "HOST", required = true)]
    pub host: Vec<Host>,
    /// The name that the cluster must have.
    #[arg(long, value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// How long a server may take to accept a connection or to answer.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub connect_timeout: Duration,
    #[command(flatten)]
    pub access: Access,
}

impl ClusterArgs {
    /// The settings as the library takes them, all others as by default.
    pub fn config(&self) -> Config {
        let mut config = Config::new(self.host.clone());
        config.cluster_name = self.cluster_name.clone();
        self.access.set(&mut config);
        config.connect_timeout = self.connect_timeout;
        config
    }
}
