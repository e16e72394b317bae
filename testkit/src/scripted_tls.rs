//! A scripted server over TLS.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::scripted::Scripted;

/// A scripted server over TLS, with the certificate in `FILE.pem` and the key in
/// `FILE.key`.
pub fn start_tls(id: &str, file: &Path) -> Scripted {
    let certificate = CertificateDer::from_pem_file(file.with_extension("pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file.with_extension("key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    Scripted::start_with(
        id,
        Arc::new(move |stream| {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            Box::new(rustls::StreamOwned::new(session, stream))
        }),
    )
}
