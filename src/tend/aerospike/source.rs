//! The source that users see: the tender over TCP.

use core::fmt;

use super::{AerospikeConfig, Tender};
use crate::map::{ClusterMap, ClusterName, NodeHealth, NodeId, NodeTable, Slot};
use crate::tend::transport::TcpTransport;
use crate::tend::{ClusterSource, MapIdentity, TendError, TendReport, Turn};
use crate::wire::login::Credentials;

/// The tender of an Aerospike cluster.
///
/// A pass asks all known nodes at the same time for their generations, and reads again only what
/// has changed: on an idle cluster that is one request per node. [`Client::connect`] makes one of
/// its settings; a program that drives the passes itself, or wraps the source, makes its own.
///
/// ```
/// use tendmap::map::{Capacity, ClusterMap};
/// use tendmap::tend::{AerospikeConfig, AerospikeSource, ClusterSource};
///
/// let seeds = vec!["db1.example.org:3000".parse()?];
/// let mut source = AerospikeSource::new(AerospikeConfig::new(seeds));
/// source.start(ClusterMap::new(Capacity::DEFAULT));
/// assert!(source.map().nodes.is_empty()); // until a pass has found some
/// # Ok::<(), tendmap::wire::HostError>(())
/// ```
///
/// [`Client::connect`]: crate::Client::connect
pub struct AerospikeSource(Tender<TcpTransport>);

impl AerospikeSource {
    /// A source that reaches the servers over TCP. It opens no connection
    /// before the first pass.
    #[must_use]
    pub fn new(config: AerospikeConfig) -> AerospikeSource {
        let greeting = config.greeting();
        let transport =
            TcpTransport::new(config.connect_timeout, config.resolve_timeout, Some(&greeting))
                .with_credentials(config.credentials.clone());
        #[cfg(feature = "tls")]
        let transport = transport.with_tls(config.tls.clone());
        AerospikeSource(Tender::with_transport(config, transport))
    }

    /// The tender itself.
    pub(super) fn into_tender(self) -> Tender<TcpTransport> {
        self.0
    }
}

impl fmt::Debug for AerospikeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AerospikeSource")
            .field("config", &self.0.config)
            .field("map", &self.0.map)
            .finish_non_exhaustive()
    }
}

impl ClusterSource for AerospikeSource {
    fn start(&mut self, map: ClusterMap) {
        self.0.start(map);
    }

    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        self.0.tend(turn)
    }

    fn failed_pass(&self) -> TendReport {
        self.0.failed_pass()
    }

    fn shortage(&self) -> Option<&str> {
        self.0.shortage()
    }

    fn glance(&mut self, turn: &mut dyn Turn) -> bool {
        self.0.glance(turn)
    }

    fn identify(
        &mut self,
        name: Option<ClusterName>,
        nodes: &NodeTable,
        turn: &mut dyn Turn,
    ) -> MapIdentity {
        self.0.identify(name, nodes, turn)
    }

    fn map(&self) -> &ClusterMap {
        self.0.map()
    }

    fn node_healths(&self, each: &mut dyn FnMut(Slot, NodeId, NodeHealth)) {
        self.0.node_healths(each);
    }

    fn set_credentials(&mut self, credentials: Credentials) {
        self.0.set_credentials(credentials);
    }

    fn stop(&mut self) {
        self.0.stop();
    }
}
