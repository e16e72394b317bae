//! The servers' side of TLS.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::config::SimError;
use crate::tend::tls::{certificates, key};

/// TLS settings of the nodes. Each node also speaks TLS, at its port + 1000.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SimTls {
    /// The nodes' certificate (PEM), the same for all.
    pub certfile: PathBuf,
    /// Its key (PEM).
    pub keyfile: PathBuf,
    /// The authorities (PEM) of client certificates, which clients must then
    /// present. `None` = clients need no certificate.
    pub cafile: Option<PathBuf>,
    /// The TLS name in the nodes' peers lists; `None` = no name.
    pub name: Option<String>,
}

impl SimTls {
    /// The distance from a node's plaintext port to its TLS port.
    pub const PORT_OFFSET: u16 = super::info::TLS_OFFSET;

    /// Settings with this certificate. Clients need no certificate.
    pub fn new(certfile: impl Into<PathBuf>, keyfile: impl Into<PathBuf>) -> SimTls {
        SimTls { certfile: certfile.into(), keyfile: keyfile.into(), cafile: None, name: None }
    }

    /// Reads the files into the configuration that all nodes use.
    pub(super) fn load(&self) -> Result<Arc<ServerConfig>, SimError> {
        let failed = |problem: String| SimError::Tls { problem };
        let bad = |error: crate::tend::tls::TlsError| failed(error.to_string());
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has ciphers for every version");
        let builder = match &self.cafile {
            None => builder.with_no_client_auth(),
            Some(cafile) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("cafile", cafile).map_err(bad)? {
                    roots.add(certificate).map_err(|error| failed(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::new(ring::default_provider()),
                );
                let verifier = verifier.build().map_err(|error| failed(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = certificates("certfile", &self.certfile).map_err(bad)?;
        let key = key("keyfile", &self.keyfile).map_err(bad)?;
        let config = builder.with_single_cert(chain, key);
        config.map(Arc::new).map_err(|error| failed(error.to_string()))
    }
}

/// Begins a connection; `None` if that fails.
pub(super) fn accept(config: &Arc<ServerConfig>) -> Option<ServerConnection> {
    ServerConnection::new(config.clone()).ok()
}

/// The common name of a certificate's subject: the last common name in the
/// certificate. The one before it is the issuer's.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    // The identifier 2.5.4.3, then a string: its type, length and characters.
    const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
    let at = certificate.windows(COMMON_NAME.len()).rposition(|bytes| bytes == COMMON_NAME)?;
    let (&[_, length], rest) = certificate[at + COMMON_NAME.len()..].split_first_chunk::<2>()?;
    let name = rest.get(..usize::from(length))?;
    String::from_utf8(name.to_vec()).ok()
}
